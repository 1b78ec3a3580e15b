"""transaction_mode TWOPC: a transaction over several shards is on all of them or on none, whoever dies at whatever point.

VITRAIL_TWOPC_ALL=1 runs the whole matrix of deaths, VITRAIL_TWOPC_SECONDS the time of the random ones.
"""

import json
import os
import random
import signal
import sys
import threading
import time

import pymysql
from support import ClusterTest, main, wait_until

from vitrail.cluster import Cluster
from vitrail.processes import http_get

VSCHEMA = json.dumps({"sharded": True, "vindexes": {"hash": {"type": "hash"}}, "tables": {
    name: {"column_vindexes": [{"column": "id", "name": "hash"}]} for name in ("account", "entry", "ledger", "odd", "pair")}})
SCHEMA = """
create table account (id bigint primary key, amount bigint not null, changed timestamp(6) not null default current_timestamp(6) on update current_timestamp(6));
create table entry (id bigint primary key, n bigint not null auto_increment unique, v varchar(100), at datetime(6));
create table ledger (id bigint primary key, batch bigint not null, key (batch));
create table odd (id bigint primary key, token varchar(40) default (uuid()));
create table pair (id bigint, n bigint, primary key (id, n))
"""
# Ids of `hash`: 1, 2, 3, 5 are on -80, 4, 6, 7, 8 on 80-.
LEFT, RIGHT = (1, 2, 3, 5), (4, 6, 7, 8)
DECIDER, OTHER = 100, 200  # Whose tablet decides, and whose is prepared: the shard that is changed first decides.

# Where a COMMIT is stopped, in the order in which it comes there, and whether it is decided by then. `tablet-prepared` is
# reached by the one that is prepared, `tablet-decision-before` by the one that decides.
POINTS = {"tablet-prepare-before": False, "tablet-prepare-recorded": False, "tablet-prepared": False,
          "tablet-decision-before": False, "gate-prepared": False, "gate-decided": True}
VICTIMS = ("vtgate", f"vttablet-{DECIDER}", f"vttablet-{OTHER}", f"mysqld-{DECIDER}", f"mysqld-{OTHER}")
SAMPLE = [("gate-prepared", "vtgate"), ("gate-decided", "vtgate"), ("gate-decided", f"mysqld-{OTHER}"),
          ("gate-prepared", f"vttablet-{OTHER}"), ("tablet-prepare-recorded", f"vttablet-{OTHER}"),
          ("gate-decided", f"vttablet-{DECIDER}")]


class PausedCluster(Cluster):
    tablet_flags = ("--twopc-abandon-age", "1s")

    def environment(self):
        return {**super().environment(), "VITRAIL_PAUSE_POINTS": self.path("pauses")}

    def server_pid(self, uid):
        with open(self.path(f"vt_{uid:010d}", "mysql.pid"), encoding="utf-8") as file:
            return int(file.read())

    def answers(self, uid):
        try:
            return self.server_rows(self.tablets[uid], "select 1") == ((1,),)
        except (pymysql.Error, OSError):
            return False

    def kill(self, victim):
        kind, _, uid = victim.partition("-")
        if kind == "mysqld":
            self.killed = self.server_pid(int(uid))
            os.kill(self.killed, signal.SIGKILL)
        else:
            self.processes[victim].kill(signal.SIGKILL)
            assert self.processes[victim].wait_ended(20)

    def revive(self, victim):
        kind, _, uid = victim.partition("-")
        if kind == "mysqld":
            # mysqld_safe starts it again.
            wait_until(lambda: self.answers(int(uid)) and self.server_pid(int(uid)) != self.killed, f"{victim} to be back", 60)
        else:
            self.restart(victim)


