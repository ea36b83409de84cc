// SPDX-License-Identifier: BSL-1.0
// The attention layers of Llama 4 at Scout's shape. Of every four layers three are chunked, with
// rotary positions: a token sees its own chunk of 8192 positions up to itself. The fourth is global
// and has no positions at all. When a chunk ends, all its rows are dead for every later query, so a
// ring of one chunk's rows serves any context, here ten million tokens; only global layers grow.
//
// Queries, keys and values are made up. What Llama 4 does to queries and keys besides the rotation
// (norms; a temperature that grows with the position in global layers) belongs before the call:
// oriel attends to rows as they are.
//
// With --kv bf16 or f16 the rings keep rows of 2 bytes a number, and queries and answers are of that
// type too. Answers are then compared with one call over rows rounded the same way, and with the
// definition over rows that are not rounded, within limits derived from the rounding (`slack_of`).
//
// With --check-chunk 128 --chunk 512 --positions 20000 --every 509 --global-positions 4096 it
// prints, where * differs between machines:
//   heads 40:8, head_dim 128, fp32
//   check: chunks of 128; 504 tokens in pieces of 80, then 16 tokens one by one
//   layer 0  chunked  ring of    128 rows  off by * from one call, * from the definition
//   layer 1  chunked  ring of    128 rows  off by * from one call, * from the definition
//   layer 2  chunked  ring of    128 rows  off by * from one call, * from the definition
//   layer 3  global   ring of    520 rows  off by * from one call, * from the definition
//   of the largest value; at most 4e-06
//   a chunked layer through 20000 positions, chunks of 512, a query every 509
//   position         512  resident * MiB
//   position        5000  resident * MiB
//   position       10000  resident * MiB
//   position       15000  resident * MiB
//   position       20000  resident * MiB
//   resident memory grew by less than 4 MiB
//   in all    * s, * positions a second
//   rotation  * s, * ns a position
//   append    * s, * ns a position, * GB/s
//   attention * s, * ms a query, 39 queries
//   8 of the queries are off by * of the largest value; at most 4e-06
//   a global layer
//   position        1024  resident * MiB more, of    8.0 MiB of keys and values
//   position        2048  resident * MiB more, of   16.0 MiB of keys and values
//   position        3072  resident * MiB more, of   24.0 MiB of keys and values
//   position        4096  resident * MiB more, of   32.0 MiB of keys and values
//   bytes at position       chunked layer    global layer         36 + 12       48 global
//                4096             4194304        33554432       553648128      1610612736
//            10000000             4194304     81920000000    983190994944   3932160000000
#include <unistd.h>
#include <CLI/CLI.hpp>

#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <fstream>
#include <oriel/interop/owning.hpp>
#include <oriel/interop/thread_pool.hpp>
#include <oriel/interop/throwing.hpp>
#include <oriel/oriel.hpp>
#include <string>
#include <thread>
#include <type_traits>
#include <vector>

