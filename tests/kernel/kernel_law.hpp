// SPDX-License-Identifier: BSL-1.0
// What the row-lane and the decode kernel have in common, checked against plain loops in double.
#pragma once

#include <gtest/gtest.h>

#include <cmath>

#include "oriel/cache/contiguous.hpp"
#include "oriel/kernel/flash_tile.hpp"
#include "oriel/kernel/softmax_state.hpp"
#include "tensors.hpp"

namespace oriel::test {

using arch = default_arch;

struct tile_case {
  int count = 1;
  index head_dim = 16;
  index v_dim = 16;
  std::vector<index> tiles = {tile_keys};  ///< keys in each tile
  index longest_run = tile_keys;           ///< tiles are cut into runs of at most so many keys
  bool masked = false;                     ///< a random half of the pairs is hidden
};

/// One leaf of `count` rows through a kernel, from memory full of NaN.
template <class Kernel>
class tile_run {
 public:
  explicit tile_run(tile_case const& c)
      : of(c),
        q(tensor(c.count, 1, c.head_dim, layout::padded).filled(1)),
        k(tensor(keys_of(c), 1, c.head_dim, layout::padded).filled(2)),
        v(tensor(keys_of(c), 1, c.v_dim, layout::padded).filled(3)),
        words(static_cast<std::size_t>(keys_of(c)), ~std::uint64_t{0} >> (64 - c.count)),
        memory_(walk(carver(), c).used()) {
    if (c.masked) hide_some();
    walk all(carver(memory_.span().data()), c);
    leaf = all.leaf;
    run(all.kernel);
    EXPECT_TRUE(memory_.is_untouched_behind());
  }

  void expect_exact() const {
    for (int r = 0; r < of.count; ++r) {
      SCOPED_TRACE(::testing::Message() << "row " << r);
      double top = -HUGE_VAL;
      double sum = 0.0;
      std::vector<double> out(static_cast<std::size_t>(of.v_dim));
      auto const for_each_seen = [&](auto&& f) {
        for (index i = 0; i < k.view.tokens; ++i) {
          if ((words[static_cast<std::size_t>(i)] >> r & 1) == 0) continue;
          double dot = 0.0;
          for (index d = 0; d < of.head_dim; ++d) {
            dot += static_cast<double>(q.view.row(r, 0)[d]) * k.view.row(i, 0)[d];
          }
          f(static_cast<double>(scale()) * dot, v.view.row(i, 0));
        }
      };
      for_each_seen([&](double s, float const*) { top = std::max(top, s); });
      for_each_seen([&](double s, float const* value) {
        double const weight = std::exp2(s - top);
        sum += weight;
        for (std::size_t d = 0; d < out.size(); ++d) out[d] += weight * value[d];
      });
      if (sum == 0.0) {
        EXPECT_EQ(leaf.m[r], -infinity);
        EXPECT_EQ(leaf.l[r], 0.0f);
      } else {
        EXPECT_NEAR(leaf.m[r], top, 4e-6);
        EXPECT_NEAR(std::log2(leaf.l[r]) + leaf.m[r], std::log2(sum) + top, 4e-6);
      }
      for (std::size_t d = 0; d < out.size(); ++d) {
        float const got = leaf.acc[r * leaf.stride() + static_cast<index>(d)];
        EXPECT_NEAR(got / (sum == 0.0 ? 1.0f : leaf.l[r]), sum == 0.0 ? 0.0 : out[d] / sum, 3e-6);
      }
    }
  }

  std::vector<std::uint32_t> bits() const {
    std::vector<std::uint32_t> all;
    for (int r = 0; r < of.count; ++r) {
      all.push_back(std::bit_cast<std::uint32_t>(leaf.m[r]));
      all.push_back(std::bit_cast<std::uint32_t>(leaf.l[r]));
      for (index d = 0; d < of.v_dim; ++d) {
        all.push_back(std::bit_cast<std::uint32_t>(leaf.acc[r * leaf.stride() + d] + 0.0f));
      }
    }
    return all;
  }

  tile_case of;
  tensor q, k, v;
  std::vector<std::uint64_t> words;
  softmax_state<arch> leaf;

 private:
  float scale() const { return 1.5f / std::sqrt(static_cast<float>(of.head_dim)); }
  static index keys_of(tile_case const& c) {
    index sum = 0;
    for (index const n : c.tiles) sum += n;
    return sum;
  }

