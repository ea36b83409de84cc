// SPDX-License-Identifier: BSL-1.0
#include "oriel/codec/query_blocks.hpp"

#include <gtest/gtest.h>

#include <vector>

#include "each_arch.hpp"

namespace oriel::test {
namespace {

TYPED_TEST_SUITE(EachArch, kernel_archs, arch_names);

TYPED_TEST(EachArch, QueryBlocksCoverEachRow) {
  for (int count = 1; count <= 8; ++count) {
    int next = 0, blocks = 0;
    in_query_blocks<TypeParam>(count, [&]<int Rows>(std::integral_constant<int, Rows>, int first) {
      EXPECT_EQ(first, next);
      EXPECT_LE(Rows, most_queries<TypeParam>);
      next = first + Rows;
      ++blocks;
    });
    EXPECT_GE(next, count);
    EXPECT_LE(next, count + 3);
    EXPECT_EQ(query_blocks<TypeParam>(count), blocks);
  }
}

/// Rows that note which of them were asked for.
template <bool Streamed>
struct noted_rows {
  static constexpr bool is_streamed = Streamed;
  static constexpr bool takes_two = !Streamed;
  index count = 0;
  std::vector<index>* asked = nullptr;
  bool is_near = false;
  index row(index i) const { return i; }
  void prefetch_row(index row) const { asked->push_back(row); }
  noted_rows near() const { return {count, asked, true}; }
};

/// The rows that `queries` rows of q ask for before their products, of which each block sees that
/// nothing is left to ask for.
template <class Arch, bool Streamed>
std::vector<index> asked_for(index count, int queries) {
  std::vector<index> asked;
  int next = 0;
  in_query_blocks<Arch>(noted_rows<Streamed>{count, &asked}, queries,
                        [&](auto block, auto const& rows, int first) {
                          EXPECT_EQ(first, next);
                          EXPECT_EQ(rows.is_near, !request_ahead<Arch>(queries));
                          next = first + decltype(block)::value;
                          EXPECT_EQ(decltype(block)::value == 2, !Streamed && queries == 2);
                        });
  EXPECT_GE(next, queries);
  return asked;
}

TYPED_TEST(EachArch, BlocksShareTheRequestsForAllRows) {
  for (int queries = 1; queries <= 8; ++queries) {
    for (index const count : {0, 1, 2, 3, 4, 15}) {
      std::vector<index> all(static_cast<std::size_t>(count));
      for (std::size_t i = 0; i < all.size(); ++i) all[i] = static_cast<index>(i);
      bool const is_short = has_short_registers<TypeParam>;
      EXPECT_EQ((asked_for<TypeParam, false>(count, queries)),
                is_short && queries > 4 ? all : std::vector<index>{});
      EXPECT_EQ((asked_for<TypeParam, true>(count, queries)),
                is_short && queries > 4 ? all : std::vector<index>{});
    }
  }
}

TYPED_TEST(EachArch, FewRowsAreAskedForAtOnce) {
  using streamed = noted_rows<true>;
  using coded = noted_rows<false>;
  if (!has_short_registers<TypeParam>) {
    EXPECT_EQ((rows_at_a_time<TypeParam, coded>(512, 8)), INT64_MAX);
    return;
  }
  EXPECT_EQ((rows_at_a_time<TypeParam, coded>(1 << 20, 1)), 16);
  EXPECT_EQ((rows_at_a_time<TypeParam, streamed>(512, 4)), INT64_MAX);
  EXPECT_EQ((rows_at_a_time<TypeParam, streamed>(512, 5)), 4);
  EXPECT_EQ((rows_at_a_time<TypeParam, streamed>(136, 5)), 16) << "15, to an even number of keys";
  EXPECT_EQ((rows_at_a_time<TypeParam, streamed>(0, 8)), 2048);
  EXPECT_EQ((rows_at_a_time<TypeParam, streamed>(INT64_MAX, 8)), 4);
}

}  // namespace
}  // namespace oriel::test
