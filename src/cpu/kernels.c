/* SPDX-License-Identifier: MIT */
/* Which table runs: the one place that names them. The build defines TILEFOLD_HAVE_<ISA> where it compiles that file. */
#include "kernels.h"

#include "detect.h"

/* In ascending order of worth. */
static const tilefold_cpu_kernels *const tables[] = {
    &tilefold_cpu_kernels_portable,
#if defined(TILEFOLD_HAVE_AVX2)
    &tilefold_cpu_kernels_avx2,
#endif
#if defined(TILEFOLD_HAVE_AVX512)
    &tilefold_cpu_kernels_avx512,
#endif
#if defined(TILEFOLD_HAVE_NEON)
    &tilefold_cpu_kernels_neon,
#endif
};

const tilefold_cpu_kernels *tilefold_cpu_kernels_for(tilefold_isa isa) {
    uint32_t isa_mask = tilefold_cpu_detect()->isa_mask;
    const tilefold_cpu_kernels *found = NULL;

    for (size_t i = 0; i < sizeof tables / sizeof tables[0]; i++) {
        bool runs = isa_mask >> tables[i]->isa & 1;
        if (runs && (isa == TILEFOLD_ISA_BEST || isa == tables[i]->isa)) found = tables[i];
    }
    return found;
}
