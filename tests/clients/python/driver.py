"""A driver by itself: driver.py MODULE PORT DATABASE. Prints a line of JSON for each step."""

import datetime
import decimal
import importlib
import json
import sys

CREATE = """create table item(id bigint not null auto_increment, name varchar(64) not null, price decimal(10,2), made datetime,
  ratio double, data mediumblob, active tinyint(1) default 1, kind enum('a','b'), primary key(id), key by_name(name)) default charset=utf8mb4"""
COLUMNS = "insert into item(name, price, made, ratio, data, kind) values (%s, %s, %s, %s, %s, %s)"
ROWS = [("a'b", decimal.Decimal("1.50"), datetime.datetime(2024, 2, 29, 10), 0.25, b"\x00\xff'\\", "a"),
        ("Zo\u00eb \U0001F600", None, None, None, None, "b"), ("c%d\\", decimal.Decimal("-3.00"), datetime.datetime(1999, 12, 31, 23, 59, 59), 1e100, b"", None)]


def plain(value):
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, (bytes, bytearray)):
        return value.hex()
    return value if isinstance(value, (int, float, str, type(None))) else str(value)


def say(step, value):
    print(json.dumps([step, plain(value)]), flush=True)


class Scenario:
    def __init__(self, module, port, database):
        self.driver = importlib.import_module(module)
        self.module = module
        self.options = {"host": "127.0.0.1", "port": int(port), "user": "demo", "database": database, "charset": "utf8mb4"}
        self.connection = self.connect()

    def connect(self, **more):
        return self.driver.connect(**{**self.options, **more})

    def rows(self, sql, arguments=(), connection=None, **options):
        cursor = (connection or self.connection).cursor(**options)
        cursor.execute(sql, arguments or None) if self.module != "mysql.connector" else cursor.execute(sql, arguments)
        found = cursor.fetchall() if cursor.description else cursor.rowcount
        cursor.close()
        return found

    def error(self, step, sql, arguments=()):
        try:
            self.rows(sql, arguments)
            say(step, "no error")
        except self.driver.Error as error:
            say(step, [type(error).__name__, error.args[0]])

    def login(self):
        say("version", self.rows("select substring_index(version(), '-', 2)"))
        say("settings", self.rows("select @@autocommit, @@sql_mode, @@character_set_client, @@collation_connection"))
        say("isolation", self.rows("show variables where variable_name = 'tx_isolation'"))
        self.rows("drop table if exists item")
        say("create", self.rows(CREATE))
        say("tables", self.rows("show tables"))
        say("columns", self.rows("show full columns from item"))
        say("keys", [row[:5] for row in self.rows("show index from item")])

    def write_and_read(self):
        cursor = self.connection.cursor()
        cursor.execute(COLUMNS, ROWS[0])
        first = cursor.lastrowid
        say("inserted", [cursor.rowcount, first > 0])
        self.connection.commit()
        cursor.executemany(COLUMNS, ROWS[1:])
        say("many", [cursor.rowcount, cursor.lastrowid is None or cursor.lastrowid > first])
        self.connection.commit()
        cursor.execute("select name, price, made, ratio, data, active, kind from item order by id")
        say("types", [column[1] for column in cursor.description])
        say("read", cursor.fetchall())
        for one in ROWS:
            say("by name", self.rows("select count(*), max(price) from item where name = %s", (one[0],)))
        say("in", self.rows("select name from item where name in (%s, %s) order by name", ("a'b", "c%d\\")))
        say("updated", self.rows("update item set price = price + 1 where name = %s", ("a'b",)))
        say("not changed", self.rows("update item set price = price where name = %s", ("a'b",)))
        self.connection.commit()
        say("aggregate", self.rows("select kind, count(*), sum(price), avg(ratio) from item group by kind order by kind"))
        say("deleted", self.rows("delete from item where name like %s", ("c%",)))
        self.connection.commit()

    def transactions(self):
        self.rows("update item set name = 'lost'")
        self.connection.rollback()
        say("rolled back", self.rows("select count(*) from item where name = 'lost'"))
        self.rows("insert into item(name) values ('kept')")
        self.rows("savepoint one")
        self.rows("insert into item(name) values ('undone')")
        self.rows("rollback to savepoint one")
        self.connection.commit()
        say("savepoint", self.rows("select name from item where name in ('kept', 'undone')"))
        other = self.connect()
        self.rows("insert into item(name) values ('unseen')")
        say("isolated", self.rows("select count(*) from item where name = 'unseen'", connection=other))
        self.connection.commit()
        other.rollback()
        say("seen", self.rows("select count(*) from item where name = 'unseen'", connection=other))
        other.close()
        auto = self.connect(autocommit=True)
        self.rows("insert into item(name) values ('auto')", connection=auto)
        say("autocommit", self.rows("select @@autocommit", connection=auto))
        auto.close()
        self.connection.rollback()
        say("auto", self.rows("select count(*) from item where name = 'auto'"))

    def prepared(self):
        if self.module != "mysql.connector":
            return
        cursor = self.connection.cursor(prepared=True)
        for name in ("a'b", "Zo\u00eb \U0001F600", "nobody"):
            cursor.execute("select name, price, made, ratio, data from item where name = %s", (name,))
            say("prepared", cursor.fetchall())
        cursor.execute("insert into item(name, data, price) values (%s, %s, %s)", ("prepared", b"\x01" * 70000, decimal.Decimal("2.5")))
        self.connection.commit()
        cursor.execute("select length(data), price from item where name = %s", ("prepared",))
        say("long data", cursor.fetchall())

    def errors(self):
        self.error("no table", "select * from nowhere")
        self.error("no column", "select nothing from item")
        self.error("syntax", "selec 1")
        self.error("null", "insert into item(name) values (null)")
        (kept,), = self.rows("select id from item where name = 'kept'")
        self.error("duplicate", "insert into item(id, name) values (%s, 'kept')", (kept,))
        self.error("too long", "insert into item(name) values (repeat('x', 100))")
        self.error("no database", "use nowhere_at_all")
        self.error("not an enum", "insert into item(name, kind) values ('x', 'z')")
        self.connection.rollback()
        say("alive", self.rows("select 1"))

    def the_rest(self):
        say("schema", self.rows("select table_name, engine, table_rows >= 0 from information_schema.tables where table_schema = database()"))
        say("described", self.rows("select column_name, column_type, is_nullable from information_schema.columns "
                                   "where table_schema = database() and table_name = 'item' order by ordinal_position"))
        self.rows("set @a = 5")
        say("variable", self.rows("select @a + 1"))
        self.rows("insert into item(name) values ('x')")
        say("last id", self.rows("select last_insert_id() = max(id) from item"))
        self.connection.commit()
        try:
            self.rows("create temporary table scratch(a int)")
            self.rows("insert into scratch values (1), (2)")
            say("temporary", self.rows("select sum(a) from scratch"))
        except self.driver.Error as error:
            say("temporary", error.args[0])
        say("show", self.rows("show variables like 'autocommit'"))
        say("altered", self.rows("alter table item add column more json"))
        self.rows("truncate table item")
        say("emptied", self.rows("select count(*) from item"))
        self.rows("drop table item")
        say("left", self.rows("show tables"))
        ping = getattr(self.connection, "ping", None)
        say("ping", ping is None or ping() in (None, True))
        self.connection.close()

    def run(self):
        for part in (self.login, self.write_and_read, self.transactions, self.prepared, self.errors, self.the_rest):
            part()


if __name__ == "__main__":
    Scenario(*sys.argv[1:]).run()
