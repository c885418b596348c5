#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Says once what a router does, to all nodes on a device.

usage: advertise.py DEV PREFIX/64
"""

import ipaddress
import socket
import struct
import sys

LIFETIME = 1800


def main(device, prefix):
    """A default router, and a prefix that is on the link and for addresses of one's own."""
    network = ipaddress.IPv6Network(prefix)
    body = struct.pack("!BBHBBHII", 134, 0, 0, 64, 0, LIFETIME, 0, 0)
    body += struct.pack("!BBBBIII", 3, 4, network.prefixlen, 0xC0, LIFETIME, LIFETIME, 0) + network.network_address.packed
    index = socket.if_nametoindex(device)
    with socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6) as sock:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, 255)
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, index)
        sock.sendto(body, ("ff02::1", 0, 0, index))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
