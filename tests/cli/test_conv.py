# SPDX-License-Identifier: MIT
"""Convolutions from file to file, against a float64 convolution written in NumPy."""

import itertools

import numpy as np

import harness
from harness import CommandLineTest, convolve, convolve_transposed, flip_kernel


def channels_last(array):
    return np.moveaxis(array, 1, -1)


def listed(values):
    return ",".join(map(str, values))


def padding_text(begin, end):
    return "--padding=" + ",".join(f"{b}:{e}" for b, e in zip(begin, end))


class ConvTest(CommandLineTest):
    def setUp(self):
        super().setUp()
        self.random = np.random.default_rng(4)

    def array(self, *shape):
        return self.random.standard_normal(shape).astype(np.float32)

    def compute(self, op, input, weight, *options, bias=None):
        self.save("in.npy", input)
        self.save("w.npy", weight)
        if bias is not None:
            self.save("b.npy", bias)
            options += ("--bias", "b.npy")
        report = self.succeed_json(op, "in.npy", "w.npy", "-o", "out.npy", *options)
        output = self.load("out.npy")
        self.assertEqual(report["output_shape"], list(output.shape))
        self.assertTrue(output.flags.c_contiguous)
        return output

    def agrees(self, output, expected):
        self.assertEqual(output.shape, expected.shape)
        np.testing.assert_allclose(output, expected, rtol=1e-4, atol=1e-4)


