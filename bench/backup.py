#!/usr/bin/env python3
"""`./dev bench backup`: how fast a server's files are stored and restored, beside tar and zstd of the same folders.

One shard with a primary and a replica, random rows. In turn: a backup of the replica by each engine, and with its server stopped
tar and zstd with the same level and as many threads. The rate is that of the server's bytes; a backup's includes stopping and
starting the server.
"""

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "tools"))

from vitrail.benchmark import bench_cluster, note  # noqa: E402
from vitrail.processes import wait_until  # noqa: E402

MIB = 1 << 20
THREADS = 4


def fill(cluster, mebibytes):
    """Rows of which half a kilobyte is random and half is not."""
    with cluster.server(cluster.primary("commerce", "0"), "commerce") as connection, connection.cursor() as cursor:
        for _ in range(mebibytes):
            cursor.execute("insert into t(random, plain) select to_base64(random_bytes(384)), repeat('row ', 128) from seq_1_to_1024")


def backup(cluster, tablet, engine):
    output = cluster.vtctldclient("Backup", "--concurrency", THREADS, "--backup-engine", engine, tablet.alias)
    size, seconds = re.search(r"is complete: (\d+) bytes .* ([0-9.]+) s", output).groups()
    return int(size) / MIB / float(seconds)


def archive(cluster, tablet):
    folder, out = cluster.path(f"vt_{tablet.uid:010d}"), cluster.path("backups", "archive.tar.zst")
    size = sum(os.lstat(os.path.join(path, name)).st_size for part in ("data", "innodb")
               for path, _, names in os.walk(os.path.join(folder, part)) for name in names if not name.startswith("ibtmp"))
    began = time.monotonic()
    subprocess.run(f"tar -C '{folder}' --exclude 'ibtmp*' -cf - data innodb | zstd -q -1 -T{THREADS} -f -o '{out}' && sync '{out}'",
                   shell=True, check=True)
    took = time.monotonic() - began
    os.remove(out)
    return size / MIB / took


def main():
    parser = argparse.ArgumentParser(prog="./dev bench backup", description="Rates of backups beside tar and zstd.")
    parser.add_argument("--json", action="store_true", help="print one JSON object as the last line")
    parser.add_argument("--mib", type=int, default=1024, help="rows to make (1024)")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    rates = {"builtin": [], "mariabackup": [], "tar": [], "restore": []}
    with bench_cluster(pool="256M", kinds=("replica", "replica")) as cluster:
        cluster.start_vtctld()
        cluster.vtctldclient("CreateKeyspace", "--durability-policy", "none", "commerce")
        cluster.add_shard("commerce", "0", 100)
        cluster.vtctldclient("ApplySchema", "--sql",
                             "create table t(id bigint auto_increment primary key, random text, plain text)", "commerce")
        fill(cluster, options.mib)
        primary = cluster.primary("commerce", "0")
        tablet = next(t for t in cluster.tablets.values() if t.uid != primary.uid)

        def caught_up():
            counts = [cluster.server_rows(t, "select count(*) from t") for t in (primary, tablet)]
            return counts[0] == counts[1]
        wait_until(caught_up, "the replica to have all rows", 600, .5)
        for turn in range(options.rounds):
            for engine in ("builtin", "mariabackup"):
                rates[engine].append(backup(cluster, tablet, engine))
                note(f"{turn + 1}: {engine} {rates[engine][-1]:.1f} MiB/s")
            cluster.mysqlctl(tablet, "shutdown")
            rates["tar"].append(archive(cluster, tablet))
            note(f"{turn + 1}: tar and zstd {rates['tar'][-1]:.1f} MiB/s")
            cluster.mysqlctl(tablet, "start")
            wait_until(lambda: cluster.vars(tablet).get("TabletStateName") == "SERVING", "the tablet to serve", 60, .2)
            began = time.monotonic()
            before = cluster.vars(tablet).get("RestoreBytes") or {}
            cluster.vtctldclient("RestoreFromBackup", tablet.alias)
            took = time.monotonic() - began
            after = cluster.vars(tablet)["RestoreBytes"]
            rates["restore"].append((sum(after.values()) - sum(before.values())) / MIB / took)
            note(f"{turn + 1}: restore {rates['restore'][-1]:.1f} MiB/s")
    out = {f"{name}_mib_s": round(statistics.median(values), 1) for name, values in rates.items()}
    out["builtin_of_tar"] = round(out["builtin_mib_s"] / out["tar_mib_s"], 2)
    print(f"backups: builtin {out['builtin_mib_s']} MiB/s, mariabackup {out['mariabackup_mib_s']} MiB/s; tar and zstd "
          f"{out['tar_mib_s']} MiB/s: builtin is {out['builtin_of_tar']} of it; restores {out['restore_mib_s']} MiB/s")
    if options.json:
        print(json.dumps(out))
    return 0


if __name__ == "__main__":
    sys.exit(main())
