// SPDX-License-Identifier: BSL-1.0
#include "oriel/cache/paged.hpp"

#include <gtest/gtest.h>

#include <cstring>

#include "coded.hpp"
#include "oriel/cache/block_summary.hpp"
#include "oriel/cache/joined.hpp"
#include "oriel/cache/store_rows.hpp"
#include "oriel/codec/ggml.hpp"
#include "oriel/codec/quantized.hpp"
#include "oriel/codec/rotated.hpp"
#include "oriel/select/moba.hpp"
#include "oriel/select/quest.hpp"
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
        std::copy_n(p.k.view.row(t, h), dim, pool.k_page(block).as<float>().row(t % page_size, h));
        std::copy_n(p.v.view.row(t, h), v_dim,
                    pool.v_page(block).as<float>().row(t % page_size, h));
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
  EXPECT_EQ(all.run_at(1, 3).k.row(0), s.pool.k_page(2).as<float>().row(3, 1));
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
  page_pool const one_head =
      with([](page_pool& p) { p.k.heads = p.v.heads = 2, p.k.head_stride = p.v.head_stride = 0; });
  page_pool const same = with([](page_pool& p) { p.k_page_stride = 0; });
  page_pool const over = with([](page_pool& p) { p.v_page_stride = 7; });
  page_pool const no_pages = with([](page_pool& p) { p.pages = 0; });
  page_pool const other_v = with([](page_pool& p) { p.v.tokens = 3; });
  struct test_case {
    paged of;
    errc code;
    char const* what;
  };
  char const* const block = "paged: a page number in the table is outside of the pool";
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
            "paged: the table must hold ceil(tokens / page_size) page numbers"},
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
           {{one_head, table, 12}, errc::ok, "ok"},
           {{same, table, 12},
            errc::alias,
            "pages: rows must not overlap those of other pages: see page strides"},
           {{over, table, 12},
            errc::alias,
            "pages: rows must not overlap those of other pages: see page strides"},
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
  page_pool const back{{floats.data() + 28, 2, 1, 2}, {floats.data() + 60, 2, 1, 2}, 8, -4, -4};
  for (index block = 0; block < 8; ++block) {
    bool const own = block == 5 || block == 2;
    EXPECT_EQ(paged(back, table, 3).overlaps({floats.data() + 28 - 4 * block, 1, 1, 4}), own);
    EXPECT_EQ(paged(back, table, 3).overlaps({floats.data() + 60 - 4 * block, 1, 1, 4}), own);
  }
}

// --- pages of a codec's rows ---------------------------------------------------------------------

enum class page_layout { apart, side_by_side, rows_interleaved };

/// Pages as two codecs store them, each row behind an odd gap where a codec needs no alignment.
struct coded_pages {
  page_pool pool;
  std::vector<std::int32_t> table;

  coded_pages(stored_pair const& of, attention_case const& c, index size, page_layout lies,
              bool head_major) {
    index const count = ceil_div(c.kv_len, size) + 2, heads = c.kv_heads;
    bool const is_aligned = of.k.alignment > 1 || of.v.alignment > 1;
    auto const step = [&](stored_as const& rows, index dim) {
      index const bytes = rows.row_bytes(dim);
      return is_aligned ? round_up(bytes, 4) : bytes + 1;
    };
    index const k_row = step(of.k, c.head_dim), v_row = step(of.v, c.value_dim());
    index const k_page = size * heads * k_row, v_page = size * heads * v_row;
    bytes_.assign(static_cast<std::size_t>(count * (k_page + v_page) + 16), std::byte{0xff});
    std::byte* const base = bytes_.data() + (is_aligned ? 4 : 1);
    bool const apart = lies == page_layout::apart;
    bool const woven = lies == page_layout::rows_interleaved;
    index const k_step = woven ? k_row + v_row : k_row, v_step = woven ? k_step : v_row;
    auto const page = [&](stored_as const& rows, std::byte* at, index dim, index row) {
      return rows.view(at, size, heads, dim, head_major ? row : heads * row,
                       head_major ? size * row : row);
    };
    pool = {page(of.k, base, c.head_dim, k_step),
            page(of.v,
                 base + (woven   ? k_row
                         : apart ? count * k_page
                                 : k_page),
                 c.value_dim(), v_step),
            count, apart ? k_page : k_page + v_page, apart ? v_page : k_page + v_page};
    for (index i = 0; i * size < c.kv_len; ++i) {  // every other one, then those between
      index const half = (count + 1) / 2;
      table.push_back(static_cast<std::int32_t>(i < half ? 2 * i : 2 * (i - half) + 1));
    }
  }

