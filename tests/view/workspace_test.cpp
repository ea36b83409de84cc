// SPDX-License-Identifier: BSL-1.0
#include "oriel/view/workspace.hpp"

#include <gtest/gtest.h>

#include <vector>

#include "dice.hpp"

namespace oriel {
namespace {

struct array {
  std::byte* begin;
  index bytes;
};

/// The same random walk over `base`, or one that only measures.
std::vector<array> walk(carver& memory, int seed) {
  dice d(static_cast<std::uint64_t>(seed));
  std::vector<array> arrays;
  for (int left = d.between(0, 9); left > 0; --left) {
    index const count = d.between(0, 100);
    switch (d.between(0, 3)) {
      case 0:
        arrays.push_back({reinterpret_cast<std::byte*>(memory.take<float>(count)), 4 * count});
        break;
      case 1:
        arrays.push_back({reinterpret_cast<std::byte*>(memory.take<char>(count)), count});
        break;
      case 2:
        arrays.push_back({reinterpret_cast<std::byte*>(memory.take<void*>(count)), 8 * count});
        break;
      default:
        arrays.push_back({reinterpret_cast<std::byte*>(memory.take<array>(count)), 16 * count});
    }
  }
  return arrays;
}

TEST(Carver, CarvesWhatItMeasured) {
  alignas(64) static std::byte room[9 * 1664];
  for (int seed = 0; seed < 500; ++seed) {
    carver measure;
    for (array const& a : walk(measure, seed)) EXPECT_EQ(a.begin, nullptr);
    carver carve(room);
    std::byte* end = room;
    for (array const& a : walk(carve, seed)) {
      EXPECT_GE(a.begin, end) << "arrays must not overlap";
      EXPECT_EQ((a.begin - room) % storage_alignment, 0);
      end = a.begin + a.bytes;
    }
    EXPECT_EQ(carve.used(), measure.used());
    EXPECT_EQ(measure.used() % storage_alignment, 0);
    EXPECT_LE(end, room + measure.used());
    EXPECT_LT(room + measure.used() - end, storage_alignment) << "no more than the padding";
  }
}

TEST(Carver, SaysSoWhenBytesOverflow) {
  struct test_case {
    index first, second;  ///< doubles
    bool overflows;
  };
  constexpr index most = INT64_MAX / 8;
  for (auto const& [first, second, overflows] : {test_case{INT64_MAX, 0, true},
                                                 {most, 0, true},
                                                 {most - 24, 0, false},
                                                 {most - 16, 64, true},
                                                 {most / 2, most / 2 + 8, true},
                                                 {most / 2, most / 2 - 16, false},
                                                 {1, INT64_MAX, true}}) {
    carver memory;
    memory.take<double>(first);
    memory.take<double>(second);
    memory.take<double>(0);
    EXPECT_EQ(memory.used() == INT64_MAX, overflows) << first << ", " << second;
    EXPECT_GE(memory.used(), 0);
    if (overflows) {  // and stays so
      memory.take<char>(100);
      EXPECT_EQ(memory.used(), INT64_MAX);
    }
  }
}

TEST(Workspace, IsEmptyByDefault) { EXPECT_TRUE(workspace{}.bytes.empty()); }

TEST(Carver, TwoUsesOfTheSameBytes) {
  for (index const second : {10, 1000}) {
    carver memory;
    memory.take<float>(3);
    carver again = memory;
    memory.take<float>(100);
    again.take<float>(second);
    memory.skip(again);
    EXPECT_EQ(memory.used(), 64 + (second == 10 ? 448 : 4032));
  }
}

}  // namespace
}  // namespace oriel
