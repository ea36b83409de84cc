// SPDX-License-Identifier: BSL-1.0
// Says what transformers says? Every case of tests/reference, on a model file:
//
//   smollm2_reference_check MODEL [REFERENCE_DIRECTORY]
//
// One line per case, then "N passed, M failed"; the exit status is 1 when one failed.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <exception>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <span>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "generate.hpp"

namespace smollm2 {
namespace {

using nlohmann::json;

json load(std::string const& path) {
  std::ifstream in(path);
  if (!in) throw std::runtime_error("cannot open " + path);
  return json::parse(in);
}

index window_of(json const& c) {
  return c.at("window").is_null() ? 0 : c.at("window").get<index>();
}

class tally {
 public:
  void add(bool good, std::string const& what) {
    ++(good ? passed_ : failed_);
    std::printf("%s  %s\n", good ? "pass" : "FAIL", what.c_str());
    std::fflush(stdout);
  }
  int close() const {
    std::printf("%d passed, %d failed\n", passed_, failed_);
    return failed_ == 0 && passed_ > 0 ? 0 : 1;
  }

 private:
  int passed_ = 0, failed_ = 0;
};

// Where two sequences part, for a message.
std::string compare(std::vector<token_id> const& got, std::vector<token_id> const& want) {
  auto const [a, b] = std::ranges::mismatch(got, want);
  if (a == got.end() && b == want.end()) return std::to_string(got.size()) + " tokens";
  return "parts at token " + std::to_string(a - got.begin());
}

// Equal but for rounding.
bool almost(double a, double b) { return std::abs(a - b) <= 1e-3; }

int check(std::string const& model_path, std::string const& directory) {
  gguf_file const file(model_path);
  tokenizer const words(file);
  index const workers = std::max(1u, std::thread::hardware_concurrency());
  oriel::thread_pool pool(workers);
  model const m(file, pool);
  tally results;

  for (auto const& c : load(directory + "/smollm2.json")) {
    auto const prompt = c.at("prompt").get<std::string>();
    auto const prompt_ids = c.at("prompt_ids").get<std::vector<token_id>>();
    auto const output_ids = c.at("output_ids").get<std::vector<token_id>>();
    auto const kind = c.at("kind").get<std::string>();
    auto const label = kind + ", window " + std::to_string(window_of(c)) + ", '" +
                       prompt.substr(0, prompt.find('\n')).substr(0, 30) + "...'";

    auto const encoded = words.encode(kind == "chat" ? words.chat(prompt) : prompt);
    results.add(encoded == prompt_ids, "prompt: " + label + ": " + compare(encoded, prompt_ids));

    session s(m, {.window = window_of(c), .workers = workers}, pool);
    auto const out = generate(s, prompt_ids, std::ssize(output_ids), words.end_of_turn());
    results.add(out == output_ids, "greedy: " + label + ": " + compare(out, output_ids));

    session drafts(m, {.window = window_of(c), .draft = 8, .workers = workers}, pool);
    index given_back = 0;
    listener heard;
    heard.draft = [&](index drafted, index taken) { given_back += drafted - taken; };
    auto const same =
        generate(drafts, prompt_ids, std::ssize(output_ids), words.end_of_turn(), heard);
    results.add(same == out, "drafts of 8: " + label + ": " + compare(same, out) + ", " +
                                 std::to_string(given_back) + " given back");
  }

  // Text that repeats itself, so that drafts are taken, through a window that wraps meanwhile.
  for (index const window : {index{0}, index{32}}) {
    auto const ids = words.encode("1 2 3 4 5 6 7 8 9 10 1 2 3 4 5 6 7 8 9 10 1 2 3 4 5");
    index taken_in_all = 0;
    index given_back = 0;
    listener heard;
    heard.draft = [&](index drafted, index taken) {
      taken_in_all += taken;
      given_back += drafted - taken;
    };
    session plain(m, {.window = window, .workers = workers}, pool);
    session drafts(m, {.window = window, .draft = 8, .workers = workers}, pool);
    auto const want = generate(plain, ids, 120, words.end_of_turn());
    auto const got = generate(drafts, ids, 120, words.end_of_turn(), heard);
    results.add(got == want && taken_in_all > 0, "drafts of 8, window " + std::to_string(window) +
                                                     ": " + compare(got, want) + ", " +
                                                     std::to_string(taken_in_all) + " taken, " +
                                                     std::to_string(given_back) + " given back");
  }

  auto const reference = load(directory + "/smollm2_nll.json");
  auto const ids = reference.at("ids").get<std::vector<token_id>>();
  auto const score = [&](index window, index sinks) {
    session s(m, {.context = std::ssize(ids), .window = window, .sinks = sinks, .workers = workers},
              pool);
    return nll(s, ids);
  };
  std::vector<double> full;
  for (auto const& c : reference.at("cases")) {
    index const window = window_of(c);
    index const sinks = c.value("sinks", index{0});
    auto const label =
        "nll: window " + std::to_string(window) + ", sinks " + std::to_string(sinks) + ": ";
    auto const all = score(window, sinks);
    if (window == 0) full = all;
    double const got = mean(all);
    auto const want = c.at("mean_nll").get<double>();
    results.add(std::abs(got - want) <= 0.002,
                label + std::to_string(got) + ", reference " + std::to_string(want));

    double worst = 0.0;
    auto rest = std::span<double const>(all);
    for (double const stretch : c.at("mean_nll_by_256").get<std::vector<double>>()) {
      auto const first = rest.first(std::min<std::size_t>(256, rest.size()));
      worst = std::max(worst, std::abs(mean(first) - stretch));
      rest = rest.subspan(first.size());
    }
    results.add(worst <= 0.004, label + "by 256 off by " + std::to_string(worst));
  }
  auto const all_in_window = score(std::ssize(ids), 4);
  results.add(std::ranges::equal(full, all_in_window, almost),
              "nll: a window of all with 4 sinks is full attention");

  session chooses(m, {.context = std::ssize(ids), .block = 64, .top_k = 64, .workers = workers},
                  pool);
  results.add(full == nll(chooses, ids), "nll: blocks of a choice of all are full attention");

  // The text of those ids, where the system has it.
  if (std::ifstream in("/usr/share/common-licenses/GPL-2", std::ios::binary); in) {
    std::string text(std::istreambuf_iterator<char>(in), {});
    auto encoded = words.encode(text.substr(0, 14000));
    encoded.resize(std::min(encoded.size(), ids.size()));
    results.add(encoded == ids, "tokens of GPL-2: " + compare(encoded, ids));
  }
  return results.close();
}

}  // namespace
}  // namespace smollm2

int main(int argc, char** argv) {
  if (argc < 2 || argc > 3) {
    std::fprintf(stderr, "usage: %s MODEL [REFERENCE_DIRECTORY]\n", argv[0]);
    return 2;
  }
  try {
    return smollm2::check(argv[1], argc == 3 ? argv[2] : SMOLLM2_REFERENCE_DIRECTORY);
  } catch (std::exception const& e) {
    std::fprintf(stderr, "smollm2_reference_check: %s\n", e.what());
    return 1;
  }
}
