# SPDX-License-Identifier: MIT
"""What the tests of the command line share: running it, and a float64 convolution to compare with."""

import itertools
import json
import os
import subprocess
import tempfile
import unittest

import numpy as np

EXECUTABLE = None  # set by run_tests.py


def sanitized():
    with open(EXECUTABLE, "rb") as file:
        program = file.read()
    return b"__asan_init" in program or b"__tsan_init" in program


def scale():
    """What share of generated cases is wanted: as of the C programs."""
    return min(float(os.environ.get("TILEFOLD_TEST_SCALE", "1")), 1)


class CommandLineTest(unittest.TestCase):
    """Each test has an empty directory of its own, which is also the working directory of what it runs."""

    def setUp(self):
        temporary = tempfile.TemporaryDirectory()
        self.addCleanup(temporary.cleanup)
        self.directory = temporary.name

    def path(self, name):
        return os.path.join(self.directory, name)

    def save(self, name, array):
        np.save(self.path(name), array)
        return name

    def load(self, name):
        return np.load(self.path(name))

    def listing(self):
        return sorted(os.listdir(self.directory))

    def start(self, *arguments, **options):
        options.setdefault("stdout", subprocess.PIPE)
        options.setdefault("stderr", subprocess.PIPE)
        return subprocess.Popen([EXECUTABLE, *map(str, arguments)], cwd=self.directory, stdin=subprocess.DEVNULL,
                                **options)

    def run_raw(self, *arguments, **options):
        """Exit status, standard output, standard error."""
        process = self.start(*arguments, **options)
        output, errors = process.communicate(timeout=300)
        return process.returncode, (output or b"").decode(), (errors or b"").decode()

    def succeed(self, *arguments, **options):
        status, output, errors = self.run_raw(*arguments, **options)
        self.assertEqual((status, errors), (0, ""), arguments)
        return output

    def succeed_json(self, *arguments, **options):
        return json.loads(self.succeed(*arguments, "--json", **options))

    def check_error(self, status, output, errors, expected_status, *words):
        """The contract of a failure: the status, one line that has these words in it, nothing else."""
        self.assertEqual(status, expected_status, errors)
        self.assertRegex(errors, r"\Atilefold: error: [^\n]+\n\Z")
        self.assertEqual(output, "")
        for word in words:
            self.assertIn(word, errors)

    def fail_with(self, expected_status, words, *arguments, **options):
        """The command fails as the contract says and leaves the directory as it was."""
        before = self.listing()
        result = self.run_raw(*arguments, **options)
        self.check_error(*result, expected_status, *words)
        self.assertEqual(self.listing(), before)


def per_axis(value, rank):
    return [value] * rank if isinstance(value, int) else list(value)


def pad_or_crop(array, begin, end):
    """Spatial padding of a channels-first array; negative amounts crop."""
    for axis, (low, high) in enumerate(zip(begin, end)):
        widths = [(0, 0)] * array.ndim
        widths[axis + 2] = (max(low, 0), max(high, 0))
        array = np.pad(array, widths)
        stop = array.shape[axis + 2] + min(high, 0)
        array = np.take(array, range(-min(low, 0), stop), axis=axis + 2)
    return array


def flip_kernel(weight):
    return np.flip(weight, axis=tuple(range(2, weight.ndim)))


def convolve(input, weight, bias=None, stride=1, begin=0, end=0, dilation=1, input_dilation=1, groups=1):
    """A convolution of channels-first arrays in float64: a sum over taps."""
    rank = input.ndim - 2
    stride, dilation, input_dilation = (per_axis(v, rank) for v in (stride, dilation, input_dilation))
    spaced = np.zeros(input.shape[:2] + tuple((n - 1) * l + 1 for n, l in zip(input.shape[2:], input_dilation)))
    spaced[(...,) + tuple(slice(None, None, l) for l in input_dilation)] = input
    spaced = pad_or_crop(spaced, per_axis(begin, rank), per_axis(end, rank))
    kernel = weight.shape[2:]
    sizes = [(n - d * (k - 1) - 1) // s + 1 for n, k, s, d in zip(spaced.shape[2:], kernel, stride, dilation)]
    batch, outputs = input.shape[0], weight.shape[0]
    result = np.zeros((batch, groups, outputs // groups, *sizes))
    grouped = weight.astype(np.float64).reshape(groups, outputs // groups, *weight.shape[1:])
    for tap in itertools.product(*map(range, kernel)):
        window = tuple(slice(t * d, t * d + (x - 1) * s + 1, s) for t, d, x, s in zip(tap, dilation, sizes, stride))
        part = spaced[(...,) + window].reshape(batch, groups, -1, *sizes)
        result += np.einsum("ngc...,goc->ngo...", part, grouped[(...,) + tap])
    result = result.reshape(batch, outputs, *sizes)
    return result if bias is None else result + np.reshape(bias, (1, -1) + (1,) * rank)


def convolve_transposed(input, weight, bias=None, stride=1, begin=0, end=0, dilation=1, output_padding=0, groups=1):
    """The transposed convolution of channels-first arrays in float64: every input element spread over the taps."""
    rank = input.ndim - 2
    stride, dilation, begin, end, output_padding = (
        per_axis(v, rank) for v in (stride, dilation, begin, end, output_padding))
    kernel = weight.shape[2:]
    batch, channels = input.shape[:2]
    outputs = weight.shape[1] * groups
    sizes = [(n - 1) * s + d * (k - 1) + 1 for n, s, d, k in zip(input.shape[2:], stride, dilation, kernel)]
    result = np.zeros((batch, groups, weight.shape[1], *sizes))
    grouped = weight.astype(np.float64).reshape(groups, channels // groups, *weight.shape[1:])
    spread = input.astype(np.float64).reshape(batch, groups, channels // groups, *input.shape[2:])
    for tap in itertools.product(*map(range, kernel)):
        window = tuple(slice(t * d, t * d + (n - 1) * s + 1, s)
                       for t, d, n, s in zip(tap, dilation, input.shape[2:], stride))
        result[(...,) + window] += np.einsum("ngc...,gco->ngo...", spread, grouped[(...,) + tap])
    result = result.reshape(batch, outputs, *sizes)
    result = pad_or_crop(result, [-p for p in begin], [o - p for o, p in zip(output_padding, end)])
    return result if bias is None else result + np.reshape(bias, (1, -1) + (1,) * rank)


def to_bfloat16(array):
    """The nearest bfloat16 of each float32, ties to even, as its 16 bits."""
    bits = np.asarray(array, np.float32).view(np.uint32)
    return ((bits + 0x7fff + (bits >> 16 & 1)) >> 16).astype(np.uint16)


def from_bfloat16(bits):
    return (np.asarray(bits).view(np.uint16).astype(np.uint32) << 16).view(np.float32)
