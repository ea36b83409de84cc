// SPDX-License-Identifier: BSL-1.0
// Products with a codec's rows, which become floats a register at a time.
#pragma once

#include <numeric>

#include "oriel/codec/row_products.hpp"

namespace oriel::inline v0 {

/// A row of a codec as products take it: where it lies, and its parameters as floats.
struct coded_row {
  std::byte const* data = nullptr;
  float const* parameters = nullptr;
};

/// Floats that Codec::get takes of a row of `dim` beside its bytes.
template <class Codec>
ORIEL_INLINE constexpr index parameters_of([[maybe_unused]] index dim) noexcept {
  if constexpr (requires { Codec::parameters(dim); }) {
    return Codec::parameters(dim);
  } else {
    return 0;
  }
}

/// Writes the first `count` floats of a row of `dim`, whole chunks, to `to`.
template <class Arch, class Codec>
ORIEL_INLINE void read_chunks(coded_row const& row, index dim, index count, float* to) noexcept {
  constexpr int chunk = Codec::template chunk<Arch>;
  for (index d = 0; d < count; d += chunk * lanes<Arch>) {
    [&]<int... I>(std::integer_sequence<int, I...>) ORIEL_INLINE_LAMBDA {
      (store<Arch>(to + d + I * lanes<Arch>, Codec::template get<Arch, I>(row, dim, d)), ...);
    }
    (std::make_integer_sequence<int, chunk>{});
  }
}

/// Channels of which a codec's rows are a multiple.
template <class Codec>
inline constexpr index block_of = 1;
template <class Codec>
requires(requires { Codec::block; }) inline constexpr index block_of<Codec> = Codec::block;

/// Rows of a codec, as they are read within the products: Codec::chunk<Arch> registers, of which
/// Codec::get<Arch, I> is the I-th from channel d on, whose codes are at byte Codec::begins(d).
/// Where registers are as long as a line, each chunk prefetches lines further on: a core drops most
/// of many requests at once (Zen 4).
/// `parameters` are those of all rows. Rows have `Channels` floats, so that a compiler knows where
/// each register lies, or 0: as many as row_slice::dim says.
template <class Arch, class Codec, index Channels = 0>
class coded_rows {
 public:
  static constexpr int chunk = Codec::template chunk<Arch>;
  static constexpr bool has_rest = false;  // dim is whole chunks
  static constexpr bool is_streamed = requires { requires Codec::is_light; };
  static constexpr bool takes_two = true;
  ORIEL_INLINE coded_rows(row_slice const& rows, float const* parameters) noexcept
      : count(rows.count),
        dim(),
        data_(rows.data),
        stride_(rows.stride),
        lines_(rows.ahead),
        parameters_(parameters) {
    if constexpr (Channels == 0) dim = rows.dim;
  }

  index count;
  std::conditional_t<Channels == 0, index, std::integral_constant<index, Channels>> dim;

  /// The same rows, in L1: nothing is prefetched.
  ORIEL_INLINE coded_rows near() const noexcept {
    coded_rows same = *this;
    same.lines_ = {};
    return same;
  }

  ORIEL_INLINE coded_row row(index i) const noexcept {
    return {data_ + i * stride_, parameters_ + i * parameters_of<Codec>(dim)};
  }
  template <int I>
  ORIEL_INLINE vec<Arch> get(coded_row const& row, index d) const noexcept {
    if constexpr (I == 0 && !has_short_registers<Arch>) {
      lines_.prefetch(row.data + Codec::begins(d));
    }
    return Codec::template get<Arch, I>(row, dim, d);
  }

  ORIEL_INLINE void prefetch_row(coded_row const& row) const noexcept {
    lines_.prefetch_row(row.data, Codec::row_bytes(dim));
  }

 private:
  std::byte const* data_;
  index stride_;  ///< bytes
  lines_ahead lines_;
  float const* parameters_;
};

/// The products over rows of a codec, behind pointers. dim is a multiple of row_functions::dims.
/// Their bodies stand apart, so that they are no inline functions: a program that instantiates them
/// in one translation unit can declare them in others (`extern template struct`).
template <class Arch, class Codec>
struct coded_products {
  static constexpr int chunk = Codec::template chunk<Arch>;
  /// Channels of which rows must be a multiple, as of a codec's blocks; 0: registers don't hold a
  /// chunk for so many rows.
  static constexpr int fewest = chunk == 1 ? 1 : value_registers<Arch, most_queries<Arch>>;
  static constexpr index dims =
      fewest % chunk == 0 ? std::lcm(fewest * lanes<Arch>, block_of<Codec>) : 0;

