#!/usr/bin/env python3
"""`./dev kubernetes build|up|down|status [FOLDER]`: a real Kubernetes API for trying the chart out, on one machine, without containers."""

import argparse
import os
import shutil
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from vitrail.cluster import REPOSITORY  # noqa: E402
from vitrail.kubernetes import COMMANDS, Kubernetes, Missing, cache, elapsed, tool  # noqa: E402
from vitrail.processes import Failure  # noqa: E402


def build():
    for name in ("helm", *COMMANDS):
        tool(name, seconds=3600)
    print(f"helm, kubectl and Kubernetes are in {cache()}")


def up(root):
    old = Kubernetes.load(root)
    if old is not None:
        old.down()
        shutil.rmtree(root)
    elif os.path.isdir(root) and os.listdir(root):
        raise Failure(f"{root} holds other files: name another folder")
    build()
    start = time.monotonic()
    cluster = Kubernetes(root)
    try:
        cluster.up()
    except BaseException:
        cluster.down()
        raise
    examples = os.path.join(REPOSITORY, "examples", "helm")
    print(f"ready after {elapsed(start)}. In this shell:\n"
          f"  export KUBECONFIG={cluster.path('kubeconfig')} PATH={cache()}:$PATH\n"
          f"  cd {examples} && helm install --generate-name ../../helm/vitess -f 101_initial_cluster.yaml --set 'config.bindAddress=$(POD_IP)'\n"
          f"  kubectl get pods,jobs\n"
          f"stop it: ./dev kubernetes down {root}")


def main():
    parser = argparse.ArgumentParser(prog="./dev kubernetes")
    parser.add_argument("action", choices=["build", "up", "down", "status"])
    parser.add_argument("folder", nargs="?", help="of the cluster (default: VITRAIL_KUBERNETES, or kubernetes in vtdataroot)")
    options = parser.parse_args()
    default = os.environ.get("VITRAIL_KUBERNETES", os.path.join(REPOSITORY, "vtdataroot", "kubernetes"))
    root = os.path.abspath(options.folder or default)
    try:
        if options.action == "build":
            build()
            return 0
        if options.action == "up":
            up(root)
            return 0
        cluster = Kubernetes.load(root)
        if cluster is None:
            print(f"no cluster in {root}")
            return 0 if options.action == "down" else 1
        if options.action == "down":
            cluster.down()
            print("stopped")
            return 0
        for process in cluster.processes.values():
            print(f"{process.name:<24} {'running' if process.running() else 'stopped':<8} pid {process.pid}")
        return 0 if cluster.running() else 1
    except (Failure, Missing) as failure:
        print(f"error: {'this needs ' if isinstance(failure, Missing) else ''}{failure}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
