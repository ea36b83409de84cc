// SPDX-License-Identifier: BSL-1.0
// Registers of whole numbers of 16 bits, whose products are summed in pairs: where an instruction
// set has them.
#pragma once

#include <cstdint>

#include "oriel/simd/vec.hpp"

namespace oriel::inline v0 {

/// Are there such registers (AVX2 with FMA, AVX-512BW)?
template <class Arch>
inline constexpr bool has_words =
#if defined(__AVX512BW__)
    x86_bytes<Arch> == 64 || (x86_bytes<Arch> == 32 && has_fma<Arch>);
#elif defined(__AVX2__)
    x86_bytes<Arch> == 32 && has_fma<Arch>;
#else
    false;
#endif

/// Numbers of 16 bits in a register: two for each float.
template <class Arch>
inline constexpr int word_lanes = 2 * lanes<Arch>;

/// Bytes of a register, as whole numbers of 16 or of 32 bits.
template <class Arch>
struct words {};

#if ORIEL_X86
#if defined(__AVX512BW__)
template <class Arch>
requires(x86_bytes<Arch> == 64) struct words<Arch> {
  __m512i x;
};
#endif
#if defined(__AVX2__)
template <class Arch>
requires(x86_bytes<Arch> == 32) struct words<Arch> {
  __m256i x;
};
#endif

#if defined(__AVX2__)

/// A register from or to memory of any alignment.
template <class Arch>
ORIEL_INLINE words<Arch> load_words(void const* from) noexcept {
  if constexpr (x86_bytes<Arch> == 64) {
    return {_mm512_loadu_si512(from)};
  } else {
    return {_mm256_loadu_si256(static_cast<__m256i const*>(from))};
  }
}
template <class Arch>
ORIEL_INLINE void store_words(void* to, words<Arch> a) noexcept {
  if constexpr (x86_bytes<Arch> == 64) {
    _mm512_storeu_si512(to, a.x);
  } else {
    _mm256_storeu_si256(static_cast<__m256i*>(to), a.x);
  }
}

/// A register whose pairs of numbers are all `first`, the first of a pair in the lower bits; in the
/// upper half, where there are more than 16 numbers, they are `second`.
template <class Arch>
ORIEL_INLINE words<Arch> broadcast_pairs(std::uint32_t first, std::uint32_t second) noexcept {
  if constexpr (x86_bytes<Arch> == 64) {
    __m512i const all = _mm512_set1_epi32(static_cast<int>(first));
    return {_mm512_mask_set1_epi32(all, 0xff00, static_cast<int>(second))};
  } else {
    return {_mm256_set1_epi32(static_cast<int>(first))};
  }
}
template <class Arch>
ORIEL_INLINE words<Arch> broadcast_pair(std::uint32_t pair) noexcept {
  if constexpr (x86_bytes<Arch> == 64) {
    return {_mm512_set1_epi32(static_cast<int>(pair))};
  } else {
    return {_mm256_set1_epi32(static_cast<int>(pair))};
  }
}
/// A register of floats, the lower half of them `first`, the upper `second`; of 8 all are `first`.
template <class Arch>
ORIEL_INLINE vec<Arch> broadcast_halves(float const* first, float const* second) noexcept {
  if constexpr (x86_bytes<Arch> == 64) {
    return _mm512_mask_broadcastss_ps(_mm512_set1_ps(*first), 0xff00, _mm_load_ss(second));
  } else {
    return broadcast<Arch>(*first);
  }
}

/// The bits [shift, shift + Bits) of `word_lanes` bytes as numbers of 16 bits: those behind the
/// first 16 bytes lie `between` bytes behind them.
template <class Arch, int Bits, bool Signed>
ORIEL_INLINE words<Arch> widen_codes(std::byte const* from, [[maybe_unused]] int shift,
                                     [[maybe_unused]] index between = 16) noexcept {
  static_assert(Bits == 8 || !Signed);
  constexpr short mask = (1 << Bits) - 1;
  auto const half = [](std::byte const* at) ORIEL_INLINE_LAMBDA {
    return _mm_loadu_si128(reinterpret_cast<__m128i const*>(at));
  };
  if constexpr (x86_bytes<Arch> == 64) {
    __m256i const bytes =
        between == 16
            ? _mm256_loadu_si256(reinterpret_cast<__m256i const*>(from))
            : _mm256_inserti128_si256(_mm256_castsi128_si256(half(from)), half(from + between), 1);
    __m512i x = Signed ? _mm512_cvtepi8_epi16(bytes) : _mm512_cvtepu8_epi16(bytes);
    if (shift > 0) x = _mm512_srli_epi16(x, static_cast<unsigned>(shift));
    if (shift + Bits < 8) x = _mm512_and_si512(x, _mm512_set1_epi16(mask));
    return {x};
  } else {
    __m256i x = Signed ? _mm256_cvtepi8_epi16(half(from)) : _mm256_cvtepu8_epi16(half(from));
    if (shift > 0) x = _mm256_srli_epi16(x, shift);
    if (shift + Bits < 8) x = _mm256_and_si256(x, _mm256_set1_epi16(mask));
    return {x};
  }
}

/// a - b, of 16 bits.
template <class Arch>
ORIEL_INLINE words<Arch> subtract(words<Arch> a, words<Arch> b) noexcept {
  if constexpr (x86_bytes<Arch> == 64) {
    return {_mm512_sub_epi16(a.x, b.x)};
  } else {
    return {_mm256_sub_epi16(a.x, b.x)};
  }
}

/// Lane i, of 32 bits, is a[2i] b[2i] + a[2i + 1] b[2i + 1].
template <class Arch>
ORIEL_INLINE words<Arch> pair_products(words<Arch> a, words<Arch> b) noexcept {
  if constexpr (x86_bytes<Arch> == 64) {
    return {_mm512_madd_epi16(a.x, b.x)};
  } else {
    return {_mm256_madd_epi16(a.x, b.x)};
  }
}
/// The same added to c.
template <class Arch>
ORIEL_INLINE words<Arch> add_pair_products(words<Arch> c, words<Arch> a, words<Arch> b) noexcept {
  if constexpr (x86_bytes<Arch> == 64) {
#if defined(__AVX512VNNI__)
    return {_mm512_dpwssd_epi32(c.x, a.x, b.x)};
#else
    return {_mm512_add_epi32(c.x, _mm512_madd_epi16(a.x, b.x))};
#endif
  } else {
    return {_mm256_add_epi32(c.x, _mm256_madd_epi16(a.x, b.x))};
  }
}

/// Numbers of a and b in turns, of the lower (upper) half of each 16 bytes.
template <class Arch>
ORIEL_INLINE words<Arch> interleave_low(words<Arch> a, words<Arch> b) noexcept {
  if constexpr (x86_bytes<Arch> == 64) {
    return {_mm512_unpacklo_epi16(a.x, b.x)};
  } else {
    return {_mm256_unpacklo_epi16(a.x, b.x)};
  }
}
template <class Arch>
ORIEL_INLINE words<Arch> interleave_high(words<Arch> a, words<Arch> b) noexcept {
  if constexpr (x86_bytes<Arch> == 64) {
    return {_mm512_unpackhi_epi16(a.x, b.x)};
  } else {
    return {_mm256_unpackhi_epi16(a.x, b.x)};
  }
}

/// Numbers of 32 bits as floats.
template <class Arch>
ORIEL_INLINE vec<Arch> to_floats(words<Arch> a) noexcept {
  if constexpr (x86_bytes<Arch> == 64) {
    return _mm512_maskz_cvtepi32_ps(every_lane, a.x);
  } else {
    return _mm256_cvtepi32_ps(a.x);
  }
}

/// Writes floats as numbers of 16 bits, each the nearest, of two the even one; those beyond them,
/// up to 2^31, become the ends of the range. What NaN and larger ones become is some number.
template <class Arch>
ORIEL_INLINE void store_rounded(std::int16_t* to, vec<Arch> x) noexcept {
  if constexpr (x86_bytes<Arch> == 64) {
    __m512i const whole = _mm512_maskz_cvtps_epi32(every_lane, x);
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(to),
                        _mm512_maskz_cvtsepi32_epi16(every_lane, whole));
  } else {
    __m256i const whole = _mm256_cvtps_epi32(x);
    _mm_storeu_si128(
        reinterpret_cast<__m128i*>(to),
        _mm_packs_epi32(_mm256_castsi256_si128(whole), _mm256_extracti128_si256(whole, 1)));
  }
}

#endif
#endif

}  // namespace oriel::inline v0
