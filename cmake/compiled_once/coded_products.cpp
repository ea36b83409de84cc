// SPDX-License-Identifier: BSL-1.0
#include "compiled_once.hpp"

namespace oriel {

template struct coded_products<default_arch, elements<bf16>>;
template struct coded_products<default_arch, elements<f16>>;
template struct coded_products<default_arch, int8>;
template struct coded_products<default_arch, int4>;
template struct coded_products<default_arch, int4_symmetric>;
template struct coded_products<default_arch, int2>;
template struct coded_products<default_arch, q8_0>;
template struct coded_products<default_arch, q4_0>;

}  // namespace oriel
