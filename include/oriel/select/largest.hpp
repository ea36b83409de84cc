// SPDX-License-Identifier: BSL-1.0
// The largest of many numbers.
#pragma once

#include <bit>
#include <cstdint>

#include "oriel/select/selector.hpp"
#include "oriel/simd/transpose.hpp"

namespace oriel::inline v0 {

/// Finds the largest of numbers that are offered one after the other, of equal ones the earlier.
/// NaN counts as infinity. There is no branch for each number: the range that the least of the
/// largest lies in is halved, by value and by bits in turn, until as many are above as are wanted.
/// Cost       for each 256 numbers: as often as the range is halved (some ten times, at most 64) a
///            count in SIMD of wanted + 256, and two more passes over them
template <class Arch>
class largest {
 public:
  ORIEL_INLINE largest() noexcept {}

  /// Wants `wanted` numbers, from 0 to max_chosen, of those that are offered. The first of these is
  /// called `first`, the next first + 1, ...; names of the largest will be written to `to`.
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

  /// The largest of the numbers, or with `sign` -1 of their negatives.
  ORIEL_INLINE float most(float sign) const noexcept {
    vec<Arch> all = broadcast<Arch>(sign * number_[0]);
    index i = 0;
    for (; i + lanes<Arch> <= count_; i += lanes<Arch>) {
      all = max<Arch>(all, load<Arch>(number_ + i) * broadcast<Arch>(sign));
    }
    float top = max_lanes<Arch>(all);
    for (; i < count_; ++i) top = top < sign * number_[i] ? sign * number_[i] : top;
    return top;
  }

  /// Numbers above `limit` are among the largest, and the first `equal` of those that equal it.
  struct border {
    float limit;
    index equal;
  };
  /// The border of more numbers than are wanted.
  border find_border() noexcept {
    for (index i = count_; i % lanes<Arch> != 0; ++i) number_[i] = -infinity;
    index low = rank(0.0f - most(-1.0f));  // of wanted or more, `enough`, each is >= low,
    index high = rank(most(1.0f)) + 1;     // of fewer, `above`, >= high
    index enough = count_;
    index above = 0;
    for (int round = 0; high - low > 1 && enough != wanted_; ++round) {
      float const half = at_rank(low) + (at_rank(high - 1) - at_rank(low)) * 0.5f;
      index const middle =
          round % 2 == 0 ? max_of(low + 1, min_of(rank(half), high - 1)) : low + (high - low) / 2;
      index const n = at_least(at_rank(middle));
      bool const is_low = n >= wanted_;
      low = is_low ? middle : low;
      enough = is_low ? n : enough;
      high = is_low ? high : middle;
      above = is_low ? above : n;
    }
    // Either all that is >= low is wanted, or all of it that is below high is equal.
    return {at_rank(low), enough == wanted_ ? wanted_ : wanted_ - above};
  }

  /// Drops all but the largest.
  void keep() noexcept {
    border const at = count_ > wanted_ ? find_border() : border{-infinity, wanted_};
    index equal = at.equal;
    index out = 0;
    auto const take = [&](index i, index name) ORIEL_INLINE_LAMBDA {
      float const x = number_[i];
      to_[out] = name;
      number_[out] = x;
      int const tie = int{x == at.limit} & int{equal > 0};
      out += int{x > at.limit} | tie;
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
