#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Tests of the command line: run_tests.py EXECUTABLE [unittest names or options]. Fails where it ran no test."""

import os
import sys
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import harness  # noqa: E402


def main():
    if len(sys.argv) < 2 or not os.access(sys.argv[1], os.X_OK):
        sys.exit("usage: run_tests.py EXECUTABLE [unittest names or options]")
    harness.EXECUTABLE = os.path.abspath(sys.argv[1])
    here = os.path.dirname(os.path.abspath(__file__))
    modules = sorted(name[:-3] for name in os.listdir(here) if name.startswith("test_") and name.endswith(".py"))
    names = sys.argv[2:] or modules
    program = unittest.main(module=None, argv=["run_tests.py", *names], exit=False)
    ran = program.result.testsRun - len(program.result.skipped)
    sys.exit(0 if program.result.wasSuccessful() and ran > 0 else 1)


if __name__ == "__main__":
    main()
