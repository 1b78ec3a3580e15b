"""A planned reparent under load while processes die at each of its steps: nothing acknowledged is lost, and the shard takes
writes again. Also what a reparent refuses, and how replicas serve whose replication stands still.

A step is held by locks on the new primary: it has applied what there was before the demotion (table `gate` is locked: that
is all it can apply), or not even that (table `t`).
"""

import base64
import json
import os
import signal
import threading
import time

import pymysql
from support import ClusterTest, Failure, main, wait_until

from vtgate_grpc import Caller, rows_of

from vitrail.backend import transactions_in
from vitrail.processes import http_get, http_json

SCHEMA = """create table t(id bigint auto_increment primary key, v varchar(20));
create table gate(id bigint auto_increment primary key);
create table job(id bigint primary key, priority tinyint not null default 50, epoch bigint not null default 0, time_next bigint default 0,
  time_acked bigint, note varchar(50), key poller_idx(time_acked, priority, time_next))
  comment 'vitess_message,vt_ack_wait=1,vt_max_backoff=2,vt_purge_after=1,vt_batch_size=10,vt_cache_size=1000,vt_poller_interval=1';"""


WRITABLE_AGAIN_WITHIN = 12  # 10 s and what this test needs to see it.


class Writers:
    """Clients of vtgate that insert rows and remember which were acknowledged."""

    def __init__(self, cluster, count=2):
        self.cluster, self.acknowledged, self.stopping = cluster, set(), threading.Event()
        self.errors = []
        self.threads = [threading.Thread(target=self.run, args=(n,), daemon=True) for n in range(count)]

    def run(self, number):
        row, connection = (number + 1) * 10**9 + int(time.time()) % 10**6 * 1000, None
        while not self.stopping.is_set():
            row += 1
            try:
                connection = connection or self.cluster.connect("commerce")
                with connection.cursor() as cursor:
                    cursor.execute(f"insert into t values ({row}, 'w')")
                self.acknowledged.add(row)
            except pymysql.MySQLError as error:
                self.errors.append(error)
                connection = None
            self.stopping.wait(.003)

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        self.more()
        return self

    def more(self, rows=20, seconds=30):
        want = len(self.acknowledged) + rows
        wait_until(lambda: len(self.acknowledged) >= want, "writes to be acknowledged", seconds)

    def __exit__(self, *_):
        self.stopping.set()
        for thread in self.threads:
            thread.join(70)


class Receiver:
    """A client that streams the messages of `job`, connects again when the stream ends, and acknowledges what it has got, but for every
    third one when it comes for the first time.
    """

    def __init__(self, cluster):
        self.cluster, self.seen, self.ends, self.broken = cluster, {}, [], []
        self.stopping = threading.Event()
        self.thread = threading.Thread(target=self.run, daemon=True)

    def run(self):
        while not self.stopping.is_set():
            try:
                self.receive()
            except pymysql.MySQLError as error:
                self.ends.append(error)
            except Exception as error:  # pylint: disable=broad-except
                self.broken.append(error)  # Whatever it is, the test is to hear of it.
                return
            self.stopping.wait(.05)

    def receive(self):
        with self.cluster.connect("commerce") as acknowledge, \
                self.cluster.connect("commerce", cursorclass=pymysql.cursors.SSCursor) as connection:
            self.connection = connection
            cursor = connection.cursor()
            cursor.execute("stream * from job")
            self.result = connection._result  # pylint: disable=protected-access
            assert [column[0] for column in cursor.description] == ["id", "note"]
            for identity, note in cursor:
                assert note == f"number {identity}"
                self.seen[identity] = self.seen.get(identity, 0) + 1
                if identity % 3 == 0 and self.seen[identity] == 1:
                    continue
                with acknowledge.cursor() as other:
                    other.execute(f"update job set time_acked = {time.time_ns()}, time_next = null where id = {identity} "
                                  "and time_acked is null")
            raise AssertionError("a stream has ended without an error")

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.stopping.set()
        try:
            os_socket = self.connection._sock  # pylint: disable=protected-access
            os_socket.shutdown(2)  # It waits there.
        except (AttributeError, OSError):
            pass
        self.thread.join(30)
        self.result.unbuffered_active = False  # Else PyMySQL would read on to an end that does not come.


