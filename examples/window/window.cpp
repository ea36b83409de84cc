// SPDX-License-Identifier: BSL-1.0
#include <cstdio>
#include <oriel/interop/owning.hpp>
#include <oriel/oriel.hpp>
#include <vector>

int main() {
  // 1000 tokens, 8 query heads on 2 kv heads of 64 floats; a query sees the 256 newest keys.
  std::vector<float> q(1000 * 8 * 64, 0.5f), k(1000 * 2 * 64, 0.25f), v(1000 * 2 * 64);
  for (std::size_t i = 0; i < v.size(); ++i) v[i] = static_cast<float>(i / 128);  // token number
  std::vector<float> out(1000 * 8 * 64);

  oriel::attention const call{
      .q = {q.data(), 1000, 8, 64},
      .kv = oriel::contiguous{{k.data(), 1000, 2, 64}, {v.data(), 1000, 2, 64}},
      .mask = oriel::causal{} & oriel::sliding_window{.keys = 256},
      .out = {out.data(), 1000, 8, 64}};
  oriel::aligned_bytes const scratch(oriel::workspace_bytes(call));  // or memory of your own
  oriel::status const s = oriel::attend(call, scratch);
  std::printf("%s: the last token sees the mean of tokens 744..999: %g\n", s.what, out.back());
  return s.ok() ? 0 : 1;
}
