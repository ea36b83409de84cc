# SPDX-License-Identifier: BSL-1.0
#
# The second half of oriel_add_dispatch, run by the build. Joins the objects of each level
# (OBJECTS_<march>, separated by |) into one (RESULT_<march>) in which only the functions that the
# sources define for others are visible, named <name>.x86_64_v3, and writes STUBS,
# which defines each by its own name: a jump to that of the active level.
# Needs LINKER, NM, OBJCOPY and OBJDUMP.

function(run result)
  execute_process(COMMAND ${ARGN} RESULT_VARIABLE failed OUTPUT_VARIABLE output)
  if(failed)
    list(JOIN ARGN " " command)
    message(FATAL_ERROR "oriel_add_dispatch: failed: ${command}")
  endif()
  set(${result} "${output}" PARENT_SCOPE)
endfunction()

set(levels x86-64 x86-64-v3 x86-64-v4)
set(functions none)
foreach(march IN LISTS levels)
  string(REPLACE "-" "_" suffix ".${march}")
  string(REPLACE "|" ";" objects "${OBJECTS_${march}}")
  set(result "${RESULT_${march}}")

  # Inline functions lie in groups, of which a linker takes one of each name: dissolved.
  run(_ "${LINKER}" -r --force-group-allocation -o "${result}.joined" ${objects})

  run(sections "${OBJDUMP}" -h "${result}.joined")
  # Priorities up to 100 are the compiler's own (sanitizers, coverage).
  string(REGEX REPLACE "(init|fini)_array\\.(0*100|0*[0-9][0-9]?)[ \t]" "" sections "${sections}")
  if(sections MATCHES "(init|fini)_array|\\.[cd]tors")
    message(FATAL_ERROR
      "oriel_add_dispatch: a global object of the sources has a constructor. It would run at the "
      "start on every processor, compiled for ${march}: make it constinit, or a static in a "
      "function. (<iostream> has one: include <ostream> or <cstdio>.)")
  endif()

  run(symbols "${NM}" --defined-only --extern-only --format=posix "${result}.joined")
  string(REGEX MATCHALL "[^\n]+ [A-Z] [^\n]*" strong "${symbols}")
  list(FILTER strong EXCLUDE REGEX " [VW] ")  # of inline functions and variables
  set(variables ${strong})
  list(FILTER variables EXCLUDE REGEX " T ")
  list(FILTER variables EXCLUDE REGEX "^__odr_asan")  # the sanitizer's own, one for each variable
  if(variables)
    list(TRANSFORM variables REPLACE " .*" "")
    message(FATAL_ERROR "oriel_add_dispatch: the sources define variables (or virtual functions' "
                        "tables), of which there would be three: ${variables}")
  endif()
  list(TRANSFORM strong REPLACE " .*" "")
  list(SORT strong)
  if(NOT functions STREQUAL "none" AND NOT functions STREQUAL strong)
    message(FATAL_ERROR "oriel_add_dispatch: for ${march} the sources define other functions than "
                        "for x86-64: ${strong} instead of ${functions}")
  endif()
  set(functions "${strong}")

  set(renamed ${functions})
  list(TRANSFORM renamed REPLACE "(.+)" "\\1 \\1${suffix}\n")
  list(JOIN renamed "" renamed)
  file(WRITE "${result}.renamed" "${renamed}")
  set(visible ${functions})
  list(TRANSFORM visible APPEND "${suffix}")
  list(SORT visible)
  list(JOIN visible "\n" lines)
  file(WRITE "${result}.visible" "${lines}\n")
  run(_ "${OBJCOPY}" "--redefine-syms=${result}.renamed" "${result}.joined")
  run(_ "${OBJCOPY}" "--keep-global-symbols=${result}.visible" "${result}.joined" "${result}")

  run(symbols "${NM}" --defined-only --extern-only --format=posix "${result}")
  string(REGEX MATCHALL "[^\n]+ [A-Za-z] [^\n]*" symbols "${symbols}")
  list(TRANSFORM symbols REPLACE " .*" "")
  list(SORT symbols)
  if(NOT symbols STREQUAL visible)
    message(FATAL_ERROR "oriel_add_dispatch: visible for ${march} are ${symbols} instead of "
                        "${visible}")
  endif()
  file(REMOVE "${result}.joined" "${result}.renamed" "${result}.visible")
endforeach()
if(NOT functions)
  message(FATAL_ERROR "oriel_add_dispatch: the sources define no function for others")
endif()

set(declarations)
set(rows)
set(stubs)
set(number 0)
foreach(function IN LISTS functions)
  set(row)
  foreach(march IN LISTS levels)
    string(REPLACE "-" "_" suffix ".${march}")
    string(MAKE_C_IDENTIFIER "f${number}${suffix}" identifier)
    string(APPEND declarations
      "[[gnu::visibility(\"hidden\")]] void ${identifier}() noexcept __asm__(\"${function}${suffix}\");\n")
    list(APPEND row "${identifier}")
  endforeach()
  list(JOIN row ", " row)
  string(APPEND rows "    {${row}},  // ${function}\n")
  math(EXPR offset "8 * ${number}")
  string(APPEND stubs "        .globl ${function}
        .type ${function}, @function
        .p2align 4
${function}:
        endbr64
        jmp *oriel_dispatched+${offset}(%rip)
        .size ${function}, . - ${function}
")
  math(EXPR number "${number} + 1")
endforeach()
file(WRITE "${STUBS}" "// Written by oriel_add_dispatch.
#include \"dispatch.hpp\"

${declarations}
namespace {

using function = void (*)() noexcept;

constexpr function levels[][3] = {
${rows}};

[[gnu::used]] function chosen[${number}] __asm__(\"oriel_dispatched\");

[[gnu::constructor(101)]] void choose() noexcept {
  int const level = oriel::detail::active_level();
  for (int i = 0; i < ${number}; ++i) chosen[i] = levels[i][level];
}

}  // namespace

__asm__(R\"(
        .text
${stubs})\");
")
