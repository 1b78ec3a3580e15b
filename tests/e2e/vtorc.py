"""vtorc on real servers: a primary that dies is replaced, what is misconfigured is put right, and it leaves alone what it
should.
"""

import contextlib
import os
import signal
import time

import pymysql
from support import BIN, ClusterTest, main, wait_until

from vitrail.processes import http_get, http_json


class GuardedShard(ClusterTest):
    """A shard of three under semi_sync, with two vtorcs."""

    @classmethod
    def prepare(cls):
        cluster = cls.cluster
        cluster.start_vtctld()
        cluster.vtctldclient("CreateKeyspace", "--durability-policy", "semi_sync", "commerce")
        cluster.add_shard("commerce", "0", 100, ("replica", "replica", "replica"))
        cluster.vtctldclient("ApplySchema", "--sql", "create table t(id bigint auto_increment primary key, v text)", "commerce")
        cluster.vtctldclient("ApplyVSchema", "--vschema", '{"tables": {"t": {}}}', "commerce")
        cluster.start_vtgate()
        for number in (1, 2):  # Two of them, which must not get into each other's way.
            cls.start_vtorc(number)

    @classmethod
    def start_vtorc(cls, number, *flags):
        name, port = f"vtorc-{number}", cls.cluster.ports.take()
        cls.cluster.addresses[name] = {"port": port}
        cls.cluster.start(name, [f"{BIN}/vtorc", *cls.cluster.topo_flags(), "--cell", "zone1", "--port", port, "--bind-address",
                                 "127.0.0.1", "--instance-poll-time", "500ms", "--topo-information-refresh-duration", "1s",
                                 "--recovery-cooldown", "2s", "--recovery-retry", "1s", *flags],
                          lambda: http_get(port, "/debug/health"))

    # --- what there is ---
    def tablet(self, uid):
        return self.cluster.tablets[uid]

    def value(self, uid, sql):
        return str(self.cluster.server_rows(self.tablet(uid), sql)[0][0])

    def primary(self):
        return self.cluster.primary("commerce", "0").uid

    def replicas(self):
        return [uid for uid in (100, 101, 102) if uid != self.primary()]

    def orc(self, path, number=1):
        return http_get(self.cluster.addresses[f"vtorc-{number}"]["port"], path)

    def problems(self, number=1):
        found = http_json(self.cluster.addresses[f"vtorc-{number}"]["port"], "/api/problems")
        return {(p["Analysis"], p["AnalyzedInstanceAlias"]) for p in found}

    def recoveries(self, name):
        """How many of them both have run with success."""
        out = 0
        for number in (1, 2):
            port = self.cluster.addresses[f"vtorc-{number}"]["port"]
            out += sum(1 for r in http_json(port, "/api/recoveries") if r["Recovery"] == name and r["Successful"])
        return out

    def server_pids(self, uid):
        """The server, and before it what would start it again."""
        with open(self.cluster.path(f"vt_{uid:010d}", "mysql.pid"), encoding="utf-8") as file:
            server = int(file.read())
        with open(f"/proc/{server}/stat", encoding="utf-8") as file:
            parent = int(file.read().rpartition(")")[2].split()[1])
        with open(f"/proc/{parent}/cmdline", encoding="utf-8") as file:
            return [parent, server] if "safe" in file.read() else [server]

    def write(self, seconds=30, **options):
        """Writes one row through vtgate, and says how long that took, refusals included."""
        began = time.monotonic()

        def done():
            try:
                with self.cluster.connect("commerce", **options) as connection, connection.cursor() as cursor:
                    return cursor.execute("insert into t(v) values ('w')")
            except pymysql.MySQLError:
                return False
        wait_until(done, "a write to succeed", seconds)
        return time.monotonic() - began

    def wait_healthy(self):
        wait_until(lambda: not self.problems(1) and not self.problems(2), "no problem to be left", 30)
        rows = self.value(self.primary(), "select count(*) from t")
        for uid in self.replicas():
            wait_until(lambda u=uid: self.value(u, "select count(*) from t") == rows, f"{uid} to have all rows", 20)
            self.assertEqual(self.value(uid, "select @@global.read_only"), "1")


