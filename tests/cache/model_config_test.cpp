// SPDX-License-Identifier: BSL-1.0
#include "oriel/cache/model_config.hpp"

#include <gtest/gtest.h>

#include <vector>

namespace oriel {
namespace {

constexpr layer_config global{.kv_heads = 2, .head_dim = 4};
constexpr layer_config window{
    .kind = layer_kind::window, .keys = 8, .kv_heads = 2, .head_dim = 4, .sinks = 2};
constexpr layer_config chunk{.kind = layer_kind::chunked, .keys = 8, .kv_heads = 2, .head_dim = 4};

TEST(ModelConfig, NamesWhatMakesNoSenseAndWhere) {
  auto const with = [](layer_config of, auto&& change) {
    change(of);
    return of;
  };
  struct test_case {
    layer_config layer;
    errc code;
    char const* what;
  };
  for (auto const& [layer, code, what] : {
           test_case{global, errc::ok, "ok"},
           {window, errc::ok, "ok"},
           {chunk, errc::ok, "ok"},
           {{.kind = layer_kind::shared}, errc::ok, "ok"},
           {{.kind = layer_kind::shared, .of = 1},
            errc::shape,
            "layer_config.of must be an earlier layer"},
           {{.kind = layer_kind::shared, .of = -1},
            errc::shape,
            "layer_config.of must be an earlier layer"},
           {{.kind = layer_kind::shared, .of = INT64_MAX},
            errc::shape,
            "layer_config.of must be an earlier layer"},
           {with(global, [](layer_config& l) { l.sinks = 1; }), errc::shape,
            "layer_config.sinks: a global layer keeps all tokens, so must be 0"},
           {with(window, [](layer_config& l) { l.keys = 0; }), errc::shape,
            "layer_config.keys must be at least 1"},
           {with(chunk, [](layer_config& l) { l.keys = INT64_MIN; }), errc::shape,
            "layer_config.keys must be at least 1"},
           {with(window, [](layer_config& l) { l.sinks = -1; }), errc::shape,
            "layer_config.sinks must not be negative"},
           {with(window, [](layer_config& l) { l.kv_heads = 0; }), errc::heads,
            "cache_shape.kv_heads must be at least 1"},
           {with(global, [](layer_config& l) { l.head_dim = 0; }), errc::shape,
            "cache_shape.head_dim must be at least 1"},
           {with(chunk, [](layer_config& l) { l.v_dim = 0; }), errc::shape,
            "cache_shape.v_dim must be at least 1"},
           {with(global, [](layer_config& l) { l.kind = static_cast<layer_kind>(77); }),
            errc::shape, "layer_config.kind is none of its values"},
       }) {
    std::vector<layer_config> const layers{global, layer};
    status const s = model_config{.layers = layers, .context = 100}.check();
    EXPECT_EQ(s.code, code) << what;
    EXPECT_STREQ(s.what, what);
    EXPECT_EQ(s.where, code == errc::ok ? 0 : 1) << what;
  }
  std::vector<layer_config> const layers{global};
  EXPECT_STREQ(model_config{.context = 1}.check().what, "model_config.layers must not be empty");
  for (index const context : {index{0}, index{-1}, INT64_MIN, max_position + 1, INT64_MAX}) {
    EXPECT_STREQ((model_config{.layers = layers, .context = context}.check().what),
                 "model_config.context must be from 1 to 2^60");
  }
  EXPECT_STREQ((model_config{.layers = layers, .context = 1, .sequences = 0}.check().what),
               "model_config.sequences must be at least 1");
  EXPECT_STREQ((model_config{.layers = layers, .context = 1, .margin = 0}.check().what),
               "model_config.margin must be at least 1");
  EXPECT_TRUE((model_config{.layers = layers, .context = max_position}.check().ok()));
}

TEST(ModelConfig, ALayerKeepsItsRingOrTheContextWhicheverIsLess) {
  std::vector<layer_config> const layers{global, window, chunk};
  for (index context = 1; context < 40; ++context) {
    model_config const c{.layers = layers, .context = context, .margin = 5};
    EXPECT_EQ(c.shape_of(0).capacity(), context);
    EXPECT_EQ(c.shape_of(1).capacity(), std::min<index>(context, 2 + 8 - 1 + 5));
    EXPECT_EQ(c.shape_of(2).capacity(), std::min<index>(context, 8 - 1 + 5));
    EXPECT_TRUE(c.keeps_all(0));
    EXPECT_EQ(c.keeps_all(1), context < 14);
    EXPECT_EQ(c.keeps_all(2), context < 12);
  }
}

TEST(ModelConfig, RingsBeyondAllNumbersAreTheContext) {
  for (index const huge : {INT64_MAX, INT64_MAX - 1, index{1} << 61}) {
    std::vector<layer_config> const layers{
        {.kind = layer_kind::window, .keys = huge, .head_dim = 1, .sinks = huge}};
    model_config const c{.layers = layers, .context = 7, .margin = huge};
    EXPECT_TRUE(c.check().ok());
    EXPECT_TRUE(c.keeps_all(0));
    EXPECT_EQ(c.shape_of(0).capacity(), 7);
  }
}

TEST(ModelConfig, MasksAreThoseOfTheKindAndSharedLayersThoseOfTheirOwner) {
  std::vector<layer_config> const layers{global,
                                         window,
                                         chunk,
                                         {.kind = layer_kind::shared, .of = 1},
                                         {.kind = layer_kind::shared, .of = 3},
                                         {.kind = layer_kind::shared, .of = 2}};
  model_config const c{.layers = layers, .context = 100};
  ASSERT_TRUE(c.check().ok());
  index const owners[] = {0, 1, 2, 1, 1, 2};
  for (index i = 0; i < 6; ++i) {
    EXPECT_EQ(c.owner(i), owners[i]);
    any_mask const mask = c.mask(i);
    for (index q = 0; q < 40; ++q) {
      for (index k = 0; k < 40; ++k) {
        bool const in_window = q - k < 8 || k < 2;
        bool const in_chunk = q / 8 == k / 8;
        bool const kinds[] = {true, in_window, in_chunk};
        EXPECT_EQ(mask.visible(q, k), k <= q && kinds[owners[i]]) << i << ' ' << q << ' ' << k;
      }
    }
  }
}

}  // namespace
}  // namespace oriel
