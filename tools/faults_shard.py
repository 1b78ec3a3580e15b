#!/usr/bin/env python3
"""The life of one shard under faults: `./dev faults shard`.

Three tablets under semi_sync with vtorc, vtctld and vtgate, and two kinds of clients: some move money between accounts, in
transactions, others count each its own counter. Round for round something happens to the shard (planned and emergency reparents,
a primary or replica that is killed or frozen, full and incremental backups, restores), half of the time with another fault in the
middle of it. Then everything runs again: the shard has to become well by itself, and on every server each acknowledged transfer has
to be there once, no money made or lost, and each counter has to be what its client was told, or more by what it was never told.

The last line is {"seconds", "seed", "rounds", "by_action", "transfers_acknowledged", "counts_acknowledged", "client_errors",
"failed": [...]}.
"""

import argparse
import collections
import json
import os
import random
import signal
import sys
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import pymysql  # noqa: E402

from vitrail.benchmark import bench_cluster, note  # noqa: E402
from vitrail.cluster import BIN  # noqa: E402
from vitrail.processes import Failure, http_get, http_json, wait_until  # noqa: E402

ACCOUNTS, BALANCE = 20, 1000
WELL_WITHIN = 90  # Seconds behind the last fault.
TABLES = ("create table account(id int primary key, balance bigint not null)",
          "create table transfer(id bigint primary key, source int not null, target int not null, amount int not null)",
          "create table counter(id int primary key, v bigint not null)")


class Client(threading.Thread):
    """Runs `turn` on a connection to vtgate until it is stopped; an error ends the connection, not the client."""

    def __init__(self, cluster, number, seed):
        super().__init__(daemon=True)
        self.cluster, self.number, self.chance = cluster, number, random.Random(seed * 100 + number)
        self.stopping, self.acknowledged, self.errors, self.problems = threading.Event(), 0, 0, []

    def run(self):
        connection = None
        while not self.stopping.is_set():
            try:
                connection = connection or self.cluster.connect("commerce", read_timeout=20, write_timeout=20, connect_timeout=5)
                with connection.cursor() as cursor:
                    self.turn(connection, cursor)
            except (pymysql.MySQLError, OSError):
                self.errors += 1
                connection = None
            self.stopping.wait(.005)

    def stop(self):
        self.stopping.set()
        self.join(60)


class Bank(Client):
    def __init__(self, cluster, number, seed):
        super().__init__(cluster, number, seed)
        self.count, self.sure, self.unsure = 0, set(), set()

    def turn(self, connection, cursor):
        self.count += 1
        row = self.count * 100 + self.number
        # In one order, so that transfers do not wait for each other in a circle.
        source, target = sorted(self.chance.sample(range(ACCOUNTS), 2), reverse=self.chance.random() < .5)
        amount = self.chance.randrange(1, 10)
        steps = sorted([(source, -amount), (target, amount)])
        connection.begin()
        for account, change in steps:
            cursor.execute(f"update account set balance = balance + {change} where id = {account}")
        cursor.execute(f"insert into transfer values ({row}, {source}, {target}, {amount})")
        self.unsure.add(row)
        connection.commit()
        self.unsure.discard(row)
        self.sure.add(row)
        self.acknowledged += 1


class Counter(Client):
    def __init__(self, cluster, number, seed):
        super().__init__(cluster, number, seed)
        self.told, self.unsure = 0, 0

    def turn(self, connection, cursor):
        self.unsure += 1
        cursor.execute(f"update counter set v = v + 1 where id = {self.number}")
        self.unsure -= 1
        self.told += 1
        self.acknowledged += 1
        cursor.execute(f"select v from counter where id = {self.number}")
        (value,), = cursor.fetchall()
        if not self.told <= value <= self.told + self.unsure:
            self.problems.append(f"counter {self.number} was read as {value}; {self.told} were acknowledged, {self.unsure} are unsure")


