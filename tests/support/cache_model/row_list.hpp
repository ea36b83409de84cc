// SPDX-License-Identifier: BSL-1.0
// What decides operations, and what a sequence should hold: a naive list of rows that can't be wrong
// as a cache can: it never overwrites, moves or numbers anything.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include "oriel/cache/rope.hpp"
#include "oriel/view/tensor_view.hpp"

namespace oriel::model {

/// Where decisions come from: a seed, or a fuzzer's bytes.
class choices {
 public:
  explicit choices(std::uint64_t seed) : state_(seed) {}
  choices(std::uint8_t const* bytes, std::size_t size) : bytes_(bytes), left_(size) {}

  bool done() const { return bytes_ != nullptr && left_ == 0; }
  /// [0, n)
  index below(index n) {
    if (bytes_ == nullptr) return static_cast<index>(next() % static_cast<std::uint64_t>(n));
    std::uint64_t value = 0;
    for (index span = 1; span < n && left_ > 0; span *= 256) value = value * 256 + take();
    return static_cast<index>(value % static_cast<std::uint64_t>(n));
  }
  index between(index low, index high) { return low + below(high - low + 1); }
  bool coin() { return below(2) == 1; }

 private:
  std::uint64_t next() {  // splitmix64
    std::uint64_t z = state_ += 0x9e3779b97f4a7c15;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return z ^ (z >> 31);
  }
  std::uint8_t take() { return --left_, *bytes_++; }

  std::uint64_t state_ = 0;
  std::uint8_t const* bytes_ = nullptr;
  std::size_t left_ = 0;
};

/// Sizes of a sequence, and what its kind of memory gives up: everything there was, or but the
/// last `ring` rows behind the sinks.
struct sizes {
  index kv_heads = 1, head_dim = 2, v_dim = 2;
  index window = 0;  ///< 0: nothing is ever given up
  index margin = 1;
  index sinks = 0;
  index group =
      1;         ///< tokens whose keys share scales; rows are given up and pinned in whole groups
  int bits = 0;  ///< of their codes
};

/// Rows of a token, as the floats that are read of them.
struct token {
  std::vector<float> k, v;  ///< [kv_heads, dim]
  bool lost = false;
  // Of rows in groups:
  std::vector<float> k_float, v_float = {};  ///< as appended; empty once they are given up
  bool coded = false;                        ///< k and v are what the group's codes stand for
  double error = 0;        ///< what is read may be so far from k, as keys were turned
  double float_error = 0;  ///< of k_float
};

/// Numbers as codes of `bits` bits with a scale and a zero of 11 bits, and as numbers again.
inline void code(std::vector<float*> const& x, int bits) {
  float low = *x[0], high = *x[0];
  for (float const* number : x) low = std::min(low, *number), high = std::max(high, *number);
  float const most = static_cast<float>((1 << bits) - 1);
  float const zero = static_cast<float>(f16(low));
  float const scale = static_cast<float>(f16((high - zero) / most));
  for (float* number : x) {
    float const at = scale > 0 ? std::nearbyint((*number - zero) / scale) : 0.0f;
    *number = std::fma(std::clamp(at, 0.0f, most), scale, zero);
  }
}

/// What a sequence should hold, as a list.
struct row_list {
  sizes of;
  index first = 0;
  std::vector<token> tokens;

  index end() const { return first + std::ssize(tokens); }
  bool holds(index p) const {
    return p >= first && p < end() && !tokens[static_cast<std::size_t>(p - first)].lost;
  }
  token const& at(index p) const { return tokens[static_cast<std::size_t>(p - first)]; }
  token& at(index p) { return tokens[static_cast<std::size_t>(p - first)]; }

