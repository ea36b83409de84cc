// SPDX-License-Identifier: BSL-1.0
// Masks as a user of the library would write them.
#pragma once

#include "oriel/mask/mask.hpp"

/// Query q sees the keys of q's own parity up to q: no intervals, so no row().
struct same_parity {
  bool visible(oriel::index q, oriel::index k) const noexcept { return k <= q && (q - k) % 2 == 0; }
  oriel::coverage cover(oriel::range q, oriel::range k) const noexcept {
    return k.begin >= q.end ? oriel::coverage::none : oriel::coverage::some;
  }
  oriel::key_ranges reach(oriel::range q) const noexcept {
    return oriel::range{oriel::everywhere.begin, q.end};
  }
};

/// The first `sinks` positions and the `recent` latest ones: two intervals a row, which may touch.
struct sinks_and_recent {
  oriel::index sinks;
  oriel::index recent;

  bool visible(oriel::index q, oriel::index k) const noexcept {
    return k <= q && ((0 <= k && k < sinks) || q - k < recent);
  }
  oriel::coverage cover(oriel::range q, oriel::range k) const noexcept {
    return k.begin >= q.end ? oriel::coverage::none : oriel::coverage::some;
  }
  oriel::key_ranges reach(oriel::range q) const noexcept {
    oriel::key_ranges seen;
    add(seen, q.begin, q.end);
    return seen;
  }
  oriel::row_ranges row(oriel::index q) const noexcept {
    oriel::row_ranges seen;
    add(seen, q, q + 1);
    return seen;
  }

 private:
  void add(auto& seen, oriel::index oldest, oriel::index end) const noexcept {
    oriel::index const back = oriel::min_of(recent, oldest - oriel::everywhere.begin) - 1;
    oriel::range const late{oldest - back, end};
    oriel::range const early{0, oriel::min_of(sinks, end)};
    if (late.begin <= early.begin) {
      seen.add({late.begin, oriel::max_of(late.end, early.end)});
    } else {
      seen.add({early.begin, oriel::min_of(early.end, late.begin)});
      seen.add(late);
    }
  }
};

/// Two fixed intervals for every query.
struct two_spans {
  oriel::range a;
  oriel::range b;

  bool visible(oriel::index, oriel::index k) const noexcept {
    return a.contains(k) || b.contains(k);
  }
  oriel::coverage cover(oriel::range, oriel::range) const noexcept { return oriel::coverage::some; }
  oriel::key_ranges reach(oriel::range) const noexcept {
    oriel::key_ranges seen;
    seen.add(a), seen.add(b);
    return seen;
  }
  oriel::row_ranges row(oriel::index) const noexcept {
    oriel::row_ranges seen;
    seen.add(a), seen.add(b);
    return seen;
  }
};
