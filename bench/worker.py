# SPDX-License-Identifier: MIT
"""One library in a process of its own: builds problems, checks them, times them and says how much memory they took.

Started by workers.py. Requests come as lines of JSON on standard input, answers go the same way to standard output; what a
library prints goes to standard error. Each has a process because libraries crash, bring thread pools and copies of each other
along, and because memory is counted by the process.
"""
import ctypes
import gc
import json
import os
import sys
import time

import numpy as np

import peers
import suite

C = ctypes.CDLL(None)
SAMPLES = 64  # outputs that are computed in float64
ALIGNMENT = 64  # bytes: a vector, a cache line


# ---------------------------------------------------------------------------------------------------------- measures ----


def time_runs(run, seconds, least=2):
    """One run that is not counted, to have the caches as the library wants them, then runs for so many seconds."""
    clock = time.perf_counter
    run()
    times, end = [], clock() + seconds
    while len(times) < least or clock() < end:
        begin = clock()
        run()
        times.append(clock() - begin)
    times.sort()
    return {"best": times[0], "median": times[len(times) // 2], "runs": len(times)}


def error_of(errors, problem):
    """The largest of some errors in units of the problem's magnitude; infinite where there is a NaN."""
    largest = float(errors.max(initial=0)) / problem.magnitude
    return largest if largest == largest else float("inf")


def resident():
    """Bytes in memory now, exactly, after giving back what is free."""
    gc.collect()
    C.malloc_trim(0)
    with open("/proc/self/smaps_rollup", encoding="ascii") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("Rss:")) * 1024


def reset_peak():
    with open("/proc/self/clear_refs", "w", encoding="ascii") as file:
        file.write("5")  # proc(5): sets VmHWM to what is resident now


def peak_resident():
    """The most bytes in memory since reset_peak(). The kernel counts in batches: some 100 KiB either way."""
    with open("/proc/self/status", encoding="ascii") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("VmHWM:")) * 1024


# ------------------------------------------------------------------------------------------------------------ server ----


def aligned(array):
    """A copy that lies where frameworks' own tensors do. NumPy's arrays are 16 bytes aligned, so that every vector of whoever reads
    them in place would lie in two cache lines, and of those who keep tensors of their own none."""
    room = np.empty(array.nbytes + ALIGNMENT, np.uint8)
    begin = -room.ctypes.data % ALIGNMENT
    copy = room[begin : begin + array.nbytes].view(array.dtype).reshape(array.shape)
    copy[...] = array
    return copy


def make_arrays(problem, layout):
    """The tensor in the layout, the weight in channels-first, an output that has been written to."""
    tensor, weight = problem.data()
    tensor, _ = problem.to_layout(layout, tensor, weight)
    output = np.full(problem.shape_in(layout, problem.output_shape), np.nan, np.float32)
    return aligned(tensor), aligned(weight), aligned(output)


def to_channels_first(layout, array):
    return np.moveaxis(array, -1, 1) if layout == "channels-last" else array


class Server:
    def __init__(self, name, settings):
        self.peer = peers.load(name, peers.Settings(**settings))
        self.built = {}

    def describe(self):
        return {"name": self.peer.name, "layouts": self.peer.layouts}

    def build(self, line, layout):
        """Builds every variant and keeps the fastest."""
        problem = suite.parse(line)
        arrays, found, reasons = make_arrays(problem, layout), [], []
        for variant in self.peer.variants(problem, layout):
            try:
                built = self.peer.build(problem, layout, variant, *arrays)
                built.run()
                found.append((time_runs(built.run, 0.01, 1)["best"], variant, built))
            except peers.NotSupported as reason:
                reasons.append(str(reason))
        if not found:
            raise peers.NotSupported("; ".join(dict.fromkeys(reasons)))
        _, variant, built = min(found, key=lambda entry: entry[0])
        self.built[layout] = problem, arrays, built
        return {"variant": variant, "note": built.note}

    def time(self, layout, seconds):
        return time_runs(self.built[layout][2].run, seconds)

    def drop(self):
        self.built.clear()
        gc.collect()
        return {}

    def output(self, layout):
        problem, _, built = self.built[layout]
        result = built.result()
        if list(result.shape) != problem.shape_in(layout, problem.output_shape):
            raise peers.NotSupported(f"it gives shape {list(result.shape)}")
        return to_channels_first(layout, result)

    def check(self, layout):
        """The largest error of some outputs, corners among them, against float64, in units of the problem's magnitude."""
        problem, arrays, _ = self.built[layout]
        tensor, output = to_channels_first(layout, arrays[0]), self.output(layout)
        random = np.random.default_rng(1)
        places = [[0] * output.ndim, [size - 1 for size in output.shape]]
        places += [random.integers(0, output.shape).tolist() for _ in range(SAMPLES)]
        errors = [abs(float(output[tuple(at)]) - problem.output_at(tensor, arrays[1], at)[0]) for at in places]
        return {"error": error_of(np.array(errors), problem)}

    def save(self, layout, path):
        np.save(path, self.output(layout))
        return {}

    def differ(self, layout, path):
        """The largest difference from an output that another library saved, over all of it, in the same units."""
        return {"error": error_of(np.abs(self.output(layout) - np.load(path, mmap_mode="r")), self.built[layout][0])}

    def memory(self, line, layout, variant, runs=3):
        """Bytes that a convolution takes beside its tensors (input, output, the weight as it came), all of them written
        before counting begins: those that stay once it is built, and how many more there are while it runs.

        The first use of a library brings in its code, pools and tables: a small problem of the kind goes before."""
        problem = suite.parse(line)
        small = problem.shrink()
        arrays = make_arrays(small, layout)  # which libraries have by their addresses, so they must outlive the runs
        built = self.peer.build(small, layout, variant, *arrays)
        built.run()
        del built
        arrays = make_arrays(problem, layout)
        before = resident()
        built = self.peer.build(problem, layout, variant, *arrays)
        after = resident()
        reset_peak()
        for _ in range(runs):
            built.run()
        return {"built": max(after - before - built.copied_bytes, 0),
                "running": max(peak_resident() - after - built.output_bytes, 0), "planned": built.planned_bytes}


def main():
    name, settings, cores = sys.argv[1], json.loads(sys.argv[2]), json.loads(sys.argv[3])
    os.sched_setaffinity(0, cores)
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)

    def answer(content):
        answers.write(json.dumps(content) + "\n")
        answers.flush()
    try:
        server = Server(name, settings)
    except ImportError as error:
        return answer({"absent": str(error)})
    answer(server.describe())
    for line in sys.stdin:
        request = json.loads(line)
        try:
            answer(getattr(server, request.pop("do"))(**request))
        except peers.NotSupported as reason:
            answer({"refused": str(reason)})
    return None


if __name__ == "__main__":
    main()
