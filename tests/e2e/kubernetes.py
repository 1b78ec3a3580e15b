"""The walkthrough on Kubernetes (document 003), from `helm install` to `helm delete`, against a real API server and the kubelet of tools/kubelet.

A client writes all along. VITRAIL_SEQUENCES_FIRST=1: the sequences of step 301 are made before anything is split, which the document would rather
have. Left out where the programs of Kubernetes are not built (`./dev kubernetes build`) or namespaces are not allowed.
"""

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
import urllib.request

import pymysql
import backup_s3
from support import REPOSITORY, ClusterTest, main

from vitrail.cluster import BIN
from vitrail.kubernetes import CHART, COMMANDS, Kubernetes, Missing, go, namespaces, tool
from vitrail.processes import Ports, http_get

EXAMPLES = os.path.join(REPOSITORY, "examples", "helm")
STEPS = sorted(f for f in os.listdir(EXAMPLES) if re.match(r"\d{3}_.*\.yaml$", f))
SEQUENCES_FIRST = os.environ.get("VITRAIL_SEQUENCES_FIRST") == "1"
# Pods of one machine cannot all listen on one address.
SET = ("--set", "config.bindAddress=$(POD_IP),config.backup.enabled=true,config.backup.schedule=0 0 1 1 *")

# What the document prints; the spaces at the ends of lines are not there.
COMMERCE = """Using commerce/0
Customer
+-------------+--------------------+
| customer_id | email              |
+-------------+--------------------+
|           1 | alice@domain.com   |
|           2 | bob@domain.com     |
|           3 | charlie@domain.com |
|           4 | dan@domain.com     |
|           5 | eve@domain.com     |
+-------------+--------------------+
Product
+----------+-------------+-------+
| sku      | description | price |
+----------+-------------+-------+
| SKU-1001 | Monitor     |   100 |
| SKU-1002 | Keyboard    |    30 |
+----------+-------------+-------+
COrder
+----------+-------------+----------+-------+
| order_id | customer_id | sku      | price |
+----------+-------------+----------+-------+
|        1 |           1 | SKU-1001 |   100 |
|        2 |           2 | SKU-1002 |    30 |
|        3 |           3 | SKU-1002 |    30 |
|        4 |           4 | SKU-1002 |    30 |
|        5 |           5 | SKU-1002 |    30 |
+----------+-------------+----------+-------+
"""
CUSTOMER0 = re.sub(r"Product\n.*?(?=COrder)", "", COMMERCE, flags=re.DOTALL).replace("commerce/0", "customer/0")


def without(text, number):
    return "".join(line for line in text.splitlines(True) if not re.search(rf"\| +{number} \| .*(domain|SKU)", line))


LOW = without(CUSTOMER0, 4).replace("customer/0", "customer/-80")
HIGH = """Using customer/80-
Customer
+-------------+----------------+
| customer_id | email          |
+-------------+----------------+
|           4 | dan@domain.com |
+-------------+----------------+
COrder
+----------+-------------+----------+-------+
| order_id | customer_id | sku      | price |
+----------+-------------+----------+-------+
|        4 |           4 | SKU-1002 |    30 |
+----------+-------------+----------+-------+
"""
OLDER_ERROR = (r"ERROR 1105 \(HY000\) at line 4: vtgate: http://[^/]+:15001/: target: commerce\.0\.master, used tablet: zone1-1564760600 "
               r"\(zone1-commerce-0-replica-0\.vttablet\), vttablet: rpc error: code = %s desc = %s \(CallerID: userData1\)")
TABLES = """+--------------------+
| Tables_in_commerce |
+--------------------+
| corder             |
| customer           |
| product            |
+--------------------+
"""


