// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <bit>
#include <cstring>

#include "oriel/mask/visible_rows.hpp"

namespace oriel::inline v0 {

/// A mask that somebody has already written down, a byte per pair: for engines that have one. Any
/// value but 0 shows, as in PyTorch's boolean attn_mask. Pairs outside of the tensor are hidden. A
/// padding mask [keys] is one with a query stride of 0. A tile is looked through before it is
/// computed, so that what is hidden as a whole costs a byte per pair and no more.
///
///   data          [queries, keys] bytes or bools; referred to
///   queries, keys positions of the rows and columns
class dense_mask {
 public:
  ORIEL_INLINE dense_mask(bool const* data, range queries, range keys, index query_stride,
                          index key_stride = 1) noexcept
      : dense_mask(reinterpret_cast<unsigned char const*>(data), queries, keys, query_stride,
                   key_stride) {}
  ORIEL_INLINE constexpr dense_mask(unsigned char const* data, range queries, range keys,
                                    index query_stride, index key_stride = 1) noexcept
      : data_(data),
        queries_(intersect(queries, everywhere)),
        keys_(intersect(keys, everywhere)),
        query_stride_(query_stride),
        key_stride_(key_stride) {}

  ORIEL_INLINE constexpr status check() const noexcept {
    if (data_ == nullptr && !queries_.empty() && !keys_.empty()) {
      return {errc::memory, "mask: dense_mask.data must not be null"};
    }
    index const span = saturating_add(stride_span(queries_.size(), query_stride_),
                                      stride_span(keys_.size(), key_stride_));
    if (span > max_position)
      return {errc::shape, "mask: dense_mask's strides leave the address space"};
    return {};
  }
  ORIEL_INLINE constexpr bool visible(index q, index k) const noexcept {
    return queries_.contains(q) && keys_.contains(k) && at(q, k);
  }
  ORIEL_INLINE coverage cover(range queries, range keys) const noexcept {
    range const q_in = intersect(queries, queries_);
    range const k_in = intersect(keys, keys_);
    bool hidden = q_in != queries || k_in != keys;
    bool seen = false;
    for (index q = q_in.begin; q < q_in.end && !(hidden && seen); ++q) {
      for_each_word(q, k_in, [&](index, std::uint64_t bytes, int count) ORIEL_INLINE_LAMBDA {
        seen = seen || bytes != 0;
        // A byte is 0 where subtracting 1 borrows and its own highest bit was not set.
        std::uint64_t const ones = 0x0101'0101'0101'0101 >> (64 - 8 * count);
        hidden = hidden || ((bytes - ones) & ~bytes & (ones << 7)) != 0;
      });
    }
    return !seen ? coverage::none : hidden ? coverage::some : coverage::all;
  }
  ORIEL_INLINE constexpr key_ranges reach(range queries) const noexcept {
    return intersect(queries, queries_).empty() ? key_ranges() : key_ranges(keys_);
  }
  /// As the free function of that name.
  ORIEL_INLINE void visible_rows(row_tile const& rows, range keys,
                                 std::uint64_t* word) const noexcept {
    for (index i = 0; i < keys.size(); ++i) word[i] = 0;
    range const inside = intersect(keys, keys_);
    for_each_token(rows, [&](index q, std::uint64_t token) ORIEL_INLINE_LAMBDA {
      if (!queries_.contains(q)) return;
      for_each_word(q, inside, [&](index k, std::uint64_t bytes, int) ORIEL_INLINE_LAMBDA {
        for (; bytes != 0; bytes >>= 8, ++k) {
          if ((bytes & 0xff) != 0) word[k - keys.begin] |= token;
        }
      });
    });
  }

 private:
  ORIEL_INLINE constexpr bool at(index q, index k) const noexcept { return *pair(q, k) != 0; }
  ORIEL_INLINE constexpr unsigned char const* pair(index q, index k) const noexcept {
    return data_ + (q - queries_.begin) * query_stride_ + (k - keys_.begin) * key_stride_;
  }
  /// Calls f(first key, bytes of some keys from there on, the first in the lowest byte, their
  /// number): eight at a time where they lie side by side.
  template <class F>
  ORIEL_INLINE void for_each_word(index q, range keys, F&& f) const noexcept {
    index k = keys.begin;
    if constexpr (std::endian::native == std::endian::little) {
      for (; key_stride_ == 1 && k + 8 <= keys.end; k += 8) {
        std::uint64_t bytes;
        std::memcpy(&bytes, pair(q, k), sizeof bytes);
        f(k, bytes, 8);
      }
    }
    for (; k < keys.end; ++k) f(k, std::uint64_t{*pair(q, k)}, 1);
  }

  unsigned char const* data_;
  range queries_;
  range keys_;
  index query_stride_;
  index key_stride_;
};

}  // namespace oriel::inline v0
