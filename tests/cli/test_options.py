# SPDX-License-Identifier: MIT
"""Command lines, right and wrong: what is said, and the exit status."""

import os
import resource
import unittest

import numpy as np

from harness import CommandLineTest, sanitized

PLAN = ("plan", "conv", "--input", "1,4,8,8", "--weight", "4,4,3,3")
PLAN_TRANSPOSED = ("plan", "conv-transpose", "--input", "1,4,8,8", "--weight", "4,4,3,3")


class Misuse(CommandLineTest):
    def misuse(self, words, *arguments):
        self.fail_with(2, words, *arguments)

    def test_commands(self):
        self.misuse(["no command"])
        self.misuse(["'convolve'"], "convolve")
        self.misuse(["''"], "")
        self.misuse(["conv", "INPUT.npy"], "conv")
        self.misuse(["conv", "WEIGHT.npy"], "conv", "a.npy")
        self.misuse(["-o"], "conv", "a.npy", "b.npy")
        self.misuse(["'c.npy'"], "conv", "a.npy", "b.npy", "c.npy", "-o", "d.npy")
        self.misuse(["conv|conv-transpose"], "plan")
        self.misuse(["pool"], "plan", "pool", "--input", "1,1,1", "--weight", "1,1,1")
        self.misuse(["--input"], "plan", "conv", "--weight", "1,1,1")
        self.misuse(["--weight"], "plan", "conv", "--input", "1,1,1")
        self.misuse(["'now'"], "devices", "now")
        self.misuse(["'now'"], "bench", "now")

    def test_unknown_options(self):
        self.misuse(["--strides"], *PLAN, "--strides", "2")
        self.misuse(["--strid"], *PLAN, "--strid", "2")
        self.misuse(["--dil"], *PLAN, "--dil=2")
        self.misuse(["--"], *PLAN, "--=2")
        self.misuse(["--j"], *PLAN, "--j")
        self.misuse(["-x"], *PLAN, "-x")
        self.misuse(["--bias", "plan"], *PLAN, "--bias", "b.npy")
        self.misuse(["--input", "conv"], "conv", "a.npy", "b.npy", "-o", "c.npy", "--input", "1,1,1")
        self.misuse(["--suite", "conv"], "conv", "a.npy", "b.npy", "-o", "c.npy", "--suite=s.tsv")
        self.misuse(["--layout", "devices"], "devices", "--layout", "channels-last")
        self.misuse(["--json"], *PLAN, "--json=yes")
        self.misuse(["--stride"], *PLAN, "--stride")
        self.misuse(["-o"], "conv", "a.npy", "b.npy", "-o")

    def test_bad_values(self):
        bad = {
            "--layout": ["", "nchw", "channels"],
            "--stride": ["", "0", "-1", "x", "1,", ",1", "1,,1", "1x", " 1", "+1", "1.5", "1,1,1,1", "9223372036854775808"],
            "--dilation": ["0", "1:2"],
            "--input-dilation": ["0"],
            "--padding": ["", "x", "1:", ":1", "1:2:3", "1,1,1,1", "SAME", "same_lower", "1,same"],
            "--groups": ["0", "-1", "1,1", ""],
            "--activation": ["", "gelu", "clamp", "clamp:", "clamp:1", "clamp:1:0", "clamp:a:b", "clamp:nan:1", "clamp:0:1:2",
                             "clamp: 0:1", "clamp:0: 1", "clamp:+0:1", "clamp:0:+1", "clamp:0x1p3:99", "clamp:0:1e99",
                             "clamp:0:1 ", "clamp:-:1", "clamp:--1:1", "clamp:0:infinite", "clamp:-inf", "clamp::"],
            "--scratch": ["", "-1", "16MB", "16 MiB", "MiB", "1.5MiB", "16mib", "9223372036854775807KiB",
                          "9223372036854775808"],
            "--max-buffer": ["0", "x", "0KiB", "9007199254740992KiB"],
            "--device": ["", "gpu", "cpu:0", "vulkan:", "vulkan:-1", "vulkan:x", "vulkan:99999999999"],
            "--algorithm": ["", "winograd"],
            "--math": ["", "FAST", "winograd"],
            "--storage": ["", "texture", "texture1d"],
            "--threads": ["0", "-1", "x", "2147483648"],
            "--isa": ["", "sse", "best"],
            "--dtype": ["", "f64", "bfloat16"],
            "--input": ["", "1,1", "1,x", "-1,1,1", "1,1,1,1,1,1"],
            "--weight": ["", "0,1,1"],
        }
        for option, values in bad.items():
            for value in values:
                with self.subTest(option=option, value=value):
                    self.misuse([f"{option} {value}: expected"], *PLAN, option, value)
        for option in ("--output-padding", "--output-shape"):
            self.misuse([option, "expected"], *PLAN_TRANSPOSED, option, "-1")

    def test_options_that_do_not_go_together(self):
        self.misuse(["--storage", "vulkan"], *PLAN, "--storage", "buffer")
        for algorithm in ("implicit", "direct"):
            self.misuse(["--storage texture2d", f"--algorithm {algorithm}"], *PLAN, "--device", "vulkan", "--storage",
                        "texture2d", "--algorithm", algorithm)
        self.misuse(["--threads", "cpu"], *PLAN, "--device", "vulkan", "--threads", "2")
        self.misuse(["--isa", "cpu"], *PLAN, "--device", "vulkan:1", "--isa", "portable")
        self.misuse(["--output-padding"], *PLAN, "--output-padding", "1")
        self.misuse(["--output-shape"], *PLAN, "--output-shape", "8")
        self.misuse(["--input-dilation"], *PLAN_TRANSPOSED, "--input-dilation", "2")
        for padding in ("0", "1:2", "valid"):
            self.misuse(["--padding", "--output-shape"], *PLAN_TRANSPOSED, "--padding", padding, "--output-shape", "8")

    def test_wrong_number_of_axes(self):
        for option in ("--stride", "--dilation", "--input-dilation", "--padding"):
            self.misuse([option, "3 numbers for 2 spatial axes"], *PLAN, option, "1,1,1")
        for option in ("--output-padding", "--output-shape"):
            self.misuse([option, "3 numbers for 2 spatial axes"], *PLAN_TRANSPOSED, option, "1,1,1")


