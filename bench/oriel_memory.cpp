// SPDX-License-Identifier: BSL-1.0
// What a mask costs: oriel, which makes it as it goes, against a dense mask. Bytes are counted as
// they are allocated, answers are compared before anything is printed.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <fstream>
#include <functional>
#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <oriel/interop/owning.hpp>
#include <oriel/interop/throwing.hpp>
#include <oriel_build_info.hpp>
#include <random>

#include "clock.hpp"
#include "dense_baseline.hpp"
#include "extra_bytes.hpp"

namespace bench {
namespace {

using json = nlohmann::ordered_json;
using window_mask = oriel::both<oriel::causal, oriel::sliding_window>;

struct options {
  index window = 1024;
  index q_heads = 8;
  index kv_heads = 2;
  index dim = 64;
  index max_tokens = index{1} << 20;
  double time_limit = 60.0;
  bool quick = false;
  bool as_json = false;
};

/// Unit-normal [tokens, heads, dim] tensors; allocated before anything is measured.
struct tensors {
  std::vector<float> q, k, v, out;
  index tokens;
  options const* shape;

  tensors(options const& o, index n) : tokens(n), shape(&o) {
    std::mt19937_64 random(static_cast<std::uint64_t>(n));
    std::normal_distribution<float> normal;
    auto const make = [&](std::vector<float>& x, index heads) {
      x.resize(static_cast<std::size_t>(n * heads * o.dim));
      for (float& y : x) y = normal(random);
    };
    make(q, o.q_heads);
    make(k, o.kv_heads);
    make(v, o.kv_heads);
    out.resize(q.size());
  }
  oriel::tensor_view<float const> queries() const {
    return {q.data(), tokens, shape->q_heads, shape->dim};
  }
  oriel::tensor_view<float const> keys() const {
    return {k.data(), tokens, shape->kv_heads, shape->dim};
  }
  oriel::tensor_view<float const> values() const {
    return {v.data(), tokens, shape->kv_heads, shape->dim};
  }
  oriel::tensor_view<float> result(std::vector<float>& to) const {
    return {to.data(), tokens, shape->q_heads, shape->dim};
  }
};

/// One length; the dense half is empty where it was not run.
struct measurement {
  index tokens = 0;
  index oriel_bytes = 0;  ///< heap (the workspace is part of it) and stack
  double oriel_seconds = 0.0;
  std::optional<index> dense_bytes;
  double dense_seconds = 0.0;  ///< of the attention
  double mask_seconds = 0.0;   ///< of making the mask, besides
  double difference = 0.0;     ///< largest |oriel - dense|, in units of the largest |dense|
  std::string why_not;
};

index available_bytes() {
  std::ifstream file("/proc/meminfo");
  std::string key;
  for (index kib = 0; file >> key; file.ignore(256, '\n')) {
    if (key == "MemAvailable:" && file >> kib) return kib * 1024;
  }
  return index{4} << 30;
}

/// Bytes of the most that is at once allocated while f() runs, and the stack that it uses.
template <class F>
index bytes_of(F&& f) {
  team alone(1);
  stack_watch const stack(alone);
  heap_watch const heap;
  f();
  index const peak = heap.peak();
  return peak + stack.used();
}

/// Both programs run on one thread: its own time, which a busy machine does not stretch.
template <class F>
double seconds_of(F&& f) {
  double const start = thread_seconds();
  f();
  return thread_seconds() - start;
}

/// Least of some runs, about half a second of them.
template <class F>
double best_seconds_of(F&& f) {
  double best = seconds_of(f);
  double sum = best;
  for (int i = 0; i < 9 && sum < 0.5; ++i) {
    double const next = seconds_of(f);
    best = std::min(best, next);
    sum += next;
  }
  return best;
}

/// Attention as a program would call it, its workspace allocated for the call.
void attend_once(oriel::attention const& call) {
  oriel::attend_plan const plan = oriel::plan_attend(oriel::bounds_of(call));
  oriel::aligned_bytes const scratch(plan.workspace_bytes());
  oriel::require(oriel::attend(plan, call, scratch));
}

measurement measure(options const& o, index n, double dense_guess) {
  measurement m{.tokens = n};
  tensors t(o, n);
  window_mask const mask = oriel::causal{} & oriel::sliding_window{o.window};
  oriel::attention const call{.q = t.queries(),
                              .kv = oriel::contiguous{t.keys(), t.values()},
                              .mask = mask,
                              .out = t.result(t.out)};
  m.oriel_bytes = bytes_of([&] { attend_once(call); });
  m.oriel_seconds = best_seconds_of([&] { attend_once(call); });

  // The mask, the scores, and what a product packs besides.
  double const need = 2.2 * static_cast<double>(n) * static_cast<double>(n) * sizeof(float);
  if (need > 0.6 * static_cast<double>(available_bytes())) {
    m.why_not = "more than 60 % of the memory that is left";
    return m;
  }
  if (dense_guess > o.time_limit) {
    m.why_not = "would take longer than --time-limit";
    return m;
  }
  std::vector<float> dense(t.out.size());
  m.dense_bytes = bytes_of([&] {
    std::optional<dense_matrix> dense_m;
    m.mask_seconds = seconds_of([&] { dense_m.emplace(dense_mask(mask, n)); });
    m.dense_seconds = seconds_of(
        [&] { dense_attention(t.queries(), t.keys(), t.values(), *dense_m, t.result(dense)); });
    if (m.dense_seconds < 0.5) {
      m.dense_seconds =
          std::min(m.dense_seconds, best_seconds_of([&] {
                     dense_attention(t.queries(), t.keys(), t.values(), *dense_m, t.result(dense));
                   }));
    }
  });
  double largest = 0.0;
  double error = 0.0;
  for (std::size_t i = 0; i < dense.size(); ++i) {
    double const e = std::abs(static_cast<double>(dense[i]) - t.out[i]);
    if (!(e <= error)) error = e;
    largest = std::max(largest, std::abs(static_cast<double>(dense[i])));
  }
  m.difference = error / largest;
  if (!(m.difference <= 1e-5)) {
    throw std::runtime_error("the answers differ at " + std::to_string(n) +
                             " tokens: " + std::to_string(m.difference) + " of the largest value");
  }
  return m;
}

/// Time with a mask over time without one, at exactly as many visible pairs.
struct mask_cost {
  std::string masked, unmasked;
  index pairs = 0;  ///< per head
  double ratio = 0.0;
};

/// Median of the ratios of calls in turns.
double ratio_of(std::function<void()> const& masked, std::function<void()> const& unmasked) {
  masked(), unmasked();
  std::vector<double> ratios;
  double spent = 0.0;
  while (ratios.size() < 5 || (spent < 1.0 && ratios.size() < 51)) {
    double const a = seconds_of(masked);
    double const b = seconds_of(unmasked);
    ratios.push_back(a / b);
    spent += a + b;
  }
  std::sort(ratios.begin(), ratios.end());
  return ratios[ratios.size() / 2];
}

/// Every one of rows x W pairs: `blocks` blocks of W queries. Masked, each query sees the W keys up
/// to its own; unmasked, each block is a call in which every query sees the same W keys.
mask_cost window_cost(options const& o, index blocks) {
  index const w = o.window;
  index const rows = blocks * w;
  tensors t(o, rows + w - 1);
  oriel::range const late{w - 1, rows + w - 1};  // queries that have W keys
  oriel::tensor_view<float> const out(t.out.data(), rows, o.q_heads, o.dim);
  auto const masked = [&] {
    attend_once({.q = t.queries().slice(late),
                 .kv = oriel::contiguous{t.keys(), t.values()},
                 .mask = oriel::causal{} & oriel::sliding_window{w},
                 .out = out});
  };
  auto const unmasked = [&] {
    for (index b = 0; b < blocks; ++b) {
      oriel::range const block{b * w, (b + 1) * w};
      attend_once({.q = t.queries().slice(block),
                   .kv = oriel::contiguous{t.keys().slice(block), t.values().slice(block)},
                   .mask = oriel::full{},
                   .out = out.slice(block)});
    }
  };
  std::string const size = std::to_string(w);
  return {"window " + size + ": one call, " + std::to_string(rows) + " queries with " + size +
              " keys each",
          "full: " + std::to_string(blocks) + " calls of " + size + " queries x " + size + " keys",
          rows * w, ratio_of(masked, unmasked)};
}

/// n (n + 1) / 2 pairs, n odd: a causal triangle, and a rectangle of n queries x (n + 1) / 2 keys.
mask_cost causal_cost(options const& o, index n) {
  tensors t(o, n);
  index const half = (n + 1) / 2;
  auto const run = [&](index keys, oriel::any_mask const& mask) {
    attend_once({.q = t.queries(),
                 .kv = oriel::contiguous{t.keys().slice({0, keys}), t.values().slice({0, keys})},
                 .mask = mask,
                 .out = t.result(t.out)});
  };
  return {"causal: " + std::to_string(n) + " queries on " + std::to_string(n) + " keys",
          "full: " + std::to_string(n) + " queries on " + std::to_string(half) + " keys", n * half,
          ratio_of([&] { run(n, oriel::causal{}); }, [&] { run(half, oriel::full{}); })};
}

/// Mistral 7B's 32 layers at 32768 tokens: what masks and caches would take, and what ours did.
struct projection {
  static constexpr index tokens = 32768;
  static constexpr index layers = 32;
  static constexpr index window = 4096;
  static constexpr index kv_heads = 8;
  static constexpr index dim = 128;

