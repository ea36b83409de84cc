// SPDX-License-Identifier: BSL-1.0
// Products with a codec's rows as integers: queries and weights are rounded to 16 bits, codes
// are taken as they are, and a group's scale multiplies a sum of products.
#pragma once

#include <bit>
#include <numeric>

#include "oriel/codec/byte_scores.hpp"
#include "oriel/codec/code_words.hpp"
#include "oriel/codec/word_scores.hpp"

namespace oriel::inline v0 {

namespace detail {

template <class Arch, class Codec>
struct rounded_scores {
  using type = word_scores<Arch, Codec>;
};
template <class Arch, class Codec>
requires(has_byte_products<Arch>&& Codec::group <= 256) struct rounded_scores<Arch, Codec> {
  using type = byte_scores<Arch, Codec>;
};

}  // namespace detail

/// The products of `rounded_functions` for a codec whose codes of 16 channels, from a multiple of
/// 16 on, lie in 16 bytes, and that has
///   group              the channels that share a scale, a multiple of 16
///   has_zero           does a group have a zero, too?
///   code_bits          of a code: 8, 4 or 2
///   code_is_signed     are they signed numbers?
///   code_offset        what is to be subtracted from a code: a power of two, or 0
///   code_byte(d)       the byte of a row where the codes of the channels from d on lie, from bit
///                      d / 16 % (8 / code_bits) * code_bits on
///   widen_parameters<Arch>(row, dim, to)   writes the groups' scales, then with `has_zero` their
///                      zeros
/// so that channel d of group g is scale[g] * code[d] + zero[g]. The bodies stand apart, as those
/// of coded_products.
template <class Arch, class Codec>
struct rounded_products {
  using code = code_words<Arch, Codec>;
  using scores = typename detail::rounded_scores<Arch, Codec>::type;
  static constexpr index group = Codec::group;
  static constexpr int chunk = code::chunk;
  static constexpr index step = code::step;
  static constexpr index dims = std::lcm(group, step);
  static_assert(group % 16 == 0 && std::has_single_bit(static_cast<unsigned>(chunk)));

  static void order(std::int16_t const* q, index q_step, index dim, int count, std::int16_t* to,
                    float* sums, index sums_step) noexcept {
    scores::order(q, q_step, dim, count, to);
    for (int r = 0; r < count; ++r, q += q_step, sums += sums_step) {
      for (index d = 0; d < dim; d += group) {
        int sum = 0;
        for (index i = d; i < d + group; ++i) sum += q[i];
        sums[d / group] = static_cast<float>(sum);
      }
    }
  }

  static void dot(row_slice const& rows, rounded_rows const& q, int count, float* to,
                  index to_step) noexcept;
  static void scales(row_slice const& rows, float* scale, float* zero, index between) noexcept;
  static void add(row_slice const& rows, rounded_weights const& weights, int count,
                  std::int32_t* acc, index acc_step) noexcept;
  /// Within a register, sums of the lower 4 of each 8 channels come before those of the upper.
  static void restore(std::int32_t const* sum, index dim, std::int32_t* to) noexcept {
    code::each_part(dim, [&](index i, index d) ORIEL_INLINE_LAMBDA {
      std::int32_t const* const from =
          sum + i / word_lanes<Arch> * word_lanes<Arch> + i % word_lanes<Arch> / 2;
      unroll<4>([&](int n) ORIEL_INLINE_LAMBDA {
        std::memcpy(to + d + 4 * n, from + n % 2 * lanes<Arch> + n / 2 * 4, 4 * sizeof(*sum));
      });
    });
  }

  static constexpr rounded_functions table{group,  dims, Codec::has_zero, order, dot,
                                           scales, add,  restore};

 private:
  /// Channels that a compiler knows, as most models have them.
  static constexpr index usual = lanes<Arch> == 16 && 128 % dims == 0 ? 128 : 0;

