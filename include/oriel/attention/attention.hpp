// SPDX-License-Identifier: BSL-1.0
// One call of attention.
#pragma once

#include <optional>
#include <span>

#include "oriel/cache/contiguous.hpp"
#include "oriel/core/head_map.hpp"
#include "oriel/mask/any_mask.hpp"
#include "oriel/score/any_score.hpp"
#include "oriel/select/selector.hpp"
#include "oriel/view/element_view.hpp"

namespace oriel::inline v0 {

/// Which kernel computes a call.
enum class kernel_choice {
  by_length,  ///< the decode kernel for up to 8 rows (q_len * group), else the row-lane kernel
  row_lanes,  ///< the row-lane kernel always: then any cut of a prompt gives the same bits
};

/// How exactly a call is computed.
enum class compute_choice {
  exact,  ///< in floats
  /// The decode kernel may quantise queries and weights to 16-bit integers where keys or values are
  /// codes of at most 8 bits with scales (`rounded_products`) and the instruction set has integer
  /// products (AVX2, AVX-512). Each query has one unit, 1 / 32639 of its largest magnitude. So have
  /// the products p s of a softmax weight p and a scale s of the key's value, among 128 keys (from
  /// an absolute multiple of 128 on) and all channels. With u = 1 / 64000
  ///   |change of a score| <= u scale max_d |q[d]| sum_d |k[d]|
  ///   |change of their sum of p v[d]| <= u (number of keys) max (p |s|) max |code|
  /// provided that no sum of |s code| over a key's channels exceeds 1e33 and no maximum is below
  /// 1e-34. Everything else is computed as `exact`, with the same bits for any cut and any threads;
  /// but fresh rows of `joined` are multiplied as floats until they are stored. Where it quantises,
  /// a query that is not finite has NaN for all scores, and an infinite scale of a value gives NaN
  /// in all channels.
  fast,
};

/// Attention of the queries of one sequence over its keys: prefill, append and decode alike.
///
///   q    [q_len, q_heads, head_dim]     any token and head strides; last axis contiguous; float,
///                                       bf16 or f16, read exactly
///   kv   [kv_len, kv_heads, ...]        contiguous{k, v}, a cache, or joined{cache, k, v}
///   mask                                causal{}, causal{} & sliding_window{W}, ...; a few bytes
///   score                               softcap{c}, alibi{s}, softcap{c} >> alibi{s}, ...
///   select                              moba{means, top_k}, ...: blocks of keys; else all of them
///   sink_logits [q_heads] or empty      a learned logit per head that joins the denominator only
///   out  [q_len, q_heads, v_dim]        any strides; float, or that rounded once to bf16 or f16
///   lse  [q_len, q_heads, 1] or {}      natural log of sum exp(s_k) over the visible keys
///   lse_sink    of the same shape       the same with the sink: ln(exp(lse) + exp(sink_logit))
///
///   out[t, h] = sum_k p_k * v[k, g],  p = softmax_k(s_k),  g = h / group,
///   s_k = score(scale * q[t, h] . k[k, g]) where the mask shows k, else -inf
///
/// A sink logit is not scaled and is no key: weights sum to less than 1, and a row that sees no key
/// has out = 0, lse = -inf, lse_sink = its logit. Zeros are "smooth softmax". Parts that are merged
/// later (merge.hpp) leave it out. Source: OpenAI 2025 (gpt-oss), arXiv:2508.10925, section 2.
///
/// A NaN in a query, or in a key that its row sees, makes that row's results NaN and no other's. A
/// value that is not finite reaches the rows that see it and no others (rows that are computed with
/// them are computed again, alone). What no row sees is not read.
///
/// A plain value: it copies views, masks and functors and refers to caches, in the same way for
/// every instruction set. What masks and functors refer to must stay as it is during the call.
struct attention {
  input_view q;
  any_source kv;
  any_mask mask = full{};
  any_score score = {};
  any_selector select = {};
  std::span<float const> sink_logits = {};  ///< referred to
  output_view out = {};
  tensor_view<float> lse = {};
  tensor_view<float> lse_sink = {};
  std::optional<index> first_query =
      std::nullopt;                           ///< default: the last query sits at the last key
  std::optional<float> scale = std::nullopt;  ///< default: 1 / sqrt(head_dim)
  kernel_choice kernel = kernel_choice::by_length;
  compute_choice compute = compute_choice::exact;

  /// Positions of the queries.
  ORIEL_INLINE range queries() const noexcept {
    index const first = first_query ? *first_query : kv.positions().end - q.tokens;
    return {first, first + q.tokens};
  }
  ORIEL_INLINE head_map heads() const noexcept { return {q.heads, kv.shape().kv_heads}; }
  ORIEL_INLINE float used_scale() const noexcept {
    return scale ? *scale : 1.0f / __builtin_sqrtf(static_cast<float>(q.dim));
  }
};

}  // namespace oriel::inline v0
