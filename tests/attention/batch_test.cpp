// SPDX-License-Identifier: BSL-1.0
#include "oriel/attention/batch.hpp"

#include <array>
#include <memory>

#include "oriel/attention/attend.hpp"
#include "oriel/cache/joined.hpp"
#include "oriel/cache/rolling_cache.hpp"
#include "problem.hpp"
#include "threads.hpp"

namespace oriel::test {
namespace {

/// A sequence of a batch with an answer of its own, and what it gives when it is attended alone.
struct sequence {
  problem of;
  attention call;
  std::unique_ptr<answer> to;
  std::vector<std::uint32_t> alone;

  explicit sequence(attention_case const& c, std::uint64_t seed) : of(c, seed), call(of.call()) {
    finish();
  }
  /// Reads its keys through `kv` instead.
  sequence(attention_case const& c, std::uint64_t seed, any_source const& kv)
      : of(c, seed), call(of.call()) {
    call.kv = kv;
    finish();
  }

 private:
  void finish() {
    alone = attend_anew(call).bits();
    to = std::make_unique<answer>(call);
    call.out = to->out.view;
    call.lse = to->lse.view;
  }
};

/// Prefill, append and decode, windows, rings, positions beyond 2^31, nothing to ask, nothing to
/// see: all with 4 heads on 2.
class ragged {
 public:
  ragged() {
    auto const c = [](index q_len, index kv_len, mask_kind kind = mask_kind::causal) {
      return attention_case{.q_len = q_len,
                            .kv_len = kv_len,
                            .q_heads = 4,
                            .kv_heads = 2,
                            .head_dim = 24,
                            .v_dim = 20,
                            .kind = kind,
                            .window = 100};
    };
    all.emplace_back(c(130, 130), 1);
    all.emplace_back(c(1, 5000), 2);
    all.emplace_back(c(0, 7), 3);
    all.emplace_back(c(1, 1, mask_kind::full), 4);
    all.emplace_back(c(9, 2100, mask_kind::causal_window), 5);
    all.emplace_back(c(3, 0), 6);
    fill(c(1, 100), 3'000'000'000);
    all.emplace_back(c(1, 100, mask_kind::causal_window), 7, ring);
    problem const fresh(c(5, 5), 8);
    fresh_k = std::make_unique<tensor>(tensor(5, 2, 24).filled(8));
    fresh_v = std::make_unique<tensor>(tensor(5, 2, 20).filled(9));
    all.emplace_back(c(5, 5, mask_kind::causal_window), 8,
                     joined(ring, fresh_k->view, fresh_v->view));
    for (sequence const& s : all) calls.push_back(s.call);
  }

  void expect_as_alone() const {
    for (std::size_t i = 0; i < all.size(); ++i) {
      EXPECT_EQ(all[i].to->bits(), all[i].alone) << "sequence " << i;
    }
  }

  std::vector<sequence> all;
  std::vector<attention> calls;

 private:
  void fill(attention_case const& c, index first) {
    problem const held(c, 77);
    EXPECT_TRUE(ring.append(held.k.view, held.v.view, first).ok());
  }

  cache_shape shape{.window = 100, .kv_heads = 2, .head_dim = 24, .v_dim = 20, .margin = 5};
  aligned_memory bytes{rolling_cache<f32>::required_bytes(shape)};
  rolling_cache<f32> ring{bytes.span(), shape};
  std::unique_ptr<tensor> fresh_k, fresh_v;
};

TEST(Batch, EverySequenceHasTheBitsItHasAlone) {
  for (index const workers : {1, 2, 3, 16}) {
    ragged const r;
    threads on(workers);
    attend_plan const plan = plan_attend(bounds_of(r.calls), workers);
    aligned_memory scratch(plan.workspace_bytes());
    ASSERT_TRUE(attend(plan, r.calls, scratch, on).ok());
    r.expect_as_alone();
    EXPECT_TRUE(scratch.is_untouched_behind());
  }
}

TEST(Batch, SourcesOfFloatsAndOfCodesTogether) {
  attention_case const c{.q_len = 40, .kv_len = 60, .q_heads = 4, .kv_heads = 2, .head_dim = 24};
  attention_case token = c;
  token.q_len = 1;
  problem const p(c, 9);
  cache_shape const shape{.window = 60, .kv_heads = 2, .head_dim = 24};
  aligned_memory bytes(rolling_cache<bf16>::required_bytes(shape));
  rolling_cache<bf16> cache(bytes, shape);
  ASSERT_TRUE(cache.append(p.k.view, p.v.view).ok());
  std::vector<sequence> all;
  all.emplace_back(c, 1);
  all.emplace_back(c, 2, cache);
  all.emplace_back(token, 3, cache);
  all.emplace_back(token, 4);
  std::vector<attention> calls;
  for (sequence const& s : all) calls.push_back(s.call);
  ASSERT_TRUE(check(calls).ok()) << check(calls).what;
  aligned_memory scratch(workspace_bytes(calls, 2));
  ASSERT_TRUE(attend(calls, scratch, threads(2)).ok());
  for (sequence const& s : all) EXPECT_EQ(s.to->bits(), s.alone);
}

TEST(Batch, AnyScheduleOfTasks) {
  random_numbers random(4);
  for (int round = 0; round < 20; ++round) {
    ragged const r;
    index const workers = 1 + random.below(9);
    attend_bounds bounds = bounds_of(r.calls);
    bounds.sequences += random.below(3);
    bounds.kv_len += random.below(5000);
    attend_plan const plan = plan_attend(bounds, workers);
    aligned_memory scratch(plan.workspace_bytes());
    ASSERT_TRUE(check(plan, r.calls, scratch).ok());
    for (phase const part : phases) {
      std::vector<index> order(static_cast<std::size_t>(tasks(plan, r.calls, part)));
      for (std::size_t i = 0; i < order.size(); ++i) {
        auto const other = static_cast<std::size_t>(random.below(static_cast<index>(i + 1)));
        order[i] = order[other];
        order[other] = static_cast<index>(i);
      }
      for (index const task : order) {
        run_task(plan, r.calls, part, task, random.below(workers), scratch);
      }
    }
    r.expect_as_alone();
  }
}

TEST(Batch, OfNothingIsDone) {
  aligned_memory scratch(1 << 20);
  std::vector<attention> const none;
  EXPECT_TRUE(check(none).ok());
  EXPECT_TRUE(attend(none, scratch).ok());
  attend_plan const plan = plan_attend({.q_heads = 8, .kv_heads = 2, .head_dim = 64});
  EXPECT_TRUE(attend(plan, none, scratch).ok());
  EXPECT_EQ(tasks(plan, none, phase::attend), 0);
}

TEST(Batch, TakesArraysAndSpans) {
  ragged r;
  std::array<attention, 2> const two{r.calls[0], r.calls[1]};
  aligned_memory scratch(plan_attend(bounds_of(two)).workspace_bytes());
  EXPECT_TRUE(attend(two, scratch).ok());
  EXPECT_TRUE(attend(std::span(r.calls).first(2), scratch).ok());
  EXPECT_EQ(r.all[1].to->bits(), r.all[1].alone);
}

TEST(Batch, NamesTheSequenceAtFault) {
  struct {
    errc code;
    index where;
    void (*spoil)(ragged&);
  } const rows[] = {
      {errc::shape, 4, [](ragged& r) { r.calls[4].out.tokens = 3; }},
      {errc::heads, 3,
       [](ragged& r) { r.calls[3].q.heads = r.calls[3].out.heads = 2, r.calls[3].lse.heads = 2; }},
      {errc::shape, 1, [](ragged& r) { r.calls[1].scale = infinity; }},
      {errc::alias, 0,
       [](ragged& r) {
         r.calls[4].out = r.calls[0].out.slice({0, 9});
       }},
      {errc::alias, 0,
       [](ragged& r) {
         r.calls[1].lse = r.calls[0].lse.slice({0, 1});
       }},
      {errc::alias, 4, [](ragged& r) { r.calls[4].out.data = r.all[0].of.v.view.data; }},
      {errc::alias, 3, [](ragged& r) { r.calls[3].out.data = r.all[4].of.q.view.data; }},
  };
  for (auto const& row : rows) {
    ragged r;
    row.spoil(r);
    aligned_memory scratch(1 << 22);
    status const s = attend(r.calls, scratch);
    EXPECT_EQ(s.code, row.code) << s.what;
    EXPECT_EQ(s.where, row.where) << s.what;
    for (sequence const& each : r.all) EXPECT_TRUE(each.to->out.is_untouched(true));
  }
}

TEST(Batch, RefusesMoreThanThePlanWasMadeFor) {
  ragged const r;
  attend_bounds const need = bounds_of(r.calls);
  EXPECT_EQ(need.sequences, 8);
  EXPECT_EQ(need.q_len, 130 + 1 + 0 + 1 + 9 + 3 + 1 + 5);
  EXPECT_EQ(need.kv_len, 5000);
  aligned_memory scratch(plan_attend(need, 2).workspace_bytes());
  for (auto const member :
       {&attend_bounds::sequences, &attend_bounds::q_len, &attend_bounds::kv_len}) {
    attend_bounds less = need;
    less.*member -= 1;
    EXPECT_EQ(check(plan_attend(less, 2), r.calls, scratch).code, errc::plan);
  }
}

TEST(Batch, OutputsMayBeInterleavedSlicesOfOneTensor) {
  ragged r;
  r.calls = {r.calls[4], r.calls[7]};
  tensor const both(14, 4, 20);  // tokens of the two in turn, then the rest of the first
  auto const lines = [&](index first, index tokens) {
    return tensor_view<float>(both.view.row(first, 0), tokens, 4, 20, 2 * 4 * 20, 20);
  };
  r.calls[0].out = lines(0, 7);
  r.calls[0].q = r.calls[0].q.slice({0, 7});
  r.calls[0].lse = {};
  r.calls[1].out = lines(1, 5);
  r.calls[1].lse = {};
  r.calls[0].first_query = 2100 - 9;
  aligned_memory scratch(1 << 22);
  status const s = attend(r.calls, scratch);
  EXPECT_TRUE(s.ok()) << s.what;
  EXPECT_EQ(bits_of(r.calls[1].out.as<float>()), bits_of(attend_anew(r.calls[1]).out.view));
  r.calls[1].out = lines(2, 5);
  EXPECT_EQ(check(r.calls).code, errc::alias);
}

}  // namespace
}  // namespace oriel::test
