// SPDX-License-Identifier: BSL-1.0
#include "oriel/cache/block_summary.hpp"

#include <gtest/gtest.h>

#include "oriel/cache/joined.hpp"
#include "oriel/cache/kivi_cache.hpp"
#include "oriel/cache/rolling_cache.hpp"
#include "tensors.hpp"

namespace oriel::test {
namespace {

block_shape const shape{.block = 5, .blocks = 3, .kv_heads = 2, .head_dim = 7};

/// What a summary should hold of block b, row by row.
std::vector<float> expected(mean_of_keys, tensor_view<float> const& k, index head, index b) {
  std::vector<float> mean;
  for (index d = 0; d < 7; ++d) {
    float sum = 0.0f;  // in order of position
    for (index t = 5 * b; t < 5 * b + 5; ++t) sum += k.row(t, head)[d];
    mean.push_back(sum * (1.0f / 5.0f));
  }
  return mean;
}
std::vector<float> expected(bounds_of_keys, tensor_view<float> const& k, index head, index b) {
  std::vector<float> bounds(14);
  for (std::size_t d = 0; d < 7; ++d) {
    std::vector<float> all;
    for (index t = 5 * b; t < 5 * b + 5; ++t) all.push_back(k.row(t, head)[d]);
    auto const [least, largest] = std::minmax_element(all.begin(), all.end());
    bounds[d] = *least;
    bounds[7 + d] = *largest;
  }
  return bounds;
}

template <class Kind>
class BlockSummary : public testing::Test {
 protected:
  using of_kind = block_summary<Kind>;
  struct kept {
    aligned_memory bytes{of_kind::required_bytes(shape)};
    of_kind of{bytes, shape};
  };
  static void expect_blocks(of_kind const& got, tensor_view<float> const& k) {
    for (index b = got.held().begin; b < got.held().end; ++b) {
      for (index head = 0; head < 2; ++head) {
        std::vector<float> const want = expected(Kind{}, k, head, b);
        float const* const at = got.of(head, b);
        EXPECT_EQ(std::vector<float>(at, at + want.size()), want) << "block " << b;
      }
    }
  }
};
using kinds = testing::Types<mean_of_keys, bounds_of_keys>;
TYPED_TEST_SUITE(BlockSummary, kinds);

TYPED_TEST(BlockSummary, BytesAreCounted) {
  using summary = block_summary<TypeParam>;
  EXPECT_EQ(summary::required_bytes(shape), (3 + 1) * 2 * TypeParam::rows * 7 * 4);
  EXPECT_EQ(summary::required_bytes({.block = 0, .blocks = 1, .head_dim = 1}), 0);
  EXPECT_EQ(summary::required_bytes({.block = 1, .blocks = INT64_MAX, .head_dim = 9}), INT64_MAX);
}

TYPED_TEST(BlockSummary, IsOfTheLatestCompleteBlocks) {
  tensor const k = tensor(33, 2, 7, layout::padded).filled(1);
  for (index const piece : {index{1}, index{4}, index{5}, index{33}}) {
    typename TestFixture::kept own;
    for (index at = 0; at < 33; at += piece) {
      ASSERT_TRUE(own.of.append(k.view.slice({at, min_of(at + piece, 33)})).ok());
    }
    EXPECT_EQ(own.of.positions(), (range{0, 33}));
    EXPECT_EQ(own.of.held(), (range{3, 6})) << "6 are complete, 3 are kept";
    this->expect_blocks(own.of, k.view);
    EXPECT_TRUE(own.bytes.is_untouched_behind());
  }
}

TYPED_TEST(BlockSummary, TakesTheKeysOfASource) {
  tensor const k = tensor(33, 2, 7, layout::padded).filled(1);
  tensor const v = tensor(33, 2, 4).filled(2);
  cache_shape const ring_shape{.window = 18, .kv_heads = 2, .head_dim = 7, .v_dim = 4};
  aligned_memory memory(rolling_cache<>::required_bytes(ring_shape));
  rolling_cache<> ring(memory, ring_shape);
  typename TestFixture::kept own;
  EXPECT_TRUE(own.of.append(ring).ok());
  EXPECT_TRUE(own.of.positions().empty());
  for (index at = 0; at < 33; at += 11) {
    ASSERT_TRUE(ring.append(k.view.slice({at, at + 11}), v.view.slice({at, at + 11})).ok());
    ASSERT_TRUE(own.of.append(ring).ok());
    ASSERT_TRUE(own.of.append(ring).ok()) << "nothing is new";
  }
  EXPECT_EQ(own.of.positions(), (range{0, 33}));
  EXPECT_EQ(own.of.held(), (range{3, 6}));
  this->expect_blocks(own.of, k.view);
  typename TestFixture::kept late;
  ASSERT_TRUE(late.of.append(ring).ok());
  EXPECT_EQ(late.of.positions(), (range{15, 33})) << "what the ring still holds";
  this->expect_blocks(late.of, k.view);
  typename TestFixture::kept gap;
  ASSERT_TRUE(gap.of.append(k.view.slice({0, 14})).ok());
  EXPECT_EQ(gap.of.append(ring).code, errc::position);
  EXPECT_EQ(gap.of.positions(), (range{0, 14}));
}

/// Of a cache that rounds, summaries are of the rows as it holds them.
TYPED_TEST(BlockSummary, TakesRowsThatAreNotFloats) {
  tensor const k = tensor(20, 2, 7).filled(1);
  cache_shape const ring_shape{.window = 20, .kv_heads = 2, .head_dim = 7};
  aligned_memory memory(rolling_cache<bf16>::required_bytes(ring_shape));
  rolling_cache<bf16> ring(memory, ring_shape);
  ASSERT_TRUE(ring.append(k.view, k.view).ok());
  tensor rounded(20, 2, 7);
  for (index t = 0; t < 20; ++t) {
    for (index h = 0; h < 2; ++h) {
      float row[max_coded_dim];
      kv_run const run = any_source(ring).run_at(h, t);
      std::copy_n(run.floats(run.k, 7, row), 7, rounded.view.row(t, h));
    }
  }
  typename TestFixture::kept own;
  ASSERT_TRUE(own.of.append(ring).ok());
  EXPECT_EQ(own.of.held(), (range{1, 4}));
  this->expect_blocks(own.of, rounded.view);
  ASSERT_TRUE(own.of.truncate(18, ring).ok());
  ASSERT_TRUE(own.of.append(ring).ok());
  EXPECT_EQ(own.of.held(), (range{1, 4}));
  this->expect_blocks(own.of, rounded.view);
}

/// A kivi_cache, whose newest keys are floats until their group of 16 is complete.
struct groups {
  cache_shape shape{.window = 90, .kv_heads = 2, .head_dim = 7, .margin = 6};
  aligned_memory bytes{kivi_cache<2, 16>::required_bytes(shape)};
  kivi_cache<2, 16> cache{bytes, shape};
  tensor k = tensor(90, 2, 7).filled(1);

