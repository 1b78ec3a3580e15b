"""What the tools that break things share: a cluster of two kinds of workflow, clients that write, and what has to hold."""

import json
import os
import subprocess

import pymysql

from vitrail.cluster import BIN, Cluster
from vitrail.ledger import Ledger
from vitrail.processes import Failure, Ports, http_get, wait_until

WRITES_WITHIN = 10
SETTLED_WITHIN = 60
OTHER_CELL = "etcd-zone2"  # The topology server of a cell where nobody is.


class EtcdCluster(Cluster):
    topo_kind = "etcd2"

    def __init__(self, root):
        super().__init__(root)
        self.ports = Ports(scattered=True)

    def topo_address(self):
        return f"127.0.0.1:{self.addresses['etcd']['port']}"

    def start_topology(self):
        os.makedirs(self.path("logs"), exist_ok=True)
        self.start_etcd("etcd")

    def start_etcd(self, name):
        port, peer = self.ports.take(), self.ports.take()
        self.addresses[name] = {"port": port}
        self.start(name, ["etcd", "--data-dir", self.path(name), "--unsafe-no-fsync", "--listen-client-urls",
                          f"http://127.0.0.1:{port}", "--advertise-client-urls", f"http://127.0.0.1:{port}",
                          "--listen-peer-urls", f"http://127.0.0.1:{peer}"], lambda: self.etcd_answers(name))

    def etcd_answers(self, name="etcd"):
        return "true" in http_get(self.addresses[name]["port"], "/health")

    def add_other_cell(self):
        """A cell without tablets, whose topology is a server of its own."""
        self.start_etcd(OTHER_CELL)
        address = f"127.0.0.1:{self.addresses[OTHER_CELL]['port']}"
        self.vtctldclient("AddCellInfo", "--root", "/vitess/zone2", "--server-address", address, "zone2")


class Side:
    """One kind of workflow with its table, and where its rows are."""

    def __init__(self, kind, table, places):
        self.kind, self.table = kind, table
        self.places = places  # Of the source and of the target: [(keyspace, shard, uid, key range)].
        self.workflow, self.count, self.switched = None, 0, False
        self.ledger, self.ledgers = None, []

    def tables(self):
        return [self.table]

    @property
    def source(self):
        return self.places[0]

    @property
    def target(self):
        return self.places[1]

    def serving(self):
        return self.target if self.switched else self.source


class Following(Side):
    """A Materialize: copies of two tables, the second of which comes to the workflow when it runs."""

    TABLES = ("f1", "f2")

    def __init__(self, places):
        super().__init__("Materialize", self.TABLES[0], places)
        self.followed = ()  # Those of TABLES that the workflow has.

    def tables(self):
        return list(self.TABLES)

    def command(self, action):
        base = ("Materialize", "--workflow", self.workflow, "--target-keyspace", self.target[0][0])
        if action not in ("create", "add_tables"):
            return (*base, action)
        table = self.TABLES[0 if action == "create" else 1]
        settings = json.dumps([{"target_table": f"{table}_copy", "source_expression": f"select * from {table}", "create_ddl": "copy"}])
        what = ("create", "--source-keyspace", self.source[0][0]) if action == "create" else ("update",)
        return (*base, *what, "--table-settings", settings)

    def legal(self):
        if self.workflow is None:
            return ["create"]
        return ["cancel"] if len(self.followed) == 2 else ["add_tables", "cancel"]

    def prepare(self, stage, action):
        """Brings the workflow where `action` is legal."""
        if self.workflow is not None and (action == "create" or action not in self.legal()):
            stage.must(*self.command("cancel"))
            self.workflow, self.followed = None, ()
        if self.workflow is None:
            self.count += 1
            self.workflow = f"f{self.count}"
            if action == "create":
                return
            stage.must(*self.command("create"))
            self.followed = self.TABLES[:1]
        stage.wait_running(self)
        if action == "cancel" and len(self.followed) < 2 and self.count % 2:
            stage.must(*self.command("add_tables"))
            stage.wait_running(self)
            self.followed = self.TABLES

    def rules(self, stage):
        """The tables that the streams follow."""
        with stage.cluster.server(stage.cluster.tablets[stage.uid(self.target[0])], "_vt") as connection, connection.cursor() as cursor:
            cursor.execute("select source from vreplication where workflow = %s", self.workflow)
            sources = [row[0].decode() if isinstance(row[0], bytes) else row[0] for row in cursor.fetchall()]
        return tuple(t for t in self.TABLES if any(f"{t}_copy" in source for source in sources))

    def observe(self, stage):
        ok, out = stage.ctl(*self.command("show"))
        if not ok and "does not exist" not in out:
            raise Failure(f"show {self.workflow}: {out.strip()}")
        if ok and '"name"' in out:
            self.followed = self.rules(stage)
        else:
            self.workflow, self.followed = None, ()

    def check(self, stage):
        if self.workflow is None:
            left = [name for n in range(1, self.count + 1) for name in [f"f{n}"] if stage.streams(self.target[0], name)]
            if left:
                raise Failure(f"there are streams of {left}")
        else:
            stage.wait_running(self)
        there = tuple(t for t in self.TABLES if stage.has_table(self.target[0], f"{t}_copy"))
        if there != self.followed:
            raise Failure(f"{self.workflow} follows {self.followed}, and on the target there are {there}")

    def compare(self, stage):
        """What was acknowledged is in the source, and the copies become what the source is."""
        with self.ledgers[0].holding, self.ledgers[1].holding:
            problems = [text for ledger in self.ledgers
                        for text in ledger.compare([("one/0", None, stage.rows(self.source[0], ledger.table))])]
            for table in self.followed:
                wanted = sorted(stage.rows(self.source[0], table))
                wait_until(lambda t=table, w=wanted: sorted(stage.rows(self.target[0], f"{t}_copy")) == w,
                           f"{table}_copy to be what {table} is", 30, 0.1)
        if problems:
            raise Failure("; ".join(problems))


