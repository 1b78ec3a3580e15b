"""What clients see of one logical server: names of databases, character sets of results, dumps. The clients themselves are
run by `tests/clients`."""

import subprocess

from support import ClusterTest, main

ITEM = """create table item(id bigint not null auto_increment, name varchar(64), price decimal(10,2), made datetime,
  primary key(id))"""


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

    def test_columns_of_names_keep_their_own(self):
        one = "select table_schema, table_name from information_schema.tables where table_name = 'item'"
        for sql in (one, f"{one} union {one}", f"select * from ({one}) t", f"select t.table_schema, 1 as table_name from ({one}) t"):
            with self.cluster.connect("shop") as connection, connection.cursor() as cursor:
                cursor.execute(sql)
                self.assertEqual([column[0] for column in cursor.description], ["table_schema", "table_name"], sql)
                self.assertEqual(cursor.fetchone()[0], "shop")

    def test_show_variables_says_what_select_says(self):
        with self.cluster.connect("shop", autocommit=False) as connection, connection.cursor() as cursor:
            for setting, name in (("autocommit = 0", "autocommit"), ("autocommit = 1", "autocommit"), ("sql_mode = ''", "sql_mode"),
                                  ("tx_isolation = 'SERIALIZABLE'", "tx_isolation")):
                cursor.execute(f"set {setting}")
                cursor.execute(f"select @@session.{name}")
                (value,), = cursor.fetchall()
                value = {0: "OFF", 1: "ON"}.get(value, value)
                for form in ("variables like", "session variables like", "local variables where variable_name ="):
                    cursor.execute(f"show {form} '{name}'")
                    self.assertEqual(cursor.fetchall(), ((name, value),), form)
            cursor.execute("set autocommit = 0")
            cursor.execute("show global variables like 'autocommit'")
            self.assertEqual(cursor.fetchall(), (("autocommit", "ON"),))

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
