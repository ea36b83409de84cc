// SPDX-License-Identifier: BSL-1.0
#include "compiled_once.hpp"

namespace oriel {

#if defined(__AVX512BW__) || (defined(__AVX2__) && defined(__FMA__) && !defined(__AVX512F__))
template struct rounded_products<default_arch, int8>;
template struct rounded_products<default_arch, int4>;
template struct rounded_products<default_arch, int4_symmetric>;
template struct rounded_products<default_arch, int2>;
template struct rounded_products<default_arch, q8_0>;
template struct rounded_products<default_arch, q4_0>;
#endif

}  // namespace oriel
