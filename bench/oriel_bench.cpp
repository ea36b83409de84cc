// SPDX-License-Identifier: BSL-1.0
// Times attention against the limits of the machine; refuses to time a wrong answer.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdio>
#include <iostream>
#include <map>
#include <oriel_build_info.hpp>
#include <thread>

#include "default_cases.hpp"
#include "extra_bytes.hpp"
#include "limits.hpp"
#include "pairing.hpp"
#include "problem.hpp"
#include "verify.hpp"

namespace bench {
namespace {

constexpr char const* usage =
    "oriel_bench [--case 'prefill|append|decode|moba key=value ...']... [--benchmark_<flag>=...]\n"
    "\n"
    "  prefill  len=N          as many keys as queries\n"
    "  append   len=N kv=M     N queries at the end of M keys\n"
    "  decode   kv=M           one query at the end of M keys\n"
    "  moba     len=N          prefill, causal, whose rows choose their blocks of keys\n"
    "           heads=Q:KV dim=D     needed by all\n"
    "           vdim=D  threads=T  layout=tokens|heads  source=contiguous|rolling\n"
    "           storage=f32|bf16|f16|int8|int4|q8_0|q4_0     keys and values; of a rolling source "
    "f32\n"
    "           q=f32|bf16|f16  out=f32|bf16|f16             queries, results\n"
    "           compute=exact|fast                           fast may round queries and weights\n"
    "           mask=TERM+TERM...    softcap=C  alibi=1  bias=1  sink_logits=1\n"
    "           block=B topk=K       moba, append and decode: a row attends to its own block of B\n"
    "                                keys and the K-1 before it that it chooses by their mean key\n"
    "\n"
    "Terms of a mask, joined by + as by \"and\", causal by default:\n"
    "  full              every key; stands alone\n"
    "  causal            keys up to the query's own\n"
    "  window:N          the N most recent keys (with causal: N in all)\n"
    "  window:L:R        L keys before the query's own and R after it\n"
    "  chunk:N           the query's own chunk of N positions\n"
    "  sinks:N           or the first N keys: widens the window or chunk directly before it\n"
    "  prefix:N          or the first N keys: widens everything before it\n"
    "  documents:A,B,..  the query's own document; the lengths sum to the keys\n"
    "  spans:N:M         or the same span, of N tokens, one every M: widens everything before it,\n"
    "                    or causal if it comes first\n"
    "  tree:N            append: the N=len new tokens are a binary tree of drafts\n"
    "  padding:N         N slots of padding on the left, before all that the other terms say\n"
    "  dense             causal, as a tensor of a byte per pair\n"
    "From left to right: causal+window:512+prefix:100 is (causal and window) or prefix;\n"
    "causal+window:512+sinks:4 is causal and (window or sinks). A rolling source serves full,\n"
    "causal, windows and chunks. Scores are capped first, then ALiBi's, then biased.\n"
    "\n"
    "With block=, the case is also run in turns with the call that has no blocks. dense_seconds "
    "and\n"
    "moba_seconds are the lower quartiles (of few runs: the least), ideal is how many times fewer\n"
    "pairs (decode: bytes) the case has, and reached the percentage of it that the times show.\n"
    "means_seconds, the time to take the means of the blocks, is not part of a call.\n"
    "\n"
    "Without --case a table of its own is timed. Exit status: 1 if an answer was wrong (it is not\n"
    "timed), 2 for a case that can't be read. For tests of this program: --spoil-answers makes "
    "every\n"
    "answer wrong, --stay-in-cache reads 32 MiB where memory should be read.\n";

struct machine_limits {
  peak_limit peak;
  stream_limit stream;
};

/// Of few values the least.
double lower_quartile(std::vector<double>& values) {
  auto const at = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 4);
  std::nth_element(values.begin(), at, values.end());
  return *at;
}

/// Everything a case needs besides what Google Benchmark has; kept from one of its tries to the
/// next.
class runner {
 public:
  runner(bench_case const& c, machine_limits const& limits)
      : problem_(c), limits_(limits), team_(c.threads), reader_(problem_.stored()) {
    if (c.what != kind::prefill) stream_ = reader_.calibrate(team_, 3);
  }

