# SPDX-License-Identifier: MIT
"""An ONNX model with its convolutions by tilefold and everything else by ONNX Runtime.

    session = SplitSession("model.onnx", scratch="4MiB")
    outputs = session.run({"x": image})

The list of nodes is cut at each Conv and ConvTranspose. What lies between two of them is one small session of ONNX Runtime's:

    nodes, nodes, Conv, nodes, nodes, nodes, Conv, ConvTranspose, nodes
    [  session  ]  ▲    [     session      ]  ▲        ▲          [session]
                   └──────── tilefold ────────┴────────┘

A tensor is forgotten where it is read for the last time. tilefold.onnx.prepare() does the same without ONNX Runtime, more slowly.
"""

import collections

import onnx
import onnxruntime
import tilefold.onnx
from onnx import AttributeProto, TensorProto, helper, numpy_helper

CONVOLUTIONS = {"Conv": tilefold.onnx.conv, "ConvTranspose": tilefold.onnx.conv_transpose}


class Convolution:
    """One node of the model, by tilefold."""

    def __init__(self, node, constants, options):
        self.outputs, self._names = list(node.output), [name or None for name in node.input]
        self.inputs = [name for name in self._names if name and name not in constants]
        self._weights = {name: numpy_helper.to_array(constants[name]) for name in self._names if name in constants}
        attributes = {one.name: helper.get_attribute_value(one) for one in node.attribute if one.name != "kernel_shape"}
        if "auto_pad" in attributes:
            attributes["auto_pad"] = attributes["auto_pad"].decode()
        self._function, self._keywords = CONVOLUTIONS[node.op_type], {**attributes, **options}

    def run(self, tensors):
        arrays = {**self._weights, **dict(zip(self.inputs, tensors))}
        return [self._function(*(arrays[name] if name else None for name in self._names), **self._keywords)]


class Part:
    """The nodes between two convolutions, by ONNX Runtime."""

    def __init__(self, nodes, constants, types, wanted, model):
        made = {name for node in nodes for name in node.output if name}
        read = {name for node in nodes for name in node.input if name}
        self.inputs, self.outputs = sorted(read - made - set(constants)), sorted(made & wanted)
        graph = helper.make_graph(nodes, "part", *([helper.make_tensor_value_info(name, types[name], None) for name in names]
                                                   for names in (self.inputs, self.outputs)),
                                  [constants[name] for name in sorted(read & set(constants))])
        part = helper.make_model(graph, opset_imports=model.opset_import, ir_version=model.ir_version)
        settings = onnxruntime.SessionOptions()
        settings.enable_cpu_mem_arena = settings.enable_mem_pattern = False  # each session would keep the most it ever had
        settings.add_session_config_entry("session.intra_op.allow_spinning", "0")  # its threads would take tilefold's cores
        settings.log_severity_level = 3
        self._session = onnxruntime.InferenceSession(part.SerializeToString(), settings, ["CPUExecutionProvider"])

    def run(self, tensors):
        return self._session.run(self.outputs, dict(zip(self.inputs, tensors)))


class SplitSession:
    def __init__(self, path, **options):
        """options: those of tilefold.conv2d()."""
        model = onnx.shape_inference.infer_shapes(onnx.load(str(path)))
        graph = model.graph
        self.outputs = [value.name for value in graph.output]
        constants = {tensor.name: tensor for tensor in graph.initializer}
        constants.update((tensor.name, tensor) for tensor in map(constant_of, graph.node) if tensor)
        self.inputs = [value.name for value in graph.input if value.name not in constants]
        pieces = cut([node for node in graph.node if node.output[0] not in constants])
        types = {value.name: value.type.tensor_type.elem_type for value in (*graph.value_info, *graph.input, *graph.output)}
        reads = [{name for node in nodes for name in node.input} - {name for node in nodes for name in node.output} for nodes in pieces]
        wanted = set(self.outputs).union(*reads)
        self._steps = [Convolution(nodes[0], constants, options) if nodes[0].op_type in CONVOLUTIONS
                       else Part(nodes, constants, types, wanted, model) for nodes in pieces]

    def run(self, inputs, progress=None):
        """The outputs, in the graph's order. inputs: by name. progress(done, total) is called after each step."""
        tensors = dict(inputs)
        readers = collections.Counter(name for names in (*(step.inputs for step in self._steps), self.outputs) for name in names)

        def take(names):
            """Tensors that are read here, forgotten where that is the last time."""
            readers.subtract(names)
            return [tensors[name] if readers[name] else tensors.pop(name) for name in names]

        for number, step in enumerate(self._steps):
            tensors.update(zip(step.outputs, step.run(take(step.inputs))))
            if progress:
                progress(number + 1, len(self._steps))
        return take(self.outputs)


def constant_of(node):
    """The tensor that a node is, or None."""
    if any(one.type in (AttributeProto.GRAPH, AttributeProto.GRAPHS) for one in node.attribute):
        raise ValueError(f"{node.name}, a {node.op_type}, has a graph of its own, which is not cut")
    if node.op_type != "Constant" or node.attribute[0].name != "value":
        return None
    tensor = TensorProto()
    tensor.CopyFrom(node.attribute[0].t)
    tensor.name = node.output[0]
    return tensor


def cut(nodes):
    """The nodes in their order, as lists: a convolution alone, or all that lie between two."""
    pieces = []
    for node in nodes:
        if node.op_type in CONVOLUTIONS or not pieces or pieces[-1][-1].op_type in CONVOLUTIONS:
            pieces.append([])
        pieces[-1].append(node)
    return pieces


def bar(description):
    """A progress bar, as a function of (done, total)."""
    from tqdm import tqdm
    shown = tqdm(desc=description, unit="step")

    def progress(done, total):
        shown.total = total
        shown.update(done - shown.n)
        if done == total:
            shown.close()

    return progress
