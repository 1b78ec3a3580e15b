#!/usr/bin/env python3
"""`./dev bench scale`: what a Reshard of 1,000 shards into 2,000 costs the control plane.

vtctld's own code on the records of such a keyspace; the tablets are one server that answers for all of them at once, so
that what is measured is what vtctld does. Also with a quarter of the shards: what grows with them more than linearly is
seen.
"""

import os
import sys

REPOSITORY = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
BIN = os.environ.get("VITRAIL_BIN", os.path.join(REPOSITORY, "build", "bin"))

if __name__ == "__main__":
    program = os.path.join(BIN, "scale_bench")
    os.execv(program, [program, *sys.argv[1:]])
