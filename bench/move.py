#!/usr/bin/env python3
"""`./dev bench move`: how fast tables move, beside a bare pipe and `mariadb-dump | mariadb`.

One table of rows of about 200 bytes with a secondary index: MoveTables to one shard, then Reshard into two. The bare pipe,
one SELECT into one LOAD DATA LOCAL on a server of the same kind, runs before, between and after them, a dump at both ends; the
ratios are to the medians of their rates. The clock of a move runs from the command to the moment when its last stream has
copied everything and follows; printed with it: CPU time of the servers and tablets, and the most memory a tablet has had.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "tools"))

from vitrail.benchmark import CpuMeter, bench_cluster, note  # noqa: E402
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


def piped(cluster, source, plain, rows, name, prepare, read, write):
    """Rows per second of a program at the source's server whose output another one takes at the other server."""
    run_sql(cluster, plain, f"drop database if exists {plain.database}", f"create database {plain.database}", *prepare)
    source_argv, plain_argv = ([read[0] if t is source else "mariadb", "--no-defaults", "--user=vt_dba",
                                f"--socket={cluster.path(f'vt_{t.uid:010d}', 'mysql.sock')}"] for t in (source, plain))
    started = time.monotonic()
    reader = subprocess.Popen([*source_argv, *read[1:]], stdout=subprocess.PIPE)
    writer = subprocess.run([*plain_argv, *write], stdin=reader.stdout, check=False)
    reader.stdout.close()
    if reader.wait() != 0 or writer.returncode != 0:
        raise Failure(f"{name} failed")
    rate = rows / (time.monotonic() - started)
    count = run_sql(cluster, plain, "select count(*) from item", database="dump")[0][0]
    if count != rows:
        raise Failure(f"{name} brought {count} rows instead of {rows}")
    run_sql(cluster, plain, f"drop database {plain.database}", f"create database {plain.database}")
    note(f"{name}: {rate:,.0f} rows/s")
    return rate


def dump(cluster, source, plain, rows):
    return piped(cluster, source, plain, rows, "mariadb-dump | mariadb", (),
                 ["mariadb-dump", "--single-transaction", "--quick", source.database, "item"], [plain.database])


def bare_pipe(cluster, source, plain, rows):
    return piped(cluster, source, plain, rows, "SELECT into LOAD DATA LOCAL", (f"use {plain.database}", TABLE),
                 ["mariadb", "--quick", "--batch", "--skip-column-names", "--default-character-set=binary", source.database,
                  "--execute", "select id, k, pad from item order by id"],
                 ["--local-infile=1", plain.database,
                  "--execute", "load data local infile '/dev/stdin' into table item character set binary (id, k, pad)"])


def tablet_pids(cluster, keyspace, shard):
    """Process ids of a shard's server and tablet."""
    tablet = cluster.primary(keyspace, shard)
    return {"server": cluster.server_pid(tablet), "vttablet": cluster.processes[tablet.name].pid}


