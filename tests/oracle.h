/* What the library must compute, written a second time and straight from the formulas of <tilefold.h>: no phases, no
 * parts, no tiles. Two ways, which check each other and the library:
 *
 *     oracle_exact    gathers: for every output, the documented chain of fp32 fused multiply-adds. Equal bit for bit.
 *     oracle_double   scatters: every product in[i]*w[k] is added, in float64, to the output it belongs to. Equal within
 *                     the error bound of a sum accumulated in fp32.
 *
 * SPDX-License-Identifier: MIT
 *
 * Arrays here are dense fp32 in logical order: input [n][c][x...], weight [g][o][c][k...] (o and c within the group),
 * output [n][o][x...]. tensors.h brings strided memory into that form.
 */
#ifndef TESTS_ORACLE_H
#define TESTS_ORACLE_H

#include <tilefold.h>

/* One element of memory to fp32 and back: to nearest, ties to even. By plain arithmetic, not by moving bits. */
float oracle_decode(tilefold_type type, const void *element);
void oracle_encode(tilefold_type type, float value, void *element);

/* X of the formulas on one axis; below 1 where there is no output. */
int64_t oracle_output_size(const tilefold_problem *problem, int axis);

/* Pairs of an output and a tap that meets an element of the (zero-padded) dilated input grid, on one axis. Time grows with
 * the input dilation (of a transposed convolution, the stride) times the kernel. */
int64_t oracle_axis_pairs(const tilefold_problem *problem, int axis);

/* Those pairs whose element is one of the input, not padding; on an axis with both a stride and an input dilation, all of them
 * again. Time grows with the kernel. */
int64_t oracle_axis_pairs_met(const tilefold_problem *problem, int axis);

/* The multiply-adds that are necessary: the pairs that are met on all axes, times outputs and channels. */
int64_t oracle_macs(const tilefold_problem *problem);

/* output[] = the finished sum of every output: clamped, not yet rounded to the tensor's type. bias may be NULL. */
void oracle_exact(const tilefold_problem *problem, const float *input, const float *weight, const float *bias,
                  float *output);

/* The same chain where each product is rounded before it is added: by a device whose multiply-add is not fused. */
void oracle_rounded_twice(const tilefold_problem *problem, const float *input, const float *weight, const float *bias,
                          float *output);

/* oracle_exact() for one output of a problem that may be too large for all of them: index in logical order. */
float oracle_exact_at(const tilefold_problem *problem, const float *input, const float *weight, const float *bias,
                      int64_t index);

/* sum[] = bias + products in float64, not clamped; magnitude[] = |bias| + the products' magnitudes. */
void oracle_double(const tilefold_problem *problem, const float *input, const float *weight, const float *bias,
                   double *sum, double *magnitude);

/* How far a right result may lie from clamp(sum), INFINITY where the fp32 sum or the rounding to the type may overflow. */
double oracle_error_bound(const tilefold_problem *problem, double sum, double magnitude);

double oracle_clamp(const tilefold_problem *problem, double sum);

#endif /* TESTS_ORACLE_H */
