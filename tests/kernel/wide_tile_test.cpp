// SPDX-License-Identifier: BSL-1.0
#include "oriel/kernel/wide_tile.hpp"

#include <gtest/gtest.h>

#include <vector>

namespace oriel {
namespace {

struct counter {
  std::vector<index> asked = std::vector<index>(2 * tile_keys);
  static void read(void const* self, row_slice const& rows, float* to) noexcept {
    for (index i = 0; i < rows.count; ++i) {
      ++(*static_cast<counter* const*>(self))->asked[static_cast<std::size_t>(rows.first + i)];
      for (index d = 0; d < rows.dim; ++d) {
        *to++ = static_cast<float>(static_cast<int>(rows.data[i * rows.stride])) +
                100.0f * static_cast<float>(d);
      }
    }
  }
};
constexpr row_functions counting{counter::read};

TEST(WideTile, ReadsEveryRowOnceAndNoOther) {
  std::vector<std::byte> stored(2 * tile_keys * 3);
  for (index i = 0; i < 2 * tile_keys; ++i) {
    stored[static_cast<std::size_t>(3 * i)] = std::byte(static_cast<unsigned char>(i));
  }
  counter keys, values;
  counter* const of_keys = &keys;
  counter* const of_values = &values;
  auto const run_of = [&](index first, index rows) {
    return kv_run{{stored.data() + 3 * first, 3, 1, {&counting, &of_keys}},
                  {stored.data() + 3 * first, 3, 1, {&counting, &of_values}},
                  0,
                  first,
                  rows};
  };
  std::vector<std::byte> memory(64 + static_cast<std::size_t>(tile_keys) * 5 * sizeof(float) + 64);
  auto const address = reinterpret_cast<std::uintptr_t>(memory.data());
  carver carve(memory.data() + (64 - address % 64) % 64);
  wide_tile tile = wide_tile::carve(carve, tile_keys, 2, 3);
  for (index const begin : {index{0}, tile_keys}) {
    tile.begin(begin);
    for (range const asked : {range{3, 5}, {5, 6}, {0, 10}, {4, 5}, {8, 128}, {127, 128}}) {
      kv_run const stored_run = run_of(begin + asked.begin, asked.size());
      kv_run const k = tile.keys(stored_run);
      EXPECT_FALSE(k.k.reader);
      for (index i = 0; i < asked.size(); ++i) {
        auto const expected = static_cast<float>((begin + asked.begin + i) % 256);
        EXPECT_EQ(k.k.row(i)[0], expected);
        EXPECT_EQ(k.k.row(i)[1], expected + 100.0f);
      }
    }
    for (index i = 0; i < tile_keys; ++i) {
      EXPECT_EQ(keys.asked[static_cast<std::size_t>(begin + i)], 1) << i;
      EXPECT_EQ(values.asked[static_cast<std::size_t>(begin + i)], 0) << i;
    }
  }
  kv_run const v = tile.values(run_of(tile_keys + 1, 2));
  EXPECT_EQ(v.v.row(1)[2], 330.0f);
  EXPECT_TRUE(v.k.reader) << "as they were";
  EXPECT_EQ(values.asked[static_cast<std::size_t>(tile_keys)], 0) << "nobody asked";
  EXPECT_EQ(values.asked[static_cast<std::size_t>(tile_keys + 1)], 1);
}

TEST(WideTile, FloatsStayWhereTheyAre) {
  float const room[8] = {};
  wide_tile tile;
  kv_run const run{stored_rows::of(room, 2, 2), stored_rows::of(room + 4, 2, 2), 0, 7, 2};
  tile.begin(0);
  EXPECT_EQ(tile.keys(run).k.row(0), room);
  EXPECT_EQ(tile.values(run).v.row(0), room + 4);
}

}  // namespace
}  // namespace oriel
