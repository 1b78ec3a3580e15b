"""A keyspace that is moved shard by shard; and that what is refused has changed nothing, byte for byte."""

import json
import signal
import sqlite3
import threading
import time

import pymysql
from support import ClusterTest, Failure, main, wait_until

from vitrail.cluster import Cluster

VSCHEMA = {"sharded": True, "vindexes": {"hash": {"type": "hash"}, "xx": {"type": "xxhash"}},
           "tables": {"t": {"column_vindexes": [{"column": "id", "name": "hash"}]}}}
SOURCE = {"-80": 100, "80-": 110}
TARGET = {"-80": 200, "80-": 210}
ROWS = 40


class Small(Cluster):
    """One tablet a shard."""

    def add_shard(self, keyspace, shard, first_uid, kinds=("replica",), note=lambda text: None):
        return super().add_shard(keyspace, shard, first_uid, kinds, note)


class Client(threading.Thread):
    """Inserts rows one after another until it is stopped; none may be refused."""

    def __init__(self, connect):
        super().__init__(daemon=True)
        self.connect, self.stopping, self.acknowledged, self.errors = connect, threading.Event(), [], []
        self.start()

    def run(self):
        value = 1000
        with self.connect("src") as connection, connection.cursor() as cursor:
            while not self.stopping.is_set():
                value += 1
                try:
                    cursor.execute(f"insert into t(id, v) values ({value}, {value})")
                    self.acknowledged.append(value)
                except pymysql.MySQLError as error:
                    self.errors.append(repr(error))
                    return
                time.sleep(0.005)

    def end(self):
        self.stopping.set()
        self.join(60)
        return self.acknowledged


