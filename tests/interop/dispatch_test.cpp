// SPDX-License-Identifier: BSL-1.0
// Compiled for the oldest x86-64, as is everything in this program but dispatch/. CTest runs it
// once per level, with ORIEL_ARCH, and on emulated processors.
#include "oriel/interop/dispatch.hpp"

#include <cstdlib>

#include "dispatch/levels.hpp"
#include "problem.hpp"

namespace oriel::test {
namespace {

/// What active_arch() should say here.
std::string expected_level() {
#if defined(__x86_64__) && defined(__ELF__)
  char const* const wish = std::getenv("ORIEL_ARCH");
  std::string const wanted = wish == nullptr ? "" : wish;
  bool const has_v3 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  bool const has_v4 = has_v3 && __builtin_cpu_supports("avx512vl");
  if (wanted == "sse2" || !has_v3) return "sse2";
  return wanted == "x86-64-v3" || !has_v4 ? "x86-64-v3" : "x86-64-v4";
#else
  return "generic";
#endif
}

TEST(Dispatch, RunsTheBestLevelOrTheOneThatIsAskedFor) {
  EXPECT_EQ(active_arch(), expected_level());
  EXPECT_EQ(compiled_for(), expected_level());
  std::printf("active: %s\n", active_arch());
}

void expect_exact_by_dispatch(attention_case const& one) {
  SCOPED_TRACE(one.name());
  problem const p(one);
  p.poison_hidden_keys();
  attention call = p.call();
  answer got(call, one.lies);
  call.out = got.out.view;
  call.lse = got.lse.view;
  aligned_memory scratch(::workspace_bytes(call));
  status const s = ::attend(call, scratch);
  ASSERT_TRUE(s.ok()) << s.what;
  EXPECT_TRUE(scratch.is_untouched_behind());
  EXPECT_TRUE(got.out.is_untouched());
  expect_exact(call, got);
}

TEST(Dispatch, EveryCaseEqualsTheDefinition) {
  for (attention_case const& one : attention_cases()) expect_exact_by_dispatch(one);
}

TEST(Dispatch, PrefillAndDecodeEqualTheDefinition) {  // what an emulated processor has time for
  expect_exact_by_dispatch({.q_len = 60, .kv_len = 150, .q_heads = 2, .head_dim = 24});
  expect_exact_by_dispatch({.kv_len = 1100, .q_heads = 6, .kv_heads = 2, .head_dim = 40});
}

TEST(Dispatch, PassesAnyArgumentsAndResults) {
  std::vector<double> const got = weigh(1, 2.0, {3.0, 4.0}, 5.0f, 6, 7, 8, 9.0, 10u, "11");
  EXPECT_EQ(got, (std::vector<double>{3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23}));
}

TEST(Dispatch, PassesExceptions) {
  try {
    refuse(16.0);
    FAIL();
  } catch (refusal const& r) {
    EXPECT_EQ(r.number, 4.0);
  }
  EXPECT_THROW(weigh(1, 2.0, {}, 5.0f, 6, 7, 8, 9.0, 10u, "no number"), std::invalid_argument);
}

TEST(Dispatch, DispatchesMembers) {
  running_sum sum;
  std::vector<float> const x(32, 2.0f);
  sum.add(x);
  sum.add(x);
  EXPECT_EQ(sum.total(), 256.0f);
  EXPECT_EQ(dot(x, x), 128.0f);  // our own
}

#if defined(__x86_64__) && defined(__ELF__)
TEST(Dispatch, StaticsOfInlineFunctionsBelongToALevel) {
  EXPECT_EQ(count_calls(), 1);
  EXPECT_EQ(count_calls_of_level(), 1);
  EXPECT_EQ(count_calls_of_level(), 2);
  EXPECT_EQ(count_calls(), 2);
}
#endif

}  // namespace
}  // namespace oriel::test
