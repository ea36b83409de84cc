// SPDX-License-Identifier: BSL-1.0
// One program for every x86-64 processor: CMake's oriel_add_dispatch(target SOURCES file.cpp ...)
// compiles ordinary sources for SSE2, x86-64-v3 (AVX2) and x86-64-v4 (AVX-512), and calls to the
// functions that they define go to the level chosen at the program's start. On other machines the
// sources are compiled once. This header is needed only to ask which level it is.
#pragma once

#include "oriel/core/config.hpp"

namespace oriel::inline v0 {

/// The level chosen: "sse2", "x86-64-v3", "x86-64-v4", or "generic" on other machines. It is the
/// highest that this processor has, or a lower one that the environment variable ORIEL_ARCH names
/// at the start; its other values, and levels that the processor lacks, are ignored. Defined in
/// targets of oriel_add_dispatch.
char const* active_arch() noexcept;

}  // namespace oriel::inline v0
