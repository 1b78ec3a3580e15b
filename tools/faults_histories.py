#!/usr/bin/env python3
"""Random histories of workflows: `./dev faults histories`.

Two operators on two vtctlds give legal and illegal commands at random, on a MoveTables and on a Reshard, while processes
are killed and stopped, shards get other primaries, and clients insert, update and delete rows. A model knows which states the answers allow. After each
round of some seconds everything runs again: what is open has to come to its end, the state has to be one of those, every
acknowledged write has to be found once and where it belongs, and a legal command has to be carried out.

The last line is {"seconds", "seed", "rounds", "commands", "accepted", "refused", "unclear", "faults",
"writes_acknowledged", "failed": [...]}.
"""

import argparse
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import pymysql  # noqa: E402

from vitrail.faults import WRITES_WITHIN, EtcdCluster, Stage  # noqa: E402
from vitrail.history import Command, History, State, Violation, outcome_of  # noqa: E402
from vitrail.processes import Failure, wait_until  # noqa: E402

NAMES = ("w1", "w2")
ACTIONS = {
    "MoveTables": ("create", "create", "switchtraffic", "switchtraffic", "reversetraffic", "complete", "cancel", "reads", "stop",
                   "start", "vdiff", "cancel_reverse", "status"),
    # Not `complete`: it deletes the shards that the rest needs.
    "Reshard": ("create", "create", "switchtraffic", "switchtraffic", "reversetraffic", "cancel", "reads", "stop", "start", "vdiff",
                "cancel_reverse", "status"),
}
VICTIMS = ("vtctld", "vtctld2", "source vttablet", "target vttablet", "source mysqld", "target mysqld", "etcd", "vtgate")
REPARENT = 0.2  # How many of the faults are a shard that gets another primary.
# What says that a command has had no effect and will have none.
REFUSALS = ("FAILED_PRECONDITION", "NOT_FOUND", "ALREADY_EXISTS", "INVALID_ARGUMENT")
UNCLEAR = ("taken over", "goes on", "is not complete", "locks were lost", "interrupted")


def answer_of(ok, out):
    if ok:
        return True
    return False if any(code in out for code in REFUSALS) and not any(text in out for text in UNCLEAR) else None


