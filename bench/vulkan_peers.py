# SPDX-License-Identifier: MIT
"""The libraries that tilefold is compared with on a Vulkan device.

A peer has a name (with its version) and prepare(problem), which does what need not be timed and returns a function that
gives seconds. Either raises NotSupported where the peer has no answer to the problem, or a wrong one.
"""
import json
import pathlib
import signal
import statistics
import subprocess
import sys


class NotSupported(Exception):
    pass


class Ncnn:
    """Runs in a process of its own (ncnn_child.py): where it crashes or hangs, that costs one problem."""

    def __init__(self, arguments):
        import ncnn

        self.name = f"ncnn {ncnn.__version__}"
        self.arguments = arguments

    def prepare(self, problem):
        def seconds():
            request = {"problem": problem.line, "device": self.arguments.device_name,
                       "device_place": self.arguments.device_place, "half": self.arguments.dtype == "f16"}
            child = [sys.executable, pathlib.Path(__file__).with_name("ncnn_child.py"), json.dumps(request)]
            try:
                done = subprocess.run(child, capture_output=True, text=True, timeout=self.arguments.budget)
            except subprocess.TimeoutExpired:
                raise NotSupported(f"over the budget of {self.arguments.budget:g} s") from None
            if done.returncode < 0:
                raise NotSupported(f"it crashed: {signal.Signals(-done.returncode).name}")
            if done.returncode > 0:
                raise NotSupported(f"it failed: {(done.stderr.strip().splitlines() or ['without a word'])[-1]}")
            answer = json.loads(done.stdout.splitlines()[-1])
            if "error" in answer:
                raise NotSupported(answer["error"])
            return answer["seconds"]
        return seconds


class Torch:
    """cuDNN through PyTorch (which has kernels of its own for some depthwise problems), tensors on the GPU, timed by the
    GPU's own clock: the better of its two memory formats. Calls are captured in a CUDA graph, several in one, so that small
    problems do not wait for Python in between."""

    RUNS, CALLS = 20, 10

    def __init__(self, arguments):
        import torch

        if not torch.cuda.is_available():
            raise ImportError(f"torch {torch.__version__} has no CUDA device here")
        self.torch = torch
        self.name = (f"torch {torch.__version__}, cuDNN {torch.backends.cudnn.version()} "
                     f"on {torch.cuda.get_device_name()}")
        self.type = torch.float16 if arguments.dtype == "f16" else torch.float32
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
        torch.backends.cuda.matmul.allow_fp16_reduced_precision_reduction = False
        torch.backends.cudnn.benchmark = True

    def prepare(self, problem):
        torch = self.torch
        tensor, weight = (torch.from_numpy(array).to("cuda", self.type) for array in problem.data())
        function = getattr(torch.nn.functional, f"conv{'_transpose' if problem.transposed else ''}{problem.rank}d")
        options = {"stride": problem.stride, "padding": problem.padding, "dilation": problem.dilation,
                   "groups": problem.groups}
        if problem.transposed:
            options["output_padding"] = problem.output_padding
        formats = [torch.contiguous_format]
        if problem.rank > 1:
            formats.append(torch.channels_last if problem.rank == 2 else torch.channels_last_3d)

        def seconds():
            times = []
            try:
                with torch.inference_mode():
                    for memory_format in formats:
                        x, w = (array.contiguous(memory_format=memory_format) for array in (tensor, weight))
                        times.append(self.median_time(lambda: function(x, w, **options)))
            except RuntimeError as error:  # what cuDNN cannot do, and memory that is out
                raise NotSupported(str(error).partition("\n")[0]) from None
            return min(times)
        return seconds

    def median_time(self, run):
        cuda = self.torch.cuda
        for _ in range(3):  # the first one also chooses among cuDNN's algorithms
            run()
        cuda.synchronize()
        graph = cuda.CUDAGraph()
        with cuda.graph(graph):
            for _ in range(self.CALLS):
                run()
        times = []
        for _ in range(self.RUNS):
            begin, end = cuda.Event(enable_timing=True), cuda.Event(enable_timing=True)
            begin.record()
            graph.replay()
            end.record()
            cuda.synchronize()
            times.append(begin.elapsed_time(end) / 1e3 / self.CALLS)
        return statistics.median(times)


KNOWN = {"ncnn": Ncnn, "torch": Torch}
