/* Structs whose sizes their callers bring: see versioned.h.
 *
 * SPDX-License-Identifier: MIT
 */
#include "versioned.h"

#include "message.h"

#include <math.h>

/* No struct will ever be as large: a larger size is memory that was never set, and there is no end to what it would have one
 * read. */
enum { MOST_BYTES = 4096 };

static size_t smaller(size_t a, size_t b) { return a < b ? a : b; }

static size_t size_of(const void *given) {
    size_t struct_size;
    memcpy(&struct_size, given, sizeof struct_size);
    return struct_size;
}

static bool all_zero(const void *memory, size_t begin, size_t end) {
    const unsigned char *bytes = memory;
    for (size_t at = begin; at < end; at++)
        if (bytes[at] != 0) return false;
    return true;
}

static tilefold_status check(const tilefold_versioned *kind, const void *given, tilefold_message *message) {
    if (!given)
        return tilefold_fail(message, TILEFOLD_INVALID_ARGUMENT, "%s is NULL: %s() sets one up", kind->name,
                             kind->init);
    size_t size = size_of(given);
    if (size < kind->least || size > MOST_BYTES || size % sizeof(void *) != 0)
        return tilefold_fail(message, TILEFOLD_INVALID_ARGUMENT,
                             "%s.struct_size is %zu, not %zu, or another size of at least %zu that is a multiple of "
                             "%zu: call %s()",
                             kind->name, size, kind->bytes, kind->least, sizeof(void *), kind->init);
    if (!all_zero(given, kind->bytes, size))
        return tilefold_fail(message, TILEFOLD_INVALID_ARGUMENT,
                             "%s.struct_size is %zu; this library knows the first %zu bytes, and those behind them are "
                             "not all zero",
                             kind->name, size, kind->bytes);
    size_t reserved_end = smaller(size, kind->reserved_at + kind->reserved_size);
    if (!all_zero(given, kind->reserved_at, reserved_end))
        return tilefold_fail(message, TILEFOLD_INVALID_ARGUMENT,
                             "the reserved bytes %zu to %zu of %s are not all zero: call %s()", kind->reserved_at,
                             reserved_end, kind->name, kind->init);
    return TILEFOLD_OK;
}

void tilefold_versioned_init(const tilefold_versioned *kind, const void *defaults, void *fresh, size_t struct_size) {
    memset(fresh, 0, struct_size);
    memcpy(fresh, defaults, smaller(struct_size, kind->bytes));
    memcpy(fresh, &struct_size, smaller(struct_size, sizeof struct_size));
}

tilefold_status tilefold_versioned_read(const tilefold_versioned *kind, const void *given, void *full,
                                        tilefold_message *message) {
    tilefold_status status = check(kind, given, message);
    if (status) return status;
    memcpy(full, given, smaller(size_of(given), kind->bytes));
    memcpy(full, &kind->bytes, sizeof kind->bytes);
    return TILEFOLD_OK;
}

tilefold_status tilefold_versioned_write(const tilefold_versioned *kind, const void *full, void *given,
                                         tilefold_message *message) {
    tilefold_status status = check(kind, given, message);
    if (status) return status;
    size_t size = size_of(given);
    memcpy(given, full, smaller(size, kind->bytes));
    memcpy(given, &size, sizeof size);
    return TILEFOLD_OK;
}

/* ---------------------------------------------------------------------------------------------------- problem ---- */

#define RESERVED(type, member) .reserved_at = offsetof(type, member), .reserved_size = sizeof(((type *)0)->member)

static const tilefold_versioned problem_kind = {.name = "problem",
                                                .init = "tilefold_problem_init",
                                                .bytes = sizeof(tilefold_problem),
                                                .least = offsetof(tilefold_problem, flip),
                                                RESERVED(tilefold_problem, reserved)};
TILEFOLD_ENDS_WITH(tilefold_problem, clamp_high);
TILEFOLD_ENDS_WITH(tilefold_tensor_strides, spatial);
TILEFOLD_ENDS_WITH(tilefold_weight_strides, spatial);

void tilefold_problem_init_sized(tilefold_problem *problem, size_t struct_size, tilefold_op op, tilefold_type type,
                                 int32_t rank) {
    tilefold_problem defaults;
    memset(&defaults, 0, sizeof defaults);
    defaults.op = op;
    defaults.type = type;
    defaults.rank = rank;
    defaults.batch = defaults.in_channels = defaults.out_channels = defaults.groups = 1;
    for (int axis = 0; axis < TILEFOLD_MAX_RANK; axis++) {
        defaults.input_size[axis] = defaults.kernel[axis] = defaults.stride[axis] = 1;
        defaults.dilation[axis] = defaults.input_dilation[axis] = 1;
    }
    defaults.clamp_low = -INFINITY;
    defaults.clamp_high = INFINITY;
    tilefold_versioned_init(&problem_kind, &defaults, problem, struct_size);
}

tilefold_status tilefold_read_problem(const tilefold_problem *given, tilefold_problem *full,
                                      tilefold_message *message) {
    tilefold_problem_init(full, TILEFOLD_CONV, TILEFOLD_F32, 1);
    return tilefold_versioned_read(&problem_kind, given, full, message);
}

