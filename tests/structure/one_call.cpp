// SPDX-License-Identifier: BSL-1.0
// What a user compiles at least: compile_budget.sh looks at the object.
#include <oriel/oriel.hpp>

oriel::status one_call(oriel::attention const& call, oriel::workspace memory) {
  return oriel::attend(call, memory);
}
