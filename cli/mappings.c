/* The mapped files. See mappings.h and signals.h.
 *
 * SPDX-License-Identifier: MIT
 */
#include "mappings.h"

#include "error.h"
#include "signals.h"

enum { MOST_MAPPINGS = 4 }; /* input, weight, bias, output */
static struct {
    const char *memory; /* NULL: free */
    size_t bytes;
    char text[4608]; /* a whole path */
} mappings[MOST_MAPPINGS];

void tilefold_cli_name_mapping(const char *name, const void *memory, size_t bytes) {
    for (int i = 0; i < MOST_MAPPINGS; i++) {
        if (mappings[i].memory) continue;
        tilefold_cli_error_line(mappings[i].text, sizeof mappings[i].text,
                                "%s: cannot be read or written where it is mapped: was it cut short meanwhile?", name);
        mappings[i].bytes = bytes;
        mappings[i].memory = memory;
        return;
    }
}

void tilefold_cli_forget_mapping(const void *memory) {
    for (int i = 0; i < MOST_MAPPINGS; i++) {
        if (mappings[i].memory == memory) mappings[i].memory = NULL;
    }
}

const char *tilefold_cli_mapping_text(const void *memory) {
    const char *text = "tilefold: error: memory cannot be read or written\n", *at = memory;
    for (int i = 0; i < MOST_MAPPINGS; i++) {
        const char *begin = mappings[i].memory;
        if (begin && at >= begin && (size_t)(at - begin) < mappings[i].bytes) text = mappings[i].text;
    }
    return text;
}
