// SPDX-License-Identifier: BSL-1.0
#include "case.hpp"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
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

/// An integer from `least` on; `word` is what an error names.
index at_least(index least, std::string_view digits, std::string_view word) {
  index value = 0;
  auto const [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
  if (error == std::errc::result_out_of_range) refuse(word, "the number is out of range");
  if (error != std::errc{} || end != digits.data() + digits.size()) refuse(word, "not a number");
  if (value < least) refuse(word, "must be at least " + std::to_string(least));
  if (value >= index{1} << 40) refuse(word, "the number is out of range");
  return value;
}
index positive(std::string_view digits, std::string_view word) { return at_least(1, digits, word); }

/// The words key=value after the first word of a case.
class words {
 public:
  words(std::vector<std::string_view> const& list) {
    static constexpr std::array known{"storage", "q",      "out",    "compute",    "mask",
                                      "len",     "kv",     "heads",  "dim",        "vdim",
                                      "threads", "layout", "source", "block",      "topk",
                                      "softcap", "alibi",  "bias",   "sink_logits"};
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

/// The numbers of a mask term name:N:M, `count` of them and none below `least`.
std::vector<index> numbers(std::string_view term, std::size_t count, index least = 1) {
  auto parts = split(term, ":");
  parts.erase(parts.begin());
  if (parts.size() != count) {
    refuse(term, count == 1 ? "needs one number, as in name:N" : "needs numbers, as in name:N:M");
  }
  std::vector<index> all;
  all.reserve(count);
  for (std::string_view const part : parts) all.push_back(at_least(least, part, term));
  return all;
}

mask_term parse_term(std::string_view word) {
  auto const name = word.substr(0, word.find(':'));
  mask_term t{.word = std::string(word)};
  static constexpr std::array<std::pair<std::string_view, term>, 3> alone{
      {{"full", term::full}, {"causal", term::causal}, {"dense", term::dense}}};
  for (auto const& [known, what] : alone) {
    if (word == known) return t.what = what, t;
  }
  static constexpr std::array<std::pair<std::string_view, term>, 6> with_number{
      {{"window", term::window},
       {"chunk", term::chunk},
       {"sinks", term::sinks},
       {"prefix", term::prefix},
       {"tree", term::tree},
       {"padding", term::padding}}};
  if (name == "window" && std::count(word.begin(), word.end(), ':') == 2) {
    auto const of = numbers(word, 2, 0);
    return t.what = term::local_window, t.n = of[0], t.m = of[1], t;
  }
  for (auto const& [known, what] : with_number) {
    if (name == known) return t.what = what, t.n = numbers(word, 1)[0], t;
  }
  if (name == "spans") {
    auto const of = numbers(word, 2);
    if (of[0] > of[1]) refuse(word, "spans of N tokens every M must not overlap");
    return t.what = term::spans, t.n = of[0], t.m = of[1], t;
  }
  if (name == "documents") {
    t.what = term::documents;
    std::string_view const lengths = word.substr(std::min(name.size() + 1, word.size()));
    for (std::string_view const length : split(lengths, ",")) {
      t.lengths.push_back(positive(length, word));
    }
    return t;
  }
  refuse(word,
         "unknown mask term (full, causal, window:N, window:L:R, chunk:N, sinks:N, prefix:N, "
         "documents:A,B.., spans:N:M, tree:N, padding:N, dense)");
}

std::vector<mask_term> parse_mask(std::string_view text) {
  std::vector<mask_term> mask;
  auto const words = split(text, "+");
  for (std::string_view const word : words) {
    mask_term const t = parse_term(word);
    if (t.what == term::full && words.size() > 1) {
      refuse(word, "full shows every key and stands alone");
    }
    if (t.what == term::sinks) {
      term const before = mask.empty() ? term::full : mask.back().what;
      if (before != term::window && before != term::local_window && before != term::chunk) {
        refuse(word, "stands after the window or chunk that it widens");
      }
    } else if (std::any_of(mask.begin(), mask.end(),
                           [&](mask_term const& other) { return other.what == t.what; })) {
      refuse(word, "a mask term of this name is there twice");
    }
    mask.push_back(t);
  }
  return mask;
}

/// Refuses terms that don't fit the lengths or the source of the case.
void check_mask(bench_case const& c) {
  index real = c.kv;  // keys that are not padding
  for (mask_term const& t : c.mask) {
    if (t.what != term::padding) continue;
    if (t.n >= c.kv) refuse(t.word, "must leave a key that is not padding");
    real -= t.n;
  }
  for (mask_term const& t : c.mask) {
    bool const rolls = t.what == term::full || t.what == term::causal || t.what == term::window ||
                       t.what == term::local_window || t.what == term::chunk;
    if (c.from == source::rolling && !rolls) {
      refuse(t.word, "a rolling cache serves windows and chunks");
    }
    if (t.what == term::documents) {
      if (c.what == kind::decode) refuse(t.word, "needs prefill or append");
      index sum = 0;
      for (index const length : t.lengths) sum = oriel::saturating_add(sum, length);
      if (sum != real) {
        refuse(t.word, "the lengths sum to " + std::to_string(sum) + ", but there are " +
                           std::to_string(real) + " keys");
      }
    }
    if (t.what == term::tree) {
      if (c.what != kind::append) refuse(t.word, "needs append");
      if (t.n != c.q_len) refuse(t.word, "must be as many drafts as len=");
      if (t.n > real) refuse(t.word, "padding leaves no room for it");
    }
  }
}

/// A number above 0; `word` is what an error names.
float positive_float(std::string_view digits, std::string_view word) {
  float value = 0.0f;
  auto const [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
  if (error == std::errc::result_out_of_range) refuse(word, "the number is out of range");
  if (error != std::errc{} || end != digits.data() + digits.size()) refuse(word, "not a number");
  if (!(value > 0.0f) || !std::isfinite(value) || !std::isfinite(1.0f / value)) {
    refuse(word, "must be finite and above 0");
  }
  return value;
}

score_choice parse_score(words const& given) {
  auto const flag = [&](std::string_view key) {
    return given.choice<bool>(key, {{"0", false}, {"1", true}}, false);
  };
  score_choice s{.softcap = std::nullopt,
                 .alibi = flag("alibi"),
                 .bias = flag("bias"),
                 .sink_logits = flag("sink_logits")};
  if (auto const cap = given.find("softcap")) {
    s.softcap = positive_float(*cap, given.word("softcap"));
  }
  return s;
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

/// block= and topk= of a case that is moba or not.
void parse_selection(words const& given, bool moba, bench_case& c) {
  if (c.what == kind::prefill && !moba) {
    for (char const* const key : {"block", "topk"}) {
      given.forbid(key, "prefill sees all that the mask shows: say moba");
    }
    return;
  }
  if (!moba && !given.find("block") && !given.find("topk")) return;
  c.block = given.number("block");
  c.top_k = given.number("topk");
  if (c.top_k > oriel::max_chosen) {
    refuse(given.word("topk"), "at most " + std::to_string(oriel::max_chosen));
  }
  if (moba && (c.mask.size() != 1 || c.mask[0].what != term::causal)) {
    refuse(given.word("mask"), "moba's mask is causal");
  }
}

/// Refuses what this machine has no memory for, naming the word with the largest number.
void check_memory(words const& given, bench_case const& c) {
  using oriel::saturating_add, oriel::saturating_mul;
  index const queries = saturating_add(c.q_bytes(), c.out_bytes());
  index const pairs = saturating_mul(c.q_len, c.held_rows());
  bool const dense = std::any_of(c.mask.begin(), c.mask.end(),
                                 [](mask_term const& t) { return t.what == term::dense; });
  index need = saturating_add(c.kv_bytes(c.held_rows()), queries);
  if (dense) need = saturating_add(need, pairs);
  if (c.score.bias) need = saturating_add(need, saturating_mul(pairs, sizeof(float)));
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

/// Of q_len rows of each query head.
index bytes_of_rows(bench_case const& c, index dim, oriel::element_type type) noexcept {
  index const rows = oriel::saturating_mul(c.q_len, c.q_heads);
  index const size = type == oriel::element_type::f32 ? sizeof(float) : sizeof(oriel::bf16);
  return oriel::saturating_mul(oriel::saturating_mul(rows, dim), size);
}

}  // namespace

index bench_case::held_rows() const noexcept {
  if (from == source::contiguous) return kv;
  index const query = kv - q_len;  // the first one sees the furthest back
  index first = 0;
  for (mask_term const& t : mask) {
    if (t.what == term::window) first = oriel::max_of(first, query - t.n + 1);
    if (t.what == term::local_window) first = oriel::max_of(first, query - t.n);
    if (t.what == term::chunk) first = oriel::max_of(first, oriel::round_down(query, t.n));
  }
  return kv - first;
}

index bench_case::first_row() const noexcept {
  if (from == source::contiguous) return 0;
  for (mask_term const& t : mask) {
    if (t.what == term::chunk) return kv - held_rows();  // chunks are counted in positions
  }
  return held_rows() / 2;  // the ring wraps in its middle
}

index bench_case::kv_bytes(index tokens) const noexcept {
  return oriel::saturating_mul(oriel::saturating_mul(tokens, kv_heads), row_bytes());
}

index bench_case::row_bytes() const noexcept {
  return with_codec(stored, [&](auto codec) {
    return oriel::saturating_add(codec.row_bytes(dim), codec.row_bytes(v_dim));
  });
}

index bench_case::q_bytes() const noexcept { return bytes_of_rows(*this, dim, q_type); }
index bench_case::out_bytes() const noexcept { return bytes_of_rows(*this, v_dim, out_type); }

bench_case parse_case(std::string_view text) {
  std::vector<std::string_view> list = split(text, " \t\n");
  std::erase(list, std::string_view{});
  constexpr char const* begins = "a case begins with prefill, append, decode or moba";
  if (list.empty()) refuse(text, begins);
  bench_case c{.text = std::string(text)};
  bool const moba = list[0] == "moba";
  if (list[0] == "append") {
    c.what = kind::append;
  } else if (list[0] == "decode") {
    c.what = kind::decode;
  } else if (list[0] != "prefill" && !moba) {
    refuse(list[0], begins);
  }
  list.erase(list.begin());
  words const given(list);

  c.stored = given.choice<storage>("storage",
                                   {{"f32", storage::f32},
                                    {"bf16", storage::bf16},
                                    {"f16", storage::f16},
                                    {"int8", storage::int8},
                                    {"int4", storage::int4},
                                    {"q8_0", storage::q8_0},
                                    {"q4_0", storage::q4_0}},
                                   storage::f32);
  auto const elements = [&](std::string_view key) {
    using oriel::element_type;
    return given.choice<element_type>(
        key, {{"f32", element_type::f32}, {"bf16", element_type::bf16}, {"f16", element_type::f16}},
        element_type::f32);
  };
  c.q_type = elements("q");
  c.out_type = elements("out");
  if (auto const mask = given.find("mask")) c.mask = parse_mask(*mask);
  switch (c.what) {
    case kind::prefill:
      given.forbid("kv", "a whole prompt has as many keys as queries: say len=");
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
  c.compute = given.choice<oriel::compute_choice>(
      "compute", {{"exact", oriel::compute_choice::exact}, {"fast", oriel::compute_choice::fast}},
      oriel::compute_choice::exact);
  c.threads = given.number("threads", 1);
  if (c.threads > 256) refuse(given.word("threads"), "at most 256");
  layout const usual = c.what == kind::prefill ? layout::tokens : layout::heads;
  c.memory =
      given.choice<layout>("layout", {{"tokens", layout::tokens}, {"heads", layout::heads}}, usual);
  c.from = given.choice<source>("source",
                                {{"contiguous", source::contiguous}, {"rolling", source::rolling}},
                                source::contiguous);
  if (c.from == source::rolling && c.stored != storage::f32) {
    refuse(given.word("storage"), "a rolling source stores f32 here");
  }
  if (c.q_type != oriel::element_type::f32 && c.dim > oriel::max_coded_dim) {
    refuse(given.word("q"), "of at most " + std::to_string(oriel::max_coded_dim) +
                                " numbers a row: answers are not compared beyond");
  }
  for (index const dim : {c.dim, c.v_dim}) {
    oriel::status const s =
        with_codec(c.stored, [&](auto codec) { return oriel::check_codec<decltype(codec)>(dim); });
    if (!s.ok()) refuse(given.word("storage"), s.what);
  }
  if (c.from == source::rolling && given.find("layout") && c.memory == layout::tokens) {
    refuse(given.word("layout"), "a rolling cache is laid out by heads");
  }
  c.score = parse_score(given);
  parse_selection(given, moba, c);
  check_mask(c);
  check_memory(given, c);
  return c;
}

}  // namespace bench
