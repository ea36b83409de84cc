// SPDX-License-Identifier: BSL-1.0
// The one micro-kernel of both matrix products.
#pragma once

#include "oriel/kernel/row_fetch.hpp"
#include "oriel/kernel/tile_shape.hpp"

namespace oriel::inline v0 {

namespace detail {

/// C[i][row] (+)= sum over t < steps of A(i, t) * B[t][row] for i < Depth and the rows of the first
/// Vectors registers of a tile. A(i, t) = a[i * a_row + t * a_step] is broadcast from where it
/// lies; every product is lane-wise over rows, so a lane's rounding knows nothing of the other
/// lanes, of Depth or of Vectors: per element it is one chain of fma in ascending t.
template <class Arch, int Vectors, int Depth>
ORIEL_INLINE void gemm_block(float const* a, index a_row, index a_step, index steps, float const* b,
                             float* c, bool add, row_fetch<Arch>& fetch, index turns) noexcept {
  constexpr int rows = tile_shape<Arch>::rows;
  vec<Arch> sum[Depth][Vectors];
  unroll<Depth>([&](int i) ORIEL_INLINE_LAMBDA {
    unroll<Vectors>([&](int j) ORIEL_INLINE_LAMBDA {
      sum[i][j] = add ? load<Arch>(c + i * rows + j * lanes<Arch>) : broadcast<Arch>(0.0f);
    });
  });
  ORIEL_ROLLED
  for (index t = 0; t < steps; ++t) {
    if (t % fetch.parts == 0 && turns > 0) {
      fetch.turns(1);
      --turns;
    }
    vec<Arch> right[Vectors];
    unroll<Vectors>([&](int j)
                        ORIEL_INLINE_LAMBDA { right[j] = load_once<Arch>(b + j * lanes<Arch>); });
    unroll<Depth>([&](int i) ORIEL_INLINE_LAMBDA {
      vec<Arch> const left = broadcast<Arch>(a[i * a_row]);
      unroll<Vectors>(
          [&](int j) ORIEL_INLINE_LAMBDA { sum[i][j] = fma<Arch>(left, right[j], sum[i][j]); });
    });
    a += a_step;
    b += rows;
  }
  fetch.turns(turns);
  unroll<Depth>([&](int i) ORIEL_INLINE_LAMBDA {
    unroll<Vectors>(
        [&](int j) ORIEL_INLINE_LAMBDA { store<Arch>(c + i * rows + j * lanes<Arch>, sum[i][j]); });
  });
}

}  // namespace detail

/// C[i][row] (+)= sum over t < steps of A(i, t) * B[t][row] for i < count.
///
///   a : A(i, t) at a[i * a_row + t * a_step]   any strides: K and V are not packed
///   b : [steps, rows]                          a tile of rows, of which Vectors registers are used
///   c : [count, rows]                          `add`: added to, else overwritten
///   fetch                                      rows to prefetch meanwhile, evenly
///
/// Scores:  S^T [keys, rows]   = K Q^T     (a = K: a_row = its stride, a_step = 1; b = Q^T)
/// Values:  O^T [v_dim, rows] += V^T P^T   (a = V: a_row = 1, a_step = its stride; b = P^T)
template <class Arch, int Vectors>
void tile_gemm(float const* a, index a_row, index a_step, index count, index steps, float const* b,
               float* c, bool add, row_fetch<Arch>& fetch) noexcept {
  constexpr int depth = tile_shape<Arch>::depth(Vectors);
  index const all = max_of(count, 1);
  index const turns = fetch.left();
  auto const take = [&]<int Depth>(std::integral_constant<int, Depth>) ORIEL_INLINE_LAMBDA {
    while (count >= Depth) {
      detail::gemm_block<Arch, Vectors, Depth>(a, a_row, a_step, steps, b, c, add, fetch,
                                               ceil_div(Depth * turns, all));
      a += Depth * a_row;
      c += Depth * tile_shape<Arch>::rows;
      count -= Depth;
    }
  };
  take(std::integral_constant<int, depth>{});
  if constexpr (depth > 4) take(std::integral_constant<int, 4>{});
  take(std::integral_constant<int, 1>{});
}

}  // namespace oriel::inline v0
