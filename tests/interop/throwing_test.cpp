// SPDX-License-Identifier: BSL-1.0
#include "oriel/interop/throwing.hpp"

#include <gtest/gtest.h>

namespace oriel {
namespace {

TEST(Require, ThrowsWhatIsNotOk) {
  EXPECT_NO_THROW(require(status{}));
  try {
    require({errc::heads, "q.heads must be a multiple of kv.heads", 3});
    FAIL() << "nothing was thrown";
  } catch (std::invalid_argument const& e) {
    EXPECT_STREQ(e.what(), "oriel: q.heads must be a multiple of kv.heads");
    auto const* const ours = dynamic_cast<error const*>(&e);
    ASSERT_NE(ours, nullptr);
    EXPECT_EQ(ours->code().code, errc::heads);
    EXPECT_EQ(ours->code().where, 3);
  }
}

}  // namespace
}  // namespace oriel
