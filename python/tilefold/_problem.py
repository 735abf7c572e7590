# SPDX-License-Identifier: MIT
"""What to compute: a call's arguments, checked and brought to one form, and the library's structs made of it."""

from __future__ import annotations

import math
import operator
import re
from dataclasses import dataclass
from typing import Any, NamedTuple, Optional, Tuple

from . import _library
from ._library import INT64_MAX, ffi, lib

Shape = Tuple[int, ...]
Pairs = Tuple[Tuple[int, int], ...]

OPS = {f"{name}{rank}d": (value, rank) for rank in (1, 2, 3)
       for name, value in (("conv", lib.TILEFOLD_CONV), ("conv_transpose", lib.TILEFOLD_CONV_TRANSPOSE))}

_UNITS = {"": 0, "KIB": 10, "MIB": 20, "GIB": 30, "TIB": 40}


# ------------------------------------------------------------------------------------------------ one argument each


def _integer(value: Any, name: str) -> int:
    if isinstance(value, bool):
        raise TypeError(f"{name} is {value!r}, not an integer")
    try:
        return operator.index(value)
    except TypeError:
        raise TypeError(f"{name} is {value!r}, not an integer") from None


def _axes(value: Any, rank: int, name: str) -> Tuple[Any, ...]:
    """One value for each axis, from a sequence of them, a sequence of one, or one value."""
    if not isinstance(value, (tuple, list)):
        return (value,) * rank
    if len(value) == 1:
        return (value[0],) * rank
    if len(value) != rank:
        raise ValueError(f"{name} has {len(value)} values for {rank} spatial axes: {value!r}")
    return tuple(value)


def _integers(value: Any, rank: int, name: str) -> Shape:
    return tuple(_integer(one, name) for one in _axes(value, rank, name))


