// SPDX-License-Identifier: BSL-1.0
#include "oriel/cache/kivi_cache.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <optional>
#include <vector>

#include "cache_oracle.hpp"
#include "dice.hpp"
#include "oriel/cache/joined.hpp"

namespace oriel {
namespace {

using kivi = kivi_cache<2, 16>;
static_assert(kv_source<kivi> && is_cache<kivi>);
static_assert(kivi_cache<>::required_bytes({.window = 32, .kv_heads = 2, .head_dim = 128}) ==
              32 * 2 * 2 * 48 + 32 * 2 * 256 * 4);
static_assert(kivi_cache<>::required_bytes({.window = 33, .kv_heads = 2, .head_dim = 128}) ==
                  64 * 2 * 2 * 48 + 32 * 2 * 256 * 4,
              "whole groups");
static_assert(kivi_cache<>::required_bytes(
                  {.window = 20, .kv_heads = 2, .head_dim = 128, .margin = 5, .sinks = 4}) ==
                  (32 + 32) * 2 * 2 * 48 + (32 + 4) * 2 * 256 * 4,
              "sinks in whole groups; rows of a rollback as floats");
static_assert(kivi_cache<>::required_bytes({.window = INT64_MAX, .head_dim = 128}) == INT64_MAX);
static_assert(kivi_cache<>::required_bytes({.window = 1, .head_dim = 128, .margin = 1ll << 62}) ==
              INT64_MAX);
static_assert(kivi_cache<>::required_bytes({.window = 1, .head_dim = 128, .sinks = INT64_MAX}) ==
              INT64_MAX);

/// A row of a position as the cache shows it.
std::vector<float> shown(kv_run const& run, stored_rows const& rows, index dim) {
  std::vector<float> to(static_cast<std::size_t>(dim));
  float const* const row = run.floats(rows, dim, to.data());
  return {row, row + dim};
}

/// What lies before settled(p) is read the same whatever follows from p on.
TEST(KiviCache, ARowIsSettledWithItsGroup) {
  cache_shape const shape{.window = 64, .head_dim = 4};
  guarded_bytes memory(kivi::required_bytes(shape));
  kivi kept(memory.bytes(), shape);
  std::vector<float> const rows(50 * 4, 1.0f);
  auto const view = [&](index n) { return tensor_view<float const>(rows.data(), n, 1, 4); };
  EXPECT_EQ(kept.settled(40), 0) << "it may begin anywhere";
  ASSERT_TRUE(kept.append(view(40), view(40), 5).ok());
  any_source const of = kept;
  EXPECT_EQ(of.settled(45), 32);
  EXPECT_EQ(of.settled(48), 32) << "others than these may follow";
  EXPECT_EQ(of.settled(INT64_MAX), 32);
  EXPECT_EQ(of.settled(32), 32);
  EXPECT_EQ(of.settled(31), 16);
  EXPECT_EQ(any_source(joined(kept, view(50), view(50))).settled(95), 32) << "shown as floats";
  EXPECT_EQ(any_source(joined(of, view(50), view(50))).settled(95), 32);
  EXPECT_EQ(any_source(contiguous(view(50), view(50))).settled(45), 45);
}

TEST(KiviCache, NewestRowsAreFloatsAndOldOnesKeepTheirChannelsScale) {
  dice d(2);
  for (int round = 0; round < 60 && !testing::Test::HasFailure(); ++round) {
    cache_shape const shape{.window = d.between(index{1}, index{40}),
                            .kv_heads = d.between(index{1}, index{2}),
                            .head_dim = d.between(index{1}, index{40}),
                            .v_dim = d.between(index{1}, index{40}),
                            .margin = d.between(index{1}, index{5})};
    guarded_bytes memory(kivi::required_bytes(shape));
    kivi kept(memory.bytes(), shape);
    ASSERT_TRUE(kept.check().ok());
    EXPECT_EQ(kept.capacity() % 16, 0);
    index const first = d.pick(std::vector<index>{0, 5, 16, (index{1} << 40) + 3});
    std::vector<std::vector<float>> keys, values;  // [token][head * dim]
    for (int piece = 0; piece < 6; ++piece) {
      index const n = d.between(index{0}, index{50});
      std::vector<float> k(static_cast<std::size_t>(n * shape.kv_heads * shape.head_dim));
      std::vector<float> v(static_cast<std::size_t>(n * shape.kv_heads * *shape.v_dim));
      for (float& x : k) x = d.real();
      for (float& x : v) x = d.real();
      tensor_view<float const> const k_view(k.data(), n, shape.kv_heads, shape.head_dim);
      tensor_view<float const> const v_view(v.data(), n, shape.kv_heads, *shape.v_dim);
      ASSERT_TRUE(
          kept.append(k_view, v_view, keys.empty() ? std::optional(first) : std::nullopt).ok());
      for (index t = 0; t < n; ++t) {
        keys.emplace_back(k_view.row(t, 0), k_view.row(t, 0) + shape.kv_heads * shape.head_dim);
        values.emplace_back(v_view.row(t, 0), v_view.row(t, 0) + shape.kv_heads * *shape.v_dim);
      }
      ASSERT_TRUE(memory.intact());
      if (keys.empty()) continue;
      range const held = kept.positions();
      ASSERT_EQ(held.end, first + std::ssize(keys));
      EXPECT_LE(held.begin, max_of(first, held.end - (shape.window - 1 + shape.margin)));
      EXPECT_EQ(kept.lost(), (range{first, held.begin}));
      for (index p = held.begin; p < held.end; ++p) {
        for (index head = 0; head < shape.kv_heads; ++head) {
          kv_run const run = kept.run_at(head, p);
          ASSERT_GE(run.rows, 1);
          ASSERT_LE(p + run.rows, held.end);
          auto const key = shown(run, run.k, shape.head_dim);
          auto const value = shown(run, run.v, *shape.v_dim);
          auto const t = static_cast<std::size_t>(p - first);
          bool const is_fresh = p >= round_down(held.end, 16);
          EXPECT_EQ(kept.fresh().contains(p), is_fresh);
          for (index c = 0; c < shape.head_dim; ++c) {
            auto const at = static_cast<std::size_t>(head * shape.head_dim + c);
            if (is_fresh) {
              ASSERT_EQ(key[static_cast<std::size_t>(c)], keys[t][at]);
              continue;
            }
            float low = HUGE_VALF, high = -HUGE_VALF;  // of the channel in its group
            for (index g = max_of(first, round_down(p, 16)); g < round_down(p, 16) + 16; ++g) {
              low = std::min(low, keys[static_cast<std::size_t>(g - first)][at]);
              high = std::max(high, keys[static_cast<std::size_t>(g - first)][at]);
            }
            ASSERT_NEAR(key[static_cast<std::size_t>(c)], keys[t][at],
                        0.51f * (high - low) / 3.0f + 2e-3f);
          }
          for (index c = 0; c < *shape.v_dim; ++c) {
            auto const at = static_cast<std::size_t>(head * *shape.v_dim + c);
            float const error = std::abs(value[static_cast<std::size_t>(c)] - values[t][at]);
            ASSERT_LE(error, is_fresh ? 0.0f : 0.51f * 2.0f / 3.0f + 2e-3f);
          }
          // A run's other rows are those of its other positions.
          std::vector<float> all(static_cast<std::size_t>(run.rows * shape.head_dim));
          if (run.k.reader) {
            run.k.reader(run.slice(run.k, shape.head_dim), all.data());
            for (index i = 0; i < run.rows; ++i) {
              kv_run const other = kept.run_at(head, p + i);
              auto const expected = shown(other, other.k, shape.head_dim);
              auto const begin = all.begin() + i * shape.head_dim;
              ASSERT_TRUE(std::equal(expected.begin(), expected.end(), begin));
            }
          }
        }
      }
    }
  }
}

TEST(KiviCache, ChecksNameTheRule) {
  EXPECT_EQ(kivi_cache<2>::token_bytes({.window = 8, .head_dim = INT64_MIN}), 0);
  cache_shape const shape{.window = 20, .kv_heads = 2, .head_dim = 8};
  guarded_bytes memory(kivi::required_bytes(shape));
  kivi kept(memory.bytes(), shape);
  std::vector<float> const rows(64);
  tensor_view<float const> const k(rows.data(), 2, 2, 8), short_k(rows.data(), 2, 2, 7);
  EXPECT_EQ(kivi(memory.bytes().first(64), shape).check().code, errc::memory);
  EXPECT_EQ(kivi(memory.bytes(), {.window = 0, .head_dim = 8}).check().code, errc::shape);
  EXPECT_EQ(kivi(memory.bytes(), {.window = 1, .head_dim = 5000}).check().code, errc::shape);
  EXPECT_EQ(kept.append(short_k, k).code, errc::shape);
  EXPECT_EQ(kept.append(k, k, -1).code, errc::position);
  EXPECT_TRUE(kept.append(k, k, 3).ok());
  EXPECT_EQ(kept.append(k, k, 3).code, errc::position);
  auto* const own = reinterpret_cast<float const*>(memory.bytes().data());
  EXPECT_EQ(kept.append(tensor_view<float const>(own, 1, 2, 8), k.slice({0, 1})).code, errc::alias);
  EXPECT_EQ(kept.positions(), (range{3, 5}));
  kept.clear();
  EXPECT_TRUE(kept.positions().empty());
}

/// Tokens of a text, all different.
struct text {
  static constexpr index heads = 2, dim = 33, v_dim = 18;
  std::vector<float> keys, values;
  explicit text(index n, std::uint64_t seed = 1) {
    dice d(seed);
    for (index i = 0; i < n * heads * dim; ++i) keys.push_back(d.real());
    for (index i = 0; i < n * heads * v_dim; ++i) values.push_back(d.real());
  }
  tensor_view<float const> k(range of) const {
    return {keys.data() + of.begin * heads * dim, of.size(), heads, dim};
  }
  tensor_view<float const> v(range of) const {
    return {values.data() + of.begin * heads * v_dim, of.size(), heads, v_dim};
  }
};
cache_shape with(index window, index margin = 1, index sinks = 0) {
  return {.window = window,
          .kv_heads = text::heads,
          .head_dim = text::dim,
          .v_dim = text::v_dim,
          .margin = margin,
          .sinks = sinks};
}
template <class Cache = kivi>
struct kept_in {
  guarded_bytes bytes;
  Cache of;
  explicit kept_in(cache_shape const& s) : bytes(Cache::required_bytes(s)), of(bytes.bytes(), s) {
    EXPECT_TRUE(of.check().ok());
  }
  void feed(text const& t, range tokens, std::optional<index> first = std::nullopt) {
    ASSERT_TRUE(of.append(t.k(tokens), t.v(tokens), first).ok());
    ASSERT_TRUE(bytes.intact());
  }
  bool holds(index p) const { return of.positions().contains(p) && !of.lost().contains(p); }
  /// Key, then value of a position, of all heads.
  std::vector<float> row(index p) const {
    std::vector<float> all;
    for (index h = 0; h < text::heads; ++h) {
      kv_run const run = of.run_at(h, p);
      auto const k = shown(run, run.k, text::dim), v = shown(run, run.v, text::v_dim);
      all.insert(all.end(), k.begin(), k.end());
      all.insert(all.end(), v.begin(), v.end());
    }
    return all;
  }
  std::vector<std::byte> saved() const {
    std::vector<std::byte> to(static_cast<std::size_t>(of.saved_bytes()));
    EXPECT_TRUE(of.save(to).ok());
    return to;
  }
};
using kept = kept_in<>;

/// Each row that both hold is the same; `other` holds what `own` does.
void expect_rows(kept const& own, kept const& other) {
  ASSERT_EQ(own.of.positions().end, other.of.positions().end);
  ASSERT_EQ(own.of.fresh(), other.of.fresh());
  for (index p = own.of.positions().begin; p < own.of.positions().end; ++p) {
    if (!own.holds(p)) continue;
    ASSERT_TRUE(other.holds(p));
    ASSERT_EQ(own.row(p), other.row(p)) << p;
  }
}

constexpr index last_first = max_position - 400;

TEST(KiviCache, TruncateIsAsIfTheRowsHadNeverBeen) {
  text const first_text(150, 1), other(150, 2);
  int taken = 0, refused = 0;
  for (index const first : {index{0}, index{5}, index{16}, (index{1} << 31) - 3, last_first}) {
    for (index const margin : {1, 5, 20}) {
      for (index const window : {1, 7, 33}) {
        for (index const n : {1, 15, 16, 47, 48, 100}) {
          for (index const back : {0, 1, 3, 15, 16, 17, 32, 35, 100}) {
            if (back > n) continue;
            index const end = first + n, at = end - back;
            kept own(with(window, margin)), twin(with(window, margin));
            own.feed(first_text, {0, n}, first);
            auto const before = own.saved();
            bool const on_edge = at == first || at % 16 == 0;
            range const needed{max_of(first, at - window + 1), at};
            bool const window_held = intersect(needed, own.of.lost()).empty();
            bool const as_floats = max_of(first, round_down(at, 16)) >= end - (15 + margin);
            ASSERT_EQ(own.of.can_resume(at), window_held && (on_edge || as_floats));
            if (back <= margin) {
              ASSERT_TRUE(own.of.can_resume(at));
            }
            status const got = own.of.truncate(at);
            if (!own.of.can_resume(at)) {
              ++refused;
              ASSERT_EQ(got.code, errc::evicted);
              ASSERT_EQ(own.saved(), before) << "nothing changes";
              continue;
            }
            ++taken;
            ASSERT_TRUE(got.ok()) << got.what;
            if (n > back) {
              twin.feed(first_text, {0, n - back}, first);
              expect_rows(own, twin);
            }
            own.feed(other, {0, 40}, at), twin.feed(other, {0, 40}, at);
            expect_rows(own, twin);
          }
        }
      }
    }
  }
  EXPECT_GT(taken, 1000);
  EXPECT_GT(refused, 100);
}

TEST(KiviCache, RowsThatWereOverwrittenStayLostBehindATruncate) {
  text const t(200);
  kept own(with(1));
  own.feed(t, {0, 100});
  EXPECT_EQ(own.of.lost(), (range{0, 80}));
  ASSERT_TRUE(own.of.truncate(64).ok()) << "a window of 1 needs nothing of it";
  EXPECT_EQ(own.of.lost(), (range{0, 64}));
  EXPECT_TRUE(own.of.positions().empty());
  own.feed(t, {64, 70});
  EXPECT_EQ(own.of.lost(), (range{0, 64}));
  EXPECT_EQ(own.of.fresh(), (range{64, 70}));
  ASSERT_TRUE(own.of.truncate(0).ok());
  EXPECT_TRUE(own.of.lost().empty());
  own.feed(t, {0, 3}, 7);
  EXPECT_EQ(own.of.positions(), (range{7, 10}));
}

TEST(KiviCache, EraseOfWholeGroupsKeepsTheBitsOfThoseBehind) {
  text const t(300);
  for (index const window : {1, 40, 200}) {
    for (range const erased : {range{16, 48}, {0, 16}, {48, 112}, {112, 128}, {0, 112}}) {
      for (index const n : {128, 133}) {
        kept own(with(window));
        own.feed(t, {0, n});
        std::vector<std::vector<float>> rows(static_cast<std::size_t>(n));
        for (index p = 0; p < n; ++p) {
          if (own.holds(p)) rows[static_cast<std::size_t>(p)] = own.row(p);
        }
        range const lost = own.of.lost();
        ASSERT_TRUE(own.of.erase(erased).ok());
        ASSERT_TRUE(own.bytes.intact());
        ASSERT_EQ(own.of.positions().end, n - erased.size());
        for (index p = 0; p < n; ++p) {
          if (erased.contains(p)) continue;
          index const now = p < erased.begin ? p : p - erased.size();
          ASSERT_EQ(own.holds(now), !lost.contains(p)) << p;
          if (own.holds(now)) {
            ASSERT_EQ(own.row(now), rows[static_cast<std::size_t>(p)]) << p;
          }
        }
        own.feed(t, {n, 250});
        index const end = own.of.positions().end;
        EXPECT_LE(own.of.lost().end, max_of(0, end - window));
      }
    }
  }
}

TEST(KiviCache, EraseAmongFloatsIsATruncateAndAnAppend) {
  text const t(200);
  for (index const margin : {1, 30}) {
    for (range const erased : {range{90, 93}, {81, 97}, {96, 100}, {97, 98}, {60, 62}, {70, 100}}) {
      kept own(with(50, margin)), twin(with(50, margin));
      own.feed(t, {0, 100});
      auto const before = own.saved();
      bool const possible = round_down(erased.begin, 16) >= 100 - (15 + margin);
      ASSERT_EQ(own.of.check_erase(erased).ok(), possible);
      status const got = own.of.erase(erased);
      if (!possible) {
        EXPECT_EQ(got.code, errc::evicted);
        EXPECT_EQ(own.saved(), before);
        continue;
      }
      ASSERT_TRUE(got.ok());
      twin.feed(t, {0, erased.begin});
      if (erased.end < 100) twin.feed(t, {erased.end, 100});
      expect_rows(own, twin);
      own.feed(t, {100, 160}), twin.feed(t, {100, 160});
      expect_rows(own, twin);
    }
  }
}

// Behind a first row within a group there may be a group more than before.
TEST(KiviCache, EraseFromAFirstRowWithinAGroup) {
  text const t(120);
  index erased = 0;
  for (index const first : {1, 9, 15}) {
    for (index const margin : {17, 18, 24, 33}) {
      for (index end = first + 4; end < 80; ++end) {
        for (index const n : {1, 3}) {
          kept own(with(1, margin)), twin(with(1, margin));
          own.feed(t, {0, end - first}, first);
          if (!own.of.erase({first, first + n}).ok()) continue;
          ++erased;
          twin.feed(t, {n, end - first}, first);
          expect_rows(own, twin);
          own.feed(t, {end - first, end - first + 20});
          twin.feed(t, {end - first, end - first + 20});
          expect_rows(own, twin);
        }
      }
    }
  }
  EXPECT_GT(erased, 300);
}
TEST(KiviCache, EraseThatTakesAGroupApartNamesTheRule) {
  text const t(100);
  kept own(with(90));
  own.feed(t, {0, 100});
  auto const before = own.saved();
  for (range const r : {range{1, 17}, {0, 15}, {16, 33}, {17, 32}, {5, 97}}) {
    EXPECT_EQ(own.of.erase(r).code, errc::evicted);
    EXPECT_EQ(own.of.check_erase(r).code, errc::evicted);
  }
  for (range const r : {range{-1, 3}, {50, 101}, {30, 20}, {INT64_MIN, INT64_MAX}}) {
    EXPECT_EQ(own.of.erase(r).code, errc::position);
  }
  EXPECT_TRUE(own.of.erase({7, 7}).ok());
  EXPECT_EQ(own.saved(), before) << "nothing changes";
  EXPECT_TRUE(own.of.erase({0, 100}).ok()) << "all there is";
  EXPECT_TRUE(own.of.positions().empty());
}

TEST(KiviCache, EraseTurnsKeysToTheirNewPositions) {
  text const t(100);
  rope const by{.dim = 32};
  alignas(64) std::byte memory[8192];
  workspace const scratch{
      std::span(memory).first(static_cast<std::size_t>(erase_bytes(text::dim, 16)))};
  kept own(with(90, 20));
  own.feed(t, {0, 100});
  EXPECT_EQ(own.of.erase({16, 48}, {.dim = 34}, scratch).code, errc::shape);
  EXPECT_EQ(own.of.erase({16, 48}, by, {}).code, errc::memory);
  EXPECT_EQ(own.of.erase({16, 48}, by, {scratch.bytes.first(scratch.bytes.size() - 1)}).code,
            errc::workspace);
  EXPECT_EQ(own.of.erase({16, 48}, by, {std::span(memory).subspan(4)}).code, errc::alignment);
  EXPECT_EQ(own.of.erase({16, 48}, by, {own.bytes.bytes()}).code, errc::alias);
  EXPECT_EQ(own.of.erase({16, 47}, by, scratch).code, errc::evicted);
  std::vector<std::vector<float>> rows;
  for (index p = 0; p < 100; ++p) rows.push_back(own.row(p));
  ASSERT_TRUE(own.of.erase({16, 48}, by, scratch).ok());
  ASSERT_TRUE(own.bytes.intact());
  auto const turned = [&](std::vector<float> row, float const* exact) {
    float cos_sin[text::dim];
    by.cos_sin(-32, cos_sin);
    for (index h = 0; h < text::heads; ++h) {
      float* const key = row.data() + h * (text::dim + text::v_dim);
      if (exact) std::copy_n(exact + h * text::dim, text::dim, key);
      by.rotate(cos_sin, key);
    }
    return row;
  };
  auto const expect_near = [&](index p, std::vector<float> const& want, float most) {
    std::vector<float> const got = own.row(p);
    for (std::size_t i = 0; i < got.size(); ++i) {
      bool const key = i % (text::dim + text::v_dim) < 33;
      ASSERT_NEAR(got[i], want[i], key ? most : 0.0f) << p;
    }
  };
  for (index p = 0; p < 16; ++p) EXPECT_EQ(own.row(p), rows[static_cast<std::size_t>(p)]);
  for (index p = 48; p < 100; ++p) {
    // Half a step of a channel whose turned keys are within 2 sqrt(2).
    float const most = p < 96 ? 0.51f * 2.83f / 3.0f + 4e-3f : 1e-6f;
    bool const of_floats = p >= 80 && p < 96;  // a group that is made of its floats
    float const* const exact = t.keys.data() + p * text::heads * text::dim;
    expect_near(p - 32, turned(rows[static_cast<std::size_t>(p)], of_floats ? exact : nullptr),
                most);
  }
  // Floats behind complete groups were turned too: a rollback shows them.
  ASSERT_TRUE(own.of.truncate(60).ok());
  for (index p = 80; p < 92; ++p) {
    auto const first = std::size_t(p) * text::heads;
    std::vector<float> want =
        turned(rows[static_cast<std::size_t>(p)], t.keys.data() + first * text::dim);
    for (index h = 0; h < text::heads; ++h) {
      std::copy_n(t.values.data() + (first + static_cast<std::size_t>(h)) * text::v_dim,
                  text::v_dim, want.data() + h * (text::dim + text::v_dim) + text::dim);
    }
    expect_near(p - 32, want, 1e-6f);
  }
}

// Groups whose floats are kept are made of them, once they are turned.
TEST(KiviCache, EraseTurnsGroupsAsTheirFloats) {
  text t(160);
  rope const by{.dim = 32};
  alignas(64) std::byte memory[8192];
  workspace const scratch{
      std::span(memory).first(static_cast<std::size_t>(erase_bytes(text::dim, 16)))};
  kept own(with(90, 40)), twin(with(90, 40));
  own.feed(t, {0, 128});
  ASSERT_TRUE(own.of.erase({16, 48}, by, scratch).ok());
  index const first = round_up(own.of.floats().begin, 16);
  ASSERT_EQ(first, 48);
  float cos_sin[text::dim];
  by.cos_sin(-32, cos_sin);
  for (index row = 80 * text::heads; row < 128 * text::heads; ++row) {
    by.rotate(cos_sin, t.keys.data() + row * text::dim);
  }
  twin.feed(t, {80, 128}, first);
  for (index p = first; p < 96; ++p) EXPECT_EQ(own.row(p), twin.row(p)) << p;
}
TEST(KiviCache, SavedBytesGiveTheSameFuture) {
  text const t(200);
  for (index const first : {index{0}, index{5}, index{1} << 40}) {
    for (index const n : {0, 1, 16, 31, 100, 101}) {
      for (index const sinks : {0, 3}) {
        kept own(with(20, 4, sinks)), other(with(20, 4, sinks)), wide(with(20, 30, sinks)),
            narrow(with(20, 1, sinks));
        if (n > 0) own.feed(t, {0, n}, first);
        if (n == 100) {
          EXPECT_TRUE(own.of.erase({first - first % 16 + 80, first - first % 16 + 96}).ok());
        }
        other.feed(t, {150, 190}, 3);
        auto const bytes = own.saved();
        for (kept* to : {&other, &wide, &narrow}) {
          ASSERT_TRUE(to->of.check_restore(bytes).ok());
          ASSERT_TRUE(to->of.restore(bytes).ok());
          ASSERT_TRUE(to->bytes.intact());
        }
        EXPECT_EQ(other.saved(), bytes);
        ASSERT_EQ(other.of.positions(), own.of.positions());
        ASSERT_EQ(other.of.lost(), own.of.lost());
        ASSERT_EQ(other.of.floats(), own.of.floats());
        expect_rows(own, other), expect_rows(own, wide), expect_rows(narrow, own);
        index const end = own.of.positions().end;
        for (index p = end - 40; p <= end; ++p) {
          ASSERT_EQ(own.of.can_resume(p), other.of.can_resume(p));
        }
        if (!own.of.can_resume(end - 4) || n < 16) continue;
        ASSERT_TRUE(own.of.truncate(end - 4).ok());
        for (kept* to : {&other, &wide}) ASSERT_TRUE(to->of.truncate(end - 4).ok());
        own.feed(t, {120, 160}), other.feed(t, {120, 160}), wide.feed(t, {120, 160});
        expect_rows(own, other), expect_rows(own, wide);
      }
    }
  }
}

TEST(KiviCache, BytesThatItDidNotSaveAreRefused) {
  text const t(100);
  kept own(with(20, 4));
  own.feed(t, {0, 71}, 5);
  auto bytes = own.saved();
  EXPECT_EQ(own.of.save(std::span(bytes).first(bytes.size() - 1)).code, errc::memory);
  EXPECT_EQ(own.of.save(own.bytes.bytes()).code, errc::memory) << "too few, and its own";
  for (std::size_t cut = 0; cut < bytes.size(); cut += 7) {
    EXPECT_EQ(own.of.restore(std::span(bytes).first(cut)).code, errc::saved);
  }
  for (std::size_t at = 0; at < bytes.size(); at += 5) {
    bytes[at] ^= std::byte{4};
    EXPECT_EQ(own.of.restore(bytes).code, errc::saved);
    bytes[at] ^= std::byte{4};
  }
  EXPECT_EQ(own.saved(), bytes) << "nothing has changed";

  kept_in<kivi_cache<4, 16>> bits(with(20, 4));
  kept_in<kivi_cache<2, 32>> group(with(20, 4));
  kept_in<kivi_cache<2, 16, float>> parameter(with(20, 4));
  kept window(with(21, 4));
  EXPECT_EQ(bits.of.restore(bytes).code, errc::saved);
  EXPECT_EQ(group.of.restore(bytes).code, errc::saved);
  EXPECT_EQ(parameter.of.restore(bytes).code, errc::saved);
  EXPECT_EQ(window.of.restore(bytes).code, errc::saved);
  using rolling = rolling_cache<quantized<2, 16, true, f16>>;
  guarded_bytes memory(rolling::required_bytes(with(20, 4)));
  rolling ring(memory.bytes(), with(20, 4));
  EXPECT_EQ(ring.restore(bytes).code, errc::saved) << "another kind of cache";

  // Positions that no cache has, with a checksum that fits.
  auto const size = static_cast<index>(bytes.size());
  auto const number = [&](int word) { return bytes.data() + 8 * (4 + word); };
  for (int const word : {5, 6, 7, 8}) {
    for (index const value :
         {index{-1}, INT64_MIN, INT64_MAX, max_position, index{33}, index{75}}) {
      auto const saved = bytes;
      detail::saved_out{number(word)}.number(value);
      bool const same = saved == bytes;
      detail::end_saved(bytes.data(), size);
      EXPECT_EQ(own.of.restore(bytes).ok(), same) << word << ' ' << value;
      bytes = saved;
    }
  }
}

TEST(KiviCache, SinksStayInWholeGroups) {
  text const t(300);
  kept own(with(20, 1, 3)), all(with(300));
  EXPECT_EQ(own.of.capacity(), 16 + 32);
  own.feed(t, {0, 10}), own.feed(t, {10, 201});
  all.feed(t, {0, 201});
  EXPECT_EQ(own.of.positions(), (range{0, 201}));
  EXPECT_EQ(own.of.lost(), (range{16, 192 - 32}));
  for (index p = 0; p < 201; ++p) {
    ASSERT_EQ(own.holds(p), !own.of.lost().contains(p));
    if (own.holds(p)) {
      ASSERT_EQ(own.row(p), all.row(p));
    }
  }
  EXPECT_EQ(own.of.erase({0, 16}).code, errc::evicted) << "lost rows would become sinks";
  ASSERT_TRUE(own.of.erase({16, 160}).ok());
  EXPECT_TRUE(own.of.lost().empty());
  for (index p = 16; p < 57; ++p) EXPECT_EQ(own.row(p), all.row(p + 144));
  ASSERT_TRUE(own.of.erase({0, 16}).ok()) << "the next group becomes the pinned one";
  for (index p = 0; p < 41; ++p) EXPECT_EQ(own.row(p), all.row(p + 160));
  own.feed(t, {201, 260});
  EXPECT_EQ(own.of.lost(), (range{16, 96 - 32}));
  for (index p = 0; p < 16; ++p) EXPECT_EQ(own.row(p), all.row(p + 160));
}

TEST(KiviCache, CopiesAndTheUnusable) {
  text const t(100);
  kept own(with(20, 4, 2)), other(with(20, 4, 2)), wide(with(20, 5, 2));
  own.feed(t, {0, 77}, 9);
  other.feed(t, {50, 60});
  ASSERT_TRUE(other.of.copy(own.of).ok());
  EXPECT_EQ(other.saved(), own.saved());
  EXPECT_TRUE(own.of.copy(own.of).ok());
  EXPECT_EQ(wide.of.copy(own.of).code, errc::shape);
  kivi same(own.bytes.bytes(), with(20, 4, 2));
  EXPECT_EQ(same.copy(own.of).code, errc::alias);

  kivi none(status{errc::cpu, "why"});
  std::byte some[512];
  EXPECT_EQ(none.check().code, errc::cpu);
  EXPECT_EQ(none.append(t.k({0, 1}), t.v({0, 1})).code, errc::cpu);
  EXPECT_EQ(none.truncate(0).code, errc::cpu);
  EXPECT_EQ(none.erase({0, 0}).code, errc::cpu);
  EXPECT_EQ(none.erase({0, 0}, {.dim = 2}, {}).code, errc::cpu);
  EXPECT_EQ(none.save(some).code, errc::cpu);
  EXPECT_EQ(none.restore(some).code, errc::cpu);
  EXPECT_EQ(none.copy(own.of).code, errc::cpu);
  EXPECT_EQ(own.of.copy(none).code, errc::cpu);
  EXPECT_FALSE(none.can_resume(0));
  EXPECT_EQ(none.saved_bytes(), 0);
  EXPECT_EQ(none.capacity(), 0);
  EXPECT_TRUE(none.positions().empty());
  EXPECT_TRUE(none.lost().empty());

  float out[4];
  for (cache_shape const& bad : {cache_shape{.window = 1, .head_dim = 4, .margin = INT64_MIN},
                                 cache_shape{.window = 1, .head_dim = INT64_MIN}}) {
    kivi const refused(some, bad);
    EXPECT_EQ(refused.check().code, errc::shape);
    EXPECT_FALSE(refused.overlaps({out, 1, 1, 4}));
  }
}

TEST(KiviCache, EdgesOfLengthAndPosition) {
  text const t(200);
  kept own(with(1));
  EXPECT_EQ(own.of.capacity(), 16) << "a group, though a window of 1 needs one row";
  own.feed(t, {0, 0});
  EXPECT_TRUE(own.of.positions().empty());
  EXPECT_TRUE(own.of.truncate(0).ok());
  EXPECT_EQ(own.of.truncate(1).code, errc::position);
  EXPECT_EQ(own.of.truncate(INT64_MIN).code, errc::position);
  EXPECT_EQ(own.of.append(t.k({0, 1}), t.v({0, 1}), INT64_MIN).code, errc::position);
  EXPECT_EQ(own.of.append(t.k({0, 20}), t.v({0, 20}), max_position - 20).code, errc::position);
  own.feed(t, {0, 19}, max_position - 20);
  EXPECT_EQ(own.of.positions(), (range{max_position - 20, max_position - 1}));
  EXPECT_EQ(own.of.append(t.k({0, 1}), t.v({0, 1})).code, errc::position);
  ASSERT_TRUE(own.of.truncate(max_position - 16).ok());
  own.feed(t, {0, 2});
  own.of.clear();
  own.feed(t, {0, 200});  // longer than the ring, with the bits of a cut one
  kept cut(with(1));
  for (index n = 0; n < 200; n += 8) cut.feed(t, {n, n + 8});
  expect_rows(own, cut);
  EXPECT_EQ(own.saved(), cut.saved());
}

}  // namespace
}  // namespace oriel
