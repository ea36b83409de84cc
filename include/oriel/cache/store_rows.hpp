// SPDX-License-Identifier: BSL-1.0
// Fresh rows into a caller's own memory, as it stores them.
#pragma once

#include <cstring>

#include "oriel/cache/paged.hpp"

namespace oriel::inline v0 {

namespace detail {

/// Writes the row (token, head) of `from`, floats or what reads as floats, as row (at, head) of
/// `to`.
ORIEL_INLINE void store_row(storage_view const& to, index at, stored_view const& from, index token,
                            index head) noexcept {
  float wide[max_coded_dim];
  float const* const row = from.floats(token, head, wide);
  std::byte* const bytes = to.bytes().row(at, head);
  if (!to.reader) {
    std::memcpy(bytes, row, static_cast<std::size_t>(to.row_bytes));
  } else {
    to.reader.functions->encode(to.reader.context, row, to.dim, head, bytes);
  }
}

ORIEL_INLINE status check_stored(index at, index tokens, index room) noexcept {
  if (at < 0 || at > room || tokens > room - at) {
    return {errc::position, "store_rows: tokens from `at` on must lie within those there are"};
  }
  return {};
}

inline constexpr status stored_over_read{errc::alias,
                                         "store_rows: rows must not lie where they are stored"};

}  // namespace detail

/// Writes fresh keys and values as the tokens from `at` on of a caller's, as those are stored: what
/// `contiguous`, or an engine's own kernels, read there afterwards.
///
///   to_k, to_v : [tokens, kv_heads, head_dim or v_dim]   of floats, bf16 or f16, or a codec's rows
///                                                        (coded_view of std::byte)
///   k, v       : [n, kv_heads, head_dim or v_dim]        of any of those
///
/// Requires   views as `contiguous` does, of floats or a codec (errc::shape), whose rows stay clear
///            of one another (errc::alias), fresh rows of those heads and dims (errc::heads,
///            errc::shape), outside (errc::alias), at + n <= tokens (errc::position). On error
///            nothing has been written.
/// Cost       n * kv_heads rows encoded, for the instruction set for which the views were made.
ORIEL_INLINE status store_rows(storage_view const& to_k, storage_view const& to_v, index at,
                               stored_view const& k, stored_view const& v) noexcept {
  if (status s = check_rows(to_k, to_v); !s.ok()) return s;
  if (status s = check_rows_of({to_k.heads, to_k.dim, to_v.dim}, k, v); !s.ok()) return s;
  if (status s = detail::check_stored(at, k.tokens, to_k.tokens); !s.ok()) return s;
  if (status s = check_written(to_k, to_v); !s.ok()) return s;
  range const tokens{at, at + k.tokens};
  for (address_range const& written :
       {footprint(to_k.slice(tokens)), footprint(to_v.slice(tokens))}) {
    if (written.meets(footprint(k)) || written.meets(footprint(v))) {
      return detail::stored_over_read;
    }
  }
  for (index t = 0; t < k.tokens; ++t) {
    for (index head = 0; head < k.heads; ++head) {
      detail::store_row(to_k, at + t, k, t, head);
      detail::store_row(to_v, at + t, v, t, head);
    }
  }
  return {};
}

/// The same into a sequence's pages, which must be its own from token `at` on: another sequence
/// that shares one would see the rows too.
///
///   table   [>= ceil((at + n) / page_size)] page numbers
///
/// Requires   what paged{pool, table, at + n} does of the pages from `at` on, and as above within
///            a page. Pages that share bytes are errc::alias; that no page's keys
///            lie where another's values do is the caller's to see to.
/// Cost       besides, the table walked over once.
ORIEL_INLINE status store_rows(page_pool const& pool, integers table, index at,
                               stored_view const& k, stored_view const& v) noexcept {
  if (status s = pool.check(); !s.ok()) return s;
  if (status s = check_rows_of({pool.k.heads, pool.k.dim, pool.v.dim}, k, v); !s.ok()) return s;
  if (status s = detail::check_stored(at, k.tokens, max_position - 1); !s.ok()) return s;
  if (status s = paged(pool, table, at + k.tokens, 0, {0, at}).check(); !s.ok()) return s;
  if (status s = check_written(pool.k, pool.v); !s.ok()) return s;
  index const size = pool.page_size();
  for (index t = 0; t < k.tokens; t += size - (at + t) % size) {
    index const page = table[(at + t) / size];
    for (address_range const& written :
         {footprint(pool.k_page(page)), footprint(pool.v_page(page))}) {
      if (written.meets(footprint(k)) || written.meets(footprint(v))) {
        return detail::stored_over_read;
      }
    }
  }
  for (index t = 0; t < k.tokens; ++t) {
    index const page = table[(at + t) / size];
    storage_view const to_k = pool.k_page(page), to_v = pool.v_page(page);
    for (index head = 0; head < k.heads; ++head) {
      detail::store_row(to_k, (at + t) % size, k, t, head);
      detail::store_row(to_v, (at + t) % size, v, t, head);
    }
  }
  return {};
}

}  // namespace oriel::inline v0
