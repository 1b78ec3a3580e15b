"""What a query costs in numbers that a noisy machine cannot change: instructions, allocations and system calls.

The programs to be looked at run under callgrind, which counts the instructions of user space, with bench/count_calls.c
preloaded, which counts the rest.
"""

import glob
import os
import re
import shutil
import struct
import subprocess

from vitrail.benchmark import BenchCluster
from vitrail.processes import Failure, Process

COUNTERS = ("allocations", "allocated_bytes", "recv", "peek", "send", "epoll_wait", "epoll_ctl", "read", "write")
SYSCALLS = COUNTERS[2:]
SOURCE = os.path.join(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))), "bench",
                      "count_calls.c")


class CountedCluster(BenchCluster):
    """A cluster whose vtgate and vttablets are counted."""

    def __init__(self, root, **options):
        super().__init__(root, **options)
        if shutil.which("valgrind") is None:
            raise Failure("valgrind is missing: ./dev deps bench")
        self.library = self.path("count_calls.so")
        subprocess.run(["cc", "-O2", "-shared", "-fPIC", "-o", self.library, SOURCE, "-ldl"], check=True)
        self.counted = {}  # Name -> (program, process).

    def start(self, name, argv, ready, seconds=60):
        program = os.path.basename(argv[0])
        if program not in ("vtgate", "vttablet"):
            return super().start(name, argv, ready, seconds)
        stripped = self.path(program)  # valgrind cannot read all of clang's debug information.
        if not os.path.exists(stripped):
            subprocess.run(["objcopy", "--strip-debug", argv[0], stripped], check=True)
        wrapped = ["valgrind", "--tool=callgrind", "--instr-atstart=no", "--separate-threads=yes",
                   f"--callgrind-out-file={self.path(name + '.callgrind')}",
                   stripped, *argv[1:]]
        environment = {**self.environment(), "LD_PRELOAD": self.library, "VITRAIL_COUNT_FILE": self.path(name + ".counts")}
        process = Process(name, wrapped, self.path("logs", name + ".log"), environment).start()
        self.processes[name] = process
        self.counted[name] = (program, process)
        self.save()
        process.wait_ready(ready, 4 * seconds)
        return process

    def _control(self, *arguments):
        for _, process in self.counted.values():
            subprocess.run(["callgrind_control", *arguments, str(process.pid)], check=True, capture_output=True)

    def _counters(self, name):
        with open(self.path(name + ".counts"), "rb") as file:
            return struct.unpack(f"{len(COUNTERS)}Q", file.read(8 * len(COUNTERS)))

    def _dumps(self, name):
        return set(glob.glob(glob.escape(self.path(name + ".callgrind")) + ".*"))

    def count(self, work, queries):
        """Runs `work`, and returns by program what each of its `queries` cost; of several tablets, all of them together."""
        self._control("-z")
        self._control("-i", "on")
        before = {name: self._counters(name) for name in self.counted}
        dumps = {name: self._dumps(name) for name in self.counted}
        work()
        after = {name: self._counters(name) for name in self.counted}
        self._control("-d")
        self._control("-i", "off")
        result = {}
        for name, (program, _) in self.counted.items():
            # The loop that the client is on; other threads have nothing to do with it.
            instructions = max(map(total_of, self._dumps(name) - dumps[name]), default=0)
            each = {what: (end - begin) / queries for what, begin, end in zip(COUNTERS, before[name], after[name])}
            each.update(instructions=instructions / queries, syscalls=sum(each[what] for what in SYSCALLS))
            sums = result.setdefault(program, dict.fromkeys(each, 0))
            for what, number in each.items():
                sums[what] += number
        whole = ("instructions", "allocated_bytes")
        return {program: {what: round(number, None if what in whole else 1) for what, number in sums.items()}
                for program, sums in result.items()}


def total_of(path):
    """Instructions in a file that callgrind wrote."""
    with open(path, encoding="utf-8", errors="replace") as file:
        found = re.search(r"(?m)^(?:totals|summary):\s+(\d+)", file.read())
    return int(found.group(1)) if found else 0
