"""Containers as local processes: volumes, environment, processes and probes."""

import base64
import concurrent.futures
import datetime
import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
PATH = "/vt/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
REFERENCE = re.compile(r"\$(\$|\([-._A-Za-z0-9]+\))")
REPORT_AFTER = 20  # Seconds after which what does not heed SIGTERM is told.
probes = concurrent.futures.ThreadPoolExecutor(24)


class NotYet(Exception):
    """Something a container needs is not there: the reason and the message of its waiting state."""

    def __init__(self, reason, message):
        super().__init__(message)
        self.reason = reason


def now():
    return datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def expand(text, values):
    """$(NAME) as Kubernetes has it: unknown names stay, $$ is a dollar."""
    def replace(match):
        name = match.group(1)
        return "$" if name == "$" else values.get(name[1:-1], match.group(0))
    return REFERENCE.sub(replace, text)


def environment(container, pod, address, config):
    """The variables of a container. `config(kind, name)` is the data of a ConfigMap or Secret, or None."""
    out = {}
    if "envFrom" in container:
        raise NotYet("CreateContainerConfigError", "this kubelet knows no envFrom")
    for entry in container.get("env", []):
        source = entry.get("valueFrom")
        if source is None:
            out[entry["name"]] = expand(entry.get("value", ""), out)
            continue
        if "fieldRef" in source:
            out[entry["name"]] = field(pod, address, source["fieldRef"]["fieldPath"])
            continue
        kind, key = next(((k, source[k]) for k in ("secretKeyRef", "configMapKeyRef") if k in source), (None, None))
        if kind is None:
            raise NotYet("CreateContainerConfigError", f"this kubelet cannot fill in {entry['name']}")
        data = config(kind[:-len("KeyRef")], key["name"])
        if data is None or key["key"] not in data:
            if key.get("optional"):
                continue
            raise NotYet("CreateContainerConfigError", f"{kind[:-len('KeyRef')]} {key['name']} with the key {key['key']} is not there")
        out[entry["name"]] = data[key["key"]].decode()
    return out


def field(pod, address, path):
    meta = pod["metadata"]
    fields = {"metadata.name": meta["name"], "metadata.namespace": meta["namespace"], "metadata.uid": meta["uid"],
              "status.podIP": address, "status.hostIP": "127.0.0.1", "spec.nodeName": pod["spec"].get("nodeName", "")}
    if path not in fields:
        raise NotYet("CreateContainerConfigError", f"this kubelet does not know the field {path}")
    return fields[path]


def decoded(item, kind):
    """Bytes by key."""
    if kind == "secret":
        return {k: base64.b64decode(v) for k, v in item.get("data", {}).items()}
    data = {k: v.encode() for k, v in item.get("data", {}).items()}
    data.update({k: base64.b64decode(v) for k, v in item.get("binaryData", {}).items()})
    return data


def make_volume(volume, folder, claims, config):
    """The folder that holds a volume's content."""
    name = volume["name"]
    path = os.path.join(folder, name)
    if "persistentVolumeClaim" in volume:
        path = os.path.join(claims, volume["persistentVolumeClaim"]["claimName"])
        os.makedirs(path, exist_ok=True)
        return path
    if "emptyDir" in volume:
        os.makedirs(path, exist_ok=True)
        return path
    for kind, key in (("configMap", "name"), ("secret", "secretName")):
        if kind in volume:
            data = config(kind, volume[kind][key])
            if data is None:
                raise NotYet("ContainerCreating", f"{kind} {volume[kind][key]} is not there")
            os.makedirs(path, exist_ok=True)
            for file_name, content in data.items():
                with open(os.path.join(path, file_name), "wb") as file:
                    file.write(content)
            return path
    raise NotYet("ContainerCreating", f"this kubelet has no volumes of the kind of {name}")


def children_of(pid):
    try:
        with open(f"/proc/{pid}/task/{pid}/children", encoding="utf-8") as file:
            return [int(child) for child in file.read().split()]
    except OSError:
        return []


def give_up(process):
    """Ends an nsenter by ending what it runs: it takes that in itself. If it died first, nobody would, and a container whose namespace still has a
    process in it does not end."""
    deadline = time.monotonic() + 5
    while process.poll() is None and time.monotonic() < deadline:
        for child in children_of(process.pid):
            try:
                os.kill(child, signal.SIGKILL)
            except ProcessLookupError:
                pass
        time.sleep(0.02)
    process.kill()
    process.wait()


