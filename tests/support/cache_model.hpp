// SPDX-License-Identifier: BSL-1.0
// Random operations on every kind of source, beside a naive list of rows that can't be wrong in the
// same way: it never overwrites, moves or numbers anything. Used by the fuzzers and by the tests.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstdio>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "codec_error.hpp"
#include "oriel/oriel.hpp"

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

/// One kind of memory: all of them answer the same operations.
class store {
 public:
  virtual ~store() = default;
  virtual status append(fresh_rows const& rows, index first) = 0;
  virtual status truncate(index position) = 0;
  virtual status erase(range erased, rope const* by, workspace memory) = 0;
  virtual std::unique_ptr<store> fork() = 0;
  /// Through bytes into memory of its own; null where a kind has none.
  virtual std::unique_ptr<store> reload(choices&) { return nullptr; }
  /// NaN in every row that is not held.
  virtual void poison_dead() = 0;
  virtual index first() const = 0;
  virtual bool can_resume(index position) const = 0;
  virtual any_source source() const = 0;
  /// What `past`, its source, holds, then fresh rows; both must stay where they are.
  virtual any_source joined_to(any_source const& past, fresh_rows const& rows, index first) const {
    return joined<any_source>(past, rows.k_view, rows.v_view, first);
  }
};

/// A codec with scales, where it needs any.
template <class Codec>
Codec a_codec(bool) {
  return {};
}
template <int Bits>
struct scales {
  static constexpr float step =
      Bits == 8 ? 0.02f : 0.25f;  ///< codes go beyond what keys are turned to
  std::vector<float> per_channel;
  scales() {
    for (int i = 0; i < 2 * 128; ++i) {
      per_channel.push_back(step * (1.0f + static_cast<float>(i % 7) / 32.0f));
    }
  }
  static scaled<Bits> of(bool keys) {
    static scales const all;
    return {all.per_channel.data(), keys};
  }
};
template <>
inline scaled_int8 a_codec<scaled_int8>(bool keys) {
  return scales<8>::of(keys);
}
template <>
inline scaled_int4 a_codec<scaled_int4>(bool keys) {
  return scales<4>::of(keys);
}

template <class K = f32, class V = K>
class ring_store final : public store {
 public:
  using cache = rolling_cache<K, V>;
  using k_codec = typename cache::k_codec;
  using v_codec = typename cache::v_codec;
  explicit ring_store(sizes const& s)
      : shape_{.window = s.window,
               .kv_heads = s.kv_heads,
               .head_dim = s.head_dim,
               .v_dim = s.v_dim,
               .margin = s.margin,
               .sinks = s.sinks},
        bytes_(cache::required_bytes(shape_)),
        cache_(bytes_.span(), shape_, {a_codec<k_codec>(true), a_codec<v_codec>(false)}) {}
  status append(fresh_rows const& rows, index first) override {
    return cache_.append(rows.k_view, rows.v_view, first);
  }
  status truncate(index position) override { return cache_.truncate(position); }
  status erase(range erased, rope const* by, workspace memory) override {
    return by != nullptr ? cache_.erase(erased, *by, memory) : cache_.erase(erased);
  }
  std::unique_ptr<store> fork() override {
    auto other = fresh();
    return other->cache_.copy(cache_).ok() ? std::move(other) : nullptr;
  }
  std::unique_ptr<store> reload(choices& choose) override {
    auto other = fresh();
    // It restores over whatever another sequence has left.
    std::uint64_t seed = 1;
    fresh_rows const old({shape_.kv_heads, shape_.head_dim, shape_.value_dim()}, choose.below(9),
                         seed);
    if (!other->cache_.append(old.k_view, old.v_view, 3).ok()) return nullptr;
    std::vector<std::byte> saved(static_cast<std::size_t>(cache_.saved_bytes()));
    if (!cache_.save(saved).ok() || !other->cache_.restore(saved).ok()) return nullptr;
    // A byte that is not what was saved is noticed, whichever.
    auto& byte = saved[static_cast<std::size_t>(choose.below(std::ssize(saved)))];
    byte ^= static_cast<std::byte>(1 << choose.below(8));
    if (other->cache_.restore(saved).code != errc::saved) return nullptr;
    return other;
  }
  void poison_dead() override {
    index const capacity = cache_.capacity();
    std::vector<bool> held(static_cast<std::size_t>(capacity));
    range const all = cache_.positions();
    for (index p = all.begin; p < all.end; ++p) {
      if (!cache_.lost().contains(p)) held[static_cast<std::size_t>(cache_.slot(p))] = true;
    }
    index const rows = capacity * shape_.kv_heads;
    index const k_bytes = k_codec::row_bytes(shape_.head_dim);
    index const v_bytes = v_codec::row_bytes(shape_.value_dim());
    std::byte* const k = bytes_.span().data();
    std::byte* const v = k + cache::required_bytes(shape_) - rows * v_bytes;
    for (index row = 0; row < rows; ++row) {
      if (held[static_cast<std::size_t>(row % capacity)]) continue;
      std::fill_n(k + row * k_bytes, k_bytes, dead<k_codec>);
      std::fill_n(v + row * v_bytes, v_bytes, dead<v_codec>);
    }
  }
  index first() const override { return std::min(cache_.positions().begin, first_held()); }
  bool can_resume(index position) const override { return cache_.can_resume(position); }
  any_source source() const override { return cache_; }
  any_source joined_to(any_source const&, fresh_rows const& rows, index first) const override {
    return joined<cache>(cache_, rows.k_view, rows.v_view, first);
  }

