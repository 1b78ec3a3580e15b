#!/usr/bin/env python3
"""`./dev cluster up|down|status [FOLDER]`: a cluster for trying things out."""

import argparse
import os
import shlex
import shutil
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from vitrail import backend  # noqa: E402
from vitrail.cluster import REPOSITORY, Cluster  # noqa: E402
from vitrail.journey import COMMERCE_SCHEMA, COMMERCE_VSCHEMA  # noqa: E402
from vitrail.processes import Failure  # noqa: E402


def default_root():
    return os.environ.get("VITRAIL_DATA", os.path.join(REPOSITORY, "vtdataroot"))


def stop_line(root):
    """The command that stops the cluster in this folder, from wherever it is given."""
    return f"{shlex.quote(os.path.join(REPOSITORY, 'dev'))} cluster down {shlex.quote(os.path.abspath(root))}"


def fresh_root(root):
    """An empty folder for a new cluster: stops what runs in an old one, and removes that. Other folders are refused."""
    old = Cluster.load(root)
    if old is not None:
        old.down()
        shutil.rmtree(root)
    elif os.path.isdir(root) and os.listdir(root):
        raise Failure(f"{root} holds other files: name another folder with VITRAIL_DATA")
    os.makedirs(root, mode=0o750, exist_ok=True)
    return root


def choose_backend(kind):
    """Makes `kind` (None: as the environment says) the one of all clusters from here on. Fetches MySQL where it is missing."""
    if kind is not None:
        os.environ["VITRAIL_BACKEND"] = kind
    if backend.wanted() == "mysql" and backend.find_mysql() is None:
        backend.fetch_mysql(note=print)


def up(root):
    cluster = Cluster(fresh_root(root))
    try:
        cluster.start_vtctld()
        cluster.vtctldclient("CreateKeyspace", "--durability-policy", "none", "commerce")
        cluster.add_shard("commerce", "0", 100, note=print)
        cluster.vtctldclient("ApplySchema", "--sql", COMMERCE_SCHEMA, "commerce")
        cluster.vtctldclient("ApplyVSchema", "--vschema", COMMERCE_VSCHEMA, "commerce")
        cluster.start_vtgate()
    except BaseException:
        cluster.down()
        raise
    print(f"vtgate:  {cluster.mysql_command()}")
    print(f"vtctld:  http://127.0.0.1:{cluster.addresses['vtctld']['port']}/debug/status, "
          f"build/bin/vtctldclient --server 127.0.0.1:{cluster.addresses['vtctld']['grpc']} GetTablets")
    print(f"stop it: {stop_line(root)}")


def down(root, cluster):
    """Stops the cluster, and says what that is."""
    print(f"stopping the cluster in {root}:")
    for name, state, pid, _ in cluster.status():
        print(f"  {name:<16} pid {pid}" + ("" if state == "running" else " (had stopped)"))
    for tablet in cluster.tablets.values():
        print(f"  {tablet.server_name:<16} {tablet.keyspace}/{tablet.shard}, {tablet.alias}")
    problems = cluster.down()
    print("\n".join(problems) or "stopped; the data stays there")
    return 1 if problems else 0


def main():
    parser = argparse.ArgumentParser(prog="./dev cluster")
    parser.add_argument("action", choices=["up", "down", "status"])
    parser.add_argument("folder", nargs="?", help="of the cluster (default: VITRAIL_DATA, or vtdataroot in the repository)")
    parser.add_argument("--backend", choices=backend.KINDS, help="the servers of its tablets (default: VITRAIL_BACKEND, or mariadb)")
    options = parser.parse_args()
    action, root = options.action, os.path.abspath(options.folder or default_root())
    try:
        if action == "up":
            choose_backend(options.backend)
            up(root)
            return 0
        cluster = Cluster.load(root)
        if cluster is None:
            print(f"no cluster in {root}")
            return 0 if action == "down" else 1
        if action == "down":
            return down(root, cluster)
        for row in cluster.status():
            print("{:<16} {:<8} pid {:<8} {}".format(*row))
        return 0
    except Failure as failure:
        print(f"error: {failure}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
