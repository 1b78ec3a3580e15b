#!/usr/bin/env python3
"""`./dev demo`: from nothing to a live reshard."""

import argparse
import json
import os
import signal
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from cluster import choose_backend, default_root, fresh_root, stop_line  # noqa: E402
from vitrail import backend  # noqa: E402
from vitrail.cluster import Cluster  # noqa: E402
from vitrail.journey import Journey  # noqa: E402
from vitrail.processes import Failure  # noqa: E402

SUMMARY = """
  rows moved            {rows_moved:>12,}
  writes acknowledged   {writes_acknowledged:>12,}   lost {writes_lost}, doubled {writes_doubled}
  client errors         {client_errors:>12,}
  copied per second     {copy_rows_per_s:>12,}   rows
  longest statement     MoveTables switch {pause_ms[movetables]} ms, Reshard switches {pause_ms[reshard]} ms
"""


class WatchedJourney(Journey):
    """Tells where to look before anything moves, and with `wait` waits until somebody does."""

    wait = False

    def start_cluster(self):
        super().start_cluster()
        page = f"http://127.0.0.1:{self.cluster.addresses['vtctld']['port']}/#/workflows"
        self.note(f"to watch it: {page}")
        if self.wait:
            print(f"Open {page}, then press Enter here.", file=sys.stderr, flush=True)
            sys.stdin.readline()


def main():
    parser = argparse.ArgumentParser(prog="./dev demo", description="MoveTables and Reshard under a writing client.")
    parser.add_argument("--exit", action="store_true", help="stop the cluster at the end")
    parser.add_argument("--watch", action="store_true", help="wait for Enter before tables move, to have the web pages open")
    parser.add_argument("--json", action="store_true", help="print one JSON object as the last line")
    parser.add_argument("--rows", type=int, default=200_000, help="customers to generate; twice as many orders (200000)")
    parser.add_argument("--backend", choices=backend.KINDS, help="the servers (default: VITRAIL_BACKEND, or mariadb)")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    begun = time.monotonic()

    def note(text):
        print(f"[{time.monotonic() - begun:6.1f} s] {text}", file=sys.stderr, flush=True)

    try:
        choose_backend(options.backend)
        cluster = Cluster(fresh_root(default_root()))
    except Failure as failure:
        print(f"error: {failure}", file=sys.stderr)
        return 1
    journey = WatchedJourney(cluster, customers=options.rows, note=note)
    journey.wait = options.watch
    keep = False
    summary = {"ok": False}
    try:
        summary = journey.run()
        keep = not options.exit
    except Failure as failure:
        print(f"error: {failure}\nThe logs are in {cluster.path('logs')}.", file=sys.stderr)
        summary["error"] = str(failure)
    finally:
        if journey.writer is not None:
            journey.writer.stop()
        if not keep:
            note("stopping the cluster")
            cluster.down()
    if "rows_moved" in summary:
        print(SUMMARY.format(**summary))
        for example in summary["examples"]:
            print("  " + example)
        print("Everything written was found once, on its shard." if summary["ok"] else "The comparison found faults.")
    if keep:
        print(f"""
The cluster is running. Try it:   {cluster.mysql_command()}
  vtgate   127.0.0.1:{cluster.addresses['vtgate']['mysql']} (MySQL), http://127.0.0.1:{cluster.addresses['vtgate']['port']}/debug/status
  vtctld   build/bin/vtctldclient --server 127.0.0.1:{cluster.addresses['vtctld']['grpc']} GetTablets
Stop it:  {stop_line(cluster.root)}
Look at it: http://127.0.0.1:{cluster.addresses['vtctld']['port']}/""")
    if options.json:
        print(json.dumps(summary))
    return 0 if summary["ok"] else 1


if __name__ == "__main__":
    sys.exit(main())
