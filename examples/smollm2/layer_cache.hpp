// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <memory>
#include <oriel/oriel.hpp>
#include <string>

namespace smollm2 {

// The cache of one layer, whatever it stores keys and values as.
class layer_cache {
 public:
  using view = oriel::tensor_view<float const>;

  layer_cache() = default;
  layer_cache(layer_cache const&) = delete;
  layer_cache& operator=(layer_cache const&) = delete;
  virtual ~layer_cache() = default;

  // What it holds, then k and v; refers to this cache.
  virtual oriel::any_source joined_with(view const& k, view const& v) const = 0;
  virtual oriel::status append(view const& k, view const& v) = 0;
  // Gives back the rows from a position on.
  virtual oriel::status truncate(oriel::index position) = 0;
  virtual oriel::index bytes() const = 0;
  virtual oriel::index capacity() const = 0;
  virtual oriel::index held() const = 0;  // rows, at most the capacity
};

// f32, bf16, f16, int8, int4, q8_0, q4_0 or kivi2; `rotate`: behind a Hadamard rotation, which
// kivi2 doesn't take, as its keys are quantised by channel. Throws for anything else.
std::unique_ptr<layer_cache> make_layer_cache(std::string const& kv, bool rotate,
                                              oriel::cache_shape const& shape);

}  // namespace smollm2
