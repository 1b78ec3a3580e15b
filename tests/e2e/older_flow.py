#!/usr/bin/env python3
"""A vertical and a horizontal split by the older commands: CopySchemaShard, vtworker, MigrateServedFrom, MigrateServedTypes, on
a real etcd, with a writer, and with workers that are killed on the way. The steps are those of the walkthrough for Helm
(201-206, 301-308).
"""

import json
import os
import signal
import subprocess
import threading
import time

import pymysql

from outage import EtcdCluster
from support import BIN, REPOSITORY, ClusterTest, Failure, main

from vitrail.journey import COMMERCE_SCHEMA
from vitrail.processes import http_get, wait_until

COMMERCE_VSCHEMA = json.dumps({"tables": {"product": {}, "customer": {}, "corder": {}}})
PRODUCT_VSCHEMA = json.dumps({"tables": {"product": {}}})
CUSTOMER_VSCHEMA = json.dumps({"tables": {"customer": {}, "corder": {}}})
SHARDED_VSCHEMA = json.dumps({
    "sharded": True, "vindexes": {"hash": {"type": "hash"}},
    "tables": {name: {"column_vindexes": [{"column": "customer_id", "name": "hash"}]} for name in ("customer", "corder")}})
SLOW = ("-write_query_max_rows=1", "-max_tps=20", "-destination_writer_count=1")


class Writer:
    """Inserts orders through vtgate and remembers which were acknowledged."""

    def __init__(self, connect):
        self.connect, self.stopping = connect, threading.Event()
        self.acknowledged, self.errors = [], []
        self.thread = threading.Thread(target=self.work, daemon=True)
        self.thread.start()

    def work(self):
        number, connection = 10_000, None
        while not self.stopping.is_set():
            number += 1
            try:
                connection = connection or self.connect("customer")
                with connection.cursor() as cursor:
                    cursor.execute("insert into corder(order_id, customer_id, sku, price) values (%s, %s, 'SKU-1001', 1)",
                                   (number, number % 50 + 1))
                self.acknowledged.append(number)
            except pymysql.MySQLError as error:
                self.errors.append(f"{number}: {error}")
                connection = None
            time.sleep(0.05)
        if connection is not None:
            connection.close()

    def stop(self):
        self.stopping.set()
        self.thread.join()


