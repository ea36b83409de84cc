// SPDX-License-Identifier: BSL-1.0
// The largest of many numbers.
#pragma once

#include <bit>
#include <cstdint>
#include <limits>

#include "oriel/select/selector.hpp"
#include "oriel/simd/transpose.hpp"

namespace oriel::inline v0 {

/// Finds the largest of numbers that are offered one after the other, of equal ones the earlier.
/// NaN counts as infinity. No branch depends on a number alone: the range that the smallest of them
/// lies in is halved, by value and by bits in turn, until as many are above as are wanted.
/// Cost       for 256 that are offered, two passes over wanted + 256 numbers, and one in SIMD for
///            each time the range is halved: some ten, at most 64
template <class Arch>
class largest {
 public:
  ORIEL_INLINE largest() noexcept {}

  /// Wants `wanted` <= max_chosen numbers, of which the first is called `first`, the next
  /// first + 1, ..., whose names will be written to `to`.
  ORIEL_INLINE void begin(index first, index wanted, index* to) noexcept {
    fresh_ = first;
    wanted_ = wanted;
    to_ = to;
    kept_ = count_ = 0;
  }

  ORIEL_INLINE void offer(float x) noexcept {
    if (count_ == wanted_ + most_fresh) keep();
    number_[count_++] = x == x ? x + 0.0f : infinity;  // -0 is 0
  }

  /// Writes the names of the largest, ascending: `wanted`, or as many as were offered.
  void finish() noexcept { keep(); }

 private:
  static constexpr index most_fresh = 256;

  struct ends {
    float least, most;
  };

  /// Integers in the order of floats, and back. There is no NaN.
  ORIEL_INLINE static std::int32_t flipped(std::int32_t bits) noexcept {
    return bits ^ ((bits >> 31) & INT32_MAX);
  }
  ORIEL_INLINE static index rank(float x) noexcept {
    return flipped(std::bit_cast<std::int32_t>(x));
  }
  ORIEL_INLINE static float at_rank(index rank) noexcept {
    return std::bit_cast<float>(flipped(static_cast<std::int32_t>(rank)));
  }

  /// How many are >= limit? Behind the numbers, registers are filled up with -inf.
  ORIEL_INLINE index at_least(float limit) const noexcept {
    vec<Arch> const level = broadcast<Arch>(limit);
    index all = 0;
    for (index i = 0; i < count_; i += lanes<Arch>) {
      all += count_at_least<Arch>(load<Arch>(number_ + i), level);
    }
    return all;
  }

  /// Fills the last register up with -inf and returns the least and the largest number.
  ORIEL_INLINE ends fill_up() noexcept {
    index const end = round_up(count_, lanes<Arch>);
    for (index i = count_; i < end; ++i) number_[i] = number_[0];
    vec<Arch> most = load<Arch>(number_);
    vec<Arch> least = broadcast<Arch>(0.0f) - most;
    for (index i = lanes<Arch>; i < end; i += lanes<Arch>) {
      vec<Arch> const x = load<Arch>(number_ + i);
      most = max<Arch>(most, x);
      least = max<Arch>(least, broadcast<Arch>(0.0f) - x);
    }
    for (index i = count_; i < end; ++i) number_[i] = -infinity;
    return {0.0f - max_lanes<Arch>(least), max_lanes<Arch>(most)};
  }

  /// Drops all but the largest.
  void keep() noexcept {
    float limit = -infinity;  // what is above is taken, and the first of those that equal it
    index equal = wanted_;
    if (count_ > wanted_) {
      auto const [least, most] = fill_up();
      index low = rank(least);  // at least as many as are wanted are >= low, fewer >= high
      index high = rank(most) + 1;
      index found = count_;
      index above = 0;
      for (int round = 0; high - low > 1 && found != wanted_; ++round) {
        float const half = at_rank(low) + (at_rank(high - 1) - at_rank(low)) * 0.5f;
        index const middle =
            round % 2 == 0 ? max_of(low + 1, min_of(rank(half), high - 1)) : low + (high - low) / 2;
        index const n = at_least(at_rank(middle));
        bool const enough = n >= wanted_;
        low = enough ? middle : low;
        found = enough ? n : found;
        high = enough ? high : middle;
        above = enough ? above : n;
      }
      limit = at_rank(low);
      // Those from low up to high equal the limit, unless all of them are wanted.
      if (found != wanted_) equal = wanted_ - above;
    }
    index out = 0;
    auto const take = [&](index i, index name) ORIEL_INLINE_LAMBDA {
      float const x = number_[i];
      to_[out] = name;
      number_[out] = x;
      int const tie = int{x == limit} & int{equal > 0};
      out += int{x > limit} | tie;
      equal -= tie;
    };
    index i = 0;
    for (; i < kept_ && out < wanted_; ++i) take(i, to_[i]);
    for (; i < count_ && out < wanted_; ++i) take(i, fresh_ + i - kept_);
    fresh_ += count_ - kept_;
    kept_ = count_ = out;
  }

  index fresh_ = 0;  ///< name of the first that is not in the list yet
  index wanted_ = 0;
  index* to_ = nullptr;
  index kept_ = 0;  ///< of the numbers, those that were the largest so far: named in the list
  index count_ = 0;
  float number_[max_chosen + most_fresh + lanes<Arch>];
};

}  // namespace oriel::inline v0