class Help(CommandLineTest):
    def test_help_and_version(self):
        self.assertRegex(self.succeed("--version"), r"\Atilefold \d+\.\d+\.\d+\n\Z")
        overview = self.succeed("--help")
        for command in ("conv", "conv-transpose", "plan", "bench", "devices"):
            self.assertIn(f"tilefold {command} ", overview)
            self.assertIn(f"Usage: tilefold {command} ", self.succeed(command, "--help"))
        self.assertIn("--output-shape", self.succeed("conv-transpose", "--help"))
        self.assertNotIn("--output-shape", self.succeed("conv", "--help"))
        self.assertNotIn("--bias", self.succeed("plan", "--help").split("Options:")[1])


class Plan(CommandLineTest):
    KEYS = ("op device algorithm isa threads output_shape scratch_limit_bytes scratch_bytes plan_bytes "
            "min_scratch_bytes ideal_scratch_bytes packed_weight_bytes full_unfold_bytes tiles phases macs math error_bound version").split()

    def test_json(self):
        plan = self.succeed_json("plan", "conv", "--input", "1,64,256,256", "--weight", "64,64,3,3", "--padding", "1")
        self.assertEqual(list(plan), self.KEYS)
        self.assertEqual((plan["op"], plan["device"]), ("conv", "cpu"))
        self.assertEqual(plan["output_shape"], [1, 64, 256, 256])
        self.assertEqual(plan["scratch_limit_bytes"], 16 << 20)
        self.assertEqual(plan["full_unfold_bytes"], 144 << 20)
        self.assertEqual(plan["macs"], 64 * 64 * (3 * 256 - 2) ** 2)
        self.assertEqual(plan["phases"], 1)
        self.assertLessEqual(plan["scratch_bytes"] + plan["plan_bytes"], plan["scratch_limit_bytes"])
        self.assertEqual(self.listing(), [])

    def test_text(self):
        text = self.succeed(*PLAN)
        self.assertGreater(len(text.splitlines()), 2)
        self.assertIn("scratch", text)

    def test_scratch_units(self):
        for text, bytes in (("1048576", 1 << 20), ("64KiB", 1 << 16), ("16MiB", 1 << 24), ("1GiB", 1 << 30)):
            self.assertEqual(self.succeed_json(*PLAN, "--scratch", text)["scratch_limit_bytes"], bytes)

    def test_largest_scratch(self):
        """2^63 and 2^64 bytes do not fit; one unit less than 2^63 does."""
        for power, unit in ((10, "KiB"), (20, "MiB"), (30, "GiB"), (40, "TiB")):
            for bytes in (1 << 63, 1 << 64):
                text = f"{bytes >> power}{unit}"
                self.fail_with(2, [f"--scratch {text}: expected"], *PLAN, "--scratch", text)
            most = (1 << 63) - (1 << power)
            plan = self.succeed_json(*PLAN, "--scratch", f"{most >> power}{unit}")
            self.assertEqual(plan["scratch_limit_bytes"], most)

    def test_founding_case_a(self):
        for scratch in ("16MiB", "64KiB"):
            plan = self.succeed_json("plan", "conv-transpose", "--layout", "channels-last", "--input", "1,5158,1",
                                     "--weight", "1,4096,1", "--stride", 1024, "--scratch", scratch)
            self.assertEqual(plan["output_shape"], [1, 5284864, 1])
            self.assertEqual(plan["full_unfold_bytes"], 86587211776)
            self.assertLessEqual(plan["macs"], 26400000)

    def test_sizes_past_32_bits(self):
        plan = self.succeed_json("plan", "conv", "--input", "1,1,6000000000", "--weight", "1,1,3")
        self.assertEqual(plan["output_shape"], [1, 1, 5999999998])
        self.assertEqual(plan["macs"], 3 * 5999999998)
        plan = self.succeed_json("plan", "conv", "--layout", "channels-last", "--input", "3,100000,100000,2", "--weight",
                                 "2,3,3,2", "--dtype", "bf16")
        self.assertEqual(plan["output_shape"], [3, 99998, 99998, 2])

    def test_empty_batch(self):
        plan = self.succeed_json("plan", "conv", "--input", "0,4,8,8", "--weight", "4,4,3,3")
        self.assertEqual((plan["output_shape"], plan["macs"]), ([0, 4, 6, 6], 0))

    def test_shapes_that_do_not_fit(self):
        big = "4000000000,4000000000,4000000000"
        for words, arguments in (
            (["--weight", "3 dimensions", "--input has 4"], ("--input", "1,4,8,8", "--weight", "4,4,3")),
            (["--input", "size 2 is 0"], ("--input", "1,4,0,8", "--weight", "4,4,3,3")),
            (["--weight", "3 input channels", "4 channels"], ("--input", "1,4,8,8", "--weight", "4,3,3,3")),
            (["--groups 3", "4 channels"], ("--input", "1,4,8,8", "--weight", "4,4,3,3", "--groups", "3")),
            (["--groups 2", "3 output channels"], ("--input", "1,4,8,8", "--weight", "3,2,3,3", "--groups", "2")),
            (["--input", "--weight", "axis 0", "no output", "input 2, kernel 3, stride 1, dilation 1, padding 0 and 0"],
             ("--input", "1,4,2,2", "--weight", "4,4,3,3")),
            (["--input", "--weight"], ("--input", "1,4,8,8", "--weight", "4,4,3,3", "--padding=-3")),
            (["--input", "input of 1 x 4 x 4000000000 x 4000000000 x 4000000000 elements"],
             ("--input", "1,4," + big, "--weight", "4,4,3,3,3")),
            (["--input", "output of 1 x 4 x 2000000006 x 2000000006 elements"],
             ("--input", "1,4,8,8", "--weight", "4,4,3,3", "--padding", "1000000000")),
            (["--weight", "weight of 2000000000 x 2000000000 x 3 elements"],
             ("--input", "1,2000000000,3", "--weight", "2000000000,2000000000,3")),
            (["--input", "axis 0", "padding 9223372036854775807 and 9223372036854775807"],
             ("--input", "1,4,8", "--weight", "4,4,3", "--padding", "9223372036854775807")),
            (["--input", "axis 0", "input 4000000000000000000 dilated by 9"],
             ("--input", "1,1,4000000000000000000", "--weight", "1,1,1", "--input-dilation", "9")),
            (["--input"], ("--input", "1,1,4000000000000000000", "--weight", "1,1,1", "--input-dilation", "9",
                           "--padding", "same")),
        ):
            with self.subTest(arguments=arguments):
                self.fail_with(1, words, "plan", "conv", *arguments)
        self.fail_with(1, ["axis 0", "output padding 9223372036854775807"], "plan", "conv-transpose", "--input", "1,4,8",
                       "--weight", "4,4,3", "--output-padding", "9223372036854775807")
        self.fail_with(1, ["--weight", "3 input channels", "has 4"], "plan", "conv-transpose", "--input", "1,4,8",
                       "--weight", "3,4,3")

    def test_limits_and_devices(self):
        self.fail_with(1, ["--scratch 100", "bytes"], *PLAN, "--scratch", "100")
        self.fail_with(1, ["--max-buffer 100", "the buffer limit of 100 bytes"], *PLAN, "--max-buffer", "100")
        self.fail_with(1, ["--scratch 100", "the scratch limit of 100 bytes"], *PLAN, "--max-buffer", "1MiB", "--scratch", "100")
        self.fail_with(1, ["--device vulkan:3"], *PLAN, "--device", "vulkan:3")
        least = self.succeed_json(*PLAN)["min_scratch_bytes"]
        self.assertLessEqual(least, 65536)
        self.assertEqual(self.succeed_json(*PLAN, "--threads", 1, "--scratch", least)["scratch_limit_bytes"], least)
        self.fail_with(1, [f"--scratch {least - 1}", str(least)], *PLAN, "--threads", 1, "--scratch", least - 1)

    @unittest.skipIf(sanitized(), "sanitizers need more addresses than that")
    def test_threads_are_not_started_to_plan(self):
        """There is no room for the stacks of so many."""
        limit = lambda: resource.setrlimit(resource.RLIMIT_AS, (200 << 20, 200 << 20))
        plan = self.succeed_json("plan", "conv", "--input", "1,64,512,512", "--weight", "64,64,3,3", "--threads", 1024,
                                 preexec_fn=limit)
        self.assertGreater(plan["threads"], 1)

    def test_wrong_algorithm(self):
        self.fail_with(1, ["--algorithm direct"], "plan", "conv", "--input", "1,256,64,64", "--weight", "256,256,3,3",
                       "--algorithm", "direct")


