// SPDX-License-Identifier: BSL-1.0
#include "oriel/attention/attend_item.hpp"

#include "oriel/mask/causal.hpp"
#include "oriel/select/listed_blocks.hpp"
#include "problem.hpp"

namespace oriel::test {
namespace {

/// Every work item of a call by itself, in one worker's scratch.
void attend_all(attention const& call, index share) {
  attend_bounds const b = bounds_of(call);
  using scratch = detail::worker_scratch<default_arch>;
  carver measured;
  scratch::carve(measured, b, b.head_dim, b.value_dim());
  aligned_memory memory(measured.used());
  carver all(memory.span().data());
  scratch own = scratch::carve(all, b, b.head_dim, b.value_dim());
  attention_batch const batch(call);
  for (detail::item_walk<default_arch> walk(batch, share); walk.next();) {
    detail::attend_item<default_arch>(own, call, walk.at(), walk.at().leaves);
  }
  EXPECT_TRUE(memory.is_untouched_behind());
}

void expect_as_defined(attention call) {
  for (index const share : {index{40}, INT64_MAX}) {  // items of one tile, of many
    answer const to(call);
    call.out = to.out.view;
    call.lse = to.lse.view;
    attend_all(call, share);
    expect_exact(call, to);
  }
}

TEST(AttendBlock, EitherKernelsBlocksAreTheCall) {
  for (index const q_len : {1, 3, 200}) {
    SCOPED_TRACE(q_len);
    problem const p({.q_len = q_len, .kv_len = 1300, .q_heads = 4, .kv_heads = 2, .head_dim = 12});
    attention call = p.call();
    call.mask = causal{};
    expect_as_defined(call);
  }
}

TEST(AttendBlock, RowsThatChooseTheirBlocksAreTiledOrGathered) {
  problem const p({.q_len = 200, .kv_len = 200, .q_heads = 2, .kv_heads = 1, .head_dim = 12});
  std::vector<std::int32_t> list;
  for (index t = 0; t < 200; ++t) {  // two blocks of 8 for each row, the later one its own
    for (index h = 0; h < 2; ++h) {
      auto const own = static_cast<std::int32_t>(t / 8);
      list.push_back((own + static_cast<std::int32_t>(h)) / 3);
      list.push_back(own);
    }
  }
  attention call = p.call();
  call.mask = causal{};
  call.select = listed_blocks{8, {list.data(), 200, 2, 2}, 0};
  attention_batch const batch(call);
  bool gathers = false;
  bool tiles = false;
  for (detail::item_walk<default_arch> walk(batch, INT64_MAX); walk.next();) {
    (walk.at().gathers() ? gathers : tiles) = true;
  }
  EXPECT_TRUE(gathers);
  EXPECT_TRUE(tiles);
  answer const to(call);
  call.out = to.out.view;
  call.lse = to.lse.view;
  attend_all(call, INT64_MAX);
  answer const whole = attend_anew(call);
  EXPECT_EQ(to.bits(), whole.bits());
}

}  // namespace
}  // namespace oriel::test
