# SPDX-License-Identifier: MIT
"""Arrays of any kind as what the library wants of them: an address, a shape, strides and a type. Nothing is copied.

An Operand is one array seen so. Its kind (NumPy, PyTorch, anything that speaks DLPack) makes results of the same kind.
"""

from __future__ import annotations

import functools
import sys
from typing import Any, Dict, NamedTuple, Tuple

import numpy

from ._binding import ffi
from ._dlpack import Capsule, Exporter, importer
from ._library import TYPE_BYTES, TYPES

Shape = Tuple[int, ...]

_ADDRESS = ffi.typeof("uintptr_t")
_from_buffer, _cast = ffi.from_buffer, ffi.cast
_F32, _F16, _BF16 = TYPES["float32"], TYPES["float16"], TYPES["bfloat16"]
_NUMPY_TYPES: Dict[Any, int] = {numpy.dtype(numpy.float32): _F32, numpy.dtype(numpy.float16): _F16}


class Form(NamedTuple):
    """What a plan depends on of an array. What its dtype is and what its strides count is its kind's: type_of(), element_strides()."""

    kind: "Kind"
    shape: Shape
    strides: Shape
    dtype: Any


_new_form: Any = tuple.__new__  # a third of the time of Form(...)


class Operand:
    """One array: its form, where it lies, and what keeps it there."""

    __slots__ = ("array", "form", "address", "keep")

    def __init__(self, array: Any, form: Form, address: int, keep: Any) -> None:
        self.array, self.form, self.address, self.keep = array, form, address, keep


class Kind:
    """What is different between NumPy's arrays, PyTorch's and others."""

    def operand(self, array: Any, name: str) -> Operand:
        raise NotImplementedError

    def type_of(self, dtype: Any, name: str) -> int:
        """The library's type, or TypeError."""
        raise NotImplementedError

    def element_strides(self, strides: Shape, type_: int, name: str) -> Shape:
        return strides

    def empty(self, shape: Shape, like: Operand) -> Operand:
        """A new dense array of the type of another."""
        raise NotImplementedError

    def finish(self, result: Operand, like: Operand) -> Any:
        """What becomes of a result of empty() once it is computed."""
        return result.array

    def check_writable(self, operand: Operand) -> None:
        """ValueError for an out that is read-only."""

    def written(self, operand: Operand) -> None:
        """Tells the array's library that an out has changed."""


# ----------------------------------------------------------------------------------------------------------- NumPy


def _numpy_address(array: Any) -> Tuple[int, Any]:
    """Where an array begins, and what keeps it there. The first way is the faster one."""
    try:
        keep = _from_buffer(array)
        return int(_cast(_ADDRESS, keep)), keep
    except (ValueError, BufferError):  # strides of its own, or a type that buffers do not know (bfloat16)
        return array.__array_interface__["data"][0], None


