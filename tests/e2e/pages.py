"""Pages of vtgate and vttablet for people: plans, statements, what runs now, targets and records in force."""

import json
import threading
import urllib.error

import pymysql

from support import ClusterTest, main

from vitrail.processes import http_get, http_json


class PagesTest(ClusterTest):
    @classmethod
    def prepare(cls):
        cluster = cls.cluster
        cluster.start_vtctld()
        cluster.vtctldclient("CreateKeyspace", "--durability-policy", "none", "ks")
        for shard, uid in (("-80", 100), ("80-", 200)):
            cls.tablet, = cluster.add_shard("ks", shard, uid, ("replica",))
        cluster.vtctldclient("ApplySchema", "--sql", "create table t (id bigint primary key, v varchar(100))", "ks")
        cluster.vtctldclient("ApplyVSchema", "--vschema", json.dumps({
            "sharded": True, "vindexes": {"hash": {"type": "hash"}},
            "tables": {"t": {"column_vindexes": [{"column": "id", "name": "hash"}]}}}), "ks")
        cluster.start_vtgate("--tablet-types-to-wait", "PRIMARY", "--gateway-loops", "2")
        cls.gate = cluster.addresses["vtgate"]["port"]

    def test_plans_and_their_uses(self):
        def uses(query):
            return sum(p["ExecCount"] for p in http_json(self.gate, "/debug/query_plans").values() if p["Original"] == query)
        text = "select id, v from t where id = :vtg1"
        before = uses(text)
        for i in range(7):  # Connections of both event loops.
            self.rows(f"select id, v from t where id = {i}", "ks")
        self.assertEqual(uses(text) - before, 7)
        plan = next(p for p in http_json(self.gate, "/debug/query_plans").values() if p["Original"] == text)
        self.assertEqual(plan["Target"], "ks@primary")
        self.assertEqual(plan["Instructions"], {"OperatorType": "Route", "Variant": "Passthrough", "Keyspace": {"Name": "ks"},
                                                "Query": text, "Vindex": "hash"})
        self.assertIn(f"<td>{text}</td><td>ks@primary</td><td>Passthrough</td>", http_get(self.gate, "/queryz"))
        self.assertIn(f"<td>{text}</td><td>t</td>", http_get(self.tablet.ports["port"], "/queryz"))

    def test_what_statements_cost(self):
        def uses(query, order="time"):
            return [u for u in http_json(self.gate, f"/debug/query_stats?order={order}") if u["Query"] == query]

        for i in range(6):  # Connections of both event loops.
            self.rows(f"insert into t values ({1000 + i}, 'a'), ({2000 + i}, 'b')", "ks")
            self.assertEqual(len(self.rows(f"select v from t where id in ({1000 + i}, {2000 + i}, 3)", "ks")), 2)
            for bad, number in ((f"insert into t values ({1000 + i}, 'again')", 1062), (f"select {i} frm t", 1064)):
                with self.assertRaises(pymysql.MySQLError) as caught:
                    self.rows(bad, "ks")
                self.assertEqual(caught.exception.args[0], number)
        read, = uses("select v from t where id in (:vtg1, :vtg2, :vtg3)")
        self.assertEqual((read["QueryCount"], read["RowCount"], read["ErrorCount"]), (6, 12, 0))
        self.assertEqual((read["Target"], read["Plan"], read["Keyspace"], read["Vindex"]), ("ks@primary", "MultiShard", "ks", "hash"))
        self.assertGreater(read["TimeNs"], 6 * 10_000)
        self.assertLess(read["LongestNs"], read["TimeNs"])
        wrong, = uses("insert into t values (:vtg1, :vtg2)", "errors")
        self.assertEqual((wrong["QueryCount"], wrong["RowCount"], wrong["ErrorCount"]), (6, 0, 6))
        self.assertEqual(uses("insert into t values (:vtg1, :vtg2)", "rows"), [])
        unread, = uses("select :vtg1 frm t", "errors")
        self.assertEqual((unread["Plan"], unread["ErrorCount"]), ("Local", 6))
        written, = uses("insert into t values (:vtg1, :vtg2), (:vtg3, :vtg4)", "rows")
        self.assertEqual((written["QueryCount"], written["RowCount"]), (6, 12))
        self.rows("delete from t where id >= 1000", "ks")
        times = [u["TimeNs"] for u in http_json(self.gate, "/debug/query_stats?limit=3")]
        self.assertEqual((len(times), times), (3, sorted(times, reverse=True)))

    def test_targets_and_records(self):
        page = http_get(self.gate, "/debug/gateway")
        self.assertIn(f"ks/80-@primary</td><td>{self.tablet.alias} (127.0.0.1:{self.tablet.ports['data']})", page)
        self.assertEqual(list(http_json(self.gate, "/debug/srv_keyspace")), ["ks"])
        self.assertIn("t", http_json(self.gate, "/debug/vschema")["keyspaces"]["ks"]["tables"])

    def test_statements_are_seen_while_somebody_looks(self):
        for name, port, user in (("vtgate", self.gate, "demo"), ("vttablet", self.tablet.ports["port"], "vtgate")):
            pages = []
            looking = threading.Thread(target=lambda p=port: pages.append(http_get(p, "/querylogz?limit=3&timeout=30", 40)))
            looking.start()
            count = 0
            while looking.is_alive():  # Nothing tells when the page has begun to listen.
                self.rows(f"select {count} /* {name} */ from t where id = 4", "ks")
                count += 1
            looking.join()
            self.assertEqual(pages[0].count("<tr><td>"), 3)
            self.assertRegex(pages[0], rf"<td>{user}</td><td>ks[^<]*</td><td>&quot;select \d+ /\* {name} \*/ from t where id = 4")

    def test_bad_numbers_are_refused(self):
        for page in ("/querylogz?timeout=0", "/querylogz?limit=many", "/queryz?limit=-1", "/debug/query_stats?limit=0"):
            with self.assertRaises(urllib.error.HTTPError) as caught:
                http_get(self.gate, page)
            self.assertEqual(caught.exception.code, 400)
            self.assertIn("give a number from 1 to", caught.exception.read().decode())


if __name__ == "__main__":
    main()
