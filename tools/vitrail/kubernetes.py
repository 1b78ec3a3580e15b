"""A real Kubernetes API on one machine, without containers: kube-apiserver and kube-controller-manager on etcd, and the kubelet of tools/kubelet.

The programs are built from Go's modules into a cache folder, once: helm alone for rendering charts, everything for a cluster.
"""

import json
import os
import re
import secrets
import shutil
import ssl
import subprocess
import sys
import time
import urllib.parse
import urllib.request

from vitrail.processes import Failure, Ports, Process, wait_until

REPOSITORY = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BIN = os.environ.get("VITRAIL_BIN", os.path.join(REPOSITORY, "build", "bin"))
HELM = "helm.sh/helm/v3/cmd/helm@v3.22.0"
VERSION = "1.36.3"  # Of Kubernetes, in tools/kubernetes/go.mod.
GO_WANTED = (1, 26)
COMMANDS = {"kube-apiserver": "cmd/kube-apiserver", "kube-controller-manager": "cmd/kube-controller-manager", "kubectl": "cmd/kubectl"}
GROUPS = {"pods": "/api/v1", "services": "/api/v1", "configmaps": "/api/v1", "jobs": "/apis/batch/v1", "deployments": "/apis/apps/v1",
          "statefulsets": "/apis/apps/v1"}
CHART = os.path.join(REPOSITORY, "helm", "vitess")


class Missing(Exception):
    """Something that this machine does not have: what, and what would be needed."""


def cache():
    base = os.environ.get("VITRAIL_CACHE") or os.path.join(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "vitrail")
    return os.path.join(base, f"kubernetes-{VERSION}")


def go():
    """The Go program, when it is new enough."""
    path = shutil.which("go") or "/usr/local/go/bin/go"
    if not os.path.exists(path):
        raise Missing(f"Go {GO_WANTED[0]}.{GO_WANTED[1]} or newer (to build helm and Kubernetes)")
    text = subprocess.run([path, "env", "GOVERSION"], capture_output=True, text=True, check=False,
                          env={**os.environ, "GOTOOLCHAIN": "local"}).stdout
    found = re.match(r"go(\d+)\.(\d+)", text)
    if not found or tuple(map(int, found.groups())) < GO_WANTED:
        raise Missing(f"Go {GO_WANTED[0]}.{GO_WANTED[1]} or newer: {path} is {text.strip() or 'of an unknown version'}")
    return path


def build(name, seconds):
    """Builds one program into the cache, gently: others may be using this machine."""
    program = go()
    os.makedirs(cache(), exist_ok=True)
    target = os.path.join(cache(), name)
    temporary = f"{target}.{os.getpid()}"
    env = {**os.environ, "GOFLAGS": "-p=1", "GOTOOLCHAIN": "local"}
    if name == "helm":
        folder = os.path.join(cache(), f"install.{os.getpid()}")
        argv, cwd = [program, "install", HELM], cache()
        env["GOBIN"] = folder
    else:
        folder = None
        major, minor, _ = VERSION.split(".")
        told = "".join(f" -X k8s.io/component-base/version.git{key}={value}"
                       for key, value in (("Version", f"v{VERSION}"), ("Major", major), ("Minor", minor), ("TreeState", "clean")))
        argv = [program, "build", f"-ldflags=-s -w{told}", "-o", temporary, f"k8s.io/kubernetes/{COMMANDS[name]}"]
        cwd = os.path.join(REPOSITORY, "tools", "kubernetes")
    try:
        done = subprocess.run(["nice", "-n", "19", *argv], cwd=cwd, env=env, capture_output=True, text=True, timeout=seconds, check=False)
    except subprocess.TimeoutExpired as error:
        raise Missing(f"{name}: building it took longer than {seconds} s; `./dev kubernetes build` takes the time it needs") from error
    if done.returncode != 0:
        raise Missing(f"{name}, which could not be built: {done.stderr.strip()[-600:]}")
    if folder is not None:
        os.replace(os.path.join(folder, "helm"), temporary)
        os.rmdir(folder)
    os.replace(temporary, target)


def tool(name, seconds=0):
    """The path of a program: from the cache, else helm and kubectl of the machine are not used, for outputs are compared. Missing when it is not
    there and could not be built in `seconds`."""
    path = os.path.join(cache(), name)
    if not os.path.exists(path):
        if seconds <= 0:
            go()
            raise Missing(f"{name}: `./dev kubernetes build` builds it")
        print(f"building {name} (once; up to some minutes)", file=sys.stderr, flush=True)
        build(name, seconds)
    return path


def render(values=None, *extra, release="vitess", chart=CHART):
    """(exit code, manifests or the error) of `helm template`."""
    argv = [tool("helm"), "template", release, chart, *(["--values", values] if values else []), *extra]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, env=helm_environment(cache()))
    return done.returncode, done.stdout if done.returncode == 0 else done.stderr


