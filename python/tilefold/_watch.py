# SPDX-License-Identifier: MIT
"""A long execution: Ctrl-C stops it, progress is told of it. docs/python.md has a picture."""

from __future__ import annotations

import threading
from typing import Any, Callable, List, Optional, Tuple, Union

from ._library import ffi, lib

Progress = Union[None, bool, Callable[[int, int], Any]]

PROGRESS = ffi.addressof(lib, "tilefold_python_progress")

_POLL_SECONDS = 0.05


class Bar:
    """progress=True: tqdm's bar."""

    def __init__(self) -> None:
        try:
            from tqdm.auto import tqdm
        except ImportError:
            raise ImportError("progress=True draws its bar with tqdm, which is not installed (pip install tqdm); "
                              "or give a function of (done, total)") from None
        self._bar = tqdm(unit="tile", desc="tilefold", leave=False)

    def __call__(self, done: int, total: int) -> None:
        self._bar.total = total
        self._bar.update(done - self._bar.n)

    def close(self) -> None:
        self._bar.close()


def reporter(progress: Progress) -> Optional[Callable[[int, int], Any]]:
    if progress is None or progress is False:
        return None
    if progress is True:
        return Bar()
    if not callable(progress):
        raise TypeError(f"progress is {progress!r}, not a function of (done, total), True or None")
    return progress


def run(execute: Callable[[], Any], execution: Any, report: Optional[Callable[[int, int], Any]]) -> Any:
    """execute() in a thread of its own, with the execution watched meanwhile. Whatever is raised here, a Ctrl-C or an exception of
    report, stops it, and leaves this function when nothing runs any more."""
    watch = ffi.new("tilefold_python_watch *")
    execution.progress, execution.progress_user = PROGRESS, watch
    outcome: List[Tuple[Any, Optional[BaseException]]] = []
    ended, claim = threading.Lock(), threading.Lock()
    ended.acquire()

    def work() -> None:
        if not claim.acquire(blocking=False):
            return  # interrupted before it began
        try:
            outcome.append((execute(), None))
        except BaseException as failure:  # noqa: BLE001 - raised again below
            outcome.append((None, failure))
        finally:
            ended.release()

    try:
        threading.Thread(target=work, name="tilefold", daemon=True).start()
        _wait(ended, watch, report)
    except BaseException:
        watch.cancel = 1
        if not claim.acquire(blocking=False):
            _wait_in_any_case(ended, outcome)
        raise
    finally:
        execution.progress = execution.progress_user = ffi.NULL
        if isinstance(report, Bar):
            report.close()
    result, failure = outcome[0]
    if failure is not None:
        raise failure
    return result


def _wait(ended: Any, watch: Any, report: Optional[Callable[[int, int], Any]]) -> None:
    """Until it ends. report is told of what changed, at most every _POLL_SECONDS, and of the end."""
    told = 0
    while not ended.acquire(timeout=_POLL_SECONDS):
        if report is not None and watch.done > told:
            told = watch.done
            report(told, watch.total)
    if report is not None and watch.total and watch.done == watch.total > told:
        report(watch.done, watch.total)


def _wait_in_any_case(ended: Any, outcome: Any) -> None:
    """A second Ctrl-C does not free what the library still writes to."""
    while not outcome:
        try:
            ended.acquire(timeout=_POLL_SECONDS)
        except KeyboardInterrupt:
            continue
