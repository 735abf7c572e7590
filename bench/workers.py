# SPDX-License-Identifier: MIT
"""The processes of worker.py, as compare.py and memory.py see them."""
import json
import os
import pathlib
import select
import signal
import subprocess
import sys
import time


class Absent(Exception):
    """The library is not installed."""


class Failed(Exception):
    """The library has no answer to a problem, crashed on it, or takes too long."""


class Worker:
    """call() asks; where the process dies or stays silent, the next call starts another."""

    def __init__(self, peer, settings, cores, timeout=120):
        self.peer, self.timeout = peer, timeout
        self.command = [sys.executable, pathlib.Path(__file__).with_name("worker.py"), peer, json.dumps(settings),
                        json.dumps(cores)]
        self.process = None
        self.start()

    def start(self):
        self.process = subprocess.Popen(self.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0)
        described = self.read()
        if "absent" in described:
            raise Absent(described["absent"])
        self.name, self.layouts = described["name"], described["layouts"]

    def call(self, do, **arguments):
        if self.process is None:
            self.start()
        try:
            self.process.stdin.write(json.dumps({"do": do, **arguments}).encode() + b"\n")
        except BrokenPipeError:
            pass  # read() says what became of it
        answer = self.read()
        if "error" in answer and isinstance(answer["error"], str):
            raise Failed(answer["error"])
        return answer

    def read(self):
        line, deadline = b"", time.monotonic() + self.timeout
        while not line.endswith(b"\n"):
            ready, _, _ = select.select([self.process.stdout], [], [], max(deadline - time.monotonic(), 0))
            part = os.read(self.process.stdout.fileno(), 1 << 20) if ready else b""
            if not part:
                self.stop(f"more than {self.timeout:g} s" if not ready else None)
            line += part
        return json.loads(line)

    def stop(self, reason):
        if reason:
            self.process.kill()
        code = self.process.wait()
        self.process = None
        raise Failed(reason or (f"it crashed: {signal.Signals(-code).name}" if code < 0 else f"it ended with {code}"))

    def close(self):
        if self.process is not None:
            self.process.stdin.close()
            self.process.wait()
            self.process = None
