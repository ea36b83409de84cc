// SPDX-License-Identifier: BSL-1.0
#include "oriel/attention/check.hpp"

#include <gmock/gmock.h>

#include <functional>

#include "oriel/attention/attend.hpp"
#include "problem.hpp"

namespace oriel::test {
namespace {

/// A call that is fine, its parts loose so that each can be broken.
struct parts {
  tensor_view<float> q, k, v, out, lse, lse_sink;
  index first_key = 0;
  any_mask mask = causal{};
  any_score score = {};
  std::span<float const> sink_logits = {};
  std::optional<index> first_query = std::nullopt;
  std::optional<float> scale = std::nullopt;

  attention call() const {
    return {.q = q,
            .kv = contiguous(k, v, first_key),
            .mask = mask,
            .score = score,
            .sink_logits = sink_logits,
            .out = out,
            .lse = lse,
            .lse_sink = lse_sink,
            .first_query = first_query,
            .scale = scale};
  }
};

struct breach {
  char const* name;
  std::function<void(parts&)> commit;
  errc code;
  char const* what;  ///< a part of the status's sentence
};

float* misaligned(float* p) {
  return reinterpret_cast<float*>(reinterpret_cast<std::uintptr_t>(p) + 1);
}

index const far = index{1} << 62;
float const nan = std::bit_cast<float>(canary);

float const four[4] = {0.5f, 0.25f, 0.125f, 0.0625f};
std::span<float const> const per_head(four);
// A bias for queries at 2 to 7 and keys at 0 to 7.
bias const fair{.data = four, .queries = {2, 7}, .keys = {0, 7}, .key_stride = 0};
bias changed(auto change) {
  bias b = fair;
  change(b);
  return b;
}

// Base: q [5, 4, 8], k [7, 2, 8], v [7, 2, 6], out [5, 4, 6], lse and lse_sink [5, 4, 1].
breach const breaches[] = {
    {"q_tokens", [](parts& p) { p.q.tokens = -1; }, errc::shape, "q:"},
    {"q_heads", [](parts& p) { p.q.heads = -4; }, errc::shape, "q:"},
    {"q_stride", [](parts& p) { p.q.token_stride = far; }, errc::shape, "q: strides"},
    {"q_stride_least", [](parts& p) { p.q.head_stride = INT64_MIN; }, errc::shape, "q: strides"},
    {"q_null", [](parts& p) { p.q.data = nullptr; }, errc::memory, "q.data"},
    {"q_misaligned", [](parts& p) { p.q.data = misaligned(p.q.data); }, errc::alignment, "q.data"},
    {"q_dim", [](parts& p) { p.q.dim = 7; }, errc::shape, "q.dim must equal k.dim"},
    {"q_no_heads", [](parts& p) { p.q.heads = 0; }, errc::heads, "q.heads"},
    {"heads_do_not_divide", [](parts& p) { p.q.heads = p.out.heads = 3; }, errc::heads,
     "q.heads must be a multiple of kv.heads"},
    {"fewer_q_heads", [](parts& p) { p.q.heads = p.out.heads = 1; }, errc::heads, "multiple"},
    {"too_many_tokens", [](parts& p) { p.q.tokens = max_position, p.q.token_stride = 0; },
     errc::position, "q.tokens"},

    {"k_tokens", [](parts& p) { p.k.tokens = -1; }, errc::shape, "k:"},
    {"k_stride", [](parts& p) { p.k.token_stride = -far; }, errc::shape, "k: strides"},
    {"k_null", [](parts& p) { p.k.data = nullptr; }, errc::memory, "k.data"},
    {"k_misaligned", [](parts& p) { p.k.data = misaligned(p.k.data); }, errc::alignment, "k.data"},
    {"v_null", [](parts& p) { p.v.data = nullptr; }, errc::memory, "v.data"},
    {"v_misaligned", [](parts& p) { p.v.data = misaligned(p.v.data); }, errc::alignment, "v.data"},
    {"v_stride", [](parts& p) { p.v.head_stride = far; }, errc::shape, "v: strides"},
    {"kv_tokens_differ", [](parts& p) { p.v.tokens = 6; }, errc::shape, "k.tokens"},
    {"kv_heads_differ", [](parts& p) { p.v.heads = 1; }, errc::heads, "k.heads"},
    {"kv_no_heads", [](parts& p) { p.k.heads = p.v.heads = 0; }, errc::heads, "kv.heads"},
    {"k_no_dim", [](parts& p) { p.k.dim = p.q.dim = 0; }, errc::shape, "k.dim"},
    {"v_no_dim", [](parts& p) { p.v.dim = p.out.dim = 0; }, errc::shape, "v.dim"},
    {"kv_late", [](parts& p) { p.first_key = max_position - 7; }, errc::position, "kv:"},
    {"kv_early", [](parts& p) { p.first_key = -max_position; }, errc::position, "kv:"},

    {"window_0", [](parts& p) { p.mask = sliding_window{0}; }, errc::mask, "sliding_window.keys"},
    {"window_negative", [](parts& p) { p.mask = causal{} & sliding_window{-5}; }, errc::mask,
     "sliding_window.keys"},
    {"softcap_0", [](parts& p) { p.score = softcap{0.0f}; }, errc::score, "softcap.cap"},
    {"softcap_negative", [](parts& p) { p.score = softcap{-30.0f}; }, errc::score, "softcap.cap"},
    {"softcap_infinite", [](parts& p) { p.score = softcap{infinity}; }, errc::score, "softcap.cap"},
    {"softcap_nan", [](parts& p) { p.score = softcap{nan}; }, errc::score, "softcap.cap"},
    {"softcap_tiny", [](parts& p) { p.score = softcap{1e-39f}; }, errc::score, "softcap.cap"},
    {"second_score", [](parts& p) { p.score = alibi{per_head} >> softcap{0.0f}; }, errc::score,
     "softcap.cap"},
    {"alibi_no_slopes", [](parts& p) { p.score = alibi{}; }, errc::heads, "alibi.slopes"},
    {"alibi_slopes_of_kv", [](parts& p) { p.score = alibi{per_head.first(2)}; }, errc::heads,
     "alibi.slopes"},
    {"first_score", [](parts& p) { p.score = alibi{per_head.first(3)} >> softcap{1.0f}; },
     errc::heads, "alibi.slopes"},
    {"bias_null", [](parts& p) { p.score = changed([](bias& b) { b.data = nullptr; }); },
     errc::memory, "bias.data"},
    {"bias_late", [](parts& p) { p.score = changed([](bias& b) { b.queries.begin = 3; }); },
     errc::shape, "bias.queries"},
    {"bias_of_other_queries", [](parts& p) { p.score = fair, p.first_query = 3; }, errc::shape,
     "bias.queries"},
    {"bias_short", [](parts& p) { p.score = changed([](bias& b) { b.keys.end = 6; }); },
     errc::shape, "bias.keys"},
    {"bias_stride", [](parts& p) { p.score = changed([](bias& b) { b.query_stride = far; }); },
     errc::shape, "bias's strides"},
    {"sink_logits_of_kv", [](parts& p) { p.sink_logits = per_head.first(2); }, errc::heads,
     "sink_logits"},
    {"one_sink_logit", [](parts& p) { p.sink_logits = per_head.first(1); }, errc::heads,
     "sink_logits"},
    {"scale_infinite", [](parts& p) { p.scale = infinity; }, errc::shape, "scale"},
    {"scale_overflows", [](parts& p) { p.scale = 3e38f; }, errc::shape, "log2(e)"},
    {"scale_nan", [](parts& p) { p.scale = nan; }, errc::shape, "scale"},
    {"queries_late", [](parts& p) { p.first_query = max_position - 5; }, errc::position, "q:"},
    {"queries_early", [](parts& p) { p.first_query = -max_position; }, errc::position, "q:"},

    {"out_tokens", [](parts& p) { p.out.tokens = 4; }, errc::shape, "out.tokens"},
    {"out_heads", [](parts& p) { p.out.heads = 2; }, errc::heads, "out.heads"},
    {"out_dim", [](parts& p) { p.out.dim = 5; }, errc::shape, "out.dim"},
    {"out_negative", [](parts& p) { p.out.tokens = -5; }, errc::shape, "out:"},
    {"out_stride", [](parts& p) { p.out.token_stride = far; }, errc::shape, "out: strides"},
    {"out_null", [](parts& p) { p.out.data = nullptr; }, errc::memory, "out.data"},
    {"out_misaligned", [](parts& p) { p.out.data = misaligned(p.out.data); }, errc::alignment,
     "out.data"},
    {"out_rows_overlap", [](parts& p) { p.out.head_stride = 5; }, errc::alias, "out: rows"},
    {"out_tokens_overlap", [](parts& p) { p.out.token_stride = 0; }, errc::alias, "out: rows"},
    {"out_is_q", [](parts& p) { p.out.data = p.q.data; }, errc::alias, "out must not overlap q"},
    {"out_in_q", [](parts& p) { p.out.data = p.q.row(4, 3) + 7; }, errc::alias, "overlap q"},
    {"out_in_k", [](parts& p) { p.out.data = p.k.data + 3; }, errc::alias,
     "out must not overlap k"},
    {"out_in_v", [](parts& p) { p.out.data = p.v.data; }, errc::alias,
     "out must not overlap k or v"},

    {"lse_tokens", [](parts& p) { p.lse.tokens = 4; }, errc::shape, "lse.tokens"},
    {"lse_heads", [](parts& p) { p.lse.heads = 2; }, errc::heads, "lse.heads"},
    {"lse_dim", [](parts& p) { p.lse.dim = 2; }, errc::shape, "lse.dim"},
    {"lse_negative", [](parts& p) { p.lse.dim = -1; }, errc::shape, "lse:"},
    {"lse_stride", [](parts& p) { p.lse.token_stride = far; }, errc::shape, "lse: strides"},
    {"lse_null", [](parts& p) { p.lse.data = nullptr; }, errc::memory, "lse.data"},
    {"lse_misaligned", [](parts& p) { p.lse.data = misaligned(p.lse.data); }, errc::alignment,
     "lse.data"},
    {"lse_rows_overlap", [](parts& p) { p.lse.head_stride = 0; }, errc::alias, "lse: rows"},
    {"lse_in_q", [](parts& p) { p.lse.data = p.q.data + 9; }, errc::alias,
     "lse must not overlap q"},
    {"lse_in_k", [](parts& p) { p.lse.data = p.k.data; }, errc::alias, "lse must not overlap k"},
    {"lse_in_v", [](parts& p) { p.lse.data = p.v.data; }, errc::alias,
     "lse must not overlap k or v"},
    {"lse_in_out", [](parts& p) { p.lse.data = p.out.data; }, errc::alias,
     "lse must not overlap out"},

    {"lse_sink_tokens", [](parts& p) { p.lse_sink.tokens = 4; }, errc::shape, "lse_sink.tokens"},
    {"lse_sink_heads", [](parts& p) { p.lse_sink.heads = 2; }, errc::heads, "lse_sink.heads"},
    {"lse_sink_dim", [](parts& p) { p.lse_sink.dim = 2; }, errc::shape, "lse_sink.dim"},
    {"lse_sink_negative", [](parts& p) { p.lse_sink.dim = -1; }, errc::shape, "lse_sink:"},
    {"lse_sink_stride", [](parts& p) { p.lse_sink.token_stride = far; }, errc::shape,
     "lse_sink: strides"},
    {"lse_sink_null", [](parts& p) { p.lse_sink.data = nullptr; }, errc::memory, "lse_sink.data"},
    {"lse_sink_misaligned", [](parts& p) { p.lse_sink.data = misaligned(p.lse_sink.data); },
     errc::alignment, "lse_sink.data"},
    {"lse_sink_rows_overlap", [](parts& p) { p.lse_sink.head_stride = 0; }, errc::alias,
     "lse_sink: rows"},
    {"lse_sink_in_q", [](parts& p) { p.lse_sink.data = p.q.data + 9; }, errc::alias,
     "lse_sink must not overlap q"},
    {"lse_sink_in_v", [](parts& p) { p.lse_sink.data = p.v.data; }, errc::alias,
     "lse_sink must not overlap k or v"},
    {"lse_sink_in_out", [](parts& p) { p.lse_sink.data = p.out.data; }, errc::alias,
     "lse_sink must not overlap out"},
    {"lse_sink_is_lse", [](parts& p) { p.lse_sink.data = p.lse.data; }, errc::alias,
     "lse_sink must not overlap lse"},
    {"sink_logits_in_out",
     [](parts& p) {
       p.sink_logits = {p.out.data + 7, 4};
     },
     errc::alias, "out must not overlap sink_logits"},
    {"sink_logits_in_lse",
     [](parts& p) {
       p.sink_logits = {p.lse.data, 4};
     },
     errc::alias, "lse must not overlap sink_logits"},
    {"sink_logits_in_lse_sink",
     [](parts& p) {
       p.sink_logits = {p.lse_sink.row(4, 3), 4};
     },
     errc::alias, "lse_sink must not overlap sink_logits"},
};

/// Buffers of the base call, each large enough for what a breach claims of it.
struct base {
  problem of{{.q_len = 5, .kv_len = 7, .q_heads = 4, .kv_heads = 2, .head_dim = 8, .v_dim = 6}};
  tensor out{5, 4, 6};
  tensor lse{5, 4, 1};
  tensor lse_sink{5, 4, 1};
  parts call{of.q.view, of.k.view, of.v.view, out.view, lse.view, lse_sink.view};
};

void expect(status const& got, errc code, char const* what) {
  EXPECT_EQ(got.code, code) << got.what;
  EXPECT_THAT(got.what, ::testing::HasSubstr(what));
}

TEST(AttentionCheck, NamesTheRuleAndWritesNothing) {
  for (breach const& row : breaches) {
    SCOPED_TRACE(row.name);
    base const b;
    auto const inputs = [&] {
      return std::vector{bits_of(b.of.q.view), bits_of(b.of.k.view), bits_of(b.of.v.view)};
    };
    auto const before = inputs();
    parts p = b.call;
    aligned_memory scratch(plan_attend(bounds_of(p.call())).workspace_bytes());
    row.commit(p);
    expect(check(p.call()), row.code, row.what);
    expect(attend(p.call(), scratch), row.code, row.what);
    EXPECT_TRUE(b.out.is_untouched(true) && b.lse.is_untouched(true));
    EXPECT_TRUE(b.lse_sink.is_untouched(true));
    EXPECT_EQ(inputs(), before);
  }
}

TEST(AttentionCheck, TheBaseCallIsFine) {
  base const b;
  EXPECT_TRUE(check(b.call.call()).ok());
  parts p = b.call;
  p.score = softcap{30.0f} >> alibi{per_head} >> fair;
  p.sink_logits = per_head;
  EXPECT_TRUE(check(p.call()).ok()) << "a score and sink logits";
  p.sink_logits = {p.out.data + 7, 0};
  EXPECT_TRUE(check(p.call()).ok()) << "no sink logits overlap nothing, wherever they are";
  p = b.call;
  p.lse_sink = {};
  EXPECT_TRUE(check(p.call()).ok()) << "lse_sink may be left out";
  p.lse = {};
  EXPECT_TRUE(check(p.call()).ok()) << "lse may be left out";
  p.q.tokens = p.out.tokens = 0;
  p.q.data = p.out.data = nullptr;
  EXPECT_TRUE(check(p.call()).ok()) << "no queries need no memory";
  p = b.call;
  p.k.tokens = p.v.tokens = 0;
  p.k.data = p.v.data = nullptr;
  EXPECT_TRUE(check(p.call()).ok()) << "no keys need no memory";
}

/// Rows of bf16 that are said to be floats.
struct lying : contiguous {
  using contiguous::contiguous;
  kv_shape shape() const noexcept {
    kv_shape s = contiguous::shape();
    s.coded = false;
    return s;
  }
};

TEST(AttentionCheck, ASourceMustSayThatItsRowsAreNotFloats) {
  problem const p({.q_len = 12, .kv_len = 12, .head_dim = 8});
  narrow_tensor<bf16> const k(p.k.view), v(p.v.view);
  attention call = p.call();
  answer const to(call);
  call.out = to.out.view;
  call.kv = contiguous(k.view, v.view);
  EXPECT_TRUE(check(call).ok());
  call.kv = lying(k.view, v.view);
  EXPECT_EQ(check(call).code, errc::shape);
  EXPECT_STREQ(check(call).what,
               "kv: a source whose rows are not floats must say so: shape().coded");
}

TEST(AttentionCheck, PositionsMayGoToTheirLimits) {
  base b;
  parts& p = b.call;
  p.first_key = max_position - 8;
  EXPECT_TRUE(check(p.call()).ok());
  p.first_key = -max_position + 1;
  p.first_query = -max_position + 1;
  EXPECT_TRUE(check(p.call()).ok());
  p.first_query = max_position - 6;
  EXPECT_TRUE(check(p.call()).ok());
}

// --- caches --------------------------------------------------------------------------------------
struct cached : base {
  aligned_memory bytes;
  rolling_cache<f32> cache;
  explicit cached(index window = 4)
      : bytes(rolling_cache<f32>::required_bytes(shape(window))), cache(bytes, shape(window)) {
    EXPECT_TRUE(cache.append(of.k.view, of.v.view, 10).ok());
  }
  static cache_shape shape(index window) {
    return {.window = window, .kv_heads = 2, .head_dim = 8, .v_dim = 6};
  }
  attention attend_from(any_source const& kv, any_mask const& mask, index first_query) const {
    attention c = call.call();
    c.kv = kv;
    c.mask = mask;
    c.first_query = first_query;
    return c;
  }
};

TEST(AttentionCheck, KeysThatACacheHasGivenUp) {
  cached const c;  // positions 10 to 17 went by, 13 to 17 are held
  auto const code = [&](any_mask const& mask, index first_query) {
    return check(c.attend_from(c.cache, mask, first_query)).code;
  };
  auto const window = causal{} & sliding_window{4};
  EXPECT_EQ(code(causal{}, 16), errc::evicted);
  EXPECT_EQ(code(full{}, 16), errc::evicted);
  EXPECT_EQ(code(window, 16), errc::ok);
  EXPECT_EQ(code(window, 15), errc::evicted) << "query 15 sees key 12";
  EXPECT_EQ(code(causal{} & sliding_window{5}, 16), errc::evicted);
  EXPECT_EQ(code(causal{}, 4), errc::ok) << "queries 4 to 8 see nothing that was ever there";
  EXPECT_EQ(code(window, 100), errc::ok);

  attention none = c.attend_from(c.cache, full{}, 16);
  none.q.tokens = none.out.tokens = 0;
  none.lse = none.lse_sink = {};
  EXPECT_TRUE(check(none).ok()) << "no query reaches nothing";

  attention lost = c.attend_from(c.cache, full{}, 16);
  aligned_memory scratch(plan_attend(bounds_of(lost)).workspace_bytes());
  expect(attend(lost, scratch), errc::evicted, "given up");
  EXPECT_TRUE(c.out.is_untouched(true) && c.lse.is_untouched(true));
}

TEST(AttentionCheck, JoinedRows) {
  cached const c;
  auto const window = causal{} & sliding_window{4};
  auto const code = [&](tensor_view<float const> k, tensor_view<float const> v,
                        std::optional<index> first = std::nullopt) {
    return check(c.attend_from(joined(c.cache, k, v, first), window, 17)).code;
  };
  tensor const k2(5, 1, 8);
  tensor const k7(5, 2, 7);
  tensor const v5(5, 2, 5);
  auto const k = c.of.k.view.slice({0, 5});
  auto const v = c.of.v.view.slice({0, 5});
  EXPECT_EQ(code(k, v), errc::ok);
  EXPECT_EQ(code(k, v, 17), errc::ok);
  EXPECT_EQ(code(k, v, 18), errc::position);
  EXPECT_EQ(code(k2.view, v), errc::heads);
  EXPECT_EQ(code(k7.view, v), errc::shape);
  EXPECT_EQ(code(k, v5.view), errc::shape);
  EXPECT_EQ(code(k, c.of.v.view), errc::shape);
  EXPECT_EQ(check(c.attend_from(joined(c.cache, k, v), causal{}, 17)).code, errc::evicted);
}

TEST(AttentionCheck, OutAndLseInACachesBytes) {
  cached const big(64);
  auto* const inside = reinterpret_cast<float*>(const_cast<cached&>(big).bytes.span().data());
  attention c = big.attend_from(big.cache, causal{}, 12);
  c.out.data = inside + 100;
  EXPECT_EQ(check(c).code, errc::alias);
  c = big.attend_from(big.cache, causal{}, 12);
  c.lse.data = inside;
  EXPECT_EQ(check(c).code, errc::alias);
}

TEST(AttentionCheck, AnUnusableCacheSaysWhy) {
  cached const c;
  rolling_cache<f32> const null({}, cached::shape(4));
  EXPECT_EQ(check(c.attend_from(null, causal{}, 0)).code, errc::memory);
}

// --- one fused buffer ----------------------------------------------------------------------------
/// [tokens, slots, heads, dim]; a slot is one tensor, `shift` moves it by elements.
struct fused {
  static constexpr index tokens = 6, heads = 2, dim = 8, slots = 4, token = slots * heads * dim;
  tensor memory = tensor(tokens, slots* heads, dim).filled(3);
  tensor_view<float> slot(index i, index shift = 0) const {
    return {memory.view.data + i * heads * dim + shift, tokens, heads, dim, token, dim};
  }
  errc code(tensor_view<float> out, tensor_view<float> lse = {}) const {
    return check(
               attention{.q = slot(0), .kv = contiguous(slot(1), slot(2)), .out = out, .lse = lse})
        .code;
  }
};

TEST(AttentionCheck, OutMayLieBetweenTheRowsOfAFusedBuffer) {
  fused const f;
  EXPECT_EQ(f.code(f.slot(3)), errc::ok);
  EXPECT_EQ(f.code(f.slot(3, -1)), errc::alias) << "one element into v";
  EXPECT_EQ(f.code(f.slot(3, 1)), errc::alias) << "one element into the next token's q";
  for (index const i : {0, 1, 2}) EXPECT_EQ(f.code(f.slot(i)), errc::alias) << i;
  // [tokens, 3, heads, dim]: what only a second tensor can lie behind.
  tensor const apart(6, 2, 8);
  EXPECT_EQ(f.code(apart.view), errc::ok);
  // Rows of the other order: strides differ, so the answer may be pessimistic but never wrong.
  auto swapped = f.slot(3);
  swapped.data = f.slot(3).row(5, 0);
  swapped.token_stride = -swapped.token_stride;
  EXPECT_EQ(f.code(swapped), errc::alias);
  // lse in the free slot, too.
  tensor_view<float> lse = f.slot(3);
  lse.dim = 1;
  EXPECT_EQ(f.code(apart.view, lse), errc::ok);
  EXPECT_EQ(f.code(f.slot(3), lse), errc::alias);
  lse.data -= 1;
  EXPECT_EQ(f.code(apart.view, lse), errc::alias);
}

}  // namespace
}  // namespace oriel::test
