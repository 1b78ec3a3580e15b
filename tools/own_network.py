#!/usr/bin/env python3
"""Runs a command in a network of its own: servers of tests that run at the same moment cannot take each other's ports.

Usage: own_network.py COMMAND [ARGUMENTS]. There is nothing in that network but its loopback. Where the system does not allow
one (not root, a container without the right), the command runs in the network that is there.
"""

import ctypes
import fcntl
import os
import socket
import struct
import sys

CLONE_NEWNET = 0x40000000
SIOCGIFFLAGS, SIOCSIFFLAGS = 0x8913, 0x8914
IFF_UP = 1
REQUEST = "16sh22x"  # struct ifreq: name and flags.


def leave_network():
    """False: it is not allowed."""
    if ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWNET) != 0:
        return False
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        name, flags = struct.unpack(REQUEST, fcntl.ioctl(any_socket, SIOCGIFFLAGS, struct.pack(REQUEST, b"lo", 0)))
        fcntl.ioctl(any_socket, SIOCSIFFLAGS, struct.pack(REQUEST, name, flags | IFF_UP))
    return True


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    leave_network()
    os.execvp(sys.argv[1], sys.argv[1:])
