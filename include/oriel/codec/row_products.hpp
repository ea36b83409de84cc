// SPDX-License-Identifier: BSL-1.0
// Products with rows where they lie: few queries with keys, few weights with values. Lanes are
// channels.
#pragma once

#include <type_traits>

#include "oriel/codec/row_slice.hpp"
#include "oriel/simd/transpose.hpp"
#include "oriel/simd/widen.hpp"

namespace oriel::inline v0 {

/// Are registers shorter than a cache line?
template <class Arch>
inline constexpr bool has_short_registers = lanes<Arch> < 16;

/// Rows of q that products take at a time, at most: dot_rows needs a lane for each, and more sums
/// don't stay in 16 registers.
template <class Arch>
inline constexpr int most_queries = has_short_registers<Arch> ? 4 : 8;

/// How often products read a row, for `count` rows of q.
template <class Arch>
ORIEL_INLINE constexpr index query_blocks(int count) noexcept {
  return ceil_div(count, most_queries<Arch>);
}

/// What prefetches lines further on while rows are multiplied: those a distance after each line
/// that is read, or, where registers are short, in the order of memory.
template <class Arch>
using line_requests = std::conditional_t<has_short_registers<Arch>, line_walk, lines_ahead>;

/// The same for rows of `bytes` bytes that are multiplied in `steps` steps each.
template <class Arch>
ORIEL_INLINE line_requests<Arch> requests_of(row_slice const& rows, [[maybe_unused]] index bytes,
                                             [[maybe_unused]] index steps) noexcept {
  if constexpr (has_short_registers<Arch>) {
    if (rows.ahead.l2 == 0) return {};
    return {reinterpret_cast<std::uintptr_t>(rows.data) + rows.ahead.l2, rows.stride, bytes, steps};
  } else {
    return rows.ahead;
  }
}

/// Calls f(Queries, first) for `count` rows of q in blocks of 8, 4 or 1. The last block may hold up
/// to 3 rows too many: the memory is what takes the time, and nobody reads them.
template <class Arch, class F>
ORIEL_INLINE void in_query_blocks(int count, F&& f) noexcept {
  constexpr int most = most_queries<Arch>;
  if (count == 1) return f(std::integral_constant<int, 1>{}, 0);
  for (int r = 0; r < count; r += most) {
    if (most > 4 && count - r <= 4) return f(std::integral_constant<int, 4>{}, r);
    f(std::integral_constant<int, most>{}, r);
  }
}

/// The same in blocks of one, of two, or of four, of which the last may be too many: integers,
/// whose sums don't stay in registers for more.
template <class F>
ORIEL_INLINE void in_ones_twos_fours(int count, F&& f) noexcept {
  if (count == 1) return f(std::integral_constant<int, 1>{}, 0);
  if (count == 2) return f(std::integral_constant<int, 2>{}, 0);
  for (int r = 0; r < count; r += 4) f(std::integral_constant<int, 4>{}, r);
}

/// Registers of a row of values that are summed at a time for `Queries` rows of weights: half the
/// register file, 8 at most.
template <class Arch, int Queries>
inline constexpr int value_registers =
    register_count<Arch> / 2 / Queries > 8 ? 8 : register_count<Arch> / 2 / Queries;

/// A register of 64 bytes of a row of floats, that every product loads anew, with no instruction of
/// its own. A core (Zen 4) that loads it once runs so far ahead in the rows that requests for lines
/// further on are lost: decode of 4 rows falls from 85 to 70 % of the stream.
template <class Arch>
class row_operand {
 public:
  ORIEL_INLINE explicit row_operand(float const* at) noexcept : at_(at) {}
  ORIEL_INLINE operator vec<Arch>() const noexcept {
    float const* at = at_;
    __asm__ volatile("" : "+r"(at));  // else the loads become one
    return load<Arch>(at);
  }

