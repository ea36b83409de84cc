// SPDX-License-Identifier: BSL-1.0
// The one micro-kernel of both matrix products.
#pragma once

#include "oriel/kernel/tile_shape.hpp"
#include "oriel/simd/vec.hpp"

namespace oriel::inline v0 {

namespace detail {

/// C[i][row] (+)= sum over t < steps of A(i, t) * B[t][row], i < Depth, for the rows of a tile.
/// A(i, t) = a[i * a_row + t * a_step] is broadcast from where it lies; every product is lane-wise
/// over rows, so a lane's rounding knows nothing of the other lanes, nor of Depth: per element it
/// is one chain of fma in ascending t.
template <class Arch, int Depth, bool Accumulate>
ORIEL_INLINE void gemm_block(float const* a, index a_row, index a_step, index steps, float const* b,
                             float* c) noexcept {
  constexpr int vectors = tile_shape<Arch>::vectors;
  constexpr int rows = tile_shape<Arch>::rows;
  vec<Arch> sum[Depth][vectors];
  unroll<Depth>([&](auto i) ORIEL_INLINE_LAMBDA {
    unroll<vectors>([&](auto j) ORIEL_INLINE_LAMBDA {
      sum[i][j] = Accumulate ? load<Arch>(c + i * rows + j * lanes<Arch>) : broadcast<Arch>(0.0f);
    });
  });
  for (index t = 0; t < steps; ++t) {
    vec<Arch> right[vectors];
    unroll<vectors>([&](auto j)
                        ORIEL_INLINE_LAMBDA { right[j] = load<Arch>(b + j * lanes<Arch>); });
    unroll<Depth>([&](auto i) ORIEL_INLINE_LAMBDA {
      vec<Arch> const left = broadcast<Arch>(a[i * a_row]);
      unroll<vectors>(
          [&](auto j) ORIEL_INLINE_LAMBDA { sum[i][j] = fma<Arch>(left, right[j], sum[i][j]); });
    });
    a += a_step;
    b += rows;
  }
  unroll<Depth>([&](auto i) ORIEL_INLINE_LAMBDA {
    unroll<vectors>([&](auto j) ORIEL_INLINE_LAMBDA {
      store<Arch>(c + i * rows + j * lanes<Arch>, sum[i][j]);
    });
  });
}

}  // namespace detail

/// C[i][row] (+)= sum over t < steps of A(i, t) * B[t][row] for i < count.
///
///   a : A(i, t) at a[i * a_row + t * a_step]   any strides: K and V are not packed
///   b : [steps, rows]                          one tile of rows
///   c : [count, rows]                          `Accumulate`: added to, else overwritten
///
/// Scores:  S^T [keys, rows]   = K Q^T     (a = K: a_row = its stride, a_step = 1; b = Q^T)
/// Values:  O^T [v_dim, rows] += V^T P^T   (a = V: a_row = 1, a_step = its stride; b = P^T)
template <class Arch, bool Accumulate>
void tile_gemm(float const* a, index a_row, index a_step, index count, index steps, float const* b,
               float* c) noexcept {
  constexpr int rows = tile_shape<Arch>::rows;
  constexpr int depth = tile_shape<Arch>::depth;
  auto const take = [&]<int Depth>(std::integral_constant<int, Depth>) ORIEL_INLINE_LAMBDA {
    detail::gemm_block<Arch, Depth, Accumulate>(a, a_row, a_step, steps, b, c);
    a += Depth * a_row;
    c += Depth * rows;
    count -= Depth;
  };
  while (count >= depth) take(std::integral_constant<int, depth>{});
  while (count >= 2) take(std::integral_constant<int, 2>{});
  if (count == 1) take(std::integral_constant<int, 1>{});
}

}  // namespace oriel::inline v0
