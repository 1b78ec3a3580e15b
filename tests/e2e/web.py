"""vtctld's web pages in a browser (web/tests/pages.mjs), and what a browser does not show: headers, and who may send
commands. Pictures of the pages are left in build/web-pictures.
"""

import base64
import concurrent.futures
import gzip
import json
import os
import shutil
import subprocess
import sys
import urllib.error
import urllib.request

from support import REPOSITORY, ClusterTest, main

from vitrail.processes import Failure, http_get, http_json, wait_until

TESTS = os.path.join(REPOSITORY, "web", "tests")
CHROMIUM = "/usr/bin/chromium"


def why_not():
    """Why the pages cannot be tested here; makes web/tests/node_modules."""
    if not os.path.exists(CHROMIUM):
        return f"{CHROMIUM} is not installed (./dev deps)"
    if shutil.which("npm") is None:
        return "npm is not installed (./dev deps)"
    mark = os.path.join(TESTS, "node_modules", ".package-lock.json")
    lock = os.path.join(TESTS, "package-lock.json")
    if os.path.exists(mark) and os.path.getmtime(mark) >= os.path.getmtime(lock):
        return ""
    done = subprocess.run(["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--fetch-retries=2",
                           "--fetch-retry-mintimeout=1000", "--fetch-retry-maxtimeout=2000"], cwd=TESTS, capture_output=True,
                          text=True, timeout=120, check=False, stdin=subprocess.DEVNULL)
    return "" if done.returncode == 0 else f"npm could not fetch what web/tests/package-lock.json names:\n{done.stderr}"


