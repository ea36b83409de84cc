// SPDX-License-Identifier: BSL-1.0
// A kernel and its limits in turns, so that both see the same minute of a shared machine.
#pragma once

#include <benchmark/benchmark.h>

#include <vector>

#include "limits.hpp"

namespace bench {

/// What to alternate with, and what one call of the kernel is worth.
struct pairing_options {
  bool peak = false;                ///< slices of multiply-adds
  stream_reader* stream = nullptr;  ///< slices of reading, if not null
  int streams = 1;
  double flops = 0.0;  ///< per call
  double bytes = 0.0;  ///< per call
};

/// Medians over rounds; 0 for what was not alternated with.
struct pairing_result {
  double seconds = 0.0;       ///< per call, by the wall's clock
  double team_seconds = 0.0;  ///< and by the team's, as all ratios
  double of_peak = 0.0;       ///< fraction of the limit in the same round
  double of_stream = 0.0;
  double peak_gflops = 0.0;  ///< the limits of the rounds
  double stream_gb_per_s = 0.0;
};

/// Stops the benchmark's clock after every slice of at least 20 ms of kernel to measure the limits.
/// A round ends with the first call after such a slice; what counts is the median of the rounds'
/// ratios.
class pairing {
 public:
  pairing(benchmark::State& state, team& on, pairing_options const& options);

  /// The kernel starts now.
  void start();
  /// Inside of a call, between two of its tasks.
  void after_task();
  void after_call();
  /// After the last call, with the benchmark's clock stopped.
  pairing_result finish();

 private:
  struct round {
    double wall = 0.0;    ///< seconds of kernel by the wall's clock
    double kernel = 0.0;  ///< and by the team's
    double calls = 0.0;
    std::vector<double> peaks;
    std::vector<double> streams;
  };

  static constexpr double slice_seconds = 0.02;
  void end_slice();
  void sample_limits();
  void end_round();

  benchmark::State& state_;
  team& on_;
  pairing_options options_;
  double wall_start_ = 0.0;
  double start_ = 0.0;
  round now_;
  double wall_ = 0.0;
  double kernel_ = 0.0;
  double calls_ = 0.0;
  std::vector<double> of_peak_, of_stream_, peaks_, streams_;
};

/// The calling thread as an executor that lets a pairing look in after every task.
struct paced_serial {
  pairing* pace;
  index workers() const noexcept { return 1; }
  template <class F>
  void run(index tasks, F&& f) const {
    for (index i = 0; i < tasks; ++i) {
      f(i, index{0});
      pace->after_task();
    }
  }
};

}  // namespace bench
