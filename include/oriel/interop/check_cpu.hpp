// SPDX-License-Identifier: BSL-1.0
// Says that a program was built for another processor, before an illegal instruction does.
#pragma once

#include "oriel/core/status.hpp"

#if defined(__x86_64__)
#include <cpuid.h>
#endif

namespace oriel::inline v0 {

#if defined(__x86_64__)
namespace detail {

/// Three features that clang 14 can't ask for by name.
struct cpu_extras {
  bool f16c, movbe, lzcnt;
};

[[gnu::noinline, gnu::target("no-sse3,no-bmi,no-bmi2,no-lzcnt,no-popcnt,no-movbe")]]  //
[[maybe_unused]] static cpu_extras
cpu_has() noexcept {
  unsigned a = 0, b = 0, basic = 0, extended = 0, d = 0;
  __cpuid(1, a, b, basic, d);
  __cpuid(0x80000001, a, b, extended, d);
  return {(basic & bit_F16C) != 0, (basic & bit_MOVBE) != 0, (extended & bit_LZCNT) != 0};
}

}  // namespace detail

// Did this translation unit's flags define the macro? It is 1 then, and else its own name.
#define ORIEL_TEXT(x) #x
#define ORIEL_IS_ONE(x) (sizeof(ORIEL_TEXT(x)) == 2)
#define ORIEL_NEEDS(present, name, macro)                                                      \
  if (ORIEL_IS_ONE(macro) && !(present)) {                                                     \
    return {errc::cpu, "cpu: the program was built for " name ", which this processor lacks"}; \
  }
#define ORIEL_NEEDS_FEATURE(name, macro) ORIEL_NEEDS(__builtin_cpu_supports(name), name, macro)
#endif

/// ok, or errc::cpu with the first instruction set that this translation unit may use (its -march)
/// and this processor lacks. To be called first in main: it is compiled to instructions that every
/// x86-64 processor has. What runs earlier, such as constructors of global objects, it can't help;
/// elsewhere than on x86-64 it is always ok. Static: each translation unit asks for its own flags.
#if defined(__x86_64__)
[[gnu::noinline, gnu::target("no-sse3,no-bmi,no-bmi2,no-lzcnt,no-popcnt,no-movbe")]]  //
[[maybe_unused]] static status
check_cpu() noexcept {
  __builtin_cpu_init();
  [[maybe_unused]] detail::cpu_extras const extra = detail::cpu_has();
  ORIEL_NEEDS_FEATURE("sse3", __SSE3__)
  ORIEL_NEEDS_FEATURE("ssse3", __SSSE3__)
  ORIEL_NEEDS_FEATURE("sse4.1", __SSE4_1__)
  ORIEL_NEEDS_FEATURE("sse4.2", __SSE4_2__)
  ORIEL_NEEDS_FEATURE("popcnt", __POPCNT__)
  ORIEL_NEEDS_FEATURE("avx", __AVX__)
  ORIEL_NEEDS_FEATURE("avx2", __AVX2__)
  ORIEL_NEEDS_FEATURE("fma", __FMA__)
  ORIEL_NEEDS(extra.f16c, "f16c", __F16C__)
  ORIEL_NEEDS_FEATURE("bmi", __BMI__)
  ORIEL_NEEDS_FEATURE("bmi2", __BMI2__)
  ORIEL_NEEDS(extra.lzcnt, "lzcnt", __LZCNT__)
  ORIEL_NEEDS(extra.movbe, "movbe", __MOVBE__)
  ORIEL_NEEDS_FEATURE("avx512f", __AVX512F__)
  ORIEL_NEEDS_FEATURE("avx512cd", __AVX512CD__)
  ORIEL_NEEDS_FEATURE("avx512vl", __AVX512VL__)
  ORIEL_NEEDS_FEATURE("avx512dq", __AVX512DQ__)
  ORIEL_NEEDS_FEATURE("avx512bw", __AVX512BW__)
  ORIEL_NEEDS_FEATURE("avx512ifma", __AVX512IFMA__)
  ORIEL_NEEDS_FEATURE("avx512vbmi", __AVX512VBMI__)
  ORIEL_NEEDS_FEATURE("avx512vbmi2", __AVX512VBMI2__)
  ORIEL_NEEDS_FEATURE("avx512vnni", __AVX512VNNI__)
  ORIEL_NEEDS_FEATURE("avx512bitalg", __AVX512BITALG__)
  ORIEL_NEEDS_FEATURE("avx512vpopcntdq", __AVX512VPOPCNTDQ__)
  ORIEL_NEEDS_FEATURE("avx512bf16", __AVX512BF16__)
  return {};
}
#undef ORIEL_TEXT
#undef ORIEL_IS_ONE
#undef ORIEL_NEEDS
#undef ORIEL_NEEDS_FEATURE
#else
[[maybe_unused]] static status check_cpu() noexcept { return {}; }
#endif

}  // namespace oriel::inline v0
