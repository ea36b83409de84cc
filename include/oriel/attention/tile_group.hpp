// SPDX-License-Identifier: BSL-1.0
// Row tiles that share key tiles, and what they prefetch meanwhile.
#pragma once

#include "oriel/attention/chosen_tile.hpp"
#include "oriel/attention/partition.hpp"

namespace oriel::inline v0::detail {

/// The first tile of `size` keys at or after `from`, a multiple of it, that holds any of `keys`, or
/// INT64_MAX.
ORIEL_INLINE index next_tile(key_ranges const& keys, index from, index size) noexcept {
  for (range const part : keys) {
    if (part.end > from) return max_of(from, round_down(part.begin, size));
  }
  return INT64_MAX;
}

/// Row tiles that take turns at each key tile.
struct tile_group {
  static constexpr int most = item_tiles > item_heads ? item_tiles : item_heads;

  bool decode = false;
  int count = 0;
  row_tile rows[most] = {};
  index head[most] = {};  ///< kv head
  key_ranges reach[most] = {};
  chosen_tile* chosen[most] = {};  ///< null for a tile whose rows do not choose
  key_ranges any = {};             ///< that any of the tiles reaches
  range next = {};                 ///< keys that are read after those, if that is known

  ORIEL_INLINE void add(row_tile const& tile, index kv_head, key_ranges const& keys,
                        chosen_tile* choice = nullptr) noexcept {
    rows[count] = tile;
    head[count] = kv_head;
    reach[count] = keys;
    chosen[count] = choice;
    any = unite(any, keys);
    ++count;
  }
};

/// `count` tokens' rows of a call's queries or results, the heads of a group side by side.
template <class Void>
ORIEL_INLINE stored_rows group_rows(element_view<Void> const& of, index token, index head,
                                    index group, index count) noexcept {
  return of.visit([&](auto const& view) ORIEL_INLINE_LAMBDA {
    auto const* const row = view.row(token, head);
    constexpr index size = sizeof(*row);
    // The stride of a single token may be any number.
    return stored_rows{reinterpret_cast<std::byte const*>(row),
                       count > 1 ? view.token_stride * size : 0, group * view.dim * size};
  });
}

/// What row tile `i` of a group prefetches while it absorbs its last keys, in the form of a run: as
/// keys the queries of the row tile that takes its place next, as values the lines of its results.
ORIEL_INLINE kv_run rows_ahead(attention const& call, tile_group const& g, int i) noexcept {
  row_tile const& own = g.rows[i];
  bool const side_by_side =
      call.q.head_stride == call.q.dim && call.out.head_stride == call.out.dim;
  if (own.list != nullptr || (own.group > 1 && !side_by_side)) return {};
  index const head = call.heads().first_q_head(g.head[i]);
  index const tokens = own.token(own.count - 1) + 1 - own.token(0);
  index const next = min_of(own.token(0) + g.count * tokens, call.q.tokens - tokens);
  return {group_rows(call.q, next, head, own.group, tokens),
          group_rows(call.out, own.token(0), head, own.group, tokens), g.head[i], 0, tokens};
}

/// What row tile `i` of a group prefetches while it absorbs the key tile `keys`: its part of the
/// next key tile.
ORIEL_INLINE kv_run run_ahead(attention const& call, tile_group const& g, int i,
                              range keys) noexcept {
  index const tile = next_tile(g.any, keys.end, tile_keys);
  if (tile == INT64_MAX) return {};
  range const wanted = intersect(g.any, key_ranges({tile, tile + tile_keys})).hull();
  if (call.kv.lost().contains(wanted.begin)) return {};  // ranges that became one
  kv_run run = call.kv.run_at(g.head[i], wanted.begin);
  run.rows = min_of(run.rows, wanted.size());
  index const part = ceil_div(run.rows, g.count);
  index const skipped = min_of(i * part, run.rows);
  run = run.from(skipped);
  run.rows = min_of(run.rows, part);
  return run;
}

}  // namespace oriel::inline v0::detail
