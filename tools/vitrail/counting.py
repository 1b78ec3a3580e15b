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
        self.counted = {}  # Program -> its process.

    def start(self, name, argv, ready, seconds=60):
        program = os.path.basename(argv[0])
        if program not in ("vtgate", "vttablet"):
            return super().start(name, argv, ready, seconds)
        stripped = self.path(program)  # valgrind cannot read all of clang's debug information.
        if not os.path.exists(stripped):
            subprocess.run(["objcopy", "--strip-debug", argv[0], stripped], check=True)
        wrapped = ["valgrind", "--tool=callgrind", "--instr-atstart=no", "--separate-threads=yes",
                   f"--callgrind-out-file={self.path(program + '.callgrind')}",
                   stripped, *argv[1:]]
        environment = {**self.environment(), "LD_PRELOAD": self.library, "VITRAIL_COUNT_FILE": self.path(program + ".counts")}
        process = Process(name, wrapped, self.path("logs", name + ".log"), environment).start()
        self.processes[name] = self.counted[program] = process
        self.save()
        process.wait_ready(ready, 4 * seconds)
        return process

    def _control(self, *arguments):
        for process in self.counted.values():
            subprocess.run(["callgrind_control", *arguments, str(process.pid)], check=True, capture_output=True)

    def _counters(self, program):
        with open(self.path(program + ".counts"), "rb") as file:
            return struct.unpack(f"{len(COUNTERS)}Q", file.read(8 * len(COUNTERS)))

    def _dumps(self, program):
        return set(glob.glob(glob.escape(self.path(program + ".callgrind")) + ".*"))

    def count(self, work, queries):
        """Runs `work`, and returns by program what each of its `queries` cost."""
        self._control("-z")
        self._control("-i", "on")
        before = {program: self._counters(program) for program in self.counted}
        dumps = {program: self._dumps(program) for program in self.counted}
        work()
        after = {program: self._counters(program) for program in self.counted}
        self._control("-d")
        self._control("-i", "off")
        result = {}
        for program in self.counted:
            # The loop that the client is on; other threads have nothing to do with it.
            instructions = max(map(total_of, self._dumps(program) - dumps[program]), default=0)
            each = {name: (end - begin) / queries for name, begin, end in zip(COUNTERS, before[program], after[program])}
            result[program] = {"instructions": round(instructions / queries),
                               "allocations": round(each["allocations"], 1),
                               "allocated_bytes": round(each["allocated_bytes"]),
                               "syscalls": round(sum(each[name] for name in SYSCALLS), 1),
                               **{name: round(each[name], 1) for name in SYSCALLS}}
        return result


def total_of(path):
    """Instructions in a file that callgrind wrote."""
    with open(path, encoding="utf-8", errors="replace") as file:
        found = re.search(r"(?m)^(?:totals|summary):\s+(\d+)", file.read())
    return int(found.group(1)) if found else 0
