// SPDX-License-Identifier: BSL-1.0
// Uses every entry point; compiled by headers_are_apart.sh.
#include "oriel/oriel.hpp"

using namespace oriel;
using view = tensor_view<float const>;

status prefill(attention const& call, workspace memory) { return attend(call, memory); }
status ragged(std::span<attention const> calls, workspace memory) { return attend(calls, memory); }
status append(view q, view k, tensor_view<float> out, rolling_cache<>& cache, workspace memory) {
  if (status s = cache.append(k, k); !s.ok()) return s;
  return attend(
      {.q = q, .kv = joined{cache, k, k}, .mask = causal{} & sliding_window{.keys = 5}, .out = out},
      memory);
}
status read(view q, tensor_view<float> out, rolling_cache<> const& cache, workspace memory) {
  return attend({.q = q, .kv = cache, .mask = full{}, .out = out}, memory);
}
status exactly(attention const& call, tensor_view<double> out, tensor_view<double> lse) {
  return reference(call, out, lse);
}
status merged(std::span<partial const> parts, tensor_view<float> out, tensor_view<float> lse) {
  return merge(parts, out, lse);
}
