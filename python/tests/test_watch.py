# SPDX-License-Identifier: MIT
"""Long runs: progress, Ctrl-C, the interpreter's lock."""

import os
import signal
import subprocess
import sys
import threading
import time

import numpy
import pytest
import tilefold

X, W = numpy.ones((1, 8, 96, 96), "f4"), numpy.ones((8, 8, 3, 3), "f4")


def test_progress_is_told_in_this_thread():
    seen, threads = [], set()

    def progress(done, total):
        seen.append((done, total))
        threads.add(threading.get_ident())

    plan = tilefold.plan("conv2d", X.shape, W.shape, scratch="4KiB")
    result = tilefold.conv2d(X, W, scratch="4KiB", progress=progress)
    assert threads == {threading.get_ident()}
    assert seen[-1] == (plan.tiles, plan.tiles) and seen == sorted(seen)
    assert numpy.array_equal(result, tilefold.conv2d(X, W))
    seen.clear()
    plan(X, plan.pack(W), progress=progress)
    assert seen[-1] == (plan.tiles, plan.tiles)
    assert numpy.array_equal(plan(X, W), result)  # and is not called again


def test_what_progress_raises_stops_it():
    def progress(done, total):
        raise KeyError("enough")

    with pytest.raises(KeyError, match="enough"):
        tilefold.conv2d(X, W, progress=progress)


def test_errors_of_a_watched_run():
    x = numpy.zeros(X.nbytes + 1, "u1")[1:].view("f4").reshape(X.shape)
    with pytest.raises(ValueError, match="aligned"):
        tilefold.conv2d(x, W, progress=lambda done, total: None)


def test_a_bar(capsys):
    pytest.importorskip("tqdm", reason="tqdm is not installed")
    tilefold.conv2d(X, W, progress=True)
    assert "tilefold" in capsys.readouterr().err


def test_no_bar_without_tqdm(monkeypatch):
    monkeypatch.setitem(sys.modules, "tqdm", None)
    monkeypatch.setitem(sys.modules, "tqdm.auto", None)
    with pytest.raises(ImportError, match="pip install tqdm"):
        tilefold.conv2d(X, W, progress=True)


CTRL_C = """
import numpy, sys, tilefold
x = numpy.ones((1, 512, 512, 512), "f4")
w = numpy.ones((512, 512, 5, 5), "f4")
plan = tilefold.plan("conv2d", x.shape, w.shape, padding=2)
try:
    print("ready", flush=True)
    while True:
        {call}
except KeyboardInterrupt:
    print("interrupted", flush=True)
    small = numpy.ones((1, 1, 4), "f4")
    print(tilefold.conv1d(small, small[:, :, :2]).ravel().tolist())
    sys.exit(3)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="signals are sent in another way on Windows")
@pytest.mark.parametrize("call", ("plan(x, w)", "tilefold.conv2d(x, w, padding=2)",
                                  "tilefold.conv2d(x, w, padding=2, progress=lambda done, total: None)"))
def test_ctrl_c(call):
    """It would not end by itself; a Ctrl-C ends it at the next tile."""
    process = subprocess.Popen([sys.executable, "-c", CTRL_C.format(call=call)], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                               text=True)
    try:
        assert process.stdout.readline() == "ready\n"
        time.sleep(0.5)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=100)
    finally:
        process.kill()
    assert process.returncode == 3, err
    assert out == "interrupted\n[2.0, 2.0, 2.0]\n"


def test_the_lock_is_released():
    """Two threads meet within the time that one of them computes: without release the second could not begin."""
    begun, ended = threading.Event(), threading.Event()
    counted = 0

    def compute():
        begun.set()
        tilefold.conv2d(numpy.ones((1, 256, 128, 128), "f4"), numpy.ones((256, 256, 3, 3), "f4"), threads=1)
        ended.set()

    thread = threading.Thread(target=compute)
    thread.start()
    begun.wait()
    while not ended.is_set():
        counted += 1
        time.sleep(0.001)
    thread.join()
    assert counted > 3


@pytest.mark.parametrize("begins", (False, True))
def test_an_interrupt_while_the_thread_starts(monkeypatch, begins):
    """Neither waits for a thread that never runs, nor leaves one behind that does."""
    start, ends = threading.Thread.start, []

    def interrupted(thread):
        if begins:
            start(thread)
            ends.append(thread)
        raise KeyboardInterrupt

    monkeypatch.setattr(threading.Thread, "start", interrupted)
    with pytest.raises(KeyboardInterrupt):
        tilefold.conv2d(X, W, progress=lambda done, total: None)
    for thread in ends:
        thread.join(timeout=10)
        assert not thread.is_alive()
    monkeypatch.undo()
    assert tilefold.conv2d(X, W).shape == (1, 8, 94, 94)


def test_no_thread_to_be_had(monkeypatch):
    def refused(thread):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refused)
    with pytest.raises(RuntimeError, match="new thread"):
        tilefold.conv2d(X, W, progress=lambda done, total: None)


FORK = """
import numpy, os, tilefold
from tilefold._library import Memory, ffi
random = numpy.random.default_rng(0)
x, w = random.standard_normal((1, 16, 64, 64)).astype("f4"), random.standard_normal((16, 16, 3, 3)).astype("f4")
plan = tilefold.plan("conv2d", x.shape, w.shape, scratch="4MiB", algorithm="unfold", threads=2)
expected = plan(x, w)
memory = Memory(1 << 20)
byte = ffi.cast("char *", memory.address)
byte[0] = b"p"
child = os.fork()
if child == 0:
    byte[0] = b"c"
    os._exit(0 if numpy.array_equal(plan(2 * x, w), 2 * expected) else 1)
print(os.waitpid(child, 0)[1], byte[0], numpy.array_equal(plan(x, w), expected))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_a_forked_child_has_scratch_of_its_own():
    result = subprocess.run([sys.executable, "-W", "ignore", "-c", FORK], capture_output=True, text=True, timeout=100)
    assert result.stdout == "0 b'p' True\n", result.stderr
