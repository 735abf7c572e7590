# SPDX-License-Identifier: MIT
"""The output file: there when complete, and otherwise nothing, whatever ends the run."""

import os
import pty
import resource
import select
import shutil
import signal
import subprocess
import tempfile
import time
import unittest

import numpy as np

import harness
from harness import CommandLineTest


class OutputTest(CommandLineTest):
    def setUp(self):
        super().setUp()
        self.save("in.npy", np.ones((1, 2, 300), np.float32))
        self.save("w.npy", np.ones((4, 2, 3), np.float32))

    def conv(self, output, *options):
        return ("conv", "in.npy", "w.npy", "-o", output, "--threads", 1, *options)

    def save_slow(self):
        """A problem for seconds of one thread of portable code, in many tiles."""
        self.save("slow_in.npy", np.ones((1, 256, 96, 96), np.float32))
        self.save("slow_w.npy", np.ones((512, 256, 3, 3), np.float32))
        return ("conv", "slow_in.npy", "slow_w.npy", "-o", "slow_out.npy", "--isa", "portable", "--threads", 1,
                "--scratch", "64KiB", "--no-prepack")


class Success(OutputTest):
    def test_replaces_what_was_there(self):
        with open(self.path("out.npy"), "w") as file:
            file.write("old")
        self.succeed(*self.conv("out.npy"))
        self.assertEqual(self.load("out.npy").shape, (1, 4, 298))
        self.assertEqual(self.listing(), ["in.npy", "out.npy", "w.npy"])

    def test_over_an_input(self):
        self.succeed(*self.conv("in.npy"))
        self.assertEqual(self.load("in.npy").shape, (1, 4, 298))
        self.assertTrue((self.load("in.npy") == 6).all())
        self.assertEqual(self.listing(), ["in.npy", "w.npy"])

    def test_elsewhere_and_through_links(self):
        os.mkdir(self.path("there"))
        self.succeed(*self.conv("there/out.npy"))
        self.succeed(*self.conv(self.path("there/absolute.npy")))
        os.symlink("there/linked.npy", self.path("link.npy"))
        with open(self.path("there/linked.npy"), "w"):
            pass
        self.succeed(*self.conv("link.npy"))
        self.assertTrue(os.path.islink(self.path("link.npy")))
        self.assertEqual(self.load("there/linked.npy").shape, (1, 4, 298))
        self.assertEqual(sorted(os.listdir(self.path("there"))), ["absolute.npy", "linked.npy", "out.npy"])

    def test_permissions_follow_umask(self):
        for mask in (0o022, 0o077):
            self.succeed(*self.conv("out.npy"), preexec_fn=lambda: os.umask(mask))
            self.assertEqual(os.stat(self.path("out.npy")).st_mode & 0o777, 0o666 & ~mask)
            os.remove(self.path("out.npy"))

    def test_quiet_when_not_a_terminal(self):
        self.assertIn("scratch", self.succeed(*self.conv("out.npy")))


class Failure(OutputTest):
    def test_places_that_cannot_be_written(self):
        os.mkdir(self.path("directory"))
        self.fail_with(1, ["missing/out.npy", "No such file"], *self.conv("missing/out.npy"))
        self.fail_with(1, ["in.npy/out.npy"], *self.conv("in.npy/out.npy"))
        self.fail_with(1, ["directory", "not a regular file"], *self.conv("directory"))
        self.fail_with(1, ["/dev/null", "not a regular file"], *self.conv("/dev/null"))
        self.fail_with(1, ["/dev/full", "not a regular file"], *self.conv("/dev/full"))
        self.fail_with(1, ["/proc/out.npy"], *self.conv("/proc/out.npy"))
        self.fail_with(1, ["cannot write"], *self.conv(""))
        self.fail_with(1, ["cannot write", "too long"], *self.conv("x" * 300))

    @unittest.skipIf(os.geteuid() == 0, "root may write everywhere")
    def test_directory_without_permission(self):
        os.mkdir(self.path("closed"), 0o555)
        self.fail_with(1, ["closed/out.npy", "Permission denied"], *self.conv("closed/out.npy"))

    def test_file_size_limit(self):
        limit = lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (2048, 2048))
        with open(self.path("out.npy"), "w") as file:
            file.write("old")
        self.fail_with(1, ["out.npy", "5024 bytes", "File too large"], *self.conv("out.npy"), preexec_fn=limit)
        with open(self.path("out.npy")) as file:
            self.assertEqual(file.read(), "old")

    def test_failure_keeps_the_old_file(self):
        shutil.copy(self.path("in.npy"), self.path("out.npy"))
        self.fail_with(1, ["w.npy"], *self.conv("out.npy", "--layout", "channels-last"))
        self.assertEqual(self.load("out.npy").shape, (1, 2, 300))


