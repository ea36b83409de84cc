// SPDX-License-Identifier: BSL-1.0
// What decides operations, and what a sequence should hold: a naive list of rows that can't be wrong
// as a cache can: it never overwrites, moves or numbers anything.
#pragma once

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
};

/// Rows of a token, as the floats that are read of them.
struct token {
  std::vector<float> k, v;  ///< [kv_heads, dim]
  bool lost = false;
};

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

  /// Rows that a ring can't have kept.
  void give_up() {
    if (of.window == 0) return;
    index const kept = end() - (of.window - 1 + of.margin);
    for (index p = std::max(first, of.sinks); p < std::min(kept, end()); ++p) {
      if (!at(p).lost) {
        at(p).lost = true;
        at(p).k = {};
        at(p).v = {};
      }
    }
  }
  void append(std::vector<token> const& more, index at_position) {
    if (tokens.empty()) first = at_position;
    tokens.insert(tokens.end(), more.begin(), more.end());
    give_up();
  }
  bool can_resume(index p) const {
    if (p < first || p > end()) return false;
    index const from = of.window == 0 ? first : std::max(first, p - of.window + 1);
    for (index i = from; i < p; ++i) {
      if (at(i).lost) return false;
    }
    return true;
  }
  void truncate(index p) { tokens.resize(static_cast<std::size_t>(p - first)); }
  /// Would a lost row become a sink?
  bool can_erase(range r) const {
    if (r.empty() || of.sinks <= first) return true;
    if (r.begin >= of.sinks) return true;
    for (index p = first; p < end(); ++p) {
      if (!r.contains(p) && at(p).lost) return false;
    }
    return true;
  }
  void erase(range r, rope const* by) {
    tokens.erase(tokens.begin() + (r.begin - first), tokens.begin() + (r.end - first));
    if (by == nullptr || r.empty()) return;
    for (index p = r.begin; p < end(); ++p) {
      token& t = at(p);
      if (t.lost) continue;
      for (index h = 0; h < of.kv_heads; ++h) {
        float* const row = t.k.data() + h * of.head_dim;
        for (index i = 0; i < by->dim / 2; ++i) {  // by the definition, in double
          bool const halves = by->pairs == rope_pairs::halves;
          float& a = row[halves ? i : 2 * i];
          float& b = row[halves ? i + by->dim / 2 : 2 * i + 1];
          double const angle = -static_cast<double>(r.size()) * by->frequency(i);
          double const x = a, y = b;
          a = static_cast<float>(x * std::cos(angle) - y * std::sin(angle));
          b = static_cast<float>(x * std::sin(angle) + y * std::cos(angle));
        }
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
