"""The contract of test harnesses of this family: every program with exactly the flags that they give, in their order, in any
spelling of the names, and exactly the pages and keys that they read.
"""

import json
import os
import random
import re
import signal
import subprocess
import sys
import threading
import urllib.error
import urllib.request

import pymysql

from support import BIN, Cluster, ClusterTest, main

from vitrail.cluster import SMALL_SERVER, Tablet
from vitrail.processes import http_get, http_json, wait_until

PROGRAMS = ("vtgate", "vttablet", "vtctld", "vtctldclient", "mysqlctl")
SERVICES = "grpc-tabletmanager,grpc-throttler,grpc-queryservice,grpc-updatestream,grpc-vtctl,grpc-vtgateservice"
SCHEMA = "create table t (id bigint primary key, v varchar(20))"
VSCHEMA = json.dumps({"tables": {"t": {}}})
# What single suites add to their tablets and vtgates.
TABLET_EXTRAS = ["--restore_from_backup", "--queryserver-config-max-result-size", "1000", "--queryserver-config-terse-errors",
                 "--twopc_abandon_age", "3600", "--queryserver-config-passthrough-dmls", "--watch_replication_stream",
                 "--track_schema_versions=true", "--queryserver-enable-online-ddl=false", "--heartbeat_enable",
                 "--heartbeat_interval", "200ms", "--queryserver-config-schema-change-signal=true",
                 "--queryserver-config-transaction-timeout", "30", "--queryserver-config-query-timeout", "90"]
GATE_EXTRAS = ["--enable-views", "--vtgate-config-terse-errors", "--lock_heartbeat_time", "5s", "--mysql_server_query_timeout",
               "60s", "--warn_sharded_only=true", "--schema_change_signal", "--buffer-min-time-between-failovers", "1s",
               "--legacy_replication_lag_algorithm=false", "--query-timeout", "20000"]
SIDECAR = "__vt_e2e-test"
CONNECTIONS = {"ks.0.primary": 1, "ks.0.replica": 1, "side.0.primary": 1, "alone.0.primary": 1}


