// SPDX-License-Identifier: BSL-1.0
// Keys and values in an engine's pages, through its block table.
#pragma once

#include "oriel/cache/contiguous.hpp"
#include "oriel/view/integers.hpp"

namespace oriel::inline v0 {

/// An engine's memory for pages of keys and values; the allocator is the engine's. Page b begins
/// b * k_page_stride after k.data, and b * v_page_stride after v.data.
///
///   k : page 0, [page_size, kv_heads, head_dim]   any token and head strides; last axis contiguous
///   v : page 0, [page_size, kv_heads, v_dim]      likewise
///
/// of floats, bf16 or f16 (tensor_view), or rows of a codec (coded_view of std::byte); k and v may
/// differ. A page stride of either sign counts what those of its view do: elements, or bytes of a
/// codec's rows.
///
/// Strides tell the layouts: [pages, page_size, heads, dim], [pages, heads, page_size, dim], keys
/// and values of a page side by side ([pages, 2, ...]) or in tensors of their own.
struct page_pool {
  storage_view k;
  storage_view v;
  index pages = 0;
  index k_page_stride = 0;
  index v_page_stride = 0;

  ORIEL_INLINE constexpr index page_size() const noexcept { return k.tokens; }

  /// ok, or what is wrong with the pages: a rule of `contiguous`, errc::shape, or errc::alias where
  /// rows of different pages share a byte.
  ORIEL_INLINE status check() const noexcept {
    if (status s = check_rows(k, v); !s.ok()) return s;
    if (k.tokens < 1) return {errc::shape, "pages: a page must hold at least 1 token"};
    if (pages < 0) return {errc::shape, "pages: their number must not be negative"};
    if (status s = check_series(k, pages, k_page_stride, k_rules); !s.ok()) return s;
    if (status s = check_series(v, pages, v_page_stride, v_rules); !s.ok()) return s;
    // Rows within a page may share bytes where nobody writes (a head stride of 0).
    auto const pages_meet = [&](storage_view const& page, index stride) ORIEL_INLINE_LAMBDA {
      return pages > 1 && rows_are_disjoint(page.bytes()) &&
             !rows_are_disjoint(page.bytes(), pages, stride * page.stride_unit);
    };
    if (pages_meet(k, k_page_stride) || pages_meet(v, v_page_stride)) {
      return {errc::alias, "pages: rows must not overlap those of other pages: see page strides"};
    }
    return {};
  }
  /// A page, 0 <= page < pages.
  ORIEL_INLINE storage_view k_page(index page) const noexcept {
    return further(k, page * k_page_stride);
  }
  ORIEL_INLINE storage_view v_page(index page) const noexcept {
    return further(v, page * v_page_stride);
  }
  /// Smallest address range around all of them.
  ORIEL_INLINE address_range bytes() const noexcept {
    if (pages < 1) return {};
    return hull(hull(footprint(k), footprint(k_page(pages - 1))),
                hull(footprint(v), footprint(v_page(pages - 1))));
  }
  /// Where a page's last row is followed by the first of the next page in memory.
  ORIEL_INLINE constexpr bool pages_go_on() const noexcept {
    auto const go_on = [](storage_view const& page, index stride) ORIEL_INLINE_LAMBDA {
      index bytes = 0;
      return !__builtin_mul_overflow(stride, page.stride_unit, &bytes) &&
             bytes == page.tokens * page.token_stride;
    };
    return go_on(k, k_page_stride) && go_on(v, v_page_stride);
  }
};

/// One sequence in pages: token t lies in row t mod page_size of page table[t / page_size]. Pages
/// may be shared between sequences and stand in any order; where neighbours in the table are
/// neighbours in memory, runs go on across them.
///
///   pool    the pages; referred to
///   table   [>= ceil(tokens / page_size)] page numbers, 32 or 64 bits; referred to
///   tokens  in the sequence; token 0 has position `first`
///   lost    positions whose pages were given back: from the sinks' end to a window's begin, or
///           from `first` on; their numbers in the table are not looked at
///
/// Requires   page numbers in [0, pool.pages) for what is held, a table that is long enough
///            (errc::shape), positions below 2^60 and `lost` within them (errc::position).
/// Cost       check() walks over the table; overlaps() too where `out` lies among the pages.
/// Source     Kwon et al. 2023 (PagedAttention), arXiv:2309.06180.
class paged {
 public:
  ORIEL_INLINE paged(page_pool const& pool, integers table, index tokens, index first = 0,
                     range lost = {}) noexcept
      : pool_(&pool), table_(table), tokens_(tokens), first_(first), lost_(lost) {}
  paged(page_pool const&& pool, integers table, index tokens, index first = 0,
        range lost = {}) = delete;  // `pool` must be an lvalue

