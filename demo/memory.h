/* SPDX-License-Identifier: MIT
 *
 * Memory by the page. Tensors are shared with the child processes that compute on them: a child's resident memory then
 * starts at nothing and counts only the pages that it touches, and its output is there for the parent to check. */
#ifndef TILEFOLD_DEMO_MEMORY_H
#define TILEFOLD_DEMO_MEMORY_H

#include <stddef.h>

typedef struct demo_array {
    void *data;
    size_t bytes;
} demo_array;

/* Zeroed, page-aligned memory that a later fork() shares; ends the program with a message where there is none. */
demo_array demo_map(size_t bytes);
void demo_unmap(demo_array array);

#endif
