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
};

/// Lines of rows that are read later, in the order of memory, while others are computed with. Where
/// registers are short, values are read in columns of a few lines, and requests in that order are
/// slow: 58 instead of 43 ns for 512 bytes (Zen 3).
class line_walk {
 public:
  ORIEL_INLINE line_walk() noexcept {}  // prefetches nothing
  /// For rows of `bytes` bytes, `stride` apart, the first at `row`. Meanwhile as many rows are
  /// computed with, each in `steps` steps.
  ORIEL_INLINE line_walk(std::uintptr_t row, index stride, index bytes, index steps) noexcept
      : row_(row), stride_(static_cast<std::uintptr_t>(stride)), line_(row & ~(line_bytes - 1)) {
    index const lines = ceil_div(static_cast<index>(row - line_) + bytes, line_bytes);
    bool const is_packed = stride >= bytes && stride <= lines * line_bytes;
    if (!is_packed) lines_ = lines;
    left_ = lines_;
    each_ = ceil_div(is_packed ? stride : lines * line_bytes, max_of(steps, 1));
  }

  /// With each step.
  ORIEL_INLINE void prefetch(void const* /*own*/) noexcept {
    owed_ += each_;
    if (owed_ < line_bytes) return;
    owed_ -= line_bytes;
    prefetch_l2(line_);
    line_ += line_bytes;
    if (--left_ > 0) return;
    row_ += stride_;
    line_ = row_ & ~(line_bytes - 1);
    left_ = lines_;
  }
  /// What is prefetched next.
  ORIEL_INLINE std::uintptr_t line() const noexcept { return line_; }

 private:
  static constexpr int line_bytes = 64;

  std::uintptr_t row_ = 0;
  std::uintptr_t stride_ = 0;
  std::uintptr_t line_ = 0;
  index lines_ = INT64_MAX;  ///< of a row; of packed rows the lines go on
  index left_ = INT64_MAX;
  index each_ = 0;  ///< bytes for a step
  index owed_ = 0;
};

/// Arithmetic on a cache line that is read but once: `least` for one query over rows of 16 bits,
/// `little` for one query over floats, `more` for several queries, or codes to be decoded.
enum class line_work { least, little, more };

/// How far ahead of each line that is read but once others should be prefetched, in the order of
/// reading; 0: none but the line itself, as the core streams such lines faster than requests do.
/// Measured on Zen 4 and Emerald Rapids (docs/performance.md), whose prefetchers want different
/// distances; L1 was not tried on Zen 4. Where registers are short, a line_walk takes the distance
/// of `more` for L2, and nothing for L1 (Zen 3).
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
