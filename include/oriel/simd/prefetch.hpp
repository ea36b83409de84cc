// SPDX-License-Identifier: BSL-1.0
// Lines of memory that are prefetched before they are read.
#pragma once

#include <cstdint>

#include "oriel/core/range.hpp"

namespace oriel::inline v0 {

/// Asks for the cache line at `at` to be brought into L2; any address is allowed. A function that
/// does nothing else must be inlined: g++ 12 leaves out calls of it.
ORIEL_INLINE void prefetch_l2(std::uintptr_t at) noexcept {
  // NOLINTNEXTLINE(performance-no-int-to-ptr): nothing is read through it
  __builtin_prefetch(reinterpret_cast<void const*>(at), 0, 2);
}

/// The same for L1.
ORIEL_INLINE void prefetch_l1(std::uintptr_t at) noexcept {
  // NOLINTNEXTLINE(performance-no-int-to-ptr): nothing is read through it
  __builtin_prefetch(reinterpret_cast<void const*>(at), 0, 3);
}

/// What to prefetch with each line that is read: bytes from it to a line for L2 and to a nearer one
/// for L1, of addresses as numbers, which wrap.
struct lines_ahead {
  std::uintptr_t l2 = 0;
  std::uintptr_t l1 = 0;

  ORIEL_INLINE void prefetch(void const* line) const noexcept {
    auto const at = reinterpret_cast<std::uintptr_t>(line);
    prefetch_l2(at + l2);
    prefetch_l1(at + l1);
  }
  /// The same for L2 only, where anything is to be prefetched.
  ORIEL_INLINE void prefetch_to_l2(void const* line) const noexcept {
    if (l2 != 0) prefetch_l2(reinterpret_cast<std::uintptr_t>(line) + l2);
  }
  /// Prefetches a row of `bytes` bytes for L2 where it is to be, line by line.
  ORIEL_INLINE void prefetch_row(void const* row, index bytes) const noexcept {
    if (l2 == 0) return;
    auto const first = reinterpret_cast<std::uintptr_t>(row) + l2;
    for (index at = 0; at < bytes; at += 64) prefetch_l2(first + static_cast<std::uintptr_t>(at));
  }
};

/// Arithmetic on a cache line that is read but once: `least` for one query over rows of 16 bits,
/// `little` for one query over floats, `more` for several queries, or codes to be decoded.
enum class line_work { least, little, more };

/// How far ahead of each line that is read but once others should be prefetched, in the order of
/// reading; 0: none but the line itself, as the core streams such lines faster than requests do.
/// Measured on Zen 4 and Emerald Rapids (docs/performance.md), whose prefetchers want different
/// distances; L1 was not tried on Zen 4. Where registers are short, `least` is for one query over
/// floats, `little` for one over 16 bits or several queries, and nothing is for L1 (Zen 3).
ORIEL_INLINE lines_ahead bytes_ahead([[maybe_unused]] line_work work) noexcept {
#if ORIEL_X86
  __builtin_cpu_init();
  if (__builtin_cpu_is("amd")) {
    constexpr unsigned bytes[] = {0, 2 << 10, 24 << 10};
    return {bytes[static_cast<int>(work)], 0};
  }
#endif
  return {work == line_work::more ? 16u << 10 : 8u << 10, 4 << 10};
}

/// Is one ascending stream of requests too slow, so that they should be made in several (as by
/// `row_fetch`)? So it was on Sapphire Rapids: 70 to 77 % of what eight gave. Newer compilers than
/// g++ 12 and clang 14 count Emerald Rapids as that, where either way gives much the same.
ORIEL_INLINE bool wants_streams() noexcept {
#if ORIEL_X86
  __builtin_cpu_init();
  return __builtin_cpu_is("sapphirerapids") != 0;
#else
  return false;
#endif
}

}  // namespace oriel::inline v0
