#!/usr/bin/env python3
"""vtcombo: a whole cluster in one process. Nothing of it outlives it, however it ends; what is to stay, stays."""

import collections
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import unittest

import pymysql

from support import BIN, SLOWNESS, Failure, http_get, main, wait_until

SCHEMA = {
    "commerce/vschema.json": '{"tables": {"product": {}, "customer_seq": {"type": "sequence"}}}',
    "commerce/tables.sql": """
        create table product(sku varchar(64) primary key, price bigint);
        create table customer_seq(id int, next_id bigint, cache bigint, primary key(id)) comment 'vitess_sequence';
        insert into customer_seq(id, next_id, cache) values (0, 1, 100);""",
    "customer/vschema.json": json.dumps({
        "sharded": True, "vindexes": {"hash": {"type": "hash"}},
        "tables": {"customer": {"column_vindexes": [{"column": "customer_id", "name": "hash"}],
                                "auto_increment": {"column": "customer_id", "sequence": "commerce.customer_seq"}}}}),
    "customer/1.sql": "create table customer(customer_id bigint primary key, email varchar(128));",
    "customer/2.sql": "insert into customer(email) values ('a'), ('b'), ('c'), ('d');",
}


def processes_with(text):
    """Process ids whose arguments have it."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as file:
                if text.encode() in file.read():
                    found.append(int(pid))
        except OSError:
            pass
    return found


def threads_of(pid):
    """What its threads wait for in the kernel: how many of each name."""
    found = collections.Counter()
    for task in os.listdir(f"/proc/{pid}/task"):
        try:
            with open(f"/proc/{pid}/task/{task}/comm", encoding="utf-8") as name, open(f"/proc/{pid}/task/{task}/wchan", encoding="utf-8") as where:
                found[f"{name.read().strip()} {where.read()}"] += 1
        except OSError:
            pass
    return "\n".join(f"{count} {what}" for what, count in sorted(found.items()))


class Combo(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="vitrail-combo-")
        self.addCleanup(folder.cleanup)
        self.root = folder.name
        self.data = os.path.join(self.root, "data")
        self.process = None
        self.addCleanup(self.end)

    def tearDown(self):
        if not self._outcome.success:
            print(f"--- the end of vtcombo's log\n{self.log()}", file=sys.stderr)
            if self.process is not None and self.process.poll() is None:
                print(f"--- its threads\n{threads_of(self.process.pid)}", file=sys.stderr)

    def log(self):
        with open(os.path.join(self.root, "log"), encoding="utf-8", errors="replace") as file:
            return file.read()[-3000:]

    def end(self):
        if self.process is not None and self.process.poll() is None:
            self.stop(signal.SIGKILL)

    def write(self, files):
        for name, text in files.items():
            path = os.path.join(self.root, "schema", name)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "w", encoding="utf-8") as file:
                file.write(text)

    def start(self, *flags):
        """Starts it, and returns its ports."""
        with open(os.path.join(self.root, "log"), "ab") as log:
            self.process = subprocess.Popen([f"{BIN}/vtcombo", "--data-dir", self.data, *flags], stdin=subprocess.DEVNULL,
                                            stdout=subprocess.PIPE, stderr=log, text=True)
        self.addCleanup(self.process.stdout.close)
        if not select.select([self.process.stdout], [], [], 90 * SLOWNESS)[0]:
            self.fail("vtcombo neither said its ports nor ended within 90 s")
        line = self.process.stdout.readline()
        if not line:
            self.process.wait(60 * SLOWNESS)
            raise Failure(self.log())
        return json.loads(line)

    def stop(self, how=signal.SIGTERM):
        self.process.send_signal(how)
        self.process.wait(60 * SLOWNESS)
        wait_until(lambda: not processes_with(self.data), "everything of it to be gone", 60)
        return self.process.returncode

    def rows(self, ports, sql, database="customer"):
        with pymysql.connect(host="127.0.0.1", port=ports["mysql_port"], user="any", database=database, autocommit=True) as connection, \
                connection.cursor() as cursor:
            cursor.execute(sql)
            return cursor.fetchall()

    def test_1_keeps_its_data_and_leaves_nothing_running(self):
        self.write(SCHEMA)
        flags = ("--keyspaces", "commerce,customer", "--num-shards", "1,2", "--schema-dir", os.path.join(self.root, "schema"), "--persistent-mode")
        ports = self.start(*flags)
        self.assertEqual(self.rows(ports, "select customer_id, email from customer order by 1"), ((1, "a"), (2, "b"), (3, "c"), (4, "d")))
        self.assertEqual({row[0] for row in self.rows(ports, "show vitess_shards")}, {"commerce/0", "customer/-80", "customer/80-"})
        said = subprocess.run([f"{BIN}/vtctldclient", "--server", f"127.0.0.1:{ports['vtctld_grpc_port']}", "GetTablets"],
                              capture_output=True, text=True, check=True, timeout=60).stdout
        self.assertEqual(said.count(" primary "), 3, said)
        self.assertIn("product", http_get(ports["port"], "/debug/vschema"))
        self.rows(ports, "insert into customer(email) values ('e')")
        # The servers do not outlive it, and what was acknowledged is there the next time; the schema is not loaded again.
        self.stop(signal.SIGKILL)
        ports = self.start(*flags)
        self.assertEqual([row[0] for row in self.rows(ports, "select email from customer order by 1")], ["a", "b", "c", "d", "e"])
        self.rows(ports, "insert into customer(email) values ('f')")
        self.assertEqual(self.rows(ports, "select count(distinct customer_id) from customer"), ((6,),))
        self.assertEqual(self.stop(), 0)
        self.assertTrue(os.path.exists(self.data))

    def test_2_replicas_and_nothing_left(self):
        ports = self.start("--replica-count", "2")
        self.rows(ports, "create table t(id int primary key)", "test_keyspace")
        self.rows(ports, "insert into t values (1)", "test_keyspace")

        def replicated():
            try:
                return self.rows(ports, "select id from t", "test_keyspace@replica") == ((1,),)
            except pymysql.MySQLError:
                return False
        wait_until(replicated, "the replica to have the row", 30)
        self.assertEqual(self.stop(), 0)
        self.assertFalse(os.path.exists(self.data))

    def test_3_says_what_is_wrong(self):
        self.write({"test_keyspace/t.sql": "create table t(id int primary key);\ninsert into nothing values (1)"})
        folder = os.path.join(self.root, "schema")
        with self.assertRaisesRegex(Failure, r"t\.sql: insert into nothing values \(1\).*nothing"):
            self.start("--schema-dir", folder)
        wait_until(lambda: not processes_with(self.data), "everything of it to be gone", 60)
        self.assertFalse(os.path.exists(self.data))
        with self.assertRaisesRegex(Failure, "test_keyspace is no keyspace"):
            self.start("--schema-dir", folder, "--keyspaces", "other")
        with self.assertRaisesRegex(Failure, "--persistent-mode needs a --data-dir"):
            self.start("--data-dir", "", "--persistent-mode")


if __name__ == "__main__":
    main()
