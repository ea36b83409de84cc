// SPDX-License-Identifier: BSL-1.0
// For the stubs that oriel_add_dispatch generates.
#pragma once

namespace oriel::inline v0::detail {

/// 0 (SSE2), 1 (x86-64-v3) or 2 (x86-64-v4).
int active_level() noexcept;

}  // namespace oriel::inline v0::detail
