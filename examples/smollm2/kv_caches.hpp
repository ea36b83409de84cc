// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <memory>
#include <oriel/oriel.hpp>
#include <string>

namespace smollm2 {

// The caches of all layers for one sequence, whatever they store keys and values as.
class kv_caches {
 public:
  using view = oriel::tensor_view<float const>;

  kv_caches() = default;
  kv_caches(kv_caches const&) = delete;
  kv_caches& operator=(kv_caches const&) = delete;
  virtual ~kv_caches() = default;

  // What a layer's cache holds, then k and v; refers to the cache.
  virtual oriel::any_source joined_with(oriel::index layer, view const& k, view const& v) const = 0;
  virtual oriel::status append(oriel::index layer, view const& k, view const& v) = 0;
  // Gives back the rows from a position on, in all layers.
  virtual oriel::status truncate(oriel::index position) = 0;
  virtual oriel::index row_bytes() const = 0;  // of all rows there is room for
  virtual oriel::index capacity() const = 0;   // rows of a layer
  virtual oriel::index held() const = 0;       // of the first layer, at most the capacity
};

// f32, bf16, f16, int8, int4, q8_0, q4_0 or kivi2; `rotate`: after a Hadamard rotation, which
// kivi2 doesn't take, as its keys are quantised by channel. Throws for anything else.
std::unique_ptr<kv_caches> make_kv_caches(std::string const& kv, bool rotate,
                                          oriel::model_config const& config);

}  // namespace smollm2
