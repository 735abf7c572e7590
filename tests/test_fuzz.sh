#!/bin/sh
# SPDX-License-Identifier: MIT
# The fuzz targets under libFuzzer, for a fixed number of inputs from a fixed seed, begun from the corpora: preset `fuzz`, built in a
# folder of its own. A skip without a clang that has libFuzzer and the sanitizers.
set -u

skip() {
    echo "skipped: $1"
    exit 77
}

clang=$(command -v clang) || skip "no clang"
mkdir -p "$BUILD/fuzz"
echo 'int LLVMFuzzerTestOneInput(const unsigned char *d, unsigned long n) { return d && n ? 0 : 0; }' >"$BUILD/fuzz/probe.c"
"$clang" -fsanitize=fuzzer,address,undefined "$BUILD/fuzz/probe.c" -o "$BUILD/fuzz/probe" 2>"$BUILD/fuzz/probe.log" &&
    "$BUILD/fuzz/probe" -runs=1 2>>"$BUILD/fuzz/probe.log" || skip "this clang makes no fuzz targets (Debian: libclang-rt-dev)"

"$CMAKE" -S "$SOURCE" --preset fuzz -B "$BUILD/fuzz" >"$BUILD/fuzz.log" 2>&1 &&
    "$CMAKE" --build "$BUILD/fuzz" --parallel 2 --target fuzzers >>"$BUILD/fuzz.log" 2>&1 || {
    echo "the fuzz targets do not build:"
    tail -30 "$BUILD/fuzz.log"
    exit 1
}

export UBSAN_OPTIONS=print_stacktrace=1 ASAN_OPTIONS=allocator_may_return_null=1
status=0
run() { # target, runs, options
    name=$1 runs=$2
    shift 2
    work=$BUILD/fuzz/work-$name
    rm -rf "$work"
    mkdir -p "$work"
    if ! "$BUILD/fuzz/tests/fuzz/fuzz_$name" -runs="$runs" -seed=20261121 -max_len=400 -timeout=120 -rss_limit_mb=4096 \
        -artifact_prefix="$work/" "$@" "$work" "$SOURCE/tests/fuzz/corpus/$name" >"$work.log" 2>&1; then
        echo "fuzz_$name:"
        tail -60 "$work.log"
        status=1
    fi
    grep -E '^#[0-9]+[[:space:]]+DONE' "$work.log" | sed "s/^/fuzz_$name: /"
}
run npy 200000
run options 30000 -dict="$SOURCE/tests/fuzz/options.dict"
run plan 400
run execute 60
exit $status
