// SPDX-License-Identifier: BSL-1.0
// Rows that attend to blocks of their choice.
#include <utility>

#include "oriel/attention/attend.hpp"
#include "oriel/attention/merge.hpp"
#include "oriel/cache/joined.hpp"
#include "oriel/cache/rolling_cache.hpp"
#include "oriel/mask/both.hpp"
#include "oriel/mask/causal.hpp"
#include "oriel/mask/chunked.hpp"
#include "oriel/mask/documents.hpp"
#include "oriel/mask/sliding_window.hpp"
#include "oriel/score/softcap.hpp"
#include "oriel/select/listed_blocks.hpp"
#include "oriel/select/moba.hpp"
#include "oriel/select/quest.hpp"
#include "problem.hpp"
#include "threads.hpp"

namespace oriel::test {
namespace {

/// 2 kv heads, keys of 24 and values of 40 floats.
struct wide_ring {
  cache_shape shape;
  aligned_memory memory{rolling_cache<f32>::required_bytes(shape)};
  rolling_cache<f32> cache{memory, shape};

  explicit wide_ring(index window, index sinks = 0)
      : shape{.window = window, .kv_heads = 2, .head_dim = 24, .v_dim = 40, .sinks = sinks} {}
};

/// A call of the last query, over a ring that has overwritten all keys but those of its window, and
/// of its sinks. What a gate chooses is held whole, but for the query's own block; a list names
/// what it likes.
void expect_exact_through_a_ring(problem const& of, index window, attention last, index sinks = 0) {
  wide_ring ring(window, sinks);
  ASSERT_TRUE(ring.cache.append(of.k.view, of.v.view).ok());
  last.mask = causal{} & (sliding_window{window} | prefix{sinks});
  last.kv = ring.cache;
  expect_exact(last, attend_anew(last));
  if (last.select.dense_before() < 0) return;  // a list
  range const lost = last.kv.lost(), held = last.kv.positions();
  index const block = last.select.block(), own = of.of.kv_len - 1;
  std::vector<index> chosen(static_cast<std::size_t>(max_of(last.select.most(), 1)));
  for (index h = 0; h < 6; ++h) {
    index const count = last.select.choose(
        {last.q.as<float>().row(0, h), own, h, h / 3, held, lost}, chosen.data());
    for (index i = 0; i < count; ++i) {
      range const keys{chosen[static_cast<std::size_t>(i)] * block,
                       (chosen[static_cast<std::size_t>(i)] + 1) * block};
      if (keys.contains(own)) continue;
      EXPECT_TRUE(intersect(keys, lost).empty() && keys.begin >= held.begin) << keys.begin;
    }
  }
}

struct moba_case {
  index block;
  index top_k;
};

class Moba : public testing::TestWithParam<moba_case> {
 protected:
  static constexpr index tokens = 400;
  index const block = GetParam().block;
  index const top_k = GetParam().top_k;
  problem const of{{.q_len = tokens,
                    .kv_len = tokens,
                    .q_heads = 6,
                    .kv_heads = 2,
                    .head_dim = 24,
                    .v_dim = 40}};
  block_shape const shape{
      .block = block, .blocks = tokens / block + 1, .kv_heads = 2, .head_dim = 24};
  aligned_memory bytes{block_means::required_bytes(shape)};
  block_means means{bytes, shape};

  void SetUp() override { ASSERT_TRUE(means.append(of.k.view).ok()); }

