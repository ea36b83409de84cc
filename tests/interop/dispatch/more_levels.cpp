// SPDX-License-Identifier: BSL-1.0
// A second dispatched source; calls within a level stay within it.
#include "levels.hpp"

void running_sum::add(std::vector<float> const& x) {
  std::string const level = compiled_for();
  auto* volatile const by_pointer = &dot<float>;  // else g++ makes a local copy of it
  total_ += by_pointer(x, x) + (level.empty() ? 1.0f : 0.0f);
}

float running_sum::total() const { return total_; }