tilefold_status tilefold_write_problem(const tilefold_problem *full, tilefold_problem *given,
                                       tilefold_message *message) {
    return tilefold_versioned_write(&problem_kind, full, given, message);
}

/* --------------------------------------------------------------------------------------- context, plan, execution ---- */

static const tilefold_versioned context_options_kind = {.name = "context options",
                                                        .init = "tilefold_context_options_init",
                                                        .bytes = sizeof(tilefold_context_options),
                                                        .least = sizeof(size_t)};
TILEFOLD_ENDS_WITH(tilefold_context_options, parallel_for);
TILEFOLD_ENDS_WITH(tilefold_allocator, user);
TILEFOLD_ENDS_WITH(tilefold_parallel_for, threads);

void tilefold_context_options_init_sized(tilefold_context_options *options, size_t struct_size) {
    tilefold_context_options defaults;
    memset(&defaults, 0, sizeof defaults);
    tilefold_versioned_init(&context_options_kind, &defaults, options, struct_size);
}

tilefold_status tilefold_read_context_options(const tilefold_context_options *given, tilefold_context_options *full,
                                              tilefold_message *message) {
    tilefold_context_options_init(full);
    return tilefold_versioned_read(&context_options_kind, given, full, message);
}

static const tilefold_versioned plan_options_kind = {.name = "plan options",
                                                     .init = "tilefold_plan_options_init",
                                                     .bytes = sizeof(tilefold_plan_options),
                                                     .least = sizeof(size_t),
                                                     RESERVED(tilefold_plan_options, reserved)};
TILEFOLD_ENDS_WITH(tilefold_plan_options, math);

void tilefold_plan_options_init_sized(tilefold_plan_options *options, size_t struct_size) {
    tilefold_plan_options defaults;
    memset(&defaults, 0, sizeof defaults);
    defaults.scratch_limit_bytes = TILEFOLD_DEFAULT_SCRATCH_LIMIT_BYTES;
    defaults.prepack_weights = true;
    tilefold_versioned_init(&plan_options_kind, &defaults, options, struct_size);
}

tilefold_status tilefold_read_plan_options(const tilefold_plan_options *given, tilefold_plan_options *full,
                                           tilefold_message *message) {
    tilefold_plan_options_init(full);
    return tilefold_versioned_read(&plan_options_kind, given, full, message);
}

static const tilefold_versioned execution_kind = {.name = "execution",
                                                  .init = "tilefold_execution_init",
                                                  .bytes = sizeof(tilefold_execution),
                                                  .least = sizeof(size_t)};
TILEFOLD_ENDS_WITH(tilefold_execution, output_bytes);

void tilefold_execution_init_sized(tilefold_execution *execution, size_t struct_size) {
    tilefold_execution defaults;
    memset(&defaults, 0, sizeof defaults);
    tilefold_versioned_init(&execution_kind, &defaults, execution, struct_size);
}

tilefold_status tilefold_read_execution(const tilefold_execution *given, tilefold_execution *full,
                                        tilefold_message *message) {
    tilefold_execution_init(full);
    return tilefold_versioned_read(&execution_kind, given, full, message);
}

/* ------------------------------------------------------------------------------------------------------ infos ---- */

static const tilefold_versioned plan_info_kind = {.name = "plan info",
                                                  .init = "tilefold_plan_info_init",
                                                  .bytes = sizeof(tilefold_plan_info),
                                                  .least = offsetof(tilefold_plan_info, isa),
                                                  RESERVED(tilefold_plan_info, reserved)};
TILEFOLD_ENDS_WITH(tilefold_plan_info, error_bound);

void tilefold_plan_info_init_sized(tilefold_plan_info *info, size_t struct_size) {
    tilefold_plan_info defaults;
    memset(&defaults, 0, sizeof defaults);
    tilefold_versioned_init(&plan_info_kind, &defaults, info, struct_size);
}

tilefold_status tilefold_write_plan_info(const tilefold_plan_info *full, tilefold_plan_info *given,
                                         tilefold_message *message) {
    return tilefold_versioned_write(&plan_info_kind, full, given, message);
}

static const tilefold_versioned device_info_kind = {.name = "device info",
                                                    .init = "tilefold_device_info_init",
                                                    .bytes = sizeof(tilefold_device_info),
                                                    .least = offsetof(tilefold_device_info, name),
                                                    RESERVED(tilefold_device_info, reserved)};
TILEFOLD_ENDS_WITH(tilefold_device_info, other_bits);

void tilefold_device_info_init_sized(tilefold_device_info *info, size_t struct_size) {
    tilefold_device_info defaults;
    memset(&defaults, 0, sizeof defaults);
    tilefold_versioned_init(&device_info_kind, &defaults, info, struct_size);
}

tilefold_status tilefold_write_device_info(const tilefold_device_info *full, tilefold_device_info *given,
                                           tilefold_message *message) {
    return tilefold_versioned_write(&device_info_kind, full, given, message);
}
