// SPDX-License-Identifier: BSL-1.0
#include "oriel/attention/attend_tiles.hpp"

#include "oriel/mask/causal.hpp"
#include "step_recorder.hpp"

namespace oriel::test {
namespace {

using steps = std::vector<std::string>;
using scratch = detail::worker_scratch<default_arch>;

/// Scratch of one worker for a call.
struct worker {
  attend_bounds bounds;
  aligned_memory memory;
  scratch own;

  explicit worker(attention const& call)
      : bounds(bounds_of(call)), memory(bytes(bounds)), own(carve(carver(memory.span().data()))) {}

 private:
  static index bytes(attend_bounds const& b) {
    carver measured;
    scratch::carve(measured, b, b.head_dim, b.value_dim());
    return measured.used();
  }
  scratch carve(carver all) const {
    return scratch::carve(all, bounds, bounds.head_dim, bounds.value_dim());
  }
};

TEST(AttendTiles, TilesTakeTurnsAtEachKeyTileAndLeavesAreMergedInOrder) {
  problem const p({.q_len = 4, .kv_len = 1100, .head_dim = 8});
  attention call = p.call();
  call.mask = full{};
  worker of(call);
  steps made;
  step_recorder kernels[2] = {{.name = "a ", .steps = &made}, {.name = "b ", .steps = &made}};
  detail::tile_group g;
  g.add({0, 2, 1, 1096}, 0, key_ranges({1000, 1100}));
  g.add({2, 2, 1, 1096}, 0, key_ranges({1030, 1100}));
  detail::attend_tiles(kernels, of.own, call, g, detail::leaves_of(g.any));
  steps some;
  for (std::string const& step : made) {
    if (step.find("values") == std::string::npos && step.find(" of") == std::string::npos &&
        step.find("accumulate") == std::string::npos) {
      some.push_back(step);
    }
  }
  EXPECT_EQ(some,
            (steps{"a begin", "b begin", "a begin_leaf", "b begin_leaf",
                   "a score [1000, 1024) at 104", "a absorb [104, 128)", "a end_leaf", "b end_leaf",
                   "a begin_leaf", "b begin_leaf", "a score [1024, 1100) at 0", "a absorb [0, 76)",
                   "b score [1030, 1100) at 6", "b absorb [6, 76)", "a end_leaf", "b end_leaf"}));
}

TEST(EndTile, RowsThatSeeAValueThatIsNotFiniteAttendAgainEachAlone) {
  problem const p({.q_len = 4, .kv_len = 40, .head_dim = 8});
  attention call = p.call();
  call.mask = causal{};
  float& spoiled = p.v.view.row(38, 0)[3];
  spoiled = infinity;
  worker of(call);
  detail::tile_group g;
  row_tile const rows{0, 4, 1, 36};
  g.add(rows, 0, key_ranges({0, 40}));
  key_ranges const leaves = detail::leaves_of(g.any);
  detail::attend_tiles(of.own.flash, of.own, call, g, leaves);
  detail::end_tile(of.own.flash[0], of.own, call, g, 0, leaves, of.own.state);
  for (int r = 0; r < 4; ++r) {
    float const* const o = of.own.state.acc + r * of.own.state.stride();
    for (int d = 0; d < 8; ++d) {
      EXPECT_EQ(std::isfinite(o[d]), r < 2 || d != 3) << "row " << r << ", channel " << d;
    }
  }
}

TEST(WriteRows, OutAndLseOfEachRowAndItsHead) {
  problem const p({.q_len = 2, .kv_len = 2, .q_heads = 2, .kv_heads = 1, .head_dim = 2});
  attention call = p.call();
  answer to(call);
  call.out = to.out.view;
  call.lse = to.lse.view;
  worker of(call);
  auto const& state = of.own.state;
  state.reset(4);
  for (int r = 0; r < 4; ++r) {  // two heads of the first token, then of the second
    state.m[r] = static_cast<float>(r);
    state.l[r] = 2.0f;
    for (int d = 0; d < 2; ++d) state.acc[r * state.stride() + d] = static_cast<float>(10 * r + d);
  }
  detail::write_rows(call, 0, row_tile{0, 4, 2, 0}, state);
  for (index t = 0; t < 2; ++t) {
    for (index h = 0; h < 2; ++h) {
      float const r = static_cast<float>(2 * t + h);
      EXPECT_FLOAT_EQ(to.out.view.row(t, h)[0], 5.0f * r);
      EXPECT_FLOAT_EQ(to.out.view.row(t, h)[1], 5.0f * r + 0.5f);
      EXPECT_FLOAT_EQ(*to.lse.view.row(t, h), (r + 1.0f) * std::log(2.0f));
    }
  }
}

}  // namespace
}  // namespace oriel::test
