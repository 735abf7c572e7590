/* SPDX-License-Identifier: MIT */
#define _DEFAULT_SOURCE /* MAP_ANONYMOUS */

#include "memory.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

demo_array demo_map(size_t bytes) {
    void *memory = mmap(NULL, bytes ? bytes : 1, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) {
        fprintf(stderr, "tilefold-demo: error: cannot map %zu bytes: %s\n", bytes, strerror(errno));
        exit(EXIT_FAILURE);
    }
    return (demo_array){memory, bytes};
}

void demo_unmap(demo_array array) { munmap(array.data, array.bytes ? array.bytes : 1); }
