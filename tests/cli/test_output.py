# SPDX-License-Identifier: MIT
"""The output file: there when complete, and otherwise nothing, whatever ends the run."""

import fcntl
import os
import pty
import resource
import select
import shutil
import signal
import struct
import subprocess
import tempfile
import termios
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

    def save_slow(self, channels=256, output="slow_out.npy"):
        """A problem for seconds of one thread of portable code, in many tiles."""
        self.save("slow_in.npy", np.ones((1, channels, 96, 96), np.float32))
        self.save("slow_w.npy", np.ones((512, channels, 3, 3), np.float32))
        return ("conv", "slow_in.npy", "slow_w.npy", "-o", output, "--isa", "portable", "--threads", 1,
                "--scratch", "64KiB", "--no-prepack")

    def nobody_special(self):
        """Options that run a command as a user without rights: none are needed where that is who runs the tests."""
        if os.geteuid() != 0:
            return {}
        user = {"user": 1235, "group": 1236, "extra_groups": []}
        os.chmod(self.directory, 0o755)
        try:
            self.succeed("--version", **user)
        except PermissionError as error:
            self.skipTest(f"another user cannot run it: {error}")
        return user


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

    def test_link_to_nothing_yet(self):
        os.mkdir(self.path("there"))
        os.mkdir(self.path("links"))
        os.symlink("../there/made.npy", self.path("links/first"))
        os.symlink("links/first", self.path("second"))
        self.succeed(*self.conv("second"))
        self.assertEqual(os.readlink(self.path("second")), "links/first")
        self.assertEqual(os.readlink(self.path("links/first")), "../there/made.npy")
        self.assertEqual(os.listdir(self.path("there")), ["made.npy"])
        self.assertEqual(self.load("there/made.npy").shape, (1, 4, 298))
        os.symlink(self.path("there/absolute.npy"), self.path("third"))
        self.succeed(*self.conv("third"))
        self.assertTrue(os.path.islink(self.path("third")))
        self.assertEqual(self.load("there/absolute.npy").shape, (1, 4, 298))

    @unittest.skipUnless(os.path.isdir("/proc/self/fd"), "there is no /proc")
    def test_beside_the_target_of_a_link(self):
        """The directory of these links holds nothing else: what is written before the end must be elsewhere."""
        with open(self.path("out.npy"), "w") as file:
            self.succeed(*self.conv(f"/proc/self/fd/{file.fileno()}"), pass_fds=[file.fileno()])
        self.assertEqual(self.load("out.npy").shape, (1, 4, 298))

    def test_permissions_of_what_was_there(self):
        for mode in (0o600, 0o640, 0o666, 0o444, 0o755):
            self.save("out.npy", np.zeros(1))
            os.chmod(self.path("out.npy"), mode)
            self.succeed(*self.conv("out.npy"))
            self.assertEqual(os.stat(self.path("out.npy")).st_mode & 0o7777, mode)
            self.assertEqual(self.load("out.npy").shape, (1, 4, 298))
            os.remove(self.path("out.npy"))

    @unittest.skipUnless(os.geteuid() == 0, "only root may give files away")
    def test_owner_of_what_was_there(self):
        self.save("out.npy", np.zeros(1))
        os.chown(self.path("out.npy"), 1234, 2345)
        os.chmod(self.path("out.npy"), 0o640)
        self.succeed(*self.conv("out.npy"))
        info = os.stat(self.path("out.npy"))
        self.assertEqual((info.st_uid, info.st_gid, info.st_mode & 0o7777), (1234, 2345, 0o640))

    def test_group_that_cannot_be_given(self):
        """What the old group might do, the new one must not."""
        user = self.nobody_special()
        if not user:
            self.skipTest("only root may make files of others")
        os.chmod(self.directory, 0o777)
        self.save("out.npy", np.zeros(1))
        os.chown(self.path("out.npy"), 1234, 2345)
        for mode, expected in ((0o660, 0o600), (0o664, 0o644)):
            os.chmod(self.path("out.npy"), mode)
            self.succeed(*self.conv("out.npy"), **user)
            info = os.stat(self.path("out.npy"))
            self.assertEqual((info.st_uid, info.st_gid, info.st_mode & 0o7777), (1235, 1236, expected))
            os.chown(self.path("out.npy"), 1234, 2345)

    def test_access_control_list_of_what_was_there(self):
        def entries(*rows):  # <linux/posix_acl_xattr.h>: version 2, then tag, permissions, who
            return struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *row) for row in rows)

        everybody = 0xffffffff
        mine = entries((1, 6, everybody), (2, 4, 1234), (4, 0, everybody), (16, 4, everybody), (32, 0, everybody))
        inherited = entries((1, 7, everybody), (2, 7, 4321), (4, 7, everybody), (16, 7, everybody), (32, 0, everybody))
        self.save("out.npy", np.zeros(1))
        try:
            os.setxattr(self.path("out.npy"), "system.posix_acl_access", mine)
            os.setxattr(self.directory, "system.posix_acl_default", inherited)
        except (AttributeError, OSError) as error:
            self.skipTest(f"no access control lists here: {error}")
        self.succeed(*self.conv("out.npy"))
        self.assertEqual(os.getxattr(self.path("out.npy"), "system.posix_acl_access"), mine)
        os.removexattr(self.path("out.npy"), "system.posix_acl_access")
        os.chmod(self.path("out.npy"), 0o640)
        self.succeed(*self.conv("out.npy"))
        self.assertNotIn("system.posix_acl_access", os.listxattr(self.path("out.npy")))
        self.assertEqual(os.stat(self.path("out.npy")).st_mode & 0o777, 0o640)

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
        os.symlink("missing/out.npy", self.path("link"))
        self.fail_with(1, ["link", "cannot create", "No such file"], *self.conv("link"))
        os.symlink("circle", self.path("circle"))
        self.fail_with(1, ["circle", "cannot write"], *self.conv("circle"))
        os.symlink("directory", self.path("to_directory"))
        self.fail_with(1, ["to_directory", "not a regular file"], *self.conv("to_directory"))

    @unittest.skipUnless(os.path.isdir("/proc/self/fd"), "there is no /proc")
    def test_file_without_a_name(self):
        with tempfile.TemporaryFile(dir=self.directory) as file:
            self.fail_with(1, ["no name"], *self.conv(f"/proc/self/fd/{file.fileno()}"), pass_fds=[file.fileno()])

    def test_directory_without_permission(self):
        os.mkdir(self.path("closed"), 0o555)
        self.fail_with(1, ["closed/out.npy", "Permission denied"], *self.conv("closed/out.npy"), **self.nobody_special())

    def test_file_size_limit(self):
        limit = lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (2048, 2048))
        with open(self.path("out.npy"), "w") as file:
            file.write("old")
        self.fail_with(1, ["out.npy", "5024 bytes", "File too large"], *self.conv("out.npy"), preexec_fn=limit)
        with open(self.path("out.npy")) as file:
            self.assertEqual(file.read(), "old")

    def test_report_that_cannot_be_written(self):
        """A run that fails leaves no output, and what was there stays, although the report comes last."""
        with open("/dev/full", "w") as full:
            self.fail_with(1, ["standard output"], *self.conv("out.npy"), stdout=full)
            self.fail_with(1, ["standard output"], *self.conv("in.npy", "--json"), stdout=full)
        self.assertEqual(self.load("in.npy").shape, (1, 2, 300))
        reading, writing = os.pipe()
        os.close(reading)
        self.fail_with(1, ["standard output", "Broken pipe"], *self.conv("in.npy"), stdout=writing)
        os.close(writing)
        self.assertEqual(self.load("in.npy").shape, (1, 2, 300))

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

    def test_file_system_that_reserves_nothing(self):
        """ramfs has no fallocate(): the bytes are written instead."""
        os.mkdir(self.path("full"))
        mount = "mount -t ramfs none full"
        status, output, errors = self.run_in(mount, *self.conv("full/out.npy"), within="")
        self.assertEqual((status, errors), (0, ""))
        self.assertTrue(output.endswith("\nout.npy\n"), output)
        result = self.run_in(mount + " && ulimit -f 2", *self.conv("full/out.npy"))
        self.check_error(*result, 1, "5024 bytes", "File too large")

    def test_link_to_another_file_system(self):
        os.mkdir(self.path("full"))
        os.symlink("full/out.npy", self.path("link"))
        for setup in ("true", "touch full/out.npy"):
            status, output, errors = self.run_in("mount -t tmpfs none full && " + setup, *self.conv("link"))
            self.assertEqual((status, errors), (0, ""))
            self.assertTrue(output.endswith("\nout.npy\n"), output)
            self.assertTrue(os.path.islink(self.path("link")))

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
        interrupted = self.run_in(setup, *self.save_slow(channels=1024), within="timeout --preserve-status -s INT 3")
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

    def stop_when_output_is_open(self, process):
        """Until a file in "there", a directory for the output alone, is open, with a name or without; then the process is
        stopped: it has looked at what was under the output's name, and has not come to giving that name."""
        directory = self.path("there")
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and process.poll() is None:
            files = f"/proc/{process.pid}/fd"
            try:
                targets = [os.readlink(os.path.join(files, number)) for number in os.listdir(files)]
            except OSError:  # closed meanwhile
                continue
            if any(target.startswith(os.path.realpath(directory)) for target in targets):
                process.send_signal(signal.SIGSTOP)
                return
        self.fail("the output was never seen open")

    def test_directory_removed_meanwhile(self):
        for options in ((), ("--json",)):
            os.mkdir(self.path("there"))
            process = self.start(*self.save_slow(channels=16, output="there/out.npy"), *options)
            self.stop_when_output_is_open(process)
            shutil.rmtree(self.path("there"))
            process.send_signal(signal.SIGCONT)
            output, errors = process.communicate(timeout=120)
            self.check_error(process.returncode, output.decode(), errors.decode(), 1, "there/out.npy", "its name",
                             "No such file")
            self.assertFalse(os.path.exists(self.path("there")))

    def test_target_that_becomes_a_directory(self):
        os.mkdir(self.path("there"))
        process = self.start(*self.save_slow(channels=16, output="there/out.npy"))
        self.stop_when_output_is_open(process)
        os.mkdir(self.path("there/out.npy"))
        process.send_signal(signal.SIGCONT)
        output, errors = process.communicate(timeout=120)
        self.check_error(process.returncode, output.decode(), errors.decode(), 1, "there/out.npy", "its name")
        self.assertEqual(os.listdir(self.path("there")), ["out.npy"])

    def test_permissions_changed_meanwhile(self):
        os.mkdir(self.path("there"))
        self.save("there/out.npy", np.zeros(1))
        process = self.start(*self.save_slow(channels=16, output="there/out.npy"))
        self.stop_when_output_is_open(process)
        os.chmod(self.path("there/out.npy"), 0o600)
        process.send_signal(signal.SIGCONT)
        output, errors = process.communicate(timeout=120)
        self.assertEqual((process.returncode, errors), (0, b""))
        self.assertEqual(os.stat(self.path("there/out.npy")).st_mode & 0o777, 0o600)
        self.assertEqual(self.load("there/out.npy").ndim, 4)

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

    def test_killed_at_any_moment(self):
        """The output is whole or not there; one that is replaced is whole, before or after."""
        for old in (False, True):
            moments = np.linspace(0, 0.03, 25)
            for moment in moments:
                if old:
                    self.save("out.npy", np.zeros(1))
                elif os.path.exists(self.path("out.npy")):
                    os.remove(self.path("out.npy"))
                process = self.start(*self.conv("out.npy"))
                time.sleep(moment)
                process.kill()
                process.communicate(timeout=60)
                if old or os.path.exists(self.path("out.npy")):
                    output = self.load("out.npy")
                    self.assertIn(output.shape, ((1,), (1, 4, 298)) if old else ((1, 4, 298),))
                    self.assertTrue((output == (0 if output.ndim == 1 else 6)).all())
                if not old:
                    self.assertEqual([name for name in self.listing() if name.startswith(".")], [])

    @unittest.skipUnless(hasattr(fcntl, "F_SETPIPE_SZ"), "pipes have one size here")
    def test_interrupted_while_reporting(self):
        """Nobody reads the report: the output has its name by then, and loses it again."""
        for old in (False, True):
            if old:
                self.save("out.npy", np.zeros(1))
            before = self.listing()
            reading, writing = os.pipe()
            os.write(writing, bytes(fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, 4096)))
            process = self.start(*self.conv("out.npy"), stdout=writing)
            deadline = time.monotonic() + 60
            while time.monotonic() < deadline:
                if os.path.exists(self.path("out.npy")) and self.load("out.npy").ndim == 3:
                    break
                time.sleep(0.01)
            time.sleep(0.1)
            process.send_signal(signal.SIGINT)
            _, errors = process.communicate(timeout=60)
            os.close(reading)
            os.close(writing)
            self.check_error(process.returncode, "", errors.decode(), 1, "interrupted")
            self.assertEqual(self.listing(), before)
        self.assertEqual(self.load("out.npy").shape, (1,))

    def test_input_cut_short_meanwhile(self):
        arguments = self.save_slow()
        before = self.listing()
        process = self.start(*arguments)
        self.wait_until_computing(process)
        os.truncate(self.path("slow_in.npy"), 4096)
        output, errors = process.communicate(timeout=120)
        self.check_error(process.returncode, output.decode(), errors.decode(), 1, "slow_in.npy: ", "cut short")
        self.assertEqual(self.listing(), before)