class HarnessCluster(Cluster):
    """Starts what a harness starts, as it does."""

    def __init__(self, root):
        super().__init__(root)
        seed = int(os.environ.get("VITRAIL_TEST_SEED", "20261127"))
        print(f"VITRAIL_TEST_SEED={seed}", file=sys.stderr)
        self.random = random.Random(seed)

    def mixed(self, argv):
        """'_' and '-' in the names of flags, at random."""
        def spell(word):
            name, equals, value = str(word).partition("=")
            if not name.startswith("--"):
                return str(word)
            return "--" + "".join(self.random.choice("-_") if c in "-_" else c for c in name[2:]) + equals + value
        return [spell(word) for word in argv]

    def topo(self):
        return ["--topo_implementation", "sqlite", "--topo_global_server_address", self.path("topo", "topo.db"),
                "--topo_global_root", "/vitess/global"]

    def start_vtctld(self):
        for folder in ("topo", "logs", "backups", "sockets"):
            os.makedirs(self.path(folder), exist_ok=True)
        with open(self.path("small.cnf"), "w", encoding="utf-8") as file:
            file.write(SMALL_SERVER)
        port, grpc = self.ports.take(), self.ports.take()
        self.addresses["vtctld"] = {"port": port, "grpc": grpc}
        self.start("vtctld", [f"{BIN}/vtctld", *self.mixed([
            *self.topo(), "--cell", self.cell, "--service_map", "grpc-vtctl,grpc-vtctld",
            "--backup_storage_implementation", "file", "--file-backup-storage-root", self.path("backups"),
            "--port", port, "--grpc_port", grpc, "--bind-address", "127.0.0.1", "--grpc_bind_address", "127.0.0.1",
            "--log-format", "text", "--remote-operation-timeout", "600s"])],
                   lambda: http_get(port, "/debug/vars"))
        # The first cell is made without a server.
        self.client("internal", "AddCellInfo", "--root", f"/{self.cell}", "--server-address", self.path("topo", "topo.db"),
                    self.cell)

    def client(self, server, *args):
        """What vtctldclient prints, both streams together, as harnesses read it."""
        argv = self.mixed(["--topo-implementation", "sqlite", "--topo-global-server-address", self.path("topo", "topo.db"),
                           "--topo-global-root", "/vitess/global", "--server", server])
        done = subprocess.run([f"{BIN}/vtctldclient", *argv, *map(str, args)], stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, timeout=120, check=False)
        assert done.returncode == 0, f"vtctldclient {args}: {done.stdout}"
        return done.stdout

    def vtctldclient(self, *args, timeout=600):
        return self.client(f"127.0.0.1:{self.addresses['vtctld']['grpc']}", *args)

    def mysqlctl(self, tablet, *args):
        argv = self.mixed(["--tablet_uid", tablet.uid, "--mysql_port", tablet.ports["mysqld"], "--log-format", "text", *args])
        done = subprocess.run([f"{BIN}/mysqlctl", *argv], capture_output=True, text=True, timeout=120, check=False,
                              env={**os.environ, **self.environment()})
        assert done.returncode == 0, done.stderr + done.stdout

    def start_tablet(self, tablet):
        ports = tablet.ports
        self.addresses[tablet.name] = {"port": ports["port"], "grpc": ports["grpc"]}
        self.start(tablet.name, [f"{BIN}/vttablet", *self.mixed([
            *self.topo(), "--log_queries_to_file", self.path("logs", f"{tablet.name}-queries"),
            "--tablet-path", tablet.alias, "--port", ports["port"], "--grpc_port", ports["grpc"],
            "--init_shard", tablet.shard, "--log-format", "text", "--tablet_hostname", "localhost",
            "--init_keyspace", tablet.keyspace, "--init_tablet_type", tablet.kind, "--health_check_interval", "5s",
            "--enable_replication_reporter", "--backup_storage_implementation", "file",
            "--file-backup-storage-root", self.path("backups"),
            "--service_map", "grpc-queryservice,grpc-tabletmanager,grpc-updatestream,grpc-throttler",
            "--db_charset", "utf8mb4", "--bind-address", "127.0.0.1", "--grpc_bind_address", "127.0.0.1", *TABLET_EXTRAS])],
                   lambda: http_json(ports["port"], "/debug/vars")["TabletStateName"] in ("SERVING", "NOT_SERVING"))

    def start_vtgate(self, *extra):
        port, grpc, mysql = self.ports.take(), self.ports.take(), self.ports.take()
        self.addresses["vtgate"] = {"port": port, "grpc": grpc, "mysql": mysql}
        self.config = self.path(f"vtgate-config-{port}.json")
        self.write_config({"transaction_mode": "MULTI", "discovery_low_replication_lag": "30s",
                           "discovery_legacy_replication_lag_algorithm": ""})
        self.start("vtgate", [f"{BIN}/vtgate", *self.mixed([
            *self.topo(), "--config-file", self.config, "--log_queries_to_file", self.path("logs", "vtgate-queries"),
            "--port", port, "--grpc_port", grpc, "--mysql_server_port", mysql,
            "--mysql_server_socket_path", self.path("sockets", "mysql.sock"), "--cell", self.cell,
            "--cells_to_watch", self.cell, "--tablet_types_to_wait", "PRIMARY", "--service_map", SERVICES,
            "--mysql_auth_server_impl", "none", "--bind-address", "127.0.0.1", "--grpc_bind_address", "127.0.0.1",
            "--log-format", "text", "--mysql_server_version", "8.4.3-vitess", "--planner-version", "gen4",
            "--enable_system_settings", *GATE_EXTRAS])],
                   lambda: http_get(port, "/debug/vars"))

    def write_config(self, values):
        with open(self.config + ".new", "w", encoding="utf-8") as file:
            json.dump(values, file)
        os.replace(self.config + ".new", self.config)


