#!/usr/bin/env python3
"""`./dev bench cutover`: how long a switch of the writes holds up a client that keeps writing.

Ten switches, MoveTables and Reshard, to and fro, while several connections insert, update and delete through vtgate. The
pause of a switch is the longest statement that was under way at any time during the command and until twenty further
writes got through.
"""

import argparse
import json
import os
import statistics
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "tools"))

from vitrail.benchmark import bench_cluster, note  # noqa: E402
from vitrail.journey import MOVE, RESHARD, Journey  # noqa: E402


def to_and_fro(journey, command, count, pauses):
    """`count` switches of everything; an odd number ends switched."""
    for turn in range(count):
        action = "reversetraffic" if turn % 2 else "switchtraffic"
        pauses.append(journey.switch(command, action))
        note(f"{command[0]} {action}: {pauses[-1]} ms")


def main():
    parser = argparse.ArgumentParser(prog="./dev bench cutover", description="How long a switch holds up a writing client.")
    parser.add_argument("--json", action="store_true", help="print one JSON object as the last line")
    parser.add_argument("--rows", type=int, default=20_000, help="customers to generate; twice as many orders (20000)")
    parser.add_argument("--switches", type=int, default=10, help="half of them MoveTables, half Reshard, each an odd number (10)")
    parser.add_argument("--threads", type=int, default=4, help="writing connections (4)")
    parser.add_argument("--rate", type=int, default=100, help="statements per second and connection (100)")
    parser.add_argument("--quick", action="store_true", help="two switches on few rows")
    options = parser.parse_args()
    if options.quick:
        options.rows, options.switches = 2000, 2
    half = max(options.switches // 2, 1) | 1
    rest = max(options.switches - half, 1)
    rest += 1 - rest % 2
    pauses = []
    with bench_cluster(pool="128M", kinds=("replica", "replica")) as cluster:
        journey = Journey(cluster, customers=options.rows, threads=options.threads, rate=options.rate, note=note)
        try:
            journey.start_cluster()
            journey.insert_sample()
            journey.generate()
            journey.start_writer()
            journey.create_customer()
            journey.ctl(*MOVE, "create", "--source-keyspace", "commerce", "--tables", "customer,corder")
            journey.wait_running("customer", "commerce2customer")
            to_and_fro(journey, MOVE, half, pauses)
            journey.ctl(*MOVE, "complete")
            journey.prepare_sharding()
            journey.create_shards()
            journey.ctl(*RESHARD, "create", "--source-shards", "0", "--target-shards=-80,80-")
            journey.wait_running("customer", "cust2cust")
            to_and_fro(journey, RESHARD, rest, pauses)
            result = journey.compare()
        finally:
            if journey.writer is not None:
                journey.writer.stop()
        errors = [text for _, text in journey.writer.errors]
    out = {"pauses_ms": pauses, "p50_ms": statistics.median(pauses), "max_ms": max(pauses), "switches": len(pauses),
           "client_errors": len(errors), "writes_acknowledged": journey.writer.total(), "writes_lost": result["lost"],
           "writes_doubled": result["doubled"]}
    print(f"pause seen by the client over {len(pauses)} switches: p50 {out['p50_ms']} ms, max {out['max_ms']} ms; "
          f"{out['writes_acknowledged']} writes acknowledged, {result['lost']} lost, {result['doubled']} doubled, "
          f"{len(errors)} errors")
    for text in [*result["examples"], *errors][:10]:
        print("  " + text)
    if options.json:
        print(json.dumps(out))
    return 0 if not (result["lost"] or result["doubled"] or result["misplaced"]) else 1


if __name__ == "__main__":
    sys.exit(main())
