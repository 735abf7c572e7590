# SPDX-License-Identifier: MIT
"""The problems of a suite (columns as in shapes.tsv): their sizes, data for them, and what single outputs should be."""
import dataclasses
import math
import pathlib

import numpy as np

KINDS = ("dense", "dense-strided", "1x1", "depthwise", "depthwise-strided", "grouped", "grouped-strided", "stem",
         "transposed")
SHAPES = pathlib.Path(__file__).with_name("shapes.tsv")


def sizes(text):
    return [int(size) for size in text.split(",")]


@dataclasses.dataclass
class Problem:
    line: str  # as it stands in the table
    name: str
    transposed: bool
    batch: int
    spatial: list
    inputs: int
    outputs: int
    kernel: list
    stride: list
    padding: list
    dilation: list
    output_padding: list
    groups: int

    @property
    def rank(self):
        return len(self.spatial)

    @property
    def op(self):
        return "conv-transpose" if self.transposed else "conv"

    @property
    def input_shape(self):
        return [self.batch, self.inputs, *self.spatial]

    @property
    def weight_shape(self):
        channels = [self.inputs, self.outputs] if self.transposed else [self.outputs, self.inputs]
        return [channels[0], channels[1] // self.groups, *self.kernel]

    @property
    def output_shape(self):
        axes = zip(self.spatial, self.kernel, self.stride, self.padding, self.dilation, self.output_padding)
        if self.transposed:
            spatial = [(i - 1) * s - 2 * p + d * (k - 1) + 1 + extra for i, k, s, p, d, extra in axes]
        else:
            spatial = [(i + 2 * p - d * (k - 1) - 1) // s + 1 for i, k, s, p, d, _ in axes]
        return [self.batch, self.outputs, *spatial]

    @property
    def macs(self):
        """Multiply-adds, padding counted as input."""
        spread = self.input_shape if self.transposed else self.output_shape
        return math.prod(spread) * math.prod(self.weight_shape[1:])

    @property
    def kind(self):
        """One of KINDS."""
        if self.transposed:
            return "transposed"
        strided = "-strided" if max(self.stride) > 1 else ""
        if self.groups > 1:
            return ("depthwise" if self.groups == self.inputs else "grouped") + strided
        if self.inputs <= 4:
            return "stem"
        return "1x1" if max(self.kernel) == 1 and not strided else "dense" + strided

    @property
    def magnitude(self):
        """The root of the sum of an output's squared products, about, for the values of data(): what an error is held against."""
        taps = math.prod(-(-k // s) if self.transposed else k for k, s in zip(self.kernel, self.stride))
        return math.sqrt(taps * self.inputs / self.groups) / 12

    def shrink(self):
        """A problem of the same kind that takes next to nothing."""
        groups = min(self.groups, 8)
        channels = [groups * min(count // self.groups, 4) for count in (self.inputs, self.outputs)]
        spatial = [min(i, d * (k - 1) + 1 + s)
                   for i, k, s, d in zip(self.spatial, self.kernel, self.stride, self.dilation)]
        return dataclasses.replace(self, batch=1, spatial=spatial, inputs=channels[0], outputs=channels[1], groups=groups)

    def shape_in(self, layout, shape):
        """(N, C, spatial) as it is in a layout."""
        return [shape[0], *shape[2:], shape[1]] if layout == "channels-last" else shape

    def to_layout(self, layout, tensor, weight):
        """tensor and weight, dense, with their axes in the order of a layout as the table of include/tilefold.h has it."""
        if layout == "channels-first":
            return tensor, weight
        if self.transposed:
            weight = weight.reshape(self.groups, self.inputs // self.groups, -1, *self.kernel).swapaxes(1, 2)
            weight = weight.reshape(self.outputs, -1, *self.kernel)
        return tuple(np.ascontiguousarray(np.moveaxis(array, 1, -1)) for array in (tensor, weight))

    def data(self):
        """A tensor and a weight, always the same, with values in [-0.5, 0.5)."""
        random = np.random.default_rng(0)
        weight = random.random(self.weight_shape, dtype=np.float32) - 0.5
        return random.random(self.input_shape, dtype=np.float32) - 0.5, weight

    def taps(self, axis, x):
        """The taps that meet an input element at output position x of an axis, and the positions of those elements."""
        k, stride, step = np.arange(self.kernel[axis]), self.stride[axis], 1
        reach = k * self.dilation[axis] - self.padding[axis]
        at = x * stride + reach
        if self.transposed:
            at, step = x - reach, stride
        there = (at % step == 0) & (at >= 0) & (at < self.spatial[axis] * step)
        return k[there], at[there] // step

    def output_at(self, tensor, weight, index):
        """One output (n, o, x...) in float64, and the root of the sum of its products' squares."""
        n, o, *x = index
        inner, outer = self.inputs // self.groups, self.outputs // self.groups
        group = o // outer
        taps, places = zip(*(self.taps(axis, at) for axis, at in enumerate(x)))
        values = tensor[n, group * inner:(group + 1) * inner][(slice(None), *np.ix_(*places))].astype(np.float64)
        if self.transposed:
            weights = weight[group * inner:(group + 1) * inner, o % outer]
        else:
            weights = weight[o]
        products = values * weights[(slice(None), *np.ix_(*taps))]
        return products.sum(), math.sqrt((products ** 2).sum())


def read(path=SHAPES, wanted="", max_gmacs=math.inf):
    """The problems with `wanted` in their name that take at most so many thousand million multiply-adds."""
    for line in path.read_text().splitlines():
        if line and not line.startswith("#"):
            problem = parse(line)
            if wanted in problem.name and problem.macs <= max_gmacs * 1e9:
                yield problem


def parse(line):
    name, op, _, batch, spatial, inputs, outputs, *axes, groups = line.split("\t")
    return Problem(line, name, op == "conv-transpose", int(batch), sizes(spatial), int(inputs), int(outputs),
                   *map(sizes, axes), int(groups))
