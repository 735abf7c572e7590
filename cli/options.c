/* The command line: one table of options, from which come the reading, the errors and the help.
 *
 * SPDX-License-Identifier: MIT
 */
#include "options.h"

#include <getopt.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "error.h"

enum { CONV = 1, TRANSPOSE = 2, PLAN = 4, BENCH = 8, DEVICES = 16, SELFTEST = 32, BOTH = CONV | TRANSPOSE };

static const struct {
    const char *name, *usage, *summary;
} commands[TILEFOLD_CLI_COMMANDS] = {
    [TILEFOLD_CLI_CONV] = {"conv", "INPUT.npy WEIGHT.npy [--bias B.npy] -o OUTPUT.npy [options]", "convolve"},
    [TILEFOLD_CLI_CONV_TRANSPOSE] = {"conv-transpose", "INPUT.npy WEIGHT.npy [--bias B.npy] -o OUTPUT.npy [options]",
                                     "convolve, transposed"},
    [TILEFOLD_CLI_PLAN] = {"plan", "conv|conv-transpose --input 1,64,256,256 --weight 64,64,3,3 [options]",
                           "say how a convolution would be computed, without data"},
    [TILEFOLD_CLI_BENCH] = {"bench", "[--suite FILE.tsv] [options]", "time a suite of convolutions on generated data"},
    [TILEFOLD_CLI_DEVICES] = {"devices", "[--json]", "list the devices of this machine"},
    [TILEFOLD_CLI_SELFTEST] = {"selftest", "[--json]",
                               "say whether this build gives the promised bits on this machine"},
};

typedef enum option_id {
    OPTION_OUTPUT,
    OPTION_BIAS,
    OPTION_INPUT,
    OPTION_WEIGHT,
    OPTION_SUITE,
    OPTION_FILTER,
    OPTION_LAYOUT,
    OPTION_STRIDE,
    OPTION_PADDING,
    OPTION_DILATION,
    OPTION_INPUT_DILATION,
    OPTION_OUTPUT_PADDING,
    OPTION_OUTPUT_SHAPE,
    OPTION_GROUPS,
    OPTION_FLIP,
    OPTION_ACTIVATION,
    OPTION_SCRATCH,
    OPTION_MAX_BUFFER,
    OPTION_DEVICE,
    OPTION_MATH,
    OPTION_ALGORITHM,
    OPTION_STORAGE,
    OPTION_THREADS,
    OPTION_ISA,
    OPTION_NO_PREPACK,
    OPTION_DTYPE,
    OPTION_JSON,
    OPTION_QUIET,
    OPTION_HELP,
    OPTIONS,
} option_id;

