// SPDX-License-Identifier: BSL-1.0
// What engines have got wrong, case by case; README.md's table names these tests.
#include <gtest/gtest.h>

#include "oriel/interop/thread_pool.hpp"
#include "problem.hpp"

namespace oriel::test {
namespace {

using cache = rolling_cache<>;

/// A cache of its own bytes, NaN where nothing was written.
struct kept {
  explicit kept(cache_shape const& s) : bytes(cache::required_bytes(s)), of(bytes, s) {}
  aligned_memory bytes;
  cache of;
};

/// Tokens, and what attention over all of them from plain memory says.
struct text {
  static constexpr index heads = 2, dim = 16;
  tensor q, k, v;
  explicit text(index n, std::uint64_t seed = 1)
      : q(tensor(n, 4, dim).filled(seed)),
        k(tensor(n, heads, dim).filled(seed + 1)),
        v(tensor(n, heads, dim).filled(seed + 2)) {}

  status feed(cache& to, range tokens) const {
    return to.append(k.view.slice(tokens), v.view.slice(tokens));
  }
  attention call(range tokens, any_mask const& mask) const {
    return {.q = q.view.slice(tokens),
            .kv = contiguous(k.view.slice({0, tokens.end}), v.view.slice({0, tokens.end})),
            .mask = mask};
  }
  std::vector<std::uint32_t> expected(range tokens, any_mask const& mask) const {
    return attend_anew(call(tokens, mask)).bits();
  }
  std::vector<std::uint32_t> got(cache const& from, range tokens, any_mask const& mask) const {
    attention c = call(tokens, mask);
    c.kv = from;
    return attend_anew(c).bits();
  }
};

cache_shape with(index window, index margin = 1, index sinks = 0) {
  return {.window = window,
          .kv_heads = text::heads,
          .head_dim = text::dim,
          .margin = margin,
          .sinks = sinks};
}

TEST(CacheLife, TruncateAcrossTheWrapLeavesNothingOfWhatWasGivenBack) {
  text const kept_text(120), other(120, 50);
  any_mask const mask = causal{} & sliding_window{8};
  for (index const end : {index{9}, index{20}, index{23}, index{64}}) {
    for (index back = 0; back <= 6; ++back) {
      kept own(with(8, 6));
      ASSERT_TRUE(kept_text.feed(own.of, {0, end - back}).ok());
      ASSERT_TRUE(other.feed(own.of, {end - back, end}).ok());
      ASSERT_TRUE(own.of.truncate(end - back).ok());
      for (index p = end - back; p < end + 20; ++p) {
        ASSERT_TRUE(kept_text.feed(own.of, {p, p + 1}).ok());
        ASSERT_EQ(kept_text.got(own.of, {p, p + 1}, mask), kept_text.expected({p, p + 1}, mask))
            << end << " - " << back << " at " << p;
      }
    }
  }
}

TEST(CacheLife, TruncateBeyondTheMarginIsRefusedAndChangesNothing) {
  text const t(100);
  kept own(with(8, 3));
  ASSERT_TRUE(t.feed(own.of, {0, 50}).ok());
  for (index p = 0; p < 47; ++p) {
    EXPECT_EQ(own.of.can_resume(p), p == 0) << p;
    if (p > 0) {
      EXPECT_EQ(own.of.truncate(p).code, errc::evicted) << p;
    }
    EXPECT_EQ(own.of.positions(), (range{40, 50}));
  }
  EXPECT_EQ(own.of.truncate(51).code, errc::position);
  EXPECT_EQ(own.of.truncate(-1).code, errc::position);
  EXPECT_EQ(own.of.truncate(INT64_MIN).code, errc::position);
  EXPECT_FALSE(own.of.can_resume(INT64_MAX));
  EXPECT_TRUE(own.of.truncate(47).ok()) << "exactly the margin";
  EXPECT_EQ(own.of.positions(), (range{40, 47}));
  EXPECT_EQ(own.of.truncate(46).code, errc::evicted) << "it counts from the furthest end";
  EXPECT_TRUE(own.of.truncate(0).ok()) << "a new start needs nothing";
  EXPECT_TRUE(own.of.positions().empty());
}

TEST(CacheLife, SpeculativeRollbackNeedsAWindowAndTheDraftOnly) {
  // Drafts of 8 tokens are written, attended and given back, for ever, in window - 1 + 8 rows.
  text const t(300), draft(300, 9);
  any_mask const mask = causal{} & sliding_window{16};
  kept own(with(16, 8));
  EXPECT_EQ(own.of.capacity(), 23);
  for (index p = 0; p + 8 <= 300; ++p) {
    ASSERT_TRUE(draft.feed(own.of, {p, p + 8}).ok());
    ASSERT_TRUE(own.of.truncate(p).ok());
    ASSERT_TRUE(t.feed(own.of, {p, p + 1}).ok());
    ASSERT_EQ(t.got(own.of, {p, p + 1}, mask), t.expected({p, p + 1}, mask)) << p;
  }
}

TEST(CacheLife, AMaskThatReachesLostRowsIsRefused) {
  text const t(100);
  kept own(with(8));
  ASSERT_TRUE(t.feed(own.of, {0, 50}).ok());
  attention call = t.call({49, 50}, causal{} & sliding_window{9});
  tensor out(1, 4, text::dim);
  call.kv = own.of;
  call.out = out.view;
  EXPECT_EQ(check(call).code, errc::evicted);
  call.mask = causal{} & sliding_window{8};
  EXPECT_TRUE(check(call).ok());
}

TEST(CacheLife, RestoredAtEveryPhaseTheContinuationHasTheSameBits) {
  text const t(80);
  any_mask const mask = causal{} & (sliding_window{7} | sinks{3});
  for (index saved_at = 0; saved_at < 40; ++saved_at) {
    kept own(with(7, 2, 3)), other(with(7, 2, 3));
    ASSERT_TRUE(t.feed(own.of, {0, saved_at}).ok());
    std::vector<std::byte> blob(static_cast<std::size_t>(own.of.saved_bytes()));
    ASSERT_TRUE(own.of.save(blob).ok());
    ASSERT_TRUE(text(30, 70).feed(other.of, {0, 30}).ok()) << "of another user";
    ASSERT_TRUE(other.of.restore(blob).ok());
    for (index p = saved_at; p < saved_at + 25; ++p) {
      ASSERT_TRUE(t.feed(other.of, {p, p + 1}).ok());
      ASSERT_EQ(t.got(other.of, {p, p + 1}, mask), t.expected({p, p + 1}, mask)) << saved_at;
    }
  }
}

TEST(CacheLife, SinksAreNeverOverwritten) {
  text const t(2100);
  any_mask const mask = causal{} & (sliding_window{30} | sinks{4});
  kept own(with(30, 1, 4));
  EXPECT_EQ(own.of.capacity(), 34);
  for (index p = 0; p < 2100; ++p) {
    ASSERT_TRUE(t.feed(own.of, {p, p + 1}).ok());
    if (p > 140 && p % 97 != 0) continue;
    ASSERT_EQ(t.got(own.of, {p, p + 1}, mask), t.expected({p, p + 1}, mask)) << p;
  }
  EXPECT_EQ(own.of.positions(), (range{0, 2100}));
  EXPECT_EQ(own.of.lost(), (range{4, 2070}));
  EXPECT_EQ(any_source(own.of).held(), 34);
  // A piece of prompt, on several threads, within a plan for what is held.
  text const all(2200, 1);
  joined const both{own.of, all.k.view.slice({0, 100}), all.v.view.slice({0, 100})};
  attention const piece{.q = t.q.view.slice({0, 100}), .kv = both, .mask = mask};
  EXPECT_EQ(bounds_of(piece).kv_len, 134);
  auto const once = attend_anew(piece).bits();
  thread_pool pool(3);
  EXPECT_EQ(attend_anew(piece, pool).bits(), once);
}

TEST(CacheLife, AContextShiftOfAWindowIsThatOfTheWholeText) {
  // [4, 34) of 50 tokens is taken out; the window layer has lost most of it long ago.
  text const t(120);
  rope const by{.dim = text::dim, .pairs = rope_pairs::neighbours};
  any_mask const mask = causal{} & (sliding_window{10} | sinks{4});
  for (index const end : {index{50}, index{53}, index{57}}) {
    kept own(with(10, 1, 4)), all(with(200));
    aligned_memory scratch(erase_bytes(text::dim));
    for (cache* const c : {&own.of, &all.of}) {
      ASSERT_TRUE(t.feed(*c, {0, end}).ok());
      ASSERT_TRUE(c->erase({4, 34}, by, scratch).ok());
      EXPECT_EQ(c->positions().end, end - 30);
      ASSERT_TRUE(t.feed(*c, {end, end + 20}).ok());
    }
    attention call{.q = t.q.view.slice({0, 1}), .kv = own.of, .mask = mask};
    auto const windowed = attend_anew(call).bits();
    call.kv = all.of;
    EXPECT_EQ(attend_anew(call).bits(), windowed);
  }
}

TEST(CacheLife, AnErasedPartOfTheWindowIsMissed) {
  text const t(60);
  kept own(with(10)), spare(with(10, 4));
  for (cache* const c : {&own.of, &spare.of}) {
    ASSERT_TRUE(t.feed(*c, {0, 40}).ok());
    ASSERT_TRUE(c->erase({36, 39}).ok());
  }
  EXPECT_FALSE(own.of.can_resume(37)) << "rows 28 .. 30 were overwritten";
  EXPECT_TRUE(spare.of.can_resume(37)) << "a margin of the rows erased keeps them";
  attention call = t.call({36, 37}, causal{} & sliding_window{10});
  tensor out(1, 4, text::dim);
  call.out = out.view;
  call.kv = own.of;
  EXPECT_EQ(check(call).code, errc::evicted);
  call.kv = spare.of;
  EXPECT_TRUE(check(call).ok());
  EXPECT_EQ(own.of.erase({36, 38}).code, errc::position);
  EXPECT_EQ(own.of.erase({37, 36}).code, errc::position);
  EXPECT_EQ(own.of.erase({-1, 3}).code, errc::position);
  EXPECT_EQ(own.of.erase({INT64_MIN, INT64_MAX}).code, errc::position);
}

TEST(CacheLife, RowsThatBecomeSinksMustBeHeld) {
  text const t(60);
  kept own(with(10, 1, 4));
  ASSERT_TRUE(t.feed(own.of, {0, 40}).ok());
  EXPECT_EQ(own.of.erase({1, 3}).code, errc::evicted);
  EXPECT_EQ(own.of.positions(), (range{0, 40}));
  ASSERT_TRUE(own.of.erase({1, 35}).ok()) << "1, 2 and 3 are then what was 35, 36 and 37";
  EXPECT_EQ(own.of.positions(), (range{0, 6}));
  EXPECT_TRUE(own.of.lost().empty());
  for (index p = 1; p < 6; ++p) {
    EXPECT_EQ(own.of.run_at(1, p).k.row(0)[3], t.k.view.row(p + 34, 1)[3]) << p;
  }
}

TEST(CacheLife, AForkIsIndependent) {
  text const t(60), other(60, 5);
  kept own(with(10, 2)), fork(with(10, 2)), wider(with(11, 2));
  any_mask const mask = causal{} & sliding_window{10};
  ASSERT_TRUE(t.feed(own.of, {0, 35}).ok());
  ASSERT_TRUE(fork.of.copy(own.of).ok());
  ASSERT_TRUE(other.feed(fork.of, {35, 50}).ok());
  ASSERT_TRUE(t.feed(own.of, {35, 36}).ok());
  EXPECT_EQ(t.got(own.of, {35, 36}, mask), t.expected({35, 36}, mask));
  EXPECT_EQ(wider.of.copy(own.of).code, errc::shape);
  EXPECT_EQ(cache({}, with(10, 2)).copy(own.of).code, errc::memory);
  cache overlapping(own.bytes.span().subspan(0), with(10, 2));
  EXPECT_EQ(overlapping.copy(own.of).code, errc::alias);
  EXPECT_TRUE(own.of.copy(own.of).ok()) << "itself";
}

TEST(CacheLife, AWindowOfOneAndSinksOnly) {
  text const t(20);
  any_mask const mask = causal{} & (sliding_window{1} | sinks{2});
  kept own(with(1, 1, 2));
  for (index p = 0; p < 20; ++p) {
    ASSERT_TRUE(t.feed(own.of, {p, p + 1}).ok());
    ASSERT_EQ(t.got(own.of, {p, p + 1}, mask), t.expected({p, p + 1}, mask)) << p;
  }
  ASSERT_TRUE(own.of.truncate(7).ok()) << "a window of one needs no row before it";
  EXPECT_EQ(own.of.lost(), (range{2, 7}));
  ASSERT_TRUE(t.feed(own.of, {7, 8}).ok());
  EXPECT_EQ(t.got(own.of, {7, 8}, mask), t.expected({7, 8}, mask));
  ASSERT_TRUE(own.of.truncate(1).ok());
  EXPECT_EQ(own.of.positions(), (range{0, 1}));
  EXPECT_TRUE(own.of.lost().empty());
}

}  // namespace
}  // namespace oriel::test
