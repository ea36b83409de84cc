# SPDX-License-Identifier: BSL-1.0
#
# The target oriel_development: what our own tests, benchmarks and examples are compiled with, and
# nobody else: the instruction set of ORIEL_ARCH, a check at their start that the processor has it,
# the warnings (the target oriel_warnings), and oriel_build_info.hpp, which records what that
# instruction set turned out to be.

set(ORIEL_ARCH "" CACHE STRING
    "Instruction set of our own programs: empty (the compiler's default), native, sse2, or a -march= value")
set_property(CACHE ORIEL_ARCH PROPERTY STRINGS "" native sse2 x86-64-v3 x86-64-v4)
option(ORIEL_WARNINGS_AS_ERRORS "Warnings are errors in our own programs" ON)

add_library(oriel_warnings INTERFACE)
add_library(oriel_development INTERFACE)
target_link_libraries(oriel_development INTERFACE oriel_warnings)
target_sources(oriel_development INTERFACE "${CMAKE_CURRENT_LIST_DIR}/check_cpu.cpp")

# --- the instruction set -------------------------------------------------------------------------
set(oriel_arch_flags)
if(ORIEL_ARCH STREQUAL "sse2")
  set(oriel_arch_flags -march=x86-64)
elseif(ORIEL_ARCH)
  set(oriel_arch_flags "-march=${ORIEL_ARCH}")
endif()
if(oriel_arch_flags)
  include(CheckCXXCompilerFlag)
  string(MAKE_C_IDENTIFIER "ORIEL_HAS_${oriel_arch_flags}" _has_flag)
  check_cxx_compiler_flag("${oriel_arch_flags}" ${_has_flag})
  if(NOT ${_has_flag} AND ORIEL_ARCH STREQUAL "native")
    set(oriel_arch_flags -mcpu=native)  # some compilers for Arm know native only by this name
  elseif(NOT ${_has_flag})
    message(FATAL_ERROR "oriel: ${CMAKE_CXX_COMPILER} does not accept ${oriel_arch_flags} "
                        "(from ORIEL_ARCH=${ORIEL_ARCH}).")
  endif()
endif()
target_compile_options(oriel_development INTERFACE ${oriel_arch_flags})

# Asked of the compiler itself: which of the macros that kernels depend on do these flags define?
separate_arguments(_flags NATIVE_COMMAND "${CMAKE_CXX_FLAGS}")
file(WRITE "${PROJECT_BINARY_DIR}/generated/empty.cpp" "")
execute_process(
  COMMAND "${CMAKE_CXX_COMPILER}" ${_flags} ${oriel_arch_flags} -dM -E -x c++
          "${PROJECT_BINARY_DIR}/generated/empty.cpp"
  OUTPUT_VARIABLE _macros ERROR_QUIET)
set(oriel_isa)
foreach(feature SSE2 SSE4_2 AVX AVX2 FMA F16C BMI2 AVX512F AVX512BW AVX512CD AVX512DQ AVX512VL
                AVX512VNNI AVX512BF16 AVX512FP16 AVXVNNI AMX_TILE AMX_BF16 AMX_INT8
                ARM_NEON ARM_FEATURE_FMA ARM_FEATURE_BF16 ARM_FEATURE_DOTPROD ARM_FEATURE_SVE)
  if(_macros MATCHES "#define __${feature}(__)? ")
    string(TOLOWER "${feature}" _lower)
    list(APPEND oriel_isa "${_lower}")
  endif()
endforeach()
list(JOIN oriel_isa " " ORIEL_BUILD_ISA)
if(NOT ORIEL_BUILD_ISA)
  set(ORIEL_BUILD_ISA "${CMAKE_SYSTEM_PROCESSOR}")
endif()
list(JOIN oriel_arch_flags " " ORIEL_BUILD_ARCH_FLAGS)
if(NOT ORIEL_BUILD_ARCH_FLAGS)
  set(ORIEL_BUILD_ARCH_FLAGS "compiler default")
endif()
set(ORIEL_BUILD_COMPILER "${CMAKE_CXX_COMPILER_ID} ${CMAKE_CXX_COMPILER_VERSION}")
string(TOUPPER "${CMAKE_BUILD_TYPE}" _type)
string(STRIP "${CMAKE_CXX_FLAGS} ${CMAKE_CXX_FLAGS_${_type}}" ORIEL_BUILD_FLAGS)
string(REPLACE "\"" "\\\"" ORIEL_BUILD_FLAGS "${ORIEL_BUILD_FLAGS}")
cmake_host_system_information(RESULT ORIEL_BUILD_CPU QUERY PROCESSOR_DESCRIPTION)
configure_file("${CMAKE_CURRENT_LIST_DIR}/oriel_build_info.hpp.in"
               "${PROJECT_BINARY_DIR}/generated/oriel_build_info.hpp" @ONLY)
