#!/usr/bin/env python3
"""What lies in deploy/: alert rules (promtool), dashboard, units, plain manifests, and that every flag in them and in the chart is one that the
program has. Parts whose tools are missing are left out by name."""

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
REPOSITORY = os.path.dirname(os.path.dirname(HERE))
DEPLOY = os.path.join(REPOSITORY, "deploy")
sys.path.insert(0, os.path.join(REPOSITORY, "tools"))

from vitrail.kubernetes import BIN, Missing, render, tool  # noqa: E402

try:
    import yaml
except ImportError:
    print("left out: this needs PyYAML (python3-yaml)")
    sys.exit(77)


def flags_of(program):
    """Names of all flags of a program, commands' own ones too."""
    text = subprocess.run([os.path.join(BIN, program), "--help-json"], capture_output=True, text=True, check=True).stdout
    return {flag["name"].replace("-", "_") for flag in json.loads(text)}


def used(words):
    return {re.match(r"--([a-z0-9_-]+)", word).group(1).replace("-", "_") for word in words if word.startswith("--")}


def rendered(values, *more):
    try:
        tool("helm")
    except Missing as missing:
        raise unittest.SkipTest(f"this needs {missing}") from None
    code, text = render(values, *(flag for file in more for flag in ("--values", file)))
    if code != 0:
        raise AssertionError(text)
    return text


class Flags(unittest.TestCase):
    def test_of_the_chart(self):
        seen = set()
        values = (os.path.join(HERE, "everything.yaml"), os.path.join(REPOSITORY, "examples", "helm", "tls.yaml"))
        for item in yaml.safe_load_all(rendered(*values)):
            pod = ((item or {}).get("spec") or {}).get("template", {}).get("spec", {})
            for container in pod.get("containers", []):
                program = {"mysql": "mysqlctld", "job": "vtctldclient"}.get(container["name"], container["name"])
                if not os.path.exists(os.path.join(BIN, program)):
                    continue
                seen.add(program)
                self.assertEqual(used(container.get("args", [])) - flags_of(program), set(), program)
        self.assertEqual(seen, {"mysqlctld", "vttablet", "vtgate", "vtctld", "vtctldclient", "vtorc"})

    def test_of_its_scripts(self):
        folder = os.path.join(REPOSITORY, "helm", "vitess", "scripts")
        known = flags_of("vtctldclient") | flags_of("mysqlctld") | flags_of("vttablet")
        for name in sorted(os.listdir(folder)):
            with open(os.path.join(folder, name), encoding="utf-8") as file:
                text = file.read().replace("\\\n", " ")
            for line in text.split("\n"):
                if re.search(r"\b(ctl|vtctldclient|topology|server|mysqlctld|vttablet)\b", line) and not line.lstrip().startswith("#") and \
                        not re.search(r"etcdctl|\bothers member\b|exec etcd|pmm-admin", line):
                    words = [w for w in re.findall(r"(?<!\S)--[a-z][a-z_-]+", line) if w not in ("--no-fork",)]
                    self.assertEqual(used(words) - known, set(), f"{name}: {line}")

    def test_of_the_units(self):
        lines = {}
        for name in ("vitrail.env", "tablet.env.example"):
            with open(os.path.join(DEPLOY, "systemd", name), encoding="utf-8") as file:
                lines.update(line.strip().split("=", 1) for line in file if "=" in line and not line.startswith("#"))
        for variable, program in (("VTCTLD_FLAGS", "vtctld"), ("VTGATE_FLAGS", "vtgate"), ("VTTABLET_FLAGS", "vttablet"),
                                  ("MYSQLCTL_FLAGS", "mysqlctl")):
            wanted = used(lines[variable].split()) | (used(lines["TOPOLOGY"].split()) if program != "mysqlctl" else set())
            self.assertEqual(wanted - flags_of(program), set(), variable)


class Monitoring(unittest.TestCase):
    def test_alert_rules(self):
        promtool = shutil.which("promtool")
        if promtool is None:
            self.skipTest("promtool (of Debian's package prometheus) is not here")
        for arguments in (("check", "rules", "alerts.yaml"), ("test", "rules", "alerts_test.yaml")):
            done = subprocess.run([promtool, *arguments], cwd=os.path.join(DEPLOY, "prometheus"), capture_output=True, text=True, check=False)
            self.assertEqual(done.returncode, 0, done.stdout + done.stderr)

    def test_the_dashboard_and_the_rules_use_metrics_that_are_told(self):
        with open(os.path.join(DEPLOY, "grafana", "vitrail.json"), encoding="utf-8") as file:
            text = json.dumps(json.load(file))
        with open(os.path.join(DEPLOY, "prometheus", "alerts.yaml"), encoding="utf-8") as file:
            text += json.dumps(yaml.safe_load(file))
        names = set(re.findall(r"\b(?:vtgate|vttablet|vtctld)_[a-z_]+", text))
        self.assertGreater(len(names), 12)
        with open(os.path.join(HERE, "metrics.txt"), encoding="utf-8") as file:
            known = set(file.read().split())  # e2e_kubernetes compares this list with what the programs tell.
        self.assertEqual({n for n in names if not {n, re.sub(r"_(bucket|sum|count)$", "", n)} & known}, set())

    def test_prometheus_configuration_is_yaml(self):
        with open(os.path.join(DEPLOY, "prometheus", "prometheus.yaml"), encoding="utf-8") as file:
            self.assertEqual(yaml.safe_load(file)["scrape_configs"][0]["job_name"], "vitrail")


