#!/usr/bin/env python3
"""The chart as it is rendered: golden files, one change for every key, and what has to be refused.

The golden files are of the first step and of all objects at once; of the other steps they hold what they change in the objects of the step before.
`tests/helm/render.py --accept` writes them anew: review the difference.
"""

import concurrent.futures
import copy
import difflib
import json
import os
import re
import sys
import tempfile
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
REPOSITORY = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, os.path.join(REPOSITORY, "tools"))

from vitrail.kubernetes import CHART, Missing, render, tool  # noqa: E402

try:
    import yaml
except ImportError:
    print("left out: this needs PyYAML (python3-yaml)")
    sys.exit(77)

EXAMPLES = os.path.join(REPOSITORY, "examples", "helm")
GOLDEN = os.path.join(HERE, "golden")
ACCEPT = "--accept" in sys.argv


def objects(text):
    """The rendered objects by kind and name, as text; scripts left out: they are files of the chart."""
    out = {}
    for part in re.split(r"^---$", text, flags=re.MULTILINE):
        item = yaml.safe_load(part)
        if item and item["metadata"]["name"] != "vitess-scripts":
            body = "\n".join(line for line in part.strip().split("\n") if not line.startswith("#"))
            out[f"{item['kind']} {item['metadata']['name']}"] = body
    return out


def as_text(items):
    return "".join(f"--- {name}\n{body}\n" for name, body in sorted(items.items()))


def render_values(values, *extra):
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
        yaml.safe_dump(values, file)
        file.flush()
        return render(file.name, *extra)


def load(path):
    with open(path, encoding="utf-8") as file:
        return yaml.safe_load(file)


