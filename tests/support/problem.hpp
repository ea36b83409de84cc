// SPDX-License-Identifier: BSL-1.0
// Inputs of a case, its answer, and the answer by the definition.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "tensors.hpp"

namespace oriel::test {

/// Random q, k and v of a case.
struct problem {
  attention_case of;
  tensor q, k, v;

  explicit problem(attention_case const& c, std::uint64_t seed = 1)
      : of(c),
        q(tensor(c.q_len, c.q_heads, c.head_dim, c.lies).filled(seed)),
        k(tensor(c.kv_len, c.kv_heads, c.head_dim, c.lies).filled(seed + 1)),
        v(tensor(c.kv_len, c.kv_heads, c.value_dim(), c.lies).filled(seed + 2)) {}

  attention call(index first_key = 0) const {
    return {.q = q.view, .kv = contiguous(k.view, v.view, first_key), .mask = of.mask()};
  }

  /// NaN in the rows of every key that no query sees.
  void poison_hidden_keys() const {
    any_mask const mask = of.mask();
    range const queries = call().queries();
    for (index key = 0; key < of.kv_len; ++key) {
      bool seen = false;
      for (index q_at = queries.begin; q_at < queries.end; ++q_at) {
        seen = seen || mask.visible(q_at, key);
      }
      auto const spoil = [](float& x) { x = std::bit_cast<float>(canary); };
      if (!seen) for_each_element(k.view.slice({key, key + 1}), spoil);
      if (!seen) for_each_element(v.view.slice({key, key + 1}), spoil);
    }
  }
};

/// out and lse of a call, in tensors of their own.
struct answer {
  tensor out, lse;

  explicit answer(attention const& call, layout lies = layout::packed)
      : out(call.q.tokens, call.q.heads, call.kv.shape().v_dim, lies),
        lse(call.q.tokens, call.q.heads, 1, lies) {}

  /// The rows `part` of both.
  std::vector<std::uint32_t> bits(range part) const {
    std::vector<std::uint32_t> all = bits_of(out.view.slice(part));
    std::vector<std::uint32_t> const more = bits_of(lse.view.slice(part));
    all.insert(all.end(), more.begin(), more.end());
    return all;
  }
  std::vector<std::uint32_t> bits() const { return bits({0, out.view.tokens}); }
};

/// Attends into a new answer; everything around it must stay as it was.
template <class Executor = serial const>
answer attend_anew(attention call, Executor&& on = Executor{}, layout lies = layout::packed) {
  answer to(call, lies);
  call.out = to.out.view;
  call.lse = to.lse.view;
  attend_plan const plan = plan_attend(bounds_of(call), on.workers());
  EXPECT_TRUE(plan.check().ok()) << plan.check().what;
  aligned_memory scratch(plan.workspace_bytes());
  status const s = attend(plan, call, scratch, on);
  EXPECT_TRUE(s.ok()) << s.what;
  EXPECT_TRUE(scratch.is_untouched_behind()) << "workspace";
  EXPECT_TRUE(to.out.is_untouched()) << "memory around out";
  EXPECT_TRUE(to.lse.is_untouched()) << "memory around lse";
  return to;
}

/// The same by the definition, in double.
struct exact_answer {
  std::vector<double> out, lse;

  explicit exact_answer(attention const& call)
      : out(static_cast<std::size_t>(call.q.tokens * call.q.heads * call.kv.shape().v_dim)),
        lse(static_cast<std::size_t>(call.q.tokens * call.q.heads)) {
    status const s =
        reference(call, {out.data(), call.q.tokens, call.q.heads, call.kv.shape().v_dim},
                  {lse.data(), call.q.tokens, call.q.heads, 1});
    EXPECT_TRUE(s.ok()) << s.what;
  }
};

/// Largest |got - want| / max(1, largest |want|); infinite where one is not finite and they differ.
inline double largest_error(tensor_view<float> const& got, std::vector<double> const& want) {
  double scale = 1.0;
  double worst = 0.0;
  for (double const x : want) {
    if (std::isfinite(x)) scale = std::max(scale, std::abs(x));
  }
  auto at = want.begin();
  for_each_element(got, [&](float x) {
    double const error = x == *at ? 0.0 : std::abs(x - *at) / scale;
    worst = std::isfinite(error) ? std::max(worst, error) : HUGE_VAL;
    ++at;
  });
  return worst;
}

/// Error bound on unit-variance data. A score is a chain of head_dim roundings of sums that grow to
/// sqrt(head_dim) before they are scaled by its inverse: a random walk of sqrt(head_dim) / 2 half
/// ulps of 1, twice that for the maximum over many. The weights add 4 ulps (2^x: 2, sums, 1 / l).
inline double error_bound(index head_dim) {
  return 0x1p-24 * (8.0 + 2.0 * std::sqrt(static_cast<double>(head_dim)));
}

inline void expect_exact(attention const& call, answer const& got) {
  exact_answer const want(call);
  EXPECT_LE(largest_error(got.out.view, want.out), error_bound(call.q.dim)) << "out";
  EXPECT_LE(largest_error(got.lse.view, want.lse), error_bound(call.q.dim)) << "lse";
}

}  // namespace oriel::test
