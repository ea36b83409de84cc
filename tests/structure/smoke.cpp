// SPDX-License-Identifier: BSL-1.0
// Two translation units attend and must agree with each other to the bit, and with plain loops.
#include "smoke.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>

namespace {

/// One channel of one row, the way the formula says it.
double by_hand(smoke_problem const& p, oriel::index token, oriel::index head, oriel::index d) {
  oriel::index const kv_head = head / (smoke_heads / smoke_kv_heads);
  float const* const q = &p.q[static_cast<std::size_t>((token * smoke_heads + head) * smoke_dim)];
  double sum = 0, total = 0;
  for (oriel::index j = std::max<oriel::index>(0, token - smoke_window + 1); j <= token; ++j) {
    auto const row = static_cast<std::size_t>((j * smoke_kv_heads + kv_head) * smoke_dim);
    double score = 0;
    for (oriel::index i = 0; i < smoke_dim; ++i) {
      score += double{q[i]} * double{p.k[row + static_cast<std::size_t>(i)]};
    }
    double const weight = std::exp(score / std::sqrt(static_cast<double>(smoke_dim)));
    sum += weight;
    total += weight * double{p.v[row + static_cast<std::size_t>(d)]};
  }
  return total / sum;
}

int fail(char const* what) {
  std::fprintf(stderr, "%s\n", what);
  return 1;
}

}  // namespace

int main() {
  static smoke_problem here, there;
  fill(here);
  there = here;
  if (oriel::status const s = attend_here(here); !s.ok()) return fail(s.what);
  if (oriel::status const s = attend_in_other_unit(there); !s.ok()) return fail(s.what);
  if (here.out != there.out) return fail("two translation units disagree");

  double worst = 0;
  for (oriel::index t = 0, at = 0; t < smoke_tokens; ++t) {
    for (oriel::index h = 0; h < smoke_heads; ++h) {
      for (oriel::index d = 0; d < smoke_dim; ++d, ++at) {
        double const got = here.out[static_cast<std::size_t>(at)];
        worst = std::max(worst, std::abs(got - by_hand(here, t, h, d)));
      }
    }
  }
  std::printf("largest difference from the formula: %.2g\n", worst);
  return worst <= 1e-5 ? 0 : fail("the answer is wrong");
}
