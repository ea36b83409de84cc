// SPDX-License-Identifier: BSL-1.0
// What every header stands on: the version namespace, the inlining rule, and the compiler settings
// under which the library would be wrong.
#pragma once

#if defined(__FINITE_MATH_ONLY__) && __FINITE_MATH_ONLY__
#error \
    "oriel needs infinities (a hidden score is -inf). Compile without -ffinite-math-only: after -ffast-math or -Ofast add -fno-finite-math-only."
#endif

#if __cplusplus < 202002L
#error "oriel needs C++20: compile with -std=c++20."
#endif

/// Is this x86? In the header that all others include: where a macro is not defined, #if takes it
/// for 0.
#if defined(__x86_64__) || defined(__i386__)
#define ORIEL_X86 1
#else
#define ORIEL_X86 0
#endif

/// Functions that do not name an instruction set in a template argument are always inlined, so that
/// translation units built for different instruction sets never share (and never swap) their code.
/// A program for one instruction set may define this as `inline`, and the other as nothing: what
/// only calls the library compiles in half the time then, but kernels lose speed. Our tests do so.
#if !defined(ORIEL_INLINE)
#define ORIEL_INLINE [[gnu::always_inline]] inline
#endif
/// The same for a lambda; stands after its parameter list.
#if !defined(ORIEL_INLINE_LAMBDA)
#define ORIEL_INLINE_LAMBDA __attribute__((always_inline))
#endif

/// Stands before a loop whose body fills the registers: clang would unroll it and spill them.
#if defined(__clang__)
#define ORIEL_ROLLED _Pragma("clang loop unroll(disable)")
#else
#define ORIEL_ROLLED
#endif

namespace oriel::inline v0 {}
