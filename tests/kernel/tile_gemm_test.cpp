// SPDX-License-Identifier: BSL-1.0
#include "oriel/kernel/tile_gemm.hpp"

#include <gtest/gtest.h>

#include <cmath>

#include "tensors.hpp"

namespace oriel::test {
namespace {

using arch = default_arch;
constexpr int rows = tile_shape<arch>::rows;

float chained(float a, float b, float c) {
  if constexpr (has_fma<arch>) return std::fma(a, b, c);
  float const product = a * b;
  return product + c;
}

/// Both directions: A's rows (keys) or A's columns (value channels) are contiguous; `gap` floats of
/// NaN behind each contiguous piece.
template <int Vectors>
void expect_products(index count, index steps, bool by_row, index gap, bool add) {
  SCOPED_TRACE(::testing::Message()
               << count << " x " << steps << (by_row ? " rows" : " columns") << ", gap " << gap);
  index const inner = by_row ? steps : count;
  index const outer = by_row ? count : steps;
  tensor const memory(outer, 1, inner + gap);
  tensor_view<float> used(memory.view.data, outer, 1, inner, inner + gap, inner);
  random_numbers random(static_cast<std::uint64_t>(count * 100 + steps));
  for_each_element(used, [&](float& x) { x = random(); });
  index const a_row = by_row ? used.token_stride : 1;
  index const a_step = by_row ? 1 : used.token_stride;
  tensor const b = tensor(steps, 1, rows).filled(7);
  tensor const c = tensor(count, 1, rows).filled(8);
  tensor const want = tensor(count, 1, rows).filled(8);

  row_fetch<arch> none;
  tile_gemm<arch, Vectors>(used.data, a_row, a_step, count, steps, b.view.data, c.view.data, add,
                           none);

  for (index i = 0; i < count; ++i) {
    for (index r = 0; r < Vectors * lanes<arch>; ++r) {
      float& sum = want.view.row(i, 0)[r];
      if (!add) sum = 0.0f;
      for (index t = 0; t < steps; ++t) {
        sum = chained(used.data[i * a_row + t * a_step], b.view.row(t, 0)[r], sum);
      }
    }
  }
  // One chain of fma in ascending order per element, whatever the block it lies in.
  EXPECT_EQ(bits_of(c.view), bits_of(want.view));
  EXPECT_TRUE(c.is_untouched()) << "behind c";
}

TEST(TileGemm, EveryRemainderAndStride) {
  for (index count = 0; count <= 2 * tile_shape<arch>::depth(2) + 3; ++count) {
    for (index const steps : {0, 1, 2, 3, 7, 40}) {
      for (bool const by_row : {true, false}) {
        for (index const gap : {0, 1, 5}) {
          for (bool const add : {false, true}) {
            expect_products<3>(count, steps, by_row, gap, add);
            expect_products<2>(count, steps, by_row, gap, add);
            expect_products<1>(count, steps, by_row, gap, add);
          }
        }
      }
    }
  }
}

TEST(TileGemm, ACutOfTheStepsChangesNoBit) {
  index const count = 9, steps = 50;
  tensor const a = tensor(steps, 1, count).filled(1);
  tensor const b = tensor(steps, 1, rows).filled(2);
  row_fetch<arch> none;
  tensor const once = tensor(count, 1, rows).filled(3);
  tile_gemm<arch, 3>(a.view.data, 1, count, count, steps, b.view.data, once.view.data, true, none);
  for (index cut = 0; cut <= steps; ++cut) {
    tensor const twice = tensor(count, 1, rows).filled(3);
    for (range const part : {range{0, cut}, {cut, steps}}) {
      tile_gemm<arch, 3>(a.view.row(part.begin, 0), 1, count, count, part.size(),
                         b.view.row(part.begin, 0), twice.view.data, true, none);
    }
    EXPECT_EQ(bits_of(twice.view), bits_of(once.view)) << cut;
  }
}

TEST(TileGemm, LanesKnowNothingOfOneAnother) {
  index const count = 5, steps = 20;
  tensor const a = tensor(count, 1, steps).filled(1);
  tensor const b = tensor(steps, 1, rows).filled(2);
  row_fetch<arch> none;
  tensor const before(count, 1, rows), after(count, 1, rows);
  tile_gemm<arch, 3>(a.view.data, steps, 1, count, steps, b.view.data, before.view.data, false,
                     none);
  for (index t = 0; t < steps; ++t) b.view.row(t, 0)[3] = infinity;
  tile_gemm<arch, 3>(a.view.data, steps, 1, count, steps, b.view.data, after.view.data, false,
                     none);
  for (index i = 0; i < count; ++i) {
    for (index r = 0; r < rows; ++r) {
      EXPECT_TRUE(r == 3 || before.view.row(i, 0)[r] == after.view.row(i, 0)[r]);
    }
  }
}

}  // namespace
}  // namespace oriel::test