/* `expects` says what the argument must be, in an error and in the help alike; without an argument, what the option does. */
static const struct option_row {
    const char *name, *argument;
    int commands;
    const char *expects, *fallback;
} rows[OPTIONS] = {
    [OPTION_OUTPUT] = {"o", "OUTPUT.npy", BOTH, "the file to write", NULL},
    [OPTION_BIAS] = {"bias", "B.npy", BOTH, "a file with one value per output channel", "no bias"},
    [OPTION_INPUT] = {"input", "SHAPE", PLAN, "the input's 3 to 5 sizes in the layout's order, such as 1,64,256,256",
                      NULL},
    [OPTION_WEIGHT] = {"weight", "SHAPE", PLAN, "the weight's 3 to 5 sizes in the layout's order, such as 64,64,3,3",
                       NULL},
    [OPTION_SUITE] = {"suite", "FILE.tsv", BENCH, "a table of problems", "the built-in one"},
    [OPTION_FILTER] = {"filter", "TEXT", BENCH, "run only the problems with TEXT in their name", "all"},
    [OPTION_LAYOUT] = {"layout", "LAYOUT", BOTH | PLAN | BENCH, "channels-first or channels-last", "channels-first"},
    [OPTION_STRIDE] = {"stride", "N[,N...]", BOTH | PLAN, "one number of at least 1, or one per axis", "1"},
    [OPTION_PADDING] = {"padding", "PADDING", BOTH | PLAN,
                        "1, or 1,2 (per axis), or 0:1,2:3 (begin:end per axis), or same, same-lower, valid", "0"},
    [OPTION_DILATION] = {"dilation", "N[,N...]", BOTH | PLAN, "one number of at least 1, or one per axis", "1"},
    [OPTION_INPUT_DILATION] = {"input-dilation", "N[,N...]", CONV | PLAN, "one number of at least 1, or one per axis",
                               "1"},
    [OPTION_OUTPUT_PADDING] = {"output-padding", "N[,N...]", TRANSPOSE | PLAN,
                               "one number of at least 0, or one per axis", "0"},
    [OPTION_OUTPUT_SHAPE] = {"output-shape", "N[,N...]", TRANSPOSE | PLAN,
                             "one number of at least 1, or one per axis; the padding follows from it", NULL},
    [OPTION_GROUPS] = {"groups", "N", BOTH | PLAN, "a number of at least 1", "1"},
    [OPTION_FLIP] = {"flip", NULL, BOTH | PLAN, "turn the kernel around on every axis", NULL},
    [OPTION_ACTIVATION] = {"activation", "FUNCTION", BOTH | PLAN, "relu or clamp:LO:HI with LO <= HI", "none"},
    [OPTION_SCRATCH] = {"scratch", "BYTES", BOTH | PLAN | BENCH, "bytes, or 64KiB, 16MiB, 1GiB", "16MiB"},
    [OPTION_MAX_BUFFER] = {"max-buffer", "BYTES", BOTH | PLAN, "bytes, or 64KiB, 16MiB, 1GiB; at least 1",
                           "the device's limit"},
    [OPTION_DEVICE] = {"device", "DEVICE", BOTH | PLAN | BENCH, "cpu, vulkan or vulkan:N", "cpu"},
    [OPTION_MATH] = {"math", "KIND", BOTH | PLAN | BENCH,
                     "exact or fast: fewer multiplications and other bits where that gains; the plan says which",
                     "exact"},
    [OPTION_ALGORITHM] = {"algorithm", "NAME", BOTH | PLAN | BENCH, "auto, unfold, implicit or direct", "auto"},
    [OPTION_STORAGE] = {"storage", "KIND", BOTH | PLAN | BENCH, "buffer, texture2d or texture3d (Vulkan only)",
                        "buffer"},
    [OPTION_THREADS] = {"threads", "N", BOTH | PLAN | BENCH, "a number of at least 1 (CPU only)", "one per core"},
    [OPTION_ISA] = {"isa", "NAME", BOTH | PLAN | BENCH, "portable, avx2, avx512 or neon (CPU only)", "the best"},
    [OPTION_NO_PREPACK] = {"no-prepack", NULL, BOTH | PLAN, "hold no packed copy of the weights", NULL},
    [OPTION_DTYPE] = {"dtype", "TYPE", BOTH | PLAN | BENCH, "f32, f16 or bf16; bf16 marks 2-byte arrays as bfloat16",
                      "from the files, else f32"},
    [OPTION_JSON] = {"json", NULL, BOTH | PLAN | BENCH | DEVICES | SELFTEST,
                     "print JSON, and nothing else, on standard output", NULL},
    [OPTION_QUIET] = {"quiet", NULL, BOTH | PLAN | BENCH | DEVICES | SELFTEST, "show no progress line", NULL},
    [OPTION_HELP] = {"help", NULL, BOTH | PLAN | BENCH | DEVICES | SELFTEST, "show this", NULL},
};

bool tilefold_cli_find_command(const char *word, tilefold_cli_command *command) {
    for (int i = 0; i < TILEFOLD_CLI_COMMANDS; i++) {
        if (strcmp(word, commands[i].name) == 0) {
            *command = (tilefold_cli_command)i;
            return true;
        }
    }
    return false;
}

static const char *dashes(const char *name) { return name[1] ? "--" : "-"; }

static bool read_count(const char *text, int64_t *value, int64_t most) {
    int64_t number;
    if (!tilefold_cli_parse_integer(text, &number) || number < 1 || number > most) return false;
    *value = number;
    return true;
}

static bool read_shape(const char *text, int64_t least, tilefold_cli_list *shape) {
    return tilefold_cli_parse_list(text, TILEFOLD_CLI_MAX_DIMENSIONS, least, shape) && shape->count >= 3;
}

static const char *const storages[] = {"buffer", "texture2d", "texture3d", NULL};

const char *tilefold_cli_storage_name(tilefold_storage storage) { return storages[storage]; }