class Client:
    """Inserts customers one after the other, with ids that nobody else uses, and remembers what was acknowledged."""

    def __init__(self, port):
        self.port, self.next = port, 1_000_000
        self.acknowledged, self.errors = [], []
        self.go_on, self.idle, self.ended = threading.Event(), threading.Event(), False
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        connection = None
        while not self.ended:
            if not self.go_on.wait(0.1):
                self.idle.set()
                continue
            self.idle.clear()
            try:
                if connection is None:
                    connection = pymysql.connect(host="127.0.0.1", port=self.port, user="shop", database="customer", autocommit=True,
                                                 read_timeout=60)
                self.next += 1
                with connection.cursor() as cursor:
                    cursor.execute(f"insert into customer(customer_id, email) values ({self.next}, 'w{self.next}')")
                self.acknowledged.append(self.next)
            except pymysql.MySQLError as error:
                self.errors.append(str(error))
                connection = None
            time.sleep(0.01)  # The pace of a client, not a wait.

    def pause(self):
        self.go_on.clear()
        self.idle.wait(70)


class Walkthrough(ClusterTest):
    cluster_class = Kubernetes

    @classmethod
    def prepare(cls):
        cls.cluster.up()
        cls.set = (*SET, *cls.start_bucket())

    @classmethod
    def start_bucket(cls):
        """Flags for backups in a bucket of a real S3 server, which is started; where it cannot be had they are in a folder."""
        cls.bucket = None
        if reason := backup_s3.why_not():
            print(f"without a bucket: {reason}")
            return ()
        cls.bucket, port = cls.cluster.path("bucket"), Ports().take()
        os.makedirs(cls.bucket)
        storage = subprocess.Popen([backup_s3.PROGRAM, "-d", cls.bucket, "-a", "127.0.0.1", "-p", str(port), "--configure-bucket", "backups"],
                                   stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        cls.addClassCleanup(storage.wait)
        cls.addClassCleanup(storage.kill)
        keys = backup_s3.KEYS
        cls.cluster.kubectl("create", "secret", "generic", "s3", "--from-literal=credentials=[default]\n"
                            f"aws_access_key_id = {keys['AWS_ACCESS_KEY_ID']}\naws_secret_access_key = {keys['AWS_SECRET_ACCESS_KEY']}\n")
        return ("--set", "config.backup.backup_storage_implementation=s3,config.backup.s3_backup_storage_bucket=backups,config.backup.s3Secret=s3,"
                f"config.backup.s3_backup_force_path_style=true,config.backup.s3_backup_aws_endpoint=http://127.0.0.1:{port}")

    # --- the cluster as its user sees it ---
    def shell(self, line):
        """Standard output of a command in examples/helm."""
        done = subprocess.run(["bash", "-c", line], cwd=EXAMPLES, env=self.cluster.environment(), capture_output=True, text=True, timeout=120,
                              check=False)
        return done.stdout, done.stderr, done.returncode

    def mysql(self, file):
        return self.shell(f"./kmysql.sh --user=demo --table < ../common/{file}")

    def port(self, service, name):
        ports = self.cluster.get("service", service)["spec"]["ports"]
        return next(p["nodePort"] for p in ports if p["name"] == name)

    def jobs(self):
        return {j["metadata"]["name"]: j.get("status", {}).get("succeeded", 0) for j in self.cluster.items("jobs")}

    def pods(self):
        """READY as kubectl prints it, by name; finished pods are left out, as they were by the kubectl of the document."""
        out = {}
        for pod in self.cluster.items("pods"):
            if pod.get("status", {}).get("phase") in ("Succeeded", "Failed"):
                continue
            ready = [c["ready"] for c in pod.get("status", {}).get("containerStatuses", [])]
            out[pod["metadata"]["name"]] = f"{sum(ready)}/{len(pod['spec']['containers'])}"
        return out

    def rolled_out(self):
        """Every Deployment and StatefulSet has all its pods, of its newest template, and they are ready."""
        for item in self.cluster.items("statefulsets") + self.cluster.items("deployments"):
            status, wanted = item.get("status", {}), item["spec"]["replicas"]
            if status.get("observedGeneration") != item["metadata"]["generation"] or \
                    any(status.get(k, 0) != wanted for k in ("replicas", "updatedReplicas", "readyReplicas")) or \
                    status.get("currentRevision") != status.get("updateRevision"):
                return False
        return True

    def settle(self, wanted_jobs=()):
        """Waits until every job that is there has succeeded and every pod is ready, none of them on its way out."""
        def settled():
            jobs, going = self.jobs(), [p for p in self.cluster.items("pods") if p["metadata"].get("deletionTimestamp")]
            return set(wanted_jobs) <= set(jobs) and all(n == 1 for n in jobs.values()) and not going and self.rolled_out()
        self.cluster.wait(settled, f"jobs {', '.join(wanted_jobs)} and all pods", 200)

    def identities(self):
        return {p["metadata"]["uid"]: p["metadata"]["name"] for p in self.cluster.items("pods")}

    def objects(self):
        return {f"{kind} {o['metadata']['name']}": (o["metadata"]["uid"], o["metadata"].get("generation"), o.get("data"))
                for kind in ("deployments", "statefulsets", "jobs", "services", "configmaps") for o in self.cluster.items(kind)}

    @staticmethod
    def load_values(step):
        import yaml
        with open(os.path.join(EXAMPLES, next(s for s in STEPS if s.startswith(step))), encoding="utf-8") as file:
            return yaml.safe_load(file)

    @staticmethod
    def commerce_of(values):
        return next(k for k in values["topology"]["cells"][0]["keyspaces"] if k["name"] == "commerce")

    def write_values(self, values):
        import yaml
        path = self.cluster.path("values.yaml")
        with open(path, "w", encoding="utf-8") as file:
            yaml.safe_dump(values, file)
        return path

    def upgrade(self, step, jobs=(), extra=(), values=None):
        """A step of the document, and once more: the second time nothing changes."""
        values = values or os.path.join(EXAMPLES, next(s for s in STEPS if s.startswith(step)))
        self.cluster.helm("upgrade", "shop", CHART, "--values", values, *self.set, *extra)
        self.settle(jobs)
        before, pods = self.objects(), self.identities()
        self.cluster.helm("upgrade", "shop", CHART, "--values", values, *self.set, *extra)
        self.assertEqual(self.objects(), before)
        self.assertEqual(self.identities(), pods)

    def ctl(self, *args):
        address = next(p["status"]["podIP"] for p in self.cluster.items("pods", "component=vtctld"))
        return self.cluster.run([f"{BIN}/vtctldclient", "--server", f"{address}:15999", *args]).stdout

    def check_client(self):
        """No error, and every acknowledged row is there, once; then these rows are taken away, for the tables of the document."""
        client = type(self).client
        client.pause()
        self.assertEqual(client.errors, [])
        with pymysql.connect(host="127.0.0.1", port=client.port, user="shop", database="customer", autocommit=True) as connection, \
                connection.cursor() as cursor:
            cursor.execute("select customer_id from customer where customer_id >= 1000000 order by customer_id limit 100000")
            self.assertEqual([row[0] for row in cursor.fetchall()], client.acknowledged)
            for identity in client.acknowledged:
                cursor.execute(f"delete from customer where customer_id = {identity}")
        self.assertGreater(len(client.acknowledged), 0)
        client.acknowledged.clear()

    # --- the document ---
    def test_01_the_api_server_accepts_every_object(self):
        self.cluster.kubectl("create", "namespace", "strict")
        self.cluster.kubectl("label", "namespace", "strict", "pod-security.kubernetes.io/enforce=restricted", "pod-security.kubernetes.io/warn=restricted")
        files = [os.path.join(EXAMPLES, step) for step in STEPS]
        files += [os.path.join(CHART, "values.yaml"), os.path.join(REPOSITORY, "tests", "helm", "everything.yaml")]
        tls = ("--values", os.path.join(EXAMPLES, "tls.yaml"), "--set", "config.backup.backup_storage_implementation=s3",
               "--set", "config.backup.s3_backup_storage_bucket=bucket,config.backup.s3Secret=s3")
        for file, more in [(f, ()) for f in files] + [(files[-1], tls)]:
            manifests = self.cluster.helm("template", "shop", CHART, "--values", file, *more).stdout
            done = self.cluster.kubectl("apply", "--dry-run=server", "--namespace", "strict", "--filename", "-", input=manifests)
            self.assertEqual(done.stderr, "", file)  # A warning, too, is a defect: of a pod that is not "restricted", say.
            self.assertGreater(done.stdout.count("created (server dry run)"), 15)

    def test_02_the_initial_cluster(self):
        self.cluster.helm("install", "shop", CHART, "--values", os.path.join(EXAMPLES, STEPS[0]), *self.set)
        wanted = {"commerce-apply-schema-initial", "commerce-apply-vschema-initial", "zone1-commerce-0-init-shard-master"}
        self.settle(wanted)
        self.assertEqual(self.jobs(), dict.fromkeys(wanted, 1))
        pods = {re.sub(r"-[a-z0-9]{8,10}-[a-z0-9]{5}$", "", name): ready for name, ready in self.pods().items()}
        self.assertEqual(pods, {"etcd-global-0": "1/1", "etcd-zone1-0": "1/1", "vtctld": "1/1", "vtgate-zone1": "1/1",
                                "zone1-commerce-0-rdonly-0": "6/6", "zone1-commerce-0-replica-0": "6/6", "zone1-commerce-0-replica-1": "6/6"})
        tablets = [line.split()[:5] for line in self.ctl("GetTablets").splitlines()]
        self.assertEqual(sorted(t[3] for t in tablets), ["primary", "rdonly", "replica"])
        self.assertIn(["zone1-1564760600", "commerce", "0", "primary", "zone1-commerce-0-replica-0.vttablet:15002"], tablets)
        self.assertEqual(self.shell("./kmysql.sh --user=demo --table --execute 'show tables'")[0], TABLES)
        self.assertEqual(self.mysql("insert_commerce_data.sql"), ("", "", 0))
        self.assertEqual(self.mysql("select_commerce_data.sql"), (COMMERCE, "", 0))
        told = set()
        for component, port in (("vtgate", 15001), ("vttablet", 15002), ("vtctld", 15000)):
            address = self.cluster.items("pods", f"component={component}")[0]["status"]["podIP"]
            with urllib.request.urlopen(f"http://{address}:{port}/metrics", timeout=10) as answer:
                told |= set(re.findall(r"^# TYPE (\S+)", answer.read().decode(), re.MULTILINE))
        with open(os.path.join(REPOSITORY, "tests", "helm", "metrics.txt"), encoding="utf-8") as file:
            self.assertEqual(set(file.read().split()) - told, set())  # What the dashboard and the alert rules may use.
        address = self.shell("./kvtctld.sh")[0].strip()
        self.assertRegex(http_get(int(re.search(r":(\d+)/$", address).group(1)), "/debug/status"), "vtctld")

    def test_03_the_same_step_again_changes_nothing(self):
        before = self.objects()
        self.upgrade("101")
        self.assertEqual(self.objects(), before)
        if SEQUENCES_FIRST:
            values = self.load_values("101")
            self.commerce_of(values)["schema"]["seq"] = self.commerce_of(self.load_values("301"))["schema"]["seq"]
            self.upgrade("101", ["commerce-apply-schema-seq"], values=self.write_values(values))

    def test_04_the_vertical_split(self):
        self.upgrade("201", ["vtctlclient-create-customer-ks"])
        # In the keyspace customer: while both VSchemas list the table (202), its name alone is ambiguous.
        type(self).client = Client(self.port("vtgate-zone1", "mysql"))
        self.client.go_on.set()
        self.upgrade("202", ["commerce-apply-vschema-vsplit", "customer-apply-vschema-vsplit", "customer-copy-schema-0",
                             "zone1-customer-0-init-shard-master"])
        self.assertEqual(sum(ready == "6/6" for ready in self.pods().values()), 6)
        self.upgrade("203", ["vtworker-vertical-split"])
        self.check_client()
        self.assertEqual(self.mysql("select_customer0_data.sql"), (CUSTOMER0, "", 0))
        self.client.go_on.set()
        self.upgrade("204", ["vtctlclient-msf1", "vtctlclient-msf2"])
        self.upgrade("205", ["vtctlclient-msf3"])
        self.check_client()
        out, error, code = self.mysql("select_commerce_data.sql")
        self.assertEqual((out, code), ("Using commerce/0\nCustomer\n", 1))
        self.assertRegex(error, OLDER_ERROR % ("FailedPrecondition", "disallowed due to rule: enforce blacklisted tables"))  # S3-53
        self.assertEqual(self.mysql("select_customer0_data.sql"), (CUSTOMER0, "", 0))
        self.client.go_on.set()
        self.upgrade("206", ["commerce-apply-schema-postsplit", "vtctlclient-vclean1", "vtctlclient-vclean2", "vtctlclient-vclean3"])
        gone = OLDER_ERROR % ("InvalidArgument", "table customer not found in schema")  # S3-62
        self.cluster.wait(lambda: re.search(gone, self.mysql("select_commerce_data.sql")[1]), "vtgate to know that the table is gone")

    def test_05_the_horizontal_split(self):
        jobs, values = ["commerce-apply-vschema-seq", "customer-apply-schema-sharded", "customer-apply-vschema-sharded"], None
        if SEQUENCES_FIRST:
            without_tables = self.load_values("301")
            del self.commerce_of(without_tables)["schema"]
            values = self.write_values(without_tables)
        self.upgrade("301", [*jobs, *([] if SEQUENCES_FIRST else ["commerce-apply-schema-seq"])], values=values)
        self.upgrade("302", ["customer-copy-schema-80-x", "customer-copy-schema-x-80", "zone1-customer-80-x-init-shard-master",
                             "zone1-customer-x-80-init-shard-master"])
        self.assertEqual(sum(ready == "6/6" for ready in self.pods().values()), 12)
        self.assertEqual(self.mysql("select_customer-80_data.sql"), ("Using customer/-80\nCustomer\nCOrder\n", "", 0))
        self.assertEqual(self.mysql("select_customer80-_data.sql"), ("Using customer/80-\nCustomer\nCOrder\n", "", 0))
        self.upgrade("303", ["vtworker-horizontal-split"])
        self.upgrade("304", ["vtctlclient-mst1", "vtctlclient-mst2"])
        self.upgrade("305", ["vtctlclient-mst3"])
        self.check_client()
        self.assertEqual(self.mysql("select_customer-80_data.sql"), (LOW, "", 0))
        self.assertEqual(self.mysql("select_customer80-_data.sql"), (HIGH, "", 0))
        self.client.go_on.set()
        self.upgrade("306")
        self.assertEqual(sum(ready == "6/6" for ready in self.pods().values()), 9)
        self.assertIn('"name": "0"', self.ctl("FindAllShardsInKeyspace", "customer"))
        self.upgrade("307", ["vtctlclient-delete-shard0"])
        self.assertNotIn('"name": "0"', self.ctl("FindAllShardsInKeyspace", "customer"))
        self.upgrade("308")
        self.assertNotIn("vtctlclient-delete-shard0", self.jobs())
        self.check_client()

    # --- beyond the document ---
    def test_06_a_pod_with_a_primary_that_is_taken_away_hands_its_role_over_first(self):
        def primary():
            shard = json.loads(self.ctl("GetShard", "customer/-80"))
            return shard["shard"]["primary_alias"]["uid"]
        before = primary()
        self.client.go_on.set()
        pod = f"zone1-customer-x-80-replica-{before % 100}"
        identity = self.cluster.get("pod", pod)["metadata"]["uid"]
        self.cluster.kubectl("delete", "pod", pod)
        self.cluster.wait(lambda: self.cluster.get("pod", pod)["metadata"]["uid"] != identity, f"{pod} to be made anew")
        self.settle()
        self.assertNotEqual(primary(), before)
        self.check_client()
        log = self.cluster.kubectl("logs", pod, "--container", "mysql").stdout
        self.assertIn("started the server", log)  # On the data that was there.

    def test_06_b_a_node_is_drained(self):
        """The node without vtgate: its clients would have to connect again. etcd or vtctld may be on it, and are away meanwhile, too."""
        home = self.cluster.items("pods", "component=vtgate")[0]["spec"]["nodeName"]
        node = "node2" if home == "node1" else "node1"

        def on_it():
            return {p["metadata"]["uid"] for p in self.cluster.items("pods") if p["spec"].get("nodeName") == node}
        self.assertGreater(len(on_it()), 3)
        self.client.go_on.set()
        self.cluster.kubectl("drain", node, "--force", "--delete-emptydir-data", "--timeout=150s")
        self.settle()
        self.assertEqual(on_it(), set())
        self.check_client()
        self.cluster.kubectl("uncordon", node)

    def test_06_c_a_backup_and_a_restore(self):
        """By the CronJob's own command, of a server that goes on; the restore stops and starts it, in a container that is not the tablet's."""
        self.client.go_on.set()
        self.cluster.kubectl("create", "job", "--from=cronjob/backup-customer-80-x", "backup-now")
        self.settle(["backup-now"])
        self.assertEqual(len(self.ctl("GetBackups", "customer/80-").split()), 1)
        if self.bucket is not None:
            self.assertIn("MANIFEST", str([names for _, _, names in os.walk(self.bucket)]))
        self.cluster.kubectl("delete", "job", "backup-now")
        self.assertIn("are restored and checked", self.ctl("RestoreFromBackup", self.tablet_of("customer/80-", "rdonly")))
        self.settle()
        statuses = self.cluster.get("pod", "zone1-customer-80-x-rdonly-0")["status"]["containerStatuses"]
        self.assertEqual({c["name"]: c["restartCount"] for c in statuses if c["restartCount"]}, {})
        self.check_client()

    def test_07_statements_are_served_while_etcd_and_vtctld_are_away(self):
        self.client.go_on.set()
        before = {p["metadata"]["uid"] for p in self.cluster.items("pods", "component in (etcd, vtctld)")}
        self.assertEqual(len(before), 3)
        rdonly = self.cluster.get("pod", "zone1-customer-80-x-rdonly-0")["metadata"]["uid"]
        # And of tablets: one that is rdonly, and a replica.
        shard = json.loads(self.ctl("GetShard", "customer/-80"))
        replica = f"zone1-customer-x-80-replica-{1 - shard['shard']['primary_alias']['uid'] % 100}"
        before.add(self.cluster.get("pod", replica)["metadata"]["uid"])
        self.cluster.kubectl("delete", "pods", "--selector", "component in (etcd, vtctld)")
        self.cluster.kubectl("delete", "pod", "zone1-customer-80-x-rdonly-0", replica)
        self.settle()
        self.assertEqual((before | {rdonly}) & {p["metadata"]["uid"] for p in self.cluster.items("pods")}, set())
        self.check_client()

    def test_07_b_a_vtgate_is_replaced(self):
        """Its clients connect again; what it has acknowledged is there."""
        client = type(self).client
        client.go_on.set()
        self.cluster.kubectl("delete", "pods", "--selector", "component=vtgate")
        self.settle()
        known = len(client.acknowledged)
        self.cluster.wait(lambda: len(client.acknowledged) > known + 5, "the client to write again")
        client.pause()
        self.assertEqual([e for e in client.errors if not re.search("Lost connection|shutdown|shutting down|Can't connect", e)], [])
        client.errors.clear()
        with pymysql.connect(host="127.0.0.1", port=client.port, user="shop", database="customer") as connection, connection.cursor() as cursor:
            cursor.execute("select customer_id from customer where customer_id >= 1000000 limit 100000")
            self.assertEqual(set(client.acknowledged) - {row[0] for row in cursor.fetchall()}, set())
            cursor.execute("delete from customer where customer_id >= 1000000")
            connection.commit()
        client.acknowledged.clear()

    def test_08_a_command_that_fails_is_seen_and_another_text_is_no_silent_success(self):
        wrong = ("--set", "vtctlclient.backoffLimit=0,jobs[0].name=wrong,jobs[0].kind=vtctlclient", "--set", "jobs[0].command=NoSuchCommand")
        step = os.path.join(EXAMPLES, STEPS[-1])
        self.cluster.helm("upgrade", "shop", CHART, "--values", step, *self.set, *wrong)

        def failed():
            status = self.cluster.get("job", "vtctlclient-wrong").get("status", {})
            return any(c["type"] == "Failed" and c["status"] == "True" for c in status.get("conditions", []))
        self.cluster.wait(failed, "the job to fail")
        self.assertIn("NoSuchCommand", self.cluster.kubectl("logs", "job/vtctlclient-wrong").stdout)
        right = (*wrong[:-1], "jobs[0].command=help")
        refused = self.cluster.helm("upgrade", "shop", CHART, "--values", step, *self.set, *right, check=False)
        self.assertIn("job vtctlclient-wrong has run with another text", refused.stderr)
        self.cluster.kubectl("delete", "job", "vtctlclient-wrong")
        self.upgrade("308", ["vtctlclient-wrong"], right)
        self.upgrade("308")

    def test_09_another_image_and_a_password(self):
        """Tablets restart one by one while the client writes; jobs that have run keep their templates; then vtgate asks for a password."""
        jobs = {j["metadata"]["name"]: j["metadata"]["uid"] for j in self.cluster.items("jobs")}
        self.client.go_on.set()
        # And the etcd grows, by members that join one after the other.
        images = ("--set", "vttablet.vitessTag=next,vtctlclient.vitessTag=next,topology.globalCell.etcd.replicas=3,orchestrator.enabled=true")
        self.upgrade("308", extra=images)
        images_now = {p["spec"]["containers"][1]["image"] for p in self.cluster.items("pods", "component=vttablet")}
        self.assertEqual(images_now, {"vitrail/vttablet:next"})
        etcd = self.cluster.get("pod", "etcd-global-0")["status"]["podIP"]
        members = self.cluster.run(["etcdctl", "--endpoints", f"http://{etcd}:2379", "member", "list"]).stdout
        self.assertEqual(members.count(", started, "), 3, members)
        self.assertEqual({j["metadata"]["name"]: j["metadata"]["uid"] for j in self.cluster.items("jobs")}, jobs)
        self.check_client()
        self.check_vtorc()
        self.check_that_vtorc_acts()
        secret = "pa\"ss\\w'ord"
        self.cluster.kubectl("create", "secret", "generic", "shop-mysql", f"--from-literal=password={secret}")
        self.upgrade("308", extra=(*images, "--set", "topology.cells[0].name=zone1,topology.cells[0].mysqlProtocol.authType=secret,"
                                   "topology.cells[0].mysqlProtocol.username=shop,topology.cells[0].mysqlProtocol.passwordSecret=shop-mysql,"
                                   "topology.cells[0].etcd.replicas=1"))
        port = self.port("vtgate-zone1", "mysql")
        with self.assertRaisesRegex(pymysql.MySQLError, "1045"):
            pymysql.connect(host="127.0.0.1", port=port, user="shop", password="wrong")
        pymysql.connect(host="127.0.0.1", port=port, user="shop", password=secret).close()

    def check_vtorc(self):
        """Both see every shard, and nothing to mend."""
        addresses = [p["status"]["podIP"] for p in self.cluster.items("pods", "component=vtorc")]
        self.assertEqual(len(addresses), 2)
        for address in addresses:
            def ask(path, at=address):
                with urllib.request.urlopen(f"http://{at}:16000{path}", timeout=10) as answer:
                    return json.load(answer)
            self.cluster.wait(lambda: ask("/api/problems") == [], "vtorc to see no problem")
            self.assertEqual(set(ask("/api/database-state")), {"commerce/0", "customer/-80", "customer/80-"})

    def tablet_of(self, shard, kind):
        keyspace, name = shard.split("/")
        lines = self.ctl("GetTablets", "--keyspace", keyspace, "--shard", name).splitlines()
        return next(line.split()[0] for line in lines if f" {kind} " in line)

    def check_that_vtorc_acts(self):
        """A pod with a primary freezes, without an end that could hand its role over."""
        old = self.tablet_of("customer/80-", "primary")
        pod = self.cluster.get("pod", f"zone1-customer-80-x-replica-{int(old.split('-')[1]) % 100}")
        frozen = self.processes_of(pod["metadata"]["uid"])
        self.assertGreaterEqual(len(frozen), len(pod["spec"]["containers"]))
        for pid in frozen:
            os.kill(pid, signal.SIGSTOP)
        try:
            self.cluster.wait(lambda: self.tablet_of("customer/80-", "primary") != old, "vtorc to make another tablet the primary", 60)
            self.client.go_on.set()
            known = len(self.client.acknowledged)
            self.cluster.wait(lambda: len(self.client.acknowledged) > known + 5, "the client to write")
        finally:
            for pid in frozen:
                try:
                    os.kill(pid, signal.SIGCONT)
                except ProcessLookupError:  # Its container was started anew.
                    pass
        self.settle()
        self.cluster.wait(lambda: f"{old} " in self.ctl("GetTablets", "--keyspace", "customer", "--shard", "80-", "--tablet-type", "replica"),
                          f"{old} to be a replica")
        self.check_client()

    @staticmethod
    def processes_of(uid):
        """What runs in the containers of a pod."""
        parents, tops = {}, []
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                with open(f"/proc/{pid}/stat", encoding="utf-8") as file:
                    parents[int(pid)] = int(file.read().rpartition(")")[2].split()[1])
                with open(f"/proc/{pid}/cmdline", encoding="utf-8") as file:
                    if f"/pods/{uid}/" in file.read():
                        tops.append(int(pid))
            except OSError:
                continue
        found = set(tops)
        while more := {pid for pid, parent in parents.items() if parent in found} - found:
            found |= more
        return sorted(found - set(tops))

    def test_10_the_end(self):
        self.client.ended = True
        self.cluster.helm("delete", "shop")
        self.cluster.wait(lambda: not self.cluster.items("pods"), "all pods to go")
        claims = [c["metadata"]["name"] for c in self.cluster.get("persistentvolumeclaims")["items"]]
        self.assertEqual(sum(name.startswith("vtdataroot-zone1-") for name in claims), 12)
        left = self.cluster.get("deployments,statefulsets,jobs,configmaps,services,serviceaccounts")["items"]
        self.assertEqual([o["metadata"]["name"] for o in left if o["metadata"].get("labels", {}).get("app") == "vitess"], [])


if __name__ == "__main__":
    try:
        go()
        namespaces()
        for name in ("helm", *COMMANDS):
            tool(name)
    except Missing as missing:
        print(f"left out: this needs {missing}")
        sys.exit(77)
    main()
