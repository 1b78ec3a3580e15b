"""A cluster whose gRPC and MySQL ports speak TLS and ask for certificates, down to the MySQL server: everything works, and
whoever has no good certificate gets a clear error that is counted.
"""

import hashlib
import json
import os
import shutil
import signal
import ssl
import subprocess
import urllib.error
import urllib.request

from support import BIN, Cluster, ClusterTest, main, pymysql

from vitrail.processes import Failure, http_get, http_json, wait_until


# The password "secret" as MySQL 8 stores it: only who sends it in clear, or encrypted, can be checked against it.
STORED = "$A$005$salt-of-twenty-byteseaAG2Nwn3xYvI8jmwTGvT.XYU64hTg47niyOsTSUiN6"


class SecureCluster(Cluster):
    def openssl(self, *args):
        subprocess.run(["openssl", *args], cwd=self.path("tls"), check=True, capture_output=True, timeout=60)

    def authority(self, name):
        self.openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
                     "-subj", f"/CN={name}", "-keyout", f"{name}.key", "-out", f"{name}.pem")

    def certificate(self, name, authority="ca"):
        self.openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj",
                     f"/O=vitrail/CN={name}", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout",
                     f"{name}.key", "-out", f"{name}.csr")
        self.openssl("x509", "-req", "-in", f"{name}.csr", "-CA", f"{authority}.pem", "-CAkey", f"{authority}.key",
                     "-CAcreateserial", "-days", "2", "-copy_extensions", "copy", "-out", f"{name}.pem")

    def revoke(self, name):
        with open(self.path("tls", "ca.cnf"), "w", encoding="utf-8") as file:
            file.write(f"[ca]\ndefault_ca = here\n[here]\ndatabase = {self.path('tls', 'index.txt')}\n"
                       "default_md = sha256\ndefault_crl_days = 2\n")
        with open(self.path("tls", "index.txt"), "w", encoding="utf-8"):
            pass
        ca = ["ca", "-config", "ca.cnf", "-cert", "ca.pem", "-keyfile", "ca.key"]
        self.openssl(*ca, "-revoke", f"{name}.pem")
        self.openssl(*ca, "-gencrl", "-out", "crl.pem")

    def mysql_tls(self, prefix, name, *kinds):
        """The flags of one side of a MySQL connection; `kinds`: cert, key, ca, crl."""
        files = {"cert": f"{name}.pem", "key": f"{name}.key", "ca": "ca.pem", "crl": "crl.pem"}
        return [text for kind in kinds for text in (f"--{prefix}ssl-{kind}", self.path("tls", files[kind]))]

    def start_tablet(self, tablet):
        """With accounts that the server lets in over TLS only, since vttablet reaches it by TCP."""
        with self.server(tablet) as connection, connection.cursor() as cursor:
            cursor.execute("set session sql_log_bin = 0")
            for user in ("vt_app", "vt_dba", "vt_allprivs", "vt_filtered"):
                cursor.execute(f"create user {user}@127.0.0.1 require ssl")
                cursor.execute(f"grant all on *.* to {user}@127.0.0.1 with grant option")
        super().start_tablet(tablet)

    def tls(self, prefix, name):
        return [f"--{prefix}grpc-cert", self.path("tls", f"{name}.pem"), f"--{prefix}grpc-key",
                self.path("tls", f"{name}.key"), f"--{prefix}grpc-ca", self.path("tls", "ca.pem")]

    def start(self, name, argv, ready, seconds=60):
        """With its own certificate, for the port it has and for the servers it calls."""
        program = name.partition("-")[0]
        calls = {"vtctld": "tablet-manager-", "vttablet": "tablet-", "vtgate": "tablet-"}[program]
        argv = [*argv, *self.tls(calls, program)]
        if program == "vtctld":
            argv += [text for end, file in (("ca", "ca.pem"), ("cert", "operator.pem"), ("key", "operator.key"))
                     for text in (f"--http-client-{end}", self.path("tls", file))]
        if program == "vtgate":
            argv += self.mysql_tls("tablet-mysql-", program, "cert", "key", "ca")
        if program == "vttablet":
            port = next(t.ports["mysqld"] for t in self.tablets.values() if t.name == name)
            argv += [*self.mysql_tls("mysql-data-", program, "cert", "key", "ca"), "--mysql-data-require-secure-transport",
                     "--db-host", "127.0.0.1", "--db-port", port, "--db-ssl-mode", "verify_identity",
                     *self.mysql_tls("db-", program, "ca")]
        if program != "vtgate":
            argv += [*self.tls("", program), "--grpc-auth-mode", "mtls",
                     "--grpc-auth-mtls-allowed-substrings", "CN=vtctld:CN=vttablet:CN=vtgate:CN=operator"]
        return super().start(name, argv, ready, seconds)

    def vtctldclient(self, *args, timeout=600):
        return super().vtctldclient(*self.tls("vtctld-", "operator"), *args, timeout=timeout)


