// SPDX-License-Identifier: BSL-1.0
#include "oriel/cache/row_ring.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <string_view>
#include <vector>

#include "dice.hpp"

namespace oriel {
namespace {

static_assert(row_ring{.rows = 4, .pinned = 2}.begin == 2);
static_assert(row_ring{.rows = 4, .pinned = 2}.slots() == 6);
static_assert(row_ring{.rows = 1}.slot(max_position - 1) == 0, "a window of 1");

constexpr char const* not_had = "truncate: position must be one the cache has held, or its end";
constexpr char const* overwritten =
    "truncate: rows of the window before position are overwritten; a larger cache_shape.margin "
    "keeps them";
constexpr char const* not_within = "erase: the range must lie within what the cache has held";
constexpr char const* no_sinks = "erase: rows that would become sinks are overwritten";

bool says(status const& s, errc code, char const* what) {
  return s.code == code && std::string_view(s.what) == what;
}

/// A ring beside a list of slots, into which numbered rows are written and copied as a cache does
/// it, and a list of the sequence's rows, of which each knows whether it has been overwritten.
class numbered_rows {
 public:
  numbered_rows(index window, index margin, index sinks)
      : window_(window),
        ring_{.rows = window - 1 + margin, .pinned = sinks},
        slots_(static_cast<std::size_t>(ring_.slots()), -1) {}

  row_ring const& ring() const { return ring_; }
  range had() const { return {origin_, origin_ + std::ssize(rows_)}; }

  void begin_at(index first) {
    rows_.clear();
    origin_ = first;
    ring_.begin_at(first);
  }
  void append(index n) {
    index const at = had().end;
    for (index p = at; p < at + n; ++p) {
      rows_.push_back({next_++, true});
      index const over = p - ring_.rows;
      if (over >= origin_ && over >= ring_.pinned) row(over).held = false;
    }
    ring_.make_room(had().end);
    for (range const part : ring_.held({at, had().end})) {
      for (index p = part.begin; p < part.end; ++p) in_slot(ring_.slot(p)) = row(p).number;
    }
  }
  void truncate(index position) {
    ring_.truncate(origin_, position);
    rows_.resize(static_cast<std::size_t>(position - origin_));
  }
  void erase(range erased) {
    row_ring const old = ring_;
    ring_.erase(origin_, erased);
    for (range const part : old.held({erased.end, had().end})) {
      for (index p = part.begin; p < part.end; ++p) {
        index const from = old.slot(p), to = ring_.slot(p - erased.size());
        bool const any_before = old.held({origin_, erased.begin}).of[1].size() > 0;
        EXPECT_TRUE(any_before || to < ring_.pinned || to == from) << p << " is copied";
        in_slot(to) = in_slot(from);
      }
    }
    rows_.erase(rows_.begin() + (erased.begin - origin_), rows_.begin() + (erased.end - origin_));
  }

  /// What the lists say that truncate and erase must answer.
  errc truncated(index position) const {
    if (position < had().begin || position > had().end) return errc::position;
    for (index p = max_of(origin_, position - window_ + 1); p < position; ++p) {
      if (!row(p).held) return errc::evicted;
    }
    return errc::ok;
  }
  errc erased(range of) const {
    if (of.begin > of.end || of.begin < had().begin || of.end > had().end) return errc::position;
    for (index p = of.end; p < had().end; ++p) {
      if (!row(p).held && p - of.size() < ring_.pinned) return errc::evicted;
    }
    return errc::ok;
  }

