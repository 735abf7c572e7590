# SPDX-License-Identifier: MIT
"""ONNX models with tilefold's convolutions: a backend, and operators for ONNX's reference evaluator.

    import tilefold.onnx
    outputs = tilefold.onnx.prepare(model, scratch="64KiB").run([image])

The backend has the form of onnx.backend.base: prepare(), run_model(), run_node(), supports_device(), is_compatible(). Conv and ConvTranspose
nodes are computed by tilefold, all others by onnx.reference. To use the two operators alone:

    onnx.reference.ReferenceEvaluator(model, new_ops=tilefold.onnx.operators(scratch="64KiB"))

Needs the package onnx (pip install tilefold[onnx]).
"""

from __future__ import annotations

from typing import Any, Dict, List, Optional, Sequence, Tuple, Type

import numpy
import onnx
from onnx.backend.base import Backend, BackendRep
from onnx.reference import ReferenceEvaluator
from onnx.reference.op_run import OpRun

from . import _functions, _library

__all__ = ["BoundModel", "TilefoldBackend", "conv", "conv_transpose", "is_compatible", "operators", "prepare", "run_model", "run_node", "supports_device"]

Pads = List[Tuple[int, int]]


# ------------------------------------------------------------------------------------------------------- operators


def _halves(total: int, more_at_end: bool) -> Tuple[int, int]:
    """A number of pads as (begin, end), the odd one at one of them. A negative one, an output that is asked to be larger than the
    input reaches, is all at the end: ONNX's own case has it there."""
    if total < 0:
        return 0, total
    return (total // 2, total - total // 2) if more_at_end else (total - total // 2, total // 2)


def _conv_pads(auto_pad: str, pads: Optional[Sequence[int]], sizes: Sequence[int], spans: Sequence[int],
               strides: Sequence[int]) -> Pads:
    """Pads of a Conv: as given, or so that an axis of I elements has ceil(I / stride) outputs."""
    if auto_pad in ("SAME_UPPER", "SAME_LOWER"):
        totals = [max(0, (-(-i // s) - 1) * s + span - i) for i, s, span in zip(sizes, strides, spans)]
        return [_halves(total, auto_pad == "SAME_UPPER") for total in totals]
    return _given_pads(auto_pad, pads, len(sizes))


def _given_pads(auto_pad: str, pads: Optional[Sequence[int]], rank: int) -> Pads:
    if auto_pad not in ("NOTSET", "VALID"):
        raise ValueError(f"auto_pad is {auto_pad!r}, not NOTSET, SAME_UPPER, SAME_LOWER or VALID")
    if not pads or auto_pad == "VALID":
        return [(0, 0)] * rank
    return list(zip(pads[:rank], pads[rank:]))


def _transposed_pads(auto_pad: str, pads: Optional[Sequence[int]], output_shape: Optional[Sequence[int]],
                     dense: Sequence[int], same: Sequence[int]) -> Pads:
    """Pads of a ConvTranspose: as given, or so that the output has a shape. dense: the output without pads; same: what SAME makes
    of it."""
    rank = len(dense)
    if not output_shape:
        if auto_pad not in ("SAME_UPPER", "SAME_LOWER"):
            return _given_pads(auto_pad, pads, rank)
        output_shape = same
    return [_halves(size - wanted, auto_pad == "SAME_UPPER") for size, wanted in zip(dense, output_shape[-rank:])]


def _spatial(x: Any, w: Any, op: str) -> Tuple[str, List[int], List[int]]:
    """The name of the function, the input's sizes and the kernel's."""
    rank = numpy.ndim(x) - 2
    if not 1 <= rank <= 3:
        raise ValueError(f"X has {rank + 2} axes: {op} is computed with 3, 4 or 5")
    return f"{op}{rank}d", list(x.shape[2:]), list(w.shape[2:])


def _default(values: Optional[Sequence[int]], value: int, rank: int) -> List[int]:
    return [int(one) for one in values] if values else [value] * rank


def conv(x: Any, w: Any, bias: Any = None, *, auto_pad: Optional[str] = None, dilations: Optional[Sequence[int]] = None,
         group: Optional[int] = None, pads: Optional[Sequence[int]] = None, strides: Optional[Sequence[int]] = None,
         **options: Any) -> Any:
    """ONNX's Conv: its attributes, then options of tilefold.conv2d().

    >>> import numpy, tilefold.onnx
    >>> tilefold.onnx.conv(numpy.ones((1, 1, 5), "f4"), numpy.ones((1, 1, 3), "f4"), auto_pad="SAME_UPPER", strides=[2])
    array([[[2., 3., 2.]]], dtype=float32)
    """
    name, sizes, kernel = _spatial(x, w, "conv")
    stride, dilation = _default(strides, 1, len(sizes)), _default(dilations, 1, len(sizes))
    spans = [d * (k - 1) + 1 for d, k in zip(dilation, kernel)]
    padding = _conv_pads(auto_pad or "NOTSET", pads, sizes, spans, stride)
    return getattr(_functions, name)(x, w, bias, tuple(stride), tuple(padding), tuple(dilation), group or 1, **options)


def conv_transpose(x: Any, w: Any, bias: Any = None, *, auto_pad: Optional[str] = None,
                   dilations: Optional[Sequence[int]] = None, group: Optional[int] = None,
                   output_padding: Optional[Sequence[int]] = None, output_shape: Optional[Sequence[int]] = None,
                   pads: Optional[Sequence[int]] = None, strides: Optional[Sequence[int]] = None, **options: Any) -> Any:
    """ONNX's ConvTranspose: its attributes, then options of tilefold.conv_transpose2d().

    >>> import numpy, tilefold.onnx
    >>> x, w = numpy.ones((1, 1, 4), "f4"), numpy.ones((1, 1, 3), "f4")
    >>> tilefold.onnx.conv_transpose(x, w, strides=[2], output_shape=[8]).shape
    (1, 1, 8)
    """
    name, sizes, kernel = _spatial(x, w, "conv_transpose")
    rank = len(sizes)
    stride, dilation, extra = _default(strides, 1, rank), _default(dilations, 1, rank), _default(output_padding, 0, rank)[:rank]
    dense = [(i - 1) * s + d * (k - 1) + 1 + e for i, s, d, k, e in zip(sizes, stride, dilation, kernel, extra)]
    padding = _transposed_pads(auto_pad or "NOTSET", pads, output_shape, dense, [i * s for i, s in zip(sizes, stride)])
    return getattr(_functions, name)(x, w, bias, tuple(stride), tuple(padding), tuple(extra), group or 1, tuple(dilation),
                                     **options)


def operators(**options: Any) -> List[Type[OpRun]]:
    """Conv and ConvTranspose for ReferenceEvaluator(model, new_ops=...), with options of tilefold.conv2d()."""

    class Conv(OpRun):
        op_domain = ""

        def _run(self, X: Any, W: Any, B: Any = None, auto_pad: Any = None, dilations: Any = None, group: Any = None,
                 kernel_shape: Any = None, pads: Any = None, strides: Any = None) -> Tuple[Any, ...]:
            _check_kernel(kernel_shape, W)
            return (conv(X, W, B, auto_pad=auto_pad, dilations=dilations, group=group, pads=pads, strides=strides, **options),)

    class ConvTranspose(OpRun):
        op_domain = ""

        def _run(self, X: Any, W: Any, B: Any = None, auto_pad: Any = None, dilations: Any = None, group: Any = None,
                 kernel_shape: Any = None, output_padding: Any = None, output_shape: Any = None, pads: Any = None,
                 strides: Any = None) -> Tuple[Any, ...]:
            _check_kernel(kernel_shape, W)
            return (conv_transpose(X, W, B, auto_pad=auto_pad, dilations=dilations, group=group, output_padding=output_padding,
                                   output_shape=output_shape, pads=pads, strides=strides, **options),)

    return [Conv, ConvTranspose]


def _check_kernel(kernel_shape: Optional[Sequence[int]], w: Any) -> None:
    if kernel_shape and tuple(kernel_shape) != tuple(w.shape[2:]):
        raise ValueError(f"kernel_shape is {list(kernel_shape)}, but W is of shape {w.shape}")


# --------------------------------------------------------------------------------------------------------- backend


class BoundModel(BackendRep):
    """A model ready to run: what prepare() returns."""

    def __init__(self, proto: Any, options: Dict[str, Any]) -> None:
        self._evaluator = ReferenceEvaluator(proto, new_ops=operators(**options))
        graph = getattr(proto, "graph", None)
        given = {tensor.name for tensor in graph.initializer} if graph is not None else set()
        self._all_names = list(self._evaluator.input_names)
        self._names = [name for name in self._all_names if name not in given]

    def run(self, inputs: Any, **kwargs: Any) -> Tuple[Any, ...]:
        """The outputs, in the graph's order. inputs: by name, or in the graph's order, with or without those that have initializers."""
        if kwargs:
            raise TypeError(f"run() knows no {', '.join(kwargs)}")
        if not isinstance(inputs, dict):
            values = [inputs] if isinstance(inputs, numpy.ndarray) else list(inputs)
            names = self._names if len(values) == len(self._names) else self._all_names
            if len(values) != len(names):
                raise ValueError(f"{len(values)} inputs, but the model has {len(self._names)}: {', '.join(self._names)}")
            inputs = dict(zip(names, values))
        return tuple(self._evaluator.run(None, inputs))


def _device(device: str) -> str:
    """tilefold's name of a device of ONNX's: "CPU", or "VULKAN" and "VULKAN:1", which ONNX has no name for."""
    return device.lower()


class TilefoldBackend(Backend):
    """onnx.backend.base.Backend; options are those of tilefold.conv2d()."""

    @classmethod
    def is_compatible(cls, model: Any, device: str = "CPU", **options: Any) -> bool:
        """Whether the device is there. A node that onnx.reference does not know is found by prepare()."""
        return cls.supports_device(device)

    @classmethod
    def prepare(cls, model: Any, device: str = "CPU", **options: Any) -> BoundModel:
        """A model that can be run again and again. Errors of onnx.checker; ValueError for a device that is none."""
        super().prepare(model, device)
        _library.parse_device(_device(device))
        return BoundModel(model, {**options, "device": _device(device)})

    @classmethod
    def run_node(cls, node: Any, inputs: Any, device: str = "CPU", outputs_info: Any = None,
                 **options: Any) -> Tuple[Any, ...]:
        """The outputs of one node. opset_version=N: of that version of ONNX's operators."""
        version = options.pop("opset_version", None)
        super().run_node(node, inputs, device, outputs_info, **({} if version is None else {"opset_version": version}))
        evaluator = ReferenceEvaluator(node, opsets={"": version or onnx.defs.onnx_opset_version()},
                                       new_ops=operators(device=_device(device), **options))
        return tuple(evaluator.run(None, dict(zip((name for name in node.input if name), inputs))))

    @classmethod
    def supports_device(cls, device: str) -> bool:
        """Whether a device is there: "CPU", "VULKAN", "VULKAN:1"."""
        try:
            kind, index = _library.parse_device(_device(device))
        except ValueError:
            return False
        name = "cpu" if kind == _library.lib.TILEFOLD_CPU else f"vulkan:{index}"
        return any(one.name == name for one in _library.devices())


is_compatible = TilefoldBackend.is_compatible
prepare = TilefoldBackend.prepare
run_model = TilefoldBackend.run_model
run_node = TilefoldBackend.run_node
supports_device = TilefoldBackend.supports_device
