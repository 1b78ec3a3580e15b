"""Client libraries with their defaults against vtgate: login, prepared statements, transactions, names of tables. Those
that are not there are left out by name; `tests/clients/drivers.py install` fetches them."""

import concurrent.futures
import json
import os
import subprocess
import sys

from support import REPOSITORY, ClusterTest, main

sys.path.insert(0, os.path.join(REPOSITORY, "tests", "clients"))

from drivers import DRIVERS as CLIENTS  # noqa: E402

ITEM = """create table item(id bigint not null auto_increment, name varchar(64), price decimal(10,2), made datetime,
  primary key(id))"""
EXPECTED = {"inserted": 1, "row": ["a'b", "1.50", "2024-02-29 10:00:00"], "empty": 0, "tables": ["item"], "shown": ["item"],
            "error": True}
MORE = {"PHP mysqli": {"many": [1, 2], "user": True}, "mysql2": {"json": '{"x":1}'}}


class DriversTest(ClusterTest):
    @classmethod
    def prepare(cls):
        cluster = cls.cluster
        cluster.start_vtctld()
        for uid, keyspace in ((100, "shop"), (200, "copy")):
            cluster.vtctldclient("CreateKeyspace", "--durability-policy", "none", keyspace)
            cluster.add_shard(keyspace, "0", uid, ("replica",))
            cluster.vtctldclient("ApplyVSchema", "--vschema", '{"tables": {"item": {}}}', keyspace)
        cluster.vtctldclient("ApplySchema", "--sql", ITEM, "shop")
        cluster.start_vtgate("--tablet-types-to-wait", "PRIMARY")
        (cls.version,), = cluster.server_rows(cluster.primary("shop", "0"), "select version()")

    def run_driver(self, name, find):
        command, env = find()
        done = subprocess.run([*command, str(self.cluster.addresses["vtgate"]["mysql"]), "shop"], capture_output=True, text=True,
                              timeout=120, check=False, env={**os.environ, **env})
        self.assertEqual(done.returncode, 0, f"{name}: {done.stdout}{done.stderr}")
        return dict(json.loads(line) for line in done.stdout.splitlines() if line.startswith("["))

    def test_every_driver_that_is_there(self):
        present = {name: find for name, find in CLIENTS.items() if find() is not None}
        print("left out, not installed:", ", ".join(sorted(set(CLIENTS) - set(present))) or "none", file=sys.stderr)
        self.assertIn("PyMySQL", present)
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            runs = {name: pool.submit(self.run_driver, name, find) for name, find in present.items()}
        for name, run in runs.items():
            with self.subTest(driver=name):
                found = run.result()
                wanted = {**EXPECTED, "version": self.version, **MORE.get(name, {})}
                if "Connector/J" in name:
                    wanted |= {"sorted": True, "described": ["item"]}
                self.assertEqual(found, wanted)

    # --- names: a keyspace, whatever its database is called (vt_shop here) ---
    def test_clients_see_keyspaces_and_no_databases(self):
        here = "select table_name from information_schema.tables where table_schema = "
        for sql, expected in {
                here + "database()": [("item",)],
                here + "'shop' and table_name = 'item'": [("item",)],
                "select distinct table_schema from information_schema.columns where table_name = 'item'": [("shop",)],
                "select schema_name from information_schema.schemata order by 1": [("copy",), ("information_schema",), ("shop",)],
                "select schema_name from information_schema.schemata s where s.schema_name like 'co%'": [("copy",)],
                "show tables where Tables_in_shop = 'item'": [("item",)],
                "show full tables from shop": [("item", "BASE TABLE")],
                "select database()": [("shop",)]}.items():
            self.assertEqual(self.rows(sql, "shop"), expected, sql)
        table = dict(zip(self.columns("select * from information_schema.tables where table_name = 'item'"),
                         self.rows("select * from information_schema.tables where table_name = 'item'", "shop")[0]))
        self.assertEqual(table["TABLE_SCHEMA"], "shop")
        self.assertEqual(self.columns("show tables"), ["Tables_in_shop"])
        (name, text), = self.rows("show create database shop", "shop")
        self.assertEqual((name, text.split("`")[1]), ("shop", "shop"))
        self.assert_sql_refused(1146, "'shop.nowhere'", "select * from nowhere", "shop")
        self.assertEqual(self.rows("select table_name from tables where table_schema = 'shop'", "information_schema"), [("item",)])
        self.assertIn(("TABLES",), self.rows("show tables like 'TAB%'", "information_schema"))
        self.assertEqual(self.rows("select database()", "information_schema"), [("information_schema",)])

    def test_results_in_the_character_sets_of_their_columns(self):
        self.rows("create table western(t varchar(10) character set latin1)", "shop")
        self.rows("insert into western values ('\u00e9')", "shop")
        with self.cluster.connect("shop", use_unicode=False) as connection, connection.cursor() as cursor:
            read = "select t, _utf8mb4'\u00e9' from western"
            for value, text in (("null", b"\xe9"), ("utf8mb4", "\u00e9".encode()), ("null", b"\xe9")):
                cursor.execute(f"set character_set_results = {value}")
                cursor.execute(read)
                self.assertEqual(cursor.fetchall(), ((text, "\u00e9".encode()),))
            cursor.execute("set @a = concat(_utf8mb4'\u00e9', 'x'), @b = convert('y' using latin1)")
            cursor.execute("select @a, @b")
            self.assertEqual(cursor.fetchall(), (("\u00e9x".encode(), b"y"),))
            self.assert_refused((1105, 1235), "CONVERT", lambda: cursor.execute("set @c = convert('\u00e9' using latin1)"))
            cursor.execute("select @c")
            self.assertEqual(cursor.fetchall(), ((None,),))
            cursor.execute("drop table western")

    def columns(self, sql):
        with self.cluster.connect("shop") as connection, connection.cursor() as cursor:
            cursor.execute(sql)
            return [column[0] for column in cursor.description]

    def test_a_dump_of_a_keyspace_can_be_loaded_into_another(self):
        self.rows("insert into item(name, price) values ('x', 2), (null, 3), ('a\\\\''b\"', 4)", "shop")
        self.rows("drop table if exists item", "copy")
        dump = subprocess.run(["mysqldump", "--no-defaults", "--host=127.0.0.1", "--user=demo",
                               f"--port={self.cluster.addresses['vtgate']['mysql']}", "shop"],
                              capture_output=True, text=True, timeout=60, check=False)
        self.assertEqual((dump.returncode, dump.stderr), (0, ""))
        code, _, error = self.mysql_client(dump.stdout, "copy")
        self.assertEqual((code, error), (0, ""))
        everything = "select id, name, price from item order by id"
        self.assertEqual(self.rows(everything, "copy"), self.rows(everything, "shop"))
        self.assertGreaterEqual(len(self.rows(everything, "copy")), 3)


if __name__ == "__main__":
    main()
