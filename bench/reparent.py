#!/usr/bin/env python3
"""`./dev bench reparent`: how long a planned reparent holds up clients that keep writing.

One shard of three tablets; the primary goes round. The pause of a reparent is the longest statement that was under way at any
time during the command and until twenty further writes got through.
"""

import argparse
import itertools
import json
import os
import statistics
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "tools"))

from vitrail.benchmark import bench_cluster, note, percentile  # noqa: E402
from vitrail.journey import COMMERCE_SCHEMA, COMMERCE_VSCHEMA  # noqa: E402
from vitrail.processes import wait_until  # noqa: E402
from vitrail.writer import Writer  # noqa: E402


def start(cluster, policy):
    cluster.start_vtctld()
    cluster.vtctldclient("CreateKeyspace", "--durability-policy", policy, "commerce")
    tablets = cluster.add_shard("commerce", "0", 100)
    cluster.vtctldclient("ApplySchema", "--sql", COMMERCE_SCHEMA, "commerce")
    cluster.vtctldclient("ApplyVSchema", "--vschema", COMMERCE_VSCHEMA, "commerce")
    cluster.start_vtgate()
    return tablets


def wait_for_writes(writer, count):
    goal = writer.total() + count
    wait_until(lambda: writer.total() >= goal, f"{count} more acknowledged writes", 60)


def reparent(cluster, writer, tablet):
    """Pause and duration of the command, in milliseconds."""
    began = time.monotonic()
    cluster.vtctldclient("PlannedReparentShard", "--new-primary", tablet.alias, "commerce/0")
    took = time.monotonic() - began
    wait_for_writes(writer, 20)
    return writer.longest(began), round(took * 1000)


def main():
    parser = argparse.ArgumentParser(prog="./dev bench reparent", description="How long a planned reparent holds up writing clients.")
    parser.add_argument("--json", action="store_true", help="print one JSON object as the last line")
    parser.add_argument("--reparents", type=int, default=20)
    parser.add_argument("--threads", type=int, default=8, help="writing connections (8)")
    parser.add_argument("--rate", type=int, default=250, help="statements per second and connection (250)")
    parser.add_argument("--durability-policy", default="semi_sync")
    options = parser.parse_args()
    pauses, commands = [], []
    with bench_cluster(pool="128M", kinds=("replica", "replica", "replica")) as cluster:
        tablets = start(cluster, options.durability_policy)
        writer = Writer(cluster.connect, options.threads, options.rate)
        writer.start()
        began = time.monotonic()
        try:
            wait_for_writes(writer, 200)
            for tablet in itertools.islice(itertools.cycle(tablets[1:] + tablets[:1]), options.reparents):
                pause, took = reparent(cluster, writer, tablet)
                pauses.append(pause)
                commands.append(took)
                note(f"reparent to {tablet.alias}: {pause} ms for the client, {took} ms for the command")
            rate = writer.total() / (time.monotonic() - began)
        finally:
            writer.stop()
        primary = cluster.primary("commerce", "0")
        result = writer.compare([("0", None, lambda sql: cluster.server_rows(primary, sql))])
        errors = [text for _, text in writer.errors]
    counts = [(pause, 1) for pause in pauses]
    out = {"reparents": len(pauses), "pause_ms": {"p50": percentile(counts, .5), "p99": percentile(counts, .99), "max": max(pauses)},
           "client_errors": len(errors), "writes_lost": result["lost"], "writes_doubled": result["doubled"],
           "writes_per_s": round(rate), "command_ms_p50": statistics.median(commands)}
    print(f"{out['reparents']} reparents at {out['writes_per_s']} writes/s: pause p50 {out['pause_ms']['p50']} ms, p99 {out['pause_ms']['p99']} ms, "
          f"{len(errors)} errors, {result['lost']} lost, {result['doubled']} doubled")
    for text in [*result["examples"], *errors][:10]:
        print("  " + text)
    if options.json:
        print(json.dumps(out))
    return 0 if not (result["lost"] or result["doubled"]) else 1


if __name__ == "__main__":
    sys.exit(main())
