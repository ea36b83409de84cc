// SPDX-License-Identifier: BSL-1.0
// Mixture of Block Attention (arXiv:2502.13189) as a ladder, from five lines to one call.
//
// - naive: Eigen; pool the keys, gate, pick the top blocks, mask, softmax. A tokens x tokens matrix
//  per head, and as many flops as without any choice.
// - rows: row after row over its own blocks only. No matrix and few flops, but one row at a time, a
//  product of matrix and vector: bound by memory.
// - gathered: block after block; the rows that chose it are gathered, so the products are of
//  matrices again; a row's parts are merged by their maximum and sum.
// - oriel: the same in tiles that stay in cache, one call, in any phase, with any mask.
// - dense: what all of this is to beat, causal attention to everything.
//
// Without arguments it runs every rung at 512 tokens, and prints, where * differs between machines:
//   512 tokens, 2 heads, head_dim 64, block 32, top 3
//   naive      *   off by 0
//   rows       *   off by *
//   gathered   *   off by *
//   oriel      *   off by *
//   every rung within 5e-06 of the naive one
//   pairs: naive 524288, chosen 76288, causal 262656
//
// With --advise SECONDS it measures this core's rate and says what of dense, MoBA and a window the
// prompt can have within that time (and --gigabytes of cache).
// With --trade it prints what blocks and top-k cost and keep, of keys that share a topic in
// stretches of 256 tokens and queries that look for one; with --crossover, from which length on
// blocks are faster. --svg draws it.
// With --way it runs one of them and prints its time and its process's largest resident set.
#include <sys/resource.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <ctime>
#include <limits>
#include <numeric>
#include <oriel/interop/eigen.hpp>
#include <oriel/interop/owning.hpp>
#include <oriel/interop/throwing.hpp>
#include <oriel/oriel.hpp>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "plot.hpp"

namespace {

using oriel::index;
using matrix = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
constexpr float minus_infinity = -std::numeric_limits<float>::infinity();

struct options {
  std::string way;
  bool trade = false;
  bool crossover = false;
  std::string svg;
  double seconds = 0.0;  ///< to get advice for, if above 0
  double gigabytes = 1e6;
  index tokens = 512;
  index queries = 0;  ///< the last so many are computed; 0: all
  index heads = 2;
  index dim = 64;
  index block = 32;
  index top_k = 3;
};

/// Of mean 0 and variance 1.
float next_number(std::uint64_t& state) {
  state = state * 6364136223846793005u + 1442695040888963407u;
  return static_cast<float>(static_cast<std::int32_t>(state >> 32)) * 0x1p-31f * 1.7320508f;
}

/// q, k, v and out: [tokens, heads, dim].
struct tensors {
  options const& of;
  std::vector<float> q, k, v, out;

  explicit tensors(options const& o) : of(o), q(size()), k(size()), v(size()), out(size()) {
    std::uint64_t state = 1;
    for (auto* const all : {&q, &k, &v}) {
      for (float& x : *all) x = next_number(state);
    }
  }
  oriel::tensor_view<float const> view(std::vector<float> const& of_all) const {
    return {of_all.data(), of.tokens, of.heads, of.dim};
  }
  oriel::tensor_view<float> result() { return {out.data(), of.tokens, of.heads, of.dim}; }
  /// [tokens, dim]
  auto head(std::vector<float> const& of_all, index h) const {
    return oriel::matrix_of(view(of_all), h);
  }

