// SPDX-License-Identifier: BSL-1.0
// Rotary positions: what rotates a key from one position to another.
#pragma once

#include <cmath>
#include <span>

#include "oriel/simd/arch.hpp"
#include "oriel/view/overlap.hpp"
#include "oriel/view/workspace.hpp"

namespace oriel::inline v0 {

/// Which two floats of a row are a pair.
enum class rope_pairs {
  halves,      ///< i and i + dim / 2 ("rotate half": Hugging Face, NeoX)
  neighbours,  ///< 2 i and 2 i + 1 ("interleaved": the paper, GPT-J, GGUF files of Llama)
};

/// Rotary position embedding: pair i of a key at position p is rotated by p * frequency(i) radians.
/// Rotating a key that stands at p by the distance n makes it the key of position p + n, but for
/// one rounding.
///
///   dim          floats that are rotated, the first of a row; even, the rest stays as it is
///   theta        frequency(i) = theta^(-2 i / dim) ...
///   frequencies  ... unless these are given, [dim / 2], radians a position; referred to
///
/// Source     Su et al. 2021 (RoFormer), arXiv:2104.09864, section 3.2.2.
struct rope {
  index dim = 0;
  rope_pairs pairs = rope_pairs::halves;
  double theta = 10000.0;
  std::span<float const> frequencies = {};

  /// ok, or why rows of head_dim floats can't be rotated (errc::shape).
  ORIEL_INLINE status check(index head_dim) const noexcept {
    if (dim < 2 || dim % 2 != 0) return {errc::shape, "rope.dim must be even and at least 2"};
    if (dim > head_dim) return {errc::shape, "rope.dim must not exceed head_dim"};
    if (frequencies.empty()) {
      if (!__builtin_isfinite(theta) || theta <= 0) {
        return {errc::shape, "rope.theta must be finite and above 0"};
      }
    } else if (static_cast<index>(frequencies.size()) != dim / 2) {
      return {errc::shape, "rope.frequencies must be empty or hold dim / 2"};
    }
    return {};
  }

  ORIEL_INLINE double frequency(index pair) const noexcept {
    if (!frequencies.empty()) return double{frequencies[static_cast<std::size_t>(pair)]};
    return std::pow(theta, -2.0 * static_cast<double>(pair) / static_cast<double>(dim));
  }

  /// Cosines [dim / 2], then sines [dim / 2], of a rotation by `distance` positions of either sign.
  template <class Arch = default_arch>
  void cos_sin(index distance, float* to) const noexcept {
    for (index i = 0; i < dim / 2; ++i) {
      double const angle = static_cast<double>(distance) * frequency(i);
      to[i] = static_cast<float>(std::cos(angle));
      to[dim / 2 + i] = static_cast<float>(std::sin(angle));
    }
  }

  /// Rotates a row [>= dim] in place by the cosines and sines `cs`. Cost 3 dim flops.
  template <class Arch = default_arch>
  void rotate(float const* cs, float* row) const noexcept {
    bool const halves = pairs == rope_pairs::halves;
    index const step = halves ? 1 : 2;
    float* const second = row + (halves ? dim / 2 : 1);
    for (index i = 0; i < dim / 2; ++i) {
      float const a = row[i * step];
      float const b = second[i * step];
      row[i * step] = a * cs[i] - b * cs[dim / 2 + i];
      second[i * step] = a * cs[dim / 2 + i] + b * cs[i];
    }
  }
};

namespace detail {

/// Carves what re-rotating encoded keys needs: `rows` rows, and the cosines and sines of one
/// distance.
struct rotation_scratch {
  float* row = nullptr;      ///< [rows, head_dim]
  float* cos_sin = nullptr;  ///< [head_dim]

