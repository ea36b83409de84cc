// SPDX-License-Identifier: BSL-1.0
// Partial results over disjoint key sets, made one.
#pragma once

#include <cmath>
#include <span>

#include "oriel/attention/check.hpp"
#include "oriel/simd/exp2.hpp"

namespace oriel::inline v0 {

/// Attention of some queries over a part of their keys.
struct partial {
  input_view out;                ///< [tokens, heads, v_dim]; float, bf16 or f16
  tensor_view<float const> lse;  ///< [tokens, heads, 1], natural log
};

/// Attention over the union of the parts' keys: out = sum_i w_i out_i / sum_i w_i with
/// w_i = exp(lse_i - max lse), lse = max + ln sum_i w_i. Merges caches, processes and machines.
///
///   parts : n >= 1 results over disjoint key sets, each of the same queries
///   out   : [tokens, heads, v_dim], float, or that rounded once to bf16 or f16
///   lse   : [tokens, heads, 1] or {}
///
/// out and lse may be those of parts[0] exactly (merging in place: the same strides and type), and
/// must not overlap any other part. Parts may differ in their types.
///
/// Requires  equal sizes (errc::shape, errc::heads), memory (errc::memory, errc::alignment),
///           at least one part (errc::shape), no overlap (errc::alias). On error nothing has been
///           written.
/// Sink      a learned sink is a part of its own: out = 0, lse = sink_logits; both may be views of
///           one row with a token stride of 0.
/// No key    a part with lse = -inf takes no part, whatever its out holds, nor does one whose
///           weight beside the others is 0 in double; where all parts see nothing out = 0 and
///           lse = -inf.
/// Cost      O(parts) exponentials for each 64 floats of a row.
/// Source    Ye et al. 2025 (FlashInfer), arXiv:2501.01005, section 2.2.
template <class Arch = default_arch>
status merge(std::span<partial const> parts, output_view out,
             tensor_view<float> lse = {}) noexcept {
  static constexpr view_rules part_rules{
      "parts: sizes must not be negative", "parts: strides leave the address space",
      "parts: out.data and lse.data must not be null",
      "parts: out.data and lse.data must be aligned to their element type"};
  bool const wants_lse = lse.data != nullptr || !lse.empty();
  if (parts.empty()) return {errc::shape, "parts must not be empty"};
  if (status s = check(out, detail::out_rules); !s.ok()) return s;
  if (!rows_are_disjoint(out)) return {errc::alias, "out: rows must not overlap one another"};
  if (wants_lse) {
    if (status s = check(lse, detail::lse_rules); !s.ok()) return s;
    if (lse.tokens != out.tokens) return {errc::shape, "lse.tokens must equal out.tokens"};
    if (lse.heads != out.heads) return {errc::heads, "lse.heads must equal out.heads"};
    if (lse.dim != 1) return {errc::shape, "lse.dim must be 1"};
    if (!rows_are_disjoint(lse)) return {errc::alias, "lse: rows must not overlap one another"};
    if (overlaps(output_view(lse), out)) return {errc::alias, "lse must not overlap out"};
  }
  for (std::size_t i = 0; i < parts.size(); ++i) {
    auto const& [value, weight] = parts[i];
    auto const part = static_cast<index>(i);
    if (status s = check(value, part_rules); !s.ok()) return {s.code, s.what, part};
    if (status s = check(weight, part_rules); !s.ok()) return {s.code, s.what, part};
    if (value.tokens != out.tokens || weight.tokens != out.tokens) {
      return {errc::shape, "parts: a part's out.tokens and lse.tokens must equal those of out",
              part};
    }
    if (value.heads != out.heads || weight.heads != out.heads) {
      return {errc::heads, "parts: a part's out.heads and lse.heads must equal those of out", part};
    }
    if (value.dim != out.dim)
      return {errc::shape, "parts: a part's out.dim must equal that of out", part};
    if (weight.dim != 1) return {errc::shape, "parts: lse.dim must be 1", part};
    auto const same = [](auto const& a, auto const& b) {
      return a.data == b.data && a.token_stride == b.token_stride && a.head_stride == b.head_stride;
    };
    bool const in_place = i == 0 && same(value, out) && value.type == out.type;
    bool const lse_in_place = i == 0 && same(weight, lse);
    if ((!in_place && overlaps(out, value)) || overlaps(out, input_view(weight)) ||
        (wants_lse &&
         (overlaps(output_view(lse), value) || (!lse_in_place && overlaps(lse, weight))))) {
      return {errc::alias, "out and lse must not overlap the parts", part};
    }
  }
  for (index t = 0; t < out.tokens; ++t) {
    for (index h = 0; h < out.heads; ++h) {
      float top = -infinity;
      for (partial const& part : parts) {
        float const seen = *part.lse.row(t, h);
        top = seen > top ? seen : top;
      }
      if (top == -infinity) top = 0.0f;         // no keys, or what is not a number
      auto const weight_of = [&](float seen) {  // an infinite one takes all
        return seen == top ? 1.0 : std::exp(static_cast<double>(seen) - top);
      };
      double sum = 0.0;
      for (partial const& part : parts) sum += weight_of(*part.lse.row(t, h));
      constexpr index together = 64;
      for (index from = 0; from < out.dim; from += together) {
        index const count = min_of(together, out.dim - from);
        double x[together] = {};
        for (partial const& part : parts) {
          double const own = weight_of(*part.lse.row(t, h));
          if (own == 0.0) continue;  // no key, or nothing beside the others
          double const weight = own / sum;
          part.out.visit([&](auto const& value) {
            auto const* const row = value.row(t, h) + from;
            for (index d = 0; d < count; ++d) x[d] += weight * static_cast<float>(row[d]);
          });
        }
        out.visit([&]<class T>(tensor_view<T> const& to) {
          T* const row = to.row(t, h) + from;
          for (index d = 0; d < count; ++d) row[d] = T(static_cast<float>(x[d]));
        });
      }
      if (wants_lse) {
        *lse.row(t, h) = sum == 0.0 ? -infinity : static_cast<float>(top + std::log(sum));
      }
    }
  }
  return {};
}

}  // namespace oriel::inline v0
