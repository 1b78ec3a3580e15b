#!/usr/bin/env python3
"""`./dev bench route`: what the way through vtgate and vttablet costs.

sysbench against (a) the server by TCP, (b) two HAProxies in TCP mode in a chain, the least that any design of two hops can
cost, and (c) vtgate and vttablet, unsharded. All three reach the same server and the same tables; their runs are
interleaved. Latencies are those of sysbench's events: a query for point selects, a transaction for read_write.

--shards N adds (d) the same tables in a keyspace of N shards, a server each, --peer FOLDER (e) another build of the
programs, unsharded, with a server of its own, and --other FLAGS (f) another vtgate with these flags: in the same rounds.
"""

import argparse
import contextlib
import itertools
import json
import os
import statistics
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "tools"))

from vitrail.counting import CountedCluster, SYSCALLS  # noqa: E402
from vitrail.benchmark import CpuMeter, HaproxyChain, bench_cluster, note, percentile, sysbench, table  # noqa: E402
from vitrail.processes import wait_until  # noqa: E402
from vitrail.reference import equal_ranges  # noqa: E402

WORKLOADS = ("oltp_point_select", "oltp_read_write")


def serving_primaries(cluster, keyspace):
    with cluster.connect() as connection, connection.cursor() as cursor:
        cursor.execute("show vitess_tablets")
        return sum(row[1] == keyspace and row[3:5] == ("PRIMARY", "SERVING") for row in cursor.fetchall())


def prepare_shards(cluster, options):
    """The keyspace "spread", beside the one that prepare() made. Its path."""
    cluster.vtctldclient("CreateKeyspace", "--durability-policy", "none", "spread")
    tablets = [cluster.add_shard("spread", shard, 200 + 10 * i)[0] for i, shard in enumerate(equal_ranges(options.shards))]
    by_id = {"column_vindexes": [{"column": "id", "name": "hash"}], "columns": [{"name": "id", "type": "INT64"}]}
    cluster.vtctldclient("ApplyVSchema", "--vschema", json.dumps({
        "sharded": True, "vindexes": {"hash": {"type": "hash"}},
        "tables": {f"sbtest{n}": by_id for n in range(1, options.tables + 1)}}), "spread")
    port = cluster.addresses["vtgate"]["mysql"]
    wait_until(lambda: serving_primaries(cluster, "spread") == options.shards, "vtgate to reach the shards", 30)
    sysbench("oltp_read_write", "prepare", port, "spread", "bench", options.tables, options.rows, 2, extra=["--auto-inc=off"])
    pids = {"vtgate": cluster.processes["vtgate"].pid}
    for tablet in tablets:
        pids[f"mariadbd_{tablet.shard}"] = cluster.server_pid(tablet)
        pids[f"vttablet_{tablet.shard}"] = cluster.processes[tablet.name].pid
    return port, "spread", pids


def prepare(cluster, options, chained=True):
    cluster.start_vtctld()
    cluster.vtctldclient("CreateKeyspace", "--durability-policy", "none", "commerce")
    tablet = cluster.add_shard("commerce", "0", 100)[0]
    cluster.vtctldclient("ApplyVSchema", "--vschema", '{"tables": {}}', "commerce")
    cluster.start_vtgate()
    with cluster.server(tablet) as connection, connection.cursor() as cursor:
        cursor.execute("create user bench@'127.0.0.1'")
        cursor.execute(f"grant all on {tablet.database}.* to bench@'127.0.0.1'")
    sysbench("oltp_read_write", "prepare", tablet.ports["mysqld"], tablet.database, "bench", options.tables, options.rows, threads=2)
    server = {"mariadbd": cluster.server_pid(tablet)}
    routed = (cluster.addresses["vtgate"]["mysql"], "commerce",
              {**server, "vtgate": cluster.processes["vtgate"].pid, "vttablet": cluster.processes[tablet.name].pid})
    paths = {"vitrail": routed}
    if chained and options.other:
        cluster.start_vtgate(*options.other.split(), name="vtgate_other")
        paths["other"] = (cluster.addresses["vtgate_other"]["mysql"], "commerce",
                          {**routed[2], "vtgate": cluster.processes["vtgate_other"].pid})
    if not chained:
        return paths
    chain = HaproxyChain(cluster, tablet.ports["mysqld"])
    return {"direct": (tablet.ports["mysqld"], tablet.database, server),
            "haproxy2": (chain.port, tablet.database,
                         {**server, "haproxy_front": chain.processes[0].pid, "haproxy_back": chain.processes[1].pid}),
            **paths}