  static void dot(row_slice const& rows, float const* q, index q_step, int count, float* to,
                  index to_step) noexcept;
  static void add(row_slice const& rows, float const* weight, index weight_step, int count,
                  float* acc, index acc_step) noexcept;

 private:
  template <index Channels>
  using some_rows = coded_rows<Arch, Codec, Channels>;
  /// Channels that a compiler knows for one row of q, a sixth less time: 8 registers, which is what
  /// most models have where a register is the widest.
  static constexpr index usual = lanes<Arch> == 16 ? 128 : 0;

  static constexpr index parameter_room = 1024;  ///< floats

  /// f<Queries>(part, n, r) for the rows of q from r on, for some of the stored rows at a time,
  /// after the first n.
  template <class F>
  ORIEL_INLINE static void in_parts(row_slice const& rows, int count, F&& f) noexcept {
    if constexpr (usual > 0) {
      if (rows.dim == usual && count == 1) {
        return for_each_part<usual>(rows, 1, [&](auto const& part, index done) ORIEL_INLINE_LAMBDA {
          f.template operator()<1>(part, done, 0);
        });
      }
    }
    for_each_part<0>(rows, count, [&](auto const& part, index done) ORIEL_INLINE_LAMBDA {
      in_query_blocks<Arch>(
          part, count,
          [&]<int Queries>(std::integral_constant<int, Queries>, auto const& stored, int r)
              ORIEL_INLINE_LAMBDA { f.template operator()<Queries>(stored, done, r); });
    });
  }
  template <index Channels, class F>
  ORIEL_INLINE static void for_each_part(row_slice const& rows, int count, F&& f) noexcept {
    constexpr bool has_parameters = parameters_of<Codec>(1) > 0;
    static_assert(parameter_room >= parameters_of<Codec>(max_coded_dim));
    alignas(64) float parameters[has_parameters ? parameter_room : 1];
    index const dim = Channels > 0 ? Channels : rows.dim;
    index const each = parameters_of<Codec>(dim);
    index most = rows_at_a_time<Arch, some_rows<Channels>>(Codec::row_bytes(dim), count);
    if (each > 0) most = min_of(most, parameter_room / each);
    row_slice part = rows;
    for (index done = 0; done < rows.count; done += part.count) {
      part.data = rows.data + done * rows.stride;
      part.count = min_of(most, rows.count - done);
      if constexpr (has_parameters) {  // they are widened once for all registers and rows of q
        for (index i = 0; i < part.count; ++i) {
          Codec::template widen_parameters<Arch>(part.data + i * part.stride, dim,
                                                 parameters + i * each);
        }
      }
      some_rows<Channels> stored(part, parameters);
      f(stored, done);
    }
  }
};

template <class Arch, class Codec>
void coded_products<Arch, Codec>::dot(row_slice const& rows, float const* q, index q_step,
                                      int count, float* to, index to_step) noexcept {
  auto const products = [&]<int Queries, index Channels>(some_rows<Channels> const& part,
                                                         index done, int r) ORIEL_INLINE_LAMBDA {
    float const* const some = q + r * q_step;
    float* const out = to + r * to_step + done;
    if constexpr (Queries == 1 && Channels > 0) {
      dot_row<Arch, Channels / lanes<Arch>>(part, some, out);
    } else {
      dot_rows<Arch, Queries>(part, some, q_step, out, to_step);
    }
  };
  in_parts(rows, count, products);
}

template <class Arch, class Codec>
void coded_products<Arch, Codec>::add(row_slice const& rows, float const* weight, index weight_step,
                                      int count, float* acc, index acc_step) noexcept {
  auto const sums = [&]<int Queries, index Channels>(some_rows<Channels> const& part, index done,
                                                     int r) ORIEL_INLINE_LAMBDA {
    add_rows<Arch, Queries, fewest>(part, weight + r * weight_step + done, weight_step,
                                    acc + r * acc_step, acc_step);
  };
  in_parts(rows, count, sums);
}

}  // namespace oriel::inline v0
