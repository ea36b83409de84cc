// SPDX-License-Identifier: BSL-1.0
#include "tables.hpp"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <string>
#include <vector>

namespace smollm2 {

void print_by_position(model const& m, session_options const& asked, std::span<token_id const> ids,
                       listener const& heard, oriel::thread_pool& pool) {
  std::vector<std::string> names;
  std::vector<std::vector<double>> nlls;
  auto const score = [&](std::string const& name, index window, index sinks, bool blocks = false) {
    session_options options = asked;
    options.window = window;
    options.sinks = sinks;
    if (!blocks) options.block = options.top_k = 0;
    session s(m, options, pool);
    names.push_back(name);
    nlls.push_back(nll(s, ids, heard));
  };
  if (!asked.in_cache) score("full", 0, 0);
  if (asked.window > 0) score("window " + std::to_string(asked.window), asked.window, 0);
  if (asked.sinks > 0) {
    score("+ " + std::to_string(asked.sinks) + " sinks", asked.window, asked.sinks);
  }
  if (asked.block > 0) {
    score("moba " + std::to_string(asked.block) + ":" + std::to_string(asked.top_k), 0, 0, true);
  }

  std::printf("%-14s", "position");
  for (auto const& name : names) std::printf(" %14s", name.c_str());
  auto const print_means = [&](std::string const& stretch, std::size_t begin, std::size_t end) {
    std::printf("\n%-14s", stretch.c_str());
    for (std::span<double const> const all : nlls) {
      std::printf(" %14.6f", mean(all.subspan(begin, end - begin)));
    }
  };
  auto const predictions = nlls[0].size();
  for (std::size_t begin = 0, end = 0; begin < predictions; begin = end) {
    end = std::min(begin + (begin < 512 ? 256 : 512), predictions);
    print_means(std::to_string(begin) + ".." + std::to_string(end - 1), begin, end);
  }
  print_means("all", 0, predictions);
  std::printf("\n");
}

void print_by_storage(model const& m, session_options const& asked, std::span<token_id const> ids,
                      listener const& heard, oriel::thread_pool& pool) {
  using seconds = std::chrono::duration<double>;
  auto const now = [] { return std::chrono::steady_clock::now(); };
  std::printf("%-15s %10s %10s %12s %12s %12s\n", "storage", "NLL", "as f32", "bytes/token",
              "prefill/s", "decode/s");
  index const total = std::ssize(ids);
  index const pieces = total - std::min(by_storage_singles, total);
  std::vector<prediction> exact;
  auto const row = [&](std::string const& kv, bool rotate) {
    session_options options = asked;
    options.kv = kv, options.rotate = rotate;
    session s(m, options, pool);
    auto const start = now();
    auto prefilled = start, decoded = start;
    listener timed;
    timed.prompt = [&](index done) {
      decoded = now();
      if (done <= pieces) prefilled = decoded;
      if (done <= pieces && heard.prompt) heard.prompt(done);
    };
    auto const all = predict(s, ids, timed, by_storage_singles);
    if (exact.empty()) exact = all;
    double sum = 0.0, same = 0.0;
    for (std::size_t i = 0; i < all.size(); ++i) {
      sum += all[i].nll, same += all[i].best == exact[i].best ? 1.0 : 0.0;
    }
    auto const rate = [](index n, seconds t) {
      return n == 0 ? 0.0 : static_cast<double>(n) / t.count();
    };
    auto const n = static_cast<double>(all.size());
    std::printf("%-15s %10.6f %8.2f %% %12.0f %12.1f %12.1f\n",
                (kv + (rotate ? ", rotated" : "")).c_str(), sum / n, 100.0 * same / n,
                static_cast<double>(s.cache_bytes()) / static_cast<double>(s.cache_rows()),
                rate(pieces, prefilled - start), rate(total - pieces, decoded - prefilled));
    std::fflush(stdout);
  };
  for (char const* const kv : {"f32", "bf16", "f16", "int8", "q8_0", "int4", "q4_0", "kivi2"}) {
    row(kv, false);
    std::string const name = kv;
    if (name == "int8" || name == "int4" || name == "q4_0") row(kv, true);
  }
}

}  // namespace smollm2
