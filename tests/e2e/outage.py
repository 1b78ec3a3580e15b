"""A cluster whose topology, a real etcd of three members, loses its majority while it serves: two of them hang, and die. Queries do
not notice; a vtgate that starts in the meantime serves from what was last known; when they are back, everybody catches up without
haste, and nothing that was recorded is lost.

VITRAIL_OUTAGE_SECONDS lengthens the outage (10 s).
"""

import json
import os
import re
import signal
import statistics
import subprocess
import threading
import time

import pymysql

from support import ClusterTest, main

from vitrail.cluster import Cluster
from vitrail.journey import COMMERCE_SCHEMA, COMMERCE_VSCHEMA
from vitrail.processes import Failure, http_get, wait_until

OUTAGE = max(4, int(os.environ.get("VITRAIL_OUTAGE_SECONDS", "10")))


class EtcdCluster(Cluster):
    topo_kind = "etcd2"
    members = ("etcd",)

    def topo_address(self):
        return ",".join(f"127.0.0.1:{self.addresses[name]['port']}" for name in self.members)

    def start_etcd(self):
        peers = {name: f"http://127.0.0.1:{self.ports.take()}" for name in self.members}
        for name, peer_url in peers.items():
            self.addresses[name] = {"port": self.ports.take()}
            client_url = f"http://127.0.0.1:{self.addresses[name]['port']}"
            self.start(name, [
                "etcd", "--name", name, "--data-dir", self.path(name), "--listen-client-urls", client_url,
                "--advertise-client-urls", client_url, "--listen-peer-urls", peer_url, "--initial-advertise-peer-urls",
                peer_url, "--initial-cluster", ",".join(f"{one}={url}" for one, url in peers.items()), "--logger", "zap",
                "--log-level", "warn"], lambda: True)
        self.wait_for_etcd()

    def wait_for_etcd(self):
        """A single member is well only together with most of the others."""
        for name in self.members:
            self.processes[name].wait_ready(lambda n=name: json.loads(http_get(self.addresses[n]["port"], "/health")).get("health") == "true")

    def majority(self):
        """Without these there is none."""
        return self.members[-(len(self.members) // 2 + 1):]

    def signal_etcd(self, number, members):
        for name in members:
            self.processes[name].kill(number)

    def restart_etcd(self):
        """Those that were killed."""
        for name in self.members:
            old = self.processes[name]
            if not old.running():
                self.start(name, old.argv, lambda: True)
        self.wait_for_etcd()

    def etcd_streams(self):
        """How many watches were ever started at the members that run now."""
        out = 0
        for name in self.members:
            if self.processes[name].running():
                found = re.search(r'grpc_server_started_total\{grpc_method="Watch",[^}]*\} (\S+)',
                                  http_get(self.addresses[name]["port"], "/metrics"))
                out += int(float(found.group(1))) if found else 0
        return out


class ThreeEtcds(EtcdCluster):
    members = ("etcd", "etcd-2", "etcd-3")


class Load:
    """Reads and writes over connections that stay open, and remembers how long each statement took."""

    def __init__(self, connect, threads=2):
        self.stopping = threading.Event()
        self.times, self.errors, self.written = [], [], 0  # times: (start, seconds)
        self.lock = threading.Lock()
        self.workers = [threading.Thread(target=self.work, args=(connect, n), daemon=True) for n in range(threads)]
        for worker in self.workers:
            worker.start()

    def work(self, connect, number):
        with connect("commerce") as connection, connection.cursor() as cursor:
            count = 0
            while not self.stopping.is_set():
                count += 1
                started = time.monotonic()
                try:
                    if count % 4 == 0:
                        cursor.execute("insert into product(sku, description, price) values(%s, 'x', 1)",
                                       (f"{number}-{count}-{started}",))
                    else:
                        cursor.execute("select count(*) from customer where customer_id = %s", (count,))
                        cursor.fetchall()
                except pymysql.MySQLError as error:
                    with self.lock:
                        self.errors.append(f"{time.monotonic():.1f}: {error}")
                    return
                with self.lock:
                    self.times.append((started, time.monotonic() - started))
                    self.written += count % 4 == 0
                time.sleep(0.004)

    def stop(self):
        self.stopping.set()
        for worker in self.workers:
            worker.join(60)

    def between(self, start, end):
        with self.lock:
            return [seconds for at, seconds in self.times if start <= at < end]


def milliseconds(times):
    times = sorted(times)
    return {"statements": len(times), "median": round(statistics.median(times) * 1000, 2),
            "p99": round(times[len(times) * 99 // 100] * 1000, 2), "longest": round(times[-1] * 1000, 2)}


class OutageTest(ClusterTest):
    cluster_class = ThreeEtcds

    @classmethod
    def prepare(cls):
        cluster = cls.cluster
        cluster.start_etcd()
        cluster.start_vtctld()
        cluster.vtctldclient("CreateKeyspace", "--durability-policy", "none", "commerce")
        cluster.add_shard("commerce", "0", 100, ("replica", "replica"))
        cluster.vtctldclient("ApplySchema", "--sql", COMMERCE_SCHEMA, "commerce")
        cluster.vtctldclient("ApplyVSchema", "--vschema", COMMERCE_VSCHEMA, "commerce")
        cluster.start_vtgate()

    def serves(self):
        return self.rows("select count(*) from customer where customer_id = 1", "commerce") == [(0,)]

    # S4-51
    def test_outage(self):
        load = Load(self.cluster.connect)
        try:
            self.hang_and_die(load)
        finally:
            load.stop()
        self.assertEqual(load.errors, [])
        self.assertEqual(self.rows("select count(*) from product", "commerce"), [(load.written,)])

    def hang_and_die(self, load):
        began = time.monotonic()
        time.sleep(3)
        hung = time.monotonic()
        self.cluster.signal_etcd(signal.SIGSTOP, self.cluster.majority())
        time.sleep(OUTAGE / 2)
        died = time.monotonic()
        self.cluster.signal_etcd(signal.SIGKILL, self.cluster.majority())
        time.sleep(OUTAGE / 2)
        # Commands that need the topology say so.
        for name in self.cluster.majority():
            self.cluster.processes[name].wait_ended(10)
        with self.assertRaisesRegex(Failure, "UNAVAILABLE|DEADLINE_EXCEEDED|cannot be reached|failed to connect|no leader|timed out"):
            self.ctl("GetKeyspaces")
        streams = self.cluster.etcd_streams()
        back = time.monotonic()
        self.cluster.restart_etcd()
        self.assertIn('"name": "commerce"', self.ctl("GetKeyspaces"))
        time.sleep(3)
        end = time.monotonic()
        phases = {"before": load.between(began, hung), "hanging": load.between(hung, died),
                  "dead": load.between(died, back), "after": load.between(back, end)}
        report = {name: milliseconds(times) for name, times in phases.items()}
        print(json.dumps(report), flush=True)
        before = report["before"]
        for name in ("hanging", "dead", "after"):
            self.assertLess(report[name]["median"], before["median"] * 2 + 1, report)
            self.assertLess(report[name]["longest"], 1000, report)
        # Three watches of vtgate and what tablets and vtctld follow: each comes back once, perhaps twice.
        self.assertLess(self.cluster.etcd_streams() - streams, 20)
        # And changes arrive again.
        self.ctl("ApplyVSchema", "--vschema", COMMERCE_VSCHEMA.replace('"customer": {}', '"customer": {}, "late": {}'),
                 "commerce")
        wait_until(lambda: self.vtgate_knows("late"), "vtgate to learn of the new table", 30)

    # S4-51
    def test_vtgate_starts_during_an_outage(self):
        cluster = self.cluster
        self.assertTrue(self.serves())
        # First etcd hangs and vtgate dies or ends in good order, then etcd is gone.
        for to_etcd, to_vtgate in ((signal.SIGSTOP, signal.SIGKILL), (signal.SIGSTOP, signal.SIGTERM), (signal.SIGKILL, signal.SIGTERM)):
            cluster.signal_etcd(to_etcd, cluster.members)
            cluster.processes["vtgate"].kill(to_vtgate)
            self.assertTrue(cluster.processes["vtgate"].wait_ended(15), "vtgate does not end")
            started = time.monotonic()
            cluster.restart("vtgate", 20)
            wait_until(self.serves, "vtgate to serve from its last known state", 20)
            print(f"vtgate serves {time.monotonic() - started:.1f} s after its start without topology", flush=True)
        with open(cluster.processes["vtgate"].log, encoding="utf-8") as log:
            self.assertIn("serving from its last known state", log.read())
        for name in cluster.members:
            cluster.processes[name].wait_ended(10)
        cluster.restart_etcd()
        # The true state replaces the old one: a keyspace that is new becomes known.
        wait_until(self.ctl_works, "vtctld to reach the topology", 30)
        self.ctl("CreateKeyspace", "--durability-policy", "none", "fresh")
        self.ctl("ApplyVSchema", "--vschema", '{"tables": {"t": {}}}', "fresh")
        wait_until(lambda: self.vtgate_knows("fresh"), "vtgate to learn of the new keyspace", 30)
        self.assertTrue(self.serves())

    def ctl_works(self):
        try:
            return "commerce" in self.ctl("GetKeyspaces")
        except (Failure, subprocess.TimeoutExpired):
            return False

    def vtgate_knows(self, word):
        """It writes down what the topology told it."""
        with open(self.cluster.path("topo_cache", "vtgate-zone1.state"), "rb") as file:
            return word.encode() in file.read()


if __name__ == "__main__":
    main()
