// SPDX-License-Identifier: BSL-1.0
// A small attention through the public header, the same in every translation unit that includes this.
#pragma once

#include <array>
#include <cstddef>
#include <oriel/oriel.hpp>
#include <span>

constexpr oriel::index smoke_tokens = 37, smoke_heads = 4, smoke_kv_heads = 2, smoke_dim = 24;
constexpr oriel::index smoke_window = 5;

struct smoke_problem {
  std::array<float, smoke_tokens * smoke_heads * smoke_dim> q, out;
  std::array<float, smoke_tokens * smoke_kv_heads * smoke_dim> k, v;
};

/// Fills the inputs with small numbers that repeat with no short period.
inline void fill(smoke_problem& p) {
  unsigned state = 1;
  for (std::span<float> values : {std::span<float>{p.q}, {p.k}, {p.v}}) {
    for (float& value : values) {
      state = state * 1664525u + 1013904223u;
      value = static_cast<float>(state >> 16) / 32768.0f - 1.0f;
    }
  }
}

/// Static: each unit has its own, and shares only what the library defines.
static oriel::status attend_here(smoke_problem& p) {
  alignas(64) static std::array<std::byte, 1 << 22> scratch;
  oriel::tensor_view<float const> const q{p.q.data(), smoke_tokens, smoke_heads, smoke_dim};
  oriel::tensor_view<float const> const k{p.k.data(), smoke_tokens, smoke_kv_heads, smoke_dim};
  oriel::tensor_view<float const> const v{p.v.data(), smoke_tokens, smoke_kv_heads, smoke_dim};
  oriel::tensor_view<float> const out{p.out.data(), smoke_tokens, smoke_heads, smoke_dim};
  oriel::attention const call{.q = q,
                              .kv = oriel::contiguous{k, v},
                              .mask = oriel::causal{} & oriel::sliding_window{.keys = smoke_window},
                              .out = out};
  return oriel::attend(call, oriel::workspace{std::span<std::byte>{scratch}});
}

/// The same by another translation unit.
oriel::status attend_in_other_unit(smoke_problem& p);
