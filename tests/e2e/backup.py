"""Backups and restores on real servers: under writes, into new and into existing tablets; damaged parts; deaths in the
middle of both.
"""

import contextlib
import json
import os
import shutil
import subprocess
import threading
import time

from support import BIN, ClusterTest, Failure, main, wait_until

from vitrail.cluster import Tablet

ROWS = "select count(*), coalesce(sum(crc32(concat(id, v))), 0) from t"


class Writer:
    """A client of vtgate that inserts rows, until the end of the block."""

    def __init__(self, cluster):
        self.cluster, self.rows, self.stopping = cluster, 0, threading.Event()
        self.thread = threading.Thread(target=self.run, daemon=True)

    def run(self):
        with self.cluster.connect("commerce") as connection, connection.cursor() as cursor:
            while not self.stopping.is_set():
                cursor.execute("insert into t(v) values (repeat('w', 100))")
                self.rows += 1
                self.stopping.wait(.005)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.stopping.set()
        self.thread.join(60)


class BackupTest(ClusterTest):
    """The tests build on each other: names give the order."""

    @classmethod
    def prepare(cls):
        cluster = cls.cluster
        cluster.start_vtctld()
        cluster.vtctldclient("CreateKeyspace", "--durability-policy", "none", "commerce")
        cluster.add_shard("commerce", "0", 100, ("replica", "replica", "rdonly"))
        cluster.vtctldclient("ApplySchema", "--sql", "create table t(id bigint auto_increment primary key, v text)", "commerce")
        cluster.vtctldclient("ApplyVSchema", "--vschema", '{"tables": {"t": {}}}', "commerce")
        cluster.start_vtgate()
        with cluster.connect("commerce") as connection, connection.cursor() as cursor:
            cursor.execute("insert into t(v) values " + ", ".join(f"(repeat('{n % 10}', 2000))" for n in range(1000)))

    # --- what there is ---
    def write_here_alone(self, cursor):
        """The replica's next statement is in no binary log, and is let in."""
        cursor.execute("set sql_log_bin = 0")
        if self.cluster.backend == "mysql":
            cursor.execute("set global super_read_only = 0")

    def tablet(self, uid):
        return self.cluster.tablets[uid]

    def folder(self, uid, *parts):
        return self.cluster.path(f"vt_{uid:010d}", *parts)

    def value(self, uid, sql):
        return str(self.cluster.server_rows(self.tablet(uid), sql)[0][0])

    def recorded_type(self, uid):
        return self.ctl("GetTablets", "--tablet-alias", f"zone1-{uid}").split()[3]

    def backups(self):
        return self.ctl("GetBackups", "commerce/0").split()

    def manifest(self, name):
        with open(self.cluster.path("backups", "commerce", "0", name, "MANIFEST"), encoding="utf-8") as file:
            return json.load(file)

    def assert_in_service(self, uid, kind):
        """It serves as what it was, replicates, and has what the primary has."""
        wait_until(lambda: self.cluster.vars(self.tablet(uid)).get("TabletStateName") == "SERVING", f"{uid} to serve", 30)
        self.assertEqual(self.recorded_type(uid), kind)
        want = self.cluster.server_rows(self.tablet(100), ROWS)
        wait_until(lambda: self.cluster.server_rows(self.tablet(uid), ROWS) == want, f"{uid} to have all rows", 30)
        self.assertEqual(self.value(uid, "select @@global.read_only"), "1")

    @contextlib.contextmanager
    def types_of(self, uid):
        """Collects the types that a tablet's record has during the block."""
        seen, stopping = [], threading.Event()

        def look_once():
            with contextlib.suppress(Failure, IndexError):  # It has no record yet.
                kind = self.recorded_type(uid)
                if seen[-1:] != [kind]:
                    seen.append(kind)

        def look():
            while not stopping.is_set():
                look_once()
                stopping.wait(.02)
        look_once()
        thread = threading.Thread(target=look, daemon=True)
        thread.start()
        try:
            yield seen
        finally:
            stopping.set()
            thread.join(30)
            look_once()

    def kill_tablet(self, uid):
        self.cluster.processes[self.tablet(uid).name].kill(9)
        self.cluster.processes[self.tablet(uid).name].wait_ended(10)

    def restart_tablet(self, uid):
        tablet = self.tablet(uid)
        self.cluster.start(tablet.name, self.cluster.processes[tablet.name].argv,
                           lambda: self.cluster.vars(tablet).get("TabletStateName"))

    def kill_at(self, uid, mark, *command):
        """Kills the tablet as soon as the file `mark` is in its server's folder, while the command runs."""
        running = subprocess.Popen([f"{BIN}/vtctldclient", "--server", f"127.0.0.1:{self.cluster.addresses['vtctld']['grpc']}",
                                    *command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        path = self.folder(uid, mark)
        end = time.monotonic() + 30
        while not os.path.exists(path) and time.monotonic() < end and running.poll() is None:
            time.sleep(.001)
        self.kill_tablet(uid)
        output, _ = running.communicate(timeout=30)
        self.assertNotEqual(running.returncode, 0, output)
        return output

    # --- tests ---
    def test_1_a_backup_under_writes(self):
        with Writer(self.cluster) as writer, self.types_of(102) as types:
            output = self.ctl("BackupShard", "commerce/0")
            before = writer.rows
            wait_until(lambda: writer.rows > before + 5, "writes to go on", 10)
        self.assertEqual(types, ["rdonly", "backup", "rdonly"])
        self.assertRegex(output, r"commerce/0 \(zone1-0000000102\): backup commerce/0/\S+ is complete")
        self.assert_in_service(102, "rdonly")
        names = self.backups()
        self.assertEqual(len(names), 1)
        self.assertTrue(names[0].endswith(".zone1-0000000102"), names)
        manifest = self.manifest(names[0])
        self.assertEqual((manifest["BackupMethod"], manifest["CompressionEngine"], manifest["TabletAlias"]),
                         ("builtin", "zstd", "zone1-0000000102"))
        self.assertRegex(manifest["Position"], self.cluster.words.position)
        listed = json.loads(self.ctl("GetBackups", "-j", "commerce/0"))["backups"]
        self.assertEqual([(b["name"], b["engine"], b["status"]) for b in listed], [(names[0], "builtin", "COMPLETE")])
        self.assertEqual(self.cluster.vars(self.tablet(102))["BackupCount"], {"builtin": 1})

    def test_2_an_empty_tablet_begins_with_the_newest(self):
        type(self).cluster.tablets[103] = tablet = Tablet("zone1", 103, "commerce", "0", "rdonly", {
            "port": self.cluster.ports.take(), "grpc": self.cluster.ports.take(), "mysqld": self.cluster.ports.take(),
            "data": self.cluster.ports.take()}, self.cluster.backend)
        self.cluster.mysqlctl(tablet, "init")
        with self.cluster.server(tablet) as connection, connection.cursor() as cursor:
            cursor.execute("select @@server_id")
            old_id = cursor.fetchone()[0]
        manifest = self.manifest(self.backups()[-1])
        self.cluster.tablet_flags = ("--restore-from-backup",)
        with self.types_of(103) as types:
            self.cluster.start_tablet(tablet)
            self.assert_in_service(103, "rdonly")
        self.cluster.tablet_flags = ()
        self.assertEqual(types[-2:], ["restore", "rdonly"])
        self.assertEqual(self.cluster.vars(tablet)["RestorePosition"], manifest["Position"])
        self.assertEqual(self.cluster.vars(tablet)["RestoredBackupTime"], manifest["BackupTime"])
        self.assertNotEqual(self.value(103, "select @@server_id"), str(old_id))
        # What it has been given stands at the beginning of its own binary log: others can follow it.
        if self.cluster.backend == "mariadb":
            self.assertTrue(self.value(103, "select @@gtid_binlog_state").startswith("0-"))

    def test_3_damaged_parts_are_named_and_nothing_changes(self):
        name = self.backups()[-1]
        folder = self.cluster.path("backups", "commerce", "0", name)
        entries = self.manifest(name)["FileEntries"]
        part = next(i for i, entry in enumerate(entries) if entry["Name"].endswith("/t.ibd"))
        with open(os.path.join(folder, str(part)), "rb") as file:
            whole = file.read()
        middle = len(whole) // 2
        with open(self.folder(101, "mysql.pid"), encoding="utf-8") as file:
            server = file.read()
        for what, content in (("altered", whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1:]),
                              ("truncated", whole[:-1]), ("missing", None)):
            with self.subTest(what):
                if content is None:
                    os.remove(os.path.join(folder, str(part)))
                else:
                    with open(os.path.join(folder, str(part)), "wb") as file:
                        file.write(content)
                self.assert_command_fails(rf"part {part} of backup commerce/0/{name} \(vt_commerce/t.ibd\).* is {what}"
                                          rf"|part {part} of .*: it is {what}", "RestoreFromBackup", "zone1-101")
                self.assert_in_service(101, "replica")
        with open(self.folder(101, "mysql.pid"), encoding="utf-8") as file:
            self.assertEqual(file.read(), server)  # It was never stopped.
        with open(os.path.join(folder, str(part)), "wb") as file:
            file.write(whole)
        self.assertFalse(os.path.exists(self.folder(101, "restore")))

    def test_4_a_tablet_is_restored(self):
        name = self.backups()[-1]
        self.assertRegex(self.ctl("RestoreFromBackup", "--dry-run", "zone1-101"),
                         rf"would restore backup commerce/0/{name} .* all its \d+ parts are whole")
        with self.cluster.server(self.tablet(101), "commerce") as connection, connection.cursor() as cursor:
            self.write_here_alone(cursor)
            cursor.execute("delete from t where id < 100")  # It is not what the primary has any more.
        with self.types_of(101) as types:
            output = self.ctl("RestoreFromBackup", "--backup-timestamp", "2099-01-01.000000", "zone1-101")
        self.assertEqual(types, ["replica", "restore", "replica"])
        self.assertIn("restored; replication goes on at", output)
        self.assert_in_service(101, "replica")
        for left in ("restore", "replaced", ".restore"):
            self.assertFalse(os.path.exists(self.folder(101, left)), left)
        self.assert_command_fails("there is no backup of commerce/0 .* 1 later than 2001", "RestoreFromBackup",
                                  "--backup-timestamp", "2001-01-01.000000", "zone1-101")

    def test_4_b_while_the_server_runs(self):
        if self.cluster.backend != "mariadb":
            self.assert_command_fails("the engine mariabackup is for MariaDB", "Backup", "--backup-engine", "mariabackup", "zone1-102")
            self.skipTest("the engine mariabackup is for MariaDB")
        if shutil.which("mariadb-backup") is None:
            self.skipTest("the package mariadb-backup is not installed")
        with open(self.folder(102, "mysql.pid"), encoding="utf-8") as file:
            server = file.read()
        states = set()
        with Writer(self.cluster) as writer, self.types_of(102) as types:
            running = threading.Thread(target=lambda: outputs.append(
                self.ctl("Backup", "--backup-engine", "mariabackup", "zone1-102")), daemon=True)
            outputs = []
            running.start()
            while running.is_alive():
                states.add(self.cluster.vars(self.tablet(102)).get("TabletStateName"))
                running.join(.05)
            self.assertGreater(writer.rows, 0)
        self.assertRegex(outputs[0], r"backup commerce/0/\S+ is complete")
        self.assertEqual((types, states), (["rdonly"], {"SERVING"}))
        with open(self.folder(102, "mysql.pid"), encoding="utf-8") as file:
            self.assertEqual(file.read(), server)
        self.assertFalse(os.path.exists(self.folder(102, "backup")))
        manifest = self.manifest(self.backups()[-1])
        self.assertEqual(manifest["BackupMethod"], "mariabackup")
        self.assertRegex(manifest["Position"], self.cluster.words.position)
        self.assertIn("replication goes on at " + manifest["Position"], self.ctl("RestoreFromBackup", "zone1-101"))
        self.assert_in_service(101, "replica")
        self.assertEqual(self.cluster.vars(self.tablet(101))["RestoreCount"].get("mariabackup"), 1)

    def test_4_c_rows_as_sql(self):
        if self.cluster.backend != "mariadb":
            self.skipTest("the engine logical is for MariaDB")
        with self.cluster.server(self.tablet(100), "commerce") as connection, connection.cursor() as cursor:
            for statement in (
                    "create table kinds(id int auto_increment primary key, b varbinary(20), j json, f double, d datetime(6), "
                    "e enum('x', 'y'), bits bit(9), twice int as (length(b) * 2) stored, g point, t text character set latin1)",
                    "insert into kinds(b, j, f, d, e, bits, g, t) values (x'00ff27', '{\"a\": [1]}', 0.1, '2026-01-02 03:04:05.000006', "
                    "'y', b'101', point(1, 2), 'it''s \\\\ é'), (null, null, null, null, null, null, null, null)",
                    "create table kept(id int primary key, v int) with system versioning",
                    "insert into kept values (1, 1)", "update kept set v = 2", "delete from kept",
                    "create view seen as select id, twice from kinds",
                    "create trigger doubled before insert on kinds for each row set new.f = 2 * new.f",
                    "create function plus_one(n int) returns int deterministic return n + 1",
                    "create procedure fill() insert into kinds(f) values (1)",
                    "create event later on schedule every 1 day do set @a = 1", "create sequence numbers start with 7",
                    "create user teller@localhost identified by 'secret'", "grant select on commerce.* to teller@localhost"):
                cursor.execute(statement)
        with Writer(self.cluster) as writer:
            self.assertRegex(self.ctl("Backup", "--backup-engine", "logical", "zone1-102"), r"backup commerce/0/\S+ is complete")
            self.assertGreater(writer.rows, 0)
        manifest = self.manifest(self.backups()[-1])
        self.assertEqual((manifest["BackupMethod"], len(manifest["FileEntries"])), ("logical", 2))
        self.assertFalse(os.path.exists(self.folder(102, "backup")))
        self.assertRegex(self.ctl("RestoreFromBackup", "--dry-run", "zone1-101"), "would restore .* all its 2 parts are whole")
        self.assertIn("replication goes on at " + manifest["Position"], self.ctl("RestoreFromBackup", "zone1-101"))
        self.assert_in_service(101, "replica")
        self.assertFalse(os.path.exists(self.folder(101, "restore")))

        def told(uid):
            rows = []
            for statement in (
                    "checksum table t, kinds", "select id, hex(b), j, f, d, e, hex(bits), twice, hex(g), hex(t) from kinds",
                    "select id, v, row_start, row_end from kept for system_time all order by row_start", "select * from seen",
                    "select trigger_name, action_statement from information_schema.triggers where trigger_schema = 'commerce'",
                    "select routine_name, routine_definition from information_schema.routines where routine_schema = 'commerce' order by 1",
                    "select event_name, event_definition from information_schema.events", "show create table numbers",
                    "show grants for teller@localhost", "show create user teller@localhost", "show create table kinds"):
                rows.append(self.cluster.server_rows(self.tablet(uid), statement, "commerce"))
            return rows
        self.eventually(lambda: self.assertEqual(told(101), told(100)))
        self.assertRegex(self.ctl("VerifyBackup", "zone1-102"), r"verified: all \d+ tables of \S+ are what tablet zone1-0000000102 has")
        with self.cluster.server(self.tablet(100), "commerce") as connection, connection.cursor() as cursor:
            for what in ("table kinds", "table kept", "view seen", "function plus_one", "procedure fill", "event later", "sequence numbers",
                         "user teller@localhost"):
                cursor.execute(f"drop {what}")

    def test_5_a_death_in_a_backup(self):
        before = self.backups()
        output = self.kill_at(102, ".stopped-for-backup", "Backup", "zone1-102")
        self.assertNotIn("is complete", output)
        self.assertEqual(self.backups(), before)
        self.restart_tablet(102)
        self.assert_in_service(102, "rdonly")
        self.assertEqual(self.backups(), before)
        # The next one of this tablet clears up behind it, and is whole.
        self.ctl("Backup", "zone1-102")
        self.assertEqual(len(self.backups()), len(before) + 1)
        self.assertEqual(sorted(os.listdir(self.cluster.path("backups", "commerce", "0"))), self.backups())
        self.assert_in_service(102, "rdonly")

    def start_as(self, uid, command):
        tablet = self.tablet(uid)
        self.kill_tablet(uid)
        self.cluster.start(tablet.name, command, lambda: self.cluster.vars(tablet).get("TabletStateName") == "SERVING")

    def test_5_b_a_storage_that_is_full(self):
        if subprocess.run(["unshare", "-m", "true"], capture_output=True, check=False).returncode != 0:
            self.skipTest("no file systems can be mounted here")
        before, root, tablet = self.backups(), self.cluster.path("backups"), self.tablet(102)
        argv = self.cluster.processes[tablet.name].argv
        # For this tablet alone the storage is a very small file system.
        self.start_as(102, ["unshare", "-m", "sh", "-c", f'mount -t tmpfs -o size=64k none {root} && exec "$@"', "sh", *argv])
        self.assert_command_fails("No space left on device", "Backup", "zone1-102")
        self.assert_in_service(102, "rdonly")
        left = [name for _, _, names in os.walk(f"/proc/{self.cluster.processes[tablet.name].pid}/root{root}") for name in names]
        self.assertEqual(left, [])
        self.start_as(102, argv)
        self.assert_in_service(102, "rdonly")
        self.assertEqual(self.backups(), before)

    def test_5_c_a_file_that_cannot_be_written_to_its_end_in_a_restore(self):
        argv = self.cluster.processes[self.tablet(102).name].argv
        # There was room when the restore began, and in the middle of a file there is none: no file may exceed 8 MiB, which the topology stays below.
        self.start_as(102, ["sh", "-c", 'trap "" XFSZ; ulimit -f 16384; exec "$@"', "sh", *argv])
        self.assert_command_fails("File too large", "RestoreFromBackup", "zone1-102")
        self.assert_in_service(102, "rdonly")
        for left in ("restore", "replaced", ".restore"):
            self.assertFalse(os.path.exists(self.folder(102, left)), left)
        self.start_as(102, argv)
        self.assert_in_service(102, "rdonly")

    def test_6_a_death_in_a_restore(self):
        for mark in ("restore", ".restore", "replaced"):
            with self.subTest(mark):
                self.kill_at(103, mark, "RestoreFromBackup", "zone1-103")
                self.restart_tablet(103)
                self.assert_in_service(103, "rdonly")
                for left in ("restore", "replaced", ".restore"):
                    self.assertFalse(os.path.exists(self.folder(103, left)), left)

    def test_7_what_is_refused(self):
        self.assert_command_fails("type PRIMARY cannot take backup", "Backup", "zone1-100")
        self.assert_command_fails("type PRIMARY cannot restore from backup", "RestoreFromBackup", "zone1-100")
        self.assert_command_fails("no backup engine 'xtrabackup'", "Backup", "--backup-engine", "xtrabackup", "zone1-102")
        early, late, other = "MariaDB/0-1-1", "MariaDB/0-1-99999999", "MySQL56/3e11fa47-71ca-11e1-9e33-c80aa9429562:1"
        if self.cluster.backend == "mysql":
            source = self.value(100, "select @@server_uuid")
            early, late, other = f"MySQL56/{source}:1", f"MySQL56/{source}:99999999", early
        self.assert_command_fails(f"no full backup with incremental ones behind it leads to position {early}", "RestoreFromBackup",
                                  "--restore-to-pos", early, "zone1-102")
        self.assert_command_fails("exclude each other", "RestoreFromBackup", "--restore-to-pos", early,
                                  "--restore-to-timestamp", "2026-01-02T15:04:05Z", "zone1-102")
        self.assert_command_fails("not of this server's flavor", "RestoreFromBackup", "--restore-to-pos", other, "zone1-102")
        self.assert_command_fails("a position, the name of a backup, or 'auto'", "Backup", "--incremental-from-pos", "x", "zone1-102")
        self.assert_command_fails("has not come to", "Backup", "--incremental-from-pos", late, "zone1-102")
        self.assert_command_fails("is not the name of a backup", "RemoveBackup", "commerce/0", "../0")
        self.assertEqual(self.recorded_type(102), "rdonly")

    def test_8_the_primary_where_that_is_wanted(self):
        self.ctl("Backup", "--allow-primary", "--upgrade-safe", "zone1-100")
        name = self.backups()[-1]
        self.assertTrue(name.endswith("-0000000100"), name)
        self.assertTrue(self.manifest(name)["UpgradeSafe"])
        self.assertEqual(self.cluster.primary("commerce", "0").uid, 100)
        with self.cluster.connect("commerce") as connection, connection.cursor() as cursor:
            cursor.execute("insert into t(v) values ('after')")
        self.assert_in_service(101, "replica")

    # --- points between backups ---
    def position(self, uid, name="gtid_binlog_pos"):
        if self.cluster.backend == "mysql":
            return "MySQL56/" + self.value(uid, "select @@global.gtid_executed").replace("\n", "")
        return "MariaDB/" + self.value(uid, f"select @@{name}")

    def mark(self, cursor, n):
        """Inserts a row in a second of its own. Returns that second and the primary's position."""
        before = int(time.time())
        wait_until(lambda: int(time.time()) > before, "the next second", 5, .01)
        cursor.execute(f"insert into p values ({n})")
        cursor.execute("select unix_timestamp()")
        return cursor.fetchone()[0], self.position(100)

    def incremental(self, uid, start="auto"):
        output = self.ctl("Backup", "--incremental-from-pos", start, f"zone1-{uid}")
        self.assertIn("is complete", output)
        return self.manifest(self.backups()[-1])

    def assert_point(self, uid, marks):
        """It has these rows, is out of everything, and stays so."""
        rows = self.cluster.server_rows(self.tablet(uid), "select id from p order by id")
        self.assertEqual([row[0] for row in rows], marks)
        self.assertEqual(self.recorded_type(uid), "drained")
        status = "show replica status" if self.cluster.backend == "mysql" else "show all slaves status"
        self.assertEqual(self.cluster.server_rows(self.tablet(uid), status), ())
        for left in ("restore", "replaced", ".restore"):
            self.assertFalse(os.path.exists(self.folder(uid, left)), left)

    def test_8_b_incremental_backups_and_points_between(self):
        self.ctl("ApplySchema", "--sql", "create table p(id int primary key)", "commerce")
        full = self.manifest(self.backups()[-1])
        cls = type(self)
        cls.marks = {}
        with self.cluster.server(self.tablet(100), "commerce") as connection, connection.cursor() as cursor:
            cls.marks[1] = self.mark(cursor, 1)
            cls.marks[2] = self.mark(cursor, 2)
            self.assert_in_service(102, "rdonly")
            first = self.incremental(102)
            self.assertEqual((first["Incremental"], first["FromPosition"], first["FromBackup"], first["Position"]),
                             (True, full["Position"], full["BackupName"], cls.marks[2][1]))
            cls.marks[3] = self.mark(cursor, 3)
        self.assert_in_service(101, "replica")
        # Another tablet's logs go on from there.
        second = self.incremental(101, first["BackupName"])
        self.assertEqual((second["FromPosition"], second["Position"]), (first["Position"], cls.marks[3][1]))
        self.assertIn("nothing to back up", self.ctl("Backup", "--incremental-from-pos", "auto", "zone1-102"))
        self.assertEqual(self.backups()[-2:], [first["BackupName"], second["BackupName"]])
        self.assertEqual({row[0] for row in self.cluster.server_rows(self.tablet(102), "select id from p")}, {1, 2, 3})

    def test_8_c_a_restore_to_a_position(self):
        output = self.ctl("RestoreFromBackup", "--dry-run", "--restore-to-pos", self.marks[3][1], "zone1-101")
        self.assertRegex(output, r"would restore backup \S+ .*, with 2 incremental ones, to position .* parts are whole")
        self.ctl("RestoreFromBackup", "--restore-to-pos", self.marks[1][1], "zone1-101")
        self.assert_point(101, [1])
        self.assertEqual(self.position(101, "gtid_slave_pos"), self.marks[1][1])
        self.kill_tablet(101)
        self.restart_tablet(101)
        wait_until(lambda: self.cluster.vars(self.tablet(101)).get("TabletType") == "drained", "101 to be there", 30)
        self.assert_point(101, [1])
        # A reparent of the shard does not concern it, a plain restore ends it.
        self.ctl("RestoreFromBackup", "zone1-101")
        wait_until(lambda: len(self.cluster.server_rows(self.tablet(101), "select id from p")) == 3, "101 to replicate", 30)
        self.ctl("ChangeTabletType", "zone1-101", "replica")
        self.assert_in_service(101, "replica")

    def test_8_d_a_restore_to_a_time(self):
        to_time = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(self.marks[3][0]))
        self.ctl("RestoreFromBackup", "--restore-to-timestamp", to_time, "zone1-101")
        self.assert_point(101, [1, 2])
        self.ctl("StartReplication", "zone1-101")
        wait_until(lambda: len(self.cluster.server_rows(self.tablet(101), "select id from p")) == 3, "101 to replicate", 30)
        self.ctl("ChangeTabletType", "zone1-101", "replica")
        self.assert_in_service(101, "replica")

    def test_8_e_a_damaged_piece_is_named_and_nothing_changes(self):
        name = self.backups()[-1]
        path = self.cluster.path("backups", "commerce", "0", name, "0")
        with open(path, "rb") as file:
            whole = file.read()
        with open(path, "wb") as file:
            file.write(whole[:20] + bytes([whole[20] ^ 1]) + whole[21:])
        try:
            self.assert_command_fails(rf"part 0 of backup commerce/0/{name}.* is altered", "RestoreFromBackup", "--restore-to-pos",
                                      self.marks[3][1], "zone1-101")
            self.assert_in_service(101, "replica")
            self.assertFalse(os.path.exists(self.folder(101, "restore")))
        finally:
            with open(path, "wb") as file:
                file.write(whole)

    def test_8_f_a_backup_is_verified(self):
        output = self.ctl("VerifyBackup", "zone1-102")
        self.assertIn("verified: all 2 tables of vt_commerce are what tablet zone1-0000000102 has", output)
        self.assertEqual(self.cluster.vars(self.tablet(102))["BackupVerifications"], {"good": 1})
        with self.cluster.server(self.tablet(102), "commerce") as connection, connection.cursor() as cursor:
            self.write_here_alone(cursor)
            cursor.execute("update t set v = concat(v, '!') order by id limit 1")
            self.assert_command_fails("differs from tablet zone1-0000000102 in 1 of 2 tables: `vt_commerce`.`t`", "VerifyBackup",
                                      "zone1-102")
            self.write_here_alone(cursor)
            cursor.execute("update t set v = left(v, length(v) - 1) order by id limit 1")
        self.assertFalse(os.path.exists(self.folder(102, "restore")))
        self.assert_in_service(102, "rdonly")

    def test_9_a_backups_are_removed(self):
        names = self.backups()
        done = subprocess.run([f"{BIN}/vtctlclient", "--server", f"127.0.0.1:{self.cluster.addresses['vtctld']['grpc']}",
                               "RemoveBackup", "commerce/0", names[0]], capture_output=True, text=True, check=False)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(self.backups(), names[1:])
        self.assertEqual(self.ctl("GetBackups", "--limit", "1", "commerce/0").split(), names[-1:])
        self.assert_command_fails("there is no backup", "RemoveBackup", "commerce/0", names[0])


    def vtbackup(self, *flags, shard="0"):
        """The program, with a folder of its own for its server; which is gone again at the end. Its exit code and last line."""
        root = self.cluster.path("vtbackup")
        os.makedirs(root, exist_ok=True)
        done = subprocess.run([f"{BIN}/vtbackup", *self.cluster.topo_flags(), "--init-keyspace", "commerce", "--init-shard", shard,
                               "--file-backup-storage-root", self.cluster.path("backups"), "--mysql-port",
                               str(self.cluster.ports.take()), *flags],
                              env={**os.environ, **self.cluster.environment_of(None), "VTDATAROOT": root}, capture_output=True,
                              text=True, check=False, timeout=120)
        self.assertEqual(os.listdir(root), [], done.stderr)
        return done.returncode, done.stderr.strip().rpartition("\n")[2]

    def test_9_b_a_program_makes_the_next_one(self):
        names = self.backups()
        for flags in (("--min-backup-interval", "1h"), ("--initial-backup",)):
            self.assertEqual(self.vtbackup(*flags)[0], 0)
            self.assertEqual(self.backups(), names)
        code, text = self.vtbackup(shard="80-")
        self.assertEqual(code, 1)
        self.assertIn("there is no backup of commerce/80-", text)
        with self.cluster.connect("commerce") as connection, connection.cursor() as cursor:
            cursor.execute("insert into t(v) values ('behind all other backups')")
        code, text = self.vtbackup("--min-retention-time", "1s")
        self.assertEqual(code, 0, text)
        new, = self.backups()
        self.assertRegex(new, r"\.vtbackup-\d+$")
        self.ctl("RestoreFromBackup", "zone1-101")
        self.assert_in_service(101, "replica")
        self.assertEqual(self.cluster.vars(self.tablet(101))["RestorePosition"], self.manifest(new)["Position"])

    def test_9_c_and_the_first_one(self):
        code, text = self.vtbackup("--initial-backup", shard="80-")
        self.assertEqual(code, 0, text)
        name, = os.listdir(self.cluster.path("backups", "commerce", "80-"))  # No topology knows that shard yet.
        with open(self.cluster.path("backups", "commerce", "80-", name, "MANIFEST"), encoding="utf-8") as file:
            manifest = json.load(file)
        self.assertEqual((manifest["Shard"], manifest["TabletAlias"]), ("80-", name.rpartition(".")[2]))
        self.assertRegex(manifest["Position"], self.cluster.words.position)


if __name__ == "__main__":
    main()
