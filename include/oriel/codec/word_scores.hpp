// SPDX-License-Identifier: BSL-1.0
// Scores of rows of codes by products of 16-bit integers. Lanes are channels.
#pragma once

#include <cstring>

#include "oriel/codec/code_words.hpp"
#include "oriel/codec/group_scales.hpp"
#include "oriel/codec/rounded_functions.hpp"
#include "oriel/codec/row_products.hpp"

namespace oriel::inline v0 {

/// Scores by code_words: `order` and `dot` of rounded_functions.
template <class Arch, class Codec>
struct word_scores {
  using code = code_words<Arch, Codec>;
  static constexpr index group = Codec::group;
  static constexpr index step = code::step;

  ORIEL_INLINE static void order(std::int16_t const* q, index q_step, index dim, int count,
                                 std::int16_t* to) noexcept {
    for (int r = 0; r < count; ++r, q += q_step, to += q_step) {
      code::each_part(dim, [&](index i, index d)
                               ORIEL_INLINE_LAMBDA { std::memcpy(to + i, q + d, 16 * sizeof *q); });
    }
  }

  /// The scores of Queries rows of q.
  template <int Queries, index Channels>
  ORIEL_INLINE static void dot(row_slice const& rows, rounded_rows const& q, float* to,
                               index to_step) noexcept {
    constexpr int keys = lanes<Arch> / Queries > 0 ? lanes<Arch> / Queries : 1;
    std::conditional_t<Channels == 0, index, std::integral_constant<index, Channels>> dim;
    if constexpr (Channels == 0) dim = rows.dim;
    index const groups = dim / group;
    index const each = group_parameters<Codec>(dim);
    float unit[lanes<Arch>];
    for (int r = 0; r < Queries; ++r) {
      for (int j = 0; j < keys; ++j) unit[r * keys + j] = q.unit[r];
    }
    for (index i = 0; i < rows.count; i += keys) {
      alignas(64) float sums[lanes<Arch>][lanes<Arch>];
      float of_rows[keys * group_parameters<Codec>(max_coded_dim)];
      index const here = min_of(keys, rows.count - i);
      auto const row_at = [&](index j) ORIEL_INLINE_LAMBDA {
        return rows.data + min_of(i + j, rows.count - 1) * rows.stride;
      };
      for (index j = 0; j < keys; ++j) {
        Codec::template widen_parameters<Arch>(row_at(j), dim, of_rows + j * each);
      }
      ORIEL_ROLLED
      for (index j = 0; j < keys; ++j) {
        std::byte const* const row = row_at(j);
        float const* const scales = of_rows + j * each;
        vec<Arch> sum[Queries];
        unroll<Queries>([&](int r) ORIEL_INLINE_LAMBDA { sum[r] = broadcast<Arch>(0.0f); });
        for (index g = 0; Codec::has_zero && g < groups; g += lanes<Arch>) {
          int const width = static_cast<int>(min_of(lanes<Arch>, groups - g));
          // A zero multiplies its group's sum of q.
          vec<Arch> const zero = load_partial<Arch>(scales + groups + g, width);
          unroll<Queries>([&](int r) ORIEL_INLINE_LAMBDA {
            sum[r] =
                fma<Arch>(zero, load_partial<Arch>(q.sums + r * q.sums_step + g, width), sum[r]);
          });
        }
        auto const chunk_at = [&](index d) ORIEL_INLINE_LAMBDA {
          words<Arch> total[Queries];
          auto const add = [&]<int I>() ORIEL_INLINE_LAMBDA {
            code::template prefetch<I>(rows, row, d);
            words<Arch> const codes = code::template get<I>(row, d);
            auto const at = code::template places_of<I>(d);
            unroll<Queries>([&](int r) ORIEL_INLINE_LAMBDA {
              auto const x = load_words<Arch>(q.codes + r * q.step + d + I * word_lanes<Arch>);
              total[r] = I == 0 || !code::alike ? pair_products<Arch>(codes, x)
                                                : add_pair_products<Arch>(total[r], codes, x);
            });
            if constexpr (I == code::chunk - 1 || !code::alike) {
              if constexpr (code::one_scale) {
                unroll<Queries>([&](int r) ORIEL_INLINE_LAMBDA {
                  sum[r] = fma<Arch>(to_floats<Arch>(total[r]),
                                     broadcast_operand<Arch>(scales + at.first), sum[r]);
                });
              } else {
                vec<Arch> const scale = broadcast_halves<Arch>(scales + at.first, scales + at.last);
                unroll<Queries>([&](int r) ORIEL_INLINE_LAMBDA {
                  sum[r] = fma<Arch>(to_floats<Arch>(total[r]), scale, sum[r]);
                });
              }
            }
          };
          [&]<int... I>(std::integer_sequence<int, I...>) ORIEL_INLINE_LAMBDA {
            (add.template operator()<I>(), ...);
          }
          (std::make_integer_sequence<int, code::chunk>{});
        };
        if constexpr (Channels > 0) {
          unroll<Channels / step>([&](int n) ORIEL_INLINE_LAMBDA { chunk_at(n * step); });
        } else {
          for (index d = 0; d < dim; d += step) chunk_at(d);
        }
        unroll<Queries>([&](int r)
                            ORIEL_INLINE_LAMBDA { store<Arch>(sums[r * keys + j], sum[r]); });
      }
      vec<Arch> sum[lanes<Arch>];
      unroll<lanes<Arch>>([&](int n) ORIEL_INLINE_LAMBDA { sum[n] = load<Arch>(sums[n]); });
      write_products<Arch, Queries>(sum_rows<Arch>(sum) * load<Arch>(unit), to + i, to_step, here);
    }
  }
};

}  // namespace oriel::inline v0
