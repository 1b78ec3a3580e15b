"""What the benchmarks share: a cluster with room, sysbench, CPU time of processes, and a place that is cleaned up."""

import contextlib
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile

from vitrail.cluster import Cluster
from vitrail.processes import Failure, Process, port_is_free, wait_until

TICKS = os.sysconf("SC_CLK_TCK")

# Not durable, on purpose: the disks of a test machine are not what is measured.
ROOMY_SERVER = """[mysqld]
innodb_buffer_pool_size = {pool}
innodb_log_file_size = 512M
innodb_flush_log_at_trx_commit = 2
sync_binlog = 0
innodb_flush_method = fsync
performance_schema = OFF
table_open_cache = 2000
max_connections = 1000
"""


class BenchCluster(Cluster):
    """Shards of one tablet each, with more memory than those of a demo."""

    def __init__(self, root, pool="512M", kinds=("replica",), programs=Cluster.programs):
        super().__init__(root)
        self.pool, self.kinds, self.programs = pool, kinds, programs

    def environment(self):
        path = self.path("roomy.cnf")
        if not os.path.exists(path):
            with open(path, "w", encoding="utf-8") as file:
                file.write(ROOMY_SERVER.format(pool=self.pool))
        return {"VTDATAROOT": self.root, "EXTRA_MY_CNF": path}

    def add_shard(self, keyspace, shard, first_uid, kinds=None, note=lambda text: None):
        return super().add_shard(keyspace, shard, first_uid, kinds or self.kinds, note)

    def start_vtgate(self, *extra, name="vtgate"):
        super().start_vtgate("--gateway-initial-tablet-timeout", "1s", *extra, name=name)

    def server_pid(self, tablet):
        with open(self.path(f"vt_{tablet.uid:010d}", "mysql.pid"), encoding="utf-8") as file:
            return int(file.read())


@contextlib.contextmanager
def bench_cluster(kind=BenchCluster, **options):
    """A cluster in a temporary folder, stopped and removed at the end. The folder is kept after a failure."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    root = tempfile.mkdtemp(prefix="vitrail-bench-")
    cluster = kind(root, **options)
    try:
        yield cluster
    except BaseException:
        cluster.down()
        print(f"The logs are in {cluster.path('logs')}.", file=sys.stderr)
        raise
    problems = cluster.down()
    if problems:
        raise Failure("; ".join(problems))
    shutil.rmtree(root)


def note(text):
    print(text, file=sys.stderr, flush=True)


def cpu_seconds(pid):
    """User and system time of a process so far."""
    with open(f"/proc/{pid}/stat", encoding="utf-8") as file:
        fields = file.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


class CpuMeter:
    """CPU time of some processes, and of the children that ended, over a stretch of time."""

    def __init__(self, pids):
        self.pids = pids  # name -> pid

    def start(self):
        self.before = {name: cpu_seconds(pid) for name, pid in self.pids.items()}

    def stop(self):
        return {name: cpu_seconds(pid) - self.before[name] for name, pid in self.pids.items()}


class HaproxyChain:
    """`hops` HAProxy processes in TCP mode, one behind the other, in front of a server's port."""

    def __init__(self, cluster, port, hops=2):
        self.processes = []
        target = port
        for hop in reversed(range(hops)):
            listen = cluster.ports.take()
            path = cluster.path(f"haproxy-{hop}.cfg")
            with open(path, "w", encoding="utf-8") as file:
                file.write(f"""global
  nbthread 1
  maxconn 2000
defaults
  mode tcp
  timeout connect 5s
  timeout client 1h
  timeout server 1h
frontend in
  bind 127.0.0.1:{listen}
  default_backend out
backend out
  server next 127.0.0.1:{target}
""")
            process = Process(f"haproxy-{hop}", ["haproxy", "-db", "-f", path], cluster.path("logs", f"haproxy-{hop}.log"))
            process.start()
            cluster.processes[process.name] = process  # Stopped with the cluster.
            wait_until(lambda p=listen: not port_is_free(p), f"haproxy-{hop} to listen", 10)
            self.processes.insert(0, process)
            target = listen
        self.port = target


def sysbench(workload, command, port, database, user, tables, rows, threads=1, seconds=0, extra=(), ps_mode="auto"):
    """Runs sysbench. For "run": {"queries", "events", "seconds", "qps", "p50_ms", "p99_ms", "errors", "cpu_s"}."""
    argv = ["sysbench", workload, "--mysql-host=127.0.0.1", f"--mysql-port={port}", f"--mysql-user={user}",
            f"--mysql-db={database}", f"--tables={tables}", f"--table-size={rows}", f"--threads={threads}",
            f"--db-ps-mode={ps_mode}", *extra]
    if command == "run":
        argv += [f"--time={seconds}", "--histogram=on", "--percentile=99", "--mysql-ignore-errors=1213,1020,1205"]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run([*argv, command], capture_output=True, text=True, timeout=600 + 4 * seconds, check=False)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode != 0:
        raise Failure(f"sysbench {workload} {command} on port {port} failed:\n{(done.stdout + done.stderr)[-2000:]}")
    if command != "run":
        return None
    text = done.stdout

    def number(pattern):
        found = re.search(pattern, text)
        if not found:
            raise Failure(f"sysbench printed no {pattern!r}:\n{text[-2000:]}")
        return float(found.group(1))
    elapsed = number(r"total time:\s+([\d.]+)s")
    histogram = [(float(ms), int(count)) for ms, count in re.findall(r"(?m)^\s*([\d.]+) \|[^|\n]*?(\d+)\s*$", text)]
    return {"queries": number(r"queries:\s+(\d+)"), "events": number(r"transactions:\s+(\d+)"), "seconds": elapsed,
            "qps": number(r"queries:\s+(\d+)") / elapsed, "errors": number(r"ignored errors:\s+(\d+)"),
            "histogram": histogram,
            "cpu_s": after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime}


def percentile(histogram, share):
    """Of (value, count) pairs."""
    total = sum(count for _, count in histogram)
    seen = 0
    for value, count in sorted(histogram):
        seen += count
        if seen >= total * share:
            return value
    return 0.0


def table(header, rows):
    """Text with aligned columns."""
    cells = [header, *[[str(cell) for cell in row] for row in rows]]
    widths = [max(len(row[i]) for row in cells) for i in range(len(header))]
    return "\n".join("  ".join(cell.ljust(width) if i < 2 else cell.rjust(width)
                               for i, (cell, width) in enumerate(zip(row, widths))) for row in cells)
