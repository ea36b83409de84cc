// SPDX-License-Identifier: BSL-1.0
// Codes of 8, 4 or 2 bits, with a scale per token and group of channels.
#pragma once

#include "oriel/codec/codec.hpp"
#include "oriel/codec/rounding.hpp"

namespace oriel::inline v0 {

/// Rows of unsigned codes of 8, 4 or 2 bits, rounded up to 16 bytes: code i lies in byte
/// i / B * 16 + i % 16, B = 128 / Bits, from bit i % B / 16 * Bits on.
template <int Bits, bool Signed = false>
struct code_rows {
  static_assert(Bits == 8 || Bits == 4 || Bits == 2);
  static constexpr int per_byte = 8 / Bits;
  static constexpr int block = 16 * per_byte;  ///< codes in 16 bytes

  ORIEL_INLINE static constexpr index bytes(index count) noexcept {
    return ceil_div(count, block) * 16;
  }
  /// Sets code i, which was 0.
  ORIEL_INLINE static void put(std::byte* row, index i, unsigned code) noexcept {
    auto const shift = static_cast<int>(i % block / 16) * Bits;
    auto const bits = (code & ((1u << Bits) - 1)) << shift;
    row[i / block * 16 + i % 16] |= std::byte(static_cast<unsigned char>(bits));
  }
  /// f of register I of the codes from `from` on, where a block of 16 bytes begins.
  template <class Arch, int I, class F>
  ORIEL_INLINE static vec<Arch> map(std::byte const* from, F&& f) noexcept {
    constexpr int at = I * lanes<Arch>;
    return map_bits<Arch, Bits, Signed>(from + at / block * 16 + at % 16, at % block / 16 * Bits,
                                        f);
  }
  /// Calls f(codes as floats, first of them, how many) for all codes of a row in order.
  template <class Arch, class F>
  ORIEL_INLINE static void for_each(std::byte const* row, index count, F&& f) noexcept {
    for (index at = 0; at < count; at += block) {
      unroll<per_byte>([&](int part) ORIEL_INLINE_LAMBDA {
        unroll<16 / lanes<Arch>>([&](int j) ORIEL_INLINE_LAMBDA {
          index const d = at + part * 16 + j * lanes<Arch>;
          if (d >= count) return;
          f(widen_bits<Arch, Bits, Signed>(row + at / per_byte + j * lanes<Arch>, part * Bits), d,
            static_cast<int>(min_of(lanes<Arch>, count - d)));
        });
      });
    }
  }
};

/// Numbers x ~ scale * code + zero, as codes of Bits bits: zero = min x, scale = (max x - zero) /
/// (2^Bits - 1), both rounded to Parameter. What that can't hold, or a number that is infinite or
/// NaN, makes scale NaN, and so all that is read.
template <int Bits, class Parameter>
struct asymmetric {
  float scale = 0.0f;
  float zero = 0.0f;

  template <class Arch>
  static asymmetric over(float const* x, index count, float* code) noexcept {
    extent const all = extent_of<Arch>(x, count);
    asymmetric of;
    of.zero = static_cast<float>(Parameter(all.low));
    of.scale = static_cast<float>(Parameter((all.high - of.zero) / most));
    if (!all.finite || !__builtin_isfinite(of.scale) || !__builtin_isfinite(of.zero)) {
      of = {std::numeric_limits<float>::quiet_NaN(), 0.0f};
    }
    vec<Arch> const from = broadcast<Arch>(of.zero);
    vec<Arch> const step = broadcast<Arch>(of.scale > 0.0f ? of.scale : infinity);
    round_to_integers<Arch>(x, count, 0.0f, most, code, [&](vec<Arch> at) ORIEL_INLINE_LAMBDA {
      return divide<Arch>(at - from, step);
    });
    return of;
  }

 private:
  static constexpr float most = static_cast<float>((1 << Bits) - 1);
};

/// The same without a zero: x ~ scale * code, codes up to +-(2^(Bits-1) - 1), scale = max |x| /
/// (2^(Bits-1) - 1).
template <int Bits, class Parameter>
struct symmetric {
  float scale = 0.0f;

