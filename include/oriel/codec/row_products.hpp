// SPDX-License-Identifier: BSL-1.0
// Products with rows where they lie: few queries with keys, few weights with values. Lanes are
// channels.
#pragma once

#include <type_traits>

#include "oriel/codec/query_blocks.hpp"
#include "oriel/codec/row_slice.hpp"
#include "oriel/simd/transpose.hpp"
#include "oriel/simd/widen.hpp"

namespace oriel::inline v0 {

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
/// the I-th of those from channel d on; `rest` is one of those that are left over. Where registers
/// are as long as a line, each prefetches lines further on; where they are short, prefetch_row does
/// so for a row; are they `Streamed` from memory there, or do they lie in L1?
template <class Arch, bool Streamed = true>
class float_rows {
 public:
  static constexpr int chunk = 1;
  static constexpr bool has_rest = true;
  static constexpr bool is_streamed = Streamed;
  static constexpr bool takes_two = false;  // memory binds
  ORIEL_INLINE float_rows(float const* rows, index row_stride, index rows_count, index row_dim,
                          lines_ahead lines = {}) noexcept
      : count(rows_count), dim(row_dim), data_(rows), stride_(row_stride), lines_(lines) {}
  /// The same rows: nothing is prefetched.
  ORIEL_INLINE explicit float_rows(float_rows<Arch, !Streamed> const& other) noexcept
      : float_rows(other.data_, other.stride_, other.count, other.dim) {}

  index count;
  index dim;

  /// The same rows, in L1: nothing is prefetched.
  ORIEL_INLINE auto near() const noexcept {
    return float_rows<Arch, !has_short_registers<Arch>>(data_, stride_, count, dim);
  }

  ORIEL_INLINE float const* row(index i) const noexcept { return data_ + i * stride_; }
  template <int I>
  ORIEL_INLINE auto get(float const* row, index d) const noexcept {
    if constexpr (has_short_registers<Arch>) {
      return load_once<Arch>(row + d);
    } else {
      lines_.prefetch(row + d);
      return row_operand<Arch>(row + d);
    }
  }
  ORIEL_INLINE void prefetch_row(float const* row) const noexcept {
    lines_.prefetch_row(row, dim * index{sizeof(float)});
  }
  ORIEL_INLINE vec<Arch> rest(float const* row, index d, int width) const noexcept {
    if constexpr (!has_short_registers<Arch>) lines_.prefetch(row + d);
    return width == lanes<Arch> ? load<Arch>(row + d) : load_partial<Arch>(row + d, width);
  }

 private:
  friend class float_rows<Arch, !Streamed>;

