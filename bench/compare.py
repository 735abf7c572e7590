#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""tilefold beside other libraries on the CPU, fp32: the problems of a suite, in turns, in the same run.

    pip install numpy onnx onnxruntime openvino torch ncnn ai-edge-litert 'mlx[cpu]'     as many of them as you like
    bench/compare.py [--suite bench/shapes-timm.tsv] [--layout channels-last] [--kind depthwise] [--budget 300]

A library that is not there is named and left out. Each has a process of its own on the same cores; they take turns in slots
of some milliseconds, round after round, so that a noisy machine disturbs all alike, and while one runs the others sleep. A
problem is built once (session, compiled model, plan, packed weights) and then run again and again, each run a whole call from
arrays to arrays. Where a library has several ways to compute a problem, the fastest counts.

Layouts are of input and output. In channels-last, libraries that have it get it, others are timed in channels-first without
the conversion that they would need; XNNPACK and MLX have channels-last only and stand in both columns likewise.

Results are checked: tilefold's at 66 places against float64, everybody's everywhere against tilefold's. One that is wrong is
said to be so and does not count.

A ratio is the fastest peer's best time over tilefold's best time, above 1 where tilefold is faster; beside it, between
brackets, the median over the rounds of such ratios of medians.
"""
import argparse
import json
import math
import os
import pathlib
import statistics
import sys
import tempfile
import time

import peers
import suite
import workers

LAYOUTS = ("channels-first", "channels-last")
HOPELESS = 4  # times the fastest
BOUNDS = {"exact": 2e-4, "fast": 1e-2}  # of differences, in units of a problem's magnitude


class Entry:
    """One library in one layout on one problem: how it went."""

    def __init__(self, worker, layout):
        self.worker, self.layout = worker, layout
        self.rounds, self.failure, self.variant, self.error = [], None, None, None

    def attempt(self, do, **arguments):
        """The answer, or None where there is none: then the entry has failed for good."""
        if self.failure:
            return None
        try:
            return self.worker.call(do, layout=self.layout, **arguments)
        except workers.Failed as reason:
            self.failure = str(reason)
            return None

    def best(self):
        return min((slot["best"] for slot in self.rounds), default=math.inf) if not self.failure else math.inf

    def record(self):
        return {"layout": self.layout, "failure": self.failure, "variant": self.variant, "error": self.error,
                "rounds": [[slot["best"], slot["median"]] for slot in self.rounds]}


def taken_layout(worker, layout):
    return layout if layout in worker.layouts else worker.layouts[0]


def build_all(arguments, problem, entries):
    for entry in entries:
        answer = entry.attempt("build", line=problem.line)
        if answer:
            entry.variant = answer["variant"]


def check_all(arguments, problem, ours, entries, folder):
    """Marks entries with wrong results as failed."""
    bound = BOUNDS[arguments.math]
    path = str(pathlib.Path(folder, "output.npy"))
    for entry in ours:
        answer = entry.attempt("check")
        judge(entry, answer, bound)
    reference = next((entry for entry in ours if not entry.failure), None)
    if reference is None or reference.attempt("save", path=path) is None:
        return
    for entry in entries:
        if entry is not reference:
            judge(entry, entry.attempt("differ", path=path), bound)
    os.unlink(path)


def judge(entry, answer, bound):
    if answer:
        entry.error = max(answer["error"], entry.error or 0)
        if not entry.error <= bound:
            entry.failure = f"WRONG: off by {entry.error:.2g} of the magnitude, {bound:g} is allowed"


def time_all(arguments, entries, seconds):
    """Rounds of slots until the time is up, at least two. After those, who is too slow to matter has no more turns."""
    end, rounds = time.monotonic() + seconds, 0
    while rounds < 2 or (time.monotonic() < end and rounds < arguments.rounds):
        slowest = HOPELESS * min(map(Entry.best, entries), default=0) if rounds >= 2 else math.inf
        for entry in entries:
            if entry.best() > slowest and entry.worker.peer != "tilefold":
                continue
            answer = entry.attempt("time", seconds=arguments.slot)
            if answer:
                entry.rounds.append(answer)
            if arguments.threads > 1:
                time.sleep(0.03)  # pools spin for a while before they sleep
        rounds += 1


def ratios(ours, others):
    """The fastest peer's best time over ours, and the median over rounds of the ratio of medians; or None."""
    others = [other for other in others if not other.failure]
    if ours.failure or not others:
        return None
    count = max(len(other.rounds) for other in others)
    by_round = [min(other.rounds[i]["median"] for other in others if i < len(other.rounds)) / slot["median"]
                for i, slot in enumerate(ours.rounds[:count])]
    return min(other.best() for other in others) / ours.best(), statistics.median(by_round)


def run_problem(arguments, problem, library, others, seconds, folder):
    """Times a problem in the layouts asked for; gives the entries by layout, tilefold's first."""
    entries = {(worker.peer, taken_layout(worker, layout)): Entry(worker, taken_layout(worker, layout))
               for layout in arguments.layouts for worker in [library, *others]}
    ours = [entry for entry in entries.values() if entry.worker is library]
    every = list(entries.values())
    build_all(arguments, problem, every)
    check_all(arguments, problem, ours, every, folder)
    time_all(arguments, [entry for entry in every if not entry.failure], seconds)
    for worker in [library, *others]:
        worker.call("drop")
    return {layout: [entries[worker.peer, taken_layout(worker, layout)] for worker in [library, *others]]
            for layout in arguments.layouts}


def milliseconds(entry):
    return f"{entry.best() * 1e3:11.4f}" if not entry.failure else f"{'-':>11}"


