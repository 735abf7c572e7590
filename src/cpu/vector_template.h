/* SPDX-License-Identifier: MIT */
/* The kernels of one instruction set, each family written once over a handful of vector functions.
 *
 * Included once, at the end of the instruction set's file, which before that defines the parameters of table_template.h
 * (save the families, which are here) and these, undefined here at the end:
 *
 *     VECTOR_REGISTER     the constraint of inline assembly that stands for one
 *     POINTER_REGISTERS   how many general registers can hold pointers to rows in a loop
 *     CHAINS              independent multiply-adds that saturate the machine: latency times how many start in a cycle
 *
 * and these inline functions, for each <type> of f32, f16 and bf16:
 *
 *     vector                                    the type
 *     vector broadcast(const float *p)          *p in every lane
 *     vector add(a, b)                          a + b
 *     vector multiply_add(a, b, c)              a * b + c, rounded once
 *     factor                                    the type of a float that multiplies a vector: the vector of it, or less
 *     factor load_factor(const float *p)        *p
 *     vector multiply_add_factor(a, b, c)       a * b + c, a being a factor
 *     vector clamp(x, low, high)                y = x < low ? low : x;  y > high ? high : y  in each lane
 *     vector load_<type>(const void *p)         LANES elements, converted
 *     vector load_part_<type>(p, int count)     the first count < LANES of them; any value in the other lanes
 *     vector load_even_<type>(p)                elements 0, 2, 4, ... of 2 * LANES - 1
 *     void store_<type>(void *p, vector x)      LANES elements, converted
 *     void store_part_<type>(p, x, int count)   the first count < LANES of them
 *     void transpose(vector block[LANES])       in place
 *     void interleave(vector *a, vector *b)     a[0], b[0], a[1], b[1], ... into the lanes of a, then of b
 *     window                                    a type: which elements of a vector there are
 *     window make_window(int begin, int end)   those from begin to end; any numbers will do
 *     vector load_window(const float *p, window)       those elements, zeros for the others, which are not read
 *     vector even(a, b), odd(a, b)              elements 0, 2, 4, ... or 1, 3, 5, ... of a and b after each other
 *     lane_choice                               a type: for each lane, which of a vector's it takes
 *     lane_choice load_choice(const int32_t *p) LANES of them
 *     vector choose_lanes(x, choice)            x[choice[j]] in lane j
 *     float f16_to_float(uint16_t)              one element
 *     uint16_t float_to_f16(float)              one element
 */

/* ---------------------------------------------------------------------------------------------------- products ---- */

/* Into the second-level cache. A hint: any address will do. */
#if defined(__GNUC__)
#define PREFETCH(address) __builtin_prefetch(address, 0, 2)
#else
#define PREFETCH(address) ((void)(address))
#endif

/* Where a pointer points is not known any longer. Compilers hold what they have read there before, and where registers do not
 * suffice they spill it, which takes longer than to read it again. */
#if defined(__GNUC__)
#define FORGET(pointer) __asm__ volatile("" : "+r"(pointer))
#else
#define FORGET(pointer) ((void)0)
#endif

/* Has a vector that several multiply-adds use loaded once: left alone, gcc makes the load an operand of each. */
#if defined(__GNUC__)
#define HOLD(x) __asm__("" : "+" VECTOR_REGISTER(x))
#else
#define HOLD(x) ((void)(x))
#endif

/* A tile's sums live in mr * nv registers from the first multiply-add to the last. */
typedef vector sums[TILEFOLD_MAX_ROWS][TILEFOLD_MAX_VECTORS];

ALWAYS_INLINE void load_sums(int nv, int mr, sums acc, const tilefold_tile_io *io) {
    const float *init = io->init;
    if (io->init_by_row) {
        UNROLL
        for (int i = 0; i < mr; i++) {
            UNROLL
            for (int v = 0; v < nv; v++) acc[i][v] = broadcast(init);
            init += io->init_stride;
        }
        return;
    }
    UNROLL
    for (int i = 0; i < mr; i++) {
        UNROLL
        for (int v = 0; v < nv; v++) acc[i][v] = load_f32(init + v * LANES);
        init += io->init_stride;
    }
}

/* The chain's end and the activation. */
ALWAYS_INLINE vector finish(bool clamps, vector sum, const tilefold_tile_io *io) {
    const float plus_zero = 0.0f;
    vector end = add(sum, broadcast(&plus_zero));
    return clamps ? clamp(end, broadcast(&io->low), broadcast(&io->high)) : end;
}

