/* What the Python package adds to the library: a progress callback that needs no interpreter.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef TILEFOLD_PYTHON_NATIVE_H
#define TILEFOLD_PYTHON_NATIVE_H

#include <tilefold.h>

/* One execution, as another thread sees it. */
typedef struct tilefold_python_watch {
    _Atomic int64_t done, total; /* tiles */
    _Atomic int32_t cancel;      /* not 0: begin no further tile */
} tilefold_python_watch;

/* A tilefold_progress whose user is a tilefold_python_watch. */
TILEFOLD_API bool tilefold_python_progress(void *user, int64_t done, int64_t total);

/* The structs of dlpack.h (version 0, and from 1 on "versioned"), for reading the capsules of others. */
typedef struct tilefold_dlpack_tensor {
    void *data;
    int32_t device_type, device_id; /* 1: CPU */
    int32_t rank;
    uint8_t code, bits; /* 2: float, 4: bfloat */
    uint16_t lanes;
    int64_t *shape, *strides; /* elements; strides are NULL where dense */
    uint64_t byte_offset;
} tilefold_dlpack_tensor;

typedef struct tilefold_dlpack_managed {
    tilefold_dlpack_tensor tensor;
    void *manager;
    void *deleter; /* a function */
} tilefold_dlpack_managed;

typedef struct tilefold_dlpack_versioned {
    uint32_t major, minor;
    void *manager;
    void *deleter;  /* a function */
    uint64_t flags; /* 1: read-only */
    tilefold_dlpack_tensor tensor;
} tilefold_dlpack_versioned;

#endif /* TILEFOLD_PYTHON_NATIVE_H */