class Shard:
    def __init__(self, cluster, seed):
        self.cluster, self.seed, self.chance = cluster, seed, random.Random(seed)
        self.failed, self.rounds, self.by_action, self.frozen, self.killed = [], 0, collections.Counter(), [], {}
        self.clients, self.threads = [], []

    def start(self):
        cluster = self.cluster
        cluster.start_vtctld()
        cluster.vtctldclient("CreateKeyspace", "--durability-policy", "semi_sync", "commerce")
        cluster.add_shard("commerce", "0", 100)
        for table in TABLES:
            cluster.vtctldclient("ApplySchema", "--sql", table, "commerce")
        cluster.vtctldclient("ApplyVSchema", "--vschema", '{"tables": {"account": {}, "transfer": {}, "counter": {}}}', "commerce")
        cluster.start_vtgate()
        self.port = cluster.ports.take()
        cluster.addresses["vtorc"] = {"port": self.port}
        cluster.start("vtorc", [f"{BIN}/vtorc", *cluster.topo_flags(), "--cell", cluster.cell, "--port", self.port, "--bind-address",
                                "127.0.0.1", "--instance-poll-time", "500ms", "--recovery-cooldown", "1s"],
                      lambda: http_get(self.port, "/debug/health"))
        self.clients = [Bank(cluster, n, self.seed) for n in range(3)] + [Counter(cluster, n, self.seed) for n in range(3, 6)]
        with cluster.connect("commerce") as connection, connection.cursor() as cursor:
            cursor.execute("insert into account values " + ", ".join(f"({n}, {BALANCE})" for n in range(ACCOUNTS)))
            cursor.execute("insert into counter values " + ", ".join(f"({n}, 0)" for n in range(3, 6)))
        wait_until(self.well, "the shard to be well", 30)
        cluster.vtctldclient("Backup", self.replica().alias)  # One that restores can begin with.
        wait_until(self.well, "the shard to be well", 30)
        for client in self.clients:
            client.start()

    # --- who is who ---
    def primary(self):
        return self.cluster.primary("commerce", "0")

    def replica(self):
        primary = self.primary()
        return self.chance.choice([t for t in self.cluster.tablets.values() if t.uid != primary.uid])

    def server_pids(self, tablet):
        """The server, behind what would start it again."""
        server = self.cluster.server_pid(tablet)
        with open(f"/proc/{server}/stat", encoding="utf-8") as file:
            parent = int(file.read().rpartition(")")[2].split()[1])
        with open(f"/proc/{parent}/cmdline", encoding="utf-8") as file:
            return [parent, server] if "safe" in file.read() else [server]

    def well(self):
        if http_json(self.port, "/api/problems"):
            return False
        try:
            read_only = sorted(self.cluster.server_rows(t, "select @@global.read_only")[0][0] for t in self.cluster.tablets.values())
        except (pymysql.MySQLError, OSError):
            return False
        states = [self.cluster.vars(t).get("TabletStateName") for t in self.cluster.tablets.values()]
        return read_only == [0, 1, 1] and states == ["SERVING"] * 3

    # --- faults ---
    def signal(self, pids, number):
        for pid in pids:
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                pass

    def kill(self, tablet, server):
        pids = self.server_pids(tablet) if server else []
        self.killed[tablet.uid] = tablet
        self.signal([self.cluster.processes[tablet.name].pid, *pids], signal.SIGKILL)

    def freeze(self, tablet, server):
        pids = [self.cluster.processes[tablet.name].pid, *(self.server_pids(tablet) if server else [])]
        self.frozen += pids
        self.signal(pids, signal.SIGSTOP)

    def heal(self):
        """Everything runs again that was killed or frozen here."""
        self.signal(reversed(self.frozen), signal.SIGCONT)
        self.frozen = []
        killed, self.killed = self.killed, {}
        for tablet in killed.values():
            process = self.cluster.processes[tablet.name]
            process.wait_ended(10)
            if not self.answers(tablet):
                try:
                    self.cluster.mysqlctl(tablet, "start")
                except Failure as error:
                    if "already running" not in str(error) and "another command" not in str(error):
                        raise
            self.cluster.start(tablet.name, process.argv, lambda t=tablet: self.cluster.vars(t).get("TabletStateName"))

    def answers(self, tablet):
        try:
            return bool(self.cluster.server_rows(tablet, "select 1"))
        except (pymysql.MySQLError, OSError, Failure):
            return False

    def command(self, *arguments):
        """One that may fail: what has happened is seen behind it."""
        try:
            self.cluster.vtctldclient(*arguments, timeout=60)
            return "done"
        except Exception as error:  # noqa: BLE001
            return str(error).strip().rpartition("\n")[2][-100:]

    # --- rounds ---
    def actions(self):
        def restore(*flags):
            return self.command("RestoreFromBackup", *flags, self.replica().alias)
        return {
            "planned": lambda: self.command("PlannedReparentShard", "commerce/0", "--new-primary", self.replica().alias),
            "emergency": lambda: self.command("EmergencyReparentShard", "commerce/0"),
            "backup": lambda: self.command("Backup", self.replica().alias),
            "incremental": lambda: self.command("Backup", "--incremental-from-pos", "auto", self.replica().alias),
            "restore": restore,
            "kill primary": lambda: self.kill(self.primary(), True),
            "kill replica": lambda: self.kill(self.replica(), True),
            "kill vttablet": lambda: self.kill(self.chance.choice([self.primary(), self.replica()]), False),
            "freeze primary": lambda: self.freeze(self.primary(), True),
            "freeze replica": lambda: self.freeze(self.replica(), self.chance.random() < .5),
        }

    def round(self, action=None):
        actions = self.actions()
        name = action or self.chance.choice(list(actions))
        other = None if action else self.chance.choice([None, "kill replica", "kill vttablet", "freeze replica", "kill primary"])
        if name.startswith(("kill", "freeze")):
            other = None  # One of three at a time: two would leave nobody to acknowledge.
        began, said = time.monotonic(), []
        first = threading.Thread(target=lambda: said.append(actions[name]()), daemon=True)
        first.start()
        if other:
            first.join(self.chance.random() * 2)
            try:
                actions[other]()
            except (Failure, OSError, ValueError) as error:
                said.append(str(error))
        first.join(70)
        if name in ("kill primary", "freeze primary") and (action or self.chance.random() < .5):
            self.wait_for_clients(f"clients to get on behind {name}")  # While the old one is still away.
        elif not other and not action:
            time.sleep(self.chance.random() * 3)  # How long a fault lasts is part of it.
        self.heal()
        wait_until(self.well, f"the shard to be well behind {name} and {other}", WELL_WITHIN, .2)
        self.wait_for_clients("every client to get on")
        self.rounds += 1
        self.by_action[name] += 1
        note(f"round {self.rounds}: {name}{' and ' + other if other else ''}: {said[0] if said else '-'}; {time.monotonic() - began:.1f} s")

    def wait_for_clients(self, what):
        since = {client: client.acknowledged for client in self.clients}
        wait_until(lambda: all(client.acknowledged > count for client, count in since.items()), what, 60)

    # --- the reckoning ---
    def check(self):
        for client in self.clients:
            client.stop()
            self.failed += client.problems
        primary = self.primary()
        position = self.cluster.server_rows(primary, "select @@gtid_binlog_pos")[0][0]
        for tablet in self.cluster.tablets.values():
            if tablet.uid != primary.uid:
                got = self.cluster.server_rows(tablet, f"select master_gtid_wait('{position}', 30)")[0][0]
                if got != 0:
                    self.failed.append(f"{tablet.alias} does not come to {position}")
            self.failed += [f"{tablet.alias}: {text}" for text in self.reckon(tablet)]

    def reckon(self, tablet):
        rows = {row: (source, target, amount) for row, source, target, amount in
                self.cluster.server_rows(tablet, "select id, source, target, amount from transfer")}
        banks = [c for c in self.clients if isinstance(c, Bank)]
        sure, unsure = set().union(*(c.sure for c in banks)), set().union(*(c.unsure for c in banks))
        out = [f"transfer {row} was acknowledged and is lost" for row in sorted(sure - rows.keys())]
        out += [f"transfer {row} was never made" for row in sorted(rows.keys() - sure - unsure)]
        expected = {n: BALANCE for n in range(ACCOUNTS)}
        for source, target, amount in rows.values():
            expected[source] -= amount
            expected[target] += amount
        there = dict(self.cluster.server_rows(tablet, "select id, balance from account"))
        out += [f"account {n} is {there.get(n)}, should be {want}" for n, want in expected.items() if there.get(n) != want]
        counters = dict(self.cluster.server_rows(tablet, "select id, v from counter"))
        out += [f"counter {c.number} is {counters.get(c.number)}; {c.told} were acknowledged, {c.unsure} are unsure" for c in self.clients
                if isinstance(c, Counter) and not c.told <= counters.get(c.number, -1) <= c.told + c.unsure]
        return out[:10]


