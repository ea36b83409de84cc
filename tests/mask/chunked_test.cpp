// SPDX-License-Identifier: BSL-1.0
#include "oriel/mask/chunked.hpp"

#include <gtest/gtest.h>

#include "mask_laws.hpp"
#include "oriel/mask/both.hpp"
#include "oriel/mask/causal.hpp"

using oriel::chunked;

template <>
struct mask_examples<chunked> {
  static constexpr bool exact_cover = true;
  static std::vector<mask_example<chunked>> all() {
    std::vector<mask_example<chunked>> list;
    using oriel::index;
    for (index keys : {index{1}, index{2}, index{7}, index{16}, index{33}, index{8192},
                       index{1} << 40, oriel::max_position, INT64_MAX}) {
      list.push_back({{keys}, keys});
    }
    return list;
  }
};
INSTANTIATE_TYPED_TEST_SUITE_P(Chunked, MaskLaws, chunked);

using llama4 = oriel::both<oriel::causal, chunked>;
template <>
struct mask_examples<llama4> {
  static constexpr bool exact_cover = false;  // a rectangle may lie where one hides a corner each
  static std::vector<mask_example<llama4>> all() {
    return {{oriel::causal{} & chunked{1}, 1},
            {oriel::causal{} & chunked{8}, 8},
            {oriel::causal{} & chunked{8192}, 8192},
            {oriel::causal{} & chunked{INT64_MAX}, 5}};
  }
};
INSTANTIATE_TYPED_TEST_SUITE_P(Llama4, MaskLaws, llama4);

namespace oriel {
namespace {

static_assert(chunked{4}.visible(5, 4) && chunked{4}.visible(4, 7) && !chunked{4}.visible(4, 3));
static_assert(chunked{4}.visible(-1, -4) && !chunked{4}.visible(-1, 0), "floor, not truncation");

TEST(Chunked, NeedsAKey) {
  EXPECT_TRUE(chunked{1}.check().ok());
  for (index keys : {index{0}, index{-1}, INT64_MIN}) {
    EXPECT_EQ(chunked{keys}.check().code, errc::mask);
  }
}

TEST(Chunked, AFinishedChunkIsDead) {
  auto const m = causal{} & chunked{8};
  EXPECT_EQ(dead_before(m, 7), 0);
  EXPECT_EQ(dead_before(m, 8), 8) << "the whole buffer may go";
  EXPECT_EQ(dead_before(m, 9), 8);
  EXPECT_EQ(dead_before(any_mask(m), (index{1} << 40) + 3), index{1} << 40);
}

TEST(Chunked, LongerThanTheContextItIsCausal) {
  auto const m = causal{} & chunked{8192};
  for (index q = 0; q < 8; ++q) {
    for (index k = 0; k < 8; ++k) EXPECT_EQ(m.visible(q, k), causal{}.visible(q, k));
  }
  EXPECT_EQ(m.cover({5, 8}, {0, 4}), coverage::all);
}

}  // namespace
}  // namespace oriel
