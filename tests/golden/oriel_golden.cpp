// SPDX-License-Identifier: BSL-1.0
// oriel_golden DIR: runs the cases of a golden directory (its layout: README.md) through the public
// API. A line per case:
//
//   PASS|FAIL|SKIP name kind largest-error tolerance reason
//
// then "N passed, M failed, K skipped". Exits 1 if any failed or there are none, 2 on bad usage.
// A case is skipped only for a feature that oriel does not have, told by its kind.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <deque>

#include "compiled_once.hpp"
#include "golden_case.hpp"
#include "golden_check.hpp"
#include "threads.hpp"

namespace oriel::test {
namespace {

// --- what a case asks for ------------------------------------------------------------------------
/// The rule of README.md but for its padding; a number that means "none" there is none here.
struct rule {
  bool is_causal = false;
  index window = 0, sink_tokens = 0, left = -1, right = -1, chunk = 0;

  /// Does a query see no key behind it?
  bool looks_back() const { return is_causal || right == 0; }
  /// Rows of a rolling cache that serve every query; 0: all there are. Sinks widen the window only.
  index ring() const {
    index rows = window > 0 && sink_tokens == 0 ? window : max_position;
    if (left >= 0) rows = min_of(rows, left + 1);
    if (chunk > 0) rows = min_of(rows, chunk);
    return rows < max_position ? rows : 0;
  }

  /// The terms that there are, as a user composes them.
  any_mask exact() const { return is_causal ? with_window(causal{}) : with_window(full{}); }
  /// All terms in one type, those that are absent too wide to hide anything from position 0 on. The
  /// same mask for all that is asked from there.
  auto wide() const {
    index const all = 2 * max_position;
    return local_window{all, is_causal ? 0 : all} &
           (sliding_window{window > 0 ? window : all} | sinks{sink_tokens}) &
           local_window{left >= 0 ? left : all, right >= 0 ? right : all} &
           chunked{chunk > 0 ? chunk : max_position};
  }

 private:
  any_mask with_window(mask auto const& m) const {
    if (window <= 0) return with_sides(m);
    if (sink_tokens <= 0) return with_sides(m & sliding_window{window});
    return with_sides(m & (sliding_window{window} | sinks{sink_tokens}));
  }
  any_mask with_sides(mask auto const& m) const {
    if (left < 0 && right < 0) return with_chunk(m);
    index const all = 2 * max_position;
    return with_chunk(m & local_window{left >= 0 ? left : all, right >= 0 ? right : all});
  }
  any_mask with_chunk(mask auto const& m) const {
    return chunk > 0 ? any_mask(m & chunked{chunk}) : any_mask(m);
  }
};

struct run_options {
  rule of;
  std::vector<float> slopes, sink_logits;
  float softcap = 0.0f;
  float scale = 1.0f;
  tolerance allowed;

  any_score score() const {
    v0::softcap const cap{softcap};
    alibi const distance{slopes};
    if (softcap != 0.0f && !slopes.empty()) return cap >> distance;
    if (!slopes.empty()) return distance;
    return softcap != 0.0f ? any_score(cap) : any_score();
  }
};

run_options options_of(golden_case& c) {
  auto const per_head = [&](char const* array) {
    return c.has(array) ? c.floats(array, {c.number("q_heads")}).values : std::vector<float>();
  };
  return {.of = {.is_causal = c.number("causal") != 0,
                 .window = c.number("window"),
                 .sink_tokens = c.number("sink_tokens"),
                 .left = c.number("window_left"),
                 .right = c.number("window_right"),
                 .chunk = c.number("chunk")},
          .slopes = per_head("alibi_slopes"),
          .sink_logits = per_head("sink"),
          .softcap = static_cast<float>(c.number<double>("softcap")),
          .scale = static_cast<float>(c.number<double>("scale")),
          .allowed = {c.number<double>("atol"), c.number<double>("rtol")}};
}

/// The arrays of a dense (`batched`) or varlen case.
struct arrays {
  golden_tensor q, k, v, out;
  std::optional<golden_tensor> lse, lse_sink;

  arrays(golden_case& c, bool is_batched) : batched_(is_batched) {
    auto const read = [&](char const* name, char const* length, char const* heads,
                          char const* dim) {
      std::vector<index> shape{c.number(length), c.number(heads)};
      if (batched_) shape.insert(shape.begin(), c.number("batch"));
      if (dim != nullptr) shape.push_back(c.number(dim));
      return c.floats(name, shape);
    };
    q = read("q", "q_len", "q_heads", "head_dim");
    k = read("k", "kv_len", "kv_heads", "head_dim");
    v = read("v", "kv_len", "kv_heads", "v_head_dim");
    out = read("out", "q_len", "q_heads", "v_head_dim");
    if (c.has("lse")) lse = read("lse", "q_len", "q_heads", nullptr);
    if (c.has("lse_sink")) lse_sink = read("lse_sink", "q_len", "q_heads", nullptr);
  }

  tensor_view<float const> item(golden_tensor const& of, index b) const {
    return of.item(b, batched_);
  }
  expectation expected(index b) const {
    expectation all{item(out, b), std::nullopt, std::nullopt};
    if (lse) all.lse = lse->item(b, batched_, false);
    if (lse_sink) all.lse_sink = lse_sink->item(b, batched_, false);
    return all;
  }
  std::string compared() const {
    return std::string("out") + (lse ? ", lse" : "") + (lse_sink ? ", lse_sink" : "");
  }

 private:
  bool batched_;
};

// --- running it ----------------------------------------------------------------------------------
/// One sequence: the key in slot j has position first_key + j.
struct sequence {
  input_view q;
  stored_view k, v;
  index first_key = 0;
  index first_query = 0;
  any_mask mask = full{};
  any_selector select = {};

