// SPDX-License-Identifier: BSL-1.0
#include "oriel/cache/rope.hpp"

#include <gtest/gtest.h>

#include <vector>

namespace oriel {
namespace {

TEST(Rope, ChecksNameTheRule) {
  std::vector<float> const two(2, 0.5f);
  double const nan = __builtin_nan("");
  struct test_case {
    rope of;
    errc code;
    char const* what;
  };
  char const* const even = "rope.dim must be even and at least 2";
  char const* const theta = "rope.theta must be finite and above 0";
  for (auto const& [of, code, what] : {
           test_case{{.dim = 2}, errc::ok, "ok"},
           {{.dim = 8}, errc::ok, "ok"},
           {{.dim = 4, .frequencies = two}, errc::ok, "ok"},
           {{.dim = 4, .theta = -1, .frequencies = two}, errc::ok, "ok"},
           {{}, errc::shape, even},
           {{.dim = -2}, errc::shape, even},
           {{.dim = 3}, errc::shape, even},
           {{.dim = 10}, errc::shape, "rope.dim must not exceed head_dim"},
           {{.dim = 8, .theta = 0}, errc::shape, theta},
           {{.dim = 8, .theta = nan}, errc::shape, theta},
           {{.dim = 8, .theta = HUGE_VAL}, errc::shape, theta},
           {{.dim = 8, .frequencies = two},
            errc::shape,
            "rope.frequencies must be empty or hold dim / 2"},
       }) {
    EXPECT_EQ(of.check(8).code, code) << what;
    EXPECT_STREQ(of.check(8).what, what);
  }
}

TEST(Rope, TurnsPairsAsThePaperDoes) {
  for (rope_pairs const pairs : {rope_pairs::halves, rope_pairs::neighbours}) {
    rope const by{.dim = 6, .pairs = pairs, .theta = 500.0};
    for (index const distance : {index{0}, index{1}, index{-7}, index{100'000}, index{1} << 40}) {
      std::vector<float> row{1, 2, 3, 4, 5, 6, 7}, angles(6);
      std::vector<float> const before = row;
      by.cos_sin(distance, angles.data());
      by.rotate(angles.data(), row.data());
      EXPECT_EQ(row[6], 7.0f) << "behind dim nothing turns";
      for (std::size_t i = 0; i < 3; ++i) {
        std::size_t const a = pairs == rope_pairs::halves ? i : 2 * i;
        std::size_t const b = pairs == rope_pairs::halves ? i + 3 : 2 * i + 1;
        double const angle =
            static_cast<double>(distance) * std::pow(500.0, -2.0 * static_cast<double>(i) / 6.0);
        double const x = before[a], y = before[b];
        EXPECT_NEAR(row[a], x * std::cos(angle) - y * std::sin(angle), 2e-6);
        EXPECT_NEAR(row[b], x * std::sin(angle) + y * std::cos(angle), 2e-6);
        if (distance == 0) {
          EXPECT_EQ(row[a], before[a]);
        }
      }
    }
  }
}

TEST(Rope, TakesATableOfFrequencies) {
  std::vector<float> const table{0.25f, 2.0f};
  rope const by{.dim = 4, .frequencies = table};
  std::vector<float> angles(4);
  by.cos_sin(3, angles.data());
  EXPECT_FLOAT_EQ(angles[0], std::cos(0.75f));
  EXPECT_FLOAT_EQ(angles[1], std::cos(6.0f));
  EXPECT_FLOAT_EQ(angles[2], std::sin(0.75f));
  EXPECT_FLOAT_EQ(angles[3], std::sin(6.0f));
}

TEST(Rope, ScratchIsCounted) {
  EXPECT_EQ(erase_bytes(16), 128);
  EXPECT_EQ(erase_bytes(17), 256);
  EXPECT_EQ(erase_bytes(INT64_MAX), INT64_MAX);
}

}  // namespace
}  // namespace oriel
