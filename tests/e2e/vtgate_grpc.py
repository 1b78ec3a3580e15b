"""vtgate's gRPC service vtgateservice.Vitess: statements, streams, batches, and sessions that travel with the calls."""

import base64
import json
import os
import subprocess

import pymysql
from support import BIN, ClusterTest, main

from vitrail.processes import http_json


class Caller:
    """tests/gate_grpc_call: one connection to a vtgate; methods and messages as JSON."""

    def __init__(self, address, *user):
        program = os.path.join(os.path.dirname(BIN), "tests", "gate_grpc_call")
        self.process = subprocess.Popen([program, address, *user], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def close(self):
        self.process.stdin.close()
        self.process.wait(20)
        self.process.stdout.close()

    def call(self, method, **request):
        """(messages, error text or "")."""
        self.process.stdin.write(f"{method} {json.dumps(request)}\n")
        self.process.stdin.flush()
        messages = []
        while True:
            line = self.process.stdout.readline()
            if line == ".\n":
                return messages, ""
            if line.startswith("! ") or not line:
                return messages, line[2:].strip() or "the caller ended"
            messages.append(json.loads(line))


def rows_of(result):
    out = []
    for row in result.get("rows", []):
        values, at = base64.b64decode(row.get("values", "")), 0
        cells = []
        for length in map(int, row.get("lengths", [])):
            cells.append(None if length < 0 else values[at:at + length].decode())
            at += max(length, 0)
        out.append(tuple(cells))
    return out


def text(value):
    return base64.b64encode(value.encode()).decode()


class GrpcTest(ClusterTest):
    @classmethod
    def prepare(cls):
        cluster = cls.cluster
        cluster.start_vtctld()
        cluster.vtctldclient("CreateKeyspace", "--durability-policy", "none", "ks")
        for shard, uid in (("-80", 100), ("80-", 200)):
            cluster.add_shard("ks", shard, uid, ("replica",))
        cluster.vtctldclient("ApplySchema", "--sql", "create table t (id bigint primary key, v varchar(100), b varbinary(20))",
                             "ks")
        cluster.vtctldclient("ApplyVSchema", "--vschema", json.dumps({
            "sharded": True, "vindexes": {"hash": {"type": "hash"}},
            "tables": {"t": {"column_vindexes": [{"column": "id", "name": "hash"}]}}}), "ks")
        # Tables of other tests: none. One replica type is not there.
        cluster.start_vtgate("--tablet-types-to-wait", "PRIMARY", "--grpc-session-timeout", "2s", "--max-memory-rows", "3000")
        cls.address = f"127.0.0.1:{cluster.addresses['vtgate']['grpc']}"

    def setUp(self):
        self.caller = Caller(self.address)
        self.addCleanup(self.caller.close)
        self.rows("delete from t", "ks")

    def session(self, **more):
        return {"target_string": "ks", "autocommit": True, **more}

    def execute(self, sql, session=None, variables=None):
        """(session, result); an application's error is raised."""
        response = self.answer(sql, session, variables)
        self.assertNotIn("error", response, sql)
        return response["session"], response.get("result", {})

    def answer(self, sql, session=None, variables=None, **more):
        (response,), error = self.caller.call("Execute", session=session or self.session(),
                                              query={"sql": sql, "bind_variables": variables or {}}, **more)
        self.assertEqual(error, "")
        return response

    def assert_error(self, code, pattern, response):
        self.assertEqual(response["error"]["code"], code)
        self.assertRegex(response["error"]["message"], pattern)

    def test_statements_with_bind_variables(self):
        variables = {"id": {"type": "INT64", "value": text("7")}, "v": {"type": "VARCHAR", "value": text("it's :id")},
                     "b": {"type": "NULL_TYPE"}}
        session, result = self.execute("insert into t(id, v, b) values (:id, :v, :b)", variables=variables)
        self.assertEqual(result["rows_affected"], "1")
        self.assertNotIn("in_transaction", session)
        _, result = self.execute("select id, v, b from t where id = :id", variables=variables)
        self.assertEqual(rows_of(result), [("7", "it's :id", None)])
        self.assertEqual([(f["name"], f["type"]) for f in result["fields"]],
                         [("id", "INT64"), ("v", "VARCHAR"), ("b", "VARBINARY")])
        self.assertNotIn("org_table", result["fields"][0])
        _, result = self.execute("select id from t where id in ::ids", self.session(options={"included_fields": "ALL"}),
                                 {"ids": {"type": "TUPLE", "values": [{"type": "INT64", "value": text(i)} for i in "67"]}})
        self.assertEqual(rows_of(result), [("7",)])
        self.assertEqual(result["fields"][0]["org_table"], "t")
        self.assert_error("INVALID_ARGUMENT", "missing bind var x", self.answer("select :x"))

    def test_errors_carry_codes_and_numbers(self):
        self.execute("insert into t(id) values (1)")
        self.assert_error("ALREADY_EXISTS", r"Duplicate entry .*\(errno 1062\) \(sqlstate 23000\)",
                          self.answer("insert into t(id) values (1)"))
        self.assert_error("NOT_FOUND", "VT05003: unknown database 'nowhere'",
                          self.answer("select 1", {"target_string": "nowhere", "autocommit": True}))
        self.assert_error("UNIMPLEMENTED", "transaction_mode TWOPC",
                          self.answer("select 1", self.session(transaction_mode="TWOPC")))
        self.assert_error("RESOURCE_EXHAUSTED", "more than 3000 rows", self.answer(
            "select a.id from " + " , ".join(f"(select {i} as id union all select 0 union all select 1 union all select 2) as {n}"
                                             for i, n in enumerate("abcdef")), self.session(target_string="ks:-80")))

    def test_a_transaction_lives_from_call_to_call(self):
        session, _ = self.execute("begin")
        self.assertTrue(session["in_transaction"])
        for i in (1, 2, 3, 4):
            session, _ = self.execute(f"insert into t(id) values ({i})", session)
        self.assertEqual({s["target"]["shard"] for s in session["shard_sessions"]}, {"-80", "80-"})
        self.assertEqual(self.rows("select count(*) from t", "ks"), [(0,)])
        other, result = self.execute("select count(*) from t")
        self.assertEqual(rows_of(result), [("0",)])
        done, _ = self.execute("commit", session)
        self.assertNotIn("in_transaction", done)
        self.assertEqual(self.rows("select count(*) from t", "ks"), [(4,)])
        # What was taken along from before the end is refused, and says so.
        self.assert_error("ABORTED", "is not open here", self.answer("select 1", session))

    def test_without_autocommit_a_statement_begins_a_transaction(self):
        session, _ = self.execute("insert into t(id) values (1)", {"target_string": "ks"})
        self.assertTrue(session["in_transaction"])
        self.assertEqual(self.rows("select count(*) from t", "ks"), [(0,)])
        session, _ = self.execute("rollback", session)
        self.assertNotIn("in_transaction", session)

    def test_close_session_rolls_back(self):
        session, _ = self.execute("begin")
        session, _ = self.execute("insert into t(id) values (1)", session)
        self.assertEqual(self.caller.call("CloseSession", session=session), ([{}], ""))
        self.assertEqual(self.caller.call("CloseSession", session=session), ([{}], ""))
        self.assert_error("ABORTED", "is not open here", self.answer("commit", session))
        # The lock on the row is free again.
        self.eventually(lambda: self.rows("insert into t(id) values (1)", "ks"))

    def test_an_idle_transaction_is_rolled_back(self):
        session, _ = self.execute("begin")
        session, _ = self.execute("insert into t(id) values (9)", session)
        connections = http_json(self.cluster.addresses["vtgate"]["port"], "/debug/vars")["MysqlServerConnections"]

        def gone():
            now = http_json(self.cluster.addresses["vtgate"]["port"], "/debug/vars")["MysqlServerConnections"]
            self.assertLess(now, connections)
        self.eventually(gone, 20)
        response = self.answer("commit", session)
        self.assert_error("ABORTED", "rolled back after 2s without a statement", response)
        self.assertNotIn("in_transaction", response["session"])
        self.assertEqual(self.rows("select count(*) from t", "ks"), [(0,)])

    def test_sessions_carry_settings_variables_and_counters(self):
        session, _ = self.execute("set @a = 'x', sql_mode = 'STRICT_ALL_TABLES'")
        session, result = self.execute("select @a, @@sql_mode", session)
        self.assertEqual(rows_of(result), [("x", "STRICT_ALL_TABLES")])
        session, _ = self.execute("use `ks:-80`", session)
        self.assertEqual(session["target_string"], "ks:-80")
        _, result = self.execute("select database()", session)
        self.assertEqual(rows_of(result), [("ks",)])
        self.assert_error("INVALID_ARGUMENT", "is no name", self.answer("select 1", self.session(
            system_variables={"a = 1, b": "2"})))

    def test_streams_send_fields_rows_and_the_session(self):
        self.rows("insert into t(id, v) values " + ", ".join(f"({i}, '{'v' * 90}')" for i in range(2000)), "ks")
        messages, error = self.caller.call("StreamExecute", session=self.session(),
                                           query={"sql": "select id, v from t where v <> '' order by id"})
        self.assertEqual(error, "")
        self.assertEqual([f["name"] for f in messages[0]["result"]["fields"]], ["id", "v"])
        rows = [row for message in messages[1:-1] for row in rows_of(message["result"])]
        self.assertEqual([int(row[0]) for row in rows], list(range(2000)))
        self.assertGreater(len(messages), 4)
        self.assertTrue(messages[-1]["session"]["autocommit"])
        messages, error = self.caller.call("StreamExecute", session=self.session(), query={"sql": "insert into t(id) values (-1)"})
        self.assertEqual((error, messages[0]["result"]["rows_affected"]), ("", "1"))
        _, error = self.caller.call("StreamExecute", session=self.session(), query={"sql": "select nothing from t"})
        self.assertRegex(error, r"Unknown column .*\(errno 1054\)")

    def test_a_batch_has_an_answer_for_each_statement(self):
        (response,), error = self.caller.call("ExecuteBatch", session=self.session(), queries=[
            {"sql": "begin"}, {"sql": "insert into t(id) values (1)"}, {"sql": "insert into t(id) values (1)"},
            {"sql": "select count(*) from t"}, {"sql": "commit"}])
        self.assertEqual(error, "")
        kinds = [sorted(r) for r in response["results"]]
        self.assertEqual(kinds, [["result"], ["result"], ["error"], ["result"], ["result"]])
        self.assertEqual(rows_of(response["results"][3]["result"]), [("1",)])
        self.assertNotIn("in_transaction", response["session"])

    def test_prepare_tells_fields_and_parameters(self):
        (response,), error = self.caller.call("Prepare", session=self.session(),
                                              query={"sql": "select id, v from t where id = :v1 and v > ?"})
        self.assertEqual(error, "")
        self.assertEqual(([f["name"] for f in response["fields"]], response["params_count"]), (["id", "v"], 2))
        (response,), error = self.caller.call("Prepare", session=self.session(), query={"sql": "selekt"})
        self.assertIn("syntax error", response["error"]["message"])

    def test_what_is_not_there_says_so(self):
        _, error = self.caller.call("VStream")
        self.assertRegex(error, "UNIMPLEMENTED VStream is not offered by this vtgate yet")
        _, error = self.caller.call("ExecuteMulti", sql="select 1")
        self.assertRegex(error, "UNIMPLEMENTED")

    def test_callers_show_who_they_are(self):
        cluster = self.cluster
        users = cluster.path("users.json")
        with open(users, "w", encoding="utf-8") as file:
            json.dump([{"Username": "app", "Password": "secret"}], file)
        port, grpc, mysql = (cluster.ports.take() for _ in range(3))
        cluster.addresses["vtgate-users"] = {"port": port}
        log = cluster.path("queries.log")
        cluster.start("vtgate-users", [
            f"{BIN}/vtgate", *cluster.topo_flags(), "--cell", cluster.cell, "--tablet-types-to-wait", "PRIMARY", "--port", port,
            "--grpc-port", grpc, "--mysql-server-port", mysql, "--grpc-auth-mode", "static", "--grpc-auth-static-password-file",
            users, "--log-queries-to-file", log], lambda: http_json(port, "/debug/vars"))
        for user, code in ((("app", "wrong"), "PERMISSION_DENIED"), ((), "UNAUTHENTICATED")):
            caller = Caller(f"127.0.0.1:{grpc}", *user)
            self.addCleanup(caller.close)
            _, error = caller.call("Execute", session=self.session(), query={"sql": "select 1"})
            self.assertTrue(error.startswith(code), error)
        caller = Caller(f"127.0.0.1:{grpc}", "app", "secret")
        self.addCleanup(caller.close)
        for more, name in (({}, "app"), ({"caller_id": {"principal": "somebody"}}, "somebody")):
            (response,), error = caller.call("Execute", session=self.session(target_string="ks:-80"), query={"sql": "select 11"}, **more)
            self.assertEqual((error, rows_of(response["result"])), ("", [("11",)]))

            def logged(who=name):
                with open(log, encoding="utf-8") as file:
                    self.assertIn(who, file.read().splitlines()[-1])
            self.eventually(logged)
        code, output = self.run_program([f"{BIN}/vtgate", *cluster.topo_flags(), "--cell", cluster.cell, "--mysql-server-port", 0,
                                         "--grpc-port", cluster.ports.take(), "--grpc-bind-address", "0.0.0.0"])
        self.assertNotEqual(code, 0)
        self.assertIn("--grpc-allow-insecure", output)

    # --- a tablet's own services ---
    def on_tablet(self, uid=100):
        caller = Caller(f"127.0.0.1:{self.cluster.addresses[f'vttablet-{uid}']['grpc']}")
        self.addCleanup(caller.close)
        target = {"keyspace": "ks", "shard": "-80", "tablet_type": "PRIMARY"}

        def call(method, sql="", **request):
            variables = {name: {"type": "VARCHAR", "value": text(value)} for name, value in
                         request.pop("variables", {}).items()}
            query = {"query": {"sql": sql, "bind_variables": variables}} if sql else {}
            return caller.call("queryservice.Query/" + method, **{"target": target, **query, **request})
        return call

    def test_a_tablet_runs_statements(self):
        call = self.on_tablet()
        (answer,), error = call("Execute", "insert into t (id, v) values (1, :v), (2, null)", variables={"v": "it's"})
        self.assertEqual((answer["result"]["rows_affected"], error), ("2", ""))
        (answer,), error = call("Execute", "select id, v from t order by id")
        self.assertEqual((rows_of(answer["result"]), error), ([("1", "it's"), ("2", None)], ""))
        self.assertEqual([(f["name"], f["type"]) for f in answer["result"]["fields"]], [("id", "INT64"), ("v", "VARCHAR")])
        pieces, error = call("StreamExecute", "select id from t order by id")
        self.assertEqual(([row for piece in pieces for row in rows_of(piece.get("result", {}))], error), ([("1",), ("2",)], ""))

    def test_a_tablet_refuses_as_its_data_port_does(self):
        call = self.on_tablet()
        for request, code, said in ((dict(sql="select 1", target={"keyspace": "ks", "shard": "-80", "tablet_type": "REPLICA"}),
                                     "FAILED_PRECONDITION", "ks/-80@replica|primary"),
                                    (dict(sql="select 1", target={}), "INVALID_ARGUMENT", "names no target"),
                                    (dict(sql="select nonsense from t"), "", r"\(errno 1054\)"),
                                    (dict(sql="select :x"), "INVALID_ARGUMENT", "missing bind var x"),
                                    (dict(sql="select 1", options={"client_found_rows": True}), "UNIMPLEMENTED", "client_found_rows"),
                                    (dict(sql="select 1", transaction_id=7), "ABORTED", "transaction 7: ended")):
            with self.subTest(request=request):
                messages, error = call("Execute", **request)
                self.assertEqual(messages, [])
                self.assertRegex(error, f"^{code}.*{said}")

    def test_transactions_and_reserved_connections_of_a_tablet(self):
        call = self.on_tablet()
        (begun,), _ = call("Begin")
        transaction = begun["transaction_id"]
        self.assertEqual(begun["tablet_alias"], {"cell": "zone1", "uid": 100})
        call("Execute", "insert into t (id) values (5)", transaction_id=transaction)
        (outside,), _ = call("Execute", "select count(*) from t where id = 5")
        (inside,), _ = call("Execute", "select count(*) from t where id = 5", transaction_id=transaction)
        self.assertEqual((rows_of(outside["result"]), rows_of(inside["result"])), ([("0",)], [("1",)]))
        self.assertEqual(call("Commit", transaction_id=transaction)[1], "")
        self.assertRegex(call("Commit", transaction_id=transaction)[1], "^ABORTED")
        (begun,), _ = call("BeginExecute", "delete from t where id = 5")
        self.assertEqual(begun["result"]["rows_affected"], "1")
        self.assertEqual(call("Rollback", transaction_id=begun["transaction_id"])[1], "")
        (outside,), _ = call("Execute", "select count(*) from t where id = 5")
        self.assertEqual(rows_of(outside["result"]), [("1",)])
        (reserved,), _ = call("ReserveExecute", "select @@sql_mode", pre_queries=["set sql_mode = 'ANSI_QUOTES'"])
        self.assertEqual(rows_of(reserved["result"]), [("ANSI_QUOTES",)])
        (again,), _ = call("Execute", "select @@sql_mode", reserved_id=reserved["reserved_id"])
        self.assertEqual(rows_of(again["result"]), [("ANSI_QUOTES",)])
        self.assertEqual(call("Release", reserved_id=reserved["reserved_id"])[1], "")
        self.assertRegex(call("Execute", "select 1", reserved_id=reserved["reserved_id"])[1], "^ABORTED")

    def test_tables_are_locked_for_a_while(self):
        caller = Caller(f"127.0.0.1:{self.cluster.addresses['vttablet-100']['grpc']}")
        self.addCleanup(caller.close)

        def lock(method):
            return caller.call("tabletmanagerservice.TabletManager/" + method)[1]
        tablet = self.cluster.tablets[100]
        self.assertRegex(lock("UnlockTables"), "^FAILED_PRECONDITION the tables are not locked")
        self.assertEqual(lock("LockTables"), "")
        self.assertRegex(lock("LockTables"), "locked already")
        with self.cluster.server(tablet, "ks") as connection, connection.cursor() as cursor:
            cursor.execute("set session lock_wait_timeout = 1")
            with self.assertRaises(pymysql.MySQLError):
                cursor.execute("insert into t (id) values (99)")
            self.assertEqual(lock("UnlockTables"), "")
            cursor.execute("insert into t (id) values (99)")

    def test_the_health_stream_tells_the_rate_of_queries(self):
        call = self.on_tablet()

        def counted():
            for _ in range(20):
                call("Execute", "select 1")
            (health,), _ = call("StreamHealth")
            self.assertEqual((health["target"]["tablet_type"], health["serving"]), ("PRIMARY", True))
            self.assertGreater(health["realtime_stats"].get("qps", 0), 1)
        self.eventually(counted)


if __name__ == "__main__":
    main()
