"""A client that never stops writing, and remembers every write that was acknowledged to it."""

import random
import subprocess
import threading
import time

import pymysql

CONNECTION_LOST = (2006, 2013)


class Row:
    """What the database may hold of one row that this client wrote. More than one state only after an unclear answer."""

    def __init__(self, states):
        self.states = states  # Each a tuple of column values, or None for "absent".


class Writer:
    """Several connections that insert, update and delete rows of customer and corder, all with unique marks.

    connect: makes a connection to vtgate. rate: statements per second and connection.
    """

    def __init__(self, connect, threads=4, rate=100, seed=1):
        self.connect, self.rate, self.run = connect, rate, f"{seed:x}{int(time.time()) & 0xffffff:x}"
        self.stopping = threading.Event()
        self.workers = [threading.Thread(target=self.work, args=(n, seed), daemon=True) for n in range(threads)]
        self.customers = [{} for _ in range(threads)]  # mark -> Row of (customer_id,)
        self.orders = [{} for _ in range(threads)]     # mark -> Row of (customer_id, price)
        self.acknowledged = [0] * threads
        self.errors = []
        self.last_id = [0] * threads
        self.slow = []    # (end, seconds) of every statement above 10 ms
        self.lock = threading.Lock()

    def start(self):
        for worker in self.workers:
            worker.start()

    def stop(self):
        self.stopping.set()
        for worker in self.workers:
            worker.join(120)

    def total(self):
        return sum(self.acknowledged)

    def longest(self, since, until=None):
        """The longest statement, in milliseconds, that was under way at some time in the interval (time.monotonic())."""
        with self.lock:
            overlapping = [s for end, s in self.slow if end >= since and (until is None or end - s <= until)]
        return round(max(overlapping, default=0) * 1000, 1)

    # --- one connection ---
    def work(self, number, seed):
        chance = random.Random(seed * 1000 + number)
        connection, count, live = None, 0, []
        while not self.stopping.is_set():
            started = time.monotonic()
            count += 1
            mark = f"w{self.run}-{number}-{count}"
            try:
                if connection is None:
                    connection = self.connect()
                kind = chance.random()
                if kind < 0.30 or len(live) < 10:
                    live.append(self.add_customer(connection, number, mark))
                elif kind < 0.55:
                    live.append(self.add_customer_with_orders(connection, number, mark))
                elif kind < 0.90:
                    self.raise_price(connection, number, chance.choice(live))
                else:
                    self.remove_order(connection, number, live.pop(chance.randrange(len(live))))
            except pymysql.MySQLError as error:
                with self.lock:
                    self.errors.append((time.monotonic(), f"{type(error).__name__}: {error}"))
                try:
                    connection.close()
                except (pymysql.MySQLError, AttributeError):
                    pass
                connection = None
            left = 1 / self.rate - (time.monotonic() - started)
            if left > 0:
                self.stopping.wait(left)

    def execute(self, connection, sql, *arguments):
        started = time.monotonic()
        try:
            with connection.cursor() as cursor:
                affected = cursor.execute(sql, arguments)
                return affected, cursor.lastrowid
        finally:
            ended = time.monotonic()
            if ended - started > 0.01:
                with self.lock:
                    self.slow.append((ended, ended - started))

    def add_customer(self, connection, number, mark):
        row = self.customers[number][mark] = Row([None, "any"])
        _, customer = self.execute(connection, "insert into customer(email) values (%s)", mark)
        row.states = [(customer,)]
        self.last_id[number] = customer
        self.acknowledged[number] += 1
        return mark, customer, []

    def add_customer_with_orders(self, connection, number, mark):
        marks = [f"{mark}-{n}" for n in range(2)]
        customer_row = self.customers[number][mark] = Row([None, "any"])
        order_rows = [Row([None, "any"]) for _ in marks]
        self.orders[number].update(zip(marks, order_rows))
        self.execute(connection, "begin")
        _, customer = self.execute(connection, "insert into customer(email) values (%s)", mark)
        ids = []
        for order_mark in marks:
            _, order = self.execute(connection, "insert into corder(customer_id, sku, price) values (%s, %s, 0)", customer,
                                    order_mark)
            ids.append((order_mark, order))
        self.execute(connection, "commit")
        customer_row.states = [(customer,)]
        for row in order_rows:
            row.states = [(customer, 0)]
        self.acknowledged[number] += 3
        return mark, customer, ids

    def raise_price(self, connection, number, entry):
        mark, customer, orders = entry
        if not orders:
            self.execute(connection, "select email from customer where customer_id = %s", customer)
            return
        order_mark, order = orders[0]
        row = self.orders[number][order_mark]
        before = list(row.states)
        row.states = before + [(c, p + 1) for c, p in before]
        affected, _ = self.execute(connection, "update corder set price = price + 1 where customer_id = %s and order_id = %s",
                                   customer, order)
        if affected != 1:
            raise pymysql.err.InternalError(0, f"update of order {order_mark} changed {affected} rows instead of 1")
        row.states = [(c, p + 1) for c, p in before]
        self.acknowledged[number] += 1

    def remove_order(self, connection, number, entry):
        mark, customer, orders = entry
        if not orders:
            return
        order_mark, order = orders[0]
        row = self.orders[number][order_mark]
        row.states = row.states + [None]
        affected, _ = self.execute(connection, "delete from corder where customer_id = %s and order_id = %s", customer, order)
        if affected != 1:
            raise pymysql.err.InternalError(0, f"delete of order {order_mark} changed {affected} rows instead of 1")
        row.states = [None]
        self.acknowledged[number] += 1

    # --- the reckoning ---
    def compare(self, shards):
        """Compares the log with what the servers hold.

        shards: list of (name, key range as (start, end) of 8-byte integers or None, rows(sql)). Returns
        {"lost", "doubled", "wrong", "misplaced"}: counts, and "examples".
        """
        found = {"customer": {}, "corder": {}}
        misplaced, examples = 0, []
        for name, key_range, rows in shards:
            for table, column, others in (("customer", "email", "customer_id"), ("corder", "sku", "customer_id, price")):
                for mark, *values in rows(f"select {column}, {others} from {table} where {column} like 'w{self.run}-%'"):
                    mark = mark.decode() if isinstance(mark, bytes) else mark
                    found[table].setdefault(mark, []).append((name, tuple(values)))
            if key_range is not None:
                for table in ("customer", "corder"):
                    ids = [row[0] for row in rows(f"select distinct customer_id from {table}")]
                    wrong = [i for i, k in zip(ids, keyspace_ids(ids)) if not key_range[0] <= k < key_range[1]]
                    misplaced += len(wrong)
                    examples += [f"{table} of customer {i} is on {name}" for i in wrong[:3]]
        lost = doubled = wrong = 0
        for table, logs in (("customer", self.customers), ("corder", self.orders)):
            expected = {mark: row.states for log in logs for mark, row in log.items()}
            for mark, states in expected.items():
                places = found[table].pop(mark, [])
                if len(places) > 1:
                    doubled += 1
                    examples.append(f"{table} {mark} is there {len(places)} times: {places}")
                elif not places:
                    if None not in states:
                        lost += 1
                        examples.append(f"{table} {mark} is gone; it should be one of {states}")
                elif "any" not in states and places[0][1] not in states:
                    wrong += 1
                    examples.append(f"{table} {mark} is {places[0]}; it should be one of {states}")
            doubled += len(found[table])  # Rows with our mark that we never wrote.
            examples += [f"{table} {mark} was never written: {places}" for mark, places in list(found[table].items())[:3]]
        return {"lost": lost + wrong, "doubled": doubled, "misplaced": misplaced, "examples": examples[:20]}


def keyspace_ids(ids):
    """Keyspace ids of the hash vindex, as integers: DES with a zero key, which is triple DES with a zero key."""
    if not ids:
        return []
    blocks = b"".join((i & 0xFFFFFFFFFFFFFFFF).to_bytes(8, "big") for i in ids)
    out = subprocess.run(["openssl", "enc", "-des-ede3", "-nopad", "-K", "0" * 48], input=blocks, capture_output=True,
                         check=True).stdout
    return [int.from_bytes(out[i:i + 8], "big") for i in range(0, len(out), 8)]
