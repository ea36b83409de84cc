// SPDX-License-Identifier: BSL-1.0
#include "oriel/kernel/softmax_state.hpp"

#include <gtest/gtest.h>

#include <cmath>

#include "tensors.hpp"

namespace oriel::test {
namespace {

using state = softmax_state<default_arch>;
constexpr index rows = 5;

/// A state in its own memory, full of NaN at first.
struct owned_state {
  aligned_memory memory;
  state s;
  explicit owned_state(index v_dim) : memory(measure(v_dim)), s(carve(memory, v_dim)) {}

  static index measure(index v_dim) {
    carver walk;
    state::carve(walk, rows, v_dim);
    return walk.used();
  }
  static state carve(aligned_memory& memory, index v_dim) {
    carver walk(memory.span().data());
    return state::carve(walk, rows, v_dim);
  }
  owned_state&& filled(std::uint64_t seed) && {
    random_numbers random(seed);
    s.reset(rows);
    for (index r = 0; r < rows; ++r) {
      s.m[r] = 3.0f * random();
      s.l[r] = 1.0f + std::abs(random());
      for (index d = 0; d < s.v_dim; ++d) s.acc[r * s.stride() + d] = random();
    }
    return std::move(*this);
  }
  std::vector<std::uint32_t> bits() const {
    std::vector<std::uint32_t> all = bits_of(tensor_view<float const>(s.m, 1, 1, rows));
    for (auto const& more :
         {bits_of(tensor_view<float const>(s.l, 1, 1, rows)),
          bits_of(tensor_view<float const>(s.acc, rows, 1, s.v_dim, s.stride(), s.stride()))}) {
      all.insert(all.end(), more.begin(), more.end());
    }
    return all;
  }
};

index const dims[] = {1, 15, 16, 17, 33, 64};

TEST(SoftmaxState, TheIdentitySeesNothing) {
  for (index const dim : dims) {
    owned_state const none(dim);
    none.s.reset(rows);
    EXPECT_TRUE(none.memory.is_untouched_behind());
    tensor const out(1, 1, dim);
    none.s.write_out(2, out.view.data);
    for_each_element(out.view, [](float x) { EXPECT_EQ(std::bit_cast<std::uint32_t>(x), 0u); });
    EXPECT_TRUE(out.is_untouched()) << "behind the row";
    EXPECT_EQ(none.s.lse(2), -infinity);
  }
}

TEST(SoftmaxState, TheIdentityChangesNothing) {
  for (index const dim : dims) {
    owned_state const a = owned_state(dim).filled(1);
    owned_state const none(dim);
    auto const before = a.bits();
    none.s.reset(rows);
    a.s.merge(none.s, rows);
    EXPECT_EQ(a.bits(), before) << "on the right";
    none.s.merge(a.s, rows);
    EXPECT_EQ(none.bits(), before) << "on the left";
  }
}

TEST(SoftmaxState, WhatIsNotANumberIsMergedToo) {
  constexpr float nan = std::numeric_limits<float>::quiet_NaN();
  for (float const m : {nan, -infinity, 1.0f}) {  // a maximum may leave NaN out, a sum does not
    for (bool const other_is_empty : {false, true}) {
      for (bool const from_left : {false, true}) {
        owned_state a = owned_state(17).filled(1), b = owned_state(17).filled(2);
        if (other_is_empty) (from_left ? b : a).s.reset(rows);
        softmax_state<default_arch> const& odd = (from_left ? a : b).s;
        odd.m[3] = m, odd.l[3] = nan;
        a.s.merge(b.s, rows);
        for (index r = 0; r < rows; ++r) EXPECT_EQ(std::isnan(a.s.l[r]), r == 3) << r;
      }
    }
  }
}

TEST(SoftmaxState, MergeIsTheSumOfBoth) {
  for (index const dim : dims) {
    owned_state const a = owned_state(dim).filled(1);
    owned_state const b = owned_state(dim).filled(2);
    owned_state const c = owned_state(dim).filled(1);  // a again
    a.s.m[3] = c.s.m[3] = -infinity;                   // one row of either sees nothing
    a.s.l[3] = c.s.l[3] = 0.0f;
    for (index d = 0; d < dim; ++d)
      a.s.acc[3 * a.s.stride() + d] = c.s.acc[3 * a.s.stride() + d] = 0;
    c.s.merge(b.s, rows);
    for (index r = 0; r < rows; ++r) {
      double const wa = std::exp2(static_cast<double>(a.s.m[r]));
      double const wb = std::exp2(static_cast<double>(b.s.m[r]));
      double const l = wa * a.s.l[r] + wb * b.s.l[r];
      EXPECT_NEAR(c.s.lse(r), std::log(l), 1e-6);
      tensor const out(1, 1, dim);
      c.s.write_out(r, out.view.data);
      for (index d = 0; d < dim; ++d) {
        index const i = r * a.s.stride() + d;
        EXPECT_NEAR(out.view.data[d], (wa * a.s.acc[i] + wb * b.s.acc[i]) / l, 2e-6) << r;
      }
    }
  }
}

TEST(SoftmaxState, MergeIsAssociativeUpToRounding) {
  auto const fresh = [](std::uint64_t seed) { return owned_state(33).filled(seed); };
  owned_state const left = fresh(1), right = fresh(2);
  left.s.merge(fresh(2).s, rows);  // (1 2) 3
  left.s.merge(fresh(3).s, rows);
  right.s.merge(fresh(3).s, rows);  // 1 (2 3)
  owned_state const one = fresh(1);
  one.s.merge(right.s, rows);
  for (index r = 0; r < rows; ++r) {
    EXPECT_NEAR(one.s.lse(r), left.s.lse(r), 1e-6);
    tensor const a(1, 1, 33), b(1, 1, 33);
    one.s.write_out(r, a.view.data);
    left.s.write_out(r, b.view.data);
    for (index d = 0; d < 33; ++d) EXPECT_NEAR(a.view.data[d], b.view.data[d], 2e-6);
  }
}

TEST(SoftmaxState, MergeTakesTheRowsItIsGiven) {
  owned_state const a = owned_state(17).filled(1);
  auto const before =
      bits_of(tensor_view<float const>(a.s.acc + 2 * a.s.stride(), 3, 1, 17, a.s.stride(), 0));
  a.s.merge(owned_state(17).filled(2).s, 2);
  EXPECT_EQ(
      bits_of(tensor_view<float const>(a.s.acc + 2 * a.s.stride(), 3, 1, 17, a.s.stride(), 0)),
      before);
}

TEST(SoftmaxState, ASinkIsInTheLseHoweverExtreme) {
  constexpr float nan = std::numeric_limits<float>::quiet_NaN();
  auto const of = owned_state(1).filled(3);
  of.s.m[1] = -infinity, of.s.l[1] = 0.0f;  // no key
  float const lse = of.s.lse(0);
  EXPECT_FLOAT_EQ(of.s.lse_with(0, 0.5f), std::log(std::exp(lse) + std::exp(0.5f)));
  for (float const logit : {0.5f, -3.0f, 2.4e38f, -2.4e38f, lowest_score, infinity, -infinity}) {
    EXPECT_EQ(of.s.lse_with(1, logit), logit) << "a row that sees no key has its logit";
    EXPECT_EQ(of.s.lse_with(0, logit) >= lse, true) << logit;
  }
  EXPECT_EQ(of.s.lse_with(0, 2.4e38f), 2.4e38f);
  EXPECT_EQ(of.s.lse_with(0, lowest_score), lse);
  EXPECT_TRUE(std::isnan(of.s.lse_with(0, nan)) && std::isnan(of.s.lse_with(1, nan)));
}

TEST(SoftmaxState, FarApartMaximaNeitherOverflowNorVanish) {
  owned_state const a = owned_state(3).filled(1), b = owned_state(3).filled(2);
  for (index r = 0; r < rows; ++r) a.s.m[r] = 3e38f, b.s.m[r] = -3e38f;
  auto const before = a.bits();
  a.s.merge(b.s, rows);
  EXPECT_EQ(a.bits(), before);
  b.s.merge(a.s, rows);
  EXPECT_EQ(b.bits(), before);
}

}  // namespace
}  // namespace oriel::test
