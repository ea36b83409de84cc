# SPDX-License-Identifier: BSL-1.0
#
# Builds and runs the small project in consumer/, with oriel by find_package from a fresh install or
# by add_subdirectory. Needs: WAY, ORIEL_SOURCE, ORIEL_BUILD, WORK, GENERATOR, COMPILER, FLAGS, and
# where xsimd comes from: XSIMD (a source tree) and PREFIX (both may be empty).

function(run)
  execute_process(COMMAND ${ARGV} RESULT_VARIABLE failed)
  if(failed)
    list(JOIN ARGV " " command)
    message(FATAL_ERROR "failed: ${command}")
  endif()
endfunction()

file(REMOVE_RECURSE "${WORK}")
if(WAY STREQUAL "find_package")
  run("${CMAKE_COMMAND}" --install "${ORIEL_BUILD}" --prefix "${WORK}/prefix")
  set(prefixes "${WORK}/prefix" ${PREFIX})
  if(XSIMD)
    list(APPEND prefixes "${XSIMD}" "${XSIMD}/usr")
  endif()
else()
  set(prefixes ${PREFIX})
endif()
list(JOIN prefixes "\\;" prefixes)
run("${CMAKE_COMMAND}" -S "${CMAKE_CURRENT_LIST_DIR}/consumer" -B "${WORK}/build" -G "${GENERATOR}"
    "-DCMAKE_CXX_COMPILER=${COMPILER}" "-DCMAKE_CXX_FLAGS=${FLAGS}" -DWAY=${WAY}
    "-DORIEL_SOURCE=${ORIEL_SOURCE}" "-DCMAKE_PREFIX_PATH=${prefixes}"
    "-DFETCHCONTENT_SOURCE_DIR_XSIMD=${XSIMD}")
run("${CMAKE_COMMAND}" --build "${WORK}/build")
run("${WORK}/build/consumer")
run("${WORK}/build/dispatched")
