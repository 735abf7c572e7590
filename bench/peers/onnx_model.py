# SPDX-License-Identifier: MIT
"""A problem as an ONNX model of one node."""
from onnx import TensorProto, helper


def serialise(problem, weight):
    attributes = {"kernel_shape": problem.kernel, "strides": problem.stride, "dilations": problem.dilation,
                  "group": problem.groups, "pads": problem.padding * 2}
    if problem.transposed:
        attributes["output_padding"] = problem.output_padding
    node = helper.make_node("ConvTranspose" if problem.transposed else "Conv", ["x", "w"], ["y"], **attributes)
    graph = helper.make_graph(
        [node], "one", [helper.make_tensor_value_info("x", TensorProto.FLOAT, problem.input_shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, problem.output_shape)],
        [helper.make_tensor("w", TensorProto.FLOAT, weight.shape, weight.tobytes(), raw=True)])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8
    return model.SerializeToString()
