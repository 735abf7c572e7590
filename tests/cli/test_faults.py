# SPDX-License-Identifier: MIT
"""A failing machine: every call for memory, threads, files and pages that a run makes fails in turn. A run then either does what it
was to do all the same, or says in one line that it failed and leaves everything as it was."""

import os
import resource
import subprocess
import unittest

import numpy as np

import harness
from harness import CommandLineTest

FAULTS = os.environ.get("TILEFOLD_TEST_FAULTS", "")

# The library that tells the processor's caches has lines of its own where it gets no memory; tilefold does without what it would say.
SUCCEEDED = r"\A(Error in cpuinfo: [^\n]+\n)*\Z"
FAILED = r"\A(Error in cpuinfo: [^\n]+\n)*tilefold: error: [^\n]+\n\Z"


class FaultTest(CommandLineTest):
    def setUp(self):
        super().setUp()
        self.rng = np.random.default_rng(1)

    def save_problem(self, rows=40, columns=50, channels=4):
        self.given = self.rng.integers(-4, 5, (1, channels, rows, columns)).astype(np.float32)
        self.weight = self.rng.integers(-4, 5, (channels, channels, 3, 3)).astype(np.float32)
        self.save("in.npy", self.given)
        self.save("w.npy", self.weight)
        self.save("b.npy", np.ones(channels, np.float32))
        self.expected = harness.convolve(self.given, self.weight, np.ones(channels), begin=1, end=1)
        return ("conv", "in.npy", "w.npy", "--bias", "b.npy", "--padding", 1, "-o", "out.npy", "--threads", 2)

    def start_over(self, replaces):
        if replaces:
            self.save("out.npy", np.zeros(3, np.float32))
        elif os.path.exists(self.path("out.npy")):
            os.remove(self.path("out.npy"))

    def check_all_or_nothing(self, before, replaces, status, output, errors):
        """True where it succeeded."""
        if status == 0:
            self.assertRegex(errors, SUCCEEDED)
            self.assertTrue((self.load("out.npy") == self.expected).all())
            self.assertEqual(self.listing(), sorted({*before, "out.npy"}))
            return True
        self.assertEqual(status, 1, errors)
        self.assertRegex(errors, FAILED)
        self.assertEqual(self.listing(), before)
        if replaces:
            self.assertEqual(self.load("out.npy").shape, (3,))
        return False


