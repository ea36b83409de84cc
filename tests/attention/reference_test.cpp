// SPDX-License-Identifier: BSL-1.0
// Cases small enough to be computed by hand.
#include "oriel/attention/reference.hpp"

#include <cmath>

#include "problem.hpp"

namespace oriel::test {
namespace {

TEST(Reference, OneKeyIsItsValue) {
  float const q[] = {3, -2}, k[] = {0.5f, 1}, v[] = {7, 8, 9};
  double out[3], lse[1];
  ASSERT_TRUE(reference({.q = {q, 1, 1, 2}, .kv = contiguous({k, 1, 1, 2}, {v, 1, 1, 3})},
                        {out, 1, 1, 3}, {lse, 1, 1, 1})
                  .ok());
  EXPECT_EQ(std::vector(out, out + 3), (std::vector<double>{7, 8, 9}));
  EXPECT_DOUBLE_EQ(lse[0], (3 * 0.5 - 2 * 1) / std::sqrt(2.0));
}

// Scores 0, ln 2 and ln 5 per unit of q: weights 1, 2, 5 where q = 1 and all 1 where q = 0.
float const keys[] = {0.0f, std::log(2.0f), std::log(5.0f)};
float const values[] = {8, 80, 800};
float const queries[] = {1, 0, 1};

struct by_hand {
  any_mask mask;
  std::vector<double> out;
  std::vector<double> sums;  ///< exp(lse)
};

TEST(Reference, MasksByPosition) {
  double const inf = HUGE_VAL;
  double const nothing = 0.0;
  by_hand const rows[] = {
      {full{}, {4168 / 8.0, 888 / 3.0, 4168 / 8.0}, {8, 3, 8}},
      {causal{}, {8, 44, 4168 / 8.0}, {1, 2, 8}},
      {causal{} & sliding_window{1}, {8, 80, 800}, {1, 1, 5}},
      {causal{} & sliding_window{2}, {8, 44, 4160 / 7.0}, {1, 2, 7}},
      {sliding_window{1}, {4168 / 8.0, 440, 800}, {8, 2, 5}},
  };
  for (by_hand const& row : rows) {
    double out[3], lse[3];
    attention const call{.q = {queries, 3, 1, 1},
                         .kv = contiguous({keys, 3, 1, 1}, {values, 3, 1, 1}),
                         .mask = row.mask};
    ASSERT_TRUE(reference(call, {out, 3, 1, 1}, {lse, 3, 1, 1}).ok());
    for (int i = 0; i < 3; ++i) {
      EXPECT_NEAR(out[i], row.out[static_cast<std::size_t>(i)], 1e-4) << i;
      EXPECT_NEAR(std::exp(lse[i]), row.sums[static_cast<std::size_t>(i)], 1e-6) << i;
    }
  }
  // Queries before the keys see none: 0 and -inf.
  double out[3], lse[3];
  attention const early{.q = {queries, 3, 1, 1},
                        .kv = contiguous({keys, 3, 1, 1}, {values, 3, 1, 1}),
                        .mask = causal{},
                        .first_query = -2};
  ASSERT_TRUE(reference(early, {out, 3, 1, 1}, {lse, 3, 1, 1}).ok());
  EXPECT_EQ(std::vector(out, out + 3), (std::vector<double>{nothing, nothing, 8}));
  EXPECT_EQ(std::vector(lse, lse + 3), (std::vector<double>{-inf, -inf, 0}));
}

TEST(Reference, GroupsOfQueryHeadsShareAKvHead) {
  float const q[] = {1, 1, 1, 1}, k[] = {1, 1}, v[] = {10, 20};  // heads 4:2
  double out[4];
  ASSERT_TRUE(
      reference({.q = {q, 1, 4, 1}, .kv = contiguous({k, 1, 2, 1}, {v, 1, 2, 1})}, {out, 1, 4, 1})
          .ok());
  EXPECT_EQ(std::vector(out, out + 4), (std::vector<double>{10, 10, 20, 20}));
}

TEST(Reference, AgreesWithItselfAtAnyScaleAndStride) {
  attention_case c{.q_len = 5, .kv_len = 9, .q_heads = 2, .kv_heads = 1, .head_dim = 3};
  problem const packed(c);
  c.lies = layout::head_major;
  problem const strided(c);
  EXPECT_EQ(exact_answer(packed.call()).out, exact_answer(strided.call()).out);
  attention call = packed.call();
  call.scale = 0.0f;  // every visible key weighs the same
  exact_answer const flat(call);
  for (index t = 0; t < 5; ++t) {
    EXPECT_DOUBLE_EQ(flat.lse[static_cast<std::size_t>(2 * t)],
                     std::log(5.0 + static_cast<double>(t)));
  }
}

TEST(Reference, RefusesWhatAttendRefuses) {
  problem const p({.q_len = 2, .kv_len = 3, .head_dim = 4});
  std::vector<double> out(8, 42.0);
  auto const code = [&](attention const& call, tensor_view<double> to,
                        tensor_view<double> lse = {}) { return reference(call, to, lse).code; };
  attention call = p.call();
  EXPECT_EQ(code(call, {out.data(), 1, 1, 4}), errc::shape);
  EXPECT_EQ(code(call, {out.data(), 2, 2, 2}), errc::heads);
  EXPECT_EQ(code(call, {out.data(), 2, 1, 3}), errc::shape);
  EXPECT_EQ(code(call, {nullptr, 2, 1, 4}), errc::memory);
  EXPECT_EQ(code(call, {out.data(), 2, 1, 4}, {out.data(), 2, 1, 2}), errc::shape);
  call.mask = sliding_window{0};
  EXPECT_EQ(code(call, {out.data(), 2, 1, 4}), errc::mask);
  EXPECT_EQ(out, std::vector<double>(8, 42.0));
}

}  // namespace
}  // namespace oriel::test