static bool apply_word(option_id id, const char *text, tilefold_cli_options *options) {
    static const char *const layouts[] = {"channels-first", "channels-last", NULL};
    static const char *const maths[] = {"exact", "fast", NULL};
    static const char *const algorithms[] = {"auto", "unfold", "implicit", "direct", NULL};
    static const char *const isas[] = {"portable", "avx2", "avx512", "neon", NULL};
    static const char *const types[] = {"f32", "f16", "bf16", NULL};
    int place;
    switch (id) {
    case OPTION_LAYOUT:
        if (!tilefold_cli_parse_word(text, layouts, &place)) return false;
        options->layout = (tilefold_layout)place;
        return true;
    case OPTION_MATH:
        if (!tilefold_cli_parse_word(text, maths, &place)) return false;
        options->plan.math = (tilefold_math)place;
        return true;
    case OPTION_ALGORITHM:
        if (!tilefold_cli_parse_word(text, algorithms, &place)) return false;
        options->plan.algorithm = (tilefold_algorithm)place;
        return true;
    case OPTION_STORAGE:
        if (!tilefold_cli_parse_word(text, storages, &place)) return false;
        options->plan.storage = (tilefold_storage)place;
        return true;
    case OPTION_ISA:
        if (!tilefold_cli_parse_word(text, isas, &place)) return false;
        options->context.isa = (tilefold_isa)(TILEFOLD_ISA_PORTABLE + place);
        return true;
    case OPTION_DTYPE:
        if (!tilefold_cli_parse_word(text, types, &place)) return false;
        options->type = (tilefold_type)(TILEFOLD_F32 + place);
        return true;
    default: return false;
    }
}

/* Reads one option's argument; false where it is not what the row expects. */
static bool apply(option_id id, const char *text, tilefold_cli_options *options) {
    int64_t threads;
    switch (id) {
    case OPTION_OUTPUT: options->output_path = text; return true;
    case OPTION_BIAS: options->bias_path = text; return true;
    case OPTION_SUITE: options->suite_path = text; return true;
    case OPTION_FILTER: options->filter = text; return true;
    case OPTION_INPUT: return read_shape(text, 0, &options->input_shape);
    case OPTION_WEIGHT: return read_shape(text, 1, &options->weight_shape);
    case OPTION_STRIDE: return tilefold_cli_parse_list(text, TILEFOLD_MAX_RANK, 1, &options->stride);
    case OPTION_DILATION: return tilefold_cli_parse_list(text, TILEFOLD_MAX_RANK, 1, &options->dilation);
    case OPTION_INPUT_DILATION: return tilefold_cli_parse_list(text, TILEFOLD_MAX_RANK, 1, &options->input_dilation);
    case OPTION_OUTPUT_PADDING: return tilefold_cli_parse_list(text, TILEFOLD_MAX_RANK, 0, &options->output_padding);
    case OPTION_OUTPUT_SHAPE: return tilefold_cli_parse_list(text, TILEFOLD_MAX_RANK, 1, &options->output_shape);
    case OPTION_PADDING: return tilefold_cli_parse_padding(text, &options->padding);
    case OPTION_GROUPS: return read_count(text, &options->groups, INT64_MAX);
    case OPTION_ACTIVATION: return tilefold_cli_parse_activation(text, &options->clamp_low, &options->clamp_high);
    case OPTION_SCRATCH: return tilefold_cli_parse_bytes(text, &options->plan.scratch_limit_bytes);
    case OPTION_MAX_BUFFER:
        return tilefold_cli_parse_bytes(text, &options->plan.max_buffer_bytes) && options->plan.max_buffer_bytes > 0;
    case OPTION_DEVICE:
        return tilefold_cli_parse_device(text, &options->context.device, &options->context.device_index);
    case OPTION_THREADS:
        if (!read_count(text, &threads, INT32_MAX)) return false;
        options->context.threads = (int32_t)threads;
        return true;
    case OPTION_FLIP: options->flip = true; return true;
    case OPTION_NO_PREPACK: options->plan.prepack_weights = false; return true;
    case OPTION_JSON: options->json = true; return true;
    case OPTION_QUIET: options->quiet = true; return true;
    case OPTION_HELP: options->help = true; return true;
    default: return apply_word(id, text, options);
    }
}

enum { LONG = 256 }; /* added to an option's id: what getopt_long() returns for it; letters are below */

