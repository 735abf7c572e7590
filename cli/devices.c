/* tilefold devices: what this machine has.
 *
 * SPDX-License-Identifier: MIT
 */
#include <inttypes.h>
#include <stdio.h>

#include "commands.h"
#include "error.h"
#include "json.h"
#include "session.h"

static const char *kind_name(const tilefold_device_info *info) { return info->kind == TILEFOLD_CPU ? "cpu" : "vulkan"; }

/* Calls what(isa's name) for each instruction set that runs here. */
static void each_isa(const tilefold_device_info *info, void (*what)(void *user, const char *name), void *user) {
    for (int isa = TILEFOLD_ISA_PORTABLE; tilefold_isa_name((tilefold_isa)isa); isa++) {
        if (info->isa_mask >> isa & 1) what(user, tilefold_isa_name((tilefold_isa)isa));
    }
}

static void json_isa(void *user, const char *name) { tilefold_cli_json_string(user, NULL, name); }

static void print_isa(void *user, const char *name) {
    (void)user;
    printf(" %s", name);
}

static void write_json(tilefold_cli_json *json, const tilefold_device_info *info) {
    tilefold_cli_json_open(json, NULL, '{');
    tilefold_cli_json_string(json, "kind", kind_name(info));
    tilefold_cli_json_integer(json, "index", info->index);
    tilefold_cli_json_string(json, "name", info->name);
    if (info->kind == TILEFOLD_CPU) {
        tilefold_cli_json_integer(json, "threads", info->threads);
        tilefold_cli_json_string(json, "isa", tilefold_isa_name(info->isa));
        tilefold_cli_json_open(json, "isas", '[');
        each_isa(info, json_isa, json);
        tilefold_cli_json_close(json, ']');
        tilefold_cli_json_integer(json, "l1_bytes", info->l1_bytes);
        tilefold_cli_json_integer(json, "l2_bytes", info->l2_bytes);
        tilefold_cli_json_integer(json, "l3_bytes", info->l3_bytes);
    }
    tilefold_cli_json_integer(json, "max_buffer_bytes", info->max_buffer_bytes);
    tilefold_cli_json_integer(json, "memory_bytes", info->memory_bytes);
    if (info->kind == TILEFOLD_VULKAN) {
        tilefold_cli_json_integer(json, "shared_memory_bytes", info->shared_memory_bytes);
        tilefold_cli_json_integer(json, "max_workgroups", info->max_workgroups);
        tilefold_cli_json_integer(json, "max_workgroup_size", info->max_workgroup_size);
        tilefold_cli_json_integer(json, "subgroup_size", info->subgroup_size);
        tilefold_cli_json_boolean(json, "storage16", info->storage16);
        tilefold_cli_json_boolean(json, "same_bits_as_cpu", info->same_bits_as_cpu);
        if (!info->same_bits_as_cpu) tilefold_cli_json_string(json, "other_bits", info->other_bits);
    }
    tilefold_cli_json_close(json, '}');
}

static void print_bytes(const char *label, int64_t bytes) {
    if (bytes <= 0) return;
    if (bytes < 1048576) {
        printf("  %-12s %" PRId64 " KiB\n", label, bytes >> 10);
    } else {
        printf("  %-12s %" PRId64 " MiB\n", label, bytes >> 20);
    }
}

static void print_text(const tilefold_device_info *info) {
    if (info->kind == TILEFOLD_CPU) {
        printf("cpu        %s\n  %-12s %d\n  %-12s", info->name, "threads", (int)info->threads, "isa");
        each_isa(info, print_isa, NULL);
        printf(" (best: %s)\n", tilefold_isa_name(info->isa));
        print_bytes("L1 data", info->l1_bytes);
        print_bytes("L2", info->l2_bytes);
        print_bytes("L3, shared", info->l3_bytes);
    } else {
        printf("vulkan:%-3d %s\n", (int)info->index, info->name);
        print_bytes("max buffer", info->max_buffer_bytes);
        print_bytes("shared", info->shared_memory_bytes);
        printf("  %-12s %d invocations at most, in subgroups of %d; %" PRId64 " of them along an axis\n", "workgroups",
               (int)info->max_workgroup_size, (int)info->subgroup_size, info->max_workgroups);
        printf("  %-12s %s\n", "2-byte types", info->storage16 ? "by themselves" : "by words");
        printf("  %-12s %s%s\n", "bits", info->same_bits_as_cpu ? "the CPU's" : "its own: ", info->other_bits);
    }
    print_bytes("memory", info->memory_bytes);
}

int tilefold_cli_run_devices(const tilefold_cli_options *options) {
    tilefold_cli_json json = {stdout, false};
    if (options->json) {
        tilefold_cli_json_open(&json, NULL, '{');
        tilefold_cli_json_open(&json, "devices", '[');
    }
    for (size_t number = 0; number < tilefold_device_count(); number++) {
        tilefold_device_info info;
        tilefold_device_info_init(&info);
        tilefold_message message;
        if (tilefold_get_device_info(number, &info, &message) != TILEFOLD_OK) {
            return tilefold_cli_fail("device %zu: %s", number, message.text);
        }
        if (options->json) {
            write_json(&json, &info);
        } else {
            print_text(&info);
        }
    }
    if (options->json) {
        tilefold_cli_json_close(&json, ']');
        tilefold_cli_json_close(&json, '}');
        putchar('\n');
    }
    return tilefold_cli_flush();
}
