// SPDX-License-Identifier: BSL-1.0
// Masks as pictures, for documentation and for the debugger.
#pragma once

#include <algorithm>
#include <string>

#include "oriel/mask/any_mask.hpp"

namespace oriel::inline v0 {

/// A line per query, labelled with its position, and in it a character per key: # where the query
/// sees it, . where not. Lines end with a newline, the first names the keys:
///
///      keys 0 to 5
///   0  #.....
///   1  ##....
///
/// With step > 1 a character is a rectangle of step x step pairs as kernels ask for tiles:
/// . none, + some, # all.
/// Cost O(queries * keys). Throws std::bad_alloc.
inline std::string describe(any_mask const& mask, range queries, range keys, index step = 1) {
  step = std::clamp<index>(step, 1, max_position);
  std::size_t width = 0;
  for (index const end : {queries.begin, queries.end - 1}) {
    width = std::max(width, std::to_string(end).size());
  }
  std::string text(width + 2, ' ');
  text += "keys " + std::to_string(keys.begin) + " to " + std::to_string(keys.end - 1) + '\n';
  for (index q = queries.begin; q < queries.end; q += step) {
    std::string const label = std::to_string(q);
    text += std::string(width - label.size(), ' ') + label + "  ";
    for (index k = keys.begin; k < keys.end; k += step) {
      range const rows{q, std::min(q + step, queries.end)};
      range const columns{k, std::min(k + step, keys.end)};
      coverage const seen = step > 1             ? mask.cover(rows, columns)
                            : mask.visible(q, k) ? coverage::all
                                                 : coverage::none;
      text += ".+#"[static_cast<int>(seen)];
    }
    text += '\n';
  }
  return text;
}

}  // namespace oriel::inline v0
