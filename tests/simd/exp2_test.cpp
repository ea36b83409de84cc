// SPDX-License-Identifier: BSL-1.0
#include "oriel/simd/exp2.hpp"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <limits>
#include <vector>

#include "each_arch.hpp"

namespace oriel {
namespace {

constexpr float inf = std::numeric_limits<float>::infinity();

/// Arguments in [-126, 0] and 2^x of each.
struct sample {
  std::vector<float> x;
  std::vector<double> exact;
  std::vector<double> per_ulp;  ///< 1 / spacing of floats at 2^x, that of the power of two below it

  void add(float at) {
    x.push_back(at);
    exact.push_back(std::exp2(static_cast<double>(at)));
    per_ulp.push_back(std::exp2(23.0 - std::floor(static_cast<double>(at))));
  }

  sample() {
    // Evenly by value, evenly by representation, and all floats beside the integers and 0.
    for (int i = 0; i <= 126 * 4096; ++i) add(-static_cast<float>(i) * 0x1p-12f);
    auto const most = std::bit_cast<std::uint32_t>(-126.0f);
    for (auto bits = std::bit_cast<std::uint32_t>(-0.0f); bits <= most; bits += 2011) {
      add(std::bit_cast<float>(bits));
    }
    for (int n = 0; n >= -126; --n) {
      float above = static_cast<float>(n), below = above;
      for (int i = 0; i < 200; ++i) {
        if (above <= 0) add(above);
        if (below >= -126) add(below);
        above = std::nextafter(above, 1.0f);
        below = std::nextafter(below, -inf);
      }
    }
    while (x.size() % 64 != 0) add(0.0f);
  }
};

sample const& all_samples() {
  static sample const all;
  return all;
}

/// With flush-to-zero and denormals-are-zero, where the processor has them.
class flushing {
 public:
  explicit flushing(bool on) {
#if ORIEL_X86
    if (on) _mm_setcsr(before_ | 0x8040u);
#else
    (void)on;
#endif
  }
  ~flushing() {
#if ORIEL_X86
    _mm_setcsr(before_);
#endif
  }

 private:
#if ORIEL_X86
  unsigned before_ = _mm_getcsr();
#endif
};

template <class Arch>
float at(float x) {
  float volatile unknown = x;
  float lane[static_cast<std::size_t>(lanes<Arch>)];
  store<Arch>(lane, exp2<Arch>(broadcast<Arch>(unknown)));
  for (float l : lane)
    EXPECT_EQ(std::bit_cast<std::uint32_t>(l), std::bit_cast<std::uint32_t>(lane[0]));
  return lane[0];
}

template <class Arch>
class Exp2 : public EachArch<Arch> {};
TYPED_TEST_SUITE(Exp2, compiled_archs, arch_names);

TYPED_TEST(Exp2, IsWithinTwoUlp) {
  sample const& all = all_samples();
  std::vector<float> got(all.x.size());
  for (bool flush : {false, true}) {
    {
      flushing const mode(flush);
      for (std::size_t i = 0; i < got.size(); i += lanes<TypeParam>) {
        store<TypeParam>(&got[i], exp2<TypeParam>(load<TypeParam>(&all.x[i])));
      }
    }
    double worst = 0;
    float worst_at = 0;
    for (std::size_t i = 0; i < got.size(); ++i) {
      double const error = std::abs(static_cast<double>(got[i]) - all.exact[i]) * all.per_ulp[i];
      if (!(error <= worst)) worst = error, worst_at = all.x[i];
    }
    EXPECT_LE(worst, 2.0) << "at " << worst_at << (flush ? ", flushing" : "");
    if (!flush) this->RecordProperty("worst_ulp_x1000", static_cast<int>(1000 * worst));
  }
}

TYPED_TEST(Exp2, IsExactAtItsEnds) {
  for (bool flush : {false, true}) {
    flushing const mode(flush);
    EXPECT_EQ(at<TypeParam>(0.0f), 1.0f);
    EXPECT_EQ(at<TypeParam>(-0.0f), 1.0f);
    EXPECT_EQ(at<TypeParam>(-std::numeric_limits<float>::denorm_min()), 1.0f);
    EXPECT_EQ(std::bit_cast<std::uint32_t>(at<TypeParam>(-inf)), 0u);
    for (int n = -126; n <= 0; ++n) {
      EXPECT_EQ(at<TypeParam>(static_cast<float>(n)), std::ldexp(1.0f, n)) << n;
    }
  }
}

TYPED_TEST(Exp2, FallsToZeroBelow) {
  for (bool flush : {false, true}) {
    flushing const mode(flush);
    for (float x : {std::nextafter(-126.0f, -inf), -126.5f, -127.0f, -127.5f, -128.0f, -140.25f,
                    -149.0f, -150.0f, -151.0f, -1000.0f, -32768.5f, -0x1p31f, -0x1p32f, -1e30f,
                    std::numeric_limits<float>::lowest()}) {
      float const got = at<TypeParam>(x);
      // Compared as integers: a comparison that takes denormals for 0 would hold for anything.
      EXPECT_LE(std::bit_cast<std::uint32_t>(got), std::bit_cast<std::uint32_t>(0x1p-126f)) << x;
      EXPECT_TRUE(x > -151.0f || std::bit_cast<std::uint32_t>(got) == 0u) << x;
    }
  }
}

TYPED_TEST(Exp2, KeepsNaN) {
  EXPECT_TRUE(std::isnan(at<TypeParam>(std::numeric_limits<float>::quiet_NaN())));
}

}  // namespace
}  // namespace oriel
