# SPDX-License-Identifier: MIT
"""The two operators in torch.library, with fake kernels and gradients.

    convolution          both directions, as torch.ops.aten.convolution: `transposed` says which
    convolution_weight   the gradient of its weight

Padding is (begin, end) of each axis in both, and whatever size a result is to have its end is padded, or cropped, to give: so there is
no output_padding here, and each gradient is one of the two operators again, to any order.

    z = convolution(x, w)            transposed = False                       transposed = True
    gradient of x                    convolution(dz, w), transposed           convolution(dz, w), not transposed
    gradient of w                    convolution_weight(x, dz)                convolution_weight(dz, x)

    z = convolution_weight(large, small)
    gradient of large                convolution(small, dz), transposed
    gradient of small                convolution(large, dz), not transposed
"""

from __future__ import annotations

import functools
import weakref
from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Tuple

import torch
from torch import Tensor

from .. import _arrays, _call, _library
from .._arrays import Form, Operand
from .._library import Memory
from .._native import NativePlan
from .._problem import Options as NativeOptions
from .._problem import parse_bytes
from . import _gradient

Sizes = Sequence[int]


class Options(NamedTuple):
    """How to compute, in types that an operator can have. scratch is in bytes or None."""

    scratch: Optional[str]
    device: str
    threads: Optional[int]
    algorithm: str
    math: str
    prepack: bool


_SCHEMA = "str? scratch, str device, int? threads, str algorithm, str math, bool prepack) -> Tensor"


# ------------------------------------------------------------------------------------------------------ convolution


def _arguments(rank: int, stride: Sizes, padding: Sizes, dilation: Sizes, groups: int, transposed: bool,
               options: Options) -> Tuple[Any, ...]:
    """Those of _call.call() from the operation's name on."""
    name = f"conv_transpose{rank}d" if transposed else f"conv{rank}d"
    return (name, tuple(stride), tuple(zip(padding[::2], padding[1::2])), 0, tuple(dilation), groups, "channels_first",
            options.scratch, options.device, options.threads, options.algorithm, options.math, None, options.prepack)


@torch.library.custom_op("tilefold::convolution", mutates_args=(), device_types="cpu", schema="(Tensor input, Tensor weight, "
                         "Tensor? bias, SymInt[] stride, SymInt[] padding, SymInt[] dilation, SymInt groups, bool transposed, "
                         "bool keep_packed, " + _SCHEMA)
def convolution(input: Tensor, weight: Tensor, bias: Optional[Tensor], stride: Sizes, padding: Sizes, dilation: Sizes, groups: int,
                transposed: bool, keep_packed: bool, *options: Any) -> Tensor:
    arguments = _arguments(input.dim() - 2, stride, padding, dilation, groups, transposed, Options(*options))
    out = _empty(input, weight, bias, stride, padding, dilation, groups, transposed)
    if not keep_packed or weight.is_inference() or weight.is_shared():  # whose changes are not counted, or not here
        _call.call(input, weight, bias, out, None, *arguments)
        return out
    inputs, weights, outs = (_arrays.operand(one, name) for one, name in ((input, "input"), (weight, "weight"), (out, "out")))
    native, address = _kept_packed(weight, inputs.form, weights, outs.form, bias is not None, arguments)
    _call.compute(native, inputs, weights, bias, outs, None, address)
    return out


