#!/usr/bin/env python3
"""`./dev bench write`: changes on 2 shards beside one server that holds all rows.

One client, in turn here and there: statements, transactions on one shard and on two in the three modes, LOAD DATA. Milliseconds of the
client's, and CPU time of all programs and servers of the cluster.
"""

import argparse
import json
import os
import statistics
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "tools"))

from vitrail.benchmark import CpuMeter, bench_cluster, note, table  # noqa: E402
from vitrail.processes import http_json, wait_until  # noqa: E402
from vitrail.reference import PlainServer, equal_ranges  # noqa: E402

TABLES = """create table customer(id bigint primary key, email varchar(60) not null, name varchar(40) not null, key(email));
create table item(id bigint primary key, name varchar(40) not null, price decimal(10,2) not null);"""
LOOKUP = "create table customer_email(email varchar(60) primary key, keyspace_id varbinary(16) not null);"
VSCHEMA = {"sharded": True, "vindexes": {
    "hash": {"type": "hash"}, "text": {"type": "unicode_loose_xxhash"},
    "by_email": {"type": "consistent_lookup_unique", "owner": "customer",
                 "params": {"table": "customer_email", "from": "email", "to": "keyspace_id"}}}, "tables": {
    "customer": {"column_vindexes": [{"column": "id", "name": "hash"}, {"column": "email", "name": "by_email"}]},
    "item": {"column_vindexes": [{"column": "id", "name": "hash"}]},
    "customer_email": {"column_vindexes": [{"column": "email", "name": "text"}]}}}
LEFT, RIGHT = 1, 4  # Ids of `hash` on the first half and on the second.


def customers(first, count):
    return ",".join(f"({n},'c{n}@example.com','customer {n}')" for n in range(first, first + count))


def items(first, count):
    return ",".join(f"({n},'item {n}',{n % 500}.25)" for n in range(first, first + count))


def transfer(turn):
    return [f"update item set price = price + {turn % 7 + 1} where id = {id}" for id in (LEFT, RIGHT)]


# Name, transaction_mode (None: no transaction), and the statements of a turn.
CASES = (
    ("insert of a row", None, lambda turn: [f"insert into item values {items(1_000_000 + turn, 1)}"]),
    ("insert of 100 rows", None, lambda turn: [f"insert into item values {items(2_000_000 + turn * 100, 100)}"]),
    ("insert of a row, a lookup", None, lambda turn: [f"insert into customer values {customers(1_000_000 + turn, 1)}"]),
    ("update by the key", None, lambda turn: [f"update customer set name = 'n{turn}' where id = {turn % 5000 + 1}"]),
    ("update by the lookup", None, lambda turn: [f"update customer set name = 'm{turn}' where email = 'c{turn % 5000 + 1}@example.com'"]),
    ("transaction, one shard", "single", lambda turn: [f"update item set price = {turn} where id = {LEFT}"] * 2),
    ("transaction, two shards, multi", "multi", transfer),
    ("transaction, two shards, twopc", "twopc", transfer),
)


def run_turn(connection, in_transaction, statements):
    began = time.perf_counter()
    with connection.cursor() as cursor:
        if in_transaction:
            cursor.execute("begin")
        for sql in statements:
            cursor.execute(sql)
        if in_transaction:
            cursor.execute("commit")
    return (time.perf_counter() - began) * 1000


def compare(name, mode, statements, plain, vtgate, meter, options):
    times, cpu = {"server": [], "vitrail": []}, 0.0
    with vtgate.cursor() as cursor:
        cursor.execute(f"set transaction_mode = '{mode or 'multi'}'")
    turn = 0
    for piece in range(options.rounds + 1):  # The first one for plans and caches.
        turns = range(turn, turn := turn + options.turns)
        one = [run_turn(plain, mode, statements(n)) for n in turns]
        meter.start()
        other = [run_turn(vtgate, mode, statements(n)) for n in turns]
        if piece:
            cpu += sum(meter.stop().values())
            times["server"] += one
            times["vitrail"] += other
    return {"statement": name, **{f"{side}_ms": round(statistics.median(all_of), 3) for side, all_of in times.items()},
            "cpu_ms": round(cpu * 1000 / (options.rounds * options.turns), 3)}


