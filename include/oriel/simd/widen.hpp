// SPDX-License-Identifier: BSL-1.0
// Registers of floats from and to narrower elements in memory. The same bits as element by element,
// on every instruction set.
#pragma once

#include <cstddef>
#include <cstring>

#include "oriel/core/float16.hpp"
#include "oriel/simd/vec.hpp"
#include "oriel/view/element_view.hpp"

namespace oriel::inline v0 {

#if ORIEL_X86
namespace detail {
/// Floats whose upper halves are the 16 words from `From` on: one permutation, where widening and
/// shifting are two instructions. One of words takes Intel's cores twice as long as one of bytes.
template <int From>
ORIEL_INLINE __m512 upper_halves(__m512i words) noexcept {
#if defined(__AVX512VBMI__)
  constexpr auto both = [](int i) { return (2 * (From + i) + 1) << 24 | (2 * (From + i)) << 16; };
#else
  constexpr auto both = [](int i) { return (From + i) << 16; };
#endif
  __m512i const at =
      _mm512_set_epi32(both(15), both(14), both(13), both(12), both(11), both(10), both(9), both(8),
                       both(7), both(6), both(5), both(4), both(3), both(2), both(1), both(0));
#if defined(__AVX512VBMI__)
  return _mm512_castsi512_ps(_mm512_maskz_permutexvar_epi8(0xcccccccccccccccc, at, words));
#else
  return _mm512_castsi512_ps(_mm512_maskz_permutexvar_epi16(0xaaaaaaaa, at, words));
#endif
}
}  // namespace detail
#endif

/// A register of floats from `lanes<Arch>` elements: float, bf16, f16.
template <class Arch, class T>
ORIEL_INLINE vec<Arch> widen(T const* from) noexcept {
  if constexpr (std::is_same_v<T, float>) return load<Arch>(from);
#if ORIEL_X86
  if constexpr (x86_bytes<Arch> == 64 && std::is_same_v<T, bf16>) {
    __m256i const x = _mm256_loadu_si256(reinterpret_cast<__m256i const*>(from));
    return detail::upper_halves<0>(_mm512_castsi256_si512(x));
  }
  if constexpr (x86_bytes<Arch> == 64 && std::is_same_v<T, f16>) {
    __m256i const x = _mm256_loadu_si256(reinterpret_cast<__m256i const*>(from));
    return _mm512_maskz_cvtph_ps(every_lane, x);
  }
#if defined(__AVX2__)
  if constexpr (x86_bytes<Arch> == 32 && std::is_same_v<T, bf16>) {  // a load, one instruction more
    __m128i const x = _mm_loadu_si128(reinterpret_cast<__m128i const*>(from));
    __m256i const upper_halves =
        _mm256_setr_epi8(-1, -1, 0, 1, -1, -1, 2, 3, -1, -1, 4, 5, -1, -1, 6, 7,  //
                         -1, -1, 8, 9, -1, -1, 10, 11, -1, -1, 12, 13, -1, -1, 14, 15);
    return _mm256_castsi256_ps(_mm256_shuffle_epi8(_mm256_broadcastsi128_si256(x), upper_halves));
  }
#endif
#if defined(__F16C__)
  if constexpr (x86_bytes<Arch> == 32 && std::is_same_v<T, f16>) {
    return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<__m128i const*>(from)));
  }
#endif
#endif
  float lane[lanes<Arch>];
  unroll<lanes<Arch>>([&](int i) ORIEL_INLINE_LAMBDA { lane[i] = static_cast<float>(from[i]); });
  return load<Arch>(lane);
}

/// The first (Part 0) or the second register of floats from 2 * lanes<Arch> elements, which are
/// loaded at once where a register holds them.
template <class Arch, int Part, class T>
ORIEL_INLINE vec<Arch> widen_part(T const* from) noexcept {
#if ORIEL_X86
  if constexpr (x86_bytes<Arch> == 64 && std::is_same_v<T, bf16>) {
    return detail::upper_halves<Part * 16>(_mm512_loadu_si512(from));
  }
#endif
  return widen<Arch>(from + Part * lanes<Arch>);
}

/// A register whose lanes are all one element: float, bf16 or f16.
template <class Arch, class T>
ORIEL_INLINE vec<Arch> broadcast_widened(T x) noexcept {
#if ORIEL_X86
#if defined(__F16C__)
  if constexpr (x86_bytes<Arch> == 64 && std::is_same_v<T, f16>) {
    return _mm512_maskz_broadcastss_ps(every_lane, _mm_cvtph_ps(_mm_cvtsi32_si128(x.bits)));
  }
  if constexpr (x86_bytes<Arch> == 32 && std::is_same_v<T, f16>) {
    return _mm256_cvtph_ps(_mm_set1_epi16(static_cast<short>(x.bits)));
  }
#endif
#endif
  return broadcast<Arch>(static_cast<float>(x));
}

