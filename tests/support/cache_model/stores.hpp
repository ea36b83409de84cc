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

/// A byte that reads as NaN, or as numbers that no row has.
template <class Codec>
inline constexpr std::byte dead{
    std::is_same_v<Codec, scaled_int8> || std::is_same_v<Codec, scaled_int4> ? 0x80 : 0xff};

template <class T>
T element_of(elements<T>);

/// How a caller's rows are stored, and a view of them; strides are in bytes.
struct row_kind {
  index (*row_bytes)(index dim) = nullptr;
  storage_view (*view)(std::byte* data, index tokens, sizes const& of, index dim,
                       index token_stride, index head_stride) = nullptr;
  std::byte dead_byte = {};

  template <class Codec, bool Keys>
  static row_kind of() {
    return {[](index dim) { return Codec::row_bytes(dim); },
            [](std::byte* data, index tokens, sizes const& s, index dim, index t, index h) {
              if constexpr (requires { element_of(Codec{}); }) {
                using type = decltype(element_of(Codec{}));
                constexpr index size = sizeof(type);
                return storage_view(tensor_view<type>(reinterpret_cast<type*>(data), tokens,
                                                      s.kv_heads, dim, t / size, h / size));
              } else {
                static Codec const codec = a_codec<Codec>(Keys);
                return storage_view(
                    coded_view<Codec, std::byte>(data, tokens, s.kv_heads, dim, t, h, codec));
              }
            },
            dead<Codec>};
  }
};

/// Through bytes into `to`, over whatever another sequence has left there; a byte that is not what
/// was saved is noticed, whichever.
template <class Cache>
bool reload_into(Cache& to, Cache const& from, sizes const& of, choices& choose) {
  std::uint64_t seed = 1;
  fresh_rows const old(of, choose.below(9), seed);
  if (!to.append(old.k_view, old.v_view, 3).ok()) return false;
  std::vector<std::byte> saved(static_cast<std::size_t>(from.saved_bytes()));
  if (!from.save(saved).ok() || !to.restore(saved).ok()) return false;
  auto& byte = saved[static_cast<std::size_t>(choose.below(std::ssize(saved)))];
  byte ^= static_cast<std::byte>(1 << choose.below(8));
  return to.restore(saved).code == errc::saved;
}

/// By slot: does a cache hold a row before `end` there?
template <class Cache>
std::vector<bool> held_before(Cache const& cache, index end) {
  std::vector<bool> held(static_cast<std::size_t>(cache.capacity()));
  for (index p = cache.positions().begin; p < end; ++p) {
    if (!cache.lost().contains(p)) held[static_cast<std::size_t>(cache.slot(p))] = true;
  }
  return held;
}
/// NaN in every row of a cache in `bytes` that is not held.
template <class K, class V>
void poison_rows(rolling_cache<K, V> const& cache, cache_shape const& shape, std::byte* bytes) {
  using k_codec = codec_of<K>;
  using v_codec = codec_of<V>;
  index const capacity = cache.capacity();
  auto const held = held_before(cache, cache.positions().end);
  index const rows = capacity * shape.kv_heads;
  index const k_bytes = k_codec::row_bytes(shape.head_dim);
  index const v_bytes = v_codec::row_bytes(shape.value_dim());
  std::byte* const v = bytes + cache.required_bytes(shape) - rows * v_bytes;
  for (index row = 0; row < rows; ++row) {
    if (held[static_cast<std::size_t>(row % capacity)]) continue;
    std::fill_n(bytes + row * k_bytes, k_bytes, dead<k_codec>);
    std::fill_n(v + row * v_bytes, v_bytes, dead<v_codec>);
  }
}
template <int Bits, int Group>
void poison_rows(kivi_cache<Bits, Group> const& cache, cache_shape const& shape, std::byte* bytes) {
  using kind = kivi_cache<Bits, Group>;
  range const floats = cache.floats();
  index const rows = Group + shape.margin - 1;
  index const v_dim = shape.value_dim();
  std::vector<bool> float_held(static_cast<std::size_t>(rows));
  for (index p = floats.begin; p < floats.end; ++p) {
    float_held[static_cast<std::size_t>(cache.float_slot(p))] = true;
  }
  auto* const k = reinterpret_cast<float*>(bytes);
  float* const v = k + rows * shape.kv_heads * shape.head_dim;
  for (index i = 0; i < rows * shape.kv_heads; ++i) {
    if (float_held[static_cast<std::size_t>(i % rows)]) continue;
    std::fill_n(k + i * shape.head_dim, shape.head_dim, poison);
    std::fill_n(v + i * v_dim, v_dim, poison);
  }
  index const capacity = cache.capacity();
  auto const held = held_before(cache, round_down(cache.positions().end, Group));
  index const k_bytes = kind::key_groups::row_bytes(shape.head_dim);
  index const v_bytes = kind::v_codec::row_bytes(v_dim);
  auto* const k_groups = reinterpret_cast<std::byte*>(v + rows * shape.kv_heads * v_dim);
  std::byte* const v_groups = k_groups + capacity * shape.kv_heads * k_bytes;
  for (index i = 0; i < capacity * shape.kv_heads; ++i) {
    if (!held[static_cast<std::size_t>(i % capacity)]) {
      std::fill_n(v_groups + i * v_bytes, v_bytes, std::byte{0xff});
    }
    // The last row of a group that is held is.
    if (!held[static_cast<std::size_t>(round_down(i % capacity, Group) + Group - 1)]) {
      std::fill_n(k_groups + i * k_bytes, k_bytes, std::byte{0xff});
    }
  }
}

