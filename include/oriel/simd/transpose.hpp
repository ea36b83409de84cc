// SPDX-License-Identifier: BSL-1.0
// Square transposes and sums across lanes.
#pragma once

#include <bit>

#include "oriel/simd/vec.hpp"

namespace oriel::inline v0 {

namespace detail {

/// log2(lanes).
template <class Arch>
inline constexpr int rounds = std::countr_zero(static_cast<unsigned>(lanes<Arch>));

/// a0 b0 a1 b1 ... of the lower halves of a and b (`Upper`: of the upper halves).
template <class Arch, bool Upper>
ORIEL_INLINE vec<Arch> interleave(vec<Arch> a, vec<Arch> b) noexcept {
#if ORIEL_X86
  if constexpr (x86_bytes<Arch> == 64) {
    constexpr int first = Upper ? 8 : 0;
    __m512i const lane =
        _mm512_add_epi32(_mm512_setr_epi32(0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23),
                         _mm512_set1_epi32(first));
    return _mm512_permutex2var_ps(a, lane, b);
  }
  if constexpr (x86_bytes<Arch> == 32) {  // xsimd 8.1 and 13 mean different things by zip here
    __m256 const low = _mm256_unpacklo_ps(a, b);
    __m256 const high = _mm256_unpackhi_ps(a, b);
    return _mm256_permute2f128_ps(low, high, Upper ? 0x31 : 0x20);
  }
#endif
  if constexpr (Upper) {
    return xsimd::zip_hi(a, b);
  } else {
    return xsimd::zip_lo(a, b);
  }
}

}  // namespace detail

/// Transposes the lanes x lanes matrix whose rows are `row`: log2(lanes) rounds that each
/// interleave row i with row i + lanes / 2.
template <class Arch>
ORIEL_INLINE void transpose(vec<Arch> (&row)[lanes<Arch>]) noexcept {
  constexpr int half = lanes<Arch> / 2;
  unroll<detail::rounds<Arch>>([&](int) ORIEL_INLINE_LAMBDA {
    vec<Arch> next[lanes<Arch>];
    unroll<half>([&](int i) ORIEL_INLINE_LAMBDA {
      next[2 * i] = detail::interleave<Arch, false>(row[i], row[i + half]);
      next[2 * i + 1] = detail::interleave<Arch, true>(row[i], row[i + half]);
    });
    unroll<lanes<Arch>>([&](int i) ORIEL_INLINE_LAMBDA { row[i] = next[i]; });
  });
}

namespace detail {

/// Round `Round` of sum_rows: of a and b, half of the lanes of each plus the other half.
template <class Arch, int Round>
ORIEL_INLINE vec<Arch> halves_added(vec<Arch> a, vec<Arch> b) noexcept {
#if ORIEL_X86
  // Within 128 bits first, then between them: these shuffles take half the time of `interleave`.
  if constexpr (x86_bytes<Arch> == 64) {
    if constexpr (Round == 0) {
      return vec<Arch>(_mm512_maskz_unpacklo_ps(every_lane, a, b)) +
             vec<Arch>(_mm512_maskz_unpackhi_ps(every_lane, a, b));
    } else if constexpr (Round == 1) {
      __m512d const x = _mm512_castps_pd(a);
      __m512d const y = _mm512_castps_pd(b);
      return vec<Arch>(_mm512_castpd_ps(_mm512_maskz_unpacklo_pd(0xff, x, y))) +
             vec<Arch>(_mm512_castpd_ps(_mm512_maskz_unpackhi_pd(0xff, x, y)));
    } else {
      return vec<Arch>(_mm512_maskz_shuffle_f32x4(every_lane, a, b, 0x88)) +
             vec<Arch>(_mm512_maskz_shuffle_f32x4(every_lane, a, b, 0xdd));
    }
  } else if constexpr (x86_bytes<Arch> == 32) {
    if constexpr (Round == 0) {
      return vec<Arch>(_mm256_unpacklo_ps(a, b)) + vec<Arch>(_mm256_unpackhi_ps(a, b));
    } else if constexpr (Round == 1) {
      __m256d const x = _mm256_castps_pd(a);
      __m256d const y = _mm256_castps_pd(b);
      return vec<Arch>(_mm256_castpd_ps(_mm256_unpacklo_pd(x, y))) +
             vec<Arch>(_mm256_castpd_ps(_mm256_unpackhi_pd(x, y)));
    } else {
      return vec<Arch>(_mm256_permute2f128_ps(a, b, 0x20)) +
             vec<Arch>(_mm256_permute2f128_ps(a, b, 0x31));
    }
  } else {
    return interleave<Arch, false>(a, b) + interleave<Arch, true>(a, b);
  }
#else
  return interleave<Arch, false>(a, b) + interleave<Arch, true>(a, b);
#endif
}

/// Does halves_added pair neighbouring rows? `interleave` takes those half of the rows apart.
template <class Arch>
inline constexpr bool pairs_neighbours = x86_bytes<Arch> == 64 || x86_bytes<Arch> == 32;

}  // namespace detail

/// Lane i of the result is the sum over the lanes of row[i]. Every row is summed in the same order,
/// as a tree.
template <class Arch>
ORIEL_INLINE vec<Arch> sum_rows(vec<Arch> (&row)[lanes<Arch>]) noexcept {
  auto const add = [&]<int Round>(std::integral_constant<int, Round>) ORIEL_INLINE_LAMBDA {
    if constexpr (Round < detail::rounds<Arch>) {
      constexpr int half = lanes<Arch> / (2 << Round);
      constexpr int step = detail::pairs_neighbours<Arch> ? 2 : 1;
      constexpr int apart = detail::pairs_neighbours<Arch> ? 1 : half;
      unroll<half>([&](int i) ORIEL_INLINE_LAMBDA {
        row[i] = detail::halves_added<Arch, Round>(row[i * step], row[i * step + apart]);
      });
    }
  };
  add(std::integral_constant<int, 0>{});
  add(std::integral_constant<int, 1>{});
  add(std::integral_constant<int, 2>{});
  add(std::integral_constant<int, 3>{});
  return row[0];
}

/// to[j * to_step + i] = from[i * from_step + j] for i, j < 4.
ORIEL_INLINE void transpose_4x4(float const* from, index from_step, float* to,
                                index to_step) noexcept {
#if ORIEL_X86
  __m128 row[4];
  unroll<4>([&](int i) ORIEL_INLINE_LAMBDA { row[i] = _mm_loadu_ps(from + i * from_step); });
  _MM_TRANSPOSE4_PS(row[0], row[1], row[2], row[3]);
  unroll<4>([&](int j) ORIEL_INLINE_LAMBDA { _mm_storeu_ps(to + j * to_step, row[j]); });
#else
  for (index i = 0; i < 4; ++i) {
    for (index j = 0; j < 4; ++j) to[j * to_step + i] = from[i * from_step + j];
  }
#endif
}

namespace detail {

/// Orders of four parts, for shuffles: 2 3 0 1, and 1 0 3 2.
inline constexpr int swaps_halves = 0x4e;
inline constexpr int swaps_neighbours = 0xb1;

/// f over a register's lanes, as a tree: each of the lower half with that half a register above.
template <class Arch, class F>
ORIEL_INLINE float fold_lanes(vec<Arch> x, F&& f) noexcept {
#if ORIEL_X86
  if constexpr (x86_bytes<Arch> == 64) {
    x = f(x, vec<Arch>(_mm512_maskz_shuffle_f32x4(every_lane, x, x, swaps_halves)));
    x = f(x, vec<Arch>(_mm512_maskz_shuffle_f32x4(every_lane, x, x, swaps_neighbours)));
    x = f(x, vec<Arch>(_mm512_maskz_permute_ps(every_lane, x, swaps_halves)));
    x = f(x, vec<Arch>(_mm512_maskz_permute_ps(every_lane, x, swaps_neighbours)));
    return _mm512_cvtss_f32(x);
  } else if constexpr (x86_bytes<Arch> == 32) {
    x = f(x, vec<Arch>(_mm256_permute2f128_ps(x, x, 1)));
    x = f(x, vec<Arch>(_mm256_permute_ps(x, swaps_halves)));
    x = f(x, vec<Arch>(_mm256_permute_ps(x, swaps_neighbours)));
    return _mm256_cvtss_f32(x);
  } else {
    x = f(x, vec<Arch>(_mm_shuffle_ps(x, x, swaps_halves)));
    x = f(x, vec<Arch>(_mm_shuffle_ps(x, x, swaps_neighbours)));
    return _mm_cvtss_f32(x);
  }
#else
  unroll<rounds<Arch>>([&](int) ORIEL_INLINE_LAMBDA {
    x = f(interleave<Arch, false>(x, x), interleave<Arch, true>(x, x));
  });
  return x.get(0);
#endif
}

}  // namespace detail

/// The largest of a register's lanes, any of them if one is NaN.
template <class Arch>
ORIEL_INLINE float max_lanes(vec<Arch> x) noexcept {
  return detail::fold_lanes<Arch>(
      x, [](vec<Arch> a, vec<Arch> b) ORIEL_INLINE_LAMBDA { return max<Arch>(b, a); });
}

/// The sum of a register's lanes.
template <class Arch>
ORIEL_INLINE float sum_lanes(vec<Arch> x) noexcept {
  return detail::fold_lanes<Arch>(
      x, [](vec<Arch> a, vec<Arch> b) ORIEL_INLINE_LAMBDA { return a + b; });
}

}  // namespace oriel::inline v0
