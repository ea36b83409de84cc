// SPDX-License-Identifier: BSL-1.0
#include "oriel/interop/describe.hpp"

#include <gtest/gtest.h>

#include "oriel/oriel.hpp"

namespace oriel {
namespace {

TEST(Describe, ALinePerQueryACharacterPerKey) {
  EXPECT_EQ(describe(causal{} & sliding_window{2}, {0, 4}, {0, 5}),
            "   keys 0 to 4\n"
            "0  #....\n"
            "1  ##...\n"
            "2  .##..\n"
            "3  ..##.\n");
}

TEST(Describe, LabelsAlign) {
  EXPECT_EQ(describe(causal{}, {9, 11}, {8, 11}),
            "    keys 8 to 10\n"
            " 9  ##.\n"
            "10  ###\n");
  EXPECT_EQ(describe(full{}, {-1, 1}, {0, 2}),
            "    keys 0 to 1\n"
            "-1  ##\n"
            " 0  ##\n");
}

TEST(Describe, TilesAsKernelsAskForThem) {
  EXPECT_EQ(describe(causal{}, {0, 12}, {0, 13}, 4),
            "    keys 0 to 12\n"
            " 0  +...\n"
            " 4  #+..\n"
            " 8  ##+.\n");
}

TEST(Describe, NothingToShow) {
  EXPECT_EQ(describe(causal{}, {0, 0}, {0, 0}), "    keys 0 to -1\n");
  EXPECT_EQ(describe(causal{}, {0, 1}, {0, 1}, -5), "   keys 0 to 0\n0  #\n");
  EXPECT_EQ(describe(causal{}, {1, 2}, {0, 1}, INT64_MAX), "   keys 0 to 0\n1  #\n");
}

}  // namespace
}  // namespace oriel
