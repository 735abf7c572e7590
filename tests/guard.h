/* Memory that tells when it is overrun: a guard page on either side, and canaries in what is left of the pages between.
 *
 * SPDX-License-Identifier: MIT
 *
 *     | guard page | canaries | data ... data | canaries | guard page |
 *
 * Data lies as near to the one guard page or the other as its alignment allows.
 */
#ifndef TESTS_GUARD_H
#define TESTS_GUARD_H

#include <stdbool.h>
#include <stddef.h>

typedef struct guarded {
    unsigned char *data; /* never NULL, also for 0 bytes */
    size_t bytes;
    unsigned char *pages; /* between the guard pages */
    size_t page_bytes;
} guarded;

/* Zeroed memory; aborts where there is none. alignment is a power of two of at most a page. */
guarded guarded_new(size_t bytes, size_t alignment, bool at_end);

/* Whether every canary is still there. */
bool guarded_intact(const guarded *memory);

void guarded_delete(guarded *memory);

/* Fills memory with a pattern that holds NaNs in every type, so that what is read before it was written shows. */
void fill_pattern(void *memory, size_t bytes);

/* Whether all of it still is as fill_pattern() left it. */
bool holds_pattern(const guarded *memory);

#endif /* TESTS_GUARD_H */
