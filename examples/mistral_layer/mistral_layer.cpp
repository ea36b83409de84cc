// SPDX-License-Identifier: BSL-1.0
// The attention of one layer of Mistral 7B at its real shape, over a rolling cache: a prompt in
// chunks, then decoding; sampled tokens are compared with the definition in double precision over a
// full cache, each with its row of a precomputed mask. Queries, keys and values are made up, so
// there is no rotary embedding: oriel attends to keys as they are, rotated or not.
//
// With --tokens 6000 --chunk 1000 --window 512 it prints, where * differs between machines:
//   heads 32:8, head_dim 128, window 512, fp32: 6000 tokens in chunks of 1000, then 64 more
//   prefill   * s, * GFLOP/s on * thread(s)
//   decode    * ms a token, * GB/s
//   bytes                           one layer      32 layers
//   rolling cache                     4194304      134217728
//   full cache                       49676288     1589641216
//   generated mask                          0              0
//   mask, one byte per pair          36000000     1152000000
//   mask, one float per pair        144000000     4608000000
//   workspace *  for all layers
//   64 sampled tokens differ by * of the largest value, at most 2e-06
#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <oriel/interop/owning.hpp>
#include <oriel/interop/thread_pool.hpp>
#include <oriel/oriel.hpp>
#include <thread>
#include <vector>

namespace mistral {
namespace {

using oriel::index;
using oriel::range;
using oriel::status;
using rows = oriel::tensor_view<float const>;

constexpr index q_heads = 32;
constexpr index kv_heads = 8;
constexpr index head_dim = 128;
constexpr index layers = 32;
constexpr index row_bytes = head_dim * index{sizeof(float)};
constexpr double most_difference = 2e-6;  // of the largest value

struct options {
  index tokens = 32768;
  index chunk = 4096;
  index window = 4096;
  index decode = 64;
  index threads = std::clamp(std::thread::hardware_concurrency(), 1u, 256u);

  index all() const noexcept { return tokens + decode; }
};

// --- made-up tensors -----------------------------------------------------------------------------

enum class tensor : std::uint64_t { q, k, v };

/// Mean 0, variance 1, the same whenever it is asked for: splitmix64 (Steele et al. 2014) of the
/// place.
float made_up(tensor of, index place) noexcept {
  std::uint64_t x = 3 * static_cast<std::uint64_t>(place) + static_cast<std::uint64_t>(of);
  x *= 0x9e3779b97f4a7c15;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
  x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
  auto const signed_24_bits = static_cast<float>(static_cast<std::int64_t>(x) >> 40);
  return signed_24_bits * (1.7320508f / (1 << 23));  // uniform in +-sqrt(3)
}

/// [positions, heads, head_dim] of a tensor.
std::vector<float> made_up(tensor of, range positions, index heads) {
  std::vector<float> x(static_cast<std::size_t>(positions.size() * heads * head_dim));
  index place = positions.begin * heads * head_dim;
  for (float& y : x) y = made_up(of, place++);
  return x;
}

rows view(std::vector<float> const& x, index heads) noexcept {
  return {x.data(), std::ssize(x) / (heads * head_dim), heads, head_dim};
}

// --- the layer -----------------------------------------------------------------------------------

/// What a layer keeps: a ring of keys and values.
class layer {
 public:
  layer(options const& o, oriel::thread_pool& pool)
      : pool_(pool),
        mask_(oriel::causal{} & oriel::sliding_window{.keys = o.window}),
        plan_(oriel::plan_attend({.q_len = o.chunk,
                                  .kv_len = o.window + o.chunk,
                                  .q_heads = q_heads,
                                  .kv_heads = kv_heads,
                                  .head_dim = head_dim},
                                 pool.workers())),
        scratch_(plan_.workspace_bytes()),
        bytes_(cache::required_bytes(shape(o))),
        ring_(bytes_, shape(o)) {}

  /// Attends the next tokens, a chunk of a prompt or one, to the window before them and to
  /// themselves; then the ring takes their keys and values.
  status extend(rows q, rows k, rows v, oriel::tensor_view<float> out) {
    oriel::attention const call{
        .q = q, .kv = oriel::joined{ring_, k, v}, .mask = mask_, .out = out};
    if (status s = oriel::attend(plan_, call, scratch_, pool_); !s.ok()) return s;
    return ring_.append(k, v);
  }

