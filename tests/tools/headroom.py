#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Prints the room that a device asks its senders for before each packet.

usage: headroom.py DEV

`ip` does not know the attribute yet. "-" is for kernels that do not tell.
"""

import socket
import struct
import sys

from rtnl import NLM_F_REQUEST, RTM_GETLINK, RTM_NEWLINK, Rtnl, ifinfomsg

IFLA_HEADROOM = 68


def headroom(device):
    """The attribute of the kernel's answer."""
    rtnl = Rtnl()
    sequence = rtnl.send(RTM_GETLINK, NLM_F_REQUEST, ifinfomsg(socket.if_nametoindex(device)))
    data = rtnl.sock.recv(1 << 17)
    length, kind, _, got, _ = struct.unpack_from("=IHHII", data)
    if (kind, got) != (RTM_NEWLINK, sequence):
        sys.exit(f"an answer of type {kind}")
    offset = 32
    while offset + 4 <= length:
        size, kind = struct.unpack_from("=HH", data, offset)
        if kind == IFLA_HEADROOM:
            return struct.unpack_from("=H", data, offset + 4)[0]
        offset += (size + 3) & ~3
    return "-"


if __name__ == "__main__":
    print(headroom(sys.argv[1]))
