# SPDX-License-Identifier: BSL-1.0
#
# cmake -DCOMPILE=<compiler and flags, joined by @@> -DSOURCE=<file> -P must_fail.cmake
#
# SOURCE compiles as it is, but not with ORIEL_MISUSE defined and the flags of its line
# "// flags: ..."; the compiler's message then matches its line "// message: <regular expression>".

string(REPLACE "@@" ";" COMPILE "${COMPILE}")
file(STRINGS "${SOURCE}" lines REGEX "^// (flags|message): ")
set(message)
set(flags)
foreach(line IN LISTS lines)
  if(line MATCHES "^// flags: (.*)$")
    separate_arguments(flags NATIVE_COMMAND "${CMAKE_MATCH_1}")
  elseif(line MATCHES "^// message: (.*)$")
    set(message "${CMAKE_MATCH_1}")
  endif()
endforeach()
if(NOT message)
  message(FATAL_ERROR "${SOURCE} has no line \"// message: ...\"")
endif()

execute_process(COMMAND ${COMPILE} -fsyntax-only "${SOURCE}"
                RESULT_VARIABLE failed ERROR_VARIABLE output)
if(failed)
  message(FATAL_ERROR "The right use does not compile either:\n${output}")
endif()
execute_process(COMMAND ${COMPILE} ${flags} -DORIEL_MISUSE -fsyntax-only "${SOURCE}"
                RESULT_VARIABLE failed ERROR_VARIABLE output)
if(NOT failed)
  message(FATAL_ERROR "The misuse compiles.")
elseif(NOT output MATCHES "${message}")
  message(FATAL_ERROR "The compiler's message does not match \"${message}\":\n${output}")
endif()
