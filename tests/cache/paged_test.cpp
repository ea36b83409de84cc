// SPDX-License-Identifier: BSL-1.0
#include "oriel/cache/paged.hpp"

#include <gtest/gtest.h>

#include <cstring>

#include "problem.hpp"

namespace oriel::test {
namespace {

static_assert(kv_source<paged> && !is_cache<paged>);
static_assert(!std::is_constructible_v<paged, page_pool, integers, index>, "a pool is referred to");

/// Pages of a size and layout, and a sequence scattered over them.
struct scattered {
  std::vector<float> floats;
  std::vector<std::int32_t> table;
  page_pool pool;

  scattered(problem const& p, index page_size, bool head_major, bool in_order) {
    index const pages = p.of.kv_len / page_size + 3;
    index const heads = p.of.kv_heads, dim = p.of.head_dim, v_dim = p.of.value_dim();
    index const k_page = page_size * heads * dim, v_page = page_size * heads * v_dim;
    floats.assign(static_cast<std::size_t>(pages * (k_page + v_page)),
                  std::bit_cast<float>(canary));
    auto const page = [&](float* at, index d) {
      return head_major ? tensor_view<float>{at, page_size, heads, d, d, page_size * d}
                        : tensor_view<float>{at, page_size, heads, d};
    };
    pool = {page(floats.data(), dim), page(floats.data() + pages * k_page, v_dim), pages, k_page,
            v_page};
    for (index i = 0; i * page_size < p.of.kv_len; ++i) {
      table.push_back(static_cast<std::int32_t>(in_order ? i + 2 : (pages - 1 - i)));
    }
    for (index t = 0; t < p.of.kv_len; ++t) {
      index const block = table[static_cast<std::size_t>(t / page_size)];
      for (index h = 0; h < heads; ++h) {
        std::copy_n(p.k.view.row(t, h), dim, pool.k_page(block).row(t % page_size, h));
        std::copy_n(p.v.view.row(t, h), v_dim, pool.v_page(block).row(t % page_size, h));
      }
    }
  }
};

TEST(Paged, GivesTheBitsOfContiguousMemory) {
  for (attention_case const& c :
       {attention_case{.q_len = 33, .kv_len = 300, .q_heads = 4, .kv_heads = 2, .head_dim = 24},
        attention_case{.q_len = 1,
        .kv_len = 1100,
        .q_heads = 4,
        .kv_heads = 2,
        .head_dim = 33,
        .v_dim = 17,
        .kind = mask_kind::causal_window},
        attention_case{.q_len = 2, .kv_len = 1, .head_dim = 8}}) {
    problem const p(c);
    auto const expected = attend_anew(p.call()).bits();
    for (index const page_size : {index{1}, index{3}, index{16}, index{128}, index{500}}) {
      for (bool const head_major : {false, true}) {
        for (bool const in_order : {false, true}) {
          scattered const s(p, page_size, head_major, in_order);
          attention call = p.call();
          call.kv = paged(s.pool, s.table, c.kv_len);
          EXPECT_EQ(attend_anew(call).bits(), expected) << c.name() << " pages of " << page_size;
        }
      }
    }
  }
}

TEST(Paged, RunsGoOnAcrossNeighboursInMemory) {
  problem const p({.kv_len = 100, .q_heads = 2, .kv_heads = 2, .head_dim = 3});
  scattered const s(p, 8, false, true);
  paged const all(s.pool, s.table, 100);
  EXPECT_EQ(all.run_at(1, 3).rows, 97);
  EXPECT_EQ(all.run_at(1, 3).k.row(0), s.pool.k_page(2).row(3, 1));
  scattered const apart(p, 8, false, false);
  EXPECT_EQ(paged(apart.pool, apart.table, 100).run_at(0, 11).rows, 5);
  EXPECT_EQ(paged(apart.pool, apart.table, 100).run_at(0, 97).rows, 3);
}

TEST(Paged, PagesGivenBackAreLost) {
  problem const p({.kv_len = 100, .q_heads = 2, .kv_heads = 2, .head_dim = 8});
  scattered s(p, 10, false, true);
  for (std::size_t i = 1; i < 7; ++i) s.table[i] = i % 2 == 0 ? -1 : INT32_MAX;
  paged const all(s.pool, s.table, 100, 0, {4, 70});
  ASSERT_TRUE(all.check().ok()) << all.check().what;
  EXPECT_EQ(all.positions(), (range{0, 100}));
  EXPECT_EQ(all.lost(), (range{4, 70}));
  EXPECT_EQ(any_source(all).held(), 34);
  EXPECT_EQ(all.run_at(0, 1).rows, 3);
  attention call = p.call();
  any_mask const mask = causal{} & (sliding_window{30} | sinks{4});
  call.mask = mask;
  auto const expected = attend_anew(call).bits();
  call.kv = all;
  EXPECT_EQ(attend_anew(call).bits(), expected);
  call.mask = causal{} & sliding_window{31};
  EXPECT_EQ(check(call).code, errc::evicted);
  paged const from_first(s.pool, s.table, 100, 0, {0, 70});
  EXPECT_EQ(from_first.positions(), (range{70, 100}));
}

TEST(Paged, ChecksNameTheRule) {
  std::vector<float> floats(256);
  page_pool const pool{{floats.data(), 4, 1, 2}, {floats.data() + 128, 4, 1, 2}, 8, 8, 8};
  auto const with = [&](auto change) {
    page_pool other = pool;
    change(other);
    return other;
  };
  std::vector<index> const table{0, 7, 3}, high{0, 8}, low{-1, 0};
  std::vector<std::int32_t> const narrow{1, 2};
  page_pool const negative = with([](page_pool& p) { p.pages = -1; });
  page_pool const empty_page = with([](page_pool& p) { p.k.tokens = p.v.tokens = 0; });
  page_pool const far = with([](page_pool& p) { p.v_page_stride = INT64_MAX; });
  page_pool const below = with([](page_pool& p) { p.k_page_stride = -max_position / 32; });
  page_pool const no_pages = with([](page_pool& p) { p.pages = 0; });
  page_pool const other_v = with([](page_pool& p) { p.v.tokens = 3; });
  struct test_case {
    paged of;
    errc code;
    char const* what;
  };
  char const* const block = "paged: a block number in the table is outside of the pool";
  char const* const tokens = "paged: tokens must be from 0 and below 2^60";
  char const* const between = "kv: positions must lie between -2^60 and 2^60";
  char const* const lost = "paged: lost must lie within the sequence's positions";
  for (auto const& [of, code, what] : {
           test_case{{pool, table, 12}, errc::ok, "ok"},
           {{pool, narrow, 8}, errc::ok, "ok"},
           {{pool, {}, 0}, errc::ok, "ok"},
           {{no_pages, {}, 0}, errc::ok, "ok"},
           {{no_pages, narrow, 1}, errc::shape, block},
           {{pool, high, 4}, errc::ok, "ok"},
           {{pool, high, 5}, errc::shape, block},
           {{pool, low, 5}, errc::shape, block},
           {{pool, low, 5, 0, {0, 4}}, errc::ok, "ok"},
           {{pool, low, 5, 0, {0, 3}}, errc::shape, block},
           {{pool, table, 13},
            errc::shape,
            "paged: the table must hold ceil(tokens / page_size) block numbers"},
           {{pool, table, -1}, errc::shape, tokens},
           {{pool, table, INT64_MAX}, errc::shape, tokens},
           {{pool, table, 12, max_position - 12}, errc::position, between},
           {{pool, table, 12, INT64_MIN}, errc::position, between},
           {{pool, table, 12, 5, {4, 6}}, errc::position, lost},
           {{pool, table, 12, 5, {16, 18}}, errc::position, lost},
           {{negative, table, 12}, errc::shape, "pages: their number must not be negative"},
           {{empty_page, table, 12}, errc::shape, "pages: a page must hold at least 1 token"},
           {{far, table, 12}, errc::shape, "v: strides leave the address space"},
           {{below, table, 12}, errc::shape, "k: strides leave the address space"},
           {{other_v, table, 12}, errc::shape, "k.tokens must equal v.tokens"},
       }) {
    status const s = of.check();
    EXPECT_EQ(s.code, code) << what;
    EXPECT_STREQ(s.what, what);
  }
}

TEST(Paged, OverlapsThePagesOfTheSequenceOnly) {
  std::vector<float> floats(64);
  page_pool const pool{{floats.data(), 2, 1, 2}, {floats.data() + 32, 2, 1, 2}, 8, 4, 4};
  std::vector<std::int32_t> const table{5, 2};
  paged const all(pool, table, 3);
  for (index block = 0; block < 8; ++block) {
    bool const own = block == 5 || block == 2;
    EXPECT_EQ(all.overlaps({floats.data() + 4 * block, 1, 1, 4}), own) << block;
    EXPECT_EQ(all.overlaps({floats.data() + 32 + 4 * block + 3, 1, 1, 1}), own) << block;
  }
  EXPECT_FALSE(paged(pool, table, 2).overlaps({floats.data() + 8, 1, 1, 4}));
}

}  // namespace
}  // namespace oriel::test
