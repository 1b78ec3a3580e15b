"""What keeps statements from a tablet's server: query rules, from a file and from the topology; queues for changes of one row,
limits of callers, reads that are run once for all who wait, and waits that would be in vain.
"""

import contextlib
import json
import os
import threading
import time

import pymysql

from support import ClusterTest, main

from vitrail.processes import http_get, http_json, wait_until

CONNECTIONS = 4  # Of the tablet to its server.
RULES = '[{"Name": "%s", "Description": "%s", "TableNames": ["t"], "Plans": ["%s"], "Action": "FAIL"}]'


class GuardsTest(ClusterTest):
    @classmethod
    def prepare(cls):
        cluster = cls.cluster
        cluster.start_vtctld()
        cls.file = cluster.path("rules.json")
        with open(cls.file, "w", encoding="utf-8") as file:
            file.write("[]")
        cluster.tablet_flags = ("--filecustomrules", cls.file, "--filecustomrules-watch", "--topocustomrule-path", "rules/custom",
                                "--queryserver-config-pool-size", str(CONNECTIONS), "--queryserver-config-query-pool-timeout", "3s",
                                "--enable-hot-row-protection", "--hot-row-protection-max-queue-size", "3",
                                "--hot-row-protection-concurrent-transactions", "1",
                                "--enable-transaction-limit", "--transaction-limit-per-user", "0.5")
        cluster.vtctldclient("CreateKeyspace", "--durability-policy", "none", "commerce")
        cluster.add_shard("commerce", "0", 100, ("replica",))
        cluster.vtctldclient("ApplySchema", "--sql", "create table t(id int primary key, v int); create table u(id int primary key)", "commerce")
        cluster.vtctldclient("ApplyVSchema", "--vschema", '{"tables": {"t": {}, "u": {}}}', "commerce")
        cluster.start_vtgate()

    @property
    def tablet(self):
        return self.cluster.tablets[100]

    def rules(self):
        return http_json(self.tablet.ports["port"], "/debug/query_rules")

    def set_rules(self, text):
        with open(self.file + ".new", "w", encoding="utf-8") as file:
            file.write(text)
        os.replace(self.file + ".new", self.file)

    def assert_ruled_out(self, description, sql):
        with self.assertRaisesRegex(pymysql.MySQLError, "disallowed due to rule: " + description):
            self.rows(sql, "commerce")

    def test_1_rules_of_a_file(self):
        self.assertEqual(self.rules(), [])
        self.rows("select * from t", "commerce")
        self.set_rules(RULES % ("r1", "nobody reads t", "Select"))
        wait_until(self.rules, "the rule to be in force", 10)
        self.assert_ruled_out("nobody reads t", "select v from t where id = 1")
        self.rows("insert into t values (1, 1)", "commerce")
        self.rows("select * from u", "commerce")
        self.assertEqual(set(self.cluster.vars(self.tablet)["QueryRulesRefused"]), {"r1"})
        # What cannot be used changes nothing.
        self.set_rules('[{"Action": "BUFFER"}]')
        wait_until(lambda: "the query rules stay as they were" in self.log(), "the log to say so", 10)
        self.assertEqual([rule["Name"] for rule in self.rules()], ["r1"])
        self.set_rules("")
        wait_until(lambda: not self.rules(), "the rule to be gone", 10)
        self.assertEqual(self.rows("select v from t where id = 1", "commerce"), [(1,)])

    def log(self):
        with open(self.cluster.processes[self.tablet.name].log, encoding="utf-8") as file:
            return file.read()

    def test_2_rules_of_the_topology(self):
        path = self.cluster.path("topo-rules.json")
        with open(path, "w", encoding="utf-8") as file:
            file.write(RULES % ("r2", "t is closed", "Insert"))
        self.ctl(*self.cluster.topo_flags(), "WriteTopologyPath", "rules/custom", path)
        wait_until(self.rules, "the rule to be in force", 10)
        self.assert_ruled_out("t is closed", "insert into t values (2, 2)")
        with open(path, "w", encoding="utf-8") as file:
            file.write("[]")
        self.ctl(*self.cluster.topo_flags(), "WriteTopologyPath", "rules/custom", path)
        wait_until(lambda: not self.rules(), "the rule to be gone", 10)
        self.rows("insert into t values (2, 2)", "commerce")
        self.assertEqual(self.cluster.vars(self.tablet)["QueryRulesRefused"], {"r1": 1, "r2": 1})

    # --- under load ---
    def counter(self, name):
        return self.cluster.vars(self.tablet).get(name, 0)

    def page(self, name):
        return http_get(self.tablet.ports["port"], name)

    @contextlib.contextmanager
    def transaction(self, user, sql="select * from u"):
        """An open one, which holds a connection to the server."""
        with self.cluster.connect("commerce", user=user) as connection, connection.cursor() as cursor:
            cursor.execute("begin")
            cursor.execute(sql)
            yield cursor
            cursor.execute("rollback")

    def beside(self, sql):
        """Runs it beside the test: the thread, and where its rows or its error come."""
        outcome = []

        def run():
            began = time.monotonic()
            try:
                with self.cluster.connect("commerce") as connection, connection.cursor() as cursor:
                    cursor.execute(sql)
                    outcome.append((cursor.fetchall(), None))
            except pymysql.MySQLError as error:
                outcome.append((None, error.args))
            outcome.append(time.monotonic() - began)
        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        return thread, outcome

    def finish(self, started):
        for thread, _ in started:
            thread.join(30)
        return [outcome for _, outcome in started]

    def test_3_changes_of_one_row_wait_without_a_connection(self):
        self.rows("replace into t values (7, 0)", "commerce")
        change = "update t set v = v + 1 where id = 7"
        with self.transaction("a", change):
            began = self.counter("DataPortQueries")
            started = [self.beside(change) for _ in range(3)]  # One in the server, two in the queue.
            wait_until(lambda: self.counter("DataPortQueries") >= began + 3, "all to be under way", 10)
            wait_until(lambda: self.counter("TxSerializerWaits") == {"t": 2}, "two to wait in the queue", 10)
            with self.assertRaisesRegex(pymysql.MySQLError, r"too many queued transactions \(3 >= 3\)"):
                self.rows(change, "commerce")
            self.rows("select * from u", "commerce")
            self.rows("update t set v = 0 where id = 1", "commerce")
        self.assertEqual([outcome[0] for outcome in self.finish(started)], [((), None)] * 3)
        self.assertEqual(self.rows("select v from t where id = 7", "commerce"), [(3,)])
        self.assertIn("t where id = 7", self.page("/debug/hotrows"))
        self.assertEqual(self.counter("TxSerializerQueueExceeded"), {"t": 1})

    def test_4_one_caller_does_not_take_all_connections(self):
        with self.transaction("a"), self.transaction("a"):
            with self.assertRaisesRegex(pymysql.MySQLError, "per-user transaction pool connection limit exceeded: a has 2"), self.transaction("a"):
                pass
            self.assertEqual(self.counter("TransactionLimitOpen"), {"a": 2})
            with self.transaction("b"):
                pass
        with self.transaction("a"):
            pass
        wait_until(lambda: not self.counter("TransactionLimitOpen"), "no transaction to be open", 10)
        self.assertEqual(self.counter("TransactionLimitRefused"), {"a": 1})

    def test_5_equal_reads_that_wait_are_run_once(self):
        sql = "select v, count(*) from t where id < 100 group by v order by v"
        with self.transaction("a"), self.transaction("a"), self.transaction("b"), self.transaction("b"):
            began = self.counter("DataPortQueries")
            started = [self.beside(sql) for _ in range(10)]
            wait_until(lambda: self.counter("DataPortQueries") >= began + 10, "all to be under way", 10)
        expected = tuple(self.rows(sql, "commerce"))
        self.assertEqual([outcome[0] for outcome in self.finish(started)], [(expected, None)] * 10)
        self.assertEqual(self.counter("ConsolidatedReads"), 9)
        self.assertIn("9: select v, count(*) from t", self.page("/debug/consolidations"))
        # What tells moments apart is each one's own.
        with self.transaction("a"), self.transaction("a"), self.transaction("b"), self.transaction("b"):
            began = self.counter("DataPortQueries")
            started = [self.beside("select uuid() from t where id = 7") for _ in range(4)]
            wait_until(lambda: self.counter("DataPortQueries") >= began + 4, "all to be under way", 10)
        self.assertEqual(len({outcome[0][0] for outcome in self.finish(started)}), 4)
        self.assertEqual(self.counter("ConsolidatedReads"), 9)

    def test_6_a_wait_that_would_be_in_vain_is_refused_at_once(self):
        started = []
        with self.transaction("a"), self.transaction("a"), self.transaction("b"), self.transaction("b"):
            def hopeless():
                started.append(self.beside(f"select v from t where id = {len(started)}"))
                return self.counter("DataPortHopelessWaits")
            wait_until(hopeless, "a wait to be refused", 15, .2)
        outcomes = self.finish(started)
        self.assertRegex(outcomes[0][0][1][1], "all 4 connections to the MySQL server are in use")
        self.assertEqual(outcomes[0][0][1][0], 1203)
        refused = [outcome for outcome in outcomes if outcome[0][1] and "would in vain" in outcome[0][1][1]]
        self.assertEqual(refused[0][0][1][0], 1203)
        self.assertLess(refused[0][1], 2)
        self.rows("select v from t where id = 1", "commerce")
        # Those who waited did not wait for a server that had too much to do.
        self.assertEqual(json.loads(self.page("/debug/concurrency")),
                         {"enabled": True, "limit": CONNECTIONS, "connections": CONNECTIONS, "waits": 0, "refused": 0})


if __name__ == "__main__":
    main()
