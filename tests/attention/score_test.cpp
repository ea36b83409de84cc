// SPDX-License-Identifier: BSL-1.0
// Scores and sinks in a whole call.
#include "score_values.hpp"

#include "oriel/attention/attend.hpp"
#include "oriel/attention/merge.hpp"
#include "oriel/cache/joined.hpp"
#include "oriel/cache/rolling_cache.hpp"
#include "oriel/mask/both.hpp"
#include "oriel/mask/causal.hpp"
#include "oriel/mask/sliding_window.hpp"
#include "oriel/score/alibi.hpp"
#include "oriel/score/bias.hpp"
#include "oriel/score/softcap.hpp"
#include "oriel/score/then.hpp"
#include "problem.hpp"
#include "threads.hpp"

namespace oriel::test {
namespace {

constexpr float slopes[] = {0.5f, 0.25f, 0.125f, 0.0625f, 0.03f, 0.7f};
constexpr float logits[] = {0.0f, 2.0f, -infinity, -1.0f, 30.0f, 0.5f};

/// Prefill, append and decode with 6 heads on 2.
std::vector<attention_case> shapes() {
  attention_case const c{.q_heads = 6, .kv_heads = 2, .head_dim = 40};
  std::vector<attention_case> all;
  for (auto const [q_len, kv_len] : {range{150, 150}, {7, 1100}, {1, 1500}, {2, 200}, {20, 9}}) {
    all.push_back(c);
    all.back().q_len = q_len;
    all.back().kv_len = kv_len;
  }
  return all;
}

/// out, lse and lse_sink of a call against the definition.
void expect_exact_with_sinks(attention call) {
  answer to(call);
  tensor with_sink(call.q.tokens, call.q.heads, 1);
  call.out = to.out.view;
  call.lse = to.lse.view;
  call.lse_sink = with_sink.view;
  aligned_memory scratch(plan_attend(bounds_of(call)).workspace_bytes());
  status const s = attend(call, scratch);
  ASSERT_TRUE(s.ok()) << s.what;
  index const rows = call.q.tokens * call.q.heads;
  std::vector<double> out(static_cast<std::size_t>(rows * to.out.view.dim));
  std::vector<double> lse(static_cast<std::size_t>(rows));
  std::vector<double> lse_sink(static_cast<std::size_t>(rows));
  ASSERT_TRUE(reference(call, {out.data(), call.q.tokens, call.q.heads, to.out.view.dim},
                        {lse.data(), call.q.tokens, call.q.heads, 1},
                        {lse_sink.data(), call.q.tokens, call.q.heads, 1})
                  .ok());
  double const bound = 2.0 * error_bound(call.q.dim);
  EXPECT_LE(largest_error(to.out.view, out), bound);
  EXPECT_LE(largest_error(to.lse.view, lse), bound);
  EXPECT_LE(largest_error(with_sink.view, lse_sink), bound);
}

TEST(Scores, EqualTheDefinitionInEveryKernel) {
  std::vector<float> added(1500 * 1500);
  random_numbers random(5);
  for (float& x : added) x = random.below(9) == 0 ? -infinity : random();
  for (attention_case const& c : shapes()) {
    problem const p(c);
    attention call = p.call();
    index const first = call.queries().begin;
    bias const tensor{added.data(), {first, first + c.q_len}, {0, c.kv_len}, 37, c.kv_len};
    for (any_score const& score :
         {any_score(softcap{1.5f}), any_score(alibi{slopes}), any_score(tensor),
          any_score(zebra{0.5f}), any_score(softcap{5.0f} >> alibi{slopes} >> zebra{0.25f})}) {
      call.score = score;
      expect_exact_with_sinks(call);
      call.sink_logits = logits;
      call.kernel = kernel_choice::row_lanes;
      expect_exact_with_sinks(call);
    }
  }
}

TEST(Scores, RowsThatABiasHidesSeeNothing) {
  problem const p({.q_len = 60, .kv_len = 60, .q_heads = 2, .kv_heads = 1, .head_dim = 16});
  for (float const hidden : {-infinity, std::numeric_limits<float>::lowest()}) {
    std::vector<float> const table(60 * 60, hidden);
    attention call = p.call();
    call.score = bias{table.data(), {0, 60}, {0, 60}, 0, 60};
    for (range const part : {range{0, 60}, {59, 60}}) {
      call.q = p.q.view.slice(part);
      call.first_query = part.begin;
      answer const got = attend_anew(call);
      for_each_element(got.out.view, [](float x) { EXPECT_EQ(x, 0.0f); });
      for_each_element(got.lse.view, [](float x) { EXPECT_EQ(x, -infinity); });
    }
  }
}

TEST(Scores, WhatABiasHidesIsNotSeenWhateverItHolds) {
  constexpr float nan = std::numeric_limits<float>::quiet_NaN();
  problem const p({.q_len = 60, .kv_len = 2100, .q_heads = 2, .kv_heads = 1, .head_dim = 16});
  p.k.view.row(3, 0)[1] = nan;
  p.k.view.row(4, 0)[1] = 3e38f;
  p.v.view.row(5, 0)[2] = nan;
  p.v.view.row(1500, 0)[2] = infinity;
  std::vector<float> table(2100, 0.25f);
  for (index const key : {3, 4, 5, 1500}) table[static_cast<std::size_t>(key)] = -infinity;
  for (index const hidden : {10, 1100, 2100}) {  // a few, a leaf, all
    for (index key = 0; key < hidden; ++key) table[static_cast<std::size_t>(key)] = -infinity;
    attention call = p.call();
    call.mask = full{};
    call.score = bias{table.data(), {0, 2100}, {0, 2100}, 0, 0};
    for (range const part : {range{0, 60}, {59, 60}, {20, 24}}) {
      call.q = p.q.view.slice(part);
      call.first_query = part.begin;
      answer const got = attend_anew(call);
      expect_exact(call, got);
      EXPECT_EQ(attend_anew(call, threads(4)).bits(), got.bits()) << "any number of workers";
      for_each_element(got.out.view, [](float x) { EXPECT_TRUE(std::isfinite(x)); });
    }
  }
}

TEST(Scores, AlibiBeyond2To31AndThroughARing) {
  problem const p({.q_len = 400, .kv_len = 400, .q_heads = 6, .kv_heads = 2, .head_dim = 24});
  attention near = p.call();
  near.mask = causal{} & sliding_window{128};
  near.score = alibi{slopes};
  near.kernel = kernel_choice::row_lanes;
  attention far = near;
  index const base = (index{1} << 31) / leaf_keys * leaf_keys;  // the same tiles
  far.kv = contiguous(p.k.view, p.v.view, base);
  std::vector<std::uint32_t> const want = attend_anew(near).bits();
  EXPECT_EQ(attend_anew(far).bits(), want) << "only distances matter";

  cache_shape const shape{.window = 128, .kv_heads = 2, .head_dim = 24};
  aligned_memory bytes(rolling_cache<f32>::required_bytes(shape));
  rolling_cache<f32> cache(bytes, shape);
  answer const whole = attend_anew(near);
  for (index at = 0; at < 400; at += 37) {
    range const part{at, min_of(at + 37, 400)};
    attention step = near;
    step.q = p.q.view.slice(part);
    step.kv = joined(cache, p.k.view.slice(part), p.v.view.slice(part));
    ASSERT_EQ(attend_anew(step).bits(), whole.bits(part)) << at;
    ASSERT_TRUE(cache.append(p.k.view.slice(part), p.v.view.slice(part)).ok());
  }
}

TEST(Sinks, EqualTheDefinitionAlsoWhereNothingIsSeen) {
  for (attention_case const& c : shapes()) {
    attention call = problem(c).call();
    problem const p(c);
    call = p.call();
    call.sink_logits = logits;
    expect_exact_with_sinks(call);
    call.mask = causal{} & sliding_window{5};
    expect_exact_with_sinks(call);
  }
  problem const p({.q_len = 3, .kv_len = 0, .q_heads = 6, .kv_heads = 2, .head_dim = 8});
  attention call = p.call();
  call.sink_logits = logits;
  answer to(call);
  tensor with_sink(3, 6, 1);
  call.out = to.out.view, call.lse = to.lse.view, call.lse_sink = with_sink.view;
  aligned_memory scratch(plan_attend(bounds_of(call)).workspace_bytes());
  ASSERT_TRUE(attend(call, scratch).ok());
  for (index t = 0; t < 3; ++t) {
    for (index h = 0; h < 6; ++h) {
      EXPECT_EQ(to.out.view.row(t, h)[0], 0.0f);
      EXPECT_EQ(*to.lse.view.row(t, h), -infinity);
      EXPECT_FLOAT_EQ(*with_sink.view.row(t, h), logits[h]);
    }
  }
}

TEST(Sinks, ExtremeLogits) {
  problem const p({.q_len = 1, .kv_len = 50, .q_heads = 6, .kv_heads = 2, .head_dim = 8});
  constexpr float extreme[] = {infinity, 1e30f, -1e30f, -infinity, 200.0f, -200.0f};
  attention call = p.call();
  answer const without = attend_anew(call);
  call.sink_logits = extreme;
  answer const got = attend_anew(call);
  for (index d = 0; d < 8; ++d) {
    for (index const h : {0, 1, 4}) EXPECT_NEAR(got.out.view.row(0, h)[d], 0.0f, 1e-30) << h;
    for (index const h : {2, 3, 5}) {
      EXPECT_EQ(got.out.view.row(0, h)[d], without.out.view.row(0, h)[d]) << h;
    }
  }
  EXPECT_EQ(bits_of(got.lse.view), bits_of(without.lse.view)) << "lse leaves the sink out";
}

TEST(Sinks, AreInTheLseHoweverExtreme) {
  constexpr float extreme[] = {2.4e38f, -2.4e38f, -infinity, infinity, lowest_score, 200.0f};
  for (index const kv_len : {0, 50}) {
    problem const p({.q_len = 1, .kv_len = kv_len, .q_heads = 6, .kv_heads = 2, .head_dim = 8});
    attention call = p.call();
    call.sink_logits = extreme;
    expect_exact_with_sinks(call);
  }
}

/// Parts are computed without the sink, which joins as one more part: out 0, lse the logits.
TEST(Sinks, AreAPartOfAMerge) {
  problem const p({.q_len = 9, .kv_len = 200, .q_heads = 6, .kv_heads = 2, .head_dim = 16});
  attention whole = p.call();
  whole.sink_logits = logits;
  answer const want = attend_anew(whole);
  std::vector<answer> parts;
  for (range const keys : {range{0, 90}, {90, 200}}) {
    attention part = p.call();
    part.kv = contiguous(p.k.view.slice(keys), p.v.view.slice(keys), keys.begin);
    part.first_query = 191;
    parts.push_back(attend_anew(part));
  }
  float const zeros[16] = {};
  partial const all[] = {{parts[0].out.view, parts[0].lse.view},
                         {parts[1].out.view, parts[1].lse.view},
                         {{zeros, 9, 6, 16, 0, 0}, {logits, 9, 6, 1, 0, 1}}};
  tensor out(9, 6, 16), lse(9, 6, 1);
  ASSERT_TRUE(merge(all, out.view, lse.view).ok());
  for (index t = 0; t < 9; ++t) {
    for (index h = 0; h < 6; ++h) {
      for (index d = 0; d < 16; ++d) {
        EXPECT_NEAR(out.view.row(t, h)[d], want.out.view.row(t, h)[d], 2e-6);
      }
    }
  }
}

/// As many workers as asked for, one after the other, from the last task to the first.
struct pretended {
  index count;
  index workers() const noexcept { return count; }
  void run(index tasks, auto&& f) const noexcept {
    for (index i = tasks; i-- > 0;) f(i, i % count);
  }
};

TEST(Sinks, DoNotChangeWithTheSplit) {
  problem const p({.q_len = 1, .kv_len = 5000, .q_heads = 6, .kv_heads = 2, .head_dim = 16});
  attention call = p.call();
  call.sink_logits = logits;
  call.score = softcap{4.0f} >> alibi{slopes};
  answer const want = attend_anew(call);
  for (index const workers : {2, 5}) {
    EXPECT_EQ(attend_anew(call, pretended{workers}).bits(), want.bits()) << workers;
  }
}

}  // namespace
}  // namespace oriel::test
