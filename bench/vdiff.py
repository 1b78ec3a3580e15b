#!/usr/bin/env python3
"""`./dev bench vdiff`: how fast VDiff compares, beside the bare checksum query on both sides at once."""

import argparse
import concurrent.futures
import json
import os
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "tools"))

from move import MOVE, prepare, run_sql, wait_copied  # noqa: E402
from vitrail.benchmark import bench_cluster, note  # noqa: E402
from vitrail.processes import Failure  # noqa: E402

CHECKSUM = "select bit_xor(crc32(concat_ws('#', id, k, pad))) from item"


def checksum(cluster, tablets):
    started = time.monotonic()
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        sums = list(pool.map(lambda t: run_sql(cluster, t, CHECKSUM, database=t.keyspace), tablets))
    if sums[0] != sums[1]:
        raise Failure(f"the checksums differ: {sums}")
    return time.monotonic() - started


def vdiff(cluster, rows):
    base = ("VDiff", "--workflow", MOVE[2], "--target-keyspace", "customer")
    started = time.monotonic()
    cluster.vtctldclient(*base, "create", "--wait", "--wait-update-interval", "100ms")
    seconds = time.monotonic() - started
    report = json.loads(cluster.vtctldclient(*base, "show", "last", "--format", "json"))
    if report["State"] != "completed" or report["HasMismatch"] or report["RowsCompared"] != rows:
        raise Failure(f"VDiff: {report}")
    return seconds


def main():
    parser = argparse.ArgumentParser(prog="./dev bench vdiff", description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="print one JSON object as the last line")
    parser.add_argument("--rows", type=int, default=2_000_000, help="to compare (2000000)")
    parser.add_argument("--rounds", type=int, default=3, help="of each kind, in turn; the best counts (3)")
    parser.add_argument("--quick", action="store_true", help="a look in a minute, not a measurement")
    options = parser.parse_args()
    rows = 100_000 if options.quick else options.rows
    bare, compared = [], []
    with bench_cluster(pool="768M") as cluster:
        source, _ = prepare(cluster, rows)
        cluster.vtctldclient(*MOVE, "create", "--source-keyspace", "commerce", "--tables", "item")
        wait_copied(cluster, MOVE[2])
        for _ in range(options.rounds):
            bare.append(checksum(cluster, [source, cluster.primary("customer", "0")]))
            note(f"checksum of both sides: {bare[-1]:.2f} s")
            compared.append(vdiff(cluster, rows))
            note(f"VDiff: {compared[-1]:.2f} s")
    out = {"rows": rows, "checksum_s": round(min(bare), 3), "vdiff_s": round(min(compared), 3),
           "ratio_to_checksum": round(min(bare) / min(compared), 3)}
    print(f"{rows:,} rows: checksum of both sides {out['checksum_s']} s, VDiff {out['vdiff_s']} s: {out['ratio_to_checksum']}")
    if options.json:
        print(json.dumps(out))
    return 0


if __name__ == "__main__":
    sys.exit(main())