def measure(paths, options):
    results = []
    for workload in options.workloads:
        for threads in options.threads:
            runs = {path: [] for path in paths}
            order = list(paths)
            for turn in range(options.rounds):
                # Another order each time, so that none always runs behind the same neighbour.
                first = turn % len(order)
                for path in order[first:] + order[:first]:
                    port, database, pids = paths[path]
                    meter = CpuMeter(pids)
                    meter.start()
                    run = sysbench(workload, "run", port, database, "bench", options.tables, options.rows, threads,
                                   options.seconds, ["--auto-inc=off"] if path == "sharded" else ())
                    run["cpu"] = {**meter.stop(), "sysbench": run["cpu_s"]}
                    runs[path].append(run)
                    note(f"{workload} {threads:>3} threads {path:<9} {run['qps']:>9.0f} q/s")
            for path in paths:
                histogram = [pair for run in runs[path] for pair in run["histogram"]]
                queries = sum(run["queries"] for run in runs[path])
                cpu = {name: sum(run["cpu"][name] for run in runs[path]) for name in runs[path][0]["cpu"]}
                results.append({
                    "path": path, "workload": workload, "threads": threads,
                    "qps": round(statistics.median(run["qps"] for run in runs[path]), 1),
                    "p50_ms": percentile(histogram, 0.50), "p99_ms": percentile(histogram, 0.99),
                    "cpu_us": {name: round(seconds * 1e6 / queries, 1) for name, seconds in cpu.items()}})
    return results


# What is counted: (name, sysbench's script, its mode of prepared statements).
COUNTED = (("point select, prepared", "oltp_point_select", "auto"), ("point select, text", "oltp_point_select", "disable"),
           ("read_write, prepared", "oltp_read_write", "auto"))


def count(options):
    """Instructions, allocations and system calls of each program per query, one client."""
    results = []
    with bench_cluster(CountedCluster, pool="256M") as cluster:
        paths = prepare(cluster, options, chained=False)
        if options.shards:
            paths["sharded"] = prepare_shards(cluster, options)
        for (name, workload, mode), (path, (port, database, _)) in itertools.product(COUNTED, paths.items()):
            extra = ["--auto-inc=off"] if path == "sharded" else []

            def run(events):
                return sysbench(workload, "run", port, database, "bench", options.tables, options.rows, 1, 0,  # noqa: B023
                                [f"--events={events}", *extra], mode)["queries"]  # noqa: B023
            events = 2000 if workload == "oltp_point_select" else 100
            queries = run(events)  # Once for the pools and caches, and for the number of queries.
            for program, each in cluster.count(lambda n=events: run(n), queries).items():
                results.append({"workload": name, "path": path, "program": program, **each})
    return results


def print_count(options):
    results = count(options)
    columns = ("instructions", "allocations", "allocated_bytes", "syscalls", *SYSCALLS)
    print(table(["workload", "path", "program", *columns], [[r["workload"], r["path"], r["program"], *(r[c] for c in columns)] for r in results]))
    if options.json:
        print(json.dumps({"count": results}))
    return 0


