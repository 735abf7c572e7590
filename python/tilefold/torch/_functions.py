# SPDX-License-Identifier: MIT
"""torch.nn.functional's convolutions, in bounded memory and differentiable."""

from __future__ import annotations

from typing import Any, Callable, Optional, Tuple, TypeVar

import torch
from torch import Tensor

from .._functions import Ints, Padding, Scratch
from .._library import TYPES
from .._problem import _integers, _padding
from ._operator import Options, convolution

Function = TypeVar("Function", bound=Callable[..., Any])

_TYPES = tuple(getattr(torch, name) for name in TYPES)


def options(scratch: Scratch, device: str, threads: Optional[int], algorithm: str, math: str, prepack: bool) -> Options:
    return Options(None if scratch is None else str(scratch), device, threads, algorithm, math, prepack)


def check_tensor(name: str, tensor: Tensor) -> None:
    """TypeError for what the operator does not take. A tensor on "meta" has no elements, only a shape to compute."""
    if tensor.device.type not in ("cpu", "meta"):
        raise TypeError(f"{name} is on {tensor.device}: tilefold computes tensors on the CPU (write {name}.cpu())")
    if tensor.dtype not in _TYPES:
        raise TypeError(f"{name} is {tensor.dtype}: tilefold computes in float32, float16 and bfloat16 (write {name}.float())")


def _in_autocast(*tensors: Optional[Tensor]) -> Tuple[Optional[Tensor], ...]:
    """As torch's own convolutions, the operator takes torch.autocast("cpu")'s type."""
    if not torch.is_autocast_enabled("cpu"):
        return tensors
    wanted = torch.get_autocast_dtype("cpu")
    return tuple(one if one is None or one.device.type != "cpu" or one.dtype not in _TYPES else one.to(wanted) for one in tensors)


def convolve(rank: int, transposed: bool, input: Any, weight: Any, bias: Any, stride: Ints, padding: Padding, output_padding: Ints,
             groups: int, dilation: Ints, keep_packed: bool, options_: Options) -> Tensor:
    """Any of the six. keep_packed: the weight is one that is used again, and may be kept packed."""
    for name, tensor in (("input", input), ("weight", weight), ("bias", bias)):
        if isinstance(tensor, Tensor):
            check_tensor(name, tensor)
        elif tensor is not None or name != "bias":
            raise TypeError(f"{name} is a {type(tensor).__name__}, not a tensor: tilefold.conv{rank}d() takes other arrays")
    if weight.dim() != rank + 2 or input.dim() not in (rank + 1, rank + 2):
        raise ValueError(f"input has {input.dim()} axes and weight {weight.dim()}: weight needs {rank + 2}, and input as many, "
                         f"or {rank + 1} without a batch")
    if groups < 1 or input.shape[-1 - rank] != weight.shape[0 if transposed else 1] * (1 if transposed else groups):
        raise ValueError(f"input {tuple(input.shape)}, weight {tuple(weight.shape)} and groups={groups} contradict each other")
    input, weight, bias = _in_autocast(input, weight, bias)
    strides, dilations = _integers(stride, rank, "stride"), _integers(dilation, rank, "dilation")
    if min(*strides, *dilations) < 1:
        raise ValueError(f"stride is {strides} and dilation {dilations}: both must be at least 1")
    pairs = _padding(padding, transposed, tuple(weight.shape[2:]), strides, dilations)
    extra = _integers(output_padding, rank, "output_padding")
    if any(more < 0 for more in extra):
        raise ValueError(f"output_padding is {extra}, which is negative")
    flat = [pad for (begin, end), more in zip(pairs, extra) for pad in (begin, end - more)]
    batched = input if input.dim() == rank + 2 else input.unsqueeze(0)
    out = convolution(batched, weight, bias, list(strides), flat, list(dilations), groups, transposed, keep_packed, *options_)
    return out if batched is input else out.squeeze(0)


_TEXT = """torch.nn.functional.{name}() in at most `scratch` bytes, and differentiable.

    Arguments, options and errors are those of tilefold.{name}(), where the naive loop is; there is no layout (strides tell it: a
    channels_last tensor gives one), activation, out or progress.

    >>> import torch, tilefold.torch
    >>> x, w = torch.ones({input}, requires_grad=True), torch.ones({weight})
    >>> tilefold.torch.{name}(x, w, stride=2).sum().backward()
    >>> x.grad.flatten().tolist()[:4]
    [{gradient}]
    """


