# SPDX-License-Identifier: BSL-1.0
#
# Finds xsimd's headers, any version from 8.1 on, and makes the target `xsimd`.
#
# Why not xsimd's own package file: its version file refuses every other major version, and some
# distributions' file requires xtl, which nothing here uses. It is the last resort below.
#
# Looks at, in this order: a target `xsimd` that exists already; xsimd_SOURCE_DIR, when
# XSIMD_FROM_SOURCE_DIR is set (a checkout, or any tree with include/ or usr/include/); the usual
# prefixes (CMAKE_PREFIX_PATH, xsimd_ROOT); the prefix of xsimd_DIR; xsimd's own package file.

set(_xsimd_roots)
if(TARGET xsimd)
  get_target_property(_xsimd_roots xsimd INTERFACE_INCLUDE_DIRECTORIES)
  string(REGEX REPLACE "\\$<BUILD_INTERFACE:([^>]*)>" "\\1" _xsimd_roots "${_xsimd_roots}")
  list(FILTER _xsimd_roots EXCLUDE REGEX "\\$<")
elseif(XSIMD_FROM_SOURCE_DIR)
  set(_xsimd_roots "${xsimd_SOURCE_DIR}")
endif()

if(_xsimd_roots)
  find_path(_xsimd_include xsimd/xsimd.hpp
            PATHS ${_xsimd_roots} PATH_SUFFIXES include usr/include NO_DEFAULT_PATH NO_CACHE)
else()
  find_path(_xsimd_include xsimd/xsimd.hpp
            HINTS "${xsimd_DIR}/../../.." "${xsimd_DIR}/../../../.."
            PATH_SUFFIXES include usr/include NO_CACHE)
  if(NOT _xsimd_include)
    find_package(xsimd CONFIG QUIET)
    if(TARGET xsimd)
      get_target_property(_xsimd_include xsimd INTERFACE_INCLUDE_DIRECTORIES)
    endif()
  endif()
endif()

string(REGEX REPLACE "/$" "" _xsimd_include "${_xsimd_include}")
set(xsimd_VERSION)
if(EXISTS "${_xsimd_include}/xsimd/config/xsimd_config.hpp")
  file(STRINGS "${_xsimd_include}/xsimd/config/xsimd_config.hpp" _xsimd_lines
       REGEX "#define XSIMD_VERSION_(MAJOR|MINOR|PATCH) ")
  string(REGEX MATCHALL "[0-9]+" _xsimd_numbers "${_xsimd_lines}")
  list(JOIN _xsimd_numbers "." xsimd_VERSION)
endif()

if(CMAKE_CROSSCOMPILING AND _xsimd_include STREQUAL "/usr/include")
  # This machine's own headers: xsimd's serve any target, those of the C library beside them do not.
  file(MAKE_DIRECTORY "${CMAKE_BINARY_DIR}/xsimd_of_host")
  file(CREATE_LINK "/usr/include/xsimd" "${CMAKE_BINARY_DIR}/xsimd_of_host/xsimd" SYMBOLIC)
  set(_xsimd_include "${CMAKE_BINARY_DIR}/xsimd_of_host")
endif()

include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(xsimd REQUIRED_VARS _xsimd_include VERSION_VAR xsimd_VERSION)

if(xsimd_FOUND)
  set(xsimd_INCLUDE_DIRS "${_xsimd_include}")
  if(NOT TARGET xsimd)
    add_library(xsimd INTERFACE IMPORTED)
    target_include_directories(xsimd INTERFACE "${_xsimd_include}")
  endif()
endif()
unset(_xsimd_roots)
unset(_xsimd_include)
unset(_xsimd_lines)
unset(_xsimd_numbers)
