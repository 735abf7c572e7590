# SPDX-License-Identifier: MIT
"""PyTorch on the CPU (oneDNN, and kernels of its own). Every call makes a new output."""
import torch

from peers import Built, NotSupported

FORMATS = {2: torch.channels_last, 3: torch.channels_last_3d}


class Peer:
    layouts = ("channels-first", "channels-last")
    name = f"torch {torch.__version__.partition('+')[0]}"

    def __init__(self, settings):
        torch.set_num_threads(settings.threads)
        torch.set_grad_enabled(False)

    def variants(self, problem, layout):
        """As anybody calls it; and with the weight brought into oneDNN's layout beforehand, as its compiler does."""
        return ["functional", "prepacked"]

    def build(self, problem, layout, variant, tensor, weight, output):
        x, w, axes = self.arrange(problem, layout, tensor, weight)
        try:
            run = getattr(self, variant)(problem, layout, x, w, axes)
            y = run()
        except (RuntimeError, NotImplementedError) as error:  # what oneDNN does not do
            raise NotSupported(str(error).partition("\n")[0]) from None
        del y

        def result():
            output = run()
            if axes > problem.rank:
                output = output.squeeze(2)
            return (output.movedim(1, -1) if layout == "channels-last" else output).numpy()
        return Built(run, result, output_bytes=output.nbytes)

    def arrange(self, problem, layout, tensor, weight):
        """Views with the axes in PyTorch's order, and how many spatial axes: channels-last exists from two on."""
        x, w, axes = torch.from_numpy(tensor), torch.from_numpy(weight), problem.rank
        if layout == "channels-last":
            x = x.movedim(-1, 1)
            if axes == 1:
                x, w, axes = x.unsqueeze(2), w.unsqueeze(2), 2
            w = w.contiguous(memory_format=FORMATS[axes])
        return x, w, axes

    def options(self, problem, axes):
        def padded(values, missing):
            return [missing] * (axes - problem.rank) + values
        return {"stride": padded(problem.stride, 1), "padding": padded(problem.padding, 0),
                "dilation": padded(problem.dilation, 1), "output_padding": padded(problem.output_padding, 0)}

    def functional(self, problem, layout, x, w, axes):
        function = getattr(torch.nn.functional, f"conv{'_transpose' if problem.transposed else ''}{axes}d")
        options = self.options(problem, axes) | {"groups": problem.groups}
        if not problem.transposed:
            del options["output_padding"]
        return lambda: function(x, w, **options)

    def prepacked(self, problem, layout, x, w, axes):
        operators, sizes, options = torch.ops.mkldnn, list(x.shape), self.options(problem, axes)
        names = ["padding", "output_padding", "stride", "dilation"]
        if not problem.transposed:
            names.remove("output_padding")
        numbers = [options[name] for name in names] + [problem.groups]
        if problem.transposed:
            packed = operators._reorder_convolution_transpose_weight(w, *numbers, sizes)
            function = operators._convolution_transpose_pointwise.default
        else:
            packed = operators._reorder_convolution_weight(w, *numbers, sizes)
            function = operators._convolution_pointwise.default
        if layout == "channels-last":
            return lambda: function(x, packed, None, *numbers, "none", [], "")
        # It gives its output in channels-last whatever the input's layout was.
        return lambda: function(x, packed, None, *numbers, "none", [], "").contiguous()
