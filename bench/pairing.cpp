// SPDX-License-Identifier: BSL-1.0
#include "pairing.hpp"

#include <algorithm>
#include <numeric>

namespace bench {
namespace {

double mean(std::vector<double> const& values) {
  return std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
}

double median(std::vector<double> values) {
  if (values.empty()) return 0.0;
  std::sort(values.begin(), values.end());
  std::size_t const half = values.size() / 2;
  return values.size() % 2 == 1 ? values[half] : (values[half - 1] + values[half]) / 2;
}

}  // namespace

pairing::pairing(benchmark::State& state, team& on, pairing_options const& options)
    : state_(state), on_(on), options_(options) {}

void pairing::sample_limits() {
  constexpr double peak_seconds = 0.004;
  if (options_.peak) now_.peaks.push_back(peak_slice(on_, peak_seconds));
  if (options_.stream != nullptr) {
    now_.streams.push_back(options_.stream->slice(on_, options_.streams, slice_seconds));
  }
}

void pairing::start() {
  wall_start_ = wall_seconds();
  start_ = on_.seconds();
}

void pairing::end_slice() {
  now_.kernel += on_.seconds() - start_;
  now_.wall += wall_seconds() - wall_start_;
}

void pairing::after_task() {
  if (wall_seconds() - wall_start_ < slice_seconds) return;
  state_.PauseTiming();
  end_slice();
  sample_limits();
  state_.ResumeTiming();
  start();
}

void pairing::after_call() {
  now_.calls += 1.0;
  if (now_.wall + wall_seconds() - wall_start_ < slice_seconds) return;
  state_.PauseTiming();
  end_slice();
  sample_limits();
  end_round();
  state_.ResumeTiming();
  start();
}

void pairing::end_round() {
  double const rate = now_.calls / now_.kernel / 1e9;
  if (!now_.peaks.empty()) {
    peaks_.push_back(mean(now_.peaks));
    of_peak_.push_back(rate * options_.flops / peaks_.back());
  }
  if (!now_.streams.empty()) {
    streams_.push_back(mean(now_.streams));
    of_stream_.push_back(rate * options_.bytes / streams_.back());
  }
  wall_ += now_.wall;
  kernel_ += now_.kernel;
  calls_ += now_.calls;
  now_ = {};
}

pairing_result pairing::finish() {
  if (now_.calls > 0.0) {
    end_slice();
    if (calls_ == 0.0) sample_limits();  // the only round
    end_round();
  }
  return {.seconds = wall_ / calls_,
          .team_seconds = kernel_ / calls_,
          .of_peak = median(of_peak_),
          .of_stream = median(of_stream_),
          .peak_gflops = median(peaks_),
          .stream_gb_per_s = median(streams_)};
}

}  // namespace bench