 private:
  float const* at_;
};

/// A register whose lanes are all one float in memory, of which every product takes one anew where
/// that costs no instruction: one that stays in a register takes half a cycle more (Zen 4).
template <class Arch>
ORIEL_INLINE vec<Arch> broadcast_operand(float const* at) noexcept {
  if constexpr (x86_bytes<Arch> == 64) __asm__ volatile("" : "+r"(at));
  return broadcast<Arch>(*at);
}

/// What `Queries` products take of a register that was `Loaded`: of more than 4, whose arithmetic
/// binds, it is loaded once.
template <class Arch, int Queries, class Loaded>
using operand = std::conditional_t<(Queries > 4), vec<Arch>, Loaded>;

/// Rows of floats, as dot_rows and add_rows see rows: `chunk` registers lie in a row, and get<I> is
/// the I-th of those from channel d on; `rest` is one of those that are left over. Each chunk
/// prefetches lines further on.
template <class Arch>
class float_rows {
 public:
  static constexpr int chunk = has_short_registers<Arch> ? 2 : 1;
  static constexpr bool has_rest = true;
  ORIEL_INLINE float_rows(float const* rows, index row_stride, index rows_count, index row_dim,
                          line_requests<Arch> lines = {}) noexcept
      : count(rows_count), dim(row_dim), data_(rows), stride_(row_stride), lines_(lines) {}

  index count;
  index dim;

  /// Chunks of which a row of `dim` floats has as many.
  ORIEL_INLINE static constexpr index chunks(index dim) noexcept {
    return ceil_div(dim, chunk * lanes<Arch>);
  }
  ORIEL_INLINE float const* row(index i) const noexcept { return data_ + i * stride_; }
  template <int I>
  ORIEL_INLINE auto get(float const* row, index d) noexcept {
    if constexpr (I == 0) lines_.prefetch(row + d);
    float const* const at = row + d + I * lanes<Arch>;
    if constexpr (has_short_registers<Arch>) {
      return load_once<Arch>(at);
    } else {
      return row_operand<Arch>(at);
    }
  }
  ORIEL_INLINE vec<Arch> rest(float const* row, index d, int width) noexcept {
    if (chunk == 1 || d % (chunk * lanes<Arch>) == 0) lines_.prefetch(row + d);
    return width == lanes<Arch> ? load<Arch>(row + d) : load_partial<Arch>(row + d, width);
  }

