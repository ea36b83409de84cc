// SPDX-License-Identifier: BSL-1.0
#include "dequantize.hpp"

#include <cstring>
#include <oriel/core/float16.hpp>

namespace smollm2 {
namespace {

float load_half(std::byte const* at) {
  oriel::f16 half;
  std::memcpy(&half.bits, at, sizeof half.bits);
  return static_cast<float>(half);
}

void widen_q8_0(std::byte const* block, float* out) {
  float const d = load_half(block);
  for (int i = 0; i < 32; ++i) {
    out[i] = d * static_cast<float>(std::to_integer<std::int8_t>(block[2 + i]));
  }
}

void widen_q4_1(std::byte const* block, float* out) {
  float const d = load_half(block);
  float const m = load_half(block + 2);
  for (int i = 0; i < 16; ++i) {
    auto const q = std::to_integer<unsigned>(block[4 + i]);
    out[i] = d * static_cast<float>(q & 15u) + m;
    out[i + 16] = d * static_cast<float>(q >> 4) + m;
  }
}

}  // namespace

void widen_row(tensor const& t, std::int64_t row, float* out) {
  auto const bytes = row_bytes(t.type, t.columns);
  std::byte const* in = t.data.data() + row * bytes;
  switch (t.type) {
    case tensor_type::f32: std::memcpy(out, in, static_cast<std::size_t>(bytes)); break;
    case tensor_type::f16:
      for (std::int64_t i = 0; i < t.columns; ++i) out[i] = load_half(in + 2 * i);
      break;
    case tensor_type::q4_1:
      for (std::int64_t i = 0; i < t.columns; i += 32, in += 20) widen_q4_1(in, out + i);
      break;
    case tensor_type::q8_0:
      for (std::int64_t i = 0; i < t.columns; i += 32, in += 34) widen_q8_0(in, out + i);
      break;
  }
}

}  // namespace smollm2
