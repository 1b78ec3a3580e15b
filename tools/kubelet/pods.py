"""A pod: its containers in order, its status, its end."""

import json
import os
import shutil
import threading
import time

from api import ApiError
from containers import Container, NotYet, decoded, environment, make_volume, now, stop_all


def condition(kind, holds, since, reason=None):
    out = {"type": kind, "status": "True" if holds else "False", "lastTransitionTime": since, "lastProbeTime": None}
    if reason and not holds:
        out["reason"] = reason
    return out


class Pod:
    """Runs one pod from its binding to its deletion, in a thread of its own."""

    TICK = 0.2

    def __init__(self, node, item):
        self.node, self.item = node, item
        meta = item["metadata"]
        self.name, self.namespace, self.uid = meta["name"], meta["namespace"], meta["uid"]
        self.labels = meta.get("labels", {})
        self.address = node.take_address()
        self.folder = os.path.join(node.root, "pods", self.uid)
        os.makedirs(os.path.join(self.folder, "volumes"), exist_ok=True)
        spec = item["spec"]
        self.restart_policy = spec.get("restartPolicy", "Always")
        self.inits = [Container(c, self, init=True) for c in spec.get("initContainers", [])]
        self.containers = [Container(c, self) for c in spec["containers"]]
        self.volumes, self.sent, self.since = None, None, {}
        self.started = now()
        self.phase, self.finished, self.gone = "Pending", False, False
        self.thread = threading.Thread(target=self.run, name=self.name, daemon=True)

    def path(self, part=""):
        return f"/api/v1/namespaces/{self.namespace}/pods/{self.name}{part}"

    # --- what others ask ---
    def ready(self):
        return self.phase == "Running" and not self.deleting() and all(c.running and c.ready for c in self.containers)

    def deleting(self):
        return self.item["metadata"].get("deletionTimestamp") is not None or self.gone

    def port(self, wanted):
        """A service's targetPort as a number."""
        if isinstance(wanted, int):
            return wanted
        return next((p["containerPort"] for c in self.item["spec"]["containers"] for p in c.get("ports", []) if p.get("name") == wanted), None)

    # --- the pod's thread ---
    def run(self):
        while not self.gone and not self.node.stopping:
            try:
                if self.deleting():
                    self.end()
                    return
                if not self.finished:
                    self.advance()
                self.tell()
            except (OSError, ApiError) as error:
                self.node.note(f"{self.name}: {error}")
                time.sleep(0.5)
            time.sleep(self.TICK)
        for container in [*self.inits, *self.containers]:
            if container.running:
                container.signal(9)

    def advance(self):
        """One step: starts what is due, notes what has ended."""
        for container in self.inits:
            if container.ended is not None and container.ended["exitCode"] == 0:
                continue
            if container.reap():
                if container.ended["exitCode"] == 0:
                    continue
                if self.restart_policy == "Never":
                    self.phase, self.finished = "Failed", True
                    return
                container.restart_later()
            elif not container.running and time.monotonic() >= container.again_at:
                self.start(container)
            return
        for container in self.containers:
            if container.reap() and (self.restart_policy == "Always" or
                                     (self.restart_policy == "OnFailure" and container.ended["exitCode"] != 0)):
                container.restart_later()
            if container.running:
                if container.probe():
                    self.node.note(f"{self.name}: {container.name} fails its liveness probe")
                    stop_all([container], self.item["spec"].get("terminationGracePeriodSeconds", 30))
            elif container.ended is None and time.monotonic() >= container.again_at:
                self.start(container)
        if all(c.ended is not None for c in self.containers):
            self.finished = True
            self.phase = "Succeeded" if all(c.ended["exitCode"] == 0 for c in self.containers) else "Failed"
        elif self.phase == "Pending" and any(c.running for c in self.containers):
            self.phase = "Running"

    def start(self, container):
        try:
            if self.volumes is None:
                claims = os.path.join(self.node.root, "claims", self.namespace)
                self.volumes = {v["name"]: make_volume(v, os.path.join(self.folder, "volumes"), claims, self.config)
                                for v in self.item["spec"].get("volumes", [])}
            container.start(self.volumes, environment(container.spec, self.item, self.address, self.config))
        except NotYet as missing:
            self.volumes = None
            container.waiting = (missing.reason, str(missing))
            container.again_at = time.monotonic() + 1

    def config(self, kind, name):
        plural = {"configMap": "configmaps", "secret": "secrets"}[kind]
        try:
            return decoded(self.node.api.get(f"/api/v1/namespaces/{self.namespace}/{plural}/{name}"), kind)
        except ApiError as error:
            if error.status == 404:
                return None
            raise

    def condition(self, kind, holds, reason=None):
        if self.since.get(kind, (None, None))[0] != holds:
            self.since[kind] = (holds, now())
        return condition(kind, holds, self.since[kind][1], reason)

    def status(self):
        initialised = all(c.ended is not None and c.ended["exitCode"] == 0 for c in self.inits)
        ready = self.ready()
        why = "PodCompleted" if self.phase == "Succeeded" else "ContainersNotReady"
        return {"phase": self.phase, "hostIP": "127.0.0.1", "podIP": self.address, "podIPs": [{"ip": self.address}], "startTime": self.started,
                "initContainerStatuses": [c.status() for c in self.inits], "containerStatuses": [c.status() for c in self.containers],
                "conditions": [self.condition("PodScheduled", True), self.condition("Initialized", initialised, "ContainersNotInitialized"),
                               self.condition("ContainersReady", ready, why), self.condition("Ready", ready, why)]}

    def tell(self):
        status = self.status()
        text = json.dumps(status, sort_keys=True)
        if text == self.sent:
            return
        try:
            self.node.api.patch(self.path("/status"), {"metadata": {"uid": self.uid}, "status": status})
        except ApiError as error:
            if error.status in (404, 409):  # Gone, or another pod of this name.
                return
            raise
        self.sent = text
        self.node.changed.set()

    def try_to_tell(self):
        try:
            self.tell()
        except (OSError, ApiError) as error:
            self.node.note(f"{self.name}: {error}")

    def end(self):
        """The graceful end of a pod that is being deleted."""
        self.node.changed.set()
        grace = self.item["metadata"].get("deletionGracePeriodSeconds", self.item["spec"].get("terminationGracePeriodSeconds", 30))
        all_of_them = [*self.inits, *self.containers]
        stopping = threading.Thread(target=stop_all, args=(all_of_them, grace), daemon=True)
        stopping.start()
        while stopping.is_alive():
            stopping.join(self.TICK)
            for container in all_of_them:
                container.reap()
            self.try_to_tell()
        if self.phase in ("Pending", "Running"):
            ended = all(c.ended is not None and c.ended["exitCode"] == 0 for c in self.containers)
            self.phase = "Succeeded" if ended else "Failed"
        try:
            self.tell()
            self.node.api.delete(self.path(), {"gracePeriodSeconds": 0, "preconditions": {"uid": self.uid}})
        except ApiError as error:
            if error.status not in (404, 409):
                raise
        self.gone = True
        self.keep_logs()

    def keep_logs(self):
        """What the containers wrote stays; their volumes do not."""
        shutil.rmtree(os.path.join(self.folder, "volumes"), ignore_errors=True)
        self.node.forget(self)
