#!/bin/sh
# SPDX-License-Identifier: MIT
# The library and the command line for Windows and macOS, compiled and linked by zig without warnings; what is built for Windows
# computes the golden bits where wine runs it. A skip without zig: TILEFOLD_ZIG, zig in PATH, or ziglang in python3's packages.
set -u

skip() {
    echo "skipped: $1"
    exit 77
}

zig=${TILEFOLD_ZIG:-$(command -v zig)}
if [ -z "$zig" ]; then
    python3 -c 'import ziglang' 2>/dev/null || skip "no zig (pip install ziglang)"
    zig=$(command -v python3)
fi

failed=0
build_for() {
    folder=$BUILD/ports-$1
    "$CMAKE" -S "$SOURCE" -B "$folder" --toolchain "$SOURCE/cmake/zig.cmake" -DTILEFOLD_ZIG="$zig" -DTILEFOLD_ZIG_TARGET="$2" \
        -DTILEFOLD_WERROR=ON -DTILEFOLD_TESTS=OFF -DTILEFOLD_DEMO=OFF -DCMAKE_BUILD_TYPE=Release -DCMAKE_C_FLAGS_RELEASE="$3" \
        >"$folder.log" 2>&1 &&
        "$CMAKE" --build "$folder" --parallel 2 --target tilefold_shared tilefold_cli >>"$folder.log" 2>&1 && return
    echo "$2 does not build:"
    grep -E 'rror|arning' "$folder.log" | head -20
    failed=1
}

build_for windows x86_64-windows-gnu -O1 # fast enough for the self-test
build_for macos aarch64-macos.11.0 -O0
[ $failed = 0 ] || exit 1

wine=$(command -v wine || command -v wine64) || {
    echo "built, not run: no wine"
    exit 0
}
export WINEDEBUG=-all WINEPREFIX="$BUILD/ports-wine"
"$wine" "$BUILD/ports-windows/tilefold.exe" selftest
