// SPDX-License-Identifier: BSL-1.0
// When a call makes sense: every rule that its arguments can break.
#pragma once

#include "oriel/attention/attention.hpp"

namespace oriel::inline v0 {

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
  row_readers const readers = call.kv.readers();
  if (!kv.coded && (readers.k || readers.v)) {
    return {errc::shape, "kv: a source whose rows are not floats must say so: shape().coded"};
  }
  if (call.q.dim != kv.head_dim) return {errc::shape, "q.dim must equal k.dim"};
  if (status s = call.mask.check(); !s.ok()) return s;
  if (!__builtin_isfinite(call.used_scale() * static_cast<float>(log2_e))) {
    return {errc::shape, "scale must be finite, also times log2(e)"};
  }
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

/// ok, or the first rule that a call breaks:
///
///   q, kv              errc::shape, memory, alignment, heads, position, and what the source says
///                      of itself
///   mask, score,       errc::mask, score, select; of the lists that they refer to,
///   select             errc::shape, heads, memory, alignment, position
///   scale              not finite, also once it is in base 2: errc::shape
///   sink_logits        neither empty nor one per query head: errc::heads
///   what is evicted    the mask reaches kv.lost(): errc::evicted
///   out, lse,          errc::shape, heads, memory, alignment; errc::alias where rows overlap each
///   lse_sink           other, another output or an input
///
/// Cost O(terms of the mask and their lists), and what check() and overlaps() of the source cost:
/// for `paged`, O(its pages).
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