def _documented(input: Tuple[int, ...], weight: Tuple[int, ...], gradient: str) -> Callable[[Function], Function]:
    def document(function: Function) -> Function:
        function.__doc__ = _TEXT.format(name=function.__name__, input=input, weight=weight, gradient=gradient)
        return function

    return document


@_documented((1, 1, 5), (1, 1, 3), "1.0, 1.0, 2.0, 1.0")
def conv1d(input: Tensor, weight: Tensor, bias: Optional[Tensor] = None, stride: Ints = 1, padding: Padding = 0, dilation: Ints = 1,
           groups: int = 1, *, scratch: Scratch = "16MiB", device: str = "cpu", threads: Optional[int] = None,
           algorithm: str = "auto", math: str = "exact", prepack: bool = True) -> Tensor:
    return convolve(1, False, input, weight, bias, stride, padding, 0, groups, dilation, False,
                    options(scratch, device, threads, algorithm, math, prepack))


@_documented((1, 1, 3, 5), (1, 1, 1, 3), "1.0, 1.0, 2.0, 1.0")
def conv2d(input: Tensor, weight: Tensor, bias: Optional[Tensor] = None, stride: Ints = 1, padding: Padding = 0, dilation: Ints = 1,
           groups: int = 1, *, scratch: Scratch = "16MiB", device: str = "cpu", threads: Optional[int] = None,
           algorithm: str = "auto", math: str = "exact", prepack: bool = True) -> Tensor:
    return convolve(2, False, input, weight, bias, stride, padding, 0, groups, dilation, False,
                    options(scratch, device, threads, algorithm, math, prepack))


@_documented((1, 1, 3, 3, 5), (1, 1, 1, 1, 3), "1.0, 1.0, 2.0, 1.0")
def conv3d(input: Tensor, weight: Tensor, bias: Optional[Tensor] = None, stride: Ints = 1, padding: Padding = 0, dilation: Ints = 1,
           groups: int = 1, *, scratch: Scratch = "16MiB", device: str = "cpu", threads: Optional[int] = None,
           algorithm: str = "auto", math: str = "exact", prepack: bool = True) -> Tensor:
    return convolve(3, False, input, weight, bias, stride, padding, 0, groups, dilation, False,
                    options(scratch, device, threads, algorithm, math, prepack))


@_documented((1, 1, 4), (1, 1, 3), "3.0, 3.0, 3.0, 3.0")
def conv_transpose1d(input: Tensor, weight: Tensor, bias: Optional[Tensor] = None, stride: Ints = 1, padding: Padding = 0,
                     output_padding: Ints = 0, groups: int = 1, dilation: Ints = 1, *, scratch: Scratch = "16MiB",
                     device: str = "cpu", threads: Optional[int] = None, algorithm: str = "auto", math: str = "exact",
                     prepack: bool = True) -> Tensor:
    return convolve(1, True, input, weight, bias, stride, padding, output_padding, groups, dilation, False,
                    options(scratch, device, threads, algorithm, math, prepack))


@_documented((1, 1, 2, 2), (1, 1, 3, 3), "9.0, 9.0, 9.0, 9.0")
def conv_transpose2d(input: Tensor, weight: Tensor, bias: Optional[Tensor] = None, stride: Ints = 1, padding: Padding = 0,
                     output_padding: Ints = 0, groups: int = 1, dilation: Ints = 1, *, scratch: Scratch = "16MiB",
                     device: str = "cpu", threads: Optional[int] = None, algorithm: str = "auto", math: str = "exact",
                     prepack: bool = True) -> Tensor:
    return convolve(2, True, input, weight, bias, stride, padding, output_padding, groups, dilation, False,
                    options(scratch, device, threads, algorithm, math, prepack))


@_documented((1, 1, 2, 2, 2), (1, 1, 3, 3, 3), "27.0, 27.0, 27.0, 27.0")
def conv_transpose3d(input: Tensor, weight: Tensor, bias: Optional[Tensor] = None, stride: Ints = 1, padding: Padding = 0,
                     output_padding: Ints = 0, groups: int = 1, dilation: Ints = 1, *, scratch: Scratch = "16MiB",
                     device: str = "cpu", threads: Optional[int] = None, algorithm: str = "auto", math: str = "exact",
                     prepack: bool = True) -> Tensor:
    return convolve(3, True, input, weight, bias, stride, padding, output_padding, groups, dilation, False,
                    options(scratch, device, threads, algorithm, math, prepack))