class Golden(unittest.TestCase):
    maxDiff = None

    def compare(self, name, text):
        path = os.path.join(GOLDEN, name)
        if ACCEPT:
            with open(path, "w", encoding="utf-8") as file:
                file.write(text)
        with open(path, encoding="utf-8") as file:
            self.assertEqual(text, file.read(), f"{name}: if the change is meant, run tests/helm/render.py --accept")

    def test_steps(self):
        steps = sorted(f for f in os.listdir(EXAMPLES) if re.match(r"\d{3}_.*\.yaml$", f))
        self.assertEqual(len(steps), 15)
        before = None
        for step in steps:
            code, text = render(os.path.join(EXAMPLES, step))
            name = step[:-len(".yaml")]
            self.assertEqual(code, 0, text)
            items = objects(text)
            if before is None:
                self.compare(f"{name}.yaml", as_text(items))
            else:
                lines = difflib.unified_diff(as_text(before).splitlines(), as_text(items).splitlines(), "before", "after", lineterm="", n=0)
                kept = [line for line in lines if not line.startswith("@@")]
                self.compare(f"{name}.diff", "\n".join(kept) + "\n")
            before = items

    def test_everything(self):
        code, text = render(os.path.join(HERE, "everything.yaml"))
        self.assertEqual(code, 0, text)
        self.compare("everything.yaml", as_text(objects(text)))

    def test_names_are_those_of_the_walkthrough(self):
        wanted = {
            "101_initial_cluster": ["Deployment vtctld", "Deployment vtgate-zone1", "StatefulSet zone1-commerce-0-replica",
                                    "StatefulSet zone1-commerce-0-rdonly", "StatefulSet etcd-global", "StatefulSet etcd-zone1",
                                    "Job commerce-apply-schema-initial", "Job commerce-apply-vschema-initial",
                                    "Job zone1-commerce-0-init-shard-master", "Service vtgate-zone1", "Service vtctld"],
            "201_customer_keyspace": ["Job vtctlclient-create-customer-ks"],
            "202_customer_tablets": ["Job commerce-apply-vschema-vsplit", "Job customer-apply-vschema-vsplit", "Job customer-copy-schema-0",
                                     "Job zone1-customer-0-init-shard-master"],
            "301_customer_sharded": ["Job commerce-apply-schema-seq", "Job commerce-apply-vschema-seq", "Job customer-apply-schema-sharded",
                                     "Job customer-apply-vschema-sharded"],
            "302_new_shards": ["Job customer-copy-schema-80-x", "Job customer-copy-schema-x-80", "Job zone1-customer-80-x-init-shard-master",
                               "Job zone1-customer-x-80-init-shard-master", "StatefulSet zone1-customer-x-80-replica"],
            "307_delete_shard_0": ["Job vtctlclient-delete-shard0"],
        }
        for step, names in wanted.items():
            code, text = render(os.path.join(EXAMPLES, step + ".yaml"))
            self.assertEqual(code, 0, text)
            self.assertEqual(set(names) - set(objects(text)), set(), step)
        self.assertNotIn("StatefulSet zone1-customer-0-replica", objects(text))

    def test_a_tablet_has_six_containers_and_its_volume_the_name_that_the_teardown_looks_for(self):
        tablet = yaml.safe_load(objects(render(os.path.join(EXAMPLES, "101_initial_cluster.yaml"))[1])["StatefulSet zone1-commerce-0-replica"])
        names = [c["name"] for c in tablet["spec"]["template"]["spec"]["containers"]]
        self.assertEqual(names, ["mysql", "vttablet", "logrotate", "error-log", "general-log", "slow-log"])
        self.assertEqual(tablet["spec"]["volumeClaimTemplates"][0]["metadata"]["name"], "vtdataroot")
        for container in tablet["spec"]["template"]["spec"]["containers"][:2]:
            self.assertNotIn("resources", container)  # `resources:` without a value takes the baseline away.

    def test_pmm_watches_each_tablet(self):
        items = objects(render(os.path.join(HERE, "everything.yaml"))[1])
        server = yaml.safe_load(items["StatefulSet pmm"])["spec"]
        self.assertEqual(yaml.safe_load(items["Service pmm"])["spec"]["selector"], server["selector"]["matchLabels"])
        self.assertEqual(server["volumeClaimTemplates"][0]["metadata"]["name"], server["template"]["spec"]["containers"][0]["volumeMounts"][0]["name"])
        tablets = [name for name, text in items.items() if name.startswith("StatefulSet") and "component: vttablet" in text]
        self.assertEqual(len(tablets), 5)
        for name in tablets:
            client = yaml.safe_load(items[name])["spec"]["template"]["spec"]["containers"][6]
            env = {e["name"]: e.get("value") for e in client["env"]}
            self.assertEqual((client["name"], env["PMM_AGENT_SERVER_ADDRESS"], env["PMM_FLAGS"]), ("pmm-client", "pmm:443", "--environment=shop floor"))
        self.assertEqual([name for name in objects(render(os.path.join(EXAMPLES, "101_initial_cluster.yaml"))[1]) if name.endswith(" pmm")], [])
        code, text = render(os.path.join(HERE, "everything.yaml"), "--set", "pmm.server.enabled=false,pmm.server.address=pmm.example:8443")
        self.assertEqual(code, 0, text)
        self.assertEqual(text.count('"pmm.example:8443"'), 5)
        self.assertEqual([name for name in objects(text) if name.endswith(" pmm")], [])

    def test_two_cells_share_a_shard(self):
        items = objects(render(os.path.join(HERE, "everything.yaml"))[1])
        self.assertEqual([n for n in items if n.startswith("Job") and n.endswith("commerce-0-init-shard-master")],
                         ["Job zone1-commerce-0-init-shard-master"])
        job = yaml.safe_load(items["Job zone1-commerce-0-init-shard-master"])
        env = {e["name"]: e["value"] for e in job["spec"]["template"]["spec"]["containers"][0]["env"]}
        self.assertEqual(env["TABLETS"], "4")


