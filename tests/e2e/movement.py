"""Workflows that are interrupted, taken back, in each other's way: what is left behind, and what is refused."""

import json
import signal
import threading
import time

import pymysql
from support import ClusterTest, Failure, main, wait_until

from vitrail.cluster import BIN, Cluster
from vitrail.processes import http_get, http_json

HASHED = {"column_vindexes": [{"column": "id", "name": "hash"}]}
VTCTLD_DIES_WITHIN = 10
FENCE_LIFTED_WITHIN = 6  # 5 s and what this test needs to see it.


def series(count):
    """A table `numbers` with the column seq, from 1 on."""
    return f"(with recursive n(seq) as (select 1 union all select seq + 1 from n where seq < {count}) select seq from n) as numbers"


class Small(Cluster):
    """One tablet a shard."""

    def add_shard(self, keyspace, shard, first_uid, kinds=("replica",), note=lambda text: None):
        return super().add_shard(keyspace, shard, first_uid, kinds, note)


class MovementTest(ClusterTest):
    cluster_class = Small

    @classmethod
    def prepare(cls):
        cluster = cls.cluster
        cluster.start_vtctld()
        for keyspace, uid, kinds in (("commerce", 100, ("replica",)), ("customer", 200, ("replica",)), ("other", 210, ("replica", "replica"))):
            cluster.vtctldclient("CreateKeyspace", "--durability-policy", "none", keyspace)
            cluster.add_shard(keyspace, "0", uid, kinds)
        cluster.vtctldclient("CreateKeyspace", "--durability-policy", "none", "sharded")
        cluster.vtctldclient("ApplyVSchema", "--vschema", json.dumps(
            {"sharded": True, "vindexes": {"hash": {"type": "hash"}}, "tables": {"t": HASHED, "nulls": HASHED, "into": HASHED}}), "sharded")
        cluster.add_shard("sharded", "0", 300)
        cluster.vtctldclient("ApplySchema", "--sql", "create table t(id bigint primary key, v int)", "sharded")
        cluster.start_vtgate("--tablet-types-to-wait", "PRIMARY")

    # --- helpers ---
    def on_server(self, uid, sql, database=None):
        tablet = self.cluster.tablets[uid]
        with self.cluster.server(tablet, database or tablet.keyspace) as connection, connection.cursor() as cursor:
            cursor.execute(sql)
            return [tuple(v.decode() if isinstance(v, bytes) else v for v in row) for row in cursor.fetchall()]

    def make_table(self, name, rows=20, columns="id bigint primary key, v int"):
        self.on_server(100, f"create table `{name}`({columns})")
        if rows:
            self.on_server(100, f"insert into `{name}`(id, v) with recursive n(i) as (select 1 union all select i + 1 from n where i < {rows}) select i, i from n")
        vschema = json.loads(self.ctl("GetVSchema", "commerce"))
        vschema.setdefault("tables", {})[name] = {}
        self.ctl("ApplyVSchema", "--vschema", json.dumps(vschema), "commerce")
        self.eventually(lambda: self.rows(f"select count(*) from `{name}`", "commerce"))

    def move(self, workflow, target, action, *flags):
        return self.ctl("MoveTables", "--workflow", workflow, "--target-keyspace", target, action, *flags)

    def refused(self, pattern, workflow, target, action, *flags):
        self.assert_command_fails(pattern, "MoveTables", "--workflow", workflow, "--target-keyspace", target, action, *flags)

    def create(self, workflow, target, table, *flags):
        self.move(workflow, target, "create", "--source-keyspace", "commerce", "--tables", table, *flags)
        self.wait_running(workflow, *{"customer": (200,), "other": (210,), "sharded": (300,)}[target])

    def streams(self, uid, workflow):
        return self.on_server(uid, f"select state, message from vreplication where workflow = '{workflow}'", "_vt")

    def wait_running(self, workflow, *uids):
        for uid in uids:
            wait_until(lambda: [s[0] for s in self.streams(uid, workflow)] not in ([], ["Init"], ["Copying"]) and
                       {s[0] for s in self.streams(uid, workflow)} == {"Running"}, f"{workflow} to run on {uid}", 60)

    def records(self):
        return {f"{keyspace}.{name}" for keyspace in self.children("/global/movement")
                for name in self.children(f"/global/movement/{keyspace}")}

    def open_operations(self, keyspace):
        out = self.ctl("Workflow", "--keyspace", keyspace, "repair", "--dry-run")
        return "" if "Nothing is open" in out else out

    def tables(self, uid):
        return {row[0] for row in self.on_server(uid, "show tables")}

    def crash_at(self, step, *command):
        """A vtctld that dies when it has noted the step; the flag is gone with it."""
        process = self.restart_vtctld("--test-crash-at-step", step)
        with self.assertRaises(Failure):
            self.ctl(*command)
        self.assertTrue(process.wait_ended(VTCTLD_DIES_WITHIN), f"vtctld did not die at {step}")
        self.assertEqual(process.child.returncode, -signal.SIGKILL, process.log_tail())

    def vtctld_again(self):
        self.cluster.start("vtctld", self.cluster.vtctld_argv,
                           lambda: http_get(self.cluster.addresses["vtctld"]["port"], "/debug/vars"))

    def write(self, table, value, database):
        """Seconds until one new row was acknowledged."""
        started = time.monotonic()
        while True:
            try:
                self.rows(f"insert into `{table}`(id, v) values ({value}, 0)", database)
                return time.monotonic() - started
            except pymysql.MySQLError:
                self.assertLess(time.monotonic() - started, 60)

    # --- a switch that is interrupted ---
    def test_a_fence_is_lifted_without_a_restart(self):
        self.make_table("fenced")
        self.second_vtctld()
        self.create("fenced", "customer", "fenced")
        self.crash_at("catch_up", "MoveTables", "--workflow", "fenced", "--target-keyspace", "customer", "switchtraffic")
        self.assertLess(self.write("fenced", 1000, "commerce"), FENCE_LIFTED_WITHIN)
        # The streams run again, the traffic is where it was, and the command works.
        self.vtctld_again()
        self.wait_running("fenced", 200)
        self.assertEqual(self.streams(100, "fenced_reverse"), [])
        self.move("fenced", "customer", "switchtraffic")
        self.write("fenced", 1001, "customer")
        self.assertEqual(self.on_server(200, "select count(*) from fenced where id in (1000, 1001)"), [(2,)])
        self.move("fenced", "customer", "complete")

    def test_a_fence_is_lifted_although_the_target_is_dead(self):
        self.make_table("deadtarget")
        self.second_vtctld()
        self.create("deadtarget", "customer", "deadtarget")
        self.crash_at("position_reverse_streams", "MoveTables", "--workflow", "deadtarget", "--target-keyspace", "customer",
                      "switchtraffic")
        target = self.cluster.processes["vttablet-200"]
        target.kill(signal.SIGKILL)
        target.wait_ended(10)
        self.assertLess(self.write("deadtarget", 1000, "commerce"), FENCE_LIFTED_WITHIN)
        code, shown = self.via_second("Workflow", "--keyspace", "customer", "repair", "--dry-run")
        self.assertEqual(code, 0, shown)
        self.assertRegex(shown, "MoveTables customer.deadtarget: switch is being undone since .*")
        self.cluster.restart("vttablet-200")
        self.vtctld_again()
        wait_until(lambda: self.open_operations("customer") == "", "the rest to be undone", 60)
        self.wait_running("deadtarget", 200)
        self.move("deadtarget", "customer", "cancel")

    def test_a_vtctld_that_was_paused_does_no_harm(self):
        self.make_table("paused")
        self.second_vtctld()
        self.create("paused", "customer", "paused")
        # The target cannot apply: the switch waits for it behind its fence.
        lock = self.cluster.server(self.cluster.tablets[200], "customer")
        lock.cursor().execute("lock tables paused write")
        self.rows("insert into paused(id, v) values (900, 0)", "commerce")
        answer = {}

        def switch():
            try:
                answer["out"] = self.move("paused", "customer", "switchtraffic", "--timeout", "60s")
            except Failure as failure:
                answer["error"] = str(failure)
        command = threading.Thread(target=switch)
        command.start()
        wait_until(lambda: 'denylisted_tables:"paused"' in self.shard_record("commerce", "0"), "the fence", 20)
        vtctld = self.cluster.processes["vtctld"]
        vtctld.kill(signal.SIGSTOP)
        try:
            lock.cursor().execute("unlock tables")
            lock.close()
            self.assertLess(self.write("paused", 1000, "commerce"), FENCE_LIFTED_WITHIN)
            self.wait_running("paused", 200)
        finally:
            vtctld.kill(signal.SIGCONT)
        command.join(90)
        self.assertIn("locks were lost", answer.get("error", str(answer)))
        for value in range(1001, 1021):
            self.write("paused", value, "commerce")
        self.assertNotIn("denylisted", self.shard_record("commerce", "0"))
        self.assertEqual(self.on_server(100, "select count(*) from paused where id >= 900"), [(22,)])
        self.wait_running("paused", 200)
        self.move("paused", "customer", "switchtraffic")
        self.assertEqual(self.rows("select count(*) from paused where id >= 900", "customer"), [(22,)])
        self.move("paused", "customer", "complete")

    def test_a_switch_behind_its_point_of_no_return_is_finished_by_another(self):
        self.make_table("handed")
        self.make_table("later")
        self.second_vtctld()
        self.create("handed", "customer", "handed")
        self.crash_at("allow_target_writes", "MoveTables", "--workflow", "handed", "--target-keyspace", "customer",
                      "switchtraffic")
        self.assertLess(self.write("handed", 1000, "commerce"), FENCE_LIFTED_WITHIN)
        code, out = self.via_second("MoveTables", "--workflow", "handed", "--target-keyspace", "customer", "cancel")
        self.assertNotEqual(code, 0)
        self.assertIn("already switched write traffic", out)
        self.assertEqual(self.on_server(200, "select count(*) from handed"), [(21,)])
        self.vtctld_again()
        self.move("handed", "customer", "complete")
        # A new workflow of the name has nothing to do with it.
        self.create("handed", "customer", "later")
        self.assertIn("Writes Not Switched", self.move("handed", "customer", "status"))
        self.move("handed", "customer", "cancel")

    def test_a_truncate_of_the_source_is_one_of_the_copy(self):
        self.make_table("emptied")
        self.create("emptied", "customer", "emptied")
        self.on_server(100, "truncate emptied")
        self.on_server(100, "insert into emptied(id, v) values (5, 5)")
        wait_until(lambda: self.on_server(200, "select id from emptied") == [(5,)], "the copy to be emptied", 20)
        self.move("emptied", "customer", "cancel")

    def test_rows_that_go_without_an_event_stop_the_stream(self):
        self.make_table("parted", 0, "id int primary key, v int) partition by range (id) (partition p0 values less than (10), "
                        "partition p1 values less than (20), partition p2 values less than (30), partition p3 values less than maxvalue")
        self.on_server(100, "insert into parted(id, v) select seq, seq from seq_1_to_40")
        self.create("parted", "customer", "parted")
        self.on_server(100, "alter table parted comment 'passed over'")
        for statement in ("alter table parted truncate partition p0", "alter table parted drop partition p1",
                          "create or replace table parted(id int primary key, v int)", "rename table parted to parted_old, parted_new to parted"):
            self.on_server(100, "create table if not exists parted_new(id int primary key, v int)")
            self.on_server(100, statement)
            self.on_server(100, "insert into parted(id, v) select max(id) + 1, 0 from (select id from parted union select 40) as t")
            wait_until(lambda: self.streams(200, "parted")[0][0] == "Stopped", "the stream to stop", 20)
            self.assertRegex(self.streams(200, "parted")[0][1], f"(?i)Stopped at DDL .*{statement.split('(')[0]}.*rows come or go with it")
            self.refused("cannot switch traffic", "parted", "customer", "switchtraffic")
            self.move("parted", "customer", "start")
            self.wait_running("parted", 200)
            self.ctl("VDiff", "--workflow", "parted", "--target-keyspace", "customer", "repair")
            self.assertEqual(*(self.on_server(uid, "select id, v from parted order by id") for uid in (100, 200)))
        self.move("parted", "customer", "cancel")
        # Nor is what a table keeps of its past in the log as it is.
        self.on_server(100, "create table past(id int primary key, v int) with system versioning")
        self.refused("table past keeps its own history", "past", "customer", "create", "--source-keyspace", "commerce", "--tables", "past")
        self.on_server(100, "drop table past")

    # --- complete and cancel ---
    def test_an_interrupted_complete_can_only_be_finished(self):
        self.make_table("completed")
        self.create("completed", "customer", "completed")
        self.move("completed", "customer", "switchtraffic")
        self.crash_at("allow_source_tables", "MoveTables", "--workflow", "completed", "--target-keyspace", "customer",
                      "complete")
        self.vtctld_again()
        self.refused("the completed workflow does not exist in the customer keyspace", "completed", "customer", "cancel")
        self.assertEqual(self.rows("select count(*) from completed", "customer"), [(20,)])
        self.assertNotIn("completed", self.tables(100))
        self.assertNotIn("denylisted", self.shard_record("commerce", "0"))
        self.assertNotIn("completed", str(self.routing_rules()))
        self.assertNotIn("customer.completed", self.records())

    def test_no_command_on_the_reverse_workflow_removes_a_copy(self):
        self.make_table("kept")
        self.create("kept", "customer", "kept")
        self.move("kept", "customer", "switchtraffic")
        self.refused("reverse workflow of MoveTables customer.kept", "kept_reverse", "commerce", "cancel")
        self.refused("reverse workflow of MoveTables customer.kept", "kept_reverse", "commerce", "complete")
        self.refused("already switched write traffic", "kept", "customer", "cancel")
        self.assertIn("kept", self.tables(100))
        self.assertIn("kept", self.tables(200))
        # Renamed is renamed, also when it is done again.
        self.on_server(100, "rename table kept to _kept_old")
        self.move("kept", "customer", "complete", "--rename-tables")
        self.assertIn("_kept_old", self.tables(100))
        self.assertEqual(self.rows("select count(*) from kept", "customer"), [(20,)])

    def test_a_reverse_keeps_the_workflow_and_what_it_was_created_with(self):
        self.make_table("returned")
        self.create("returned", "customer", "returned", "--on-ddl", "STOP", "--tablet-types", "primary")
        settings = "select tablet_types, source from vreplication where workflow = 'returned'"
        before = self.on_server(200, settings, "_vt")
        self.move("returned", "customer", "switchtraffic")
        # A reverse that cannot catch up is undone: nothing of the workflow is lost.
        lock = self.cluster.server(self.cluster.tablets[100], "commerce")
        lock.cursor().execute("lock tables returned write")
        self.rows("insert into returned(id, v) values (1000, 0)", "customer")
        self.refused("failed to sync up replication", "returned", "customer", "reversetraffic", "--timeout", "2s")
        lock.cursor().execute("unlock tables")
        lock.close()
        self.write("returned", 1001, "customer")
        self.assertEqual(self.streams(200, "returned"), [("Stopped", "FROZEN")])
        self.wait_running("returned_reverse", 100)
        self.move("returned", "customer", "reversetraffic")
        self.wait_running("returned", 200)
        self.assertEqual(self.on_server(200, settings, "_vt"), before)
        self.write("returned", 1002, "commerce")
        wait_until(lambda: self.on_server(200, "select count(*) from returned") == [(23,)], "the row to come over", 20)
        self.move("returned", "customer", "cancel")
        self.assertEqual(self.streams(100, "returned_reverse") + self.streams(200, "returned"), [])
        self.assertEqual(self.rows("select count(*) from returned", "commerce"), [(23,)])

    # --- create ---
    def test_a_refused_or_interrupted_create_leaves_nothing(self):
        self.make_table("keyless", 0, "id bigint, v int")
        self.make_table("cascades", 0)
        self.on_server(100, "create table child(id bigint primary key, v int, p bigint, "
                            "foreign key (p) references cascades(id) on delete cascade)")
        self.make_table("half")
        before, tables = self.everything_recorded(), self.tables(200)
        self.refused("neither a primary key nor a unique key", "x1", "customer", "create", "--source-keyspace", "commerce",
                     "--tables", "keyless")
        self.refused("foreign key child", "x1", "customer", "create", "--source-keyspace", "commerce", "--tables",
                     "cascades,child")
        self.refused("names that end in _reverse", "x_reverse", "customer", "create", "--source-keyspace", "commerce",
                     "--tables", "half")
        for flag, pattern in (("--source-time-zone=No/Where", "does not know the time zone"),
                              ("--config-overrides=a=b", "no such setting"), ("--source-shards=-80", "is not")):
            self.refused(pattern, "x1", "customer", "create", "--source-keyspace", "commerce", "--tables", "half", flag)
        self.assertEqual(self.everything_recorded(), before)
        self.assertEqual(self.tables(200), tables)
        for step in ("create_streams", "deny_target_tables"):
            self.crash_at(step, "MoveTables", "--workflow", "half", "--target-keyspace", "customer", "create",
                          "--source-keyspace", "commerce", "--tables", "half")
            self.vtctld_again()
            wait_until(lambda: "customer.half" not in self.records(), f"the create that died at {step} to be undone", 30)
            self.assertEqual(self.everything_recorded(), before)
            self.assertEqual(self.tables(200), tables)
            self.assertEqual(self.streams(200, "half"), [])

    def test_a_null_in_the_routing_column_is_named(self):
        self.make_table("nulls", 0, "id bigint, v int, k int primary key")
        self.on_server(100, "insert into nulls values (null, 1, 1)")
        self.refused("table nulls has rows with NULL in column id", "n", "sharded", "create", "--source-keyspace", "commerce",
                     "--tables", "nulls")
        self.assertNotIn("nulls", self.tables(300))
        self.on_server(100, "delete from nulls")
        self.create("n", "sharded", "nulls")
        # One that comes later stops the stream, which goes on once it is gone or has a place.
        for mend in ("delete from nulls where k = 2", "update nulls set id = 2 where k = 2"):
            self.on_server(100, "insert into nulls values (null, 1, 2)")
            self.eventually(lambda: self.assertIn("has no keyspace id", self.streams(300, "n")[0][1]))
            self.on_server(100, mend)
            self.on_server(100, "insert into nulls values (10, 0, 10) on duplicate key update v = v + 1")
            self.eventually(lambda: self.assertEqual(*(self.on_server(uid, "select * from nulls order by k") for uid in (100, 300))))
        self.assertEqual(self.streams(300, "n"), [("Running", "")])
        self.move("n", "sharded", "cancel")

    def test_names_that_need_quotes(self):
        self.make_table("order")
        self.make_table("my-table", 20, "id bigint primary key, v int, e enum('a', 'b') default 'b'")
        # No member of the ENUM: what a session that was not strict has left.
        self.on_server(100, "set statement sql_mode = '' for update `my-table` set e = 'c' where id in (1, 2)")
        self.create("quoted", "customer", "order,my-table")
        self.on_server(100, "set statement sql_mode = '' for update `my-table` set e = '' where id in (2, 3)")
        self.eventually(lambda: self.assertEqual(*(self.on_server(uid, "select id, e + 0 from `my-table` order by id") for uid in (100, 200))))
        self.move("quoted", "customer", "switchtraffic")
        self.assertEqual(self.rows("select count(*) from `order`", "customer"), [(20,)])
        self.move("quoted", "customer", "reversetraffic")
        self.move("quoted", "customer", "cancel")
        self.assertEqual(self.tables(200) & {"order", "my-table"}, set())

    # --- in each other's way ---
    def test_conflicts_are_refused_by_name(self):
        for name in ("first", "second"):
            self.make_table(name)
        self.create("mv", "customer", "first")
        for command in (("DeleteKeyspace", "--recursive", "customer"), ("DeleteShards", "--recursive", "commerce/0")):
            self.assert_command_fails("of MoveTables customer.mv: complete or cancel that first", *command)
        self.refused("not found in source keyspace commerce: nosuch", "none", "customer", "create", "--source-keyspace", "commerce",
                     "--tables", "nosuch")
        before = self.everything_recorded()
        self.refused("customer.mv", "mv", "other", "create", "--source-keyspace", "commerce", "--tables", "second")
        self.refused("table first .*customer.mv", "another", "other", "create", "--source-keyspace", "commerce", "--tables",
                     "first,second")
        self.refused("some streams already exist", "mv", "customer", "create", "--source-keyspace", "commerce", "--tables",
                     "second")
        self.assertEqual(self.everything_recorded(), before)
        self.move("mv", "customer", "cancel")

    # --- reads that are run again on the target ---
    def mirrored(self):
        counts = http_json(self.cluster.addresses["vtgate"]["port"], "/debug/vars")
        return counts.get("MirroredReads", 0), counts.get("MirroredReadErrors", 0)

    def read_there(self, table):
        """Reads of the table that the target's tablet was asked for."""
        return self.cluster.vars(self.cluster.tablets[200]).get("QueryCounts", {}).get(f"{table}.Select", 0)

    def mirror_rules(self):
        return {rule["from_table"]: (rule["to_table"], rule["percent"])
                for rule in json.loads(self.ctl("GetMirrorRules")).get("rules") or []}

    def test_reads_are_mirrored(self):
        self.make_table("seen")
        self.make_table("unseen")
        self.create("mirrored", "customer", "seen")
        before = self.everything_recorded()
        self.refused("a number from 0 to 100", "mirrored", "customer", "mirrortraffic", "--percent", "101")
        self.refused("not of SPARE", "mirrored", "customer", "mirrortraffic", "--tablet-types", "SPARE")
        self.assertEqual(self.everything_recorded(), before)
        out = self.move("mirrored", "customer", "mirrortraffic", "--percent", "100", "--tablet-types", "primary")
        self.assertIn("MirrorTraffic was successful for workflow customer.mirrored\n\nStart State: Reads Not Switched. Writes "
                      "Not Switched\nCurrent State: Reads Not Switched. Writes Not Switched", out)
        self.assertEqual(self.mirror_rules(), {"commerce.seen": ("customer.seen", 100)})

        def is_mirrored():
            count, there = self.mirrored()[0], self.read_there("seen")
            self.assertEqual(self.rows("select count(*) from seen", "commerce"), [(20,)])
            self.eventually(lambda: self.assertGreater(self.mirrored()[0], count), 2)
            self.assertGreater(self.read_there("seen"), there)
        self.eventually(is_mirrored, 30)
        # In a session with settings of its own; over both tables; beside what is not mirrored (gate/mirror_test.cc counts it).
        count, errors = self.mirrored()
        with self.cluster.connect("commerce") as connection, connection.cursor() as cursor:
            cursor.execute("set sql_mode = 'ANSI_QUOTES', autocommit = 0")
            cursor.execute('select "v" from seen where id = 7')
            self.assertEqual(cursor.fetchall(), ((7,),))
            cursor.execute("select s.v, u.v from seen s join unseen u on s.id = u.id where s.id in (3, 4) order by s.id")
            self.assertEqual(cursor.fetchall(), ((3, 3), (4, 4)))
            for sql in ("select v from unseen where id = 1", "select v from seen where id = 1 for update", "update seen set v = 8 where id = 8",
                        "select @a := v from seen where id = 2"):
                cursor.execute(sql)
            connection.commit()
        self.eventually(lambda: self.assertGreaterEqual(self.mirrored()[0], count + 2), 35)  # An earlier one may be counted late.
        self.assertEqual(self.mirrored()[1], errors)
        # Writes of the target are denied as before.
        with pymysql.connect(host="127.0.0.1", port=self.cluster.tablets[200].ports["data"], user="vtgate",
                             database="customer/0@primary") as connection, connection.cursor() as cursor:
            cursor.execute("select count(*) from seen")
            with self.assertRaisesRegex(pymysql.MySQLError, "enforce denied tables"):
                cursor.execute("delete from seen")
        self.move("mirrored", "customer", "mirrortraffic", "--percent", "0")
        self.assertEqual((self.mirror_rules(), self.everything_recorded()), ({}, before))
        # What was switched is not mirrored any more.
        self.move("mirrored", "customer", "mirrortraffic", "--percent", "0.5")
        self.assertEqual(set(self.mirror_rules()), {"commerce.seen", "commerce.seen@replica", "commerce.seen@rdonly"})
        self.assertIn("Mirroring 0.00 percent of traffic from keyspace commerce to keyspace customer for tablet types [RDONLY]",
                      self.move("mirrored", "customer", "switchtraffic", "--tablet-types", "rdonly", "--dry-run"))
        self.move("mirrored", "customer", "switchtraffic", "--tablet-types", "rdonly")
        self.assertEqual(set(self.mirror_rules()), {"commerce.seen", "commerce.seen@replica"})
        self.refused("cannot mirror traffic for workflow mirrored at this time: the rdonly traffic is switched already", "mirrored",
                     "customer", "mirrortraffic")
        self.move("mirrored", "customer", "switchtraffic")
        self.assertEqual(self.mirror_rules(), {})
        self.refused("invalid action for reverse workflow", "mirrored_reverse", "commerce", "mirrortraffic")
        self.move("mirrored", "customer", "reversetraffic")
        self.move("mirrored", "customer", "mirrortraffic")
        self.move("mirrored", "customer", "cancel")
        self.assertEqual(self.mirror_rules(), {})
        self.assertNotIn("tablet_controls", self.shard_record("customer", "0"))

    # --- another cluster ---
    def test_tables_of_another_cluster_are_copied(self):
        """Which is this one, under another name: src/movement/topology_picker_test.cc has two."""
        self.make_table("abroad", 30)
        here = ("--topo-type", "sqlite", "--topo-server", self.cluster.topo_address(), "--topo-root", "/vitess/global")
        self.assert_command_fails("unknown kind of topology 'consul'", "Mount", "register", "--topo-type", "consul", *here[2:], "elsewhere")
        self.ctl("Mount", "register", *here, "elsewhere")
        self.assert_command_fails("ALREADY_EXISTS", "Mount", "register", *here, "elsewhere")
        self.assertEqual(json.loads(self.ctl("Mount", "show", "elsewhere")),
                         {"topo_type": "sqlite", "topo_server": self.cluster.topo_address(), "topo_root": "/vitess/global", "name": "elsewhere"})
        self.assertEqual(json.loads(self.ctl("Mount", "list")), {"names": ["elsewhere"]})
        self.assert_command_fails("nowhere", "Mount", "show", "nowhere")
        base = ("Migrate", "--workflow", "abroad", "--target-keyspace", "customer")
        create = (*base, "create", "--source-keyspace", "commerce", "--tables", "abroad", "--mount-name")
        before, tables = self.everything_recorded(), self.tables(200)
        for pattern, command in (("external cluster nowhere", (*create, "nowhere")), ("nosuch", (*create, "elsewhere", "--cells", "nosuch")),
                                 ("nokeyspace", (*base, "create", "--source-keyspace", "nokeyspace", "--all-tables", "--mount-name", "elsewhere")),
                                 ("notable", (*base, "create", "--source-keyspace", "commerce", "--tables", "notable", "--mount-name", "elsewhere"))):
            self.assert_command_fails(pattern, *command)
        self.assertEqual((self.everything_recorded(), self.tables(200)), (before, tables))
        self.assertIn("id=", self.ctl(*create, "elsewhere"))
        self.wait_running("abroad", 200)
        self.rows("insert into abroad(id, v) values (100, 100)", "commerce")
        self.rows("update abroad set v = 77 where id = 7", "commerce")
        self.rows("delete from abroad where id = 8", "commerce")
        wanted = self.on_server(100, "select id, v from abroad order by id")
        self.eventually(lambda: self.assertEqual(self.on_server(200, "select id, v from abroad order by id"), wanted), 30)
        self.ctl("VDiff", "--workflow", "abroad", "--target-keyspace", "customer", "create", "--wait")
        self.assertEqual(json.loads(self.ctl(*base, "show"))["workflows"][0]["workflow_type"], "Migrate")
        self.refused("invalid action for Migrate workflow: SwitchTraffic", "abroad", "customer", "switchtraffic")
        self.refused("use Migrate complete", "abroad", "customer", "complete")
        self.refused("invalid action for Migrate workflow: MirrorTraffic", "abroad", "customer", "mirrortraffic")
        self.assert_command_fails("customer.abroad takes its rows from the cluster elsewhere", "Mount", "unregister", "elsewhere")
        self.assertEqual(self.everything_recorded(), before)
        self.assertIn("Delete vreplication streams on targets: [keyspace:customer;shard:0;workflow:abroad;tablet:200]",
                      self.ctl(*base, "complete", "--dry-run"))
        self.assertEqual(self.ctl(*base, "complete"), "Successfully completed the abroad workflow in the customer keyspace\n")
        self.assertEqual((self.streams(200, "abroad"), self.on_server(200, "select id, v from abroad order by id")), ([], wanted))
        # Once more: what is there is not written over; and given up.
        self.assert_command_fails("already have data", *create, "elsewhere")
        self.on_server(200, "drop table abroad")
        self.ctl(*create, "elsewhere")
        self.assertIn("Successfully cancelled the abroad workflow", self.ctl(*base, "cancel"))
        self.assertEqual((self.streams(200, "abroad"), self.tables(200)), ([], tables))
        self.ctl("Mount", "unregister", "elsewhere")
        self.assertEqual(json.loads(self.ctl("Mount", "list")).get("names") or [], [])

    def test_rules_of_others_come_back(self):
        self.make_table("ruled")
        rules = [{"from_table": "ruled", "to_tables": ["commerce.ruled"]},
                 {"from_table": "commerce.zzz", "to_tables": ["commerce.ruled"]}]
        self.ctl("ApplyRoutingRules", "--rules", json.dumps({"rules": rules}))
        before = self.routing_rules()
        self.create("ruled", "customer", "ruled")
        self.assertNotEqual(self.routing_rules(), before)
        self.move("ruled", "customer", "cancel")
        self.assertEqual(self.routing_rules(), before)
        self.ctl("ApplyRoutingRules", "--rules", json.dumps({"rules": []}))

    def test_cancel_leaves_the_vschema_as_it_was(self):
        for name in ("listed", "unlisted"):
            self.make_table(name)
        vschema = json.loads(self.ctl("GetVSchema", "customer"))
        vschema.setdefault("tables", {})["listed"] = {"columns": [{"name": "v", "type": "INT32"}]}
        self.ctl("ApplyVSchema", "--vschema", json.dumps(vschema), "customer")
        before = self.everything_recorded()
        self.create("listing", "customer", "listed,unlisted")
        self.assertIn("unlisted", self.ctl("GetVSchema", "customer"))
        self.move("listing", "customer", "cancel")
        self.assertEqual(self.everything_recorded(), before)

    def test_sequences_begin_behind_the_largest_id(self):
        self.make_table("numbered")
        self.on_server(100, "create table numbers(id int primary key, next_id bigint, cache bigint) comment 'vitess_sequence'")
        vschema = json.loads(self.ctl("GetVSchema", "commerce"))
        vschema["tables"]["numbers"] = {"type": "sequence"}
        self.ctl("ApplyVSchema", "--vschema", json.dumps(vschema), "commerce")
        vschema = json.loads(self.ctl("GetVSchema", "customer"))
        vschema.setdefault("tables", {})["numbered"] = {"auto_increment": {"column": "id", "sequence": "commerce.numbers"}}
        self.ctl("ApplyVSchema", "--vschema", json.dumps(vschema), "customer")
        self.create("numbered", "customer", "numbered")
        flag = "--initialize-target-sequences"
        self.assertIn("Backing table: numbers, current value 0, new value 21", self.move("numbered", "customer", "switchtraffic", flag,
                                                                                     "--dry-run"))
        self.assertEqual(self.on_server(100, "select count(*) from numbers"), [(0,)])
        self.write("numbered", 777, "commerce")
        self.move("numbered", "customer", "switchtraffic", flag)
        self.assertEqual(self.on_server(100, "select next_id from numbers where id = 0"), [(778,)])
        self.refused("is for MoveTables switchtraffic", "numbered", "customer", "reversetraffic", flag)
        self.move("numbered", "customer", "complete")

    # --- options of create ---
    def test_options_of_create(self):
        self.on_server(100, "create table `o,dd`(id bigint primary key auto_increment, v int, w int, key (v), key `w,v` (w, v))")
        self.on_server(100, f"insert into `o,dd`(v, w) select seq % 7, seq from {series(500)}")
        self.on_server(100, "create table _vt_hld_6ace8bcef73211ea87e9f875a4d24e90_20200915120410_(id int primary key)")
        vschema = json.loads(self.ctl("GetVSchema", "sharded"))
        vschema["tables"]["o,dd"] = HASHED
        self.ctl("ApplyVSchema", "--vschema", json.dumps(vschema), "sharded")
        table = ("--source-keyspace", "commerce", "--tables", "`o,dd`")
        before = self.everything_recorded()
        for flags, message in (
                (("--tenant-id", "1"), "has no multi_tenant_spec"), (("--shards", "0"), "--source-shards names the shards"),
                (("--source-time-zone", "No/Where"), "does not know"),
                (("--config-overrides", "a=b"), "no such setting"), (("--global-keyspace", "commerce"), "goes with"),
                (("--sharded-auto-increment-handling", "REPLACE"), "needs --global-keyspace"),
                (("--sharded-auto-increment-handling", "replace", "--global-keyspace", "sharded"), "is sharded")):
            self.refused(message, "options", "sharded", "create", *table, *flags)
        self.refused("is for a sharded target", "options", "customer", "create", *table, "--sharded-auto-increment-handling", "REPLACE",
                     "--global-keyspace", "commerce")
        self.refused("one that a tool has made", "options", "customer", "create", "--source-keyspace", "commerce", "--tables",
                     "_vt_hld_6ace8bcef73211ea87e9f875a4d24e90_20200915120410_")
        self.refused("odd number of backquotes", "options", "customer", "create", "--source-keyspace", "commerce", "--tables", "`o")
        self.assertEqual(self.everything_recorded(), before)

        # Sequences in the place of AUTO_INCREMENT; they go when the creation is taken back.
        self.move("options", "sharded", "create", *table, "--sharded-auto-increment-handling", "REPLACE", "--global-keyspace", "commerce")
        self.wait_running("options", 300)
        vschema = json.loads(self.ctl("GetVSchema", "sharded"))
        self.assertEqual(vschema["tables"]["o,dd"]["auto_increment"], {"column": "id", "sequence": "commerce.o,dd_seq"})
        self.assertEqual(json.loads(self.ctl("GetVSchema", "commerce"))["tables"]["o,dd_seq"]["type"], "sequence")
        self.assertEqual(self.on_server(100, "select next_id, cache from `o,dd_seq`"), [(1, 1000)])
        made = self.on_server(300, "show create table `o,dd`")[0][1]
        self.assertNotIn("AUTO_INCREMENT", made)
        # Deferred keys are there again.
        self.assertIn("KEY `v` (`v`)", made)
        self.assertIn("KEY `w,v` (`w`,`v`)", made)
        types = [row[0] for row in self.on_server(300, "select message from vreplication_log where type = 'Message'", "_vt")]
        self.assertTrue(any("secondary keys of table o,dd were added" in text for text in types), types)
        self.move("options", "sharded", "switchtraffic", "--initialize-target-sequences")
        self.assertEqual(self.on_server(100, "select next_id from `o,dd_seq`"), [(501,)])
        self.rows("insert into `o,dd`(v) values (-1)", "sharded")
        self.assertEqual(self.on_server(300, "select id from `o,dd` where v = -1"), [(501,)])
        self.move("options", "sharded", "reversetraffic")
        self.move("options", "sharded", "cancel")

    def test_a_keyspace_with_tables_of_tools_is_moved_without_them(self):
        self.on_server(210, "create table mine(id bigint primary key, v int)")
        self.on_server(210, "create table _4e5dcf80_354b_11eb_82cd_f875a4d24e90_20201203114014_gho(id int primary key)")
        self.move("whole", "customer", "create", "--source-keyspace", "other", "--all-tables", "--no-routing-rules")
        self.wait_running("whole", 200)
        self.assertEqual(self.on_server(200, "show tables like '%gho'"), [])
        self.assertEqual(self.on_server(200, "show tables like 'mine'"), [("mine",)])
        self.refused("--delete-batch-size is for workflows with --tenant-id", "whole", "customer", "cancel", "--delete-batch-size", "10")
        self.move("whole", "customer", "cancel")
        for name in ("mine", "_4e5dcf80_354b_11eb_82cd_f875a4d24e90_20201203114014_gho"):
            self.on_server(210, f"drop table `{name}`")

    # --- the throttler ---
    def throttle(self, keyspace, *flags):
        self.ctl("UpdateThrottlerConfig", *flags, keyspace)

    def check(self, uid, app):
        return json.loads(self.ctl("CheckThrottler", "--app-name", app, f"zone1-{uid}"))["Check"]["response_code"]

    def wait_throttled(self, workflow, component):
        noted = f"select component_throttled, reason_throttled from vreplication where workflow = '{workflow}'"
        wait_until(lambda: [row[0] for row in self.on_server(210, noted, "_vt")] == [component], f"{component} to be held up", 30)

    def test_copies_streams_and_comparisons_obey_the_throttler(self):
        for flags, message in ((("--enable", "--disable"), "contradict"), (("--threshold", "-1"), "above 0"),
                               (("--metric-name", "nonsense", "--threshold", "1"), "no metric nonsense"),
                               (("--custom-query", "delete from t"), "must be a SELECT"),
                               (("--throttle-app", "x", "--throttle-app-ratio", "2"), "from 0"),
                               (("--check-as-check-self",), "not built")):
            self.assert_command_fails(message, "UpdateThrottlerConfig", *flags, "other")
        self.throttle("other", "--enable", "--threshold", "1.5")

        def status(uid):
            return json.loads(self.ctl("GetThrottlerStatus", f"zone1-{uid}"))["status"]
        wait_until(lambda: status(210)["is_enabled"] and status(210)["metrics_health"], "the throttler to be on", 30)
        wait_until(lambda: "shard/lag" in status(210)["aggregated_metrics"], "the replica to be measured", 30)
        self.assertTrue(json.loads(self.ctl("GetKeyspace", "other"))["keyspace"]["throttler_config"]["enabled"])
        self.assertTrue(json.loads(self.ctl("GetSrvKeyspaces", "other"))["zone1"]["throttler_config"]["enabled"])

        # A copy waits while its app is held up; whoever is exempt does not.
        self.make_table("slowly")
        self.throttle("other", "--throttle-app", "vcopier")
        wait_until(lambda: self.check(210, "vcopier:slowly:vreplication") == "APP_DENIED", "the rule to arrive", 30)
        self.move("slowly", "other", "create", "--source-keyspace", "commerce", "--tables", "slowly")
        self.wait_throttled("slowly", "vcopier")
        self.assertEqual(self.on_server(210, "select count(*) from slowly"), [(0,)])
        self.throttle("other", "--throttle-app", "slowly", "--throttle-app-exempt")
        self.wait_running("slowly", 210)
        self.throttle("other", "--unthrottle-app", "slowly")
        self.throttle("other", "--unthrottle-app", "vcopier")

        # So do streams while a replica of the target lags, and comparisons.
        self.ctl("StopReplication", "zone1-211")
        wait_until(lambda: self.check(210, "vplayer") == "THRESHOLD_EXCEEDED", "the lag to be noticed", 30)
        self.write("slowly", 1001, "commerce")
        self.wait_throttled("slowly", "vplayer")
        arrived = "select count(*) from slowly where id = 1001"
        self.assertEqual(self.on_server(210, arrived), [(0,)])
        self.ctl("VDiff", "--workflow", "slowly", "--target-keyspace", "other", "create", "0d0b2a4e-0000-4000-8000-000000000001")
        compared = "select state, rows_compared from vdiff_table where table_name = 'slowly'"
        wait_until(lambda: self.on_server(210, compared, "_vt") == [("started", 0)], "the comparison to begin", 30)
        self.ctl("StartReplication", "zone1-211")
        wait_until(lambda: self.on_server(210, arrived) == [(1,)], "the row to arrive", 30)
        wait_until(lambda: self.on_server(210, compared, "_vt")[0][0] == "completed", "the comparison to end", 30)

        # And the source is spared, too: its own keyspace's throttler says so, here by a query of the operator's.
        self.throttle("commerce", "--enable", "--custom-query", "select 3", "--threshold", "2")
        wait_until(lambda: self.check(100, "vstreamer") == "THRESHOLD_EXCEEDED", "the query to be measured", 30)
        self.write("slowly", 1002, "commerce")
        self.wait_throttled("slowly", "vstreamer")
        self.throttle("commerce", "--disable", "--custom-query", "")
        wait_until(lambda: self.on_server(210, "select count(*) from slowly where id = 1002") == [(1,)], "the row to arrive", 30)
        self.throttle("other", "--disable")
        self.move("slowly", "other", "cancel")

    # --- which source ---
    def streams_from(self, uid):
        return json.loads(http_get(self.cluster.tablets[uid].ports["port"], "/debug/vars"))["VStreamsActive"]

    def test_a_source_that_cannot_give_everything_is_left(self):
        """A replica that stops replicating, or has lost its logs, is left for the primary; without another one the switch refuses."""
        self.on_server(210, "create table sourced(id bigint primary key, v int)")
        vschema = json.loads(self.ctl("GetVSchema", "other"))
        vschema.setdefault("tables", {})["sourced"] = {}
        self.ctl("ApplyVSchema", "--vschema", json.dumps(vschema), "other")
        self.on_server(210, f"insert into sourced select seq, seq from {series(20)}")
        wait_until(lambda: self.on_server(211, "show tables like 'sourced'"), "the replica to have the table", 30)
        self.move("sourced", "customer", "create", "--source-keyspace", "other", "--tables", "sourced")
        self.wait_running("sourced", 200)
        self.assertEqual((self.streams_from(211), self.streams_from(210)), (1, 0))

        # A comparison reads where it is told to.
        def rows_summed(uid):
            return json.loads(http_get(self.cluster.tablets[uid].ports["port"], "/debug/vars"))["VStreamRowsSummed"]
        for kind, reads, rests in (("primary", 210, 211), ("replica", 211, 210)):
            before = rows_summed(reads), rows_summed(rests)
            self.ctl("VDiff", "--workflow", "sourced", "--target-keyspace", "customer", "create", "--tablet-types", kind, "--wait")
            self.assertEqual((rows_summed(reads), rows_summed(rests)), (before[0] + 20, before[1]), kind)
        self.assert_command_fails("nowhere", "VDiff", "--workflow", "sourced", "--target-keyspace", "customer", "create", "--source-cells",
                                  "nowhere")

        def arrives(value):
            self.on_server(210, f"insert into sourced values ({value}, 0)")
            wait_until(lambda: self.on_server(200, f"select id from sourced where id = {value}"), f"row {value} to arrive", 40)
        self.ctl("StopReplication", "zone1-211")
        arrives(101)
        self.assertEqual((self.streams_from(211), self.streams_from(210)), (0, 1))

        # Its logs do not reach back to where the stream stands.
        self.move("sourced", "customer", "stop")
        self.ctl("StartReplication", "zone1-211")
        self.on_server(210, "insert into sourced values (102, 0)")
        wait_until(lambda: self.on_server(211, "select id from sourced where id = 102"), "the replica to catch up", 30)
        self.on_server(211, "flush binary logs")
        last = self.on_server(211, "show binary logs")[-1][0]
        self.on_server(211, f"purge binary logs to '{last}'")
        self.move("sourced", "customer", "start")
        wait_until(lambda: self.on_server(200, "select id from sourced where id = 102"), "the row to arrive", 40)
        arrives(103)

        # Nobody else may be read from: the switch says so, and the source takes writes again.
        self.ctl("Workflow", "--keyspace", "customer", "update", "--workflow", "sourced", "--tablet-types", "replica")
        arrives(104)
        self.ctl("StopReplication", "zone1-211")
        self.refused("failed to sync up replication|replication lag", "sourced", "customer", "switchtraffic", "--timeout", "2s")
        self.assertLess(self.write("sourced", 105, "other"), 10)
        wait_until(lambda: int(json.loads(self.ctl("Workflow", "--keyspace", "customer", "show", "--workflow", "sourced"))
                               ["workflows"][0]["max_v_replication_lag"]) > 1, "the lag to be seen", 30)
        self.refused("replication lag .* is higher than allowed", "sourced", "customer", "switchtraffic", "--max-replication-lag-allowed", "1s")
        self.ctl("StartReplication", "zone1-211")
        wait_until(lambda: self.on_server(200, "select id from sourced where id = 105"), "the row to arrive", 40)
        self.move("sourced", "customer", "switchtraffic")
        self.move("sourced", "customer", "complete")

    # --- large rows ---
    def test_rows_larger_than_any_message(self):
        self.make_table("large", 0, "id bigint primary key, v int, b longblob, c varchar(20)")
        sizes = {1: 17 << 20, 2: 60 << 20}
        for value, size in sizes.items():
            self.on_server(100, f"insert into large values ({value}, 0, repeat(x'{value:02x}00275c0a', {size} div 5), 'copied')")
        self.create("large", "customer", "large")
        for value, size in sizes.items():
            self.on_server(100, f"insert into large values ({value + 10}, 0, repeat(x'{value:02x}00275c0a', {size} div 5), 'new')")
        self.on_server(100, "update large set c = 'changed' where id = 2")
        self.on_server(100, "delete from large where id = 1")
        self.on_server(100, "insert into large values (99, 0, null, 'last')")
        wait_until(lambda: self.on_server(200, "select id from large where id = 99"), "the rows to come over", 60)
        every = "select id, v, md5(b), length(b), c from large order by id"
        self.assertEqual(self.on_server(200, every), self.on_server(100, every))
        self.assertEqual(len(self.on_server(200, every)), 4)
        self.ctl("VDiff", "--workflow", "large", "--target-keyspace", "customer", "create", "--wait", "--wait-update-interval", "1s")
        self.move("large", "customer", "cancel")

    # --- what it reads from, what it shows, what it mends ---
    def test_settings_can_be_changed_and_outlive_a_reverse(self):
        self.make_table("tuned")
        self.create("tuned", "customer", "tuned", "--all-cells")
        settings = "select cell, tablet_types, source like '%on_ddl%' from vreplication where workflow = 'tuned'"
        self.assertEqual(self.on_server(200, settings, "_vt"), [("zone1", "in_order:REPLICA,PRIMARY", 0)])
        for flags, message in ((("--cells", "nowhere"), "nowhere"), (("--tablet-types", "BACKUP"), "BACKUP"),
                               (("--config-overrides", "a=b"), "no such setting"), ((), "nothing to update")):
            self.assert_command_fails(message, "Workflow", "--keyspace", "customer", "update", "--workflow", "tuned", *flags)
        done = json.loads(self.ctl("Workflow", "--keyspace", "customer", "update", "--workflow", "tuned", "--tablet-types", "primary",
                                   "--on-ddl", "STOP"))
        self.assertEqual([detail["changed"] for detail in done["details"]], [True])
        changed = [("zone1", "in_order:PRIMARY", 1)]
        self.assertEqual(self.on_server(200, settings, "_vt"), changed)
        self.wait_running("tuned", 200)
        self.move("tuned", "customer", "switchtraffic")
        self.move("tuned", "customer", "reversetraffic")
        self.assertEqual(self.on_server(200, settings, "_vt"), changed)
        shown = json.loads(self.ctl("Workflow", "--keyspace", "customer", "show", "--workflow", "tuned"))["workflows"][0]
        self.assertEqual([past["operation"] for past in shown["past_operations"]], ["create", "switch", "switch"])
        stream = list(shown["shard_streams"].values())[0]["streams"][0]
        self.assertIn("Stream Created", [log["type"] for log in stream["logs"]])
        self.assertEqual((stream["cells"], stream["tablet_types"]), (["zone1"], ["PRIMARY"]))
        self.move("tuned", "customer", "cancel")

    def test_what_is_open_is_shown_and_what_differs_is_mended(self):
        self.make_table("shown")
        self.create("shown", "customer", "shown")
        self.on_server(200, "update shown set v = -1 where id = 3")
        self.on_server(200, "delete from shown where id in (4, 5)")
        self.on_server(200, "insert into shown values (500, 0)")
        vdiff = ("VDiff", "--workflow", "shown", "--target-keyspace", "customer")
        self.assert_command_fails("the rows of both sides differ", *vdiff, "create", "--wait", "--wait-update-interval", "1s")
        self.assertIn("RepairedRows: 4", self.ctl(*vdiff, "repair"))
        self.assertEqual(self.on_server(200, "select * from shown"), self.on_server(100, "select * from shown"))
        self.ctl(*vdiff, "create", "--wait", "--wait-update-interval", "1s")
        self.assertIn("HasMismatch:  false", self.ctl(*vdiff, "show", "last", "--watch"))
        # An operation that nobody can bring to its end: the target's tablet is dead.
        self.crash_at("allow_target_writes", "MoveTables", "--workflow", "shown", "--target-keyspace", "customer", "switchtraffic")
        target = self.cluster.processes["vttablet-200"]
        target.kill(signal.SIGKILL)
        target.wait_ended(10)
        self.vtctld_again()
        wait_until(lambda: "failed attempts" in self.open_operations("customer"), "an attempt to fail", 60)
        self.cluster.restart("vttablet-200")
        wait_until(lambda: self.open_operations("customer") == "", "the switch to be finished", 60)
        past = json.loads(self.ctl("Workflow", "--keyspace", "customer", "show", "--workflow", "shown"))["workflows"][0]
        self.assertEqual(past["past_operations"][-1]["outcome"], "done")
        self.assertNotIn("open_operation", past)
        self.move("shown", "customer", "complete")

    # --- Reshard ---
    def reshard(self, action, *flags):
        return self.ctl("Reshard", "--workflow", "rs", "--target-keyspace", "sharded", action, *flags)

    def test_reshard_is_cancelled_with_its_reads_and_completed_by_whoever_lives(self):
        for uid, shard in ((310, "-80"), (320, "80-")):
            self.cluster.add_shard("sharded", shard, uid)
        self.on_server(300, f"insert into t select seq, seq from {series(20)}")
        # Tables are moved into the keyspace: its shards cannot be split meanwhile.
        self.make_table("into")
        self.create("into", "sharded", "into")
        self.assert_command_fails("cannot be split or merged .* MoveTables sharded.into", "Reshard", "--workflow", "rs",
                                  "--target-keyspace", "sharded", "create", "--source-shards", "0", "--target-shards=-80,80-")
        self.move("into", "sharded", "cancel")
        vschema = json.loads(self.ctl("GetVSchema", "sharded"))
        vschema["tables"].update({"into": HASHED, "rf": {"type": "reference"}})
        self.ctl("ApplyVSchema", "--vschema", json.dumps(vschema), "sharded")
        before = self.srv_keyspace("sharded")
        self.on_server(300, "create table stray(id int primary key)")
        self.assert_command_fails("stray has no primary vindex", "Reshard", "--workflow", "rs", "--target-keyspace", "sharded", "create",
                                  "--source-shards", "0", "--target-shards=-80,80-")
        self.on_server(300, "drop table stray")
        self.reshard("create", "--source-shards", "0", "--target-shards=-80,80-")
        self.wait_running("rs", 310, 320)
        self.refused("keyspace sharded cannot be split .* Reshard sharded.rs", "into", "sharded", "create",
                     "--source-keyspace", "commerce", "--tables", "into")
        self.reshard("switchtraffic", "--tablet-types", "replica,rdonly")
        self.assertNotEqual(self.srv_keyspace("sharded"), before)
        self.reshard("cancel")
        self.assertEqual(self.srv_keyspace("sharded"), before)
        self.reshard("create", "--source-shards", "0", "--target-shards=-80,80-")
        self.wait_running("rs", 310, 320)
        self.reshard("switchtraffic")
        self.crash_at("clear_controls", "Reshard", "--workflow", "rs", "--target-keyspace", "sharded", "complete")
        self.vtctld_again()
        wait_until(lambda: "sharded.rs" not in self.records(), "Complete to be finished", 30)
        self.assertEqual(self.children("/global/keyspaces/sharded/shards"), ["-80", "80-"])
        self.assertNotIn("shard_tablet_controls", self.srv_keyspace("sharded"))
        self.assertEqual(self.rows("select count(*) from t", "sharded"), [(20,)])
        self.assertEqual(self.streams(310, "rs"), [])
        # Merged again, with a table that is the same on both.
        for uid in (310, 320):
            self.on_server(uid, "create table rf(id bigint primary key, v int)")
            self.on_server(uid, "insert into rf values (1, 1), (2, 2)")
        self.cluster.add_shard("sharded", "0", 330)
        self.reshard("create", "--source-shards=-80,80-", "--target-shards=0")
        self.wait_running("rs", 330)
        self.ctl("VDiff", "--workflow", "rs", "--target-keyspace", "sharded", "create", "--wait", "--wait-update-interval", "1s")
        self.assertEqual(self.on_server(330, "select count(*) from rf"), [(2,)])
        self.reshard("cancel")


if __name__ == "__main__":
    main()
