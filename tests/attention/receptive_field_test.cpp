// SPDX-License-Identifier: BSL-1.0
// What a stack of window layers sees: through n layers of window W, position p depends on exactly
// the positions from p - n (W - 1) to p.
#include "oriel/attention/attend.hpp"
#include "problem.hpp"

namespace oriel::test {
namespace {

constexpr int layers = 3;

struct stack {
  index length, window;
  std::vector<problem> layer;  ///< q and k are fixed, the values are the layer below's output
  any_mask mask = causal{} & sliding_window{window};

  stack(index n, index w) : length(n), window(w) {
    for (std::uint64_t i = 0; i < layers; ++i) {
      layer.emplace_back(attention_case{.q_len = n, .kv_len = n, .head_dim = 8, .v_dim = 1},
                         10 * i);
    }
  }

  /// All positions at once.
  std::vector<std::uint32_t> whole(tensor_view<float const> input) const {
    std::vector<answer> below;
    for (problem const& l : layer) {
      below.push_back(
          attend_anew({.q = l.q.view, .kv = contiguous(l.k.view, input), .mask = mask}));
      input = below.back().out.view;
    }
    return bits_of(input);
  }

  /// One position after the other, each layer with a rolling cache of `window` rows.
  std::vector<std::uint32_t> one_by_one(tensor_view<float const> input) const {
    cache_shape const shape{.window = window, .head_dim = 8, .v_dim = 1};
    std::vector<aligned_memory> memory;
    std::vector<rolling_cache<f32>> cache;
    for (int i = 0; i < layers; ++i) {
      memory.emplace_back(rolling_cache<f32>::required_bytes(shape));
      cache.emplace_back(memory.back(), shape);
    }
    tensor const out(length, 1, 1);
    for (index p = 0; p < length; ++p) {
      range const here{p, p + 1};
      tensor const value(1, 1, 1);
      *value.view.data = *input.row(p, 0);
      for (std::size_t i = 0; i < layers; ++i) {
        EXPECT_TRUE(cache[i].append(layer[i].k.view.slice(here), value.view).ok());
        answer const a =
            attend_anew({.q = layer[i].q.view.slice(here), .kv = cache[i], .mask = mask});
        *value.view.data = *a.out.view.data;
      }
      *out.view.row(p, 0) = *value.view.data;
    }
    return bits_of(out.view);
  }
};

void expect_exact_field(stack const& s, index step, auto const& run) {
  tensor const input = tensor(s.length, 1, 1).filled(5);
  auto const before = run(input.view);
  for (index at = 0; at < s.length; at += step) {
    float& x = *input.view.row(at, 0);
    float const was = x;
    x = 1e12f;  // no weight of three layers is small enough to hide it
    auto const after = run(input.view);
    x = was;
    for (index p = 0; p < s.length; ++p) {
      bool const depends = at <= p && p <= at + layers * (s.window - 1);
      auto const i = static_cast<std::size_t>(p);
      EXPECT_EQ(before[i] != after[i], depends) << "position " << p << " on " << at;
    }
  }
}

TEST(ReceptiveField, ThreeWindowLayers) {
  for (range const shape : {range{20, 1}, {30, 2}, {60, 5}, {450, 64}, {260, 129}}) {
    stack const s(shape.begin, shape.end);
    SCOPED_TRACE(s.window);
    expect_exact_field(s, s.length < 100 ? 1 : 29, [&](auto const& x) { return s.whole(x); });
  }
}

TEST(ReceptiveField, ThreeWindowLayersOverRollingCaches) {
  for (range const shape : {range{12, 1}, {14, 2}, {40, 5}}) {
    stack const s(shape.begin, shape.end);
    SCOPED_TRACE(s.window);
    expect_exact_field(s, 3, [&](auto const& x) { return s.one_by_one(x); });
  }
}

}  // namespace
}  // namespace oriel::test
