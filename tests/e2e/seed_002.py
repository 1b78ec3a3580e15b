"""The guide to the horizontal resharding workflow (docs/users/workflow_manager.md) from its first line to its last, with the
scripts of examples/local: ZooKeeper, fifteen tablets, a writer that never stops, vtctld killed in some of the phases.
"""

import json
import os
import re
import signal
import subprocess
import threading
import time

import pymysql
import web
from support import ClusterTest, main

from vitrail.cluster import BIN
from vitrail.local_example import LocalExample
from vitrail.processes import Failure, http_json, start_time, wait_until

PHASES = ["copy_schema", "clone", "wait_for_filtered_replication", "diff", "migrate_rdonly", "migrate_replica",
          "migrate_master"]
# vtctld is killed in these of them; VITRAIL_ALL_KILLS=1: in each.
KILLED = PHASES if os.environ.get("VITRAIL_ALL_KILLS") else ["clone", "diff", "migrate_master"]
LONGEST_STOP = 5.0  # Seconds that one statement may take. The machine of a test is busy; docs/performance.md measures.


class Guest:
    """Writes messages one after the other, and remembers those that were acknowledged."""

    def __init__(self, connect):
        self.connect, self.stopping, self.errors = connect, threading.Event(), []
        self.acknowledged, self.took = {}, []
        self.thread = threading.Thread(target=self.work, daemon=True)
        self.thread.start()

    def work(self):
        connection, number = None, 0
        while not self.stopping.wait(0.02):
            number += 1
            page, at, text = number % 100, time.time_ns(), f"message {number}"
            begun = time.monotonic()
            try:
                connection = connection or self.connect()
                with connection.cursor() as cursor:
                    cursor.execute("insert into messages(page, time_created_ns, message) values (%s, %s, %s)", (page, at, text))
                self.acknowledged[(page, at)] = text
            except pymysql.MySQLError as error:
                self.errors.append(f"{time.monotonic():.2f}: {error!r}")
                connection = None
            self.took.append((begun, time.monotonic()))

    def longest(self, since=0.0, until=float("inf")):
        return max((end - begun for begun, end in list(self.took) if end >= since and begun <= until), default=0.0)

    def stop(self):
        self.stopping.set()
        self.thread.join(90)


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


