// SPDX-License-Identifier: BSL-1.0
// What the machine can do at best: the roofline that every case is compared with.
#pragma once

#include <span>

#include "team.hpp"

namespace bench {

/// Multiply-add throughput of registers alone, over all workers.
struct peak_limit {
  double gflops = 0.0;
  double clock_ghz = 0.0;       ///< mean over the workers, from a chain of dependent adds
  double flop_per_cycle = 0.0;  ///< of one worker
  bool believed = false;        ///< flop_per_cycle is within 3 % of 16, 32 or 64
};

/// Reading memory once, over all workers.
struct stream_limit {
  double gb_per_s = 0.0;
  int streams = 1;  ///< concurrent read streams per worker that were the fastest
};

/// Bytes that a stream must walk over so that no cache serves it: max(256 MiB, 4 x L3), unless
/// others were set before.
index stream_bytes();
void set_stream_bytes(index bytes);

/// Clock and multiply-adds in turns, the best of many short tries that can be believed; if none
/// can, the best of all.
peak_limit measure_peak(team& on);

/// GFLOP/s of all workers in one slice of about `seconds`.
double peak_slice(team& on, double seconds);

/// A reader that goes round `memory` for as long as it lives.
class stream_reader {
 public:
  explicit stream_reader(std::span<float const> memory) : memory_(memory) {}

  /// GB/s of all workers in one slice of at least `seconds`.
  double slice(team& on, int streams, double seconds);
  /// The number of streams that reads fastest, from slices in turns.
  stream_limit calibrate(team& on, int rounds);

 private:
  std::span<float const> memory_;
  index next_ = 0;  ///< chunk to read next
};

/// calibrate() over memory of its own.
stream_limit measure_stream(team& on);

}  // namespace bench
