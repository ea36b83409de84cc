// SPDX-License-Identifier: BSL-1.0
#include "oriel/attention/partition.hpp"

#include "problem.hpp"

namespace oriel::test {
namespace {

using detail::work_item;
using walk_of_blocks = detail::item_walk<default_arch>;

TEST(Partition, BlocksHoldEveryRowOnceWithinTheirShare) {
  for (attention_case const& c : attention_cases()) {
    for (layout const lies : {layout::packed, layout::head_major}) {
      attention_case strided = c;
      strided.lies = lies;
      problem const p(strided);
      attention const call = p.call();
      for (index const share : {index{1}, index{7}, index{100}, INT64_MAX}) {
        SCOPED_TRACE(::testing::Message() << strided.name() << " share " << share);
        std::vector<int> seen(static_cast<std::size_t>(c.q_len * c.q_heads));
        index cost = 0;
        index splits = 0;
        attention_batch const batch(call);
        for (walk_of_blocks walk(batch, share); walk.next();) {
          work_item const& b = walk.at();
          EXPECT_EQ(b.begin, cost);
          EXPECT_GT(b.cost, 0);
          EXPECT_TRUE(b.cost <= share || b.count == 1);
          EXPECT_EQ(b.split, b.cost > share && b.leaves.size() > 1 ? splits++ : -1);
          cost += b.cost;
          for (int i = 0; i < b.count; ++i) {
            row_tile const rows = b.rows(call, i);
            ASSERT_LE(rows.count, b.cut.tile_rows);
            for (index r = rows.first; r < rows.first + rows.count; ++r) {
              ++seen[static_cast<std::size_t>(b.head(i) * b.cut.rows + r)];
            }
          }
        }
        EXPECT_TRUE(std::all_of(seen.begin(), seen.end(), [](int n) { return n == 1; }));
      }
    }
  }
}

TEST(Partition, FewerSplitsThanShares) {
  for (attention_case const& c : attention_cases()) {
    problem const p(c);
    attention const call = p.call();
    attention_batch const batch(call);
    for (index const workers : {2, 5}) {
      attend_plan const plan = plan_attend(bounds_of(call), workers);
      detail::partition const shares = detail::cut<default_arch>(plan, batch);
      index splits = 0;
      for (walk_of_blocks walk(batch, shares.share); walk.next();) {
        if (walk.at().split >= 0) ++splits;
      }
      EXPECT_LT(splits, detail::shares_per_worker * workers) << c.name();
      EXPECT_LE(shares.tasks, detail::tasks_per_worker * workers) << c.name();
    }
  }
}

TEST(Partition, HeadsThatLieTogetherAreReadTogether) {
  attention_case c{.kv_len = 300, .q_heads = 6, .kv_heads = 3, .head_dim = 8};
  auto const largest = [&](layout lies) {
    c.lies = lies;
    problem const p(c);
    attention const call = p.call();
    attention_batch const batch(call);
    int most = 0;
    for (walk_of_blocks walk(batch, INT64_MAX); walk.next();) {
      most = std::max(most, walk.at().count);
    }
    return most;
  };
  EXPECT_EQ(largest(layout::packed), 3);
  EXPECT_EQ(largest(layout::head_major), 1);
}

}  // namespace
}  // namespace oriel::test
