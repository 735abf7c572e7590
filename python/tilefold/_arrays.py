# SPDX-License-Identifier: MIT
"""Arrays of any kind as what the library wants of them: an address, a shape, strides and a type. Nothing is copied.

An Operand is one array seen so. Its kind (NumPy, PyTorch, anything that speaks DLPack) makes results of the same kind.
"""

from __future__ import annotations

import sys
from typing import Any, Dict, Tuple

import numpy

from ._binding import ffi
from ._dlpack import Capsule, Exporter, importer
from ._library import TYPE_BYTES, TYPES

Shape = Tuple[int, ...]

_F32, _F16, _BF16 = TYPES["float32"], TYPES["float16"], TYPES["bfloat16"]
_NUMPY_TYPES: Dict[Any, int] = {numpy.dtype(numpy.float32): _F32, numpy.dtype(numpy.float16): _F16}


class Operand:
    """One array. What its dtype is and what its strides count is its kind's: type_of(), element_strides()."""

    __slots__ = ("kind", "array", "shape", "strides", "dtype", "address", "keep")

    def __init__(self, kind: "Kind", array: Any, shape: Shape, strides: Shape, dtype: Any, address: int, keep: Any) -> None:
        self.kind, self.array, self.shape, self.strides = kind, array, shape, strides
        self.dtype, self.address, self.keep = dtype, address, keep


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
        pass


# ----------------------------------------------------------------------------------------------------------- NumPy


class _NumpyKind(Kind):
    def operand(self, array: Any, name: str) -> Operand:
        try:
            keep = ffi.from_buffer(array)
            address = int(ffi.cast("uintptr_t", keep))
        except (ValueError, BufferError):  # strides of its own, or a type that buffers do not know (bfloat16)
            keep, address = None, array.__array_interface__["data"][0]
        return Operand(self, array, array.shape, array.strides, array.dtype, address, keep)

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
        return self.operand(numpy.empty(shape, like.dtype), "out")

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
        if array.is_neg():
            array = array.resolve_neg()
        return Operand(self, array, tuple(array.shape), array.stride(), array.dtype, array.data_ptr(), None)

    def type_of(self, dtype: Any, name: str) -> int:
        found = self._types.get(dtype)
        if found is None:
            raise TypeError(f"{name} is {dtype}: tilefold computes in float32, float16 and bfloat16 (write {name}.float())")
        return found

    def empty(self, shape: Shape, like: Operand) -> Operand:
        return self.operand(self._torch.empty(shape, dtype=like.dtype), "out")


# ---------------------------------------------------------------------------------------------------------- DLPack


class _DLPackKind(Kind):
    def operand(self, array: Any, name: str) -> Operand:
        capsule = Capsule(array, name)
        return Operand(self, array, capsule.shape, capsule.strides, capsule.dtype, capsule.address, capsule)

    def type_of(self, dtype: Any, name: str) -> int:
        if dtype not in TYPES:
            raise TypeError(f"{name} is {dtype}: tilefold computes in float32, float16 and bfloat16")
        return TYPES[dtype]

    def empty(self, shape: Shape, like: Operand) -> Operand:
        importer(like.array)  # an error now rather than when all is computed
        return _NUMPY.operand(numpy.empty(shape, "uint16" if like.dtype == "bfloat16" else like.dtype), "out")

    def finish(self, result: Operand, like: Operand) -> Any:
        return importer(like.array)(Exporter(result.array, like.dtype == "bfloat16"))

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


def numpy_view(operand: Operand, type_: int) -> Any:
    """A NumPy array over an operand's elements; bfloat16 as uint16."""
    size = TYPE_BYTES[type_]
    strides = tuple(stride * size for stride in operand.kind.element_strides(operand.strides, type_, "array"))
    return numpy.asarray(_Bytes({"version": 3, "data": (operand.address, False), "shape": operand.shape, "strides": strides,
                                 "typestr": numpy.dtype({_F32: "f4", _F16: "f2", _BF16: "u2"}[type_]).str}))


def _extent(operand: Operand, type_: int) -> Tuple[int, int]:
    """The addresses that an operand lies within."""
    size, low, high = TYPE_BYTES[type_], operand.address, operand.address
    for length, stride in zip(operand.shape, operand.kind.element_strides(operand.strides, type_, "array")):
        if length == 0:
            return operand.address, operand.address
        if stride > 0:
            high += (length - 1) * stride * size
        else:
            low += (length - 1) * stride * size
    return low, high + size


def may_overlap(first: Operand, first_type: int, second: Operand, second_type: int) -> bool:
    """Whether two operands share an element; True as well where that is too hard to tell."""
    (low, high), (other_low, other_high) = _extent(first, first_type), _extent(second, second_type)
    if high <= other_low or other_high <= low:
        return False
    try:
        return bool(numpy.shares_memory(numpy_view(first, first_type), numpy_view(second, second_type), max_work=_OVERLAP_WORK))
    except getattr(numpy, "exceptions", numpy).TooHardError:
        return True


def float32_vector(operand: Operand, type_: int) -> Any:
    """The elements of a short operand as a dense float32 array, exactly."""
    view = numpy_view(operand, type_)
    if type_ == _BF16:
        return (view.astype(numpy.uint32) << 16).view(numpy.float32)
    return numpy.ascontiguousarray(view, numpy.float32)

