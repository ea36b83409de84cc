// SPDX-License-Identifier: BSL-1.0
// Every kind of memory behind the same operations: rings of each codec, a caller's tensors, pages.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "../codec_error.hpp"
#include "oriel/oriel.hpp"
#include "row_list.hpp"

namespace oriel::model {

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

}  // namespace oriel::model