  attention call(range part = {0, tokens}) const {
    attention all = of.call();
    all.q = of.q.view.slice(part);
    all.first_query = part.begin;
    all.select = moba(means, top_k);
    return all;
  }
};

TEST_P(Moba, EqualsTheDefinition) {
  expect_exact(call(), attend_anew(call()));
  for (range const part : {range{280, 350}, {399, 400}, {390, 392}}) {
    attention some = call(part);
    expect_exact(some, attend_anew(some));
    some.mask = causal{} & sliding_window{100};
    expect_exact(some, attend_anew(some));
    index const bounds[] = {0, 250, 400};
    some.mask = causal{} & documents{bounds};
    some.score = softcap{3.0f};
    expect_exact(some, attend_anew(some));
  }
}

TEST_P(Moba, RowsBelowBlockTimesTopKAreDense) {
  index const dense = min_of(block * top_k, tokens);
  attention plain = call();
  plain.select = {};
  EXPECT_EQ(attend_anew(call()).bits({0, dense}), attend_anew(plain).bits({0, dense}));
}

/// Any cut into pieces, through a ring, on any threads: the bits of one call.
TEST_P(Moba, CutsThreadsAndRingsChangeNoBit) {
  attention whole = call();
  whole.kernel = kernel_choice::row_lanes;
  answer const want = attend_anew(whole);
  static threads pool(2);
  EXPECT_EQ(attend_anew(whole, pool).bits(), want.bits());
  for (index const piece : {1, 37, 256}) {
    wide_ring ring(tokens, piece);  // with sinks, and nothing is lost
    rolling_cache<f32>& cache = ring.cache;
    aligned_memory own_bytes(block_means::required_bytes(shape));
    block_means own(own_bytes, shape);
    for (index at = 0; at < tokens; at += piece) {
      range const part{at, min_of(at + piece, tokens)};
      tensor_view<float const> const k = of.k.view.slice(part);
      ASSERT_TRUE(own.append(k).ok());
      attention step = whole;
      step.q = of.q.view.slice(part);
      step.kv = joined(cache, k, of.v.view.slice(part));
      step.first_query = std::nullopt;
      step.select = moba(own, top_k);
      ASSERT_EQ(attend_anew(step).bits(), want.bits(part)) << at << " by " << piece;
      ASSERT_TRUE(cache.append(k, of.v.view.slice(part)).ok());
    }
  }
}

TEST_P(Moba, ARingThatHasOverwrittenBlocks) {
  expect_exact_through_a_ring(of, 3 * block + 5, call({tokens - 1, tokens}));
}

TEST_P(Moba, SinksBesideARing) {
  for (index const sinks : {index{1}, block, 2 * block + 1}) {
    expect_exact_through_a_ring(of, 2 * block + 5, call({tokens - 1, tokens}), sinks);
  }
}

TEST_P(Moba, WhatNoRowChoosesIsNotRead) {
  attention last = call({tokens - 2, tokens});
  answer const want = attend_anew(last);
  std::vector<bool> read(static_cast<std::size_t>(tokens / block + 1));
  index chosen[64];
  for (index t = 0; t < 2; ++t) {
    for (index h = 0; h < 6; ++h) {
      index const count = last.select.choose(
          {last.q.as<float>().row(t, h), tokens - 2 + t, h, h / 3, {0, tokens}}, chosen);
      for (index i = 0; i < count; ++i) read[static_cast<std::size_t>(chosen[i])] = true;
    }
  }
  if (tokens - 2 < last.select.dense_before()) GTEST_SKIP() << "all is read";
  problem const spoiled(of.of);
  for (index t = 0; t < tokens; ++t) {
    if (read[static_cast<std::size_t>(t / block)]) continue;
    auto const spoil = [](float& x) { x = std::bit_cast<float>(canary); };
    for_each_element(spoiled.k.view.slice({t, t + 1}), spoil);
    for_each_element(spoiled.v.view.slice({t, t + 1}), spoil);
  }
  last.kv = contiguous(spoiled.k.view, spoiled.v.view);
  EXPECT_EQ(attend_anew(last).bits(), want.bits());
}

INSTANTIATE_TEST_SUITE_P(Cases, Moba,
                         testing::Values(moba_case{64, 3}, moba_case{64, 1}, moba_case{50, 2},
                                         moba_case{16, 6}, moba_case{128, 3}, moba_case{300, 2},
                                         moba_case{1000, 2}, moba_case{1, 4}),
                         [](auto const& tested) {
                           return "block" + std::to_string(tested.param.block) + "_top" +
                                  std::to_string(tested.param.top_k);
                         });

enum class chosen_by { means, bounds, sinks_and_means, sinks_and_bounds, list };
struct selector_case {
  char const* name;
  chosen_by by;
  index block;
};

/// 400 tokens, 6 heads on 2; every selector.
class Selectors : public testing::TestWithParam<selector_case> {
 protected:
  static constexpr index tokens = 400, most = 6;
  index const block = GetParam().block;
  problem const of{{.q_len = tokens,
                    .kv_len = tokens,
                    .q_heads = 6,
                    .kv_heads = 2,
                    .head_dim = 24,
                    .v_dim = 40}};
  block_shape const shape{
      .block = block, .blocks = tokens / block + 1, .kv_heads = 2, .head_dim = 24};
  aligned_memory means_bytes{block_means::required_bytes(shape)};
  aligned_memory bounds_bytes{block_bounds::required_bytes(shape)};
  block_means means{means_bytes, shape};
  block_bounds bounds{bounds_bytes, shape};
  std::vector<std::int32_t> lists = std::vector<std::int32_t>(tokens * 6 * most);

