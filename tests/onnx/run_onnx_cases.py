#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""ONNX's own Conv and ConvTranspose cases through the command line: run_onnx_cases.py EXECUTABLE [DATA] [--OPTION=VALUE...].

Options go to the command line: --device=vulkan runs the cases there. DATA holds the folders node, pytorch-converted and pytorch-operator of the ONNX backend tests; Debian's libonnx-testdata
has them at the default. Every model with one node that is a Conv or a ConvTranspose is a case; all 46 must be there.
"""

import os
import subprocess
import sys
import tempfile

import numpy as np
import onnx
from onnx import numpy_helper

DATA = "/usr/share/libonnx-testdata/data"
FOLDERS = ("node", "pytorch-converted", "pytorch-operator")
COMMANDS = {"Conv": "conv", "ConvTranspose": "conv-transpose"}
CASES = 46
AUTO_PAD = {"SAME_UPPER": "same", "SAME_LOWER": "same-lower", "VALID": "valid"}


def find_cases(data):
    """(name, folder, model) of each case."""
    for folder in FOLDERS:
        for name in sorted(os.listdir(os.path.join(data, folder))):
            path = os.path.join(data, folder, name)
            model = onnx.load(os.path.join(path, "model.onnx"))
            if len(model.graph.node) == 1 and model.graph.node[0].op_type in COMMANDS:
                yield f"{folder}/{name}", path, model


def options_of(node):
    """The node's attributes as options of the command line."""
    attributes = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
    attributes.pop("kernel_shape", None)  # the weight has it
    options = []
    for attribute, option in (("strides", "stride"), ("dilations", "dilation"), ("output_padding", "output-padding"),
                              ("output_shape", "output-shape")):
        if attribute in attributes:
            options.append(f"--{option}=" + ",".join(map(str, attributes.pop(attribute))))
    if "group" in attributes:
        options.append(f"--groups={attributes.pop('group')}")
    auto_pad = attributes.pop("auto_pad", b"NOTSET").decode()
    pads = attributes.pop("pads", None)
    if auto_pad != "NOTSET":
        options.append(f"--padding={AUTO_PAD[auto_pad]}")
    elif pads:
        axes = len(pads) // 2
        options.append("--padding=" + ",".join(f"{pads[axis]}:{pads[axes + axis]}" for axis in range(axes)))
    if attributes:
        raise ValueError(f"attributes without an option: {', '.join(attributes)}")
    return options


def load_tensor(path):
    with open(path, "rb") as file:
        return numpy_helper.to_array(onnx.TensorProto.FromString(file.read()))


def tensors_of(model, path):
    """The inputs in the node's order, which initializers and the case's files supply, and the expected output."""
    node, graph = model.graph.node[0], model.graph
    tensors = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    for index, value in enumerate(v for v in graph.input if v.name not in tensors or is_in_file(path, graph, v)):
        tensors[value.name] = load_tensor(os.path.join(path, f"test_data_set_0/input_{index}.pb"))
    return [tensors[name] for name in node.input if name], load_tensor(os.path.join(path, "test_data_set_0/output_0.pb"))


def is_in_file(path, graph, value):
    """Old cases give initializers as inputs too, with files for all of them."""
    files = [name for name in os.listdir(os.path.join(path, "test_data_set_0")) if name.startswith("input_")]
    return len(files) == len(graph.input)


def run_case(executable, path, model, options):
    """None, or what is wrong."""
    node = model.graph.node[0]
    inputs, expected = tensors_of(model, path)
    with tempfile.TemporaryDirectory() as folder:
        names = [os.path.join(folder, name) for name in ("input.npy", "weight.npy", "bias.npy")]
        for name, tensor in zip(names, inputs):
            np.save(name, tensor)
        bias = ["--bias", names[2]] if len(inputs) == 3 else []
        output = os.path.join(folder, "output.npy")
        result = subprocess.run([executable, COMMANDS[node.op_type], *names[:2], *bias, "-o", output, *options_of(node),
                                 *options],
                                capture_output=True, text=True, timeout=300)
        if result.returncode != 0:
            return f"exit status {result.returncode}: {result.stderr.strip()}"
        actual = np.load(output)
    if actual.shape != expected.shape or actual.dtype != expected.dtype:
        return f"{actual.dtype} {actual.shape} instead of {expected.dtype} {expected.shape}"
    # The tolerances of ONNX's own runner.
    if not np.allclose(actual, expected, rtol=1e-3, atol=1e-7):
        return f"differs by up to {np.abs(actual - expected).max()}"
    return None


def main():
    options = [argument for argument in sys.argv[1:] if argument.startswith("--")]
    arguments = [argument for argument in sys.argv[1:] if not argument.startswith("--")]
    if not arguments or not os.access(arguments[0], os.X_OK):
        sys.exit("usage: run_onnx_cases.py EXECUTABLE [DATA] [--OPTION=VALUE...]")
    data = arguments[1] if len(arguments) > 1 else DATA
    if not os.path.isdir(os.path.join(data, FOLDERS[0])):
        sys.exit(f"{data}: no ONNX test data there (Debian: libonnx-testdata)")
    executable = os.path.abspath(arguments[0])
    count = failed = 0
    for name, path, model in find_cases(data):
        wrong = run_case(executable, path, model, options)
        count += 1
        failed += wrong is not None
        print(f"{'FAIL' if wrong else 'ok':4} {name}{': ' + wrong if wrong else ''}")
    print(f"{count} cases, {failed} failed")
    if count != CASES:
        sys.exit(f"{count} cases found in {data}, not {CASES}")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