class VtorcTest(GuardedShard):
    """The tests build on each other: names give the order."""

    def test_1_a_healthy_shard_is_left_alone(self):
        self.wait_healthy()
        state = http_json(self.cluster.addresses["vtorc-1"]["port"], "/api/database-state?keyspace=commerce")
        self.assertEqual({t["alias"]: t["tablet_type"] for t in state["commerce/0"]},
                         {"zone1-0000000100": "primary", "zone1-0000000101": "replica", "zone1-0000000102": "replica"})
        self.assertEqual(http_json(self.cluster.addresses["vtorc-1"]["port"], "/api/recoveries"), [])

    def test_2_a_dead_primary_is_replaced(self):
        self.write()
        old = self.primary()
        before = int(self.value(old, "select count(*) from t"))
        pids = self.server_pids(old)
        self.cluster.processes[self.tablet(old).name].kill(signal.SIGKILL)
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        took = self.write()
        print(f"\nwrites were possible again {took:.1f} s after the death of the primary", flush=True)
        new = self.primary()
        self.assertNotEqual(new, old)
        self.assertEqual(int(self.value(new, "select count(*) from t")), before + 1)
        self.assertEqual(self.recoveries("RecoverDeadPrimary"), 1)  # One of the two.
        self.assertLess(took, 5 * float(os.environ.get("VITRAIL_TEST_PATIENCE", "3")))
        # It comes back as a replica, and read-only from the first moment on.
        self.cluster.mysqlctl(self.tablet(old), "start")
        self.assertEqual(self.value(old, "select @@global.read_only"), "1")
        tablet = self.tablet(old)
        self.cluster.processes[tablet.name].wait_ended(10)
        self.cluster.start(tablet.name, self.cluster.processes[tablet.name].argv,
                           lambda: self.cluster.vars(tablet).get("TabletStateName"))
        self.wait_healthy()
        self.assertEqual(self.primary(), new)

    def test_3_replicas_are_put_right(self):
        uid = self.replicas()[0]
        self.ctl("StopReplication", f"zone1-{uid}")
        wait_until(lambda: self.recoveries("FixReplica") >= 1, "replication to be started", 20)
        self.wait_healthy()
        count = self.recoveries("FixReplica")
        self.ctl("SetWritable", f"zone1-{uid}", "true")
        wait_until(lambda: self.recoveries("FixReplica") > count, "the replica to be made read-only", 20)
        self.wait_healthy()

    def test_4_a_read_only_primary_is_made_writable(self):
        self.ctl("SetWritable", f"zone1-{self.primary()}", "false")
        wait_until(lambda: self.recoveries("FixPrimary") >= 1, "the primary to be made writable", 20)
        self.write()
        self.wait_healthy()

    def test_5_planned_reparents_go_on(self):
        new = self.replicas()[0]
        before = self.recoveries("RecoverDeadPrimary")
        self.ctl("PlannedReparentShard", "--new-primary", f"zone1-{new}", "commerce/0")
        self.assertEqual(self.primary(), new)
        self.write()
        self.wait_healthy()
        self.assertEqual(self.primary(), new)
        self.assertEqual(self.recoveries("RecoverDeadPrimary"), before)

    @staticmethod
    def wake(pid):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)

    @staticmethod
    def stopped(pid):
        """Every thread of it."""
        states = []
        for thread in os.listdir(f"/proc/{pid}/task"):
            with contextlib.suppress(FileNotFoundError), open(f"/proc/{pid}/task/{thread}/stat", encoding="utf-8") as file:
                states.append(file.read().rpartition(")")[2].split()[0])
        return set(states) == {"T"}

    def stop_and_replace(self):
        """Stops the primary and its server until another is writable. Their process ids."""
        self.write()
        old = self.primary()
        pids = self.server_pids(old)
        tablet = self.cluster.processes[self.tablet(old).name].pid
        for pid in (tablet, *pids):
            os.kill(pid, signal.SIGSTOP)
            self.addCleanup(self.wake, pid)
        # On a busy machine that takes its time.
        wait_until(lambda: all(self.stopped(pid) for pid in (tablet, *pids)), "all of it to stand still", 10, .01)
        took = self.write(read_timeout=1)  # What a frozen tablet has been sent stays there.
        print(f"\nwrites were possible again {took:.1f} s after the primary was stopped", flush=True)
        self.assertLess(took, 5 * float(os.environ.get("VITRAIL_TEST_PATIENCE", "3")))
        self.assertNotEqual(self.primary(), old)
        return old, tablet, pids

    def write_to_the_old_one(self, old, statement):
        """Somebody still has a connection to it. Nobody acknowledges what is written, so neither does the server."""
        with self.assertRaises(pymysql.MySQLError), pymysql.connect(
                unix_socket=self.cluster.path(f"vt_{old:010d}", "mysql.sock"), user="vt_dba", database="vt_commerce",
                read_timeout=2, autocommit=True) as connection, connection.cursor() as cursor:
            cursor.execute(statement)

    def test_6_a_primary_that_comes_back_loses_what_only_it_has(self):
        old, tablet, pids = self.stop_and_replace()
        for pid in pids:
            os.kill(pid, signal.SIGCONT)
        self.write_to_the_old_one(old, "insert into t(v) values ('stray')")
        os.kill(tablet, signal.SIGCONT)
        wait_until(lambda: self.value(old, "select @@global.read_only") == "1", "it to be read-only", 20)
        self.wait_healthy()
        # And what vtgate had sent to the tablet while it was frozen.
        wait_until(lambda: self.cluster.vars(self.tablet(old)).get("RewoundTransactions", 0) >= 1, "it to be rewound", 30)
        self.wait_healthy()
        self.assertRegex(self.value(old, "select group_concat(redo) from _vt.rewound_transaction"),
                         r"INSERT INTO `vt_commerce`.`t` .*'stray'")
        for uid in (100, 101, 102):
            self.assertEqual(self.value(uid, "select count(*) from t where v = 'stray'"), "0")

    def test_7_what_cannot_be_taken_back_is_restored(self):
        self.ctl("Backup", f"zone1-{self.replicas()[0]}")
        self.wait_healthy()
        old, tablet, pids = self.stop_and_replace()
        for pid in pids:
            os.kill(pid, signal.SIGCONT)
        self.write_to_the_old_one(old, "alter table t add column stray int")
        os.kill(tablet, signal.SIGCONT)
        wait_until(lambda: self.cluster.vars(self.tablet(old)).get("RestoreCount") == {"builtin": 1}, "a backup to be restored", 60)
        self.wait_healthy()
        self.assertEqual(self.value(old, "select count(*) from information_schema.columns where table_name = 't' and "
                                         "column_name = 'stray'"), "0")
        self.assertEqual(len(os.listdir(self.cluster.path(f"vt_{old:010d}", "diverged"))), 1)

    def test_7_x_a_restored_replica_gets_from_another_what_the_primary_has_no_logs_of(self):
        # As behind a rewind, which begins the logs of a server anew.
        primary, restored = self.primary(), self.replicas()[0]
        self.write()
        self.wait_healthy()

        def purged():
            with pymysql.connect(unix_socket=self.cluster.path(f"vt_{primary:010d}", "mysql.sock"), user="vt_dba") as connection, \
                    connection.cursor() as cursor:
                cursor.execute("flush binary logs")
                cursor.execute("show binary logs")
                names = [row[0] for row in cursor.fetchall()]
                with contextlib.suppress(pymysql.MySQLError):  # A replica still reads an older one.
                    cursor.execute(f"purge binary logs to '{names[-1]}'")
                cursor.execute("show binary logs")
                return len(cursor.fetchall()) == 1
        wait_until(purged, "the primary's older logs to go away", 20, .3)
        self.ctl("RestoreFromBackup", f"zone1-{restored}")
        wait_until(lambda: self.cluster.vars(self.tablet(restored)).get("ReplicationDetours", 0) >= 1, "the detour", 60)
        self.write()
        self.wait_healthy()
        self.assertEqual(self.cluster.vars(self.tablet(restored)).get("TabletStateName"), "SERVING")

    def test_7_y_a_record_that_names_one_that_was_never_promoted(self):
        """Nobody takes writes, and nobody has been demoted that could be told to go on."""
        self.wait_healthy()
        old, named = self.primary(), self.replicas()[0]
        rows = int(self.value(old, "select count(*) from t"))
        seconds, term = int(time.time()) + 1, b""
        while seconds:
            term += bytes([seconds & 0x7f | (0x80 if seconds > 0x7f else 0)])
            seconds >>= 7
        path = self.cluster.path("shard.record")
        with open(path, "wb") as file:  # The fields of a Shard record: primary_alias, is_primary_serving, primary_term_start_time.
            file.write(b"\x0a\x09\x0a\x05zone1\x10" + bytes([named]) + b"\x38\x01\x42" + bytes([len(term) + 1]) + b"\x08" + term)
        self.ctl(*self.cluster.topo_flags(), "WriteTopologyPath", "keyspaces/commerce/shards/0/Shard", path)
        self.assertEqual(self.primary(), named)
        wait_until(lambda: int(self.value(old, "select @@global.read_only")) == 1, "the old primary to step back", 20)
        self.write()
        self.assertEqual(int(self.value(self.primary(), "select count(*) from t")), rows + 1)
        self.wait_healthy()

    def test_8_it_can_be_told_to_keep_off(self):
        self.ctl("SetVtorcEmergencyReparent", "--disable", "commerce")
        old = self.primary()
        tablet = self.tablet(old)
        pids = self.server_pids(old)
        self.cluster.processes[tablet.name].kill(signal.SIGKILL)
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        wait_until(lambda: ("DeadPrimary", tablet.alias) in self.problems(), "the problem to be seen", 20)

        def skipped():
            return http_json(self.cluster.addresses["vtorc-1"]["port"], "/debug/vars").get("SkippedRecoveries")
        wait_until(lambda: skipped() == {"RecoverDeadPrimary.commerce.0": 1} or
                   (skipped() or {}).get("RecoverDeadPrimary.commerce.0", 0) > 1, "the recovery to be skipped", 20)
        self.assertEqual(self.primary(), old)
        self.ctl("SetVtorcEmergencyReparent", "--enable", "commerce")
        self.write()
        self.assertNotEqual(self.primary(), old)

    def test_9_what_it_shows(self):
        page = self.orc("/debug/status")
        for part in ("RecoverDeadPrimary", "commerce/0", "switched on"):
            self.assertIn(part, page)
        self.orc("/api/disable-global-recoveries")
        self.assertIn("switched off", self.orc("/debug/status"))
        self.orc("/api/enable-global-recoveries")
        self.assertIn("vtorc_successful_recoveries", self.orc("/metrics"))


if __name__ == "__main__":
    main()
