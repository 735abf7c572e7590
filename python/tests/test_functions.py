# SPDX-License-Identifier: MIT
"""The six functions against the naive loop in float64, and against PyTorch where it is installed."""

import numpy
import pytest
import tilefold
from conftest import OPS, Problem, close, naive

VARIANTS = {
    "plain": {},
    "strided": {"stride": 2, "padding": 1},
    "dilated": {"dilation": 2, "padding": 2},
    "grouped": {"groups": 2, "padding": 1},
    "stride over dilation": {"stride": 3, "dilation": 2},
}


def run(problem, bias=True, **options):
    function = getattr(tilefold, problem.op)
    return function(problem.x, problem.w, problem.bias if bias else None, **problem.options, **options)


@pytest.mark.parametrize("variant", VARIANTS)
def test_against_the_naive_loop(op, variant):
    problem = Problem(op, **VARIANTS[variant])
    close(run(problem), problem.expected())
    close(run(problem, bias=False, scratch="8KiB"), problem.expected(bias=False))


@pytest.mark.parametrize("variant", VARIANTS)
def test_against_torch(op, variant):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    options = dict(VARIANTS[variant])
    if "transpose" in op and options.get("stride", 1) > 1:
        options["output_padding"] = 1
    problem = Problem(op, **options)
    arrays = [torch.from_numpy(array).double() for array in (problem.x, problem.w, problem.bias)]
    expected = getattr(torch.nn.functional, op)(*arrays, **options).numpy()
    close(run(problem), expected)


def test_arguments_come_in_torchs_order(op):
    """stride, padding, then output_padding and groups for transposed, or dilation and groups."""
    function = getattr(tilefold, op)
    if "transpose" in op:
        options = dict(stride=2, padding=1, output_padding=1, groups=2, dilation=2)
        problem = Problem(op, inputs=4, outputs=4, **options)
        actual = function(problem.x, problem.w, problem.bias, 2, 1, 1, 2, 2)
    else:
        options = dict(stride=2, padding=1, dilation=3, groups=2)
        problem = Problem(op, inputs=4, outputs=4, **options)
        actual = function(problem.x, problem.w, problem.bias, 2, 1, 3, 2)
    close(actual, problem.expected())


@pytest.mark.parametrize("name", ("conv2d", "conv_transpose2d"))
def test_a_value_for_each_axis(name):
    options = dict(stride=(2, 3), padding=(1, 0), dilation=[1, 2])
    close(run(Problem(name, **options)), Problem(name, **options).expected())
    uneven = dict(padding=((1, 2), (0, 3)), stride=(numpy.int64(1), 2))
    close(run(Problem(name, **uneven)), Problem(name, **uneven).expected())
    cropped = dict(padding=(-1, (2, -2)))
    close(run(Problem(name, **cropped)), Problem(name, **cropped).expected())
    close(run(Problem(name, stride=(2,))), Problem(name, stride=2).expected())


@pytest.mark.parametrize("rank", (1, 2, 3))
def test_padding_same_and_valid(rank):
    problem = Problem(f"conv{rank}d", kernel=(4, 3, 2)[:rank])
    function = getattr(tilefold, f"conv{rank}d")
    for dilation in (1, 2):
        spans = [dilation * (k - 1) for k in problem.w.shape[2:]]
        pairs = [(span // 2, span - span // 2) for span in spans]
        actual = function(problem.x, problem.w, padding="same", dilation=dilation)
        assert actual.shape[2:] == problem.x.shape[2:]
        close(actual, naive(problem.op, problem.x, problem.w, padding=pairs, dilation=dilation))
    close(function(problem.x, problem.w, padding="valid"), problem.expected(bias=False))


def test_without_a_batch(op):
    problem = Problem(op, batch=1)
    function = getattr(tilefold, op)
    actual = function(problem.x[0], problem.w, problem.bias)
    assert numpy.array_equal(actual, function(problem.x, problem.w, problem.bias)[0])


def test_an_empty_batch(op):
    problem = Problem(op)
    assert run(problem)[:0].shape == getattr(tilefold, op)(problem.x[:0], problem.w).shape


def test_channels_last(op):
    problem = Problem(op, groups=2)
    x = numpy.moveaxis(problem.x, 1, -1)
    if "transpose" in op:  # (C, O/G, k...) to (O, k..., C/G)
        c, o, *kernel = problem.w.shape
        grouped = problem.w.reshape(2, c // 2, o, *kernel)
        w = numpy.moveaxis(grouped, 1, -1).reshape(2 * o, *kernel, c // 2)
    else:
        w = numpy.moveaxis(problem.w, 1, -1)
    actual = getattr(tilefold, op)(x, w, problem.bias, groups=2, layout="channels_last")
    assert actual.flags.c_contiguous
    assert numpy.array_equal(numpy.moveaxis(actual, -1, 1), run(problem))


@pytest.mark.parametrize("dtype", ("float16", "bfloat16"))
def test_half_types(op, dtype):
    if dtype == "bfloat16":
        dtype = pytest.importorskip("ml_dtypes", reason="ml_dtypes is not installed").bfloat16
    problem = Problem(op, dtype=dtype, padding=1)
    for bias in (problem.bias, problem.bias.astype(numpy.float32), problem.bias[::1].repeat(2)[::2]):
        actual = getattr(tilefold, op)(problem.x, problem.w, bias, padding=1)
        assert actual.dtype == problem.x.dtype
        close(actual, problem.expected(), str(problem.x.dtype))


def test_the_bits_do_not_depend_on_how(op):
    problem = Problem(op, inputs=40, outputs=8, padding=1)
    first = run(problem)
    for options in ({"scratch": "6KiB"}, {"threads": 1}, {"algorithm": "unfold"}, {"algorithm": "implicit"}, {"prepack": False},
                    {"scratch": None}, {"scratch": 1 << 20, "threads": 3}):
        assert numpy.array_equal(run(problem, **options), first), options


def test_activations():
    problem = Problem("conv2d")
    plain = run(problem)
    assert numpy.array_equal(run(problem, activation="relu"), numpy.maximum(plain, 0))
    assert numpy.array_equal(run(problem, activation="relu6"), numpy.clip(plain, 0, 6))
    assert numpy.array_equal(run(problem, activation=(-1, 0.5)), numpy.clip(plain, -1, numpy.float32(0.5)))


def test_fast_math_says_what_runs():
    problem = Problem("conv2d", inputs=64, outputs=64, sizes=(24, 24), kernel=(3, 3))
    plan = tilefold.plan("conv2d", problem.x.shape, problem.w.shape, math="fast")
    assert plan.math == "fast"
    close(run(problem, math="fast"), problem.expected(), "float32")
    assert tilefold.plan("conv1d", (1, 1, 8), (1, 1, 2), math="fast").math == "exact"


def test_on_vulkan():
    if len(tilefold.devices()) < 2:
        pytest.skip("no Vulkan device, or a build without Vulkan")
    for name in OPS:
        problem = Problem(name, padding=1)
        close(run(problem, device="vulkan"), problem.expected())
        assert numpy.array_equal(run(problem, device="vulkan"), run(problem, device="vulkan:0"))


def test_devices():
    cpu, *others = tilefold.devices()
    assert cpu.name == "cpu" and cpu.threads >= 1 and cpu.isa in cpu.isas and "portable" in cpu.isas and cpu.same_bits_as_cpu
    assert [device.name for device in others] == [f"vulkan:{index}" for index in range(len(others))]
    for device in others:
        problem = Problem("conv2d", padding=1)
        if device.same_bits_as_cpu:
            assert numpy.array_equal(run(problem, device=device.name), run(problem))
