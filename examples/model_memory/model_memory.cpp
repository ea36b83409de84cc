// SPDX-License-Identifier: BSL-1.0
// What the keys and values of some models take, by what they are stored as and by context: bytes as
// the library counts them, before anything is allocated. Prints the tables of docs/memory.md;
// --touch MODEL allocates one, appends a whole context of made-up rows, and measures.
//
// With --model scout --context 32768 --describe it prints
//   layers  sees                rows  heads     dim             bytes
//       36  chunk 8192          8192      8     128        2415919104
//       12  global             32768      8     128        3221225472
//   1 sequence of these, and its states: 5637152640 bytes
//   a token more of one: 98304 bytes
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <fstream>
#include <functional>
#include <map>
#include <oriel/interop/describe_cache.hpp>
#include <oriel/interop/owning.hpp>
#include <oriel/interop/throwing.hpp>
#include <oriel/oriel.hpp>
#include <random>
#include <string>
#include <type_traits>
#include <vector>

namespace {

using oriel::index;
using oriel::layer_config;
using oriel::layer_kind;

struct layout {
  std::string name, title;
  std::vector<layer_config> layers;
};

/// `count` layers; number i is of the kind that is_global(i) says.
template <class F>
layout make(std::string name, std::string title, index count, layer_config local, F&& is_global) {
  layout all{std::move(name), std::move(title), {}};
  layer_config global = local;
  global.kind = layer_kind::global;
  global.keys = 0;
  for (index i = 0; i < count; ++i) all.layers.push_back(is_global(i) ? global : local);
  return all;
}

std::vector<layout> const& layouts() {
  auto const never = [](index) { return false; };
  auto const always = [](index) { return true; };
  static std::vector<layout> const all{
      make("mistral", "Mistral 7B: 32 layers with a window of 4096, 8 kv heads of 128", 32,
           {.kind = layer_kind::window, .keys = 4096, .kv_heads = 8, .head_dim = 128}, never),
      make("mistral-full", "Mistral 7B from v0.2 on: the same without a window", 32,
           {.kv_heads = 8, .head_dim = 128}, always),
      make("scout", "Llama 4 Scout: 36 layers with chunks of 8192, 12 global, 8 kv heads of 128",
           48, {.kind = layer_kind::chunked, .keys = 8192, .kv_heads = 8, .head_dim = 128},
           [](index i) { return i % 4 == 3; }),
      make("gemma",
           "5:1, as Gemma 3 12B: 40 layers with a window of 1024, 8 global, 8 kv heads of 256", 48,
           {.kind = layer_kind::window, .keys = 1024, .kv_heads = 8, .head_dim = 256},
           [](index i) { return i % 6 == 5; }),
      make("smollm2", "SmolLM2-135M: 30 global layers, 3 kv heads of 64", 30,
           {.kv_heads = 3, .head_dim = 64}, always)};
  return all;
}

/// f of what a name stands for: rows of a codec, or a kivi_cache.
template <class F>
auto with_storage(std::string const& name, F&& f) {
  if (name == "bf16") return f(std::type_identity<oriel::bf16>{});
  if (name == "f16") return f(std::type_identity<oriel::f16>{});
  if (name == "int8") return f(std::type_identity<oriel::int8>{});
  if (name == "int4") return f(std::type_identity<oriel::int4>{});
  if (name == "q8_0") return f(std::type_identity<oriel::q8_0>{});
  if (name == "q4_0") return f(std::type_identity<oriel::q4_0>{});
  if (name == "kivi4") return f(std::type_identity<oriel::kivi_cache<4>>{});
  if (name == "kivi2") return f(std::type_identity<oriel::kivi_cache<2>>{});
  return f(std::type_identity<oriel::f32>{});
}
std::vector<std::string> const storages{"f32",  "bf16", "f16",   "int8", "q8_0",
                                        "int4", "q4_0", "kivi4", "kivi2"};

index bytes_of(std::string const& storage, oriel::model_config const& config) {
  return with_storage(storage, [&]<class Stored>(std::type_identity<Stored>) {
    return oriel::model_cache<Stored>::required_bytes(config);
  });
}
index tokens_of(std::string const& storage, oriel::model_config const& config, index bytes) {
  return with_storage(storage, [&]<class Stored>(std::type_identity<Stored>) {
    return oriel::model_cache<Stored>::tokens_that_fit(config, bytes);
  });
}

std::string in_units(index bytes) {
  char text[32];
  std::snprintf(text, sizeof text, "%.4g MiB", static_cast<double>(bytes) / (1 << 20));
  if (bytes >= index{10000} << 20) {
    std::snprintf(text, sizeof text, "%.4g GiB", static_cast<double>(bytes) / (1 << 30));
  }
  return text;
}

void print_table(layout const& of) {
  std::vector<std::pair<char const*, index>> const contexts{{"4k", 4096},
                                                            {"32k", 32768},
                                                            {"128k", 131072},
                                                            {"1M", index{1} << 20},
                                                            {"10M", 10 * (index{1} << 20)}};
  std::printf("\n%s\n\n| storage |", of.title.c_str());
  for (auto const& [name, tokens] : contexts) std::printf(" %s |", name);
  std::printf("\n|---|---|---|---|---|---|\n");
  for (std::string const& storage : storages) {
    std::printf("| `%s` |", storage.c_str());
    for (auto const& [name, tokens] : contexts) {
      std::printf(" %s |",
                  in_units(bytes_of(storage, {.layers = of.layers, .context = tokens})).c_str());
    }
    std::printf("\n");
  }
}

void print_budget(layout const& of, index bytes) {
  std::printf("\n%s, %s:\n\n| storage | tokens | of f32's |\n|---|---|---|\n", of.title.c_str(),
              in_units(bytes).c_str());
  index const plain = tokens_of("f32", {.layers = of.layers}, bytes);
  for (std::string const& storage : storages) {
    index const tokens = tokens_of(storage, {.layers = of.layers}, bytes);
    std::printf("| `%s` | %lld | %.2f |\n", storage.c_str(), static_cast<long long>(tokens),
                static_cast<double>(tokens) / static_cast<double>(plain));
  }
}

index resident_bytes() {
  std::ifstream file("/proc/self/statm");
  index all = 0;
  index resident = 0;
  file >> all >> resident;
  return resident * ::sysconf(_SC_PAGESIZE);
}

/// A whole context of rows into every layer: what the library counted, and what became resident.
void touch(layout const& of, std::string const& storage, index context, index most) {
  with_storage(storage, [&]<class Stored>(std::type_identity<Stored>) {
    using model = oriel::model_cache<Stored>;
    oriel::model_config const config{.layers = of.layers, .context = context};
    index const bytes = model::required_bytes(config);
    if (bytes > most) throw std::runtime_error("--touch: these are more than --most bytes");
    index const piece = 256;
    layer_config const& any = of.layers[0];
    std::mt19937 random(1);
    std::normal_distribution<float> normal;
    std::vector<float> rows(static_cast<std::size_t>(piece * any.kv_heads * any.head_dim));
    for (float& x : rows) x = normal(random);
    index const before = resident_bytes();
    oriel::aligned_bytes memory(bytes);
    model all(memory.span(), config);
    oriel::require(all.check());
    for (index at = 0; at < context; at += piece) {
      index const n = std::min(piece, context - at);
      oriel::tensor_view<float const> const view(rows.data(), n, any.kv_heads, any.head_dim);
      for (index l = 0; l < all.layers(); ++l) oriel::require(all.append(0, l, view, view));
    }
    index const grown = resident_bytes() - before;
    std::printf("| %s | `%s` | %lld | %lld | %lld | %.4f |\n", of.name.c_str(), storage.c_str(),
                static_cast<long long>(context), static_cast<long long>(bytes),
                static_cast<long long>(grown),
                static_cast<double>(grown) / static_cast<double>(bytes));
  });
}

}  // namespace

