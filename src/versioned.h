/* Structs of the public headers, whose sizes their callers bring: older and shorter, or newer and longer than they are here.
 *
 * SPDX-License-Identifier: MIT
 *
 *     the caller's    | struct_size | members that both know | surplus |         zero, or it is refused
 *     the library's   | struct_size | members that both know | members that the caller does not know |     their defaults
 *
 * Every function of the API reads and writes such structs through the functions below, and looks at struct_size before
 * anything else of them.
 */
#ifndef TILEFOLD_VERSIONED_H
#define TILEFOLD_VERSIONED_H

#include <tilefold.h>

typedef struct tilefold_versioned {
    const char *name;                  /* as messages call it */
    const char *init;                  /* the function that sets it up */
    size_t bytes;                      /* as it is here */
    size_t least;                      /* of a caller's */
    size_t reserved_at, reserved_size; /* bytes that are zero */
} tilefold_versioned;

/* Nothing may ever be added in padding behind the last member, where an older caller's struct holds garbage. */
#define TILEFOLD_ENDS_WITH(type, member)                                                                               \
    _Static_assert(offsetof(type, member) + sizeof(((type *)0)->member) == sizeof(type), #type " ends in padding")

/* Sets up a caller's struct of that size: as much of the defaults as it has room for, and zeros behind them. */
void tilefold_versioned_init(const tilefold_versioned *kind, const void *defaults, void *fresh, size_t struct_size);

/* *full holds the defaults, and then what the caller gave. INVALID_ARGUMENT for a size that no version has, a surplus or
 * reserved bytes that are not zero. */
tilefold_status tilefold_versioned_read(const tilefold_versioned *kind, const void *given, void *full,
                                        tilefold_message *message);

/* Gives the caller as much of *full as there is room for; struct_size stays the caller's. Errors as above, and then nothing is
 * written. */
tilefold_status tilefold_versioned_write(const tilefold_versioned *kind, const void *full, void *given,
                                         tilefold_message *message);

/* The same for the structs of tilefold.h. */
tilefold_status tilefold_read_problem(const tilefold_problem *given, tilefold_problem *full, tilefold_message *message);
tilefold_status tilefold_write_problem(const tilefold_problem *full, tilefold_problem *given,
                                       tilefold_message *message);
tilefold_status tilefold_read_context_options(const tilefold_context_options *given, tilefold_context_options *full,
                                              tilefold_message *message);
tilefold_status tilefold_read_plan_options(const tilefold_plan_options *given, tilefold_plan_options *full,
                                           tilefold_message *message);
tilefold_status tilefold_read_execution(const tilefold_execution *given, tilefold_execution *full,
                                        tilefold_message *message);
tilefold_status tilefold_write_plan_info(const tilefold_plan_info *full, tilefold_plan_info *given,
                                         tilefold_message *message);
tilefold_status tilefold_write_device_info(const tilefold_device_info *full, tilefold_device_info *given,
                                           tilefold_message *message);

#endif /* TILEFOLD_VERSIONED_H */
