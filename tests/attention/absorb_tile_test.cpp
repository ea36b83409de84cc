// SPDX-License-Identifier: BSL-1.0
#include "oriel/attention/absorb_tile.hpp"

#include "oriel/mask/causal.hpp"
#include "oriel/mask/sliding_window.hpp"
#include "oriel/score/bias.hpp"
#include "oriel/score/softcap.hpp"
#include "step_recorder.hpp"

namespace oriel::test {
namespace {

using steps = std::vector<std::string>;

/// Four queries at 296 to 299 of 300 keys, and the steps for keys of the third tile, or of the one
/// that begins elsewhere.
struct third_tile {
  problem p{{.q_len = 4, .kv_len = 300, .head_dim = 8}};
  attention call = p.call();
  steps made;
  step_recorder kernel{.name = "", .steps = &made};

  steps const& absorb(range keys, int rows = 4, index begin = 256) {
    std::uint64_t word[300];
    detail::key_order const order{.held = call.kv.positions(), .end = 300};
    detail::absorb_tile(kernel, call, 0, row_tile{0, rows, 1, 296}, nullptr, order, keys, begin,
                        word, nullptr);
    return made;
  }
};

TEST(AbsorbTile, AHiddenTileIsNotTouched) {
  third_tile of;
  of.call.mask = causal{} & sliding_window{2};
  EXPECT_EQ(of.absorb({256, 280}), steps{});
}

TEST(AbsorbTile, AVisibleTileIsNotMasked) {
  third_tile of;
  of.call.mask = causal{};
  EXPECT_EQ(of.absorb({256, 296}),
            (steps{"score [256, 296) at 0", "absorb [0, 40)", "begin_values [0, 40)",
                   "of [256, 296) at 0", "accumulate [256, 296) at 0", "end_values"}));
}

TEST(AbsorbTile, ValuesOfALongTileAreReadInParts) {
  third_tile of;
  of.call.mask = causal{};
  EXPECT_EQ(of.absorb({100, 290}, 4, 0),
            (steps{"score [100, 290) at 100", "absorb [100, 290)", "begin_values [100, 128)",
                   "of [100, 128) at 100", "accumulate [100, 128) at 100", "end_values",
                   "begin_values [128, 256)", "of [128, 256) at 128",
                   "accumulate [128, 256) at 128", "end_values", "begin_values [256, 290)",
                   "of [256, 290) at 256", "accumulate [256, 290) at 256", "end_values"}));
  of.made.clear();
  of.call.mask = causal{} & sliding_window{170};
  of.absorb({100, 299}, 4, 0);
  EXPECT_EQ(of.made[1], "hide [100, 299)");
  EXPECT_EQ(of.made[4], "of [127, 128) at 127") << "some row sees it";
}

TEST(AbsorbTile, APartialTileIsMaskedAndOnlyKeysThatSomeRowSeesAreRead) {
  third_tile of;
  of.call.mask = causal{} & sliding_window{3};
  of.call.score = softcap{2.0f};
  EXPECT_EQ(of.absorb({290, 300}),
            (steps{"score [294, 300) at 38", "scores 34", "hide [34, 44)", "absorb [34, 44)",
                   "begin_values [34, 44)", "of [294, 300) at 38", "accumulate [294, 300) at 38",
                   "end_values"}));
  EXPECT_EQ(of.kernel.hidden, (std::vector<std::uint64_t>{0, 0, 0, 0, 0b0001, 0b0011, 0b0111,
                                                          0b1110, 0b1100, 0b1000}));
}

TEST(AbsorbTile, OfOneRowKeysThatTheScoreHidesAreNotReadAsValues) {
  third_tile of;
  std::vector<float> table(300, 0.0f);
  table[280] = -infinity;
  of.call.mask = causal{};
  of.call.score = bias{table.data(), {0, 300}, {0, 300}, 0, 0};
  EXPECT_EQ(of.absorb({270, 290}, 1),
            (steps{"score [270, 290) at 14", "scores 14", "absorb [14, 34)",
                   "begin_values [14, 34)", "of [270, 280) at 14", "of [281, 290) at 25",
                   "accumulate [270, 280) at 14", "accumulate [281, 290) at 25", "end_values"}));
}

}  // namespace
}  // namespace oriel::test
