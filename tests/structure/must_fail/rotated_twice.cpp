// SPDX-License-Identifier: BSL-1.0
// message: the second rotation undoes the first; write rotated<C>
#include <oriel/oriel.hpp>

#ifdef ORIEL_MISUSE
using keys = oriel::rotated<oriel::rotated<oriel::int4>>;
#else
using keys = oriel::rotated<oriel::int4>;
#endif

auto bytes_of(oriel::cache_shape const& shape) {
  return oriel::rolling_cache<keys>::required_bytes(shape);
}