class OlderFlow(ClusterTest):
    cluster_class = EtcdCluster

    @classmethod
    def prepare(cls):
        cluster = cls.cluster
        os.makedirs(cluster.path("logs"), exist_ok=True)
        cluster.start_etcd()
        cluster.start_vtctld()
        cls.old("CreateKeyspace", "commerce")
        cluster.add_shard("commerce", "0", 100, ("replica", "rdonly"))
        cls.old("ApplySchema", "-sql", COMMERCE_SCHEMA, "commerce")
        cls.old("ApplyVSchema", "-vschema", COMMERCE_VSCHEMA, "commerce")
        cluster.start_vtgate()
        with open(os.path.join(REPOSITORY, "examples", "common", "insert_commerce_data.sql"), encoding="utf-8") as file:
            script = file.read()
        with cluster.connect("commerce") as connection, connection.cursor() as cursor:
            for statement in filter(None, map(str.strip, script.split(";"))):
                cursor.execute(statement)
            cursor.executemany("insert into customer(customer_id, email) values (%s, %s)",
                               [(i, f"c{i}@domain.com") for i in range(6, 120)])
        # 201: customer is served from commerce.
        cls.old("CreateKeyspace", "-served_from=master:commerce,replica:commerce,rdonly:commerce", "customer")
        cls.writer = Writer(cluster.connect)

    @classmethod
    def clean(cls):
        if getattr(cls, "writer", None) is not None:
            cls.writer.stop()
        super().clean()

    # --- commands ---
    @classmethod
    def old(cls, *args):
        done = subprocess.run([f"{BIN}/vtctlclient", "-server", f"127.0.0.1:{cls.cluster.addresses['vtctld']['grpc']}",
                               *args], capture_output=True, text=True, timeout=120, check=False)
        if done.returncode != 0:
            raise Failure(f"vtctlclient {args}: {done.stderr}{done.stdout}")
        return done.stdout

    def old_fails(self, pattern, *args):
        with self.assertRaisesRegex(Failure, pattern):
            self.old(*args)

    def worker_argv(self, *args):
        return [f"{BIN}/vtworker", *self.cluster.topo_flags(), "--cell", self.cluster.cell,
                "--wait_for_healthy_tablets_timeout", "5s", "--remote_actions_timeout", "20s", *args]

    def worker(self, *args):
        """(exit code, log) of a vtworker with a job on its command line."""
        return self.run_program(self.worker_argv(*args), 120)

    def worker_ok(self, *args):
        code, output = self.worker(*args)
        self.assertEqual(code, 0, output)
        return output

    def kill_worker(self, wait_for, *args):
        """A vtworker that is killed as soon as `wait_for` holds."""
        process = subprocess.Popen(self.worker_argv(*args), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                   stderr=subprocess.DEVNULL)
        try:
            wait_until(lambda: process.poll() is not None or wait_for(), f"the right moment of {args[0]}", 40)
            self.assertIsNone(process.poll(), f"{args[0]} ended before it could be killed")
        finally:
            process.kill()
            process.wait()

    def client(self, *args):
        return self.run_program([f"{BIN}/vtworkerclient", "-server",
                                 f"127.0.0.1:{self.cluster.addresses['vtworker']['grpc']}", *args], 120)

    def client_ok(self, *args):
        code, output = self.client("Reset")
        self.assertEqual(code, 0, output)
        code, output = self.client(*args)
        self.assertEqual(code, 0, output)
        return output

    # --- looking ---
    def types(self, keyspace, shard):
        return {int(line.split()[0].rsplit("-", 1)[1]): line.split()[3]
                for line in self.old("ListShardTablets", f"{keyspace}/{shard}").splitlines()}

    def is_drained(self, uid, keyspace, shard):
        return self.types(keyspace, shard)[uid] == "drained"

    def replicates(self, uid):
        with self.cluster.server(self.cluster.tablets[uid]) as connection, \
                connection.cursor(pymysql.cursors.DictCursor) as cursor:
            cursor.execute("show slave status")
            status = cursor.fetchone()
        return (status["Slave_IO_Running"], status["Slave_SQL_Running"]) == ("Yes", "Yes")

    def assert_nothing_is_taken(self, uid, keyspace, shard):
        """S2-56, S3-39, S3-44: the tablet serves and replicates again, and no claim is left."""
        def check():
            self.assertEqual(self.types(keyspace, shard)[uid], "rdonly")
            self.assertTrue(self.replicates(uid))
            self.assertNotIn("drain_reason", self.old("GetTablet", f"zone1-{uid}"))
            self.assertEqual(self.children("/global/workers"), [])
        self.eventually(check, 40)

    def table(self, uid, table, columns="*"):
        return self.cluster.server_rows(self.cluster.tablets[uid], f"select {columns} from {table} order by 1")

    def assert_equal_tables(self, source, *targets):
        for table in ("customer", "corder"):
            def check(name=table):
                there = sorted(row for uid in targets for row in self.table(uid, name))
                self.assertEqual(there, sorted(self.table(source, name)), name)
            self.eventually(check)

    def read(self, database, sql):
        return self.mysql_client(f"use {database};\n{sql};\n")

    # --- the vertical split ---
    def test_1_vertical_split(self):
        cluster = self.cluster
        # 202
        cluster.add_shard("customer", "0", 200, ("replica", "rdonly"))
        self.old("ApplyVSchema", "-vschema", PRODUCT_VSCHEMA, "commerce")
        self.old("ApplyVSchema", "-vschema", CUSTOMER_VSCHEMA, "customer")
        self.old("CopySchemaShard", "-tables", "customer,corder", "commerce/0", "customer/0")
        self.assertEqual(self.old("GetSchema", "-table_names_only", "zone1-200").split(), ["corder", "customer"])
        self.old_fails("shard customer/0 has no source shard", "WaitForFilteredReplication", "customer/0")

        # 203, S3-38..S3-46, S3-39: killed in either pass, and run again.
        clone = ("-min_healthy_rdonly_tablets=1", "-tables=customer,corder", "customer/0")
        self.assertIn("list of tablets to be split out must not be empty",
                      self.worker("VerticalSplitClone", "customer/0")[1])
        code, output = self.worker("VerticalSplitClone", "-min_healthy_rdonly_tablets=2", "-online=false", *clone[1:])
        self.assertEqual(code, 1)
        self.assertIn("not enough healthy RDONLY tablets to choose from in (zone1,commerce/0), have 1 healthy ones, need "
                      "at least 2", output)
        self.kill_worker(lambda: len(self.table(200, "customer")) > 3, "VerticalSplitClone", *SLOW, *clone)
        self.assertEqual(self.types("commerce", "0")[101], "rdonly")  # S3-40
        self.kill_worker(lambda: self.is_drained(101, "commerce", "0") and not self.replicates(101),
                         "VerticalSplitClone", "-online=false", *SLOW, *clone)  # S3-41
        self.assert_nothing_is_taken(101, "commerce", "0")
        log = self.worker_ok("VerticalSplitClone", *clone)
        self.assertRegex(log, r"customer: copy done, processed 119 rows")
        self.assert_nothing_is_taken(101, "commerce", "0")
        self.assertRegex(self.shard_record("customer", "0"),
                         r'source_shards:\{uid:\d+ keyspace:"commerce" shard:"0" tables:"corder" tables:"customer"\}')
        self.assertIn("has filtered replication already enabled from a previous resharding",
                      self.worker("VerticalSplitClone", *clone)[1])
        self.assertRegex(self.old("WaitForFilteredReplication", "-max_delay=10s", "customer/0"),
                         r"Filtered replication on tablet: zone1-0000000200 has caught up. Last seen delay: \d+\.\d seconds")
        self.assert_equal_tables(100, 200)

        # S3-43, S3-44
        diff = ("VerticalSplitDiff", "-min_healthy_rdonly_tablets=1", "customer/0")
        log = self.worker_ok(*diff)
        self.assertRegex(log, r"Table customer checks out \(120 rows processed, \d+ qps\)")
        self.assertIn("Schema match, good.", log)
        self.cluster.server_rows(cluster.tablets[200], "update customer set email = 'planted' where customer_id = 3")
        code, log = self.worker(*diff)
        self.assertEqual(code, 1)
        self.assertRegex(log, r"table customer has differences: DiffReport\{120 processed, 118 matching, 1 mismatched, 0 "
                              r"extra left, 0 extra right, \d+ q/s\}")
        self.cluster.server_rows(cluster.tablets[200],
                                 "update customer set email = 'charlie@domain.com' where customer_id = 3")
        self.kill_worker(lambda: self.is_drained(201, "customer", "0"), *diff)
        self.assert_nothing_is_taken(201, "customer", "0")
        self.assert_nothing_is_taken(101, "commerce", "0")
        self.worker_ok(*diff)
        self.assert_nothing_is_taken(201, "customer", "0")
        self.old("WaitForFilteredReplication", "-max_delay=10s", "customer/0")

        # 204, 205: S3-47..S3-57
        self.old_fails("cannot migrate master into customer until everything else is migrated", "MigrateServedFrom",
                       "customer/0", "master")
        for args in (("customer/0", "rdonly"), ("customer/0", "replica"), ("-reverse", "customer/0", "replica"),
                     ("customer/0", "replica"), ("customer/0", "master")):
            self.old("MigrateServedFrom", *args)
        record = self.shard_record("customer", "0")
        self.assertNotIn("source_shards", record)
        self.assertEqual(cluster.server_rows(cluster.tablets[200], "select * from _vt.vreplication"), ())
        self.old_fails("not a vertical split target|cannot add master back", "MigrateServedFrom", "-reverse", "customer/0",
                       "master")
        self.eventually(lambda: self.assertEqual(self.read("customer", "select count(*) from customer")[1].split()[-1], "119"))
        number = self.writer.acknowledged[-1]
        self.eventually(lambda: self.assertGreater(self.writer.acknowledged[-1], number + 5))
        self.assertEqual(self.writer.errors, [])
        self.assertLess(max(row[0] for row in self.table(100, "corder")), self.writer.acknowledged[-1])  # S3-55
        self.assertEqual(self.read("commerce/0", "select count(*) from product")[0], 0)  # S3-54
        code, _, err = self.read("commerce/0", "select * from customer")
        self.assertEqual(code, 1)
        self.assertRegex(err, r"(?m)^ERROR 1105 \(HY000\) at line 2: vtgate: http://[^/]+:\d+/: target: commerce\.0\.master, used "
                              r"tablet: zone1-0000000100 \(127\.0\.0\.1\), vttablet: rpc error: code = FailedPrecondition desc "
                              r"= disallowed due to rule: enforce blacklisted tables \(CallerID: \w+\)$")  # S3-53

        # 206
        self.old("ApplySchema", "-sql", "drop table customer; drop table corder", "commerce")
        for kind in ("rdonly", "replica", "master"):
            self.old("SetShardTabletControl", "-blacklisted_tables=customer,corder", "-remove", "commerce/0", kind)
        self.assertNotIn("tablet_controls", self.shard_record("commerce", "0"))

    # --- the worker as a server ---
    def test_2_one_job_at_a_time(self):
        port, grpc = self.cluster.ports.take(), self.cluster.ports.take()
        self.cluster.addresses["vtworker"] = {"port": port, "grpc": grpc}
        self.cluster.start("vtworker", self.worker_argv(
            "--port", port, "--grpc_port", grpc, "--bind-address", "127.0.0.1", "--grpc-bind-address", "127.0.0.1"),
            lambda: http_get(port, "/debug/vars"))
        code, output = self.client("Ping", "hello")
        self.assertEqual(code, 0, output)
        self.assertIn("Ping command was called with message: 'hello'.", output)
        code, output = self.client("Ping")
        self.assertEqual(code, 1)
        self.assertRegex(output, r"A worker job was recently stopped .* run the 'Reset' command to clear the vtworker state")
        status = http_get(port, "/status")
        self.assertIn("State: done", status)
        self.assertIn("Reset Job", status)
        self.assertEqual(self.client("Reset")[0], 0)
        blocked = subprocess.Popen([f"{BIN}/vtworkerclient", "-server", f"127.0.0.1:{grpc}", "Block"],
                                   stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        self.eventually(lambda: self.assertIn("Cancel Job", http_get(port, "/status")))
        self.assertIn("A worker job is already in progress", self.client("Ping")[1])
        self.assertIn("worker still executing", self.client("Reset")[1])
        self.assertEqual(self.client("Cancel")[0], 0)
        self.assertIn("command 'Block' was canceled", blocked.communicate(timeout=20)[1])
        self.assertIn("Panic command was called", self.client("Reset")[1] + self.client("Panic")[1])
        for page, text in (("/", "Debugging"), ("/Debugging", "Ping"), ("/Clones", "VerticalSplitClone"),
                           ("/Diffs", "SplitDiff"), ("/Clones/SplitClone", "min_healthy_rdonly_tablets")):
            self.assertIn(text, http_get(port, page), page)

    # --- the horizontal split ---
    def test_3_horizontal_split(self):
        cluster = self.cluster
        # 301, 302
        self.old("ApplyVSchema", "-vschema", SHARDED_VSCHEMA, "customer")
        for shard, uid in (("-80", 300), ("80-", 400)):
            cluster.add_shard("customer", shard, uid, ("replica", "rdonly"))
            self.old("CopySchemaShard", "customer/0", f"customer/{shard}")
        self.old_fails("neither Shard '0' nor Shard '.*' have a 'SourceShards' entry", "MigrateServedTypes", "customer/0",
                       "rdonly")

        # 303: S3-98..S3-103; the worker dies while one tablet is taken, and another begins anew.
        clone = ("SplitClone", "-min_healthy_rdonly_tablets=1", "customer/0")
        self.client("Reset")
        job = subprocess.Popen([f"{BIN}/vtworkerclient", "-server", f"127.0.0.1:{cluster.addresses['vtworker']['grpc']}",
                                clone[0], "-online=false", *SLOW, *clone[1:]], stdout=subprocess.DEVNULL,
                               stderr=subprocess.DEVNULL)
        wait_until(lambda: self.is_drained(201, "customer", "0") or job.poll() is not None, "the tablet to be taken", 30)
        if job.poll() is None:
            cluster.processes["vtworker"].kill(signal.SIGKILL)
            job.wait(30)
        cluster.restart("vtworker")
        self.assert_nothing_is_taken(201, "customer", "0")
        log = self.client_ok(*clone)
        self.assertRegex(log, r"customer: copy done, processed 119 rows")
        self.assert_nothing_is_taken(201, "customer", "0")
        for shard in ("-80", "80-"):
            self.assertRegex(self.shard_record("customer", shard),
                             r'source_shards:\{uid:\d+ keyspace:"customer" shard:"0"\}')
            self.old("WaitForFilteredReplication", "-max_delay=10s", f"customer/{shard}")
            log = self.client_ok("SplitDiff", "-min_healthy_rdonly_tablets=1", f"customer/{shard}")
            self.assertRegex(log, r"Table customer checks out \(\d+ rows processed, \d+ qps\)")
        self.assert_equal_tables(200, 300, 400)
        self.assertEqual([row[0] for row in self.table(300, "customer") if row[0] <= 5], [1, 2, 3, 5])
        self.assertEqual([row[0] for row in self.table(400, "customer") if row[0] <= 5], [4])
        self.assertIn("Destinations:", self.old("ShowResharding", "customer/-80"))

        # 304, 305: S3-104..S3-110
        self.old_fails(r"cannot migrate MASTER away from customer/0 until everything else is migrated. Make sure that the "
                       r"following types are migrated first: REPLICA, RDONLY", "MigrateServedTypes", "customer/0", "master")
        self.old("MigrateServedTypes", "customer/0", "rdonly")
        self.old_fails("migrated already", "CancelResharding", "customer/0")
        for args in (("customer/0", "replica"), ("-reverse", "customer/0", "replica"), ("customer/0", "replica"),
                     ("-reverse_replication", "customer/0", "master")):
            self.old("MigrateServedTypes", *args)
        number = self.writer.acknowledged[-1]
        self.eventually(lambda: self.assertGreater(self.writer.acknowledged[-1], number + 5))
        self.assert_equal_tables(200, 300, 400)  # S3-109: the old shard has what the new ones get.
        for args in (("customer/-80", "rdonly"), ("customer/-80", "replica"), ("-reverse_replication", "customer/-80", "master")):
            self.old("MigrateServedTypes", *args)  # S3-110
        self.assertIn("is_primary_serving:true", self.shard_record("customer", "0"))
        for args in (("customer/0", "rdonly"), ("customer/0", "replica"), ("customer/0", "master")):
            self.old("MigrateServedTypes", *args)
        self.old_fails("neither Shard '0' nor Shard", "MigrateServedTypes", "customer/0", "master")
        for shard, uid in (("-80", 300), ("80-", 400)):
            record = self.shard_record("customer", shard)
            self.assertIn("is_primary_serving:true", record)
            self.assertNotIn("source_shards", record)
            self.assertEqual(cluster.server_rows(cluster.tablets[uid], "select * from _vt.vreplication"), ())  # S2-68
        self.writer.stop()
        self.assertEqual(self.writer.errors, [])
        rows = {row[0] for row in self.table(300, "corder") + self.table(400, "corder")}
        self.assertEqual(set(self.writer.acknowledged) - rows, set())

        # 306, 307
        cluster.stop_shard("customer", "0")
        self.old("DeleteShard", "-recursive", "customer/0")
        self.old("RebuildKeyspaceGraph", "customer")
        self.assertEqual(self.read("customer", "select count(*) from customer")[1].split()[-1], "119")


if __name__ == "__main__":
    main()
