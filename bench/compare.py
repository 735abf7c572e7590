#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""tilefold beside other libraries: the problems of a suite, on the same device, in the same run.

On the CPU, fp32, beside those of ONNX Runtime and OpenVINO that are there:

    pip install onnx onnxruntime openvino
    bench/compare.py build/tilefold [--threads 1]

Peers get a model of one node in channels-first and whatever internal layout they like, converted once, outside the time,
for the weight and inside it for the tensors. tilefold is timed in both layouts with weights packed beforehand.

On a Vulkan device beside ncnn, from arrays in host memory to arrays in host memory for both, so that uploads, downloads
and conversions of the layout count for both; models are loaded and shaders compiled before:

    pip install numpy ncnn
    bench/compare.py build/tilefold --device vulkan [--dtype f16] [--max-gmacs 0.3]

Types are of storage: arithmetic is fp32 (ncnn's use_fp16_arithmetic is off). ncnn is otherwise left at its defaults, so it
uses Winograd's algorithm where it likes to; with f16 its arrays in host memory are still fp32. Its results are checked.
--max-gmacs keeps the problems up to so many thousand million multiply-adds, for devices in software.

On an NVIDIA GPU beside cuDNN, on the device's own clock for both, tensors in its memory, without TF32:

    pip install numpy torch
    bench/compare.py build/tilefold --device vulkan --peer torch [--dtype f16]

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

import peers
import suite

LAYOUTS = ("channels-first", "channels-last")


class Tilefold:
    def __init__(self, arguments, layout, clock):
        self.name, self.arguments, self.layout, self.clock = layout, arguments, layout, clock

    def prepare(self, problem):
        options = ["--layout", self.layout, "--dtype", self.arguments.dtype, "--device", self.arguments.device]
        if self.arguments.device == "cpu":
            options += ["--threads", str(self.arguments.threads)]

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


def find_peers(arguments, known):
    found = []
    for name in arguments.peer or [name for name in known if name != "torch"]:
        try:
            found.append(known[name](arguments))
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
    parser.add_argument("--device", default="cpu", help="cpu, vulkan or vulkan:N")
    parser.add_argument("--peer", action="append", choices=[*peers.CPU, *peers.VULKAN],
                        help="only this one; may be given again")
    parser.add_argument("--dtype", default="f32", choices=("f32", "f16"), help="f16 is for Vulkan devices")
    parser.add_argument("--layout", action="append", choices=LAYOUTS,
                        help="of tilefold's tensors (both on the CPU, else channels-first, as the peers')")
    parser.add_argument("--threads", type=int, default=1, help="on the CPU")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--budget", type=float, default=60, help="seconds that one library may take for a problem and round")
    parser.add_argument("--suite", default=suite.SHAPES)
    parser.add_argument("--filter", default="", help="only problems with this in their name")
    parser.add_argument("--max-gmacs", type=float, default=math.inf)
    arguments = parser.parse_args()
    if not re.fullmatch(r"cpu|vulkan(:\d+)?", arguments.device):
        parser.error(f"--device {arguments.device}: expected cpu, vulkan or vulkan:N")
    known = peers.CPU if arguments.device == "cpu" else peers.VULKAN
    for name in arguments.peer or []:
        if name not in known:
            parser.error(f"--peer {name}: not with --device {arguments.device}")
    if arguments.device == "cpu" and arguments.dtype != "f32":
        parser.error("--dtype: the peers on the CPU are given fp32")
    if "torch" in (arguments.peer or []) and len(arguments.peer) > 1:
        parser.error("--peer torch: goes by the device's clock, the others by the host's, so it is compared with alone")
    return arguments, known


def main():
    arguments, known = read_arguments()
    version = subprocess.run([arguments.tilefold, "--version"], check=True, capture_output=True, text=True).stdout.strip()
    where = f"the CPU, threads: {arguments.threads}"
    if arguments.device != "cpu":
        find_device(arguments)
        where = f"{arguments.device}, {arguments.device_name}"
    others = find_peers(arguments, known)
    clock = "device_seconds" if arguments.peer == ["torch"] else "best_seconds"
    layouts = arguments.layout or (LAYOUTS if arguments.device == "cpu" else LAYOUTS[:1])
    ours = [Tilefold(arguments, layout, clock) for layout in layouts]
    print(f"milliseconds ({clock}), {arguments.dtype}, {version} and {', '.join(other.name for other in others)}, on {where}")
    failures, ratios = compare(arguments, others, ours)
    if failures:
        print("not supported:", *failures, sep="\n    ")
    for (op, layout), values in ratios.items():
        print(f"{op}, {layout}: geometric mean {geometric_mean(values):.2f}, least {min(values):.2f}, {len(values)} shapes")


if __name__ == "__main__":
    main()
