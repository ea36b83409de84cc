// SPDX-License-Identifier: BSL-1.0
// From rectangular, padded tensors, as frameworks pass them, to the sequences of a ragged batch.
#pragma once

#include <span>

#include "oriel/attention/batch.hpp"
#include "oriel/view/batch_view.hpp"
#include "oriel/view/integers.hpp"

namespace oriel::inline v0 {

/// Sequences of different lengths in rectangular tensors. Sequence b's real tokens are in the key
/// slots [left_pad[b], kv_valid[b]); the last query slot is the last key slot. Positions count from
/// the first real token, so the mask, and the chunks in it, are those of the sequence alone, and
/// every real row has the same bits as the same sequence alone.
///
///   q         [batch, q_len, q_heads, head_dim]            float, bf16 or f16
///   k, v      [batch, kv_len, kv_heads, head_dim or v_dim]  those, or rows of a codec:
///                                                           batch_of<stored_view>(view, b, stride)
///   left_pad  [batch] or empty: 0                   slots before the first real token
///   kv_valid  [batch] or empty: kv_len              one past the last real slot
///   out       [batch, q_len, q_heads, v_dim]               float, bf16 or f16
///   lse, lse_sink  [batch, q_len, q_heads, 1] or {}
///
/// Rows before the first real token see no key: out = 0, lse = -inf. Rows after the last one see
/// what their positions show them. Each sequence becomes three calls: the rows before its real
/// tokens, those of real tokens, and the rows after them (so a plan made by hand is for that many):
///
///   std::vector<oriel::attention> calls;   // of padded.check().ok()
///   for (oriel::index i = 0; i < padded.size(); ++i) calls.push_back(padded[i]);
///   oriel::aligned_bytes scratch(oriel::workspace_bytes(calls));
///   oriel::status s = oriel::attend(calls, scratch);
struct padded_batch {
  batch_of<input_view> q;
  batch_of<stored_view> k, v;
  integers left_pad = {};  ///< referred to
  integers kv_valid = {};  ///< referred to
  any_mask mask = full{};
  any_score score = {};
  std::span<float const> sink_logits = {};
  batch_of<output_view> out = {};
  batch_view<float> lse = {};
  batch_view<float> lse_sink = {};
  std::optional<float> scale = std::nullopt;
  kernel_choice kernel = kernel_choice::by_length;
  compute_choice compute = compute_choice::exact;

  /// ok, or what the calls need that is not there: tensors that are none (errc::shape,
  /// errc::memory, errc::alignment), batch sizes or tokens that differ (errc::shape), left_pad or
  /// kv_valid of another size or out of order, with the sequence in `where` (errc::shape). The rest
  /// is checked by attend.
  ORIEL_INLINE status check() const noexcept {
    using namespace detail;
    if (status s = v0::check(q, q_rules); !s.ok()) return s;
    if (status s = v0::check(k, k_rules); !s.ok()) return s;
    if (status s = v0::check(v, v_rules); !s.ok()) return s;
    if (status s = v0::check(out, out_rules); !s.ok()) return s;
    if (status s = v0::check(lse, lse_rules); !s.ok()) return s;
    if (status s = v0::check(lse_sink, lse_sink_rules); !s.ok()) return s;
    auto const differs = [&](index n) { return n != 0 && n != q.size; };
    if (k.size != q.size || v.size != q.size || out.size != q.size || differs(lse.size) ||
        differs(lse_sink.size)) {
      return {errc::shape, "padded_batch: tensors must have the same batch size"};
    }
    if (k.first.tokens != v.first.tokens) return {errc::shape, "k.tokens must equal v.tokens"};
    if (out.first.tokens != q.first.tokens) return {errc::shape, "out.tokens must equal q.tokens"};
    if (lse.size != 0 && lse.first.tokens != q.first.tokens) {
      return {errc::shape, "lse.tokens must equal q.tokens"};
    }
    if (lse_sink.size != 0 && lse_sink.first.tokens != q.first.tokens) {
      return {errc::shape, "lse_sink.tokens must equal q.tokens"};
    }
    if (differs(left_pad.size()) || differs(kv_valid.size())) {
      return {errc::shape, "padded_batch: left_pad and kv_valid must have one per sequence"};
    }
    for (index b = 0; b < q.size; ++b) {
      range const slots = real(b);
      if (slots.begin < 0 || slots.end < slots.begin || slots.end > k.first.tokens) {
        return {errc::shape, "padded_batch: 0 <= left_pad <= kv_valid <= kv_len must hold", b};
      }
    }
    return {};
  }

  /// Number of calls: three per sequence.
  ORIEL_INLINE constexpr index size() const noexcept { return 3 * q.size; }

  /// Call i of a checked batch: of sequence i / 3 the rows before its real tokens (i % 3 = 0),
  /// theirs (1), or those after them (2).
  ORIEL_INLINE attention operator[](index i) const noexcept {
    index const b = i / 3;
    range const slots = real(b);
    index const first_slot = k.first.tokens - q.first.tokens;
    auto const row_of = [&](index slot) ORIEL_INLINE_LAMBDA {
      return min_of(q.first.tokens, max_of(0, slot - first_slot));
    };
    index const edges[] = {0, row_of(slots.begin), row_of(slots.end), q.first.tokens};
    range const rows{edges[i % 3], edges[i % 3 + 1]};
    bool const before = i % 3 == 0;
    range const keys = before ? range{} : slots;
    auto const part = [&]<class View>(batch_of<View> const& of)
                          ORIEL_INLINE_LAMBDA { return of.size == 0 ? View() : of[b].slice(rows); };
    attention call{.q = q[b].slice(rows), .kv = contiguous(k[b].slice(keys), v[b].slice(keys))};
    call.sink_logits = sink_logits;
    call.out = part(out);
    call.lse = part(lse);
    call.lse_sink = part(lse_sink);
    call.scale = scale;
    call.kernel = kernel;
    call.compute = compute;
    if (before) return call;  // no keys: nothing to ask of a mask
    call.mask = mask;
    call.score = score;
    call.first_query = first_slot + rows.begin - slots.begin;
    return call;
  }

 private:
  ORIEL_INLINE range real(index b) const noexcept {
    return {left_pad.empty() ? 0 : left_pad[b], kv_valid.empty() ? k.first.tokens : kv_valid[b]};
  }
};

}  // namespace oriel::inline v0
