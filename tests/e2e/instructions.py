#!/usr/bin/env python3
"""What a point select costs vtgate and vttablet, in numbers that a busy machine cannot change: it must not grow.

callgrind counts the instructions of user space, a preloaded library allocations and system calls. A figure above its
limit is a step back: find out what came in (callgrind_annotate on a profile of `./dev bench route --count`), and raise
the limit only for what is worth it. One far below its limit shows that the limit wants to be lowered.
"""

import shutil
import struct
import sys

import support  # noqa: F401  (the tools' path)

from vitrail.benchmark import bench_cluster
from vitrail.counting import CountedCluster

QUERIES = 400
PREPARE, EXECUTE, LONGLONG = 0x16, 0x17, 8
# Per query, by program: (instructions, allocations, system calls).
LIMITS = {
    "prepared": {"vtgate": (10050, 4, 6.8), "vttablet": (9850, 6, 6.9)},
    "text": {"vtgate": (11500, 4, 6.8), "vttablet": (11600, 6, 6.9)},
}
SLACK = 1.05  # Of instructions; the other figures have theirs in the limit.
STALE = 0.75  # A figure below this part of its limit.


def read_result(connection):
    """Columns and rows, thrown away: each behind the other ends with an EOF."""
    ends = 0
    while ends < 2:
        packet = connection._read_packet()
        if packet.is_error_packet():
            packet.raise_for_error()
        ends += packet.is_eof_packet()


def prepared(connection):
    connection._execute_command(PREPARE, "select c from t where id = ?")
    answer = connection._read_packet().get_all_data()
    statement, = struct.unpack_from("<I", answer, 1)
    for _ in range(4):  # A parameter and a column, each with its end.
        connection._read_packet()

    def run():
        for number in range(QUERIES):
            connection._execute_command(EXECUTE, struct.pack("<IBIBBBBq", statement, 0, 1, 0, 1, LONGLONG, 0, number % 100))
            read_result(connection)
    return run


def text(connection):
    def run():
        for number in range(QUERIES):
            connection._execute_command(3, f"select c from t where id = {number % 100}")
            read_result(connection)
    return run


def main():
    if shutil.which("valgrind") is None:
        print("left out: valgrind is not installed")
        return 77
    wrong = []
    with bench_cluster(CountedCluster, pool="32M") as cluster:
        cluster.start_vtctld()
        cluster.vtctldclient("CreateKeyspace", "--durability-policy", "none", "commerce")
        cluster.add_shard("commerce", "0", 100)
        cluster.vtctldclient("ApplyVSchema", "--vschema", '{"tables": {"t": {}}}', "commerce")
        cluster.start_vtgate()
        connection = cluster.connect("commerce")
        with connection.cursor() as cursor:
            cursor.execute("create table t (id bigint primary key, c varchar(100))")
            cursor.execute("insert into t values " + ", ".join(f"({i}, repeat('x', 100))" for i in range(100)))
        for kind, work in (("prepared", prepared(connection)), ("text", text(connection))):
            work()
            for program, found in cluster.count(work, QUERIES).items():
                figures = (found["instructions"], found["allocations"], found["syscalls"])
                print(f"{kind}, {program}: {figures[0]} instructions, {figures[1]} allocations, {figures[2]} system calls")
                limits = LIMITS[kind][program]
                for name, figure, limit, slack in zip(("instructions", "allocations", "system calls"), figures, limits,
                                                      (SLACK, 1, 1)):
                    if figure > limit * slack:
                        wrong.append(f"{kind}, {program}: {figure} {name}, more than {limit}")
                if figures[0] < limits[0] * STALE:
                    wrong.append(f"{kind}, {program}: {figures[0]} instructions: lower the limit of {limits[0]}")
        connection.close()
    for line in wrong:
        print(line)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
