"""What the end-to-end tests share: a cluster that is stopped whatever happens, records as text, and refusals.

A test prints where its data lies and the ends of its logs when it fails; when it succeeds, its folder is removed.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import unittest

REPOSITORY = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(REPOSITORY, "tools"))

import pymysql  # noqa: E402

from vitrail import backend  # noqa: E402
from vitrail.cluster import BIN, Cluster  # noqa: E402
from vitrail.kubernetes import Kubernetes  # noqa: E402
from vitrail.local_example import LocalExample  # noqa: E402
from vitrail.processes import SLOWNESS, Failure, http_get, wait_until  # noqa: E402

LOG_LINES = 12


def guard(root):
    """Stops the cluster in `root` when this process ends without having done so, even by SIGKILL: a detached process
    waits for its end.
    """
    subprocess.run([sys.executable, os.path.abspath(__file__), "--guard", root, str(os.getpid())], check=True)


def run_guard(root, pid):
    if os.fork() != 0:
        os._exit(0)
    os.setsid()
    with open(os.devnull, "r+b") as nothing:
        for descriptor in (0, 1, 2):
            os.dup2(nothing.fileno(), descriptor)
    try:
        watched = os.pidfd_open(pid)
    except ProcessLookupError:
        watched = None
    if watched is not None:
        import select
        select.select([watched], [], [])
    for kind in (Cluster, Kubernetes, LocalExample):
        cluster = kind.load(root)
        if cluster is not None:
            cluster.down()


class Deadline(Exception):
    pass


def limit_time():
    """An end before ctest's own, so that there is time to stop what runs."""
    def too_late(*_):
        raise Deadline("the test took longer than VITRAIL_TEST_SECONDS")
    signal.signal(signal.SIGALRM, too_late)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    signal.alarm(int(os.environ.get("VITRAIL_TEST_SECONDS", "600")))


def sanitizer_findings(folder):
    """Lines of the programs' logs in which a sanitizer tells what it found (./dev test --preset asan)."""
    marks = ("ERROR: AddressSanitizer", "WARNING: ThreadSanitizer", ": runtime error: ")
    out = []
    for name in sorted(os.listdir(folder)) if os.path.isdir(folder) else []:
        with open(os.path.join(folder, name), encoding="utf-8", errors="replace") as file:
            out += [f"{name}: {line.strip()}" for line in file if any(mark in line for mark in marks)]
    return out


