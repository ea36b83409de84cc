// SPDX-License-Identifier: BSL-1.0
// message: tensor_view<(const )?double
#include <oriel/oriel.hpp>

#ifdef ORIEL_MISUSE
using element = double;
#else
using element = float;
#endif

oriel::status attend_elements(element const* data, float* out, oriel::workspace scratch) {
  oriel::tensor_view<element const> const q{data, 1, 1, 4};
  oriel::tensor_view<float const> const k{out + 4, 1, 1, 4};
  oriel::attention const call{.q = q,
                              .kv = oriel::contiguous{k, k},
                              .mask = oriel::causal{},
                              .out = oriel::tensor_view<float>{out, 1, 1, 4}};
  return oriel::attend(call, scratch);
}
