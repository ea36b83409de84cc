// SPDX-License-Identifier: BSL-1.0
// Rows through a codec and back.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <ostream>
#include <vector>

#include "oriel/cache/stored_view.hpp"
#include "oriel/codec/codec.hpp"
#include "oriel/codec/scaled.hpp"

namespace oriel::test {

/// A row as a codec stores it; what lies behind it must stay as it was.
template <class Arch = default_arch, codec Codec>
std::vector<std::byte> stored(Codec const& of, std::vector<float> const& row, index head = 0) {
  auto const bytes = static_cast<std::size_t>(Codec::row_bytes(std::ssize(row)));
  std::vector<std::byte> to(bytes + 8, std::byte{0xa5});
  of.template encode<Arch>(row.data(), std::ssize(row), head, to.data());
  for (std::size_t i = bytes; i < to.size(); ++i) EXPECT_EQ(to[i], std::byte{0xa5});
  to.resize(bytes);
  return to;
}

/// Its floats again.
template <class Arch = default_arch, codec Codec>
std::vector<float> loaded(Codec const& of, std::vector<std::byte> const& row, index dim,
                          index head = 0) {
  std::vector<float> to(static_cast<std::size_t>(dim) + 1, -7.0f);
  of.template read<Arch>({row.data(), 0, head, 0, 1, dim}, to.data());
  EXPECT_EQ(to.back(), -7.0f) << "writes a row and no more";
  to.pop_back();
  return to;
}

template <class Arch = default_arch, codec Codec>
std::vector<float> there_and_back(Codec const& of, std::vector<float> const& row) {
  return loaded<Arch>(of, stored<Arch>(of, row), std::ssize(row));
}

/// The floats that rows stand for once a codec has stored them, packed.
template <codec Codec>
std::vector<float> kept_floats(Codec const& of, tensor_view<float const> const& rows) {
  std::vector<float> all;
  for (index t = 0; t < rows.tokens; ++t) {
    for (index h = 0; h < rows.heads; ++h) {
      std::vector<float> const row(rows.row(t, h), rows.row(t, h) + rows.dim);
      std::vector<float> const kept = loaded(of, stored(of, row, h), rows.dim, h);
      all.insert(all.end(), kept.begin(), kept.end());
    }
  }
  return all;
}

/// A codec to test with: its own value, or scales for two heads of up to 64 channels.
template <codec Codec, bool Keys>
struct sample {
  static Codec const& codec() {
    static Codec const of = {};
    return of;
  }
};
template <int Bits, bool Keys>
struct sample<scaled<Bits>, Keys> {
  static scaled<Bits> const& codec() {
    static std::vector<float> const scales = [] {
      std::vector<float> all;
      for (int i = 0; i < 128; ++i) {
        all.push_back((Bits == 8 ? 0.02f : 0.25f) * (1.0f + static_cast<float>(i % 7) / 32.0f));
      }
      return all;
    }();
    static scaled<Bits> const of{scales.data(), Keys};
    return of;
  }
};

/// A codec of a test (`sample`) behind functions: a test of what knows codecs by pointers only is
/// compiled once for all of them.
struct stored_as {
  char const* name = "";
  index alignment = 1;
  index (*row_bytes)(index dim) = nullptr;
  /// Rows of it; strides are in bytes.
  storage_view (*view)(std::byte* data, index tokens, index heads, index dim, index token_stride,
                       index head_stride) = nullptr;
  std::vector<std::byte> (*stored)(std::vector<float> const& row, index head) = nullptr;
  std::vector<float> (*kept)(tensor_view<float const> const& rows) = nullptr;  ///< `kept_floats`

  template <class Name, bool Keys>
  static stored_as of(char const* name) {
    using codec = codec_of<Name>;
    return {
        name,
        detail::alignment_of<codec>(),
        [](index dim) { return codec::row_bytes(dim); },
        [](std::byte* data, index tokens, index heads, index dim, index token_stride,
           index head_stride) {
          return storage_view(coded_view<codec, std::byte>(
              data, tokens, heads, dim, token_stride, head_stride, sample<codec, Keys>::codec()));
        },
        [](std::vector<float> const& row, index head) {
          return test::stored(sample<codec, Keys>::codec(), row, head);
        },
        [](tensor_view<float const> const& rows) {
          return kept_floats(sample<codec, Keys>::codec(), rows);
        }};
  }
};

/// How keys and values of a test are stored.
struct stored_pair {
  stored_as k, v;

  template <class K, class V>
  static stored_pair of(char const* k, char const* v) {
    return {stored_as::of<K, true>(k), stored_as::of<V, false>(v)};
  }
  friend void PrintTo(stored_pair const& of, std::ostream* to) {
    *to << of.k.name << " and " << of.v.name;
  }
};

}  // namespace oriel::test
