#!/bin/sh
# SPDX-License-Identifier: MIT
# clang-tidy over every source of the library and the command line that build/ compiles.
#
#   tools/lint.sh [JOBS]
set -eu
cd "$(dirname "$0")/.."
sed -n 's/^ *"file": "\(.*\)",*$/\1/p' build/compile_commands.json | grep -E '/(src|cli)/' | LC_ALL=C sort -u |
    xargs -P "${1:-1}" -n 1 clang-tidy -p build --quiet --warnings-as-errors='*'