ALWAYS_INLINE void end_sums(bool clamps, int nv, int mr, sums acc, const tilefold_tile_io *io) {
    float *out = io->out;
    ptrdiff_t out_stride = io->out_stride;
    int last = (int)io->lanes - (nv - 1) * LANES; /* lanes of the last vector */
    if (last < LANES) {
        UNROLL
        for (int i = 0; i < mr; i++) {
            UNROLL
            for (int v = 0; v < nv - 1; v++) store_f32(out + v * LANES, finish(clamps, acc[i][v], io));
            store_part_f32(out + (nv - 1) * LANES, finish(clamps, acc[i][nv - 1], io), last);
            out += out_stride;
        }
        return;
    }
    UNROLL
    for (int i = 0; i < mr; i++) {
        UNROLL
        for (int v = 0; v < nv; v++) store_f32(out + v * LANES, finish(clamps, acc[i][v], io));
        out += out_stride;
    }
}

ALWAYS_INLINE void store_sums(int nv, int mr, sums acc, const tilefold_tile_io *io) { end_sums(true, nv, mr, acc, io); }

/* For short sums, of which the clamp is a tenth. Infinite limits change nothing. */
ALWAYS_INLINE void store_short_sums(int nv, int mr, sums acc, const tilefold_tile_io *io) {
    if (io->low == -INFINITY && io->high == INFINITY)
        end_sums(false, nv, mr, acc, io);
    else
        end_sums(true, nv, mr, acc, io);
}

ALWAYS_INLINE void load_lanes(int nv, vector lanes[TILEFOLD_MAX_VECTORS], const float *b) {
    UNROLL
    for (int v = 0; v < nv; v++) lanes[v] = load_f32(b + v * LANES);
}

/* Row i of a step: packed floats lie side by side; pointers to rows are each read at index. Pointers beyond the registers
 * for them are loaded anew at each step (hence volatile): left alone, compilers keep them in vector registers. */
ALWAYS_INLINE factor load_row(bool by_pointer, const void *rows, ptrdiff_t index, int i) {
    if (!by_pointer) return load_factor((const float *)rows + i);
    const float *const *pointers = rows;
    const float *row = i < POINTER_REGISTERS ? pointers[i] : *(const float *const volatile *)&pointers[i];
    return load_factor(row + index);
}

/* One step of the sums. Whichever side has fewer vectors is held in registers while the other streams past. */
ALWAYS_INLINE void add_step(int nv, int mr, sums acc, bool by_pointer, const void *rows, ptrdiff_t index,
                            const float *b) {
    if (mr < nv) {
        factor row[TILEFOLD_MAX_ROWS];
        UNROLL
        for (int i = 0; i < mr; i++) row[i] = load_row(by_pointer, rows, index, i);
        UNROLL
        for (int v = 0; v < nv; v++) {
            vector lanes = load_f32(b + v * LANES);
            if (mr > 1) HOLD(lanes);
            UNROLL
            for (int i = 0; i < mr; i++) acc[i][v] = multiply_add_factor(row[i], lanes, acc[i][v]);
        }
    } else {
        vector lanes[TILEFOLD_MAX_VECTORS];
        load_lanes(nv, lanes, b);
        UNROLL
        for (int i = 0; i < mr; i++) {
            factor row = load_row(by_pointer, rows, index, i);
            UNROLL
            for (int v = 0; v < nv; v++) acc[i][v] = multiply_add_factor(row, lanes[v], acc[i][v]);
        }
    }
}

ALWAYS_INLINE void product(int nv, int mr, const tilefold_segment *segments, int64_t count, const float *a,
                           ptrdiff_t a_step, const float *b, ptrdiff_t b_step, const tilefold_tile_io *io) {
    sums acc;
    load_sums(nv, mr, acc, io);
    const char *next = io->next;
    ptrdiff_t next_step = io->next_step;
    for (int64_t s = 0; s < count; s++) {
        const float *rows = a + segments[s].a, *lanes = b + segments[s].b;
        for (int64_t left = segments[s].count; left > 0; left--) {
            PREFETCH(next);
            next += next_step;
            add_step(nv, mr, acc, false, rows, 0, lanes);
            rows += a_step;
            lanes += b_step;
        }
    }
    store_sums(nv, mr, acc, io);
}

ALWAYS_INLINE void product_rows(int nv, int mr, const tilefold_segment *segments, int64_t count,
                                const float *const *rows, const float *b, const tilefold_tile_io *io) {
    sums acc;
    load_sums(nv, mr, acc, io);
    const char *next = io->next;
    ptrdiff_t next_step = io->next_step;
    for (int64_t s = 0; s < count; s++) {
        const float *lanes = b + segments[s].b;
        int64_t end = segments[s].a + segments[s].count;
        for (int64_t c = segments[s].a; c < end; c++) {
            PREFETCH(next);
            next += next_step;
            add_step(nv, mr, acc, true, rows + segments[s].tap * mr, c, lanes);
            lanes += nv * LANES;
        }
    }
    store_sums(nv, mr, acc, io);
}

