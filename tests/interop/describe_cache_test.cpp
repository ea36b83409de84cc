// SPDX-License-Identifier: BSL-1.0
#include "oriel/interop/describe_cache.hpp"

#include <gtest/gtest.h>

#include "oriel/cache/kivi_cache.hpp"
#include "oriel/codec/quantized.hpp"

namespace oriel {
namespace {

TEST(DescribeCache, HasALinePerKindOfLayer) {
  std::vector<layer_config> layers;
  for (index i = 0; i < 48; ++i) {
    layer_config of{.kv_heads = 8, .head_dim = 256};
    if (i % 6 != 5) of.kind = layer_kind::window, of.keys = 1024;
    layers.push_back(of);
  }
  model_config const gemma{.layers = layers, .context = 32768, .sequences = 2};
  EXPECT_EQ(describe(gemma),
            "layers  sees                rows  heads     dim             bytes\n"
            "    40  window 1024         1024      8     256         671088640\n"
            "     8  global             32768      8     256        4294967296\n"
            "2 sequences of these, and their states: " +
                std::to_string(model_cache<>::required_bytes(gemma)) +
                " bytes\n"
                "a token more of one: 131072 bytes\n");
}

TEST(DescribeCache, TellsSharedLayersSinksAndOtherValues) {
  std::vector<layer_config> const layers{
      {.kind = layer_kind::window, .keys = 8, .head_dim = 64, .v_dim = 32, .sinks = 4},
      {.kind = layer_kind::shared, .of = 0},
      {.kind = layer_kind::chunked, .keys = 100, .head_dim = 64},
      {.kind = layer_kind::shared, .of = 1}};
  model_config const c{.layers = layers, .context = 50, .margin = 3};
  EXPECT_EQ((describe<int8, bf16>(c)),
            "layers  sees                rows  heads     dim             bytes\n"
            "     1  window 8 + 4          14      1   64/32              1848\n"
            "     2  window 8 + 4      shared      1   64/32                 0\n"
            "     1  chunk 100             50      1      64              9800\n"
            "1 sequence of these, and its states: " +
                std::to_string((model_cache<int8, bf16>::required_bytes(c))) +
                " bytes\n"
                "a token more of one: 196 bytes\n");
}

/// Rows in whole groups; a key and a value of 16 take 20 bytes each, and 17 rows are floats besides.
TEST(DescribeCache, CountsGroups) {
  using kivi = kivi_cache<2, 16>;
  std::vector<layer_config> const layers{
      {.kind = layer_kind::window, .keys = 4, .head_dim = 16, .sinks = 3}, {.head_dim = 16}};
  model_config const c{.layers = layers, .context = 60, .margin = 2};
  EXPECT_EQ(describe<kivi>(c),
            "layers  sees                rows  heads     dim             bytes\n"
            "     1  window 4 + 3          32      1      16              3456\n"
            "     1  global                64      1      16              4736\n"
            "1 sequence of these, and its states: " +
                std::to_string(model_cache<kivi>::required_bytes(c)) +
                " bytes\n"
                "a token more of one: 40 bytes\n");
}

TEST(DescribeCache, SaysWhatMakesNoSense) {
  std::vector<layer_config> const layers{{.head_dim = 4}, {}};
  EXPECT_EQ(describe({.layers = layers, .context = 1}),
            "cache_shape.head_dim must be at least 1 (layer 1)\n");
}

}  // namespace
}  // namespace oriel
