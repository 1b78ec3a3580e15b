#!/usr/bin/env python3
"""`./dev bench query`: statements over shards beside one server that holds all rows.

The same rows are on 2 shards (and 8), and on one MariaDB. Each statement runs by one client in turn here and there, and its answers
are compared. `--large` adds a scatter of 160 MB and an ordered one, with the memory that vtgate took for it.
"""

import argparse
import json
import os
import statistics
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "tools"))

import pymysql  # noqa: E402

from vitrail.benchmark import bench_cluster, note, table  # noqa: E402
from vitrail.processes import http_json, wait_until  # noqa: E402
from vitrail.reference import PlainServer, equal_ranges  # noqa: E402

SCHEMA = """create table customer(id bigint primary key, name varchar(40) not null, region int not null, key(region));
create table orders(id bigint primary key, customer_id bigint not null, item_id bigint not null, price decimal(10,2) not null, key(customer_id));
create table item(id bigint primary key, name varchar(40) not null, price decimal(10,2) not null);"""
VSCHEMA = {"sharded": True, "vindexes": {"hash": {"type": "hash"}}, "tables": {
    name: {"column_vindexes": [{"column": column, "name": "hash"}], "columns": [{"name": column, "type": "INT64"}]}
    for name, column in (("customer", "id"), ("orders", "customer_id"), ("item", "id"))}}
LARGE = "create table large(id bigint primary key, v varchar(1000) not null);"
STATEMENTS = (
    ("point select", "select name from customer where id = 4711"),
    ("IN of 10", "select id, name from customer where id in (1, 500, 1001, 1502, 2003, 2504, 3005, 3506, 4007, 4508)"),
    ("scatter count", "select count(*) from orders"),
    ("group by", "select region, count(*), sum(id), max(name) from customer group by region"),
    ("order by limit", "select id, price from orders order by price desc, id limit 20"),
    ("distinct", "select distinct region from customer"),
    ("join on the key", "select c.name, o.price from customer c join orders o on o.customer_id = c.id where c.id = 4711"),
    ("join across, 1,000 rows", "select o.id, i.name from orders o join item i on i.id = o.item_id where o.id between 5000 and 5999"),
    ("join across, 20,000 rows", "select sum(o.price), max(i.name) from orders o join item i on i.id = o.item_id where o.id < 20000"),
    ("correlated subquery", "select count(*) from customer c where c.id < 10000 and exists (select 1 from orders o where o.id = c.id and o.price > 50)"),
    ("avg and having", "select region, avg(id) from customer where id < 10000 group by region having count(*) > 1 order by region"),
)
LARGE_STATEMENTS = (("scatter of 160 MB", "select * from large"), ("ordered, 160 MB", "select * from large order by id desc"))


def rows_of(size):
    customers = [f"({n},'customer {n}',{n % 100})" for n in range(size)]
    orders = [f"({n},{n * 7 % size},{n * 13 % size},{n % 1000}.{n % 100:02})" for n in range(size * 2)]
    items = [f"({n},'item {n}',{n % 500})" for n in range(size)]
    return {"customer": customers, "orders": orders, "item": items}


def fill(connections, tables):
    for connection in connections:
        with connection.cursor() as cursor:
            for name, rows in tables.items():
                for at in range(0, len(rows), 2000):
                    cursor.execute(f"insert into {name} values " + ",".join(rows[at:at + 2000]))


def memory(pid, what):
    with open(f"/proc/{pid}/status", encoding="utf-8") as file:
        return next(int(line.split()[1]) << 10 for line in file if line.startswith(what))


def run_once(connection, sql):
    began = time.perf_counter()
    with connection.cursor() as cursor:
        cursor.execute(sql)
        rows = cursor.fetchall()
    return (time.perf_counter() - began) * 1000, rows


def compare(name, sql, plain, vtgate, rounds):
    times = {"server": [], "vitrail": []}
    for turn in range(rounds + 2):  # The first two for plans and caches.
        (one, expected), (other, got) = run_once(plain, sql), run_once(vtgate, sql)
        if sorted(map(repr, expected)) != sorted(map(repr, got)):
            raise SystemExit(f"bench query: {name}: the answers differ: {sql}")
        if turn >= 2:
            times["server"].append(one)
            times["vitrail"].append(other)
    return {"statement": name, "rows": len(got), **{f"{side}_ms": round(statistics.median(all_of), 2) for side, all_of in times.items()}}


