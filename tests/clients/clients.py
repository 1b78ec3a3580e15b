"""Which clients the tests know, how each is fetched, and how each is run: a program that takes PORT and DATABASE and prints a
line of JSON for each step.

    clients.py install [LANGUAGE ...]   fetches what is missing into build/clients (or VITRAIL_CLIENTS), with the registries'
                                        own clients
    clients.py                          tells which are there

What Debian has (mysqlclient, PHP, Ruby, mydumper, sysbench) comes with `./dev deps`, and is used where installed.
"""

import os
import shutil
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
FOLDER = os.environ.get("VITRAIL_CLIENTS", os.path.join(os.path.dirname(os.path.dirname(HERE)), "build", "clients"))
PYTHON = "/usr/bin/python3"
PYTHON_PACKAGES = ["PyMySQL==1.2.4", "mysql-connector-python==26.10.0", "SQLAlchemy==2.1.9", "Django==5.2.19"]
NODE_PACKAGES = ["mysql2@3.24.6", "mariadb@3.5.4", "mysql@2.18.1", "knex@3.3.0", "sequelize@6.37.8", "typeorm@1.1.1",
                 "prisma@7.10.0", "@prisma/client@7.10.0", "@prisma/adapter-mariadb@7.10.0"]
JARS = {"mysql-connector-j-8.4.0": "com.mysql:mysql-connector-j:8.4.0", "mysql-connector-j-9.4.0": "com.mysql:mysql-connector-j:9.4.0",
        "mariadb-java-client-3.5.6": "org.mariadb.jdbc:mariadb-java-client:3.5.6"}


class Client:
    """command: (argv without port and database, environment), or None with `missing` saying what is not there."""

    def __init__(self, name, command, missing="", slow=False):
        self.name, self.command, self.missing, self.slow = name, command, missing, slow


def at(*parts):
    return os.path.join(FOLDER, *parts)


def source(*parts):
    return os.path.join(HERE, *parts)


def python_has(module):
    env = {**os.environ, "PYTHONPATH": at("python")}
    return subprocess.run([PYTHON, "-c", f"import {module}"], env=env, capture_output=True, check=False).returncode == 0


def python():
    def client(name, script, *args, needs=(), slow=False):
        lacking = [module for module in needs if not python_has(module)]
        command = None if lacking else ([PYTHON, source("python", script), *args], {"PYTHONPATH": at("python")})
        return Client(name, command, f"no {' and '.join(lacking)}", slow)
    out = [client(name, "driver.py", module, needs=[module]) for name, module in (
        ("PyMySQL", "pymysql"), ("mysqlclient", "MySQLdb"), ("mysql-connector-python", "mysql.connector"))]
    out += [client(f"SQLAlchemy, {name}", "sqlalchemy_orm.py", dialect, needs=["sqlalchemy", module], slow=dialect != "pymysql") for name, dialect, module in (
        ("PyMySQL", "pymysql", "pymysql"), ("mysqlclient", "mysqldb", "MySQLdb"), ("Connector/Python", "mysqlconnector", "mysql.connector"))]
    out.append(client("Django", "django_apps.py", needs=["django", "MySQLdb"]))
    return out


def node():
    def client(name, package, script, *args, slow=False):
        there = shutil.which("node") and os.path.isdir(at("node", "node_modules", package))
        command = (["node", source("node", script), *args], {"NODE_PATH": at("node", "node_modules")}) if there else None
        return Client(name, command, f"no node, or no package {package}", slow)
    return [client("mysql2", "mysql2", "driver.js", "mysql2"), client("mariadb (npm)", "mariadb", "driver.js", "mariadb"),
            client("mysql (npm)", "mysql", "driver.js", "mysql"), client("Knex", "knex", "knex.js"),
            client("Sequelize, mysql2", "sequelize", "sequelize.js", "mysql"),
            client("Sequelize, mariadb", "sequelize", "sequelize.js", "mariadb", slow=True), client("TypeORM", "typeorm", "typeorm.js"),
            client("Prisma", os.path.join("..", "prisma-client"), "prisma.js", at("node", "prisma-client"))]


