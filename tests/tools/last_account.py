#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""What the kernel says at last of a device's traffic, when it tells that the device is gone.

usage: last_account.py DEVICE COMMAND...

Runs the command, which is to end the device. Prints packets and bytes received, packets and bytes
sent.
"""

import socket
import struct
import subprocess
import sys

RTM_DELLINK, RTMGRP_LINK = 17, 1
IFLA_IFNAME, IFLA_STATS64 = 3, 23
HEADER, IFINFO, ATTRIBUTE = struct.Struct("=IHHII"), struct.Struct("=BxHiII"), struct.Struct("=HH")


def attributes(data):
    """Each attribute and its payload."""
    while len(data) >= ATTRIBUTE.size:
        length, kind = ATTRIBUTE.unpack_from(data)
        yield kind & 0x3FFF, data[ATTRIBUTE.size : length]
        data = data[(length + 3) & ~3 :]


def messages(data):
    """Each message and what comes behind its header."""
    while len(data) >= HEADER.size:
        length, kind, *_ = HEADER.unpack_from(data)
        yield kind, data[HEADER.size : length]
        data = data[(length + 3) & ~3 :]


def main(device, *command):
    """Listens before the command runs."""
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as sock:
        sock.bind((0, RTMGRP_LINK))
        sock.settimeout(120)
        subprocess.run(command, check=True)
        while True:
            for kind, body in messages(sock.recv(1 << 16)):
                found = dict(attributes(body[IFINFO.size :]))
                if kind == RTM_DELLINK and found.get(IFLA_IFNAME) == device.encode() + b"\0" and IFLA_STATS64 in found:
                    rx_packets, tx_packets, rx_bytes, tx_bytes = struct.unpack_from("=4Q", found[IFLA_STATS64])
                    print(rx_packets, rx_bytes, tx_packets, tx_bytes)
                    return


if __name__ == "__main__":
    main(*sys.argv[1:])