/// Writes a register's floats as `lanes<Arch>` elements: float, bf16, f16.
template <class Arch, class T>
ORIEL_INLINE void narrow(T* to, vec<Arch> x) noexcept {
  if constexpr (std::is_same_v<T, float>) return store<Arch>(to, x);
#if ORIEL_X86
  if constexpr (x86_bytes<Arch> == 64 && std::is_same_v<T, bf16>) {
    // As bf16(float): vcvtneps2bf16 would flush denormals.
    __m512i const u = _mm512_castps_si512(x);
    __m512i const odd =
        _mm512_and_si512(_mm512_maskz_srli_epi32(every_lane, u, 16), _mm512_set1_epi32(1));
    __m512i const rounded = _mm512_add_epi32(_mm512_add_epi32(u, _mm512_set1_epi32(0x7fff)), odd);
    __m512i const quiet = _mm512_or_si512(u, _mm512_set1_epi32(0x00400000));
    __mmask16 const nan = _mm512_cmp_ps_mask(x, x, _CMP_UNORD_Q);
    __m512i const y =
        _mm512_maskz_srli_epi32(every_lane, _mm512_mask_blend_epi32(nan, rounded, quiet), 16);
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), _mm512_maskz_cvtepi32_epi16(every_lane, y));
    return;
  }
  if constexpr (x86_bytes<Arch> == 64 && std::is_same_v<T, f16>) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(to),
                        _mm512_maskz_cvtps_ph(every_lane, x, _MM_FROUND_TO_NEAREST_INT));
    return;
  }
#if defined(__AVX2__)
  if constexpr (x86_bytes<Arch> == 32 && std::is_same_v<T, bf16>) {  // as above
    __m256i const u = _mm256_castps_si256(x);
    __m256i const odd = _mm256_and_si256(_mm256_srli_epi32(u, 16), _mm256_set1_epi32(1));
    __m256i const rounded = _mm256_add_epi32(_mm256_add_epi32(u, _mm256_set1_epi32(0x7fff)), odd);
    __m256i const quiet = _mm256_or_si256(u, _mm256_set1_epi32(0x00400000));
    __m256 const nan = _mm256_cmp_ps(x, x, _CMP_UNORD_Q);
    __m256i const y =
        _mm256_srli_epi32(_mm256_blendv_epi8(rounded, quiet, _mm256_castps_si256(nan)), 16);
    __m128i const words =
        _mm_packus_epi32(_mm256_castsi256_si128(y), _mm256_extracti128_si256(y, 1));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(to), words);
    return;
  }
#endif
#if defined(__F16C__)
  if constexpr (x86_bytes<Arch> == 32 && std::is_same_v<T, f16>) {
    _mm_storeu_si128(reinterpret_cast<__m128i*>(to), _mm256_cvtps_ph(x, _MM_FROUND_TO_NEAREST_INT));
    return;
  }
#endif
#endif
  float lane[lanes<Arch>];
  store<Arch>(lane, x);
  unroll<lanes<Arch>>([&](int i) ORIEL_INLINE_LAMBDA { to[i] = static_cast<T>(lane[i]); });
}

/// A register of floats from the bits [shift, shift + Bits) of `lanes<Arch>` bytes: from 0 to
/// 2^Bits - 1, of 8 bits with a sign from -128 to 127.
template <class Arch, int Bits, bool Signed = false>
ORIEL_INLINE vec<Arch> widen_bits(std::byte const* from, int shift = 0) noexcept {
  static_assert(Bits == 8 || !Signed);
  constexpr int mask = (1 << Bits) - 1;
#if ORIEL_X86
  if constexpr (x86_bytes<Arch> == 64) {
    __m128i const bytes = _mm_loadu_si128(reinterpret_cast<__m128i const*>(from));
    __m512i x = Signed ? _mm512_maskz_cvtepi8_epi32(every_lane, bytes)
                       : _mm512_maskz_cvtepu8_epi32(every_lane, bytes);
    if (shift > 0) x = _mm512_maskz_srli_epi32(every_lane, x, static_cast<unsigned>(shift));
    if (shift + Bits < 8) x = _mm512_and_si512(x, _mm512_set1_epi32(mask));
    return _mm512_maskz_cvtepi32_ps(every_lane, x);
  }
#if defined(__AVX2__)
  if constexpr (x86_bytes<Arch> == 32) {
    __m128i const bytes = _mm_loadl_epi64(reinterpret_cast<__m128i const*>(from));
    __m256i x = Signed ? _mm256_cvtepi8_epi32(bytes) : _mm256_cvtepu8_epi32(bytes);
    if (shift > 0) x = _mm256_srli_epi32(x, shift);
    if (shift + Bits < 8) x = _mm256_and_si256(x, _mm256_set1_epi32(mask));
    return _mm256_cvtepi32_ps(x);
  }
#endif
#endif
  float lane[lanes<Arch>];
  unroll<lanes<Arch>>([&](int i) ORIEL_INLINE_LAMBDA {
    int const byte = std::to_integer<int>(from[i]);
    lane[i] = static_cast<float>(Signed ? (byte ^ 0x80) - 0x80 : byte >> shift & mask);
  });
  return load<Arch>(lane);
}

