# SPDX-License-Identifier: MIT
"""What the judges share: an answer in float64 that is not ours, and how far an fp32 sum may be from it."""

import pathlib
import sys

import numpy

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "tests"))
from conftest import OPS, each, naive, pairs  # noqa: E402, F401

try:
    import torch
except ImportError:
    torch = None

EPSILON = 2.0**-24  # half a unit in the last place of an fp32 number in [1, 2)


def by_torch(op, x, w, bias=None, stride=1, padding=0, output_padding=0, dilation=1, groups=1):
    """PyTorch in float64, batched and channels first. Padding may differ at both ends, which its functions do not take: the input of a
    convolution is padded before, the whole result of a transposed one cropped after output_padding was appended."""
    rank = int(op[-2])
    x, w = (torch.from_numpy(numpy.array(one, numpy.float64)) for one in (x, w))
    function, sides = getattr(torch.nn.functional, op), pairs(padding, rank)
    if "transpose" in op:
        out = widened(function(x, w, None, stride, 0, 0, groups, dilation), [(0, more) for more in each(output_padding, rank)])
        out = widened(out, [(-begin, -end) for begin, end in sides])
    else:
        out = function(widened(x, sides), w, None, stride, 0, dilation, groups)
    if bias is not None:
        out = out + torch.from_numpy(numpy.array(bias, numpy.float64)).reshape(1, -1, *[1] * rank)
    return out.numpy()


def widened(tensor, sides):
    """With zeros at the ends of its last axes, or without so many elements where that is negative."""
    return torch.nn.functional.pad(tensor, [side for axis in reversed(sides) for side in axis])


def by_naive(op, x, w, bias=None, **options):
    """The naive loop in float64, where PyTorch is not installed. A negative padding crops the input."""
    sides = pairs(options.get("padding", 0), int(op[-2]))
    if "transpose" not in op:
        x = x[(..., *(slice(max(0, -begin), size - max(0, -end)) for size, (begin, end) in zip(x.shape[2:], sides)))]
        options = {**options, "padding": [(max(0, begin), max(0, end)) for begin, end in sides]}
    return naive(op, x, w, bias, **options)


judge = by_naive if torch is None else by_torch


def bound(op, x, w, bias, options):
    """How far an fp32 sum of these products may be from the true one, each output for itself: an fp32 sum of n terms is off by at most
    n * 2^-24 * the sum of their magnitudes. The magnitudes are what the tensors' magnitudes give, n what tensors of ones give."""
    x, w, bias = (None if one is None else numpy.abs(one.astype(numpy.float64)) for one in (x, w, bias))
    sizes = judge(op, x, w, bias, **options)
    terms = judge(op, *(None if one is None else numpy.ones_like(one) for one in (x, w, bias)), **options)
    return (terms + 2) * EPSILON * sizes + 1e-30


def assert_judged(actual, op, x, w, bias=None, **options):
    """That a result is the judge's within the bound."""
    expected = judge(op, x, w, bias, **options)
    actual = numpy.asarray(actual)
    assert actual.shape == expected.shape
    wrong = numpy.abs(actual.astype(numpy.float64) - expected) > bound(op, x, w, bias, options)
    assert not wrong.any(), f"{wrong.sum()} of {wrong.size} outputs"
