# SPDX-License-Identifier: MIT
"""Convolutions of Dask arrays of any chunking, lazily, with the bits of one machine.

    y = tilefold.dask.conv2d(x, w, padding=1)       x a dask.array of any chunks, y one that is computed when it is asked for

Each chunk of the result is computed from exactly that window of the input that its outputs are made of, halo included, whatever the
stride, dilation, padding or direction: Plan.input_window() names it, Plan.window() computes it under one plan of the whole,
so no sum is ever split, and the bits are those of one call on one machine. Only windows travel between workers, not whole
chunks.

Chunks along the channels are gathered, as each output is a sum over them. The result's chunks follow the input's along the
batch and the spatial axes; where one, or the input it comes from, would be more than twice as large as the largest chunk of
the input (and more than 4 MiB), they are split further. A worker needs room for a window, a result and `scratch`, once for
each of its threads; each of its processes keeps the last four weights packed.
"""

from __future__ import annotations

import functools
import itertools
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Sequence, Tuple, TypeVar

import numpy

import dask.array
from dask.base import tokenize
from dask.highlevelgraph import HighLevelGraph

from ._functions import Activation, Ints, Padding, Scratch
from ._plan import PackedWeight, Plan, plan
from ._problem import Shape

__all__ = ["conv1d", "conv2d", "conv3d", "conv_transpose1d", "conv_transpose2d", "conv_transpose3d"]

Array = dask.array.Array
Chunks = Tuple[int, ...]
Function = TypeVar("Function", bound=Callable[..., Any])

_LEAST_SPLIT = 4 << 20  # bytes


# -------------------------------------------------------------------------------------------------- on a worker


class _Call(NamedTuple):
    """A problem of the whole, but for its batch: everything hashable that tilefold.plan() takes."""

    op: str
    input_shape: Shape
    weight_shape: Shape
    dtype: str
    options: Tuple[Tuple[str, Any], ...]

    def plan(self, batch: int) -> Plan:
        return _plan(self._replace(input_shape=(batch, *self.input_shape[1:])))


@functools.lru_cache(maxsize=4)
def _plan(call: _Call) -> Plan:
    return plan(call.op, call.input_shape, call.weight_shape, call.dtype, **dict(call.options))


class _Same:
    """An array that equals itself alone: a task's arrays do not change."""

    __slots__ = ("array",)

    def __init__(self, array: Any) -> None:
        self.array = array

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and self.array is other.array

    def __hash__(self) -> int:
        return id(self.array)


def _aligned(array: Any) -> Any:
    """What comes from another worker can lie anywhere in the message."""
    return array if array is None or array.flags.aligned else array.copy()


@functools.lru_cache(maxsize=4)
def _packed(plan: Plan, weight: _Same) -> PackedWeight:
    return plan.pack(_aligned(weight.array))


class _Window(NamedTuple):
    """A chunk of the result: its spatial begin and size, and where in the input's window its parts go."""

    call: _Call
    batch: int
    begin: Shape
    size: Shape
    input_shape: Shape
    places: Tuple[Shape, ...]


def _compute(window: _Window, parts: Sequence[Any], weight: Any, bias: Any) -> Any:
    made = window.call.plan(window.batch)
    part, packed = _assemble(window, parts, weight.dtype), _packed(made, _Same(weight))
    return made.window(part, packed, _aligned(bias), begin=window.begin, size=window.size)


def _assemble(window: _Window, parts: Sequence[Any], dtype: Any) -> Any:
    """The input's window in one piece; not copied where it is one."""
    if len(parts) == 1:
        return _aligned(parts[0])
    whole = numpy.empty(window.input_shape, dtype)
    for place, part in zip(window.places, parts):
        whole[tuple(slice(at, at + size) for at, size in zip(place, part.shape))] = part
    return whole


def _slice(block: Any, slices: Tuple[slice, ...]) -> Any:
    """A part of a chunk, to be sent by itself."""
    return block[slices]


# ------------------------------------------------------------------------------------------------------- chunks


class _Piece(NamedTuple):
    """What a window takes of one chunk along one axis: positions [begin, end) of that chunk, to `place` in the window."""

    chunk: int
    begin: int
    end: int
    place: int


