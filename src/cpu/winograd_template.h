/* SPDX-License-Identifier: MIT */
/* Winograd's transforms for 4 outputs of a 3-tap axis, written once over any type of value: a vector, or a float.
 *
 * Included by what fills in a table of kernels. Parameters, undefined here at the end:
 *
 *     VALUE, VALUE_LANES                          the type, and how many floats it holds: divides 16
 *     PLUS(a, b)   TIMES_PLUS(c, a, b)            a + b, and c*a + b rounded once, c being a float
 *     LOAD_VALUE(p)   STORE_VALUE(p, x)           all lanes
 *     STORE_SOME(p, x, count)                     the first count of them
 *     FINISH(x, low, high)                        clamp(x + 0.0f)
 *
 * The points are 0, 3/4, -3/4, 3/2, -3/2 and infinity: all constants are exact, and the errors are a fifth of those of the usual
 * 0, 1, -1, 2, -2 (as Barabasz et al., arXiv 1803.10986, and Alam et al., arXiv 2201.10369, found of such points).
 *
 *           [ 81/64    0    -45/16    0      1    0 ]           [ 1   1     1     1     1    0 ]
 *           [   0   -27/16   -9/4    3/4     1    0 ]     A^T = [ 0  3/4  -3/4   3/2  -3/2   0 ]
 *     B^T = [   0    27/16   -9/4   -3/4     1    0 ]           [ 0  9/16  9/16  9/4   9/4   0 ]
 *           [   0   -27/32   -9/16   3/2     1    0 ]           [ 0 27/64 -27/64 27/8 -27/8  1 ]
 *           [   0    27/32   -9/16  -3/2     1    0 ]
 *           [   0    81/64    0    -45/16    0    1 ]     (G: winograd.c)
 */

/* out[i*out_step] = sum of B^T[i][j] * in[j*in_step], in this order. */
ALWAYS_INLINE void transform_input(float *out, ptrdiff_t out_step, const float *in, ptrdiff_t in_step) {
    VALUE d0 = LOAD_VALUE(in), d1 = LOAD_VALUE(in + in_step), d2 = LOAD_VALUE(in + 2 * in_step);
    VALUE d3 = LOAD_VALUE(in + 3 * in_step), d4 = LOAD_VALUE(in + 4 * in_step), d5 = LOAD_VALUE(in + 5 * in_step);
    VALUE near_even = TIMES_PLUS(-9.0f / 4, d2, d4), near_odd = TIMES_PLUS(-9.0f / 4, d1, d3);
    VALUE far_even = TIMES_PLUS(-9.0f / 16, d2, d4), far_odd = TIMES_PLUS(-9.0f / 16, d1, d3);
    STORE_VALUE(out, TIMES_PLUS(81.0f / 64, d0, TIMES_PLUS(-45.0f / 16, d2, d4)));
    STORE_VALUE(out + out_step, TIMES_PLUS(3.0f / 4, near_odd, near_even));
    STORE_VALUE(out + 2 * out_step, TIMES_PLUS(-3.0f / 4, near_odd, near_even));
    STORE_VALUE(out + 3 * out_step, TIMES_PLUS(3.0f / 2, far_odd, far_even));
    STORE_VALUE(out + 4 * out_step, TIMES_PLUS(-3.0f / 2, far_odd, far_even));
    STORE_VALUE(out + 5 * out_step, TIMES_PLUS(81.0f / 64, d1, TIMES_PLUS(-45.0f / 16, d3, d5)));
}

/* y = A^T m, in this order. */
ALWAYS_INLINE void transform_products(VALUE y[4], const VALUE m[6]) {
    VALUE near_sum = PLUS(m[1], m[2]), near_difference = TIMES_PLUS(-1.0f, m[2], m[1]);
    VALUE far_sum = PLUS(m[3], m[4]), far_difference = TIMES_PLUS(-1.0f, m[4], m[3]);
    /* 3/4 d + 3/2 e = 3/4 (d + 2e) is the only product without a sum; that of a quarter is exact. */
    VALUE odd = TIMES_PLUS(2.0f, far_difference, near_difference);
    VALUE even = TIMES_PLUS(4.0f, far_sum, near_sum);
    y[0] = PLUS(PLUS(m[0], near_sum), far_sum);
    y[1] = TIMES_PLUS(-1.0f / 4, odd, odd);
    y[2] = TIMES_PLUS(-7.0f / 16, even, even);
    y[3] = TIMES_PLUS(27.0f / 64, near_difference, TIMES_PLUS(27.0f / 8, far_difference, m[5]));
}

static void NAME(winograd_input)(float *out, ptrdiff_t out_step, const float *in, ptrdiff_t in_step, int64_t n) {
    for (int64_t j = 0; j < n; j += VALUE_LANES) transform_input(out + j, out_step, in + j, in_step);
}

ALWAYS_INLINE void store_outputs(const VALUE y[4], const tilefold_winograd_tile *tile, float *out, int64_t j) {
    VALUE bias = LOAD_VALUE(tile->bias + j);
    int64_t left = tile->lanes - j;
    UNROLL
    for (int x = 0; x < 4; x++) {
        VALUE finished = FINISH(PLUS(y[x], bias), tile->low, tile->high);
        if (left >= VALUE_LANES)
            STORE_VALUE(out + x * tile->out_step + j, finished);
        else
            STORE_SOME(out + x * tile->out_step + j, finished, (int)left);
    }
}

static void NAME(winograd_output_1)(const float *in, ptrdiff_t in_step, const tilefold_winograd_tile *tile) {
    for (int64_t j = 0; j < tile->lanes; j += VALUE_LANES) {
        VALUE m[6], y[4];
        UNROLL
        for (int i = 0; i < 6; i++) m[i] = LOAD_VALUE(in + i * in_step + j);
        transform_products(y, m);
        store_outputs(y, tile, tile->out, j);
    }
}

static void NAME(winograd_output_2)(const float *in, ptrdiff_t in_step, const tilefold_winograd_tile *tile) {
    for (int64_t j = 0; j < tile->lanes; j += VALUE_LANES) {
        VALUE rows[4][6];
        UNROLL
        for (int x = 0; x < 6; x++) {
            VALUE m[6], y[4];
            UNROLL
            for (int i = 0; i < 6; i++) m[i] = LOAD_VALUE(in + (i * 6 + x) * in_step + j);
            transform_products(y, m);
            UNROLL
            for (int i = 0; i < 4; i++) rows[i][x] = y[i];
        }
        UNROLL
        for (int i = 0; i < 4; i++) {
            VALUE y[4];
            transform_products(y, rows[i]);
            store_outputs(y, tile, tile->out + i * tile->out_row, j);
        }
    }
}

#undef VALUE
#undef VALUE_LANES
#undef PLUS
#undef TIMES_PLUS
#undef LOAD_VALUE
#undef STORE_VALUE
#undef STORE_SOME
#undef FINISH
