# SPDX-License-Identifier: MIT
"""One call: from arrays and arguments to the native plan that serves them, and what is computed with it."""

from __future__ import annotations

import functools
from typing import Any, List, NamedTuple, Optional, Sequence

from . import _arrays, _library, _watch
from ._arrays import Form, Operand, Shape
from ._native import KEEP_BYTES, NativePlan, Strides, for_strides
from ._problem import describe
from ._watch import Progress


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
    if out is None:
        return input_.form.kind.finish(result, input_)
    out.form.kind.written(out)
    return out.array


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
