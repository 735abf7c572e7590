# SPDX-License-Identifier: MIT
"""OpenVINO's CPU plugin (oneDNN), input and output tensors shared with arrays of ours."""
import sys

from peers import Built, onnx_model

sys.modules["openvino_telemetry"] = None  # it would send messages from a thread of its own while others are timed
import openvino  # noqa: E402
from openvino.preprocess import PrePostProcessor  # noqa: E402

AXES = {1: "W", 2: "HW", 3: "DHW"}


class Peer:
    layouts = ("channels-first", "channels-last")
    name = f"openvino {openvino.__version__.split('-')[0]}"

    def __init__(self, settings):
        self.core = openvino.Core()
        self.options = {"INFERENCE_NUM_THREADS": settings.threads, "NUM_STREAMS": 1, "INFERENCE_PRECISION_HINT": "f32"}

    def variants(self, problem, layout):
        return ["compiled"]

    def build(self, problem, layout, variant, tensor, weight, output):
        model = self.core.read_model(onnx_model.serialise(problem, weight))
        if layout == "channels-last":
            model = self.channels_last(model, problem)
        request = self.core.compile_model(model, "CPU", self.options).create_infer_request()
        request.set_input_tensor(openvino.Tensor(tensor, shared_memory=True))
        request.set_output_tensor(openvino.Tensor(output, shared_memory=True))
        return Built(request.infer, lambda: output)

    def channels_last(self, model, problem):
        """The model for tensors in channels-last: what that takes is the compiler's to choose."""
        steps = PrePostProcessor(model)
        for end in (steps.input(), steps.output()):
            end.tensor().set_layout(openvino.Layout(f"N{AXES[problem.rank]}C"))
            end.model().set_layout(openvino.Layout(f"NC{AXES[problem.rank]}"))
        return steps.build()
