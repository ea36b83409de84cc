// SPDX-License-Identifier: BSL-1.0
#include "problem.hpp"

#include <algorithm>
#include <bit>
#include <numbers>
#include <random>

#include "clock.hpp"
#include "limits.hpp"

namespace bench {

/// Unit-normal floats, fast: a table of a prime length that is read round and round.
class normals {
 public:
  explicit normals(std::uint64_t seed) : table_(1048573) {
    std::mt19937_64 random(seed);
    std::uniform_real_distribution<double> uniform(0x1p-53, 1.0);
    for (float& x :
         table_) {  // Box and Muller; the standard's own normals differ between libraries
      x = static_cast<float>(std::sqrt(-2.0 * std::log(uniform(random))) *
                             std::cos(2.0 * std::numbers::pi * uniform(random)));
    }
  }
  void fill(float* to, index count) {
    while (count > 0) {
      index const n = oriel::min_of(count, static_cast<index>(table_.size()) - next_);
      std::copy_n(table_.data() + next_, n, to);
      next_ = (next_ + n) % static_cast<index>(table_.size());
      to += n;
      count -= n;
    }
  }

 private:
  std::vector<float> table_;
  index next_ = 0;
};

namespace {

/// Of a call whose rows see all that the mask shows.
visible_work count_visible(bench_case const& c, oriel::any_mask const& mask, oriel::range queries,
                           oriel::range keys) {
  constexpr index tokens = 64;  // bits of a word
  constexpr index block = 512;
  visible_work work;
  std::vector<char> seen(static_cast<std::size_t>(keys.size()));
  for (index q = queries.begin; q < queries.end; q += tokens) {
    oriel::row_tile const rows{0, static_cast<int>(oriel::min_of(tokens, queries.end - q)), 1, q};
    for (index k = keys.begin; k < keys.end; k += block) {
      oriel::range const part{k, oriel::min_of(k + block, keys.end)};
      oriel::coverage const covered = mask.cover(rows.queries(), part);
      if (covered == oriel::coverage::none) continue;
      char* const mark = seen.data() + (k - keys.begin);
      if (covered == oriel::coverage::all) {
        std::fill_n(mark, part.size(), char{1});
        work.pairs += rows.count * part.size();
        continue;
      }
      std::uint64_t word[block];
      mask.visible_rows(rows, part, word);
      for (index i = 0; i < part.size(); ++i) {
        if (word[i] != 0) mark[i] = 1;
        work.pairs += std::popcount(word[i]);
      }
    }
  }
  work.pairs *= c.q_heads;
  work.rows = c.kv_heads * std::count(seen.begin(), seen.end(), char{1});
  return work;
}

/// Adds the pairs that the mask shows one row of `keys`, and marks these in `seen`, which begins at
/// position `first`.
void add_row(oriel::any_mask const& mask, index query, oriel::range keys, index first,
             std::vector<char>& seen, visible_work& work) {
  oriel::range const one{query, query + 1};
  for (oriel::range const part : intersect(mask.reach(one), oriel::key_ranges(keys))) {
    char* const mark = seen.data() + (part.begin - first);
    if (mask.cover(one, part) == oriel::coverage::all) {
      work.pairs += part.size();
      std::fill_n(mark, part.size(), char{1});
      continue;
    }
    for (index key = part.begin; key < part.end; ++key) {
      if (!mask.visible(query, key)) continue;
      ++work.pairs;
      mark[key - part.begin] = 1;
    }
  }
}

/// Of a call whose rows choose their blocks.
visible_work count_chosen(oriel::attention const& call) {
  visible_work work;
  oriel::range const held = call.kv.positions();
  oriel::range const queries = call.queries();
  oriel::any_selector const& select = call.select;
  std::vector<char> seen;
  std::vector<float> row(static_cast<std::size_t>(call.q.dim));
  std::vector<index> chosen(static_cast<std::size_t>(select.most()));
  for (index kv_head = 0; kv_head < call.heads().kv_heads; ++kv_head) {
    seen.assign(static_cast<std::size_t>(held.size()), char{0});
    index const first_head = call.heads().first_q_head(kv_head);
    for (index t = 0; t < call.q.tokens; ++t) {
      index const query = queries.begin + t;
      for (index h = first_head; h < first_head + call.heads().group(); ++h) {
        if (query < select.dense_before()) {
          add_row(call.mask, query, held, held.begin, seen, work);
          continue;
        }
        call.q.visit([&](auto const& q) {
          auto const* const from = q.row(t, h);
          for (index d = 0; d < q.dim; ++d)
            row[static_cast<std::size_t>(d)] = static_cast<float>(from[d]);
        });
        index const count = select.choose({row.data(), query, h, kv_head, held}, chosen.data());
        for (index i = 0; i < count; ++i) {
          index const begin = chosen[static_cast<std::size_t>(i)] * select.block();
          oriel::range const block = intersect(held, oriel::range{begin, begin + select.block()});
          add_row(call.mask, query, block, held.begin, seen, work);
        }
      }
    }
    work.rows += std::count(seen.begin(), seen.end(), char{1});
    if (queries.end > select.dense_before()) {
      work.means += oriel::max_of(
          0, (queries.end - 1) / select.block() - oriel::ceil_div(held.begin, select.block()));
    }
  }
  return work;
}

/// a, then b; what is absent (nullptr) does nothing.
template <class A, class B>
auto joined_scores(A const& a, B const& b) {
  if constexpr (std::is_null_pointer_v<A>) {
    return b;
  } else if constexpr (std::is_null_pointer_v<B>) {
    return a;
  } else {
    return a >> b;
  }
}

/// The functors that are there, as a user would write them: one type.
oriel::any_score any_of(oriel::softcap const* cap, oriel::alibi const* slopes,
                        oriel::bias const* added) {
  auto const choose = [](auto const* functor, auto&& then) {
    return functor != nullptr ? then(*functor) : then(nullptr);
  };
  return choose(cap, [&](auto const& a) {
    return choose(slopes, [&](auto const& b) {
      return choose(added, [&](auto const& c) -> oriel::any_score {
        auto const all = joined_scores(joined_scores(a, b), c);
        if constexpr (std::is_null_pointer_v<std::remove_const_t<decltype(all)>>) {
          return {};
        } else {
          return all;
        }
      });
    });
  });
}

oriel::cache_shape ring_shape(bench_case const& c, index rows) {
  return {.window = rows, .kv_heads = c.kv_heads, .head_dim = c.dim, .v_dim = c.v_dim};
}

}  // namespace

element_tensor::element_tensor(oriel::element_type type, index tokens, index heads, index dim)
    : type_(type), tokens_(tokens), heads_(heads), dim_(dim) {
  std::size_t const each = type == oriel::element_type::f32 ? sizeof(float) : sizeof(oriel::bf16);
  bytes_.resize(static_cast<std::size_t>(size()) * each);
}

oriel::output_view element_tensor::view() noexcept {
  auto const of = [&]<class T>(T* data) { return oriel::output_view(data, tokens_, heads_, dim_); };
  switch (type_) {
    case oriel::element_type::bf16: return of(reinterpret_cast<oriel::bf16*>(bytes_.data()));
    case oriel::element_type::f16: return of(reinterpret_cast<oriel::f16*>(bytes_.data()));
    case oriel::element_type::f32: break;
  }
  return of(reinterpret_cast<float*>(bytes_.data()));
}

void element_tensor::set(std::vector<float> const& numbers) noexcept {
  view().visit([&]<class T>(oriel::tensor_view<T> const& to) {
    std::transform(numbers.begin(), numbers.end(), to.data, [](float x) { return T(x); });
  });
}

problem::problem(bench_case const& c)
    : case_(c),
      held_(c.held_rows()),
      first_(c.first_row()),
      mask_(c.mask, queries(), keys()),
      all_(count_visible(c, mask_.mask(), queries(), keys())),
      visible_(all_),
      instance_bytes_(oriel::round_up(c.kv_bytes(held_), oriel::storage_alignment)),
      instances_(1),
      q_(c.q_type, c.q_len, c.q_heads, c.dim),
      out_(c.out_type, c.q_len, c.q_heads, c.v_dim),
      plan_(oriel::plan_attend({.q_len = c.q_len,
                                .kv_len = held_,
                                .q_heads = c.q_heads,
                                .kv_heads = c.kv_heads,
                                .head_dim = c.dim,
                                .chosen_blocks = c.top_k,
                                .v_dim = c.v_dim,
                                .coded = c.stored != storage::f32,
                                .narrow_q = c.q_type != oriel::element_type::f32},
                               c.threads)),
      workspace_(plan_.workspace_bytes()) {
  if (c.what != kind::prefill) {
    constexpr index most_memory = index{2} << 30;
    index const read =
        c.chooses() ? c.kv_bytes(oriel::min_of(held_, oriel::saturating_mul(c.block, c.top_k)))
                    : static_cast<index>(visible_bytes());
    index const enough = oriel::ceil_div(stream_bytes(), oriel::max_of(1, read));
    instances_ = std::clamp<index>(most_memory / instance_bytes_, 1, oriel::max_of(1, enough));
  }
  memory_ = std::make_unique<pages>(instance_bytes_ * instances_);
  if (c.chooses()) make_means();
  fill();
  fill_score();
  if (c.chooses()) count_chosen();
}

void problem::make_means() {
  oriel::block_shape const shape{.block = case_.block,
                                 .blocks = oriel::max_of(1, held_ / case_.block),
                                 .kv_heads = case_.kv_heads,
                                 .head_dim = case_.dim};
  auto const count = static_cast<std::size_t>(instances_);
  means_memory_.reserve(count);  // calls refer to the means: they stay put
  means_.reserve(count);
  for (std::size_t i = 0; i < count; ++i) {
    auto& memory = means_memory_.emplace_back(oriel::block_means::required_bytes(shape));
    means_.emplace_back(memory.span(), shape);
  }
}

void problem::take_means(index instance, oriel::tensor_view<float const> k, index first) {
  if (!case_.chooses()) return;
  double const start = thread_seconds();
  oriel::status const s = means_[static_cast<std::size_t>(instance)].append(k, first);
  means_seconds_ += (thread_seconds() - start) / static_cast<double>(instances_);
  if (!s.ok()) throw std::logic_error(s.what);
}

void problem::count_chosen() {
  visible_ = {};
  for (index i = 0; i < instances_; ++i) {
    visible_work const work = bench::count_chosen(call(i));
    visible_.pairs += work.pairs;
    visible_.rows += work.rows;
    visible_.means += work.means;
  }
  visible_.pairs /= instances_;
  visible_.rows /= instances_;
  visible_.means /= instances_;
}

void problem::fill_score() {
  normals random(20240608);
  score_choice const& s = case_.score;
  if (s.sink_logits) {
    sink_logits_.resize(static_cast<std::size_t>(case_.q_heads));
    random.fill(sink_logits_.data(), case_.q_heads);
  }
  if (s.bias) {
    bias_.resize(static_cast<std::size_t>(case_.q_len * held_));
    random.fill(bias_.data(), static_cast<index>(bias_.size()));
  }
  for (index h = 0; s.alibi && h < case_.q_heads; ++h) {
    slopes_.push_back(oriel::alibi_slope(h, case_.q_heads));
  }
  oriel::softcap const cap{s.softcap.value_or(1.0f)};
  oriel::alibi const slopes{slopes_};
  oriel::bias const added{
      .data = bias_.data(), .queries = queries(), .keys = keys(), .query_stride = held_};
  score_ =
      any_of(s.softcap ? &cap : nullptr, s.alibi ? &slopes : nullptr, s.bias ? &added : nullptr);
}

template <class Codec>
oriel::coded_view<Codec, std::byte> problem::coded_at(Codec, index instance,
                                                      bool keys) const noexcept {
  index const key_bytes = Codec::row_bytes(case_.dim);
  std::byte* const k = memory_->data() + instance * instance_bytes_;
  std::byte* const data = keys ? k : k + held_ * case_.kv_heads * key_bytes;
  index const dim = keys ? case_.dim : case_.v_dim;
  index const row = Codec::row_bytes(dim);
  bool const by_token = case_.memory == layout::tokens;
  return {data,
          held_,
          case_.kv_heads,
          dim,
          by_token ? case_.kv_heads * row : row,
          by_token ? row : held_ * row};
}

template <class Codec>
void problem::fill_coded(Codec codec) {
  normals random(20240607);
  fill_queries(random);
  index const keys = case_.kv_heads * case_.dim;
  std::vector<float> row(static_cast<std::size_t>(std::max(keys, case_.kv_heads * case_.v_dim)));
  for (index i = 0; i < instances_; ++i) {
    for (bool const is_key : {true, false}) {
      auto const to = coded_at(codec, i, is_key);
      for (index t = 0; t < held_; ++t) {
        random.fill(row.data(), case_.kv_heads * to.dim);
        for (index h = 0; h < case_.kv_heads; ++h) {
          codec.template encode<oriel::default_arch>(row.data() + h * to.dim, to.dim, h,
                                                     to.row(t, h));
        }
        if (is_key) take_means(i, {row.data(), 1, case_.kv_heads, case_.dim}, first_ + t);
      }
    }
  }
}

void problem::fill_queries(normals& random) {
  std::vector<float> numbers(static_cast<std::size_t>(q_.size()));
  random.fill(numbers.data(), q_.size());
  q_.set(numbers);
}

void problem::fill() {
  if (case_.stored != storage::f32) {
    return with_codec(case_.stored, [&](auto codec) { fill_coded(codec); });
  }
  normals random(20240607);
  fill_queries(random);
  if (case_.from == source::contiguous) {
    auto const all = memory_->floats();
    random.fill(all.data(), static_cast<index>(all.size()));
    for (index i = 0; i < instances_; ++i) take_means(i, keys_at(i), first_);
    return;
  }
  oriel::cache_shape const shape = ring_shape(case_, held_);
  constexpr index piece = 256;
  std::vector<float> k(static_cast<std::size_t>(piece * case_.kv_heads * case_.dim));
  std::vector<float> v(static_cast<std::size_t>(piece * case_.kv_heads * case_.v_dim));
  rings_.reserve(static_cast<std::size_t>(instances_));  // calls refer to the rings: they stay put
  for (index i = 0; i < instances_; ++i) {
    auto& ring = rings_.emplace_back(
        std::span(memory_->data() + i * instance_bytes_, static_cast<std::size_t>(instance_bytes_)),
        shape);
    for (index done = 0; done < held_; done += piece) {
      index const rows = oriel::min_of(piece, held_ - done);
      random.fill(k.data(), static_cast<index>(k.size()));
      random.fill(v.data(), static_cast<index>(v.size()));
      oriel::tensor_view<float const> const new_k(k.data(), rows, case_.kv_heads, case_.dim);
      oriel::status const s =
          ring.append(new_k, {v.data(), rows, case_.kv_heads, case_.v_dim}, first_ + done);
      if (!s.ok()) throw std::logic_error(s.what);
      take_means(i, new_k, first_ + done);
    }
  }
}

oriel::tensor_view<float const> problem::rows_at(float const* data, index dim) const noexcept {
  if (case_.memory == layout::tokens) return {data, held_, case_.kv_heads, dim};
  return {data, held_, case_.kv_heads, dim, dim, held_ * dim};
}

oriel::tensor_view<float const> problem::keys_at(index instance) const noexcept {
  auto const* const k = memory_->data() + instance * instance_bytes_;
  return rows_at(reinterpret_cast<float const*>(k), case_.dim);
}

oriel::contiguous problem::contiguous_at(index instance) const noexcept {
  if (case_.stored != storage::f32) {
    return with_codec(case_.stored, [&](auto codec) {
      return oriel::contiguous(coded_at(codec, instance, true), coded_at(codec, instance, false),
                               first_);
    });
  }
  auto const k = keys_at(instance);
  return {k, rows_at(k.data + held_ * case_.kv_heads * case_.dim, case_.v_dim), first_};
}

oriel::attention problem::call(index instance) {
  oriel::attention of = dense_call(instance);
  if (case_.chooses()) {
    oriel::block_means const& means = means_[static_cast<std::size_t>(instance)];
    of.select = oriel::moba(means, case_.top_k);
  }
  return of;
}

oriel::attention problem::dense_call(index instance) {
  oriel::any_source const kv = case_.from == source::rolling
                                   ? oriel::any_source(static_cast<oriel::rolling_cache<> const&>(
                                         rings_[static_cast<std::size_t>(instance)]))
                                   : oriel::any_source(contiguous_at(instance));
  return {.q = q_.view().visit([](auto const& q) { return oriel::input_view(q); }),
          .kv = kv,
          .mask = mask_.mask(),
          .score = score_,
          .sink_logits = sink_logits_,
          .out = out_.view(),
          .compute = case_.compute};
}

double problem::useful_flops() const noexcept {
  return 2.0 * static_cast<double>(case_.dim + case_.v_dim) * static_cast<double>(visible_.pairs);
}

double problem::bytes_of(visible_work const& work) const noexcept {
  auto const mean_bytes = static_cast<double>(case_.dim) * sizeof(float);
  return static_cast<double>(case_.row_bytes()) * static_cast<double>(work.rows) +
         mean_bytes * static_cast<double>(work.means);
}

index problem::means_bytes() const noexcept {
  return means_.empty() ? 0 : oriel::block_means::required_bytes(means_[0].shape());
}

index problem::tensor_bytes() const noexcept {
  return case_.kv_bytes(held_) + case_.q_bytes() + case_.out_bytes();
}

double problem::ideal() const noexcept {
  if (case_.what == kind::decode) return bytes_of(all_) / bytes_of(visible_);
  return static_cast<double>(all_.pairs) / static_cast<double>(visible_.pairs);
}

}  // namespace bench
