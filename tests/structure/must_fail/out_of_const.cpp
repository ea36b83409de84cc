// SPDX-License-Identifier: BSL-1.0
// message: tensor_view<(const )?float
#include <oriel/oriel.hpp>

#ifdef ORIEL_MISUSE
using element = float const;
#else
using element = float;
#endif

oriel::status attend_into(float const* data, element* out, oriel::workspace scratch) {
  oriel::tensor_view<float const> const q{data, 1, 1, 4};
  oriel::attention const call{.q = q,
                              .kv = oriel::contiguous{q, q},
                              .mask = oriel::causal{},
                              .out = oriel::tensor_view<element>{out, 1, 1, 4}};
  return oriel::attend(call, scratch);
}
