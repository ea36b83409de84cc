// SPDX-License-Identifier: BSL-1.0
#include "oriel/cache/relative.hpp"

#include <gtest/gtest.h>

#include "oriel/cache/joined.hpp"
#include "oriel/cache/kivi_cache.hpp"
#include "oriel/cache/rolling_cache.hpp"
#include "problem.hpp"

namespace oriel::test {
namespace {

using cache = rolling_cache<>;
static_assert(kv_source<relative<cache>> && kv_source<relative<joined<cache>>>);
static_assert(!std::is_constructible_v<relative<cache>, cache, rope_table&>, "past is referred to");
static_assert(!std::is_constructible_v<relative<cache>, cache&, rope_table>, "and so is the table");

cache_shape const past_shape{.window = 5, .kv_heads = 2, .head_dim = 8, .v_dim = 3, .sinks = 2};

struct fixture {
  aligned_memory bytes{cache::required_bytes(past_shape)};
  cache past{bytes, past_shape};
  rope by{.dim = 6, .pairs = rope_pairs::neighbours, .theta = 100};
  aligned_memory angles{rope_table::required_bytes(by, 20)};
  rope_table table = rope_table::make(angles, by, 20);
};

TEST(Relative, ARowsPlaceIsItsNumberAmongThoseHeld) {
  for (index const before :
       {index{0}, index{1}, index{2}, index{6}, index{7}, index{8}, index{23}}) {
    for (index const fresh : {index{0}, index{1}, index{9}}) {
      fixture f;
      tensor const k = tensor(before + fresh, 2, 8).filled(1);
      tensor const v = tensor(before + fresh, 2, 3).filled(2);
      ASSERT_TRUE(f.past.append(k.view.slice({0, before}), v.view.slice({0, before})).ok());
      range const rest{before, before + fresh};
      joined const both(f.past, k.view.slice(rest), v.view.slice(rest), before);
      relative const kv(both, f.table);
      ASSERT_TRUE(kv.check().ok()) << kv.check().what;
      std::vector<index> held;
      for (index p = 0; p < before + fresh; ++p) {
        if (p < 2 || p >= before - 5) held.push_back(p);
      }
      ASSERT_EQ(kv.positions(), (range{0, std::ssize(held)}));
      EXPECT_TRUE(kv.lost().empty());
      for (index head = 0; head < 2; ++head) {
        for (index i = 0; i < std::ssize(held);) {
          kv_run const run = kv.run_at(head, i);
          ASSERT_GE(run.rows, 1);
          ASSERT_LE(i + run.rows, std::ssize(held));
          for (index j = 0; j < run.rows; ++j, ++i) {
            index const p = held[static_cast<std::size_t>(i)];
            std::vector<float> row(k.view.row(p, head), k.view.row(p, head) + 8);
            f.table.rotate(i, row.data());
            float read[8];
            kv_run const one = run.from(j);
            one.floats(one.k, 8, read);
            for (index d = 0; d < 8; ++d) EXPECT_EQ(read[d], row[static_cast<std::size_t>(d)]);
            for (index d = 0; d < 3; ++d) EXPECT_EQ(one.v.row(0)[d], v.view.row(p, head)[d]);
          }
        }
      }
    }
  }
}

TEST(Relative, WithinTheWindowItIsAttentionWithAbsolutePositions) {
  // As long as nothing was lost, places are positions.
  fixture f;
  tensor const k = tensor(6, 2, 8).filled(1);
  tensor const v = tensor(6, 2, 3).filled(2);
  tensor turned = tensor(6, 2, 8).filled(1);
  for (index t = 0; t < 6; ++t) {
    for (index h = 0; h < 2; ++h) f.table.rotate(t, turned.view.row(t, h));
  }
  ASSERT_TRUE(f.past.append(k.view, v.view).ok());
  relative const kv(f.past, f.table);
  tensor const q = tensor(1, 4, 8).filled(5);
  attention call{.q = q.view, .kv = kv, .mask = causal{}};
  auto const got = attend_anew(call).bits();
  call.kv = contiguous(turned.view, v.view);
  EXPECT_EQ(attend_anew(call).bits(), got);
}

/// Rows before a place are read the same whatever follows, as the past says it of its positions.
TEST(Relative, KeysAreSettledAsThoseOfThePast) {
  fixture f;
  tensor const k = tensor(30, 2, 8).filled(1);
  tensor const v = tensor(30, 2, 3).filled(2);
  ASSERT_TRUE(f.past.append(k.view, v.view).ok());  // 2 sinks and 5 keys are held
  relative const plain(f.past, f.table);
  for (index place = 0; place <= 7; ++place) EXPECT_EQ(plain.settled(place), place);

  using groups = kivi_cache<2, 16>;
  cache_shape const of{.window = 32, .kv_heads = 2, .head_dim = 8, .v_dim = 3, .sinks = 2};
  aligned_memory bytes(groups::required_bytes(of));
  groups past(bytes, of);
  rope_table const table = f.table;
  relative const kv(past, table);
  for (index const held : {10, 15, 16, 20}) {
    ASSERT_TRUE(past.append(k.view.slice({past.positions().end, held}),
                            v.view.slice({past.positions().end, held}))
                    .ok());
    EXPECT_EQ(kv.settled(held), round_down(held, 16)) << held;
  }
}

TEST(Relative, SaysWhatIsWrong) {
  fixture f;
  tensor const k = tensor(9, 2, 8).filled(1);
  tensor const v = tensor(9, 2, 3).filled(2);
  ASSERT_TRUE(f.past.append(k.view, v.view).ok());
  auto const says = [&](rope_table const& table) { return relative(f.past, table).check().code; };
  rope const wide{.dim = 10};
  aligned_memory more(rope_table::required_bytes(wide, 20));
  EXPECT_EQ(says(f.table), errc::ok);
  EXPECT_EQ(says(rope_table::make(f.angles, f.by, 6)), errc::shape) << "7 are held";
  EXPECT_EQ(says(rope_table::make(more, wide, 20)), errc::shape);
  EXPECT_EQ(says(rope_table::make({}, f.by, 20)), errc::memory);
  EXPECT_EQ(says(rope_table::make(f.angles.span().subspan(4), f.by, 3)), errc::alignment);
  EXPECT_EQ(says(rope_table::make(f.angles, {.dim = 3}, 3)), errc::shape);
  EXPECT_EQ(says(rope_table::make(f.angles, f.by, -1)), errc::shape);
  cache const unusable({}, past_shape);
  EXPECT_EQ(relative(unusable, f.table).check().code, errc::memory);
  auto* const angle = reinterpret_cast<float*>(f.angles.span().data());
  EXPECT_TRUE(relative(f.past, f.table).overlaps({angle, 1, 1, 1}));
}

}  // namespace
}  // namespace oriel::test
