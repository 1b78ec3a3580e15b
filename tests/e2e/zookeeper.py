"""A cluster whose topology is a real ZooKeeper of three servers: it is set up, moves a primary, and goes on while ZooKeeper has lost
its majority.
"""

import os
import signal
import socket
import time

from outage import Load
from support import ClusterTest, Failure, main

from vitrail.cluster import Cluster
from vitrail.journey import COMMERCE_SCHEMA, COMMERCE_VSCHEMA
from vitrail.processes import http_get, wait_until


class ZookeeperCluster(Cluster):
    topo_kind = "zk2"
    members = ("zookeeper-1", "zookeeper-2", "zookeeper-3")
    majority = members[1:]  # Without these there is none; the last one begins as the leader.

    def topo_address(self):
        return ",".join(f"127.0.0.1:{self.addresses[name]['port']}" for name in self.members)

    def start_zookeeper(self):
        os.makedirs(self.path("logs"), exist_ok=True)
        servers = "".join(f"server.{n}=127.0.0.1:{self.ports.take()}:{self.ports.take()}\n" for n in (1, 2, 3))
        for number, name in enumerate(self.members, 1):
            self.addresses[name] = {"port": self.ports.take()}
            os.makedirs(self.path(name))
            with open(self.path(name, "myid"), "w", encoding="utf-8") as file:
                file.write(str(number))
            with open(self.path(f"{name}.cfg"), "w", encoding="utf-8") as file:
                file.write(f"tickTime=500\ninitLimit=20\nsyncLimit=20\ndataDir={self.path(name)}\nclientPort={self.addresses[name]['port']}\n"
                           f"clientPortAddress=127.0.0.1\nadmin.enableServer=false\n4lw.commands.whitelist=srvr\n{servers}")
            self.start(name, ["java", "-Xmx128m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-cp", "/usr/share/java/*",
                              "org.apache.zookeeper.server.quorum.QuorumPeerMain", self.path(f"{name}.cfg")], lambda: True)
        self.wait_for_zookeeper()

    def wait_for_zookeeper(self):
        for name in self.members:
            self.processes[name].wait_ready(lambda n=name: b"Mode: " in self.say(n, b"srvr"))

    def say(self, name, word):
        with socket.create_connection(("127.0.0.1", self.addresses[name]["port"]), timeout=2) as connection:
            connection.sendall(word)
            return connection.recv(4096)

    def restart_zookeeper(self):
        for name in self.majority:
            old = self.processes[name]
            old.wait_ended(10)
            self.start(name, old.argv, lambda: True)
        self.wait_for_zookeeper()


class ZookeeperTest(ClusterTest):
    cluster_class = ZookeeperCluster

    @classmethod
    def prepare(cls):
        cluster = cls.cluster
        cluster.start_zookeeper()
        cluster.start_vtctld()
        cluster.vtctldclient("CreateKeyspace", "--durability-policy", "none", "commerce")
        cluster.add_shard("commerce", "0", 100, ("replica", "replica"))
        cluster.vtctldclient("ApplySchema", "--sql", COMMERCE_SCHEMA, "commerce")
        cluster.vtctldclient("ApplyVSchema", "--vschema", COMMERCE_VSCHEMA, "commerce")
        cluster.start_vtgate()

    # S4-39, S4-44, S4-51
    def test_a_lost_majority_costs_no_query(self):
        cluster = self.cluster
        self.ctl("PlannedReparentShard", "commerce/0", "--new-primary", "zone1-101")
        self.eventually(lambda: self.rows("select count(*) from customer", "commerce") == [(0,)])
        load = Load(cluster.connect)
        try:
            wait_until(lambda: load.written > 20, "the load to begin", 20)
            before = load.written
            for name in cluster.majority:
                cluster.processes[name].kill(signal.SIGKILL)
            time.sleep(float(os.environ.get("VITRAIL_OUTAGE_SECONDS", "2")))  # The outage itself.
            self.assertNotIn(b"Mode: ", cluster.say("zookeeper-1", b"srvr"))  # It is there, and of no use.
            during = load.written
            self.assertGreater(during, before)
            cluster.restart_zookeeper()
            wait_until(lambda: "commerce" in self.ctl("GetKeyspaces"), "vtctld to reach ZooKeeper", 60)
            # Sessions go on: changes are written and arrive.
            self.ctl("ApplyVSchema", "--vschema",
                     COMMERCE_VSCHEMA.replace('"customer": {}', '"customer": {}, "late": {}'), "commerce")
            wait_until(lambda: self.vtgate_knows("late"), "vtgate to learn of the new table", 30)
            self.assertGreater(load.written, during)
        finally:
            load.stop()
        self.assertEqual(load.errors, [])
        self.assertEqual(self.rows("select count(*) from product", "commerce"), [(load.written,)])
        self.ctl("PlannedReparentShard", "commerce/0", "--new-primary", "zone1-100")
        self.eventually(lambda: self.rows("select count(*) from product", "commerce") == [(load.written,)])

    def test_b_a_killed_vtctld_holds_nobody_up(self):
        """Its session, and the locks of it, would live on for 30 s: those of workflows are in a shorter one."""
        cluster = self.cluster
        cluster.vtctldclient("CreateKeyspace", "--durability-policy", "none", "customer")
        cluster.add_shard("customer", "0", 200, ("replica",))
        move = ("MoveTables", "--workflow", "killed", "--target-keyspace", "customer")
        self.ctl(*move, "create", "--source-keyspace", "commerce", "--tables", "customer")
        wait_until(lambda: "Status: Running" in self.ctl(*move, "status"), "the copy to end", 60)
        process = self.restart_vtctld("--test-crash-at-step", "catch_up")
        with self.assertRaises(Failure):
            self.ctl(*move, "switchtraffic")
        died = time.monotonic()
        self.assertTrue(process.wait_ended(10), "vtctld did not die")
        cluster.start("vtctld", cluster.vtctld_argv, lambda: http_get(cluster.addresses["vtctld"]["port"], "/debug/vars"))
        self.eventually(lambda: self.rows("insert into customer(customer_id, email) values (77, 'late') on duplicate key update email = 'late'",
                                          "commerce"), 30)
        written = time.monotonic() - died
        self.ctl(*move, "switchtraffic")  # Needs the locks of both keyspaces.
        self.assertLess(time.monotonic() - died, 25, f"the source took writes after {written:.1f} s")
        self.assertEqual(self.rows("select count(*) from customer where email = 'late'", "customer"), [(1,)])

    def vtgate_knows(self, word):
        """It writes down what the topology told it."""
        with open(self.cluster.path("topo_cache", "vtgate-zone1.state"), "rb") as file:
            return word.encode() in file.read()


if __name__ == "__main__":
    main()
