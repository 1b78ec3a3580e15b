"""`./dev clients`: fetches and runs the clients of all languages, also those that take long.

    all.py [--suites] [LANGUAGE ...]
"""

import argparse
import os
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)

from clients import LANGUAGES  # noqa: E402


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--suites", action="store_true")
    parser.add_argument("languages", nargs="*", metavar="LANGUAGE")
    args = parser.parse_args()
    unknown = set(args.languages) - set(LANGUAGES)
    if unknown:
        parser.error(f"unknown languages: {', '.join(sorted(unknown))}; there are {', '.join(LANGUAGES)}")
    root = tempfile.mkdtemp(prefix="vitrail-clients-")
    env = {**os.environ, "VITRAIL_CLIENTS_CLUSTER": root, "VITRAIL_WATCHED": str(os.getpid())}

    def run(script, *arguments):
        return subprocess.run([sys.executable, os.path.join(HERE, script), *arguments], env=env, check=False).returncode
    failed = []
    run("clients.py", "install", *args.languages)
    if run("cluster.py", "up", root) != 0:
        sys.exit(f"the cluster did not start; everything is in {root}")
    try:
        if args.suites:
            failed = ["suites"] if run("suites.py", *args.languages) != 0 else []
        else:
            failed = [language for language in args.languages or LANGUAGES if run("run.py", "--all", language) not in (0, 77)]
    finally:
        if run("cluster.py", "down", root) != 0:
            failed.append("the end of the cluster")
    if failed:
        sys.exit(f"failed: {', '.join(failed)}")


if __name__ == "__main__":
    main()
