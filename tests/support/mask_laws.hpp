// SPDX-License-Identifier: BSL-1.0
// What every mask must keep. A test of a mask M specialises mask_examples<M> and instantiates
// MaskLaws with it:
//
//   template <> struct mask_examples<M> {
//     static constexpr bool exact_cover = true;  // `some` is only said where it is true
//     static std::vector<mask_example<M>> all();
//   };
//   INSTANTIATE_TYPED_TEST_SUITE_P(Name, MaskLaws, M);
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

#include "dice.hpp"
#include "oriel/mask/any_mask.hpp"

template <class M>
struct mask_example {
  M mask;
  oriel::index edge = 0;  ///< rectangles are also laid around the keys q - edge
};

template <class M>
struct mask_examples;

namespace mask_laws {

using oriel::coverage;
using oriel::index;
using oriel::max_position;
using oriel::range;
using oriel::row_tile;

struct rectangle {
  range q, k;
};

inline std::ostream& operator<<(std::ostream& to, rectangle const& r) {
  return to << "queries [" << r.q.begin << ", " << r.q.end << ") keys [" << r.k.begin << ", "
            << r.k.end << ")";
}

inline range inside(index begin, index size) {
  begin = std::clamp(begin, 1 - max_position, max_position - size);
  return {begin, begin + size};
}

inline index random_base(dice& d) {
  return d.pick(std::vector<index>{0, 0, 30, index{1} << 24, index{1} << 31, (index{1} << 53) - 1,
                                   max_position - 12, 12 - max_position,
                                   d.between(1 - max_position, max_position - 1)});
}

/// Of at most side x side, anywhere, most of them across an edge of the mask.
inline rectangle random_rectangle(dice& d, index edge, index side = 24) {
  index const q = random_base(d) + d.between(-side, side);
  index const near = d.coin() ? edge : 0;
  index const back = std::min(near, q + max_position);  // q - near stays a position
  index const k = d.between(0, 9) == 0 ? random_base(d) : q - back + d.between(-side, side);
  return {inside(q, d.between(index{1}, side)), inside(k, d.between(index{1}, side))};
}

template <class M>
index count_visible(M const& m, rectangle const& r) {
  index count = 0;
  for (index q = r.q.begin; q < r.q.end; ++q) {
    for (index k = r.k.begin; k < r.k.end; ++k) count += m.visible(q, k);
  }
  return count;
}

template <class Set>
bool holds(Set const& set, index k) {
  return std::any_of(set.begin(), set.end(), [&](range r) { return r.contains(k); });
}

template <class Set>
bool ascending(Set const& set) {
  for (range const* r = set.begin(); r != set.end(); ++r) {
    if (r->empty() || (r != set.begin() && r->begin < r[-1].end)) return false;
  }
  return true;
}

inline row_tile random_tile(dice& d) {
  index const group = d.pick(std::vector<index>{1, 1, 2, 3, 5, 64, 70});
  int const count = d.pick(std::vector<int>{1, 2, 7, 16, 63, 64, d.between(1, 64)});
  index const first = d.between(index{0}, index{200});  // mid-token where group > 1
  index const tokens = (first + count) / group + 1;
  index const base = std::min(random_base(d), max_position - 1 - tokens);
  return {first, count, group, base};
}

/// `count` rows out of many, ascending.
inline std::vector<std::int32_t> random_list(dice& d, int count) {
  std::vector<std::int32_t> list;
  std::int32_t row = 0;
  for (int i = 0; i < count; ++i) list.push_back(row += d.between(i == 0 ? 0 : 1, 9));
  return list;
}

/// word[i] by the definition.
template <class M>
std::vector<std::uint64_t> words_by_hand(M const& m, row_tile const& rows, range keys) {
  std::vector<std::uint64_t> word(static_cast<std::size_t>(keys.size()));
  for (int r = 0; r < rows.count; ++r) {
    index const row = rows.first + (rows.list == nullptr ? r : rows.list[r]);
    index const q = rows.first_query + row / rows.group;
    for (index i = 0; i < keys.size(); ++i) {
      if (m.visible(q, keys.begin + i)) word[static_cast<std::size_t>(i)] |= std::uint64_t{1} << r;
    }
  }
  return word;
}

}  // namespace mask_laws

template <class M>
class MaskLaws : public testing::Test {
 protected:
  /// Calls f(mask, rectangle) for random rectangles of every example.
  template <class F>
  static void for_each_rectangle(int count, F&& f) {
    dice d(7);
    for (auto const& [mask, edge] : mask_examples<M>::all()) {
      for (int i = 0; i < count && !testing::Test::HasFailure(); ++i) {
        f(mask, mask_laws::random_rectangle(d, edge));
      }
    }
  }
};
TYPED_TEST_SUITE_P(MaskLaws);

