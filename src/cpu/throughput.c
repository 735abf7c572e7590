/* SPDX-License-Identifier: MIT */
/* Sources: Intel 64 and IA-32 Architectures Optimization Reference Manual (248966); AMD Software Optimization Guides for
 * family 17h (55723, 56305), 19h (56665, 57647) and 1Ah (58455); Arm's software optimization guides of the cores named; A. Fog,
 * The microarchitecture of Intel, AMD and VIA CPUs, and Instruction tables (agner.org/optimize); uops.info. */
#include "throughput.h"

#include <string.h>

/* Cores of one maker and family, models [first, last], for one instruction set. */
typedef struct cores {
    tilefold_cpu_vendor vendor;
    int32_t family, first, last;
    tilefold_isa isa;
    tilefold_cpu_throughput throughput;
} cores;

#define INTEL TILEFOLD_CPU_VENDOR_INTEL, 0x06
#define AMD TILEFOLD_CPU_VENDOR_AMD
#define ARM TILEFOLD_CPU_VENDOR_ARM, 0x41
#define AVX2 TILEFOLD_ISA_AVX2
#define AVX512 TILEFOLD_ISA_AVX512
#define NEON TILEFOLD_ISA_NEON

/* The first line that fits counts. Golden Cove's third 256-bit load is left out: products of 14 rows by one vector do not get it. */
static const cores known[] = {
    /* Intel's clients with AVX-512 have one 512-bit unit, its servers two. */
    {INTEL, 0x66, 0x66, AVX512, {1, 2, 4}}, /* Cannon Lake */
    {INTEL, 0x7d, 0x7e, AVX512, {1, 2, 4}}, /* Ice Lake, client */
    {INTEL, 0x8c, 0x8d, AVX512, {1, 2, 4}}, /* Tiger Lake */
    {INTEL, 0xa7, 0xa7, AVX512, {1, 2, 4}}, /* Rocket Lake */
    {INTEL, 0x97, 0x9a, AVX512, {1, 2, 4}}, /* Alder Lake, where it is not turned off */
    {INTEL, 0x3c, 0x3f, AVX2, {2, 2, 5}},   /* Haswell, Broadwell */
    {INTEL, 0x45, 0x47, AVX2, {2, 2, 5}},
    {INTEL, 0x4f, 0x4f, AVX2, {2, 2, 5}},
    {INTEL, 0x56, 0x56, AVX2, {2, 2, 5}},
    {INTEL, 0xaf, 0xaf, AVX2, {1, 1, 6}}, /* Sierra Forest: two 128-bit units */
    {INTEL, 0xbe, 0xbe, AVX2, {1, 1, 6}}, /* Alder Lake-N */
    /* Zen 4, and Zen 5 in mobile chips, do a 512-bit instruction as two halves. */
    {AMD, 0x17, 0x00, 0x2f, AVX2, {1, 1, 5}},                       /* Zen: halves of 128 bits */
    {AMD, 0x17, 0x30, 0xff, AVX2, {2, 2, 5}},                       /* Zen 2 */
    {AMD, 0x19, 0x00, 0xff, AVX512, {1, 1, 4}},                     /* Zen 4 */
    {AMD, 0x1a, 0x20, 0x2f, AVX512, {1, 1, 4}},                     /* Strix Point */
    {AMD, 0x1a, 0x60, 0x6f, AVX512, {1, 1, 4}},                     /* Krackan Point */
    {ARM, 0xd03, 0xd05, NEON, {1, 0.5, 4}},                         /* Cortex-A53, A35, A55: 64-bit loads */
    {ARM, 0xd46, 0xd46, NEON, {1, 1, 4}},                           /* Cortex-A510 */
    {ARM, 0xd07, 0xd09, NEON, {1, 1, 4}},                           /* Cortex-A57, A72, A73 */
    {ARM, 0xd40, 0xd40, NEON, {4, 3, 4}},                           /* Neoverse V1 */
    {ARM, 0xd44, 0xd44, NEON, {4, 3, 4}},                           /* Cortex-X1 */
    {ARM, 0xd48, 0xd48, NEON, {4, 3, 4}},                           /* Cortex-X2 */
    {ARM, 0xd4e, 0xd4f, NEON, {4, 3, 4}},                           /* Cortex-X3, Neoverse V2 */
    {ARM, 0xd82, 0xd85, NEON, {4, 3, 4}},                           /* Cortex-X4, X925, Neoverse V3 */
    {TILEFOLD_CPU_VENDOR_ARM, 0x61, 0, 0xfff, NEON, {4, 3, 4}},     /* Apple's large cores */
    {TILEFOLD_CPU_VENDOR_ARM, 0x46, 0x001, 0x001, NEON, {2, 2, 9}}, /* A64FX */
};

tilefold_cpu_throughput tilefold_cpu_get_throughput(const tilefold_cpu_model *model, tilefold_isa isa) {
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        const cores *c = &known[i];
        bool fits = c->vendor == model->vendor && c->family == model->family && c->isa == isa;
        if (fits && c->first <= model->model && model->model <= c->last) return c->throughput;
    }
    /* Calls of fmaf() on single floats, or what a compiler makes of them. */
    if (isa == TILEFOLD_ISA_PORTABLE) return (tilefold_cpu_throughput){0.04, 2, 4};
    return (tilefold_cpu_throughput){2, 2, 4};
}

/* Extended family and model count where the base fields are full. */
tilefold_cpu_model tilefold_cpu_model_of_x86(const char *vendor, uint32_t signature) {
    tilefold_cpu_model model = {.family = signature >> 8 & 0xf, .model = signature >> 4 & 0xf};
    if (model.family == 0x6 || model.family == 0xf) model.model |= (int32_t)(signature >> 16 & 0xf) << 4;
    if (model.family == 0xf) model.family += (int32_t)(signature >> 20 & 0xff);
    if (strcmp(vendor, "GenuineIntel") == 0) model.vendor = TILEFOLD_CPU_VENDOR_INTEL;
    if (strcmp(vendor, "AuthenticAMD") == 0) model.vendor = TILEFOLD_CPU_VENDOR_AMD;
    return model;
}

tilefold_cpu_model tilefold_cpu_model_of_arm(uint32_t midr) {
    return (tilefold_cpu_model){TILEFOLD_CPU_VENDOR_ARM, (int32_t)(midr >> 24 & 0xff), (int32_t)(midr >> 4 & 0xfff)};
}
