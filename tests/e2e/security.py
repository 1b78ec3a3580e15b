"""A cluster whose gRPC speaks TLS and asks for certificates: everything works, and whoever has no good certificate gets a
clear error that is counted.
"""

import json
import os
import subprocess
import urllib.error
import urllib.request

from support import BIN, Cluster, ClusterTest, main

from vitrail.processes import Failure, http_get, http_json, wait_until


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

    def tls(self, prefix, name):
        return [f"--{prefix}grpc-cert", self.path("tls", f"{name}.pem"), f"--{prefix}grpc-key",
                self.path("tls", f"{name}.key"), f"--{prefix}grpc-ca", self.path("tls", "ca.pem")]

    def start(self, name, argv, ready, seconds=60):
        """With its own certificate, for the port it has and for the servers it calls."""
        program = name.partition("-")[0]
        calls = {"vtctld": "tablet-manager-", "vttablet": "tablet-", "vtgate": "tablet-"}[program]
        argv = [*argv, *self.tls(calls, program)]
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
        for name in ("vtctld", "vttablet", "vtgate", "operator", "guest"):
            cluster.certificate(name)
        cluster.certificate("forged", "other")
        cluster.start_vtctld()
        cluster.vtctldclient("CreateKeyspace", "--durability-policy", "none", "ks")
        cls.tablet, = cluster.add_shard("ks", "0", 100, ("replica",))
        cluster.vtctldclient("ApplySchema", "--sql", "create table t (id int primary key)", "ks")
        cluster.vtctldclient("ApplyVSchema", "--vschema", json.dumps({"tables": {"t": {}}}), "ks")
        cluster.start("vtgate", cls.vtgate_argv(), lambda: http_get(cluster.addresses["vtgate"]["port"], "/debug/vars"))
        wait_until(cluster.vtgate_answers, "vtgate to answer")

    @classmethod
    def vtgate_argv(cls):
        cluster = cls.cluster
        port, mysql = cluster.ports.take(), cluster.ports.take()
        cluster.addresses["vtgate"] = {"port": port, "mysql": mysql}
        return [f"{BIN}/vtgate", *cluster.topo_flags(), "--cell", cluster.cell, "--tablet-types-to-wait", "PRIMARY",
                "--port", port, "--mysql-server-port", mysql, "--mysql-auth-server-impl", "none"]

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
        self.assertIn("use vtctldclient", caught.exception.read().decode())

    def test_open_ports_must_be_asked_for(self):
        argv = [f"{BIN}/vtctld", *self.cluster.topo_flags(), "--port", self.cluster.ports.take(), "--grpc-port",
                self.cluster.ports.take(), "--grpc-bind-address", "0.0.0.0"]
        code, output = self.run_program(argv)
        self.assertNotEqual(code, 0)
        self.assertIn("--grpc-allow-insecure", output)
        code, output = self.run_program([*argv, "--grpc-auth-mode", "static"])
        self.assertNotEqual(code, 0)
        self.assertIn("--grpc-auth-static-password-file", output)

    def test_a_wrong_key_is_named(self):
        with self.assertRaisesRegex(Failure, "is not that of the certificate"):
            Cluster.vtctldclient(self.cluster, "--vtctld-grpc-cert", self.cluster.path("tls", "guest.pem"), "--vtctld-grpc-key",
                                 self.cluster.path("tls", "operator.key"), "GetKeyspaces")


if __name__ == "__main__":
    main()
