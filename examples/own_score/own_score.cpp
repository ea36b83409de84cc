// SPDX-License-Identifier: BSL-1.0
// A score functor of your own, after the library's softcap: keys in every other sentence weigh less,
// and far keys too. It runs in the kernels' registers and, as the same formula on doubles, in the
// reference. Prints
//
//   attend: ok, reference: ok, largest difference below 1e-6
#include <cmath>
#include <cstdio>
#include <oriel/interop/owning.hpp>
#include <oriel/oriel.hpp>
#include <vector>

struct fading {
  float const* strength;  ///< [q_heads]
  oriel::index sentence;  ///< tokens

  // Asked once per register of rows: what belongs to a query or a head is looked up here.
  template <class V>
  auto for_rows(oriel::score_rows<V> const& rows) const noexcept {
    V const own = rows.each([this](oriel::index, oriel::index head) { return strength[head]; });
    // Called once per register of scores: arithmetic on V's, or lane by lane through each().
    return [own, length = sentence](V const& score, oriel::score_keys<V> const& keys) {
      V const odd = keys.each([length](oriel::index, oriel::index, oriel::index key) {
        return static_cast<float>(key / length % 2);
      });
      V const far = keys.distance * V(1.0f / 64);
      return score - own * (odd + far / (far + V(1.0f)));
    };
  }
};

int main() {
  constexpr oriel::index tokens = 500, heads = 4, kv_heads = 2, dim = 64;
  std::vector<float> q(tokens * heads * dim), k(tokens * kv_heads * dim), v(k.size());
  for (std::size_t i = 0; i < q.size(); ++i) q[i] = std::sin(static_cast<float>(i));
  for (std::size_t i = 0; i < k.size(); ++i) k[i] = std::cos(static_cast<float>(3 * i));
  for (std::size_t i = 0; i < v.size(); ++i) v[i] = std::sin(static_cast<float>(7 * i));
  float const strength[heads] = {0.5f, 1.0f, 2.0f, 4.0f};
  std::vector<float> out(q.size());

  oriel::attention const call{
      .q = {q.data(), tokens, heads, dim},
      .kv = oriel::contiguous{{k.data(), tokens, kv_heads, dim}, {v.data(), tokens, kv_heads, dim}},
      .mask = oriel::causal{},
      .score = oriel::softcap{30.0f} >> fading{strength, 20},
      .out = {out.data(), tokens, heads, dim}};
  oriel::aligned_bytes const scratch(oriel::workspace_bytes(call));
  oriel::status const s = oriel::attend(call, scratch);

  std::vector<double> exact(out.size());
  oriel::status const r = oriel::reference(call, {exact.data(), tokens, heads, dim});
  double worst = 0.0;
  for (std::size_t i = 0; i < out.size(); ++i)
    worst = std::fmax(worst, std::abs(out[i] - exact[i]));
  std::printf("attend: %s, reference: %s, largest difference %s 1e-6\n", s.what, r.what,
              worst < 1e-6 ? "below" : "ABOVE");
  return s.ok() && r.ok() && worst < 1e-6 ? 0 : 1;
}
