"""Transactions over shards, statements that are ended, and fences: what one server promises holds over two shards."""

import socket
import threading

import pymysql

from binary_protocol import Statement
from support import ClusterTest, main, texts

from vitrail import backend
from vitrail.processes import wait_until

UN = "create table u(id bigint primary key, v int); create table other(id bigint primary key, v int)"
SH = "create table t(id bigint primary key, v int); create table d(id bigint primary key, v int)"
UN_VSCHEMA = '{"tables": {"u": {}, "other": {}, "w": {}, "log": {}}}'
SH_VSCHEMA = """{"sharded": true, "vindexes": {"hash": {"type": "hash"}}, "tables": {
  "t": {"column_vindexes": [{"column": "id", "name": "hash"}], "columns": [{"name": "id"}, {"name": "v"}],
        "column_list_authoritative": true},
  "d": {"column_vindexes": [{"column": "id", "name": "hash"}], "columns": [{"name": "id"}, {"name": "v"}],
        "column_list_authoritative": true}}}"""
LOW, HIGH = (1, 2, 3, 5), (4, 6, 7)  # Ids on -80 and on 80- (S3-82).
DEADLOCK, REFUSED = 1213, (1105, 1235)


class Client:
    def __init__(self, cluster, database, **options):
        self.connection = cluster.connect(database, **options)

    def __call__(self, sql):
        with self.connection.cursor() as cursor:
            cursor.execute(sql)
            return texts(cursor.fetchall())

    def error(self, sql):
        try:
            self(sql)
            return None
        except pymysql.MySQLError as error:
            return error.args[0]

    def close(self):
        self.connection.close()