  struct walk {
    Kernel kernel;
    softmax_state<arch> leaf;
    index bytes;
    walk(carver memory, tile_case const& c)
        : kernel(carve_kernel(memory, c)),
          leaf(softmax_state<arch>::carve(memory, Kernel::rows, c.v_dim)),
          bytes(memory.used()) {}
    index used() const { return bytes; }

   private:
    static Kernel carve_kernel(carver& memory, tile_case const& c) {
      auto* const scores = memory.take<float>(Kernel::keys * Kernel::rows);
      if constexpr (requires { typename Kernel::shared; }) {
        auto const shared = Kernel::carve_shared(memory, false, c.head_dim, c.v_dim, scores);
        return Kernel::carve(memory, c.head_dim, c.v_dim, shared);
      } else {
        return Kernel::carve(memory, c.head_dim, c.v_dim, scores);
      }
    }
  };

  /// Hides random pairs, every key from row 0, and one key in three from all rows: NaN there.
  void hide_some() {
    random_numbers random(static_cast<std::uint64_t>(of.count));
    for (index i = 0; i < k.view.tokens; ++i) {
      auto& word = words[static_cast<std::size_t>(i)];
      word &= random.bits() & ~std::uint64_t{1};
      if (random.below(3) == 0) word = 0;
      if (word != 0) continue;
      auto const spoil = [](float& x) { x = std::bit_cast<float>(canary); };
      for_each_element(k.view.slice({i, i + 1}), spoil);
      for_each_element(v.view.slice({i, i + 1}), spoil);
    }
  }

  void run(Kernel& kernel) {
    std::vector<float const*> pointers;
    for (int r = 0; r < of.count; ++r) pointers.push_back(q.view.row(r, 0));
    kernel.begin(pointers.data(), of.count, scale());
    kernel.begin_leaf(of.count);
    contiguous const source(k.view, v.view);
    index first = 0;
    for (index const keys : of.tiles) {
      std::uint64_t const* const word = words.data() + first;
      auto const for_each_run = [&](range some, auto&& f) {
        for (index at = some.begin; at < some.end;) {
          index end = at;
          while (end < some.end && end - at < of.longest_run && word[end] != 0) ++end;
          if (end == at) {
            ++at;
            continue;
          }
          kv_run piece = source.run_at(0, first + at);
          piece.rows = end - at;
          f(piece, at);
          at = end;
        }
      };
      for_each_run({0, keys},
                   [&](kv_run const& piece, index at) { kernel.score(piece, at, of.count); });
      if (of.masked) kernel.hide(word, {0, keys}, of.count);
      kernel.absorb({0, keys}, of.count);
      for (index at = 0; at < keys; at += tile_keys) {
        range const some{at, std::min(at + tile_keys, keys)};
        kernel.begin_values(some, of.count, [&](auto&& f) { for_each_run(some, f); });
        for_each_run(some, [&](kv_run const& piece, index place) {
          kernel.accumulate(piece, place, of.count);
        });
        kernel.end_values(of.count);
      }
      first += keys;
    }
    kernel.end_leaf(of.count);
    kernel.end(leaf, of.count);
  }

  aligned_memory memory_;
};

/// Everything that holds for either kernel, for these numbers of rows.
template <class Kernel>
void expect_kernel(std::vector<int> const& counts) {
  for (int const count : counts) {
    for (auto const& tiles : {std::vector<index>{1}, {7, 128}, {Kernel::keys, 128, 33}}) {
      for (bool const masked : {false, true}) {
        for (range const dims : {range{1, 3}, {15, 17}, {16, 16}, {17, 64}, {64, 80}}) {
          tile_case c{count, dims.begin, dims.end, tiles, Kernel::keys, masked};
          SCOPED_TRACE(::testing::Message()
                       << count << " rows, dims " << dims.begin << " " << dims.end << ", "
                       << tiles.size() << " tiles from " << tiles[0] << (masked ? ", masked" : ""));
          tile_run<Kernel> const whole(c);
          whole.expect_exact();
          for (index const longest : {1, 37}) {  // cuts of the runs change no bit
            c.longest_run = longest;
            EXPECT_EQ(tile_run<Kernel>(c).bits(), whole.bits()) << longest;
          }
          if (::testing::Test::HasFailure()) return;
        }
      }
    }
  }
}

}  // namespace oriel::test
