#!/usr/bin/env python3
"""`./dev bench overload`: what one shard that stands still, too many clients and many idle ones do to everybody else.

Four shards; point selects by clients that ask again as soon as they are answered, three times as many for each shard as there
are connections to its tablet. 5,000 more clients have logged in and do nothing. In the middle the processes of one shard are
stopped (SIGSTOP) for 20 s. Throughput and latency of the other shards during that time are compared with those before.
"""

import argparse
import collections
import concurrent.futures
import json
import multiprocessing
import os
import resource
import selectors
import signal
import socket
import struct
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "tools"))

from vitrail.benchmark import bench_cluster, note, table  # noqa: E402
from vitrail.processes import http_json  # noqa: E402

SHARDS = ("-40", "40-80", "80-c0", "c0-")
VSCHEMA = {"sharded": True, "vindexes": {"xxhash": {"type": "xxhash"}},
           "tables": {"item": {"column_vindexes": [{"column": "id", "name": "xxhash"}]}}}
CAPABILITIES = 0x200 | 0x8000 | 0x8 | 0x80000 | 0x1  # Protocol 41, secure connection, database, plugins, long password.


class Connection:
    """As little of the MySQL protocol as a closed loop of point selects needs, so that the clients cost little."""

    def __init__(self, port, database):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=60)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.read_packet()
        login = (struct.pack("<IIB23x", CAPABILITIES, 1 << 24, 45) + b"bench\0\0" + database.encode() + b"\0" +
                 b"mysql_native_password\0")
        self.socket.sendall(struct.pack("<I", len(login) | 1 << 24) + login)
        answer = self.read_packet()
        if answer[0] != 0:
            raise RuntimeError(f"login: {answer!r}")
        self.buffer = b""

    def read_exactly(self, size):
        out = b""
        while len(out) < size:
            piece = self.socket.recv(size - len(out))
            if not piece:
                raise RuntimeError("vtgate hung up")
            out += piece
        return out

    def read_packet(self):
        header = self.read_exactly(4)
        return self.read_exactly(header[0] | header[1] << 8 | header[2] << 16)

    def send(self, sql):
        self.socket.sendall(struct.pack("<I", len(sql) + 1) + b"\3" + sql)
        self.buffer = b""

    def ask(self, sql):
        self.send(sql)
        while True:
            self.buffer += self.socket.recv(65536)
            done, error = self.answer()
            if done:
                return error

    def answer(self):
        """(whether the answer is complete, error number or 0) of what has arrived."""
        at, ends = 0, 0
        data = self.buffer
        while len(data) - at >= 4:
            size = data[at] | data[at + 1] << 8 | data[at + 2] << 16
            if len(data) - at - 4 < size:
                break
            first = data[at + 4]
            if first == 0xff:
                return True, data[at + 5] | data[at + 6] << 8
            if at == 0 and first == 0:
                return True, 0
            if first == 0xfe and size < 9:
                ends += 1
                if ends == 2:
                    return True, 0
            at += 4 + size
        return False, 0


def client_process(port, ids, clients, start, seconds, slice_seconds, out):
    """Closed loop of `clients` connections for one shard. Puts [statements, errors by code, latencies] by time slice."""
    slices = [[0, collections.Counter(), []] for _ in range(int(seconds / slice_seconds) + 2)]
    selector = selectors.DefaultSelector()
    connections = []
    for index in range(clients):
        connection = Connection(port, "sh")
        connection.socket.setblocking(False)
        connection.next = index
        connections.append(connection)
        selector.register(connection.socket, selectors.EVENT_READ, connection)
    time.sleep(max(0, start - time.time()))

    def send(connection):
        connection.next += 1
        connection.sent = time.time()
        connection.socket.setblocking(True)
        connection.send(b"select v from item where id = %d" % ids[connection.next % len(ids)])
        connection.socket.setblocking(False)
    for connection in connections:
        send(connection)
    end = start + seconds
    while (now := time.time()) < end:
        for key, _ in selector.select(min(0.1, end - now)):
            connection = key.data
            piece = connection.socket.recv(65536)
            if not piece:
                slices[int((time.time() - start) / slice_seconds)][1]["hung up"] += 1
                selector.unregister(connection.socket)
                continue
            connection.buffer += piece
            done, error = connection.answer()
            if not done:
                continue
            now = time.time()
            place = slices[min(int((now - start) / slice_seconds), len(slices) - 1)]
            place[0] += error == 0
            if error:
                place[1][error] += 1
            else:
                place[2].append(now - connection.sent)
            send(connection)
    out.put((ids[0], slices))


