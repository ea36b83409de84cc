// SPDX-License-Identifier: BSL-1.0
// SmolLM2 on the command line: greedy text, or the likelihood of a file. See README.md.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <charconv>
#include <chrono>
#include <cstdio>
#include <exception>
#include <fstream>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "generate.hpp"
#include "gguf.hpp"
#include "model.hpp"
#include "tables.hpp"
#include "tokenizer.hpp"

namespace smollm2 {
namespace {

using seconds = std::chrono::duration<double>;
using clock_type = std::chrono::steady_clock;

constexpr index most_positions = index{1} << 24;
constexpr std::size_t most_text = std::size_t{1} << 26;

struct arguments {
  std::string model;
  std::optional<std::string> prompt, prompt_file, nll_file;  // exactly one
  std::string kv = "f32";
  bool rotate = false;
  bool fast = false;
  bool one_by_one = false;
  bool by_position = false, by_storage = false, chat = false, ids = false, stats = false;
  index tokens = 256, window = 0, sinks = 0, block = 0, top_k = 0, draft = 0, context = 4096;
  std::string positions = "text";
  index threads = std::clamp(std::thread::hardware_concurrency(), 1u, 256u);
};

std::string read_text(char const* option, std::string const& path) {
  auto const complain = [&](std::string const& why) {
    throw std::runtime_error(std::string(option) + ": " + why + " " + path);
  };
  std::ifstream in(path, std::ios::binary);
  if (!in) complain("cannot open");
  std::string text;
  for (char part[1 << 16]; in.read(part, sizeof part), in.gcount() > 0;) {
    text.append(part, static_cast<std::size_t>(in.gcount()));
    if (text.size() > most_text) complain("there are more than 64 MiB in");
  }
  if (in.bad()) complain("cannot read");
  if (text.empty()) complain("there is no text in");
  return text;
}

void show_progress(index done, index total) {
  auto const filled = static_cast<std::size_t>(32 * done / total);
  auto const bar = std::string(filled, '#') + std::string(32 - filled, '.');
  std::fprintf(stderr, "\rprefill [%s] %lld/%lld tokens%s", bar.c_str(),
               static_cast<long long>(done), static_cast<long long>(total),
               done == total ? "\n" : "");
}

void print_stats(model const& m, session const& s, index prompt, seconds prefill, index decoded,
                 seconds decode) {
  auto const rate = [](char const* what, index n, seconds t) {
    std::fprintf(stderr, "%-10s %14.1f tokens/s (%lld in %.2f s)\n", what,
                 n == 0 ? 0.0 : static_cast<double>(n) / t.count(), static_cast<long long>(n),
                 t.count());
  };
  auto const bytes = [](char const* what, index n, std::string const& note) {
    std::fprintf(stderr, "%-10s %14lld bytes%s\n", what, static_cast<long long>(n), note.c_str());
  };
  auto const& d = m.dim;
  index const position_bytes = d.layers * 2 * d.kv_heads * d.head_dim * index{sizeof(float)};
  auto const n = std::to_string(s.position());
  rate("prefill", prompt, prefill);
  rate("decode", decoded, decode);
  bytes("cache", s.cache_bytes(),
        " (" + std::to_string(d.layers) + " layers, " + std::to_string(s.cache_rows()) + " rows)");
  if (s.means_bytes() > 0) bytes("means", s.means_bytes(), "");
  bytes("workspace", s.workspace_bytes(), "");
  bytes("mask", 0, "");
  std::fprintf(stderr, "instead of\n");
  bytes("full cache", s.options().context * position_bytes,
        " (" + std::to_string(s.options().context) + " rows, the whole --context)");
  bytes("dense mask", s.position() * s.position() * index{sizeof(float)},
        " ([" + n + ", " + n + "] fp32, the positions of this run)");
}

// What checking drafts has cost and brought.
struct drafts {
  index passes = 0, drafted = 0, taken = 0;
};

// The same text without drafts, and the rates of both; throws if it is another text.
void print_against_plain(model const& m, session_options options, std::span<token_id const> ids,
                         std::span<token_id const> out, token_id end, drafts const& d,
                         seconds decode, oriel::thread_pool& pool) {
  options.draft = 0;
  session s(m, options, pool);
  auto start = clock_type::now();
  listener heard;
  heard.prompt = [&](index) { start = clock_type::now(); };
  auto const plain = generate(s, ids, std::ssize(out), end, heard);
  seconds const plain_decode = clock_type::now() - start;
  if (!std::ranges::equal(plain, out)) {
    throw std::runtime_error("--draft: the text is not that of decoding token by token");
  }
  auto const n = static_cast<double>(std::ssize(out) - 1);
  std::fprintf(stderr, "drafts     %14lld of %lld tokens taken, in %lld passes\n",
               static_cast<long long>(d.taken), static_cast<long long>(d.drafted),
               static_cast<long long>(d.passes));
  std::fprintf(stderr,
               "plain      %14.1f tokens/s, the same text; with drafts %.2f times as fast\n",
               n / plain_decode.count(), plain_decode / decode);
}

// The status of a program whose output was written.
int finish() {
  if (std::fflush(stdout) != 0 || std::ferror(stdout) != 0) {
    throw std::runtime_error("cannot write to standard output");
  }
  return 0;
}

int run(arguments const& a) {
  if (a.sinks > 0 && a.window == 0) {
    throw std::runtime_error("--sinks: without --window every token is seen already");
  }
  if (a.positions == "cache" && a.window == 0) {
    throw std::runtime_error("--positions cache: without --window they are those of the text");
  }
  if (a.positions == "cache" && a.block > 0) {
    throw std::runtime_error(
        "--positions cache: not with --moba, whose keys have those of the text");
  }
  if (a.draft > 0 && (a.positions == "cache" || a.block > 0)) {
    throw std::runtime_error("--draft: not with --positions cache or --moba: no rows given back");
  }
  if (a.draft > 0 && a.kv == "kivi2") {
    throw std::runtime_error(
        "--draft: not with --kv kivi2, which shows a draft's rows as floats, later ones otherwise: "
        "the text could differ");
  }
  bool const scoring = a.nll_file.has_value();
  std::string const text = scoring         ? read_text("--nll", *a.nll_file)
                           : a.prompt_file ? read_text("--prompt-file", *a.prompt_file)
                                           : *a.prompt;
  if (text.empty()) throw std::runtime_error("--prompt: there is no text in it");

  gguf_file const file(a.model);
  tokenizer const words(file);
  std::vector<token_id> ids = words.encode(a.chat ? words.chat(text) : text);
  if (ids.empty()) throw std::runtime_error("the prompt has no tokens");
  auto const context = static_cast<std::size_t>(a.context);
  if (scoring) {
    if (ids.size() > context) ids.resize(context);
    if (ids.size() < 2) throw std::runtime_error("--nll: there are fewer than two tokens to score");
  } else if (ids.size() > context) {
    throw std::runtime_error("the prompt has " + std::to_string(ids.size()) +
                             " tokens, more than --context " + std::to_string(context));
  }

  oriel::thread_pool pool(a.threads);
  model const m(file, pool);
  if (m.dim.vocabulary != words.size()) {
    throw std::runtime_error("the file's vocabulary and embedding differ in size");
  }
  if (a.context > m.dim.trained_context && std::ssize(ids) > m.dim.trained_context) {
    std::fprintf(stderr, "smollm2: note: the model was trained for %lld positions\n",
                 static_cast<long long>(m.dim.trained_context));
  }
  session_options const options{.context = a.context,
                                .window = a.window,
                                .sinks = a.sinks,
                                .block = a.block,
                                .top_k = a.top_k,
                                .in_cache = a.positions == "cache",
                                .draft = a.draft,
                                .workers = a.threads,
                                .kv = a.kv,
                                .rotate = a.rotate,
                                .fast = a.fast,
                                .one_by_one = a.one_by_one};

  auto const total = std::ssize(ids);
  auto const show = [&](index done) {
    if (total > options.piece) show_progress(done, total);
  };
  if (a.by_position) {
    print_by_position(m, options, ids, {show, {}}, pool);
    return finish();
  }
  if (a.by_storage) {
    print_by_storage(m, options, ids, {show, {}}, pool);
    return finish();
  }
  session s(m, options, pool);
  auto const start = clock_type::now();
  auto prefilled = start;
  listener heard;
  heard.prompt = [&](index done) {
    prefilled = clock_type::now();
    show(done);
  };
  index decoded = 0;
  drafts checked;
  seconds decode{};
  std::vector<token_id> out;
  if (scoring) {
    std::printf("%.6f\n", mean(nll(s, ids, heard)));
  } else {
    heard.token = [&](token_id token) {
      if (a.ids) {
        std::printf(decoded == 0 ? "%d" : " %d", token);
      } else {
        auto const bytes = words.decode(token);
        std::fwrite(bytes.data(), 1, bytes.size(), stdout);
      }
      std::fflush(stdout);
      ++decoded;
    };
    heard.draft = [&](index drafted, index taken) {
      ++checked.passes, checked.drafted += drafted, checked.taken += taken;
    };
    out = generate(s, ids, a.tokens, words.end_of_turn(), heard);
    decode = clock_type::now() - prefilled;
    std::printf("\n");
    if (std::ssize(out) < a.tokens && (out.empty() || out.back() != words.end_of_turn())) {
      std::fprintf(stderr, "smollm2: note: stopped at --context %lld\n",
                   static_cast<long long>(a.context));
    }
  }
  if (a.stats) {
    // The first token comes with the prompt; each further one takes a pass of its own.
    print_stats(m, s, total, prefilled - start, std::max<index>(decoded - 1, 0), decode);
    if (a.draft > 0 && out.size() > 1) {
      print_against_plain(m, options, ids, out, words.end_of_turn(), checked, decode, pool);
    }
  }
  return finish();
}

int parse_and_run(int argc, char** argv) {
  arguments a;
  CLI::App app("SmolLM2 with every attention done by oriel over rolling caches", "smollm2");
  app.add_option("--model", a.model, "GGUF file")->required();
  auto* const source = app.add_option_group("text", "What to read; exactly one of");
  source->add_option("--prompt", a.prompt, "text to continue");
  source->add_option("--prompt-file", a.prompt_file, "file with the text to continue");
  auto* const nll = source->add_option(
      "--nll", a.nll_file, "print the mean negative log-likelihood of a file's first tokens");
  source->require_option(1);
  auto* const by_position = app.add_flag(
      "--by-position", a.by_position,
      "print a table: by stretches of positions; all keys, --window, --window and --sinks, --moba");
  by_position->needs(nll);
  auto* const by_storage = app.add_flag(
      "--by-storage", a.by_storage,
      "print a table: NLL, agreement with f32, bytes and rates by what the caches store");
  by_storage->needs(nll)->excludes(by_position);
  app.add_flag("--chat", a.chat, "the text is a user's turn: wrap it in the model's chat template")
      ->excludes(nll);
  app.add_option("--tokens", a.tokens, "most tokens to generate")
      ->capture_default_str()
      ->check(CLI::Range(index{0}, most_positions));
  app.add_option("--window", a.window, "keys a token sees, itself included; 0: all")
      ->capture_default_str()
      ->check(CLI::Range(index{0}, most_positions));
  app.add_option(
         "--sinks", a.sinks,
         "first tokens that a token sees besides its window; their rows lie beside the ring")
      ->capture_default_str()
      ->check(CLI::Range(index{0}, most_positions));
  app.add_option_function<std::string>(
      "--moba",
      [&](std::string const& text) {
        auto const colon = text.find(':');
        auto const number = [&](std::string_view part, index most, index& to) {
          auto const [end, error] = std::from_chars(part.data(), part.data() + part.size(), to);
          return error == std::errc{} && end == part.data() + part.size() && to >= 1 && to <= most;
        };
        std::string_view const all = text;
        if (colon == std::string::npos || !number(all.substr(0, colon), most_positions, a.block) ||
            !number(all.substr(colon + 1), oriel::max_chosen, a.top_k)) {
          throw CLI::ValidationError("--moba",
                                     "must be keys:blocks, as in 256:4, at most 1024 blocks");
        }
      },
      "keys:blocks: each token and head sees its own block of so many keys and the best before it, "
      "so many in all (MoBA)");
  app.add_option("--positions", a.positions,
                 "what rotary positions count: the text, or the rows in the cache (with --window)")
      ->capture_default_str()
      ->check(CLI::IsMember({"text", "cache"}));
  app.add_option("--draft", a.draft,
                 "tokens that the text suggests to follow (prompt lookup), checked in one pass and "
                 "given back where wrong; the text stays the same")
      ->capture_default_str()
      ->check(CLI::Range(index{0}, index{64}))
      ->excludes(nll);
  app.add_option("--kv", a.kv, "what the caches store keys and values as")
      ->capture_default_str()
      ->check(CLI::IsMember({"f32", "bf16", "f16", "int8", "int4", "q8_0", "q4_0", "kivi2"}));
  app.add_flag("--rotate", a.rotate, "store them after a Hadamard rotation (not kivi2)");
  app.add_flag(
      "--fast", a.fast,
      "attention to one token over int8, int4, q8_0 or q4_0 rounds queries and weights to 16 "
      "bits");
  app.add_flag("--one-by-one", a.one_by_one,
               "attention to every token alone, also in a prompt: to score what decoding computes");
  app.add_option("--context", a.context, "most positions, of prompt and answer together")
      ->capture_default_str()
      ->check(CLI::Range(index{1}, most_positions));
  app.add_flag("--ids", a.ids, "print token ids, not text")->excludes(nll);
  app.add_option("--threads", a.threads, "worker threads")
      ->capture_default_str()
      ->check(CLI::Range(index{1}, index{256}));
  app.add_flag("--stats", a.stats, "print speed and memory to standard error")
      ->excludes(by_position)
      ->excludes(by_storage);
  CLI11_PARSE(app, argc, argv);

  try {
    return run(a);
  } catch (std::bad_alloc const&) {
    std::fprintf(stderr, "smollm2: there is not enough memory (--context, --window)\n");
  } catch (std::exception const& e) {
    std::fprintf(stderr, "smollm2: %s\n", e.what());
  }
  return 1;
}

}  // namespace
}  // namespace smollm2

int main(int argc, char** argv) { return smollm2::parse_and_run(argc, argv); }
