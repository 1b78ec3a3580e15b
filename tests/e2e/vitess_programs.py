#!/usr/bin/env python3
"""Vitess's own programs and ours on one cluster: each client against each vtctld, both on one etcd.

Vitess's vtctldclient has to print against our vtctld what ours prints, byte for byte, and end with the same code; records
that one side writes are read by the other; the locks of one side hold off the other. CONTRIBUTING.md says how to get
Vitess's programs; without them this test is left out.
"""

import difflib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import unittest

from outage import EtcdCluster
from support import BIN, ClusterTest, main
from vitrail.processes import http_get, wait_until

SKIP = 77  # ctest's word for "left out", see tests/CMakeLists.txt.

SCHEMA = """create table customer(customer_id bigint not null auto_increment, email varbinary(128), primary key(customer_id));
create table product(sku varbinary(128), price bigint, primary key(sku));"""
SHARDED = json.dumps({"sharded": True, "vindexes": {"hash": {"type": "hash"}}, "tables": {
    "customer": {"column_vindexes": [{"column": "customer_id", "name": "hash"}]}}})


def find_vitess():
    """Folder with Vitess's vtctldclient, and why there is none."""
    named = os.environ.get("VITRAIL_VITESS_BIN")
    on_path = shutil.which("vtctldclient")
    folders = [named] if named else [on_path and os.path.dirname(on_path), os.path.expanduser("~/go/bin")]
    for folder in filter(None, folders):
        program = os.path.join(folder, "vtctldclient")
        if not os.path.exists(program):
            continue
        done = subprocess.run([program, "--version"], capture_output=True, text=True, timeout=30, check=False)
        if "Vitrail" not in done.stdout + done.stderr:
            return folder, ""
    return None, ("no vtctldclient of Vitess in " + (named or "PATH and ~/go/bin") + "; VITRAIL_VITESS_BIN "
                  "names the folder with it")


VITESS, WHY_NOT = find_vitess()


def run(*argv, seconds=60):
    """(exit code, standard output, standard error)"""
    done = subprocess.run([str(a) for a in argv], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=seconds,
                          check=False)
    return done.returncode, done.stdout, done.stderr


# Printed by Vitess after an object that was given as JSON. Ours refuses fields that it does not know instead of skipping them.
SKIPS = "If this is not what you expected, check the input data (as JSON parsing will skip unexpected fields).\n"
RULES = '{"rules":[{"from_table":"t1","to_tables":["commerce.t1"]},{"fromTable":"t2@replica","toTables":["commerce.t2"]}]}'
SHARD_RULES = '{"rules":[{"from_keyspace":"commerce","to_keyspace":"customer","shard":"-80"}]}'
KEYSPACE_RULES = '{"rules":[{"from_keyspace":"elsewhere","to_keyspace":"commerce"}]}'
MANY_COLUMNS = ("select 'a very long value in here that goes on and on for some time until it is really long' as longer_header, "
                "1 as n, null as b union all select 'two\\nlines  and blanks', 2.5, '日本'")