  /// Runs the call, measures its memory and compares its answer.
  bool prepare(bool spoil) {
    auto& out = problem_.out().bytes();
    std::fill(out.begin(), out.end(), std::byte{0xff});  // NaN of every type
    if (!attend(0, team_)) return false;
    if (spoil) spoil_last();
    verdict_ = verify(problem_.call(0), problem_.visible().pairs, problem_.mask().edges());
    if (!verdict_.right) return false;
    answer_ = out;

    stack_watch const stacks(team_);
    heap_watch const heap;
    (void)attend(0, team_);
    index const heap_bytes = heap.peak();
    extra_bytes_ =
        problem_.plan().workspace_bytes() + problem_.means_bytes() + heap_bytes + stacks.used();
    return true;
  }

  void time(benchmark::State& state) {
    bench_case const& c = problem_.of();
    pairing pace(state, team_,
                 {.peak = c.what != kind::decode || c.stored != storage::f32,
                  .stream = c.what == kind::prefill ? nullptr : &reader_,
                  .streams = stream_.streams,
                  .flops = problem_.useful_flops(),
                  .bytes = problem_.visible_bytes()});
    bool const between_tasks = c.what == kind::prefill && c.threads == 1;
    pace.start();
    for ([[maybe_unused]] auto _ : state) {
      next_ = next_ + 1 < problem_.instances() ? next_ + 1 : 0;
      between_tasks ? attend(next_, paced_serial{&pace}) : attend(next_, team_);
      pace.after_call();
    }
    report(state, pace.finish());
    if (c.chooses()) report_dense(state);
    (void)attend(0, team_);
    if (answer_ != problem_.out().bytes()) {
      state.SkipWithError("the answer changed while it was timed");
    }
  }

  std::string complaint() const {
    char text[120];
    std::snprintf(text, sizeof text, "wrong answer: error %.3g, largest value %.3g in %lld rows",
                  verdict_.error, verdict_.largest, static_cast<long long>(verdict_.rows));
    return status_.ok() ? text : status_.what;
  }

 private:
  template <class Executor>
  bool attend(index instance, Executor&& on) {
    return run(problem_.call(instance), on);
  }
  template <class Executor>
  bool run(oriel::attention const& call, Executor&& on) {
    status_ = oriel::attend(problem_.plan(), call, problem_.workspace(), on);
    return status_.ok();
  }

  void spoil_last() {
    problem_.out().view().visit([]<class T>(oriel::tensor_view<T> const& out) {
      T& last = out.row(out.tokens - 1, out.heads - 1)[out.dim - 1];
      auto const x = static_cast<float>(last);
      last = T(x + 1e-3f + std::abs(x) / 16.0f);
    });
  }

  /// Block selection and the same call without it, in turns, at least once.
  void report_dense(benchmark::State& state) {
    auto const time_once = [&](oriel::attention const& call, std::vector<double>& all) {
      double const start = team_.seconds();
      bool const done = run(call, team_);
      all.push_back(team_.seconds() - start);
      return done;
    };
    constexpr double enough_seconds = 0.5;
    double const start = wall_seconds();
    do {
      next_ = next_ + 1 < problem_.instances() ? next_ + 1 : 0;
      if (!time_once(problem_.dense_call(next_), dense_times_) ||
          !time_once(problem_.call(next_), moba_times_)) {
        return state.SkipWithError(status_.what);
      }
    } while (wall_seconds() - start < enough_seconds);
    double const dense = lower_quartile(dense_times_);
    double const moba = lower_quartile(moba_times_);
    auto& counters = state.counters;
    counters["dense_seconds"] = dense;
    counters["moba_seconds"] = moba;
    counters["speedup"] = dense / moba;
    counters["ideal"] = problem_.ideal();
    counters["reached"] = 100.0 * dense / moba / problem_.ideal();
    counters["means_seconds"] = problem_.means_seconds();
    counters["means_bytes"] = static_cast<double>(problem_.means_bytes());
    counters["extra_pct"] =
        100.0 * static_cast<double>(extra_bytes_) / static_cast<double>(problem_.tensor_bytes());
  }

