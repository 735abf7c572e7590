# SPDX-License-Identifier: MIT
"""The problems of a suite (columns as in shapes.tsv): their sizes, data for them, and what single outputs should be."""
import dataclasses
import math
import pathlib

import numpy as np

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