class Terminal(OutputTest):
    LEFT = r"\d+ (d|h|min|s)( \d+ (h|min|s))? left"

    def on_terminal(self, *arguments, columns=0, expected=True):
        """What is shown on a terminal of so many columns (0: it does not know) up to and after an interruption, which comes
        with the first line of progress or, where none is expected, after some time without."""
        try:
            master, slave = pty.openpty()
        except OSError as error:  # a container without /dev/pts
            self.skipTest(f"no terminal: {error}")
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        process = self.start(*arguments, stderr=slave)
        os.close(slave)
        shown = b""
        deadline = time.monotonic() + (60 if expected else 1.5)
        while time.monotonic() < deadline and b"\x1b[K" not in shown and process.poll() is None:
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
        self.assertRegex(shown, r"\r +\d+ %  " + self.LEFT + r"  \d+ of \d+ tiles, \d+\.\d s")
        self.assertTrue(shown.endswith("\r\x1b[Ktilefold: error: interrupted\r\n"), shown)
        self.assertEqual(self.on_terminal(*arguments, "--quiet", expected=False), "tilefold: error: interrupted\r\n")

    def test_narrow(self):
        """No line fills the last column, which would begin another; the share is what goes last."""
        arguments = self.save_slow()
        left = r" +\d+ %  " + self.LEFT
        for columns, pattern in ((1, ""), (5, ""), (6, r" +\d+ %"), (10, r" +\d+ %"), (25, left),
                                 (38, left + r"(  \d+ of \d+ tiles)?"), (50, left + r"  \d+ of \d+ tiles(, \d+\.\d s)?")):
            with self.subTest(columns=columns):
                shown = self.on_terminal(*arguments, columns=columns, expected=bool(pattern)).split("tilefold: error")[0]
                lines = [line for line in shown.replace("\x1b[K", "").split("\r") if line]
                self.assertEqual(bool(lines), bool(pattern))
                for line in lines:
                    self.assertRegex(line, rf"\A{pattern}\Z")
                    self.assertLess(len(line), columns)
