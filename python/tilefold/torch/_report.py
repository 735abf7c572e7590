# SPDX-License-Identifier: MIT
"""What a model's convolutions would take, before anything is computed."""

from __future__ import annotations

import html
from typing import Any, Iterator, List, NamedTuple, Optional, Tuple

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._pytree import tree_map

from .._errors import LimitTooSmall
from .._functions import Scratch
from .._plan import Plan, plan
from ._functions import _in_autocast
from ._modules import kind_of

Shape = Tuple[int, ...]


class Row(NamedTuple):
    """One call of one convolution: the module's name, the shapes of the call, and the figures of its tilefold.Plan."""

    name: str
    op: str
    input_shape: Shape
    weight_shape: Shape
    output_shape: Shape
    dtype: str
    full_unfold_bytes: int
    scratch_bytes: int
    packed_weight_bytes: int
    plan: Plan


_HEAD = "convolution", "", "input", "weight", "output", "full unfold", "scratch", "packed weight"


class Report:
    """What report() found: rows in the order of the calls. print() it; a notebook draws a table."""

    def __init__(self, rows: List[Row]) -> None:
        self.rows = tuple(rows)

    @property
    def full_unfold_bytes(self) -> int:
        """Of the convolution that takes most: one at a time would be unfolded."""
        return max((row.full_unfold_bytes for row in self.rows), default=0)

    @property
    def scratch_bytes(self) -> int:
        """Of the convolution that takes most."""
        return max((row.scratch_bytes for row in self.rows), default=0)

    @property
    def packed_weight_bytes(self) -> int:
        """Of all together: they are kept."""
        return sum({row.name: row.packed_weight_bytes for row in self.rows}.values())

    def _cells(self) -> Iterator[Tuple[str, ...]]:
        for row in self.rows:
            yield (row.name, row.op, *(" ".join(map(str, shape)) for shape in row[2:5]), *map(format_bytes, row[6:9]))

    def _last(self) -> Tuple[str, ...]:
        return ("the most, and all packed", "", "", "", "",
                *map(format_bytes, (self.full_unfold_bytes, self.scratch_bytes, self.packed_weight_bytes)))

    def __str__(self) -> str:
        lines = [_HEAD, *self._cells(), self._last()]
        widths = [max(map(len, column)) for column in zip(*lines)]
        return "\n".join("  ".join(cell.rjust(width) if number > 4 else cell.ljust(width)
                                   for number, (cell, width) in enumerate(zip(line, widths))).rstrip() for line in lines)

    def __repr__(self) -> str:
        return f"<tilefold.torch.Report of {len(self.rows)} convolutions: at most {self.scratch_bytes} bytes of scratch>"

    def _repr_html_(self) -> str:
        def line(tag: str, cells: Tuple[str, ...]) -> str:
            return "<tr>" + "".join(f"<{tag}>{html.escape(cell)}</{tag}>" for cell in cells) + "</tr>"

        return ("<table>" + line("th", _HEAD) + "".join(line("td", cells) for cells in self._cells())
                + line("th", self._last()) + "</table>")


def format_bytes(count: int) -> str:
    for shift, unit in ((30, "GiB"), (20, "MiB"), (10, "KiB")):
        if count >= 1 << shift:
            return f"{count / (1 << shift):.1f} {unit}"
    return f"{count} B"


def _row(name: str, module: Any, input: Tensor, output_size: Any, options: Any) -> Row:
    _, rank, transposed = kind_of(module)  # type: ignore[misc]
    op, (input, weight) = f"conv_transpose{rank}d" if transposed else f"conv{rank}d", _in_autocast(input, module.weight)
    shape, padding, output_padding = list(input.shape), module.padding, 0
    if transposed:
        output_padding = module._output_padding(input, output_size, module.stride, padding, module.kernel_size, rank, module.dilation)
    elif module.padding_mode != "zeros":
        added = module._reversed_padding_repeated_twice
        for axis in range(rank):
            shape[-1 - axis] += sum(added[2 * axis:2 * axis + 2])
        padding = 0
    try:
        made = plan(op, shape, tuple(weight.shape), input.dtype, stride=module.stride, padding=padding, output_padding=output_padding,
                    dilation=module.dilation, groups=module.groups, **options)
    except LimitTooSmall as failure:
        raise LimitTooSmall(f"{name or op}: {failure}", failure.bytes_needed) from None
    except (TypeError, ValueError) as failure:
        raise type(failure)(f"{name or op}: {failure}") from None
    return Row(name, op, tuple(shape), tuple(weight.shape), made.output_shape, made.dtype, made.full_unfold_bytes, made.scratch_bytes,
               made.packed_weight_bytes, made)


def report(model: nn.Module, *example: Any, scratch: Scratch = "16MiB", device: str = "cpu", threads: Optional[int] = None,
           algorithm: str = "auto", math: str = "exact", prepack: bool = True) -> Report:
    """What each convolution of a model would take for these inputs: unfolded as a whole, and as convert() would compute it.

    The model is called with tensors that have shapes but no elements (PyTorch's fake tensors), so nothing is computed, no memory is
    needed, and no buffer of the model changes. example is what the model is called with; its tensors can be of the "meta" device, so an
    image larger than memory can be asked about. Options are those of tilefold.conv2d().

    A model whose way depends on the elements of tensors raises PyTorch's error about that; tilefold.LimitTooSmall, TypeError and
    ValueError name the module. Convolutions that are no modules (torch.nn.functional's) are not in it.

    >>> import torch, tilefold.torch
    >>> model = torch.nn.Sequential(torch.nn.Conv2d(3, 64, 3, padding=1), torch.nn.ReLU(), torch.nn.ConvTranspose2d(64, 3, 2, stride=2))
    >>> found = tilefold.torch.report(model, torch.empty(1, 3, 4096, 4096, device="meta"), scratch="256KiB")
    >>> found.rows[0].full_unfold_bytes, found.rows[1].output_shape, found.scratch_bytes <= 256 << 10
    (1811939328, (1, 3, 8192, 8192), True)
    """
    options = {"scratch": scratch, "device": device, "threads": threads, "algorithm": algorithm, "math": math, "prepack": prepack}
    rows: List[Row] = []
    hooks = []
    for name, module in model.named_modules():
        if kind_of(module) is not None:
            def hook(module: nn.Module, arguments: Any, keywords: Any, name: str = name) -> None:
                values = [*arguments, *(keywords[key] for key in ("input", "output_size") if key in keywords)]
                rows.append(_row(name, module, values[0], values[1] if len(values) > 1 else None, options))

            hooks.append(module.register_forward_pre_hook(hook, with_kwargs=True))
    try:
        with torch.no_grad(), FakeTensorMode(allow_non_fake_inputs=True):
            state = {name: _fake(tensor) for name, tensor in (*model.named_parameters(), *model.named_buffers())}
            torch.func.functional_call(model, state, tree_map(_fake, example))
    finally:
        for registered in hooks:
            registered.remove()
    return Report(rows)


def _fake(value: Any) -> Any:
    """A tensor without elements, on the CPU, where that mode is on."""
    return torch.empty_strided(value.shape, value.stride(), dtype=value.dtype) if isinstance(value, Tensor) else value
