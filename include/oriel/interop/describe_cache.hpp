// SPDX-License-Identifier: BSL-1.0
// What the cache of a model takes, as text.
#pragma once

#include <string>
#include <vector>

#include "oriel/cache/model_cache.hpp"

namespace oriel::inline v0 {

/// A line per kind of layer, in the order of the first of each, then what they add up to; of
/// model_cache<K, V> (K may be a kivi_cache), in bytes:
///
///   layers  sees                rows  heads     dim             bytes
///       40  window 1024         1024      8     256         671088640
///        8  global             32768      8     256        4294967296
///   2 sequences of these, and their states: 9932126848 bytes
///   a token more of one: 131072 bytes
///
/// `rows` and `bytes` are those of one sequence; `dim` is keys/values where they differ. A line
/// with what is wrong instead for an invalid config. Throws std::bad_alloc.
template <class K = f32, class V = K>
std::string describe(model_config const& config) {
  using model = model_cache<K, V>;
  using cache = typename model::layer_cache;
  if (status const s = model::check(config); !s.ok()) {
    return std::string(s.what) + " (layer " + std::to_string(s.where) + ")\n";
  }
  struct line {
    std::string sees, rows, heads, dim, bytes;
    index layers = 0;
  };
  std::vector<line> lines;
  index growth = 0;  // bytes of one more token
  for (index i = 0; i < config.layer_count(); ++i) {
    index const owner = config.owner(i);
    layer_config const& of = config.layer(owner);
    cache_shape const shape = config.shape_of(owner, cache::group);
    std::string const keys = std::to_string(of.keys);
    line next{.sees = of.kind == layer_kind::window    ? "window " + keys
                      : of.kind == layer_kind::chunked ? "chunk " + keys
                                                       : "global",
              .rows = std::to_string(round_up(shape.sinks, cache::group) +
                                     round_up(shape.ring(), cache::group)),
              .heads = std::to_string(of.kv_heads),
              .dim = std::to_string(of.head_dim),
              .layers = 1};
    if (shape.value_dim() != of.head_dim) next.dim += '/' + std::to_string(shape.value_dim());
    if (of.sinks > 0) next.sees += " + " + std::to_string(of.sinks);
    index const bytes = owner == i ? cache::required_bytes(shape) : 0;
    if (owner != i) next.rows = "shared";
    if (owner == i && config.keeps_all(i)) {
      growth = saturating_add(growth, cache::token_bytes(shape));
    }
    bool known = false;
    for (line& l : lines) {
      if (l.sees != next.sees || l.rows != next.rows || l.heads != next.heads || l.dim != next.dim)
        continue;
      ++l.layers;
      l.bytes = std::to_string(saturating_add(std::stoll(l.bytes), bytes));
      known = true;
    }
    next.bytes = std::to_string(bytes);
    if (!known) lines.push_back(next);
  }
  auto const right = [](std::string const& text, std::size_t width) {
    return std::string(text.size() < width ? width - text.size() : 1, ' ') + text;
  };
  auto const row = [&](std::string const& layers, std::string const& sees, std::string const& rows,
                       std::string const& heads, std::string const& dim, std::string const& bytes) {
    std::string const gap(sees.size() < 16 ? 16 - sees.size() : 0, ' ');
    return right(layers, 6).substr(layers.size() < 6 ? 0 : 1) + "  " + sees + gap + right(rows, 8) +
           right(heads, 7) + right(dim, 8) + right(bytes, 18) + '\n';
  };
  std::string text = row("layers", "sees", "rows", "heads", "dim", "bytes");
  for (line const& l : lines) {
    text += row(std::to_string(l.layers), l.sees, l.rows, l.heads, l.dim, l.bytes);
  }
  bool const one = config.sequences == 1;
  text += std::to_string(config.sequences) + (one ? " sequence" : " sequences") +
          " of these, and " + (one ? "its" : "their") +
          " states: " + std::to_string(model::required_bytes(config)) + " bytes\n";
  text += "a token more of one: " + std::to_string(growth) + " bytes\n";
  return text;
}

}  // namespace oriel::inline v0