def resident_kib(pid):
    with open(f"/proc/{pid}/status", encoding="utf-8") as file:
        return int(next(line for line in file if line.startswith("VmRSS")).split()[1])


def prepare(cluster, options):
    cluster.tablet_flags = tuple(options.tablet_flags.split())
    cluster.start_vtctld()
    cluster.vtctldclient("CreateKeyspace", "--durability-policy", "none", "sh")
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda i: cluster.add_shard("sh", SHARDS[i], 100 * (i + 1)), range(4)))
    cluster.vtctldclient("ApplySchema", "--sql", "create table item(id bigint primary key, v varchar(40))", "sh")
    cluster.vtctldclient("ApplyVSchema", "--vschema", json.dumps(VSCHEMA), "sh")
    cluster.start_vtgate("--connections-per-tablet", str(options.connections), "--connection-timeout", "5s")
    with cluster.connect("sh") as connection, connection.cursor() as cursor:
        cursor.execute("insert into item(id, v) values " + ", ".join(f"({n}, 'value {n}')" for n in range(1, 1001)))
    ids = []
    for index in range(4):
        tablet = cluster.primary("sh", SHARDS[index])
        ids.append([row[0] for row in cluster.server_rows(tablet, "select id from item order by id")])
    return ids


def idle_clients(cluster, count):
    """Bytes of vtgate for each client that has logged in, asked once, and does nothing."""
    pid, port = cluster.processes["vtgate"].pid, cluster.addresses["vtgate"]["mysql"]
    before = resident_kib(pid)
    held = []
    for _ in range(count):
        held.append(Connection(port, "sh"))
        held[-1].ask(b"select v from item where id = 1")
    return held, (resident_kib(pid) - before) * 1024 / max(count, 1)


def percentile(values, share):
    values = sorted(values)
    return 1000 * values[min(len(values) - 1, int(len(values) * share))] if values else None


def summary(results, stopped, first, last, slice_seconds):
    """Of the shards but the stopped one, between two slices; and of that one."""
    out = {}
    for name, chosen in (("others", lambda i: i != stopped), ("stopped", lambda i: i == stopped)):
        slices = [s for i, all_slices in results.items() if chosen(i) for s in all_slices[first:last]]
        errors = collections.Counter()
        for piece in slices:
            errors.update(piece[1])
        latencies = [value for piece in slices for value in piece[2]]
        out[name] = {"qps": round(sum(s[0] for s in slices) / ((last - first) * slice_seconds), 1),
                     "p50_ms": percentile(latencies, 0.5), "p99_ms": percentile(latencies, 0.99),
                     "errors": {str(code): count for code, count in sorted(errors.items(), key=str)}}
    return out


