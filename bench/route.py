#!/usr/bin/env python3
"""`./dev bench route`: what the way through vtgate and vttablet costs.

sysbench against (a) the server by TCP, (b) two HAProxies in TCP mode in a chain, the least that any design of two hops can
cost, and (c) vtgate and vttablet, unsharded. All three reach the same server and the same tables; their runs are
interleaved. Latencies are those of sysbench's events: a query for point selects, a transaction for read_write.
"""

import argparse
import json
import os
import statistics
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "tools"))

from vitrail.counting import CountedCluster, SYSCALLS  # noqa: E402
from vitrail.benchmark import CpuMeter, HaproxyChain, bench_cluster, note, percentile, sysbench, table  # noqa: E402

WORKLOADS = ("oltp_point_select", "oltp_read_write")
PATHS = ("direct", "haproxy2", "vitrail")


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
    if not chained:
        return None
    chain = HaproxyChain(cluster, tablet.ports["mysqld"])
    server = {"mariadbd": cluster.server_pid(tablet)}
    return {"direct": (tablet.ports["mysqld"], tablet.database, server),
            "haproxy2": (chain.port, tablet.database,
                         {**server, "haproxy_front": chain.processes[0].pid, "haproxy_back": chain.processes[1].pid}),
            "vitrail": (cluster.addresses["vtgate"]["mysql"], "commerce",
                        {**server, "vtgate": cluster.processes["vtgate"].pid, "vttablet": cluster.processes[tablet.name].pid})}


def measure(paths, options):
    results = []
    for workload in options.workloads:
        for threads in options.threads:
            runs = {path: [] for path in PATHS}
            for turn in range(options.rounds):
                # Another order each time, so that none always runs behind the same neighbour.
                for path in PATHS[turn % 3:] + PATHS[:turn % 3]:
                    port, database, pids = paths[path]
                    meter = CpuMeter(pids)
                    meter.start()
                    run = sysbench(workload, "run", port, database, "bench", options.tables, options.rows, threads,
                                   options.seconds)
                    run["cpu"] = {**meter.stop(), "sysbench": run["cpu_s"]}
                    runs[path].append(run)
                    note(f"{workload} {threads:>3} threads {path:<9} {run['qps']:>9.0f} q/s")
            for path in PATHS:
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
        prepare(cluster, options, chained=False)
        port = cluster.addresses["vtgate"]["mysql"]
        for name, workload, mode in COUNTED:
            def run(events):
                return sysbench(workload, "run", port, "commerce", "bench", options.tables, options.rows, 1, 0,  # noqa: B023
                                [f"--events={events}"], mode)["queries"]  # noqa: B023
            events = 2000 if workload == "oltp_point_select" else 100
            queries = run(events)  # Once for the pools and caches, and for the number of queries.
            for program, each in cluster.count(lambda n=events: run(n), queries).items():
                results.append({"workload": name, "program": program, **each})
    return results


def print_count(options):
    results = count(options)
    columns = ("instructions", "allocations", "allocated_bytes", "syscalls", *SYSCALLS)
    print(table(["workload", "program", *columns], [[r["workload"], r["program"], *(r[c] for c in columns)] for r in results]))
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
    options = parser.parse_args()
    options.seconds = options.seconds or (2 if options.quick else 10)
    options.rounds = options.rounds or (1 if options.quick else 3)
    options.rows = options.rows or (10_000 if options.quick else 100_000)
    options.threads = [int(n) for n in options.threads.split(",")]
    options.workloads = options.workloads.split(",")
    if options.count:
        options.rows = min(options.rows, 10_000)
        return print_count(options)
    with bench_cluster(pool="1G") as cluster:
        results = measure(prepare(cluster, options), options)
    by_key = {(r["workload"], r["threads"], r["path"]): r["qps"] for r in results}
    ratio = {f"{w}@{n}": round(by_key[w, n, "vitrail"] / by_key[w, n, "haproxy2"], 3)
             for w in options.workloads for n in options.threads}
    print(table(["workload", "path", "threads", "q/s", "p50 ms", "p99 ms", "CPU us per query"],
                [[r["workload"], r["path"], r["threads"], f"{r['qps']:.0f}", f"{r['p50_ms']:.2f}", f"{r['p99_ms']:.2f}",
                  ", ".join(f"{name} {us}" for name, us in r["cpu_us"].items())] for r in results]))
    print("\nvitrail, as a multiple of two HAProxies: " + ", ".join(f"{key} {value}" for key, value in ratio.items()))
    if options.json:
        print(json.dumps({"results": results, "ratio_to_haproxy2": ratio}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
