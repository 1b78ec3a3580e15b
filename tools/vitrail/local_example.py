"""The local example (examples/local) as tests use it: its scripts, on ports of their own, in a folder of their own."""

import json
import os
import random
import subprocess

import pymysql

from vitrail.cluster import BIN, REPOSITORY, SMALL_SERVER
from vitrail.processes import Failure, port_is_free

SCRIPTS = os.path.join(REPOSITORY, "examples", "local")
UIDS = [base + n for base in (100, 200, 300) for n in range(5)]
PORTS = [8080, 15000, 15001, 15032, 15033, 15306, 15991, 15999, 21811, 21812, 21813, 28881, 28882, 28883, 38881, 38882, 38883,
         *[base + uid for base in (15000, 16000, 17000, 18000) for uid in UIDS]]


class LocalExample:
    def __init__(self, root, shift=None):
        self.root, self.shift = os.path.abspath(root), shift
        while self.shift is None:
            tried = random.randrange(200, 1690)  # Between the ports that vitrail.processes.Ports gives, and around them.
            if all(port_is_free(port + tried) for port in PORTS):
                self.shift = tried
        os.makedirs(self.path("tmp"), exist_ok=True)
        with open(self.path("small.cnf"), "w", encoding="utf-8") as file:
            file.write(SMALL_SERVER)
        with open(self.path("local_example.json"), "w", encoding="utf-8") as file:
            json.dump({"shift": self.shift}, file)

    @staticmethod
    def load(root):
        try:
            with open(os.path.join(root, "local_example.json"), encoding="utf-8") as file:
                return LocalExample(root, json.load(file)["shift"])
        except FileNotFoundError:
            return None

    def path(self, *parts):
        return os.path.join(self.root, *parts)

    def port(self, number):
        return number + self.shift

    def environment(self):
        return {**os.environ, "VTDATAROOT": self.root, "PORT_SHIFT": str(self.shift), "VITRAIL_BIN": BIN,
                "EXTRA_MY_CNF": self.path("small.cnf")}

    def outcome(self, line, seconds=300):
        """(exit code, all output) of a command line, in the scripts' folder."""
        done = subprocess.run(["bash", "-c", line], cwd=SCRIPTS, env=self.environment(), stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=seconds, check=False)
        return done.returncode, done.stdout

    def run(self, line, seconds=300):
        code, text = self.outcome(line, seconds)
        if code != 0:
            raise Failure(f"{line} ended with {code}:\n{text}")
        return text

    def pid(self, name):
        with open(self.path("tmp", f"{name}.pid"), encoding="utf-8") as file:
            return int(file.read())

    def connect(self, database, **options):
        return pymysql.connect(host="127.0.0.1", port=self.port(15306), user="test", database=database,
                               **{"autocommit": True, "read_timeout": 60, "write_timeout": 60, **options})

    def server_rows(self, uid, sql):
        """Of the tablet's own server, past vttablet."""
        with pymysql.connect(unix_socket=self.path(f"vt_{uid:010d}", "mysql.sock"), user="vt_dba",
                             database="vt_test_keyspace", autocommit=True) as connection, connection.cursor() as cursor:
            cursor.execute(sql)
            return cursor.fetchall()

    def down(self):
        """Stops everything. Returns what could not be stopped."""
        code, text = self.outcome("./all-down.sh")
        return [] if code == 0 and "does not" not in text else [text]
