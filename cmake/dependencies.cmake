# SPDX-License-Identifier: BSL-1.0
#
# oriel_require(<package>...): makes the package's target available to the calling directory.
#
# An installed package is taken first (find_package: CMAKE_PREFIX_PATH, <package>_ROOT and so on all
# work). Else the package is fetched, if ORIEL_FETCH_DEPENDENCIES is ON. FETCHCONTENT_SOURCE_DIR_<NAME>
# names a tree that lies on this machine already: it wins over an installed package and needs neither
# the option nor a network. Header-only packages are used as headers, whatever build files they bring.

option(ORIEL_FETCH_DEPENDENCIES "Fetch a dependency that is not installed" OFF)

include(FetchContent)

#   package       target                        a header, if header-only     Debian package
set(_oriel_dependencies
    "xsimd         xsimd                         xsimd/xsimd.hpp              libxsimd-dev          https://github.com/xtensor-stack/xsimd.git       13.2.0"
    "Eigen3        Eigen3::Eigen                 Eigen/Core                   libeigen3-dev         https://gitlab.com/libeigen/eigen.git            3.4.0"
    "CLI11         CLI11::CLI11                  CLI/CLI.hpp                  libcli11-dev          https://github.com/CLIUtils/CLI11.git            v2.4.2"
    "nlohmann_json nlohmann_json::nlohmann_json  nlohmann/json.hpp            nlohmann-json3-dev    https://github.com/nlohmann/json.git             v3.11.3"
    "GTest         GTest::gmock                  -                            libgmock-dev          https://github.com/google/googletest.git         v1.14.0"
    "benchmark     benchmark::benchmark          -                            libbenchmark-dev      https://github.com/google/benchmark.git          v1.8.4")

# The lowest version that the library supports; of the others any version does.
set(ORIEL_XSIMD_VERSION 8.1)

# xsimd is found by our own module, here and in the installed package.
list(PREPEND CMAKE_MODULE_PATH "${CMAKE_CURRENT_LIST_DIR}")

function(_oriel_header_target target root header)
  find_path(_include "${header}" PATHS "${root}" PATH_SUFFIXES include usr/include usr/include/eigen3
            NO_DEFAULT_PATH NO_CACHE)
  if(NOT _include)
    message(FATAL_ERROR "oriel: there is no ${header} in ${root}, in its include/ or usr/include/.")
  endif()
  add_library(${target} INTERFACE IMPORTED)
  target_include_directories(${target} INTERFACE "${_include}")
endfunction()

function(_oriel_fetch name target header repository tag)
  set(subdirectory)
  if(NOT header STREQUAL "-")
    set(subdirectory SOURCE_SUBDIR oriel-takes-only-the-headers)  # not there: nothing is added
  endif()
  set(CMAKE_POLICY_DEFAULT_CMP0077 NEW)  # the variables below win over the project's option()
  set(BUILD_TESTING OFF)
  set(INSTALL_GTEST OFF)
  set(BENCHMARK_ENABLE_TESTING OFF)
  set(BENCHMARK_ENABLE_INSTALL OFF)
  FetchContent_Declare(${name} GIT_REPOSITORY "${repository}" GIT_TAG "${tag}" GIT_SHALLOW ON
                       ${subdirectory})
  FetchContent_MakeAvailable(${name})
  string(TOLOWER "${name}" lower)
  if(name STREQUAL "xsimd")
    set(XSIMD_FROM_SOURCE_DIR ON)
    set(xsimd_SOURCE_DIR "${${lower}_SOURCE_DIR}")
    find_package(xsimd ${ORIEL_XSIMD_VERSION} MODULE REQUIRED)
    message(STATUS "oriel: xsimd ${xsimd_VERSION} in ${xsimd_INCLUDE_DIRS}")
    set(xsimd_VERSION "${xsimd_VERSION}" PARENT_SCOPE)
  elseif(NOT header STREQUAL "-")
    _oriel_header_target(${target} "${${lower}_SOURCE_DIR}" "${header}")
  elseif(name STREQUAL "GTest" AND NOT TARGET GTest::gmock)
    add_library(GTest::gmock ALIAS gmock)
    add_library(GTest::gtest_main ALIAS gtest_main)
  endif()
endfunction()

function(oriel_require)
  foreach(name IN LISTS ARGN)
    set(known ${_oriel_dependencies})
    list(FILTER known INCLUDE REGEX "^${name} ")
    if(NOT known)
      message(FATAL_ERROR "oriel_require: no line for ${name} in cmake/dependencies.cmake")
    endif()
    separate_arguments(row UNIX_COMMAND "${known}")
    list(GET row 1 target)
    list(GET row 2 header)
    list(GET row 3 debian)
    list(GET row 4 repository)
    list(GET row 5 tag)
    set(version)
    if(name STREQUAL "xsimd")
      set(version ${ORIEL_XSIMD_VERSION})
    elseif(TARGET ${target})
      continue()
    endif()

    string(TOUPPER "${name}" upper)
    if(FETCHCONTENT_SOURCE_DIR_${upper} AND NOT TARGET ${target})
      _oriel_fetch(${name} ${target} ${header} ${repository} ${tag})
      continue()
    endif()
    find_package(${name} ${version} QUIET)
    if(${name}_FOUND)
      if(name STREQUAL "xsimd")
        message(STATUS "oriel: xsimd ${xsimd_VERSION} in ${xsimd_INCLUDE_DIRS}")
      endif()
      continue()
    endif()
    if(ORIEL_FETCH_DEPENDENCIES)
      _oriel_fetch(${name} ${target} ${header} ${repository} ${tag})
      continue()
    endif()

    set(found)
    if(${name}_VERSION)
      set(found " (only ${${name}_VERSION})")
    endif()
    message(FATAL_ERROR
      "oriel: ${name} ${version} was not found${found}. One of these helps:\n"
      "  install it:                     apt install ${debian}\n"
      "  say where it is installed:      -DCMAKE_PREFIX_PATH=<prefix>\n"
      "  say where its sources are:      -DFETCHCONTENT_SOURCE_DIR_${upper}=<directory>\n"
      "  have it fetched (network):      -DORIEL_FETCH_DEPENDENCIES=ON")
  endforeach()
  set(xsimd_VERSION "${xsimd_VERSION}" PARENT_SCOPE)
endfunction()
