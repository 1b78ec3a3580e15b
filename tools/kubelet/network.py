"""Names of services and pods as a hosts file, and node ports as proxies."""

import asyncio
import itertools
import os
import socket
import struct
import threading

TYPE_A, CLASS_IN, NO_SUCH_NAME = 1, 1, 3


def dns_answer(query, addresses):
    """The answer to a DNS query. `addresses(name)`: those of a name, or None when there is no such name. None: not a query."""
    if len(query) < 17 or query[2] & 0x80:
        return None
    labels, at = [], 12
    while query[at]:
        labels.append(query[at + 1:at + 1 + query[at]].decode("latin-1").lower())
        at += 1 + query[at]
    kind = struct.unpack(">H", query[at + 1:at + 3])[0]
    question = query[12:at + 5]
    found = addresses(".".join(labels))
    records = [b"\xc0\x0c" + struct.pack(">HHIH", TYPE_A, CLASS_IN, 1, 4) + socket.inet_aton(a) for a in found or []] if kind == TYPE_A else []
    flags = 0x8580 | (NO_SUCH_NAME if found is None else 0)
    return query[:2] + struct.pack(">HHHHH", flags, 1, len(records), 0, 0) + question + b"".join(records)


class Network:
    """Follows the node's pods and services.

    Every pod has an address of its own in 127.0.0.0/8. The name of a service stands for the addresses of its ready pods (all of them for
    publishNotReadyAddresses), <pod>.<service> for one pod of a headless one. A service that is not headless keeps its name while it has no such
    pods: at an address that refuses. Node ports listen at 127.0.0.1.
    """

    def __init__(self, node, path, nobody):
        self.node, self.path, self.nobody = node, path, nobody
        self.services, self.size = {}, 0
        self.proxies, self.turns = {}, itertools.count()
        self.names = {}
        self.loop = asyncio.new_event_loop()
        self.write("")
        threading.Thread(target=self.loop.run_forever, daemon=True).start()

    def serve_dns(self, address):
        """Where port 53 may be listened on. Elsewhere the hosts file is all there is: some programs then wait for IPv6 names."""
        try:
            server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            server.bind((address, 53))
        except OSError as error:
            self.node.note(f"no DNS: {error}")
            return
        while True:
            query, sender = server.recvfrom(4096)
            try:
                answer = dns_answer(query, self.names.get)
            except (IndexError, struct.error):
                continue
            if answer is not None:
                server.sendto(answer, sender)

    def set_service(self, item):
        self.services[(item["metadata"]["namespace"], item["metadata"]["name"])] = item
        self.node.changed.set()

    def drop_service(self, item, kept):
        if item is not None:
            self.services.pop((item["metadata"]["namespace"], item["metadata"]["name"]), None)
        else:
            self.services = {k: v for k, v in self.services.items() if v["metadata"]["uid"] in kept}
        self.node.changed.set()

    def pods_of(self, service, ready_only=True):
        selector = service["spec"].get("selector")
        if not selector:
            return []
        unready = service["spec"].get("publishNotReadyAddresses") and not ready_only
        return [p for p in self.node.all_pods() if p.namespace == service["metadata"]["namespace"]
                and all(p.labels.get(k) == v for k, v in selector.items()) and (p.ready() or (unready and not p.gone))]

    def write(self, text):
        """In place, since containers have this very file mounted; with one write, and never shorter: nobody reads half of it."""
        data = ("127.0.0.1 localhost\n" + text).encode()
        data += b"\n" * (self.size - len(data))
        self.size = len(data)
        descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT, 0o644)
        try:
            os.pwrite(descriptor, data, 0)
        finally:
            os.close(descriptor)

    def update(self):
        """Brings names and node ports in line with pods and services."""
        lines, wanted = [], {}
        for (namespace, name), service in sorted(self.services.items()):
            def names(first, namespace=namespace):
                return " ".join([first, f"{first}.{namespace}", f"{first}.{namespace}.svc", f"{first}.{namespace}.svc.cluster.local"])
            pods = self.pods_of(service, ready_only=False)
            lines += [f"{p.address} {names(name)}" for p in pods]
            if not pods and service["spec"].get("clusterIP") != "None":
                lines.append(f"{self.nobody} {names(name)}")
            if service["spec"].get("clusterIP") == "None":
                lines += [f"{p.address} {names(p.name + '.' + name)}" for p in pods if p.item["spec"].get("subdomain") == name]
            for port in service["spec"].get("ports", []):
                if port.get("nodePort"):
                    wanted[port["nodePort"]] = (namespace, name, port.get("targetPort", port["port"]))
        found = {}
        for line in lines:
            address, *of = line.split()
            for name in of:
                found.setdefault(name, []).append(address)
        self.names = found
        self.write("".join(line + "\n" for line in lines))
        asyncio.run_coroutine_threadsafe(self.set_proxies(wanted), self.loop).result(10)

    async def set_proxies(self, wanted):
        for port in [p for p, (target, _) in self.proxies.items() if wanted.get(p) != target]:
            self.proxies.pop(port)[1].close()
        for port, target in wanted.items():
            if port not in self.proxies:
                try:
                    server = await asyncio.start_server(lambda r, w, t=target: self.relay(r, w, t), "127.0.0.1", port)
                    self.proxies[port] = (target, server)
                except OSError as error:
                    self.node.note(f"node port {port}: {error}")

    async def relay(self, reader, writer, target):
        namespace, name, port = target
        service = self.services.get((namespace, name))
        pods = self.pods_of(service) if service else []
        if not pods:
            writer.close()
            return
        pod = pods[next(self.turns) % len(pods)]
        try:
            other_reader, other_writer = await asyncio.open_connection(pod.address, pod.port(port))
        except OSError:
            writer.close()
            return
        await asyncio.gather(copy(reader, other_writer), copy(other_reader, writer))


async def copy(reader, writer):
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    except OSError:
        pass
    finally:
        writer.close()
