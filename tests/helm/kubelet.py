#!/usr/bin/env python3
"""What the test kubelet decides, without containers and without an API server."""

import base64
import os
import struct
import subprocess
import sys
import tempfile
import threading
import unittest

REPOSITORY = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(REPOSITORY, "tools", "kubelet"))

from containers import Check, NotYet, children_of, decoded, environment, expand, give_up  # noqa: E402
from network import Network, dns_answer  # noqa: E402

POD = {"metadata": {"name": "web-0", "namespace": "shop", "uid": "u1"}, "spec": {"nodeName": "node1"}}


def query(name, kind):
    labels = b"".join(bytes([len(part)]) + part.encode() for part in name.split("."))
    return b"\x12\x34" + struct.pack(">HHHHH", 0x0100, 1, 0, 0, 0) + labels + b"\0" + struct.pack(">HH", kind, 1)


class Values(unittest.TestCase):
    def test_references(self):
        for text, wanted in (("$(A)", "1"), ("x$(A)y$(B)", "x1y2"), ("$(C)", "$(C)"), ("$$(A)", "$(A)"), ("$A ${A}", "$A ${A}")):
            self.assertEqual(expand(text, {"A": "1", "B": "2"}), wanted)

    def test_variables_in_their_order(self):
        container = {"env": [{"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}, {"name": "AT", "value": "$(IP):80 $(LATER)"},
                             {"name": "LATER", "value": "no"}, {"name": "WORD", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}},
                             {"name": "NONE", "valueFrom": {"secretKeyRef": {"name": "s", "key": "other", "optional": True}}}]}
        got = environment(container, POD, "127.9.0.1", lambda kind, name: {"k": b"word"} if (kind, name) == ("secret", "s") else None)
        self.assertEqual(got, {"IP": "127.9.0.1", "AT": "127.9.0.1:80 $(LATER)", "LATER": "no", "WORD": "word"})

    def test_what_is_missing_or_unknown_is_said(self):
        for env in ({"name": "X", "valueFrom": {"secretKeyRef": {"name": "gone", "key": "k"}}},
                    {"name": "X", "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels['a']"}}},
                    {"name": "X", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu"}}}):
            with self.assertRaises(NotYet):
                environment({"env": [env]}, POD, "127.9.0.1", lambda *_: None)

    def test_data_of_config_maps_and_secrets(self):
        self.assertEqual(decoded({"data": {"a": "ü"}, "binaryData": {"b": base64.b64encode(b"\0").decode()}}, "configMap"),
                         {"a": "ü".encode(), "b": b"\0"})
        self.assertEqual(decoded({"data": {"a": base64.b64encode(b"\xff").decode()}}, "secret"), {"a": b"\xff"})


class Names(unittest.TestCase):
    def answer(self, name, kind):
        reply = dns_answer(query(name, kind), {"db.shop": ["127.9.0.1", "127.9.0.2"]}.get)
        count = struct.unpack(">H", reply[6:8])[0]
        return reply[3] & 15, [".".join(map(str, reply[len(reply) - 16 * n + 12:][:4])) for n in range(count, 0, -1)]

    def test_answers(self):
        self.assertEqual(self.answer("db.shop", 1), (0, ["127.9.0.1", "127.9.0.2"]))
        self.assertEqual(self.answer("DB.Shop", 1), (0, ["127.9.0.1", "127.9.0.2"]))
        self.assertEqual(self.answer("db.shop", 28), (0, []))  # Known, without IPv6.
        self.assertEqual(self.answer("nobody", 1), (3, []))

    def test_an_answer_is_no_query(self):
        self.assertIsNone(dns_answer(b"\x12\x34\x80" + b"\0" * 20, {}.get))


class EmptyNode:
    changed = threading.Event()

    @staticmethod
    def all_pods():
        return []


class Services(unittest.TestCase):
    def test_a_service_without_pods_has_a_name_until_it_is_deleted(self):
        with tempfile.TemporaryDirectory() as folder:
            network = Network(EmptyNode, os.path.join(folder, "hosts"), "127.9.0.54")
            for name, spec in (("web", {"clusterIP": "10.0.0.7"}), ("db", {"clusterIP": "None"})):
                network.set_service({"metadata": {"namespace": "shop", "name": name, "uid": name}, "spec": {**spec, "selector": {"app": name}}})
            network.update()
            self.assertEqual((network.names.get("web"), network.names.get("db")), (["127.9.0.54"], None))
            network.drop_service({"metadata": {"namespace": "shop", "name": "web"}}, None)
            network.update()
            self.assertEqual(network.names, {})
            network.loop.call_soon_threadsafe(network.loop.stop)


class Commands(unittest.TestCase):
    def test_what_takes_too_long_ends_with_what_it_runs(self):
        with subprocess.Popen(["sh", "-c", "sleep 1000; exit 3"], stdout=subprocess.DEVNULL) as process:
            while not children_of(process.pid):
                self.assertIsNone(process.poll())
            give_up(process)
        self.assertEqual(process.returncode, 3)  # It saw the end of its child: nobody killed it first.


class Probes(unittest.TestCase):
    def test_thresholds(self):
        for spec, results, wanted in (({}, "+", "good"), ({}, "--", None), ({}, "---", "failed"), ({}, "+--", "good"), ({}, "+--+--", "good"),
                                      ({}, "+---", "failed"), ({}, "---+", "good"), ({"failureThreshold": 1}, "+-", "failed"),
                                      ({"successThreshold": 2}, "+", None), ({"successThreshold": 2}, "+-+", None),
                                      ({"successThreshold": 2}, "-++", "good")):
            check = Check(None, spec)
            for result in results:
                check.heed(result == "+")
            self.assertEqual(check.state, wanted, (spec, results))


if __name__ == "__main__":
    unittest.main(verbosity=2)