class Options(ConvTest):
    def test_random_convolutions(self):
        for case in range(40):
            rank = 1 + case % 3
            pick = lambda low, high: [int(n) for n in self.random.integers(low, high, rank)]
            groups = int(self.random.choice([1, 1, 2, 3]))
            channels, outputs = groups * int(self.random.integers(1, 4)), groups * int(self.random.integers(1, 4))
            kernel, stride, dilation, spacing = pick(1, 4), pick(1, 4), pick(1, 3), pick(1, 3)
            begin, end = pick(-1, 4), pick(-1, 4)
            input = self.array(int(self.random.integers(1, 3)), channels, *(n + 8 for n in pick(0, 5)))
            weight, bias = self.array(outputs, channels // groups, *kernel), self.array(outputs)
            expected = convolve(input, weight, bias, stride, begin, end, dilation, spacing, groups)
            options = ["--stride", listed(stride), "--dilation", listed(dilation), "--input-dilation", listed(spacing),
                       padding_text(begin, end), "--groups", groups]
            with self.subTest(options=options, input=input.shape, weight=weight.shape):
                first = self.compute("conv", input, weight, *options, bias=bias)
                self.agrees(first, expected)
                last = self.compute("conv", channels_last(input), channels_last(weight), *options, "--layout",
                                    "channels-last", "--scratch", "64KiB", "--no-prepack", "--flip", bias=bias)
                flipped = convolve(input, flip_kernel(weight), bias, stride, begin, end, dilation, spacing, groups)
                self.agrees(np.moveaxis(last, -1, 1), flipped)

    def test_random_transposed(self):
        for case in range(40):
            rank = 1 + case % 3
            pick = lambda low, high: [int(n) for n in self.random.integers(low, high, rank)]
            groups = int(self.random.choice([1, 1, 2, 3]))
            channels, per_group = groups * int(self.random.integers(1, 4)), int(self.random.integers(1, 4))
            kernel, stride, dilation = pick(1, 5), pick(1, 4), pick(1, 3)
            begin, end, extra = pick(-1, 3), pick(-1, 3), pick(0, 3)
            input = self.array(int(self.random.integers(1, 3)), channels, *pick(5, 9))
            weight, bias = self.array(channels, per_group, *kernel), self.array(per_group * groups)
            expected = convolve_transposed(input, weight, bias, stride, begin, end, dilation, extra, groups)
            options = ["--stride", listed(stride), "--dilation", listed(dilation), "--output-padding", listed(extra),
                       padding_text(begin, end), "--groups", groups]
            with self.subTest(options=options, input=input.shape, weight=weight.shape):
                first = self.compute("conv-transpose", input, weight, *options, bias=bias)
                self.agrees(first, expected)
                # (C, O/G, k...) to (O, k..., C/G)
                by_group = weight.reshape(groups, channels // groups, per_group, *kernel)
                by_output = np.swapaxes(by_group, 1, 2).reshape(per_group * groups, channels // groups, *kernel)
                last = self.compute("conv-transpose", channels_last(input), channels_last(by_output), *options, "--layout",
                                    "channels-last", bias=bias)
                np.testing.assert_array_equal(np.moveaxis(last, -1, 1), first)

    def test_one_number_for_all_axes(self):
        input, weight = self.array(1, 2, 9, 8), self.array(3, 2, 2, 2)
        output = self.compute("conv", input, weight, "--stride", 2, "--padding", 1, "--dilation", 2)
        self.agrees(output, convolve(input, weight, None, 2, 1, 1, 2))
        output = self.compute("conv", input, weight, "--padding", "2:0")
        self.agrees(output, convolve(input, weight, None, 1, 2, 0))

    def test_same_padding(self):
        cases = itertools.product((5, 6), (1, 2, 3, 4), (1, 2, 3), (1, 2), (1, 2))
        for size, kernel, stride, dilation, spacing in cases:
            spaced = (size - 1) * spacing + 1
            outputs = -(-spaced // stride)
            total = max(0, (outputs - 1) * stride + dilation * (kernel - 1) + 1 - spaced)
            input, weight = self.array(1, 1, size), self.array(1, 1, kernel)
            options = ("--stride", stride, "--dilation", dilation, "--input-dilation", spacing)
            with self.subTest(size=size, kernel=kernel, options=options):
                for name, begin in (("same", total // 2), ("same-lower", total - total // 2)):
                    output = self.compute("conv", input, weight, *options, "--padding", name)
                    self.assertEqual(output.shape[2], outputs)
                    self.agrees(output, convolve(input, weight, None, stride, begin, total - begin, dilation, spacing))
        output = self.compute("conv", input, weight, "--padding", "valid")
        self.agrees(output, convolve(input, weight))

    def test_same_padding_transposed(self):
        for size, kernel, stride, dilation in itertools.product((4, 5), (1, 2, 3, 4), (1, 2, 3), (1, 2)):
            total = (size - 1) * stride + dilation * (kernel - 1) + 1 - size * stride
            input, weight = self.array(1, 1, size), self.array(1, 1, kernel)
            with self.subTest(size=size, kernel=kernel, stride=stride, dilation=dilation):
                for name, begin in (("same", max(0, total) // 2), ("same-lower", max(0, total) - max(0, total) // 2)):
                    output = self.compute("conv-transpose", input, weight, "--stride", stride, "--dilation", dilation,
                                          "--padding", name)
                    self.assertEqual(output.shape[2], size * stride)
                    expected = convolve_transposed(input, weight, None, stride, begin, total - begin, dilation)
                    self.agrees(output, expected)

    def test_output_shape(self):
        input, weight = self.array(1, 2, 4, 4), self.array(2, 3, 3, 3)
        for shape in ((9, 9), (8, 9), (7, 6), (10, 12)):
            for name, extra in (((), 0), (("--padding", "same"), 0), (("--padding", "same-lower"), 1)):
                totals = [3 * 2 + extra + 3 - size for size in shape]
                upper = name[-1:] == ("same",)
                begin = [0 if t < 0 else t // 2 if upper else t - t // 2 for t in totals]
                end = [t - b for t, b in zip(totals, begin)]
                with self.subTest(shape=shape, name=name):
                    output = self.compute("conv-transpose", input, weight, "--stride", 2, "--output-padding", extra,
                                          "--output-shape", listed(shape), *name)
                    self.assertEqual(output.shape[2:], shape)
                    self.agrees(output, convolve_transposed(input, weight, None, 2, begin, end, 1, extra))

    def test_activation(self):
        input, weight = self.array(1, 2, 30), self.array(3, 2, 3)
        plain = self.compute("conv", input, weight)
        np.testing.assert_array_equal(self.compute("conv", input, weight, "--activation", "relu"), np.maximum(plain, 0))
        clamped = self.compute("conv", input, weight, "--activation", "clamp:-0.5:1e0")
        np.testing.assert_array_equal(clamped, np.clip(plain, np.float32(-0.5), np.float32(1)))
        np.testing.assert_array_equal(self.compute("conv", input, weight, "--activation", "clamp:-inf:inf"), plain)

    def test_empty_batch(self):
        output = self.compute("conv", np.zeros((0, 2, 9), np.float32), self.array(3, 2, 3))
        self.assertEqual(output.shape, (0, 3, 7))

    def test_outputs_that_no_tap_reaches(self):
        output = self.compute("conv-transpose", self.array(1, 1, 3), self.array(1, 1, 1), "--stride", 4, bias=self.array(1))
        bias = self.load("b.npy")
        np.testing.assert_array_equal(output[0, 0, [1, 2, 3, 5, 6, 7]], bias.repeat(6))


class Agreement(ConvTest):
    KEYS = ("op device algorithm isa threads output_shape scratch_limit_bytes scratch_bytes plan_bytes "
            "min_scratch_bytes ideal_scratch_bytes packed_weight_bytes full_unfold_bytes tiles phases macs math error_bound seconds gflops peak_rss_bytes "
            "version").split()

    def test_report(self):
        self.save("in.npy", self.array(1, 4, 16, 16))
        self.save("w.npy", self.array(8, 4, 3, 3))
        report = self.succeed_json("conv", "in.npy", "w.npy", "-o", "out.npy", "--scratch", "1MiB", "--threads", 1)
        self.assertEqual(list(report), self.KEYS)
        self.assertEqual(report["scratch_limit_bytes"], 1 << 20)
        self.assertEqual(report["threads"], 1)
        self.assertAlmostEqual(report["gflops"], 2e-9 * report["macs"] / report["seconds"], delta=1e-6 * report["gflops"])
        self.assertGreater(report["peak_rss_bytes"], 1 << 18)
        text = self.succeed("conv", "in.npy", "w.npy", "-o", "out.npy")
        self.assertIn("GFLOP/s", text)

    def test_plan_says_the_same_beforehand(self):
        self.save("in.npy", self.array(2, 6, 9, 10))
        self.save("w.npy", self.array(6, 2, 3, 2))
        options = ("--groups", 2, "--stride", "2,3", "--output-padding", "1,0", "--scratch", "64KiB")
        ran = self.succeed_json("conv-transpose", "in.npy", "w.npy", "-o", "out.npy", *options)
        planned = self.succeed_json("plan", "conv-transpose", "--input", "2,6,9,10", "--weight", "6,2,3,2", *options)
        for measured in ("seconds", "gflops", "peak_rss_bytes"):
            del ran[measured]
        self.assertEqual(ran, planned)

    def test_the_same_bits(self):
        self.save("in.npy", self.array(2, 12, 33, 29))
        self.save("w.npy", self.array(24, 12, 3, 5))
        self.save("b.npy", self.array(24))
        here = self.succeed_json("devices")["devices"][0]["isas"]
        variants = [()] + [("--isa", isa) for isa in here]
        variants += [("--threads", 1), ("--threads", 3), ("--scratch", "64KiB"), ("--scratch", "1GiB"), ("--no-prepack",),
                     ("--algorithm", "unfold"), ("--scratch", "64KiB", "--threads", "1", "--isa", "portable")]
        results = []
        for variant in variants:
            self.succeed("conv", "in.npy", "w.npy", "--bias", "b.npy", "-o", "out.npy", "--padding", "1,2", *variant)
            with open(self.path("out.npy"), "rb") as file:
                results.append(file.read())
        self.assertTrue(all(result == results[0] for result in results))

    def test_founding_case_a(self):
        self.save("in.npy", self.array(1, 5158, 1))
        self.save("w.npy", self.array(1, 4096, 1))
        outputs = []
        for scratch in ("16MiB", "64KiB"):
            report = self.succeed_json("conv-transpose", "in.npy", "w.npy", "-o", "out.npy", "--stride", 1024, "--layout",
                                       "channels-last", "--scratch", scratch)
            self.assertLessEqual(report["macs"], 26400000)
            self.assertLessEqual(report["scratch_bytes"], report["scratch_limit_bytes"])
            if not harness.sanitized():
                self.assertLess(report["peak_rss_bytes"], 60 << 20)
            outputs.append(self.load("out.npy"))
        np.testing.assert_array_equal(outputs[0], outputs[1])
        input, weight = (channels_last(self.load(name)) for name in ("in.npy", "w.npy"))
        self.agrees(channels_last(outputs[0]), convolve_transposed(input, weight, stride=1024))


class Mismatches(ConvTest):
    def mismatch(self, words, input, weight, *options, op="conv", bias=None):
        self.save("in.npy", np.zeros(input, np.float32))
        self.save("w.npy", np.zeros(weight, np.float32))
        if bias is not None:
            self.save("b.npy", np.zeros(bias, np.float32))
            options += ("--bias", "b.npy")
        self.fail_with(1, words, op, "in.npy", "w.npy", "-o", "out.npy", *options)

    def test_shapes(self):
        self.mismatch(["w.npy", "(4, 3, 3)", "3 dimensions", "in.npy has 4"], (1, 3, 8, 8), (4, 3, 3))
        self.mismatch(["w.npy", "(4, 2, 3)", "2 input channels", "in.npy has 3"], (1, 3, 8), (4, 2, 3))
        self.mismatch(["w.npy", "(4, 2, 3)", "4 input channels", "in.npy has 3"], (1, 3, 8), (4, 2, 3), op="conv-transpose")
        self.mismatch(["w.npy", "2 input channels", "in.npy has 8"], (1, 3, 8), (4, 3, 2), "--layout", "channels-last")
        self.mismatch(["--groups 2", "3 channels of in.npy"], (1, 3, 8), (4, 3, 3), "--groups", 2)
        self.mismatch(["--groups 2", "3 output channels of w.npy"], (1, 4, 8), (3, 2, 3), "--groups", 2)
        self.mismatch(["in.npy", "w.npy"], (1, 3, 8), (4, 3, 9))
        self.mismatch(["b.npy", "(3,)", "4 output channels"], (1, 3, 8), (4, 3, 3), bias=(3,))
        self.mismatch(["b.npy", "(1, 4)", "4 output channels"], (1, 3, 8), (4, 3, 3), bias=(1, 4))
        self.mismatch(["b.npy", "(2,)", "4 output channels"], (1, 2, 8), (2, 2, 3), "--groups", 2, op="conv-transpose",
                      bias=(2,))

    def test_too_many_axes_is_misuse(self):
        self.save("in.npy", np.zeros((1, 1, 8), np.float32))
        self.save("w.npy", np.zeros((1, 1, 3), np.float32))
        self.fail_with(2, ["--stride", "2 numbers for 1 spatial axis"], "conv", "in.npy", "w.npy", "-o", "out.npy",
                       "--stride", "1,1")

    def test_scratch_too_small(self):
        self.mismatch(["--scratch 10", "bytes"], (1, 3, 8), (4, 3, 3), "--scratch", 10)

    def test_vulkan_that_is_not_there(self):
        self.mismatch(["--device vulkan:7"], (1, 3, 8), (4, 3, 3), "--device", "vulkan:7")