namespace llama4 {
namespace {

using oriel::index;
using oriel::range;
using oriel::require;
using rows = oriel::tensor_view<float const>;

constexpr index q_heads = 40;
constexpr index kv_heads = 8;
constexpr index head_dim = 128;
constexpr index chunked_layers = 36;
constexpr index global_layers = 12;
constexpr index q_row = q_heads * head_dim;
constexpr index kv_row = kv_heads * head_dim;
/// Of a layer, its numbers stored as T: 8 KiB, or 4.
template <class T>
constexpr index position_bytes = 2 * kv_row* index{sizeof(T)};
constexpr double theta = 500000.0;
constexpr double most_difference = 4e-6;  // of the largest value
constexpr index most_growth = index{4} << 20;
constexpr index million = 1000000;

struct options {
  index check_chunk = 1024;
  index chunk = 8192;
  index positions = 10 * million;
  index every = 8192;
  index checks = 8;
  index global_positions = 0;  // 0: as many as fit
  index threads = std::clamp(std::thread::hardware_concurrency(), 1u, 256u);
  std::string kv = "f32";
};

long long n(index i) noexcept { return i; }

double seconds() noexcept {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

/// count * quarter / 4.
constexpr index quarter_of(index count, index quarter) noexcept {
  return count / 4 * quarter + count % 4 * quarter / 4;
}

constexpr double mib(index bytes) noexcept { return static_cast<double>(bytes) / (1 << 20); }

/// Bytes of this process that lie in memory, from Linux' /proc/self/statm; elsewhere 0.
index resident_bytes() {
  std::ifstream in("/proc/self/statm");
  index all = 0;
  index resident = 0;
  return in >> all >> resident ? resident * ::sysconf(_SC_PAGESIZE) : 0;
}

/// Bytes that could be had without swapping, from /proc/meminfo; elsewhere 1 GiB.
index available_bytes() {
  std::ifstream in("/proc/meminfo");
  for (std::string word; in >> word;) {
    index kib = 0;
    if (word == "MemAvailable:" && in >> kib) return kib << 10;
  }
  return index{1} << 30;
}

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

/// Rows of some tokens, [tokens, heads, head_dim].
std::vector<float> made_up(tensor of, range tokens, index heads) {
  std::vector<float> x(static_cast<std::size_t>(tokens.size() * heads * head_dim));
  index place = tokens.begin * heads * head_dim;
  for (float& y : x) y = made_up(of, place++);
  return x;
}

/// Tokens `part` of such rows.
template <class T>
oriel::tensor_view<T const> view(std::vector<T> const& x, index heads, range part) noexcept {
  return {x.data() + part.begin * heads * head_dim, part.size(), heads, head_dim};
}
template <class T>
oriel::tensor_view<T const> view(std::vector<T> const& x, index heads) noexcept {
  return view(x, heads, {0, std::ssize(x) / (heads * head_dim)});
}

/// Numbers as T holds them.
template <class T>
std::vector<T> narrowed(std::vector<float> const& x) {
  std::vector<T> y;
  y.reserve(x.size());
  for (float const number : x) y.push_back(T(number));
  return y;
}

// --- rotary positions ----------------------------------------------------------------------------

/// The rotation of one position, for the heads of q and k alike: neighbours (2i, 2i + 1) turn by
/// position * theta^(-2i / head_dim), as Llama's do. Source: Su et al. 2021, arXiv:2104.09864.
class rotation {
 public:
  explicit rotation(index position) {
    for (std::size_t i = 0; i < pairs; ++i) {
      turn_[i] = std::pow(theta, -2.0 * static_cast<double>(i) / head_dim);
      step_cosine_[i] = std::cos(turn_[i]);
      step_sine_[i] = std::sin(turn_[i]);
    }
    to(position);
  }

  void to(index position) {
    position_ = position;
    for (std::size_t i = 0; i < pairs; ++i) {
      cosine_[i] = std::cos(turn_[i] * static_cast<double>(position));
      sine_[i] = std::sin(turn_[i] * static_cast<double>(position));
    }
  }

  /// To the next position: one more turn, in double; every 1024 positions from scratch.
  void next() {
    if ((position_ + 1) % 1024 == 0) return to(position_ + 1);
    ++position_;
    for (std::size_t i = 0; i < pairs; ++i) {
      double const c = cosine_[i];
      cosine_[i] = c * step_cosine_[i] - sine_[i] * step_sine_[i];
      sine_[i] = sine_[i] * step_cosine_[i] + c * step_sine_[i];
    }
  }

  /// The heads of one token, from `in` to `out`, which may be the same.
  void turn(float const* in, index heads, float* out) const {
    std::array<float, pairs> c;
    std::array<float, pairs> s;
    for (std::size_t i = 0; i < pairs; ++i) {
      c[i] = static_cast<float>(cosine_[i]);
      s[i] = static_cast<float>(sine_[i]);
    }
    for (index h = 0; h < heads; ++h, in += head_dim, out += head_dim) {
      for (std::size_t i = 0; i < pairs; ++i) {
        float const a = in[2 * i];
        float const b = in[2 * i + 1];
        out[2 * i] = a * c[i] - b * s[i];
        out[2 * i + 1] = a * s[i] + b * c[i];
      }
    }
  }

 private:
  static constexpr std::size_t pairs = head_dim / 2;
  using row = std::array<double, pairs>;

  index position_ = 0;
  row turn_;  // radians a position
  row step_cosine_, step_sine_;
  row cosine_, sine_;
};

/// Turns rows whose first token has that position.
void rotate(std::vector<float>& x, index heads, index first) {
  rotation turned(first);
  for (auto at = x.data(); at != x.data() + x.size(); at += heads * head_dim, turned.next()) {
    turned.turn(at, heads, at);
  }
}

// --- the layers ----------------------------------------------------------------------------------

/// What all layers share: threads, a plan, and its workspace.
class engine {
 public:
  engine(index q_len, index kv_len, bool narrow, index threads)
      : pool_(threads),
        plan_(oriel::plan_attend({.q_len = q_len,
                                  .kv_len = kv_len,
                                  .q_heads = q_heads,
                                  .kv_heads = kv_heads,
                                  .head_dim = head_dim,
                                  .coded = narrow,
                                  .narrow_q = narrow},
                                 pool_.workers())),
        scratch_(plan_.workspace_bytes()) {}

  void attend(oriel::attention const& call) {
    require(oriel::attend(plan_, call, scratch_, pool_));
  }

 private:
  oriel::thread_pool pool_;
  oriel::attend_plan plan_;
  oriel::aligned_bytes scratch_;
};

enum class kind { chunked, global };

/// A layer, and what it keeps. Both kinds have the same ring: a chunked one of a chunk's rows, as
/// a sliding window would (what the ring gives up lies before dead_before(mask, next position)), a
/// global one of as many rows as there will ever be. T is what it keeps a number as.
template <class T>
struct layer {
  using cache = oriel::rolling_cache<T>;

  layer(kind is, index rows_kept)
      : mask(is == kind::chunked
                 ? oriel::any_mask(oriel::causal{} & oriel::chunked{.keys = rows_kept})
                 : oriel::any_mask(oriel::causal{})),
        bytes(cache::required_bytes(shape(rows_kept))),
        ring(bytes, shape(rows_kept)) {}

  static oriel::cache_shape shape(index rows_kept) noexcept {
    return {.window = rows_kept, .kv_heads = kv_heads, .head_dim = head_dim};
  }

  /// The next tokens attend to what the ring holds and to themselves; then the ring takes them.
  void extend(engine& on, oriel::input_view q, oriel::stored_view k, oriel::stored_view v,
              oriel::output_view out) {
    on.attend({.q = q, .kv = oriel::joined{ring, k, v}, .mask = mask, .out = out});
    require(ring.append(k, v));
  }

  oriel::any_mask mask;
  oriel::aligned_bytes bytes;
  cache ring;
};

// --- are they right? -----------------------------------------------------------------------------

/// Half a unit of the last of T's 24, 8 or 11 bits: |T(x) - x| <= unit |x|. (Numbers below f16's
/// normal ones are off by at most 2^-25, which the limits of `difference` cover.)
template <class T>
constexpr double unit = std::is_same_v<T, oriel::bf16>  ? 0x1p-8
                        : std::is_same_v<T, oriel::f16> ? 0x1p-11
                                                        : 0.0;

/// The largest difference of `got` from what is expected, the largest value expected, and by how
/// much a difference exceeds the `slack` that there is for rounding: of rows (`allowed`), and of what
/// is compared where that has 16 bits.
struct difference {
  double most = 0.0;
  double largest = 0.0;
  double excess = 0.0;
  double slack = 0.0;

  template <class Got, class Expected>
  void add(Got const* got, Expected const* expected, index count, double allowed = 0.0) {
    for (index i = 0; i < count; ++i) {
      double const x = number(got[i]);
      double const y = number(expected[i]);
      double const e = std::abs(x - y);
      double const most_off = allowed + (unit<Got> + unit<Expected>)*(
                                            std::abs(y) + unit<Expected> * std::abs(y) + allowed);
      slack = std::max(slack, most_off);
      if (!(e <= most)) most = e;  // a NaN stays
      if (!(e - most_off <= excess)) excess = e - most_off;
      largest = std::max(largest, std::abs(y));
    }
  }
  double relative() const noexcept { return most / largest; }
  bool close() const noexcept { return excess <= most_difference * largest; }

 private:
  template <class T>
  static double number(T x) noexcept {
    if constexpr (unit < T >> 0.0) return static_cast<float>(x);
    if constexpr (unit<T> == 0.0) return x;
  }
};

/// How far the answer over rounded q, k and v may be from that over q, k and v, before it is rounded
/// itself. With u = unit<T>, a score moves by at most
///
///   D = max over keys of scale * sum_d |q_d| u |k_d| + u |q_d| (1 + u) |k_d|
///     = (2 u + u^2) * max over keys of scale * sum_d |q_d k_d|,
///
/// so exp(s) changes by a factor within exp(+-D), and a weight p by one within exp(+-2D). With
/// V = max |v| and sum p <= 1,
///
///   |sum p' v' - sum p v| <= sum |p' - p| |v| + sum p' |v' - v|
///                         <= (exp(2D) - 1) V + exp(2D) u V.
template <class T>
double slack_of(rows q, rows k, rows v) {
  constexpr double u = unit<T>;
  if (u == 0.0) return 0.0;
  double sum_most = 0.0;
  double v_most = 0.0;
  for (index j = 0; j < k.tokens; ++j) {
    for (index h = 0; h < q_heads; ++h) {
      float const* const key = k.row(j, h / (q_heads / kv_heads));
      float const* const value = v.row(j, h / (q_heads / kv_heads));
      float sum = 0.0f;
      for (index d = 0; d < head_dim; ++d) {
        sum += std::abs(q.row(0, h)[d] * key[d]);
        v_most = std::max(v_most, double{std::abs(value[d])});
      }
      sum_most = std::max(sum_most, double{sum});
    }
  }
  double const moved = (2 * u + u * u) * sum_most / std::sqrt(double{head_dim});
  return std::expm1(2 * moved) * v_most + std::exp(2 * moved) * u * v_most;
}

/// The answer to one query and what it is by the definition, in double precision over the call's own
/// rows; `allowed` for those that were rounded before the answer was computed.
template <class T>
void compare(oriel::attention const& query, T const* got, difference& d, double allowed = 0.0) {
  std::vector<double> expected(static_cast<std::size_t>(q_row));
  require(oriel::reference(query, {expected.data(), 1, q_heads, head_dim}));
  d.add(got, expected.data(), q_row, allowed);
}

/// "at most 4e-06", and what rounding may add.
std::string limit(bool close, double slack) {
  char text[96];
  std::snprintf(text, sizeof text, "%s %.0e", close ? "at most" : "MORE THAN", most_difference);
  std::string all = text;
  if (slack > 0.0) {
    std::snprintf(text, sizeof text, " and what rounding can do: %.1e", slack);
    all += text;
  }
  return all;
}

/// Four layers; a prompt whose pieces straddle the ends of chunks, then tokens one by one across
/// another, against one call over all keys and values, and against the definition.
template <class T>
bool check(options const& o) {
  index const chunk = o.check_chunk;
  index const prompt = 4 * chunk - 8;
  index const piece = chunk * 5 / 8;
  index const all = prompt + 16;
  std::printf("check: chunks of %lld; %lld tokens in pieces of %lld, then %lld tokens one by one\n",
              n(chunk), n(prompt), n(piece), n(all - prompt));
  engine on(all, all, !std::is_same_v<T, float>, o.threads);
  bool close = true;
  double slack = 0.0;
  for (index number = 0; number < 4; ++number) {
    bool const global = number == 3;
    layer<T> subject(global ? kind::global : kind::chunked, global ? all : chunk);
    range const tokens{number * all, (number + 1) * all};  // other rows in every layer
    std::vector<float> q = made_up(tensor::q, tokens, q_heads);
    std::vector<float> k = made_up(tensor::k, tokens, kv_heads);
    std::vector<float> const v = made_up(tensor::v, tokens, kv_heads);
    if (!global) {
      rotate(q, q_heads, 0);
      rotate(k, kv_heads, 0);
    }

    std::vector<T> const own_q = narrowed<T>(q);
    std::vector<T> const own_k = narrowed<T>(k);
    std::vector<T> const own_v = narrowed<T>(v);
    std::vector<T> out(q.size());
    for (range now; now.end < all;) {
      now = {now.end, now.end < prompt ? std::min(now.end + piece, prompt) : now.end + 1};
      subject.extend(on, view(own_q, q_heads, now), view(own_k, kv_heads, now),
                     view(own_v, kv_heads, now),
                     {out.data() + now.begin * q_row, now.size(), q_heads, head_dim});
    }

    std::vector<T> at_once(q.size());
    oriel::attention call{.q = view(own_q, q_heads),
                          .kv = oriel::contiguous{view(own_k, kv_heads), view(own_v, kv_heads)},
                          .mask = subject.mask,
                          .out = {at_once.data(), all, q_heads, head_dim}};
    on.attend(call);
    difference from_one_call;
    from_one_call.add(out.data(), at_once.data(), std::ssize(out));

    difference from_definition;
    call.kv = oriel::contiguous{view(k, kv_heads), view(v, kv_heads)};
    for (index sample = 1; sample <= 24; ++sample) {  // evenly, and all that were decoded
      index const p = sample <= 8 ? sample * prompt / 8 - 1 : all - 1 - (24 - sample);
      rows const query = view(q, q_heads, {p, p + 1});
      call.q = query;
      call.first_query = p;
      range const seen{global ? 0 : p / chunk * chunk, p + 1};
      compare(call, out.data() + p * q_row, from_definition,
              slack_of<T>(query, view(k, kv_heads, seen), view(v, kv_heads, seen)));
    }
    std::printf("layer %lld  %s  ring of %6lld rows  off by %.1e from one call, %.1e from the %s\n",
                n(number), global ? "global " : "chunked", n(subject.ring.capacity()),
                from_one_call.relative(), from_definition.relative(), "definition");
    close = close && from_one_call.close() && from_definition.close();
    for (auto const& d : {from_one_call, from_definition}) {
      slack = std::max(slack, d.slack / d.largest);
    }
  }
  std::printf("of the largest value; %s\n", limit(close, slack).c_str());
  return close;
}

// --- a chunked layer through all positions -------------------------------------------------------

constexpr index table_rows = 127;  // prime: no slot of a ring gets the row again that it has

/// Keys, not yet turned, and values of any position: those of a table, over and over.
class endless_rows {
 public:
  float const* k(index position) const noexcept { return row(k_, position); }
  float const* v(index position) const noexcept { return row(v_, position); }

 private:
  static float const* row(std::vector<float> const& x, index position) noexcept {
    return x.data() + position % table_rows * kv_row;
  }
  std::vector<float> k_ = made_up(tensor::k, {0, table_rows}, kv_heads);
  std::vector<float> v_ = made_up(tensor::v, {0, table_rows}, kv_heads);
};

/// The query of a position, turned.
std::vector<float> query_at(index position) {
  std::vector<float> q = made_up(tensor::q, {position, position + 1}, q_heads);
  rotate(q, q_heads, position);
  return q;
}

/// Some rows of consecutive positions, ready for the ring.
class row_block {
 public:
  static constexpr index most = 64;

  /// The positions that begin where `turned` is; leaves it after the last.
  void fill(endless_rows const& from, range positions, rotation& turned) {
    used_ = positions.size();
    for (index i = 0; i < used_; ++i, turned.next()) {
      index const p = positions.begin + i;
      turned.turn(from.k(p), kv_heads, k_.data() + i * kv_row);
      std::copy_n(from.v(p), kv_row, v_.data() + i * kv_row);
    }
  }
  rows k() const noexcept { return view(k_, kv_heads, {0, used_}); }
  rows v() const noexcept { return view(v_, kv_heads, {0, used_}); }

 private:
  index used_ = 0;
  std::vector<float> k_ = std::vector<float>(most * kv_row);
  std::vector<float> v_ = std::vector<float>(most * kv_row);
};

/// What the layer answered to the query of one position.
template <class T>
struct sample {
  index position;
  std::vector<T> out;
};

/// By the definition, over rows of the query's chunk that are made anew, each turned by itself.
template <class T>
void compare(options const& o, endless_rows const& from, sample<T> const& given, difference& d,
             difference& from_rounded) {
  range const seen{given.position / o.chunk * o.chunk, given.position + 1};
  std::vector<float> k(static_cast<std::size_t>(seen.size() * kv_row));
  std::vector<float> v(k.size());
  rotation turned(0);
  for (index p = seen.begin; p < seen.end; ++p) {
    turned.to(p);
    turned.turn(from.k(p), kv_heads, k.data() + (p - seen.begin) * kv_row);
    std::copy_n(from.v(p), kv_row, v.data() + (p - seen.begin) * kv_row);
  }
  std::vector<float> const q = query_at(given.position);
  rows const keys = view(k, kv_heads);
  rows const values = view(v, kv_heads);
  rows const one = view(q, q_heads);
  oriel::attention query{.q = one, .kv = oriel::contiguous{keys, values, seen.begin}};
  compare(query, given.out.data(), d, slack_of<T>(one, keys, values));
  if (unit<T> == 0.0) return;
  std::vector<T> const own_q = narrowed<T>(q);
  std::vector<T> const own_k = narrowed<T>(k);
  std::vector<T> const own_v = narrowed<T>(v);
  query.q = view(own_q, q_heads);
  query.kv = oriel::contiguous{view(own_k, kv_heads), view(own_v, kv_heads), seen.begin};
  compare(query, given.out.data(), from_rounded);
}

template <class T>
bool drive(options const& o) {
  std::printf("a chunked layer through %lld positions, chunks of %lld, a query every %lld\n",
              n(o.positions), n(o.chunk), n(o.every));
  engine on(1, o.chunk, !std::is_same_v<T, float>, o.threads);
  layer<T> subject(kind::chunked, o.chunk);
  endless_rows const source;
  row_block block;
  rotation turned(0);

  // The ring once full, and four quarters.
  std::vector<index> marks{std::min(o.chunk, o.positions)};
  for (index quarter = 1; quarter <= 4; ++quarter) {
    index const p = quarter_of(o.positions, quarter);
    if (p > marks.back()) marks.push_back(p);
  }
  index least = INT64_MAX;
  index most = 0;
  double rotating = 0.0;
  double appending = 0.0;
  double attending = 0.0;
  index const queries = o.positions / o.every;
  index const checked = std::min(o.checks, queries);
  index asked = 0;
  std::vector<sample<T>> samples;
  auto mark = marks.begin();
  for (range now; now.end < o.positions;) {
    // One query in every stretch of `every` positions, from all over it and so all over a chunk.
    index const next_query =
        asked < queries ? asked * o.every + asked * 5003 % o.every + 1 : o.positions + 1;
    now = {now.end, std::min({now.end + row_block::most, next_query, *mark})};
    double const start = seconds();
    block.fill(source, now, turned);
    double const filled = seconds();
    require(subject.ring.append(block.k(), block.v()));
    double const appended = seconds();
    rotating += filled - start;
    appending += appended - filled;

    if (now.end == next_query) {
      index const position = now.end - 1;  // its own row is the last in the ring
      std::vector<T> const q = narrowed<T>(query_at(position));
      std::vector<T> out(q.size());
      double const begun = seconds();
      on.attend({.q = view(q, q_heads),
                 .kv = subject.ring,
                 .mask = subject.mask,
                 .out = {out.data(), 1, q_heads, head_dim}});
      attending += seconds() - begun;
      ++asked;
      if (asked * checked / queries > (asked - 1) * checked / queries) {  // evenly, and the last
        samples.push_back({position, std::move(out)});
      }
    }
    if (now.end == *mark) {
      index const resident = resident_bytes();
      least = std::min(least, resident);
      most = std::max(most, resident);
      std::printf("position %11lld  resident %.1f MiB\n", n(now.end), mib(resident));
      std::fflush(stdout);
      ++mark;
    }
  }
  bool const flat = most - least < most_growth;
  std::printf("resident memory grew by %s than %.0f MiB\n", flat ? "less" : "MORE",
              mib(most_growth));

  auto const positions = static_cast<double>(o.positions);
  double const in_all = rotating + appending + attending;
  std::printf("in all    %.1f s, %.0f positions a second\n", in_all, positions / in_all);
  std::printf("rotation  %.1f s, %.0f ns a position\n", rotating, 1e9 * rotating / positions);
  std::printf("append    %.1f s, %.0f ns a position, %.1f GB/s\n", appending,
              1e9 * appending / positions, 1e-9 * positions * position_bytes<T> / appending);
  if (queries == 0) return flat;
  std::printf("attention %.1f s, %.2f ms a query, %lld queries\n", attending,
              1e3 * attending / static_cast<double>(queries), n(queries));
  difference d;
  difference from_rounded;
  for (sample<T> const& given : samples) compare(o, source, given, d, from_rounded);
  std::printf("%zu of the queries are off by %.1e of the largest value; %s\n", samples.size(),
              d.relative(), limit(d.close(), d.slack / d.largest).c_str());
  if (unit < T >> 0.0) {
    std::printf("and by %.1e over rows that are rounded; %s\n", from_rounded.relative(),
                limit(from_rounded.close(), from_rounded.slack / from_rounded.largest).c_str());
  }
  return flat && d.close() && from_rounded.close();
}

// --- a global layer's memory ---------------------------------------------------------------------

template <class T>
void print_bytes(index positions, index chunk) {
  index const chunked = std::min(chunk, positions) * position_bytes<T>;
  index const global = positions * position_bytes<T>;
  std::printf("%17lld %19lld %15lld %15lld %15lld\n", n(positions), n(chunked), n(global),
              n(chunked_layers * chunked + global_layers * global),
              n((chunked_layers + global_layers) * global));
}

template <class T>
void grow(options const& o) {
  index const fit = std::min(index{262144}, available_bytes() / 2 / position_bytes<T>);
  index const all = o.global_positions > 0 ? o.global_positions : fit;
  std::printf("a global layer\n");
  std::vector<float> const k = made_up(tensor::k, {0, table_rows}, kv_heads);
  std::vector<float> const v = made_up(tensor::v, {0, table_rows}, kv_heads);
  index const before = resident_bytes();
  layer<T> subject(kind::global, all);
  index held = 0;
  for (index quarter = 1; quarter <= 4; ++quarter) {
    for (index const end = quarter_of(all, quarter); held < end;) {
      range const part{0, std::min(table_rows, end - held)};
      require(subject.ring.append(view(k, kv_heads, part), view(v, kv_heads, part)));
      held += part.size();
    }
    std::printf("position %11lld  resident %.1f MiB more, of %6.1f MiB of keys and values\n",
                n(held), mib(resident_bytes() - before), mib(held * position_bytes<T>));
  }
  std::printf("%17s %19s %15s %15s %15s\n", "bytes at position", "chunked layer", "global layer",
              "36 + 12", "48 global");
  print_bytes<T>(all, o.chunk);
  print_bytes<T>(10 * million, o.chunk);
}

// --- the program ---------------------------------------------------------------------------------

template <class T>
int run(options const& o) {
  std::printf("heads %lld:%lld, head_dim %lld, %s\n", n(q_heads), n(kv_heads), n(head_dim),
              std::is_same_v<T, float> ? "fp32" : o.kv.c_str());
  bool const right = check<T>(o);
  bool const flat = drive<T>(o);
  grow<T>(o);
  return right && flat ? 0 : 1;
}

int parse_and_run(int argc, char** argv) {
  options o;
  CLI::App app("The attention layers of Llama 4, chunked and global", "llama4_layers");
  auto const add = [&](char const* name, index& value, char const* what, index least, index most) {
    app.add_option(name, value, what)->capture_default_str()->check(CLI::Range(least, most));
  };
  add("--check-chunk", o.check_chunk, "positions of a chunk in the check", 16, 1 << 12);
  add("--chunk", o.chunk, "positions of a chunk in the long run", 1, 1 << 20);
  add("--positions", o.positions, "positions of the long run", 1, index{1} << 40);
  add("--every", o.every, "positions from one query of it to the next", 1, index{1} << 40);
  add("--checks", o.checks, "queries of it that are compared", 1, 1 << 20);
  add("--global-positions", o.global_positions,
      "positions that the global layer really holds; 0: 262144, or half the free memory", 0,
      index{1} << 30);
  add("--threads", o.threads, "worker threads of attention", 1, 256);
  app.add_option("--kv", o.kv, "what keys, values, queries and answers are")
      ->capture_default_str()
      ->check(CLI::IsMember({"f32", "bf16", "f16"}));
  CLI11_PARSE(app, argc, argv);
  try {
    if (o.kv == "bf16") return run<oriel::bf16>(o);
    return o.kv == "f16" ? run<oriel::f16>(o) : run<float>(o);
  } catch (std::exception const& e) {  // no memory, no threads
    std::fprintf(stderr, "llama4_layers: %s\n", e.what());
  }
  return 1;
}

}  // namespace
}  // namespace llama4

int main(int argc, char** argv) { return llama4::parse_and_run(argc, argv); }
