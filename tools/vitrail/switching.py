"""Switches of a workflow to and fro under clients that write, and what they saw."""

import statistics
import time

from vitrail.ledger import SteadyWriters, reckon
from vitrail.processes import Failure, wait_until


class Switching:
    """One workflow of a stage (vitrail.faults) and its writers."""

    def __init__(self, stage, kind, note, **writers):
        self.stage, self.side, self.note = stage, stage.sides[kind], note
        self.writers = SteadyWriters(lambda: stage.cluster.connect(read_timeout=90, write_timeout=90), self.side.table, **writers)
        self.pauses, self.quiet, self.straddled, self.failed = [], [], 0, []

    def more_writes(self, count, seconds=60):
        goal = self.writers.total() + count
        wait_until(lambda: self.writers.total() >= goal, f"{count} more writes to {self.side.table}", seconds, 0.01)

    def run(self, switches):
        """An even number of switches; then nothing is switched, and the rows are compared."""
        stage, side = self.stage, self.side
        side.workflow = "w"
        stage.must(*stage.command(side, "create"))
        stage.wait_running(side)
        self.writers.start()
        self.more_writes(500)
        for number in range(switches):
            self.switch(number)
        self.more_writes(100)
        self.writers.stop()
        return reckon(self.writers.expected(), stage.contents(side))

    def switch(self, number):
        stage, side = self.stage, self.side
        action = "reversetraffic" if side.switched else "switchtraffic"
        stage.wait_running_or_frozen(side)
        quiet = time.monotonic()
        self.more_writes(200)
        self.quiet.append(self.writers.longest(quiet, time.monotonic()))
        started = time.monotonic()
        ok, out = stage.ctl(*stage.command(side, action))
        ended = time.monotonic()
        if not ok:  # Refused or undone: nothing has changed. The next turn tries again.
            self.failed.append(out.strip())
            self.note(f"{number + 1}: {action}: {out.strip()}")
            if len(self.failed) > 10:
                raise Failure(f"{action} of {side.workflow} failed too often: {self.failed[:3]}")
            return self.switch(number)
        side.switched = not side.switched
        self.more_writes(100)
        self.pauses.append(self.writers.longest(started, time.monotonic()))
        self.straddled += sum(1 for begin, end in list(self.writers.straddled) if begin < ended and end > started)
        self.note(f"{number + 1}: {side.kind} {action}: {self.pauses[-1]} ms")
        return None

    def result(self, differences):
        """For people and for --json. A row in the wrong shard is found by nobody: it is lost."""
        lost = len(differences["lost"]) + len(differences["misplaced"])
        return {"switches": len(self.pauses),
                "pause_ms": {"p50": round(statistics.median(self.pauses), 1), "p99": percentile(self.pauses, 0.99),
                             "max": max(self.pauses)},
                "client_errors": len(self.writers.errors), "writes_lost": lost, "writes_doubled": len(differences["doubled"])}


def percentile(values, share):
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def describe(kind, result, switching, differences):
    pause = result["pause_ms"]
    lines = [f"{kind}: {result['switches']} switches, pause p50 {pause['p50']} ms, p99 {pause['p99']} ms, max {pause['max']} ms; "
             f"{switching.writers.total()} writes acknowledged, {result['writes_lost']} lost, {result['writes_doubled']} doubled, "
             f"{result['client_errors']} client errors",
             f"longest statement of a stretch without a switch: p50 {round(statistics.median(switching.quiet), 1)} ms, "
             f"max {max(switching.quiet)} ms"]
    examples = [*switching.failed, *switching.writers.errors, *(text for kind in differences.values() for text in kind)]
    return "\n  ".join(lines + examples[:10])
