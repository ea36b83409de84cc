// SPDX-License-Identifier: BSL-1.0
#include "oriel/interop/eigen.hpp"

#include <gtest/gtest.h>

namespace oriel {
namespace {

template <class T>
using row_major = Eigen::Matrix<T, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

constexpr view_rules rules{"sizes", "strides", "null", "aligned"};

/// m(i, j) = 100 * i + j.
row_major<float> numbered(index rows, index columns) {
  row_major<float> m(rows, columns);
  for (index i = 0; i < rows; ++i) {
    for (index j = 0; j < columns; ++j) m(i, j) = static_cast<float>(100 * i + j);
  }
  return m;
}

TEST(Eigen, AMatrixIsTokensOfHeads) {
  row_major<float> const m = numbered(5, 12);
  auto const v = view_of(m, 3);
  static_assert(std::is_same_v<decltype(v), tensor_view<float const> const>);
  EXPECT_TRUE(check(v, rules).ok());
  EXPECT_EQ(v.tokens, 5);
  EXPECT_EQ(v.heads, 3);
  EXPECT_EQ(v.dim, 4);
  EXPECT_EQ(v.row(4, 2)[3], 411.0f);
  EXPECT_EQ(v.row(0, 0), m.data()) << "not a copy";
}

TEST(Eigen, ABlockOfColumnsKeepsTheOuterStride) {
  row_major<float> m = numbered(5, 24);  // q, k, v side by side
  auto const k = view_of(m.middleCols(8, 8), 2);
  EXPECT_EQ(k.token_stride, 24);
  EXPECT_EQ(k.dim, 4);
  EXPECT_EQ(k.row(3, 1)[2], 314.0f);
  auto const corner = view_of(m.block(1, 2, 3, 6), 3);
  EXPECT_EQ(corner.tokens, 3);
  EXPECT_EQ(corner.row(2, 2)[1], 307.0f);

  auto block = m.rightCols(8);
  auto const out = mutable_view_of(block, 4);
  static_assert(std::is_same_v<decltype(out), tensor_view<float> const>);
  out.row(2, 3)[1] = -1.0f;
  EXPECT_EQ(m(2, 23), -1.0f);
}

TEST(Eigen, MapsRefsAndVectorsAreViewsToo) {
  float data[24] = {};
  for (int i = 0; i < 24; ++i) data[i] = static_cast<float>(i);
  Eigen::Map<row_major<float> const> const map(data, 3, 8);
  EXPECT_EQ(view_of(map, 2).row(2, 1)[3], 23.0f);
  Eigen::Map<row_major<float>, 0, Eigen::OuterStride<>> strided(data, 2, 4,
                                                                Eigen::OuterStride<>(12));
  EXPECT_EQ(view_of(strided, 2).row(1, 1)[1], 15.0f);
  mutable_view_of(strided, 1).row(1, 0)[0] = -5.0f;
  EXPECT_EQ(data[12], -5.0f);
  Eigen::Ref<row_major<float> const> const ref(map);
  EXPECT_EQ(view_of(ref, 1).row(1, 0), data + 8);
  Eigen::Matrix<float, 1, Eigen::Dynamic> const row = numbered(1, 6);
  auto const one = view_of(row, 2);
  EXPECT_EQ(one.tokens, 1);
  EXPECT_EQ(one.row(0, 1)[2], 5.0f);
  row_major<double> const wide(2, 4);
  static_assert(std::is_same_v<decltype(view_of(wide, 1)), tensor_view<double const>>);
}

TEST(Eigen, HeadsThatDoNotDivideGiveAnEmptyView) {
  row_major<float> m = numbered(5, 12);
  for (index heads : {5, 7, 13, 0}) {
    EXPECT_TRUE(view_of(m, heads).empty()) << heads;
    EXPECT_EQ(view_of(m, heads).dim, 0) << heads;
    EXPECT_TRUE(mutable_view_of(m, heads).empty()) << heads;
  }
  EXPECT_FALSE(check(view_of(m, -3), rules).ok());
  EXPECT_TRUE(view_of(row_major<float>(0, 12), 3).empty());
}

TEST(Eigen, AHeadIsAMatrix) {
  row_major<float> m = numbered(5, 12);
  auto const head = matrix_of(view_of(m, 3), 1);
  EXPECT_EQ(head.rows(), 5);
  EXPECT_EQ(head.cols(), 4);
  EXPECT_TRUE((head.array() == m.middleCols(4, 4).array()).all());
  EXPECT_EQ(head.data(), m.data() + 4) << "not a copy";

  matrix_of(mutable_view_of(m, 3), 2).setZero();
  EXPECT_EQ(m.rightCols(4).cwiseAbs().sum(), 0.0f);
  EXPECT_EQ(m(4, 7), 407.0f);

  // Head-major memory [heads, tokens, dim].
  float data[24];
  for (int i = 0; i < 24; ++i) data[i] = static_cast<float>(i);
  tensor_view<float const> const by_head(data, 3, 2, 4, 4, 12);
  EXPECT_EQ(matrix_of(by_head, 1)(2, 3), 23.0f);
}

}  // namespace
}  // namespace oriel
