// SPDX-License-Identifier: BSL-1.0
// One contract for every source: contiguous, rolling, a chunk's ring, sinks beside a ring, pages, and
// joined over each of them; tests/support/cache_model/ has the operations and the oracle.
#include "cache_model/cache_model.hpp"

#include <gtest/gtest.h>

#include <thread>

#include "cache_model/stores.hpp"

namespace oriel::model {
namespace {

class EveryStorage : public testing::TestWithParam<std::string> {};

TEST_P(EveryStorage, EverySourceIsAListOfRows) {
  index const findings = run(11, 20'000, std::span(&GetParam(), 1),
                             [](std::string const& what) { ADD_FAILURE() << what; });
  EXPECT_EQ(findings, 0);
}
INSTANTIATE_TEST_SUITE_P(CacheModel, EveryStorage, testing::ValuesIn(storage_names()),
                         [](auto const& of) { return of.param; });

TEST(CacheModel, BytesChooseOperationsToo) {
  std::uint64_t state = 5;
  for (int round = 0; round < 300; ++round) {
    std::vector<std::uint8_t> bytes(200);
    for (auto& b : bytes) {
      state = state * 6364136223846793005u + 1442695040888963407u;
      b = static_cast<std::uint8_t>(state >> 56);
    }
    ASSERT_EQ(run(bytes), "") << "round " << round;
  }
}

/// Readers of one sequence's pages, while another sequence that shares them appends to its own.
TEST(CacheModel, ReadersShareWhileAnotherSequenceAppends) {
  sizes const of{.kv_heads = 2, .head_dim = 8, .v_dim = 8};
  std::uint64_t seed = 1;
  auto const memory = std::make_shared<page_store::pool_memory>(
      of, row_kind::of<f32, true>(), row_kind::of<f32, false>(), 4, 0, 200, 1);
  page_store shared(memory, of);
  fresh_rows const prefix(of, 37, seed);
  ASSERT_TRUE(shared.append(prefix, 0).ok());
  auto const other = shared.fork();
  fresh_rows const first(of, 1, seed);
  ASSERT_TRUE(other->append(first, 37).ok()) << "the shared last page is copied here";

  sizes ring = of;
  ring.window = 16;
  ring_store<> cache(ring), elsewhere(ring);
  ASSERT_TRUE(cache.append(prefix, 0).ok());

  auto const attend_once = [&](any_source const& kv, std::vector<float>& out) {
    std::vector<line_type> scratch;
    attention call{.q = prefix.k_view.slice({36, 37}),
                   .kv = kv,
                   .mask = causal{} & sliding_window{16},
                   .out = {out.data(), 1, 2, 8}};
    attend_plan const plan = plan_attend(bounds_of(call));
    scratch.resize(static_cast<std::size_t>(plan.workspace_bytes() / 64 + 1));
    workspace const bytes{{scratch[0].bytes, static_cast<std::size_t>(plan.workspace_bytes())}};
    EXPECT_TRUE(v0::attend(plan, call, bytes).ok());
  };
  std::vector<float> expected(16);
  attend_once(cache.source(), expected);
  std::vector<std::thread> readers;
  for (int i = 0; i < 3; ++i) {
    readers.emplace_back([&] {
      std::vector<float> from_ring(16), from_pages(16);
      for (int round = 0; round < 50; ++round) {
        attend_once(cache.source(), from_ring);
        attend_once(shared.source(), from_pages);
        EXPECT_EQ(from_ring, expected);
        EXPECT_EQ(from_pages, expected);
      }
    });
  }
  std::thread writer([&] {
    std::uint64_t own_seed = 9;
    for (index i = 0; i < 50; ++i) {
      fresh_rows const one(of, 1, own_seed);
      EXPECT_TRUE(other->append(one, 38 + i).ok());
      EXPECT_TRUE(elsewhere.append(one, i).ok());
    }
  });
  for (auto& t : readers) t.join();
  writer.join();
}

}  // namespace
}  // namespace oriel::model
