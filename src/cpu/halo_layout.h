/* How a copy of what a box of positions reads is laid out, so that one copy serves all taps.
 *
 * SPDX-License-Identifier: MIT
 *
 * A box is whole rows of positions, or a run of one row. Along an axis with stride S and tap step T, position q reads
 * q*S + j*T at tap j. Its copy holds rows in one of two ways, whichever is smaller:
 *
 *     shared     every input row from the first to the last that is read, once: position q at tap j is row q*S + j*T
 *     separate   for each tap the rows that it reads, densely: position q at tap j is row j*count + q
 *
 * Along the innermost axis neighbouring positions must be neighbours in the copy, so it is sorted by residues modulo S
 * (tap_class.h): taps of one residue share a run of every S-th element, or have runs of their own. For stride 2, taps 0 1 2:
 *
 *     input     0 1 2 3 4 5 6 7 8               tap 0    even + 0
 *     copy      0 2 4 6 8 | 1 3 5 7             tap 1    odd + 0
 *               even        odd                 tap 2    even + 1
 *
 *     copy [channel][z][y][x]: a channel is a plane, `plane` floats from the next; padding is zeros in the copy
 */
#ifndef TILEFOLD_CPU_HALO_LAYOUT_H
#define TILEFOLD_CPU_HALO_LAYOUT_H

#include "cpu.h"
#include "tap_class.h"

/* Rows of an outer axis. */
typedef struct tilefold_halo_rows {
    bool shared;
    int64_t first;            /* input position of position 0 at the first tap that is there */
    int64_t count, step, tap; /* positions, and how far apart the input has them; between taps */
    int64_t tap_begin, taps;
    int64_t rows;          /* in the copy */
    int64_t position_rows; /* from one position to the next, in the copy */
} tilefold_halo_rows;

typedef struct tilefold_halo_layout {
    tilefold_halo_rows outer[2];
    const tilefold_axis_part *inner;
    int64_t first, count;               /* first position, and how many, along the innermost axis */
    int64_t tap_begin, tap_end, period; /* taps of the innermost axis, those of one residue `period` apart */
    int64_t apart;                      /* elements between neighbouring taps of one residue, where they share a run */
    int64_t pitch, plane;               /* floats of a row, and from one channel to the next */
    bool flat;                          /* rows follow each other without a gap: all positions are one row */
} tilefold_halo_layout;

/* Lays out the copy for `rows` rows of `count` positions from the cursor on, at taps [tap_begin, tap_end): all of the part's,
 * or of one row of the kernel. */
tilefold_halo_layout tilefold_halo_lay_out(const tilefold_axis_part part[TILEFOLD_AXES], const tilefold_cursor *cursor,
                                           int64_t rows, int64_t count, int64_t tap_begin, int64_t tap_end);

/* Floats of a copy of so many channels, what kernels read past its end among them. */
int64_t tilefold_halo_floats(const tilefold_halo_layout *layout, int64_t channels);

/* Where a tap begins in a plane of the copy, for position 0. Taps are counted from the layout's first. */
int64_t tilefold_halo_tap_offset(const tilefold_halo_layout *layout, int64_t tap);

/* The most floats of a plane for one position and so many taps, laid out in any way. */
int64_t tilefold_halo_least_plane(int64_t taps);

/* How many channels a copy of so many floats has room for. */
int64_t tilefold_halo_channels(const tilefold_halo_layout *layout, int64_t floats);

/* Copies `channels` channels, channel_stride elements from each other; `input` points at the first. */
void tilefold_halo_copy(const tilefold_halo_layout *layout, const tilefold_cpu_work *work, const char *input,
                        int64_t channel_stride, int64_t channels, float *out);

/* How many whole rows from the cursor on, of at most `left` positions, fit into a copy of so many floats; 0 where not one does
 * or the cursor is within a row. Then tilefold_halo_run() says how long a run of the row fits. */
int64_t tilefold_halo_whole_rows(const tilefold_axis_part part[TILEFOLD_AXES], const tilefold_cursor *cursor,
                                 int64_t left, int64_t taps, int64_t channels, int64_t floats);
int64_t tilefold_halo_run(const tilefold_axis_part part[TILEFOLD_AXES], const tilefold_cursor *cursor, int64_t left,
                          int64_t taps, int64_t channels, int64_t floats);

#endif /* TILEFOLD_CPU_HALO_LAYOUT_H */
