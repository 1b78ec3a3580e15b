"""The commands of the control plane on a small real cluster: tablets, schema, validation, reparents, two operators."""

import concurrent.futures
import json
import os
import re
import stat
import subprocess

from support import BIN, ClusterTest, Failure, main, wait_until

from vitrail.cluster import Cluster

SCHEMA = """create table customer(id bigint primary key, name varchar(64));
create table product(sku varchar(16) primary key, price bigint);"""
VSCHEMA = '{"tables": {"customer": {}, "product": {}}}'
HOOK = """#!/bin/sh
echo "tablet $TABLET_ALIAS extra $EXTRA parameters $*"
echo trouble >&2
exit 3
"""


class HookCluster(Cluster):
    def environment(self):
        return {**super().environment(), "VTROOT": self.root}


class ControlTest(ClusterTest):
    """The tests build on each other: names give the order."""

    cluster_class = HookCluster

    @classmethod
    def prepare(cls):
        cluster = cls.cluster
        cluster.start_vtctld()
        for keyspace, uid, kinds in (("commerce", 100, ("replica", "replica", "rdonly")), ("other", 200, ("replica",))):
            cluster.vtctldclient("CreateKeyspace", "--durability-policy", "none", keyspace)
            cluster.add_shard(keyspace, "0", uid, kinds)
        cluster.vtctldclient("ApplySchema", "--sql", SCHEMA, "commerce")
        cluster.vtctldclient("ApplyVSchema", "--vschema", VSCHEMA, "commerce")
        # A second vtctld, whose operator has less patience.
        port, grpc = cluster.ports.take(), cluster.ports.take()
        cluster.addresses["vtctld2"] = {"port": port, "grpc": grpc}
        cluster.start("vtctld2", [f"{BIN}/vtctld", *cluster.topo_flags(), "--cell", cluster.cell, "--port", port,
                                  "--grpc-port", grpc, "--lock-timeout", "400ms"], lambda: True)

    def tablet(self, uid):
        return self.cluster.tablets[uid]

    def dba(self, uid, sql, *flags):
        """On a replica, too: MySQL lets nobody change those unless that is lifted."""
        lift = self.cluster.words.read_only == "super_read_only" and self.value(uid, "select @@global.super_read_only") == "1"
        if lift:
            self.cluster.server_rows(self.tablet(uid), "set global super_read_only = 0")
        try:
            return self.ctl("ExecuteFetchAsDBA", *flags, f"zone1-{uid}", sql)
        finally:
            if lift:
                self.cluster.server_rows(self.tablet(uid), "set global super_read_only = 1")

    def value(self, uid, sql):
        """An empty text when there is no row (yet)."""
        rows = self.cluster.server_rows(self.tablet(uid), sql)
        return str(rows[0][0]) if rows else ""

    def shard_primary(self):
        return self.cluster.primary("commerce", "0").uid

    def assert_replicates(self, uid, from_uid):
        def holds():
            try:
                status = json.loads(self.ctl("GetFullStatus", f"zone1-{uid}"))["replication_status"] or {}
            except Failure as failure:  # A tablet that is being started does not answer yet.
                self.fail(str(failure))
            self.assertEqual((status.get("source_port"), status.get("io_state"), status.get("sql_state")),
                             (self.tablet(from_uid).ports["mysqld"], 3, 3))
        self.eventually(holds, 15)

    # --- tablets ---
    def test_01_states_of_tablets(self):
        self.assertEqual(self.ctl("PingTablet", "zone1-100"), "")
        self.assertEqual(self.ctl("RunHealthCheck", "zone1-100"), "")
        self.assertEqual(self.ctl("SleepTablet", "zone1-100", "10ms"), "")
        self.assertEqual(self.ctl("RefreshState", "zone1-100"), "Refreshed state on zone1-0000000100\n")
        self.assertEqual(self.ctl("RefreshStateByShard", "--cells", "zone1", "commerce/0"),
                         "Refreshed state on commerce/0 in cells zone1\n")
        status = json.loads(self.ctl("GetFullStatus", "zone1-101"))
        self.assertRegex(status["version"], self.cluster.words.version)
        self.assertEqual((status["tablet_type"], status["read_only"], status["replication_status"]["sql_state"]),
                         ("REPLICA", True, 3))
        self.assertRegex(self.ctl("GetTabletVersion", "zone1-100"), r"^Version: 24\.\d+\.\d+")
        permissions = json.loads(self.ctl("GetPermissions", "zone1-100"))
        users = {user["user"]: user for user in permissions["user_permissions"]}
        self.assertIn("vt_app", users)
        self.assertEqual(users["vt_dba"]["privileges"]["Super_priv"], "Y")
        self.assertFalse({"Password", "authentication_string"} & set(users["vt_dba"]["privileges"]))
        self.ctl("SetWritable", "zone1-100", "false")
        self.assertEqual(self.value(100, "select @@global.read_only"), "1")
        self.ctl("SetWritable", "zone1-100", "true")
        self.assertEqual(self.value(100, "select @@global.read_only"), "0")

    def test_02_tags_and_types(self):
        self.assertEqual(self.ctl("ChangeTabletTags", "zone1-102", "rack=b", "use=dumps"),
                         "- []\n+ [rack: \"b\" use: \"dumps\"]\n")
        self.assertEqual(self.ctl("ChangeTabletTags", "zone1-102", "rack="), "- [rack: \"b\" use: \"dumps\"]\n+ [use: \"dumps\"]\n")
        self.assertRegex(self.ctl("GetTablets", "--tablet-alias", "zone1-102"),
                         r'^zone1-0000000102 commerce 0 rdonly 127\.0\.0\.1:\d+ 127\.0\.0\.1:\d+ \[use: "dumps"\] <null>\n$')
        self.assertEqual(self.ctl("ChangeTabletTags", "--replace", "zone1-102"), "- [use: \"dumps\"]\n+ []\n")
        shown = self.ctl("ChangeTabletType", "--dry-run", "zone1-102", "spare").splitlines()
        self.assertEqual([line.split()[0] for line in shown], ["---", "-", "+"])
        self.assertIn(" rdonly ", self.ctl("GetTablets", "--tablet-alias", "zone1-102"))
        self.assertRegex(self.ctl("ChangeTabletType", "zone1-102", "spare"), r"(?s)^- .* rdonly .*\+ .* spare ")
        self.eventually(lambda: self.assertEqual(self.cluster.vars(self.tablet(102))["TabletStateName"], "NOT_SERVING"))
        self.ctl("ChangeTabletType", "zone1-102", "rdonly")
        self.eventually(lambda: self.assertEqual(self.cluster.vars(self.tablet(102))["TabletStateName"], "SERVING"))
        self.assert_command_fails("PRIMARY -> REPLICA is not an allowed transition", "ChangeTabletType", "zone1-100",
                                  "replica")

    def test_03_statements_and_hooks(self):
        self.dba(100, "insert into customer values (1, 'alice'), (2, null)")
        self.assertEqual(self.dba(100, "select id, name from customer order by id"),
                         "+----+-------+\n| id | name  |\n+----+-------+\n| 1  | alice |\n+----+-------+\n| 2  |       |\n+----+-------+\n")
        result = json.loads(self.dba(100, "select id from customer where id = 1", "--json"))
        self.assertEqual([(f["name"], f["type"]) for f in result["fields"]], [("id", 265)])
        self.assertEqual(result["rows"], [[1]])
        self.assert_command_fails("more than 1 rows", "ExecuteFetchAsDBA", "--max-rows", "1", "zone1-100",
                                  "select id from customer")
        self.assertIn("| 1 ", self.ctl("ExecuteFetchAsApp", "zone1-100", "select id from customer"))
        # Applications may do less than administrators.
        self.assertIn("| vt_app@localhost ", self.ctl("ExecuteFetchAsApp", "zone1-100", "select current_user()"))
        self.assertIn("| vt_dba@localhost ", self.dba(100, "select current_user()"))
        self.assert_command_fails("denied", "ExecuteFetchAsApp", "zone1-100", "set global max_connections = 99")
        tables = self.ctl("ExecuteMultiFetchAsDBA", "zone1-100",
                          "select 1 as one; insert into product values ('SKU-1', 5); select sku from product")
        self.assertEqual(tables.count("SKU-1"), 1)
        self.assertEqual(tables.count("+"), 12)
        self.assert_command_fails("nosuch", "ExecuteMultiFetchAsDBA", "zone1-100", "select 1; select * from nosuch")
        hook = self.cluster.path("vthook", "look.sh")
        os.makedirs(os.path.dirname(hook))
        with open(hook, "w", encoding="utf-8") as file:
            file.write(HOOK)
        os.chmod(hook, os.stat(hook).st_mode | stat.S_IXUSR)
        answer = json.loads(self.ctl("ExecuteHook", "--env", "EXTRA=x", "zone1-100", "look.sh", "one", "two"))
        self.assertEqual(answer["hook_result"], {"exit_status": "3", "stderr": "trouble\nERROR: exit status 3\n",
                                  "stdout": "tablet zone1-0000000100 extra x parameters one two\n"})
        self.assertEqual(json.loads(self.ctl("ExecuteHook", "zone1-100", "missing"))["hook_result"]["exit_status"], "-1")

    def test_04_replication(self):
        self.ctl("StopReplication", "zone1-101")
        self.assert_command_fails("replication is not running on zone1-0000000101", "ValidateShard", "--ping-tablets",
                                  "commerce/0")
        self.ctl("StartReplication", "zone1-101")
        self.assert_replicates(101, 100)

        def equal_positions():
            lines = [line.split() for line in self.ctl("ShardReplicationPositions", "commerce/0").splitlines()]
            self.assertEqual([(line[0], line[3]) for line in lines],
                             [("zone1-0000000100", "primary"), ("zone1-0000000101", "replica"),
                              ("zone1-0000000102", "rdonly")])
            self.assertEqual(len({line[-2] for line in lines}), 1)
            self.assertRegex(lines[0][-2], self.cluster.words.position)
        self.eventually(equal_positions)
        self.assertEqual(self.ctl("Validate", "--ping-tablets"), "Validation complete; no issues found.\n")

    # --- schema ---
    def test_05_schema_commands(self):
        self.assertEqual(self.ctl("GetSchema", "--table-names-only", "zone1-101"), "customer\nproduct\n")
        sizes = json.loads(self.ctl("--compact", "GetSchema", "--table-sizes-only", "--tables", "/^cust/", "zone1-101"))
        self.assertEqual([set(t) - {"row_count"} for t in sizes["table_definitions"]], [{"name", "type", "data_length"}])
        self.assertEqual(self.ctl("ReloadSchema", "zone1-101"), "")
        self.assertEqual(self.ctl("ReloadSchemaShard", "commerce/0"), "")
        self.assertEqual(self.ctl("ReloadSchemaKeyspace", "--include-primary", "--concurrency", "2", "commerce"), "")

        self.dba(100, "create view cheap as select sku, 'commerce.`x`' as text from product where price < 10")
        self.assertEqual(self.ctl("CopySchemaShard", "--include-views", "commerce/0", "other/0"), "")
        self.assertEqual(self.ctl("GetSchema", "--table-names-only", "--include-views", "zone1-200"),
                         "cheap\ncustomer\nproduct\n")
        self.dba(200, "insert into product values ('SKU-2', 5)")
        self.assertIn("commerce.`x`", self.dba(200, "select * from cheap"))
        # Once more changes nothing; a table that differs is left alone.
        self.assertEqual(self.ctl("CopySchemaShard", "--include-views", "zone1-101", "other/0"), "")
        self.dba(200, "alter table product add column extra int")
        self.assert_command_fails("table product exists in shard other/0 already and differs", "CopySchemaShard",
                                  "commerce/0", "other/0")

    def test_06_validation_of_servers_finds_planted_faults(self):
        for command, shown in ((("ValidateSchemaKeyspace", "commerce"), {"0": {}}),
                               (("ValidateSchemaShard", "commerce/0"), {"0": {}}),
                               (("ValidateVersionKeyspace", "commerce"), {"results": [], "results_by_shard": {"0": {"results": []}}}),
                               (("ValidateVersionShard", "commerce/0"), {"results": []})):
            with self.subTest(command=command):
                self.eventually(lambda c=command, s=shown: self.assertEqual(json.loads(self.ctl(*c)), s))
        self.assertEqual(self.ctl("ValidatePermissionsKeyspace", "commerce") + self.ctl("ValidatePermissionsShard", "commerce/0"), "")
        self.assertEqual(self.ctl("ValidateVSchema", "commerce"), "Validation of commerce complete; no issues found.\n")
        self.dba(102, "create table stray(id int primary key)", "--disable-binlogs")
        self.dba(101, "alter table product add column extra int", "--disable-binlogs")
        found = json.loads(self.ctl("ValidateSchemaKeyspace", "commerce"))["0"]["results"]
        self.assertEqual(len(found), 2, found)
        self.assertIn("zone1-0000000102 has an extra table named stray", found)
        self.assertIn("schemas differ on table product", "".join(found))
        self.dba(102, "drop table stray", "--disable-binlogs")
        self.dba(101, "alter table product drop column extra", "--disable-binlogs")
        self.assertEqual(json.loads(self.ctl("ValidateSchemaShard", "commerce/0")), {"0": {}})

        self.dba(101, "create user intruder@localhost", "--disable-binlogs")
        self.assert_command_fails("zone1-0000000101 has an extra user intruder@localhost", "ValidatePermissionsKeyspace",
                                  "commerce")
        self.dba(101, "drop user intruder@localhost", "--disable-binlogs")
        self.assertEqual(self.ctl("ValidatePermissionsKeyspace", "commerce"), "")

        self.ctl("ApplyVSchema", "--vschema", '{"tables": {"customer": {}}}', "commerce")
        missing = r"commerce/0 has tables that are not in the vschema: \[product\]"
        self.assert_command_fails(missing, "ValidateVSchema", "commerce")
        self.assertRegex(self.ctl("ValidateSchemaKeyspace", "--include-vschema", "commerce"), missing)
        self.ctl("ApplyVSchema", "--vschema", VSCHEMA, "commerce")

    # --- two operators ---
    def two(self, first, second):
        """Runs two commands at once, each by a vtctld of its own. [(succeeded, output)]"""
        def run(vtctld, command):
            done = subprocess.run([f"{BIN}/vtctldclient", "--server", f"127.0.0.1:{self.cluster.addresses[vtctld]['grpc']}",
                                   *command], capture_output=True, text=True, timeout=60, check=False)
            if done.returncode == 0:
                self.assertEqual(done.stderr, "")
            return done.returncode == 0, done.stdout + done.stderr
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            futures = [pool.submit(run, "vtctld", first), pool.submit(run, "vtctld2", second)]
            return [future.result() for future in futures]

    def check_two(self, first, second, refusals="cannot lock|exists already"):
        """Both succeed one after the other, or one of them is refused for a reason that names the other's doing."""
        outcomes = self.two(first, second)
        self.assertTrue(any(ok for ok, _ in outcomes), outcomes)
        for ok, output in outcomes:
            if not ok:
                self.assertRegex(output, refusals)
        return outcomes

    def test_07_two_operators_at_once(self):
        """S4-40: 50 pairs of conflicting commands; nothing of a command that succeeded is lost."""
        pairs = 0
        self.ctl("CreateKeyspace", "ops")
        self.ctl("CreateShard", "ops/-80")
        for i in range(5):
            keyspace, rules = f"twice{i}", {}
            outcomes = self.check_two(["CreateKeyspace", keyspace], ["CreateKeyspace", keyspace])
            self.assertEqual(sum(ok for ok, _ in outcomes), 1, outcomes)
            outcomes = self.check_two(["CreateShard", f"{keyspace}/80-"], ["CreateShard", f"{keyspace}/80-"])
            self.assertEqual(sum(ok for ok, _ in outcomes), 1, outcomes)
            outcomes = self.check_two(["SourceShardAdd", "ops/-80", str(10 * i), "a/0"],
                                      ["SourceShardAdd", "ops/-80", str(10 * i + 1), "b/0"])
            shard = json.loads(self.ctl("GetShard", "ops/-80"))["shard"]
            added = {source["uid"] for source in shard["source_shards"]}
            for uid, (ok, _) in zip((10 * i, 10 * i + 1), outcomes):
                self.assertEqual(uid in added, ok)
            outcomes = self.check_two(
                ["SetShardTabletControl", "--denied-tables", f"a{i}", "ops/-80", "primary"],
                ["SetShardTabletControl", "--denied-tables", f"b{i}", "ops/-80", "primary"])
            shard = json.loads(self.ctl("GetShard", "ops/-80"))["shard"]
            for table, (ok, _) in zip((f"a{i}", f"b{i}"), outcomes):
                self.assertEqual(table in shard["tablet_controls"][0]["denied_tables"], ok)
            self.check_two(["SetKeyspaceDurabilityPolicy", "--durability-policy", "semi_sync", "ops"],
                           ["SetVtorcEmergencyReparent", "--disable", "ops"])
            record = json.loads(self.ctl("GetKeyspace", "ops"))["keyspace"]
            self.assertIn(record["durability_policy"], ("semi_sync", "none"))
            outcomes = self.check_two(["ShardReplicationAdd", "ops/-80", f"zone1-{900 + i}"],
                                      ["ShardReplicationAdd", "ops/-80", f"zone1-{950 + i}"])
            graph = json.loads(self.ctl("GetShardReplication", "ops/-80"))["shard_replication_by_cell"]["zone1"]
            uids = {node["tablet_alias"]["uid"] for node in graph["nodes"]}
            for uid, (ok, _) in zip((900 + i, 950 + i), outcomes):
                self.assertEqual(uid in uids, ok)
            self.check_two(["ApplyVSchema", "--vschema", f'{{"tables": {{"a{i}": {{}}}}}}', "ops"],
                           ["ApplyVSchema", "--vschema", f'{{"tables": {{"b{i}": {{}}}}}}', "ops"])
            tables = json.loads(self.ctl("GetVSchema", "ops"))["tables"]
            self.assertEqual(len(tables), 1)
            served = json.loads(self.ctl("GetSrvVSchema", "zone1"))["keyspaces"]["ops"]["tables"]
            self.assertEqual(served, tables)
            for name in "ab":
                rules[name] = json.dumps({"rules": [{"from_table": f"{name}{i}", "to_tables": ["ops.t"]}]})
            self.check_two(["ApplyRoutingRules", "--rules", rules["a"]], ["ApplyRoutingRules", "--rules", rules["b"]])
            kept = self.routing_rules()
            self.assertIn(list(kept), ([f"a{i}"], [f"b{i}"]))
            served = json.loads(self.ctl("GetSrvVSchema", "zone1"))["routing_rules"]["rules"]
            self.assertEqual([rule["from_table"] for rule in served], list(kept))
            self.check_two(["CreateShard", f"{keyspace}/-80"], ["DeleteKeyspace", "--recursive", keyspace],
                           "cannot lock|does not exist|still has")
            # A keyspace exists completely or not at all.
            shards = self.children(f"/global/keyspaces/{keyspace}/shards")
            if "Keyspace" not in self.children(f"/global/keyspaces/{keyspace}"):
                self.assertEqual(shards, [])
            self.check_two(["PlannedReparentShard", "--new-primary", "zone1-101", "commerce/0"],
                           ["PlannedReparentShard", "--new-primary", "zone1-100", "commerce/0"])
            primary = self.shard_primary()
            self.assertIn(primary, (100, 101))
            self.assert_replicates(201 - primary, primary)
            pairs += 10
        self.ctl("ApplyRoutingRules", "--rules", '{"rules": []}')
        for keyspace in json.loads(self.ctl("GetKeyspaces")):
            if keyspace["name"].startswith(("ops", "twice")):
                self.ctl("DeleteKeyspace", "--recursive", keyspace["name"])
        self.assertEqual(pairs, 50)

    def test_08_a_lock_names_its_holder(self):
        impatient = ["--server", f"127.0.0.1:{self.cluster.addresses['vtctld2']['grpc']}"]
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            slow = pool.submit(self.ctl, "ApplySchema", "--sql", "select sleep(3)", "commerce")
            wait_until(lambda: "locks" in self.children("/global/keyspaces/commerce"), "the keyspace to be locked")
            code, output = self.run_program([f"{BIN}/vtctldclient", *impatient, "RebuildKeyspaceGraph", "commerce"])
            self.assertNotEqual(code, 0)
            self.assertRegex(output, r"cannot lock keyspace commerce for RebuildKeyspaceGraph: after waiting 400 ms it is "
                                     r"held by ApplySchema by \S+@\S+ since \d{4}-")
            # Who has more patience gets it.
            self.ctl("RebuildKeyspaceGraph", "commerce")
            slow.result()

    # --- reparents ---
    def kill_server(self, uid):
        """Kills a server, and what would start it again before."""
        with open(self.cluster.path(f"vt_{uid:010d}", "mysql.pid"), encoding="utf-8") as file:
            pid = int(file.read())
        with open(f"/proc/{pid}/stat", encoding="utf-8") as file:
            parent = int(file.read().rpartition(")")[2].split()[1])
        with open(f"/proc/{parent}/cmdline", encoding="utf-8") as file:
            if "safe" in file.read():
                os.kill(parent, 9)
        os.kill(pid, 9)

    def test_11_planned_reparents_and_single_tablets(self):
        self.ctl("PlannedReparentShard", "--new-primary", "zone1-100", "commerce/0")
        # S4-20: rdonly tablets never become the primary.
        self.assert_command_fails("rdonly: only replica tablets", "PlannedReparentShard", "--new-primary", "zone1-102",
                                  "commerce/0")
        self.assert_command_fails("not equal to expected alias", "PlannedReparentShard", "--expected-primary", "zone1-101",
                                  "--new-primary", "zone1-101", "commerce/0")
        answer = json.loads(self.ctl("ReparentTablet", "zone1-102"))
        self.assertEqual(answer["primary"], {"cell": "zone1", "uid": 100})
        self.assert_replicates(102, 100)
        self.assert_command_fails("is the primary of its shard", "ReparentTablet", "zone1-100")

    def test_12_a_reparent_by_another_tool(self):
        with self.cluster.server(self.tablet(100)) as old, self.cluster.server(self.tablet(101)) as new:
            with old.cursor() as old_sql, new.cursor() as new_sql:
                words = self.cluster.words
                old_sql.execute(f"set global {words.read_only} = 1")
                old_sql.execute(words.applied)
                position = old_sql.fetchone()[0]
                new_sql.execute(words.wait_for.format(position))
                self.assertEqual(new_sql.fetchone(), (0,))
                new_sql.execute(words.stop)
                new_sql.execute(words.forget)
                new_sql.execute("set global read_only = 0")
                old_sql.execute(words.follow.format(self.tablet(101).ports["mysqld"]))
                old_sql.execute(words.start)
        answer = json.loads(self.ctl("TabletExternallyReparented", "zone1-101"))
        self.assertEqual((answer["old_primary"]["uid"], answer["new_primary"]["uid"]), (100, 101))
        self.assertEqual(self.shard_primary(), 101)
        self.assertIn(" replica ", self.ctl("GetTablets", "--tablet-alias", "zone1-100"))
        self.ctl("ReparentTablet", "zone1-102")
        self.eventually(lambda: self.assertEqual(self.ctl("ValidateShard", "--ping-tablets", "commerce/0"),
                                                 "Validation of commerce/0 complete; no issues found.\n"))
        # Told twice, nothing changes.
        self.ctl("TabletExternallyReparented", "zone1-101")
        self.assertEqual(self.shard_primary(), 101)

    def test_13_an_emergency(self):
        """S4-38: the primary dies, a replica lags; what any replica has is kept."""
        self.ctl("StopReplication", "zone1-100")
        self.dba(101, "insert into customer values (10, 'kept')")
        self.eventually(lambda: self.assertEqual(self.value(102, "select count(*) from customer where id = 10"), "1"))
        self.assertEqual(self.value(100, "select count(*) from customer where id = 10"), "0")
        dead = self.tablet(101)
        self.kill_server(101)
        self.cluster.processes[dead.name].kill(9)
        shown = self.ctl("EmergencyReparentShard", "commerce/0")
        self.assertIn("commerce/0: zone1-0000000100 is the primary", shown)
        self.assertIn("zone1-0000000100 gets what it lacks from zone1-0000000102", shown)
        self.assertEqual(self.value(100, "select name from customer where id = 10"), "kept")
        self.dba(100, "insert into customer values (11, 'after')")
        self.assert_replicates(102, 100)
        # The dead one comes back as a replica.
        self.cluster.mysqlctl(dead, "start")
        self.cluster.restart(dead.name)
        self.assert_replicates(101, 100)
        self.eventually(lambda: self.assertEqual(self.value(101, "select name from customer where id = 11"), "after"))
        self.assertEqual(self.ctl("ValidateShard", "--ping-tablets", "commerce/0"),
                         "Validation of commerce/0 complete; no issues found.\n")

    def test_14_a_primary_that_was_only_unreachable_steps_back(self):
        old = self.tablet(100)
        os.kill(self.cluster.processes[old.name].pid, 19)  # SIGSTOP: the tablet does not answer, its server does.
        try:
            shown = self.ctl("EmergencyReparentShard", "--wait-replicas-timeout", "5s", "commerce/0")
            self.assertIn("commerce/0: zone1-0000000101 is the primary", shown)
        finally:
            os.kill(self.cluster.processes[old.name].pid, 18)
        self.assert_replicates(100, 101)
        self.assertEqual(self.value(100, "select @@global.read_only"), "1")
        self.eventually(lambda: self.assertIn(" replica ", self.ctl("GetTablets", "--tablet-alias", "zone1-100")))

    def test_15_a_split_brain_is_refused(self):
        self.ctl("StopReplication", "zone1-102")
        self.dba(102, "insert into customer values (20, 'errant')")
        self.dba(101, "insert into customer values (21, 'true')")
        self.eventually(lambda: self.assertEqual(self.value(100, "select count(*) from customer where id = 21"), "1"))
        with self.assertRaisesRegex(Failure, "split brain.*--ignore-replicas"):
            self.ctl("EmergencyReparentShard", "--wait-replicas-timeout", "5s", "commerce/0")
        # Nothing has changed: the primary takes writes, the replica follows.
        self.assertEqual(self.shard_primary(), 101)
        self.dba(101, "insert into customer values (22, 'still')")
        self.assert_replicates(100, 101)
        self.ctl("EmergencyReparentShard", "--ignore-replicas", "zone1-102", "--new-primary", "zone1-100", "commerce/0")
        self.assertEqual(self.shard_primary(), 100)
        self.assertEqual(self.value(100, "select count(*) from customer where id in (21, 22)"), "2")
        self.assert_replicates(101, 100)

    def test_16_replication_set_up_anew(self):
        self.assert_command_fails("is not the shard primary", "InitShardPrimary", "commerce/0", "zone1-101")
        self.ctl("StopReplication", "zone1-102")
        self.dba(102, "delete from customer where id = 20", "--disable-binlogs")
        # MySQL's has gone on to follow, with its errant row.
        self.dba(102, "replace into customer values (21, 'true'), (22, 'still')", "--disable-binlogs")
        self.ctl("InitShardPrimary", "--force", "commerce/0", "zone1-101")
        self.assertEqual(self.shard_primary(), 101)
        for uid in (100, 102):
            self.assert_replicates(uid, 101)
        self.dba(101, "insert into customer values (30, 'anew')")
        for uid in (100, 102):
            self.eventually(lambda u=uid: self.assertEqual(self.value(u, "select name from customer where id = 30"), "anew"))
        self.assertEqual(self.ctl("Validate", "--ping-tablets"), "Validation complete; no issues found.\n")

    # --- output ---
    def test_20_success_is_silent_on_stderr_and_failure_has_a_code(self):
        for command in (["GetCellInfoNames"], ["GetTablets"], ["GetKeyspaces"], ["GetSrvKeyspaceNames"], ["Validate"]):
            done = subprocess.run([f"{BIN}/vtctldclient", "--server",
                                   f"127.0.0.1:{self.cluster.addresses['vtctld']['grpc']}", *command],
                                  capture_output=True, text=True, timeout=30, check=False)
            self.assertEqual((done.returncode, done.stderr), (0, ""), command)
        internal = ["--server", "internal", *self.cluster.topo_flags()]
        code, output = self.run_program([f"{BIN}/vtctldclient", *internal, "GetKeyspace", "commerce"])
        self.assertEqual((code, json.loads(output)["name"]), (0, "commerce"))
        code, output = self.run_program([f"{BIN}/vtctldclient", *internal, "GetKeyspace", "nowhere"])
        self.assertNotEqual(code, 0)
        self.assertTrue(re.search("keyspace nowhere does not exist", output), output)


if __name__ == "__main__":
    main()
