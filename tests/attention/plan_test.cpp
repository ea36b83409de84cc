// SPDX-License-Identifier: BSL-1.0
#include "oriel/attention/plan.hpp"

#include "oriel/attention/attend.hpp"
#include "problem.hpp"

namespace oriel::test {
namespace {

attend_bounds const usual{
    .q_len = 100, .kv_len = 5000, .q_heads = 8, .kv_heads = 2, .head_dim = 64, .v_dim = 48};

index bytes(attend_bounds const& bounds, index workers = 1) {
  attend_plan const plan = plan_attend(bounds, workers);
  EXPECT_TRUE(plan.check().ok()) << plan.check().what;
  return plan.workspace_bytes();
}

TEST(Plan, BytesAreMultiplesOfTheAlignmentAndGrowWithEveryBound) {
  for (index const workers : {1, 2, 7}) {
    index const base = bytes(usual, workers);
    EXPECT_EQ(base % storage_alignment, 0);
    EXPECT_LT(bytes(usual, workers), bytes(usual, workers + 1));
    for (auto const member :
         {&attend_bounds::q_len, &attend_bounds::kv_len, &attend_bounds::head_dim}) {
      attend_bounds larger = usual;
      index last = base;
      for (int i = 0; i < 6; ++i) {
        larger.*member = larger.*member * 3 / 2;
        EXPECT_GE(bytes(larger, workers), last);
        last = bytes(larger, workers);
      }
    }
    attend_bounds wide = usual;
    wide.v_dim = 96;
    EXPECT_GT(bytes(wide, workers), base);
  }
}

TEST(Plan, OneWorkerNeedsOneTile) {
  attend_bounds b = usual;
  index const base = bytes(b);
  b.q_len = 1 << 20;
  b.kv_len = 1 << 30;
  EXPECT_EQ(bytes(b), base);
  EXPECT_LT(base, 1 << 20);
}

TEST(Plan, ManyWorkersNeedNoMoreThanLeafStatesPerKey) {
  attend_bounds b = usual;
  b.q_len = index{1} << 40;
  b.kv_len = 1 << 20;
  index const once = bytes(b, 4) - 4 * bytes(usual);
  b.kv_len *= 2;
  index const twice = bytes(b, 4) - 4 * bytes(usual);
  EXPECT_LE(twice, 2 * once);
  EXPECT_LE(once, (4 * 4) * (1024 + 4) * 64 * (48 + 64) * 4) << "16 tiles x leaves x rows x floats";
}

TEST(WorkspaceBytes, AreThoseOfAPlanForTheBatchAlone) {
  problem const p({.q_len = 100, .kv_len = 3000, .q_heads = 4, .kv_heads = 2, .head_dim = 16});
  attention const call = p.call();
  for (index const workers : {1, 3}) {
    EXPECT_EQ(workspace_bytes(call, workers),
              plan_attend(bounds_of(call), workers).workspace_bytes());
  }
  EXPECT_EQ(workspace_bytes(call, 0), 0) << "no worker, no plan";
  answer to(call);
  attention with = call;
  with.out = to.out.view;
  with.lse = to.lse.view;
  aligned_memory scratch(workspace_bytes(with));
  EXPECT_TRUE(attend(with, scratch).ok());
  EXPECT_TRUE(scratch.is_untouched_behind());
  aligned_memory less(workspace_bytes(with) - storage_alignment);
  EXPECT_EQ(attend(with, less).code, errc::workspace);
}

TEST(Plan, RefusesInvalidBounds) {
  struct {
    char const* name;
    attend_bounds bounds;
    index workers;
    errc code;
  } const rows[] = {
      {"no workers", usual, 0, errc::plan},
      {"negative workers", usual, -1, errc::plan},
      {"absurd workers", usual, INT64_MAX, errc::plan},
      {"heads", {.q_heads = 3, .kv_heads = 2, .head_dim = 8}, 1, errc::heads},
      {"no kv heads", {.q_heads = 3, .kv_heads = 0, .head_dim = 8}, 1, errc::heads},
      {"no q heads", {.q_heads = 0, .kv_heads = 1, .head_dim = 8}, 1, errc::heads},
      {"no head_dim", {.head_dim = 0}, 1, errc::shape},
      {"no v_dim", {.head_dim = 8, .v_dim = 0}, 1, errc::shape},
      {"negative q_len", {.q_len = -1, .head_dim = 8}, 1, errc::shape},
      {"negative kv_len", {.kv_len = -1, .head_dim = 8}, 1, errc::shape},
      {"endless head_dim", {.head_dim = INT64_MAX}, 1, errc::shape},
      {"endless v_dim", {.head_dim = 8, .v_dim = INT64_MAX}, 2, errc::shape},
      {"endless q_len", {.q_len = INT64_MAX, .head_dim = 8}, 2, errc::shape},
      {"endless kv_len", {.kv_len = INT64_MAX, .head_dim = 8}, 2, errc::shape},
      {"endless heads",
       {.q_heads = INT64_MAX, .kv_heads = INT64_MAX, .head_dim = 8},
       2,
       errc::shape},
      {"too many bytes",
       {.q_len = index{1} << 50, .kv_len = index{1} << 58, .head_dim = index{1} << 35},
       64,
       errc::shape},
  };
  for (auto const& row : rows) {
    attend_plan const plan = plan_attend(row.bounds, row.workers);
    EXPECT_EQ(plan.check().code, row.code) << row.name << ": " << plan.check().what;
    problem const p({.q_len = 1, .kv_len = 1, .head_dim = 8});
    attention call = p.call();
    answer const to(call);
    call.out = to.out.view;
    aligned_memory scratch(1 << 16);
    EXPECT_EQ(check(plan, call, scratch).code, row.code) << row.name;
    EXPECT_EQ(attend(plan, call, scratch).code, row.code) << row.name;
    EXPECT_TRUE(to.out.is_untouched(true)) << row.name;
  }
}

/// A call, a plan made for exactly it, and its workspace.
struct planned {
  problem of{{.q_len = 20, .kv_len = 30, .q_heads = 4, .kv_heads = 2, .head_dim = 8, .v_dim = 6}};
  attention call = of.call();
  answer to{call};
  attend_plan plan = plan_attend(bounds_of(call));
  aligned_memory scratch{2 * plan.workspace_bytes()};
  planned() { call.out = to.out.view, call.lse = to.lse.view; }

