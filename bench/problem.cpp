// SPDX-License-Identifier: BSL-1.0
#include "problem.hpp"

#include <algorithm>
#include <bit>
#include <numbers>
#include <random>

#include "limits.hpp"

namespace bench {
namespace {

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

visible_work count_visible(oriel::any_mask const& mask, oriel::range queries, oriel::range keys) {
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
  work.keys = std::count(seen.begin(), seen.end(), char{1});
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

problem::problem(bench_case const& c)
    : case_(c),
      held_(c.held_rows()),
      first_(c.first_row()),
      mask_(c.mask, queries(), keys()),
      visible_(count_visible(mask_.mask(), queries(), keys())),
      instance_bytes_(oriel::round_up(c.kv_bytes(held_), oriel::storage_alignment)),
      instances_(1),
      q_(static_cast<std::size_t>(c.q_len * c.q_heads * c.dim)),
      out_(static_cast<std::size_t>(c.q_len * c.q_heads * c.v_dim)),
      plan_(oriel::plan_attend({.q_len = c.q_len,
                                .kv_len = held_,
                                .q_heads = c.q_heads,
                                .kv_heads = c.kv_heads,
                                .head_dim = c.dim,
                                .v_dim = c.v_dim},
                               c.threads)),
      workspace_(plan_.workspace_bytes()) {
  if (c.what != kind::prefill) {
    constexpr index most_memory = index{2} << 30;
    index const enough =
        oriel::ceil_div(stream_bytes(), oriel::max_of(1, static_cast<index>(visible_bytes())));
    instances_ = std::clamp<index>(most_memory / instance_bytes_, 1, oriel::max_of(1, enough));
  }
  memory_ = std::make_unique<pages>(instance_bytes_ * instances_);
  fill();
  fill_score();
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

void problem::fill() {
  normals random(20240607);
  random.fill(q_.data(), static_cast<index>(q_.size()));
  if (case_.from == source::contiguous) {
    auto const all = memory_->floats();
    random.fill(all.data(), static_cast<index>(all.size()));
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
      oriel::status const s =
          ring.append({k.data(), rows, case_.kv_heads, case_.dim},
                      {v.data(), rows, case_.kv_heads, case_.v_dim}, first_ + done);
      if (!s.ok()) throw std::logic_error(s.what);
    }
  }
}

oriel::contiguous problem::contiguous_at(index instance) const noexcept {
  auto const* const k =
      reinterpret_cast<float const*>(memory_->data() + instance * instance_bytes_);
  float const* const v = k + held_ * case_.kv_heads * case_.dim;
  auto const view = [&](float const* data, index dim) {
    using tensor = oriel::tensor_view<float const>;
    return case_.memory == layout::tokens
               ? tensor(data, held_, case_.kv_heads, dim)
               : tensor(data, held_, case_.kv_heads, dim, dim, held_ * dim);
  };
  return {view(k, case_.dim), view(v, case_.v_dim), first_};
}

oriel::attention problem::call(index instance) {
  oriel::any_source const kv = case_.from == source::rolling
                                   ? oriel::any_source(static_cast<oriel::rolling_cache<> const&>(
                                         rings_[static_cast<std::size_t>(instance)]))
                                   : oriel::any_source(contiguous_at(instance));
  return {.q = {q_.data(), case_.q_len, case_.q_heads, case_.dim},
          .kv = kv,
          .mask = mask_.mask(),
          .score = score_,
          .sink_logits = sink_logits_,
          .out = {out_.data(), case_.q_len, case_.q_heads, case_.v_dim}};
}

double problem::useful_flops() const noexcept {
  return 2.0 * static_cast<double>(case_.dim + case_.v_dim) * static_cast<double>(case_.q_heads) *
         static_cast<double>(visible_.pairs);
}

double problem::visible_bytes() const noexcept {
  return static_cast<double>(case_.kv_bytes(visible_.keys));
}

}  // namespace bench