/// What a cache of the library does; Self is the kind made of it, from sizes.
template <class Self, class Cache>
class cache_store : public store {
 public:
  status append(fresh_rows const& rows, index first) override {
    return cache_.append(rows.k_view, rows.v_view, first);
  }
  status truncate(index position) override { return cache_.truncate(position); }
  status erase(range erased, rope const* by, workspace memory) override {
    return by != nullptr ? cache_.erase(erased, *by, memory) : cache_.erase(erased);
  }
  std::unique_ptr<store> fork() override {
    auto other = std::make_unique<Self>(of_);
    cache_store& to = *other;
    return to.cache_.copy(cache_).ok() ? std::move(other) : nullptr;
  }
  std::unique_ptr<store> reload(choices& choose) override {
    auto other = std::make_unique<Self>(of_);
    cache_store& to = *other;
    return reload_into(to.cache_, cache_, of_, choose) ? std::move(other) : nullptr;
  }
  bool can_resume(index position) const override { return cache_.can_resume(position); }
  any_source source() const override { return cache_; }
  any_source joined_to(any_source const&, fresh_rows const& rows, index first) const override {
    return joined<Cache>(cache_, rows.k_view, rows.v_view, first);
  }
  void poison_dead() override { poison_rows(cache_, shape_, bytes_.span().data()); }

 protected:
  template <class... Codecs>
  explicit cache_store(sizes const& s, Codecs const&... codecs)
      : of_(s),
        shape_{.window = s.window,
               .kv_heads = s.kv_heads,
               .head_dim = s.head_dim,
               .v_dim = s.v_dim,
               .margin = s.margin,
               .sinks = s.sinks},
        bytes_(Cache::required_bytes(shape_)),
        cache_(bytes_.span(), shape_, codecs...) {}

  sizes of_;
  cache_shape shape_;
  lines bytes_;
  Cache cache_;
};

template <class K = f32, class V = K>
class ring_store final : public cache_store<ring_store<K, V>, rolling_cache<K, V>> {
 public:
  using cache = rolling_cache<K, V>;
  using k_codec = typename cache::k_codec;
  using v_codec = typename cache::v_codec;
  explicit ring_store(sizes const& s)
      : base(s, codec_pair<k_codec, v_codec>{a_codec<k_codec>(true), a_codec<v_codec>(false)}) {}

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
  using base = cache_store<ring_store, cache>;
  template <class Codec>
  static void round_trip(Codec const& codec, float* row, index dim, index head) {
    std::vector<std::byte> stored(static_cast<std::size_t>(Codec::row_bytes(dim)));
    codec.template encode<default_arch>(row, dim, head, stored.data());
    codec.template read<default_arch>({stored.data(), 0, head, 0, 1, dim}, row);
  }
};

/// A ring of groups of keys.
template <int Bits, int Group>
class kivi_store final : public cache_store<kivi_store<Bits, Group>, kivi_cache<Bits, Group>> {
 public:
  explicit kivi_store(sizes const& s) : cache_store<kivi_store, kivi_cache<Bits, Group>>(s) {}
};

/// A sequence of a model whose layers are a ring, whatever there is, and the ring's rows again,
/// which is the one that is looked at.
template <class K, class V = K>
class model_store final : public store {
 public:
  using model = model_cache<K, V>;
  using cache = typename model::layer_cache;
  struct model_memory {
    static constexpr index context = 340;  ///< more than a list ever has
    std::vector<layer_config> layers;
    model_config config;
    lines bytes;
    model all;
    std::vector<bool> used;

    explicit model_memory(sizes const& s)
        : layers{{.kind = layer_kind::window,
                  .keys = s.window,
                  .kv_heads = s.kv_heads,
                  .head_dim = s.head_dim,
                  .v_dim = s.v_dim,
                  .sinks = s.sinks},
                 {.kv_heads = s.kv_heads, .head_dim = s.head_dim, .v_dim = s.v_dim},
                 {.kind = layer_kind::shared, .of = 0}},
          config{.layers = layers, .context = context, .sequences = 5, .margin = s.margin},
          bytes(model::required_bytes(config)),
          all(bytes.span(), config),
          used(5) {}
  };

