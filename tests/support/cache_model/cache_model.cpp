// SPDX-License-Identifier: BSL-1.0
#include "cache_model.hpp"

#include <algorithm>

#include "compiled_once.hpp"
#include "world.hpp"

namespace oriel::model {

std::vector<std::string> const& storage_names() {
  static std::vector<std::string> const all = [] {
    std::vector<std::string> names;
    for (storage const& each : storages()) names.emplace_back(each.name);
    return names;
  }();
  return all;
}

index run(std::uint64_t seed, index operations, std::span<std::string const> stored,
          std::function<void(std::string const&)> const& report) {
  index findings = 0;
  std::size_t worlds = 0;
  for (index done = 0; done < operations;) {
    choices choose(seed + static_cast<std::uint64_t>(done) * 0x9e3779b97f4a7c15u);
    std::string const& name = stored[worlds++ % stored.size()];
    storage const& own = *std::find_if(storages().begin(), storages().end(),
                                       [&](storage const& each) { return each.name == name; });
    world w(choose, own);
    index const length = std::min<index>(operations - done, 200);
    for (index i = 0; i < length; ++i, ++done) {
      std::string const found = w.step();
      if (found.empty()) continue;
      ++findings;
      report("operation " + std::to_string(done) + ", " + own.name + ": " + found);
      done += length - i;
      break;
    }
  }
  return findings;
}

std::string run(std::span<std::uint8_t const> bytes) {
  choices choose(bytes.data(), bytes.size());
  world w(choose, any_storage(choose));
  while (!choose.done()) {
    std::string found = w.step();
    if (!found.empty()) return found;
  }
  return "";
}

}  // namespace oriel::model
