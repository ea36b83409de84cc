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

/// The lines that a walk of `rows` rows prefetches in steps * rows steps, from 1000 on.
std::vector<std::uintptr_t> walked(index stride, index bytes, index steps, index rows) {
  line_walk walk(reinterpret_cast<void const*>(1000), stride, bytes, {.l2 = 24}, steps);
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
  EXPECT_THAT(walked(128, 128, 2, 2), ElementsAre(1024, 1088, 1152, 1216));  // packed floats
  EXPECT_THAT(walked(512, 128, 2, 2), ElementsAre(1024, 1088, 1536, 1600));  // other heads between
  EXPECT_THAT(walked(-512, 128, 2, 2), ElementsAre(1024, 1088, 512, 576));   // backwards
  EXPECT_THAT(walked(64, 64, 4, 2), ElementsAre(1024, 1088));                // bf16: every 4th step
  EXPECT_THAT(walked(100, 100, 5, 4), ElementsAre(1024, 1088, 1152, 1216, 1280, 1344));
  EXPECT_THAT(walked(200, 100, 5, 2), ElementsAre(1024, 1088, 1224, 1288));  // two lines each
  EXPECT_THAT(walked(64, 0, 1, 3), ElementsAre());
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

#if defined(__x86_64__)
TEST(Prefetch, EachMakersCoresAreToldApart) {
  __builtin_cpu_init();
  bool const is_amd = __builtin_cpu_is("amd");
  EXPECT_EQ(bytes_ahead(line_work::least).l2 == 0, is_amd);
  EXPECT_EQ(bytes_ahead(line_work::more).l1 == 0, is_amd);
}
#endif

}  // namespace
}  // namespace oriel::test
