# SPDX-License-Identifier: MIT
"""The functions: one call computes one convolution."""

from __future__ import annotations

import inspect
from typing import Any, Callable, Optional, Sequence, Tuple, TypeVar, Union

from ._call import call
from ._watch import Progress

Ints = Union[int, Sequence[int]]
Padding = Union[str, int, Sequence[Union[int, Tuple[int, int]]]]
Activation = Union[None, str, Tuple[float, float]]
Scratch = Union[int, str, None]
Function = TypeVar("Function", bound=Callable[..., Any])

_OPTIONS = """
    layout      "channels_first" as above, or "channels_last": input (N, spatial..., C), weight
                (O, kernel..., C/groups) for both operations, result (N, spatial..., O)
    scratch     the most bytes that may be used beside the arrays and the packed weights: an
                integer, "64KiB", "16MiB"; None: no limit
    device      "cpu", "vulkan" or "vulkan:N", see tilefold.devices()
    threads     at most so many; None: one for each core
    algorithm   "auto", "unfold", "implicit" or "direct"
    math        "exact": the same bits whatever the limit, threads and machine; "fast": fewer
                multiplications where that gains
    activation  None, "relu", "relu6" or (low, high), which the result is clamped to
    out         an array of the result's shape and type, of any strides, which is written to and
                returned
    progress    a function of (done, total) tiles, called in this thread; True: a bar, by tqdm
    prepack     False: hold no packed copy of the weights, which costs time where there are few
                outputs

    Arrays are NumPy's (of any aligned strides, memory-mapped ones too), PyTorch's, or any with
    __dlpack__, on the CPU, of float32, float16 or bfloat16 (ml_dtypes), all of one type; a bias may
    be float32 as well. None is copied. The result is of input's kind. The interpreter's lock is
    released while it computes, and Ctrl-C stops it.

    TypeError: arrays or arguments of other types. ValueError: arguments that are wrong or contradict
    each other. tilefold.LimitTooSmall (a MemoryError): scratch is below the least, its bytes_needed.
    MemoryError: no memory for the result, the packed weights or the scratch. RuntimeError: the rest, for
    example a device that is not there.
"""


def _documented(function: Function) -> Function:
    """Puts what all functions have in common into a docstring, in the place of a line "[options]"."""
    function.__doc__ = inspect.cleandoc(function.__doc__ or "").replace("[options]", inspect.cleandoc(_OPTIONS))
    return function


@_documented
def conv1d(input: Any, weight: Any, bias: Any = None, stride: Ints = 1, padding: Padding = 0, dilation: Ints = 1,
           groups: int = 1, *, layout: str = "channels_first", scratch: Scratch = "16MiB", device: str = "cpu",
           threads: Optional[int] = None, algorithm: str = "auto", math: str = "exact", activation: Activation = None,
           out: Any = None, progress: Progress = None, prepack: bool = True) -> Any:
    """A 1-D convolution, in at most `scratch` bytes: torch.nn.functional.conv1d.

    input (N, C, L) or (C, L), weight (O, C/groups, K), bias (O,)

        out = bias
        for n, o, x, k, c of o's group:
            i = x*stride + k*dilation - padding
            if 0 <= i < L:
                out[n, o, x] += input[n, c, i] * weight[o, c, k]

    Result (N, O, ...) or (O, ...): along each axis (I + 2*padding - dilation*(K - 1) - 1) // stride + 1.

    stride, padding and dilation are one number, or one for each axis; padding is also "same", "valid", or
    a pair (begin, end) for each axis, and crops where it is negative.

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

        out = bias
        for n, o, y, x, ky, kx, c of o's group:
            iy = y*stride[0] + ky*dilation[0] - padding[0]
            ix = x*stride[1] + kx*dilation[1] - padding[1]
            if that is within the input:
                out[n, o, y, x] += input[n, c, iy, ix] * weight[o, c, ky, kx]

    Result (N, O, ...) or (O, ...): along each axis (I + 2*padding - dilation*(K - 1) - 1) // stride + 1.

    stride, padding and dilation are one number, or one for each axis; padding is also "same", "valid", or
    a pair (begin, end) for each axis, and crops where it is negative.

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

        out = bias
        for n, o, z, y, x, kz, ky, kx, c of o's group:
            iz = z*stride[0] + kz*dilation[0] - padding[0]
            iy = y*stride[1] + ky*dilation[1] - padding[1]
            ix = x*stride[2] + kx*dilation[2] - padding[2]
            if that is within the input:
                out[n, o, z, y, x] += input[n, c, iz, iy, ix] * weight[o, c, kz, ky, kx]

    Result (N, O, ...) or (O, ...): along each axis (I + 2*padding - dilation*(K - 1) - 1) // stride + 1.

    stride, padding and dilation are one number, or one for each axis; padding is also "same", "valid", or
    a pair (begin, end) for each axis, and crops where it is negative.

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
            x = i*stride + k*dilation - padding
            if x is within the output:
                out[n, o, x] += input[n, c, i] * weight[c, o, k]

    Result (N, O, ...) or (O, ...): along each axis (I - 1)*stride - 2*padding + dilation*(K - 1) + 1 + output_padding.

    stride, padding, output_padding and dilation are one number, or one for each axis; padding is also a
    pair (begin, end) for each axis.

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
            y = iy*stride[0] + ky*dilation[0] - padding[0]
            x = ix*stride[1] + kx*dilation[1] - padding[1]
            if that is within the output:
                out[n, o, y, x] += input[n, c, iy, ix] * weight[c, o, ky, kx]

    Result (N, O, ...) or (O, ...): along each axis (I - 1)*stride - 2*padding + dilation*(K - 1) + 1 + output_padding.

    stride, padding, output_padding and dilation are one number, or one for each axis; padding is also a
    pair (begin, end) for each axis.

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
            z = iz*stride[0] + kz*dilation[0] - padding[0]
            y = iy*stride[1] + ky*dilation[1] - padding[1]
            x = ix*stride[2] + kx*dilation[2] - padding[2]
            if that is within the output:
                out[n, o, z, y, x] += input[n, c, iz, iy, ix] * weight[c, o, kz, ky, kx]

    Result (N, O, ...) or (O, ...): along each axis (I - 1)*stride - 2*padding + dilation*(K - 1) + 1 + output_padding.

    stride, padding, output_padding and dilation are one number, or one for each axis; padding is also a
    pair (begin, end) for each axis.

    [options]

    >>> import numpy, tilefold
    >>> volume, weight = numpy.ones((1, 2, 4, 4, 4), "f4"), numpy.ones((2, 3, 3, 3, 3), "f4")
    >>> tilefold.conv_transpose3d(volume, weight, stride=2, padding=1, output_padding=1).shape
    (1, 3, 8, 8, 8)
    """
    return call(input, weight, bias, out, progress, "conv_transpose3d", stride, padding, output_padding, dilation, groups,
                layout, scratch, device, threads, algorithm, math, activation, prepack)
