// SPDX-License-Identifier: BSL-1.0
#pragma once

#include "gguf.hpp"

namespace smollm2 {

// Row `row` of a tensor, widened to fp32, into out [t.columns].
//
//   F32, F16   the number itself
//   Q8_0       blocks of 32: { f16 d; i8 q[32] }           x[i] = d q[i]
//   Q4_1       blocks of 32: { f16 d; f16 m; u8 q[16] }    x[i] = d (q[i] & 15) + m,
//                                                     x[i + 16] = d (q[i] >> 4) + m
//
// Source of the block layouts: ggml/src/ggml-common.h of https://github.com/ggml-org/ggml
void widen_row(tensor const& t, std::int64_t row, float* out);

}  // namespace smollm2
