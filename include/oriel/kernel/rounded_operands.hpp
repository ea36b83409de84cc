// SPDX-License-Identifier: BSL-1.0
// Queries and weights of the decode kernel as integers, where a call may round.
#pragma once

#include <cstring>

#include "oriel/codec/rounded_products.hpp"
#include "oriel/kernel/softmax_state.hpp"
#include "oriel/kernel/tile_shape.hpp"

namespace oriel::inline v0 {

/// The largest of the integers that queries and weights become: 256 * 127 + 127, two signed
/// bytes.
inline constexpr float largest_code = 32639.0f;

/// How numbers up to a magnitude become integers.
struct integer_scale {
  float factor = 0.0f;
  float unit = 0.0f;

  /// For those whose magnitudes are at most the largest lane of `most`, or 1e-34. If that is
  /// infinite, unit is NaN; no lane may be NaN.
  template <class Arch>
  ORIEL_INLINE static integer_scale up_to(vec<Arch> most) noexcept {
    float const top = max_lanes<Arch>(most);
    constexpr float least = 1e-34f;  // below, the quotient may overflow
    float const all = top > least ? top : least;
    return {largest_code / all, all / largest_code + top * 0.0f};
  }
};

/// Rows of queries, each as 16-bit integers and a unit: the largest becomes 32639 units.
template <class Arch>
class rounded_queries {
 public:
  ORIEL_INLINE rounded_queries() noexcept {}
  /// For `rows` rows, a multiple of 4, or none, of `padded_dim` floats, a multiple of lanes<Arch>.
  static rounded_queries carve(carver& memory, index rows, index padded_dim) noexcept {
    rounded_queries own;
    own.step_ = padded_dim;
    own.sums_step_ = ceil_div(padded_dim, 16);
    own.code_ = memory.take<std::int16_t>(saturating_mul(rows, padded_dim));
    own.ordered_ = memory.take<std::int16_t>(saturating_mul(rows, padded_dim));
    own.sums_ = memory.take<float>(saturating_mul(rows, own.sums_step_));
    own.unit_ = memory.take<float>(rows);
    return own;
  }
  /// The rows become q [rows, padded_dim].
  void set(float const* q, int rows) noexcept {
    of_ = nullptr;
    for (int r = 0; r < rows; ++r, q += step_) {
      vec<Arch> most = broadcast<Arch>(0.0f);
      vec<Arch> bad = most;  // 0 or NaN
      for (index d = 0; d < step_; d += lanes<Arch>) {
        vec<Arch> const x = load<Arch>(q + d);
        bad = fma<Arch>(x, broadcast<Arch>(0.0f), bad);
        most = max<Arch>(magnitude<Arch>(x), most);
      }
      auto const to = integer_scale::up_to<Arch>(most);
      for (index d = 0; d < step_; d += lanes<Arch>) {
        store_rounded<Arch>(code_ + r * step_ + d, load<Arch>(q + d) * broadcast<Arch>(to.factor));
      }
      unit_[r] = to.unit + sum_lanes<Arch>(bad);
    }
  }
  /// The first `count` rows, of `dim` floats, in the order in which of.dot takes so many: they are
  /// put in it when `of` or `count` is another than before.
  rounded_rows rows(rounded_functions const& of, index dim, int count) noexcept {
    if (of_ != &of || count_ != count) {
      of.order(code_, step_, dim, count, ordered_, sums_, sums_step_);
    }
    of_ = &of, count_ = count;
    return {ordered_, step_, sums_, sums_step_, unit_};
  }

 private:
  index step_ = 0;
  index sums_step_ = 0;
  rounded_functions const* of_ = nullptr;  ///< whose order the rows are in
  int count_ = 0;                          ///< how many
  std::int16_t* code_ = nullptr;           ///< [rows, padded_dim]
  std::int16_t* ordered_ = nullptr;        ///< [rows, padded_dim]
  float* sums_ = nullptr;                  ///< [rows, groups]
  float* unit_ = nullptr;                  ///< [rows]
};

/// The sums of weights and values of up to tile_keys keys at a time, from a multiple of that on: a
/// weight times the scale of a group of channels is a 16-bit integer, of which a row's largest for
/// those keys becomes 32639 units, and sums of codes are exact, so that they depend on nothing but
/// the keys.
template <class Arch>
class rounded_pv {
 public:
  ORIEL_INLINE rounded_pv() noexcept {}
  /// For `rows` rows, or none, of values of `v_dim` floats.
  static rounded_pv carve(carver& memory, index rows, index v_dim) noexcept {
    rounded_pv own;
    index const keys = rows > 0 ? tile_keys : 0;
    index const groups = ceil_div(v_dim, 16);  // at most
    own.dim_ = v_dim;
    own.scale_ = memory.take<float>(saturating_mul(groups, keys));
    own.zero_ = memory.take<float>(saturating_mul(groups, keys));
    own.largest_scale_ = memory.take<float>(keys);
    own.weight_ = memory.take<std::int16_t>(saturating_mul(rows, saturating_mul(groups, keys)));
    own.sum_ = memory.take<std::int32_t>(saturating_mul(rows > 0 ? rows + 1 : 0, v_dim));
    own.offset_ = memory.take<float>(saturating_mul(rows, groups));
    own.unit_ = memory.take<float>(rows);
    return own;
  }

