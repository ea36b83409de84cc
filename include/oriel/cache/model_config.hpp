// SPDX-License-Identifier: BSL-1.0
// What each layer of a model sees, and so what its cache keeps.
#pragma once

#include <span>

#include "oriel/cache/cache_shape.hpp"
#include "oriel/mask/any_mask.hpp"
#include "oriel/mask/both.hpp"
#include "oriel/mask/causal.hpp"
#include "oriel/mask/chunked.hpp"
#include "oriel/mask/either.hpp"
#include "oriel/mask/prefix.hpp"
#include "oriel/mask/sliding_window.hpp"

namespace oriel::inline v0 {

enum class layer_kind {
  global,   ///< a query sees all keys up to its own
  window,   ///< the last `keys` of them
  chunked,  ///< those of its chunk of `keys` positions (Llama 4)
  shared,   ///< it reads the rows that an earlier layer keeps, and keeps none (Gemma 3n)
};

/// One layer of a model.
struct layer_config {
  layer_kind kind = layer_kind::global;
  index keys = 0;      ///< window: keys a query sees, its own included; chunked: of a chunk
  index of = 0;        ///< shared: number of the layer whose rows it reads
  index kv_heads = 1;  ///< key/value heads; a shared layer has those of the other
  index head_dim = 0;  ///< floats in a key
  std::optional<index> v_dim = std::nullopt;  ///< floats in a value; head_dim unless given
  index sinks = 0;  ///< window, chunked: positions [0, sinks) stay visible, and held, besides
};

/// Sizes of the cache of a model. Questions about layers are for those of a config that passes
/// check().
struct model_config {
  std::span<layer_config const> layers = {};  ///< in the order in which they are computed
  index context = 0;    ///< tokens that a sequence may hold where its layers need them all
  index sequences = 1;  ///< that are held at once
  index margin = 1;     ///< as cache_shape::margin: drafts and pieces that can be given back

  ORIEL_INLINE constexpr index layer_count() const noexcept {
    return static_cast<index>(layers.size());
  }
  ORIEL_INLINE constexpr layer_config const& layer(index i) const noexcept {
    return layers.data()[i];
  }

  /// The layer whose rows a layer reads: itself but where it is shared.
  ORIEL_INLINE constexpr index owner(index i) const noexcept {
    while (layer(i).kind == layer_kind::shared) i = layer(i).of;
    return i;
  }
  /// What a layer's queries see, as its kind says; a shared one sees what its owner does.
  ORIEL_INLINE any_mask mask(index i) const noexcept {
    layer_config const& of = layer(owner(i));
    prefix const first{.keys = of.sinks};
    if (of.kind == layer_kind::window) return causal{} & (sliding_window{.keys = of.keys} | first);
    if (of.kind == layer_kind::chunked) return causal{} & (chunked{.keys = of.keys} | first);
    return causal{};
  }

  /// Does a layer keep whatever it has seen, up to `context`? Global ones do, and those whose ring
  /// would be larger than the context.
  ORIEL_INLINE constexpr bool keeps_all(index i) const noexcept {
    layer_config const& of = layer(i);
    if (of.kind == layer_kind::global) return true;
    return saturating_add(of.sinks, saturating_add(of.keys, margin) - 1) > context;
  }
  /// The rows that a layer, not a shared one, keeps of a sequence. Where they are stored in groups
  /// (kivi_cache::group), a layer that keeps all has a margin too: so many rows are to be floats.
  ORIEL_INLINE constexpr cache_shape shape_of(index i, index group = 1) const noexcept {
    layer_config const& of = layer(i);
    cache_shape shape{
        .window = context, .kv_heads = of.kv_heads, .head_dim = of.head_dim, .v_dim = of.v_dim};
    if (!keeps_all(i)) {
      shape.window = of.keys, shape.margin = margin, shape.sinks = of.sinks;
    } else if (group > 1) {  // the same rows of the ring
      shape.margin = min_of(margin, context);
      shape.window -= shape.margin - 1;
    }
    return shape;
  }

  /// ok, or which size is invalid; status::where is the layer.
  ORIEL_INLINE constexpr status check() const noexcept {
    if (layers.empty()) return {errc::shape, "model_config.layers must not be empty"};
    if (context < 1 || context > max_position) {
      return {errc::shape, "model_config.context must be from 1 to 2^60"};
    }
    if (sequences < 1) return {errc::shape, "model_config.sequences must be at least 1"};
    if (margin < 1) return {errc::shape, "model_config.margin must be at least 1"};
    for (index i = 0; i < layer_count(); ++i) {
      status s = check_layer(i);
      s.where = s.ok() ? 0 : i;
      if (!s.ok()) return s;
    }
    return {};
  }

 private:
  ORIEL_INLINE constexpr status check_layer(index i) const noexcept {
    layer_config const& of = layer(i);
    switch (of.kind) {
      case layer_kind::shared:
        if (of.of >= 0 && of.of < i) return {};
        return {errc::shape, "layer_config.of must be an earlier layer"};
      case layer_kind::global:
        if (of.sinks == 0) break;
        return {errc::shape, "layer_config.sinks: a global layer keeps all tokens, so must be 0"};
      case layer_kind::window:
      case layer_kind::chunked:
        if (of.keys < 1) return {errc::shape, "layer_config.keys must be at least 1"};
        if (of.sinks < 0) return {errc::shape, "layer_config.sinks must not be negative"};
        break;
      default: return {errc::shape, "layer_config.kind is none of its values"};
    }
    return shape_of(i).check();
  }
};

}  // namespace oriel::inline v0
