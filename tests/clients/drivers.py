"""Which client libraries the tests know, and how each is run: a program that prints lines of JSON, one for each step of
the scenario in `tests/e2e/drivers.py`.

    tests/clients/drivers.py install    fetches what is missing into build/clients, with the registries' own clients
    tests/clients/drivers.py            tells which are there

PHP (php-cli, php-mysql) and mysqlclient (python3-mysqldb) are packages of the system: they are used where installed.
"""

import glob
import os
import shutil
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
FOLDER = os.environ.get("VITRAIL_CLIENTS", os.path.join(os.path.dirname(os.path.dirname(HERE)), "build", "clients"))
JARS = {"mysql-connector-j-8.4.0": "com.mysql:mysql-connector-j:8.4.0", "mysql-connector-j-9.4.0": "com.mysql:mysql-connector-j:9.4.0",
        "mariadb-java-client-3.5.6": "org.mariadb.jdbc:mariadb-java-client:3.5.6"}
PYTHON = "/usr/bin/python3"


def at(*parts):
    return os.path.join(FOLDER, *parts)


def python_has(module, folder=None):
    env = {**os.environ, **({"PYTHONPATH": folder} if folder else {})}
    return subprocess.run([PYTHON, "-c", f"import {module}"], env=env, capture_output=True, check=False).returncode == 0


def java(jar, scheme, options=""):
    path = at("java", jar + ".jar")
    if not os.path.exists(path) or not shutil.which("java"):
        return None
    return ["java", "-XX:TieredStopAtLevel=1", "-cp", path, os.path.join(HERE, "Smoke.java"), scheme, options], {}


def python(module, folder=None):
    if not python_has(module, folder):
        return None
    return [PYTHON, os.path.join(HERE, "smoke.py"), module], {"PYTHONPATH": folder} if folder else {}


def node():
    if not shutil.which("node") or not os.path.isdir(at("node", "node_modules", "mysql2")):
        return None
    return ["node", os.path.join(HERE, "smoke.js")], {"NODE_PATH": at("node", "node_modules")}


def php(extension, name):
    if not shutil.which("php"):
        return None
    modules = subprocess.run(["php", "-m"], capture_output=True, text=True, check=False).stdout.split()
    return (["php", os.path.join(HERE, "smoke.php"), name], {}) if extension in modules else None


def go():
    return ([at("go", "smoke")], {}) if os.path.exists(at("go", "smoke")) else None


# Name -> (command without port and database, additional environment), or None when it is not there.
DRIVERS = {
    "PyMySQL": lambda: python("pymysql"),
    "mysqlclient": lambda: python("MySQLdb"),
    "mysql-connector-python": lambda: python("mysql.connector", at("python")),
    "mysql2": node,
    "go-sql-driver": go,
    "PHP mysqli": lambda: php("mysqli", "mysqli"),
    "PHP PDO": lambda: php("pdo_mysql", "pdo"),
    "Connector/J 8": lambda: java("mysql-connector-j-8.4.0", "mysql"),
    "Connector/J 9": lambda: java("mysql-connector-j-9.4.0", "mysql"),
    "Connector/J 9, cursors": lambda: java("mysql-connector-j-9.4.0", "mysql",
                                           "?useServerPrepStmts=true&useCursorFetch=true&defaultFetchSize=2"),
    "MariaDB Connector/J": lambda: java("mariadb-java-client-3.5.6", "mariadb"),
    "MariaDB Connector/J, prepared": lambda: java("mariadb-java-client-3.5.6", "mariadb", "?useServerPrepStmts=true"),
}


def try_to(what, argv, **options):
    done = subprocess.run(argv, capture_output=True, text=True, check=False, **options)
    print(f"{what}: {'installed' if done.returncode == 0 else 'failed: ' + (done.stderr + done.stdout).strip()[-300:]}")


def install():
    for folder in ("python", "node", "java", "go"):
        os.makedirs(at(folder), exist_ok=True)
    if not python_has("mysql.connector", at("python")):
        try_to("mysql-connector-python", [PYTHON, "-m", "pip", "install", "-q", "--target", at("python"), "mysql-connector-python"])
    if not os.path.isdir(at("node", "node_modules", "mysql2")) and shutil.which("npm"):
        try_to("mysql2", ["npm", "install", "--silent", "--no-fund", "--no-audit", "mysql2@3"], cwd=at("node"))
    for jar, artifact in JARS.items():
        if not os.path.exists(at("java", jar + ".jar")) and shutil.which("mvn"):
            try_to(jar, ["mvn", "-q", "-B", "org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy",
                         f"-Dartifact={artifact}:jar", f"-DoutputDirectory={at('java')}"])
    if not os.path.exists(at("go", "smoke")) and shutil.which("go"):
        for name in glob.glob(os.path.join(HERE, "go", "*")):
            shutil.copy(name, at("go"))
        env = {**os.environ, "GOFLAGS": "-mod=mod", "CGO_ENABLED": "0"}
        try_to("go-sql-driver", ["sh", "-c", "go get github.com/go-sql-driver/mysql@v1.9.3 && go build -o smoke ."], cwd=at("go"),
               env=env)


if __name__ == "__main__":
    if sys.argv[1:] == ["install"]:
        install()
    for name, find in DRIVERS.items():
        print(f"{name}: {'there' if find() else 'missing'}")