  /// What multiplies the values, or null: none are multiplied as integers.
  ORIEL_INLINE rounded_functions const* of() const noexcept { return of_; }
  ORIEL_INLINE void clear() noexcept { of_ = nullptr; }
  /// Begins with the keys at `places` of their key tile, of which some have values that `of`
  /// multiplies: the others keep the scale 0 and add nothing here.
  void begin(rounded_functions const* of, range places) noexcept {
    of_ = of;
    groups_ = dim_ / of->group;
    first_ = round_down(places.begin, tile_keys);
    begin_ = round_down(places.begin - first_, lanes<Arch>);
    end_ = round_up(places.end - first_, lanes<Arch>);
    each_group([&](index, float* scale, float* zero) ORIEL_INLINE_LAMBDA {
      for (index i = begin_; i < end_; i += lanes<Arch>) {
        store<Arch>(scale + i, broadcast<Arch>(0.0f));
        if (of->has_zero) store<Arch>(zero + i, broadcast<Arch>(0.0f));
      }
    });
  }
  /// First the scales of all values, at places from `at` on.
  ORIEL_INLINE void scales(row_slice const& values, index at) const noexcept {
    of_->scales(values, scale_ + (at - first_), zero_ + (at - first_), tile_keys);
  }
  /// Then the weights of all keys: those of row r are p[r * p_step + place].
  void weigh(float const* p, index p_step, int count) noexcept {
    find_largest_scales();
    p += first_;
    for (int r = 0; r < count; ++r, p += p_step) {
      if (of_->has_zero) {
        weigh_row<true>(p, r);
      } else {
        weigh_row<false>(p, r);
      }
    }
    std::memset(sum_, 0, static_cast<std::size_t>(count * dim_) * sizeof *sum_);
  }
  /// Then the values, in any parts.
  ORIEL_INLINE void add(row_slice const& values, index at, int count) const noexcept {
    rounded_weights const weights{weight_ + (at - first_), groups_ * tile_keys, tile_keys};
    of_->add(values, weights, count, sum_, dim_);
  }
  /// Last, acc += the sums.
  void end(softmax_state<Arch> const& to, int count) const noexcept {
    for (int r = 0; r < count; ++r) {
      float* const acc = to.acc + r * to.stride();
      std::int32_t* const sum = sum_ + count * dim_;
      of_->restore(sum_ + r * dim_, dim_, sum);
      vec<Arch> const unit = broadcast<Arch>(unit_[r]);
      each_group([&](index g, float*, float*) ORIEL_INLINE_LAMBDA {
        vec<Arch> const offset = broadcast<Arch>(offset_[r * groups_ + g]);
        for (index d = g * of_->group; d < (g + 1) * of_->group; d += lanes<Arch>) {
          vec<Arch> const more =
              fma<Arch>(to_floats<Arch>(load_words<Arch>(sum + d)), unit, offset);
          store<Arch>(acc + d, load<Arch>(acc + d) + more);
        }
      });
    }
  }

 private:
  template <class F>
  ORIEL_INLINE void each_group(F&& f) const noexcept {
    for (index g = 0; g < groups_; ++g) f(g, scale_ + g * tile_keys, zero_ + g * tile_keys);
  }
  /// Of each key, among all groups of channels.
  ORIEL_INLINE void find_largest_scales() const noexcept {
    for (index i = begin_; i < end_; i += lanes<Arch>) {
      vec<Arch> most = broadcast<Arch>(0.0f);
      each_group([&](index, float const* scale, float const*) ORIEL_INLINE_LAMBDA {
        most = max<Arch>(magnitude<Arch>(load<Arch>(scale + i)), most);
      });
      store<Arch>(largest_scale_ + i, most);
    }
  }
  template <bool Zero>
  ORIEL_INLINE void weigh_row(float const* p, int r) noexcept {
    vec<Arch> most = broadcast<Arch>(0.0f);
    for (index i = begin_; i < end_; i += lanes<Arch>) {
      most = max<Arch>(load<Arch>(p + i) * load<Arch>(largest_scale_ + i), most);
    }
    auto const to = integer_scale::up_to<Arch>(most);
    unit_[r] = to.unit;
    each_group([&](index g, float const* scale, float const* zero) ORIEL_INLINE_LAMBDA {
      std::int16_t* const weight = weight_ + (r * groups_ + g) * tile_keys;
      vec<Arch> more = broadcast<Arch>(0.0f);  // NaN if a weight is not finite
      for (index i = begin_; i < end_; i += lanes<Arch>) {
        vec<Arch> const x = load<Arch>(p + i) * load<Arch>(scale + i);
        store_rounded<Arch>(weight + i, x * broadcast<Arch>(to.factor));
        if constexpr (Zero) more = fma<Arch>(load<Arch>(p + i), load<Arch>(zero + i), more);
        more = fma<Arch>(x, broadcast<Arch>(0.0f), more);
      }
      offset_[r * groups_ + g] = sum_lanes<Arch>(more);
    });
  }

  rounded_functions const* of_ = nullptr;
  index dim_ = 0;
  index groups_ = 0;
  index first_ = 0;  ///< the place from which on places are counted here
  index begin_ = 0;  ///< places that are computed with
  index end_ = 0;
  float* scale_ = nullptr;          ///< [groups, tile_keys]
  float* zero_ = nullptr;           ///< [groups, tile_keys]
  float* largest_scale_ = nullptr;  ///< [tile_keys]
  std::int16_t* weight_ = nullptr;  ///< [rows, groups, tile_keys]
  std::int32_t* sum_ =
      nullptr;               ///< [rows, v_dim], as rounded_functions::add orders them, and one row
  float* offset_ = nullptr;  ///< [rows, groups]: what a group's zeros sum to, or NaN
  float* unit_ = nullptr;    ///< [rows]
};

}  // namespace oriel::inline v0
