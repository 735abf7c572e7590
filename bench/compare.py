#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""tilefold beside other libraries on the CPU, fp32: the problems of a suite, in turns, in the same run.

    pip install numpy onnx onnxruntime openvino torch ncnn ai-edge-litert 'mlx[cpu]'     as many of them as you like
    bench/compare.py [--suite bench/shapes-timm.tsv] [--layout channels-last] [--kind depthwise] [--budget 300]

A library that is not there is named and left out. Each has a process of its own on the same cores; they take turns in slots
of some milliseconds, round after round, so that a noisy machine disturbs all alike, and while one runs the others sleep. A
problem is built once (session, compiled model, plan, packed weights) and then run again and again, each run a whole call from
arrays to arrays. Where a library has several ways to compute a problem, the fastest counts.

Layouts are those of input and output. ONNX Runtime and ncnn have channels-first only, XNNPACK and MLX channels-last only; in
the other layout they stand with their time in their own, marked *, without the conversion that a caller would need.

Results are checked: tilefold's at 66 places against float64, everybody's everywhere against tilefold's. One that is wrong is
said to be so and does not count.

`ratio` is the best time of the fastest peer that has the layout over tilefold's best time, above 1 where tilefold is faster;
`median` the median over the rounds of the ratio of their medians; `any` the ratio to the fastest of all, those marked * too.