class Devices(CommandLineTest):
    def test_devices(self):
        devices = self.succeed_json("devices")["devices"]
        cpu = devices[0]
        self.assertEqual((cpu["kind"], cpu["index"]), ("cpu", 0))
        self.assertGreaterEqual(cpu["threads"], 1)
        self.assertIn("portable", cpu["isas"])
        self.assertIn(cpu["isa"], cpu["isas"])
        self.assertIn(cpu["isa"], self.succeed("devices"))
        self.assertNotIn("subgroup_size", cpu)

    def test_each_isa_runs_or_is_refused(self):
        here = self.succeed_json("devices")["devices"][0]["isas"]
        for isa in ("portable", "avx2", "avx512", "neon"):
            if isa in here:
                self.assertEqual(self.succeed_json(*PLAN, "--isa", isa)["isa"], isa)
            else:
                self.fail_with(1, [f"--isa {isa}"], *PLAN, "--isa", isa)


class Bench(CommandLineTest):
    HEADER = "# name\top\trank\tbatch\tspatial\tin_channels\tout_channels\tkernel\tstride\tpadding\tdilation\toutput_padding\tgroups\n"
    ROW = "tiny\tconv\t2\t1\t8,8\t4\t4\t3,3\t1,1\t1,1\t1,1\t0,0\t1\n"
    UP = "up\tconv-transpose\t1\t2\t9\t4\t2\t4\t2\t1\t1\t1\t2\n"
    KEYS = "name seconds best_seconds gflops peak_fraction scratch_bytes algorithm math".split()

    def suite(self, text):
        with open(self.path("suite.tsv"), "w") as file:
            file.write(text)
        return "suite.tsv"

    def lines(self, *arguments):
        import json
        return [json.loads(line) for line in self.succeed("bench", "--json", *arguments).splitlines()]

    def test_own_suite(self):
        name = self.suite(self.HEADER + self.ROW + "\n" + self.UP)
        for extra in ((), ("--layout", "channels-last", "--dtype", "bf16"), ("--dtype", "f16", "--scratch", "64KiB"),
                      ("--threads", "1", "--isa", "portable")):
            rows = self.lines("--suite", name, *extra)
            self.assertEqual([row["name"] for row in rows], ["tiny", "up"])
            for row in rows:
                self.assertEqual(list(row), self.KEYS)
                self.assertGreater(row["gflops"], 0)
                self.assertLessEqual(row["best_seconds"], row["seconds"])
        table = self.succeed("bench", "--suite", name)
        self.assertIn("tiny", table)
        self.assertIn("peak", table)

    def test_built_in_suite(self):
        rows = self.lines("--filter", "mobilenet_dw_14")
        self.assertEqual([row["name"] for row in rows], ["mobilenet_dw_14"])
        self.fail_with(1, ["--filter nothing"], "bench", "--json", "--filter", "nothing")

    def test_algorithm_that_does_not_apply(self):
        wide = "wide\tconv\t2\t1\t16,16\t128\t128\t3,3\t1,1\t1,1\t1,1\t0,0\t1\n"
        name = self.suite(wide)
        rows = self.lines("--suite", name, "--algorithm", "direct")
        self.assertEqual(list(rows[0]), ["name", "error"])
        self.assertIn("wide", self.succeed("bench", "--suite", name, "--algorithm", "direct"))

    def test_names_that_are_no_text(self):
        """JSON is UTF-8 whatever a table holds: what is no character is U+FFFD."""
        import json
        for name, expected in ((b'"\\\x01', '"\\\x01'), ("\u00e9\u20ac\U0001f600".encode(), "\u00e9\u20ac\U0001f600"),
                               (b"a\xff", "a\ufffd"), (b"\xc3", "\ufffd"), (b"\xc0\x80", "\ufffd\ufffd"),
                               (b"\xe2\x82x", "\ufffd\ufffdx"), (b"\xed\xa0\x80", "\ufffd" * 3), (b"\xf4\x90\x80\x80", "\ufffd" * 4)):
            with open(self.path("suite.tsv"), "wb") as file:
                file.write(name + self.ROW[4:].encode())
            process = self.start("bench", "--json", "--suite", "suite.tsv")
            output, _ = process.communicate(timeout=300)
            self.assertEqual(process.returncode, 0)
            self.assertEqual(json.loads(output.decode("utf-8", "strict"))["name"], expected)

    @unittest.skipIf(sanitized(), "sanitizers speak themselves of memory that is out")
    def test_too_large(self):
        name = self.suite("huge\tconv\t1\t1\t90000000000000\t1\t1\t3\t1\t0\t1\t0\t1\n")
        self.fail_with(1, ["huge", "input of 360000000000000 bytes"], "bench", "--json", "--suite", name)

    def test_endless_suites(self):
        self.fail_with(1, ["/dev/zero:1", "longer than"], "bench", "--suite", "/dev/zero")
        long = self.ROW[:-1] + " " * (4094 - len(self.ROW) + 1)
        self.assertEqual(len(long), 4094)
        self.fail_with(1, ["suite.tsv:1", "groups"], "bench", "--suite", self.suite(long + "\n"))
        self.fail_with(1, ["suite.tsv:1", "longer than 4094"], "bench", "--suite", self.suite(long + " \n"))
        self.fail_with(1, ["suite.tsv:2", "longer than 4094"], "bench", "--suite", self.suite(self.ROW + long + " \n"))
        self.fail_with(1, [".", "Is a directory"], "bench", "--suite", ".")

    def test_bad_suites(self):
        self.fail_with(1, ["missing.tsv"], "bench", "--suite", "missing.tsv")
        self.fail_with(1, ["suite.tsv", "no problem"], "bench", "--suite", self.suite(self.HEADER))
        self.fail_with(1, ["suite.tsv:2", "only 1 columns"], "bench", "--suite", self.suite(self.HEADER + "a b c\n"))
        self.fail_with(1, ["suite.tsv:1", "more than 13"], "bench", "--suite", self.suite(self.ROW[:-1] + "\t1\n"))
        for column in range(1, 13):
            fields = self.ROW.strip().split("\t")
            for wrong in ("", "x", "-1", "1,1,1,1"):
                fields[column] = wrong
                with self.subTest(column=column, wrong=wrong):
                    self.fail_with(1, ["suite.tsv:1"], "bench", "--suite", self.suite("\t".join(fields) + "\n"))


