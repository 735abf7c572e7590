# SPDX-License-Identifier: MIT
"""The command line on a Vulkan device: what it says of the device, of a plan and of a run there."""

import json
import unittest

import numpy as np

from harness import CommandLineTest

PLAN = ("plan", "conv", "--device", "vulkan", "--input", "1,32,24,24", "--weight", "32,32,3,3")


class Vulkan(CommandLineTest):
    def setUp(self):
        super().setUp()
        devices = self.succeed_json("devices")["devices"]
        self.devices = [device for device in devices if device["kind"] == "vulkan"]
        if not self.devices:
            raise unittest.SkipTest("there is no Vulkan device")

    def test_devices(self):
        text = self.succeed("devices")
        for number, device in enumerate(self.devices):
            self.assertEqual(device["index"], number)
            self.assertIn(device["name"], text)
            # What the Vulkan specification guarantees (table "Required Limits").
            self.assertGreaterEqual(device["max_buffer_bytes"], 1 << 27)
            self.assertGreaterEqual(device["shared_memory_bytes"], 16384)
            self.assertGreaterEqual(device["max_workgroups"], 65535)
            self.assertGreaterEqual(device["max_workgroup_size"], 128)
            self.assertGreaterEqual(device["subgroup_size"], 1)
            self.assertGreater(device["memory_bytes"], 0)
            self.assertIsInstance(device["storage16"], bool)
            self.assertIsInstance(device["same_bits_as_cpu"], bool)
            self.assertEqual("other_bits" in device, not device["same_bits_as_cpu"])
            self.assertIn("its own: " + device["other_bits"] if "other_bits" in device else "the CPU's", text)
            self.assertNotEqual(device.get("other_bits"), "")

    def test_what_only_the_cpu_has_is_null(self):
        self.save("in.npy", np.ones((1, 2, 8), np.float32))
        self.save("w.npy", np.ones((3, 2, 3), np.float32))
        for arguments in (PLAN, ("conv", "in.npy", "w.npy", "-o", "out.npy", "--device", "vulkan:0")):
            result = self.succeed_json(*arguments)
            self.assertEqual((result["device"], result["isa"], result["threads"]), ("vulkan", None, None))

    def test_choices(self):
        for algorithm in ("unfold", "implicit", "direct"):
            plan = self.succeed_json(*PLAN, "--algorithm", algorithm, "--storage", "buffer", "--scratch", "256KiB")
            self.assertEqual((plan["algorithm"], plan["scratch_limit_bytes"]), (algorithm, 262144))
            self.assertLessEqual(plan["scratch_bytes"], 262144)
        least = self.succeed_json(*PLAN, "--algorithm", "unfold")["min_scratch_bytes"]
        self.assertLessEqual(least, 262144)
        self.succeed(*PLAN, "--algorithm", "unfold", "--scratch", least)
        self.fail_with(1, ["--scratch 100", "bytes"], *PLAN, "--algorithm", "unfold", "--scratch", "100")
        self.fail_with(1, ["--max-buffer 1:", "bytes"], *PLAN, "--max-buffer", "1")
        self.assertIn("sums whole", self.succeed(*PLAN, "--algorithm", "implicit"))
        self.assertIn("sums cut between bindings", self.succeed(*PLAN, "--max-buffer", "600"))  # an output's weights are 1152
        self.fail_with(1, ["--max-buffer 8: one product needs", " 4 of weights and 4 of output"], *PLAN, "--max-buffer", "8")

    def test_bench(self):
        with open(self.path("suite.tsv"), "w") as file:
            file.write("tiny\tconv\t2\t1\t8,8\t4\t4\t3,3\t1,1\t1,1\t1,1\t0,0\t1\n"
                       "up\tconv-transpose\t1\t2\t9\t4\t2\t4\t2\t1\t1\t1\t2\n")
        bench = ("bench", "--suite", "suite.tsv", "--device", "vulkan")
        for extra in ((), ("--dtype", "f16"), ("--algorithm", "unfold", "--scratch", "64KiB", "--storage", "buffer")):
            rows = [json.loads(line) for line in self.succeed(*bench, "--json", *extra).splitlines()]
            self.assertEqual([row["name"] for row in rows], ["tiny", "up"])
            for row in rows:
                self.assertEqual(list(row), ("name seconds best_seconds device_seconds gflops peak_fraction "
                                             "scratch_bytes algorithm math").split())
                self.assertGreater(row["peak_fraction"], 0)
                if row["device_seconds"] is not None:  # the device has a clock
                    self.assertGreater(row["device_seconds"], 0)
        table = self.succeed(*bench)
        for word in ("measured peak", "device ms", "% peak"):
            self.assertIn(word, table)
