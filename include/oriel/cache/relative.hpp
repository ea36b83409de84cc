// SPDX-License-Identifier: BSL-1.0
// Positions relative to the cache: keys kept before RoPE, rotated to their place as they are read.
#pragma once

#include <cstring>

#include "oriel/cache/rope.hpp"
#include "oriel/cache/source.hpp"
#include "oriel/codec/codec.hpp"

namespace oriel::inline v0 {

/// A source whose keys were kept before RoPE, seen as the rows it holds, one after the other: the
/// row in place i (sinks, then the window, then fresh rows) has position i, whatever was lost
/// between, and its key is rotated to i when it is read. So distances never exceed what is held, at
/// any length of text, as StreamingLLM wants them.
///
///   past    a cache, or joined{cache, k, v}; referred to
///   table   the rotations for at least as many places as rows are held; referred to
///
/// Queries are the caller's to rotate: the last one stands at the last place, positions().end - 1
/// (where attention puts it by default). The mask speaks of places: causal{} shows all that is
/// held. A reader of values is told places, too.
///
/// Requires   a table no wider than a key and with enough places (errc::shape), keys of at most
///            4096 floats (errc::shape), and what past and table require.
/// Cost       3 dim flops per key that is read; no memory.
/// Source     Xiao et al. 2023 (StreamingLLM), arXiv:2309.17453, section 3.2.
template <kv_source Past>
class relative {
 public:
  ORIEL_INLINE relative(Past const& past, rope_table const& table) noexcept
      : past_(&past), table_(&table) {}
  relative(Past const&& past, rope_table const& table) = delete;  // `past` must be an lvalue
  relative(Past const& past, rope_table const&& table) = delete;  // and so must `table`

  ORIEL_INLINE status check() const noexcept {
    if (status s = past_->check(); !s.ok()) return s;
    if (status s = table_->check(); !s.ok()) return s;
    index const dim = past_->shape().head_dim;
    if (dim > max_coded_dim) return {errc::shape, "relative: keys must not exceed 4096 floats"};
    if (table_->by().dim > dim) return {errc::shape, "rope.dim must not exceed head_dim"};
    if (table_->places() < positions().end) {
      return {errc::shape, "relative: the table must have a place for every row held"};
    }
    return {};
  }
  ORIEL_INLINE kv_shape shape() const noexcept {
    kv_shape all = past_->shape();
    all.coded = true;
    return all;
  }
  ORIEL_INLINE range positions() const noexcept {
    range const all = past_->positions();
    return {0, all.size() - intersect(past_->lost(), all).size()};
  }
  ORIEL_INLINE range lost() const noexcept { return {}; }
  /// Of the past; as long as it loses no further row, when places change.
  ORIEL_INLINE index settled(index place) const noexcept {
    range const all = past_->positions();
    range const lost = intersect(past_->lost(), all);
    index const position = detail::settled_of(*past_, position_of(place));
    index const gone = min_of(max_of(position - lost.begin, 0), lost.size());
    return max_of(position - all.begin - gone, 0);
  }
  template <class Arch = default_arch>
  ORIEL_INLINE kv_run run_at(index head, index place) const noexcept {
    kv_run run = detail::run_of<Arch>(*past_, head, position_of(place));
    run.k.reader = {&rotating<Arch>::table, this};
    run.first = place;
    return run;
  }
  ORIEL_INLINE bool overlaps(tensor_view<float> const& out) const noexcept {
    return past_->overlaps(out) || footprint(out).meets(table_->own());
  }

 private:
  /// The position of the row in a place.
  ORIEL_INLINE index position_of(index place) const noexcept {
    range const all = past_->positions();
    range const lost = intersect(past_->lost(), all);
    bool const before = lost.empty() || all.begin + place < lost.begin;
    return all.begin + place + (before ? 0 : lost.size());
  }

  /// Reads keys, from wherever they lie, and rotates them.
  template <class Arch>
  struct rotating {
    static void read(void const* context, row_slice const& rows, float* to) noexcept {
      auto const& all = *static_cast<relative const*>(context);
      row_slice of_past = rows;
      of_past.first = all.position_of(rows.first);
      row_reader const reader = detail::run_of<Arch>(*all.past_, rows.head, of_past.first).k.reader;
      if (reader) {
        reader(of_past, to);
      } else {
        for (index i = 0; i < rows.count; ++i) {
          std::memcpy(to + i * rows.dim, rows.data + i * rows.stride,
                      static_cast<std::size_t>(rows.dim) * sizeof(float));
        }
      }
      for (index i = 0; i < rows.count; ++i) {
        all.table_->template rotate<Arch>(rows.first + i, to + i * rows.dim);
      }
    }
    static constexpr row_functions table{read};
  };

  Past const* past_;
  rope_table const* table_;
};

}  // namespace oriel::inline v0
