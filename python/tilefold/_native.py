# SPDX-License-Identifier: MIT
"""One native plan: the library's, for arrays of certain strides, with its figures and the memory that its calls need."""

from __future__ import annotations

import functools
import math
import threading
from typing import Any, Callable, List, NamedTuple, Optional

from . import _library, _watch
from ._library import INT64_MAX, Memory, ffi, lib
from ._problem import Description, Options, Shape, native_options, native_problem, output_shape, set_strides

# The members of an execution are written as words: a pointer made in Python costs more than the call.
_WORD = ffi.sizeof("uintptr_t")
_INPUT, _WEIGHT, _PACKED, _BIAS, _OUTPUT = (ffi.offsetof("tilefold_execution", name) // _WORD
                                            for name in ("input", "weight", "packed_weight", "bias", "output"))

_pack_weight, _tilefold_execute = lib.tilefold_pack_weight, lib.tilefold_execute

# Multiply-adds, or elements read and written, from which on a call of the main thread is watched for Ctrl-C.
_LONG = 10**9

# Bytes of scratch and packed weights below which the functions' plans keep them between calls.
KEEP_BYTES = 1 << 18


class Strides(NamedTuple):
    """Of the arrays of a call, in elements; None: dense. With the shape that out has, which may be wrong."""

    input: Optional[Shape] = None
    weight: Optional[Shape] = None
    output: Optional[Shape] = None
    output_shape: Optional[Shape] = None


class Workspace:
    """What one call at a time needs: the execution struct, scratch, room for packed weights where it packs itself."""

    __slots__ = ("execution", "words", "message", "packed", "_scratch", "_packed")

    def __init__(self, info: Any, packs: bool) -> None:
        self.execution = _library.struct("execution")
        self.words = ffi.cast("uintptr_t *", self.execution)
        self.message = _library.new_message()
        self._packed = self._scratch = None
        self.packed = ffi.NULL
        if packs:
            self._packed = Memory(info.packed_weight_bytes)
            self.packed = ffi.cast("void *", self._packed.address)
        if info.device == lib.TILEFOLD_CPU:
            self._scratch = Memory(info.scratch_bytes)
            self.execution.scratch = ffi.cast("void *", self._scratch.address)
            self.execution.scratch_bytes = info.scratch_bytes


class NativePlan:
    """Immutable but for its store of workspaces; many threads may call it at once.

    problem is the library's, with strides of any kind; output_shape what the caller makes results of. Workspaces are kept between
    calls where they have at most keep_bytes.
    """

    def __init__(self, problem: Any, output_shape: Shape, options: Options, keep_bytes: int) -> None:
        self.problem, self.output_shape = problem, output_shape
        self.type = int(problem.type)
        self.bias_shape = (int(problem.out_channels),)
        self.plan = _create(problem, options)
        self.info = _library.struct("plan_info")
        _library.check(lib.tilefold_plan_get_info(self.plan, self.info, ffi.NULL), ffi.NULL)
        self._packed_bytes = int(self.info.packed_weight_bytes)
        self._keep = self.info.scratch_bytes + self._packed_bytes <= keep_bytes
        self._long = self.info.macs + _inputs(problem) + math.prod(output_shape) >= _LONG
        self._idle: List[Workspace] = []  # append and pop are atomic
        self._packing_idle: List[Workspace] = []

    def text(self) -> str:
        size = lib.tilefold_plan_print(self.plan, ffi.NULL, 0) + 1
        text = ffi.new("char[]", size)
        lib.tilefold_plan_print(self.plan, text, size)
        return str(ffi.string(text).decode())

    def pack(self, weight: int, packed: Memory) -> None:
        message = _library.new_message()
        _library.check(lib.tilefold_pack_weight(self.plan, ffi.cast("void *", weight), 0, ffi.cast("void *", packed.address),
                                                self._packed_bytes, message), message)

    def run(self, input_: int, weight: int, packed: int, bias: int, output: int,
            report: Optional[Callable[[int, int], Any]], problem: Any = None, window: Any = None) -> None:
        """Computes arrays at these addresses. packed is 0 where the plan has to pack the weights itself, if it packs at all; problem is
        one that tilefold_execute_resized() takes, window one of its outputs."""
        packs = not packed and self._packed_bytes > 0
        idle = self._packing_idle if packs else self._idle
        try:
            space = idle.pop()
        except IndexError:
            space = Workspace(self.info, packs)
        words, execution = space.words, space.execution
        words[_INPUT], words[_WEIGHT], words[_BIAS], words[_OUTPUT] = input_, weight, bias, output
        if packs:
            execution.packed_weight = space.packed
        else:
            words[_PACKED] = packed
        if report is None and not (self._long and threading.current_thread() is threading.main_thread()):
            status = self._execute(space, packs, problem, window)
        else:
            status = _watch.run(functools.partial(self._execute, space, packs, problem, window), execution, report)
        if status:
            raise _library.error(status, space.message)
        if self._keep:
            idle.append(space)

    def _execute(self, space: Workspace, packs: bool, problem: Any, window: Any) -> int:
        execution, message = space.execution, space.message
        if packs:
            status = _pack_weight(self.plan, execution.weight, 0, space.packed, self._packed_bytes, message)
            if status:
                return int(status)
        if window is not None:
            return int(lib.tilefold_execute_window(self.plan, problem, window, execution, message))
        if problem is not None:
            return int(lib.tilefold_execute_resized(self.plan, problem, execution, message))
        return _tilefold_execute(self.plan, execution, message)  # type: ignore[no-any-return]


def for_strides(description: Description, bias: bool, strides: Strides, keep_bytes: int) -> NativePlan:
    """The native plan of a description, for arrays of certain strides."""
    problem = native_problem(description, bias)
    shape = output_shape(description, problem)
    if strides.output_shape not in (None, shape):
        raise ValueError(f"out is of shape {strides.output_shape}, not {shape}")
    set_strides(problem, description, strides.input, strides.weight, strides.output)
    return NativePlan(problem, shape, description.options, keep_bytes)


def _inputs(problem: Any) -> int:
    """Elements of the input."""
    return int(problem.batch * problem.in_channels * math.prod(problem.input_size[axis] for axis in range(problem.rank)))


def _create(problem: Any, options: Options) -> Any:
    context = _library.context(*options.device, options.threads)
    message, made = _library.new_message(), ffi.new("tilefold_plan **")
    status = lib.tilefold_plan_create(context, problem, native_options(options), made, message)
    if status == lib.TILEFOLD_LIMIT_TOO_SMALL:
        raise _library.limit_too_small(message, _least(context, problem, options))
    _library.check(status, message)
    return ffi.gc(made[0], lib.tilefold_plan_destroy)


def _least(context: Any, problem: Any, options: Options) -> int:
    """The least limit with which a problem can be planned, from a plan without one."""
    message, made = _library.new_message(), ffi.new("tilefold_plan **")
    unlimited = native_options(options._replace(scratch=INT64_MAX))
    _library.check(lib.tilefold_plan_create(context, problem, unlimited, made, message), message)
    plan, info = ffi.gc(made[0], lib.tilefold_plan_destroy), _library.struct("plan_info")
    _library.check(lib.tilefold_plan_get_info(plan, info, message), message)
    return int(info.min_scratch_bytes)
