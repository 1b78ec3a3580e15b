#!/usr/bin/env python3
"""`./dev bench idle`: what clients cost vtgate that are logged in, have run a statement, and do nothing."""

import argparse
import json
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "tools"))

from vitrail.benchmark import bench_cluster, note, table  # noqa: E402
from vitrail.idle_clients import IdleClients, allow_files  # noqa: E402

TARGET_KIB = 4
FEW = 200  # Before them pools and caches are filled.


def resident_kib(pid):
    with open(f"/proc/{pid}/status", encoding="utf-8") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("VmRSS"))


def main():
    parser = argparse.ArgumentParser(prog="./dev bench idle", description="What idle clients cost vtgate.")
    parser.add_argument("--json", action="store_true", help="print one JSON object as the last line")
    parser.add_argument("--clients", type=int, default=5000, help="clients (5000)")
    options = parser.parse_args()
    if not allow_files(options.clients + 1000):
        sys.exit(f"{options.clients} clients need as many open files: raise the limit (`ulimit -Hn`), or ask for fewer by --clients.")
    with bench_cluster(pool="64M") as cluster:
        cluster.start_vtctld()
        cluster.vtctldclient("CreateKeyspace", "--durability-policy", "none", "commerce")
        cluster.add_shard("commerce", "0", 100)
        cluster.vtctldclient("ApplyVSchema", "--vschema", '{"tables": {}}', "commerce")
        cluster.start_vtgate("--mysql-server-max-connections", str(options.clients + 100))
        pid = cluster.processes["vtgate"].pid
        clients, few = IdleClients(cluster.addresses["vtgate"]["mysql"], "commerce"), min(FEW, options.clients // 2)
        clients.add(few)
        before = resident_kib(pid)
        note(f"{few} clients: {before} KiB")
        clients.add(options.clients - few)
        after = resident_kib(pid)
        note(f"{options.clients} clients: {after} KiB")
        clients.close()
    each = round((after - before) / (options.clients - few), 2)
    result = {"clients": options.clients, "few_kib": before, "resident_kib": after, "kib_each": each}
    print(table(["clients", "", "resident KiB", "KiB each", "target"],
                [[options.clients, "" if each <= TARGET_KIB else "missed", after, each, TARGET_KIB]]))
    if options.json:
        print(json.dumps(result))
    return 0


if __name__ == "__main__":
    sys.exit(main())
