# SPDX-License-Identifier: MIT
"""tilefold.onnx: ONNX's own Conv and ConvTranspose cases, by the backend and by the operators; a model of several nodes."""

import os
import pathlib

import numpy
import pytest

onnx = pytest.importorskip("onnx", reason="onnx is not installed")
pytest.importorskip("onnx.reference", reason="this onnx has no reference evaluator")

import tilefold.onnx  # noqa: E402
from onnx import TensorProto, helper, numpy_helper  # noqa: E402
from onnx.reference import ReferenceEvaluator  # noqa: E402

DATA = pathlib.Path(os.environ.get("TILEFOLD_ONNX_DATA", "/usr/share/libonnx-testdata/data"))
FOLDERS = "node", "pytorch-converted", "pytorch-operator"
CASES = 46


def find_cases():
    """The folders of all models that are one Conv or ConvTranspose."""
    for folder in FOLDERS:
        for path in sorted((DATA / folder).glob("*")):
            graph = onnx.load(str(path / "model.onnx")).graph
            if len(graph.node) == 1 and graph.node[0].op_type in ("Conv", "ConvTranspose"):
                yield path


cases = list(find_cases()) if DATA.is_dir() else []
needs_data = pytest.mark.skipif(not DATA.is_dir(), reason=f"no ONNX test data at {DATA} (Debian: libonnx-testdata)")


def load(path):
    return numpy_helper.to_array(TensorProto.FromString(path.read_bytes()))


def close(actual, expected):
    """The tolerances of ONNX's own runner."""
    assert actual.shape == expected.shape and actual.dtype == expected.dtype
    numpy.testing.assert_allclose(actual, expected, rtol=1e-3, atol=1e-7)


@needs_data
def test_all_cases_are_there():
    assert len(cases) == CASES


@needs_data
@pytest.mark.parametrize("path", cases, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_a_case(path):
    model, folder = onnx.load(str(path / "model.onnx")), path / "test_data_set_0"
    inputs = [load(folder / f"input_{i}.pb") for i in range(len(list(folder.glob("input_*.pb"))))]
    expected = load(folder / "output_0.pb")
    (actual,) = tilefold.onnx.run_model(model, inputs)
    close(actual, expected)
    (again,) = tilefold.onnx.prepare(model, scratch="8KiB").run(inputs)
    assert numpy.array_equal(again, actual)
    initializers = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    names = [value.name for value in model.graph.input]
    if len(inputs) < len(names):
        names = [name for name in names if name not in initializers]
    tensors = {**initializers, **dict(zip(names, inputs))}
    node = model.graph.node[0]
    (alone,) = tilefold.onnx.run_node(node, [tensors[name] for name in node.input if name])
    assert numpy.array_equal(alone, actual)


def small_model(**attributes):
    """Conv, Relu, ConvTranspose."""
    random = numpy.random.default_rng(0)
    weights = {"w": (6, 2, 3, 3), "b": (6,), "v": (6, 3, 2, 2)}
    nodes = [helper.make_node("Conv", ["x", "w", "b"], ["y"], group=2, auto_pad="SAME_LOWER", strides=[2, 2]),
             helper.make_node("Relu", ["y"], ["z"]),
             helper.make_node("ConvTranspose", ["z", "v"], ["out"], strides=[2, 2], **attributes)]
    graph = helper.make_graph(
        nodes, "small", [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 4, None, None])],
        [helper.make_tensor_value_info("out", TensorProto.FLOAT, [1, 3, None, None])],
        [numpy_helper.from_array(random.standard_normal(shape).astype("f4"), name) for name, shape in weights.items()])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def test_a_whole_model():
    model, x = small_model(), numpy.random.default_rng(1).standard_normal((1, 4, 9, 12)).astype("f4")
    (expected,) = ReferenceEvaluator(model).run(None, {"x": x})
    rep = tilefold.onnx.prepare(model, scratch="8KiB")
    for inputs in ([x], {"x": x}, x):
        numpy.testing.assert_allclose(rep.run(inputs)[0], expected, rtol=1e-4, atol=1e-5)
    evaluator = ReferenceEvaluator(model, new_ops=tilefold.onnx.operators(scratch="8KiB"))
    assert numpy.array_equal(evaluator.run(None, {"x": x})[0], rep.run([x])[0])


def test_the_convolutions_are_tilefolds(monkeypatch):
    """Not the reference's own: the scratch limit is heard."""
    x = numpy.ones((1, 4, 9, 12), "f4")
    with pytest.raises(tilefold.LimitTooSmall):
        tilefold.onnx.run_model(small_model(), [x], scratch=100)


def test_wrong_arguments():
    x = numpy.ones((1, 4, 9, 12), "f4")
    rep = tilefold.onnx.prepare(small_model())
    with pytest.raises(ValueError, match="2 inputs"):
        rep.run([x, x])
    with pytest.raises(TypeError, match="know"):
        rep.run([x], speed=3)
    with pytest.raises(ValueError, match="device"):
        tilefold.onnx.prepare(small_model(), device="CUDA")
    with pytest.raises(ValueError, match="3, 4 or 5"):
        tilefold.onnx.conv(numpy.ones((1, 1, 2, 2, 2, 2), "f4"), numpy.ones((1, 1, 1, 1, 1, 1), "f4"))
    node = helper.make_node("Conv", ["x", "w"], ["y"], kernel_shape=[2, 2])
    with pytest.raises(ValueError, match="kernel_shape"):
        tilefold.onnx.run_node(node, [x, numpy.ones((1, 4, 3, 3), "f4")])


def test_devices():
    assert tilefold.onnx.supports_device("CPU") and not tilefold.onnx.supports_device("CUDA")
    assert not tilefold.onnx.supports_device("VULKAN:99")
    model, x = small_model(), numpy.random.default_rng(1).standard_normal((1, 4, 9, 12)).astype("f4")
    if not tilefold.onnx.supports_device("VULKAN"):
        pytest.skip("no Vulkan device, or a build without Vulkan")
    assert tilefold.onnx.is_compatible(model, "VULKAN")
    (actual,) = tilefold.onnx.run_model(model, [x], "VULKAN")
    numpy.testing.assert_allclose(actual, tilefold.onnx.run_model(model, [x])[0], rtol=1e-4, atol=1e-5)
