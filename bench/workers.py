# SPDX-License-Identifier: MIT
"""The processes of worker.py, as contest.py sees them."""
import copy
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
    """call() asks; where the process died or stayed silent, the next call starts another."""

    def __init__(self, label, peer, settings, cores, timeout):
        self.label, self.peer, self.timeout = label, peer, timeout
        self.command = [sys.executable, pathlib.Path(__file__).with_name("worker.py"), peer, json.dumps(settings),
                        json.dumps(cores)]
        self.process = None
        described = self.start()
        if "absent" in described:
            self.close()
            raise Absent(described["absent"])
        self.name, self.layouts = described["name"], described["layouts"]

    def clone(self, cores):
        """Another process for the same library, on these cores."""
        made = copy.copy(self)
        made.command = [*self.command[:-1], json.dumps(cores)]
        made.start()
        return made

    def start(self):
        self.process = subprocess.Popen(self.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0)
        return self.read()

    def call(self, do, **arguments):
        if self.process is None:
            self.start()
        try:
            self.process.stdin.write(json.dumps({"do": do, **arguments}).encode() + b"\n")
        except BrokenPipeError:
            pass  # read() says what became of it
        answer = self.read()
        if "refused" in answer:
            raise Failed(answer["refused"])
        return answer

    def read(self):
        line, deadline = b"", time.monotonic() + self.timeout
        while not line.endswith(b"\n"):
            ready, _, _ = select.select([self.process.stdout], [], [], max(deadline - time.monotonic(), 0))
            part = os.read(self.process.stdout.fileno(), 1 << 20) if ready else b""
            if not part:
                self.stop(None if ready else f"more than {self.timeout:g} s")
            line += part
        return json.loads(line)

    def stop(self, reason):
        """For a process that ended by itself, or was silent for too long, which is the reason."""
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
