"""Clients that log in, run one statement and do nothing: tens of thousands of them from one process."""

import resource
import socket
import struct

from vitrail.processes import SLOWNESS

FROM_ONE_ADDRESS = 10_000  # connect(2) finds about 14,000 ports for one address and another.
UNDER_WAY = 200
IP_BIND_ADDRESS_NO_PORT = 24  # ip(7); not in Python's socket module.
PROTOCOL_41, SECURE_CONNECTION, CONNECT_WITH_DB, PLUGIN_AUTH = 0x200, 0x8000, 0x8, 0x80000


def allow_files(count):
    """Lets this process and those that it starts have so many files and sockets open. False where it may not."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft >= count:
        return True
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (count, max(hard, count)))
    except (ValueError, PermissionError):
        return False
    return True


def frame(sequence, body):
    return len(body).to_bytes(3, "little") + bytes([sequence]) + body


class IdleClients:
    """Sockets to a vtgate without passwords (`--mysql-auth-server-impl none`) on 127.0.0.1. Needs a file each here and in vtgate."""

    def __init__(self, port, database):
        self.address, self.sockets = ("127.0.0.1", port), []
        self.login = frame(1, struct.pack("<IIB23x", PROTOCOL_41 | SECURE_CONNECTION | CONNECT_WITH_DB | PLUGIN_AUTH, 1 << 24, 45)
                           + b"idle\0" + b"\0" + database.encode() + b"\0" + b"mysql_native_password\0")
        self.statement = frame(0, b"\x03select 1")

    def add(self, count):
        """Logs that many more in; each has had the answer to its statement when this returns."""
        while count > 0:
            batch = [self.connect() for _ in range(min(count, UNDER_WAY))]
            for client in batch:
                self.read(client, lambda frames: frames)  # The greeting.
                client.sendall(self.login)
            for client in batch:
                answer = self.read(client, lambda frames: frames)[0]
                if answer[0] != 0:
                    raise ConnectionError(f"a client was refused: {answer[3:].decode(errors='replace')}")
                client.sendall(self.statement)
            for client in batch:
                self.read(client, lambda frames: frames[-1][0] == 0xFF or sum(body[0] == 0xFE for body in frames) == 2)
            count -= len(batch)

    def connect(self):
        client = socket.socket()
        client.settimeout(60 * SLOWNESS)
        client.setsockopt(socket.IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1)  # The port is chosen by connect, which finds one at once.
        client.bind((f"127.0.0.{2 + len(self.sockets) // FROM_ONE_ADDRESS}", 0))
        client.connect(self.address)
        self.sockets.append(client)
        return client

    @staticmethod
    def read(client, complete):
        """The bodies of the frames that have come when `complete` says that they are all."""
        data, frames = b"", []
        while not frames or not complete(frames):
            more = client.recv(4096)
            if not more:
                raise ConnectionError("a client that logged in was closed")
            data += more
            while len(data) >= 4 and len(data) >= 4 + (length := int.from_bytes(data[:3], "little")):
                frames.append(data[4:4 + length])
                data = data[4 + length:]
        return frames

    def close(self):
        for client in self.sockets:
            client.close()
        self.sockets = []