  attention call(run_options const& o) const {
    return {.q = q,
            .kv = contiguous(k, v, first_key),
            .mask = mask,
            .score = o.score(),
            .select = select,
            .sink_logits = o.sink_logits,
            .first_query = first_query,
            .scale = o.scale};
  }
  /// Room for results of the queries' type.
  results answer() const { return {q.tokens, q.heads, v.dim, q.type}; }
};

void run_whole(verdict& v, run_options const& o, sequence const& s, results const& to) {
  static threads pool(2);
  range const all{0, s.q.tokens};
  run_defined(v, o.allowed, s.call(o), to, all);
  results const again = s.answer();
  run(v, s.call(o), again, all, pool);
  if (again.bits() != to.bits()) v.fail("two threads give other bits than one");
}

/// The queries [first, q.tokens) once more, fed piece by piece through a rolling cache. The last
/// query must sit at the last key, the mask must look back only.
template <class Stored>
void run_rolling(verdict& v, run_options const& o, sequence const& s, results const& to,
                 index first, std::vector<index> const& cuts) {
  index const all = max_of(s.k.tokens, 1);
  cache_shape const shape{.window = o.of.ring() > 0 ? min_of(o.of.ring(), all) : all,
                          .kv_heads = s.k.heads,
                          .head_dim = s.k.dim,
                          .v_dim = s.v.dim};
  using ring = rolling_cache<elements<Stored>>;
  aligned_memory bytes(ring::required_bytes(shape));
  ring cache(bytes, shape);
  index const offset = s.first_query + first;
  random_numbers random(static_cast<std::uint64_t>(s.k.tokens));
  for (index at = 0; at < s.k.tokens;) {
    index end = at + 1 + random.below(max_of(1, s.k.tokens / 4));
    auto const cut = std::upper_bound(cuts.begin(), cuts.end(), at);
    if (cut != cuts.end()) end = *cut;
    end = min_of(end, at < offset ? offset : s.k.tokens);
    range const piece{at, end};
    if (at >= offset) {
      range const rows{at - s.first_query, end - s.first_query};
      attention call = s.call(o);
      call.q = s.q.slice(rows);
      call.kv = joined(cache, s.k.slice(piece), s.v.slice(piece));
      call.first_query = std::nullopt;
      run_defined(v, o.allowed, call, to, rows);
    }
    v.require(cache.append(s.k.slice(piece), s.v.slice(piece)));
    at = end;
  }
}

/// Means of the blocks of one sequence's keys, taken in pieces.
struct kept_means {
  block_shape shape;
  aligned_memory bytes;
  block_means means;

