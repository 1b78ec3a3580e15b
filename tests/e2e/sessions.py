"""A session is its client's: what a statement leaves behind in a connection is met by its own client, and by nobody else.

Every statement of a list that can leave state is run by one client; then another one looks. All of it through vtgate, with
few connections to the server so that they go from hand to hand, and on a plain server with a connection for each: the
answers must agree, or vtgate must have refused the statement and left nothing.
"""

import socket
import struct

import pymysql

from support import ClusterTest, main, texts

from vitrail import backend
from vitrail.processes import Failure, wait_until

REFUSED = {1235, 1105, 1142, 1227, 1044, 1045, 1049, 1064, 1231}

SETTINGS = {
    "sql_mode": ["''", "'STRICT_ALL_TABLES'", "'NO_ZERO_DATE'", "concat(@@sql_mode, ',NO_ZERO_IN_DATE')", "default"],
    "time_zone": ["'+05:00'", "'-03:30'", "default", "@@global.time_zone"],
    "foreign_key_checks": ["0", "off", "default"],
    "unique_checks": ["0"],
    "sql_safe_updates": ["1", "on"],
    "sql_select_limit": ["1", "2", "default"],
    "group_concat_max_len": ["4", "10 * 2"],
    "div_precision_increment": ["2"],
    "lock_wait_timeout": ["3"],
    "innodb_lock_wait_timeout": ["2"],
    "max_statement_time": ["7"],
    "character_set_results": ["latin1", "utf8mb4", "'binary'"],
    "collation_connection": ["utf8mb4_bin", "latin1_swedish_ci"],
    "character_set_client": ["latin1"],
    "autocommit": ["0", "1", "off", "on", "'OFF'", "true", "false", "default", "@@global.autocommit", "2", "'true'", "'false'"],
    "tx_isolation": ["'SERIALIZABLE'", "'READ-COMMITTED'"],
    "tx_read_only": ["1"],
    "wait_timeout": ["1000"],
    "net_write_timeout": ["77"],
    "max_sort_length": ["64"],
    "default_week_format": ["3"],
    "lc_time_names": ["'de_DE'"],
    "sql_quote_show_create": ["0"],
    "old_mode": ["''"],
    "completion_type": ["1", "'RELEASE'", "default"],
    "nosuch": ["1"],
}