class InNamespace(OutputTest):
    """What needs a mount, in a mount namespace of its own; skipped where that is not allowed."""

    def run_in(self, setup, *arguments, within=""):
        command = ["unshare", "--mount"] if os.geteuid() == 0 else ["unshare", "--map-root-user", "--mount"]
        try:
            probe = subprocess.run([*command, "sh", "-c", setup], cwd=self.directory, capture_output=True)
        except FileNotFoundError:
            self.skipTest("unshare is not there")
        if probe.returncode != 0:
            self.skipTest("mounts are not allowed here: " + probe.stderr.decode().strip())
        script = f'{setup} && {within} "$0" "$@"; status=$?; ls -A full 2>/dev/null; exit $status'
        process = subprocess.run([*command, "sh", "-c", script, harness.EXECUTABLE, *map(str, arguments)],
                                 cwd=self.directory, capture_output=True, timeout=300)
        return process.returncode, process.stdout.decode(), process.stderr.decode()

    def test_full_disk(self):
        os.mkdir(self.path("full"))
        result = self.run_in("mount -t tmpfs -o size=4k none full", *self.conv("full/out.npy"))
        self.check_error(*result, 1, "full/out.npy", "5024 bytes", "No space left")

    @unittest.skipIf(harness.sanitized(), "sanitizers need /proc")
    def test_without_proc_files_get_a_temporary_name(self):
        self.addCleanup(shutil.rmtree, keep := tempfile.mkdtemp())
        setup = f"cp /proc/cpuinfo {keep} && mount -t tmpfs none /proc && cp {keep}/cpuinfo /proc"
        before = self.listing()
        status, output, errors = self.run_in(setup, *self.conv("out.npy", "--json"))
        self.assertEqual((status, errors), (0, ""))
        self.assertIn("peak_rss_bytes", output)
        self.assertEqual(self.load("out.npy").shape, (1, 4, 298))
        self.assertEqual(self.listing(), sorted([*before, "out.npy"]))
        self.check_error(*self.run_in(setup + " && ulimit -f 2", *self.conv("out.npy")), 1, "5024 bytes", "File too large")
        interrupted = self.run_in(setup, *self.save_slow(), within="timeout --preserve-status -s INT 1")
        self.check_error(*interrupted, 1, "interrupted")
        self.assertEqual(self.listing(), sorted([*before, "out.npy", "slow_in.npy", "slow_w.npy"]))


class Ended(OutputTest):
    def wait_until_computing(self, process):
        """Until the process has used a little time of its own, which is when it executes."""
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and process.poll() is None:
            with open(f"/proc/{process.pid}/stat") as file:
                ticks = sum(map(int, file.read().rsplit(")", 1)[1].split()[11:13]))
            if ticks >= 0.3 * os.sysconf("SC_CLK_TCK"):
                return
            time.sleep(0.01)
        self.fail("the slow problem was too fast to interrupt")

    def test_signals(self):
        arguments = self.save_slow()
        before = self.listing()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            process = self.start(*arguments)
            self.wait_until_computing(process)
            process.send_signal(number)
            output, errors = process.communicate(timeout=60)
            self.check_error(process.returncode, output.decode(), errors.decode(), 1, "interrupted")
            self.assertEqual(self.listing(), before)

    def test_nohup(self):
        process = self.start(*self.save_slow(), preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN))
        self.wait_until_computing(process)
        process.send_signal(signal.SIGHUP)
        time.sleep(0.2)
        self.assertIsNone(process.poll())
        process.send_signal(signal.SIGTERM)
        self.check_error(process.wait(60), *(stream.read().decode() for stream in (process.stdout, process.stderr)), 1)
        process.communicate()

    def test_killed(self):
        arguments = self.save_slow()
        before = self.listing()
        process = self.start(*arguments)
        self.wait_until_computing(process)
        process.kill()
        process.communicate(timeout=60)
        self.assertEqual(self.listing(), before)

    def test_input_cut_short_meanwhile(self):
        arguments = self.save_slow()
        before = self.listing()
        process = self.start(*arguments)
        self.wait_until_computing(process)
        os.truncate(self.path("slow_in.npy"), 4096)
        output, errors = process.communicate(timeout=120)
        self.check_error(process.returncode, output.decode(), errors.decode(), 1, "cut short")
        self.assertEqual(self.listing(), before)


class Terminal(OutputTest):
    def on_terminal(self, *arguments):
        """Runs with a terminal for standard error, interrupts after the first line of progress or some time of none."""
        try:
            master, slave = pty.openpty()
        except OSError as error:  # a container without /dev/pts
            self.skipTest(f"no terminal: {error}")
        process = self.start(*arguments, stderr=slave)
        os.close(slave)
        shown = b""
        deadline = time.monotonic() + 1.5
        while time.monotonic() < deadline and b"tiles" not in shown:
            if select.select([master], [], [], 0.05)[0]:
                shown += os.read(master, 4096)
        process.send_signal(signal.SIGINT)
        while True:
            try:
                piece = os.read(master, 4096)
            except OSError:
                break
            if not piece:
                break
            shown += piece
        process.communicate(timeout=60)
        os.close(master)
        self.assertEqual(process.returncode, 1)
        return shown.decode()

    def test_progress(self):
        arguments = self.save_slow()
        shown = self.on_terminal(*arguments)
        self.assertRegex(shown, r"\r +\d+ %  \d+ of \d+ tiles, \d+\.\d s")
        self.assertTrue(shown.endswith("\r\x1b[Ktilefold: error: interrupted\r\n"), shown)
        self.assertEqual(self.on_terminal(*arguments, "--quiet"), "tilefold: error: interrupted\r\n")