  void report(benchmark::State& state, pairing_result const& r) const {
    double const gflops = problem_.useful_flops() / r.seconds / 1e9;
    double const gb_per_s = problem_.visible_bytes() / r.seconds / 1e9;
    bool const paired_peak = r.peak_gflops > 0.0;
    bool const paired_stream = r.stream_gb_per_s > 0.0;
    double const peak = paired_peak ? r.peak_gflops : limits_.peak.gflops;
    double const stream = paired_stream ? r.stream_gb_per_s : limits_.stream.gb_per_s;
    auto& counters = state.counters;
    counters["useful_gflops"] = gflops;
    counters["gb_per_s"] = gb_per_s;
    double const stretch = r.seconds / r.team_seconds;  // by a busy machine; the limits are not
    counters["pct_of_peak"] = 100.0 * (paired_peak ? r.of_peak : gflops * stretch / peak);
    counters["pct_of_stream"] = 100.0 * (paired_stream ? r.of_stream : gb_per_s * stretch / stream);
    counters["extra_bytes"] = static_cast<double>(extra_bytes_);
    counters["mask_bytes"] = static_cast<double>(problem_.mask().bytes());
    counters["dense_mask_bytes"] = static_cast<double>(problem_.dense_mask_bytes());
    counters["visible_pairs"] =
        static_cast<double>(problem_.visible().pairs) / static_cast<double>(problem_.of().q_heads);
    counters["peak_gflops"] = peak;
    counters["stream_gb_per_s"] = stream;
    counters["verified_rows"] = static_cast<double>(verdict_.rows);
    counters["relative_error"] = verdict_.error / verdict_.largest;
  }

  problem problem_;
  machine_limits limits_;
  team team_;
  stream_reader reader_;
  stream_limit stream_;
  oriel::status status_;
  verdict verdict_;
  std::vector<std::byte> answer_;
  index extra_bytes_ = 0;
  std::vector<double> dense_times_, moba_times_;
  index next_ = 0;
};

/// The case being timed; the one before is freed first.
class stage {
 public:
  /// Null if the case's answer is wrong; complaint() says why.
  runner* enter(std::size_t number, bench_case const& c, machine_limits const& limits, bool spoil) {
    if (number == number_ && runner_) return right_ ? runner_.get() : nullptr;
    runner_.reset();
    runner_ = std::make_unique<runner>(c, limits);
    number_ = number;
    right_ = runner_->prepare(spoil);
    if (!right_) {
      complaint_ = runner_->complaint();
      failed_ = true;
      std::cerr << "oriel_bench: " << c.text << ": " << complaint_ << '\n';
    }
    return right_ ? runner_.get() : nullptr;
  }
  char const* complaint() const { return complaint_.c_str(); }
  void fail() { failed_ = true; }
  bool failed() const { return failed_; }