int main(int argc, char** argv) {
  std::string name;
  std::string storage = "f32";
  oriel::index context = 4096;
  oriel::index most = oriel::index{4} << 30;
  bool described = false;
  bool touched = false;
  std::vector<std::string> names;
  for (layout const& l : layouts()) names.push_back(l.name);
  CLI::App app("Bytes of models' keys and values", "model_memory");
  auto* const model = app.add_option("--model", name, "this one, not the tables of all")
                          ->check(CLI::IsMember(names));
  app.add_option("--storage", storage, "what rows are stored as")
      ->capture_default_str()
      ->check(CLI::IsMember(storages));
  app.add_option("--context", context, "tokens")
      ->capture_default_str()
      ->check(CLI::Range(oriel::index{1}, oriel::max_position));
  app.add_option("--most", most, "bytes that --touch may take")->capture_default_str();
  app.add_flag("--describe", described, "print its kinds of layers")->needs(model);
  app.add_flag(
         "--touch", touched,
         "allocate it, append a context, and print: model, storage, context, bytes as counted, "
         "bytes by which the resident set grew, their ratio")
      ->needs(model);
  CLI11_PARSE(app, argc, argv);

  try {
    for (layout const& l : layouts()) {
      if (!name.empty() && l.name != name) continue;
      if (described) {
        with_storage(storage, [&]<class Stored>(std::type_identity<Stored>) {
          std::fputs(oriel::describe<Stored>({.layers = l.layers, .context = context}).c_str(),
                     stdout);
        });
      }
      if (touched) touch(l, storage, context, most);
      if (!described && !touched && l.name != "mistral-full") print_table(l);
    }
    if (name.empty()) {
      print_budget(layouts()[1], oriel::index{4} << 30);
      print_budget(layouts()[4], oriel::index{360} << 20);
    }
  } catch (std::exception const& e) {
    std::fprintf(stderr, "model_memory: %s\n", e.what());
    return 1;
  }
  return 0;
}
