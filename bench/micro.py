#!/usr/bin/env python3
"""`./dev bench micro`: what the smallest steps of a query cost, by the programs *_bench.cc beside the code."""

import argparse
import glob
import json
import os
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "tools"))

from vitrail.benchmark import table  # noqa: E402

FOLDER = os.environ.get("VITRAIL_BENCH_BIN",
                        os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "build", "bench"))


def main():
    parser = argparse.ArgumentParser(prog="./dev bench micro", description="What the smallest steps of a query cost.")
    parser.add_argument("--json", action="store_true", help="print one JSON object as the last line")
    parser.add_argument("--seconds", type=float, default=1, help="of each measurement (1)")
    options = parser.parse_args()
    programs = sorted(glob.glob(os.path.join(FOLDER, "*_bench")))
    if not programs:
        sys.exit(f"bench micro: no programs in {FOLDER}")
    results = []
    for program in programs:
        done = subprocess.run([program, "--seconds", str(options.seconds)], capture_output=True, text=True, check=True)
        for line in done.stdout.splitlines():
            name, nanoseconds, target = line.split("\t")
            results.append({"name": name, "ns": float(nanoseconds), "target_ns": float(target)})
    print(table(["step", "", "ns", "target ns"], [[r["name"], "" if r["ns"] <= r["target_ns"] else "missed",
                                                   f"{r['ns']:.1f}", f"{r['target_ns']:.0f}"] for r in results]))
    if options.json:
        print(json.dumps({"results": results}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
