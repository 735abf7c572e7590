/* SPDX-License-Identifier: MIT */
#include "detect.h"

#include <stdio.h>
#include <string.h>
#if defined(__x86_64__)
#include <cpuid.h>
#endif
#if defined(__aarch64__) && defined(__linux__)
#include <sys/auxv.h>
#endif
#if defined(TILEFOLD_HAVE_CPUINFO)
#include <cpuinfo.h>
#endif

#include "../platform.h"

static tilefold_cpu_machine machine;
static tilefold_once machine_once = TILEFOLD_ONCE_INIT;

static uint32_t isa_bit(tilefold_isa isa, bool has) { return has ? UINT32_C(1) << isa : 0; }

/* ------------------------------------------------------------------------------------------------ which core ---- */

#if defined(__x86_64__)

static tilefold_cpu_model ask_model(void) {
    uint32_t eax, words[4] = {0}, ignored;
    if (!__get_cpuid(0, &eax, &words[0], &words[2], &words[1]) || !__get_cpuid(1, &eax, &ignored, &ignored, &ignored))
        return (tilefold_cpu_model){0};
    return tilefold_cpu_model_of_x86((const char *)words, eax);
}

#elif defined(__aarch64__) && defined(__APPLE__)

static tilefold_cpu_model ask_model(void) { return tilefold_cpu_model_of_arm(UINT32_C(0x61) << 24); }

#elif defined(__aarch64__) && defined(__linux__) && defined(HWCAP_CPUID)

/* Linux answers for a register that programs may not read (Documentation/arch/arm64/cpu-feature-registers.rst): of the core that
 * this happens to run on. */
static tilefold_cpu_model ask_model(void) {
    uint64_t midr;
    if (!(getauxval(AT_HWCAP) & HWCAP_CPUID)) return (tilefold_cpu_model){0};
    __asm__("mrs %0, MIDR_EL1" : "=r"(midr));
    return tilefold_cpu_model_of_arm((uint32_t)midr);
}

#else

static tilefold_cpu_model ask_model(void) { return (tilefold_cpu_model){0}; }

#endif

/* ------------------------------------------------------------------- through the processor and the operating system ---- */

#if defined(__x86_64__)

/* The registers that the operating system saves, by the bits of XCR0; none where it cannot tell. (macOS adds those of AVX-512
 * only once a thread has used them: AVX2 it is there.) */
static uint32_t get_saved_registers(uint32_t features) {
    uint32_t low = 0, high;
    if (features & bit_OSXSAVE) __asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return low;
}

/* Asked of the processor itself, as not every compiler's run time has __builtin_cpu_supports (zig's knows of nothing). */
static void ask_isa(void) {
    const uint32_t of_avx = 0x06, of_avx512 = 0xe6;
    uint32_t eax, ebx, ecx, edx, extended, ignored;
    if (!__get_cpuid(1, &eax, &ebx, &ecx, &edx) || !__get_cpuid_count(7, 0, &eax, &extended, &ignored, &edx)) return;
    uint32_t saved = get_saved_registers(ecx);
    const uint32_t first = bit_AVX | bit_FMA | bit_F16C;
    const uint32_t wide = bit_AVX512F | bit_AVX512BW | bit_AVX512DQ | bit_AVX512VL;
    bool avx2 = (saved & of_avx) == of_avx && (ecx & first) == first && (extended & bit_AVX2);
    bool avx512 = avx2 && (saved & of_avx512) == of_avx512 && (extended & wide) == wide;
    machine.isa_mask |= isa_bit(TILEFOLD_ISA_AVX2, avx2) | isa_bit(TILEFOLD_ISA_AVX512, avx512);
}

static void ask_processor(void) {
    ask_isa();
    uint32_t brand[13] = {0}; /* 48 characters, some of them leading spaces, not always with a NUL */
    for (uint32_t i = 0; i < 3; i++)
        if (!__get_cpuid(0x80000002 + i, &brand[4 * i], &brand[4 * i + 1], &brand[4 * i + 2], &brand[4 * i + 3])) break;
    const char *name = (const char *)brand;
    snprintf(machine.name, sizeof machine.name, "%s", *name != '\0' ? name + strspn(name, " ") : "x86-64");
}

