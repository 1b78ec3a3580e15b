"""What the tests of clients share: one plain server, and a cluster with an unsharded and a sharded keyspace beside it.

    cluster.py up FOLDER      starts them; they are stopped when the process that started this one ends, whatever happens
    cluster.py down FOLDER

FOLDER/addresses.json tells the ports. The names of the databases (`drv_...`) are written `drv` before answers are compared.
"""

import json
import os
import shutil
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
REPOSITORY = os.path.dirname(os.path.dirname(HERE))
E2E = os.path.join(REPOSITORY, "tests", "e2e")
sys.path.insert(0, os.path.join(REPOSITORY, "tools"))

from vitrail.cluster import Cluster  # noqa: E402
from vitrail.reference import PlainServer  # noqa: E402

# The database of each side. A sharded keyspace has two shards; ids come from sequences in a third keyspace.
SIDES = {"plain": "drv_plain", "unsharded": "drv_one", "sharded": "drv_many"}
IDS = "drv_ids"

# Tables of all scenarios that have ids of their own: column `id` decides the shard, and comes from a sequence.
TABLES = [
    "item", "entry", "wide",
    # ORMs: SQLAlchemy, Django, Knex, Sequelize, TypeORM, Hibernate, GORM, ActiveRecord
    "author", "book", "tag", "book_tags", "migrations", "knex_migrations",
    "auth_user", "auth_group", "auth_permission", "auth_user_groups", "auth_user_user_permissions", "auth_group_permissions",
    "django_content_type", "django_migrations", "django_admin_log", "django_site", "library_author", "library_tag", "library_book",
    "library_book_tags", *[f"sbtest{n}" for n in range(1, 4)]]
# Tables whose key is given by the client: column -> tables.
KEYED = {"session_key": ["django_session"], "version": ["schema_migrations"], "key": ["ar_internal_metadata"]}


def sharded_vschema():
    tables = {name: {"column_vindexes": [{"column": "id", "name": "hash"}],
                     "auto_increment": {"column": "id", "sequence": f"{IDS}.{name}_seq"}} for name in TABLES}
    tables["knex_migrations_lock"] = {"column_vindexes": [{"column": "index", "name": "hash"}],
                                      "auto_increment": {"column": "index", "sequence": f"{IDS}.lock_seq"}}
    for column, names in KEYED.items():
        tables |= {name: {"column_vindexes": [{"column": column, "name": "xxhash"}]} for name in names}
    return {"sharded": True, "vindexes": {"hash": {"type": "hash"}, "xxhash": {"type": "xxhash"}}, "tables": tables}


def sequences():
    return ";\n".join(f"create table {name}_seq(id int, next_id bigint, cache bigint, primary key(id)) comment 'vitess_sequence';\n"
                      f"insert into {name}_seq(id, next_id, cache) values (0, 1, 100)" for name in [*TABLES, "lock"])


def down(root):
    """Stops what runs there. Returns what went wrong, findings of sanitizers in the programs' logs included."""
    cluster = Cluster.load(root)
    if cluster is None:
        return ["nothing runs there"]
    problems = cluster.down()
    # In a process of its own: what the end-to-end tests import takes signals into its hands.
    found = subprocess.run([sys.executable, "-c", "import sys; from support import sanitizer_findings; print('\\n'.join(sanitizer_findings(sys.argv[1])))",
                            cluster.path("logs")], cwd=E2E, capture_output=True, text=True, check=True).stdout.strip()
    return problems + ([found] if found else [])


def up(root, watched):
    if os.path.exists(os.path.join(root, "cluster.json")):
        down(root)
    shutil.rmtree(root, ignore_errors=True)
    os.makedirs(root)
    cluster = Cluster(root)
    subprocess.run([sys.executable, os.path.join(E2E, "support.py"), "--guard", root, str(watched)], check=True)
    cluster.start_vtctld()
    plain = PlainServer(os.path.join(root, "plain"), cluster.ports.take(19306)).start()
    cluster.processes["plain"] = plain.process
    cluster.save()
    with plain.connect() as connection, connection.cursor() as cursor:
        cursor.execute("create user demo@'%'")
        cursor.execute("grant all on *.* to demo@'%' with grant option")
        cursor.execute("delete from mysql.global_priv where user = ''")
        cursor.execute("flush privileges")
    for keyspace, shards in ((IDS, [("0", 100)]), (SIDES["unsharded"], [("0", 200)]), (SIDES["sharded"], [("-80", 300), ("80-", 400)])):
        cluster.vtctldclient("CreateKeyspace", "--durability-policy", "none", keyspace)
        for shard, uid in shards:
            cluster.add_shard(keyspace, shard, uid, ("replica",))
    cluster.vtctldclient("ApplySchema", "--sql", sequences(), IDS)
    cluster.vtctldclient("ApplyVSchema", "--vschema", json.dumps({"tables": {f"{t}_seq": {"type": "sequence"} for t in [*TABLES, "lock"]}}), IDS)
    cluster.vtctldclient("ApplyVSchema", "--vschema", json.dumps(sharded_vschema()), SIDES["sharded"])
    cluster.vtctldclient("ApplyVSchema", "--vschema", json.dumps({"tables": {}}), SIDES["unsharded"])
    cluster.start_vtgate("--tablet-types-to-wait", "PRIMARY")
    gate = cluster.addresses["vtgate"]["mysql"]
    with open(os.path.join(root, "addresses.json"), "w", encoding="utf-8") as file:
        json.dump({"plain": plain.port, "unsharded": gate, "sharded": gate}, file)


def main(command, root):
    if command == "up":
        up(os.path.abspath(root), int(os.environ.get("VITRAIL_WATCHED", os.getppid())))
        return
    problems = down(os.path.abspath(root))
    if problems:
        sys.exit("\n".join(problems))
    shutil.rmtree(root)


if __name__ == "__main__":
    if len(sys.argv) != 3 or sys.argv[1] not in ("up", "down"):
        sys.exit(__doc__)
    main(*sys.argv[1:])
