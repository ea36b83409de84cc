// SPDX-License-Identifier: BSL-1.0
#include "oriel/cache/cache_shape.hpp"

#include <gtest/gtest.h>

namespace oriel {
namespace {

TEST(CacheShape, CountsRows) {
  EXPECT_EQ((cache_shape{.window = 16, .head_dim = 4}.capacity()), 16);
  EXPECT_EQ((cache_shape{.window = 16, .head_dim = 4, .margin = 9}.capacity()), 24);
  cache_shape const sinks{.window = 16, .head_dim = 4, .margin = 9, .sinks = 4};
  EXPECT_EQ(sinks.ring(), 24);
  EXPECT_EQ(sinks.capacity(), 28);
  EXPECT_EQ((cache_shape{.window = 1, .head_dim = 1, .sinks = INT64_MAX}.capacity()), INT64_MAX);
  EXPECT_EQ((cache_shape{.window = 1, .head_dim = 1, .sinks = -1}.capacity()), 0);
  EXPECT_STREQ((cache_shape{.window = 1, .head_dim = 1, .sinks = -1}.check().what),
               "cache_shape.sinks must not be negative");
}

}  // namespace
}  // namespace oriel
