# SPDX-License-Identifier: MIT
"""A problem of one or two spatial axes as a TensorFlow Lite model: one operator, or an explicit padding before it."""
import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema


class Inexpressible(Exception):
    pass


class Model:
    """Tensors and operators, gathered for one subgraph."""

    def __init__(self):
        self.model, self.graph = schema.ModelT(), schema.SubGraphT()
        self.model.version, self.model.subgraphs = 3, [self.graph]
        self.model.buffers, self.model.operatorCodes = [schema.BufferT()], []  # buffer 0 means that there is none
        self.graph.tensors, self.graph.operators = [], []

    def tensor(self, shape, values=None):
        made = schema.TensorT()
        made.shape, made.name = [int(size) for size in shape], f"t{len(self.graph.tensors)}".encode()
        made.type = schema.TensorType.INT32 if values is not None and values.dtype == np.int32 else schema.TensorType.FLOAT32
        made.buffer = 0
        if values is not None:
            buffer = schema.BufferT()
            buffer.data = np.frombuffer(np.ascontiguousarray(values).tobytes(), np.uint8)
            made.buffer = len(self.model.buffers)
            self.model.buffers.append(buffer)
        self.graph.tensors.append(made)
        return len(self.graph.tensors) - 1

    def constant(self, values):
        return self.tensor(values.shape, values)

    def operator(self, code, version, inputs, output, kind, options):
        known, made = schema.OperatorCodeT(), schema.OperatorT()
        known.builtinCode, known.deprecatedBuiltinCode, known.version = code, min(code, 127), version
        made.opcodeIndex = len(self.model.operatorCodes)
        made.inputs, made.outputs = inputs, [output]
        made.builtinOptionsType, made.builtinOptions = kind, options
        self.model.operatorCodes.append(known)
        self.graph.operators.append(made)

    def serialise(self, source, result):
        self.graph.inputs, self.graph.outputs = [source], [result]
        builder = flatbuffers.Builder(1024)
        builder.Finish(self.model.Pack(builder), b"TFL3")
        return bytes(builder.Output())


def two_axes(problem):
    """Its shapes and parameters with two spatial axes, the first of size 1 where there was one."""
    def padded(values, missing):
        return [missing] * (2 - problem.rank) + list(values)
    return {name: padded(getattr(problem, name), missing) for name, missing in
            (("spatial", 1), ("kernel", 1), ("stride", 1), ("padding", 0), ("dilation", 1), ("output_padding", 0))}


def same_begins(size, axes):
    """What padding SAME puts before each axis for outputs of this size."""
    gaps = zip(size, axes["spatial"], axes["kernel"], axes["stride"], axes["dilation"])
    return [max((x - 1) * s + d * (k - 1) + 1 - i, 0) // 2 for x, i, k, s, d in gaps]


def choose_padding(problem, axes, outputs):
    if problem.transposed:
        totals = [(i - 1) * s + k - x for x, i, k, s in zip(outputs, axes["spatial"], axes["kernel"], axes["stride"])]
        if not any(totals):
            return schema.Padding.VALID
        if min(totals) >= 0 and [total // 2 for total in totals] == axes["padding"]:
            return schema.Padding.SAME
        raise Inexpressible("TRANSPOSE_CONV has no such padding")
    if not any(axes["padding"]):
        return schema.Padding.VALID
    whole = [-(-i // s) for i, s in zip(axes["spatial"], axes["stride"])]
    if whole == outputs and same_begins(outputs, axes) == axes["padding"]:
        return schema.Padding.SAME
    return None


def set_axes(options, axes, padding):
    options.padding = padding
    options.strideH, options.strideW = axes["stride"]
    if hasattr(options, "dilationHFactor"):
        options.dilationHFactor, options.dilationWFactor = axes["dilation"]
    return options


def add_transposed(model, problem, axes, source, weight, shape, padding):
    if problem.groups > 1 or max(axes["dilation"]) > 1:
        raise Inexpressible("TRANSPOSE_CONV has neither groups nor dilation")
    result = model.tensor(shape)
    model.operator(schema.BuiltinOperator.TRANSPOSE_CONV, 1,
                   [model.constant(np.array(shape, np.int32)), model.constant(weight), source], result,
                   schema.BuiltinOptions.TransposeConvOptions, set_axes(schema.TransposeConvOptionsT(), axes, padding))
    return result


def add_padding(model, problem, axes, source):
    amounts = [0, *axes["padding"], 0]
    sizes = zip((problem.batch, *axes["spatial"], problem.inputs), amounts)
    result = model.tensor([size + 2 * amount for size, amount in sizes])
    model.operator(schema.BuiltinOperator.PAD, 1,
                   [source, model.constant(np.array([[amount, amount] for amount in amounts], np.int32))], result,
                   schema.BuiltinOptions.PadOptions, schema.PadOptionsT())
    return result


def add_forward(model, problem, axes, source, weight, shape, padding):
    if padding is None:
        source, padding = add_padding(model, problem, axes, source), schema.Padding.VALID
    bias, result = model.constant(np.zeros(problem.outputs, np.float32)), model.tensor(shape)
    if problem.groups == problem.inputs and problem.groups > 1:
        options = set_axes(schema.DepthwiseConv2DOptionsT(), axes, padding)
        options.depthMultiplier = problem.outputs // problem.groups
        weight = np.moveaxis(weight, 0, -1).reshape(1, *axes["kernel"], problem.outputs)
        model.operator(schema.BuiltinOperator.DEPTHWISE_CONV_2D, 2, [source, model.constant(weight), bias], result,
                       schema.BuiltinOptions.DepthwiseConv2DOptions, options)
    else:
        model.operator(schema.BuiltinOperator.CONV_2D, 6 if problem.groups > 1 else 2,
                       [source, model.constant(weight), bias], result, schema.BuiltinOptions.Conv2DOptions,
                       set_axes(schema.Conv2DOptionsT(), axes, padding))
    return result


def serialise(problem, weight):
    """weight is (O, k..., C/G), as in channels-last."""
    if problem.rank > 2:
        raise Inexpressible("it has no more than two spatial axes")
    axes = two_axes(problem)
    outputs = [1] * (2 - problem.rank) + problem.output_shape[2:]
    shape = [problem.batch, *outputs, problem.outputs]
    weight = weight.reshape(weight.shape[0], *axes["kernel"], -1)
    model = Model()
    source = model.tensor([problem.batch, *axes["spatial"], problem.inputs])
    add = add_transposed if problem.transposed else add_forward
    result = add(model, problem, axes, source, weight, shape, choose_padding(problem, axes, outputs))
    return model.serialise(source, result)
