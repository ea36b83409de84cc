// SPDX-License-Identifier: BSL-1.0
// Memory for tests: tensors in any layout with NaN wherever no element lies, aligned bytes, bits.
#pragma once

#include <algorithm>
#include <bit>
#include <cstdint>
#include <iterator>
#include <span>
#include <utility>
#include <vector>

#include "cases.hpp"

namespace oriel::test {

/// A NaN that no arithmetic makes.
inline constexpr std::uint32_t canary = 0x7fc0ffee;

/// Numbers of mean 0 and variance 1, the same everywhere.
class random_numbers {
 public:
  explicit random_numbers(std::uint64_t seed) : state_(seed * 2 + 1) {}
  std::uint64_t bits() {  // splitmix64
    std::uint64_t z = state_ += 0x9e3779b97f4a7c15;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return z ^ (z >> 31);
  }
  index below(index n) { return static_cast<index>(bits() % static_cast<std::uint64_t>(n)); }
  float operator()() {
    auto const unit = static_cast<float>(static_cast<std::int32_t>(bits() >> 32)) * 0x1p-31f;
    return unit * 1.7320508f;
  }

 private:
  std::uint64_t state_;
};

template <class T, class F>
void for_each_element(tensor_view<T> const& view, F&& f) {
  for (index t = 0; t < view.tokens; ++t) {
    for (index h = 0; h < view.heads; ++h) {
      for (index d = 0; d < view.dim; ++d) f(view.row(t, h)[d]);
    }
  }
}

/// Bits of every element in order, to be compared with EXPECT_EQ.
template <class T>
std::vector<std::uint32_t> bits_of(tensor_view<T> const& view) {
  std::vector<std::uint32_t> bits;
  for_each_element(view, [&](float x) { bits.push_back(std::bit_cast<std::uint32_t>(x)); });
  return bits;
}

/// Owns a tensor of canaries; not copyable, as its view points into it.
class tensor {
 public:
  tensor(index tokens, index heads, index dim, layout lies = layout::packed)
      : view(nullptr, tokens, heads, dim) {
    if (lies == layout::padded) view.head_stride = dim + 3;
    if (lies == layout::padded) view.token_stride = heads * (dim + 3) + 5;
    if (lies == layout::head_major) view.token_stride = dim, view.head_stride = tokens * dim;
    index const size = tokens * heads * (dim + 8);
    memory_.assign(static_cast<std::size_t>(size + 2 * guard), std::bit_cast<float>(canary));
    view.data = memory_.data() + guard;
    if (lies == layout::backwards && tokens > 0) {
      view.data += (tokens - 1) * view.token_stride;
      view.token_stride = -view.token_stride;
    }
  }
  tensor(tensor const&) = delete;
  tensor& operator=(tensor const&) = delete;
  tensor(tensor&&) = default;

  tensor&& filled(std::uint64_t seed) && {
    random_numbers random(seed);
    for_each_element(view, [&](float& x) { x = random(); });
    return std::move(*this);
  }
  operator tensor_view<float>() const { return view; }
  operator tensor_view<float const>() const { return view; }

  /// Is every float that is no element (`elements`: nor any element) what it was at first?
  bool is_untouched(bool elements = false) const {
    std::vector<float> rest = memory_;
    tensor_view<float> shifted = view;
    shifted.data = rest.data() + (view.data - memory_.data());
    if (!elements) for_each_element(shifted, [](float& x) { x = std::bit_cast<float>(canary); });
    for (float const x : rest) {
      if (std::bit_cast<std::uint32_t>(x) != canary) return false;
    }
    return true;
  }

  tensor_view<float> view;

 private:
  static constexpr index guard = 64;
  std::vector<float> memory_;
};

/// The same of bf16 or f16: canaries in the gaps between tokens, in those between heads but where
/// these are packed, and in all that is not written.
template <class T>
class narrow_tensor {
 public:
  narrow_tensor(index tokens, index heads, index dim, layout lies = layout::packed)
      : memory_(static_cast<std::size_t>(tokens * (heads * (dim + gap) + gap) + 2 * gap),
                canary_of()),
        view(memory_.data() + gap, tokens, heads, dim, heads * dim + gap, dim) {
    if (lies == layout::padded) view.head_stride = dim + gap;
    if (lies == layout::padded) view.token_stride = heads * (dim + gap) + gap;
    if (lies == layout::head_major) view.token_stride = dim + gap;
    if (lies == layout::head_major) view.head_stride = tokens * (dim + gap);
    if (lies == layout::backwards && tokens > 0) {
      view.data += (tokens - 1) * view.token_stride;
      view.token_stride = -view.token_stride;
    }
  }
  /// Rounded from floats.
  explicit narrow_tensor(tensor_view<float const> const& from, layout lies = layout::packed)
      : narrow_tensor(from.tokens, from.heads, from.dim, lies) {
    std::vector<float> all;
    for_each_element(from, [&](float x) { all.push_back(x); });
    auto at = all.begin();
    for_each_element(view, [&](T& x) { x = T(*at++); });
  }
  narrow_tensor(narrow_tensor const&) = delete;
  narrow_tensor& operator=(narrow_tensor const&) = delete;

  /// The floats that they are.
  tensor floats() const {
    std::vector<float> all;
    for_each_element(view, [&](T x) { all.push_back(static_cast<float>(x)); });
    tensor wide(view.tokens, view.heads, view.dim);
    auto at = all.begin();
    for_each_element(wide.view, [&](float& x) { x = *at++; });
    return wide;
  }
  /// Of all of the memory.
  std::vector<std::uint16_t> bits() const {
    std::vector<std::uint16_t> all;
    for (T const x : memory_) all.push_back(x.bits);
    return all;
  }

 private:
  static constexpr index gap = 3;
  static T canary_of() {
    T x;
    x.bits = 0x7fa5;  // a signalling NaN in both
    return x;
  }
  std::vector<T> memory_;

 public:
  tensor_view<T> view;
};

/// Bytes aligned to storage_alignment, every one 0xff: as floats, NaN.
class aligned_memory {
 public:
  explicit aligned_memory(index size) : size_(static_cast<std::size_t>(size)) {
    lines_.resize((size_ + sizeof(line) - 1) / sizeof(line) + 1);
    for (line& l : lines_) std::fill(std::begin(l.bytes), std::end(l.bytes), std::byte{0xff});
  }
  std::span<std::byte> span() { return {lines_.data()->bytes, size_}; }
  operator std::span<std::byte>() { return span(); }
  operator workspace() { return {span()}; }
  /// The bytes behind the last one are what they were?
  bool is_untouched_behind() const {
    std::byte const* const first = lines_.data()->bytes;
    return std::all_of(first + size_, first + lines_.size() * sizeof(line),
                       [](std::byte b) { return b == std::byte{0xff}; });
  }

 private:
  struct alignas(storage_alignment) line {
    std::byte bytes[storage_alignment];
  };
  std::size_t size_;
  std::vector<line> lines_;
};

}  // namespace oriel::test
