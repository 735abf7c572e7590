# SPDX-License-Identifier: MIT
"""One problem through all libraries: built, checked, timed in turns, their memory measured. Gives records for results.py."""
import concurrent.futures
import math
import os
import pathlib
import tempfile
import time

import workers

BOUNDS = {"exact": 2e-4, "fast": 1e-2}  # of differences, in units of a problem's magnitude
HOPELESS = 4  # times as slow as the fastest
OURS = "tilefold"


class Entry:
    """One library in one layout on one problem."""

    def __init__(self, worker, layout):
        self.worker, self.layout = worker, layout
        self.rounds, self.failure, self.variant, self.note, self.error, self.memory = [], None, None, "", None, None

    def attempt(self, do, **arguments):
        """The answer; or None, and then the entry has failed for good."""
        if self.failure:
            return None
        try:
            return self.worker.call(do, layout=self.layout, **arguments)
        except workers.Failed as reason:
            self.failure = str(reason)
            return None

    def build(self, problem):
        answer = self.attempt("build", line=problem.line)
        if answer:
            self.variant, self.note = answer["variant"], answer["note"]

    def judge(self, answer, bound):
        if answer:
            self.error = max(answer["error"], self.error or 0)
            if not self.error <= bound:
                self.failure = f"WRONG: off by {self.error:.2g} of the magnitude, {bound:g} is allowed"

    def time(self, seconds):
        answer = self.attempt("time", seconds=seconds)
        if answer:
            self.rounds.append([answer["best"], answer["median"]])

    def best(self):
        return min((best for best, _ in self.rounds), default=math.inf)

    def measure_memory(self, problem):
        """In a process of its own: in this one others have left their traces."""
        try:
            fresh = self.worker.clone(sorted(os.sched_getaffinity(0)))
            self.memory = fresh.call("memory", line=problem.line, layout=self.layout, variant=self.variant)
            fresh.close()
        except workers.Failed as reason:
            self.memory = {"failure": str(reason)}

    def record(self):
        return {"label": self.worker.label, "peer": self.worker.peer, "layout": self.layout, "failure": self.failure,
                "variant": self.variant, "note": self.note, "error": self.error, "rounds": self.rounds,
                "memory": self.memory}


def check(entries, bound):
    """Marks entries whose results are wrong as failed: ours by float64, all others by ours."""
    ours = [entry for entry in entries if entry.worker.peer == OURS]
    for entry in ours:
        entry.judge(entry.attempt("check"), bound)
    reference = next((entry for entry in ours if not entry.failure), None)
    if reference is None:
        return
    with tempfile.TemporaryDirectory() as folder:
        path = str(pathlib.Path(folder, "output.npy"))
        if reference.attempt("save", path=path) is None:
            return
        for entry in entries:
            if entry is not reference:
                entry.judge(entry.attempt("differ", path=path), bound)


def take_turns(entries, seconds, slot, most_rounds, pause):
    """Rounds of slots until the time is up, at least two. After those, who is too slow to matter has no more turns."""
    end, rounds = time.monotonic() + seconds, 0
    while rounds < 2 or (time.monotonic() < end and rounds < most_rounds):
        slowest = HOPELESS * min(map(Entry.best, entries), default=0) if rounds >= 2 else math.inf
        for entry in entries:
            if entry.best() <= slowest or entry.worker.peer == OURS or rounds < 2:
                entry.time(slot)
                time.sleep(pause)
        rounds += 1


def run(problem, everyone, layouts, seconds, options):
    """A problem in some layouts. Libraries that do not have a layout run in theirs, once."""
    places = dict.fromkeys((worker, layout if layout in worker.layouts else worker.layouts[0])
                           for layout in layouts for worker in everyone)
    entries = [Entry(worker, layout) for worker, layout in places]
    for entry in entries:
        entry.build(problem)
    check(entries, BOUNDS[options.math])
    pause = 0.03 if options.threads > 1 else 0  # pools of threads spin for a while before they sleep
    take_turns([entry for entry in entries if not entry.failure], seconds, options.slot, options.rounds, pause)
    for worker in everyone:
        worker.call("drop")
    if options.memory:
        with concurrent.futures.ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
            list(pool.map(lambda entry: entry.failure or entry.measure_memory(problem), entries))
    return {"name": problem.name, "kind": problem.kind, "line": problem.line, "macs": problem.macs,
            "entries": [entry.record() for entry in entries]}