class WebTest(ClusterTest):
    @classmethod
    def prepare(cls):
        cluster = cls.cluster
        cluster.start_vtctld()
        cluster.vtctldclient("CreateKeyspace", "--durability-policy", "none", "commerce")
        cluster.vtctldclient("CreateKeyspace", "--durability-policy", "none", "customer")
        with concurrent.futures.ThreadPoolExecutor(3) as pool:
            source = pool.submit(cluster.add_shard, "commerce", "0", 100, ("replica", "replica"))
            targets = [pool.submit(cluster.add_shard, "customer", shard, uid, ("replica",))
                       for shard, uid in (("-80", 200), ("80-", 300))]
            cls.first, cls.replica = source.result()
            for target in targets:
                target.result()
        cluster.vtctldclient("ApplySchema", "--sql", "create table customer (id bigint primary key, name varchar(64)); "
                             "create table corder (id bigint primary key auto_increment); "
                             "create table corder_seq (id bigint primary key, next_id bigint, cache bigint) comment "
                             "'vitess_sequence'", "commerce")
        cluster.vtctldclient("ApplyVSchema", "--vschema", json.dumps({
            "tables": {"customer": {}, "corder": {}, "corder_seq": {"type": "sequence"}}}), "commerce")
        cluster.vtctldclient("ApplyVSchema", "--vschema", json.dumps({
            "sharded": True, "vindexes": {"hash": {"type": "hash"}},
            "tables": {"customer": {"column_vindexes": [{"column": "id", "name": "hash"}]},
                       "corder": {"column_vindexes": [{"column": "id", "name": "hash"}],
                                  "auto_increment": {"column": "id", "sequence": "corder_seq"}}}}), "customer")
        with cluster.server(cls.first, "commerce") as connection, connection.cursor() as cursor:
            cursor.execute("insert into customer values (1, 'alice'), (2, 'bob')")
            cursor.execute("insert into corder values (1), (2), (3)")
        for shard in ("-80", "80-"):
            cluster.vtctldclient("CreateShard", f"commerce/{shard}")
        cls.port = cluster.addresses["vtctld"]["port"]
        cls.artifacts = os.path.join(os.path.dirname(os.path.abspath(os.environ.get("VITRAIL_BIN", "build/bin"))),
                                     "web-pictures")
        os.makedirs(cls.artifacts, exist_ok=True)

    def ask(self, path, body=None, headers=None):
        """(status, headers, body) whatever the status."""
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", headers=headers or {},
                                         data=None if body is None else json.dumps(body).encode())
        try:
            with urllib.request.urlopen(request, timeout=20) as answer:
                return answer.status, answer.headers, answer.read()
        except urllib.error.HTTPError as answer:
            return answer.code, answer.headers, answer.read()

    def test_1_files(self):
        status, headers, page = self.ask("/")
        self.assertEqual(status, 200)
        policy = headers["Content-Security-Policy"]
        self.assertIn("script-src 'self'", policy)
        self.assertNotIn("unsafe", policy)
        self.assertEqual(self.ask("/", headers={"If-None-Match": headers["ETag"]})[0], 304)
        self.assertEqual(gzip.decompress(self.ask("/", headers={"Accept-Encoding": "gzip"})[2]), page)
        self.assertNotRegex(page.decode(), r"<script>|<style|https?://")
        size = 0
        for path in [part.split('"')[0] for part in page.decode().split('="./')[1:]]:
            status, headers, body = self.ask(f"/{path}", headers={"Accept-Encoding": "gzip"})
            self.assertEqual((status, headers["Content-Encoding"]), (200, "gzip"), path)
            size += len(body)
        self.assertLess(size, 200_000)
        self.assertEqual(self.ask("/assets/none.js")[0], 404)
        self.assertEqual(self.ask("/", body=[])[0], 405)

    def test_2_who_may_send_commands(self):
        def run(*args, **headers):
            status, _, body = self.ask("/api/run", list(args), {k.replace("_", "-"): v for k, v in headers.items()})
            return status, body.decode()
        ours = f"http://127.0.0.1:{self.port}"
        self.assertEqual(run("GetCellInfoNames", Origin=ours), (200, json.dumps({"Error": "", "Output": "zone1\n"}, indent=2) + "\n"))
        for headers in ({"Origin": "http://evil.example"}, {"Origin": "null"}, {"Sec_Fetch_Site": "cross-site"},
                        {"Origin": f"http://evil.example:{self.port}", "Host": f"evil.example:{self.port}"}):
            status, text = run("DeleteKeyspace", "--recursive", "customer", **headers)
            self.assertEqual(status, 403, headers)
            self.assertIn("another site", text)
        self.assertIn("files are not read here", run("ApplyVSchema", "--vschema-file", "/etc/passwd", "customer")[1])
        self.assertEqual(self.ask("/api/run")[0], 405)
        self.assertEqual(run()[0], 400)
        # Where gRPC asks for a password, so does HTTP.
        users = self.cluster.path("users.json")
        with open(users, "w", encoding="utf-8") as file:
            json.dump([{"Username": "operator", "Password": "secret"}], file)
        self.restart_vtctld("--grpc-auth-mode", "static", "--grpc-auth-static-password-file", users)
        try:
            def basic(text):
                return "Basic " + base64.b64encode(text.encode()).decode()
            self.assertEqual(self.ask("/api/keyspaces/")[0], 200)
            status, headers, _ = self.ask("/api/run", ["GetCellInfoNames"])
            self.assertEqual((status, headers["WWW-Authenticate"].split()[0]), (401, "Basic"))
            self.assertEqual(run("GetCellInfoNames", Authorization=basic("operator:wrong"))[0], 401)
            self.assertEqual(run("GetCellInfoNames", Authorization=basic("operator:secret"))[0], 200)
            access = http_json(self.port, "/api/access")
            self.assertEqual((access["commands"], access["sign_in"]), (False, True))
        finally:
            self.restart_vtctld()
        # No commands over an address that other machines reach.
        self.restart_vtctld("--bind-address", "0.0.0.0")
        try:
            status, text = run("CreateKeyspace", "stranger")
            self.assertEqual(status, 403)
            self.assertIn("other machines can reach this port", text)
            self.assertNotIn("stranger", http_get(self.port, "/api/keyspaces/"))
        finally:
            self.restart_vtctld()

    def test_3_actions_survive_the_death_of_vtctld(self):
        cluster = self.cluster

        def state():
            return json.loads(self.ctl("ShardingWorkflow", "--format", "json", "show", "w"))["state"]

        def killed_during(wanted, action, *args):
            server = f"127.0.0.1:{cluster.addresses['vtctld']['grpc']}"
            with subprocess.Popen([f"{os.environ['VITRAIL_BIN']}/vtctldclient", "--server", server, "ShardingWorkflow",
                                   action, *args, "w"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as command:
                wait_until(lambda: command.poll() is not None or any(
                    w.get("under_way") for w in http_json(self.port, "/api/views/sharding")["workflows"]),
                    f"{action} to begin", interval=0.01)
                cluster.processes["vtctld"].kill(9)
                command.wait(60)
            cluster.restart("vtctld")

            def reached():
                now = state()
                if now == "error":  # Its cause is shown; a retry goes on.
                    try:
                        self.ctl("ShardingWorkflow", "retry", "w")
                    except Failure:
                        pass  # Not yet: again.
                return now == wanted
            wait_until(reached, f"{action} to reach {wanted}", 60, 0.3)
        self.ctl("ShardingWorkflow", "create", "--source-keyspace", "commerce", "--target-keyspace", "customer", "--tables",
                 "corder", "w")
        wait_until(lambda: state() == "running", "the copy to run")
        self.assert_command_fails("has an active sharding workflow: w, in the state running", "ShardingWorkflow", "create",
                                  "--source-keyspace", "commerce", "--target-keyspace", "customer", "second")
        killed_during("switched_primaries", "switch-primaries")
        ((next_id,),) = cluster.server_rows(self.first, "select next_id from corder_seq", "commerce")
        self.assertGreater(next_id, 3)
        killed_during("running", "reverse-traffic")
        killed_during("switched_primaries", "switch-primaries")
        self.assert_command_fails("Give --yes to go on", "ShardingWorkflow", "cutover", "w")
        killed_during("cutover", "cutover", "--yes")
        self.assertEqual(self.routing_rules(), {})
        rows = [row for shard in ("-80", "80-") for row in
                cluster.server_rows(cluster.primary("customer", shard), "select id from corder", "customer")]
        self.assertEqual(sorted(rows), [(1,), (2,), (3,)])
        self.assertEqual(cluster.server_rows(self.first, "show tables like 'corder'", "commerce"), ())
        self.ctl("ShardingWorkflow", "complete", "w")

    def test_4_pages(self):
        config = {"url": f"http://127.0.0.1:{self.port}", "chromium": CHROMIUM, "artifacts": self.artifacts,
                  "vtctldclient": [f"{os.environ['VITRAIL_BIN']}/vtctldclient", "--server",
                                   f"127.0.0.1:{self.cluster.addresses['vtctld']['grpc']}"],
                  "replica": self.replica.alias, "seconds": 1}
        process = subprocess.Popen(["node", os.path.join(TESTS, "pages.mjs"), json.dumps(config)], text=True,
                                   stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        try:
            for line in process.stdout:
                if line.strip() == "restart":
                    self.restart_vtctld()
                process.stdin.write("done\n")
                process.stdin.flush()
            self.assertEqual(process.wait(60), 0, f"pictures are in {self.artifacts}")
        finally:
            process.kill()
            process.wait()


if __name__ == "__main__":
    if problem := why_not():
        print(f"left out: the tests of vtctld's web pages: {problem}")
        sys.exit(77)
    main()
