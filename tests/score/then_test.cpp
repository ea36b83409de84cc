// SPDX-License-Identifier: BSL-1.0
#include "oriel/score/then.hpp"

#include "oriel/score/alibi.hpp"
#include "oriel/score/softcap.hpp"
#include "score_values.hpp"

namespace oriel::test {
namespace {

constexpr float slopes[] = {0.5f, 0.25f, 0.125f, 0.0625f};

TEST(Then, FirstTheFirst) {
  any_score const f = softcap{2.0f} >> alibi{slopes};
  EXPECT_NEAR(f.exact(100.0, 8, 0, 0), 2.0 - 4.0, 1e-9);
  any_score const g = alibi{slopes} >> softcap{2.0f};
  EXPECT_NEAR(g.exact(100.0, 8, 0, 0), 2.0, 1e-9);
}

TEST(Then, EqualsTheDefinition) {
  EXPECT_LE(largest_score_error(softcap{3.0f} >> alibi{slopes}), 1e-6);
  EXPECT_LE(largest_score_error(zebra{0.5f} >> softcap{3.0f} >> alibi{slopes}), 1e-6);
  using oriel::operator>>;
  EXPECT_LE(largest_score_error(zebra{0.5f} >> zebra{2.0f}), 1e-6) << "two of a user's own";
}

TEST(Then, ChecksBoth) {
  EXPECT_TRUE((softcap{2.0f} >> alibi{slopes}).check(4, {}, {}).ok());
  EXPECT_EQ((softcap{0.0f} >> alibi{slopes}).check(4, {}, {}).code, errc::score);
  EXPECT_EQ((softcap{2.0f} >> alibi{slopes}).check(5, {}, {}).code, errc::heads);
  EXPECT_EQ((zebra{1.0f} >> softcap{0.0f}).check(5, {}, {}).code, errc::score);
}

}  // namespace
}  // namespace oriel::test
