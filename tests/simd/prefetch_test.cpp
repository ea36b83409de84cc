// SPDX-License-Identifier: BSL-1.0
#include "oriel/simd/prefetch.hpp"

#include <gmock/gmock.h>

#include <vector>

namespace oriel::test {
namespace {

TEST(Prefetch, OfAnyAddressIsHarmless) {
  for (std::uintptr_t const at : {std::uintptr_t{0}, std::uintptr_t{1}, ~std::uintptr_t{0}}) {
    prefetch_l2(at);
    prefetch_l1(at);
    lines_ahead{at, at}.prefetch(this);
    lines_ahead{at, at}.prefetch_to_l2(this);
  }
}

/// The lines that a walk of `rows` rows from `row` on prefetches in as many times `steps` steps.
std::vector<std::uintptr_t> walked(std::uintptr_t row, index stride, index bytes, index steps,
                                   index rows) {
  line_walk walk(row, stride, bytes, steps);
  std::vector<std::uintptr_t> lines;
  std::uintptr_t next = walk.line();
  for (index i = 0; i < steps * rows; ++i) {
    walk.prefetch(nullptr);
    if (walk.line() != next) lines.push_back(next);
    next = walk.line();
  }
  return lines;
}

TEST(Prefetch, AWalkTakesLinesInTheOrderOfMemory) {
  using testing::ElementsAre;
  EXPECT_THAT(walked(1024, 128, 128, 2, 2), ElementsAre(1024, 1088, 1152, 1216));  // packed floats
  EXPECT_THAT(walked(1024, 64, 64, 4, 2), ElementsAre(1024, 1088));  // bf16: every 4th step
  EXPECT_THAT(walked(1024, 100, 100, 5, 4), ElementsAre(1024, 1088, 1152, 1216, 1280, 1344));
  EXPECT_THAT(walked(1000, 48, 48, 4, 4), ElementsAre(960, 1024, 1088));  // less than a line
  EXPECT_THAT(walked(1024, 72, 68, 2, 9), testing::SizeIs(10));           // 648 bytes
}

TEST(Prefetch, AWalkOverRowsThatLieApartSkipsWhatIsBetween) {
  using testing::ElementsAre;
  EXPECT_THAT(walked(1024, 512, 128, 2, 2), ElementsAre(1024, 1088, 1536, 1600));
  EXPECT_THAT(walked(1024, -512, 128, 2, 2), ElementsAre(1024, 1088, 512, 576));
  EXPECT_THAT(walked(1024, 256, 100, 5, 2), ElementsAre(1024, 1088, 1280, 1344));
  EXPECT_THAT(walked(1056, 512, 128, 3, 2), ElementsAre(1024, 1088, 1152, 1536, 1600, 1664));
  EXPECT_THAT(walked(1024, 0, 128, 2, 2), ElementsAre(1024, 1088, 1024, 1088));
  EXPECT_THAT(walked(1024, INT64_MIN, 128, 2, 1), ElementsAre(1024, 1088));
}

TEST(Prefetch, AWalkOfNothingPrefetchesNothing) {
  EXPECT_THAT(walked(1024, 0, 0, 1, 3), testing::IsEmpty());
  line_walk none;
  for (int i = 0; i < 9; ++i) none.prefetch(nullptr);
  EXPECT_EQ(none.line(), 0u);
}

TEST(Prefetch, MoreWorkPerLineIsAskedForFurtherAhead) {
  lines_ahead const least = bytes_ahead(line_work::least);
  lines_ahead const little = bytes_ahead(line_work::little);
  lines_ahead const more = bytes_ahead(line_work::more);
  EXPECT_GE(little.l2, least.l2);
  EXPECT_GE(more.l2, little.l2);
  for (lines_ahead const& ahead : {least, little, more}) {
    EXPECT_LE(ahead.l2, 64u << 10) << "what is asked for has to stay in L2 until it is read";
    EXPECT_LE(ahead.l1, ahead.l2) << "and be in L2 when L1 wants it";
  }
}

#if ORIEL_X86
TEST(Prefetch, EachMakersCoresAreToldApart) {
  __builtin_cpu_init();
  bool const is_amd = __builtin_cpu_is("amd");
  EXPECT_EQ(bytes_ahead(line_work::least).l2 == 0, is_amd);
  EXPECT_EQ(bytes_ahead(line_work::more).l1 == 0, is_amd);
}
#endif

}  // namespace
}  // namespace oriel::test