 private:
  std::vector<std::byte> bytes_;
};

class PagesOf : public testing::TestWithParam<stored_pair> {
 protected:
  /// A problem and the floats that its rows stand for in pages.
  struct kept_problem : problem {
    std::vector<float> k_floats, v_floats;
    explicit kept_problem(attention_case const& c)
        : problem(c), k_floats(GetParam().k.kept(k.view)), v_floats(GetParam().v.kept(v.view)) {}
    contiguous floats() const {
      return {{k_floats.data(), of.kv_len, of.kv_heads, of.head_dim},
              {v_floats.data(), of.kv_len, of.kv_heads, of.value_dim()}};
    }
  };
};
INSTANTIATE_TEST_SUITE_P(
    Codecs, PagesOf,
    testing::Values(stored_pair::of<bf16, bf16>("bf16", "bf16"),
                    stored_pair::of<f16, f32>("f16", "f32"),
                    stored_pair::of<f32, int8>("f32", "int8"),
                    stored_pair::of<int8, int4>("int8", "int4"),
                    stored_pair::of<int2, int4_symmetric>("int2", "int4_symmetric"),
                    stored_pair::of<q8_0, q4_0>("q8_0", "q4_0"),
                    stored_pair::of<scaled_int8, scaled_int4>("scaled_int8", "scaled_int4"),
                    stored_pair::of<rotated<int4>, rotated<bf16>>("rotated_int4", "rotated_bf16")),
    [](auto const& each) { return std::string(each.param.k.name) + "_" + each.param.v.name; });

TEST_P(PagesOf, GiveTheBitsOfTheFloatsThatRowsStandFor) {
  attention_case const prefill{
      .q_len = 20, .kv_len = 300, .q_heads = 4, .kv_heads = 2, .head_dim = 32, .v_dim = 64};
  attention_case decode = prefill;
  decode.q_len = 1, decode.kv_len = 1100, decode.kind = mask_kind::causal_window;
  for (attention_case const& c : {prefill, decode}) {
    kept_problem const p(c);
    for (kernel_choice const kernel : {kernel_choice::by_length, kernel_choice::row_lanes}) {
      attention call = p.call();
      call.kernel = kernel;
      call.kv = p.floats();
      answer const want = attend_anew(call);
      for (index const size : {index{1}, index{3}, index{16}, index{128}, index{1200}}) {
        for (page_layout const lies :
             {page_layout::apart, page_layout::side_by_side, page_layout::rows_interleaved}) {
          for (bool const head_major : {false, true}) {
            coded_pages const s(GetParam(), c, size, lies, head_major);
            status const stored = store_rows(s.pool, s.table, 0, p.k.view, p.v.view);
            ASSERT_TRUE(stored.ok()) << stored.what;
            call.kv = paged(s.pool, s.table, c.kv_len);
            EXPECT_EQ(bounds_of(call).coded, true);
            answer const got = attend_anew(call);
            ASSERT_EQ(got.bits(), want.bits()) << "pages of " << size;
            if (size == 16) expect_exact(call, got);  // `reference` reads them too
          }
        }
      }
    }
  }
}

TEST_P(PagesOf, APromptInPiecesHasTheSameBits) {
  attention_case const c{
      .q_len = 90, .kv_len = 90, .q_heads = 4, .kv_heads = 2, .head_dim = 32, .v_dim = 64};
  kept_problem const p(c);
  attention whole = p.call();
  whole.kv = p.floats();
  whole.kernel = kernel_choice::row_lanes;
  answer const want = attend_anew(whole);
  coded_pages const s(GetParam(), c, 7, page_layout::side_by_side, true);
  for (index at = 0; at < c.q_len; at += 26) {
    range const part{at, min_of(at + 26, c.q_len)};
    paged const past(s.pool, s.table, at);
    any_source const any = past;
    attention call = whole;
    call.q = p.q.view.slice(part);
    call.first_query = at;
    joined const fresh(past, p.k.view.slice(part), p.v.view.slice(part));
    joined const through_any(any, p.k.view.slice(part), p.v.view.slice(part));
    for (any_source const& kv : {any_source(fresh), any_source(through_any)}) {
      call.kv = kv;
      EXPECT_EQ(attend_anew(call).bits(), want.bits(part)) << at;
    }
    ASSERT_TRUE(store_rows(s.pool, s.table, at, p.k.view.slice(part), p.v.view.slice(part)).ok());
  }
}

