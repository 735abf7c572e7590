#!/bin/sh
# SPDX-License-Identifier: MIT
# The C sources are as clang-format 14 leaves them; another version differs in details, so it does not judge.
set -u

version=$(clang-format --version 2>/dev/null | sed 's/.*version \([0-9]*\).*/\1/')
[ "$version" = 14 ] || { echo "skipped: clang-format is ${version:-not there}, not 14"; exit 77; }
"$SOURCE/tools/format.sh" --check