file(CONFIGURE OUTPUT "${PROJECT_BINARY_DIR}/oriel_isa.txt" CONTENT
"isa       @ORIEL_BUILD_ISA@
arch      @ORIEL_BUILD_ARCH_FLAGS@
compiler  @ORIEL_BUILD_COMPILER@
flags     @ORIEL_BUILD_FLAGS@
cpu       @ORIEL_BUILD_CPU@
xsimd     @xsimd_VERSION@
" @ONLY)
target_include_directories(oriel_development INTERFACE "${PROJECT_BINARY_DIR}/generated")
message(STATUS "oriel: programs are built for ${ORIEL_BUILD_ISA} (${ORIEL_BUILD_ARCH_FLAGS}, "
               "${ORIEL_BUILD_COMPILER}); recorded in ${PROJECT_BINARY_DIR}/oriel_isa.txt")

# --- the warnings --------------------------------------------------------------------------------
# -Wconversion without -Wsign-conversion (clang's includes it): indices are signed throughout, sizes
# of the standard library are not. Designated initialisers leave members to their defaults by design,
# and a constructor's parameter may be named as the member that it initialises (as in clang's -Wshadow,
# which is not for test files compiled as one: each may use a name that another has outside functions).
target_compile_options(oriel_warnings INTERFACE
  -Wall -Wextra -Wpedantic -Wundef -Wconversion -Wno-sign-conversion -Wno-missing-field-initializers
  $<IF:$<CXX_COMPILER_ID:GNU>,-Wshadow=local,$<$<NOT:$<BOOL:$<TARGET_PROPERTY:UNITY_BUILD>>>:-Wshadow>>
  # g++ 12 sees faults in its own std::string + char (GCC bug 105651) and AVX-512 intrinsics (105593),
  # which Eigen and xsimd use.
  $<$<AND:$<CXX_COMPILER_ID:GNU>,$<VERSION_LESS:$<CXX_COMPILER_VERSION>,13>>:-Wno-restrict>
  $<$<AND:$<CXX_COMPILER_ID:GNU>,$<VERSION_LESS:$<CXX_COMPILER_VERSION>,13>>:-Wno-uninitialized>
  $<$<AND:$<CXX_COMPILER_ID:GNU>,$<VERSION_LESS:$<CXX_COMPILER_VERSION>,13>>:-Wno-maybe-uninitialized>
  $<$<CXX_COMPILER_ID:Clang,AppleClang>:-Wno-gnu-zero-variadic-macro-arguments>  # GoogleTest's
  $<$<BOOL:${ORIEL_WARNINGS_AS_ERRORS}>:-Werror>)

# --- the kernels, compiled once ------------------------------------------------------------------
# The kernels of a call and the products of every codec, for all of our programs that are built for
# ORIEL_ARCH. The first program to be built waits for all of it.
set(ORIEL_KERNEL_FLAGS "" CACHE STRING "Further flags of what is compiled once, in a release build")
set(ORIEL_CALLER_FLAGS -O1 CACHE STRING
    "Further flags of what only calls it, in a release build: a third of the time to compile")
set(ORIEL_QUICK_FLAGS -O0 CACHE STRING
    "Those of tests that run for a shorter time than they take to compile, instead")
set(oriel_has_kernels $<$<CONFIG:Release>:${ORIEL_KERNEL_FLAGS}>)
set(oriel_calls_kernels $<$<CONFIG:Release>:${ORIEL_CALLER_FLAGS}>)
# And of tests: what they call need not be inlined, which halves the time to compile once more.
set(oriel_not_inlined -DORIEL_INLINE=inline -DORIEL_INLINE_LAMBDA=)
set(oriel_tests_kernels ${oriel_calls_kernels} ${oriel_not_inlined})
set(oriel_runs_shortly $<$<CONFIG:Release>:${ORIEL_QUICK_FLAGS}> ${oriel_not_inlined})
set(oriel_compiled_once "${CMAKE_CURRENT_LIST_DIR}/compiled_once")
add_library(oriel_compiled_once STATIC EXCLUDE_FROM_ALL
  "${oriel_compiled_once}/run_task.cpp"
  "${oriel_compiled_once}/coded_products.cpp"
  "${oriel_compiled_once}/rounded_products.cpp")
target_include_directories(oriel_compiled_once PUBLIC "${oriel_compiled_once}")
target_link_libraries(oriel_compiled_once PRIVATE oriel::oriel oriel_development)
target_compile_options(oriel_compiled_once PRIVATE ${oriel_has_kernels})

# Lets a target take them from there.
function(oriel_take_compiled_kernels target)
  target_link_libraries(${target} PRIVATE oriel_compiled_once)
  target_compile_options(${target} PRIVATE
    "SHELL:-include \"${oriel_compiled_once}/compiled_once.hpp\"")
endfunction()