  workspace part(index from, index size) {
    return {scratch.span().subspan(static_cast<std::size_t>(from), static_cast<std::size_t>(size))};
  }
  errc refused(workspace memory) const {
    errc const code = attend(plan, call, memory).code;
    EXPECT_EQ(check(plan, call, memory).code, code);
    EXPECT_TRUE(to.out.is_untouched(true) && to.lse.is_untouched(true));
    return code;
  }
};

TEST(PlanCheck, TheWorkspace) {
  planned p;
  index const size = p.plan.workspace_bytes();
  EXPECT_EQ(p.refused(p.part(0, size - 1)), errc::workspace);
  EXPECT_EQ(p.refused(p.part(0, 0)), errc::workspace);
  EXPECT_EQ(p.refused({}), errc::workspace);
  EXPECT_EQ(p.refused({{static_cast<std::byte*>(nullptr), static_cast<std::size_t>(size)}}),
            errc::memory);
  EXPECT_EQ(p.refused(p.part(1, size)), errc::alignment);
  EXPECT_EQ(p.refused(p.part(32, size)), errc::alignment);
  EXPECT_EQ(attend(p.plan, p.call, p.part(64, size)).code, errc::ok);
  EXPECT_EQ(attend(p.plan, p.call, p.part(0, 2 * size)).code, errc::ok);
}

TEST(PlanCheck, TheWorkspaceApartFromEveryTensor) {
  using place = void (*)(attention&, problem const&, float*);
  place const places[] = {
      [](attention& c, problem const&, float* at) { c.q.data = at; },
      [](attention& c, problem const&, float* at) { c.out.data = at; },
      [](attention& c, problem const&, float* at) { c.lse.data = at; },
      [](attention& c, problem const& of, float* at) {
        auto k = of.k.view;
        k.data = at;
        c.kv = contiguous(k, of.v.view);
      },
      [](attention& c, problem const& of, float* at) {
        auto v = of.v.view;
        v.data = at;
        c.kv = contiguous(of.k.view, v);
      },
  };
  for (place const& put : places) {
    planned p;
    index const size = p.plan.workspace_bytes();
    attention const was = p.call;
    put(p.call, p.of, reinterpret_cast<float*>(p.scratch.span().data()) + size / 4 - 1);
    EXPECT_EQ(p.refused(p.part(0, size)), errc::alias) << &put - places;
    p.call = was;
    put(p.call, p.of, reinterpret_cast<float*>(p.scratch.span().data()) + size / 4);
    EXPECT_EQ(check(p.plan, p.call, p.part(0, size)).code, errc::ok) << "behind it";
  }
}

TEST(PlanCheck, CallsWithinItsBounds) {
  planned p;
  attend_bounds const exact = p.plan.bounds;
  auto const code = [&](auto change) {
    attend_bounds b = exact;
    change(b);
    p.plan = plan_attend(b, 2);
    aligned_memory scratch(p.plan.workspace_bytes());
    return check(p.plan, p.call, scratch).code;
  };
  EXPECT_EQ(code([](auto&) {}), errc::ok);
  EXPECT_EQ(code([](auto& b) {
              b = {.q_len = 99, .kv_len = 999, .q_heads = 4, .kv_heads = 2, .head_dim = 99};
            }),
            errc::ok);
  EXPECT_EQ(code([](auto& b) { --b.q_len; }), errc::plan);
  EXPECT_EQ(code([](auto& b) { --b.kv_len; }), errc::plan);
  EXPECT_EQ(code([](auto& b) { --b.head_dim; }), errc::plan);
  EXPECT_EQ(code([](auto& b) { b.v_dim = 5; }), errc::plan);
  EXPECT_EQ(code([](auto& b) { b.q_heads = 8; }), errc::plan);
  EXPECT_EQ(code([](auto& b) { b.kv_heads = 4; }), errc::plan);

  p.plan = plan_attend(exact);
  p.plan.tile_rows += 1;
  EXPECT_EQ(p.refused(p.scratch), errc::plan) << "made for another instruction set";
  p.plan = plan_attend(exact);
  p.call.q.dim = 7;
  EXPECT_EQ(p.refused(p.scratch), errc::shape) << "what check(call) says";
}

TEST(PlanCheck, ASmallerCallInALargePlanGivesTheSameBits) {
  attend_plan const plan = plan_attend(
      {.q_len = 300, .kv_len = 9000, .q_heads = 4, .kv_heads = 2, .head_dim = 100, .v_dim = 90}, 3);
  aligned_memory scratch(plan.workspace_bytes());
  for (index const q_len : {1, 40}) {
    problem const p({.q_len = q_len, .kv_len = 4000, .q_heads = 4, .kv_heads = 2, .head_dim = 24});
    attention call = p.call();
    answer const to(call);
    call.out = to.out.view;
    call.lse = to.lse.view;
    ASSERT_TRUE(attend(plan, call, scratch).ok());
    EXPECT_EQ(to.bits(), attend_anew(p.call()).bits());
    EXPECT_TRUE(scratch.is_untouched_behind());
  }
}

}  // namespace
}  // namespace oriel::test
