// SPDX-License-Identifier: BSL-1.0
// Compiled for SSE2, for AVX2 and for AVX-512; see CMakeLists.txt.
#include "layer.hpp"

oriel::index workspace_bytes(oriel::attention const& call) { return oriel::workspace_bytes(call); }

oriel::status attend(oriel::attention const& call, oriel::workspace memory) {
  return oriel::attend(call, memory);
}
