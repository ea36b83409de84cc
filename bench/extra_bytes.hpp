// SPDX-License-Identifier: BSL-1.0
// Memory that a call takes besides its arguments, measured: heap and stacks. Programs that link
// this have their malloc and operator new counted.
#pragma once

#include <vector>

#include "team.hpp"

namespace bench {

/// Bytes of this program's heap, from when it is made.
class heap_watch {
 public:
  heap_watch();
  /// The most bytes that were allocated at once since then, above those of then.
  index peak() const;

 private:
  index start_;
};

/// Depth to which the stacks of a team's workers are used.
class stack_watch {
 public:
  /// Paints the free part of every worker's stack.
  explicit stack_watch(team& on);
  /// Bytes of paint that were overwritten since, summed over the workers.
  index used() const;

 private:
  team* on_;
  std::vector<std::byte*> painted_;  ///< per worker, lowest painted byte
};

}  // namespace bench