class Histories(Stage):
    def __init__(self, cluster, seed, reparents=True):
        super().__init__(cluster, seed)
        self.reparents = reparents
        self.chance = random.Random(seed)
        self.lock = threading.Lock()
        self.counts = {"rounds": 0, "commands": 0, "accepted": 0, "refused": 0, "unclear": 0, "faults": 0}
        self.failed, self.log = [], []

    # --- commands ---
    def arguments(self, kind, command):
        source, target = (self.homes[kind][command.side], self.homes[kind][1 - command.side])
        base = (kind, "--workflow", command.name, "--target-keyspace", target[0][0])
        action = command.action
        if action == "create" and kind == "MoveTables":
            return (*base, "create", "--source-keyspace", source[0][0], "--tables", self.sides[kind].table)
        if action == "create":
            return (*base, "create", "--source-shards=" + ",".join(p[1] for p in source),
                    "--target-shards=" + ",".join(p[1] for p in target))
        if action == "reads":
            return (*base, "switchtraffic", "--tablet-types", "replica,rdonly")
        if action == "vdiff":
            return ("VDiff", "--workflow", command.name, "--target-keyspace", target[0][0], "create")
        if action == "cancel_reverse":
            return (kind, "--workflow", command.name + "_reverse", "--target-keyspace", source[0][0], "cancel")
        return (*base, action)

    def issue(self, kind, command, server):
        """One command, and what the model says to its answer."""
        # A reverse workflow is cancelled by nobody; the others below leave the state as it is, so that no answer of theirs
        # tells anything.
        if command.action == "cancel_reverse":
            ok, out = self.ctl(*self.arguments(kind, command), server=server)
            if ok:
                self.fail(f"{kind} {command}: the reverse workflow was cancelled: {out.strip()}")
            answer = answer_of(ok, out)
        else:
            with self.lock:
                number = self.models[kind].invoke(command)
            ok, out = self.ctl(*self.arguments(kind, command), server=server)
            answer = answer_of(ok, out)
            with self.lock:
                try:
                    self.models[kind].respond(number, answer)
                except Violation as violation:
                    self.fail(f"{kind}: {violation}: {out.strip()[:300]}")
        with self.lock:
            self.counts["commands"] += 1
            self.counts["accepted" if answer else "unclear" if answer is None else "refused"] += 1
        self.note(f"{server} {kind} {' '.join(map(str, command))}: {'ok' if ok else out.strip()[:200]}")
        return ok, out

    def note(self, text):
        self.log.append(f"{time.strftime('%H:%M:%S')} {text}")
        del self.log[:-400]

    def fail(self, text):
        self.failed.append(text[:500])
        self.note("WRONG: " + text)
        print(f"wrong in round {self.counts['rounds']}: {text}", flush=True)

    def operator(self, server, chance, until):
        while time.monotonic() < until:
            kind = chance.choice(("MoveTables", "Reshard"))
            with self.lock:
                state, _ = chance.choice(sorted(self.models[kind].possible, key=str))
            # Often what could be right, and now and then anything.
            side = state.home if chance.random() < 0.85 else 1 - state.home
            if kind == "Reshard":
                side = 0
            name = state.name if state.name and chance.random() < 0.85 else chance.choice(NAMES)
            self.issue(kind, Command(chance.choice(ACTIONS[kind]), name, side), server)
            time.sleep(chance.random() * 0.7)

    # --- faults ---
    def killer(self, chance, until):
        while time.monotonic() < until:
            time.sleep(chance.random() * 2.5)
            victim, side = chance.choice(VICTIMS), self.sides[chance.choice(("MoveTables", "Reshard"))]
            self.counts["faults"] += 1
            if self.reparents and chance.random() < REPARENT:
                place = chance.choice(side.source + side.target)
                ok, out = self.reparent(place, chance.choice(("vtctld", "vtctld2")))
                self.note(f"reparent {place[0]}/{place[1]}: {'ok' if ok else out.strip()[-200:]}")
                continue
            try:
                pid = self.pid_of(victim, side)
                if chance.random() < 0.4:
                    seconds = chance.choice((0.3, 1.5, 6))
                    self.note(f"stop {victim} of {side.kind} for {seconds} s")
                    os.kill(pid, signal.SIGSTOP)
                    time.sleep(seconds)
                    os.kill(pid, signal.SIGCONT)
                else:
                    self.note(f"kill {victim} of {side.kind}")
                    os.kill(pid, signal.SIGKILL)
                    self.revive(victim, side, pid)
            except (Failure, OSError, ValueError) as error:
                self.fail(f"{victim} of {side.kind} does not come back: {error}")

    # --- one round ---
    def round(self, seconds):
        self.counts["rounds"] += 1
        until = time.monotonic() + seconds
        seeds = [random.Random(self.chance.random()) for _ in range(3)]
        threads = [threading.Thread(target=self.operator, args=("vtctld", seeds[0], until)),
                   threading.Thread(target=self.operator, args=("vtctld2", seeds[1], until)),
                   threading.Thread(target=self.killer, args=(seeds[2], until))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(400)
        ended = time.monotonic()
        for kind, side in self.sides.items():
            try:
                side.ledger.wait_for_writes(ended, WRITES_WITHIN)
                self.look(kind, side)
            except (Failure, pymysql.MySQLError, OSError) as error:
                self.fail(f"{kind}: {error}")

    def look(self, kind, side):
        """Everything runs and nothing is under way: is all in order?"""
        self.wait_settled(side)
        self.learn_primaries()
        wait_until(lambda: self.take_state(kind, side), f"the state of {kind}", 30, 0.3)
        state = State(self.homes[kind].index(side.source), side.workflow, side.switched)
        with self.lock:
            try:
                self.models[kind].settle(state)
            except Violation as violation:
                self.fail(f"{kind}: {violation}")
        if state.name and not state.switched:
            self.insist(kind, side, Command("start", state.name, state.home))
        self.check(side)
        self.compare(side)
        # And something legal is carried out.
        legal = [c for a in ("create", "switchtraffic", "reversetraffic", "cancel", "complete")[:5 if kind == "MoveTables" else 4]
                 for c in [Command(a, state.name or self.chance.choice(NAMES), state.home)]
                 if outcome_of(state, c) not in (None, state)]
        self.insist(kind, side, self.chance.choice(legal))
        wait_until(lambda: self.take_state(kind, side), f"the state of {kind}", 30, 0.3)
        self.check(side)
        self.compare(side)

    def insist(self, kind, side, command):
        if command.action in ("switchtraffic", "reversetraffic"):
            self.wait_running_or_frozen(side)
        answer = {}

        def accepted():
            answer["ok"], answer["out"] = self.issue(kind, command, self.server)
            return answer["ok"]
        try:
            wait_until(accepted, "", WRITES_WITHIN, 0.5)
        except Failure:
            raise Failure(f"{' '.join(map(str, command))} is legal and was refused: {answer['out'].strip()}") from None

    def take_state(self, kind, side):
        """Where table and workflow of this kind are; false when it cannot be told."""
        found = []
        for home in (0, 1) if kind == "MoveTables" else (0,):
            for name in NAMES:
                target = self.homes[kind][1 - home][0][0]
                ok, out = self.ctl(kind, "--workflow", name, "--target-keyspace", target, "status")
                if ok and "Traffic State" in out:
                    found.append((home, name, "Writes Not Switched" not in out))
                elif "does not exist" not in out:
                    return False
        if len(found) > 1:
            raise Failure(f"two workflows on one table: {found}")
        if not found and kind == "MoveTables":
            has = [self.has_table(places[0]) for places in self.homes[kind]]
            if has[0] == has[1]:
                raise Failure(f"without a workflow the table is on {'both' if has[0] else 'none'} of the sides")
            found.append((has.index(True), None, False))
        home, side.workflow, side.switched = found[0] if found else (0, None, False)
        side.places = [self.homes[kind][home], self.homes[kind][1 - home]]
        return True

    def go(self, seconds, length):
        self.start(("replica", "replica") if self.reparents else ("replica",))
        self.start_second_vtctld()
        self.start_writers()
        self.homes = {kind: list(side.places) for kind, side in self.sides.items()}
        self.models = {kind: History(State(0, None, False)) for kind in self.sides}
        for side in self.sides.values():
            side.count = len(NAMES)
        end = time.monotonic() + seconds
        while time.monotonic() < end and len(self.failed) < 20:
            began, before = time.monotonic(), len(self.failed)
            self.round(length)
            print(f"round {self.counts['rounds']}: {self.counts['commands']} commands, {self.counts['faults']} faults, "
                  f"{sum(s.ledger.acknowledged for s in self.sides.values())} writes, {time.monotonic() - began:.1f} s", flush=True)
            if len(self.failed) > before:
                print("\n".join(self.log[-60:]), flush=True)
        for side in self.sides.values():
            side.ledger.stop()


def main():
    parser = argparse.ArgumentParser(prog="./dev faults histories", description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=3600, help="for so long (3600)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--round", type=float, default=10, help="seconds of one round (10)")
    parser.add_argument("--no-reparents", action="store_true", help="one tablet a shard, which stays its primary")
    parser.add_argument("--json", action="store_true", help="only the last line")
    args = parser.parse_args()
    if shutil.which("etcd") is None:
        print("left out: there is no etcd", file=sys.stderr)
        sys.exit(77)
    root = tempfile.mkdtemp(prefix="vitrail-histories-")
    out = sys.stdout
    if args.json:
        sys.stdout = open(os.devnull, "w", encoding="utf-8")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    cluster = EtcdCluster(root)
    histories = Histories(cluster, args.seed, not args.no_reparents)
    began = time.monotonic()
    try:
        histories.go(args.seconds, args.round)
    finally:
        problems = cluster.down()
    failed = histories.failed + problems
    print(json.dumps({"seconds": round(time.monotonic() - began), "seed": args.seed, **histories.counts,
                      "writes_acknowledged": sum(s.ledger.acknowledged for s in histories.sides.values()), "failed": failed}), file=out)
    if failed:
        print(f"everything is in {root}", file=sys.stderr)
        sys.exit(1)
    shutil.rmtree(root)


if __name__ == "__main__":
    main()
