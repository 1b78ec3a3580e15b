"""The workflow manager without tablets: its commands, who runs workflows when a vtctld dies, and its page in a browser
(web/tests/manager.mjs). tests/e2e/seed_002.py carries a whole resharding out.
"""

import json
import os
import subprocess
import time

import web
from support import ClusterTest, main

from vitrail.cluster import BIN
from vitrail.processes import SLOWNESS, http_get, http_json, wait_until


class WorkflowManagerTest(ClusterTest):
    @classmethod
    def prepare(cls):
        cls.cluster.start_vtctld()
        cls.port = cls.cluster.addresses["vtctld"]["port"]
        cls.cluster.vtctldclient("CreateKeyspace", "--durability-policy", "none", "lonely")
        for shard in ("0", "-80", "80-"):
            cls.cluster.vtctldclient("CreateShard", f"lonely/{shard}")

    def argv(self, name="vtctld"):
        return [f"{BIN}/vtctlclient", "--server", f"127.0.0.1:{self.cluster.addresses[name]['grpc']}"]

    def older(self, *args, name="vtctld", fails=None):
        code, text = self.run_program([*self.argv(name), *args], 60)
        if fails is None:
            self.assertEqual(code, 0, text)
        else:
            self.assertEqual(code, 1, text)
            self.assertIn(fails, text)
        return text

    def create(self, *args, **kwargs):
        text = self.older("WorkflowCreate", *args, **kwargs)
        self.assertRegex(text, r"^uuid: [0-9a-f-]{36}\n$")
        return text.split()[1]

    def nodes(self, name="vtctld"):
        """All nodes by path."""
        out = {}

        def walk(node):
            out[node["path"]] = node
            for child in node.get("children", []):
                walk(child)
        for root in json.loads(self.older("WorkflowTree", name=name))["nodes"]:
            walk(root)
        return out

    # S2-09, S2-17, S2-23, S2-25 to S2-28, S2-30 to S2-38, S2-50, S2-84
    def test_1_commands(self):
        self.older("WorkflowCreate", "horizontal_resharding", fails="keyspace name and vtworkers information")
        self.older("WorkflowCreate", "schema_swap", fails="no factory named schema_swap is registered")
        self.older("WorkflowCreate", "horizontal_resharding", "-keyspace=lonely", "-vtworkers=a:1,b:2",
                   fails="there are 2 vtworkers, 1 source shards: the number should be same")
        uuid = self.create("-skip_start=false", "horizontal_resharding", "-keyspace=lonely", "-vtworkers=localhost:1",
                           "-enable_approvals=true")
        self.older("WorkflowCreate", "horizontal_resharding", "-keyspace=lonely", "-vtworkers=localhost:1",
                   fails="reshards lonely/0 already")
        self.older("WorkflowDelete", uuid, fails="cannot delete running workflow")
        nodes = self.nodes()
        self.assertEqual([n["name"] for n in nodes[f"/{uuid}"]["children"]],
                         ["CopySchemaShard", "SplitClone", "WaitForFilteredReplication", "SplitDiff",
                          "MigrateServedTypeRdonly", "MigrateServedTypeReplica", "MigrateServedTypeMaster"])
        self.assertEqual(nodes[f"/{uuid}"]["state"], 1)
        path = f"/{uuid}/copy_schema"
        self.assertEqual([(a["name"], a["state"]) for a in nodes[path]["actions"]],
                         [("Approve first shard", 1), ("Approve remaining shards", 2)])
        self.older("WorkflowAction", path, "Approve remaining shards", fails="no pending approval found")
        self.older("WorkflowAction", path, "Approve first shard")
        self.older("WorkflowAction", path, "Approve first shard",
                   fails="ignored the approval action Approve first shard because no pending approval found: it might be "
                         "already approved before")
        wait_until(lambda: self.nodes()[f"{path}/-80"]["failed"], "the task to fail")
        self.assertEqual(self.nodes()[f"{path}/80-"]["state"], 0)
        self.assertIn("lonely/0", self.nodes()[f"{path}/-80"]["message"])
        record = self.record(f"/global/workflows/{uuid}/Workflow")
        self.assertIn("horizontal_resharding", record)
        self.older("WorkflowStop", uuid)
        self.older("WorkflowWait", uuid, fails="canceled")
        self.assertEqual(self.nodes()[f"/{uuid}"]["state"], 2)
        self.older("WorkflowStart", uuid)  # It goes on: the failed task waits for its Retry.
        self.assertTrue(self.nodes()[f"{path}/-80"]["failed"])
        self.older("WorkflowStop", uuid)
        self.older("WorkflowDelete", uuid)
        self.assertNotIn(f"/{uuid}", self.nodes())
        self.older("WorkflowWait", uuid, fails="does not exist")

    def test_2_validator(self):
        uuid = self.create("topo_validator")
        wait_until(lambda: self.nodes()[f"/{uuid}/validate/topology"]["failed"], "the shards without tablets to be found")
        self.assertIn("lonely", self.nodes()[f"/{uuid}/validate/topology"]["message"])
        self.older("WorkflowStop", uuid)
        self.older("WorkflowDelete", uuid)

    # S2-46, S2-47, S2-49
    def test_3_another_vtctld_goes_on(self):
        cluster = self.cluster
        first = cluster.processes["vtctld"]
        port, grpc = cluster.ports.take(), cluster.ports.take()
        argv = [str(a) for a in first.argv]
        for flag, value in (("--port", port), ("--grpc-port", grpc)):
            argv[argv.index(flag) + 1] = str(value)
        cluster.addresses["second"] = {"port": port, "grpc": grpc}
        cluster.start("second", argv, lambda: http_get(port, "/debug/vars"))
        before = http_json(self.port, "/api/views/manager")
        self.assertTrue(before["leads"])
        self.assertEqual(http_json(port, "/api/views/manager")["leader"], before["leader"])
        uuid = self.create("sleep", f"-duration={round(2 * SLOWNESS)}s")
        task = f"/{uuid}/sleep/sleep"
        wait_until(lambda: self.nodes()[task]["state"] == 1, "the sleep to begin")
        first.kill(9)
        killed = time.monotonic()
        self.older("WorkflowWait", uuid, name="second")
        print(f"the other vtctld ended a sleep of 2 s {time.monotonic() - killed:.1f} s after the death of the first")
        self.assertIn("taken over", self.nodes(name="second")[f"/{uuid}"]["log"])
        self.assertTrue(http_json(port, "/api/views/manager")["leads"])
        cluster.restart("vtctld")
        # The same with the death of the only one.
        cluster.processes["second"].kill(9)
        uuid = self.create("sleep", f"-duration={round(2 * SLOWNESS)}s")
        wait_until(lambda: self.nodes()[f"/{uuid}/sleep/sleep"]["state"] == 1, "the sleep to begin", 30)
        first = cluster.processes["vtctld"]
        first.kill(9)
        cluster.restart("vtctld")
        self.older("WorkflowWait", uuid)
        self.older("WorkflowDelete", uuid)

    def test_4_without_a_manager(self):
        self.restart_vtctld("--workflow-manager-init=false")
        self.older("WorkflowTree", fails="no workflow.Manager registered")
        self.assertFalse(http_json(self.port, "/api/features")["showWorkflows"])
        self.restart_vtctld("--workflow-manager-disable", "sleep")
        self.older("WorkflowCreate", "sleep", fails="no factory named sleep is registered")
        self.restart_vtctld()
        self.assertTrue(http_json(self.port, "/api/features")["showWorkflows"])

    # S2-13 to S2-24, S2-30 to S2-42
    def test_5_page(self):
        if problem := web.why_not():
            self.skipTest(problem)
        artifacts = os.path.join(os.path.dirname(os.path.abspath(BIN)), "web-pictures")
        os.makedirs(artifacts, exist_ok=True)
        config = {"url": f"http://127.0.0.1:{self.port}", "chromium": web.CHROMIUM, "artifacts": artifacts,
                  "vtctlclient": self.argv()}
        done = subprocess.run(["node", os.path.join(web.TESTS, "manager.mjs"), json.dumps(config)], timeout=150, check=False)
        self.assertEqual(done.returncode, 0, f"pictures are in {artifacts}")


if __name__ == "__main__":
    main()