class Container:
    """One container of one pod, over its restarts. Confined to the pod's thread."""

    def __init__(self, spec, pod, init=False):
        self.spec, self.pod, self.init = spec, pod, init
        self.name = spec["name"]
        self.process, self.first, self.started_at = None, None, None
        self.restarts, self.last, self.ended = 0, None, None
        self.waiting = ("PodInitializing" if not init else "ContainerCreating", "")
        self.again_at, self.pause = 0.0, 1.0
        self.ready, self.checks = False, {}
        self.begun = 0.0

    @property
    def running(self):
        return self.process is not None

    def start(self, volumes, env):
        pod, spec = self.pod, self.spec
        root = os.path.join(pod.folder, f"root-{self.name}")
        os.makedirs(root, exist_ok=True)
        argv = [expand(a, env) for a in [*spec.get("command", []), *spec.get("args", [])]]
        mounts = [{"source": volumes[m["name"]], "target": m["mountPath"], "read_only": bool(m.get("readOnly"))}
                  for m in spec.get("volumeMounts", [])]
        # Outer mounts before those inside them.
        mounts.sort(key=lambda m: m["target"])
        what = {"root": root, "bin": pod.node.programs, "mounts": mounts, "files": pod.node.files, "argv": argv,
                "env": {"PATH": PATH, "HOME": "/tmp", "HOSTNAME": pod.name, **env}, "cwd": spec.get("workingDir", "/")}
        self.env = what["env"]
        path = os.path.join(pod.folder, f"{self.name}.json")
        with open(path, "w", encoding="utf-8") as file:
            json.dump(what, file)
        with open(self.log_path(), "ab") as log:
            self.process = subprocess.Popen(
                ["unshare", "--mount", "--pid", "--fork", "--kill-child", sys.executable, os.path.join(HERE, "container.py"), path],
                stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, start_new_session=True)
        self.first, self.started_at, self.begun = None, now(), time.monotonic()
        self.waiting, self.ready = None, "readinessProbe" not in spec
        self.checks = {kind: Check(self, spec[kind]) for kind in ("readinessProbe", "livenessProbe", "startupProbe") if kind in spec}

    def log_path(self):
        return os.path.join(self.pod.folder, f"{self.name}.log")

    def first_process(self):
        """The container's process 1, as we see it; None when it has just been made or has ended."""
        if self.first is None and self.process is not None:
            self.first = next(iter(children_of(self.process.pid)), None)
        return self.first

    def remark(self, text):
        """Something that this kubelet has to say, in the container's log."""
        with open(self.log_path(), "a", encoding="utf-8") as log:
            log.write(f"[kubelet: {text}]\n")

    def processes(self):
        """The container's processes, a line each: id, state, where in the kernel it waits, arguments."""
        parents, lines = {}, []
        for pid in map(int, filter(str.isdigit, os.listdir("/proc"))):
            try:
                with open(f"/proc/{pid}/stat", encoding="utf-8") as stat, open(f"/proc/{pid}/wchan", encoding="utf-8") as where, \
                        open(f"/proc/{pid}/cmdline", encoding="utf-8") as line:
                    state, parent = stat.read().rpartition(")")[2].split()[:2]
                    parents[pid] = (int(parent), f"{pid} {state} {where.read()} {line.read().replace(chr(0), ' ')[:120]}")
            except (OSError, ValueError):
                continue
        process, first = self.process, self.first_process()
        found = {process.pid, first} if process is not None else set()
        while more := {pid for pid, (parent, _) in parents.items() if parent in found} - found:
            found |= more
        lines = [parents[pid][1] for pid in sorted(found - {None}) if pid in parents]
        return "\n".join(lines)

    def signal(self, number):
        first = self.first_process()
        if first is not None:
            try:
                os.kill(first, number)
            except ProcessLookupError:
                pass
        elif number == signal.SIGKILL and self.process is not None:
            self.process.kill()

    def reap(self):
        """Notes that the process has ended; true when it has."""
        if self.process is None:
            return False
        code = self.process.poll()
        if code is None:
            return False
        code = 128 - code if code < 0 else code
        self.ended = {"exitCode": code, "reason": "Completed" if code == 0 else "Error", "startedAt": self.started_at, "finishedAt": now(),
                      "containerID": self.identity()}
        self.pause = 1.0 if time.monotonic() - self.begun > 60 else min(self.pause * 2, 20.0)
        self.again_at = time.monotonic() + self.pause
        self.process, self.first, self.ready = None, None, False
        return True

    def restart_later(self):
        self.last, self.ended = self.ended, None
        self.restarts += 1
        self.waiting = ("CrashLoopBackOff", "")

    def identity(self):
        return f"local://{self.pod.uid}-{self.name}-{self.restarts}"

    def execute(self, argv, timeout):
        """Runs a command in the container: (exit code, output)."""
        first = self.first_process()
        if first is None:
            return 1, "not running"
        process = subprocess.Popen(["nsenter", "--target", str(first), "--mount", "--pid", "--root", "--wd", "--", *argv], env=self.env, cwd="/",
                                   stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        with process.stdout:
            try:
                output, _ = process.communicate(timeout=timeout)
                return process.returncode, output.decode(errors="replace")
            except subprocess.TimeoutExpired:
                give_up(process)
                return 124, f"took longer than {timeout} s"

    def probe(self):
        """Starts probes that are due, and heeds those that are done. True when the container has to be restarted."""
        startup = self.checks.get("startupProbe")
        if startup is not None and not startup.good():
            return startup.step() == "failed"
        readiness, liveness = self.checks.get("readinessProbe"), self.checks.get("livenessProbe")
        if readiness is not None:
            readiness.step()
            self.ready = readiness.good()
        return liveness is not None and liveness.step() == "failed"

    def status(self):
        state = {}
        if self.running:
            state["running"] = {"startedAt": self.started_at}
        elif self.ended is not None:
            state["terminated"] = self.ended
        else:
            state["waiting"] = {"reason": self.waiting[0], "message": self.waiting[1]}
        ready = self.ready if not self.init else self.ended is not None and self.ended["exitCode"] == 0
        return {"name": self.name, "image": self.spec["image"], "imageID": "local", "containerID": self.identity(), "ready": bool(ready),
                "started": self.running, "restartCount": self.restarts, "state": state,
                "lastState": {"terminated": self.last} if self.last else {}}


class Check:
    """One probe of one run of a container."""

    def __init__(self, container, spec):
        self.container, self.spec = container, spec
        self.next = time.monotonic() + spec.get("initialDelaySeconds", 0)
        self.pending, self.failures, self.successes, self.state = None, 0, 0, None

    def good(self):
        return self.state == "good"

    def heed(self, fine):
        """One result. The state changes after so many of a kind in a row; a probe has failed when it fails from the beginning, too."""
        if fine:
            self.failures, self.successes = 0, self.successes + 1
            if self.successes >= self.spec.get("successThreshold", 1):
                self.state = "good"
        else:
            self.failures, self.successes = self.failures + 1, 0
            if self.failures >= self.spec.get("failureThreshold", 3):
                self.state = "failed"

    def step(self):
        """Starts the probe when it is due, and heeds its result. The state: good, failed, or None as long as nothing is known."""
        if self.pending is not None and self.pending.done():
            self.heed(self.pending.exception() is None and self.pending.result())
            self.pending = None
            # Faster than asked for until something is known: nobody likes to wait for tests.
            period = self.spec.get("periodSeconds", 10)
            self.next = time.monotonic() + (min(period, 1) if self.state is None else period)
        if self.pending is None and time.monotonic() >= self.next:
            self.pending = probes.submit(self.ask)
        return self.state

    def ask(self):
        spec, timeout = self.spec, self.spec.get("timeoutSeconds", 1)
        if "exec" in spec:
            return self.container.execute(spec["exec"]["command"], timeout)[0] == 0
        kind = "httpGet" if "httpGet" in spec else "tcpSocket"
        port = spec[kind]["port"]
        if isinstance(port, str):
            port = next(p["containerPort"] for p in self.container.spec["ports"] if p.get("name") == port)
        host = spec[kind].get("host", self.container.pod.address)
        if kind == "tcpSocket":
            socket.create_connection((host, port), timeout).close()
            return True
        connection = http.client.HTTPConnection(host, port, timeout=timeout)
        try:
            connection.request("GET", spec[kind].get("path", "/"))
            return 200 <= connection.getresponse().status < 400
        finally:
            connection.close()


def run_hook(container, seconds):
    """preStop, bounded by the grace period."""
    hook = container.spec.get("lifecycle", {}).get("preStop")
    if hook and "exec" in hook:
        code, output = container.execute(hook["exec"]["command"], seconds)
        container.remark(f"preStop ended with {code}: {output.strip()}")


def stop_all(containers, grace):
    """Hooks, SIGTERM, and SIGKILL for what is left after `grace` seconds. Blocks until all have ended."""
    deadline = time.monotonic() + grace

    def stop(container):
        process = container.process
        run_hook(container, max(deadline - time.monotonic(), 1))
        container.signal(signal.SIGTERM)
        report = time.monotonic() + REPORT_AFTER
        while process is not None and process.poll() is None:
            if time.monotonic() > deadline:
                container.signal(signal.SIGKILL)
            if time.monotonic() > report:
                container.remark(f"SIGTERM was {REPORT_AFTER} s ago, and these are there:\n{container.processes()}")
                report = float("inf")
            time.sleep(0.05)
    threads = [threading.Thread(target=stop, args=(c,)) for c in containers if c.running]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
