#!/usr/bin/env python3
"""`./dev bench move`: how fast tables move, beside `mariadb-dump | mariadb`.

One table of rows of about 200 bytes with a secondary index: MoveTables to one shard, then Reshard into two. A dump of the
same table into a server of the same kind runs before, between and after them; the ratio is to the median of its rates.
The clock of a move runs from the command to the moment when its last stream has copied everything and follows.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "tools"))

from vitrail.benchmark import bench_cluster, note  # noqa: E402
from vitrail.cluster import Tablet  # noqa: E402
from vitrail.processes import Failure, wait_until  # noqa: E402

TABLE = """create table item(id bigint not null, k int not null, pad varbinary(180) not null, primary key(id), key by_k(k))"""
VSCHEMA = json.dumps({"sharded": True, "vindexes": {"hash": {"type": "hash"}},
                      "tables": {"item": {"column_vindexes": [{"column": "id", "name": "hash"}]}}})
MOVE = ("MoveTables", "--workflow", "move", "--target-keyspace", "customer")
RESHARD = ("Reshard", "--workflow", "split", "--target-keyspace", "customer")


def run_sql(cluster, tablet, *statements, database=None):
    with cluster.server(tablet, database) as connection, connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)
        return cursor.fetchall()


def prepare(cluster, rows):
    cluster.start_vtctld()
    for keyspace in ("commerce", "customer"):
        cluster.vtctldclient("CreateKeyspace", "--durability-policy", "none", keyspace)
    source = cluster.add_shard("commerce", "0", 100)[0]
    cluster.add_shard("customer", "0", 200)
    cluster.vtctldclient("ApplySchema", "--sql", TABLE, "commerce")
    cluster.vtctldclient("ApplyVSchema", "--vschema", '{"tables": {"item": {}}}', "commerce")
    note(f"{rows:,} rows")
    for first in range(1, rows + 1, 100_000):
        last = min(first + 99_999, rows)
        run_sql(cluster, source, "insert into item select seq, seq * 7919 % 1000003, "
                f"rpad(concat(md5(seq), md5(seq + 1), md5(seq + 2), md5(seq + 3)), 180, 'x') from seq_{first}_to_{last}",
                database="commerce")
    # A plain server, for the dump.
    plain = Tablet(cluster.cell, 900, "dump", "0", "replica", {"mysqld": cluster.ports.take()})
    cluster.tablets[plain.uid] = plain
    cluster.save()
    cluster.mysqlctl(plain, "init")
    run_sql(cluster, plain, "set global read_only = 0")
    return source, plain


def dump(cluster, source, plain, rows):
    """Rows per second of mariadb-dump | mariadb."""
    run_sql(cluster, plain, f"drop database if exists {plain.database}", f"create database {plain.database}")
    sockets = [cluster.path(f"vt_{t.uid:010d}", "mysql.sock") for t in (source, plain)]
    started = time.monotonic()
    reader = subprocess.Popen(["mariadb-dump", "--no-defaults", "--user=vt_dba", f"--socket={sockets[0]}", "--single-transaction",
                               "--quick", source.database, "item"], stdout=subprocess.PIPE)
    writer = subprocess.run(["mariadb", "--no-defaults", "--user=vt_dba", f"--socket={sockets[1]}", plain.database],
                            stdin=reader.stdout, check=False)
    reader.stdout.close()
    if reader.wait() != 0 or writer.returncode != 0:
        raise Failure("mariadb-dump | mariadb failed")
    rate = rows / (time.monotonic() - started)
    count = run_sql(cluster, plain, "select count(*) from item", database="dump")[0][0]
    if count != rows:
        raise Failure(f"the dump holds {count} rows instead of {rows}")
    run_sql(cluster, plain, f"drop database {plain.database}", f"create database {plain.database}")
    note(f"mariadb-dump | mariadb: {rate:,.0f} rows/s")
    return rate


def wait_copied(cluster, workflow):
    def copied():
        shown = json.loads(cluster.vtctldclient("Workflow", "--keyspace", "customer", "show", "--workflow", workflow))
        streams = [s for shard in shown["workflows"][0]["shard_streams"].values() for s in shard["streams"]]
        broken = [s for s in streams if s["state"] == "Error"]
        if broken:
            raise Failure(f"{workflow}: {broken[0].get('message')}")
        return streams and all(s["state"] == "Running" for s in streams)
    wait_until(copied, f"{workflow} to finish its copy", 3600, 0.05)


def move(cluster, name, command, rows, shards):
    started = time.monotonic()
    cluster.vtctldclient(*command)
    wait_copied(cluster, command[2])
    rate = rows / (time.monotonic() - started)
    found = sum(cluster.server_rows(cluster.primary("customer", shard), "select count(*) from item")[0][0] for shard in shards)
    if found != rows:
        raise Failure(f"{name} copied {found} rows instead of {rows}")
    note(f"{name}: {rate:,.0f} rows/s")
    return rate


def main():
    parser = argparse.ArgumentParser(prog="./dev bench move", description="How fast tables move, beside mariadb-dump | mariadb.")
    parser.add_argument("--json", action="store_true", help="print one JSON object as the last line")
    parser.add_argument("--rows", type=int, help="rows to move (2000000; 100000 with --quick)")
    parser.add_argument("--rounds", type=int, default=1, help="copies of each kind; the median counts (1)")
    parser.add_argument("--quick", action="store_true", help="a look in a minute, not a measurement")
    options = parser.parse_args()
    rows = options.rows or (100_000 if options.quick else 2_000_000)
    one, two, dumps = [], [], []
    with bench_cluster(pool="768M") as cluster:
        source, plain = prepare(cluster, rows)
        dumps.append(dump(cluster, source, plain, rows))
        for turn in range(options.rounds):
            one.append(move(cluster, "MoveTables, one target",
                            (*MOVE, "create", "--source-keyspace", "commerce", "--tables", "item"), rows, ["0"]))
            if turn + 1 < options.rounds:
                cluster.vtctldclient(*MOVE, "cancel")
                dumps.append(dump(cluster, source, plain, rows))
        cluster.vtctldclient(*MOVE, "switchtraffic")
        cluster.vtctldclient(*MOVE, "complete")
        cluster.vtctldclient("ApplyVSchema", "--vschema", VSCHEMA, "customer")
        source = cluster.primary("customer", "0")
        cluster.add_shard("customer", "-80", 300)
        cluster.add_shard("customer", "80-", 400)
        for turn in range(options.rounds):
            dumps.append(dump(cluster, source, plain, rows))
            two.append(move(cluster, "Reshard, two targets",
                            (*RESHARD, "create", "--source-shards", "0", "--target-shards=-80,80-"), rows, ["-80", "80-"]))
            if turn + 1 < options.rounds:
                cluster.vtctldclient(*RESHARD, "cancel")
        dumps.append(dump(cluster, source, plain, rows))
    rates = {"dump": statistics.median(dumps), "one_target": statistics.median(one), "two_targets": statistics.median(two)}
    ratio = {name: round(rates[name] / rates["dump"], 3) for name in ("one_target", "two_targets")}
    print(f"""rows per second, {rows:,} rows of about 200 bytes with a secondary index
  mariadb-dump | mariadb    {rates['dump']:>10,.0f}
  MoveTables, one target    {rates['one_target']:>10,.0f}   {ratio['one_target']:.2f} of the dump
  Reshard, two targets      {rates['two_targets']:>10,.0f}   {ratio['two_targets']:.2f} of the dump""")
    if options.json:
        print(json.dumps({"rows_per_s": {name: round(rate) for name, rate in rates.items()}, "ratio_to_dump": ratio}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
