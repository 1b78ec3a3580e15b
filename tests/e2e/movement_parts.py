"""A keyspace that is moved shard by shard; and that what is refused has changed nothing, byte for byte."""

import json
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
            (*create, "src", "--tables", "t", "--tablet-types", "DRAINED"), (*create, "src", "--tables", "t", "--atomic-copy"),
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
            ("cancel", "--shards", "80-"), ("cancel", "--delete-batch-size", "7"), ("cancel", "--ignore-source-keyspace"),
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
        self.ctl("ApplyVSchema", "--vschema", json.dumps(VSCHEMA), "src")
        base = ("Materialize", "--workflow", "follow", "--target-keyspace", "src")
        create = (*base, "create", "--source-keyspace", "dst", "--table-settings")

        def settings(expression, ddl="copy", table="t"):
            return json.dumps([{"target_table": table, "source_expression": expression, "create_ddl": ddl}])

        before = self.everything()
        for pattern, text in (
                ("adds nothing up", settings("select v, count(*) from t group by v")), ("adds nothing up", settings("select id, v + 1 from t")),
                ("same name|not found", settings("select * from t", table="u")), ("id .*not selected", settings("select v from t")),
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
        self.ctl(*base, "start")
        self.assertIn("Successfully cancelled the follow workflow", self.ctl(*base, "cancel"))
        self.assertEqual(self.everything(), before)


if __name__ == "__main__":
    main()
