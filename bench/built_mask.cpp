// SPDX-License-Identifier: BSL-1.0
#include "built_mask.hpp"

#include <algorithm>
#include <initializer_list>
#include <optional>

namespace bench {
namespace {

using oriel::mask_ref;
using any_of_two = oriel::either<mask_ref, mask_ref>;
using both_of_two = oriel::both<mask_ref, mask_ref>;

template <class T>
index bytes_of(std::vector<T> const& values) {
  return static_cast<index>(values.size() * sizeof(T));
}

bool are(std::vector<mask_term> const& terms, std::initializer_list<term> names) {
  return std::equal(terms.begin(), terms.end(), names.begin(), names.end(),
                    [](mask_term const& t, term name) { return t.what == name; });
}

}  // namespace

built_mask::built_mask(std::vector<mask_term> const& terms, oriel::range queries,
                       oriel::range keys) {
  for (mask_term const& t : terms) {
    if (t.what == term::padding) slots_ = t.n;
  }
  oriel::range const real_queries{oriel::max_of(0, queries.begin - slots_), queries.end - slots_};
  oriel::range const real_keys{oriel::max_of(0, keys.begin - slots_), keys.end - slots_};
  for (mask_term const& t : terms) hold(t, real_queries, real_keys);
  for (index& position : edges_.positions) position += slots_;
  edges_.positions.push_back(slots_);
  if (!make_usual(terms)) make_composed(terms);
}

index built_mask::bytes() const noexcept {
  index const parts = static_cast<index>(parts_.size() * sizeof(oriel::any_mask));
  return value_bytes_ + parts + bytes_of(bounds_) + bytes_of(spans_) + bytes_of(parents_) +
         bytes_of(shown_);
}

/// Makes what a term refers to, and notes its edges.
void built_mask::hold(mask_term const& of, oriel::range queries, oriel::range keys) {
  auto& widths = edges_.widths;
  auto& positions = edges_.positions;
  switch (of.what) {
    case term::full:
    case term::causal:
    case term::padding: break;
    case term::window:
      widths.push_back(of.n);
      positions.push_back(keys.begin + of.n);
      break;
    case term::local_window:
      widths.insert(widths.end(), {of.n + 1, of.m + 1});
      positions.insert(positions.end(), {keys.begin + of.n + 1, keys.end - of.m});
      break;
    case term::chunk:
      positions.push_back(oriel::round_down(queries.begin, of.n) + of.n);
      positions.push_back(oriel::round_down((queries.begin + queries.end) / 2, of.n));
      positions.push_back(oriel::round_down(queries.end - 1, of.n));
      break;
    case term::sinks:  // where a window leaves them behind
      positions.push_back(of.n);
      for (index const width : widths) positions.push_back(keys.begin + width + of.n);
      break;
    case term::prefix: positions.push_back(of.n); break;
    case term::documents: {
      bounds_ = {0};
      for (index const length : of.lengths) bounds_.push_back(bounds_.back() + length);
      std::size_t const step = bounds_.size() / 8 + 1;
      for (std::size_t i = 0; i < bounds_.size(); i += step) positions.push_back(bounds_[i]);
      break;
    }
    case term::tree:
      first_draft_ = keys.end - of.n;
      for (index i = 0; i < of.n; ++i) {
        parents_.push_back(i == 0 ? -1 : static_cast<std::int32_t>((i - 1) / 2));
      }
      positions.insert(positions.end(), {first_draft_, first_draft_ + of.n / 2});
      break;
    case term::spans:
      for (index begin = 0; begin < keys.end; begin += of.m) {
        spans_.push_back({begin, begin + of.n});
      }
      for (index const at : {index{0}, keys.end / 2, keys.end - 1}) {
        index const begin = oriel::round_down(at, of.m);
        positions.insert(positions.end(), {begin, begin + of.n});
      }
      break;
    case term::dense:
      shown_queries_ = queries;
      shown_keys_ = keys;
      shown_.reserve(static_cast<std::size_t>(queries.size() * keys.size()));
      for (index q = queries.begin; q < queries.end; ++q) {
        for (index k = keys.begin; k < keys.end; ++k) shown_.push_back(k <= q ? 1 : 0);
      }
      break;
  }
}

template <oriel::mask M>
bool built_mask::set(M const& mask) {
  mask_ = mask;
  value_bytes_ = sizeof(M);
  return true;
}

/// As a user would write them: false if the terms are not usual.
bool built_mask::make_usual(std::vector<mask_term> const& terms) {
  using namespace oriel;
  auto const n = [&](std::size_t i) { return terms[i].n; };
  index const* const bounds = bounds_.data();
  documents const packed{std::span(bounds, bounds_.size())};
  spans const bidirectional{spans_};
  if (are(terms, {term::full})) return set(full{});
  if (are(terms, {term::causal})) return set(causal{});
  if (are(terms, {term::window})) return set(sliding_window{n(0)});
  if (are(terms, {term::local_window})) return set(local_window{n(0), terms[0].m});
  if (are(terms, {term::documents})) return set(packed);
  if (are(terms, {term::spans})) return set(causal{} | bidirectional);
  if (are(terms, {term::tree})) return set(tree{first_draft_, parents_});
  if (are(terms, {term::dense})) {
    return set(dense_mask(shown_.data(), shown_queries_, shown_keys_, shown_keys_.size()));
  }
  if (are(terms, {term::causal, term::window})) return set(causal{} & sliding_window{n(1)});
  if (are(terms, {term::causal, term::chunk})) return set(causal{} & chunked{n(1)});
  if (are(terms, {term::causal, term::window, term::sinks})) {
    return set(causal{} & (sliding_window{n(1)} | sinks{n(2)}));
  }
  if (are(terms, {term::causal, term::chunk, term::sinks})) {
    return set(causal{} & (chunked{n(1)} | sinks{n(2)}));
  }
  if (are(terms, {term::causal, term::prefix})) return set(causal{} | prefix{n(1)});
  if (are(terms, {term::causal, term::documents})) return set(causal{} & packed);
  if (are(terms, {term::causal, term::spans})) return set(causal{} | bidirectional);
  if (are(terms, {term::causal, term::padding})) return set(left_padded{slots_, causal{}});
  return false;
}

void built_mask::make_composed(std::vector<mask_term> const& terms) {
  auto const keep = [&](oriel::any_mask const& m) { return mask_ref(parts_.emplace_back(m)); };
  std::optional<oriel::any_mask> all;
  for (std::size_t i = 0; i < terms.size(); ++i) {
    mask_term const& now = terms[i];
    if (now.what == term::sinks || now.what == term::padding) continue;
    oriel::any_mask it = one(now);
    if (i + 1 < terms.size() && terms[i + 1].what == term::sinks) {
      it = any_of_two{keep(it), keep(one(terms[i + 1]))};
    }
    if (!all && now.what == term::spans) all = oriel::causal{};
    if (!all) {
      all = it;
    } else if (now.what == term::prefix || now.what == term::spans) {
      all = any_of_two{keep(*all), keep(it)};
    } else {
      all = both_of_two{keep(*all), keep(it)};
    }
  }
  if (!all) all = oriel::full{};
  if (slots_ > 0) all = oriel::left_padded{slots_, keep(*all)};
  set(mask_ref(parts_.emplace_back(*all)));
}

/// A term alone; spans without causal.
oriel::any_mask built_mask::one(mask_term const& of) const {
  using namespace oriel;
  switch (of.what) {
    case term::full:
    case term::padding: break;
    case term::causal: return causal{};
    case term::window: return sliding_window{of.n};
    case term::local_window: return local_window{of.n, of.m};
    case term::chunk: return chunked{of.n};
    case term::sinks:
    case term::prefix: return prefix{of.n};
    case term::documents: return documents{std::span(bounds_.data(), bounds_.size())};
    case term::tree: return tree{first_draft_, parents_};
    case term::spans: return spans{spans_};
    case term::dense:
      return dense_mask(shown_.data(), shown_queries_, shown_keys_, shown_keys_.size());
  }
  return full{};
}

}  // namespace bench
