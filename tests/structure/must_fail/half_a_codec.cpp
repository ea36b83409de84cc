// SPDX-License-Identifier: BSL-1.0
// message: lacks another member of a register_codec
#include <oriel/oriel.hpp>

/// Rows of bf16 of one's own, which the decode kernel reads register by register.
struct own : oriel::elements<oriel::bf16> {
#ifdef ORIEL_MISUSE
  static void begins() {}  // of no channel
#endif
};

auto reader() { return oriel::reader_of<oriel::default_arch, own>(nullptr); }
