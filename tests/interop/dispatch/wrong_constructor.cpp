// SPDX-License-Identifier: BSL-1.0
#include <vector>

std::vector<float> const& table();

static std::vector<float> const values(100, 1.0f);  // constructed at the start, whatever the level
std::vector<float> const& table() { return values; }
