"""Runs the clients of one language on a plain server, an unsharded and a sharded keyspace: what they print must agree.

    run.py LANGUAGE [--only TEXT] [--all]     --all: also the clients that take long (`./dev clients`)

A client is a program that prints `["step", value]` lines; each step of it must give on a keyspace what it gives on one server,
except for what `differences.json` lists with its reason. Exit code 77: none of the language's clients is there.
"""

import argparse
import concurrent.futures
import json
import os
import re
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)

from clients import LANGUAGES, clients_of  # noqa: E402
from cluster import REPOSITORY, SIDES  # noqa: E402

sys.path.insert(0, os.path.join(REPOSITORY, "tools"))

import pymysql  # noqa: E402

FOLDER = os.environ.get("VITRAIL_CLIENTS_CLUSTER", os.path.join(REPOSITORY, "build", "clients-cluster"))
SECONDS = 180


def addresses():
    with open(os.path.join(FOLDER, "addresses.json"), encoding="utf-8") as file:
        return json.load(file)


def connect(port, database=None):
    return pymysql.connect(host="127.0.0.1", port=port, user="demo", database=database, autocommit=True, read_timeout=60)


def empty(side, port):
    """No table is left from another client."""
    database = SIDES[side]
    if side == "plain":
        with connect(port) as connection, connection.cursor() as cursor:
            cursor.execute(f"drop database if exists {database}")
            cursor.execute(f"create database {database} character set utf8mb4")
        return
    with connect(port, database) as connection, connection.cursor() as cursor:
        cursor.execute("set foreign_key_checks = 0")
        cursor.execute("show full tables")
        for name, kind in cursor.fetchall():
            cursor.execute(f"drop {'view' if kind == 'VIEW' else 'table'} `{name}`")


def run(client, side, port):
    """(steps of one run, what it printed besides, seconds)."""
    empty(side, port)
    command, env = client.command
    began = time.monotonic()
    try:
        done = subprocess.run([*command, str(port), SIDES[side]], capture_output=True, text=True, timeout=SECONDS, check=False,
                              env={**os.environ, **env, "VITRAIL_SIDE": side}, cwd=HERE, stdin=subprocess.DEVNULL)
        code, out, err = done.returncode, done.stdout, done.stderr
    except subprocess.TimeoutExpired as late:
        code, out, err = f"no end within {SECONDS} s", late.stdout or "", late.stderr or ""
        out, err = (text.decode(errors="replace") if isinstance(text, bytes) else text for text in (out, err))
    steps = {}
    for line in out.splitlines():
        if line.startswith('["'):
            step, value = json.loads(line.replace(SIDES[side], "drv"))
            while step in steps:
                step += "'"
            steps[step] = value
    if code != 0:
        other = "\n".join(line for line in out.splitlines() if not line.startswith('["'))
        steps["exit"] = f"{code}: {(other[-500:] + err[-1500:]).strip()}"
    return steps, time.monotonic() - began


def known_differences(language):
    with open(os.path.join(HERE, "differences.json"), encoding="utf-8") as file:
        return [known for known in json.load(file) if known["language"] == language]


def explain(known, client, side, step):
    for one in known:
        if side in one["sides"] and re.fullmatch(one["client"], client) and re.fullmatch(one["step"], step):
            one["used"] = True
            return one["why"]
    return None


def short(value):
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) < 2000 else text[:2000] + "..."


def compare(client, known, ports):
    """Lines that tell what differs without a known reason."""
    with concurrent.futures.ThreadPoolExecutor(len(SIDES)) as pool:
        runs = {side: pool.submit(run, client, side, ports[side]) for side in SIDES}
    wanted, plain_seconds = runs["plain"].result()
    problems = [] if "exit" not in wanted and len(wanted) > 3 else [f"  one server: {wanted.get('exit', 'too few steps')}"]
    told = [f"{len(wanted)} steps", f"plain {plain_seconds:.1f} s"]
    for side in ("unsharded", "sharded"):
        found, seconds = runs[side].result()
        same = 0
        for step in list(dict.fromkeys([*wanted, *found])):
            a, b = wanted.get(step, "(not reached)"), found.get(step, "(not reached)")
            if a == b:
                same += 1
            elif b == "(not reached)" and "exit" in found:
                pass  # How it ended is told.
            elif explain(known, client.name, side, step) is None:
                problems.append(f"  {side}, {step}:\n    one server: {short(a)}\n    vtgate:     {short(b)}")
        told.append(f"{side} {same} same, {seconds:.1f} s")
    print(f"{client.name}: {', '.join(told)}" + (" FAILED" if problems else ""), flush=True)
    for line in problems:
        print(line, flush=True)
    return problems


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("language", choices=sorted(LANGUAGES))
    parser.add_argument("--only", default="")
    parser.add_argument("--all", action="store_true")
    args = parser.parse_args()
    wanted = [client for client in clients_of(args.language) if args.only in client.name and (args.all or not client.slow)]
    present = [client for client in wanted if client.command]
    for client in wanted:
        if not client.command:
            print(f"left out: {client.name}: {client.missing}")
    if not present:
        sys.exit(77)
    known, ports = known_differences(args.language), addresses()
    failed = [client.name for client in present if compare(client, known, ports)]
    if len(present) == len(clients_of(args.language)):
        stale = [one for one in known if not one.get("used")]
        failed += [f"differences.json names what does not differ: {one}" for one in stale]
    if failed:
        sys.exit("failed: " + "; ".join(map(str, failed)))


if __name__ == "__main__":
    main()