/* What getopt_long() made of an argument that is no option of this command. */
static int refuse(tilefold_cli_command command, const char *argument) {
    const char *name = commands[command].name;
    if (optopt >= LONG) return tilefold_cli_misuse("%s: takes no argument", argument);
    if (strncmp(argument, "--", 2) != 0)
        return tilefold_cli_misuse("unknown option -%c (see tilefold %s --help)", optopt, name);
    size_t length = strcspn(argument + 2, "=");
    for (int id = 0; id < OPTIONS; id++) {
        if (strlen(rows[id].name) == length && strncmp(rows[id].name, argument + 2, length) == 0) {
            return tilefold_cli_misuse("--%s: not an option of %s (see tilefold %s --help)", rows[id].name, name, name);
        }
    }
    return tilefold_cli_misuse("unknown option %s (see tilefold %s --help)", argument, name);
}

/* getopt_long() takes an abbreviation for the option it begins, but --input is no --input-dilation. word is the argument
 * that it has just taken. */
static bool is_whole(const char *word, const char *name) {
    size_t length = strcspn(word, "=");
    return !name[1] || (length == strlen(name) + 2 && strncmp(word + 2, name, length - 2) == 0);
}

/* Reads all options into *options and their ids into *given, a bit each. Operands end up at argv[optind]. */
static int read_options(int argc, char **argv, tilefold_cli_options *options, uint64_t *given) {
    struct option known[OPTIONS + 1] = {{0}};
    int count = 0;
    for (int id = 0; id < OPTIONS; id++) {
        if (!rows[id].name[1] || !(rows[id].commands & (1 << options->command))) continue;
        known[count++] = (struct option){rows[id].name, rows[id].argument != NULL, NULL, LONG + id};
    }
    const char *letters = rows[OPTION_OUTPUT].commands & (1 << options->command) ? ":o:" : ":";
    opterr = 0;
    for (int found; (found = getopt_long(argc, argv, letters, known, NULL)) != -1;) {
        if (found == '?') return refuse(options->command, argv[optind - 1]);
        int id = found == ':' ? optopt : found;
        id = id >= LONG ? id - LONG : OPTION_OUTPUT;
        const struct option_row *row = &rows[id];
        const char *word = argv[optind - (optarg && optarg == argv[optind - 1] ? 2 : 1)];
        if (!is_whole(word, row->name)) return refuse(options->command, word);
        if (found == ':') return tilefold_cli_misuse("%s%s: expected %s", dashes(row->name), row->name, row->expects);
        if (!apply((option_id)id, optarg, options)) {
            return tilefold_cli_misuse("%s%s %s: expected %s", dashes(row->name), row->name, optarg, row->expects);
        }
        *given |= UINT64_C(1) << id;
    }
    return TILEFOLD_CLI_OK;
}

/* The words that are no options: two files, an operation, or none. */
static int read_operands(int count, char **operands, tilefold_cli_options *options) {
    static const char *const files[] = {"INPUT.npy", "WEIGHT.npy", NULL};
    static const char *const ops[] = {"conv|conv-transpose", NULL};
    static const char *const none[] = {NULL};
    const char *const *wanted = none;
    if (options->command == TILEFOLD_CLI_PLAN) wanted = ops;
    if (options->command <= TILEFOLD_CLI_CONV_TRANSPOSE) wanted = files;
    int place = 0;
    for (; wanted[place]; place++) {
        if (place == count)
            return tilefold_cli_misuse("%s: missing %s", commands[options->command].name, wanted[place]);
    }
    if (count > place)
        return tilefold_cli_misuse("%s: unexpected argument '%s'", commands[options->command].name, operands[place]);

    if (wanted == files) {
        options->op = options->command == TILEFOLD_CLI_CONV ? TILEFOLD_CONV : TILEFOLD_CONV_TRANSPOSE;
        options->input_path = operands[0];
        options->weight_path = operands[1];
    } else if (wanted == ops) {
        tilefold_cli_command op;
        if (!tilefold_cli_find_command(operands[0], &op) || op > TILEFOLD_CLI_CONV_TRANSPOSE) {
            return tilefold_cli_misuse("plan %s: expected conv or conv-transpose", operands[0]);
        }
        options->op = op == TILEFOLD_CLI_CONV ? TILEFOLD_CONV : TILEFOLD_CONV_TRANSPOSE;
    }
    return TILEFOLD_CLI_OK;
}