class StandardOutput(CommandLineTest):
    def test_full(self):
        self.save("in.npy", np.zeros((1, 1, 8), np.float32))
        self.save("w.npy", np.zeros((1, 1, 3), np.float32))
        for arguments in (("--version",), ("--help",), PLAN, (*PLAN, "--json"), ("devices", "--json"),
                          ("conv", "in.npy", "w.npy", "-o", "out.npy")):
            with open("/dev/full", "w") as full:
                self.fail_with(1, ["standard output"], *arguments, stdout=full)

    def test_without_a_reader(self):
        for arguments in (("--version",), ("--help",), PLAN, ("devices",), ("bench", "--filter", "mobilenet_dw_14")):
            reading, writing = os.pipe()
            os.close(reading)
            self.fail_with(1, ["standard output", "Broken pipe"], *arguments, stdout=writing)
            os.close(writing)

    def test_closed_streams_are_not_taken_for_files(self):
        self.save("in.npy", np.ones((1, 1, 8), np.float32))
        self.save("w.npy", np.ones((1, 1, 3), np.float32))
        for closed in ((1,), (0, 1), (0, 1, 2)):
            before = self.listing()
            status, _, _ = self.run_raw("conv", "in.npy", "w.npy", "-o", "out.npy", "--json",
                                        preexec_fn=lambda: [os.close(number) for number in closed])
            self.assertEqual((status, self.listing()), (1, before))