class _NumpyKind(Kind):
    def operand(self, array: Any, name: str) -> Operand:
        return Operand(array, _new_form(Form, (self, array.shape, array.strides, array.dtype)), *_numpy_address(array))

    def type_of(self, dtype: Any, name: str) -> int:
        found = _NUMPY_TYPES.get(dtype)
        if found is not None:
            return found
        if dtype.name == "bfloat16" and dtype.itemsize == 2:
            return _BF16
        raise TypeError(f"{name} is {_describe_dtype(dtype)}: tilefold computes in float32, float16 and bfloat16 "
                        f"(write {name}.astype(numpy.float32))")

    def element_strides(self, strides: Shape, type_: int, name: str) -> Shape:
        size = TYPE_BYTES[type_]
        if any(stride % size for stride in strides):
            raise ValueError(f"{name} has strides of {strides} bytes, which are no multiples of its elements' {size} bytes "
                             f"(write numpy.ascontiguousarray({name}))")
        return tuple(stride // size for stride in strides)

    def empty(self, shape: Shape, like: Operand) -> Operand:
        made = numpy.empty(shape, like.form.dtype)
        return Operand(made, like.form, *_numpy_address(made))

    def check_writable(self, operand: Operand) -> None:
        if not operand.array.flags.writeable:
            raise ValueError("out is read-only")


def _describe_dtype(dtype: Any) -> str:
    if dtype.kind in "fiuc" and not dtype.isnative:
        return f"{dtype.newbyteorder('=').name} in the other byte order ({dtype.str!r})"
    return str(dtype.name)


# --------------------------------------------------------------------------------------------------------- PyTorch


class _TorchKind(Kind):
    def __init__(self) -> None:
        self._torch: Any = sys.modules["torch"]
        self._types: Dict[Any, int] = {self._torch.float32: _F32, self._torch.float16: _F16, self._torch.bfloat16: _BF16}

    def operand(self, array: Any, name: str) -> Operand:
        torch = self._torch
        if array.requires_grad and torch.is_grad_enabled():
            raise TypeError(f"{name} requires a gradient, which this function does not compute: use tilefold.torch, "
                            f"torch.no_grad() or {name}.detach()")
        if array.layout is not torch.strided or array.device.type != "cpu":
            raise TypeError(f"{name} is a tensor of layout {array.layout} on {array.device}: write {name}.cpu() or "
                            f"{name}.to_dense()")
        plain = array.resolve_neg() if array.is_neg() else array
        return Operand(array, _new_form(Form, (self, plain.shape, plain.stride(), plain.dtype)), plain.data_ptr(), plain)

    def type_of(self, dtype: Any, name: str) -> int:
        found = self._types.get(dtype)
        if found is None:
            raise TypeError(f"{name} is {dtype}: tilefold computes in float32, float16 and bfloat16 (write {name}.float())")
        return found

    def empty(self, shape: Shape, like: Operand) -> Operand:
        made = self._torch.empty(shape, dtype=like.form.dtype)
        return Operand(made, like.form, made.data_ptr(), None)

    def check_writable(self, operand: Operand) -> None:
        if operand.keep is not operand.array:
            raise ValueError("out is lazily negated: write out.resolve_neg()")

    def written(self, operand: Operand) -> None:
        """A gradient that needs what it was before is an error from now on, not wrong."""
        self._torch.autograd.graph.increment_version(operand.array)


# ---------------------------------------------------------------------------------------------------------- DLPack


class _DLPackKind(Kind):
    def operand(self, array: Any, name: str) -> Operand:
        capsule = Capsule(array, name)
        return Operand(array, Form(self, capsule.shape, capsule.strides, capsule.dtype), capsule.address, capsule)

    def type_of(self, dtype: Any, name: str) -> int:
        if dtype not in TYPES:
            raise TypeError(f"{name} is {dtype}: tilefold computes in float32, float16 and bfloat16")
        return TYPES[dtype]

    def empty(self, shape: Shape, like: Operand) -> Operand:
        importer(like.array)  # an error now rather than when all is computed
        return _NUMPY.operand(numpy.empty(shape, "uint16" if like.form.dtype == "bfloat16" else like.form.dtype), "out")

    def finish(self, result: Operand, like: Operand) -> Any:
        return importer(like.array)(Exporter(result.array, like.form.dtype == "bfloat16"))

    def check_writable(self, operand: Operand) -> None:
        if operand.keep.read_only:
            raise ValueError("out is read-only, or its exporter does not say (DLPack before 1.0)")


# ------------------------------------------------------------------------------------------------------------ all

_NUMPY = _NumpyKind()
_DLPACK = _DLPackKind()
_torch_kind: Any = None


def operand(array: Any, name: str) -> Operand:
    """An array as an operand. TypeError for what is none."""
    global _torch_kind
    if type(array) is numpy.ndarray:
        return _NUMPY.operand(array, name)
    if isinstance(array, numpy.ndarray):
        if isinstance(array, numpy.ma.MaskedArray):
            raise TypeError(f"{name} is a masked array, and a mask would be ignored: write {name}.filled(0)")
        return _NUMPY.operand(array, name)
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(array, torch.Tensor):
        if _torch_kind is None:
            _torch_kind = _TorchKind()
        found: Operand = _torch_kind.operand(array, name)
        return found
    if hasattr(array, "__dlpack__"):
        return _DLPACK.operand(array, name)
    raise TypeError(f"{name} is a {type(array).__name__}, not an array (NumPy's, PyTorch's, or one with __dlpack__): "
                    f"write numpy.asarray({name}, numpy.float32)")


_OVERLAP_WORK: Any = 1 << 16


class _Bytes:
    """Memory that is kept by someone else, for numpy.asarray()."""

    def __init__(self, interface: Any) -> None:
        self.__array_interface__ = interface


def strides(form: Form, type_: int, name: str) -> Shape:
    """In elements. ValueError where they are none."""
    return form.kind.element_strides(form.strides, type_, name)


def _numpy_view(operand: Operand) -> Any:
    """A NumPy array over an operand's elements; bfloat16 as uint16."""
    form = operand.form
    type_ = form.kind.type_of(form.dtype, "array")
    size = TYPE_BYTES[type_]
    return numpy.asarray(_Bytes({
        "version": 3, "data": (operand.address, False), "shape": tuple(form.shape),
        "strides": tuple(stride * size for stride in strides(form, type_, "array")),
        "typestr": numpy.dtype({_F32: "f4", _F16: "f2", _BF16: "u2"}[type_]).str}))


def float32_vector(operand: Operand) -> Operand:
    """The elements of a short operand as a dense float32 array, exactly."""
    view = _numpy_view(operand)
    if view.dtype == numpy.uint16:
        return _NUMPY.operand((view.astype(numpy.uint32) << 16).view(numpy.float32), "bias")
    return _NUMPY.operand(numpy.ascontiguousarray(view, numpy.float32), "bias")


@functools.lru_cache(maxsize=256)
def _reach(form: Form) -> Tuple[int, int]:
    """The bytes before and from the address on that a form lies within."""
    type_ = form.kind.type_of(form.dtype, "array")
    size, low, high = TYPE_BYTES[type_], 0, 0
    if 0 in form.shape:
        return 0, 0
    for length, stride in zip(form.shape, strides(form, type_, "array")):
        low += min(0, (length - 1) * stride * size)
        high += max(0, (length - 1) * stride * size)
    return low, high + size


def may_overlap(first: Operand, second: Operand) -> bool:
    """Whether two operands share an element; True as well where that is too hard to tell."""
    low, high = _reach(first.form)
    other_low, other_high = _reach(second.form)
    if first.address + high <= second.address + other_low or second.address + other_high <= first.address + low:
        return False
    try:
        return bool(numpy.shares_memory(_numpy_view(first), _numpy_view(second), max_work=_OVERLAP_WORK))
    except getattr(numpy, "exceptions", numpy).TooHardError:
        return True
