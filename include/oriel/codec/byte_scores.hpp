// SPDX-License-Identifier: BSL-1.0
// Scores of rows of codes by products of bytes. A register has four quarters of 16 channels, each
// of a row of q and a key, so that a key that is loaded once meets four rows of q, and four
// registers are summed by one transpose.
#pragma once

#include <type_traits>

#include "oriel/codec/group_scales.hpp"
#include "oriel/codec/rounded_functions.hpp"
#include "oriel/codec/row_products.hpp"
#include "oriel/simd/words.hpp"

namespace oriel::inline v0 {

/// `order` and `dot` of rounded_functions where there are products of bytes. A 16-bit integer of
/// q, of magnitude 32639 at most, is 256 high + low, of 8 bits each. The sum of a group of channels
/// is exact, and groups are summed in order, so that a score does not depend on the rows beside.
template <class Arch, class Codec>
struct byte_scores {
  static constexpr index group = Codec::group;
  static_assert(group <= 256, "32-bit integers don't hold larger sums");

  /// Rows of q in blocks of as many as `dot` takes at a time: of 16 channels after the other, first
  /// the high bytes, then the low ones, each with a row's 16 bytes in as many quarters as there are
  /// keys for it.
  static void order(std::int16_t const* q, index q_step, index dim, int count,
                    std::int16_t* to) noexcept {
    in_ones_twos_fours(count, [&]<int Queries>(std::integral_constant<int, Queries>,
                                               int first) ORIEL_INLINE_LAMBDA {
      auto* out = reinterpret_cast<std::int8_t*>(to + first * q_step);
      for (index d = 0; d < dim; d += 16, out += 128) {
        for (int quarter = 0; quarter < 4; ++quarter) {
          std::int16_t const* const from = q + (first + quarter / (4 / Queries)) * q_step + d;
          for (int i = 0; i < 16; ++i) {
            auto const low = static_cast<std::int8_t>(from[i]);
            out[quarter * 16 + i] = static_cast<std::int8_t>((from[i] - low) / 256);
            out[64 + quarter * 16 + i] = low;
          }
        }
      }
    });
  }

  /// The scores of Queries rows of q.
  template <int Queries, index Channels>
  ORIEL_INLINE static void dot(row_slice const& rows, rounded_rows const& q, float* to,
                               index to_step) noexcept {
    constexpr int in_register = 4 / Queries;  // keys in a register
    constexpr int keys = 4 * in_register;     // keys of four registers, which are summed at a time
    constexpr index most_groups = (Channels > 0 ? Channels : max_coded_dim) / group;
    index const groups = (Channels > 0 ? Channels : rows.dim) / group;

    // In each lane: its row's unit and, group by group, sums.
    auto const spread = [&](float const* from, index between, float* lane) ORIEL_INLINE_LAMBDA {
      unroll<16>([&](int n) ORIEL_INLINE_LAMBDA { lane[n] = from[n / keys * between]; });
    };
    alignas(64) float unit[16];
    alignas(64) float sums[most_groups][16];
    spread(q.unit, 1, unit);
    for (index g = 0; needs_sums && g < groups; ++g) spread(q.sums + g, q.sums_step, sums[g]);

    for (index i = 0; i < rows.count; i += 16) {
      alignas(64) float scale[most_groups][16];
      alignas(64) float zero[Codec::has_zero ? most_groups : 1][16];
      row_slice part = rows;
      part.data += i * rows.stride;
      part.count = min_of(16, rows.count - i);
      group_scales<Arch, Codec, Channels>(part, scale[0], zero[0], 16);
      for (index j = 0; j < part.count; j += keys) {
        std::byte const* at[4][in_register];
        for (int n = 0; n < 4; ++n) {
          for (int k = 0; k < in_register; ++k) {
            at[n][k] = part.data + min_of(j + 4 * k + n, part.count - 1) * rows.stride;
          }
        }
        vec<Arch> sum = broadcast<Arch>(0.0f);
        auto const add_group = [&](index g) ORIEL_INLINE_LAMBDA {
          words<Arch> total = sum_of(rows, at, q.codes, g);
          if constexpr (offset != 0) {
            total = subtract_wide<Arch>(
                total, to_integers<Arch>(broadcast<Arch>(offset) * load<Arch>(sums[g])));
          }
          sum = fma<Arch>(to_floats<Arch>(total), load_repeated<Arch, keys>(scale[g] + j), sum);
          if constexpr (Codec::has_zero) {
            sum = fma<Arch>(load<Arch>(sums[g]), load_repeated<Arch, keys>(zero[g] + j), sum);
          }
        };
        if constexpr (Channels > 0) {
          unroll<Channels / group>([&](int g) ORIEL_INLINE_LAMBDA { add_group(g); });
        } else {
          for (index g = 0; g < groups; ++g) add_group(g);
        }
        write_products<Arch, Queries>(sum * load<Arch>(unit), to + i + j, to_step,
                                      min_of(keys, part.count - j));
      }
    }
  }

 private:
  /// What is subtracted from codes that have become unsigned.
  static constexpr int offset = Codec::code_offset + (Codec::code_is_signed ? 128 : 0);
  static_assert((offset & (offset - 1)) == 0, "its products with sums are not exact in floats");
  static constexpr bool needs_sums = Codec::has_zero || offset != 0;
  /// Registers of codes whose products are summed at a time: two, if a group has them in pairs.
  static constexpr int pieces = group % 32 == 0 ? 2 : 1;

  /// Four registers of keys times a register of q's rows: the exact sums of a group.
  template <int Keys>
  ORIEL_INLINE static words<Arch> sum_of(row_slice const& rows,
                                         std::byte const* const (&at)[4][Keys],
                                         std::int16_t const* q, index g) noexcept {
    words<Arch> total[4];
    auto const part = [&](index d, bool first) ORIEL_INLINE_LAMBDA {
      std::int16_t const* const x = q + d / 16 * 64;
      unroll<4>([&](int n) ORIEL_INLINE_LAMBDA {
        words<Arch> code[pieces];
        words<Arch> sum{};
        unroll<pieces>([&](int p) ORIEL_INLINE_LAMBDA {
          index const c = d + 16 * p;
          std::byte const* from[Keys];
          for (int k = 0; k < Keys; ++k) from[k] = at[n][k] + Codec::code_byte(c);
          // Most lines several times: some prefetches are dropped, and fewer were slower (Emerald
          // Rapids).
          for (int k = 0; p == 0 && k < Keys; ++k) rows.ahead.prefetch_to_l2(from[k]);
          constexpr int per_byte = 8 / Codec::code_bits;
          code[p] = unsigned_codes<Arch, Codec::code_bits, Codec::code_is_signed>(
              load_quarters<Arch>(from), static_cast<int>(c / 16 % per_byte) * Codec::code_bits);
          sum = add_byte_products<Arch>(sum, code[p], load_words<Arch>(x + p * 64));
        });
        sum = times_256<Arch>(sum);
        unroll<pieces>([&](int p) ORIEL_INLINE_LAMBDA {
          sum = add_byte_products<Arch>(sum, code[p], load_words<Arch>(x + p * 64 + 32));
        });
        total[n] = first ? sum : add_wide<Arch>(total[n], sum);
      });
    };
    index const begin = g * group;
    part(begin, true);
    for (index d = begin + 16 * pieces; d < begin + group; d += 16 * pieces) part(d, false);
    return sum_quarters<Arch>(total);
  }
};

}  // namespace oriel::inline v0
