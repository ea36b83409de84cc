// SPDX-License-Identifier: BSL-1.0
// Dense, window or MoBA: what fits a budget.
#pragma once

#include "oriel/attention/partition.hpp"
#include "oriel/cache/block_summary.hpp"

namespace oriel::inline v0 {

/// A causal layer, and what it may take.
struct attention_budget {
  index tokens = 0;  ///< of the prompt, all of it to be attended; below 2^40
  index q_heads = 1;
  index kv_heads = 1;
  index head_dim = 0;
  std::optional<index> v_dim = std::nullopt;  ///< head_dim unless given
  index bytes = INT64_MAX;                    ///< for keys, values (fp32) and block means
  double seconds = 0.0;                       ///< for the layer's attention to the whole prompt
  double flops_per_second = 0.0;  ///< of dense attention on this machine, all threads together
};

enum class attention_way {
  none,    ///< not even a window of one key fits
  dense,   ///< every key
  moba,    ///< every key kept, `top_k` blocks of `block` attended to
  window,  ///< the last `window` keys kept and attended to
};

/// What to do, and what it would take.
struct attention_advice {
  attention_way way = attention_way::none;
  index window = 0;      ///< keys, for attention_way::window
  index block = 0;       ///< keys, for attention_way::moba
  index top_k = 0;       ///< blocks, the own one counted, for attention_way::moba
  index bytes = 0;       ///< of keys, values and block means
  double seconds = 0.0;  ///< for the whole prompt
};

namespace detail {

/// What ways cost in pairs of a query head and a key; heads left out.
struct pair_costs {
  double tokens;

  ORIEL_INLINE constexpr double window(double keys) const noexcept {
    double const w = keys < tokens ? keys : tokens;
    return w * tokens - w * (w - 1.0) / 2.0;
  }
  /// What the rows that choose cost besides the pairs they see: a gate is counted as a pair.
  ORIEL_INLINE constexpr double choosing(double block, double top_k) const noexcept {
    double const late = tokens - block * top_k;
    if (late <= 0.0) return 0.0;
    double const blocks_before = (tokens + block * top_k) / (2.0 * block);
    return late * (blocks_before + top_k * static_cast<double>(gather_keys));
  }
  ORIEL_INLINE constexpr double moba(double block, double top_k) const noexcept {
    double const dense = block * top_k < tokens ? block * top_k : tokens;
    double const seen = (top_k - 1.0) * block + (block + 1.0) / 2.0;
    return window(dense) - (tokens - dense) * dense +  // the triangle of the dense rows
           (tokens - dense) * seen + choosing(block, top_k);
  }
};

}  // namespace detail

/// The way that keeps the most of attention within bytes and seconds. Dense if that fits. Else MoBA
/// with the smallest block, a power of two from 64 on, whose choosing takes at most a fifth of the
/// time (of equal cost finer blocks keep more of the attention: Lu et al. 2025, section 3.1), and
/// the largest top_k, at least 2. Else, or if the whole cache does not fit, the largest window.
///
/// The seconds are pairs * q_heads * 2 * (head_dim + v_dim) / flops_per_second; measure the rate
/// with a dense call, for instance oriel_bench's useful_gflops. It says nothing of what a model
/// loses: one that was trained densely should be measured.
///
/// Errors    errc::heads, errc::shape for an invalid budget; *to is then left alone.
/// Cost      some thousand operations.
ORIEL_INLINE status advise(attention_budget const& b, attention_advice* to) noexcept {
  if (to == nullptr) return {errc::memory, "advise: to must not be null"};
  if (status s = head_map{b.q_heads, b.kv_heads}.check(); !s.ok()) return s;
  index const v_dim = b.v_dim ? *b.v_dim : b.head_dim;
  if (b.head_dim < 1 || v_dim < 1) {
    return {errc::shape, "attention_budget: head_dim and v_dim must be at least 1"};
  }
  if (b.tokens < 1 || b.tokens >= index{1} << 40) {
    return {errc::shape, "attention_budget: tokens must be at least 1 and below 2^40"};
  }
  if (b.bytes < 0) return {errc::shape, "attention_budget: bytes must not be negative"};
  if (!(b.seconds >= 0.0) || !(b.flops_per_second > 0.0)) {
    return {errc::shape, "attention_budget: seconds must be at least 0, flops_per_second above 0"};
  }
  detail::pair_costs const pairs{static_cast<double>(b.tokens)};
  double const width = static_cast<double>(b.head_dim) + static_cast<double>(v_dim);
  double const pair_seconds = static_cast<double>(b.q_heads) * 2.0 * width / b.flops_per_second;
  auto const kv_bytes = [&](index rows) ORIEL_INLINE_LAMBDA {
    index const row = saturating_mul(saturating_add(b.head_dim, v_dim), index{sizeof(float)});
    return saturating_mul(saturating_mul(rows, b.kv_heads), row);
  };
  auto const fits = [&](index bytes) ORIEL_INLINE_LAMBDA {
    return bytes <= b.bytes && bytes < INT64_MAX;  // INT64_MAX: they can't be counted
  };
  auto const window_fits = [&](index keys) ORIEL_INLINE_LAMBDA {
    return fits(kv_bytes(keys)) &&
           pairs.window(static_cast<double>(keys)) * pair_seconds <= b.seconds;
  };
  index const window =
      first_where(b.tokens, [&](index i) ORIEL_INLINE_LAMBDA { return !window_fits(i + 1); });
  attention_advice found;
  if (window > 0) {
    found.way = window == b.tokens ? attention_way::dense : attention_way::window;
    found.window = window;
    found.bytes = kv_bytes(window);
    found.seconds = pairs.window(static_cast<double>(window)) * pair_seconds;
  }
  for (index block = 64; found.way != attention_way::dense && block < b.tokens; block *= 2) {
    auto const size = static_cast<double>(block);
    index const means = block_means::required_bytes({.block = block,
                                                     .blocks = b.tokens / block,
                                                     .kv_heads = b.kv_heads,
                                                     .head_dim = b.head_dim});
    index const bytes = saturating_add(kv_bytes(b.tokens), means);
    if (!fits(bytes)) continue;
    index const most = min_of(max_chosen, ceil_div(b.tokens, block) - 1);
    index const top_k = first_where(most, [&](index i) ORIEL_INLINE_LAMBDA {
      return pairs.moba(size, static_cast<double>(i + 1)) * pair_seconds > b.seconds;
    });
    if (top_k < 2) continue;
    double const all = pairs.moba(size, static_cast<double>(top_k));
    if (pairs.choosing(size, static_cast<double>(top_k)) > 0.2 * all) continue;
    found = {.way = attention_way::moba,
             .window = 0,
             .block = block,
             .top_k = top_k,
             .bytes = bytes,
             .seconds = all * pair_seconds};
    break;
  }
  *to = found;
  return {};
}

}  // namespace oriel::inline v0
