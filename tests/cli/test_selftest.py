# SPDX-License-Identifier: MIT
"""selftest: what it says where all agrees, and where something does not."""

import json
import os
import unittest

import harness
from harness import CommandLineTest


class Agreement(CommandLineTest):
    def check_runs(self, report):
        """Every instruction set and device of this machine, the best one on several threads too."""
        devices = self.succeed_json("devices")["devices"]
        cpu = devices[0]
        wanted = [("cpu", isa, 1) for isa in cpu["isas"]] + [("cpu", cpu["isa"], 2)]
        if cpu["threads"] > 2:
            wanted.append(("cpu", cpu["isa"], cpu["threads"]))
        on_cpu = [(run["device"], run["isa"], run["threads"]) for run in report["runs"] if run["device"] == "cpu"]
        self.assertEqual(on_cpu, wanted)
        others = [run for run in report["runs"] if run["device"] != "cpu"]
        self.assertEqual([(run["device"], run["index"], run["name"]) for run in others],
                         [(device["kind"], device["index"], device["name"]) for device in devices[1:]])
        for run, device in zip(others, devices[1:]):
            self.assertEqual("left_out" in run, not device["same_bits_as_cpu"])
            self.assertIn(device.get("other_bits", ""), run.get("left_out", ""))

    def test_json(self):
        report = self.succeed_json("selftest")
        self.assertEqual(sorted(report), ["agrees", "runs", "version"])
        self.assertIs(report["agrees"], True)
        self.check_runs(report)
        for run in report["runs"]:
            self.assertEqual(run["disagreements"], [])
            if run["device"] == "cpu":
                self.assertGreater(run["outputs"], 1000)
                self.assertNotIn("left_out", run)
            elif "left_out" in run:
                self.assertEqual(run["outputs"], 0)
                self.assertIn("promise", run["left_out"])

    @unittest.skipIf("TILEFOLD_TEST_SCALE" in os.environ, "the JSON is enough")
    def test_text(self):
        lines = self.succeed("selftest").splitlines()
        self.assertRegex(lines[0], r"\Acpu, portable, 1 thread: (\d+) of \1 outputs agree\Z")
        for line in lines:
            self.assertRegex(line, r"\A(cpu, \w+, \d+ threads?: (\d+) of \2 outputs agree|"
                                   r"vulkan:\d+, .*: (left out: .+|(\d+) of \4 outputs agree))\Z")

    def test_misuse(self):
        self.fail_with(2, ["'now'"], "selftest", "now")
        self.fail_with(2, ["--isa", "selftest"], "selftest", "--isa", "avx2")


class Disagreement(CommandLineTest):
    """The same command line with a table of two problems, of which the second has a wrong hash."""

    RIGHT, WRONG = "conv f32 1x1x1 1x1 data=zero", "conv f32 1x1x2 1x1 data=zero"

    def setUp(self):
        super().setUp()
        right, harness.EXECUTABLE = harness.EXECUTABLE, os.environ["TILEFOLD_TEST_WRONG_GOLDEN"]
        self.addCleanup(setattr, harness, "EXECUTABLE", right)

    def check(self, *arguments):
        status, output, errors = self.run_raw("selftest", *arguments)
        self.assertEqual(status, 1)
        self.assertRegex(errors, r"\Atilefold: error: \d+ outputs have not the golden bits, the first: "
                                 rf"cpu, portable, 1 thread: {self.WRONG} \(auto, [^\n]*\)\n\Z")
        return output

    def test_text(self):
        output = self.check()
        self.assertNotIn(self.RIGHT, output)
        self.assertIn(f"  differs: {self.WRONG} (auto, ", output)
        self.assertRegex(output, r"cpu, portable, 1 thread: (\d+) of (?!\1 )\d+ outputs agree\n")

    def test_json(self):
        report = json.loads(self.check("--json"))
        self.assertIs(report["agrees"], False)
        for run in report["runs"]:
            if run["device"] == "cpu":
                self.assertEqual({entry["problem"] for entry in run["disagreements"]}, {self.WRONG})
                self.assertGreater(run["outputs"], len(run["disagreements"]))