  /// What rows become in a ring: they are written and read, each on its own.
  static void keep(sizes const& of, token& t) {
    for (index h = 0; h < of.kv_heads; ++h) {
      round_trip(a_codec<k_codec>(true), t.k.data() + h * of.head_dim, of.head_dim, h);
      round_trip(a_codec<v_codec>(false), t.v.data() + h * of.v_dim, of.v_dim, h);
    }
  }
  /// How far a key that was turned and stored once more may be from one that was turned exactly.
  static double turn_error(double most, index dim) {
    if constexpr (std::is_same_v<k_codec, scaled_int8>)
      return 0.51 * scales<8>::step * 1.25;
    else if constexpr (std::is_same_v<k_codec, scaled_int4>)
      return 0.51 * scales<4>::step * 1.25;
    else
      return test::error_bound<k_codec>(most, dim);
  }

 private:
  index first_held() const {
    return cache_.lost().empty() ? cache_.positions().begin : cache_.lost().begin;
  }
  std::unique_ptr<ring_store> fresh() const {
    return std::make_unique<ring_store>(sizes{shape_.kv_heads, shape_.head_dim, shape_.value_dim(),
                                              shape_.window, shape_.margin, shape_.sinks});
  }
  template <class Codec>
  static void round_trip(Codec const& codec, float* row, index dim, index head) {
    std::vector<std::byte> stored(static_cast<std::size_t>(Codec::row_bytes(dim)));
    codec.template encode<default_arch>(row, dim, head, stored.data());
    codec.template read<default_arch>({stored.data(), 0, head, 0, 1, dim}, row);
  }
  /// A byte that reads as NaN, or as numbers that no row has.
  template <class Codec>
  static constexpr std::byte dead{
      std::is_same_v<Codec, scaled_int8> || std::is_same_v<Codec, scaled_int4> ? 0x80 : 0xff};
  cache_shape shape_;
  lines bytes_;
  cache cache_;
};

