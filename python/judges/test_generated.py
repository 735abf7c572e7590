# SPDX-License-Identifier: MIT
"""Problems that hypothesis generates, with all options at once, against PyTorch in float64 (the naive loop where it is not installed).

The same problems every time, unless HYPOTHESIS_PROFILE=search looks for new ones.
"""

import os
import zlib
from datetime import timedelta

import numpy
import pytest

pytest.importorskip("hypothesis", reason="hypothesis is not installed")

import tilefold  # noqa: E402
from hypothesis import HealthCheck, event, given, settings  # noqa: E402
from hypothesis import strategies as st  # noqa: E402
from judging import OPS, assert_judged, bound, judge  # noqa: E402

SCALE = float(os.environ.get("TILEFOLD_TEST_SCALE", "1"))
# The deadline is for what hangs: it is hundreds of times what an example takes.
_COMMON = {"deadline": timedelta(seconds=60), "database": None, "suppress_health_check": list(HealthCheck)}
settings.register_profile("repeated", max_examples=max(5, round(30 * SCALE)), derandomize=True, **_COMMON)
settings.register_profile("search", max_examples=5000, print_blob=True, **_COMMON)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "repeated"))

HALVES = {"float16": 2.0**-11, "bfloat16": 2.0**-8}  # half a unit in the last place


@st.composite
def problems(draw, op):
    """Shapes and geometry: the options that both we and the judge take."""
    rank, transposed = int(op[-2]), "transpose" in op
    axes = [draw(axis(transposed)) for _ in range(rank)]
    groups = draw(st.integers(1, 3))
    inputs, outputs = draw(st.integers(1, 5)), draw(st.integers(1, 9))
    sizes, kernel, stride, dilation, padding, extra = zip(*axes)
    options = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
    if transposed:
        options["output_padding"] = extra
    shape = (inputs * groups, outputs) if transposed else (outputs * groups, inputs)
    return (draw(st.integers(1, 2)), inputs * groups, *sizes), (*shape, *kernel), outputs * groups, options


@st.composite
def axis(draw, transposed):
    """Size, kernel, stride, dilation, (begin, end) of the padding, output_padding: with one output at least."""
    size, kernel = draw(st.integers(1, 9)), draw(st.integers(1, 4))
    stride, dilation = draw(st.integers(1, 4)), draw(st.integers(1, 3))
    span = dilation * (kernel - 1) + 1
    if transposed:
        extra = draw(st.integers(0, max(stride, dilation) - 1))
        dense = (size - 1) * stride + span + extra
        begin = draw(st.integers(0, min(dense - 1, span + 2)))
        return size, kernel, stride, dilation, (begin, draw(st.integers(0, min(dense - 1 - begin, span + 2)))), extra
    begin = draw(st.integers(-min(2, size - 1), 4))
    least = max(span - size - begin, -min(2, size - 1 + min(0, begin)))
    return size, kernel, stride, dilation, (begin, draw(st.integers(least, max(4, least)))), 0


def laid_out(draw, array):
    """The same elements in memory of another form: transposed, reversed, or between others."""
    order = draw(st.permutations(range(array.ndim)))
    steps = [draw(st.sampled_from((1, 1, -1, 2))) for _ in order]
    whole = numpy.zeros([array.shape[axis] * abs(step) for axis, step in zip(order, steps)], array.dtype)
    view = whole[tuple(slice(None, None, step) for step in steps)].transpose(numpy.argsort(order))
    view[...] = array
    return view


def channels_last(array):
    return numpy.moveaxis(array, 1, -1)


def weight_last(op, w, groups):
    """(O, kernel..., C/groups) for both operations."""
    if "transpose" in op:
        return numpy.concatenate([numpy.moveaxis(part, 0, -1) for part in numpy.split(w, groups)])
    return channels_last(w)


@st.composite
def calls(draw, op, problems=problems):
    """Shapes, the options of the problem, and those that change how it is computed."""
    x_shape, w_shape, outputs, options = draw(problems(op))
    how = {"scratch": draw(st.sampled_from(("least", "16MiB", None))), "threads": draw(st.sampled_from((1, 2, 3))),
           "algorithm": draw(st.sampled_from(("auto", "auto", "unfold", "implicit", "direct"))),
           "prepack": draw(st.booleans())}
    return (x_shape, w_shape, (outputs,) if draw(st.booleans()) else None), options, how


def arrays_of(shapes):
    """Input, weight, and bias or None."""
    random = numpy.random.default_rng(zlib.crc32(repr(shapes).encode()))
    return [None if shape is None else random.standard_normal(shape).astype("f4") for shape in shapes]


def run(op, x, w, bias, options, how):
    """A call; under the least limit there is, where that is asked for."""
    if how["scratch"] != "least":
        return getattr(tilefold, op)(x, w, bias, **options, **how)
    try:
        return getattr(tilefold, op)(x, w, bias, **options, **{**how, "scratch": 1})
    except tilefold.LimitTooSmall as failure:
        return getattr(tilefold, op)(x, w, bias, **options, **{**how, "scratch": failure.bytes_needed})


