// SPDX-License-Identifier: BSL-1.0
// oriel_golden DIR: runs the cases of a golden directory (its layout: README.md) through the public
// API. A line per case:
//
//   PASS|FAIL|SKIP name kind largest-error tolerance reason
//
// then "N passed, M failed, K skipped". Exits 1 if any failed or there are none, 2 on bad usage.
// A case is skipped only for a feature that oriel does not have, told by the fields it uses.
#include <algorithm>
#include <cinttypes>
#include <cmath>
#include <cstdio>

#include "golden_case.hpp"
#include "tensors.hpp"
#include "threads.hpp"

namespace oriel::test {
namespace {

/// How far a case has come: the largest error, what was checked, what went wrong, what is missing.
struct verdict {
  double error = 0.0;
  std::string checked;
  bool rolled = false;  ///< once more in pieces through a rolling cache
  std::string failure;
  std::string missing;

  void fail(std::string why) {
    if (failure.empty()) failure = std::move(why);
  }
  void require(status const& s) {
    if (!s.ok()) fail(s.what);
  }
};

struct tolerance {
  double absolute = 0.0;
  double relative = 0.0;
};

void compare(verdict& v, tolerance allowed, char const* what, tensor_view<float const> got,
             tensor_view<float const> want) {
  for (index t = 0; t < got.tokens; ++t) {
    for (index h = 0; h < got.heads; ++h) {
      for (index d = 0; d < got.dim; ++d) {
        double const x = got.row(t, h)[d];
        double const y = want.row(t, h)[d];
        double const error = x == y ? 0.0 : std::abs(x - y);
        v.error = error <= v.error ? v.error : error;
        if (x == y || error <= allowed.absolute + allowed.relative * std::min(std::abs(y), 1e30)) {
          continue;
        }
        char text[160];
        std::snprintf(text, sizeof text, "%s[%" PRId64 ", %" PRId64 ", %" PRId64 "] is %g, not %g",
                      what, t, h, d, x, y);
        v.fail(text);
      }
    }
  }
}

/// The features of a case that oriel does not have yet.
std::string missing_features(golden_case& c) {
  std::string all;
  auto const needs = [&](bool needed, char const* feature) {
    if (needed) all += (all.empty() ? "" : ", ") + std::string(feature);
  };
  needs(c.kind == "moba" || c.kind == "moba_decode", "block selection (MoBA)");
  needs(c.kind == "quant", "quantised cache");
  needs(c.kind == "streaming_posshift", "keys rotated by their place in the cache");
  needs(c.number("sink_tokens") != 0, "sink tokens");
  needs(c.number("chunk") != 0, "chunked mask");
  needs(c.number<double>("softcap") != 0.0, "softcap");
  needs(c.has("sink"), "sink logits");
  needs(c.has("alibi_slopes"), "alibi");
  needs(c.number("window_right") > 0 && c.number("causal") == 0, "window to the right");
  return all;
}

/// Rows of out and lse, packed.
struct results {
  std::vector<float> out, lse;
  tensor_view<float> out_view, lse_view;