STATEMENTS = [
    *[f"set {name} = {value}" for name, values in SETTINGS.items() for value in values],
    *[f"set session {name} = {values[0]}" for name, values in SETTINGS.items()],
    *[f"set @@{name} = {values[0]}" for name, values in SETTINGS.items()],
    *[f"set @@session.{name} := {values[-1]}" for name, values in SETTINGS.items()],
    "set names latin1", "set names utf8mb4 collate utf8mb4_bin", "set names default", "set names gbk",
    "set character set latin1", "set names utf8mb4, collation_connection = utf8mb4_bin",
    "set @x = 1", "set @x = 'text', @y = @x", "set @x = 1.50", "set @`odd name` = 3", "set @x = 1, nosuch = 5",
    "set autocommit = 0, nosuch = 5", "set @x := (select max(id) from t)", "set @x = null",
    "select @x := 5", "select id into @x from t order by id limit 1", "select 1, 2 into @x, @y",
    "create temporary table t(id int, v int)", "create temporary table only_mine(id int)",
    "create or replace temporary table t as select 99 as id, 99 as v", "create temporary table tt like t",
    "prepare s from 'select 42'", "prepare s from 'update t set v = v + 1'", "execute immediate 'set @x = 7'",
    "execute immediate 'start transaction'", "execute immediate 'create temporary table t(id int, v int)'",
    "execute immediate 'set session sql_mode = \"\"'", "deallocate prepare s",
    "select get_lock('L', 0)", "do get_lock('L', 0)", "select get_lock('L', 0), get_lock('M', 0)",
    "select id from t where get_lock('L', 0) = 1 limit 1", "select release_lock('L')", "select release_all_locks()",
    "select * from (select get_lock('L', 0)) d", "set @x = get_lock('L', 0)", "update t set v = get_lock('L', 0) where id = 1",
    "call shows(get_lock('L', 0))", "set autocommit = if(get_lock('L', 0), 1, 1)", "begin not atomic do get_lock('L', 0); end",
    "begin not atomic set transaction read only; end", "call answers_twice()",
    "lock tables t write", "lock tables t read", "lock table t write, u read", "unlock tables",
    "flush tables with read lock", "flush tables t with read lock", "flush tables t for export",
    "handler t open", "handler t open as h", "handler t close",
    "begin", "start transaction", "start transaction read only", "start transaction with consistent snapshot",
    "begin work", "set transaction read only", "set transaction isolation level serializable",
    "set session transaction isolation level read committed", "set session transaction read only",
    "xa start 'x'", "xa recover", "savepoint a", "rollback to a", "release savepoint a", "commit", "commit and chain",
    "rollback and chain", "rollback",
    "call sets_variable()", "call sets_parameter(@x)", "call starts_transaction()", "call takes_lock()", "call makes_table()", "call sets_mode()",
    "call fails_in_transaction()", "select function_sets_variable()", "do function_sets_variable()",
    "update t set v = function_sets_variable() where id = 1",
    "insert into auto(v) values (1)", "insert into auto(id, v) values (77, 1)", "select last_insert_id(55)",
    "insert into auto values (78, 1)", "insert into auto set id = 79, v = 1", "insert into auto(id, v) values (0, 1)",
    "insert into auto(id, v) select 80, 1", "replace into auto(id, v) values (81, 1)",
    "insert into auto(id, v) values (null, 1), (90, 2)", "insert into auto(v) values (1) returning v",
    "insert into auto(id, v) values (95, 1) returning id", "replace into auto values (2, null) returning id, v",
    "delete from auto where id = last_insert_id() returning id", "insert into auto(v) values (last_insert_id(66))", "select sql_calc_found_rows id from t limit 1",
    "select 1/0", "update t set v = 'no number' where id = 1", "show warnings", "insert into t values (1, 1)",
    "select * from nosuch", "begin not atomic set @x = 9; end", "set statement sql_mode = '' for select 1",
    "use information_schema", "set role none",
    "kill query connection_id()", "analyze table t", "show create table t", "explain select * from t",
    "set last_insert_id = 5", "set insert_id = 500", "set timestamp = 1", "set pseudo_thread_id = 5",
    "set sql_log_bin = 0", "set profiling = 1", "set rand_seed1 = 5", "set sql_auto_is_null = 1",
]

PROBES = [
    "show count(*) warnings", "select @@warning_count, @@error_count",
    "select @x, @y, @`odd name`", "select @@sql_mode, @@time_zone, @@foreign_key_checks, @@unique_checks",
    "select @@sql_safe_updates, @@sql_select_limit, @@group_concat_max_len, @@div_precision_increment",
    "select @@lock_wait_timeout, @@innodb_lock_wait_timeout, @@max_statement_time, @@autocommit, @@tx_isolation",
    "select @@character_set_client, @@character_set_results, @@collation_connection, @@character_set_connection",
    "select @@tx_read_only, @@default_week_format, @@lc_time_names, @@max_sort_length, @@wait_timeout",
    "select count(*), sum(v) from t", "select count(*) from u", "select * from only_mine", "select * from tt",
    "execute s", "select is_free_lock('L'), is_free_lock('M')", "select is_used_lock('L') = connection_id()", "handler t read next", "handler h read next",
    "select last_insert_id()", "select found_rows()", "select 'a' = 'A', concat('x', 1/3)", "select in_transaction()",
    "rollback to a", "select database()", "select @@profiling, @@timestamp = 1, @@insert_id = 500",
]

FUNCTIONS = """create procedure sets_variable() set @x = 11
create procedure sets_parameter(out p int) set p = 13
create procedure starts_transaction() begin start transaction; update t set v = v + 100 where id = 1; end
create procedure takes_lock() begin declare l int; set l = get_lock('L', 0); end
create procedure makes_table() create temporary table only_mine(id int)
create procedure sets_mode() set session sql_mode = ''
create procedure adds(inout p int, in q int) set p = p + q
create procedure shows(in p int) select p as shown, @v
create procedure answers_twice() begin select * from t; select id from u; end
create procedure fails_in_transaction() begin start transaction; update t set v = 9; insert into t values (1, 1); end
create function function_sets_variable() returns int begin set @x = 12; return 1; end
create function in_transaction() returns int return """ + backend.WORDS[backend.wanted()].transaction_open

