#!/usr/bin/env python3
"""The life of sharding workflows, and `kill -9` of vtctld at each recorded step of each action: `./dev faults sharding`.

First a MoveTables goes through its life once, undisturbed: every way out of every state. Each cancel leaves the records
as they were before the workflow, whole; reverse cutover puts back the rules of the switch. Then vtctld kills itself where
it has noted a step, has carried it out and not noted it, or is about to end the action (--test-crash-at-step), and is
started again. A cell passes when the workflow is in the state that the action leads to (at once, or by `retry` from an
`error` that names its cause), writes go on, and every acknowledged write is found once and where it belongs. Clients
write all the time.

The last line is {"cells": n, "passed": n, "failed": [...]}.
"""

import argparse
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import pymysql  # noqa: E402

from vitrail.faults import WRITES_WITHIN, EtcdCluster, Stage  # noqa: E402
from vitrail.processes import Failure, http_get, wait_until  # noqa: E402

# src/control/states/table.cc: action, the state it begins in, the one it leads to, and how many steps it has.
ACTIONS = [("create", "none", "running", 2), ("verify", "running", "running", 2),
           ("switch-replicas", "running", "switched_replicas", 1), ("switch-primaries", "running", "switched_primaries", 3),
           ("switch-primaries", "switched_replicas", "switched_primaries", 3),
           ("reverse-traffic", "switched_replicas", "running", 1), ("reverse-traffic", "switched_primaries", "running", 1),
           ("cancel", "running", "cancelled", 2), ("cancel", "switched_replicas", "cancelled", 3),
           ("cutover", "switched_primaries", "cutover", 2), ("reverse-cutover", "cutover", "reversed_cutover", 1),
           ("cutover", "reversed_cutover", "cutover", 1), ("complete", "cutover", "complete", 0),
           ("complete", "reversed_cutover", "complete", 0)]
SAMPLE = ("MoveTables create from none at create/1+", "MoveTables cutover from switched_primaries at cutover/1",
          "Reshard switch-primaries from running at switch-primaries/1+")


class Cell:
    def __init__(self, kind, action, begins, leads, point):
        self.kind, self.action, self.begins, self.leads, self.point = kind, action, begins, leads, point

    def __str__(self):
        return f"{self.kind} {self.action} from {self.begins} at {self.point}"


def all_cells():
    out = []
    for kind in ("MoveTables", "Reshard"):
        for action, begins, leads, steps in ACTIONS:
            points = [f"{action}/{n}{end}" for n in range(steps) for end in ("", "+")] + [f"{action}/end"]
            out += [Cell(kind, action, begins, leads, point) for point in points]
    return out


