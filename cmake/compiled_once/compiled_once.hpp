// SPDX-License-Identifier: BSL-1.0
// The kernels take most of the time to compile a program. The library oriel_compiled_once has them
// for all of ours; those that link it include this first (development.cmake). It is not for users.
#pragma once

#include "oriel/attention/tasks.hpp"
#include "oriel/codec/ggml.hpp"
#include "oriel/codec/quantized.hpp"

namespace oriel {

extern template void run_task<default_arch>(attend_plan const&, attention_batch const&, phase,
                                            index, index, workspace) noexcept;

extern template struct coded_products<default_arch, elements<bf16>>;
extern template struct coded_products<default_arch, elements<f16>>;
extern template struct coded_products<default_arch, int8>;
extern template struct coded_products<default_arch, int4>;
extern template struct coded_products<default_arch, int4_symmetric>;
extern template struct coded_products<default_arch, int2>;
extern template struct coded_products<default_arch, q8_0>;
extern template struct coded_products<default_arch, q4_0>;

#if defined(__AVX512BW__) || (defined(__AVX2__) && defined(__FMA__) && !defined(__AVX512F__))
extern template struct rounded_products<default_arch, int8>;
extern template struct rounded_products<default_arch, int4>;
extern template struct rounded_products<default_arch, int4_symmetric>;
extern template struct rounded_products<default_arch, int2>;
extern template struct rounded_products<default_arch, q8_0>;
extern template struct rounded_products<default_arch, q4_0>;
#endif

}  // namespace oriel
