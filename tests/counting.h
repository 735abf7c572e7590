/* Counting memory: an allocator that keeps a ledger and can fail, and a count of calls to the C library's own.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef TESTS_COUNTING_H
#define TESTS_COUNTING_H

#include <tilefold.h>

/* Single-threaded: calls from several threads at once would need a lock. */
typedef struct ledger {
    int64_t live, peak;     /* bytes handed out now, and at most so far */
    int64_t calls, fail_at; /* allocations; the one to fail, counted from 1 (0: none) */
    bool misused;           /* released with another size than allocated, or asked for a strange alignment */
    bool from_pages;        /* take memory from the system, not from the C library */
} ledger;

tilefold_allocator ledger_allocator(ledger *l);

/* Calls of malloc and its like by this process so far. Not counted where a sanitizer has its own, or without glibc. */
bool heap_is_watched(void);
int64_t heap_calls(void);

/* Bytes that the C library's heap has handed out, its own rounding up included; and the most of them since the last reset. */
int64_t heap_bytes(void);
int64_t heap_peak_bytes(void);
void heap_reset_peak(void);

#endif /* TESTS_COUNTING_H */
