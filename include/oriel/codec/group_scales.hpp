// SPDX-License-Identifier: BSL-1.0
// The scales and zeros of rows of codes, apart from the codes.
#pragma once

#include "oriel/codec/row_slice.hpp"
#include "oriel/simd/transpose.hpp"

namespace oriel::inline v0 {

/// Floats that belong to the groups of a row of `dim` channels: their scales, then their zeros.
template <class Codec>
ORIEL_INLINE constexpr index group_parameters(index dim) noexcept {
  return dim / Codec::group * (Codec::has_zero ? 2 : 1);
}

/// Writes the scales of the rows' groups of channels to scale[g * between + i], and their zeros, if
/// they have some. Rows have `Channels` channels, or 0: as many as row_slice::dim says.
template <class Arch, class Codec, index Channels>
ORIEL_INLINE void group_scales(row_slice const& rows, float* scale, float* zero,
                               index between) noexcept {
  index const dim = Channels > 0 ? Channels : rows.dim;
  index const groups = dim / Codec::group;
  index const each = group_parameters<Codec>(dim);
  float of_rows[4 * group_parameters<Codec>(Channels > 0 ? Channels : max_coded_dim)];
  auto const widen = [&](index row, float* to) ORIEL_INLINE_LAMBDA {
    Codec::template widen_parameters<Arch>(rows.data + row * rows.stride, dim, to);
  };
  auto const to = [&](index n) ORIEL_INLINE_LAMBDA {
    return n < groups ? scale + n * between : zero + (n - groups) * between;
  };
  index i = 0;
  for (; i + 4 <= rows.count && groups % 4 == 0; i += 4) {
    unroll<4>([&](int j) ORIEL_INLINE_LAMBDA { widen(i + j, of_rows + j * each); });
    for (index n = 0; n < each; n += 4) transpose_4x4(of_rows + n, each, to(n) + i, between);
  }
  for (; i < rows.count; ++i) {
    widen(i, of_rows);
    for (index n = 0; n < each; ++n) to(n)[i] = of_rows[n];
  }
}

}  // namespace oriel::inline v0