# Commands that change nothing: each is run by both clients, also with --compact where it prints JSON.
READS = """
GetCellInfo zone1|GetCellsAliases|GetCellInfoNames|GetKeyspace commerce|GetKeyspaces|FindAllShardsInKeyspace customer
GetSrvKeyspaceNames|GetSrvKeyspaceNames zone1|GetSrvKeyspaces customer|GetSrvKeyspaces customer zone1|GetSrvKeyspaces nowhere
GetShard customer/-80|GetShardReplication customer/-80|GetShardReplication commerce/0 zone1|GetTablet zone1-100
GetTablets|GetTablets --format json|GetTablets --keyspace nowhere --format json|GetTablets -k customer -s -80
GetTablets -c zone1 --tablet-type replica|GetTablets -t zone1-100,zone1-101|GetTablets --strict|GetFullStatus zone1-100
GetFullStatus zone1-101|GetPermissions zone1-100|GetVSchema commerce|GetVSchema customer|GetSrvVSchema zone1|GetSrvVSchemas
GetRoutingRules|GetShardRoutingRules|GetKeyspaceRoutingRules|GetMirrorRules|GetTopologyPath /|GetTopologyPath /global/keyspaces
GetTopologyPath /global/keyspaces/commerce/shards/0/Shard|GetTopologyPath /zone1/tablets/zone1-0000000100/Tablet
GetTopologyPath /zone1/SrvVSchema|GetTopologyPath --data-as-json /zone1/tablets/zone1-0000000100/Tablet
GetSchema zone1-100|GetSchema --tables customer zone1-100|GetSchema -n zone1-100|GetSchema -s zone1-100
GetWorkflows commerce|GetWorkflows -a --include-logs=false commerce|Workflow --keyspace commerce list
Workflow --keyspace commerce show --workflow none|MoveTables --workflow w --target-keyspace customer show
ShardReplicationPositions commerce/0|ShardReplicationFix zone1 commerce/0|GenerateShardRanges 4|GenerateShardRanges --hex-width 4 2
GetTabletVersion zone1-100|PingTablet zone1-100|RefreshState zone1-100|RefreshStateByShard commerce/0
RefreshStateByShard -c zone1 commerce/0|RunHealthCheck zone1-100|SleepTablet zone1-100 10ms|Validate|ValidateKeyspace commerce
Validate --ping-tablets|ValidateShard --ping-tablets commerce/0|ValidateSchemaKeyspace commerce|ValidateVersionKeyspace commerce
ValidateVersionShard commerce/0|ValidatePermissionsKeyspace commerce|ValidatePermissionsShard commerce/0|ReloadSchema zone1-100
ReloadSchemaShard --include-primary commerce/0|ReloadSchemaKeyspace commerce|LegacyVtctlCommand -- ListAllTablets
"""

# Refused by both clients; the text after # is in what both print.
REFUSED = """
GetKeyspace nowhere # keyspace nowhere does not exist|GetShard commerce/nowhere # shard commerce/nowhere does not exist
GetTablet zone1-999 # tablet zone1-0000000999 does not exist|GetTablet|GetTablet foo|GetCellInfo nowhere # cell nowhere
GetTopologyPath /global/nothing # nothing does not exist|CreateKeyspace commerce # commerce exists already
CreateShard commerce/0 # commerce/0 exists already|DeleteKeyspace commerce # still has 1 shards
DeleteShards commerce/0 # is still serving|DeleteTablets zone1-100 # as it is a primary|DeleteCellInfo zone1 # cannot be deleted
ChangeTabletType zone1-101 primary # REPLICA -> PRIMARY|ChangeTabletType zone1-101 nonsense|SetWritable zone1-100 maybe
ExecuteFetchAsDBA zone1-100 nonsense # nonsense|GetTablets --shard 0|GetTablets --format xml|NoSuchCommand|GetTablets --no-such
GetTablets -t zone1-100 -k commerce|PlannedReparentShard commerce/0 --new-primary zone1-999 # not in the shard
MoveTables --workflow w --target-keyspace customer status # the w workflow does not exist in the customer keyspace
Workflow --keyspace commerce show|MoveTables --target-keyspace customer show|ApplyVSchema commerce|ApplyRoutingRules
ValidateShard commerce/nowhere # shard commerce/nowhere does not exist|RemoveShardCell commerce/0 zone1 # that is to be removed
"""

