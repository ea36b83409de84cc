// SPDX-License-Identifier: BSL-1.0
#include "oriel/cache/stored_view.hpp"

#include <gtest/gtest.h>

#include "oriel/codec/ggml.hpp"
#include "oriel/codec/scaled.hpp"

namespace oriel {
namespace {

constexpr view_rules rules{"sizes", "strides", "null", "aligned"};
alignas(64) float room[256];

/// Has a state: what a stored byte is worth.
struct worth {
  float unit = 1.0f;
  static constexpr index row_bytes(index dim) noexcept { return dim; }
  template <class Arch>
  void encode(float const* row, index dim, index head, std::byte* to) const noexcept {
    for (index d = 0; d < dim; ++d) {
      to[d] = std::byte(static_cast<unsigned char>(row[d] / unit + static_cast<float>(head)));
    }
  }
  template <class Arch>
  void read(row_slice const& rows, float* to) const noexcept {
    for (index i = 0; i < rows.count; ++i) {
      for (index d = 0; d < rows.dim; ++d) {
        auto const code = static_cast<int>(rows.data[i * rows.stride + d]);
        *to++ = static_cast<float>(code - rows.head) * unit;
      }
    }
  }
};
static_assert(codec<worth>);
static_assert(
    std::is_constructible_v<coded_view<worth>, std::byte*, int, int, int, int, int, worth const&>);
static_assert(
    !std::is_constructible_v<coded_view<worth>, std::byte*, int, int, int, int, int, worth>,
    "a codec with a state is referred to");
static_assert(!std::is_constructible_v<coded_view<worth>, std::byte*, int, int, int, int, int>);

TEST(StoredView, FloatsLieWhereTheyAre) {
  stored_view const view(room, 3, 2, 4, 16, -8);
  EXPECT_FALSE(view.reader);
  EXPECT_EQ(view.rows(2, 1).row(0), room + 24);
  EXPECT_EQ(view.rows(2, 1).float_stride(), 16);
  EXPECT_EQ(view.rows(0, 0).bytes, 16);
  EXPECT_EQ(view.floats(1, 0, nullptr), room + 16);
  stored_view const same = tensor_view<float>(room, 3, 2, 4);
  EXPECT_EQ(same.token_stride, 32);
  EXPECT_EQ(footprint(same).end - footprint(same).begin, 96u);
}

TEST(StoredView, ElementsAndCodesAreRead) {
  bf16 const halves[] = {bf16(1.0f), bf16(2.0f), bf16(3.0f), bf16(4.0f)};
  stored_view const view = tensor_view<bf16 const>(halves, 2, 1, 2);
  float to[2];
  EXPECT_EQ(view.floats(1, 0, to), to);
  EXPECT_EQ(to[1], 4.0f);
  EXPECT_EQ(view.token_stride, 4);

  worth const codec{0.5f};
  std::byte bytes[4] = {};
  float const row[] = {3.0f, 4.0f};
  coded_view<worth, std::byte> const write(bytes, 1, 2, 2, 4, 2, codec);
  codec.encode<default_arch>(row, 2, 1, write.row(0, 1));
  stored_view const codes = write;
  EXPECT_EQ(codes.floats(0, 1, to), to);
  EXPECT_EQ(to[0], 3.0f);
  EXPECT_EQ(to[1], 4.0f);
}

TEST(StoredView, ChecksAsATensorDoes) {
  auto* const odd = reinterpret_cast<f16*>(reinterpret_cast<char*>(room) + 1);
  struct test_case {
    stored_view view;
    errc code;
  };
  using halves = tensor_view<f16>;
  auto* const at = reinterpret_cast<f16*>(room);
  for (auto const& [view, code] : {
           test_case{{}, errc::ok},
           {{room, 4, 2, 8}, errc::ok},
           {{nullptr, 0, 2, 8}, errc::ok},
           {{nullptr, 4, 2, 8}, errc::memory},
           {{room, 1, 2, 8, INT64_MAX, 8}, errc::ok},  // nothing is stepped over
           {{room, 2, 2, 8, INT64_MAX, 8}, errc::shape},
           {{room, 2, 2, 8, INT64_MIN, 8}, errc::shape},
           {{room, 2, 1, INT64_MAX}, errc::shape},
           {{room, INT64_MAX, INT64_MAX, INT64_MAX}, errc::shape},
           {{room, INT64_MIN, INT64_MIN, INT64_MIN}, errc::shape},
           {halves(at, 4, 2, 8), errc::ok},
           {halves(odd, 4, 2, 8), errc::alignment},
           {halves(at, 4, 2, max_coded_dim), errc::ok},
           {halves(at, 4, 2, max_coded_dim + 1), errc::shape},
       }) {
    EXPECT_EQ(check(view, rules).code, code) << view.tokens << " " << view.token_stride;
  }
}

TEST(StoredView, OverlapsWhereItCanBeChanged) {
  stored_view const floats(room, 2, 2, 4, 16, 8);
  EXPECT_TRUE(overlaps(tensor_view<float>(room + 8, 1, 1, 1), floats));
  EXPECT_FALSE(overlaps(tensor_view<float>(room + 4, 1, 1, 4), floats)) << "between rows";
  stored_view const halves = tensor_view<f16>(reinterpret_cast<f16*>(room), 2, 2, 4, 32, 16);
  EXPECT_TRUE(overlaps(tensor_view<float>(room + 8, 1, 1, 1), halves));
  EXPECT_TRUE(overlaps(tensor_view<float>(room + 4, 1, 1, 4), halves)) << "pessimistic";
  EXPECT_FALSE(overlaps(tensor_view<float>(room + 26, 1, 1, 4), halves));
}

static_assert(std::is_convertible_v<storage_view, stored_view>);
static_assert(!std::is_constructible_v<storage_view, stored_view>);
static_assert(!std::is_constructible_v<storage_view, tensor_view<float const>>);
static_assert(!std::is_constructible_v<storage_view, coded_view<f32>>);
static_assert(std::is_constructible_v<storage_view, tensor_view<f16>>);
static_assert(sizeof(stored_view) <= 112, "two of them, and more, are an any_source");

TEST(StoredView, SaysWhatACodecRefusesOfNoRowsToo) {
  auto const of = []<class C>(C const* codec, index tokens, index dim) {
    coded_view<C> view;
    view.tokens = tokens, view.heads = 1, view.dim = dim, view.codec = codec;
    return stored_view(view);
  };
  q8_0 const blocks;
  EXPECT_EQ(check(of(&blocks, 0, 33), rules).code, errc::shape);
  EXPECT_EQ(check(of(&blocks, 0, 8192), rules).code, errc::shape);
  EXPECT_TRUE(check(of(&blocks, 0, 32), rules).ok());
  scaled_int8 const* const none = nullptr;
  EXPECT_EQ(check(of(none, 0, 32), rules).code, errc::memory);
  EXPECT_TRUE(check(of(none, 0, 0), rules).ok());
  EXPECT_TRUE(check(stored_view(), rules).ok());
}

TEST(StorageView, IsSlicedAndGivenBack) {
  tensor_view<float> const floats(room, 3, 2, 4, 16, -8);
  storage_view const view = floats;
  EXPECT_EQ(view.stride_unit, 4);
  EXPECT_EQ(view.as<float>().row(2, 1), room + 24);
  EXPECT_EQ(view.slice({1, 3}).as<float>().row(1, 1), room + 24);
  EXPECT_EQ(view.slice({1, 3}).tokens, 2);
  EXPECT_EQ(view.slice({3, 3}).tokens, 0);
  EXPECT_EQ(further(further(view, 9), -5).data, room + 4);
  stored_view const read = view;
  EXPECT_EQ(read.rows(2, 1).row(0), room + 24);
  std::byte bytes[12];
  worth const codec{0.5f};
  storage_view const codes = coded_view<worth, std::byte>(bytes, 3, 1, 4, 4, 4, codec);
  EXPECT_EQ(further(codes, 3).data, bytes + 3);
  EXPECT_EQ(further(storage_view(), 3).data, nullptr);
}

TEST(StorageView, OverlapsByBytes) {
  auto* const bytes = reinterpret_cast<std::byte*>(room);
  worth const codec{};
  using rows = coded_view<worth, std::byte>;
  storage_view const keys = rows(bytes, 4, 2, 5, 20, 10, codec);
  storage_view const values = rows(bytes + 5, 4, 2, 5, 20, 10, codec);
  EXPECT_FALSE(overlaps(keys, values)) << "woven";
  EXPECT_TRUE(overlaps(keys, storage_view(rows(bytes + 6, 4, 2, 5, 20, 10, codec))));
  EXPECT_TRUE(overlaps(keys, values.slice({3, 4})) == false);
  EXPECT_TRUE(rows_are_disjoint(keys));
  EXPECT_FALSE(rows_are_disjoint(storage_view(rows(bytes, 4, 2, 5, 20, 4, codec))));
}

}  // namespace
}  // namespace oriel