class Stage:
    """The cluster, its two vtctlds, and a workflow of each kind on it."""

    def __init__(self, cluster, seed):
        self.cluster, self.seed = cluster, seed
        self.server = "vtctld"  # The one that is asked.
        self.primaries = {}  # The uid of the tablet that a shard began with -> that of the primary now.

    def uid(self, place):
        return self.primaries.get(place[2], place[2])

    # --- the cluster ---
    def start(self, kinds=("replica",), other_cell=False, following=False):
        cluster = self.cluster
        cluster.start_topology()
        cluster.start_vtctld()
        if other_cell:
            cluster.add_other_cell()
        self.vtctld_argv = cluster.processes["vtctld"].argv
        for keyspace in ("one", "two", "s"):
            cluster.vtctldclient("CreateKeyspace", "--durability-policy", "none", keyspace)
        vindexes = {"sharded": True, "vindexes": {"hash": {"type": "hash"}},
                    "tables": {"rs": {"column_vindexes": [{"column": "id", "name": "hash"}]}}}
        cluster.vtctldclient("ApplyVSchema", "--vschema", json.dumps(vindexes), "s")
        own = ("mt", *Following.TABLES) if following else ("mt",)
        cluster.vtctldclient("ApplyVSchema", "--vschema", json.dumps({"tables": {name: {} for name in own}}), "one")
        for keyspace, shard, uid in (("one", "0", 100), ("two", "0", 200), ("s", "0", 300)):
            cluster.add_shard(keyspace, shard, uid, kinds)
        for name in own:
            cluster.vtctldclient("ApplySchema", "--sql", f"create table {name}(id bigint primary key, v int)", "one")
        cluster.vtctldclient("ApplySchema", "--sql", "create table rs(id bigint primary key, v int)", "s")
        cluster.start_vtgate("--tablet-types-to-wait", "PRIMARY", "--buffer-window", "30s", "--buffer-max-failover-duration", "30s")
        for shard, uid in (("-80", 310), ("80-", 320)):
            cluster.add_shard("s", shard, uid, kinds)
        half = 1 << 63
        self.sides = {
            "MoveTables": Side("MoveTables", "mt", [[("one", "0", 100, None)], [("two", "0", 200, None)]]),
            "Reshard": Side("Reshard", "rs", [[("s", "0", 300, None)],
                                              [("s", "-80", 310, (0, half)), ("s", "80-", 320, (half, 1 << 64))]]),
        }
        if following:
            self.sides["Materialize"] = Following([[("one", "0", 100, None)], [("two", "0", 200, None)]])
        for keyspace in ("one", "two", "s") if other_cell else ():
            cluster.vtctldclient("RebuildKeyspaceGraph", keyspace)  # Also there.
        for side in self.sides.values():
            for table in side.tables():
                wait_until(lambda t=table: self.can_read(t), f"{table} to be known", 30)

    def start_second_vtctld(self):
        cluster = self.cluster
        port, grpc = cluster.ports.take(0), cluster.ports.take(0)
        cluster.addresses["vtctld2"] = {"port": port, "grpc": grpc}
        cluster.start("vtctld2", [f"{BIN}/vtctld", *cluster.topo_flags(), "--cell", cluster.cell, "--port", port, "--grpc-port",
                                  grpc, "--bind-address", "127.0.0.1", "--grpc-bind-address", "127.0.0.1"],
                      lambda: http_get(port, "/debug/vars"))
        self.server = "vtctld2"

    def can_read(self, table):
        try:
            with self.cluster.connect() as connection, connection.cursor() as cursor:
                return cursor.execute(f"select count(*) from {table}") == 1
        except pymysql.MySQLError:
            return False

    def ctl(self, *args, server=None, timeout=150):
        grpc = self.cluster.addresses[server or self.server]["grpc"]
        argv = [f"{BIN}/vtctldclient", "--server", f"127.0.0.1:{grpc}", *map(str, args)]
        try:
            done = subprocess.run(argv, capture_output=True, text=True, timeout=timeout, check=False)
        except subprocess.TimeoutExpired:
            return False, "the command did not end"
        return done.returncode == 0, done.stdout + done.stderr

    def must(self, *args):
        ok, out = self.ctl(*args)
        if not ok:
            raise Failure(f"{' '.join(map(str, args))}: {out.strip()}")
        return out

    def rows(self, place, table=None):
        with self.cluster.server(self.cluster.tablets[self.uid(place)], place[0]) as connection, connection.cursor() as cursor:
            cursor.execute(f"select id, v from {table or ('rs' if place[0] == 's' else 'mt')}")
            return cursor.fetchall()

    def streams(self, place, workflow):
        with self.cluster.server(self.cluster.tablets[self.uid(place)], "_vt") as connection, connection.cursor() as cursor:
            cursor.execute("select state, message from vreplication where workflow = %s", workflow)
            return sorted({tuple(x.decode() for x in row) for row in cursor.fetchall()})

    def start_writers(self):
        for side in self.sides.values():
            side.ledgers = [Ledger(self.cluster, table, self.seed) for table in side.tables()]
            side.ledger = side.ledgers[0]
            for ledger in side.ledgers:
                ledger.thread.start()

    # --- workflows ---
    def command(self, side, action):
        if isinstance(side, Following):
            return side.command(action)
        base = (side.kind, "--workflow", side.workflow, "--target-keyspace", side.target[0][0], action)
        if action == "create" and side.kind == "MoveTables":
            return (*base, "--source-keyspace", side.source[0][0], "--tables", side.table)
        if action == "create":
            return (*base, "--source-shards=" + ",".join(p[1] for p in side.source),
                    "--target-shards=" + ",".join(p[1] for p in side.target))
        return base

    def wait_running(self, side):
        wait_until(lambda: all(self.streams(p, side.workflow) == [("Running", "")] for p in side.target),
                   f"{side.workflow} to run", 60, 0.2)

    def wait_running_or_frozen(self, side):
        if not side.switched:
            self.wait_running(side)
            return
        wait_until(lambda: all(self.streams(p, side.workflow + "_reverse") == [("Running", "")] for p in side.source),
                   f"{side.workflow}_reverse to run", 60, 0.2)

    def observe(self, side):
        """What is there now, as `status` tells it."""
        if side.workflow is None:
            return
        if isinstance(side, Following):
            side.observe(self)
            return
        ok, out = self.ctl(*self.command(side, "status"))
        if not ok and "does not exist" not in out:
            raise Failure(f"status of {side.workflow}: {out.strip()}")
        side.switched = ok and "Writes Not Switched" not in out
        if ok:
            return
        # Completed or cancelled: where the table is tells which.
        if side.kind == "MoveTables" and not self.has_table(side.source[0]):
            side.places.reverse()
        side.workflow = None

    def has_table(self, place, table=None):
        with self.cluster.server(self.cluster.tablets[self.uid(place)], place[0]) as connection, connection.cursor() as cursor:
            cursor.execute("show tables")
            return (table or ("rs" if place[0] == "s" else "mt")) in {row[0] for row in cursor.fetchall()}

    def is_stopped(self, process):
        try:
            with open(f"/proc/{process.pid}/stat", encoding="utf-8") as file:
                return file.read().rsplit(")", 1)[1].split()[0] == "T"
        except OSError:
            return False

    def restart_vtctld(self, *flags):
        cluster = self.cluster
        cluster.processes["vtctld"].stop(10)
        cluster.start("vtctld", [*self.vtctld_argv, *flags], lambda: http_get(cluster.addresses["vtctld"]["port"], "/debug/vars"))

    def pid_of(self, victim, side):
        where, what = victim.split(" ") if " " in victim else (None, victim)
        if what in ("vtctld", "vtctld2", "etcd", OTHER_CELL, "vtgate"):
            return self.cluster.processes[what].pid
        uid = self.uid((side.source if where == "source" else side.target)[0])
        if what == "vttablet":
            return self.cluster.processes[f"vttablet-{uid}"].pid
        with open(self.cluster.path(f"vt_{uid:010d}", "mysql.pid"), encoding="utf-8") as file:
            return int(file.read())

    def other_tablet(self, place):
        now = self.uid(place)
        return next(t.uid for t in self.cluster.tablets.values() if (t.keyspace, t.shard) == place[:2] and t.uid != now)

    def reparent(self, place, server=None):
        """Another tablet of the shard is to become its primary: the command's answer."""
        other = self.other_tablet(place)
        ok, out = self.ctl("PlannedReparentShard", f"{place[0]}/{place[1]}", "--new-primary", f"{self.cluster.cell}-{other}",
                           server=server)
        if ok:
            self.primaries[place[2]] = other
        return ok, out

    def learn_primaries(self):
        """Who they are when nothing is under way any more."""
        for place in {p for side in self.sides.values() for p in side.source + side.target}:
            record = json.loads(self.must("GetShard", f"{place[0]}/{place[1]}"))
            self.primaries[place[2]] = record["shard"]["primary_alias"]["uid"]

    def revive(self, victim, side, pid):
        """Starts what was killed again, and waits until it answers."""
        cluster = self.cluster
        if victim.endswith("mysqld"):
            self.wait_mysqld(victim, side, pid)
        elif victim in ("etcd", OTHER_CELL):
            old = cluster.processes[victim]
            old.wait_ended(10)
            cluster.start(victim, old.argv, lambda: cluster.etcd_answers(victim))
        elif " " in victim:
            uid = self.uid((side.source if victim.startswith("source") else side.target)[0])
            cluster.restart(f"vttablet-{uid}")
        else:
            cluster.restart(victim)

    def wait_mysqld(self, victim, side, old):
        uid = self.uid((side.source if victim.startswith("source") else side.target)[0])
        tablet = self.cluster.tablets[uid]

        def answers():  # mysqld_safe starts it again.
            if self.pid_of(victim, side) == old:
                return False
            try:
                with self.cluster.server(tablet):
                    return True
            except pymysql.MySQLError:
                return False
        wait_until(answers, f"mysqld {uid} to be back", 60, 0.1)

    def wait_settled(self, side):
        def settled():
            answers = [self.ctl("Workflow", "--keyspace", keyspace, "repair", "--dry-run")
                       for keyspace in sorted({p[0] for p in side.source + side.target})]
            return all(ok and " since " not in out for ok, out in answers)
        wait_until(settled, f"nothing to be open on {side.workflow}", SETTLED_WITHIN, 0.2)

    def check(self, side):
        """Records and streams are those of one of the states of a workflow."""
        if isinstance(side, Following):
            side.check(self)
            return
        problems = []

        def expect(what, got, wanted):
            if got != wanted:
                problems.append(f"{what} is {got}, should be {wanted}")
        workflow = side.workflow
        for place in side.source + side.target:
            _, shard = self.ctl("GetTopologyPath", f"/global/keyspaces/{place[0]}/shards/{place[1]}/Shard")
            on_source = place in side.source
            if side.kind == "MoveTables":
                denied = workflow is not None and on_source == side.switched
                expect(f"{place[0]}/{place[1]} denies {side.table}", f'"{side.table}"' in shard.replace("\\", ""), denied)
            else:
                serves = on_source != side.switched
                expect(f"{place[0]}/{place[1]} serves", "is_primary_serving:true" in shard, serves)
        if workflow is None:
            for place in side.source + side.target:
                for number in range(1, side.count + 1):
                    for name in (f"w{number}", f"w{number}_reverse"):
                        expect(f"streams {name} on {place}", self.streams(place, name), [])
            if side.kind == "MoveTables":
                _, rules = self.ctl("GetRoutingRules")
                expect("routing rules", side.table in rules, False)
                expect("the table on the target", self.has_table(side.target[0]), False)
        else:
            self.wait_running_or_frozen(side)
            if side.switched:
                for place in side.target:
                    expect(f"streams {workflow} on {place}", self.streams(place, workflow), [("Stopped", "FROZEN")])
        if problems:
            raise Failure("; ".join(problems))

    def contents(self, side):
        """Of each shard that serves the table: its name, its key range and its rows."""
        return [(f"{p[0]}/{p[1]}", p[3], self.rows(p)) for p in side.serving()]

    def compare(self, side):
        """Failure when a write that was acknowledged is not found once and where it belongs."""
        if isinstance(side, Following):
            side.compare(self)
            return
        with side.ledger.holding:
            problems = side.ledger.compare(self.contents(side))
        if problems:
            raise Failure("; ".join(problems))
