#!/usr/bin/env python3
"""`./dev fuzz sessions`: two clients at random, through vtgate and on a plain server; what each is answered must agree.

A step is one command of one client: a statement as text, in a comment, in a prepared statement, several at once, or a command of
the protocol. vtgate runs it first. What it refuses does not reach the plain server: a refusal leaves nothing. Everything that an
answer carries is compared: rows, columns, counts, warnings, status flags, numbers of errors. A difference is made as short as
it can be, and printed.
"""

import argparse
import collections
import json
import os
import random
import re
import shutil
import struct
import sys
import tempfile
import time

import pymysql
from pymysql.connections import MySQLResult
from pymysql.constants import CLIENT

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(os.path.dirname(HERE), "tests", "e2e")]

from binary_protocol import Statement  # noqa: E402
from sessions import FUNCTIONS, PROBES, SETTINGS, STATEMENTS  # noqa: E402
from vitrail.processes import Failure, wait_until  # noqa: E402
from vitrail.reference import ChangingCluster, PlainServer, equal_ranges  # noqa: E402

SHARDS = equal_ranges(2)
QUERY, CHANGE_USER, RESET_CONNECTION, PING, INIT_DB = 0x03, 0x11, 0x1F, 0x0E, 0x02
REFUSALS = {1235, 1142, 1227, 1044, 1045}
FLAGS = 1 | 2 | 8 | 0x2000  # In a transaction, autocommit, more results, the transaction reads only.
TEXTS = range(249, 255)  # BLOB and its sizes, VAR_STRING, STRING.
TABLES = ("create table t(id int primary key, v int)", "create table u(id int primary key)",
          "create table auto(id int auto_increment primary key, v int)")

# Whose answers are the server's own business, or known to differ: why.
LEFT_OUT = {
    r"@@timestamp|@@insert_id|rand_seed": "nothing that vtgate keeps",
    r"\bkill\b|is_used_lock": "numbers of connections are vtgate's own",
    r"lock_wait_timeout": "they are short here",
    r"(?i)(analyze|check|optimize|repair)[ */]+table": "the rows of all shards",
    r"show create table auto": "numbers of AUTO_INCREMENT",
}
SETTINGS = {name: values for name, values in SETTINGS.items() if "lock_wait" not in name and name not in ("nosuch", "tx_read_only")}
OTHERS = [statement for statement in STATEMENTS if not statement.startswith("use ")]  # In another database there is no t.
NOTHING = "select id from u where id + 0 = 999"  # Of all shards.
QUESTIONS = [
    "select last_insert_id()", "select found_rows()", "select row_count()", "show warnings", "show errors", "show count(*) warnings",
    "show warnings limit 1", "select @@warning_count, @@error_count", "select @a, @b, @x, @i", "select @@autocommit, @@tx_isolation, @@tx_read_only",
    "select @@session.sql_mode, @@foreign_key_checks", "select @@identity, @@last_insert_id", "select in_transaction()",
    "select is_free_lock('L'), is_free_lock('M')", "select * from t order by id", "select * from u order by id", "select * from auto order by id",
    "show variables like 'sql_mode'", "show session variables like 'tx_%'", "show variables where variable_name in ('autocommit', 'time_zone')",
    "select @@time_zone, @@div_precision_increment, 1 / 3", "select database(), schema()", "select count(*) from t", "get diagnostics @i = number",
    "get diagnostics condition 1 @x = mysql_errno, @a = message_text", "select @@character_set_client, @@character_set_results, @@collation_connection",
    "select @@sql_select_limit, @@sql_safe_updates", "execute s", "execute p using @a", "select * from tt order by id", "select * from only_mine",
    "select @b, concat(@x, ''), @i is null", "select last_insert_id(), row_count(), found_rows()",
    "select if(@a is null, 0, charset(@a)), if(@b is null, 0, collation(@b)), coercibility(@x)", "select hex(@a), length(@b), char_length(@x)",
    "get diagnostics condition @i @x = mysql_errno, @a = message_text", "get diagnostics condition 2 @b = returned_sqlstate",
]


