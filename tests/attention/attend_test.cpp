// SPDX-License-Identifier: BSL-1.0
#include "oriel/attention/attend.hpp"

#include <random>

#include "problem.hpp"
#include "threads.hpp"

namespace oriel::test {
namespace {

// --- against the definition ----------------------------------------------------------------------
class AttendOracle : public ::testing::TestWithParam<attention_case> {};

TEST_P(AttendOracle, EqualsTheDefinition) {
  problem const p(GetParam());
  p.poison_hidden_keys();
  answer const got = attend_anew(p.call(), serial{}, p.of.lies);
  expect_exact(p.call(), got);
}

INSTANTIATE_TEST_SUITE_P(Table, AttendOracle, ::testing::ValuesIn(attention_cases()),
                         [](auto const& row) {
                           return std::to_string(row.index) + "_" + row.param.name();
                         });

TEST(Attend, RowsWithoutKeysAreZeroAndMinusInfinity) {
  for (index const q_len : {7, 60}) {
    problem const p({.q_len = q_len, .kv_len = 2, .kind = mask_kind::causal});
    answer const got = attend_anew(p.call());
    for (index t = 0; t < q_len - 2; ++t) {
      EXPECT_EQ(*got.lse.view.row(t, 0), -infinity) << t;
      for (index d = 0; d < 64; ++d) {
        EXPECT_EQ(std::bit_cast<std::uint32_t>(got.out.view.row(t, 0)[d]), 0u) << t;
      }
    }
    EXPECT_TRUE(std::isfinite(*got.lse.view.row(q_len - 2, 0)));
  }
}

TEST(Attend, WhatIsNotANumberInAQueryIsSeenInItsRowOnly) {
  constexpr float nan = std::numeric_limits<float>::quiet_NaN();
  for (index const q_len : {1, 3, 60}) {       // either kernel
    for (index const window : {1, 5, 2100}) {  // a row that sees one key, some, or leaves of them
      for (index const workers : {1, 3}) {
        SCOPED_TRACE(::testing::Message() << q_len << ", " << window << ", " << workers);
        problem const p({.q_len = q_len,
                         .kv_len = 2050,
                         .head_dim = 33,
                         .kind = mask_kind::causal_window,
                         .window = window});
        answer const without = attend_anew(p.call(), threads(workers));
        index const odd = q_len / 2;
        p.q.view.row(odd, 0)[20] = nan;
        answer const got = attend_anew(p.call(), threads(workers));
        for (index d = 0; d < 33; ++d) EXPECT_TRUE(std::isnan(got.out.view.row(odd, 0)[d])) << d;
        EXPECT_TRUE(std::isnan(*got.lse.view.row(odd, 0)));
        for (range const others : {range{0, odd}, range{odd + 1, q_len}}) {
          EXPECT_EQ(got.bits(others), without.bits(others));
        }
      }
    }
  }
}

TEST(Attend, AValueThatIsNotFiniteReachesTheRowsThatSeeItOnly) {
  for (index const q_len : {3, 60}) {            // either kernel
    for (index const at : {1995, 2046, 2049}) {  // in another leaf, or hidden from most
      for (float const odd : {infinity, std::numeric_limits<float>::quiet_NaN()}) {
        SCOPED_TRACE(::testing::Message() << q_len << ", " << at << ", " << odd);
        problem const p({.q_len = q_len,
                         .kv_len = 2050,
                         .head_dim = 33,
                         .kind = mask_kind::causal_window,
                         .window = 30});
        answer const without = attend_anew(p.call());
        p.v.view.row(at, 0)[20] = odd;
        for (index const workers : {1, 3}) {
          answer const got = attend_anew(p.call(), threads(workers));
          for (index t = 0; t < q_len; ++t) {
            if (p.call().mask.visible(2050 - q_len + t, at)) {
              EXPECT_FALSE(std::isfinite(got.out.view.row(t, 0)[20])) << t;
            } else {
              EXPECT_EQ(got.bits({t, t + 1}), without.bits({t, t + 1})) << t;
            }
          }
        }
      }
    }
  }
}

TEST(Attend, TakesAnyScale) {
  problem const p({.q_len = 20, .kv_len = 50, .q_heads = 2, .kv_heads = 2, .head_dim = 16});
  for (float const scale : {0.0f, -0.5f, 1.0f, 3.0f}) {
    attention call = p.call();
    call.scale = scale;
    exact_answer const want(call);
    answer const got = attend_anew(call);
    double const bound = error_bound(16) * (1.0 + 4.0 * std::abs(scale));
    EXPECT_LE(largest_error(got.out.view, want.out), bound) << scale;
    EXPECT_LE(largest_error(got.lse.view, want.lse), bound) << scale;
  }
}

TEST(Attend, AccuracyOverFourThousandKeys) {
  std::mt19937 bits(1);
  std::normal_distribution<float> normal;
  for (index const q_len : {1, 24}) {  // either kernel
    for (index const workers : {1, 3}) {
      problem const p(
          {.q_len = q_len, .kv_len = 4096, .q_heads = 4, .kv_heads = 1, .head_dim = 128});
      for (tensor const* each : {&p.q, &p.k, &p.v}) {
        for_each_element(each->view, [&](float& x) { x = normal(bits); });
      }
      exact_answer const want(p.call());
      answer const got = attend_anew(p.call(), threads(workers));
      double worst = 0.0, largest = 0.0, error = 0.0, norm = 0.0;
      auto at = want.out.begin();
      for_each_element(got.out.view, [&](float x) {
        double const e = x - *at;
        worst = std::max(worst, std::abs(e));
        largest = std::max(largest, std::abs(*at));
        error += e * e;
        norm += *at * *at;
        ++at;
      });
      EXPECT_LE(worst, 2e-6 * largest) << q_len << " queries";
      EXPECT_LE(std::sqrt(error), 1e-6 * std::sqrt(norm)) << q_len << " queries";
    }
  }
}

TEST(Attend, SlicesOfOneFusedBuffer) {
  // [tokens, 4, heads, dim]: q, k, v and out side by side.
  index const tokens = 30;
  index const heads = 2;
  index const dim = 24;
  tensor const fused = tensor(tokens, 4 * heads, dim).filled(5);
  auto const part = [&](index i) {
    return tensor_view<float>(fused.view.data + i * heads * dim, tokens, heads, dim,
                              4 * heads * dim, dim);
  };
  attention call{.q = part(0), .kv = contiguous(part(1), part(2)), .mask = causal{}};
  answer const apart = attend_anew(call);
  call.out = part(3);
  aligned_memory scratch(plan_attend(bounds_of(call)).workspace_bytes());
  ASSERT_TRUE(attend(call, scratch).ok());
  EXPECT_EQ(bits_of(part(3)), bits_of(apart.out.view));
  EXPECT_TRUE(fused.is_untouched());
}

// Nothing is stepped over, so nothing may be computed of it.
TEST(Attend, TheTokenStrideOfOneTokenMayBeAnyNumber) {
  problem const p({.q_len = 1, .kv_len = 70, .q_heads = 24, .kv_heads = 2});
  for (auto const kernel : {kernel_choice::by_length, kernel_choice::row_lanes}) {
    attention call = p.call();
    call.kernel = kernel;
    answer const usual = attend_anew(call);
    for (index const stride : {INT64_MAX, -INT64_MAX}) {
      answer const got(call);
      call.q.token_stride = stride;
      call.out = got.out.view;
      call.out.token_stride = stride;
      aligned_memory scratch(plan_attend(bounds_of(call)).workspace_bytes());
      status const s = attend(call, scratch);
      ASSERT_TRUE(s.ok()) << s.what;
      EXPECT_EQ(bits_of(got.out.view), bits_of(usual.out.view));
    }
  }
}

TEST(Attend, TheTokenStrideOfOneKeyMayBeAnyThatFitsInBytes) {
  problem const p({.q_len = 1, .kv_len = 1, .q_heads = 4, .kv_heads = 2});
  for (auto const kernel : {kernel_choice::by_length, kernel_choice::row_lanes}) {
    attention call = p.call();
    call.kernel = kernel;
    answer const usual = attend_anew(call);
    for (index const stride : {INT64_MAX / 4, INT64_MIN / 4 + 1}) {
      tensor_view<float const> k = p.k.view, v = p.v.view;
      k.token_stride = v.token_stride = stride;
      call.kv = contiguous{k, v};
      answer const got = attend_anew(call);
      EXPECT_EQ(bits_of(got.out.view), bits_of(usual.out.view));
    }
  }
}

// --- the same bits -------------------------------------------------------------------------------
TEST(AttendBits, AnyNumberOfThreads) {
  for (attention_case const& c :
       {attention_case{.q_len = 1, .kv_len = 5000, .q_heads = 4, .kv_heads = 2},
        attention_case{.q_len = 60, .kv_len = 3000, .head_dim = 33},
        attention_case{.q_len = 300, .kv_len = 300, .q_heads = 8, .kv_heads = 4},
        attention_case{
            .q_len = 3, .kv_len = 4100, .kind = mask_kind::causal_window, .window = 2500}}) {
    SCOPED_TRACE(c.name());
    problem const p(c);
    answer const alone = attend_anew(p.call());
    for (index const workers : {1, 2, 3}) {
      threads pool(workers);
      EXPECT_EQ(attend_anew(p.call(), pool).bits(), alone.bits()) << workers;
    }
  }
}

/// A cache that holds the first `rows` keys of a problem.
struct filled_cache {
  aligned_memory memory;
  rolling_cache<f32> cache;

