#!/usr/bin/env python3
"""`./dev bench switch`: how long a switch of all traffic holds up clients that write 2,000 rows a second.

MoveTables and Reshard, to and fro. The pause of a switch is the longest statement that was under way at any time during the
command and until a hundred further writes got through. At the end every row is compared with what the clients were told.
"""

import argparse
import json
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "tools"))

from vitrail.benchmark import bench_cluster, note  # noqa: E402
from vitrail.faults import Stage  # noqa: E402
from vitrail.switching import Switching, describe  # noqa: E402


def main():
    parser = argparse.ArgumentParser(prog="./dev bench switch", description="How long a switch holds up clients that write.")
    parser.add_argument("--json", action="store_true", help="print one JSON object as the last line")
    parser.add_argument("--switches", type=int, default=50, help="of each kind; an even number (50)")
    parser.add_argument("--rate", type=int, default=2000, help="writes per second (2000)")
    parser.add_argument("--connections", type=int, default=8, help="that write (8)")
    parser.add_argument("--replicas", type=int, default=1, help="of each shard (1)")
    parser.add_argument("--quick", action="store_true", help="two switches of each kind")
    options = parser.parse_args()
    switches = 2 if options.quick else options.switches + options.switches % 2
    out, texts = {}, []
    with bench_cluster(pool="128M") as cluster:
        stage = Stage(cluster, 1)
        stage.start(("replica",) * (1 + options.replicas))
        for kind in ("MoveTables", "Reshard"):
            switching = Switching(stage, kind, note, connections=options.connections, rate=options.rate)
            try:
                differences = switching.run(switches)
            finally:
                switching.writers.stop()
            out[kind.lower()] = switching.result(differences)
            texts.append(describe(kind, out[kind.lower()], switching, differences))
    print("\n".join(texts))
    if options.json:
        print(json.dumps(out))
    return 0 if not any(r["writes_lost"] or r["writes_doubled"] for r in out.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
