# SPDX-License-Identifier: MIT
"""Arrays of every kind and any strides, without copies."""

import subprocess
import sys

import numpy
import pytest
import tilefold
from conftest import Problem, close
from numpy.lib.stride_tricks import as_strided


def views(array):
    """The same elements as other arrays, by name: of other strides, or read-only."""
    yield "Fortran", numpy.asfortranarray(array)
    for axis in range(array.ndim):
        reverse = (slice(None),) * axis + (slice(None, None, -1),)
        yield f"axis {axis} negative", numpy.ascontiguousarray(array[reverse])[reverse]
        moved = numpy.ascontiguousarray(numpy.moveaxis(array, axis, 0))
        yield f"axis {axis} first", numpy.moveaxis(moved, 0, axis)
    twice = numpy.repeat(array, 2, axis=-1)
    yield "every second", twice[..., ::2]
    padded = numpy.pad(array, [(1, 2)] * array.ndim)
    yield "a crop", padded[(slice(1, -2),) * array.ndim]
    frozen = array.copy()
    frozen.flags.writeable = False
    yield "read-only", frozen


def test_strides_of_any_kind(op):
    problem = Problem(op, padding=1)
    function, options = getattr(tilefold, op), problem.options
    expected = function(problem.x, problem.w, problem.bias, **options)
    plan = tilefold.plan(op, problem.x.shape, problem.w.shape, **options)
    for name, x in views(problem.x):
        assert numpy.array_equal(function(x, problem.w, problem.bias, **options), expected), name
        assert numpy.array_equal(plan(x, problem.w, problem.bias), expected), name
    for name, w in views(problem.w):
        assert numpy.array_equal(function(problem.x, w, problem.bias, **options), expected), name
        assert numpy.array_equal(plan(problem.x, plan.pack(w), problem.bias), expected), name
    for name, out in views(numpy.zeros_like(expected)):
        if name == "read-only":
            continue
        assert function(problem.x, problem.w, problem.bias, out=out, **options) is out
        assert numpy.array_equal(out, expected), name
    assert numpy.array_equal(function(problem.x, problem.w, problem.bias[::-1].copy()[::-1], **options), expected)


