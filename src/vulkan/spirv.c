/* Declaring what a shader's floating-point arithmetic must keep (SPV_KHR_float_controls), which GLSL has no words for.
 *
 * SPDX-License-Identifier: MIT
 *
 * A module is a header of five words, then instructions, each of which begins with its length << 16 | opcode, in this order:
 *
 *     header | capabilities | extensions, imports, memory model | entry points | execution modes ...
 *                           ^ capabilities, the extension                      ^ modes
 */
#include "vulkan.h"

enum { HEADER_WORDS = 5, FLOAT_WIDTH = 32 };

/* SPIR-V specification, 3.32; modes and capabilities, SPV_KHR_float_controls. */
enum { OP_EXTENSION = 10, OP_ENTRY_POINT = 15, OP_EXECUTION_MODE = 16, OP_CAPABILITY = 17 };

static const struct {
    uint32_t bit, mode, capability;
} modes[TILEFOLD_VULKAN_FLOAT_MODES] = {
    {TILEFOLD_VULKAN_KEEPS_SUBNORMALS, 4459, 4464},
    {TILEFOLD_VULKAN_KEEPS_SPECIALS, 4461, 4466},
    {TILEFOLD_VULKAN_ROUNDS_TO_EVEN, 4462, 4467},
};

static const char extension[] = "SPV_KHR_float_controls"; /* with its end, not a multiple of four: padded with zeros */
enum { EXTENSION_WORDS = 1 + (sizeof extension + 3) / 4 };
_Static_assert(EXTENSION_WORDS + TILEFOLD_VULKAN_FLOAT_MODES * (2 + 4) <= TILEFOLD_VULKAN_MODE_WORDS, "more words");

typedef struct writer {
    uint32_t *to;
    size_t words;
} writer;

static void append(writer *w, const uint32_t *words, size_t count) {
    memcpy(w->to + w->words, words, count * sizeof *words);
    w->words += count;
}

static void append_capabilities(writer *w, uint32_t wanted) {
    for (int i = 0; i < TILEFOLD_VULKAN_FLOAT_MODES; i++)
        if (wanted & modes[i].bit) append(w, (const uint32_t[]){2u << 16 | OP_CAPABILITY, modes[i].capability}, 2);
    uint32_t name[EXTENSION_WORDS] = {EXTENSION_WORDS << 16 | OP_EXTENSION};
    memcpy(name + 1, extension,
           sizeof extension); /* of characters in little-endian words: the host's, as the module is */
    append(w, name, EXTENSION_WORDS);
}

static void append_modes(writer *w, uint32_t wanted, uint32_t entry_point) {
    for (int i = 0; i < TILEFOLD_VULKAN_FLOAT_MODES; i++)
        if (wanted & modes[i].bit)
            append(w, (const uint32_t[]){4u << 16 | OP_EXECUTION_MODE, entry_point, modes[i].mode, FLOAT_WIDTH}, 4);
}

size_t tilefold_vulkan_declare_modes(const uint32_t *module, size_t words, uint32_t wanted, uint32_t *to) {
    writer w = {to, 0};
    bool declared = wanted == 0;
    append(&w, module, HEADER_WORDS);
    for (size_t at = HEADER_WORDS; at < words; at += module[at] >> 16) {
        uint32_t opcode = module[at] & 0xffff;
        if (opcode != OP_CAPABILITY && !declared) {
            append_capabilities(&w, wanted);
            declared = true;
        }
        append(&w, module + at, module[at] >> 16);
        if (opcode == OP_ENTRY_POINT) append_modes(&w, wanted, module[at + 2]); /* each module here has one */
    }
    return w.words;
}
