#!/usr/bin/env python3
"""Cells that fail: `./dev faults cells`.

Three cells. The global topology is an etcd of three members, each cell has an etcd of its own; zone1 has the primary and a replica,
zone2 a replica, zone3 nobody. A vtgate in each of zone1 and zone2. One after the other: a member of the global etcd dies, zone2's own
topology stands still, all of zone2 dies, zone2's topology is wiped and its records are made again, the primary moves to zone2.
Requirements S4-48 to S4-57 are named where they are looked at.

Where the kernel lets us, all of it runs in a network namespace of its own, in which packets between zone2 and the others can be
dropped: zone2's processes have a group of their own, by which their packets are told.

The last line is {"seconds", "steps": {name: "passed" or why not}, "failed": n}.
"""

import argparse
import concurrent.futures
import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import pymysql  # noqa: E402

from vitrail.benchmark import bench_cluster, note  # noqa: E402
from vitrail.cluster import BIN, Cluster, Tablet  # noqa: E402
from vitrail.processes import Failure, http_get, http_json, wait_until  # noqa: E402

GROUP = 7702  # Of zone2's processes, and of whoever speaks to them from outside.
APART = "VITRAIL_FAULTS_NAMESPACE"  # Set in the network namespace.
GLOBAL = ("a", "b", "c")
CELLS = ("zone1", "zone2", "zone3")


def iptables(*args):
    subprocess.run(["iptables", "-w", *args], check=True, capture_output=True)


class Network:
    """Connections between zone2 and the others are marked when they begin; those packets can be dropped."""

    def __init__(self):
        self.works = APART in os.environ
        if self.works:
            subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
            iptables("-t", "mangle", "-N", "CELLS")
            iptables("-t", "mangle", "-A", "OUTPUT", "-p", "tcp", "--syn", "-j", "CELLS")
            iptables("-t", "mangle", "-A", "CELLS", "-m", "owner", "--gid-owner", str(GROUP), "-j", "CONNMARK", "--set-mark", "1")

    def add(self, *ports):
        """Of zone2."""
        for port in ports if self.works else ():
            mine = ("-p", "tcp", "--dport", str(port), "-m", "owner")
            iptables("-t", "mangle", "-I", "CELLS", *mine, "--gid-owner", str(GROUP), "-j", "RETURN")
            iptables("-t", "mangle", "-I", "CELLS", *mine, "!", "--gid-owner", str(GROUP), "-j", "CONNMARK", "--set-mark", "1")

    @contextlib.contextmanager
    def cut(self):
        rule = ("OUTPUT", "-m", "connmark", "--mark", "1", "-j", "DROP")
        iptables("-A", *rule)
        try:
            yield
        finally:
            iptables("-D", *rule)

    @staticmethod
    def of_zone2(argv):
        return argv if argv[:1] == ["setpriv"] else ["setpriv", "--regid", str(GROUP), "--keep-groups", "--", *argv]


class CellCluster(Cluster):
    topo_kind = "etcd2"

    def __init__(self, root):
        super().__init__(root)
        self.network = Network()

    def start(self, name, argv, ready, seconds=60):
        if self.network.works and (name in ("etcd-zone2", "vtgate-zone2") or name.startswith("vttablet-2")):
            argv = Network.of_zone2(argv)
        return super().start(name, argv, ready, seconds)

    def prefix_of(self, tablet):
        return Network.of_zone2([]) if self.network.works and tablet.cell == "zone2" else []

    def topo_address(self):
        return ",".join(f"127.0.0.1:{self.addresses[f'etcd-{name}']['port']}" for name in GLOBAL)

    def cell_address(self, cell):
        return f"127.0.0.1:{self.addresses[f'etcd-{cell}']['port']}"

    def start_etcds(self):
        for name in (*GLOBAL, *CELLS):
            self.addresses[f"etcd-{name}"] = {"port": self.ports.take(), "peer": self.ports.take()}
        self.network.add(*self.addresses["etcd-zone2"].values())
        members = ",".join(f"{name}=http://127.0.0.1:{self.addresses[f'etcd-{name}']['peer']}" for name in GLOBAL)
        with concurrent.futures.ThreadPoolExecutor(6) as pool:
            list(pool.map(lambda name: self.start_etcd(name, members if name in GLOBAL else None), (*GLOBAL, *CELLS)))

    def start_etcd(self, name, members):
        ports = self.addresses[f"etcd-{name}"]
        client, peer = f"http://127.0.0.1:{ports['port']}", f"http://127.0.0.1:{ports['peer']}"
        self.start(f"etcd-{name}", [
            "etcd", "--name", name, "--data-dir", self.path(f"etcd-{name}"), "--listen-client-urls", client,
            "--advertise-client-urls", client, "--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer,
            "--initial-cluster", members or f"{name}={peer}", "--logger", "zap", "--log-level", "error"],
            lambda: self.etcd_is_well(name))

    def etcd_is_well(self, name):
        try:
            return json.loads(http_get(self.addresses[f"etcd-{name}"]["port"], "/health")).get("health") == "true"
        except OSError:  # Without a leader it answers 503.
            return False

    def restart_etcd(self, name):
        old = self.processes[f"etcd-{name}"]
        old.wait_ended(10)
        self.start(old.name, old.argv, lambda: self.etcd_is_well(name))


