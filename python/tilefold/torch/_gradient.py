# SPDX-License-Identifier: MIT
"""The gradient of a weight, as convolutions of the library by strides alone. Nothing is packed beside the limit.

    out[o, c, k] = sum over n, x of  small[n, o, x] * large[n, c, x*stride + k*dilation - begin]

small is the kernel, and what a convolution calls stride is here the dilation, and the other way round: an axis of x is one of
taps, its k are the outputs. What is left are images, to sum over, and the channels c, which are positions. There are two ways:

    columns    for each tap k of the last axis one convolution, whose channels are the x that meet the input there
               axes: images (N taps, 1 output), the other axes (X taps, K outputs), channels c (1 tap, C outputs)
    images     one convolution, whose channels are the images
               axes: all (X taps, K outputs); batch: channels c

The first is a product with long rows that are read where they lie; the second needs no call for each k, and no product. Where
columns have an axis too many (images, two axes and c), c is the batch.
"""

from __future__ import annotations

import functools
from typing import Any, List, NamedTuple, Tuple

from .. import _library
from .._arrays import Form, Operand
from .._library import TYPE_BYTES, lib
from .._native import KEEP_BYTES, NativePlan
from .._problem import Options

Sizes = Tuple[int, ...]

_MOST_COLUMNS = 32  # taps of the last axis


class Geometry(NamedTuple):
    """The numbers of a gradient."""

    stride: Sizes
    begin: Sizes
    dilation: Sizes
    groups: int


class _Axis(NamedTuple):
    """One axis of the convolution, with its strides in large, small and out."""

    size: int
    taps: int
    outputs: int
    stride: int
    dilation: int
    begin: int
    strides: Tuple[int, int, int]


class _Part(NamedTuple):
    """One convolution, and where in large, small and out it begins, in bytes."""

    native: NativePlan
    large: int
    small: int
    out: int


def _spatial(large: Form, small: Form, out: Form, geometry: Geometry, axis: int) -> _Axis:
    at = 2 + axis
    return _Axis(large.shape[at], small.shape[at], out.shape[at], geometry.dilation[axis], geometry.stride[axis],
                 geometry.begin[axis], (large.strides[at], small.strides[at], out.strides[at]))


def _native(forms: Tuple[Form, Form, Form], groups: int, axes: List[_Axis], batch: Tuple[int, int, int],
            channels: Tuple[int, int, int], options: Options) -> NativePlan:
    """The convolution of these axes. batch is a count with its strides in large and out, channels one with those in large and
    small."""
    large, small, out = forms
    problem = _library.struct("problem", lib.TILEFOLD_CONV, large.kind.type_of(large.dtype, "input"), len(axes))
    inputs, outputs = large.shape[1] // groups, small.shape[1] // groups
    problem.batch, problem.groups = batch[0], groups
    problem.in_channels, problem.out_channels = groups * channels[0], groups * outputs
    in_, of, weight = problem.input_stride, problem.output_stride, problem.weight_stride
    for number, axis in enumerate(axes):
        problem.input_size[number], problem.kernel[number] = axis.size, axis.taps
        problem.stride[number], problem.dilation[number] = axis.stride, axis.dilation
        problem.padding_begin[number] = axis.begin
        reach = (axis.outputs - 1) * axis.stride + (axis.taps - 1) * axis.dilation + 1
        problem.padding_end[number] = reach - axis.size - axis.begin
        in_.spatial[number], weight.spatial[number], of.spatial[number] = axis.strides
    in_.batch, of.batch = batch[1:]
    in_.channel, weight.in_channel = channels[1:]
    in_.group, weight.group, of.group = large.strides[1] * inputs, small.strides[1] * outputs, out.strides[0] * outputs
    weight.out_channel, of.channel = small.strides[1], out.strides[0]
    return NativePlan(problem, tuple(out.shape), options, KEEP_BYTES)


def _by_images(forms: Tuple[Form, Form, Form], geometry: Geometry, options: Options) -> List[_Part]:
    large, small, out = forms
    axes = [_spatial(*forms, geometry, axis) for axis in range(len(geometry.stride))]
    batch = large.shape[1] // geometry.groups, large.strides[1], out.strides[1]
    channels = large.shape[0], large.strides[0], small.strides[0]
    return [_Part(_native(forms, geometry.groups, axes, batch, channels, options), 0, 0, 0)]


def _by_columns(forms: Tuple[Form, Form, Form], geometry: Geometry, options: Options) -> List[_Part]:
    large, small, out = forms
    images, inputs = large.shape[0], large.shape[1] // geometry.groups
    axes = [_Axis(images, images, 1, 1, 1, 0, (large.strides[0], small.strides[0], 0))] if images > 1 else []
    axes += [_spatial(*forms, geometry, axis) for axis in range(len(geometry.stride) - 1)]
    batch = 1, 0, 0
    if len(axes) < lib.TILEFOLD_MAX_RANK:
        axes.append(_Axis(inputs, 1, inputs, 1, 1, 0, (large.strides[1], 0, out.strides[1])))
    else:
        batch = inputs, large.strides[1], out.strides[1]
    last, parts = _spatial(*forms, geometry, len(geometry.stride) - 1), []
    element = TYPE_BYTES[large.kind.type_of(large.dtype, "input")]
    of_length = functools.lru_cache(maxsize=None)(lambda count: _native(
        forms, geometry.groups, axes, batch, (count, last.dilation * last.strides[0], last.strides[1]), options))
    for k in range(last.outputs):
        offset = k * last.stride - last.begin  # of x = 0 in the input
        first, end = max(0, -(offset // last.dilation)), min(last.taps, (last.size - 1 - offset) // last.dilation + 1)
        if first < end:
            parts.append(_Part(of_length(end - first), element * (first * last.dilation + offset) * last.strides[0],
                               element * first * last.strides[1], element * k * last.strides[2]))
    return parts


@functools.lru_cache(maxsize=32)
def _parts(large: Form, small: Form, out: Form, geometry: Geometry, options: Options) -> List[_Part]:
    if small.dtype != large.dtype:
        raise TypeError(f"input is {large.dtype}, its gradient's factor {small.dtype}: both must have one type")
    products = out.shape[0] // geometry.groups * out.shape[1]  # of channels, in a group: a product of one by one gains nothing
    way = _by_columns if out.shape[-1] <= _MOST_COLUMNS and products > 1 else _by_images
    return way((large, small, out), geometry, options._replace(prepack=False))


def compute(large: Operand, small: Operand, out: Operand, geometry: Geometry, options: Options) -> None:
    """Writes the gradient to out, but for taps that meet no input."""
    for part in _parts(large.form, small.form, out.form, geometry, options):
        part.native.run(large.address + part.large, small.address + part.small, 0, 0, out.address + part.out, None)
