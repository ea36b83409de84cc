// SPDX-License-Identifier: BSL-1.0
// A group of row tiles over its leaves of keys.
#pragma once

#include "oriel/attention/absorb_tile.hpp"
#include "oriel/attention/tile_group.hpp"
#include "oriel/kernel/tile_kernel.hpp"

namespace oriel::inline v0::detail {

/// Calls f(token, q_head, row) for each row of a tile of kv head `head`.
template <class F>
ORIEL_INLINE void for_each_row(attention const& call, index head, row_tile const& rows,
                               F&& f) noexcept {
  index const first_head = call.heads().first_q_head(head);
  for (int r = 0; r < rows.count; ++r) {
    f(rows.token(r), first_head + rows.head(r), r);
  }
}

/// Writes out, lse and lse_sink of a tile's rows from their state, which the sinks join here.
template <class Arch>
void write_rows(attention const& call, index head, row_tile const& rows,
                softmax_state<Arch> const& state) noexcept {
  for_each_row(call, head, rows, [&](index token, index q_head, int r) {
    if (call.lse.data != nullptr) *call.lse.row(token, q_head) = state.lse(r);
    bool const has_sink = !call.sink_logits.empty();
    float const logit = has_sink ? call.sink_logits[static_cast<std::size_t>(q_head)] : -infinity;
    if (call.lse_sink.data != nullptr) {
      *call.lse_sink.row(token, q_head) = state.lse_with(r, logit);
    }
    if (has_sink) state.add_sink(r, logit);
    call.out.visit([&](auto const& out)
                       ORIEL_INLINE_LAMBDA { state.write_out(r, out.row(token, q_head)); });
  });
}

/// The states of a group over the leaves `leaves`, each merged into its tile's total from left to
/// right, which kernels[i] then holds.
template <class Arch, tile_kernel<Arch> Kernel>
void attend_tiles(Kernel* kernels, worker_scratch<Arch>& scratch, attention const& call,
                  tile_group const& g, key_ranges const& leaves) noexcept {
  // The row tiles share keys as floats; the decode kernel reads its own rows.
  wide_tile* const wide = !g.decode && call.kv.shape().coded ? &scratch.wide : nullptr;
  range const held = call.kv.positions();
  key_order const order{.held = held,
                        .lost = call.kv.lost(),
                        .end = g.next.empty() ? held.end : g.any.hull().end,
                        .next = g.next};
  // Scores in base 2: exp(scale * s) = 2^(scale * log2(e) * s). A functor takes natural units.
  double const base = call.score ? 1.0 : log2_e;
  auto const scale = static_cast<float>(static_cast<double>(call.used_scale()) * base);
  for (int i = 0; i < g.count; ++i) {
    for_each_row(call, g.head[i], g.rows[i], [&](index token, index q_head, int r) {
      scratch.q[r] = wide_row<Arch>(call.q, token, q_head, scratch.wide_q + r * call.q.dim);
    });
    kernels[i].begin(scratch.q, g.rows[i].count, scale, call.compute == compute_choice::fast);
  }
  for (index leaf = 0; leaf < leaves.size(); ++leaf) {
    index const begin = leaves.nth(leaf) * leaf_keys;
    index const end = begin + leaf_keys;
    index at = next_tile(g.any, begin, Kernel::keys);
    if (at >= end) continue;
    for (int i = 0; i < g.count; ++i) kernels[i].begin_leaf(g.rows[i].count);
    for (; at < end; at = next_tile(g.any, at + Kernel::keys, Kernel::keys)) {
      if (wide != nullptr) wide->begin(at);
      for (int i = 0; i < g.count; ++i) {
        range const tile{at, at + Kernel::keys};
        range const keys = intersect(g.reach[i], key_ranges(tile)).hull();
        if (keys.empty()) continue;
        if constexpr (requires(kv_run const& next) { kernels[i].expect(next); }) {
          bool const last = next_tile(g.reach[i], tile.end, Kernel::keys) == INT64_MAX;
          kernels[i].expect(last ? rows_ahead(call, g, i) : run_ahead(call, g, i, tile));
        }
        absorb_tile(kernels[i], call, g.head[i], g.rows[i], g.chosen[i], order, keys, at,
                    scratch.word, wide);
      }
    }
    for (int i = 0; i < g.count; ++i) kernels[i].end_leaf(g.rows[i].count);
  }
}

/// The state of row tile `i` of a group from its kernel, which has attended to `leaves`, in `to`.
/// The weight 0 of a value that a row doesn't see makes NaN of one that is not finite. Rows with
/// such sums attend again, each alone, where nothing is read that it doesn't see. Rows whose l is
/// NaN are left: that is of their own scores.
template <class Arch, tile_kernel<Arch> Kernel>
void end_tile(Kernel& kernel, worker_scratch<Arch>& scratch, attention const& call,
              tile_group const& g, int i, key_ranges const& leaves,
              softmax_state<Arch> const& to) noexcept {
  int const count = g.rows[i].count;
  kernel.end(to, count);
  if (count == 1 || to.is_finite(count)) return;
  for (int r = 0; r < count; ++r) {
    softmax_state<Arch> const own = to.from(r);
    if (own.l[0] != own.l[0] || own.is_finite(1)) continue;  // NaN of the row's own
    row_tile const row = g.rows[i].part(r, r + 1, 0);
    key_ranges const reach = intersect(reach_of(call, row), g.reach[i]);
    chosen_tile chosen;
    bool const chooses = g.chosen[i] != nullptr && r >= g.chosen[i]->dense;
    if (chooses) {
      chosen.own = g.chosen[i]->own.from(r);
      chosen.own.next[0] = 0;
    }
    tile_group alone{.decode = g.decode};
    alone.add(row, g.head[i], reach, chooses ? &chosen : nullptr);
    attend_tiles(&kernel, scratch, call, alone, leaves);
    kernel.end(own, 1);
  }
}

}  // namespace oriel::inline v0::detail
