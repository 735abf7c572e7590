#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Measures what docs/benchmarks.md says of the CPU and writes its tables and pictures. On a quiet machine:

    bench/benchmarks.py                  everything: two suites, both layouts, one thread and all, memory; more than an hour
    bench/benchmarks.py founding         one part of it (see parts()), and writes what has been measured so far
    bench/benchmarks.py --share 0.2      the same in a fifth of the time: fewer turns of each library at each shape
    bench/benchmarks.py --write-only     measures nothing

What was measured lies in build/bench/*.json. The libraries are those of compare.py, those that are not there are left out.
"""
import argparse
import json
import os
import pathlib
import subprocess
import sys

import pictures
import report
import results

ROOT = pathlib.Path(__file__).resolve().parent.parent
BENCH, MEASURED, DOCS = ROOT / "bench", ROOT / "build" / "bench", ROOT / "docs"
SUITES = {"shapes": BENCH / "shapes.tsv", "timm": BENCH / "shapes-timm.tsv"}
LIMITS = ["--limit", "16MiB", "--limit", "64KiB", "--limit", "1MiB", "--limit", "none"]
FOUNDING = {"seed_b": "B: 3×3, 64→64 channels, 256×256", "seed_a": "A: inverse STFT, kernel 4096, stride 1024"}


def parts(share=1.0):
    """Their names and what compare.py is told for each, in this share of the time that they are worth."""
    everything = {}
    for name, path in SUITES.items():
        everything[f"{name}-1"] = ["--suite", path, *LIMITS, "--memory", "--budget", 1200 * share]
    for name, path in SUITES.items():
        everything[f"{name}-all"] = ["--suite", path, "--threads", len(os.sched_getaffinity(0)), "--budget", 600 * share]
        everything[f"{name}-fast"] = ["--suite", path, "--math", "fast", "--kind", "dense", "--budget", 300 * share]
    everything["founding"] = ["--filter", "seed_", "--layout", "channels-first", *LIMITS, "--memory", "--budget", 60 * share]
    return everything


def measure(name, words, library):
    MEASURED.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, BENCH / "compare.py", "--library", library, *words, "--save", MEASURED / f"{name}.json"]
    print("\n" + " ".join(map(str, command)), flush=True)
    if subprocess.run([str(word) for word in command]).returncode:
        print(f"{name}: something of tilefold failed", file=sys.stderr)


def measured():
    return {path.stem: json.loads(path.read_text()) for path in sorted(MEASURED.glob("*.json"))}


def machine(saved):
    return f"{saved['machine']}; {saved['date']}. {report.libraries(saved)}."


def section(name, saved):
    if saved is None:
        return f"Not measured: `bench/benchmarks.py {name}` does that."
    if not any(results.ratio(record, layout) for record in saved["problems"] for layout in saved["layouts"]):
        return f"{machine(saved)} Nothing to compare:\n\n{report.failures(saved)}"
    content = [machine(saved), f"Threads: {saved['threads']}, arithmetic: {saved['math']}.", report.summary(saved)]
    if results.UNLIMITED in saved["limits"]:
        content += ["Time under a limit over time without one:", report.limit_costs(saved)]
    return "\n\n".join(content)


def write_summaries(found):
    """The sections of docs/benchmarks.md."""
    path = DOCS / "benchmarks.md"
    text = path.read_text()
    for name in parts():
        if name != "founding":
            text = report.replace_section(text, name, section(name, found.get(name)))
    path.write_text(text)


def write_shapes(found):
    """docs/benchmarks-shapes.md: every shape of every run."""
    lines = ["# Benchmarks, shape by shape", "Written by `bench/benchmarks.py`; what the figures mean is in "
             "[benchmarks.md](benchmarks.md). Milliseconds, and between brackets MiB beside the tensors where they were "
             "measured. * marks a time in the other layout, of a library that does not have this one. A ratio is the time of the "
             "fastest peer that has the layout over tilefold's, above 1 where tilefold is faster."]
    for name, saved in found.items():
        lines += [f"## {name}: {saved['suite']}, threads: {saved['threads']}, arithmetic: {saved['math']}", machine(saved)]
        for layout in saved["layouts"]:
            lines += [f"### {layout}", report.shapes(saved, layout)]
        lines += ["### Not there or not right", report.failures(saved)]
    if not found:
        lines.append("Nothing has been measured.")
    (DOCS / "benchmarks-shapes.md").write_text("\n\n".join(lines) + "\n")


def draw(found):
    if "founding" in found:
        pictures.memory_against_time(found["founding"], "channels-first", FOUNDING,
                                     DOCS / "pictures" / "memory-against-time.svg")
    both = [record for name in SUITES if f"{name}-1" in found for record in found[f"{name}-1"]["problems"]]
    if both:
        pictures.ratios(both, ("channels-first", "channels-last"), DOCS / "pictures" / "ratios.svg")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", nargs="*", help=f"{', '.join(parts())}; all unless given")
    parser.add_argument("--library", type=pathlib.Path, default=ROOT / "build" / "libtilefold.so")
    parser.add_argument("--write-only", action="store_true")
    parser.add_argument("--share", type=float, default=1.0)
    options = parser.parse_args()
    unknown = set(options.part) - set(parts())
    if unknown:
        parser.error(f"{', '.join(sorted(unknown))}: no part; there are {', '.join(parts())}")
    if not options.write_only:
        for name in options.part or parts():
            measure(name, parts(options.share)[name], options.library)
    found = measured()
    write_summaries(found)
    write_shapes(found)
    draw(found)


if __name__ == "__main__":
    main()
