# SPDX-License-Identifier: MIT
"""Plans: what a call would take, known before it runs; to be called again and again."""

from __future__ import annotations

import functools
import math
import operator
from typing import Any, Callable, Optional, Sequence, Tuple

import numpy

from . import _arrays, _library, _picture
from ._arrays import Form, Operand
from ._call import Piece, compute, strides_of
from ._functions import Activation, Ints, Padding, Scratch
from ._library import INT64_MAX, Memory, lib
from ._native import KEEP_BYTES, NativePlan, Strides, for_strides
from ._problem import Description, Shape, describe, set_strides
from ._watch import Progress

_NATIVE_PLANS = 6  # kept by a Plan
_DENSE = Strides()


def _dense(shape: Shape) -> Shape:
    return tuple(math.prod(shape[axis + 1:]) for axis in range(len(shape)))


def _native_plan(description: Description, bias: bool, strides: Strides) -> NativePlan:
    """Workspaces of the usual, dense arrays are kept, of whatever size."""
    return for_strides(description, bias, strides, INT64_MAX if strides is _DENSE else KEEP_BYTES)


def _check_shape(name: str, form: Form, expected: Shape) -> None:
    if form.shape != expected:
        raise ValueError(f"{name} is of shape {tuple(form.shape)}, but the plan for {expected}")


def _choose(description: Description, native: Callable[[bool, Strides], NativePlan], dense: Strides, input_: Form, weight: Form,
            out: Optional[Form], bias: bool) -> NativePlan:
    """The native plan for arrays of these forms."""
    _check_shape("input", input_, description.input_shape)
    _check_shape("weight", weight, description.weight_shape)
    strides = strides_of(input_, weight, out, description.type)
    return native(bias, _DENSE if strides == dense else strides)


def _strided(description: Description, native: NativePlan, input_: Form, out: Optional[Form], shape: Shape, window: Any) -> Piece:
    """A window of a native plan's outputs, or all of them, for arrays of these forms."""
    strides = strides_of(input_, None, out, description.type)
    if strides.output_shape not in (None, shape):
        raise ValueError(f"out is of shape {strides.output_shape}, not {shape}")
    problem = _library.ffi.new("tilefold_problem *", native.problem[0])
    set_strides(problem, description, strides.input, None, _dense(shape) if out is None else strides.output)
    return Piece(problem, window, shape)


def _whole(description: Description, native: NativePlan, input_: Form, out: Optional[Form]) -> Optional[Piece]:
    """All outputs; None where the arrays are as the native plan has them."""
    _check_shape("input", input_, description.input_shape)
    if out is None and strides_of(input_, None, None, description.type).input == _dense(description.input_shape):
        return None
    return _strided(description, native, input_, out, native.output_shape, None)


class PackedWeight:
    """A weight as a plan wants it: Plan.pack(). Good for that plan and its equals, for as long as it lives."""

    __slots__ = ("_description", "_native", "_memory", "_operand", "_zeros", "_address", "_whole")

    def __init__(self, description: Description, native: NativePlan, weight: Operand) -> None:
        self._description, self._native = description, native
        self._memory: Optional[Memory] = None
        self._operand = weight  # read where it lies by a plan that does not pack
        self._address = 0
        if native.info.packed_weight_bytes:
            self._memory = Memory(native.info.packed_weight_bytes)
            self._address = self._memory.address
            native.pack(weight.address, self._memory)
            self._operand = _NOWHERE
        self._whole = functools.lru_cache(maxsize=_NATIVE_PLANS)(functools.partial(_whole, description, native))
        self._zeros = numpy.zeros(native.bias_shape, numpy.float32)

    @property
    def nbytes(self) -> int:
        """Bytes that it holds, beside the scratch limit: the packed weights, and a bias of zeros."""
        return int(self._native.info.packed_weight_bytes) + int(self._zeros.nbytes)

    def _prepared(self, description: Description) -> NativePlan:
        """The native plan that it was packed for, if a description is that plan's."""
        if self._description is not description and self._description != description:
            raise ValueError("the weight was packed for another plan")
        return self._native

    def _bias(self, bias: Any) -> Any:
        """The packed form is that of a problem with a bias: one of zeros gives the bits of none."""
        return self._zeros if bias is None else bias

    def __repr__(self) -> str:
        return f"<tilefold.PackedWeight for {self._description.op}, {self.nbytes} bytes>"


# The weight itself, where only its packed form is read.
_NOWHERE = _arrays.operand(numpy.empty(0, numpy.float32), "weight")


