#!/usr/bin/env python3
"""`./dev bench topo`: what 1,000 keyspaces of 64 shards of 3 tablets cost.

Writes the records, rebuilds SrvVSchema, lists tablets, validates, and lets a router read everything for the first time;
all of it also with a quarter of the records, so that what does not grow with them linearly is seen.
"""

import os
import sys

REPOSITORY = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
BIN = os.environ.get("VITRAIL_BIN", os.path.join(REPOSITORY, "build", "bin"))

if __name__ == "__main__":
    program = os.path.join(BIN, "topo_bench")
    os.execv(program, [program, *sys.argv[1:]])
