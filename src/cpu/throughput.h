/* What a core starts in a cycle, by who made it: for the planner, which times nothing.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef TILEFOLD_CPU_THROUGHPUT_H
#define TILEFOLD_CPU_THROUGHPUT_H

#include <tilefold.h>

typedef enum tilefold_cpu_vendor {
    TILEFOLD_CPU_VENDOR_OTHER = 0,
    TILEFOLD_CPU_VENDOR_INTEL,
    TILEFOLD_CPU_VENDOR_AMD,
    TILEFOLD_CPU_VENDOR_ARM, /* any maker's core that has a MIDR_EL1 */
} tilefold_cpu_vendor;

/* Which core: x86's family and model as CPUID displays them; Arm's implementer and part number, of MIDR_EL1. */
typedef struct tilefold_cpu_model {
    tilefold_cpu_vendor vendor;
    int32_t family, model;
} tilefold_cpu_model;

/* Vector multiply-adds and loads that start in a cycle, and the cycles of a multiply-add. */
typedef struct tilefold_cpu_throughput {
    double multiply_adds, loads, latency;
} tilefold_cpu_throughput;

/* Of a core's vectors of an instruction set: for a core that is not known those of most. */
tilefold_cpu_throughput tilefold_cpu_get_throughput(const tilefold_cpu_model *model, tilefold_isa isa);

/* From CPUID's leaf 1 and the vendor's name. */
tilefold_cpu_model tilefold_cpu_model_of_x86(const char *vendor, uint32_t signature);

/* From MIDR_EL1. */
tilefold_cpu_model tilefold_cpu_model_of_arm(uint32_t midr);

#endif /* TILEFOLD_CPU_THROUGHPUT_H */
