#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Sends packets of TCP that stand for many (GSO), with an IP header that may not tell the truth.

usage: lying.py DEV MAC FROM TO KIND COUNT

KIND is right, short (60 bytes by its header, of some 3000), none (0 bytes), long or sum (IPv4's own is
wrong). MAC is the next hop's, where the link has such. Prints nothing; the kernel may refuse a packet.
"""

import socket
import struct
import sys

from frame import ETH_P_IP, ETH_P_IPV6, PACKET_VNET_HDR, SOL_PACKET, Device, checksum

NEEDS_CSUM, TCPV4, TCPV6 = 1, 1, 4
SEGMENT, SEGMENTS = 1000, 3
LENGTHS = {"short": 60, "none": 0, "long": 65000}


def packet(source, dest, kind):
    """A packet whose TCP sum is yet to be finished, and the length of its IP header."""
    payload = b"x" * (SEGMENT * SEGMENTS)
    pseudo = source + dest + struct.pack("!II", 20 + len(payload), 6)
    partial = ~checksum(pseudo) & 0xFFFF
    tcp = struct.pack("!HHIIBBHHH", 1024, 9, 1, 1, 5 << 4, 0x10, 1024, partial, 0) + payload
    if len(source) == 4:
        total = LENGTHS.get(kind, 20 + len(tcp))
        header = struct.pack("!BBHHHBBH4s4s", 0x45, 0, total, 1, 0x4000, 64, 6, 0, source, dest)
        value = checksum(header) ^ (0x5555 if kind == "sum" else 0)
        return header[:10] + struct.pack("!H", value) + header[12:] + tcp, 20
    length = LENGTHS.get(kind, len(tcp))
    return struct.pack("!IHBB16s16s", 6 << 28, length, 6, 64, source, dest) + tcp, 40


def main():
    """Parses the command line."""
    name, mac, source, dest, kind, count = sys.argv[1:]
    family = socket.AF_INET6 if ":" in source else socket.AF_INET
    data, length = packet(socket.inet_pton(family, source), socket.inet_pton(family, dest), kind)
    device = Device(name, bytes.fromhex(mac.replace(":", "")))
    device.sock.setsockopt(SOL_PACKET, PACKET_VNET_HDR, 1)
    proto, gso = (ETH_P_IP, TCPV4) if length == 20 else (ETH_P_IPV6, TCPV6)
    frame = device.frame(proto, data)
    length += len(frame) - len(data)
    offload = struct.pack("<BBHHHH", NEEDS_CSUM, gso, length + 20, SEGMENT, length, 16)
    for _ in range(int(count)):
        device.send(proto, offload + frame)


if __name__ == "__main__":
    main()