class Plan:
    """How one problem will be computed, made by tilefold.plan(): immutable, compared and pickled by what it was made from.

    str() tells it in the library's words, and a notebook draws it. Calling it computes, from any number of threads at once: each call
    that runs at the same time as others has scratch of its own, of scratch_bytes (and of packed_weight_bytes, where it is not given
    packed weights), which the plan keeps for the next.
    """

    __slots__ = ("_description", "_native", "_figures", "_for_call", "_dense")

    _description: Description
    _native: Callable[[bool, Strides], NativePlan]
    _figures: NativePlan
    _for_call: Callable[[Form, Form, Optional[Form], bool], NativePlan]
    _dense: Strides  # of dense arrays

    def __init__(self, description: Description) -> None:
        set_ = functools.partial(object.__setattr__, self)
        set_("_description", description)
        set_("_dense", Strides(_dense(description.input_shape), _dense(description.weight_shape)))
        set_("_native", functools.lru_cache(maxsize=_NATIVE_PLANS)(functools.partial(_native_plan, description)))
        set_("_figures", self._native(False, _DENSE))
        set_("_for_call", functools.lru_cache(maxsize=_NATIVE_PLANS)(
            functools.partial(_choose, description, self._native, self._dense)))

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError(f"a plan does not change: {name} cannot be set")

    __delattr__ = __setattr__  # type: ignore[assignment]

    # ------------------------------------------------------------------------------------------------- to compute

    def __call__(self, input: Any, weight: Any, bias: Any = None, *, out: Any = None, progress: Progress = None) -> Any:
        """Computes it. weight is an array, which is packed anew in each call, or what pack() made of one.

        Shapes and types are those that the plan was made for (ValueError, TypeError); strides may be any. out and progress as in
        tilefold.conv2d().

        >>> import numpy, tilefold
        >>> plan = tilefold.plan("conv1d", (1, 1, 5), (1, 1, 3))
        >>> packed = plan.pack(numpy.ones((1, 1, 3), "f4"))
        >>> plan(numpy.ones((1, 1, 5), "f4"), packed)
        array([[[3., 3., 3.]]], dtype=float32)
        """
        inputs, outputs = _arrays.operand(input, "input"), None if out is None else _arrays.operand(out, "out")
        out_form = None if outputs is None else outputs.form
        if isinstance(weight, PackedWeight):
            native, piece = weight._prepared(self._description), weight._whole(inputs.form, out_form)
            return compute(native, inputs, weight._operand, weight._bias(bias), outputs, progress, weight._address, piece)
        weights = _arrays.operand(weight, "weight")
        native = self._for_call(inputs.form, weights.form, out_form, bias is not None)
        return compute(native, inputs, weights, bias, outputs, progress)

    def pack(self, weight: Any) -> PackedWeight:
        """The weight as the plan wants it, for calls in place of the weight: what each call would otherwise do anew.

        It holds packed_weight_bytes, and does not change when the weight does; of a plan with prepack=False it is the weight itself.
        """
        operand = _arrays.operand(weight, "weight")
        _check_shape("weight", operand.form, self._description.weight_shape)
        strides = strides_of(None, operand.form, None, self._description.type)
        native = self._native(True, _DENSE if strides.weight == self._dense.weight else strides)
        return PackedWeight(self._description, native, operand)

    # ------------------------------------------------------------------------------------------------- in pieces

    def input_window(self, begin: Sequence[int], size: Sequence[int]) -> Tuple[Shape, Shape]:
        """The part of the input that outputs [begin, begin + size) of the spatial axes are computed from: its begin and size.

        The smallest one, halo included; where they are made of padding alone, its size is 0. ValueError where that is not within
        the output.

        >>> import tilefold
        >>> tilefold.plan("conv1d", (1, 1, 1000), (1, 1, 5), stride=3).input_window((10,), (4,))
        ((30,), (14,))
        """
        window, found, message = self._window(begin, size), _library.ffi.new("tilefold_window *"), _library.new_message()
        weight = _library.ffi.new("tilefold_weight_window *")
        _library.check(lib.tilefold_input_window(self._figures.problem, window, found, weight, message), message)
        axes = range(self._description.rank)
        return tuple(found.begin[axis] for axis in axes), tuple(found.size[axis] for axis in axes)

    def window(self, part: Any, packed: PackedWeight, bias: Any = None, *, begin: Sequence[int], size: Sequence[int],
               out: Any = None, progress: Progress = None) -> Any:
        """Outputs [begin, begin + size) of the spatial axes alone, from the part of the input that input_window() names.

        part is (N, C, that size) in the plan's layout, the result (N, O, size); both of any strides. The bits are those of the whole, so a
        signal longer than memory can be computed in pieces, by any number of threads at once.

        >>> import numpy, tilefold
        >>> signal, weight = numpy.arange(1000, dtype="f4").reshape(1, 1, 1000), numpy.ones((1, 1, 5), "f4")
        >>> plan = tilefold.plan("conv1d", signal.shape, weight.shape, stride=3)
        >>> (first,), (count,) = plan.input_window((10,), (4,))
        >>> plan.window(signal[..., first:first + count], plan.pack(weight), begin=(10,), size=(4,))
        array([[[160., 175., 190., 205.]]], dtype=float32)
        """
        native, inputs = packed._prepared(self._description), _arrays.operand(part, "part")
        expected = self._with_spatial(self._description.input_shape, self.input_window(begin, size)[1])
        if inputs.form.shape != expected:
            raise ValueError(f"part is of shape {tuple(inputs.form.shape)}, not {expected}")
        outputs, shape = None if out is None else _arrays.operand(out, "out"), self._with_spatial(native.output_shape, tuple(size))
        piece = _strided(self._description, native, inputs.form, None if outputs is None else outputs.form, shape,
                         self._window(begin, size))
        return compute(native, inputs, packed._operand, packed._bias(bias), outputs, progress, packed._address, piece)

    def _with_spatial(self, shape: Shape, spatial: Shape) -> Shape:
        rank = self._description.rank
        if self.layout == "channels_last":
            return (*shape[:-1 - rank], *spatial, shape[-1])
        return (*shape[:-rank], *spatial)

    def _window(self, begin: Sequence[int], size: Sequence[int]) -> Any:
        rank, message = self._description.rank, _library.new_message()
        if len(begin) != rank or len(size) != rank:
            raise ValueError(f"begin is {begin!r} and size {size!r}: both have {rank} numbers, one for each spatial axis")
        window = _library.ffi.new("tilefold_window *")
        _library.check(lib.tilefold_output_window(self._figures.problem, window, message), message)
        for axis in range(rank):
            window.begin[axis], window.size[axis] = operator.index(begin[axis]), operator.index(size[axis])
        return window

    # ------------------------------------------------------------------------------------------------ its figures

    @property
    def op(self) -> str:
        """"conv1d" to "conv_transpose3d"."""
        return self._description.op

    @property
    def input_shape(self) -> Shape:
        """Of calls: (N, C, spatial...), or without N."""
        return self._description.input_shape

    @property
    def weight_shape(self) -> Shape:
        """Of calls."""
        return self._description.weight_shape

    @property
    def output_shape(self) -> Shape:
        """Of results."""
        return self._figures.output_shape

    @property
    def layout(self) -> str:
        """"channels_first" or "channels_last"."""
        return self._description.layout

    @property
    def stride(self) -> Shape:
        """Of each axis."""
        return self._description.stride

    @property
    def dtype(self) -> str:
        """"float32", "float16" or "bfloat16"."""
        return _library.TYPE_NAMES[self._description.type]

    @property
    def device(self) -> str:
        """"cpu" or "vulkan:N"."""
        kind, index = self._description.options.device
        return "cpu" if kind == lib.TILEFOLD_CPU else f"vulkan:{index}"

    @property
    def algorithm(self) -> str:
        """What will run: "unfold", "implicit" or "direct"."""
        return self._name("algorithm")

    @property
    def math(self) -> str:
        """What will run: "exact" or "fast"."""
        return self._name("math")

    @property
    def isa(self) -> str:
        """The instruction set, on the CPU."""
        return self._name("isa") if self._figures.info.device == lib.TILEFOLD_CPU else ""

    @property
    def threads(self) -> int:
        """Threads that will be used: fewer than asked for where scratch is short."""
        return int(self._figures.info.threads)

    @property
    def scratch_limit_bytes(self) -> Optional[int]:
        """The limit asked for; None: none."""
        limit = self._description.options.scratch
        return None if limit == INT64_MAX else limit

    @property
    def scratch_bytes(self) -> int:
        """What a call uses."""
        return int(self._figures.info.scratch_bytes)

    @property
    def plan_bytes(self) -> int:
        """Of the native plan; scratch_bytes + plan_bytes <= scratch_limit_bytes."""
        return int(self._figures.info.plan_bytes)

    @property
    def min_scratch_bytes(self) -> int:
        """The least limit with which this problem can be planned."""
        return int(self._figures.info.min_scratch_bytes)

    @property
    def ideal_scratch_bytes(self) -> int:
        """From this limit on the plan is the one that no limit would give."""
        return int(self._figures.info.ideal_scratch_bytes)

    @property
    def packed_weight_bytes(self) -> int:
        """Of the packed weights, which are beside the limit; 0 with prepack=False."""
        return int(self._figures.info.packed_weight_bytes)

    @property
    def full_unfold_bytes(self) -> int:
        """What an unfold (im2col) of it all would take."""
        return int(self._figures.info.full_unfold_bytes)

    @property
    def tiles(self) -> int:
        """Units of work, each a window of output positions of one phase."""
        return int(self._figures.info.tiles)

    @property
    def phases(self) -> int:
        """Residue classes of output positions, empty ones included."""
        return int(self._figures.info.phases)

    @property
    def macs(self) -> int:
        """Multiply-adds that will be done."""
        return int(self._figures.info.macs)

    @property
    def error_bound(self) -> float:
        """No output is further from the real sum than this * (|bias| + the largest |input| * the sum of |weights|), before it is
        rounded to its type."""
        return float(self._figures.info.error_bound)

    def _name(self, figure: str) -> str:
        name = getattr(lib, f"tilefold_{figure}_name")(getattr(self._figures.info, figure))
        return str(_library.ffi.string(name).decode())

    # ------------------------------------------------------------------------------------------------- as an object

    def __str__(self) -> str:
        return self._figures.text().rstrip("\n")

    def __repr__(self) -> str:
        return (f"<tilefold.Plan {self.op} {self.input_shape} * {self.weight_shape} {self.dtype}: "
                f"{self.scratch_bytes} bytes of scratch>")

    def _repr_html_(self) -> str:
        return _picture.draw(self)

    def __eq__(self, other: object) -> bool:
        return self._description == other._description if isinstance(other, Plan) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._description)

    def __reduce__(self) -> Any:
        return Plan, (self._description,)


