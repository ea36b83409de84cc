// SPDX-License-Identifier: BSL-1.0
#include "oriel/simd/arch.hpp"

#include <gtest/gtest.h>

#include <string>

#include "each_arch.hpp"

namespace oriel {
namespace {

template <class Arch>
class ArchTest : public EachArch<Arch> {};
TYPED_TEST_SUITE(ArchTest, compiled_archs, arch_names);

TYPED_TEST(ArchTest, LanesFillTheRegister) {
  EXPECT_EQ(lanes<TypeParam> * sizeof(float), sizeof(vec<TypeParam>));
  EXPECT_EQ(lanes<TypeParam> & (lanes<TypeParam> - 1), 0) << "transpose needs a power of two";
  EXPECT_TRUE(register_count<TypeParam> == 16 || register_count<TypeParam> == 32);
}

#if ORIEL_X86
template <class Arch, int Bytes, bool Fma, int Registers>
constexpr bool is =
    x86_bytes<Arch> == Bytes&& has_fma<Arch> == Fma&& register_count<Arch> == Registers;

#if defined(__SSE2__)
static_assert(is<xsimd::sse2, 16, false, 16>);
#endif
#if defined(__SSE4_2__)
static_assert(is<xsimd::sse4_2, 16, false, 16>);
#endif
#if defined(__AVX__)
static_assert(is<xsimd::avx, 32, false, 16>);
#endif
#if defined(__AVX2__)
static_assert(is<xsimd::avx2, 32, false, 16>);
#endif
#if defined(__AVX2__) && defined(__FMA__)
static_assert(is<xsimd::fma3<xsimd::avx2>, 32, true, 16>);
static_assert(has_fma<default_arch>, "the best Arch of a unit with FMA uses it");
#endif
#if defined(__AVX512F__)
static_assert(is<xsimd::avx512f, 64, true, 32>);
#endif
#if defined(__AVX512BW__) && defined(__AVX512DQ__)
static_assert(is<xsimd::avx512bw, 64, true, 32>);
static_assert(x86_bytes<default_arch> == 64);
#endif
#endif

TEST(Unroll, CallsInOrder) {
  std::string calls;
  unroll<5>([&](int i) { calls += static_cast<char>('a' + i); });
  EXPECT_EQ(calls, "abcde");
  unroll<0>([](int) { FAIL(); });
}

}  // namespace
}  // namespace oriel