/// A caller's tensors with room for `room` tokens, token-major or head-major.
class tensor_store final : public store {
 public:
  static constexpr index room = 96;
  tensor_store(sizes const& s, bool head_major)
      : of_(s),
        head_major_(head_major),
        k_(static_cast<std::size_t>(room * s.kv_heads * s.head_dim), poison),
        v_(static_cast<std::size_t>(room * s.kv_heads * s.v_dim), poison) {}
  status append(fresh_rows const& rows, index first) override {
    if (tokens_ == 0 && rows.k_view.tokens > 0) first_ = first;
    for (index t = 0; t < rows.k_view.tokens; ++t, ++tokens_) {
      for (index h = 0; h < of_.kv_heads; ++h) {
        std::copy_n(rows.k_view.row(t, h), of_.head_dim, k(room).row(tokens_, h));
        std::copy_n(rows.v_view.row(t, h), of_.v_dim, v(room).row(tokens_, h));
      }
    }
    return {};
  }
  status truncate(index position) override {
    tokens_ = position - first_;
    return {};
  }
  status erase(range erased, rope const* by, workspace memory) override {
    status const s = erase_rows(k(tokens_), v(tokens_),
                                {erased.begin - first_, erased.end - first_}, by, memory);
    if (s.ok()) tokens_ -= erased.size();
    return s;
  }
  std::unique_ptr<store> fork() override { return std::make_unique<tensor_store>(*this); }
  void poison_dead() override {
    for (index t = tokens_; t < room; ++t) {
      for (index h = 0; h < of_.kv_heads; ++h) {
        std::fill_n(k(room).row(t, h), of_.head_dim, poison);
        std::fill_n(v(room).row(t, h), of_.v_dim, poison);
      }
    }
  }
  index first() const override { return first_; }
  bool can_resume(index position) const override {
    return position >= first_ && position <= first_ + tokens_;
  }
  any_source source() const override {
    auto& self = const_cast<tensor_store&>(*this);
    return contiguous(self.k(tokens_), self.v(tokens_), first_);
  }

 private:
  tensor_view<float> view(std::vector<float>& rows, index dim, index tokens) const {
    if (head_major_) return {rows.data(), tokens, of_.kv_heads, dim, dim, room * dim};
    return {rows.data(), tokens, of_.kv_heads, dim};
  }
  tensor_view<float> k(index tokens) { return view(k_, of_.head_dim, tokens); }
  tensor_view<float> v(index tokens) { return view(v_, of_.v_dim, tokens); }

  sizes of_;
  bool head_major_;
  std::vector<float> k_, v_;
  index tokens_ = 0, first_ = 0;
};

/// Pages of a pool that sequences share; a page is copied when it is written to and is not the
/// sequence's alone.
class page_store final : public store {
 public:
  struct pool_memory {
    sizes of;
    page_pool pool;
    std::vector<float> floats;
    std::vector<int> users;
    choices order;

    pool_memory(sizes const& s, index page_size, int layout, index pages, std::uint64_t seed)
        : of(s), users(static_cast<std::size_t>(pages)), order(seed) {
      index const k_page = page_size * s.kv_heads * s.head_dim;
      index const v_page = page_size * s.kv_heads * s.v_dim;
      floats.assign(static_cast<std::size_t>(pages * (k_page + v_page)), poison);
      bool const head_major = (layout & 1) != 0, together = (layout & 2) != 0;
      index const step = together ? k_page + v_page : 0;
      auto const page = [&](float* at, index dim) {
        return head_major ? tensor_view<float>{at, page_size, s.kv_heads, dim, dim, page_size * dim}
                          : tensor_view<float>{at, page_size, s.kv_heads, dim};
      };
      pool = {page(floats.data(), s.head_dim),
              page(floats.data() + (together ? k_page : pages * k_page), s.v_dim), pages,
              together ? step : k_page, together ? step : v_page};
      if ((layout & 4) != 0) {  // the last page first
        pool.k = page(pool.k_page(pages - 1).data, s.head_dim);
        pool.v = page(pool.v_page(pages - 1).data, s.v_dim);
        pool.k_page_stride = -pool.k_page_stride;
        pool.v_page_stride = -pool.v_page_stride;
      }
    }
    std::int32_t take() {
      index const pages = std::ssize(users);
      for (index i = order.below(pages);; i = (i + 1) % pages) {
        if (users[static_cast<std::size_t>(i)] != 0) continue;
        users[static_cast<std::size_t>(i)] = 1;
        return static_cast<std::int32_t>(i);
      }
    }
    void drop(std::int32_t page) {
      if (--users[static_cast<std::size_t>(page)] > 0) return;
      wipe(page, 0);
    }
    void wipe(index page, index from) {
      for (index t = from; t < pool.page_size(); ++t) {
        for (index h = 0; h < of.kv_heads; ++h) {
          std::fill_n(pool.k_page(page).row(t, h), of.head_dim, poison);
          std::fill_n(pool.v_page(page).row(t, h), of.v_dim, poison);
        }
      }
    }
  };