class ClusterTest(unittest.TestCase):
    """A test on one cluster for the whole class. Subclasses fill it in `prepare`."""

    cluster_class = Cluster
    in_order = False  # Each test goes on from what the one before has left: after a failure the rest is skipped.
    maxDiff = None

    @classmethod
    def setUpClass(cls):
        cls.failed = True
        cls.root = tempfile.mkdtemp(prefix="vitrail-e2e-")
        cls.addClassCleanup(cls.clean)
        guard(cls.root)
        cls.cluster = cls.cluster_class(cls.root)
        cls.prepare()
        cls.failed = False

    @classmethod
    def prepare(cls):
        raise NotImplementedError

    def run(self, result=None):
        if self.in_order and type(self).failed:
            result.startTest(self)
            result.addSkip(self, "builds upon a test that failed")
            result.stopTest(self)
            return
        before = len(result.failures) + len(result.errors)
        super().run(result)
        if len(result.failures) + len(result.errors) > before:
            type(self).failed = True

    @classmethod
    def clean(cls):
        signal.alarm(0)
        cluster = getattr(cls, "cluster", None)
        problems = cluster.down() if cluster is not None else []
        problems += sanitizer_findings(os.path.join(cls.root, "logs"))
        if cls.failed or problems:
            print("\n".join(problems), file=sys.stderr)
            cls.print_logs()
            print(f"--- everything is in {cls.root}", file=sys.stderr)
        else:
            shutil.rmtree(cls.root)
        assert not problems, problems

    @classmethod
    def print_logs(cls):
        logs = os.path.join(cls.root, "logs")
        for name in sorted(os.listdir(logs)) if os.path.isdir(logs) else []:
            with open(os.path.join(logs, name), encoding="utf-8", errors="replace") as file:
                lines = file.readlines()[-LOG_LINES:]
            print(f"--- the end of {name}\n" + "".join(lines), end="", file=sys.stderr)

    # --- commands ---
    def ctl(self, *args):
        return self.cluster.vtctldclient(*args)

    def assert_command_fails(self, pattern, *args):
        with self.assertRaisesRegex(Failure, pattern):
            self.ctl(*args)

    def run_program(self, argv, seconds=30, env=None):
        """(exit code, everything it printed) of a program that should end by itself."""
        process = subprocess.Popen([str(a) for a in argv], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                   stderr=subprocess.STDOUT, env=env, text=True)
        try:
            output, _ = process.communicate(timeout=seconds * SLOWNESS)
        except subprocess.TimeoutExpired:
            process.kill()
            output, _ = process.communicate()
            self.fail(f"{argv[0]} did not end within {seconds} s; it printed:\n{output}")
        return process.returncode, output

    def mysql_client(self, text, *args, port=None, user="demo"):
        """Runs the stock client on a script; returns (exit code, standard output, standard error)."""
        done = subprocess.run(["mysql", "--no-defaults", "--host=127.0.0.1", f"--user={user}",
                               f"--port={port or self.cluster.addresses['vtgate']['mysql']}", *args],
                              input=text, capture_output=True, text=True, timeout=60 * SLOWNESS, check=False)
        return done.returncode, done.stdout, done.stderr

    # --- SQL ---
    def rows(self, sql, database=None, arguments=None):
        """Through vtgate, on a connection of its own. Bytes that are text become text."""
        with self.cluster.connect(database) as connection, connection.cursor() as cursor:
            cursor.execute(sql, arguments)
            return texts(cursor.fetchall())

    def assert_refused(self, numbers, pattern, action):
        """`action` fails with an error of the server: its number and text."""
        numbers = numbers if isinstance(numbers, tuple) else (numbers,)
        with self.assertRaises(pymysql.MySQLError) as caught:
            action()
        number, text = (list(caught.exception.args) + [0, ""])[:2]
        self.assertIn(number, numbers, f"{caught.exception!r}")
        self.assertRegex(text, pattern)

    def assert_sql_refused(self, numbers, pattern, sql, database=None):
        self.assert_refused(numbers, pattern, lambda: self.rows(sql, database))

    def eventually(self, check, seconds=10):
        """Repeats an assertion until it holds: for what reaches another process in its own time."""
        failure = []

        def holds():
            try:
                check()
                return True
            except (AssertionError, pymysql.MySQLError) as error:
                failure[:] = [error]
                return False
        try:
            wait_until(holds, "an assertion to hold", seconds)
        except Failure:
            raise failure[0] from None

    # --- records ---
    def record(self, path):
        """The text form of a record of the topology, one line."""
        return json.loads(self.ctl("GetTopologyPath", path))["data"]

    def children(self, path):
        try:
            return json.loads(self.ctl("GetTopologyPath", path))["children"]
        except Failure:
            return []

    def shard_record(self, keyspace, shard):
        return self.record(f"/global/keyspaces/{keyspace}/shards/{shard}/Shard")

    def srv_keyspace(self, keyspace):
        return self.record(f"/{self.cluster.cell}/keyspaces/{keyspace}/SrvKeyspace")

    def routing_rules(self):
        rules = json.loads(self.ctl("GetRoutingRules")).get("rules") or []
        return {rule["from_table"]: rule["to_tables"] for rule in rules}

    def everything_recorded(self):
        """All records that a switch could change."""
        out = {"rules": self.routing_rules()}
        for keyspace in self.children("/global/keyspaces"):
            out[f"vschema {keyspace}"] = json.loads(self.ctl("GetVSchema", keyspace))
            out[f"serving {keyspace}"] = self.srv_keyspace(keyspace)
            for shard in self.children(f"/global/keyspaces/{keyspace}/shards"):
                out[f"shard {keyspace}/{shard}"] = self.shard_record(keyspace, shard)
        return out

    def second_vtctld(self):
        """Another vtctld, which lives on when the first one dies."""
        cluster = self.cluster
        if "vtctld2" in cluster.processes:
            return
        port, grpc = cluster.ports.take(0), cluster.ports.take(0)
        cluster.addresses["vtctld2"] = {"port": port, "grpc": grpc}
        cluster.start("vtctld2", [f"{BIN}/vtctld", *cluster.topo_flags(), "--cell", cluster.cell, "--port", port,
                                  "--grpc-port", grpc, "--bind-address", "127.0.0.1", "--grpc-bind-address", "127.0.0.1"],
                      lambda: http_get(port, "/debug/vars"))

    def via_second(self, *args):
        return self.run_program([f"{BIN}/vtctldclient", "--server",
                                 f"127.0.0.1:{self.cluster.addresses['vtctld2']['grpc']}", *args])

    def restart_vtctld(self, *extra):
        """vtctld with other flags, on the same ports. Extra flags of an earlier call are forgotten."""
        process = self.cluster.processes["vtctld"]
        process.stop()
        argv = getattr(self.cluster, "vtctld_argv", None) or process.argv
        self.cluster.vtctld_argv = argv
        port = self.cluster.addresses["vtctld"]["port"]
        return self.cluster.start("vtctld", [*argv, *extra], lambda: http_get(port, "/debug/vars"))


def texts(rows):
    return [tuple(v.decode() if isinstance(v, bytes) else v for v in row) for row in rows]


def main():
    if backend.wanted() == "mysql" and backend.without_mysql():
        print(f"left out: {backend.without_mysql()}")
        sys.exit(77)
    limit_time()
    unittest.main(verbosity=2)


if __name__ == "__main__" and sys.argv[1:2] == ["--guard"]:
    run_guard(sys.argv[2], int(sys.argv[3]))
