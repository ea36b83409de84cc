// SPDX-License-Identifier: BSL-1.0
// Registers of 16-bit integers, whose products are summed in pairs, and of bytes, whose
// products are summed in fours: where an instruction set has them.
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

/// Are there products of bytes that are added to 32-bit integers (AVX-512 VNNI)?
template <class Arch>
inline constexpr bool has_byte_products =
#if defined(__AVX512BW__) && defined(__AVX512VNNI__)
    x86_bytes<Arch> == 64;
#else
    false;
#endif

/// 16-bit integers in a register: two for each float.
template <class Arch>
inline constexpr int word_lanes = 2 * lanes<Arch>;

/// Bytes of a register, as 8-, 16- or 32-bit integers.
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

/// A register whose pairs of numbers are all the two at `pair`.
template <class Arch>
ORIEL_INLINE words<Arch> broadcast_pair(std::int16_t const* pair) noexcept {
  __m128i const x = _mm_loadu_si32(pair);
  if constexpr (x86_bytes<Arch> == 64) {
    return {_mm512_maskz_broadcastd_epi32(every_lane, x)};
  } else {
    return {_mm256_broadcastd_epi32(x)};
  }
}
/// The same of the two at `first`; in the upper half, where there are more than 16 numbers, of
/// those at `second`.
template <class Arch>
ORIEL_INLINE words<Arch> broadcast_pairs(std::int16_t const* first,
                                         [[maybe_unused]] std::int16_t const* second) noexcept {
  words<Arch> all = broadcast_pair<Arch>(first);
  if constexpr (x86_bytes<Arch> == 64) {
    all.x = _mm512_mask_broadcastd_epi32(all.x, 0xff00, _mm_loadu_si32(second));
  }
  return all;
}
/// A register of numbers that are all the same.
template <class Arch>
ORIEL_INLINE words<Arch> broadcast_word(int x) noexcept {
  if constexpr (x86_bytes<Arch> == 64) {
    return {_mm512_set1_epi16(static_cast<short>(x))};
  } else {
    return {_mm256_set1_epi16(static_cast<short>(x))};
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

/// The bits [shift, shift + Bits) of `word_lanes` bytes as 16-bit integers: those after the
/// first 16 bytes lie `between` bytes after them.
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

#if defined(__AVX512BW__) && defined(__AVX512VNNI__)

/// A register whose quarters have 16 bytes of each of `Places` places, in turns.
template <class Arch, int Places>
ORIEL_INLINE words<Arch> load_quarters(std::byte const* const (&at)[Places]) noexcept {
  static_assert(Places == 1 || Places == 2 || Places == 4);
  auto const quarter = [&](int i) ORIEL_INLINE_LAMBDA {
    return _mm_loadu_si128(reinterpret_cast<__m128i const*>(at[i]));
  };
  if constexpr (Places == 4) {
    __m512i x = _mm512_zextsi128_si512(quarter(0));
    x = _mm512_maskz_inserti32x4(every_lane, x, quarter(1), 1);
    x = _mm512_maskz_inserti32x4(every_lane, x, quarter(2), 2);
    return {_mm512_maskz_inserti32x4(every_lane, x, quarter(3), 3)};
  } else {
    __m512i const x = _mm512_maskz_broadcast_i32x4(every_lane, quarter(0));
    if constexpr (Places == 1) return {x};
    return {_mm512_mask_broadcast_i32x4(x, 0xf0f0, quarter(Places - 1))};
  }
}
/// The bits [shift, shift + Bits) of bytes, as bytes; `Signed` 8-bit integers get 128 added.
template <class Arch, int Bits, bool Signed>
ORIEL_INLINE words<Arch> unsigned_codes(words<Arch> a, int shift) noexcept {
  if constexpr (Bits == 8) {
    return Signed ? words<Arch>{_mm512_xor_si512(a.x, _mm512_set1_epi8(-128))} : a;
  } else {
    if (shift > 0) a.x = _mm512_srli_epi16(a.x, static_cast<unsigned>(shift));
    return {_mm512_and_si512(a.x, _mm512_set1_epi8((1 << Bits) - 1))};
  }
}
/// Lane i, of 32 bits, is c[i] + the sum of a[j] b[j] for the bytes j of the lane: those of a are
/// unsigned, those of b signed.
template <class Arch>
ORIEL_INLINE words<Arch> add_byte_products(words<Arch> c, words<Arch> a, words<Arch> b) noexcept {
  return {_mm512_dpbusd_epi32(c.x, a.x, b.x)};
}
/// Floats that are whole, as 32-bit integers.
template <class Arch>
ORIEL_INLINE words<Arch> to_integers(vec<Arch> x) noexcept {
  return {_mm512_maskz_cvtps_epi32(every_lane, x)};
}
/// 4, 8 or 16 floats, as often as a register holds them.
template <class Arch, int Count>
ORIEL_INLINE vec<Arch> load_repeated(float const* from) noexcept {
  if constexpr (Count == 4) return _mm512_maskz_broadcast_f32x4(every_lane, _mm_loadu_ps(from));
  if constexpr (Count == 8) return _mm512_maskz_broadcast_f32x8(every_lane, _mm256_loadu_ps(from));
  return load<Arch>(from);
}
/// 256 a; a + b; a - b, of 32 bits.
template <class Arch>
ORIEL_INLINE words<Arch> times_256(words<Arch> a) noexcept {
  return {_mm512_maskz_slli_epi32(every_lane, a.x, 8)};
}
template <class Arch>
ORIEL_INLINE words<Arch> add_wide(words<Arch> a, words<Arch> b) noexcept {
  return {_mm512_add_epi32(a.x, b.x)};
}
template <class Arch>
ORIEL_INLINE words<Arch> subtract_wide(words<Arch> a, words<Arch> b) noexcept {
  return {_mm512_sub_epi32(a.x, b.x)};
}
/// Number j of 32 bits of a quarter is the sum of that quarter of part j.
template <class Arch>
ORIEL_INLINE words<Arch> sum_quarters(words<Arch> const (&part)[4]) noexcept {
  auto const pairs = [](__m512i a, __m512i b) ORIEL_INLINE_LAMBDA {
    return _mm512_add_epi32(_mm512_maskz_unpacklo_epi32(every_lane, a, b),
                            _mm512_maskz_unpackhi_epi32(every_lane, a, b));
  };
  __m512i const low = pairs(part[0].x, part[1].x);
  __m512i const high = pairs(part[2].x, part[3].x);
  return {_mm512_add_epi32(_mm512_maskz_unpacklo_epi64(0xff, low, high),
                           _mm512_maskz_unpackhi_epi64(0xff, low, high))};
}

#endif

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

/// 32-bit integers as floats.
template <class Arch>
ORIEL_INLINE vec<Arch> to_floats(words<Arch> a) noexcept {
  if constexpr (x86_bytes<Arch> == 64) {
    return _mm512_maskz_cvtepi32_ps(every_lane, a.x);
  } else {
    return _mm256_cvtepi32_ps(a.x);
  }
}

/// Writes floats as 16-bit integers, each the nearest, of two the even one; those beyond them,
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