SAMPLE = ("planned", "kill primary", "incremental", "restore")


def main():
    parser = argparse.ArgumentParser(prog="./dev faults shard", description="Reparents, deaths, backups and restores of one shard under clients.")
    parser.add_argument("--seconds", type=int, default=3600)
    parser.add_argument("--seed", type=int, default=None, help="of an earlier run: the same choices again")
    parser.add_argument("--sample", action="store_true", help=f"one round of each of: {', '.join(SAMPLE)}")
    parser.add_argument("--json", action="store_true", help="print one JSON object as the last line")
    options = parser.parse_args()
    seed = random.randrange(1 << 30) if options.seed is None else options.seed
    print(f"seed {seed}", flush=True)
    began = time.monotonic()
    with bench_cluster(pool="64M", kinds=("replica", "replica", "replica")) as cluster:
        shard = Shard(cluster, seed)
        shard.start()
        try:
            for action in SAMPLE if options.sample else ():
                shard.round(action)
            while not options.sample and time.monotonic() - began < options.seconds:
                shard.round()
        except Failure as error:
            shard.failed.append(str(error))
        finally:
            shard.heal()
        shard.check()
        banks = [c for c in shard.clients if isinstance(c, Bank)]
        out = {"seconds": round(time.monotonic() - began), "seed": seed, "rounds": shard.rounds, "by_action": dict(shard.by_action),
               "transfers_acknowledged": sum(c.acknowledged for c in banks),
               "counts_acknowledged": sum(c.acknowledged for c in shard.clients) - sum(c.acknowledged for c in banks),
               "client_errors": sum(c.errors for c in shard.clients), "failed": shard.failed}
        print(f"{out['rounds']} rounds in {out['seconds']} s: {out['transfers_acknowledged']} transfers and {out['counts_acknowledged']} counts "
              f"acknowledged, {out['client_errors']} errors of clients; {len(shard.failed)} things are wrong")
        for text in shard.failed:
            print("  " + text)
        if options.json:
            print(json.dumps(out))
        if shard.failed:
            raise Failure(f"seed {seed} fails")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Failure as failure:
        print(failure, file=sys.stderr)
        sys.exit(1)
