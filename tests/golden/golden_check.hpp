// SPDX-License-Identifier: BSL-1.0
// Calls of attention, and what their results are held against: the rows that a case expects, and,
// where 16-bit integers are read or written, the definition over the very same numbers.
#pragma once

#include <algorithm>
#include <cinttypes>
#include <cmath>
#include <cstdio>
#include <initializer_list>
#include <optional>
#include <string>
#include <type_traits>
#include <vector>

#include "codec_error.hpp"
#include "oriel/oriel.hpp"
#include "tensors.hpp"

namespace oriel::test {

/// How far a case has come: the largest error, what was checked, what went wrong.
struct verdict {
  double error = 0.0;
  // The largest errors as shares of what their bounds allow:
  double stored = 0.0;   ///< rows stored as bf16 and f16
  double rounded = 0.0;  ///< q, out and fresh rows of bf16 and f16 too, against the expected rows
  double defined = 0.0;  ///< and against the definition over the same rounded rows
  index rows = 0;        ///< of 16 bits that choose blocks
  index others = 0;      ///< of these, those that choose other blocks than before rounding
  std::string checked;
  bool padded = false;  ///< once more with its padding
  bool rolled = false;  ///< once more in pieces through a rolling cache
  std::string failure;

  void fail(std::string why) {
    if (failure.empty()) failure = std::move(why);
  }
  void require(status const& s) {
    if (!s.ok()) fail(s.what);
  }
};

struct tolerance {
  double absolute = 0.0;
  double relative = 0.0;

  double around(double expected) const {
    return absolute + relative * std::min(std::abs(expected), 1e30);
  }
};

/// What must come out.
struct expectation {
  tensor_view<float const> out;
  std::optional<tensor_view<float const>> lse, lse_sink;

  expectation slice(range part) const {
    expectation some{out.slice(part), lse, lse_sink};
    if (lse) some.lse = lse->slice(part);
    if (lse_sink) some.lse_sink = lse_sink->slice(part);
    return some;
  }
};

/// Rows of out, lse and lse_sink, packed. out may be written as 16-bit integers, which are
/// widened then.
struct results {
  std::vector<float> out, lse, lse_sink;
  tensor_view<float> out_view, lse_view, lse_sink_view;
  element_type type;

  results(index tokens, index heads, index dim, element_type written_as = element_type::f32)
      : out(static_cast<std::size_t>(tokens * heads * dim)),
        lse(static_cast<std::size_t>(tokens * heads)),
        lse_sink(lse.size()),
        out_view(out.data(), tokens, heads, dim),
        lse_view(lse.data(), tokens, heads, 1),
        lse_sink_view(lse_sink.data(), tokens, heads, 1),
        type(written_as) {}

  std::vector<std::uint32_t> bits() const {
    std::vector<std::uint32_t> all = bits_of(out_view);
    for (auto const& view : {lse_view, lse_sink_view}) {
      std::vector<std::uint32_t> const more = bits_of(view);
      all.insert(all.end(), more.begin(), more.end());
    }
    return all;
  }
  expectation expected() const { return {out_view, lse_view, lse_sink_view}; }

  /// f(a view of `type` to write these rows to).
  template <class F>
  void write(range rows, F&& f) const {
    auto const narrow = [&]<class T>(std::type_identity<T>) {
      tensor_view<float> const to = out_view.slice(rows);
      narrow_tensor<T> written(to.tokens, to.heads, to.dim);
      f(output_view(written.view));
      tensor const wide = written.floats();
      for (index t = 0; t < to.tokens; ++t) {
        for (index h = 0; h < to.heads; ++h) {
          std::copy_n(wide.view.row(t, h), to.dim, to.row(t, h));
        }
      }
    };
    switch (type) {
      case element_type::f32: return f(output_view(out_view.slice(rows)));
      case element_type::bf16: return narrow(std::type_identity<bf16>{});
      case element_type::f16: return narrow(std::type_identity<f16>{});
    }
  }
};

/// Is every number that is finite finite as a T?
template <class T>
bool fits(tensor_view<float const> const& numbers) {
  bool all = true;
  for_each_element(numbers, [&](float x) {
    all = all && (!std::isfinite(x) || std::isfinite(static_cast<float>(T(x))));
  });
  return all;
}

/// f(std::type_identity<T>{}) for float, bf16 and f16, where T has the range for these numbers.
template <class F>
void for_each_type(std::initializer_list<tensor_view<float const>> numbers, F&& f) {
  auto const one = [&]<class T>(std::type_identity<T> type) {
    if (std::all_of(numbers.begin(), numbers.end(), fits<T>)) f(type);
  };
  one(std::type_identity<float>{});
  one(std::type_identity<bf16>{});
  one(std::type_identity<f16>{});
}

/// A tensor's numbers as T's: where they lie, or rounded to nearest in rows of their own.
template <class T>
class rows_as {
 public:
  explicit rows_as(tensor_view<float const> const& from) : rows_(from) {}
  auto view() const { return rows_.view; }
  /// Makes NaN of the tokens outside `real`: nobody may read them.
  void hide_outside(range real) {
    for (index t = 0; t < rows_.view.tokens; ++t) {
      if (real.contains(t)) continue;
      auto const token = rows_.view.slice({t, t + 1});
      for_each_element(token, [](T& x) { x = T(std::nanf("")); });
    }
  }
  tensor floats() const { return rows_.floats(); }

