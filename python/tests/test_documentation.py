# SPDX-License-Identifier: MIT
"""The examples of the docstrings run, every public function has one, and the annotations hold."""

import doctest
import importlib.util
import inspect
import pathlib
import pkgutil
import shutil
import subprocess
import sys

import pytest
import tilefold
from conftest import OPS

OPTIONAL = {"onnx": "onnx", "torch": "torch", "dask": "dask"}


@pytest.mark.parametrize("name", [None, *sorted(module.name for module in pkgutil.iter_modules(tilefold.__path__)
                                         if not module.name.startswith("lib"))])
def test_examples(name):
    if name in OPTIONAL:
        pytest.importorskip(OPTIONAL[name], reason=f"{OPTIONAL[name]} is not installed")
    module = tilefold if name is None else importlib.import_module(f"tilefold.{name}")
    assert doctest.testmod(module).failed == 0


@pytest.mark.parametrize("name", OPS)
def test_what_a_docstring_says(name):
    text = getattr(tilefold, name).__doc__
    for word in (">>>", "for n, o, ", "bytes", "LimitTooSmall", "scratch", "(N, C", "TypeError", "ValueError"):
        assert word in text
    assert "[options]" not in text


def test_everything_public_is_documented():
    for name in tilefold.__all__:
        thing = getattr(tilefold, name)
        assert name == "__version__" or inspect.getdoc(thing)
    for name, member in inspect.getmembers(tilefold.Plan):
        assert name.startswith("_") or inspect.getdoc(member), name


def test_annotations(tmp_path):
    """In a folder of their own: mypy takes what is beside them for more to check."""
    pytest.importorskip("mypy", reason="mypy is not installed")
    (tmp_path / "tilefold").mkdir()
    for path in pathlib.Path(tilefold.__file__).parent.glob("*.py"):
        if path.stem not in OPTIONAL or importlib.util.find_spec(OPTIONAL[path.stem]):
            shutil.copy(path, tmp_path / "tilefold")
    result = subprocess.run([sys.executable, "-m", "mypy", "--strict", "--ignore-missing-imports", "-p", "tilefold"],
                            capture_output=True, text=True, cwd=tmp_path, timeout=300)
    assert result.returncode == 0, result.stdout + result.stderr
