# SPDX-License-Identifier: BSL-1.0
#
# oriel_add_dispatch(<target> SOURCES <file>...): compiles the sources for SSE2, x86-64-v3 (AVX2)
# and x86-64-v4 (AVX-512), adds all three to the target, and leads every call of a function that
# they define to the best level that the processor has; oriel/interop/dispatch.hpp says which. On
# machines other than x86-64 with ELF objects the sources are compiled once.
#
# - The sources get the target's include directories, definitions, options and libraries, and then
#   -march=...; the target's other sources must run everywhere: give them no -march.
# - What they define for others must be functions, not inline ones: not variables, nor classes with
#   virtual functions. No global object of theirs may need a constructor, for it would run on every
#   processor. Both are errors of the build.
# - Each level has everything else for itself: inline variables and statics of inline functions are
#   not shared with the rest of the program.
# - Needs a linker with GNU ld's option --force-group-allocation, whatever links the program.
#
# docs/design.md says how it works.

include_guard(GLOBAL)
set(_oriel_dispatch_directory "${CMAKE_CURRENT_LIST_DIR}" CACHE INTERNAL "")

function(oriel_add_dispatch target)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "" SOURCES)
  if(NOT TARGET "${target}" OR NOT arg_SOURCES OR arg_UNPARSED_ARGUMENTS)
    message(FATAL_ERROR "usage: oriel_add_dispatch(<target> SOURCES <file>...), an existing target")
  endif()
  include(CheckCXXSourceCompiles)
  check_cxx_source_compiles("
    #if !defined(__x86_64__) || !defined(__ELF__)
    #error one level
    #endif
    int main() {}" ORIEL_HAS_LEVELS)

  set(everywhere)
  if(ORIEL_HAS_LEVELS)
    _oriel_find_linker()
    set(everywhere -march=x86-64)
  endif()
  set(chooser "${_oriel_dispatch_directory}/dispatch.cpp")
  set_property(TARGET ${target} APPEND PROPERTY LINK_LIBRARIES oriel::oriel)  # with any signature
  target_sources(${target} PRIVATE "${chooser}")
  set_source_files_properties("${chooser}" TARGET_DIRECTORY ${target} PROPERTIES
    COMPILE_OPTIONS "${everywhere}" SKIP_UNITY_BUILD_INCLUSION ON)
  if(NOT ORIEL_HAS_LEVELS)
    target_sources(${target} PRIVATE ${arg_SOURCES})
    return()
  endif()

  set(name "${target}.level")
  while(TARGET "${name}.x86-64")
    string(APPEND name "+")  # the function is called again for this target
  endwhile()
  set(stubs "${CMAKE_CURRENT_BINARY_DIR}/${name}.stubs.cpp")
  set(script "${_oriel_dispatch_directory}/dispatch_levels.cmake")
  set(objects)
  set(results)
  set(arguments)
  foreach(march x86-64 x86-64-v3 x86-64-v4)
    _oriel_add_level(${target} "${name}.${march}" ${march} ${arg_SOURCES})
    list(APPEND objects "${name}.${march}" "$<TARGET_OBJECTS:${name}.${march}>")
    list(APPEND results "${CMAKE_CURRENT_BINARY_DIR}/${name}.${march}.o")
    list(APPEND arguments "-DOBJECTS_${march}=$<JOIN:$<TARGET_OBJECTS:${name}.${march}>,|>"
                          "-DRESULT_${march}=${CMAKE_CURRENT_BINARY_DIR}/${name}.${march}.o")
  endforeach()
  add_custom_command(OUTPUT ${results} "${stubs}"
    COMMAND "${CMAKE_COMMAND}" ${arguments} "-DSTUBS=${stubs}" "-DLINKER=${ORIEL_LINKER}"
            "-DNM=${CMAKE_NM}" "-DOBJCOPY=${CMAKE_OBJCOPY}" "-DOBJDUMP=${CMAKE_OBJDUMP}"
            -P "${script}"
    DEPENDS ${objects} "${script}"
    COMMENT "Joining the levels of ${target}"
    VERBATIM)
  target_sources(${target} PRIVATE ${results} "${stubs}")
  set_source_files_properties(${results} TARGET_DIRECTORY ${target} PROPERTIES
    EXTERNAL_OBJECT ON GENERATED ON)
  set_source_files_properties("${stubs}" TARGET_DIRECTORY ${target} PROPERTIES
    GENERATED ON COMPILE_OPTIONS "${everywhere};-fno-lto" SKIP_UNITY_BUILD_INCLUSION ON
    INCLUDE_DIRECTORIES "${_oriel_dispatch_directory}")
endfunction()

function(_oriel_find_linker)
  if(ORIEL_LINKER)
    return()
  endif()
  foreach(linker "${CMAKE_LINKER}" ld.bfd ld ld.lld)
    execute_process(COMMAND "${linker}" --help OUTPUT_VARIABLE help ERROR_QUIET)
    if(help MATCHES "--force-group-allocation")
      set(ORIEL_LINKER "${linker}" CACHE STRING "The linker that joins the levels of a target")
      return()
    endif()
  endforeach()
  message(FATAL_ERROR "oriel_add_dispatch: needs GNU ld (apt install binutils), or another linker "
                      "with its option --force-group-allocation: -DORIEL_LINKER=...")
endfunction()

function(_oriel_add_level target name march)
  if(NOT TARGET oriel_level_${march})  # linked last, so that its options come after all others
    add_library(oriel_level_${march} INTERFACE IMPORTED GLOBAL)
    target_compile_options(oriel_level_${march} INTERFACE  # unique symbols can't be made local
      "SHELL:-march=${march} -fno-lto $<$<CXX_COMPILER_ID:GNU>:-fno-gnu-unique>")
  endif()
  add_library("${name}" OBJECT ${ARGN})
  foreach(property INCLUDE_DIRECTORIES COMPILE_DEFINITIONS COMPILE_OPTIONS COMPILE_FEATURES)
    set_property(TARGET "${name}" PROPERTY ${property} "$<TARGET_PROPERTY:${target},${property}>")
  endforeach()
  set_property(TARGET "${name}" PROPERTY LINK_LIBRARIES
    "$<TARGET_PROPERTY:${target},LINK_LIBRARIES>" oriel_level_${march})
  set_target_properties("${name}" PROPERTIES
    POSITION_INDEPENDENT_CODE ON CXX_VISIBILITY_PRESET hidden INTERPROCEDURAL_OPTIMIZATION OFF)
endfunction()
