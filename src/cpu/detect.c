/* SPDX-License-Identifier: MIT */
#if defined(__linux__)
#define _GNU_SOURCE /* sched_getaffinity, CPU_ALLOC */
#endif

#include "detect.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#if defined(__linux__)
#include <sched.h>
#endif
#if defined(__x86_64__)
#include <cpuid.h>
#endif
#if defined(__aarch64__) && defined(__linux__)
#include <sys/auxv.h>
#endif
#if defined(TILEFOLD_HAVE_CPUINFO)
#include <cpuinfo.h>
#endif

static tilefold_cpu_machine machine;
static pthread_once_t machine_once = PTHREAD_ONCE_INIT;

static uint32_t isa_bit(tilefold_isa isa, bool has) { return has ? UINT32_C(1) << isa : 0; }

static int32_t count_cores(void) {
#if defined(__linux__)
    /* The kernel refuses a set smaller than its own; 2^20 processors are more than any has. */
    for (int processors = 1024; processors <= 1 << 20; processors *= 4) {
        cpu_set_t *set = CPU_ALLOC(processors);
        if (set == NULL) break;
        size_t bytes = CPU_ALLOC_SIZE(processors);
        int count = sched_getaffinity(0, bytes, set) == 0 ? CPU_COUNT_S(bytes, set) : 0;
        CPU_FREE(set);
        if (count > 0) return count;
    }
#endif
    long online = sysconf(_SC_NPROCESSORS_ONLN);
    return online > 0 ? (int32_t)online : 1;
}

static int64_t memory_bytes(void) {
    long pages = sysconf(_SC_PHYS_PAGES);
    long page_bytes = sysconf(_SC_PAGESIZE);
    return pages > 0 && page_bytes > 0 ? (int64_t)pages * page_bytes : 0;
}

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

/* ------------------------------------------------------------------- through the compiler and the C library ---- */

#if defined(__x86_64__)

static void ask_compiler(void) {
    uint32_t eax, ebx, ecx = 0, edx;
    __builtin_cpu_init();
    /* Not every compiler's __builtin_cpu_supports knows F16C; AVX2 answers for the operating system's part. */
    bool f16c = __get_cpuid(1, &eax, &ebx, &ecx, &edx) && (ecx & bit_F16C);
    bool avx2 = f16c && __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    bool avx512 = avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                  __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
    machine.isa_mask |= isa_bit(TILEFOLD_ISA_AVX2, avx2) | isa_bit(TILEFOLD_ISA_AVX512, avx512);

    uint32_t brand[13] = {0}; /* 48 characters, some of them leading spaces, not always with a NUL */
    for (uint32_t i = 0; i < 3; i++)
        if (!__get_cpuid(0x80000002 + i, &brand[4 * i], &brand[4 * i + 1], &brand[4 * i + 2], &brand[4 * i + 3])) break;
    const char *name = (const char *)brand;
    snprintf(machine.name, sizeof machine.name, "%s", *name != '\0' ? name + strspn(name, " ") : "x86-64");
}

#elif defined(__aarch64__)

static void ask_compiler(void) {
    machine.isa_mask |= isa_bit(TILEFOLD_ISA_NEON, true); /* part of the base architecture */
    snprintf(machine.name, sizeof machine.name, "AArch64");
}

#else

static void ask_compiler(void) { snprintf(machine.name, sizeof machine.name, "CPU"); }

#endif

#if defined(_SC_LEVEL1_DCACHE_SIZE)

static void ask_cache(int name, int64_t *bytes) {
    long answer = sysconf(name);
    if (answer > 0) *bytes = answer;
}

static void ask_caches(void) {
    ask_cache(_SC_LEVEL1_DCACHE_SIZE, &machine.l1_bytes);
    ask_cache(_SC_LEVEL2_CACHE_SIZE, &machine.l2_bytes);
    ask_cache(_SC_LEVEL3_CACHE_SIZE, &machine.l3_bytes);
}

#else

static void ask_caches(void) {}

#endif

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
    /* Without it cpuinfo complains on standard error, where a program's own words belong. */
    if (access("/proc/cpuinfo", R_OK) != 0) return false;
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
    machine.cores = count_cores();
    machine.memory_bytes = memory_bytes();
    /* Small enough for any machine of today, where nobody answers. */
    machine.l1_bytes = 32 << 10;
    machine.l2_bytes = 256 << 10;
    machine.l3_bytes = 2 << 20;
    if (!ask_cpuinfo()) {
        ask_compiler();
        ask_caches();
    }
}

const tilefold_cpu_machine *tilefold_cpu_detect(void) {
    pthread_once(&machine_once, ask);
    return &machine;
}
