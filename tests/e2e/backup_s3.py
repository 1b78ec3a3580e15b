"""Backups in a bucket of a real S3 server (s3rver, from npm's registry, which checks signatures): the conformance tests of
storages, a backup and restores by it, and a storage that goes away. Left out, with the reason, where the server cannot be had.
"""

import os
import shutil
import socket
import subprocess
import sys
import time

from support import BIN, Cluster, ClusterTest, main, wait_until

VERSION = "3.7.1"
FOLDER = os.path.join(os.path.dirname(BIN), "tests", "s3rver")
PROGRAM = os.path.join(FOLDER, "node_modules", ".bin", "s3rver")
KEYS = {"AWS_ACCESS_KEY_ID": "S3RVER", "AWS_SECRET_ACCESS_KEY": "S3RVER", "AWS_SHARED_CREDENTIALS_FILE": "/dev/null"}


def why_not():
    """Why there is no server here; installs it."""
    if shutil.which("npm") is None:
        return "npm is not installed (./dev deps)"
    if os.path.exists(PROGRAM):
        return ""
    os.makedirs(FOLDER, exist_ok=True)
    done = subprocess.run(["npm", "install", "--prefix", FOLDER, "--ignore-scripts", "--no-audit", "--no-fund", "--fetch-retries=2",
                           f"s3rver@{VERSION}"], capture_output=True, text=True, timeout=150, check=False, stdin=subprocess.DEVNULL)
    return "" if done.returncode == 0 else f"npm could not fetch s3rver {VERSION}:\n{done.stderr}"


class BucketCluster(Cluster):
    endpoint = ""

    def backup_flags(self):
        return ["--backup-storage-implementation", "s3", "--s3-backup-aws-endpoint", self.endpoint, "--s3-backup-storage-bucket",
                "backups", "--s3-backup-storage-root", "all/of them", "--s3-backup-force-path-style", "--s3-backup-aws-retries", "1"]

    def environment(self):
        return {**super().environment(), **KEYS}


def answers(port):
    with socket.create_connection(("127.0.0.1", port), 1):
        return True


class BucketTest(ClusterTest):
    cluster_class = BucketCluster

    @classmethod
    def prepare(cls):
        cluster = cls.cluster
        cls.port = cluster.ports.take()
        cluster.endpoint = f"http://127.0.0.1:{cls.port}"
        os.makedirs(cluster.path("logs"), exist_ok=True)
        cls.start_storage()
        cluster.start_vtctld()
        cluster.vtctldclient("CreateKeyspace", "--durability-policy", "none", "commerce")
        cluster.add_shard("commerce", "0", 100, ("replica", "replica"))
        cluster.vtctldclient("ApplySchema", "--sql", "create table t(id bigint auto_increment primary key, v text)", "commerce")
        with cluster.server(cluster.tablets[100], "commerce") as connection, connection.cursor() as cursor:
            cursor.execute("insert into t(v) select repeat(md5(seq), 100) from seq_1_to_5000")

    @classmethod
    def start_storage(cls):
        cls.cluster.start("s3", [PROGRAM, "-d", cls.cluster.path("bucket"), "-a", "127.0.0.1", "-p", str(cls.port),
                                 "--configure-bucket", "backups"], lambda: answers(cls.port))

    def stop_storage(self):
        process = self.cluster.processes["s3"]
        process.kill(9)
        process.wait_ended(10)

    def backups(self):
        return self.ctl("GetBackups", "commerce/0").split()

    def assert_in_service(self, uid):
        tablet = self.cluster.tablets[uid]
        wait_until(lambda: self.cluster.vars(tablet).get("TabletStateName") == "SERVING", f"{uid} to serve", 30)
        want = self.cluster.server_rows(self.cluster.tablets[100], "select count(*), sum(crc32(v)) from t")
        wait_until(lambda: self.cluster.server_rows(tablet, "select count(*), sum(crc32(v)) from t") == want, "all rows", 30)

    def test_1_it_is_a_storage_like_the_others(self):
        done = subprocess.run([os.path.join(os.path.dirname(BIN), "tests", "backup_test"), "--gtest_filter=ByEnvironment/*"],
                              env={**os.environ, **KEYS, "VITRAIL_S3_ENDPOINT": self.cluster.endpoint, "VITRAIL_S3_BUCKET": "backups"},
                              capture_output=True, text=True, timeout=60, check=False)
        self.assertEqual(done.returncode, 0, done.stdout[-3000:])
        self.assertRegex(done.stdout, r"PASSED.* [1-9]\d* tests")

    def test_2_a_backup_and_a_restore(self):
        self.assertRegex(self.ctl("Backup", "zone1-101"), r"in bucket backups of 127.0.0.1.*\n(.*\n)*.* is complete")
        self.assertEqual(len(self.backups()), 1)
        with self.cluster.server(self.cluster.tablets[100], "commerce") as connection, connection.cursor() as cursor:
            cursor.execute("insert into t(v) values ('later')")
        self.assert_in_service(101)
        self.ctl("Backup", "--incremental-from-pos", "auto", "zone1-101")
        self.assertIn("restored", self.ctl("RestoreFromBackup", "zone1-101"))
        self.assert_in_service(101)

    def test_3_a_storage_that_goes_away(self):
        before = self.backups()
        self.stop_storage()
        began = time.monotonic()
        self.assert_command_fails("127.0.0.1:\\d+: Connection refused", "Backup", "zone1-101")
        self.assert_command_fails("Connection refused", "GetBackups", "commerce/0")
        self.assertLess(time.monotonic() - began, 60)
        self.assert_in_service(101)
        type(self).start_storage()
        self.assertEqual(self.backups(), before)
        self.assertIn("restored", self.ctl("RestoreFromBackup", "zone1-101"))
        self.assert_in_service(101)

    def test_4_backups_are_removed(self):
        for name in self.backups():
            self.ctl("RemoveBackup", "commerce/0", name)
        self.assertEqual(self.backups(), [])
        left = [name for _, _, names in os.walk(self.cluster.path("bucket")) for name in names if name == "MANIFEST"]
        self.assertEqual(left, [])


if __name__ == "__main__":
    if reason := why_not():
        print(f"left out: {reason}")
        sys.exit(77)
    main()
