/* Any file as a .npy array: opened, with elements that lie within it, or refused in one line.
 *
 * SPDX-License-Identifier: MIT
 *
 * The file is a block of exactly its bytes on the heap, so that a sanitizer sees what is read past its end.
 */
#include "fuzz.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "errors.h"
#include "npy.h"
#include "system.h"

static const uint8_t *file;
static size_t file_bytes;

int tilefold_cli_map_file(const char *path, void **memory, size_t *bytes) {
    (void)path;
    *memory = NULL;
    *bytes = file_bytes;
    if (file_bytes == 0) return TILEFOLD_CLI_OK;
    *memory = malloc(file_bytes);
    if (!*memory) abort();
    memcpy(*memory, file, file_bytes);
    return TILEFOLD_CLI_OK;
}

void tilefold_cli_unmap_file(void *memory, size_t bytes) {
    (void)bytes;
    free(memory);
}

/* Opens the bytes as a file: OK, or one line of complaint. */
static bool open_bytes(const uint8_t *data, size_t size, tilefold_type type, bool or_f32, tilefold_cli_array *array) {
    file = data;
    file_bytes = size;
    int lines = fuzz_error_lines(), status = tilefold_cli_npy_open("x.npy", type, or_f32, array);
    if (status != TILEFOLD_CLI_OK && status != TILEFOLD_CLI_FAILED) abort();
    if (fuzz_error_lines() - lines != (status == TILEFOLD_CLI_OK ? 0 : 1)) abort();
    return status == TILEFOLD_CLI_OK;
}

static int64_t elements_of(const tilefold_cli_shape *shape) {
    int64_t elements = 1;
    for (int i = 0; i < shape->count; i++) elements *= shape->size[i];
    return elements;
}

/* Every element is in the file, each in a place of its own: the offsets are those of a dense array, and its last byte is the file's. */
static void check_array(const tilefold_cli_array *array, tilefold_type type, bool or_f32) {
    const size_t element = tilefold_type_bytes(array->type);
    if (type != TILEFOLD_NONE && array->type != type && !(or_f32 && array->type == TILEFOLD_F32)) abort();
    if (array->shape.count < 0 || array->shape.count > TILEFOLD_CLI_MAX_DIMENSIONS) abort();
    int64_t elements = elements_of(&array->shape), last = 0;
    const char *begin = array->data, *end = (const char *)array->mapping + array->mapping_bytes;
    if (begin + (size_t)elements * element != end) abort();
    for (int i = 0; i < array->shape.count; i++) {
        if (elements > 0 && array->stride[i] < 1) abort();
        last += (array->shape.size[i] - 1) * array->stride[i];
    }
    if (elements > 0 && last != elements - 1) abort();
    for (const char *at = begin; at < end; at++) (void)*(const volatile char *)at;
}

/* What the header of a new file says is what is read from it. */
static void check_round_trip(const tilefold_cli_array *array) {
    size_t bytes = array->mapping_bytes - (size_t)((const char *)array->data - (const char *)array->mapping);
    uint8_t *copy = malloc(TILEFOLD_CLI_NPY_HEADER_BYTES + bytes);
    if (!copy) abort();
    char descr[sizeof array->descr + 1] = "";
    memcpy(descr, array->descr, sizeof array->descr);
    tilefold_cli_npy_header(descr, array->shape.count, array->shape.size, (char *)copy);
    memcpy(copy + TILEFOLD_CLI_NPY_HEADER_BYTES, array->data, bytes);
    tilefold_cli_array again;
    if (!open_bytes(copy, TILEFOLD_CLI_NPY_HEADER_BYTES + bytes, array->type, false, &again)) abort();
    if (again.type != array->type || again.shape.count != array->shape.count) abort();
    if (memcmp(again.shape.size, array->shape.size, sizeof again.shape.size) != 0) abort();
    if (memcmp(again.data, array->data, bytes) != 0) abort();
    tilefold_cli_npy_close(&again);
    free(copy);
}

/* The last byte says what the caller expects, so that the rest is a file as it is. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    uint8_t wanted = size > 0 ? data[--size] : 0;
    tilefold_type type = (tilefold_type)(wanted % 4);
    bool or_f32 = wanted & 4;
    tilefold_cli_array array;
    if (!open_bytes(data, size, type, or_f32, &array)) return 0;
    check_array(&array, type, or_f32);
    check_round_trip(&array);
    tilefold_cli_npy_close(&array);
    return 0;
}
