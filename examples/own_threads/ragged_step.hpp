// SPDX-License-Identifier: BSL-1.0
// One step of an engine that serves four users: a ragged batch. Both programs here compute it.
#pragma once

#include <cstdio>
#include <cstring>
#include <oriel/interop/owning.hpp>
#include <oriel/interop/throwing.hpp>
#include <oriel/oriel.hpp>
#include <random>
#include <vector>

namespace engine {

using oriel::index;

/// [tokens, heads, dim] in one block, made up.
inline std::vector<float> made_up(index tokens, index heads, index dim) {
  static std::mt19937 random(2023);
  std::normal_distribution<float> normal;
  std::vector<float> rows(static_cast<std::size_t>(tokens * heads * dim));
  for (float& x : rows) x = normal(random);
  return rows;
}

class ragged_step {
 public:
  static constexpr index q_heads = 8;
  static constexpr index kv_heads = 2;
  static constexpr index dim = 64;
  static constexpr index window = 4096;

  ragged_step()
      : q_(made_up(tokens, q_heads, dim)),
        k_(made_up(tokens, kv_heads, dim)),
        v_(made_up(tokens, kv_heads, dim)) {
    oriel::cache_shape const shape{.window = window, .kv_heads = kv_heads, .head_dim = dim};
    rings_.reserve(std::size(users));  // a batch refers to them: they must not move
    for (user const& u : users) {
      bytes_.emplace_back(cache::required_bytes(shape));
      rings_.emplace_back(bytes_.back(), shape);
      std::vector<float> const past = made_up(u.past, kv_heads, dim);
      oriel::tensor_view<float const> const rows(past.data(), u.past, kv_heads, dim);
      oriel::require(rings_.back().append(rows, rows));
    }
  }

  std::vector<float> answer() const { return std::vector<float>(q_.size()); }

  /// The sequences, which lie one after another in q, k, v and in `out`.
  std::vector<oriel::attention> batch(std::vector<float>& out) const {
    oriel::tensor_view<float const> const q(q_.data(), tokens, q_heads, dim);
    oriel::tensor_view<float const> const k(k_.data(), tokens, kv_heads, dim);
    oriel::tensor_view<float const> const v(v_.data(), tokens, kv_heads, dim);
    oriel::tensor_view<float> const to(out.data(), tokens, q_heads, dim);
    std::vector<oriel::attention> calls;
    oriel::range own;  // tokens of a user
    for (std::size_t i = 0; i < std::size(users); ++i) {
      own = {own.end, own.end + users[i].fresh};
      calls.push_back({.q = q.slice(own),
                       .kv = oriel::joined{rings_[i], k.slice(own), v.slice(own)},
                       .mask = oriel::causal{} & oriel::sliding_window{.keys = window},
                       .out = to.slice(own)});
    }
    return calls;
  }

 private:
  using cache = oriel::rolling_cache<oriel::f32>;
  struct user {
    index past;   ///< tokens that the ring has been given
    index fresh;  ///< tokens of this step
  };
  static constexpr user users[] = {{0, 100}, {6000, 12}, {5000, 1}, {90, 1}};
  static constexpr index tokens = 100 + 12 + 1 + 1;

  std::vector<float> q_, k_, v_;
  std::vector<oriel::aligned_bytes> bytes_;
  std::vector<cache> rings_;
};

/// The answer of one thread.
inline std::vector<float> serial_answer(ragged_step const& step) {
  std::vector<float> out = step.answer();
  std::vector<oriel::attention> const batch = step.batch(out);
  oriel::aligned_bytes const memory(oriel::workspace_bytes(batch));
  oriel::require(oriel::attend(batch, {memory}));
  return out;
}

inline bool same_bits(std::vector<float> const& a, std::vector<float> const& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

inline void print(std::vector<oriel::attention> const& batch) {
  for (oriel::attention const& sequence : batch) {
    oriel::range const queries = sequence.queries();
    oriel::range const keys = sequence.kv.positions();
    std::printf("queries %4d..%d on keys %4d..%d\n", static_cast<int>(queries.begin),
                static_cast<int>(queries.end - 1), static_cast<int>(keys.begin),
                static_cast<int>(keys.end - 1));
  }
}

}  // namespace engine
