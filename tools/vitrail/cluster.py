"""A whole cluster on one machine: the real programs, on free ports, in one folder."""

import concurrent.futures
import json
import os
import subprocess
import threading
import time

import pymysql

from vitrail import backend
from vitrail.processes import Failure, Ports, Process, http_get, http_json, wait_until

REPOSITORY = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BIN = os.environ.get("VITRAIL_BIN", os.path.join(REPOSITORY, "build", "bin"))

# One server of a demo needs little. Each kind reads the group that bears its name.
SMALL_SERVER = """[mysqld]
innodb_buffer_pool_size = 64M
innodb_flush_method = fsync
key_buffer_size = 1M
performance_schema = OFF
table_open_cache = 200
innodb_flush_log_at_trx_commit = 2
sync_binlog = 0
loose_innodb_redo_log_capacity = 96M
[mariadb]
innodb_log_file_size = 48M
aria_pagecache_buffer_size = 1M
"""


class Tablet:
    def __init__(self, cell, uid, keyspace, shard, kind, ports, backend="mariadb"):
        self.cell, self.uid, self.keyspace, self.shard, self.kind, self.ports = cell, uid, keyspace, shard, kind, ports
        self.backend = backend

    @property
    def alias(self):
        return f"{self.cell}-{self.uid:010d}"

    @property
    def name(self):
        return f"vttablet-{self.uid}"

    @property
    def server_name(self):
        return ("mysqld-" if self.backend == "mysql" else "mariadbd-") + str(self.uid)

    @property
    def database(self):
        """The keyspace's database on the server: its default name."""
        return f"vt_{self.keyspace}"