  float const* data_;
  index stride_;  ///< floats
  lines_ahead lines_;
};

/// Adds the products of a row with Queries rows of q, lane by lane, in ascending channels, to
/// sum[r * sum_step].
template <class Arch, int Queries, class Stored, class Row>
ORIEL_INLINE void row_products(Stored const& stored, Row row, float const* q, index q_step,
                               vec<Arch>* sum, int sum_step) noexcept {
  auto const add = [&](index d, auto const& x) ORIEL_INLINE_LAMBDA {
    unroll<Queries>([&](int r) ORIEL_INLINE_LAMBDA {
      sum[r * sum_step] = fma<Arch>(load<Arch>(q + r * q_step + d), x, sum[r * sum_step]);
    });
  };
  index d = 0;
  auto const add_some = [&]<int... I>(std::integer_sequence<int, I...>) ORIEL_INLINE_LAMBDA {
    constexpr int chunk = Stored::chunk;
    for (; d + static_cast<int>(sizeof...(I)) * lanes<Arch> <= stored.dim;
         d += static_cast<int>(sizeof...(I)) * lanes<Arch>) {
      (add(d + I * lanes<Arch>,
           stored.template get<I % chunk>(row, d + I / chunk * chunk * lanes<Arch>)),
       ...);
    }
  };
  if constexpr (has_short_registers<Arch>) {  // few instructions: a core looks further ahead
    add_some(std::make_integer_sequence<int, max_of(8, Stored::chunk)>{});
  }
  add_some(std::make_integer_sequence<int, Stored::chunk>{});
  if constexpr (Stored::has_rest) {
    if (d < stored.dim) add(d, stored.rest(row, d, static_cast<int>(stored.dim - d)));
  }
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

/// Are keys multiplied one after the other? Several side by side take fewer instructions. But where
/// registers are short, memory is read in columns of a line then, and gives half as much (Zen 3):
/// not of floats, whose bytes bind.
template <class Arch, int Queries, class Stored>
inline constexpr bool in_order = Queries == 1 || (has_short_registers<Arch> &&
                                                  std::is_same_v<Stored, float_rows<Arch>>);

/// to[r * to_step + i] = sum over d of q[r * q_step + d] * row i [d] for every stored row i and
/// r < Queries: `lanes / Queries` stored rows at a time, as many sums as a register has lanes, so
/// that one transpose-and-add reduces them all. q is padded with 0 to a register.
template <class Arch, int Queries, class Stored>
ORIEL_INLINE void dot_rows(Stored stored, float const* q, index q_step, float* to,
                           index to_step) noexcept {
  constexpr int keys = lanes<Arch> / Queries > 0 ? lanes<Arch> / Queries : 1;
  constexpr index step = Stored::chunk * lanes<Arch>;
  index const whole = stored.dim / step * step;
  for (index i = 0; i < stored.count; i += keys) {
    decltype(stored.row(0)) k[keys];
    for (int j = 0; j < keys; ++j) k[j] = stored.row(min_of(i + j, stored.count - 1));
    vec<Arch> sum[lanes<Arch>];
    unroll<lanes<Arch>>([&](int n) ORIEL_INLINE_LAMBDA { sum[n] = broadcast<Arch>(0.0f); });
    auto const request = [&]([[maybe_unused]] int j) ORIEL_INLINE_LAMBDA {
      if constexpr (has_short_registers<Arch>) {
        if (i + j < stored.count) stored.prefetch_row(k[j]);
      }
    };
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
    if constexpr (in_order<Arch, Queries, Stored>) {
      unroll<keys>([&](int j) ORIEL_INLINE_LAMBDA {
        request(j);
        row_products<Arch, Queries>(stored, k[j], q, q_step, sum + j, keys);
      });
    } else {
      for (int j = 0; j < keys; ++j) request(j);
      for (index d = 0; d < whole; d += step) {
        [&]<int... I>(std::integer_sequence<int, I...>) ORIEL_INLINE_LAMBDA {
          (add(d + I * lanes<Arch>,
               [&](auto const& row) ORIEL_INLINE_LAMBDA { return stored.template get<I>(row, d); }),
           ...);
        }
        (std::make_integer_sequence<int, Stored::chunk>{});
      }
      if constexpr (Stored::has_rest) {
        int const width = static_cast<int>(stored.dim - whole);
        if (width > 0) {
          add(whole,
              [&](auto const& row) ORIEL_INLINE_LAMBDA { return stored.rest(row, whole, width); });
        }
      }
    }
    write_products<Arch, Queries>(sum_rows<Arch>(sum), to + i, to_step,
                                  min_of(keys, stored.count - i));
  }
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
ORIEL_INLINE void add_columns(Stored const& stored, float const* weight, index weight_step,
                              float* acc, index acc_step, index d, int width) noexcept {
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
}

/// The same for the rows `row`, with the weights w.
template <class Arch, int Queries, int Wide, int Rows, class Stored, class Row>
ORIEL_INLINE void add_few_columns(Stored const& stored, Row const (&row)[Rows],
                                  vec<Arch> const (&w)[Rows][Queries], float* acc, index acc_step,
                                  index d) noexcept {
  vec<Arch> sum[Queries][Wide];
  acc += d;
  unroll<Queries>([&](int r) ORIEL_INLINE_LAMBDA {
    unroll<Wide>([&](int j) ORIEL_INLINE_LAMBDA {
      sum[r][j] = load<Arch>(acc + r * acc_step + j * lanes<Arch>);
    });
  });
  auto const add = [&](int n, int j, vec<Arch> x) ORIEL_INLINE_LAMBDA {
    unroll<Queries>([&](int r)
                        ORIEL_INLINE_LAMBDA { sum[r][j] = fma<Arch>(w[n][r], x, sum[r][j]); });
  };
  for (int n = 0; n < Rows; ++n) {
    if constexpr (Wide == 1 && Stored::has_rest) {
      add(n, 0, stored.rest(row[n], d, static_cast<int>(min_of(lanes<Arch>, stored.dim - d))));
    } else {
      [&]<int... J>(std::integer_sequence<int, J...>) ORIEL_INLINE_LAMBDA {
        constexpr int chunk = Stored::chunk;
        (add(n, J, stored.template get<J % chunk>(row[n], d + J / chunk * chunk * lanes<Arch>)),
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
}

/// The same for all channels of `Rows` rows from `first` on: all their weights lie in L1 as
/// registers. Before each part of the channels a row further on is prefetched.
template <class Arch, int Queries, int Fewest, int Rows, class Stored>
ORIEL_INLINE void add_few_rows(Stored const& stored, index first, float const* weight,
                               index weight_step, float* acc, index acc_step) noexcept {
  decltype(stored.row(0)) row[Rows];
  vec<Arch> w[Rows][Queries];
  unroll<Rows>([&](int n) ORIEL_INLINE_LAMBDA {
    row[n] = stored.row(first + n);
    unroll<Queries>([&](int r) ORIEL_INLINE_LAMBDA {
      w[n][r] = broadcast<Arch>(weight[r * weight_step + first + n]);
    });
  });
  constexpr int wide = value_registers<Arch, Queries>;
  index const part = round_up(ceil_div(stored.dim, Rows), wide * lanes<Arch>);
  index d = 0;
  for (int n = 0; n < Rows; ++n) {
    stored.prefetch_row(row[n]);
    index const end = min_of(part * (n + 1), stored.dim);
    for (; d + wide * lanes<Arch> <= end; d += wide * lanes<Arch>) {
      add_few_columns<Arch, Queries, wide>(stored, row, w, acc, acc_step, d);
    }
  }
  for (; d < stored.dim; d += Fewest * lanes<Arch>) {
    add_few_columns<Arch, Queries, Fewest>(stored, row, w, acc, acc_step, d);
  }
}

/// The same for all channels and rows: as many registers at a time as stay in registers, then
/// `Fewest`.
template <class Arch, int Queries, int Fewest, class Stored>
ORIEL_INLINE void add_rows(Stored stored, float const* weight, index weight_step, float* acc,
                           index acc_step) noexcept {
  if constexpr (has_short_registers<Arch> && Stored::is_streamed) {
    index i = 0;
    for (; i + 4 <= stored.count; i += 4) {
      add_few_rows<Arch, Queries, Fewest, 4>(stored, i, weight, weight_step, acc, acc_step);
    }
    for (; i < stored.count; ++i) {
      add_few_rows<Arch, Queries, Fewest, 1>(stored, i, weight, weight_step, acc, acc_step);
    }
  } else {
    constexpr int wide = value_registers<Arch, Queries>;
    index d = 0;
    [[maybe_unused]] index asked = 0;
    for (; d + wide * lanes<Arch> <= stored.dim; d += wide * lanes<Arch>) {
      if constexpr (has_short_registers<Arch>) {  // its share of the rows
        index const end = stored.count * (d + wide * lanes<Arch>) / stored.dim;
        for (; asked < end; ++asked) stored.prefetch_row(stored.row(asked));
      }
      add_columns<Arch, Queries, wide>(stored, weight, weight_step, acc, acc_step, d, lanes<Arch>);
    }
    for (; d < stored.dim; d += Fewest * lanes<Arch>) {
      int const width = static_cast<int>(min_of(lanes<Arch>, stored.dim - d));
      add_columns<Arch, Queries, Fewest>(stored, weight, weight_step, acc, acc_step, d, width);
    }
  }
}

}  // namespace oriel::inline v0
