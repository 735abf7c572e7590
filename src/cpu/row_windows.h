/* Pointers at the windows of pixels that are neighbours in a row.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef TILEFOLD_CPU_ROW_WINDOWS_H
#define TILEFOLD_CPU_ROW_WINDOWS_H

#include "cpu.h"

/* Pointers [row of the kernel][column] at the columns that `pixels` neighbours read, and at zeros for padding. Those of pixels that
 * read no padding serve the whole row: what lies beside them has the same, at an offset. */
typedef struct tilefold_row_pointers {
    const char *input; /* what offset 0 of a column is */
    const void *zeros; /* as many as a kernel reads of a column */
    const void **in;
    int64_t columns; /* that the pixels read */
    int64_t more;    /* rows beyond the kernel's: of the next row of outputs */
    int64_t pointed; /* the input column that the pointers begin at */
    bool reusable;   /* no pointer is at padding */
} tilefold_row_pointers;

/* Columns that so many pixels read. */
int64_t tilefold_cpu_row_columns(const tilefold_geometry *geometry, int64_t pixels);

/* Sees to it that the pointers, at the offset that is returned (elements), are those of the pixels from `at` on. */
int64_t tilefold_cpu_enter_row(const tilefold_cpu_work *work, const tilefold_tile *tile, const tilefold_cursor *at,
                               tilefold_row_pointers *pointers);

#endif /* TILEFOLD_CPU_ROW_WINDOWS_H */
