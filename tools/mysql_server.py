#!/usr/bin/env python3
"""`./dev mysql-server`: a MySQL server of its own folder, for tests and trials beside MariaDB.

Debian stable has no MySQL; Debian unstable has. This fetches its packages and the libraries that they need with apt, with
lists and state of their own, so that nothing of the system's changes, and unpacks them into one folder: VITRAIL_MYSQL, or
~/.cache/vitrail/mysql. Prints that folder: it is what VT_MYSQL_ROOT has to name.
"""

import argparse
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from vitrail.backend import fetch_mysql, find_mysql, version_of  # noqa: E402
from vitrail.processes import Failure  # noqa: E402


def main():
    parser = argparse.ArgumentParser(prog="./dev mysql-server", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only-look", action="store_true", help="say where it is; fetch nothing")
    options = parser.parse_args()
    try:
        root = find_mysql()
        if root is None:
            if options.only_look:
                raise Failure("no MySQL is there: ./dev mysql-server fetches one")
            root = fetch_mysql(note=lambda text: print(f"==> {text}", file=sys.stderr, flush=True))
        print(f"==> {version_of(root)}", file=sys.stderr)
        print(root)
        return 0
    except Failure as failure:
        print(f"error: {failure}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