/* Rows that are a multiple of `stride` from the first. Three of them share a register: its own, and one or two strides further. */
ALWAYS_INLINE void point_at_strided(int mr, const float *first, ptrdiff_t stride, const float **base) {
    base[0] = first;
    UNROLL
    for (int i = 3; i < mr; i += 3) base[i / 3] = base[i / 3 - 1] + 3 * stride;
}

ALWAYS_INLINE void product_steps(int nv, int mr, const tilefold_step *steps, int64_t count, const float *a,
                                 ptrdiff_t a_stride, const float *b, const tilefold_tile_io *io) {
    sums acc;
    load_sums(nv, mr, acc, io);
    for (const tilefold_step *end = steps + count; steps < end; steps++) {
        const float *base[(TILEFOLD_MAX_ROWS + 2) / 3], *lanes_at = b + steps->b;
        point_at_strided(mr, a + steps->a, a_stride, base);
        if (mr < nv) {
            factor row[TILEFOLD_MAX_ROWS];
            UNROLL
            for (int i = 0; i < mr; i++) row[i] = load_factor(base[i / 3] + i % 3 * a_stride);
            UNROLL
            for (int v = 0; v < nv; v++) {
                vector lanes = load_f32(lanes_at + v * LANES);
                if (mr > 1) HOLD(lanes);
                UNROLL
                for (int i = 0; i < mr; i++) acc[i][v] = multiply_add_factor(row[i], lanes, acc[i][v]);
            }
        } else {
            vector lanes[TILEFOLD_MAX_VECTORS];
            load_lanes(nv, lanes, lanes_at);
            UNROLL
            for (int i = 0; i < mr; i++) {
                factor row = load_factor(base[i / 3] + i % 3 * a_stride);
                UNROLL
                for (int v = 0; v < nv; v++) acc[i][v] = multiply_add_factor(row, lanes[v], acc[i][v]);
            }
        }
    }
    store_short_sums(nv, mr, acc, io);
}

/* --------------------------------------------------------------------------------------------- elements by type ---- */

ALWAYS_INLINE const void *element(tilefold_type type, const void *base, ptrdiff_t index) {
    return (const char *)base + index * (type == TILEFOLD_F32 ? 4 : 2);
}

ALWAYS_INLINE vector load(tilefold_type type, const void *p) {
    if (type == TILEFOLD_F16) return load_f16(p);
    return type == TILEFOLD_BF16 ? load_bf16(p) : load_f32(p);
}

ALWAYS_INLINE vector load_part(tilefold_type type, const void *p, int count) {
    if (type == TILEFOLD_F16) return load_part_f16(p, count);
    return type == TILEFOLD_BF16 ? load_part_bf16(p, count) : load_part_f32(p, count);
}

ALWAYS_INLINE vector load_even(tilefold_type type, const void *p) {
    if (type == TILEFOLD_F16) return load_even_f16(p);
    return type == TILEFOLD_BF16 ? load_even_bf16(p) : load_even_f32(p);
}

ALWAYS_INLINE float load_one(tilefold_type type, const void *p) {
    if (type == TILEFOLD_F16) return f16_to_float(*(const uint16_t *)p);
    return type == TILEFOLD_BF16 ? tilefold_bf16_to_float(*(const uint16_t *)p) : *(const float *)p;
}

ALWAYS_INLINE void store(tilefold_type type, void *p, vector x) {
    if (type == TILEFOLD_F16) store_f16(p, x);
    if (type == TILEFOLD_BF16) store_bf16(p, x);
    if (type == TILEFOLD_F32) store_f32(p, x);
}

ALWAYS_INLINE void store_part(tilefold_type type, void *p, vector x, int count) {
    if (type == TILEFOLD_F16) store_part_f16(p, x, count);
    if (type == TILEFOLD_BF16) store_part_bf16(p, x, count);
    if (type == TILEFOLD_F32) store_part_f32(p, x, count);
}

ALWAYS_INLINE void store_one(tilefold_type type, void *p, float x) {
    if (type == TILEFOLD_F16) *(uint16_t *)p = float_to_f16(x);
    if (type == TILEFOLD_BF16) *(uint16_t *)p = tilefold_float_to_bf16(x);
    if (type == TILEFOLD_F32) *(float *)p = x;
}

/* --------------------------------------------------------------------------------------------------- depthwise ---- */

