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

from support import BIN, REPOSITORY, ClusterTest, main

from vitrail.processes import http_get, http_json

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
        cluster.start_vtgate("--tablet-types-to-wait", "PRIMARY")
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

    def test_2_who_may_send_commands_to_other_programs(self):
        cluster = self.cluster

        def commands_of(name, *flags, path, refused, **headers):
            """Sends one that is refused with that text, and one that is not."""
            port = cluster.ports.take()
            cluster.start(name, [f"{BIN}/{name}", *cluster.topo_flags(), "--port", port, *flags], lambda: http_get(port, "/debug/vars"))
            try:
                for text, status, sent in ((refused, 403, headers), ("", 200, {})):
                    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", data=b"", headers=sent)
                    try:
                        with urllib.request.urlopen(request, timeout=20) as answer:
                            got, body = answer.status, answer.read().decode()
                    except urllib.error.HTTPError as answer:
                        got, body = answer.code, answer.read().decode()
                    if "0.0.0.0" in flags and "--http-allow-insecure" not in flags:
                        text, status = refused, 403
                    self.assertEqual((got, text in body), (status, True), (name, flags, body))
            finally:
                cluster.processes.pop(name).stop()
        foreign = {"Origin": "http://evil.example"}
        image = {"Sec-Fetch-Site": "cross-site"}
        commands_of("vtworker", path="/cancel", refused="another site", **foreign)
        commands_of("vtworker", "--bind-address", "0.0.0.0", path="/cancel", refused="other machines can reach this port")
        commands_of("vtorc", path="/api/disable-global-recoveries", refused="another site", **image)
        commands_of("vtorc", "--bind-address", "0.0.0.0", path="/api/disable-global-recoveries",
                    refused="other machines can reach this port")
        commands_of("vtorc", "--bind-address", "0.0.0.0", "--http-allow-insecure", path="/api/enable-global-recoveries",
                    refused="another site", **image)

    def test_3_pages(self):
        for _ in range(3):
            self.eventually(lambda: self.assertEqual(self.rows("select name from commerce.customer where id = 2"), [("bob",)]))
        self.assert_sql_refused(1054, "nothing", "select nothing from commerce.customer where name = 'secret'")
        config = {"url": f"http://127.0.0.1:{self.port}", "chromium": CHROMIUM, "artifacts": self.artifacts,
                  "vtctldclient": [f"{os.environ['VITRAIL_BIN']}/vtctldclient", "--server",
                                   f"127.0.0.1:{self.cluster.addresses['vtctld']['grpc']}"],
                  "replica": self.replica.alias, "seconds": 1,
                  "tablets": len(self.cluster.tablets), "version": http_json(self.port, "/api/views/cluster")["version"]}
        process = subprocess.Popen(["node", os.path.join(TESTS, "pages.mjs"), json.dumps(config)], text=True,
                                   stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        try:
            for line in process.stdout:
                if line.strip() == "restart":
                    self.restart_vtctld()
                process.stdin.write("done\n")
                process.stdin.flush()
            self.assertEqual(process.wait(60), 0, f"pictures are in {self.artifacts}")
            ((next_id,),) = self.cluster.server_rows(self.first, "select next_id from corder_seq", "commerce")
            self.assertGreater(next_id, 3)  # S0-23
        finally:
            process.kill()
            process.wait()


if __name__ == "__main__":
    if problem := why_not():
        print(f"left out: the tests of vtctld's web pages: {problem}")
        sys.exit(77)
    main()
