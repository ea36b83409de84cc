// SPDX-License-Identifier: BSL-1.0
// 2^x for the softmax.
#pragma once

#include "oriel/simd/vec.hpp"

namespace oriel::inline v0 {

inline constexpr double log2_e = 1.4426950408889634;
inline constexpr double ln_2 = 0.6931471805599453;

namespace detail {

/// 2^f - 1 + last for f in [0, 1], exactly `last` at 0: minimax of degree 6, relative error of 2^f
/// 2e-9 before rounding (degree 5 has 8e-8, which with its rounding comes to 2.5 ulp).
template <class Arch>
ORIEL_INLINE vec<Arch> exp2_polynomial(vec<Arch> f, vec<Arch> last) noexcept {
  vec<Arch> p = broadcast<Arch>(0x1.c54176p-13f);
  p = fma<Arch>(p, f, broadcast<Arch>(0x1.46d64cp-10f));
  p = fma<Arch>(p, f, broadcast<Arch>(0x1.3d0b92p-7f));
  p = fma<Arch>(p, f, broadcast<Arch>(0x1.c68912p-5f));
  p = fma<Arch>(p, f, broadcast<Arch>(0x1.ebfd58p-3f));
  p = fma<Arch>(p, f, broadcast<Arch>(0x1.62e42cp-1f));
  return fma<Arch>(p, f, last);
}
/// 2^f and 2^f - 1 for f in [0, 1].
template <class Arch>
ORIEL_INLINE vec<Arch> exp2_fraction(vec<Arch> f) noexcept {
  return exp2_polynomial<Arch>(f, broadcast<Arch>(1.0f));
}
template <class Arch>
ORIEL_INLINE vec<Arch> exp2_fraction_less_1(vec<Arch> f) noexcept {
  return exp2_polynomial<Arch>(f, broadcast<Arch>(0.0f));
}

/// 2^n for whole n in [-126, 127]; -127 gives 0 or less than 2^-126.
template <class Arch>
ORIEL_INLINE vec<Arch> power_of_2(vec<Arch> n) noexcept {
#if ORIEL_X86
  if constexpr (x86_bytes<Arch> == 64) {
    return _mm512_maskz_scalef_ps(every_lane, broadcast<Arch>(1.0f), n);
  }
#endif
  using int_vec = xsimd::batch<std::int32_t, Arch>;
  int_vec const exponent = (xsimd::to_int(n) + int_vec(127)) << 23;
#if XSIMD_VERSION_MAJOR < 9
  return xsimd::bitwise_cast<vec<Arch>>(exponent);
#else
  return xsimd::bitwise_cast<float>(exponent);
#endif
}

}  // namespace detail

/// 2^x lane by lane, for x <= 0: within 2 ulp for x in [-126, 0], exactly 1 at 0 and 0 at -inf;
/// between, below -126, it falls to 0 and may flush. NaN stays NaN. 8 instructions on AVX-512.
template <class Arch>
ORIEL_INLINE vec<Arch> exp2(vec<Arch> x) noexcept {
#if ORIEL_X86
  if constexpr (x86_bytes<Arch> == 64 && std::is_base_of_v<xsimd::avx512dq, Arch>) {
    // x - floor(x), which is 0 for -inf; then p * 2^floor(x).
    vec<Arch> const f = _mm512_maskz_reduce_ps(every_lane, x, 0x09);
    return _mm512_maskz_scalef_ps(every_lane, detail::exp2_fraction<Arch>(f), x);
  }
#endif
  // Below -127 the biased exponent is 0: the factor 2^n becomes 0 by itself.
  vec<Arch> const clamped = max<Arch>(broadcast<Arch>(-127.0f), x);  // NaN stays NaN
  vec<Arch> const n = floor<Arch>(clamped);
  vec<Arch> const p = detail::exp2_fraction<Arch>(clamped - n);
#if ORIEL_X86
  if constexpr (x86_bytes<Arch> == 64) {
    return _mm512_maskz_scalef_ps(every_lane, p, x);  // scales by 2^floor(x)
  }
#endif
  return p * detail::power_of_2<Arch>(n);
}

}  // namespace oriel::inline v0