@unittest.skipUnless(FAULTS, "no library of faults for this build: sanitizers and other C libraries have their own calls")
class Faults(FaultTest):
    def run_with(self, fault, arguments, **more):
        """The result, and whether the fault came."""
        mark = os.path.join(self.marks, "mark")
        environment = dict(os.environ, LD_PRELOAD=FAULTS, TILEFOLD_TEST_FAULT=fault, TILEFOLD_TEST_FAULT_MARK=mark, **more)
        result = self.run_raw(*arguments, env=environment)
        came = os.path.exists(mark)
        if came:
            os.remove(mark)
        return result, came

    def setUp(self):
        super().setUp()
        self.marks = self.path("marks")
        os.mkdir(self.marks)

    def each_in_turn(self, name, arguments, replaces=False, step=1, after="", **more):
        """Fails the first call, the second, and so on (some of them where tests are to be short). How many were tried, and how many of
        these a run can do without."""
        number, tried, survived = 1, 0, 0
        step = step if harness.scale() == 1 else 3 * step
        while True:
            fault = f"{name}:{number}{after}"
            self.start_over(replaces)
            before = self.listing()
            result, came = self.run_with(fault, arguments, **more)
            with self.subTest(fault=fault, errors=result[2]):
                done = self.check_all_or_nothing(before, replaces, *result)
                self.assertTrue(done or came)
            if not came:
                return tried, survived
            number += step
            tried += 1
            survived += done

    def test_memory(self):
        arguments = self.save_problem()
        for replaces in (False, True):
            for after in ("", "+"):
                calls, survived = self.each_in_turn("malloc", arguments, replaces, after=after)
                self.assertGreater(calls, 3)
                self.assertLess(survived, calls)

    def test_memory_of_other_commands(self):
        self.save_problem()
        with open(self.path("suite.tsv"), "w") as file:
            file.write("tiny\tconv\t2\t1\t8,8\t4\t4\t3,3\t1,1\t1,1\t1,1\t0,0\t1\n")
        for arguments in (("plan", "conv", "--input", "1,4,40,50", "--weight", "4,4,3,3", "--json"), ("--help",),
                          ("bench", "--suite", "suite.tsv", "--threads", 1)):
            calls = 0
            while True:
                (status, _, errors), came = self.run_with(f"malloc:{calls + 1}+", arguments)
                with self.subTest(arguments=arguments, call=calls + 1, errors=errors):
                    self.assertIn(status, (0, 1))
                    self.assertRegex(errors, SUCCEEDED if status == 0 else FAILED)
                if not came:
                    self.assertEqual(status, 0)
                    break
                calls += 1
                self.assertLess(calls, 2000)

    def test_threads(self):
        """Who is there does the work."""
        arguments = self.save_problem(rows=200, columns=200)
        for fault in ("pthread_create:1", "pthread_create:1+"):
            self.start_over(False)
            before = self.listing()
            result, came = self.run_with(fault, (*arguments, "--threads", 4))
            self.assertTrue(came)
            self.assertTrue(self.check_all_or_nothing(before, False, *result), result[2])

    def test_files(self):
        arguments = self.save_problem()
        for name in ("open", "mmap", "fstat", "fallocate", "linkat", "fopen"):
            for replaces, after in ((False, ""), (True, ""), (True, "+")):
                calls, survived = self.each_in_turn(name, arguments, replaces, after=after)
                self.assertGreaterEqual(calls, 1, name)
                if name == "fopen": # only figures that a run can do without
                    self.assertEqual(survived, calls)
                elif after:
                    self.assertEqual(survived, 0)

    def test_pages(self):
        """In bands, since memory seems short. Advice that is not taken changes nothing; what the disk does not take is an error."""
        arguments = self.save_problem(rows=512, columns=256, channels=4)
        with open(self.path("meminfo"), "w") as file:
            file.write("MemTotal: 99999999 kB\nMemAvailable: 1000 kB\n")
        meminfo = {"TILEFOLD_TEST_MEMINFO": self.path("meminfo")}
        calls, survived = self.each_in_turn("madvise", arguments, step=5, **meminfo)
        self.assertGreater(calls, 3)
        self.assertEqual(survived, calls)
        calls, survived = self.each_in_turn("sync_file_range", arguments, **meminfo)
        self.assertGreater(calls, 3)
        self.assertEqual(survived, 0)
        (_, _, errors), _ = self.run_with("sync_file_range:2", arguments, **meminfo)
        self.assertIn("out.npy: cannot write it: Input/output error", errors)


    def test_killed_at_each_call(self):
        """The output is there and complete, or is not; what is replaced is whole, before or after. Only between two names for a file that
        replaces another, for which the system has no single call, a complete file may keep a temporary one."""
        arguments = self.save_problem()
        killed = 0
        for name in ("malloc", "open", "mmap", "munmap", "fallocate", "fstat", "fchmod", "linkat", "unlink", "close", "fopen"):
            for replaces in (False, True):
                call = 1
                while True:
                    self.start_over(replaces)
                    before = self.listing()
                    (status, _, _), came = self.run_with(f"{name}:{call}!", arguments)
                    if not came:
                        self.assertEqual(status, 0)
                        break
                    killed += 1
                    with self.subTest(killed_at=f"{name}:{call}", replaces=replaces):
                        self.check_killed(before, replaces)
                    call += 1 if harness.scale() == 1 else 3
        self.assertGreater(killed, 30)

    def check_killed(self, before, replaces):
        complete = [array for array in (self.expected, np.zeros(3))]
        left = set(self.listing()) - set(before) - {"out.npy"}
        for name in left:
            self.assertTrue(replaces, left)
            self.assertRegex(name, r"\A\.tilefold-\d+-\d+\.tmp\Z")
            self.assertTrue(any(np.array_equal(self.load(name), array) for array in complete))
            os.remove(self.path(name))
        self.assertLessEqual(len(left), 1)
        if replaces or os.path.exists(self.path("out.npy")):
            self.assertTrue(any(np.array_equal(self.load("out.npy"), array) for array in complete[:1 + replaces]))

    def test_files_cut_short(self):
        """Between being mapped and being read."""
        arguments = self.save_problem()
        for options in ((), ("--no-prepack",)):
            for name in ("in.npy", "w.npy", "b.npy"):
                with self.subTest(name=name, options=options):
                    self.save_problem()
                    before = self.listing()
                    environment = dict(os.environ, LD_PRELOAD=FAULTS, TILEFOLD_TEST_CUT=self.path(name))
                    result = self.run_raw(*arguments, *options, env=environment)
                    self.check_error(*result, 1, name + ": cannot be read or written where it is mapped", "cut short")
                    self.assertEqual(self.listing(), before)