def _shape(value: Any, name: str) -> Shape:
    try:
        return tuple(operator.index(size) for size in value)
    except TypeError:
        raise TypeError(f"{name} is {value!r}, not a shape") from None


def _type(dtype: Any) -> int:
    """The library's type for a dtype of NumPy, ml_dtypes or PyTorch, or its name."""
    name = dtype if isinstance(dtype, str) else getattr(dtype, "name", None) or str(dtype)
    name = name.rpartition(".")[2]
    if name not in _library.TYPES:
        name = getattr(dtype, "__name__", name)
    if name not in _library.TYPES:
        raise TypeError(f"dtype is {dtype!r}: tilefold computes in {', '.join(_library.TYPES)}")
    return _library.TYPES[name]


def plan(op: str, input_shape: Sequence[int], weight_shape: Sequence[int], dtype: Any = "float32", *, stride: Ints = 1,
         padding: Padding = 0, output_padding: Ints = 0, dilation: Ints = 1, groups: int = 1, layout: str = "channels_first",
         scratch: Scratch = "16MiB", device: str = "cpu", threads: Optional[int] = None, algorithm: str = "auto",
         math: str = "exact", activation: Activation = None, prepack: bool = True) -> Plan:
    """How a call would be computed, with all figures, before anything runs. Options as in tilefold.conv2d().

    op is "conv1d", "conv2d", "conv3d", "conv_transpose1d", "conv_transpose2d" or "conv_transpose3d"; dtype one of NumPy's,
    ml_dtypes' or PyTorch's, or its name. Errors as in tilefold.conv2d().

    >>> import tilefold
    >>> plan = tilefold.plan("conv2d", (1, 64, 256, 256), (64, 64, 3, 3), padding=1, scratch="64KiB")
    >>> plan.full_unfold_bytes, plan.scratch_bytes + plan.plan_bytes <= 65536
    (150994944, True)
    >>> tilefold.plan("conv2d", (1, 64, 256, 256), (64, 64, 3, 3), padding=1, scratch=100)   # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ...
    tilefold.LimitTooSmall: ...
    """
    return Plan(describe(op, _shape(input_shape, "input_shape"), _shape(weight_shape, "weight_shape"), _type(dtype),
                         stride=stride, padding=padding, output_padding=output_padding, dilation=dilation, groups=groups,
                         layout=layout, scratch=scratch, device=device, threads=threads, algorithm=algorithm, math=math,
                         activation=activation, prepack=prepack))
