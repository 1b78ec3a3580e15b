"""Comparing a cluster with one plain server: the server, and a cluster whose keyspaces change from case to case."""

import json
import os
import shutil
import subprocess

import pymysql

from vitrail.cluster import REPOSITORY, SMALL_SERVER, Cluster
from vitrail.processes import Failure, Process, http_json, wait_until


def shared_folder():
    """Corpora and case files that are not part of the repository; None when they are not here."""
    folder = os.environ.get("VITRAIL_SHARED", os.path.join(os.path.dirname(REPOSITORY), "shared"))
    return os.path.abspath(folder) if os.path.isdir(os.path.join(folder, "corpus")) else None


class PlainServer:
    """One mariadbd with user root and no password, on 127.0.0.1."""

    def __init__(self, root, port):
        self.root, self.port = root, port
        self.data = os.path.join(root, "plain")

    def start(self):
        user = ["--user=root"] if os.geteuid() == 0 else []
        os.makedirs(self.root, exist_ok=True)
        done = subprocess.run(["mariadb-install-db", "--no-defaults", f"--datadir={self.data}", *user,
                               "--auth-root-authentication-method=normal"], capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise Failure(f"mariadb-install-db: {done.stdout[-500:]}{done.stderr[-500:]}")
        settings = os.path.join(self.root, "plain.cnf")
        with open(settings, "w", encoding="utf-8") as file:
            file.write(SMALL_SERVER)
        self.process = Process("plain", [
            "mariadbd", f"--defaults-file={settings}", f"--datadir={self.data}", f"--port={self.port}", *user,
            f"--socket={os.path.join(self.root, 'plain.sock')}", "--bind-address=127.0.0.1", "--skip-log-bin",
            "--character-set-server=utf8mb4", "--collation-server=utf8mb4_general_ci"],
            os.path.join(self.root, "plain.log")).start()
        self.process.wait_ready(self.answers)
        return self

    def connect(self, database=None, **options):
        return pymysql.connect(host="127.0.0.1", port=self.port, user="root", database=database,
                               **{"autocommit": True, "charset": "utf8mb4", "read_timeout": 60, **options})

    def answers(self):
        try:
            self.connect().close()
            return True
        except pymysql.MySQLError:
            return False

    def stop(self):
        self.process.stop(15)


def equal_ranges(count):
    """Names of `count` shards of equal size."""
    if count == 1:
        return ["-"]
    digits = 2 if count <= 256 else 4
    bounds = [format((i << (4 * digits)) // count, f"0{digits}x") for i in range(1, count)]
    return [f"{a}-{b}" for a, b in zip(["", *bounds], [*bounds, ""])]


class ChangingCluster:
    """Keyspaces of one tablet per shard, started when they are first wanted and then used again."""

    def __init__(self, root):
        self.cluster = Cluster(root)
        self.layouts = {}
        self.next_uid = 100

    @staticmethod
    def load(root):
        out = ChangingCluster.__new__(ChangingCluster)
        out.cluster = Cluster.load(root)
        with open(os.path.join(root, "layouts.json"), encoding="utf-8") as file:
            out.layouts, out.next_uid = json.load(file)
        return out

    def save(self):
        with open(self.cluster.path("layouts.json"), "w", encoding="utf-8") as file:
            json.dump([self.layouts, self.next_uid], file)

    def start(self):
        self.cluster.start_vtctld()
        self.save()

    def ensure(self, keyspace, shards):
        """The keyspace with exactly these shards, and empty databases."""
        if self.layouts.get(keyspace) not in (None, shards):
            self.remove(keyspace)
        if keyspace not in self.layouts:
            self.cluster.vtctldclient("CreateKeyspace", "--durability-policy", "none", keyspace)
            for shard in shards:
                for attempt in range(3):
                    uid, self.next_uid = self.next_uid, self.next_uid + 1
                    try:
                        self.cluster.add_shard(keyspace, shard, uid, ("replica",))
                        break
                    except Failure:
                        if attempt == 2:
                            raise
                        self.cluster.tablets.pop(uid, None)
            self.layouts[keyspace] = shards
            self.save()
        for shard in shards:
            database = self.cluster.shard_tablets(keyspace, shard)[0].database
            self.run_on_server(keyspace, shard, [f"drop database if exists `{database}`",
                                                 f"create database `{database}` character set utf8mb4"])

    def remove(self, keyspace):
        for shard in self.layouts.pop(keyspace):
            self.cluster.stop_shard(keyspace, shard)
        self.cluster.vtctldclient("DeleteKeyspace", "--recursive", keyspace)
        self.save()

    def run_on_server(self, keyspace, shard, statements, database=None):
        """Straight on the shard's server; returns the texts of the errors."""
        errors = []
        tablet = self.cluster.shard_tablets(keyspace, shard)[0]
        with self.cluster.server(tablet, database) as connection, connection.cursor() as cursor:
            cursor.execute("set foreign_key_checks = 0")
            for statement in statements:
                try:
                    cursor.execute(statement)
                except pymysql.MySQLError as error:
                    errors.append(f"{error} in {statement[:80]}")
        return errors

    def apply_vschema(self, keyspace, vschema):
        """Applies what can be used of a vschema; returns what was left out."""
        dropped = []
        # Keyspaces of cases before this one may have tables of the same names.
        tables = {table: known for known in [*self.layouts, keyspace] for table in self.columns(known)}
        vschema = usable(vschema, tables, dropped)
        self.cluster.vtctldclient("ApplyVSchema", "--vschema", json.dumps(vschema), keyspace)
        return dropped

    def wait_for_vtgate(self, expected):
        """Until vtgate goes by these vschemas (keyspace -> names of tables)."""
        port = self.cluster.addresses["vtgate"]["port"]

        def agrees(tables, known):
            # vtgate shows an unsharded keyspace's tables whether or not the vschema lists them.
            names = set(known.get("tables", {}))
            return set(tables) == names if known.get("sharded") else set(tables) <= names

        def seen():
            known = http_json(port, "/debug/vschema").get("keyspaces", {})
            return all(agrees(tables, known.get(keyspace, {})) for keyspace, tables in expected.items())
        wait_until(seen, "vtgate to know the vschemas", 30)

        # The tables were made on the servers, past the tablets.
        for keyspace in expected:
            self.cluster.vtctldclient("ReloadSchemaKeyspace", keyspace)
        differences = []

        def columns_seen():
            known = http_json(port, "/debug/schema")
            differences[:] = [(keyspace, table, types, known.get(keyspace, {}).get(table)) for keyspace in expected
                              for table, types in self.columns(keyspace).items() if types != known.get(keyspace, {}).get(table)]
            return not differences
        try:
            wait_until(columns_seen, "vtgate to know the columns", 30)
        except Failure as failure:
            raise Failure(f"{failure}: {differences[:3]}") from failure

    def columns(self, keyspace):
        """As a server of the keyspace has them: table -> column -> type."""
        tablet = self.cluster.shard_tablets(keyspace, self.layouts[keyspace][0])[0]
        rows = self.cluster.server_rows(tablet, "select table_name, column_name, column_type, collation_name from information_schema.columns "
                                                f"where table_schema = '{tablet.database}' order by table_name, ordinal_position")
        found = {}
        for table, column, kind, collation in rows:
            found.setdefault(table, {})[column] = kind + (f" collate {collation}" if collation else "")
        return found

    def down(self, remove=True):
        problems = self.cluster.down()
        if remove and not problems:
            shutil.rmtree(self.cluster.root, ignore_errors=True)


def usable(vschema, tables, dropped):
    """A vschema without the lookup vindexes whose tables (name -> keyspace) are not there, and what needs them."""
    out = json.loads(json.dumps(vschema))
    missing = set()
    for name, vindex in out.get("vindexes", {}).items():
        table = vindex.get("params", {}).get("table", "").split(".")[-1]
        if "lookup" not in vindex.get("type", ""):
            continue
        if table in tables:
            vindex["params"]["table"] = vindex["params"]["table"] if "." in vindex["params"]["table"] else f"{tables[table]}.{table}"
        else:
            missing.add(name)
            dropped.append(f"vindex {name} ({vindex['type']}): table {table or '(none)'}")
    for name in missing:
        del out["vindexes"][name]
    for name, table in list(out.get("tables", {}).items()):
        key = "column_vindexes" if "column_vindexes" in table else "columnVindexes"
        uses = table.get(key, [])
        if not uses:
            continue
        table[key] = [use for use in uses if use.get("name") not in missing]
        if uses[0] not in table[key]:
            dropped.append(f"table {name}: its primary vindex")
            del out["tables"][name]
    return out
