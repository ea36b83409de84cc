// SPDX-License-Identifier: BSL-1.0
#include "compiled_once.hpp"

namespace oriel {

template void run_task<default_arch>(attend_plan const&, attention_batch const&, phase, index,
                                     index, workspace) noexcept;

}  // namespace oriel
