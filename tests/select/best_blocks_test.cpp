// SPDX-License-Identifier: BSL-1.0
#include "oriel/select/best_blocks.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "tensors.hpp"

namespace oriel::test {
namespace {

using list = std::vector<index>;

/// The rule, block by block.
template <class Kind>
list chosen_by_rule(block_summary<Kind> const& of, block_budget const& budget,
                    choosing_row const& row) {
  index const block = of.shape().block;
  index const own = row.position / block;
  std::set<index> taken{own};
  std::vector<std::pair<float, index>> others;
  for (index b = 0; b < own; ++b) {
    if (!intersect({b * block, (b + 1) * block}, row.lost).empty()) continue;  // in part, or all
    if ((b + 1) * block <= row.keys.begin) continue;  // before the first key
    if (b < budget.first || b > own - budget.last) {
      taken.insert(b);
    } else if (of.held().contains(b) && b * block >= row.keys.begin) {
      for_each_gate<default_arch>(of, row.kv_head, &row.q, 1, {b, b + 1},
                                  [&](int, index, float g) { others.emplace_back(-g, b); });
    }
  }
  std::sort(others.begin(), others.end());  // falling gates, then rising blocks
  for (std::size_t i = 0; i < others.size() && i < static_cast<std::size_t>(budget.best); ++i) {
    taken.insert(others[i].second);
  }
  return {taken.begin(), taken.end()};
}

template <class Kind>
class BestBlocks : public testing::Test {};
using kinds = testing::Types<mean_of_keys, bounds_of_keys>;
TYPED_TEST_SUITE(BestBlocks, kinds);

TYPED_TEST(BestBlocks, FollowTheRuleForOneRowAndForMany) {
  random_numbers random(3);
  tensor const k = tensor(400, 3, 9).filled(1);
  for (index h = 0; h < 3; ++h) {  // equal blocks: ties
    for (index t = 40; t < 120; ++t) std::copy_n(k.view.row(t % 8, h), 9, k.view.row(t, h));
  }
  tensor const q = tensor(40, 6, 9).filled(2);
  for (index const blocks : {50, 20}) {
    block_shape const shape{.block = 8, .blocks = blocks, .kv_heads = 3, .head_dim = 9};
    aligned_memory bytes(block_summary<TypeParam>::required_bytes(shape));
    block_summary<TypeParam> of(bytes, shape);
    ASSERT_TRUE(of.append(k.view).ok());
    for (int trial = 0; trial < 60; ++trial) {
      block_budget const budget{
          .first = random.below(4), .last = 1 + random.below(4), .best = random.below(45)};
      best_blocks const select(of, budget);
      ASSERT_TRUE(select.check({{3, 9, 9}, 6, {0, 400}}).ok());
      std::vector<choosing_row> rows;
      for (index r = 0; r < 11; ++r) {
        index const head = random.below(6);
        index const first = random.below(3) == 0 ? random.below(200) : 0;
        bool const begins = random.below(2) == 0;  // else a ring has lost what was before
        index const nowhere = random.below(400);
        rows.push_back(
            {q.view.row(random.below(40), head),
             200 + random.below(200),
             head,
             head / 2,
             {first, 400},
             begins || first == 0 ? range{nowhere, nowhere} : range{random.below(first), first}});
      }
      list to(static_cast<std::size_t>(11 * select.most()), -7);
      list counts(11);
      select.choose(rows, to.data(), counts.data());
      for (std::size_t r = 0; r < rows.size(); ++r) {
        auto const from = to.begin() + static_cast<std::ptrdiff_t>(r) * select.most();
        list const got(from, from + counts[r]);
        EXPECT_EQ(got, chosen_by_rule(of, budget, rows[r]))
            << trial << ": first " << budget.first << ", last " << budget.last << ", keys from "
            << rows[r].keys.begin << ", lost from " << rows[r].lost.begin << " to "
            << rows[r].lost.end;
        list alone(static_cast<std::size_t>(select.most()));
        alone.resize(static_cast<std::size_t>(select.choose(rows[r], alone.data())));
        EXPECT_EQ(got, alone);
      }
    }
  }
}

/// A block that the sequence begins within is there, as far as it goes, but has no summary; one that
/// a ring has begun to overwrite is not.
TYPED_TEST(BestBlocks, ASequenceMayBeginWithinABlock) {
  block_shape const shape{.block = 4, .blocks = 9, .kv_heads = 1, .head_dim = 3};
  aligned_memory bytes(block_summary<TypeParam>::required_bytes(shape));
  block_summary<TypeParam> of(bytes, shape);
  tensor const k = tensor(15, 1, 3).filled(1);
  ASSERT_TRUE(of.append(k.view, 5).ok());  // positions 5 to 19
  float const q[3] = {1.0f, 2.0f, 3.0f};
  auto const chosen = [&](block_budget const& budget, index at, range keys, range lost = {}) {
    best_blocks const select(of, budget);
    list to(static_cast<std::size_t>(select.most()));
    to.resize(static_cast<std::size_t>(select.choose({q, at, 0, 0, keys, lost}, to.data())));
    return to;
  };
  EXPECT_EQ(chosen({.last = 2}, 9, {5, 20}), (list{1, 2}));
  EXPECT_EQ(chosen({.last = 9}, 9, {5, 20}), (list{1, 2}));
  EXPECT_EQ(chosen({.first = 2}, 19, {5, 20}), (list{1, 4}));
  EXPECT_EQ(chosen({.best = 9}, 19, {5, 20}), (list{2, 3, 4})) << "complete blocks only";
  EXPECT_EQ(chosen({.best = 9}, 19, {5, 20}, {16, 16}), (list{2, 3, 4})) << "nothing is lost";
  EXPECT_EQ(chosen({.first = 2}, 19, {5, 20}, {16, 16}), (list{1, 4}));
  EXPECT_EQ(chosen({.last = 2}, 9, {5, 20}, {2, 5}), (list{2})) << "5 is what a ring still holds";
  EXPECT_EQ(chosen({.first = 2}, 19, {5, 20}, {2, 5}), (list{4}));
  EXPECT_EQ(chosen({.first = 4}, 19, {5, 20}, {2, 5}), (list{2, 3, 4})) << "those that are whole";
  EXPECT_EQ(chosen({.first = 3}, 19, {5, 20}, {12, 16}), (list{1, 2, 4})) << "sinks, then a gap";
  EXPECT_EQ(chosen({.first = 3}, 19, {5, 20}, {11, 16}), (list{1, 4}));
  EXPECT_EQ(chosen({.first = 4}, 19, {5, 20}, {11, 12}), (list{1, 3, 4})) << "on both sides of it";
  EXPECT_EQ(chosen({.first = 1, .last = 3}, 10, {-4, 20}), (list{0, 1, 2})) << "from 0 on";
}

TYPED_TEST(BestBlocks, CheckTheirNumbers) {
  block_shape const shape{.block = 4, .blocks = 9, .kv_heads = 2, .head_dim = 3};
  aligned_memory bytes(block_summary<TypeParam>::required_bytes(shape));
  block_summary<TypeParam> of(bytes, shape);
  choosing_call const call{{2, 3, 3}, 4, {0, 4}};
  auto const checked = [&](block_budget const& budget) {
    return best_blocks(of, budget).check(call).code;
  };
  EXPECT_EQ(checked({}), errc::ok);
  EXPECT_EQ(checked({.first = 1000, .last = 20, .best = 4}), errc::ok);
  EXPECT_EQ(checked({.first = 1000, .last = 20, .best = 5}), errc::select);
  EXPECT_EQ(checked({.first = INT64_MAX, .last = INT64_MAX, .best = INT64_MAX}), errc::select);
  EXPECT_EQ(checked({.first = -1}), errc::select);
  EXPECT_EQ(checked({.last = 0}), errc::select);
  EXPECT_EQ(checked({.best = -1}), errc::select);
  best_blocks const select(of, {.first = 2, .last = 3, .best = 4});
  EXPECT_EQ(select.most(), 9);
  EXPECT_EQ(select.dense_before(), 36);
  EXPECT_EQ(select.check({{1, 3, 3}, 4, {0, 4}}).code, errc::heads);
  EXPECT_EQ(select.check({{2, 4, 3}, 4, {0, 4}}).code, errc::shape);
  EXPECT_EQ(select.check({{2, 3, 3}, 4, {0, 5}}).code, errc::select) << "keys are missing";
  using top = top_blocks<TypeParam>;
  EXPECT_EQ(top(of, 0).check(call).code, errc::select);
  EXPECT_EQ(top(of, 1025).check(call).code, errc::select);
  EXPECT_EQ(top(of, 1024).check(call).code, errc::ok);
}

}  // namespace
}  // namespace oriel::test
