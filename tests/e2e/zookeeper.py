"""A cluster whose topology is a real ZooKeeper: it is set up, moves a primary, and goes on while ZooKeeper is restarted."""

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

    def topo_address(self):
        return f"127.0.0.1:{self.addresses['zookeeper']['port']}"

    def start_zookeeper(self):
        port = self.ports.take()
        self.addresses["zookeeper"] = {"port": port}
        os.makedirs(self.path("logs"), exist_ok=True)
        with open(self.path("zoo.cfg"), "w", encoding="utf-8") as file:
            file.write(f"tickTime=500\ndataDir={self.path('zookeeper')}\nclientPort={port}\n"
                       "clientPortAddress=127.0.0.1\nadmin.enableServer=false\n4lw.commands.whitelist=ruok\n")
        self.start("zookeeper", ["java", "-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-cp",
                                 "/usr/share/java/*", "org.apache.zookeeper.server.quorum.QuorumPeerMain",
                                 self.path("zoo.cfg")], self.zookeeper_is_well)

    def zookeeper_is_well(self):
        with socket.create_connection(("127.0.0.1", self.addresses["zookeeper"]["port"]), timeout=2) as connection:
            connection.sendall(b"ruok")
            return connection.recv(4) == b"imok"

    def restart_zookeeper(self):
        old = self.processes["zookeeper"]
        old.wait_ended(10)
        self.start("zookeeper", old.argv, self.zookeeper_is_well)


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
    def test_a_restart_of_zookeeper_costs_no_query(self):
        cluster = self.cluster
        self.ctl("PlannedReparentShard", "commerce/0", "--new-primary", "zone1-101")
        self.eventually(lambda: self.rows("select count(*) from customer", "commerce") == [(0,)])
        load = Load(cluster.connect)
        try:
            wait_until(lambda: load.written > 20, "the load to begin", 20)
            cluster.processes["zookeeper"].kill(signal.SIGKILL)
            time.sleep(float(os.environ.get("VITRAIL_OUTAGE_SECONDS", "2")))  # The outage itself.
            during = load.written
            cluster.restart_zookeeper()
            self.assertIn("commerce", self.ctl("GetKeyspaces"))
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