 private:
  float const* data_;
  index stride_;  ///< floats
  line_requests<Arch> lines_;
};

/// The products of a row with q, lane by lane, in ascending channels.
template <class Arch, class Stored, class Row>
ORIEL_INLINE vec<Arch> row_product(Stored& stored, Row row, float const* q) noexcept {
  constexpr index step = Stored::chunk * lanes<Arch>;
  vec<Arch> sum = broadcast<Arch>(0.0f);
  index d = 0;
  for (; d + step <= stored.dim; d += step) {
    [&]<int... I>(std::integer_sequence<int, I...>) ORIEL_INLINE_LAMBDA {
      ((sum = fma<Arch>(load<Arch>(q + d + I * lanes<Arch>), stored.template get<I>(row, d), sum)),
       ...);
    }
    (std::make_integer_sequence<int, Stored::chunk>{});
  }
  if constexpr (Stored::has_rest) {
    unroll<Stored::chunk>([&](int j) ORIEL_INLINE_LAMBDA {
      index const at = d + j * lanes<Arch>;
      if (at >= stored.dim) return;
      int const width = static_cast<int>(min_of(lanes<Arch>, stored.dim - at));
      sum = fma<Arch>(load<Arch>(q + at), stored.rest(row, at, width), sum);
    });
  }
  return sum;
}

/// Writes the products of Queries rows of q with `count` keys: those of row r of q are in the lanes
/// from r * lanes<Arch> / Queries on, and go to to + r * to_step.
template <class Arch, int Queries>
ORIEL_INLINE void write_products(vec<Arch> total, float* to, index to_step, index count) noexcept {
  constexpr int keys = lanes<Arch> / Queries > 0 ? lanes<Arch> / Queries : 1;
  if constexpr (Queries == 1) {
    store_some<Arch>(to, total, static_cast<int>(count));
  } else {
    float lane[lanes<Arch>];
    store<Arch>(lane, total);
    if (count == keys) {
      unroll<Queries * keys>(
          [&](int n) ORIEL_INLINE_LAMBDA { to[n / keys * to_step + n % keys] = lane[n]; });
    } else {
      for (int r = 0; r < Queries; ++r) {
        for (index j = 0; j < count; ++j) to[r * to_step + j] = lane[r * keys + j];
      }
    }
  }
}

/// to[r * to_step + i] = sum over d of q[r * q_step + d] * row i [d] for every stored row i and
/// r < Queries: `lanes / Queries` stored rows at a time, as many sums as a register has lanes, so
/// that one transpose-and-add reduces them all. q is padded with 0 to a register. What is
/// computed with is a copy of `all`, which prefetches can't change; to clang they might.
template <class Arch, int Queries, class Stored>
ORIEL_INLINE void dot_rows(Stored& all, float const* q, index q_step, float* to,
                           index to_step) noexcept {
  Stored stored = all;
  constexpr int keys = lanes<Arch> / Queries > 0 ? lanes<Arch> / Queries : 1;
  constexpr index step = Stored::chunk * lanes<Arch>;
  index const whole = stored.dim / step * step;
  for (index i = 0; i < stored.count; i += keys) {
    decltype(stored.row(0)) k[keys];
    for (int j = 0; j < keys; ++j) k[j] = stored.row(min_of(i + j, stored.count - 1));
    vec<Arch> sum[lanes<Arch>];
    unroll<lanes<Arch>>([&](int n) ORIEL_INLINE_LAMBDA { sum[n] = broadcast<Arch>(0.0f); });
    auto const add = [&](index d, auto&& key_part) ORIEL_INLINE_LAMBDA {
      vec<Arch> x[Queries];
      unroll<Queries>([&](int r)
                          ORIEL_INLINE_LAMBDA { x[r] = load_once<Arch>(q + r * q_step + d); });
      unroll<keys>([&](int j) ORIEL_INLINE_LAMBDA {
        operand<Arch, Queries, decltype(key_part(k[j]))> const y(key_part(k[j]));
        unroll<Queries>([&](int r) ORIEL_INLINE_LAMBDA {
          sum[r * keys + j] = fma<Arch>(x[r], y, sum[r * keys + j]);
        });
      });
    };
    if constexpr (Queries == 1) {  // one row after the other, so that memory is read in order
      unroll<keys>([&](int j) ORIEL_INLINE_LAMBDA { sum[j] = row_product<Arch>(stored, k[j], q); });
    } else {
      for (index d = 0; d < whole; d += step) {
        [&]<int... I>(std::integer_sequence<int, I...>) ORIEL_INLINE_LAMBDA {
          (add(d + I * lanes<Arch>,
               [&](auto const& row) ORIEL_INLINE_LAMBDA { return stored.template get<I>(row, d); }),
           ...);
        }
        (std::make_integer_sequence<int, Stored::chunk>{});
      }
      if constexpr (Stored::has_rest) {
        unroll<Stored::chunk>([&](int j) ORIEL_INLINE_LAMBDA {
          index const d = whole + j * lanes<Arch>;
          if (d >= stored.dim) return;
          int const width = static_cast<int>(min_of(lanes<Arch>, stored.dim - d));
          add(d, [&](auto const& row) ORIEL_INLINE_LAMBDA { return stored.rest(row, d, width); });
        });
      }
    }
    write_products<Arch, Queries>(sum_rows<Arch>(sum), to + i, to_step,
                                  min_of(keys, stored.count - i));
  }
  all = stored;
}

/// dot_rows of one row q of `Registers` registers, which stay where they are: a core loads one of
/// 64 bytes a cycle (Zen 4).
template <class Arch, int Registers, class Stored>
ORIEL_INLINE void dot_row(Stored stored, float const* q, float* to) noexcept {
  vec<Arch> x[Registers];
  unroll<Registers>([&](int n) ORIEL_INLINE_LAMBDA { x[n] = load<Arch>(q + n * lanes<Arch>); });
  for (index i = 0; i < stored.count; i += lanes<Arch>) {
    alignas(64) float sums[lanes<Arch>][lanes<Arch>];
    index const here = min_of(lanes<Arch>, stored.count - i);
    ORIEL_ROLLED
    for (index j = 0; j < here; ++j) {
      auto const row = stored.row(i + j);
      vec<Arch> sum = broadcast<Arch>(0.0f);
      [&]<int... N>(std::integer_sequence<int, N...>) ORIEL_INLINE_LAMBDA {
        constexpr int chunk = Stored::chunk;
        ((sum = fma<Arch>(
              x[N], stored.template get<N % chunk>(row, N / chunk * chunk * lanes<Arch>), sum)),
         ...);
      }
      (std::make_integer_sequence<int, Registers>{});
      store<Arch>(sums[j], sum);
    }
    for (index j = here; j < lanes<Arch>; ++j) store<Arch>(sums[j], broadcast<Arch>(0.0f));
    vec<Arch> sum[lanes<Arch>];
    unroll<lanes<Arch>>([&](int n) ORIEL_INLINE_LAMBDA { sum[n] = load<Arch>(sums[n]); });
    write_products<Arch, 1>(sum_rows<Arch>(sum), to + i, 0, here);
  }
}

/// acc[r * acc_step + d] += sum over i of weight[r * weight_step + i] * row i [d], in order, for
/// r < Queries and Wide registers of channels from d on; of one register `width` channels are
/// there.
template <class Arch, int Queries, int Wide, class Stored>
ORIEL_INLINE void add_rows(Stored& all, float const* weight, index weight_step, float* acc,
                           index acc_step, index d, int width) noexcept {
  Stored stored = all;
  vec<Arch> sum[Queries][Wide];
  acc += d;
  unroll<Queries>([&](int r) ORIEL_INLINE_LAMBDA {
    unroll<Wide>([&](int j) ORIEL_INLINE_LAMBDA {
      sum[r][j] = load<Arch>(acc + r * acc_step + j * lanes<Arch>);
    });
  });
  for (index i = 0; i < stored.count; ++i) {
    auto const row = stored.row(i);
    vec<Arch> w[Queries];
    unroll<Queries>(
        [&](int r) ORIEL_INLINE_LAMBDA { w[r] = broadcast<Arch>(weight[r * weight_step + i]); });
    auto const add = [&](int j, auto const& x) ORIEL_INLINE_LAMBDA {
      unroll<Queries>([&](int r)
                          ORIEL_INLINE_LAMBDA { sum[r][j] = fma<Arch>(w[r], x, sum[r][j]); });
    };
    if constexpr (Wide == 1 && Stored::has_rest) {
      vec<Arch> const x = stored.rest(row, d, width);
      add(0, x);
    } else {
      [&]<int... J>(std::integer_sequence<int, J...>) ORIEL_INLINE_LAMBDA {
        constexpr int chunk = Stored::chunk;
        using value = operand<Arch, Queries, decltype(stored.template get<0>(row, d))>;
        (add(J, value(stored.template get<J % chunk>(row, d + J / chunk * chunk * lanes<Arch>))),
         ...);
      }
      (std::make_integer_sequence<int, Wide>{});
    }
  }
  unroll<Queries>([&](int r) ORIEL_INLINE_LAMBDA {
    unroll<Wide>([&](int j) ORIEL_INLINE_LAMBDA {
      store<Arch>(acc + r * acc_step + j * lanes<Arch>, sum[r][j]);
    });
  });
  all = stored;
}

}  // namespace oriel::inline v0
