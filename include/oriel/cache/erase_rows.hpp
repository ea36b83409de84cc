// SPDX-License-Identifier: BSL-1.0
// Context shift in a caller's own memory.
#pragma once

#include <cstring>

#include "oriel/cache/paged.hpp"
#include "oriel/cache/rope.hpp"

namespace oriel::inline v0 {

namespace detail {

/// The rows of tokens [erased.end, tokens) to where those from erased.begin on lie, each key turned
/// to its new position where `by` says so. k(token), v(token) are views of one token.
template <class Arch, class K, class V>
void move_rows(index tokens, range erased, K&& k, V&& v, rope const* by, float* angles) noexcept {
  index const n = erased.size();
  if (by != nullptr) by->template angles<Arch>(-n, angles);
  for (index t = erased.end; t < tokens; ++t) {
    tensor_view<float> const from_k = k(t), to_k = k(t - n), from_v = v(t), to_v = v(t - n);
    for (index head = 0; head < to_k.heads; ++head) {
      float* const key = to_k.row(0, head);
      if (n > 0) {
        std::memmove(key, from_k.row(0, head), static_cast<std::size_t>(to_k.dim) * sizeof(float));
        std::memmove(to_v.row(0, head), from_v.row(0, head),
                     static_cast<std::size_t>(to_v.dim) * sizeof(float));
      }
      if (by != nullptr) by->template turn<Arch>(angles, key);
    }
  }
}

ORIEL_INLINE status check_erased(range erased, index tokens) noexcept {
  if (erased.begin < 0 || erased.begin > erased.end || erased.end > tokens) {
    return {errc::position, "erase_rows: the range must lie within the tokens"};
  }
  return {};
}

/// ok, or why keys of head_dim floats can't be turned in `memory` outside of `k` and `v`.
template <class K>
ORIEL_INLINE status check_turn_beside(rope const* by, workspace memory, K const& meets,
                                      index head_dim) noexcept {
  if (by == nullptr) return {};
  if (status s = check_turn(*by, head_dim, memory); !s.ok()) return s;
  if (meets(v0::footprint(memory.bytes))) {
    return {errc::alias, "workspace must not overlap k or v"};
  }
  return {};
}

}  // namespace detail

/// Takes the tokens of `erased` out of a caller's keys and values (context shift): those behind
/// move down by erased.size(), and with a rope each key that moves is turned to its new position.
/// What is held afterwards is the first k.tokens - erased.size() tokens.
///
///   k : [tokens, kv_heads, head_dim], v : [tokens, kv_heads, v_dim]   written in place
///   by      null where keys have no rotary positions
///   memory  erase_bytes(head_dim) bytes, aligned; nothing without a rope
///
/// Requires   views as `contiguous` does, whose rows stay clear of one another (errc::alias), a
///            range of tokens (errc::position), and of rope and memory what check says
///            (errc::shape, errc::workspace, errc::memory, errc::alignment, errc::alias).
/// Cost       every row behind the range read and written once.
template <class Arch = default_arch>
status erase_rows(tensor_view<float> k, tensor_view<float> v, range erased,
                  rope const* by = nullptr, workspace memory = {}) noexcept {
  if (status s = check_rows(k, v); !s.ok()) return s;
  if (status s = detail::check_erased(erased, k.tokens); !s.ok()) return s;
  if (!rows_are_disjoint(k) || !rows_are_disjoint(v) || overlaps(k, v)) {
    return {errc::alias, "k and v: rows must not overlap one another"};
  }
  auto const meets = [&](address_range scratch) {
    return footprint(k).meets(scratch) || footprint(v).meets(scratch);
  };
  if (status s = detail::check_turn_beside(by, memory, meets, k.dim); !s.ok()) return s;
  carver carve(memory.bytes.data());
  float* const angles = by != nullptr ? carve.take<float>(k.dim) : nullptr;
  detail::move_rows<Arch>(
      k.tokens, erased,
      [&](index t) {
        return k.slice({t, t + 1});
      },
      [&](index t) {
        return v.slice({t, t + 1});
      },
      by, angles);
  return {};
}

/// The same for a sequence in pages, which must be its own from erased.begin on: a page that
/// another sequence shares, or that stands in the table twice, would change there too.
///
/// Requires   what paged{pool, table, tokens} does, and as above.
template <class Arch = default_arch>
status erase_rows(page_pool const& pool, integers table, index tokens, range erased,
                  rope const* by = nullptr, workspace memory = {}) noexcept {
  if (status s = paged(pool, table, tokens).check(); !s.ok()) return s;
  if (status s = detail::check_erased(erased, tokens); !s.ok()) return s;
  if (!rows_are_disjoint(pool.k) || !rows_are_disjoint(pool.v)) {
    return {errc::alias, "k and v: rows must not overlap one another"};
  }
  index const size = pool.page_size();
  auto const meets = [&](address_range scratch) {
    for (index i = 0; i * size < tokens; ++i) {
      if (footprint(pool.k_page(table[i])).meets(scratch)) return true;
      if (footprint(pool.v_page(table[i])).meets(scratch)) return true;
    }
    return false;
  };
  if (status s = detail::check_turn_beside(by, memory, meets, pool.k.dim); !s.ok()) return s;
  carver carve(memory.bytes.data());
  float* const angles = by != nullptr ? carve.take<float>(pool.k.dim) : nullptr;
  auto const row = [&](index t) { return range{t % size, t % size + 1}; };
  detail::move_rows<Arch>(
      tokens, erased, [&](index t) { return pool.k_page(table[t / size]).slice(row(t)); },
      [&](index t) { return pool.v_page(table[t / size]).slice(row(t)); }, by, angles);
  return {};
}

}  // namespace oriel::inline v0
