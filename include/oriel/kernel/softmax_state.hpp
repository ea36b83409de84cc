// SPDX-License-Identifier: BSL-1.0
// The algebra of attention: softmax over a union of key sets, from the softmax over each.
#pragma once

#include <cmath>
#include <limits>

#include "oriel/simd/exp2.hpp"
#include "oriel/simd/widen.hpp"
#include "oriel/view/workspace.hpp"

namespace oriel::inline v0 {

/// The least maximum that is subtracted from scores.
inline constexpr float lowest_score = std::numeric_limits<float>::lowest();
/// A maximum to subtract: where a row has seen no key, -inf less it stays -inf.
ORIEL_INLINE float at_least_lowest(float top) noexcept {
  return top > lowest_score ? top : lowest_score;
}
template <class Arch>
ORIEL_INLINE vec<Arch> at_least_lowest(vec<Arch> top) noexcept {
  return max<Arch>(top, broadcast<Arch>(lowest_score));
}

/// Softmax of some rows over the keys they have seen so far, scores in base 2:
///
///   m   [rows]         largest score, -inf before the first
///   l   [rows]         sum of 2^(score - m)
///   acc [rows, v_dim]  sum of 2^(score - m) * value; rows are padded to whole registers
///
/// A monoid: the identity is (-inf, 0, 0), merge is associative up to rounding. The library always
/// merges leaves of 1024 keys from left to right, so that who computed a leaf changes no bit.
/// Source: Milakov & Gimelshein 2018, arXiv:1805.02867; the merge: Ye et al. 2025,
/// arXiv:2501.01005.
template <class Arch>
struct softmax_state {
  float* m = nullptr;
  float* l = nullptr;
  float* acc = nullptr;
  index v_dim = 0;

  /// Floats between rows of acc.
  ORIEL_INLINE constexpr index stride() const noexcept { return round_up(v_dim, lanes<Arch>); }

  static softmax_state carve(carver& memory, index rows, index v_dim) noexcept {
    softmax_state state{nullptr, nullptr, nullptr, v_dim};
    state.m = memory.take<float>(rows);
    state.l = memory.take<float>(rows);
    state.acc = memory.take<float>(
        saturating_mul(rows, saturating_add(v_dim, lanes<Arch> - 1) / lanes<Arch> * lanes<Arch>));
    return state;
  }

  /// The state of the rows from `row` on.
  ORIEL_INLINE softmax_state from(index row) const noexcept {
    return {m + row, l + row, acc + row * stride(), v_dim};
  }

  void reset(index rows) const noexcept {
    for (index r = 0; r < rows; ++r) m[r] = -infinity, l[r] = 0.0f;
    for (index i = 0; i < rows * stride(); ++i) acc[i] = 0.0f;
  }

  /// Are all sums of values finite? Padding, which is 0, is looked at too.
  bool is_finite(index rows) const noexcept {
    constexpr int chains = 4;
    vec<Arch> zero[chains];  // NaN where something is not
    unroll<chains>([&](int c) ORIEL_INLINE_LAMBDA { zero[c] = broadcast<Arch>(0.0f); });
    index const end = rows * stride();
    index i = 0;
    auto const look = [&](int c) ORIEL_INLINE_LAMBDA {
      zero[c] = fma<Arch>(load<Arch>(acc + i + c * lanes<Arch>), broadcast<Arch>(0.0f), zero[c]);
    };
    for (; i + chains * lanes<Arch> <= end; i += chains * lanes<Arch>) unroll<chains>(look);
    for (; i < end; i += lanes<Arch>) look(0);
    return sum_lanes<Arch>((zero[0] + zero[1]) + (zero[2] + zero[3])) == 0.0f;
  }

