// SPDX-License-Identifier: BSL-1.0
// One call of attention, and when it makes sense.
#pragma once

#include <optional>

#include "oriel/cache/contiguous.hpp"
#include "oriel/core/head_map.hpp"
#include "oriel/mask/any_mask.hpp"

namespace oriel::inline v0 {

/// Which kernel computes a call.
enum class kernel_choice {
  by_length,  ///< the decode kernel for up to 8 rows (q_len * group), else the row-lane kernel
  row_lanes,  ///< the row-lane kernel always: then any cut of a prompt gives the same bits
};

/// Attention of the queries of one sequence over its keys: prefill, append and decode alike.
///
///   q    [q_len, q_heads, head_dim]     any token and head strides; last axis contiguous
///   kv   [kv_len, kv_heads, ...]        contiguous{k, v}, a cache, or joined{cache, k, v}
///   mask                                causal{}, causal{} & sliding_window{W}, ...; a few bytes
///   out  [q_len, q_heads, v_dim]        any strides
///   lse  [q_len, q_heads, 1] or empty   natural log of sum exp(scale * q.k) over the visible keys
///
///   out[t, h] = sum_k p_k * v[k, g],  p = softmax_k(scale * q[t, h] . k[k, g]),  g = h / group
///
/// A plain value: it copies views and masks and refers to caches, in the same way for every
/// instruction set.
struct attention {
  tensor_view<float const> q;
  any_source kv;
  any_mask mask = full{};
  tensor_view<float> out = {};
  tensor_view<float> lse = {};
  std::optional<index> first_query =
      std::nullopt;                           ///< default: the last query sits at the last key
  std::optional<float> scale = std::nullopt;  ///< default: 1 / sqrt(head_dim)
  kernel_choice kernel = kernel_choice::by_length;

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

namespace detail {

inline constexpr view_rules q_rules{"q: tokens, heads and dim must not be negative",
                                    "q: strides leave the address space", "q.data must not be null",
                                    "q.data must be aligned to its element type"};
inline constexpr view_rules out_rules{
    "out: tokens, heads and dim must not be negative", "out: strides leave the address space",
    "out.data must not be null", "out.data must be aligned to its element type"};
inline constexpr view_rules lse_rules{
    "lse: tokens, heads and dim must not be negative", "lse: strides leave the address space",
    "lse.data must not be null", "lse.data must be aligned to its element type"};

}  // namespace detail

/// ok, or the first rule that the inputs of a call break (everything but out and lse).
template <class Arch = default_arch>
status check_inputs(attention const& call) noexcept {
  if (status s = check(call.q, detail::q_rules); !s.ok()) return s;
  if (status s = call.kv.check(); !s.ok()) return s;
  if (status s = call.heads().check(); !s.ok()) return s;
  kv_shape const kv = call.kv.shape();
  if (call.q.dim != kv.head_dim) return {errc::shape, "q.dim must equal k.dim"};
  if (status s = call.mask.check(); !s.ok()) return s;
  if (!__builtin_isfinite(call.used_scale())) return {errc::shape, "scale must be finite"};
  if (call.q.tokens >= max_position) return {errc::position, "q.tokens must be below 2^60"};
  index const first =
      call.first_query ? *call.first_query : call.kv.positions().end - call.q.tokens;
  if (first <= -max_position || first >= max_position - call.q.tokens) {
    return {errc::position, "q: positions must lie between -2^60 and 2^60"};
  }
  if (call.q.tokens > 0) {
    for (range const reach : call.mask.reach(call.queries())) {
      if (!intersect(reach, call.kv.lost()).empty()) {
        return {errc::evicted,
                "mask reaches keys that the cache has given up: use a sliding_window of at most "
                "the cache's window, or attend before appending (joined)"};
      }
    }
  }
  return {};
}

/// ok, or the first rule that a call breaks. Cost O(1), but see `overlaps`.
template <class Arch = default_arch>
status check(attention const& call) noexcept {
  if (status s = check_inputs<Arch>(call); !s.ok()) return s;
  tensor_view<float const> const& q = call.q;
  any_source const& kv = call.kv;
  tensor_view<float> const& out = call.out;
  tensor_view<float> const& lse = call.lse;
  if (status s = check(out, detail::out_rules); !s.ok()) return s;
  if (out.tokens != q.tokens) return {errc::shape, "out.tokens must equal q.tokens"};
  if (out.heads != q.heads) return {errc::heads, "out.heads must equal q.heads"};
  if (out.dim != kv.shape().v_dim) return {errc::shape, "out.dim must equal v.dim"};
  if (out.empty()) return {};
  if (!rows_are_disjoint(out)) return {errc::alias, "out: rows must not overlap one another"};
  if (overlaps(out, q)) return {errc::alias, "out must not overlap q"};
  if (kv.overlaps(out)) return {errc::alias, "out must not overlap k or v"};
  if (lse.data == nullptr && lse.empty()) return {};
  if (status s = check(lse, detail::lse_rules); !s.ok()) return s;
  if (lse.tokens != q.tokens) return {errc::shape, "lse.tokens must equal q.tokens"};
  if (lse.heads != q.heads) return {errc::heads, "lse.heads must equal q.heads"};
  if (lse.dim != 1) return {errc::shape, "lse.dim must be 1"};
  if (!rows_are_disjoint(lse)) return {errc::alias, "lse: rows must not overlap one another"};
  if (overlaps(lse, q)) return {errc::alias, "lse must not overlap q"};
  if (kv.overlaps(lse)) return {errc::alias, "lse must not overlap k or v"};
  if (overlaps(lse, out)) return {errc::alias, "lse must not overlap out"};
  return {};
}

}  // namespace oriel::inline v0