# Run by one client and then by the other on an object of its own (X becomes "theirs" or "ourone"), in this order.
CHANGES = [
    "AddCellInfo -r /vitess/zone_X -a ADDRESS zone_X", "UpdateCellInfo --root /vitess/zone_X2 zone_X", "GetCellInfo zone_X",
    "AddCellsAlias --cells zone_X al_X", "UpdateCellsAlias --cells zone_X al_X", "DeleteCellsAlias al_X",
    "DeleteCellInfo zone_X", "CreateKeyspace X", "CreateKeyspace --durability-policy semi_sync --sidecar-db-name _vt2 X2",
    "CreateKeyspace --type SNAPSHOT --base-keyspace commerce --snapshot-timestamp 2026-01-02T03:04:05Z Xsnap",
    "SetKeyspaceDurabilityPolicy --durability-policy cross_cell X", "SetVtorcEmergencyReparent --disable X",
    "CreateShard X/-80", "CreateShard --include-parent X3/0", "GetShard X/-80", "SetVtorcEmergencyReparent --disable X3 0",
    "SetShardIsPrimaryServing X/-80 false", "SourceShardAdd --key-range -40 --tables a,b X/-80 2 commerce/0",
    "SourceShardAdd X/-80 2 commerce/0", "SourceShardDelete X/-80 2", "SourceShardDelete X/-80 2",
    "SetShardTabletControl --denied-tables a,b X/-80 replica", "SetShardTabletControl --denied-tables a --remove X/-80 replica",
    "SetShardTabletControl --remove X/-80 replica", "RemoveShardCell X3/0 zone1", "RemoveKeyspaceCell X3 zone1",
    "DeleteShards --even-if-serving X/-80", "DeleteKeyspace X", "DeleteKeyspace -r X3", "DeleteKeyspace X2", "DeleteKeyspace Xsnap",
    "RebuildKeyspaceGraph commerce customer", "RebuildVSchemaGraph", "StopReplication zone1-101", "StartReplication zone1-101",
    "SetWritable zone1-100 true", "ReparentTablet zone1-101", "ShardReplicationRemove commerce/0 zone1-101",
    "ShardReplicationAdd commerce/0 zone1-101", "ExecuteHook zone1-100 nothing", "TabletExternallyReparented zone1-100",
    "ChangeTabletType --dry-run zone1-101 spare", "CopySchemaShard --tables customer commerce/0 customer/-80",
]


