"""The journey of the commerce example: one unsharded database, a vertical split, then a horizontal one, under writes."""

import json
import subprocess
import time

from vitrail.processes import Failure, wait_until
from vitrail.writer import Writer

COMMERCE_SCHEMA = """create table product(sku varbinary(128), description varbinary(128), price bigint, primary key(sku));
create table customer(customer_id bigint not null auto_increment, email varbinary(128), primary key(customer_id));
create table corder(order_id bigint not null auto_increment, customer_id bigint, sku varbinary(128), price bigint,
  primary key(order_id))"""
COMMERCE_VSCHEMA = json.dumps({"tables": {"product": {}, "customer": {}, "corder": {}}})
SAMPLE_ROWS = """insert into customer(email) values('alice@domain.com');
insert into customer(email) values('bob@domain.com');
insert into customer(email) values('charlie@domain.com');
insert into customer(email) values('dan@domain.com');
insert into customer(email) values('eve@domain.com');
insert into product(sku, description, price) values('SKU-1001', 'Monitor', 100);
insert into product(sku, description, price) values('SKU-1002', 'Keyboard', 30);
insert into corder(customer_id, sku, price) values(1, 'SKU-1001', 100);
insert into corder(customer_id, sku, price) values(2, 'SKU-1002', 30);
insert into corder(customer_id, sku, price) values(3, 'SKU-1002', 30);
insert into corder(customer_id, sku, price) values(4, 'SKU-1002', 30);
insert into corder(customer_id, sku, price) values(5, 'SKU-1002', 30);
"""
FIRST_SEQUENCE_ID = 100_000_000
SEQUENCE_SCHEMA = f"""create table customer_seq(id int, next_id bigint, cache bigint, primary key(id)) comment 'vitess_sequence';
insert into customer_seq(id, next_id, cache) values(0, {FIRST_SEQUENCE_ID}, 1000);
create table order_seq(id int, next_id bigint, cache bigint, primary key(id)) comment 'vitess_sequence';
insert into order_seq(id, next_id, cache) values(0, {FIRST_SEQUENCE_ID}, 1000)"""
SEQUENCE_VSCHEMA = json.dumps(
    {"tables": {"customer_seq": {"type": "sequence"}, "order_seq": {"type": "sequence"}, "product": {}}})
SHARDED_VSCHEMA = json.dumps({
    "sharded": True,
    "vindexes": {"hash": {"type": "hash"}},
    "tables": {
        "customer": {"column_vindexes": [{"column": "customer_id", "name": "hash"}],
                     "auto_increment": {"column": "customer_id", "sequence": "customer_seq"}},
        "corder": {"column_vindexes": [{"column": "customer_id", "name": "hash"}],
                   "auto_increment": {"column": "order_id", "sequence": "order_seq"}}}})
WITHOUT_AUTO_INCREMENT = """alter table customer change customer_id customer_id bigint not null;
alter table corder change order_id order_id bigint not null"""

MOVE = ("MoveTables", "--workflow", "commerce2customer", "--target-keyspace", "customer")
RESHARD = ("Reshard", "--workflow", "cust2cust", "--target-keyspace", "customer")


