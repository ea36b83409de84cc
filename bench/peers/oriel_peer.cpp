// SPDX-License-Identifier: BSL-1.0
// A C interface to attend for the Python scripts beside it: one fixed shape, nothing allocated per
// call.
#include <cstdint>
#include <memory>
#include <optional>
#include <oriel/interop/owning.hpp>
#include <oriel/interop/thread_pool.hpp>
#include <oriel/oriel.hpp>

extern "C" struct oriel_peer_shape {
  std::int64_t q_len, kv_len, q_heads, kv_heads, dim, v_dim;
  std::int64_t window;   ///< keys that a query sees, 0 for no window
  std::int64_t causal;   ///< 0 or 1
  std::int64_t by_head;  ///< k and v lie in memory as [kv_heads, kv_len, dim], else kv_len first
  std::int64_t threads;
};

namespace {

using shape = oriel_peer_shape;

oriel::any_mask mask_of(shape const& s) {
  oriel::sliding_window const window{.keys = s.window};
  if (s.causal != 0 && s.window > 0) return oriel::causal{} & window;
  if (s.causal != 0) return oriel::causal{};
  if (s.window > 0) return window;
  return oriel::full{};
}

class peer {
 public:
  explicit peer(shape const& s)
      : shape_(s),
        mask_(mask_of(s)),
        plan_(oriel::plan_attend({.q_len = s.q_len,
                                  .kv_len = s.kv_len,
                                  .q_heads = s.q_heads,
                                  .kv_heads = s.kv_heads,
                                  .head_dim = s.dim,
                                  .v_dim = s.v_dim},
                                 s.threads)),
        workspace_(plan_.check().ok() ? plan_.workspace_bytes() : 0) {
    if (s.threads > 1) pool_.emplace(s.threads);
  }

  oriel::status attend(float const* q, float const* k, float const* v, float* out) {
    oriel::attention const call{.q = {q, shape_.q_len, shape_.q_heads, shape_.dim},
                                .kv = oriel::contiguous{keys(k, shape_.dim), keys(v, shape_.v_dim)},
                                .mask = mask_,
                                .out = {out, shape_.q_len, shape_.q_heads, shape_.v_dim}};
    oriel::workspace const memory{workspace_.span()};
    return pool_ ? oriel::attend(plan_, call, memory, *pool_) : oriel::attend(plan_, call, memory);
  }

 private:
  oriel::tensor_view<float const> keys(float const* data, oriel::index dim) const {
    if (shape_.by_head == 0) return {data, shape_.kv_len, shape_.kv_heads, dim};
    return {data, shape_.kv_len, shape_.kv_heads, dim, dim, shape_.kv_len * dim};
  }

  shape shape_;
  oriel::any_mask mask_;
  oriel::attend_plan plan_;
  oriel::aligned_bytes workspace_;
  std::optional<oriel::thread_pool> pool_;
};

}  // namespace

extern "C" {

/// Null if there is no memory or there are no threads for it.
void* oriel_peer_create(oriel_peer_shape const* s) {
  try {
    return std::make_unique<peer>(*s).release();
  } catch (...) {
    return nullptr;
  }
}

/// Null, or what was wrong with the call.
char const* oriel_peer_attend(void* of, float const* q, float const* k, float const* v,
                              float* out) {
  oriel::status const s = static_cast<peer*>(of)->attend(q, k, v, out);
  return s.ok() ? nullptr : s.what;
}

void oriel_peer_destroy(void* of) { delete static_cast<peer*>(of); }

/// The compiler, for the record.
char const* oriel_peer_compiler() {
#if defined(__clang__)
  return "clang++ " __clang_version__;
#else
  return "g++ " __VERSION__;
#endif
}

/// Floats in a register of the instruction set it was built for.
int oriel_peer_lanes() { return static_cast<int>(xsimd::batch<float>::size); }
}
