// SPDX-License-Identifier: BSL-1.0
#include "oriel/mask/tree.hpp"

#include <gtest/gtest.h>

#include "mask_laws.hpp"
#include "oriel/mask/both.hpp"
#include "oriel/mask/sliding_window.hpp"

using namespace oriel;

namespace {
// Two roots, the first with two children, of which the first has a child.
constexpr std::int32_t bushy[] = {-1, 0, 0, 1, -1, 4, 5, 5};
constexpr std::int32_t chain[] = {-1, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
}  // namespace

template <>
struct mask_examples<tree> {
  static constexpr bool exact_cover = false;
  static std::vector<mask_example<tree>> all() {
    return {{{0, bushy}, 0}, {{30, bushy}, 0}, {{oriel::index{1} << 31, chain}, 0}, {{5, {}}, 0}};
  }
};
INSTANTIATE_TYPED_TEST_SUITE_P(Tree, MaskLaws, tree);

using near_tree = both<tree, sliding_window>;
template <>
struct mask_examples<near_tree> {
  static constexpr bool exact_cover = false;
  static std::vector<mask_example<near_tree>> all() {
    return {{tree{30, bushy} & sliding_window{12}, 12}};
  }
};
INSTANTIATE_TYPED_TEST_SUITE_P(NearTree, MaskLaws, near_tree);

namespace oriel {
namespace {

TEST(Tree, ADraftSeesItsAncestorsAndThePrefix) {
  tree const m{10, bushy};
  auto const seen = [&](index draft) {
    std::vector<index> all;
    for (index k = 10; k < 30; ++k) {
      if (m.visible(10 + draft, k)) all.push_back(k - 10);
    }
    return all;
  };
  EXPECT_EQ(seen(0), (std::vector<index>{0}));
  EXPECT_EQ(seen(3), (std::vector<index>{0, 1, 3}));
  EXPECT_EQ(seen(2), (std::vector<index>{0, 2}));
  EXPECT_EQ(seen(7), (std::vector<index>{4, 5, 7}));
  EXPECT_TRUE(m.visible(17, 0) && m.visible(17, 9));
  EXPECT_TRUE(m.visible(9, 9) && !m.visible(8, 9)) << "the prefix is causal";
}

TEST(Tree, ParentsComeFirst) {
  EXPECT_TRUE((tree{0, bushy}.check().ok()));
  constexpr std::int32_t own[] = {-1, 1};
  EXPECT_EQ((tree{0, own}.check().code), errc::mask);
  constexpr std::int32_t low[] = {-2};
  EXPECT_EQ((tree{0, low}.check().code), errc::mask);
  EXPECT_EQ((tree{max_position - 4, bushy}.check().code), errc::position);
  EXPECT_EQ((tree{INT64_MIN, bushy}.check().code), errc::position);
}

}  // namespace
}  // namespace oriel