if backend.wanted() == "mysql":  # What it calls the same variables.
    OTHER_NAMES = (("tx_isolation", "transaction_isolation"), ("tx_read_only", "transaction_read_only"),
                   ("max_statement_time", "max_execution_time"))

    def named(text):
        for ours, theirs in OTHER_NAMES:
            text = text.replace(ours, theirs)
        return text
    STATEMENTS, PROBES = [named(text) for text in STATEMENTS], [named(text) for text in PROBES]

# What differs from one server, and why: each is named in the output.
KNOWN = {}
if backend.wanted() == "mysql":
    print("left out: in_transaction(): information_schema.innodb_trx tells what was a moment ago")
    PROBES.remove("select in_transaction()")
    COUNTS, VARIABLES, SWITCHES = PROBES[:2], PROBES[2], PROBES[3]
    for known_modes in ("'STRICT_ALL_TABLES'", "'NO_ZERO_DATE'"):
        KNOWN.update({(f"set sql_mode = {known_modes}", probe): "MySQL warns when these modes are set; vtgate keeps them for the next statement"
                      for probe in COUNTS})
    KNOWN.update({("set statement sql_mode = '' for select 1", probe): "MySQL has no such statement, vtgate has" for probe in COUNTS})
    KNOWN.update({(f"set {name}", SWITCHES): "MySQL's DEFAULT of this variable is 0, not the global value"
                  for name in ("foreign_key_checks = default", "@@session.foreign_key_checks := default")})
    KNOWN.update({(statement, VARIABLES): "MySQL does not show an application which variables code has set"
                  for statement in ("call sets_variable()", "select function_sets_variable()", "do function_sets_variable()",
                                    "update t set v = function_sets_variable() where id = 1")})


def unread(*before, last, extra=b""):
    """Runs statements, sends the last one, and does not wait for its answer."""
    def state(connection):
        with connection.cursor() as cursor:
            for statement in before:
                cursor.execute(statement)
        connection._execute_command(3, last)
        if extra:
            connection._sock.sendall(extra)
    return state


def half_a_packet(connection):
    connection._sock.sendall(struct.pack("<I", 200)[:3] + b"\0" + b"\3insert into u values (1)")


def long_data(connection):
    connection._execute_command(0x16, "insert into u select length(?)")
    statement, columns, parameters = struct.unpack("<IHH", connection._read_packet().get_all_data()[1:9])
    for count in (parameters, columns):
        for _ in range(count + 1 if count else 0):  # The definitions, and what ends them.
            connection._read_packet()
    connection._sock.sendall(struct.pack("<I", 7 + 1000)[:3] + b"\0\x18" + struct.pack("<IH", statement, 0) + b"x" * 1000)


# How far a client comes before it dies, and the rows of u that may be there then: exactly one of these sets.
DEATHS = {
    "a write that was answered": (unread("insert into u values (1)", last="select 1"), [{1}]),
    "a write that nobody read the answer of": (unread(last="insert into u values (1)"), [set(), {1}]),
    "an open transaction": (unread("begin", "insert into u values (1)", last="select * from u"), [set()]),
    "an open transaction with a savepoint": (unread("begin", "insert into u values (1)", "savepoint a",
                                                    "insert into u values (2)", last="rollback to a"), [set()]),
    "autocommit off": (unread("set autocommit = 0", "insert into u values (1)", last="select 1"), [set()]),
    "a commit that nobody read the answer of": (unread("begin", "insert into u values (1)", "insert into u values (2)",
                                                       last="commit"), [set(), {1, 2}]),
    "a transaction that a procedure began": (unread("call starts_transaction()", "insert into u values (1)", last="select 1"), [set()]),
    "a statement that runs": (unread(last="insert into u select 1 + 0 * sleep(8)"), [set()]),
    "a statement that runs in a transaction": (unread("begin", "insert into u values (1)",
                                                      last="insert into u select 2 + 0 * sleep(8)"), [set()]),
    "a temporary table": (unread("create temporary table u(id int)", "insert into u values (1)", last="select 1"), [set()]),
    "a user lock": (unread("select get_lock('L', 0)", last="select get_lock('M', 0)"), [set()]),
    "a lock of tables": (unread("lock tables u write", last="insert into u values (1)"), [set(), {1}]),
    "variables and settings": (unread("set @x = 1", "set sql_mode = ''", last="set time_zone = '+05:00'"), [set()]),
    "text PREPARE": (unread("prepare s from 'insert into u values (1)'", last="select 1"), [set()]),
    "an answer that nobody reads": (unread(last="select a.v, repeat('x', 60000) from t a join t b join t c join t d join t e"), [set()]),
    "half a statement": (half_a_packet, [set()]),
    "long data": (long_data, [set()]),
}


