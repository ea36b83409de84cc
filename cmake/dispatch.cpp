// SPDX-License-Identifier: BSL-1.0
// Which level a program runs at: part of every target of oriel_add_dispatch, compiled for the
// oldest x86-64. Weak, so that several such targets can be linked together.
#include "dispatch.hpp"

#include <cstdlib>
#include <cstring>

#include "oriel/interop/check_cpu.hpp"
#include "oriel/interop/dispatch.hpp"

#if defined(__SSE3__)
#error "this file must run on every x86-64: take -mavx and the like out of CMAKE_CXX_FLAGS"
#endif

namespace oriel::inline v0 {
namespace {

constexpr char const* level_names[] = {"sse2", "x86-64-v3", "x86-64-v4"};

#if defined(__x86_64__) && defined(__ELF__)
int best_level() noexcept {
  __builtin_cpu_init();
  detail::cpu_extras const extra = detail::cpu_has();
  if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma") ||
      !__builtin_cpu_supports("bmi") || !__builtin_cpu_supports("bmi2") ||
      !__builtin_cpu_supports("popcnt") || !extra.f16c || !extra.lzcnt || !extra.movbe) {
    return 0;
  }
  if (!__builtin_cpu_supports("avx512f") || !__builtin_cpu_supports("avx512bw") ||
      !__builtin_cpu_supports("avx512cd") || !__builtin_cpu_supports("avx512dq") ||
      !__builtin_cpu_supports("avx512vl")) {
    return 1;
  }
  return 2;
}
#endif

}  // namespace

#if defined(__x86_64__) && defined(__ELF__)
[[gnu::weak]] int detail::active_level() noexcept {
  static int const chosen = [] {
    int const best = best_level();
    char const* const wanted = std::getenv("ORIEL_ARCH");
    for (int i = 0; wanted != nullptr && i < best; ++i) {
      if (std::strcmp(wanted, level_names[i]) == 0) return i;
    }
    return best;
  }();
  return chosen;
}

[[gnu::weak]] char const* active_arch() noexcept { return level_names[detail::active_level()]; }
#else
[[gnu::weak]] char const* active_arch() noexcept { return "generic"; }
#endif

}  // namespace oriel::inline v0
