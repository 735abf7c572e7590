#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""tilefold beside other CPU libraries: the shapes of a suite, fp32, the same machine, the same run.

    pip install onnx onnxruntime openvino        (those that are missing are left out)
    bench/compare.py build/tilefold [--threads 1] [--rounds 2] [--filter NAME]

Peers get a model of one node in channels-first and whatever internal layout they like, converted once, outside the time,
for the weight and inside it for the tensors. tilefold is timed in both layouts with weights packed beforehand. Each figure
is the best time of all rounds; the ratio is the fastest peer's time over tilefold's, above 1 where tilefold is faster.
"""
import argparse
import json
import math
import pathlib
import subprocess
import time

import numpy as np
from onnx import TensorProto, helper

SUITE = pathlib.Path(__file__).with_name("shapes.tsv")
LAYOUTS = ("channels-first", "channels-last")


def sizes(text):
    return [int(size) for size in text.split(",")]


def read_suite(path, wanted):
    for line in path.read_text().splitlines():
        if not line.startswith("#") and wanted in line.split("\t")[0]:
            yield line.split("\t")


def make_model(row):
    """One node as a serialised ONNX model, and an input for it."""
    _, op, _, batch, spatial, inputs, outputs, kernel, stride, padding, dilation, output_padding, groups = row
    batch, inputs, outputs, groups = int(batch), int(inputs), int(outputs), int(groups)
    channels = [outputs, inputs // groups] if op == "conv" else [inputs, outputs // groups]
    random = np.random.default_rng(0)
    weight = random.random(channels + sizes(kernel), dtype=np.float32) - 0.5
    tensor = random.random([batch, inputs] + sizes(spatial), dtype=np.float32) - 0.5
    attributes = {"kernel_shape": sizes(kernel), "strides": sizes(stride), "dilations": sizes(dilation), "group": groups,
                  "pads": sizes(padding) * 2}
    if op == "conv-transpose":
        attributes["output_padding"] = sizes(output_padding)
    node = helper.make_node("Conv" if op == "conv" else "ConvTranspose", ["x", "w"], ["y"], **attributes)
    graph = helper.make_graph(
        [node], "one", [helper.make_tensor_value_info("x", TensorProto.FLOAT, tensor.shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [helper.make_tensor("w", TensorProto.FLOAT, weight.shape, weight.tobytes(), raw=True)])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8
    return model.SerializeToString(), tensor


def onnxruntime_runner(threads):
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1

    def prepare(model, tensor):
        session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        return lambda: session.run(None, {"x": tensor})

    return f"onnxruntime {onnxruntime.__version__}", prepare


def openvino_runner(threads):
    import openvino

    core = openvino.Core()
    settings = {"INFERENCE_NUM_THREADS": threads, "INFERENCE_PRECISION_HINT": "f32"}

    def prepare(model, tensor):
        request = core.compile_model(core.read_model(model), "CPU", settings).create_infer_request()
        request.set_input_tensor(openvino.Tensor(tensor, shared_memory=True))
        return request.infer

    return f"openvino {openvino.__version__.split('-')[0]}", prepare


def find_peers(threads):
    peers = []
    for make in (onnxruntime_runner, openvino_runner):
        try:
            peers.append(make(threads))
        except ImportError as error:
            print(f"left out: {error}")
    return peers


def best_time(run, budget=0.25, least=3):
    run()
    best, count, begin = math.inf, 0, time.perf_counter()
    while count < least or time.perf_counter() - begin < budget:
        start = time.perf_counter()
        run()
        best, count = min(best, time.perf_counter() - start), count + 1
    return best


def tilefold_time(arguments, name, layout):
    command = [arguments.tilefold, "bench", "--json", "--layout", layout, "--threads", str(arguments.threads),
               "--filter", name]
    lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    return next(entry["best_seconds"] for entry in map(json.loads, lines) if entry["name"] == name)


def geometric_mean(values):
    return math.exp(sum(map(math.log, values)) / len(values))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tilefold")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--filter", default="")
    arguments = parser.parse_args()

    peers = find_peers(arguments.threads)
    if not peers:
        raise SystemExit("there is no peer to compare with")
    print(f"milliseconds, threads: {arguments.threads}; peers: {', '.join(name for name, _ in peers)}")
    print(f"{'name':20}", *(f"{name.split()[0]:>12}" for name, _ in peers), *(f"{layout:>15} ratio" for layout in LAYOUTS))
    ratios = {}
    for row in read_suite(SUITE, arguments.filter):
        model, tensor = make_model(row)
        runs = {name: prepare(model, tensor) for name, prepare in peers}
        runs.update({layout: None for layout in LAYOUTS})
        times = dict.fromkeys(runs, math.inf)
        for _ in range(arguments.rounds):
            for name, run in runs.items():
                seconds = best_time(run) if run else tilefold_time(arguments, row[0], name)
                times[name] = min(times[name], seconds)
        peer = min(times[name] for name, _ in peers)
        text = [f"{times[name] * 1e3:12.3f}" for name, _ in peers]
        for layout in LAYOUTS:
            ratios.setdefault((row[1], layout), []).append(peer / times[layout])
            text.append(f"{times[layout] * 1e3:15.3f} {peer / times[layout]:5.2f}")
        print(f"{row[0]:20}", *text, flush=True)
    for (op, layout), values in ratios.items():
        print(f"{op}, {layout}: geometric mean {geometric_mean(values):.2f}, least {min(values):.2f}, {len(values)} shapes")


if __name__ == "__main__":
    main()
