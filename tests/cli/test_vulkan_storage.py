# SPDX-License-Identifier: MIT
"""The founding cases on a Vulkan device, held in every storage under two limits: the bits are the same. Case B in fp16 at a
smaller size than its 512x512. Only where TILEFOLD_TEST_VULKAN says that there is a device, as on_vulkan.sh does.
"""

import os
import unittest

import numpy as np

from harness import CommandLineTest, convolve

STORAGES = ("buffer", "texture2d", "texture3d")
LIMITS = {"16MiB": 1 << 24, "256KiB": 1 << 18}


@unittest.skipUnless("TILEFOLD_TEST_VULKAN" in os.environ, "no Vulkan device was asked for")
class Storage(CommandLineTest):
    def setUp(self):
        super().setUp()
        self.random = np.random.default_rng(8)
        self.device = ["--device", "vulkan:" + os.environ["TILEFOLD_TEST_VULKAN"]]

    def array(self, name, *shape, dtype=np.float32):
        return self.save(name, self.random.standard_normal(shape).astype(dtype))

    def compute(self, op, storage, limit, *options):
        report = self.succeed_json(op, "in.npy", "w.npy", "-o", "out.npy", *self.device, "--storage", storage,
                                   "--scratch", limit, *options)
        self.assertEqual(report["scratch_limit_bytes"], LIMITS[limit])
        self.assertLessEqual(report["scratch_bytes"], LIMITS[limit])
        self.assertLessEqual(report["min_scratch_bytes"], LIMITS["256KiB"])
        self.assertEqual(report["algorithm"], "unfold")
        return self.load("out.npy")

    def same_everywhere(self, op, *options):
        first = None
        for storage in STORAGES:
            for limit in LIMITS:
                with self.subTest(storage=storage, limit=limit):
                    output = self.compute(op, storage, limit, "--algorithm", "unfold", *options)
                    first = output if first is None else first
                    self.assertEqual(first.tobytes(), output.tobytes())
        return first

    def test_case_a(self):
        self.array("in.npy", 1, 5158, 1)
        self.array("w.npy", 1, 4096, 1)
        output = self.same_everywhere("conv-transpose", "--layout", "channels-last", "--stride", 1024)
        self.assertEqual(output.shape, (1, 5157 * 1024 + 4096, 1))
        kernel = self.load("w.npy")[0, :, 0].astype(np.float64)
        overlap = np.zeros(output.size)
        for at, value in enumerate(self.load("in.npy")[0, :, 0]):
            overlap[at * 1024:at * 1024 + 4096] += value * kernel
        np.testing.assert_allclose(output[0, :, 0], overlap, rtol=1e-4, atol=1e-4)

    def test_case_b(self):
        for dtype, size, tolerance in ((np.float32, 256, 1e-4), (np.float16, 32, 2e-2)):
            self.array("in.npy", 1, 64, size, size, dtype=dtype)
            self.array("w.npy", 64, 64, 3, 3, dtype=dtype)
            output = self.same_everywhere("conv", "--padding", 1)
            expected = convolve(self.load("in.npy"), self.load("w.npy"), begin=1, end=1)
            np.testing.assert_allclose(output, expected, rtol=tolerance, atol=tolerance)
