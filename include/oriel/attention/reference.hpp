// SPDX-License-Identifier: BSL-1.0
// What attention is, in double precision and without any trick.
#pragma once

#include <cmath>

#include "oriel/attention/check.hpp"
#include "oriel/simd/vec.hpp"

namespace oriel::inline v0 {

/// The definition, as oracle and as documentation: every pair is asked of the mask, every score of
/// the functor, every sum is taken in double. Arguments of `call` as for attend; its outputs are
/// not used.
///
///   out : [q_len, q_heads, v_dim]   may be strided
///   lse, lse_sink : [q_len, q_heads, 1]   or {}
///
/// Requires  inputs as attend does, out and lse of these shapes (errc::shape, errc::heads).
/// Cost      two passes of head_dim flops per pair; 40 KiB of stack.
/// Source    Vaswani et al. 2017, arXiv:1706.03762, section 3.2.1.
template <class Arch = default_arch>
status reference(attention const& call, tensor_view<double> out, tensor_view<double> lse = {},
                 tensor_view<double> lse_sink = {}) noexcept {
  if (status s = check_inputs<Arch>(call); !s.ok()) return s;
  input_view const& q = call.q;
  any_source const& kv = call.kv;
  if (status s = check(out, detail::out_rules); !s.ok()) return s;
  if (out.tokens != q.tokens) return {errc::shape, "out.tokens must equal q.tokens"};
  if (out.heads != q.heads) return {errc::heads, "out.heads must equal q.heads"};
  if (out.dim != kv.shape().v_dim) return {errc::shape, "out.dim must equal v.dim"};
  auto const wrong = [&](tensor_view<double> const& to) {
    return to.data != nullptr && (to.tokens != q.tokens || to.heads != q.heads || to.dim != 1);
  };
  if (status s = check(lse, detail::lse_rules); lse.data != nullptr && !s.ok()) return s;
  if (wrong(lse)) return {errc::shape, "lse must be [q.tokens, q.heads, 1]"};
  if (status s = check(lse_sink, detail::lse_sink_rules); lse_sink.data != nullptr && !s.ok()) {
    return s;
  }
  if (wrong(lse_sink)) return {errc::shape, "lse_sink must be [q.tokens, q.heads, 1]"};
  double const scale =
      call.scale ? static_cast<double>(*call.scale) : 1.0 / std::sqrt(static_cast<double>(q.dim));
  constexpr double none = -static_cast<double>(infinity);
  range const keys = kv.positions();
  float row[max_coded_dim];
  float query[max_coded_dim];
  if (q.type != element_type::f32 && q.dim > max_coded_dim) {
    return {errc::shape, "reference: q.dim of bf16 or f16 must be at most 4096"};
  }
  for (index t = 0; t < q.tokens; ++t) {
    index const position = call.queries().begin + t;
    for (index h = 0; h < q.heads; ++h) {
      index const head = call.heads().kv_head(h);
      float const* const a = wide_row<Arch>(q, t, h, query);
      auto const score = [&](index key) {
        kv_run const run = kv.run_at(head, key);
        float const* const b = run.floats(run.k, q.dim, row);
        double dot = 0.0;
        for (index d = 0; d < q.dim; ++d) dot += static_cast<double>(a[d]) * b[d];
        return call.score.exact(scale * dot, position, h, key);
      };
      bool const selected = call.select && position >= call.select.dense_before();
      auto const visible = [&](index key, index const* blocks, index count) {
        bool chosen = !selected;
        for (index i = 0; i < count && !chosen; ++i) {
          chosen = round_down(key, call.select.block()) == blocks[i] * call.select.block();
        }
        return chosen && call.mask.visible(position, key);
      };
      index blocks[max_chosen];
      index const count =
          selected ? call.select.choose({a, position, h, head, keys, kv.lost()}, blocks) : 0;
      double top = none;
      for (index key = keys.begin; key < keys.end; ++key) {
        if (!visible(key, blocks, count)) continue;
        double const s = score(key);
        top = s > top ? s : top;
      }
      double sum = 0.0;
      double* const to = out.row(t, h);
      for (index d = 0; d < out.dim; ++d) to[d] = 0.0;
      for (index key = keys.begin; key < keys.end; ++key) {
        if (!visible(key, blocks, count)) continue;
        double const s = score(key);
        if (s == none) continue;                  // hidden by the functor
        double const weight = std::exp(s - top);  // NaN stays NaN
        kv_run const run = kv.run_at(head, key);
        float const* const value = run.floats(run.v, out.dim, row);
        sum += weight;
        for (index d = 0; d < out.dim; ++d) to[d] += weight * value[d];
      }
      double const seen = sum == 0.0 ? none : top + std::log(sum);
      double all = seen;
      if (!call.sink_logits.empty()) {
        double const sink = call.sink_logits[static_cast<std::size_t>(h)];
        double const most = sink > seen ? sink : seen;
        if (sink != sink) {
          all = sink;
        } else if (most > none) {  // an infinite logit takes all the weight
          double const rest = std::exp(sink > seen ? seen - sink : sink - seen);
          all = most + std::log1p(rest);
        }
      }
      // out = sum_k exp(s_k - all) v_k
      double const weight = sum == 0.0 ? 0.0 : std::exp(seen - all) / sum;
      for (index d = 0; d < out.dim; ++d) to[d] *= weight;
      if (lse.data != nullptr) *lse.row(t, h) = seen;
      if (lse_sink.data != nullptr) *lse_sink.row(t, h) = all;
    }
  }
  return {};
}

}  // namespace oriel::inline v0
