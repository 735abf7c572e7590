/* Any words as a command line: read into values that are in range, or refused in one line; and what is asked of `plan`, or of a
 * problem's shapes, is planned or refused.
 *
 * SPDX-License-Identifier: MIT
 *
 * The first byte of the input is the command; the rest, cut at line ends, its arguments.
 */
#include "fuzz.h"

#include <getopt.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "errors.h"
#include "options.h"
#include "problem.h"

enum { MAX_WORDS = 40, MAX_TEXT = 2048 };

static void require(bool holds) {
    if (!holds) abort();
}

static void check_list(const tilefold_cli_list *list, int most, int64_t least) {
    require(list->count >= 0 && list->count <= most);
    for (int i = 0; i < list->count; i++) require(list->value[i] >= least);
}

static void check_values(const tilefold_cli_options *o) {
    check_list(&o->stride, TILEFOLD_MAX_RANK, 1);
    check_list(&o->dilation, TILEFOLD_MAX_RANK, 1);
    check_list(&o->input_dilation, TILEFOLD_MAX_RANK, 1);
    check_list(&o->output_padding, TILEFOLD_MAX_RANK, 0);
    check_list(&o->output_shape, TILEFOLD_MAX_RANK, 1);
    check_list(&o->input_shape, TILEFOLD_CLI_MAX_DIMENSIONS, 0);
    check_list(&o->weight_shape, TILEFOLD_CLI_MAX_DIMENSIONS, 1);
    check_list(&o->padding.begin, TILEFOLD_MAX_RANK, INT64_MIN);
    require(o->padding.begin.count == o->padding.end.count);
    require(o->groups >= 1 && o->context.threads >= 0 && o->context.device_index >= 0);
    require(o->clamp_low <= o->clamp_high);
    require(o->plan.scratch_limit_bytes >= 0 && o->plan.max_buffer_bytes >= 0);
    require(tilefold_algorithm_name(o->plan.algorithm) && tilefold_math_name(o->plan.math));
    require(o->plan.storage <= TILEFOLD_STORAGE_TEXTURE3D && o->type <= TILEFOLD_BF16);
    require(tilefold_isa_name(o->context.isa) && o->layout <= TILEFOLD_CHANNELS_LAST);
}

/* The shapes of `plan`, or where that is not the command, those that one would give. */
static tilefold_cli_shape shape_of(const char *name, const tilefold_cli_list *list, const int64_t *otherwise) {
    tilefold_cli_shape shape = {.name = name, .count = list->count ? list->count : 4};
    memcpy(shape.size, list->count ? list->value : otherwise, sizeof shape.size);
    return shape;
}

/* On the CPU with one thread, whatever was asked for. */
static void plan_problem(const tilefold_cli_options *o, const tilefold_problem *problem) {
    way w = {.isa = best_isa(), .threads = 1, .pool = POOL_SEQUENTIAL};
    tilefold_plan *plan = NULL;
    tilefold_message message = {""};
    tilefold_status status = tilefold_plan_create(get_context(&w), problem, &o->plan, &plan, &message);
    require((status == TILEFOLD_OK) == (plan != NULL) && (status == TILEFOLD_OK) == !message.text[0]);
    if (plan) {
        tilefold_plan_info info = get_info(plan);
        require(info.scratch_bytes + info.plan_bytes <= o->plan.scratch_limit_bytes);
    }
    tilefold_plan_destroy(plan);
}

static void make_problem_of(const tilefold_cli_options *o) {
    static const int64_t input_sizes[] = {1, 8, 20, 20, 0}, weight_sizes[] = {8, 8, 3, 3, 0};
    tilefold_cli_shape input = shape_of("--input", &o->input_shape, input_sizes);
    tilefold_cli_shape weight = shape_of("--weight", &o->weight_shape, weight_sizes);
    tilefold_problem problem;
    int lines = fuzz_error_lines();
    int status = tilefold_cli_problem(o, &input, &weight, o->type ? o->type : TILEFOLD_F32, &problem);
    require(fuzz_error_lines() - lines == (status == TILEFOLD_CLI_OK ? 0 : 1));
    if (status == TILEFOLD_CLI_OK) plan_problem(o, &problem);
}

/* Cuts text at its line ends, in place, behind a command's name. */
static int cut_words(char *text, char *words[MAX_WORDS + 2]) {
    int count = 1;
    words[0] = "tilefold";
    while (*text && count <= MAX_WORDS) {
        words[count++] = text;
        text += strcspn(text, "\n");
        if (*text) *text++ = '\0';
    }
    words[count] = NULL;
    return count;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < 1 || size > MAX_TEXT) return 0;
    tilefold_cli_command command = (tilefold_cli_command)(data[0] % TILEFOLD_CLI_COMMANDS);
    char *text = malloc(size), *words[MAX_WORDS + 2];
    if (!text) abort();
    memcpy(text, data + 1, size - 1);
    text[size - 1] = '\0';
    int count = cut_words(text, words), lines = fuzz_error_lines();
    optind = 0; /* glibc: begin anew */
    tilefold_cli_options options;
    int status = tilefold_cli_options_read(command, count, words, &options);
    require(status == TILEFOLD_CLI_OK || status == TILEFOLD_CLI_MISUSED);
    require(fuzz_error_lines() - lines == (status == TILEFOLD_CLI_OK ? 0 : 1));
    if (status == TILEFOLD_CLI_OK) check_values(&options);
    if (status == TILEFOLD_CLI_OK && !options.help && command <= TILEFOLD_CLI_PLAN) make_problem_of(&options);
    free(text);
    return 0;
}
