#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""tilefold on a Vulkan device beside other libraries: the problems of a suite, on the same device, in the same run.

Beside ncnn, from arrays in host memory to arrays in host memory for both, so that uploads, downloads and conversions of the
layout count for both; models are loaded and shaders compiled before:

    pip install numpy ncnn
    bench/compare_vulkan.py build/tilefold [--device vulkan:1] [--dtype f16] [--max-gmacs 0.3]

Types are of storage: arithmetic is fp32 (ncnn's use_fp16_arithmetic is off). ncnn is otherwise left at its defaults, so it
uses Winograd's algorithm where it likes to; with f16 its arrays in host memory are still fp32. Its results are checked.
--max-gmacs keeps the problems up to so many thousand million multiply-adds, for devices in software.

On an NVIDIA GPU beside cuDNN, on the device's own clock for both, tensors in its memory, without TF32:

    pip install numpy torch
    bench/compare_vulkan.py build/tilefold --peer torch [--dtype f16]

A problem that a peer cannot do, gets wrong, crashes on or spends more than --budget on is listed below the table and left
out of the means. Figures are the best of all rounds; a ratio is the fastest peer's time over tilefold's, above 1 where
tilefold is faster.
"""
import argparse
import json
import math
import pathlib
import re
import subprocess
import tempfile

import suite
import vulkan_peers as peers

LAYOUTS = ("channels-first", "channels-last")


class Tilefold:
    def __init__(self, arguments, layout, clock):
        self.name, self.arguments, self.layout, self.clock = layout, arguments, layout, clock

    def prepare(self, problem):
        options = ["--layout", self.layout, "--dtype", self.arguments.dtype, "--device", self.arguments.device]

        def seconds():
            with tempfile.TemporaryDirectory() as folder:
                table = pathlib.Path(folder, "one.tsv")
                table.write_text(problem.line + "\n")
                try:
                    entry = tilefold_json(self.arguments, "bench", "--suite", str(table), *options)
                except subprocess.TimeoutExpired:
                    raise peers.NotSupported(f"over the budget of {self.arguments.budget:g} s") from None
            if entry[self.clock] is None:
                raise SystemExit(f"tilefold bench has no {self.clock} on this device")
            return entry[self.clock]
        return seconds


def tilefold_json(arguments, *words):
    command = [arguments.tilefold, *words, "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=arguments.budget)
    if done.returncode:
        raise SystemExit(done.stderr.strip() or f"tilefold ended with {done.returncode}")
    return json.loads(done.stdout)


def find_device(arguments):
    """Which Vulkan device the peers must use: its name, and its place among those of the same name."""
    index = int(arguments.device.partition(":")[2] or 0)
    names = [device["name"] for device in tilefold_json(arguments, "devices")["devices"] if device["kind"] == "vulkan"]
    if index >= len(names):
        raise SystemExit(f"--device {arguments.device}: tilefold sees {len(names)} Vulkan devices")
    arguments.device_name, arguments.device_place = names[index], names[:index].count(names[index])


def find_peers(arguments):
    found = []
    for name in arguments.peer or ["ncnn"]:
        try:
            found.append(peers.KNOWN[name](arguments))
        except ImportError as error:
            print(f"left out: {error}")
    if not found:
        raise SystemExit("there is no peer to compare with")
    return found


def measure(runners, problem, rounds, failures):
    """The best time of each runner by its name; why there is none goes to failures."""
    times, runs = {}, {}
    for _ in range(rounds):
        for runner in runners:
            try:
                if runner.name not in runs:
                    runs[runner.name] = runner.prepare(problem)
                if runs[runner.name]:
                    times[runner.name] = min(times.get(runner.name, math.inf), runs[runner.name]())
            except peers.NotSupported as reason:
                failures.append(f"{problem.name:20} {runner.name}: {reason}")
                runs[runner.name] = None
                times.pop(runner.name, None)
    return times


def milliseconds(times, name, width):
    return f"{times[name] * 1e3:{width}.3f}" if name in times else f"{'-':>{width}}"


def compare(arguments, others, ours):
    """Prints the table; returns what is not in it, and the ratios by operation and layout."""
    failures, ratios = [], {}
    print(f"{'name':20} {'GMAC':>7}", *(f"{other.name.split()[0]:>12}" for other in others),
          *(f"{our.name:>15} ratio" for our in ours))
    for problem in suite.read(pathlib.Path(arguments.suite), arguments.filter, arguments.max_gmacs):
        times = measure(others + ours, problem, arguments.rounds, failures)
        text = [milliseconds(times, other.name, 12) for other in others]
        peer = min((times[other.name] for other in others if other.name in times), default=None)
        for our in ours:
            both = peer is not None and our.name in times
            if both:
                ratios.setdefault((problem.op, our.name), []).append(peer / times[our.name])
            text.append(f"{milliseconds(times, our.name, 15)} {peer / times[our.name]:5.2f}" if both else
                        f"{milliseconds(times, our.name, 15)} {'-':>5}")
        print(f"{problem.name:20} {problem.macs / 1e9:7.3f}", *text, flush=True)
    return failures, ratios


def geometric_mean(values):
    return math.exp(sum(map(math.log, values)) / len(values))


def read_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tilefold")
    parser.add_argument("--device", default="vulkan", help="vulkan or vulkan:N")
    parser.add_argument("--peer", action="append", choices=list(peers.KNOWN), help="ncnn unless given")
    parser.add_argument("--dtype", default="f32", choices=("f32", "f16"))
    parser.add_argument("--layout", action="append", choices=LAYOUTS,
                        help="of tilefold's tensors (channels-first unless given, as the peers')")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--budget", type=float, default=60, help="seconds that one library may take for a problem and round")
    parser.add_argument("--suite", default=suite.SHAPES)
    parser.add_argument("--filter", default="", help="only problems with this in their name")
    parser.add_argument("--max-gmacs", type=float, default=math.inf)
    arguments = parser.parse_args()
    if not re.fullmatch(r"vulkan(:\d+)?", arguments.device):
        parser.error(f"--device {arguments.device}: expected vulkan or vulkan:N")
    if "torch" in (arguments.peer or []) and len(arguments.peer) > 1:
        parser.error("--peer torch: goes by the device's clock, the others by the host's, so it is compared with alone")
    return arguments


def main():
    arguments = read_arguments()
    version = subprocess.run([arguments.tilefold, "--version"], check=True, capture_output=True, text=True).stdout.strip()
    find_device(arguments)
    others = find_peers(arguments)
    clock = "device_seconds" if arguments.peer == ["torch"] else "best_seconds"
    ours = [Tilefold(arguments, layout, clock) for layout in arguments.layout or LAYOUTS[:1]]
    print(f"milliseconds ({clock}), {arguments.dtype}, {version} and {', '.join(other.name for other in others)}, "
          f"on {arguments.device}, {arguments.device_name}")
    failures, ratios = compare(arguments, others, ours)
    if failures:
        print("not supported:", *failures, sep="\n    ")
    for (op, layout), values in ratios.items():
        print(f"{op}, {layout}: geometric mean {geometric_mean(values):.2f}, least {min(values):.2f}, {len(values)} shapes")


if __name__ == "__main__":
    main()
