# SPDX-License-Identifier: MIT
"""What a call costs from Python: a convolution of one multiply-add, by tilefold, PyTorch and ONNX Runtime where installed.

    python bench/python_call.py [ROUNDS]

The ways take turns, ROUNDS times (50); a figure is the least time of a call, in microseconds, over batches of 200. One thread each.
"""
import sys
import timeit

import numpy
import tilefold

CALLS = 200


def tilefold_ways():
    x, w, bias, out = numpy.ones((1, 1, 1, 1), "f4"), numpy.ones((1, 1, 1, 1), "f4"), numpy.ones(1, "f4"), numpy.ones((1, 1, 1, 1), "f4")
    plan = tilefold.plan("conv2d", x.shape, w.shape, threads=1)
    packed = plan.pack(w)
    yield "tilefold.conv2d(x, w)", lambda: tilefold.conv2d(x, w, threads=1)
    yield "tilefold.conv2d(x, w, bias)", lambda: tilefold.conv2d(x, w, bias, threads=1)
    yield "tilefold.conv2d(x, w, out=out)", lambda: tilefold.conv2d(x, w, threads=1, out=out)
    yield "plan(x, w)", lambda: plan(x, w)
    yield "plan(x, packed)", lambda: plan(x, packed)


def torch_ways():
    import torch

    torch.set_num_threads(1)
    x, w = torch.ones(1, 1, 1, 1), torch.ones(1, 1, 1, 1)
    with torch.no_grad():
        yield "tilefold.conv2d(tensor, tensor)", lambda: tilefold.conv2d(x, w, threads=1)
        yield "torch.nn.functional.conv2d(tensor, tensor)", lambda: torch.nn.functional.conv2d(x, w)


def onnxruntime_ways():
    import onnxruntime
    from onnx import TensorProto, helper

    shape = [1, 1, 1, 1]
    graph = helper.make_graph([helper.make_node("Conv", ["x", "w"], ["y"])], "one",
                              [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
                              [helper.make_tensor_value_info("y", TensorProto.FLOAT, shape)],
                              [helper.make_tensor("w", TensorProto.FLOAT, shape, [1.0])])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    feed = {"x": numpy.ones(shape, "f4")}
    yield "onnxruntime: session.run(None, {'x': x})", lambda: session.run(None, feed)


def main(rounds):
    ways = []
    for family in (tilefold_ways, torch_ways, onnxruntime_ways):
        try:
            ways += family()
        except ImportError as missing:
            print(f"left out: {missing}")
    least = dict.fromkeys((name for name, _ in ways), float("inf"))
    for _ in range(rounds):
        for name, way in ways:
            least[name] = min(least[name], timeit.timeit(way, number=CALLS) / CALLS)
    for name, seconds in least.items():
        print(f"{seconds * 1e6:6.1f} us  {name}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 50)
