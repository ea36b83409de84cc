// SPDX-License-Identifier: BSL-1.0
#include "oriel/cache/kv_run.hpp"

#include <gtest/gtest.h>

namespace oriel {
namespace {

TEST(KvRun, FromSkipsRows) {
  float room[64];
  kv_run const run =
      kv_run{stored_rows::of(room, 4, 3), stored_rows::of(room + 32, -8, 2), 1, 100, 7}.from(2);
  EXPECT_EQ(run.k.row(0), room + 8);
  EXPECT_EQ(run.v.row(0), room + 16);
  EXPECT_EQ(run.k.bytes, 12);
  EXPECT_EQ(run.v.bytes, 8);
  EXPECT_EQ(run.head, 1);
  EXPECT_EQ(run.first, 102);
  EXPECT_EQ(run.rows, 5);
  EXPECT_EQ(run.k.float_stride(), 4);
  EXPECT_EQ(run.v.float_stride(), -8);
}

/// Writes what it is asked for instead of reading.
void tell(void const* context, row_slice const& rows, float* to) noexcept {
  for (index i = 0; i < rows.count * rows.dim; ++i) {
    to[i] = *static_cast<float const*>(context) + static_cast<float>(rows.first + i);
  }
}
constexpr row_functions telling{tell};

TEST(KvRun, FloatsAreReadInPlaceOrThroughTheReader) {
  float const room[] = {1.0f, 2.0f, 3.0f, 4.0f};
  float const context = 100.0f;
  kv_run const run{stored_rows::of(room, 2, 2), {nullptr, 0, 0, {&telling, &context}}, 0, 7, 2};
  float to[3] = {};
  EXPECT_EQ(run.floats(run.k, 2, to), room);
  EXPECT_EQ(run.from(1).floats(run.from(1).k, 2, to), room + 2);
  EXPECT_EQ(to[0], 0.0f);
  EXPECT_EQ(run.floats(run.v, 2, to), to);
  EXPECT_EQ(to[0], 107.0f);
  EXPECT_EQ(to[1], 108.0f);
  EXPECT_EQ(to[2], 0.0f) << "one row only";
}

}  // namespace
}  // namespace oriel