@convolution.register_fake
def _empty(input: Tensor, weight: Tensor, bias: Optional[Tensor], stride: Sizes, padding: Sizes, dilation: Sizes, groups: int,
           transposed: bool, *_: Any) -> Tensor:
    """The result, not computed."""
    rank = input.dim() - 2
    sizes: List[Any] = [input.shape[0], weight.shape[1] * groups if transposed else weight.shape[0]]
    for axis in range(rank):
        size, span, pad = input.shape[2 + axis], dilation[axis] * (weight.shape[2 + axis] - 1) + 1, sum(padding[2 * axis:2 * axis + 2])
        sizes.append((size - 1) * stride[axis] - pad + span if transposed else (size + pad - span) // stride[axis] + 1)
    torch._check(all(size >= 1 for size in sizes[2:]),
                 lambda: f"the result would be of shape {tuple(sizes)}: the kernel is larger than the padded input")
    return torch.empty(sizes, dtype=input.dtype, device=input.device, memory_format=_memory_format(input, weight))


def _memory_format(*tensors: Tensor) -> torch.memory_format:
    """Channels last where one of them is so and not dense otherwise, as torch's convolutions do."""
    formats = {4: torch.channels_last, 5: torch.channels_last_3d}
    for tensor in tensors:
        wanted = formats.get(tensor.dim())
        if wanted is not None and not tensor.is_contiguous() and tensor.is_contiguous(memory_format=wanted):
            return wanted
    return torch.contiguous_format


def _save(ctx: Any, inputs: Tuple[Any, ...], output: Any) -> None:
    input, weight, bias, *ctx.rest = inputs
    ctx.save_for_backward(input, weight)
    ctx.bias_type = None if bias is None else bias.dtype


def _end(begin: Sizes, full: Sizes, wanted: Sizes) -> List[int]:
    """Padding (begin, end) of each axis with which a result that would be `full` large without has the size wanted: what its begin does
    not take away its end does, or adds."""
    return [pad for b, f, w in zip(begin, full, wanted) for pad in (b, f - w - b)]


def _transposed_to(wanted: Sizes, input: Tensor, weight: Tensor, begin: Sizes, stride: Sizes, dilation: Sizes, groups: int,
                   options: Options) -> Tensor:
    """The transposed convolution, of such spatial sizes."""
    full = [(i - 1) * s + d * (k - 1) + 1
            for i, k, s, d in zip(input.shape[2:], weight.shape[2:], stride, dilation)]
    return convolution(input, weight, None, stride, _end(begin, full, wanted), dilation, groups, True, False, *options)


def _strided_to(wanted: Sizes, input: Tensor, weight: Tensor, begin: Sizes, stride: Sizes, dilation: Sizes, groups: int,
                options: Options) -> Tensor:
    """The convolution, of such spatial sizes."""
    reach = [(w - 1) * s + d * (k - 1) + 1 for w, k, s, d in zip(wanted, weight.shape[2:], stride, dilation)]
    padding = [pad for b, r, i in zip(begin, reach, input.shape[2:]) for pad in (b, r - i - b)]
    return convolution(input, weight, None, stride, padding, dilation, groups, False, False, *options)


def _for_gradient(options: Tuple[Any, ...]) -> Options:
    """An algorithm that was asked for need not fit the gradient's problem."""
    return Options(*options)._replace(algorithm="auto")


@functools.partial(convolution.register_autograd, setup_context=_save)
def _convolution_backward(ctx: Any, gradient: Tensor) -> Tuple[Optional[Tensor], ...]:
    input, weight = ctx.saved_tensors
    stride, padding, dilation, groups, transposed, _, *rest = ctx.rest
    options, begin = _for_gradient(rest), padding[::2]
    of_input = of_weight = of_bias = None
    if ctx.needs_input_grad[0]:
        back = _strided_to if transposed else _transposed_to
        of_input = back(input.shape[2:], gradient, weight, begin, stride, dilation, groups, options)
    if ctx.needs_input_grad[1]:
        large, small = (gradient, input) if transposed else (input, gradient)
        of_weight = convolution_weight(large, small, weight.shape[2:], stride, begin, dilation, groups, *options)
    if ctx.needs_input_grad[2]:
        of_bias = gradient.sum([0, *range(2, gradient.dim())], dtype=ctx.bias_type)
    return (of_input, of_weight, of_bias) + (None,) * (3 + 3 + len(options))


# --------------------------------------------------------------------------------------------- packed weights, kept


class _Kept(NamedTuple):
    """One weight, packed for one problem."""

    weight: Any  # a weak reference
    key: Tuple[Any, ...]
    native: NativePlan
    memory: Optional[Memory]


_kept: Dict[int, _Kept] = {}  # by id(weight)


def _kept_packed(weight: Tensor, input_: Form, operand: Operand, out: Form, bias: bool,
                 arguments: Tuple[Any, ...]) -> Tuple[NativePlan, int]:
    """The plan and where the packed weight lies: as they are kept, if neither the weight nor the problem is another since."""
    key = (weight._version, operand.address, operand.form, input_, out, bias, arguments)
    number = id(weight)
    kept = _kept.get(number)
    if kept is None or kept.weight() is not weight or kept.key != key:
        _kept.pop(number, None)  # never two of one weight
        native = _call._prepare(input_, operand.form, out, bias, *arguments)
        memory = None
        if native.info.packed_weight_bytes:
            memory = Memory(native.info.packed_weight_bytes)
            native.pack(operand.address, memory)
        kept = _kept[number] = _Kept(weakref.ref(weight, functools.partial(_forget, number)), key, native, memory)
    return kept.native, kept.memory.address if kept.memory else 0


def _forget(number: int, reference: Any) -> None:
    """A weight is gone. Another can have its number already."""
    kept = _kept.get(number)
    if kept is not None and kept.weight is reference:
        _kept.pop(number, None)


def forget_packed(weight: Tensor) -> None:
    """It will be packed anew when it is used next."""
    _kept.pop(id(weight), None)


# ----------------------------------------------------------------------------------------------- the weight's gradient


@torch.library.custom_op("tilefold::convolution_weight", mutates_args=(), device_types="cpu", schema="(Tensor large, Tensor small, "
                         "SymInt[] kernel, SymInt[] stride, SymInt[] begin, SymInt[] dilation, SymInt groups, " + _SCHEMA)
def convolution_weight(large: Tensor, small: Tensor, kernel: Sizes, stride: Sizes, begin: Sizes, dilation: Sizes, groups: int,
                       *options: Any) -> Tensor:
    """For o, c of o's group, k, with large (N, C, I...), small (N, O, X...), result (O, C/groups, K...):

        out[o, c, k] = sum over n, x of  small[n, o, x] * large[n, c, x*stride + k*dilation - begin]

    0 where nothing is summed up.
    """
    out = torch.zeros_like(_empty_weight(large, small, kernel, stride, begin, dilation, groups))
    if large.shape[0] > 0:
        larges, smalls, outs = (_arrays.operand(one, "a gradient's factor") for one in (large, small, out))
        geometry = _gradient.Geometry(tuple(stride), tuple(begin), tuple(dilation), groups)
        _gradient.compute(larges, smalls, outs, geometry, _native_options(Options(*options)))
    return out


def _native_options(options: Options) -> NativeOptions:
    return NativeOptions(parse_bytes(options.scratch), _library.parse_device(options.device), options.threads or 0,
                         options.algorithm, options.math, options.prepack)


@convolution_weight.register_fake
def _empty_weight(large: Tensor, small: Tensor, kernel: Sizes, stride: Sizes, begin: Sizes, dilation: Sizes, groups: int,
                  *_: Any) -> Tensor:
    return large.new_empty((small.shape[1], large.shape[1] // groups, *kernel))


def _save_weight(ctx: Any, inputs: Tuple[Any, ...], output: Any) -> None:
    ctx.save_for_backward(inputs[0], inputs[1])
    ctx.rest = inputs[3:]


@functools.partial(convolution_weight.register_autograd, setup_context=_save_weight)
def _convolution_weight_backward(ctx: Any, gradient: Tensor) -> Tuple[Optional[Tensor], ...]:
    large, small = ctx.saved_tensors
    stride, begin, dilation, groups, *rest = ctx.rest
    options = _for_gradient(rest)
    of_large = of_small = None
    if ctx.needs_input_grad[0]:
        of_large = _transposed_to(large.shape[2:], small, gradient, begin, stride, dilation, groups, options)
    if ctx.needs_input_grad[1]:
        of_small = _strided_to(small.shape[2:], large, gradient, begin, stride, dilation, groups, options)
    return (of_large, of_small) + (None,) * (5 + len(options))
