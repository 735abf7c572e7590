#!/bin/sh
# SPDX-License-Identifier: MIT
# Every shader that the build embeds is valid SPIR-V for Vulkan 1.1 and has a translation to Metal's language, as MoltenVK makes
# it, without what Metal lacks: doubles, 64-bit integers, arrays sized by a specialisation constant, more than 31 buffers, more
# than 32 KiB of threadgroup memory.
set -u

variants=$BUILD/shaders/variants.txt
[ -f "$variants" ] || { echo "skipped: built without Vulkan"; exit 77; }
for tool in spirv-val spirv-cross; do
    command -v $tool >/dev/null || { echo "skipped: no $tool (Debian: spirv-tools, spirv-cross)"; exit 77; }
done

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
failed=0
complain() {
    echo "$*"
    failed=1
}

# Bytes of the threadgroup arrays, one a line: "threadgroup int4 _817[32];"
count_threadgroup_bytes() {
    awk '$1 == "threadgroup" && /;$/ {
        bytes["float"] = bytes["int"] = bytes["uint"] = 4
        bytes["float2"] = bytes["int2"] = bytes["uint2"] = 8
        bytes["float4"] = bytes["int4"] = bytes["uint4"] = 16
        if (!($2 in bytes) || !match($3, /\[[0-9]+\];$/)) { print "of unknown size: " $0; exit failed = 1 }
        size = substr($3, RSTART + 1, RLENGTH - 3)
        total += bytes[$2] * size
    } END { if (!failed) print total + 0 }' "$1"
}

check_text() { # check_text NAME FILE
    grep -q '^kernel void main0(' "$2" || complain "$1: no kernel"
    lacking=$(grep -nEw 'double|long|ulong|size_t [a-z]+ =|atomic_ulong|int64_t|uint64_t' "$2")
    [ -z "$lacking" ] || complain "$1: Metal lacks: $lacking"
    refused=$(grep -niE 'unsupported|not supported|unimplemented|#error' "$2")
    [ -z "$refused" ] || complain "$1: translated in part only: $refused"
    case $1 in
    broadcast*) ;; # for a CPU's Vulkan device, which Metal never is: its register tile may be specialised
    *) grep -q SPIRV_CROSS_CONSTANT_ID "$2" && complain "$1: an array sized by a specialisation constant" ;;
    esac
    buffers=$(grep -o '\[\[buffer([0-9]*)\]\]' "$2" | tr -dc '0-9\n' | sort -n | tail -1)
    [ "${buffers:-31}" -le 30 ] || complain "$1: no buffers, or one of index ${buffers:-?} of at most 30"
    threadgroup=$(count_threadgroup_bytes "$2")
    [ "$threadgroup" -le 32768 ] 2>/dev/null || complain "$1: threadgroup memory: $threadgroup"
}

count=0
while read -r name words; do
    count=$((count + 1))
    [ -f "$BUILD/shaders/$name.h" ] || complain "$name: not embedded"
    source=${words##* }
    flags=${words% *}
    # shellcheck disable=SC2086 # a list of words
    "$GLSLC" $flags "$SOURCE/src/vulkan/shaders/$source" -o "$folder/$name.spv" || { complain "$name: glslc"; continue; }
    spirv-val --target-env vulkan1.1 "$folder/$name.spv" || complain "$name: not valid"
    spirv-cross --msl --msl-version 20100 "$folder/$name.spv" --output "$folder/$name.metal" ||
        { complain "$name: not translated"; continue; }
    check_text "$name" "$folder/$name.metal"
done <"$variants"

echo "$count shaders"
[ "$count" -gt 0 ] && [ $failed = 0 ]