class TransactionsTest(ClusterTest):
    @classmethod
    def prepare(cls):
        cluster = cls.cluster
        cluster.tablet_flags = ["--queryserver-config-query-timeout", "3s", "--queryserver-config-transaction-timeout", "4s",
                                "--fence-grace-period", "300ms", "--queryserver-config-pool-size", "4"]
        cluster.start_vtctld()
        for keyspace in ("un", "sh"):
            cluster.vtctldclient("CreateKeyspace", "--durability-policy", "none", keyspace)
        cls.un = cluster.add_shard("un", "0", 700, ("replica",))[0]
        cls.low = cluster.add_shard("sh", "-80", 710, ("replica",))[0]
        cls.high = cluster.add_shard("sh", "80-", 720, ("replica",))[0]
        cluster.vtctldclient("ApplySchema", "--sql", UN, "un")
        cluster.vtctldclient("ApplySchema", "--sql", SH, "sh")
        cluster.vtctldclient("ApplyVSchema", "--vschema", UN_VSCHEMA, "un")
        cluster.vtctldclient("ApplyVSchema", "--vschema", SH_VSCHEMA, "sh")
        cluster.start_vtgate("--tablet-types-to-wait", "PRIMARY")

    def setUp(self):
        self.clients = []
        for client, tables in ((self.client("sh"), ("t", "d")), (self.client("un"), ("u", "other"))):
            for table in tables:
                client(f"delete from {table}")

    def tearDown(self):
        for client in self.clients:
            client.close()

    def client(self, database="sh", **options):
        client = Client(self.cluster, database, **options)
        self.clients.append(client)
        return client

    def server(self, tablet):
        connection = self.cluster.server(tablet, tablet.keyspace)
        self.addCleanup(connection.close)

        def run(sql):
            with connection.cursor() as cursor:
                cursor.execute(sql)
                return texts(cursor.fetchall())
        return run

    def ids(self, table="t"):
        return [row[0] for row in self.rows(f"select id from {table} order by id", "sh" if table in ("t", "d") else "un")]

    # --- errors ---
    def test_an_error_on_one_shard_undoes_the_statement_alone(self):
        client = self.client()
        client("insert into t values (4, 0)")
        client("begin")
        client("insert into t values (1, 100)")
        client("savepoint s1")
        self.assertEqual(client.error("insert into t values (2, 1), (4, 1)"), 1062)
        self.assertEqual(client.error("insert into t values (7, 1), (3, 1), (4, 1)"), 1062)
        client("insert into t values (3, 300)")
        client("commit")
        self.assertEqual(self.ids(), [1, 3, 4])
        client("begin")
        client("insert into t values (5, 0)")
        self.assertEqual(client.error("insert into t values (2, 1), (4, 1)"), 1062)
        client("insert into t values (6, 0)")
        client("rollback")
        self.assertEqual(self.ids(), [1, 3, 4])

    def test_an_ended_transaction_lets_nothing_run_until_rollback(self):
        a, b = self.client(), self.client()
        a("insert into t values (1, 0), (2, 0)")
        a("begin")
        a("insert into t values (7, 7)")
        a("update t set v = 1 where id = 1")
        b("begin")
        b("update t set v = 2 where id = 2")
        errors = []
        thread = threading.Thread(target=lambda: errors.append(a.error("update t set v = 1 where id = 2")))
        thread.start()
        errors.append(b.error("update t set v = 2 where id = 1"))
        thread.join()
        self.assertEqual(sorted(errors, key=str), [DEADLOCK, None])
        loser, winner = (a, b) if errors[0 if errors[1] is None else 1] and b.error("select 1") is None else (b, a)
        self.assertEqual(loser.error("insert into t values (3, 3)"), DEADLOCK)
        self.assertEqual(loser.error("select 1"), DEADLOCK)
        loser("rollback")
        winner("rollback")
        self.assertEqual(self.ids(), [1, 2])

    def test_a_transaction_that_was_idle_for_too_long_is_told_as_such(self):
        client = self.client()
        client("begin")
        client("insert into t values (1, 1)")
        client("insert into t values (4, 1)")
        look = self.server(self.low)
        mine = look("select trx_mysql_thread_id from information_schema.innodb_trx where trx_mysql_thread_id <> 0")[0][0]
        wait_until(lambda: not look(f"select id from information_schema.processlist where id = {mine}"),
                   "the tablet's timeout", 15)
        self.assertEqual(client.error("insert into t values (2, 2)"), DEADLOCK)
        self.assertEqual(client.error("insert into t values (3, 2)"), DEADLOCK)
        self.assertEqual(client.error("commit"), DEADLOCK)
        client("insert into t values (5, 5)")
        self.assertEqual(self.ids(), [5])

    def test_a_lost_participant_is_not_followed_by_half_a_commit(self):
        for probe in ("select count(*) from d", "select v from d where id = 4", None):
            client = self.client()
            client("delete from d")
            client("begin")
            client("insert into d values (1, 1)")
            client("insert into d values (4, 1)")
            self.cluster.processes[self.high.name].kill()
            try:
                if probe:
                    self.assertIsNotNone(client.error(probe))
                self.assertEqual(client.error("commit"), DEADLOCK)
            finally:
                self.cluster.restart(self.high.name)
            self.eventually(lambda: self.assertEqual(self.ids("d"), []), 20)

    def test_ddl_runs_once_on_each_shard(self):
        client = self.client()
        client("alter table d add column once int")
        self.cluster.processes[self.high.name].kill()
        self.cluster.processes[self.high.name].wait_ended(10)  # Else the statement may reach it, and nobody knows what became of it.
        thread = threading.Timer(1.0, lambda: self.cluster.restart(self.high.name))
        thread.start()
        try:
            client("alter table d add column twice int")
        finally:
            thread.join()
        for tablet in (self.low, self.high):
            columns = [row[0] for row in self.server(tablet)("show columns from d")]
            self.assertEqual(columns, ["id", "v", "once", "twice"])
        self.server(self.high)("alter table d drop column twice")
        with self.assertRaisesRegex(pymysql.MySQLError, "done on sh/-80; not done on sh/80-"):
            client("alter table d drop column twice")
        client("alter table d drop column once")

    # --- beginnings and ends ---
    def test_savepoints_anywhere(self):
        client = self.client()
        client("begin")
        client("savepoint a")
        client("insert into t values (1, 1), (4, 1)")
        client("savepoint b")
        client("insert into t values (2, 1), (6, 1)")
        client("rollback to b")
        client("insert into t values (7, 1)")
        self.assertEqual(client("select id from t order by id"), [(1,), (4,), (7,)])
        client("rollback to a")
        self.assertEqual(client.error("rollback to b"), 1305)
        client("insert into t values (3, 1)")
        client("commit")
        self.assertEqual(self.ids(), [3])
        client("set autocommit = 0")
        client("savepoint a")
        client("insert into t values (5, 1)")
        client("rollback to a")
        client("commit")
        self.assertEqual(self.ids(), [3])
        client("set autocommit = 1")
        self.assertEqual(client.error("rollback to a"), 1305)

    def test_how_transactions_begin(self):
        client = self.client()
        client("insert into t values (1, 1), (4, 1)")
        client("start transaction read only")
        self.assertEqual(client.error("update t set v = 2 where id = 1"), 1792)
        client("commit")
        client("set transaction read only")
        self.assertEqual(client.error("update t set v = 2 where id = 1"), 1792)
        client("begin")
        client("commit")
        client("update t set v = 2 where id = 1")
        client("set transaction isolation level serializable")
        client("begin")
        self.assertEqual(client.error("set transaction read only"), 1568)
        client("commit")
        self.assertEqual(client(f"select @@{self.cluster.words.isolation}"), [("REPEATABLE-READ",)])
        client("start transaction with consistent snapshot")
        self.client()("update t set v = 50")
        self.assertEqual(client("select v from t order by id"), [(2,), (1,)])
        client("commit and chain")
        self.assertEqual(client("select v from t order by id"), [(50,), (50,)])
        client("insert into t values (2, 2)")
        client("rollback and no chain")
        client("insert into t values (3, 3)")
        self.assertEqual(self.ids(), [1, 3, 4])
        client("begin")
        client("commit release")
        self.assertIn(client.error("select 1"), (0, 2006, 2013))

    def test_safe_updates_are_safe_over_shards(self):
        client = self.client("sh")
        client("insert into t values (1, 1), (4, 1)")
        client("set sql_safe_updates = 1")
        for sql in ("update t set v = 2", "delete from t", "delete from t order by v limit 1",
                    "update t set v = 2 where v in (select v from d)"):
            self.assertEqual(client.error(sql), 1175, sql)
        client("update t set v = 2 where id in (1, 4)")
        client("set sql_safe_updates = 0")
        client("delete from t order by id limit 1")
        self.assertEqual(client("select id, v from t"), [(4, 2)])

    def test_single_transactions_stay_on_one_shard(self):
        client = self.client()
        client("set transaction_mode = 'single'")
        client("begin")
        client("insert into t values (1, 1)")
        client("insert into t values (2, 1)")
        self.assertIn(client.error("insert into t values (4, 1)"), (1105, 1235))
        self.assertIn(client.error("select count(*) from t"), (1105, 1235))
        client("commit")
        self.assertIn(client.error("insert into t values (3, 1), (4, 1)"), (1105, 1235))
        self.assertEqual(self.ids(), [1, 2])
        client("set transaction_mode = multi")
        client("insert into t values (3, 1), (4, 1)")
        self.assertEqual(self.ids(), [1, 2, 3, 4])

    def test_locked_tables_on_all_shards(self):
        a, b = self.client(), self.client()
        a("lock tables t write")
        a("insert into t values (1, 1), (4, 1)")
        a("select sql_calc_found_rows id from t where id = 1 limit 1")  # What asks more of its connection than an answer.
        # A change over shards is made on all of them or on none, and no table is let go by it.
        self.assertEqual(a.error("insert into t values (2, 1), (4, 9)"), 1062)
        self.assertEqual(a.error("update t set v = if(id = 4, 'x', 9)"), 1366)
        self.assertEqual(a("select id, v from t order by id"), [(1, 1), (4, 1)])
        a("update t set v = v + 1")
        self.assertEqual(a("select id, v from t order by id"), [(1, 2), (4, 2)])
        a("rollback")  # It has committed.
        done = []
        thread = threading.Thread(target=lambda: done.append(b("select count(*) from t")))
        thread.start()
        thread.join(0.3)
        self.assertEqual(done, [])
        a("unlock tables")
        thread.join()
        self.assertEqual(done, [[(2,)]])
        self.assertEqual(b("select id, v from t order by id"), [(1, 2), (4, 2)])
        a("delete from t where id = 1")  # Commits by itself again.
        self.assertEqual(b("select id from t"), [(4,)])

    # SET autocommit = 0; LOCK TABLES; ...; COMMIT; UNLOCK TABLES: no transaction of these begins with BEGIN, which lets tables go.
    def test_locked_tables_outlive_transactions_without_autocommit(self):
        for keyspace, table, rows in (("un", "u", "(1, 1)"), ("sh", "t", "(1, 1), (4, 1)")):
            for first, second in (("set autocommit = 0", f"lock tables {table} write"), (f"lock tables {table} write", "set autocommit = 0")):
                with self.subTest(keyspace=keyspace, first=first):
                    a, b = self.client(keyspace), self.client(keyspace)
                    b("set lock_wait_timeout = 1")
                    a(first)
                    a(second)
                    a(f"insert into {table} values {rows}")
                    a("rollback")
                    a(f"insert into {table} values {rows}")
                    a("savepoint s")
                    a(f"update {table} set v = 2 where id = 1")
                    a("rollback to s")
                    a("commit")
                    self.assertEqual(b.error(f"select * from {table}"), 1205)
                    a(f"update {table} set v = 3 where id = 1")
                    a("unlock tables")  # Commits.
                    self.assertEqual(b(f"select v from {table} where id = 1"), [(3,)])
                    a(f"update {table} set v = 4")
                    a("rollback")
                    a(f"lock tables {table} write")
                    a(f"delete from {table} where id = 1")
                    a("set autocommit = 1")  # Commits, and lets nothing go.
                    self.assertEqual(b.error(f"select * from {table}"), 1205)
                    a("begin")
                    self.assertEqual(b(f"select v from {table} where id = 1"), [])
                    a("rollback")
                    a(f"delete from {table}")

    # --- ends of statements ---
    def running(self, tablet, part):
        return self.server(tablet)("select count(*) from information_schema.processlist where command = 'Query' and info "
                                   f"like '%{part}%' and info not like '%processlist%'")[0][0]

    def test_kill_query_ends_the_statement_in_the_server(self):
        victim, other = self.client("un"), self.client("un")
        number = victim("select connection_id()")[0][0]
        victim("begin")
        victim("insert into u values (1, 1)")
        errors = []
        thread = threading.Thread(target=lambda: errors.append(victim.error("insert into u select 2, 0 from u where id >= 1 and sleep(2.5) = 0")))
        thread.start()
        wait_until(lambda: self.running(self.un, "sleep(2.5)") == 1, "the statement to run")
        other(f"kill query {number}")
        thread.join()
        self.assertEqual(errors, [1317])
        self.assertEqual(self.running(self.un, "sleep(2.5)"), 0)
        victim("insert into u values (3, 3)")
        victim("commit")
        self.assertEqual(self.ids("u"), [1, 3])
        other(f"kill {number}")
        self.assertIn(victim.error("select 1"), (0, 2006, 2013))
        self.assertEqual(other.error(f"kill {number}"), 1094)

    def test_autocommit_that_code_has_set_is_the_sessions(self):
        with self.cluster.server(self.un, "vt_un") as server, server.cursor() as cursor:
            cursor.execute("create procedure no_autocommit() set autocommit = 0")
        ways = [["call no_autocommit()"], ["prepare a from 'set autocommit = 0'", "execute a"]]
        if backend.wanted() != "mysql":
            ways.append(["execute immediate 'set autocommit = 0'"])
        for row, how in enumerate(ways, 700):
            client, other = self.client("un"), self.client("un")
            for sql in how:
                client(sql)
            self.assertEqual(client("select @@autocommit"), [(0,)])
            client(f"insert into u values ({row}, 1)")
            client("rollback")
            self.assertEqual(other(f"select count(*) from u where id = {row}"), [(0,)], how)
            client(f"insert into u values ({row}, 2)")
            client("set autocommit = 1")  # Commits, in the server as well.
            self.assertEqual(other(f"select count(*) from u where id = {row}"), [(1,)], how)
            client(f"update u set v = 3 where id = {row}")
            self.clients.remove(client)
            client.close()
            self.assertEqual(other(f"select v from u where id = {row}"), [(3,)], how)
            other(f"delete from u where id = {row}")

    def test_a_statement_ends_with_its_time_and_with_its_client(self):
        client = self.client("un")
        self.assertEqual(client.error("insert into u select 600, 0 from (select 1 as x union all select 2) d where sleep(8) = 0"), 1317)
        self.assertEqual(self.running(self.un, "sleep(8)"), 0)
        self.assertEqual(self.ids("u"), [])
        dying = self.client("un")
        thread = threading.Thread(target=dying.error, args=("insert into u select 601, sleep(2.7)",))
        thread.start()
        wait_until(lambda: self.running(self.un, "sleep(2.7)") == 1, "the statement to run")
        dying.connection._sock.shutdown(socket.SHUT_RDWR)
        thread.join()
        wait_until(lambda: self.running(self.un, "sleep(2.7)") == 0, "the statement to end", 1.5)
        self.assertEqual(self.ids("u"), [])

    def test_an_olap_session_takes_its_time(self):
        client = self.client("sh")
        client("insert into t values (1, 1), (2, 1), (3, 1), (4, 1), (5, 1)")
        client("set workload = 'olap'")
        self.assertEqual(client("select sleep(3.4) from t where id = 1"), [(0,)])
        self.assertEqual(client("select @@workload"), [("olap",)])
        client("set workload = default")
        self.assertEqual(client.error("select id from t where sleep(8) = 0"), 1317)

    def test_warnings_are_those_of_the_last_statement(self):
        client = self.client("un")
        client("insert into u values (1, 1)")
        client("insert ignore into u values (1, 1)")
        self.assertEqual([row[1] for row in client("show warnings")], [1062])
        self.assertEqual(client("select @@warning_count"), [(1,)])
        client("select 1")  # No tables: as on a server, the warnings stay.
        self.assertEqual([row[1] for row in client("show warnings")], [1062])
        client("select id from u")
        self.assertEqual(client("show warnings"), [])
        sharded = self.client("sh")
        sharded("insert into t values (1, 1), (4, 1)")
        sharded("select 'a' + 1, id from t")  # One on each shard.
        self.assertEqual(sharded("select @@warning_count, @@error_count"), [(2, 0)])
        sharded("set sql_mode = ''")
        sharded("update t set v = 'no number' where id = 1")
        self.assertIn(self.cluster.words.column.format("sh", "t", "v"), sharded("show warnings")[0][2])
        client.error("select * from u where")
        self.assertEqual([(row[0], row[1]) for row in client("show errors")], [("Error", 1064)])
        client("select id, v from u where id = 1 into @a, @b")
        self.assertEqual(client("select @a, @b + 1"), [(1, 2)])

    # --- prepared statements, sessions begun anew ---
    def test_what_is_prepared_goes_where_its_names_were_looked_up(self):
        client = self.client("sh")
        kept = Statement(client.connection, "insert into t values (?, 1)")
        client("prepare s from 'insert into t values (4, 2)'")
        client("use un")
        kept.execute(1)
        client("execute s")
        self.assertEqual(client("select database()"), [("un",)])
        client("prepare s from 'insert into u values (5, last_insert_id())'")
        client("use sh")
        client("execute s")
        self.assertEqual(client("select database()"), [("sh",)])
        self.assertEqual((self.ids("t"), self.ids("u")), ([1, 4], [5]))
        client("use un")
        client("prepare s from 'insert into u values (6, 1)'")
        client("execute s")
        self.assertEqual((self.ids("t"), self.ids("u")), ([1, 4], [5, 6]))
        client("use sh")
        self.assertEqual(client.error("prepare s from 'select * from nosuch'"), 1146)
        self.assertEqual(client.error("prepare s from 'select nosuch from t'"), 1054)
        self.assertEqual(client.error("prepare s from 'set nosuch = 1'"), 1193)
        self.assertEqual(client.error("execute s"), 1243)

    def test_a_reset_lets_locks_go_and_leaves_changes_whole(self):
        client, other = self.client("sh"), self.client("sh")
        for _ in range(3):
            client("select get_lock('L', 0)")
            client("lock tables t write")
            client.connection._execute_command(0x1F, b"")  # COM_RESET_CONNECTION
            self.assertTrue(client.connection._read_packet().is_ok_packet())
            self.assertEqual(other("select is_free_lock('L')"), [(1,)])
            self.assertEqual(other("select count(*) from t"), [(0,)])
        client("insert into t values (4, 1)")
        self.assertEqual(client.error("insert into t values (1, 1), (4, 1)"), 1062)
        self.assertEqual(self.ids(), [4])

    # --- fences ---
    def fence(self, *tables):
        remove = [] if tables else ["--remove"]
        self.ctl("SetShardTabletControl", *remove, "--denied-tables", ",".join(tables or ("u",)), "un/0", "primary")
        self.ctl("RefreshState", self.un.alias)

    def position(self):
        return self.server(self.un)(self.cluster.words.written)

    def test_what_waits_for_a_connection_does_not_pass_a_fence(self):
        holders = [self.client("un", init_command=f"set time_zone = '+0{n}:00'") for n in range(1, 5)]
        for holder in holders:
            holder("begin")
            holder("insert into other values (%d, 1)" % (holders.index(holder) + 1))
        errors = []
        waiting = self.client("un")
        thread = threading.Thread(target=lambda: errors.append(waiting.error("insert into u values (2, 2)")))
        thread.start()
        thread.join(0.3)
        self.assertTrue(thread.is_alive())
        self.fence("u")
        try:
            before = self.position()
            for holder in holders:
                holder("rollback")
            thread.join(2)
            self.assertEqual(self.position(), before)
            self.assertEqual(self.server(self.un)("select count(*) from u"), [(0,)])
        finally:
            self.fence()
        thread.join()
        self.assertEqual((errors, self.ids("u")), ([None], [2]))  # vtgate has held it.

    def test_what_runs_in_the_server_does_not_commit_behind_a_fence(self):
        client = self.client("un")
        errors = []
        thread = threading.Thread(target=lambda: errors.append(client.error("insert into u select 500, sleep(2.6)")))
        thread.start()
        wait_until(lambda: self.running(self.un, "sleep(2.6)") == 1, "the statement to run")
        self.fence("u")
        try:
            self.assertEqual(self.running(self.un, "sleep(2.6)"), 0)
            before = self.position()
            thread.join()
            self.assertIsNotNone(errors[0])
            self.assertEqual(self.position(), before)
        finally:
            self.fence()
        self.assertEqual(self.ids("u"), [])

    def test_denied_tables_are_denied_by_every_road(self):
        server = self.server(self.un)
        for statement in ("create or replace view w as select id, v from u", "create or replace procedure p(x bigint) insert into u values (x, 1)",
                          "create or replace function f(x bigint) returns int begin insert into u values (x, 1); return 1; end",
                          "create table if not exists log(id bigint primary key)",
                          "create or replace trigger log_insert after insert on log for each row insert into u values (new.id, 1)"):
            try:
                server("set global log_bin_trust_function_creators = 1")
                kind, name = statement.removeprefix("create or replace ").partition("(")[0].split()[:2]
                if kind in ("procedure", "function", "trigger"):  # MySQL does not replace these.
                    server(f"drop {kind} if exists {name}")
                    statement = statement.replace("or replace ", "")
                server(statement)
            except pymysql.MySQLError as error:
                self.fail(f"{statement}: {error}")
        client = self.client("un:0")  # A named shard is answered at once: nothing is held back.
        self.fence("u")
        try:
            for statement in ("insert into u values (1, 1)", "insert into w values (2, 1)", "select * from w", "call p(3)",
                              "select f(4)", "do f(5)", "execute immediate 'insert into u values (6, 1)'",
                              "insert into log values (7)", "prepare s from 'insert into u values (8, 1)'",
                              "update u, other set u.v = 2", "delete u from u join other on u.id = other.id",
                              "create table copied as select * from u", "lock tables u write", "handler u open",
                              "insert into other select id, v from u", "replace into u values (9, 1)", "truncate u"):
                error = client.error(statement)
                if statement.startswith("prepare"):
                    error = client.error("execute s")
                self.assertIsNotNone(error, statement)
            client("insert into other values (1, 1)")
            self.assertEqual(server("select count(*) from u"), [(0,)])
        finally:
            self.fence()
        client("call p(3)")
        self.assertEqual(self.ids("u"), [3])


if __name__ == "__main__":
    main()
