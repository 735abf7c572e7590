#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What arrays larger than memory cost: `tilefold conv` on files, with a ceiling on the process's memory (a control group, caches of files
included; making one takes root) and without, from files that are in no cache until the output is on the disk. Prints a line a run; --write draws the curve of
docs/reliability.md and prints its table.

    bench/larger_than_memory.py build/tilefold --directory DIRECTORY-ON-A-DISK [--smallest MIB] [--largest MIB] [--ceiling MIB] [--write]
"""
import argparse
import json
import os
import pathlib
import resource
import subprocess
import sys
import time

import numpy as np

DOCS = pathlib.Path(__file__).parent.parent / "docs"
sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "tests" / "cli"))
from memory_group import MemoryGroup, forget

MIB = 1 << 20
CHANNELS = 32
# name, operation, layout, spatial sizes for so many elements of a channel, output channels, stride
CASES = (
    ("1-D, channels-first", "conv", "channels-first", lambda n: (n,), 32, "1"),
    ("2-D, channels-first", "conv", "channels-first", lambda n: (n // 4096, 4096), 32, "1"),
    ("2-D, channels-last", "conv", "channels-last", lambda n: (n // 4096, 4096), 32, "1"),
    ("3-D, channels-first", "conv", "channels-first", lambda n: (n // 65536, 256, 256), 32, "1"),
    ("2-D transposed, channels-first", "conv-transpose", "channels-first", lambda n: (n // 4096, 4096), 8, "2"),
)


def write_data(path, bytes):
    block = np.random.default_rng(1).standard_normal(MIB, dtype=np.float32)
    with open(path, "wb") as file:
        file.write(bytearray(128))
        for _ in range(bytes // block.nbytes):
            block.tofile(file)


def set_shape(path, shape):
    """Rewrites the header: the same bytes are an array of any shape."""
    header = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {tuple(shape)}, }}"
    text = b"\x93NUMPY\x01\x00" + (118).to_bytes(2, "little") + header.ljust(117).encode() + b"\n"
    assert len(text) == 128
    with open(path, "r+b") as file:
        file.write(text)


def save_weight(path, rank, operation, layout, outputs):
    weight = np.random.default_rng(2).standard_normal((outputs, CHANNELS) + (3,) * rank, dtype=np.float32)
    if layout == "channels-last":
        weight = np.moveaxis(weight, 1, -1)
    elif operation == "conv-transpose":
        weight = np.moveaxis(weight, 1, 0)
    np.save(path, np.ascontiguousarray(weight))


def run(arguments, directory, group):
    """Seconds, processor seconds, MiB read, MiB resident."""
    if not forget(directory / "in.npy"):
        sys.exit(f"{directory} is on a file system that keeps its files in memory")
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    process = subprocess.run(arguments, cwd=directory, capture_output=True, check=True,
                             preexec_fn=group.join if group else None)
    with open(directory / "out.npy", "rb") as output:
        os.fsync(output.fileno())
    seconds, after = time.monotonic() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    os.remove(directory / "out.npy")
    figures = json.loads(process.stdout)
    busy = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return seconds, busy, (after.ru_inblock - before.ru_inblock) * 512 / MIB, figures["peak_rss_bytes"] / MIB


def measure(options, group):
    directory = pathlib.Path(options.directory)
    found = []
    mebibytes = options.smallest
    while mebibytes <= options.largest:
        write_data(directory / "in.npy", mebibytes * MIB)
        for name, operation, layout, spatial, outputs, stride in CASES:
            sizes = spatial(mebibytes * MIB // 4 // CHANNELS)
            set_shape(directory / "in.npy", (1, *sizes, CHANNELS) if layout == "channels-last" else (1, CHANNELS, *sizes))
            save_weight(directory / "w.npy", len(sizes), operation, layout, outputs)
            arguments = [os.path.abspath(options.tilefold), operation, "in.npy", "w.npy", "-o", "out.npy", "--layout", layout,
                         "--padding", "1", "--stride", stride, "--json"]
            for ceiling in (None, group):
                runs = [run(arguments, directory, ceiling) for _ in range(options.runs)]
                seconds, busy, read, resident = min(runs)
                found.append({"name": name, "mebibytes": mebibytes, "ceiling": bool(ceiling), "seconds": seconds, "busy": busy,
                              "read": read / mebibytes, "resident": resident})
                print(json.dumps(found[-1]), flush=True)
        mebibytes *= 2
    os.remove(directory / "in.npy")
    os.remove(directory / "w.npy")
    return found


def select(found, name, ceiling):
    return [one for one in found if one["name"] == name and one["ceiling"] == ceiling]


def table(found):
    print("\n| arrays | seconds | under the ceiling | ratio | processor time, ratio | input read | resident |\n|---|---|---|---|---|---|---|")
    for name, *_ in CASES:
        free, bound = select(found, name, False)[-1], select(found, name, True)[-1]
        print(f"| {name}, {bound['mebibytes'] / 1024:g} GiB in and out | {free['seconds']:.1f} | {bound['seconds']:.1f} | "
              f"{bound['seconds'] / free['seconds']:.2f} | {bound['busy'] / free['busy']:.2f} | {bound['read']:.3f} times | "
              f"{bound['resident']:.0f} MiB |")


def draw(found, ceiling, path):
    import matplotlib.pyplot as plt
    import pictures
    figure, (seconds, read) = plt.subplots(1, 2, figsize=(9, 3.4))
    for number, (name, *_) in enumerate(CASES):
        bound = select(found, name, True)
        sizes = [one["mebibytes"] / 1024 for one in bound]
        colour = f"C{number}"
        seconds.plot(sizes, [one["seconds"] / one["mebibytes"] * 1024 for one in bound], "o-", color=colour, label=name)
        seconds.plot(sizes, [one["seconds"] / one["mebibytes"] * 1024 for one in select(found, name, False)], "--", color=colour,
                     linewidth=0.8)
        read.plot(sizes, [one["read"] for one in bound], "o-", color=colour)
    for axes, title in ((seconds, f"seconds for a GiB of output\nunder a ceiling of {ceiling} MiB, and (dashed) without"),
                        (read, f"how often the input is read\nunder a ceiling of {ceiling} MiB")):
        axes.set(title=title, xscale="log", xlabel="GiB of input, and as many of output")
        axes.set_ylim(0, 1.25 * axes.get_ylim()[1])
        axes.set_xticks(sizes, [f"{size:g}" for size in sizes])
        axes.minorticks_off()
        axes.grid(alpha=0.3, linewidth=0.5)
    figure.legend(loc="upper center", bbox_to_anchor=(0.5, 0), ncols=3, frameon=False)
    pictures.save(figure, path)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tilefold")
    parser.add_argument("--directory", required=True)
    parser.add_argument("--smallest", type=int, default=128)
    parser.add_argument("--largest", type=int, default=2048, help="MiB of the input, and as many of the output")
    parser.add_argument("--ceiling", type=int, default=256, help="MiB")
    parser.add_argument("--runs", type=int, default=2)
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--from", dest="saved", help="lines that were printed before, to draw them again")
    options = parser.parse_args()
    if options.saved:
        with open(options.saved) as file:
            found = [json.loads(line) for line in file if line.startswith("{")]
    else:
        group = MemoryGroup.make()
        if not group:
            sys.exit("no control group can be made here")
        group.set_limit(options.ceiling * MIB)
        try:
            found = measure(options, group)
        finally:
            group.remove()
    if options.write:
        table(found)
        draw(found, options.ceiling, DOCS / "pictures" / "larger-than-memory.svg")


if __name__ == "__main__":
    main()
