# SPDX-License-Identifier: MIT
"""Convolutions of an array that no worker's memory holds, on two worker processes with a limit each.

    pip install . "dask[array,distributed]"
    python examples/dask_cluster.py                                  16 GiB on two workers of 1 GiB
    python examples/dask_cluster.py --array 100GiB --memory 2GiB --workers 4

The array is made chunk by chunk, from a formula, where it is needed; its convolution (one-sided padding, stride 3 along the
rows) and its transposed convolution (stride 2 along them) are reduced chunk by chunk to a number each. A window of each is
computed anew in this process, from the formula alone, and must have the same bits as on the cluster.
"""

import argparse
import resource
import sys
import time

import dask
import dask.array
import numpy
import tilefold.dask
from dask.utils import format_bytes, parse_bytes
from distributed import Client, LocalCluster

CHANNELS = 4
CALLS = {
    "conv2d": dict(stride=(3, 1), padding=((4, 0), (1, 2)), dilation=(2, 1)),
    "conv_transpose2d": dict(stride=(2, 1), padding=1, output_padding=(1, 0)),
}


def pattern(begin, size):
    """Elements [begin, begin + size) of the input, multiples of 1/256 below 1 that look random."""
    c, y, x = (numpy.arange(b, b + s).astype(numpy.uint32) for b, s in zip(begin, size))
    mixed = (c[:, None, None] * 131 + y[:, None] * 29 + x * 7 + y[:, None] * x) * numpy.uint32(2654435761)
    return (mixed >> 24).astype(numpy.float32)[None] / 256


def block(block_info=None):
    """A chunk of it."""
    where = block_info[None]["array-location"][1:]
    return pattern([begin for begin, _ in where], [end - begin for begin, end in where])


def make_array(array_bytes, chunk_bytes):
    """About so large, of square chunks, in two rows of as many columns as that takes."""
    side = int((chunk_bytes / 4 / CHANNELS) ** 0.5)
    shape = 1, CHANNELS, 2 * side, -(-array_bytes // (2 * side * 4 * CHANNELS))
    chunks = dask.array.core.normalize_chunks((1, CHANNELS, side, side), shape)
    return dask.array.map_blocks(block, chunks=chunks, dtype="float32", meta=numpy.empty((0,) * 4, "float32"))


def in_this_process(op, x, weight, begin, size):
    """A window of the result, from the window of the input that it needs."""
    plan = tilefold.plan(op, x.shape, weight.shape, **CALLS[op])
    needed, count = plan.input_window(begin, size)
    part = pattern((0, *needed), (CHANNELS, *count))
    return plan.window(part, plan.pack(weight), begin=begin, size=size)


def run(op, x):
    weight = numpy.random.default_rng(1).standard_normal((CHANNELS, CHANNELS, 5, 4)).astype("float32")
    y = getattr(tilefold.dask, op)(x, weight, **CALLS[op])
    begin = y.shape[2] // 3, y.chunks[3][0] - 20  # over a border of chunks
    start = time.perf_counter()
    total, got = dask.compute((y * y).sum(dtype="float64"), y[:, :, begin[0]:begin[0] + 30, begin[1]:begin[1] + 40])
    print(f"{op}: a result of {format_bytes(y.nbytes)} in {y.npartitions} chunks, sum of squares {total:.6g}, "
          f"{time.perf_counter() - start:.1f} s")
    same = numpy.array_equal(got, in_this_process(op, x, weight, begin, (30, 40)))
    print(f"{op}: a window computed in this process has {'the same bits' if same else 'OTHER BITS'}")
    return same


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--array", default="16GiB", type=parse_bytes, help="how large the input is")
    parser.add_argument("--memory", default="1GiB", type=parse_bytes, help="of each worker, at most")
    parser.add_argument("--workers", default=2, type=int)
    arguments = parser.parse_args()
    with LocalCluster(n_workers=arguments.workers, threads_per_worker=1, memory_limit=arguments.memory,
                      dashboard_address=None) as cluster, Client(cluster) as client:
        x = make_array(arguments.array, arguments.memory // 64)
        print(f"{arguments.workers} workers of {format_bytes(arguments.memory)} each, an input of {format_bytes(x.nbytes)} in "
              f"{x.npartitions} chunks")
        same = [run(op, x) for op in CALLS]
        peaks = client.run(lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024))
        print("largest resident memory of each worker:", ", ".join(map(format_bytes, peaks.values())))
    return 0 if all(same) else 1


if __name__ == "__main__":
    sys.exit(main())
