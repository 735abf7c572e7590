#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""bench/, as far as it goes without any other library: its view of the C structs, its judgement of results, its ratios.

    tests/test_bench.py BUILD_FOLDER C_COMPILER
"""
import ctypes
import json
import math
import pathlib
import subprocess
import sys
import tempfile
import types
import unittest

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "bench"))

import contest  # noqa: E402
import header  # noqa: E402
import report  # noqa: E402
import results  # noqa: E402
import suite  # noqa: E402

SHAPES = """small_dense	conv	2	2	7,6	5	6	3,3	1,1	1,1	1,1	0,0	1
small_strided_groups	conv	2	1	9,9	8	12	3,1	2,1	1,0	1,2	0,0	4
small_depthwise	conv	1	1	40	6	6	5	1	2	1	0	6
small_transposed	conv-transpose	2	1	5,4	6	4	4,3	2,2	1,1	1,1	0,1	2
small_volume	conv-transpose	3	1	3,4,2	3	2	2,2,2	2,2,2	0,0,0	1,1,1	0,0,0	1
"""


def entry(label, layout, times, failure=None):
    return {"label": label, "peer": label.partition(",")[0], "layout": layout, "failure": failure,
            "rounds": [[time, 2 * time] for time in times]}


class Headers(unittest.TestCase):
    def test_structs_are_the_compilers(self):
        read = header.Header(ROOT / "include" / "tilefold.h")
        structs = {name: kind for name, kind in read.types.items() if hasattr(kind, "_fields_")}
        self.assertGreaterEqual(set(structs), {"tilefold_problem", "tilefold_plan_options", "tilefold_execution"})
        expected, lines = [], []
        for name, kind in structs.items():
            expected.append(ctypes.sizeof(kind))
            lines.append(f"sizeof({name})")
            for field, _ in kind._fields_:
                expected.append(getattr(kind, field).offset)
                lines.append(f"offsetof({name}, {field})")
        self.assertEqual(self.evaluate(lines), expected)

    def test_constants_are_the_compilers(self):
        constants = header.Header(ROOT / "include" / "tilefold.h").constants
        names = [name for name in constants if name.startswith("TILEFOLD_")]
        self.assertIn("TILEFOLD_CHANNELS_LAST", names)
        self.assertEqual(self.evaluate(names), [constants[name] for name in names])

    def evaluate(self, expressions):
        """What the compiler says that some expressions are."""
        prints = "\n".join(f'    printf("%lld\\n", (long long)({text}));' for text in expressions)
        with tempfile.TemporaryDirectory() as folder:
            source, program = pathlib.Path(folder, "print.c"), pathlib.Path(folder, "print")
            source.write_text(f"#include <stdio.h>\n#include <tilefold.h>\nint main(void) {{\n{prints}\n}}\n")
            subprocess.run([COMPILER, f"-I{ROOT / 'include'}", str(source), "-o", str(program)], check=True)
            return [int(line) for line in subprocess.run([program], check=True, capture_output=True).stdout.split()]


class Compare(unittest.TestCase):
    def test_results_are_right_in_both_layouts(self):
        with tempfile.TemporaryDirectory() as folder:
            shapes, saved = pathlib.Path(folder, "small.tsv"), pathlib.Path(folder, "saved.json")
            shapes.write_text(SHAPES)
            done = subprocess.run(
                [sys.executable, ROOT / "bench" / "compare.py", "--library", BUILD / "libtilefold.so", "--suite", shapes,
                 "--peer", "none", "--limit", "none", "--limit", "64KiB", "--no-prepack", "--memory", "--budget", "0",
                 "--slot", "0.0001", "--save", saved], capture_output=True, text=True)
            self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
            records = json.loads(saved.read_text())["problems"]
        self.assertEqual(len(records), SHAPES.count("\n"))
        for record in records:
            self.assertEqual(len(record["entries"]), 6)
            for found in record["entries"]:
                self.assertIsNone(found["failure"])
                self.assertLess(found["error"], 1e-5)
                self.assertIn("planned", found["memory"])

    def test_a_wrong_result_is_said_to_be_wrong(self):
        ours, wrong = (contest.Entry(StubWorker(*words), "channels-first")
                       for words in ((results.OURS, 0.0), ("other", 0.5)))
        contest.check([ours, wrong], contest.BOUNDS["exact"])
        self.assertIsNone(ours.failure)
        self.assertRegex(wrong.failure, "WRONG: off by 0.5")

    def test_our_wrong_result_is_found_by_float64(self):
        ours = contest.Entry(StubWorker(results.OURS, math.inf), "channels-first")
        contest.check([ours], contest.BOUNDS["exact"])
        self.assertRegex(ours.failure, "WRONG")


class StubWorker(types.SimpleNamespace):
    """Answers every question about errors with the same."""

    def __init__(self, peer, error):
        super().__init__(peer=peer, label=peer, error=error)

    def call(self, do, **_):
        return {"error": self.error} if do in ("check", "differ") else {}


class Ratios(unittest.TestCase):
    RECORD = {"name": "one", "kind": "dense", "macs": 1, "entries": [
        entry("tilefold", "channels-first", [2, 3]), entry("tilefold", "channels-last", [1, 1]),
        entry("first", "channels-first", [4, 3]), entry("last", "channels-last", [0.5, 0.7]),
        entry("both", "channels-first", [1, 1], "WRONG"), entry("both", "channels-last", [2, 2])]}

    def test_only_rivals_with_the_layout_count(self):
        self.assertEqual(results.ratio(self.RECORD, "channels-first"), 3 / 2)
        self.assertEqual(results.ratio(self.RECORD, "channels-last"), 0.5)

    def test_all_rivals_count_in_any_layout(self):
        self.assertEqual(results.ratio(self.RECORD, "channels-first", True), 0.5 / 2)

    def test_summary_counts_by_kind(self):
        self.assertEqual(results.summarise([self.RECORD], "channels-last"),
                         [("dense", 1, 0.5, 0.5, 1, 1), ("all", 1, 0.5, 0.5, 1, 1)])

    def test_kinds(self):
        kinds = [suite.parse(line).kind for line in SHAPES.splitlines()]
        self.assertEqual(kinds, ["dense", "grouped-strided", "depthwise", "transposed", "transposed"])

    def test_sections_are_replaced_whole(self):
        text = "a\n" + report.BEGIN.format("x") + "\nold\n" + report.END.format("x") + "\nb"
        self.assertEqual(report.replace_section(text, "x", "new"),
                         "a\n" + report.BEGIN.format("x") + "\n\nnew\n\n" + report.END.format("x") + "\nb")
        with self.assertRaises(SystemExit):
            report.replace_section(text, "y", "new")


if __name__ == "__main__":
    COMPILER, BUILD = sys.argv.pop(), pathlib.Path(sys.argv.pop())
    unittest.main(verbosity=2)
