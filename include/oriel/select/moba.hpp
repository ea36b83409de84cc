// SPDX-License-Identifier: BSL-1.0
#pragma once

#include "oriel/cache/block_means.hpp"
#include "oriel/select/selector.hpp"
#include "oriel/simd/vec.hpp"

namespace oriel::inline v0 {

/// Mixture of Block Attention. Each row attends to its own block and to the top_k - 1 complete
/// blocks before it whose mean key has the largest product with the row's query, in fp32, not
/// scaled; of equal ones the earlier. So top_k = 1 is the own block only, and a row at a position
/// below block * top_k attends to everything. Query heads of a group choose for themselves. To be
/// used with a causal mask. A block that a ring has begun to overwrite is out of reach.
///
///   means   of the keys of the sequence, which must have been taken up to the last query's block;
///           referred to
///
/// Cost      2 * head_dim flops per row and complete block before it.
/// Source    Lu et al. 2025 (MoBA), arXiv:2502.13189, section 2.2, equations 5 and 6.
class moba {
 public:
  ORIEL_INLINE moba(block_means const& means, index top_k) noexcept
      : means_(&means), top_k_(top_k) {}
  moba(block_means const&& means, index top_k) = delete;  // referred to: it must be an lvalue

  ORIEL_INLINE index block() const noexcept { return means_->shape().block; }
  ORIEL_INLINE index most() const noexcept { return top_k_; }
  ORIEL_INLINE index dense_before() const noexcept { return saturating_mul(block(), top_k_); }

  ORIEL_INLINE status check(kv_shape const& shape, range queries) const noexcept {
    if (status s = means_->check(); !s.ok()) return s;
    if (top_k_ < 1 || top_k_ > max_chosen) {
      return {errc::select, "select: moba's top_k must be at least 1 and at most 1024"};
    }
    if (means_->shape().kv_heads != shape.kv_heads) {
      return {errc::heads, "select: the means' kv_heads must equal kv.heads"};
    }
    if (means_->shape().head_dim != shape.head_dim) {
      return {errc::shape, "select: the means' head_dim must equal k.dim"};
    }
    if (!queries.empty() &&
        means_->positions().end < round_down(max_of(queries.end - 1, 0), block())) {
      return {errc::select,
              "select: the means must have taken the keys before the last query's block"};
    }
    return {};
  }

  template <class Arch = default_arch>
  ORIEL_INLINE index choose(choosing_row const& row, index* to) const noexcept {
    index const own = round_down(row.position, block()) / block();
    // Complete blocks before the own one, whole in the source.
    range const whole{ceil_div(max_of(row.keys.begin, 0), block()), own};
    range const past = intersect(means_->held(), whole);
    index const wanted = min_of(top_k_ - 1, past.size());
    float best[max_chosen];  // of to[i], falling
    index count = 0;
    for (index b = past.begin; b < past.end; ++b) {
      float const gate = dot<Arch>(row.q, means_->mean(row.kv_head, b), means_->shape().head_dim);
      if (count == wanted && (wanted == 0 || !(gate > best[count - 1]))) continue;
      index at = count < wanted ? count++ : count - 1;
      for (; at > 0 && gate > best[at - 1]; --at) best[at] = best[at - 1], to[at] = to[at - 1];
      best[at] = gate;
      to[at] = b;
    }
    for (index i = 1; i < count; ++i) {  // ascending
      index const b = to[i];
      index at = i;
      for (; at > 0 && to[at - 1] > b; --at) to[at] = to[at - 1];
      to[at] = b;
    }
    to[count++] = own;
    return count;
  }

 private:
  template <class Arch>
  ORIEL_INLINE static float dot(float const* a, float const* b, index dim) noexcept {
    vec<Arch> sum[4];
    unroll<4>([&](int i) ORIEL_INLINE_LAMBDA { sum[i] = broadcast<Arch>(0.0f); });
    index d = 0;
    for (; d + 4 * lanes<Arch> <= dim; d += 4 * lanes<Arch>) {
      unroll<4>([&](int i) ORIEL_INLINE_LAMBDA {
        index const at = d + i * lanes<Arch>;
        sum[i] = fma<Arch>(load<Arch>(a + at), load<Arch>(b + at), sum[i]);
      });
    }
    for (; d < dim; d += lanes<Arch>) {
      int const width = static_cast<int>(min_of(lanes<Arch>, dim - d));
      sum[0] =
          fma<Arch>(load_partial<Arch>(a + d, width), load_partial<Arch>(b + d, width), sum[0]);
    }
    float part[lanes<Arch>];
    store<Arch>(part, (sum[0] + sum[1]) + (sum[2] + sum[3]));
    for (int i = 1; i < lanes<Arch>; ++i) part[0] += part[i];
    return part[0];
  }

  block_means const* means_;
  index top_k_;
};

}  // namespace oriel::inline v0
