// SPDX-License-Identifier: BSL-1.0
#include "oriel/attention/advise.hpp"

#include <gtest/gtest.h>

#include <cmath>

namespace oriel::test {
namespace {

attention_budget const layer{.tokens = 65536,
                             .q_heads = 8,
                             .kv_heads = 2,
                             .head_dim = 128,
                             .seconds = 1e9,
                             .flops_per_second = 1e11};
constexpr index row_bytes = 2 * 2 * 128 * 4;

attention_advice advised(attention_budget const& b) {
  attention_advice to;
  status const s = advise(b, &to);
  EXPECT_TRUE(s.ok()) << s.what;
  return to;
}
attention_budget with(double seconds, index bytes = INT64_MAX) {
  attention_budget b = layer;
  b.seconds = seconds;
  b.bytes = bytes;
  return b;
}

TEST(Advise, DenseIfItFits) {
  double const exact = 65536.0 * 65537.0 / 2.0 * 8.0 * 2.0 * 256.0 / 1e11;
  attention_advice const all = advised(layer);
  EXPECT_EQ(all.way, attention_way::dense);
  EXPECT_NEAR(all.seconds, exact, 1e-6 * exact);
  EXPECT_EQ(all.bytes, 65536 * row_bytes);
  EXPECT_EQ(advised(with(exact * 1.0001, all.bytes)).way, attention_way::dense);
  EXPECT_EQ(advised(with(exact * 0.9999)).way, attention_way::moba);
  EXPECT_EQ(advised(with(1e9, all.bytes - 1)).way, attention_way::window);
}

TEST(Advise, MobaWhereTimeIsShort) {
  for (double const share : {0.8, 0.5, 0.2, 0.1, 0.05}) {
    attention_budget const b = with(share * advised(layer).seconds);
    attention_advice const got = advised(b);
    ASSERT_EQ(got.way, attention_way::moba) << share;
    EXPECT_LE(got.seconds, b.seconds);
    EXPECT_GE(got.top_k, 2);
    detail::pair_costs const pairs{65536.0};
    auto const size = static_cast<double>(got.block);
    auto const top = static_cast<double>(got.top_k);
    EXPECT_LE(pairs.choosing(size, top), 0.2 * pairs.moba(size, top));
    if (got.top_k < max_chosen && (got.top_k + 1) * got.block < 65536) {
      EXPECT_GT(pairs.moba(size, top + 1.0) / pairs.moba(size, top) * got.seconds, b.seconds);
    }
    EXPECT_EQ(
        got.bytes,
        65536 * row_bytes +
            block_means::required_bytes(
                {.block = got.block, .blocks = 65536 / got.block, .kv_heads = 2, .head_dim = 128}));
  }
}

TEST(Advise, TheLargestWindowWhereMemoryIsShort) {
  attention_advice const got = advised(with(1e9, 1000 * row_bytes + 5));
  EXPECT_EQ(got.way, attention_way::window);
  EXPECT_EQ(got.window, 1000);
  EXPECT_EQ(got.bytes, 1000 * row_bytes);
  attention_advice const slow = advised(with(0.01 * advised(layer).seconds, 65535 * row_bytes));
  EXPECT_EQ(slow.way, attention_way::window);
  EXPECT_LE(slow.seconds, 0.01 * advised(layer).seconds);
  attention_advice const hasty = advised(with(0.001 * advised(layer).seconds));
  EXPECT_EQ(hasty.way, attention_way::window) << "no two blocks are to be had in that time";
}

TEST(Advise, NoneIfNothingFits) {
  EXPECT_EQ(advised(with(1e9, row_bytes - 1)).way, attention_way::none);
  EXPECT_EQ(advised(with(0.0)).way, attention_way::none);
}

/// The model counts the pairs that a mask and a selection really have.
TEST(Advise, CountsPairs) {
  detail::pair_costs const pairs{1000.0};
  EXPECT_EQ(pairs.window(1000.0), 500500.0);
  EXPECT_EQ(pairs.window(1.0), 1000.0);
  double seen = 0.0;
  for (index p = 0; p < 1000; ++p) {  // blocks of 50, top 4: p + 1 keys below 200
    seen += p < 200 ? static_cast<double>(p + 1) : 150.0 + static_cast<double>(p % 50 + 1);
  }
  EXPECT_DOUBLE_EQ(pairs.moba(50.0, 4.0) - pairs.choosing(50.0, 4.0), seen);
  EXPECT_EQ(pairs.moba(50.0, 20.0), 500500.0);
}

TEST(Advise, SaysWhatIsWrong) {
  auto const code = [](auto&& change) {
    attention_budget b = layer;
    change(b);
    attention_advice to{.window = 7};
    errc const c = advise(b, &to).code;
    EXPECT_EQ(to.window, 7);
    return c;
  };
  EXPECT_EQ(code([](auto& b) { b.tokens = 0; }), errc::shape);
  EXPECT_EQ(code([](auto& b) { b.tokens = INT64_MAX; }), errc::shape);
  EXPECT_EQ(code([](auto& b) { b.q_heads = 3; }), errc::heads);
  EXPECT_EQ(code([](auto& b) { b.head_dim = 0; }), errc::shape);
  EXPECT_EQ(code([](auto& b) { b.v_dim = -1; }), errc::shape);
  EXPECT_EQ(code([](auto& b) { b.bytes = -1; }), errc::shape);
  EXPECT_EQ(code([](auto& b) { b.seconds = -1.0; }), errc::shape);
  EXPECT_EQ(code([](auto& b) { b.seconds = std::nan(""); }), errc::shape);
  EXPECT_EQ(code([](auto& b) { b.flops_per_second = 0.0; }), errc::shape);
  EXPECT_EQ(advise(layer, nullptr).code, errc::memory);
  attention_budget huge = layer;
  huge.head_dim = INT64_MAX;
  huge.seconds = 1e300;
  EXPECT_EQ(advised(huge).way, attention_way::none);
}

}  // namespace
}  // namespace oriel::test