  void SetUp() override {
    ASSERT_TRUE(means.append(of.k.view).ok());
    ASSERT_TRUE(bounds.append(of.k.view).ok());
    random_numbers random(7);
    for (std::int32_t& b : lists) {
      b = static_cast<std::int32_t>(random.below(tokens / block + 3)) - 1;
    }
  }

  /// For the queries `part`.
  any_selector select(range part = {0, tokens}) const {
    block_budget const budget{.first = 1, .last = 2, .best = 3};
    switch (GetParam().by) {
      case chosen_by::means: return moba(means, most);
      case chosen_by::bounds: return quest(bounds, most);
      case chosen_by::sinks_and_means: return best_blocks(means, budget);
      case chosen_by::sinks_and_bounds: return best_blocks(bounds, budget);
      case chosen_by::list: break;
    }
    std::int32_t const* const first = lists.data() + part.begin * 6 * most;
    return listed_blocks{
        .keys = block, .lists = {first, part.size(), 6, most}, .first_query = part.begin};
  }
  attention call(range part = {0, tokens}) const {
    attention some = of.call();
    some.q = of.q.view.slice(part);
    some.first_query = part.begin;
    some.mask = causal{};
    some.select = select(part);
    return some;
  }
};

TEST_P(Selectors, EqualTheDefinitionUnderEveryMask) {
  index const bounds_of_documents[] = {0, 250, 400};
  any_mask const masks[] = {causal{}, causal{} & sliding_window{100}, causal{} & chunked{90},
                            causal{} & documents{bounds_of_documents}};
  for (any_mask const& mask : masks) {
    for (range const part : {range{0, 400}, {280, 350}, {399, 400}, {390, 392}}) {
      if (part.size() == tokens && &mask != masks) continue;  // the whole once: it takes longest
      attention some = call(part);
      some.mask = mask;
      some.score = softcap{3.0f};
      expect_exact(some, attend_anew(some));
    }
  }
}

TEST_P(Selectors, CutsThreadsAndRingsChangeNoBit) {
  attention whole = call();
  whole.kernel = kernel_choice::row_lanes;
  answer const want = attend_anew(whole);
  static threads pool(2);
  EXPECT_EQ(attend_anew(whole, pool).bits(), want.bits());
  wide_ring ring(tokens);
  rolling_cache<f32>& cache = ring.cache;
  for (index at = 0; at < tokens; at += 37) {
    range const part{at, min_of(at + 37, tokens)};
    tensor_view<float const> const k = of.k.view.slice(part);
    tensor_view<float const> const v = of.v.view.slice(part);
    attention step = call(part);
    step.kernel = kernel_choice::row_lanes;
    step.kv = joined(cache, k, v);
    EXPECT_EQ(attend_anew(step).bits(), want.bits(part)) << at;
    ASSERT_TRUE(cache.append(k, v).ok());
  }
}

TEST_P(Selectors, ARingThatHasOverwrittenBlocks) {
  expect_exact_through_a_ring(of, 3 * block + 5, call({tokens - 1, tokens}));
}

TEST_P(Selectors, SinksBesideARing) {
  for (index const sinks : {index{1}, block, 2 * block + 1}) {
    expect_exact_through_a_ring(of, 2 * block + 5, call({tokens - 1, tokens}), sinks);
  }
}

/// What rows choose, by a list, and what they do not: together all of it.
TEST_P(Selectors, APartOfChoiceAndTheRestMergeToTheWhole) {
  attention all = call();
  any_selector const chooses = all.select;
  all.select = {};
  index const blocks = tokens / block + 1;
  std::vector<std::int32_t> chosen(static_cast<std::size_t>(tokens * 6 * blocks), -1);
  std::vector<std::int32_t> rest = chosen;
  for (index t = 0; t < tokens; ++t) {
    for (index h = 0; h < 6; ++h) {
      index to[most];
      index const count = t < chooses.dense_before()
                              ? 0
                              : chooses.choose({of.q.view.row(t, h), t, h, h / 3, {0, tokens}}, to);
      for (index b = 0; b < blocks; ++b) {
        bool const takes = std::find(to, to + count, b) != to + count;
        auto const at = static_cast<std::size_t>((t * 6 + h) * blocks + b);
        (takes ? chosen : rest)[at] = static_cast<std::int32_t>(b);
      }
    }
  }
  auto const attend_to = [&](std::vector<std::int32_t> const& list) {
    attention part = all;
    part.select = listed_blocks{.keys = block, .lists = {list.data(), tokens, 6, blocks}};
    return attend_anew(part);
  };
  answer const one = attend_to(chosen);
  answer const other = attend_to(rest);
  answer merged(all);
  partial const parts[] = {{one.out.view, one.lse.view}, {other.out.view, other.lse.view}};
  ASSERT_TRUE(merge(parts, merged.out.view, merged.lse.view).ok());
  expect_exact(all, merged);
  if (chooses.dense_before() > 0) {
    attention choosing = all;
    choosing.select = chooses;
    range const late{min_of(chooses.dense_before(), tokens), tokens};
    exact_answer const want(choosing);
    for (index t = late.begin; t < late.end; ++t) {
      for (index h = 0; h < 6; ++h) {
        EXPECT_NEAR(*one.lse.view.row(t, h), want.lse[static_cast<std::size_t>(t * 6 + h)], 1e-5);
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(
    Cases, Selectors,
    testing::Values(selector_case{"Moba16", chosen_by::means, 16},
                    selector_case{"Quest16", chosen_by::bounds, 16},
                    selector_case{"Quest50", chosen_by::bounds, 50},
                    selector_case{"SinksAndMeans10", chosen_by::sinks_and_means, 10},
                    selector_case{"SinksAndBounds33", chosen_by::sinks_and_bounds, 33},
                    selector_case{"List7", chosen_by::list, 7},
                    selector_case{"List64", chosen_by::list, 64}),
    [](auto const& tested) { return std::string(tested.param.name); });

/// The means of all of some keys, in blocks of `block`.
struct taken_means {
  block_shape shape;
  aligned_memory bytes;
  block_means means;
  oriel::status status;

  taken_means(tensor_view<float const> keys, index block)
      : shape{.block = block,
              .blocks = ceil_div(keys.tokens, block),
              .kv_heads = keys.heads,
              .head_dim = keys.dim},
        bytes(block_means::required_bytes(shape)),
        means(bytes, shape),
        status(means.append(keys)) {}
};

TEST(MobaBatch, MixesWithDenseSequencesAndManySegments) {
  // 1100 tokens of 4 heads on 1 are 4400 rows: two segments.
  problem const a({.q_len = 1100, .kv_len = 1100, .q_heads = 4, .kv_heads = 1, .head_dim = 8});
  problem const b({.q_len = 100, .kv_len = 100, .q_heads = 4, .kv_heads = 1, .head_dim = 8});
  taken_means const taken(a.k.view, 40);
  ASSERT_TRUE(taken.status.ok());
  attention first = a.call();
  first.select = moba(taken.means, 3);
  expect_exact(first, attend_anew(first));
  attention second = b.call();
  answer first_to(first), second_to(second);
  first.out = first_to.out.view, second.out = second_to.out.view;
  first.lse = first_to.lse.view, second.lse = second_to.lse.view;
  attention const calls[] = {first, second};
  static threads pool(2);
  aligned_memory scratch(plan_attend(bounds_of(calls), 2).workspace_bytes());
  ASSERT_TRUE(attend(attention_batch(calls), scratch, pool).ok());
  EXPECT_EQ(first_to.bits(), attend_anew(first).bits());
  EXPECT_EQ(second_to.bits(), attend_anew(second).bits());
}

TEST(MobaOddly, WhatIsNotANumberInAQueryIsSeenInItsRowOnly) {
  problem const p({.q_len = 1100, .kv_len = 1100, .head_dim = 8});
  taken_means const taken(p.k.view, 40);
  ASSERT_TRUE(taken.status.ok());
  attention call = p.call();
  call.select = moba(taken.means, 3);
  index const odd = 1097;
  answer const without = attend_anew(call);
  p.q.view.row(odd, 0)[5] = std::numeric_limits<float>::quiet_NaN();
  for (range const part : {range{0, 1100}, {odd - 1, 1100}}) {  // gathered, and decoded
    call.q = p.q.view.slice(part);
    answer const got = attend_anew(call);
    for (index d = 0; d < 8; ++d) {
      EXPECT_TRUE(std::isnan(got.out.view.row(odd - part.begin, 0)[d])) << part.begin;
    }
    EXPECT_TRUE(std::isfinite(got.out.view.row(odd + 1 - part.begin, 0)[0])) << part.begin;
    if (part.begin == 0) {
      EXPECT_EQ(got.bits({0, odd}), without.bits({0, odd}));
    }
  }
}

/// Keys before position 0 belong to no block that can be chosen, and are seen by rows that see all.
TEST(MobaOddly, PositionsMayBeNegative) {
  problem const p({.q_len = 377, .kv_len = 377, .head_dim = 8});
  taken_means const taken(p.k.view.slice({20, 377}), 27);
  ASSERT_TRUE(taken.status.ok());
  attention call = p.call();
  call.kv = contiguous(p.k.view, p.v.view, -20);
  call.select = moba(taken.means, 4);
  call.kernel = kernel_choice::row_lanes;
  answer const whole = attend_anew(call);
  expect_exact(call, whole);
  for (range const part : {range{0, 96}, {96, 97}, {97, 377}}) {
    attention piece = call;
    piece.q = p.q.view.slice(part);
    piece.first_query = part.begin - 20;
    EXPECT_EQ(attend_anew(piece).bits(), whole.bits(part)) << part.begin;
  }
}

/// Rows that walk over all keys, the others' blocks hidden; rows that are gathered; and decode.
TEST(MobaOddly, AValueThatIsNotFiniteReachesTheRowsThatSeeItOnly) {
  problem const p({.q_len = 1100, .kv_len = 1100, .q_heads = 2, .kv_heads = 1, .head_dim = 8});
  taken_means const taken(p.k.view, 40);
  ASSERT_TRUE(taken.status.ok());
  attention call = p.call();
  call.select = moba(taken.means, 3);
  index const parts[] = {0, 1097};
  std::vector<answer> without;
  for (index const begin : parts) {
    call.q = p.q.view.slice({begin, 1100});
    without.push_back(attend_anew(call));
  }
  for (index const at : {130, 600, 1098}) {
    float& x = p.v.view.row(at, 0)[5];
    float const kept = std::exchange(x, infinity);
    for (index i = 0; i < 2; ++i) {
      call.q = p.q.view.slice({parts[i], 1100});
      answer const got = attend_anew(call);
      exact_answer const want(call);
      index others = 0;
      for (index t = 0; t < call.q.tokens; ++t) {
        for (index h = 0; h < 2; ++h) {
          float const* const row = got.out.view.row(t, h);
          bool const sees = !std::isfinite(want.out[static_cast<std::size_t>((t * 2 + h) * 8 + 5)]);
          others += sees ? 0 : 1;
          for (index d = 0; d < 8; ++d) {
            if (sees && d == 5) {
              EXPECT_FALSE(std::isfinite(row[d])) << at << ", token " << t;
            } else {
              EXPECT_EQ(row[d], without[static_cast<std::size_t>(i)].out.view.row(t, h)[d])
                  << at << ", token " << t << ", " << d;
            }
          }
        }
      }
      EXPECT_GT(others, 0);
    }
    x = kept;
  }
}

/// At the paper's longest setting nothing grows with tokens x blocks: 5 % of q, k, v and out would
/// be 430 MB.
TEST(MobaBatch, ExtraBytesAtHalfAMillionTokens) {
  constexpr index tokens = 524288, heads = 8, dim = 128;
  index const means = block_means::required_bytes(
      {.block = 8192, .blocks = tokens / 8192, .kv_heads = heads, .head_dim = dim});
  attend_bounds bounds{.q_len = tokens,
                       .kv_len = tokens,
                       .q_heads = heads,
                       .kv_heads = heads,
                       .head_dim = dim,
                       .chosen_blocks = 3};
  index const scratch = plan_attend(bounds).workspace_bytes();
  EXPECT_LE(means + scratch, 4 << 20);
  EXPECT_LE(means + scratch, (4 * tokens * heads * dim * 4) / 20);
  bounds.coded = bounds.narrow_q = true;  // all of 16 bits
  EXPECT_LE(means + plan_attend(bounds).workspace_bytes(), (4 * tokens * heads * dim * 2) / 20);
}

TEST(MobaBatch, APlanKnowsOfSelectors) {
  problem const p({.q_len = 30, .kv_len = 30, .head_dim = 8});
  block_shape const shape{.block = 4, .blocks = 8, .kv_heads = 1, .head_dim = 8};
  aligned_memory bytes(block_means::required_bytes(shape));
  block_means means(bytes, shape);
  attention call = p.call();
  call.select = moba(means, 2);
  answer to(call);
  call.out = to.out.view;
  EXPECT_EQ(check(call).code, errc::select) << "no keys were taken";
  ASSERT_TRUE(means.append(p.k.view).ok());
  EXPECT_TRUE(check(call).ok());
  attend_bounds dense = bounds_of(call);
  dense.chosen_blocks = 1;
  attend_plan const plan = plan_attend(dense);
  aligned_memory scratch(plan_attend(bounds_of(call)).workspace_bytes());
  EXPECT_EQ(attend(plan, call, scratch).code, errc::plan);
  EXPECT_EQ(plan_attend({.head_dim = 8, .chosen_blocks = -1}).check().code, errc::shape);
}

}  // namespace
}  // namespace oriel::test
