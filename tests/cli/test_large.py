# SPDX-License-Identifier: MIT
"""Files larger than memory: what a run has of them at a time, and what it reads of them under a hard ceiling."""

import os
import resource
import unittest
from unittest import mock

import numpy as np

import harness
import test_output
from harness import CommandLineTest
from memory_group import MemoryGroup, forget

MIB = 1 << 20
FAULTS = os.environ.get("TILEFOLD_TEST_FAULTS", "")


class Large(CommandLineTest):
    CHANNELS = 8

    def save_large(self, name, shape, layout):
        """Small integers, so that sums are exact, which differ from place to place."""
        rank = len(shape)
        channels = np.arange(self.CHANNELS, dtype=np.float32).reshape((-1,) + (1,) * rank) % 3 - 1
        places = np.arange(np.prod(shape), dtype=np.float32).reshape(shape) % 13 - 6
        array = (channels + places)[None]
        if layout == "channels-last":
            array = np.ascontiguousarray(np.moveaxis(array, 1, -1))
        return self.save(name, array)

    def save_weight(self, rank, op, layout):
        outs = self.CHANNELS if op == "conv" else 4
        weight = (np.arange(outs * self.CHANNELS * 3 ** rank, dtype=np.float32) % 5 - 2)
        weight = weight.reshape((outs, self.CHANNELS) + (3,) * rank)
        if layout == "channels-last":
            weight = np.moveaxis(weight, 1, -1)
        elif op == "conv-transpose":
            weight = np.moveaxis(weight, 1, 0)
        return self.save("w.npy", np.ascontiguousarray(weight))

    def cases(self, bytes):
        """Inputs of so many bytes; outputs of as many."""
        elements = bytes // 4 // self.CHANNELS
        shapes = {1: (elements,), 2: (1024, elements // 1024), 3: (64, 128, elements // 8192)}
        kinds = ((2, "channels-first", "conv", 2), (3, "channels-last", "conv-transpose", 2), (1, "channels-first", "conv", 1),
                 (3, "channels-first", "conv", 2), (2, "channels-last", "conv", 1), (2, "channels-first", "conv-transpose", 1))
        for rank, layout, op, threads in kinds if harness.scale() == 1 else kinds[:2]:
            stride = (2,) + (1,) * (rank - 1) if op == "conv-transpose" else (1,) * rank
            yield rank, layout, op, threads, shapes[rank], ",".join(map(str, stride))

    def under_ceiling(self, group, limit, arguments):
        group.set_limit(limit)
        before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_inblock
        figures = self.succeed_json(*arguments, preexec_fn=group.join)
        return figures, 512 * (resource.getrusage(resource.RUSAGE_CHILDREN).ru_inblock - before)

    @unittest.skipIf(harness.sanitized(), "sanitizers need memory of their own")
    def test_hard_ceiling(self):
        """Arrays several times as large as all the memory there is: each byte of the input is read once, or little more."""
        group = MemoryGroup.make()
        if not group:
            self.skipTest("no control group can be made here")
        self.addCleanup(group.remove)
        limit = 32 * MIB
        for rank, layout, op, threads, shape, stride in self.cases(48 * MIB):
            with self.subTest(rank=rank, layout=layout, op=op):
                self.save_large("in.npy", shape, layout)
                self.save_weight(rank, op, layout)
                arguments = (op, "in.npy", "w.npy", "--layout", layout, "--padding", 1, "--stride", stride)
                self.succeed(*arguments, "-o", "whole.npy", "--threads", 2)
                if not forget(self.path("in.npy")):
                    self.skipTest("files are held in memory here")
                forget(self.path("w.npy"))
                figures, read = self.under_ceiling(group, limit, (*arguments, "-o", "out.npy", "--threads", threads))
                size = os.path.getsize(self.path("in.npy"))
                self.assertLess(read, 1.25 * size + 16 * MIB)
                self.assertLess(figures["peak_rss_bytes"], limit)
                self.assert_same_files("out.npy", "whole.npy")

    def assert_same_files(self, a, b):
        with open(self.path(a), "rb") as first, open(self.path(b), "rb") as second:
            while piece := first.read(MIB):
                self.assertTrue(piece == second.read(MIB))
            self.assertEqual(second.read(1), b"")

    def little_memory(self):
        """An environment in which the system says that there are 8 MiB, so that a band is one."""
        if not FAULTS:
            self.skipTest("no library of faults for this build: sanitizers and other C libraries have their own calls")
        with open(self.path("meminfo"), "w") as file:
            file.write("MemTotal: 99999999 kB\nMemAvailable: 8192 kB\n")
        return dict(os.environ, LD_PRELOAD=FAULTS, TILEFOLD_TEST_MEMINFO=self.path("meminfo"))

    def test_little_resident(self):
        """Where the system says that it has little memory, a run has less of its files at a time than they have bytes, many times
        over, and the output is that of one band."""
        environment = self.little_memory()
        least = self.succeed_json("conv", self.save("i.npy", np.ones((1, 1, 9), np.float32)),
                                  self.save("k.npy", np.ones((1, 1, 3), np.float32)), "-o", "o.npy")["peak_rss_bytes"]
        for rank, layout, op, threads, shape, stride in self.cases(24 * MIB):
            with self.subTest(rank=rank, layout=layout, op=op):
                self.save_large("in.npy", shape, layout)
                self.save_weight(rank, op, layout)
                arguments = (op, "in.npy", "w.npy", "--layout", layout, "--padding", 1, "--stride", stride, "--scratch",
                             "1MiB", "--threads", threads)
                self.succeed(*arguments, "-o", "whole.npy")
                read_again = forget(self.path("in.npy"))
                figures = self.succeed_json(*arguments, "-o", "out.npy", env=environment)
                self.assert_same_files("out.npy", "whole.npy")
                if read_again: # else the system may have the file in pieces of 2 MiB, which a process gets whole
                    self.assertLess(figures["peak_rss_bytes"] - least, 8 * MIB)

    def test_progress_and_interruption(self):
        """Between and within bands as within one: time left, then nothing is left."""
        environment = self.little_memory()
        self.save("slow_in.npy", np.ones((1, 64, 2000, 96), np.float32))
        self.save("slow_w.npy", np.ones((64, 64, 3, 3), np.float32))
        before = self.listing()
        with mock.patch.dict(os.environ, environment):
            shown = test_output.Terminal.on_terminal(
                self, "conv", "slow_in.npy", "slow_w.npy", "-o", "slow_out.npy", "--isa", "portable", "--threads", 1)
        self.assertRegex(shown, r"\r +\d+ %(  " + test_output.Terminal.LEFT + r")?  \d+ of \d+ bands, \d+\.\d s")
        self.assertTrue(shown.endswith("tilefold: error: interrupted\r\n"), shown)
        self.assertEqual(self.listing(), before)

    def test_in_bands_as_in_one(self):
        """What is computed in bands is right: exact sums, held against a sum over taps."""
        self.CHANNELS = 2
        shape = (3000, 2100)
        for layout in ("channels-first", "channels-last") if harness.scale() == 1 else ("channels-first",):
            self.save_large("in.npy", shape, layout)
            self.save_weight(2, "conv", layout)
            self.succeed("conv", "in.npy", "w.npy", "-o", "out.npy", "--layout", layout, "--padding", 1)
            given, weight, out = (self.load(name) for name in ("in.npy", "w.npy", "out.npy"))
            if layout == "channels-last":
                given, weight, out = (np.moveaxis(array, -1, 1) for array in (given, weight, out))
            self.assertGreater(given.nbytes + out.nbytes, 64 * MIB)
            expected = harness.convolve(given, weight, begin=1, end=1)
            self.assertTrue((out == expected).all())
