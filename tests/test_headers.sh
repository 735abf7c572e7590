#!/bin/sh
# SPDX-License-Identifier: MIT
# Each public header compiles alone in C11 and in C++11, without a warning; tilefold_vulkan.h only where Vulkan's own is there.
set -u

failed=0
try() { # try HEADER COMPILER...
    header=$1
    shift
    printf '#include <%s>\n#include <%s>\n' "$header" "$header" |
        "$@" -Wall -Wextra -Wpedantic -Werror -fsyntax-only -I"$SOURCE/include" - || {
        echo "$header does not compile alone: $*"
        failed=1
    }
}

count=0
for path in "$SOURCE"/include/*.h; do
    header=$(basename "$path")
    if [ "$header" = tilefold_vulkan.h ] && ! echo '#include <vulkan/vulkan_core.h>' | "$CC" -fsyntax-only -x c - 2>/dev/null; then
        echo "skipped: $header, as there is no <vulkan/vulkan_core.h>"
        continue
    fi
    count=$((count + 1))
    try "$header" "$CC" -std=c11 -x c
    [ -z "${CXX:-}" ] || try "$header" "$CXX" -std=c++11 -x c++
done
echo "$count headers"
[ $count -gt 0 ] && [ $failed = 0 ] || exit 1
[ -n "${CXX:-}" ] || { echo "skipped: no C++ compiler"; exit 77; }