  status append(range part) { return cache.append(k.view.slice(part), k.view.slice(part)); }
  /// Keys as they are read now.
  tensor keys() const {
    tensor all(cache.positions().end, 2, 7);
    for (index t = cache.positions().begin; t < cache.positions().end; ++t) {
      for (index h = 0; h < 2; ++h) {
        float row[max_coded_dim];
        kv_run const run = any_source(cache).run_at(h, t);
        std::copy_n(run.floats(run.k, 7, row), 7, all.view.row(t, h));
      }
    }
    return all;
  }
};

TYPED_TEST(BlockSummary, KeysThatBecomeCodesAreTakenAgain) {
  block_shape const roomy{.block = 5, .blocks = 18, .kv_heads = 2, .head_dim = 7};
  for (bool const before : {false, true}) {  // the cache takes them
    for (index const piece : {index{1}, index{3}, index{16}, index{37}}) {
      SCOPED_TRACE(testing::Message() << piece << ' ' << before);
      groups of;
      aligned_memory bytes(block_summary<TypeParam>::required_bytes(roomy));
      block_summary<TypeParam> own(bytes, roomy);
      for (index at = 0; at < 90; at += piece) {
        range const part{at, min_of(at + piece, 90)};
        if (before) {
          auto const rows = of.k.view.slice(part);
          ASSERT_TRUE(own.append(joined(of.cache, rows, rows)).ok());
          EXPECT_EQ(own.positions(), (range{0, part.end}));
        }
        ASSERT_TRUE(of.append(part).ok());
        ASSERT_TRUE(own.append(of.cache).ok());
        EXPECT_EQ(own.held(), (range{0, part.end / 5}));
        this->expect_blocks(own, of.keys().view);
      }
    }
  }
}

TYPED_TEST(BlockSummary, KeysThatBecomeFloatsAgainAreTakenAgain) {
  block_shape const roomy{.block = 5, .blocks = 18, .kv_heads = 2, .head_dim = 7};
  for (index const end : {index{63}, index{64}, index{65}, index{79}, index{84}}) {
    for (index cut = 0; cut <= end; ++cut) {
      SCOPED_TRACE(testing::Message() << cut << " of " << end);
      groups of;
      ASSERT_TRUE(of.append({0, end}).ok());
      aligned_memory bytes(block_summary<TypeParam>::required_bytes(roomy));
      block_summary<TypeParam> own(bytes, roomy);
      ASSERT_TRUE(own.append(of.cache).ok());
      if (!of.cache.can_resume(cut)) continue;
      // Of a complete group that is cut, only the cache afterwards knows the keys.
      bool const changes = cut % 16 != 0 && cut < round_down(end, 16);
      aligned_memory copied(block_summary<TypeParam>::required_bytes(roomy));
      block_summary<TypeParam> copy(copied, roomy);
      ASSERT_TRUE(copy.append(of.cache).ok());
      status const early = copy.truncate(cut, of.cache);
      EXPECT_EQ(early.code, changes ? errc::position : errc::ok);
      EXPECT_EQ(copy.positions(), (range{0, changes ? end : cut})) << early.what;
      ASSERT_TRUE(of.cache.truncate(cut).ok());
      ASSERT_TRUE(own.truncate(cut, of.cache).ok());
      EXPECT_EQ(own.held(), (range{0, cut / 5}));
      this->expect_blocks(own, of.keys().view);
      if (!changes) this->expect_blocks(copy, of.keys().view);
      ASSERT_TRUE(of.append({cut, 90}).ok());
      ASSERT_TRUE(own.append(of.cache).ok());
      EXPECT_EQ(own.held(), (range{0, 18}));
      this->expect_blocks(own, of.keys().view);
    }
  }
}

TYPED_TEST(BlockSummary, FollowsAnEraseAmongGroups) {
  block_shape const roomy{.block = 5, .blocks = 18, .kv_heads = 2, .head_dim = 7};
  rope const by{.dim = 6};
  aligned_memory scratch(erase_bytes(7, 16));
  for (range const gone : {range{16, 48}, {0, 16}, {64, 80}, {66, 70}, {70, 85}, {80, 85}}) {
    for (bool const turned : {false, true}) {
      SCOPED_TRACE(testing::Message() << gone.begin << " to " << gone.end);
      groups of;
      ASSERT_TRUE(of.append({0, 85}).ok());
      aligned_memory bytes(block_summary<TypeParam>::required_bytes(roomy));
      block_summary<TypeParam> own(bytes, roomy);
      ASSERT_TRUE(own.append(of.cache).ok());
      ASSERT_TRUE((turned ? of.cache.erase(gone, by, scratch) : of.cache.erase(gone)).ok());
      ASSERT_TRUE(own.erase(gone, of.cache).ok());
      EXPECT_EQ(own.held(), (range{0, (85 - gone.size()) / 5}));
      this->expect_blocks(own, of.keys().view);
    }
  }
}

/// What a ring has lost before its group was complete is out of reach, what lies behind is not.
TYPED_TEST(BlockSummary, APieceThatIsLongerThanARingOfGroups) {
  groups of;
  of.shape.window = 20;
  aligned_memory ring_bytes(kivi_cache<2, 16>::required_bytes(of.shape));
  kivi_cache<2, 16> ring(ring_bytes, of.shape);
  of.cache = ring;
  block_shape const roomy{.block = 5, .blocks = 18, .kv_heads = 2, .head_dim = 7};
  aligned_memory bytes(block_summary<TypeParam>::required_bytes(roomy));
  block_summary<TypeParam> own(bytes, roomy);
  for (range const part : {range{0, 21}, {21, 90}}) {
    auto const rows = of.k.view.slice(part);
    ASSERT_TRUE(own.append(joined(of.cache, rows, rows)).ok());
    EXPECT_EQ(own.held(), (range{0, part.end / 5})) << "as they attend to themselves";
    ASSERT_TRUE(of.append(part).ok());
  }
  ASSERT_TRUE(own.append(of.cache).ok());
  EXPECT_EQ(of.cache.lost(), (range{0, 48}));
  EXPECT_EQ(own.held(), (range{10, 18}));
  this->expect_blocks(own, of.keys().view);
}

/// Every cut, then other keys: the bits of having taken these from the start.
TYPED_TEST(BlockSummary, TruncatesAnywhere) {
  tensor const first = tensor(33, 2, 7).filled(1);
  tensor const other = tensor(33, 2, 7).filled(2);
  tensor const v = tensor(33, 2, 7).filled(3);
  for (index cut = 0; cut <= 33; ++cut) {
    typename TestFixture::kept own;
    ASSERT_TRUE(own.of.append(first.view).ok());
    ASSERT_TRUE(own.of.truncate(cut, contiguous(first.view, v.view)).ok());
    EXPECT_EQ(own.of.positions(), (range{0, cut}));
    EXPECT_EQ(own.of.held(), (range{min_of(3, cut / 5), cut / 5})) << "0 to 2 have made room";
    this->expect_blocks(own.of, first.view);
    tensor mixed(33, 2, 7);
    for (index t = 0; t < 33; ++t) {
      for (index h = 0; h < 2; ++h) {
        std::copy_n((t < cut ? first : other).view.row(t, h), 7, mixed.view.row(t, h));
      }
    }
    ASSERT_TRUE(own.of.append(other.view.slice({cut, 33})).ok());
    EXPECT_EQ(own.of.held(), (range{3, 6})) << cut;
    this->expect_blocks(own.of, mixed.view);
  }
}

TYPED_TEST(BlockSummary, TruncatedBeyondTheRingABlockIsOutOfReach) {
  tensor const k = tensor(33, 2, 7).filled(1);
  tensor const v = tensor(33, 2, 7).filled(2);
  block_shape const roomy{.block = 5, .blocks = 8, .kv_heads = 2, .head_dim = 7};
  aligned_memory bytes(block_summary<TypeParam>::required_bytes(roomy));
  block_summary<TypeParam> own(bytes, roomy);
  ASSERT_TRUE(own.append(k.view).ok());
  // The source holds 17 to 32 only: of block 3, which is cut at 18, row 17.
  ASSERT_TRUE(
      own.truncate(18, contiguous(k.view.slice({17, 33}), v.view.slice({17, 33}), 17)).ok());
  EXPECT_EQ(own.positions(), (range{0, 18}));
  EXPECT_TRUE(own.held().empty()) << "what lies before is out of the source's reach";
  ASSERT_TRUE(own.append(k.view.slice({18, 33})).ok());
  EXPECT_EQ(own.held(), (range{4, 6}));
  this->expect_blocks(own, k.view);
}

/// Every range out of the middle: the bits of having taken what is left from the start.
TYPED_TEST(BlockSummary, FollowsAnErase) {
  tensor const k = tensor(33, 2, 7).filled(1);
  tensor const v = tensor(33, 2, 7).filled(2);
  for (index begin = 0; begin <= 33; ++begin) {
    for (index end = begin; end <= 33; end += 4) {
      SCOPED_TRACE(testing::Message() << begin << " to " << end);
      range const erased{begin, end};
      index const left = 33 - erased.size();
      tensor rest(left, 2, 7);
      for (index t = 0; t < left; ++t) {
        for (index h = 0; h < 2; ++h) {
          std::copy_n(k.view.row(t < begin ? t : t + erased.size(), h), 7, rest.view.row(t, h));
        }
      }
      typename TestFixture::kept own;
      ASSERT_TRUE(own.of.append(k.view).ok());
      contiguous const after(rest.view, v.view.slice({0, left}));
      ASSERT_TRUE(own.of.erase(erased, after).ok());
      EXPECT_EQ(own.of.positions(), (range{0, left}));
      index const first = max_of(min_of(begin / 5, 3), left / 5 - 3);  // 0 to 2 had made room
      EXPECT_EQ(own.of.held(), (range{erased.empty() ? 3 : first, left / 5}));
      this->expect_blocks(own.of, rest.view);
      ASSERT_TRUE(own.of.append(v.view).ok());
    }
  }
}

/// Of a ring that has lost rows behind what was erased, later blocks are taken again.
TYPED_TEST(BlockSummary, AnEraseAcrossWhatARingHasLost) {
  tensor const k = tensor(33, 2, 7).filled(1);
  cache_shape const of_ring{.window = 12, .kv_heads = 2, .head_dim = 7};
  aligned_memory memory(rolling_cache<f32>::required_bytes(of_ring));
  rolling_cache<f32> ring(memory, of_ring);
  block_shape const roomy{.block = 5, .blocks = 8, .kv_heads = 2, .head_dim = 7};
  aligned_memory bytes(block_summary<TypeParam>::required_bytes(roomy));
  block_summary<TypeParam> own(bytes, roomy);
  for (index t = 0; t < 33; ++t) {
    ASSERT_TRUE(ring.append(k.view.slice({t, t + 1}), k.view.slice({t, t + 1})).ok());
    ASSERT_TRUE(own.append(ring).ok());
  }
  EXPECT_EQ(own.held(), (range{0, 6}));
  ASSERT_TRUE(ring.erase({2, 4}).ok());
  ASSERT_TRUE(own.erase({2, 4}, ring).ok());
  EXPECT_EQ(own.positions(), (range{0, 31}));
  EXPECT_EQ(own.held(), (range{4, 6})) << "19 to 30 are held: of block 3 one row alone";
  this->expect_blocks(own, k.view.slice({2, 33}));
}

TYPED_TEST(BlockSummary, EraseSaysWhatIsWrong) {
  tensor const k = tensor(33, 2, 7).filled(1);
  tensor const dims = tensor(33, 2, 6).filled(2);
  typename TestFixture::kept own;
  ASSERT_TRUE(own.of.append(k.view, 10).ok());
  contiguous const after(k.view.slice({0, 30}), k.view.slice({0, 30}), 10);
  EXPECT_EQ(own.of.erase({9, 12}, after).code, errc::position);
  EXPECT_EQ(own.of.erase({41, 44}, after).code, errc::position);
  EXPECT_EQ(own.of.erase({14, 11}, after).code, errc::position);
  EXPECT_EQ(own.of.erase({INT64_MIN, INT64_MAX}, after).code, errc::position);
  EXPECT_EQ(own.of.erase({11, 13}, after).code, errc::position) << "kv lacks another number";
  EXPECT_EQ(own.of.erase({11, 14}, contiguous(dims.view, dims.view, 10)).code, errc::shape);
  EXPECT_EQ(own.of.positions(), (range{10, 43}));
  EXPECT_TRUE(own.of.erase({12, 12}, after).ok());
  EXPECT_EQ(own.of.positions(), (range{10, 43}));
  EXPECT_TRUE(own.of.erase({11, 14}, after).ok());
  EXPECT_EQ(own.of.positions(), (range{10, 40}));
  block_summary<TypeParam> none({}, shape);
  EXPECT_EQ(none.erase({0, 0}, after).code, errc::memory);
}

TYPED_TEST(BlockSummary, TruncateSaysWhatIsWrong) {
  tensor const k = tensor(33, 2, 7).filled(1);
  tensor const heads = tensor(33, 1, 7).filled(2);
  tensor const dims = tensor(33, 2, 6).filled(2);
  typename TestFixture::kept own;
  ASSERT_TRUE(own.of.append(k.view, 10).ok());
  contiguous const kv(k.view, k.view, 10);
  EXPECT_EQ(own.of.truncate(9, kv).code, errc::position);
  EXPECT_EQ(own.of.truncate(44, kv).code, errc::position);
  EXPECT_EQ(own.of.truncate(20, contiguous(heads.view, heads.view, 10)).code, errc::heads);
  EXPECT_EQ(own.of.truncate(20, contiguous(dims.view, dims.view, 10)).code, errc::shape);
  EXPECT_EQ(own.of.append(any_source(contiguous(dims.view, dims.view, 43))).code, errc::shape);
  auto* const inside = reinterpret_cast<float const*>(own.bytes.span().data());
  tensor_view<float const> const rows(inside, 1, 2, 7);
  EXPECT_EQ(own.of.truncate(20, contiguous(rows, rows, 10)).code, errc::alias);
  EXPECT_EQ(own.of.positions(), (range{10, 43}));
  EXPECT_TRUE(own.of.truncate(43, kv).ok());
  EXPECT_TRUE(own.of.truncate(10, kv).ok());
  EXPECT_TRUE(own.of.append(k.view, 3).ok()) << "an empty one begins anywhere";
  block_summary<TypeParam> none({}, shape);
  EXPECT_EQ(none.truncate(0, kv).code, errc::memory);
  EXPECT_EQ(none.append(any_source(kv)).code, errc::memory);
}

TYPED_TEST(BlockSummary, ASequenceMayBeginInABlock) {
  tensor const k = tensor(10, 2, 7).filled(2);
  typename TestFixture::kept own;
  ASSERT_TRUE(own.of.append(k.view, 13).ok());
  EXPECT_EQ(own.of.held(), (range{3, 4})) << "block 2 is not whole";
  EXPECT_EQ(own.of.append(k.view, 24).code, errc::position);
  own.of.clear();
  EXPECT_TRUE(own.of.held().empty());
  EXPECT_TRUE(own.of.append(k.view, 0).ok());
}

TYPED_TEST(BlockSummary, ABlockOfEveryPositionThereIs) {
  block_shape const huge{.block = INT64_MAX, .blocks = 1, .kv_heads = 2, .head_dim = 7};
  aligned_memory bytes(block_summary<TypeParam>::required_bytes(huge));
  block_summary<TypeParam> own(bytes, huge);
  tensor const k = tensor(10, 2, 7).filled(2);
  ASSERT_TRUE(own.append(k.view, max_position - 11).ok());
  EXPECT_TRUE(own.held().empty());
  ASSERT_TRUE(own.truncate(max_position - 5, contiguous(k.view, k.view, max_position - 11)).ok());
  EXPECT_TRUE(own.held().empty());
}

TYPED_TEST(BlockSummary, SaysWhatIsWrong) {
  typename TestFixture::kept own;
  tensor const k = tensor(3, 2, 7).filled(2);
  tensor const heads = tensor(3, 1, 7).filled(2);
  tensor const dims = tensor(3, 2, 6).filled(2);
  EXPECT_EQ(own.of.append(heads.view).code, errc::heads);
  EXPECT_EQ(own.of.append(dims.view).code, errc::shape);
  EXPECT_EQ(own.of.append(k.view, -1).code, errc::position);
  EXPECT_EQ(own.of.append(k.view, max_position - 2).code, errc::position);
  auto* const inside = reinterpret_cast<float const*>(own.bytes.span().data());
  EXPECT_EQ(own.of.append(tensor_view<float const>(inside, 1, 2, 7)).code, errc::alias);
  EXPECT_TRUE(own.of.positions().empty()) << "nothing was taken";
  using summary = block_summary<TypeParam>;
  EXPECT_EQ(summary(own.bytes.span().first(16), shape).check().code, errc::memory);
  EXPECT_EQ(summary({}, shape).check().code, errc::memory);
  EXPECT_EQ(
      summary(own.bytes.span().subspan(4), {.block = 1, .blocks = 1, .head_dim = 1}).check().code,
      errc::alignment);
  summary broken(own.bytes, {.block = 0, .blocks = 1, .head_dim = 1});
  EXPECT_EQ(broken.check().code, errc::shape);
  EXPECT_EQ(broken.append(k.view).code, errc::shape);
}

}  // namespace
}  // namespace oriel::test