def answer(connection, sql):
    """Rows, or the number of the error."""
    try:
        with connection.cursor() as cursor:
            cursor.execute(sql)
            return texts(cursor.fetchall())
    except pymysql.err.MySQLError as error:
        return ("error", error.args[0] if error.args else 0)


class SessionsTest(ClusterTest):
    @classmethod
    def prepare(cls):
        cluster = cls.cluster
        cls.pool = 2
        cluster.tablet_flags = ["--queryserver-config-pool-size", "2"]
        cluster.start_vtctld()
        cluster.vtctldclient("CreateKeyspace", "--durability-policy", "none", "un")
        cluster.add_shard("un", "0", 700, ("replica",))
        cls.primary = cluster.primary("un", "0")
        cls.reference = cluster.server(cls.primary)
        cls.addClassCleanup(cls.reference.close)
        with cls.reference.cursor() as cursor:
            cursor.execute("set global log_bin_trust_function_creators = 1")
            for timeout in ("lock_wait_timeout", "innodb_lock_wait_timeout"):  # A probe that waits does not wait for long.
                cursor.execute(f"set global {timeout} = 1")
            cursor.execute("create database reference")
            for database in (cls.database("un"), "reference"):
                cursor.execute(f"use `{database}`")
                cursor.execute("create table t(id int primary key, v int)")
                cursor.execute("create table u(id int primary key)")
                cursor.execute("create table auto(id int auto_increment primary key, v int)")
                for statement in FUNCTIONS.split("\n"):
                    cursor.execute(statement)
        cluster.start_vtgate("--tablet-types-to-wait", "PRIMARY")
        cls.reset()

    @classmethod
    def database(cls, keyspace):
        with cls.reference.cursor() as cursor:
            cursor.execute("select schema_name from information_schema.schemata where schema_name in (%s, %s)",
                           (keyspace, "vt_" + keyspace))
            return cursor.fetchall()[0][0]

    @classmethod
    def reset(cls):
        with cls.reference.cursor() as cursor:
            for database in (cls.database("un"), "reference"):
                cursor.execute(f"use `{database}`")
                for statement in ("delete from t", "insert into t values (1, 10), (2, 20), (3, 30)", "truncate auto"):
                    cursor.execute(statement)

    def connect(self, plain):
        if plain:
            return self.cluster.server(self.primary, "reference")
        return self.cluster.connect("un", autocommit=None)

    def look(self, plain, statement, owner_stays):
        """What another client sees, and the answer that the first one got."""
        owner = self.connect(plain)
        try:
            got = answer(owner, statement) if statement else None
            if not owner_stays:
                owner.close()
            other = self.connect(plain)
            try:
                seen = [answer(other, probe) for probe in PROBES]
            finally:
                other.close()
            own = [answer(owner, probe) for probe in PROBES] if owner_stays else None
        finally:
            if owner_stays:
                owner.close()
        return got, seen, own

    def compare(self, owner_stays):
        self.reset()
        _, untouched, _ = self.look(True, None, owner_stays)
        differences = []
        for statement in STATEMENTS:
            self.reset()
            got, seen, own = self.look(False, statement, owner_stays)
            refused = isinstance(got, tuple) and got[:1] == ("error",) and got[1] in REFUSED
            self.wait_until_quiet(statement)
            self.reset()
            expected_got, expected, expected_own = self.look(True, statement, owner_stays)
            self.wait_until_quiet(statement)
            if refused and not (isinstance(expected_got, tuple) and expected_got[:1] == ("error",)):
                expected, expected_own = untouched, None
            for probe, ours, theirs in zip(PROBES, seen, expected):
                if ours != theirs and not self.same_kind(ours, theirs):
                    differences.append(f"{statement} | another client: {probe}: {ours} instead of {theirs}")
            for probe, ours, theirs in zip(PROBES, own or [], expected_own or []):
                if (statement, probe) in KNOWN:
                    print(f"left out: {statement} | {probe}: {KNOWN[statement, probe]}")
                elif ours != theirs and not self.same_kind(ours, theirs):
                    differences.append(f"{statement} | the same client: {probe}: {ours} instead of {theirs}")
        return differences

    @staticmethod
    def same_kind(ours, theirs):
        """A refusal of vtgate's own is no wrong answer; names of databases differ."""
        if isinstance(ours, tuple) and ours[:1] == ("error",):
            return True
        return ours in ([("un",)],) and theirs == [("reference",)]

    def wait_until_quiet(self, statement):
        """The servers' connections of clients that have gone are gone as well: locks and temporary tables with them."""
        state = []

        def quiet():
            with self.reference.cursor() as cursor:
                cursor.execute("select is_free_lock('L'), is_free_lock('M'), (select count(*) from "
                               "information_schema.innodb_trx where trx_mysql_thread_id <> 0), (select count(*) from information_schema.processlist "
                               "where state like '%%lock%%')")
                state[:] = cursor.fetchall()[0]
                return state == [1, 1, 0, 0]
        try:
            wait_until(quiet, "the servers to forget the clients' state", 10, 0.15)  # innodb_trx is renewed when it was not read for 0.1 s
        except Failure:
            with self.reference.cursor() as cursor:
                cursor.execute("show full processlist")
                connections = cursor.fetchall()
                cursor.execute("select * from information_schema.innodb_trx")
                self.fail(f"{statement}: its state stays in the server: {state} {connections} {cursor.fetchall()}")

    def test_a_client_that_comes_later_sees_nothing(self):
        self.assertEqual(self.compare(owner_stays=False), [])

    def test_a_client_beside_sees_nothing_and_the_owner_keeps_its_state(self):
        self.assertEqual(self.compare(owner_stays=True), [])

    def runs(self, pattern):
        with self.reference.cursor() as cursor:
            cursor.execute("select count(*) from information_schema.processlist where info like %s and id <> connection_id()", (pattern,))
            return cursor.fetchall()[0][0] > 0

    def test_columns_are_of_the_keyspace(self):
        statements = ["select id, v, 1 from t", "select * from t a join u b using(id)", "show columns from t", "call answers_twice()",
                      "select count(*) from t", "select id from t union all select id from u", "select * from t where id = 0"]
        connection = self.connect(False)
        try:
            for statement in statements:
                with connection.cursor() as cursor:
                    cursor.execute(statement)
                    while True:
                        schemas = {field.db.decode() for field in (cursor._result.fields if cursor.description else ())}
                        self.assertLessEqual(schemas - {"", "information_schema"}, {"un"}, statement)
                        if statement.startswith(("select id, v", "call")) and cursor.description:
                            self.assertIn("un", schemas, statement)
                        if not cursor.nextset():
                            break
        finally:
            connection.close()

    def test_prepared_texts_and_procedures_get_variables(self):
        """They answer with rows where a server does, and write variables that the session has from then on."""
        script = ["set @v = 5, @s = 'abc'", "prepare p from 'select ? + @v, ?'", "execute p using @v, @s", "deallocate prepare p",
                  "execute immediate 'select ?' using @s", "execute immediate 'select ?, ?' using @v, last_insert_id()",
                  "call sets_parameter(@out)", "select @out + 1", "call adds(@out, @v)", "select @out", "call shows(@out)",
                  "insert into auto(v) values (1)", "call shows(last_insert_id())", "call shows(@nosuch)",
                  "select @n := 3", "select @n", "select @n := @n + id from t order by id", "select @n", "select @a := 'x', concat(@a, 'y')",
                  "select @a, @v", "update t set v = (@m := ifnull(@m, 0) + 1) order by id", "select @m", "select v from t order by id",
                  "set @n = 1", "select @n := @n + 1 from t where id = 1", "select @n, @m", "select id from t where (@last := id) > 0 order by id",
                  "select @last", "set @d = 1.50, @i = 2", "select id, v from t order by @i, id", "select count(*) from t group by @i",
                  "create table made as select @d as d, @i as i, last_insert_id() as l", "select * from made", "drop table made",
                  "insert into t values (1, 1)", "get diagnostics condition 1 @c = mysql_errno, @m = message_text", "select @c + 0, @m",
                  "get diagnostics @n = number", "select @n", "kill query connection_id()"]
        self.reset()
        answers = []
        for plain in (True, False):
            connection = self.connect(plain)
            try:
                answers.append([answer(connection, statement) for statement in script])
            finally:
                connection.close()
        for statement, expected, found in zip(script, *answers):
            self.assertEqual(found, expected, statement)

    def test_what_few_send_is_answered_as_by_a_server(self):
        script = ["set transaction read only", "rollback", "insert into u values (500)", "select get_lock('L', 0)", "set transaction read write",
                  "insert into u values (501)", "select release_lock('L')", "delete from u", "set @@tx_read_only = 1", "commit",
                  "insert into u values (502)", "delete from u", "get diagnostics condition 1 @c = mysql_errno", "show warnings",
                  "select id into @i from t order by id", "select @i", "set @a = last_insert_id(5)", "select last_insert_id(), @@identity, @a",
                  "begin", "insert into u values (6)", "analyze table u", "select in_transaction()", "rollback", "set completion_type = 1", "begin",
                  "insert into u values (7)", "commit", "insert into u values (8)", "rollback", "set completion_type = default", "rollback",
                  "select * from u order by id", "if @a then insert into u values (9); end if", "while @a > 3 do set @a = @a - 1; end while",
                  "select @a", "set @o = 1",
                  "call fails_in_transaction()", "show count(*) warnings", "rollback", "set autocommit = 0", "select 1", "delete from u", "rollback",
                  "select * from u order by id", "set autocommit = 1", "delete from u", "select get_lock('L', 0)", "set transaction read only",
                  "call nosuch()", "select @@tx_read_only", "select release_lock('L')", "savepoint a", "set autocommit = 0", "savepoint a",
                  "rollback to a", "rollback to b", "insert into u values (9)", "rollback to a", "select * from u", "commit", "set autocommit = 1",
                  "select id from t order by id limit 2", "insert into u select id + 20 from t", "select found_rows()", "do @a", "select row_count()",
                  "delete from u", "select * from nosuch", "execute immediate 'set @a = 1'", "show count(*) warnings",
                  "execute immediate 'select count(*) from u'", "show count(*) warnings", "set session transaction read only", "commit and chain",
                  "insert into u values (10)", "rollback", "set session transaction read write", "lock tables t write", "begin", "delete from u", "rollback"]
        script += ["begin", "delete from t where id > 3", "commit", "select 1/0", "handler t open", "show count(*) warnings", "handler t read first",
                   "select found_rows()", "handler t close", "select id from t where id = 1", "show create table t", "select found_rows()",
                   "select id from t", "update t set v = v where id = 1", "select found_rows()", "select id into @i from t order by id limit 1",
                   "select found_rows()", "show count(*) errors", "select found_rows()", "set transaction read only", "get diagnostics @n = number",
                   "insert into u values (12)", "rollback", "set transaction read only", "set session transaction read write", "insert into u values (12)",
                   "set transaction read only", "show create table u", "insert into u values (13)", "rollback", "set autocommit = 0", "select @@autocommit",
                   "select function_sets_variable()", "set transaction read write", "call sets_variable()", "set transaction read write",
                   "call answers_twice()", "set transaction read write", "rollback", "prepare s from 'select * from t'", "set transaction read write",
                   "rollback", "insert into u values (14)", "rollback", "set autocommit = 1", "select * from u"]
        if backend.wanted() == "mariadb":
            script += ["select id from t", "delete from t where id = 3 returning id", "select found_rows()",
                       "execute immediate 'insert into u select id + 40 from t where id = 1'", "select found_rows()", "set @a = 0",
                       "/*! begin */ not atomic select 1; end", "begin not atomic set transaction read only; end", "set session transaction read write",
                       "insert into u values (15)", "set autocommit = 0", "if 0 then select * from t; end if", "set transaction read write",
                       "if 1 then select id from t where id = 1; end if", "set transaction read write", "rollback", "set autocommit = 1"]
            # What a failed statement has begun, or used up of SET TRANSACTION; and what code has.
            script += ["set autocommit = 0", "set session transaction read only", "insert into u values (20)", "set transaction read write",
                       "set session transaction read write", "select * from nosuch", "set transaction read write", "insert into t values (1, 1)",
                       "set transaction read write", "rollback", "set autocommit = 1", "set transaction read only",
                       "alter table nosuch add column w int", "insert into u values (21)", "set transaction read only", "select nosuch from t",
                       "insert into u values (22)", "set transaction read only", "select * from nosuch", "insert into u values (23)", "rollback",
                       "set transaction read only", "call sets_variable()", "insert into u values (24)", "rollback", "insert into u values (25)",
                       "set autocommit = 0", "set transaction read only", "savepoint a", "call sets_variable()", "rollback to a",
                       "set transaction read write", "rollback", "savepoint a", "call starts_transaction()", "rollback to a", "select v from t where id = 1",
                       "rollback", "set autocommit = 1", "begin not atomic set transaction read only; end", "begin", "insert into u values (26)",
                       "rollback", "start transaction read only", "call starts_transaction()", "insert into u values (27)", "commit",
                       "begin", "insert into u values (28)", "begin not atomic commit; insert into u values (28); end", "rollback", "select * from u",
                       "select get_lock('L', 0)", "call fails_in_transaction()", "rollback", "select v from t where id = 1", "select release_lock('L')"]
            # What code leaves to ask for, and what of the session it meets.
            script += ["select * from nosuch", "execute immediate concat('select ', 1)", "show count(*) warnings", "call sets_variable()",
                       "show count(*) warnings", "prepare s from 'select 1'", "execute s", "select found_rows()", "show count(*) warnings",
                       "call answers_twice()", "show count(*) warnings", "begin not atomic insert into auto(v) values (5); end", "select last_insert_id()",
                       "select last_insert_id(70)", "begin not atomic set @l = last_insert_id(); end", "select @l", "set sql_select_limit = 0",
                       "set @a = 2 + 3, @i = (select count(*) from t)", "call sets_variable()", "set sql_select_limit = default", "select @a, @i, @x"]
            # Numbers out of bounds.
            script += ["set max_sort_length = 0", "show warnings", "select @@max_sort_length",
                       "set statement max_sort_length = 1 for select id from t where id = 1", "show warnings", "set wait_timeout = 0", "show warnings",
                       "select @@wait_timeout", "set sql_mode = 'STRICT_ALL_TABLES'", "set max_sort_length = 0", "set sql_mode = default"]
            script += ["set names utf8mb4 collate uca1400_ai_ci", "select @@collation_connection", "set statement wait_timeout = 5 for select 1"]
            script += ["set names utf8mb4"]
            # Conditions that are not there; locks that are not given.
            script += ["update t set v = v + 1", "get diagnostics condition 1 @c = mysql_errno", "select row_count()", "show warnings",
                       "get diagnostics condition @none @c = mysql_errno", "get diagnostics condition 'x' @c = mysql_errno", "show warnings",
                       "select @c", "select cast('x' as signed)", "select get_lock('taken', 0)",
                       "show count(*) warnings"]
            # What is prepared where only reading is allowed, and what code or SET STATEMENT leave of SET TRANSACTION.
            script += ["start transaction read only", "prepare p from 'truncate u'", "execute p", "select in_transaction()",
                       "start transaction read only", "prepare p from 'create table made(id int)'", "select in_transaction()", "rollback",
                       "begin not atomic set transaction read only; end", "set autocommit = 0", "select * from nosuch", "rollback and chain",
                       "insert into u values (60)", "rollback", "set autocommit = 1", "set session transaction read only", "set transaction read write",
                       "create temporary table only_mine(id int)", "start transaction with consistent snapshot", "insert into u values (61)", "rollback",
                       "set transaction read write", "drop temporary table only_mine", "begin", "insert into u values (62)", "rollback",
                       "set session transaction read write", "set transaction read only", "set statement max_sort_length = 'x' for delete from u",
                       "begin", "insert into u values (63)", "rollback"]
            # The character sets of variables.
            script += ["set @l = _latin1'ab', @b = 'ab' collate utf8mb4_bin, @c = convert('\u00e9' using latin1), @n = n'x', @d = version(), @i = 5",
                       "select charset(@l), collation(@b), hex(@c), length(@c), charset(@n), charset(@d), charset(@i), coercibility(@l), coercibility(@i)",
                       "set @x = _latin1'ab' collate latin1_bin, @y = concat(@l, 'x'), @z = @c", "select collation(@x), collation(@y), hex(@z), @z, @x = 'AB'",
                       "begin not atomic set @w = concat(collation(@x), hex(@c)); set @v = _latin1'v'; end", "select @w, charset(@v)",
                       "set @k = 'k', @m = null", "set names latin1", "set @q = 'q'", "set names utf8mb4", "select charset(@q), charset(@k), coercibility(@m)",
                       "select 1 / 0", "get diagnostics condition 1 @c = message_text", "select collation(@c)"]
        else:
            script = [statement for statement in map(named, script) if not statement.startswith(("if ", "while "))]
        answers = []
        holder = self.connect(True)  # Of the same server.
        self.addCleanup(holder.close)
        self.assertEqual(answer(holder, "select get_lock('taken', 0)"), [(1,)])
        for plain in (True, False):
            self.reset()
            connection = self.connect(plain)
            try:
                answers.append([answer(connection, statement) for statement in script])
            finally:
                connection.close()
        for place, (statement, expected, found) in enumerate(zip(script, *answers)):
            if backend.wanted() == "mysql" and statement in ("select found_rows()", "select in_transaction()"):
                continue  # Behind an UPDATE the first is 1 there, and of the last SELECT here.
            if not statement.startswith("analyze"):  # It names the database.
                self.assertEqual(found, expected, script[max(0, place - 3):place + 1])

    def test_what_only_a_connection_to_one_server_knows_is_refused(self):
        connection = self.connect(False)
        self.addCleanup(connection.close)
        for statement in ("set profiling = 1", "set statement profiling = 1 for select 1", "set optimizer_trace = 'enabled=on'", "select @@last_gtid"):
            self.assertIn(answer(connection, statement), [("error", number) for number in (1235, 1971)], statement)
        self.assertEqual(answer(connection, "select @@pseudo_thread_id = connection_id()"), [(1,)])

    def test_a_named_shard_has_the_same_session(self):
        script = ["select last_insert_id(5)", "select last_insert_id()", "select sql_calc_found_rows id from t order by id limit 1",
                  "select found_rows()", "insert into auto(id, v) values (50, 1)", "select last_insert_id()", "set @x = 1",
                  "select function_sets_variable()", "select @x", "call sets_parameter(@x)", "select @x",
                  "select table_name from information_schema.tables where table_schema = database() order by table_name"]
        answers = []
        for plain in (True, False):
            self.reset()
            connection = self.connect(True) if plain else self.cluster.connect("un:0", autocommit=None)
            try:
                answers.append([answer(connection, statement) for statement in script])
            finally:
                connection.close()
        for statement, expected, found in zip(script, *answers):
            self.assertEqual(found, expected, statement)
        for target in ("un@replica", "un:0@replica"):
            connection = self.cluster.connect(target)
            try:
                self.assertEqual(answer(connection, "select id from t where id = 1 for update"), ("error", 1874), target)
            finally:
                connection.close()

    def kill_client(self, connection, abruptly):
        if abruptly:  # The peer gets a reset.
            connection._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection._force_close()

    def test_a_client_that_dies_leaves_what_it_was_told_and_nothing_else(self):
        expected = self.look(True, None, False)[1]
        for name, (state, outcomes) in DEATHS.items():
            for abruptly in (False, True):
                with self.subTest(f"{name}, {'reset' if abruptly else 'closed'}"):
                    self.reset()
                    with self.reference.cursor() as cursor:
                        for database in (self.database("un"), "reference"):
                            cursor.execute(f"delete from `{database}`.u")
                    connection = self.connect(False)
                    state(connection)
                    self.kill_client(connection, abruptly)
                    wait_until(lambda: not self.runs("%sleep(8)%"), "the statement to end", 5, 0.05)
                    self.wait_until_quiet(name)
                    with self.reference.cursor() as cursor:
                        cursor.execute(f"select id from `{self.database('un')}`.u")
                        self.assertIn({row[0] for row in cursor.fetchall()}, outcomes)
                        cursor.execute(f"delete from `{self.database('un')}`.u")
                    # Both connections of the pool are as new.
                    others = [self.connect(False) for _ in range(2)]
                    try:
                        for probe, theirs in zip(PROBES, expected):
                            for other in others:
                                ours = answer(other, probe)
                                if ours != theirs and not self.same_kind(ours, theirs):
                                    self.fail(f"{probe}: {ours} instead of {theirs}")
                    finally:
                        for other in others:
                            other.close()


if __name__ == "__main__":
    main()