# Of user variables.
VALUES = ["@a", "@b", "@@sql_mode", "(select id from t order by id limit 1)", "concat(@a, 1)", "1.50", "1e2", "null", "now() is null",
          "_latin1'ab'", "n'ab'", "'ab' collate utf8mb4_bin", "convert('\u00e9' using latin1)", "upper('x')", "_binary'ab'",
          "_latin1'ab' collate latin1_bin", "upper(@a)"]


class Result(MySQLResult):
    """PyMySQL's forgets the status flags behind rows."""

    def _check_packet_is_eof(self, packet):
        if not packet.is_eof_packet():
            return False
        self.server_status = struct.unpack("<H", packet.get_all_data()[3:5])[0]
        return super()._check_packet_is_eof(packet)


class Generator:
    """Random steps: (client, kind, argument)."""

    def __init__(self, random_):
        self.random = random_

    def number(self):
        return self.random.choice([1, 2, 3, 4, 5, 6, 7, 50])

    def value(self):
        r = self.random
        return r.choice([str(r.randint(0, 9)), "null", "@a", "@b", "v + 1", "last_insert_id()", "'7'", "'x'", "3.5", "row_count()",
                         "last_insert_id(5)", "@@autocommit", "found_rows()"])

    def row_value(self):
        return self.value().replace("v + 1", "9")

    def change(self):
        r, n = self.random, self.number()
        ignore = r.choice(["", "", "", "ignore "])
        return r.choice([
            lambda: f"insert {ignore}into t values ({n}, {self.row_value()})",
            lambda: f"insert {ignore}into t(id, v) values ({n}, {self.row_value()}), ({self.number()}, 1)",
            lambda: f"insert into t values ({n}, 1) on duplicate key update v = {self.value()}",
            lambda: f"replace into t values ({n}, {self.row_value()})",
            lambda: f"update {ignore}t set v = {self.value()} where id = {n}",
            lambda: f"update {ignore}t set v = {self.value()}",
            lambda: f"update t set v = {self.value()} order by id limit 1",
            lambda: f"delete from t where id = {n}",
            lambda: f"delete from t where id > {n}",
            lambda: f"insert {ignore}into u values ({n})",
            lambda: f"insert {ignore}into u select id from t",
            lambda: "delete from u",
            lambda: f"insert into auto(v) values ({self.row_value()})",
            lambda: f"insert into auto(v) values ({self.row_value()}), ({self.row_value()})",
            lambda: f"insert into auto(id, v) values ({n + 100}, 1)",
            lambda: f"insert into auto(id, v) values (0, {self.row_value()})",
            lambda: f"delete from auto where id = last_insert_id()",
        ])()

    def read(self):
        r, n = self.random, self.number()
        lock = r.choice(["", "", "", " for update", " lock in share mode"])
        return r.choice([
            lambda: f"select v from t where id = {n}{lock}",
            lambda: f"select id, v from t where v > {self.value()} order by id{lock}",
            lambda: f"select sql_calc_found_rows id from t order by id limit {n}",
            lambda: f"select id from t where id in ({n}, {self.number()}) order by id{lock}",
            lambda: f"select count(*), sum(v) from t{lock}",
            lambda: f"select {self.value().replace('v + 1', '1')} as c",
            lambda: f"select id, v into @a, @b from t where id = {n}",
            lambda: "select id into @i from t",
            lambda: f"select v + 'x' from t where id = {n}",
            lambda: f"select 1 / {r.choice([0, 1])}",
            lambda: f"select @a := {n}",
            lambda: "select id from t union all select id from u order by id",
            lambda: "select cast('7x' as signed), @a",
            lambda: "select * from nosuch",
            lambda: "select nosuch from t",
            lambda: f"do {self.value().replace('v + 1', '1')}",
            lambda: "select t.id from t join u using (id) order by 1",
        ])()

    def item(self):
        r = self.random
        name = r.choice(list(SETTINGS))
        return r.choice([
            lambda: f"{r.choice(['', '', 'session ', 'local ', '@@', '@@session.', '@@local.'])}{name} = {r.choice(SETTINGS[name])}",
            lambda: f"@{r.choice('abxi')} {r.choice([':=', '='])} {self.value().replace('v + 1', '1')}",
            lambda: f"@{r.choice('abxi')} = {r.choice(VALUES)}",
            lambda: "nosuch = 1" if r.random() < 0.3 else "@x = 1",
        ])()

    def setting(self):
        r = self.random
        if r.random() < 0.15:
            return r.choice(["set names utf8mb4", "set names latin1", "set names default", "set character set utf8mb4", "set names utf8mb4 collate utf8mb4_bin"])
        return "set " + ", ".join(self.item() for _ in range(r.choice([1, 1, 1, 2, 3])))

    def transaction(self):
        r = self.random
        name = r.choice(["a", "b", "`A`"])
        return r.choice([
            "begin", "begin", "start transaction", "commit", "commit", "rollback", "rollback", "start transaction read only",
            "start transaction read write", "start transaction with consistent snapshot", "commit and chain", "rollback and chain",
            "commit and no chain no release", "begin work", "commit work", "rollback work", f"savepoint {name}", f"savepoint {name}",
            f"rollback to {name}", f"rollback to savepoint {name}", f"rollback work to {name}", f"release savepoint {name}",
            "set autocommit = 0", "set autocommit = 1", "set transaction read only", "set transaction read write",
            "set transaction isolation level read committed", "set session transaction isolation level serializable",
            "set session transaction read only", "set session transaction read write", "set @@tx_read_only = 1", "set tx_read_only = 1", "set tx_read_only = 0",
            "set session tx_read_only = 0", "set @@tx_isolation = 'read-committed'", "set transaction isolation level repeatable read, read only",
            "set completion_type = 1", "set completion_type = 0",
            "create table made(id int)", "drop table if exists made", "truncate u", "analyze table u", "unlock tables",
        ])

    def odd(self):
        r = self.random
        inner = r.choice([self.change, self.read, self.transaction, self.setting])()
        inner = re.sub(r"(row_count|found_rows)\(\)", "1", inner)  # In code they are the server's (docs/compatibility.md).
        quoted = "'" + inner.replace("\\", "\\\\").replace("'", "''") + "'"
        return r.choice([
            lambda: f"execute immediate {quoted}",
            lambda: f"prepare {r.choice('sp')} from {quoted}",
            lambda: "prepare p from 'select ?, ? + 1 from t where id < 3'",
            lambda: "prepare p from 'insert into u values (?)'",
            lambda: "execute p using @a", lambda: "execute p using @a, @b", lambda: "execute s", lambda: "execute s",
            lambda: f"deallocate prepare {r.choice('sp')}",
            lambda: f"set statement {r.choice([name for name in SETTINGS if name != 'group_concat_max_len'])} = {r.choice(['0', '1', 'default'])} for {r.choice([self.change, self.read])()}",
            lambda: f"set statement sql_mode = '' for {self.change()}",
            lambda: "set statement max_statement_time = 5, sql_select_limit = 1 for select id from t order by id",
            lambda: "call starts_transaction()", lambda: "call sets_variable()", lambda: "call takes_lock()", lambda: "call makes_table()",
            lambda: "call sets_mode()", lambda: "call answers_twice()", lambda: "call adds(@a, 5)", lambda: "call shows(@b)",
            lambda: "select function_sets_variable()", lambda: f"update t set v = function_sets_variable() where id = {self.number()}",
            lambda: "create temporary table tt(id int, v int)", lambda: "create temporary table t(id int, v int)",
            lambda: "create temporary table tt as select * from t", lambda: "insert into tt values (1, 2)", lambda: "drop temporary table if exists tt",
            lambda: "drop table if exists tt", lambda: "drop temporary table t", lambda: "create temporary table if not exists tt(id int, v int)",
            lambda: "insert into tt select * from t", lambda: "truncate tt", lambda: "alter table tt add column w int",
            lambda: f"select get_lock('{r.choice('LM')}', 0)", lambda: f"select release_lock('{r.choice('LM')}')", lambda: "select release_all_locks()",
            lambda: "do release_all_locks()", lambda: "do get_lock('L', 0)", lambda: "lock tables t write", lambda: "lock tables t read, u write",
            lambda: "unlock tables", lambda: "begin not atomic insert into u values (6); select 1; end",
            lambda: f"begin not atomic {inner}; end", lambda: f"if @a then {inner}; end if",
            lambda: "handler t open", lambda: "handler t read first", lambda: "handler t close", lambda: "show create table t", lambda: "describe t",
            lambda: "show tables like 't'", lambda: "show count(*) errors", lambda: "explain select * from u", lambda: "checksum table u",
            lambda: "execute immediate concat('select ', 1)",
            lambda: f"create table made as {r.choice(['select 1 as id', 'select id from t'])}",
            lambda: f"select id from t order by id limit {r.randint(0, 4)}, 2", lambda: "(select id from t) union (select 50) order by 1 limit 2",
            lambda: f"select id into @i from t order by id limit {r.randint(0, 1)}, 1",
            lambda: "update t set v = (select max(id) from u)", lambda: "update t, u set t.v = 4 where t.id = u.id", lambda: "do (select max(id) from t)",
            lambda: "signal sqlstate '45000' set message_text = 'x', mysql_errno = 5000", lambda: "signal sqlstate '01000' set message_text = 'w'",
            lambda: "insert into auto(v) values (3) returning id, v", lambda: f"delete from t where id = {self.number()} returning v",
        ])()

    def statement(self):
        kind = self.random.random()
        for share, make in ((0.14, self.change), (0.11, self.read), (0.14, self.transaction), (0.13, self.setting), (0.2, self.odd),
                            (0.06, lambda: self.random.choice(OTHERS)), (0.04, lambda: self.random.choice(PROBES))):
            kind -= share
            if kind < 0:
                return make()
        return self.random.choice(QUESTIONS)

    def dressed(self):
        """A statement, and how it may be written."""
        r, text = self.random, self.statement()
        if r.random() < 0.75:
            return text
        return r.choice([
            lambda: f"/* c */ {text}", lambda: f"/*!40101 {text} */", lambda: f"/*!50000 {text} */", lambda: f"/*M!100000 {text} */",
            lambda: f"/*!999999 nothing */ {text}", lambda: f"-- c\n{text}", lambda: f"# c\n {text}", lambda: f"{text};",
            lambda: f"{text} /* c */", lambda: f"  \t\n{text} ;  ", lambda: text[:1].upper() + text[1:],
            lambda: re.sub(r"^\w+", lambda word: word.group().upper(), text), lambda: re.sub(r"^(\w+) ", r"/*! \1 */ ", text),
        ])()

    def careful(self):
        """A step that leaves nothing in a server's connection: these may be lost behind it."""
        r, client = self.random, self.random.randrange(2)
        safe = r.choice([self.change, self.read, self.setting, lambda: "select @a, @b, @x, @i", lambda: "select last_insert_id(), row_count()"])
        text = safe()
        if ":=" in text and text.startswith("select") or "autocommit =" in text or "nosuch" in text:
            text = "select count(*) from t"
        return r.choice([(client, "query", text), (client, "keep", (r.randrange(2), text)), (client, "again", r.randrange(2)),
                         (client, "lose", None)])

    def steps(self, count):
        first = self.random.choice([0, 0, 8])
        steps = [self.careful() for _ in range(first)] + [self.step() for _ in range(count)]
        return steps

    def step(self):
        r = self.random
        client = r.randrange(2)
        kind = r.random()
        if kind < 0.72:
            return client, "query", self.dressed()
        if kind < 0.80:
            return client, "several", [self.statement() for _ in range(r.randint(2, 4))]
        if kind < 0.90:
            return client, "prepared", self.statement()
        if kind < 0.93:
            return client, "keep", (r.randrange(2), self.statement())
        if kind < 0.96:
            return client, "again", r.randrange(2)
        return client, r.choice(["reset", "change user", "ping", "use", "connect"]), None


