// SPDX-License-Identifier: BSL-1.0
// An engine's pages: two sequences share those of a common prefix, and one call attends to both
// through their block tables; then one ends, and its pages serve a third. Prints
//
//   a's prompt: the bits of plain attention
//   a's next token, b's prompt: the bits of plain attention
//   both decode: the bits of plain attention
//   b's next token, c's prompt: the bits of plain attention
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <oriel/interop/owning.hpp>
#include <oriel/interop/throwing.hpp>
#include <oriel/oriel.hpp>
#include <vector>

using oriel::require;  // throws where a status is not ok
using rows = oriel::tensor_view<float const>;

constexpr oriel::index pages = 6, page_size = 16, heads = 8, kv_heads = 2, dim = 64;

struct sequence {
  std::vector<std::int32_t> table;  ///< its pages, in order, as the engine's allocator chose them
  oriel::index stored = 0;          ///< tokens whose rows lie in them
  oriel::index tokens = 0;
  std::vector<float> q = {}, k = {}, v = {};  ///< of all tokens, to compare

  /// The next tokens: what a model computes of them is made up of their numbers.
  void add(int number, int count) {
    for (tokens += count; count > 0; --count, ++number) {
      for (int i = 1; i <= heads * dim; ++i) {
        q.push_back(std::sin(static_cast<float>((number + 1) * i)));
        if (i <= kv_heads * dim) k.push_back(q.back()), v.push_back(std::cos(q.back()));
      }
    }
  }
};

int main() {
  // Keys and then values, [2, pages, page_size, kv_heads, dim]; other layouts are other strides.
  constexpr oriel::index page = page_size * kv_heads * dim;
  std::vector<float> memory(2 * pages * page, NAN);
  oriel::page_pool const pool{.k = {memory.data(), page_size, kv_heads, dim},
                              .v = {memory.data() + pages * page, page_size, kv_heads, dim},
                              .pages = pages,
                              .k_page_stride = page,
                              .v_page_stride = page};
  // Once, for steps of up to 4 sequences with 64 new tokens together.
  oriel::attend_plan const plan = oriel::plan_attend(
      {.sequences = 4, .q_len = 64, .kv_len = 96, .q_heads = 8, .kv_heads = 2, .head_dim = 64});
  oriel::aligned_bytes const scratch(plan.workspace_bytes());
  bool right = true;

  // One call for what is new in each sequence, be it a prompt or a token.
  auto const step = [&](char const* what, std::vector<sequence*> const& running) {
    oriel::index fresh_tokens = 0;
    for (sequence const* const s : running) fresh_tokens += s->tokens - s->stored;
    std::vector<float> out(static_cast<std::size_t>(fresh_tokens * heads * dim), NAN), plain = out;
    std::vector<oriel::attention> batch, plain_batch;
    oriel::index at = 0;  // in out
    for (sequence* const s : running) {
      rows const q(s->q.data(), s->tokens, heads, dim);
      rows const k(s->k.data(), s->tokens, kv_heads, dim), v(s->v.data(), s->tokens, kv_heads, dim);
      oriel::range const fresh{s->stored, s->tokens};
      require(oriel::store_rows(pool, s->table, fresh.begin, k.slice(fresh), v.slice(fresh)));
      s->stored = s->tokens;

      batch.push_back({.q = q.slice(fresh),
                       .kv = oriel::paged{pool, s->table, s->tokens},
                       .mask = oriel::causal{},
                       .out = {out.data() + at, fresh.size(), heads, dim}});
      plain_batch.push_back(batch.back());
      plain_batch.back().kv = oriel::contiguous{k, v};
      plain_batch.back().out = {plain.data() + at, fresh.size(), heads, dim};
      at += fresh.size() * heads * dim;
    }
    require(oriel::attend(plan, batch, scratch));
    require(oriel::attend(plan, plain_batch, scratch));
    bool const same = out == plain;
    right = right && same;
    if (what != nullptr)
      std::printf("%s: %s\n", what, same ? "the bits of plain attention" : "WRONG");
  };

  sequence a{.table = {4, 0, 3}};
  a.add(0, 40);
  step("a's prompt", {&a});

  // b begins with the same 32 tokens, so with the same pages, which are full: nobody writes to them.
  sequence b{.table = {4, 0, 5, 1}, .stored = 32};
  b.add(0, 32), b.add(100, 10);
  a.add(40, 1);
  step("a's next token, b's prompt", {&a, &b});

  a.table.push_back(2);  // for its tokens from 48 on
  for (int i = 0; i < 8; ++i) {
    a.add(41 + i, 1), b.add(110 + i, 1);
    step(i == 7 ? "both decode" : nullptr, {&a, &b});
  }

  // a ends. The pages that were its alone serve c as they are; nothing needs to be cleared.
  sequence c{.table = {3, 2}};
  c.add(200, 20), b.add(118, 1);
  step("b's next token, c's prompt", {&b, &c});
  return right ? 0 : 1;
}