  model_store(std::shared_ptr<model_memory> memory, sizes const& s)
      : memory_(std::move(memory)), all_(memory_->all), of_(s) {
    while (memory_->used[static_cast<std::size_t>(own_)]) ++own_;
    memory_->used[static_cast<std::size_t>(own_)] = true;
  }
  ~model_store() override {
    (void)all_.drop(own_);
    memory_->used[static_cast<std::size_t>(own_)] = false;
  }
  model_store(model_store const&) = delete;

  status append(fresh_rows const& rows, index first) override {
    if (all_.empty(own_) && rows.k_view.tokens > 0) first_ = first;
    for (index layer = 0; layer < 2; ++layer) {
      status const s = all_.append(own_, layer, rows.k_view, rows.v_view, first);
      if (!s.ok()) return s;
    }
    return {};
  }
  status truncate(index position) override {
    if (!all_.empty(own_)) return all_.truncate(own_, position);
    return position == first_ ? status{} : status{errc::position};  // it has forgotten that
  }
  status erase(range erased, rope const* by, workspace memory) override {
    if (all_.empty(own_) && erased.empty()) return {};
    if (by != nullptr) return all_.erase(own_, erased, {by, 1}, memory);
    return all_.erase(own_, erased);
  }
  std::unique_ptr<store> fork() override {
    auto other = another();
    return all_.fork(own_, other->own_).ok() ? std::move(other) : nullptr;
  }
  std::unique_ptr<store> reload(choices& choose) override {
    auto other = another();
    std::uint64_t seed = 1;
    fresh_rows const old(of_, choose.below(9), seed);
    if (!other->append(old, 3).ok()) return nullptr;
    other->first_ = first_;
    std::vector<std::byte> saved(static_cast<std::size_t>(all_.saved_bytes(own_)));
    if (!all_.save(own_, saved).ok() || !all_.restore(other->own_, saved).ok()) return nullptr;
    auto& byte = saved[static_cast<std::size_t>(choose.below(std::ssize(saved)))];
    byte ^= static_cast<std::byte>(1 << choose.below(8));
    return all_.restore(other->own_, saved).code == errc::saved ? std::move(other) : nullptr;
  }
  void poison_dead() override {
    index size[2];
    for (index layer = 0; layer < 2; ++layer) {
      size[layer] = round_up(cache::required_bytes(shape(layer)), storage_alignment);
    }
    index const sequence = size[0] + size[1];
    std::byte* const rows = memory_->bytes.span().data() + model::required_bytes(memory_->config) -
                            (memory_->config.sequences - own_) * sequence;
    poison_rows(all_.at(own_, 0), shape(0), rows);
    poison_rows(all_.at(own_, 1), shape(1), rows + size[0]);
  }
  bool can_resume(index position) const override { return all_.can_resume(own_, position); }
  any_source source() const override { return all_.at(own_, 2); }
  any_source joined_to(any_source const&, fresh_rows const& rows, index first) const override {
    return joined<cache>(all_.at(own_, 2), rows.k_view, rows.v_view, first);
  }

 private:
  std::unique_ptr<model_store> another() const {
    auto other = std::make_unique<model_store>(memory_, of_);
    other->first_ = first_;
    return other;
  }
  cache_shape shape(index layer) const { return memory_->config.shape_of(layer, cache::group); }

  std::shared_ptr<model_memory> memory_;
  model& all_;
  sizes of_;
  index own_ = 0;
  index first_ = 0;
};

/// A caller's memory with room for `room` tokens, token-major or head-major.
class tensor_store final : public store {
 public:
  static constexpr index room = 96;
  tensor_store(sizes const& s, row_kind const& k, row_kind const& v, bool head_major)
      : of_(s),
        head_major_(head_major),
        k_kind_(k),
        v_kind_(v),
        k_(room * s.kv_heads * k.row_bytes(s.head_dim)),
        v_(room * s.kv_heads * v.row_bytes(s.v_dim)) {}
  status append(fresh_rows const& rows, index first) override {
    if (tokens_ == 0 && rows.k_view.tokens > 0) first_ = first;
    status const s = store_rows(k(room), v(room), tokens_, rows.k_view, rows.v_view);
    if (s.ok()) tokens_ += rows.k_view.tokens;
    return s;
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
    wipe(k(room).slice({tokens_, room}), k_kind_.dead_byte);
    wipe(v(room).slice({tokens_, room}), v_kind_.dead_byte);
  }
  /// Fills the rows of a view.
  static void wipe(storage_view const& rows, std::byte with) {
    for (index t = 0; t < rows.tokens; ++t) {
      for (index h = 0; h < rows.heads; ++h) {
        std::fill_n(rows.bytes().row(t, h), rows.row_bytes, with);
      }
    }
  }
  bool can_resume(index position) const override {
    return position >= first_ && position <= first_ + tokens_;
  }
  any_source source() const override {
    auto& self = const_cast<tensor_store&>(*this);
    return contiguous(self.k(tokens_), self.v(tokens_), first_);
  }

