"""What an application may not do to the servers behind a vtgate, and what it still may."""

import json
import os
import signal
import subprocess

import pymysql

from binary_protocol import Statement
from support import BIN, ClusterTest, main

from vitrail.processes import http_json, wait_until

SCHEMA = "create table item(id bigint primary key, name varchar(40)); create table tag(id int primary key)"

REFUSED = """reset master
reset /* now */ slave all
/*!80000 reset master */
/*M!110400 reset master */
update mysql.global_priv set priv = json_set(priv, '$.access', 1073741823) where user = 'vt_app'
create user w@'%' identified by 'x'
flush privileges
flush tables with read lock
grant all on *.* to vt_app@localhost
select authentication_string from mysql.user
select * from mysql.db
create table copy as select * from mysql.global_priv
set password = password('x')
execute immediate 'reset master'
prepare p from 'flush tables with read lock'
purge binary logs before now()
stop slave
change master to master_host = 'x'
backup stage start
shutdown
prepare p from 'kill 1'
install soname 'ha_connect'
create event e on schedule every 1 day do select 1
create function f returns string soname 'x.so'
create procedure p() begin select 1; reset master; end
select 1 into outfile '/tmp/vitrail-privileges'
select load_file('/etc/passwd')
load data infile '/etc/passwd' into table item
set global max_connections = 10
update _vt.vreplication set state = 'Running'
drop table _vt.vreplication
xa start 'x'
xa recover""".splitlines()

# Texts made at run time: the account's rights stop them.
DENIED = ("reset master", "create user w", "flush tables", "select 1 into outfile '/tmp/vitrail-privileges'",
          "set global max_connections = 10", "select * from mysql.user", "insert into _vt.vreplication(id) values (1)",
          "create database other", "start slave", "grant select on *.* to vt_app@localhost", "shutdown")

ALLOWED = """create table made(id int primary key, item bigint, index i(item))
insert into made values (1, 1)
alter table made add column note text
create view seen as select id from made
select * from seen
create trigger tr before insert on made for each row set new.note = 'n'
create procedure twice(a int) select a * 2
call twice(2)
create function thrice(a int) returns int deterministic return a * 3
select thrice(2)
create temporary table scratch(id int)
select 1 from information_schema.tables where table_name = 'made'
drop function thrice
drop procedure twice
drop view seen
drop table made""".splitlines()


