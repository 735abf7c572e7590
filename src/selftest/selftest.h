/* tilefold_selftest() on any lines, for tests that change some.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef TILEFOLD_SELFTEST_H
#define TILEFOLD_SELFTEST_H

#include <tilefold.h>

/* lines as tilefold_golden_lines. */
tilefold_status tilefold_selftest_lines(tilefold_context *context, const char *const *lines,
                                        tilefold_selftest_report report, void *user, tilefold_message *message);

#endif /* TILEFOLD_SELFTEST_H */
