// SPDX-License-Identifier: BSL-1.0
#include "oriel/attention/padded_batch.hpp"

#include "coded.hpp"
#include "oriel/attention/attend.hpp"
#include "oriel/codec/quantized.hpp"
#include "oriel/mask/both.hpp"
#include "oriel/mask/chunked.hpp"
#include "oriel/mask/sliding_window.hpp"
#include "problem.hpp"

namespace oriel::test {
namespace {

/// The rows of every sequence of a batch, in `out` and `lse`.
void attend_all(padded_batch const& p) {
  ASSERT_TRUE(p.check().ok()) << p.check().what;
  std::vector<attention> calls;
  for (index i = 0; i < p.size(); ++i) calls.push_back(p[i]);
  aligned_memory scratch(plan_attend(bounds_of(calls)).workspace_bytes());
  status const s = attend(attention_batch(calls), scratch);
  ASSERT_TRUE(s.ok()) << s.what;
}

/// Rectangular tensors of random rows, NaN in padding, and their answers.
class rectangle {
 public:
  index batch, q_len, kv_len;
  index heads = 4, kv_heads = 2, dim = 32;

  rectangle(std::vector<index> pads, index queries, index keys)
      : batch(std::ssize(pads)),
        q_len(queries),
        kv_len(keys),
        q(fill(batch * q_len, heads, 1)),
        k(fill(batch * kv_len, kv_heads, 2)),
        v(fill(batch * kv_len, kv_heads, 3)),
        out(batch * q_len, heads, dim),
        lse(batch * q_len, heads, 1),
        left_pad_(std::move(pads)) {
    for (index b = 0; b < batch; ++b) {
      range const padding{b * kv_len, b * kv_len + left_pad_[static_cast<std::size_t>(b)]};
      auto const spoil = [](float& x) { x = std::bit_cast<float>(canary); };
      for_each_element(k.view.slice(padding), spoil);
      for_each_element(v.view.slice(padding), spoil);
    }
  }

  padded_batch padded(any_mask const& mask) {
    auto const view = [&](auto* data, index tokens, index of_heads, index of_dim) {
      return batch_view(data, batch, tokens, of_heads, of_dim);
    };
    padded_batch p{.q = view(static_cast<float const*>(q.view.data), q_len, heads, dim),
                   .k = view(static_cast<float const*>(k.view.data), kv_len, kv_heads, dim),
                   .v = view(static_cast<float const*>(v.view.data), kv_len, kv_heads, dim)};
    p.left_pad = left_pad_;
    p.mask = mask;
    p.out = view(out.view.data, q_len, heads, dim);
    p.lse = view(lse.view.data, q_len, heads, 1);
    return p;
  }

  /// Attends, and compares every row with the sequence alone and with the definition.
  void expect_rows(padded_batch const& p) {
    ASSERT_NO_FATAL_FAILURE(attend_all(p));
    for (index b = 0; b < batch; ++b) {
      index const pad = left_pad_[static_cast<std::size_t>(b)];
      index const hidden = std::clamp<index>(pad - (kv_len - q_len), 0, q_len);
      range const padding{b * q_len, b * q_len + hidden};
      for_each_element(out.view.slice(padding), [](float x) { EXPECT_EQ(x, 0.0f); });
      for_each_element(lse.view.slice(padding), [](float x) { EXPECT_EQ(x, -infinity); });

      // The sequence alone: packed tensors of its own, the last query at the last key.
      range const rows{padding.end, (b + 1) * q_len};
      range const keys{b * kv_len + pad, (b + 1) * kv_len};
      attention const alone{.q = q.view.slice(rows),
                            .kv = contiguous(k.view.slice(keys), v.view.slice(keys)),
                            .mask = p.mask};
      answer const want = attend_anew(alone);
      EXPECT_EQ(bits_of(out.view.slice(rows)), bits_of(want.out.view)) << "sequence " << b;
      EXPECT_EQ(bits_of(lse.view.slice(rows)), bits_of(want.lse.view)) << "sequence " << b;
      expect_exact(alone, want);
    }
  }

  tensor q, k, v, out, lse;