  page_store(std::shared_ptr<pool_memory> memory, sizes const& s)
      : memory_(std::move(memory)), of_(s) {}
  ~page_store() override { shrink(0); }
  page_store(page_store const&) = delete;

  status append(fresh_rows const& rows, index first) override {
    if (tokens_ == 0 && rows.k_view.tokens > 0) first_ = first;
    index const size = memory_->pool.page_size();
    if (tokens_ % size != 0 && rows.k_view.tokens > 0) own(tokens_ / size);
    for (index t = 0; t < rows.k_view.tokens; ++t, ++tokens_) {
      if (tokens_ % size == 0) table_.push_back(memory_->take());
      std::int32_t const page = table_.back();
      for (index h = 0; h < of_.kv_heads; ++h) {
        std::copy_n(rows.k_view.row(t, h), of_.head_dim,
                    memory_->pool.k_page(page).row(tokens_ % size, h));
        std::copy_n(rows.v_view.row(t, h), of_.v_dim,
                    memory_->pool.v_page(page).row(tokens_ % size, h));
      }
    }
    return {};
  }
  status truncate(index position) override {
    shrink(position - first_);
    return {};
  }
  status erase(range erased, rope const* by, workspace memory) override {
    range const gone{erased.begin - first_, erased.end - first_};
    index const size = memory_->pool.page_size();
    for (index page = gone.begin / size; page * size < tokens_; ++page) own(page);
    status const s = erase_rows(memory_->pool, table_, tokens_, gone, by, memory);
    if (s.ok()) shrink(tokens_ - gone.size());
    return s;
  }
  std::unique_ptr<store> fork() override {
    auto other = std::make_unique<page_store>(memory_, of_);
    other->table_ = table_;
    other->tokens_ = tokens_;
    other->first_ = first_;
    for (std::int32_t const page : table_) ++memory_->users[static_cast<std::size_t>(page)];
    return other;
  }
  void poison_dead() override {
    index const size = memory_->pool.page_size();
    if (tokens_ % size == 0) return;
    auto const last = table_.back();
    if (memory_->users[static_cast<std::size_t>(last)] == 1) memory_->wipe(last, tokens_ % size);
  }
  index first() const override { return first_; }
  bool can_resume(index position) const override {
    return position >= first_ && position <= first_ + tokens_;
  }
  any_source source() const override { return paged(memory_->pool, table_, tokens_, first_); }

 private:
  void own(index page) {
    auto& number = table_[static_cast<std::size_t>(page)];
    if (memory_->users[static_cast<std::size_t>(number)] == 1) return;
    std::int32_t const copy = memory_->take();
    page_pool const& pool = memory_->pool;
    for (index t = 0; t < pool.page_size(); ++t) {
      for (index h = 0; h < of_.kv_heads; ++h) {
        std::copy_n(pool.k_page(number).row(t, h), of_.head_dim, pool.k_page(copy).row(t, h));
        std::copy_n(pool.v_page(number).row(t, h), of_.v_dim, pool.v_page(copy).row(t, h));
      }
    }
    memory_->drop(number);
    number = copy;
  }
  void shrink(index tokens) {
    index const size = memory_->pool.page_size();
    tokens_ = tokens;
    while (std::ssize(table_) * size >= tokens + size) {
      memory_->drop(table_.back());
      table_.pop_back();
    }
  }

  std::shared_ptr<pool_memory> memory_;
  sizes of_;
  std::vector<std::int32_t> table_;
  index tokens_ = 0, first_ = 0;
};

/// A way of storing rows in a ring.
struct storage {
  char const* name;
  std::unique_ptr<store> (*ring)(sizes const&);
  void (*keep)(sizes const&, token&);
  double (*turn_error)(double most, index dim);
  index multiple = 1;  ///< of row sizes
  bool plain = false;  ///< floats, which a caller's tensors and pages hold too