 private:
  std::size_t size() const { return static_cast<std::size_t>(of.tokens * of.heads * of.dim); }
};

index causal_blocks(options const& o, index row) { return row / o.block; }

/// The blocks of a row from its gates for the blocks before its own, ascending.
std::vector<index> choose(options const& o, index row, std::vector<float> const& gate) {
  index const own = causal_blocks(o, row);
  std::vector<index> best(static_cast<std::size_t>(own));
  std::iota(best.begin(), best.end(), index{0});
  std::stable_sort(best.begin(), best.end(), [&](index a, index b) {
    return gate[static_cast<std::size_t>(a)] > gate[static_cast<std::size_t>(b)];
  });
  best.resize(static_cast<std::size_t>(std::min(own, o.top_k - 1)));
  std::sort(best.begin(), best.end());
  best.push_back(own);
  return best;
}

/// Means of the complete blocks of one head: [blocks, dim].
matrix pooled(options const& o, tensors const& t, index h) {
  matrix mean(o.tokens / o.block, o.dim);
  for (index b = 0; b < mean.rows(); ++b) {
    mean.row(b) = t.head(t.k, h).middleRows(b * o.block, o.block).colwise().mean();
  }
  return mean;
}

/// The blocks of every row of one head.
std::vector<std::vector<index>> all_choices(options const& o, tensors const& t, index h) {
  matrix const mean = pooled(o, t, h);
  std::vector<std::vector<index>> chosen;
  chosen.reserve(static_cast<std::size_t>(o.tokens));
  std::vector<float> gate(static_cast<std::size_t>(mean.rows() + 1));
  for (index row = 0; row < o.tokens; ++row) {
    for (index b = 0; b < causal_blocks(o, row); ++b) {
      gate[static_cast<std::size_t>(b)] = t.head(t.q, h).row(row).dot(mean.row(b));
    }
    chosen.push_back(choose(o, row, gate));
  }
  return chosen;
}

void naive(options const& o, tensors& t) {
  float const scale = 1.0f / std::sqrt(static_cast<float>(o.dim));
  for (index h = 0; h < o.heads; ++h) {
    auto const chosen = all_choices(o, t, h);                          // pool, gate, top-k
    matrix s = scale * (t.head(t.q, h) * t.head(t.k, h).transpose());  // [tokens, tokens]
    matrix mask = matrix::Constant(o.tokens, o.tokens, minus_infinity);
    for (index row = 0; row < o.tokens; ++row) {
      for (index const b : chosen[static_cast<std::size_t>(row)]) {
        mask.row(row).segment(b * o.block, std::min(o.block, row + 1 - b * o.block)).setZero();
      }
    }
    s += mask;
    for (index row = 0; row < o.tokens; ++row) {
      s.row(row) = (s.row(row).array() - s.row(row).maxCoeff()).exp();
      s.row(row) /= s.row(row).sum();
    }
    oriel::matrix_of(t.result(), h) = s * t.head(t.v, h);
  }
}

void rows(options const& o, tensors& t) {
  float const scale = 1.0f / std::sqrt(static_cast<float>(o.dim));
  Eigen::VectorXf s(o.block * o.top_k);
  for (index h = 0; h < o.heads; ++h) {
    auto const chosen = all_choices(o, t, h);
    for (index row = 0; row < o.tokens; ++row) {
      index count = 0;
      auto const each_block = [&](auto&& f) {
        count = 0;
        for (index const b : chosen[static_cast<std::size_t>(row)]) {
          index const keys = std::min(o.block, row + 1 - b * o.block);
          f(b * o.block, keys);
          count += keys;
        }
      };
      each_block([&](index first, index keys) {
        s.segment(count, keys) =
            scale * (t.head(t.k, h).middleRows(first, keys) * t.head(t.q, h).row(row).transpose());
      });
      s.head(count) = (s.head(count).array() - s.head(count).maxCoeff()).exp();
      s.head(count) /= s.head(count).sum();
      auto out = oriel::matrix_of(t.result(), h);
      out.row(row).setZero();
      each_block([&](index first, index keys) {
        out.row(row) += s.segment(count, keys).transpose() * t.head(t.v, h).middleRows(first, keys);
      });
    }
  }
}

void gathered(options const& o, tensors& t) {
  float const scale = 1.0f / std::sqrt(static_cast<float>(o.dim));
  for (index h = 0; h < o.heads; ++h) {
    auto const chosen = all_choices(o, t, h);
    auto out = oriel::matrix_of(t.result(), h);
    out.setZero();
    Eigen::VectorXf most = Eigen::VectorXf::Constant(o.tokens, minus_infinity);
    Eigen::VectorXf sum = Eigen::VectorXf::Zero(o.tokens);
    for (index first = 0; first < o.tokens; first += o.block) {
      std::vector<index> takers;
      for (index row = first; row < o.tokens; ++row) {
        auto const& own = chosen[static_cast<std::size_t>(row)];
        if (std::binary_search(own.begin(), own.end(), first / o.block)) takers.push_back(row);
      }
      index const keys = std::min(o.block, o.tokens - first);
      matrix q(static_cast<index>(takers.size()), o.dim);
      for (index i = 0; i < q.rows(); ++i) {
        q.row(i) = scale * t.head(t.q, h).row(takers[static_cast<std::size_t>(i)]);
      }
      matrix s = q * t.head(t.k, h).middleRows(first, keys).transpose();
      for (index i = 0; i < q.rows(); ++i) {
        index const row = takers[static_cast<std::size_t>(i)];
        if (row + 1 - first < keys)
          s.row(i).tail(keys - (row + 1 - first)).setConstant(minus_infinity);
        float const top = std::max(most[row], s.row(i).maxCoeff());
        float const shrink = std::exp(most[row] - top);
        s.row(i) = (s.row(i).array() - top).exp();
        sum[row] = sum[row] * shrink + s.row(i).sum();
        out.row(row) *= shrink;
        most[row] = top;
      }
      matrix const part = s * t.head(t.v, h).middleRows(first, keys);
      for (index i = 0; i < q.rows(); ++i)
        out.row(takers[static_cast<std::size_t>(i)]) += part.row(i);
    }
    for (index row = 0; row < o.tokens; ++row) out.row(row) /= sum[row];
  }
}

/// One call, dense or chosen, for the last `queries` tokens; its memory is that of all tokens.
/// Returns the bytes of its workspace and means.
index call_oriel(options const& o, tensors& t, bool chooses, oriel::tensor_view<float> lse = {}) {
  index const queries = o.queries > 0 ? o.queries : o.tokens;
  oriel::range const part{o.tokens - queries, o.tokens};
  oriel::block_shape const shape{.block = o.block,
                                 .blocks = std::max(index{1}, o.tokens / o.block),
                                 .kv_heads = o.heads,
                                 .head_dim = o.dim};
  oriel::aligned_bytes const bytes(chooses ? oriel::block_means::required_bytes(shape) : 0);
  oriel::block_means means(bytes.span(), shape);
  oriel::attention call{.q = t.view(t.q).slice(part),
                        .kv = oriel::contiguous{t.view(t.k), t.view(t.v)},
                        .mask = oriel::causal{},
                        .out = t.result().slice(part),
                        .lse = lse};
  if (chooses) {
    oriel::require(means.append(t.view(t.k)));
    call.select = oriel::moba(means, o.top_k);
  }
  oriel::attend_bounds bounds = oriel::bounds_of(call);
  bounds.q_len = o.tokens;
  oriel::attend_plan const plan = oriel::plan_attend(bounds);
  oriel::aligned_bytes const scratch(plan.workspace_bytes());
  oriel::require(oriel::attend(plan, call, scratch));
  return plan.workspace_bytes() + (chooses ? oriel::block_means::required_bytes(shape) : 0);
}

void run(options const& o, tensors& t, std::string const& way) {
  if (way == "naive") return naive(o, t);
  if (way == "rows") return rows(o, t);
  if (way == "gathered") return gathered(o, t);
  call_oriel(o, t, way == "oriel");
}

double seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

int advice(options const& o) {
  options small = o;
  small.tokens = 2048;
  small.queries = 0;
  tensors t(small);
  call_oriel(small, t, false);
  double const start = seconds();
  call_oriel(small, t, false);
  double const pairs = 2048.0 * 2049.0 / 2.0 * static_cast<double>(o.heads);
  double const rate = pairs * 4.0 * static_cast<double>(o.dim) / (seconds() - start);
  oriel::attention_advice got;
  oriel::require(oriel::advise({.tokens = o.tokens,
                                .q_heads = o.heads,
                                .kv_heads = o.heads,
                                .head_dim = o.dim,
                                .bytes = static_cast<index>(o.gigabytes * 1e9),
                                .seconds = o.seconds,
                                .flops_per_second = rate},
                               &got));
  std::printf("%.1f GFLOP/s: ", rate / 1e9);
  switch (got.way) {
    case oriel::attention_way::none: std::printf("nothing fits\n"); return 0;
    case oriel::attention_way::dense: std::printf("dense"); break;
    case oriel::attention_way::window:
      std::printf("a window of %lld keys", static_cast<long long>(got.window));
      break;
    case oriel::attention_way::moba:
      std::printf("MoBA, block %lld, top %lld", static_cast<long long>(got.block),
                  static_cast<long long>(got.top_k));
      break;
  }
  std::printf(", %.2f s, cache of %.3f GB\n", got.seconds, static_cast<double>(got.bytes) / 1e9);
  return 0;
}

/// CPU time of this process.
double cpu_seconds() { return static_cast<double>(std::clock()) / CLOCKS_PER_SEC; }

int trade(options const& o) {
  tensors t(o);
  constexpr index stretch = 256;
  index const topics = (o.tokens + stretch - 1) / stretch;
  matrix topic(topics, o.dim);
  std::uint64_t state = 9;
  for (float& x : topic.reshaped()) x = next_number(state);
  for (index h = 0; h < o.heads; ++h) {
    for (index row = 0; row < o.tokens; ++row) {
      index const wanted = row * 7919 % (row / stretch + 1);  // any up to its own
      auto const at = (row * o.heads + h) * o.dim;
      for (index d = 0; d < o.dim; ++d) {
        t.k[static_cast<std::size_t>(at + d)] += 0.6f * topic(row / stretch, d);
        t.q[static_cast<std::size_t>(at + d)] += 0.6f * topic(wanted, d);
      }
    }
  }
  std::vector<float> all(static_cast<std::size_t>(o.tokens * o.heads));
  std::vector<float> some(all.size());
  auto const lse = [&](std::vector<float>& to) {
    return oriel::tensor_view<float>(to.data(), o.tokens, o.heads, 1);
  };
  double start = cpu_seconds();
  call_oriel(o, t, false, lse(all));
  double const dense = cpu_seconds() - start;
  std::printf("%lld tokens, %lld heads, head_dim %lld, dense %.3f s\n",
              static_cast<long long>(o.tokens), static_cast<long long>(o.heads),
              static_cast<long long>(o.dim), dense);
  std::printf("%6s %6s %9s %8s %9s %6s\n", "block", "top-k", "seconds", "faster", "extra MB",
              "mass");
  std::vector<plotted_line> lines;
  for (index block = 64; block <= o.tokens / 8; block *= 2) {
    lines.push_back({"block " + std::to_string(block), {}});
    for (index keys = o.tokens / 32; keys <= o.tokens / 2; keys *= 2) {
      options with = o;
      with.block = block;
      with.top_k = keys / block;
      if (with.top_k < 2 || with.top_k > oriel::max_chosen) continue;
      start = cpu_seconds();
      index const bytes = call_oriel(with, t, true, lse(some));
      double const took = cpu_seconds() - start;
      double mass = 0.0;
      for (std::size_t i = 0; i < all.size(); ++i) mass += std::exp(some[i] - all[i]);
      mass /= static_cast<double>(all.size());
      lines.back().points.emplace_back(dense / took, mass);
      std::printf("%6lld %6lld %9.3f %8.2f %9.2f %6.3f\n", static_cast<long long>(block),
                  static_cast<long long>(with.top_k), took, dense / took,
                  static_cast<double>(bytes) / 1e6, mass);
    }
  }
  if (!o.svg.empty()) plot(o.svg, "times faster than dense", "share of the attention kept", lines);
  return 0;
}

/// Lengths up to o.tokens: from where on blocks are faster than dense.
int crossover(options const& o) {
  std::vector<plotted_line> lines;
  std::printf("%6s %6s %9s %9s %9s %8s %6s\n", "block", "top-k", "tokens", "dense, s", "blocks, s",
              "faster", "ideal");
  for (auto const& [block, top_k] : {std::pair<index, index>{64, 8}, {512, 3}, {2048, 3}}) {
    lines.push_back({"block " + std::to_string(block) + ", top " + std::to_string(top_k), {}});
    for (index tokens = 256; tokens <= o.tokens; tokens *= 2) {
      options with = o;
      with.tokens = with.queries = tokens;
      with.block = block;
      with.top_k = top_k;
      tensors t(with);
      double least[2] = {};
      for (index turn = 0; turn < std::max(index{1}, index{16384} / tokens); ++turn) {
        for (bool const blocks : {false, true}) {
          double const start = cpu_seconds();
          call_oriel(with, t, blocks);
          double const took = cpu_seconds() - start;
          if (turn == 0 || took < least[blocks]) least[blocks] = took;
        }
      }
      double pairs = 0.0;
      for (index row = 0; row < tokens; ++row) {
        pairs += static_cast<double>(std::min(row + 1, row % block + 1 + (top_k - 1) * block));
      }
      double const all = 0.5 * static_cast<double>(tokens) * static_cast<double>(tokens + 1);
      lines.back().points.emplace_back(std::log2(static_cast<double>(tokens)) - 8,
                                       least[0] / least[1]);
      std::printf("%6lld %6lld %9lld %9.4f %9.4f %8.2f %6.2f\n", static_cast<long long>(block),
                  static_cast<long long>(top_k), static_cast<long long>(tokens), least[0], least[1],
                  least[0] / least[1], all / pairs);
    }
  }
  if (!o.svg.empty()) plot(o.svg, "log2(tokens / 256)", "times faster than dense", lines);
  return 0;
}

int ladder(options const& o) {
  tensors t(o);
  std::printf("%lld tokens, %lld heads, head_dim %lld, block %lld, top %lld\n",
              static_cast<long long>(o.tokens), static_cast<long long>(o.heads),
              static_cast<long long>(o.dim), static_cast<long long>(o.block),
              static_cast<long long>(o.top_k));
  std::vector<float> first;
  double worst = 0.0;
  for (char const* const way : {"naive", "rows", "gathered", "oriel"}) {
    std::fill(t.out.begin(), t.out.end(), std::nanf(""));
    double const start = seconds();
    run(o, t, way);
    double const took = seconds() - start;
    if (first.empty()) first = t.out;
    double error = 0.0;
    for (std::size_t i = 0; i < first.size(); ++i) {
      double const e = std::abs(static_cast<double>(t.out[i]) - first[i]);
      error = e <= error ? error : e;  // a NaN stays
    }
    worst = error <= worst ? worst : error;
    std::printf("%-10s %.1f ms   off by %.1g\n", way, 1e3 * took, error);
  }
  bool const close = worst <= 5e-6;
  std::printf("every rung %swithin 5e-06 of the naive one\n", close ? "" : "NOT ");
  index chosen = 0;
  for (index h = 0; h < o.heads; ++h) {
    auto const all = all_choices(o, t, h);
    for (index row = 0; row < o.tokens; ++row) {
      for (index const b : all[static_cast<std::size_t>(row)]) {
        chosen += std::min(o.block, row + 1 - b * o.block);
      }
    }
  }
  std::printf("pairs: naive %lld, chosen %lld, causal %lld\n",
              static_cast<long long>(o.heads * o.tokens * o.tokens), static_cast<long long>(chosen),
              static_cast<long long>(o.heads * o.tokens * (o.tokens + 1) / 2));
  return close ? 0 : 1;
}

int one_way(options const& o) {
  tensors t(o);
  double const start = seconds();
  run(o, t, o.way);
  double const took = seconds() - start;
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);  // ru_maxrss counts KiB
  double const held = 4.0 * static_cast<double>(t.q.size()) * sizeof(float);
  std::printf("%s: %.3f s, resident %.0f KiB at most, q + k + v + out %.0f KiB\n", o.way.c_str(),
              took, static_cast<double>(usage.ru_maxrss), held / 1024);
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    options o;
    CLI::App app("Mixture of block attention, from naive to fast");
    auto const positive = CLI::Range(oriel::index{1}, oriel::index{1} << 24);
    app.add_option("--way", o.way, "run this one only, and print its time and memory")
        ->check(CLI::IsMember({"naive", "rows", "gathered", "oriel", "dense"}));
    app.add_flag("--trade", o.trade, "print what block and top-k cost and keep");
    app.add_flag("--crossover", o.crossover, "print how much faster blocks are, length by length")
        ->excludes("--trade");
    app.add_option("--svg", o.svg, "draw the table of --trade or --crossover into this file");
    app.add_option("--advise", o.seconds, "seconds that attention to the whole prompt may take")
        ->check(CLI::PositiveNumber)
        ->excludes("--way");
    app.add_option("--gigabytes", o.gigabytes, "that the layer's cache may take")
        ->check(CLI::Range(0.0, 1e9));
    app.add_option("--tokens", o.tokens)->check(positive)->capture_default_str();
    app.add_option("--queries", o.queries, "oriel and dense: compute the last so many only")
        ->check(positive);
    app.add_option("--heads", o.heads)->check(positive)->capture_default_str();
    app.add_option("--dim", o.dim)->check(positive)->capture_default_str();
    app.add_option("--block", o.block)->check(positive)->capture_default_str();
    app.add_option("--top-k", o.top_k)
        ->check(CLI::Range(oriel::index{1}, oriel::max_chosen))
        ->capture_default_str();
    CLI11_PARSE(app, argc, argv);
    o.queries = std::min(o.queries, o.tokens);
    if (o.seconds > 0.0) return advice(o);
    if (!o.svg.empty() && !o.trade && !o.crossover) {
      throw std::runtime_error("--svg needs --trade or --crossover");
    }
    if (o.trade) return trade(o);
    if (o.crossover) return crossover(o);
    return o.way.empty() ? ladder(o) : one_way(o);
  } catch (std::exception const& e) {
    std::fprintf(stderr, "moba: %s\n", e.what());
    return 1;
  }
}
