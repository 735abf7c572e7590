#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What a scratch limit costs: time at 16 MiB and at 64 KiB over time without a limit, for each shape of a suite.

    bench/limit_cost.py build/tilefold [--rounds 3] [options of `tilefold bench`]

Limits take turns within a round, so that a noisy machine disturbs all alike; the best time of each counts.
"""
import argparse
import json
import math
import subprocess

LIMITS = {"none": "64GiB", "16 MiB": "16MiB", "64 KiB": "64KiB"}


def bench(tilefold, limit, options):
    command = [tilefold, "bench", "--json", "--scratch", limit, *options]
    lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    return {entry["name"]: entry["best_seconds"] for entry in map(json.loads, lines) if "best_seconds" in entry}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tilefold")
    parser.add_argument("--rounds", type=int, default=3)
    arguments, options = parser.parse_known_args()

    best = {}
    for _ in range(arguments.rounds):
        for limit, size in LIMITS.items():
            for name, seconds in bench(arguments.tilefold, size, options).items():
                best[name, limit] = min(seconds, best.get((name, limit), math.inf))
    names = list(dict.fromkeys(name for name, _ in best))
    ratios = {limit: [best[name, limit] / best[name, "none"] for name in names] for limit in ("16 MiB", "64 KiB")}
    print(f"{'name':20} {'16 MiB':>8} {'64 KiB':>8}")
    for name, wide, narrow in zip(names, *ratios.values()):
        print(f"{name:20} {wide:8.3f} {narrow:8.3f}")
    means = [math.exp(sum(map(math.log, values)) / len(values)) for values in ratios.values()]
    print(f"{'geometric mean':20} {means[0]:8.3f} {means[1]:8.3f}")


if __name__ == "__main__":
    main()
