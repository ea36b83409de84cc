// SPDX-License-Identifier: BSL-1.0
// Errors are values: what went wrong, which argument, which rule.
#pragma once

#include "oriel/core/range.hpp"

namespace oriel::inline v0 {

/// The kinds of bad argument. `status::what` names the argument and the rule.
enum class errc {
  ok,
  heads,      ///< head counts that do not match or do not divide
  shape,      ///< a size, stride or dimension out of its range, or two that should be equal
  memory,     ///< a null pointer where there is something to read or write, or storage too small
  alignment,  ///< storage that is not aligned as required
  alias,      ///< memory to be written that overlaps other memory of the call
  workspace,  ///< fewer workspace bytes than the plan asked for
  mask,       ///< a mask with invalid parameters, such as a window of 0 keys
  score,      ///< a score functor with invalid parameters, such as a cap of 0
  select,     ///< a selector with invalid parameters, or that lacks what it chooses by
  position,   ///< positions out of order or out of range
  evicted,    ///< a mask, a truncate or an erase needs rows that a cache has given up
  full,       ///< a cache that keeps all tokens has no room for more
  plan,       ///< a call that its plan was not made for
  saved,      ///< saved bytes that are cut, damaged, of another version or of another cache
  cpu,        ///< a processor without an instruction set that the program was built for
};

/// Result of every entry point. When it is not ok, nothing has been written.
struct [[nodiscard]] status {
  errc code = errc::ok;
  char const* what = "ok";  ///< literal that names the argument and the rule it breaks
  index where = 0;  ///< which sequence of a batch, layer of a model, part of a merge; else 0

  ORIEL_INLINE constexpr bool ok() const noexcept { return code == errc::ok; }
};

}  // namespace oriel::inline v0
