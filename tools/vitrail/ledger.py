"""Clients of one table of ids and values that remember what they were told, and the comparison with what is there."""

import random
import threading
import time

import pymysql

from vitrail.processes import wait_until
from vitrail.writer import keyspace_ids


def reckon(expected, places):
    """Compares what may be there with what is.

    expected: id -> values that it may have; None: no row. places: of each shard its name, its key range (None: all) and
    its rows. Returns {"lost", "doubled", "misplaced"}: lists of texts.
    """
    found, misplaced = {}, []
    for name, key_range, rows in places:
        for number, value in rows:
            found.setdefault(number, []).append((name, value))
        if key_range:
            misplaced += [f"{n} is misplaced on {name}" for (n, _), k in zip(rows, keyspace_ids([n for n, _ in rows]))
                          if not key_range[0] <= k < key_range[1]]
    lost, doubled = [], []
    for number, states in expected.items():
        there = found.pop(number, [])
        if len(there) > 1:
            doubled.append(f"{number} is doubled: {there}")
        elif (there[0][1] if there else None) not in states:
            lost.append(f"{number} is {there}, should be one of {states}")
    doubled += [f"{number} was never written: {there}" for number, there in found.items()]
    return {"lost": lost, "doubled": doubled, "misplaced": misplaced}


class Ledger:
    """A client that inserts, updates and deletes rows until it is stopped, and what the table may hold then."""

    def __init__(self, cluster, table, seed):
        self.cluster, self.table, self.chance = cluster, table, random.Random(seed)
        self.rows = {}  # As reckon() wants them.
        self.known_problems = set()
        self.acknowledged, self.errors, self.number = 0, 0, 0
        self.last = time.monotonic()
        self.connection = None
        self.stopping = threading.Event()
        self.holding = threading.Lock()  # Held around each statement.
        self.thread = threading.Thread(target=self.work, daemon=True)

    def work(self):
        while not self.stopping.is_set():
            with self.holding:
                self.write(*self.choose())
            self.stopping.wait(0.01)

    def choose(self):
        """A row, what it may be before and after the statement, and the statement."""
        self.number += 1
        known = self.chance.randrange(1, self.number) if self.number > 10 and self.chance.random() < 0.5 else None
        before = self.rows.get(known)
        if before and None not in before:
            if self.chance.random() < 0.2:
                return known, before, {None}, f"delete from {self.table} where id = {known}"
            return known, before, {v + 1 for v in before}, f"update {self.table} set v = v + 1 where id = {known}"
        return self.number, {None}, {0}, f"insert into {self.table}(id, v) values ({self.number}, 0)"

    def write(self, row, before, after, sql):
        self.rows[row] = before | after
        try:
            if self.connection is None:
                self.connection = self.cluster.connect(read_timeout=30, write_timeout=30, connect_timeout=5)
            with self.connection.cursor() as cursor:
                if cursor.execute(sql) != 1:
                    raise pymysql.err.InternalError(0, f"{sql} changed no row")
            self.rows[row] = after
            self.acknowledged += 1
            self.last = time.monotonic()
        except pymysql.MySQLError:
            self.errors += 1
            self.connection = None

    def wait_for_writes(self, since, seconds):
        wait_until(lambda: self.last > since, f"a write to {self.table}", seconds)

    def stop(self):
        self.stopping.set()
        self.thread.join(60)

    def compare(self, places):
        """What is wrong and was not when this was last called. No statement may be under way."""
        result = reckon(self.rows, places)
        problems = [f"{self.table}: {text}" for kind in result.values() for text in kind]
        new = [text for text in problems if text not in self.known_problems]
        self.known_problems.update(new)
        return new[:10]


class RawConnection:
    """Statements over a connection of pymysql without its cost for each: thousands a second from one process."""

    def __init__(self, connection):
        self.connection, self.socket = connection, connection._sock

    def run(self, sql):
        """The number of rows that were changed."""
        body = b"\x03" + sql.encode()
        self.socket.sendall(len(body).to_bytes(3, "little") + b"\0" + body)
        answer = self.socket.recv(4096)
        while len(answer) < 4 or len(answer) < 4 + int.from_bytes(answer[:3], "little"):
            more = self.socket.recv(4096)
            if not more:
                raise pymysql.err.OperationalError(2013, "the connection was closed")
            answer += more
        if answer[4] == 0xFF:
            raise pymysql.err.InternalError(int.from_bytes(answer[5:7], "little"), answer[13:].decode(errors="replace"))
        return answer[5]

    def close(self):
        self.connection.close()