def _pieces(chunks: Chunks, begin: int, size: int) -> List[_Piece]:
    """Positions [begin, begin + size) of an axis, in its chunks."""
    found, start = [], 0
    for number, length in enumerate(chunks):
        low, high = max(begin, start), min(begin + size, start + length)
        if low < high:
            found.append(_Piece(number, low - start, high - start, low - begin))
        start += length
    return found


def _follow(chunks: Chunks, outputs: int, to_output: Callable[[int], int]) -> Chunks:
    """The chunks of an axis of the result, whose borders are where the input's are."""
    borders = {min(max(to_output(border), 0), outputs) for border in itertools.accumulate(chunks[:-1])}
    ordered = sorted(borders | {0, outputs})
    return tuple(end - begin for begin, end in zip(ordered, ordered[1:]))


def _split(chunks: List[Chunks], bytes_of: Callable[[Sequence[int]], int], most: int) -> None:
    """Splits chunks evenly, the first axes first, until the largest is of at most so many bytes, or one element."""
    for axis, axis_chunks in enumerate(chunks):
        largest = [max(lengths) for lengths in chunks]
        factor = -(-bytes_of(largest) // most)
        if factor <= 1:
            return
        part = max(1, largest[axis] // factor)
        split: List[int] = []
        for length in axis_chunks:
            count = -(-length // part)
            split += [length // count + (number < length % count) for number in range(count)]
        chunks[axis] = tuple(split)


class _Axis(NamedTuple):
    """One spatial axis of a problem."""

    stride: int
    span: int  # dilation * (kernel - 1)
    padding: int  # at its begin
    transposed: bool

    def to_output(self, border: int) -> int:
        """The output whose kernel has its middle at a border of the input's chunks."""
        if self.transposed:
            return border * self.stride - self.padding + (self.span - self.stride + 1) // 2
        return -((self.span - 2 * border - 2 * self.padding) // (2 * self.stride))

    def inputs(self, outputs: int) -> int:
        """About so many inputs are under so many outputs, the halo left out."""
        return -(-outputs // self.stride) if self.transposed else outputs * self.stride


# -------------------------------------------------------------------------------------------------------- graphs


def _check_arrays(op: str, input_: Any, weight: Any, bias: Any) -> None:
    if not isinstance(input_, Array):
        raise TypeError(f"input is a {type(input_).__name__}, not a dask.array.Array: write dask.array.from_array(input), "
                        f"or tilefold.{op}() for arrays in memory")
    if type(input_._meta) is not numpy.ndarray or not input_.dtype.isnative:
        raise TypeError(f"input has chunks of {type(input_._meta).__name__}, {input_.dtype.str}: they must be NumPy's plain arrays, in "
                        "the machine's byte order")
    for name, array in (("weight", weight), ("bias", bias)):
        if not isinstance(array, (Array, numpy.ndarray)) and (name == "weight" or array is not None):
            raise TypeError(f"{name} is a {type(array).__name__}, not an array of Dask's or NumPy's")
    for name, array in (("input", input_), ("weight", weight), ("bias", bias)):
        if array is not None and any(size != size for size in array.shape):
            raise ValueError(f"{name} has chunks of unknown size: write {name}.compute_chunk_sizes()")
    if weight.dtype != input_.dtype:
        raise TypeError(f"weight is {weight.dtype}, but input {input_.dtype}: both must have one type")


def _one_key(array: Any, name: str, graph: Dict[Any, Any], depends: List[Array]) -> Any:
    """The key of a small array as a whole."""
    if array is None:
        return None
    if isinstance(array, numpy.ndarray):
        graph[name] = numpy.array(array)  # a later change of the caller's is not seen
        return name
    whole = array.rechunk(-1)
    depends.append(whole)
    return (whole.name, *[0] * whole.ndim)


def _axes(made: Plan, transposed: bool) -> List[_Axis]:
    d = made._description
    kernel = made.weight_shape[1:-1] if made.layout == "channels_last" else made.weight_shape[2:]
    return [_Axis(stride, dilation * (taps - 1), padding[0], transposed)
            for stride, dilation, taps, padding in zip(d.stride, d.dilation, kernel, d.padding)]


def _result_chunks(x: Array, made: Plan, axes: Sequence[_Axis], spatial: slice) -> List[Chunks]:
    """Those of the batch and of the spatial axes."""
    last = made.layout == "channels_last"
    sizes, outputs = made.output_shape[spatial], made.output_shape[-1 if last else 1]
    inputs = made.input_shape[-1 if last else 1]
    chunks = [tuple(size for size in x.chunks[0] if size) or (0,)]
    chunks += [_follow(of, size, axis.to_output) for of, size, axis in zip(x.chunks[spatial], sizes, axes)]

    def bytes_of(block: Sequence[int]) -> int:
        window = [axis.inputs(size) for axis, size in zip(axes, block[1:])]
        positions = max(outputs * _product(block[1:]), inputs * _product(window))
        return int(block[0] * positions * x.dtype.itemsize)

    _split(chunks, bytes_of, max(_LEAST_SPLIT, 2 * _product(map(max, x.chunks)) * x.dtype.itemsize))
    return chunks


def _product(sizes: Any) -> int:
    return int(functools.reduce(lambda a, b: a * int(b), sizes, 1))


def _places(x: Array, made: Plan, chunks: Sequence[Chunks], spatial: slice) -> List[List[Tuple[int, int, List[_Piece]]]]:
    """For the batch and each spatial axis, for each of its result's chunks: begin, size, and the pieces of the input's chunks. What
    an axis reads does not depend on the others."""
    found = []
    for axis, lengths in enumerate(chunks):
        of_axis = []
        for end, size in zip(itertools.accumulate(lengths), lengths):
            begin, taken = end - size, (end - size, size)
            if axis > 0:
                begins, sizes = [0] * (len(chunks) - 1), list(made.output_shape[spatial])
                begins[axis - 1], sizes[axis - 1] = begin, size
                window = made.input_window(begins, sizes)
                taken = window[0][axis - 1], window[1][axis - 1]
            of_axis.append((begin, size, _pieces(x.chunks[0] if axis == 0 else x.chunks[spatial][axis - 1], *taken)))
        found.append(of_axis)
    return found


class _Graph:
    """The tasks of one convolution."""

    def __init__(self, name: str, x: Array, call: _Call, last: bool) -> None:
        self.name, self.x, self.call, self.last = name, x, call, last
        self.tasks: Dict[Any, Any] = {}
        self._channels = _pieces(x.chunks[-1 if last else 1], 0, x.shape[-1 if last else 1])

    def _axes(self, batch: Any, channels: Any, spatial: Sequence[Any]) -> Tuple[Any, ...]:
        """In the array's order."""
        return (batch, *spatial, channels) if self.last else (batch, channels, *spatial)

    def _part(self, pieces: Sequence[_Piece]) -> Any:
        """The key of a part of one chunk of the input, which is the chunk's where it is all of it."""
        chunk = tuple(piece.chunk for piece in pieces)
        key = (self.x.name, *chunk)
        if all(piece.end - piece.begin == self.x.chunks[axis][piece.chunk] for axis, piece in enumerate(pieces)):
            return key
        part = (f"{self.name}-part", *chunk, *(piece.begin for piece in pieces), *(piece.end for piece in pieces))
        self.tasks[part] = (functools.partial(_slice, slices=tuple(slice(piece.begin, piece.end) for piece in pieces)), key)
        return part

    def add(self, number: Sequence[int], places: Sequence[Tuple[int, int, List[_Piece]]], weight: Any, bias: Any) -> None:
        """One chunk of the result, whose number counts the batch and the spatial axes."""
        (_, batch, images), *spatial = places
        parts, at = [], []
        for pieces in itertools.product(*self._axes(images, self._channels, [pieces for _, _, pieces in spatial])):
            parts.append(self._part(pieces))
            at.append(tuple(piece.place for piece in pieces))
        sizes = [sum(piece.end - piece.begin for piece in pieces) for _, _, pieces in spatial]
        shape = self._axes(batch, sum(piece.end - piece.begin for piece in self._channels), sizes)
        window = _Window(self.call, batch, tuple(begin for begin, _, _ in spatial), tuple(size for _, size, _ in spatial), shape,
                         tuple(at))
        key = (self.name, *self._axes(number[0], 0, number[1:]))
        self.tasks[key] = (functools.partial(_compute, window), parts, weight, bias)


def _hashable(value: Any) -> Any:
    return tuple(map(_hashable, value)) if isinstance(value, (list, tuple)) else value


def _convolve(op: str, input_: Any, weight: Any, bias: Any, **options: Any) -> Array:
    _check_arrays(op, input_, weight, bias)
    x, batched = (input_, True) if input_.ndim != weight.ndim - 1 else (input_[None], False)
    call = _Call(op, tuple(map(int, x.shape)), tuple(map(int, weight.shape)), x.dtype.name,
                 tuple((key, _hashable(value)) for key, value in options.items()))
    made = plan(op, call.input_shape, call.weight_shape, call.dtype, **options)  # errors now, for all of it
    if bias is not None and bias.shape != (made.output_shape[-1 if made.layout == "channels_last" else 1],):
        raise ValueError(f"bias is of shape {bias.shape}, not one for each output channel")
    last = made.layout == "channels_last"
    spatial = slice(1, -1) if last else slice(2, None)
    chunks = _result_chunks(x, made, _axes(made, "transpose" in op), spatial)
    name = f"tilefold-{op}-{tokenize(input_, weight, bias, call)}"
    graph, depends = _Graph(name, x, call, last), [x]
    weight_key = _one_key(weight, f"{name}-weight", graph.tasks, depends)
    bias_key = _one_key(bias, f"{name}-bias", graph.tasks, depends)
    places = _places(x, made, chunks, spatial)
    for number in itertools.product(*(range(len(lengths)) for lengths in chunks)):
        graph.add(number, [of_axis[index] for of_axis, index in zip(places, number)], weight_key, bias_key)
    outputs = (made.output_shape[-1 if last else 1],)
    make: Any = Array
    result: Array = make(HighLevelGraph.from_collections(name, graph.tasks, dependencies=depends), name,
                         graph._axes(chunks[0], outputs, chunks[1:]), meta=numpy.empty((0,) * x.ndim, x.dtype))
    return result if batched else result[0]


# ----------------------------------------------------------------------------------------------------- the functions

_TEXT = """tilefold.{name}() of a Dask array of any chunks, lazily, with the same bits.

    input is a dask.array.Array; weight and bias are arrays of NumPy's or Dask's (which become one chunk). Shapes, arguments
    and errors are those of tilefold.{name}(), where the naive loop is; what contradicts itself raises here, not when it is computed.
    threads is 1: the scheduler has more chunks than there are cores. There is no math="fast", whose bits would depend on the chunks.

    >>> import dask.array, numpy, tilefold.dask
    >>> x = dask.array.ones({input}, dtype="float32", chunks={chunks})
    >>> y = tilefold.dask.{name}(x, numpy.ones({weight}, "f4"), stride=2)
    >>> y.shape, y.chunks[-1], float(y.sum().compute())
    ({shape}, {result_chunks}, {total})
    """


def _documented(**example: Any) -> Callable[[Function], Function]:
    def document(function: Function) -> Function:
        function.__doc__ = _TEXT.format(name=function.__name__, **example)
        return function

    return document


@_documented(input=(1, 1, 9), chunks=(1, 1, 5), weight=(1, 1, 3), shape=(1, 1, 4), result_chunks=(2, 2), total=12.0)
def conv1d(input: Array, weight: Any, bias: Any = None, stride: Ints = 1, padding: Padding = 0, dilation: Ints = 1,
           groups: int = 1, *, layout: str = "channels_first", scratch: Scratch = "16MiB", threads: Optional[int] = 1,
           algorithm: str = "auto", activation: Activation = None, prepack: bool = True) -> Array:
    return _convolve("conv1d", input, weight, bias, stride=stride, padding=padding, dilation=dilation, groups=groups,
                     layout=layout, scratch=scratch, threads=threads, algorithm=algorithm, activation=activation, prepack=prepack)


@_documented(input=(1, 1, 9, 9), chunks=(1, 1, 5, 5), weight=(1, 1, 3, 3), shape=(1, 1, 4, 4), result_chunks=(2, 2), total=144.0)
def conv2d(input: Array, weight: Any, bias: Any = None, stride: Ints = 1, padding: Padding = 0, dilation: Ints = 1,
           groups: int = 1, *, layout: str = "channels_first", scratch: Scratch = "16MiB", threads: Optional[int] = 1,
           algorithm: str = "auto", activation: Activation = None, prepack: bool = True) -> Array:
    return _convolve("conv2d", input, weight, bias, stride=stride, padding=padding, dilation=dilation, groups=groups,
                     layout=layout, scratch=scratch, threads=threads, algorithm=algorithm, activation=activation, prepack=prepack)


@_documented(input=(1, 1, 9, 9, 9), chunks=(1, 1, 5, 5, 5), weight=(1, 1, 3, 3, 3),
             shape=(1, 1, 4, 4, 4), result_chunks=(2, 2), total=1728.0)
def conv3d(input: Array, weight: Any, bias: Any = None, stride: Ints = 1, padding: Padding = 0, dilation: Ints = 1,
           groups: int = 1, *, layout: str = "channels_first", scratch: Scratch = "16MiB", threads: Optional[int] = 1,
           algorithm: str = "auto", activation: Activation = None, prepack: bool = True) -> Array:
    return _convolve("conv3d", input, weight, bias, stride=stride, padding=padding, dilation=dilation, groups=groups,
                     layout=layout, scratch=scratch, threads=threads, algorithm=algorithm, activation=activation, prepack=prepack)


@_documented(input=(1, 1, 4), chunks=(1, 1, 3), weight=(1, 1, 2), shape=(1, 1, 8), result_chunks=(6, 2), total=8.0)
def conv_transpose1d(input: Array, weight: Any, bias: Any = None, stride: Ints = 1, padding: Padding = 0,
                     output_padding: Ints = 0, groups: int = 1, dilation: Ints = 1, *, layout: str = "channels_first",
                     scratch: Scratch = "16MiB", threads: Optional[int] = 1, algorithm: str = "auto",
                     activation: Activation = None, prepack: bool = True) -> Array:
    return _convolve("conv_transpose1d", input, weight, bias, stride=stride, padding=padding, output_padding=output_padding,
                     groups=groups, dilation=dilation, layout=layout, scratch=scratch, threads=threads, algorithm=algorithm,
                     activation=activation, prepack=prepack)


@_documented(input=(1, 1, 4, 4), chunks=(1, 1, 3, 3), weight=(1, 1, 2, 2), shape=(1, 1, 8, 8), result_chunks=(6, 2), total=64.0)
def conv_transpose2d(input: Array, weight: Any, bias: Any = None, stride: Ints = 1, padding: Padding = 0,
                     output_padding: Ints = 0, groups: int = 1, dilation: Ints = 1, *, layout: str = "channels_first",
                     scratch: Scratch = "16MiB", threads: Optional[int] = 1, algorithm: str = "auto",
                     activation: Activation = None, prepack: bool = True) -> Array:
    return _convolve("conv_transpose2d", input, weight, bias, stride=stride, padding=padding, output_padding=output_padding,
                     groups=groups, dilation=dilation, layout=layout, scratch=scratch, threads=threads, algorithm=algorithm,
                     activation=activation, prepack=prepack)


@_documented(input=(1, 1, 4, 4, 4), chunks=(1, 1, 3, 3, 3), weight=(1, 1, 2, 2, 2),
             shape=(1, 1, 8, 8, 8), result_chunks=(6, 2), total=512.0)
def conv_transpose3d(input: Array, weight: Any, bias: Any = None, stride: Ints = 1, padding: Padding = 0,
                     output_padding: Ints = 0, groups: int = 1, dilation: Ints = 1, *, layout: str = "channels_first",
                     scratch: Scratch = "16MiB", threads: Optional[int] = 1, algorithm: str = "auto",
                     activation: Activation = None, prepack: bool = True) -> Array:
    return _convolve("conv_transpose3d", input, weight, bias, stride=stride, padding=padding, output_padding=output_padding,
                     groups=groups, dilation=dilation, layout=layout, scratch=scratch, threads=threads, algorithm=algorithm,
                     activation=activation, prepack=prepack)