class Lives(Stage):
    # --- one workflow ---
    def sharding(self, side, action, *args, name=None):
        return ("ShardingWorkflow", "--branch", side.kind, action, *args, name or side.workflow)

    def view(self, side):
        return json.loads(self.must(*self.sharding(side, "show", "--format", "json")))

    def arguments(self, side, action):
        if action == "cutover":
            return ("--yes",)
        if action != "create":
            return ()
        target = ("--target-keyspace", side.target[0][0])
        if side.kind == "MoveTables":
            return (*target, "--source-keyspace", side.source[0][0], "--tables", side.table)
        return (*target, "--kind", "Reshard", "--source-shards=" + ",".join(p[1] for p in side.source),
                "--target-shards=" + ",".join(p[1] for p in side.target))

    def do(self, side, action, state):
        """The action, without trouble."""
        if action == "create":
            side.count += 1
            side.workflow = f"w{side.count}"
        self.must(*self.sharding(side, action, *self.arguments(side, action)))
        self.wait_for(side, state)

    def wait_for(self, side, state):
        causes = []

        def reached():
            view = self.view(side)
            if view["state"] == "error":
                if not view.get("error"):
                    raise Failure(f"{side.workflow} is in error and does not say why")
                causes.append(view["error"])
                self.ctl(*self.sharding(side, "retry"))
                return False
            return view["state"] == state and not view.get("under_way")
        wait_until(reached, f"{side.kind} {side.workflow} to be {state}", 90, 0.2)
        self.settle(side, state)
        return causes

    def settle(self, side, state):
        """What the state means for where rows are."""
        side.state = state
        side.switched = state in ("switched_primaries", "cutover", "reversed_cutover")
        if state == "complete":
            side.places.reverse()
            if side.kind == "Reshard":
                self.remake(side.target)
        if state in ("complete", "cancelled"):
            side.state, side.workflow = "none", None

    def remake(self, places):
        """Shards that the cutover of a Reshard has deleted, empty."""
        for keyspace, shard, uid, _ in places:
            ok, out = self.ctl("GetShard", f"{keyspace}/{shard}")
            if ok:
                raise Failure(f"{keyspace}/{shard} is there after the cutover: {out}")
            self.cluster.stop_shard(keyspace, shard)
            shutil.rmtree(self.cluster.path(f"vt_{uid:010d}"))
            self.cluster.add_shard(keyspace, shard, uid, ("replica",))

    ROADS = {"none": [("create", "running")],
             "running": [("switch-primaries", "switched_primaries"), ("switch-replicas", "switched_replicas"), ("cancel", "cancelled")],
             "switched_replicas": [("reverse-traffic", "running")],
             "switched_primaries": [("reverse-traffic", "running"), ("cutover", "cutover")],
             "cutover": [("reverse-cutover", "reversed_cutover"), ("complete", "complete")],
             "reversed_cutover": [("cutover", "cutover")]}

    def bring(self, side, wanted):
        """By the shortest way."""
        ways, seen = [(side.state, [])], {side.state}
        while ways:
            state, way = ways.pop(0)
            if state == wanted:
                for action, leads in way:
                    self.do(side, action, leads)
                return
            for action, leads in self.ROADS[state]:
                after = "none" if leads in ("cancelled", "complete") else leads
                if after not in seen:
                    seen.add(after)
                    ways.append((after, way + [(action, leads)]))
        raise Failure(f"no way from {side.state} to {wanted}")

    # --- what has to hold ---
    def everything_recorded(self):
        out = {"rules": json.loads(self.must("GetRoutingRules")).get("rules")}
        for keyspace in ("one", "two", "s"):
            out[f"vschema of {keyspace}"] = self.must("GetVSchema", keyspace)
            out[f"serving graph of {keyspace}"] = self.must("GetSrvKeyspaces", keyspace)
            for shard in json.loads(self.must("FindAllShardsInKeyspace", keyspace))["shards"]:
                out[f"shard {keyspace}/{shard}"] = self.must("GetShard", f"{keyspace}/{shard}")
        return out

    def same(self, what, before, after):
        wrong = [f"{name} after {what}: {after.get(name)}, before: {value}" for name, value in before.items() if after.get(name) != value]
        if wrong:
            raise Failure("; ".join(wrong))

    def refused(self, side, action, text):
        ok, out = self.ctl(*self.sharding(side, action, *self.arguments(side, action)))
        if ok or text not in out:
            raise Failure(f"{action} in the state {side.state} should be refused with '{text}': {out}")

    def live(self, side):
        """Every way out of every state, once."""
        self.must("ApplyRoutingRules", "--rules", '{"rules": [{"from_table": "other", "to_tables": ["s.other"]}]}')
        before = self.everything_recorded()
        for state in ("running", "switched_replicas"):
            self.bring(side, state)
            self.do(side, "cancel", "cancelled")
            self.same(f"cancel in {state}", before, self.everything_recorded())
            self.check(side)
        self.bring(side, "running")
        self.do(side, "verify", "running")
        if self.view(side).get("substate") != "verified data":
            raise Failure(f"verify found differences under writes: {self.view(side)}")
        self.do(side, "switch-replicas", "switched_replicas")
        self.do(side, "reverse-traffic", "running")
        self.do(side, "switch-primaries", "switched_primaries")
        self.refused(side, "cancel", "reverse traffic first")
        self.do(side, "reverse-traffic", "running")
        self.compare(side)
        self.do(side, "switch-replicas", "switched_replicas")
        self.do(side, "switch-primaries", "switched_primaries")
        switched = self.everything_recorded()
        self.do(side, "cutover", "cutover")
        self.refused(side, "cancel", "cancel is not possible in the state cutover")
        self.same("cutover", {"rules": before["rules"]}, self.everything_recorded())
        self.do(side, "reverse-cutover", "reversed_cutover")
        by_table = lambda rules: sorted(json.dumps(rule) for rule in rules)  # noqa: E731
        self.same("reverse cutover", {"rules": by_table(switched["rules"])}, {"rules": by_table(self.everything_recorded()["rules"])})
        self.do(side, "cutover", "cutover")
        at_end = self.everything_recorded()
        self.compare(side)
        self.do(side, "complete", "complete")
        self.same("complete", at_end, self.everything_recorded())
        self.check(side)
        self.compare(side)

    # --- one cell ---
    def run(self, cell):
        side = self.sides[cell.kind]
        self.bring(side, cell.begins)
        self.restart_vtctld("--test-crash-at-step", cell.point)
        if cell.action == "create":
            side.count += 1
            side.workflow = f"w{side.count}"
        ok, out = self.ctl(*self.sharding(side, cell.action, *self.arguments(side, cell.action)))
        process = self.cluster.processes["vtctld"]
        if ok:
            raise Failure(f"{cell.point} was not reached: {out.strip()[-300:]}")
        process.wait_ended(10)
        killed = time.monotonic()
        self.cluster.start("vtctld", self.vtctld_argv, lambda: http_get(self.cluster.addresses["vtctld"]["port"], "/debug/vars"))
        side.ledger.wait_for_writes(killed, WRITES_WITHIN)
        causes = self.wait_for(side, cell.leads)
        took = time.monotonic() - killed
        self.compare(side)
        return f"{cell.leads} after {took:.1f} s" + (f", by a retry: {causes[0][:120]}" if causes else "")

    def go(self, cells):
        self.start()
        for side in self.sides.values():
            side.state = "none"
        self.start_writers()
        failed, passed = [], 0

        def attempt(name, action):
            nonlocal passed
            started = time.monotonic()
            try:
                note, word = action() or "", "passed"
                passed += 1
            except (Failure, pymysql.MySQLError, OSError, KeyError) as error:
                note, word = str(error), "FAILED"
                failed.append(f"{name}: {note[:300]}")
            print(f"{name}: {word} in {time.monotonic() - started:.1f} s: {note}", flush=True)
            return word == "passed"
        attempt("a life", lambda: self.live(self.sides["MoveTables"]))
        for number, cell in enumerate(cells):
            if not attempt(f"{number + 1}/{len(cells)} {cell}", lambda c=cell: self.run(c)):
                self.recover(self.sides[cell.kind])
        for side in self.sides.values():
            side.ledger.stop()
            problems = side.ledger.compare(self.contents(side))
            failed += problems
            print(f"{side.kind}: {side.ledger.acknowledged} writes acknowledged, {side.ledger.errors} errors", flush=True)
            if side.ledger.errors:
                failed.append(f"{side.ledger.errors} errors of clients of {side.table}")
        return passed, failed

    def recover(self, side):
        """Where it is now, so that the next cell tells of itself."""
        try:
            if not self.cluster.processes["vtctld"].running():
                self.cluster.start("vtctld", self.vtctld_argv, lambda: http_get(self.cluster.addresses["vtctld"]["port"], "/debug/vars"))
            state = self.view(side)["state"] if side.workflow else "none"
            if state == "error":  # Given up: only what was not switched can be.
                self.must(*self.sharding(side, "cancel"))
                state = "cancelled"
            self.settle(side, state)
        except (Failure, OSError) as error:
            print(f"after it: {error}", flush=True)