def peak_mib(pid):
    with open(f"/proc/{pid}/status", encoding="utf-8") as file:
        return next(int(line.split()[1]) // 1024 for line in file if line.startswith("VmHWM:"))


def wait_copied(cluster, workflow):
    def copied():
        shown = json.loads(cluster.vtctldclient("Workflow", "--keyspace", "customer", "show", "--workflow", workflow))
        streams = [s for shard in shown["workflows"][0]["shard_streams"].values() for s in shard["streams"]]
        broken = [s for s in streams if s["state"] == "Error"]
        if broken:
            raise Failure(f"{workflow}: {broken[0].get('message')}")
        return streams and all(s["state"] == "Running" for s in streams)
    wait_until(copied, f"{workflow} to finish its copy", 3600, 0.05)


def move(cluster, name, command, rows, origin, shards, memory):
    """Rows per second; `origin`: (keyspace, shard) of the source. `memory`: MiB by tablet."""
    pids = {f"source {what}": pid for what, pid in tablet_pids(cluster, *origin).items()}
    for shard in shards:
        pids |= {f"{shard} {what}": pid for what, pid in tablet_pids(cluster, "customer", shard).items()}
    for what, pid in pids.items():
        if what.endswith("vttablet"):
            with open(f"/proc/{pid}/clear_refs", "w", encoding="ascii") as file:
                file.write("5")  # The peak is counted anew.
    meter = CpuMeter(pids)
    meter.start()
    started = time.monotonic()
    cluster.vtctldclient(*command)
    wait_copied(cluster, command[2])
    seconds = time.monotonic() - started
    used = meter.stop()
    rate = rows / seconds
    for what, pid in pids.items():
        if what.endswith("vttablet"):
            role = "source" if what.startswith("source") else "target"
            memory[role] = max(memory.get(role, 0), peak_mib(pid))
    note(f"{name}: us of CPU a row: " + ", ".join(f"{what} {used[what] / rows * 1e6:.2f}" for what in pids))
    found = sum(cluster.server_rows(cluster.primary("customer", shard), "select count(*) from item")[0][0] for shard in shards)
    if found != rows:
        raise Failure(f"{name} copied {found} rows instead of {rows}")
    note(f"{name}: {rate:,.0f} rows/s")
    return rate


def main():
    parser = argparse.ArgumentParser(prog="./dev bench move", description="How fast tables move, beside a bare pipe and mariadb-dump | mariadb.")
    parser.add_argument("--json", action="store_true", help="print one JSON object as the last line")
    parser.add_argument("--rows", type=int, help="rows to move (2000000; 100000 with --quick)")
    parser.add_argument("--rounds", type=int, default=1, help="copies of each kind; the median counts (1)")
    parser.add_argument("--defer-secondary-keys", action="store_true", help="let the copies do so")
    parser.add_argument("--quick", action="store_true", help="a look in a minute, not a measurement")
    options = parser.parse_args()
    rows = options.rows or (100_000 if options.quick else 2_000_000)
    defer = ("--defer-secondary-keys",) if options.defer_secondary_keys else ()
    one, two, pipes, dumps, memory = [], [], [], [], {}
    with bench_cluster(pool="768M") as cluster:
        source, plain = prepare(cluster, rows)
        dumps.append(dump(cluster, source, plain, rows))
        pipes.append(bare_pipe(cluster, source, plain, rows))
        for turn in range(options.rounds):
            one.append(move(cluster, "MoveTables, one target",
                            (*MOVE, "create", "--source-keyspace", "commerce", "--tables", "item", *defer), rows,
                            ("commerce", "0"), ["0"], memory))
            pipes.append(bare_pipe(cluster, source, plain, rows))
            if turn + 1 < options.rounds:
                cluster.vtctldclient(*MOVE, "cancel")
        cluster.vtctldclient(*MOVE, "switchtraffic")
        cluster.vtctldclient(*MOVE, "complete")
        cluster.vtctldclient("ApplyVSchema", "--vschema", VSCHEMA, "customer")
        source = cluster.primary("customer", "0")
        cluster.add_shard("customer", "-80", 300)
        cluster.add_shard("customer", "80-", 400)
        for turn in range(options.rounds):
            two.append(move(cluster, "Reshard, two targets",
                            (*RESHARD, "create", "--source-shards", "0", "--target-shards=-80,80-", *defer), rows,
                            ("customer", "0"), ["-80", "80-"], memory))
            pipes.append(bare_pipe(cluster, source, plain, rows))
            if turn + 1 < options.rounds:
                cluster.vtctldclient(*RESHARD, "cancel")
        dumps.append(dump(cluster, source, plain, rows))
    rates = {"dump": statistics.median(dumps), "pipe": statistics.median(pipes), "one_target": statistics.median(one),
             "two_targets": statistics.median(two)}
    ratio = {to: {name: round(rates[name] / rates[to], 3) for name in ("one_target", "two_targets")} for to in ("pipe", "dump")}
    time_of_two = round(rates["one_target"] / rates["two_targets"], 3)
    print(f"""rows per second, {rows:,} rows of about 200 bytes with a secondary index
  mariadb-dump | mariadb       {rates['dump']:>10,.0f}
  SELECT into LOAD DATA LOCAL  {rates['pipe']:>10,.0f}   (of {', '.join(f'{rate:,.0f}' for rate in pipes)})
  MoveTables, one target       {rates['one_target']:>10,.0f}   {ratio['pipe']['one_target']:.2f} of the pipe, {ratio['dump']['one_target']:.2f} of the dump
  Reshard, two targets         {rates['two_targets']:>10,.0f}   {ratio['pipe']['two_targets']:.2f} of the pipe, {ratio['dump']['two_targets']:.2f} of the dump
  two targets take {time_of_two:.2f} of the time of one; most memory of a tablet: {memory['source']} MiB as source, {memory['target']} MiB as target""")
    if options.json:
        print(json.dumps({"rows_per_s": {name: round(rate) for name, rate in rates.items()}, "ratio_to_pipe": ratio["pipe"],
                          "ratio_to_dump": ratio["dump"], "time_of_two_targets": time_of_two, "memory_mib": memory}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