def test_a_broadcast_input_is_read_in_place():
    """A view of 1 GiB of an array of 1 KiB: were it copied, its memory would show."""
    row = numpy.random.default_rng(0).standard_normal((1, 1, 1, 256)).astype("f4")
    image = numpy.broadcast_to(row, (1, 1024, 1024, 256))
    weight = numpy.ones((1, 1024, 1, 1), "f4")
    actual = tilefold.conv2d(image[:, :, :4], weight)
    assert numpy.allclose(actual, row * 1024, rtol=1e-4)
    code = """
import numpy, resource, tilefold
image = numpy.broadcast_to(numpy.ones((1, 1, 1, 1024), "f4"), (1, 1, 1 << 18, 1024))
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
tilefold.conv2d(image, numpy.ones((1, 1, 1, 1), "f4"), stride=256, scratch="64KiB")
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""
    grown = int(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=100).stdout)
    assert grown < 64 << 10  # KiB on Linux


def test_no_copy_of_weights_or_outputs():
    """Writes are seen where the array lies, and the result is out itself."""
    whole = numpy.full((4, 10), 7, "f4")
    x, w = numpy.arange(8, dtype="f4").reshape(1, 1, 8), numpy.ones((1, 1, 1), "f4")
    out = whole[1:2, None, 1:9]
    tilefold.conv1d(x, w, out=out)
    assert numpy.array_equal(whole[1], [7, *range(8), 7])
    assert (numpy.delete(whole, 1, 0) == 7).all()


def test_memory_mapped_files(tmp_path):
    problem = Problem("conv2d", padding=1)
    expected = tilefold.conv2d(problem.x, problem.w, padding=1)
    x = numpy.memmap(tmp_path / "x", "f4", "w+", shape=problem.x.shape)
    x[:] = problem.x
    x.flush()
    x = numpy.memmap(tmp_path / "x", "f4", "r", shape=problem.x.shape)
    y = numpy.memmap(tmp_path / "y", "f4", "w+", shape=expected.shape)
    assert tilefold.conv2d(x, problem.w, padding=1, out=y) is y
    y.flush()
    assert numpy.array_equal(numpy.fromfile(tmp_path / "y", "f4").reshape(expected.shape), expected)
    result = tilefold.conv2d(x, problem.w, padding=1)
    assert type(result) is numpy.ndarray and numpy.array_equal(result, expected)
    read_only = numpy.memmap(tmp_path / "y", "f4", "r", shape=expected.shape)
    with pytest.raises(ValueError, match="read-only"):
        tilefold.conv2d(x, problem.w, padding=1, out=read_only)


# --------------------------------------------------------------------------------------------------------- PyTorch


@pytest.fixture
def torch():
    return pytest.importorskip("torch", reason="PyTorch is not installed")


def test_torch_tensors(torch, op):
    problem = Problem(op, padding=1)
    x, w, b = map(torch.from_numpy, (problem.x, problem.w, problem.bias))
    actual = getattr(tilefold, op)(x, w, b, padding=1)
    assert isinstance(actual, torch.Tensor) and actual.is_contiguous()
    assert numpy.array_equal(actual.numpy(), getattr(tilefold, op)(problem.x, problem.w, problem.bias, padding=1))
    turned = x.transpose(1, -1).contiguous().transpose(1, -1)
    out = torch.zeros_like(actual).transpose(1, -1).contiguous().transpose(1, -1)
    assert getattr(tilefold, op)(turned, w, b, padding=1, out=out) is out
    assert torch.equal(out, actual)


@pytest.mark.parametrize("dtype", ("float16", "bfloat16"))
def test_torch_half_types(torch, dtype):
    problem = Problem("conv2d", padding=1)
    x, w, b = (torch.from_numpy(array).to(getattr(torch, dtype)) for array in (problem.x, problem.w, problem.bias))
    actual = tilefold.conv2d(x, w, b, padding=1)
    assert actual.dtype == x.dtype
    close(actual.float().numpy(), torch.conv2d(x.double(), w.double(), b.double(), padding=1).numpy(), dtype)


def test_a_torch_tensor_that_requires_a_gradient(torch):
    x, w = torch.ones(1, 1, 4), torch.ones(1, 1, 2, requires_grad=True)
    with pytest.raises(TypeError, match="weight requires a gradient"):
        tilefold.conv1d(x, w)
    with torch.no_grad():
        assert tilefold.conv1d(x, w).tolist() == [[[2, 2, 2]]]


def test_torch_errors(torch):
    x, w = torch.ones(1, 1, 4), torch.ones(1, 1, 2)
    with pytest.raises(TypeError, match="float64.*x|input is torch.float64.*input.float"):
        tilefold.conv1d(x.double(), w)
    with pytest.raises(TypeError, match="meta"):
        tilefold.conv1d(x.to("meta"), w)
    with pytest.raises(TypeError, match="sparse"):
        tilefold.conv1d(x.to_sparse(), w)
    assert tilefold.conv1d(x, w.numpy()).tolist() == [[[2, 2, 2]]]
    assert isinstance(tilefold.conv1d(x.numpy(), w), numpy.ndarray)


def test_a_lazily_negated_tensor(torch):
    negative = torch.randn(1, 1, 8, dtype=torch.complex64).conj().imag
    assert negative.is_neg()
    assert torch.equal(tilefold.conv1d(negative, torch.ones(1, 1, 1)), negative + 0)
    with pytest.raises(ValueError, match="lazily negated"):
        tilefold.conv1d(torch.ones(1, 1, 8), torch.ones(1, 1, 1), out=negative)


def test_autograd_notices_an_out(torch):
    """What a gradient has kept must not be overwritten unseen."""
    kept, x = torch.ones(1, 1, 8), torch.ones(1, 1, 8, requires_grad=True)
    result = (x * kept).sum()
    tilefold.conv1d(torch.ones(1, 1, 8), torch.ones(1, 1, 1), out=kept)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        result.backward()


# ---------------------------------------------------------------------------------------------------------- DLPack


class Foreign:
    """An array of another library: nothing but DLPack. Its from_dlpack() is this module's."""

    def __init__(self, array, versioned=True, device=1):
        self.array, self.versioned, self.device = array, versioned, device

    def __dlpack_device__(self):
        return self.device, 0

    def __dlpack__(self, **wishes):
        if wishes and not self.versioned:
            raise TypeError("an exporter from before 1.0")
        return self.array.__dlpack__(**wishes)

    @staticmethod
    def __array_namespace__():
        class Namespace:
            @staticmethod
            def from_dlpack(exported):
                return Foreign(exported)
        return Namespace


def test_anything_with_dlpack():
    problem = Problem("conv2d", padding=1)
    expected = tilefold.conv2d(problem.x, problem.w, problem.bias, padding=1)
    for x in (Foreign(problem.x), Foreign(problem.x, versioned=False), Foreign(numpy.asfortranarray(problem.x))):
        actual = tilefold.conv2d(x, Foreign(problem.w), Foreign(problem.bias), padding=1)
        assert isinstance(actual, Foreign)
        assert numpy.array_equal(numpy.from_dlpack(actual.array), expected)


def test_dlpack_out():
    problem = Problem("conv2d")
    expected = tilefold.conv2d(problem.x, problem.w)
    out = numpy.zeros_like(expected)
    if numpy.lib.NumpyVersion(numpy.__version__) >= "2.1.0":
        foreign = Foreign(out)
        assert tilefold.conv2d(problem.x, problem.w, out=foreign) is foreign
        assert numpy.array_equal(out, expected)
    with pytest.raises(ValueError, match="read-only"):
        tilefold.conv2d(problem.x, problem.w, out=Foreign(out, versioned=False))


def test_dlpack_errors():
    x, w = numpy.ones((1, 1, 4), "f4"), numpy.ones((1, 1, 2), "f4")
    with pytest.raises(TypeError, match="another device"):
        tilefold.conv1d(Foreign(x, device=2), w)
    for dtype in ("f8", "i4", "u1", "?", "c8"):
        with pytest.raises(TypeError, match="tilefold computes in"):
            tilefold.conv1d(Foreign(x.astype(dtype)), w)