def same_bits(one, other):
    return one.shape == other.shape and one.dtype == other.dtype and one.tobytes() == other.tobytes()


@pytest.mark.parametrize("op", OPS)
@given(st.data())
def test_float32(op, data):
    """The judge's result; and the same bits by any way, layout, strides, without a batch, and in an array given."""
    shapes, options, how = data.draw(calls(op))
    draw = data.draw
    event(f"{how['algorithm']}, scratch {how['scratch']}")
    x, w, bias = arrays_of(shapes)
    plain = getattr(tilefold, op)(x, w, bias, **options)
    assert_judged(plain, op, x, w, bias, **options)

    try:
        assert same_bits(run(op, laid_out(draw, x), laid_out(draw, w), bias, options, how), plain)
    except RuntimeError as failure:  # an algorithm that the problem does not allow
        assert how["algorithm"] not in ("auto", "unfold"), failure
    last = getattr(tilefold, op)(channels_last(x), weight_last(op, w, options["groups"]), bias, **options, layout="channels_last")
    assert same_bits(numpy.moveaxis(last, -1, 1), numpy.ascontiguousarray(plain)) or same_bits(channels_last(plain).copy(), last)
    assert same_bits(getattr(tilefold, op)(x[0], w, bias, **options), plain[0])
    out = laid_out(draw, numpy.full_like(plain, numpy.nan))
    assert getattr(tilefold, op)(x, w, bias, **options, out=out) is out
    assert same_bits(out, plain)
    low, high = sorted((draw(st.floats(-3, 3, width=32)), draw(st.floats(-3, 3, width=32))))
    clamped = getattr(tilefold, op)(x, w, bias, **options, activation=(low, high))
    assert numpy.array_equal(clamped, numpy.clip(plain, numpy.float32(low), numpy.float32(high)))


@pytest.mark.parametrize("op", OPS)
@given(st.data())
def test_half_types(op, data):
    dtype = data.draw(st.sampled_from(sorted(HALVES)))
    if dtype == "bfloat16":
        dtype = pytest.importorskip("ml_dtypes", reason="ml_dtypes is not installed").bfloat16
    shapes, options, how = data.draw(calls(op))
    x, w, bias = (None if one is None else one.astype(dtype) for one in arrays_of(shapes))
    how = {**how, "algorithm": "auto"}
    actual = run(op, x, w, bias, options, how)
    assert actual.dtype == x.dtype
    expected = judge(op, x, w, bias, **options)
    allowed = bound(op, x, w, bias, options) + HALVES[str(x.dtype)] * numpy.abs(expected) * 1.001 + 2.0**-25
    assert (numpy.abs(actual.astype(numpy.float64) - expected) <= allowed).all()


@st.composite
def dense_problems(draw, op):
    """Kernels of 3 taps, many channels and some outputs, which is what Winograd's algorithm is for: in two and three dimensions."""
    rank = int(op[-2])
    sizes = [draw(st.sampled_from((7, 8) if rank == 3 else (16, 21, 24))) for _ in range(rank)]
    inputs, outputs = (draw(st.sampled_from((64, 32, 48, 50))) for _ in range(2))
    options = {"padding": tuple((draw(st.sampled_from((1, 0, 2))), draw(st.sampled_from((1, 0, 2)))) for _ in range(rank))}
    shape = (inputs, outputs) if "transpose" in op else (outputs, inputs)
    return (1, inputs, *sizes), (*shape, *[3] * rank), outputs, options


@pytest.mark.parametrize("op", [op for op in OPS if not op.endswith("1d")])
def test_fast_math(op):
    """Within the bound that the plan tells, whichever arithmetic it chose; the same bits under any limit."""
    chosen = set()

    @given(calls(op, dense_problems))
    def check(call):
        shapes, options, how = call
        x, w, bias = arrays_of(shapes)
        plan = tilefold.plan(op, x.shape, w.shape, **options, math="fast")
        chosen.add(plan.math)
        actual = getattr(tilefold, op)(x, w, bias, **options, math="fast")
        expected = judge(op, x, w, bias, **options)
        weights = numpy.abs(weight_last(op, w, 1)).sum(axis=tuple(range(1, x.ndim)), dtype=float)
        magnitudes = numpy.abs(x).max() * weights + (0 if bias is None else numpy.abs(bias))
        assert actual.shape == expected.shape
        assert (numpy.abs(actual - expected) <= plan.error_bound * magnitudes.reshape(-1, *[1] * (x.ndim - 2)) + 1e-30).all()
        assert same_bits(run(op, x, w, bias, options, {**how, "algorithm": "auto", "math": "fast"}), actual)

    check()
    assert "fast" in chosen