 private:
  storage_view view(row_kind const& kind, lines& rows, index dim, index tokens) const {
    index const row = kind.row_bytes(dim);
    index const token_stride = head_major_ ? row : of_.kv_heads * row;
    return kind.view(rows.span().data(), tokens, of_, dim, token_stride,
                     head_major_ ? room * row : row);
  }
  storage_view k(index tokens) { return view(k_kind_, k_, of_.head_dim, tokens); }
  storage_view v(index tokens) { return view(v_kind_, v_, of_.v_dim, tokens); }

  sizes of_;
  bool head_major_;
  row_kind k_kind_, v_kind_;
  lines k_, v_;
  index tokens_ = 0, first_ = 0;
};

/// Pages of a pool that sequences share; a page is copied when it is written to and is not the
/// sequence's alone.
class page_store final : public store {
 public:
  struct pool_memory {
    sizes of;
    page_pool pool;
    lines bytes{0};
    std::byte dead_k, dead_v;
    std::vector<int> users;
    choices order;

    pool_memory(sizes const& s, row_kind const& k, row_kind const& v, index page_size, int layout,
                index pages, std::uint64_t seed)
        : of(s),
          dead_k(k.dead_byte),
          dead_v(v.dead_byte),
          users(static_cast<std::size_t>(pages)),
          order(seed) {
      index const k_row = k.row_bytes(s.head_dim), v_row = v.row_bytes(s.v_dim);
      index const k_page = round_up(page_size * s.kv_heads * k_row, 4);
      index const v_page = round_up(page_size * s.kv_heads * v_row, 4);
      bytes = lines(pages * (k_page + v_page));
      bool const head_major = (layout & 1) != 0, together = (layout & 2) != 0;
      bool const backwards = (layout & 4) != 0;  // the last page first
      index const k_step = together ? k_page + v_page : k_page;
      index const v_step = together ? k_page + v_page : v_page;
      auto const page = [&](row_kind const& kind, index at, index step, index dim, index row) {
        return kind.view(bytes.span().data() + at + (backwards ? (pages - 1) * step : 0), page_size,
                         s, dim, head_major ? row : s.kv_heads * row,
                         head_major ? page_size * row : row);
      };
      pool.k = page(k, 0, k_step, s.head_dim, k_row);
      pool.v = page(v, together ? k_page : pages * k_page, v_step, s.v_dim, v_row);
      pool.pages = pages;
      pool.k_page_stride = (backwards ? -k_step : k_step) / pool.k.stride_unit;
      pool.v_page_stride = (backwards ? -v_step : v_step) / pool.v.stride_unit;
      for (index i = 0; i < pages; ++i) wipe(i, 0);
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
      range const rest{from, pool.page_size()};
      tensor_store::wipe(pool.k_page(page).slice(rest), dead_k);
      tensor_store::wipe(pool.v_page(page).slice(rest), dead_v);
    }
  };

  page_store(std::shared_ptr<pool_memory> memory, sizes const& s)
      : memory_(std::move(memory)), of_(s) {}
  ~page_store() override { shrink(0); }
  page_store(page_store const&) = delete;

  status append(fresh_rows const& rows, index first) override {
    index const more = rows.k_view.tokens;
    if (more == 0) return {};
    if (tokens_ == 0) first_ = first;
    index const size = memory_->pool.page_size();
    if (tokens_ % size != 0) own(tokens_ / size);
    while (std::ssize(table_) * size < tokens_ + more) table_.push_back(memory_->take());
    status const s = store_rows(memory_->pool, table_, tokens_, rows.k_view, rows.v_view);
    if (s.ok()) tokens_ += more;
    return s;
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
    copy_rows(pool.k_page(number), pool.k_page(copy));
    copy_rows(pool.v_page(number), pool.v_page(copy));
    memory_->drop(number);
    number = copy;
  }
  static void copy_rows(storage_view const& from, storage_view const& to) {
    for (index t = 0; t < to.tokens; ++t) {
      for (index h = 0; h < to.heads; ++h) {
        std::copy_n(from.bytes().row(t, h), to.row_bytes, to.bytes().row(t, h));
      }
    }
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