def classes(name, jars):
    """Folder of the classes of java/NAME.java, compiled when they are older than it; None when that cannot be."""
    folder, text = at("java", f"classes-{name}"), source("java", f"{name}.java")
    if not shutil.which("javac"):
        return None
    made = os.path.join(folder, f"{name}.class")
    if not os.path.exists(made) or os.path.getmtime(made) < os.path.getmtime(text):
        done = subprocess.run(["javac", "-proc:none", "-d", folder, "-cp", ":".join(jars), text], capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise SystemExit(f"javac {name}.java: {done.stderr}")
    return folder


def java():
    def client(name, jar, main, *args, slow=False):
        jars = [at("java", jar + ".jar"), *([at("java", "hibernate", "*")] if main == "Orm" else [])]
        there = os.path.exists(jars[0]) and (main != "Orm" or os.path.isdir(at("java", "hibernate")))
        folder = classes(main, jars) if there else None
        command = (["java", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-cp", ":".join([folder, *jars]), main, *args], {}) if folder else None
        return Client(name, command, f"no javac, or no {jar}", slow)
    server = "useServerPrepStmts=true&useCursorFetch=true&defaultFetchSize=2"
    eight, nine, mariadb = JARS
    return [client("Connector/J 8", eight, "Driver", "mysql", "", slow=True), client("Connector/J 9", nine, "Driver", "mysql", ""),
            client("Connector/J 9, cursors", nine, "Driver", "mysql", f"?{server}", slow=True),
            client("Connector/J 9, rewritten batches", nine, "Driver", "mysql", "?rewriteBatchedStatements=true&useServerPrepStmts=true"),
            client("MariaDB Connector/J", mariadb, "Driver", "mariadb", ""),
            client("MariaDB Connector/J, prepared", mariadb, "Driver", "mariadb", "?useServerPrepStmts=true&useBulkStmts=true", slow=True),
            client("Hibernate, Connector/J 9", nine, "Orm", "mysql", ""),
            client("Hibernate, MariaDB Connector/J", mariadb, "Orm", "mariadb", "", slow=True)]


def debezium():
    """Debezium's Vitess connector, for tests/e2e/vtgate_grpc.py: java/Changes.java. It is no client of run.py."""
    jars = [at("java", "debezium", "*")]
    folder = classes("Changes", jars) if os.path.isdir(at("java", "debezium")) else None
    command = (["java", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xmx256m", "-cp", ":".join([folder, *jars]), "Changes"], {}) if folder else None
    return Client("Debezium's Vitess connector", command, "no javac, or no jars of it")


def go():
    command = at("go", "clients") if os.path.exists(at("go", "clients")) else None
    return [Client(name, ([command, what], {}) if command else None, "no go, or its modules could not be fetched", slow) for name, what, slow in (
        ("go-sql-driver", "driver", False), ("go-sql-driver, interpolated", "interpolated", False), ("GORM", "gorm", False))]


def rust():
    command = at("rust", "target", "debug", "clients")
    return [Client("sqlx", ([command], {}) if os.path.exists(command) else None, "no cargo, or its crates could not be fetched")]


def php():
    modules = subprocess.run(["php", "-m"], capture_output=True, text=True, check=False).stdout.split() if shutil.which("php") else []
    return [Client(name, (["php", source("php", "driver.php"), what], {}) if module in modules else None, f"no php with {module}") for name, module, what in (
        ("PHP mysqli", "mysqli", "mysqli"), ("PHP PDO", "pdo_mysql", "pdo"), ("PHP PDO, emulated prepares", "pdo_mysql", "pdo_emulated"))]


def ruby():
    def has(name):
        return shutil.which("ruby") and subprocess.run(["ruby", "-e", f"require '{name}'"], capture_output=True, check=False).returncode == 0
    return [Client("mysql2 (Ruby)", (["ruby", source("ruby", "driver.rb")], {}) if has("mysql2") else None, "no ruby with the gem mysql2"),
            Client("ActiveRecord", (["ruby", source("ruby", "records.rb")], {}) if has("mysql2") and has("active_record") else None, "no ruby with ActiveRecord")]


def c():
    """Compiled on the spot, with libmariadb."""
    made = at("c", "driver")
    flags = subprocess.run(["pkg-config", "--cflags", "--libs", "libmariadb"], capture_output=True, text=True, check=False)
    if flags.returncode != 0 or not shutil.which("cc"):
        return [Client("libmariadb", None, "no cc, or no libmariadb-dev")]
    if not os.path.exists(made) or os.path.getmtime(made) < os.path.getmtime(source("c", "driver.c")):
        os.makedirs(at("c"), exist_ok=True)
        done = subprocess.run(["cc", "-o", made, source("c", "driver.c"), *flags.stdout.split()], capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise SystemExit(f"cc driver.c: {done.stderr}")
    return [Client("libmariadb", ([made], {}))]


def tools():
    def client(name, program, script, *args, slow=False):
        command = [PYTHON, source("tools", script), *args]
        return Client(name, (command, {}) if shutil.which(program) else None, f"no {program}", slow)
    return [client("mysql (command line)", "mysql", "cli.py", "mysql"), client("mariadb (command line)", "mariadb", "cli.py", "mariadb", slow=True),
            client("mysqldump", "mysqldump", "dump.py", "mysqldump", slow=True), client("mariadb-dump", "mariadb-dump", "dump.py", "mariadb-dump"),
            client("mariadb-dump, views", "mariadb-dump", "dump.py", "mariadb-dump", "--view", slow=True),
            client("mydumper", "mydumper", "dump.py", "mydumper"), client("sysbench", "sysbench", "sysbench.py")]


LANGUAGES = {"python": python, "node": node, "java": java, "go": go, "rust": rust, "php": php, "ruby": ruby, "c": c, "tools": tools}


def clients_of(language):
    return LANGUAGES[language]()


def try_to(what, argv, **options):
    done = subprocess.run(argv, capture_output=True, text=True, check=False, **options)
    print(f"{what}: {'fetched' if done.returncode == 0 else 'failed: ' + (done.stderr + done.stdout).strip()[-300:]}", flush=True)
    return done.returncode == 0


def fetched(language, wanted):
    """Whether what a language's folder holds is what is wanted now; `note` remembers it."""
    path = at(language, ".wanted")
    if os.path.exists(path):
        with open(path, encoding="utf-8") as file:
            return file.read() == wanted
    return False


def note(language, wanted):
    with open(at(language, ".wanted"), "w", encoding="utf-8") as file:
        file.write(wanted)


def copy_sources(language):
    """The language's folder of the repository, into the cache: what is built there leaves the sources alone."""
    shutil.copytree(source(language), at(language), dirs_exist_ok=True)
    return "".join(open(os.path.join(folder, name), encoding="utf-8").read()
                   for folder, _, names in sorted(os.walk(source(language))) for name in sorted(names))


def install_python():
    wanted = "\n".join(PYTHON_PACKAGES)
    if not fetched("python", wanted):
        shutil.rmtree(at("python"), ignore_errors=True)
        if try_to("Python packages", [PYTHON, "-m", "pip", "install", "-q", "--target", at("python"), *PYTHON_PACKAGES]):
            note("python", wanted)


def install_node():
    wanted = "\n".join(NODE_PACKAGES)
    if shutil.which("npm") and not fetched("node", wanted):
        os.makedirs(at("node"), exist_ok=True)
        if try_to("npm packages", ["npm", "install", "--silent", "--no-fund", "--no-audit", "--ignore-scripts", *NODE_PACKAGES], cwd=at("node")):
            note("node", wanted)
    if os.path.isdir(at("node", "node_modules", "prisma")):
        generate_prisma()


def generate_prisma():
    """Its client is made from the schema. The program for migrations, which it would fetch from a host of its own, is not needed."""
    with open(source("node", "prisma", "schema.prisma"), encoding="utf-8") as file:
        wanted = file.read() + "\n".join(NODE_PACKAGES)
    if not fetched("node/prisma-client", wanted):
        shutil.copytree(source("node", "prisma"), at("node", "prisma"), dirs_exist_ok=True)
        env = {**os.environ, "PRISMA_SCHEMA_ENGINE_BINARY": shutil.which("true"), "CHECKPOINT_DISABLE": "1", "PRISMA_HIDE_UPDATE_MESSAGE": "1"}
        if try_to("Prisma's client", ["node", at("node", "node_modules", "prisma", "build", "index.js"), "generate", "--schema", at("node", "prisma", "schema.prisma")],
                  cwd=at("node"), env=env):
            note("node/prisma-client", wanted)


def install_java():
    if not shutil.which("mvn"):
        return
    os.makedirs(at("java"), exist_ok=True)
    plugin = "org.apache.maven.plugins:maven-dependency-plugin:3.6.1"
    for jar, artifact in JARS.items():
        if not os.path.exists(at("java", jar + ".jar")):
            try_to(jar, ["mvn", "-q", "-B", f"{plugin}:copy", f"-Dartifact={artifact}:jar", f"-DoutputDirectory={at('java')}"])
    for what, folder, pom in (("Hibernate", "hibernate", "pom.xml"), ("Debezium", "debezium", "changes-pom.xml")):
        if not os.path.isdir(at("java", folder)):
            try_to(what, ["mvn", "-q", "-B", "-f", source("java", pom), f"{plugin}:copy-dependencies", "-DincludeScope=runtime",
                          f"-DoutputDirectory={at('java', folder)}"])


def install_go():
    if shutil.which("go"):
        wanted = copy_sources("go")
        if not (fetched("go", wanted) and os.path.exists(at("go", "clients"))):
            env = {**os.environ, "GOFLAGS": "-mod=readonly", "CGO_ENABLED": "0"}
            if try_to("Go modules", ["go", "build", "-o", "clients", "."], cwd=at("go"), env=env):
                note("go", wanted)


def install_rust():
    if shutil.which("cargo"):
        wanted = copy_sources("rust")
        if not (fetched("rust", wanted) and os.path.exists(at("rust", "target", "debug", "clients"))):
            if try_to("Rust crates", ["cargo", "build", "--quiet", "--locked"], cwd=at("rust")):
                note("rust", wanted)


INSTALL = {"python": install_python, "node": install_node, "java": install_java, "go": install_go, "rust": install_rust}


def main(args):
    if args[:1] == ["install"]:
        os.makedirs(FOLDER, exist_ok=True)
        for name in args[1:] or INSTALL:
            INSTALL.get(name, lambda: None)()
    elif args:
        sys.exit(__doc__)
    for language in LANGUAGES:
        for client in clients_of(language):
            print(f"{language}: {client.name}: {'there' if client.command else client.missing}")
    print(f"java: {debezium().name}: {'there' if debezium().command else debezium().missing}")


if __name__ == "__main__":
    main(sys.argv[1:])
