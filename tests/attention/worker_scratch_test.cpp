// SPDX-License-Identifier: BSL-1.0
#include "oriel/attention/worker_scratch.hpp"

#include "oriel/select/listed_blocks.hpp"
#include "problem.hpp"

namespace oriel::test {
namespace {

using scratch = detail::worker_scratch<default_arch>;

index scratch_bytes(attend_bounds const& b) {
  carver memory;
  scratch::carve(memory, b, b.head_dim, b.value_dim());
  return memory.used();
}

TEST(WorkerScratch, TakesOnlyWhatItsBoundsNeed) {
  attend_bounds const plain{.q_len = 100, .kv_len = 500, .head_dim = 64};
  attend_bounds coded = plain;
  coded.coded = true;
  attend_bounds narrow = plain;
  narrow.narrow_q = true;
  attend_bounds chooses = plain;
  chooses.chosen_blocks = 4;
  attend_bounds longer = plain;
  longer.q_len = longer.kv_len = index{1} << 40;
  EXPECT_GT(scratch_bytes(coded), scratch_bytes(plain));
  EXPECT_GT(scratch_bytes(narrow), scratch_bytes(plain));
  EXPECT_GT(scratch_bytes(chooses), scratch_bytes(plain));
  EXPECT_EQ(scratch_bytes(longer), scratch_bytes(plain)) << "nothing grows with a call's length";
  longer.chosen_blocks = 4;
  EXPECT_LT(scratch_bytes(longer),
            scratch_bytes(plain) + detail::segment_rows * (4 * 8 + 16 + 2 * (64 + 16) * 4));
}

TEST(WorkerScratch, ACallsChoicesAreAsWideAsItsSelectorWantsThem) {
  attend_bounds const b{.q_len = 8, .kv_len = 64, .head_dim = 8, .chosen_blocks = 4};
  aligned_memory memory(scratch_bytes(b));
  carver all(memory.span().data());
  scratch const own = scratch::carve(all, b, 8, 8);
  EXPECT_EQ(own.chosen.most, 4);
  EXPECT_EQ(all.used(), scratch_bytes(b)) << "what is measured is what is used";
  problem const p({.q_len = 4, .kv_len = 64, .head_dim = 8});
  std::int32_t list[3] = {};
  attention call = p.call();
  EXPECT_EQ(own.chosen_by(call).most, 0) << "no selector";
  call.select = listed_blocks{8, {list, 4, 1, 3, 0, 0}, 36};
  EXPECT_EQ(own.chosen_by(call).most, 3) << "fewer than the bounds";
}

TEST(Choices, AreWalkedOverRowByRow) {
  index chosen[4] = {2, 5, 3, 0};
  index count[2] = {2, 1};
  index next[2] = {};
  detail::choices const all{chosen, count, next, 2};
  EXPECT_EQ(all.at(0), 2);
  EXPECT_EQ(all.at(1), 3);
  next[0] = 1;
  EXPECT_EQ(all.at(0), 5);
  next[0] = 2;
  EXPECT_EQ(all.at(0), INT64_MAX) << "all done";
  EXPECT_EQ(all.from(1).at(0), 3);
}

}  // namespace
}  // namespace oriel::test