/* What options say about each other. */
static int check_together(const tilefold_cli_options *options, uint64_t given) {
    const char *name = commands[options->command].name;
    bool computes = options->command <= TILEFOLD_CLI_CONV_TRANSPOSE;
    bool plans = options->command == TILEFOLD_CLI_PLAN;
    if (computes && !options->output_path) return tilefold_cli_misuse("%s: missing -o OUTPUT.npy", name);
    if (plans && !options->input_shape.count) return tilefold_cli_misuse("plan: missing --input SHAPE");
    if (plans && !options->weight_shape.count) return tilefold_cli_misuse("plan: missing --weight SHAPE");

    int op = options->op == TILEFOLD_CONV ? CONV : TRANSPOSE;
    bool vulkan = options->context.device == TILEFOLD_VULKAN;
    for (int id = 0; id < OPTIONS; id++) {
        if (!(given >> id & 1)) continue;
        if (plans && rows[id].commands & BOTH && !(rows[id].commands & op)) {
            return tilefold_cli_misuse("--%s: not an option of %s", rows[id].name,
                                       op == CONV ? "conv" : "conv-transpose");
        }
        if (id == OPTION_STORAGE && !vulkan) return tilefold_cli_misuse("--storage: for --device vulkan only");
        if ((id == OPTION_THREADS || id == OPTION_ISA) && vulkan) {
            return tilefold_cli_misuse("--%s: for --device cpu only", rows[id].name);
        }
    }
    bool unfolds = options->plan.algorithm <= TILEFOLD_ALGORITHM_UNFOLD; /* or may */
    if (options->plan.storage != TILEFOLD_STORAGE_BUFFER && !unfolds) {
        return tilefold_cli_misuse("--storage %s: --algorithm %s unfolds nothing to be held there",
                                   storages[options->plan.storage], tilefold_algorithm_name(options->plan.algorithm));
    }
    tilefold_cli_padding_mode padding = options->padding.mode;
    bool splits = padding == TILEFOLD_CLI_PADDING_SAME || padding == TILEFOLD_CLI_PADDING_SAME_LOWER;
    if (options->output_shape.count && given >> OPTION_PADDING & 1 && !splits) {
        return tilefold_cli_misuse("--padding: --output-shape decides it; only same or same-lower go with that");
    }
    return TILEFOLD_CLI_OK;
}

int tilefold_cli_options_read(tilefold_cli_command command, int argc, char **argv, tilefold_cli_options *options) {
    memset(options, 0, sizeof *options);
    options->command = command;
    options->groups = 1;
    options->clamp_low = -INFINITY;
    options->clamp_high = INFINITY;
    tilefold_context_options_init(&options->context);
    tilefold_plan_options_init(&options->plan);

    uint64_t given = 0;
    int status = read_options(argc, argv, options, &given);
    if (status != TILEFOLD_CLI_OK || options->help) return status;
    status = read_operands(argc - optind, argv + optind, options);
    if (status != TILEFOLD_CLI_OK) return status;
    return check_together(options, given);
}

void tilefold_cli_print_overview(void) {
    puts("tilefold computes convolutions and transposed convolutions inside a memory limit.\n");
    puts("Usage:");
    for (int i = 0; i < TILEFOLD_CLI_COMMANDS; i++) {
        printf("  tilefold %s %s\n      %s\n", commands[i].name, commands[i].usage, commands[i].summary);
    }
    puts("  tilefold --help, tilefold COMMAND --help, tilefold --version\n");
    puts("Exit status: 0; 2 for a misused command line; 1 for any other failure.");
}

void tilefold_cli_print_help(tilefold_cli_command command) {
    printf("Usage: tilefold %s %s\n\nOptions:\n", commands[command].name, commands[command].usage);
    for (int id = 0; id < OPTIONS; id++) {
        const struct option_row *row = &rows[id];
        if (!(row->commands & (1 << command))) continue;
        char head[64];
        snprintf(head, sizeof head, "%s%s%s%s", dashes(row->name), row->name, row->argument ? " " : "",
                 row->argument ? row->argument : "");
        printf("  %-26s %s%s%s%s\n", head, row->expects, row->fallback ? " (default: " : "",
               row->fallback ? row->fallback : "", row->fallback ? ")" : "");
    }
}
