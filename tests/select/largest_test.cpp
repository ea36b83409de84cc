// SPDX-License-Identifier: BSL-1.0
#include "oriel/select/largest.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>

#include "tensors.hpp"

namespace oriel::test {
namespace {

using list = std::vector<index>;

list by_sorting(std::vector<float> const& all, index first, index wanted) {
  list names(all.size());
  std::iota(names.begin(), names.end(), first);
  auto const number = [&](index name) {
    float const x = all[static_cast<std::size_t>(name - first)];
    return std::isnan(x) ? infinity : x;
  };
  std::stable_sort(names.begin(), names.end(),
                   [&](index a, index b) { return number(a) > number(b); });
  names.resize(static_cast<std::size_t>(wanted));
  std::sort(names.begin(), names.end());
  return names;
}

list found(std::vector<float> const& all, index first, index wanted) {
  list to(static_cast<std::size_t>(wanted) + 1, -7);
  largest<default_arch> of;
  of.begin(first, wanted, to.data());
  for (float const x : all) of.offer(x);
  of.finish();
  EXPECT_EQ(to.back(), -7) << "nothing is written behind the list";
  to.pop_back();
  return to;
}

TEST(Largest, EqualsAStableSort) {
  random_numbers random(5);
  constexpr float nan = std::numeric_limits<float>::quiet_NaN();
  float const special[] = {infinity, -infinity, nan, -nan, 0.0f, -0.0f, 1e-45f, -1e-45f, 3e38f};
  for (int trial = 0; trial < 3000; ++trial) {
    index const count = random.below(trial % 100 == 0 ? 6000 : 120);
    int const kind = static_cast<int>(random.below(5));
    std::vector<float> all(static_cast<std::size_t>(count));
    for (float& x : all) {
      x = kind == 0   ? static_cast<float>(random.below(4))  // ties
          : kind == 1 ? special[random.below(std::size(special))]
          : kind == 2 ? std::bit_cast<float>(static_cast<std::uint32_t>(random.below(1LL << 32)))
                      : static_cast<float>(random.below(1000)) - 500.0f;
    }
    if (kind == 3) std::sort(all.begin(), all.end());
    if (kind == 4) std::sort(all.rbegin(), all.rend());
    index const wanted = min_of(random.below(count + 1), trial % 3 == 0 ? 3 : max_chosen);
    index const first = random.below(3) * (index{1} << 40);
    ASSERT_EQ(found(all, first, wanted), by_sorting(all, first, wanted))
        << trial << ": " << wanted << " of " << count << ", kind " << kind;
  }
}

}  // namespace
}  // namespace oriel::test