  kept_means(verdict& v, stored_view const& k, index block)
      : shape{.block = block,
              .blocks = k.tokens / block + 1,
              .kv_heads = k.heads,
              .head_dim = k.dim},
        bytes(block_means::required_bytes(shape)),
        means(bytes, shape) {
    for (index at = 0; at < k.tokens; at += 7) {
      stored_view const piece = k.slice({at, min_of(at + 7, k.tokens)});
      v.require(means.append(contiguous(piece, piece, at)));
    }
  }
};

/// Where one sequence of a case lies in its tensors: slots `real` hold its keys, those before them
/// are padding; query i is in slot first_query + i.
struct place {
  tensor_view<float const> q, k, v;
  index first_query = 0;
  range real;
  index block = 0,
        top_k = 0;  ///< where rows choose blocks, in positions from the first real key on
};

/// The blocks that row (t, h) of a place chooses.
std::vector<index> chosen(any_selector const& select, place const& at,
                          tensor_view<float const> const& q, index t, index h) {
  std::vector<index> blocks(static_cast<std::size_t>(select.most()));
  index const count = select.choose({.q = q.row(t, h),
                                     .position = at.first_query - at.real.begin + t,
                                     .q_head = h,
                                     .kv_head = h / (at.q.heads / at.k.heads),
                                     .keys = {0, at.real.size()}},
                                    blocks.data());
  blocks.resize(static_cast<std::size_t>(count));
  return blocks;
}

/// No bound covers rows that choose other blocks once q and k are rounded.
void excuse_other_choices(verdict& v, place const& at, any_selector const& exact,
                          any_selector const& select, tensor_view<float const> const& q,
                          results const& slack) {
  for (index t = 0; t < q.tokens; ++t) {
    for (index h = 0; h < q.heads; ++h) {
      ++v.rows;
      if (chosen(select, at, q, t, h) == chosen(exact, at, at.q, t, h)) continue;
      ++v.others;
      std::fill_n(slack.out_view.row(t, h), slack.out_view.dim, infinity);
      *slack.lse_view.row(t, h) = *slack.lse_sink_view.row(t, h) = infinity;
    }
  }
}

/// A sequence whose q, k, v and out are of T, in every way there is, against the expected rows.
/// `cuts` are where a prompt is cut for the rolling cache; at random if empty.
template <class T>
void check_sequence_as(verdict& v, run_options const& o, place const& at, expectation const& want,
                       std::vector<index> const& cuts) {
  constexpr bool narrow = !std::is_same_v<T, float>;
  // Padding is no key: it is sliced off, and positions begin behind it. Queries of padding stand
  // before position 0, where a mask that looks back shows nothing; another is told so.
  bool const behind = o.of.looks_back() || at.first_query >= at.real.begin;
  rows_as<T> const q(at.q);
  rows_as<T> k(at.k), values(at.v);
  k.hide_outside(at.real), values.hide_outside(at.real);
  stored_view const all_k = k.view(), all_v = values.view();
  sequence s{.q = q.view(),
             .k = all_k.slice(at.real),
             .v = all_v.slice(at.real),
             .first_query = at.first_query - at.real.begin,
             .mask = behind ? o.of.exact() : any_mask(left_padded{0, o.of.wide()})};
  std::optional<kept_means> means;
  if (at.block > 0 && !at.real.empty())
    s.select = moba(means.emplace(v, s.k, at.block).means, at.top_k);

  tensor_view<float const> const real_k = at.k.slice(at.real), real_v = at.v.slice(at.real);
  results const slack = rounding_slack<T, T>(o.scale, o.allowed, at.q, real_k, real_v, want.out);
  leeway const besides = leeway_of<T>(slack);
  if constexpr (narrow) {
    if (s.select) {
      kept_means const exact(v, real_k, at.block);
      excuse_other_choices(v, at, moba(exact.means, at.top_k), s.select, q.floats(), slack);
    }
  }
  results const to = s.answer();
  range const all{0, s.q.tokens};
  run_whole(v, o, s, to);
  compare_rows(v, o.allowed, to, want, all, besides);

  // Left-padded: positions are slots, and the padding is there.
  if (at.real.begin > 0 && !s.select) {
    index const pad = at.real.begin;
    sequence slots = s;
    slots.first_key = pad;
    slots.first_query = at.first_query;
    slots.mask = left_padded{pad, o.of.wide()};
    run_whole(v, o, slots, to);
    compare_rows(v, o.allowed, to, want, all, besides);
    results const whole = s.answer();
    slots.k = all_k, slots.v = all_v, slots.first_key = 0;
    slots.mask = left_padded{pad, o.of.wide()} & key_padding{at.real};
    run_whole(v, o, slots, whole);
    if (whole.bits() != to.bits()) v.fail("padding that is there gives other bits");
    v.padded = true;
  }

  index const first = max_of(0, -s.first_query);
  if (!o.of.looks_back() || s.first_query + s.q.tokens != s.k.tokens || first >= s.q.tokens) return;
  range const rolled{first, s.q.tokens};
  run_rolling<T>(v, o, s, to, first, cuts);
  v.rolled = true;
  compare_rows(v, o.allowed, to, want, rolled, besides);
  if constexpr (narrow) {
    if (s.select) return;  // another block may be chosen, which no bound covers
    s.q = at.q, s.k = real_k, s.v = real_v;
    results const floats = s.answer();
    run_rolling<T>(v, o, s, floats, first, cuts);
    results const stored =
        rounding_slack<float, T>(o.scale, o.allowed, at.q, real_k, real_v, want.out);
    compare_rows(v, o.allowed, floats, want, rolled, {&stored, &verdict::stored});
  }
}

void check_sequence(verdict& v, run_options const& o, place const& at, expectation const& want,
                    std::vector<index> const& cuts = {}) {
  for_each_type(
      {at.q, at.k.slice(at.real), at.v.slice(at.real)},
      [&]<class T>(std::type_identity<T>) { check_sequence_as<T>(v, o, at, want, cuts); });
}

// --- the kinds -----------------------------------------------------------------------------------
/// The slots with keys of each sequence, by its padding. One element serves all documents.
std::vector<range> real_slots(golden_case& c, std::vector<index> const& kv_lens) {
  std::vector<index> pad{0};
  std::vector<index> valid{max_position};
  if (c.has("par_left_pad")) pad = c.integers("par_left_pad");
  if (c.has("par_kv_valid")) valid = c.integers("par_kv_valid");
  for (std::vector<index>* const each : {&pad, &valid}) {
    if (each->size() == 1) each->resize(kv_lens.size(), each->front());
    if (each->size() != kv_lens.size()) {
      c.fail("par_left_pad or par_kv_valid does not have an element per sequence");
    }
  }
  std::vector<range> real;
  for (std::size_t i = 0; c.ok() && i < kv_lens.size(); ++i) {
    if (pad[i] < 0 || valid[i] < pad[i]) c.fail("par_left_pad or par_kv_valid is out of range");
    real.push_back({min_of(pad[i], kv_lens[i]), min_of(valid[i], kv_lens[i])});
  }
  return real;
}

/// Rows of a sequence that are defined: not those behind the keys of a ragged one.
index defined_rows(index q_len, index kv_len, range real) {
  return real.end < kv_len ? min_of(q_len, real.end) : q_len;
}

void run_dense(verdict& v, golden_case& c) {
  run_options const o = options_of(c);
  arrays const all(c, true);
  index const batch = c.number("batch");
  index const q_len = c.number("q_len");
  index const kv_len = c.number("kv_len");
  index const offset = c.number("q_offset");
  if (batch < 1) c.fail("cases.tsv: batch must be at least 1");
  if (!c.ok()) return;
  std::vector<range> const real =
      real_slots(c, std::vector<index>(static_cast<std::size_t>(batch), kv_len));
  std::vector<index> segments;
  if (c.has("par_segments")) segments = c.integers("par_segments");
  if (!c.ok()) return;
  for (index b = 0; b < batch; ++b) {
    range const own = real[static_cast<std::size_t>(b)];
    range const rows{0, defined_rows(q_len, kv_len, own)};
    place const at{all.item(all.q, b).slice(rows), all.item(all.k, b), all.item(all.v, b), offset,
                   own};
    check_sequence(v, o, at, all.expected(b).slice(rows), segments);
  }
  v.checked = all.compared();
}

/// Each row's choice against `sel` [tokens, heads, blocks], 1 where a block is attended.
void compare_choices(verdict& v, place const& at, tensor_view<float const> sel) {
  kept_means const kept(v, at.k.slice(at.real), at.block);
  any_selector const select = moba(kept.means, at.top_k);
  for (index t = 0; t < at.q.tokens; ++t) {
    for (index h = 0; h < at.q.heads; ++h) {
      std::vector<index> const blocks = chosen(select, at, at.q, t, h);
      for (index b = 0; b < sel.dim; ++b) {
        bool const taken = std::find(blocks.begin(), blocks.end(), b) != blocks.end();
        if (taken != (sel.row(t, h)[b] != 0.0f)) v.fail("other blocks are chosen");
      }
    }
  }
}

void run_varlen(verdict& v, golden_case& c) {
  run_options const o = options_of(c);
  arrays const all(c, false);
  index const q_len = c.number("q_len");
  index const kv_len = c.number("kv_len");
  bool const is_one = !c.has("par_cu_seqlens_q");
  std::vector<index> const q_at = is_one ? std::vector{0, q_len} : c.integers("par_cu_seqlens_q");
  std::vector<index> const k_at = is_one ? std::vector{0, kv_len} : c.integers("par_cu_seqlens_k");
  index const block = c.number("moba_chunk");
  std::optional<golden_tensor> sel;
  if (c.has("sel")) sel = c.floats("sel", {q_len, c.number("q_heads"), -1});
  auto const is_cut = [](std::vector<index> const& at, index length) {
    return !at.empty() && at.front() == 0 && at.back() == length &&
           std::is_sorted(at.begin(), at.end());
  };
  if (q_at.size() != k_at.size() || !is_cut(q_at, q_len) || !is_cut(k_at, kv_len)) {
    c.fail("par_cu_seqlens_q or par_cu_seqlens_k does not cut the tokens");
  }
  if (!c.ok()) return;
  std::vector<index> lens;
  for (std::size_t i = 0; i + 1 < k_at.size(); ++i) lens.push_back(k_at[i + 1] - k_at[i]);
  std::vector<range> const real = real_slots(c, lens);
  if (!c.ok()) return;
  tensor_view<float const> const q = all.item(all.q, 0);
  tensor_view<float const> const k = all.item(all.k, 0);
  tensor_view<float const> const values = all.item(all.v, 0);
  expectation const want = all.expected(0);
  bool padded = false;
  for (std::size_t i = 0; i < lens.size(); ++i) {
    range const keys{k_at[i], k_at[i + 1]};
    index const count = q_at[i + 1] - q_at[i];
    range const rows{q_at[i], q_at[i] + defined_rows(count, lens[i], real[i])};
    padded = padded || real[i] != range{0, lens[i]};
    place at{q.slice(rows), k.slice(keys), values.slice(keys), lens[i] - count, real[i]};
    if (block > 0 && lens[i] > 0) {
      at.block = block, at.top_k = c.number("moba_topk");
      if (sel) compare_choices(v, at, sel->item(0, false).slice(rows));
    }
    check_sequence(v, o, at, want.slice(rows));
  }
  v.checked = all.compared() + (sel ? ", choices" : "") + ", a call per document";
  if (padded || q_at != k_at || block > 0) return;
  for_each_type({q, k, values}, [&]<class T>(std::type_identity<T>) {
    rows_as<T> const q_rows(q), k_rows(k), v_rows(values);
    sequence const packed{.q = q_rows.view(),
                          .k = k_rows.view(),
                          .v = v_rows.view(),
                          .mask = each_document{std::span(k_at), o.of.wide()}};
    results const to = packed.answer();
    run_whole(v, o, packed, to);
    results const slack = rounding_slack<T, T>(o.scale, o.allowed, q, k, values, want.out);
    compare_rows(v, o.allowed, to, want, {0, q_len}, leeway_of<T>(slack));
  });
  v.checked += ", and one for all";
}

/// The arrays of a case that is fed step by step: as many keys as queries.
struct step_arrays {
  golden_tensor q_array, k_array, v_array, out_array;
  tensor_view<float const> q, k, v, out;

