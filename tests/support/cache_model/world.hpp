// SPDX-License-Identifier: BSL-1.0
// Random operations on a few sequences of one kind of memory, each beside its list of rows.
#pragma once

#include "blocks.hpp"
#include "stores.hpp"

namespace oriel::model {

/// A way of storing rows: in a ring, and in a caller's memory.
struct storage {
  char const* name;
  std::unique_ptr<store> (*ring)(sizes const&);
  void (*keep)(sizes const&, token&);
  double (*turn_error)(double most, index dim);
  index multiple = 1;  ///< of row sizes
  bool plain = false;  ///< floats
  row_kind k = {};     ///< in a caller's tensors and pages; none: a ring only
  row_kind v = {};
  index group = 1;  ///< tokens whose keys share scales
  int bits = 0;     ///< of their codes
  /// In the layers of a model, which its sequences share; none: not there.
  std::unique_ptr<store> (*model)(sizes const&, std::shared_ptr<void>& shared) = nullptr;

  template <class K, class V = K>
  static std::unique_ptr<store> in_model(sizes const& s, std::shared_ptr<void>& shared) {
    using kind = model_store<K, V>;
    using memory = typename kind::model_memory;
    if (shared == nullptr) shared = std::make_shared<memory>(s);
    return std::make_unique<kind>(std::static_pointer_cast<memory>(shared), s);
  }
  /// The same, in models too.
  template <class K, class V = K>
  static storage in_models(char const* name) {
    storage all = of<K, V>(name);
    all.model = in_model<K, V>;
    return all;
  }
  template <class K, class V = K>
  static storage of(char const* name) {
    using kind = ring_store<K, V>;
    constexpr bool blocks = std::is_same_v<K, q8_0> || std::is_same_v<K, q4_0>;
    return {name,
            [](sizes const& s) -> std::unique_ptr<store> { return std::make_unique<kind>(s); },
            kind::keep,
            kind::turn_error,
            blocks ? 32 : 1,
            std::is_same_v<K, f32>,
            row_kind::of<codec_of<K>, true>(),
            row_kind::of<codec_of<V>, false>()};
  }
  template <int Bits, int Group>
  static storage kivi(char const* name) {
    using kind = kivi_store<Bits, Group>;
    return {name,
            [](sizes const& s) -> std::unique_ptr<store> { return std::make_unique<kind>(s); },
            [](sizes const&, token&) {},
            [](double, index) { return 0.0; },
            1,
            false,
            {},
            {},
            Group,
            Bits,
            in_model<kivi_cache<Bits, Group>>};
  }
};

inline std::vector<storage> const& storages() {
  static std::vector<storage> const all{
      storage::in_models<f32>("f32"),
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
      storage::in_models<bf16, int4>("mixed"),
      storage::kivi<2, 16>("kivi2"),
      storage::kivi<4, 32>("kivi4"),
  };
  return all;
}
inline storage const& any_storage(choices& choose) {
  return storages()[static_cast<std::size_t>(choose.below(std::ssize(storages())))];
}

/// A few sequences of one kind, and their lists.
class world {
 public:
  /// Ring, chunked ring, ring with sinks, tensor, pages, big ring, model.
  static constexpr int kinds = 7;

