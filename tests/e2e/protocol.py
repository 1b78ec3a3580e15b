"""The MySQL protocol as vtgate speaks it: commands, several statements in one query, prepared statements, frames."""

import os
import struct
import tempfile
import threading

import pymysql
from pymysql.constants import CLIENT
from pymysql.protocol import FieldDescriptorPacket

from binary_protocol import CURSOR_EXISTS, Json, LAST_ROW_SENT, LONG_DATA, RESET, SEND_LONG_DATA, Statement
from support import ClusterTest, main, texts

from vitrail import backend
from vitrail.processes import wait_until

FIELD_LIST, STATISTICS, PROCESS_INFO, CHANGE_USER, SET_OPTION, RESET_CONNECTION = 0x04, 0x09, 0x0A, 0x11, 0x1B, 0x1F
FRAME = (1 << 24) - 1
TABLES = """create table note(id bigint not null auto_increment, body longblob, primary key(id));
create table customer(customer_id bigint not null, name varchar(64), primary key(customer_id))"""
VSCHEMA = """{"sharded": true, "vindexes": {"hash": {"type": "hash"}},
  "tables": {"customer": {"column_vindexes": [{"column": "customer_id", "name": "hash"}]}}}"""


class ProtocolTest(ClusterTest):
    @classmethod
    def prepare(cls):
        cluster = cls.cluster
        cluster.tablet_flags = ["--queryserver-config-transaction-timeout", "300s"]  # 16 MiB take a sanitizer long.
        cluster.start_vtctld()
        for keyspace, shards in (("plain", ["0"]), ("split", ["-80", "80-"])):
            cluster.vtctldclient("CreateKeyspace", "--durability-policy", "none", keyspace)
            for shard in shards:
                cluster.add_shard(keyspace, shard, 100 * (1 + len(cluster.tablets)), ("replica",))
        note, customer = TABLES.split(";")
        cluster.vtctldclient("ApplySchema", "--sql", note, "plain")
        cluster.vtctldclient("ApplySchema", "--sql", customer, "split")
        cluster.vtctldclient("ApplyVSchema", "--vschema", '{"tables": {"note": {}}}', "plain")
        cluster.vtctldclient("ApplyVSchema", "--vschema", VSCHEMA, "split")
        cls.query_log = cluster.path("logs", "queries.log")
        users = '{"demo": [{"Password": ""}], "app": [{"Password": "secret"}]}'
        cluster.start_vtgate("--tablet-types-to-wait", "PRIMARY", "--log-queries-to-file", cls.query_log,
                             "--mysql-auth-server-impl", "static", "--mysql-auth-server-static-string", users,
                             "--memory-per-session", str(100 << 20), "--process-users", "demo")
        with cluster.connect("split") as connection, connection.cursor() as cursor:
            cursor.execute("insert into customer(customer_id, name) values " +
                           ", ".join(f"({n}, 'c{n}')" for n in range(1, 9)))

    def setUp(self):
        self.plain = self.open("plain")

    def open(self, database, **options):
        connection = self.cluster.connect(database, **options)
        self.addCleanup(lambda: connection.open and connection.close())
        return connection

    def run_on(self, connection, sql):
        with connection.cursor() as cursor:
            cursor.execute(sql)
            return texts(cursor.fetchall())

    # --- who is there ---
    def test_the_process_list_is_the_routers(self):
        ruler, app, other = self.plain, self.open("split", user="app", password="secret"), self.open(None, user="app", password="secret")
        number = {connection: self.run_on(connection, "select connection_id()")[0][0] for connection in (ruler, app, other)}
        with app.cursor() as cursor:
            cursor.execute("show processlist")
            names = [column[0] for column in cursor.description]
            seen = {row[0]: dict(zip(names, row)) for row in texts(cursor.fetchall())}
        self.assertEqual(names, ["Id", "User", "Host", "db", "Command", "Time", "State", "Info"] + ([] if backend.wanted() == "mysql" else ["Progress"]))
        self.assertEqual(sorted(seen), sorted([number[app], number[other]]))  # Those of this user alone.
        mine, theirs = seen[number[app]], seen[number[other]]
        self.assertEqual((mine["User"], mine["db"], mine["Command"], mine["Info"]), ("app", "split", "Query", "show processlist"))
        self.assertEqual((theirs["db"], theirs["Command"], theirs["Info"]), (None, "Sleep", None))
        self.assertRegex(mine["Host"], r"^127\.0\.0\.1:[0-9]+$")
        self.assertLessEqual(set(number.values()), {row[0] for row in self.run_on(ruler, "show full processlist")})
        for connection in (ruler, app):  # As a table, in any place where a query may be.
            found = self.run_on(connection, "select p.id, p.USER, info from information_schema.processlist p where p.user = 'app' and command <> 'Query' order by id")
            self.assertEqual(found, [(number[c], "app", None) for c in (app, other) if c is not connection])
        self.run_on(app, "set @n = (select count(*) from information_schema.processlist)")
        self.assertEqual(self.run_on(app, "select @n"), [(2,)])
        statement = Statement(app, "select count(*) from information_schema.processlist where id = ?")
        self.assertEqual([statement.execute(number[other]), statement.execute(number[ruler])], [[(1,)], [(0,)]])
        self.assertEqual(self.error_of(ruler, "select 1 from note, information_schema.processlist"), 1235)
        # A long statement is there while it runs, with the number that KILL takes.
        done = []
        thread = threading.Thread(target=lambda: done.append(self.error_of(app, "select sleep(20), '\u00fc'")))
        thread.start()
        running = "select id from information_schema.processlist where info like 'select sleep(20)%'"
        wait_until(lambda: self.run_on(other, running) == [(number[app],)], "the statement to be seen")
        self.assertEqual(self.error_of(other, f"kill query {number[ruler]}"), 1095)
        self.run_on(ruler, f"kill query {number[app]}")
        thread.join()
        self.assertEqual(done, [1317])

    def error_of(self, connection, sql):
        try:
            self.run_on(connection, sql)
            return None
        except pymysql.MySQLError as error:
            return error.args[0]

    # --- several statements in one query ---
    def results(self, connection, sql):
        """The rows of each result; an error ends them and stands last."""
        out = []
        with connection.cursor() as cursor:
            try:
                cursor.execute(sql)
                while True:
                    out.append(texts(cursor.fetchall()) if cursor.description else cursor.rowcount)
                    if not cursor.nextset():
                        return out
            except pymysql.MySQLError as error:
                return [*out, error.args[0]]

    def test_several_statements_run_one_after_the_other(self):
        many = self.open("split", client_flag=CLIENT.MULTI_STATEMENTS)
        self.assertEqual(self.results(many, "select 1; set @a = 2; select count(*) from customer; select @a;"),
                         [[(1,)], 0, [(8,)], [(2,)]])
        self.assertEqual(self.results(many, "select name from customer where customer_id = 3; select 1 from nowhere; select 2"),
                         [[("c3",)], 1146])
        self.assertEqual(self.run_on(many, "select 5"), [(5,)])
        self.assertEqual(self.results(many, "begin; insert into customer(customer_id, name) values (50, 'x;y'); rollback; "
                                            "select count(*) from customer"), [0, 1, 0, [(8,)]])
        self.assertEqual(self.results(self.plain, "select 1; select 2"), [1064])

    def test_set_option_allows_several_statements(self):
        self.plain._execute_command(SET_OPTION, struct.pack("<H", 0))
        self.assertTrue(self.plain._read_packet().is_eof_packet())
        self.assertEqual(self.results(self.plain, "select 1; select 2"), [[(1,)], [(2,)]])
        self.plain._execute_command(SET_OPTION, struct.pack("<H", 1))
        self.plain._read_packet()
        self.assertEqual(self.results(self.plain, "select 1; select 2"), [1064])
        self.assert_refused(1047, "COM_SET_OPTION", lambda: self.command(self.plain, SET_OPTION, struct.pack("<H", 7)))

    def command(self, connection, number, payload=b""):
        connection._execute_command(number, payload)
        return connection._read_packet()

    # --- commands ---
    def test_reset_connection_leaves_a_fresh_session(self):
        connection = self.plain
        self.run_on(connection, "set @a = 1")
        self.run_on(connection, "set autocommit = 0")
        self.run_on(connection, "set time_zone = '+05:00'")
        self.run_on(connection, "insert into note(body) values ('lost')")
        statement = Statement(connection, "select 1")
        self.assertTrue(self.command(connection, RESET_CONNECTION).is_ok_packet())
        self.assertEqual(self.run_on(connection, "select @a, last_insert_id(), database()"), [(None, 0, "plain")])
        self.assertEqual(self.run_on(connection, "select count(*) from note where body = 'lost'"), [(0,)])
        self.assertNotEqual(self.run_on(connection, "select @@time_zone"), [("+05:00",)])
        self.assert_refused(1243, "Unknown prepared statement", statement.execute)

    def change_user(self, connection, user, password, database):
        payload = (user.encode() + b"\0\0" + database.encode() + b"\0" + struct.pack("<H", 45) +
                   b"mysql_native_password\0")
        packet = self.command(connection, CHANGE_USER, payload)
        self.assertEqual(packet.read_uint8(), 0xFE)
        plugin = packet.read_string()
        self.assertEqual(plugin, b"mysql_native_password")
        nonce = packet.read_all().rstrip(b"\0")
        connection.write_packet(pymysql._auth.scramble_native_password(password.encode(), nonce))
        return connection._read_packet()

    def test_change_user_checks_the_user_and_resets_the_session(self):
        connection = self.plain
        self.run_on(connection, "set @a = 1")
        self.run_on(connection, "begin")
        self.run_on(connection, "insert into note(body) values ('lost')")
        self.assertTrue(self.change_user(connection, "app", "secret", "split").is_ok_packet())
        self.assertEqual(self.run_on(connection, "select @a, database()"), [(None, "split")])
        self.assertEqual(self.run_on(self.open("plain"), "select count(*) from note where body = 'lost'"), [(0,)])
        self.assert_refused(1045, "app", lambda: self.change_user(connection, "app", "wrong", "split"))
        other = self.open("plain")
        self.assert_refused(1049, "nowhere", lambda: self.change_user(other, "app", "secret", "nowhere"))

    def test_the_rest_of_the_commands(self):
        self.assertIn(b"Questions: ", self.command(self.plain, STATISTICS).read_all())
        self.plain._execute_command(FIELD_LIST, b"note\0b%")
        field = FieldDescriptorPacket(self.plain._read_packet().get_all_data(), "utf8")
        self.assertEqual((field.table_name, field.name), ("note", "body"))
        self.assertTrue(self.plain._read_packet().is_eof_packet())
        self.assert_refused(1146, "nowhere", lambda: self.command(self.plain, FIELD_LIST, b"nowhere\0"))
        for number in (0x05, 0x07, 0x08, 0x1D, 0x77):
            self.assert_refused(1047, "Unknown command", lambda n=number: self.command(self.plain, n))
        self.assertEqual(self.run_on(self.plain, "select 1"), [(1,)])

    def test_do_and_comments_answer_ok(self):
        for sql in ("do 1", "do database()", "do last_insert_id(), connection_id()", "/* nothing */", "-- nothing"):
            self.assertEqual(self.run_on(self.plain, sql), [], sql)
            self.assertEqual(self.run_on(self.plain, "select 1"), [(1,)], sql)
        self.assert_refused(1065, "empty", lambda: self.run_on(self.plain, " ; "))

    # --- prepared statements ---
    def prepared(self, connection, sql, *values):
        statement = Statement(connection, sql)
        try:
            return statement.execute(*values)
        finally:
            statement.close()

    def test_prepared_show_answers_in_binary(self):
        for connection in (self.plain, self.open("split")):
            self.assertEqual(sorted(r[0] for r in self.prepared(connection, "show databases"))[:2], ["plain", "split"])
            self.assertEqual(self.prepared(connection, "show databases like ?", "pl%"), [("plain",)])
            self.assertIn(("split/-80",), self.prepared(connection, "show vitess_shards"))
            self.assertEqual(self.prepared(connection, "show variables like ?", "autocommit")[0][0], "autocommit")
        self.assertEqual(self.prepared(self.plain, "show tables"), [("note",)])

    def test_prepared_local_statements_take_parameters(self):
        self.prepared(self.plain, "set @a = ?, @b = ?", 5, "it's")
        self.assertEqual(self.prepared(self.plain, "select @a, @b"), [(5, "it's")])
        self.prepared(self.plain, "begin")
        self.prepared(self.plain, "insert into note(body) values (?)", "lost")
        self.prepared(self.plain, "rollback")
        self.assertEqual(self.run_on(self.plain, "select count(*) from note where body = 'lost'"), [(0,)])

    def test_a_new_prepare_knows_the_table_as_it_is(self):
        sql = "select * from changing where id = 1"
        self.run_on(self.plain, "create table changing(id int primary key, a int)")
        try:
            first = Statement(self.plain, sql)
            self.assertEqual(first.columns, 2)
            first.close()
            self.run_on(self.plain, "alter table changing add column b int")
            for connection in (self.plain, self.open("plain")):
                statement = Statement(connection, sql)
                self.assertEqual(statement.columns, 3)
                self.assertEqual(statement.execute(), [])
        finally:
            self.run_on(self.plain, "drop table changing")

    def long_data(self, statement, parameter, data):
        self.plain._execute_command(SEND_LONG_DATA, struct.pack("<IH", statement.id, parameter) + data)

    def test_long_data_of_any_size_up_to_the_bound(self):
        statement = Statement(self.plain, "insert into note(id, body) values (?, ?)")
        for number, pieces in ((1001, 18), (1002, 70)):
            for _ in range(pieces):
                self.long_data(statement, 1, b"x" * (1 << 20))
            self.assertEqual(statement.execute(number, LONG_DATA), (1, number))
            self.assertEqual(self.run_on(self.plain, f"select length(body) from note where id = {number}"), [(pieces << 20,)])
        for _ in range(101):
            self.long_data(statement, 1, b"x" * (1 << 20))
        self.assert_refused(1041, "parameter 2 .*--memory-per-session", lambda: statement.execute(1003, LONG_DATA))
        self.command(self.plain, RESET, struct.pack("<I", statement.id))
        self.long_data(statement, 2, b"x")
        self.assert_refused(1210, "Incorrect arguments", lambda: statement.execute(1003, LONG_DATA))
        self.command(self.plain, RESET, struct.pack("<I", statement.id))
        self.assertEqual(statement.execute(1003, "y")[0], 1)
        self.assertEqual(self.run_on(self.plain, "select count(*) from note where id = 1003 and body = 'y'"), [(1,)])
        self.run_on(self.plain, "delete from note where id > 1000")

    def test_json_parameters_are_texts(self):
        statement = Statement(self.plain, "select ?")
        self.assertEqual(statement.execute(b'{"a": 1}'), [('{"a": 1}',)])
        self.assertEqual(statement.execute(Json('{"a": 1}')), [('{"a": 1}',)])

    def test_cursors_give_rows_in_pieces(self):
        everything = "select customer_id from customer where customer_id < ? order by customer_id"
        one_shard = "select customer_id from customer where customer_id = ?"
        connection = self.open("split")
        statement = Statement(connection, everything)
        flags, rows = statement.open_cursor(7)
        self.assertEqual((flags & CURSOR_EXISTS, rows), (CURSOR_EXISTS, None))
        fetched = [statement.fetch(4) for _ in range(2)]
        self.assertEqual([[row[0] for row in rows] for rows, _ in fetched], [[1, 2, 3, 4], [5, 6]])
        self.assertEqual([f & (CURSOR_EXISTS | LAST_ROW_SENT) for _, f in fetched], [CURSOR_EXISTS, LAST_ROW_SENT])
        self.assert_refused(1421, "no open cursor", lambda: statement.fetch(1))
        for sql in (everything, one_shard):
            statement = Statement(connection, sql)
            self.assertEqual(statement.open_cursor(-100)[1], None)
            rows, flags = statement.fetch(10)
            self.assertEqual((rows, flags & LAST_ROW_SENT), ([], LAST_ROW_SENT))
        statement.open_cursor(3)
        self.command(connection, RESET, struct.pack("<I", statement.id))
        self.assert_refused(1421, "no open cursor", lambda: statement.fetch(1))
        self.assertEqual(statement.execute(3), [(3,)])
        change = Statement(connection, "update customer set name = ? where customer_id = 3")
        self.assertEqual(change.open_cursor("c3"), (None, (0, 0)))
        # More than the session may keep is sent at once: the client sees no cursor.
        self.run_on(self.plain, "insert into note(id, body) values (3000, repeat('x', 60000000)), (3001, repeat('y', 60000000))")
        flags, rows = Statement(self.plain, "select body from note where id >= ? order by id").open_cursor(3000)
        self.assertEqual([len(row[0]) for row in rows], [60000000, 60000000])
        self.assertEqual(flags & CURSOR_EXISTS, 0)
        self.run_on(self.plain, "delete from note where id >= 3000")

    # --- frames ---
    def test_statements_around_the_multiples_of_a_frame(self):
        inserted = []
        for frames in (1, 2):
            for off in (-60, -21, -2, -1, 0, 1):
                number = 2000 + len(inserted)
                head, tail = f"insert into note(id, body) values ({number}, '", "')"
                size = frames * FRAME + off - 1 - len(head) - len(tail)
                self.run_on(self.plain, "begin")
                self.run_on(self.plain, head + "a" * size + tail)
                self.run_on(self.plain, "commit")
                inserted.append((number, size))
        self.assertEqual(self.run_on(self.plain, "select id, length(body) from note where id >= 2000 order by id"), inserted)
        # An error too has the number that the client waits for; and so have rows behind a long statement.
        head = "select length(concat('"
        self.assertEqual(self.run_on(self.plain, head + "b" * FRAME + "'))"), [(FRAME,)])
        self.assert_refused(1146, "nowhere", lambda: self.run_on(self.plain, f"insert into nowhere values ('{'c' * FRAME}')"))
        self.run_on(self.plain, "delete from note where id >= 2000")

    # --- the statement's text lives as long as it is needed ---
    def test_the_query_log_has_the_text_of_load_data(self):
        connection = self.open("plain", local_infile=True)
        with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
            file.write("".join(f"{n}\t{'z' * 90}\n" for n in range(5000, 9000)))
            file.flush()
            sql = f"load data local infile '{file.name}' into table note(id, body)"
            self.run_on(connection, sql)
            name = os.path.basename(file.name)
        self.assertEqual(self.run_on(connection, "select count(*) from note where id >= 5000"), [(4000,)])

        def logged():
            with open(self.query_log, encoding="utf-8") as log:
                self.assertTrue(any(name in line and "into table note" in line for line in log))
        self.eventually(logged)
        self.run_on(connection, "delete from note where id >= 5000")


if __name__ == "__main__":
    main()
