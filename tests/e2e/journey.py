"""The journey of the commerce example on small data, with a look at the records behind every step.

Numbers like S1-27 name the requirement that a check is for.
"""

import json
import re
import threading

from support import ClusterTest, main, texts

from vitrail.journey import MOVE, RESHARD, Journey
from vitrail.processes import Failure, wait_until

TABLES = ("customer", "corder")
TERM = r"primary_term_start_time:\{seconds:\d+ nanoseconds:\d+\}"
LEFT = r'name:"-80" key_range:{end:"\x80"}'
RIGHT = r'name:"80-" key_range:{start:"\x80"}'
NOT_SERVED = "no healthy tablet|NOT_SERVING|being resharded|switched to other shards"
OLD_SHARD = 'partitions:{served_type:TYPE shard_references:{name:"0"}}'
REFERENCES = f"shard_references:{{{LEFT}}} shard_references:{{{RIGHT}}}"
NEW_SHARDS = f"partitions:{{served_type:TYPE {REFERENCES}}}"
# S1-48: the order is part of it.
SWITCHED_READS = (f'partitions:{{served_type:TYPE {REFERENCES} shard_tablet_controls:{{name:"0" query_service_disabled:true}} '
                  f"shard_tablet_controls:{{{LEFT}}} shard_tablet_controls:{{{RIGHT}}}}}")

CUSTOMERS_LEFT = """+-------------+--------------------+
| customer_id | email              |
+-------------+--------------------+
|           1 | alice@domain.com   |
|           2 | bob@domain.com     |
|           3 | charlie@domain.com |
|           5 | eve@domain.com     |
+-------------+--------------------+
"""
ORDERS_LEFT = """+----------+-------------+----------+-------+
| order_id | customer_id | sku      | price |
+----------+-------------+----------+-------+
|        1 |           1 | SKU-1001 |   100 |
|        2 |           2 | SKU-1002 |    30 |
|        3 |           3 | SKU-1002 |    30 |
|        5 |           5 | SKU-1002 |    30 |
+----------+-------------+----------+-------+
"""
CUSTOMERS_RIGHT = """+-------------+----------------+
| customer_id | email          |
+-------------+----------------+
|           4 | dan@domain.com |
+-------------+----------------+
"""
ORDERS_RIGHT = """+----------+-------------+----------+-------+
| order_id | customer_id | sku      | price |
+----------+-------------+----------+-------+
|        4 |           4 | SKU-1002 |    30 |
+----------+-------------+----------+-------+
"""


def partitions(primary, replica, rdonly):
    return " ".join(text.replace("TYPE", kind) for text, kind in
                    ((primary, "PRIMARY"), (replica, "REPLICA"), (rdonly, "RDONLY")))


def rules(plain, source, target, replica, rdonly):
    """Routing rules of both tables. Each argument: the keyspace that the rule leads to, or None for no such rule."""
    out = {}
    for table in TABLES:
        for prefix, to in (("", plain), ("commerce.", source), ("customer.", target)):
            if to:
                out[prefix + table] = [f"{to}.{table}"]
            for kind, where in (("replica", replica), ("rdonly", rdonly)):
                out[f"{prefix}{table}@{kind}"] = [f"{where}.{table}"]
    return out


class RecordedJourney(Journey):
    """Remembers what the commands printed."""

    def __init__(self, *args, **options):
        super().__init__(*args, **options)
        self.printed = ""

    def ctl(self, *args):
        output = super().ctl(*args)
        if args[0] in ("MoveTables", "Reshard"):
            self.printed = output
        return output