TEST_P(PagesOf, MayBeSharedAndGivenBack) {
  attention_case const c{
      .q_len = 9, .kv_len = 100, .q_heads = 4, .kv_heads = 2, .head_dim = 32, .v_dim = 64};
  kept_problem const p(c);
  coded_pages const s(GetParam(), c, 10, page_layout::apart, false);
  ASSERT_TRUE(store_rows(s.pool, s.table, 0, p.k.view, p.v.view).ok());
  // Another sequence shares all but the last page, which it fills with the first rows.
  std::vector<std::int32_t> other = s.table;
  other.back() = static_cast<std::int32_t>(s.pool.pages - 1);
  ASSERT_EQ(std::ranges::count(s.table, other.back()), 0);
  range const last{0, 10};
  ASSERT_TRUE(store_rows(s.pool, other, 90, p.k.view.slice(last), p.v.view.slice(last)).ok());
  attention call = p.call();
  call.mask = causal{} & (sliding_window{30} | sinks{4});
  call.kv = p.floats();
  answer const want = attend_anew(call);
  call.kv = paged(s.pool, s.table, 100);
  EXPECT_EQ(attend_anew(call).bits(), want.bits());
  // Its own pages behind the window go back to the engine, which spoils them.
  std::vector<std::int32_t> given_back = s.table;
  for (std::size_t i = 1; i < 6; ++i) {
    for (storage_view const& page : {s.pool.k_page(given_back[i]), s.pool.v_page(given_back[i])}) {
      for (index t = 0; t < page.tokens; ++t) {
        for (index h = 0; h < page.heads; ++h) {
          std::fill_n(page.bytes().row(t, h), page.row_bytes, std::byte{0xff});
        }
      }
    }
    given_back[i] = -1;
  }
  call.kv = paged(s.pool, given_back, 100, 0, {4, 60});
  ASSERT_TRUE(call.kv.check().ok()) << call.kv.check().what;
  EXPECT_EQ(attend_anew(call).bits(), want.bits());
  // The next token needs no page but its own.
  EXPECT_TRUE(
      store_rows(s.pool, given_back, 99, p.k.view.slice({99, 100}), p.v.view.slice({99, 100}))
          .ok());
  EXPECT_EQ(attend_anew(call).bits(), want.bits());
}

TEST_P(PagesOf, BlocksAreChosenAsOverTheFloats) {
  attention_case const c{
      .q_len = 30, .kv_len = 200, .q_heads = 4, .kv_heads = 2, .head_dim = 32, .v_dim = 64};
  kept_problem const p(c);
  coded_pages const s(GetParam(), c, 9, page_layout::side_by_side, false);
  ASSERT_TRUE(store_rows(s.pool, s.table, 0, p.k.view, p.v.view).ok());
  block_shape const shape{.block = 16, .blocks = 13, .kv_heads = 2, .head_dim = 32};
  auto const compare = [&]<class Summary>(Summary*, auto select) {
    aligned_memory bytes(Summary::required_bytes(shape)), others(Summary::required_bytes(shape));
    Summary over_pages(bytes, shape), over_floats(others, shape);
    attention call = p.call();
    call.kv = p.floats();
    ASSERT_TRUE(over_floats.append(call.kv).ok());
    call.select = select(over_floats);
    answer const want = attend_anew(call);
    call.kv = paged(s.pool, s.table, c.kv_len);
    ASSERT_TRUE(over_pages.append(call.kv).ok());
    call.select = select(over_pages);
    EXPECT_EQ(attend_anew(call).bits(), want.bits());
  };
  compare(static_cast<block_means*>(nullptr), [](auto const& of) { return moba(of, 3); });
  compare(static_cast<block_bounds*>(nullptr), [](auto const& of) { return quest(of, 3); });
}

TEST(PagesOfElements, StridesCountElements) {
  problem const p({.q_len = 2, .kv_len = 9, .q_heads = 2, .kv_heads = 1, .head_dim = 5});
  std::vector<bf16> k(5 * 4 * 5 + 3);
  std::vector<f16> v(5 * 3 * 5 + 3);
  // Keys have a row's gap behind each page; values stand in memory from the last page to the first.
  page_pool const pool{tensor_view<bf16>(k.data() + 3, 3, 1, 5),
                       tensor_view<f16>(v.data() + 3 + 4 * 15, 3, 1, 5), 5, 20, -15};
  std::vector<index> const table{3, 0, 4};
  ASSERT_TRUE(store_rows(pool, table, 0, p.k.view, p.v.view).ok());
  EXPECT_EQ(pool.k_page(3).as<bf16>().data, k.data() + 3 + 60);
  EXPECT_EQ(pool.v_page(4).as<f16>().data, v.data() + 3);
  EXPECT_EQ(k[3 + 60], bf16(p.k.view.row(0, 0)[0]));
  EXPECT_EQ(v[3 + 4 * 15], f16(p.v.view.row(3, 0)[0]));
  EXPECT_EQ(v[3 + 14], f16(p.v.view.row(8, 0)[4]));
  EXPECT_EQ(k[3 + 15], bf16()) << "the gap";
  narrow_tensor<bf16> const k_want(p.k.view);
  narrow_tensor<f16> const v_want(p.v.view);
  attention call = p.call();
  call.kv = contiguous(k_want.view, v_want.view);
  answer const want = attend_anew(call);
  call.kv = paged(pool, table, 9);
  EXPECT_EQ(attend_anew(call).bits(), want.bits());
}

