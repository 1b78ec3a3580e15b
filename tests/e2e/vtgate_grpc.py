"""vtgate's gRPC service vtgateservice.Vitess: statements, streams, batches, and sessions that travel with the calls."""

import base64
import json
import os
import subprocess
import sys
import threading
import time

import pymysql
from support import BIN, REPOSITORY, ClusterTest, Failure, main

from vitrail.processes import http_json, wait_until

sys.path.insert(0, os.path.join(REPOSITORY, "tests", "clients"))

import clients  # noqa: E402


class Caller:
    """tests/gate_grpc_call: one connection to a vtgate; methods and messages as JSON."""

    def __init__(self, address, *user):
        program = os.path.join(os.path.dirname(BIN), "tests", "gate_grpc_call")
        self.process = subprocess.Popen([program, address, *user], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def close(self):
        self.process.stdin.close()
        self.process.wait(20)
        self.process.stdout.close()

    def begin(self, method, **request):
        self.process.stdin.write(f"{method} {json.dumps(request)}\n")
        self.process.stdin.flush()

    def next(self):
        """The next message of a stream that begin() has opened."""
        line = self.process.stdout.readline()
        if not line.startswith("{"):
            raise Failure(f"instead of a message: {line}")
        return json.loads(line)

    def kill(self):
        self.process.kill()
        self.process.wait(20)
        self.process.stdin.close()
        self.process.stdout.close()

    def call(self, method, **request):
        """(messages, error text or "")."""
        self.begin(method, **request)
        messages = []
        while True:
            line = self.process.stdout.readline()
            if line == ".\n":
                return messages, ""
            if line.startswith("! ") or not line:
                return messages, line[2:].strip() or "the caller ended"
            messages.append(json.loads(line))


class Events:
    """A VStream that is read beside the test."""

    def __init__(self, address, **request):
        program = os.path.join(os.path.dirname(BIN), "tests", "gate_grpc_call")
        self.process = subprocess.Popen([program, address], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.process.stdin.write(f"VStream {json.dumps(request)}\n")
        self.process.stdin.flush()
        self.events, self.error, self.fields, self.flags, self.tables = [], None, {}, {}, {}
        self.thread = threading.Thread(target=self.read, daemon=True)
        self.thread.start()

    def read(self):
        for line in self.process.stdout:
            if not line.startswith("{"):
                self.error = line.strip()
                return
            for event in json.loads(line)["events"]:
                self.take(event)
                self.events.append(event)

    def take(self, event):
        """As a reader would that keeps a copy of the tables, by primary key."""
        if event["type"] == "FIELD":
            field = event["field_event"]
            self.fields[field["table_name"], event["shard"]] = [f["name"] for f in field["fields"]]
            self.flags[field["table_name"], event["shard"]] = [f.get("flags", 0) & 0x203 for f in field["fields"]]
        if event["type"] == "ROW":
            table = self.tables.setdefault(event["row_event"]["table_name"], {})
            for change in event["row_event"]["row_changes"]:
                if "before" in change:
                    (row,) = rows_of({"rows": [change["before"]]})
                    table.pop(row[0], None)
                if "after" in change:
                    (row,) = rows_of({"rows": [change["after"]]})
                    table[row[0]] = row

    def types(self):
        return [event["type"] for event in self.events]

    def vgtid(self):
        return [event["vgtid"] for event in self.events if event["type"] == "VGTID"][-1]

    def close(self):
        self.process.kill()
        self.process.wait(20)
        self.thread.join(20)
        self.process.stdin.close()
        self.process.stdout.close()


class Connector:
    """Debezium's Vitess connector, read beside the test: tests/clients/java/Changes.java."""

    def __init__(self, command, address, keyspace, table, offsets, log):
        argv, env = command
        with open(log, "ab") as errors:
            self.process = subprocess.Popen([*argv, address.rpartition(":")[2], keyspace, table, offsets], stdin=subprocess.PIPE,
                                            stdout=subprocess.PIPE, stderr=errors, text=True, env={**os.environ, **env})
        self.changes, self.rows = [], {}
        self.thread = threading.Thread(target=self.read, daemon=True)
        self.thread.start()

    def read(self):
        for line in self.process.stdout:
            change = json.loads(line)
            value = change["value"]
            after = value["after"]
            if after is None:
                self.rows.pop(change["key"]["id"], None)
            else:
                self.rows[change["key"]["id"]] = after
            self.changes.append((value["op"], change["key"]["id"]))

    def close(self):
        """In good order: what it had read is noted in its offsets."""
        self.process.stdin.close()
        code = self.process.wait(60)
        self.thread.join(20)
        return code

    def kill(self):
        self.process.kill()
        self.process.wait(20)
        self.thread.join(20)
        for stream in (self.process.stdin, self.process.stdout):
            stream.close()


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
        connections = http_json(self.cluster.addresses["vtgate"]["port"], "/debug/vars")["MysqlServerConnCount"]

        def gone():
            now = http_json(self.cluster.addresses["vtgate"]["port"], "/debug/vars")["MysqlServerConnCount"]
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
        self.assertRegex(error, "INVALID_ARGUMENT vgtid must have at least one value with a starting position")
        _, error = self.caller.call("VStream", vgtid={"shard_gtids": [{"keyspace": "ks"}]}, flags={"stream_keyspace_heartbeats": True})
        self.assertRegex(error, "UNIMPLEMENTED VStreamFlags.stream_keyspace_heartbeats is not offered")
        _, error = self.caller.call("VStream", vgtid={"shard_gtids": [{"keyspace": "nosuch"}]})
        self.assertRegex(error, "NOT_FOUND keyspace nosuch has no shard that serves primary")
        _, error = self.caller.call("ExecuteMulti", sql="select 1")
        self.assertRegex(error, "UNIMPLEMENTED")

    # --- VStream ---
    def stream(self, **request):
        events = Events(self.address, **request)
        self.addCleanup(events.close)
        return events

    def table(self, name="t"):
        return {row[0]: row for row in ((str(i), v) for i, v in self.rows(f"select id, v from {name}", "ks"))}

    def assert_follows(self, events, name="t"):
        def same():
            seen = {key: row[:2] for key, row in events.tables.get(f"ks.{name}", {}).items()}
            return events.error is not None or seen == self.table(name)
        wait_until(same, "the stream to have all rows", 20)
        self.assertIsNone(events.error)

    def test_vstream_copies_and_follows(self):
        self.rows("insert into t(id, v) values " + ", ".join(f"({n}, 'v{n}')" for n in range(500)), "ks")
        only = {"rules": [{"match": "t"}]}
        events = self.stream(vgtid={"shard_gtids": [{"keyspace": "ks"}]}, filter=only, flags={"heartbeat_interval": 1})
        wait_until(lambda: events.types().count("COPY_COMPLETED") == 3, "the copy to be complete", 20)
        self.assertNotIn("shard", events.events[-1] if events.types()[-1] == "COPY_COMPLETED" else {})
        self.assert_follows(events)
        self.assertEqual(events.fields["ks.t", "-80"], ["id", "v", "b"])
        self.assertEqual(events.flags["ks.t", "-80"], [3, 0, 0])  # Not null, and of the primary key.
        self.rows("update t set v = 'changed' where id < 50", "ks")
        self.rows("delete from t where id in (60, 61, 62)", "ks")
        self.rows("insert into t(id, v) values (1000, null)", "ks")
        self.assert_follows(events)
        wait_until(lambda: "HEARTBEAT" in events.types(), "a heartbeat", 10)
        # Each transaction is whole, with the position behind its rows.
        inside = None
        for event in events.events:
            if event["type"] == "BEGIN":
                self.assertIsNone(inside)
                inside = event["shard"]
            if event["type"] == "ROW":
                self.assertEqual(event["shard"], inside)
            if event["type"] == "COMMIT":
                self.assertEqual(event["shard"], inside)
                inside = None
        # From a position on: what came behind it, and nothing else.
        vgtid = events.vgtid()
        self.assertEqual([(g["shard"], g.get("table_p_ks")) for g in vgtid["shard_gtids"]], [("-80", None), ("80-", None)])
        events.close()
        self.rows("update t set v = 'later' where id = 7", "ks")
        later = self.stream(vgtid=vgtid, filter=only)
        wait_until(lambda: "ROW" in later.types(), "the change", 20)
        self.assertEqual(list(later.flags.values()), [[3, 0, 0]])  # As the log tells them.
        self.assertEqual([row[:2] for row in later.tables["ks.t"].values()], [("7", "later")])
        now = self.stream(vgtid={"shard_gtids": [{"keyspace": "ks", "gtid": "current"}]}, filter=only,
                          flags={"exclude_keyspace_from_table_name": True})
        wait_until(lambda: {e["shard"] for e in now.events if e["type"] == "VGTID"} or
                   self.rows("update t set v = concat(v, '.') where id = 8", "ks") is None, "the stream to have begun", 20, .2)
        self.rows("delete from t where id = 9", "ks")
        wait_until(lambda: any("before" in c and "after" not in c for e in now.events if e["type"] == "ROW"
                               for c in e["row_event"]["row_changes"]), "the deletion", 20)
        self.assertEqual(set(now.tables), {"t"})

    def test_vstream_keeps_shards_together(self):
        """What was written an hour ago on one shard comes before what is written now on the other."""
        only = {"rules": [{"match": "t"}]}
        events = self.stream(vgtid={"shard_gtids": [{"keyspace": "ks"}]}, filter=only)
        wait_until(lambda: events.types().count("COPY_COMPLETED") == 3, "the copy to be complete", 20)
        vgtid = events.vgtid()
        events.close()
        for shard, seconds in (("-80", 3600), ("80-", 0)):
            with self.cluster.server(self.cluster.primary("ks", shard), "ks") as connection, connection.cursor() as cursor:
                cursor.execute(f"set timestamp = {int(time.time()) - seconds}")
                for n in range(50):
                    cursor.execute(f"insert into t(id, v) values ({7000 + n + seconds}, 'skew')")
        together = self.stream(vgtid=vgtid, filter=only, flags={"minimize_skew": True})
        wait_until(lambda: together.types().count("ROW") >= 100, "all rows", 20)
        self.assertEqual([e["shard"] for e in together.events if e["type"] == "ROW"], ["-80"] * 50 + ["80-"] * 50)
        together.close()
        for shard in ("-80", "80-"):
            with self.cluster.server(self.cluster.primary("ks", shard), "ks") as connection, connection.cursor() as cursor:
                cursor.execute("delete from t where v = 'skew'")

    def test_vstream_goes_on_with_a_copy(self):
        self.rows("insert into t(id, v) values " + ", ".join(f"({n}, 'old')" for n in range(1000, 2000)), "ks")
        ids = [row for row, in self.cluster.server_rows(self.cluster.tablets[100], "select id from t order by id")]
        first = self.stream(vgtid={"shard_gtids": [{"keyspace": "ks", "shard": "-80"}]})
        wait_until(lambda: "COPY_COMPLETED" in first.types(), "the copy", 20)
        first.close()
        self.assertEqual(set(first.tables["ks.t"]), set(map(str, ids)))
        # As if it had ended earlier: what is left is copied, and what has changed since in the rest is told.
        vgtid = next(event["vgtid"] for event in first.events if event["type"] == "VGTID")
        (left,) = vgtid["shard_gtids"][0]["table_p_ks"]
        self.assertEqual((left["table_name"], rows_of(left["lastpk"])), ("t", [(str(ids[-1]),)]))
        middle = ids[len(ids) // 2]
        left["lastpk"]["rows"] = [{"lengths": [4], "values": text(str(middle))}]
        changed = ids[10]
        self.rows(f"update t set v = 'new' where id = {changed}", "ks")
        second = self.stream(vgtid=vgtid)
        wait_until(lambda: "COPY_COMPLETED" in second.types(), "the rest", 20)
        wait_until(lambda: str(changed) in second.tables["ks.t"], "the change", 20)
        self.assertEqual(set(second.tables["ks.t"]), {str(changed), *(str(n) for n in ids if n > middle)})

    def test_vstream_survives_its_tablet(self):
        events = self.stream(vgtid={"shard_gtids": [{"keyspace": "ks", "gtid": "current"}]})
        wait_until(lambda: "VGTID" in events.types() or
                   self.rows("insert into t(id, v) values (floor(rand() * 1000000), 'x')", "ks") is None, "a first event", 20, .2)
        self.rows("delete from t", "ks")
        tablet = self.cluster.tablets[100]
        process = self.cluster.processes[tablet.name]
        process.kill(9)
        process.wait_ended(10)
        self.cluster.start(tablet.name, process.argv, lambda: self.cluster.vars(tablet).get("TabletStateName") == "SERVING")
        self.eventually(lambda: self.rows("replace into t(id, v) values (1, 'a'), (2, 'b'), (3, 'c'), (4, 'd')", "ks"))
        self.assert_follows(events)

    # --- Debezium's connector ---
    def connector(self, offsets):
        client = clients.debezium()
        if client.command is None:
            self.skipTest(f"left out: {client.name}: {client.missing} (tests/clients/clients.py install java)")
        found = Connector(client.command, self.address, "ks", "t", self.cluster.path(offsets), self.cluster.path("logs", "debezium.log"))
        self.addCleanup(found.kill)
        return found

    def assert_connector_follows(self, connector, before=None):
        """It has the table's rows; `before`: those that a former one had told."""
        def same():
            if connector.process.poll() is not None:
                raise Failure(f"Debezium ended with {connector.process.returncode}")
            seen = {**(before or {}), **connector.rows}
            for op, key in list(connector.changes):
                if op == "d" and key not in connector.rows:
                    seen.pop(key, None)
            return {str(key): (str(row["id"]), row["v"]) for key, row in seen.items()} == self.table()
        wait_until(same, "Debezium to have all rows", 90, .2)

    def test_y_debezium_copies_changes_and_goes_on_from_its_offsets(self):
        self.rows("insert into t(id, v, b) values " + ", ".join(f"({n}, 'v{n}', x'00ff')" for n in range(300)), "ks")
        first = self.connector("offsets-y")
        self.assert_connector_follows(first)
        self.assertEqual(sorted(first.changes), [("c", n) for n in range(300)])  # So it tells what is copied.
        self.assertEqual(first.rows[7], {"id": 7, "v": "v7", "b": "AP8="})
        self.rows("update t set v = 'changed' where id < 20", "ks")
        self.rows("delete from t where id in (30, 31, 32)", "ks")
        self.rows("insert into t(id, v) values (1000, null), (1001, 'ü')", "ks")
        self.assert_connector_follows(first)
        self.assertEqual(sorted(first.changes[300:]),
                         sorted([*(("u", n) for n in range(20)), *(("d", n) for n in (30, 31, 32)), ("c", 1000), ("c", 1001)]))
        self.assertEqual(first.close(), 0)
        # What is changed while it is away comes when it is back. It notes a position behind what it belongs to, so its last
        # transactions may come again, and nothing else.
        self.rows("update t set v = 'away' where id = 50", "ks")
        self.rows("delete from t where id = 51", "ks")
        second = self.connector("offsets-y")
        self.assert_connector_follows(second, first.rows)
        self.assertEqual(set(second.changes) - {("c", 1000), ("c", 1001)}, {("d", 51), ("u", 50)})

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

    def test_z_vstream_goes_on_over_a_reshard(self):
        self.cluster.add_shard("ks", "0", 300, ("replica",))
        self.rows("insert into t(id, v) values " + ", ".join(f"({n}, 'before')" for n in range(50)), "ks")
        debezium = self.connector("offsets-z") if clients.debezium().command else None
        events = self.stream(vgtid={"shard_gtids": [{"keyspace": "ks"}]})
        ends = self.stream(vgtid={"shard_gtids": [{"keyspace": "ks", "gtid": "current"}]}, flags={"stop_on_reshard": True})
        self.assert_follows(events)
        if debezium:
            self.assert_connector_follows(debezium)
        between = events.vgtid()
        merge = ("Reshard", "--workflow", "merge", "--target-keyspace", "ks")
        self.ctl(*merge, "create", "--source-shards=-80,80-", "--target-shards", "0")
        wait_until(lambda: '"state": "Running"' in self.ctl(*merge, "show"), "the copy to be over", 60, .2)
        self.rows("update t set v = 'meanwhile' where id < 10", "ks")
        self.ctl(*merge, "switchtraffic")
        self.rows("insert into t(id, v) values (5000, 'behind')", "ks")
        self.rows("delete from t where id = 20", "ks")
        self.assert_follows(events)
        self.assertEqual([g["shard"] for g in events.vgtid()["shard_gtids"]], ["0"])
        wait_until(lambda: ends.error == ".", "the other one to end", 20)
        self.assertEqual(ends.types()[-1], "JOURNAL")
        if debezium:  # Over the switch; and killed, and started anew on the new shard.
            self.assert_connector_follows(debezium)
            self.rows("insert into t(id, v) values (5001, 'new shard')", "ks")
            self.assert_connector_follows(debezium)
            debezium.kill()
            self.rows("delete from t where id = 5001", "ks")
            again = self.connector("offsets-z")
            self.assert_connector_follows(again, debezium.rows)
            self.assertLess(len(again.changes), 20)  # No copy of all of them.
        # Also who had ended before the switch goes on behind it.
        later = self.stream(vgtid=between)
        wait_until(lambda: "5000" in later.tables.get("ks.t", {}), "the later one to come to the end", 20)
        self.assertEqual(sorted(later.tables["ks.t"]), sorted([*(str(n) for n in range(10)), "5000"]))


if __name__ == "__main__":
    main()
