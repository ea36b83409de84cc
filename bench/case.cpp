// SPDX-License-Identifier: BSL-1.0
#include "case.hpp"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <map>
#include <vector>

namespace bench {
namespace {

[[noreturn]] void refuse(std::string_view word, std::string const& why) {
  throw bad_case("'" + std::string(word) + "': " + why);
}

std::vector<std::string_view> split(std::string_view text, std::string_view separators) {
  std::vector<std::string_view> parts;
  std::size_t begin = 0;
  while (true) {
    std::size_t const end = text.find_first_of(separators, begin);
    parts.push_back(text.substr(begin, end - begin));
    if (end == std::string_view::npos) return parts;
    begin = end + 1;
  }
}

/// A whole number from 1 on; `word` is what an error names.
index positive(std::string_view digits, std::string_view word) {
  index value = 0;
  auto const [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
  if (error == std::errc::result_out_of_range) refuse(word, "the number is out of range");
  if (error != std::errc{} || end != digits.data() + digits.size()) refuse(word, "not a number");
  if (value < 1) refuse(word, "must be at least 1");
  if (value >= index{1} << 40) refuse(word, "the number is out of range");
  return value;
}

/// The words key=value behind the first word of a case.
class words {
 public:
  words(std::vector<std::string_view> const& list) {
    static constexpr std::array known{"storage", "mask", "len",     "kv",     "heads",
                                      "dim",     "vdim", "threads", "layout", "source"};
    for (std::string_view const word : list) {
      std::size_t const equals = word.find('=');
      std::string_view const key = word.substr(0, equals);
      if (std::find(known.begin(), known.end(), key) == known.end()) refuse(word, "unknown word");
      if (equals == std::string_view::npos) refuse(word, "needs a value, as in key=value");
      if (!values_.emplace(key, word).second) refuse(word, "given twice");
    }
  }

  std::optional<std::string_view> find(std::string_view key) const {
    auto const at = values_.find(key);
    if (at == values_.end()) return std::nullopt;
    return at->second.substr(key.size() + 1);
  }
  /// The whole word of a key that is there, for an error to name.
  std::string_view word(std::string_view key) const { return values_.at(key); }

  index number(std::string_view key, std::optional<index> otherwise = std::nullopt) const {
    if (auto const value = find(key)) return positive(*value, word(key));
    if (!otherwise) refuse(std::string(key) + "=", "is missing");
    return *otherwise;
  }

  template <class T>
  T choice(std::string_view key, std::initializer_list<std::pair<std::string_view, T>> choices,
           T otherwise) const {
    auto const value = find(key);
    if (!value) return otherwise;
    std::string all;
    for (auto const& [name, meaning] : choices) {
      if (*value == name) return meaning;
      all += (all.empty() ? "" : " or ") + std::string(name);
    }
    refuse(word(key), "must be " + all);
  }

  void forbid(std::string_view key, std::string const& why) const {
    if (find(key)) refuse(word(key), why);
  }

 private:
  std::map<std::string_view, std::string_view> values_;
};

mask_choice parse_mask(std::string_view text) {
  bool is_full = false;
  bool is_causal = false;
  std::optional<oriel::sliding_window> window;
  auto const terms = split(text, "+");
  for (std::string_view const term : terms) {
    std::string_view constexpr window_key = "window:";
    bool twice = false;
    if (term == "full") {
      if (terms.size() > 1) refuse(term, "full shows every key and stands alone");
      is_full = true;
    } else if (term == "causal") {
      twice = std::exchange(is_causal, true);
    } else if (term.starts_with(window_key)) {
      twice = window.has_value();
      window = oriel::sliding_window{.keys = positive(term.substr(window_key.size()), term)};
    } else {
      refuse(term, "unknown mask term (full, causal, window:N)");
    }
    if (twice) refuse(term, "a mask term of this name is there twice");
  }
  if (is_full) return oriel::full{};
  if (is_causal && window) return oriel::causal{} & *window;
  if (window) return *window;
  return oriel::causal{};
}

void parse_heads(words const& given, bench_case& c) {
  auto const value = given.find("heads");
  if (!value) refuse("heads=", "is missing");
  std::string_view const word = given.word("heads");
  auto const parts = split(*value, ":");
  if (parts.size() != 2) refuse(word, "must be query heads:kv heads, as in 8:2");
  c.q_heads = positive(parts[0], word);
  c.kv_heads = positive(parts[1], word);
  if (c.q_heads % c.kv_heads != 0) {
    refuse(word, "query heads must be a multiple of kv heads");
  }
}

/// Refuses what this machine has no memory for, naming the word with the largest number.
void check_memory(words const& given, bench_case const& c) {
  using oriel::saturating_add, oriel::saturating_mul;
  index const outer = saturating_mul(saturating_mul(c.q_len, c.q_heads), sizeof(float));
  index const queries = saturating_mul(outer, saturating_add(c.dim, c.v_dim));
  index const need = saturating_add(c.kv_bytes(c.held_rows()), queries);
  index const memory = static_cast<index>(sysconf(_SC_PHYS_PAGES)) * sysconf(_SC_PAGESIZE);
  if (need <= memory / 10 * 6) return;
  std::string_view largest = given.word("dim");
  index most = c.dim;
  auto const consider = [&](std::string_view key, index value) {
    if (given.find(key) && value > most) largest = given.word(key), most = value;
  };
  consider("vdim", c.v_dim);
  consider("heads", c.q_heads);
  consider("len", c.q_len);
  consider("kv", c.kv);
  refuse(largest, "the case needs more than 60 % of this machine's memory");
}

}  // namespace

std::optional<index> bench_case::window() const noexcept {
  if (auto const* const alone = std::get_if<oriel::sliding_window>(&mask)) return alone->keys;
  using windowed = oriel::both<oriel::causal, oriel::sliding_window>;
  if (auto const* const both = std::get_if<windowed>(&mask)) return both->b.keys;
  return std::nullopt;
}

index bench_case::held_rows() const noexcept {
  if (from == source::contiguous || !window()) return kv;
  return oriel::min_of(kv, *window() - 1 + q_len);
}

index bench_case::kv_bytes(index tokens) const noexcept {
  index const row = oriel::saturating_mul(oriel::saturating_add(dim, v_dim), sizeof(float));
  return oriel::saturating_mul(oriel::saturating_mul(tokens, kv_heads), row);
}

bench_case parse_case(std::string_view text) {
  std::vector<std::string_view> list = split(text, " \t\n");
  std::erase(list, std::string_view{});
  if (list.empty()) refuse(text, "a case begins with prefill, append or decode");
  bench_case c{.text = std::string(text)};
  if (list[0] == "append") {
    c.what = kind::append;
  } else if (list[0] == "decode") {
    c.what = kind::decode;
  } else if (list[0] != "prefill") {
    refuse(list[0], "a case begins with prefill, append or decode");
  }
  list.erase(list.begin());
  words const given(list);

  given.choice<int>("storage", {{"f32", 0}}, 0);
  if (auto const mask = given.find("mask")) c.mask = parse_mask(*mask);
  switch (c.what) {
    case kind::prefill:
      given.forbid("kv", "prefill has as many keys as queries: say len=");
      c.q_len = c.kv = given.number("len");
      break;
    case kind::append:
      c.q_len = given.number("len");
      c.kv = given.number("kv");
      if (c.q_len > c.kv) refuse(given.word("len"), "exceeds kv=, which counts the new keys too");
      break;
    case kind::decode:
      given.forbid("len", "decode has one query: say kv=, or append");
      c.kv = given.number("kv");
      break;
  }
  parse_heads(given, c);
  c.dim = given.number("dim");
  c.v_dim = given.number("vdim", c.dim);
  c.threads = given.number("threads", 1);
  if (c.threads > 256) refuse(given.word("threads"), "at most 256");
  layout const usual = c.what == kind::prefill ? layout::tokens : layout::heads;
  c.memory =
      given.choice<layout>("layout", {{"tokens", layout::tokens}, {"heads", layout::heads}}, usual);
  c.from = given.choice<source>("source",
                                {{"contiguous", source::contiguous}, {"rolling", source::rolling}},
                                source::contiguous);
  if (c.from == source::rolling && given.find("layout") && c.memory == layout::tokens) {
    refuse(given.word("layout"), "a rolling cache is laid out by heads");
  }
  check_memory(given, c);
  return c;
}

}  // namespace bench
