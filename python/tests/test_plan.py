# SPDX-License-Identifier: MIT
"""Plans: their figures, their limits, calling them, and what they are as objects."""

import concurrent.futures
import copy
import pickle
import re
import xml.etree.ElementTree

import numpy
import pytest
import tilefold
from conftest import OPS, Problem
from tilefold import _picture
from tilefold._native import Strides

FIGURES = ("scratch_bytes", "plan_bytes", "min_scratch_bytes", "ideal_scratch_bytes", "full_unfold_bytes", "packed_weight_bytes",
           "tiles", "phases", "macs")


def plan_of(problem, **options):
    return tilefold.plan(problem.op, problem.x.shape, problem.w.shape, problem.x.dtype, **problem.options, **options)


def test_figures():
    plan = tilefold.plan("conv2d", (1, 64, 256, 256), (64, 64, 3, 3), padding=1, scratch="64KiB", threads=1)
    assert plan.full_unfold_bytes == 256 * 256 * 9 * 64 * 4
    assert 0.9 < plan.macs / (256 * 256 * 64 * 64 * 9) < 1  # products with padding are not counted
    assert plan.output_shape == (1, 64, 256, 256) and plan.dtype == "float32" and plan.device == "cpu"
    assert plan.scratch_limit_bytes == 65536 and plan.scratch_bytes + plan.plan_bytes <= 65536
    assert plan.min_scratch_bytes <= 65536 < plan.ideal_scratch_bytes
    assert plan.threads == 1 and plan.phases == 1 and plan.algorithm in ("unfold", "implicit", "direct")
    assert plan.isa in tilefold.devices()[0].isas and plan.math == "exact" and 0 < plan.error_bound < 1e-3
    assert tilefold.plan("conv_transpose1d", (1, 1, 8), (1, 1, 5), stride=4).phases == 4
    assert tilefold.plan("conv1d", (1, 1, 8), (1, 1, 5), scratch=None).scratch_limit_bytes is None


def test_the_text_is_the_librarys(op):
    plan = plan_of(Problem(op))
    assert f"scratch      {plan.scratch_bytes} bytes" in str(plan) and f"{plan.tiles} tiles" in str(plan)
    assert str(plan).startswith("conv-transpose " if "transpose" in op else "conv ")
    assert op in repr(plan) and "\n" not in repr(plan)


def test_the_least_limit_is_exact(op):
    problem = Problem(op, inputs=48, outputs=32)
    least = plan_of(problem).min_scratch_bytes
    plan = plan_of(problem, scratch=least)
    assert plan.min_scratch_bytes == least and plan.scratch_bytes + plan.plan_bytes <= least
    function = getattr(tilefold, op)
    assert numpy.array_equal(function(problem.x, problem.w, scratch=least), function(problem.x, problem.w))
    for too_small in (least - 1, 0):
        for attempt in (lambda: plan_of(problem, scratch=too_small), lambda: function(problem.x, problem.w, scratch=too_small)):
            with pytest.raises(tilefold.LimitTooSmall, match=str(least)) as raised:
                attempt()
            assert raised.value.bytes_needed == least and isinstance(raised.value, MemoryError)


def test_a_bias_changes_no_figure(op):
    """A plan is made before it is known whether calls bring a bias."""
    problem = Problem(op, inputs=48, outputs=32)
    plan = plan_of(problem)
    plans = [plan._native(bias, Strides()) for bias in (False, True)]
    assert [getattr(plans[0].info, name) for name in FIGURES] == [getattr(plans[1].info, name) for name in FIGURES]


def test_calling_it(op):
    problem = Problem(op, groups=2, padding=1)
    expected = getattr(tilefold, op)(problem.x, problem.w, problem.bias, **problem.options)
    without = getattr(tilefold, op)(problem.x, problem.w, **problem.options)
    for prepack in (True, False):
        plan = plan_of(problem, prepack=prepack)
        assert (plan.packed_weight_bytes > 0) == prepack
        packed = plan.pack(problem.w)
        assert packed.nbytes >= plan.packed_weight_bytes
        for weight in (problem.w, packed):
            assert numpy.array_equal(plan(problem.x, weight, problem.bias), expected)
            assert numpy.array_equal(plan(problem.x, weight), without)
            out = numpy.zeros_like(expected)
            assert plan(problem.x, weight, problem.bias, out=out) is out and numpy.array_equal(out, expected)


def test_packed_weights_stay_what_they_were():
    problem = Problem("conv2d")
    plan = plan_of(problem)
    packed, expected = plan.pack(problem.w), plan(problem.x, problem.w)
    problem.w[:] = 0
    assert numpy.array_equal(plan(problem.x, packed), expected)
    assert (plan(problem.x, problem.w) == 0).all()
    assert numpy.array_equal(plan_of(problem)(problem.x, packed), expected)
    with pytest.raises(ValueError, match="another plan"):
        plan_of(problem, scratch="1MiB")(problem.x, packed)


