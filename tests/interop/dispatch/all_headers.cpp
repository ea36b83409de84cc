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

oriel::index whole_sequences(std::span<std::byte> bytes, view k, std::span<std::byte> blob,
                             rope const& by, workspace memory) {
  layer_config const layers[] = {{.head_dim = 64},
                                 {.kind = layer_kind::window, .keys = 8, .head_dim = 64},
                                 {.kind = layer_kind::shared, .of = 1}};
  model_config config{.layers = layers, .context = 8, .sequences = 2};
  config.context = model_cache<>::tokens_that_fit(config, static_cast<oriel::index>(bytes.size()));
  model_cache<> cache(bytes, config);
  bool ok = cache.append(0, 0, k, k).ok() && cache.append(0, 1, k, k).ok();
  ok = ok && cache.fork(0, 1).ok() && cache.truncate(1, 1).ok() && cache.erase(1, {0, 1}).ok();
  ok = ok && cache.erase(0, {0, 1}, {&by, 1}, memory).ok() && cache.drop(1).ok();
  ok = ok && cache.save(0, blob).ok() && cache.restore(1, blob).ok() && cache.can_resume(1, 1);
  ok = ok && config.mask(2).visible(1, 0) && cache.at(0, 2).check().ok() && cache.keeps_rows(1);
  return ok ? cache.end(1) + cache.room(1) + cache.find_empty() + cache.saved_bytes(0) : 0;
}
