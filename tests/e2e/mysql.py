"""MySQL beside MariaDB in one cluster: SQL, moves in both directions with what only MySQL's binlog has, and a reparent. The other
tests run on it by `./dev test --backend mysql`."""

import json
import sys

import pymysql
from support import ClusterTest, Failure, main, wait_until

from vitrail import backend

ITEM = """create table item(id bigint primary key, name varchar(40) collate utf8mb4_0900_as_cs, price float, doc json, place point,
  note varchar(20) character set latin1, kind enum('a','b'), key(name))"""
PART = "create table part(id bigint primary key, name varchar(40), price double, unique key(name))"


class MysqlTest(ClusterTest):
    """The tests build on each other: names give the order."""

    @classmethod
    def prepare(cls):
        cluster = cls.cluster
        cluster.backend = "mysql"
        cluster.start_vtctld()
        for keyspace in ("commerce", "customer"):
            cluster.vtctldclient("CreateKeyspace", "--durability-policy", "none", keyspace)
        cluster.tablet_flags = ["--queryserver-config-pool-size", "3"]
        cluster.add_shard("commerce", "0", 100, ("replica", "replica"))
        cluster.tablet_flags = []
        cluster.backend = "mariadb"
        cluster.add_shard("customer", "0", 200, ("replica",))
        cluster.vtctldclient("ApplySchema", "--sql", ITEM, "commerce")
        cluster.vtctldclient("ApplySchema", "--sql", PART, "customer")
        cluster.vtctldclient("ApplyVSchema", "--vschema", '{"tables": {"item": {}}}', "commerce")
        cluster.vtctldclient("ApplyVSchema", "--vschema", '{"tables": {"part": {}}}', "customer")
        cluster.start_vtgate("--tablet-types-to-wait", "PRIMARY")

    def on_server(self, uid, *statements):
        """The last one's rows."""
        tablet = self.cluster.tablets[uid]
        with self.cluster.server(tablet, tablet.keyspace) as connection, connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)
            return list(cursor.fetchall())

    def full_status(self, uid):
        return json.loads(self.ctl("GetFullStatus", f"zone1-{uid}"))

    def move(self, target, action, *flags):
        return self.ctl("MoveTables", "--workflow", "w", "--target-keyspace", target, action, *flags)

    def start_move(self, source, target, table):
        self.move(target, "create", "--source-keyspace", source, "--tables", table)

        def running():
            streams = self.on_server(200 if target == "customer" else 100, "select state, message from _vt.vreplication")
            self.assertNotIn("Error", str(streams))
            return {state.decode() for state, _ in streams} == {"Running"}
        wait_until(running, "the copy to end", 60)

    def assert_same(self, target):
        try:
            self.ctl("VDiff", "--workflow", "w", "--target-keyspace", target, "create", "--wait", "--wait-update-interval", "1s")
        except Failure:
            pass  # The report tells what differs.
        report = json.loads(self.ctl("VDiff", "--workflow", "w", "--target-keyspace", target, "show", "last", "--format", "json"))
        self.assertEqual((report["State"], report["HasMismatch"]), ("completed", False), report)

    def test_1_sessions(self):
        self.rows("""insert into item(id, name, price, doc, note) values (1, 'one', 1.5, '{"a": [1, 2], "b": {"c": "d"}}', 'x'),
                     (2, 'two', -0e0, null, 'y'), (3, 'three', 3, '[]', null)""", "commerce")
        self.rows("update item set place = st_geomfromtext('point(1 2)') where id < 3", "commerce")
        clients = []
        for _ in range(8):  # More than there are connections to the server: none keeps one behind its transaction.
            client = self.cluster.connect("commerce")
            self.addCleanup(client.close)
            clients.append(client)
            with client.cursor() as cursor:
                cursor.execute("set session transaction isolation level read committed")
                cursor.execute("begin")
                cursor.execute("update item set note = 'z' where id = 3")
                cursor.execute("commit")
                cursor.execute("select @@transaction_isolation, note from item where id = 3")
                self.assertEqual(cursor.fetchall(), (("READ-COMMITTED", "z"),))
        with clients[0].cursor() as cursor:
            cursor.execute("set session tx_read_only = 1")
            with self.assertRaisesRegex(pymysql.MySQLError, "READ ONLY"):
                cursor.execute("delete from item where id = 1")
            cursor.execute("set session transaction_read_only = 0")
            cursor.execute("select @@session.transaction_read_only")
            self.assertEqual(cursor.fetchall(), ((0,),))

    def test_2_tables_move_to_mariadb(self):
        # Also what is written meanwhile, in whatever way MySQL logs it.
        self.on_server(100, "set global binlog_transaction_compression = on", "set global binlog_row_value_options = 'PARTIAL_JSON'")
        self.start_move("commerce", "customer", "item")
        self.on_server(100, "set gtid_next = 'AUTOMATIC:tagged'", "insert into item(id, name, price) values (10, 'tag', -0e0)",
                       "update item set doc = json_set(doc, '$.b.c', 'other', '$.a[1]', 7, '$.\"new one\"', true) where id = 1",
                       "update item set doc = json_remove(doc, '$.a[0]'), place = point(3, 4) where id = 1")
        self.rows("insert into item(id, name, note, kind) values (11, 'ü', 'é', 'b')", "commerce")
        self.assertIn(":tagged:", self.full_status(100)["primary_status"]["position"])
        self.assert_same("customer")
        self.move("customer", "switchtraffic")
        read = "select id, name, price, json_compact(doc), st_astext(place), note, kind from item order by id"
        self.assertEqual(self.rows(read, "customer"), [
            (1, "one", 1.5, '{"a":[7],"b":{"c":"other"},"new one":true}', "POINT(3 4)", "x", None),
            (2, "two", 0.0, None, "POINT(1 2)", "y", None), (3, "three", 3.0, "[]", None, "z", None),
            (10, "tag", 0.0, None, None, None, None), (11, "ü", None, None, None, "é", "b")])
        self.rows("update item set note = 'back' where id = 11", "commerce")
        self.eventually(lambda: self.assertEqual(self.on_server(100, "select note from item where id = 11"), [("back",)]))
        self.move("customer", "complete")

    def test_3_tables_move_to_mysql(self):
        self.on_server(100, "set global local_infile = off")
        self.on_server(200, "insert into part values (1, 'one', 1), (2, 'two', -0e0), (3, 'three', 1e-300)")
        self.start_move("customer", "commerce", "part")
        self.rows("insert into part values (4, 'four', 4)", "customer")
        self.assert_same("commerce")
        self.move("commerce", "switchtraffic")
        self.assertEqual(self.rows("select id, name, price from part order by id", "customer"),
                         [(1, "one", 1.0), (2, "two", 0.0), (3, "three", 1e-300), (4, "four", 4.0)])
        self.move("commerce", "complete")

    def test_4_a_planned_reparent(self):
        self.ctl("PlannedReparentShard", "--new-primary", "zone1-101", "commerce/0")
        self.assertEqual(self.cluster.primary("commerce", "0").uid, 101)
        self.rows("insert into part values (5, 'five', 5)", "commerce")
        self.eventually(lambda: self.assertEqual(self.on_server(100, "select count(*) from part"), [(5,)]))
        old, new = self.full_status(100), self.full_status(101)
        self.assertEqual(old["replication_status"]["source_uuid"], new["server_uuid"])
        self.assertEqual((old["super_read_only"], new["super_read_only"]), (True, False))

    def test_5_missing_plugins_are_named_before_anything_changes(self):
        self.on_server(100, "set sql_log_bin = 0", "set global read_only = 0", "uninstall plugin rpl_semi_sync_source",
                       "uninstall plugin rpl_semi_sync_replica")
        self.ctl("SetKeyspaceDurabilityPolicy", "--durability-policy", "semi_sync", "commerce")
        self.assert_command_fails("zone1-0000000100.*lacks its plugins", "ValidateShard", "--ping-tablets", "commerce/0")
        self.assert_command_fails("zone1-0000000100.*lacks its plugins", "PlannedReparentShard", "--new-primary", "zone1-100", "commerce/0")
        self.assertEqual(self.cluster.primary("commerce", "0").uid, 101)
        self.rows("insert into part values (6, 'six', 6)", "commerce")


if __name__ == "__main__":
    if backend.without_mysql():
        print(f"left out: {backend.without_mysql()}")
        sys.exit(77)
    main()