class TwoPcTest(ClusterTest):
    cluster_class = PausedCluster

    @classmethod
    def prepare(cls):
        cluster = cls.cluster
        os.makedirs(cluster.path("pauses"))
        cluster.start_vtctld()
        cluster.vtctldclient("CreateKeyspace", "--durability-policy", "semi_sync", "bank")
        # Where the primary is to die for good another one has to acknowledge.
        threads = [threading.Thread(target=cluster.add_shard, args=("bank", shard, uid, ("replica",) * count))
                   for shard, uid, count in (("-80", 100, 2), ("80-", 200, 3))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        cluster.vtctldclient("ApplySchema", "--sql", SCHEMA, "bank")
        cluster.vtctldclient("ApplyVSchema", "--vschema", VSCHEMA, "bank")
        cluster.start_vtgate("--transaction-mode", "TWOPC")
        with cluster.connect("bank") as connection, connection.cursor() as cursor:
            for number in LEFT + RIGHT:
                cursor.execute(f"insert into account (id, amount) values ({number}, 1000)")
        for uid in (100, 200):
            assert len(cluster.server_rows(cluster.tablets[uid], "select id from account")) == 4

    def connect(self, **options):
        return self.cluster.connect("bank", **{"autocommit": False, "read_timeout": 40, **options})

    def rows(self, uid, sql):
        return self.cluster.server_rows(self.cluster.tablets[uid], sql)

    def primaries(self):
        return [self.cluster.primary("bank", shard).uid for shard in ("-80", "80-")]

    def arm(self, point):
        with open(self.cluster.path("pauses", point), "w", encoding="utf-8"):
            pass

    def reached(self, point):
        return os.path.exists(self.cluster.path("pauses", point + ".reached"))

    def go_on(self, point):
        for name in (point, point + ".reached"):
            try:
                os.unlink(self.cluster.path("pauses", name))
            except FileNotFoundError:
                pass

    def records(self, uid):
        """How many rows each table of the protocol has."""
        return tuple(self.rows(uid, f"select count(*) from _vt.{table}")[0][0]
                     for table in ("redo_statement", "redo_state", "dt_participant"))

    def wait_resolved(self, seconds=60):
        def resolved():
            for uid in self.primaries():
                try:
                    self.assertEqual(self.rows(uid, "select dtid from _vt.redo_statement"), ())
                    self.assertEqual(self.rows(uid, "select dtid from _vt.dt_participant where keyspace <> ''"), ())
                except pymysql.Error:
                    return False
                except AssertionError:
                    return False
            return True
        wait_until(resolved, "everything to be resolved", seconds)

    def total(self):
        left, right = self.primaries()
        return sum(self.rows(uid, "select sum(amount) from account")[0][0] for uid in (left, right))

    @staticmethod
    def transfer(connection, source, target, amount):
        with connection.cursor() as cursor:
            cursor.execute(f"update account set amount = amount - {amount} where id = {source}")
            cursor.execute(f"update account set amount = amount + {amount} where id = {target}")

    # --- what it does
    def test_1_a_commit_on_two_shards_leaves_nothing_behind(self):
        with self.connect() as connection, connection.cursor() as cursor:
            cursor.execute("select @@transaction_mode")
            self.assertEqual(cursor.fetchone(), ("TWOPC",))
            for _ in range(5):
                self.transfer(connection, LEFT[0], RIGHT[0], 1)
                connection.commit()
            self.transfer(connection, LEFT[0], RIGHT[0], 100)
            connection.rollback()
        self.assertEqual(self.rows(100, "select amount from account where id = 1"), ((995,),))
        self.assertEqual(self.rows(200, "select amount from account where id = 4"), ((1005,),))
        self.assertEqual(self.records(200)[:2], (0, 0))
        timings = self.cluster_vars("vtgate")["CommitModeTimings"]["Histograms"]["TwoPC"]
        self.assertGreaterEqual(timings["Count"], 5)
        self.wait_resolved()
        self.assertEqual(self.records(100), (0, 0, 0))

    def cluster_vars(self, name):
        return json.loads(http_get(self.cluster.addresses[name]["port"], "/debug/vars"))

    def test_2_one_writer_needs_no_second_phase(self):
        before = self.cluster_vars("vtgate")["CommitModeTimings"]["Histograms"]["TwoPC"]["Count"]
        with self.connect() as connection, connection.cursor() as cursor:
            cursor.execute("select amount from account")
            cursor.execute("update account set amount = amount where id = 1")
            cursor.execute("update odd set token = uuid() where id = 1")
            connection.commit()
            cursor.execute("select amount from account for update")
            connection.commit()
        self.assertEqual(self.cluster_vars("vtgate")["CommitModeTimings"]["Histograms"]["TwoPC"]["Count"], before)

    def test_3_what_cannot_be_made_again_is_refused_and_nothing_of_it_stays(self):
        cases = [
            ("update account set amount = amount + rand() * 0 where id = 4", "the function rand"),
            ("delete from pair where id = 4 limit 1", "LIMIT"),
            ("insert into odd (id) values (4)", "computed defaults"),
        ]
        for text, why in cases:
            with self.connect() as connection, connection.cursor() as cursor:
                cursor.execute("insert into ledger values (1, 1)")
                cursor.execute(text)
                with self.subTest(text), self.assertRaisesRegex(pymysql.Error, "TWOPC.*" + why):
                    connection.commit()
            for uid in (100, 200):
                self.assertEqual(self.rows(uid, "select * from ledger"), (), text)
        with self.connect() as connection, connection.cursor() as cursor:
            cursor.execute("set session transaction isolation level read committed")
            self.transfer(connection, 1, 4, 1)
            with self.assertRaisesRegex(pymysql.Error, "REPEATABLE READ"):
                connection.commit()
        self.wait_resolved()

    def test_4_the_mode_is_the_sessions(self):
        with self.connect() as connection, connection.cursor() as cursor:
            cursor.execute("set transaction_mode = 'multi'")
            cursor.execute("insert into odd (id, token) values (1, 'a'), (4, uuid())")
            connection.commit()
            cursor.execute("delete from odd")
            connection.commit()
            cursor.execute("set transaction_mode = 'twopc'")
            cursor.execute("insert into odd (id) values (1), (4)")
            with self.assertRaisesRegex(pymysql.Error, "TWOPC"):
                connection.commit()
            cursor.execute("select count(*) from odd")
            self.assertEqual(cursor.fetchone(), (0,))

    def test_5_time_stands_still_for_changes_only(self):
        with self.connect() as connection, connection.cursor() as cursor:
            cursor.execute("update account set amount = amount where id = 1")
            cursor.execute("select now(6), sleep(0.01) from account where id = 1")
            first = cursor.fetchone()[0]
            cursor.execute("select now(6) from account where id = 1")
            self.assertGreater(cursor.fetchone()[0], first)
            connection.commit()

    # --- deaths
    def commit_in_background(self, connection):
        outcome = []

        def run():
            try:
                connection.commit()
                outcome.append("committed")
            except pymysql.Error as error:
                outcome.append(error)
        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        return thread, outcome

    def die(self, point, victim):
        """A transfer is stopped at `point`, `victim` killed there and started again. Then it is on both sides, or on none."""
        amounts = {uid: self.rows(uid, "select id, amount, changed from account order by id") for uid in self.primaries()}
        connection = self.connect()
        batch = time.time_ns()
        with connection.cursor() as cursor:
            cursor.execute("update account set amount = amount - 7 where id = 1")
            cursor.execute(f"insert into entry (id, v, at) values (1, '{batch}', now(6))")
            cursor.execute("savepoint a")
            cursor.execute("update account set amount = 0 where id = 6")
            cursor.execute("rollback to savepoint a")
            cursor.execute("update account set amount = amount + 7 where id = 4 limit 1")
            cursor.execute(f"insert into entry (id, v, at) values (4, concat('{batch}', 'ü'), now(6))")
        self.arm(point)
        thread, outcome = self.commit_in_background(connection)
        try:
            wait_until(lambda: self.reached(point), f"{point} to be reached", 30)
            self.cluster.kill(victim)
        finally:
            self.go_on(point)
        if victim == "vtgate":
            thread.join(30)
        self.cluster.revive(victim)
        thread.join(60)
        self.assertFalse(thread.is_alive(), "COMMIT does not return")
        self.wait_resolved()
        left = self.rows(100, "select v from entry where id = 1")
        right = self.rows(200, "select v from entry where id = 4")
        self.assertEqual(bool(left), bool(right), f"half of it at {point} with {victim}: {outcome}")
        if outcome and outcome[0] == "committed":
            self.assertEqual((left, right), (((str(batch),),), ((f"{batch}ü",),)))
        if POINTS[point]:
            self.assertTrue(left, "it was decided")
        moved = 7 if left else 0
        for uid, sign in ((100, -1), (200, 1)):
            now = {row[0]: row[1] for row in self.rows(uid, "select id, amount from account")}
            before = {row[0]: row[1] for row in amounts[uid]}
            before[1 if uid == 100 else 4] += sign * moved
            self.assertEqual(now, before, f"{point} {victim} {uid}")
        for uid, number in ((100, 1), (200, 4)):
            self.rows(uid, f"delete from entry where id = {number}")
        connection.close()
        wait_until(lambda: self.gate_writes(), "writes to go on", 40)
        return "committed" if left else "rolled back", outcome

    def gate_writes(self):
        try:
            with self.connect() as connection, connection.cursor() as cursor:
                cursor.execute("update account set amount = amount where id in (1, 4)")
                connection.commit()
            return True
        except pymysql.Error:
            return False

    def test_6_deaths(self):
        cases = [(p, v) for p in POINTS for v in VICTIMS] if os.environ.get("VITRAIL_TWOPC_ALL") else SAMPLE
        for point, victim in cases:
            with self.subTest(point=point, victim=victim):
                started = time.monotonic()
                became, outcome = self.die(point, victim)
                print(f"{point} {victim}: {became}; the client heard {outcome}; {time.monotonic() - started:.1f} s",
                      file=sys.stderr)

    def begin_stopped(self, point):
        """A transfer of 3 from 1 to 4 whose COMMIT waits at `point`."""
        before = [self.rows(uid, f"select amount from account where id = {number}")[0][0]
                  for uid, number in zip(self.primaries(), (1, 4))]
        connection = self.connect()
        self.transfer(connection, 1, 4, 3)
        self.arm(point)
        thread, outcome = self.commit_in_background(connection)
        wait_until(lambda: self.reached(point), f"{point} to be reached", 30)
        return connection, thread, outcome, before

    def assert_moved(self, before, committed):
        now = [self.rows(uid, f"select amount from account where id = {number}")[0][0]
               for uid, number in zip(self.primaries(), (1, 4))]
        self.assertEqual(now, [before[0] - 3, before[1] + 3] if committed else before)

    def test_8_planned_reparents_carry_over_what_is_prepared(self):
        for point, shard, to, back in (("gate-prepared", "80-", 201, 200), ("gate-decided", "80-", 201, 200),
                                       ("gate-decided", "-80", 101, 100), ("gate-prepared", "-80", 101, 100)):
            with self.subTest(point=point, shard=shard):
                connection, thread, outcome, before = self.begin_stopped(point)
                try:
                    self.ctl("PlannedReparentShard", "--new-primary", f"zone1-{to}", f"bank/{shard}")
                finally:
                    self.go_on(point)
                thread.join(60)
                self.assertFalse(thread.is_alive())
                self.wait_resolved()
                # Who was to decide and is not the primary any more has rolled back.
                committed = (point, shard) != ("gate-prepared", "-80")
                self.assertEqual(outcome == ["committed"], committed, outcome)
                self.assert_moved(before, committed)
                connection.close()
                wait_until(self.gate_writes, "writes to go on", 40)
                self.ctl("PlannedReparentShard", "--new-primary", f"zone1-{back}", f"bank/{shard}")
                wait_until(self.gate_writes, "writes to go on", 40)

    def test_z_an_emergency_reparent_finds_what_is_prepared(self):
        for point, committed in (("gate-decided", True), ("gate-prepared", False)):
            with self.subTest(point=point):
                connection, thread, outcome, before = self.begin_stopped(point)
                try:
                    if not committed:
                        self.cluster.kill("vtgate")
                    self.cluster.kill("vttablet-200")
                    self.cluster.kill("mysqld-200")
                    self.ctl("EmergencyReparentShard", "--new-primary", "zone1-201", "bank/80-")
                finally:
                    self.go_on(point)
                if not committed:
                    self.cluster.revive("vtgate")
                thread.join(60)
                self.assertFalse(thread.is_alive())
                self.wait_resolved()
                self.assertEqual(outcome == ["committed"], committed, outcome)
                self.assert_moved(before, committed)
                connection.close()
                self.cluster.revive("mysqld-200")
                self.cluster.revive("vttablet-200")
                wait_until(self.gate_writes, "writes to go on", 40)
                wait_until(lambda: self.cluster.vars(self.cluster.tablets[200])["TabletStateName"] == "SERVING",
                           "the old primary to follow", 60)
                self.ctl("PlannedReparentShard", "--new-primary", "zone1-200", "bank/80-")
                wait_until(self.gate_writes, "writes to go on", 40)

    def test_7_a_fence_waits_for_what_is_prepared(self):
        connection, thread, outcome, before = self.begin_stopped("gate-prepared")
        try:
            self.ctl("SetShardIsPrimaryServing", "bank/80-", "false")
            self.assert_command_fails("is in the way", "RefreshState", "zone1-200")
        finally:
            self.go_on("gate-prepared")
        thread.join(60)
        self.assertEqual(outcome, ["committed"])
        self.ctl("RefreshState", "zone1-200")
        self.assert_moved(before, True)
        self.ctl("SetShardIsPrimaryServing", "bank/80-", "true")
        self.ctl("RefreshState", "zone1-200")
        wait_until(self.gate_writes, "writes to go on", 40)
        connection.close()

    def test_9_random_deaths_make_and_lose_no_money(self):
        before = self.total()
        dice = random.Random(int(os.environ.get("VITRAIL_TEST_SEED", "14")))
        stop, counts, lock = threading.Event(), {"committed": 0, "failed": 0}, threading.Lock()

        def work(seed):
            own = random.Random(seed)
            connection = None
            while not stop.is_set():
                try:
                    if connection is None:
                        connection = self.connect(connect_timeout=5, read_timeout=60)
                    pair = [own.choice(LEFT), own.choice(RIGHT)]
                    own.shuffle(pair)
                    self.transfer(connection, *pair, own.randint(1, 9))
                    connection.commit()
                    with lock:
                        counts["committed"] += 1
                except pymysql.Error:
                    with lock:
                        counts["failed"] += 1
                    connection = None
                    stop.wait(0.05)
        threads = [threading.Thread(target=work, args=(dice.random(),), daemon=True) for _ in range(4)]
        for thread in threads:
            thread.start()
        until = time.monotonic() + float(os.environ.get("VITRAIL_TWOPC_SECONDS", "8"))
        try:
            while time.monotonic() < until:
                stop.wait(dice.uniform(0.3, 1.5))
                victim = dice.choice(VICTIMS)
                self.cluster.kill(victim)
                self.cluster.revive(victim)
                with lock:
                    seen = counts["committed"]
                wait_until(lambda seen=seen: counts["committed"] > seen, f"transfers to go on behind the death of {victim}", 60)
        finally:
            stop.set()
            for thread in threads:
                thread.join(90)
        self.assertFalse(any(thread.is_alive() for thread in threads))
        self.wait_resolved()
        self.assertEqual(self.total(), before)
        print(f"random deaths: {counts}", file=sys.stderr)


if __name__ == "__main__":
    main()