@unittest.skipIf(VITESS is None, WHY_NOT)
class VitessPrograms(ClusterTest):
    cluster_class = EtcdCluster

    @classmethod
    def prepare(cls):
        cluster = cls.cluster
        cluster.start_etcd()
        cluster.start_vtctld()
        for keyspace, shards in (("commerce", (("0", 100, 2),)), ("customer", (("-80", 200, 1), ("80-", 300, 1)))):
            cluster.vtctldclient("CreateKeyspace", keyspace)
            for shard, uid, count in shards:
                cluster.add_shard(keyspace, shard, uid, ("replica",) * count)
        cluster.vtctldclient("ApplySchema", "--sql", SCHEMA, "commerce")
        cluster.vtctldclient("ApplyVSchema", "--vschema", '{"tables": {"customer": {}, "product": {}}}', "commerce")
        cluster.vtctldclient("ApplyVSchema", "--vschema", SHARDED, "customer")

    # --- running ---
    def client(self, folder, *args, server=None):
        server = server or f"127.0.0.1:{self.cluster.addresses['vtctld']['grpc']}"
        return run(os.path.join(folder, "vtctldclient"), "--server", server, *args)

    def internal(self, folder, *args):
        code, out, err = self.client(folder, *self.cluster.topo_flags(), *args, server="internal")
        self.assertEqual(code, 0, out + err)
        return out

    def assert_alike(self, *args, server=None, named=False):
        """Both clients print the same, byte for byte, and end with 0. `named`: each with a name of its own for X."""
        shown = []
        for folder, name in ((VITESS, "theirs"), (BIN, "ourone")):
            words = [re.sub(r"X(?=\d|snap|/|=|$)", name, word) if named else word for word in args]
            code, out, err = self.client(folder, *words, server=server)
            self.assertEqual(code, 0, f"{folder}: {words}: {out}{err}")
            if folder == BIN:
                self.assertEqual(err, "")
            shown.append((out.replace(name, "X") if named else out).replace(SKIPS, ""))
        difference = "\n".join(difflib.unified_diff(*(text.splitlines() for text in shown), "Vitess's", "ours", lineterm=""))
        self.assertEqual(shown[0], shown[1], f"{args}\n{difference}")

    def each(self, text):
        for entry in text.strip().replace("\n", "|").split("|"):
            command, _, part = entry.partition(" # ")
            with self.subTest(command):
                yield command.split(), part

    # --- tests ---
    def test_1_both_clients_print_the_same(self):
        for words, _ in self.each(READS):
            self.assert_alike(*words)
            self.assert_alike("--compact", *words)

    def test_2_results_of_statements(self):
        for name, sql in (("ExecuteFetchAsDBA", MANY_COLUMNS), ("ExecuteFetchAsApp", "select * from customer"),
                          ("ExecuteFetchAsDBA", "show create table customer"), ("ExecuteFetchAsDBA", "set @x = 1"),
                          ("ExecuteFetchAsDBA", "select 1 as a, 2.5 as b, 'x\"<' as c, null as d, 1e3 as e"),
                          ("ExecuteMultiFetchAsDBA", "select 1 as a; select 2 as b; set @x = 1")):
            for flags in ((), ("--json",), ("--json", "--max-rows", "100")):
                with self.subTest(f"{name} {flags} {sql}"):
                    self.assert_alike(name, *flags, "zone1-100", sql)

    def test_3_both_refuse_the_same(self):
        for words, part in self.each(REFUSED):
            for folder in (VITESS, BIN):
                code, out, err = self.client(folder, *words)
                self.assertEqual(code, 1, f"{folder}: {out}{err}")
                self.assertIn(part, err)

    def test_4_changes(self):
        for command in CHANGES:
            with self.subTest(command):
                self.assert_alike(*command.replace("ADDRESS", self.cluster.topo_address()).split(), named=True)
        for tags in (("a=b", "c=d"), ("--replace", "e=f"), ("e=",)):  # Each on a tablet that has the same tags.
            shown = [self.client(folder, "ChangeTabletTags", *tags[:-1], alias, tags[-1]) if tags[0] == "--replace" else
                     self.client(folder, "ChangeTabletTags", alias, *tags) for folder, alias in ((VITESS, "zone1-100"),
                                                                                              (BIN, "zone1-101"))]
            self.assertEqual(shown[0][:2], shown[1][:2])
            self.assertEqual(shown[0][0], 0)
        for name, rules in (("RoutingRules", RULES), ("ShardRoutingRules", SHARD_RULES), ("KeyspaceRoutingRules", KEYSPACE_RULES)):
            with self.subTest(name):
                for flags in ((), ("--skip-rebuild",), ("-c", "zone1,zone2")):
                    self.assert_alike(f"Apply{name}", "--rules", rules, "--dry-run", *flags)
                self.assert_alike(f"Apply{name}", "--rules", rules, "--skip-rebuild")
                self.assert_alike(f"Apply{name}", "--rules", rules)
                self.assert_alike(f"Apply{name}", "-r", rules, "-c", "zone1")
                self.assert_alike(f"Get{name}")
                self.assert_alike("GetSrvVSchema", "zone1")
                self.assert_alike(f"Apply{name}", "--rules", '{"rules":[]}')
        self.assert_alike("ApplyVSchema", "--vschema", SHARDED, "customer")
        self.assert_alike("ApplyVSchema", "--dry-run", "--vschema", '{"tables": {}}', "commerce")
        self.assert_alike("ApplySchema", "--sql", "create table if not exists later(id int primary key)", "commerce")
        self.assert_alike("GetSchema", "zone1-100")

    def test_5_records_of_one_are_read_by_the_other(self):
        """Vitess's topology library in its client's process, on the same etcd."""
        self.internal(VITESS, "CreateKeyspace", "theirs")
        for shard in ("-80", "80-"):
            self.internal(VITESS, "CreateShard", f"theirs/{shard}")
        self.internal(VITESS, "AddCellsAlias", "--cells", "zone1", "everywhere")
        self.internal(VITESS, "ApplyRoutingRules", "--rules", RULES)
        self.assertEqual(json.loads(self.ctl("--compact", "GetShard", "theirs/80-"))["shard"],
                         {"key_range": {"start": "gA=="}, "is_primary_serving": True})
        self.assertEqual(json.loads(self.ctl("GetCellsAliases")), {"everywhere": {"cells": ["zone1"]}})
        self.assertEqual(self.routing_rules(), {"t1": ["commerce.t1"], "t2@replica": ["commerce.t2"]})
        self.ctl("RebuildKeyspaceGraph", "theirs")
        self.ctl("ApplyRoutingRules", "--rules", '{"rules": []}')
        for words in ("GetSrvKeyspaces theirs", "GetTablets", "GetTablet zone1-100", "GetSrvVSchema zone1", "GetRoutingRules",
                      "GetCellInfo zone1", "GetCellsAliases", "GetKeyspaces", "GetShard theirs/-80", "GetVSchema customer",
                      "GetShardReplication commerce/0", "GetTopologyPath /zone1/SrvVSchema",
                      "GetTopologyPath /zone1/tablets/zone1-0000000100/Tablet",
                      "GetTopologyPath --data-as-json /global/keyspaces/commerce/shards/0/Shard"):
            with self.subTest(words):
                self.assertEqual(self.internal(VITESS, *words.split()), self.internal(BIN, *words.split()))
        self.internal(VITESS, "DeleteKeyspace", "-r", "theirs")
        self.internal(VITESS, "DeleteCellsAlias", "everywhere")
        self.assert_command_fails("keyspace theirs does not exist", "GetKeyspace", "theirs")
        self.assertEqual(self.internal(BIN, "Validate"), "Validation complete; no issues found.\n")

    def reparent(self, folder, *flags):
        return subprocess.Popen([os.path.join(folder, "vtctldclient"), "--server", "internal", *self.cluster.topo_flags(), *flags,
                                 "PlannedReparentShard", "commerce/0", "--new-primary", "zone1-101", "--wait-replicas-timeout",
                                 "8s"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def locked(self):
        return self.children("/global/keyspaces/commerce/shards/0/locks")

    def test_6_the_locks_of_one_hold_off_the_other(self):
        """A reparent to a tablet that is stopped keeps the shard's lock; it is let go on in the end."""
        replica = self.cluster.processes[self.cluster.tablets[101].name]
        for holder, other in ((BIN, VITESS), (VITESS, BIN)):
            with self.subTest(holder=holder):
                os.kill(replica.pid, signal.SIGSTOP)
                try:
                    first = self.reparent(holder)
                    wait_until(lambda: len(self.locked()) == 1, "the holder's lock")
                    second = self.reparent(other)
                    wait_until(lambda: len(self.locked()) == 2, "the other to wait in the queue")
                    self.assertIsNone(first.poll())
                    if other == BIN:  # Without patience, it names who holds the lock.
                        impatient = self.reparent(BIN, "--lock-timeout", "300ms")
                        self.assertIn("it is held by PlannedReparentShard", impatient.communicate(timeout=30)[0])
                finally:
                    os.kill(replica.pid, signal.SIGCONT)
                first.communicate(timeout=60)
                output = second.communicate(timeout=60)[0]
                self.assertEqual(second.returncode, 0, output)
                self.assertEqual(self.shard_primary(), 101)
                self.internal(BIN, "PlannedReparentShard", "commerce/0", "--new-primary", "zone1-100")

    def shard_primary(self):
        return self.cluster.primary("commerce", "0").uid

    def test_7_vitess_vtctld(self):
        """Each client against Vitess's vtctld, which works on our topology and asks our tablets."""
        program = os.path.join(VITESS, "vtctld")
        if not os.path.exists(program):
            self.skipTest(f"no {program}")
        port, grpc = self.cluster.ports.take(), self.cluster.ports.take()
        folder = self.cluster.path("vitess_vtctld")
        os.makedirs(folder, mode=0o777)
        as_nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"] if os.getuid() == 0 else []
        self.cluster.addresses["vitess-vtctld"] = {"port": port, "grpc": grpc}
        self.cluster.start("vitess-vtctld", [
            *as_nobody, program, *self.cluster.topo_flags(), "--port", port, "--grpc-port", grpc, "--bind-address", "127.0.0.1",
            "--grpc-bind-address", "127.0.0.1", "--service-map", "grpc-vtctl,grpc-vtctld", "--log-format", "text",
            "--backup-storage-implementation", "file", "--file-backup-storage-root", folder],
            lambda: http_get(port, "/debug/vars"))
        for words in ("GetTablets", "GetTablets --format json", "GetKeyspaces", "GetShard commerce/0", "GetSrvKeyspaces customer",
                      "GetSrvVSchema zone1", "GetFullStatus zone1-101", "GetPermissions zone1-100", "GetSchema zone1-100",
                      "Validate", "ValidateSchemaKeyspace commerce", "GetTopologyPath /zone1/SrvVSchema", "PingTablet zone1-100",
                      "GetWorkflows commerce", "ShardReplicationPositions commerce/0", "RefreshState zone1-100",
                      "GetSchema -s zone1-100", "GetSchema --table-schema-only zone1-100", "GetTablets -t zone1-100 -t zone1-100",
                      "GetTopologyPath --data-as-json /global/keyspaces/customer/shards/-80/Shard", "GetShardReplication commerce/0",
                      "GetSrvVSchemas", "GetRoutingRules", "GetMirrorRules", "ValidateVersionKeyspace commerce"):
            with self.subTest(words):
                self.assert_alike(*words.split(), server=f"127.0.0.1:{grpc}")
                if "GetFullStatus" not in words:  # Both servers give the same answer, too; a status has changed meanwhile.
                    theirs = self.client(VITESS, *words.split(), server=f"127.0.0.1:{grpc}")
                    self.assertEqual(theirs, self.client(VITESS, *words.split()))
        # Vitess's vtctld leaves it to the new primary to name itself in the shard's record.
        for uid in (101, 100):
            code, out, err = self.client(VITESS, "PlannedReparentShard", "commerce/0", "--new-primary", f"zone1-{uid}",
                                         server=f"127.0.0.1:{grpc}")
            self.assertEqual(code, 0, out + err)
            self.assertEqual(self.shard_primary(), uid)

    def test_8_a_workflow(self):
        """Vitess's client makes and switches a workflow of ours; both show it alike."""
        for uid in (200, 300):
            self.ctl("ExecuteFetchAsDBA", f"zone1-{uid}", "drop table if exists customer")
        self.ctl("ExecuteFetchAsDBA", "zone1-100", "insert into customer values (1, 'a'), (2, 'b'), (3, 'c')")
        move = ("MoveTables", "--workflow", "c2c", "--target-keyspace", "customer")
        diff = ("VDiff", "--workflow", "c2c", "--target-keyspace", "customer")

        def theirs(*words):
            code, out, err = self.client(VITESS, *words)
            self.assertEqual(code, 0, out + err)
            return out
        theirs(*move, "create", "--source-keyspace", "commerce", "--tables", "customer")
        wait_until(lambda: theirs(*move, "status").count("Status: Running") == 2, "the copy's end")
        wait_until(lambda: '"max_v_replication_lag": "0"' in theirs(*move, "show"), "the streams to catch up")
        for words in (("Workflow", "--keyspace", "customer", "list"), (*move, "stop"), (*move, "start", "--shards", "-80"),
                      (*move, "start"), (*move, "--format", "json", "status"), (*diff, "show", "last"), (*diff, "show", "all"),
                      (*diff, "--format", "json", "show", "all")):
            with self.subTest(words):
                self.assert_alike(*words)
        wait_until(lambda: theirs(*move, "status").count("Status: Running") == 2, "the streams to run again")
        uuid = json.loads(theirs(*diff, "--format", "json", "create"))["UUID"]
        wait_until(lambda: "completed" in theirs(*diff, "show", uuid), "the comparison's end")
        for words in ((*diff, "show", "last"), (*diff, "show", "last", "--verbose"), (*diff, "--format", "json", "show", uuid),
                      (*diff, "stop", uuid), (*diff, "--format", "json", "stop", uuid), (*diff, "--format", "json", "delete", "all"),
                      (*move, "switchtraffic", "--dry-run"), (*move, "reversetraffic", "--dry-run")):
            with self.subTest(words):
                self.assert_alike(*words)
        self.assertIn("Current State: All Reads Switched. Writes Switched", theirs(*move, "switchtraffic"))
        self.assertEqual(theirs("Workflow", "--keyspace", "commerce", "list"), '[\n  "c2c_reverse"\n]\n')
        self.assert_alike("GetRoutingRules")
        self.assert_alike(*move, "complete", "--dry-run")
        theirs(*move, "complete")
        self.assertEqual(json.loads(theirs("GetWorkflows", "customer")), {"workflows": []})


if __name__ == "__main__":
    if VITESS is None:
        print("left out: " + WHY_NOT)
        sys.exit(SKIP)
    main()
