// SPDX-License-Identifier: BSL-1.0
#include "oriel/cache/model_layout.hpp"

#include <gtest/gtest.h>

#include <vector>

namespace oriel {
namespace {

/// A cache of 100 bytes per row, with a state of 24.
struct rows_of_100 {
  static constexpr index group = 1;
  static index required_bytes(cache_shape const& shape) {
    return saturating_mul(100, shape.capacity());
  }
  std::byte state[24];
};

TEST(ModelLayout, EntriesThenStatesThenRows) {
  std::vector<layer_config> const layers{{.head_dim = 8},
                                         {.kind = layer_kind::shared, .of = 0},
                                         {.kind = layer_kind::window, .keys = 4, .head_dim = 8}};
  model_config const config{.layers = layers, .context = 10, .sequences = 3, .margin = 2};
  auto const at = detail::model_layout<rows_of_100>::of(config);
  EXPECT_EQ(at.caches, 2);
  EXPECT_EQ(at.states, round_up(3 * index{sizeof(detail::layer_entry)}, 64));
  EXPECT_EQ(at.rows, at.states + round_up(3 * 2 * 24, 64));
  EXPECT_EQ(at.sequence, 1024 + 512);  // 10 rows, and 4 - 1 + 2, each from a multiple of 64 on
  EXPECT_EQ(at.all, at.rows + 3 * at.sequence);
}

TEST(ModelLayout, OverflowIsTheMost) {
  std::vector<layer_config> const layers{{.head_dim = 8}};
  model_config const config{.layers = layers, .context = max_position - 1, .sequences = 1 << 20};
  EXPECT_EQ(detail::model_layout<rows_of_100>::of(config).all, INT64_MAX);
}

}  // namespace
}  // namespace oriel
