// SPDX-License-Identifier: BSL-1.0
// oriel_cache_fuzz --operations N --seed S [--storage NAME]: random operations on every kind of
// source against a list of rows (tests/support/cache_model), stored in each way in turn or in
// one. The last line is "N operations, F findings"; exits 1 if F > 0.
#include <CLI/CLI.hpp>
#include <cinttypes>
#include <cstdio>

#include "cache_model/cache_model.hpp"

int main(int argc, char** argv) {
  oriel::index operations = 100'000;
  std::uint64_t seed = 1;
  CLI::App app("Random operations on every kind of source against a list of rows",
               "oriel_cache_fuzz");
  app.add_option("--operations", operations, "operations to run")
      ->capture_default_str()
      ->check(CLI::Range(oriel::index{0}, oriel::index{1} << 40));
  app.add_option("--seed", seed, "of the random numbers")->capture_default_str();
  std::vector<std::string> stored = oriel::model::storage_names();
  std::vector<std::string> names = stored;
  names.emplace_back("all");
  std::string name = "all";
  app.add_option("--storage", name, "how rows are stored in a ring; all: in each way in turn")
      ->capture_default_str()
      ->check(CLI::IsMember(names));
  CLI11_PARSE(app, argc, argv);
  if (name != "all") stored = {name};

  oriel::index printed = 0;
  oriel::index const findings =
      oriel::model::run(seed, operations, stored, [&](std::string const& what) {
        if (printed++ < 20) std::printf("seed %" PRIu64 ", %s\n", seed, what.c_str());
      });
  std::printf("%" PRId64 " operations, %" PRId64 " findings\n", operations, findings);
  return findings > 0 ? 1 : 0;
}