#elif defined(__aarch64__)

static void ask_processor(void) {
    machine.isa_mask |= isa_bit(TILEFOLD_ISA_NEON, true); /* part of the base architecture */
    snprintf(machine.name, sizeof machine.name, "AArch64");
}

#else

static void ask_processor(void) { snprintf(machine.name, sizeof machine.name, "CPU"); }

#endif

static void ask_caches(void) {
    tilefold_caches caches = {machine.l1_bytes, machine.l2_bytes, machine.l3_bytes};
    tilefold_ask_caches(&caches);
    machine.l1_bytes = caches.l1_bytes;
    machine.l2_bytes = caches.l2_bytes;
    machine.l3_bytes = caches.l3_bytes;
}

/* ---------------------------------------------------------------------------------------------- through cpuinfo ---- */

#if defined(TILEFOLD_HAVE_CPUINFO)

/* The first core's cache; a per_core one that cores share counts by their share. */
static void ask_cpuinfo_cache(const struct cpuinfo_cache *cache, bool per_core, int64_t *bytes) {
    if (cache == NULL || cache->size == 0) return;
    uint32_t cores = 0;
    for (uint32_t i = 0; i < cache->processor_count; i++) {
        const struct cpuinfo_processor *processor = cpuinfo_get_processor(cache->processor_start + i);
        cores += processor != NULL && processor->smt_id == 0;
    }
    *bytes = per_core && cores > 1 ? cache->size / cores : cache->size;
}

static bool ask_cpuinfo(void) {
#if defined(__linux__)
    /* Without it, or a descriptor for it, cpuinfo complains on standard error, where a program's own words belong. */
    FILE *file = fopen("/proc/cpuinfo", "re");
    if (!file) return false;
    fclose(file);
#endif
    if (!cpuinfo_initialize()) return false;
    bool avx2 = cpuinfo_has_x86_avx2() && cpuinfo_has_x86_fma3() && cpuinfo_has_x86_f16c();
    bool avx512 = avx2 && cpuinfo_has_x86_avx512f() && cpuinfo_has_x86_avx512bw() && cpuinfo_has_x86_avx512dq() &&
                  cpuinfo_has_x86_avx512vl();
    machine.isa_mask |= isa_bit(TILEFOLD_ISA_AVX2, avx2) | isa_bit(TILEFOLD_ISA_AVX512, avx512);
#if defined(__aarch64__)
    machine.isa_mask |= isa_bit(TILEFOLD_ISA_NEON, cpuinfo_has_arm_neon());
#endif
    ask_cpuinfo_cache(cpuinfo_get_l1d_cache(0), true, &machine.l1_bytes);
    ask_cpuinfo_cache(cpuinfo_get_l2_cache(0), true, &machine.l2_bytes);
    ask_cpuinfo_cache(cpuinfo_get_l3_cache(0), false, &machine.l3_bytes);
    snprintf(machine.name, sizeof machine.name, "%s", cpuinfo_get_package(0)->name);
    return true;
}

#else

static bool ask_cpuinfo(void) { return false; }

#endif

static void ask(void) {
    machine.isa_mask = isa_bit(TILEFOLD_ISA_PORTABLE, true);
    machine.model = ask_model();
    machine.cores = tilefold_count_cores();
    machine.memory_bytes = tilefold_memory_bytes();
    /* Small enough for any machine of today, where nobody answers. */
    machine.l1_bytes = 32 << 10;
    machine.l2_bytes = 256 << 10;
    machine.l3_bytes = 2 << 20;
    if (!ask_cpuinfo()) {
        ask_processor();
        ask_caches();
    }
}

const tilefold_cpu_machine *tilefold_cpu_detect(void) {
    tilefold_call_once(&machine_once, ask);
    return &machine;
}
