// SPDX-License-Identifier: BSL-1.0
// What a cache holds, then these fresh rows.
#pragma once

#include <optional>
#include <type_traits>

#include "oriel/cache/contiguous.hpp"
#include "oriel/view/workspace.hpp"

namespace oriel::inline v0 {

/// A piece of prompt, of any length, is attended through this and appended afterwards: the fresh
/// rows are read where they lie, so a ring needs no room for them and nothing is copied twice. Of a
/// cache that does not store floats they are seen as it will keep them, encoded and read again: the
/// way a prompt is cut changes nothing. (After a `kivi_cache` they are seen as they are.)
///
///   past : any source; referred to, so it must stay where it is (a vector of caches must not grow)
///   k, v : [n, kv_heads, head_dim], [n, kv_heads, v_dim]   floats, bf16 or f16; any strides; they
///                                                          follow past's
///
/// Requires   the cache's shapes (errc::heads, errc::shape); `first`, where given, must be the
///            position after the last one of `past`, unless that never held any (errc::position).
template <kv_source Past>
class joined {
 public:
  ORIEL_INLINE joined(Past const& past, stored_view const& k, stored_view const& v,
                      std::optional<index> first = std::nullopt) noexcept
      : past_(&past), k_(k), v_(v), first_(first ? *first : past.positions().end) {}
  joined(Past const&& past, stored_view const& k, stored_view const& v,
         std::optional<index> first = std::nullopt) = delete;  // `past` must be an lvalue

  ORIEL_INLINE status check() const noexcept {
    if (status s = past_->check(); !s.ok()) return s;
    if (status s = contiguous(k_, v_, first_).check(); !s.ok()) return s;
    if (status s = check_rows_of(past_->shape(), k_, v_); !s.ok()) return s;
    bool const begun = !past_->positions().empty() || !past_->lost().empty();
    if (begun && first_ != past_->positions().end) {
      return {errc::position, "first must be the position after the last one the cache holds"};
    }
    return {};
  }
  ORIEL_INLINE kv_shape shape() const noexcept {
    kv_shape all = past_->shape();
    all.coded = all.coded || k_.reader || v_.reader;
    return all;
  }
  ORIEL_INLINE range positions() const noexcept {
    range const kept = past_->positions();
    return {kept.empty() ? first_ : kept.begin, first_ + k_.tokens};
  }
  ORIEL_INLINE range lost() const noexcept { return past_->lost(); }
  template <class Arch = default_arch>
  ORIEL_INLINE kv_run run_at(index head, index position) const noexcept {
    if (position < first_) return detail::run_of<Arch>(*past_, head, position);
    kv_run run = contiguous(k_, v_, first_).run_at(head, position);
    row_readers const kept = readers<Arch>();
    if (kept.k && kept.k.functions->round_trip) run.k.reader = {&as_kept<Arch, true>::table, this};
    if (kept.v && kept.v.functions->round_trip) run.v.reader = {&as_kept<Arch, false>::table, this};
    return run;
  }
  ORIEL_INLINE bool overlaps(tensor_view<float> const& out) const noexcept {
    return past_->overlaps(out) || contiguous(k_, v_, first_).overlaps(out);
  }
  template <class Arch = default_arch>
  ORIEL_INLINE row_readers readers() const noexcept {
    return detail::readers_of<Arch>(*past_);
  }
  ORIEL_INLINE index settled(index position) const noexcept {
    return detail::settled_of(*past_, position);
  }

 private:
  /// Reads fresh keys (or values) as the cache will keep them.
  template <class Arch, bool Keys>
  struct as_kept {
    static void read(void const* context, row_slice const& rows, float* to) noexcept {
      auto const& all = *static_cast<joined const*>(context);
      row_readers const both = all.template readers<Arch>();
      row_reader const kept = Keys ? both.k : both.v;
      stored_view const& fresh = Keys ? all.k_ : all.v_;
      kv_run run{.head = rows.head, .first = rows.first, .rows = 1};
      run.k = {rows.data, rows.stride, fresh.row_bytes, fresh.reader};
      for (index i = 0; i < rows.count; ++i, run = run.from(1), to += rows.dim) {
        float const* const row = run.floats(run.k, rows.dim, to);
        kept.functions->round_trip(kept.context, row, rows.dim, rows.head, run.first, to);
      }
    }
    static constexpr row_functions table{read};
  };

  Past const* past_;
  stored_view k_;
  stored_view v_;
  index first_;
};

}  // namespace oriel::inline v0
