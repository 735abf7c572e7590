# SPDX-License-Identifier: MIT
"""Files that are no arrays, or not arrays to compute with: one line, status 1, no output. And those that are."""

import io
import os
import struct

import numpy as np
from numpy.lib import format as npy_format

from harness import CommandLineTest, convolve, from_bfloat16, to_bfloat16

MAGIC = b"\x93NUMPY"


def npy_bytes(array, version=(1, 0)):
    buffer = io.BytesIO()
    npy_format.write_array(buffer, array, version=version)
    return buffer.getvalue()


def with_header(header, data, version=1):
    """A file whose header is this text, padded so that the data begin at a multiple of 64."""
    lead = 10 if version == 1 else 12
    header = header.encode() if isinstance(header, str) else header
    header += b" " * (-(lead + len(header) + 1) % 64) + b"\n"
    return MAGIC + bytes([version, 0]) + struct.pack("<H" if version == 1 else "<I", len(header)) + header + data


class NpyTest(CommandLineTest):
    def setUp(self):
        super().setUp()
        random = np.random.default_rng(1)
        self.input = random.standard_normal((1, 2, 5), np.float32)
        self.weight = random.standard_normal((2, 2, 3), np.float32)
        self.expected = convolve(self.input, self.weight)
        self.data = self.input.tobytes()
        self.save("w.npy", self.weight)

    def write(self, contents):
        with open(self.path("in.npy"), "wb") as file:
            file.write(contents)

    def rejects(self, contents, *words, options=()):
        self.write(contents)
        self.fail_with(1, ["in.npy", *words], "conv", "in.npy", "w.npy", "-o", "out.npy", "--threads", 1, *options)

    def accepts(self, contents):
        self.write(contents)
        self.succeed("conv", "in.npy", "w.npy", "-o", "out.npy", "--threads", 1)
        np.testing.assert_allclose(self.load("out.npy"), self.expected, rtol=1e-5, atol=1e-6)
        os.remove(self.path("out.npy"))


class Accepted(NpyTest):
    def test_versions(self):
        for version in ((1, 0), (2, 0), (3, 0)):
            self.accepts(npy_bytes(self.input, version))

    def test_other_writers(self):
        for header in (
            "{'descr':'<f4','fortran_order':False,'shape':(1,2,5)}",
            "{'shape': (1, 2, 5,), 'descr': '<f4', 'fortran_order': False, }",
            '{"descr": "<f4", "fortran_order": False, "shape": (1L, 2L, 5L)}',
            "\t{ 'descr' : '<f4' ,\r\n 'fortran_order' : False , 'shape' : ( 1 , 2 , 5 ) }",
        ):
            with self.subTest(header=header):
                self.accepts(with_header(header, self.data))
                self.accepts(with_header(header, self.data, version=2))

    def test_fortran_order(self):
        self.accepts(npy_bytes(np.asfortranarray(self.input)))
        self.save("w.npy", np.asfortranarray(self.weight))
        self.accepts(npy_bytes(np.asfortranarray(self.input)))

    def test_header_without_padding(self):
        header = b"{'descr': '<f4', 'fortran_order': False, 'shape': (1, 2, 5)}"
        header += b" " * (-(10 + len(header)) % 4)
        self.accepts(MAGIC + b"\x01\x00" + struct.pack("<H", len(header)) + header + self.data)


