/* The floating-point environment that the library computes in: to nearest, subnormal numbers kept, exceptions masked. Whatever
 * the calling thread has set (flush-to-zero, a rounding mode, traps) would change bits, or end the program, and a thread of the
 * caller's pool may have set anything.
 *
 * SPDX-License-Identifier: MIT
 *
 *     tilefold_float_environment callers = tilefold_enter_float_environment();
 *     ... call, through a pointer, what computes ...
 *     tilefold_leave_float_environment(callers);
 *
 * Leaving gives back everything, the exception flags too: the caller's are as if nothing had been computed. Both take a few
 * nanoseconds where the environment is the default one, as registers are written only if something differs. The memory clobbers
 * keep the compiler from moving loads, and with them arithmetic, out of between the two.
 */
#ifndef TILEFOLD_CPU_FLOAT_ENVIRONMENT_H
#define TILEFOLD_CPU_FLOAT_ENVIRONMENT_H

#include <stdint.h>

#if defined(__GNUC__) && defined(__x86_64__)

/* All arithmetic is SSE's and AVX's, under MXCSR; the x87 unit is not used. */
typedef struct tilefold_float_environment {
    uint32_t mxcsr;
} tilefold_float_environment;

static inline uint32_t tilefold_read_mxcsr(void) {
    uint32_t mxcsr;
    __asm__ volatile("stmxcsr %0" : "=m"(mxcsr) : : "memory");
    return mxcsr;
}

static inline void tilefold_write_mxcsr(uint32_t mxcsr) { __asm__ volatile("ldmxcsr %0" : : "m"(mxcsr) : "memory"); }

static inline tilefold_float_environment tilefold_enter_float_environment(void) {
    const uint32_t flags = 0x3f, all_masked = 0x1f80;
    tilefold_float_environment callers = {tilefold_read_mxcsr()};
    if ((callers.mxcsr & ~flags) != all_masked) tilefold_write_mxcsr(all_masked);
    return callers;
}

static inline void tilefold_leave_float_environment(tilefold_float_environment callers) {
    if (tilefold_read_mxcsr() != callers.mxcsr) tilefold_write_mxcsr(callers.mxcsr);
}

#elif defined(__GNUC__) && defined(__aarch64__)

typedef struct tilefold_float_environment {
    uint64_t fpcr, fpsr;
} tilefold_float_environment;

static inline uint64_t tilefold_read_fpsr(void) {
    uint64_t fpsr;
    __asm__ volatile("mrs %0, fpsr" : "=r"(fpsr) : : "memory");
    return fpsr;
}

static inline void tilefold_write_fpcr(uint64_t fpcr) { __asm__ volatile("msr fpcr, %0" : : "r"(fpcr) : "memory"); }

static inline tilefold_float_environment tilefold_enter_float_environment(void) {
    tilefold_float_environment callers = {.fpsr = tilefold_read_fpsr()};
    __asm__ volatile("mrs %0, fpcr" : "=r"(callers.fpcr) : : "memory");
    if (callers.fpcr != 0) tilefold_write_fpcr(0);
    return callers;
}

static inline void tilefold_leave_float_environment(tilefold_float_environment callers) {
    if (tilefold_read_fpsr() != callers.fpsr) __asm__ volatile("msr fpsr, %0" : : "r"(callers.fpsr) : "memory");
    if (callers.fpcr != 0) tilefold_write_fpcr(callers.fpcr);
}

#else /* the C library's word for it, which is slower */

#include <fenv.h>

typedef struct tilefold_float_environment {
    fenv_t all;
} tilefold_float_environment;

static inline tilefold_float_environment tilefold_enter_float_environment(void) {
    tilefold_float_environment callers;
    fegetenv(&callers.all);
    fesetenv(FE_DFL_ENV);
    return callers;
}

static inline void tilefold_leave_float_environment(tilefold_float_environment callers) { fesetenv(&callers.all); }

#endif
#endif /* TILEFOLD_CPU_FLOAT_ENVIRONMENT_H */