  world(choices& choose, storage const& stored) : choose_(choose), seed_(1), stored_(stored) {
    kind_ = static_cast<int>(choose.below(kinds));
    if (stored.model == nullptr && kind_ == 6) kind_ = 2;
    of_ = {choose.between(1, 2), 2 * choose.between(1, 3), choose.between(1, 4)};
    if (stored.k.view == nullptr && (kind_ == 3 || kind_ == 4)) kind_ = 0;
    if (!stored.plain) {
      if (choose.below(3) == 0) of_.head_dim *= 7, of_.v_dim *= 13;  // several groups
      of_.head_dim = round_up(of_.head_dim, stored.multiple);
      of_.v_dim = round_up(of_.v_dim, stored.multiple);
    }
    if (kind_ == 0 || kind_ == 1) of_.window = choose.between(1, 9);
    if (kind_ == 2) of_.window = choose.between(1, 6), of_.sinks = choose.between(1, 4);
    if (kind_ == 6) of_.window = choose.between(1, 9), of_.sinks = choose.below(4);
    if (kind_ == 5) of_.window = tensor_store::room;
    if (of_.window > 0) of_.margin = choose.coin() ? 1 : choose.between(2, 5);
    of_.group = stored.group, of_.bits = stored.bits;
    if (of_.group > 1) {
      if (kind_ != 5 && choose.coin()) of_.window += choose.below(3 * of_.group);
      if (choose.below(4) == 0) of_.margin += choose.below(2 * of_.group);
      if ((kind_ == 2 || kind_ == 6) && choose.coin()) of_.sinks += choose.below(2 * of_.group);
    }
    if (kind_ == 4) {
      pages_ = std::make_shared<page_store::pool_memory>(
          of_, stored.k, stored.v, choose.between(1, 9), static_cast<int>(choose.below(8)),
          4 * tensor_store::room, static_cast<std::uint64_t>(choose.below(256)));
    }
    rope_ = {.dim = 2 * choose.between(1, of_.head_dim / 2),
             .pairs = choose.coin() ? rope_pairs::halves : rope_pairs::neighbours,
             .theta = choose.coin() ? 10000.0 : 5e5};
    summed_ = {.block = choose.between(1, 5),
               .blocks = choose.between(1, 8),
               .kv_heads = of_.kv_heads,
               .head_dim = of_.head_dim};
    all_.push_back(fresh_sequence());
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
        all_.push_back({s.memory->fork(), s.list, blocks(summed_)});
        if (all_.back().memory == nullptr) return "fork failed";
        found = sum_anew(all_.back());
      } else {
        all_.erase(all_.begin() + static_cast<std::ptrdiff_t>(n));
        return "";
      }
    } else if (what < 16) {
      name = "save and restore";
      if (auto other = s.memory->reload(choose_)) {
        s.memory = std::move(other);
        found = sum_anew(s);
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
    blocks summed;
  };
  sequence fresh_sequence() { return {make(), {of_, 0, {}}, blocks(summed_)}; }

  /// A sequence's summaries take the rows that are new to them, or all that are held.
  std::string sum_more(sequence& s) {
    std::string found = compare_rows(s);
    return found.empty() ? s.summed.append(s.memory->source()) : found;
  }
  std::string sum_anew(sequence& s) {
    s.summed = blocks(summed_);
    return sum_more(s);
  }

  std::unique_ptr<store> make() {
    if (kind_ == 3)
      return std::make_unique<tensor_store>(of_, stored_.k, stored_.v, choose_.coin());
    if (kind_ == 4) return std::make_unique<page_store>(pages_, of_);
    if (kind_ == 6) return stored_.model(of_, model_);
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
        (void)s.summed.truncate(s.list.first, s.memory->source());
        s.list.truncate(s.list.first), (void)s.memory->truncate(s.list.first);
      } else if (s.list.tokens.size() > 300 && p >= 0) {
        s = fresh_sequence();
      }
    }
    index const most = choose_.below(6) == 0 ? 30 : 3;
    fresh_rows const rows = fresh(choose_.between(0, most));
    index const first = s.list.tokens.empty() ? any_first() : s.list.end();
    if (choose_.coin()) {  // before the cache, as rows that attend to themselves do
      any_source const past = s.memory->source();
      failed_ = s.summed.append(s.memory->joined_to(past, rows, first));
    }
    if (!s.memory->append(rows, first).ok()) failed_ = "append was refused";
    if (!failed_.empty()) return;
    if (rows.k_view.tokens > 0) s.list.append(rows.list, first);
    failed_ = sum_more(s);
  }
  std::string truncate(sequence& s) {
    index const n = std::ssize(s.list.tokens);
    index const back = choose_.coin() ? choose_.below(6) : choose_.below(n + 3) - 1;
    index p = s.list.end() - back;
    if (of_.group > 1 && choose_.coin()) p = round_down(p, of_.group);
    bool const known = p >= s.list.first && p <= s.list.end();
    errc const expected = !known ? errc::position : s.list.can_resume(p) ? errc::ok : errc::evicted;
    if (!known && s.list.of.window == 0) return "";  // the caller's own business
    status const got = s.memory->truncate(p);
    if (got.code != expected) return std::string("truncate says: ") + got.what;
    if (!got.ok()) return "";
    s.list.truncate(p);
    std::string found = accept_turned(s);
    if (found.empty()) found = compare_rows(s);
    return found.empty() ? s.summed.truncate(p, s.memory->source()) : found;
  }
  std::string erase(sequence& s) {
    index const n = std::ssize(s.list.tokens);
    index const begin =
        choose_.coin() ? choose_.below(n + 1) : std::max<index>(0, n - choose_.below(6));
    range r{s.list.first + begin, s.list.first + begin +
                                      (choose_.coin() ? std::min<index>(n - begin, choose_.below(5))
                                                      : choose_.below(n - begin + 1))};
    if (of_.group > 1 && choose_.coin()) {
      index const end = round_up(r.end, of_.group);
      r = {std::max(s.list.first, round_down(r.begin, of_.group)),
           end <= s.list.end() ? end : r.end};
    }
    rope const* const by = choose_.coin() ? &rope_ : nullptr;
    status const got = s.memory->erase(r, by, {scratch_.span()});
    errc const expected = s.list.can_erase(r) ? errc::ok : errc::evicted;
    if (got.code != expected) return std::string("erase says: ") + got.what;
    if (!got.ok()) return "";
    s.list.erase(r, by);
    std::string found = accept_turned(s);
    if (found.empty()) found = compare_rows(s);
    return found.empty() ? s.summed.erase(r, s.memory->source()) : found;
  }
  /// Keys that were turned, and stored again: those that are near enough to the list's are its own
  /// from now on.
  std::string accept_turned(sequence& s) {
    any_source const source = s.memory->source();
    std::vector<float> floats(static_cast<std::size_t>(of_.head_dim));
    for (index p = s.list.first; p < s.list.end(); ++p) {
      if (!s.list.holds(p) || s.list.at(p).error == 0) continue;
      token& t = s.list.at(p);
      for (index h = 0; h < of_.kv_heads; ++h) {
        float* const want = t.k.data() + h * of_.head_dim;
        kv_run const run = source.run_at(h, p);
        float const* const got = run.floats(run.k, of_.head_dim, floats.data());
        double most = 0;
        for (index d = 0; d < of_.head_dim; ++d) {
          most = std::max(most, static_cast<double>(std::abs(want[d])));
        }
        double const allowed = stored_.turn_error(most + t.error, of_.head_dim) + t.error;
        for (index d = 0; d < of_.head_dim; ++d) {
          if (!(std::abs(static_cast<double>(got[d]) - want[d]) <= allowed)) {
            return "a turned key differs";
          }
          want[d] = got[d];
        }
      }
      t.error = 0;
      if (t.coded) continue;
      t.float_error = 0;
      if (of_.group > 1) t.k_float = t.k;
    }
    return "";
  }
  /// Rows to append, and what they become.
  fresh_rows fresh(index n) {
    fresh_rows rows(of_, n, seed_);
    for (token& t : rows.list) stored_.keep(of_, t);
    return rows;
  }

  std::string compare(sequence const& s) {
    std::string found = failed_.empty() ? compare_rows(s) : failed_;
    return found.empty() ? s.summed.compare(s.list, s.memory->source().lost()) : found;
  }
  /// Rows one by one.
  std::string compare_rows(sequence const& s) {
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
  block_shape summed_;
  std::shared_ptr<page_store::pool_memory> pages_;
  std::shared_ptr<void> model_;  ///< the memory of a model_store
  std::vector<sequence> all_;
  lines scratch_{8192};
  std::vector<line_type> workspace_;
  std::string failed_;
};

}  // namespace oriel::model
