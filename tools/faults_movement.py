#!/usr/bin/env python3
"""Faults at each recorded step of each operation on a workflow: `./dev faults movement`.

vtctld stops itself where it has noted the step and not yet carried it out (--test-stop-at-step). Then one process is
killed or stopped, vtctld goes on, and a command follows: the same one, or another that is legal. Meanwhile clients
insert and update rows with unique ids. A cell passes when writes are possible again within 10 s of the fault's end,
nothing is left open, records and streams are those of a state that a workflow can be in, and every acknowledged write
is found once and where it belongs.

The last line is {"cells": n, "passed": n, "failed": [...]}.
"""

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import pymysql  # noqa: E402

from vitrail.faults import WRITES_WITHIN, EtcdCluster, Stage  # noqa: E402
from vitrail.processes import Failure, wait_until  # noqa: E402

# src/control/workflow: the steps of each operation, in their order. A step that is not reached fails its cell.
SWITCH = ("switch_reads", "create_reverse_streams", "stop_writes", "catch_up", "stop_streams", "position_reverse_streams",
          "journal", "allow_target_writes", "switch_routing", "start_reverse_streams", "freeze_streams")
STEPS = {
    "MoveTables": {
        "create": ("deploy_schema", "create_streams", "routing_rules", "deny_target_tables", "update_vschema", "start_streams"),
        "switchtraffic": SWITCH,
        "reversetraffic": SWITCH,
        "complete": ("delete_reverse_streams", "drop_source_tables", "remove_from_source_vschema", "remove_routing_rules",
                     "allow_source_tables", "delete_streams"),
        "cancel": ("restore_reads", "stop_streams", "drop_target_tables", "remove_from_target_vschema", "remove_routing_rules",
                   "allow_target_tables", "delete_streams"),
    },
    # Not `complete`: it deletes the shards that the next cell needs. tests/e2e/movement.py has it.
    "Reshard": {
        "create": ("deploy_schema", "create_streams", "start_streams"),
        "switchtraffic": SWITCH,
        "reversetraffic": SWITCH,
        "cancel": ("restore_reads", "stop_streams", "drop_target_tables", "delete_streams"),
    },
}
VICTIMS = ("vtctld", "source vttablet", "target vttablet", "source mysqld", "target mysqld", "etcd", "vtgate")
MODES = ("kill", "stop")


class Cell:
    def __init__(self, kind, action, step, victim, mode):
        self.kind, self.action, self.step, self.victim, self.mode = kind, action, step, victim, mode

    def __str__(self):
        return f"{self.kind} {self.action}/{self.step}/{self.mode} {self.victim}"


def all_cells():
    return [Cell(kind, action, step, victim, mode) for kind, actions in STEPS.items() for action, steps in actions.items()
            for step in steps for victim in VICTIMS for mode in MODES]