ALWAYS_INLINE void depthwise(tilefold_type type, int nv, int pixels, int64_t taps, const void *const *rows,
                             ptrdiff_t offset, const float *w, ptrdiff_t w_stride, const tilefold_tile_io *io) {
    sums acc;
    vector weights[TILEFOLD_MAX_VECTORS];
    load_sums(nv, pixels, acc, io);
    for (int64_t t = 0; t < taps; t++) {
        load_lanes(nv, weights, w);
        UNROLL
        for (int i = 0; i < pixels; i++) {
            const void *row = element(type, rows[i], offset);
            UNROLL
            for (int v = 0; v < nv; v++)
                acc[i][v] = multiply_add(load(type, element(type, row, v * LANES)), weights[v], acc[i][v]);
        }
        rows += pixels;
        w += w_stride;
    }
    store_sums(nv, pixels, acc, io);
}

ALWAYS_INLINE void depthwise_pixels(int nv, int rows, int64_t taps, const int64_t *tap, const float *in,
                                    ptrdiff_t in_stride, const float *w, const tilefold_tile_io *io) {
    sums acc;
    load_sums(nv, rows, acc, io);
    for (int64_t t = 0; t < taps; t++) {
        const float *row = in + tap[t];
        vector weight = broadcast(w + t);
        UNROLL
        for (int i = 0; i < rows; i++) {
            UNROLL
            for (int v = 0; v < nv; v++) acc[i][v] = multiply_add(load_f32(row + v * LANES), weight, acc[i][v]);
            row += in_stride;
        }
    }
    store_sums(nv, rows, acc, io);
}

/* A column's pixels come in the order of their taps, since columns do. */
ALWAYS_INLINE void depthwise_row(tilefold_type type, int taps, int step, int pixels,
                                 const tilefold_row_windows *windows, const tilefold_tile_io *io) {
    const int columns = (pixels - 1) * step + taps;
    tilefold_tile_io panel = *io;
    const float *w = windows->w;
    ptrdiff_t offset = windows->offset;
    for (int64_t left = windows->panels; left > 0; left--, offset += LANES, panel.init += LANES, panel.out += LANES) {
        sums acc;
        load_sums(1, pixels, acc, &panel);
        const void *const *in = windows->in;
        for (int64_t y = windows->rows; y > 0; y--, in += columns, w += taps * LANES) {
            vector weights[2 * TILEFOLD_ROW_KERNELS + 1];
            UNROLL
            for (int x = 0; x < taps; x++) weights[x] = load_f32(w + x * LANES);
            UNROLL
            for (int c = 0; c < columns; c++) {
                vector column = load(type, element(type, in[c], offset));
                UNROLL
                for (int i = 0; i < pixels; i++) {
                    int x = c - i * step;
                    if (x >= 0 && x < taps) acc[i][0] = multiply_add(column, weights[x], acc[i][0]);
                }
            }
        }
        store_sums(1, pixels, acc, &panel);
    }
}

/* One row of columns, of the first row of outputs or the second, or both: the second's weights are those of the row before. */
ALWAYS_INLINE void add_pair_row(bool first, bool second, int pixels, sums acc[2], const void *const *in,
                                ptrdiff_t offset, const float *w) {
    UNROLL
    for (int c = 0; c < pixels - 1 + TILEFOLD_PAIR_TAPS; c++) {
        vector column = load_f32((const float *)in[c] + offset);
        UNROLL
        for (int i = 0; i < pixels; i++) {
            int x = c - i;
            if (x < 0 || x >= TILEFOLD_PAIR_TAPS) continue;
            if (first) acc[0][i][0] = multiply_add(column, load_f32(w + x * LANES), acc[0][i][0]);
            if (second)
                acc[1][i][0] = multiply_add(column, load_f32(w + (x - TILEFOLD_PAIR_TAPS) * LANES), acc[1][i][0]);
        }
    }
}

ALWAYS_INLINE void depthwise_pair(int pixels, const tilefold_row_windows *windows, const tilefold_tile_io *io) {
    const int columns = pixels - 1 + TILEFOLD_PAIR_TAPS;
    tilefold_tile_io panel[2] = {*io, *io};
    const float *w = windows->w;
    ptrdiff_t offset = windows->offset;
    panel[1].out += windows->out_row;
    for (int64_t left = windows->panels; left > 0; left--, offset += LANES) {
        sums acc[2];
        load_sums(1, pixels, acc[0], &panel[0]);
        load_sums(1, pixels, acc[1], &panel[0]);
        const void *const *in = windows->in;
        add_pair_row(true, false, pixels, acc, in, offset, w);
        for (int64_t y = windows->rows; y > 1; y--) {
            in += columns, w += TILEFOLD_PAIR_TAPS * LANES;
            add_pair_row(true, true, pixels, acc, in, offset, w);
        }
        in += columns, w += TILEFOLD_PAIR_TAPS * LANES;
        add_pair_row(false, true, pixels, acc, in, offset, w);
        store_sums(1, pixels, acc[0], &panel[0]);
        store_sums(1, pixels, acc[1], &panel[1]);
        panel[0].init += LANES, panel[0].out += LANES, panel[1].out += LANES;
    }
}