TYPED_TEST_P(MaskLaws, CoverNeverContradictsVisible) {
  using oriel::coverage;
  int met[3] = {};
  this->for_each_rectangle(1000, [&](auto const& m, mask_laws::rectangle const& r) {
    oriel::index const seen = mask_laws::count_visible(m, r);
    coverage const truth = seen == 0                         ? coverage::none
                           : seen == r.q.size() * r.k.size() ? coverage::all
                                                             : coverage::some;
    coverage const answer = m.cover(r.q, r.k);
    ++met[static_cast<int>(truth)];
    bool const may_be_pessimistic =
        !mask_examples<TypeParam>::exact_cover && answer == coverage::some;
    EXPECT_TRUE(answer == truth || may_be_pessimistic)
        << r << " shows " << seen << " pairs, cover says " << static_cast<int>(answer);
  });
  EXPECT_GT(met[0] + met[2], 0) << "the rectangles are too easy";
}

TYPED_TEST_P(MaskLaws, ReachHoldsEveryVisibleKey) {
  this->for_each_rectangle(500, [&](auto const& m, mask_laws::rectangle const& r) {
    oriel::key_ranges const reach = m.reach(r.q);
    EXPECT_TRUE(mask_laws::ascending(reach)) << r;
    for (oriel::index q = r.q.begin; q < r.q.end; ++q) {
      for (oriel::index k = r.k.begin; k < r.k.end; ++k) {
        EXPECT_TRUE(!m.visible(q, k) || mask_laws::holds(reach, k)) << q << " sees " << k;
      }
    }
  });
}

TYPED_TEST_P(MaskLaws, RowIsTheSetOfVisibleKeys) {
  if constexpr (oriel::interval_mask<TypeParam>) {
    this->for_each_rectangle(500, [&](auto const& m, mask_laws::rectangle const& r) {
      for (oriel::index q = r.q.begin; q < r.q.end; ++q) {
        oriel::row_ranges const row = m.row(q);
        EXPECT_TRUE(mask_laws::ascending(row)) << q;
        for (oriel::index k = r.k.begin; k < r.k.end; ++k) {
          EXPECT_EQ(mask_laws::holds(row, k), m.visible(q, k)) << q << ", " << k;
        }
      }
    });
  }
}

TYPED_TEST_P(MaskLaws, AnyMaskAnswersTheSame) {
  this->for_each_rectangle(200, [&](auto const& m, mask_laws::rectangle const& r) {
    oriel::any_mask const any = m;
    EXPECT_EQ(any.check().code, oriel::check_mask(m).code);
    EXPECT_EQ(any.cover(r.q, r.k), m.cover(r.q, r.k)) << r;
    oriel::key_ranges const expected = m.reach(r.q);
    oriel::key_ranges const reach = any.reach(r.q);
    EXPECT_TRUE(std::equal(reach.begin(), reach.end(), expected.begin(), expected.end())) << r;
    EXPECT_EQ(mask_laws::count_visible(any, r), mask_laws::count_visible(m, r)) << r;
  });
}

TYPED_TEST_P(MaskLaws, VisibleRowsAreTheVisibleOnes) {
  dice d(9);
  constexpr std::uint64_t canary = 0xdead'beef'dead'beef;
  for (auto const& [mask, edge] : mask_examples<TypeParam>::all()) {
    for (int i = 0; i < 300 && !testing::Test::HasFailure(); ++i) {
      oriel::row_tile rows = mask_laws::random_tile(d);
      std::vector<std::int32_t> const list = mask_laws::random_list(d, rows.count);
      if (rows.first_query < oriel::max_position - 2000 && d.coin()) rows.list = list.data();
      auto const [q, k] = mask_laws::random_rectangle(d, edge);
      oriel::index const middle = rows.position(rows.count / 2);
      oriel::index const back =
          d.coin() ? std::min(edge, middle + oriel::max_position) : oriel::index{0};
      oriel::range const keys = mask_laws::inside(
          middle - back - d.between(oriel::index{0}, oriel::index{128}), k.size() + q.size() * 5);

      auto const expected = mask_laws::words_by_hand(mask, rows, keys);
      std::vector<std::uint64_t> word(expected.size() + 1, canary);
      oriel::visible_rows(mask, rows, keys, word.data());
      EXPECT_EQ(word.back(), canary) << "written behind the keys";
      word.pop_back();
      EXPECT_EQ(word, expected) << "rows " << rows.first << " + " << rows.count << " of groups of "
                                << rows.group << " from " << rows.first_query << ", keys from "
                                << keys.begin;
      std::fill(word.begin(), word.end(), canary);
      oriel::any_mask(mask).visible_rows(rows, keys, word.data());
      EXPECT_EQ(word, expected) << "by any_mask";
    }
  }
}

REGISTER_TYPED_TEST_SUITE_P(MaskLaws, CoverNeverContradictsVisible, ReachHoldsEveryVisibleKey,
                            RowIsTheSetOfVisibleKeys, AnyMaskAnswersTheSame,
                            VisibleRowsAreTheVisibleOnes);