class HarnessTest(ClusterTest):
    cluster_class = HarnessCluster

    @classmethod
    def prepare(cls):
        cluster = cls.cluster
        cluster.start_vtctld()
        cluster.vtctldclient("CreateKeyspace", "ks", "--sidecar-db-name", "_vt", "--durability-policy", "none")
        tablets = cluster.add_shard("ks", "0", 100, ("replica", "replica"))
        assert [cluster.vars(t)["TabletType"] for t in tablets] == ["primary", "replica"]
        cluster.vtctldclient("ApplySchema", "--sql", SCHEMA, "--ddl-strategy", "direct -allow-zero-in-date", "ks")
        cluster.vtctldclient("ApplyVSchema", "--vschema", VSCHEMA, "ks")
        cluster.vtctldclient("CreateKeyspace", "side", "--sidecar-db-name", SIDECAR)
        cls.side, = cluster.add_shard("side", "0", 200, ("replica",))
        cls.alone, = cluster.add_shard("alone", "0", 300, ("replica",))  # Nobody creates that keyspace, nor its vschema.
        cluster.start_vtgate()
        cls.tablets = tablets
        wait_until(lambda: cls.gate("HealthcheckConnections") == CONNECTIONS, "vtgate to see all tablets")

    @classmethod
    def gate(cls, key):
        return http_json(cls.cluster.addresses["vtgate"]["port"], "/debug/vars")[key]

    def port_of(self, program):
        return self.cluster.addresses[program]["port"]

    # --- command lines ---
    def test_versions(self):
        for program in PROGRAMS:
            code, output = self.run_program([f"{BIN}/{program}", "--version"])
            self.assertEqual(code, 0, output)
            self.assertRegex(output, r"Version: 24\.(\d+)\.(\d+)")

    def test_unknown_flags_are_refused_with_the_nearest_name(self):
        for program, flag, nearest in (("vtgate", "--mysql-server-prot=1", "mysql_server_port"),
                                       ("vttablet", "--init_keyspaces=x", "init_keyspace"),
                                       ("vtctld", "--grpc_prot=1", "grpc_port"),
                                       ("vtctldclient", "--sever=x", "server"),
                                       ("mysqlctl", "--tablet_uuid=1", "tablet_uid")):
            with self.subTest(program=program):
                code, output = self.run_program([f"{BIN}/{program}", flag])
                self.assertNotEqual(code, 0)
                self.assertIn(f"unknown flag: {flag.partition('=')[0]} (did you mean --{nearest}?)", output)

    def test_flags_that_ask_for_what_is_not_there_are_refused_by_name(self):
        for program, flag, why in (("vttablet", "--db_charset=latin1", "utf8mb4"),
                                   ("vttablet", "--queryserver_enable_online_ddl=true", "online DDL is not offered yet"),
                                   ("vttablet", "--queryserver-config-passthrough-dmls=false", "go to the server as they are"),
                                   ("vtgate", "--min_number_serving_vttablets=x", "invalid value"),
                                   ("vtgate", "--tracer=opentracing-jaeger", "traces are not recorded"),
                                   ("vtgate", "--transaction_mode=THREE", "SINGLE, MULTI, TWOPC"),
                                   ("vtctld", "--security-policy=deny-all", "no roles"),
                                   ("vtctld", "--backup-storage-implementation=gcs", "file"),
                                   ("mysqlctl", "--mysql-socket=/tmp/x", "mysql.sock")):
            with self.subTest(flag=flag):
                code, output = self.run_program([f"{BIN}/{program}", flag])
                self.assertNotEqual(code, 0)
                self.assertIn(f"{flag.partition('=')[0]}: invalid value", output)
                self.assertIn(why, output)

    def test_missing_config_file(self):
        missing = self.cluster.path("missing.json")
        for handling in ("error", "exit"):
            code, output = self.run_program([f"{BIN}/vtctld", "--config-file", missing,
                                             "--config-file-not-found-handling", handling])
            self.assertNotEqual(code, 0)
            self.assertIn("missing.json", output)
        code, output = self.run_program([f"{BIN}/vtctld", "--config-file-not-found-handling", "other"])
        self.assertIn("expected one of error, exit, ignore, warn", output)

    def test_a_backup_that_cannot_be_read_is_not_passed_over(self):
        """--restore_from_backup does nothing where there is no backup; a new server beside a damaged one does not start."""
        backup = self.cluster.path("backups", "side", "0", "2026-01-02.150405.zone1-0000000200")
        os.makedirs(backup)
        with open(os.path.join(backup, "MANIFEST"), "w", encoding="utf-8") as file:
            file.write("{}")
        socket = self.cluster.path(f"vt_{self.side.uid:010d}", "mysql.sock")
        flags = ["--tablet-path", "zone1-250", "--init_shard", "0", "--init_tablet_type", "replica", "--restore_from_backup",
                 "--file-backup-storage-root", self.cluster.path("backups"), "--db_socket", socket,
                 "--init_db_name_override", "not_there", "--init_timeout", "10s", "--bind-address", "127.0.0.1"]
        code, output = self.run_program([f"{BIN}/vttablet", *self.cluster.topo(), "--init_keyspace", "side", *flags])
        self.assertNotEqual(code, 0)
        self.assertIn("the MANIFEST is damaged", output)

    # --- what the extras do ---
    def test_results_have_a_limit(self):
        numbers = " union all select ".join(str(i) for i in range(40))
        cross = "select a.n from (select 0 as n union all select {0}) as a, (select 0 as n union all select {0}) as b"
        large = cross.format(numbers) + " limit {}"
        self.assertEqual(len(self.rows(large.format(1000), "ks")), 1000)
        for limit in (1001, 1600):
            self.assert_sql_refused((10001,), "errno 10001|Row count exceeded 1000", large.format(limit), "ks")
        with self.cluster.connect("ks") as connection, connection.cursor() as cursor:
            cursor.execute("begin")
            cursor.execute("insert into t(id, v) values (4711, 'kept')")
            with self.assertRaises(pymysql.MySQLError):
                cursor.execute(large.format(1600))
            cursor.execute("select v from t where id = 4711")  # The transaction is open all the same.
            self.assertEqual(cursor.fetchall(), (("kept",),))
            cursor.execute("rollback")

    def test_errors_tell_no_values(self):
        self.rows("replace into t(id, v) values (77, 'x')", "ks")
        with self.assertRaises(pymysql.MySQLError) as caught:
            self.rows("insert into t(id, v) values (77, 'secret')", "ks")
        self.assertEqual(caught.exception.args[0], 1062)
        self.assertNotIn("77", caught.exception.args[1])

    def test_heartbeats_are_written_and_read(self):
        def grows(tablet, counter):
            before = self.cluster.vars(tablet)[counter]
            self.eventually(lambda: self.assertGreater(self.cluster.vars(tablet)[counter], before))
        for tablet in self.tablets:
            primary = self.cluster.vars(tablet)["TabletType"] == "primary"
            grows(tablet, "HeartbeatWrites" if primary else "HeartbeatReads")
        rows = self.cluster.server_rows(self.tablets[0], "select keyspaceShard, tabletUid in (100, 101) from heartbeat", "_vt")
        self.assertEqual(rows, (("ks:0", 1) if isinstance(rows[0][0], str) else (b"ks:0", 1),))

    def test_the_sidecar_has_the_name_that_the_keyspace_gives_it(self):
        names = [row[0] for row in self.cluster.server_rows(self.side, "show databases", "mysql")]
        self.assertIn(SIDECAR, names)
        self.assertNotIn("_vt", names)
        tables = [row[0] for row in self.cluster.server_rows(self.side, "show tables", SIDECAR)]
        for table in ("vreplication", "copy_state", "vdiff", "resharding_journal", "reparent_journal", "heartbeat"):
            self.assertIn(table, tables)
        # Statements of operators call it _vt, as everywhere.
        shown = self.ctl("ExecuteFetchAsDBA", "zone1-200", "select count(*) > 0 as journal from _vt.reparent_journal")
        self.assertIn("| 1 ", shown)

    def test_a_stream_works_in_a_sidecar_of_another_name(self):
        self.ctl("ApplySchema", "--sql", "create table moved (id bigint primary key, v varchar(20))", "alone")
        self.rows("insert into moved(id, v) values (1, '_vt.vreplication'), (2, 'b')", "alone")
        move = ["MoveTables", "--workflow", "home", "--target-keyspace", "side"]
        self.ctl(*move, "create", "--source-keyspace", "alone", "--tables", "moved")
        self.eventually(lambda: self.assertIn("Status: Running", self.ctl(*move, "status")))
        self.ctl("VDiff", "--workflow", "home", "--target-keyspace", "side", "create", "--wait")
        self.ctl(*move, "switchtraffic")
        self.assertEqual(self.rows("select * from moved order by id", "side"), [(1, "_vt.vreplication"), (2, "b")])
        journal = self.cluster.server_rows(self.alone, "select count(*) from resharding_journal", "_vt")
        self.assertEqual(journal, ((1,),))
        self.ctl(*move, "complete")

    def test_a_keyspace_needs_no_vschema(self):
        self.assertIn(("alone",), self.rows("show databases"))
        self.ctl("ApplySchema", "--sql", "create table plain (id int primary key)", "alone")
        self.rows("insert into plain(id) values (1)", "alone")
        self.assertEqual(self.rows("select * from plain", "alone"), [(1,)])

    def test_use_takes_a_type_without_quotes(self):
        with self.cluster.connect("ks") as connection, connection.cursor() as cursor:
            for target in ("ks@replica", "@replica", "ks@rdonly"):
                cursor.execute("use " + target)
                with self.assertRaisesRegex(pymysql.MySQLError, "VT09002"):
                    cursor.execute("replace into ks.t(id, v) values (5, 'x')")
            cursor.execute("use ks:0")
            cursor.execute("replace into t(id, v) values (5, 'x')")

    # --- vtgate ---
    def test_config_is_followed_live(self):
        def shown():
            return http_get(self.port_of("vtgate"), "/debug/config")
        self.assertIn('"transaction_mode":"MULTI"', shown())
        self.cluster.write_config({"transaction_mode": "SINGLE", "discovery_low_replication_lag": "17s",
                                   "discovery_high_replication_lag": "1h", "discovery_min_number_serving_vttablets": 1,
                                   "discovery_legacy_replication_lag_algorithm": False})
        wait_until(lambda: '"transaction_mode":"SINGLE"' in shown(), "the config file to be read again", 30)
        for text in ('"discovery_low_replication_lag":"17s"', '"discovery_high_replication_lag":"1h0m0s"',
                     '"discovery_min_number_serving_vttablets":1'):
            self.assertIn(text, shown())
        self.cluster.write_config({"transaction_mode": "MANY", "discovery_low_replication_lag": "30s"})
        wait_until(lambda: '"discovery_low_replication_lag":"30s"' in shown(), "the good part of a bad config file", 30)
        self.assertIn('"transaction_mode":"SINGLE"', shown())
        self.cluster.write_config({})
        wait_until(lambda: '"transaction_mode":"MULTI"' in shown(), "the default of a key that is gone", 30)

    def grown(self, key, label, action):
        """By how much a counter of vtgate grows while `action` runs."""
        before = self.gate(key).get(label, 0)
        action()
        return self.gate(key).get(label, 0) - before

    def test_statements_are_counted(self):
        def insert_two():
            self.rows("insert into t(id, v) values (1, 'a')", "ks")
            self.rows("insert into t(id, v) values (2, 'b')", "ks")
        self.assertEqual(self.grown("QueryExecutions", "INSERT.Passthrough.PRIMARY", insert_two), 2)
        self.assertEqual(self.grown("QueryRoutes", "DELETE.Passthrough.PRIMARY", lambda: self.rows("delete from t", "ks")), 1)
        read = "select v from t where id = 4"
        self.assertEqual(self.grown("QueryExecutionsByTable", "SELECT.ks_t", lambda: self.rows(read, "ks")), 1)
        self.assertEqual(self.grown("QueryExecutions", "SELECT.Passthrough.REPLICA", lambda: self.rows(read, "ks@replica")), 1)
        self.assertGreaterEqual(self.gate("VtgateVSchemaCounts")["Reload"], 1)
        self.assertEqual(self.grown("QueriesProcessed", "Passthrough", lambda: self.rows(read, "ks")), 1)
        self.assertEqual(self.grown("QueriesRoutedByTable", "Passthrough.ks.t", lambda: self.rows(read, "ks")), 1)
        self.assertEqual(self.grown("VtgateApiRowsAffected", "Execute.ks.primary", insert_two), 2)

    def test_statements_are_timed(self):
        gate, tablet = self.gate, self.cluster.vars(self.cluster.primary("ks", "0"))
        self.rows("insert into t(id, v) values (5, 'e')", "ks")
        before = gate("VtgateApi")["Histograms"]["Execute.ks.primary"]["Count"]
        self.rows("select v from t where id = 5", "ks")
        self.assert_sql_refused((1054,), "42S22", "select nowhere from t", "ks")
        with self.cluster.connect("ks") as connection, connection.cursor() as cursor:
            for sql in ("begin", "delete from t where id = 5", "rollback"):
                cursor.execute(sql)

        def aborted():
            return self.cluster.vars(self.cluster.primary("ks", "0"))["Transactions"]["Histograms"]["Aborted"]["Count"]
        before_reset = aborted()
        with self.cluster.connect("ks") as connection, connection.cursor() as cursor:
            cursor.execute("begin")
            cursor.execute("update t set v = 'x' where id = 5")
        wait_until(lambda: aborted() == before_reset + 1, "the transaction of the client that left to be counted", 20)
        self.assertGreaterEqual(gate("VtgateApi")["Histograms"]["Execute.ks.primary"]["Count"], before + 5)
        now = self.cluster.vars(self.cluster.primary("ks", "0"))
        grown = {(name, label): now[name].get(label, 0) - tablet.get(name, {}).get(label, 0) for name, label in (
            ("QueryCounts", "t.Insert"), ("QueryRowsReturned", "t.Select"), ("QueryRowsAffected", "t.Delete"), ("QueryErrorCounts", "t.Select"),
            ("Errors", "NOT_FOUND"))}
        self.assertEqual(set(grown.values()), {1}, grown)
        self.assertGreater(now["Queries"]["Histograms"]["Select"]["Time"], 0)
        self.assertGreaterEqual(now["Transactions"]["Histograms"]["Aborted"]["Count"], 1)

    def test_errors_are_counted(self):
        self.assertEqual(self.grown("VtgateApiErrorCounts", "Execute.ks.primary.UNIMPLEMENTED", self.assert_unsupported), 1)

    def assert_unsupported(self):
        self.assert_sql_refused((1105, 1235), "XA", "xa start 'x'", "ks")

    def test_commits_are_timed(self):
        before = self.gate("CommitModeTimings")["Histograms"].get("Single", {"Count": 0})["Count"]
        with self.cluster.connect("ks") as connection, connection.cursor() as cursor:
            for sql in ("begin", "update t set v = 'c' where id = 77", "commit"):
                cursor.execute(sql)
        timings = self.gate("CommitModeTimings")
        self.assertEqual(timings["Histograms"]["Single"]["Count"], before + 1)
        self.assertGreaterEqual(timings["TotalCount"], before + 1)

    def test_a_failover_shows_in_the_buffer_counters(self):
        stop, failures = threading.Event(), []

        def write(first):
            try:
                with self.cluster.connect("ks") as connection, connection.cursor() as cursor:
                    number = first
                    while not stop.is_set():
                        number += 1
                        cursor.execute("replace into t(id, v) values (%s, 'x')", (number,))
            except pymysql.MySQLError as error:
                failures.append(error)
        writers = [threading.Thread(target=write, args=(10 ** 6 * (i + 1),)) for i in range(4)]
        for writer in writers:
            writer.start()
        promoted = self.gate("HealthcheckPrimaryPromoted").get("ks.0", 0)
        try:
            moves = 0
            while "ks.0.NewPrimarySeen" not in self.gate("BufferStops") and moves < 6:
                moves += 1
                self.ctl("PlannedReparentShard", "ks/0", "--wait-replicas-timeout", "31s", "--new-primary",
                         f"{self.cluster.cell}-{self.tablets[moves % 2].uid}")
                self.eventually(lambda: self.assertEqual(self.gate("HealthcheckPrimaryPromoted").get("ks.0", 0),
                                                         promoted + moves))
        finally:
            stop.set()
            for writer in writers:
                writer.join()
        self.assertEqual(failures, [])
        self.assertGreaterEqual(self.gate("BufferStops")["ks.0.NewPrimarySeen"], 1)
        self.assertIn(self.gate("BufferLastRequestsInFlightMax")["ks.0"], range(1, 5))
        self.assertGreaterEqual(self.gate("BufferRequestsBuffered")["ks.0"], 1)
        self.assertGreaterEqual(self.gate("BufferFailoverDurationSumMs")["ks.0"], 1)
        self.assertEqual(self.gate("HealthcheckConnections"), CONNECTIONS)

    def test_vschema_page(self):
        shown = http_json(self.port_of("vtgate"), "//debug//vschema")
        self.assertIn("t", shown["keyspaces"]["ks"]["tables"])

    def columns_of(self, keyspace, table):
        tables = http_json(self.port_of("vtgate"), "/debug/vschema")["keyspaces"][keyspace].get("tables", {})
        known = tables.get(table, {})
        self.assertTrue(known.get("column_list_authoritative"), f"{keyspace}.{table}: {known}")
        return [column["name"] for column in known["columns"]]

    def test_columns_follow_the_tables(self):
        def become(table, columns):
            self.eventually(lambda: self.assertEqual(self.columns_of("alone", table), columns))
        self.eventually(lambda: self.assertEqual(self.columns_of("ks", "t"), ["id", "v"]))
        self.ctl("ApplySchema", "--sql", "create table followed (id int primary key, b int)", "alone")
        become("followed", ["id", "b"])
        self.rows("alter table followed add column a int after id", "alone")  # Through vtgate.
        become("followed", ["id", "a", "b"])
        self.cluster.server_rows(self.alone, "alter table followed drop column b", "vt_alone")  # Past everybody.
        become("followed", ["id", "a"])
        self.rows("drop table followed", "alone")
        self.eventually(lambda: self.assertRaises(AssertionError, self.columns_of, "alone", "followed"))

    def test_what_a_sharded_keyspace_would_refuse_is_told(self):
        with self.cluster.connect("ks") as connection, connection.cursor() as cursor:
            cursor.execute("create procedure told() do 0")
            cursor.execute("call told()")
            cursor.execute("show warnings")
            level, code, text = cursor.fetchone()
            self.assertEqual((level, int(code)), ("Warning", 1235))
            self.assertRegex(text, "not supported in sharded mode")
            cursor.execute("drop procedure told")
            cursor.execute("check table t")  # Runs on all shards where there are several.
            cursor.fetchall()
            cursor.execute("show warnings")
            self.assertEqual(cursor.fetchall(), ())

    def test_query_plans_page(self):
        self.rows("select v from t where id = 99", "ks")
        plans = http_json(self.port_of("vtgate"), "/debug/query_plans")
        plan, = [p for p in plans.values() if p["Original"] == "select v from t where id = :vtg1"]
        self.assertEqual((plan["QueryType"], plan["Instructions"]["Keyspace"]["Name"]), ("SELECT", "ks"))
        self.assertGreaterEqual(plan["ExecCount"], 1)

    # --- vttablet ---
    def test_tablet_pages(self):
        for tablet in self.tablets:
            port = tablet.ports["port"]
            known = self.cluster.vars(tablet)
            self.assertEqual(known["TabletStateName"], "SERVING")
            self.assertIn(known["TabletType"], ("primary", "replica"))
            self.assertEqual(known["TabletKeyspace"], "ks")
            self.assertEqual(known["VReplicationStreamCount"], 0)
            self.assertEqual(http_get(port, "/healthz"), "ok")
            details = {d["Key"]: d for d in http_json(port, "/debug/status_details")}
            self.assertEqual(details["Current State"]["Class"], "healthy")
            self.assertIn("Serving", details["Current State"]["Value"])
            self.assertEqual("Replication Lag" in details, known["TabletType"] == "replica")

    def query_count(self, text):
        total = 0
        for tablet in self.tablets:
            total += sum(q["QueryCount"] for q in http_json(tablet.ports["port"], "/debug/query_stats") if q["Query"] == text)
        return total

    def test_queries_are_counted_by_normalized_text(self):
        text = "select v from t where id = :vtg1 and v is not null limit :vtg2"
        before = self.query_count(text)
        for number in (1, 2, 3):
            self.rows(f"SELECT v  FROM t WHERE id={number} AND v IS NOT NULL LIMIT 1", "ks")
        self.assertEqual(self.query_count(text), before + 3)

    def test_query_logs_have_every_statement(self):
        self.rows("select v, 'find me' from t where id = 5", "ks")
        for name in ("vtgate-queries", "vttablet-100-queries", "vttablet-101-queries"):
            path = self.cluster.path("logs", name)
            self.assertEqual(os.stat(path).st_mode & 0o077, 0)
            self.assertTrue(all(len(line) == 6 for line in self.lines_of(path)))
        for name, target in (("vtgate-queries", "ks@primary"),
                             (f"vttablet-{self.cluster.primary('ks', '0').uid}-queries", "ks/0@primary")):
            def logged(name=name, target=target):
                found = [line for line in self.lines_of(self.cluster.path("logs", name)) if "find me" in line[4]]
                self.assertEqual([(line[3], json.loads(line[4]), line[5]) for line in found],
                                 [(target, "select v, 'find me' from t where id = 5", "OK")])
            self.eventually(logged)

    @staticmethod
    def lines_of(path):
        with open(path, encoding="utf-8") as file:
            return [line.rstrip("\n").split("\t") for line in file]

    # --- every server ---
    def test_pages_of_every_server(self):
        for program in ("vtgate", "vtctld", "vttablet-100"):
            port = self.port_of(program)
            for path in ("/debug/vars", "/debug/health", "/healthz", "/debug/config", "/debug/liveness", "/metrics"):
                self.assertNotEqual(http_get(port, path), "", f"{program} {path}")
            self.assertEqual(http_get(port, "/debug/health"), "ok")
            self.assertIn("<html", http_get(port, "/debug/status"))
            json.loads(http_get(port, "/debug/config"))
            self.check_metrics(http_get(port, "/metrics"), program.partition("-")[0])

    def check_metrics(self, text, program):
        """The rules of the exposition format 0.0.4 that scrapers depend on."""
        kinds, seen, buckets = {}, set(), {}
        label = r'[a-z_]+="(?:[^"\\\n]|\\["\\n])*"'
        sample = re.compile(rf"([a-z_0-9]+)(?:\{{({label}(?:,{label})*)\}})? (-?[0-9.e+-]+)")
        self.assertTrue(text.endswith("\n"))
        for line in text.splitlines():
            if line.startswith("# "):
                _, word, name, rest = line.split(" ", 3)
                if word == "TYPE":
                    self.assertNotIn(name, kinds)
                    kinds[name] = rest
                continue
            match = sample.fullmatch(line)
            self.assertIsNotNone(match, line)
            name, labels, value = match.groups()
            self.assertTrue(name.startswith(program + "_"), name)
            self.assertNotIn((name, labels), seen)
            seen.add((name, labels))
            family = re.sub("_(bucket|sum|count)$", "", name)
            self.assertTrue(name in kinds or kinds.get(family) == "histogram", f"{name} has no type")
            if name.endswith("_bucket"):
                others = re.sub(r',?le="[^"]*"', "", labels)
                self.assertGreaterEqual(float(value), buckets.get((family, others), 0), "buckets are cumulative")
                buckets[family, others] = float(value)
        self.assertGreater(len(seen), 3)

    # --- vtctld ---
    def api(self, path, body=None, headers=None):
        request = urllib.request.Request(f"http://127.0.0.1:{self.port_of('vtctld')}/api/{path}", headers=headers or {},
                                         data=None if body is None else body.encode())
        with urllib.request.urlopen(request, timeout=20) as answer:
            return json.loads(answer.read())

    def test_api_reads_the_topology(self):
        self.assertEqual(self.api("cells/"), ["zone1"])
        self.assertEqual(self.api("keyspaces/"), ["alone", "ks", "side"])
        self.assertEqual(self.api("keyspaces/ks")["durability_policy"], "none")
        self.assertEqual(self.api("shards/ks/"), ["0"])
        self.assertIn(self.api("shards/ks/0")["primary_alias"]["uid"], (100, 101))
        self.assertEqual({p["served_type"] for p in self.api("srv_keyspace/zone1/ks")["partitions"]},
                         {"PRIMARY", "REPLICA", "RDONLY"})
        self.assertEqual(self.api("srv_keyspace/local/")["ks"], self.api("srv_keyspace/zone1/ks"))
        self.assertEqual(self.api("tablets/?shard=ks/0&cell=zone1"), [{"cell": "zone1", "uid": 100}, {"cell": "zone1", "uid": 101}])
        self.assertEqual(self.api("tablets/zone1-100")["port_map"]["vt"], self.tablets[0].ports["port"])
        self.assertEqual([t["alias"]["uid"] for t in self.api("keyspace/ks/tablets/0?cells=zone1")], [100, 101])
        top = self.api("topodata/")
        self.assertEqual((top["Error"], top["Text"]), ("", ""))
        self.assertLessEqual({"global", "zone1"}, set(top["Children"]))
        self.assertIn("durability_policy", self.api("topodata/global/keyspaces/ks/Keyspace")["Text"])
        self.assertNotEqual(self.api("topodata/global/keyspaces/none/Keyspace")["Error"], "")
        self.assertEqual(self.api("topology_info/"),
                         {"Keyspaces": ["alone", "ks", "side"], "Cells": ["zone1"], "TabletTypes": ["primary", "replica"]})
        self.assertTrue(self.api("features")["activeReparents"])
        for path, code in (("keyspaces/none", 404), ("tablets/nonsense", 400), ("nonsense/", 404)):
            with self.assertRaises(urllib.error.HTTPError) as caught:
                self.api(path)
            self.assertEqual(caught.exception.code, code, path)

    def test_api_applies_schemas(self):
        body = json.dumps({"Keyspace": "ks", "SQL": "create table by_http (id int primary key)"})
        for headers in ({"Origin": "http://elsewhere.example"},
                        {"Origin": "http://elsewhere.example", "Host": "elsewhere.example"}):  # A name that leads here.
            with self.assertRaises(urllib.error.HTTPError) as caught:
                self.api("schema/apply", body, headers)
            self.assertEqual(caught.exception.code, 403)
        self.api("schema/apply", body, {"Origin": f"http://127.0.0.1:{self.port_of('vtctld')}"})
        self.assertEqual(self.rows("select count(*) from by_http", "ks"), [(0,)])
        for wrong, code in (("{", 400), (json.dumps({"Keyspace": "none", "SQL": "drop table x"}), 404)):
            with self.assertRaises(urllib.error.HTTPError) as caught:
                self.api("schema/apply", wrong)
            self.assertEqual(caught.exception.code, code)

    # --- the end ---
    def test_zz_sigterm_ends_a_server_in_good_order(self):
        for name in ("vtgate", "vttablet-101", "vtctld"):
            process = self.cluster.processes[name]
            process.kill(signal.SIGTERM)
            self.assertTrue(process.wait_ended(30), name)
            self.assertEqual(process.child.returncode, 0, name)
            if name == "vttablet-101":
                self.assertIn("tablet_shutdown_time", json.dumps(self.api("tablets/zone1-101")))
                self.assertIsNotNone(self.api("tablets/zone1-101")["tablet_shutdown_time"])


if __name__ == "__main__":
    main()
