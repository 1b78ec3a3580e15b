#!/usr/bin/env python3
"""`./dev corpus`, its second half: the statements of tests/sql/, with the answers that MariaDB gave, on keyspaces of 1, 2 and 4 shards and on an unsharded one.

A script is a text file: a line `> statement`, and behind it the answer, as `--write` takes it from a plain MariaDB 10.11: the columns' names, a line for each
row (sorted, unless the statement ends with an ORDER BY), or `error 1054`, or `changed 3, id 0`. schema.sql and vschema.json say what there is to ask.
"""

import argparse
import json
import os
import re
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import pymysql  # noqa: E402

from vitrail.cluster import REPOSITORY  # noqa: E402
from vitrail.reference import PlainServer, equal_ranges  # noqa: E402

FOLDER = os.path.join(REPOSITORY, "tests", "sql")
LAYOUTS = {"plain": (["0"], False), "one": (["-"], True), "two": (equal_ranges(2), True), "four": (equal_ranges(4), True)}
BINARY = 63


def schema():
    with open(os.path.join(FOLDER, "schema.sql"), encoding="utf-8") as file:
        return [statement for statement in re.split(r";\n", file.read()) if statement.strip()]


def vschema():
    with open(os.path.join(FOLDER, "vschema.json"), encoding="utf-8") as file:
        return json.load(file)


def scripts():
    return sorted(name for name in os.listdir(FOLDER) if name.endswith(".test"))


def read(name):
    """The comment at the beginning, and (statement, answer) pairs."""
    head, cases = [], []
    with open(os.path.join(FOLDER, name), encoding="utf-8") as file:
        for line in file.read().split("\n"):
            if line.startswith("> "):
                cases.append((line[2:], []))
            elif not cases:
                head.append(line)
            elif line:
                cases[-1][1].append(line)
    return "\n".join(head), cases


def write(name, head, cases):
    with open(os.path.join(FOLDER, name), "w", encoding="utf-8") as file:
        file.write(head + "\n".join(f"> {statement}\n" + "".join(f"{line}\n" for line in answer) for statement, answer in cases))


def shown(cell, field):
    if cell is None:
        return "NULL"
    if isinstance(cell, bytes):
        return f"x'{cell.hex()}'"
    if field.charsetnr == BINARY and field.type_code in (249, 250, 251, 252, 253, 254):
        return f"x'{cell.encode('latin1', 'backslashreplace').hex()}'"
    return cell.replace("\\", "\\\\").replace("\t", "\\t").replace("\n", "\\n")


def answer(cursor, statement):
    """What a server gives, as lines."""
    try:
        cursor.execute(statement)
    except pymysql.MySQLError as error:
        return [f"error {error.args[0]}"]
    result = cursor._result  # pylint: disable=protected-access
    if cursor.description is None:
        return [f"changed {cursor.rowcount}, id {cursor.lastrowid or 0}"]
    rows = ["| " + " | ".join(shown(cell, field) for cell, field in zip(row, result.fields)) for row in cursor.fetchall()]
    if "order by" not in statement.lower().rsplit(")", 1)[-1]:
        rows.sort()
    return [", ".join(f"{field.name} {field.type_code}" for field in result.fields), *rows]


def connect(connection):
    """Cells come as the server writes them."""
    connection.decoders = {}
    return connection.cursor()


def check(connection, names=None):
    """Differences: (script, statement, expected, found)."""
    differences = []
    cursor = connect(connection)
    for name in names or scripts():
        for statement, expected in read(name)[1]:
            found = answer(cursor, statement)
            if found != expected:
                differences.append((name, statement, expected, found))
    return differences


def is_ddl(statement):
    return statement.lower().startswith("create")


def fill(connection, ddl=True):
    with connection.cursor() as cursor:
        for statement in schema():
            if ddl or not is_ddl(statement):
                cursor.execute(statement)


def set_up(cluster, keyspace):
    """The keyspace of LAYOUTS in a vitrail.reference.ChangingCluster, with the rows."""
    shards, sharded = LAYOUTS[keyspace]
    cluster.ensure(keyspace, shards)
    tables = [statement for statement in schema() if is_ddl(statement)]
    for shard in shards:
        errors = cluster.run_on_server(keyspace, shard, tables, cluster.cluster.shard_tablets(keyspace, shard)[0].database)
        assert not errors, errors
    wanted = vschema() if sharded else {"tables": {name: {} for name in vschema()["tables"]}}
    cluster.cluster.vtctldclient("ApplyVSchema", "--vschema", json.dumps(wanted), keyspace)
    cluster.wait_for_vtgate({keyspace: list(wanted["tables"])})
    with cluster.cluster.connect(keyspace, charset="utf8mb4", autocommit=True) as connection:
        fill(connection, ddl=False)


def check_all(cluster):
    """On all layouts; prints differences, and returns how many there are."""
    count = 0
    cluster.cluster.vtctldclient("ApplyRoutingRules", "--rules", json.dumps({"rules": []}))
    for keyspace in LAYOUTS:
        set_up(cluster, keyspace)
        with cluster.cluster.connect(keyspace, charset="utf8mb4", autocommit=True) as connection:
            differences = check(connection)
        statements = sum(len(read(name)[1]) for name in scripts())
        print(f"tests/sql on {keyspace}: {statements} statements, {len(differences)} differ")
        for name, statement, expected, found in differences:
            print(f"  {name}: {statement}\n    MariaDB: {expected[:4]}\n    found:   {found[:4]}")
        count += len(differences)
        cluster.remove(keyspace)
    return count


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help="take the answers from a plain MariaDB")
    options = parser.parse_args()
    if not options.write:
        parser.error("the scripts are run by ./dev corpus; here is only --write")
    with tempfile.TemporaryDirectory(prefix="vitrail-scripts-") as root:
        server = PlainServer(root, 17950).start()
        try:
            with server.connect() as connection, connection.cursor() as cursor:
                cursor.execute("create database two")
            with server.connect("two") as connection:
                fill(connection)
                cursor = connect(connection)
                for name in scripts():
                    head, cases = read(name)
                    write(name, head + "\n" if head and not head.endswith("\n") else head,
                          [(statement, answer(cursor, statement)) for statement, _ in cases])
        finally:
            server.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
