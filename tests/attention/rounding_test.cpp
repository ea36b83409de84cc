// SPDX-License-Identifier: BSL-1.0
// compute_choice::fast: within its bound of the exact answer, and as independent of how a call is cut.
#include <gtest/gtest.h>

#include "compiled_once.hpp"
#include "oriel/attention/attend.hpp"
#include "oriel/cache/block_summary.hpp"
#include "oriel/cache/joined.hpp"
#include "oriel/cache/paged.hpp"
#include "oriel/cache/rolling_cache.hpp"
#include "oriel/codec/ggml.hpp"
#include "oriel/codec/quantized.hpp"
#include "oriel/mask/both.hpp"
#include "oriel/mask/causal.hpp"
#include "oriel/mask/dense_mask.hpp"
#include "oriel/mask/sliding_window.hpp"
#include "oriel/select/moba.hpp"
#include "problem.hpp"
#include "threads.hpp"

namespace oriel::test {
namespace {

/// Rows that a cache keeps, K and V of different codecs, behind the wrap of its ring if it has one.
template <class K, class V>
struct kept {
  cache_shape shape;
  aligned_memory bytes;
  rolling_cache<K, V> cache;

  kept(problem const& p, index window)
      : shape{.window = window,
              .kv_heads = p.of.kv_heads,
              .head_dim = p.of.head_dim,
              .v_dim = p.of.value_dim()},
        bytes(rolling_cache<K, V>::required_bytes(shape)),
        cache(bytes, shape) {
    EXPECT_TRUE(cache.append(p.k.view, p.v.view).ok());
  }
};

attention faster(attention call) {
  call.compute = compute_choice::fast;
  return call;
}

/// The largest change of a score that the rule of compute_choice::fast allows.
double score_change(attention const& call) {
  double most = 0.0;
  std::vector<float> floats(static_cast<std::size_t>(call.q.dim));
  range const held = call.kv.positions();
  for (index h = 0; h < call.kv.shape().kv_heads; ++h) {
    for (index at = held.begin; at < held.end; ++at) {
      kv_run const run = call.kv.run_at(h, at);
      double sum = 0.0;
      float const* const row = run.floats(run.k, call.q.dim, floats.data());
      for (index d = 0; d < call.q.dim; ++d) sum += std::fabs(row[d]);
      most = std::max(most, sum);
    }
  }
  double top = 0.0;
  for_each_element(call.q.as<float>(),
                   [&](float x) { top = std::max(top, std::fabs(static_cast<double>(x))); });
  return call.used_scale() * top * most / 64000;
}

/// The rule again for a whole call: e^change for each weight and each sum of weights, and half a unit
/// for each key, whose p * v is at most that of the row's largest p, which is part of its sum.
void expect_near(attention const& exact) {
  answer const want = attend_anew(exact);
  answer const got = attend_anew(faster(exact));
  double const change = score_change(exact);
  double const keys = static_cast<double>(exact.kv.positions().size());
  double const bound = 2.0 * change + keys / 64000 + 1e-6;
  double most = 0.0, error = 0.0, size = 0.0;
  std::vector<double> all;
  for_each_element(want.out.view, [&](float x) { all.push_back(x); });
  double const top = 4.5;  // of unit-normal values
  auto at = all.begin();
  for_each_element(got.out.view, [&](float x) {
    most = std::max(most, std::fabs(x - *at));
    error += (x - *at) * (x - *at), size += *at * *at;
    ++at;
  });
  EXPECT_LE(most, bound * top);
  EXPECT_LE(std::sqrt(error), 2e-4 * std::sqrt(size) + 1e-6) << "errors are of either sign";
  all.clear();
  for_each_element(want.lse.view, [&](float x) { all.push_back(x); });
  at = all.begin();
  for_each_element(got.lse.view, [&](float x) { EXPECT_NEAR(x, *at++, change + 1e-5); });
  bool const rounds = has_words<default_arch> && exact.q.tokens * exact.heads().group() <= 8;
  EXPECT_EQ(want.bits() != got.bits(), rounds) << "only the decode kernel rounds";
}

template <class Pair>
class Rounding : public testing::Test {
 protected:
  using k_name = typename Pair::first_type;
  using v_name = typename Pair::second_type;
};
using pairs = testing::Types<std::pair<int8, int8>, std::pair<q4_0, int4>>;
TYPED_TEST_SUITE(Rounding, pairs);

TYPED_TEST(Rounding, StaysWithinItsBound) {
  using k_name = typename TestFixture::k_name;
  using v_name = typename TestFixture::v_name;
  struct size {
    index q_len, kv_len, q_heads, kv_heads, dim, window;
  };
  for (size const& s :
       {size{1, 300, 2, 2, 128, 300}, size{1, 1, 1, 1, 128, 5}, size{1, 1500, 8, 2, 128, 1500},
        size{2, 333, 6, 2, 128, 200}, size{8, 129, 2, 2, 256, 127}, size{3, 130, 1, 1, 128, 1},
        size{9, 130, 1, 1, 128, 100}}) {
    attention_case const c{.q_len = s.q_len,
                           .kv_len = s.kv_len,
                           .q_heads = s.q_heads,
                           .kv_heads = s.kv_heads,
                           .head_dim = s.dim,
                           .kind = mask_kind::causal_window,
                           .window = s.window};
    SCOPED_TRACE(c.name());
    problem const p(c);
    kept<k_name, v_name> const in(p, s.window + s.q_len);
    attention call = p.call();
    call.kv = in.cache;
    expect_near(call);
  }
}

/// One of K and V is of codes and the other is not, or its rows are not whole registers of codes.
TYPED_TEST(Rounding, RoundsWhereItCan) {
  using k_name = typename TestFixture::k_name;
  using v_name = typename TestFixture::v_name;
  attention_case c{
      .q_len = 1, .kv_len = 200, .q_heads = 4, .kv_heads = 2, .head_dim = 128, .v_dim = 96};
  c.v_dim = 128;
  problem const p(c);
  attention call = p.call();
  kept<k_name, f32> const keys(p, 200);
  call.kv = keys.cache;
  expect_near(call);
  kept<bf16, v_name> const values(p, 200);
  call.kv = values.cache;
  expect_near(call);
  kept<bf16, f32> const neither(p, 200);
  call.kv = neither.cache;
  EXPECT_EQ(attend_anew(faster(call)).bits(), attend_anew(call).bits());
  call = p.call();
  EXPECT_EQ(attend_anew(faster(call)).bits(), attend_anew(call).bits()) << "floats";
}

TEST(RoundingOddly, GroupsMayBeSmall) {
  problem const p({.q_len = 1, .kv_len = 300, .q_heads = 4, .kv_heads = 2, .head_dim = 128});
  kept<quantized<4, 16, true, f16>, quantized<8, 16, false, f16>> const in(p, 300);
  attention call = p.call();
  call.kv = in.cache;
  expect_near(call);
}

/// Without codes there is nothing to round in.
TEST(RoundingOddly, FloatsAreExact) {
  problem const p(
      {.q_len = 2, .kv_len = 300, .q_heads = 4, .kv_heads = 2, .head_dim = 256, .v_dim = 16});
  EXPECT_EQ(attend_anew(faster(p.call())).bits(), attend_anew(p.call()).bits());
}

TEST(RoundingOddly, RowsThatAreNotWholeRegistersAreExact) {
  problem const p(
      {.q_len = 1, .kv_len = 200, .q_heads = 4, .kv_heads = 2, .head_dim = 33, .v_dim = 20});
  kept<int8, int4> const in(p, 200);
  attention call = p.call();
  call.kv = in.cache;
  EXPECT_EQ(attend_anew(faster(call)).bits(), attend_anew(call).bits());
}

/// Any phase of a ring, pages, tensors, batches, threads, and what other queries there are.
TYPED_TEST(Rounding, GivesTheSameBitsHoweverItIsCut) {
  using k_name = typename TestFixture::k_name;
  using v_name = typename TestFixture::v_name;
  using k_codec = codec_of<k_name>;
  using v_codec = codec_of<v_name>;
  attention_case const c{.q_len = 2,
                         .kv_len = 2300,
                         .q_heads = 6,
                         .kv_heads = 2,
                         .head_dim = 128,
                         .kind = mask_kind::causal_window,
                         .window = 2200};
  problem const p(c);
  kept<k_name, v_name> const whole(p, 2300), ring(p, 2201), other(p, 2211);
  attention call = faster(p.call());
  call.kv = whole.cache;
  answer const want = attend_anew(call);
  for (auto const* in : {&ring, &other}) {
    call.kv = in->cache;
    EXPECT_EQ(attend_anew(call).bits(), want.bits());
    EXPECT_EQ(attend_anew(call, threads(2)).bits(), want.bits());
    EXPECT_EQ(attend_anew(call, threads(5)).bits(), want.bits());
  }
  attention one = call;
  one.q = p.q.view.slice({1, 2});
  EXPECT_EQ(attend_anew(one).bits(), want.bits({1, 2})) << "without the first query";

  // Pages of 7 tokens, in an order of their own.
  constexpr index size = 7;
  index const pages = ceil_div(c.kv_len, size);
  index const k_bytes = size * 2 * k_codec::row_bytes(128),
              v_bytes = size * 2 * v_codec::row_bytes(128);
  aligned_memory k_memory(pages * k_bytes), v_memory(pages * v_bytes);
  std::vector<std::int32_t> table;
  for (index i = 0; i < pages; ++i) table.push_back(static_cast<std::int32_t>((i * 5 + 3) % pages));
  ASSERT_NE(pages % 5, 0);
  auto const view = [&]<class Codec>(Codec, aligned_memory& memory) {
    return coded_view<Codec, std::byte>(memory.span().data(), size, 2, 128,
                                        2 * Codec::row_bytes(128), Codec::row_bytes(128));
  };
  page_pool const pool{view(k_codec{}, k_memory), view(v_codec{}, v_memory), pages, k_bytes,
                       v_bytes};
  ASSERT_TRUE(store_rows(pool, table, 0, p.k.view, p.v.view).ok());
  call.kv = paged(pool, table, c.kv_len);
  EXPECT_EQ(attend_anew(call).bits(), want.bits());
}

/// One query or two, each with a key/value head of its own.
TYPED_TEST(Rounding, ARowDoesNotDependOnTheOthers) {
  problem const p({.q_len = 5, .kv_len = 150, .q_heads = 2, .kv_heads = 2, .head_dim = 128});
  kept<typename TestFixture::k_name, typename TestFixture::v_name> const in(p, 150);
  attention call = faster(p.call());
  call.kv = in.cache;
  answer const want = attend_anew(call);
  for (index const queries : {1, 2, 3, 4}) {
    range const part{5 - queries, 5};
    call.q = p.q.view.slice(part);
    EXPECT_EQ(attend_anew(call).bits(), want.bits(part)) << queries;
  }
}

/// Keys here and there, of which nobody may read the others.
TYPED_TEST(Rounding, ReadsOnlyWhatIsSeen) {
  using k_codec = codec_of<typename TestFixture::k_name>;
  using v_codec = codec_of<typename TestFixture::v_name>;
  problem const p({.q_len = 1, .kv_len = 700, .q_heads = 2, .kv_heads = 1, .head_dim = 128});
  std::vector<std::uint8_t> seen(700);
  for (std::size_t i = 0; i < seen.size(); ++i)
    seen[i] = i % 7 < 3 || (i > 120 && i < 300) || (i > 490 && i < 530);
  auto const fill = [&]<class Codec>(Codec, tensor const& from, unsigned char hidden) {
    index const bytes = Codec::row_bytes(128);
    std::vector<std::byte> all(static_cast<std::size_t>(700 * bytes), std::byte(hidden));
    for (index i = 0; i < 700; ++i) {
      std::byte* const to = all.data() + i * bytes;
      if (seen[static_cast<std::size_t>(i)] != 0) {
        Codec{}.template encode<default_arch>(from.view.row(i, 0), 128, 0, to);
      }
    }
    return all;
  };
  auto const ask = [&](unsigned char hidden) {
    auto const k = fill(k_codec{}, p.k, hidden);
    auto const v = fill(v_codec{}, p.v, hidden);
    attention call = p.call();
    call.kv = contiguous(coded_view<k_codec>(k.data(), 700, 1, 128, k_codec::row_bytes(128),
                                             k_codec::row_bytes(128)),
                         coded_view<v_codec>(v.data(), 700, 1, 128, v_codec::row_bytes(128),
                                             v_codec::row_bytes(128)));
    call.mask = dense_mask(seen.data(), {699, 700}, {0, 700}, 700);
    if (hidden == 0) expect_near(call);
    return attend_anew(faster(call)).bits();
  };
  EXPECT_EQ(ask(0), ask(0xff));
}

TYPED_TEST(Rounding, BlocksMayBeChosen) {
  problem const p({.q_len = 4, .kv_len = 600, .q_heads = 2, .kv_heads = 1, .head_dim = 128});
  kept<typename TestFixture::k_name, typename TestFixture::v_name> const in(p, 600);
  block_shape const blocks{.block = 16, .blocks = 40, .kv_heads = 1, .head_dim = 128};
  aligned_memory bytes(block_means::required_bytes(blocks));
  block_means means(bytes, blocks);
  ASSERT_TRUE(means.append(in.cache).ok());
  attention call = p.call();
  call.kv = in.cache;
  call.select = moba(means, 5);
  expect_near(call);
}

TYPED_TEST(Rounding, FreshRowsAreWithinTheBoundToo) {
  attention_case const c{.q_len = 3, .kv_len = 603, .q_heads = 2, .kv_heads = 2, .head_dim = 128};
  problem const p(c);
  cache_shape const shape{.window = 603, .kv_heads = 2, .head_dim = 128};
  using cache = rolling_cache<typename TestFixture::k_name, typename TestFixture::v_name>;
  aligned_memory bytes(cache::required_bytes(shape));
  cache ring(bytes, shape);
  ASSERT_TRUE(ring.append(p.k.view.slice({0, 600}), p.v.view.slice({0, 600})).ok());
  attention call = p.call();
  call.kv = joined(ring, p.k.view.slice({600, 603}), p.v.view.slice({600, 603}));
  expect_near(call);
}

TEST(RoundingOddly, WhatIsNotFiniteIsSeen) {
  attention_case const c{.q_len = 1, .kv_len = 200, .q_heads = 2, .kv_heads = 1, .head_dim = 128};
  constexpr float nan = std::numeric_limits<float>::quiet_NaN();
  for (float const odd : {nan, infinity, -infinity}) {
    problem const p(c);
    p.q.view.row(0, 1)[77] = odd;
    kept<int8, int4> const in(p, 200);
    attention call = faster(p.call());
    call.kv = in.cache;
    answer const got = attend_anew(call);
    for (index d = 0; d < 128; ++d) {
      EXPECT_TRUE(std::isfinite(got.out.view.row(0, 0)[d])) << "the other head";
      EXPECT_TRUE(std::isnan(got.out.view.row(0, 1)[d]));
    }
  }
  problem const p(c);
  p.v.view.row(66, 0)[40] = nan;
  kept<int8, int8> const in(p, 200);
  attention call = faster(p.call());
  call.kv = in.cache;
  answer const got = attend_anew(call);
  for (index d = 0; d < 128; ++d) {
    EXPECT_EQ(std::isnan(got.out.view.row(0, 0)[d]), d / 32 == 1) << "its group of channels";
  }
}

}  // namespace
}  // namespace oriel::test