/* One or two panels, of groups that are a part of the lanes. A column's channels come in the order of the sum, since columns do; each
 * is spread over its group's lanes once for all windows that the column is in. That are up to three multiply-adds that do not wait
 * for each other, and with two panels twice as many. */
ALWAYS_INLINE void spread_panels(int nv, int step, int pixels, const tilefold_group_windows *g, const ptrdiff_t base[2],
                                 const float *w, const tilefold_tile_io *io) {
    const int columns = (pixels - 1) * step + TILEFOLD_GROUP_TAPS;
    const ptrdiff_t tap = g->channels * LANES, row = TILEFOLD_GROUP_TAPS * tap, panel = g->rows * row;
    const void *const *in = g->in;
    sums acc;
    load_sums(nv, pixels, acc, io);
    for (int64_t y = g->rows; y > 0; y--, in += columns, w += row) {
        UNROLL
        for (int c = 0; c < columns; c++) {
            const float *weights = w;
            const int32_t *spread = g->spread;
            vector column[2];
            UNROLL
            for (int v = 0; v < nv; v++) column[v] = load_f32((const float *)in[c] + base[v]);
            for (int64_t k = g->channels; k > 0; k--, weights += LANES, spread += LANES) {
                lane_choice choice = load_choice(spread);
                UNROLL
                for (int v = 0; v < nv; v++) {
                    vector channel = choose_lanes(column[v], choice);
                    UNROLL
                    for (int i = 0; i < pixels; i++) {
                        int x = c - i * step;
                        if (x >= 0 && x < TILEFOLD_GROUP_TAPS)
                            acc[i][v] = multiply_add(channel, load_f32(weights + v * panel + x * tap), acc[i][v]);
                    }
                }
            }
        }
    }
    store_sums(nv, pixels, acc, io);
}

/* One or two panels of whole lanes of a group each, or both of the same group: a product, its channels broadcast. */
ALWAYS_INLINE void broadcast_panels(int nv, bool one_group, int step, int pixels, const tilefold_group_windows *g,
                                    const ptrdiff_t base[2], const float *w, const tilefold_tile_io *io) {
    const int columns = (pixels - 1) * step + TILEFOLD_GROUP_TAPS;
    const int64_t channels = g->channels;
    const ptrdiff_t panel = g->rows * TILEFOLD_GROUP_TAPS * channels * LANES;
    const void *const *in = g->in;
    sums acc;
    load_sums(nv, pixels, acc, io);
    for (int64_t y = g->rows; y > 0; y--, in += columns) {
        for (int x = 0; x < TILEFOLD_GROUP_TAPS; x++) {
            const float *column[TILEFOLD_MAX_PIXELS];
            UNROLL
            for (int i = 0; i < pixels; i++) column[i] = (const float *)in[i * step + x] + base[0];
            ptrdiff_t second = base[1] - base[0];
            for (int64_t k = 0; k < channels; k++, w += LANES) {
                vector weights[2];
                UNROLL
                for (int v = 0; v < nv; v++) weights[v] = load_f32(w + v * panel);
                UNROLL
                for (int i = 0; i < pixels; i++) {
                    factor first = load_factor(column[i] + k);
                    acc[i][0] = multiply_add_factor(first, weights[0], acc[i][0]);
                    if (nv == 2)
                        acc[i][1] = multiply_add_factor(one_group ? first : load_factor(column[i] + second + k),
                                                        weights[1], acc[i][1]);
                }
            }
        }
    }
    store_sums(nv, pixels, acc, io);
}

ALWAYS_INLINE void grouped_row(int step, int pixels, const tilefold_group_windows *g, const tilefold_tile_io *io) {
    const ptrdiff_t panel_floats = g->rows * TILEFOLD_GROUP_TAPS * g->channels * LANES;
    const bool spread = g->channels < LANES;
    tilefold_tile_io panels = *io;
    const float *w = g->w;
    int64_t here = 0;
    for (int64_t left = g->panels, column = g->first; left > 0; left -= here, column += here * LANES) {
        ptrdiff_t base[2];
        for (int64_t v = 0; v < 2; v++) {
            int64_t first = column + v * LANES;
            base[v] = g->offset + (spread ? first : first - first % g->channels);
        }
        here = left < 2 ? 1 : 2;
        panels.lanes = here == 2 ? 2 * LANES : io->lanes;
        if (spread && here == 2)
            spread_panels(2, step, pixels, g, base, w, &panels);
        else if (spread)
            spread_panels(1, step, pixels, g, base, w, &panels);
        else if (here == 2 && base[0] == base[1])
            broadcast_panels(2, true, step, pixels, g, base, w, &panels);
        else if (here == 2)
            broadcast_panels(2, false, step, pixels, g, base, w, &panels);
        else
            broadcast_panels(1, false, step, pixels, g, base, w, &panels);
        w += here * panel_floats;
        panels.init += here * LANES;
        panels.out += here * LANES;
    }
}

