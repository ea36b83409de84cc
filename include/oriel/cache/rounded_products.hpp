// SPDX-License-Identifier: BSL-1.0
// Products with a codec's rows as whole numbers: queries and weights are rounded to 16 bits, codes
// are taken as they are, and a group's scale multiplies a sum of products.
#pragma once

#include <bit>
#include <numeric>

#include "oriel/cache/coded_products.hpp"
#include "oriel/simd/words.hpp"

namespace oriel::inline v0 {

/// The products of `rounded_functions` for a codec that has `group`: the channels that share a
/// scale, a multiple of 16, and with it
///   code_chunk<Arch>             registers of codes that lie behind one another
///   whole<Arch, I>(row, d)       the I-th of those from channel d on: as many codes as a register
///                                has numbers of 16 bits, in parts of 16. The first parts of a
///                                chunk's registers lie behind one another, then the second ones
///   widen_parameters<Arch>(row, dim, to)   writes the groups' scales, then with `has_zero` their
///                                zeros
/// so that channel d of group g is scale[g] * code[d] + zero[g]. The bodies stand apart, as those
/// of coded_products.
template <class Arch, class Codec>
struct rounded_products {
  static constexpr index group = Codec::group;
  static constexpr int chunk = Codec::template code_chunk<Arch>;
  static constexpr index step = chunk * word_lanes<Arch>;
  static constexpr index dims = std::lcm(group, step);
  static_assert(group % 16 == 0 && std::has_single_bit(static_cast<unsigned>(chunk)));

  static void order(std::int16_t const* q, index dim, std::int16_t* to, float* sums) noexcept {
    each_part(dim, [&](index i, index d)
                       ORIEL_INLINE_LAMBDA { std::memcpy(to + i, q + d, 16 * sizeof(*q)); });
    for (index d = 0; d < dim; d += group) {
      int sum = 0;
      for (index i = d; i < d + group; ++i) sum += q[i];
      *sums++ = static_cast<float>(sum);
    }
  }

