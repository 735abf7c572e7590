/* The table of algorithms: adding one is a file and a line.
 *
 * SPDX-License-Identifier: MIT
 */
#include "algorithm.h"

/* clang-format off */
const tilefold_cpu_algorithm *const tilefold_cpu_algorithms[] = {
    &tilefold_cpu_unfold,
    &tilefold_cpu_in_place,
    &tilefold_cpu_copied_rows,
    &tilefold_cpu_halo,
    &tilefold_cpu_direct,
    &tilefold_cpu_few_channels,
    &tilefold_cpu_depthwise,
    &tilefold_cpu_depthwise_pixels,
    &tilefold_cpu_depthwise_row,
    &tilefold_cpu_depthwise_plane,
    &tilefold_cpu_grouped_row,
    &tilefold_cpu_winograd,
    NULL,
};
/* clang-format on */
