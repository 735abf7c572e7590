/* A table that takes the place of the library's own in a command line that must find fault: of two problems the second has a wrong
 * hash. The first has that of four bytes of zeros.
 *
 * SPDX-License-Identifier: MIT
 */
#include "selftest/golden.h"

const char *const tilefold_golden_lines[] = {
    "df3f619804a92fdb4057192dc43dd748ea778adc52bc498ce80524c014b81119  conv f32 1x1x1 1x1 data=zero",
    "0000000000000000000000000000000000000000000000000000000000000000  conv f32 1x1x2 1x1 data=zero",
    NULL,
};