class Matrix(Stage):
    def __init__(self, cluster, seed, stop_seconds):
        super().__init__(cluster, seed)
        self.stop_seconds = stop_seconds

    def prepare(self, side, action):
        """Brings the workflow where `action` is legal."""
        if action == "create":
            if side.workflow and side.switched:
                self.must(*self.command(side, "reversetraffic"))
                side.switched = False
            if side.workflow:
                self.must(*self.command(side, "cancel"))
            side.count += 1
            side.workflow = f"w{side.count}"
            return
        if side.workflow is None:
            side.count += 1
            side.workflow = f"w{side.count}"
            self.must(*self.command(side, "create"))
        self.wait_running_or_frozen(side)
        wanted = action in ("reversetraffic", "complete")
        if side.switched != wanted:
            self.must(*self.command(side, "switchtraffic" if wanted else "reversetraffic"))
            side.switched = wanted

    # --- one cell ---
    def run(self, cell):
        self.chance = random.Random(f"{self.seed} {cell}")
        side = self.sides[cell.kind]
        self.prepare(side, cell.action)
        ledger = side.ledger
        self.restart_vtctld("--test-stop-at-step", cell.step)
        answer = {}
        command = threading.Thread(target=lambda: answer.update(r=self.ctl(*self.command(side, cell.action), server="vtctld")))
        command.start()
        vtctld = self.cluster.processes["vtctld"]
        wait_until(lambda: self.is_stopped(vtctld) or "r" in answer, f"vtctld to reach {cell.step}", 60, 0.01)
        if not self.is_stopped(vtctld):
            raise Failure(f"step {cell.step} was not reached: {answer['r'][1].strip()[-300:]}")
        ended = self.hurt(cell, side)
        command.join(200)
        # The records say what became of it; then the same command, or another one, whichever is legal.
        ledger.wait_for_writes(ended, WRITES_WITHIN + (0 if cell.mode == "kill" else 5))
        took = time.monotonic() - ended
        self.wait_settled(side)
        self.observe(side)
        self.check(side)
        self.compare(side)
        self.follow(side, cell.action)
        self.wait_settled(side)
        self.observe(side)
        self.check(side)
        self.compare(side)
        return f"{'done' if answer['r'][0] else 'not done'}, a write after {min(took, ledger.last - ended):.1f} s"

    def hurt(self, cell, side):
        """The fault, while vtctld stands at the step. Returns when it was over."""
        vtctld = self.cluster.processes["vtctld"]
        pid = self.pid_of(cell.victim, side)
        if cell.mode == "stop":
            os.kill(pid, signal.SIGSTOP)
            began = time.monotonic()
            if cell.victim != "vtctld":
                vtctld.kill(signal.SIGCONT)
            else:  # The other one lifts a fence while this one stands.
                side.ledger.wait_for_writes(began, WRITES_WITHIN)
            time.sleep(max(0, began + self.stop_seconds - time.monotonic()))
            os.kill(pid, signal.SIGCONT)
            return time.monotonic()
        os.kill(pid, signal.SIGKILL)
        if cell.victim != "vtctld":  # Else the other one goes on.
            vtctld.kill(signal.SIGCONT)
            self.revive(cell.victim, side, pid)
        return time.monotonic()

    def follow(self, side, action):
        """The same command again, or another one."""
        legal = (["create"] if side.workflow is None else ["reversetraffic"] if side.switched else ["switchtraffic", "cancel"])
        if side.workflow is None:
            side.count += 1
            side.workflow = f"w{side.count}"
        else:
            self.wait_running_or_frozen(side)
        chosen = action if action in legal and self.chance.random() < 0.5 else self.chance.choice(legal)
        given_up = time.monotonic() + WRITES_WITHIN
        while True:
            ok, out = self.ctl(*self.command(side, chosen))
            if ok:
                return
            # A server that has just come back is read-only until its tablet has looked at it.
            back_soon = "CLUSTER_EVENT" in out or "UNAVAILABLE" in out
            if not back_soon or time.monotonic() > given_up:
                raise Failure(f"{' '.join(self.command(side, chosen))}: {out.strip()}")
            time.sleep(0.2)

    # --- all of them ---
    def go(self, cells, results=None):
        failed, passed = [], 0
        self.start()
        self.start_second_vtctld()
        self.start_writers()
        for number, cell in enumerate(cells):
            started = time.monotonic()
            try:
                note = self.run(cell)
                passed += 1
                word = "passed"
            except (Failure, pymysql.MySQLError, OSError, KeyError) as error:
                word, note = "FAILED", str(error)
                failed.append(f"{cell}: {note[:300]}")
                self.recover(self.sides[cell.kind])
            if results:
                with open(results, "a", encoding="utf-8") as file:
                    print(json.dumps({"cell": str(cell), "passed": word == "passed", "note": note, "seed": self.seed}), file=file)
            print(f"{number + 1}/{len(cells)} {cell}: {word} in {time.monotonic() - started:.1f} s: {note}", flush=True)
        for side in self.sides.values():
            side.ledger.stop()
            print(f"{side.kind}: {side.ledger.acknowledged} writes acknowledged, {side.ledger.errors} errors", flush=True)
        return passed, failed

    def recover(self, side):
        """Whatever a cell has left stopped goes on, so that the next one tells of itself."""
        for process in self.cluster.processes.values():
            if self.is_stopped(process):
                process.kill(signal.SIGCONT)
        try:
            self.wait_settled(side)
            self.observe(side)
        except (Failure, pymysql.MySQLError, OSError) as error:
            print(f"after it: {error}", flush=True)


def parse():
    parser = argparse.ArgumentParser(prog="./dev faults movement", description=__doc__.splitlines()[0])
    parser.add_argument("--sample", nargs="?", const=6, type=int, help="so many cells, chosen by the seed (6)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", default="", help="cells whose name has this text, as in the list of those that failed")
    parser.add_argument("--stop-seconds", type=float, help="how long a stopped process stands (20; in a sample 6)")
    parser.add_argument("--json", action="store_true", help="only the last line")
    parser.add_argument("--share", default="1/1", help="K/N: the K-th of N parts of the cells, in an order that the seed gives")
    parser.add_argument("--results", help="a file that gets a line for each cell; those that it has are not run again")
    parser.add_argument("--limit", type=int, help="at most so many cells in this run")
    return parser.parse_args()


def chosen_cells(args):
    cells = [cell for cell in all_cells() if args.only in str(cell)]
    if args.sample:
        return random.Random(args.seed).sample(cells, min(args.sample, len(cells)))
    part, parts = map(int, args.share.split("/"))
    if parts > 1:
        random.Random(args.seed).shuffle(cells)
        cells = cells[part - 1::parts]
    if args.results and os.path.exists(args.results):
        with open(args.results, encoding="utf-8") as file:
            known = {json.loads(line)["cell"] for line in file}
        cells = [cell for cell in cells if str(cell) not in known]
    return cells[:args.limit]


def main():
    args = parse()
    cells = chosen_cells(args)
    if not cells and args.results:
        print(json.dumps({"cells": 0, "passed": 0, "failed": []}))
        return
    if not cells:
        sys.exit(f"no cell has the name '{args.only}'")
    if shutil.which("etcd") is None:
        print("left out: there is no etcd", file=sys.stderr)
        sys.exit(77)
    root = tempfile.mkdtemp(prefix="vitrail-faults-")
    cluster = EtcdCluster(root)
    stop_seconds = args.stop_seconds or (6 if args.sample else 20)
    out = sys.stdout
    if args.json:
        sys.stdout = open(os.devnull, "w", encoding="utf-8")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    problems = ["it did not end"]
    try:
        passed, failed = Matrix(cluster, args.seed, stop_seconds).go(cells, args.results)
    finally:
        problems = cluster.down()
    failed += problems
    print(json.dumps({"cells": len(cells), "passed": passed, "failed": failed}), file=out)
    if failed:
        print(f"everything is in {root}", file=sys.stderr)
        sys.exit(1)
    shutil.rmtree(root)


if __name__ == "__main__":
    main()
