#!/bin/sh
# SPDX-License-Identifier: MIT
# Each public header compiles alone in C11 and in C++11, without a warning.
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
    count=$((count + 1))
    try "$header" "$CC" -std=c11 -x c
    [ -z "${CXX:-}" ] || try "$header" "$CXX" -std=c++11 -x c++
done
echo "$count headers"
[ $count -gt 0 ] && [ $failed = 0 ] || exit 1
[ -n "${CXX:-}" ] || { echo "skipped: no C++ compiler"; exit 77; }
