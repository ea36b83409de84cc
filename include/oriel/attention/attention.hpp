// SPDX-License-Identifier: BSL-1.0
// One call of attention, and when it makes sense.
#pragma once

#include <optional>
#include <span>

#include "oriel/cache/contiguous.hpp"
#include "oriel/core/head_map.hpp"
#include "oriel/mask/any_mask.hpp"
#include "oriel/score/any_score.hpp"
#include "oriel/select/selector.hpp"
#include "oriel/simd/widen.hpp"
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
  /// The decode kernel may round queries and weights to 16 bits where keys or values are codes of 8
  /// bits or fewer with scales (`rounded_products`) and the instruction set has the products (AVX2,
  /// AVX-512). The largest number of a query is 32639 units of it, and so is the largest product of
  /// a weight and a scale s of its value among the 128 keys of a tile and all channels. With
  /// u = 1 / 64000
  ///   |change of a score| <= u scale max_d |q[d]| sum_d |k[d]|
  ///   |change of a tile's sum of p v[d]| <= u (number of keys) max (p |s|) max |code|
  /// where no sum of |scale * code| over a key exceeds 1e33 and none of the maxima is below 1e-34.
  /// Everything else as exact, and the same bits still, but that rows which are shown through
  /// `joined` are multiplied as floats until they are stored. Where it rounds, all scores of a
  /// query that is not finite are NaN, and an infinite scale of a value gives NaN in all channels.
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
///   lse  [q_len, q_heads, 1] or empty   natural log of sum exp(s_k) over the visible keys
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
inline constexpr view_rules lse_sink_rules{"lse_sink: tokens, heads and dim must not be negative",
                                           "lse_sink: strides leave the address space",
                                           "lse_sink.data must not be null",
                                           "lse_sink.data must be aligned to its element type"};

/// What a call writes.
struct outputs {
  static constexpr std::size_t count = 3;
  output_view all[count];
  ORIEL_INLINE explicit outputs(attention const& call) noexcept
      : all{call.out, call.lse, call.lse_sink} {}
  ORIEL_INLINE output_view const* begin() const noexcept { return all; }
  ORIEL_INLINE output_view const* end() const noexcept { return all + count; }
};

/// Row (token, head) of the queries as floats: where it lies, or written to `to` [head_dim].
template <class Arch>
float const* query_row(input_view const& q, index token, index head, float* to) noexcept {
  return q.visit([&]<class T>(tensor_view<T> const& view) ORIEL_INLINE_LAMBDA -> float const* {
    if constexpr (std::is_same_v<T, float const>) {
      return view.row(token, head);
    } else {
      widen_row<Arch>(view.row(token, head), view.dim, to);
      return to;
    }
  });
}

/// Bytes as floats, to compare with what a source reads; nobody reads them.
ORIEL_INLINE tensor_view<float> floats_around(address_range bytes) noexcept {
  constexpr std::uintptr_t size = sizeof(float);
  // NOLINTNEXTLINE(performance-no-int-to-ptr)
  return {reinterpret_cast<float*>(bytes.begin), 1, 1,
          static_cast<index>((bytes.end - bytes.begin + size - 1) / size)};
}
/// Could writing to `out` change what `kv` reads? Pessimistic where out is not of floats.
ORIEL_INLINE bool writes_into(output_view const& out, any_source const& kv) noexcept {
  if (out.type == element_type::f32) return kv.overlaps(out.as<float>());
  return !out.empty() && kv.overlaps(floats_around(footprint(out)));
}

/// The sentences of one output's rules.
struct output_rules {
  view_rules const& view;
  char const* tokens;
  char const* heads;
  char const* dim;
  char const* rows;
  char const* q;
  char const* kv;
  char const* sinks;
};
inline constexpr output_rules out_is{out_rules,
                                     "out.tokens must equal q.tokens",
                                     "out.heads must equal q.heads",
                                     "out.dim must equal v.dim",
                                     "out: rows must not overlap one another",
                                     "out must not overlap q",
                                     "out must not overlap k or v",
                                     "out must not overlap sink_logits"};
inline constexpr output_rules lse_is{lse_rules,
                                     "lse.tokens must equal q.tokens",
                                     "lse.heads must equal q.heads",
                                     "lse.dim must be 1",
                                     "lse: rows must not overlap one another",
                                     "lse must not overlap q",
                                     "lse must not overlap k or v",
                                     "lse must not overlap sink_logits"};
inline constexpr output_rules lse_sink_is{lse_sink_rules,
                                          "lse_sink.tokens must equal q.tokens",
                                          "lse_sink.heads must equal q.heads",
                                          "lse_sink.dim must be 1",
                                          "lse_sink: rows must not overlap one another",
                                          "lse_sink must not overlap q",
                                          "lse_sink must not overlap k or v",
                                          "lse_sink must not overlap sink_logits"};

/// Addresses of the sink logits.
ORIEL_INLINE address_range footprint(std::span<float const> values) noexcept {
  auto const base = reinterpret_cast<std::uintptr_t>(values.data());
  return {base, base + values.size_bytes()};
}

/// ok, or the rule that an output of `dim` floats a row breaks.
template <class Arch>
status check_output(attention const& call, output_view const& to, index dim,
                    output_rules const& rules) noexcept {
  if (status s = v0::check(to, rules.view); !s.ok()) return s;
  if (to.tokens != call.q.tokens) return {errc::shape, rules.tokens};
  if (to.heads != call.q.heads) return {errc::heads, rules.heads};
  if (to.dim != dim) return {errc::shape, rules.dim};
  if (to.empty()) return {};
  if (!rows_are_disjoint(to)) return {errc::alias, rules.rows};
  if (overlaps(to, call.q)) return {errc::alias, rules.q};
  if (writes_into(to, call.kv)) return {errc::alias, rules.kv};
  if (v0::footprint(to).meets(footprint(call.sink_logits))) return {errc::alias, rules.sinks};
  return {};
}

}  // namespace detail

/// ok, or the first rule that the inputs of a call break (everything but its outputs).
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
  index const logits = static_cast<index>(call.sink_logits.size());
  if (logits > 0 && logits != call.q.heads) {
    return {errc::heads, "sink_logits must be empty or hold one per query head"};
  }
  if (status s = call.score.check(call.q.heads, call.queries(), call.kv.positions()); !s.ok()) {
    return s;
  }
  if (status s = call.select.check({kv, call.q.heads, call.queries()}); !s.ok()) return s;
  if (call.select &&
      (call.select.block() < 1 || call.select.most() < 1 || call.select.most() > max_chosen)) {
    return {errc::select, "select: block must be at least 1, most from 1 to 1024"};
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
  using namespace detail;
  auto const absent = [](tensor_view<float> const& to) { return to.data == nullptr && to.empty(); };
  if (status s = check_output<Arch>(call, call.out, call.kv.shape().v_dim, out_is); !s.ok()) {
    return s;
  }
  if (call.out.empty()) return {};
  if (!absent(call.lse)) {
    if (status s = check_output<Arch>(call, call.lse, 1, lse_is); !s.ok()) return s;
    if (overlaps(output_view(call.lse), call.out)) return {errc::alias, "lse must not overlap out"};
  }
  if (!absent(call.lse_sink)) {
    if (status s = check_output<Arch>(call, call.lse_sink, 1, lse_sink_is); !s.ok()) return s;
    if (overlaps(output_view(call.lse_sink), call.out))
      return {errc::alias, "lse_sink must not overlap out"};
    if (overlaps(call.lse_sink, call.lse)) return {errc::alias, "lse_sink must not overlap lse"};
  }
  return {};
}

}  // namespace oriel::inline v0
