#include "tablet/statement_policy.h"

#include <gtest/gtest.h>

#include "tablet/query_guard.h"

namespace vitrail::tablet {
namespace {

std::string refusal(std::string_view text, const StatementPolicy& policy = {}) {
  const auto ast = sql::parse(text);
  return judge_statement(text, ast.ok() ? &*ast : nullptr, policy).refusal;
}

constexpr std::string_view kRefused[] = {
    // Replication and the binary log.
    "create table t(a int) data directory='/tmp'",
    "create or replace table if not exists t(a int) engine=myisam INDEX DIRECTORY = '/tmp'",
    "alter table t discard tablespace",
    "alter table t discard partition p tablespace",
    "ALTER TABLE t FORCE, IMPORT TABLESPACE",
    "alter table t add partition (partition p values less than (5) data directory = '/tmp')",
    "reset master",
    "RESET SLAVE ALL",
    "reset replica",
    "reset binary logs and gtids",
    "reset persist",
    "change master to master_host='x'",
    "change replication source to source_host='x'",
    "start slave",
    "start replica",
    "start all slaves",
    "start group_replication",
    "stop slave",
    "stop all slaves",
    "stop replica sql_thread",
    "purge binary logs to 'x'",
    "purge master logs before now()",
    "binlog 'abc'",
    "show binlog events",
    "show relaylog events",
    "show explain for 5",
    "show explain format=json for 5",
    "show analyze for 5",
    "set sql_log_bin = 0",
    "set @@session.gtid_domain_id = 3",
    "set session gtid_next='x:1'",
    "set autocommit = 1, binlog_format = 'statement'",
    // Accounts.
    "create user w@'%' identified by 'x'",
    "create or replace user w",
    "create user if not exists w",
    "alter user w",
    "drop user w",
    "drop user if exists w",
    "rename user a to b",
    "grant all on *.* to w",
    "revoke all on *.* from w",
    "set password = 'x'",
    "set password for w = password('x')",
    "create role r",
    "drop role r",
    "set role r",
    "set default role r for w",
    "show create user w",
    "show grants for root@localhost",
    "update mysql.global_priv set priv=json_set(priv,'$.access',1) where user='vt_app'",
    "select * from mysql.user",
    "select (select authentication_string from mysql.user limit 1)",
    "select 1 from t where exists (select 1 from mysql.db)",
    "insert into t select user from `mysql`.`user`",
    "create table t as select * from mysql.global_priv",
    "create view v as select * from MYSQL.USER",
    "with x as (select * from mysql.user) select * from x",
    "table mysql.user",
    "describe mysql.user",
    "show columns from user from mysql",
    "show create table mysql.user",
    "explain select * from mysql.user",
    "handler mysql.user open",
    "select * from mysql.servers",
    "select * from mysql.general_log",
    "checksum table mysql.user",
    // The server's and the tablet's tables.
    "delete from mysql.time_zone_name",
    "delete a from t join mysql.user a",
    "drop table mysql.user",
    "truncate table mysql.general_log",
    "alter table mysql.user engine=myisam",
    "alter table t rename to _vt.t",
    "rename table t to mysql.t",
    "create table _vt.x (a int)",
    "update _vt.vreplication set state='Running'",
    "insert into `_vt`.`resharding_journal` values (1)",
    "update sys.sys_config set value=1",
    "truncate performance_schema.events_statements_history",
    "lock tables mysql.user read",
    "lock tables _vt.x write",
    "repair table mysql.user",
    "create trigger mysql.tr before insert on mysql.user for each row set @a=1",
    "create procedure mysql.p() select 1",
    "call mysql.p()",
    "call sys.ps_setup_enable_thread(1)",
    "load data local infile 'x' into table mysql.user",
    "alter database mysql character set latin1",
    "replace into t select * from t2 join mysql.proxies_priv",
    // What stops others, and the server.
    "flush tables with read lock",
    "flush tables",
    "flush privileges",
    "flush logs",
    "flush no_write_to_binlog hosts",
    "flush tables t for export",
    "flush /*!40101 local */ tables",
    "lock instance for backup",
    "unlock instance",
    "backup stage start",
    "backup lock t",
    "backup unlock",
    "shutdown",
    "restart",
    "kill 5",
    "kill query 5",
    "kill hard user root",
    "clone local data directory 'x'",
    "install plugin x soname 'y'",
    "install soname 'y'",
    "uninstall plugin x",
    "uninstall soname 'x'",
    "create server s foreign data wrapper mysql options (user 'x')",
    "drop server s",
    "create event e on schedule every 1 day do select 1",
    "alter event e disable",
    "drop event e",
    "create or replace event e on schedule every 1 day do select 1",
    "create definer=root@localhost event e on schedule at now() do select 1",
    "create function f returns string soname 'x.so'",
    "create aggregate function f returns integer soname 'x.so'",
    "create function if not exists f returns real soname 'x'",
    "create tablespace t add datafile 'x'",
    "create undo tablespace t add datafile 'x'",
    "drop tablespace t",
    "create logfile group l add undofile 'x'",
    "alter instance rotate innodb master key",
    "create resource group r type=user",
    "import table from 'x'",
    "cache index t in c",
    "load index into cache t",
    "xa start 'x'",
    "xa recover",
    "use mysql",
    "create database x",
    "create schema if not exists x",
    "drop database x",
    "drop schema if exists x",
    "explain for connection 5",
    // Global variables.
    "set global read_only = 0",
    "set @@global.max_connections = 1",
    "set persist max_connections = 1",
    "set @@persist_only.x = 1",
    "set autocommit=1, global read_only=0",
    "set autocommit=1, @@global.read_only=0",
    "set global transaction isolation level serializable",
    "set statement max_statement_time=1 for set global read_only=0",
    // Files of the server.
    "load data infile '/etc/passwd' into table t",
    "load data concurrent infile 'x' into table t",
    "load xml infile 'x' into table t",
    "select * from t into outfile '/tmp/x'",
    "select * into outfile '/tmp/x' from t",
    "select 'x' into dumpfile '/tmp/x'",
    "select load_file('/etc/passwd')",
    "insert into t values (LOAD_FILE('/etc/passwd'))",
    "select a from t union select b from t into outfile 'x'",
    "do load_file('x')",
    "set @a = load_file('x')",
    // Inside of others.
    "/*!50000 reset master */",
    "/*! shutdown */",
    "/*!80000 reset master */",
    "/*M!100100 reset master */",
    "/*M!110400 reset master */",
    "select 1 /*!80011 into outfile 'x' */",
    "/* c */ reset -- x\n master",
    "select /*!90000 load_file('x'), */ 1",
    "execute immediate 'reset master'",
    "prepare p from 'create user w'",
    "prepare p from 'prepare q from ''flush tables'''",
    "set statement max_statement_time=1 for execute immediate 'shutdown'",
    "select 1; reset master",
    "begin not atomic reset master; end",
    "begin not atomic if 1 then flush tables; end if; end",
    "if 1 then reset master; end if",
    "while 1 do set global read_only = 0; end while",
    "for i in 1..2 do shutdown; end for",
    "create procedure p() reset master",
    "create procedure p() begin select 1; set global read_only=0; end",
    "create procedure p() begin declare exit handler for sqlexception kill 5; select 1; end",
    "create trigger tr before insert on t for each row flush tables",
    "analyze format=json select * from mysql.user",
    // What the parser does not understand.
    "reset master now please (",
    "grant (",
    "update mysql.user set !!",
    "create user (",
    "; ; flush",
    "kill",
    "insert into _vt.x (((",
};

constexpr std::string_view kAllowed[] = {
    "select 1",
    "select * from t",
    "select user from t",
    "insert into user values (1)",
    "select * from kill_list",
    "update t set grant_id = 1",
    "select flush, reset from t",
    "select * from information_schema.tables",
    "select * from information_schema.user_privileges",
    "select name from mysql.time_zone_name",
    "select * from mysql.help_topic",
    "select * from mysql.innodb_table_stats",
    "select * from performance_schema.threads",
    "select * from sys.version",
    "select * from _vt.vreplication",
    "create table user (id int)",
    "drop table role",
    "create table event (a int)",
    "alter table server add column x int",
    "create index event on t (a)",
    "create spatial index s on t (g)",
    "create view v as select 1",
    "create procedure p() begin select 1; end",
    "create procedure p() begin declare mysql int; select mysql.a from t mysql; end",
    "create definer=user@localhost procedure p() select 1",
    "create function f(a int) returns int return a + 1",
    "create function f() returns varchar(10) deterministic return 'soname'",
    "create trigger tr before insert on t for each row set new.a = 1",
    "create sequence s",
    "create table t(data int, directory int, index (directory))",
    "drop function f",
    "call p()",
    "set autocommit = 0",
    "set session sql_mode = 'x'",
    "set @a = 1",
    "set names utf8mb4",
    "set transaction isolation level read committed",
    "set character set utf8",
    "set @global = 1, @@session.time_zone = '+00:00'",
    "show grants",
    "show grants for current_user()",
    "show tables from mysql",
    "show create table t",
    "show master status",
    "show processlist",
    "lock tables t write",
    "unlock tables",
    "load data local infile 'x' into table t",
    "select a into @b from t",
    "start transaction",
    "begin",
    "commit",
    "start transaction with consistent snapshot",
    "handler t open",
    "handler t read first",
    "help 'select'",
    "prepare p from 'select ?'",
    "prepare p from @a",
    "execute p using @a",
    "execute immediate concat('a', 'b')",
    "deallocate prepare p",
    "analyze table t",
    "optimize table t",
    "explain select 1",
    "checksum table t",
    "alter database character set utf8mb4",
    "rename table a to b",
    "truncate table t",
    "do sleep(0)",
    "savepoint a",
    "release savepoint a",
    "select 'reset master'",
    "select `reset` from `master`",
    "/*!40101 set names utf8 */",
    "/*!80000 set session information_schema_stats_expiry=0 */",
    "signal sqlstate '45000'",
    "get diagnostics @a = number",
    "select get_lock('a', 1)",
    "begin not atomic select 1; end",
    "selec 1",
    "select 1;",
    "set statement max_statement_time=1 for select 1",
    "select next value for s",
    "drop temporary table if exists t",
    "values (1)",
    "delete from t where sys.a = 1",
};

TEST(StatementPolicy, RefusesWhatNoApplicationMaySend) {
  for (const auto text : kRefused) EXPECT_TRUE(refusal(text).starts_with("statement not allowed: ")) << text;
}

TEST(StatementPolicy, AllowsWhatApplicationsNeed) {
  for (const auto text : kAllowed) EXPECT_EQ(refusal(text), "") << text;
}

TEST(StatementPolicy, LetsFilesInWhenAsked) {
  const StatementPolicy policy{.allow_files = true};
  for (const std::string_view text : {"load data infile 'x' into table t", "select 1 into outfile 'x'",
                                      "select load_file('x')", "select 1 into dumpfile 'x'"}) {
    EXPECT_NE(refusal(text), "") << text;
    EXPECT_EQ(refusal(text, policy), "") << text;
  }
  EXPECT_NE(refusal("load data infile 'x' into table mysql.user", policy), "");
}

TEST(StatementPolicy, KnowsTheSidecarDatabaseByItsName) {
  const StatementPolicy policy{.sidecar_database = "_other"};
  EXPECT_EQ(refusal("update _vt.x set a = 1", policy), "");
  EXPECT_NE(refusal("update _other.x set a = 1", policy), "");
}

// The guard remembers statements without the values of their literals; a verdict that depends on one is not remembered.
TEST(StatementPolicy, IsAskedAgainWhereALiteralDecides) {
  QueryGuard guard;
  EXPECT_EQ(guard.classify("execute immediate 'select 1'")->refusal, "");
  EXPECT_NE(guard.classify("execute immediate 'shutdown'")->refusal, "");
  EXPECT_EQ(guard.classify("prepare p from 'select 1'")->refusal, "");
  EXPECT_NE(guard.classify("prepare p from 'flush tables'")->refusal, "");
  EXPECT_EQ(guard.classify("select 1")->refusal, "");
  EXPECT_NE(guard.classify("select 1 /*!80000 into outfile 'x' */")->refusal, "");
  EXPECT_EQ(guard.classify("select 1; select 2")->refusal, "");
  EXPECT_NE(guard.classify("select 1; shutdown")->refusal, "");
}

TEST(StatementPolicy, IsCheckedByTheGuard) {
  QueryGuard guard;
  const auto info = guard.classify("reset master");
  const Status checked = QueryGuard::check(*info, "reset master", ServingState{});
  ASSERT_FALSE(checked.ok());
  EXPECT_EQ(checked.error().code(), Code::kPermissionDenied);
  EXPECT_EQ(checked.error().mysql_errno(), 1227);
}

}  // namespace
}  // namespace vitrail::tablet
