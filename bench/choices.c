/* How far the planner's choices are from the best that it could have made: every candidate of every problem of a suite is timed
 * beside the one that the cost model likes best.
 *
 * SPDX-License-Identifier: MIT
 *
 *     taskset -c 1 build/tests/bench_choices --suite bench/shapes.tsv --layout last --max-gmacs 1
 *
 * One line a problem: the plan that is chosen and the fastest, each with its estimate and its time in cycles, and how much
 * longer the chosen one takes. At the end the mean and the worst of each kind. With --all, every candidate has a line: an
 * estimate that is wrong shows there. Candidates whose estimate is more than --within times the least, 4 unless set, are not timed.
 * Cycles are of the clock at which the machine's multiply-add peak fits its description.
 */
#define _POSIX_C_SOURCE 200809L

#include <getopt.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "parse.h"
#include "suite.h"
#include "cpu/algorithm.h"

enum {
    MOST_CANDIDATES = 4096,
    WORDS = 128,
    ROUNDS = 4, /* of those that are near the fastest */
    ATTEMPTS = 4,
};
static const double hopeless = 2;        /* times slower than the fastest: not timed again */
static const double near = 1.25;         /* within this of the fastest: timed again, in turns */
static const double enough = 1e-3;       /* seconds of runs in a turn */
static const double clocks_second = 1e9; /* nanoseconds */

typedef struct settings {
    const char *suite, *filter, *kind;
    int64_t limit;
    double max_gmacs, within;
    tilefold_isa isa;
    tilefold_layout layout;
    tilefold_algorithm algorithm;
    int32_t threads;
    bool both_layouts, all, no_prepack, untimed;
} settings;

typedef struct candidate {
    tilefold_plan *plan;
    char words[WORDS];
    double estimate, cycles;
} candidate;

typedef struct tensors {
    float *input, *weight, *output, *packed;
    void *scratch;
    size_t input_floats, weight_floats, output_floats, packed_bytes, scratch_bytes;
} tensors;

/* Of this thread where it is the only one: what other programs take of the core does not count. */
static clockid_t timed = CLOCK_THREAD_CPUTIME_ID;

