// SPDX-License-Identifier: BSL-1.0
#include "problem.hpp"

#include <algorithm>
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

visible_work count_visible(mask_choice const& mask, oriel::range queries, oriel::range keys) {
  visible_work work;
  std::vector<oriel::range> seen;
  for (index q = queries.begin; q < queries.end; ++q) {
    // Of one query, the reach of every mask here is exactly what it sees.
    auto const row = std::visit([q](auto const& m) { return m.reach({q, q + 1}); }, mask);
    for (oriel::range part : row) {
      part = intersect(part, keys);
      work.pairs += part.size();
      if (part.empty()) continue;
      // Rows of neighbouring queries overlap: most are absorbed at once.
      if (!seen.empty() && part.begin <= seen.back().end && part.begin >= seen.back().begin) {
        seen.back().end = oriel::max_of(seen.back().end, part.end);
      } else {
        seen.push_back(part);
      }
    }
  }
  std::sort(seen.begin(), seen.end(),
            [](oriel::range a, oriel::range b) { return a.begin < b.begin; });
  index end = keys.begin;
  for (oriel::range const part : seen) {
    work.keys += oriel::range{oriel::max_of(part.begin, end), part.end}.size();
    end = oriel::max_of(end, part.end);
  }
  return work;
}

oriel::any_mask any_of(mask_choice const& mask) {
  return std::visit([](auto const& m) { return oriel::any_mask(m); }, mask);
}

oriel::cache_shape ring_shape(bench_case const& c, index rows) {
  return {.window = rows, .kv_heads = c.kv_heads, .head_dim = c.dim, .v_dim = c.v_dim};
}

}  // namespace

problem::problem(bench_case const& c)
    : case_(c),
      held_(c.held_rows()),
      first_(c.from == source::rolling ? held_ / 2 : 0),  // the ring wraps in its middle
      visible_(count_visible(c.mask, {first_ + held_ - c.q_len, first_ + held_},
                             {first_, first_ + held_})),
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
          .mask = any_of(case_.mask),
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
