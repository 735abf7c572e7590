# SPDX-License-Identifier: MIT
"""MLX on the CPU, whose arrays are channels last: its arrays in, its arrays out, its results where they are right.

They are not everywhere: in three dimensions it refuses groups, and a transposed convolution of two or three dimensions and a
stride whose padding exceeds dilation * (kernel - 1) comes in the wrong shape (0.32.4). Those are left out, by exactly that rule.
"""

import itertools

import numpy
import pytest

mx = pytest.importorskip("mlx.core", reason="MLX is not installed: make test-judges", exc_type=ImportError)

import tilefold  # noqa: E402
from judging import EPSILON, OPS  # noqa: E402

KERNEL, SIZES = (3, 2, 3), (9, 8, 7)
CASES = 341


def is_right(op, stride, padding, dilation, groups, **_):
    rank = int(op[-2])
    if rank == 3 and groups > 1:
        return False
    return rank == 1 or "transpose" not in op or stride == 1 or all(padding <= dilation * (k - 1) for k in KERNEL[:rank])


def all_cases():
    names = "stride", "padding", "dilation", "groups", "output_padding"
    for op, *values in itertools.product(OPS, (1, 2, 3), (0, 1, 2), (1, 2), (1, 2, 4), (0, 1)):
        options = dict(zip(names, values))
        if "transpose" not in op and options.pop("output_padding"):
            continue
        if options.get("output_padding", 0) < max(options["stride"], options["dilation"]) and is_right(op, **options):
            yield pytest.param(op, options, id=f"{op}-{'-'.join(map(str, options.values()))}")


cases = list(all_cases())


def test_all_cases_are_there():
    assert len(cases) == CASES


@pytest.mark.parametrize("op, options", cases)
def test_a_case(op, options):
    rank, groups = int(op[-2]), options["groups"]
    random = numpy.random.default_rng(rank)
    x = random.standard_normal((2, *SIZES[:rank], 4)).astype("f4")
    w = random.standard_normal((8, *KERNEL[:rank], 4 // groups)).astype("f4")

    theirs = getattr(mx, op)
    expected = theirs(mx.array(x), mx.array(w), **options)
    actual = getattr(tilefold, op)(mx.array(x), mx.array(w), layout="channels_last", **options)
    assert type(actual) is type(expected) and actual.shape == expected.shape
    # Two fp32 sums: each off by at most its number of terms * 2^-24 * the sum of their magnitudes.
    terms = numpy.prod(w.shape[1:])
    allowed = 2 * (terms + 2) * EPSILON * numpy.array(theirs(mx.array(abs(x)), mx.array(abs(w)), **options)) + 1e-30
    assert (numpy.abs(numpy.array(actual) - numpy.array(expected)) <= allowed).all()
