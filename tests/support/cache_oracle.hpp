// SPDX-License-Identifier: BSL-1.0
// A cache as a plain list of rows, to compare with.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <limits>
#include <vector>

#include "dice.hpp"
#include "oriel/cache/rolling_cache.hpp"

/// Bytes of a cache between canaries.
class guarded_bytes {
 public:
  explicit guarded_bytes(oriel::index size)
      : size_(static_cast<std::size_t>(size)), lines_((size_ + 63) / 64 + 2) {
    std::memset(lines_.data(), 0xa5, lines_.size() * sizeof(line));
  }
  std::span<std::byte> bytes() { return {lines_[1].bytes, size_}; }
  bool intact() const {
    auto const* const all = lines_[0].bytes;
    auto const canary = [](std::byte b) { return b == std::byte{0xa5}; };
    return std::all_of(all, all + 64, canary) &&
           std::all_of(all + 64 + size_, all + lines_.size() * 64, canary);
  }

 private:
  struct alignas(64) line {
    std::byte bytes[64];
  };
  std::size_t size_;
  std::vector<line> lines_;
};

/// A tensor [tokens, heads, dim] in one of many layouts, some rows of it NaN.
class random_rows {
 public:
  random_rows(dice& d, oriel::index tokens, oriel::index heads, oriel::index dim) {
    oriel::index const gap = d.between(oriel::index{0}, oriel::index{3});
    oriel::index token = heads * dim + gap, head = dim;
    if (d.coin()) head = (dim + gap) * std::max<oriel::index>(tokens, 1), token = dim + gap;
    data_.resize(static_cast<std::size_t>((tokens + 1) * (heads + 1) * (dim + 4)));
    for (float& x : data_) {
      x = d.between(0, 9) == 0 ? std::numeric_limits<float>::quiet_NaN() : d.real();
    }
    float const* begin = data_.data();
    if (d.coin() && tokens > 0) begin += (tokens - 1) * token, token = -token;
    view_ = {begin, tokens, heads, dim, token, head};
  }
  random_rows(random_rows const&) = delete;
  oriel::tensor_view<float const> view() const { return view_; }

 private:
  std::vector<float> data_;
  oriel::tensor_view<float const> view_;
};

/// What a rolling cache of a shape should hold.
class row_list {
 public:
  explicit row_list(oriel::cache_shape const& shape) : shape_(shape) {}

  void append(oriel::tensor_view<float const> k, oriel::tensor_view<float const> v,
              std::optional<oriel::index> first) {
    if (tokens_.empty()) first_ = first.value_or(0);
    for (oriel::index t = 0; t < k.tokens; ++t) {
      token next;
      for (oriel::index h = 0; h < k.heads; ++h) {
        next.k.emplace_back(k.row(t, h), k.row(t, h) + k.dim);
        next.v.emplace_back(v.row(t, h), v.row(t, h) + v.dim);
      }
      tokens_.push_back(std::move(next));
    }
  }
  void clear() { tokens_.clear(), first_ = 0; }
  bool empty() const { return tokens_.empty(); }
  oriel::index end() const { return first_ + std::ssize(tokens_); }
  oriel::range held() const {
    return {std::max(first_, end() - (shape_.window - 1 + shape_.margin)), end()};
  }
  oriel::range lost() const { return {first_, held().begin}; }
  oriel::cache_shape const& shape() const { return shape_; }
  std::vector<float> const& k(oriel::index head, oriel::index position) const {
    return at(position).k[static_cast<std::size_t>(head)];
  }
  std::vector<float> const& v(oriel::index head, oriel::index position) const {
    return at(position).v[static_cast<std::size_t>(head)];
  }

 private:
  struct token {
    std::vector<std::vector<float>> k, v;  // [heads][dim]
  };
  token const& at(oriel::index position) const {
    return tokens_[static_cast<std::size_t>(position - first_)];
  }
  oriel::cache_shape shape_;
  std::vector<token> tokens_;
  oriel::index first_ = 0;
};

inline bool same_bits(float const* row, std::vector<float> const& expected) {
  return std::memcmp(row, expected.data(), expected.size() * sizeof(float)) == 0;
}

/// Every held row through the runs, and that a row lies in the slot of its position.
inline void expect_equal(oriel::rolling_cache<> const& cache, row_list const& expected) {
  using oriel::index;
  ASSERT_EQ(cache.positions().size(), expected.held().size());
  ASSERT_EQ(cache.lost().size(), expected.lost().size());
  if (expected.empty()) return;
  ASSERT_EQ(cache.positions(), expected.held());
  ASSERT_EQ(cache.lost(), expected.lost());
  index const capacity = expected.shape().window - 1 + expected.shape().margin;
  for (index head = 0; head < expected.shape().kv_heads; ++head) {
    for (index p = expected.held().begin; p < expected.held().end; ++p) {
      oriel::kv_run const run = cache.run_at(head, p);
      ASSERT_EQ(run.first, p);
      ASSERT_GE(run.rows, 1);
      ASSERT_LE(p + run.rows, expected.held().end);
      // The longest: it ends with the ring or with what is held.
      ASSERT_TRUE(p + run.rows == expected.held().end || (p + run.rows) % capacity == 0);
      for (index i = 0; i < run.rows; ++i) {
        ASSERT_TRUE(same_bits(run.k.row(i), expected.k(head, p + i)));
        ASSERT_TRUE(same_bits(run.v.row(i), expected.v(head, p + i)));
      }
      index const slots = run.k.row(0) - cache.run_at(0, expected.held().begin).k.row(0);
      index const base = expected.held().begin % capacity;
      ASSERT_EQ(slots, ((head * capacity) + p % capacity - base) * expected.shape().head_dim);
    }
  }
}