  results(index tokens, index heads, index dim)
      : out(static_cast<std::size_t>(tokens * heads * dim)),
        lse(static_cast<std::size_t>(tokens * heads)),
        out_view(out.data(), tokens, heads, dim),
        lse_view(lse.data(), tokens, heads, 1) {}
};

template <class Executor = serial const>
void run(verdict& v, attention call, results const& to, range rows, Executor&& on = Executor{}) {
  call.out = to.out_view.slice(rows);
  call.lse = to.lse_view.slice(rows);
  aligned_memory scratch(plan_attend(bounds_of(call), on.workers()).workspace_bytes());
  v.require(attend(call, scratch, on));
}

/// One sequence: keys from position 0, queries from any.
struct sequence {
  tensor_view<float const> q, k, v;
  index first_query = 0;
  any_mask mask = full{};
  float scale = 1.0f;
  index window = 0;                ///< rows of a rolling cache that serves the mask; 0: all
  std::vector<index> pieces = {};  ///< where a prompt is cut; random if empty
};

void run_whole(verdict& v, sequence const& s, results const& to) {
  static threads pool(2);
  attention const call{.q = s.q,
                       .kv = contiguous(s.k, s.v),
                       .mask = s.mask,
                       .first_query = s.first_query,
                       .scale = s.scale};
  range const all{0, s.q.tokens};
  run(v, call, to, all);
  results const again(s.q.tokens, s.q.heads, s.v.dim);
  run(v, call, again, all, pool);
  if (bits_of(again.out_view) != bits_of(to.out_view) ||
      bits_of(again.lse_view) != bits_of(to.lse_view)) {
    v.fail("two threads give other bits than one");
  }
}

/// The queries [first, q.tokens) once more, fed piece by piece through a rolling cache. The last
/// query must sit at the last key, the mask must be causal.
void run_rolling(verdict& v, sequence const& s, results const& to, index first) {
  cache_shape const shape{
      .window = s.window > 0 ? min_of(s.window, max_of(s.k.tokens, 1)) : max_of(s.k.tokens, 1),
      .kv_heads = s.k.heads,
      .head_dim = s.k.dim,
      .v_dim = s.v.dim};
  aligned_memory bytes(rolling_cache<f32>::required_bytes(shape));
  rolling_cache<f32> cache(bytes, shape);
  index const offset = s.first_query + first;
  random_numbers random(static_cast<std::uint64_t>(s.k.tokens));
  for (index at = 0; at < s.k.tokens;) {
    index end = at + 1 + random.below(max_of(1, s.k.tokens / 4));
    auto const cut = std::upper_bound(s.pieces.begin(), s.pieces.end(), at);
    if (cut != s.pieces.end()) end = *cut;
    end = min_of(end, at < offset ? offset : s.k.tokens);
    range const piece{at, end};
    if (at >= offset) {
      range const rows{at - s.first_query, end - s.first_query};
      attention const call{.q = s.q.slice(rows),
                           .kv = joined(cache, s.k.slice(piece), s.v.slice(piece)),
                           .mask = s.mask,
                           .scale = s.scale};
      run(v, call, to, rows);
    }
    v.require(cache.append(s.k.slice(piece), s.v.slice(piece)));
    at = end;
  }
}

/// A sequence in every way there is, against the expected rows.
void check_sequence(verdict& v, tolerance allowed, sequence const& s, bool is_causal,
                    tensor_view<float const> out, std::optional<tensor_view<float const>> lse) {
  results const to(s.q.tokens, s.q.heads, s.v.dim);
  auto const check_rows = [&](range part) {
    compare(v, allowed, "out", to.out_view.slice(part), out.slice(part));
    if (lse) compare(v, allowed, "lse", to.lse_view.slice(part), lse->slice(part));
  };
  run_whole(v, s, to);
  check_rows({0, s.q.tokens});
  index const first = max_of(0, -s.first_query);
  if (!is_causal || s.first_query + s.q.tokens != s.k.tokens || first >= s.q.tokens) return;
  run_rolling(v, s, to, first);
  v.rolled = true;
  check_rows({first, s.q.tokens});
}

// --- the kinds -----------------------------------------------------------------------------------
struct sizes {
  index batch, q_len, kv_len, q_heads, kv_heads, head_dim, v_dim;
};
sizes sizes_of(golden_case& c) {
  return {c.number("batch"),    c.number("q_len"),    c.number("kv_len"),    c.number("q_heads"),
          c.number("kv_heads"), c.number("head_dim"), c.number("v_head_dim")};
}

struct run_options {
  any_mask mask;
  bool is_causal;
  index window;  ///< 0: none
  float scale;
  tolerance allowed;
};

/// What a case asks for, with what oriel has: windows to the left, and causal.
run_options options_of(golden_case& c) {
  index const left = c.number("window_left");
  index window = c.number("window");
  if (left >= 0) window = window > 0 ? min_of(window, left + 1) : left + 1;
  bool const is_causal = c.number("causal") != 0 || c.number("window_right") == 0;
  any_mask const mask = is_causal && window > 0 ? any_mask(causal{} & sliding_window{window})
                        : is_causal             ? any_mask(causal{})
                        : window > 0            ? any_mask(sliding_window{window})
                                                : any_mask(full{});
  return {mask,
          is_causal,
          window,
          static_cast<float>(c.number<double>("scale")),
          {c.number<double>("atol"), c.number<double>("rtol")}};
}

void run_dense(verdict& v, golden_case& c) {
  auto const [batch, q_len, kv_len, q_heads, kv_heads, head_dim, v_dim] = sizes_of(c);
  run_options const o = options_of(c);
  index const offset = c.number("q_offset");
  golden_tensor const q = c.floats("q", {batch, q_len, q_heads, head_dim});
  golden_tensor const k = c.floats("k", {batch, kv_len, kv_heads, head_dim});
  golden_tensor const values = c.floats("v", {batch, kv_len, kv_heads, v_dim});
  golden_tensor const out = c.floats("out", {batch, q_len, q_heads, v_dim});
  std::optional<golden_tensor> lse;
  if (c.has("lse")) lse = c.floats("lse", {batch, q_len, q_heads});
  if (batch < 1) c.fail("cases.tsv: batch must be at least 1");
  if (!c.ok()) return;
  std::vector<index> pad(static_cast<std::size_t>(batch), 0);
  std::vector<index> valid(static_cast<std::size_t>(batch), kv_len);
  if (c.has("par_left_pad")) pad = c.integers("par_left_pad");
  if (c.has("par_kv_valid")) valid = c.integers("par_kv_valid");
  std::vector<index> segments;
  if (c.has("par_segments")) segments = c.integers("par_segments");
  if (pad.size() != static_cast<std::size_t>(batch) || valid.size() != pad.size()) {
    c.fail("par_left_pad or par_kv_valid does not have batch elements");
  }
  if (!c.ok()) return;
  for (index b = 0; b < batch; ++b) {
    index const begin = pad[static_cast<std::size_t>(b)];
    index const end = valid[static_cast<std::size_t>(b)];
    if (begin < 0 || begin > kv_len || end < begin || end > kv_len) {
      return c.fail("par_left_pad or par_kv_valid is out of range");
    }
    // Padding is no key: positions begin behind it, and its queries stand before position 0, where
    // a causal mask shows nothing; another mask is not asked.
    index const rows = end < kv_len ? min_of(q_len, end) : q_len;  // those behind are undefined
    index const before = o.is_causal ? 0 : min_of(rows, max_of(0, begin - offset));
    for (range const part : {range{0, before}, {before, rows}}) {
      range const keys = part.begin < before ? range{begin, begin} : range{begin, end};
      sequence const s{.q = q.item(b, true).slice(part),
                       .k = k.item(b, true).slice(keys),
                       .v = values.item(b, true).slice(keys),
                       .first_query = offset + part.begin - begin,
                       .mask = o.mask,
                       .scale = o.scale,
                       .window = o.window,
                       .pieces = segments};
      std::optional<tensor_view<float const>> row_lse;
      if (lse) row_lse = lse->item(b, true, false).slice(part);
      check_sequence(v, o.allowed, s, o.is_causal, out.item(b, true).slice(part), row_lse);
    }
  }
  v.checked = lse ? "out and lse" : "out";
}

void run_varlen(verdict& v, golden_case& c) {
  auto const [batch, q_len, kv_len, q_heads, kv_heads, head_dim, v_dim] = sizes_of(c);
  run_options const o = options_of(c);
  golden_tensor const q = c.floats("q", {q_len, q_heads, head_dim});
  golden_tensor const k = c.floats("k", {kv_len, kv_heads, head_dim});
  golden_tensor const values = c.floats("v", {kv_len, kv_heads, v_dim});
  golden_tensor const out = c.floats("out", {q_len, q_heads, v_dim});
  std::optional<golden_tensor> lse;
  if (c.has("lse")) lse = c.floats("lse", {q_len, q_heads});
  std::vector<index> const q_at = c.integers("par_cu_seqlens_q");
  std::vector<index> const k_at = c.integers("par_cu_seqlens_k");
  auto const is_cut = [](std::vector<index> const& at, index length) {
    return !at.empty() && at.front() == 0 && at.back() == length &&
           std::is_sorted(at.begin(), at.end());
  };
  if (q_at.size() != k_at.size() || !is_cut(q_at, q_len) || !is_cut(k_at, kv_len)) {
    c.fail("par_cu_seqlens_q or par_cu_seqlens_k does not cut the tokens");
  }
  if (!c.ok()) return;
  for (std::size_t i = 0; i + 1 < q_at.size(); ++i) {
    range const rows{q_at[i], q_at[i + 1]};
    range const keys{k_at[i], k_at[i + 1]};
    sequence const s{.q = q.item(0, false).slice(rows),
                     .k = k.item(0, false).slice(keys),
                     .v = values.item(0, false).slice(keys),
                     .first_query = keys.size() - rows.size(),
                     .mask = o.mask,
                     .scale = o.scale,
                     .window = o.window};
    std::optional<tensor_view<float const>> row_lse;
    if (lse) row_lse = lse->item(0, false, false).slice(rows);
    check_sequence(v, o.allowed, s, o.is_causal, out.item(0, false).slice(rows), row_lse);
  }
  v.checked = "a call per document";
}

void run_rolling_steps(verdict& v, golden_case& c) {
  auto const [batch, q_len, kv_len, q_heads, kv_heads, head_dim, v_dim] = sizes_of(c);
  run_options const o = options_of(c);
  golden_tensor const q = c.floats("q", {q_len, q_heads, head_dim});
  golden_tensor const k = c.floats("k", {q_len, kv_heads, head_dim});
  golden_tensor const values = c.floats("v", {q_len, kv_heads, v_dim});
  golden_tensor const out = c.floats("out", {q_len, q_heads, v_dim});
  if (o.window < 1) return c.fail("a rolling case has a window");
  golden_tensor const cache_k = c.floats("cache_k", {batch, o.window, kv_heads, head_dim});
  golden_tensor const cache_v = c.floats("cache_v", {batch, o.window, kv_heads, v_dim});
  std::vector<index> const steps = c.integers("par_steps");  // [steps, batch]
  if (batch < 1 || static_cast<index>(steps.size()) % batch != 0) c.fail("par_steps: bad shape");
  index total = 0;
  for (index const n : steps) total = n < 0 ? max_position : saturating_add(total, n);
  if (total != q_len) c.fail("par_steps does not sum to the tokens");
  if (!c.ok()) return;

  cache_shape const shape{
      .window = o.window, .kv_heads = kv_heads, .head_dim = head_dim, .v_dim = v_dim};
  std::vector<aligned_memory> memory;
  std::vector<rolling_cache<f32>> caches;
  for (index b = 0; b < batch; ++b) {
    memory.emplace_back(rolling_cache<f32>::required_bytes(shape));
    caches.emplace_back(memory.back(), shape);
  }
  results const to(q_len, q_heads, v_dim);
  index at = 0;
  for (std::size_t i = 0; i < steps.size(); ++i) {
    rolling_cache<f32>& cache = caches[i % static_cast<std::size_t>(batch)];
    range const piece{at, at + steps[i]};
    auto const new_k = k.item(0, false).slice(piece);
    auto const new_v = values.item(0, false).slice(piece);
    attention const call{.q = q.item(0, false).slice(piece),
                         .kv = joined(cache, new_k, new_v),
                         .mask = o.mask,
                         .scale = o.scale};
    run(v, call, to, piece);
    v.require(cache.append(new_k, new_v));
    at = piece.end;
  }
  compare(v, o.allowed, "out", to.out_view, out.item(0, false));

  // Slot by slot: position p lies at p mod window; a slot without one is 0 in the expected cache.
  for (index b = 0; b < batch; ++b) {
    rolling_cache<f32> const& cache = caches[static_cast<std::size_t>(b)];
    range const held = cache.positions();
    for (index slot = 0; slot < o.window; ++slot) {
      index const position = held.begin + ((slot - held.begin) % o.window + o.window) % o.window;
      bool const is_held = held.contains(position);
      if (is_held && cache.slot(position) != slot) v.fail("a position lies in another slot");
      for (index head = 0; head < kv_heads; ++head) {
        std::vector<float> const nothing(static_cast<std::size_t>(max_of(head_dim, v_dim)), 0.0f);
        kv_run const got = is_held ? cache.run_at(head, position)
                                   : kv_run{nothing.data(), nothing.data(), 0, 0, 0, 1};
        auto const row = [&](float const* data, index dim) {
          return tensor_view<float const>(data, 1, 1, dim);
        };
        compare(v, {}, "cache_k", row(got.k, head_dim),
                row(cache_k.item(b, true).row(slot, head), head_dim));
        compare(v, {}, "cache_v", row(got.v, v_dim),
                row(cache_v.item(b, true).row(slot, head), v_dim));
      }
    }
  }
  v.checked = "out and cache slots";
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
  std::vector<partial> all;
  for (index i = 0; i < parts; ++i) {
    all.push_back({{part_out.values.data() + i * tokens * heads * dim, tokens, heads, dim},
                   {part_lse.values.data() + i * tokens * heads, tokens, heads, 1}});
  }
  results const to(tokens, heads, dim);
  v.require(merge(all, to.out_view, to.lse_view));
  compare(v, allowed, "out", to.out_view, {out.values.data(), tokens, heads, dim});
  compare(v, allowed, "lse", to.lse_view, {lse.values.data(), tokens, heads, 1});
  v.checked = "out and lse";
}

verdict run_case(golden_case& c) {
  verdict v;
  v.missing = missing_features(c);
  if (!c.ok() || !v.missing.empty()) {
  } else if (c.kind == "dense") {
    run_dense(v, c);
  } else if (c.kind == "varlen") {
    run_varlen(v, c);
  } else if (c.kind == "rolling") {
    run_rolling_steps(v, c);
  } else if (c.kind == "merge") {
    run_merge(v, c);
  } else {
    v.fail("unknown kind");
  }
  if (!c.ok()) v.fail(c.error);
  return v;
}

int run_directory(char const* directory) {
  std::vector<golden_case> cases = read_cases(directory);
  int passed = 0;
  int failed = 0;
  int skipped = 0;
  for (golden_case& c : cases) {
    verdict const v = run_case(c);
    double const allowed = c.number<double>("atol");
    if (!v.failure.empty()) {
      ++failed;
      std::printf("FAIL %s %s %.2g %.2g %s\n", c.name.c_str(), c.kind.c_str(), v.error, allowed,
                  v.failure.c_str());
    } else if (!v.missing.empty()) {
      ++skipped;
      std::printf("SKIP %s %s - %.2g not there yet: %s\n", c.name.c_str(), c.kind.c_str(), allowed,
                  v.missing.c_str());
    } else {
      ++passed;
      std::printf("PASS %s %s %.2g %.2g %s%s\n", c.name.c_str(), c.kind.c_str(), v.error, allowed,
                  v.checked.c_str(), v.rolled ? ", again in pieces through a rolling cache" : "");
    }
  }
  std::printf("%d passed, %d failed, %d skipped\n", passed, failed, skipped);
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
