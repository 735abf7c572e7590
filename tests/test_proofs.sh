#!/bin/sh
# SPDX-License-Identifier: MIT
# Proves tests/proofs/sizes.c and formulas.c with CBMC (https://www.cprover.org/cbmc; a package of Debian 11 and 13). A skip where there is none.
set -u

cbmc=${TILEFOLD_CBMC:-$(command -v cbmc)}
[ -n "$cbmc" ] || { echo "skipped: no cbmc"; exit 77; }

here=$SOURCE/tests/proofs
output=$(mktemp)
trap 'rm -f "$output"' EXIT
proved=0 failed=0
prove() { # kind, file, functions
    kind=$1 file=$2
    shift 2
    for name; do
        "$cbmc" "$here/$file" --function "prove_$name" -DPROVE_"$kind" -I "$SOURCE/src" -I "$SOURCE/include" --c11 --64 \
            --signed-overflow-check --div-by-zero-check --conversion-check --undefined-shift-check --bounds-check --pointer-check \
            --unwind 14 --unwinding-assertions >"$output" 2>&1
        if grep -q '^VERIFICATION SUCCESSFUL$' "$output"; then
            echo "proved: $name"
            proved=$((proved + 1))
        else
            echo "NOT proved: $name"
            grep -E 'FAILURE|rror' "$output" | head -20
            failed=1
        fi
    done
}
prove WIDE sizes.c add saturating_add min_max
prove NARROW sizes.c multiply saturating_multiply divisions round_up gcd inverse
prove ABSTRACT formulas.c output_size reach dense_strides
echo "$proved proofs"
[ $failed = 0 ]
