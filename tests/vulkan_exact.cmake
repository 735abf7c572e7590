# SPDX-License-Identifier: MIT
# The shaders that compute chains once more, with EXACT_FMA: headers in a folder, <made>.h, whose list goes into a variable. The
# library has none of them: they want doubles, which most devices have not.
function(tilefold_exact_shaders folder list)
    set(source ${PROJECT_SOURCE_DIR}/src/vulkan/shaders)
    file(GLOB includes CONFIGURE_DEPENDS ${source}/*.glsl)
    file(MAKE_DIRECTORY ${folder})
    set(headers "")
    foreach(half "" -DSTORAGE16)
        string(REGEX REPLACE "[^0-9]" "" suffix "${half}")
        foreach(variant
                "broadcast_implicit broadcast" "broadcast_unfolded broadcast -DUNFOLDED"
                "direct direct" "implicit product" "unfolded product -DUNFOLDED"
                "unfolded2d product -DUNFOLDED -DTEXTURE2D" "unfolded3d product -DUNFOLDED -DTEXTURE3D" "probe probe")
            separate_arguments(options UNIX_COMMAND "${variant} ${half}")
            list(POP_FRONT options made comp)
            set(header ${folder}/${made}${suffix}.h)
            add_custom_command(OUTPUT ${header}
                COMMAND ${TILEFOLD_GLSLC} --target-env=vulkan1.1 -O -Werror -DEXACT_FMA ${options} -mfmt=c
                    ${source}/${comp}.comp -o ${header}
                DEPENDS ${source}/${comp}.comp ${includes}
                COMMENT "Compiling exact shader ${made}${suffix}" VERBATIM)
            list(APPEND headers ${header})
        endforeach()
    endforeach()
    set(${list} ${headers} PARENT_SCOPE)
endfunction()
