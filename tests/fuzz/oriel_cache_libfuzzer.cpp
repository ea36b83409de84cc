// SPDX-License-Identifier: BSL-1.0
// The same operations, chosen by libFuzzer: oriel_cache_libfuzzer [CORPUS...]. Stops at a finding.
#include <cstdio>
#include <cstdlib>

#include "cache_model.hpp"

extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const* bytes, std::size_t size) {
  oriel::model::choices choose(bytes, size);
  oriel::model::world w(choose, oriel::model::any_storage(choose));
  while (!choose.done()) {
    std::string const found = w.step();
    if (found.empty()) continue;
    std::fprintf(stderr, "%s\n", found.c_str());
    std::abort();
  }
  return 0;
}
