// SPDX-License-Identifier: BSL-1.0
// Built for x86-64-v3 or v4, with a constructor that needs it before main begins.
#include <cstdio>
#include <vector>

static std::vector<float> const squares = [] {
  std::vector<float> x(100);
  for (std::size_t i = 0; i < x.size(); ++i) x[i] = static_cast<float>(i * i);
  return x;
}();

int main() { std::printf("ran: %g\n", static_cast<double>(squares[9])); }
