/* The tensors of a problem in guarded memory, and the way between strided memory and dense arrays in logical order.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef TESTS_TENSORS_H
#define TESTS_TENSORS_H

#include "guard.h"
#include "problems.h"

/* Where a tensor's elements lie. Dimension 0 is the outermost in logical order. */
typedef struct tensor_view {
    int dimensions;
    int64_t size[6], stride[6];
    int64_t elements; /* product of sizes */
    int64_t low;      /* the least offset of an element from element (0, ..., 0); <= 0 */
    int64_t span;     /* elements from the least offset to the greatest, both included; 0 for an empty tensor */
} tensor_view;

tensor_view input_view(const tilefold_problem *problem);
tensor_view weight_view(const tilefold_problem *problem);
tensor_view output_view(const tilefold_problem *problem);

/* The offset in elements of the element with the given index in logical order. */
int64_t view_offset(const tensor_view *view, int64_t index);

typedef struct tensors {
    test_problem made;
    tensor_view input_view, weight_view, output_view;
    guarded input, weight, bias, output;
    uint64_t input_hash;    /* of input, weight and bias as they were filled */
    int64_t *output_offset; /* view_offset of each output */
} tensors;

/* Allocates and fills the tensors. Values depend on the seed, the kind of data and an element's place in logical order
 * alone: not on strides. */
tensors make_tensors(const test_problem *problem);
void free_tensors(tensors *t);

/* Puts a value in the place of one element of an input, by its number in logical order. */
typedef enum planted { PLANTED_INPUT, PLANTED_WEIGHT, PLANTED_BIAS } planted;
void plant_value(tensors *t, planted where, int64_t index, float value);

/* Pointers to element (0, ..., 0); bias NULL where there is none. */
const void *tensors_input(const tensors *t);
const void *tensors_weight(const tensors *t);
const void *tensors_bias(const tensors *t);
void *tensors_output(const tensors *t);

/* Bytes of the output as a dense array in logical order. */
size_t tensors_output_bytes(const tensors *t);

/* What the library must compute, as dense elements of the problem's type; the caller frees it. */
void *expected_output(const tensors *t);

/* The same by a device that rounds each product before it adds it. */
void *expected_output_rounded_twice(const tensors *t);

/* Whether that many outputs, drawn at random and the first and last, are what the library must compute; says on standard
 * error where not. For problems too large for expected_output(). */
bool check_samples(const tensors *t, const void *got, int64_t samples);

/* Whether expected (from expected_output) agrees with the float64 oracle; says on standard error where not. */
bool check_against_double(const tensors *t, const void *expected);

/* Copies the output to dense and puts back the pattern that was there before. False, with a reason, where anything was
 * written but outputs, or an input changed. */
bool collect_output(tensors *t, void *dense, const char **reason);

/* Whether two dense outputs have the same bits, any NaN being equal to any. *index is of the first that differs. */
bool same_bits(tilefold_type type, int64_t elements, const void *a, const void *b, int64_t *index);

#endif /* TESTS_TENSORS_H */
