"""Adds messages to the guestbook and reads them again, from the master and from a replica."""

import argparse
import random
import time

import pymysql


def connect(options, tablet_type):
    return pymysql.connect(host=options.host, port=options.port, user="guestbook", autocommit=True,
                           database=f"{options.keyspace}@{tablet_type}")


def read(connection, page):
    with connection.cursor() as cursor:
        cursor.execute("SELECT page, time_created_ns, message FROM messages WHERE page = %s ORDER BY time_created_ns", (page,))
        return cursor.fetchall()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=15306)
    parser.add_argument("--keyspace", default="test_keyspace")
    parser.add_argument("--messages", type=int, default=3)
    options = parser.parse_args()

    print("Inserting into master...", flush=True)
    pages = []
    with connect(options, "master") as master:
        for _ in range(options.messages):
            page = random.randint(0, 99)
            pages.append(page)
            with master.cursor() as cursor:
                cursor.execute("INSERT INTO messages (page, time_created_ns, message) VALUES (%s, %s, %s)",
                               (page, time.time_ns(), "V is for speed"))
        print("Reading from master...", flush=True)
        wanted = {page: read(master, page) for page in sorted(set(pages))}
        for rows in wanted.values():
            for row in rows:
                print(row)
    print("Reading from replica...", flush=True)
    with connect(options, "replica") as replica:
        for page, rows in wanted.items():
            # A replica is a moment behind.
            end = time.monotonic() + 10
            while len(seen := read(replica, page)) < len(rows) and time.monotonic() < end:
                time.sleep(0.05)
            for row in seen:
                print(row)


if __name__ == "__main__":
    main()
