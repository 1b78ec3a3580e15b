"""sysbench's own workloads: sysbench.py PORT DATABASE. A hundred events each; an error ends it."""

import json
import re
import subprocess
import sys

# Those that lock rows of both shards have one thread: two could wait for each other on different servers.
WORKLOADS = {"oltp_point_select": 2, "oltp_read_only": 2, "oltp_insert": 2, "oltp_update_index": 2, "oltp_update_non_index": 2, "oltp_read_write": 1,
             "oltp_write_only": 1, "oltp_delete": 2, "select_random_points": 2, "select_random_ranges": 2}


def sysbench(port, database, workload, command, *options):
    """[exit code, errors, events]"""
    done = subprocess.run(["sysbench", workload, "--db-driver=mysql", "--mysql-host=127.0.0.1", f"--mysql-port={port}", "--mysql-user=demo",
                           f"--mysql-db={database}", "--time=20", "--rand-seed=1", *options, command],
                          capture_output=True, text=True, timeout=60, check=False)
    found = re.search(r"total number of events: +(\d+)", done.stdout)
    return [done.returncode, re.findall(r"FATAL.*", done.stdout + done.stderr)[:3], int(found.group(1)) if found else None]


def main(port, database):
    def say(step, *arguments):
        print(json.dumps([step, sysbench(port, database, *arguments)]), flush=True)
    rows = ["--tables=2", "--table-size=300"]
    say("prepare", "oltp_read_write", "prepare", *rows)
    for workload, threads in WORKLOADS.items():
        for mode in ("auto", "disable"):
            size = ["--table-size=300"] if workload.startswith("select") else rows
            say(f"{workload}, prepared: {mode}", workload, "run", *size, f"--threads={threads}", "--events=100", f"--db-ps-mode={mode}")
    say("cleanup", "oltp_read_write", "cleanup", *rows)
    for command in ("prepare", "run", "cleanup"):
        say(f"bulk_insert {command}", "bulk_insert", command, "--threads=1", "--events=500")


if __name__ == "__main__":
    main(*sys.argv[1:])
