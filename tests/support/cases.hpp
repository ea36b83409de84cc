// SPDX-License-Identifier: BSL-1.0
// The one table of calls that tests check against the definition and benchmarks measure.
#pragma once

#include <initializer_list>
#include <optional>
#include <sstream>
#include <string>
#include <vector>

#include "oriel/oriel.hpp"

namespace oriel::test {

enum class mask_kind { full, causal, window, causal_window };
/// Where the rows of the tensors lie: [tokens, heads, dim] without gaps; with gaps behind every row
/// and token; [heads, tokens, dim]; the last token first.
enum class layout { packed, padded, head_major, backwards };

struct attention_case {
  index q_len = 1;
  index kv_len = 1;
  index q_heads = 1;
  index kv_heads = 1;
  index head_dim = 64;
  std::optional<index> v_dim = std::nullopt;  ///< head_dim unless given
  mask_kind kind = mask_kind::causal;
  index window = 64;  ///< where `kind` has one
  layout lies = layout::packed;

  index value_dim() const { return v_dim.value_or(head_dim); }
  any_mask mask() const {
    switch (kind) {
      case mask_kind::full: return full{};
      case mask_kind::causal: return causal{};
      case mask_kind::window: return sliding_window{window};
      case mask_kind::causal_window: break;
    }
    return causal{} & sliding_window{window};
  }
  std::string name() const {
    static constexpr char const* kinds[] = {"full", "causal", "window", "causal_window"};
    static constexpr char const* layouts[] = {"", "_padded", "_head_major", "_backwards"};
    bool const windowed = kind == mask_kind::window || kind == mask_kind::causal_window;
    std::ostringstream text;
    text << "q" << q_len << "_kv" << kv_len << "_h" << q_heads << "_" << kv_heads << "_d"
         << head_dim;
    if (v_dim) text << "_" << *v_dim;
    text << "_" << kinds[static_cast<int>(kind)];
    if (windowed) text << window;
    text << layouts[static_cast<int>(lies)];
    return text.str();
  }
};

/// Every size at, before and behind the edges of registers, tiles and leaves, one at a time.
inline std::vector<attention_case> attention_cases() {
  std::vector<attention_case> all;
  auto const vary = [&](attention_case one, auto member, auto const& values) {
    for (auto const value : values) {
      one.*member = value;
      all.push_back(one);
    }
  };
  using c = attention_case;
  using sizes = std::initializer_list<index>;
  sizes const dims{1, 3, 16, 33, 64, 80, 128, 256};
  sizes const key_counts{0, 1, 127, 128, 129, 511, 512, 513, 1023, 1024, 1025, 2050};
  sizes const windows{1, 2, 63, 64, 65, 1000};
  c const prefill{.q_len = 49, .kv_len = 140, .q_heads = 4, .kv_heads = 2, .head_dim = 24};
  c const decode{.q_len = 1, .kv_len = 560, .q_heads = 6, .kv_heads = 2, .head_dim = 40};
  auto const with = [](c one, auto change) {
    change(one);
    return one;
  };

  vary(prefill, &c::head_dim, dims);
  vary(decode, &c::head_dim, dims);
  vary(prefill, &c::v_dim, sizes{1, 33, 80, 129});
  vary(decode, &c::v_dim, sizes{1, 33, 80, 129});
  vary(with(prefill, [](c& x) { x.q_heads = 24, x.kv_len = 60; }), &c::kv_heads,
       sizes{24, 8, 6, 3});
  vary(with(decode, [](c& x) { x.q_heads = 24; }), &c::kv_heads, sizes{24, 8, 6, 3});
  vary(with(prefill, [](c& x) { x.kv_len = 300, x.q_heads = 2; }), &c::q_len,
       sizes{0, 1, 2, 3, 4, 8, 9, 47, 48, 49, 100, 257});
  vary(decode, &c::kv_len, key_counts);
  vary(with(prefill, [](c& x) { x.q_len = 20; }), &c::kv_len, key_counts);
  for (mask_kind const kind : {mask_kind::causal_window, mask_kind::window}) {
    vary(with(prefill, [&](c& x) { x.kind = kind, x.q_len = 100, x.kv_len = 1100; }), &c::window,
         windows);
    vary(with(decode, [&](c& x) { x.kind = kind, x.q_len = 2, x.kv_len = 1100; }), &c::window,
         windows);
  }
  vary(prefill, &c::kind, std::initializer_list<mask_kind>{mask_kind::full});
  vary(decode, &c::kind, std::initializer_list<mask_kind>{mask_kind::full});
  for (layout const lies : {layout::padded, layout::head_major, layout::backwards}) {
    auto const strided = [&](c& x) { x.lies = lies, x.v_dim = 17; };
    all.push_back(with(prefill, strided));
    all.push_back(with(decode, strided));
  }
  for (range const lens : {range{9, 5}, {49, 1}, {257, 130}, {3, 0}}) {  // more queries than keys
    vary(with(prefill, [&](c& x) { x.q_len = lens.begin, x.kv_len = lens.end, x.window = 7; }),
         &c::kind, std::initializer_list<mask_kind>{mask_kind::causal, mask_kind::causal_window});
  }
  return all;
}

}  // namespace oriel::test
