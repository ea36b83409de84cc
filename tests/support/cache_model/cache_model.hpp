// SPDX-License-Identifier: BSL-1.0
// Random operations on every kind of source, beside a naive list of rows. Used by the fuzzers and by
// the tests; compiled once, in the target oriel_cache_model.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "oriel/core/range.hpp"

namespace oriel::model {

/// The ways of storing rows in a ring.
std::vector<std::string> const& storage_names();

/// Runs `operations` of them, in worlds that store rows in each of these ways in turn; what went
/// wrong, in words, goes to `report`. Returns the number of findings.
index run(std::uint64_t seed, index operations, std::span<std::string const> stored,
          std::function<void(std::string const&)> const& report);

/// The operations that these bytes choose, until they are used up. Empty, or what is wrong.
std::string run(std::span<std::uint8_t const> bytes);

}  // namespace oriel::model