/* One input row as the window's tap `x` reads it. Two taps of step 2 come out of the same elements. */
ALWAYS_INLINE vector load_tap(int step, const float *row, int x, const window *windows) {
    if (step == 1) return load_window(row + x, windows[x]);
    int first = x / 2 * 2;
    vector near = load_window(row + first, windows[first]);
    vector far = load_window(row + first + LANES, windows[first + 1]);
    return x == first ? even(near, far) : odd(near, far);
}

/* Where each row of the windows begins, or zeros. */
ALWAYS_INLINE void point_at_rows(const tilefold_plane_windows *p, int64_t z, int c, int in_rows, const float **in) {
    static const float zeros[2 * LANES + 2 * TILEFOLD_ROW_KERNELS + 2] = {0};
    const float *plane = p->in + p->offset + c * p->in_channel + z * p->plane_stride;
    bool there = z >= p->plane_begin && z < p->plane_end;
    for (int y = 0; y < in_rows; y++)
        in[y] = there && y >= p->row_begin && y < p->row_end ? plane + y * p->row_stride : zeros;
}

/* Rows come in the order of their taps, and so do the taps of one. Two channels are twice as many sums under way: those of one
 * would wait for each other. */
ALWAYS_INLINE void depthwise_plane(int taps, int step, int rows, const tilefold_plane_windows *p,
                                   const tilefold_tile_io *io) {
    const int in_rows = (rows - 1) * step + taps;
    window windows[2 * TILEFOLD_ROW_KERNELS + 2];
    sums acc[TILEFOLD_PLANE_CHANNELS];
    UNROLL
    for (int c = 0; c < TILEFOLD_PLANE_CHANNELS; c++) load_sums(1, rows, acc[c], &io[c]);
    UNROLL
    for (int x = 0; x < taps; x += step) {
        windows[x] = make_window((int)p->begin - x, (int)p->end - x);
        if (step == 2) windows[x + 1] = make_window((int)p->begin - x - LANES, (int)p->end - x - LANES);
    }
    const float *w[TILEFOLD_PLANE_CHANNELS] = {p->w, p->w + p->w_channel};
    for (int64_t z = 0; z < p->planes; z++, w[0] += taps * taps, w[1] += taps * taps) {
        const float *in[TILEFOLD_PLANE_CHANNELS][TILEFOLD_MAX_PIXELS * TILEFOLD_ROW_STEPS + 2 * TILEFOLD_ROW_KERNELS];
        UNROLL
        for (int c = 0; c < TILEFOLD_PLANE_CHANNELS; c++) point_at_rows(p, z, c, in_rows, in[c]);
        UNROLL
        for (int y = 0; y < in_rows; y++) {
            const float *row_weights[TILEFOLD_PLANE_CHANNELS] = {w[0], w[1]};
            FORGET(row_weights[0]);
            FORGET(row_weights[1]);
            UNROLL
            for (int x = 0; x < taps; x++) {
                UNROLL
                for (int c = 0; c < TILEFOLD_PLANE_CHANNELS; c++) {
                    vector value = load_tap(step, in[c][y], x, windows);
                    UNROLL
                    for (int i = 0; i < rows; i++) {
                        int k = y - i * step;
                        if (k >= 0 && k < taps)
                            acc[c][i][0] = multiply_add(value, broadcast(row_weights[c] + k * taps + x), acc[c][i][0]);
                    }
                }
            }
        }
    }
    UNROLL
    for (int c = 0; c < TILEFOLD_PLANE_CHANNELS; c++) store_sums(1, rows, acc[c], &io[c]);
}

/* -------------------------------------------------------------------------------------------------------- runs ---- */

ALWAYS_INLINE void load_run(tilefold_type type, float *out, const void *in, ptrdiff_t stride, int64_t n) {
    int64_t i = 0;
    if (stride == 1) {
        for (; i + LANES <= n; i += LANES) store_f32(out + i, load(type, element(type, in, i)));
        if (i < n) store_part_f32(out + i, load_part(type, element(type, in, i), (int)(n - i)), (int)(n - i));
        return;
    }
    if (stride == 2)
        for (; i + LANES <= n; i += LANES) store_f32(out + i, load_even(type, element(type, in, 2 * i)));
    for (; i < n; i++) out[i] = load_one(type, element(type, in, i * stride));
}

