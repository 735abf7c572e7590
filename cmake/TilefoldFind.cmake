# SPDX-License-Identifier: MIT
# Finds a library that is a header and a library file and no more. Sets <package>_FOUND, and where that is true makes the
# target <package>::<package>. Installed, since who links the static library needs what that was built with.
function(tilefold_find_library package header library)
    find_path(${package}_INCLUDE_DIR ${header})
    find_library(${package}_LIBRARY ${library})
    mark_as_advanced(${package}_INCLUDE_DIR ${package}_LIBRARY)
    if(NOT ${package}_INCLUDE_DIR OR NOT ${package}_LIBRARY)
        set(${package}_FOUND FALSE PARENT_SCOPE)
        return()
    endif()
    set(${package}_FOUND TRUE PARENT_SCOPE)
    if(NOT TARGET ${package}::${package})
        add_library(${package}::${package} UNKNOWN IMPORTED)
        set_target_properties(${package}::${package} PROPERTIES
            IMPORTED_LOCATION "${${package}_LIBRARY}" INTERFACE_INCLUDE_DIRECTORIES "${${package}_INCLUDE_DIR}")
    endif()
endfunction()
