// SPDX-License-Identifier: BSL-1.0
// Queries and results of bf16 and f16: the bits of the call with the floats that the queries are,
// rounded once.
#include <gtest/gtest.h>

#include <vector>

#include "oriel/attention/attend.hpp"
#include "oriel/cache/block_summary.hpp"
#include "oriel/select/moba.hpp"
#include "problem.hpp"
#include "threads.hpp"

namespace oriel::test {
namespace {

template <class T>
class Narrow : public testing::Test {};
using types = testing::Types<bf16, f16>;
TYPED_TEST_SUITE(Narrow, types);

/// attend into a narrow tensor, beside the lse.
template <class T, class Executor = serial const>
std::vector<std::uint16_t> attend_narrow(attention call, std::vector<std::uint32_t>& lse_bits,
                                         Executor&& on = Executor{}) {
  narrow_tensor<T> out(call.q.tokens, call.q.heads, call.kv.shape().v_dim);
  tensor lse(call.q.tokens, call.q.heads, 1);
  call.out = out.view;
  call.lse = lse.view;
  attend_plan const plan = plan_attend(bounds_of(call), on.workers());
  aligned_memory scratch(plan.workspace_bytes());
  status const s = attend(plan, call, scratch, on);
  EXPECT_TRUE(s.ok()) << s.what;
  EXPECT_TRUE(scratch.is_untouched_behind()) << "workspace";
  lse_bits = bits_of(lse.view);
  return out.bits();  // gaps too
}

template <class T>
void expect_rounded(attention const& floats, attention const& narrow) {
  answer const want = attend_anew(floats);
  narrow_tensor<T> const rounded(want.out.view);
  std::vector<std::uint32_t> lse;
  EXPECT_EQ(attend_narrow<T>(narrow, lse), rounded.bits());
  EXPECT_EQ(lse, bits_of(want.lse.view));
  EXPECT_EQ(attend_anew(narrow).bits(), want.bits()) << "narrow queries alone";
}

TYPED_TEST(Narrow, HasTheBitsOfItsFloatsRoundedOnce) {
  std::vector<attention_case> const all = attention_cases();
  for (std::size_t i = 0; i < all.size(); i += 2) {
    SCOPED_TRACE(all[i].name());
    problem const p(all[i]);
    narrow_tensor<TypeParam> const q(p.q.view);
    tensor const wide = q.floats();
    attention floats = p.call(), narrow = p.call();
    floats.q = wide.view;
    narrow.q = q.view;
    for (kernel_choice const kernel : {kernel_choice::by_length, kernel_choice::row_lanes}) {
      floats.kernel = narrow.kernel = kernel;
      expect_rounded<TypeParam>(floats, narrow);
    }
    exact_answer const want(floats), again(narrow);
    EXPECT_EQ(want.out, again.out) << "by the definition too";
    if (testing::Test::HasFailure()) return;
  }
}

/// Keys are cut into leaves, which a second phase merges.
TYPED_TEST(Narrow, OnAnyWorkersTheSameBits) {
  problem const p({.q_len = 3, .kv_len = 5000, .q_heads = 2, .kv_heads = 1, .head_dim = 33});
  narrow_tensor<TypeParam> const q(p.q.view);
  attention call = p.call();
  call.q = q.view;
  std::vector<std::uint32_t> lse, lse_of_four;
  threads four(4);
  EXPECT_EQ(attend_narrow<TypeParam>(call, lse), attend_narrow<TypeParam>(call, lse_of_four, four));
  EXPECT_EQ(lse, lse_of_four);
}

TYPED_TEST(Narrow, ChoosesBlocksAsItsFloatsDo) {
  attention_case const c{.q_len = 900,
                         .kv_len = 900,
                         .q_heads = 4,
                         .kv_heads = 2,
                         .head_dim = 24,
                         .kind = mask_kind::causal};
  problem const p(c);
  block_shape const shape{.block = 16, .blocks = 60, .kv_heads = 2, .head_dim = 24};
  aligned_memory bytes(block_means::required_bytes(shape));
  block_means means(bytes, shape);
  ASSERT_TRUE(means.append(p.k.view).ok());
  narrow_tensor<TypeParam> const q(p.q.view);
  tensor const wide = q.floats();
  attention floats = p.call(), narrow = p.call();
  floats.q = wide.view;
  narrow.q = q.view;
  floats.select = narrow.select = moba(means, 3);
  expect_rounded<TypeParam>(floats, narrow);
  exact_answer const want(floats), again(narrow);
  EXPECT_EQ(want.out, again.out);
}

TYPED_TEST(Narrow, NaNAndInfinityStayInTheirRows) {
  problem const p({.q_len = 20, .kv_len = 20, .q_heads = 2, .kv_heads = 1, .head_dim = 16});
  narrow_tensor<TypeParam> q(p.q.view);
  q.view.row(3, 1)[5] = TypeParam(std::nanf(""));
  q.view.row(7, 0)[0] = TypeParam(infinity);
  tensor const wide = q.floats();
  attention floats = p.call(), narrow = p.call();
  floats.q = wide.view;
  narrow.q = q.view;
  answer const want = attend_anew(floats);
  narrow_tensor<TypeParam> out(20, 2, 16);
  narrow.out = out.view;
  aligned_memory scratch(plan_attend(bounds_of(narrow)).workspace_bytes());
  ASSERT_TRUE(attend(narrow, scratch).ok());
  for (index t = 0; t < 20; ++t) {
    for (index h = 0; h < 2; ++h) {
      for (index d = 0; d < 16; ++d) {
        TypeParam const expected(want.out.view.row(t, h)[d]);
        TypeParam const got = out.view.row(t, h)[d];
        if (std::isnan(static_cast<float>(expected))) {
          EXPECT_TRUE(std::isnan(static_cast<float>(got)));
        } else {
          EXPECT_EQ(got, expected) << t << " " << h << " " << d;
        }
      }
    }
  }
}

TYPED_TEST(Narrow, WhatIsWrongIsNamed) {
  problem const p({.q_len = 4, .kv_len = 9, .q_heads = 2, .kv_heads = 1, .head_dim = 8});
  narrow_tensor<TypeParam> q(p.q.view), out(4, 2, 8);
  attention call = p.call();
  call.q = q.view;
  call.out = out.view;
  attend_plan const plan = plan_attend(bounds_of(call));
  aligned_memory scratch(plan.workspace_bytes());
  std::vector<std::uint16_t> const before = out.bits();
  auto const code = [&](auto change) {
    attention wrong = call;
    change(wrong);
    status const s = attend(plan, wrong, scratch);
    EXPECT_EQ(out.bits(), before) << "nothing is written";
    return s.code;
  };
  EXPECT_EQ(code([&](attention& a) { a.out = q.view; }), errc::alias);
  EXPECT_EQ(code([&](attention& a) {
              a.out = tensor_view<float>(reinterpret_cast<float*>(q.view.data + 1), 4, 2, 8);
            }),
            errc::alias)
      << "floats over narrow queries";
  EXPECT_EQ(code([&](attention& a) {
              a.out = tensor_view<TypeParam>(reinterpret_cast<TypeParam*>(p.k.view.data), 4, 2, 8);
            }),
            errc::alias)
      << "narrow results over keys";
  EXPECT_EQ(code([](attention& a) { a.q.data = static_cast<char const*>(a.q.data) + 1; }),
            errc::alignment);
  EXPECT_EQ(code([](attention& a) { a.out.data = static_cast<char*>(a.out.data) + 1; }),
            errc::alignment);
  EXPECT_EQ(code([](attention& a) { a.out.data = nullptr; }), errc::memory);
  EXPECT_EQ(code([](attention& a) { a.q.tokens = 3; }), errc::shape);
  attend_bounds bounds = bounds_of(call);
  bounds.narrow_q = false;
  attend_plan const floats_only = plan_attend(bounds);
  EXPECT_EQ(attend(floats_only, call, scratch).code, errc::plan);
  attention two[] = {call, call};
  two[1].q = p.q.view;
  EXPECT_EQ(check(attention_batch(two)).code, errc::alias) << "both write to out";
}

/// A batch may mix types.
TYPED_TEST(Narrow, SequencesOfABatchMayDiffer) {
  problem const p({.q_len = 40, .kv_len = 60, .q_heads = 2, .kv_heads = 1, .head_dim = 40});
  narrow_tensor<TypeParam> const q(p.q.view);
  narrow_tensor<TypeParam> out(40, 2, 40);
  tensor other(40, 2, 40);
  attention calls[] = {p.call(), p.call()};
  calls[0].q = q.view;
  calls[0].out = out.view;
  calls[1].out = other.view;
  aligned_memory scratch(plan_attend(bounds_of(calls)).workspace_bytes());
  ASSERT_TRUE(attend(calls, scratch).ok());
  std::vector<std::uint32_t> lse;
  EXPECT_EQ(out.bits(), attend_narrow<TypeParam>(calls[0], lse));
  EXPECT_EQ(bits_of(other.view), bits_of(attend_anew(calls[1]).out.view));
}

}  // namespace
}  // namespace oriel::test
