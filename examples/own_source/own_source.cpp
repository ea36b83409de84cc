// SPDX-License-Identifier: BSL-1.0
// A source of your own: keys and values in blocks that an engine allocates one by one, and frees
// when the window has left them. Whatever takes a source takes this one. Prints
//
//   10 tokens that are in the blocks: the bits of plain attention
//   the same after the blocks: the bits of plain attention
//   without a window: evicted
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <memory>
#include <oriel/interop/owning.hpp>
#include <oriel/interop/throwing.hpp>
#include <oriel/oriel.hpp>
#include <span>
#include <vector>

constexpr oriel::index tokens = 210, heads = 8, kv_heads = 2, dim = 64, block_tokens = 32;

/// The engine's own.
struct block {
  float k[block_tokens][kv_heads][dim];
  float v[block_tokens][kv_heads][dim];
};

/// The source: trivially copyable, as every call holds a copy, which refers to the blocks.
struct block_list {
  std::span<std::unique_ptr<block> const> blocks;  ///< number i: tokens from i * block_tokens on
  oriel::index end = 0;                            ///< tokens there have been
  oriel::index freed = 0;                          ///< of those, the first, whose blocks are null

  oriel::status check() const noexcept {
    if (freed < 0 || freed > end || end > std::ssize(blocks) * block_tokens) {
      return {oriel::errc::shape, "block_list: 0 <= freed <= end <= tokens in the blocks"};
    }
    for (oriel::index i = freed / block_tokens; i * block_tokens < end; ++i) {
      if (!block_of(i * block_tokens)) return {oriel::errc::memory, "block_list: a null block"};
    }
    return {};
  }
  oriel::kv_shape shape() const noexcept {
    return {.kv_heads = kv_heads, .head_dim = dim, .v_dim = dim};
  }
  oriel::range positions() const noexcept { return {freed, end}; }
  /// A mask that shows one of these is refused.
  oriel::range lost() const noexcept { return {0, freed}; }

  /// A head's rows from a position on, as many as are equally far from one another. For rows that
  /// are not floats return the run of a `contiguous` over the block, whose first position is the
  /// block's, and let shape() say `.coded = true`.
  oriel::kv_run run_at(oriel::index head, oriel::index position) const noexcept {
    oriel::index const at = position % block_tokens;
    return {.k = oriel::stored_rows::of(block_of(position)->k[at][head], kv_heads * dim, dim),
            .v = oriel::stored_rows::of(block_of(position)->v[at][head], kv_heads * dim, dim),
            .head = head,
            .first = position,
            .rows = oriel::min_of(block_tokens - at, end - position)};
  }
  /// Could writing `out` change the rows? Such a call is refused.
  bool overlaps(oriel::tensor_view<float> const& out) const noexcept {
    for (std::unique_ptr<block> const& b : blocks) {
      if (!b) continue;
      oriel::address_range const own = oriel::footprint(std::as_bytes(std::span(b.get(), 1)));
      if (oriel::footprint(out).meets(own)) return true;
    }
    return false;
  }

  block const* block_of(oriel::index position) const noexcept {
    return blocks[static_cast<std::size_t>(position / block_tokens)].get();
  }
};
static_assert(oriel::kv_source<block_list>);

int main() {
  std::vector<float> q(tokens * heads * dim), k(tokens * kv_heads * dim), v(k.size());
  for (std::size_t i = 0; i < q.size(); ++i) q[i] = std::sin(static_cast<float>(i));
  for (std::size_t i = 0; i < k.size(); ++i) k[i] = std::cos(static_cast<float>(3 * i));
  for (std::size_t i = 0; i < v.size(); ++i) v[i] = std::sin(static_cast<float>(7 * i));
  oriel::tensor_view<float const> const all_k(k.data(), tokens, kv_heads, dim);
  oriel::tensor_view<float const> const all_v(v.data(), tokens, kv_heads, dim);

  // A window of 100 keys: query 200 sees none before 101, so three blocks are never needed.
  std::vector<std::unique_ptr<block>> blocks(7);
  for (oriel::index t = 96; t < tokens; ++t) {
    std::unique_ptr<block>& own = blocks[static_cast<std::size_t>(t / block_tokens)];
    if (!own) own = std::make_unique<block>();
    for (oriel::index head = 0; head < kv_heads; ++head) {
      std::copy_n(all_k.row(t, head), dim, own->k[t % block_tokens][head]);
      std::copy_n(all_v.row(t, head), dim, own->v[t % block_tokens][head]);
    }
  }

  // The last ten tokens, first with all keys in one tensor.
  oriel::range const fresh{200, tokens};
  std::vector<float> plain(10 * heads * dim), out(10 * heads * dim);
  oriel::attention call{.q = {&q[200 * heads * dim], 10, heads, dim},
                        .kv = oriel::contiguous{all_k, all_v},
                        .mask = oriel::causal{} & oriel::sliding_window{.keys = 100},
                        .out = {plain.data(), 10, heads, dim}};
  oriel::aligned_bytes const scratch(oriel::workspace_bytes(call));
  bool right = true;
  oriel::require(oriel::attend(call, scratch));

  call.out = {out.data(), 10, heads, dim};
  auto const compare = [&](char const* what) {
    std::fill(out.begin(), out.end(), NAN);
    oriel::status const s = oriel::attend(call, scratch);
    bool const same = s.ok() && out == plain;
    right = right && same;
    std::printf("%s: %s\n", what, same ? "the bits of plain attention" : s.ok() ? "WRONG" : s.what);
  };
  call.kv = block_list{blocks, tokens, 96};
  compare("10 tokens that are in the blocks");
  block_list const before{blocks, 200, 96};  // joined refers to it
  call.kv = oriel::joined{before, all_k.slice(fresh), all_v.slice(fresh)};
  compare("the same after the blocks");

  call.mask = oriel::causal{};
  bool const refused = oriel::attend(call, scratch).code == oriel::errc::evicted;
  std::printf("without a window: %s\n", refused ? "evicted" : "WRONG");
  return right && refused ? 0 : 1;
}
