#!/usr/bin/env python3
"""Faults at each recorded step of each operation on a workflow: `./dev faults movement`.

vtctld stops itself where it has noted the step and not yet carried it out (--test-stop-at-step). Then one process is
killed or stopped (or, with --reparents, a shard gets another primary), vtctld goes on, and a command follows: the same
one, or another that is legal. With --pauses it is vtctld itself that stands still: before a step, behind one that it has
not noted, or where it has just made sure that the operation is its own and is about to write; the other vtctld has to end
the operation and carries out another legal command, and nothing of that may change when the first one goes on. Meanwhile
clients insert and update rows with unique ids. A cell passes when writes are possible again within 10 s of the fault's end,
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

from vitrail.faults import OTHER_CELL, WRITES_WITHIN, EtcdCluster, Following, Stage  # noqa: E402
from vitrail.processes import Failure, http_json, wait_until  # noqa: E402

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
    "Materialize": {
        "create": ("deploy_schema", "create_streams", "start_streams"),
        "add_tables": ("deploy_schema", "stop_streams", "add_rules", "start_streams"),
        "cancel": ("stop_streams", "drop_target_tables", "delete_streams"),
    },
}
VICTIMS = ("vtctld", "source vttablet", "target vttablet", "source mysqld", "target mysqld", "etcd", "vtgate")
MODES = ("kill", "stop")
REPARENTED = ("source primary", "target primary")
# How long writes may stand still beside a cell whose topology does: its store gives up, the step is undone or done again.
BESIDE_A_CELL = 12
CELL_STANDS = 16  # At least, in seconds: longer than any store is waited for.
# Places of a step where vtctld may stand (src/control/workflow/engine/runner.h), and the steps that write records of the
# topology beside the workflow's own.
PLACES = ("", ".applied", ".guarded")
GUARDED = {
    "MoveTables": {
        "create": ("routing_rules", "deny_target_tables", "update_vschema"),
        "switchtraffic": ("switch_reads", "stop_writes", "allow_target_writes", "switch_routing"),
        "reversetraffic": ("switch_reads", "stop_writes", "allow_target_writes", "switch_routing"),
        "complete": ("remove_from_source_vschema", "remove_routing_rules", "allow_source_tables"),
        "cancel": ("restore_reads", "remove_from_target_vschema", "remove_routing_rules", "allow_target_tables"),
    },
    "Reshard": {
        "create": (),
        "switchtraffic": ("switch_reads", "stop_writes", "allow_target_writes", "switch_routing"),
        "reversetraffic": ("switch_reads", "stop_writes", "allow_target_writes", "switch_routing"),
        "cancel": ("restore_reads",),
    },
    "Materialize": {"create": (), "add_tables": (), "cancel": ()},
}


class Cell:
    def __init__(self, kind, action, step, victim, mode):
        self.kind, self.action, self.step, self.victim, self.mode = kind, action, step, victim, mode

    def __str__(self):
        return f"{self.kind} {self.action}/{self.step}/{self.mode} {self.victim}"


def all_cells(what="faults"):
    steps = [(kind, action, step) for kind, actions in STEPS.items() for action, steps in actions.items() for step in steps]
    if what == "pauses":
        return [Cell(kind, action, step + place, "vtctld", "pause") for kind, action, step in steps for place in PLACES
                if place != ".guarded" or step in GUARDED[kind][action]]
    if what == "cells":
        return [Cell(*step, OTHER_CELL, mode) for step in steps for mode in MODES if step[0] != "Materialize"]
    hurts = [(v, "reparent") for v in REPARENTED] if what == "reparents" else [(v, m) for v in VICTIMS for m in MODES]
    return [Cell(*step, victim, mode) for step in steps for victim, mode in hurts]


class Matrix(Stage):
    def __init__(self, cluster, seed, stop_seconds):
        super().__init__(cluster, seed)
        self.stop_seconds = stop_seconds

    def prepare(self, side, action):
        """Brings the workflow where `action` is legal."""
        if isinstance(side, Following):
            side.prepare(self, action)
            return
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
        if cell.mode == "pause":
            return self.pause(cell, side, command, answer)
        ended = self.hurt(cell, side)
        command.join(200)
        # The records say what became of it; then the same command, or another one, whichever is legal.
        ledger.wait_for_writes(ended, WRITES_WITHIN + (0 if cell.mode == "kill" else 5))
        took = time.monotonic() - ended
        self.examine(side)
        self.follow(side, cell.action)
        self.examine(side)
        return f"{'done' if answer['r'][0] else 'not done'}, a write after {min(took, ledger.last - ended):.1f} s"

    def examine(self, side):
        """What the records, the rules, the streams and the rows say, when nothing goes on any more."""
        self.wait_settled(side)
        self.observe(side)
        self.check(side)
        self.compare(side)

    def pause(self, cell, side, command, answer):
        """vtctld stands still, the other one does all the work, and then it goes on."""
        began = time.monotonic()
        side.ledger.wait_for_writes(began, WRITES_WITHIN)
        took = side.ledger.last - began
        self.examine(side)
        self.follow(side, cell.action)
        self.wait_settled(side)
        self.observe(side)
        self.check(side)
        time.sleep(max(0, began + self.stop_seconds - time.monotonic()))
        self.cluster.processes["vtctld"].kill(signal.SIGCONT)
        goes_on = time.monotonic()
        command.join(200)  # The client may have given it up long ago: that vtctld has, shows in its calls.
        wait_until(lambda: http_json(self.cluster.addresses["vtctld"]["port"], "/debug/vars")["GrpcServerCallsActive"] == 0,
                   "vtctld to end what it was about", 60, 0.1)
        if answer["r"][0]:
            raise Failure(f"it said that it was done, and had lost the operation: {answer['r'][1].strip()[-300:]}")
        side.ledger.wait_for_writes(goes_on, WRITES_WITHIN)
        # Whatever it has done since then shows: nothing is looked up anew.
        self.wait_settled(side)
        self.check(side)
        self.compare(side)
        return f"a write after {max(took, 0):.1f} s; when it went on: {answer['r'][1].strip()[-120:]}"

    def hurt(self, cell, side):
        """The fault, while vtctld stands at the step. Returns when it was over."""
        vtctld = self.cluster.processes["vtctld"]
        if cell.mode == "reparent":
            ok, out = self.reparent((side.source if cell.victim.startswith("source") else side.target)[0])
            vtctld.kill(signal.SIGCONT)
            if not ok:
                raise Failure(f"the primary cannot be changed: {out.strip()}")
            return time.monotonic()
        pid = self.pid_of(cell.victim, side)
        if cell.mode == "stop":
            os.kill(pid, signal.SIGSTOP)
            began = time.monotonic()
            if cell.victim != "vtctld":
                vtctld.kill(signal.SIGCONT)
                if cell.victim == OTHER_CELL:  # Nobody is there: writes need not wait for it.
                    self.write_beside(side.ledger, began + max(self.stop_seconds, CELL_STANDS))
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

    def write_beside(self, ledger, until):
        """While a cell stands still: no two writes are further apart than the steps allow."""
        while time.monotonic() < until:
            ledger.wait_for_writes(time.monotonic(), BESIDE_A_CELL)
            time.sleep(0.05)

    def follow(self, side, action):
        """The same command again, or another one."""
        legal = (side.legal() if isinstance(side, Following) else ["create"] if side.workflow is None else ["reversetraffic"] if side.switched else ["switchtraffic", "cancel"])
        if side.workflow is None:
            side.count += 1
            side.workflow = f"{'f' if isinstance(side, Following) else 'w'}{side.count}"
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
    def go(self, cells, results=None, seconds=None):
        failed, passed = [], 0
        self.start(("replica", "replica") if any(cell.mode == "reparent" for cell in cells) else ("replica",),
                   any(cell.victim == OTHER_CELL for cell in cells), any(cell.kind == "Materialize" for cell in cells))
        self.start_second_vtctld()
        self.start_writers()
        began = time.monotonic()
        for number, cell in enumerate(cells):
            started = time.monotonic()
            if seconds and started - began > seconds:
                break
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
            for ledger in side.ledgers:
                ledger.stop()
                print(f"{ledger.table}: {ledger.acknowledged} writes acknowledged, {ledger.errors} errors", flush=True)
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
    parser.add_argument("--stop-seconds", type=float, help="how long a stopped process stands (20, with --pauses 60; in a sample 6)")
    parser.add_argument("--json", action="store_true", help="only the last line")
    parser.add_argument("--share", default="1/1", help="K/N: the K-th of N parts of the cells, in an order that the seed gives")
    parser.add_argument("--results", help="a file that gets a line for each cell; those that it has are not run again")
    parser.add_argument("--reparents", action="store_true", help="instead: a shard gets another primary at each step")
    parser.add_argument("--pauses", action="store_true", help="instead: vtctld stands still at each step, for 60 s")
    parser.add_argument("--other-cell", action="store_true",
                        help="instead: the topology of a cell without tablets is killed or stopped at each step")
    parser.add_argument("--seconds", type=float, help="no cell begins later than that")
    parser.add_argument("--limit", type=int, help="at most so many cells in this run")
    parser.add_argument("--cells", help="these cells: a JSON list of their names")
    parser.add_argument("--parallel", type=int, default=1, help="so many clusters side by side, each with a part of the cells")
    return parser.parse_args()


def not_yet_run(args, cells):
    if args.results and os.path.exists(args.results):
        with open(args.results, encoding="utf-8") as file:
            known = {json.loads(line)["cell"] for line in file}
        cells = [cell for cell in cells if str(cell) not in known]
    return cells[:args.limit]


def chosen_cells(args):
    what = "reparents" if args.reparents else "pauses" if args.pauses else "cells" if args.other_cell else "faults"
    if args.cells:
        wanted = json.loads(args.cells)
        return not_yet_run(args, sorted((c for c in all_cells(what) if str(c) in wanted), key=lambda cell: wanted.index(str(cell))))
    cells = [cell for cell in all_cells(what) if args.only in str(cell)]
    if args.sample:
        chance = random.Random(args.seed)
        chosen = chance.sample(cells, min(args.sample, len(cells)))
        # The last ones of a sample of everything are a cell's topology that stands still when a fence comes up, and a pause.
        if what == "faults" and not args.only and len(chosen) > 2:
            chosen[-2] = Cell("Reshard", "switchtraffic", "stop_writes", OTHER_CELL, "stop")
            chosen[-1] = chance.choice(all_cells("pauses"))
        return chosen
    part, parts = map(int, args.share.split("/"))
    if parts > 1 or args.parallel > 1:
        random.Random(args.seed).shuffle(cells)
        cells = cells[part - 1::parts]
    return not_yet_run(args, cells)


def run_side_by_side(args, cells):
    """Each child has a cluster of its own and takes its part of the cells; what it says goes on, with its number in front."""
    children, counts, failed = [], [0, 0], []
    lock = threading.Lock()

    def listen(number, child):
        last = "{}"
        for line in child.stdout:
            last = line
            if not args.json:
                print(f"[{number}] {line}", end="", flush=True)
        ended = child.wait()
        try:
            said = json.loads(last)
        except ValueError:
            said = {}
        with lock:
            if "cells" not in said:
                failed.append(f"cluster {number} ended with {ended} and said nothing")
                return
            counts[0] += said["cells"]
            counts[1] += said["passed"]
            failed.extend(said["failed"])

    for number in range(args.parallel):
        part = cells[number::args.parallel]
        if not part:
            continue
        command = [sys.executable, __file__, "--seed", str(args.seed), "--cells", json.dumps([str(cell) for cell in part])]
        command += ["--stop-seconds", str(args.stop_seconds)] if args.stop_seconds else ["--sample"] if args.sample else []
        command += ["--results", args.results] if args.results else []
        command += ["--reparents"] if args.reparents else []
        command += ["--pauses"] if args.pauses else []
        command += ["--other-cell"] if args.other_cell else []
        command += ["--seconds", str(args.seconds)] if args.seconds else []
        child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        children.append((child, threading.Thread(target=listen, args=(number + 1, child))))
    signal.signal(signal.SIGTERM, lambda *_: [child.terminate() for child, _ in children])
    for _, thread in children:
        thread.start()
    for _, thread in children:
        thread.join()
    print(json.dumps({"cells": counts[0], "passed": counts[1], "failed": failed}))
    return 1 if failed else 0


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
    if args.parallel > 1:
        sys.exit(run_side_by_side(args, cells))
    root = tempfile.mkdtemp(prefix="vitrail-faults-")
    cluster = EtcdCluster(root)
    stop_seconds = args.stop_seconds or (6 if args.sample else 60 if args.pauses else 20)
    out = sys.stdout
    if args.json:
        sys.stdout = open(os.devnull, "w", encoding="utf-8")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    problems = ["it did not end"]
    try:
        passed, failed = Matrix(cluster, args.seed, stop_seconds).go(cells, args.results, args.seconds)
    finally:
        problems = cluster.down()
    failed += problems
    print(json.dumps({"cells": len(cells) if failed or not args.seconds else passed, "passed": passed, "failed": failed}), file=out)
    if failed:
        print(f"everything is in {root}", file=sys.stderr)
        sys.exit(1)
    shutil.rmtree(root)


if __name__ == "__main__":
    main()
