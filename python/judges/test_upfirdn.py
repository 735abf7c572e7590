# SPDX-License-Identifier: MIT
"""scipy.signal.upfirdn, a polyphase filter of another make: 1-D transposed convolutions, and convolutions, channel by channel."""

import numpy
import pytest

signal = pytest.importorskip("scipy.signal", reason="SciPy is not installed")

import tilefold  # noqa: E402
from judging import EPSILON  # noqa: E402


def spread(taps, dilation):
    """The kernel with zeros between its taps."""
    out = numpy.zeros(dilation * (len(taps) - 1) + 1)
    out[::dilation] = taps
    return out


def filtered(x, kernels, groups, up, down, dilation):
    """The sum over the channels of a group of each one's polyphase filter. x (N, C, L), kernels (C, O/groups, K); float64."""
    per_group = x.shape[1] // groups
    return numpy.array([[sum(signal.upfirdn(spread(kernels[c, o], dilation), image[c], up, down)
                             for c in range(g * per_group, (g + 1) * per_group))
                         for g in range(groups) for o in range(kernels.shape[1])] for image in x])


def problem(inputs, outputs, length, kernel, groups):
    random = numpy.random.default_rng(length * kernel)
    return (random.standard_normal((2, inputs, length)).astype("f4"),
            random.standard_normal((inputs, outputs // groups, kernel)).astype("f4"))


def assert_near(actual, x, w, *options):
    expected = filtered(x.astype(float), w.astype(float), *options)
    sizes = filtered(abs(x).astype(float), abs(w).astype(float), *options)
    terms = filtered(numpy.ones(x.shape), numpy.ones(w.shape), *options)
    assert actual.shape == expected.shape
    assert (numpy.abs(actual - expected) <= (terms + 2) * EPSILON * sizes + 1e-30).all()


CASES = [(1, 1, 50, 64, 1), (3, 5, 40, 9, 1), (4, 6, 33, 7, 2), (4, 4, 21, 16, 4), (2, 3, 1, 5, 1), (3, 2, 17, 1, 1)]


@pytest.mark.parametrize("dilation", (1, 2, 3))
@pytest.mark.parametrize("stride", (1, 2, 3, 8, 20))
@pytest.mark.parametrize("inputs, outputs, length, kernel, groups", CASES)
def test_transposed(inputs, outputs, length, kernel, groups, stride, dilation):
    x, w = problem(inputs, outputs, length, kernel, groups)
    for scratch in ("16MiB", "8KiB"):
        actual = tilefold.conv_transpose1d(x, w, stride=stride, dilation=dilation, groups=groups, scratch=scratch)
        assert_near(actual, x, w, groups, stride, 1, dilation)


@pytest.mark.parametrize("dilation", (1, 3))
@pytest.mark.parametrize("stride", (1, 2, 5))
@pytest.mark.parametrize("inputs, outputs, length, kernel, groups", CASES)
def test_convolution(inputs, outputs, length, kernel, groups, stride, dilation):
    """Its kernel is reversed, and its padding what makes every overlap an output."""
    x, w = problem(inputs, outputs, length, kernel, groups)
    per_group, each = inputs // groups, outputs // groups
    weight = numpy.concatenate([w[g * per_group:(g + 1) * per_group].transpose(1, 0, 2) for g in range(groups)])[:, :, ::-1]
    assert weight.shape == (each * groups, per_group, kernel)
    actual = tilefold.conv1d(x, weight, stride=stride, dilation=dilation, groups=groups, padding=dilation * (kernel - 1))
    assert_near(actual, x, w, groups, 1, stride, dilation)