  template <class K, class V = K>
  static storage of(char const* name) {
    using kind = ring_store<K, V>;
    constexpr bool blocks = std::is_same_v<K, q8_0> || std::is_same_v<K, q4_0>;
    return {name,
            [](sizes const& s) -> std::unique_ptr<store> { return std::make_unique<kind>(s); },
            kind::keep,
            kind::turn_error,
            blocks ? 32 : 1,
            std::is_same_v<K, f32>};
  }
};

inline std::vector<storage> const& storages() {
  static std::vector<storage> const all{
      storage::of<f32>("f32"),
      storage::of<bf16>("bf16"),
      storage::of<f16>("f16"),
      storage::of<int8>("int8"),
      storage::of<int4>("int4"),
      storage::of<int4_symmetric>("int4_symmetric"),
      storage::of<int2>("int2"),
      storage::of<q8_0>("q8_0"),
      storage::of<q4_0>("q4_0"),
      storage::of<scaled_int8>("scaled_int8"),
      storage::of<scaled_int4>("scaled_int4"),
      storage::of<rotated<int4>, rotated<bf16>>("rotated"),
      storage::of<bf16, int4>("mixed"),
  };
  return all;
}
inline storage const& any_storage(choices& choose) {
  return storages()[static_cast<std::size_t>(choose.below(std::ssize(storages())))];
}

/// A few sequences of one kind, and their lists.
class world {
 public:
  static constexpr int kinds = 6;  ///< ring, chunked ring, ring with sinks, tensor, pages, big ring

  world(choices& choose, storage const& stored) : choose_(choose), seed_(1), stored_(stored) {
    kind_ = static_cast<int>(choose.below(kinds));
    of_ = {choose.between(1, 2), 2 * choose.between(1, 3), choose.between(1, 4)};
    if (!stored.plain) {
      if (kind_ == 3 || kind_ == 4) kind_ = 0;
      if (choose.below(3) == 0) of_.head_dim *= 7, of_.v_dim *= 13;  // several groups
      of_.head_dim = round_up(of_.head_dim, stored.multiple);
      of_.v_dim = round_up(of_.v_dim, stored.multiple);
    }
    if (kind_ == 0 || kind_ == 1) of_.window = choose.between(1, 9);
    if (kind_ == 2) of_.window = choose.between(1, 6), of_.sinks = choose.between(1, 4);
    if (kind_ == 5) of_.window = tensor_store::room;
    if (of_.window > 0) of_.margin = choose.coin() ? 1 : choose.between(2, 5);
    if (kind_ == 4) {
      pages_ = std::make_shared<page_store::pool_memory>(
          of_, choose.between(1, 9), static_cast<int>(choose.below(8)), 4 * tensor_store::room,
          static_cast<std::uint64_t>(choose.below(256)));
    }
    rope_ = {.dim = 2 * choose.between(1, of_.head_dim / 2),
             .pairs = choose.coin() ? rope_pairs::halves : rope_pairs::neighbours,
             .theta = choose.coin() ? 10000.0 : 5e5};
    all_.push_back({make(), {of_, 0, {}}});
  }

  /// One random operation, then everything is compared. Empty, or what is wrong.
  std::string step() {
    auto const n = static_cast<std::size_t>(choose_.below(std::ssize(all_)));
    sequence& s = all_[n];
    index const what = choose_.below(20);
    std::string found;
    char const* name = "append";
    if (what < 9) {
      append(s);
    } else if (what < 12) {
      name = "truncate", found = truncate(s);
    } else if (what < 14) {
      name = "erase", found = erase(s);
    } else if (what < 15) {
      name = "fork";
      if (all_.size() < 3) {
        all_.push_back({s.memory->fork(), s.list});
        if (all_.back().memory == nullptr) return "fork failed";
      } else {
        all_.erase(all_.begin() + static_cast<std::ptrdiff_t>(n));
        return "";
      }
    } else if (what < 16) {
      name = "save and restore";
      if (auto other = s.memory->reload(choose_)) {
        s.memory = std::move(other);
      } else if (s.list.of.window > 0) {
        found = "a blob was refused, or a damaged one taken";
      }
    } else {
      name = "attend", found = attend(s);
    }
    sequence& after = all_[std::min(n, all_.size() - 1)];
    after.memory->poison_dead();
    if (found.empty()) found = compare(after);
    if (found.empty()) return found;
    return std::string(name) + ", kind " + std::to_string(kind_) + ": " + found;
  }

