// SPDX-License-Identifier: BSL-1.0
#include "oriel/cache/erase_rows.hpp"

#include <gtest/gtest.h>

#include "tensors.hpp"

namespace oriel::test {
namespace {

// What they do is driven by cache_model_test; here is what they refuse.
TEST(EraseRows, SaysWhatIsWrong) {
  tensor k = tensor(6, 2, 4).filled(1);
  tensor v = tensor(6, 2, 3).filled(2);
  auto const before = bits_of(k.view);
  aligned_memory scratch(erase_bytes(4));
  rope const by{.dim = 4}, wide{.dim = 6};
  EXPECT_EQ(erase_rows(k.view, v.view, {3, 7}).code, errc::position);
  EXPECT_EQ(erase_rows(k.view, v.view, {-1, 2}).code, errc::position);
  EXPECT_EQ(erase_rows(k.view, v.view, {4, 2}).code, errc::position);
  EXPECT_EQ(erase_rows(k.view, v.view, {INT64_MIN, INT64_MAX}).code, errc::position);
  EXPECT_EQ(erase_rows(k.view, v.view, {1, 2}, &wide, scratch).code, errc::shape);
  EXPECT_EQ(erase_rows(k.view, v.view, {1, 2}, &by).code, errc::memory);
  EXPECT_EQ(erase_rows(k.view, v.view, {1, 2}, &by, {scratch.span().first(127)}).code,
            errc::workspace);
  EXPECT_EQ(erase_rows(k.view, k.view, {1, 2}).code, errc::alias);
  EXPECT_EQ(erase_rows({k.view.data, 6, 2, 4, 0, 4}, v.view, {1, 2}).code, errc::alias);
  std::span<std::byte> const inside(scratch.span());
  auto* const floats = reinterpret_cast<float*>(inside.data());
  EXPECT_EQ(erase_rows({floats, 6, 1, 4}, {v.view.data, 6, 1, 3}, {1, 2}, &by, scratch).code,
            errc::alias);
  EXPECT_EQ(bits_of(k.view), before);

  std::vector<std::int32_t> const table{1, 0, 9};
  page_pool const pool{k.view.slice({0, 3}), v.view.slice({0, 3}), 2, 24, 18};
  EXPECT_EQ(erase_rows(pool, table, 7, {0, 1}).code, errc::shape) << "page 9";
  EXPECT_EQ(erase_rows(pool, table, 5, {0, 6}).code, errc::position);
  EXPECT_EQ(erase_rows(pool, table, 5, {0, 1}, &by, {inside.first(1)}).code, errc::workspace);
  EXPECT_EQ(bits_of(k.view), before);
  EXPECT_TRUE(erase_rows(pool, table, 6, {0, 6}).ok());
  EXPECT_EQ(bits_of(k.view), before) << "nothing lies behind";
}

TEST(EraseRows, MovesTheRowsBehind) {
  tensor k = tensor(6, 2, 4, layout::backwards).filled(1);
  tensor v = tensor(6, 2, 3, layout::padded).filled(2);
  tensor const k0 = tensor(6, 2, 4).filled(1), v0 = tensor(6, 2, 3).filled(2);
  ASSERT_TRUE(erase_rows(k.view, v.view, {1, 3}).ok());
  for (index t = 0; t < 4; ++t) {
    index const was = t < 1 ? t : t + 2;
    EXPECT_EQ(bits_of(k.view.slice({t, t + 1})), bits_of(k0.view.slice({was, was + 1})));
    EXPECT_EQ(bits_of(v.view.slice({t, t + 1})), bits_of(v0.view.slice({was, was + 1})));
  }
  EXPECT_TRUE(k.is_untouched());
  EXPECT_TRUE(v.is_untouched());
}

}  // namespace
}  // namespace oriel::test
