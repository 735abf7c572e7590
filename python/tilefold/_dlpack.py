# SPDX-License-Identifier: MIT
"""DLPack, read and written without NumPy's help, which knows no bfloat16. https://dmlc.github.io/dlpack/latest/"""

from __future__ import annotations

import ctypes
import importlib
import sys
from typing import Any, Callable, Tuple

from ._binding import ffi

_CPU = 1
_FLOAT, _BFLOAT = 2, 4
_CODES = {0: "int", 1: "uint", _FLOAT: "float", _BFLOAT: "bfloat", 5: "complex", 6: "bool"}

_is_valid = ctypes.pythonapi.PyCapsule_IsValid
_is_valid.argtypes, _is_valid.restype = [ctypes.py_object, ctypes.c_char_p], ctypes.c_int
_get_pointer = ctypes.pythonapi.PyCapsule_GetPointer
_get_pointer.argtypes, _get_pointer.restype = [ctypes.py_object, ctypes.c_char_p], ctypes.c_void_p


def _open(capsule: Any) -> Tuple[Any, bool]:
    """The tensor in a capsule, and whether it may be written. It is borrowed: the capsule, unused, releases it."""
    if _is_valid(capsule, b"dltensor_versioned"):
        versioned = ffi.cast("tilefold_dlpack_versioned *", _get_pointer(capsule, b"dltensor_versioned"))
        if versioned.major != 1:
            raise TypeError(f"DLPack {versioned.major}.{versioned.minor} is none that tilefold can read")
        return versioned.tensor, not versioned.flags & 1
    return ffi.cast("tilefold_dlpack_managed *", _get_pointer(capsule, b"dltensor")).tensor, False


class Capsule:
    """A borrowed tensor: what its exporter says of it, for as long as this object lives."""

    __slots__ = ("_capsule", "shape", "strides", "dtype", "address", "read_only")

    def __init__(self, array: Any, name: str) -> None:
        device = int(array.__dlpack_device__()[0])
        if device != _CPU:
            raise TypeError(f"{name} is on another device than the CPU (DLPack's number {device}): bring it to the CPU first")
        try:
            self._capsule = array.__dlpack__(max_version=(1, 0))
        except TypeError:  # an exporter from before 1.0
            self._capsule = array.__dlpack__()
        tensor, writable = _open(self._capsule)
        self.read_only = not writable
        rank = tensor.rank
        self.shape = tuple(tensor.shape[axis] for axis in range(rank))
        self.strides = tuple(tensor.strides[axis] for axis in range(rank)) if tensor.strides else _dense(self.shape)
        self.dtype = f"{_CODES.get(tensor.code, 'type')}{tensor.bits}"
        if tensor.lanes != 1 or tensor.code not in _CODES:
            raise TypeError(f"{name} has elements of DLPack's code {tensor.code}, {tensor.bits} bits, {tensor.lanes} lanes: "
                            "tilefold computes in float32, float16 and bfloat16")
        self.address = int(ffi.cast("uintptr_t", tensor.data)) + tensor.byte_offset


def _dense(shape: Tuple[int, ...]) -> Tuple[int, ...]:
    strides, step = [], 1
    for size in reversed(shape):
        strides.append(step)
        step *= size
    return tuple(reversed(strides))


class Exporter:
    """A NumPy array for a from_dlpack(); one of uint16 that holds bfloat16 is said to be that."""

    def __init__(self, array: Any, bfloat16: bool) -> None:
        self._array, self._bfloat16 = array, bfloat16

    def __dlpack_device__(self) -> Tuple[int, int]:
        return _CPU, 0

    def __dlpack__(self, **wishes: Any) -> Any:
        wishes = {key: value for key, value in wishes.items() if value is not None}
        try:
            capsule = self._array.__dlpack__(**wishes)
        except TypeError:  # NumPy before 2.1 has none of them
            capsule = self._array.__dlpack__()
        if self._bfloat16:
            _open(capsule)[0].code = _BFLOAT
        return capsule


def importer(array: Any) -> Callable[[Any], Any]:
    """The from_dlpack() of an array's library. TypeError where it has none."""
    if hasattr(array, "__array_namespace__"):
        found = getattr(array.__array_namespace__(), "from_dlpack", None)
        if found is not None:
            return found  # type: ignore[no-any-return]
    root = type(array).__module__.partition(".")[0]
    for module in (root, f"{root}.dlpack"):
        try:
            found = getattr(sys.modules.get(module) or importlib.import_module(module), "from_dlpack", None)
        except ImportError:
            continue
        if found is not None:
            return found  # type: ignore[no-any-return]
    raise TypeError(f"{root} has no from_dlpack() to make a {type(array).__name__} of the result: give out=")