static double now(void) {
    struct timespec t;
    clock_gettime(timed, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / clocks_second;
}

static void check(tilefold_status status, const tilefold_message *message) {
    if (status == TILEFOLD_OK) return;
    fprintf(stderr, "bench_choices: %s\n", message->text);
    exit(1);
}

/* -------------------------------------------------------------------------------------------------------- problem ---- */

static int64_t greatest(const int64_t *values, int count) {
    int64_t most = values[0];
    for (int i = 1; i < count; i++) most = values[i] > most ? values[i] : most;
    return most;
}

static const char *const kinds[] = {"dense",     "dense-strided",     "1x1",     "1x1-strided",
                                    "depthwise", "depthwise-strided", "grouped", "grouped-strided",
                                    "stem",      "stem-strided",      "transposed"};
enum { KINDS = sizeof kinds / sizeof kinds[0] };

static int kind_of(const tilefold_problem *p) {
    if (p->op == TILEFOLD_CONV_TRANSPOSE) return KINDS - 1;
    int strided = greatest(p->stride, p->rank) > 1;
    if (p->groups > 1) return (p->groups == p->in_channels ? 4 : 6) + strided;
    if (p->in_channels <= 4) return 8 + strided;
    return (greatest(p->kernel, p->rank) == 1 ? 2 : 0) + strided;
}

static void *allocate(size_t bytes) {
    void *memory = aligned_alloc(4096, (bytes + 4095) / 4096 * 4096 + 4096);
    if (!memory) {
        fprintf(stderr, "bench_choices: no memory for %zu bytes\n", bytes);
        exit(1);
    }
    return memory;
}

static float *allocate_filled(size_t floats, float value) {
    float *memory = allocate(floats * sizeof(float));
    for (size_t i = 0; i < floats; i++) memory[i] = value;
    return memory;
}

static void grow(void *memory, size_t *bytes, size_t wanted) {
    if (wanted <= *bytes) return;
    free(*(void **)memory);
    *(void **)memory = allocate(wanted);
    *bytes = wanted;
}

static tensors make_tensors(const tilefold_problem *p, const tilefold_plan_info *info) {
    tensors t = {.input_floats = (size_t)(p->batch * p->in_channels),
                 .weight_floats = (size_t)(p->in_channels / p->groups * p->out_channels),
                 .output_floats = (size_t)(p->batch * p->out_channels)};
    for (int i = 0; i < p->rank; i++) {
        t.input_floats *= (size_t)p->input_size[i];
        t.weight_floats *= (size_t)p->kernel[i];
        t.output_floats *= (size_t)info->output_size[i];
    }
    t.input = allocate_filled(t.input_floats, 0.5f);
    t.weight = allocate_filled(t.weight_floats, 0.25f);
    t.output = allocate_filled(t.output_floats, 0);
    return t;
}

static void free_tensors(tensors *t) {
    free(t->input), free(t->weight), free(t->output), free(t->packed), free(t->scratch);
}

/* ----------------------------------------------------------------------------------------------------- candidates ---- */

static void describe(candidate *c) {
    const tilefold_cpu_plan *p = c->plan->state;
    snprintf(c->words, sizeof c->words, "%d %.9s%s %s %dx%d tile %" PRId64 "x%" PRId64 " block %" PRId64 "x%" PRId64 "%s%s",
             p->row, p->algorithm->words, p->algorithm->words[9] == ',' && p->positions_in_lanes ? "(pixels)" : "",
             p->positions_in_lanes ? "lanes" : "rows", p->mr, p->nr, p->tiling.positions, p->tiling.block_columns,
             p->block.taps, p->block.channels,
             c->plan->geometry.merged   ? " merged"
             : c->plan->geometry.folded ? " folded"
                                        : "",
             p->cut ? " cut" : "");
    c->estimate = p->cost;
}

static int list_candidates(tilefold_context *context, const tilefold_problem *problem,
                           const tilefold_plan_options *options, candidate *list) {
    int64_t seen = tilefold_cpu_count_candidates(context, problem, options);
    int count = 0;
    for (int64_t number = 0; number < seen && count < MOST_CANDIDATES; number++) {
        candidate c = {.cycles = INFINITY};
        tilefold_message message;
        check(tilefold_cpu_plan_candidate(context, problem, options, number, &c.plan, &message), &message);
        describe(&c);
        int same = 0;
        while (same < count && strcmp(list[same].words, c.words) != 0) same++;
        if (same < count)
            tilefold_plan_destroy(c.plan);
        else
            list[count++] = c;
    }
    return count;
}

/* Cycles in a second now, by multiply-adds in registers: it changes with what the machine's other cores do. */
static double measure_clock(tilefold_context *context) {
    const tilefold_cpu_target *target = tilefold_cpu_get_target(context);
    double best = 0;
    float sink;
    for (int i = 0; i < 3; i++) {
        double begun = now();
        int64_t done = target->kernels->fma_rounds(2000, &sink);
        best = fmax(best, (double)done / (now() - begun));
    }
    return best / (target->kernels->lanes * target->throughput.multiply_adds);
}

static double run_once(const candidate *c, const tilefold_execution *run) {
    tilefold_message message;
    double start = now();
    check(tilefold_execute(c->plan, run, &message), &message);
    return now() - start;
}

/* One turn of a plan: some runs, of which the fastest counts, in cycles of the clock before and after them. A turn in which the
 * clock changes does not count, unless it does so again and again. */
static void time_candidate(tilefold_context *context, candidate *c, tensors *t, double best) {
    tilefold_plan_info info;
    tilefold_message message;
    tilefold_plan_info_init(&info);
    check(tilefold_plan_get_info(c->plan, &info, &message), &message);
    grow(&t->packed, &t->packed_bytes, (size_t)info.packed_weight_bytes);
    grow(&t->scratch, &t->scratch_bytes, (size_t)info.scratch_bytes);
    if (info.packed_weight_bytes)
        check(tilefold_pack_weight(c->plan, t->weight, 0, t->packed, t->packed_bytes, &message), &message);
    tilefold_execution run;
    tilefold_execution_init(&run);
    run.input = t->input, run.weight = t->weight, run.packed_weight = t->packed, run.output = t->output;
    run.scratch = t->scratch, run.scratch_bytes = t->scratch_bytes;
    double first = run_once(c, &run) * measure_clock(context); /* caches and pages are cold */
    if (first > 1.5 * hopeless * best) {
        c->cycles = fmin(c->cycles, first);
        return;
    }
    for (int attempt = 0; attempt < ATTEMPTS; attempt++) {
        double before = measure_clock(context), begun = now(), seconds = INFINITY;
        for (int i = 0; i < 2 || now() - begun < enough; i++) seconds = fmin(seconds, run_once(c, &run));
        double after = measure_clock(context);
        c->cycles = fmin(c->cycles, seconds * (before + after) / 2);
        if (fabs(before - after) < 0.03 * before || c->cycles > hopeless * best) return;
    }
}

static double fastest(const candidate *list, int count) {
    double best = INFINITY;
    for (int i = 0; i < count; i++) best = fmin(best, list[i].cycles);
    return best;
}

/* Once each, the planner's first; then those that are near the fastest, in turns. */
static void time_all(tilefold_context *context, candidate *list, int count, int chosen, double within_estimate, tensors *t) {
    time_candidate(context, &list[chosen], t, INFINITY);
    for (int i = 0; i < count; i++)
        if (i != chosen && list[i].estimate <= within_estimate * list[chosen].estimate)
            time_candidate(context, &list[i], t, fastest(list, count));
    for (int round = 0; round < ROUNDS; round++) {
        double best = fastest(list, count), within = 1 + (near - 1) / (1 + round);
        for (int i = 0; i < count; i++)
            if (i == chosen || list[i].cycles <= within * best) time_candidate(context, &list[i], t, best);
    }
}

/* -------------------------------------------------------------------------------------------------------- report ---- */

typedef struct tally {
    double sum, worst;
    int count;
} tally;

static tally tallies[KINDS][2]; /* by layout */

static void add_to_tally(tally *t, double regret) {
    t->sum += regret;
    t->worst = fmax(t->worst, regret);
    t->count++;
}

static void print_candidate(const char *what, const candidate *c) {
    printf("    %-7s %12.0f estimated %12.0f taken (%.2f)  %s\n", what, c->estimate, c->cycles,
           c->estimate / c->cycles, c->words);
}

static int compare_cycles(const void *a, const void *b) {
    double x = ((const candidate *)a)->cycles, y = ((const candidate *)b)->cycles;
    return (x > y) - (x < y);
}

static void print_tallies(void) {
    static const char *const layouts[] = {"first", "last"};
    tally all = {0};
    printf("\n%-18s %-6s %6s %6s %6s\n", "kind", "layout", "count", "mean", "worst");
    for (int kind = 0; kind < KINDS; kind++)
        for (int layout = 0; layout < 2; layout++) {
            const tally *t = &tallies[kind][layout];
            if (t->count == 0) continue;
            printf("%-18s %-6s %6d %6.3f %6.3f\n", kinds[kind], layouts[layout], t->count, t->sum / t->count, t->worst);
            all.sum += t->sum, all.count += t->count, all.worst = fmax(all.worst, t->worst);
        }
    if (all.count) printf("%-18s %-6s %6d %6.3f %6.3f\n", "all", "", all.count, all.sum / all.count, all.worst);
}

/* ---------------------------------------------------------------------------------------------------------- suite ---- */

static void run_problem(const settings *s, tilefold_context *context, const tilefold_cli_suite_row *row,
                        tilefold_layout layout) {
    static candidate list[MOST_CANDIDATES];
    tilefold_problem problem = row->problem;
    tilefold_message message;
    tilefold_plan_options options;
    tilefold_plan_info info;
    tilefold_plan *plan;
    check(tilefold_problem_set_layout(&problem, layout, &message), &message);
    tilefold_plan_options_init(&options);
    options.scratch_limit_bytes = s->limit, options.algorithm = s->algorithm;
    options.prepack_weights = !s->no_prepack;
    tilefold_status status = tilefold_plan_create(context, &problem, &options, &plan, &message);
    if (status == TILEFOLD_UNSUPPORTED) return;
    check(status, &message);
    tilefold_plan_info_init(&info);
    check(tilefold_plan_get_info(plan, &info, &message), &message);
    if ((double)info.macs > s->max_gmacs * 1e9) {
        tilefold_plan_destroy(plan);
        return;
    }
    candidate own = {.plan = plan};
    describe(&own);
    int count = list_candidates(context, &problem, &options, list), chosen = 0;
    while (chosen < count && strcmp(list[chosen].words, own.words) != 0) chosen++;
    if (chosen == count) { /* a plan without a limit that keeps to this one */
        list[count] = own;
        list[count++].cycles = INFINITY;
    } else {
        tilefold_plan_destroy(plan);
    }
    tensors t = make_tensors(&problem, &info);
    if (!s->untimed) time_all(context, list, count, chosen, s->within, &t);
    free_tensors(&t);

    double best = fastest(list, count), regret = list[chosen].cycles / best - 1;
    int kind = kind_of(&problem);
    add_to_tally(&tallies[kind][layout], regret);
    const tilefold_cpu_target *target = tilefold_cpu_get_target(context);
    double peak = (double)info.macs / (target->kernels->lanes * target->throughput.multiply_adds * target->threads);
    printf("%-18s %-17s %-5s regret %6.3f, %3d candidates, best %.3f of peak\n", row->name, kinds[kind],
           layout == TILEFOLD_CHANNELS_FIRST ? "first" : "last", regret, count, peak / best);
    print_candidate("chosen", &list[chosen]);
    qsort(list, (size_t)count, sizeof list[0], compare_cycles);
    if (regret > 0) print_candidate("best", &list[0]);
    for (int i = 0; s->all && i < count && (s->untimed || list[i].cycles < INFINITY); i++) print_candidate("", &list[i]);
    for (int i = 0; i < count; i++) tilefold_plan_destroy(list[i].plan);
    fflush(stdout);
}

static bool wanted(const settings *s, const tilefold_cli_suite_row *row) {
    return (!s->filter || strstr(row->name, s->filter)) &&
           (!s->kind || strcmp(s->kind, kinds[kind_of(&row->problem)]) == 0);
}

static void run_suite(const settings *s) {
    tilefold_cli_suite suite;
    tilefold_context *context;
    tilefold_context_options options;
    tilefold_message message;
    if (tilefold_cli_suite_read(s->suite, &suite) != 0) exit(1);
    tilefold_context_options_init(&options);
    options.threads = s->threads, options.isa = s->isa;
    check(tilefold_context_create(&options, &context, &message), &message);
    for (size_t i = 0; i < suite.count; i++) {
        if (!wanted(s, &suite.rows[i])) continue;
        for (tilefold_layout layout = TILEFOLD_CHANNELS_FIRST; layout <= TILEFOLD_CHANNELS_LAST; layout++)
            if (s->both_layouts || s->layout == layout)
                run_problem(s, context, &suite.rows[i], layout);
    }
    print_tallies();
    tilefold_context_destroy(context);
    tilefold_cli_suite_free(&suite);
}

/* -------------------------------------------------------------------------------------------------------- options ---- */

static void usage(void) {
    fprintf(stderr, "usage: bench_choices [--suite FILE] [--layout first|last] [--filter NAMEPART] [--kind KIND]\n"
                    "       [--max-gmacs G] [--limit BYTES] [--isa ISA] [--algorithm A] [--threads T] [--no-prepack]\n"
                    "       [--within TIMES] [--all] [--untimed]\n");
    exit(2);
}

static int word(const char *text, const char *const *words) {
    int place;
    if (!tilefold_cli_parse_word(text, words, &place)) usage();
    return place;
}

int main(int count, char **words) {
    static const struct option options[] = {
        {"suite", required_argument, NULL, 's'},     {"layout", required_argument, NULL, 'l'},
        {"filter", required_argument, NULL, 'f'},    {"kind", required_argument, NULL, 'k'},
        {"max-gmacs", required_argument, NULL, 'g'}, {"limit", required_argument, NULL, 'b'},
        {"isa", required_argument, NULL, 'i'},       {"algorithm", required_argument, NULL, 'a'},
        {"threads", required_argument, NULL, 't'},   {"all", no_argument, NULL, 'v'},
        {"no-prepack", no_argument, NULL, 'n'},      {"within", required_argument, NULL, 'w'},
        {"untimed", no_argument, NULL, 'u'},         {0}};
    static const char *const layouts[] = {"first", "last", NULL};
    static const char *const isas[] = {"best", "portable", "avx2", "avx512", "neon", NULL};
    static const char *const algorithms[] = {"auto", "unfold", "implicit", "direct", NULL};
    settings s = {.limit = INT64_C(16) << 20, .max_gmacs = INFINITY, .within = 4, .threads = 1, .both_layouts = true};
    for (int option; (option = getopt_long(count, words, "", options, NULL)) != -1;) {
        switch (option) {
        case 's': s.suite = optarg; break;
        case 'l': s.both_layouts = false, s.layout = (tilefold_layout)word(optarg, layouts); break;
        case 'f': s.filter = optarg; break;
        case 'k': s.kind = optarg; break;
        case 'g': s.max_gmacs = atof(optarg); break;
        case 'b':
            if (!tilefold_cli_parse_bytes(optarg, &s.limit)) usage();
            break;
        case 'i': s.isa = (tilefold_isa)word(optarg, isas); break;
        case 'a': s.algorithm = (tilefold_algorithm)word(optarg, algorithms); break;
        case 't': s.threads = atoi(optarg); break;
        case 'v': s.all = true; break;
        case 'w': s.within = atof(optarg); break;
        case 'u': s.untimed = true; break;
        case 'n': s.no_prepack = true; break;
        default: usage();
        }
    }
    if (s.threads > 1) timed = CLOCK_MONOTONIC;
    run_suite(&s);
    return 0;
}
