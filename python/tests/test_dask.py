# SPDX-License-Identifier: MIT
"""tilefold.dask: the bits of one machine, from whatever chunks, and of the input no more than is needed."""

import contextlib
import io
import pathlib
import re
import subprocess
import sys
import textwrap

import numpy
import pytest
import tilefold
from conftest import OPS, ROOT, Problem

da = pytest.importorskip("dask.array", reason="Dask is not installed")
import dask  # noqa: E402
import tilefold.dask  # noqa: E402

VARIANTS = {
    "plain": {},
    "strided": {"stride": 2, "padding": 1},
    "stride over kernel": {"stride": 4},
    "dilated": {"dilation": 3, "padding": 2},
    "grouped": {"groups": 2, "stride": (3, 2, 1), "padding": 1},
    "one side": {"padding": ((3, 0), (0, 2), (1, 4))},
    "cropped": {"padding": ((-1, 2), (2, -1), (-1, -1)), "stride": 2},
    "all": {"stride": (2, 3, 2), "dilation": (2, 1, 3), "padding": ((4, 1), (1, 0), (5, 2)), "groups": 2},
    "output padding": {"stride": 3, "dilation": 2, "padding": 1, "output_padding": (1, 2, 0)},
}

#: Of an axis of so many elements.
CHUNKINGS = {
    "whole": lambda size: (size,),
    "uneven": lambda size: (1, size - 1 - size // 3, size // 3),
    "small": lambda size: (2,) * (size // 2) + (1,) * (size % 2),
    "empty ones": lambda size: (0, size // 2, 0, size - size // 2),
}

SIZES = {1: (23,), 2: (11, 9), 3: (6, 5, 7)}


def problem_of(op, variant="plain", **more):
    rank = int(op[-2])
    options = {name: value[:rank] if isinstance(value, tuple) else value for name, value in VARIANTS[variant].items()
               if name != "output_padding" or "transpose" in op}
    return Problem(op, batch=3, sizes=SIZES[rank], **options, **more)


def convolve(x, problem, **options):
    return getattr(tilefold.dask, problem.op)(x, problem.w, problem.bias, **problem.options, **options)


def on_one_machine(problem, **options):
    return getattr(tilefold, problem.op)(problem.x, problem.w, problem.bias, **problem.options, **options)


@pytest.mark.parametrize("chunking", CHUNKINGS)
@pytest.mark.parametrize("variant", VARIANTS)
def test_the_bits_of_one_machine(op, variant, chunking):
    problem = problem_of(op, variant)
    y = convolve(da.from_array(problem.x, chunks=tuple(map(CHUNKINGS[chunking], problem.x.shape))), problem, scratch="16KiB")
    expected = on_one_machine(problem)
    assert y.shape == expected.shape and y.dtype == expected.dtype == y._meta.dtype and isinstance(y._meta, numpy.ndarray)
    assert tuple(map(sum, y.chunks)) == y.shape
    got = y.compute(scheduler="sync")
    assert got.dtype == expected.dtype and numpy.array_equal(got, expected)


@pytest.mark.parametrize("dtype", ("float16", "bfloat16"))
def test_half_types(dtype):
    if dtype == "bfloat16":
        dtype = pytest.importorskip("ml_dtypes", reason="ml_dtypes is not installed").bfloat16
    problem = problem_of("conv2d", "all", dtype=dtype)
    y = convolve(da.from_array(problem.x, chunks=(1, 1, 3, 4)), problem)
    assert y.dtype == problem.x.dtype
    assert numpy.array_equal(y.compute().astype("f4"), on_one_machine(problem).astype("f4"))


def test_channels_last(op):
    problem = problem_of(op)
    rank = int(op[-2])
    x, w = numpy.moveaxis(problem.x, 1, -1), numpy.moveaxis(problem.w, 0 if "transpose" in op else 1, -1)
    function, options = getattr(tilefold.dask, op), {"padding": 1, "layout": "channels_last"}
    y = function(da.from_array(x, chunks=(2, *(4, 5, 2)[:rank], 3)), w, problem.bias, **options)
    assert numpy.array_equal(y.compute(), getattr(tilefold, op)(x, w, problem.bias, **options))
    assert y.chunks[-1] == (6,)


def test_without_a_batch_and_of_none(op):
    problem = problem_of(op)
    y = convolve(da.from_array(problem.x[0], chunks=3), problem)
    assert numpy.array_equal(y.compute(), on_one_machine(problem)[0])
    none = convolve(da.from_array(problem.x[:0], chunks=3), problem)
    assert none.compute().shape == none.shape == (0, *y.shape)


def test_weights_and_biases_of_dask(op):
    problem = problem_of(op, "grouped")
    x, w, b = (da.from_array(array, chunks=2) for array in (problem.x, problem.w, problem.bias))
    function = getattr(tilefold.dask, op)
    expected = on_one_machine(problem)
    assert numpy.array_equal(function(x, w, b, **problem.options).compute(), expected)
    assert numpy.array_equal(function(x, 2 * w, **problem.options).compute(),
                             getattr(tilefold, op)(problem.x, 2 * problem.w, **problem.options))


def misaligned(array):
    """As chunks can lie that come from another process, somewhere in a message."""

    def move(block):
        moved = numpy.frombuffer(b"?" + block.tobytes(), block.dtype, offset=1).reshape(block.shape)
        assert not moved.flags.aligned
        return moved

    return da.from_array(array, chunks=array.shape).map_blocks(move, dtype=array.dtype, meta=array[:0])


def test_arrays_that_lie_anywhere():
    problem = problem_of("conv2d")
    x, w, b = map(misaligned, (problem.x, problem.w, problem.bias))
    assert numpy.array_equal(tilefold.dask.conv2d(x, w, b).compute(scheduler="sync"), on_one_machine(problem))


def test_options_reach_the_plan():
    problem = problem_of("conv2d")
    x = da.from_array(problem.x, chunks=4)
    assert numpy.array_equal(convolve(x, problem, activation="relu").compute(), on_one_machine(problem, activation="relu"))
    assert numpy.array_equal(convolve(x, problem, algorithm="unfold", prepack=False, threads=2).compute(), on_one_machine(problem))
    assert numpy.array_equal(tilefold.dask.conv2d(x, problem.w, padding=[[1, 0], (0, 1)]).compute(),
                             tilefold.conv2d(problem.x, problem.w, padding=((1, 0), (0, 1))))
    same = tilefold.dask.conv2d(x, problem.w, problem.bias, padding="same", dilation=[2, 1])
    assert numpy.array_equal(same.compute(), tilefold.conv2d(problem.x, problem.w, problem.bias, padding="same", dilation=(2, 1)))


def test_windows_of_nothing():
    """Outputs that are made of padding alone."""
    x = numpy.ones((1, 1, 6), "f4")
    for padding in (40, (30, 0), (-2, 50)):
        padding = (padding,)
        y = tilefold.dask.conv1d(da.from_array(x, chunks=2), x[..., :3], numpy.ones(1, "f4"), padding=padding)
        y = y.rechunk(5)
        assert numpy.array_equal(y.compute(), tilefold.conv1d(x, x[..., :3], numpy.ones(1, "f4"), padding=padding))
    y = tilefold.dask.conv_transpose1d(da.from_array(x, chunks=1), x[..., :2], stride=9, padding=((-40, -30),))
    assert numpy.array_equal(y.compute(), tilefold.conv_transpose1d(x, x[..., :2], stride=9, padding=((-40, -30),)))


# ------------------------------------------------------------------------------------------------- lazily, and no more


def recorded(shape, chunks, seen):
    """An array of zeros whose chunks say when they are computed."""

    def make(block_info=None):
        seen.append(block_info[None]["chunk-location"])
        return numpy.zeros(block_info[None]["chunk-shape"], "f4")

    return da.map_blocks(make, chunks=da.core.normalize_chunks(chunks, shape), dtype="f4", meta=numpy.empty((0,) * len(shape), "f4"))


def test_nothing_is_computed_before_it_is_asked_for():
    seen = []
    x = recorded((2, 2, 40, 40), (1, 1, 10, 10), seen)
    y = tilefold.dask.conv2d(x, numpy.ones((3, 2, 3, 3), "f4"), padding=1)
    tilefold.dask.conv_transpose2d(y, da.ones((3, 2, 3, 3), dtype="f4"), stride=2).sum()
    assert not seen
    y[0, :, :9, :9].compute(scheduler="sync")  # the first chunk of an image: its halo is of one element
    assert sorted(seen) == [(0, c, row, column) for c in range(2) for row in range(2) for column in range(2)]
    seen.clear()
    patches = tilefold.dask.conv2d(x, numpy.ones((3, 2, 10, 10), "f4"), stride=10)
    patches[1, :, 2, 3].compute(scheduler="sync")  # no halo
    assert sorted(seen) == [(1, 0, 2, 3), (1, 1, 2, 3)]


def test_what_travels_is_the_window():
    """Between workers, parts of chunks, each a task of its own, and never more than the window."""
    x = da.zeros((1, 4, 60, 60), chunks=(1, 2, 20, 20), dtype="f4")
    y = tilefold.dask.conv2d(x, numpy.ones((4, 4, 3, 3), "f4"), padding=1)
    graph = y.__dask_graph__().layers[y.name]
    (middle,) = [task for key, task in graph.items() if key == (y.name, 0, 0, 1, 1)]
    function, parts, *_ = middle
    assert function.args[0].input_shape == (1, 4, 22, 22) and len(parts) == 2 * 9
    whole = [key for key in parts if key[0] == x.name]
    assert sorted(whole) == [(x.name, 0, 0, 1, 1), (x.name, 0, 1, 1, 1)]
    for key in set(parts) - set(whole):
        cut, source = graph[key]
        assert source[0] == x.name and min(part.stop - part.start for part in cut.keywords["slices"][2:]) == 1


def test_names_tell_what_is_computed():
    x, w = da.ones((1, 1, 9), chunks=3, dtype="f4"), numpy.ones((1, 1, 3), "f4")
    name = tilefold.dask.conv1d(x, w).name
    assert tilefold.dask.conv1d(x, w).name == name
    for other in (tilefold.dask.conv1d(x, 2 * w), tilefold.dask.conv1d(x, w, padding=1), tilefold.dask.conv1d(x, w, w[0, 0, :1]),
                  tilefold.dask.conv1d(x + 1, w), tilefold.dask.conv_transpose1d(x, w)):
        assert other.name != name


def test_a_weight_is_taken_as_it_is():
    x, w = da.ones((1, 1, 9), chunks=3, dtype="f4"), numpy.ones((1, 1, 3), "f4")
    y = tilefold.dask.conv1d(x, w)
    w *= 2
    assert (y.compute() == 3).all() and (tilefold.dask.conv1d(x, w).compute() == 6).all()


def test_a_weight_is_packed_once(monkeypatch):
    packed, pack = [], tilefold.Plan.pack
    monkeypatch.setattr(tilefold.Plan, "pack", lambda plan, weight: (packed.append(1), pack(plan, weight))[1])
    y = tilefold.dask.conv2d(da.ones((2, 1, 40, 40), chunks=(1, 1, 8, 8), dtype="f4"), numpy.ones((1, 1, 3, 3), "f4"))
    assert y.npartitions == 50
    y.compute(scheduler="sync")
    assert len(packed) == 1


# -------------------------------------------------------------------------------------------------------------- chunks


def test_chunks_follow_the_inputs():
    x = da.zeros((4, 6, 100, 90), chunks=((3, 1), 2, (60, 40), 30), dtype="f4")
    y = tilefold.dask.conv2d(x, numpy.ones((8, 6, 3, 3), "f4"), padding=1)
    assert y.chunks == ((3, 1), (8,), (60, 40), (30, 30, 30))
    patches = tilefold.dask.conv2d(x, numpy.ones((8, 6, 10, 10), "f4"), stride=10)
    assert patches.chunks == ((3, 1), (8,), (6, 4), (3, 3, 3))
    up = tilefold.dask.conv_transpose2d(x, numpy.ones((6, 8, 2, 2), "f4"), stride=2)
    assert up.chunks == ((3, 1), (8,), (120, 80), (60, 60, 60))
    few = tilefold.dask.conv2d(x, numpy.ones((8, 6, 3, 3), "f4"), stride=64)
    assert all(size > 0 for lengths in few.chunks for size in lengths)


def test_chunks_are_no_surprise():
    """Not larger than twice the input's, though there are more channels, or all of them are gathered."""
    x = da.zeros((8, 1, 4096, 4096), chunks=(4, 1, 1024, 1024), dtype="f4")  # 16 MiB each
    for y in (tilefold.dask.conv2d(x, numpy.ones((64, 1, 3, 3), "f4"), padding=1),
              tilefold.dask.conv_transpose2d(x, numpy.ones((1, 16, 4, 4), "f4"), stride=4)):
        largest = 4 * numpy.prod([max(lengths) for lengths in y.chunks], dtype=object)
        assert 8 << 20 <= largest <= 32 << 20
    many = da.zeros((1, 4096, 256, 256), chunks=(1, 64, 256, 256), dtype="f4")
    y = tilefold.dask.conv2d(many, numpy.ones((1, 4096, 3, 3), "f4"))
    windows = [task[0].args[0].input_shape for key, task in y.__dask_graph__().layers[y.name].items() if key[0] == y.name]
    assert max(4 * numpy.prod(shape) for shape in windows) <= 36 << 20  # and the halo


def test_errors():
    x, w = da.ones((1, 2, 9, 9), chunks=3, dtype="f4"), numpy.ones((4, 2, 3, 3), "f4")
    for arguments, error, match in (
            ((x.compute(), w), TypeError, "from_array"), ((x, w.tolist()), TypeError, "weight"),
            ((x, w, [1.0] * 4), TypeError, "bias"),
            ((x.astype(">f4"), w.astype(">f4")), TypeError, "byte order"),
            ((x.map_blocks(numpy.ma.masked_invalid, meta=numpy.ma.empty((0,) * 4, "f4")), w), TypeError, "MaskedArray"),
            ((x, w.astype("f8")), TypeError, "float64"), ((x.astype("f8"), w.astype("f8")), TypeError, "float64"),
            ((x, w[:, :1]), ValueError, "channels"), ((x, w, w[:2, 0, 0, 0]), ValueError, "bias"), ((x[..., :2], w), ValueError, "output"),
            ((x[0, 0], w), ValueError, "axes"), ((x, w, None, 1, "full"), ValueError, "padding"),
            ((x, w, None, 0), ValueError, "stride"),
            ((x[:, :, x[0, 0, 0] > 0], w), ValueError, "unknown")):
        with pytest.raises(error, match=match):
            tilefold.dask.conv2d(*arguments)
    with pytest.raises(tilefold.LimitTooSmall):
        tilefold.dask.conv2d(x, w, scratch=100)


# ------------------------------------------------------------------------------------------------------------- a cluster


def test_on_a_cluster_with_less_memory_than_the_array(tmp_path):
    """Two worker processes of 320 MiB each, an input and a result of 640 MiB each, by the example that a user runs."""
    pytest.importorskip("distributed", reason="distributed is not installed")
    example = ROOT / "examples" / "dask_cluster.py"
    if not example.exists():
        pytest.skip("no source tree")
    done = subprocess.run([sys.executable, str(example), "--array", "640MiB", "--memory", "320MiB"], capture_output=True, text=True,
                          timeout=300, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 workers of 320.00 MiB" in done.stdout and "an input of 640." in done.stdout
    assert done.stdout.count("the same bits") == 2 and "restart" not in done.stderr.lower()


def test_the_readmes_example():
    if not (ROOT / "README.md").exists():
        pytest.skip("no source tree")
    block = re.search(r"\n((?:    .*\n)*    import [^\n]*tilefold\.dask\n(?:    .*\n)*)", (ROOT / "README.md").read_text())[1]
    names = {"weight": numpy.ones((8, 3, 3, 3), "f4"), "volume": da.ones((1, 3, 20, 20), chunks=7, dtype="f4")}
    with contextlib.redirect_stdout(io.StringIO()):
        exec(textwrap.dedent(block), names)
    assert names["y"].shape[1] == 8


def test_everything_public_is_documented():
    assert set(tilefold.dask.__all__) == set(OPS)
    assert all(">>>" in getattr(tilefold.dask, name).__doc__ for name in OPS)
    assert pathlib.Path(tilefold.dask.__file__).exists() and dask.__version__