  /// The sums of Wide registers of codes, from the First of those from channel d on, for Queries
  /// rows of weights: two rows of codes at a time.
  template <int Queries, int First, int Wide>
  ORIEL_INLINE static void add_some(row_slice const& rows, rounded_weights const& weights,
                                    std::int32_t* acc, index acc_step, index d) noexcept {
    words<Arch> low[Queries][Wide];
    words<Arch> high[Queries][Wide];
    acc += d + First * word_lanes<Arch>;
    auto const each = [&](auto&& f) ORIEL_INLINE_LAMBDA {
      unroll<Queries>([&](int r) ORIEL_INLINE_LAMBDA {
        unroll<Wide>([&](int j) ORIEL_INLINE_LAMBDA {
          f(acc + r * acc_step + j * word_lanes<Arch>, low[r][j], high[r][j]);
        });
      });
    };
    each([](std::int32_t const* from, words<Arch>& a, words<Arch>& b) ORIEL_INLINE_LAMBDA {
      a = load_words<Arch>(from), b = load_words<Arch>(from + lanes<Arch>);
    });
    // Where the weights of the next two rows of codes are, groups `apart` from each other.
    constexpr int end = First + Wide - 1;
    index const first = code::template places_of<First % chunk>(d + First / chunk * step).first;
    index const last = code::template places_of<end % chunk>(d + end / chunk * step).last;
    std::int16_t const* next[Queries];
    for (int r = 0; r < Queries; ++r) next[r] = weights.at(r, first);
    index apart = weights.group_step;
    std::int16_t alone[Queries][(end / chunk + 1) * step / group + 2][2];
    ORIEL_ROLLED
    for (index i = 0; i < rows.count; i += 2) {
      std::byte const* const one = rows.data + i * rows.stride;
      std::byte const* two = one + rows.stride;
      if (i + 1 == rows.count) {  // the weights of a second row would be those of others
        two = one;
        for (int r = 0; r < Queries; ++r) {
          for (index g = 0; g <= last - first; ++g) {
            alone[r][g][0] = next[r][g * apart];
            alone[r][g][1] = 0;
          }
          next[r] = alone[r][0];
        }
        apart = 2;
      }
      auto const add = [&]<int J>() ORIEL_INLINE_LAMBDA {
        constexpr int n = First + J;
        index const from = d + n / chunk * step;
        code::template prefetch<n % chunk>(rows, one, from);
        code::template prefetch<n % chunk>(rows, two, from);
        words<Arch> const x = code::template get<n % chunk>(one, from);
        words<Arch> const y = code::template get<n % chunk>(two, from);
        words<Arch> const a = interleave_low<Arch>(x, y);
        words<Arch> const b = interleave_high<Arch>(x, y);
        auto const at = code::template places_of<n % chunk>(from);
        unroll<Queries>([&](int r) ORIEL_INLINE_LAMBDA {
          std::int16_t const* const weight = next[r] + (at.first - first) * apart;
          words<Arch> w;
          if constexpr (code::one_scale) {
            w = broadcast_pair<Arch>(weight);
          } else {
            w = broadcast_pairs<Arch>(weight, next[r] + (at.last - first) * apart);
          }
          low[r][J] = add_pair_products<Arch>(low[r][J], a, w);
          high[r][J] = add_pair_products<Arch>(high[r][J], b, w);
        });
      };
      [&]<int... J>(std::integer_sequence<int, J...>) ORIEL_INLINE_LAMBDA {
        (add.template operator()<J>(), ...);
      }
      (std::make_integer_sequence<int, Wide>{});
      for (int r = 0; r < Queries; ++r) next[r] += 2;
    }
    each([](std::int32_t* to, words<Arch> const& a, words<Arch> const& b) ORIEL_INLINE_LAMBDA {
      store_words<Arch>(to, a), store_words<Arch>(to + lanes<Arch>, b);
    });
  }
};

template <class Arch, class Codec>
void rounded_products<Arch, Codec>::dot(row_slice const& rows, rounded_rows const& q, int count,
                                        float* to, index to_step) noexcept {
  in_ones_twos_fours(
      count, [&]<int Queries>(std::integral_constant<int, Queries>, int r) ORIEL_INLINE_LAMBDA {
        float* const out = to + r * to_step;
        if (usual > 0 && rows.dim == usual) {
          scores::template dot<Queries, usual>(rows, q.from(r), out, to_step);
        } else {
          scores::template dot<Queries, 0>(rows, q.from(r), out, to_step);
        }
      });
}

template <class Arch, class Codec>
void rounded_products<Arch, Codec>::scales(row_slice const& rows, float* scale, float* zero,
                                           index between) noexcept {
  if (usual > 0 && rows.dim == usual) {
    group_scales<Arch, Codec, usual>(rows, scale, zero, between);
  } else {
    group_scales<Arch, Codec, 0>(rows, scale, zero, between);
  }
}

template <class Arch, class Codec>
void rounded_products<Arch, Codec>::add(row_slice const& rows, rounded_weights const& weights,
                                        int count, std::int32_t* acc, index acc_step) noexcept {
  in_ones_twos_fours(
      count, [&]<int Queries>(std::integral_constant<int, Queries>, int r) ORIEL_INLINE_LAMBDA {
        constexpr int wide = (value_registers<Arch, Queries> + 1) / 2;  // two sums for each
        auto const block = [&]<int First, int Wide>(index d) ORIEL_INLINE_LAMBDA {
          add_some<Queries, First, Wide>(rows, weights.from(r), acc + r * acc_step, acc_step, d);
        };
        index d = 0;
        if constexpr (wide > chunk) {
          constexpr int whole = wide / chunk * chunk;
          for (; d + whole * word_lanes<Arch> <= rows.dim; d += whole * word_lanes<Arch>) {
            block.template operator()<0, whole>(d);
          }
        }
        for (; d < rows.dim; d += step) {
          constexpr int part = wide < chunk ? wide : chunk;
          [&]<int... I>(std::integer_sequence<int, I...>) ORIEL_INLINE_LAMBDA {
            (block.template operator()<I * part, part>(d), ...);
          }
          (std::make_integer_sequence<int, chunk / part>{});
        }
      });
}

}  // namespace oriel::inline v0