  void expect_equal() const {
    index const end = had().end;
    std::vector<bool> held(rows_.size());
    for (range const part : ring_.held(had())) {
      for (index p = part.begin; p < part.end; ++p) {
        ASSERT_TRUE(had().contains(p));
        held[static_cast<std::size_t>(p - origin_)] = true;
      }
    }
    range lost{end, end}, around{end, end};
    for (index p = end - 1; p >= origin_; --p) {
      ASSERT_EQ(held[static_cast<std::size_t>(p - origin_)], row(p).held) << p;
      if (row(p).held) {
        around.begin = p;
        ASSERT_EQ(in_slot(ring_.slot(p)), row(p).number) << p;
        expect_run(p);
      } else {
        lost = {p, lost.empty() ? p + 1 : lost.end};
      }
    }
    ASSERT_EQ(ring_.held(had()).size(), std::count(held.begin(), held.end(), true));
    ASSERT_EQ(ring_.positions(had()), around);
    ASSERT_EQ(ring_.lost(origin_).size(), lost.size());
    if (!lost.empty()) {
      ASSERT_EQ(ring_.lost(origin_), lost);
    }
    ASSERT_TRUE(ring_.makes_sense(had()));
    ASSERT_TRUE(0 <= ring_.shift && ring_.shift < ring_.rows);
  }
  void expect_answers() const {
    range const tried{had().begin - 2, had().end + 2};
    for (index p = tried.begin; p < tried.end; ++p) {
      errc const code = truncated(p);
      ASSERT_TRUE(says(ring_.check_truncate(had(), p, window_), code,
                       code == errc::ok         ? "ok"
                       : code == errc::position ? not_had
                                                : overwritten))
          << p;
      for (index q = tried.begin; q < tried.end; ++q) {
        errc const of = erased({p, q});
        ASSERT_TRUE(says(ring_.check_erase(had(), {p, q}), of,
                         of == errc::ok         ? "ok"
                         : of == errc::position ? not_within
                                                : no_sinks))
            << p << " .. " << q;
      }
    }
  }

 private:
  struct numbered {
    index number;
    bool held;
  };
  /// Rows that follow lie in slots that follow, up to the end of the pinned ones or of the ring.
  void expect_run(index p) const {
    index const at = ring_.slot(p);
    index const n = ring_.slots_from(at);
    ASSERT_EQ(at + n, p < ring_.pinned ? ring_.pinned : ring_.slots());
    for (index i = 1; i < n; ++i) ASSERT_EQ(ring_.slot(p + i), at + i);
    if (p >= ring_.pinned) {
      ASSERT_EQ(ring_.slot(p + n), ring_.pinned) << "it wraps";
    }
  }
  numbered& row(index p) { return rows_[static_cast<std::size_t>(p - origin_)]; }
  numbered const& row(index p) const { return rows_[static_cast<std::size_t>(p - origin_)]; }
  index& in_slot(index slot) { return slots_.at(static_cast<std::size_t>(slot)); }
  index in_slot(index slot) const { return slots_.at(static_cast<std::size_t>(slot)); }