def helm_environment(home):
    """Helm without what the user has configured."""
    return {**{k: v for k, v in os.environ.items() if not k.startswith(("HELM_", "KUBE"))}, "HELM_CACHE_HOME": os.path.join(home, "helm-home"),
            "HELM_CONFIG_HOME": os.path.join(home, "helm-home"), "HELM_DATA_HOME": os.path.join(home, "helm-home")}


def namespaces():
    """How to start process 1 of a namespace: as root, or as root of a user namespace. Missing where neither is allowed."""
    base = ["unshare", "--pid", "--fork", "--kill-child", "--mount", "--mount-proc"]
    for argv in (base, [*base, "--map-root-user"]):
        if subprocess.run([*argv, "true"], capture_output=True, check=False).returncode == 0:
            return argv
    raise Missing("namespaces: run as root, or where users may make user namespaces")


class Kubernetes:
    """A cluster in a folder: made by up(), found again by load()."""

    def __init__(self, root):
        self.root = os.path.abspath(root)
        self.processes, self.ports = {}, {}

    def path(self, *parts):
        return os.path.join(self.root, *parts)

    # --- start and end ---
    def up(self):
        for program in ("etcd", "openssl", "nsenter", "unshare"):
            if shutil.which(program) is None:
                raise Missing(program)
        tools = {name: tool(name) for name in ("helm", *COMMANDS)}
        wrapper = namespaces()
        os.makedirs(self.path("logs"), exist_ok=True)
        ports = Ports()
        self.ports = {name: ports.take() for name in ("etcd", "etcd-peer", "api", "manager", "kubelet")}
        self.prepare()
        self.start("etcd", ["etcd", "--data-dir", self.path("etcd"), "--listen-client-urls", self.url("etcd"), "--advertise-client-urls",
                            self.url("etcd"), "--listen-peer-urls", self.url("etcd-peer"), "--initial-advertise-peer-urls",
                            self.url("etcd-peer"), "--initial-cluster", "default=" + self.url("etcd-peer"), "--unsafe-no-fsync"])
        self.start("kube-apiserver", [
            tools["kube-apiserver"], "--etcd-servers", self.url("etcd"), "--secure-port", self.ports["api"], "--bind-address", "127.0.0.1",
            "--cert-dir", self.path("certs"), "--service-account-issuer", "https://kubernetes", "--service-account-key-file",
            self.path("sa.key"), "--service-account-signing-key-file", self.path("sa.key"), "--token-auth-file", self.path("tokens.csv"),
            "--authorization-mode", "RBAC", "--service-cluster-ip-range", "10.0.0.0/24", "--disable-admission-plugins", "ServiceAccount",
            "--allow-privileged=false"])
        wait_until(lambda: self.kubectl("get", "--raw", "/readyz", check=False).stdout == "ok", "the API server to be ready", 120, 0.3)
        wait_until(lambda: self.kubectl("get", "namespace", "default", check=False).returncode == 0, "the default namespace", 30, 0.3)
        self.start("kube-controller-manager", [
            tools["kube-controller-manager"], "--kubeconfig", self.path("kubeconfig"), "--secure-port", self.ports["manager"],
            "--bind-address", "127.0.0.1", "--cert-dir", self.path("certs-manager"), "--leader-elect=false"])
        # Everything that the kubelet starts ends with it.
        self.start("kubelet", [*wrapper, sys.executable, os.path.join(REPOSITORY, "tools", "kubelet", "kubelet.py"), "--root", self.path("node"),
                               "--bin", BIN, "--api-port", self.ports["api"], "--token-file", self.path("token"), "--certificate",
                               self.path("certs", "apiserver.crt"), "--key", self.path("certs", "apiserver.key"), "--port",
                               self.ports["kubelet"]])
        wait_until(self.node_is_ready, "the node to be ready", 60, 0.3)

    def prepare(self):
        """Keys, the one token, and the kubeconfig."""
        os.makedirs(self.path("node"), exist_ok=True)
        subprocess.run(["openssl", "genrsa", "-out", self.path("sa.key"), "2048"], capture_output=True, check=True)
        token = secrets.token_hex(16)
        for name, text in (("token", token), ("tokens.csv", f"{token},admin,admin,system:masters\n"), ("kubeconfig", json.dumps({
                "apiVersion": "v1", "kind": "Config", "current-context": "test",
                "clusters": [{"name": "test", "cluster": {"server": f"https://127.0.0.1:{self.ports['api']}", "insecure-skip-tls-verify": True}}],
                "users": [{"name": "admin", "user": {"token": token}}],
                "contexts": [{"name": "test", "context": {"cluster": "test", "user": "admin", "namespace": "default"}}]}))):
            with open(os.open(self.path(name), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
                file.write(text)

    def url(self, name):
        return f"http://127.0.0.1:{self.ports[name]}"

    def start(self, name, argv):
        self.processes[name] = Process(name, argv, self.path("logs", name + ".log")).start()
        self.save()

    def save(self):
        with open(self.path("kubernetes.json"), "w", encoding="utf-8") as file:
            json.dump({"ports": self.ports, "processes": [p.to_json() for p in self.processes.values()]}, file)

    @staticmethod
    def load(root):
        cluster = Kubernetes(root)
        try:
            with open(cluster.path("kubernetes.json"), encoding="utf-8") as file:
                state = json.load(file)
        except FileNotFoundError:
            return None
        cluster.ports = state["ports"]
        cluster.processes = {p["name"]: Process.from_json(p) for p in state["processes"]}
        return cluster

    def down(self):
        """Stops everything. The pods' processes are killed: a cluster of this kind is not started again."""
        for name in ("kubelet", "kube-controller-manager", "kube-apiserver", "etcd"):
            process = self.processes.pop(name, None)
            if process is not None:
                if name == "kubelet":
                    process.kill()
                process.stop(10)
        if os.path.isdir(self.root):
            self.save()
        return []

    def running(self):
        return all(p.running() for p in self.processes.values()) and bool(self.processes)

    # --- commands ---
    def environment(self):
        return {**helm_environment(self.root), "KUBECONFIG": self.path("kubeconfig"), "ETCDCTL_API": "3", "PATH": f"{cache()}:{os.environ['PATH']}"}

    def run(self, argv, check=True, timeout=300, **options):
        done = subprocess.run([str(a) for a in argv], env=self.environment(), capture_output=True, text=True, timeout=timeout, check=False,
                              **options)
        if check and done.returncode != 0:
            raise Failure(f"{' '.join(map(str, argv))}: {(done.stderr + done.stdout).strip()}")
        return done

    def kubectl(self, *args, **options):
        return self.run([tool("kubectl"), *args], **options)

    def helm(self, *args, **options):
        return self.run([tool("helm"), *args], **options)

    def get(self, kind, *args):
        return json.loads(self.kubectl("get", kind, "--output", "json", *args).stdout)

    def items(self, kind, selector=None):
        """The objects of one kind, asked of the server itself: a tenth of the cost of kubectl, for what is asked again and again."""
        query = f"?labelSelector={urllib.parse.quote(selector)}" if selector else ""
        with open(self.path("token"), encoding="utf-8") as file:
            headers = {"Authorization": f"Bearer {file.read().strip()}"}
        url = f"https://127.0.0.1:{self.ports['api']}{GROUPS[kind]}/namespaces/default/{kind}{query}"
        tls = ssl.create_default_context(cafile=self.path("certs", "apiserver.crt"))
        tls.check_hostname = False
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=30, context=tls) as answer:
            return json.load(answer)["items"]

    def node_is_ready(self):
        if not self.processes["kubelet"].running():
            raise Failure(f"the kubelet has ended:\n{self.processes['kubelet'].log_tail()}")
        nodes = self.get("nodes")["items"]
        return any(c["type"] == "Ready" and c["status"] == "True" for n in nodes for c in n.get("status", {}).get("conditions", []))

    def wait(self, condition, what, seconds=120):
        """Waits, and says what the pods were doing when it takes too long."""
        try:
            return wait_until(condition, what, seconds, 0.5)
        except Failure as failure:
            pods = self.kubectl("get", "pods,jobs", check=False).stdout
            raise Failure(f"{failure}\n{pods}\n{self.unhappy_logs()}") from None

    def unhappy_logs(self):
        """The last lines of containers that are not well."""
        out = []
        for pod in self.get("pods")["items"]:
            status = pod.get("status", {})
            for one in [*status.get("initContainerStatuses", []), *status.get("containerStatuses", [])]:
                ended = one.get("state", {}).get("terminated", {}).get("exitCode", 1) == 0
                lingers = "deletionTimestamp" in pod["metadata"] and "running" in one.get("state", {})
                if (not one.get("ready") or lingers) and not ended:
                    path = self.path("node", "pods", pod["metadata"]["uid"], one["name"] + ".log")
                    lines = []
                    if os.path.exists(path):
                        with open(path, encoding="utf-8", errors="replace") as file:
                            lines = file.readlines()[-8:]
                    out.append(f"--- {pod['metadata']['name']} {one['name']} {json.dumps(one.get('state'))}\n" + "".join(lines))
        return "\n".join(out[:12])


def elapsed(start):
    return f"{time.monotonic() - start:.0f} s"
