#!/usr/bin/env python3
"""`./dev bench start`: from exec to serving: vttablet (its server runs) and vtgate (its tablet serves), again and again."""

import argparse
import json
import os
import statistics
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "tools"))

import pymysql  # noqa: E402

from vitrail.benchmark import bench_cluster, note, table  # noqa: E402
from vitrail.processes import Process, wait_until  # noqa: E402

TARGET_MS = 100
STEP = 0.001  # Between two looks.


def answers(port, database):
    try:
        with pymysql.connect(host="127.0.0.1", port=port, user="demo", database=database, connect_timeout=2) as connection, \
                connection.cursor() as cursor:
            cursor.execute("select 1")
            return cursor.fetchone() == (1,)
    except (pymysql.MySQLError, OSError):
        return False


def start_again(cluster, name, port, database):
    """Milliseconds from the exec of a stopped program until it answers a statement."""
    old = cluster.processes[name]
    old.stop()
    begin = time.monotonic()
    cluster.processes[name] = Process(name, old.argv, old.log, old.env).start()
    wait_until(lambda: answers(port, database), f"{name} to serve", 60, STEP)
    return (time.monotonic() - begin) * 1000


def main():
    parser = argparse.ArgumentParser(prog="./dev bench start", description="From exec to serving.")
    parser.add_argument("--json", action="store_true", help="print one JSON object as the last line")
    parser.add_argument("--rounds", type=int, default=7, help="starts of each program; the median counts (7)")
    options = parser.parse_args()
    times = {"vttablet": [], "vtgate": []}
    with bench_cluster(pool="64M") as cluster:
        cluster.start_vtctld()
        cluster.vtctldclient("CreateKeyspace", "--durability-policy", "none", "commerce")
        tablet = cluster.add_shard("commerce", "0", 100)[0]
        cluster.vtctldclient("ApplyVSchema", "--vschema", '{"tables": {}}', "commerce")
        cluster.start_vtgate()
        for _ in range(options.rounds):
            times["vttablet"].append(start_again(cluster, tablet.name, tablet.ports["data"], "commerce/0@primary"))
            times["vtgate"].append(start_again(cluster, "vtgate", cluster.addresses["vtgate"]["mysql"], "commerce"))
            note(f"vttablet {times['vttablet'][-1]:.0f} ms, vtgate {times['vtgate'][-1]:.0f} ms")
    results = [{"program": name, "median_ms": round(statistics.median(each), 1), "max_ms": round(max(each), 1)}
               for name, each in times.items()]
    print(table(["program", "", "median ms", "max ms", "target ms"],
                [[r["program"], "" if r["median_ms"] <= TARGET_MS else "missed", r["median_ms"], r["max_ms"], TARGET_MS]
                 for r in results]))
    if options.json:
        print(json.dumps({"results": results}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
