// SPDX-License-Identifier: BSL-1.0
#include "oriel/cache/kivi_rows.hpp"

#include <gtest/gtest.h>

namespace oriel {
namespace {

using rows = detail::kivi_rows<2, 16, f16>;

static_assert(rows::in_groups(0) == 0 && rows::in_groups(1) == 16 && rows::in_groups(16) == 16);
static_assert(rows::in_groups(INT64_MAX - 15) == INT64_MAX);
static_assert(rows::float_rows({.window = 1, .head_dim = 1}) == 16);
static_assert(rows::float_rows({.window = 1, .head_dim = 1, .margin = 5}) == 20);
static_assert(rows::float_rows({.window = 1, .head_dim = 1, .margin = INT64_MAX}) == INT64_MAX);
static_assert(rows::required_bytes({.window = 1, .head_dim = 1, .margin = INT64_MAX}) == INT64_MAX);

TEST(KiviRows, MarginRowsBackFromAnyEndAGroupIsThereAsFloats) {
  for (index const margin : {1, 2, 5, 16, 17, 40}) {
    for (index const origin : {0, 3, 16}) {
      rows all;
      all.shape = {.window = 1, .head_dim = 1, .margin = margin};
      all.groups.rows = rows::in_groups(all.shape.ring());
      all.floats.rows = rows::float_rows(all.shape);
      all.begin_at(origin);
      for (all.end = origin; all.end < origin + 200; ++all.end) {
        all.make_room();
        ASSERT_TRUE(all.makes_sense());
        for (index back = 0; back <= margin; ++back) {
          if (all.end - back >= origin) {
            ASSERT_TRUE(all.can_cut(all.end - back));
          }
        }
      }
    }
  }
}

}  // namespace
}  // namespace oriel
