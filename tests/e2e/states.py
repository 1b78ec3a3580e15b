"""The life of a sharding workflow as document 000 tells it, on real servers: who serves what in each state, what each action
does to tables, streams and routing rules, and the ways back. The numbers (S0-17) name the requirements.

Every step of every action under `kill -9` is `./dev faults sharding`; all pairs of state and action, and the 24 hours of a
verification, are unit tests (src/control/states); clicking is tests/e2e/web.py.
"""

import json
import threading

import pymysql

from support import ClusterTest, main

from vitrail.processes import Failure, wait_until

SOURCE, TARGETS = (100, 101), ((200, 201), (300, 301))
SPELLINGS = ("customer", "commerce.customer", "customer.customer")
OTHERS = {"product": ["commerce.product"], "nothing": ["commerce.product"]}


class Writer:
    """Inserts customers, and remembers which were acknowledged."""

    def __init__(self, cluster):
        self.cluster, self.stopping, self.acknowledged, self.errors = cluster, threading.Event(), set(), []
        self.thread = threading.Thread(target=self.work, daemon=True)
        self.thread.start()

    def work(self):
        number = 0
        with self.cluster.connect() as connection, connection.cursor() as cursor:
            while not self.stopping.wait(0.02):
                number += 1
                try:
                    cursor.execute("insert into customer(name) values (%s)", f"w{number}")
                    self.acknowledged.add(f"w{number}")
                except pymysql.MySQLError as error:
                    self.errors.append(repr(error))
                    return

    def stop(self):
        self.stopping.set()
        self.thread.join(60)


