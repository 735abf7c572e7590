# SPDX-License-Identifier: MIT
"""Wrong arguments: what is raised, and that it says why."""

import numpy
import pytest
import tilefold

X, W = numpy.ones((1, 4, 8, 8), "f4"), numpy.ones((6, 4, 3, 3), "f4")

VALUES = {
    "an axis too few": (dict(input=X[0, 0]), "axes"),
    "an axis too many": (dict(input=X[None]), "axes"),
    "a weight of two axes": (dict(weight=W[0, 0]), "weight has 2 axes"),
    "an empty weight": (dict(weight=W[:0]), "empty"),
    "channels that differ": (dict(weight=W[:, :3]), "input has 4 channels"),
    "groups that do not divide": (dict(groups=3), "channels"),
    "no groups": (dict(groups=0), "groups is 0"),
    "a stride of 0": (dict(stride=0), "stride"),
    "strides for three axes": (dict(stride=(1, 1, 1)), "stride has 3 values for 2"),
    "a dilation of 0": (dict(dilation=0), "dilation"),
    "a kernel larger than the input": (dict(dilation=9), "output"),
    "a padding that is none": (dict(padding="some"), "same"),
    "same with a stride": (dict(padding="same", stride=2), "stride of 1"),
    "a padding of three": (dict(padding=((1, 2, 3), 1)), "pair"),
    "a layout that is none": (dict(layout="NCHW"), "channels_last"),
    "an algorithm that is none": (dict(algorithm="winograd"), "implicit"),
    "a math that is none": (dict(math="quick"), "exact"),
    "an activation that is none": (dict(activation="gelu"), "relu"),
    "bounds in the wrong order": (dict(activation=(1, 0)), "clamp"),
    "bytes that are none": (dict(scratch="16MB"), "MiB"),
    "a negative number of bytes": (dict(scratch=-1), "bytes"),
    "too many bytes": (dict(scratch=1 << 63), "bytes"),
    "a device that is none": (dict(device="cuda"), "vulkan"),
    "a device number that is none": (dict(device="vulkan:x"), "vulkan"),
    "no threads": (dict(threads=0), "threads is 0"),
    "too many threads": (dict(threads=100000), "threads"),
    "a bias of another length": (dict(bias=numpy.ones(5, "f4")), "bias is of shape"),
    "a bias of two axes": (dict(bias=numpy.ones((6, 1), "f4")), "bias is of shape"),
    "out of another shape": (dict(out=numpy.ones((1, 6, 6, 5), "f4")), r"out is of shape \(1, 6, 6, 5\), not \(1, 6, 6, 6\)"),
    "a stride past 64 bits": (dict(stride=1 << 70), "64 bits"),
}

TYPES = {
    "a stride that is a float": (dict(stride=1.0), "stride is 1.0"),
    "a stride that is a truth": (dict(stride=True), "stride is True"),
    "a list of floats": (dict(stride=[1.0, 1.0]), "stride is 1.0"),
    "a padding that is None": (dict(padding=None), "padding is None"),
    "a layout that is no word": (dict(layout=1), "layout is 1"),
    "bytes that are a float": (dict(scratch=1e6), "scratch"),
    "threads that are a float": (dict(threads=2.0), "threads"),
    "a device that is no word": (dict(device=0), "device"),
    "an activation of one number": (dict(activation=3.0), "activation"),
    "progress that is no function": (dict(progress=3), "progress"),
    "prepack that is no truth": (dict(prepack=1), "prepack"),
}


def call(**arguments):
    arguments = {"input": X, "weight": W, **arguments}
    return tilefold.conv2d(**arguments)


@pytest.mark.parametrize("what", VALUES)
def test_value_errors(what):
    arguments, match = VALUES[what]
    with pytest.raises(ValueError, match=match):
        call(**arguments)


@pytest.mark.parametrize("what", TYPES)
def test_type_errors(what):
    call()  # what is equal to a cached argument is not the same as one
    arguments, match = TYPES[what]
    with pytest.raises(TypeError, match=match):
        call(**arguments)


def test_transposed_takes_no_words_for_padding():
    for word in ("same", "valid"):
        with pytest.raises(ValueError, match="transposed"):
            tilefold.conv_transpose2d(X, W.swapaxes(0, 1), padding=word)


def test_what_is_not_there():
    with pytest.raises(RuntimeError, match="no.*device"):
        call(device="vulkan:99")
    with pytest.raises(RuntimeError, match="unsupported"):
        call(algorithm="direct", weight=numpy.ones((60, 4, 3, 3), "f4"))
    with pytest.raises(ValueError, match="op is"):
        tilefold.plan("conv4d", (1, 1, 8), (1, 1, 3))


def test_sizes_beyond_all_memory_are_errors():
    with pytest.raises(ValueError, match="64 bits|overflow|too|fit|large"):
        tilefold.plan("conv1d", (1, 1, 1 << 62), (1, 1, 1))
    with pytest.raises(MemoryError):
        tilefold.conv1d(numpy.broadcast_to(numpy.ones(1, "f4"), (1, 1, 1 << 55)), numpy.ones((1, 1, 1), "f4"))
