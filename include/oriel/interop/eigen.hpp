// SPDX-License-Identifier: BSL-1.0
// Eigen matrices as tensors and back, without a copy.
#pragma once

#include <Eigen/Core>

#include "oriel/view/tensor_view.hpp"

namespace oriel::inline v0 {

/// A row-major matrix or a block of its columns, [tokens, heads * dim], as [tokens, heads, dim].
/// Its inner stride must be 1, its columns a multiple of `heads` (else the view is empty and dim 0,
/// which every entry point refuses).
template <class Derived>
auto view_of(Eigen::DenseBase<Derived> const& matrix, index heads) noexcept {
  static_assert(Derived::IsRowMajor, "oriel reads rows: use an Eigen matrix with Eigen::RowMajor");
  static_assert(Derived::InnerStrideAtCompileTime == 1,
                "oriel needs a contiguous last axis: inner stride 1");
  using scalar = typename Derived::Scalar;
  auto const& m = matrix.derived();
  index const columns = m.cols();
  index const dim = heads > 0 && columns % heads == 0 ? columns / heads : 0;
  return tensor_view<scalar const>(m.data(), m.rows(), heads, dim, m.outerStride(), dim);
}

/// The same, to write.
template <class Matrix>
auto mutable_view_of(Matrix&& matrix, index heads) noexcept {
  auto const view = view_of(matrix, heads);
  auto* const data = matrix.data();
  static_assert(!std::is_const_v<std::remove_pointer_t<decltype(data)>>,
                "this matrix can only be read: use view_of");
  return tensor_view(data, view.tokens, view.heads, view.dim, view.token_stride, view.head_stride);
}

/// One head of a view, [tokens, dim], as an Eigen matrix.
template <class T>
auto matrix_of(tensor_view<T> const& view, index head) noexcept {
  using scalar = std::remove_const_t<T>;
  using matrix = Eigen::Matrix<scalar, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
  using element = std::conditional_t<std::is_const_v<T>, matrix const, matrix>;
  return Eigen::Map<element, Eigen::Unaligned, Eigen::OuterStride<>>(
      view.row(0, head), view.tokens, view.dim, Eigen::OuterStride<>(view.token_stride));
}

}  // namespace oriel::inline v0
