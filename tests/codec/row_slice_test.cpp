// SPDX-License-Identifier: BSL-1.0
#include "oriel/codec/row_slice.hpp"

#include <type_traits>

namespace oriel {
namespace {

static_assert(std::is_trivially_copyable_v<row_slice>);
static_assert(row_slice{}.count == 0 && row_slice{}.ahead.l2 == 0);

}  // namespace
}  // namespace oriel
