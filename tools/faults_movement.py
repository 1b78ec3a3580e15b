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

from vitrail.cluster import BIN, Cluster  # noqa: E402
from vitrail.processes import Failure, http_get, wait_until  # noqa: E402
from vitrail.writer import keyspace_ids  # noqa: E402

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
WRITES_WITHIN = 10
SETTLED_WITHIN = 60


class EtcdCluster(Cluster):
    topo_kind = "etcd2"

    def topo_address(self):
        return f"127.0.0.1:{self.addresses['etcd']['port']}"

    def start_etcd(self):
        port, peer = self.ports.take(), self.ports.take()
        self.addresses["etcd"] = {"port": port}
        os.makedirs(self.path("logs"), exist_ok=True)
        self.start("etcd", ["etcd", "--data-dir", self.path("etcd"), "--unsafe-no-fsync", "--listen-client-urls",
                            f"http://127.0.0.1:{port}", "--advertise-client-urls", f"http://127.0.0.1:{port}",
                            "--listen-peer-urls", f"http://127.0.0.1:{peer}"], self.etcd_answers)

    def etcd_answers(self):
        return "true" in http_get(self.addresses["etcd"]["port"], "/health")


class Ledger:
    """A client of one table that never stops inserting and updating, and what the table may hold then."""

    def __init__(self, cluster, table, seed):
        self.cluster, self.table, self.chance = cluster, table, random.Random(seed)
        self.rows = {}  # id -> values of v that it may have; None: no row.
        self.acknowledged, self.errors = 0, 0
        self.last = time.monotonic()
        self.stopping = threading.Event()
        self.thread = threading.Thread(target=self.work, daemon=True)

    def work(self):
        connection, number = None, 0
        while not self.stopping.is_set():
            number += 1
            known = [self.chance.randrange(1, number)] if number > 10 and self.chance.random() < 0.4 else []
            target = known[0] if known and self.rows.get(known[0]) and None not in self.rows[known[0]] else number
            before = self.rows.get(target, {None})
            after = {0} if target == number else {v + 1 for v in before}
            self.rows[target] = before | after
            sql = (f"insert into {self.table}(id, v) values ({target}, 0)" if target == number else
                   f"update {self.table} set v = v + 1 where id = {target}")
            try:
                if connection is None:
                    connection = self.cluster.connect(read_timeout=30, write_timeout=30, connect_timeout=5)
                with connection.cursor() as cursor:
                    if cursor.execute(sql) != 1:
                        raise pymysql.err.InternalError(0, f"{sql} changed no row")
                self.rows[target] = after
                self.acknowledged += 1
                self.last = time.monotonic()
            except pymysql.MySQLError:
                self.errors += 1
                connection = None
            self.stopping.wait(0.01)

    def wait_for_writes(self, since, seconds):
        wait_until(lambda: self.last > since, f"a write to {self.table}", seconds)

    def stop(self):
        self.stopping.set()
        self.thread.join(60)

    def compare(self, places):
        """places: of each shard its name, its key range and its rows, read behind stop(). Returns what is wrong."""
        found, problems = {}, []
        for name, key_range, rows in places:
            for number, value in rows:
                found.setdefault(number, []).append((name, value))
            wrong = [n for (n, _), k in zip(rows, keyspace_ids([n for n, _ in rows]))
                     if key_range and not key_range[0] <= k < key_range[1]]
            problems += [f"{self.table}: {n} is misplaced on {name}" for n in wrong[:3]]
        for number, states in self.rows.items():
            there = found.get(number, [])
            if len(there) > 1:
                problems.append(f"{self.table}: {number} is doubled: {there}")
            elif (there[0][1] if there else None) not in states:
                problems.append(f"{self.table}: {number} is {there}, should be one of {states}")
        return problems[:10]


class Cell:
    def __init__(self, kind, action, step, victim, mode):
        self.kind, self.action, self.step, self.victim, self.mode = kind, action, step, victim, mode

    def __str__(self):
        return f"{self.kind} {self.action}/{self.step}/{self.mode} {self.victim}"