  index pinned() const { return round_up(of.sinks, of.group); }
  /// Rows that a ring can't have kept.
  void give_up() {
    if (of.window == 0) return;
    index const kept = round_down(end(), of.group) - round_up(of.window - 1 + of.margin, of.group);
    for (index p = std::max(first, pinned()); p < std::min(kept, end()); ++p) {
      if (!at(p).lost) {
        at(p) = {};
        at(p).lost = true;
      }
    }
    if (of.group == 1) return;
    for (index p = first; p < end() - (of.group + of.margin - 1); ++p) at(p).k_float.clear();
  }
  void append(std::vector<token> const& more, index at_position) {
    if (tokens.empty()) first = at_position;
    tokens.insert(tokens.end(), more.begin(), more.end());
    for (index p = end() - std::ssize(more); of.group > 1 && p < end(); ++p) {
      at(p).k_float = at(p).k, at(p).v_float = at(p).v;
    }
    settle();
    give_up();
  }
  bool can_resume(index p) const {
    if (p < first || p > end()) return false;
    index const from = of.window == 0 ? first : std::max(first, p - of.window + 1);
    for (index i = from; i < p; ++i) {
      if (at(i).lost) return false;
    }
    return can_cut(p);
  }
  void truncate(index p) {
    tokens.resize(static_cast<std::size_t>(p - first));
    take_apart(p);
  }
  /// Would a lost row become a sink, or rows be wanted as floats that are none any more?
  bool can_erase(range r) const {
    if (r.empty()) return true;
    bool const whole = r.begin % of.group == 0 && r.end % of.group == 0;
    if (!whole && !by_floats(r)) return false;
    if (pinned() <= first || r.begin >= pinned()) return true;
    for (index p = first; p < end(); ++p) {
      if (!r.contains(p) && at(p).lost) return false;
    }
    return true;
  }
  void erase(range r, rope const* by) {
    if (r.empty()) return;
    if (by_floats(r)) take_apart(r.begin);
    tokens.erase(tokens.begin() + (r.begin - first), tokens.begin() + (r.end - first));
    for (index p = r.begin; by != nullptr && p < end(); ++p) {
      token& t = at(p);
      if (t.lost) continue;
      turn(t.k, *by, r.size());
      turn(t.k_float, *by, r.size());
      t.float_error = 1.5 * t.float_error + 4e-7 * std::max(1.0, largest(t.k));
      t.error = t.float_error;
    }
    if (of.group == 1) return;
    for (index p = r.begin; by != nullptr && p < end(); ++p) {  // coded again, from floats if kept
      if (at(p).coded && can_cut(group_of(p).end - 1) && !at(p).k_float.empty()) {
        at(p).k = at(p).k_float;
      }
    }
    for (index p = r.begin; by != nullptr && p < end(); ++p) {
      if (at(p).coded) at(p).error = code_error(p);
    }
    settle();
    give_up();
  }

  // Rows in groups: where a group is not complete they are floats.

  /// Is what lies before p in its group held as floats?
  bool can_cut(index p) const {
    if (p % of.group == 0) return true;
    for (index i = std::max(first, round_down(p, of.group)); i < p; ++i) {
      if (at(i).k_float.empty()) return false;
    }
    return true;
  }
  bool by_floats(range r) const {
    for (index p = r.end; p < end(); ++p) {
      if (of.group == 1 || at(p).k_float.empty()) return false;
    }
    return can_cut(r.begin);
  }

