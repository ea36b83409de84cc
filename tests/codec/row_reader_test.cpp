// SPDX-License-Identifier: BSL-1.0
#include "oriel/codec/row_reader.hpp"

#include <gtest/gtest.h>

namespace oriel {
namespace {

static_assert(!row_reader{} && !row_reader{}.multiplies(32) && row_reader{}.rounded(32) == nullptr);

/// Writes what it is asked for instead of reading.
void tell(void const* context, row_slice const& rows, float* to) noexcept {
  for (index i = 0; i < rows.count * rows.dim; ++i) {
    to[i] = *static_cast<float const*>(context) + static_cast<float>(rows.first + i);
  }
}
constexpr rounded_functions integers{.group = 32, .dims = 64};
constexpr row_functions telling{.read = tell, .dims = 16, .rounded = &integers};
constexpr row_functions only_telling{.read = tell};

TEST(RowReader, ReadsThroughItsFunctionsWithItsContext) {
  float const context = 100.0f;
  row_reader const reader{&telling, &context};
  EXPECT_TRUE(reader);
  float to[3] = {};
  reader(row_slice{.first = 7, .count = 1, .dim = 2}, to);
  EXPECT_EQ(to[0], 107.0f);
  EXPECT_EQ(to[1], 108.0f);
  EXPECT_EQ(to[2], 0.0f);
}

TEST(RowReader, MultipliesRowsOfWholeSteps) {
  row_reader const reader{&telling, nullptr};
  for (index const dim : {16, 48, 128}) EXPECT_TRUE(reader.multiplies(dim)) << dim;
  for (index const dim : {1, 33, 120}) EXPECT_FALSE(reader.multiplies(dim)) << dim;
  EXPECT_EQ(reader.rounded(128), &integers);
  EXPECT_EQ(reader.rounded(96), nullptr);
  row_reader const reads{&only_telling, nullptr};
  EXPECT_FALSE(reads.multiplies(128));
  EXPECT_EQ(reads.rounded(128), nullptr);
}

}  // namespace
}  // namespace oriel
