#!/bin/sh
# SPDX-License-Identifier: MIT
# Every symbol that the libraries define for others to see begins with tilefold_: the dynamic ones of the shared library,
# which are those the header declares and no more, and all global ones of the static library.
set -u

failed=0
names() { awk 'NF == 3 { sub(/@.*/, "", $3); print $3 }' | LC_ALL=C sort -u; }

exported=$("$NM" --dynamic --defined-only --extern-only "$BUILD/libtilefold.so" | names)
static=$("$NM" --defined-only --extern-only "$BUILD/libtilefold.a" | names)
for list in "$exported" "$static"; do
    [ -n "$list" ] || { echo "no symbols at all"; failed=1; }
    foreign=$(echo "$list" | grep -v '^tilefold_')
    [ -z "$foreign" ] || { echo "not prefixed: $foreign"; failed=1; }
done

headers=$SOURCE/include/tilefold.h
[ ! -f "$BUILD/shaders/variants.txt" ] || headers="$headers $SOURCE/include/tilefold_vulkan.h" # built with Vulkan
# shellcheck disable=SC2086 # a list of words
declared=$(grep -ho '^TILEFOLD_API .*' $headers | grep -o 'tilefold_[a-z0-9_]*(' | tr -d '(' | LC_ALL=C sort -u)
[ -n "$declared" ] || { echo "no declarations found"; failed=1; }
if [ "$exported" != "$declared" ]; then
    echo "declared but not exported, or the reverse:"
    printf '%s\n%s\n' "$exported" "$declared" | LC_ALL=C sort | uniq -u
    failed=1
fi
echo "$(echo "$exported" | wc -l) exported, $(echo "$static" | wc -l) in the static library"
exit $failed