class SecurityTest(ClusterTest):
    cluster_class = SecureCluster

    @classmethod
    def prepare(cls):
        cluster = cls.cluster
        os.makedirs(cluster.path("tls"))
        for authority in ("ca", "other"):
            cluster.authority(authority)
        for name in ("vtctld", "vttablet", "vtgate", "operator", "guest", "mysqld"):
            cluster.certificate(name)
        cluster.certificate("forged", "other")
        cluster.certificate("another", "other")
        cluster.certificate("revoked")
        cluster.revoke("revoked")
        cluster.start_vtctld()
        with open(cluster.path("small.cnf"), "a", encoding="utf-8") as file:
            file.write(f"ssl_cert = {cluster.path('tls', 'mysqld.pem')}\nssl_key = {cluster.path('tls', 'mysqld.key')}\n")
        cluster.vtctldclient("CreateKeyspace", "--durability-policy", "none", "ks")
        cls.tablet, = cluster.add_shard("ks", "0", 100, ("replica",))
        cluster.vtctldclient("ApplySchema", "--sql", "create table t (id int primary key); "
                             "create table large (id int primary key, v longtext)", "ks")
        cluster.vtctldclient("ApplyVSchema", "--vschema", json.dumps({"tables": {"t": {}, "large": {}}}), "ks")
        cluster.start("vtgate", [*cls.vtgate_argv(), *cluster.mysql_tls("mysql-server-", "vtgate", "cert", "key")], lambda: http_get(cluster.addresses["vtgate"]["port"], "/debug/vars"))
        wait_until(cluster.vtgate_answers, "vtgate to answer")

    @classmethod
    def vtgate_argv(cls, name="vtgate"):
        cluster = cls.cluster
        port, mysql = cluster.ports.take(), cluster.ports.take()
        cluster.addresses[name] = {"port": port, "mysql": mysql}
        return [f"{BIN}/vtgate", *cluster.topo_flags(), "--cell", cluster.cell, "--tablet-types-to-wait", "PRIMARY",
                "--port", port, "--mysql-server-port", mysql]

    def file(self, name):
        return self.cluster.path("tls", name)

    def mysql_tls(self, text, *args, vtgate="vtgate", ca="ca.pem", user="demo"):
        return self.mysql_client(text, f"--ssl-ca={self.file(ca)}", "--ssl-verify-server-cert", *args,
                                 port=self.cluster.addresses[vtgate]["mysql"], user=user)

    def tls_failures(self, vtgate):
        return http_json(self.cluster.addresses[vtgate]["port"], "/debug/vars")["MysqlServerTlsFailures"]

    def start_strict_vtgate(self):
        """A vtgate that wants TLS and certificates of its clients, as well as their passwords."""
        cluster = self.cluster
        if "vtgate-strict" in cluster.processes:
            return
        # Files of its own, which a test exchanges.
        for end in ("pem", "key"):
            shutil.copy(self.file(f"vtgate.{end}"), self.file(f"strict.{end}"))
        users = {"stored": [{"CachingSha2Password": STORED}], "plain": [{"Password": "secret"}]}
        cluster.start("vtgate-strict", [
            *self.vtgate_argv("vtgate-strict"), *cluster.mysql_tls("mysql-server-", "strict", "cert", "key", "ca", "crl"),
            "--mysql-server-require-secure-transport", "--mysql-server-tls-min-version", "TLSv1.2",
            "--mysql-auth-server-impl", "static", "--mysql-auth-server-static-string", json.dumps(users)],
            lambda: http_get(cluster.addresses["vtgate-strict"]["port"], "/debug/vars"))

    def strict(self, certificate, text="select 1", *args, user="plain", ca="ca.pem"):
        shown = [f"--ssl-cert={self.file(certificate + '.pem')}", f"--ssl-key={self.file(certificate + '.key')}"]
        return self.mysql_tls(text, *(shown if certificate else ()), "--password=secret", *args, vtgate="vtgate-strict",
                              user=user, ca=ca)

    def refused_peers(self, program):
        return http_json(self.cluster.addresses[program]["port"], "/debug/vars")["GrpcServerRefusedPeers"]

    def client(self, *args):
        argv = [f"{BIN}/vtctldclient", "--server", f"127.0.0.1:{self.cluster.addresses['vtctld']['grpc']}", "--action-timeout",
                "10s", *args]
        return self.run_program(argv)

    def test_everything_works_between_programs_that_know_each_other(self):
        self.rows("insert into t(id) values (1)", "ks")
        self.assertEqual(self.rows("select id from t", "ks"), [(1,)])
        self.ctl("PingTablet", self.tablet.alias)
        self.assertEqual(http_json(self.cluster.addresses["vtgate"]["port"], "/debug/vars")["HealthcheckConnections"],
                         {"ks.0.primary": 1})

    def test_strangers_get_a_clear_error_and_are_counted(self):
        before = self.refused_peers("vtctld")
        tls = self.cluster.tls
        ca = self.cluster.path("tls", "ca.pem")
        for flags, text in ((["--vtctld-grpc-ca", ca], "only clients with a certificate"),
                            (tls("vtctld-", "forged"), "O=vitrail is refused: unable to get local issuer certificate"),
                            (tls("vtctld-", "guest"), "client certificate not authorized: CN=guest")):
            code, output = self.client(*flags, "GetKeyspaces")
            self.assertNotEqual(code, 0)
            self.assertIn(text, output)
        code, output = self.client("GetKeyspaces")
        self.assertNotEqual(code, 0)
        self.assertIn("UNAVAILABLE", output)
        after = self.refused_peers("vtctld")
        self.assertEqual(after["certificate"] - before.get("certificate", 0), 2)
        self.assertEqual(after["credentials"] - before.get("credentials", 0), 1)

    def test_a_server_of_another_authority_is_refused(self):
        code, output = self.client("--vtctld-grpc-ca", self.cluster.path("tls", "other.pem"), "GetKeyspaces")
        self.assertNotEqual(code, 0)
        self.assertIn("certificate verify failed", output)

    def test_http_runs_no_commands_where_grpc_asks_who_calls(self):
        request = urllib.request.Request(f"http://127.0.0.1:{self.cluster.addresses['vtctld']['port']}/api/schema/apply",
                                         data=json.dumps({"Keyspace": "ks", "SQL": "drop table t"}).encode())
        with self.assertRaises(urllib.error.HTTPError) as caught:
            urllib.request.urlopen(request, timeout=20)
        self.assertEqual(caught.exception.code, 403)
        self.assertIn("commands by HTTP are off, because gRPC asks callers for a certificate", caught.exception.read().decode())

    def test_open_ports_must_be_asked_for(self):
        argv = [f"{BIN}/vtctld", *self.cluster.topo_flags(), "--port", self.cluster.ports.take(), "--grpc-port",
                self.cluster.ports.take(), "--grpc-bind-address", "0.0.0.0"]
        code, output = self.run_program(argv)
        self.assertNotEqual(code, 0)
        self.assertIn("--grpc-allow-insecure", output)
        code, output = self.run_program([*argv, "--grpc-auth-mode", "static"])
        self.assertNotEqual(code, 0)
        self.assertIn("--grpc-auth-static-password-file", output)

    def test_statements_are_encrypted_down_to_the_server(self):
        code, output, errors = self.mysql_tls("status; select count(*) from t where id = 99", "ks")
        self.assertEqual((code, errors), (0, ""))
        self.assertRegex(output, r"SSL:\s+Cipher in use is TLS_")
        version = self.rows("select variable_value from information_schema.session_status where variable_name = 'ssl_version'",
                            "ks/0")
        self.assertEqual(version, [("TLSv1.3",)])
        # Plain connections are let in where nothing else is asked for.
        code, output, _ = self.mysql_client("status", "--skip-ssl")
        self.assertEqual(code, 0)
        self.assertRegex(output, r"SSL:\s+Not in use")

    def test_twenty_mebibytes_over_tls(self):
        size = 20 << 20
        text = "0123456789abcdef" * (size // 16)
        code, _, errors = self.mysql_tls(f"replace into large(id, v) values (1, '{text}')", "--max-allowed-packet=64M", "ks")
        self.assertEqual((code, errors), (0, ""))
        code, output, errors = self.mysql_tls("select v from large where id = 1", "--max-allowed-packet=64M",
                                              "--skip-column-names", "--raw", "ks")
        self.assertEqual((code, errors), (0, ""))
        self.assertEqual(hashlib.sha256(output.strip().encode()).hexdigest(), hashlib.sha256(text.encode()).hexdigest())

    def test_a_client_refuses_a_gate_of_another_authority(self):
        code, _, errors = self.mysql_tls("select 1", ca="other.pem")
        self.assertNotEqual(code, 0)
        self.assertRegex(errors, "ERROR 2026 .*(certificate|SSL)")

    def test_the_data_port_lets_in_only_gates(self):
        port = self.tablet.ports["data"]
        target = "ks/0@primary"
        code, _, errors = self.mysql_client("select 1", "--skip-ssl", target, port=port)
        self.assertNotEqual(code, 0)
        self.assertIn("ERROR 3159 (HY000)", errors)
        ca = f"--ssl-ca={self.file('ca.pem')}"
        for shown in ([], [f"--ssl-cert={self.file('forged.pem')}", f"--ssl-key={self.file('forged.key')}"]):
            code, _, errors = self.mysql_client("select 1", ca, *shown, target, port=port)
            self.assertNotEqual(code, 0, shown)
        code, output, errors = self.mysql_client("select 1", ca, f"--ssl-cert={self.file('vtgate.pem')}",
                                                 f"--ssl-key={self.file('vtgate.key')}", target, port=port)
        self.assertEqual((code, errors), (0, ""))

    def test_clients_need_a_certificate_where_one_is_asked_for(self):
        self.start_strict_vtgate()
        code, output, errors = self.strict("guest", "status")
        self.assertEqual((code, errors), (0, ""))
        self.assertRegex(output, r"SSL:\s+Cipher in use is TLS_")
        before = self.tls_failures("vtgate-strict")
        for certificate in ("", "forged", "revoked"):
            code, _, errors = self.strict(certificate)
            self.assertNotEqual(code, 0, certificate)
            self.assertRegex(errors, "ERROR 20(26|13|06) ", certificate)
        self.eventually(lambda: self.assertEqual(self.tls_failures("vtgate-strict") - before, 3))
        code, _, errors = self.mysql_client("select 1", "--skip-ssl", "--password=secret", user="plain",
                                            port=self.cluster.addresses["vtgate-strict"]["mysql"])
        self.assertNotEqual(code, 0)
        self.assertIn("ERROR 3159 (HY000): Connections using insecure transport are prohibited", errors)

    def test_old_versions_of_tls_are_refused(self):
        self.start_strict_vtgate()
        for version, good in (("-tls1_1", False), ("-tls1_2", True), ("-tls1_3", True)):
            _, output = self.run_program(["openssl", "s_client", "-connect",
                                          f"127.0.0.1:{self.cluster.addresses['vtgate']['mysql']}", "-starttls", "mysql", version,
                                          "-cipher", "DEFAULT@SECLEVEL=0", "-CAfile", self.file("ca.pem")])
            self.assertEqual("Verify return code: 0 (ok)" in output and "Cipher is (NONE)" not in output, good, output)

    def test_passwords_of_every_kind_are_checked_over_tls(self):
        self.start_strict_vtgate()
        for user, plugin in (("plain", "mysql_native_password"), ("plain", "caching_sha2_password"),
                             ("stored", "caching_sha2_password"), ("stored", "mysql_clear_password")):
            code, output, errors = self.strict("guest", "select 1", f"--default-auth={plugin}", "--skip-column-names", user=user)
            self.assertEqual((code, output, errors), (0, "1\n", ""), (user, plugin))
            code, _, errors = self.strict("guest", "select 1", f"--default-auth={plugin}", "--password=wrong", user=user)
            self.assertIn("ERROR 1045 (28000): Access denied", errors)

    def test_certificates_are_read_again_on_sighup(self):
        self.start_strict_vtgate()
        gate = self.cluster.processes["vtgate-strict"]

        def exchange(name):
            for end in ("key", "pem"):
                shutil.copy(self.file(f"{name}.{end}"), self.file(f"strict.{end}"))
            gate.kill(signal.SIGHUP)

        def answers(ca):
            code, _, errors = self.strict("guest", ca=ca)
            self.assertEqual((code, errors), (0, ""))
        context = ssl.create_default_context(cafile=self.file("ca.pem"))
        context.load_cert_chain(self.file("guest.pem"), self.file("guest.key"))
        with pymysql.connect(host="127.0.0.1", port=self.cluster.addresses["vtgate-strict"]["mysql"], user="plain",
                             password="secret", ssl=context) as connection, connection.cursor() as cursor:
            exchange("another")
            self.eventually(lambda: answers("other.pem"))
            cursor.execute("select 1")  # Who was there stays.
            self.assertEqual(cursor.fetchone(), (1,))
        with open(self.file("strict.pem"), "w", encoding="utf-8") as file:
            file.write("no certificate")
        gate.kill(signal.SIGHUP)
        self.eventually(lambda: self.assertIn("certificates stay as they are", gate.log_tail()))
        answers("other.pem")
        exchange("vtgate")
        self.eventually(lambda: answers("ca.pem"))

    def test_pages_read_from_ports_that_speak_tls(self):
        cluster = self.cluster
        argv = [*self.vtgate_argv("vtgate-https"), *(text for end, file in (("cert", "vtgate.pem"), ("key", "vtgate.key"), ("ca", "ca.pem"))
                                                     for text in (f"--http-tls-{end}", self.file(file)))]
        port = cluster.addresses["vtgate-https"]["port"]
        context = ssl.create_default_context(cafile=self.file("ca.pem"))
        context.load_cert_chain(self.file("guest.pem"), self.file("guest.key"))
        cluster.start("vtgate-https", argv, lambda: urllib.request.urlopen(f"https://localhost:{port}/debug/vars", context=context))

        def is_read():
            gates = http_json(cluster.addresses["vtctld"]["port"], "/api/views/queries/time")["gates"]
            self.assertEqual([gate["error"] for gate in gates if gate["name"].endswith(f":{port}")], [""], gates)
            self.assertEqual([gate["error"] for gate in gates if gate["error"]], [])
        self.eventually(is_read)

    def test_flags_that_make_no_sense_are_refused(self):
        gate = [f"{BIN}/vtgate", *self.cluster.topo_flags(), "--cell", self.cluster.cell, "--mysql-server-port", 0]
        for flags, text in ((["--mysql-server-require-secure-transport"], "need --mysql-server-ssl-cert"),
                            (["--mysql-server-ssl-cert", self.file("vtgate.pem")], "must be given together"),
                            (["--mysql-server-tls-min-version", "TLSv1.1"], "TLSv1.2"),
                            (["--tablet-mysql-ssl-cert", self.file("vtgate.pem")], "need --tablet-mysql-ssl-ca")):
            code, output = self.run_program([*gate, *flags])
            self.assertNotEqual(code, 0, flags)
            self.assertIn(text, output)

    def test_a_wrong_key_is_named(self):
        with self.assertRaisesRegex(Failure, "is not that of the certificate"):
            Cluster.vtctldclient(self.cluster, "--vtctld-grpc-cert", self.cluster.path("tls", "guest.pem"), "--vtctld-grpc-key",
                                 self.cluster.path("tls", "operator.key"), "GetKeyspaces")


if __name__ == "__main__":
    main()
