// SPDX-License-Identifier: BSL-1.0
#include "oriel/attention/tasks.hpp"

#include <barrier>
#include <numeric>
#include <thread>

#include "oriel/attention/attend.hpp"
#include "oriel/cache/rolling_cache.hpp"
#include "oriel/mask/either.hpp"
#include "oriel/mask/key_padding.hpp"
#include "oriel/mask/local_window.hpp"
#include "problem.hpp"
#include "threads.hpp"

namespace oriel::test {
namespace {

constexpr index workers = 3;

/// Calls that are cut by tiles, by leaves, in either kernel, and not at all.
attention_case const table[] = {
    {.q_len = 1, .kv_len = 5000, .q_heads = 4, .kv_heads = 2, .head_dim = 20},
    {.q_len = 20, .kv_len = 3000, .q_heads = 2, .kv_heads = 1, .head_dim = 33},
    {.q_len = 300, .kv_len = 310, .q_heads = 6, .kv_heads = 2, .head_dim = 16, .v_dim = 5},
    {.q_len = 300, .kv_len = 4200, .head_dim = 8, .kind = mask_kind::causal_window, .window = 999},
    {.q_len = 2, .kv_len = 0},
    {.q_len = 0, .kv_len = 10},
};

class Tasks : public ::testing::TestWithParam<attention_case> {
 protected:
  problem p{GetParam()};
  attention call = p.call();
  answer to{call};
  attend_plan plan = plan_attend(bounds_of(call), workers);
  aligned_memory scratch{plan.workspace_bytes()};

  void SetUp() override {
    call.out = to.out.view;
    call.lse = to.lse.view;
    ASSERT_TRUE(check(plan, call, scratch).ok());
  }
  void TearDown() override {
    EXPECT_EQ(to.bits(), attend_anew(p.call()).bits());
    EXPECT_TRUE(scratch.is_untouched_behind());
    EXPECT_TRUE(to.out.is_untouched() && to.lse.is_untouched());
  }
};

TEST_P(Tasks, InAnyOrderOnAnyWorker) {
  random_numbers random(9);
  for (phase const part : phases) {
    std::vector<index> order(static_cast<std::size_t>(tasks(plan, call, part)));
    std::iota(order.begin(), order.end(), 0);
    for (std::size_t i = order.size(); i > 1; --i) {
      std::swap(order[i - 1], order[static_cast<std::size_t>(random.below(static_cast<index>(i)))]);
    }
    for (index const task : order) {
      run_task(plan, call, part, task, random.below(workers), scratch);
    }
  }
}

TEST_P(Tasks, OnWorkersThatRunInStep) {
  std::barrier<> step(workers);
  std::vector<std::thread> threads;
  for (index ith = 0; ith < workers; ++ith) {
    threads.emplace_back([&, ith] {
      for (phase const part : phases) {
        for (index i = ith; i < tasks(plan, call, part); i += workers) {
          run_task(plan, call, part, i, ith, scratch);
        }
        step.arrive_and_wait();
      }
    });
  }
  for (std::thread& t : threads) t.join();
}

INSTANTIATE_TEST_SUITE_P(Table, Tasks, ::testing::ValuesIn(table),
                         [](auto const& row) { return row.param.name(); });

// Of four ranges that a call reaches a tile may reach five, the last two of which become one with
// the lost keys between: more leaves than the plan has states for.
TEST(TaskCounts, AReachOverLostKeysStaysWithinTheWorkspace) {
  constexpr index sinks = 1024, window = 64, dim = 8, end = 1 << 14;
  cache_shape const shape{.window = window, .head_dim = dim, .sinks = sinks};
  aligned_memory bytes(rolling_cache<f32>::required_bytes(shape));
  rolling_cache<f32> cache(bytes, shape);
  problem const p({.q_len = 200, .kv_len = 4096, .head_dim = dim});
  for (index at = 0; at < end; at += 4096) {
    ASSERT_TRUE(cache.append(p.k.view, p.v.view).ok());
  }
  attention call = p.call();
  call.kv = cache;
  call.first_query = 0;
  call.mask = local_window{0, 0} | key_padding{{200, 210}} | key_padding{{400, 410}} |
              key_padding{{500, 510}} | key_padding{{end - window, end}};
  for (index const count : {1, 2, 5}) {
    expect_exact(call, attend_anew(call, threads(count)));
  }
}

TEST(TaskCounts, SplitOnlyWhereWorkersWouldBeIdle) {
  auto const counts = [](attention_case const& c, index n) {
    problem const p(c);
    attention call = p.call();
    answer const to(call);
    call.out = to.out.view;
    attend_plan const plan = plan_attend(bounds_of(call), n);
    return std::pair{tasks(plan, call, phase::attend), tasks(plan, call, phase::merge)};
  };
  using pair = std::pair<index, index>;
  attention_case const decode{.q_len = 1, .kv_len = 5000, .q_heads = 4, .kv_heads = 2};
  EXPECT_EQ(counts(decode, 1), (pair{1, 0})) << "one worker does it all";
  EXPECT_EQ(counts(decode, 4).second, 2) << "either kv head is more than a worker's share";
  attention_case many = decode;
  many.q_heads = many.kv_heads = 64;
  EXPECT_EQ(counts(many, 4).second, 0) << "there are heads enough";
  attention_case windowed = decode;
  windowed.kind = mask_kind::causal_window;
  EXPECT_EQ(counts(windowed, 4).second, 0) << "a window within a leaf";
  EXPECT_EQ(counts({.q_len = 0, .kv_len = 9}, 4), (pair{0, 0}));
}

}  // namespace
}  // namespace oriel::test