def main():
    parser = argparse.ArgumentParser(prog="./dev bench route", description="What the way through vtgate and vttablet costs.")
    parser.add_argument("--json", action="store_true", help="print one JSON object as the last line")
    parser.add_argument("--seconds", type=int, help="of each run (default 10; 2 with --quick)")
    parser.add_argument("--rounds", type=int, help="runs of each kind; the median counts (default 3; 1 with --quick)")
    parser.add_argument("--threads", default="1,16,64", help="client connections (1,16,64)")
    parser.add_argument("--workloads", default=",".join(WORKLOADS), help=f"sysbench scripts ({','.join(WORKLOADS)})")
    parser.add_argument("--tables", type=int, default=4, help="sysbench tables (4)")
    parser.add_argument("--rows", type=int, help="rows of each table (100000; 10000 with --quick)")
    parser.add_argument("--quick", action="store_true", help="a look in a minute, not a measurement")
    parser.add_argument("--count", action="store_true",
                        help="instructions, allocations and system calls per query instead of their speed")
    parser.add_argument("--shards", type=int, default=0, help="also the same tables in so many shards (path sharded)")
    parser.add_argument("--peer", metavar="FOLDER",
                        help="also another build's programs, those of this folder, with a server of their own (path peer)")
    parser.add_argument("--other", metavar="FLAGS", help="also another vtgate of the same cluster, with these flags (path other): --other=--tablet-streams=false")
    options = parser.parse_args()
    if options.peer and not os.access(os.path.join(options.peer, "vtgate"), os.X_OK):
        parser.error(f"--peer: there is no vtgate in {options.peer}")
    options.seconds = options.seconds or (2 if options.quick else 10)
    options.rounds = options.rounds or (1 if options.quick else 3)
    options.rows = options.rows or (10_000 if options.quick else 100_000)
    options.threads = [int(n) for n in options.threads.split(",")]
    options.workloads = options.workloads.split(",")
    if options.count:
        options.rows = min(options.rows, 10_000)
        return print_count(options)
    with contextlib.ExitStack() as stack:
        cluster = stack.enter_context(bench_cluster(pool="1G"))
        paths = prepare(cluster, options)
        if options.shards:
            paths["sharded"] = prepare_shards(cluster, options)
        if options.peer:
            other = stack.enter_context(bench_cluster(pool="1G", programs=os.path.abspath(options.peer)))
            paths["peer"] = prepare(other, options, chained=False)["vitrail"]
        results = measure(paths, options)
    by_key = {(r["workload"], r["threads"], r["path"]): r["qps"] for r in results}

    def ratios(path, to):
        return {f"{w}@{n}": round(by_key[w, n, path] / by_key[w, n, to], 3) for w in options.workloads for n in options.threads}
    ratio = {"ratio_to_haproxy2": ratios("vitrail", "haproxy2")}
    if options.shards:
        ratio["ratio_sharded_to_unsharded"] = ratios("sharded", "vitrail")
    if options.peer:
        ratio["ratio_to_peer"] = ratios("vitrail", "peer")
    if options.other:
        ratio["ratio_to_other"] = ratios("vitrail", "other")
    print(table(["workload", "path", "threads", "q/s", "p50 ms", "p99 ms", "CPU us per query"],
                [[r["workload"], r["path"], r["threads"], f"{r['qps']:.0f}", f"{r['p50_ms']:.2f}", f"{r['p99_ms']:.2f}",
                  ", ".join(f"{name} {us}" for name, us in r["cpu_us"].items())] for r in results]))
    told = {"ratio_to_haproxy2": "vitrail, as a multiple of two HAProxies", "ratio_to_peer": "vitrail, as a multiple of the peer",
            "ratio_to_other": f"vitrail, as a multiple of the vtgate with {options.other}",
            "ratio_sharded_to_unsharded": f"{options.shards} shards, as a multiple of vitrail unsharded"}
    print()
    for name, by in ratio.items():
        print(f"{told[name]}: " + ", ".join(f"{key} {value}" for key, value in by.items()))
    if options.json:
        print(json.dumps({"results": results, **ratio}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
