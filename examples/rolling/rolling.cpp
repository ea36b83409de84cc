// SPDX-License-Identifier: BSL-1.0
// A layer's rolling cache through the life of a sequence. Every answer is compared with plain
// attention to all keys of the text, which are kept for that alone. Prints
//
//   prompt in pieces: 300 tokens, 267 rows kept, answers exact
//   decoded: 524 tokens, 267 rows kept, answers exact
//   drafts: 532 tokens, 267 rows kept, answers exact
//   3 of 8 drafts taken: 547 tokens, 267 rows kept, answers exact
//   context shifted: 311 tokens, 267 rows kept, answers within 1e-6
//   restored: 567 tokens, 267 rows kept, answers exact
#include <cmath>
#include <cstdio>
#include <oriel/interop/owning.hpp>
#include <oriel/interop/throwing.hpp>
#include <oriel/oriel.hpp>
#include <vector>

using oriel::require;  // throws where a status is not ok
using cache = oriel::rolling_cache<oriel::f32>;
using rows = std::vector<float>;

constexpr oriel::index heads = 8, kv_heads = 2, dim = 64, row = kv_heads * dim;
constexpr auto mask = oriel::causal{} & (oriel::sliding_window{256} | oriel::sinks{4});
// Keeps window - 1 + margin + sinks rows; the newest `margin` can be given back.
constexpr oriel::cache_shape shape{
    .window = 256, .kv_heads = kv_heads, .head_dim = dim, .margin = 8, .sinks = 4};

oriel::tensor_view<float const> view(rows const& of, oriel::index in_a_token) {
  return {of.data(), std::ssize(of) / (in_a_token * dim), in_a_token, dim};
}

int main() {
  // What a model computes of 600 tokens, made up; rotary positions are the model's to apply.
  rows q(600 * heads * dim), k(600 * row), v(600 * row);
  for (std::size_t i = 0; i < q.size(); ++i) q[i] = std::sin(static_cast<float>(i));
  for (std::size_t i = 0; i < k.size(); ++i) k[i] = std::cos(static_cast<float>(3 * i));
  for (std::size_t i = 0; i < v.size(); ++i) v[i] = std::sin(static_cast<float>(7 * i));

  // Scratch for all calls: pieces of up to 64 tokens after all that the cache can hold.
  oriel::attend_plan const plan = oriel::plan_attend(
      {.q_len = 64, .kv_len = shape.capacity() + 64, .q_heads = 8, .kv_heads = 2, .head_dim = 64});
  oriel::aligned_bytes const scratch(plan.workspace_bytes()), bytes(cache::required_bytes(shape));
  cache layer(bytes, shape);

  rows text_k, text_v;  // to compare
  float allowed = 0;
  bool right = true;
  auto const feed = [&](char const* what, oriel::range tokens, oriel::index piece) {
    for (; !tokens.empty(); tokens.begin += piece) {
      oriel::range const fresh{tokens.begin, oriel::min_of(tokens.begin + piece, tokens.end)};
      auto const new_k = view(k, kv_heads).slice(fresh), new_v = view(v, kv_heads).slice(fresh);
      rows out(static_cast<std::size_t>(fresh.size() * heads * dim)), plain(out.size());

      // A piece of a prompt or one token: attend to the cache and the new rows, then keep them.
      oriel::attention call{.q = view(q, heads).slice(fresh),
                            .kv = oriel::joined{layer, new_k, new_v},
                            .mask = mask,
                            .out = {out.data(), fresh.size(), heads, dim}};
      require(oriel::attend(plan, call, scratch));
      require(layer.append(new_k, new_v));

      text_k.insert(text_k.end(), new_k.data, new_k.data + fresh.size() * row);
      text_v.insert(text_v.end(), new_v.data, new_v.data + fresh.size() * row);
      call.kv = oriel::contiguous{view(text_k, kv_heads), view(text_v, kv_heads)};
      call.out = {plain.data(), fresh.size(), heads, dim};
      require(oriel::attend(call, scratch));
      for (std::size_t i = 0; i < out.size(); ++i) {
        right = right && std::abs(out[i] - plain[i]) <= allowed;
      }
    }
    std::printf("%s: %d tokens, %d rows kept, answers %s\n", what,
                static_cast<int>(layer.positions().end),
                static_cast<int>(oriel::any_source(layer).held()),
                right ? allowed == 0 ? "exact" : "within 1e-6" : "WRONG");
  };

  feed("prompt in pieces", {0, 300}, 64);
  feed("decoded", {300, 524}, 1);
  // Tokens 580 to 588 stand for a draft model's guesses, at positions 524 to 532; in one piece.
  feed("drafts", {580, 588}, 8);
  require(layer.truncate(527));
  text_k.resize(527 * row), text_v.resize(527 * row);
  feed("3 of 8 drafts taken", {524, 544}, 1);

  rows const then_k = text_k, then_v = text_v;
  std::vector<std::byte> saved(static_cast<std::size_t>(layer.saved_bytes()));
  require(layer.save(saved));

  // Context shift: 256 tokens after the sinks go, later keys are rotated to their new positions. These
  // had left the window already; of the tokens it still shows, at most `margin` may be taken out.
  constexpr oriel::rope rope{.dim = dim};
  require(layer.erase({4, 260}, rope, scratch));  // at least erase_bytes(dim)
  text_k.erase(text_k.begin() + 4 * row, text_k.begin() + 260 * row);
  text_v.erase(text_v.begin() + 4 * row, text_v.begin() + 260 * row);
  float cos_sin[dim];
  rope.cos_sin(-256, cos_sin);
  for (std::size_t at = 4 * row; at < text_k.size(); at += dim) rope.rotate(cos_sin, &text_k[at]);
  allowed = 1e-6f;
  feed("context shifted", {544, 564}, 1);

  require(layer.restore(saved));
  text_k = then_k, text_v = then_v;
  allowed = 0;
  feed("restored", {544, 564}, 1);
  return right ? 0 : 1;
}
