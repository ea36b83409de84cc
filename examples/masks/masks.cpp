// SPDX-License-Identifier: BSL-1.0
// Every mask as a picture. `masks` prints docs/masks.md; `masks --svg DIRECTORY` draws an image of
// each mask; `masks --tiles` prints what the kernels ask: which tiles are skipped, which are partial.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <cctype>
#include <cstdint>
#include <cstdio>
#include <fstream>
#include <oriel/interop/describe.hpp>
#include <oriel/oriel.hpp>
#include <string>
#include <vector>

namespace {

using namespace oriel;
using oriel::index;  // not <strings.h>'s

struct picture {
  std::string name;
  std::string code;  ///< as it is written in a call
  std::string text;
  any_mask mask;
  range queries{0, 16};
  range keys{0, 16};
};

// What masks refer to must outlive them.
constexpr std::int32_t cu_seqlens[] = {0, 5, 6, 11, 16};
constexpr range images[] = {{3, 7}, {9, 13}};
constexpr std::int32_t parents[] = {-1, 0, 0, 1, 1, 2, -1, 6};
constexpr bool rows[4][4] = {{true, false, false, true},
                             {false, true, false, true},
                             {true, true, false, true},
                             {false, false, false, false}};

/// A mask of your own: three questions. Query q sees every `stride`-th key up to its own.
struct strided {
  index stride;

  bool visible(index q, index k) const noexcept { return k <= q && (q - k) % stride == 0; }
  coverage cover(range q, range k) const noexcept {
    return k.begin >= q.end ? coverage::none : coverage::some;
  }
  key_ranges reach(range q) const noexcept { return range{everywhere.begin, q.end}; }
};

std::vector<picture> all_pictures() {
  std::vector<picture> all;
// The code that is shown is the code that is compiled.
#define SHOW(name, text, ...) all.push_back({name, #__VA_ARGS__, text, __VA_ARGS__})
  SHOW("causal", "Every key up to the query's own.", causal{});
  SHOW("sliding window", "Mistral: the last 4 keys, the query's own included.",
       causal{} & sliding_window{4});
  SHOW("local window", "Left and right of the query: 3 keys before it, 2 after.",
       local_window{.left = 3, .right = 2});
  SHOW("chunked", "Llama 4: within chunks of 6 positions.", causal{} & chunked{6});
  SHOW("prefix-LM", "The first 5 tokens see one another, the rest is causal.",
       causal{} | prefix{5});
  SHOW("sinks", "StreamingLLM: the first 2 tokens stay visible beside a window of 4.",
       causal{} & (sliding_window{4} | sinks{2}));
  SHOW("sinks and chunks", "The same beside chunks.", causal{} & (chunked{6} | sinks{2}));
  SHOW("documents", "Packed sequences, cu_seqlens = {0, 5, 6, 11, 16}.",
       causal{} & documents{cu_seqlens});
  SHOW("chunks within documents", "Positions, and so chunks, restart with every document.",
       each_document{cu_seqlens, causal{} & chunked{3}});
  SHOW("key padding", "Keys after the first 11 are padding.",
       causal{} & key_padding{.real = {0, 11}});
  SHOW("left padding", "Five slots of padding; positions and chunks count from slot 5.",
       left_padded{5, causal{} & chunked{4}});
  SHOW("spans, clamped", "Image tokens see one another within the window, {3, 7} and {9, 13}.",
       (causal{} | spans{images}) & sliding_window{3});
  SHOW("spans, not clamped", "And here whatever the window.",
       (causal{} & sliding_window{3}) | spans{images});
  SHOW("tree",
       "Eight drafts from position 8 on see their ancestors, parents = {-1, 0, 0, 1, 1, 2, -1, 6}.",
       tree{.first = 8, .parents = parents});
  all.back().queries = {8, 16};
  SHOW("a caller's tensor", "A boolean tensor [4, 4] that an engine already has.",
       dense_mask(rows[0], {0, 4}, {0, 4}, 4));
  all.back().queries = all.back().keys = {0, 4};
  SHOW("your own",
       "A few lines of yours, composed with the library's: `strided` stands in "
       "[masks.cpp](../examples/masks/masks.cpp).\n`cover` may always answer `some`, and `reach` "
       "`everywhere`: slower, never wrong. `static_assert(oriel::mask<strided>)`\nnames what is "
       "missing; for two masks of your own, `using oriel::operator&;`.",
       strided{.stride = 3} | (causal{} & sliding_window{2}));
#undef SHOW
  return all;
}

void print_page(std::vector<picture> const& all, index step) {
  std::printf(
      "%s",
      "# Masks\n\n"
      "A mask is a few bytes that answer three questions about positions "
      "(include/oriel/mask/mask.hpp); `&` shows what both show,\n"
      "`|` what one of them shows. Rows are queries, columns keys, `#` is visible. This page "
      "is what examples/masks prints, and a\n"
      "test compares them; of your own masks, print\n"
      "`oriel::describe(mask, {0, 16}, {0, 16})` (oriel/interop/describe.hpp).\n\n"
      "A mask that is chosen at run time is an `oriel::any_mask`; `oriel::mask_ref(chosen)` "
      "composes it further. What a mask refers to\n"
      "(bounds, spans, parents, tensors) must outlive it.\n");
  for (picture const& p : all) {
    std::printf("\n## %s\n\n%s\n\n```cpp\n%s\n```\n\n```text\n%s```\n", p.name.c_str(),
                p.text.c_str(), p.code.c_str(), describe(p.mask, p.queries, p.keys, step).c_str());
  }
}

/// Squares of 8 x 8 on a page with a margin of one square.
bool write_svg(std::string const& path, picture const& p) {
  std::ofstream file(path);
  index const width = 8 * (p.keys.size() + 2);
  index const height = 8 * (p.queries.size() + 2);
  file << "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"" << width << "\" height=\"" << height
       << "\">\n<title>" << p.name
       << "</title>\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n";
  for (index q = p.queries.begin; q < p.queries.end; ++q) {
    for (index k = p.keys.begin; k < p.keys.end; ++k) {
      file << "<rect x=\"" << 8 * (k - p.keys.begin + 1) << "\" y=\""
           << 8 * (q - p.queries.begin + 1) << "\" width=\"7\" height=\"7\" fill=\""
           << (p.mask.visible(q, k) ? "#1f6feb" : "#e6e6e6") << "\"/>\n";
    }
  }
  file << "</svg>\n";
  return static_cast<bool>(file.flush());
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Every mask as a picture: prints docs/masks.md");
  std::string directory;
  bool tiles = false;
  app.add_option("--svg", directory, "draw an image of each mask into this directory instead")
      ->check(CLI::ExistingDirectory);
  app.add_flag("--tiles", tiles, "a character per 4 x 4 pairs: . hidden, + partial, # all visible");
  CLI11_PARSE(app, argc, argv);

  std::vector<picture> const all = all_pictures();
  for (picture const& p : all) {
    if (oriel::status const s = p.mask.check(); !s.ok()) {
      std::fprintf(stderr, "%s: %s\n", p.name.c_str(), s.what);
      return 1;
    }
  }
  if (directory.empty()) {
    print_page(all, tiles ? 4 : 1);
    return 0;
  }
  for (picture const& p : all) {
    std::string name = p.name + ".svg";
    std::replace_if(
        name.begin(), name.end() - 4, [](char c) { return !std::isalnum(c); }, '_');
    if (!write_svg(directory + "/" + name, p)) {
      std::fprintf(stderr, "%s/%s can't be written\n", directory.c_str(), name.c_str());
      return 1;
    }
  }
  return 0;
}
