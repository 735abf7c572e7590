# SPDX-License-Identifier: MIT
"""MLX on the CPU. It has channels-last only; every call makes a new output."""
import mlx.core as mx
import numpy as np

from peers import Built, NotSupported


class Peer:
    layouts = ("channels-last",)
    name = f"mlx {mx.__version__}"

    def __init__(self, settings):
        mx.set_default_device(mx.cpu)

    def variants(self, problem, layout):
        return ["eager"]

    def build(self, problem, layout, variant, tensor, weight, output):
        _, weight = problem.to_layout(layout, tensor, weight)
        x, w = mx.array(tensor), mx.array(weight)
        mx.eval(x, w)
        function = getattr(mx, f"conv{'_transpose' if problem.transposed else ''}{problem.rank}d")

        def axes(values):
            return values[0] if problem.rank == 1 else tuple(values)
        options = {"stride": axes(problem.stride), "padding": axes(problem.padding), "dilation": axes(problem.dilation),
                   "groups": problem.groups}
        if problem.transposed:
            options["output_padding"] = axes(problem.output_padding)

        def compute():
            result = function(x, w, **options)
            mx.eval(result)
            return result
        try:
            compute()
        except ValueError as error:  # what it does not do
            raise NotSupported(str(error)) from None
        return Built(compute, lambda: np.array(compute()), copied_bytes=tensor.nbytes + weight.nbytes,
                     output_bytes=output.nbytes)