 private:
  struct sequence {
    std::unique_ptr<store> memory;
    row_list list;
  };

  std::unique_ptr<store> make() {
    if (kind_ == 3) return std::make_unique<tensor_store>(of_, choose_.coin());
    if (kind_ == 4) return std::make_unique<page_store>(pages_, of_);
    return stored_.ring(of_);
  }

  /// A position that the list's first row may have.
  index any_first() {
    index const firsts[] = {0, 0, 0, 2, 5, (index{1} << 31) - 3, index{1} << 53};
    return firsts[choose_.below(std::ssize(firsts))];
  }

  void append(sequence& s) {
    if (s.list.tokens.size() > tensor_store::room - 40) {  // room for the rest of the operation
      index const p = s.list.end() - choose_.below(3);
      if (s.list.of.window == 0) {
        s.list.truncate(s.list.first), (void)s.memory->truncate(s.list.first);
      } else if (s.list.tokens.size() > 300 && p >= 0) {
        s = {make(), {of_, 0, {}}};
      }
    }
    index const most = choose_.below(6) == 0 ? 30 : 3;
    fresh_rows const rows = fresh(choose_.between(0, most));
    index const first = s.list.tokens.empty() ? any_first() : s.list.end();
    if (!s.memory->append(rows, first).ok()) {
      failed_ = "append was refused";
      return;
    }
    if (rows.k_view.tokens > 0) s.list.append(rows.list, first);
  }
  std::string truncate(sequence& s) {
    index const n = std::ssize(s.list.tokens);
    index const back = choose_.coin() ? choose_.below(6) : choose_.below(n + 3) - 1;
    index const p = s.list.end() - back;
    bool const known = p >= s.list.first && p <= s.list.end();
    errc const expected = !known ? errc::position : s.list.can_resume(p) ? errc::ok : errc::evicted;
    if (!known && s.list.of.window == 0) return "";  // the caller's own business
    status const got = s.memory->truncate(p);
    if (got.code != expected) return std::string("truncate says: ") + got.what;
    if (got.ok()) s.list.truncate(p);
    return "";
  }
  std::string erase(sequence& s) {
    index const n = std::ssize(s.list.tokens);
    index const begin =
        choose_.coin() ? choose_.below(n + 1) : std::max<index>(0, n - choose_.below(6));
    range const r{s.list.first + begin,
                  s.list.first + begin +
                      (choose_.coin() ? std::min<index>(n - begin, choose_.below(5))
                                      : choose_.below(n - begin + 1))};
    rope const* const by = choose_.coin() ? &rope_ : nullptr;
    status const got = s.memory->erase(r, by, {scratch_.span()});
    errc const expected = s.list.can_erase(r) ? errc::ok : errc::evicted;
    if (got.code != expected) return std::string("erase says: ") + got.what;
    if (!got.ok()) return "";
    s.list.erase(r, by);
    return by != nullptr && !r.empty() ? accept_turned(s, r.begin) : "";
  }
  /// Keys from `position` on were turned, and stored again: those that are near enough to the
  /// list's are its own from now on.
  std::string accept_turned(sequence& s, index position) {
    any_source const source = s.memory->source();
    std::vector<float> floats(static_cast<std::size_t>(of_.head_dim));
    for (index p = position; p < s.list.end(); ++p) {
      if (!s.list.holds(p)) continue;
      for (index h = 0; h < of_.kv_heads; ++h) {
        float* const want = s.list.at(p).k.data() + h * of_.head_dim;
        kv_run const run = source.run_at(h, p);
        float const* const got = run.floats(run.k, of_.head_dim, floats.data());
        double most = 0;
        for (index d = 0; d < of_.head_dim; ++d) {
          most = std::max(most, static_cast<double>(std::abs(want[d])));
        }
        double const turn = 3e-7 * std::max(most, 1.0);
        double const allowed = stored_.turn_error(most + turn, of_.head_dim) + turn;
        for (index d = 0; d < of_.head_dim; ++d) {
          if (!(std::abs(static_cast<double>(got[d]) - want[d]) <= allowed)) {
            return "a turned key differs";
          }
          want[d] = got[d];
        }
      }
    }
    return "";
  }
  /// Rows to append, and what they become.
  fresh_rows fresh(index n) {
    fresh_rows rows(of_, n, seed_);
    for (token& t : rows.list) stored_.keep(of_, t);
    return rows;
  }

