// SPDX-License-Identifier: BSL-1.0
// What a query thinks of a block, from the block's summary.
#pragma once

#include "oriel/cache/block_summary.hpp"
#include "oriel/simd/transpose.hpp"

namespace oriel::inline v0 {

namespace detail {

/// Gates of `Rows` queries for lanes / Rows blocks: as many sums as a register has lanes, so that
/// one transpose-and-add reduces them all, to[r * columns + j] of query r and block j. Each gate is
/// a chain of fma per lane and a tree over the lanes: the same bits whatever stands beside it.
template <class Arch, class Kind, int Rows>
ORIEL_INLINE void gate_block(float const* const* q, float const* const* block, index dim,
                             float* to) noexcept {
  constexpr int columns = lanes<Arch> / Rows;
  vec<Arch> sum[lanes<Arch>];
  unroll<lanes<Arch>>([&](int i) ORIEL_INLINE_LAMBDA { sum[i] = broadcast<Arch>(0.0f); });
  auto const add = [&](index d, auto&& part) ORIEL_INLINE_LAMBDA {
    vec<Arch> own[Rows];
    unroll<Rows>([&](int r) ORIEL_INLINE_LAMBDA { own[r] = part(q[r] + d); });
    if constexpr (std::is_same_v<Kind, mean_of_keys>) {  // q . mean
      unroll<columns>([&](int j) ORIEL_INLINE_LAMBDA {
        vec<Arch> const mean = part(block[j] + d);
        unroll<Rows>([&](int r) ORIEL_INLINE_LAMBDA {
          sum[r * columns + j] = fma<Arch>(own[r], mean, sum[r * columns + j]);
        });
      });
    } else {  // max(q * least, q * largest) = max(q, 0) * largest + min(q, 0) * least
      static_assert(std::is_same_v<Kind, bounds_of_keys>);
      vec<Arch> const zero = broadcast<Arch>(0.0f);
      vec<Arch> above[Rows];
      unroll<Rows>([&](int r) ORIEL_INLINE_LAMBDA {
        above[r] = max<Arch>(own[r], zero);
        own[r] = own[r] - above[r];
      });
      unroll<columns>([&](int j) ORIEL_INLINE_LAMBDA {
        vec<Arch> const least = part(block[j] + d);
        vec<Arch> const largest = part(block[j] + dim + d);
        unroll<Rows>([&](int r) ORIEL_INLINE_LAMBDA {
          vec<Arch> const below = fma<Arch>(own[r], least, sum[r * columns + j]);
          sum[r * columns + j] = fma<Arch>(above[r], largest, below);
        });
      });
    }
  };
  index const whole = round_down(dim, lanes<Arch>);
  for (index d = 0; d < whole; d += lanes<Arch>) {
    add(d, [](float const* from) ORIEL_INLINE_LAMBDA { return load<Arch>(from); });
  }
  if (int const rest = static_cast<int>(dim - whole); rest > 0) {
    add(whole,
        [rest](float const* from) ORIEL_INLINE_LAMBDA { return load_partial<Arch>(from, rest); });
  }
  store<Arch>(to, sum_rows<Arch>(sum));
}

}  // namespace detail

/// The larger, the more a block promises, in fp32, not scaled.
///
///   mean_of_keys     q . mean                                       MoBA
///   bounds_of_keys   sum_d max(q_d * least_d, q_d * largest_d)      Quest: no q . k exceeds it
///
/// Calls f(row, block, gate) for the queries q[0 .. count), each [head_dim], of kv head `head`, and
/// the held blocks `blocks`; for each row in ascending order of blocks. A gate's bits depend on its
/// query and its block alone.
/// Cost       2 * head_dim flops per gate (bounds: twice that).
/// Source     Lu et al. 2025 (MoBA), arXiv:2502.13189, equation 6; Tang et al. 2024 (Quest),
///            arXiv:2406.10774, section 3.3.
template <class Arch, class Kind, class F>
ORIEL_INLINE void for_each_gate(block_summary<Kind> const& of, index head, float const* const* q,
                                int count, range blocks, F&& f) noexcept {
  constexpr int wide = lanes<Arch> < 4 ? lanes<Arch> : 4;
  auto const take = [&]<int Rows>(std::integral_constant<int, Rows>,
                                  int first) ORIEL_INLINE_LAMBDA {
    constexpr int columns = lanes<Arch> / Rows;
    float const* own[Rows];  // beyond the last: the last again
    for (int r = 0; r < Rows; ++r) own[r] = q[first + r < count ? first + r : count - 1];
    for (index b = blocks.begin; b < blocks.end; b += columns) {
      float const* block[columns];
      for (int j = 0; j < columns; ++j) block[j] = of.of(head, min_of(b + j, blocks.end - 1));
      float gate[lanes<Arch>];
      detail::gate_block<Arch, Kind, Rows>(own, block, of.shape().head_dim, gate);
      for (int r = 0; r < Rows && first + r < count; ++r) {
        index const end = min_of(columns, blocks.end - b);
        for (index j = 0; j < end; ++j) f(first + r, b + j, gate[r * columns + j]);
      }
    }
  };
  if (count == 1) return take(std::integral_constant<int, 1>{}, 0);
  for (int r = 0; r < count; r += wide) take(std::integral_constant<int, wide>{}, r);
}

}  // namespace oriel::inline v0
