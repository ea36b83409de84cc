// SPDX-License-Identifier: BSL-1.0
// What every codec of integers needs of a row: how far it reaches, and rounding.
#pragma once

#include <limits>

#include "oriel/simd/vec.hpp"

namespace oriel::inline v0 {

/// The smallest and the largest of some numbers; `finite`: none of them is infinite or NaN.
struct extent {
  float low = 0.0f;
  float high = 0.0f;
  bool finite = true;
};

template <class Arch>
extent extent_of(float const* x, index count) noexcept {
  extent all{x[0], x[0], true};
  vec<Arch> low = broadcast<Arch>(x[0]);
  vec<Arch> high = low;
  vec<Arch> zero = broadcast<Arch>(0.0f);  // NaN once an infinity or a NaN has been met
  float zero_tail = 0.0f;
  index const whole = count / lanes<Arch> * lanes<Arch>;
  for (index i = 0; i < whole; i += lanes<Arch>) {
    vec<Arch> const at = load<Arch>(x + i);
    low =
        broadcast<Arch>(0.0f) - max<Arch>(broadcast<Arch>(0.0f) - low, broadcast<Arch>(0.0f) - at);
    high = max<Arch>(high, at);
    zero = zero + at * broadcast<Arch>(0.0f);
  }
  float lane[3][lanes<Arch>];
  store<Arch>(lane[0], low);
  store<Arch>(lane[1], high);
  store<Arch>(lane[2], zero);
  for (int j = 0; j < lanes<Arch>; ++j) {
    all.low = lane[0][j] < all.low ? lane[0][j] : all.low;
    all.high = lane[1][j] > all.high ? lane[1][j] : all.high;
    zero_tail += lane[2][j];
  }
  for (index i = whole; i < count; ++i) {
    all.low = x[i] < all.low ? x[i] : all.low;
    all.high = x[i] > all.high ? x[i] : all.high;
    zero_tail += x[i] * 0.0f;
  }
  all.finite = zero_tail == 0.0f;
  return all;
}

/// How a number halfway between two integers is rounded.
enum class ties { to_even, away };

/// to[i] = f(x[i]) for registers x, cut to [least, most] and rounded to the nearest integer;
/// NaN becomes `least`.
template <class Arch, ties Ties = ties::to_even, class F>
ORIEL_INLINE void round_to_integers(float const* x, index count, float least, float most, float* to,
                                    F&& f) noexcept {
  for (index i = 0; i < count; i += lanes<Arch>) {
    int const width = static_cast<int>(min_of(lanes<Arch>, count - i));
    vec<Arch> const raw = f(load_partial<Arch>(x + i, width));
    // A maximum with NaN is the other number on x86, and NaN on Arm.
    vec<Arch> const t = xsimd::select(xsimd::isnan(raw), broadcast<Arch>(least), raw);
    vec<Arch> rounded = nearest<Arch>(t);
    if constexpr (Ties == ties::away) {
      // max keeps the compiler from joining the product above with what follows.
      vec<Arch> const size = max<Arch>(broadcast<Arch>(0.0f) - t, t);
      vec<Arch> const down = floor<Arch>(size);
      vec<Arch> const one = broadcast<Arch>(1.0f);
      vec<Arch> const up = xsimd::select(size - down >= broadcast<Arch>(0.5f), down + one, down);
      rounded = xsimd::select(t < broadcast<Arch>(0.0f), broadcast<Arch>(0.0f) - up, up);
    }
    rounded = max<Arch>(rounded, broadcast<Arch>(least));
    vec<Arch> const negative = broadcast<Arch>(0.0f) - rounded;
    rounded = broadcast<Arch>(0.0f) - max<Arch>(negative, broadcast<Arch>(-most));
    store_some<Arch>(to + i, rounded, width);
  }
}

}  // namespace oriel::inline v0
