// SPDX-License-Identifier: BSL-1.0
// What a kernel is: the steps of flash attention over one row tile, in order.
#pragma once

#include <concepts>
#include <cstdint>

#include "oriel/cache/source.hpp"
#include "oriel/kernel/softmax_state.hpp"
#include "oriel/score/any_score.hpp"

namespace oriel::inline v0 {

/// A kernel attends with one tile of up to `rows` query rows, `keys` keys at a time. Its driver
/// (attention/attend_tiles) walks over the keys and takes these steps:
///
///   begin(q, count, scale, rounds)         Q = scale * q; no key has been seen
///   for every leaf of keys that the rows reach
///     begin_leaf(count)                    m = -inf, l = 0, O = 0
///     for every key tile of the leaf
///       score(run, at, count) ...          S = Q K^T, run by run
///       scores(at)                         S itself, if a score functor changes it
///       hide(word, places, count)          S = -inf where a row does not see a key, if any
///       absorb(places, count)              m' = max(m, S); P = 2^(S - m'); l and O rescaled
///       for every tile_keys keys of it
///         begin_values(places, count, each)  each(f): f(run, at) for every run of values
///         accumulate(run, at, count) ...     O += P V, run by run
///         end_values(count)
///     end_leaf(count)                      the leaf is merged into the total
///   end(state, count)                      m, l and O of the total, row by row
///
/// `count` rows take part. `at` and `places` are places within the key tile, which begins at an
/// absolute multiple of its size, `keys`. Runs come in order; how they are cut changes no bit.
///
/// Optional: `expect(run)` before a key tile names rows that the kernel may prefetch while it
/// computes; `wants(rows)`, `wants_streams()` and the type `fetch`, all three or none, say how the
/// driver cuts runs so that each line that is read prefetches a later one (attention/tile_runs).
// clang-format off
template <class K, class Arch>
concept tile_kernel = requires(K& k, float const* const* q, int count, kv_run const& run, index at,
                               range places, std::uint64_t const* word,
                               softmax_state<Arch> const& state) {
  { K::rows } -> std::convertible_to<int>;
  { K::keys } -> std::convertible_to<index>;
  k.begin(q, count, 1.0f, false);
  k.begin_leaf(count);
  k.score(run, at, count);
  { k.scores(at) } -> std::same_as<score_tile>;
  k.hide(word, places, count);
  k.absorb(places, count);
  k.begin_values(places, count, [](auto const&) {});
  k.accumulate(run, at, count);
  k.end_values(count);
  k.end_leaf(count);
  k.end(state, count);
};
// clang-format on

}  // namespace oriel::inline v0
