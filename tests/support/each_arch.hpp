// SPDX-License-Identifier: BSL-1.0
// The instruction sets that this translation unit is compiled for, as types of a typed test.
#pragma once

#include <gtest/gtest.h>

#include "oriel/simd/arch.hpp"
#include "oriel/simd/vec.hpp"

namespace detail {

template <class List>
struct types_of;
template <class... Arch>
struct types_of<xsimd::arch_list<Arch...>> {
  using type = testing::Types<Arch...>;
};

/// Of a list, newest first: the first of each register width with and without FMA.
template <class Kept, class... Left>
struct distinct {
  using type = typename types_of<Kept>::type;
};
template <class... Kept, class Arch, class... Left>
struct distinct<xsimd::arch_list<Kept...>, Arch, Left...> {
  static constexpr bool known =
      ((oriel::lanes<Kept> == oriel::lanes<Arch> && oriel::has_fma<Kept> == oriel::has_fma<Arch>) ||
       ...);
  using type = typename distinct<
      std::conditional_t<known, xsimd::arch_list<Kept...>, xsimd::arch_list<Kept..., Arch>>,
      Left...>::type;
};
template <class List>
struct distinct_of;
template <class... Arch>
struct distinct_of<xsimd::arch_list<Arch...>> : distinct<xsimd::arch_list<>, Arch...> {};

template <class Cpu, class Arch>
bool runs(Cpu const& cpu, Arch arch) {
  if constexpr (requires { cpu.has(arch); }) {
    return static_cast<bool>(cpu.has(arch));
  } else {  // xsimd 8.1
    return Arch::version() <= cpu.best;
  }
}

}  // namespace detail

/// The instruction sets from SSE2 (or NEON) up to default_arch that tests of simd/ see, and those
/// that tests of kernels see, which take long to compile: the newest of each register width, with
/// FMA and without, which is what decides how a kernel is cut. ORIEL_TEST_ARCHS: all of these; the
/// latter only, for both; or `newest`, default_arch alone.
#if defined(ORIEL_TEST_ARCHS_newest)
using compiled_archs = testing::Types<oriel::default_arch>;
using kernel_archs = compiled_archs;
#else
using kernel_archs = detail::distinct_of<xsimd::supported_architectures>::type;
#if defined(ORIEL_TEST_ARCHS_distinct)
using compiled_archs = kernel_archs;
#else
using compiled_archs = detail::types_of<xsimd::supported_architectures>::type;
#endif
#endif

struct arch_names {
  template <class Arch>
  static std::string GetName(int) {
    std::string name = Arch::name();
    for (char& c : name) c = std::isalnum(static_cast<unsigned char>(c)) ? c : '_';
    return name;
  }
};

/// Fixture of a test per Arch, skipped where the processor lacks it.
template <class Arch>
class EachArch : public testing::Test {
 protected:
  void SetUp() override {
    if (!detail::runs(xsimd::available_architectures(), Arch{})) {
      GTEST_SKIP() << Arch::name() << " is not available here";
    }
  }
};