class Client:
    """One connection to either side; run() tells everything that it was answered."""

    def __init__(self, connect, database, lose=None):
        self.connect, self.database, self.lose = connect, database, lose
        self.begin()

    def begin(self):
        self.connection = self.connect(self.database, autocommit=None, use_unicode=False, conv={-1: None}, client_flag=CLIENT.MULTI_STATEMENTS)
        self.kept = {}
        self.begun = False
        self.query("select 1")  # What FOUND_ROWS() tells before is left of whoever had the server's thread.

    def close(self):
        self.connection._force_close()

    def run(self, kind, argument):
        try:
            if kind == "query":
                return self.query(argument)
            if kind == "several":
                return self.query("; ".join(argument))
            if kind == "prepared":
                return self.prepared(argument)
            if kind == "keep":
                slot, sql = argument
                self.kept.pop(slot, None)
                self.kept[slot] = Statement(self.connection, sql)
                return [("prepared", self.kept[slot].parameters)]
            if kind == "again":
                return self.execute(self.kept[argument]) if argument in self.kept else []
            return self.command(kind)
        except pymysql.MySQLError as error:
            return [error_of(error)]

    def query(self, sql):
        out = []
        try:
            self.connection._execute_command(QUERY, sql)
            while True:
                result = Result(self.connection)
                result.read()
                out.append(self.answer(result))
                if not result.has_next:
                    return out
        except pymysql.MySQLError as error:
            out.append(error_of(error))
            return out

    def answer(self, result):
        if result.description is None:
            return "changed", result.affected_rows, result.insert_id, result.warning_count, result.server_status & FLAGS
        columns = columns_of(result.fields)
        return "rows", columns, [tuple(row) for row in result.rows], result.warning_count, result.server_status & FLAGS

    def prepared(self, sql):
        statement = Statement(self.connection, sql)
        try:
            return self.execute(statement)
        finally:
            statement.close()

    def execute(self, statement):
        result = statement.execute(*[3] * statement.parameters)
        if isinstance(result, tuple):
            return [("changed", *result)]
        columns = columns_of(statement.fields)
        return [("rows", columns, result)]

    def command(self, kind):
        if kind == "connect":
            self.close()
            self.begin()
            return ["connected"]
        if kind == "lose":
            if self.lose is not None:
                self.lose()
            return []
        if kind == "reset":
            self.connection._execute_command(RESET_CONNECTION, b"")
            self.kept = {}
        elif kind == "change user":
            user, database = self.connection.user, self.database.encode()
            user = user if isinstance(user, bytes) else user.encode()
            self.connection._execute_command(CHANGE_USER, user + b"\0\0" + database + b"\0" + struct.pack("<H", 45) + b"mysql_native_password\0\0")
            self.kept = {}
        elif kind == "ping":
            self.connection._execute_command(PING, b"")
        else:
            self.connection._execute_command(INIT_DB, self.database.encode())
        packet = self.connection._read_packet()
        while packet.is_auth_switch_request():
            self.connection._write_bytes(struct.pack("<I", 0)[:3] + bytes([self.connection._next_seq_id]))
            self.connection._next_seq_id += 1
            packet = self.connection._read_packet()
        return ["ok" if packet.is_ok_packet() else "no ok"]


