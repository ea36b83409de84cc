// SPDX-License-Identifier: BSL-1.0
#include "oriel/select/listed_blocks.hpp"

#include <gtest/gtest.h>

#include <vector>

namespace oriel::test {
namespace {

static_assert(selector<listed_blocks> && sizeof(listed_blocks) <= any_selector::capacity);

using list = std::vector<index>;

list chosen(listed_blocks const& select, choosing_row const& row) {
  list to(static_cast<std::size_t>(select.most()));
  to.resize(static_cast<std::size_t>(select.choose(row, to.data())));
  return to;
}

TEST(ListedBlocks, AnyOrderEachOnceNothingOutside) {
  // [2 tokens, 2 heads, 4]
  std::int32_t const lists[] = {3, 0, 3, -1, -1,        -1,        -1, -1,
                                9, 8, 1, 1,  INT32_MAX, INT32_MIN, 2,  5};
  listed_blocks const select{.keys = 10, .lists = {lists, 2, 2, 4}, .first_query = 70};
  EXPECT_EQ(chosen(select, {.position = 70, .q_head = 0, .keys = {0, 72}}), (list{0, 3}));
  EXPECT_EQ(chosen(select, {.position = 70, .q_head = 1, .keys = {0, 72}}), (list{}));
  EXPECT_EQ(chosen(select, {.position = 71, .q_head = 0, .keys = {0, 90}}), (list{1, 8}));
  EXPECT_EQ(chosen(select, {.position = 71, .q_head = 0, .keys = {19, 81}}), (list{1, 8}));
  EXPECT_EQ(chosen(select, {.position = 71, .q_head = 0, .keys = {20, 80}}), (list{}));
  EXPECT_EQ(chosen(select, {.position = 71, .q_head = 1, .keys = {0, 72}}), (list{2, 5}));
  EXPECT_EQ(chosen(select, {.position = 71, .q_head = 1, .keys = {}}), (list{}));
  listed_blocks const shared{.keys = 10, .lists = {lists, 2, 2, 4, 0, 0}, .first_query = 70};
  EXPECT_EQ(chosen(shared, {.position = 71, .q_head = 1, .keys = {0, 72}}), (list{0, 3}));
}

TEST(ListedBlocks, CheckTheirNumbers) {
  std::int32_t const lists[16] = {};
  choosing_call const call{{1, 8, 8}, 2, {70, 72}};
  listed_blocks const right{.keys = 10, .lists = {lists, 2, 2, 4}, .first_query = 70};
  auto const with = [&](auto&& change) {
    listed_blocks changed = right;
    change(changed);
    return changed.check(call).code;
  };
  EXPECT_EQ(right.check(call).code, errc::ok);
  EXPECT_EQ(with([](auto& s) { s.keys = 0; }), errc::select);
  EXPECT_EQ(with([](auto& s) { s.lists.dim = 0; }), errc::select);
  EXPECT_EQ(with([](auto& s) { s.lists.dim = 1025; }), errc::select);
  EXPECT_EQ(with([](auto& s) { s.lists.tokens = 1; }), errc::shape);
  EXPECT_EQ(with([](auto& s) { s.lists.tokens = -1; }), errc::shape);
  EXPECT_EQ(with([](auto& s) { s.lists.heads = 1; }), errc::heads);
  EXPECT_EQ(with([](auto& s) { s.lists.data = nullptr; }), errc::memory);
  EXPECT_EQ(with([](auto& s) { s.lists.token_stride = INT64_MAX; }), errc::shape);
  EXPECT_EQ(with([](auto& s) { s.first_query = 71; }), errc::position);
}

}  // namespace
}  // namespace oriel::test