# What to try for keys whose type does not say it; a list of alternatives is taken from the first that differs.
SAMPLES = {
    "shards.0.name": "40-", "resources": {"requests": {"cpu": "7"}}, "mysqlResources": {"requests": {"cpu": "7"}}, "annotations": {"new": "yes"},
    "serviceAnnotations": {"new": "yes"}, "nodeSelector": {"new": "yes"}, "tolerations": [{"key": "new", "operator": "Exists"}],
    "affinity": {"podAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": []}}, "extraFlags": {"new_flag": "1"},
    "mysqlctlFlags": {"new_flag": "1"}, "secrets": ["new"], "pullSecrets": ["new"], "dataVolumeClaimSpec": {"storageClassName": "new"},
    "podSecurityContext": {"runAsUser": 1}, "topoRoot": "/other", "healthCheckInterval": "9s", "users": [{"kind": "User", "name": "new"}],
    "clients": [{"podSelector": {}}], "operators": [{"podSelector": {}}], "monitoring": [{"podSelector": {}}], "schema": {"new": "select 1"},
    "vschema": {"new": "{}"}, "volume": {"emptyDir": {}}, "schedule": "1 2 * * *", "tables": ["new"], "env": {"NEW": "1"}, "mysqlBufferPoolMib": 4096, "source": "new/0", "jobs": [], "keyspaces": [], "shards": [], "tablets": [], "cells": [],
}
S3 = {"config": {"backup": {"backup_storage_implementation": "s3", "s3_backup_storage_bucket": "bucket"}}}
OTHER_PMM = {"pmm": {"server": {"enabled": False, "address": "pmm.example:443"}}}
# Further values without which a key has nothing to say.
CONTEXT = {
    "etcd.version": {"etcd": {"operator": True}},
    "autoscaling": {"vtgate": {"autoscaling": {"enabled": True}}},
    "vtgate.replicas": {"vtgate": {"autoscaling": {"enabled": False}}},
    "vttablet.mysqlBufferPoolMib": {"vttablet": {"mysqlSize": "prod"}},
    "slowLog.longQueryTime": {"vttablet": {"slowLog": {"enabled": True}}},
    "s3_backup_storage_bucket": S3, "s3_backup_storage_root": S3, "s3_backup_aws_region": S3, "s3_backup_aws_endpoint": S3,
    "s3_backup_force_path_style": S3, "s3_backup_server_side_encryption": S3, "s3Secret": S3,
    "pmm.credentials.username": OTHER_PMM, "pmm.server.address": OTHER_PMM,
    "kind": {"jobs": [{"name": "one", "kind": "vtctldclient", "command": "Validate"}]},
}
# Refused with a reason: what is not built, and a change that leaves another key without its meaning.
REFUSED = ("config.backup.enabled", "config.backup.backup_storage_implementation", "pmm.server.enabled", "topology.cells.0.name", "jobs.0.cell", "jobs.0.kind")


def merge(base, over):
    for key, value in over.items():
        if isinstance(value, dict) and isinstance(base.get(key), dict):
            merge(base[key], value)
        else:
            base[key] = value
    return base


class Keys(unittest.TestCase):
    """Every key that values.schema.json allows changes what is rendered, or is refused with a reason."""

    maxDiff = None

    @classmethod
    def setUpClass(cls):
        with open(os.path.join(CHART, "values.schema.json"), encoding="utf-8") as file:
            cls.schema = json.load(file)
        cls.base = merge(load(os.path.join(CHART, "values.yaml")), load(os.path.join(HERE, "everything.yaml")))

    def resolve(self, node):
        return self.schema["definitions"][node["$ref"].rsplit("/", 1)[1]] if "$ref" in node else node

    def leaves(self, node, path=()):
        node = self.resolve(node)
        if isinstance(node.get("properties"), dict):
            for name, child in node["properties"].items():
                yield from self.leaves(child, (*path, name))
        elif isinstance(node.get("items"), dict) and self.resolve(node["items"]).get("properties"):
            yield from self.leaves(node["items"], (*path, 0))
        else:
            yield path, node

    @staticmethod
    def others(path, node, old):
        """Other values than the old one that the schema allows. Where there was none, one of them may be what holds anyway."""
        for name in (".".join(map(str, path[-3:])), path[-1]):
            if name in SAMPLES:
                return [SAMPLES[name]]
        if "enum" in node:
            return [v for v in node["enum"] if v != old] if len(node["enum"]) > 1 else []
        kind = node.get("type")
        if kind == "boolean":
            return [v for v in (False, True) if v != old]
        if kind in ("integer", "number"):
            return [(old or 6) + 1]
        return [f"new{old or ''}"] if isinstance(old, str) or old is None else []

    def cases(self):
        """(key, other value, values, values with it) for every key and every value to try."""
        for path, node in self.leaves(self.schema):
            dotted = ".".join(str(p) for p in path)
            values = copy.deepcopy(self.base)
            context = next((c for k, c in CONTEXT.items() if dotted == k or dotted.endswith("." + k) or f".{k}." in f".{dotted}."), None)
            if context:
                merge(values, copy.deepcopy(context))
            changed = copy.deepcopy(values)
            place = changed
            for step in path[:-1]:
                if isinstance(place, dict) and place.get(step) is None:
                    place[step] = {}
                place = place[step]
            for new in self.others(path, node, place.get(path[-1])):
                place[path[-1]] = new
                yield dotted, new, values, copy.deepcopy(changed)

    def test_each_key_has_an_effect(self):
        cases = list(self.cases())
        self.assertGreater(len({dotted for dotted, *_ in cases}), 150)
        before = {}
        for _, _, values, _ in cases:
            key = json.dumps(values)
            if key not in before:
                code, before[key] = render_values(values)
                self.assertEqual(code, 0, before[key])
        with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
            outcomes = list(pool.map(lambda case: render_values(case[3]), cases))
        effects, wrong = {}, []
        for (dotted, new, values, _), (code, text) in zip(cases, outcomes):
            effects[dotted] = effects.get(dotted, False) or code != 0 or text != before[json.dumps(values)]
            if code != 0 and dotted not in REFUSED:
                wrong.append(f"{dotted} = {new!r}: {text}")
        self.assertEqual("\n".join(wrong), "")
        self.assertEqual([dotted for dotted, any_effect in effects.items() if not any_effect], [])

    def test_values_yaml_tells_every_key(self):
        """What the schema allows at the top stands in values.yaml, as a value or in a comment."""
        with open(os.path.join(CHART, "values.yaml"), encoding="utf-8") as file:
            text = file.read()
        missing = [".".join(map(str, path)) for path, _ in self.leaves(self.schema) if not re.search(rf"\b{path[-1]}\b", text)]
        self.assertEqual(missing, [])


