# SPDX-License-Identifier: MIT
"""What the tests share: the naive loop in float64, and problems of every kind."""

import itertools
import pathlib

import numpy
import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]


def pairs(padding, rank):
    values = padding if isinstance(padding, (tuple, list)) else (padding,) * rank
    return [value if isinstance(value, (tuple, list)) else (value, value) for value in values]


def each(value, rank):
    return tuple(value) if isinstance(value, (tuple, list)) else (value,) * rank


def naive(op, x, w, bias=None, stride=1, padding=0, output_padding=0, dilation=1, groups=1):
    """The formulas, channels first and batched, in float64: one product of channels for each tap and output or input."""
    rank, transposed = int(op[-2]), "transpose" in op
    stride, dilation, output_padding = (each(value, rank) for value in (stride, dilation, output_padding))
    padding = pairs(padding, rank)
    x, w = x.astype(numpy.float64), w.astype(numpy.float64)
    sizes, kernel = x.shape[2:], w.shape[2:]
    inputs = x.shape[1] // groups
    outputs = w.shape[1] if transposed else w.shape[0] // groups
    spans = [d * (k - 1) + 1 for d, k in zip(dilation, kernel)]
    if transposed:
        shape = [(i - 1) * s - sum(p) + span + extra
                 for i, s, p, span, extra in zip(sizes, stride, padding, spans, output_padding)]
    else:
        shape = [(i + sum(p) - span) // s + 1 for i, s, p, span in zip(sizes, stride, padding, spans)]
    out = numpy.zeros((x.shape[0], outputs * groups, *shape))
    if bias is not None:
        out += bias.astype(numpy.float64).reshape(1, -1, *[1] * rank)
    for tap in itertools.product(*map(range, kernel)):
        for at in itertools.product(*map(range, sizes if transposed else shape)):
            other = tuple(a * s + k * d - p[0] for a, s, k, d, p in zip(at, stride, tap, dilation, padding))
            if any(not 0 <= o < n for o, n in zip(other, shape if transposed else sizes)):
                continue
            here, there = (other, at) if transposed else (at, other)
            for g in range(groups):
                c, o = slice(g * inputs, (g + 1) * inputs), slice(g * outputs, (g + 1) * outputs)
                matrix = w[c][(slice(None), slice(None), *tap)] if transposed else w[o][(slice(None), slice(None), *tap)].T
                out[(slice(None), o, *here)] += x[(slice(None), c, *there)] @ matrix
    return out


class Problem:
    """Arrays and options of one call, of one of the six operations."""

    def __init__(self, op, batch=2, inputs=4, outputs=6, sizes=None, kernel=None, dtype="float32", seed=0, **options):
        random = numpy.random.default_rng(seed)
        rank, groups = int(op[-2]), options.get("groups", 1)
        self.op, self.options = op, options
        sizes, kernel = sizes or (9, 7, 6)[:rank], kernel or (3, 2, 3)[:rank]
        shape = (inputs, outputs // groups) if "transpose" in op else (outputs, inputs // groups)
        self.x = random.standard_normal((batch, inputs, *sizes)).astype(dtype)
        self.w = random.standard_normal((*shape, *kernel)).astype(dtype)
        self.bias = random.standard_normal(outputs).astype(dtype)

    def expected(self, bias=True):
        return naive(self.op, self.x, self.w, self.bias if bias else None, **self.options)


OPS = ("conv1d", "conv2d", "conv3d", "conv_transpose1d", "conv_transpose2d", "conv_transpose3d")


@pytest.fixture(params=OPS)
def op(request):
    return request.param


def close(actual, expected, dtype="float32"):
    tolerance = {"float32": 2e-6, "float16": 2e-3, "bfloat16": 1.6e-2}[dtype]
    assert actual.shape == expected.shape
    assert numpy.abs(actual.astype(numpy.float64) - expected).max() <= tolerance * max(1, numpy.abs(expected).max())
