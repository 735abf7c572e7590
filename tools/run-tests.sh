#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Builds and tests every configuration, and counts: the last line is "N passed, N failed, N skipped" over all of them.
#
#   tools/run-tests.sh [JOBS] [PRESET...]
#
# A configuration that does not build, or runs no test, counts as one failure. The others run all the same.
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1

jobs=${1:-1}
shift || true
presets=("$@")
if [ ${#presets[@]} = 0 ]; then
    presets=(default minimal clang asan asan-vulkan tsan)
    [ "$(uname -m)" = aarch64 ] || presets+=(aarch64)
fi

passed=0 failed=0 skipped=0 broken=()

# The number that CTest's JUnit report gives for an attribute of the whole run.
report_count() {
    sed -n '/<testsuite /,/>/p' "$1" | tr '\n\t' '  ' | sed -n "s/.* $2=\"\([0-9]*\)\".*/\1/p"
}

# A fixed address layout: gcc 12's thread sanitizer does not start under every random one.
fixed_addresses() {
    if setarch --addr-no-randomize true 2>/dev/null; then setarch --addr-no-randomize "$@"; else "$@"; fi
}

run_preset() {
    local preset=$1 folder=build/$1 report
    [ "$preset" = default ] && folder=build
    echo
    echo "== $preset"
    if [ "$preset" = aarch64 ]; then
        tools/aarch64-sysroot.sh build/aarch64-sysroot || return
    fi
    cmake --preset "$preset" -DTILEFOLD_TESTS=ON >"$folder.configure.log" 2>&1 || { cat "$folder.configure.log"; return 1; }
    grep -E '^-- (cpuinfo|sndfile) ' "$folder.configure.log"
    cmake --build "$folder" --parallel "$jobs" >"$folder.build.log" 2>&1 || { cat "$folder.build.log"; return 1; }
    report=$PWD/$folder/tests.xml
    rm -f "$report"
    fixed_addresses ctest --preset "$preset" --parallel "$jobs" --output-junit "$report" </dev/null 2>&1
    [ -s "$report" ] || return 1

    local tests failures not_run
    tests=$(report_count "$report" tests)
    failures=$(report_count "$report" failures)
    not_run=$(($(report_count "$report" skipped) + $(report_count "$report" disabled)))
    [ "$tests" -gt 0 ] || return 1
    passed=$((passed + tests - failures - not_run))
    failed=$((failed + failures))
    skipped=$((skipped + not_run))
}

mkdir -p build
for preset in "${presets[@]}"; do
    if ! run_preset "$preset"; then
        broken+=("$preset")
        failed=$((failed + 1))
    fi
done

echo
[ ${#broken[@]} = 0 ] || echo "did not build, or ran no test: ${broken[*]}"
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" = 0 ] && [ "$passed" -gt 0 ]
