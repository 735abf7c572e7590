/* The command line's error lines, counted instead of printed.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef TESTS_FUZZ_ERRORS_H
#define TESTS_FUZZ_ERRORS_H

#include "error.h"

/* How many there have been so far. */
int fuzz_error_lines(void);

#endif /* TESTS_FUZZ_ERRORS_H */