def print_line(problem, layout, entries):
    ratio = ratios(entries[0], entries[1:])
    text = f"{ratio[0]:6.2f} ({ratio[1]:.2f})" if ratio else f"{'-':>6}"
    print(f"{problem.name:20} {problem.kind:17} {layout:14} {problem.macs / 1e9:8.4f}", *map(milliseconds, entries), text,
          flush=True)
    return ratio


def geometric_mean(values):
    return math.exp(sum(map(math.log, values)) / len(values))


def summarise(found):
    print(f"\n{'kind':17} {'layout':14} {'shapes':>6} {'mean':>6} {'least':>6} {'<0.95':>6} {'<1.00':>6}")
    for layout in dict.fromkeys(layout for _, layout, _ in found):
        for kind in (*suite.KINDS, "all"):
            values = [ratio for other, place, ratio in found if place == layout and kind in (other, "all")]
            if values:
                print(f"{kind:17} {layout:14} {len(values):6} {geometric_mean(values):6.2f} {min(values):6.2f} "
                      f"{sum(value < 0.95 for value in values):6} {sum(value < 1 for value in values):6}")


def open_workers(arguments):
    settings = {"threads": arguments.threads, "math": arguments.math}
    ours = settings | {"library": str(arguments.library), "limit": arguments.limit, "isa": arguments.isa}
    library = workers.Worker("tilefold", ours, arguments.cores, arguments.timeout)
    others = []
    for name in arguments.peer or peers.NAMES:
        try:
            others.append(workers.Worker(name, settings, arguments.cores, arguments.timeout))
        except workers.Absent as reason:
            print(f"left out: {name}: {reason}", file=sys.stderr)
    return library, others


def read_size(text):
    number, unit = text.rstrip("KMGiB"), text[len(text.rstrip("KMGiB")):]
    return int(number) << {"": 0, "B": 0, "KiB": 10, "MiB": 20, "GiB": 30}[unit]


def read_arguments(parser):
    parser.add_argument("--library", type=pathlib.Path, default=suite.SHAPES.parent.parent / "build" / "libtilefold.so")
    parser.add_argument("--suite", type=pathlib.Path, default=suite.SHAPES)
    parser.add_argument("--peer", action="append", choices=list(peers.NAMES), help="only this one; may be given again")
    parser.add_argument("--layout", action="append", choices=LAYOUTS, help="both unless given")
    parser.add_argument("--kind", action="append", choices=suite.KINDS, help="only this one; may be given again")
    parser.add_argument("--filter", default="", help="only problems with this in their name")
    parser.add_argument("--max-gmacs", type=float, default=math.inf, help="only problems of at most so many 10^9 multiply-adds")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--limit", type=read_size, default="16MiB", help="tilefold's scratch")
    parser.add_argument("--isa", default="best", help="tilefold's instruction set")
    parser.add_argument("--math", choices=list(BOUNDS), default="exact", help="fast: Winograd where a library has it")
    parser.add_argument("--budget", type=float, default=240, help="seconds of timing for all problems together, about")
    parser.add_argument("--slot", type=float, default=0.02, help="seconds that a library runs before the next has its turn")
    parser.add_argument("--rounds", type=int, default=25, help="at most so many turns each")
    parser.add_argument("--timeout", type=float, default=120, help="seconds after which a library is given up on a problem")
    parser.add_argument("--cores", type=lambda text: [int(core) for core in text.split(",")],
                        help="to run on; the last ones of those there are unless given")
    parser.add_argument("--save", type=pathlib.Path, help="everything measured, as JSON")
    arguments = parser.parse_args()
    arguments.layouts = arguments.layout or LAYOUTS
    arguments.cores = arguments.cores or sorted(os.sched_getaffinity(0))[-arguments.threads:]
    return arguments


def main():
    arguments = read_arguments(
        argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter))
    problems = [problem for problem in suite.read(arguments.suite, arguments.filter, arguments.max_gmacs)
                if problem.kind in (arguments.kind or suite.KINDS)]
    library, others = open_workers(arguments)
    print(f"milliseconds (best), fp32, threads: {arguments.threads}, {library.name} and",
          ", ".join(other.name for other in others))
    print(f"{'name':20} {'kind':17} {'layout':14} {'GMAC':>8}", *(f"{w.peer:>11}" for w in [library, *others]), " ratio")
    failures, found, records = [], [], []
    with tempfile.TemporaryDirectory() as folder:
        for problem in problems:
            results = run_problem(arguments, problem, library, others, arguments.budget / len(problems), folder)
            for layout, entries in results.items():
                ratio = print_line(problem, layout, entries)
                if ratio:
                    found.append((problem.kind, layout, ratio[0]))
                failures += [(problem.name, entry) for entry in entries if entry.failure]
                records.append({"name": problem.name, "kind": problem.kind, "layout": layout, "macs": problem.macs,
                                "entries": {entry.worker.peer: entry.record() for entry in entries}})
    if failures:
        print("\nnot there or not right:")
        for text in dict.fromkeys(f"    {name:20} {entry.worker.name}, {entry.layout}: {entry.failure}"
                                  for name, entry in failures):
            print(text)
    summarise(found)
    for worker in [library, *others]:
        worker.close()
    if arguments.save:
        arguments.save.write_text(json.dumps({
            "names": {worker.peer: worker.name for worker in [library, *others]}, "threads": arguments.threads,
            "math": arguments.math, "limit": arguments.limit, "problems": records}))
    return 1 if any(entry.worker is library for _, entry in failures) else 0


if __name__ == "__main__":
    sys.exit(main())
