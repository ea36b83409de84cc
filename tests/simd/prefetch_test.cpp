// SPDX-License-Identifier: BSL-1.0
#include "oriel/simd/prefetch.hpp"

#include <gtest/gtest.h>

namespace oriel::test {
namespace {

TEST(Prefetch, OfAnyAddressIsHarmless) {
  for (std::uintptr_t const at : {std::uintptr_t{0}, std::uintptr_t{1}, ~std::uintptr_t{0}}) {
    prefetch_l2(at);
    prefetch_l1(at);
    lines_ahead{at, at}.prefetch(this);
    lines_ahead{at, at}.prefetch_to_l2(this);
    for (index const bytes : {0, 1, 64, 200}) lines_ahead{at, at}.prefetch_row(this, bytes);
  }
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
