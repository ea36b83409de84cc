// SPDX-License-Identifier: BSL-1.0
#include "gguf.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <limits>
#include <random>
#include <stdexcept>

#include "dequantize.hpp"
#include "gguf_writer.hpp"

namespace smollm2_test {
namespace {

using smollm2::gguf_file;
using testing::ElementsAre;
using testing::HasSubstr;

// One of everything: 3 rows of F32, one of Q8_0, one of Q4_1, one of F16.
gguf_writer good_file() {
  gguf_writer w;
  w.u32("a.count", 7).f32("a.number", 0.5f).boolean("a.flag", true).text("a.text", "hello");
  w.texts("a.texts", {"x", "", "yz"}).i32s("a.integers", {-1, 2, 3});
  w.value("a.nested", bytes()
                          .put(std::uint32_t{9})
                          .put(std::uint32_t{9})
                          .put(std::uint64_t{1})
                          .put(std::uint32_t{0})
                          .put(std::uint64_t{2})
                          .raw("ab"));
  w.tensor("f32", {2, 3}, 0, 0).tensor("q8_0", {32}, 8, 32).tensor("q4_1", {32}, 3, 96);
  w.tensor("f16", {2}, 1, 128);
  bytes data;
  for (int i = 0; i < 6; ++i) data.put(static_cast<float>(i));
  data.raw(std::string(8, '\0'));
  data.put(std::uint16_t{0x3800});  // 0.5
  for (int i = 0; i < 32; ++i) data.put(static_cast<std::int8_t>(i - 16));
  data.raw(std::string(30, '\0'));
  data.put(std::uint16_t{0x4000}).put(std::uint16_t{0xbc00});  // scale 2, minimum -1
  for (int i = 0; i < 16; ++i) data.put(static_cast<std::uint8_t>(i | (15 - i) << 4));
  data.raw(std::string(12, '\0'));
  data.put(std::uint16_t{0x0001}).put(std::uint16_t{0xfc00});
  return w.data(data.str());
}

// The message with which a file of that content is refused; empty when it is not.
std::string refusal(std::string_view content) {
  temporary_file const file(content);
  try {
    gguf_file const g(file.path());
    return {};
  } catch (std::runtime_error const& e) {
    return e.what();
  }
}

TEST(gguf, reads_metadata) {
  temporary_file const file(good_file().str());
  gguf_file const g(file.path());
  EXPECT_EQ(g.integer("a.count", 0, 10), 7);
  EXPECT_EQ(g.number("a.number"), 0.5);
  EXPECT_TRUE(g.boolean("a.flag"));
  EXPECT_EQ(g.text("a.text"), "hello");
  EXPECT_THAT(g.texts("a.texts"), ElementsAre("x", "", "yz"));
  EXPECT_THAT(g.integers("a.integers"), ElementsAre(-1, 2, 3));
  EXPECT_TRUE(g.has("a.nested"));
  EXPECT_FALSE(g.has("b"));
}

TEST(gguf, names_the_metadata_that_is_not_as_expected) {
  temporary_file const file(good_file().str());
  gguf_file const g(file.path());
  auto const message = [](auto&& f) -> std::string {
    try {
      f();
      return {};
    } catch (std::runtime_error const& e) {
      return e.what();
    }
  };
  EXPECT_THAT(message([&] { g.text("b"); }), HasSubstr("'b' is missing"));
  EXPECT_THAT(message([&] { g.text("a.count"); }), HasSubstr("'a.count' is not a string"));
  EXPECT_THAT(message([&] { g.integer("a.count", 8, 9); }), HasSubstr("7, not in [8, 9]"));
  EXPECT_THAT(message([&] { g.integer("a.text", 0, 9); }), HasSubstr("not an integer"));
  EXPECT_THAT(message([&] { g.number("a.count"); }), HasSubstr("floating point"));
  EXPECT_THAT(message([&] { g.boolean("a.count"); }), HasSubstr("boolean"));
  EXPECT_THAT(message([&] { g.texts("a.integers"); }), HasSubstr("array of strings"));
  EXPECT_THAT(message([&] { g.integers("a.texts"); }), HasSubstr("array of integers"));
  EXPECT_THAT(message([&] { g.texts("a.text"); }), HasSubstr("not an array"));
  EXPECT_THAT(message([&] { g.matrix("none", 1, 1); }), HasSubstr("'none' is missing"));
  EXPECT_THAT(message([&] { g.matrix("f32", 2, 3); }), HasSubstr("[3, 2]"));
}

TEST(gguf, widens_tensors) {
  temporary_file const file(good_file().str());
  gguf_file const g(file.path());
  std::array<float, 32> row{};
  auto const& f32 = g.matrix("f32", 3, 2);
  smollm2::widen_row(f32, 2, row.data());
  EXPECT_EQ(row[0], 4.0f);
  EXPECT_EQ(row[1], 5.0f);
  smollm2::widen_row(g.matrix("q8_0", 1, 32), 0, row.data());
  for (int i = 0; i < 32; ++i) EXPECT_EQ(row[i], 0.5f * static_cast<float>(i - 16));
  smollm2::widen_row(g.matrix("q4_1", 1, 32), 0, row.data());
  for (int i = 0; i < 16; ++i) {
    EXPECT_EQ(row[i], 2.0f * static_cast<float>(i) - 1.0f);
    EXPECT_EQ(row[i + 16], 2.0f * static_cast<float>(15 - i) - 1.0f);
  }
  smollm2::widen_row(g.matrix("f16", 1, 2), 0, row.data());
  EXPECT_EQ(row[0], std::ldexp(1.0f, -24));
  EXPECT_EQ(row[1], -std::numeric_limits<float>::infinity());
}

TEST(gguf, refuses_what_is_not_a_gguf_file) {
  EXPECT_THAT(refusal(""), HasSubstr("empty"));
  EXPECT_THAT(refusal("GG"), HasSubstr("not a GGUF"));
  EXPECT_THAT(refusal("FUGG, and then some more of it"), HasSubstr("not a GGUF"));
  auto other_version = good_file().str();
  other_version[4] = 1;
  EXPECT_THAT(refusal(other_version), HasSubstr("version 1"));
  EXPECT_THROW(gguf_file("/no/such/file"), std::runtime_error);
  EXPECT_THROW(gguf_file("/tmp"), std::runtime_error);
  EXPECT_THROW(gguf_file("/dev/null"), std::runtime_error);
}

TEST(gguf, refuses_impossible_metadata) {
  auto const with = [](bytes const& v) { return refusal(gguf_writer().value("k", v).str()); };
  auto const u32 = [](std::uint32_t v) { return v; };
  EXPECT_THAT(with(bytes().put(u32(13))), HasSubstr("unknown type 13"));
  EXPECT_THAT(with(bytes().put(u32(8)).put(~std::uint64_t{0})), HasSubstr("ends inside"));
  // Arrays: too long, of strings, of an unknown type, nested too deep.
  EXPECT_THAT(with(bytes().put(u32(9)).put(u32(0)).put(~std::uint64_t{0})), HasSubstr("longer"));
  EXPECT_THAT(with(bytes().put(u32(9)).put(u32(11)).put(std::uint64_t{1} << 61)),
              HasSubstr("longer"));
  EXPECT_THAT(with(bytes().put(u32(9)).put(u32(8)).put(std::uint64_t{1} << 60)),
              HasSubstr("longer"));
  EXPECT_THAT(with(bytes().put(u32(9)).put(u32(99)).put(std::uint64_t{0})),
              HasSubstr("unknown type 99"));
  bytes nested;
  nested.put(u32(9));
  for (int i = 0; i < 1000; ++i) nested.put(u32(9)).put(std::uint64_t{1});
  EXPECT_THAT(with(nested), HasSubstr("nested"));
  EXPECT_THAT(refusal(gguf_writer().u32("k", 1).u32("k", 2).str()), HasSubstr("twice"));
  EXPECT_THAT(refusal(gguf_writer().counts(0, ~std::uint64_t{0}).str()), HasSubstr("ends inside"));
  EXPECT_THAT(refusal(gguf_writer().counts(~std::uint64_t{0}, 0).str()), HasSubstr("ends inside"));
  for (std::uint32_t const alignment : {0u, 3u, 48u, 1u << 17, 1u << 31}) {
    EXPECT_THAT(refusal(gguf_writer().u32("general.alignment", alignment).str()),
                HasSubstr("general.alignment"));
  }
}

TEST(gguf, refuses_impossible_tensors) {
  auto const with = [](std::vector<std::uint64_t> const& extents, std::uint32_t type,
                       std::uint64_t offset) {
    return refusal(
        gguf_writer().tensor("t", extents, type, offset).data(std::string(64, 'x')).str());
  };
  EXPECT_EQ(with({16}, 0, 0), "");
  EXPECT_EQ(with({8}, 0, 32), "");
  EXPECT_THAT(with({17}, 0, 0), HasSubstr("beyond the end"));
  EXPECT_THAT(with({8}, 0, 64), HasSubstr("beyond the end"));
  EXPECT_THAT(with({8}, 0, std::uint64_t{1} << 63), HasSubstr("beyond the end"));
  EXPECT_THAT(with({8}, 0, ~std::uint64_t{31}), HasSubstr("beyond the end"));
  EXPECT_THAT(with({8}, 0, 8), HasSubstr("not aligned"));
  EXPECT_THAT(with({16}, 2, 0), HasSubstr("type 2"));
  EXPECT_THAT(with({16}, 0xffffffff, 0), HasSubstr("type 4294967295"));
  EXPECT_THAT(with({16}, 8, 0), HasSubstr("whole blocks"));
  EXPECT_THAT(with({}, 0, 0), HasSubstr("0 axes"));
  EXPECT_THAT(with({1, 1, 1, 1, 1}, 0, 0), HasSubstr("5 axes"));
  EXPECT_THAT(with({0}, 0, 0), HasSubstr("impossible shape"));
  EXPECT_THAT(with({1u << 31, 1u << 31, 4}, 0, 0), HasSubstr("impossible shape"));
  EXPECT_THAT(with({~std::uint64_t{0}}, 0, 0), HasSubstr("impossible shape"));
  EXPECT_THAT(refusal(gguf_writer()
                          .tensor("t", {8}, 0, 0)
                          .tensor("t", {8}, 0, 32)
                          .data(std::string(64, 'x'))
                          .str()),
              HasSubstr("twice"));
  EXPECT_THAT(refusal(gguf_writer()
                          .tensor("t", {16}, 0, 0)
                          .tensor("u", {8}, 0, 32)
                          .data(std::string(64, 'x'))
                          .str()),
              HasSubstr("over another"));
}

TEST(gguf, an_alignment_of_its_own) {
  gguf_writer w;
  w.u32("general.alignment", 8).alignment(8).tensor("t", {2}, 0, 8);
  bytes data;
  data.put(0.0f).put(0.0f).put(1.0f).put(2.0f);
  temporary_file const file(w.data(data.str()).str());
  gguf_file const g(file.path());
  std::array<float, 2> row{};
  smollm2::widen_row(g.matrix("t", 1, 2), 0, row.data());
  EXPECT_THAT(row, ElementsAre(1.0f, 2.0f));
}

TEST(gguf, every_truncation_is_refused) {
  auto const whole = good_file().str();
  ASSERT_EQ(refusal(whole), "");
  for (std::size_t length = 0; length < whole.size(); ++length) {
    EXPECT_NE(refusal(std::string_view(whole).substr(0, length)), "") << length;
  }
}

TEST(gguf, any_flipped_bits_are_read_or_refused) {
  auto const whole = good_file().str();
  std::mt19937 random(1);
  for (int run = 0; run < 1000; ++run) {
    auto broken = whole;
    for (unsigned flips = 1 + random() % 4; flips > 0; --flips) {
      broken[random() % broken.size()] ^= static_cast<char>(1u << random() % 8);
    }
    temporary_file const file(broken);
    try {
      gguf_file const g(file.path());
      for (auto const& [name, t] : g.tensors()) {
        std::vector<float> row(static_cast<std::size_t>(t.columns));
        smollm2::widen_row(t, t.rows - 1, row.data());
      }
      g.texts("a.texts");
      g.integers("a.integers");
    } catch (std::runtime_error const& e) {
      EXPECT_STRNE(e.what(), "");
    }
  }
}

}  // namespace
}  // namespace smollm2_test