def _padding(value: Any, transposed: bool, kernel: Shape, stride: Shape, dilation: Shape) -> Pairs:
    """(begin, end) of each axis. "same" puts the odd one at the end, as PyTorch does."""
    rank = len(kernel)
    if isinstance(value, str):
        if value not in ("same", "valid"):
            raise ValueError(f"padding is {value!r}, not \"same\", \"valid\" or numbers")
        if transposed:
            raise ValueError(f"padding={value!r} is for convolutions, not for transposed ones")
        if value == "valid":
            return ((0, 0),) * rank
        if any(one != 1 for one in stride):
            raise ValueError(f"padding=\"same\" is for a stride of 1, not {stride}")
        spans = [d * (k - 1) for d, k in zip(dilation, kernel)]
        return tuple((span // 2, span - span // 2) for span in spans)
    pairs = []
    for one in _axes(value, rank, "padding"):
        if isinstance(one, (tuple, list)):
            if len(one) != 2:
                raise ValueError(f"padding has {one!r} for an axis, not a number or a pair (begin, end)")
            pairs.append((_integer(one[0], "padding"), _integer(one[1], "padding")))
        else:
            pairs.append((_integer(one, "padding"),) * 2)
    return tuple(pairs)


def parse_bytes(value: Any, name: str = "scratch") -> int:
    """A number of bytes: an integer, or a string as "64KiB", "16 MiB"; None is no limit."""
    if value is None:
        return INT64_MAX
    if isinstance(value, str):
        match = re.fullmatch(r"\s*(\d+)\s*([KMGT]iB|)\s*", value, flags=re.IGNORECASE)
        if not match:
            raise ValueError(f"{name} is {value!r}, not a number of bytes like 65536, \"64KiB\", \"16MiB\" or \"1GiB\"")
        count = int(match[1]) << _UNITS[match[2].upper()]
    else:
        count = _integer(value, name)
    if not 0 <= count <= INT64_MAX:
        raise ValueError(f"{name} is {value!r}, which is no number of bytes")
    return count


def _activation(value: Any) -> Tuple[float, float]:
    """The two bounds that outputs are clamped to."""
    if value is None:
        return -math.inf, math.inf
    if isinstance(value, str):
        if value not in ("relu", "relu6"):
            raise ValueError(f"activation is {value!r}, not \"relu\", \"relu6\", (low, high) or None")
        return 0.0, math.inf if value == "relu" else 6.0
    try:
        low, high = map(float, value)
    except (TypeError, ValueError):
        raise TypeError(f"activation is {value!r}, not \"relu\", \"relu6\", (low, high) or None") from None
    return low, high


def _word(value: Any, words: Any, name: str) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{name} is {value!r}, not a string: one of {', '.join(map(repr, words))}")
    if value not in words:
        raise ValueError(f"{name} is {value!r}, not one of {', '.join(map(repr, words))}")
    return value


def _threads(value: Any) -> int:
    threads = 0 if value is None else _integer(value, "threads")
    if value is not None and not 1 <= threads <= _library.MAX_THREADS:
        raise ValueError(f"threads is {threads}, not 1 to {_library.MAX_THREADS}")
    return threads


# ------------------------------------------------------------------------------------------------- all of them


class Options(NamedTuple):
    """How a problem is to be planned: scratch in bytes, device (kind, index), threads 0 for one per core."""

    scratch: int
    device: Tuple[int, int]
    threads: int
    algorithm: str
    math: str
    prepack: bool


@dataclass(frozen=True)
class Description:
    """A problem and how it is to be planned, in one form: equal calls have equal descriptions."""

    op: str
    input_shape: Shape
    weight_shape: Shape
    type: int
    stride: Shape
    padding: Pairs
    output_padding: Shape
    dilation: Shape
    groups: int
    layout: str
    activation: Tuple[float, float]
    options: Options

    @property
    def rank(self) -> int:
        return OPS[self.op][1]

    @property
    def transposed(self) -> bool:
        return bool(OPS[self.op][0] == lib.TILEFOLD_CONV_TRANSPOSE)

    @property
    def batched(self) -> bool:
        return len(self.input_shape) == self.rank + 2


def describe(op: Any, input_shape: Shape, weight_shape: Shape, type_: int, *, stride: Any, padding: Any,
             output_padding: Any, dilation: Any, groups: Any, layout: Any, scratch: Any, device: Any, threads: Any,
             algorithm: Any, math: Any, activation: Any, prepack: Any) -> Description:
    """A call's arguments in one form. TypeError or ValueError for what cannot be told as a description."""
    transposed, rank = OPS[_word(op, OPS, "op")]
    _word(layout, _library.LAYOUTS, "layout")
    if len(input_shape) not in (rank + 1, rank + 2):
        raise ValueError(f"input has {len(input_shape)} axes: {op} takes {rank + 2}, or {rank + 1} without a batch")
    if len(weight_shape) != rank + 2:
        raise ValueError(f"weight has {len(weight_shape)} axes: {op} takes {rank + 2}")
    if 0 in weight_shape:
        raise ValueError(f"weight is of shape {weight_shape}: an axis is empty")
    groups = _integer(groups, "groups")
    if groups < 1:
        raise ValueError(f"groups is {groups}, which is less than 1")
    strides, dilations = _integers(stride, rank, "stride"), _integers(dilation, rank, "dilation")
    kernel = weight_shape[1:-1] if layout == "channels_last" else weight_shape[2:]
    if not isinstance(prepack, bool):
        raise TypeError(f"prepack is {prepack!r}, not True or False")
    made = Description(
        op=op, input_shape=input_shape, weight_shape=weight_shape, type=type_, stride=strides,
        padding=_padding(padding, bool(transposed), kernel, strides, dilations),
        output_padding=_integers(output_padding, rank, "output_padding"), dilation=dilations, groups=groups, layout=layout,
        activation=_activation(activation),
        options=Options(parse_bytes(scratch), _library.parse_device(device), _threads(threads),
                        _word(algorithm, _library.ALGORITHMS, "algorithm"), _word(math, _library.MATHS, "math"), prepack))
    channels(made)
    return made


def channels(description: Description) -> Tuple[int, int]:
    """Input and output channels of the whole. ValueError where input, weight and groups contradict each other."""
    d = description
    last = d.layout == "channels_last"
    inputs = d.input_shape[-1] if last else d.input_shape[-1 - d.rank]
    first, second = d.weight_shape[0], d.weight_shape[-1] if last else d.weight_shape[1]
    if d.transposed and not last:  # (C, O/G, k...)
        expected, outputs, shape = first, second * d.groups, "(C, O/groups, kernel...)"
    else:
        expected, outputs = second * d.groups, first
        shape = "(O, kernel..., C/groups)" if last else "(O, C/groups, kernel...)"
    if inputs != expected:
        raise ValueError(f"input has {inputs} channels, but a weight {d.weight_shape}, which is {shape}, with groups={d.groups} "
                         f"takes {expected}")
    if inputs % d.groups or outputs % d.groups:
        raise ValueError(f"groups={d.groups} divides not both of {inputs} input and {outputs} output channels")
    return inputs, outputs


# ------------------------------------------------------------------------------------------------- the library's


def native_problem(description: Description, bias: bool) -> Any:
    """The problem as the library's struct, for dense arrays. A bias is float32."""
    d = description
    problem = _library.struct("problem", OPS[d.op][0], d.type, d.rank)
    last = d.layout == "channels_last"
    problem.batch = d.input_shape[0] if d.batched else 1
    problem.in_channels, problem.out_channels = channels(d)
    problem.groups = d.groups
    problem.bias_type = lib.TILEFOLD_F32 if bias else lib.TILEFOLD_NONE
    spatial = d.input_shape[-1 - d.rank:-1] if last else d.input_shape[-d.rank:]
    kernel = d.weight_shape[1:-1] if last else d.weight_shape[2:]
    try:
        for axis in range(d.rank):
            problem.input_size[axis], problem.kernel[axis] = spatial[axis], kernel[axis]
            problem.stride[axis], problem.dilation[axis] = d.stride[axis], d.dilation[axis]
            problem.padding_begin[axis], problem.padding_end[axis] = d.padding[axis]
            problem.output_padding[axis] = d.output_padding[axis]
    except OverflowError:
        raise ValueError("a size, stride, dilation or padding does not fit 64 bits") from None
    problem.clamp_low, problem.clamp_high = d.activation
    message = _library.new_message()
    _library.check(lib.tilefold_problem_set_layout(problem, _library.LAYOUTS[d.layout], message), message)
    return problem


def output_shape(description: Description, problem: Any) -> Shape:
    message, sizes = _library.new_message(), ffi.new("int64_t[]", lib.TILEFOLD_MAX_RANK)
    _library.check(lib.tilefold_output_size(problem, sizes, message), message)
    spatial = tuple(sizes[axis] for axis in range(description.rank))
    batch = (int(problem.batch),) if description.batched else ()
    outputs = (int(problem.out_channels),)
    return batch + (spatial + outputs if description.layout == "channels_last" else outputs + spatial)


def _set_tensor(strides: Any, of: Shape, description: Description, channels_per_group: int) -> None:
    rank, last = description.rank, description.layout == "channels_last"
    channel = of[-1] if last else of[-1 - rank]
    spatial = of[-1 - rank:-1] if last else of[-rank:]
    strides.batch = of[0] if description.batched else 0
    strides.channel, strides.group = channel, channel * channels_per_group
    for axis in range(rank):
        strides.spatial[axis] = spatial[axis]


def set_strides(problem: Any, description: Description, input_: Optional[Shape], weight: Optional[Shape],
                output: Optional[Shape]) -> None:
    """Replaces the dense strides by those of arrays, in elements; None leaves them dense."""
    d = description
    if input_ is not None:
        _set_tensor(problem.input_stride, input_, d, problem.in_channels // d.groups)
    if output is not None:
        _set_tensor(problem.output_stride, output, d, problem.out_channels // d.groups)
    if weight is None:
        return
    strides, last = problem.weight_stride, d.layout == "channels_last"
    if d.transposed and not last:
        strides.in_channel, strides.out_channel = weight[0], weight[1]
        strides.group = weight[0] * (problem.in_channels // d.groups)
    else:
        strides.out_channel, strides.in_channel = weight[0], weight[-1] if last else weight[1]
        strides.group = weight[0] * (problem.out_channels // d.groups)
    for axis in range(d.rank):
        strides.spatial[axis] = weight[1 + axis] if last else weight[2 + axis]


def native_options(options: Options) -> Any:
    native = _library.struct("plan_options")
    native.scratch_limit_bytes = options.scratch
    native.algorithm = _library.ALGORITHMS[options.algorithm]
    native.math = _library.MATHS[options.math]
    native.prepack_weights = options.prepack
    return native
