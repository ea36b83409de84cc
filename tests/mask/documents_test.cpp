// SPDX-License-Identifier: BSL-1.0
#include "oriel/mask/documents.hpp"

#include <gtest/gtest.h>

#include "example_masks.hpp"
#include "mask_laws.hpp"
#include "oriel/mask/both.hpp"
#include "oriel/mask/causal.hpp"
#include "oriel/mask/chunked.hpp"

using namespace oriel;

namespace {
constexpr oriel::index many[] = {0, 7, 7, 20, 21, 40, 60};  // an empty one among them
constexpr oriel::index far[] = {-5, (oriel::index{1} << 31) - 8, (oriel::index{1} << 31) + 8,
                                (oriel::index{1} << 53) + 1};
constexpr std::int32_t thin[] = {3, 12, 15, 90};
constexpr oriel::index alone[] = {4};
}  // namespace

template <>
struct mask_examples<documents> {
  static constexpr bool exact_cover = false;  // queries outside of all, keys of an empty one
  static std::vector<mask_example<documents>> all() {
    return {{{many}, 5}, {{far}, 0}, {{thin}, 3}, {{alone}, 0}};
  }
};
INSTANTIATE_TYPED_TEST_SUITE_P(Documents, MaskLaws, documents);

using chunks_within = each_document<both<causal, chunked>>;
template <>
struct mask_examples<chunks_within> {
  static constexpr bool exact_cover = false;
  static std::vector<mask_example<chunks_within>> all() {
    return {{{many, causal{} & chunked{4}}, 4}, {{far, causal{} & chunked{9}}, 4}};
  }
};
INSTANTIATE_TYPED_TEST_SUITE_P(ChunksWithin, MaskLaws, chunks_within);

using users_within = each_document<same_parity>;
template <>
struct mask_examples<users_within> {
  static constexpr bool exact_cover = false;
  static std::vector<mask_example<users_within>> all() { return {{{many, {}}, 4}}; }
};
INSTANTIATE_TYPED_TEST_SUITE_P(UsersWithin, MaskLaws, users_within);

namespace oriel {
namespace {

TEST(Documents, ATileOfOneSeesNoOther) {
  auto const m = causal{} & documents{many};
  EXPECT_EQ(m.cover({21, 30}, {7, 21}), coverage::none);
  EXPECT_EQ(m.reach({21, 30}).hull(), (range{21, 30}));
  EXPECT_EQ((documents{many}.cover({21, 30}, {21, 40})), coverage::all);
}

TEST(Documents, WhatIsOutsideSeesNothing) {
  documents const m{many};
  for (index p : {index{-1}, index{60}, index{61}}) {
    EXPECT_FALSE(m.visible(p, p)) << p;
    EXPECT_TRUE(m.row(p).empty()) << p;
  }
  EXPECT_TRUE((documents{}.row(5).empty()));
}

static_assert(std::is_convertible_v<std::vector<index>, document_bounds> &&
              std::is_convertible_v<std::span<std::int32_t const>, document_bounds> &&
              !std::is_convertible_v<std::vector<float>, document_bounds>);

TEST(Documents, BoundsMustAscend) {
  EXPECT_TRUE((documents{many}.check().ok()));
  EXPECT_TRUE((documents{alone}.check().ok())) << "no document";
  EXPECT_EQ((documents{}.check().code), errc::mask);
  constexpr index falling[] = {0, 7, 6};
  EXPECT_EQ((documents{falling}.check().code), errc::mask);
  constexpr index huge[] = {0, max_position};
  EXPECT_EQ((documents{huge}.check().code), errc::position);
  constexpr index least[] = {INT64_MIN, 0};
  EXPECT_EQ((documents{least}.check().code), errc::position);
}

TEST(EachDocument, ChunksRestart) {
  each_document const m{many, causal{} & chunked{4}};
  EXPECT_TRUE(m.visible(10, 7));
  EXPECT_FALSE(m.visible(11, 10)) << "7 .. 10 are a chunk";
  EXPECT_FALSE(m.visible(7, 6));
  EXPECT_EQ((each_document{many, chunked{0}}.check().code), errc::mask);
  // Where a document ends nothing changes for what is dead in it.
  constexpr index two[] = {0, 100, 200};
  EXPECT_EQ(dead_before(each_document{two, causal{} & chunked{8}}, 97), 96);
  EXPECT_EQ(dead_before(each_document{two, causal{} & chunked{8}}, 100), 100);
}

TEST(EachDocument, PositionsWithinADocumentAreBelow2To60) {
  constexpr index wide[] = {1 - max_position, 2};
  EXPECT_TRUE((documents{wide}.check().ok()));
  EXPECT_EQ((each_document{wide, causal{}}.check().code), errc::position);
  constexpr index widest[] = {1 - max_position, 1};
  EXPECT_TRUE((each_document{widest, causal{}}.check().ok()));
}

}  // namespace
}  // namespace oriel
