// SPDX-License-Identifier: BSL-1.0
// tanh for soft-capped scores, of a register and of a double alike.
#pragma once

#include <cmath>

#include "oriel/simd/exp2.hpp"

namespace oriel::inline v0 {

/// tanh lane by lane, within 6 ulp; NaN stays NaN. It is e / (e + 2) with e = exp(2 |x|) - 1, whose
/// last step 2^n (2^f - 1) + (2^n - 1) cancels nothing, so that small scores keep their digits.
template <class Arch>
ORIEL_INLINE vec<Arch> tanh(xsimd::batch<float, Arch> x) noexcept {
  constexpr float two_log2_e = 2.8853900817779268f;
  vec<Arch> const zero = broadcast<Arch>(0.0f);
  vec<Arch> const positive = max<Arch>(zero - x, x);
  // At most 2^30: there tanh is 1. (NaN as the second argument of max stays.)
  vec<Arch> const t =
      zero - max<Arch>(broadcast<Arch>(-30.0f), zero - positive * broadcast<Arch>(two_log2_e));
  vec<Arch> const n = floor<Arch>(t);
  vec<Arch> const grown = detail::power_of_2<Arch>(n);
  vec<Arch> const part = detail::exp2_fraction_less_1<Arch>(t - n);
  vec<Arch> const e = fma<Arch>(grown, part, grown - broadcast<Arch>(1.0f));
  vec<Arch> const y = e / (e + broadcast<Arch>(2.0f));
  return xsimd::select(x < zero, zero - y, y);
}
ORIEL_INLINE double tanh(double x) noexcept { return std::tanh(x); }

/// |x|.
template <class Arch>
ORIEL_INLINE vec<Arch> abs(xsimd::batch<float, Arch> x) noexcept {
  return max<Arch>(broadcast<Arch>(0.0f) - x, x);
}
ORIEL_INLINE double abs(double x) noexcept { return x < 0.0 ? -x : x; }

}  // namespace oriel::inline v0
