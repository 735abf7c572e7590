# SPDX-License-Identifier: MIT
"""Plans: what a call would take, known before it runs; to be called again and again."""

from __future__ import annotations

import functools
import operator
from typing import Any, Callable, Optional, Sequence

import numpy

from . import _arrays, _library, _picture
from ._arrays import Operand
from ._functions import Activation, Ints, Padding, Scratch, compute, strides_of
from ._library import INT64_MAX, Memory, lib
from ._native import NativePlan, Strides
from ._problem import Description, Shape, describe, set_strides
from ._watch import Progress

_NATIVE_PLANS = 8  # kept by a Plan


class PackedWeight:
    """A weight as a plan wants it: Plan.pack(). Good for that plan and its equals, for as long as it lives."""

    __slots__ = ("_description", "_native", "_memory", "_weight", "_zeros")

    def __init__(self, description: Description, native: NativePlan, weight: Operand) -> None:
        self._description, self._native = description, native
        self._memory: Optional[Memory] = None
        self._weight: Any = weight  # read where it lies by a plan without packing
        if native.info.packed_weight_bytes:
            self._memory = Memory(native.info.packed_weight_bytes)
            native.pack(weight.address, self._memory)
            self._weight = None
        self._zeros = numpy.zeros(native.bias_shape, numpy.float32)

    @property
    def nbytes(self) -> int:
        """Bytes that it holds, beside the scratch limit: the packed weights, and a bias of zeros."""
        return int(self._native.info.packed_weight_bytes) + int(self._zeros.nbytes)

    def __repr__(self) -> str:
        return f"<tilefold.PackedWeight for {self._description.op}, {self.nbytes} bytes>"


class Plan:
    """How one problem will be computed, made by tilefold.plan(): immutable, compared and pickled by what it was made from.

    str() tells it in the library's words, and a notebook draws it. Calling it computes, from any number of threads at once: each call
    that runs at the same time as others has scratch of its own, of scratch_bytes, which the plan keeps for the next.
    """

    __slots__ = ("_description", "_native", "_figures")

    _description: Description
    _native: Callable[[bool, Strides], NativePlan]
    _figures: NativePlan

    def __init__(self, description: Description) -> None:
        set_ = functools.partial(object.__setattr__, self)
        set_("_description", description)
        # What is kept from call to call belongs to the plan; how much it is, its figures tell.
        set_("_native", functools.lru_cache(maxsize=_NATIVE_PLANS)(functools.partial(NativePlan, description, keep_bytes=INT64_MAX)))
        set_("_figures", self._native(False, Strides()))

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
        d = self._description
        input_operand = _arrays.operand(input, "input")
        out_operand = None if out is None else _arrays.operand(out, "out")
        if input_operand.shape != d.input_shape:
            raise ValueError(f"input is of shape {input_operand.shape}, but the plan for {d.input_shape}")
        if isinstance(weight, PackedWeight):
            return self._call_packed(input_operand, weight, bias, out_operand, progress)
        weight_operand = self._weight_operand(weight)
        strides = strides_of(input_operand, weight_operand, out_operand, d.type)
        native = self._native(bias is not None, strides)
        return compute(native, input_operand, weight_operand, bias, out_operand, progress)

    def pack(self, weight: Any) -> PackedWeight:
        """The weight as the plan wants it, for calls in place of the weight: what each call would otherwise do anew.

        It holds packed_weight_bytes, and does not change when the weight does.
        """
        operand = self._weight_operand(weight)
        native = self._native(True, strides_of(None, operand, None, self._description.type))
        return PackedWeight(self._description, native, operand)

    def _weight_operand(self, weight: Any) -> Operand:
        operand, expected = _arrays.operand(weight, "weight"), self._description.weight_shape
        if operand.shape != expected:
            raise ValueError(f"weight is of shape {operand.shape}, but the plan for {expected}")
        return operand

    def _call_packed(self, input_: Operand, packed: PackedWeight, bias: Any, out: Optional[Operand], progress: Progress) -> Any:
        d, native = self._description, packed._native
        if packed._description != d:
            raise ValueError("the weight was packed for another plan")
        strides = strides_of(input_, None, out, d.type)
        if strides.output_shape not in (None, native.output_shape):
            raise ValueError(f"out is of shape {strides.output_shape}, not {native.output_shape}")
        problem = _library.ffi.new("tilefold_problem *", native.problem[0])
        set_strides(problem, d, strides.input, None, strides.output)
        address = packed._memory.address if packed._memory else 0
        weight = packed._weight or Operand(input_.kind, None, (0,), (0,), input_.dtype, 0, None)
        return compute(native, input_, weight, packed._zeros if bias is None else bias, out, progress, address, problem)

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
        kind, index = self._description.device
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
        limit = self._description.scratch
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
