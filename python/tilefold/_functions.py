# SPDX-License-Identifier: MIT
"""The functions: one call computes one convolution."""

from __future__ import annotations

import functools
from typing import Any, Callable, List, NamedTuple, Optional, Sequence, Tuple, TypeVar, Union

from . import _arrays, _library, _watch
from ._arrays import Form, Operand, Shape
from ._native import KEEP_BYTES, NativePlan, Strides, for_strides
from ._problem import describe
from ._watch import Progress

Ints = Union[int, Sequence[int]]
Padding = Union[str, int, Sequence[Union[int, Tuple[int, int]]]]
Activation = Union[None, str, Tuple[float, float]]
Scratch = Union[int, str, None]
Function = TypeVar("Function", bound=Callable[..., Any])


# ------------------------------------------------------------------------------------------------------- one call


def strides_of(input_: Optional[Form], weight: Optional[Form], out: Optional[Form], type_: int) -> Strides:
    """The strides of a call's arrays, which must all have one type. TypeError or ValueError where they do not fit it."""
    found: List[Optional[Shape]] = []
    for name, form in (("input", input_), ("weight", weight), ("out", out)):
        if form is None:
            found.append(None)
            continue
        if form.kind.type_of(form.dtype, name) != type_:
            raise TypeError(f"{name} is {form.dtype}, not {_library.TYPE_NAMES[type_]}: input, weight and out must have one type")
        found.append(_arrays.strides(form, type_, name))
    return Strides(found[0], found[1], found[2], None if out is None else out.shape)


_ARGUMENTS = ("stride", "padding", "output_padding", "dilation", "groups", "layout", "scratch", "device", "threads",
              "algorithm", "math", "activation", "prepack")
_DEVICE = _ARGUMENTS.index("device")


def _prepare(input_: Form, weight: Form, out: Optional[Form], bias: bool, op: str, *arguments: Any) -> NativePlan:
    """The native plan of a call, which depends on these alone."""
    type_ = input_.kind.type_of(input_.dtype, "input")
    strides = strides_of(input_, weight, out, type_)
    description = describe(op, input_.shape, weight.shape, type_, **dict(zip(_ARGUMENTS, arguments)))
    return for_strides(description, bias, strides, KEEP_BYTES)


# typed: a stride of 1.0 is not one of 1. Plans for Vulkan hold memory of the device.
_prepare_cpu = functools.lru_cache(maxsize=64, typed=True)(_prepare)
_prepare_vulkan = functools.lru_cache(maxsize=4, typed=True)(_prepare)


def _hashable(value: Any) -> Any:
    return tuple(map(_hashable, value)) if isinstance(value, list) else value


def call(input_: Any, weight: Any, bias: Any, out: Any, progress: Progress, op: str, *arguments: Any) -> Any:
    """One convolution; arguments as named in _ARGUMENTS."""
    inputs, weights = _arrays.operand(input_, "input"), _arrays.operand(weight, "weight")
    outputs = None if out is None else _arrays.operand(out, "out")
    prepare = _prepare_cpu if arguments[_DEVICE] == "cpu" else _prepare_vulkan
    forms = inputs.form, weights.form, None if outputs is None else outputs.form, bias is not None, op
    try:
        native = prepare(*forms, *arguments)
    except TypeError:
        native = prepare(*forms, *map(_hashable, arguments))  # a list; or else the error that it was
    return compute(native, inputs, weights, bias, outputs, progress)


class Piece(NamedTuple):
    """What is computed of a native plan's problem: a problem that differs in strides, a window of it, and the shape of the result."""

    problem: Any
    window: Any
    shape: Shape


def compute(native: NativePlan, input_: Operand, weight: Operand, bias: Any, out: Optional[Operand], progress: Progress,
            packed: int = 0, piece: Optional[Piece] = None) -> Any:
    """Runs a native plan that was made for the strides of these operands, or a piece of it that has them."""
    report = None if progress is None else _watch.reporter(progress)
    vector = None if bias is None else _bias_vector(bias, native)
    if out is None:
        result = input_.form.kind.empty(native.output_shape if piece is None else piece.shape, input_)
    else:
        result = out
        _check_out(out, (input_, weight, vector))
    native.run(input_.address, weight.address, packed, 0 if vector is None else vector.address, result.address, report,
               piece.problem if piece else None, piece.window if piece else None)
    return result.array if out is not None else input_.form.kind.finish(result, input_)


