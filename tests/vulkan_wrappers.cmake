# SPDX-License-Identifier: MIT
# Wrappers of the Vulkan functions that tilefold calls (src/vulkan/functions.h), made from their prototypes in vulkan_core.h:
#
#     VkResult vkF(...)                      may fail instead:       injected("vkF") decides
#     vkCreateF(..., VkF *made), vkAllocateMemory                    made("VkF", handle) is told where it succeeds
#     vkDestroyF(..., VkF gone, ...), vkFreeMemory                   gone("VkF", handle)
#
# and the table `wrappers` of them: name, wrapper, where the real one is kept.
function(tilefold_vulkan_wrappers made)
    set(functions ${PROJECT_SOURCE_DIR}/src/vulkan/functions.h)
    set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${functions})
    file(STRINGS ${functions} names REGEX "^(GLOBAL|INSTANCE|DEVICE)\\([A-Za-z0-9]+\\)$")
    set(text "")
    set(table "")
    foreach(line IN LISTS names)
        string(REGEX REPLACE ".*\\((.*)\\)" "\\1" name "${line}")
        file(STRINGS ${Vulkan_INCLUDE_DIR}/vulkan/vulkan_core.h prototype REGEX "PFN_vk${name}\\)")
        if(NOT prototype MATCHES "typedef ([A-Za-z_]+) \\(VKAPI_PTR \\*PFN_vk${name}\\)\\((.*)\\)")
            message(FATAL_ERROR "vulkan_core.h has no prototype of vk${name}")
        endif()
        set(result ${CMAKE_MATCH_1})
        set(parameters "${CMAKE_MATCH_2}")
        string(REPLACE ", " ";" each "${parameters}")
        list(TRANSFORM each REPLACE ".*[ *]([A-Za-z0-9_]+)$" "\\1" OUTPUT_VARIABLE arguments)
        list(JOIN arguments ", " arguments)
        set(call "((PFN_vk${name})real_${name})(${arguments})")
        set(body "")
        if(result STREQUAL "VkResult")
            set(body "    VkResult result = injected(\"vk${name}\");\n    if (result == VK_SUCCESS) result = ${call};\n")
            list(GET each -1 last)
            if(name MATCHES "^Create|^AllocateMemory" AND last MATCHES "^(Vk[A-Za-z]+)\\* (.*)$")
                string(APPEND body "    if (result == VK_SUCCESS) made(\"${CMAKE_MATCH_1}\", ${CMAKE_MATCH_2}, sizeof *${CMAKE_MATCH_2});\n")
            endif()
            string(APPEND body "    return result;\n")
        elseif(name MATCHES "^Destroy|^FreeMemory")
            list(GET each -2 last)
            string(REGEX MATCH "^(Vk[A-Za-z]+) (.*)$" last "${last}")
            set(body "    gone(\"${CMAKE_MATCH_1}\", &${CMAKE_MATCH_2}, sizeof ${CMAKE_MATCH_2});\n    ${call};\n")
        endif()
        if(body)
            string(APPEND text "static PFN_vkVoidFunction real_${name};\n"
                "static VKAPI_ATTR ${result} VKAPI_CALL wrapped_${name}(${parameters}) {\n${body}}\n\n")
            string(APPEND table "    {\"vk${name}\", (PFN_vkVoidFunction)wrapped_${name}, &real_${name}},\n")
        endif()
    endforeach()
    file(CONFIGURE OUTPUT ${made} @ONLY CONTENT "/* Made by tests/vulkan_wrappers.cmake. */\n
@text@static const struct {
    const char *name;
    PFN_vkVoidFunction wrapper, *real;
} wrappers[] = {
@table@};
")
endfunction()
