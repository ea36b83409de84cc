// SPDX-License-Identifier: BSL-1.0
// The same operations, chosen by libFuzzer: oriel_cache_libfuzzer [CORPUS...]. Stops at a finding.
#include <cstdio>
#include <cstdlib>

#include "cache_model/cache_model.hpp"

extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const* bytes, std::size_t size) {
  std::string const found = oriel::model::run({bytes, size});
  if (!found.empty()) {
    std::fprintf(stderr, "%s\n", found.c_str());
    std::abort();
  }
  return 0;
}