 private:
  std::unique_ptr<runner> runner_;
  std::size_t number_ = 0;
  bool right_ = false;
  bool failed_ = false;
  std::string complaint_;
};

std::string number(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%.4g", value);
  return text;
}

machine_limits measure_limits(index threads) {
  team on(threads);
  machine_limits const limits{measure_peak(on), measure_stream(on)};
  peak_limit const& peak = limits.peak;
  std::cerr << "threads=" << threads << ": peak " << number(peak.gflops) << " GFLOP/s, "
            << number(peak.flop_per_cycle) << " flop per cycle at " << number(peak.clock_ghz)
            << " GHz" << (peak.believed ? "" : " (peak unreliable)") << "; stream "
            << number(limits.stream.gb_per_s) << " GB/s from " << limits.stream.streams
            << " read streams\n";
  return limits;
}

void add_context(index threads, bool first, machine_limits const& limits) {
  std::string const suffix = first ? "" : "_threads_" + std::to_string(threads);
  auto const add = [&](std::string const& key, std::string const& value) {
    benchmark::AddCustomContext(key + suffix, value);
  };
  add("threads", std::to_string(threads));
  add("peak_gflops", number(limits.peak.gflops));
  add("peak", limits.peak.believed ? "believed" : "peak unreliable");
  add("clock_ghz", number(limits.peak.clock_ghz));
  add("flop_per_cycle", number(limits.peak.flop_per_cycle));
  add("stream_gb_per_s", number(limits.stream.gb_per_s));
  add("streams", std::to_string(limits.stream.streams));
}

struct options {
  std::vector<std::string> cases;
  bool spoil = false;
};

/// Takes our own options out of argv.
options take_options(int& argc, char** argv) {
  options taken;
  int kept = 1;
  for (int i = 1; i < argc; ++i) {
    std::string_view const word = argv[i];
    if (word == "--case") {
      if (i + 1 == argc) throw bad_case("'--case': needs a case after it");
      taken.cases.emplace_back(argv[++i]);
    } else if (word.starts_with("--case=")) {
      taken.cases.emplace_back(word.substr(7));
    } else if (word == "--spoil-answers") {
      taken.spoil = true;
    } else if (word == "--stay-in-cache") {
      set_stream_bytes(index{32} << 20);
    } else if (word == "--help" || word == "-h") {
      std::cout << usage;
      std::exit(0);
    } else {
      argv[kept++] = argv[i];
    }
  }
  argc = kept;
  return taken;
}

int run(int argc, char** argv) {
  options const given = take_options(argc, argv);
  std::vector<bench_case> cases;
  for (std::string const& text : given.cases) cases.push_back(parse_case(text));
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
  if (given.cases.empty()) {
    auto const processors = static_cast<index>(std::thread::hardware_concurrency());
    for (char const* const text : default_cases) {
      bench_case const c = parse_case(text);
      if (c.threads <= oriel::max_of(1, processors)) cases.push_back(c);
    }
  }

  std::cerr << "isa " << ORIEL_BUILD_ISA << " (" << ORIEL_BUILD_ARCH_FLAGS << ", "
            << ORIEL_BUILD_COMPILER << ")\n";
  benchmark::AddCustomContext("isa", ORIEL_BUILD_ISA);
  benchmark::AddCustomContext("compiler", ORIEL_BUILD_COMPILER);
  benchmark::AddCustomContext("cpu", ORIEL_BUILD_CPU);
  std::map<index, machine_limits> limits;
  for (bench_case const& c : cases) limits.try_emplace(c.threads);
  for (auto& [threads, measured] : limits) {
    measured = measure_limits(threads);
    add_context(threads, threads == limits.begin()->first, measured);
  }

  stage on;
  for (std::size_t i = 0; i < cases.size(); ++i) {
    bench_case const& c = cases[i];
    auto const body = [&, i](benchmark::State& state) {
      runner* const ready = on.enter(i, cases[i], limits.at(cases[i].threads), given.spoil);
      if (ready == nullptr) return state.SkipWithError(on.complaint());
      ready->time(state);
      if (state.error_occurred()) on.fail();
    };
    benchmark::RegisterBenchmark(c.text.c_str(), body)->Unit(benchmark::kNanosecond);
  }
  benchmark::RunSpecifiedBenchmarks();
  benchmark::Shutdown();
  return on.failed() ? 1 : 0;
}

}  // namespace
}  // namespace bench

int main(int argc, char** argv) {
  try {
    return bench::run(argc, argv);
  } catch (bench::bad_case const& e) {
    std::cerr << "oriel_bench: " << e.what() << '\n';
    return 2;
  } catch (std::exception const& e) {
    std::cerr << "oriel_bench: " << e.what() << '\n';
    return 1;
  }
}