  template <class Arch>
  static symmetric over(float const* x, index count, float* code) noexcept {
    extent const all = extent_of<Arch>(x, count);
    float const top = all.high > -all.low ? all.high : -all.low;
    symmetric of{static_cast<float>(Parameter(top / most))};
    if (!all.finite || !__builtin_isfinite(of.scale)) {
      of.scale = std::numeric_limits<float>::quiet_NaN();
    }
    vec<Arch> const step = broadcast<Arch>(of.scale > 0.0f ? of.scale : infinity);
    round_to_integers<Arch>(x, count, -most, most, code, [&](vec<Arch> at) ORIEL_INLINE_LAMBDA {
      return divide<Arch>(at, step);
    });
    return of;
  }

 private:
  static constexpr float most = static_cast<float>((1 << (Bits - 1)) - 1);
};

/// Rows of codes with a scale, and with ZeroPoint a zero, per token and `Group` consecutive
/// channels: `asymmetric` or `symmetric` over them.
///
/// Bytes   Bits / 8 per channel (rounded up to 16 bytes), then a scale per group, then with
///         ZeroPoint a zero per group, both of type Parameter (f16 or float). Any row size.
/// Codes   as code_rows; symmetric ones are stored with 2^(Bits-1) added, of 8 bits as signed ones.
/// Error   |x - read| <= 0.51 scale, with a zero of type f16 2^-11 |zero| more, with one of type
///         float 2^-24 |zero| more on instruction sets without FMA; a scale that f16 holds as a
///         denormal, below 2^-14, has an error of 2^-25 that counts once per code unit.
/// Other   a group that holds an infinity or a NaN, or whose scale or zero is not finite as a
///         Parameter, reads as NaN. A group of zeros reads as 0.
/// Same bits  on every instruction set, but for a float zero on those without FMA.
template <int Bits, int Group, bool ZeroPoint, class Parameter>
struct quantized {
  static_assert(Group % 16 == 0 && Group > 0);
  static_assert(std::is_same_v<Parameter, f16> || std::is_same_v<Parameter, float>);
  static_assert(Group <= max_coded_dim);
  static constexpr int tag =
      4 | (Bits | ZeroPoint << 4 | std::is_same_v<Parameter, float> << 5 | Group / 16 << 6) << 8;
  static constexpr bool is_signed = Bits == 8 && !ZeroPoint;
  using codes = code_rows<Bits, is_signed>;
  static constexpr int offset = ZeroPoint || is_signed ? 0 : 1 << (Bits - 1);  ///< of stored codes

  ORIEL_INLINE static constexpr index row_bytes(index dim) noexcept {
    if (dim > max_coded_dim) return saturating_mul(dim, sizeof(float));  // refused by its check
    constexpr index parameters = (ZeroPoint ? 2 : 1) * sizeof(Parameter);
    return codes::bytes(dim) + groups(dim) * parameters;
  }

  template <class Arch>
  static void encode(float const* row, index dim, index /*head*/, std::byte* to) noexcept {
    for (index i = 0; i < codes::bytes(dim); ++i) to[i] = std::byte{0};
    for (index at = 0; at < dim; at += Group) {
      index const count = min_of(Group, dim - at);
      float code[Group];
      if constexpr (ZeroPoint) {
        auto const of = asymmetric<Bits, Parameter>::template over<Arch>(row + at, count, code);
        put(to, dim, at / Group, of.scale);
        put(to, dim, groups(dim) + at / Group, of.zero);
      } else {
        auto const of = symmetric<Bits, Parameter>::template over<Arch>(row + at, count, code);
        put(to, dim, at / Group, of.scale);
      }
      for (index i = 0; i < count; ++i) {
        codes::put(to, at + i, static_cast<unsigned>(static_cast<int>(code[i]) + offset));
      }
    }
  }