class Rest(unittest.TestCase):
    def test_plain_manifests_are_what_the_chart_renders(self):
        rendered(None)
        values = os.path.join(DEPLOY, "kubernetes", "values.yaml")
        made = subprocess.run([sys.executable, os.path.join(REPOSITORY, "tools", "manifests.py"), values], capture_output=True, text=True, check=True)
        with open(os.path.join(DEPLOY, "kubernetes", "cluster.yaml"), encoding="utf-8") as file:
            self.assertEqual(made.stdout, file.read(), "make it anew: tools/manifests.py deploy/kubernetes/values.yaml > deploy/kubernetes/cluster.yaml")

    def test_units(self):
        if shutil.which("systemd-analyze") is None:
            self.skipTest("systemd-analyze is not here")
        folder = os.path.join(DEPLOY, "systemd")
        for name in sorted(n for n in os.listdir(folder) if n.endswith(".service")):
            done = subprocess.run(["systemd-analyze", "verify", os.path.join(folder, name)], capture_output=True, text=True, check=False,
                                  env={**os.environ, "SYSTEMD_UNIT_PATH": f"{folder}:"})
            # The programs are not installed here.
            problems = [line for line in (done.stdout + done.stderr).splitlines() if name in line and "is not executable" not in line]
            self.assertEqual(problems, [])

    def test_the_script_that_tells_pmm_of_a_server(self):
        """With a pmm-admin that is refused at first: it waits, and gives the flags as they are, also one with a blank."""
        scripts = os.path.join(REPOSITORY, "helm", "vitess", "scripts")
        with tempfile.TemporaryDirectory() as folder:
            for name in ("common.sh", "tablet.sh", "pmm-register.sh"):
                with open(os.path.join(scripts, name), encoding="utf-8") as source, open(os.path.join(folder, name), "w", encoding="utf-8") as copy:
                    copy.write(source.read().replace("/vt/scripts", folder))
            with open(os.path.join(folder, "pmm-admin"), "w", encoding="utf-8") as program:
                program.write('#!/bin/bash\nprintf "[%s]" "$@" >>"$CALLS"; echo >>"$CALLS"; [ "$(wc -l <"$CALLS")" -gt 3 ] || [ "$1" = status ]\n')
            os.chmod(program.name, 0o755)
            calls, tablet = os.path.join(folder, "calls"), os.path.join(folder, "vt_1564760600")
            os.mkdir(tablet)
            with socket.socket(socket.AF_UNIX) as server:
                server.bind(os.path.join(tablet, "mysql.sock"))
                env = {"PATH": f"{folder}:{os.environ['PATH']}", "CALLS": calls, "CELL": "zone1", "POD_NAME": "zone1-commerce-0-replica-0",
                       "VTDATAROOT": folder, "WAIT_SECONDS": "60", "KEYSPACE": "commerce", "SHARD_NAME": "-80", "QUERY_SOURCE": "slowlog",
                       "PMM_AGENT_SERVER_ADDRESS": "pmm:443", "PMM_AGENT_SETUP_NODE_NAME": "shop-pod", "PMM_FLAGS": "--environment=shop floor\n--tls"}
                done = subprocess.run(["bash", os.path.join(folder, "pmm-register.sh")], env=env, capture_output=True, text=True, check=False, timeout=90)
            self.assertEqual(done.returncode, 0, done.stderr)
            with open(calls, encoding="utf-8") as file:
                lines = file.read().splitlines()
        add = (f"[add][mysql][--username=vt_monitoring][--socket={tablet}/mysql.sock][--service-name=shop-pod][--cluster=commerce]"
               "[--replication-set=commerce/-80][--query-source=slowlog][--size-slow-logs=-1GiB][--environment=shop floor][--tls]")
        self.assertEqual(lines, ["[status]", add, add, add])

    def test_scripts_of_the_chart_are_bash(self):
        folder = os.path.join(REPOSITORY, "helm", "vitess", "scripts")
        examples = os.path.join(REPOSITORY, "examples", "helm")
        for path in [os.path.join(f, n) for f in (folder, examples) for n in os.listdir(f) if n.endswith(".sh")]:
            done = subprocess.run(["bash", "-n", path], capture_output=True, text=True, check=False)
            self.assertEqual(done.returncode, 0, done.stderr)


if __name__ == "__main__":
    unittest.main(verbosity=2)
