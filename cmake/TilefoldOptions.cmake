# SPDX-License-Identifier: MIT
# What CMakeLists.txt says in one line each: options of three values, the dependencies they govern, kernels of an
# instruction set.
include(TilefoldFind)

# A cache entry AUTO, ON or OFF.
function(tilefold_auto_option name text)
    set(${name} AUTO CACHE STRING "${text}: AUTO, ON or OFF")
    set_property(CACHE ${name} PROPERTY STRINGS AUTO ON OFF)
    if(NOT "${${name}}" MATCHES "^(AUTO|ON|OFF)$")
        message(FATAL_ERROR "${name} is '${${name}}', not AUTO, ON or OFF")
    endif()
endfunction()

# Looks for a library as the option says, and says what follows from its being there or not.
macro(tilefold_dependency option package header library if_found if_not)
    set(${package}_FOUND FALSE)
    if("${${option}}" STREQUAL "OFF")
        message(STATUS "${library} switched off: ${if_not}")
    else()
        tilefold_find_library(${package} ${header} ${library})
        if(${package}_FOUND)
            message(STATUS "${library} found: ${if_found}")
        elseif("${${option}}" STREQUAL "ON")
            message(FATAL_ERROR "${library} not found, and ${option} is ON")
        else()
            message(STATUS "${library} not found: ${if_not}")
        endif()
    endif()
endmacro()

# Adds a file of kernels to the library where the compiler targets the architecture (a macro that it predefines) and
# knows the flags, and tells the library so by TILEFOLD_HAVE_<isa>.
macro(tilefold_isa_kernels isa source architecture)
    string(JOIN " " CMAKE_REQUIRED_FLAGS ${ARGN})
    set(CMAKE_TRY_COMPILE_TARGET_TYPE STATIC_LIBRARY) # nothing to link
    check_c_source_compiles("
        #ifndef ${architecture}
        #error another architecture
        #endif
        int main(void) { return 0; }" TILEFOLD_COMPILER_HAS_${isa})
    unset(CMAKE_REQUIRED_FLAGS)
    unset(CMAKE_TRY_COMPILE_TARGET_TYPE)
    if(TILEFOLD_COMPILER_HAS_${isa})
        list(APPEND sources ${source})
        list(APPEND have TILEFOLD_HAVE_${isa})
        set_source_files_properties(${source} PROPERTIES COMPILE_OPTIONS "${ARGN}")
    endif()
endmacro()

# Sets a variable to the lines of a file that are neither empty nor comments (#), as the elements of an array of C strings.
function(tilefold_lines file variable)
    set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${file})
    file(STRINGS ${file} lines REGEX "^[^#]")
    set(strings "")
    foreach(line IN LISTS lines)
        string(REPLACE "\t" "\\t" line "${line}")
        string(APPEND strings "    \"${line}\",\n")
    endforeach()
    set(${variable} "${strings}" PARENT_SCOPE)
endfunction()
