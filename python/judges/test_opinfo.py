# SPDX-License-Identifier: MIT
"""PyTorch's own samples of its convolutions (OpInfo, which its own tests run on), in float32 against PyTorch in float64."""

import numpy
import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed: make test-judges")
pytest.importorskip("expecttest", reason="expecttest is not installed, which PyTorch's samples need: make test-judges")

import tilefold  # noqa: E402
import tilefold.torch  # noqa: E402
from judging import EPSILON  # noqa: E402
from torch.testing._internal.common_methods_invocations import op_db  # noqa: E402

OPS = {f"nn.functional.{name}{rank}d" for name in ("conv", "conv_transpose") for rank in (1, 2, 3)}
SAMPLES = 92  # of torch 2.15.0


def all_samples():
    torch.manual_seed(0)
    for op in op_db:
        if op.name in OPS:
            for number, sample in enumerate(op.sample_inputs("cpu", torch.float32)):
                yield pytest.param(op.name.rpartition(".")[2], sample, id=f"{op.name.rpartition('.')[2]}-{number}")


samples = list(all_samples())
errors = [pytest.param(op.name.rpartition(".")[2], error.sample_input, id=f"{op.name.rpartition('.')[2]}-{number}")
          for op in op_db if op.name in OPS and op.error_inputs_func is not None
          for number, error in enumerate(op.error_inputs("cpu"))]


def test_all_samples_are_there():
    assert len(samples) >= 70
    assert len(samples) == SAMPLES or not torch.__version__.startswith("2.15.0")
    assert {param.values[0] for param in samples} == {name.rpartition(".")[2] for name in OPS}
    assert errors


@pytest.mark.parametrize("name, sample", samples)
def test_a_sample(name, sample):
    theirs = getattr(torch.nn.functional, name)

    def expected(change):
        return theirs(*(None if one is None else change(one.detach().double()) for one in (sample.input, *sample.args)),
                      **sample.kwargs)

    tensors = [None if one is None else one.detach() for one in (sample.input, *sample.args)]
    allowed = (expected(torch.ones_like) + 2) * EPSILON * expected(torch.abs)
    for function in (getattr(tilefold, name), getattr(tilefold.torch, name)):
        actual = function(*tensors, **sample.kwargs)
        assert actual.dtype == torch.float32 and actual.shape == allowed.shape
        assert ((actual.double() - expected(lambda one: one)).abs() <= allowed).all()
        small = function(*tensors, **sample.kwargs, scratch="8KiB", threads=1)
        assert numpy.array_equal(small.numpy().view("i4"), actual.numpy().view("i4"))


@pytest.mark.parametrize("name, sample", errors)
def test_what_pytorch_refuses(name, sample):
    with pytest.raises((TypeError, ValueError, RuntimeError)):
        getattr(torch.nn.functional, name)(sample.input, *sample.args, **sample.kwargs)
    with pytest.raises((TypeError, ValueError)):
        getattr(tilefold, name)(sample.input.detach(), *sample.args, **sample.kwargs)