  index window_;
  row_ring ring_;
  std::vector<index> slots_;  // numbers of rows
  index origin_ = 0;
  std::vector<numbered> rows_;
  index next_ = 0;
};

struct sizes {
  index window, margin, sinks, first;
};
std::vector<sizes> const all_sizes = [] {
  std::vector<sizes> all;
  for (index const window : {1, 2, 5}) {
    for (index const margin : {1, 3}) {
      for (index const sinks : {0, 1, 4}) {
        for (index const first : {index{0}, index{1}, index{3}, index{9}, (index{1} << 31) - 4,
                                  (index{1} << 40) + 1, max_position - 100}) {
          all.push_back({window, margin, sinks, first});
        }
      }
    }
  }
  return all;
}();

TEST(RowRing, ARowOverwritesThatOfRowsBeforeAndNoOther) {
  for (auto const& [window, margin, sinks, first] : all_sizes) {
    for (index piece = 1; piece <= 2 * (window - 1 + margin) + sinks; ++piece) {
      numbered_rows all(window, margin, sinks);
      all.begin_at(first);
      all.expect_equal();
      for (index i = 0; i < 20 && !HasFailure(); i += piece) {
        all.append(piece);
        all.expect_equal();
      }
      ASSERT_FALSE(HasFailure()) << window << margin << sinks << ' ' << first;
    }
  }
}

TEST(RowRing, GivesRowsThatFollowSlotsThatFollow) {
  row_ring const ring{.rows = 48, .pinned = 16};
  for (index const at : {index{16}, index{1} << 31, index{1} << 40, max_position - 100}) {
    std::vector<index> slots;
    for (index p = at; p < at + 48; ++p) slots.push_back(ring.slot(p));
    std::sort(slots.begin(), slots.end());
    for (index i = 0; i < 48; ++i) EXPECT_EQ(slots[static_cast<std::size_t>(i)], 16 + i);
    EXPECT_EQ(ring.slot(at + 48), ring.slot(at));
    EXPECT_EQ(ring.slot(at), 16 + (at - 16) % 48);
  }
  EXPECT_EQ(ring.slot(15), 15) << "pinned";
}

TEST(RowRing, OfNoRowsHoldsNothing) {
  row_ring const none;
  EXPECT_EQ(none.slot(max_position - 100), 0);
  EXPECT_EQ(none.slots(), 0);
  EXPECT_EQ(none.held({0, 0}).size(), 0);
  EXPECT_TRUE(none.positions({0, 0}).empty());
  EXPECT_TRUE(none.lost(0).empty());
}

TEST(RowRing, EveryTruncateAndEraseAtEveryPhaseAndWhatFollows) {
  for (auto const& [window, margin, sinks, first] : all_sizes) {
    index const rows = window - 1 + margin;
    for (index n = 0; n <= sinks + 2 * rows + 1; ++n) {
      numbered_rows all(window, margin, sinks);
      all.begin_at(first);
      all.append(n);
      all.expect_answers();
      ASSERT_FALSE(HasFailure()) << window << margin << sinks << ' ' << first << ' ' << n;
      auto const follows = [&](numbered_rows next) {
        for (index i = 0; i < rows + 2 && !HasFailure(); ++i) {
          next.expect_equal();
          next.append(1);
        }
      };
      for (index p = first; p <= first + n; ++p) {
        if (all.truncated(p) == errc::ok) {
          numbered_rows next = all;
          next.truncate(p);
          next.expect_answers();
          follows(next);
          ASSERT_FALSE(HasFailure()) << "truncate to " << p << " of " << first << " + " << n;
        }
        for (index q = p; q <= first + n; ++q) {
          if (all.erased({p, q}) != errc::ok) continue;
          numbered_rows next = all;
          next.erase({p, q});
          next.expect_answers();
          follows(next);
          ASSERT_FALSE(HasFailure()) << "erase " << p << " .. " << q << " of " << first << " + "
                                     << n << ", sizes " << window << margin << sinks;
        }
      }
    }
  }
}

TEST(RowRing, EqualsAListOfSlots) {
  dice d(1);
  for (int round = 0; round < 300; ++round) {
    numbered_rows all(d.between(index{1}, index{9}), d.between(index{1}, index{5}),
                      d.pick(std::vector<index>{0, 0, 1, 3, 6}));
    index const rows = all.ring().rows;
    for (int step = 0; step < 40; ++step) {
      range const had = all.had();
      if (had.empty() || had.size() > 60) {
        all.begin_at(d.pick(std::vector<index>{0, 1, 5, (index{1} << 31) - 7, index{1} << 40}));
      }
      all.append(d.pick(std::vector<index>{0, 1, 1, 2, d.between(index{0}, 2 * rows)}));
      index const from = d.between(all.had().begin, all.had().end);
      index const to = d.between(from, all.had().end);
      switch (d.between(0, 3)) {
        case 0:
          if (all.truncated(to) == errc::ok) all.truncate(to);
          break;
        case 1:
          if (all.erased({from, to}) == errc::ok) all.erase({from, to});
      }
      all.expect_equal();
      all.expect_answers();
      ASSERT_FALSE(HasFailure()) << round << ", " << step;
    }
  }
}

TEST(RowRing, AnEraseOfAllThatIsBeforeShiftsIt) {
  row_ring ring{.rows = 48, .begin = 32};
  row_ring const old = ring;
  ring.erase(0, {16, 48});
  EXPECT_EQ(ring.begin, 16);
  for (index p = 48; p < 80; ++p) EXPECT_EQ(ring.slot(p - 32), old.slot(p)) << "it stays there";
  row_ring behind = old;
  behind.erase(0, {48, 64});
  EXPECT_EQ(behind.begin, 32);
  EXPECT_EQ(behind.shift, 0) << "rows before it stay, those behind are to be moved";
  row_ring sinks{.rows = 48, .pinned = 16, .begin = 32};
  sinks.erase(0, {0, 32});
  EXPECT_EQ(sinks.begin, 16) << "the ring never begins before the pinned positions' end";
  ring.begin_at(0);
  EXPECT_EQ(ring.shift, 0) << "position i lies in slot i again";
}

TEST(RowRing, TruncatesToAnEvictedPositionWhereNoKeyBeforeItIsSeen) {
  row_ring ring{.rows = 3, .pinned = 2};  // 2^40 + 10 rows of a window of 1, margin 3
  range const had{0, (index{1} << 40) + 10};
  ring.make_room(had.end);
  EXPECT_EQ(ring.lost(0), (range{2, had.end - 3}));
  index const evicted = index{1} << 40;
  EXPECT_TRUE(says(ring.check_truncate(had, evicted, 2), errc::evicted, overwritten));
  ASSERT_TRUE(ring.check_truncate(had, evicted, 1).ok());
  ring.truncate(0, evicted);
  EXPECT_EQ(ring.lost(0), (range{2, evicted}));
  EXPECT_EQ(ring.positions({0, evicted}), (range{0, evicted}));
  EXPECT_EQ(ring.held({0, evicted}).size(), 2) << "the sinks";
  ring.truncate(0, 1);
  EXPECT_TRUE(ring.lost(0).empty());
  EXPECT_EQ(ring.held({0, 1}).size(), 1);
}

TEST(RowRing, RefusesWhatNoSequenceHas) {
  row_ring const ring{.rows = 4};
  for (index const p : {INT64_MIN, index{-1}, index{4}, index{11}, INT64_MAX}) {
    EXPECT_TRUE(says(ring.check_truncate({5, 10}, p, INT64_MAX), errc::position, not_had)) << p;
    EXPECT_TRUE(says(ring.check_erase({5, 10}, {p, 10}), errc::position, not_within)) << p;
    EXPECT_TRUE(says(ring.check_erase({5, 10}, {10, p}), errc::position, not_within)) << p;
  }
  struct test_case {
    index origin, begin, end;
    bool ok;
  };
  constexpr index most = INT64_MAX, least = INT64_MIN;
  for (auto const& [origin, begin, end, ok] : {
           test_case{0, 3, 0, true},
           {0, 3, 2, true},
           {0, 3, 9, true},
           {0, 9, 9, true},
           {5, 5, 9, true},
           {0, max_position - 1, max_position - 1, true},
           {0, 2, 9, false},
           {5, 4, 9, false},
           {0, 10, 9, false},
           {0, 4, 2, false},
           {5, 5, 4, false},
           {-1, 3, 9, false},
           {0, 3, max_position, false},
           {0, 3, most, false},
           {least, 3, most, false},
           {least, least, least, false},
           {most, most, most, false},
           {0, least, 9, false},
           {0, most, 9, false},
       }) {
    EXPECT_EQ((row_ring{.rows = 4, .pinned = 3, .begin = begin}.makes_sense({origin, end})), ok)
        << origin << ' ' << begin << ' ' << end;
  }
}

}  // namespace
}  // namespace oriel
