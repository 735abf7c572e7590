# SPDX-License-Identifier: MIT
# The Vulkan device: its sources, and its shaders as SPIR-V in C arrays, made in ${CMAKE_CURRENT_BINARY_DIR}/shaders. It needs
# Vulkan's headers and glslc where it is built, and nothing to link: a driver is opened when a program asks for one.

# A shader compiled with some definitions, as <name>.h, and with one more, `for16`, as <name>16.h.
function(tilefold_shader name source for16)
    set(folder ${CMAKE_CURRENT_SOURCE_DIR}/src/vulkan/shaders)
    file(MAKE_DIRECTORY ${CMAKE_CURRENT_BINARY_DIR}/shaders)
    foreach(variant "" 16)
        set(made ${CMAKE_CURRENT_BINARY_DIR}/shaders/${name}${variant}.h)
        set(defines ${ARGN})
        if(variant)
            list(APPEND defines ${for16})
        endif()
        add_custom_command(OUTPUT ${made}
            COMMAND ${TILEFOLD_GLSLC} --target-env=vulkan1.1 -O -Werror ${defines} -mfmt=c ${folder}/${source}.comp -o ${made}
            DEPENDS ${folder}/${source}.comp ${folder}/job.glsl ${folder}/tensors.glsl ${folder}/unfolded.glsl
            COMMENT "Compiling shader ${name}${variant}" VERBATIM)
        list(APPEND TILEFOLD_SHADERS ${made})
    endforeach()
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
        tilefold_shader(direct direct -DSTORAGE16)
        tilefold_shader(implicit product -DSTORAGE16)
        tilefold_shader(unfolded product -DSTORAGE16 -DUNFOLDED)
        tilefold_shader(unfolded2d product -DSTORAGE16 -DUNFOLDED -DTEXTURE2D)
        tilefold_shader(unfolded3d product -DSTORAGE16 -DUNFOLDED -DTEXTURE3D)
        tilefold_shader(unfold unfold -DSTORAGE16)
        tilefold_shader(unfold2d unfold -DTEXELS16 -DTEXTURE2D)
        tilefold_shader(unfold3d unfold -DTEXELS16 -DTEXTURE3D)
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
            src/vulkan/plan.c
            src/vulkan/record.c
            src/vulkan/sets.c
            src/vulkan/tiling.c
            ${TILEFOLD_SHADERS})
    elseif(TILEFOLD_VULKAN STREQUAL "ON")
        message(FATAL_ERROR "Vulkan headers or glslc not found, and TILEFOLD_VULKAN is ON")
    else()
        message(STATUS "Vulkan headers or glslc not found: ${if_not}")
    endif()
endmacro()
