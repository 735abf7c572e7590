/* What the machine has. Through cpuinfo where the build found it, else by asking the processor and the operating system. */
#ifndef TILEFOLD_CPU_DETECT_H
#define TILEFOLD_CPU_DETECT_H

#include "throughput.h"

typedef struct tilefold_cpu_machine {
    char name[128];
    uint32_t isa_mask; /* bit (1 << isa): the machine and its operating system can run it */
    tilefold_cpu_model model;
    int32_t cores;    /* that this process may run on */
    int64_t l1_bytes; /* data, per core */
    int64_t l2_bytes; /* per core */
    int64_t l3_bytes; /* shared */
    int64_t memory_bytes;
} tilefold_cpu_machine;

/* Asks once; static storage, safe from any thread. */
const tilefold_cpu_machine *tilefold_cpu_detect(void);

#endif