class JourneyTest(ClusterTest):
    @classmethod
    def prepare(cls):
        pass

    def test_journey(self):
        self.steps_seen = []
        self.journey = RecordedJourney(self.cluster, customers=2000, threads=3, rate=60, after=self.after)
        try:
            summary = self.journey.run()
        finally:
            if self.journey.writer is not None:
                self.journey.writer.stop()
        print(json.dumps(summary))
        expected = {name.removeprefix("after_") for name in dir(self) if name.startswith("after_")}
        self.assertEqual(expected - {self.method_of(step) for step in self.steps_seen}, set(), "checks that never ran")
        self.assertEqual(summary["examples"], [])
        for fault in ("writes_lost", "writes_doubled", "rows_misplaced", "client_errors"):
            self.assertEqual(summary[fault], 0, fault)
        self.assertTrue(summary["ok"])
        self.assertGreater(summary["writes_acknowledged"], 500)

    @staticmethod
    def method_of(step):
        return re.sub(r"\W", "_", step).lower()

    def after(self, step):
        self.steps_seen.append(step)
        check = getattr(self, "after_" + self.method_of(step), None)
        if check is not None:
            check()

    # --- helpers ---
    def assert_shard(self, keyspace, shard, uid, between="", serving=True):
        """S1-10..S1-13: fields and their order."""
        pattern = rf'primary_alias:\{{cell:"zone1" uid:{uid}\}} {TERM}'
        pattern += " " + re.escape(between) if between else ""
        pattern += " is_primary_serving:true" if serving else ""
        self.assertRegex(self.shard_record(keyspace, shard), f"^{pattern}$")

    def assert_answers(self, uid, table, database=None):
        """Whose server answers: it says its own port."""
        ports = {t.ports["mysqld"]: t.uid for t in self.cluster.tablets.values()}

        def check():
            self.assertEqual(ports[self.rows(f"select @@port from {table} limit 1", database)[0][0]], uid, f"{table} {database}")
        self.eventually(check)

    def assert_printed_states(self, action, workflow, start, now):
        """S1-78."""
        self.assertEqual(self.journey.printed.strip(), f"{action} was successful for workflow {workflow}\n\n"
                                                       f"Start State: {start}\nCurrent State: {now}")

    def assert_dry_run_changes_nothing(self, command, action):
        """S1-77."""
        before = self.everything_recorded()
        output = self.ctl(*command, action, "--dry-run")
        self.assertIn("dry run results for workflow", output)
        self.assertRegex(output, r"(?m)^Lock keyspace \w+$")
        self.assertRegex(output, r"(?m)^Unlock keyspace \w+$")
        self.assertEqual(self.everything_recorded(), before)
        return output

    # --- MoveTables ---
    def after_sample_rows(self):
        self.assertEqual(self.rows("select email from customer where customer_id = 4"), [("dan@domain.com",)])
        self.assertEqual(self.routing_rules(), {})  # S1-63
        self.assert_shard("commerce", "0", 100)     # S1-11
        self.assertEqual(self.srv_keyspace("commerce"), partitions(OLD_SHARD, OLD_SHARD, OLD_SHARD))  # S1-19
        _, output, _ = self.mysql_client("show tables;", "--table")  # S3-09: no database selected
        self.assertEqual([line.strip("| ") for line in output.splitlines() if line.startswith("|")],
                         ["Tables_in_commerce", "corder", "customer", "product"])

    def after_movetables_create(self):
        self.assertEqual(self.routing_rules(), rules("commerce", None, "commerce", "commerce", "commerce"))  # S1-27, S1-65
        self.assertEqual(len(self.routing_rules()), 16)  # S1-28
        for keyspace in ("commerce", "customer"):        # S1-64
            self.assertLessEqual(set(TABLES), set(json.loads(self.ctl("GetVSchema", keyspace))["tables"]))
        for table in TABLES:
            for spelling in (table, f"commerce.{table}", f"customer.{table}"):
                self.assert_answers(100, spelling)

    def after_movetables_vdiff(self):
        self.find_planted_differences()
        output = self.assert_dry_run_changes_nothing(MOVE, "switchtraffic")
        self.assertIn("Create reverse vreplication workflow commerce2customer_reverse", output)
        self.assertIn("No changes required", self.ctl(*MOVE, "reversetraffic", "--dry-run"))

    def find_planted_differences(self):
        """VDiff sees one row that differs, one that is missing, and one too many; and after the repair none of them."""
        target = self.cluster.primary("customer", "0")
        with self.cluster.server(target, "customer") as connection, connection.cursor() as cursor:
            cursor.execute("update customer set email = 'planted' where customer_id = 1")
            cursor.execute("delete from customer where customer_id = 2")
            cursor.execute("insert into customer(customer_id, email) values (-7, 'too many')")
            with self.assertRaisesRegex(Failure, "the rows of both sides differ"):
                self.journey.vdiff("customer", "commerce2customer")
            base = ("VDiff", "--workflow", "commerce2customer", "--target-keyspace", "customer")
            report = json.loads(self.ctl(*base, "show", "last", "--format", "json"))
            self.assertTrue(report["HasMismatch"])
            found = report["TableSummary"]["customer"]
            self.assertEqual({name: found[name] for name in ("MismatchedRows", "ExtraRowsSource", "ExtraRowsTarget")},
                             {"MismatchedRows": 1, "ExtraRowsSource": 1, "ExtraRowsTarget": 1})
            clean = report["TableSummary"]["corder"]
            self.assertEqual((clean["MismatchedRows"], clean["ExtraRowsSource"], clean["ExtraRowsTarget"]), (0, 0, 0))
            self.assertIn("HasMismatch:  true", self.ctl(*base, "show", "last"))
            cursor.execute("update customer set email = 'alice@domain.com' where customer_id = 1")
            cursor.execute("insert into customer(customer_id, email) values (2, 'bob@domain.com')")
            cursor.execute("delete from customer where customer_id = -7")
        self.journey.vdiff("customer", "commerce2customer")

    def after_movetables_switch_reads(self):
        self.assertEqual(self.routing_rules(), rules("commerce", None, "commerce", "customer", "customer"))  # S1-66
        self.assert_printed_states("SwitchTraffic", "customer.commerce2customer", "Reads Not Switched. Writes Not Switched",
                                   "All Reads Switched. Writes Not Switched")
        for spelling in ("customer", "commerce.customer", "customer.customer"):  # S1-67, S1-76
            self.assert_answers(100, spelling)
            self.assert_answers(201, spelling, "@replica")
            self.assert_answers(202, spelling, "@rdonly")

    def after_movetables_switch_writes(self):
        self.assertEqual(self.routing_rules(), rules("customer", "customer", None, "customer", "customer"))  # S1-68, S1-69
        self.assert_printed_states("SwitchTraffic", "customer.commerce2customer", "All Reads Switched. Writes Not Switched",
                                   "All Reads Switched. Writes Switched")
        # S1-70, S1-71
        self.assert_shard("commerce", "0", 100, between='tablet_controls:{tablet_type:PRIMARY denylisted_tables:"corder" '
                                                        'denylisted_tables:"customer"}')
        self.assert_shard("customer", "0", 200)
        denied = "disallowed due to rule: enforce denied tables"  # S1-72
        for spelling in ("commerce/0", "commerce:0"):
            self.assert_sql_refused(1105, denied, "select * from customer", spelling)
        self.assert_sql_refused(1105, denied, "update corder set price = 1 where order_id = 1", "commerce/0")
        code, _, error = self.mysql_client("use commerce/0;\nselect * from customer;\n")
        self.assertEqual(code, 1)
        self.assertRegex(error, r"ERROR 1105 \(HY000\) at line 2: target: commerce\.0\.primary: .*" + denied)
        self.assertEqual(len(self.rows("select * from product", "commerce/0")), 2)  # S1-73
        for spelling in ("customer", "commerce.customer", "customer.customer"):
            self.assert_answers(200, spelling)
        self.assertEqual(json.loads(self.ctl("Workflow", "--keyspace", "commerce", "list")), ["commerce2customer_reverse"])

    def after_movetables_complete(self):
        self.assertEqual(self.routing_rules(), {})  # S1-80
        self.assert_shard("commerce", "0", 100)
        self.assertEqual(json.loads(self.ctl("GetVSchema", "commerce"))["tables"].keys(), {"product"})
        self.assertEqual(texts(self.cluster.server_rows(self.cluster.primary("commerce", "0"), "show tables")), [("product",)])
        for keyspace in ("commerce", "customer"):
            self.assertEqual(json.loads(self.ctl("Workflow", "--keyspace", keyspace, "list")), [])
        self.assert_answers(200, "customer")

    # --- Reshard ---
    def after_sequences_and_sharded_vschema(self):
        with self.cluster.connect("customer") as connection, connection.cursor() as cursor:
            for table in TABLES:  # S3-86
                cursor.execute(f"show create table {table}")
                self.assertNotIn("auto_increment", str(cursor.fetchone()[1]).lower())
            # S3-71, S3-72: consecutive ids, the first is the one to be told.
            cursor.execute("insert into customer(email) values ('three@1'), ('three@2'), ('three@3')")
            first = cursor.lastrowid
            cursor.execute("select customer_id from customer where email like 'three@%' order by email")
            self.assertEqual([row[0] for row in cursor.fetchall()], [first, first + 1, first + 2])
            cursor.execute("delete from customer where customer_id in (%s, %s, %s)", (first, first + 1, first + 2))
            self.assertEqual(cursor.rowcount, 3)

    def assert_phase_0(self):
        self.assert_shard("customer", "0", 200)  # S1-40
        self.assert_shard("customer", "-80", 300, between=r'key_range:{end:"\x80"}', serving=False)    # S1-42
        self.assert_shard("customer", "80-", 400, between=r'key_range:{start:"\x80"}', serving=False)  # S1-41
        self.assertEqual(self.srv_keyspace("customer"), partitions(OLD_SHARD, OLD_SHARD, OLD_SHARD))   # S1-43

    def after_shards__80_and_80_(self):
        self.assert_phase_0()
        for tablet in self.cluster.tablets.values():  # S1-44
            if tablet.uid >= 300:
                self.assertEqual(self.cluster.vars(tablet)["DataPortQueries"], 0, tablet.alias)

    def after_reshard_vdiff(self):
        self.assert_dry_run_changes_nothing(RESHARD, "switchtraffic")

    def after_reshard_switch_reads(self):
        self.assert_shard("customer", "0", 200)  # S1-45
        self.assert_shard("customer", "-80", 300, between=r'key_range:{end:"\x80"}', serving=False)  # S1-46
        self.assert_shard("customer", "80-", 400, between=r'key_range:{start:"\x80"}', serving=False)
        self.assertEqual(self.srv_keyspace("customer"), partitions(OLD_SHARD, SWITCHED_READS, SWITCHED_READS))  # S1-47..S1-49
        self.assert_printed_states("SwitchTraffic", "customer.cust2cust", "Reads Not Switched. Writes Not Switched",
                                   "All Reads Switched. Writes Not Switched")
        self.assert_answers(301, "customer where customer_id = 1", "customer@replica")  # S1-50
        self.assert_answers(401, "customer where customer_id = 4", "customer@replica")
        self.assert_answers(402, "customer where customer_id = 4", "customer@rdonly")
        self.eventually(lambda: self.assert_sql_refused(1105, NOT_SERVED, "select * from customer limit 1", "customer/0@replica"))
        self.assert_answers(200, "customer where customer_id = 4")  # S1-51

    def after_reshard_switch_writes(self):
        self.assert_phase_2()
        self.assert_printed_states("SwitchTraffic", "customer.cust2cust", "All Reads Switched. Writes Not Switched",
                                   "All Reads Switched. Writes Switched")
        # S1-57
        self.assert_sql_refused(1105, NOT_SERVED, "select * from customer limit 1", "customer/0")
        self.assert_sql_refused(1105, NOT_SERVED, "update customer set email = 'x' where customer_id = 1", "customer/0")
        self.assert_answers(300, "customer where customer_id = 1")
        self.assert_answers(400, "customer where customer_id = 4")

    def assert_phase_2(self):
        self.assert_shard("customer", "0", 200, serving=False)  # S1-53
        self.assert_shard("customer", "-80", 300, between=r'key_range:{end:"\x80"}')  # S1-54
        self.assert_shard("customer", "80-", 400, between=r'key_range:{start:"\x80"}')
        self.assertEqual(self.srv_keyspace("customer"), partitions(NEW_SHARDS, SWITCHED_READS, SWITCHED_READS))  # S1-55, S1-56

    def after_reshard_reverse(self):
        self.assert_phase_0()  # S1-60
        self.assert_printed_states("ReverseTraffic", "customer.cust2cust", "All Reads Switched. Writes Switched",
                                   "Reads Not Switched. Writes Not Switched")
        self.assert_answers(200, "customer where customer_id = 4")
        self.assert_answers(201, "customer where customer_id = 4", "customer@replica")

    def after_reshard_switch_again(self):
        self.assert_phase_2()
        self.assert_printed_states("SwitchTraffic", "customer.cust2cust", "Reads Not Switched. Writes Not Switched",
                                   "All Reads Switched. Writes Switched")

    def after_reshard_complete(self):
        self.assertEqual(self.srv_keyspace("customer"), partitions(NEW_SHARDS, NEW_SHARDS, NEW_SHARDS))
        self.assert_command_fails("customer/0", "GetShard", "customer/0")
        self.assertEqual(self.ctl("GetTablets", "--keyspace", "customer", "--shard", "0"), "")
        self.assertEqual(json.loads(self.ctl("Workflow", "--keyspace", "customer", "list")), [])

    def after_compare(self):
        for shard, customers, orders in (("-80", CUSTOMERS_LEFT, ORDERS_LEFT),     # S3-111
                                         ("80-", CUSTOMERS_RIGHT, ORDERS_RIGHT)):  # S3-112
            code, output, error = self.mysql_client(
                f"use customer/{shard};\nselect * from customer where email like '%@domain.com';\n"
                "select * from corder where sku like 'SKU-%';\n", "--table", "-n")
            self.assertEqual((code, error), (0, ""))
            self.assertEqual(output, customers + orders)
        self.assertEqual(self.rows("select count(*) from customer where email like '%@domain.com'"), [(5,)])  # S3-113
        self.assertEqual(self.rows("select count(*) from customer where email like '%@generated.example'"), [(2000,)])
        # S3-66: many clients, no id twice.
        ids, lock = [], threading.Lock()

        def insert():
            with self.cluster.connect("customer") as connection, connection.cursor() as cursor:
                for _ in range(50):
                    cursor.execute("insert into customer(email) values ('clients')")
                    with lock:
                        ids.append(cursor.lastrowid)
        clients = [threading.Thread(target=insert) for _ in range(8)]
        for client in clients:
            client.start()
        for client in clients:
            client.join()
        self.assertEqual(len(set(ids)), 400)
        wait_until(lambda: self.rows("select count(*) from customer where email = 'clients'", "customer@replica") == [(400,)],
                   "the replicas to have them", 10)


if __name__ == "__main__":
    main()
