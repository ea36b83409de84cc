// SPDX-License-Identifier: BSL-1.0
// Random rows as a codec with groups stores them, and what they stand for.
#pragma once

#include <cmath>
#include <cstdint>
#include <vector>

#include "dice.hpp"
#include "oriel/codec/codec.hpp"

namespace oriel::test {

/// Stored rows with a gap behind each, and the floats they stand for: scale * code + zero. The codes
/// of the first row are the largest but for the first of each group, which is the least.
template <class Arch, class Codec>
struct rows_of {
  std::vector<std::byte> bytes;
  row_slice slice;
  std::vector<float> floats, scale, zero;  ///< [count, dim], [count, groups]
  std::vector<std::int64_t> code;          ///< [count, dim]

  rows_of(index count, index dim) {
    index const stride = Codec::row_bytes(dim) + 4;
    index const groups = dim / Codec::group;
    bytes.assign(static_cast<std::size_t>(count * stride), std::byte{0xff});
    floats.resize(static_cast<std::size_t>(count * dim));
    slice = {bytes.data(), stride, 0, 0, count, dim};
    dice d(8);
    std::vector<float> row(static_cast<std::size_t>(dim)), all(row.size());
    for (index i = 0; i < count; ++i) {
      std::byte* const to = bytes.data() + i * stride;
      for (float& x : row) x = d.real();
      for (index c = 0; i == 0 && c < dim; ++c) {
        row[static_cast<std::size_t>(c)] = c % Codec::group == 0 ? -1.0f : 1.0f;
      }
      Codec{}.template encode<Arch>(row.data(), dim, 0, to);
      Codec::template widen_parameters<Arch>(to, dim, all.data());
      for (index g = 0; g < groups; ++g) {
        scale.push_back(all[static_cast<std::size_t>(g)]);
        zero.push_back(Codec::has_zero ? all[static_cast<std::size_t>(groups + g)] : 0.0f);
      }
    }
    Codec{}.template read<Arch>(slice, floats.data());
    for (std::size_t i = 0; i < floats.size(); ++i) {
      std::size_t const g = i / static_cast<std::size_t>(Codec::group);
      code.push_back(std::lround((floats[i] - zero[g]) / scale[g]));
    }
  }
};

}  // namespace oriel::test
