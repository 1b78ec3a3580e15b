#!/usr/bin/env python3
"""What failed in a run of ctest, once more and in few lines: a few thousand characters at the end are all that some readers keep.

Usage: failed_tests.py BUILD_FOLDER. Reads Testing/Temporary/LastTest.log of it.
"""

import os
import re
import sys

LINES, WIDTH = 30, 300
RUN = re.compile(r'^\d+/\d+ Test(?:ing)?: (?P<name>\S+)$')
# Where an output begins to say what is wrong: of our own tests, unittest, googletest, a sanitizer and Python.
FINDING = re.compile(r"^={20,}$|: Failure$|^\[  FAILED|ERROR: AddressSanitizer|WARNING: ThreadSanitizer|: runtime error: |^Traceback ")
LOG = re.compile(r"--- the end of ")  # What an end-to-end test prints ahead of that.


def runs(lines):
    """(name, output, passed) of every run of a test, in their order. `lines`: of LastTest.log."""
    out, name, output, inside, result = [], None, [], False, ""
    for line in lines:
        line = line.rstrip("\n")
        if not inside and (found := RUN.match(line)):
            name, output, result = found["name"], [], ""
        elif not inside and line == "Output:":
            inside = True
        elif line.endswith("<end of output>"):
            if rest := line[:-len("<end of output>")]:  # An output without an end of line.
                output.append(rest)
            inside = False
        elif inside:
            output.append(line)
        elif name is not None and line.startswith("Test ") and not line.startswith("Test time"):
            result = line
            out.append((name, output[1:], result.startswith("Test Passed") or "Skipped" in result))
            name = None
    return out


def essence(output, most=LINES):
    """The lines of an output that say what is wrong: from the first finding on, and the end; the middle is left out when they are many."""
    first = next((i for what in (FINDING, LOG) for i, line in enumerate(output) if what.search(line)), None)
    chosen = output[max(len(output) - most // 2, 0):] if first is None else output[first:]
    if len(chosen) > most:
        chosen = [*chosen[:most // 2], f"[... {len(chosen) - most // 2 * 2} lines ...]", *chosen[-(most // 2):]]
    return [line if len(line) <= WIDTH else line[:WIDTH] + " ..." for line in chosen]


def summary(lines):
    every = runs(lines)
    passed_once = {name for name, _, passed in every if passed}
    out = []
    for name, output, passed in every:
        if not passed:
            out += [f"=== {name} failed{' (and passed in another run)' if name in passed_once else ''}:", *essence(output), ""]
    return "\n".join(out)


def main():
    path = os.path.join(sys.argv[1], "Testing", "Temporary", "LastTest.log")
    if os.path.exists(path):
        with open(path, encoding="utf-8", errors="replace") as file:
            print(summary(file), flush=True)


if __name__ == "__main__":
    main()
