// SPDX-License-Identifier: BSL-1.0
// A kernel that computes nothing and writes down the steps it is asked for.
#pragma once

#include <string>

#include "oriel/kernel/tile_kernel.hpp"
#include "problem.hpp"

namespace oriel::test {

struct step_recorder {
  static constexpr int rows = 8;
  static constexpr index keys = tile_keys;
  std::string name;
  std::vector<std::string>* steps = nullptr;
  std::vector<float> s = std::vector<float>(rows * keys);

  void begin(float const* const* /*q*/, int count, float /*scale*/, bool rounds) {
    note(rounds ? "begin rounding" : "begin", count);
  }
  void begin_leaf(int count) { note("begin_leaf", count); }
  void score(kv_run const& run, index at, int count) { note("score" + text(run, at), count); }
  score_tile scores(index at) {
    note("scores " + std::to_string(at), 1);
    return {.scores = s.data() + at, .key_step = 1, .row_step = keys};
  }
  void hide(std::uint64_t const* word, range places, int count) {
    hidden.assign(word, word + places.size());
    note("hide" + text(places), count);
  }
  void absorb(range places, int count) { note("absorb" + text(places), count); }
  template <class Runs>
  void begin_values(range places, int count, Runs&& each_run) {
    note("begin_values" + text(places), count);
    each_run([&](kv_run const& run, index at) { note("of" + text(run, at), count); });
  }
  void accumulate(kv_run const& run, index at, int count) {
    note("accumulate" + text(run, at), count);
  }
  void end_values(int count) { note("end_values", count); }
  void end_leaf(int count) { note("end_leaf", count); }
  template <class Arch>
  void end(softmax_state<Arch> const& to, int count) {
    to.reset(count);
    note("end", count);
  }

  std::vector<std::uint64_t> hidden;  ///< the words of the last `hide`

 private:
  static std::string text(range r) {
    return " [" + std::to_string(r.begin) + ", " + std::to_string(r.end) + ")";
  }
  static std::string text(kv_run const& run, index at) {
    return text({run.first, run.first + run.rows}) + " at " + std::to_string(at);
  }
  void note(std::string const& step, int count) {
    EXPECT_GE(count, 1);
    EXPECT_LE(count, rows);
    steps->push_back(name + step);
  }
};
static_assert(tile_kernel<step_recorder, default_arch>);

}  // namespace oriel::test