def _bias_vector(bias: Any, native: NativePlan) -> Operand:
    """A bias as a dense float32 vector."""
    operand = _arrays.operand(bias, "bias")
    return operand if _is_vector(operand.form, native.type, native.bias_shape) else _arrays.float32_vector(operand)


@functools.lru_cache(maxsize=64)
def _is_vector(form: Form, type_: int, shape: Shape) -> bool:
    """Whether a bias needs no conversion. TypeError or ValueError where it is none."""
    found, float32 = form.kind.type_of(form.dtype, "bias"), _library.TYPES["float32"]
    if found not in (type_, float32):
        raise TypeError(f"bias is {form.dtype}, neither input's type nor float32")
    if form.shape != shape:
        raise ValueError(f"bias is of shape {tuple(form.shape)}, not {shape}, one for each output channel")
    return found == float32 and _arrays.strides(form, found, "bias") == (1,)


def _check_out(out: Operand, inputs: Sequence[Optional[Operand]]) -> None:
    out.form.kind.check_writable(out)
    for operand in inputs:
        if operand is not None and _arrays.may_overlap(out, operand):
            raise ValueError("out overlaps an input of the same call")


# ------------------------------------------------------------------------------------------------- the functions

_OPTIONS = """
    layout      "channels_first" as above, or "channels_last": input (N, spatial..., C), weight (O, kernel..., C/groups) for
                both operations, result (N, spatial..., O)
    scratch     the most bytes that may be used beside the arrays and the packed weights: an integer, "64KiB", "16MiB"; None: no limit
    device      "cpu", "vulkan" or "vulkan:N", see tilefold.devices()
    threads     at most so many; None: one for each core
    algorithm   "auto", "unfold", "implicit" or "direct"
    math        "exact": the same bits whatever the limit, threads and machine. "fast": fewer multiplications where that gains
    activation  None, "relu", "relu6" or (low, high), which the result is clamped to
    out         an array of the result's shape and type, of any strides, to write to; it is returned
    progress    a function of (done, total) tiles, called in this thread; True for a bar, by tqdm
    prepack     False: hold no packed copy of the weights, which costs time where there are few outputs

    Arrays are NumPy's (of any aligned strides, memory-mapped ones too), PyTorch's, or any with __dlpack__, on the CPU, of float32,
    float16 or bfloat16 (ml_dtypes), all of one type; a bias may be float32 as well. None is copied. The result is of input's kind.
    The interpreter's lock is released while it computes, and Ctrl-C stops it.

    TypeError for other types of arrays or arguments, ValueError for arguments that are wrong or contradict each other,
    tilefold.LimitTooSmall (a MemoryError) where scratch is below the least, its bytes_needed, MemoryError, RuntimeError for the rest.
"""


def _documented(function: Function) -> Function:
    """Puts what all functions have in common into a docstring, in the place of a line "[options]"."""
    function.__doc__ = (function.__doc__ or "").replace("    [options]\n", _OPTIONS.lstrip("\n"))
    return function


@_documented
def conv1d(input: Any, weight: Any, bias: Any = None, stride: Ints = 1, padding: Padding = 0, dilation: Ints = 1,
           groups: int = 1, *, layout: str = "channels_first", scratch: Scratch = "16MiB", device: str = "cpu",
           threads: Optional[int] = None, algorithm: str = "auto", math: str = "exact", activation: Activation = None,
           out: Any = None, progress: Progress = None, prepack: bool = True) -> Any:
    """A 1-D convolution, in at most `scratch` bytes: torch.nn.functional.conv1d.

    input (N, C, L) or (C, L), weight (O, C/groups, K), bias (O,)

        for n, o, x:
            out[n, o, x] = bias[o] + sum over k, c of  input[n, c, x*stride + k*dilation - padding]
                               * weight[o, c, k]    c of o's group; input is 0 outside

    Result (N, O, ...): along each axis (I + 2*padding - dilation*(K - 1) - 1) // stride + 1.

    stride, padding and dilation are one number, or one for each axis; padding is also "same", "valid", or a pair (begin, end) for each axis,
    negative to crop.

    [options]

    >>> import numpy, tilefold
    >>> tilefold.conv1d(numpy.ones((1, 1, 5), "f4"), numpy.ones((1, 1, 3), "f4"))
    array([[[3., 3., 3.]]], dtype=float32)
    """
    return call(input, weight, bias, out, progress, "conv1d", stride, padding, 0, dilation, groups, layout, scratch, device,
                threads, algorithm, math, activation, prepack)