  static void dot(row_slice const& rows, rounded_rows const& q, int count, float* to,
                  index to_step) noexcept;
  static void scales(row_slice const& rows, float* scale, float* zero, index between) noexcept;
  static void add(row_slice const& rows, rounded_weights const& weights, int count,
                  std::int32_t* acc, index acc_step) noexcept;
  /// Within a register, sums of the lower 4 of each 8 channels come before those of the upper.
  static void restore(std::int32_t const* sum, index dim, std::int32_t* to) noexcept {
    each_part(dim, [&](index i, index d) ORIEL_INLINE_LAMBDA {
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
  static constexpr index most_parameters = (Codec::has_zero ? 2 : 1) * (max_coded_dim / group + 1);
  static constexpr index parts = word_lanes<Arch> / 16;
  /// Do the registers of a chunk have the same scales?
  static constexpr bool alike = group % (16 * chunk) == 0;

  /// f(Rows, first) for `count` rows of q: one, two, or four at a time, of which the last may be
  /// too many. Sums of more don't stay in registers.
  template <class F>
  ORIEL_INLINE static void in_blocks(int count, F&& f) noexcept {
    if (count == 1) return f(std::integral_constant<int, 1>{}, 0);
    if (count == 2) return f(std::integral_constant<int, 2>{}, 0);
    for (int r = 0; r < count; r += 4) f(std::integral_constant<int, 4>{}, r);
  }
  /// The channel of a chunk with which part `part` of its register I begins.
  ORIEL_INLINE static constexpr index part_at(index i, index part) noexcept {
    return (part * chunk + i) * 16;
  }
  /// f(i, d) for each part of a row: it is at i where registers lie in order, and has the channels
  /// from d on.
  template <class F>
  ORIEL_INLINE static void each_part(index dim, F&& f) noexcept {
    for (index d = 0; d < dim; d += step) {
      unroll<chunk* static_cast<int>(parts)>(
          [&](int n) ORIEL_INLINE_LAMBDA { f(d + n * 16, d + part_at(n / parts, n % parts)); });
    }
  }
  /// The groups of channels of the first and the last part of register I of the chunk from d on.
  struct scale_places {
    index first;
    index last;
  };
  template <int I>
  ORIEL_INLINE static constexpr scale_places places_of(index d) noexcept {
    auto const at = [&](index part) ORIEL_INLINE_LAMBDA {
      return static_cast<index>(static_cast<std::uint64_t>(d + part_at(I, part)) / group);
    };
    return {at(0), at(parts - 1)};
  }
  /// Do all parts of a register have one scale, wherever it is?
  static constexpr bool one_scale = group % step == 0;
  /// Channels that a compiler knows for one row of q, as most models have them.
  static constexpr index usual = lanes<Arch> == 16 && 128 % dims == 0 ? 128 : 0;

  template <index Channels>
  ORIEL_INLINE static void scales_of(row_slice const& rows, float* scale, float* zero,
                                     index between) noexcept {
    index const dim = Channels > 0 ? Channels : rows.dim;
    index const groups = dim / group;
    index const each = groups * (Codec::has_zero ? 2 : 1);
    float of_rows[4 * (Channels > 0 ? 2 * (Channels / group) : most_parameters)];
    auto const widen = [&](index row, float* to) ORIEL_INLINE_LAMBDA {
      Codec::template widen_parameters<Arch>(rows.data + row * rows.stride, dim, to);
    };
    auto const to = [&](index n) ORIEL_INLINE_LAMBDA {
      return n < groups ? scale + n * between : zero + (n - groups) * between;
    };
    index i = 0;
    for (; i + 4 <= rows.count && groups % 4 == 0; i += 4) {
      unroll<4>([&](int j) ORIEL_INLINE_LAMBDA { widen(i + j, of_rows + j * each); });
      for (index n = 0; n < each; n += 4) transpose_4x4(of_rows + n, each, to(n) + i, between);
    }
    for (; i < rows.count; ++i) {
      widen(i, of_rows);
      for (index n = 0; n < each; ++n) to(n)[i] = of_rows[n];
    }
  }

  /// Asks for a line behind the chunk of codes from channel d on, with its first register. A core
  /// drops most of many requests at once (Zen 4), so each chunk asks for its own.
  template <int I>
  ORIEL_INLINE static void ask(row_slice const& rows, std::byte const* row, index d) noexcept {
    if (I > 0 || rows.ahead.l2 == 0) return;
    prefetch_l2(reinterpret_cast<std::uintptr_t>(row) +
                static_cast<std::uintptr_t>(Codec::begins(d)) + rows.ahead.l2);
  }

  /// The scores of Rows rows of q.
  template <int Rows, index Channels>
  ORIEL_INLINE static void dot_some(row_slice const& rows, rounded_rows const& q, float* to,
                                    index to_step) noexcept {
    constexpr int keys = lanes<Arch> / Rows > 0 ? lanes<Arch> / Rows : 1;
    std::conditional_t<Channels == 0, index, std::integral_constant<index, Channels>> dim;
    if constexpr (Channels == 0) dim = rows.dim;
    index const groups = dim / group;
    index const each = groups * (Codec::has_zero ? 2 : 1);
    float unit[lanes<Arch>];
    for (int r = 0; r < Rows; ++r) {
      for (int j = 0; j < keys; ++j) unit[r * keys + j] = q.unit[r];
    }
    for (index i = 0; i < rows.count; i += keys) {
      alignas(64) float sums[lanes<Arch>][lanes<Arch>];
      float of_rows[keys * most_parameters];
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
        vec<Arch> sum[Rows];
        unroll<Rows>([&](int r) ORIEL_INLINE_LAMBDA { sum[r] = broadcast<Arch>(0.0f); });
        for (index g = 0; Codec::has_zero && g < groups; g += lanes<Arch>) {
          int const width = static_cast<int>(min_of(lanes<Arch>, groups - g));
          // A zero multiplies its group's sum of q.
          vec<Arch> const zero = load_partial<Arch>(scales + groups + g, width);
          unroll<Rows>([&](int r) ORIEL_INLINE_LAMBDA {
            sum[r] =
                fma<Arch>(zero, load_partial<Arch>(q.sums + r * q.sums_step + g, width), sum[r]);
          });
        }
        auto const chunk_at = [&](index d) ORIEL_INLINE_LAMBDA {
          words<Arch> total[Rows];
          auto const add = [&]<int I>() ORIEL_INLINE_LAMBDA {
            ask<I>(rows, row, d);
            words<Arch> const code = Codec::template whole<Arch, I>(row, d);
            scale_places const at = places_of<I>(d);
            unroll<Rows>([&](int r) ORIEL_INLINE_LAMBDA {
              auto const x = load_words<Arch>(q.codes + r * q.step + d + I * word_lanes<Arch>);
              total[r] = I == 0 || !alike ? pair_products<Arch>(code, x)
                                          : add_pair_products<Arch>(total[r], code, x);
            });
            if constexpr (I == chunk - 1 || !alike) {
              if constexpr (one_scale) {
                unroll<Rows>([&](int r) ORIEL_INLINE_LAMBDA {
                  sum[r] = fma<Arch>(to_floats<Arch>(total[r]),
                                     broadcast_operand<Arch>(scales + at.first), sum[r]);
                });
              } else {
                vec<Arch> const scale = broadcast_halves<Arch>(scales + at.first, scales + at.last);
                unroll<Rows>([&](int r) ORIEL_INLINE_LAMBDA {
                  sum[r] = fma<Arch>(to_floats<Arch>(total[r]), scale, sum[r]);
                });
              }
            }
          };
          [&]<int... I>(std::integer_sequence<int, I...>) ORIEL_INLINE_LAMBDA {
            (add.template operator()<I>(), ...);
          }
          (std::make_integer_sequence<int, chunk>{});
        };
        if constexpr (Channels > 0) {
          unroll<Channels / step>([&](int n) ORIEL_INLINE_LAMBDA { chunk_at(n * step); });
        } else {
          for (index d = 0; d < dim; d += step) chunk_at(d);
        }
        unroll<Rows>([&](int r) ORIEL_INLINE_LAMBDA { store<Arch>(sums[r * keys + j], sum[r]); });
      }
      vec<Arch> sum[lanes<Arch>];
      unroll<lanes<Arch>>([&](int n) ORIEL_INLINE_LAMBDA { sum[n] = load<Arch>(sums[n]); });
      write_products<Arch, Rows>(sum_rows<Arch>(sum) * load<Arch>(unit), to + i, to_step, here);
    }
  }

  /// The sums of Wide registers of codes, from the First of those from channel d on, for Rows rows
  /// of weights: two rows of codes at a time.
  template <int Rows, int First, int Wide>
  ORIEL_INLINE static void add_some(row_slice const& rows, rounded_weights const& weights,
                                    std::int32_t* acc, index acc_step, index d) noexcept {
    words<Arch> low[Rows][Wide];
    words<Arch> high[Rows][Wide];
    acc += d + First * word_lanes<Arch>;
    auto const each = [&](auto&& f) ORIEL_INLINE_LAMBDA {
      unroll<Rows>([&](int r) ORIEL_INLINE_LAMBDA {
        unroll<Wide>([&](int j) ORIEL_INLINE_LAMBDA {
          f(acc + r * acc_step + j * word_lanes<Arch>, low[r][j], high[r][j]);
        });
      });
    };
    each([](std::int32_t const* from, words<Arch>& a, words<Arch>& b) ORIEL_INLINE_LAMBDA {
      a = load_words<Arch>(from), b = load_words<Arch>(from + lanes<Arch>);
    });
    ORIEL_ROLLED
    for (index i = 0; i < rows.count; i += 2) {
      bool const pair = i + 1 < rows.count;
      std::byte const* const one = rows.data + i * rows.stride;
      std::byte const* const two = pair ? one + rows.stride : one;
      auto const add = [&]<int J>() ORIEL_INLINE_LAMBDA {
        constexpr int n = First + J;
        index const from = d + n / chunk * chunk * word_lanes<Arch>;
        ask<n % chunk>(rows, one, from);
        ask<n % chunk>(rows, two, from);
        words<Arch> const x = Codec::template whole<Arch, n % chunk>(one, from);
        words<Arch> const y = Codec::template whole<Arch, n % chunk>(two, from);
        words<Arch> const a = interleave_low<Arch>(x, y);
        words<Arch> const b = interleave_high<Arch>(x, y);
        scale_places const at = places_of<n % chunk>(from);
        unroll<Rows>([&](int r) ORIEL_INLINE_LAMBDA {
          std::uint32_t const weight = weights.pair(r, at.first, i, pair);
          words<Arch> w;
          if constexpr (one_scale) {
            w = broadcast_pair<Arch>(weight);
          } else {
            w = broadcast_pairs<Arch>(weight, weights.pair(r, at.last, i, pair));
          }
          low[r][J] = add_pair_products<Arch>(low[r][J], a, w);
          high[r][J] = add_pair_products<Arch>(high[r][J], b, w);
        });
      };
      [&]<int... J>(std::integer_sequence<int, J...>) ORIEL_INLINE_LAMBDA {
        (add.template operator()<J>(), ...);
      }
      (std::make_integer_sequence<int, Wide>{});
    }
    each([](std::int32_t* to, words<Arch> const& a, words<Arch> const& b) ORIEL_INLINE_LAMBDA {
      store_words<Arch>(to, a), store_words<Arch>(to + lanes<Arch>, b);
    });
  }
};

template <class Arch, class Codec>
void rounded_products<Arch, Codec>::dot(row_slice const& rows, rounded_rows const& q, int count,
                                        float* to, index to_step) noexcept {
  in_blocks(count, [&]<int Rows>(std::integral_constant<int, Rows>, int r) ORIEL_INLINE_LAMBDA {
    float* const out = to + r * to_step;
    if (usual > 0 && rows.dim == usual) {
      dot_some<Rows, usual>(rows, q.from(r), out, to_step);
    } else {
      dot_some<Rows, 0>(rows, q.from(r), out, to_step);
    }
  });
}

template <class Arch, class Codec>
void rounded_products<Arch, Codec>::scales(row_slice const& rows, float* scale, float* zero,
                                           index between) noexcept {
  if (usual > 0 && rows.dim == usual) {
    scales_of<usual>(rows, scale, zero, between);
  } else {
    scales_of<0>(rows, scale, zero, between);
  }
}

template <class Arch, class Codec>
void rounded_products<Arch, Codec>::add(row_slice const& rows, rounded_weights const& weights,
                                        int count, std::int32_t* acc, index acc_step) noexcept {
  in_blocks(count, [&]<int Rows>(std::integral_constant<int, Rows>, int r) ORIEL_INLINE_LAMBDA {
    constexpr int wide = (value_registers<Arch, Rows> + 1) / 2;  // two sums for each
    auto const block = [&]<int First, int Wide>(index d) ORIEL_INLINE_LAMBDA {
      add_some<Rows, First, Wide>(rows, weights.from(r), acc + r * acc_step, acc_step, d);
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
