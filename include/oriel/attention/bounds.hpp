// SPDX-License-Identifier: BSL-1.0
// How large the calls are that a plan is made for.
#pragma once

#include <optional>

#include "oriel/attention/batch.hpp"

namespace oriel::inline v0 {

/// Upper bounds of the calls that a plan is made for; the heads are those of every call.
struct attend_bounds {
  index sequences = 1;  ///< in a batch
  index q_len = 1;      ///< queries, all sequences together
  /// Keys that the longest source holds: cache_shape::capacity() of a ring, and the fresh rows of
  /// `joined`.
  index kv_len = 0;
  index q_heads = 1;
  index kv_heads = 1;
  index head_dim = 0;
  index chosen_blocks = 0;  ///< that a row of a selector chooses at most; 0: no selector
  std::optional<index> v_dim = std::nullopt;  ///< head_dim unless given
  bool coded = false;     ///< are any keys or values not fp32 (bf16, f16, codes)?
  bool narrow_q = false;  ///< are queries bf16 or f16?

  ORIEL_INLINE constexpr index value_dim() const noexcept { return v_dim ? *v_dim : head_dim; }
};

/// The bounds of one batch: sums of queries, maxima of keys. Of an empty one: no sequence, one
/// head, one float.
ORIEL_INLINE attend_bounds bounds_of(attention_batch const& batch) noexcept {
  attend_bounds all{.sequences = batch.size(), .q_len = 0, .head_dim = 1};
  for (attention const& call : batch) {
    kv_shape const kv = call.kv.shape();
    all.q_len = saturating_add(all.q_len, call.q.tokens);
    all.kv_len = max_of(all.kv_len, call.kv.held());
    all.chosen_blocks = max_of(all.chosen_blocks, call.select.most());
    all.q_heads = call.q.heads;
    all.kv_heads = kv.kv_heads;
    all.head_dim = kv.head_dim;
    all.v_dim = kv.v_dim;
    all.coded = all.coded || kv.coded;
    all.narrow_q = all.narrow_q || call.q.type != element_type::f32;
  }
  return all;
}

}  // namespace oriel::inline v0
