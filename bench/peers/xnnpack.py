# SPDX-License-Identifier: MIT
"""XNNPACK through LiteRT's interpreter, which holds the tensors. It has channels-last only."""
import importlib.metadata

from ai_edge_litert.interpreter import Interpreter

import tflite_model
from peers import Built, NotSupported


class Peer:
    layouts = ("channels-last",)
    name = f"XNNPACK (ai-edge-litert {importlib.metadata.version('ai-edge-litert')})"

    def __init__(self, settings):
        self.threads = settings.threads

    def variants(self, problem, layout):
        return ["delegate"]

    def build(self, problem, layout, variant, tensor, weight, output):
        _, weight = problem.to_layout(layout, tensor, weight)
        try:
            model = tflite_model.serialise(problem, weight)
            interpreter = Interpreter(model_content=model, num_threads=self.threads)
            interpreter.allocate_tensors()
        except (tflite_model.Inexpressible, RuntimeError, ValueError) as error:
            raise NotSupported(str(error).partition("\n")[0]) from None
        if not any(step["op_name"] == "DELEGATE" for step in interpreter._get_ops_details()):
            raise NotSupported("XNNPACK does not take it, LiteRT's own kernels would")
        source, result = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
        interpreter.set_tensor(source["index"], tensor.reshape(source["shape"]))
        return Built(interpreter.invoke, lambda: interpreter.get_tensor(result["index"]).reshape(output.shape),
                     copied_bytes=tensor.nbytes + weight.nbytes, output_bytes=output.nbytes)