class PartsTest(ClusterTest):
    cluster_class = Small

    @classmethod
    def prepare(cls):
        cluster = cls.cluster
        cluster.start_vtctld()
        for keyspace, shards in (("src", SOURCE), ("dst", TARGET)):
            cluster.vtctldclient("CreateKeyspace", "--durability-policy", "none", keyspace)
            vschema = VSCHEMA if keyspace == "src" else {**VSCHEMA, "tables": {}}
            cluster.vtctldclient("ApplyVSchema", "--vschema", json.dumps(vschema), keyspace)
            for shard, uid in shards.items():
                cluster.add_shard(keyspace, shard, uid)
        cluster.start_vtgate("--tablet-types-to-wait", "PRIMARY")
        cluster.vtctldclient("ApplySchema", "--sql", "create table t(id bigint primary key, v int)", "src")
        with cluster.connect("src") as connection, connection.cursor() as cursor:
            cursor.execute("insert into t(id, v) values " + ", ".join(f"({i}, {i})" for i in range(1, ROWS + 1)))

    # --- helpers ---
    def on_server(self, uid, sql, database=None):
        tablet = self.cluster.tablets[uid]
        with self.cluster.server(tablet, database or tablet.keyspace) as connection, connection.cursor() as cursor:
            cursor.execute(sql)
            return [tuple(v.decode() if isinstance(v, bytes) else v for v in row) for row in cursor.fetchall()]

    def move(self, workflow, action, *flags):
        return self.ctl("MoveTables", "--workflow", workflow, "--target-keyspace", "dst", action, *flags)

    def refused(self, pattern, workflow, action, *flags):
        self.assert_command_fails(pattern, "MoveTables", "--workflow", workflow, "--target-keyspace", "dst", action, *flags)

    def create(self, workflow, shard):
        self.move(workflow, "create", "--source-keyspace", "src", "--all-tables", "--source-shards", shard)
        sql = f"select state from vreplication where workflow = '{workflow}'"
        wait_until(lambda: self.on_server(TARGET[shard], sql, "_vt") == [("Running",)], f"{workflow} to run", 60)

    def place_vschema(self, vindex="hash"):
        vschema = json.loads(json.dumps(VSCHEMA))
        vschema["tables"]["t"]["column_vindexes"][0]["name"] = vindex
        self.ctl("ApplyVSchema", "--vschema", json.dumps(vschema), "dst")

    def shard_rules(self):
        rules = json.loads(self.ctl("GetShardRoutingRules")).get("rules") or []
        return sorted(f"{r['from_keyspace']}/{r['shard']} > {r['to_keyspace']}" for r in rules)

    def ids(self, uid):
        return {row[0] for row in self.on_server(uid, "select id from t")}

    def everything(self):
        """Each record of the topology, whatever it is, and what the servers have of streams and tables."""
        with sqlite3.connect(f"file:{self.cluster.topo_address()}?mode=ro", uri=True) as topology:
            records = dict(topology.execute("select path, data from records where lease is null"))
        servers = {}
        for uid in self.cluster.tablets:
            servers[uid] = (self.on_server(uid, "show tables"), self.on_server(uid, "select id, workflow, state, message, "
                            "cell, tablet_types from vreplication order by id", "_vt"),
                            self.on_server(uid, "select vdiff_uuid, state from vdiff order by id", "_vt"))
        return records, servers

    # --- tests, in the order of their names ---
    def test_0_what_is_refused_changes_nothing(self):
        workflow = ("--workflow", "w", "--target-keyspace", "dst")
        create = ("MoveTables", *workflow, "create", "--source-keyspace")
        wrong = [
            (*create, "nosuch", "--all-tables"), (*create, "dst", "--all-tables"), (*create, "src"),
            (*create, "src", "--tables", "nosuch"), (*create, "src", "--tables", "t"), (*create, "src", "--tables", "t", "--cells", "nosuch"),
            (*create, "src", "--all-tables", "--exclude-tables", "t"), (*create, "src", "--tables", "`t"),
            (*create, "src", "--tables", "t", "--source-shards", "40-80"), (*create, "src", "--tables", "t", "--on-ddl", "MAYBE"),
            (*create, "src", "--tables", "t", "--tablet-types", "DRAINED"), (*create, "src", "--all-tables", "--atomic-copy"),
            (*create, "src", "--tables", "t", "--source-time-zone", "UTC"), (*create, "src", "--tables", "t", "--config-overrides", "a=b"),
            (*create, "src", "--tables", "t", "--tenant-id", "1"), (*create, "src", "--tables", "t", "--shards", "-80"),
            (*create, "src", "--tables", "t", "--sharded-auto-increment-handling", "REPLACE"),
            (*create, "src", "--tables", "t", "--global-keyspace", "src"),
            ("MoveTables", "--workflow", "w_reverse", "--target-keyspace", "dst", "create", "--source-keyspace", "src", "--all-tables"),
            ("MoveTables", "--workflow", "a/b", "--target-keyspace", "dst", "create", "--source-keyspace", "src", "--all-tables"),
            ("MoveTables", "--workflow", "w", "--target-keyspace", "nosuch", "create", "--source-keyspace", "src", "--all-tables"),
            ("Workflow", "--keyspace", "dst", "delete", "--workflow", "w"), ("Workflow", "--keyspace", "dst", "start", "--workflow", "w"),
            ("Workflow", "--keyspace", "dst", "stop", "--workflow", "w"), ("Workflow", "--keyspace", "nosuch", "list"),
            ("Workflow", "--keyspace", "dst", "update", "--workflow", "w", "--cells", "zone1"),
            ("LookupVindex", "--name", "l", "--table-keyspace", "dst", "create", "--keyspace", "src", "--type", "hash", "--table-owner", "t",
             "--table-owner-columns", "v"),
            ("LookupVindex", "--name", "l", "--table-keyspace", "dst", "create", "--keyspace", "src", "--type", "consistent_lookup",
             "--table-owner", "nosuch", "--table-owner-columns", "v"),
            ("LookupVindex", "--name", "l", "--table-keyspace", "dst", "create", "--keyspace", "src", "--type", "consistent_lookup",
             "--table-owner", "t", "--table-owner-columns", "v", "--tablet-types", "REPLICA"),
            ("ApplyRoutingRules", "--rules", '{"rules": [{"from_table": "t", "to_tables": ["nokeyspace"]}]}'),
            ("ApplyShardRoutingRules", "--rules", '{"rules": [{"from_keyspace": "src", "to_keyspace": "dst", "shard": "x-y"}]}'),
            ("ApplyKeyspaceRoutingRules", "--rules", '{"rules": [{"from_keyspace": "a@nosuch", "to_keyspace": "b"}]}'),
            ("ApplyVSchema", "--strict", "--vschema", '{"nosuch": 1}', "dst"), ("DeleteShards", "src/80-"), ("DeleteKeyspace", "src"),
            ("PlannedReparentShard", "src/80-", "--new-primary", "zone1-999"), ("SetShardIsPrimaryServing", "src/80-", "maybe"),
        ]
        for command, shard in (("MoveTables", None), ("Reshard", "x")):
            for action in ("switchtraffic", "reversetraffic", "complete", "cancel", "start", "stop", "status"):
                wrong.append((command, *workflow, action))
            wrong.append((command, *workflow, "switchtraffic", "--timeout", "1ms"))
        reshard = ("Reshard", "--workflow", "w", "--target-keyspace", "src", "create", "--source-shards")
        wrong += [(*reshard, "-80", "--target-shards", "-40,40-80"), (*reshard, "-80", "--target-shards", "80-"),
                  (*reshard, "x", "--target-shards", "y"), (*reshard, "-80", "--target-shards", "-80")]
        for action in (("create",), ("show", "last"), ("stop", "nosuch"), ("resume", "nosuch"), ("delete", "nosuch"), ("repair",)):
            wrong.append(("VDiff", *workflow, *action))
        before = self.everything()
        for command in wrong:
            with self.assertRaises(Failure, msg=command):
                self.ctl(*command)
        self.assertEqual(self.everything(), before)
        # And with a workflow that is there: what is not possible now, and options that are wrong.
        self.place_vschema()
        self.move("w", "create", "--source-keyspace", "src", "--all-tables")
        self.addCleanup(self.move, "w", "cancel")
        sql = "select distinct state from vreplication where workflow = 'w'"
        for uid in TARGET.values():
            wait_until(lambda u=uid: self.on_server(u, sql, "_vt") == [("Running",)], "w to run", 60)
        before = self.everything()
        wrong = [("MoveTables", *workflow, *flags) for flags in (
            ("create", "--source-keyspace", "src", "--all-tables"), ("complete",), ("reversetraffic", "--shards", "-80"),
            ("switchtraffic", "--shards", "-80"), ("switchtraffic", "--timeout", "1ms"), ("switchtraffic", "--cells", "nosuch"),
            ("switchtraffic", "--tablet-types", "NOSUCH"), ("complete", "--ignore-source-keyspace"), ("complete", "--shards", "-80"),
            ("cancel", "--shards", "80-"), ("cancel", "--delete-batch-size", "7"),
            ("start", "--shards", "x"), ("stop", "--shards", "x"))]
        wrong += [("Workflow", "--keyspace", "dst", "update", "--workflow", "w", *flags) for flags in (
            ("--cells", "nosuch"), ("--tablet-types", "SPARE"), ("--on-ddl", "MAYBE"), ("--config-overrides", "a=b"), ())]
        wrong += [("VDiff", *workflow, *flags) for flags in (
            ("create", "--source-cells", "nosuch"), ("create", "--target-cells", "zone1"), ("create", "--tables", "nosuch"), ("repair", "--tables", "t,nosuch"),
            ("create", "--max-diff-duration", "1s"), ("create", "--max-extra-rows-to-compare", "5"), ("create", "--tablet-types", "SPARE"), ("resume", "nosuch"))]
        wrong += [(*reshard, "-80", "--target-shards", "-40,40-80"), ("Reshard", "--workflow", "w", "--target-keyspace", "dst", "complete",
                                                                     "--rename-tables")]
        wrong += [("MoveTables", "--workflow", "w_reverse", "--target-keyspace", "src", action) for action in ("complete", "cancel")]
        for command in wrong:
            with self.assertRaises(Failure, msg=command):
                self.ctl(*command)
        self.assertEqual(self.everything(), before)

    def test_1_shards_are_given_up_again(self):
        self.place_vschema("xx")
        self.refused("rows are placed by .*hash of id.*xxhash of id", "p", "create", "--source-keyspace", "src", "--all-tables",
                     "--source-shards", "80-")
        self.place_vschema()
        self.on_server(110, "create table extra(id bigint primary key)")
        self.refused("table extra of src/80- would stay behind", "p", "create", "--source-keyspace", "src", "--tables", "t",
                     "--source-shards", "80-")
        self.on_server(110, "drop table extra")
        before = self.everything()
        self.create("upper", "80-")
        self.assertEqual(self.shard_rules(), ["dst/-80 > src", "dst/80- > src"])
        self.refused("shard (src|dst)/80- is being moved already", "again", "create", "--source-keyspace", "src", "--all-tables",
                     "--source-shards", "80-")
        self.refused("being moved already|table t", "all", "create", "--source-keyspace", "src", "--all-tables")
        self.create("lower", "-80")
        self.move("upper", "cancel")
        self.assertEqual(self.shard_rules(), ["dst/-80 > src", "dst/80- > src"])
        self.assertEqual(self.routing_rules()["t"], ["src.t"])
        self.move("lower", "cancel")
        self.assertEqual(self.shard_rules(), [])
        after = self.everything()
        for path in ("ShardRoutingRules", "RoutingRules"):  # They were not there; now they may be there and empty.
            for records in (before[0], after[0]):
                for name in [n for n in records if n.endswith("/" + path) and not records[n]]:
                    del records[name]
        self.assertEqual(after[1], before[1])
        self.assertEqual(after[0], before[0])

    def test_2_shards_are_moved_one_after_another(self):
        client = Client(self.cluster.connect)
        self.create("upper", "80-")
        kept = self.ids(110)
        self.assertIn("Shard routing rules for shards [80-] will be updated", self.move("upper", "switchtraffic", "--dry-run"))
        self.refused("reads and writes of a shard are switched together", "upper", "switchtraffic", "--tablet-types", "REPLICA")
        self.refused("all shards of .* go together: 80-", "upper", "switchtraffic", "--shards", "-80")
        out = self.move("upper", "switchtraffic")
        self.assertIn("Reads partially switched, for shards: 80-. Writes partially switched, for shards: 80-", out)
        self.assertEqual(self.shard_rules(), ["dst/-80 > src", "src/80- > dst"])
        self.refused("already switched write traffic", "upper", "cancel")
        self.refused("not yet switched all", "upper", "complete")
        # Both ways of running a statement, and a shard that is named.
        self.rows("update t set v = 777 where id in (1, 2, 3, 4, 5, 6)", "src")
        self.assertEqual(self.rows("select count(*), sum(v = 777) from t where id <= 40", "src"), [(ROWS, 6)])
        for value in range(1, 7):
            self.assertEqual(self.rows(f"select v from t where id = {value}", "src"), [(777,)])
            self.assertEqual(self.rows(f"select v from dst.t where id = {value}"), [(777,)])
        here = self.rows("select count(*) from t where v = 777", "src:80-")
        self.assertEqual([(int(row[0]),) for row in self.on_server(210, "select count(*) from t where v = 777")], here)
        self.assertGreater(here[0][0], 0)
        out = self.move("upper", "reversetraffic")
        self.assertIn("Current State: Reads Not Switched. Writes Not Switched", out)
        self.assertEqual(self.shard_rules(), ["dst/-80 > src", "dst/80- > src"])
        self.eventually(lambda: self.assertEqual(self.rows("select count(*) from t where v = 777", "src:80-"), here))
        self.move("upper", "switchtraffic")
        self.create("lower", "-80")
        self.assertIn("Current State: All Reads Switched. Writes Switched", self.move("lower", "switchtraffic"))
        self.move("upper", "complete")
        self.assertEqual(self.shard_rules(), ["src/-80 > dst", "src/80- > dst"])
        self.assertEqual(self.on_server(110, "show tables"), [])
        self.assertEqual(self.rows("select count(*) from t where id <= 40", "src"), [(ROWS,)])
        acknowledged = client.end()
        self.assertEqual(client.errors, [])
        self.assertGreater(len(acknowledged), 20)
        wanted = set(range(1, ROWS + 1)) | set(acknowledged)
        self.assertEqual(self.ids(200) | self.ids(210), wanted)
        self.assertEqual(self.ids(200) & self.ids(210), set())
        self.assertTrue(kept <= self.ids(210))
        self.move("lower", "complete")
        self.assertEqual(self.shard_rules(), [])
        self.assertEqual(self.routing_rules(), {})
        self.assertEqual(json.loads(self.ctl("GetVSchema", "src")).get("tables", {}), {})
        self.eventually(lambda: self.assertEqual(self.rows("select count(*) from t"), [(len(wanted),)]))

    def test_3_tables_follow_others(self):
        with_extra = {**VSCHEMA, "tables": {**VSCHEMA["tables"], "extra": {"column_vindexes": [{"column": "id", "name": "hash"}]}}}
        for keyspace in ("src", "dst"):
            self.ctl("ApplyVSchema", "--vschema", json.dumps(with_extra), keyspace)
        self.ctl("ApplySchema", "--sql", "create table extra(id bigint primary key, v int)", "dst")
        base = ("Materialize", "--workflow", "follow", "--target-keyspace", "src")
        create = (*base, "create", "--source-keyspace", "dst", "--table-settings")

        def settings(expression, ddl="copy", table="t"):
            return json.dumps([{"target_table": table, "source_expression": expression, "create_ddl": ddl}])

        before = self.everything()
        for pattern, text in (
                ("needs a name", settings("select v, count(*) from t group by v")), ("needs a name", settings("select id, v + 1 from t")),
                (r"now\(\)", settings("select id, now() as v from t")), ("DIV and round", settings("select id, v / 2 as v from t")),
                ("u has no primary vindex", settings("select * from t", table="u")), ("id .*not selected", settings("select v from t")),
                ("no column nosuch", settings("select id, nosuch from t")), ("create_ddl", settings("select * from t", "copy:drop_constraint")),
                ("named twice", settings("select * from t")[:-1] + ", " + settings("select * from t")[1:]), ("JSON", "{"), ("no tables", "[]"),
                ("not found", settings("select * from nosuch", table="nosuch")), ("a select", settings("t"))):
            with self.subTest(settings=text):
                self.assert_command_fails(pattern, *create, text)
        self.assert_command_fails("type reference", *base, "create", "--source-keyspace", "dst", "--reference-tables", "t")
        self.assert_command_fails("into another keyspace", "Materialize", "--workflow", "follow", "--target-keyspace", "dst", "create",
                                  "--source-keyspace", "dst", "--reference-tables", "t")
        self.assertEqual(self.everything(), before)
        self.assertIn("Materialization workflow follow successfully created in the src keyspace",
                      self.ctl(*create, settings("select id, v from t where v > 20")))

        def followed():
            return {row for uid in SOURCE.values() for row in self.on_server(uid, "select id, v from t")}

        def wanted():
            return {row for uid in TARGET.values() for row in self.on_server(uid, "select id, v from t where v > 20")}

        self.eventually(lambda: self.assertEqual(followed(), wanted()))
        self.rows("insert into t(id, v) values (900001, 21), (900002, 20), (900003, 5000)", "dst")
        self.rows("update t set v = 22 where id in (7, 8)", "dst")
        self.rows("update t set v = 1 where id in (30, 31)", "dst")
        self.rows("delete from t where id = 32", "dst")
        self.eventually(lambda: self.assertEqual(followed(), wanted()))
        self.assertTrue({(900001, 21), (7, 22)} <= followed())
        for uid, shard in ((100, "src:-80"), (110, "src:80-")):  # Each row in its shard.
            self.assertEqual(self.rows("select count(*) from t", shard), [(len(self.ids(uid)),)])
        moves = ("MoveTables", "--workflow", "follow", "--target-keyspace", "src")
        self.assert_command_fails("no traffic to switch", *moves, "switchtraffic")
        self.assert_command_fails("ended by cancel", *moves, "complete")
        self.assert_command_fails("table t", "MoveTables", "--workflow", "w", "--target-keyspace", "src", "create", "--source-keyspace", "dst",
                                  "--all-tables")
        self.assertEqual(json.loads(self.ctl(*base, "show"))["workflows"][0]["workflow_type"], "Materialize")
        self.ctl(*base, "stop")
        update = (*base, "update", "--table-settings")
        extra = settings("select id, v from extra where v < 50", table="extra")
        self.assert_command_fails("does not run", *update, extra)
        self.ctl(*base, "start")
        self.add_to_followed(base, update, extra, settings)
        self.assertIn("Successfully cancelled the follow workflow", self.ctl(*base, "cancel"))
        self.assertEqual(self.everything(), before)
        self.ctl("ApplySchema", "--sql", "drop table extra", "dst")
        self.ctl("ApplyVSchema", "--vschema", json.dumps(VSCHEMA), "dst")

    def add_to_followed(self, base, update, extra, settings):
        """A second table comes to a workflow that runs."""
        def rows(sides, table, condition):
            return {row for uid in sides.values() for row in self.on_server(uid, f"select id, v from {table} where {condition}")}

        def follows():
            self.assertEqual(rows(SOURCE, "t", "true"), rows(TARGET, "t", "v > 20"))
            self.assertEqual(rows(SOURCE, "extra", "true"), rows(TARGET, "extra", "v < 50"))

        self.assert_command_fails("has table t already", *update, settings("select * from t"))
        self.assert_command_fails("two tables follow table t", *update, settings("select * from t", table="extra"))
        self.assert_command_fails("not found", *update, settings("select * from nosuch", table="extra"))
        self.assert_command_fails("--table-settings or by", *base, "update")
        self.assert_command_fails("type reference", *base, "update", "--reference-tables", "extra")
        self.eventually(lambda: self.rows("insert into extra(id, v) values " + ", ".join(f"({i}, {i % 100})" for i in range(1, 3001)), "dst"))
        self.assertIn("added to the workflow follow", self.ctl(*update, extra))
        self.rows("update extra set v = 7 where id in (60, 61, 62)", "dst")
        self.rows("delete from extra where id = 1", "dst")
        self.rows("update t set v = 23 where id in (9, 10)", "dst")
        self.eventually(follows)
        self.rows("insert into extra(id, v) values (5000, 5), (5001, 60)", "dst")
        self.rows("delete from t where id = 9", "dst")
        self.eventually(follows)
        shown = json.loads(self.ctl(*base, "show"))["workflows"][0]
        states = {s["state"] for shard in shown["shard_streams"].values() for s in shard["streams"]}
        self.assertEqual(states, {"Running"})
        self.assert_command_fails("has table extra already", *update, extra)

    def test_4_groups_and_other_names(self):
        """Rows come and go while the copy is made, and the target's tablet is killed in the middle: each counts once."""
        tables = {**VSCHEMA["tables"], "sales": {"column_vindexes": [{"column": "v", "name": "hash"}]},
                  "other": {"column_vindexes": [{"column": "id", "name": "hash"}]}}
        self.ctl("ApplyVSchema", "--vschema", json.dumps({**VSCHEMA, "tables": tables}), "src")
        base = ("Materialize", "--workflow", "sums", "--target-keyspace", "src")
        sales = {"target_table": "sales", "source_expression": "select v, count(*) as n, sum(id) as s from t group by v",
                 "create_ddl": "create table sales(v int primary key, n bigint, s decimal(40))"}
        create = (*base, "create", "--source-keyspace", "dst", "--table-settings")
        self.assert_command_fails("column v of t may be NULL", *create, json.dumps([sales]))
        self.ctl("ApplySchema", "--sql", "alter table t modify v int not null", "dst")
        self.assert_command_fails("create_ddl is a CREATE TABLE", *create, json.dumps([{**sales, "create_ddl": "copy"}]))
        self.assert_command_fails("two tables follow table t", *create, json.dumps([sales, {**sales, "target_table": "other"}]))
        self.rows("insert into t(id, v) values " + ", ".join(f"({i}, {i % 50})" for i in range(100_000, 110_000)), "dst")
        stop = threading.Event()

        def change():
            with self.cluster.connect("dst") as connection, connection.cursor() as cursor:
                number = 0
                while not stop.is_set():
                    number += 1
                    cursor.execute(f"insert into t(id, v) values ({200_000 + number}, {number % 60})")
                    cursor.execute(f"update t set v = {number % 40} where id = {100_000 + number * 37 % 10_000}")
                    cursor.execute(f"delete from t where id = {100_000 + number * 53 % 10_000}")

        writer = threading.Thread(target=change, daemon=True)
        writer.start()
        try:
            self.ctl(*create, json.dumps([sales]))
            self.ctl("Materialize", "--workflow", "named", "--target-keyspace", "src", "create", "--source-keyspace", "dst", "--table-settings",
                     json.dumps([{"target_table": "other", "source_expression": "select * from t where v < 30", "create_ddl": "copy"}]))
            for _ in range(2):
                tablet = self.cluster.processes["vttablet-100"]
                tablet.kill(signal.SIGKILL)
                tablet.wait_ended(10)
                self.cluster.restart("vttablet-100")
        finally:
            stop.set()
            writer.join(30)

        def groups():
            out = {}
            for uid in TARGET.values():
                for value, count, total in self.on_server(uid, "select v, count(*), sum(id) from t group by v"):
                    before = out.get(value, (0, 0))
                    out[value] = (before[0] + int(count), before[1] + int(total))
            return out

        def summed():
            return {v: (int(n), int(s)) for uid in SOURCE.values() for v, n, s in self.on_server(uid, "select v, n, s from sales")}

        def rows(sides, table, condition):
            return {row for uid in sides.values() for row in self.on_server(uid, f"select id, v from {table} where {condition}")}

        self.eventually(lambda: self.assertEqual(summed(), groups()))
        self.eventually(lambda: self.assertEqual(rows(SOURCE, "other", "true"), rows(TARGET, "t", "v < 30")))
        self.assert_command_fails("table t of keyspace dst", "MoveTables", "--workflow", "w", "--target-keyspace", "src", "create",
                                  "--source-keyspace", "dst", "--all-tables")
        self.rows("delete from t where v = 7", "dst")
        self.eventually(lambda: self.assertEqual(summed(), groups()))
        self.assertNotIn(7, summed())
        vdiff = ("VDiff", "--workflow", "sums", "--target-keyspace", "src")
        compare = (*vdiff, "create", "--wait", "--wait-update-interval", "1s")
        self.ctl(*compare)
        for sql in ("update sales set n = n + 1 where v = 8", "delete from sales where v = 9", "insert into sales values (1000, 1, 1)"):
            for uid in SOURCE.values():
                self.on_server(uid, sql)
        self.assert_command_fails("the rows of both sides differ", *compare)
        told = json.loads(self.ctl(*vdiff, "show", "last", "--format", "json"))["TableSummary"]["sales"]
        self.assertEqual((told["MismatchedRows"], told["ExtraRowsSource"], told["ExtraRowsTarget"]), (1, 1, 2), told)
        self.assert_command_fails("not repaired", *vdiff, "repair")
        for name in ("sums", "named"):
            self.ctl("Materialize", "--workflow", name, "--target-keyspace", "src", "cancel")
        self.assertEqual([self.on_server(uid, "show tables like 'sales'") for uid in SOURCE.values()], [[], []])

    def test_4_what_is_computed(self):
        """Copied, followed, compared and repaired as the source's server computes it; `words` has texts in two character sets."""
        tables = {**VSCHEMA["tables"], **{name: {"column_vindexes": [{"column": "id", "name": "hash"}]} for name in ("words", "loud")}}
        for keyspace in ("src", "dst"):
            self.ctl("ApplyVSchema", "--vschema", json.dumps({**VSCHEMA, "tables": tables}), keyspace)
        self.ctl("ApplySchema", "--sql", "create table words(id bigint primary key, name varchar(40) character set latin1, note text character "
                 "set utf8mb4, price decimal(10,2), n int unsigned not null, at datetime(3), b varbinary(20), f double)", "dst")
        row = "insert into words(id, name, note, price, n, at, b) values "
        values = ["({0}, 'stra\u00dfe \u00e4\u00f6 {0}', 'it''s \u4e16\u754c \\\\ {0}', {0}.25, {0}, '2024-02-29 01:02:03.{1:03}', x'00ff')",
                  "({0}, null, 'x', -1.50, 0, null, null)", "({0}, '', '', 0, 4294967295, '1999-12-31 23:59:59.999', '')"]

        def insert(first, last):
            self.rows(row + ", ".join(values[i % 3].format(i, i % 1000) for i in range(first, last)), "dst")

        self.eventually(lambda: insert(1, 700))
        computed = {"shout": "upper(name)", "both_of": "concat(n, '/', coalesce(note, 'none'), '/', n)", "total": "price * n + 1", "day": "date(at)",
                    "weekday": "weekday(at)", "digest": "md5(b)", "more": "n * 2", "raw": "reverse(b)", "moment": "at"}
        expression = "select id, " + ", ".join(f"{text} as {name}" for name, text in computed.items()) + " from words where n <> 7"
        ddl = ("create table loud(id bigint primary key, shout varchar(60) character set utf8mb4, both_of text character set utf8mb4, total "
               "decimal(30,2), day date, weekday tinyint, digest char(40), more bigint unsigned, raw varbinary(30), moment datetime(3))")
        base = ("Materialize", "--workflow", "loud", "--target-keyspace", "src")

        def create(what, how):
            return (*base, "create", "--source-keyspace", "dst", "--table-settings",
                    json.dumps([{"target_table": "loud", "source_expression": what, "create_ddl": how}]))

        self.assert_command_fails("column f, which is of type double", *create("select id, round(f) as more from words", ddl))
        self.ctl(*create(expression, ddl))

        def both():
            wanted, found = [], []
            items = [f"hex({text})" if name == "raw" else text for name, text in computed.items()]
            for uid in TARGET.values():
                wanted += self.on_server(uid, f"select id, {', '.join(items)} from words where n <> 7")
            items = [f"hex({name})" if name == "raw" else name for name in computed]
            for uid in SOURCE.values():
                found += self.on_server(uid, f"select id, {', '.join(items)} from loud")
            return sorted(map(repr, found)), sorted(map(repr, wanted))

        def follows():
            found, wanted = both()
            self.assertEqual(len(found), len(wanted))
            self.assertEqual([pair for pair in zip(found, wanted) if pair[0] != pair[1]][:3], [])

        self.eventually(follows)
        self.assertIn("STRA\u00dfE \u00c4\u00d6 3", "".join(both()[0]))
        insert(700, 900)
        self.rows("update words set name = 'other \u00e9', n = 5, at = '2001-01-01' where id in (3, 4, 30, 31, 800)", "dst")
        self.rows("update words set n = 7 where id in (6, 9)", "dst")
        self.rows("delete from words where id between 100 and 120", "dst")
        self.eventually(follows)

        vdiff = ("VDiff", "--workflow", "loud", "--target-keyspace", "src")
        compare = (*vdiff, "create", "--wait", "--wait-update-interval", "1s")
        self.ctl(*compare)
        for sql in ("update loud set shout = 'wrong' where id = 12", "delete from loud where id = 13"):
            for uid in SOURCE.values():
                self.on_server(uid, sql)
        self.assert_command_fails("the rows of both sides differ", *compare)
        self.assertIn("RepairedRows: 2", self.ctl(*vdiff, "repair"))
        follows()
        self.ctl(*base, "cancel")
        self.ctl("ApplySchema", "--sql", "drop table words", "dst")

    def keyspace_rules(self):
        rules = json.loads(self.ctl("GetKeyspaceRoutingRules")).get("rules") or []
        return sorted(f"{r['from_keyspace']} > {r['to_keyspace']}" for r in rules)

    def test_5_tenants_move_into_one_keyspace(self):
        vschema = {**VSCHEMA, "tables": {"bill": {"column_vindexes": [{"column": "id", "name": "hash"}]}}}
        self.ctl("ApplyVSchema", "--vschema", json.dumps(vschema), "dst")
        table = "create table bill(id bigint, tenant varchar(20) not null, v int, primary key(id, tenant), key(v))"
        for name, uid in (("acme", 300), ("globex", 400)):
            self.cluster.vtctldclient("CreateKeyspace", "--durability-policy", "none", name)
            self.cluster.add_shard(name, "0", uid)
            self.ctl("ApplySchema", "--sql", table, name)
            self.eventually(lambda name=name: self.rows("select count(*) from bill", name))
            self.rows("insert into bill(id, tenant, v) values " + ", ".join(f"({i}, '{name}', {i})" for i in range(1, ROWS + 1)), name)

        def create(workflow, *flags):
            return ("MoveTables", "--workflow", workflow, "--target-keyspace", "dst", "create", "--source-keyspace", workflow,
                    "--tables", "bill", *flags)

        self.assert_command_fails("no multi_tenant_spec", *create("acme", "--tenant-id", "acme"))
        vschema["multi_tenant_spec"] = {"tenant_id_column_name": "tenant", "tenant_id_column_type": "VARCHAR"}
        self.ctl("ApplyVSchema", "--vschema", json.dumps(vschema), "dst")
        self.assert_command_fails("rows of others than tenant other", *create("acme", "--tenant-id", "other"))
        self.assert_command_fails("rows of others than tenant ACME", *create("acme", "--tenant-id", "ACME"))
        self.on_server(300, "alter table bill add unique key one (v)")
        self.assert_command_fails("unique key one of table bill has no column tenant", *create("acme", "--tenant-id", "acme"))
        self.on_server(300, "alter table bill drop key one")
        self.assert_command_fails("streams have no such setting", *create("acme", "--tenant-id", "acme", "--config-overrides", "vstream-packet-size=1"))
        self.ctl(*create("acme", "--tenant-id", "acme", "--config-overrides", "relay-log-max-size=5000"))
        self.assert_command_fails("table bill", *create("globex", "--tenant-id", "acme"))
        self.ctl(*create("globex", "--tenant-id", "globex"))
        self.assertEqual(self.keyspace_rules(), sorted(f"{n}{t} > {n}" for n in ("acme", "globex") for t in ("", "@rdonly", "@replica")))
        self.assertEqual(self.routing_rules(), {})

        def copied(tenant):
            return {row for uid in TARGET.values() for row in self.on_server(uid, f"select id, v from bill where tenant = '{tenant}'")}

        def own(uid):
            return set(self.on_server(uid, "select id, v from bill"))

        self.rows("update bill set v = 500 where id < 5", "acme")
        self.rows("delete from bill where id = 6", "globex")
        for name, uid in (("acme", 300), ("globex", 400)):
            self.eventually(lambda name=name, uid=uid: self.assertEqual(copied(name), own(uid)))
        # VDiff sees the rows of one tenant among those of the other, and TRUNCATE takes none of the other's away.
        self.rows("truncate table bill", "globex")
        self.rows("insert into bill(id, tenant, v) values (1, 'globex', 7), (2, 'globex', 8)", "globex")
        self.eventually(lambda: self.assertEqual(copied("globex"), own(400)))
        self.assertEqual(copied("acme"), own(300))
        self.ctl("VDiff", "--workflow", "acme", "--target-keyspace", "dst", "create", "--wait", "--wait-update-interval", "1s")
        shown = json.loads(self.ctl("VDiff", "--workflow", "acme", "--target-keyspace", "dst", "show", "last", "--format", "json"))
        self.assertEqual((shown["State"], shown["HasMismatch"], shown["RowsCompared"]), ("completed", False, ROWS))

        move = ("MoveTables", "--workflow", "acme", "--target-keyspace", "dst")
        out = self.ctl(*move, "switchtraffic", "--tablet-types", "replica,rdonly")
        self.assertIn("Current State: All Reads Switched. Writes Not Switched", out)
        self.assertIn("acme@replica > dst", self.keyspace_rules())
        self.ctl(*move, "reversetraffic", "--tablet-types", "replica,rdonly")
        self.assertIn("Keyspace routing rules for keyspace acme will be updated", self.ctl(*move, "switchtraffic", "--dry-run"))
        self.assertIn("Current State: All Reads Switched. Writes Switched", self.ctl(*move, "switchtraffic"))
        self.rows("insert into bill(id, tenant, v) values (7000, 'acme', 1)", "acme")
        self.assertEqual(self.rows("select count(*) from bill where tenant = 'acme'", "acme"), [(ROWS + 1,)])
        self.assertEqual(len(copied("acme")), ROWS + 1)
        self.assert_command_fails("cannot reverse write traffic for multi-tenant migrations", *move, "reversetraffic")
        self.assert_command_fails("already switched write traffic", *move, "cancel")
        self.rows("insert into bill(id, tenant, v) values (3, 'globex', 9)", "globex")  # Others go on.
        self.ctl("MoveTables", "--workflow", "globex", "--target-keyspace", "dst", "cancel", "--delete-batch-size", "2")
        self.assertEqual((copied("globex"), len(own(400)), len(copied("acme"))), (set(), 3, ROWS + 1))
        self.ctl(*move, "complete")
        self.assertEqual((self.keyspace_rules(), self.on_server(300, "show tables")), ([], []))
        self.assertEqual(self.rows("select count(*) from bill", "dst"), [(ROWS + 1,)])

    def test_6_times_of_another_zone(self):
        self.ctl("ApplySchema", "--sql", "create table clock(id int primary key, at datetime(2), ts timestamp(1) null)", "globex")
        self.eventually(lambda: self.rows("select count(*) from clock", "globex"))
        self.rows("insert into clock(id, at, ts) values (1, '2020-01-01 01:30:00.25', '2020-01-01 01:30:00.5'), (2, null, null)", "globex")
        create = ("MoveTables", "--workflow", "zone", "--target-keyspace", "acme", "create", "--source-keyspace", "globex", "--tables", "clock")
        self.assert_command_fails("does not know the time zone Nowhere/Such", *create, "--source-time-zone", "Nowhere/Such")
        self.ctl(*create, "--source-time-zone", "+02:00")
        move = ("MoveTables", "--workflow", "zone", "--target-keyspace", "acme")
        shown = "select id, cast(at as char), cast(ts as char) from clock order by id"
        here = self.on_server(400, shown)

        def there(*times):
            return [(row[0], time, row[2]) for row, time in zip(self.on_server(400, shown), times)]

        self.eventually(lambda: self.assertEqual(self.on_server(300, shown), there("2019-12-31 23:30:00.25", None)))
        self.rows("update clock set at = '2020-06-01 12:00:00' where id = 2", "globex")
        self.rows("insert into clock(id, at) values (3, '2021-06-01 00:00:00.99')", "globex")
        times = ("2019-12-31 23:30:00.25", "2020-06-01 10:00:00.00", "2021-05-31 22:00:00.99")
        self.eventually(lambda: self.assertEqual(self.on_server(300, shown), there(*times)))
        self.ctl("VDiff", "--workflow", "zone", "--target-keyspace", "acme", "create", "--wait", "--wait-update-interval", "1s")
        self.ctl(*move, "switchtraffic")
        self.rows("insert into clock(id, at) values (4, '2022-01-01 00:00:00')", "acme")
        self.eventually(lambda: self.assertEqual(self.on_server(400, shown)[3:], [(4, "2022-01-01 02:00:00.00", None)]))
        self.assertEqual(self.on_server(400, shown)[:1], here[:1])
        self.ctl(*move, "reversetraffic")
        self.rows("insert into clock(id, at) values (5, '2022-01-01 00:00:00')", "globex")
        self.eventually(lambda: self.assertEqual(self.on_server(300, shown)[4:], [(5, "2021-12-31 22:00:00.00", None)]))
        self.ctl(*move, "cancel")

    def test_7_a_workflow_ends_without_its_source(self):
        for table in ("gone", "next"):
            self.ctl("ApplySchema", "--sql", f"create table {table}(id int primary key, v int)", "globex")
        self.eventually(lambda: self.rows("select count(*) from next", "globex"))
        self.rows("insert into gone(id, v) values (1, 1)", "globex")
        move = ("MoveTables", "--workflow", "left", "--target-keyspace", "acme")

        def running():
            sql = "select state from vreplication where workflow = 'left'"
            wait_until(lambda: self.on_server(300, sql, "_vt") == [("Running",)], "left to run", 60)

        self.ctl(*move, "create", "--source-keyspace", "globex", "--tables", "gone")
        running()
        self.ctl(*move, "switchtraffic")
        # A name that is taken is found before there is no way back.
        self.on_server(400, "create table _gone_old(id int primary key)")
        before = self.everything()
        self.assert_command_fails("cannot be renamed to _gone_old, which is there already", *move, "complete", "--rename-tables")
        self.assertEqual(self.everything(), before)

        self.cluster.processes["vttablet-400"].kill()
        self.assert_command_fails("behind the point of no return", *move, "complete")
        self.ctl(*move, "complete", "--ignore-source-keyspace")
        self.assertEqual((self.ctl("Workflow", "--keyspace", "acme", "list"), self.routing_rules()), ("[]\n", {}))
        self.assertEqual(self.rows("select id, v from gone", "acme"), [(1, 1)])
        self.cluster.restart("vttablet-400")

        # What was left on the source is not taken for the reverse workflow of the next one of that name.
        sources = "select source from vreplication where workflow = 'left_reverse'"
        self.assertIn("gone", self.on_server(400, sources, "_vt")[0][0])
        self.eventually(lambda: self.rows("select count(*) from next", "globex"))
        self.ctl(*move, "create", "--source-keyspace", "globex", "--tables", "next")
        self.assertEqual(self.on_server(400, sources, "_vt"), [])
        running()
        self.ctl(*move, "switchtraffic")
        self.assertIn("next", self.on_server(400, sources, "_vt")[0][0])
        self.ctl(*move, "reversetraffic")
        self.ctl(*move, "cancel", "--ignore-source-keyspace")
        self.assertEqual(self.routing_rules(), {})

    def test_8_an_atomic_copy_is_of_one_moment(self):
        names = ("first", "second", "third")
        for table in names:
            self.ctl("ApplySchema", "--sql", f"create table {table}(id int primary key, v int)", "globex")
        self.eventually(lambda: [self.rows(f"select count(*) from {table}", "globex") for table in names])
        for table in names:
            self.rows(f"insert into {table}(id, v) values (1, 1)", "globex")
        move = ("MoveTables", "--workflow", "one", "--target-keyspace", "acme")
        create = (*move, "create", "--source-keyspace", "globex", "--tables", ",".join(names), "--atomic-copy", "--auto-start=false",
                  "--stop-after-copy", "--defer-secondary-keys=false")
        self.assert_command_fails("keyspaces of one shard", "MoveTables", "--workflow", "one", "--target-keyspace", "acme", "create",
                                  "--source-keyspace", "src", "--all-tables", "--atomic-copy")
        self.ctl(*create)

        def ids():
            return [[row[0] for row in self.on_server(300, f"select id from {table}")] for table in names]

        def states():
            return self.on_server(300, "select state from vreplication where workflow = 'one'", "_vt")

        tablet = self.cluster.tablets[300]
        with self.cluster.server(tablet, "acme") as connection, connection.cursor() as cursor:
            cursor.execute("lock tables second write")
            self.ctl(*move, "start")
            self.eventually(lambda: self.assertEqual(self.on_server(300, "select id from first"), [(1,)]))
            # What was written since the copy began is not in it, however late a table's turn comes.
            for table in names:
                self.rows(f"insert into {table}(id, v) values (2, 2)", "globex")
            cursor.execute("unlock tables")
            self.eventually(lambda: self.assertEqual(states(), [("Stopped",)]))
            self.assertEqual(ids(), [[1], [1], [1]])
            self.assertIn("AtomicCopy", self.ctl("Workflow", "--keyspace", "acme", "show", "--workflow", "one"))
            self.ctl(*move, "cancel")

            # Interrupted it begins anew: as of another moment, the same one for all.
            self.ctl(*create)
            cursor.execute("lock tables second write")
            self.ctl(*move, "start")
            self.eventually(lambda: self.assertEqual(self.on_server(300, "select id from first"), [(1,), (2,)]))
            for table in names:
                self.rows(f"delete from {table} where id = 1", "globex")
            self.cluster.processes["vttablet-300"].kill()
            cursor.execute("unlock tables")
            self.cluster.restart("vttablet-300")
            self.eventually(lambda: self.assertEqual(states(), [("Stopped",)]), 30)
            self.assertEqual(ids(), [[2], [2], [2]])
        self.ctl(*move, "start")
        self.rows("insert into third(id, v) values (3, 3)", "globex")
        self.eventually(lambda: self.assertEqual(ids(), [[2], [2], [2, 3]]), 30)
        self.ctl(*move, "cancel")

    def test_9_tables_of_another_cluster_get_places_here(self):
        """Its tablets know nothing of our vindexes, and have others of their names. The other cluster is this one."""
        keyspaces = {name: json.loads(self.ctl("GetVSchema", name)) for name in ("src", "dst")}
        keyspaces["dst"]["tables"]["abroad"] = {"column_vindexes": [{"column": "id", "name": "hash"}]}
        keyspaces["dst"]["vindexes"]["mine"] = {"type": "reverse_bits"}
        keyspaces["src"]["vindexes"] |= {
            "mine": {"type": "numeric_static_map", "params": {"json": '{"1": 9223372036854775808, "2": 0}', "fallback_type": "xxhash"}},
            "file": {"type": "numeric_static_map", "params": {"json_path": self.cluster.path("places.json")}}}
        with open(self.cluster.path("places.json"), "w", encoding="utf-8") as file:
            file.write('{"1": 0}')
        self.ctl("ApplyVSchema", "--vschema", json.dumps(keyspaces["dst"]), "dst")
        self.ctl("ApplySchema", "--sql", "create table abroad(id bigint primary key auto_increment, v int)", "dst")
        self.eventually(lambda: self.rows("select count(*) from abroad", "dst"))
        self.rows("insert into abroad(id, v) values " + ", ".join(f"({i}, {i})" for i in range(1, ROWS + 1)), "dst")
        self.ctl("Mount", "register", "--topo-type", "sqlite", "--topo-server", self.cluster.topo_address(), "--topo-root", "/vitess/global", "there")
        base = ("Migrate", "--workflow", "abroad", "--target-keyspace", "src")
        create = (*base, "create", "--source-keyspace", "dst", "--tables", "abroad", "--mount-name", "there")
        for pattern, vindex in (("abroad has no primary vindex", None), ("reads a file", "file")):
            if vindex:
                keyspaces["src"]["tables"]["abroad"] = {"column_vindexes": [{"column": "id", "name": vindex}]}
                self.ctl("ApplyVSchema", "--vschema", json.dumps(keyspaces["src"]), "src")
            before = self.everything()
            self.assert_command_fails(pattern, *create)
            self.assertEqual(self.everything(), before)
        keyspaces["src"]["tables"]["abroad"] = {"column_vindexes": [{"column": "id", "name": "mine"}]}
        self.ctl("ApplyVSchema", "--vschema", json.dumps(keyspaces["src"]), "src")
        self.ctl(*create)

        def here():
            return {shard: self.on_server(uid, "select id, v from abroad order by id") for shard, uid in SOURCE.items()}

        def there():
            return sorted(row for uid in TARGET.values() for row in self.on_server(uid, "select id, v from abroad"))

        self.eventually(lambda: self.assertEqual(sorted(here()["-80"] + here()["80-"]), there()), 30)
        # While the copy is followed, too.
        self.rows("insert into abroad(id, v) values (1001, 1), (1002, 2), (1003, 3), (1004, 4)", "dst")
        self.rows("update abroad set v = 77 where id in (1, 2, 3)", "dst")
        self.rows("delete from abroad where id in (4, 5)", "dst")
        self.eventually(lambda: self.assertEqual(sorted(here()["-80"] + here()["80-"]), there()), 30)
        self.assertEqual(here()["80-"][0], (1, 77))
        self.assertEqual(here()["-80"][0], (2, 77))
        self.ctl("VDiff", "--workflow", "abroad", "--target-keyspace", "src", "create", "--wait")
        report = json.loads(self.ctl("VDiff", "--workflow", "abroad", "--target-keyspace", "src", "show", "last", "--format", "json"))
        self.assertEqual((report["State"], report["HasMismatch"], report["RowsCompared"]), ("completed", False, ROWS + 2))
        self.ctl(*base, "complete")
        self.ctl("Mount", "unregister", "there")
        # Each row is where its place is looked for; AUTO_INCREMENT, of which each shard would have its own, is gone.
        for row in there():
            self.assertEqual(self.rows(f"select id, v from abroad where id = {row[0]}", "src"), [row])
        self.assertNotIn("auto_increment", self.on_server(SOURCE["-80"], "show create table abroad")[0][1].lower())


if __name__ == "__main__":
    main()