  explicit step_arrays(golden_case& c) {
    auto const read = [&](char const* name, char const* heads, char const* dim) {
      return c.floats(name, {c.number("q_len"), c.number(heads), c.number(dim)});
    };
    q_array = read("q", "q_heads", "head_dim");
    k_array = read("k", "kv_heads", "head_dim");
    v_array = read("v", "kv_heads", "v_head_dim");
    out_array = read("out", "q_heads", "v_head_dim");
    q = q_array.item(0, false), k = k_array.item(0, false), v = v_array.item(0, false);
    out = out_array.item(0, false);
  }
};

/// q, out and fresh rows of T, kept as Stored.
template <class T, class Stored>
void run_rolling_steps_as(verdict& v, golden_case& c, step_arrays const& all) {
  run_options const o = options_of(c);
  index const batch = c.number("batch");
  index const q_len = all.q.tokens;
  index const kv_heads = all.k.heads;
  index const head_dim = all.k.dim;
  index const v_dim = all.v.dim;
  index const window = c.number("window");
  if (window < 1) return c.fail("a rolling case has a window");
  golden_tensor const cache_k = c.floats("cache_k", {batch, window, kv_heads, head_dim});
  golden_tensor const cache_v = c.floats("cache_v", {batch, window, kv_heads, v_dim});
  std::vector<index> const steps = c.integers("par_steps");  // [steps, batch]
  if (batch < 1 || static_cast<index>(steps.size()) % batch != 0) c.fail("par_steps: bad shape");
  index total = 0;
  for (index const n : steps) total = n < 0 ? max_position : saturating_add(total, n);
  if (total != q_len) c.fail("par_steps does not sum to the tokens");
  if (!c.ok()) return;

  cache_shape const shape{
      .window = window, .kv_heads = kv_heads, .head_dim = head_dim, .v_dim = v_dim};
  using ring = rolling_cache<elements<Stored>>;
  std::vector<aligned_memory> memory;
  std::vector<ring> caches;
  for (index b = 0; b < batch; ++b) {
    memory.emplace_back(ring::required_bytes(shape));
    caches.emplace_back(memory.back(), shape);
  }
  rows_as<T> const q_rows(all.q), k_rows(all.k), v_rows(all.v);
  results const to(q_len, all.q.heads, v_dim, type_of<T>);
  index at = 0;
  for (std::size_t i = 0; i < steps.size(); ++i) {
    ring& cache = caches[i % static_cast<std::size_t>(batch)];
    range const piece{at, at + steps[i]};
    stored_view const new_k = k_rows.view().slice(piece);
    stored_view const new_v = v_rows.view().slice(piece);
    attention const call{.q = q_rows.view().slice(piece),
                         .kv = joined(cache, new_k, new_v),
                         .mask = o.of.exact(),
                         .score = o.score(),
                         .sink_logits = o.sink_logits,
                         .scale = o.scale};
    run_defined(v, o.allowed, call, to, piece);
    v.require(cache.append(new_k, new_v));
    at = piece.end;
  }
  results const slack = rounding_slack<T, Stored>(o.scale, o.allowed, all.q, all.k, all.v, all.out);
  bool const stored = std::is_same_v<T, float> && !std::is_same_v<Stored, float>;
  compare_rows(v, o.allowed, to, {.out = all.out}, {0, q_len},
               stored ? leeway{&slack, &verdict::stored} : leeway_of<T>(slack));

  // Slot by slot: position p lies at p mod window; a slot without one is 0 in the expected cache.
  for (index b = 0; b < batch; ++b) {
    ring const& cache = caches[static_cast<std::size_t>(b)];
    range const held = cache.positions();
    for (index slot = 0; slot < window; ++slot) {
      index const position = held.begin + ((slot - held.begin) % window + window) % window;
      bool const is_held = held.contains(position);
      if (is_held && cache.slot(position) != slot) v.fail("a position lies in another slot");
      for (index head = 0; head < kv_heads; ++head) {
        std::vector<float> const nothing(static_cast<std::size_t>(max_of(head_dim, v_dim)), 0.0f);
        kv_run const got = is_held ? cache.run_at(head, position)
                                   : kv_run{stored_rows::of(nothing.data(), 0, head_dim),
                                            stored_rows::of(nothing.data(), 0, v_dim), 0, 0, 1};
        auto const check_row = [&](char const* what, stored_rows const& rows, index dim,
                                   float const* expected) {
          std::vector<float> floats(static_cast<std::size_t>(dim));
          std::vector<float> want(expected, expected + dim);
          for (float& x : want) x = static_cast<float>(Stored(x));
          compare(v, {}, what, {got.floats(rows, dim, floats.data()), 1, 1, dim},
                  {want.data(), 1, 1, dim});
        };
        check_row("cache_k", got.k, head_dim, cache_k.item(b, true).row(slot, head));
        check_row("cache_v", got.v, v_dim, cache_v.item(b, true).row(slot, head));
      }
    }
  }
  v.checked = "out and cache slots";
}

void run_rolling_steps(verdict& v, golden_case& c) {
  step_arrays const all(c);
  if (!c.ok()) return;
  for_each_type({all.q, all.k, all.v}, [&]<class T>(std::type_identity<T>) {
    run_rolling_steps_as<T, T>(v, c, all);
    if (!std::is_same_v<T, float>) run_rolling_steps_as<float, T>(v, c, all);
  });
}

/// What no number of a row exceeds in magnitude, however its pairs (d, d + dim / 2) are turned. Turns
/// keep lengths, so the errors of rounded pairs keep to the same bound, that of what is here.
tensor turned_most(tensor_view<float const> const& from) {
  tensor most(from.tokens, from.heads, from.dim);
  index const half = from.dim / 2;
  for (index t = 0; t < from.tokens; ++t) {
    for (index h = 0; h < from.heads; ++h) {
      float const* const row = from.row(t, h);
      for (index d = 0; d < from.dim; ++d) {
        most.view.row(t, h)[d] = std::hypot(row[d], row[d < half ? d + half : d - half]);
      }
    }
  }
  return most;
}

/// A token a step; keys are kept before RoPE (rotate-half, theta 10000) and turned to their place.
template <class T>
void run_streaming_as(verdict& v, golden_case& c, step_arrays const& all) {
  run_options const o = options_of(c);
  index const tokens = all.q.tokens;
  index const q_heads = all.q.heads;
  index const head_dim = all.q.dim;
  cache_shape const shape{.window = c.number("window"),
                          .kv_heads = all.k.heads,
                          .head_dim = head_dim,
                          .v_dim = all.v.dim,
                          .sinks = c.number("sink_tokens")};
  if (!c.ok()) return;
  using ring = rolling_cache<elements<T>>;
  aligned_memory memory(ring::required_bytes(shape));
  ring cache(memory, shape);
  v.require(cache.check());
  if (!v.failure.empty()) return;
  rope const by{.dim = head_dim};
  index const places = shape.capacity();
  aligned_memory angles(rope_table::required_bytes(by, places));
  rope_table const table = rope_table::make(angles, by, places);
  rows_as<T> const k_rows(all.k), v_rows(all.v);
  results const to(tokens, q_heads, all.v.dim, type_of<T>);
  for (index t = 0; t < tokens; ++t) {
    range const step{t, t + 1};
    v.require(cache.append(k_rows.view().slice(step), v_rows.view().slice(step)));
    relative const kv(cache, table);
    tensor own_q(1, q_heads, head_dim);
    for (index h = 0; h < q_heads; ++h) {
      float* const row = own_q.view.row(0, h);
      std::copy_n(all.q.row(t, h), head_dim, row);
      table.rotate(kv.positions().end - 1, row);
    }
    rows_as<T> const step_q(own_q.view);
    attention const call{.q = step_q.view(), .kv = kv, .mask = causal{}, .scale = o.scale};
    run_defined(v, o.allowed, call, to, step);
  }
  tensor const most_q = turned_most(all.q), most_k = turned_most(all.k);
  results const slack =
      rounding_slack<T, T>(o.scale, o.allowed, most_q.view, most_k.view, all.v, all.out);
  compare_rows(v, o.allowed, to, {.out = all.out}, {0, tokens}, leeway_of<T>(slack));
}

void run_streaming(verdict& v, golden_case& c) {
  step_arrays const all(c);
  if (!c.ok()) return;
  for_each_type({all.q, all.k, all.v},
                [&]<class T>(std::type_identity<T>) { run_streaming_as<T>(v, c, all); });
  v.checked = "out, keys turned to their place in a ring with sinks";
}

void run_merge(verdict& v, golden_case& c) {
  tolerance const allowed{c.number<double>("atol"), c.number<double>("rtol")};
  std::vector<index> const shape = read_npy(c.path("part_out")).shape;
  if (shape.size() != 5)
    return c.fail("part_out.npy is not there or not [parts, batch, q, heads, dim]");
  index const parts = shape[0];
  index const batch = shape[1];
  index const q_len = shape[2];
  index const heads = shape[3];
  index const dim = shape[4];
  golden_tensor const part_out = c.floats("part_out", {parts, batch, q_len, heads, dim});
  golden_tensor const part_lse = c.floats("part_lse", {parts, batch, q_len, heads});
  golden_tensor const out = c.floats("out", {batch, q_len, heads, dim});
  golden_tensor const lse = c.floats("lse", {batch, q_len, heads});
  if (!c.ok()) return;
  index const tokens = batch * q_len;
  expectation const want{.out = {out.values.data(), tokens, heads, dim},
                         .lse = tensor_view<float const>(lse.values.data(), tokens, heads, 1)};
  tensor_view<float const> const all_parts(part_out.values.data(), parts * tokens, heads, dim);
  for_each_type({all_parts}, [&]<class T>(std::type_identity<T>) {
    // Weights stay and sum to 1: results move by no more than a part does, and are rounded.
    results const to(tokens, heads, dim, type_of<T>), slack(tokens, heads, dim);
    std::deque<rows_as<T>> rows;
    std::vector<partial> all;
    for (index i = 0; i < parts; ++i) {
      range const own{i * tokens, (i + 1) * tokens};
      tensor_view<float const> const part = all_parts.slice(own);
      tensor_view<float const> const weight(part_lse.values.data() + own.begin * heads, tokens,
                                            heads, 1);
      all.push_back({rows.emplace_back(part).view(), weight});
      for (index t = 0; t < tokens; ++t) {
        for (index h = 0; h < heads; ++h) {
          if (*weight.row(t, h) == -infinity) continue;
          for (index d = 0; d < dim; ++d) {
            float& most = slack.out_view.row(t, h)[d];
            most = std::max(most, static_cast<float>(rounding_of<T>(part.row(t, h)[d])));
          }
        }
      }
    }
    add_rounding(slack, type_of<T>, allowed, want.out);
    to.write({0, tokens},
             [&](output_view const& merged) { v.require(merge(all, merged, to.lse_view)); });
    compare_rows(v, allowed, to, want, {0, tokens}, leeway_of<T>(slack));
  });
  v.checked = "out and lse";
}

// --- quantised caches ----------------------------------------------------------------------------
float largest(golden_tensor const& of) {
  float most = 0.0f;
  for (float const x : of.values) most = std::max(most, std::abs(x));
  return most;
}

/// Attention of item b's queries over stored keys and values that stand for k and v [kv_len, ...].
void check_stored(verdict& v, golden_case& c, run_options const& o, arrays const& all, index b,
                  any_source const& kv, tensor_view<float const> k,
                  tensor_view<float const> values) {
  expectation const want = all.expected(b);
  for_each_type({all.item(all.q, b)}, [&]<class T>(std::type_identity<T>) {
    rows_as<T> const q(all.item(all.q, b));
    attention const call{.q = q.view(),
                         .kv = kv,
                         .mask = o.of.exact(),
                         .score = o.score(),
                         .first_query = c.number("q_offset"),
                         .scale = o.scale};
    range const rows{0, call.q.tokens};
    results const to(call.q.tokens, call.q.heads, values.dim, type_of<T>);
    run_defined(v, o.allowed, call, to, rows);
    results const slack =
        rounding_slack<T, float>(o.scale, o.allowed, all.item(all.q, b), k, values, want.out);
    compare_rows(v, o.allowed, to, want, rows, leeway_of<T>(slack));
  });
}

/// Bit for bit: what is stored of k and v, what is read from the stored codes; and attention over
/// them, read in place.
template <codec K, codec V>
void check_coded(verdict& v, golden_case& c, run_options const& o, arrays const& all,
                 K const& k_codec, V const& v_codec, std::vector<std::byte> const& k_stored,
                 std::vector<std::byte> const& v_stored) {
  index const tokens = c.number("batch") * c.number("kv_len");
  index const heads = c.number("kv_heads");
  auto const check_half = [&](auto const& of, char const* name, golden_tensor const& from,
                              std::vector<std::byte> const& bytes, index dim) {
    golden_tensor read = c.floats((std::string(name) + "_deq").c_str(), from.shape);
    index const row_bytes = of.row_bytes(dim);
    if (c.ok() && std::ssize(bytes) != tokens * heads * row_bytes)
      c.fail("codes have another size");
    if (!c.ok()) return read;
    std::vector<std::byte> row(static_cast<std::size_t>(row_bytes));
    std::vector<float> floats(static_cast<std::size_t>(dim));
    for (index i = 0; i < tokens * heads; ++i) {
      std::byte const* const at = bytes.data() + i * row_bytes;
      of.template encode<default_arch>(from.values.data() + i * dim, dim, i % heads, row.data());
      if (!std::equal(row.begin(), row.end(), at)) v.fail(std::string("other codes of ") + name);
      of.template read<default_arch>({at, row_bytes, i % heads, 0, 1, dim}, floats.data());
      if (!std::equal(floats.begin(), floats.end(), read.values.begin() + i * dim)) {
        v.fail(std::string("other floats from the codes of ") + name);
      }
    }
    return read;
  };
  golden_tensor const k_read = check_half(k_codec, "k", all.k, k_stored, c.number("head_dim"));
  golden_tensor const v_read = check_half(v_codec, "v", all.v, v_stored, c.number("v_head_dim"));
  index const kv_len = c.number("kv_len");
  for (index b = 0; b < c.number("batch") && v.failure.empty() && c.ok(); ++b) {
    auto const item = [&](auto const& of, std::vector<std::byte> const& bytes, index dim) {
      index const row = of.row_bytes(dim);
      return coded_view<std::remove_cvref_t<decltype(of)>>(
          bytes.data() + b * kv_len * heads * row, kv_len, heads, dim, heads * row, row, of);
    };
    auto const k = item(k_codec, k_stored, c.number("head_dim"));
    auto const values = item(v_codec, v_stored, c.number("v_head_dim"));
    check_stored(v, c, o, all, b, contiguous(k, values), k_read.item(b, true),
                 v_read.item(b, true));
  }
}

/// Codes that the file holds one per byte, as the codes of a row.
template <int Bits>
void pack(std::vector<std::uint8_t> const& codes, std::size_t first, index count, std::byte* row) {
  for (index i = 0; i < count; ++i) {
    code_rows<Bits>::put(row, i, codes[first + static_cast<std::size_t>(i)]);
  }
}

/// KIVI: keys through a cache of their own, values through their codec.
template <int Bits, int Group>
void run_kivi(verdict& v, golden_case& c, run_options const& o, arrays const& all) {
  using cache = kivi_cache<Bits, Group, float>;
  index const batch = c.number("batch");
  index const kv_len = c.number("kv_len");
  index const heads = c.number("kv_heads");
  index const dims[] = {c.number("head_dim"), c.number("v_head_dim")};
  golden_tensor const deq[] = {c.floats("k_deq", all.k.shape), c.floats("v_deq", all.v.shape)};
  auto const k_codes = c.bytes("k_codes");
  golden_tensor const k_scale = c.floats("k_scale", {batch, kv_len / Group, heads, dims[0]});
  golden_tensor const k_zero = c.floats("k_zero", k_scale.shape);
  if (!c.ok()) return;
  if (std::ssize(k_codes) != batch * kv_len * heads * dims[0]) return c.fail("k_codes: bad shape");
  for (index b = 0; b < batch; ++b) {
    cache_shape const shape{
        .window = kv_len, .kv_heads = heads, .head_dim = dims[0], .v_dim = dims[1]};
    aligned_memory bytes(cache::required_bytes(shape));
    cache kept(bytes, shape);
    v.require(kept.append(all.item(all.k, b), all.item(all.v, b)));
    if (!v.failure.empty()) return;
    for (index h = 0; h < heads; ++h) {
      for (index p = 0; p < kv_len; ++p) {
        kv_run const run = kept.run_at(h, p);
        std::vector<float> row(static_cast<std::size_t>(max_of(dims[0], dims[1])));
        for (int half = 0; half < 2; ++half) {
          index const dim = dims[half];
          stored_rows const& of = half == 0 ? run.k : run.v;
          float const* const got = run.floats(of, dim, row.data());
          float const* const want = deq[half].item(b, true).row(p, h);
          if (!of.reader) v.fail("a complete group is not quantised");
          // Without fma, scale * code is rounded before zero is added: by half an ulp of at most the
          // spread of the values.
          float const slack = has_fma<default_arch> ? 0.0f : 0x1p-23f * largest(deq[half]);
          for (index d = 0; d < dim; ++d) {
            if (!(std::abs(got[d] - want[d]) <= slack)) v.fail("other floats");
          }
        }
        // The codes and parameters of the file, packed into a group of the cache's layout.
        index const code_bytes = code_rows<Bits>::bytes(dims[0]);
        std::byte const* const group = run.k.data - p % Group * run.k.stride;
        std::vector<std::byte> packed(static_cast<std::size_t>(code_bytes));
        index const at = ((b * kv_len + p) * heads + h) * dims[0];
        pack<Bits>(k_codes, static_cast<std::size_t>(at), dims[0], packed.data());
        if (!std::equal(packed.begin(), packed.end(), group + p % Group * code_bytes)) {
          v.fail("other codes of k");
        }
        std::byte const* const parameters = group + Group * code_bytes;
        auto const row_at =
            static_cast<std::size_t>(((b * (kv_len / Group) + p / Group) * heads + h) * dims[0]);
        auto const size = static_cast<std::size_t>(dims[0]) * sizeof(float);
        if (std::memcmp(parameters, k_scale.values.data() + row_at, size) != 0 ||
            std::memcmp(parameters + size, k_zero.values.data() + row_at, size) != 0) {
          v.fail("other scales or zeros of k");
        }
      }
    }
    check_stored(v, c, o, all, b, kept, deq[0].item(b, true), deq[1].item(b, true));
  }
  // Values: the file's codes, scales and zeros as rows.
  auto const v_codes = c.bytes("v_codes");
  golden_tensor const v_scale = c.floats("v_scale", {batch, kv_len, heads, dims[1] / Group});
  golden_tensor const v_zero = c.floats("v_zero", v_scale.shape);
  if (!c.ok()) return;
  if (std::ssize(v_codes) != batch * kv_len * heads * dims[1]) return c.fail("v_codes: bad shape");
  using v_codec = typename cache::v_codec;
  index const row_bytes = v_codec::row_bytes(dims[1]);
  for (index i = 0; i < batch * kv_len * heads; ++i) {
    std::vector<std::byte> want(static_cast<std::size_t>(row_bytes)), got(want.size());
    pack<Bits>(v_codes, static_cast<std::size_t>(i * dims[1]), dims[1], want.data());
    auto const groups = static_cast<std::size_t>(dims[1] / Group);
    std::byte* const parameters = want.data() + code_rows<Bits>::bytes(dims[1]);
    std::memcpy(parameters, v_scale.values.data() + static_cast<std::size_t>(i) * groups,
                groups * 4);
    std::memcpy(parameters + groups * 4,
                v_zero.values.data() + static_cast<std::size_t>(i) * groups, groups * 4);
    v_codec{}.template encode<default_arch>(all.v.values.data() + i * dims[1], dims[1], 0,
                                            got.data());
    if (got != want) v.fail("other codes, scales or zeros of v");
  }
}

void run_quantised(verdict& v, golden_case& c) {
  run_options const o = options_of(c);
  arrays const all(c, true);
  if (!c.ok()) return;
  v.checked = "codes, floats, " + all.compared();
  if (c.has("k_zero")) {
    bool const four = c.name.find("4bit") != std::string::npos;
    index const group =
        c.number("kv_len") / max_of(1, c.floats("k_scale", {-1, -1, -1, -1}).shape[1]);
    if (group == 16) return four ? run_kivi<4, 16>(v, c, o, all) : run_kivi<2, 16>(v, c, o, all);
    if (group == 32) return four ? run_kivi<4, 32>(v, c, o, all) : run_kivi<2, 32>(v, c, o, all);
    return v.fail("groups of another size");
  }
  auto const stored = [&](char const* name) {
    std::vector<std::uint8_t> const bytes = c.bytes(name);
    auto const* const data = reinterpret_cast<std::byte const*>(bytes.data());
    return std::vector<std::byte>(data, data + bytes.size());
  };
  std::vector<std::byte> const k = stored("k_codes");
  std::vector<std::byte> const values = stored("v_codes");
  if (!c.ok()) return;
  index const floats = static_cast<index>(all.k.values.size());
  if (!c.has("k_scale")) {
    bool const eight = std::ssize(k) == floats / 32 * q8_0::row_bytes(32);
    return eight ? check_coded(v, c, o, all, q8_0{}, q8_0{}, k, values)
                 : check_coded(v, c, o, all, q4_0{}, q4_0{}, k, values);
  }
  auto const scales = [&](char const* name) { return c.any_floats(name); };
  golden_tensor const k_scale = scales("k_scale");
  golden_tensor const v_scale = scales("v_scale");
  if (!c.ok()) return;
  auto const codec = [&](auto kind, golden_tensor const& of) {
    kind.scales = of.values.data();
    kind.per_channel = of.values.size() > 1;
    return kind;
  };
  if (std::ssize(k) == floats) {
    check_coded(v, c, o, all, codec(scaled_int8{}, k_scale), codec(scaled_int8{}, v_scale), k,
                values);
  } else {
    check_coded(v, c, o, all, codec(scaled_int4{}, k_scale), codec(scaled_int4{}, v_scale), k,
                values);
  }
}

verdict run_case(golden_case& c) {
  verdict v;
  if (!c.ok()) {
  } else if (c.kind == "dense") {
    run_dense(v, c);
  } else if (c.kind == "varlen" || c.kind == "moba" || c.kind == "moba_decode") {
    run_varlen(v, c);
  } else if (c.kind == "rolling") {
    run_rolling_steps(v, c);
  } else if (c.kind == "streaming_posshift") {
    run_streaming(v, c);
  } else if (c.kind == "merge") {
    run_merge(v, c);
  } else if (c.kind == "quant") {
    run_quantised(v, c);
  } else {
    v.fail("unknown kind");
  }
  if (!c.ok()) v.fail(c.error);
  return v;
}

/// What has been done with 16-bit integers, and how much of its bounds that took.
std::string of_16_bits(verdict const& v) {
  char text[240];
  std::string all;
  if (v.stored > 0) {
    std::snprintf(text, sizeof text, ", again stored as bf16 and f16 (%.0f %% of its bound)",
                  100 * v.stored);
    all += text;
  }
  if (v.rounded > 0) {
    std::snprintf(text, sizeof text, ", all in bf16 and f16 (%.0f %% of its bound",
                  100 * v.rounded);
    all += text;
    if (v.others > 0) {
      std::snprintf(text, sizeof text, " but for %" PRId64 " of %" PRId64 " choices", v.others,
                    v.rows);
      all += text;
    }
    if (v.defined > 0) {
      std::snprintf(text, sizeof text, ", %.0f %% over the rounded rows", 100 * v.defined);
      all += text;
    }
    all += ")";
  }
  return all;
}

int run_directory(char const* directory) {
  std::vector<golden_case> cases = read_cases(directory);
  int passed = 0;
  int failed = 0;
  for (golden_case& c : cases) {
    verdict const v = run_case(c);
    double const allowed = c.number<double>("atol");
    if (!v.failure.empty()) {
      ++failed;
      std::printf("FAIL %s %s %.2g %.2g %s\n", c.name.c_str(), c.kind.c_str(), v.error, allowed,
                  v.failure.c_str());
    } else {
      ++passed;
      std::printf("PASS %s %s %.2g %.2g %s%s%s%s\n", c.name.c_str(), c.kind.c_str(), v.error,
                  allowed, v.checked.c_str(), v.padded ? ", again with its padding" : "",
                  v.rolled ? ", again in pieces through a rolling cache" : "",
                  of_16_bits(v).c_str());
    }
  }
  std::printf("%d passed, %d failed, 0 skipped\n", passed, failed);
  return failed == 0 && !cases.empty() ? 0 : 1;
}

}  // namespace
}  // namespace oriel::test

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: %s DIRECTORY\n", argv[0]);
    return 2;
  }
  return oriel::test::run_directory(argv[1]);
}
