"""The drivers' own tests, where their packages carry them: on one server and through vtgate (unsharded keyspace), side by side.

    suites.py [LANGUAGE ...]      `./dev clients --suites`; FOLDER/addresses.json of cluster.py tells the ports

Exit code 1: a test that passes on one server and not through vtgate is not listed in suites.json with its reason (docs/compatibility.md
has them too), or what is listed passes.
"""

import json
import os
import re
import shutil
import stat
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)

from clients import PYTHON, at  # noqa: E402
from cluster import IDS, SIDES  # noqa: E402
from run import addresses, connect, empty  # noqa: E402

GO_MODULE, GO_VERSION = "github.com/go-sql-driver/mysql", "v1.9.3"
PYMYSQL, PYTEST = "PyMySQL==0.10.1", "pytest==8.3.5"  # The last PyMySQL whose package has its tests.
SECONDS = 300


def run(argv, **options):
    return subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace", timeout=SECONDS, check=False,
                          stdin=subprocess.DEVNULL, **options)


def writable_copy(of, to):
    shutil.rmtree(to, ignore_errors=True)
    shutil.copytree(of, to)
    for folder, _, names in os.walk(to):
        for name in [folder, *[os.path.join(folder, name) for name in names]]:
            os.chmod(name, os.stat(name).st_mode | stat.S_IWUSR)


def go_sql_driver():
    """A function (side, port) -> {test: passed}; None: not here."""
    if not shutil.which("go"):
        return None
    folder, program = at("suites", "go-sql-driver"), at("suites", "go-sql-driver.test")
    found = run(["go", "mod", "download", "-json", f"{GO_MODULE}@{GO_VERSION}"])
    if found.returncode != 0:
        return None
    writable_copy(json.loads(found.stdout)["Dir"], folder)
    built = run(["go", "test", "-c", "-o", program, "."], cwd=folder, env={**os.environ, "GOFLAGS": "-mod=mod", "CGO_ENABLED": "0"})
    if built.returncode != 0:
        return None

    def tests(side, port):
        # One of them calls an address on the internet.
        done = run([program, "-test.v", "-test.timeout=200s", "-test.skip=TestConnectorReturnsTimeout"], cwd=folder, env={
            **os.environ, "MYSQL_TEST_USER": "demo", "MYSQL_TEST_PASS": "", "MYSQL_TEST_PROT": "tcp", "MYSQL_TEST_ADDR": f"127.0.0.1:{port}",
            "MYSQL_TEST_DBNAME": SIDES[side], "MYSQL_TEST_CONCURRENT": "1"})
        return {name: how == "PASS" for how, name in re.findall(r"^ *--- (PASS|FAIL): (\S+)", done.stdout, re.MULTILINE)}
    return tests


def pymysql_suite():
    folder = at("suites", "pymysql")
    if not os.path.isdir(os.path.join(folder, "pymysql", "tests")):
        shutil.rmtree(folder, ignore_errors=True)
        os.makedirs(folder)
        pip = [PYTHON, "-m", "pip", "-q"]
        if run([*pip, "download", "--no-deps", "--no-binary", ":all:", PYMYSQL, "-d", folder]).returncode != 0:
            return None
        if run([*pip, "install", "--target", os.path.join(folder, "pytest"), PYTEST]).returncode != 0:
            return None
        archive, = (name for name in os.listdir(folder) if name.endswith(".tar.gz"))
        run(["tar", "--strip-components=1", "-xzf", archive], cwd=folder)

    def tests(side, port):
        both = [SIDES[side], "test" if side == "plain" else IDS]
        server = {"host": "127.0.0.1", "port": port, "user": "demo", "passwd": "", "use_unicode": True, "local_infile": True}
        with open(os.path.join(folder, "pymysql", "tests", "databases.json"), "w", encoding="utf-8") as file:
            json.dump([{**server, "database": database} for database in both], file)
        done = run([PYTHON, "-m", "pytest", "-v", "-p", "no:cacheprovider", "pymysql/tests"], cwd=folder,
                   env={**os.environ, "PYTHONPATH": f"{folder}:{folder}/pytest", "USER": "demo"})
        told = re.findall(r"^pymysql/tests/(\S+) (PASSED|FAILED|ERROR)", done.stdout, re.MULTILINE)
        return {where: how == "PASSED" for where, how in told}
    return tests


SUITES = {"go-sql-driver": ("go", go_sql_driver), "PyMySQL": ("python", pymysql_suite)}


def side_by_side(name, tests, ports, known):
    found = {}
    for side in ("plain", "unsharded"):
        empty(side, ports[side])
        found[side] = tests(side, ports[side])
    counts = {side: f"{sum(result.values())} passed, {len(result) - sum(result.values())} failed" for side, result in found.items()}
    print(f"{name}: one server {counts['plain']}; vtgate {counts['unsharded']}", flush=True)
    problems = [] if len(found["plain"]) > 50 else [f"{name}: only {len(found['plain'])} tests ran"]
    for test, passed in found["plain"].items():
        if passed and not found["unsharded"].get(test, False):
            why = next((why for pattern, why in known.items() if re.fullmatch(pattern, test)), None)
            print(f"  {test}: {why or 'no reason is known'}", flush=True)
            if why is None:
                problems.append(f"{name} {test}")
    for pattern in known:
        if not any(re.fullmatch(pattern, test) and passed and not found["unsharded"].get(test) for test, passed in found["plain"].items()):
            problems.append(f"suites.json names what passes: {name} {pattern}")
    return problems


def main():
    with open(os.path.join(HERE, "suites.json"), encoding="utf-8") as file:
        known = json.load(file)
    os.makedirs(at("suites"), exist_ok=True)
    ports, problems = addresses(), []
    for name, (language, make) in SUITES.items():
        if sys.argv[1:] and language not in sys.argv[1:]:
            continue
        tests = make()
        if tests is None:
            print(f"left out: {name}: its language or its package is not here")
            continue
        problems += side_by_side(name, tests, ports, known.get(name, {}))
    with connect(ports["unsharded"]) as connection, connection.cursor() as cursor:
        cursor.execute("select 1")
    if problems:
        sys.exit("failed: " + "; ".join(problems))


if __name__ == "__main__":
    main()