def test_what_a_plan_refuses():
    problem = Problem("conv2d")
    plan = plan_of(problem)
    for x, w, b in ((problem.x[:1], problem.w, None), (problem.x, problem.w[:2], None), (problem.x, problem.w, problem.bias[:2]),
                    (problem.x[0], problem.w, None)):
        with pytest.raises(ValueError, match="shape"):
            plan(x, w, b)
    with pytest.raises(ValueError, match="out is of shape"):
        plan(problem.x, problem.w, out=numpy.zeros((2, 2), "f4"))
    with pytest.raises(ValueError, match="out is of shape"):
        plan(problem.x, plan.pack(problem.w), out=numpy.zeros((2, 2), "f4"))
    with pytest.raises(TypeError, match="float16"):
        plan(problem.x.astype("f2"), problem.w)
    with pytest.raises(TypeError, match="dtype"):
        tilefold.plan("conv2d", problem.x.shape, problem.w.shape, "float64")


def test_names_of_types():
    shapes = (1, 1, 8), (1, 1, 3)
    for dtype in ("float16", numpy.float16, numpy.dtype("f2")):
        assert tilefold.plan("conv1d", *shapes, dtype).dtype == "float16"
    ml_dtypes = pytest.importorskip("ml_dtypes", reason="ml_dtypes is not installed")
    for dtype in ("bfloat16", ml_dtypes.bfloat16, numpy.dtype(ml_dtypes.bfloat16)):
        assert tilefold.plan("conv1d", *shapes, dtype).dtype == "bfloat16"


def test_as_an_object(op):
    problem = Problem(op)
    plan = plan_of(problem, stride=1, scratch="64KiB")
    same = plan_of(problem, stride=(1,) * int(op[-2]), scratch=65536)
    assert plan == same and hash(plan) == hash(same) and plan != plan_of(problem, scratch=65537) and plan != "a plan"
    for other in (pickle.loads(pickle.dumps(plan)), copy.copy(plan), copy.deepcopy(plan)):
        assert other == plan and str(other) == str(plan)
        assert numpy.array_equal(other(problem.x, problem.w), plan(problem.x, problem.w))
    for name in ("tiles", "anything", "_description"):
        with pytest.raises(AttributeError):
            setattr(plan, name, 1)


def test_many_threads_on_one_plan():
    problem = Problem("conv2d", batch=4, inputs=16, outputs=16, sizes=(33, 31), padding=1)
    plan = plan_of(problem, scratch="16KiB", threads=2)
    packed = plan.pack(problem.w)
    inputs = [problem.x * (i + 1) for i in range(8)]
    expected = [plan(x, problem.w) for x in inputs]
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        for weight in (problem.w, packed):
            for _ in range(10):
                for actual, wanted in zip(pool.map(lambda x: plan(x, weight), inputs), expected):
                    assert numpy.array_equal(actual, wanted)


@pytest.mark.parametrize("scratch", ("4KiB", "64KiB", "16MiB", None))
def test_the_picture(op, scratch):
    plan = plan_of(Problem(op, inputs=16, outputs=16), stride=2, scratch=scratch)
    html = plan._repr_html_()
    root = xml.etree.ElementTree.fromstring(html)  # well-formed
    texts = [node.text for node in root.iter() if node.tag.endswith("text")]
    assert texts[0] == "full unfold" and ("limit" in texts) == (scratch is not None)
    assert root.find("pre").text == str(plan)
    assert "tiles" in texts, "the words of the plan's text have changed: see _picture.run_length()"


def test_the_runs_of_the_picture_fill_the_output_once():
    for rows, columns, each in ((5, 7, 3), (5, 7, 7), (5, 7, 10), (1, 9, 2), (4, 4, 16), (3, 5, 14)):
        seen = numpy.zeros((rows, columns), int)
        for begin in range(0, rows * columns, each):
            for x, y, width, height in _picture._rectangles(begin, min(begin + each, rows * columns), columns):
                seen[y:y + height, x:x + width] += 1
        assert (seen == 1).all()


def test_all_names_are_there():
    for name in OPS:
        assert tilefold.plan(name, (4, *(8,) * int(name[-2])), (4, 4, *(3,) * int(name[-2]))).op == name
    assert re.fullmatch(r"\d+\.\d+\.\d+", tilefold.__version__)


def test_windows(op):
    """In pieces of every place, from nothing but what each needs, with the bits of the whole."""
    problem = Problem(op, stride=2, padding=2, dilation=2)
    plan = plan_of(problem)
    packed, rank = plan.pack(problem.w), int(op[-2])
    whole = plan(problem.x, packed, problem.bias)
    spatial = whole.shape[2:]
    for begin in ((0,) * rank, (1,) * rank, tuple(size - 1 for size in spatial)):
        for size in ((1,) * rank, tuple(size - first for size, first in zip(spatial, begin))):
            first, count = plan.input_window(begin, size)
            part = problem.x[(slice(None), slice(None), *(slice(f, f + c) for f, c in zip(first, count)))]
            place = (slice(None), slice(None), *(slice(b, b + s) for b, s in zip(begin, size)))
            for given in (part, part.copy()):
                assert numpy.array_equal(plan.window(given, packed, problem.bias, begin=begin, size=size), whole[place])
            out = numpy.zeros_like(whole)
            plan.window(part, packed, problem.bias, begin=begin, size=size, out=out[place])
            assert numpy.array_equal(out[place], whole[place])
    with pytest.raises(ValueError, match="part is of shape"):
        plan.window(problem.x[:, :, :0], packed, begin=(0,) * rank, size=(1,) * rank)
    with pytest.raises(ValueError):
        plan.input_window((0,) * rank, tuple(size + 1 for size in spatial))
    with pytest.raises(ValueError, match="one for each spatial axis"):
        plan.input_window((0,) * (rank + 1), (1,) * (rank + 1))