class ReparentTest(ClusterTest):
    """The tests build on each other: names give the order."""

    @classmethod
    def prepare(cls):
        cluster = cls.cluster
        cluster.start_vtctld()
        cluster.vtctldclient("CreateKeyspace", "--durability-policy", "none", "commerce")
        cluster.add_shard("commerce", "0", 100, ("replica", "replica", "rdonly"))
        cluster.vtctldclient("ApplySchema", "--sql", SCHEMA, "commerce")
        cluster.vtctldclient("ApplyVSchema", "--vschema", '{"tables": {"t": {}, "gate": {}, "job": {}}}', "commerce")
        cluster.start_vtgate()

    # --- what there is ---
    def tablet(self, uid):
        return self.cluster.tablets[uid]

    def value(self, uid, sql):
        return str(self.cluster.server_rows(self.tablet(uid), sql)[0][0])

    def role(self, uid):
        try:
            return self.cluster.vars(self.tablet(uid))["TabletRole"]
        except OSError:
            return "dead"

    def primary(self):
        return self.cluster.primary("commerce", "0").uid

    def recorded_type(self, uid):
        return self.ctl("GetTablets", "--tablet-alias", f"zone1-{uid}").split()[3]

    def kill_tablet(self, uid):
        self.cluster.processes[self.tablet(uid).name].kill(9)
        self.cluster.processes[self.tablet(uid).name].wait_ended(10)

    def restart_tablet(self, uid):
        tablet = self.tablet(uid)
        self.cluster.start(tablet.name, self.cluster.processes[tablet.name].argv,
                           lambda: self.cluster.vars(tablet).get("TabletStateName"))

    def restart_server(self, uid):
        with open(self.cluster.path(f"vt_{uid:010d}", "mysql.pid"), encoding="utf-8") as file:
            server = int(file.read())
        with open(f"/proc/{server}/stat", encoding="utf-8") as file:
            parent = int(file.read().rpartition(")")[2].split()[1])
        with open(f"/proc/{parent}/cmdline", encoding="utf-8") as file:
            if "safe" in file.read():
                os.kill(parent, 9)
        os.kill(server, 9)
        wait_until(lambda: not os.path.exists(f"/proc/{server}"), "the server to be gone", 10)
        self.cluster.mysqlctl(self.tablet(uid), "start")

    def reparent(self, to, timeout="20s"):
        """PlannedReparentShard in the background; result() is ("", output) or (error, "")."""
        outcome = {}

        def run():
            try:
                outcome["output"] = self.ctl("PlannedReparentShard", "--new-primary", f"zone1-{to}", "--wait-replicas-timeout",
                                             timeout, "commerce/0")
            except Failure as failure:
                outcome["error"] = str(failure)
        thread = threading.Thread(target=run, daemon=True)
        thread.start()

        def result():
            thread.join(90)
            self.assertFalse(thread.is_alive())
            return outcome.get("error", ""), outcome.get("output", "")
        return result

    def hold(self, uid, *tables):
        """Locks by which the server applies nothing that concerns these tables, until the connections are closed."""
        connections = []
        for table in tables:
            connection = self.cluster.server(self.tablet(uid), "commerce")
            connection.cursor().execute(f"lock tables {table} {self.cluster.words.lock}")
            connections.append(connection)
        return connections

    def held_reparent(self, old, new):
        """A reparent that has demoted the old primary and waits for the new one. (result, what lets it go on)"""
        before, behind = self.hold(new, "t", "gate")
        result = self.reparent(new)
        wait_until(lambda: int(self.value(new, "select count(*) from information_schema.processlist where info like "
                                               f"'%{self.cluster.words.waits}%' and id <> connection_id()")) > 0,
                   "the reparent to wait for the new primary", 20)
        with self.cluster.server(self.tablet(old), "commerce") as connection, connection.cursor() as cursor:
            cursor.execute("insert into gate values (null)")
        before.close()
        wait_until(lambda: self.role(old) == "demoted" and self.value(old, "select @@global.read_only") == "1",
                   "the demotion", 20)
        return result, behind

    def assert_nothing_lost(self, writers):
        primary = self.primary()
        present = {row[0] for row in self.cluster.server_rows(self.tablet(primary), "select id from t")}
        self.assertEqual(len(writers.acknowledged - present), 0)

    def assert_follows(self, uid, primary):
        def holds():
            try:
                status = json.loads(self.ctl("GetFullStatus", f"zone1-{uid}"))
            except Failure as failure:
                self.fail(str(failure))
            replication = status["replication_status"] or {}
            self.assertEqual((replication.get("source_port"), replication.get("io_state"), replication.get("sql_state"),
                              status["read_only"]), (self.tablet(primary).ports["mysqld"], 3, 3, True))
        self.eventually(holds, 20)

    def assert_shard(self, primary):
        self.assertEqual(self.primary(), primary)
        for uid in (100, 101, 102):
            if uid != primary:
                self.assert_follows(uid, primary)
        wait_until(lambda: self.recorded_type(primary) == "primary", "the record of the primary", 10)
        self.assertEqual(self.recorded_type(201 - primary), "replica")

    # --- the old primary's tablet dies ---
    def test_01_before_the_demotion(self):
        with Writers(self.cluster) as writers:
            held = self.hold(101, "t")
            result = self.reparent(101, "5s")
            wait_until(lambda: int(self.value(101, "select count(*) from information_schema.processlist where info like "
                                               f"'%{self.cluster.words.waits}%' and id <> connection_id()")) > 0, "the wait", 20)
            self.kill_tablet(100)
            self.restart_tablet(100)
            # Somebody holds the shard's lock: what the shard's record says may be over in a moment.
            self.assertEqual((self.role(100), self.value(100, "select @@global.read_only")), ("waiting", "1"))
            held[0].close()
            error, _ = result()
            wait_until(lambda: "primary" in (self.role(100), self.role(101)), "a primary", 20)
            writers.more()
        self.assert_nothing_lost(writers)
        self.assert_shard(101 if not error else 100)
        if error:
            self.ctl("PlannedReparentShard", "--new-primary", "zone1-101", "commerce/0")
        self.assert_shard(101)

    def test_02_while_it_demotes(self):
        """The demotion waits for a transaction; the tablet dies under it, and comes back demoted."""
        with Writers(self.cluster) as writers:
            transaction = self.cluster.connect("commerce")
            transaction.cursor().execute("begin")
            transaction.cursor().execute("insert into t values (1, 'open')")
            result = self.reparent(100)
            wait_until(lambda: self.recorded_type(101) == "replica", "the demotion to be written down", 20)
            self.kill_tablet(101)
            self.restart_tablet(101)
            error, _ = result()
            # It was demoted before it could answer; that was undone when it was there again.
            if error:
                self.assertNotIn("undoing the demotion failed", error)
            wait_until(lambda: "primary" in (self.role(100), self.role(101)), "a primary", 20)
            writers.more()
        self.assert_nothing_lost(writers)
        self.assert_shard(self.primary())
        self.ctl("PlannedReparentShard", "--new-primary", "zone1-100", "commerce/0")
        self.assert_shard(100)

    def test_03_behind_the_demotion(self):
        with Writers(self.cluster) as writers:
            result, behind = self.held_reparent(100, 101)
            self.kill_tablet(100)
            self.restart_tablet(100)
            self.assertEqual((self.role(100), self.value(100, "select @@global.read_only")), ("demoted", "1"))
            state = self.cluster.vars(self.tablet(100))
            self.assertEqual((state["TabletStateName"], state["TabletType"]), ("NOT_SERVING", "replica"))
            # The shard's record still names it. It cannot be talked into writing.
            self.assertEqual(self.primary(), 100)
            self.assert_command_fails("was demoted and stays read-only", "SetWritable", "zone1-100", "true")
            self.ctl("RefreshState", "zone1-100")
            self.ctl("RunHealthCheck", "zone1-100")
            self.assertEqual(self.value(100, "select @@global.read_only"), "1")
            # What it wrote down is its own: no other server gets it, and it counts for no transaction.
            self.assertEqual(self.value(102, "select count(*) from information_schema.tables where table_schema = '_vt' and "
                                             "table_name = 'tablet_demotion'"), "0")
            behind.close()
            error, _ = result()
            self.assertEqual(error, "")
            writers.more()
        self.assert_nothing_lost(writers)
        self.assert_shard(101)

    def test_04_and_is_dead_while_another_is_promoted(self):
        with Writers(self.cluster) as writers:
            result, behind = self.held_reparent(101, 100)
            self.kill_tablet(101)
            behind.close()
            error, output = result()
            self.assertEqual(error, "")
            self.assertIn("does not follow yet: tablet zone1-0000000101", output)
            writers.more()
            self.restart_tablet(101)
            self.assertEqual(self.role(101), "replica")
        self.assert_nothing_lost(writers)
        self.assert_shard(100)

    def test_05_its_server_dies_and_comes_back_writable(self):
        with Writers(self.cluster) as writers:
            result, behind = self.held_reparent(100, 101)
            self.restart_server(100)
            with self.cluster.server(self.tablet(100)) as connection, connection.cursor() as cursor:
                cursor.execute("set global read_only = 0")  # As one whose configuration file says so.
            wait_until(lambda: self.value(100, "select @@global.read_only") == "1", "the server to be made read-only", 20)
            self.assertEqual(self.role(100), "demoted")
            behind.close()
            error, _ = result()
            self.assertEqual(error, "")
            writers.more()
        self.assert_nothing_lost(writers)
        self.assert_shard(101)

    def test_06_the_new_primary_dies_and_the_demotion_is_undone(self):
        with Writers(self.cluster) as writers:
            before, behind = self.hold(100, "t", "gate")
            result = self.reparent(100, "4s")
            wait_until(lambda: int(self.value(100, "select count(*) from information_schema.processlist where info like "
                                               f"'%{self.cluster.words.waits}%' and id <> connection_id()")) > 0, "the wait", 20)
            with self.cluster.server(self.tablet(101), "commerce") as connection, connection.cursor() as cursor:
                cursor.execute("insert into gate values (null)")
            before.close()
            wait_until(lambda: self.role(101) == "demoted", "the demotion", 20)
            self.kill_tablet(100)
            error, _ = result()
            self.assertNotEqual(error, "")
            self.assertNotIn("undoing the demotion failed", error)
            behind.close()
            writers.more()
            self.assertEqual((self.role(101), self.recorded_type(101)), ("primary", "primary"))
            # Undone is undone: also for its next process.
            self.kill_tablet(101)
            self.restart_tablet(101)
            writers.more()
            self.assertEqual(self.role(101), "primary")
            self.restart_tablet(100)
        self.assert_nothing_lost(writers)
        self.assert_shard(101)

    def test_07_the_tool_dies_behind_the_demotion(self):
        """Until a vtctld lives again the tablet stays what it was told to be, over a restart. Then it is taken back."""
        with Writers(self.cluster) as writers:
            result, behind = self.held_reparent(101, 100)
            self.cluster.processes["vtctld"].kill(9)
            result()
            behind.close()
            self.kill_tablet(101)
            self.restart_tablet(101)
            self.assertEqual((self.role(101), self.value(101, "select @@global.read_only")), ("demoted", "1"))
            self.cluster.restart("vtctld")
            self.ctl("PlannedReparentShard", "--new-primary", "zone1-100", "commerce/0")
            writers.more()
        self.assert_nothing_lost(writers)
        self.assert_shard(100)

    def test_08_a_primary_that_stood_still_writes_nothing_that_waited_in_its_sockets(self):
        """Its tablet is frozen with a statement on its way to it, and replaced meanwhile. Its server lives, and would take the row. vtgate is
        frozen, too, so that it does not hang up."""
        client = self.cluster.connect("commerce")
        client.cursor().execute("select * from t limit 1")
        process, vtgate, outcome = self.cluster.processes[self.tablet(100).name], self.cluster.processes["vtgate"], []

        def waits():
            """There are bytes that the tablet has not read."""
            end = f":{self.tablet(100).ports['data']:04X} "
            with open("/proc/net/tcp", encoding="utf-8") as file:
                lines = [line.split() for line in file if end in line]
            return any(fields[1].endswith(end.strip()) and fields[3] == "01" and not fields[4].endswith(":00000000") for fields in lines)

        def insert():
            try:
                client.cursor().execute("insert into t values (7, 'late')")
                outcome.append("")
            except pymysql.MySQLError as error:
                outcome.append(str(error))
        process.kill(signal.SIGSTOP)
        try:
            thread = threading.Thread(target=insert, daemon=True)
            thread.start()
            wait_until(waits, "the statement to be on its way", 10)
            vtgate.kill(signal.SIGSTOP)
            self.ctl("EmergencyReparentShard", "--new-primary", "zone1-101", "--wait-replicas-timeout", "20s", "commerce/0")
        finally:
            process.kill(signal.SIGCONT)
        try:
            self.assert_follows(100, 101)
        finally:
            vtgate.kill(signal.SIGCONT)
        thread.join(70)
        self.assertEqual(len(outcome), 1)
        # Told of success only where it is true, on the new primary; and all have the same, as soon as replicas have applied it.
        if outcome[0] == "":
            self.assertEqual(self.value(101, "select count(*) from t where id = 7"), "1")

        def agree():
            self.assertEqual(len({self.value(uid, "select count(*) from t where id = 7") for uid in (100, 101, 102)}), 1)
        self.eventually(agree, 20)
        self.ctl("PlannedReparentShard", "--new-primary", "zone1-100", "commerce/0")
        self.assert_shard(100)

    # --- the tool dies or stands still, and another one lives ---
    def recovered(self, writers, since):
        """Writes are possible again, soon enough after that moment."""
        writers.more()
        took = time.monotonic() - since
        self.assertLess(took, WRITABLE_AGAIN_WITHIN)

    def stands_still(self, process):
        with open(f"/proc/{process.pid}/stat", encoding="utf-8") as file:
            return file.read().rpartition(")")[2].split()[0] == "T"

    def server_pid(self, uid):
        with open(self.cluster.path(f"vt_{uid:010d}", "mysql.pid"), encoding="utf-8") as file:
            return int(file.read())

    def told(self, *args):
        """By the vtctld that lives."""
        code, out = self.via_second(*args)
        self.assertEqual(code, 0, out)
        return out

    def wait_ended(self):
        wait_until(lambda: "reparent of" not in self.told("Workflow", "--keyspace", "commerce", "repair", "--dry-run"),
                   "the change to end", 20)

    def test_08_the_tool_dies_and_another_takes_the_demotion_back(self):
        self.second_vtctld()
        with Writers(self.cluster) as writers:
            result, behind = self.held_reparent(100, 101)
            self.cluster.processes["vtctld"].kill(9)
            since = time.monotonic()
            self.recovered(writers, since)
            self.assertEqual(self.role(100), "primary")
            behind.close()
            self.assertNotEqual(result()[0], "")
        self.cluster.restart("vtctld")
        self.assert_nothing_lost(writers)
        self.assert_shard(100)
        self.wait_ended()

    def test_091_commands_that_were_on_their_way_are_refused(self):
        """It stops when it has noted a step, before its command: that one comes when another has taken it over."""
        self.second_vtctld()
        for step, old in (("demote_primary", 100), ("promote", 100)):
            process = self.restart_vtctld("--test-stop-at-step", step)
            with Writers(self.cluster) as writers:
                result = self.reparent(201 - old)
                wait_until(lambda: self.stands_still(process), f"vtctld to stop at {step}", 30)
                self.recovered(writers, time.monotonic())
                expected = old if step == "demote_primary" else 201 - old
                self.wait_ended()
                self.assertEqual(json.loads(self.told("GetShard", "commerce/0"))["shard"]["primary_alias"]["uid"], expected)
                if step == "promote":
                    # Back again, before the late command comes.
                    self.told("PlannedReparentShard", "--new-primary", f"zone1-{old}", "commerce/0")
                writers.more()
                process.kill(signal.SIGCONT)
                self.assertRegex(result()[0], "locks? .*(was|were) lost")
                writers.more(200)
            self.assert_nothing_lost(writers)
            self.assert_shard(old)
        self.restart_vtctld()

    def test_092_what_was_promoted_is_finished(self):
        self.second_vtctld()
        for step, old in (("announce_primary", 100), ("follow_primary", 101)):
            process = self.restart_vtctld("--test-crash-at-step", step)
            with Writers(self.cluster) as writers:
                result = self.reparent(201 - old)
                self.assertNotEqual(result()[0], "")
                self.assertTrue(process.wait_ended(10))
                self.recovered(writers, time.monotonic())
            self.cluster.start("vtctld", self.cluster.vtctld_argv,
                               lambda: http_get(self.cluster.addresses["vtctld"]["port"], "/debug/vars"))
            self.wait_ended()
            self.assert_nothing_lost(writers)
            self.assert_shard(201 - old)

    def test_093_an_emergency_is_gone_on_with(self):
        self.second_vtctld()
        for step in ("elect", "promote"):
            old = self.primary()
            for uid in (100, 101, 102):  # What is on no other server would be lost, rightly.
                wait_until(lambda uid=uid: self.value(uid, self.cluster.words.applied) == self.value(
                    old, self.cluster.words.applied), "the replicas to have all", 20)
            self.restart_vtctld("--test-crash-at-step", step)
            self.kill_tablet(old)
            os.kill(self.server_pid(old), signal.SIGSTOP)
            try:
                with self.assertRaises(Failure):
                    self.ctl("EmergencyReparentShard", "--wait-replicas-timeout", "5s", "commerce/0")
                since = time.monotonic()
                with Writers(self.cluster) as writers:
                    self.recovered(writers, since)
            finally:
                os.kill(self.server_pid(old), signal.SIGCONT)
            self.restart_tablet(old)
            self.cluster.start("vtctld", self.cluster.vtctld_argv,
                               lambda: http_get(self.cluster.addresses["vtctld"]["port"], "/debug/vars"))
            self.wait_ended()
            self.assert_nothing_lost(writers)
            self.assert_shard(201 - old)
        if self.primary() != 100:
            self.ctl("PlannedReparentShard", "--new-primary", "zone1-100", "commerce/0")

    # --- refusals ---
    def test_10_a_tablet_that_cannot_be_reached_is_noticed_before_anything_is_changed(self):
        before = self.shard_record("commerce", "0")
        self.kill_tablet(102)
        self.assert_command_fails("nothing was changed, because zone1-0000000102 cannot be reached", "PlannedReparentShard",
                                  "--new-primary", "zone1-101", "--wait-replicas-timeout", "3s", "commerce/0")
        self.assert_command_fails("nothing was changed, because zone1-0000000102 cannot be reached", "InitShardPrimary",
                                  "--force", "--wait-replicas-timeout", "3s", "commerce/0", "zone1-101")
        self.assertEqual(self.shard_record("commerce", "0"), before)
        self.assertEqual((self.role(100), self.value(100, "select @@global.read_only")), ("primary", "0"))
        self.restart_tablet(102)
        self.assert_shard(100)

    # --- replicas that stand still ---
    def health(self, uid):
        """(state, lag in seconds, what is wrong) as the status page tells."""
        port = self.tablet(uid).ports["port"]
        details = {item["Key"]: item for item in http_json(port, "/debug/status_details")}
        return (self.cluster.vars(self.tablet(uid))["TabletStateName"], int(details["Replication Lag"]["Value"].rstrip("s")),
                details["Health"]["Value"])

    def test_11_a_replica_whose_replication_stands_still_serves_until_it_is_too_old(self):
        for stop in (self.cluster.words.stop + thread for thread in ("", " io_thread", " sql_thread")):
            with self.subTest(stop=stop):
                with self.cluster.server(self.tablet(102)) as connection, connection.cursor() as cursor:
                    cursor.execute(stop)

                    def stands():
                        self.ctl("RunHealthCheck", "zone1-102")
                        state, lag, trouble = self.health(102)
                        self.assertEqual(state, "SERVING")
                        self.assertGreaterEqual(lag, 2)
                        self.assertRegex(trouble, "replication")
                    self.eventually(stands, 20)
                    cursor.execute(self.cluster.words.start)
                self.eventually(lambda: self.assertEqual(self.health(102)[1:], (0, "ok")), 20)
        # The same with a threshold that is soon reached.
        tablet = self.tablet(102)
        process = self.cluster.processes[tablet.name]
        patient = process.argv
        process.kill(15)
        process.wait_ended(10)
        self.cluster.start(tablet.name, [*patient, "--unhealthy-threshold", "3s"],
                           lambda: self.cluster.vars(tablet).get("TabletStateName") == "SERVING")
        self.ctl("StopReplication", "zone1-102")
        self.eventually(lambda: self.assertEqual(self.health(102)[0], "NOT_SERVING"), 20)
        self.assertRegex(self.health(102)[2], r"not serving: replication delay \d+ s, replication is stopped")
        self.ctl("StartReplication", "zone1-102")
        self.eventually(lambda: self.assertEqual(self.health(102), ("SERVING", 0, "ok")), 20)

    # --- replication set up anew ---
    def test_12_an_initialisation_of_a_live_shard_loses_nothing(self):
        with Writers(self.cluster) as writers:
            self.assertIn("were wiped", self.ctl("InitShardPrimary", "--force", "commerce/0", "zone1-101"))
            writers.more()
        self.assert_nothing_lost(writers)
        self.assert_shard(101)
        # Without the word nothing is wiped.
        before = transactions_in(self.value(101, self.cluster.words.written))
        self.ctl("StopReplication", "zone1-100")
        self.assertIn("no binary log was wiped", self.ctl("InitShardPrimary", "commerce/0", "zone1-101"))
        self.assertGreaterEqual(transactions_in(self.value(101, self.cluster.words.written)), before)
        self.assert_command_fails("use -force", "InitShardPrimary", "commerce/0", "zone1-100")
        self.assert_shard(101)
        # One that the elected tablet cannot follow is refused, and nothing is wiped.
        held = self.hold(100, "t")
        with Writers(self.cluster) as writers:
            position = self.value(101, self.cluster.words.written)
            self.assert_command_fails("nothing was changed: the elected tablet does not have all", "InitShardPrimary",
                                      "--force", "--wait-replicas-timeout", "3s", "commerce/0", "zone1-100")
            held[0].close()
            writers.more()
            self.assertGreater(transactions_in(self.value(101, self.cluster.words.written)), transactions_in(position))
        self.assert_nothing_lost(writers)
        self.assert_shard(101)

    def test_13_a_shard_that_never_had_a_primary(self):
        cluster = self.cluster
        cluster.vtctldclient("CreateKeyspace", "--durability-policy", "none", "fresh")
        with self.assertRaises(Failure):  # add_shard() ends with a reparent; here nobody is elected.
            cluster_ctl, cluster.vtctldclient = cluster.vtctldclient, lambda *args: (_ for _ in ()).throw(Failure(str(args)))
            try:
                cluster.add_shard("fresh", "0", 200, ("replica", "replica"))
            finally:
                cluster.vtctldclient = cluster_ctl
        self.assertIn("is the primary", self.ctl("EmergencyReparentShard", "fresh/0"))
        primary = cluster.primary("fresh", "0").uid
        self.assertIn(primary, (200, 201))
        self.assertEqual((self.value(primary, "select @@global.read_only"), self.role(401 - primary)), ("0", "replica"))
        self.assert_follows(401 - primary, primary)

    def test_14_a_server_that_is_started_anew_is_writable_at_once(self):
        """Though the tablet would look at it only now and then. Nobody hears that it is read-only."""
        uid = self.primary()
        tablet = self.tablet(uid)
        argv = self.cluster.processes[tablet.name].argv
        place = argv.index("--health-check-interval") + 1
        self.cluster.processes[tablet.name].kill(15)
        self.cluster.processes[tablet.name].wait_ended(20)
        self.cluster.start(tablet.name, [*argv[:place], "60s", *argv[place + 1:]],
                           lambda: self.cluster.vars(tablet).get("TabletStateName") == "SERVING")
        with Writers(self.cluster) as writers:
            self.restart_server(uid)
            since = time.monotonic()
            self.recovered(writers, since)
        self.assertEqual([error for error in writers.errors if "read-only" in str(error)], [])
        self.assert_nothing_lost(writers)

    # --- another tool ---
    def other_tool(self, uid, writable):
        """Ends the server's replication, as a tool does that knows nothing of tablets."""
        with self.cluster.server(self.tablet(uid)) as connection, connection.cursor() as cursor:
            cursor.execute(self.cluster.words.stop)
            cursor.execute(self.cluster.words.forget)
            if writable:
                cursor.execute("set global read_only = 0")

    def test_15_what_another_tool_has_done_in_whatever_order(self):
        old = self.primary()
        new = 201 - old
        before = self.shard_record("commerce", "0")
        with Writers(self.cluster) as writers:
            writers.more()
            self.assert_command_fails(r"nothing was changed: the server of zone1-\d+ still follows", "TabletExternallyReparented",
                                      f"zone1-{new}")
            self.assertEqual(self.shard_record("commerce", "0"), before)
            # The old primary has gone on writing: the new one gets that first.
            self.other_tool(new, False)
            writers.more()
            self.ctl("TabletExternallyReparented", f"zone1-{new}")
            writers.more()
            self.assert_shard(new)
            # The command once more, and one for a server on which somebody has written already.
            self.ctl("TabletExternallyReparented", f"zone1-{new}")
            writers.more()
        self.assert_nothing_lost(writers)
        with Writers(self.cluster) as writers:
            self.other_tool(old, True)
            with self.cluster.server(self.tablet(old), "commerce") as connection, connection.cursor() as cursor:
                cursor.execute("insert into gate values (77)")
            writers.more()
            self.assert_command_fails("nothing was changed: .* each has transactions that the other lacks",
                                      "TabletExternallyReparented", f"zone1-{old}")
            writers.more()
            self.assertEqual((self.primary(), self.value(new, "select @@global.read_only")), (new, "0"))
        self.assert_nothing_lost(writers)
        # The tablet of the one that has what nobody else has is stopped: what it has may be lost.
        self.kill_tablet(new)
        self.ctl("TabletExternallyReparented", f"zone1-{old}")
        with Writers(self.cluster) as writers:
            writers.more()
        self.assertEqual((self.primary(), self.value(old, "select count(*) from gate where id = 77")), (old, "1"))

    # --- messages ---
    def send(self, identities):
        """Puts messages into the table, whatever happens to the shard; what was not acknowledged is sent again."""
        for identity in identities:
            self.eventually(lambda i=identity: self.rows(f"replace into job(id, note) values ({i}, 'number {i}')", "commerce"), 30)

    def test_131_messages_outlive_tablets_and_primaries(self):
        with Receiver(self.cluster) as receiver:
            self.send(range(1, 31))
            wait_until(lambda: len(receiver.seen) == 30, "the messages to come", 30)
            old = self.primary()
            result = self.reparent(201 - old)
            self.send(range(31, 61))
            self.assertEqual(result()[0], "")
            wait_until(lambda: len(receiver.seen) == 60, "those sent over a reparent", 60)
            self.assertNotEqual(receiver.ends, [])  # The stream of the old primary, with a reason.
            primary = self.primary()
            self.kill_tablet(primary)
            self.restart_tablet(primary)
            self.send(range(61, 91))
            wait_until(lambda: len(receiver.seen) == 90, "those sent when the tablet had died", 60)
            # All are acknowledged in the end, and what is acknowledged is deleted.
            wait_until(lambda: self.rows("select count(*) from job", "commerce") == [(0,)], "the messages to be deleted", 60)
        self.assertEqual(receiver.broken, [])
        self.assertEqual(set(receiver.seen), set(range(1, 91)))
        self.assertEqual([i for i, times in receiver.seen.items() if i % 3 == 0 and times < 2], [])

    def test_132_messages_over_grpc(self):
        primary = self.primary()
        target = {"keyspace": "commerce", "shard": "0", "tablet_type": "PRIMARY"}
        address = f"127.0.0.1:{self.tablet(primary).ports['grpc']}"
        stream, caller = Caller(address), Caller(address)
        self.addCleanup(caller.close)
        self.addCleanup(stream.kill)
        stream.begin("queryservice.Query/MessageStream", target=target, name="job")
        first = stream.next()
        self.assertEqual([field["name"] for field in first["result"]["fields"]], ["id", "note"])
        self.rows("insert into job(id, note, priority) values (7, 'late', 60), (8, 'soon', 1)", "commerce")
        got = []
        while len(got) < 2:
            got += rows_of(stream.next()["result"])
        self.assertEqual(got[:2], [("8", "soon"), ("7", "late")])
        ids = [{"type": "INT64", "value": base64.b64encode(str(i).encode()).decode()} for i in (7, 8, 9)]
        (answer,), error = caller.call("queryservice.Query/MessageAck", target=target, name="job", ids=ids)
        self.assertEqual((answer["result"]["rows_affected"], error), ("2", ""))
        for name, pattern in (("t", "FAILED_PRECONDITION .*t is not a message table"), ("none", "NOT_FOUND .*none not found")):
            self.assertRegex(caller.call("queryservice.Query/MessageStream", target=target, name=name)[1], pattern)
        self.assert_refused((1235, 1105), "VT12001", lambda: self.rows("stream * from job where id = 1", "commerce"))
        wait_until(lambda: self.rows("select count(*) from job", "commerce") == [(0,)], "the messages to be deleted", 60)


if __name__ == "__main__":
    main()