def error_of(error):
    number, text = (*error.args, 0, "")[:2]
    return "error", number, str(text)


def columns_of(fields):
    """Names, types and signs; how long a text can be is not told of a variable."""
    return [(field.name, "text" if field.type_code in TEXTS else field.type_code, field.flags & 32) for field in fields]


def refused(answers):
    last = answers[-1] if answers else ()
    if last[:2] == ("error", 1175) and "have to be found first" in str(last[2]):
        return True  # SQL_SAFE_UPDATES, where it is not known whether a key finds them.
    if last[:2] == ("error", 1231) and "can be a backslash" in str(last[2]):
        return True
    return last[:1] == ("error",) and (last[1] in REFUSALS or "VT" in str(last[2])[:40] or "unsupported" in str(last[2]))


def without_place(cell):
    """Errors tell of which shard they are."""
    text = cell.decode(errors="replace") if isinstance(cell, bytes) else str(cell)
    if text.startswith("target: "):
        cell = text = text.split(": ", 2)[-1]
    if missing := re.fullmatch(r"table (\w+) not found|Table '\w+\.(\w+)' doesn't exist", text):  # Of the vschema, or of the server.
        return missing[1] or missing[2]
    return cell.encode() if isinstance(cell, str) else cell


def told(answers, ordered):
    """What is compared: of errors that there is one. Numbers differ where vtgate looks at something else first."""
    out = []
    for answer in answers:
        if answer[0] == "error":
            out.append(("error",))
        elif answer[0] == "rows":
            rows = [tuple(without_place(cell) for cell in row) for row in answer[2]]
            rows = rows if ordered else sorted(rows, key=repr)
            # Nobody tells a variable's type that has no value.
            columns = [column if any(row[i] is not None for row in rows) or not rows else column[0] for i, column in enumerate(answer[1])]
            out.append((answer[0], columns, rows, *answer[3:]))
        else:
            out.append(answer)
    return out