def all_cells():
    return [Cell(kind, action, step, victim, mode) for kind, actions in STEPS.items() for action, steps in actions.items()
            for step in steps for victim in VICTIMS for mode in MODES]


class Side:
    """One kind of workflow with its table, and where its rows are."""

    def __init__(self, kind, table, places):
        self.kind, self.table = kind, table
        self.places = places  # Of the source and of the target: [(keyspace, shard, uid, key range)].
        self.workflow, self.count, self.switched = None, 0, False
        self.ledger = None

    @property
    def source(self):
        return self.places[0]

    @property
    def target(self):
        return self.places[1]

    def serving(self):
        return self.target if self.switched else self.source


class Matrix:
    def __init__(self, cluster, seed, stop_seconds):
        self.cluster, self.stop_seconds = cluster, stop_seconds
        self.chance = random.Random(seed)
        self.seed = seed

    # --- the cluster ---
    def start(self):
        cluster = self.cluster
        cluster.start_etcd()
        cluster.start_vtctld()
        self.vtctld_argv = cluster.processes["vtctld"].argv
        for keyspace in ("one", "two"):
            cluster.vtctldclient("CreateKeyspace", "--durability-policy", "none", keyspace)
        cluster.vtctldclient("CreateKeyspace", "--durability-policy", "none", "s")
        vindexes = {"sharded": True, "vindexes": {"hash": {"type": "hash"}},
                    "tables": {"rs": {"column_vindexes": [{"column": "id", "name": "hash"}]}}}
        cluster.vtctldclient("ApplyVSchema", "--vschema", json.dumps(vindexes), "s")
        cluster.vtctldclient("ApplyVSchema", "--vschema", json.dumps({"tables": {"mt": {}}}), "one")
        for keyspace, shard, uid in (("one", "0", 100), ("two", "0", 200), ("s", "0", 300)):
            cluster.add_shard(keyspace, shard, uid, ("replica",))
        cluster.vtctldclient("ApplySchema", "--sql", "create table mt(id bigint primary key, v int)", "one")
        cluster.vtctldclient("ApplySchema", "--sql", "create table rs(id bigint primary key, v int)", "s")
        cluster.start_vtgate("--tablet-types-to-wait", "PRIMARY", "--buffer-window", "30s", "--buffer-max-failover-duration", "30s")
        for shard, uid in (("-80", 310), ("80-", 320)):
            cluster.add_shard("s", shard, uid, ("replica",))
        port, grpc = cluster.ports.take(0), cluster.ports.take(0)
        cluster.addresses["vtctld2"] = {"port": port, "grpc": grpc}
        cluster.start("vtctld2", [f"{BIN}/vtctld", *cluster.topo_flags(), "--cell", cluster.cell, "--port", port, "--grpc-port",
                                  grpc, "--bind-address", "127.0.0.1", "--grpc-bind-address", "127.0.0.1"],
                      lambda: http_get(port, "/debug/vars"))
        half = 1 << 63
        self.sides = {
            "MoveTables": Side("MoveTables", "mt", [[("one", "0", 100, None)], [("two", "0", 200, None)]]),
            "Reshard": Side("Reshard", "rs", [[("s", "0", 300, None)],
                                              [("s", "-80", 310, (0, half)), ("s", "80-", 320, (half, 1 << 64))]]),
        }
        for side in self.sides.values():
            wait_until(lambda s=side: self.can_read(s.table), f"{side.table} to be known", 30)

    def can_read(self, table):
        try:
            with self.cluster.connect() as connection, connection.cursor() as cursor:
                return cursor.execute(f"select count(*) from {table}") == 1
        except pymysql.MySQLError:
            return False

    def ctl(self, *args, server="vtctld2", timeout=150):
        argv = [f"{BIN}/vtctldclient", "--server", f"127.0.0.1:{self.cluster.addresses[server]['grpc']}", *map(str, args)]
        try:
            done = subprocess.run(argv, capture_output=True, text=True, timeout=timeout, check=False)
        except subprocess.TimeoutExpired:
            return False, "the command did not end"
        return done.returncode == 0, done.stdout + done.stderr

    def must(self, *args):
        ok, out = self.ctl(*args)
        if not ok:
            raise Failure(f"{' '.join(map(str, args))}: {out.strip()}")
        return out

    def rows(self, place):
        with self.cluster.server(self.cluster.tablets[place[2]], place[0]) as connection, connection.cursor() as cursor:
            cursor.execute(f"select id, v from {'rs' if place[0] == 's' else 'mt'}")
            return cursor.fetchall()

    def streams(self, place, workflow):
        with self.cluster.server(self.cluster.tablets[place[2]], "_vt") as connection, connection.cursor() as cursor:
            cursor.execute("select state, message from vreplication where workflow = %s", workflow)
            return sorted({tuple(x.decode() for x in row) for row in cursor.fetchall()})

    # --- workflows ---
    def command(self, side, action):
        base = (side.kind, "--workflow", side.workflow, "--target-keyspace", side.target[0][0], action)
        if action == "create" and side.kind == "MoveTables":
            return (*base, "--source-keyspace", side.source[0][0], "--tables", side.table)
        if action == "create":
            return (*base, "--source-shards=" + ",".join(p[1] for p in side.source),
                    "--target-shards=" + ",".join(p[1] for p in side.target))
        return base

    def wait_running(self, side):
        wait_until(lambda: all(self.streams(p, side.workflow) == [("Running", "")] for p in side.target),
                   f"{side.workflow} to run", 60, 0.2)

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

    def wait_running_or_frozen(self, side):
        if not side.switched:
            self.wait_running(side)
            return
        wait_until(lambda: all(self.streams(p, side.workflow + "_reverse") == [("Running", "")] for p in side.source),
                   f"{side.workflow}_reverse to run", 60, 0.2)

    def observe(self, side):
        """What is there now, as `status` tells it."""
        if side.workflow is None:
            return
        ok, out = self.ctl(*self.command(side, "status"))
        if not ok and "does not exist" not in out:
            raise Failure(f"status of {side.workflow}: {out.strip()}")
        side.switched = ok and "Writes Not Switched" not in out
        if ok:
            return
        # Completed or cancelled: where the table is tells which.
        if side.kind == "MoveTables" and not self.has_table(side.source[0]):
            side.places.reverse()
        side.workflow = None

    def has_table(self, place):
        with self.cluster.server(self.cluster.tablets[place[2]], place[0]) as connection, connection.cursor() as cursor:
            cursor.execute("show tables")
            return ("rs" if place[0] == "s" else "mt") in {row[0] for row in cursor.fetchall()}

    # --- one cell ---
    def run(self, cell):
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
        self.follow(side, cell.action)
        self.wait_settled(side)
        self.observe(side)
        self.check(side)
        return f"{'done' if answer['r'][0] else 'not done'}, a write after {min(took, ledger.last - ended):.1f} s"

    def is_stopped(self, process):
        try:
            with open(f"/proc/{process.pid}/stat", encoding="utf-8") as file:
                return file.read().rsplit(")", 1)[1].split()[0] == "T"
        except OSError:
            return False

    def restart_vtctld(self, *flags):
        cluster = self.cluster
        cluster.processes["vtctld"].stop(10)
        cluster.start("vtctld", [*self.vtctld_argv, *flags], lambda: http_get(cluster.addresses["vtctld"]["port"], "/debug/vars"))

    def pid_of(self, victim, side):
        where, what = victim.split(" ") if " " in victim else (None, victim)
        if what in ("vtctld", "etcd", "vtgate"):
            return self.cluster.processes[what].pid
        uid = (side.source if where == "source" else side.target)[0][2]
        if what == "vttablet":
            return self.cluster.processes[f"vttablet-{uid}"].pid
        with open(self.cluster.path(f"vt_{uid:010d}", "mysql.pid"), encoding="utf-8") as file:
            return int(file.read())

    def hurt(self, cell, side):
        """The fault, while vtctld stands at the step. Returns when it was over."""
        cluster, vtctld = self.cluster, self.cluster.processes["vtctld"]
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
        if cell.victim != "vtctld":
            vtctld.kill(signal.SIGCONT)
        if cell.victim.endswith("mysqld"):
            self.wait_mysqld(cell, side, pid)
        elif cell.victim == "etcd":
            old = cluster.processes["etcd"]
            old.wait_ended(10)
            cluster.start("etcd", old.argv, cluster.etcd_answers)
        elif cell.victim == "vtctld":
            return time.monotonic()  # The other one goes on.
        else:
            uid = (side.source if cell.victim.startswith("source") else side.target)[0][2]
            cluster.restart("vtgate" if cell.victim == "vtgate" else f"vttablet-{uid}")
        return time.monotonic()

    def wait_mysqld(self, cell, side, old):
        uid = (side.source if cell.victim.startswith("source") else side.target)[0][2]
        tablet = self.cluster.tablets[uid]

        def answers():  # mysqld_safe starts it again.
            if self.pid_of(cell.victim, side) == old:
                return False
            try:
                with self.cluster.server(tablet):
                    return True
            except pymysql.MySQLError:
                return False
        wait_until(answers, f"mysqld {uid} to be back", 60, 0.1)

    def wait_settled(self, side):
        def settled():
            ok, out = self.ctl("Workflow", "--keyspace", side.target[0][0], "repair", "--dry-run")
            return ok and " since " not in out
        wait_until(settled, f"nothing to be open on {side.workflow}", SETTLED_WITHIN, 0.2)

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

    def check(self, side):
        """Records and streams are those of one of the states of a workflow."""
        problems = []

        def expect(what, got, wanted):
            if got != wanted:
                problems.append(f"{what} is {got}, should be {wanted}")
        workflow = side.workflow
        for place in side.source + side.target:
            _, shard = self.ctl("GetTopologyPath", f"/global/keyspaces/{place[0]}/shards/{place[1]}/Shard")
            on_source = place in side.source
            if side.kind == "MoveTables":
                denied = workflow is not None and on_source == side.switched
                expect(f"{place[0]}/{place[1]} denies {side.table}", f'"{side.table}"' in shard.replace("\\", ""), denied)
            else:
                serves = on_source != side.switched
                expect(f"{place[0]}/{place[1]} serves", "is_primary_serving:true" in shard, serves)
        if workflow is None:
            for place in side.source + side.target:
                for number in range(1, side.count + 1):
                    for name in (f"w{number}", f"w{number}_reverse"):
                        expect(f"streams {name} on {place}", self.streams(place, name), [])
            if side.kind == "MoveTables":
                _, rules = self.ctl("GetRoutingRules")
                expect("routing rules", side.table in rules, False)
                expect("the table on the target", self.has_table(side.target[0]), False)
        else:
            self.wait_running_or_frozen(side)
            if side.switched:
                for place in side.target:
                    expect(f"streams {workflow} on {place}", self.streams(place, workflow), [("Stopped", "FROZEN")])
        if problems:
            raise Failure("; ".join(problems))

    # --- all of them ---
    def go(self, cells):
        failed, passed = [], 0
        self.start()
        for side in self.sides.values():
            side.ledger = Ledger(self.cluster, side.table, self.seed)
            side.ledger.thread.start()
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
            print(f"{number + 1}/{len(cells)} {cell}: {word} in {time.monotonic() - started:.1f} s: {note}", flush=True)
        for side in self.sides.values():
            side.ledger.stop()
            self.observe(side)
            problems = side.ledger.compare([(f"{p[0]}/{p[1]}", p[3], self.rows(p)) for p in side.serving()])
            print(f"{side.kind}: {side.ledger.acknowledged} writes acknowledged, {side.ledger.errors} errors, "
                  f"{len(problems)} wrong", flush=True)
            failed += problems
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
    return parser.parse_args()


def main():
    args = parse()
    cells = [cell for cell in all_cells() if args.only in str(cell)]
    if args.sample:
        cells = random.Random(args.seed).sample(cells, min(args.sample, len(cells)))
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
        passed, failed = Matrix(cluster, args.seed, stop_seconds).go(cells)
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