@_documented
def conv2d(input: Any, weight: Any, bias: Any = None, stride: Ints = 1, padding: Padding = 0, dilation: Ints = 1,
           groups: int = 1, *, layout: str = "channels_first", scratch: Scratch = "16MiB", device: str = "cpu",
           threads: Optional[int] = None, algorithm: str = "auto", math: str = "exact", activation: Activation = None,
           out: Any = None, progress: Progress = None, prepack: bool = True) -> Any:
    """A 2-D convolution, in at most `scratch` bytes: torch.nn.functional.conv2d.

    input (N, C, H, W) or (C, H, W), weight (O, C/groups, KH, KW), bias (O,)

        for n, o, y, x:
            out[n, o, y, x] = bias[o] + sum over ky, kx, c of  input[n, c, y*stride[0] + ky*dilation[0] - padding[0], x*stride[1] + kx*dilation[1] - padding[1]]
                               * weight[o, c, ky, kx]    c of o's group; input is 0 outside

    Result (N, O, ...): along each axis (I + 2*padding - dilation*(K - 1) - 1) // stride + 1.

    stride, padding and dilation are one number, or one for each axis; padding is also "same", "valid", or a pair (begin, end) for each axis,
    negative to crop.

    [options]

    >>> import numpy, tilefold
    >>> image, weight = numpy.ones((1, 64, 56, 56), "f4"), numpy.ones((8, 64, 3, 3), "f4")
    >>> tilefold.conv2d(image, weight, padding="same", scratch="64KiB")[0, 0, :2, :3]
    array([[256., 384., 384.],
           [384., 576., 576.]], dtype=float32)
    """
    return call(input, weight, bias, out, progress, "conv2d", stride, padding, 0, dilation, groups, layout, scratch, device,
                threads, algorithm, math, activation, prepack)


@_documented
def conv3d(input: Any, weight: Any, bias: Any = None, stride: Ints = 1, padding: Padding = 0, dilation: Ints = 1,
           groups: int = 1, *, layout: str = "channels_first", scratch: Scratch = "16MiB", device: str = "cpu",
           threads: Optional[int] = None, algorithm: str = "auto", math: str = "exact", activation: Activation = None,
           out: Any = None, progress: Progress = None, prepack: bool = True) -> Any:
    """A 3-D convolution, in at most `scratch` bytes: torch.nn.functional.conv3d.

    input (N, C, D, H, W) or (C, D, H, W), weight (O, C/groups, KD, KH, KW), bias (O,)

        for n, o, z, y, x:
            out[n, o, z, y, x] = bias[o] + sum over kz, ky, kx, c of  input[n, c, z*stride[0] + kz*dilation[0] - padding[0], ...]
                               * weight[o, c, kz, ky, kx]    c of o's group; input is 0 outside

    Result (N, O, ...): along each axis (I + 2*padding - dilation*(K - 1) - 1) // stride + 1.

    stride, padding and dilation are one number, or one for each axis; padding is also "same", "valid", or a pair (begin, end) for each axis,
    negative to crop.

    [options]

    >>> import numpy, tilefold
    >>> volume, weight = numpy.ones((2, 8, 8, 8), "f2"), numpy.ones((4, 2, 3, 3, 3), "f2")     # no batch
    >>> tilefold.conv3d(volume, weight, stride=2).shape
    (4, 3, 3, 3)
    """
    return call(input, weight, bias, out, progress, "conv3d", stride, padding, 0, dilation, groups, layout, scratch, device,
                threads, algorithm, math, activation, prepack)


@_documented
def conv_transpose1d(input: Any, weight: Any, bias: Any = None, stride: Ints = 1, padding: Padding = 0,
                     output_padding: Ints = 0, groups: int = 1, dilation: Ints = 1, *, layout: str = "channels_first",
                     scratch: Scratch = "16MiB", device: str = "cpu", threads: Optional[int] = None, algorithm: str = "auto",
                     math: str = "exact", activation: Activation = None, out: Any = None, progress: Progress = None,
                     prepack: bool = True) -> Any:
    """A 1-D transposed convolution, in at most `scratch` bytes: torch.nn.functional.conv_transpose1d.

    input (N, C, L) or (C, L), weight (C, O/groups, K), bias (O,)

        out = bias
        for n, o, i, k, c of o's group:
            out[n, o, i*stride + k*dilation - padding]
                += input[n, c, i] * weight[c, o, k]    where that is within out

    Result (N, O, ...): along each axis (I - 1)*stride - 2*padding + dilation*(K - 1) + 1 + output_padding.

    stride, padding, output_padding and dilation are one number, or one for each axis; padding is also a pair (begin, end) for each axis.

    [options]

    >>> import numpy, tilefold
    >>> tilefold.conv_transpose1d(numpy.ones((1, 1, 3), "f4"), numpy.ones((1, 1, 3), "f4"), stride=2)
    array([[[1., 1., 2., 1., 2., 1., 1.]]], dtype=float32)
    """
    return call(input, weight, bias, out, progress, "conv_transpose1d", stride, padding, output_padding, dilation, groups,
                layout, scratch, device, threads, algorithm, math, activation, prepack)


