#!/usr/bin/env python3
"""A kubelet for tests: runs the containers of pods as processes of this machine, from the programs of a folder instead of images.

It is started as process 1 of a pid namespace (tools/vitrail/kubernetes.py does), so that everything ends with it. There is no scheduler: it takes every
pod that has no node, for the one of its nodes that has fewer of those the pod avoids. What it leaves out: images, users (everything runs as whoever started it), limits, resource fields, envFrom, projected
volumes, kubectl exec and port-forward; a pod that needs one of these says so in its status, where it can be known.
"""

import argparse
import os
import random
import ssl
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from api import Api, ApiError  # noqa: E402
from containers import now  # noqa: E402
from network import Network  # noqa: E402
from pods import Pod  # noqa: E402


class Node:
    """All nodes of the cluster: they differ by name only, for draining one of them."""

    def __init__(self, options):
        self.names = [f"node{n + 1}" for n in range(options.nodes)]
        self.root, self.programs = os.path.abspath(options.root), os.path.abspath(options.bin)
        with open(options.token_file, encoding="utf-8") as file:
            self.api = Api("127.0.0.1", options.api_port, file.read().strip(), options.certificate)
        self.options = options
        self.pods, self.lock = {}, threading.Lock()
        self.placed = {}  # (node, labels) by uid: of pods that are there, or about to be.
        self.changed, self.stopping = threading.Event(), False
        # Another cluster of this machine has, most probably, other addresses.
        self.net, self.next = random.SystemRandom().randrange(16, 250), 256
        hosts, resolver = os.path.join(self.root, "hosts"), os.path.join(self.root, "resolv.conf")
        with open(resolver, "w", encoding="utf-8") as file:
            file.write(f"nameserver 127.{self.net}.0.53\noptions timeout:1 attempts:1\n")
        self.files = {"/etc/hosts": hosts, "/etc/resolv.conf": resolver}
        self.network = Network(self, hosts, f"127.{self.net}.0.54")

    def note(self, text):
        print(f"{now()} {text}", flush=True)

    def take_address(self):
        with self.lock:
            self.next += 1
            if self.next % 256 in (0, 255):
                self.next += 1 if self.next % 256 == 0 else 2
            return f"127.{self.net}.{self.next // 256 % 256}.{self.next % 256}"

    def all_pods(self):
        with self.lock:
            return list(self.pods.values())

    def forget(self, pod):
        with self.lock:
            self.pods.pop(pod.uid, None)
            self.placed.pop(pod.uid, None)
        self.changed.set()

    def register(self):
        for name in self.names:
            node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": {"kubernetes.io/hostname": name}}}
            try:
                self.api.post("/api/v1/nodes", node)
            except ApiError as error:
                if error.status != 409:
                    raise
            self.heartbeat(name)

    def heartbeat(self, name):
        """A node's lease and status: without them its pods would be taken away."""
        capacity = {"cpu": "64", "memory": "256Gi", "pods": "500", "ephemeral-storage": "1Ti"}
        kinds = (("Ready", "True"), ("MemoryPressure", "False"), ("DiskPressure", "False"), ("PIDPressure", "False"))
        self.api.patch(f"/api/v1/nodes/{name}/status", {"status": {
            "capacity": capacity, "allocatable": capacity, "addresses": [{"type": "InternalIP", "address": "127.0.0.1"}],
            "daemonEndpoints": {"kubeletEndpoint": {"Port": self.options.port}},
            "conditions": [{"type": kind, "status": status, "lastHeartbeatTime": now(), "reason": "Test"} for kind, status in kinds]}})
        stamp = now().replace("Z", ".000000Z")
        path = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases"
        lease = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": name},
                 "spec": {"holderIdentity": name, "leaseDurationSeconds": 40, "renewTime": stamp}}
        try:
            self.api.patch(f"{path}/{name}", {"spec": {"renewTime": stamp}})
        except ApiError:
            self.api.post(path, lease)

    def keep_alive(self):
        while not self.stopping:
            try:
                for name in self.names:
                    self.heartbeat(name)
            except (OSError, ApiError) as error:
                self.note(f"heartbeat: {error}")
            time.sleep(8)

    def on_pod(self, item):
        meta = item["metadata"]
        pod = self.pods.get(meta["uid"])
        if pod is not None:
            pod.item = item
            return
        if item.get("status", {}).get("phase") in ("Succeeded", "Failed"):
            return
        if not item["spec"].get("nodeName"):
            self.bind(item)
            return
        if item["spec"]["nodeName"] in self.names:
            pod = Pod(self, item)
            with self.lock:
                self.pods[pod.uid] = pod
            pod.thread.start()

    def bind(self, item):
        if item["metadata"].get("deletionTimestamp"):
            return
        open_nodes = [n["metadata"]["name"] for n in self.api.get("/api/v1/nodes")["items"] if not n["spec"].get("unschedulable")]
        if not open_nodes:
            threading.Timer(1, self.try_again, [item]).start()
            return
        meta = item["metadata"]
        node = min(open_nodes, key=lambda name: self.crowd(name, item))
        self.placed[meta["uid"]] = (node, meta.get("labels", {}))
        try:
            self.api.post(f"/api/v1/namespaces/{meta['namespace']}/pods/{meta['name']}/binding",
                          {"apiVersion": "v1", "kind": "Binding", "metadata": {"name": meta["name"]},
                           "target": {"apiVersion": "v1", "kind": "Node", "name": node}})
        except ApiError as error:
            if error.status not in (404, 409):
                raise

    def crowd(self, name, item):
        """Pods on a node that this one would rather not meet, and all pods on it."""
        terms = item["spec"].get("affinity", {}).get("podAntiAffinity", {}).get("preferredDuringSchedulingIgnoredDuringExecution", [])
        avoided = [term["podAffinityTerm"]["labelSelector"]["matchLabels"] for term in terms]
        there = [labels for node, labels in list(self.placed.values()) if node == name]
        return sum(all(labels.get(k) == v for k, v in wanted.items()) for labels in there for wanted in avoided), len(there)

    def try_again(self, item):
        meta = item["metadata"]
        try:
            self.on_pod(self.api.get(f"/api/v1/namespaces/{meta['namespace']}/pods/{meta['name']}"))
        except ApiError as error:
            if error.status != 404:
                self.note(f"{meta['name']}: {error}")

    def on_pod_gone(self, item, kept):
        gone = [item["metadata"]["uid"]] if item is not None else [p.uid for p in self.all_pods() if p.uid not in kept]
        for uid in gone:
            pod = self.pods.get(uid)
            if pod is not None:
                pod.gone = True
                self.forget(pod)

    def update_network(self):
        while not self.stopping:
            self.changed.wait(1)
            self.changed.clear()
            try:
                self.network.update()
            except Exception as error:  # pylint: disable=broad-except
                self.note(f"network: {error!r}")

    def serve_logs(self):
        """What `kubectl logs` asks: /containerLogs/<namespace>/<pod>/<container>?tailLines=N."""
        node = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                path, _, query = self.path.partition("?")
                parts = path.strip("/").split("/")
                pod = next((p for p in node.all_pods() if len(parts) == 4 and (p.namespace, p.name) == (parts[1], parts[2])), None)
                container = pod and next((c for c in [*pod.inits, *pod.containers] if c.name == parts[3]), None)
                if parts[0] != "containerLogs" or container is None or not os.path.exists(container.log_path()):
                    self.send_error(404)
                    return
                with open(container.log_path(), "rb") as file:
                    lines = file.readlines()
                wanted = dict(part.split("=", 1) for part in query.split("&") if "=" in part).get("tailLines")
                body = b"".join(lines if wanted is None else lines[max(len(lines) - int(wanted), 0):])
                self.send_response(200)
                self.send_header("Content-Type", "text/plain")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        server = ThreadingHTTPServer(("127.0.0.1", self.options.port), Handler)
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(self.options.certificate, self.options.key)
        server.socket = tls.wrap_socket(server.socket, server_side=True)
        server.serve_forever()

    def run(self):
        self.register()
        stopped = lambda: self.stopping  # noqa: E731
        loops = [(self.network.serve_dns, (f"127.{self.net}.0.53",)), (self.keep_alive, ()), (self.update_network, ()), (self.serve_logs, ()),
                 (self.api.watch, ("/api/v1/services", self.network.set_service, self.network.drop_service, stopped))]
        for target, arguments in loops:
            threading.Thread(target=target, args=arguments, daemon=True).start()
        self.note(f"{', '.join(self.names)}: ready")
        self.api.watch("/api/v1/pods", self.on_pod, self.on_pod_gone, stopped)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nodes", type=int, default=2, help="names under which it appears (default: 2)")
    parser.add_argument("--root", required=True, help="folder for pods, volumes and logs")
    parser.add_argument("--bin", required=True, help="folder of the programs that images would have")
    parser.add_argument("--api-port", type=int, required=True)
    parser.add_argument("--token-file", required=True)
    parser.add_argument("--certificate", required=True, help="of the API server; also shown for kubectl logs")
    parser.add_argument("--key", required=True)
    parser.add_argument("--port", type=int, required=True, help="for kubectl logs")
    options = parser.parse_args()
    Node(options).run()


main()
