/* Arrays in .npy files, mapped into memory: nothing is read until it is touched, nothing is copied.
 *
 * SPDX-License-Identifier: MIT
 *
 * The file format is NumPy's own, versions 1.0 to 3.0 (numpy.lib.format): a magic, a header that is the text of a Python
 * dict with the keys descr, fortran_order and shape, then the elements.
 */
#ifndef TILEFOLD_CLI_NPY_H
#define TILEFOLD_CLI_NPY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <tilefold.h>

#include "parse.h"

/* The shape of a tensor and where it came from, "in.npy" or "--input", for messages. */
typedef struct tilefold_cli_shape {
    const char *name;
    int count;
    int64_t size[TILEFOLD_CLI_MAX_DIMENSIONS];
} tilefold_cli_shape;

typedef struct tilefold_cli_array {
    tilefold_cli_shape shape;
    int64_t stride[TILEFOLD_CLI_MAX_DIMENSIONS]; /* elements; Fortran order is only other strides */
    char descr[4];                               /* the type as the file says it: "<f4" */
    tilefold_type type;
    const void *data;
    void *mapping; /* the whole file */
    size_t mapping_bytes;
} tilefold_cli_array;

/* Maps the file at path, read-only. type says what 2-byte arrays are: BF16 makes bfloat16 of <f2, <u2, <i2 and V2; any
 * other type is what the file must hold; NONE takes <f4 and <f2 as they are. or_f32: <f4 will do as well (a bias). OK or
 * FAILED (then there is nothing to close); path must outlive *array. */
int tilefold_cli_npy_open(const char *path, tilefold_type type, bool or_f32, tilefold_cli_array *array);
void tilefold_cli_npy_close(tilefold_cli_array *array);

enum { TILEFOLD_CLI_NPY_HEADER_BYTES = 256 };

/* Fills in the header, version 1.0, of a C-order array; what follows it is aligned to 64 bytes. */
void tilefold_cli_npy_header(const char *descr, int count, const int64_t *size,
                             char header[TILEFOLD_CLI_NPY_HEADER_BYTES]);

/* "(1, 64, 3, 3)" into text, which is returned. */
typedef struct tilefold_cli_shape_text {
    char text[128];
} tilefold_cli_shape_text;
const char *tilefold_cli_shape_print(int count, const int64_t *size, tilefold_cli_shape_text *text);

#endif