def load(path, plain, vtgate, meter, options):
    seconds, cpu = {"server": [], "vitrail": []}, 0.0
    with vtgate.cursor() as cursor:
        cursor.execute("set transaction_mode = 'multi'")
    for _ in range(3):
        for side, connection in (("server", plain), ("vitrail", vtgate)):
            with connection.cursor() as cursor:
                cursor.execute("truncate table item")
                meter.start()
                began = time.perf_counter()
                cursor.execute(f"load data local infile '{path}' into table item fields terminated by ','")
                seconds[side].append(time.perf_counter() - began)
                cpu += sum(meter.stop().values()) if side == "vitrail" else 0
                cursor.execute("select count(*) from item")
                if cursor.fetchall() != ((options.load_rows,),):
                    raise SystemExit(f"bench write: LOAD DATA lost rows ({side})")
    return {"statement": f"LOAD DATA, {options.load_rows:,} rows", "cpu_ms": round(cpu * 1000 / 3, 1),
            **{f"{side}_ms": round(statistics.median(all_of) * 1000, 1) for side, all_of in seconds.items()}}


def measure(options):
    results = []
    with bench_cluster(pool="256M") as cluster:
        cluster.start_vtctld()
        cluster.vtctldclient("CreateKeyspace", "--durability-policy", "none", "shop")
        for i, shard in enumerate(equal_ranges(2)):
            cluster.add_shard("shop", shard, 100 + 10 * i)
        cluster.vtctldclient("ApplySchema", "--sql", TABLES + LOOKUP, "shop")
        cluster.vtctldclient("ApplyVSchema", "--vschema", json.dumps(VSCHEMA), "shop")
        cluster.start_vtgate("--tablet-types-to-wait", "PRIMARY")
        port = cluster.addresses["vtgate"]["port"]
        wait_until(lambda: "customer_email" in http_json(port, "/debug/schema").get("shop", {}), "the columns to be known", 30)
        server = PlainServer(os.path.join(cluster.root, "reference"), cluster.ports.take(17050)).start()
        pids = {name: process.pid for name, process in cluster.processes.items() if name.startswith(("vtgate", "vttablet"))}
        pids.update({f"mysqld-{tablet.uid}": cluster.server_pid(tablet) for tablet in cluster.tablets.values()})
        meter = CpuMeter(pids)
        path = cluster.path("items.csv")
        with open(path, "w", encoding="utf-8") as file:
            file.writelines(f"{n},item {n},{n % 500}.25\n" for n in range(options.load_rows))
        try:
            with server.connect() as connection, connection.cursor() as cursor:
                cursor.execute("create database shop")
            with server.connect("shop", local_infile=True) as plain, cluster.connect("shop", local_infile=True) as vtgate:
                with plain.cursor() as cursor:
                    for statement in TABLES.split(";")[:-1]:
                        cursor.execute(statement)
                for connection in (plain, vtgate):
                    with connection.cursor() as cursor:
                        for first in range(1, 5001, 1000):
                            cursor.execute(f"insert into customer values {customers(first, 1000)}")
                        cursor.execute(f"insert into item values {items(1, 100)}")
                for name, mode, statements in CASES:
                    result = compare(name, mode, statements, plain, vtgate, meter, options)
                    note(f"{name:32} server {result['server_ms']:>8.3f} ms  vitrail {result['vitrail_ms']:>8.3f} ms")
                    results.append(result)
                results.append(load(path, plain, vtgate, meter, options))
        finally:
            server.stop()
    return results


def main():
    parser = argparse.ArgumentParser(prog="./dev bench write", description="Changes on 2 shards beside one server.")
    parser.add_argument("--json", action="store_true", help="print one JSON object as the last line")
    parser.add_argument("--rounds", type=int, default=10, help="pieces of --turns turns each, in turn here and there (10)")
    parser.add_argument("--turns", type=int, default=100, help="of each piece; the median of all counts (100)")
    parser.add_argument("--load-rows", type=int, default=200_000, help="of LOAD DATA (200000)")
    parser.add_argument("--quick", action="store_true", help="a look in a minute: 3 pieces of 50 turns, 20,000 rows")
    options = parser.parse_args()
    if options.quick:
        options.rounds, options.turns, options.load_rows = 3, 50, 20_000
    results = measure(options)
    print(table(["statement", "", "server ms", "vitrail ms", "ratio", "cluster's CPU ms"],
                [[r["statement"], "", r["server_ms"], r["vitrail_ms"], f"{r['vitrail_ms'] / max(r['server_ms'], .001):.2f}", r["cpu_ms"]]
                 for r in results]))
    of = {r["statement"]: r for r in results}
    multi, twopc = of["transaction, two shards, multi"], of["transaction, two shards, twopc"]
    ratios = {what: round(twopc[what] / max(multi[what], .001), 2) for what in ("vitrail_ms", "cpu_ms")}
    print(f"\ntwopc as a multiple of multi: {ratios['vitrail_ms']} of the time, {ratios['cpu_ms']} of the CPU time")
    if options.json:
        print(json.dumps({"results": results, "twopc_of_multi": {"time": ratios["vitrail_ms"], "cpu": ratios["cpu_ms"]}}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