class Cluster:
    """Starts, knows and stops the processes of one cluster.

    root: folder of everything (data, logs, topology, cluster.json); made when absent. backend: kind of the servers of tablets
    that are added from now on (vitrail.backend); it may change in between.
    """

    tablet_flags = ()  # For every vttablet that is started from now on.
    programs = BIN  # The folder of the programs that are started from now on.

    def __init__(self, root, cell="zone1"):
        self.root, self.cell = os.path.abspath(root), cell
        self.ports = Ports()
        self.backend = backend.wanted()
        self.saving = threading.Lock()
        self.processes = {}
        self.tablets = {}
        self.addresses = {}

    @property
    def words(self):
        """What its servers call things."""
        return backend.WORDS[self.backend]

    # --- folders and files ---
    def path(self, *parts):
        return os.path.join(self.root, *parts)

    def save(self):
        state = {"cell": self.cell, "addresses": dict(self.addresses),
                 "processes": [p.to_json() for p in list(self.processes.values())],
                 "tablets": [vars(t) for t in list(self.tablets.values())]}
        temporary = self.path("cluster.json.new")
        with self.saving:
            with open(temporary, "w", encoding="utf-8") as file:
                json.dump(state, file, indent=1)
            os.replace(temporary, self.path("cluster.json"))

    @staticmethod
    def load(root):
        cluster = Cluster(root)
        try:
            with open(cluster.path("cluster.json"), encoding="utf-8") as file:
                state = json.load(file)
        except FileNotFoundError:
            return None
        cluster.cell, cluster.addresses = state["cell"], state["addresses"]
        cluster.processes = {p["name"]: Process.from_json(p) for p in state["processes"]}
        cluster.tablets = {t["uid"]: Tablet(**t) for t in state["tablets"]}
        return cluster

    def backup_flags(self):
        return ["--backup-storage-implementation", "file", "--file-backup-storage-root", self.path("backups")]

    # --- processes ---
    topo_kind = "sqlite"

    def topo_address(self):
        return self.path("topo", "topo.db")

    def start_topology(self):
        """Whatever has to run before vtctld."""

    def topo_flags(self):
        return ["--topo-implementation", self.topo_kind, "--topo-global-server-address", self.topo_address(),
                "--topo-global-root", "/vitess/global"]

    def environment(self):
        return {"VTDATAROOT": self.root, "EXTRA_MY_CNF": self.path("small.cnf")}

    def environment_of(self, tablet):
        """With what leads to the kind of server that this tablet (None: any that comes) has."""
        return {**self.environment(), **backend.environment(tablet.backend if tablet is not None else self.backend)}

    def start(self, name, argv, ready, seconds=60):
        tablet = next((t for t in list(self.tablets.values()) if t.name == name), None)
        process = Process(name, argv, self.path("logs", name + ".log"), self.environment_of(tablet)).start()
        self.processes[name] = process
        self.save()
        process.wait_ready(ready, seconds)
        return process

    def restart(self, name, seconds=60):
        """Starts a process that was killed again, with the same command line, and waits until it answers."""
        old = self.processes[name]
        old.wait_ended(10)
        port = self.addresses[name]["port"]
        return self.start(name, old.argv, lambda: http_get(port, "/debug/vars"), seconds)

    def start_vtctld(self):
        for folder in ("topo", "logs", "backups"):
            os.makedirs(self.path(folder), exist_ok=True)
        with open(self.path("small.cnf"), "w", encoding="utf-8") as file:
            file.write(SMALL_SERVER)
        port, grpc = self.ports.take(15000), self.ports.take(15999)
        self.addresses["vtctld"] = {"port": port, "grpc": grpc}
        self.start("vtctld", [f"{self.programs}/vtctld", *self.topo_flags(), "--cell", self.cell, "--port", port, "--grpc-port", grpc,
                              "--bind-address", "127.0.0.1", "--grpc-bind-address", "127.0.0.1", *self.backup_flags()],
                   lambda: http_get(port, "/debug/vars"))
        self.vtctldclient("AddCellInfo", "--root", f"/vitess/{self.cell}", "--server-address", self.topo_address(),
                          self.cell)

    def vtctldclient(self, *args, timeout=600):
        """Standard output of a vtctldclient command; Failure with its text when it fails."""
        argv = [f"{self.programs}/vtctldclient", "--server", f"127.0.0.1:{self.addresses['vtctld']['grpc']}", *map(str, args)]
        done = subprocess.run(argv, capture_output=True, text=True, timeout=timeout, check=False)
        if done.returncode != 0:
            raise Failure(f"vtctldclient {' '.join(map(str, args))}: {(done.stderr + done.stdout).strip()}")
        return done.stdout

    def prefix_of(self, _tablet):
        """What comes before the command lines of this tablet's programs."""
        return []

    def mysqlctl(self, tablet, *args):
        argv = [*self.prefix_of(tablet), f"{self.programs}/mysqlctl", "--tablet-uid", str(tablet.uid), "--mysql-port", str(tablet.ports["mysqld"]), *args]
        done = subprocess.run(argv, capture_output=True, text=True, timeout=300, check=False,
                              env={**os.environ, **self.environment_of(tablet)})
        if done.returncode != 0:
            raise Failure(f"mysqlctl {' '.join(args)} for {tablet.alias}: {(done.stderr + done.stdout).strip()}")

    def start_tablet(self, tablet):
        ports = tablet.ports
        self.addresses[tablet.name] = {"port": ports["port"], "grpc": ports["grpc"], "mysql": ports["data"]}
        self.start(tablet.name, [
            f"{self.programs}/vttablet", *self.topo_flags(), "--tablet-path", tablet.alias, "--init-keyspace", tablet.keyspace,
            "--init-shard", tablet.shard, "--init-tablet-type", tablet.kind,
            "--tablet-hostname", "127.0.0.1", "--port", ports["port"], "--grpc-port", ports["grpc"],
            "--mysql-data-port", ports["data"], "--bind-address", "127.0.0.1", "--grpc-bind-address", "127.0.0.1",
            "--health-check-interval", "1s", *self.backup_flags(), *self.tablet_flags], lambda: http_json(ports["port"], "/debug/vars").get("TabletStateName"))

    def add_shard(self, keyspace, shard, first_uid, kinds=("replica", "replica", "rdonly"), note=lambda text: None):
        """Servers, tablets and an elected primary for one shard. The first tablet becomes the primary."""
        tablets = []
        for index, kind in enumerate(kinds):
            uid = first_uid + index
            ports = {"port": self.ports.take(15000 + uid), "grpc": self.ports.take(16000 + uid),
                     "mysqld": self.ports.take(17000 + uid), "data": self.ports.take(18000 + uid)}
            tablets.append(Tablet(self.cell, uid, keyspace, shard, kind, ports, self.backend))
            self.tablets[uid] = tablets[-1]
        self.save()
        note(f"{keyspace}/{shard}: {len(tablets)} servers")
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda t: self.mysqlctl(t, "init"), tablets))
        note(f"{keyspace}/{shard}: {len(tablets)} tablets")
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            list(pool.map(self.start_tablet, tablets))
        self.vtctldclient("PlannedReparentShard", f"{keyspace}/{shard}", "--wait-replicas-timeout", "31s",
                          "--new-primary", f"{self.cell}-{tablets[0].uid}")
        for tablet in tablets:
            wait_until(lambda t=tablet: self.vars(t)["TabletStateName"] == "SERVING", f"{tablet.alias} to serve")
        return tablets

    def vars(self, tablet):
        return http_json(tablet.ports["port"], "/debug/vars")

    def start_vtgate(self, *extra, name="vtgate"):
        port, grpc, mysql = self.ports.take(15001), self.ports.take(15991), self.ports.take(15306)
        self.addresses[name] = {"port": port, "grpc": grpc, "mysql": mysql}
        os.makedirs(self.path("sockets"), exist_ok=True)
        self.start(name, [
            f"{self.programs}/vtgate", *self.topo_flags(), "--cell", self.cell, "--cells-to-watch", self.cell,
            "--tablet-types-to-wait", "PRIMARY,REPLICA", "--port", port, "--grpc-port", grpc, "--mysql-server-port", mysql,
            "--mysql-server-socket-path", self.path("sockets", f"{name}.sock"), "--mysql-auth-server-impl", "none",
            "--bind-address", "127.0.0.1", "--grpc-bind-address", "127.0.0.1", *extra],
            lambda: http_get(port, "/debug/vars"))
        wait_until(lambda: self.vtgate_answers(name), f"{name} to answer")

    def vtgate_answers(self, name="vtgate"):
        try:
            with self.connect(vtgate=name) as connection, connection.cursor() as cursor:
                cursor.execute("select 1")
                return cursor.fetchone() == (1,)
        except pymysql.MySQLError:
            return False

    # --- connections ---
    def connect(self, database=None, vtgate="vtgate", **options):
        """A connection to vtgate."""
        return pymysql.connect(host="127.0.0.1", port=self.addresses[vtgate]["mysql"], database=database,
                               **{"user": "demo", "autocommit": True, "read_timeout": 60, "write_timeout": 60, **options})

    def server(self, tablet, database=None):
        """A connection to the tablet's own server, past vttablet: for looking at what really is there. A keyspace's name
        stands for its database."""
        if database in {t.keyspace for t in self.tablets.values()}:
            database = f"vt_{database}"
        return pymysql.connect(unix_socket=self.path(f"vt_{tablet.uid:010d}", "mysql.sock"), user="vt_dba",
                               database=database, autocommit=True)

    def server_rows(self, tablet, sql, database=None):
        with self.server(tablet, database or tablet.keyspace) as connection, connection.cursor() as cursor:
            cursor.execute(sql)
            return cursor.fetchall()

    def primary(self, keyspace, shard):
        record = json.loads(self.vtctldclient("GetShard", f"{keyspace}/{shard}"))
        return self.tablets[record["shard"]["primary_alias"]["uid"]]

    def shard_tablets(self, keyspace, shard):
        return [t for t in self.tablets.values() if (t.keyspace, t.shard) == (keyspace, shard)]

    def mysql_command(self):
        return f"mysql --host=127.0.0.1 --port={self.addresses['vtgate']['mysql']} --user=demo --table commerce"

    # --- the end ---
    def stop_shard(self, keyspace, shard):
        tablets = self.shard_tablets(keyspace, shard)
        for tablet in tablets:
            self.processes[tablet.name].kill(15)
        for tablet in tablets:
            self.processes.pop(tablet.name).stop()
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda t: self.mysqlctl(t, "shutdown"), tablets))
        for tablet in tablets:
            del self.tablets[tablet.uid]
        self.save()

    def down(self):
        """Stops everything; data and logs stay. Returns what could not be stopped."""
        for name in ("vtgate", *[t.name for t in self.tablets.values()], "vtctld"):
            if name in self.processes:
                self.processes[name].kill(15)
        for process in list(self.processes.values()):
            process.stop(15)
        self.processes.clear()
        problems = []

        def shutdown(tablet):
            if os.path.exists(self.path(f"vt_{tablet.uid:010d}", "mysql.pid")):
                try:
                    self.mysqlctl(tablet, "shutdown")
                except (Failure, subprocess.TimeoutExpired) as failure:
                    problems.append(str(failure))
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            list(pool.map(shutdown, self.tablets.values()))
        if os.path.isdir(self.root):
            self.save()
        return problems

    def status(self):
        rows = []
        for process in self.processes.values():
            state = "running" if process.running() else "stopped"
            rows.append((process.name, state, process.pid, json.dumps(self.addresses.get(process.name, {}))))
        return rows


def now():
    return time.monotonic()
