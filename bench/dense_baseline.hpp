// SPDX-License-Identifier: BSL-1.0
// Attention as the first research toolkits had it: a mask of n x n floats, scores of n x n floats.
#pragma once

#include <Eigen/Core>
#include <limits>
#include <oriel/interop/eigen.hpp>
#include <oriel/oriel.hpp>

namespace bench {

using dense_matrix = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

/// The mask, one float per pair: 0 where query i sees key j, else -infinity. Made once, used by
/// every head (and, in a model, by every layer).
template <oriel::mask M>
dense_matrix dense_mask(M const& mask, oriel::index n) {
  dense_matrix m(n, n);
  for (oriel::index i = 0; i < n; ++i) {
    for (oriel::index j = 0; j < n; ++j) {
      m(i, j) = mask.visible(i, j) ? 0.0f : -std::numeric_limits<float>::infinity();
    }
  }
  return m;
}

/// out = softmax(scale * Q K^T + mask) V, head by head; q, k, v and out are [n, heads, dim].
inline void dense_attention(oriel::tensor_view<float const> q, oriel::tensor_view<float const> k,
                            oriel::tensor_view<float const> v, dense_matrix const& mask,
                            oriel::tensor_view<float> out) {
  float const scale = 1.0f / std::sqrt(static_cast<float>(q.dim));
  oriel::head_map const heads{q.heads, k.heads};
  for (oriel::index h = 0; h < q.heads; ++h) {
    auto const k_head = oriel::matrix_of(k, heads.kv_head(h));
    auto const v_head = oriel::matrix_of(v, heads.kv_head(h));
    dense_matrix scores(q.tokens, k.tokens);
    scores.noalias() = oriel::matrix_of(q, h) * k_head.transpose();
    scores = scores * scale + mask;
    for (oriel::index i = 0; i < q.tokens; ++i) {
      auto row = scores.row(i);
      row.array() = (row.array() - row.maxCoeff()).exp();
      row /= row.sum();
    }
    oriel::matrix_of(out, h).noalias() = scores * v_head;
  }
}

}  // namespace bench