class Seed002(ClusterTest):
    cluster_class = LocalExample
    in_order = True

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

    def approve(self, uuid, phase, name):
        """By clicking where there is a browser, else by commands."""
        if self.clicker is not None:
            # A migration may have ended before a page can show that it was approved.
            lasts = "first" in name and phase != "clone" and not phase.startswith("migrate")
            self.clicker.do("press", f"/{uuid}/{phase}", name, "First shard approved" if lasts else "")
            return
        def pressed():
            code, text = self.cluster.outcome(f"./lvtctl.sh WorkflowAction /{uuid}/{phase} '{name}'")
            return code == 0 or ("no pending approval" not in text and self.fail(text))
        wait_until(pressed, f"{phase} to ask for: {name}", 60, 0.2)

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
        self.clicker = None if problem else Clicker(cluster.port(15000))
        guest = Guest(lambda: cluster.connect("test_keyspace"))
        try:
            self.reshard(guest)
            behind = len(guest.acknowledged) + 20
            wait_until(lambda: len(guest.acknowledged) >= behind or guest.errors, "writes behind the last switch", 30)
        finally:
            guest.stop()
            clicked = 0 if self.clicker is None else self.clicker.close()
        self.assertEqual(clicked, 0, "the pages showed faults")
        self.assertEqual(guest.errors, [])
        self.assertLess(guest.longest(), LONGEST_STOP)
        # S2-69, S2-82: every acknowledged message is on its shard, and nothing else.
        rows = {}
        for uid in (200, 300):
            for page, at, text in cluster.server_rows(uid, "select page, time_created_ns, message from messages"):
                self.assertNotIn((page, at), rows)
                rows[(page, at)] = text
        written = {key: text for key, text in rows.items() if text != "V is for speed"}
        self.assertEqual(written, guest.acknowledged)
        print(f"{len(written)} messages were acknowledged, and all are there")

    def reshard(self, guest):
        cluster = self.cluster
        address = f"localhost:{cluster.port(15033)}"
        if self.clicker is not None:
            uuid = self.clicker.do("create", "test_keyspace", address)
        else:
            said = cluster.run("./lvtctl.sh WorkflowCreate -skip_start=false horizontal_resharding "
                               f"-keyspace=test_keyspace -vtworkers={address} -enable_approvals=true")
            uuid = said.split()[1]
        for phase in PHASES:
            for name in ("Approve first shard", "Approve remaining shards"):
                if name.startswith("Approve rem") and len(self.nodes()[f"/{uuid}/{phase}"]["children"]) == 1:
                    continue
                begun = time.monotonic()
                self.approve(uuid, phase, name)
                task = self.nodes()[f"/{uuid}/{phase}"]["children"][0 if name.startswith("Approve first") else 1]["path"]
                if name == "Approve first shard":
                    if phase == "clone":
                        self.retry_without_vtworker(task)
                    if phase in KILLED:
                        self.kill_vtctld()  # S2-47
                self.wait_done(task)
                if phase == "migrate_master":
                    print(f"the longest write during the switch of the master took {guest.longest(begun) * 1000:.0f} ms")
            nodes = self.nodes()
            print(f"{phase}: {[c.get('log', '').splitlines()[-1:] for c in nodes[f'/{uuid}/{phase}']['children']]}")
        cluster.run(f"./lvtctl.sh WorkflowWait {uuid}")
        nodes = self.nodes()
        self.assertEqual(nodes[f"/{uuid}"]["state"], 2)
        self.assertIn("finished successfully", nodes[f"/{uuid}"]["message"])
        for phase in ("diff",):  # S2-63
            for child in nodes[f"/{uuid}/{phase}"]["children"]:
                self.assertRegex(child["log"], r"(?i)table messages checks out \(\d+ rows processed, \d+ qps\)")

    def retry_without_vtworker(self, task):  # S2-40 to S2-42
        for attempt in range(1, 4):
            wait_until(lambda n=attempt: self.attempts(task) == n, "the clone to fail without a vtworker", 60)
            self.cluster.run(f"./lvtctl.sh WorkflowAction {task} Retry")
        wait_until(lambda: self.attempts(task) == 4, "the clone to fail without a vtworker", 60)
        self.cluster.run("./vtworker-up.sh")  # S2-08
        client = f"vtworkerclient -server localhost:{self.cluster.port(15033)}"
        self.cluster.run(f'PATH="$VITRAIL_BIN:$PATH" {client} Ping hello')
        code, text = self.cluster.outcome(f'PATH="$VITRAIL_BIN:$PATH" {client} Ping again')  # S2-11
        self.assertEqual((code, "run the 'Reset' command" in text), (1, True), text)
        self.cluster.run(f"./lvtctl.sh WorkflowAction {task} Retry")

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
        wait_until(done, f"{task} to end", 180, 0.3)

    def test_4_verify_and_clean_up(self):  # S2-71 to S2-79
        cluster = self.cluster
        self.assertEqual(self.serving(), {"0": False, "-80": True, "80-": True})
        shard = cluster.run("./lvtctl.sh GetShard test_keyspace/-80")
        self.assertNotIn("source_shards", json.loads(shard))  # S2-68
        cluster.run("./client.sh")
        counts = [int(re.search(r"\| +(\d+) +\|", cluster.run(f'./lvtctl.sh ExecuteFetchAsDba test-{uid} "SELECT COUNT(*) AS n FROM messages"'))[1])
                  for uid in (100, 200, 300)]
        self.assertGreater(counts[1] + counts[2], counts[0])
        table = cluster.run('./lvtctl.sh ExecuteFetchAsDba test-200 "SELECT * FROM messages LIMIT 1"').splitlines()
        self.assertRegex(table[1], r"\| +page +\| +time_created_ns +\| +message +\|")
        cluster.run("./vttablet-down.sh")
        cluster.run("./lvtctl.sh DeleteShard -recursive test_keyspace/0")
        self.assertEqual(self.serving(), {"-80": True, "80-": True})
        self.assertEqual(len(cluster.run("./lvtctl.sh ListAllTablets test").splitlines()), 10)
        cluster.run("./client.sh")
        self.run_lines("./vtworker-down.sh", "./vtgate-down.sh", "./sharded-vttablet-down.sh", "./vtctld-down.sh",
                       "./zk-down.sh")
        self.assertEqual([name for name in os.listdir(cluster.path("tmp")) if name.endswith(".pid")], [])


if __name__ == "__main__":
    main()
