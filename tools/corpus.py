#!/usr/bin/env python3
"""`./dev corpus`: runs a corpus of statements on a cluster and on one plain server, and compares the answers."""

import argparse
import collections
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import sql_scripts  # noqa: E402
from vitrail.processes import Failure  # noqa: E402
from vitrail.reference import ChangingCluster, PlainServer, equal_ranges, shared_folder  # noqa: E402

LEFT_OUT = 77  # As ctest's SKIP_RETURN_CODE.


def load_diffcheck(shared):
    spec = importlib.util.spec_from_file_location("diffcheck", os.path.join(shared, "corpus", "diffcheck.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def read_vschema(folder, keyspace):
    if not keyspace.get("vschema"):
        return {}
    with open(os.path.join(folder, keyspace["vschema"]), encoding="utf-8") as file:
        vschema = json.load(file)
    if "keyspaces" in vschema:
        vschema = vschema["keyspaces"].get(keyspace["name"], {})
    return {**vschema, **({"sharded": True} if keyspace.get("sharded") else {})}


def set_up(root, shared, bundle_path):
    """Called by diffcheck before each bundle: keyspaces, tables, vschemas, rules."""
    diffcheck = load_diffcheck(shared)
    cluster = ChangingCluster.load(root)
    folder = os.path.dirname(bundle_path)
    with open(bundle_path, encoding="utf-8") as file:
        bundle = json.load(file)
    notes = []
    expected = {}
    cluster.cluster.vtctldclient("ApplyRoutingRules", "--rules", json.dumps({"rules": []}))
    for keyspace in bundle["keyspaces"]:
        name = keyspace["name"]
        cluster.ensure(name, keyspace["shards"])
        statements = []
        if keyspace.get("schema"):
            with open(os.path.join(folder, keyspace["schema"]), encoding="utf-8") as file:
                statements = [s for s in diffcheck.split_statements(file.read()) if s.strip()]
        for shard in keyspace["shards"]:
            notes += [f"{name}/{shard}: {error}" for error in cluster.run_on_server(name, shard, statements, name)]
    for keyspace in bundle["keyspaces"]:
        vschema = read_vschema(folder, keyspace)
        notes += [f"{keyspace['name']}: left out: {what}" for what in cluster.apply_vschema(keyspace["name"], vschema)]
        applied = json.loads(cluster.cluster.vtctldclient("GetVSchema", keyspace["name"]))
        expected[keyspace["name"]] = list(applied.get("tables", {}))
    rules = bundle.get("routing_rules")
    if isinstance(rules, str):
        with open(os.path.join(folder, rules), encoding="utf-8") as file:
            rules = json.load(file)
    rules = (rules or {}).get("rules", [])
    # A rule for a name without a keyspace is for sessions without one; these have one.
    home = bundle.get("default_keyspace") or bundle["keyspaces"][0]["name"]
    rules = rules + [{**rule, "from_table": f"{home}.{rule['from_table']}"} for rule in rules if "." not in rule["from_table"]]
    cluster.cluster.vtctldclient("ApplyRoutingRules", "--rules", json.dumps({"rules": rules + home_rules(bundle, expected, rules)}))
    if "vtgate" not in cluster.cluster.addresses:
        cluster.cluster.start_vtgate("--tablet-types-to-wait", "PRIMARY", "--buffer-window", "1s")
        cluster.save()
    cluster.wait_for_vtgate(expected)
    with open(os.path.join(root, "notes.txt"), "a", encoding="utf-8") as file:
        file.writelines(f"{bundle['name']}: {note}\n" for note in notes)


def home_rules(bundle, tables, rules):
    """Rules for names that the default keyspace does not have: the plain server has all tables in one database."""
    home = bundle.get("default_keyspace") or bundle["keyspaces"][0]["name"]
    known = {rule["from_table"] for rule in rules} | set(tables.get(home, []))
    out = []
    for keyspace, names in tables.items():
        for name in names:
            if name not in known and keyspace != home:
                known.add(name)
                out += [{"from_table": written, "to_tables": [f"{keyspace}.{name}"]} for written in (name, f"{home}.{name}")]
    return out


def copy_schemas(shared, target, shards):
    """The schema folders, with so many shards of each sharded keyspace (0: as they say)."""
    shutil.copytree(os.path.join(shared, "corpus", "schema"), target)
    for folder, _, files in os.walk(target):
        if "bundle.json" not in files:
            continue
        path = os.path.join(folder, "bundle.json")
        with open(path, encoding="utf-8") as file:
            bundle = json.load(file)
        for keyspace in bundle["keyspaces"]:
            if keyspace.get("sharded") and shards:
                keyspace["shards"] = equal_ranges(shards)
        with open(path, "w", encoding="utf-8") as file:
            json.dump(bundle, file)


OUTCOMES = {"same": "same", "nondeterministic": "same", "differs": "differs", "refused": "refused", "subject-error": "error"}


def follows_refusal(case):
    """Whether a step of a scenario differs because a step before it was refused, and so its change is missing."""
    return case["outcome"] == "differs" and bool(case.get("tainted"))


def tally(report):
    """The report's counts, by outcome and by file; steps of scenarios count as cases. What follows from a refusal is refused."""
    counts = collections.Counter({"same": 0, "differs": 0, "refused": 0, "error": 0})
    files = {}
    follow = collections.Counter(case["id"].split(":")[0].replace("/", "_", 1) + ".json" for case in report["cases"] if follows_refusal(case))
    for name, outcomes in sorted(report["summary"].items()):
        mine = collections.Counter()
        for outcome, number in outcomes.items():
            known = OUTCOMES.get(outcome.removeprefix("step:"))
            if known:
                mine[known] += number
        mine["differs"] -= follow[name]
        mine["refused"] += follow[name]
        files[name] = dict(mine)
        counts.update(mine)
    return dict(counts), files


def ways_of(cluster):
    """How vtgate answered what it answered: by one shard alone, by merging, or on one server."""
    from vitrail.processes import http_json
    variables = http_json(cluster.addresses["vtgate"]["port"], "/debug/vars")
    counted = collections.Counter({"relay": 0, "merge": 0, "finish": 0})
    for label, number in variables.get("QueryExecutions", {}).items():
        if label.startswith("SELECT."):
            one_shard = ".Passthrough." in label or ".Local." in label
            counted["relay" if one_shard else "finish" if ".Finish." in label else "merge"] += number
    return dict(counted)


def print_table(counts, files):
    print(f"{'file':44} {'same':>6} {'differs':>8} {'refused':>8} {'error':>6}")
    for name, mine in [*files.items(), ("all", counts)]:
        print(f"{name:44} {mine.get('same', 0):6} {mine.get('differs', 0):8} {mine.get('refused', 0):8} {mine.get('error', 0):6}")


def run(options, shared):
    root = tempfile.mkdtemp(prefix="vitrail-corpus-")
    cluster = ChangingCluster(os.path.join(root, "cluster"))
    os.makedirs(cluster.cluster.root, exist_ok=True)
    plain = PlainServer(root, cluster.cluster.ports.take(17050))
    report_path = options.report or os.path.join(root, "report.json")
    kept = False
    try:
        plain.start()
        cluster.start()
        copy_schemas(shared, os.path.join(root, "schema"), options.shards)
        # vtgate starts with the first bundle; its port must be known before.
        cluster.ensure("corpus", ["0"])
        cluster.cluster.start_vtgate("--tablet-types-to-wait", "PRIMARY", "--buffer-window", "1s")
        cluster.save()
        setup = f"{sys.executable} {os.path.abspath(__file__)} --set-up {cluster.cluster.root} {{bundle}}"
        argv = [sys.executable, os.path.join(shared, "corpus", "diffcheck.py"), "--reference", f"127.0.0.1:{plain.port}",
                "--subject", f"127.0.0.1:{cluster.cluster.addresses['vtgate']['mysql']}", "--schema", os.path.join(root, "schema"),
                "--corpus", options.corpus or os.path.join(shared, "corpus", "open"), "--report", report_path,
                "--subject-setup-cmd", setup, "--seed", str(options.seed)]
        for flag in ("files", "only"):
            if getattr(options, flag):
                argv += [f"--{flag}", getattr(options, flag)]
        done = subprocess.run(argv, stdout=sys.stderr, check=False)
        if not os.path.exists(report_path):
            raise Failure(f"diffcheck ended with {done.returncode} and without a report")
        with open(report_path, encoding="utf-8") as file:
            report = json.load(file)
        counts, files = tally(report)
        print_table(counts, files)
        for case in report["cases"]:
            if follows_refusal(case):
                continue
            if case["outcome"] in ("differs", "subject-error") or options.refusals and case["outcome"] == "refused":
                print(f"{case['outcome']}: {case['id']}: {case['query']}\n    {case.get('detail', '')}")
        result = {"counts": counts, "ways": ways_of(cluster.cluster), "files": files}
        kept = options.keep
        scripts = 0 if options.files or options.only or options.corpus else sql_scripts.check_all(ChangingCluster.load(cluster.cluster.root))
        if options.json:
            print(json.dumps({**result, "scripts": {"differs": scripts}}))
        return 0 if counts["differs"] + scripts == 0 else 1
    finally:
        cluster = ChangingCluster.load(cluster.cluster.root)
        if kept:
            print(f"kept: {root}; the report is {report_path}", file=sys.stderr)
        cluster.down(remove=not kept)
        plain.stop()
        if not kept and options.report is None:
            shutil.rmtree(root, ignore_errors=True)


def main():
    if sys.argv[1:2] == ["--set-up"]:
        set_up(sys.argv[2], shared_folder(), sys.argv[3])
        return 0
    parser = argparse.ArgumentParser(prog="./dev corpus", description=__doc__)
    parser.add_argument("--shards", type=int, default=2, help="of each sharded keyspace; 0: as the schemas say")
    parser.add_argument("--corpus", help="folder of corpus files, or one file")
    parser.add_argument("--files", help="only corpus files whose name matches")
    parser.add_argument("--only", help="only cases whose id or text matches")
    parser.add_argument("--seed", type=int, default=1, help="of the rows")
    parser.add_argument("--report", help="keep diffcheck's report in this file")
    parser.add_argument("--refusals", action="store_true", help="list refused statements, too")
    parser.add_argument("--keep", action="store_true", help="leave logs and data in the temporary folder")
    parser.add_argument("--json", action="store_true", help="the last line is one JSON object")
    options = parser.parse_args()
    shared = shared_folder()
    if shared is None:
        print("left out: the corpus is not here; VITRAIL_SHARED names the folder that holds it", file=sys.stderr)
        return LEFT_OUT
    try:
        return run(options, shared)
    except Failure as failure:
        print(f"corpus: {failure}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