def test_bfloat16_through_dlpack(torch):
    """NumPy knows no bfloat16, so it does not read these capsules."""
    problem = Problem("conv2d")
    x, w = (torch.from_numpy(array).bfloat16() for array in (problem.x, problem.w))
    actual = tilefold.conv2d(Foreign(x), Foreign(w))
    back = torch.from_dlpack(actual.array)
    assert back.dtype == torch.bfloat16 and torch.equal(back, tilefold.conv2d(x, w))


def test_mlx_arrays():
    mx = pytest.importorskip("mlx.core", reason="MLX is not installed")
    problem = Problem("conv2d")
    expected = tilefold.conv2d(problem.x, problem.w)
    actual = tilefold.conv2d(mx.array(problem.x), mx.array(problem.w))
    assert isinstance(actual, mx.array) and numpy.array_equal(numpy.array(actual), expected)
    x, w = mx.array(problem.x).transpose(0, 2, 3, 1), mx.array(problem.w).transpose(0, 2, 3, 1)
    last = tilefold.conv2d(x, w, layout="channels_last", stride=2, padding=1)
    close(numpy.array(last), numpy.array(mx.conv2d(x, w, stride=2, padding=1)).astype("f8"))
    half = tilefold.conv2d(mx.array(problem.x).astype(mx.bfloat16), mx.array(problem.w).astype(mx.bfloat16))
    assert half.dtype == mx.bfloat16


# ------------------------------------------------------------------------------------------------- what is refused


def test_types_that_are_none():
    x, w = numpy.ones((1, 1, 4), "f4"), numpy.ones((1, 1, 2), "f4")
    for wrong, match in ((x.astype("f8"), r"float64.*input.astype\(numpy.float32\)"), (x.astype("i4"), "int32"),
                         (x.astype(">f4"), "other byte order"), (x.astype("?"), "bool"), (x.astype("c8"), "complex64"),
                         (x.tolist(), "list"), (3.0, "float"), (None, "NoneType"),
                         (numpy.ma.masked_array(x), "masked")):
        with pytest.raises(TypeError, match=match):
            tilefold.conv1d(wrong, w)
    for wrong in (w.astype("f2"), w.astype("f8")):
        with pytest.raises(TypeError, match="weight"):
            tilefold.conv1d(x, wrong)
    with pytest.raises(TypeError, match="bias"):
        tilefold.conv1d(x, w, numpy.ones(1, "f2"))
    with pytest.raises(TypeError, match="out"):
        tilefold.conv1d(x, w, out=numpy.ones((1, 1, 3), "f2"))


def test_strides_that_are_no_multiples_of_an_element():
    fields = numpy.zeros(8, numpy.dtype([("value", "f4"), ("flag", "u1")]))
    x, w = fields["value"].reshape(1, 1, 8), numpy.ones((1, 1, 2), "f4")
    assert x.strides[-1] == 5
    with pytest.raises(ValueError, match="ascontiguousarray"):
        tilefold.conv1d(x, w)


def test_an_address_that_is_no_multiple_of_an_element():
    x = numpy.zeros(33, "u1")[1:].view("f4").reshape(1, 1, 8)
    with pytest.raises(ValueError, match="aligned"):
        tilefold.conv1d(x, numpy.ones((1, 1, 2), "f4"))


def test_outputs_in_one_place():
    x, w = numpy.ones((1, 1, 8), "f4"), numpy.ones((1, 1, 1), "f4")
    for out in (as_strided(numpy.zeros(1, "f4"), (1, 1, 8), (0, 0, 0)), as_strided(numpy.zeros(8, "f4"), (1, 1, 8), (0, 0, 0))):
        with pytest.raises(ValueError):
            tilefold.conv1d(x, w, out=out)


def test_out_over_an_input():
    memory = numpy.ones(64, "f4")
    x, w = memory[:16].reshape(1, 1, 16), numpy.ones((1, 1, 1), "f4")
    for out in (x, memory[8:24].reshape(1, 1, 16)):
        with pytest.raises(ValueError, match="overlaps"):
            tilefold.conv1d(x, w, out=out)
    plan = tilefold.plan("conv1d", x.shape, w.shape)
    with pytest.raises(ValueError, match="overlaps"):
        plan(x, plan.pack(w), out=x)
    with pytest.raises(ValueError, match="overlaps"):
        tilefold.conv1d(x, w, memory[3:4], out=memory[:16].reshape(1, 1, 16))
    # Interleaved is not overlapping.
    even, odd = memory[::2].reshape(1, 1, 32), memory[1::2].reshape(1, 1, 32)
    tilefold.conv1d(even, 2 * w, out=odd)
    assert (odd == 2).all() and (even == 1).all()


def test_empty_tensors(torch):
    assert tilefold.conv1d(torch.ones(0, 1, 4), torch.ones(1, 1, 2)).shape == (0, 1, 3)
    assert numpy.from_dlpack(tilefold.conv1d(Foreign(numpy.ones((0, 1, 4), "f4")), numpy.ones((1, 1, 2), "f4")).array).shape == (0, 1, 3)