ALWAYS_INLINE void store_run(tilefold_type type, void *out, ptrdiff_t stride, const float *in, int64_t n) {
    int64_t i = 0;
    if (stride == 1) {
        for (; i + LANES <= n; i += LANES) store(type, (void *)element(type, out, i), load_f32(in + i));
        if (i < n) store_part(type, (void *)element(type, out, i), load_part_f32(in + i, (int)(n - i)), (int)(n - i));
        return;
    }
    for (; i < n; i++) store_one(type, (void *)element(type, out, i * stride), in[i]);
}

/* Elements p to p + columns of count rows. Where there are fewer rows than lanes the last one stands in for the rest. */
ALWAYS_INLINE void transpose_block(tilefold_type type, float *out, int64_t width, const void *const *rows, int count,
                                   int64_t p, int columns) {
    vector block[LANES];
    UNROLL
    for (int i = 0; i < LANES; i++) {
        const void *row = element(type, rows[i < count ? i : count - 1], p);
        block[i] = columns == LANES ? load(type, row) : load_part(type, row, columns);
    }
    transpose(block);
    UNROLL
    for (int j = 0; j < LANES; j++) {
        if (j < columns && count == LANES) store_f32(out + (p + j) * width, block[j]);
        if (j < columns && count != LANES) store_part_f32(out + (p + j) * width, block[j], count);
    }
}

ALWAYS_INLINE void transpose_rows(tilefold_type type, float *out, int64_t width, const void *const *rows, int64_t count,
                                  ptrdiff_t stride, int64_t k) {
    if (stride != 1) {
        for (int64_t p = 0; p < k; p++)
            for (int64_t i = 0; i < count; i++) out[p * width + i] = load_one(type, element(type, rows[i], p * stride));
        return;
    }
    for (int64_t i = 0; i < count; i += LANES) {
        int rows_here = count - i < LANES ? (int)(count - i) : LANES;
        int64_t p = 0;
        if (rows_here == LANES) { /* as a constant, so that the stores are whole vectors */
            for (; p + LANES <= k; p += LANES) transpose_block(type, out + i, width, rows + i, LANES, p, LANES);
        } else {
            for (; p + LANES <= k; p += LANES) transpose_block(type, out + i, width, rows + i, rows_here, p, LANES);
        }
        if (p < k) transpose_block(type, out + i, width, rows + i, rows_here, p, (int)(k - p));
    }
}

ALWAYS_INLINE void zero_columns(float *out, int64_t columns, int64_t rows, ptrdiff_t stride) {
    for (int64_t r = 0; r < rows && columns > 0; r++)
        for (int64_t i = 0; i < columns; i++) out[r * stride + i] = 0.0f;
}

/* Rows of up to two vectors are worth a loop of their own: there are many of them. */
ALWAYS_INLINE void copy_rows(tilefold_type type, float *out, const void *in, const tilefold_row_copy *copy) {
    int64_t rows = copy->rows, n = copy->n;
    ptrdiff_t out_stride = copy->out_stride, in_stride = copy->in_stride;
    zero_columns(out, copy->left, rows, out_stride);
    zero_columns(out + copy->left + n, copy->right, rows, out_stride);
    out += copy->left;
    if (copy->in_step == 1 && n < LANES && n > 0) {
        for (int64_t r = 0; r < rows; r++)
            store_part_f32(out + r * out_stride, load_part(type, element(type, in, r * in_stride), (int)n), (int)n);
    } else if (copy->in_step == 1 && n >= LANES && n <= 2 * LANES) {
        for (int64_t r = 0; r < rows; r++) { /* two that overlap */
            const void *row = element(type, in, r * in_stride);
            vector first = load(type, row), last = load(type, element(type, row, n - LANES));
            store_f32(out + r * out_stride, first);
            store_f32(out + r * out_stride + n - LANES, last);
        }
    } else {
        for (int64_t r = 0; r < rows; r++)
            load_run(type, out + r * out_stride, element(type, in, r * in_stride), copy->in_step, n);
    }
}

ALWAYS_INLINE void store_transposed_block(tilefold_type type, void *out, ptrdiff_t out_stride, const float *in,
                                          ptrdiff_t in_stride, int rows, int columns) {
    vector block[LANES];
    UNROLL
    for (int i = 0; i < LANES; i++) {
        const float *row = in + (i < rows ? i : rows - 1) * in_stride;
        block[i] = columns == LANES ? load_f32(row) : load_part_f32(row, columns);
    }
    transpose(block);
    UNROLL
    for (int j = 0; j < LANES; j++) {
        void *to = (void *)element(type, out, j * out_stride);
        if (j < columns && rows == LANES) store(type, to, block[j]);
        if (j < columns && rows != LANES) store_part(type, to, block[j], rows);
    }
}

/* `count` <= LANES columns of 2, 4 or 8 rows, that lie one after the other in the output. A pass makes pairs of rows i and
 * i + rows/2, the next one fours, and so on. */
