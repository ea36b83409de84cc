// SPDX-License-Identifier: BSL-1.0
// How far what is read of a stored row may be from what was stored, by what the codecs promise.
#pragma once

#include <cmath>

#include "oriel/oriel.hpp"

namespace oriel::test {

template <class Codec>
struct codec_error;

/// |x - read| of every element of a row of `dim` floats of at most `most` in magnitude.
template <class Codec>
double error_bound(double most, index dim) {
  return codec_error<codec_of<Codec>>::bound(most, dim);
}

/// Half a unit of the last of 24, 8 or 11 bits; below the least normal number, half of its last bit.
template <class T>
struct codec_error<elements<T>> {
  static double bound(double most, index) {
    if (std::is_same_v<T, float>) return 0.0;
    if (std::is_same_v<T, bf16>) return 0x1p-8 * most + 0x1p-134;
    return 0x1p-11 * most + 0x1p-25;
  }
};

/// 0.51 scale, 2^-11 |zero| and 2^-25 per code unit for a scale that is a denormal f16.
template <int Bits, int Group, bool ZeroPoint, class Parameter>
struct codec_error<quantized<Bits, Group, ZeroPoint, Parameter>> {
  static double bound(double most, index) {
    double const codes = ZeroPoint ? (1 << Bits) - 1 : (1 << (Bits - 1)) - 1;
    double const spread = ZeroPoint ? 2 * most * (1 + 0x1p-11) : most;
    double const scale = spread / codes * (1 + 0x1p-11) + 0x1p-25;
    return 0.51 * scale + (ZeroPoint ? 0x1p-11 * most : 0.0) + codes * 0x1p-25;
  }
};

/// d / 2 and 2^-11 |x|; d at the end that has no code.
template <>
struct codec_error<q8_0> {
  static double bound(double most, index) { return (0.5 / 127.0 + 0x1p-11) * most + 127 * 0x1p-25; }
};
template <>
struct codec_error<q4_0> {
  static double bound(double most, index) { return (1.0 / 8.0 + 0x1p-10) * most + 8 * 0x1p-25; }
};

/// That of the inner codec in the Euclidean norm, of a row whose norm the rotation keeps; and a
/// rounding per addition.
template <class Codec>
struct codec_error<rotated<Codec>> {
  static double bound(double most, index dim) {
    double const root = std::sqrt(static_cast<double>(dim));
    return root * error_bound<Codec>(most * root, dim) + 0x1p-20 * most * root;
  }
};

}  // namespace oriel::test