 private:
  tensor fill(index tokens, index of_heads, std::uint64_t seed) const {
    return tensor(tokens, of_heads, dim).filled(seed);
  }
  std::vector<index> left_pad_;
};

any_mask llama4(index chunk) { return causal{} & chunked{chunk}; }

// transformers issue 37351 and those around it: Llama 4 with sequences shorter than a chunk, and
// padded: batch 2, q_len = kv_len = 8, attention_chunk_size 8192, one layer of hidden size 128.
TEST(PaddedBatch, Llama4sReportedCall) {
  rectangle r({0, 3}, 8, 8);
  r.expect_rows(r.padded(llama4(8192)));
  // A chunk longer than the context is plain causal attention.
  std::vector<std::uint32_t> const chunked_bits = bits_of(r.out.view);
  r.expect_rows(r.padded(causal{}));
  EXPECT_EQ(bits_of(r.out.view), chunked_bits);
}

TEST(PaddedBatch, ChunksCountFromTheFirstRealToken) {
  for (index const chunk : {1, 2, 4, 7, 8, 9, 32}) {
    rectangle r({0, 1, 3, 8, 15, 16}, 16, 16);
    r.expect_rows(r.padded(llama4(chunk)));
  }
}

TEST(PaddedBatch, LongMixedLengths) {
  rectangle r({0, 300, 129, 499}, 500, 500);
  r.expect_rows(r.padded(llama4(128)));
  r.expect_rows(r.padded(causal{} & sliding_window{100}));
}

TEST(PaddedBatch, DecodeAndPiecesAfterAPaddedPrompt) {
  for (index const q_len : {1, 2, 5}) {
    rectangle r({0, 9, 19, 20}, q_len, 21);
    r.expect_rows(r.padded(llama4(4)));
    r.expect_rows(r.padded(causal{}));
  }
}

TEST(PaddedBatch, AWindowLayerAndAGlobalLayerTakeTheSameCall) {
  rectangle r({2, 0}, 40, 40);
  for (any_mask const& mask : {any_mask(causal{} & sliding_window{16}), any_mask(causal{})}) {
    r.expect_rows(r.padded(mask));
  }
}

TEST(PaddedBatch, PaddingOnTheRight) {
  rectangle r({0, 0}, 12, 12);
  padded_batch p = r.padded(causal{});
  index const valid[] = {12, 7};
  p.kv_valid = valid;
  for_each_element(r.k.view.slice({12 + 7, 24}), [](float& x) { x = NAN; });
  ASSERT_TRUE(p.check().ok());
  ASSERT_EQ(p.size(), 6);
  EXPECT_EQ(p[3].q.tokens, 0) << "nothing before the first real token";
  EXPECT_EQ(p[4].queries(), (range{0, 7}));
  EXPECT_EQ(p[5].queries(), (range{7, 12}));
  for (index const i : {4, 5}) {
    EXPECT_EQ(p[i].kv.positions(), (range{0, 7}));
    answer const got = attend_anew(p[i]);
    for_each_element(got.out.view, [](float x) { EXPECT_TRUE(std::isfinite(x)); });
  }
  // Seven tokens take the decode kernel, with five more they would not.
  range const real{12, 19};
  attention const alone{.q = r.q.view.slice(real),
                        .kv = contiguous(r.k.view.slice(real), r.v.view.slice(real)),
                        .mask = p.mask};
  EXPECT_EQ(attend_anew(p[4]).bits(), attend_anew(alone).bits());
}

TEST(PaddedBatch, SaysWhatIsWrong) {
  rectangle r({0, 3}, 8, 8);
  padded_batch const good = r.padded(causal{});
  auto const code = [&](auto change) {
    padded_batch p = good;
    change(p);
    return p.check().code;
  };
  index const one[] = {0};
  index const outside[] = {0, 9};
  index const negative[] = {0, -1};
  index const before[] = {8, 2};
  EXPECT_EQ(code([&](padded_batch& p) { p.k.size = 1; }), errc::shape);
  EXPECT_EQ(code([&](padded_batch& p) { p.lse.size = 1; }), errc::shape);
  EXPECT_EQ(code([&](padded_batch& p) { p.q.first.data = nullptr; }), errc::memory);
  EXPECT_EQ(code([&](padded_batch& p) { p.v.first.tokens = 7; }), errc::shape);
  EXPECT_EQ(code([&](padded_batch& p) { p.out.first.tokens = 7; }), errc::shape);
  EXPECT_EQ(code([&](padded_batch& p) { p.lse.first.tokens = 7; }), errc::shape);
  EXPECT_EQ(code([&](padded_batch& p) { p.lse_sink = p.lse, p.lse_sink.first.tokens = 7; }),
            errc::shape);
  EXPECT_EQ(code([&](padded_batch& p) { p.left_pad = one; }), errc::shape);
  EXPECT_EQ(code([&](padded_batch& p) { p.left_pad = outside; }), errc::shape);
  EXPECT_EQ(code([&](padded_batch& p) { p.left_pad = negative; }), errc::shape);
  EXPECT_EQ(code([&](padded_batch& p) { p.kv_valid = before; }), errc::shape);
  padded_batch p = good;
  p.kv_valid = before;
  EXPECT_EQ(p.check().where, 1) << "the sequence is named";
  EXPECT_TRUE((padded_batch{}.check().ok())) << "no sequence";
  EXPECT_EQ((padded_batch{}.size()), 0);
}

/// Rounded elements of a whole tensor, as a batch.
template <class T>
batch_view<T> items(narrow_tensor<T>& of, index batch) {
  tensor_view<T> first = of.view;
  first.tokens /= batch;
  return {first, batch, first.tokens * first.token_stride};
}

/// Everything 16 bits wide: the bits of the batch of the floats that they are, rounded once.
template <class T>
class NarrowBatch : public testing::Test {};
using narrow_types = testing::Types<bf16, f16>;
TYPED_TEST_SUITE(NarrowBatch, narrow_types);

TYPED_TEST(NarrowBatch, HasTheBitsOfItsFloatsRoundedOnce) {
  for (index const q_len : {1, 3, 21}) {
    rectangle r({0, 9, 20}, q_len, 21);
    narrow_tensor<TypeParam> q(r.q.view), k(r.k.view), out(3 * q_len, r.heads, r.dim);
    narrow_tensor<bf16> v(r.v.view);
    tensor const wide_q = q.floats(), wide_k = k.floats(), wide_v = v.floats();
    any_mask const mask = causal{} & sliding_window{7};
    padded_batch floats = r.padded(mask);
    floats.q = batch_view<float>(wide_q.view.data, 3, q_len, r.heads, r.dim);
    floats.k = batch_view<float>(wide_k.view.data, 3, 21, r.kv_heads, r.dim);
    floats.v = batch_view<float>(wide_v.view.data, 3, 21, r.kv_heads, r.dim);
    attend_all(floats);
    std::vector<std::uint32_t> const lse = bits_of(r.lse.view);
    narrow_tensor<TypeParam> const want(r.out.view);

    padded_batch narrow = floats;
    narrow.q = items(q, 3);
    narrow.k = items(k, 3);
    narrow.v = items(v, 3);
    narrow.out = items(out, 3);
    attend_all(narrow);
    EXPECT_EQ(out.bits(), want.bits());
    EXPECT_EQ(bits_of(r.lse.view), lse);
  }
}

TEST(PaddedBatch, RowsOfACodec) {
  rectangle r({0, 9}, 5, 21);
  padded_batch p = r.padded(causal{});
  for_each_element(r.k.view, [](float& x) { x = std::isnan(x) ? 0.0f : x; });
  index const row = int8::row_bytes(r.dim);
  std::vector<std::byte> bytes(static_cast<std::size_t>(2 * 21 * r.kv_heads * row));
  for (index t = 0; t < 42; ++t) {
    for (index h = 0; h < r.kv_heads; ++h) {
      int8{}.encode<default_arch>(r.k.view.row(t, h), r.dim, h,
                                  bytes.data() + (t * r.kv_heads + h) * row);
    }
  }
  std::vector<float> const kept = kept_floats(int8{}, r.k.view);
  p.k = batch_view<float const>(kept.data(), 2, 21, r.kv_heads, r.dim);
  attend_all(p);
  std::vector<std::uint32_t> const want = bits_of(r.out.view);
  stored_view const first =
      coded_view<int8>(bytes.data(), 21, r.kv_heads, r.dim, r.kv_heads * row, row);
  p.k = batch_of<stored_view>(first, 2, 21 * r.kv_heads * row);
  for_each_element(r.out.view, [](float& x) { x = 0.0f; });
  attend_all(p);
  EXPECT_EQ(bits_of(r.out.view), want);
  p.k.stride = INT64_MAX;
  EXPECT_EQ(p.check().code, errc::shape);
  p.q.first.data = static_cast<char const*>(p.q.first.data) + 1;
  EXPECT_EQ(p.check().code, errc::alignment);
}

}  // namespace
}  // namespace oriel::test