TEST(PagesOfCodes, ChecksNameTheRule) {
  alignas(64) static std::byte room[4096];
  using halves = coded_view<elements<bf16>, std::byte>;
  using codes = coded_view<int8, std::byte>;
  index const row = int8::row_bytes(8);
  page_pool const good{halves(room, 4, 2, 8, 32, 16), codes(room + 2048 + 1, 4, 2, 8, 2 * row, row),
                       3, 128, 8 * row};
  std::vector<index> const table{0, 2, 1};
  auto const code = [&](auto change) {
    page_pool pool = good;
    change(pool);
    return paged(pool, table, 12).check().code;
  };
  EXPECT_EQ(code([](page_pool&) {}), errc::ok);
  EXPECT_EQ(code([](page_pool& p) { p.k_page_stride = 129; }), errc::alignment)
      << "the last page is aligned, the second not";
  EXPECT_EQ(code([&](page_pool& p) { p.v_page_stride = 8 * row + 1; }), errc::ok)
      << "bytes lie anywhere";
  EXPECT_EQ(code([&](page_pool& p) { p.v_page_stride = 8 * row - 1; }), errc::alias);
  EXPECT_EQ(code([&](page_pool& p) { p.k = halves(room + 1, 4, 2, 8, 32, 16); }), errc::alignment);
  EXPECT_EQ(code([](page_pool& p) { p.k_page_stride = INT64_MAX; }), errc::shape);
  EXPECT_EQ(code([](page_pool& p) { p.v_page_stride = INT64_MIN; }), errc::shape);
  EXPECT_EQ(code([](page_pool& p) { p.v_page_stride = -max_position / 2; }), errc::shape);
  EXPECT_EQ(code([](page_pool& p) { p.pages = INT64_MAX; }), errc::shape);
  EXPECT_EQ(code([](page_pool& p) { p.pages = -1; }), errc::shape);
  EXPECT_EQ(code([&](page_pool& p) { p.k = halves(nullptr, 4, 2, 8, 32, 16); }), errc::memory);
  for (index const bad : {index{-8}, max_coded_dim + 1, INT64_MAX, INT64_MIN}) {
    EXPECT_EQ(code([&](page_pool& p) { p.v = codes(room, 4, 2, bad, row, row); }), errc::shape);
    EXPECT_EQ(code([&](page_pool& p) { p.k = tensor_view<f16>(nullptr, 4, 2, bad); }), errc::shape);
  }
  EXPECT_EQ(code([&](page_pool& p) { p.v = codes(room, 4, 2, 8, INT64_MAX, row); }), errc::shape);
  EXPECT_EQ(code([&](page_pool& p) { p.v = codes(room, 4, 2, 8, row, INT64_MIN); }), errc::shape);
  EXPECT_EQ(code([&](page_pool& p) { p.v = codes(room, 4, 3, 8, row, row); }), errc::heads);
  page_pool one = good;
  one.pages = 1, one.k_page_stride = INT64_MIN, one.v_page_stride = INT64_MAX;
  std::vector<index> const first{0};
  EXPECT_TRUE(paged(one, first, 4).check().ok()) << "nothing is stepped over";
  EXPECT_EQ(paged(one, first, 4).run_at(1, 2).rows, 2);

  paged const two(good, std::span(table).first(2), 8);  // pages 0 and 2
  auto const over = [&](index byte) {
    return two.overlaps({reinterpret_cast<float*>(room + byte), 1, 1, 1});
  };
  EXPECT_TRUE(over(0) && over(124) && over(2 * 128 + 124) && over(2048) && over(2048 + 7 * row));
  EXPECT_FALSE(over(128) || over(2 * 128 - 4) || over(3 * 128) || over(2044));
  EXPECT_FALSE(over(2048 + round_up(8 * row + 1, 4)));
}

}  // namespace
}  // namespace oriel::test
