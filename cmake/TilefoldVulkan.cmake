# SPDX-License-Identifier: MIT
# The Vulkan device: its sources, and its shaders as SPIR-V in C arrays, made in ${CMAKE_CURRENT_BINARY_DIR}/shaders. It needs
# Vulkan's headers and glslc where it is built, and nothing to link: a driver is opened when a program asks for one.

# <made>.h from <source>.comp, with further options of glslc. Each is a line of shaders/variants.txt, "<made> <options> <source>.comp",
# which tests/test_msl.sh goes by.
function(tilefold_shader made source)
    set(folder ${CMAKE_CURRENT_SOURCE_DIR}/src/vulkan/shaders)
    set(header ${CMAKE_CURRENT_BINARY_DIR}/shaders/${made}.h)
    set(variants ${CMAKE_CURRENT_BINARY_DIR}/shaders/variants.txt)
    if(NOT TILEFOLD_SHADERS)
        file(WRITE ${variants} "")
    endif()
    set(options --target-env=vulkan1.1 -O -Werror ${ARGN})
    list(JOIN options " " words)
    file(APPEND ${variants} "${made} ${words} ${source}.comp\n")
    add_custom_command(OUTPUT ${header}
        COMMAND ${TILEFOLD_GLSLC} ${options} -mfmt=c ${folder}/${source}.comp -o ${header}
        DEPENDS ${folder}/${source}.comp ${folder}/job.glsl ${folder}/multiply_add.glsl ${folder}/partial.glsl
            ${folder}/tensors.glsl ${folder}/unfolded.glsl
        COMMENT "Compiling shader ${made}" VERBATIM)
    list(APPEND TILEFOLD_SHADERS ${header})
    set(TILEFOLD_SHADERS ${TILEFOLD_SHADERS} PARENT_SCOPE)
endfunction()

# Adds the device to `sources`, `have` and `dependencies`. TILEFOLD_SHADERS is empty where there is none.
macro(tilefold_vulkan)
    set(TILEFOLD_SHADERS "")
    set(if_not "--device vulkan is not there")
    find_path(Vulkan_INCLUDE_DIR vulkan/vulkan_core.h)
    find_program(TILEFOLD_GLSLC glslc)
    mark_as_advanced(Vulkan_INCLUDE_DIR TILEFOLD_GLSLC)
    if(TILEFOLD_VULKAN STREQUAL "OFF")
        message(STATUS "Vulkan switched off: ${if_not}")
    elseif(Vulkan_INCLUDE_DIR AND TILEFOLD_GLSLC)
        message(STATUS "Vulkan headers and glslc found: --device vulkan is there")
        foreach(half "" 16) # without and with 16-bit elements in buffers; and in the texels that are stored
            set(define "")
            set(texels "")
            if(half)
                set(define -DSTORAGE16)
                set(texels -DTEXELS16)
            endif()
            tilefold_shader(broadcast_implicit${half} broadcast ${define})
            tilefold_shader(broadcast_unfolded${half} broadcast -DUNFOLDED ${define})
            tilefold_shader(direct${half} direct ${define})
            tilefold_shader(implicit${half} product ${define})
            tilefold_shader(unfolded${half} product -DUNFOLDED ${define})
            tilefold_shader(unfolded2d${half} product -DUNFOLDED -DTEXTURE2D ${define})
            tilefold_shader(unfolded3d${half} product -DUNFOLDED -DTEXTURE3D ${define})
            tilefold_shader(unfold${half} unfold ${define})
            tilefold_shader(unfold2d${half} unfold -DTEXTURE2D ${texels})
            tilefold_shader(unfold3d${half} unfold -DTEXTURE3D ${texels})
        endforeach()
        tilefold_shader(peak peak)
        tilefold_shader(probe probe)
        list(APPEND have TILEFOLD_HAVE_VULKAN)
        list(APPEND dependencies ${CMAKE_DL_LIBS})
        list(APPEND sources
            src/vulkan/binding.c
            src/vulkan/chunks.c
            src/vulkan/context.c
            src/vulkan/device.c
            src/vulkan/execute.c
            src/vulkan/image.c
            src/vulkan/import.c
            src/vulkan/job.c
            src/vulkan/limits.c
            src/vulkan/loader.c
            src/vulkan/memory.c
            src/vulkan/peak.c
            src/vulkan/plan.c
            src/vulkan/probe.c
            src/vulkan/record.c
            src/vulkan/sets.c
            src/vulkan/spirv.c
            src/vulkan/structs.c
            src/vulkan/tiling.c
            ${TILEFOLD_SHADERS})
    elseif(TILEFOLD_VULKAN STREQUAL "ON")
        message(FATAL_ERROR "Vulkan headers or glslc not found, and TILEFOLD_VULKAN is ON")
    else()
        message(STATUS "Vulkan headers or glslc not found: ${if_not}")
    endif()
endmacro()