 private:
  static double largest(std::vector<float> const& row) {
    double most = 0;
    for (float const x : row) most = std::max(most, std::abs(static_cast<double>(x)));
    return most;
  }
  void turn(std::vector<float>& rows, rope const& by, index distance) const {
    for (index h = 0; h < of.kv_heads && !rows.empty(); ++h) {
      float* const row = rows.data() + h * of.head_dim;
      for (index i = 0; i < by.dim / 2; ++i) {  // by the definition, in double
        bool const halves = by.pairs == rope_pairs::halves;
        float& a = row[halves ? i : 2 * i];
        float& b = row[halves ? i + by.dim / 2 : 2 * i + 1];
        double const angle = -static_cast<double>(distance) * by.frequency(i);
        double const x = a, y = b;
        a = static_cast<float>(x * std::cos(angle) - y * std::sin(angle));
        b = static_cast<float>(x * std::sin(angle) + y * std::cos(angle));
      }
    }
  }
  /// Rows from the group of p on are floats again.
  void take_apart(index p) {
    for (index i = std::max(first, round_down(p, of.group)); i < end(); ++i) {
      token& t = at(i);
      if (!t.coded || t.k_float.empty()) continue;
      t.k = t.k_float, t.v = t.v_float;
      t.coded = false, t.error = t.float_error;
    }
  }
  /// Positions of the group of p.
  range group_of(index p) const {
    index const g = round_down(p, of.group);
    return {std::max(first, g), g + of.group};
  }
  /// How far keys of the group of p may be from what they were coded from.
  double code_error(index p) const {
    double worst = 0;
    range const group = group_of(p);
    for (std::size_t d = 0; d < at(p).k.size(); ++d) {
      double low = at(p).k[d], high = low, more = 0;
      for (index i = group.begin; i < group.end; ++i) {
        low = std::min<double>(low, at(i).k[d]);
        high = std::max<double>(high, at(i).k[d]);
        more = std::max(more, at(i).float_error);
      }
      double const scale = (high - low + 2 * more) / ((1 << of.bits) - 1) + 1e-6;
      double const size = std::max(std::abs(low), std::abs(high));
      worst = std::max(worst, 0.52 * scale + 0x1p-10 * size + more);
    }
    return worst;
  }
  /// Groups that have become complete are coded.
  void settle() {
    if (of.group == 1 || tokens.empty()) return;
    for (index p = first; group_of(p).end <= end(); p = group_of(p).end) {
      range const group = group_of(p);
      if (at(group.begin).coded || at(group.begin).lost) continue;
      bool exact = true;
      for (index i = group.begin; i < group.end; ++i) {
        exact = exact && at(i).float_error == 0;
        at(i).coded = true;
        for (index h = 0; h < of.kv_heads; ++h) {
          for (index d = 0; d < of.v_dim; d += of.group) {
            std::vector<float*> some;
            for (index e = d; e < std::min(of.v_dim, d + of.group); ++e) {
              some.push_back(at(i).v.data() + h * of.v_dim + e);
            }
            code(some, of.bits);
          }
        }
      }
      double const error = exact ? 0 : code_error(p);
      for (index i = group.begin; i < group.end; ++i) at(i).error = error;
      for (std::size_t d = 0; exact && d < at(p).k.size(); ++d) {
        std::vector<float*> channel;
        for (index i = group.begin; i < group.end; ++i) channel.push_back(&at(i).k[d]);
        code(channel, of.bits);
      }
    }
  }
};

/// Fresh rows in tensors of their own, and as `kept` floats once they are stored.
struct fresh_rows {
  std::vector<float> k, v;
  std::vector<token> list;
  tensor_view<float const> k_view, v_view;

  fresh_rows(sizes const& of, index n, std::uint64_t& seed) {
    auto const number = [&] {
      seed = seed * 6364136223846793005u + 1442695040888963407u;
      return static_cast<float>(static_cast<std::int32_t>(seed >> 32)) * 0x1p-31f;
    };
    for (index i = 0; i < n * of.kv_heads * of.head_dim; ++i) k.push_back(number());
    for (index i = 0; i < n * of.kv_heads * of.v_dim; ++i) v.push_back(number());
    k.push_back(0), v.push_back(0);  // never null
    k_view = {k.data(), n, of.kv_heads, of.head_dim};
    v_view = {v.data(), n, of.kv_heads, of.v_dim};
    for (index t = 0; t < n; ++t) {
      list.push_back({{k_view.row(t, 0), k_view.row(t, 0) + of.kv_heads * of.head_dim},
                      {v_view.row(t, 0), v_view.row(t, 0) + of.kv_heads * of.v_dim}});
    }
  }
};

inline constexpr float poison = std::numeric_limits<float>::quiet_NaN();

struct alignas(64) line_type {
  std::byte bytes[64];
};

/// Bytes aligned for a cache, NaN at first, and a canary behind them.
class lines {
 public:
  explicit lines(index bytes) : size_(bytes), all_(static_cast<std::size_t>(bytes / 64 + 2)) {
    for (line& l : all_) std::fill(std::begin(l.floats), std::end(l.floats), poison);
  }
  std::span<std::byte> span() {
    return {reinterpret_cast<std::byte*>(all_.data()), static_cast<std::size_t>(size_)};
  }

 private:
  struct alignas(64) line {
    float floats[16];
  };
  index size_;
  std::vector<line> all_;
};

}  // namespace oriel::model
