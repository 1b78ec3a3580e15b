#!/usr/bin/env python3
"""A vertical and a horizontal split by the older commands: CopySchemaShard, vtworker, MigrateServedFrom, MigrateServedTypes, on
a real etcd, with a writer, and with workers that are killed on the way. The steps are those of the walkthrough for Helm
(201-206, 301-308).

VITRAIL_ALL_KILLS=1: workers are killed all along a comparison as well (minutes).
"""

import contextlib
import json
import os
import re
import signal
import subprocess
import threading
import time

import pymysql

from outage import EtcdCluster
from support import BIN, REPOSITORY, ClusterTest, Failure, main

from vitrail.journey import COMMERCE_SCHEMA
from vitrail.processes import http_get, http_json, wait_until

SEQUENCES = {"customer_seq": {"type": "sequence"}, "order_seq": {"type": "sequence"}}
SEQUENCE_SCHEMA = "".join(f"create table {name}(id int, next_id bigint, cache bigint, primary key(id)) comment 'vitess_sequence';"
                          f"insert into {name}(id, next_id, cache) values (0, 1000, 100);" for name in SEQUENCES)
COMMERCE_VSCHEMA = json.dumps({"tables": {"product": {}, "customer": {}, "corder": {}, **SEQUENCES}})
PRODUCT_VSCHEMA = json.dumps({"tables": {"product": {}, **SEQUENCES}})
CUSTOMER_VSCHEMA = json.dumps({"tables": {"customer": {}, "corder": {}}})
SHARDED_VSCHEMA = json.dumps({
    "sharded": True, "vindexes": {"hash": {"type": "hash"}},
    "tables": {name: {"column_vindexes": [{"column": "customer_id", "name": "hash"}], "auto_increment": {"column": column, "sequence": sequence}}
               for name, column, sequence in (("customer", "customer_id", "customer_seq"), ("corder", "order_id", "order_seq"))}})
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
    in_order = True

    @classmethod
    def prepare(cls):
        cluster = cls.cluster
        os.makedirs(cluster.path("logs"), exist_ok=True)
        cluster.start_etcd()
        cluster.start_vtctld()
        cls.old("CreateKeyspace", "commerce")
        cluster.add_shard("commerce", "0", 100, ("replica", "rdonly"))
        cls.old("ApplySchema", "-sql", COMMERCE_SCHEMA, "commerce")
        cls.old("ApplySchema", "-sql", SEQUENCE_SCHEMA, "commerce")  # 301's, which its document would rather have first.
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
        with open(self.cluster.path("logs", "killed-vtworker.log"), "ab") as log:
            process = subprocess.Popen(self.worker_argv(*args), stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        try:
            wait_until(lambda: process.poll() is not None or wait_for(), f"the right moment of {args[0]}", 40)
            self.assertIsNone(process.poll(), f"{args[0]} ended before it could be killed")
        finally:
            process.kill()
            process.wait()

    @contextlib.contextmanager
    def held_table(self, uid, table):
        """Whoever reads this table of the server stands still meanwhile."""
        tablet = self.cluster.tablets[uid]
        with self.cluster.server(tablet, tablet.keyspace) as connection, connection.cursor() as cursor:
            cursor.execute(f"lock tables {table} write")
            yield

    def kill_worker_cleaning_up(self, uid, table, *args):
        """A comparison that is told to end while it reads, and killed while it gives the tablet back: that is stopped so long."""
        port = self.cluster.ports.take()
        tablet = self.cluster.processes[f"vttablet-{uid}"]
        with self.held_table(uid, table), open(self.cluster.path("logs", "killed-vtworker.log"), "ab") as log:
            process = subprocess.Popen(self.worker_argv("--port", str(port), "--bind-address", "127.0.0.1", *args), stdin=subprocess.DEVNULL,
                                       stdout=log, stderr=log)
            try:
                self.wait_for_state(port, "running the diff")
                tablet.kill(signal.SIGSTOP)
                process.terminate()
                self.wait_for_state(port, "cleaning up")
            finally:
                process.kill()
                process.wait()
                tablet.kill(signal.SIGCONT)

    def wait_for_state(self, port, state):
        def reached():
            with contextlib.suppress(OSError):
                return f"State: {state}" in re.sub(r"<[^>]*>|\s+", " ", http_get(port, "/status"))
        wait_until(reached, f"the worker to be {state}", 30)

    def kill_worker_anywhere(self, times, check, *args):
        """`times` workers, each killed a bit later than the one before, up to about the end of the job; check() after each."""
        began = time.monotonic()
        self.worker_ok(*args)
        whole = time.monotonic() - began
        states = []
        for turn in range(times):
            port = self.cluster.ports.take()
            process = subprocess.Popen(self.worker_argv("--port", str(port), "--bind-address", "127.0.0.1", *args), stdin=subprocess.DEVNULL,
                                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            end, state = time.monotonic() + whole * (turn + 1) / times, "not listening yet"
            while time.monotonic() < end and process.poll() is None:
                with contextlib.suppress(OSError):
                    state = re.sub(r"<[^>]*>|\s+", " ", http_get(port, "/status"))
            states.append("had ended" if process.poll() is not None else state)
            process.kill()
            process.wait()
            check()
        for state in states:
            print("killed:", (re.findall(r"State:\s+(.{,60})", state) or [state[:80]])[0])

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

    def state_of(self, uid):
        return http_json(self.cluster.tablets[uid].ports["port"], "/debug/vars")["TabletStateName"]

    def is_drained(self, uid, keyspace, shard):
        return self.types(keyspace, shard)[uid] == "drained"

    def replicates(self, uid):
        with self.cluster.server(self.cluster.tablets[uid]) as connection, \
                connection.cursor(pymysql.cursors.DictCursor) as cursor:
            cursor.execute("show slave status")
            status = cursor.fetchone()
        return (status["Slave_IO_Running"], status["Slave_SQL_Running"]) == ("Yes", "Yes")

    def holds_snapshot(self, uid):
        """Transactions that stay open on its server, of connections that do nothing."""
        time.sleep(0.15)  # The server fills that table anew only when nobody has looked at it for 0.1 s.
        tablet = self.cluster.tablets[uid]
        open_ones = {row[0] for row in self.cluster.server_rows(tablet, "select trx_mysql_thread_id from information_schema.innodb_trx")}
        idle = {row[0] for row in self.cluster.server_rows(tablet, "select id from information_schema.processlist where command = 'Sleep' and time > 0")}
        return bool(open_ones & idle)

    def assert_nothing_is_taken(self, uid, keyspace, shard, kind="rdonly"):
        """S2-56, S3-39, S3-44: the tablet serves and replicates again, and no claim is left."""
        def check():
            self.assertEqual(self.types(keyspace, shard)[uid], kind)
            self.assertTrue(self.replicates(uid))
            self.assertNotIn("drain_reason", self.old("GetTablet", f"zone1-{uid}"))
            self.assertEqual(self.children("/global/workers"), [])
        self.eventually(check, 40)

    def table(self, uid, table, columns="*"):
        return self.cluster.server_rows(self.cluster.tablets[uid], f"select {columns} from {table} order by 1")

    def assert_equal_tables(self, source, *targets):
        """While the writer inserts: what the source had comes, each row once, and none that it has not."""
        for table in ("customer", "corder"):
            before = set(self.table(source, table))

            def check(name=table, had=before):
                there = [row for uid in targets for row in self.table(uid, name)]
                self.assertEqual(len(there), len(set(there)), name)
                self.assertEqual((had - set(there), set(there) - set(self.table(source, name))), (set(), set()), name)
            self.eventually(check)

    def read(self, database, sql):
        return self.mysql_client(f"use {database};\n{sql};\n")

    # --- the worker as a server ---
    def test_0_one_job_at_a_time(self):
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
        # Once more killed, while a snapshot is held: nothing is out of service meanwhile.
        self.kill_worker(lambda: self.holds_snapshot(101), "VerticalSplitClone", "-online=false", "-use_consistent_snapshot", *SLOW, *clone)
        self.assertEqual((self.types("commerce", "0")[101], self.replicates(101)), ("rdonly", True))
        self.eventually(lambda: self.assertFalse(self.holds_snapshot(101)))
        log = self.worker_ok("VerticalSplitClone", "-use_consistent_snapshot", *clone)
        self.assertRegex(log, r"customer: copy done, processed 119 rows")
        self.assertRegex(log, r"Using tablet zone1-0000000101 as source for commerce/0: a consistent snapshot at [-\d]+\. It goes on")
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
        with self.subTest("killed while it compares"):
            with self.held_table(201, "customer"):
                self.kill_worker(lambda: self.is_drained(201, "customer", "0"), *diff)
            self.assert_nothing_is_taken(201, "customer", "0")
            self.assert_nothing_is_taken(101, "commerce", "0")
        with self.subTest("killed while it gives back what it took"):
            self.kill_worker_cleaning_up(201, "customer", *diff)
            self.assert_nothing_is_taken(201, "customer", "0")
            self.assert_nothing_is_taken(101, "commerce", "0")
        if os.environ.get("VITRAIL_ALL_KILLS"):
            self.kill_worker_anywhere(12, lambda: (self.assert_nothing_is_taken(201, "customer", "0"),
                                                   self.assert_nothing_is_taken(101, "commerce", "0")), *diff)
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
                              r"= disallowed due to rule: enforce blacklisted tables \(CallerID: userData1\)$")  # S3-53

        # 206
        self.old("ApplySchema", "-sql", "drop table customer; drop table corder", "commerce")
        for kind in ("rdonly", "replica", "master"):
            self.old("SetShardTabletControl", "-blacklisted_tables=customer,corder", "-remove", "commerce/0", kind)
        self.assertNotIn("tablet_controls", self.shard_record("commerce", "0"))
        def gone():  # As soon as vtgate knows that the table is.
            code, _, err = self.read("commerce/0", "select * from customer")
            self.assertEqual(code, 1)
            self.assertRegex(err, r"(?m)^ERROR 1105 \(HY000\) at line 2: vtgate: http://[^/]+:\d+/: target: commerce\.0\.master, used "
                                  r"tablet: zone1-0000000100 \(127\.0\.0\.1\), vttablet: rpc error: code = InvalidArgument desc "
                                  r"= table customer not found in schema \(CallerID: userData1\)$")
        self.eventually(gone)  # S3-62

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
        # By a tablet that serves replicas: it is one again afterwards.
        self.old("ChangeSlaveType", "zone1-201", "replica")
        self.client("Reset")
        self.assertRegex(self.client(*clone)[1], r"not enough healthy RDONLY tablets to choose from in \(zone1,customer/0\), have 0 healthy ones, need at least 1")
        log = self.client_ok(clone[0], "-tablet_type=REPLICA", *clone[1:])
        self.assertRegex(log, r"customer: copy done, processed 119 rows")
        self.assertRegex(log, r"Using tablet zone1-0000000201 as source for customer/0; its replication is stopped")
        self.assert_nothing_is_taken(201, "customer", "0", "replica")
        self.old("ChangeSlaveType", "zone1-201", "rdonly")
        self.old("ChangeSlaveType", "zone1-401", "replica")
        self.old("WaitForFilteredReplication", "-max_delay=10s", "customer/80-")
        log = self.client_ok("SplitDiff", "-min_healthy_rdonly_tablets=1", "-dest_tablet_type=REPLICA", "customer/80-")
        self.assertRegex(log, r"Table customer checks out \(\d+ rows processed, \d+ qps\)")
        self.assert_nothing_is_taken(401, "customer", "80-", "replica")
        self.old("ChangeSlaveType", "zone1-401", "rdonly")
        for shard in ("-80", "80-"):
            self.assertRegex(self.shard_record("customer", shard),
                             r'source_shards:\{uid:\d+ keyspace:"customer" shard:"0"\}')
            self.old("WaitForFilteredReplication", "-max_delay=10s", f"customer/{shard}")
            log = self.client_ok("SplitDiff", "-min_healthy_rdonly_tablets=1", f"customer/{shard}")
            self.assertRegex(log, r"Table customer checks out \(\d+ rows processed, \d+ qps\)")
        log = self.client_ok("MultiSplitDiff", "-min_healthy_rdonly_tablets=1", "-exclude_tables=/^co.*/", "-skip-verify",
                             "-parallel_diffs_count=1", "customer/0")
        self.assertEqual([log.count(words) for words in ("Table customer checks out", "Table corder", "Schema match")], [2, 0, 0])
        self.assert_equal_tables(200, 300, 400)
        self.assertEqual([row[0] for row in self.table(300, "customer") if row[0] <= 5], [1, 2, 3, 5])
        self.assertEqual([row[0] for row in self.table(400, "customer") if row[0] <= 5], [4])
        self.assertIn("Destinations:", self.old("ShowResharding", "customer/-80"))

        # 304, 305: S3-104..S3-110
        self.old_fails(r"cannot migrate MASTER away from customer/0 until everything else is migrated. Make sure that the "
                       r"following types are migrated first: REPLICA, RDONLY", "MigrateServedTypes", "customer/0", "master")
        self.old("MigrateServedTypes", "-skip-refresh-state", "customer/0", "rdonly")
        self.assertEqual(self.state_of(201), "SERVING")  # It has not been told.
        self.old("RefreshStateByShard", "customer/0")
        self.eventually(lambda: self.assertEqual(self.state_of(201), "NOT_SERVING"))
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
        rows = {row[0] for row in self.table(300, "corder") + self.table(400, "corder")}
        self.assertEqual(set(self.writer.acknowledged[:-5]) - rows, set())

        # 306, 307
        cluster.stop_shard("customer", "0")
        self.old("DeleteShard", "-recursive", "customer/0")
        self.old("RebuildKeyspaceGraph", "customer")
        self.assertEqual(self.read("customer", "select count(*) from customer")[1].split()[-1], "119")
        # S3-128: of the sequences that were made before anything was split.
        with cluster.connect("customer") as connection, connection.cursor() as cursor:
            cursor.execute("insert into customer(email) values ('of a sequence')")
            self.assertGreaterEqual(cursor.lastrowid, 1000)
            cursor.execute("delete from customer where customer_id = %s", (cursor.lastrowid,))

    # --- and back into one ---
    def test_4_merge(self):
        """S3-103, S2-25: two source shards, one destination, with the writer; nothing is out of service for the copy."""
        cluster = self.cluster
        cluster.add_shard("customer", "-", 500, ("replica", "rdonly"))
        self.old("CopySchemaShard", "customer/-80", "customer/-")
        log = self.client_ok("SplitClone", "-min_healthy_rdonly_tablets=1", "-use_consistent_snapshot", "-source_reader_count=2",
                             "-chunk_count=100", "-min_rows_per_chunk=1", "-write_query_max_size=1000", "-max_replication_lag=30", "customer/-")
        self.assertGreater(int(re.search(r"Online clone finished after [\d.]+s, read in (\d+) pieces", log)[1]), 10)
        self.assertRegex(log, r"customer: copy done, processed 119 rows")
        for uid in (301, 401):
            self.assertRegex(log, rf"Using tablet zone1-0000000{uid} as source .*: a consistent snapshot")
        self.old("WaitForFilteredReplication", "-max_delay=10s", "customer/-")
        code, text = self.client("Reset")
        code, text = self.client("SplitDiff", "-min_healthy_rdonly_tablets=1", "customer/-")
        self.assertEqual((code, "has 2 source shards: say which one with -source_uid" in text), (1, True), text)
        uids = re.findall(r"uid:(\d+)", self.shard_record("customer", "-"))
        source_uids = [uid for uid in uids if f"uid:{uid} keyspace" in self.shard_record("customer", "-")]
        self.assertEqual(len(source_uids), 2)
        for uid in source_uids:
            log = self.client_ok("SplitDiff", "-min_healthy_rdonly_tablets=1", f"-source_uid={uid}", "customer/-")
            self.assertRegex(log, r"Table corder checks out \(\d+ rows processed, \d+ qps\)")
        for kind in ("rdonly", "replica", "master"):
            self.old("MigrateServedTypes", "customer/-", kind)
        number = self.writer.acknowledged[-1]
        self.eventually(lambda: self.assertGreater(self.writer.acknowledged[-1], number + 5))
        self.writer.stop()
        self.assertEqual(self.writer.errors, [])
        self.assertEqual(set(self.writer.acknowledged) - {row[0] for row in self.table(500, "corder")}, set())
        self.assertEqual(len(self.table(500, "customer")), 119)
        self.assertIn("is_primary_serving:true", self.shard_record("customer", "-"))
        self.assertEqual(cluster.server_rows(cluster.tablets[500], "select * from _vt.vreplication"), ())


if __name__ == "__main__":
    main()