  index masks = tokens * tokens * layers;                     ///< a byte per pair
  index full_f16 = tokens * layers * kv_heads * dim * 2 * 2;  ///< K and V, 2 bytes each
  index rolling_f16 = window * layers * kv_heads * dim * 2 * 2;
  index full_f32 = 2 * full_f16;
  index rolling_f32 = 0;   ///< required_bytes of all layers
  index measured_f32 = 0;  ///< heap that grew while the rings were made, filled past their wrap
  index layers_made = 0;
  index mask_bytes = sizeof(window_mask);  ///< our mask, a value on the stack
};

projection project(index layers) {
  using cache = oriel::rolling_cache<oriel::f32>;
  oriel::cache_shape const shape{
      .window = projection::window, .kv_heads = projection::kv_heads, .head_dim = projection::dim};
  projection p;
  p.rolling_f32 = cache::required_bytes(shape) * projection::layers;
  index const piece = 512;
  std::vector<float> const rows(
      static_cast<std::size_t>(piece * projection::kv_heads * projection::dim), 1.0f);
  oriel::tensor_view<float const> const view(rows.data(), piece, projection::kv_heads,
                                             projection::dim);
  std::vector<oriel::aligned_bytes> memory;
  memory.reserve(static_cast<std::size_t>(layers));
  heap_watch const heap;
  for (index layer = 0; layer < layers; ++layer) {
    cache ring(memory.emplace_back(cache::required_bytes(shape)), shape);
    for (index done = 0; done < projection::window + piece; done += piece) {
      oriel::require(ring.append(view, view));
    }
  }
  p.layers_made = layers;
  p.measured_f32 = heap.peak();
  return p;
}

std::string bytes_text(double bytes) {
  char const* const units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
  std::size_t unit = 0;
  for (; bytes >= 1024.0 && unit < 4; ++unit) bytes /= 1024.0;
  char text[32];
  std::snprintf(text, sizeof text, bytes < 10 && unit > 0 ? "%.1f %s" : "%.0f %s", bytes,
                units[unit]);
  return text;
}
std::string bytes_text(index bytes) { return bytes_text(static_cast<double>(bytes)); }

std::string seconds_text(double seconds) {
  char text[32];
  std::snprintf(text, sizeof text, seconds < 1.0 ? "%.1f ms" : "%.2f s",
                seconds < 1.0 ? 1e3 * seconds : seconds);
  return text;
}

void print_table(options const& o, std::vector<measurement> const& lengths,
                 std::vector<mask_cost> const& costs, projection const& p) {
  std::printf("Attention of one layer, window %lld, heads %lld:%lld, dim %lld, fp32, one thread.\n",
              static_cast<long long>(o.window), static_cast<long long>(o.q_heads),
              static_cast<long long>(o.kv_heads), static_cast<long long>(o.dim));
  std::printf("Extra memory is counted as it is allocated, above inputs and output.\n\n");
  std::printf("%9s  %12s %10s  %12s %10s %10s  %10s\n", "", "dense mask", "", "", "oriel", "",
              "largest");
  std::printf("%9s  %12s %10s %12s  %10s %10s  %10s\n", "tokens", "extra bytes", "time",
              "extra bytes", "time", "faster", "difference");
  for (measurement const& m : lengths) {
    std::string dense = "-";
    std::string time = "-";
    std::string faster = "-";
    std::string difference = "-";
    if (m.dense_bytes) {
      dense = bytes_text(*m.dense_bytes);
      time = seconds_text(m.dense_seconds);
      char text[32];
      std::snprintf(text, sizeof text, "%.1f x", m.dense_seconds / m.oriel_seconds);
      faster = text;
      std::snprintf(text, sizeof text, "%.1e", m.difference);
      difference = text;
    }
    std::printf("%9lld  %12s %10s %12s  %10s %10s  %10s%s%s\n", static_cast<long long>(m.tokens),
                dense.c_str(), time.c_str(), bytes_text(m.oriel_bytes).c_str(),
                seconds_text(m.oriel_seconds).c_str(), faster.c_str(), difference.c_str(),
                m.why_not.empty() ? "" : "  dense: ", m.why_not.c_str());
  }
  std::printf("\nTime with a generated mask over time without a mask, at exactly as many pairs:\n");
  for (mask_cost const& c : costs) {
    std::printf("  %.2f  %s\n        %s\n", c.ratio, c.masked.c_str(), c.unmasked.c_str());
  }
  std::printf("\nMistral 7B, 32768 tokens, 32 layers (8 kv heads, dim 128, window 4096):\n");
  std::printf(
      "  dense masks, one byte per pair          %10.1f GB  oriel: 0 (a value of %lld bytes)\n",
      static_cast<double>(p.masks) / 1e9, static_cast<long long>(p.mask_bytes));
  std::printf("  a full cache, fp16 / fp32               %10s / %s\n",
              bytes_text(p.full_f16).c_str(), bytes_text(p.full_f32).c_str());
  std::printf("  a rolling cache, fp16 / fp32            %10s / %s\n",
              bytes_text(p.rolling_f16).c_str(), bytes_text(p.rolling_f32).c_str());
  std::printf("  oriel's rolling caches, fp32, measured  %10s in %lld layers (%lld bytes)\n",
              bytes_text(p.measured_f32).c_str(), static_cast<long long>(p.layers_made),
              static_cast<long long>(p.measured_f32));
}

void print_json(options const& o, std::vector<measurement> const& lengths,
                std::vector<mask_cost> const& costs, projection const& p) {
  json all;
  all["isa"] = ORIEL_BUILD_ISA;
  all["cpu"] = ORIEL_BUILD_CPU;
  all["compiler"] = ORIEL_BUILD_COMPILER;
  all["window"] = o.window;
  all["q_heads"] = o.q_heads;
  all["kv_heads"] = o.kv_heads;
  all["dim"] = o.dim;
  all["lengths"] = json::array();
  for (measurement const& m : lengths) {
    json row{{"tokens", m.tokens},
             {"oriel_extra_bytes", m.oriel_bytes},
             {"oriel_seconds", m.oriel_seconds}};
    if (m.dense_bytes) {
      row["dense_extra_bytes"] = *m.dense_bytes;
      row["dense_seconds"] = m.dense_seconds;
      row["dense_mask_seconds"] = m.mask_seconds;
      row["relative_difference"] = m.difference;
    } else {
      row["dense_not_run"] = m.why_not;
    }
    all["lengths"].push_back(row);
  }
  all["mask_cost"] = json::array();
  for (mask_cost const& c : costs) {
    all["mask_cost"].push_back({{"masked", c.masked},
                                {"unmasked", c.unmasked},
                                {"pairs_per_head", c.pairs},
                                {"time_ratio", c.ratio}});
  }
  all["mistral_7b_32768"] = {{"dense_mask_bytes", p.masks},
                             {"oriel_mask_value_bytes", p.mask_bytes},
                             {"full_cache_f16_bytes", p.full_f16},
                             {"full_cache_f32_bytes", p.full_f32},
                             {"rolling_cache_f16_bytes", p.rolling_f16},
                             {"rolling_cache_f32_bytes", p.rolling_f32},
                             {"measured_rolling_cache_f32_bytes", p.measured_f32},
                             {"measured_layers", p.layers_made}};
  std::cout << all.dump(2) << '\n';
}

void run(options const& o) {
  std::vector<measurement> lengths;
  double guess = 0.0;
  index const last = o.quick ? oriel::min_of(4096, o.max_tokens) : o.max_tokens;
  for (index n = 1024; n <= last; n *= 2) {
    lengths.push_back(measure(o, n, guess));
    if (!lengths.back().dense_bytes) break;  // one length more than the baseline can do
    guess = 4.0 * (lengths.back().dense_seconds + lengths.back().mask_seconds);
  }
  std::vector<mask_cost> const costs{window_cost(o, 4), causal_cost(o, o.quick ? 2047 : 4095)};
  // All 32 layers, unless that would be half of the memory that is left.
  index const layer_bytes = index{32} << 20;
  index const fit = available_bytes() / 2 / layer_bytes;
  projection const p = project(oriel::max_of(1, oriel::min_of(projection::layers, fit)));
  o.as_json ? print_json(o, lengths, costs, p) : print_table(o, lengths, costs, p);
}

}  // namespace
}  // namespace bench

int main(int argc, char** argv) {
  try {
    bench::options o;
    CLI::App app("Memory and time of attention with a generated mask against a dense one");
    app.add_flag("--quick", o.quick, "1024 to 4096 tokens only");
    app.add_flag("--json", o.as_json, "JSON on stdout instead of tables");
    app.add_option("--window", o.window, "keys that a query sees")
        ->check(CLI::Range(oriel::index{1}, oriel::index{1} << 16))
        ->capture_default_str();
    app.add_option("--max-tokens", o.max_tokens, "longest sequence to try")
        ->check(CLI::Range(oriel::index{1024}, oriel::index{1} << 24))
        ->capture_default_str();
    app.add_option("--time-limit", o.time_limit, "seconds that the baseline may take for a length")
        ->check(CLI::PositiveNumber)
        ->capture_default_str();
    CLI11_PARSE(app, argc, argv);
    bench::run(o);
  } catch (std::exception const& e) {
    std::cerr << "oriel_memory: " << e.what() << '\n';
    return 1;
  }
  return 0;
}
