#!/bin/sh
# SPDX-License-Identifier: MIT
# Runs a test on the first Vulkan device with the validation layers and their synchronisation checks on, or, where
# TILEFOLD_TEST_GPU_ASSISTED is set, with their checks inside shaders. Any message of theirs is a failure.
#
#   on_vulkan.sh TILEFOLD COMMAND...
set -eu

tilefold=$1
shift
if ! "$tilefold" devices | grep -q '^vulkan:0 '; then
    echo "skipped: there is no Vulkan device (Debian: mesa-vulkan-drivers has one in software)"
    exit 77
fi
export VK_INSTANCE_LAYERS=VK_LAYER_KHRONOS_validation
# Mesa keeps compiled shaders without regard to the vector width.
if [ -n "${LP_NATIVE_VECTOR_WIDTH:-}" ]; then
    export MESA_SHADER_CACHE_DIR="${XDG_CACHE_HOME:-${HOME:-/tmp}/.cache}/mesa_shader_cache_$LP_NATIVE_VECTOR_WIDTH"
    mkdir -p "$MESA_SHADER_CACHE_DIR"
fi
feature=VK_VALIDATION_FEATURE_ENABLE
if [ -n "${TILEFOLD_TEST_GPU_ASSISTED:-}" ]; then
    export VK_LAYER_ENABLES=${feature}_GPU_ASSISTED_EXT:${feature}_GPU_ASSISTED_RESERVE_BINDING_SLOT_EXT
else
    export VK_LAYER_ENABLES=${feature}_SYNCHRONIZATION_VALIDATION_EXT
fi
if ! VK_LOADER_DEBUG=layer "$tilefold" devices 2>&1 | grep -qi 'insert.*VK_LAYER_KHRONOS_validation\|Loading layer library.*validation'; then
    echo "skipped: the validation layers are not installed (Debian: vulkan-validationlayers)"
    exit 77
fi

output=$(mktemp)
trap 'rm -f "$output"' EXIT
# The log is shown as it comes, so that it is there when a test hangs and is ended from outside.
exec 4>&1
status=$(
    exec 3>&1
    {
        status=0
        TILEFOLD_TEST_VULKAN=0 "$@" 2>&1 3>&- 4>&- || status=$?
        echo $status >&3
    } | tee "$output" >&4
)
if grep -qE 'VUID|SYNC-HAZARD|UNASSIGNED|Validation (Error|Warning)' "$output"; then
    echo "the validation layers have something to say"
    exit 1
fi
exit "$status"
