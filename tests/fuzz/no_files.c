/* For targets that open no file, but use what prints shapes.
 *
 * SPDX-License-Identifier: MIT
 */
#include <stdlib.h>

#include "system.h"

int tilefold_cli_map_file(const char *path, void **memory, size_t *bytes) {
    (void)path, (void)memory, (void)bytes;
    abort();
}

void tilefold_cli_unmap_file(void *memory, size_t bytes) {
    (void)memory, (void)bytes;
    abort();
}
