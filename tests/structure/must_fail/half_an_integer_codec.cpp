// SPDX-License-Identifier: BSL-1.0
// message: lacks another member of an integer_codec
#include <oriel/oriel.hpp>

/// Rows of bf16 of one's own, which say of their codes only how wide they are.
struct own : oriel::elements<oriel::bf16> {
#ifdef ORIEL_MISUSE
  static constexpr int code_bits = 8;
#endif
};

auto reader() { return oriel::reader_of<oriel::default_arch, own>(nullptr); }