class Limits(FaultTest):
    """What a run is not given at all."""

    def try_limits(self, kind, values, replaces=False, **options):
        """Success or a clean failure under each limit that the C library itself can start under; how many of either."""
        counts = {True: 0, False: 0}
        for value in values:
            limit = lambda: resource.setrlimit(kind, (value, value))
            try:
                if self.run_raw("--version", preexec_fn=limit, **options)[0] != 0:
                    continue
            except OSError:
                continue
            self.start_over(replaces)
            before = self.listing()
            with self.subTest(value=value):
                result = self.run_raw(*self.arguments, preexec_fn=limit, **options)
                counts[self.check_all_or_nothing(before, replaces, *result)] += 1
        return counts[True], counts[False]

    def setUp(self):
        super().setUp()
        self.arguments = self.save_problem(rows=200, columns=200)

    def test_open_files(self):
        done, failed = self.try_limits(resource.RLIMIT_NOFILE, range(3, 12))
        self.assertGreater(done, 0)

    @unittest.skipIf(harness.sanitized(), "sanitizers need more addresses than that")
    def test_address_space(self):
        done, failed = self.try_limits(resource.RLIMIT_AS, [kib << 10 for kib in range(2000, 40000, 500)], replaces=True)
        self.assertGreater(done, 0)
        self.assertGreater(failed, 0)

    @unittest.skipIf(harness.sanitized(), "sanitizers need more stack than that")
    def test_stack(self):
        done, failed = self.try_limits(resource.RLIMIT_STACK, [kib << 10 for kib in (24, 32, 48, 64, 128, 256)], env={})
        self.assertGreaterEqual(done, 3)

    def test_file_size(self):
        done, failed = self.try_limits(resource.RLIMIT_FSIZE, [0, 1, 4096, 640255, 640256, 1 << 20], replaces=True)
        self.assertEqual((done, failed), (2, 4))

    @unittest.skipIf(harness.sanitized(), "sanitizers start a thread of their own at the end")
    def test_processes(self):
        """No thread can be started; the calling one does it all."""
        user = {}
        if os.geteuid() == 0:
            # Whose processes nobody else counts among: other tests run meanwhile.
            user = {"user": 20000 + os.getpid() % 30000, "group": 20000, "extra_groups": []}
            os.chmod(self.directory, 0o777)
            try:
                self.succeed("--version", **user)
            except (OSError, subprocess.SubprocessError) as error:
                self.skipTest(f"another user cannot run it: {error}")
        done, failed = self.try_limits(resource.RLIMIT_NPROC, [1], **user)
        self.assertEqual((done, failed), (1, 0))