class Journey:
    """Runs the steps on a cluster. `note(text)` hears of progress; `after(step)` is called behind each named step, for tests
    that look at the records there (or break something)."""

    def __init__(self, cluster, customers=200_000, orders_per_customer=2, threads=4, rate=100, note=print,
                 after=lambda step: None):
        self.cluster, self.customers, self.orders_per_customer = cluster, customers, orders_per_customer
        self.threads, self.rate, self.note, self.after = threads, rate, note, after
        self.writer = None
        self.seconds, self.pause_ms, self.copied = {}, {}, {}

    def step(self, name, action):
        self.note(name)
        started = time.monotonic()
        result = action()
        self.seconds[name] = round(time.monotonic() - started, 2)
        self.after(name)
        return result

    def ctl(self, *args):
        return self.cluster.vtctldclient(*args)

    # --- parts ---
    def start_cluster(self):
        cluster = self.cluster
        cluster.start_vtctld()
        self.ctl("CreateKeyspace", "--durability-policy", "none", "commerce")
        cluster.add_shard("commerce", "0", 100)
        self.ctl("ApplySchema", "--sql", COMMERCE_SCHEMA, "commerce")
        self.ctl("ApplyVSchema", "--vschema", COMMERCE_VSCHEMA, "commerce")
        cluster.start_vtgate()

    def insert_sample(self):
        """With the stock client, no database selected."""
        done = subprocess.run(["mysql", "--no-defaults", "--host=127.0.0.1", "--user=demo",
                               f"--port={self.cluster.addresses['vtgate']['mysql']}"],
                              input=SAMPLE_ROWS, capture_output=True, text=True, timeout=60, check=False)
        if done.returncode != 0:
            raise Failure(f"the mysql client could not insert the sample rows: {done.stderr.strip()}")

    def generate(self):
        batch = 1000
        with self.cluster.connect("commerce") as connection, connection.cursor() as cursor:
            for first in range(0, self.customers, batch):
                count = min(batch, self.customers - first)
                cursor.execute("insert into customer(email) values " +
                               ",".join(f"('g{first + n}@generated.example')" for n in range(count)))
                customer = cursor.lastrowid
                for turn in range(self.orders_per_customer):
                    cursor.execute("insert into corder(customer_id, sku, price) values " + ",".join(
                        f"({customer + n},'G-{first + n}-{turn}',{n % 97})" for n in range(count)))

    def start_writer(self):
        self.writer = Writer(lambda: self.cluster.connect(), self.threads, self.rate)
        self.writer.start()
        self.wait_for_writes(50)

    def wait_for_writes(self, count, seconds=60):
        """The client still gets through: that many more acknowledged writes."""
        goal = self.writer.total() + count
        wait_until(lambda: self.writer.total() >= goal, f"{count} more acknowledged writes", seconds)

    def workflow(self, keyspace, name):
        shown = json.loads(self.ctl("Workflow", "--keyspace", keyspace, "show", "--workflow", name))
        return shown["workflows"][0] if shown.get("workflows") else None

    def streams(self, keyspace, name):
        workflow = self.workflow(keyspace, name)
        return [s for shard in workflow["shard_streams"].values() for s in shard["streams"]] if workflow else []

    def wait_running(self, keyspace, name, seconds=600):
        def running():
            streams = self.streams(keyspace, name)
            broken = [s for s in streams if s["state"] == "Error"]
            if broken:
                raise Failure(f"workflow {keyspace}.{name} failed: {broken[0].get('message')}")
            return streams and all(s["state"] == "Running" for s in streams)
        wait_until(running, f"workflow {keyspace}.{name} to finish its copy", seconds, 0.1)

    def vdiff(self, keyspace, workflow):
        base = ("VDiff", "--workflow", workflow, "--target-keyspace", keyspace)
        self.ctl(*base, "create", "--wait", "--wait-update-interval", "1s", "--format", "json")
        report = json.loads(self.ctl(*base, "show", "last", "--format", "json"))
        if report["State"] != "completed" or report["HasMismatch"]:
            raise Failure(f"VDiff of {keyspace}.{workflow} found differences: {json.dumps(report)}")
        return report

    def switch(self, command, action, *flags):
        started = time.monotonic()
        self.ctl(*command, action, *flags)
        self.wait_for_writes(20)
        return self.writer.longest(started)

    def move_tables(self):
        self.step("create keyspace customer", self.create_customer)
        started = time.monotonic()
        self.step("MoveTables create", lambda: self.ctl(*MOVE, "create", "--source-keyspace", "commerce", "--tables",
                                                        "customer,corder"))
        self.step("MoveTables copy", lambda: self.wait_running("customer", "commerce2customer"))
        self.copied["movetables"] = time.monotonic() - started
        self.step("MoveTables VDiff", lambda: self.vdiff("customer", "commerce2customer"))
        self.step("MoveTables switch reads",
                  lambda: self.switch(MOVE, "switchtraffic", "--tablet-types", "replica,rdonly"))
        self.pause_ms["movetables"] = self.step("MoveTables switch writes",
                                                lambda: self.switch(MOVE, "switchtraffic", "--tablet-types", "primary"))
        self.step("MoveTables complete", lambda: self.ctl(*MOVE, "complete"))

    def create_customer(self):
        self.ctl("CreateKeyspace", "--durability-policy", "none", "customer")
        self.cluster.add_shard("customer", "0", 200)

    def prepare_sharding(self):
        self.ctl("ApplySchema", "--sql", SEQUENCE_SCHEMA, "commerce")
        self.ctl("ApplyVSchema", "--vschema", SEQUENCE_VSCHEMA, "commerce")
        self.ctl("ApplyVSchema", "--vschema", SHARDED_VSCHEMA, "customer")
        wait_until(lambda: min(self.writer.last_id) >= FIRST_SEQUENCE_ID, "ids from the sequence")
        self.ctl("ApplySchema", "--sql", WITHOUT_AUTO_INCREMENT, "customer")

    def create_shards(self):
        self.cluster.add_shard("customer", "-80", 300)
        self.cluster.add_shard("customer", "80-", 400)

    def reshard(self):
        self.step("sequences and sharded vschema", self.prepare_sharding)
        self.step("shards -80 and 80-", self.create_shards)
        started = time.monotonic()
        self.step("Reshard create", lambda: self.ctl(*RESHARD, "create", "--source-shards", "0", "--target-shards=-80,80-"))
        self.step("Reshard copy", lambda: self.wait_running("customer", "cust2cust"))
        self.copied["reshard"] = time.monotonic() - started
        self.step("Reshard VDiff", lambda: self.vdiff("customer", "cust2cust"))
        self.step("Reshard switch reads", lambda: self.switch(RESHARD, "switchtraffic", "--tablet-types", "replica,rdonly"))
        pauses = [self.step("Reshard switch writes",
                            lambda: self.switch(RESHARD, "switchtraffic", "--tablet-types", "primary"))]
        pauses.append(self.step("Reshard reverse", lambda: self.switch(RESHARD, "reversetraffic")))
        pauses.append(self.step("Reshard switch again", lambda: self.switch(RESHARD, "switchtraffic")))
        self.pause_ms["reshard"] = max(pauses)
        self.step("Reshard complete", lambda: self.ctl(*RESHARD, "complete"))
        self.step("old shard removed", lambda: self.cluster.stop_shard("customer", "0"))

    def rows_in(self, *shards):
        total = 0
        for shard in shards:
            primary = self.cluster.primary("customer", shard)
            for table in ("customer", "corder"):
                total += self.cluster.server_rows(primary, f"select count(*) from {table}")[0][0]
        return total

    def compare(self):
        self.writer.stop()
        half = 1 << 63
        shards = [(name, bounds, lambda sql, t=self.cluster.primary("customer", name): self.cluster.server_rows(t, sql))
                  for name, bounds in (("-80", (0, half)), ("80-", (half, 1 << 64)))]
        result = self.writer.compare(shards)
        # The generated rows: each exactly once.
        for table, column, expected in (("customer", "email", self.customers),
                                        ("corder", "sku", self.customers * self.orders_per_customer)):
            pattern = "g%@generated.example" if table == "customer" else "G-%"
            marks = set()
            rows = 0
            for _, _, query in shards:
                found = query(f"select {column} from {table} where {column} like '{pattern}'")
                rows += len(found)
                marks.update(mark for mark, in found)
            result["lost"] += expected - len(marks)
            result["doubled"] += rows - len(marks)
        return result

    def summary(self, result, moved):
        errors = [text for _, text in self.writer.errors]
        rate = {name: round(moved[name] / seconds) for name, seconds in self.copied.items()}
        return {
            "ok": not (result["lost"] or result["doubled"] or result["misplaced"] or errors),
            "rows_moved": sum(moved.values()), "writes_acknowledged": self.writer.total(), "writes_lost": result["lost"],
            "writes_doubled": result["doubled"], "rows_misplaced": result["misplaced"], "client_errors": len(errors),
            "pause_ms": self.pause_ms, "copy_rows_per_s": min(rate.values()), "copy_rows_per_s_by_workflow": rate,
            "seconds": self.seconds, "examples": result["examples"] + errors[:10]}

    def run(self):
        self.step("cluster", self.start_cluster)
        self.step("sample rows", self.insert_sample)
        self.step("generated rows", self.generate)
        self.step("writer", self.start_writer)
        self.move_tables()
        moved = {"movetables": self.rows_in("0")}
        self.reshard()
        moved["reshard"] = self.rows_in("-80", "80-")
        result = self.step("compare", self.compare)
        return self.summary(result, moved)