  /// Rows one by one.
  std::string compare(sequence const& s) {
    if (!failed_.empty()) return failed_;
    any_source const source = s.memory->source();
    if (!s.list.tokens.empty() && source.positions().end != s.list.end()) return "its end differs";
    if (s.list.tokens.empty() && !source.positions().empty()) return "it holds rows, the list none";
    index const probe = s.list.end() - choose_.below(std::ssize(s.list.tokens) + 1);
    if (!s.list.tokens.empty() && s.memory->can_resume(probe) != s.list.can_resume(probe)) {
      return "can_resume differs";
    }
    range const all = source.positions();
    range const lost = source.lost();
    for (index p = s.list.first; p < s.list.end(); ++p) {
      bool const held = all.contains(p) && !lost.contains(p);
      if (held != s.list.holds(p)) return held ? "it holds a lost row" : "it lost a row";
      if (!held && !lost.contains(p)) return "a row is neither held nor lost";
    }
    std::vector<float> k_row(static_cast<std::size_t>(of_.head_dim));
    std::vector<float> v_row(static_cast<std::size_t>(of_.v_dim));
    for (index h = 0; h < of_.kv_heads; ++h) {
      for (index p = s.list.first; p < s.list.end();) {
        if (!s.list.holds(p)) {
          ++p;
          continue;
        }
        kv_run const run = source.run_at(h, p);
        if (run.first != p || run.rows < 1) return "a run does not begin where it was asked";
        if (p + run.rows > s.list.end()) return "a run goes beyond the end";
        for (index i = 0; i < run.rows; ++i, ++p) {
          if (!s.list.holds(p)) return "a run goes into lost rows";
          token const& t = s.list.at(p);
          kv_run const one = run.from(i);
          float const* const k = one.floats(one.k, of_.head_dim, k_row.data());
          float const* const v = one.floats(one.v, of_.v_dim, v_row.data());
          if (!std::equal(k, k + of_.head_dim, t.k.data() + h * of_.head_dim)) {
            return "a key differs";
          }
          if (!std::equal(v, v + of_.v_dim, t.v.data() + h * of_.v_dim)) return "a value differs";
        }
      }
    }
    return "";
  }

