# SPDX-License-Identifier: BSL-1.0
# Runs programs and compares what they say. Included by the tests of this directory.
cmake_minimum_required(VERSION 3.22)

# Runs a program; sets status, out and err in the caller.
function(run)
  execute_process(COMMAND ${ARGV} RESULT_VARIABLE _status OUTPUT_VARIABLE _out ERROR_VARIABLE _err)
  set(status "${_status}" PARENT_SCOPE)
  set(out "${_out}" PARENT_SCOPE)
  set(err "${_err}" PARENT_SCOPE)
endfunction()

function(expect_equal what actual expected)
  if(NOT "${actual}" STREQUAL "${expected}")
    message(FATAL_ERROR "${what} is '${actual}', expected '${expected}'\n${err}")
  endif()
endfunction()

# Is a member of the JSON text a number above 0?
function(expect_positive json)
  string(JSON value GET "${json}" ${ARGN})
  if(NOT value GREATER 0)
    message(FATAL_ERROR "${ARGN} is '${value}', expected a number above 0")
  endif()
endfunction()
