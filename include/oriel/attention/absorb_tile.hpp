// SPDX-License-Identifier: BSL-1.0
// One row tile and one key tile: where mask, score and source meet a kernel.
#pragma once

#include "oriel/attention/chosen_tile.hpp"
#include "oriel/attention/tile_runs.hpp"

namespace oriel::inline v0::detail {

/// For a tile of one row: clears in `word` the keys that the score functor hid (-inf), so that
/// their values are not read; `visible` is `word`, or null where the mask shows all. False, and
/// nothing is written, where it hid none.
ORIEL_INLINE bool hide_as_scored(score_tile const& tile, std::uint64_t const* visible,
                                 std::uint64_t* word) noexcept {
  auto const hides = [&](index i) ORIEL_INLINE_LAMBDA {
    return tile.scores[i * tile.key_step] == -infinity;
  };
  index first = 0;
  while (first < tile.keys.size() && !hides(first)) ++first;
  if (first == tile.keys.size()) return false;
  for (index i = 0; i < tile.keys.size(); ++i) {
    std::uint64_t const seen = visible != nullptr ? word[i] : 1;
    word[i] = hides(i) ? 0 : seen;
  }
  return true;
}

/// Absorbs `keys`, those of the key tile beginning at `begin` that a row tile reaches; of rows that
/// choose, in the blocks of their choice. Hidden tiles are never loaded, fully visible ones never
/// masked. The kernel gets rows as they are stored, or through `wide`, if not null, as floats.
/// The order of steps is that of `tile_kernel`.
template <class Kernel>
void absorb_tile(Kernel& kernel, attention const& call, index head, row_tile const& rows,
                 chosen_tile* chosen, key_order const& order, range keys, index begin,
                 std::uint64_t* word, wide_tile* wide) noexcept {
  coverage seen = call.mask.cover(rows.queries(), keys);
  if (seen == coverage::none) return;
  if (seen == coverage::some) call.mask.visible_rows(rows, keys, word);
  if (chosen != nullptr) seen = chosen->hide_others(call, rows, keys, seen, word);
  if (seen == coverage::none) return;
  bool const partial = seen == coverage::some;
  std::uint64_t const* visible = partial ? word : nullptr;
  auto const places = [&](range some) { return range{some.begin - begin, some.end - begin}; };
  auto const each_run = [&](range some, auto&& f) ORIEL_INLINE_LAMBDA {
    for_each_run(call.kv, head, some,
                 visible != nullptr ? visible + (some.begin - keys.begin) : nullptr, f);
  };
  auto const read_each = [&](range some, stored_rows kv_run::*of, auto&& f) ORIEL_INLINE_LAMBDA {
    each_run(some, [&](kv_run const& run) ORIEL_INLINE_LAMBDA {
      if constexpr (requires { kernel.wants(run.*of); }) {
        if (kernel.wants_streams()) {
          return in_streams<typename Kernel::fetch>(call.kv, order, Kernel::keys, run, of, f);
        }
        in_parts(call.kv, order, run, of, kernel.wants(run.*of), f);
      } else {
        f(run);
      }
    });
  };
  read_each(keys, &kv_run::k, [&](kv_run const& run) {
    kernel.score(wide != nullptr ? wide->keys(run) : run, run.first - begin, rows.count);
  });
  if (call.score) {
    score_tile tile = kernel.scores(keys.begin - begin);
    tile.rows = rows;
    tile.first_head = call.heads().first_q_head(head);
    tile.keys = keys;
    call.score.apply(tile);
    if (rows.count == 1 && hide_as_scored(tile, visible, word)) visible = word;
  }
  if (partial) kernel.hide(word, places(keys), rows.count);
  kernel.absorb(places(keys), rows.count);
  for (range some = keys; some.begin < keys.end; some.begin = some.end) {
    some.end = min_of(round_down(some.begin, tile_keys) + tile_keys, keys.end);
    kernel.begin_values(places(some), rows.count, [&](auto&& f) ORIEL_INLINE_LAMBDA {
      each_run(some, [&](kv_run const& run) ORIEL_INLINE_LAMBDA { f(run, run.first - begin); });
    });
    read_each(some, &kv_run::v, [&](kv_run const& run) {
      kernel.accumulate(wide != nullptr ? wide->values(run) : run, run.first - begin, rows.count);
    });
    kernel.end_values(rows.count);
  }
}

}  // namespace oriel::inline v0::detail