def stream(sql, connection, pid):
    """Reads a large result row by row."""
    before = memory(pid, "VmRSS:")
    began = time.perf_counter()
    most, rows = before, 0
    with connection.cursor(pymysql.cursors.SSCursor) as cursor:
        cursor.execute(sql)
        for rows, _ in enumerate(cursor, 1):
            if rows % 2000 == 0:
                most = max(most, memory(pid, "VmRSS:"))
    return {"rows": rows, "seconds": round(time.perf_counter() - began, 2), "rss_before": before, "rss_most": most}


def measure(shards, options):
    results = []
    with bench_cluster(pool="256M") as cluster:
        cluster.start_vtctld()
        cluster.vtctldclient("CreateKeyspace", "--durability-policy", "none", "shop")
        for i, shard in enumerate(equal_ranges(shards)):
            cluster.add_shard("shop", shard, 100 + 10 * i)
        schema = SCHEMA + (LARGE if options.large else "")
        vschema = json.loads(json.dumps(VSCHEMA))
        if options.large:
            vschema["tables"]["large"] = {"column_vindexes": [{"column": "id", "name": "hash"}], "columns": [{"name": "id", "type": "INT64"}]}
        cluster.vtctldclient("ApplySchema", "--sql", schema, "shop")
        cluster.vtctldclient("ApplyVSchema", "--vschema", json.dumps(vschema), "shop")
        cluster.start_vtgate("--tablet-types-to-wait", "PRIMARY")
        port = cluster.addresses["vtgate"]["port"]
        wait_until(lambda: "orders" in http_json(port, "/debug/schema").get("shop", {}), "the columns to be known", 30)
        server = PlainServer(os.path.join(cluster.root, "reference"), cluster.ports.take(17050)).start()
        try:
            with server.connect() as connection, connection.cursor() as cursor:
                cursor.execute("create database shop")
            with server.connect("shop") as plain, cluster.connect("shop") as vtgate:
                for statement in schema.split(";")[:-1]:
                    run_once(plain, statement)
                fill([plain, vtgate], rows_of(options.rows))
                for name, sql in STATEMENTS:
                    result = {"shards": shards, **compare(name, sql, plain, vtgate, options.rounds)}
                    note(f"{shards} shards  {name:26} server {result['server_ms']:>8.2f} ms  vitrail {result['vitrail_ms']:>8.2f} ms")
                    results.append(result)
                if options.large:
                    fill([vtgate], {"large": [f"({n},'{'x' * 1000}')" for n in range(160_000)]})
                    for name, sql in LARGE_STATEMENTS:
                        large = {"shards": shards, "statement": name, **stream(sql, vtgate, cluster.processes["vtgate"].pid)}
                        note(f"{shards} shards  {name:26} {large['seconds']:.2f} s, vtgate from {large['rss_before'] >> 20} to {large['rss_most'] >> 20} MiB")
                        results.append(large)
        finally:
            server.stop()
    return results


def main():
    parser = argparse.ArgumentParser(prog="./dev bench query", description="Statements over shards beside one server.")
    parser.add_argument("--json", action="store_true", help="print one JSON object as the last line")
    parser.add_argument("--shards", default="2,8", help="numbers of shards (2,8)")
    parser.add_argument("--rows", type=int, default=50_000, help="of customer; orders has twice as many (50000)")
    parser.add_argument("--rounds", type=int, default=15, help="runs of each statement; the median counts (15)")
    parser.add_argument("--large", action="store_true", help="results of 160 MB, too, with vtgate's memory")
    parser.add_argument("--quick", action="store_true", help="a look in a minute: 2 shards, 10,000 rows, 5 rounds")
    options = parser.parse_args()
    if options.quick:
        options.shards, options.rows, options.rounds = "2", 10_000, 5
    results = [result for shards in options.shards.split(",") for result in measure(int(shards), options)]
    small = [r for r in results if "server_ms" in r]
    print(table(["shards", "statement", "rows", "server ms", "vitrail ms", "ratio"],
                [[r["shards"], r["statement"], r["rows"], r["server_ms"], r["vitrail_ms"], f"{r['vitrail_ms'] / max(r['server_ms'], .01):.2f}"]
                 for r in small]))
    for r in results:
        if "seconds" in r:
            print(f"{r['shards']} shards, {r['statement']}: {r['rows']} rows in {r['seconds']} s; vtgate {r['rss_before'] >> 20} MiB before, "
                  f"{r['rss_most'] >> 20} MiB at most")
    if options.json:
        print(json.dumps({"results": results}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