class Rejected(NpyTest):
    def test_truncated_anywhere(self):
        whole = npy_bytes(self.input)
        for length in range(len(whole)):
            with self.subTest(length=length):
                self.rejects(whole[:length])

    def test_each_bit_of_the_header(self):
        whole = npy_bytes(self.input)
        for bit in range(8 * (len(whole) - len(self.data))):
            flipped = bytearray(whole)
            flipped[bit // 8] ^= 1 << bit % 8
            with self.subTest(byte=bit // 8, bit=bit % 8):
                self.rejects(bytes(flipped))

    def test_random_damage(self):
        random = np.random.default_rng(2)
        whole = npy_bytes(self.input)
        header_bytes = len(whole) - len(self.data)
        for case in range(150):
            damaged = bytearray(whole)
            for _ in range(random.integers(2, 8)):
                damaged[random.integers(6, header_bytes)] = random.integers(0, 256)
            if bytes(damaged) != whole:
                with self.subTest(case=case):
                    self.rejects(bytes(damaged))

    def test_bad_headers(self):
        good = "{'descr': '<f4', 'fortran_order': False, 'shape': (1, 2, 5)}"
        for old, new in (
            ("}", ""), ("{", "["), ("}", "} x"), ("}", "}}"), (", 'shape': (1, 2, 5)", ""), ("'descr': '<f4', ", ""),
            ("'fortran_order': False, ", ""), ("False", "false"), ("False", "0"), ("False", "'False'"),
            ("'descr'", "descr"), ("'descr'", "'describe'"), ("'descr'", "'descr\\x41'"), (":", "="), ("'<f4'", "<f4"),
            ("'<f4'", "'<f4"), ("(1, 2, 5)", "[1, 2, 5]"), ("(1, 2, 5)", "(1, 2, 5"), ("(1, 2, 5)", "(1 2 5)"),
            ("(1, 2, 5)", "(10)"), ("(1, 2, 5)", "(1, 2, -5)"), ("(1, 2, 5)", "(1, 2, 05)"), ("(1, 2, 5)", "(1, 2, 5.0)"),
            ("(1, 2, 5)", "(1, 2, 5,,)"), ("(1, 2, 5)", "(,)"), ("(1, 2, 5)", "(1, 2, x)"), ("(1, 2, 5)", "(1, 2, 5e0)"),
            ("(1, 2, 5)", "(1, 1, 1, 1, 2, 5)"), ("(1, 2, 5)", "10"), ("}", ", 'descr': '<f4'}"), ("}", ", 'more': 1}"),
            ("}", ", 'shape': (1, 2, 5)}"), (good, ""), (good, "None"), (good, "\0" * 40),
        ):
            with self.subTest(old=old, new=new):
                self.rejects(with_header(good.replace(old, new, 1), self.data), ".npy header")

    def test_dtypes(self):
        for dtype in (">f4", "<f8", "<i4", "<u4", "|i1", "<c8", "|b1", "<U1", "|S4", "<M8[s]", "|V4"):
            with self.subTest(dtype=dtype):
                array = np.zeros((1, 2, 5), np.dtype(dtype))
                self.rejects(npy_bytes(array), f"'{array.dtype.str}'")
        for dtype in ("<u2", "<i2", "|V2"):
            self.rejects(npy_bytes(np.zeros((1, 2, 5), np.dtype(dtype))), f"'{dtype}'", "--dtype bf16")
        self.rejects(npy_bytes(np.zeros((1, 2, 5), ">f2")), "'>f2'", options=("--dtype", "bf16"))
        self.rejects(npy_bytes(np.zeros((1, 2, 5), [("a", "<f4"), ("b", "<f4")])), "structured")
        objects = io.BytesIO()
        npy_format.write_array(objects, np.array([[[None, {}]]], object), allow_pickle=True)
        self.rejects(objects.getvalue(), "'|O'")

    def test_dtype_option(self):
        single, half = npy_bytes(self.input), npy_bytes(self.input.astype(np.float16))
        self.rejects(single, "'<f4'", "f16 is expected", options=("--dtype", "f16"))
        self.rejects(single, "'<f4'", "bf16 is expected", options=("--dtype", "bf16"))
        self.rejects(half, "'<f2'", "f32 is expected", options=("--dtype", "f32"))
        self.rejects(half, "'<f2'", "w.npy", "'<f4'")

    def test_size_of_the_file(self):
        whole = npy_bytes(self.input)
        self.rejects(whole + b"\0", "(1, 2, 5)", "40 bytes", "41")
        self.rejects(whole[:-1], "(1, 2, 5)", "40 bytes", "39")
        self.rejects(with_header("{'descr': '<f4', 'fortran_order': False, 'shape': (1, 2, 6)}", self.data), "48", "40")

    def test_huge_sizes(self):
        for shape in ("(4294967296, 4294967296, 4294967296)", "(1, 1, 9223372036854775807)", "(1, 1, 2305843009213693952)",
                      "(0, 9223372036854775807, 9223372036854775807)", "(9223372036854775807, 0, 2)"):
            for order in ("False", "True"):
                header = f"{{'descr': '<f4', 'fortran_order': {order}, 'shape': {shape}}}"
                with self.subTest(header=header):
                    self.rejects(with_header(header, self.data), "64 bits")
        for shape in ("(1, 1, 9223372036854775808)", "(1, 1, 99999999999999999999999999)"):
            header = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}}}"
            self.rejects(with_header(header, self.data), "below 2^63")
        header = "{'descr': '<f4', 'fortran_order': False, 'shape': (1, 1, 4000000000)}"
        self.rejects(with_header(header, self.data), "16000000000 bytes")

    def test_header_lengths(self):
        self.rejects(MAGIC + b"\x01\x00\xff\xff" + self.data, "65535", "40")
        self.rejects(MAGIC + b"\x02\x00\xff\xff\xff\xff" + self.data, "4294967295")
        self.rejects(MAGIC + b"\x02\x00\x00\x00", "cut short")
        self.rejects(MAGIC + b"\x01\x00\x00\x00" + self.data, ".npy header")
        for version in (b"\x00\x00", b"\x04\x00", b"\x01\x01"):
            self.rejects(MAGIC + version + b"\x00\x00" + self.data, "version")

    def test_data_off_their_alignment(self):
        header = b"{'descr': '<f4', 'fortran_order': False, 'shape': (1, 2, 5)}"
        header += b" " * (-(10 + len(header)) % 4 + 1)
        self.rejects(MAGIC + b"\x01\x00" + struct.pack("<H", len(header)) + header + self.data, "aligned")

    def test_zero_sizes(self):
        for shape in ((1, 0, 5), (1, 2, 0), (0, 2, 0)):
            self.rejects(npy_bytes(np.zeros(shape, np.float32)), "is 0")

    def test_dimensions(self):
        for shape in ((), (5,), (2, 5)):
            self.rejects(npy_bytes(np.zeros(shape, np.float32)), "dimensions")

    def test_not_files(self):
        self.fail_with(1, ["none.npy", "No such file"], "conv", "none.npy", "w.npy", "-o", "out.npy")
        os.mkdir(self.path("in.npy"))
        self.fail_with(1, ["in.npy", "not a regular file"], "conv", "in.npy", "w.npy", "-o", "out.npy")
        os.rmdir(self.path("in.npy"))
        os.mkfifo(self.path("in.npy"))
        self.fail_with(1, ["in.npy", "not a regular file"], "conv", "in.npy", "w.npy", "-o", "out.npy")
        self.fail_with(1, ["/dev/zero", "not a regular file"], "conv", "/dev/zero", "w.npy", "-o", "out.npy")

    def test_names_are_kept_to_one_line(self):
        self.fail_with(1, ["two?lines?[31m"], "conv", "two\nlines\x1b[31m", "w.npy", "-o", "out.npy")

    def test_weight_and_bias_too(self):
        self.write(npy_bytes(self.input))
        with open(self.path("bad.npy"), "wb") as file:
            file.write(b"not an array")
        self.fail_with(1, ["bad.npy"], "conv", "in.npy", "bad.npy", "-o", "out.npy")
        self.fail_with(1, ["bad.npy"], "conv", "in.npy", "w.npy", "--bias", "bad.npy", "-o", "out.npy")