@_documented
def conv_transpose2d(input: Any, weight: Any, bias: Any = None, stride: Ints = 1, padding: Padding = 0,
                     output_padding: Ints = 0, groups: int = 1, dilation: Ints = 1, *, layout: str = "channels_first",
                     scratch: Scratch = "16MiB", device: str = "cpu", threads: Optional[int] = None, algorithm: str = "auto",
                     math: str = "exact", activation: Activation = None, out: Any = None, progress: Progress = None,
                     prepack: bool = True) -> Any:
    """A 2-D transposed convolution, in at most `scratch` bytes: torch.nn.functional.conv_transpose2d.

    input (N, C, H, W) or (C, H, W), weight (C, O/groups, KH, KW), bias (O,)

        out = bias
        for n, o, iy, ix, ky, kx, c of o's group:
            out[n, o, iy*stride[0] + ky*dilation[0] - padding[0], ix*stride[1] + kx*dilation[1] - padding[1]]
                += input[n, c, iy, ix] * weight[c, o, ky, kx]    where that is within out

    Result (N, O, ...): along each axis (I - 1)*stride - 2*padding + dilation*(K - 1) + 1 + output_padding.

    stride, padding, output_padding and dilation are one number, or one for each axis; padding is also a pair (begin, end) for each axis.

    [options]

    >>> import numpy, tilefold
    >>> image, weight = numpy.ones((1, 16, 8, 8), "f4"), numpy.ones((16, 4, 2, 2), "f4")
    >>> tilefold.conv_transpose2d(image, weight, stride=2).shape
    (1, 4, 16, 16)
    """
    return call(input, weight, bias, out, progress, "conv_transpose2d", stride, padding, output_padding, dilation, groups,
                layout, scratch, device, threads, algorithm, math, activation, prepack)


@_documented
def conv_transpose3d(input: Any, weight: Any, bias: Any = None, stride: Ints = 1, padding: Padding = 0,
                     output_padding: Ints = 0, groups: int = 1, dilation: Ints = 1, *, layout: str = "channels_first",
                     scratch: Scratch = "16MiB", device: str = "cpu", threads: Optional[int] = None, algorithm: str = "auto",
                     math: str = "exact", activation: Activation = None, out: Any = None, progress: Progress = None,
                     prepack: bool = True) -> Any:
    """A 3-D transposed convolution, in at most `scratch` bytes: torch.nn.functional.conv_transpose3d.

    input (N, C, D, H, W) or (C, D, H, W), weight (C, O/groups, KD, KH, KW), bias (O,)

        out = bias
        for n, o, iz, iy, ix, kz, ky, kx, c of o's group:
            out[n, o, iz*stride[0] + kz*dilation[0] - padding[0], ...]
                += input[n, c, iz, iy, ix] * weight[c, o, kz, ky, kx]    where that is within out

    Result (N, O, ...): along each axis (I - 1)*stride - 2*padding + dilation*(K - 1) + 1 + output_padding.

    stride, padding, output_padding and dilation are one number, or one for each axis; padding is also a pair (begin, end) for each axis.

    [options]

    >>> import numpy, tilefold
    >>> volume, weight = numpy.ones((1, 2, 4, 4, 4), "f4"), numpy.ones((2, 3, 3, 3, 3), "f4")
    >>> tilefold.conv_transpose3d(volume, weight, stride=2, padding=1, output_padding=1).shape
    (1, 3, 8, 8, 8)
    """
    return call(input, weight, bias, out, progress, "conv_transpose3d", stride, padding, output_padding, dilation, groups,
                layout, scratch, device, threads, algorithm, math, activation, prepack)