def main():
    parser = argparse.ArgumentParser(prog="./dev faults sharding", description=__doc__.splitlines()[0])
    parser.add_argument("--sample", action="store_true", help=f"a life and {len(SAMPLE)} cells")
    parser.add_argument("--only", default="", help="cells whose name has this text")
    parser.add_argument("--seed", type=int, default=1, help="of the writes")
    parser.add_argument("--json", action="store_true", help="only the last line")
    args = parser.parse_args()
    cells = [cell for cell in all_cells() if args.only in str(cell) and (not args.sample or str(cell) in SAMPLE)]
    if not cells:
        sys.exit(f"no cell has the name '{args.only}'")
    if shutil.which("etcd") is None:
        print("left out: there is no etcd", file=sys.stderr)
        sys.exit(77)
    if not args.sample:
        random.Random(args.seed).shuffle(cells)
    out = sys.stdout
    if args.json:
        sys.stdout = open(os.devnull, "w", encoding="utf-8")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    root = tempfile.mkdtemp(prefix="vitrail-faults-")
    cluster = EtcdCluster(root)
    try:
        passed, failed = Lives(cluster, args.seed).go(cells)
    finally:
        problems = cluster.down()
    failed += problems
    print(json.dumps({"cells": len(cells) + 1, "passed": passed, "failed": failed}), file=out)  # The life is one.
    if failed:
        print(f"everything is in {root}", file=sys.stderr)
        sys.exit(1)
    shutil.rmtree(root)


if __name__ == "__main__":
    main()