  ORIEL_INLINE static rotation_scratch carve(carver& memory, index head_dim,
                                             index rows = 1) noexcept {
    float* const row = memory.take<float>(saturating_mul(rows, head_dim));
    return {row, memory.take<float>(head_dim)};
  }
};

}  // namespace detail

/// Bytes of the workspace in which an erase re-rotates keys of head_dim floats, `rows` at a time:
/// 1, or the tokens of a group of a kivi_cache.
ORIEL_INLINE index erase_bytes(index head_dim, index rows = 1) noexcept {
  carver memory;
  detail::rotation_scratch::carve(memory, head_dim, rows);
  return memory.used();
}

namespace detail {

/// ok, or why keys of head_dim floats can't be re-rotated in `memory`.
ORIEL_INLINE status check_rotation(rope const& by, index head_dim, workspace memory,
                                   index rows = 1) noexcept {
  if (status s = by.check(head_dim); !s.ok()) return s;
  if (memory.bytes.data() == nullptr) return {errc::memory, "workspace must not be null"};
  index const required = erase_bytes(head_dim, rows);
  if (required == INT64_MAX || memory.bytes.size() < static_cast<std::size_t>(required)) {
    return {errc::workspace, rows == 1 ? "workspace must hold erase_bytes(head_dim)"
                                       : "workspace must hold erase_bytes(head_dim, Group)"};
  }
  if (reinterpret_cast<std::uintptr_t>(memory.bytes.data()) % storage_alignment != 0) {
    return {errc::alignment, "workspace must be aligned to 64"};
  }
  return {};
}

}  // namespace detail

/// The rotations of a rope to the places 0, 1, ... in a cache, in the caller's bytes; made once.
///
/// Bytes      required_bytes(by, places): places * by.dim floats.
/// Requires   a rope that fits rows of at least by.dim floats (errc::shape), places >= 0
///            (errc::shape), bytes of that size (errc::memory), aligned to storage_alignment
///            (errc::alignment). A table made from anything else is unusable: check().
class rope_table {
 public:
  ORIEL_INLINE static constexpr index required_bytes(rope const& by, index places) noexcept {
    return saturating_mul(saturating_mul(max_of(places, 0), max_of(by.dim, 0)), sizeof(float));
  }
  template <class Arch = default_arch>
  static rope_table make(std::span<std::byte> bytes, rope const& by, index places) noexcept {
    rope_table table;
    table.by_ = by;
    table.made_ = made_from(bytes, by, places);
    if (!table.made_.ok()) return table;
    table.places_ = places;
    table.cos_sin_ = reinterpret_cast<float*>(bytes.data());
    for (index i = 0; i < places; ++i) by.template cos_sin<Arch>(i, table.cos_sin_ + i * by.dim);
    return table;
  }

  ORIEL_INLINE status check() const noexcept { return made_; }
  ORIEL_INLINE rope const& by() const noexcept { return by_; }
  ORIEL_INLINE index places() const noexcept { return places_; }
  /// Rotates a row [>= dim] to `place`, 0 <= place < places().
  template <class Arch = default_arch>
  void rotate(index place, float* row) const noexcept {
    by_.template rotate<Arch>(cos_sin_ + place * by_.dim, row);
  }
  ORIEL_INLINE address_range own() const noexcept {
    return footprint(
        std::span<std::byte const>(reinterpret_cast<std::byte const*>(cos_sin_),
                                   static_cast<std::size_t>(required_bytes(by_, places_))));
  }

 private:
  ORIEL_INLINE rope_table() noexcept {}
  ORIEL_INLINE static status made_from(std::span<std::byte> bytes, rope const& by,
                                       index places) noexcept {
    if (status s = by.check(INT64_MAX); !s.ok()) return s;
    if (places < 0) return {errc::shape, "rope_table: places must not be negative"};
    char const* const size = "bytes must hold rope_table::required_bytes(by, places)";
    return check_storage(bytes, required_bytes(by, places),
                         {size, size, "rope_table bytes must be aligned to 64"});
  }

  rope by_;
  status made_;
  float* cos_sin_ = nullptr;  ///< [places, dim]
  index places_ = 0;
};

}  // namespace oriel::inline v0
