// SPDX-License-Identifier: BSL-1.0
// Context shift in a caller's own memory.
#pragma once

#include <cstring>

#include "oriel/cache/paged.hpp"
#include "oriel/cache/rope.hpp"

namespace oriel::inline v0 {

namespace detail {

/// The rows of tokens [erased.end, tokens) to where those from erased.begin on lie, each key
/// rotated in `memory` to its new position where `by` says so. k(token), v(token) are views of one
/// token.
template <class Arch, class K, class V>
void move_rows(index tokens, range erased, K&& k, V&& v, rope const* by,
               workspace memory) noexcept {
  index const n = erased.size();
  if (n == 0) return;
  rotation_scratch scratch;
  if (by != nullptr) {
    carver carve(memory.bytes.data());
    scratch = rotation_scratch::carve(carve, k(erased.begin).dim);
    by->template cos_sin<Arch>(-n, scratch.cos_sin);
  }
  auto const move = [](storage_view const& from, storage_view const& to, index head) {
    std::memmove(to.bytes().row(0, head), from.bytes().row(0, head),
                 static_cast<std::size_t>(to.row_bytes));
  };
  for (index t = erased.end; t < tokens; ++t) {
    storage_view const from_k = k(t), to_k = k(t - n), from_v = v(t), to_v = v(t - n);
    for (index head = 0; head < to_k.heads; ++head) {
      move(from_k, to_k, head);
      move(from_v, to_v, head);
      if (by == nullptr) continue;
      stored_rows const key = to_k.rows(0, head);
      std::byte* const at = to_k.bytes().row(0, head);
      if (!key.reader) {
        by->template rotate<Arch>(scratch.cos_sin, reinterpret_cast<float*>(at));
      } else {
        key.reader({at, key.stride, head, t - n, 1, to_k.dim}, scratch.row);
        by->template rotate<Arch>(scratch.cos_sin, scratch.row);
        key.reader.functions->encode(key.reader.context, scratch.row, to_k.dim, head, at);
      }
    }
  }
}

ORIEL_INLINE status check_erased(range erased, index tokens) noexcept {
  if (erased.begin < 0 || erased.begin > erased.end || erased.end > tokens) {
    return {errc::position, "erase_rows: the range must lie within the tokens"};
  }
  return {};
}

/// ok, or why keys of head_dim floats can't be rotated in `memory` outside of `k` and `v`.
template <class K>
ORIEL_INLINE status check_rotation_beside(rope const* by, workspace memory, K const& meets,
                                          index head_dim) noexcept {
  if (by == nullptr) return {};
  if (status s = check_rotation(*by, head_dim, memory); !s.ok()) return s;
  if (meets(v0::footprint(memory.bytes))) {
    return {errc::alias, "workspace must not overlap k or v"};
  }
  return {};
}

}  // namespace detail

/// Takes the tokens of `erased` out of a caller's keys and values (context shift): later ones
/// move down by erased.size(), and with a rope each key that moves is rotated to its new position
/// (encoded once more). What is held afterwards is the first k.tokens - erased.size() tokens.
///
///   k : [tokens, kv_heads, head_dim], v : [tokens, kv_heads, v_dim]   written in place; of floats,
///       bf16 or f16, or rows of a codec (coded_view of std::byte)
///   by      null where keys have no rotary positions
///   memory  erase_bytes(head_dim) bytes, aligned; nothing without a rope
///
/// Requires   views as `contiguous` does, of floats or a codec (errc::shape), whose rows stay clear
///            of one another (errc::alias), a range of tokens (errc::position), and of rope and
///            memory what check says (errc::shape, errc::workspace, errc::memory, errc::alignment,
///            errc::alias).
/// Cost       every row after the range read and written once.
template <class Arch = default_arch>
status erase_rows(storage_view const& k, storage_view const& v, range erased,
                  rope const* by = nullptr, workspace memory = {}) noexcept {
  if (status s = check_rows(k, v); !s.ok()) return s;
  if (status s = detail::check_erased(erased, k.tokens); !s.ok()) return s;
  if (status s = check_written(k, v); !s.ok()) return s;
  auto const meets = [&](address_range scratch) {
    return footprint(k).meets(scratch) || footprint(v).meets(scratch);
  };
  if (status s = detail::check_rotation_beside(by, memory, meets, k.dim); !s.ok()) return s;
  detail::move_rows<Arch>(
      k.tokens, erased,
      [&](index t) {
        return k.slice({t, t + 1});
      },
      [&](index t) {
        return v.slice({t, t + 1});
      },
      by, memory);
  return {};
}

/// The same for a sequence in pages, which must be its own from erased.begin on: a page that
/// another sequence shares, or that stands in the table twice, would change there too.
///
/// Requires   what paged{pool, table, tokens} does, of pages from erased.begin on, and as above
///            within a page. Pages that share bytes are errc::alias; that no page's keys
///            lie where another's values do is the caller's to see to.
template <class Arch = default_arch>
status erase_rows(page_pool const& pool, integers table, index tokens, range erased,
                  rope const* by = nullptr, workspace memory = {}) noexcept {
  if (status s = detail::check_erased(erased, tokens); !s.ok()) return s;
  if (status s = paged(pool, table, tokens, 0, {0, erased.begin}).check(); !s.ok()) return s;
  if (status s = check_written(pool.k, pool.v); !s.ok()) return s;
  index const size = pool.page_size();
  auto const meets = [&](address_range scratch) {
    for (index i = erased.begin / size; i * size < tokens; ++i) {
      if (footprint(pool.k_page(table[i])).meets(scratch)) return true;
      if (footprint(pool.v_page(table[i])).meets(scratch)) return true;
    }
    return false;
  };
  if (status s = detail::check_rotation_beside(by, memory, meets, pool.k.dim); !s.ok()) return s;
  auto const row = [&](index t) { return range{t % size, t % size + 1}; };
  detail::move_rows<Arch>(
      tokens, erased, [&](index t) { return pool.k_page(table[t / size]).slice(row(t)); },
      [&](index t) { return pool.v_page(table[t / size]).slice(row(t)); }, by, memory);
  return {};
}

}  // namespace oriel::inline v0