class Types(CommandLineTest):
    def setUp(self):
        super().setUp()
        random = np.random.default_rng(3)
        self.input = random.standard_normal((2, 3, 7, 6)).astype(np.float16).astype(np.float32)
        self.weight = random.standard_normal((4, 3, 3, 2)).astype(np.float16).astype(np.float32)
        self.bias = random.standard_normal(4).astype(np.float16).astype(np.float32)

    def test_float16(self):
        self.save("in.npy", self.input.astype(np.float16))
        self.save("w.npy", self.weight.astype(np.float16))
        expected = convolve(self.input, self.weight, self.bias)
        for bias in (self.bias, self.bias.astype(np.float16)):
            self.save("b.npy", bias)
            for dtype in ((), ("--dtype", "f16")):
                self.succeed("conv", "in.npy", "w.npy", "--bias", "b.npy", "-o", "out.npy", *dtype)
                self.assertEqual(self.load("out.npy").dtype, np.float16)
                np.testing.assert_allclose(self.load("out.npy"), expected, rtol=2e-3, atol=1e-2)

    def test_bfloat16(self):
        input, weight, bias = (to_bfloat16(array) for array in (self.input, self.weight, self.bias))
        expected = convolve(from_bfloat16(input), from_bfloat16(weight), from_bfloat16(bias))
        outputs = []
        for dtype in ("<u2", "<i2", "<f2", "V2"):
            self.save("in.npy", input.view(dtype))
            self.save("w.npy", weight)
            for bias_array in (bias.view(dtype), from_bfloat16(bias)):
                self.save("b.npy", bias_array)
                self.succeed("conv", "in.npy", "w.npy", "--bias", "b.npy", "-o", "out.npy", "--dtype", "bf16")
                self.assertEqual(self.load("out.npy").dtype, np.dtype(dtype))
                outputs.append(from_bfloat16(self.load("out.npy")))
        for output in outputs:
            np.testing.assert_array_equal(output, outputs[0])
        np.testing.assert_allclose(outputs[0], expected, rtol=1e-2, atol=5e-2)

    def test_bias_of_another_type(self):
        self.save("in.npy", self.input)
        self.save("w.npy", self.weight)
        self.save("b.npy", self.bias.astype(np.float16))
        self.fail_with(1, ["b.npy", "'<f2'", "f32"], "conv", "in.npy", "w.npy", "--bias", "b.npy", "-o", "out.npy")
        self.save("b.npy", self.bias.astype(np.float64))
        self.fail_with(1, ["b.npy", "'<f8'"], "conv", "in.npy", "w.npy", "--bias", "b.npy", "-o", "out.npy")
