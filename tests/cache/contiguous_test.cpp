// SPDX-License-Identifier: BSL-1.0
#include "oriel/cache/contiguous.hpp"

#include <gtest/gtest.h>

#include <vector>

namespace oriel {
namespace {

using view = tensor_view<float const>;
static_assert(kv_source<contiguous> && !is_cache<contiguous>);

alignas(64) float room[256];

TEST(Contiguous, ChecksNameTheRule) {
  view const ok(room, 4, 2, 8);
  auto* const odd = reinterpret_cast<float*>(reinterpret_cast<char*>(room) + 1);
  struct test_case {
    contiguous kv;
    errc code;
    char const* what;
  };
  char const* const positions = "kv: positions must lie between -2^60 and 2^60";
  for (auto const& [kv, code, what] : {
           test_case{{ok, ok}, errc::ok, "ok"},
           {{ok, {room, 4, 2, 3}}, errc::ok, "ok"},
           {{{nullptr, 0, 2, 8}, {nullptr, 0, 2, 8}}, errc::ok, "ok"},
           {{{room, -1, 2, 8}, ok}, errc::shape, "k: tokens, heads and dim must not be negative"},
           {{ok, {room, 4, 2, -8}}, errc::shape, "v: tokens, heads and dim must not be negative"},
           {{{room, 4, 2, 8, INT64_MAX, 8}, ok}, errc::shape, "k: strides leave the address space"},
           {{ok, {room, 4, 2, 8, 16, INT64_MIN}},
            errc::shape,
            "v: strides leave the address space"},
           {{{nullptr, 4, 2, 8}, ok}, errc::memory, "k.data must not be null"},
           {{ok, {nullptr, 4, 2, 8}}, errc::memory, "v.data must not be null"},
           {{{odd, 4, 2, 8}, ok}, errc::alignment, "k.data must be aligned to its element type"},
           {{ok, {odd, 4, 2, 8}}, errc::alignment, "v.data must be aligned to its element type"},
           {{ok, {room, 3, 2, 8}}, errc::shape, "k.tokens must equal v.tokens"},
           {{ok, {room, 4, 1, 8}}, errc::heads, "k.heads must equal v.heads"},
           {{{room, 4, 0, 8}, {room, 4, 0, 8}}, errc::heads, "kv.heads must be at least 1"},
           {{{room, 4, 2, 0}, ok}, errc::shape, "k.dim must be at least 1"},
           {{ok, {room, 4, 2, 0}}, errc::shape, "v.dim must be at least 1"},
           {{ok, ok, 1 - max_position}, errc::ok, "ok"},
           {{ok, ok, max_position - 5}, errc::ok, "ok"},
           {{ok, ok, -max_position}, errc::position, positions},
           {{ok, ok, max_position - 4}, errc::position, positions},
           {{ok, ok, INT64_MAX}, errc::position, positions},
           {{ok, ok, INT64_MIN}, errc::position, positions},
           {{{room, INT64_MAX, 2, 8, 0, 8}, {room, INT64_MAX, 2, 8, 0, 8}},
            errc::position,
            positions},
       }) {
    status const s = kv.check();
    EXPECT_EQ(s.code, code) << what;
    EXPECT_STREQ(s.what, what);
  }
}

TEST(Contiguous, OneRunHoldsTheRest) {
  // [tokens 5, heads 2]: keys of 3 by token, values of 4 by head and backwards.
  for (index first : {index{0}, index{-7}, (index{1} << 53) - 1}) {
    contiguous const kv({room, 5, 2, 3}, {room + 100 + 4 * 4, 5, 2, 4, -4, 20}, first);
    ASSERT_TRUE(kv.check().ok());
    EXPECT_EQ(kv.shape(), (kv_shape{2, 3, 4}));
    EXPECT_EQ(kv.positions(), (range{first, first + 5}));
    EXPECT_TRUE(kv.lost().empty());
    for (index head = 0; head < 2; ++head) {
      for (index t = 0; t < 5; ++t) {
        kv_run const run = kv.run_at(head, first + t);
        EXPECT_EQ(run.first, first + t);
        EXPECT_EQ(run.rows, 5 - t);
        for (index i = 0; i < run.rows; ++i) {
          EXPECT_EQ(run.k.row(i), room + (t + i) * 6 + head * 3);
          EXPECT_EQ(run.v.row(i), room + 116 - (t + i) * 4 + head * 20);
        }
      }
    }
  }
}

TEST(Contiguous, OverlapsWhereEitherTensorDoes) {
  contiguous const kv({room, 2, 2, 4}, {room + 32, 2, 2, 4});
  struct test_case {
    index at;
    bool overlaps;
  };
  for (auto const [at, overlaps] : {test_case{0, true},
                                    {15, true},
                                    {16, false},
                                    {28, false},
                                    {29, true},
                                    {47, true},
                                    {48, false}}) {
    EXPECT_EQ(kv.overlaps({room + at, 1, 1, 4}), overlaps) << at;
  }
}

}  // namespace
}  // namespace oriel
