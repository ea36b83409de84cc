// SPDX-License-Identifier: BSL-1.0
// Many sequences in one call.
#pragma once

#include <concepts>
#include <iterator>
#include <span>

#include "oriel/attention/check.hpp"

namespace oriel::inline v0 {

/// The sequences of one call: one `attention`, or any contiguous range of them (referred to). Each
/// has its own lengths, positions, mask and source; prefill, append and decode may be mixed. All
/// have the same q_heads, kv_heads, head_dim and v_dim.
class attention_batch {
 public:
  ORIEL_INLINE constexpr attention_batch(attention const& only) noexcept : calls_(&only, 1) {}
  template <std::convertible_to<std::span<attention const>> Calls>
  ORIEL_INLINE constexpr attention_batch(Calls const& calls) noexcept : calls_(calls) {}

  ORIEL_INLINE constexpr index size() const noexcept { return static_cast<index>(calls_.size()); }
  ORIEL_INLINE constexpr attention const& operator[](index i) const noexcept {
    return calls_[static_cast<std::size_t>(i)];
  }
  ORIEL_INLINE constexpr attention const* begin() const noexcept { return calls_.data(); }
  ORIEL_INLINE constexpr attention const* end() const noexcept { return begin() + size(); }

 private:
  std::span<attention const> calls_;
};

namespace detail {

/// Could writing the bytes of `written` change what `call` reads?
ORIEL_INLINE bool reads(attention const& call, address_range written) noexcept {
  return written.meets(v0::footprint(call.q)) || written.meets(footprint(call.sink_logits)) ||
         call.kv.overlaps(floats_around(written));
}

/// Does an output of one sequence share a byte with something of another?
template <class Arch>
bool collide(attention const& writer, attention const& other) noexcept {
  for (output_view const& written : outputs(writer)) {
    if (written.empty()) continue;
    if (overlaps(written, other.q) || writes_into(written, other.kv) ||
        v0::footprint(written).meets(footprint(other.sink_logits))) {
      return true;
    }
    for (output_view const& another : outputs(other)) {
      if (overlaps(written, another)) return true;
    }
  }
  return false;
}

}  // namespace detail

/// ok, or the first rule that a sequence breaks, with its number in `where`: those of one call,
/// sizes that differ from the first sequence's (errc::heads, errc::shape), an output that
/// overlaps anything of another sequence (errc::alias). Cost O(sequences) where outputs ascend in
/// memory apart from the inputs, else O(sequences^2).
template <class Arch = default_arch>
status check(attention_batch const& batch) noexcept {
  for (index i = 0; i < batch.size(); ++i) {
    if (status s = check<Arch>(batch[i]); !s.ok()) return {s.code, s.what, i};
    if (batch[i].q.heads != batch[0].q.heads) {
      return {errc::heads, "batch: q.heads must be the same in every sequence", i};
    }
    if (batch[i].kv.shape().kv_heads != batch[0].kv.shape().kv_heads) {
      return {errc::heads, "batch: kv.heads must be the same in every sequence", i};
    }
    kv_shape const own = batch[i].kv.shape();
    kv_shape const first = batch[0].kv.shape();
    if (own.head_dim != first.head_dim || own.v_dim != first.v_dim) {
      return {errc::shape, "batch: head_dim and v_dim must be the same in every sequence", i};
    }
  }
  if (batch.size() < 2) return {};
  bool apart = true;
  address_range all[detail::outputs::count];  // of each output, all sequences
  for (attention const& call : batch) {
    detail::outputs const own(call);
    for (std::size_t i = 0; i < detail::outputs::count; ++i) {
      address_range const written = footprint(own.all[i]);
      apart = apart && (written.empty() || all[i].end <= written.begin);
      all[i] = hull(all[i], written);
    }
  }
  for (std::size_t i = 0; i < detail::outputs::count; ++i) {
    for (std::size_t j = 0; j < i; ++j) apart = apart && !all[i].meets(all[j]);
  }
  for (attention const& call : batch) {
    for (address_range const& written : all) {
      apart = apart && (written.empty() || !detail::reads(call, written));
    }
  }
  for (index i = 0; i < batch.size() && !apart; ++i) {
    for (index j = 0; j < batch.size(); ++j) {
      if (i != j && detail::collide<Arch>(batch[i], batch[j])) {
        return {errc::alias, "batch: outputs must not overlap anything of another sequence", i};
      }
    }
  }
  return {};
}

}  // namespace oriel::inline v0