def measure(cluster, ids, options):
    port = cluster.addresses["vtgate"]["mysql"]
    before, stop, after = options.seconds, options.stop_seconds, options.seconds
    queue = multiprocessing.Queue()
    start = time.time() + 5
    processes = [multiprocessing.Process(target=client_process, daemon=True, args=(
        port, ids[i], 3 * options.connections, start, before + stop + after, 1, queue)) for i in range(4)]
    for process in processes:
        process.start()
    tablet = cluster.primary("sh", SHARDS[options.shard])
    pids = [cluster.processes[tablet.name].pid, cluster.server_pid(tablet)]
    time.sleep(max(0, start + before - time.time()))
    note(f"stopping the tablet and the server of {SHARDS[options.shard]} for {stop} s")
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    time.sleep(stop)
    for pid in pids:
        os.kill(pid, signal.SIGCONT)
    by_first = {ids[i][0]: i for i in range(4)}
    results = {}
    for _ in processes:
        first, slices = queue.get(timeout=before + stop + after + 60)
        results[by_first[first]] = slices
    for process in processes:
        process.join()
    # Without the seconds in which things change.
    return {"before": summary(results, options.shard, 2, before - 1, 1),
            "stopped": summary(results, options.shard, before + 1, before + stop - 1, 1),
            "after": summary(results, options.shard, before + stop + 2, before + stop + after - 1, 1)}


def main():
    parser = argparse.ArgumentParser(prog="./dev bench overload", description=__doc__.split("\n\n", maxsplit=1)[0])
    parser.add_argument("--json", action="store_true", help="print one JSON object as the last line")
    parser.add_argument("--seconds", type=int, help="before and after the stop (default 15; 6 with --quick)")
    parser.add_argument("--stop-seconds", type=int, help="how long the shard stands still (default 20; 8 with --quick)")
    parser.add_argument("--connections", type=int, default=16, help="connections of vtgate to each tablet (16)")
    parser.add_argument("--idle", type=int, help="clients that do nothing (default 5000; 500 with --quick)")
    parser.add_argument("--shard", type=int, default=0, choices=range(4), help="which shard is stopped (0: the first)")
    parser.add_argument("--tablet-flags", default="", help="for every vttablet, in one text: --tablet-flags=--adaptive-concurrency=false")
    parser.add_argument("--quick", action="store_true", help="a look, not a measurement")
    options = parser.parse_args()
    options.seconds = options.seconds or (6 if options.quick else 15)
    options.stop_seconds = options.stop_seconds or (8 if options.quick else 20)
    options.idle = options.idle or (500 if options.quick else 5000)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, max(soft, 2 * options.idle + 4000)), hard))
    with bench_cluster(pool="64M") as cluster:
        ids = prepare(cluster, options)
        held, idle_bytes = idle_clients(cluster, options.idle)
        note(f"{len(held)} idle clients: {idle_bytes / 1024:.1f} KiB of vtgate each")
        phases = measure(cluster, ids, options)
        memory = resident_kib(cluster.processes["vtgate"].pid)
        limits = [http_json(t.ports["port"], "/debug/concurrency") for t in cluster.tablets.values()]
        for connection in held:
            connection.socket.close()
    ratio = round(phases["stopped"]["others"]["qps"] / phases["before"]["others"]["qps"], 3)

    def ms(value):
        return "-" if value is None else f"{value:.2f}"
    print(table(["phase", "shards", "q/s", "p50 ms", "p99 ms", "errors"],
                [[phase, name, f"{r['qps']:.0f}", ms(r["p50_ms"]), ms(r["p99_ms"]),
                  ", ".join(f"{code}: {count}" for code, count in r["errors"].items()) or "none"]
                 for phase, both in phases.items() for name, r in both.items()]))
    print(f"\nthe other shards while one stands still, as a multiple of before: {ratio} (target: 0.95)")
    print("statements let into the servers at once at the end, and refused since they would have waited for too long: " +
          ", ".join(f"{c['limit']} of {c['connections']}, {c['refused']}" for c in limits))
    print(f"memory of vtgate: {idle_bytes / 1024:.1f} KiB for an idle client (target: below 25), {memory / 1024:.0f} MiB at the end")
    if options.json:
        print(json.dumps({"phases": phases, "ratio_of_others": ratio, "concurrency": limits, "idle_client_bytes": round(idle_bytes),
                          "vtgate_resident_bytes": memory * 1024}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