/// f(widen_bits<Arch, Bits, Signed>(from, shift)), where f is lane by lane. Where a register holds
/// every code, f is asked once for all of them and the results are looked up.
template <class Arch, int Bits, bool Signed, class F>
ORIEL_INLINE vec<Arch> map_bits(std::byte const* from, int shift, F&& f) noexcept {
#if ORIEL_X86
  if constexpr (x86_bytes<Arch> == 64 && Bits == 4) {
    constexpr float code[] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
    __m128i const bytes = _mm_loadu_si128(reinterpret_cast<__m128i const*>(from));
    __m512i at = _mm512_maskz_cvtepu8_epi32(every_lane, bytes);  // of which 4 bits count
    if (shift > 0) at = _mm512_maskz_srli_epi32(every_lane, at, static_cast<unsigned>(shift));
    return _mm512_maskz_permutexvar_ps(every_lane, at, f(load<Arch>(code)));
  }
#endif
  return f(widen_bits<Arch, Bits, Signed>(from, shift));
}

/// A float from an element: float, bf16 or f16, which needs no alignment.
template <class Arch, class T>
ORIEL_INLINE float widen_one(std::byte const* from) noexcept {
  T x;
  std::memcpy(&x, from, sizeof x);
#if ORIEL_X86 && defined(__F16C__)
  if constexpr (x86_bytes<Arch> >= 32 && std::is_same_v<T, f16>) {
    return _mm_cvtss_f32(_mm_cvtph_ps(_mm_set1_epi16(static_cast<short>(x.bits))));
  }
#endif
  return static_cast<float>(x);
}

/// `count` floats from as many elements, which need no alignment; few of them.
template <class Arch, class T>
ORIEL_INLINE void widen_few(std::byte const* from, index count, float* to) noexcept {
  constexpr index size = sizeof(T);
#if ORIEL_X86 && defined(__F16C__)
  if constexpr (x86_bytes<Arch> >= 32 && std::is_same_v<T, f16>) {
    for (; count >= 8; count -= 8, from += 8 * size, to += 8) {
      __m128i const x = _mm_loadu_si128(reinterpret_cast<__m128i const*>(from));
      _mm256_storeu_ps(to, _mm256_cvtph_ps(x));
    }
    for (; count >= 4; count -= 4, from += 4 * size, to += 4) {
      __m128i const x = _mm_loadl_epi64(reinterpret_cast<__m128i const*>(from));
      _mm_storeu_ps(to, _mm_cvtph_ps(x));
    }
  }
#endif
  for (index i = 0; i < count; ++i) to[i] = widen_one<Arch, T>(from + i * size);
}

/// `count` floats from as many elements that lie `step` bytes apart; few of them.
template <class Arch, class T>
ORIEL_INLINE void widen_apart(std::byte const* from, index step, index count, float* to) noexcept {
#if ORIEL_X86 && defined(__F16C__)
  if constexpr (x86_bytes<Arch> >= 32 && std::is_same_v<T, f16>) {
    for (; count >= 4; count -= 4, from += 4 * step, to += 4) {
      std::uint64_t bits = 0;
      unroll<4>([&](int i) ORIEL_INLINE_LAMBDA {
        T x;
        std::memcpy(&x, from + i * step, sizeof x);
        bits |= std::uint64_t{x.bits} << (16 * i);
      });
      _mm_storeu_ps(to, _mm_cvtph_ps(_mm_cvtsi64_si128(static_cast<long long>(bits))));
    }
  }
#endif
  for (index i = 0; i < count; ++i) to[i] = widen_one<Arch, T>(from + i * step);
}

/// `count` floats from as many elements.
template <class Arch, class T>
void widen_row(T const* from, index count, float* to) noexcept {
  index const whole = count / lanes<Arch> * lanes<Arch>;
  for (index d = 0; d < whole; d += lanes<Arch>) store<Arch>(to + d, widen<Arch>(from + d));
  for (index d = whole; d < count; ++d) to[d] = static_cast<float>(from[d]);
}

/// Row (token, head) of a view as floats: where it lies, or written to `to` [dim].
template <class Arch>
float const* wide_row(input_view const& of, index token, index head, float* to) noexcept {
  return of.visit([&]<class T>(tensor_view<T> const& view) ORIEL_INLINE_LAMBDA -> float const* {
    if constexpr (std::is_same_v<T, float const>) {
      return view.row(token, head);
    } else {
      widen_row<Arch>(view.row(token, head), view.dim, to);
      return to;
    }
  });
}

/// `count` elements from as many floats.
template <class Arch, class T>
void narrow_row(float const* from, index count, T* to) noexcept {
  index const whole = count / lanes<Arch> * lanes<Arch>;
  for (index d = 0; d < whole; d += lanes<Arch>) narrow<Arch>(to + d, load<Arch>(from + d));
  for (index d = whole; d < count; ++d) to[d] = static_cast<T>(from[d]);
}

}  // namespace oriel::inline v0