class Cells:
    def __init__(self, cluster):
        self.cluster, self.gates, self.steps, self.row = cluster, {}, {}, 0

    def start(self):
        cluster = self.cluster
        os.makedirs(cluster.path("logs"), exist_ok=True)
        cluster.start_etcds()
        for folder in ("topo", "backups"):
            os.makedirs(cluster.path(folder), exist_ok=True)
        cluster.start_vtctld()
        cluster.vtctldclient("UpdateCellInfo", "--root", "/vitess/zone1", "--server-address", cluster.cell_address("zone1"), "zone1")
        for cell in ("zone2", "zone3"):
            cluster.vtctldclient("AddCellInfo", "--root", f"/vitess/{cell}", "--server-address", cluster.cell_address(cell), cell)
        cluster.vtctldclient("CreateKeyspace", "--durability-policy", "none", "ks")
        tablets = [self.new_tablet(uid, cell) for uid, cell in ((100, "zone1"), (101, "zone1"), (200, "zone2"))]
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda t: cluster.mysqlctl(t, "init"), tablets))
            list(pool.map(cluster.start_tablet, tablets))
        cluster.vtctldclient("PlannedReparentShard", "ks/0", "--new-primary", "zone1-100", "--wait-replicas-timeout", "30s")
        cluster.vtctldclient("RebuildKeyspaceGraph", "ks")
        cluster.vtctldclient("ApplySchema", "--sql", "create table t (id bigint primary key, v int)", "ks")
        cluster.vtctldclient("ApplyVSchema", "--vschema", '{"tables": {"t": {}}}', "ks")
        for cell in ("zone1", "zone2"):
            self.start_gate(cell)

    def new_tablet(self, uid, cell):
        ports = {name: self.cluster.ports.take() for name in ("port", "grpc", "mysqld", "data")}
        self.cluster.tablets[uid] = Tablet(cell, uid, "ks", "0", "replica", ports)
        if cell == "zone2":
            self.cluster.network.add(*ports.values())
        return self.cluster.tablets[uid]

    def start_gate(self, cell):
        cluster, port, mysql = self.cluster, self.cluster.ports.take(), self.cluster.ports.take()
        if cell == "zone2":
            cluster.network.add(port, mysql)
        cluster.start(f"vtgate-{cell}", [
            f"{BIN}/vtgate", *cluster.topo_flags(), "--cell", cell, "--cells-to-watch", "zone1,zone2", "--port", port,
            "--tablet-types-to-wait", "PRIMARY", "--mysql-server-port", mysql, "--mysql-auth-server-impl", "none",
            "--healthcheck-timeout", "3s", "--lost-tablet-timeout", "5s", "--bind-address", "127.0.0.1"], lambda: http_get(port, "/debug/vars"))
        self.gates[cell] = (mysql, port)
        wait_until(lambda: self.works(cell, "ks", "select 1 from t limit 1"), f"the vtgate of {cell} to serve", 30)

    # --- statements ---
    def run(self, cell, target, sql, patience=10):
        """A client in that cell."""
        before = os.getegid()
        if cell == "zone2":
            os.setegid(GROUP)
        try:
            with pymysql.connect(host="127.0.0.1", port=self.gates[cell][0], user="demo", database=target, autocommit=True,
                                 connect_timeout=5, read_timeout=patience) as connection, connection.cursor() as cursor:
                cursor.execute(sql)
                return cursor.fetchall()
        finally:
            os.setegid(before)

    def works(self, cell, target, sql):
        try:
            self.run(cell, target, sql)
            return True
        except (pymysql.MySQLError, OSError):
            return False

    def write(self, cell):
        self.row += 1
        self.run(cell, "ks", f"insert into t values ({self.row}, {self.row})")

    def reads_of(self, cell):
        """Which tablet answers a replica's read there."""
        ports = {t.ports["mysqld"]: t.uid for t in self.cluster.tablets.values()}
        return ports[self.run(cell, "ks@replica", "select @@port")[0][0]]

    def expect_reads(self, cell, uids):
        def right():
            with contextlib.suppress(pymysql.MySQLError, OSError):
                return self.reads_of(cell) in uids
            return False
        wait_until(right, f"replica reads in {cell} to be answered by {uids}", 30, .2)

    def kill(self, *names):
        for name in names:
            self.cluster.processes[name].kill(signal.SIGKILL)

    def stop(self, name, number):
        os.kill(self.cluster.processes[name].pid, number)

    def server_pids(self, uid):
        """The server, behind what would start it again."""
        server = self.cluster.server_pid(self.cluster.tablets[uid]) if hasattr(self.cluster, "server_pid") else None
        if server is None:
            with open(self.cluster.path(f"vt_{uid:010d}", "mysql.pid"), encoding="utf-8") as file:
                server = int(file.read())
        with open(f"/proc/{server}/stat", encoding="utf-8") as file:
            parent = int(file.read().rpartition(")")[2].split()[1])
        with open(f"/proc/{parent}/cmdline", encoding="utf-8") as file:
            return [parent, server] if "safe" in file.read() else [server]

    def restart_tablet(self, uid):
        tablet = self.cluster.tablets[uid]
        process = self.cluster.processes[tablet.name]
        process.wait_ended(10)
        self.cluster.start(tablet.name, process.argv, lambda: self.cluster.vars(tablet).get("TabletStateName") == "SERVING")

    def keys(self, cell, path):
        return self.cluster.vtctldclient("GetTopologyPath", f"/{cell}/{path}")

    # --- steps ---
    def records_of_a_cell(self):
        """S4-49: what the topology of a cell holds."""
        assert "zone2-0000000200" in self.keys("zone2", "tablets"), self.keys("zone2", "tablets")
        assert "zone1-0000000100" not in self.keys("zone2", "tablets")
        for path in ("tablets/zone2-0000000200", "keyspaces/ks", "keyspaces/ks/shards/0", ""):
            found = self.keys("zone2", path)
            wanted = {"tablets/zone2-0000000200": "Tablet", "keyspaces/ks": "SrvKeyspace", "keyspaces/ks/shards/0": "ShardReplication",
                      "": "SrvVSchema"}[path]
            assert wanted in found, f"{path}: {found}"

    def own_topology_only(self):
        """S4-57: the tablets of zone1 have no connection to zone2's topology, and those of zone2 none to zone1's."""
        def peers(pid):
            sockets = {os.readlink(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd")
                       if os.path.lexists(f"/proc/{pid}/fd/{fd}")}
            out = set()
            with open(f"/proc/{pid}/net/tcp", encoding="utf-8") as file:
                for line in list(file)[1:]:
                    part = line.split()
                    if f"socket:[{part[9]}]" in sockets and part[3] == "01":
                        out.add(int(part[2].rpartition(":")[2], 16))
            return out
        for uid, cell, other in ((100, "zone1", "zone2"), (200, "zone2", "zone1")):
            found = peers(self.cluster.processes[self.cluster.tablets[uid].name].pid)
            assert self.cluster.addresses[f"etcd-{other}"]["port"] not in found, f"the tablet of {cell} is connected to {other}'s topology"

    def a_member_of_the_global_topology_dies(self):
        """S4-48"""
        for name in GLOBAL:
            self.kill(f"etcd-{name}")
            began = time.monotonic()
            for other in GLOBAL:  # They elect another leader; what is under way meanwhile may fail.
                if other != name:
                    wait_until(lambda o=other: self.cluster.etcd_is_well(o), f"the member {other} to have a leader", 20, .2)
            elected = time.monotonic() - began
            self.cluster.vtctldclient("CreateKeyspace", "--durability-policy", "none", f"without_{name}", timeout=60)
            self.cluster.vtctldclient("GetKeyspaces", timeout=60)
            self.cluster.vtctldclient("ApplySchema", "--sql", f"alter table t comment = 'without {name}'", "ks", timeout=60)
            new = "zone1-101" if self.cluster.primary("ks", "0").uid == 100 else "zone1-100"
            self.cluster.vtctldclient("PlannedReparentShard", "ks/0", "--new-primary", new, timeout=60)
            self.write("zone1")
            self.write("zone2")
            self.cluster.vtctldclient("DeleteKeyspace", f"without_{name}", timeout=60)
            note(f"without the global member {name}: a leader after {elected:.1f} s, commands took {time.monotonic() - began - elected:.1f} s")
            self.cluster.restart_etcd(name)
        self.cluster.vtctldclient("PlannedReparentShard", "ks/0", "--new-primary", "zone1-100", timeout=60)

    def the_topology_of_a_cell_stands_still(self):
        """S4-50, S4-51, S4-53"""
        self.stop("etcd-zone2", signal.SIGSTOP)
        try:
            for _ in range(50):
                self.write("zone1")
                self.write("zone2")
                self.expect_reads("zone1", {101})
                assert self.reads_of("zone2") == 200
            # A tablet that is new there is not known, and not used.
            tablet = self.new_tablet(201, "zone2")
            self.cluster.mysqlctl(tablet, "init")
            argv = [str(a).replace("zone2-0000000200", tablet.alias) for a in self.cluster.processes["vttablet-200"].argv]
            for old, new in zip(self.cluster.tablets[200].ports.values(), tablet.ports.values(), strict=True):
                argv = [str(new) if a == str(old) else a for a in argv]
            self.cluster.start(tablet.name, argv, lambda: http_get(tablet.ports["port"], "/debug/vars"))
            for _ in range(20):
                assert self.reads_of("zone2") == 200
        finally:
            self.stop("etcd-zone2", signal.SIGCONT)

        def serves():
            process = self.cluster.processes["vttablet-201"]
            if not process.running():
                self.cluster.start(process.name, process.argv, lambda: http_get(tablet.ports["port"], "/debug/vars"))
            return self.cluster.vars(tablet).get("TabletStateName") == "SERVING"
        wait_until(serves, "the new tablet to serve once the topology is back", 60, .5)
        self.expect_reads("zone2", {201})
        self.expect_reads("zone2", {200})

    def a_cell_is_cut_off(self):
        """S4-53: no packet comes or goes between zone2 and the others."""
        if not self.cluster.network.works:
            return "left out: no network namespace with iptables here"
        count = "select count(*) from t"
        with self.cluster.network.cut():
            there = self.run("zone2", "ks@replica", count)
            began = time.monotonic()
            for _ in range(50):
                self.write("zone1")
                self.expect_reads("zone1", {101})
            self.cluster.vtctldclient("GetKeyspaces", timeout=60)
            # It reads what it has, and what it cannot do it says, soon.
            try:
                self.run("zone2", "ks", "update t set v = 0 where id = 0", patience=40)
                raise AssertionError("a write came through")
            except pymysql.MySQLError as error:
                assert "timed out" not in str(error), f"a write hangs: {error}"
                note(f"a write in the cell that is cut off ended after {time.monotonic() - began:.1f} s: {error}")
            for _ in range(50):
                assert self.run("zone2", "ks@replica", count) == there, "what was written came through"
            for _ in range(50):
                self.write("zone1")
        began = time.monotonic()
        wait_until(lambda: self.works("zone2", "ks", "update t set v = 0 where id = 0"), "zone2 to write again", 60, .2)
        rows = self.run("zone1", "ks", count)
        wait_until(lambda: self.run("zone2", "ks@replica", count) == rows, "zone2 to have what was written meanwhile", 60, .2)
        note(f"{time.monotonic() - began:.1f} s behind the end of the cut zone2 writes and has all")
        return None

    def all_of_a_cell_dies(self):
        """S4-52"""
        for uid in (200, 201):
            for pid in self.server_pids(uid):
                os.kill(pid, signal.SIGKILL)
        self.kill("vttablet-200", "vttablet-201", "vtgate-zone2", "etcd-zone2")
        for _ in range(100):
            self.write("zone1")
            self.expect_reads("zone1", {101})
        self.cluster.vtctldclient("PlannedReparentShard", "ks/0", "--new-primary", "zone1-101", "--wait-replicas-timeout", "20s", timeout=90)
        self.write("zone1")
        self.cluster.vtctldclient("PlannedReparentShard", "ks/0", "--new-primary", "zone1-100", "--wait-replicas-timeout", "20s", timeout=90)

    def a_cell_is_built_anew(self):
        """S4-54: its topology is empty; its servers are as they were."""
        shutil.rmtree(self.cluster.path("etcd-zone2"))
        self.cluster.restart_etcd("zone2")
        for uid in (200, 201):
            self.cluster.mysqlctl(self.cluster.tablets[uid], "start")
            self.restart_tablet(uid)
        self.cluster.vtctldclient("RebuildKeyspaceGraph", "--cells", "zone2", "ks")
        self.cluster.vtctldclient("RebuildVSchemaGraph", "--cells", "zone2")
        self.records_of_a_cell()
        self.start_gate("zone2")
        self.expect_reads("zone2", {200})
        rows = self.cluster.server_rows(self.cluster.tablets[100], "select count(*), sum(v) from t")
        for uid in (101, 200, 201):
            wait_until(lambda u=uid: self.cluster.server_rows(self.cluster.tablets[u], "select count(*), sum(v) from t") == rows,
                       f"{uid} to have all rows", 30)

    def the_primary_moves_to_another_cell(self):
        """S4-55, S4-56"""
        self.cluster.vtctldclient("PlannedReparentShard", "ks/0", "--new-primary", "zone2-200", "--allow-cross-cell-promotion", timeout=60)
        assert self.cluster.primary("ks", "0").uid == 200
        for cell in ("zone1", "zone2"):
            self.write(cell)
        self.expect_reads("zone2", {201})
        self.cluster.vtctldclient("ChangeTabletType", "zone2-201", "rdonly")
        wait_until(lambda: not self.works("zone2", "ks@replica", "select 1 from t limit 1"), "zone2 to read in no other cell", 20, .2)
        self.expect_reads("zone1", {100, 101})
        count = self.run("zone1", "ks", "select count(*) from t")[0][0]
        assert count == self.row, f"{self.row} rows were acknowledged, {count} are there"

    def step(self, name):
        began = time.monotonic()
        try:
            self.steps[name] = getattr(self, name)() or "passed"
        except (AssertionError, Failure, pymysql.MySQLError, OSError, KeyError) as error:
            self.steps[name] = f"{type(error).__name__}: {error}"
        note(f"{name}: {self.steps[name]} ({time.monotonic() - began:.1f} s)")


STEPS = ("records_of_a_cell", "own_topology_only", "a_cell_is_cut_off", "a_member_of_the_global_topology_dies", "the_topology_of_a_cell_stands_still",
         "all_of_a_cell_dies", "a_cell_is_built_anew", "the_primary_moves_to_another_cell")


def main():
    parser = argparse.ArgumentParser(prog="./dev faults cells", description="Cells that fail, one after the other; about a minute.")
    parser.add_argument("--json", action="store_true", help="print one JSON object as the last line")
    options = parser.parse_args()
    if not shutil.which("etcd"):
        print("left out: etcd is not installed", file=sys.stderr)
        return 77
    probe = "ip link set lo up && iptables -A OUTPUT -p tcp -m owner --gid-owner 1 -m connmark --mark 1 -j DROP"
    if APART not in os.environ and subprocess.run(["unshare", "-n", "sh", "-c", probe], capture_output=True, check=False).returncode == 0:
        os.execvpe("unshare", ["unshare", "-n", sys.executable, *sys.argv], {**os.environ, APART: "1"})
    began = time.monotonic()
    with bench_cluster(kind=CellCluster) as cluster:
        run = Cells(cluster)
        run.start()
        for name in STEPS:
            run.step(name)
            if not run.steps[name].startswith(("passed", "left out")):
                break  # The next ones build on it.
        failed = sum(1 for outcome in run.steps.values() if not outcome.startswith(("passed", "left out")))
        if failed:
            raise Failure(f"{run.steps}")
    out = {"seconds": round(time.monotonic() - began), "steps": run.steps, "failed": failed}
    print(json.dumps(out) if options.json else "all steps passed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
