// SPDX-License-Identifier: BSL-1.0
// The kernels take most of the time to compile a test: this room compiles them once, in
// attend_test.cpp.
#pragma once

#include "oriel/attention/tasks.hpp"

namespace oriel {
extern template void run_task<default_arch>(attend_plan const&, attention_batch const&, phase,
                                            index, index, workspace) noexcept;
}
