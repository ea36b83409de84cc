// SPDX-License-Identifier: BSL-1.0
// On processors that lack something it is tested by the emulated ones of interop/dispatch.
#include "oriel/interop/check_cpu.hpp"

#include <gtest/gtest.h>

namespace oriel {
namespace {

TEST(CheckCpu, IsOkWhereTheProgramRuns) {
  status const s = check_cpu();
  EXPECT_TRUE(s.ok()) << s.what;
}

}  // namespace
}  // namespace oriel