class Fuzzer:
    def __init__(self, seed, options):
        self.seed, self.options = seed, options
        self.root = tempfile.mkdtemp(prefix="vitrail-sessions-")
        self.cluster = ChangingCluster(os.path.join(self.root, "cluster"))
        os.makedirs(self.cluster.cluster.root)
        self.plain = PlainServer(self.root, self.cluster.cluster.ports.take(17060))
        self.outcomes, self.refusals = collections.Counter(), collections.Counter()
        self.clients = []

    def start(self):
        cluster = self.cluster.cluster
        cluster.tablet_flags = ["--queryserver-config-pool-size", "4"]
        self.plain.start()
        self.cluster.start()
        self.cluster.ensure("un", ["0"])
        self.cluster.ensure("sh", SHARDS)
        self.keyspaces = {"un": ["0"], "sh": SHARDS}
        self.servers = {(keyspace, shard): cluster.server(cluster.primary(keyspace, shard)) for keyspace, shards in self.keyspaces.items()
                        for shard in shards}
        self.reference = self.plain.connect()
        self.globals()
        for (keyspace, _), server in self.servers.items():
            self.schema(server, f"vt_{keyspace}")
        for keyspace in self.keyspaces:
            self.schema(self.reference, keyspace)
        with self.servers["un", "0"].cursor() as cursor:
            cursor.execute("create table vt_un.ids(id int primary key, next_id bigint, cache bigint) comment 'vitess_sequence'")
            cursor.execute("insert into vt_un.ids values (0, 1, 1)")
        self.cluster.apply_vschema("un", {"tables": {"t": {}, "u": {}, "auto": {}, "ids": {"type": "sequence"}}})
        table = {"column_vindexes": [{"column": "id", "name": "hash"}]}
        self.cluster.apply_vschema("sh", {"sharded": True, "vindexes": {"hash": {"type": "hash"}}, "tables": {
            "t": table, "u": table, "auto": {**table, "auto_increment": {"column": "id", "sequence": "ids"}}}})
        cluster.start_vtgate("--tablet-types-to-wait", "PRIMARY")
        self.cluster.wait_for_vtgate({"un": ["t", "u", "auto", "ids"], "sh": ["t", "u", "auto"]})

    def globals(self):
        """The plain server's are those of the shards' servers; nobody waits for locks."""
        names = ("sql_mode", "time_zone", "tx_isolation", "character_set_server", "collation_server", "wait_timeout", "sql_select_limit",
                 "group_concat_max_len", "net_write_timeout", "old_mode", "interactive_timeout", "max_statement_time", "character_set_client",
                 "character_set_results", "character_set_connection", "collation_connection")
        first = self.servers["un", "0"]
        with first.cursor() as cursor:
            cursor.execute("select " + ", ".join(f"@@global.{name}" for name in names))
            values = cursor.fetchone()
        for server in (*self.servers.values(), self.reference):
            with server.cursor() as cursor:
                if server is self.reference:
                    for name, value in zip(names, values):
                        cursor.execute(f"set global {name} = %s", (float(value) if name == "max_statement_time" else value,))
                for name in ("innodb_lock_wait_timeout", "lock_wait_timeout"):
                    cursor.execute(f"set global {name} = 0")
                    cursor.execute(f"set session {name} = 10")
                cursor.execute("set global log_bin_trust_function_creators = 1")

    @staticmethod
    def schema(server, database):
        with server.cursor() as cursor:
            cursor.execute(f"create database if not exists `{database}`")
            cursor.execute(f"use `{database}`")
            for statement in (*TABLES, *FUNCTIONS.split("\n")):
                cursor.execute(statement)

    def stop(self, remove):
        self.cluster.down(remove)
        self.plain.stop()
        if remove:
            shutil.rmtree(self.root, ignore_errors=True)

    def reset(self, keyspace):
        """The tables' first rows; nothing of clients before is left."""
        for client in self.clients:
            client.close()
        self.clients = []
        shards = [(self.servers[keyspace, shard], f"vt_{keyspace}", index) for index, shard in enumerate(self.keyspaces[keyspace])]
        for server, database, index in [*shards, (self.reference, keyspace, None)]:
            with server.cursor() as cursor:
                cursor.execute(f"use `{database}`")
                for statement in ("drop table if exists made, tt, only_mine", "delete from t", "delete from u", "delete from auto", "alter table auto auto_increment = 1"):
                    cursor.execute(statement)
                # By the vindex hash: 1, 2 and 3 lie on the first shard.
                if not index:
                    cursor.execute("insert into t values (1, 10), (2, 20), (3, 30)")

                def free(cursor=cursor):
                    cursor.execute("select is_free_lock('L'), is_free_lock('M')")
                    return cursor.fetchone() == (1, 1)
                wait_until(free, "the servers to forget locks", 10, 0.005)
        with self.servers["un", "0"].cursor() as cursor:
            cursor.execute("update vt_un.ids set next_id = 1, cache = 1")

    def lose(self, keyspace):
        """All connections of the tablets' pools that do nothing and hold nothing are ended."""
        for shard in self.keyspaces[keyspace]:
            with self.servers[keyspace, shard].cursor() as cursor:
                cursor.execute("select id from information_schema.processlist where user like 'vt_app%' and command = 'Sleep'")
                for (number,) in cursor.fetchall():
                    try:
                        cursor.execute(f"kill {number}")
                    except pymysql.MySQLError:
                        pass

    def connect(self, keyspace):
        gate, plain = self.cluster.cluster.connect, self.plain.connect
        for _ in range(2):
            self.clients.append(Client(gate, keyspace, lambda: self.lose(keyspace)))
            self.clients.append(Client(plain, keyspace))

    def texts_of(self, client, kind, argument):
        """What a step runs, as text."""
        return str(self.kept_texts.get((client, argument))) if kind == "again" else str(argument)

    def episode(self, keyspace, steps, record=False):
        """The place of the first step that differs, and both answers; None."""
        self.reset(keyspace)
        self.connect(keyspace)
        self.kept_texts = {}
        for place, (client, kind, argument) in enumerate(steps):
            gate, plain = self.clients[2 * client], self.clients[2 * client + 1]
            if kind == "keep":
                self.kept_texts[client, argument[0]] = argument[1]
            found = gate.run(kind, argument)
            if refused(found):
                if record:
                    self.outcomes["refused"] += 1
                    self.refusals[str(found[-1][2]).split(" (")[0][:90]] += 1
                if kind == "keep":
                    plain.kept.pop(argument[0], None)
                if kind == "several" and any(re.search(r"(?i)\bcall\b|\batomic\b|\bif @a\b", sql) for sql in argument):
                    return None  # Code has several answers: which statement was refused is not to be seen.
                expected = plain.run("several", argument[:len(found) - 1])[:len(found) - 1] if kind == "several" and len(found) > 1 else []
                found = found[:-1]
                # What a refusal leaves in SHOW WARNINGS is forgotten on both sides.
                for side in (gate, plain):
                    side.run("query", NOTHING)
                if kind == "several":
                    found, expected = [a[:4] for a in found], [a[:4] for a in expected]  # The last one's flag differs.
            else:
                expected = plain.run(kind, argument)
            text = str(argument)
            failed = any(answer[:1] == ("error",) for answer in expected)
            if failed and re.search(r"into auto|last_insert_id\(5|into @", text, re.I):  # LAST_INSERT_ID() is not defined then.
                for side in (gate, plain):
                    side.run("query", "do last_insert_id(0)")
                    side.run("query", NOTHING)
            if any(re.search(pattern, text) for pattern in LEFT_OUT):
                continue
            if any(answer[:2] == ("error", 1205) for answer in (*found, *expected)):
                # Which rows and gaps are locked depends on what was purged, and on how the rows lie on shards; and a server
                # reads for SET with shared locks (docs/compatibility.md). From here on they differ.
                if record:
                    self.outcomes["waits for a lock"] += 1
                return None
            if keyspace == "sh" and re.search(r"\bauto\b|last_insert_id|@@identity", self.texts_of(client, kind, argument)):
                continue  # A sequence's numbers have other gaps.
            ordered = keyspace == "un" or "order by" in text
            if kind == "keep" and found[-1:] != expected[-1:] and "error" in (found[-1][0], expected[-1][0]):
                for side in (gate, plain):  # Whether a mistake is told now or by the execute is each one's own.
                    side.kept.pop(argument[0], None)
                    side.run("query", NOTHING)
                continue
            if told(found, ordered) != told(expected, ordered):
                if re.search(r"(?i)\bdo \(select", text) and len(found) == len(expected):
                    return None  # DO reads with shared locks on a server, and makes a warning of waiting for one.
                return place, found, expected
            if keyspace == "sh":
                self.begin_everywhere(gate, plain, found)
            if record:
                self.outcomes["both refuse" if found and found[-1][:1] == ("error",) else "same"] += 1
        return None

    @staticmethod
    def begin_everywhere(gate, plain, answers):
        """In a transaction that has just begun, every shard reads: else the snapshots of some are of later statements."""
        flags = answers[-1][4] if answers and answers[-1][0] in ("changed", "rows") and len(answers[-1]) > 4 else 0
        if flags & 1 and not gate.begun:
            for side in (gate, plain):
                side.run("query", NOTHING)
        gate.begun = bool(flags & 1)

    def shorten(self, keyspace, steps):
        """Without the steps that it does not need."""
        steps, size = list(steps), max(1, len(steps) // 2)
        while size:
            at = 0
            while at < len(steps) - 1:
                fewer = steps[:at] + steps[min(at + size, len(steps) - 1):]
                difference = self.episode(keyspace, fewer)
                if difference is not None:
                    steps = fewer[:difference[0] + 1]
                else:
                    at += size
            size //= 2
        return steps

    def report(self, keyspace, steps):
        steps = self.shorten(keyspace, steps)
        difference = self.episode(keyspace, steps)
        if difference is None:
            return False
        place, found, expected = difference
        print(f"DIFFERENCE in {keyspace}, --seed {self.seed}")
        for client, kind, argument in steps[:place + 1]:
            print(f"  {'AB'[client]} {kind}: {argument}")
        print(f"server:  {str(expected)[:1200]}\nvtgate:  {str(found)[:1200]}", flush=True)
        return True

    def run(self):
        deadline = time.monotonic() + self.options.seconds
        differences, number = 0, 0
        while time.monotonic() < deadline and differences < self.options.differences:
            number += 1
            random_ = random.Random(f"{self.seed}-{number}")
            keyspace = random_.choice([name for name in self.keyspaces if self.options.keyspace in (None, name)])
            generator = Generator(random_)
            steps = generator.steps(40)
            difference = self.episode(keyspace, steps, record=True)
            if difference is not None:
                differences += self.report(keyspace, steps[:difference[0] + 1])
        self.outcomes["episodes"] = number
        return differences


def main():
    parser = argparse.ArgumentParser(prog="./dev fuzz sessions", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--differences", type=int, default=1, help="go on until so many were found")
    parser.add_argument("--keyspace", choices=("un", "sh"), help="with one shard, or with two; default: both")
    parser.add_argument("--keep", action="store_true", help="leave logs and data in the temporary folder")
    options = parser.parse_args()
    seed = options.seed if options.seed is not None else random.SystemRandom().randrange(1 << 31)
    fuzzer = Fuzzer(seed, options)
    try:
        fuzzer.start()
        differences = fuzzer.run()
    except Failure as failure:
        print(f"fuzz sessions: {failure}", file=sys.stderr)
        return 2
    finally:
        fuzzer.stop(not options.keep)
    for reason, count in fuzzer.refusals.most_common(20):
        print(f"{count:6} {reason}")
    print(f"seed {seed}: {dict(fuzzer.outcomes)}, differences: {differences}")
    return 1 if differences else 0


if __name__ == "__main__":
    sys.exit(main())