  template <class Arch>
  static void read(row_slice const& rows, float* to) noexcept {
    constexpr index step = chunk<Arch> * lanes<Arch>;
    index const dim = rows.dim;  // a copy: to the compiler a store of a register might change it
    index const whole = dim / step * step;
    float of_row[parameters(max_coded_dim)];
    for (index i = 0; i < rows.count; ++i, to += dim) {
      coded_row const row{rows.data + i * rows.stride, of_row};
      widen_parameters<Arch>(row.data, dim, of_row);
      read_chunks<Arch, quantized>(row, dim, whole, to);
      codes::template for_each<Arch>(row.data + begins(whole), dim - whole,
                                     [&](vec<Arch> code, index d, int width) ORIEL_INLINE_LAMBDA {
                                       index const at = whole + d;
                                       store_some<Arch>(to + at, value<Arch>(code, of_row, dim, at),
                                                        width);
                                     });
    }
  }
  /// Scales, then zeros.
  ORIEL_INLINE static constexpr index parameters(index dim) noexcept {
    return groups(dim) * (ZeroPoint ? 2 : 1);
  }
  template <class Arch>
  ORIEL_INLINE static void widen_parameters(std::byte const* row, index dim, float* to) noexcept {
    widen_few<Arch, Parameter>(row + codes::bytes(dim), parameters(dim), to);
  }
  /// Consecutive registers: of a block of codes, or of a group if that is one of
  /// two registers, which share a scale.
  template <class Arch>
  static constexpr int chunk =
      static_cast<int>(max_of(codes::block, Group % (2 * lanes<Arch>) == 0 ? 2 * lanes<Arch> : 0)) /
      lanes<Arch>;
  ORIEL_INLINE static constexpr index begins(index d) noexcept { return d / codes::per_byte; }
  template <class Arch, int I>
  ORIEL_INLINE static vec<Arch> get(coded_row const& row, index dim, index d) noexcept {
    constexpr bool shared = Group % (chunk<Arch> * lanes<Arch>) == 0;
    index const channel = shared ? d : d + I * lanes<Arch>;
    return codes::template map<Arch, I>(row.data + begins(d),
                                        [&](vec<Arch> code) ORIEL_INLINE_LAMBDA {
                                          return value<Arch>(code, row.parameters, dim, channel);
                                        });
  }
  /// For rounded_products.
  static constexpr index group = Group;
  static constexpr bool has_zero = ZeroPoint;
  static constexpr int code_bits = Bits;
  static constexpr bool code_is_signed = is_signed;
  static constexpr int code_offset = offset;
  ORIEL_INLINE static constexpr index code_byte(index d) noexcept {
    return static_cast<index>(static_cast<std::uint64_t>(d) / codes::block * 16);
  }

 private:
  /// The floats of a register of codes of the group that channel d belongs to.
  template <class Arch>
  ORIEL_INLINE static vec<Arch> value(vec<Arch> code, float const* of_row, index dim,
                                      index d) noexcept {
    index const g = static_cast<index>(static_cast<std::uint64_t>(d) / Group);
    vec<Arch> const scale =
        Bits == 4 ? broadcast<Arch>(of_row[g]) : broadcast_operand<Arch>(of_row + g);
    if constexpr (ZeroPoint) {
      return fma<Arch>(code, scale, broadcast<Arch>(of_row[groups(dim) + g]));
    } else if constexpr (offset == 0) {
      return code * scale;
    } else {
      return (code - broadcast<Arch>(offset)) * scale;
    }
  }
  ORIEL_INLINE static constexpr index groups(index dim) noexcept { return ceil_div(dim, Group); }
  ORIEL_INLINE static void put(std::byte* row, index dim, index i, float x) noexcept {
    auto const stored = Parameter(x);
    std::memcpy(row + codes::bytes(dim) + i * static_cast<index>(sizeof stored), &stored,
                sizeof stored);
  }
};

/// 8 bits, symmetric, per 32 channels: 136 bytes per 128 channels.
using int8 = quantized<8, 32, false, f16>;
/// 4 bits with a zero point, per 32 channels: 80 bytes per 128 channels.
using int4 = quantized<4, 32, true, f16>;
/// 4 bits, symmetric, per 32 channels: 72 bytes per 128 channels.
using int4_symmetric = quantized<4, 32, false, f16>;
/// 2 bits with a zero point, per 32 channels: 48 bytes per 128 channels.
using int2 = quantized<2, 32, true, f16>;

}  // namespace oriel::inline v0
