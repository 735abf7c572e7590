# SPDX-License-Identifier: MIT
"""A plan as a picture for a notebook: bars of memory, and how its tiles lie over the output."""

from __future__ import annotations

import html
import math
import re
from typing import TYPE_CHECKING, Iterator, List, Tuple

if TYPE_CHECKING:
    from ._plan import Plan

_WIDTH = 420
_LABEL = 150
_ROW = 20
_PLANE_HEIGHT = 160
_MOST_RUNS = 48
_FILLS = ("#4c72b0", "#9fb4d6")

Rectangle = Tuple[float, float, float, float]


def bytes_text(count: int) -> str:
    """1536 as "1.5 KiB"."""
    size, unit = float(count), "bytes"
    for bigger in ("KiB", "MiB", "GiB", "TiB", "PiB"):
        if size < 1024:
            break
        size, unit = size / 1024, bigger
    return f"{size:.4g} {unit}"


def draw(plan: "Plan") -> str:
    """SVG in HTML, with the plan's own text below."""
    parts = [*_bars(plan)]
    height = _ROW * len(parts)
    parts += _tiles(plan, height + _ROW)
    if len(parts) * _ROW > height:
        height += _ROW + _PLANE_HEIGHT
    return (f'<div><svg xmlns="http://www.w3.org/2000/svg" width="{_LABEL + _WIDTH + 90}" height="{height + 4}" '
            f'font-family="sans-serif" font-size="12" fill="currentColor">{"".join(parts)}</svg>'
            f"<pre>{html.escape(str(plan))}</pre></div>")


def _bars(plan: "Plan") -> Iterator[str]:
    """Memory on a logarithmic scale, from 256 bytes on."""
    rows: List[Tuple[str, int]] = [("full unfold", plan.full_unfold_bytes)]
    if plan.scratch_limit_bytes is not None:
        rows.append(("limit", plan.scratch_limit_bytes))
    rows += [("scratch", plan.scratch_bytes), ("packed weights", plan.packed_weight_bytes)]
    most = math.log2(max(count for _, count in rows) + 512)
    for row, (label, count) in enumerate(rows):
        width = _WIDTH * max(math.log2(count + 256) - 8, 0) / (most - 8)
        top = row * _ROW
        fill = "#c44e52" if label == "full unfold" else _FILLS[label == "limit"]
        yield (f'<text x="0" y="{top + 14}">{label}</text>'
               f'<rect x="{_LABEL}" y="{top + 3}" width="{width:.1f}" height="{_ROW - 6}" fill="{fill}"/>'
               f'<text x="{_LABEL + width + 4:.1f}" y="{top + 14}">{bytes_text(count)}</text>')


def positions_plane(plan: "Plan") -> Tuple[int, int]:
    """Rows and columns of the positions that tiles are runs of: the outputs, or those of one phase."""
    shape, rank = plan.output_shape, int(plan.op[-2])
    spatial = shape[-1 - rank:-1] if plan.layout == "channels_last" else shape[-rank:]
    if plan.phases > 1:
        spatial = tuple(-(-size // step) for size, step in zip(spatial, plan.stride))
    return math.prod(spatial[:-1]), spatial[-1]


def run_length(plan: "Plan") -> int:
    """Positions of a tile, from the plan's text; 0 where the device cuts otherwise."""
    match = re.search(r"^  tile +(\d+) positions", str(plan), flags=re.MULTILINE)
    return int(match[1]) if match else 0


def _tiles(plan: "Plan", top: int) -> Iterator[str]:
    """The runs of positions that tiles are, over the plane of one image's outputs; the first ones where there are many."""
    rows, columns = positions_plane(plan)
    length = run_length(plan)
    if not length or not rows * columns:
        return
    runs = -(-rows * columns // length)
    each = -(-rows * columns // runs)
    shown = min(runs, _MOST_RUNS)
    shown_rows = min(rows, -(-shown * each // columns))
    scale_x = _WIDTH / columns
    scale_y = min(_PLANE_HEIGHT / shown_rows, max(scale_x, 14))
    what = "outputs" if plan.phases == 1 else f"outputs of one of {plan.phases} phases"
    count = f"{runs}" if shown == runs else f"{shown} of {runs}"
    yield (f'<text x="0" y="{top + 14}">tiles</text><text x="0" y="{top + 30}" font-size="10">{count} runs of {each}</text>'
           f'<text x="0" y="{top + 44}" font-size="10">{what}</text>')
    for run in range(shown):
        for x, y, width, height in _rectangles(run * each, min((run + 1) * each, rows * columns), columns):
            if y < shown_rows:
                yield (f'<rect x="{_LABEL + x * scale_x:.2f}" y="{top + y * scale_y:.2f}" width="{width * scale_x:.2f}" '
                       f'height="{height * scale_y:.2f}" fill="{_FILLS[run % 2]}" stroke="white" stroke-width="0.5"/>')


def _rectangles(begin: int, end: int, columns: int) -> Iterator[Rectangle]:
    """Positions [begin, end) of row-major rows: part of a row, whole rows, part of a row."""
    while begin < end:
        row, column = divmod(begin, columns)
        if column == 0 and end - begin >= columns:
            whole = (end - begin) // columns
            yield 0, row, columns, whole
            begin += whole * columns
        else:
            width = min(columns - column, end - begin)
            yield column, row, width, 1
            begin += width