  index ring_bytes() const noexcept { return bytes_.size(); }
  index workspace_bytes() const noexcept { return scratch_.size(); }

 private:
  using cache = oriel::rolling_cache<oriel::f32>;
  static oriel::cache_shape shape(options const& o) noexcept {
    return {.window = o.window, .kv_heads = kv_heads, .head_dim = head_dim};
  }

  oriel::thread_pool& pool_;
  oriel::any_mask mask_;
  oriel::attend_plan plan_;
  oriel::aligned_bytes scratch_;
  oriel::aligned_bytes bytes_;
  cache ring_;
};

/// What the layer answered to one token.
struct sample {
  index position;
  std::vector<float> out;  ///< [q_heads, head_dim]
};

/// Is this token compared? 48 of the prompt and 16 of the decoded, evenly, the last of each.
bool is_sampled(options const& o, index position) noexcept {
  auto const one_of = [](index i, index n, index count) {
    return (i + 1) * count / n > i * count / n;
  };
  return position < o.tokens ? one_of(position, o.tokens, 48)
                             : one_of(position - o.tokens, o.decode, 16);
}

struct measured {
  double prefill_seconds = 0.0;
  double decode_seconds = 0.0;
  std::vector<sample> samples;
};

double seconds() noexcept {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

/// Gives the layer all tokens, chunk by chunk, then one by one.
status run(options const& o, layer& attention, measured& m) {
  for (range now; now.end < o.all();) {
    bool const prompt = now.end < o.tokens;
    now = {now.end, prompt ? std::min(now.end + o.chunk, o.tokens) : now.end + 1};
    std::vector<float> const q = made_up(tensor::q, now, q_heads);
    std::vector<float> const k = made_up(tensor::k, now, kv_heads);
    std::vector<float> const v = made_up(tensor::v, now, kv_heads);
    std::vector<float> out(q.size());
    oriel::tensor_view<float> const to(out.data(), now.size(), q_heads, head_dim);

    double const start = seconds();
    if (status s = attention.extend(view(q, q_heads), view(k, kv_heads), view(v, kv_heads), to);
        !s.ok()) {
      return s;
    }
    (prompt ? m.prefill_seconds : m.decode_seconds) += seconds() - start;

    for (index p = now.begin; p < now.end; ++p) {
      if (!is_sampled(o, p)) continue;
      float const* const row = to.row(p - now.begin, 0);
      m.samples.push_back({p, {row, row + q_heads * head_dim}});
    }
  }
  return {};
}

// --- the other way -------------------------------------------------------------------------------

/// A row of a precomputed mask, one byte per key: a mask of our own, unknown to oriel.
struct mask_row {
  std::uint8_t const* shown;

  bool visible(index, index key) const noexcept { return shown[key] != 0; }
  oriel::coverage cover(range, range) const noexcept { return oriel::coverage::some; }
  oriel::key_ranges reach(range) const noexcept { return oriel::everywhere; }
};

/// Largest difference between the samples and attention as it is defined, in double precision, over
/// all keys and values; as a fraction of the largest value.
status compare(options const& o, std::vector<sample> const& samples, double& difference) {
  std::vector<float> const k = made_up(tensor::k, {0, o.all()}, kv_heads);
  std::vector<float> const v = made_up(tensor::v, {0, o.all()}, kv_heads);
  std::vector<std::uint8_t> shown(static_cast<std::size_t>(o.all()));
  std::vector<double> expected(static_cast<std::size_t>(q_heads * head_dim));
  double largest = 0.0;
  double error = 0.0;
  for (sample const& given : samples) {
    for (index key = 0; key < o.all(); ++key) {
      index const age = given.position - key;
      shown[static_cast<std::size_t>(key)] = 0 <= age && age < o.window;
    }
    range const own{given.position, given.position + 1};
    std::vector<float> const q = made_up(tensor::q, own, q_heads);
    oriel::attention const call{.q = view(q, q_heads),
                                .kv = oriel::contiguous{view(k, kv_heads), view(v, kv_heads)},
                                .mask = mask_row{shown.data()},
                                .out = {},
                                .first_query = given.position};
    if (status s = oriel::reference(call, {expected.data(), 1, q_heads, head_dim}); !s.ok()) {
      return s;
    }
    for (std::size_t i = 0; i < expected.size(); ++i) {
      double const e = std::abs(given.out[i] - expected[i]);
      if (!(e <= error)) error = e;  // a NaN stays
      largest = std::max(largest, std::abs(expected[i]));
    }
  }
  difference = error / largest;
  return {};
}

// --- the program ---------------------------------------------------------------------------------

/// Floating-point operations of the prompt: two products of every query with the keys it sees.
double prefill_flops(options const& o) noexcept {
  index pairs = 0;
  for (index p = 0; p < o.tokens; ++p) pairs += std::min(p + 1, o.window);
  return 4.0 * static_cast<double>(pairs * q_heads * head_dim);
}

/// Bytes of keys and values that the decoded tokens see.
double decode_bytes(options const& o) noexcept {
  index keys = 0;
  for (index p = o.tokens; p < o.all(); ++p) keys += std::min(p + 1, o.window);
  return 2.0 * static_cast<double>(keys * kv_heads * row_bytes);
}

void print(options const& o, layer const& attention, measured const& m) {
  auto const n = [](index i) { return static_cast<long long>(i); };
  std::printf("heads %lld:%lld, head_dim %lld, window %lld, fp32: ", n(q_heads), n(kv_heads),
              n(head_dim), n(o.window));
  std::printf("%lld tokens in chunks of %lld, then %lld more\n", n(o.tokens), n(o.chunk),
              n(o.decode));
  std::printf("prefill   %.2f s, %.1f GFLOP/s on %lld thread(s)\n", m.prefill_seconds,
              1e-9 * prefill_flops(o) / m.prefill_seconds, n(o.threads));
  if (o.decode > 0) {
    std::printf("decode    %.2f ms a token, %.1f GB/s\n",
                1e3 * m.decode_seconds / static_cast<double>(o.decode),
                1e-9 * decode_bytes(o) / m.decode_seconds);
  }
  auto const print_bytes = [&](char const* what, index bytes) {
    std::printf("%-26s %14lld %14lld\n", what, n(bytes), n(layers * bytes));
  };
  std::printf("%-26s %14s %14s\n", "bytes", "one layer", "32 layers");
  print_bytes("rolling cache", attention.ring_bytes());
  print_bytes("full cache", o.all() * kv_heads * 2 * row_bytes);
  print_bytes("generated mask", 0);
  print_bytes("mask, one byte per pair", o.tokens * o.tokens);
  print_bytes("mask, one float per pair", o.tokens * o.tokens * index{sizeof(float)});
  std::printf("%-26s %14lld  for all layers\n", "workspace", n(attention.workspace_bytes()));
}

int run(options const& o) {
  oriel::thread_pool pool(o.threads);
  layer attention(o, pool);
  measured m;
  double difference = 0.0;
  status s = run(o, attention, m);
  if (s.ok()) {
    print(o, attention, m);
    s = compare(o, m.samples, difference);
  }
  if (!s.ok()) {
    std::fprintf(stderr, "mistral_layer: %s\n", s.what);
    return 1;
  }
  bool const close = difference <= most_difference;
  std::printf("%zu sampled tokens differ by %.1e of the largest value, %s %.0e\n", m.samples.size(),
              difference, close ? "at most" : "MORE THAN", most_difference);
  return close ? 0 : 1;
}

int parse_and_run(int argc, char** argv) {
  options o;
  CLI::App app("The attention of one layer of Mistral 7B over a rolling cache", "mistral_layer");
  CLI::Range const length(index{1}, index{1} << 24);
  app.add_option("--tokens", o.tokens, "tokens of the prompt")
      ->capture_default_str()
      ->check(length);
  app.add_option("--chunk", o.chunk, "tokens prefilled at once")
      ->capture_default_str()
      ->check(length);
  app.add_option("--window", o.window, "keys a token sees, its own included")
      ->capture_default_str()
      ->check(length);
  app.add_option("--decode", o.decode, "tokens after the prompt, one at a time")
      ->capture_default_str()
      ->check(CLI::Range(index{0}, index{1} << 24));
  app.add_option("--threads", o.threads, "worker threads")
      ->capture_default_str()
      ->check(CLI::Range(index{1}, index{256}));
  CLI11_PARSE(app, argc, argv);
  try {
    return run(o);
  } catch (std::exception const& e) {  // no memory, no threads
    std::fprintf(stderr, "mistral_layer: %s\n", e.what());
  }
  return 1;
}

}  // namespace
}  // namespace mistral

int main(int argc, char** argv) { return mistral::parse_and_run(argc, argv); }