class PrivilegesTest(ClusterTest):
    @classmethod
    def prepare(cls):
        cluster = cls.cluster
        cluster.start_vtctld()
        cluster.vtctldclient("CreateKeyspace", "--durability-policy", "none", "shop")
        cls.tablets = cluster.add_shard("shop", "0", 100, ("replica", "replica"))
        cluster.vtctldclient("ApplySchema", "--sql", SCHEMA, "shop")
        cluster.vtctldclient("ApplyVSchema", "--vschema", '{"tables": {"item": {}, "tag": {}}}', "shop")
        cluster.start_vtgate()
        cls.connection = cluster.connect("shop/0")
        cls.addClassCleanup(cls.connection.close)

    def execute(self, sql, connection=None):
        with (connection or self.connection).cursor() as cursor:
            cursor.execute(sql)
            return cursor.fetchall()

    def assert_fails(self, sql, pattern, connection=None):
        with self.assertRaisesRegex(pymysql.MySQLError, pattern, msg=sql):
            self.execute(sql, connection)

    def position(self):
        return self.cluster.server_rows(self.tablets[0], "select @@gtid_binlog_pos")

    def test_administrative_statements_are_refused(self):
        before = self.position()
        for sql in REFUSED:
            with self.subTest(sql):
                if sql.startswith(("/*!80000", "/*M!110400")):
                    self.execute(sql)  # A comment for such a server: vtgate answers it, and sends nothing.
                else:
                    self.assert_fails(sql, "")
        # By the tablet itself, whatever a vtgate lets through.
        direct = pymysql.connect(host="127.0.0.1", port=self.tablets[0].ports["data"], user="vtgate",
                                 database="shop/0@primary", autocommit=True)
        with direct:
            for sql in [*REFUSED, "use mysql", "drop database shop", "create database other", "lock tables mysql.user read"]:
                with self.subTest(sql, on="data port"):
                    self.assert_fails(sql, "statement not allowed", direct)
        self.assertEqual(self.position(), before)

    def test_the_account_has_rights_on_its_database_only(self):
        direct = pymysql.connect(host="127.0.0.1", port=self.tablets[0].ports["data"], user="vtgate",
                                 database="shop/0@primary", autocommit=True)
        with direct:
            for sql in DENIED:
                with self.subTest(sql):
                    text = sql.replace("'", "''")
                    self.execute("set @made_at_run_time = 1", direct)
                    self.assert_fails(f"execute immediate concat('{text}', '')", "denied|not allowed", direct)
        for tablet in self.tablets:
            grants = [row[0] for row in self.cluster.server_rows(tablet, "show grants for vt_app@localhost")]
            self.assertEqual(len(grants), 2, grants)
            self.assertRegex(grants[0], r"^GRANT USAGE ON \*\.\*")
            self.assertIn(f" ON `{tablet.database}`.* ", grants[1].replace("\\", ""))

    def test_applications_can_work(self):
        for sql in ALLOWED:
            with self.subTest(sql):
                self.execute(sql)

    def test_rights_of_an_earlier_version_are_taken_back_without_errant_transactions(self):
        replica = self.tablets[1]
        with self.cluster.server(replica) as connection, connection.cursor() as cursor:
            cursor.execute("set sql_log_bin = 0")
            cursor.execute("grant select, insert, update, reload, process on *.* to vt_app@localhost")
            cursor.execute("select concat('-', @@server_id, '-')")
            own = cursor.fetchone()[0]
        self.cluster.processes[replica.name].kill(15)
        self.cluster.restart(replica.name)

        def taken_back():  # The pages answer before the tablet has come to its server.
            grants = [row[0] for row in self.cluster.server_rows(replica, "show grants for vt_app@localhost")]
            self.assertRegex(grants[0], r"^GRANT USAGE ON \*\.\*")
        self.eventually(taken_back, 30)
        self.assertNotIn(own, self.cluster.server_rows(replica, "select @@gtid_binlog_state")[0][0])

    def restart_primary(self, argv):
        tablet = self.tablets[0]
        self.cluster.processes[tablet.name].kill(15)
        self.cluster.processes[tablet.name].wait_ended(20)
        self.cluster.start(tablet.name, argv, lambda: self.cluster.vars(tablet)["TabletStateName"] == "SERVING")

        def answers():
            try:
                with self.cluster.connect("shop/0") as connection:
                    return self.execute("select 1", connection)
            except pymysql.MySQLError:
                return False
        wait_until(answers, "the primary to serve again")

    def test_table_acl(self):
        rules = self.cluster.path("acl.json")

        def write(readers, writers=()):
            with open(rules, "w", encoding="utf-8") as file:
                json.dump({"table_groups": [{"name": "shop", "table_names_or_prefixes": ["item", "ta%"], "readers": readers,
                                             "writers": list(writers), "admins": []}]}, file)
        write(["demo"])
        argv = self.cluster.processes[self.tablets[0].name].argv
        self.restart_primary([*argv, "--table-acl-config", rules, "--enforce-tableacl-config",
                              "--queryserver-config-acl-exempt-acl", "boss"])
        try:
            user = self.cluster.connect("shop")
            boss = self.cluster.connect("shop", user="boss")
            with user, boss:
                self.assertEqual(self.execute("select * from item", user), ())
                self.assertEqual(self.execute("select * from information_schema.tables where 1 = 0", user), ())
                for sql in ("insert into item values (1, 'x')", "delete from tag", "replace into tag values (1)"):
                    self.assert_fails(sql, r"command denied to user 'demo', in groups \[\], for table", user)
                self.assert_fails("create table other(id int primary key)", "denied to user 'demo'", user)
                self.assert_fails("create procedure hidden() select 1", "exempt-acl", user)
                self.execute("insert into item values (1, 'x')", boss)
                # In a transaction of several statements, and prepared.
                self.execute("begin", user)
                self.assertEqual(self.execute("select id from item", user), ((1,),))
                self.assert_fails("update item set name = 'y'", "denied to user 'demo'", user)
                self.execute("rollback", user)
                self.assertEqual(len(Statement(user, "select id from item where id = ?").execute(1)), 1)
                # The file is read again on SIGHUP.
                write(["boss"], ["demo"])
                os.kill(self.cluster.processes[self.tablets[0].name].pid, signal.SIGHUP)

                def refused():
                    try:
                        self.execute("select * from item", user)
                        return False
                    except pymysql.MySQLError:
                        return True
                wait_until(refused, "the new rules")
                self.execute("delete from item", user)
                values = http_json(self.tablets[0].ports["port"], "/debug/vars")
                self.assertGreater(values["TableACLAllowed"], 0)
                self.assertGreater(values["TableACLDenied"], 0)
        finally:
            self.restart_primary(argv)

    def test_a_port_for_everybody_listens_on_loopback_only(self):
        argv = [f"{BIN}/vtgate", *self.cluster.topo_flags(), "--cell", self.cluster.cell, "--mysql-server-port", "0",
                "--mysql-server-bind-address", "0.0.0.0", "--mysql-auth-server-impl", "none"]
        done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("--mysql-server-allow-insecure", done.stderr + done.stdout)


if __name__ == "__main__":
    main()