  ORIEL_INLINE status check() const noexcept {
    if (status s = pool_->check(); !s.ok()) return s;
    if (tokens_ < 0 || tokens_ >= max_position) {
      return {errc::shape, "paged: tokens must be from 0 and below 2^60"};
    }
    if (first_ <= -max_position || first_ >= max_position - tokens_) {
      return {errc::position, "kv: positions must lie between -2^60 and 2^60"};
    }
    if (!lost_.empty() && (lost_.begin < first_ || lost_.end > first_ + tokens_)) {
      return {errc::position, "paged: lost must lie within the sequence's positions"};
    }
    if (table_.size() < pages()) {
      return {errc::shape, "paged: the table must hold ceil(tokens / page_size) page numbers"};
    }
    for (index i = 0; i < pages(); ++i) {
      if (holds_page(i) && (table_[i] < 0 || table_[i] >= pool_->pages)) {
        return {errc::shape, "paged: a page number in the table is outside of the pool"};
      }
    }
    return {};
  }
  ORIEL_INLINE constexpr kv_shape shape() const noexcept {
    return {pool_->k.heads, pool_->k.dim, pool_->v.dim, pool_->k.reader || pool_->v.reader};
  }
  ORIEL_INLINE constexpr range positions() const noexcept {
    bool const from_first = !lost_.empty() && lost_.begin == first_;
    return {from_first ? lost_.end : first_, first_ + tokens_};
  }
  ORIEL_INLINE constexpr range lost() const noexcept { return lost_; }
  ORIEL_INLINE kv_run run_at(index head, index position) const noexcept {
    index const size = pool_->page_size();
    index const t = position - first_;
    index const page = t / size;
    index const in = t % size;
    bool const before = position < lost_.begin && !lost_.empty();
    index const end = before ? lost_.begin - first_ : tokens_;
    index rows = min_of(size - in, end - t);
    // As far as a tile of keys: the next page where its first row follows this one's last.
    if (pool_->pages_go_on()) {
      for (index next = page + 1; rows < 128 && t + rows < end; ++next) {
        if (table_[next] != table_[next - 1] + 1) break;
        rows = min_of(rows + size, end - t);
      }
    }
    return {pool_->k_page(table_[page]).rows(in, head), pool_->v_page(table_[page]).rows(in, head),
            head, position, rows};
  }
  ORIEL_INLINE constexpr row_readers readers() const noexcept {
    return {pool_->k.reader, pool_->v.reader};
  }
  ORIEL_INLINE bool overlaps(tensor_view<float> const& out) const noexcept {
    if (!footprint(out).meets(pool_->bytes())) return false;
    for (index i = 0; i < pages(); ++i) {
      if (!holds_page(i)) continue;
      if (oriel::overlaps(out, pool_->k_page(table_[i])) ||
          oriel::overlaps(out, pool_->v_page(table_[i]))) {
        return true;
      }
    }
    return false;
  }

 private:
  ORIEL_INLINE constexpr index pages() const noexcept {
    return tokens_ / pool_->page_size() + (tokens_ % pool_->page_size() != 0 ? 1 : 0);
  }
  /// Is any position of entry i of the table not lost?
  ORIEL_INLINE constexpr bool holds_page(index i) const noexcept {
    index const size = pool_->page_size();
    range const in{first_ + i * size, first_ + min_of(tokens_, (i + 1) * size)};
    return intersect(in, lost_).size() < in.size();
  }

  page_pool const* pool_;
  integers table_;
  index tokens_;
  index first_;
  range lost_;
};

}  // namespace oriel::inline v0
