"""A primary whose disk is full, which has a file system of its own. Its server answers then and lets commits wait: vtorc sees it by what
the tablet tells of its disk, and gives the shard another primary. Nothing that was acknowledged is lost, and who has room again comes
back by itself, though its server counts transactions that it could not write. A backup that finds no room leaves the older one usable.
"""

import contextlib
import ctypes
import os
import shutil
import subprocess
import sys
import threading
import time

import pymysql
from support import Failure, main, wait_until
from vtorc import GuardedShard

from vitrail import backend
from vitrail.cluster import Cluster

SIZE = "320m"  # Of a server's file system.
BACKUPS = "48m"
CLONE_NEWNS = 0x20000


def why_not():
    """Why this cannot be tried here; None where it can. This process has mounts of its own from then on."""
    if backend.wanted() == "mysql":
        return "MySQL takes nothing back by itself: the old primary would stay out"
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWNS) != 0:
        return f"no mounts of its own: {os.strerror(ctypes.get_errno())}"
    for argv in (["mount", "--make-rprivate", "/"], ["mount", "-t", "tmpfs", "-o", "size=1m", "none", "/mnt"], ["umount", "/mnt"]):
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            return f"{' '.join(argv)}: {done.stderr.strip()}"
    return None


def fill(folder):
    """A file that takes all the room there is."""
    path = os.path.join(folder, "filler")
    file = os.open(path, os.O_WRONLY | os.O_CREAT)
    for size in (1 << 20, 4096, 1):
        with contextlib.suppress(OSError):
            while True:
                os.write(file, b"x" * size)
    os.close(file)
    return path


class Writers:
    """Insert rows one after the other; they know which were acknowledged, and how long each statement took."""

    def __init__(self, cluster, threads=3):
        self.cluster, self.lock, self.stopping = cluster, threading.Lock(), threading.Event()
        self.acknowledged, self.errors, self.longest = set(), [], 0
        self.threads = [threading.Thread(target=self.work, args=(n,), daemon=True) for n in range(threads)]
        for thread in self.threads:
            thread.start()

    def work(self, number):
        count = 0
        while not self.stopping.is_set():
            count += 1
            name, began, told = f"{number}-{count}", time.monotonic(), None
            try:
                with self.cluster.connect("commerce") as connection, connection.cursor() as cursor:
                    cursor.execute("insert into t(v) values (%s)", (name + " " + "x" * 2000,))
            except pymysql.MySQLError as error:
                told = error
            with self.lock:
                self.longest = max(self.longest, time.monotonic() - began)
                if told is None:
                    self.acknowledged.add(name)
                else:
                    self.errors.append(told)

    def stop(self):
        self.stopping.set()
        for thread in self.threads:
            thread.join(90)


class SmallDisks(Cluster):
    """Some of its folders are file systems of their own."""

    def mount(self, name, size):
        os.makedirs(self.path(name))
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "none", self.path(name)], check=True)
        self.mounted = (*getattr(self, "mounted", ()), name)

    def down(self):
        problems = super().down()
        errors = self.path("vt_0000000100", "error.log")
        if os.path.exists(errors):
            shutil.copy(errors, self.path("logs", "vt_0000000100.error.log"))
        for name in self.mounted:
            subprocess.run(["umount", "-l", self.path(name)], check=False)
        return problems


class FullDiskTest(GuardedShard):
    cluster_class = SmallDisks

    @classmethod
    def prepare(cls):
        cls.cluster.mount("vt_0000000100", SIZE)
        cls.cluster.mount("backups", BACKUPS)
        super().prepare()

    def names(self):
        return {v.partition(" ")[0] for v, in self.rows("select v from t", "commerce")}

    def new_primary(self, old):
        wait_until(lambda: self.primary() != old, "another primary", 60)
        return self.primary()

    def test_1_a_full_disk_of_the_primary(self):
        self.wait_healthy()
        self.assertEqual(self.primary(), 100)
        writers = Writers(self.cluster)
        try:
            wait_until(lambda: len(writers.acknowledged) > 10, "the writers to begin", 30)
            began = time.monotonic()
            filler = fill(self.cluster.path("vt_0000000100"))
            wait_until(lambda: self.cluster.vars(self.tablet(100))["DiskStalled"] == 1, "the tablet to see it", 30)
            seen = time.monotonic() - began
            new = self.new_primary(100)
            before = len(writers.acknowledged)
            wait_until(lambda: len(writers.acknowledged) > before + 10, "writes to go on", 60)
            print(f"\nfull disk: seen after {seen:.1f} s, written again after {time.monotonic() - began:.1f} s", flush=True)
            self.assertIn(new, (101, 102))
            self.assertEqual(self.recoveries("RecoverPrimaryDiskStalled"), 1)
            # There is room again: it follows, and has what the others have. It may look for room once a minute only.
            os.unlink(filler)
            wait_until(lambda: self.cluster.vars(self.tablet(100))["DiskStalled"] == 0, "the tablet to see that there is room", 30)
        finally:
            writers.stop()
        self.assertFalse(any(thread.is_alive() for thread in writers.threads))
        self.assertLess(writers.longest, 60)  # An answer to each, in the end.
        self.assertEqual(writers.acknowledged - self.names(), set())
        wait_until(lambda: not self.problems(1) and not self.problems(2), "the old primary to follow", 100)
        self.wait_healthy()
        self.assertEqual(self.primary(), new)

    def test_2_backups_without_room(self):
        replica = f"zone1-{self.replicas()[-1]}"
        self.ctl("Backup", replica)
        (kept,) = self.ctl("GetBackups", "commerce/0").split()
        filler = fill(self.cluster.path("backups"))
        with self.assertRaisesRegex(Failure, "No space left on device"):
            self.ctl("Backup", replica)
        self.assertEqual(self.ctl("GetBackups", "commerce/0").split(), [kept])
        self.wait_healthy()
        os.unlink(filler)
        self.ctl("RestoreFromBackup", replica)
        self.wait_healthy()
        self.ctl("Backup", replica)
        self.assertEqual(len(self.ctl("GetBackups", "commerce/0").split()), 2)


if __name__ == "__main__":
    reason = why_not()
    if reason:
        print(f"left out: {reason}")
        sys.exit(77)
    main()
