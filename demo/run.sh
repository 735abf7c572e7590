#!/bin/sh
# SPDX-License-Identifier: MIT
# The main job: builds the demo and runs it on a recording.
#
#   demo/run.sh [FILE.wav]        or: make demo WAV=FILE.wav
#
# Without a file it takes a speech sample of Debian's alsa-utils. Everything is written to build/demo.
set -eu

wav=${1:-${WAV:-}}
case $wav in
    '' | /*) ;;
    *) wav=$PWD/$wav ;;
esac
cd "$(dirname "$0")/.."

# libsndfile reads and writes recordings; gnuplot draws the picture; alsa-utils holds the speech sample.
tools/bootstrap.sh libsndfile1-dev gnuplot-nox
if [ -z "$wav" ]; then
    wav=/usr/share/sounds/alsa/Front_Center.wav
    [ -f "$wav" ] || tools/bootstrap.sh alsa-utils
fi
if [ ! -f "$wav" ]; then
    echo "demo: there is no file $wav; name another (make demo WAV=FILE.wav), or install alsa-utils and name none" >&2
    exit 1
fi

cmake --preset default >/dev/null
cmake --build build --parallel "$(nproc)" --target tilefold_demo

output=build/demo
rm -rf "$output"
mkdir -p "$output"
echo
status=0
build/tilefold-demo "$wav" "$output" || status=$?
[ -f "$output/limits.dat" ] || exit "$status"
gnuplot -c demo/limits.gnuplot "$output/limits.dat" "$output/limits.svg"

echo
echo "Written:"
for file in "$output"/*.wav; do
    echo "  $file   the recording that came back"
done
echo "  $output/limits.svg   memory and time against the limit, for a browser"
echo "  $output/limits.dat   its data"
exit "$status"
