"""The local example (docs/users/workflow_manager.md) with its scripts: ZooKeeper, fifteen tablets, and the workflow up to the
copy: approved by clicking, vtctld killed in between, a clone without its vtworker.
"""

import json
import os
import signal
import subprocess

import web
from support import ClusterTest, main

from vitrail.cluster import BIN
from vitrail.local_example import LocalExample
from vitrail.processes import Failure, http_json, start_time, wait_until


class Clicker:
    """A window of Chromium in which the buttons of the workflow manager are pressed."""

    def __init__(self, port):
        artifacts = os.path.join(os.path.dirname(os.path.abspath(BIN)), "web-pictures")
        os.makedirs(artifacts, exist_ok=True)
        config = {"url": f"http://127.0.0.1:{port}", "chromium": web.CHROMIUM, "artifacts": artifacts}
        self.process = subprocess.Popen(["node", os.path.join(web.TESTS, "clicker.mjs"), json.dumps(config)], text=True,
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def do(self, *words):
        self.process.stdin.write(json.dumps(words) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        answer = json.loads(line or '{"failed": "the browser is gone"}')
        if "failed" in answer:
            raise Failure(f"{words}: {answer['failed']}")
        return answer["done"]

    def close(self):
        self.process.stdin.close()
        with self.process.stdout:
            return self.process.wait(30)


class LocalExampleTest(ClusterTest):
    cluster_class = LocalExample

    @classmethod
    def prepare(cls):
        pass

    @classmethod
    def print_logs(cls):
        pass  # The folder stays.

    def run_lines(self, *lines):
        return "".join(self.cluster.run(line) for line in lines)

    def nodes(self):
        out = {}

        def walk(node):
            out[node["path"]] = node
            for child in node.get("children", []):
                walk(child)
        for root in json.loads(self.cluster.run("./lvtctl.sh WorkflowTree"))["nodes"]:
            walk(root)
        return out

    def kill_vtctld(self):
        pid = self.cluster.pid("vtctld")
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda: start_time(pid) is None, "vtctld to be gone", 20)
        self.cluster.run("./vtctld-up.sh")

    def serving(self):
        """Shards of the dashboard: those that serve, and those that do not."""
        (keyspace,) = http_json(self.cluster.port(15000), "/api/views/cluster")["keyspaces"]
        return {shard["name"]: shard["serves"] for shard in keyspace["shards"]}

    def test_1_getting_started(self):  # S2-01, S2-02
        cluster = self.cluster
        self.run_lines("./zk-up.sh", "./vtctld-up.sh")
        self.assertIn("ListAllTablets", cluster.run("./lvtctl.sh help"))
        started = cluster.run("./vttablet-up.sh")
        self.assertIn("Starting MySQL for tablet test-0000000100...", started)
        cluster.run("./lvtctl.sh InitShardMaster -force test_keyspace/0 test-100")
        cluster.run('./lvtctl.sh ApplySchema -sql "$(cat create_test_table.sql)" test_keyspace')
        cluster.run("./lvtctl.sh Backup test-0000000102")
        self.assertIn("test-0000000102", cluster.run("./lvtctl.sh ListBackups test_keyspace/0"))
        self.run_lines("./lvtctl.sh RebuildVSchemaGraph", "./vtgate-up.sh")
        said = cluster.run("./client.sh")  # S2-73
        for words in ("Inserting into master...", "Reading from master...", "Reading from replica..."):
            self.assertIn(words, said)
        self.assertEqual(said.count("V is for speed"), 6)
        self.assertEqual(cluster.outcome("./lvtctl.sh DeleteShard test_keyspace/0")[0], 1)  # S2-78

    def test_2_preparation(self):  # S2-03 to S2-10
        cluster = self.cluster
        said = cluster.run('./lvtctl.sh ApplyVSchema -vschema "$(cat vschema.json)" test_keyspace')
        self.assertIn('"messages"', said)
        with open(os.path.join(os.path.dirname(__file__), "..", "..", "examples", "local", "vschema.json"),
                  encoding="utf-8") as file:
            wanted = json.load(file)
        self.assertEqual(json.loads(cluster.run("./lvtctl.sh GetVSchema test_keyspace")), wanted)
        cluster.run("./sharded-vttablet-up.sh")
        self.assertEqual(len(cluster.run("./lvtctl.sh ListAllTablets test").splitlines()), 15)
        self.run_lines("./lvtctl.sh InitShardMaster -force test_keyspace/-80 test-200",
                       "./lvtctl.sh InitShardMaster -force test_keyspace/80- test-300")
        self.assertEqual(self.serving(), {"0": True, "-80": False, "80-": False})
        code, text = cluster.outcome("./lvtctl.sh DeleteShard test_keyspace/0")
        self.assertEqual((code, "still serving" in text), (1, True), text)

    def test_3_workflow(self):
        cluster = self.cluster
        problem = web.why_not()
        if problem:
            print(f"by commands alone, without a browser: {problem}")
        clicker = None if problem else Clicker(cluster.port(15000))
        try:
            self.up_to_the_copy(clicker)
        finally:
            clicked = 0 if clicker is None else clicker.close()
        self.assertEqual(clicked, 0, "the pages showed faults")

    def up_to_the_copy(self, clicker):
        cluster = self.cluster
        address = f"localhost:{cluster.port(15033)}"
        if clicker is not None:
            uuid = clicker.do("create", "test_keyspace", address)
        else:
            said = cluster.run("./lvtctl.sh WorkflowCreate -skip_start=false horizontal_resharding "
                               f"-keyspace=test_keyspace -vtworkers={address} -enable_approvals=true")
            uuid = said.split()[1]

        def approve(phase, name, shows=""):
            if clicker is not None:
                clicker.do("press", f"/{uuid}/{phase}", name, shows)
            else:
                cluster.run(f"./lvtctl.sh WorkflowAction /{uuid}/{phase} '{name}'")
        self.assertEqual(cluster.server_rows(200, "show tables"), ())
        approve("copy_schema", "Approve first shard", "First shard approved")
        self.kill_vtctld()  # S2-47
        self.wait_done(f"/{uuid}/copy_schema/-80")
        self.assertEqual(cluster.server_rows(200, "show tables"), (("messages",),))
        self.assertEqual(cluster.server_rows(300, "show tables"), ())  # S2-31
        approve("copy_schema", "Approve remaining shards")
        self.wait_done(f"/{uuid}/copy_schema/80-")
        self.assertEqual(cluster.server_rows(300, "show create table messages"),
                         cluster.server_rows(100, "show create table messages"))  # S2-51
        wait_until(lambda: self.nodes()[f"/{uuid}/clone"].get("actions"), "the clone to ask for its approval")
        approve("clone", "Approve first shard")
        self.retry_without_vtworker(f"/{uuid}/clone/0")
        self.run_lines(f"./lvtctl.sh WorkflowStop {uuid}", f"./lvtctl.sh WorkflowDelete {uuid}")

    def retry_without_vtworker(self, task):  # S2-40 to S2-42
        for attempt in range(1, 4):
            wait_until(lambda n=attempt: self.attempts(task) == n, "the clone to fail without a vtworker", 60)
            self.cluster.run(f"./lvtctl.sh WorkflowAction {task} Retry")
        wait_until(lambda: self.attempts(task) == 4, "the clone to fail without a vtworker", 60)

    def attempts(self, task):
        """How often a task has failed, when it has now."""
        nodes = self.nodes()
        if not nodes[task]["failed"]:
            return 0
        uuid, name = task[1:].split("/", 1)
        return nodes[f"/{uuid}"]["log"].count(f"{name}: failed")

    def wait_done(self, task):
        def done():
            node = self.nodes()[task]
            if node["failed"]:
                raise Failure(f"{task}: {node['message']}\n{node.get('log')}")
            return node["state"] == 2
        wait_until(done, f"{task} to end", 120, 0.3)

    def test_4_tear_down(self):  # S2-79
        cluster = self.cluster
        cluster.run("./client.sh")
        self.run_lines("./vtgate-down.sh", "./vttablet-down.sh", "./sharded-vttablet-down.sh", "./vtctld-down.sh", "./zk-down.sh")
        self.assertEqual([name for name in os.listdir(cluster.path("tmp")) if name.endswith(".pid")], [])


if __name__ == "__main__":
    main()
