# SPDX-License-Identifier: MIT
"""The C library: loaded from beside its binding, its errors as exceptions, its contexts, its devices."""

from __future__ import annotations

import functools
import mmap
import os
import pathlib
import sys
from dataclasses import dataclass
from typing import Any, Dict, Tuple

from . import _binding
from ._binding import ffi as ffi
from ._errors import LimitTooSmall

_SUFFIX = {"win32": "dll", "darwin": "dylib"}.get(sys.platform, "so")
lib: Any = ffi.dlopen(str(pathlib.Path(_binding.__file__).parent / f"libtilefold_python.{_SUFFIX}"))

#: The version of the library, which is that of the package.
version: str = ffi.string(lib.tilefold_version()).decode()

TYPE_NAMES: Dict[int, str] = {lib.TILEFOLD_F32: "float32", lib.TILEFOLD_F16: "float16", lib.TILEFOLD_BF16: "bfloat16"}
TYPES: Dict[str, int] = {name: value for value, name in TYPE_NAMES.items()}
TYPE_BYTES = {value: int(lib.tilefold_type_bytes(value)) for value in TYPE_NAMES}
LAYOUTS = {"channels_first": lib.TILEFOLD_CHANNELS_FIRST, "channels_last": lib.TILEFOLD_CHANNELS_LAST}
ALGORITHMS = {ffi.string(lib.tilefold_algorithm_name(value)).decode(): value
              for value in (lib.TILEFOLD_ALGORITHM_AUTO, lib.TILEFOLD_ALGORITHM_UNFOLD,
                            lib.TILEFOLD_ALGORITHM_IMPLICIT, lib.TILEFOLD_ALGORITHM_DIRECT)}
MATHS = {ffi.string(lib.tilefold_math_name(value)).decode(): value
         for value in (lib.TILEFOLD_MATH_EXACT, lib.TILEFOLD_MATH_FAST)}
ALIGNMENT: int = lib.TILEFOLD_ALIGNMENT
MAX_THREADS: int = lib.TILEFOLD_MAX_THREADS
INT64_MAX = (1 << 63) - 1

_VALUE_ERRORS = (lib.TILEFOLD_INVALID_ARGUMENT, lib.TILEFOLD_OVERFLOW)


def struct(name: str, *arguments: Any) -> Any:
    """A new struct of the library, set up by its _init function."""
    made = ffi.new(f"tilefold_{name} *")
    getattr(lib, f"tilefold_{name}_init_sized")(made, ffi.sizeof(made[0]), *arguments)
    return made


def new_message() -> Any:
    return ffi.new("tilefold_message *")


def error(status: int, message: Any) -> Exception:
    """The exception that a status is. LIMIT_TOO_SMALL is the planner's, which knows the bytes needed."""
    text = ffi.string(message.text).decode(errors="replace")
    name = ffi.string(lib.tilefold_status_name(status)).decode()
    if status in _VALUE_ERRORS:
        return ValueError(text or name)
    if status == lib.TILEFOLD_OUT_OF_MEMORY:
        return MemoryError(text or name)
    return RuntimeError(f"{name}: {text}" if text else name)


def check(status: int, message: Any) -> None:
    if status:
        raise error(status, message)


def limit_too_small(message: Any, bytes_needed: int) -> LimitTooSmall:
    return LimitTooSmall(ffi.string(message.text).decode(errors="replace"), bytes_needed)


class Memory:
    """Bytes at a multiple of TILEFOLD_ALIGNMENT, returned to the system with the object.

    Whole pages from the system where there are many, so that the allocator holds nothing back; a forked child has its own.
    """

    __slots__ = ("address", "_keep")

    _PAGES_FROM = 1 << 16

    def __init__(self, count: int) -> None:
        if count >= self._PAGES_FROM:
            try:
                private = {} if os.name == "nt" else {"flags": mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS}
                self._keep: Any = mmap.mmap(-1, count, **private)
            except OSError as failure:
                raise MemoryError(f"no memory for {count} bytes") from failure
        else:
            self._keep = bytearray(count + ALIGNMENT)
        start = int(ffi.cast("uintptr_t", ffi.from_buffer(self._keep)))
        self.address = -(-start // ALIGNMENT) * ALIGNMENT


# --------------------------------------------------------------------------------------------------------- devices


@dataclass(frozen=True)
class Device:
    """What computes: name is what device= takes, the rest what the library knows of it (0 or () where it does not apply).

    threads, isa (the best instruction set), isas (all that run here) and the caches are the CPU's; max_buffer_bytes, subgroup_size
    and shared_memory_bytes a Vulkan device's. Sizes are in bytes. same_bits_as_cpu: what it computes has the CPU's bits.
    """

    name: str
    description: str
    threads: int
    isa: str
    isas: Tuple[str, ...]
    l1_bytes: int
    l2_bytes: int
    l3_bytes: int
    memory_bytes: int
    max_buffer_bytes: int
    shared_memory_bytes: int
    subgroup_size: int
    same_bits_as_cpu: bool


def _isa_name(isa: int) -> str:
    return str(ffi.string(lib.tilefold_isa_name(isa)).decode())


def _describe(number: int) -> Device:
    info, message = struct("device_info"), new_message()
    check(lib.tilefold_get_device_info(number, info, message), message)
    cpu = info.kind == lib.TILEFOLD_CPU
    return Device(
        name="cpu" if cpu else f"vulkan:{info.index}",
        description=ffi.string(info.name).decode(errors="replace"),
        threads=info.threads,
        isa=_isa_name(info.isa) if cpu else "",
        isas=tuple(_isa_name(isa) for isa in range(1, 32) if cpu and info.isa_mask >> isa & 1),
        l1_bytes=info.l1_bytes, l2_bytes=info.l2_bytes, l3_bytes=info.l3_bytes, memory_bytes=info.memory_bytes,
        max_buffer_bytes=info.max_buffer_bytes, shared_memory_bytes=info.shared_memory_bytes,
        subgroup_size=info.subgroup_size, same_bits_as_cpu=info.same_bits_as_cpu)


def devices() -> Tuple[Device, ...]:
    """The devices of this machine: the CPU first, then what Vulkan finds.

    >>> import tilefold
    >>> tilefold.devices()[0].name
    'cpu'
    """
    return tuple(_describe(number) for number in range(lib.tilefold_device_count()))


def parse_device(text: object) -> Tuple[int, int]:
    """(kind, index) of "cpu", "vulkan" or "vulkan:N"."""
    if not isinstance(text, str):
        raise TypeError(f"device is {text!r}, not a string: \"cpu\", \"vulkan\" or \"vulkan:N\"")
    kind, colon, index = text.partition(":")
    if text == "cpu":
        return int(lib.TILEFOLD_CPU), 0
    if kind == "vulkan" and (not colon or index.isdecimal()):
        return int(lib.TILEFOLD_VULKAN), int(index or 0)
    raise ValueError(f"device is {text!r}, not \"cpu\", \"vulkan\" or \"vulkan:N\"")


@functools.lru_cache(maxsize=None)
def context(kind: int, index: int, threads: int) -> Any:
    """The one context of a device with so many threads, 0 for one per core. It lives as long as the process."""
    options, message = struct("context_options"), new_message()
    options.device, options.device_index, options.threads = kind, index, threads
    made = ffi.new("tilefold_context **")
    check(lib.tilefold_context_create(options, made, message), message)
    return made[0]
