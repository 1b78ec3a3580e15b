#!/usr/bin/env python3
"""`./dev bench catchup`: how fast a stream catches up, beside MariaDB's own replica.

sysbench's oltp_write_only runs on the source for a minute while the stream and two replicas stand still. Then each goes on
alone, and the clock runs until it has a row that was written last. The same for one transaction of a million rows.
"""

import argparse
import json
import os
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "tools"))

from vitrail.benchmark import bench_cluster, note, sysbench  # noqa: E402
from vitrail.cluster import Tablet  # noqa: E402
from vitrail.processes import Failure, wait_until  # noqa: E402

MOVE = ("MoveTables", "--workflow", "catchup", "--target-keyspace", "customer")
# MariaDB's settings: what wins depends on the machine.
REPLICAS = {"replica_serial": ("set global slave_parallel_threads = 0",),
            "replica_parallel": ("set global slave_parallel_threads = 4", "set global slave_parallel_mode = optimistic")}


class Bench:
    def __init__(self, cluster, options):
        self.cluster, self.options = cluster, options
        self.marker = 1_000_000_000

    def run_sql(self, tablet, *statements):
        with self.cluster.server(tablet, tablet.keyspace) as connection, connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)
            return cursor.fetchall()

    def prepare(self):
        cluster = self.cluster
        cluster.start_vtctld()
        for keyspace in ("commerce", "customer"):
            cluster.vtctldclient("CreateKeyspace", "--durability-policy", "none", keyspace)
        self.source = cluster.add_shard("commerce", "0", 100)[0]
        self.target = cluster.add_shard("customer", "0", 200)[0]
        self.run_sql(self.source, "create user bench@'127.0.0.1'", f"grant all on {self.source.database}.* to bench@'127.0.0.1'",
                     "create user copier@'127.0.0.1'", "grant replication slave on *.* to copier@'127.0.0.1'")
        self.replicas = {name: self.add_replica(900 + n, settings) for n, (name, settings) in enumerate(REPLICAS.items())}
        options = self.options
        sysbench("oltp_write_only", "prepare", self.source.ports["mysqld"], self.source.database, "bench", options.tables, options.rows)
        self.run_sql(self.source, "create table marker(id bigint primary key)",
                     "create table big(id bigint primary key, v int, s varchar(40))")
        tables = [*(f"sbtest{n + 1}" for n in range(options.tables)), "marker", "big"]
        cluster.vtctldclient("ApplyVSchema", "--vschema", json.dumps({"tables": {t: {} for t in tables}}), "commerce")
        cluster.vtctldclient(*MOVE, "create", "--source-keyspace", "commerce", "--tables", ",".join(tables))
        for tablet in self.tablets().values():
            self.wait_for(tablet, self.mark())
        # The marker comes before tables that are copied behind its own.
        wait_until(lambda: self.run_sql(self.target, "select count(*) from _vt.copy_state")[0][0] == 0, "all tables to be copied", 300)
        self.stop()

    def add_replica(self, uid, settings):
        """A plain server that replicates from the source, from now on."""
        cluster = self.cluster
        plain = Tablet(cluster.cell, uid, "commerce", "replica", "replica", {"mysqld": cluster.ports.take()})
        cluster.tablets[uid] = plain
        cluster.save()
        cluster.mysqlctl(plain, "init")
        position = self.run_sql(self.source, "select @@gtid_current_pos")[0][0]
        with cluster.server(plain) as connection, connection.cursor() as cursor:
            for statement in (f"create database {plain.database}", f"set global gtid_slave_pos = '{position}'", *settings,
                              f"change master to master_host = '127.0.0.1', master_port = {self.source.ports['mysqld']}, "
                              "master_user = 'copier', master_use_gtid = slave_pos", "start slave"):
                cursor.execute(statement)
        return plain

    def tablets(self):
        return {"stream": self.target, **self.replicas}

    def stop(self):
        self.cluster.vtctldclient(*MOVE, "stop")
        for tablet in self.replicas.values():
            self.run_sql(tablet, "stop slave")

    def mark(self):
        self.marker += 1
        self.run_sql(self.source, f"insert into marker values ({self.marker})")
        return self.marker

    def wait_for(self, tablet, marker):
        def there():
            return self.run_sql(tablet, f"select count(*) from marker where id = {marker}")[0][0] == 1
        wait_until(there, f"{tablet.alias} to catch up", 1800, 0.01)

    def go_on(self):
        """Seconds that each needs, one after the other."""
        marker, seconds = self.mark(), {}
        for name, tablet in self.tablets().items():
            started = time.monotonic()
            if name == "stream":
                self.cluster.vtctldclient(*MOVE, "start")
            else:
                self.run_sql(tablet, "start slave")
            self.wait_for(tablet, marker)
            seconds[name] = round(time.monotonic() - started, 2)
            note(f"{name}: {seconds[name]} s")
            if name == "stream":
                self.cluster.vtctldclient(*MOVE, "stop")
            else:
                self.run_sql(tablet, "stop slave")
        self.same()
        best = min(s for name, s in seconds.items() if name != "stream")
        return {"seconds": seconds, "ratio_to_best_replica": round(best / seconds["stream"], 3)}

    def same(self):
        for table in ("sbtest1", "big"):
            sums = {name: self.run_sql(tablet, f"checksum table {table}")[0][1]
                    for name, tablet in (("source", self.source), *self.tablets().items())}
            if len(set(sums.values())) > 1:
                raise Failure(f"{table} differs: {sums}")

    def run(self):
        options = self.options
        self.prepare()
        load = sysbench("oltp_write_only", "run", self.source.ports["mysqld"], self.source.database, "bench", options.tables,
                        options.rows, threads=8, seconds=options.seconds)
        note(f"{load['events']:,.0f} transactions in {load['seconds']:.0f} s")
        out = {"write_only": {"transactions": int(load["events"]), **self.go_on()}}
        self.run_sql(self.source, f"insert into big select seq, seq, repeat('h', 30) from seq_1_to_{options.big}")
        out["one_transaction"] = {"rows": options.big, **self.go_on()}
        return out


def main():
    parser = argparse.ArgumentParser(prog="./dev bench catchup", description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="print one JSON object as the last line")
    parser.add_argument("--seconds", type=int, default=60, help="of oltp_write_only (60)")
    parser.add_argument("--tables", type=int, default=4)
    parser.add_argument("--rows", type=int, default=100_000, help="of each table (100000)")
    parser.add_argument("--big", type=int, default=1_000_000, help="rows of the large transaction (1000000)")
    parser.add_argument("--quick", action="store_true", help="a look in a minute, not a measurement")
    options = parser.parse_args()
    if options.quick:
        options.seconds, options.rows, options.big = 5, 10_000, 100_000
    with bench_cluster(pool="512M") as cluster:
        out = Bench(cluster, options).run()
    for name, result in out.items():
        print(f"{name}: {result['seconds']} s, {result['ratio_to_best_replica']:.2f} of the best replica")
    if options.json:
        print(json.dumps(out))
    return 0


if __name__ == "__main__":
    sys.exit(main())