  filled_cache(problem const& p, index margin, index rows, index first = 0)
      : filled_cache(p, cache_shape{.window = p.of.window,
                                    .kv_heads = p.of.kv_heads,
                                    .head_dim = p.of.head_dim,
                                    .v_dim = p.of.value_dim(),
                                    .margin = margin}) {
    for (index at = 0; at < rows; at += 100) {
      range const piece{at, min_of(at + 100, rows)};
      status const s = cache.append(p.k.view.slice(piece), p.v.view.slice(piece), first + at);
      EXPECT_TRUE(s.ok()) << s.what;
    }
  }

 private:
  filled_cache(problem const&, cache_shape const& shape)
      : memory(rolling_cache<f32>::required_bytes(shape)), cache(memory, shape) {}
};

TEST(AttendBits, AnyPlaceOfTheKeys) {
  for (index const q_len : {1, 4, 40}) {  // the decode kernel twice, the row-lane kernel
    problem const p({.q_len = q_len,
                     .kv_len = 1500,
                     .q_heads = 4,
                     .kv_heads = 2,
                     .head_dim = 20,
                     .v_dim = 9,
                     .kind = mask_kind::causal_window,
                     .window = 333});
    attention call = p.call();
    answer const want = attend_anew(call);
    for (index const more : {0, 1, 7, 64, 200, 900}) {  // rings that wrap in other places
      filled_cache const ring(p, q_len + more, p.of.kv_len);
      call.kv = ring.cache;
      EXPECT_EQ(attend_anew(call).bits(), want.bits()) << "ring, margin " << q_len + more;
    }
    for (index const cut : {index{0}, index{1}, index{700}, 1500 - q_len, index{1500}}) {
      filled_cache const past(p, q_len, cut);
      range const fresh{cut, p.of.kv_len};
      call.kv = joined(past.cache, p.k.view.slice(fresh), p.v.view.slice(fresh));
      EXPECT_EQ(attend_anew(call).bits(), want.bits()) << "joined at " << cut;
    }
  }
}

/// Any cut of a prompt through a ring into pieces of at least `least` tokens.
void expect_any_cut(kernel_choice kernel, index least) {
  problem const p({.q_len = 400,
                   .kv_len = 400,
                   .q_heads = 6,
                   .kv_heads = 2,
                   .head_dim = 20,
                   .kind = mask_kind::causal_window,
                   .window = 90});
  attention once = p.call();
  once.kernel = kernel;
  answer const want = attend_anew(once);
  random_numbers random(3);
  for (index const most : {4, 30, 200}) {
    filled_cache layer(p, 1, 0);
    for (index at = 0; at < p.of.q_len;) {
      index end = min_of(at + least + random.below(most), p.of.q_len);
      if (p.of.q_len - end < least) end = p.of.q_len;
      range const piece{at, end};
      auto const k = p.k.view.slice(piece);
      auto const v = p.v.view.slice(piece);
      attention call{
          .q = p.q.view.slice(piece), .kv = joined(layer.cache, k, v), .mask = p.of.mask()};
      call.kernel = kernel;
      EXPECT_EQ(attend_anew(call).bits(), want.bits(piece)) << at << " to " << end;
      ASSERT_TRUE(layer.cache.append(k, v).ok());
      at = end;
    }
  }
}

TEST(AttendBits, AnyCutOfAPromptIntoPiecesOfTheRowLaneKernel) {
  expect_any_cut(kernel_choice::by_length, 3);  // 3 tokens are 9 rows
  expect_any_cut(kernel_choice::row_lanes, 1);
  static_assert(cut_tokens <= 16);
}

/// Every `least` neighbouring queries of a call, alone and among others with other values.
void expect_independent_rows(attention_case const& c, index least) {
  problem const p(c);
  answer const want = attend_anew(p.call());
  for (index begin = 0; begin + least <= c.q_len; begin += (least + 1) / 2) {
    range const part{begin, begin + least};
    SCOPED_TRACE(begin);
    attention call = p.call();
    call.q = p.q.view.slice(part);
    call.first_query = p.call().queries().begin + begin;
    EXPECT_EQ(attend_anew(call).bits(), want.bits(part)) << "alone";

    tensor const mixed = tensor(c.q_len, c.q_heads, c.head_dim).filled(99);
    float const* from = p.q.view.slice(part).data;
    for_each_element(mixed.view.slice(part), [&](float& x) { x = *from++; });
    call = p.call();
    call.q = mixed.view;
    EXPECT_EQ(attend_anew(call).bits(part), want.bits(part)) << "among others";
  }
}

TEST(AttendBits, ARowDoesNotDependOnTheOthers) {
  for (mask_kind const kind : {mask_kind::full, mask_kind::causal, mask_kind::causal_window}) {
    attention_case c{.kv_len = 500, .q_heads = 2, .head_dim = 20, .kind = kind, .window = 90};
    SCOPED_TRACE(static_cast<int>(kind));
    c.q_len = 100;  // 200 rows take the row-lane kernel, and so do 10
    expect_independent_rows(c, 5);
    c.q_len = 4;  // 8 rows take the decode kernel
    expect_independent_rows(c, 1);
  }
}

// --- positions -----------------------------------------------------------------------------------
TEST(AttendPositions, FarFromZero) {
  attention_case c{.q_len = 40,
                   .kv_len = 400,
                   .q_heads = 2,
                   .head_dim = 20,
                   .kind = mask_kind::causal_window,
                   .window = 90};
  for (index const q_len : {1, 40}) {
    c.q_len = q_len;
    problem const p(c);
    p.poison_hidden_keys();
    answer const near = attend_anew(p.call());
    for (index const base : {index{1} << 24, index{1} << 31, (index{1} << 53) - 1,
                             max_position - 401, -(index{1} << 40)}) {
      SCOPED_TRACE(base);
      attention call = p.call(base);
      answer const far = attend_anew(call);
      expect_exact(call, far);
      EXPECT_TRUE(base % leaf_keys != 0 || far.bits() == near.bits());
      if (base < 0) continue;
      filled_cache const ring(p, q_len, c.kv_len, base);
      EXPECT_EQ(ring.cache.positions().end, base + c.kv_len);
      call.kv = ring.cache;
      EXPECT_EQ(attend_anew(call).bits(), far.bits());
    }
  }
}

TEST(AttendPositions, QueriesMayStandAnywhere) {
  problem const p(
      {.q_len = 12, .kv_len = 60, .head_dim = 8, .kind = mask_kind::causal_window, .window = 10});
  for (index const first : {-20, -5, 0, 30, 55, 65, 100}) {
    SCOPED_TRACE(first);
    attention call = p.call();
    call.first_query = first;
    expect_exact(call, attend_anew(call));
  }
}

// --- executors -----------------------------------------------------------------------------------
TEST(Attend, RefusesMoreWorkersThanThePlanHas) {
  problem const p({.q_len = 2, .kv_len = 5});
  attention call = p.call();
  answer const to(call);
  call.out = to.out.view;
  attend_plan const plan = plan_attend(bounds_of(call), 2);
  aligned_memory scratch(plan.workspace_bytes());
  struct : serial {
    index workers() const noexcept { return 3; }
  } const three;
  EXPECT_EQ(attend(plan, call, scratch, three).code, errc::plan);
  EXPECT_TRUE(to.out.is_untouched(true));
  EXPECT_TRUE(attend(plan, call, scratch).ok());
}

}  // namespace
}  // namespace oriel::test
