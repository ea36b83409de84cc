// SPDX-License-Identifier: BSL-1.0
// Where the caches of a model's layers lie in one block of bytes.
#pragma once

#include "oriel/cache/model_config.hpp"
#include "oriel/view/workspace.hpp"

namespace oriel::inline v0::detail {

/// Of a layer of a model.
struct layer_entry {
  index cache;  ///< number of the cache it reads, in each sequence
  bool own;     ///< which no layer before it does
  index limit;  ///< tokens that it may hold
};

/// Bytes before what lies in the block: an entry per layer, then the states of all caches, then
/// the rows of one sequence after the other. INT64_MAX where they overflow.
template <class Cache>
struct model_layout {
  index states = 0;
  index rows = 0;
  index sequence = 0;  ///< bytes of the rows of one
  index all = 0;
  index caches = 0;  ///< of a sequence

  ORIEL_INLINE static model_layout of(model_config const& config) noexcept {
    model_layout at;
    carver rows;
    for (index i = 0; i < config.layer_count(); ++i) {
      if (config.owner(i) != i) continue;
      rows.template take<std::byte>(Cache::required_bytes(config.shape_of(i, Cache::group)));
      ++at.caches;
    }
    at.sequence = rows.used();
    carver memory;
    memory.template take<layer_entry>(config.layer_count());
    at.states = memory.used();
    memory.template take<Cache>(saturating_mul(at.caches, config.sequences));
    at.rows = memory.used();
    memory.template take<std::byte>(saturating_mul(at.sequence, config.sequences));
    at.all = memory.used();
    return at;
  }
};

}  // namespace oriel::inline v0::detail
