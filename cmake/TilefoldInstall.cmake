# SPDX-License-Identifier: MIT
# What `cmake --install` puts where: libraries, header, command line, manual page, CMake package, pkg-config file.

set(package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/tilefold)

install(FILES include/tilefold.h DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
if(TILEFOLD_SHADERS)
    install(FILES include/tilefold_vulkan.h DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
endif()

# Two export sets: the shared library needs nothing found, the static one needs what it was built with.
install(TARGETS tilefold_shared EXPORT tilefold-shared-targets INCLUDES DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}
        LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(TARGETS tilefold_static EXPORT tilefold-static-targets INCLUDES DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}
        ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(EXPORT tilefold-shared-targets NAMESPACE tilefold:: DESTINATION ${package_dir})
install(EXPORT tilefold-static-targets NAMESPACE tilefold:: DESTINATION ${package_dir})

if(TILEFOLD_CLI)
    install(TARGETS tilefold_cli RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
    install(FILES docs/tilefold.1 DESTINATION ${CMAKE_INSTALL_MANDIR}/man1)
endif()

# The lines of the package that look for what the static library was built with, and the flags that link it.
set(package_dependencies "")
set(pc_private "-lm ${CMAKE_THREAD_LIBS_INIT}")
if(Cpuinfo_FOUND)
    string(APPEND package_dependencies
        "tilefold_find_library(Cpuinfo cpuinfo.h cpuinfo)\n"
        "if(NOT Cpuinfo_FOUND)\n    set(tilefold_static_FOUND FALSE)\nendif()\n")
    string(PREPEND pc_private "-lcpuinfo ")
endif()
string(STRIP "${pc_private}" pc_private)

configure_package_config_file(cmake/tilefold-config.cmake.in ${CMAKE_CURRENT_BINARY_DIR}/tilefold-config.cmake
    INSTALL_DESTINATION ${package_dir} NO_SET_AND_CHECK_MACRO)
write_basic_package_version_file(${CMAKE_CURRENT_BINARY_DIR}/tilefold-config-version.cmake
    COMPATIBILITY SameMinorVersion) # until 1.0.0 a minor version may change the interface
install(FILES
    ${CMAKE_CURRENT_BINARY_DIR}/tilefold-config.cmake
    ${CMAKE_CURRENT_BINARY_DIR}/tilefold-config-version.cmake
    cmake/TilefoldFind.cmake
    DESTINATION ${package_dir})

# Paths in the pkg-config file are relative to it, so that an installed tree can be moved.
if(IS_ABSOLUTE "${CMAKE_INSTALL_LIBDIR}" OR IS_ABSOLUTE "${CMAKE_INSTALL_INCLUDEDIR}")
    set(pc_prefix ${CMAKE_INSTALL_PREFIX})
    set(pc_libdir ${CMAKE_INSTALL_FULL_LIBDIR})
    set(pc_includedir ${CMAKE_INSTALL_FULL_INCLUDEDIR})
else()
    file(RELATIVE_PATH up /${CMAKE_INSTALL_LIBDIR}/pkgconfig /)
    string(REGEX REPLACE "/$" "" up "${up}")
    set(pc_prefix "\${pcfiledir}/${up}")
    set(pc_libdir "\${prefix}/${CMAKE_INSTALL_LIBDIR}")
    set(pc_includedir "\${prefix}/${CMAKE_INSTALL_INCLUDEDIR}")
endif()
configure_file(cmake/tilefold.pc.in ${CMAKE_CURRENT_BINARY_DIR}/tilefold.pc @ONLY)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/tilefold.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