 private:
  narrow_tensor<T> rows_;
};
template <>
class rows_as<float> {
 public:
  explicit rows_as(tensor_view<float const> const& from) : rows_(from) {}
  tensor_view<float const> view() const { return rows_; }
  void hide_outside(range) {}

 private:
  tensor_view<float const> rows_;
};

// --- what rounding may do ------------------------------------------------------------------------
/// The largest |x' - x| where x' is x as T holds it.
template <class T>
double rounding_of(double x) {
  return error_bound<elements<T>>(std::abs(x), 1);
}

/// Results are rounded to `type` once: by half an ulp of a number that is as far from the expected
/// one as is allowed at most.
inline void add_rounding(results const& slack, element_type type, tolerance allowed,
                         tensor_view<float const> want) {
  for (index t = 0; t < want.tokens; ++t) {
    for (index h = 0; h < want.heads; ++h) {
      for (index d = 0; d < want.dim; ++d) {
        double const y = want.row(t, h)[d];
        float& by = slack.out_view.row(t, h)[d];
        double const most = std::abs(y) + allowed.around(y) + double{by};
        if (type == element_type::bf16) by += static_cast<float>(rounding_of<bf16>(most));
        if (type == element_type::f16) by += static_cast<float>(rounding_of<f16>(most));
      }
    }
  }
}

/// How far results of Q over queries q' of Q, keys k' and values v' of KV may be from `want`, those
/// over q, k and v, element by element. With e the largest error of a number (half an ulp: at most
/// 2^-8 |x| for bf16, 2^-11 |x| for f16), a score, of one row with one key, moves by at most
///
///   D = max over keys of |scale| sum_d |q_d| e(k_d) + e(q_d) (|k_d| + e(k_d)),
///
/// as q'k' - qk = q (k' - k) + (q' - q) k'; and no score functor here makes a distance larger
/// (softcap's slope is at most 1, ALiBi adds a number). Every exp(s) changes by a factor within
/// exp(+-D), their sum and that with the sink too: lse and lse_sink move by at most D, and a weight
/// p by a factor within exp(+-2D). Hence
///
///   |sum p' v' - sum p v| <= sum |p' - p| |v| + sum p' |v' - v|
///                         <= (exp(2D) - 1) max |v| + exp(2D) max e(v),
///
/// the maxima over keys, as sum p <= 1. Rounding of fp32 comes on top, the case's own tolerance, and
/// then that of the result.
template <class Q, class KV>
results rounding_slack(float scale, tolerance allowed, tensor_view<float const> q,
                       tensor_view<float const> k, tensor_view<float const> values,
                       tensor_view<float const> want) {
  results slack(q.tokens, q.heads, values.dim);
  index const group = q.heads / k.heads;
  for (index h = 0; h < q.heads; ++h) {
    std::vector<double> largest(static_cast<std::size_t>(values.dim));
    for (index j = 0; j < values.tokens; ++j) {
      for (index d = 0; d < values.dim; ++d) {
        double& x = largest[static_cast<std::size_t>(d)];
        x = std::max(x, std::abs(double{values.row(j, h / group)[d]}));
      }
    }
    for (index t = 0; t < q.tokens; ++t) {
      double moved = 0.0;
      for (index j = 0; j < k.tokens; ++j) {
        double sum = 0.0;
        for (index d = 0; d < k.dim; ++d) {
          double const x = q.row(t, h)[d];
          double const y = k.row(j, h / group)[d];
          double const error = rounding_of<KV>(y);
          sum += std::abs(x) * error + rounding_of<Q>(x) * (std::abs(y) + error);
        }
        moved = std::max(moved, std::abs(double{scale}) * sum);
      }
      for (index d = 0; d < values.dim; ++d) {
        double const x = largest[static_cast<std::size_t>(d)];
        slack.out_view.row(t, h)[d] = static_cast<float>(std::expm1(2 * moved) * x +
                                                         std::exp(2 * moved) * rounding_of<KV>(x));
      }
      *slack.lse_view.row(t, h) = *slack.lse_sink_view.row(t, h) = static_cast<float>(moved);
    }
  }
  add_rounding(slack, type_of<Q>, allowed, want);
  return slack;
}

// --- comparing -----------------------------------------------------------------------------------
/// What is allowed besides the tolerance, element by element, and where the largest share of all
/// that is allowed is kept.
struct leeway {
  results const* by = nullptr;  ///< none: nothing, and the largest error itself is kept
  double verdict::*share = &verdict::error;
};

/// That of answers in T to what a case expects.
template <class T>
leeway leeway_of(results const& slack) {
  if constexpr (std::is_same_v<T, float>) return {};
  return {&slack, &verdict::rounded};
}

inline void compare(verdict& v, tolerance allowed, char const* what, tensor_view<float const> got,
                    tensor_view<float const> want, tensor_view<float const> slack = {},
                    double verdict::*share = &verdict::error) {
  for (index t = 0; t < got.tokens; ++t) {
    for (index h = 0; h < got.heads; ++h) {
      for (index d = 0; d < got.dim; ++d) {
        double const x = got.row(t, h)[d];
        double const y = want.row(t, h)[d];
        double const error = x == y ? 0.0 : std::abs(x - y);
        bool const bounded = slack.data != nullptr;
        double const most = allowed.around(y) + (bounded ? double{slack.row(t, h)[d]} : 0.0);
        double const far = bounded && error > 0.0 ? error / most : error;
        v.*share = far <= v.*share ? v.*share : far;
        if (x == y || error <= most) continue;
        char text[160];
        std::snprintf(text, sizeof text, "%s[%" PRId64 ", %" PRId64 ", %" PRId64 "] is %g, not %g",
                      what, t, h, d, x, y);
        v.fail(text);
      }
    }
  }
}

inline void compare_rows(verdict& v, tolerance allowed, results const& to, expectation const& want,
                         range part, leeway const& besides = {}) {
  expectation const some = want.slice(part);
  auto const one = [&](char const* what, tensor_view<float> results::*view,
                       tensor_view<float const> const& expected) {
    auto const slack = besides.by == nullptr
                           ? tensor_view<float const>()
                           : tensor_view<float const>((besides.by->*view).slice(part));
    compare(v, allowed, what, (to.*view).slice(part), expected, slack, besides.share);
  };
  one("out", &results::out_view, some.out);
  if (want.lse) one("lse", &results::lse_view, *some.lse);
  if (want.lse_sink) one("lse_sink", &results::lse_sink_view, *some.lse_sink);
}

/// Against oriel::reference of the call, in double over the numbers as they are read: off by the
/// tolerance and by the rounding of results only.
inline void compare_with_definition(verdict& v, tolerance allowed, attention const& call,
                                    results const& to, range rows) {
  index const heads = call.q.heads;
  index const dim = call.kv.shape().v_dim;
  auto const doubles = [&](index size) {
    return std::vector<double>(static_cast<std::size_t>(rows.size() * heads * size));
  };
  std::vector<double> out = doubles(dim), lse = doubles(1), lse_sink = doubles(1);
  v.require(reference(call, {out.data(), rows.size(), heads, dim},
                      {lse.data(), rows.size(), heads, 1},
                      {lse_sink.data(), rows.size(), heads, 1}));
  results const want(rows.size(), heads, dim);
  auto const narrow = [](std::vector<double> const& from, tensor_view<float> const& view) {
    auto at = from.begin();
    for_each_element(view, [&](float& x) { x = static_cast<float>(*at++); });
  };
  narrow(out, want.out_view), narrow(lse, want.lse_view), narrow(lse_sink, want.lse_sink_view);
  results const slack(rows.size(), heads, dim);
  add_rounding(slack, to.type, allowed, want.out_view);
  results got(rows.size(), heads, dim);
  got.out_view = to.out_view.slice(rows);
  got.lse_view = to.lse_view.slice(rows);
  got.lse_sink_view = to.lse_sink_view.slice(rows);
  compare_rows(v, allowed, got, want.expected(), {0, rows.size()}, {&slack, &verdict::defined});
}

// --- running -------------------------------------------------------------------------------------
/// The call, whose queries are the rows `rows` of the results.
template <class Executor = serial const>
void run(verdict& v, attention call, results const& to, range rows, Executor&& on = Executor{}) {
  to.write(rows, [&](output_view const& out) {
    call.out = out;
    call.lse = to.lse_view.slice(rows);
    call.lse_sink = to.lse_sink_view.slice(rows);
    aligned_memory scratch(plan_attend(bounds_of(call), on.workers()).workspace_bytes());
    v.require(attend(call, scratch, on));
  });
}

/// The same, and where results have 16 bits the definition.
inline void run_defined(verdict& v, tolerance allowed, attention const& call, results const& to,
                        range rows) {
  run(v, call, to, rows);
  if (to.type != element_type::f32) compare_with_definition(v, allowed, call, to, rows);
}

}  // namespace oriel::test