class StatesTest(ClusterTest):
    """The tests build on each other: names give the order."""

    @classmethod
    def prepare(cls):
        cluster = cls.cluster
        cluster.start_vtctld()
        for keyspace in ("commerce", "customer"):
            cluster.vtctldclient("CreateKeyspace", "--durability-policy", "none", keyspace)
        cluster.vtctldclient("ApplyVSchema", "--vschema", json.dumps({"tables": {
            "customer": {}, "product": {}, "customer_seq": {"type": "sequence"}}}), "commerce")
        cluster.vtctldclient("ApplyVSchema", "--vschema", json.dumps({
            "sharded": True, "vindexes": {"hash": {"type": "hash"}},
            "tables": {"product": {"column_vindexes": [{"column": "id", "name": "hash"}]},
                       "customer": {"column_vindexes": [{"column": "id", "name": "hash"}],
                                    "auto_increment": {"column": "id", "sequence": "commerce.customer_seq"}}}}), "customer")
        for keyspace, shard, uid in (("commerce", "0", 100), ("customer", "-80", 200), ("customer", "80-", 300)):
            cluster.add_shard(keyspace, shard, uid, ("replica", "replica"))
        cluster.vtctldclient("ApplySchema", "--sql", "create table customer(id bigint auto_increment primary key, name varchar(30)); "
                             "create table product(id int primary key); "
                             "create table customer_seq(id int primary key, next_id bigint, cache bigint) comment 'vitess_sequence'; "
                             "insert into customer_seq values (0, 1, 5)", "commerce")
        cluster.vtctldclient("ApplyRoutingRules", "--rules", json.dumps({"rules": [
            {"from_table": name, "to_tables": to} for name, to in OTHERS.items()]}))
        cluster.start_vtgate()
        cluster.server_rows(cluster.tablets[100], "insert into customer(name) select concat('s', seq) from seq_1_to_300", "commerce")
        cls.writer = None

    @classmethod
    def clean(cls):
        if getattr(cls, "writer", None) is not None:
            cls.writer.stop()
        super().clean()

    # --- the workflow ---
    def act(self, action, *args, name="c2c", branch="main"):
        return self.ctl("ShardingWorkflow", "--branch", branch, action, *args, name)

    def show(self, name="c2c"):
        return json.loads(self.ctl("ShardingWorkflow", "--format", "json", "show", name))

    def create(self, name="c2c"):
        self.act("create", "--source-keyspace", "commerce", "--target-keyspace", "customer", "--tables", "customer", name=name)

    def wait_for(self, state, name="c2c"):
        wait_until(lambda: self.show(name)["state"] == state, f"{name} to be {state}", 60, 0.1)

    def refused(self, action, state, *args):
        """S0-52: the refusal names the state, and changes nothing."""
        before = self.everything_recorded()
        self.assert_command_fails(f"in the state {state}", "ShardingWorkflow", action, *args, "c2c")
        self.assertEqual((self.show()["state"], self.everything_recorded()), (state, before))

    # --- what is where ---
    def on(self, uid, sql):
        tablet = self.cluster.tablets[uid]
        return self.cluster.server_rows(tablet, sql, tablet.keyspace)

    def copies(self):
        """The names that the target shards have, all of them."""
        return sorted(row[0] for uids in TARGETS for row in self.on(uids[0], "select name from customer"))

    def streams(self, uid):
        rows = self.on(uid, "select workflow, state, message from _vt.vreplication")
        return {tuple(v.decode() if isinstance(v, bytes) else v for v in row) for row in rows}

    def served_by(self, table, kind):
        """The tablets that a count over the table asks."""
        uids = [uid for uids in (SOURCE, *TARGETS) for uid in uids]
        with self.cluster.connect(f"@{kind}") as connection, connection.cursor() as cursor:
            cursor.execute(f"select count(*) from {table} where name like 's%'")
            cursor.fetchall()
            before = {uid: self.cluster.vars(self.cluster.tablets[uid])["DataPortQueries"] for uid in uids}
            for _ in range(40):  # More than the writer sends meanwhile.
                cursor.execute(f"select count(*) from {table} where name like 's%'")
                self.assertEqual(cursor.fetchall(), ((300,),))
            after = {uid: self.cluster.vars(self.cluster.tablets[uid])["DataPortQueries"] for uid in uids}
        return {uid for uid in uids if after[uid] - before[uid] >= 40}

    def assert_serving(self, primary, replica):
        """S0-07, S0-08, S0-17, S0-20: whichever way the table is named."""
        source = {"primary": {SOURCE[0]}, "replica": {SOURCE[1]}}
        target = {"primary": {uids[0] for uids in TARGETS}, "replica": {uids[1] for uids in TARGETS}}
        for kind, side in (("primary", primary), ("replica", replica)):
            for table in SPELLINGS:
                with self.subTest(table=table, kind=kind):
                    self.assertEqual(self.served_by(table, kind), (source if side == "source" else target)[kind])

    def seen_by_source(self, what):
        """How often the server that is copied from, a replica, was asked for `what`."""
        return self.on(101, f"select count(*) from mysql.general_log where {what} and argument not like '%general_log%'")[0][0]

    def write(self, name, table="customer"):
        self.rows(f"insert into {table}(name) values ('{name}')")

    def rules(self):
        return {name: to for name, to in self.routing_rules().items() if name not in OTHERS}

    # --- the life ---
    def test_1_copying_and_running(self):
        for setting in ("log_output = 'TABLE'", "general_log = ON"):
            self.on(101, f"set global {setting}")
        held = self.cluster.server(self.cluster.tablets[200], "customer")
        type(self).before = self.routing_rules()
        type(self).records_before = self.everything_recorded()
        with held, held.cursor() as lock:
            lock.execute("flush tables with read lock")  # S0-05: what cannot be applied keeps it in copying.
            creating = threading.Thread(target=self.create, daemon=True)
            creating.start()
            creating.join(3)
            states = [self.show()["state"]] if not creating.is_alive() else []
            self.assertIn(states, ([], ["copying"]))  # S0-01, S0-02
        creating.join(60)
        self.wait_for("running")  # S0-04: by itself.
        for uids in TARGETS:
            self.assertEqual(self.on(uids[0], "select count(*) from _vt.copy_state"), ((0,),))
            self.assertEqual({row[1:] for row in self.streams(uids[0])}, {("Running", "")})
        self.assertEqual(self.routing_rules()["customer.customer"], ["commerce.customer"])  # S0-10
        self.assertEqual(self.show()["substate"], "not verified data")  # S0-11
        self.assert_serving("source", "source")
        copying = "argument like '%FROM `vt_commerce`.`customer`%'"
        reads = self.seen_by_source(copying)
        type(self).writer = Writer(self.cluster)
        for table in SPELLINGS:  # S0-09: insert, update, delete come to the right shard.
            self.write(f"via {table}", table)
        self.rows("update customer set name = 'changed' where name = 'via commerce.customer'")
        self.rows("delete from customer where name = 'via customer'")
        def arrived():  # By a stream for each shard.
            return {"changed", "via customer.customer"} <= set(self.copies()) and "via customer" not in self.copies()
        wait_until(arrived, "the changes to arrive", 20)
        self.assertGreater(reads, 0)  # S0-03
        self.assertGreater(self.seen_by_source("command_type = 'Binlog Dump'"), 0)
        self.assertEqual(self.seen_by_source(copying), reads)  # S0-06
        self.on(101, "set global general_log = OFF")

    def test_2_verification(self):
        self.act("verify")  # S0-12
        view = self.show()
        self.assertEqual((view["state"], view["substate"]), ("running", "verified data"))
        self.assertIn("verified data", self.ctl("ShardingWorkflow", "show", "c2c"))  # S0-16: beside what may be done.
        with self.cluster.server(self.cluster.tablets[200], "customer") as connection, connection.cursor() as cursor:
            cursor.execute("set session sql_log_bin = 0")
            cursor.execute("update customer set name = 's-wrong' where name like 's%' order by id limit 1")
            try:
                self.act("verify")
            except Failure:
                pass
            self.assertEqual(self.show()["substate"], "not verified data")  # S0-15
            self.assertIn("customer", json.dumps(self.show()))
            cursor.execute("select id from customer where name = 's-wrong'")
            (number,) = cursor.fetchone()
            cursor.execute(f"update customer set name = 's{number}' where id = {number}")
        self.act("verify")
        self.assertEqual(self.show()["substate"], "verified data")

    def test_3_one_active_workflow_in_a_branch(self):
        self.assert_command_fails("c2c", "ShardingWorkflow", "create", "--source-keyspace", "commerce", "--target-keyspace", "customer",
                                  "--tables", "product", "second")  # S0-40
        for action, args in (("cutover", ("--yes",)), ("reverse-cutover", ()), ("complete", ()), ("reverse-traffic", ()), ("retry", ())):
            self.refused(action, "running", *args)

    def test_3_another_branch_has_its_own(self):
        self.act("create", "--source-keyspace", "commerce", "--target-keyspace", "customer", "--tables", "product",
                 name="elsewhere", branch="other")  # S0-43
        self.act("cancel", name="elsewhere", branch="other")
        self.assertEqual(self.show()["state"], "running")

    def test_4_cancel_leaves_nothing(self):
        self.writer.stop()
        type(self).written = set(self.writer.acknowledged)
        self.assertEqual(self.writer.errors, [])
        source = self.on(100, "checksum table customer")
        self.act("cancel")  # S0-44 to S0-48
        self.assertEqual(self.show()["state"], "cancelled")
        for uids in TARGETS:
            self.assertEqual((self.on(uids[0], "show tables"), self.streams(uids[0])), ((), set()))
        self.assertEqual((self.on(100, "checksum table customer"), self.everything_recorded()), (source, self.records_before))
        self.assertEqual(json.loads(self.ctl("GetWorkflows", "customer")).get("workflows", []), [])
        self.write("after cancel", "commerce.customer")
        self.create("c2d")  # S0-42: the branch is free again. Cancelled at once, while it copies or just does not any more.
        self.act("cancel", name="c2d")
        self.assertEqual(self.everything_recorded(), self.records_before)

    def test_5_switched_replicas(self):
        self.create("c2e")
        self.wait_for("running", "c2e")
        type(self).writer = Writer(self.cluster)
        self.act("switch-replicas", name="c2e")
        self.assertEqual(self.show("c2e")["state"], "switched_replicas")
        self.assert_serving("source", "target")  # S0-17
        self.write("x18")
        wait_until(lambda: "x18" in self.copies(), "a write on the source to arrive", 20)  # S0-18
        self.act("reverse-traffic", name="c2e")  # S0-27
        self.assertEqual(self.show("c2e")["state"], "running")
        self.assert_serving("source", "source")

    def test_6_switched_primaries_and_back(self):
        self.act("switch-primaries", name="c2e")  # S0-19: without the step before.
        self.assertEqual(self.show("c2e")["state"], "switched_primaries")
        self.assert_serving("target", "target")  # S0-20
        self.assertEqual({row[:2] for row in self.streams(100)}, {("c2e_reverse", "Running")})  # S0-21
        for uids in TARGETS:
            self.assertEqual(self.streams(uids[0]), {("c2e", "Stopped", "FROZEN")})  # S0-22
        (largest,) = max(row for uids in TARGETS for row in self.on(uids[0], "select max(id) from customer"))
        self.write("x23")  # S0-23: the sequence began at 1.
        ((number,),) = self.rows("select id from customer where name = 'x23'")
        self.assertGreater(number, largest)
        wait_until(lambda: self.on(100, "select 1 from customer where name = 'x23'"), "the write to come back to the source", 20)
        rules = self.rules()
        self.assertEqual((rules["customer"], rules["commerce.customer"]), (["customer.customer"], ["customer.customer"]))  # S0-24
        self.assert_command_fails("reverse traffic first", "ShardingWorkflow", "cancel", "c2e")
        self.act("reverse-traffic", name="c2e")  # S0-25
        self.assertEqual(self.show("c2e")["state"], "running")
        self.assert_serving("source", "source")
        self.assertEqual(self.streams(100), {("c2e_reverse", "Stopped", "FROZEN")})  # S0-26
        for uids in TARGETS:
            self.assertEqual({row[1:] for row in self.streams(uids[0])}, {("Running", "")})
        self.act("switch-primaries", name="c2e")
        self.writer.stop()  # S0-28
        self.assertEqual(self.writer.errors, [])
        self.assertLessEqual(self.writer.acknowledged, {row[0] for row in self.rows("select name from customer")})
        type(self).switched = self.routing_rules()

    def test_7_cutover_and_back(self):
        self.restart_vtctld()  # S0-53: state and saved rules outlive it.
        self.assertEqual(self.show("c2e")["state"], "switched_primaries")
        self.assert_command_fails("--yes", "ShardingWorkflow", "cutover", "c2e")  # S0-54
        self.act("cutover", "--yes", name="c2e")
        self.assertEqual(self.show("c2e")["state"], "cutover")
        self.assertNotIn(("customer",), self.on(100, "show tables"))  # S0-29
        for uid in (100, 200, 300):
            self.assertEqual(self.streams(uid), set())
        self.assertNotIn("tablet_controls", self.shard_record("commerce", "0"))
        self.assertEqual(self.routing_rules(), self.before)  # S0-31
        self.eventually(lambda: self.assert_sql_refused((1146, 1105), "customer", "select * from commerce.customer"))  # S0-32
        for table in ("customer", "customer.customer"):  # S0-33
            self.assertEqual(self.rows(f"select count(*) from {table} where name like 's%'"), [(300,)])
        self.assert_command_fails("in the state cutover", "ShardingWorkflow", "cancel", "c2e")  # S0-30
        self.act("reverse-cutover", name="c2e")  # S0-34
        self.assertEqual(self.show("c2e")["state"], "reversed_cutover")
        self.assertEqual(self.routing_rules(), self.switched)  # S0-35
        self.eventually(lambda: self.assertEqual(len(self.rows("select * from commerce.customer limit 1")), 1))  # S0-36
        self.write("x36", "commerce.customer")
        self.assertNotIn(("customer",), self.on(100, "show tables"))  # S0-37
        self.assertEqual(self.streams(100) | self.streams(200) | self.streams(300), set())
        self.assert_command_fails("c2e", "ShardingWorkflow", "create", "--source-keyspace", "commerce", "--target-keyspace", "customer",
                                  "--tables", "product", "second")  # S0-42: reversed_cutover holds its branch.
        self.act("cutover", "--yes", name="c2e")
        before = self.everything_recorded()
        self.act("complete", name="c2e")  # S0-39
        self.assertEqual((self.show("c2e")["state"], self.everything_recorded()), ("complete", before))

    def test_8_an_error_and_its_retry(self):
        """S0-41, S0-49, S0-50."""
        name = ("--source-keyspace", "commerce", "--target-keyspace", "customer", "--tables", "product")
        self.act("create", *name, name="third", branch="main")
        self.wait_for("running", "third")
        self.cluster.mysqlctl(self.cluster.tablets[300], "shutdown")
        with self.assertRaises(Failure):
            self.act("switch-primaries", name="third")
        view = self.show("third")
        self.assertEqual(view["state"], "error")
        self.assertNotEqual(view["error"], "")
        with self.assertRaises(Failure):
            self.act("retry", name="third")
        self.assertEqual(self.show("third")["state"], "error")
        self.cluster.mysqlctl(self.cluster.tablets[300], "start")

        def succeeds():
            try:
                self.act("retry", name="third")
            except Failure as failure:
                raise AssertionError(str(failure)) from None
        self.eventually(succeeds, 60)
        self.wait_for("switched_primaries", "third")


if __name__ == "__main__":
    main()
