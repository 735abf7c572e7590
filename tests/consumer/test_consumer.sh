#!/bin/sh
# SPDX-License-Identifier: MIT
# Installs the library into a folder, moves that folder, and has someone else's project find it there: by find_package,
# and by pkg-config both with the shared library and with only the static one.
set -eu

[ -n "${CXX:-}" ] || { echo "skipped: no C++ compiler"; exit 77; }
command -v pkg-config >/dev/null || { echo "skipped: no pkg-config"; exit 77; }

here=$SOURCE/tests/consumer
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
version=$(sed -n 's/^#define TILEFOLD_VERSION_[A-Z]* \([0-9]*\)$/\1/p' "$SOURCE/include/tilefold.h" | paste -sd.)

check() { # check PROGRAM: runs, and prints the version
    said=$("$1") || { echo "$1 failed"; exit 1; }
    [ "$said" = "$version" ] || { echo "$1 printed '$said', not $version"; exit 1; }
    echo "ok: ${1#"$work"/}"
}

"$CMAKE" --install "$BUILD" --prefix "$work/staged" >/dev/null
mv "$work/staged" "$work/prefix"
libdir=$(dirname "$(find "$work/prefix" -name libtilefold.a)")
soname=libtilefold.so.${version%.*} # while the major version is 0; then libtilefold.so.MAJOR
[ -e "$libdir/$soname" ] || { echo "no $soname in $libdir"; exit 1; }

"$CMAKE" -S "$here" -B "$work/build" -DCMAKE_C_COMPILER="$CC" -DCMAKE_CXX_COMPILER="$CXX" \
    -DCMAKE_PREFIX_PATH="$work/prefix" >"$work/log" 2>&1 || { cat "$work/log"; exit 1; }
"$CMAKE" --build "$work/build" >"$work/log" 2>&1 || { cat "$work/log"; exit 1; }
for program in "$work"/build/consumer_*; do
    check "$program"
done

export PKG_CONFIG_PATH="$libdir/pkgconfig"
[ "$(pkg-config --modversion tilefold)" = "$version" ] || { echo "pkg-config has another version"; exit 1; }
# shellcheck disable=SC2046 # flags are words
"$CC" "$here/consumer.c" $(pkg-config --cflags --libs tilefold) -Wl,-rpath,"$libdir" -o "$work/shared_c"
# shellcheck disable=SC2046
"$CXX" "$here/consumer.cpp" $(pkg-config --cflags --libs tilefold) -Wl,-rpath,"$libdir" -o "$work/shared_cpp"
check "$work/shared_c"
check "$work/shared_cpp"

rm "$libdir"/libtilefold.so*
# shellcheck disable=SC2046
"$CC" "$here/consumer.c" $(pkg-config --static --cflags --libs tilefold) -o "$work/static_c"
check "$work/static_c"