class SteadyWriters:
    """Connections that write single statements at a steady rate, and others whose transactions stay open for a while.

    rate: statements per second of all of the first kind together. long: how many of the second; each of their
    transactions lasts up to long_seconds.
    """

    def __init__(self, connect, table, connections=8, rate=2000, long=0, long_seconds=1.0, seed=1):
        self.connect, self.table = connect, table
        self.interval, self.long_seconds = connections / rate, long_seconds
        self.step = connections + long  # Each has ids of its own.
        self.rows = [{} for _ in range(self.step)]
        self.acknowledged = [0] * self.step
        self.straddled = []  # (begin, end) of transactions that were committed.
        self.errors, self.slow = [], []
        self.stopping = threading.Event()
        self.threads = [threading.Thread(target=self.work, daemon=True,
                                         args=(n, self.single if n < connections else self.long, seed))
                        for n in range(self.step)]

    def start(self):
        for thread in self.threads:
            thread.start()

    def stop(self):
        self.stopping.set()
        for thread in self.threads:
            thread.join(90)

    def total(self):
        return sum(self.acknowledged)

    def expected(self):
        return {row: states for rows in self.rows for row, states in rows.items()}

    def longest(self, since, until):
        """The longest single statement, in milliseconds, that was under way at some time in the interval."""
        return round(max((s for end, s in list(self.slow) if end >= since and end - s <= until), default=0) * 1000, 1)

    # --- one connection ---
    def work(self, number, turn, seed):
        chance, connection, count = random.Random(seed * 1000 + number), None, 0
        due = time.monotonic()
        while not self.stopping.is_set():
            try:
                connection = connection or RawConnection(self.connect())
                count = turn(connection, number, count, chance)
            except (pymysql.MySQLError, OSError) as error:
                self.errors.append(f"{type(error).__name__}: {error}")
                count += 100  # What became of those is not known: their ids are not used again.
                if connection is not None:
                    connection.close()
                connection = None
            due = max(due + self.interval, time.monotonic() - 1)
            if turn == self.single:
                time.sleep(max(0, due - time.monotonic()))

    def choose(self, number, count, chance):
        """As Ledger.choose(), with the next count in front."""
        rows = self.rows[number]
        row = chance.randrange(1, count + 1) * self.step + number if count > 10 and chance.random() < 0.5 else None
        before = rows.get(row)
        if before and None not in before:
            if chance.random() < 0.2:
                return count, row, before, {None}, f"delete from {self.table} where id = {row}"
            return count, row, before, {v + 1 for v in before}, f"update {self.table} set v = v + 1 where id = {row}"
        row = (count + 1) * self.step + number
        return count + 1, row, {None}, {0}, f"insert into {self.table}(id, v) values ({row}, 0)"

    def single(self, connection, number, count, chance):
        count, row, before, after, sql = self.choose(number, count, chance)
        self.rows[number][row] = before | after
        started = time.monotonic()
        changed = connection.run(sql)
        ended = time.monotonic()
        if ended - started > 0.005:
            self.slow.append((ended, ended - started))
        if changed != 1:
            raise pymysql.err.InternalError(0, f"{sql} changed {changed} rows")
        self.rows[number][row] = after
        self.acknowledged[number] += 1
        return count

    def long(self, connection, number, count, chance):
        rows, changes = self.rows[number], {}
        began = time.monotonic()
        end = began + chance.random() * self.long_seconds
        connection.run("begin")
        while True:
            count, row, before, after, sql = self.choose(number, count, chance)
            if row not in changes:  # Each row once a transaction, so that what it may be stays simple.
                changes[row] = after
                rows[row] = before | after
                changed = connection.run(sql)
                if changed != 1:
                    raise pymysql.err.InternalError(0, f"{sql} changed {changed} rows")
            left = end - time.monotonic()
            if left <= 0:
                break
            time.sleep(min(left, 0.02))
        connection.run("commit")
        rows.update(changes)
        self.straddled.append((began, time.monotonic()))
        self.acknowledged[number] += len(changes)
        return count
