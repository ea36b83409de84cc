// SPDX-License-Identifier: BSL-1.0
#include <cstdio>
#include <oriel/interop/dispatch.hpp>
#include <oriel/interop/owning.hpp>
#include <vector>

#include "layer.hpp"

int main() {
  // 300 tokens, 4 heads of 32 floats; a query sees the 100 newest keys. A value is its token's
  // number.
  std::vector<float> q(300 * 4 * 32, 0.5f), k(q), v(q), out(q.size());
  for (std::size_t i = 0; i < v.size(); ++i) v[i] = static_cast<float>(i / 128);
  oriel::attention const call{
      .q = {q.data(), 300, 4, 32},
      .kv = oriel::contiguous{{k.data(), 300, 4, 32}, {v.data(), 300, 4, 32}},
      .mask = oriel::causal{} & oriel::sliding_window{.keys = 100},
      .out = {out.data(), 300, 4, 32}};
  oriel::aligned_bytes scratch(workspace_bytes(call));
  oriel::status const s = attend(call, scratch);
  std::printf("%s by %s: the last token sees the mean of tokens 200..299: %.3f\n", s.what,
              oriel::active_arch(), out.back());
  return s.ok() ? 0 : 1;
}
