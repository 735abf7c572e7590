/* Runs a fuzz target without libFuzzer: the inputs of a corpus, then a fixed number of mutations of them, the same ones each time.
 *
 *     fuzz_X CORPUS [MUTATIONS]        CORPUS is a folder or one file; MUTATIONS is scaled by TILEFOLD_TEST_SCALE
 *
 * SPDX-License-Identifier: MIT
 *
 * An input that ends the program is printed in hexadecimal digits: `xxd -r -p` makes a file of them, to run alone.
 */
#define _POSIX_C_SOURCE 200809L /* write */
#include "fuzz.h"

#include <dirent.h>
#include <errno.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MOST_BYTES = 4096, MOST_INPUTS = 4096 };

typedef struct input {
    uint8_t bytes[MOST_BYTES];
    size_t size;
} input;

/* ------------------------------------------------------------------------------------------------------- crashes ---- */

static input current;
static volatile sig_atomic_t running;

/* By write() alone: the program may be in any state. */
static void print_current(void) {
    static const char digits[] = "0123456789abcdef";
    static char text[2 * MOST_BYTES + 64];
    if (!running) return;
    running = 0;
    size_t length = 0;
    for (const char *head = "\nthe input: "; *head; head++) text[length++] = *head;
    for (size_t i = 0; i < current.size; i++) {
        text[length++] = digits[current.bytes[i] >> 4];
        text[length++] = digits[current.bytes[i] & 15];
    }
    text[length++] = '\n';
    if (write(STDERR_FILENO, text, length) < 0) _exit(1);
}

static void crash(int number) {
    print_current();
    signal(number, SIG_DFL);
    raise(number);
}

#ifdef __GNUC__
__attribute__((weak)) void __sanitizer_set_death_callback(void (*callback)(void));
#endif

static void watch_for_crashes(void) {
    atexit(print_current);
    signal(SIGABRT, crash);
#ifdef __GNUC__
    if (__sanitizer_set_death_callback) {
        __sanitizer_set_death_callback(print_current);
        return;
    }
#endif
    const int crashes[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL};
    for (size_t i = 0; i < sizeof crashes / sizeof *crashes; i++) signal(crashes[i], crash);
}

static void run_input(const input *in) {
    current = *in;
    uint8_t *exact = malloc(in->size + !in->size); /* so that a sanitizer sees what is read past its end */
    if (!exact) abort();
    memcpy(exact, in->bytes, in->size);
    running = 1;
    LLVMFuzzerTestOneInput(exact, in->size);
    running = 0;
    free(exact);
}

/* -------------------------------------------------------------------------------------------------------- corpus ---- */

static input *inputs;
static size_t input_count;

static bool read_input(const char *path) {
    FILE *file = fopen(path, "rb");
    if (!file || input_count == MOST_INPUTS) {
        fprintf(stderr, "%s: %s\n", path, file ? "too many inputs" : strerror(errno));
        return false;
    }
    inputs = realloc(inputs, (input_count + 1) * sizeof *inputs);
    if (!inputs) abort();
    inputs[input_count].size = fread(inputs[input_count].bytes, 1, MOST_BYTES, file);
    input_count++;
    fclose(file);
    return true;
}

static int is_visible(const struct dirent *entry) { return entry->d_name[0] != '.'; }

static bool read_corpus(const char *path) {
    struct dirent **entries;
    int count = scandir(path, &entries, is_visible, alphasort);
    if (count < 0) return errno == ENOTDIR && read_input(path);
    bool read = true;
    for (int i = 0; i < count; i++) {
        char name[4096];
        snprintf(name, sizeof name, "%s/%s", path, entries[i]->d_name);
        read = read && read_input(name);
        free(entries[i]);
    }
    free(entries);
    return read && input_count > 0;
}

/* ----------------------------------------------------------------------------------------------------- mutations ---- */

static size_t any_place(const input *in, rng *r) { return (size_t)rng_range(r, 0, (int64_t)in->size - 1); }

static void remove_bytes(input *in, rng *r) {
    size_t at = any_place(in, r), count = (size_t)rng_range(r, 1, (int64_t)(in->size - at));
    memmove(in->bytes + at, in->bytes + at + count, in->size - at - count);
    in->size -= count;
}

static void insert_byte(input *in, rng *r) {
    size_t at = any_place(in, r);
    if (in->size == MOST_BYTES) return;
    memmove(in->bytes + at + 1, in->bytes + at, in->size - at);
    in->bytes[at] = (uint8_t)rng_next(r);
    in->size++;
}

/* The end of another input, in place of this one's. */
static void splice(input *in, rng *r) {
    const input *other = &inputs[rng_range(r, 0, (int64_t)input_count - 1)];
    if (other->size == 0) return;
    size_t at = any_place(in, r), from = any_place(other, r), count = other->size - from;
    if (count > MOST_BYTES - at) count = MOST_BYTES - at;
    memcpy(in->bytes + at, other->bytes + from, count);
    in->size = at + count;
}

static void mutate(input *in, rng *r) {
    for (int64_t changes = rng_range(r, 1, 6); changes > 0; changes--) {
        if (in->size == 0) in->bytes[in->size++] = (uint8_t)rng_next(r);
        switch (rng_range(r, 0, 9)) {
        case 0: in->bytes[any_place(in, r)] ^= (uint8_t)(1 << rng_range(r, 0, 7)); break;
        case 1: in->bytes[any_place(in, r)] = (uint8_t)(in->bytes[any_place(in, r)] + rng_range(r, -2, 2)); break;
        case 2: insert_byte(in, r); break;
        case 3:
            if (in->size > 1 && rng_percent(r, 30)) remove_bytes(in, r);
            break;
        case 4:
            if (rng_percent(r, 50)) splice(in, r);
            break;
        default: in->bytes[any_place(in, r)] = (uint8_t)rng_next(r); break;
        }
    }
}

int main(int argc, char **argv) {
    if (argc < 2) {
        fprintf(stderr, "usage: %s CORPUS [MUTATIONS]\n", argv[0]);
        return 2;
    }
    if (!read_corpus(argv[1])) {
        fprintf(stderr, "%s: no corpus\n", argv[1]);
        return 1;
    }
    watch_for_crashes();
    for (size_t i = 0; i < input_count; i++) run_input(&inputs[i]);
    problem_run run = begin_problems(argc > 2 ? strtoll(argv[2], NULL, 10) : 0);
    for (int64_t i = 0; i < run.count; i++) {
        rng r = rng_make(problem_seed(&run, i), 23);
        input in = inputs[rng_range(&r, 0, (int64_t)input_count - 1)];
        mutate(&in, &r);
        run_input(&in);
    }
    close_contexts();
    printf("%zu inputs of the corpus, %lld mutations\n", input_count, (long long)run.count);
    free(inputs);
    return 0;
}
