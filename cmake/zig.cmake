# SPDX-License-Identifier: MIT
# Cross builds by zig's compiler, which brings the headers and libraries of every system (`pip install ziglang`):
#
#     cmake -B build/windows --toolchain cmake/zig.cmake -DTILEFOLD_ZIG_TARGET=x86_64-windows-gnu
#
# TILEFOLD_ZIG_TARGET is a triple of zig's, with the oldest version to run on where the system has several:
# x86_64-linux-gnu.2.28, aarch64-linux-musl, aarch64-macos.11.0, x86_64-windows-gnu. TILEFOLD_ZIG is the Python that has ziglang,
# or zig itself; without it, python3 and zig in PATH are tried.
set(CMAKE_TRY_COMPILE_PLATFORM_VARIABLES TILEFOLD_ZIG_TARGET TILEFOLD_ZIG)

string(REGEX MATCH "^[^-]+" CMAKE_SYSTEM_PROCESSOR "${TILEFOLD_ZIG_TARGET}")
if(TILEFOLD_ZIG_TARGET MATCHES "-linux-")
    set(CMAKE_SYSTEM_NAME Linux)
elseif(TILEFOLD_ZIG_TARGET MATCHES "-macos")
    set(CMAKE_SYSTEM_NAME Darwin)
elseif(TILEFOLD_ZIG_TARGET MATCHES "-windows-")
    set(CMAKE_SYSTEM_NAME Windows)
else()
    message(FATAL_ERROR "TILEFOLD_ZIG_TARGET is '${TILEFOLD_ZIG_TARGET}', not CPU-linux-LIBC, CPU-macos or CPU-windows-gnu")
endif()

if(NOT TILEFOLD_ZIG)
    find_program(TILEFOLD_ZIG NAMES zig python3 REQUIRED)
endif()
set(zig ${TILEFOLD_ZIG})
if(NOT TILEFOLD_ZIG MATCHES "zig[^/]*$")
    list(APPEND zig -m ziglang)
endif()

# CMake wants an archiver that is one file.
list(JOIN zig "' '" words)
foreach(tool ar ranlib)
    set(script ${CMAKE_BINARY_DIR}/zig-${tool})
    if(NOT EXISTS ${script})
        file(WRITE ${script} "#!/bin/sh\nexec '${words}' ${tool} \"$@\"\n")
        file(CHMOD ${script} PERMISSIONS OWNER_READ OWNER_WRITE OWNER_EXECUTE)
    endif()
    string(TOUPPER ${tool} upper)
    set(CMAKE_${upper} ${script})
endforeach()
set(CMAKE_C_COMPILER ${zig} cc -target ${TILEFOLD_ZIG_TARGET})
# What one machine is like says nothing of another, and zig cc takes undefined behaviour for a reason to stop.
add_compile_options(-fno-sanitize=undefined)

if(CMAKE_SYSTEM_NAME STREQUAL "Darwin")
    find_program(CMAKE_INSTALL_NAME_TOOL false) # CMake insists on one; were it called, that would be an error
endif()

# Nothing of the building machine but its programs.
set(CMAKE_FIND_ROOT_PATH ${CMAKE_BINARY_DIR}/zig-root)
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
set(CMAKE_FIND_ROOT_PATH_MODE_LIBRARY ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_INCLUDE ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_PACKAGE ONLY)

# Vulkan's headers are the same everywhere; what lies beside them is not.
if(NOT Vulkan_INCLUDE_DIR AND EXISTS /usr/include/vulkan/vulkan_core.h)
    file(MAKE_DIRECTORY ${CMAKE_BINARY_DIR}/zig-headers)
    foreach(folder vulkan vk_video)
        if(EXISTS /usr/include/${folder})
            file(CREATE_LINK /usr/include/${folder} ${CMAKE_BINARY_DIR}/zig-headers/${folder} SYMBOLIC)
        endif()
    endforeach()
    set(Vulkan_INCLUDE_DIR ${CMAKE_BINARY_DIR}/zig-headers CACHE PATH "Vulkan's headers")
endif()