ALWAYS_INLINE void store_interleaved_block(tilefold_type type, int rows, void *out, const float *in,
                                           ptrdiff_t in_stride, int count) {
    vector block[8], pairs[8];
    UNROLL
    for (int i = 0; i < rows; i++) {
        const float *row = in + i * in_stride;
        block[i] = count == LANES ? load_f32(row) : load_part_f32(row, count);
    }
    UNROLL
    for (int joined = 1; joined < rows; joined *= 2) {
        UNROLL
        for (int i = 0; i < rows / 2; i++) {
            pairs[2 * i] = block[i];
            pairs[2 * i + 1] = block[i + rows / 2];
            interleave(&pairs[2 * i], &pairs[2 * i + 1]);
        }
        UNROLL
        for (int i = 0; i < rows; i++) block[i] = pairs[i];
    }
    UNROLL
    for (int i = 0; i < rows; i++) {
        void *to = (void *)element(type, out, i * LANES);
        int left = count * rows - i * LANES;
        if (left >= LANES) store(type, to, block[i]);
        if (left > 0 && left < LANES) store_part(type, to, block[i], left);
    }
}

ALWAYS_INLINE void store_interleaved(tilefold_type type, int rows, void *out, const float *in, ptrdiff_t in_stride,
                                     int64_t columns) {
    int64_t j = 0;
    for (; j + LANES <= columns; j += LANES)
        store_interleaved_block(type, rows, (void *)element(type, out, j * rows), in + j, in_stride, LANES);
    if (j < columns)
        store_interleaved_block(type, rows, (void *)element(type, out, j * rows), in + j, in_stride,
                                (int)(columns - j));
}

ALWAYS_INLINE void store_transposed(tilefold_type type, void *out, ptrdiff_t out_stride, const float *in,
                                    ptrdiff_t in_stride, int64_t rows, int64_t columns) {
    if (rows == out_stride) { /* the folds of a stride of 2, 4 or 8, mostly */
        if (rows == 2) return store_interleaved(type, 2, out, in, in_stride, columns);
        if (rows == 4) return store_interleaved(type, 4, out, in, in_stride, columns);
        if (rows == 8) return store_interleaved(type, 8, out, in, in_stride, columns);
    }
    for (int64_t j = 0; j < columns; j += LANES) {
        int columns_here = columns - j < LANES ? (int)(columns - j) : LANES;
        for (int64_t i = 0; i < rows; i += LANES)
            store_transposed_block(type, (void *)element(type, out, j * out_stride + i), out_stride,
                                   in + i * in_stride + j, in_stride, rows - i < LANES ? (int)(rows - i) : LANES,
                                   columns_here);
    }
}

/* -------------------------------------------------------------------------------------------------------- peak ---- */

ALWAYS_INLINE int64_t fma_rounds(int64_t rounds, float *sink) {
    const float factors[2] = {1.25f, 0.75f};
    vector x = broadcast(&factors[0]), y = broadcast(&factors[1]);
    vector acc[CHAINS];
    UNROLL
    for (int i = 0; i < CHAINS; i++) {
        float start = (float)i; /* equal chains would be computed once */
        acc[i] = broadcast(&start);
    }
    for (int64_t r = 0; r < rounds; r++) {
        UNROLL
        for (int i = 0; i < CHAINS; i++) acc[i] = multiply_add(x, y, acc[i]);
    }
    *sink = 0;
    UNROLL
    for (int i = 0; i < CHAINS; i++) {
        float lanes[LANES];
        store_f32(lanes, acc[i]);
        *sink += lanes[0];
    }
    return rounds * CHAINS * LANES;
}

/* ---------------------------------------------------------------------------------------------------- Winograd ---- */

ALWAYS_INLINE vector times_plus(float c, vector a, vector b) { return multiply_add(broadcast(&c), a, b); }

ALWAYS_INLINE vector finish_value(vector x, float low, float high) {
    const float plus_zero = 0.0f;
    return clamp(add(x, broadcast(&plus_zero)), broadcast(&low), broadcast(&high));
}

#define VALUE vector
#define VALUE_LANES LANES
#define PLUS(a, b) add(a, b)
#define TIMES_PLUS(c, a, b) times_plus(c, a, b)
#define LOAD_VALUE(p) load_f32(p)
#define STORE_VALUE(p, x) store_f32(p, x)
#define STORE_SOME(p, x, count) store_part_f32(p, x, count)
#define FINISH(x, low, high) finish_value(x, low, high)
#include "winograd_template.h"

#undef VECTOR_REGISTER
#undef HOLD
#undef POINTER_REGISTERS
#undef CHAINS
#undef PREFETCH
#undef FORGET

#include "table_template.h"
