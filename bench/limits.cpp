// SPDX-License-Identifier: BSL-1.0
#include "limits.hpp"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <fstream>
#include <string>
#include <vector>

#include "pages.hpp"

namespace bench {
namespace {

using arch = oriel::default_arch;
/// Work per second of `block()`, which does `work` each time, over about `length` seconds of
/// `clock`.
template <class Clock, class F>
double rate(Clock&& clock, double length, double work, F&& block) {
  double const start = clock();
  double done = 0.0;
  double elapsed = 0.0;
  do {
    block();
    done += work;
    elapsed = clock() - start;
  } while (elapsed < length);
  return done / elapsed;
}

volatile float float_sink;
volatile std::uint64_t word_sink;
volatile float opaque_factor = 0.75f;
volatile float opaque_term = 0.25f;
volatile std::uint64_t opaque_word = 3;

/// 64 adds per step, each of which waits for the one before: a cycle each. Both operands are
/// registers, since some cores add small constants for free.
constexpr index clock_steps = 1000;
constexpr index adds_per_step = 64;

[[gnu::noinline]] void clock_block() {
  std::uint64_t x = opaque_word;
  std::uint64_t const y = opaque_word;
  for (index i = 0; i < clock_steps; ++i) {
    oriel::unroll<adds_per_step>([&](int) ORIEL_INLINE_LAMBDA {
      x += y;
      asm volatile("" : "+r"(x));  // keeps the compiler from joining two adds
    });
  }
  word_sink = x;
}

/// As many independent sums as hide the latency of a multiply-add, in registers throughout. A block
/// takes some 50 us: to ask for a thread's own time is a system call of up to half a microsecond.
constexpr index fma_steps = 16000;
constexpr int fma_sums = oriel::register_count<arch> == 32 ? 24 : 12;
constexpr double fma_flops = 2.0 * fma_steps * fma_sums * oriel::lanes<arch>;

[[gnu::noinline]] void fma_block() {
  using vec = oriel::vec<arch>;
  vec const factor = oriel::broadcast<arch>(opaque_factor);
  vec const term = oriel::broadcast<arch>(opaque_term);
  vec sum[fma_sums];
  oriel::unroll<fma_sums>([&](int i) ORIEL_INLINE_LAMBDA {
    sum[i] = oriel::broadcast<arch>(opaque_term + static_cast<float>(i));
  });
  for (index step = 0; step < fma_steps; ++step) {
    oriel::unroll<fma_sums>(
        [&](int i) ORIEL_INLINE_LAMBDA { sum[i] = oriel::fma<arch>(sum[i], factor, term); });
  }
  vec all = sum[0];
  oriel::unroll<fma_sums - 1>([&](int i) ORIEL_INLINE_LAMBDA { all = all + sum[i + 1]; });
  float lane[oriel::lanes<arch>];
  oriel::store<arch>(lane, all);
  float total = 0.0f;
  for (float const x : lane) total += x;
  float_sink = total;
}

/// Sums `floats` elements, walking in `Streams` places at once, 256 bytes at a time.
template <int Streams>
[[gnu::noinline]] void read_block(float const* base, index floats) {
  using vec = oriel::vec<arch>;
  constexpr int step = 64;
  constexpr int loads = step / oriel::lanes<arch>;
  constexpr int sums = loads > 1 ? 2 : 1;
  index const part = floats / Streams / step * step;
  vec sum[Streams][sums];
  oriel::unroll<Streams>([&](int s) ORIEL_INLINE_LAMBDA {
    for (vec& x : sum[s]) x = oriel::broadcast<arch>(0.0f);
  });
  for (index i = 0; i < part; i += step) {
    oriel::unroll<Streams>([&](int s) ORIEL_INLINE_LAMBDA {
      float const* const at = base + s * part + i;
      oriel::unroll<loads>([&](int j) ORIEL_INLINE_LAMBDA {
        vec& to = sum[s][j % sums];
        to = to + oriel::load<arch>(at + j * oriel::lanes<arch>);
      });
    });
  }
  vec all = oriel::broadcast<arch>(0.0f);
  oriel::unroll<Streams>([&](int s) ORIEL_INLINE_LAMBDA {
    for (vec const& x : sum[s]) all = all + x;
  });
  float lane[oriel::lanes<arch>];
  oriel::store<arch>(lane, all);
  float total = 0.0f;
  for (float const x : lane) total += x;
  float_sink = total;
}

void read_streams(int streams, float const* base, index floats) {
  switch (streams) {
    case 1: return read_block<1>(base, floats);
    case 2: return read_block<2>(base, floats);
    default: return read_block<4>(base, floats);
  }
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

index walked_over = 0;  ///< 0: not known yet

index l3_bytes() {
  if (index const known = sysconf(_SC_LEVEL3_CACHE_SIZE); known > 0) return known;
  index most = 0;
  for (int i = 0; i < 8; ++i) {
    std::ifstream file("/sys/devices/system/cpu/cpu0/cache/index" + std::to_string(i) + "/size");
    index size = 0;
    char unit = 0;
    if (file >> size >> unit) most = std::max(most, unit == 'M' ? size << 20 : size << 10);
  }
  return most;
}

}  // namespace

index stream_bytes() {
  if (walked_over == 0) walked_over = std::max(index{256} << 20, 4 * l3_bytes());
  return walked_over;
}
void set_stream_bytes(index bytes) { walked_over = bytes; }

peak_limit measure_peak(team& on) {
  auto const workers = static_cast<std::size_t>(on.workers());
  struct sample {
    double before, flops, after;
    bool undisturbed;  ///< no other thread took the processor
  };
  std::vector<sample> samples(workers);
  peak_limit best;
  int believed = 0;
  for (int turn = 0; turn < 400 && believed < 40; ++turn) {
    on.on_every_worker([&](index worker) {
      auto const clock = [] {
        return rate(wall_seconds, 0.0003, clock_steps * adds_per_step, clock_block);
      };
      sample& s = samples[static_cast<std::size_t>(worker)];
      double const wall = wall_seconds();
      double const own = thread_seconds();
      s.before = clock();
      s.flops = rate(wall_seconds, 0.001, fma_flops, fma_block);
      s.after = clock();
      s.undisturbed = thread_seconds() - own > 0.98 * (wall_seconds() - wall);
    });
    peak_limit now{.believed = true};
    for (sample const& s : samples) {
      double const per_cycle = s.flops / ((s.before + s.after) / 2);
      static constexpr std::array whole_numbers{16.0, 32.0, 64.0};
      bool const whole = std::any_of(whole_numbers.begin(), whole_numbers.end(),
                                     [&](double x) { return std::abs(per_cycle / x - 1) < 0.03; });
      now.gflops += s.flops / 1e9;
      now.clock_ghz += (s.before + s.after) / 2e9 / static_cast<double>(workers);
      now.believed &= s.undisturbed && whole && std::abs(s.before / s.after - 1) < 0.03;
    }
    now.flop_per_cycle = now.gflops / now.clock_ghz / static_cast<double>(workers);
    believed += now.believed ? 1 : 0;
    bool const better = now.gflops > best.gflops;
    if (now.believed != best.believed ? now.believed : better) best = now;
  }
  return best;
}

double peak_slice(team& on, double seconds) {
  std::vector<double> rates(static_cast<std::size_t>(on.workers()));
  on.on_every_worker([&](index worker) {
    rates[static_cast<std::size_t>(worker)] =
        rate([&] { return on.seconds(); }, seconds, fma_flops, fma_block);
  });
  double sum = 0.0;
  for (double const x : rates) sum += x / 1e9;
  return sum;
}

double stream_reader::slice(team& on, int streams, double seconds) {
  // Pieces are small enough that no worker waits long for another at the end.
  constexpr index pieces = 8;
  constexpr index chunks = 8;
  auto const floats = static_cast<index>(memory_.size());
  index const chunk = floats / chunks;
  index const piece = chunk / pieces / 256 * 256;
  double const bytes = static_cast<double>(piece * pieces) * sizeof(float);
  return rate([&] { return on.seconds(); }, seconds, bytes,
              [&] {
                float const* const base = memory_.data() + next_ * chunk;
                next_ = (next_ + 1) % chunks;
                on.run(pieces,
                       [&](index i, index) { read_streams(streams, base + i * piece, piece); });
              }) /
         1e9;
}

stream_limit stream_reader::calibrate(team& on, int rounds) {
  constexpr std::array counts{1, 2, 4};
  std::array<std::vector<double>, counts.size()> rates;
  for (int round = 0; round < rounds; ++round) {
    for (std::size_t i = 0; i < counts.size(); ++i) {
      rates[i].push_back(slice(on, counts[i], 0.02));
    }
  }
  stream_limit best;
  for (std::size_t i = 0; i < counts.size(); ++i) {
    double const typical = median(rates[i]);
    if (typical > best.gb_per_s) best = {typical, counts[i]};
  }
  return best;
}

stream_limit measure_stream(team& on) {
  pages const memory(stream_bytes());
  for (float& x : memory.floats()) x = 1.0f;
  stream_reader reader(memory.floats());
  return reader.calibrate(on, 7);
}

}  // namespace bench
