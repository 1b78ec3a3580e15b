#!/usr/bin/env python3
"""What `./dev test` says at its end of the tests that failed, from ctest's own log."""

import os
import sys
import unittest

REPOSITORY = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(REPOSITORY, "tools"))

from failed_tests import WIDTH, essence, runs, summary  # noqa: E402


def one_run(name, output, result):
    return f"""1/2 Testing: {name}
1/2 Test: {name}
Command: "/bin/x"
Directory: /tmp
"{name}" start time: Nov 30 08:18 UTC
Output:
----------------------------------------------------------
{output}<end of output>
Test time =   0.01 sec
----------------------------------------------------------
{result}
"{name}" end time: Nov 30 08:18 UTC
----------------------------------------------------------

"""


class Summary(unittest.TestCase):
    def test_runs(self):
        text = one_run("a", "x\n", "Test Passed.") + one_run("b", "1/2 Testing: no\nleft out", "Test Passed.") + \
            one_run("c", "y\n", "Test Failed.") + one_run("d", "", "Test Skipped.")
        self.assertEqual(runs(text.splitlines(True)), [("a", ["x"], True), ("b", ["1/2 Testing: no", "left out"], True),
                                                       ("c", ["y"], False), ("d", [], True)])

    def test_the_essence(self):
        noise = [f"line {n}" for n in range(100)]
        for finding in ("=" * 70, "--- the end of vtgate.log", "a.cc:1: Failure", "[  FAILED  ] A.B (1 ms)", "==1==ERROR: AddressSanitizer: heap", "Traceback (most recent call last):"):
            self.assertEqual(essence([*noise, finding, "why"]), [finding, "why"])
        self.assertEqual(essence(["--- the end of vtgate.log", *noise, "=" * 70, "why"]), ["=" * 70, "why"])
        self.assertEqual(essence(noise, 10), noise[-5:])
        self.assertEqual(essence(["x.cc:1: Failure", *noise], 4), ["x.cc:1: Failure", "line 0", "[... 97 lines ...]", "line 98", "line 99"])
        self.assertEqual(essence(["x" * (WIDTH + 1)]), ["x" * WIDTH + " ..."])

    def test_only_failures_are_told(self):
        text = one_run("a", "x\n", "Test Passed.") + one_run("b", "first\n", "Test Failed.") + one_run("c", "third\n", "Test Failed.") + \
            one_run("b", "second\n", "Test Passed.")
        self.assertEqual(summary(text.splitlines(True)), "=== b failed (and passed in another run):\nfirst\n\n=== c failed:\nthird\n")
        self.assertEqual(summary(one_run("a", "x\n", "Test Passed.").splitlines(True)), "")


if __name__ == "__main__":
    unittest.main(verbosity=2)
