"""Child processes, free ports and waiting for conditions."""

import json
import os
import random
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request


class Failure(Exception):
    """Something that the user has to know: what failed and what to look at."""


# How many times longer everything takes than with programs of a release: under sanitizers (./dev test --preset asan).
SLOWNESS = float(os.environ.get("VITRAIL_SLOWNESS", "1"))


def wait_until(condition, what, seconds=60, interval=0.05):
    """Calls `condition` until it returns something true, and returns that. Failure after the deadline."""
    seconds *= SLOWNESS
    deadline = time.monotonic() + seconds
    last = None
    while True:
        try:
            value = condition()
            if value:
                return value
        except (OSError, urllib.error.URLError, ValueError) as error:
            last = error
        if time.monotonic() > deadline:
            raise Failure(f"waited {seconds} s for {what}" + (f" (last error: {last})" if last else ""))
        time.sleep(interval)


def stand_still(pid):
    """SIGSTOP, and a wait until none of its threads runs any more: they go on for as long as the first of them has not heard of it."""
    def stands():
        for thread in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{thread}/stat", encoding="utf-8") as file:
                if file.read().rpartition(")")[2].split()[0] not in "Tt":
                    return False
        return True
    os.kill(pid, signal.SIGSTOP)
    wait_until(stands, f"process {pid} to stand still", 20, .005)


def port_is_free(port, host="127.0.0.1"):
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
            return True
        except OSError:
            return False


class Ports:
    """Hands out free TCP ports, each once; the wanted one where it is free. What one cluster was given and has not begun to use is
    given to no other one, of whatever process of this network namespace.

    scattered: none is wanted, so that clusters that start at the same moment do not choose the same. VITRAIL_PORTS=scattered
    makes it so for all.
    """

    def __init__(self, scattered=os.environ.get("VITRAIL_PORTS") == "scattered"):
        self.held, self.scattered = [], scattered

    def hold(self, port):
        """Whether it is now ours: told by a socket of its name, which goes with this process."""
        mine = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        try:
            mine.bind(f"\0vitrail-port-{port}")
        except OSError:
            mine.close()
            return False
        self.held.append(mine)
        return True

    def take(self, wanted=0):
        if wanted and not self.scattered and port_is_free(wanted) and self.hold(wanted):
            return wanted
        # Below those that outgoing connections are given: such a one could take it before its server starts. And not those of
        # vitrail.local_example, whose servers start long after they were chosen.
        while True:
            port = random.randrange(24000, 28500)
            if port_is_free(port) and self.hold(port):
                return port


def http_get(port, path, timeout=2):
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=timeout) as answer:
        return answer.read().decode()


def http_json(port, path, timeout=2):
    return json.loads(http_get(port, path, timeout))


def start_time(pid):
    """When a process started, in clock ticks since boot; None when it is gone. Tells a reused pid apart."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8") as file:
            fields = file.read().rsplit(")", 1)[1].split()
        return None if fields[0] == "Z" else int(fields[19])
    except (OSError, IndexError):
        return None


class Process:
    """One program of the cluster: its command line, its log, and its pid once it runs."""

    def __init__(self, name, argv, log, env=None):
        self.name, self.argv, self.log, self.env = name, [str(a) for a in argv], log, env
        self.child, self.pid, self.started = None, None, None

    def start(self):
        os.makedirs(os.path.dirname(self.log), exist_ok=True)
        with open(self.log, "ab") as log:
            self.child = subprocess.Popen(self.argv, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT,
                                          env={**os.environ, **(self.env or {})}, start_new_session=True)
        self.pid = self.child.pid
        self.started = start_time(self.pid)
        return self

    def running(self):
        if self.child is not None and self.child.poll() is not None:
            return False
        return self.pid is not None and self.started is not None and start_time(self.pid) == self.started

    def log_tail(self, lines=15):
        try:
            with open(self.log, encoding="utf-8", errors="replace") as file:
                return "".join(file.readlines()[-lines:])
        except OSError:
            return ""

    def wait_ready(self, condition, seconds=60):
        def check():
            if not self.running():
                raise Failure(f"{self.name} ended while starting. The end of {self.log}:\n{self.log_tail()}")
            return condition()
        try:
            return wait_until(check, f"{self.name} to become ready", seconds)
        except Failure as failure:
            raise Failure(f"{failure}\nThe end of {self.log}:\n{self.log_tail()}") from None

    def kill(self, number=signal.SIGKILL):
        if self.running():
            os.kill(self.pid, number)

    def wait_ended(self, seconds):
        if self.child is not None:
            try:
                self.child.wait(seconds)
                return True
            except subprocess.TimeoutExpired:
                return False
        deadline = time.monotonic() + seconds
        while self.running():
            if time.monotonic() > deadline:
                return False
            time.sleep(0.02)
        return True

    def stop(self, seconds=30):
        """SIGTERM, then SIGKILL after `seconds`."""
        self.kill(signal.SIGTERM)
        if not self.wait_ended(seconds):
            self.kill(signal.SIGKILL)
            self.wait_ended(10)

    def to_json(self):
        return {"name": self.name, "argv": self.argv, "log": self.log, "env": self.env, "pid": self.pid,
                "started": self.started}

    @staticmethod
    def from_json(data):
        process = Process(data["name"], data["argv"], data["log"], data["env"])
        process.pid, process.started = data["pid"], data["started"]
        return process
