/* The golden file from the oracle alone: what the problems' outputs must be, without anything that computes them in src/.
 *
 * SPDX-License-Identifier: MIT
 *
 *     make_golden FILE           rewrites the hashes in FILE; a problem without one yet has 64 zeros
 *     make_golden --check FILE   says which hashes are not what the oracle gives; fails where there is one
 */
#include <stdio.h>
#include <stdlib.h>

#include "oracle.h"
#include "selftest/golden.h"

/* The values of a tensor, dense, in logical order; NULL where it has no type. */
static float *make_values(const tilefold_golden *golden, tilefold_golden_tensor tensor, tilefold_type type,
                          int64_t elements) {
    if (type == TILEFOLD_NONE) return NULL;
    float *values = malloc((size_t)elements * sizeof *values);
    if (!values) abort();
    for (int64_t i = 0; i < elements; i++) {
        unsigned char element[4];
        tilefold_golden_store(type, element, tilefold_golden_element(golden, tensor, i));
        values[i] = oracle_decode(type, element);
    }
    return values;
}

static void hash_outputs(tilefold_type type, const float *outputs, int64_t elements, char text[TILEFOLD_SHA256_TEXT]) {
    tilefold_sha256 hash;
    tilefold_sha256_begin(&hash);
    for (int64_t i = 0; i < elements; i++) {
        unsigned char element[4];
        oracle_encode(type, outputs[i], element);
        tilefold_golden_add(&hash, type, tilefold_golden_load(type, element));
    }
    tilefold_sha256_end(&hash, text);
}

static void hash_problem(const tilefold_golden *golden, char text[TILEFOLD_SHA256_TEXT]) {
    const tilefold_problem *p = &golden->problem;
    int64_t inputs = p->batch * p->in_channels, outputs = p->batch * p->out_channels;
    int64_t weights = p->out_channels * (p->in_channels / p->groups);
    for (int a = 0; a < p->rank; a++) {
        inputs *= p->input_size[a];
        weights *= p->kernel[a];
        outputs *= oracle_output_size(p, a);
    }
    float *input = make_values(golden, TILEFOLD_GOLDEN_INPUT, p->type, inputs);
    float *weight = make_values(golden, TILEFOLD_GOLDEN_WEIGHT, p->type, weights);
    float *bias = make_values(golden, TILEFOLD_GOLDEN_BIAS, p->bias_type, p->out_channels);
    float *output = malloc((size_t)outputs * sizeof *output);
    if (!output) abort();
    oracle_exact(p, input, weight, bias, output);
    hash_outputs(p->type, output, outputs, text);
    free(input);
    free(weight);
    free(bias);
    free(output);
}

static bool is_comment(const char *line) { return line[0] == '\0' || line[0] == '#'; }

/* Puts the right hash into the line; false where it was another. */
static bool renew_line(char *line) {
    tilefold_golden golden;
    char text[TILEFOLD_SHA256_TEXT];
    tilefold_message message = {""};
    int64_t output_size[TILEFOLD_MAX_RANK];
    if (!tilefold_golden_read(line, &golden) ||
        tilefold_output_size(&golden.problem, output_size, &message) != TILEFOLD_OK) {
        fprintf(stderr, "no golden problem: %s\n%s\n", line, message.text);
        exit(1);
    }
    hash_problem(&golden, text);
    bool right = memcmp(line, text, sizeof text - 1) == 0;
    memcpy(line, text, sizeof text - 1);
    return right;
}

static FILE *open_or_exit(const char *path, const char *mode) {
    FILE *file = fopen(path, mode);
    if (!file) {
        perror(path);
        exit(1);
    }
    return file;
}

/* The whole file as a string. */
static char *read_file(const char *path) {
    FILE *file = open_or_exit(path, "rb");
    size_t bytes = 0, room = 1 << 20;
    char *text = malloc(room);
    if (!text) abort();
    bytes = fread(text, 1, room - 1, file);
    if (ferror(file) || !feof(file)) {
        fprintf(stderr, "%s: unreadable, or longer than %zu bytes\n", path, room - 1);
        exit(1);
    }
    fclose(file);
    text[bytes] = '\0';
    return text;
}

static void write_file(const char *path, const char *text) {
    FILE *file = open_or_exit(path, "wb");
    bool written = fputs(text, file) >= 0;
    if (fclose(file) == 0 && written) return;
    perror(path);
    exit(1);
}

/* Renews all lines; returns how many problems there are, and in *wrong how many hashes were others, of which it says some. */
static int renew_text(char *text, int *wrong) {
    enum { MOST_SAID = 10 };
    int problems = 0;
    *wrong = 0;
    for (char *line = text, *end; (end = strchr(line, '\n')) != NULL; line = end + 1) {
        *end = '\0';
        if (!is_comment(line)) {
            problems++;
            bool right = renew_line(line);
            if (!right && ++*wrong <= MOST_SAID) fprintf(stderr, "the oracle says %s\n", line);
        }
        *end = '\n';
    }
    return problems;
}

int main(int argc, char **argv) {
    bool check = argc == 3 && strcmp(argv[1], "--check") == 0;
    if (argc != 2 && !check) {
        fprintf(stderr, "usage: make_golden [--check] FILE\n");
        return 2;
    }
    const char *path = argv[argc - 1];
    char *text = read_file(path);
    int wrong, problems = renew_text(text, &wrong);
    if (!check) write_file(path, text);
    free(text);
    printf("%d problems, %d hashes %s\n", problems, wrong, check ? "are wrong" : "changed");
    return problems == 0 || (check && wrong > 0);
}
