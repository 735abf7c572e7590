/* SPDX-License-Identifier: MIT */
#ifndef TILEFOLD_CPU_ROWS_H
#define TILEFOLD_CPU_ROWS_H

#include "cpu.h"

/* Pointers [tap][position] at the block's first channel, or at zeros where a tap lies outside the input. */
void tilefold_cpu_point_at_rows(const tilefold_cpu_work *work, const tilefold_tile *tile, tilefold_cursor start,
                                int64_t count, const tilefold_block *block, const void *zeros, const void **rows);

#endif /* TILEFOLD_CPU_ROWS_H */