  /// Attention of a few fresh tokens behind what is held, against sums over the list.
  std::string attend(sequence const& s) {
    index const n = choose_.between(1, 3);
    fresh_rows const rows = fresh(n);
    index const group = choose_.between(1, 2);
    std::vector<float> q(static_cast<std::size_t>(n * of_.kv_heads * group * of_.head_dim));
    for (std::size_t i = 0; i < q.size(); ++i) q[i] = 3.0f * rows.k[i % (rows.k.size() - 1)];
    index const heads = of_.kv_heads * group;
    index const window = of_.window > 0 ? of_.window : choose_.between(1, 20);
    any_source const past = s.memory->source();
    // Through joined, or what is held alone.
    bool const with_fresh = choose_.coin();
    index const end = s.list.tokens.empty() ? past.positions().end : s.list.end();
    index const first_query = with_fresh ? end : end - 1;
    index const tokens = with_fresh ? n : 1;
    bool const in_chunks = kind_ == 1;
    any_mask mask = causal{} & (sliding_window{window} | sinks{of_.sinks});
    if (in_chunks) mask = causal{} & chunked{window};
    std::vector<float> out(static_cast<std::size_t>(tokens * heads * of_.v_dim), poison);
    attention call{.q = {q.data(), tokens, heads, of_.head_dim},
                   .kv = with_fresh ? s.memory->joined_to(past, rows, end) : past,
                   .mask = mask,
                   .out = {out.data(), tokens, heads, of_.v_dim}};
    call.first_query = first_query;
    auto const sees = [&](index query, index key) { return mask.visible(query, key); };
    bool reaches_lost = false;
    for (index t = 0; t < tokens; ++t) {
      for (index p = s.list.first; p < s.list.end(); ++p) {
        reaches_lost = reaches_lost || (sees(first_query + t, p) && s.list.at(p).lost);
      }
    }
    attend_plan const plan = plan_attend(bounds_of(call));
    if (workspace_.size() < static_cast<std::size_t>(plan.workspace_bytes() / 64 + 2)) {
      workspace_.resize(static_cast<std::size_t>(plan.workspace_bytes() / 64 + 2));
    }
    workspace const memory{{reinterpret_cast<std::byte*>(workspace_.data()),
                            static_cast<std::size_t>(plan.workspace_bytes())}};
    status const got = v0::attend(plan, call, memory);
    if (reaches_lost != (got.code == errc::evicted)) {
      return std::string("attend should refuse lost rows only, and says: ") + got.what;
    }
    if (reaches_lost) return "";
    if (!got.ok()) return std::string("attend says: ") + got.what;
    for (index t = 0; t < tokens; ++t) {
      index const position = first_query + t;
      for (index h = 0; h < heads; ++h) {
        index const head = h / group;
        std::vector<double> sum(static_cast<std::size_t>(of_.v_dim));
        double total = 0;
        double const scale = 1.0 / std::sqrt(static_cast<double>(of_.head_dim));
        for (index p = s.list.tokens.empty() ? end : s.list.first; p < end + (with_fresh ? n : 0);
             ++p) {
          if (!sees(position, p)) continue;
          token const& of = p < end ? s.list.at(p) : rows.list[static_cast<std::size_t>(p - end)];
          double dot = 0;
          for (index d = 0; d < of_.head_dim; ++d) {
            dot += static_cast<double>(
                       q[static_cast<std::size_t>((t * heads + h) * of_.head_dim + d)]) *
                   of.k[static_cast<std::size_t>(head * of_.head_dim + d)];
          }
          double const weight = std::exp(scale * dot);
          total += weight;
          for (index d = 0; d < of_.v_dim; ++d) {
            sum[static_cast<std::size_t>(d)] +=
                weight * of.v[static_cast<std::size_t>(head * of_.v_dim + d)];
          }
        }
        for (index d = 0; d < of_.v_dim; ++d) {
          double const want = total > 0 ? sum[static_cast<std::size_t>(d)] / total : 0;
          double const x = out[static_cast<std::size_t>((t * heads + h) * of_.v_dim + d)];
          if (!(std::abs(x - want) < 1e-4)) return "attention differs";
        }
      }
    }
    return "";
  }

  choices& choose_;
  std::uint64_t seed_;
  storage const& stored_;
  int kind_ = 0;
  sizes of_;
  rope rope_;
  std::shared_ptr<page_store::pool_memory> pages_;
  std::vector<sequence> all_;
  lines scratch_{4096};
  std::vector<line_type> workspace_;
  std::string failed_;
};

/// Runs `operations` of them, in worlds that store rows in each of these ways in turn; what went
/// wrong, in words, goes to `report`. Findings.
template <class Report>
index run(std::uint64_t seed, index operations, std::span<storage const> stored, Report&& report) {
  index findings = 0;
  std::size_t worlds = 0;
  for (index done = 0; done < operations;) {
    choices choose(seed + static_cast<std::uint64_t>(done) * 0x9e3779b97f4a7c15u);
    storage const& own = stored[worlds++ % stored.size()];
    world w(choose, own);
    index const length = std::min<index>(operations - done, 200);
    for (index i = 0; i < length; ++i, ++done) {
      std::string const found = w.step();
      if (found.empty()) continue;
      ++findings;
      report("operation " + std::to_string(done) + ", " + own.name + ": " + found);
      done += length - i;
      break;
    }
  }
  return findings;
}

}  // namespace oriel::model
