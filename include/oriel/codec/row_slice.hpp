// SPDX-License-Identifier: BSL-1.0
// Consecutive rows as they are stored.
#pragma once

#include <cstddef>

#include "oriel/core/range.hpp"
#include "oriel/simd/prefetch.hpp"

namespace oriel::inline v0 {

/// Elements of a row that is stored otherwise than as floats, at most: there are rows on the stack.
inline constexpr index max_coded_dim = 4096;

/// Consecutive stored rows of one kv head: row i begins at data + i * stride bytes and has position
/// first + i.
struct row_slice {
  std::byte const* data = nullptr;
  index stride = 0;  ///< bytes
  index head = 0;
  index first = 0;
  index count = 0;
  index dim = 0;           ///< floats in a row
  lines_ahead ahead = {};  ///< what products prefetch meanwhile

  /// Prefetches what lies ahead of rows of `bytes` bytes, in their order.
  ORIEL_INLINE void prefetch(index bytes) const noexcept {
    for (index i = 0; ahead.l2 != 0 && i < count; ++i) ahead.prefetch_row(data + i * stride, bytes);
  }
};

}  // namespace oriel::inline v0
