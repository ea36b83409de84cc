// SPDX-License-Identifier: BSL-1.0
#include "oriel/core/status.hpp"

#include <gtest/gtest.h>

#include <type_traits>

namespace oriel {
namespace {

static_assert(std::is_trivially_copyable_v<status>, "a status is a value, not an owner");
static_assert(status{}.ok() && status{}.code == errc::ok && status{}.where == 0);

TEST(Status, OnlyOkIsOk) {
  for (errc code : {errc::heads, errc::shape, errc::memory, errc::alignment, errc::alias,
                    errc::workspace, errc::mask, errc::position, errc::evicted, errc::plan}) {
    status const s{code, "a: rule", 3};
    EXPECT_FALSE(s.ok());
    EXPECT_STREQ(s.what, "a: rule");
    EXPECT_EQ(s.where, 3);
  }
  EXPECT_STREQ(status{}.what, "ok");
}

}  // namespace
}  // namespace oriel
