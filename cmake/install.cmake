# SPDX-License-Identifier: BSL-1.0
#
# `cmake --install` lays down include/oriel and a package that find_package(oriel) consumes.

include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

set(oriel_package_dir "${CMAKE_INSTALL_DATADIR}/cmake/oriel")
configure_package_config_file(cmake/orielConfig.cmake.in
  "${PROJECT_BINARY_DIR}/generated/orielConfig.cmake" INSTALL_DESTINATION "${oriel_package_dir}")
write_basic_package_version_file("${PROJECT_BINARY_DIR}/generated/orielConfigVersion.cmake"
  COMPATIBILITY SameMinorVersion ARCH_INDEPENDENT)

target_include_directories(oriel INTERFACE $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)
install(TARGETS oriel EXPORT orielTargets)
install(EXPORT orielTargets NAMESPACE oriel:: DESTINATION "${oriel_package_dir}")
install(DIRECTORY include/oriel DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}"
        FILES_MATCHING PATTERN "*.hpp")
install(FILES cmake/Findxsimd.cmake cmake/dispatch.cmake cmake/dispatch_levels.cmake
              cmake/dispatch.cpp cmake/dispatch.hpp
              "${PROJECT_BINARY_DIR}/generated/orielConfig.cmake"
              "${PROJECT_BINARY_DIR}/generated/orielConfigVersion.cmake"
        DESTINATION "${oriel_package_dir}")
install(FILES LICENSE DESTINATION "${CMAKE_INSTALL_DOCDIR}")
