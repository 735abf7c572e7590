/* The benchmark half of the kernels' test: `test_kernels --bench`.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef TESTS_BENCH_KERNELS_H
#define TESTS_BENCH_KERNELS_H

#include "cpu/kernels.h"

/* Prints GFLOP/s or GB/s of chosen kernels of each table, and the share of the multiply-add peak. Returns the exit status. */
int bench_kernels(const tilefold_cpu_kernels *const *tables, int count);

#endif /* TESTS_BENCH_KERNELS_H */
