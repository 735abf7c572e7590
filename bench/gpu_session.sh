#!/bin/sh
# SPDX-License-Identifier: MIT
# All that a GPU is to be asked when one is at hand, in one call of less than ten minutes: builds, checks, then times both suites in fp32
# and fp16, beside cuDNN (PyTorch) and ncnn where Python has them. Everything goes into one file of results, as it comes.
#
#   bench/gpu_session.sh [RESULTS]        gpu_session.txt unless given
#
# DEVICE=vulkan:1 chooses another device, PYTHON another Python (of numpy, torch, ncnn), SECONDS_EACH how long a part of the
# measurement may take (40). A part that runs out of time keeps what it has printed. Exit status 1 where a check failed.
set -u

results=$(realpath -m "${1:-gpu_session.txt}")
device=${DEVICE:-vulkan}
python=${PYTHON:-python3}
each=${SECONDS_EACH:-40}
cd "$(dirname "$0")/.." || exit 1
build=build/gpu
: >"$results"
failed=0

tell() { echo "== $*" | tee -a "$results"; }

# part SECONDS COMMAND...: what it says, and how it ended
part() {
    seconds=$1
    shift
    tell "$*"
    timeout -k 5 "$seconds" "$@" >"$results.part" 2>&1
    status=$?
    cat "$results.part" >>"$results"
    rm -f "$results.part"
    tell "status $status$([ $status = 124 ] && echo ': out of time')"
    return $status
}

check() { part "$@" || failed=1; }

tell "tilefold $(git describe --always --dirty 2>/dev/null || echo 'of no repository')"
part 60 cmake -S . -B $build -DCMAKE_BUILD_TYPE=Release -DTILEFOLD_VULKAN=ON &&
    part 240 cmake --build $build --parallel "$(getconf _NPROCESSORS_ONLN)" || exit 1
part 20 $build/tilefold devices

# Right first. The tests are there where cmocka is.
number=${device#vulkan}
number=${number#:}
export TILEFOLD_TEST_VULKAN="${number:-0}"
for test in test_vulkan_tiles test_vulkan_device test_vulkan_sums; do
    [ -x $build/tests/$test ] && check 40 $build/tests/$test
done
[ -x $build/tests/test_operator ] && check 60 env TILEFOLD_TEST_SCALE=0.01 $build/tests/test_operator
unset TILEFOLD_TEST_VULKAN
check 60 $build/tilefold selftest

# Then fast: alone, and beside the peers that are there.
for suite in bench/shapes.tsv bench/shapes-timm.tsv; do
    for type in f32 f16; do
        part "$each" $build/tilefold bench --device "$device" --suite $suite --dtype $type
    done
done
for peer in torch ncnn; do
    "$python" -c "import numpy, $peer" 2>/dev/null || { tell "no $peer here"; continue; }
    for type in f32 f16; do
        part "$each" "$python" -u bench/compare_vulkan.py $build/tilefold --device "$device" --peer $peer --dtype $type \
            --budget 2 --rounds 1
    done
done
tell "checks: $([ $failed = 0 ] && echo all passed || echo FAILED)"
exit $failed
