// SPDX-License-Identifier: BSL-1.0
// What attention is, in double precision and without any trick.
#pragma once

#include <cmath>

#include "oriel/attention/attention.hpp"
#include "oriel/simd/vec.hpp"

namespace oriel::inline v0 {

/// The definition, as oracle and as documentation: every pair is asked of the mask, every sum is
/// taken in double. Arguments of `call` as for attend; its out and lse are not used.
///
///   out : [q_len, q_heads, v_dim]   may be strided
///   lse : [q_len, q_heads, 1]       or empty
///
/// Requires  inputs as attend does, out and lse of these shapes (errc::shape, errc::heads).
/// Cost      two passes of head_dim flops per pair, no memory.
/// Source    Vaswani et al. 2017, arXiv:1706.03762, section 3.2.1.
template <class Arch = default_arch>
status reference(attention const& call, tensor_view<double> out,
                 tensor_view<double> lse = {}) noexcept {
  if (status s = check_inputs<Arch>(call); !s.ok()) return s;
  tensor_view<float const> const& q = call.q;
  any_source const& kv = call.kv;
  if (status s = check(out, detail::out_rules); !s.ok()) return s;
  if (out.tokens != q.tokens) return {errc::shape, "out.tokens must equal q.tokens"};
  if (out.heads != q.heads) return {errc::heads, "out.heads must equal q.heads"};
  if (out.dim != kv.shape().v_dim) return {errc::shape, "out.dim must equal v.dim"};
  bool const wants_lse = lse.data != nullptr;
  if (status s = check(lse, detail::lse_rules); wants_lse && !s.ok()) return s;
  if (wants_lse && (lse.tokens != q.tokens || lse.heads != q.heads || lse.dim != 1)) {
    return {errc::shape, "lse must be [q.tokens, q.heads, 1]"};
  }
  double const scale =
      call.scale ? static_cast<double>(*call.scale) : 1.0 / std::sqrt(static_cast<double>(q.dim));
  range const keys = kv.positions();
  for (index t = 0; t < q.tokens; ++t) {
    index const position = call.queries().begin + t;
    for (index h = 0; h < q.heads; ++h) {
      index const head = call.heads().kv_head(h);
      auto const score = [&](index key) {
        float const* const a = q.row(t, h);
        float const* const b = kv.run_at(head, key).k;
        double dot = 0.0;
        for (index d = 0; d < q.dim; ++d) dot += static_cast<double>(a[d]) * b[d];
        return scale * dot;
      };
      double top = -static_cast<double>(infinity);
      for (index key = keys.begin; key < keys.end; ++key) {
        if (!call.mask.visible(position, key)) continue;
        double const s = score(key);
        top = s > top ? s : top;
      }
      double sum = 0.0;
      double* const to = out.row(t, h);
      for (index d = 0; d < out.dim; ++d) to[d] = 0.0;
      for (index key = keys.begin; key < keys.end; ++key) {
        if (!call.mask.visible(position, key)) continue;
        double const weight = std::exp(score(key) - top);
        float const* const value = kv.run_at(head, key).v;
        sum += weight;
        for (index d = 0; d < out.dim; ++d) to[d] += weight * value[d];
      }
      for (index d = 0; d < out.dim && sum > 0.0; ++d) to[d] /= sum;
      if (wants_lse) *lse.row(t, h) = sum > 0.0 ? top + std::log(sum) : top;
    }
  }
  return {};
}

}  // namespace oriel::inline v0
