"""What keeps statements from a tablet's server: query rules, from a file and from the topology."""

import os

import pymysql

from support import ClusterTest, main

from vitrail.processes import http_json, wait_until

RULES = '[{"Name": "%s", "Description": "%s", "TableNames": ["t"], "Plans": ["%s"], "Action": "FAIL"}]'


class GuardsTest(ClusterTest):
    @classmethod
    def prepare(cls):
        cluster = cls.cluster
        cluster.start_vtctld()
        cls.file = cluster.path("rules.json")
        with open(cls.file, "w", encoding="utf-8") as file:
            file.write("[]")
        cluster.tablet_flags = ("--filecustomrules", cls.file, "--filecustomrules-watch", "--topocustomrule-path", "rules/custom")
        cluster.vtctldclient("CreateKeyspace", "--durability-policy", "none", "commerce")
        cluster.add_shard("commerce", "0", 100, ("replica",))
        cluster.vtctldclient("ApplySchema", "--sql", "create table t(id int primary key, v int); create table u(id int primary key)", "commerce")
        cluster.vtctldclient("ApplyVSchema", "--vschema", '{"tables": {"t": {}, "u": {}}}', "commerce")
        cluster.start_vtgate()

    @property
    def tablet(self):
        return self.cluster.tablets[100]

    def rules(self):
        return http_json(self.tablet.ports["port"], "/debug/query_rules")

    def set_rules(self, text):
        with open(self.file + ".new", "w", encoding="utf-8") as file:
            file.write(text)
        os.replace(self.file + ".new", self.file)

    def assert_ruled_out(self, description, sql):
        with self.assertRaisesRegex(pymysql.MySQLError, "disallowed due to rule: " + description):
            self.rows(sql, "commerce")

    def test_1_rules_of_a_file(self):
        self.assertEqual(self.rules(), [])
        self.rows("select * from t", "commerce")
        self.set_rules(RULES % ("r1", "nobody reads t", "Select"))
        wait_until(self.rules, "the rule to be in force", 10)
        self.assert_ruled_out("nobody reads t", "select v from t where id = 1")
        self.rows("insert into t values (1, 1)", "commerce")
        self.rows("select * from u", "commerce")
        self.assertEqual(set(self.cluster.vars(self.tablet)["QueryRulesRefused"]), {"r1"})
        # What cannot be used changes nothing.
        self.set_rules('[{"Action": "BUFFER"}]')
        wait_until(lambda: "the query rules stay as they were" in self.log(), "the log to say so", 10)
        self.assertEqual([rule["Name"] for rule in self.rules()], ["r1"])
        self.set_rules("")
        wait_until(lambda: not self.rules(), "the rule to be gone", 10)
        self.assertEqual(self.rows("select v from t where id = 1", "commerce"), [(1,)])

    def log(self):
        with open(self.cluster.processes[self.tablet.name].log, encoding="utf-8") as file:
            return file.read()

    def test_2_rules_of_the_topology(self):
        path = self.cluster.path("topo-rules.json")
        with open(path, "w", encoding="utf-8") as file:
            file.write(RULES % ("r2", "t is closed", "Insert"))
        self.ctl(*self.cluster.topo_flags(), "WriteTopologyPath", "rules/custom", path)
        wait_until(self.rules, "the rule to be in force", 10)
        self.assert_ruled_out("t is closed", "insert into t values (2, 2)")
        with open(path, "w", encoding="utf-8") as file:
            file.write("[]")
        self.ctl(*self.cluster.topo_flags(), "WriteTopologyPath", "rules/custom", path)
        wait_until(lambda: not self.rules(), "the rule to be gone", 10)
        self.rows("insert into t values (2, 2)", "commerce")
        self.assertEqual(self.cluster.vars(self.tablet)["QueryRulesRefused"], {"r1": 1, "r2": 1})


if __name__ == "__main__":
    main()