  /// This state, then the keys of `next`.
  void merge(softmax_state const& next, index rows) const noexcept {
    for (index r = 0; r < rows; ++r) {
      if (next.l[r] == 0.0f) continue;  // no key
      float const top = m[r] < next.m[r] ? next.m[r] : m[r];
      float const base = at_least_lowest(top);
      vec<Arch> const a = exp2<Arch>(broadcast<Arch>(m[r] - base));
      vec<Arch> const b = exp2<Arch>(broadcast<Arch>(next.m[r] - base));
      float* const own = acc + r * stride();
      float const* const other = next.acc + r * stride();
      for (index d = 0; d < stride(); d += lanes<Arch>) {
        store<Arch>(own + d, fma<Arch>(load<Arch>(other + d), b, load<Arch>(own + d) * a));
      }
      vec<Arch> const sum = fma<Arch>(broadcast<Arch>(next.l[r]), b, broadcast<Arch>(l[r]) * a);
      store_partial<Arch>(l + r, sum, 1);
      m[r] = top;
    }
  }

  /// One more key, of score `logit` (natural units) and value 0: a learned sink.
  void add_sink(index row, float logit) const noexcept {
    float const sink = logit * static_cast<float>(log2_e);
    float const top = m[row] < sink ? sink : m[row];
    if (top == -infinity) return;
    vec<Arch> const shrink = exp2<Arch>(broadcast<Arch>(m[row] - top));
    // An infinite logit takes all the weight.
    vec<Arch> const grown = exp2<Arch>(broadcast<Arch>(sink == top ? 0.0f : sink - top));
    float* const own = acc + row * stride();
    for (index d = 0; d < stride(); d += lanes<Arch>) {
      store<Arch>(own + d, load<Arch>(own + d) * shrink);
    }
    store_partial<Arch>(l + row, fma<Arch>(broadcast<Arch>(l[row]), shrink, grown), 1);
    m[row] = top;
  }

  /// out [v_dim] = acc / l, or 0 where the row saw no key; in bf16 or f16 rounded once more.
  template <class T>
  void write_out(index row, T* out) const noexcept {
    float const sum = l[row];
    // Adding 0 turns a -0 that a tiny negative product left behind into the 0 it stands for.
    vec<Arch> const scale = broadcast<Arch>(sum > 0.0f ? 1.0f / sum : sum == 0.0f ? 0.0f : sum);
    vec<Arch> const zero = broadcast<Arch>(0.0f);
    float const* const from = acc + row * stride();
    for (index d = 0; d < v_dim; d += lanes<Arch>) {
      vec<Arch> const x = load<Arch>(from + d) * scale + zero;
      auto const width = static_cast<int>(min_of(lanes<Arch>, v_dim - d));
      if constexpr (std::is_same_v<T, float>) {
        store_some<Arch>(out + d, x, width);
      } else if (width == lanes<Arch>) {
        narrow<Arch>(out + d, x);
      } else {
        T part[lanes<Arch>];
        narrow<Arch>(part, x);
        for (int i = 0; i < width; ++i) out[d + i] = part[i];
      }
    }
  }

  /// Natural log of the sum of exp(score), -inf where the row saw no key.
  float lse(index row) const noexcept { return static_cast<float>(exact_lse(row)); }
  /// The same with a sink of so large a logit: ln(exp(lse) + exp(logit)), in natural units, as a
  /// finite logit may be infinite in base 2.
  float lse_with(index row, float logit) const noexcept {
    double const seen = exact_lse(row);
    double const sink = logit;
    if (!(seen == seen && sink == sink)) return static_cast<float>(seen + sink);  // NaN
    double const most = sink > seen ? sink : seen;
    double const least = sink > seen ? seen : sink;
    constexpr double none = -static_cast<double>(infinity);
    bool const alone = least == none || most == -none;
    return static_cast<float>(alone ? most : most + std::log1p(std::exp(least - most)));
  }

 private:
  ORIEL_INLINE double exact_lse(index row) const noexcept {
    if (l[row] == 0.0f) return -static_cast<double>(infinity);
    return ln_2 * static_cast<double>(m[row]) + std::log(static_cast<double>(l[row]));
  }
};

}  // namespace oriel::inline v0
