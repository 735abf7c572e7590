# SPDX-License-Identifier: MIT
"""ONNX Runtime's CPU provider (MLAS), input and output bound to arrays of ours. It has channels-first only."""
import numpy as np
import onnxruntime

from peers import Built, onnx_model

# With and without its own blocked layout (NCHWc), into which one convolution alone must be brought and back.
LEVELS = {"blocked": onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL,
          "plain": onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED}


class Peer:
    layouts = ("channels-first",)
    name = f"onnxruntime {onnxruntime.__version__}"

    def __init__(self, settings):
        self.threads = settings.threads

    def variants(self, problem, layout):
        return list(LEVELS)

    def build(self, problem, layout, variant, tensor, weight, output):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = self.threads, 1
        options.graph_optimization_level = LEVELS[variant]
        options.log_severity_level = 3
        session = onnxruntime.InferenceSession(onnx_model.serialise(problem, weight), options,
                                               providers=["CPUExecutionProvider"])
        binding = session.io_binding()
        binding.bind_input("x", "cpu", 0, np.float32, tensor.shape, tensor.ctypes.data)
        binding.bind_output("y", "cpu", 0, np.float32, output.shape, output.ctypes.data)
        return Built(lambda: session.run_with_iobinding(binding), lambda: output)
