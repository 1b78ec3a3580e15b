"""Durability policies: what a client was told is on another server, whoever dies then."""

import json
import os
import signal
import threading
import time

import pymysql
from support import ClusterTest, Failure, main, wait_until


class Writer(threading.Thread):
    """One statement on a server of its own connection; `outcome` is how it ended: "done", or the error."""

    def __init__(self, test, uid, sql, past_tablet=True):
        super().__init__(daemon=True)
        tablet = test.tablet(uid)
        if past_tablet:
            self.connection = test.cluster.server(tablet, "commerce")
        else:
            self.connection = pymysql.connect(host="127.0.0.1", port=tablet.ports["data"], user="vtgate",
                                              database="commerce/0@primary", autocommit=True)
        self.sql = sql
        self.outcome = None
        self.start()

    def run(self):
        try:
            with self.connection.cursor() as cursor:
                cursor.execute(self.sql)
            self.outcome = "done"
        except pymysql.Error as error:
            self.outcome = error


class DurabilityTest(ClusterTest):
    """The tests build on each other: names give the order."""

    @classmethod
    def prepare(cls):
        cluster = cls.cluster
        cluster.start_vtctld()
        cluster.vtctldclient("CreateKeyspace", "--durability-policy", "semi_sync", "commerce")
        cluster.add_shard("commerce", "0", 100, ("replica", "replica", "replica"))
        cluster.vtctldclient("ApplySchema", "--sql", "create table t(id bigint primary key)", "commerce")

    def tablet(self, uid):
        return self.cluster.tablets[uid]

    def value(self, uid, sql):
        return str(self.cluster.server_rows(self.tablet(uid), sql)[0][0])

    def semi_sync(self, uid):
        """Whether commits wait here, and whether this server acknowledges."""
        return tuple(self.value(uid, f"select @@global.rpl_semi_sync_{role}_enabled") == "1" for role in (self.cluster.words.source, self.cluster.words.replica))

    def full_status(self, uid):
        return json.loads(self.ctl("GetFullStatus", f"zone1-{uid}"))

    def waiting(self, uid):
        return int(self.cluster.server_rows(self.tablet(uid), f"show global status like 'rpl_semi_sync_{self.cluster.words.source}_wait_sessions'")
                   [0][1])

    def write(self, uid, sql):
        """A write that must be acknowledged soon."""
        writer = Writer(self, uid, sql)
        writer.join(20)
        self.assertEqual(writer.outcome, "done")

    def hanging_write(self, uid, row):
        writer = Writer(self, uid, f"insert into t values ({row})")
        wait_until(lambda: self.waiting(uid) == 1, "the commit waits", 20)
        self.assertIsNone(writer.outcome)
        return writer

    def assert_roles(self, primary):
        self.assertEqual(self.cluster.primary("commerce", "0").uid, primary)
        for uid in (100, 101, 102):
            # A primary is set up to acknowledge as well: it does so once it follows.
            self.assertEqual(self.semi_sync(uid), (uid == primary, True), uid)

    def test_1_is_in_force_from_the_first_primary_on(self):
        self.assert_roles(100)
        self.write(100, "insert into t values (1)")
        status = self.full_status(100)
        self.assertEqual((status["semi_sync_primary_enabled"], status["semi_sync_primary_status"],
                          status["semi_sync_primary_clients"], status["semi_sync_primary_timeout"]),
                         (True, True, 2, str(10**18)))
        self.assertEqual(self.full_status(101)["semi_sync_replica_status"], True)

    def test_2_a_commit_waits_until_somebody_acknowledges(self):
        for uid in (101, 102):
            self.ctl("StopReplication", f"zone1-{uid}")
        writer = self.hanging_write(100, 2)
        self.assertTrue(self.full_status(100)["semi_sync_blocked"])
        # The statement also keeps a reparent from beginning: nothing is cut off.
        self.assert_command_fails("does not catch up", "PlannedReparentShard", "--new-primary", "zone1-101",
                                  "--wait-replicas-timeout", "2s", "commerce/0")
        self.assertIsNone(writer.outcome)
        self.ctl("StartReplication", "zone1-102")
        writer.join(20)
        self.assertEqual(writer.outcome, "done")
        self.ctl("StartReplication", "zone1-101")
        self.assert_roles(100)

    def test_3_follows_a_planned_reparent(self):
        self.ctl("PlannedReparentShard", "--new-primary", "zone1-101", "commerce/0")
        self.assert_roles(101)
        self.write(101, "insert into t values (3)")

    def test_4_who_acknowledges_depends_on_the_type(self):
        self.ctl("ChangeTabletType", "zone1-102", "rdonly")
        self.assertEqual(self.semi_sync(102), (False, False))
        wait_until(lambda: self.full_status(101)["semi_sync_primary_clients"] == 1, "one acknowledges", 20)
        self.ctl("ChangeTabletType", "zone1-102", "replica")
        wait_until(lambda: self.full_status(101)["semi_sync_primary_clients"] == 2, "two acknowledge", 20)
        self.assert_roles(101)

    def test_5_a_restarted_server_acknowledges_again(self):
        tablet = self.tablet(102)
        self.cluster.mysqlctl(tablet, "shutdown")
        self.cluster.mysqlctl(tablet, "start")
        self.assertEqual(self.semi_sync(102), (False, False))

        def acknowledges():
            self.ctl("RunHealthCheck", "zone1-102")
            self.assertEqual(self.semi_sync(102), (False, True))
            self.assertEqual(self.full_status(101)["semi_sync_primary_clients"], 2)
        self.eventually(acknowledges, 30)

    def test_6_a_living_primary_loses_nothing(self):
        """What waits for an acknowledgement is cut off, not confirmed. The new primary gets it all the same."""
        for uid in (100, 102):
            self.ctl("StopReplication", f"zone1-{uid}")
        writer = self.hanging_write(101, 6)
        shown = self.ctl("EmergencyReparentShard", "--wait-replicas-timeout", "8s", "--new-primary", "zone1-100", "commerce/0")
        self.assertIn("zone1-0000000100 gets what it lacks from zone1-0000000101", shown)
        writer.join(20)
        self.assertIsInstance(writer.outcome, pymysql.Error)
        self.assert_roles(100)
        self.write(100, "insert into t values (7)")
        self.ctl("PlannedReparentShard", "--new-primary", "zone1-101", "commerce/0")
        self.assert_roles(101)
        for uid in (100, 101, 102):
            self.eventually(lambda u=uid: self.assertEqual(self.value(u, "select count(*) from vt_commerce.t where id in (6, 7)"),
                                                           "2"))

    def test_6_b_group_of_commits_that_is_cut_off_is_not_confirmed(self):
        """The server says OK to those of a group whose leader is killed."""
        for uid in (100, 102):
            self.ctl("StopReplication", f"zone1-{uid}")
        writers = [Writer(self, 101, f"insert into t values ({row})", past_tablet=False) for row in range(600, 612)]
        wait_until(lambda: self.value(101, "select count(*) from information_schema.processlist where info like 'insert into t %'") == "12"
                   and self.waiting(101) > 0, "all commits wait", 20)
        self.ctl("EmergencyReparentShard", "--wait-replicas-timeout", "8s", "--new-primary", "zone1-100", "commerce/0")
        for writer in writers:
            writer.join(20)
            self.assertIsInstance(writer.outcome, pymysql.Error)
        # MySQL's old primary may be demoted by itself behind this, when its commits have ended.
        self.eventually(lambda: self.assert_roles(100), 30)
        self.ctl("PlannedReparentShard", "--new-primary", "zone1-101", "commerce/0")
        self.assert_roles(101)

    def test_6_c_fence_is_not_held_up_by_a_commit_of_somebody_else(self):
        """A session past the tablet leads the group of commits in which a statement of the tablet waits."""
        for uid in (100, 102):
            self.ctl("StopReplication", f"zone1-{uid}")
        leader = self.hanging_write(101, 620)
        follower = Writer(self, 101, "insert into t values (621)", past_tablet=False)
        wait_until(lambda: self.value(101, "select count(*) from information_schema.processlist where info like 'insert into t %'") == "2", "both wait", 20)
        began = time.monotonic()
        self.ctl("SetShardTabletControl", "--denied-tables", "t", "commerce/0", "primary")
        if self.cluster.words.source == "source":
            # MySQL's killed session waits on: the fence is not up, and says so, until somebody acknowledges.
            self.assert_command_fails(r"connection \d+ of the MySQL server does not end", "RefreshState", "zone1-101")
            for uid in (100, 102):
                self.ctl("StartReplication", f"zone1-{uid}")
            self.eventually(lambda: self.assertEqual(self.waiting(101), 0), 30)
        self.ctl("RefreshState", "zone1-101")
        if self.cluster.words.source != "source":
            self.assertLess(time.monotonic() - began, 8)
        for writer in (leader, follower):
            writer.join(20)
        self.assertIsInstance(follower.outcome, pymysql.Error)
        self.ctl("SetShardTabletControl", "--remove", "--denied-tables", "t", "commerce/0", "primary")
        self.ctl("RefreshState", "zone1-101")
        for uid in (100, 102):
            self.ctl("StartReplication", f"zone1-{uid}")
        self.write(101, "insert into t values (622)")

    def test_7_an_emergency_asks_all_that_may_have_acknowledged(self):
        acknowledged, stop = [], threading.Event()
        connection = self.cluster.server(self.tablet(101), "commerce")

        def write():
            row = 1000
            with connection.cursor() as cursor:
                while not stop.is_set():
                    row += 1
                    try:
                        cursor.execute(f"insert into t values ({row})")
                    except pymysql.Error:
                        return
                    acknowledged.append(row)
        writing = threading.Thread(target=write, daemon=True)
        writing.start()
        wait_until(lambda: len(acknowledged) > 200, "some writes are acknowledged", 30)
        silent = self.cluster.processes[self.tablet(102).name].pid
        os.kill(silent, signal.SIGSTOP)
        try:
            with open(self.cluster.path("vt_0000000101", "mysql.pid"), encoding="utf-8") as file:
                server = int(file.read())
            with open(f"/proc/{server}/stat", encoding="utf-8") as file:
                parent = int(file.read().rpartition(")")[2].split()[1])
            with open(f"/proc/{parent}/cmdline", encoding="utf-8") as file:
                if "safe" in file.read():
                    os.kill(parent, signal.SIGKILL)
            os.kill(server, signal.SIGKILL)
            self.cluster.processes[self.tablet(101).name].kill(9)
            stop.set()
            writing.join(20)
            with self.assertRaisesRegex(Failure, "may be nowhere but on zone1-0000000102"):
                self.ctl("EmergencyReparentShard", "--wait-replicas-timeout", "3s", "commerce/0")
            self.assertEqual(self.cluster.primary("commerce", "0").uid, 101)
        finally:
            os.kill(silent, signal.SIGCONT)
        self.ctl("EmergencyReparentShard", "commerce/0")
        primary = self.cluster.primary("commerce", "0").uid
        self.assertIn(primary, (100, 102))
        present = {row[0] for row in self.cluster.server_rows(self.tablet(primary), "select id from vt_commerce.t")}
        self.assertEqual(set(acknowledged) - present, set())
        self.write(primary, "insert into t values (8)")
        other = 202 - primary
        self.assertEqual((self.semi_sync(primary), self.semi_sync(other)), ((True, True), (False, True)))

    def test_8_nobody_is_promoted_whose_commits_would_hang(self):
        self.ctl("CreateKeyspace", "--durability-policy", "semi_sync", "alone")
        with self.assertRaisesRegex(Failure, "zone1-0000000200 won't be able to make forward progress on promotion"):
            self.cluster.add_shard("alone", "0", 200, ("replica",))
        self.ctl("SetKeyspaceDurabilityPolicy", "--durability-policy", "none", "alone")
        self.ctl("PlannedReparentShard", "--new-primary", "zone1-200", "alone/0")
        self.assertEqual(self.semi_sync(200), (False, False))

    def test_9_a_change_of_policy_comes_with_the_next_reparent(self):
        primary = self.cluster.primary("commerce", "0").uid
        self.ctl("DeleteTablets", "zone1-101")
        self.ctl("SetKeyspaceDurabilityPolicy", "--durability-policy", "none", "commerce")
        self.ctl("PlannedReparentShard", "--new-primary", f"zone1-{primary}", "commerce/0")
        self.assertEqual((self.semi_sync(100), self.semi_sync(102)), ((False, False), (False, False)))
        self.ctl("SetKeyspaceDurabilityPolicy", "--durability-policy", "cross_cell", "commerce")
        self.assert_command_fails("won't be able to make forward progress", "PlannedReparentShard", "--new-primary",
                                  f"zone1-{primary}", "commerce/0")
        self.assertEqual((self.semi_sync(100), self.semi_sync(102)), ((False, False), (False, False)))


if __name__ == "__main__":
    main()
