"""What goes wrong in daily life: a clear error each, and everything else goes on."""

import json
import os
import socket
import struct
import tempfile

import pymysql

from support import BIN, ClusterTest, main

from vitrail.journey import COMMERCE_SCHEMA, COMMERCE_VSCHEMA

USERS = json.dumps({"demo": [{"Password": ""}],
                    "hashed": [{"MysqlNativePassword": "*6C387FC3893DBA1E3BA155E74754DA6682D04747"}],  # plain_msg
                    "secured": [{"Password": "right", "UserData": "caller"}]})


class BadInputTest(ClusterTest):
    @classmethod
    def prepare(cls):
        cluster = cls.cluster
        cluster.start_vtctld()
        cluster.vtctldclient("CreateKeyspace", "--durability-policy", "none", "commerce")
        cluster.add_shard("commerce", "0", 100, ("replica", "replica"))
        cluster.vtctldclient("ApplySchema", "--sql", COMMERCE_SCHEMA, "commerce")
        cluster.vtctldclient("ApplyVSchema", "--vschema", COMMERCE_VSCHEMA, "commerce")
        cluster.start_vtgate("--mysql-auth-server-impl", "static", "--mysql-auth-server-static-string", USERS)

    def still_serves(self):
        self.assertEqual(self.rows("select 1 + 1 from dual", "commerce"), [(2,)])

    # --- logging in ---
    def login(self, user, password="", database=None):
        pymysql.connect(host="127.0.0.1", port=self.cluster.addresses["vtgate"]["mysql"], user=user, password=password,
                        database=database).close()

    def test_wrong_passwords(self):
        self.login("secured", "right")
        for user, password in (("secured", "wrong"), ("secured", ""), ("hashed", "wrong"), ("demo", "something"), ("nobody", ""),
                               ("nobody", "x")):
            with self.subTest(user=user, password=password):
                self.assert_refused(1045, f"Access denied for user '{user}'", lambda u=user, p=password: self.login(u, p))
        code, _, error = self.mysql_client("select 1", "--password=wrong", user="secured")
        self.assertEqual(code, 1)
        self.assertRegex(error, r"ERROR 1045 \(28000\).*Access denied for user 'secured'")

    # --- names ---
    def test_unknown_database(self):
        self.assert_refused(1049, "unknown database 'nosuch'", lambda: self.login("demo", "", "nosuch"))
        for name in ("nosuch", "nosuch/0", "nosuch@replica"):
            self.assert_sql_refused(1049, "nosuch", f"use `{name}`")
            with self.cluster.connect() as connection:
                self.assert_refused(1049, "nosuch", lambda c=connection, n=name: c.select_db(n))
        self.assert_sql_refused(1049, "nosuch", "select * from nosuch.customer")
        self.assert_sql_refused(1049, "nosuchtype", "use `commerce@nosuchtype`")
        code, _, error = self.mysql_client("use nosuch;")
        self.assertEqual(code, 1)
        self.assertRegex(error, r"ERROR 1049 \(42000\)")
        self.still_serves()

    def test_unknown_shard(self):
        with self.cluster.connect("commerce/nosuch", read_timeout=30) as connection, connection.cursor() as cursor:
            self.assert_refused((1105, 1049), "nosuch", lambda: cursor.execute("select 1 from customer"))

    def test_unknown_table(self):
        self.assert_sql_refused((1105, 1146), "nosuch", "select * from nosuch", "commerce")
        self.assert_sql_refused((1105, 1146), "nosuch", "select * from nosuch")
        self.assert_sql_refused((1105, 1146), "nosuch", "insert into nosuch(a) values (1)", "commerce")
        self.assert_sql_refused(1054, "nosuch", "select nosuch from customer", "commerce")

    def test_mistakes_in_sql(self):
        for sql in ("selec 1", "select * from", "select 'open", "insert into customer values (", "select * from customer where"):
            with self.subTest(sql=sql):
                self.assert_sql_refused((1064, 1105), "syntax|near", sql, "commerce")
        self.assert_sql_refused(1065, "empty", " ; ", "commerce")
        self.still_serves()

    # --- packets ---
    def raw(self):
        connection = socket.create_connection(("127.0.0.1", self.cluster.addresses["vtgate"]["mysql"]), timeout=20)
        self.addCleanup(connection.close)
        return connection

    @staticmethod
    def read_packet(connection):
        """(sequence number, payload), or None at the end of the stream."""
        def exactly(size):
            data = b""
            while len(data) < size:
                part = connection.recv(size - len(data))
                if not part:
                    return None
                data += part
            return data
        try:
            header = exactly(4)
            return None if header is None else (header[3], exactly(int.from_bytes(header[:3], "little")))
        except ConnectionResetError:
            return None

    def assert_hung_up(self, connection):
        """Perhaps with an error before."""
        for _ in range(3):
            packet = self.read_packet(connection)
            if packet is None:
                return
            self.assertEqual(packet[1][0], 0xFF, packet)
        self.fail("the connection is still open")

    def test_garbage_instead_of_a_login(self):
        for garbage in (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"\x00\x00\x00\x01", b"\x04\x00\x00\x01\xff\xff\xff\xff",
                        b"\x20\x00\x00\x01" + b"\xff" * 32, b"\x05\x00\x00\x07hello", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"):
            with self.subTest(garbage=garbage[:8]):
                connection = self.raw()
                self.assertEqual(self.read_packet(connection)[1][0], 10)  # The server's greeting.
                connection.sendall(garbage)
                connection.shutdown(socket.SHUT_WR)
                self.assert_hung_up(connection)
        self.still_serves()

    def logged_in(self):
        connection = self.cluster.connect("commerce")
        self.addCleanup(connection.close)
        return connection._sock

    def error_of(self, packet):
        self.assertIsNotNone(packet, "the connection was closed without a word")
        self.assertEqual(packet[1][0], 0xFF, packet)
        return struct.unpack("<H", packet[1][1:3])[0]

    def test_malformed_packets(self):
        for payload, numbers in ((b"\x17\x01\x00", (1243, 1835)),               # COM_STMT_EXECUTE that is too short
                                 (b"\x17\xff\xff\xff\xff\x00\x01\x00\x00\x00", (1243,)),  # of a statement that is not there
                                 (b"\xee whatever", (1047,))):                  # no such command
            with self.subTest(payload=payload):
                connection = self.logged_in()
                connection.sendall(struct.pack("<I", len(payload))[:3] + b"\x00" + payload)
                self.assertIn(self.error_of(self.read_packet(connection)), numbers)
                connection.sendall(b"\x01\x00\x00\x00\x0e")  # COM_PING: the session goes on.
                self.assertEqual(self.read_packet(connection)[1][0], 0)
        with self.subTest("a change of the user that is cut off"):  # As after a login that fails: no session is left.
            connection = self.logged_in()
            connection.sendall(b"\x05\x00\x00\x00\x11user")
            self.assertEqual(self.error_of(self.read_packet(connection)), 1043)
            self.assert_hung_up(connection)
        with self.subTest("a sequence number that does not fit"):
            connection = self.logged_in()
            connection.sendall(b"\x09\x00\x00\x05\x03select 1")
            self.assertEqual(self.error_of(self.read_packet(connection)), 1156)
            self.assert_hung_up(connection)
        with self.subTest("half a packet"):
            connection = self.logged_in()
            connection.sendall(b"\xff\x00\x00\x00\x03select")
            connection.shutdown(socket.SHUT_WR)
            self.assert_hung_up(connection)
        self.still_serves()

    def test_a_statement_of_64_mib(self):
        """Up to 64 MiB it runs; what is longer is refused, and the session goes on."""
        size = (64 << 20) - 100
        with self.cluster.connect("commerce", max_allowed_packet=1 << 30) as connection, connection.cursor() as cursor:
            cursor.execute(f"select length('{'x' * size}')")
            self.assertEqual(cursor.fetchall(), ((size,),))
            self.assert_refused(1153, "longer than the limit", lambda: cursor.execute(f"select length('{'x' * (64 << 20)}')"))
            # One that is wrong at its very end: the error does not repeat all of it.
            with self.assertRaises(pymysql.MySQLError) as caught:
                cursor.execute(f"select length('{'x' * size}') nosuch syntax")
            self.assertIn(caught.exception.args[0], (1064, 1105))
            self.assertLess(len(caught.exception.args[1]), 10_000)
            cursor.execute("select 1")
            self.assertEqual(cursor.fetchall(), ((1,),))

    # --- commands ---
    def test_a_vschema_with_a_mistake(self):
        before = json.loads(self.ctl("GetVSchema", "commerce"))
        column = {"column": "customer_id", "name": "hash"}
        for vschema, pattern in (
                ('{"sharded": tru', "(?i)json|parse"),
                ('{"tables": {"customer": {}}, "shraded": true}', "shraded"),
                (json.dumps({"sharded": True, "tables": {"customer": {"column_vindexes": [column]}}}), "hash"),
                (json.dumps({"sharded": True, "vindexes": {"hash": {"type": "nosuch"}},
                             "tables": {"customer": {"column_vindexes": [column]}}}), "nosuch"),
                (json.dumps({"sharded": True, "vindexes": {"hash": {"type": "hash"}}, "tables": {"customer": {}}}), "customer")):
            with self.subTest(vschema=vschema):
                self.assert_command_fails(pattern, "ApplyVSchema", "--strict", "--vschema", vschema, "commerce")
        self.assert_command_fails("nosuch", "ApplyVSchema", "--vschema", "{}", "nosuch")
        self.assertEqual(json.loads(self.ctl("GetVSchema", "commerce")), before)
        self.still_serves()

    def test_unknown_workflows(self):
        for command in ("MoveTables", "Reshard"):
            base = (command, "--workflow", "nosuch", "--target-keyspace", "commerce")
            for action in ("switchtraffic", "reversetraffic", "complete", "cancel", "status"):
                with self.subTest(command=command, action=action):
                    self.assert_command_fails("nosuch", *base, action)
        self.assert_command_fails("nosuch", "MoveTables", "--workflow", "w", "--target-keyspace", "nosuch", "switchtraffic")
        self.assert_command_fails("nosuch", "VDiff", "--workflow", "nosuch", "--target-keyspace", "commerce", "create")

    def test_commands_with_mistakes(self):
        for pattern, *command in (("NoSuchCommand", "NoSuchCommand"), ("no-such-flag", "GetTablets", "--no-such-flag"),
                                  ("commerce", "GetShard", "commerce"), ("commerce/7", "GetShard", "commerce/7"),
                                  ("nosuch", "GetKeyspace", "nosuch"), ("already exists|exists", "CreateKeyspace", "commerce"),
                                  ("workflow", "MoveTables", "--target-keyspace", "commerce", "switchtraffic"),
                                  ("1064|syntax", "ApplySchema", "--sql", "create tabel t(a int)", "commerce"),
                                  ("zone1-777|777", "PlannedReparentShard", "commerce/0", "--new-primary", "zone1-777")):
            with self.subTest(command=command):
                self.assert_command_fails(pattern, *command)
        code, output = self.run_program([f"{BIN}/vtctldclient", "--server", "127.0.0.1:1", "GetKeyspaces"])
        self.assertNotEqual(code, 0)
        self.assertIn("127.0.0.1:1", output)

    # --- starting ---
    def test_mysqld_is_not_installed(self):
        with tempfile.TemporaryDirectory() as empty:
            code, output = self.run_program([f"{BIN}/mysqlctl", "--tablet-uid", "900", "init"],
                                            env={"PATH": "", "VT_MYSQL_ROOT": empty, "VTDATAROOT": os.path.join(empty, "data")})
            self.assertNotEqual(code, 0)
            self.assertRegex(output, "neither mariadbd nor mysqld")
            self.assertIn("VT_MYSQL_ROOT", output)
            self.assertFalse(os.path.exists(os.path.join(empty, "data", "vt_0000000900")))

    def test_taken_ports(self):
        """Every port of every program, each taken by somebody else."""
        cluster = self.cluster
        taken = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(taken.close)
        port = taken.getsockname()[1]
        free = cluster.ports.take
        topology = cluster.topo_flags()
        tablet = cluster.tablets[100]
        programs = {
            "vtctld": ([f"{BIN}/vtctld", *topology, "--cell", cluster.cell], ("port", "grpc-port")),
            "vtgate": ([f"{BIN}/vtgate", *topology, "--cell", cluster.cell], ("port", "mysql-server-port")),
            "vttablet": ([f"{BIN}/vttablet", *topology, "--tablet-path", "zone1-0000000900", "--init-keyspace", "commerce",
                          "--init-shard", "0", "--init-tablet-type", "replica", "--init-db-name-override", "commerce",
                          "--db-socket", cluster.path(f"vt_{tablet.uid:010d}", "mysql.sock")],
                         ("port", "grpc-port", "mysql-data-port")),
        }
        for name, (argv, ports) in programs.items():
            for wanted in ports:
                with self.subTest(program=name, port=wanted):
                    flags = [part for p in ports for part in (f"--{p}", port if p == wanted else free())]
                    code, output = self.run_program([*argv, *flags], env={**os.environ, **cluster.environment()})
                    self.assertNotEqual(code, 0, output)
                    self.assertIn(str(port), output)
                    self.assertRegex(output.lower(), "in use|taken")
        # The tablet that could not start is not left behind as one that serves.
        self.assertNotIn("zone1-0000000900", self.ctl("GetTablets", "--keyspace", "commerce", "--tablet-type", "primary"))
        argv = [f"{BIN}/mysqlctl", "--tablet-uid", "901", "--mysql-port", port, "init"]
        code, output = self.run_program(argv, env={**os.environ, **cluster.environment()}, seconds=60)
        self.assertNotEqual(code, 0, output)
        self.assertIn(str(port), output)
        self.still_serves()

    def test_flags_with_mistakes(self):
        for argv, pattern in ((["vtgate"], r'required flag\(s\) "cell" not set'),
                              (["vtgate", "--cell", "zone1", "--mysql-server-prot", "1"], "did you mean --mysql.server.port"),
                              (["vtgate", "--cell", "zone1", "--mysql-server-port", "many"], "mysql.server.port: .*many"),
                              (["vttablet", *self.cluster.topo_flags(), "--init-keyspace", "commerce", "--init-shard", "0",
                                "--tablet-path", "nonsense"], "nonsense"),
                              (["vtctld", "--topo-implementation", "nosuch"], "nosuch"),
                              (["mysqlctl", "nosuch"], "nosuch")):
            with self.subTest(argv=argv):
                code, output = self.run_program([f"{BIN}/{argv[0]}", *argv[1:]], env={**os.environ, **self.cluster.environment()})
                self.assertNotEqual(code, 0, output)
                self.assertRegex(output, pattern)


if __name__ == "__main__":
    main()
