#!/usr/bin/env python3
"""Switches back and forth under single writes and long transactions that straddle them: `./dev faults switches`.

Nothing is killed. The last line is {"switches": n, "straddling": n, "client_errors": n, "writes_lost": n,
"writes_doubled": n, "refused": n}.
"""

import argparse
import json
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from vitrail.benchmark import bench_cluster, note  # noqa: E402
from vitrail.faults import Stage  # noqa: E402
from vitrail.switching import Switching, describe  # noqa: E402


def main():
    parser = argparse.ArgumentParser(prog="./dev faults switches", description=__doc__.splitlines()[0])
    parser.add_argument("--switches", type=int, default=1000, help="half of them MoveTables, half Reshard (1000)")
    parser.add_argument("--rate", type=int, default=300, help="single writes per second (300)")
    parser.add_argument("--long", type=int, default=4, help="connections with long transactions (4)")
    parser.add_argument("--long-seconds", type=float, default=1.0, help="a transaction lasts up to so long (1)")
    parser.add_argument("--json", action="store_true", help="only the last line")
    options = parser.parse_args()
    tell = (lambda text: None) if options.json else note
    total = {"switches": 0, "straddling": 0, "client_errors": 0, "writes_lost": 0, "writes_doubled": 0, "refused": 0}
    with bench_cluster(pool="64M") as cluster:
        stage = Stage(cluster, 1)
        stage.start()
        for kind in ("MoveTables", "Reshard"):
            switching = Switching(stage, kind, tell, connections=4, rate=options.rate, long=options.long,
                                  long_seconds=options.long_seconds)
            try:
                differences = switching.run((options.switches // 2 + 1) // 2 * 2)
            finally:
                switching.writers.stop()
            result = switching.result(differences)
            tell(describe(kind, result, switching, differences) + f"\n  {switching.straddled} long transactions straddled a switch")
            for name in ("switches", "client_errors", "writes_lost", "writes_doubled"):
                total[name] += result[name]
            total["straddling"] += switching.straddled
            total["refused"] += len(switching.failed)
    print(json.dumps(total))
    return 1 if total["client_errors"] or total["writes_lost"] or total["writes_doubled"] else 0


if __name__ == "__main__":
    sys.exit(main())
