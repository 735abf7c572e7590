#!/bin/sh
# SPDX-License-Identifier: MIT
# Formats the C sources in place; with --check only says where they are not formatted, and fails.
set -eu
cd "$(dirname "$0")/.."

sources() { find include src cli demo examples python tests tools -name '*.[ch]' | LC_ALL=C sort; }

if [ "${1:-}" = --check ]; then
    wrong=$(sources | xargs clang-format --dry-run -Werror 2>&1 | grep -o '^[^ :]*:[0-9]*' | uniq || true)
    [ -n "$wrong" ] || exit 0
    echo "not as clang-format leaves it (make format):"
    echo "$wrong"
    exit 1
fi
sources | xargs clang-format -i
