/* What CBMC proves of the formulas of src/problem.c and src/strides.c: for any fields at all nothing overflows, and what is let
 * pass is within the bounds that the rest of the library relies on. See sizes.c: products are abstract.
 *
 * SPDX-License-Identifier: MIT
 */
#define PROVE_ABSTRACT
#include "sizes.c"

#include "problem.c"
#include "strides.c"

/* Only texts are left out. */
tilefold_status tilefold_fail(tilefold_message *message, tilefold_status status, const char *format, ...) {
    (void)message, (void)format;
    return status;
}

static tilefold_problem any_problem(void) {
    tilefold_problem p;
    int64_t *fields[] = {p.input_size,     p.kernel,        p.stride,      p.dilation,
                         p.input_dilation, p.padding_begin, p.padding_end, p.output_padding};
    for (unsigned i = 0; i < sizeof fields / sizeof *fields; i++) fields[i][0] = nondet_number();
    p.op = nondet_bool() ? TILEFOLD_CONV : TILEFOLD_CONV_TRANSPOSE;
    return p;
}

/* tilefold_output_size() of one axis. */
void prove_output_size(void) {
    tilefold_problem p = any_problem();
    int64_t output;
    if (check_axis(&p, 0, NULL) != TILEFOLD_OK) return;
    if (!axis_output(&p, 0, &output)) return;
    __CPROVER_assert(in_bounds(output), "an output size that later sums can take");
    __CPROVER_assert(in_bounds(p.padding_begin[0]) && in_bounds(p.padding_end[0]), "and padding");
}

/* How far a dimension adds to a tensor's reach, which never passes a quarter of the largest position. */
void prove_reach(void) {
    int64_t reach = nondet_number(), before = reach;
    __CPROVER_assume(reach >= 0 && reach <= TILEFOLD_MAX_POSITION / 4);
    if (!extend(nondet_number(), nondet_number(), &reach)) return;
    __CPROVER_assert(reach >= before && reach <= TILEFOLD_MAX_POSITION / 4, "further, and within bounds");
}

/* Dense strides of any sizes. */
void prove_dense_strides(void) {
    int64_t sizes[6], values[6], *strides[6];
    for (int i = 0; i < 6; i++) sizes[i] = nondet_number(), strides[i] = &values[i];
    if (!dense(6, sizes, strides)) return;
    for (int i = 0; i < 6; i++)
        __CPROVER_assert(values[i] >= 1 && values[i] <= TILEFOLD_MAX_POSITION / 4, "at least 1, and within bounds");
}
