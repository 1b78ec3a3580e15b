#!/usr/bin/env python3
"""`./dev bench failover`: from the death of a primary until a client's write gets through, with vtorc.

One shard of three tablets under semi_sync. In turn the server and its tablet are killed, or both are stopped (SIGSTOP: they
answer nothing, and their connections stay); they come back when the next primary serves.
"""

import argparse
import itertools
import json
import os
import signal
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "tools"))

import pymysql  # noqa: E402

from vitrail.benchmark import bench_cluster, note, percentile  # noqa: E402
from vitrail.cluster import BIN  # noqa: E402
from vitrail.processes import Failure, http_get, http_json, wait_until  # noqa: E402

KINDS = ("kill", "stop")


class Failovers:
    def __init__(self, cluster, flags=()):
        self.flags, self.cluster, self.acknowledged, self.rows = flags, cluster, [], itertools.count(1)

    def start(self):
        cluster = self.cluster
        cluster.start_vtctld()
        cluster.vtctldclient("CreateKeyspace", "--durability-policy", "semi_sync", "commerce")
        cluster.add_shard("commerce", "0", 100)
        cluster.vtctldclient("ApplySchema", "--sql", "create table t(id bigint primary key)", "commerce")
        cluster.vtctldclient("ApplyVSchema", "--vschema", '{"tables": {"t": {}}}', "commerce")
        cluster.start_vtgate()
        self.port = cluster.ports.take()
        cluster.addresses["vtorc"] = {"port": self.port}
        cluster.start("vtorc", [f"{BIN}/vtorc", *cluster.topo_flags(), "--cell", cluster.cell, "--port", self.port, "--bind-address",
                                "127.0.0.1", "--instance-poll-time", "500ms", "--recovery-cooldown", "1s", *self.flags],
                      lambda: http_get(self.port, "/debug/health"))

    def server_pids(self, tablet):
        """The server, behind what would start it again."""
        server = self.cluster.server_pid(tablet)
        with open(f"/proc/{server}/stat", encoding="utf-8") as file:
            parent = int(file.read().rpartition(")")[2].split()[1])
        with open(f"/proc/{parent}/cmdline", encoding="utf-8") as file:
            return [parent, server] if "safe" in file.read() else [server]

    def write(self):
        row = next(self.rows)
        try:
            with self.cluster.connect("commerce", read_timeout=1) as connection, connection.cursor() as cursor:
                cursor.execute(f"insert into t values ({row})")
            self.acknowledged.append(row)
            return True
        except pymysql.MySQLError:
            return False

    def healthy(self):
        if http_json(self.port, "/api/problems"):
            return False
        rows = [self.cluster.server_rows(tablet, "select count(*) from t union all select @@global.read_only")
                for tablet in self.cluster.tablets.values()]
        return len({count for (count,), _ in rows}) == 1 and sorted(read_only for _, (read_only,) in rows) == [0, 1, 1]

    def first_write(self, began):
        """A new client each 100 ms, for one that has sent its statement to a frozen tablet waits there."""
        through = []

        def attempt():
            if self.write():
                through.append(time.monotonic() - began)
        clients = []
        while not through and time.monotonic() - began < 60:
            clients.append(threading.Thread(target=attempt, daemon=True))
            clients[-1].start()
            time.sleep(.1)  # The rate of the clients, not a wait for something.
        for client in clients:
            client.join(20)
        if not through:
            raise Failure("no write got through within 60 s")
        return min(through)

    def watch_vtorc(self, began, found, stopped):
        """When vtorc says first that something is wrong."""
        while not found and not stopped.wait(.05):
            if any("Primary" in problem["Analysis"] for problem in http_json(self.port, "/api/problems")):
                found.append(time.monotonic() - began)

    def fail(self, kind):
        """Seconds until it was noticed, and until a write got through."""
        cluster = self.cluster
        old = cluster.primary("commerce", "0")
        process = cluster.processes[old.name]
        pids = self.server_pids(old)
        began = time.monotonic()
        for pid in [process.pid, *pids]:
            os.kill(pid, signal.SIGKILL if kind == "kill" else signal.SIGSTOP)
        found, stopped = [], threading.Event()
        watcher = threading.Thread(target=self.watch_vtorc, args=(began, found, stopped), daemon=True)
        watcher.start()
        try:
            took = self.first_write(began)
        finally:
            stopped.set()
            watcher.join()
            if kind == "stop":
                for pid in [*pids, process.pid]:
                    os.kill(pid, signal.SIGCONT)
        if kind == "kill":
            cluster.mysqlctl(old, "start")
            process.wait_ended(10)
            cluster.start(old.name, process.argv, lambda: cluster.vars(old).get("TabletStateName"))
        wait_until(self.healthy, "the shard to be well again", 60)
        return (found or [took])[0], took

    def lost(self):
        primary = self.cluster.primary("commerce", "0")
        there = {row for row, in self.cluster.server_rows(primary, "select id from t")}
        return [row for row in self.acknowledged if row not in there]


def main():
    parser = argparse.ArgumentParser(prog="./dev bench failover", description="How long until a shard whose primary died takes writes again.")
    parser.add_argument("--json", action="store_true", help="print one JSON object as the last line")
    parser.add_argument("--failovers", type=int, default=50)
    parser.add_argument("--vtorc-flags", default="", help="further flags of vtorc, with blanks between them")
    options = parser.parse_args()
    took = {kind: [] for kind in KINDS}
    with bench_cluster(pool="64M", kinds=("replica", "replica", "replica")) as cluster:
        run = Failovers(cluster, options.vtorc_flags.split())
        run.start()
        wait_until(run.write, "a first write", 10)
        wait_until(run.healthy, "the shard to be well", 30)
        for turn in range(options.failovers):
            kind = KINDS[turn % len(KINDS)]
            took[kind].append(run.fail(kind))
            note(f"{kind}: noticed after {took[kind][-1][0]:.2f} s, writable after {took[kind][-1][1]:.2f} s")
        lost = run.lost()
    out = {kind: {"failovers": len(values), **{name: round(percentile([(value[part], 1) for value in values], share), 2)
                                                for name, part, share in (("p50_s", 1, .5), ("p95_s", 1, .95), ("max_s", 1, 1),
                                                                          ("noticed_p95_s", 0, .95))}}
           for kind, values in took.items() if values}
    out["writes_acknowledged"], out["writes_lost"] = len(run.acknowledged), len(lost)
    for kind in KINDS:
        if kind in out:
            print(f"{kind}: {out[kind]['failovers']} times; noticed within {out[kind]['noticed_p95_s']} s (p95); writable after p50 {out[kind]['p50_s']} s, p95 {out[kind]['p95_s']} s, "
                  f"at most {out[kind]['max_s']} s")
    print(f"{out['writes_acknowledged']} writes acknowledged, {out['writes_lost']} lost {lost[:10] if lost else ''}")
    if options.json:
        print(json.dumps(out))
    return 1 if lost else 0


if __name__ == "__main__":
    sys.exit(main())