class Refused(unittest.TestCase):
    def refused(self, values, *texts):
        code, text = render_values(merge(load(os.path.join(EXAMPLES, "101_initial_cluster.yaml")), values))
        self.assertNotEqual(code, 0)
        for wanted in texts:
            self.assertIn(wanted, text)

    def test_unknown_keys(self):
        self.refused({"vtgate": {"replica": 3}}, "replica")
        self.refused({"topology": {"cells": [{"name": "zone1", "keyspace": []}]}}, "keyspace")

    def test_what_is_not_built(self):
        self.refused({"jobs": [{"name": "split", "kind": "vtworker", "command": "SplitClone customer/0"}]}, "job split", "give the job's cell")

    def test_pmm_servers_that_are_two_or_none(self):
        self.refused({"pmm": {"enabled": True, "server": {"enabled": False}}}, "pmm.server.address")
        self.refused({"pmm": {"enabled": True, "server": {"address": "pmm.example:443"}}}, "pmm.server.address")
        self.refused({"pmm": {"enabled": True, "credentials": {"username": "service_token"}}}, "pmm.credentials.username")
        self.refused({"pmm": {"enabled": True, "server": {"enabled": False, "address": "pmm.example"}}}, "address")
        self.refused({"pmm": {"enabled": True, "server": {"storage": "5Gi"}}}, "storage")

    def test_backups_that_would_go_nowhere(self):
        self.refused({"config": {"backup": {"enabled": True, "backup_storage_implementation": "s3"}}}, "s3_backup_storage_bucket")
        self.refused({"config": {"backup": {"enabled": True, "backup_storage_implementation": "gcs"}}}, "backup_storage_implementation")
        self.refused({"config": {"backup": {"schedule": "0 3 * * *"}}}, "config.backup.enabled")
        self.refused({"config": {"backup": {"enabled": True, "volume": None}}}, "volume")

    def test_shard_names(self):
        for name in ("x", "80", "-80-", "8g-"):
            self.refused({"topology": {"cells": [{"name": "z", "keyspaces": [{"name": "k", "shards": [{"name": name}]}]}]}}, "shards")

    def test_names_that_kubernetes_would_refuse_later(self):
        cell = {"name": "zone1", "keyspaces": [{"name": "k" * 60, "shards": [{"name": "0", "tablets": [{"type": "replica"}]}]}]}
        self.refused({"topology": {"cells": [cell]}}, "allows 52")

    def test_two_keyspaces_of_one_name(self):
        shards = [{"name": "0", "tablets": [{"type": "replica"}]}]
        cell = {"name": "zone1", "keyspaces": [{"name": "a_b", "shards": shards}, {"name": "a-b", "shards": shards}]}
        self.refused({"topology": {"cells": [cell]}}, "zone1-a-b-0-replica")

    def test_two_texts_of_one_name(self):
        def cell(name, text):
            return {"name": name, "keyspaces": [{"name": "k", "schema": {"initial": text}}]}
        self.refused({"topology": {"cells": [cell("a", "select 1"), cell("b", "select 2")]}}, "two cells give different texts")


if __name__ == "__main__":
    if ACCEPT:
        sys.argv.remove("--accept")
    try:
        tool("helm", seconds=float(os.environ.get("VITRAIL_HELM_BUILD_SECONDS", "420")))
    except Missing as missing:
        print(f"left out: this needs {missing}")
        sys.exit(77)
    unittest.main(verbosity=2)