--limit may be given again: more rows of tilefold, under other limits; the first is the one that is compared.
--memory measures what each took beside its tensors, in a fresh process, by growth of resident memory after the tensors (input,
output, the weight as it came) have been written and a small problem of the same kind has been computed: `built` is what stays
once the convolution is built (session, packed weights, plan), `running` how much the peak (VmHWM) is above that while it is
computed three times. Copies of tensors that an interface makes its caller hand over are taken off. The kernel counts in batches:
figures are good to some 0.3 MiB.
"""
import argparse
import datetime
import json
import math
import os
import pathlib
import platform
import sys

import contest
import peers
import results
import suite
import workers

LAYOUTS = ("channels-first", "channels-last")
UNITS = {"": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}


def read_size(text):
    """Bytes; `none` for no limit."""
    if text == "none":
        return 1 << 50
    number = text.rstrip("KMGiB")
    if not number.isdigit() or text[len(number):] not in UNITS:
        raise argparse.ArgumentTypeError(f"expected bytes, 64KiB, 16MiB, 1GiB or none, not {text}")
    return int(number) * UNITS[text[len(number):]]


def in_words(limit):
    if limit == read_size("none"):
        return results.UNLIMITED
    unit = next(name for name in ("GiB", "MiB", "KiB", "") if limit % UNITS[name] == 0)
    return f"{limit // UNITS[unit]} {unit or 'B'}"


def open_workers(options):
    """tilefold at each limit, the first by its plain name, then the peers that are there."""
    settings = {"threads": options.threads, "math": options.math}
    own = {"library": str(options.library), "isa": options.isa}
    place = options.cores, options.timeout
    opened = []
    for limit in options.limits:
        label = f"{results.OURS}, {in_words(limit)}" if opened else results.OURS
        opened.append(workers.Worker(label, results.OURS, settings | own | {"limit": limit}, *place))
    if options.no_prepack:
        opened.append(workers.Worker(f"{results.OURS}, not packed", results.OURS,
                                     settings | own | {"limit": options.limits[0], "prepack": False}, *place))
    for name in options.peers:
        try:
            opened.append(workers.Worker(name, name, settings, *place))
        except workers.Absent as reason:
            print(f"left out: {name}: {reason}", file=sys.stderr)
    return opened


def milliseconds(entry, layout):
    if results.best(entry) == math.inf:
        return f"{'-':>12} "
    return f"{results.best(entry) * 1e3:12.4f}{' ' if entry['layout'] == layout else '*'}"


def print_lines(record, layouts):
    for layout in layouts:
        ratios = (results.ratio(record, layout), results.median_ratio(record, layout), results.ratio(record, layout, True))
        print(f"{record['name']:20} {record['kind']:17} {layout:14} {record['macs'] / 1e9:8.4f}",
              *(milliseconds(entry, layout) for entry in results.select(record, layout).values()),
              *(f"{ratio:6.2f}" if ratio else f"{'-':>6}" for ratio in ratios), flush=True)


def print_failures(records):
    lines = [f"    {record['name']:20} {entry['label']}, {entry['layout']}: {entry['failure']}"
             for record in records for entry in record["entries"] if entry["failure"]]
    if lines:
        print("\nnot there or not right:", *lines, sep="\n")


def print_summary(records, layouts):
    print(f"\n{'kind':17} {'layout':14} {'shapes':>6} {'mean':>6} {'least':>6} {'<0.95':>6} {'<1.00':>6}")
    for layout in layouts:
        for any_layout in (False, True):
            for kind, count, mean, least, below, behind in results.summarise(records, layout, any_layout):
                if kind == "all" or not any_layout:
                    name = "all, any layout" if any_layout else kind
                    print(f"{name:17} {layout:14} {count:6} {mean:6.2f} {least:6.2f} {below:6} {behind:6}")


def print_memory(records):
    print(f"\n{'MiB beside tensors':20} {'':20} {'layout':14} {'built':>9} {'running':>9} {'ms':>11}")
    for record in records:
        for entry in record["entries"]:
            if entry["memory"]:
                figures = [f"{entry['memory'][part] / (1 << 20):9.2f}" for part in ("built", "running")
                           if part in entry["memory"]] or [entry["memory"]["failure"]]
                print(f"{record['name']:20} {entry['label']:20} {entry['layout']:14}", *figures,
                      milliseconds(entry, entry["layout"]))


def print_broken_promises(records):
    """Where tilefold took more than its plan says and the MiB that is allowed for pages and threads."""
    for record in records:
        for entry in record["entries"]:
            memory = entry["memory"]
            if results.is_ours(entry) and memory and "built" in memory:
                excess = memory["built"] + memory["running"] - memory["planned"]
                if excess > 1 << 20:
                    print(f"PROMISE BROKEN: {record['name']}, {entry['label']}, {entry['layout']}: {excess} bytes more than "
                          f"the {memory['planned']} of its plan")


def read_options():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--library", type=pathlib.Path, default=suite.SHAPES.parent.parent / "build" / "libtilefold.so")
    parser.add_argument("--suite", type=pathlib.Path, default=suite.SHAPES)
    parser.add_argument("--peer", action="append", choices=[*peers.NAMES, "none"], help="only this one; may be given again")
    parser.add_argument("--layout", action="append", choices=LAYOUTS, help="both unless given")
    parser.add_argument("--kind", action="append", choices=suite.KINDS, help="only this one; may be given again")
    parser.add_argument("--filter", default="", help="only problems with this in their name")
    parser.add_argument("--max-gmacs", type=float, default=math.inf, help="only problems of at most so many 10^9 multiply-adds")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--limit", type=read_size, action="append", help="tilefold's scratch, 16MiB unless given; none")
    parser.add_argument("--isa", default="best", help="tilefold's instruction set")
    parser.add_argument("--math", choices=list(contest.BOUNDS), default="exact", help="fast: Winograd where a library has it")
    parser.add_argument("--no-prepack", action="store_true", help="one more row of tilefold, with weights as they came")
    parser.add_argument("--memory", action="store_true", help="measure that too")
    parser.add_argument("--budget", type=float, default=240, help="seconds of timing for all problems together, about")
    parser.add_argument("--slot", type=float, default=0.02, help="seconds that a library runs before the next has its turn")
    parser.add_argument("--rounds", type=int, default=25, help="at most so many turns each")
    parser.add_argument("--timeout", type=float, default=120, help="seconds after which a library is given up on a problem")
    parser.add_argument("--cores", type=lambda text: [int(core) for core in text.split(",")],
                        help="to run on; the last ones of those there are unless given")
    parser.add_argument("--save", type=pathlib.Path, help="everything measured, as JSON, for report.py")
    options = parser.parse_args()
    if options.save and not options.save.parent.is_dir():
        parser.error(f"--save {options.save}: there is no such folder")
    options.layouts = options.layout or LAYOUTS
    options.peers = [] if options.peer == ["none"] else options.peer or list(peers.NAMES)
    options.limits = options.limit or [read_size("16MiB")]
    options.cores = options.cores or sorted(os.sched_getaffinity(0))[-options.threads:]
    return options


def machine():
    model = next((line.partition(":")[2].strip() for line in open("/proc/cpuinfo", encoding="utf-8")
                  if line.startswith("model name")), platform.machine())
    return f"{model}, {len(os.sched_getaffinity(0))} cores, {platform.system()}"


def save(options, everyone, records):
    options.save.write_text(json.dumps({
        "machine": machine(), "date": datetime.date.today().isoformat(),
        "names": {worker.label: worker.name for worker in everyone}, "suite": options.suite.name, "threads": options.threads,
        "math": options.math, "isa": options.isa, "limits": list(map(in_words, options.limits)), "layouts": options.layouts, "problems": records}, indent=1))


def main():
    options = read_options()
    problems = [problem for problem in suite.read(options.suite, options.filter, options.max_gmacs)
                if problem.kind in (options.kind or suite.KINDS)]
    everyone = open_workers(options)
    print(f"milliseconds (best), fp32, threads: {options.threads};", ", ".join(dict.fromkeys(w.name for w in everyone)))
    print(f"{'name':20} {'kind':17} {'layout':14} {'GMAC':>8}", *(f"{worker.label[-12:]:>12} " for worker in everyone),
          " ratio median    any")
    records = []
    for problem in problems:
        records.append(contest.run(problem, everyone, options.layouts, options.budget / len(problems), options))
        print_lines(records[-1], options.layouts)
        if options.save:
            save(options, everyone, records)
    for worker in everyone:
        worker.close()
    print_failures(records)
    print_summary(records, options.layouts)
    if options.memory:
        print_memory(records)
        print_broken_promises(records)
    failed = any(entry["failure"] and results.is_ours(entry) for record in records for entry in record["entries"])
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
