#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""The devices count what takes a shortcut as they count it by the full path: each packet once, with
each of its bytes, at both ends.

usage: shortcut_counts.py l3|l2
"""

import os
import socket
import struct
import sys

from world import FAMILIES, PORT, V4, Space, difference, gather, report, same, shortcut, statistics, until

PARENT, OUTSIDE, BLUE, RED = (Space(name) for name in ("-", "outside", "blue", "red"))
COUNT, SEGMENT = 20, 1000
# What counts how packets went.
WAYS = ("rx_device", "rx_route", "rx_netfilter", "rx_socket", "tx_output", "tx_sibling")
# The bytes of a link header, which are counted, too, by where there is one.
LINK = {"l3": 0, "l2": 14}
INTO = (BLUE, "c0", "rx"), (PARENT, "p1", "tx")
OUT_OF = (BLUE, "c0", "tx"), (PARENT, "p1", "rx")
ONWARD = (PARENT, "p2", "tx"), (RED, "c0", "rx")


def device(space, name, way):
    """Packets and bytes that a device received or sent."""
    with space, open("/proc/thread-self/net/dev", encoding="ascii") as file:
        fields = next(line.split() for line in file if line.split()[0] == f"{name}:")
    size, packets = (1, 2) if way == "rx" else (9, 10)
    return int(fields[packets]), int(fields[size])


def counted(ends, send, packets):
    """What some devices count while datagrams are sent, and by which way these went."""
    before, ways = [device(*end) for end in ends], statistics(PARENT, "p1")

    def grown():
        return [tuple(new - old for new, old in zip(device(*end), first)) for end, first in zip(ends, before)]

    send()
    until(lambda: all(end[0] >= packets for end in grown()))
    taken = difference(statistics(PARENT, "p1"), ways)
    return grown(), {way: count for way, count in taken.items() if way in WAYS}


def judge(name, family, mode, ends, socks, dest, place):
    """One result for datagrams of different lengths, and one for a large send."""
    here, there = socks
    header = (28 if family is V4 else 48) + LINK[mode]
    sizes = [16 + 40 * number for number in range(COUNT)]

    def datagrams():
        marker = os.urandom(12)
        for number, size in enumerate(sizes):
            here.sendto(marker + struct.pack("!I", number) + bytes(size - 16), dest)
        gather(there, COUNT, marker)

    def large():
        here.setsockopt(socket.IPPROTO_UDP, 103, SEGMENT)  # UDP_SEGMENT
        here.sendto(bytes(5 * SEGMENT), dest)
        here.setsockopt(socket.IPPROTO_UDP, 103, 0)
        gather(there, 5)

    for what, send, packets, size in (
        ("datagrams", datagrams, COUNT, COUNT * header + sum(sizes)),
        ("a large send", large, 1, header + 5 * SEGMENT),
    ):
        want = [(packets, size)] * len(ends), {place: packets} if place else {}
        # Neighbours may talk meanwhile.
        for _ in range(5):
            got = counted(ends, send, packets)
            if got == want:
                break
        same(got, want, f"{name}: the devices count packets and bytes of {what}")


def trial(family, mode, words):
    """All directions under one set."""
    name = f"{family.name}, shortcut {words}"
    for port in ("p1", "p2"):
        shortcut(port, words)
    local = family.ip("route", "add", "local", family.child(1), "dev", "p1")
    if words == "netfilter":
        PARENT.call(*local)
    if words != "output":
        with OUTSIDE.udp(family, 4242) as here, BLUE.udp(family, PORT) as there:
            if words == "socket":
                there.connect((family.outside, 4242))
            for _ in range(2):
                here.sendto(b"known", (family.child(1), PORT))
                gather(there, 1)
            judge(f"{name}, into the child", family, mode, INTO, (here, there), (family.child(1), PORT), None if words == "none" else f"rx_{words}")
    if words in ("none", "output"):
        for space, dest, ends, place in ((OUTSIDE, family.outside, OUT_OF, "tx_output"), (RED, family.child(2), (*OUT_OF, *ONWARD), "tx_sibling")):
            with BLUE.udp(family) as here, space.udp(family, PORT) as there:
                for _ in range(2):
                    here.sendto(b"known", (dest, PORT))
                    gather(there, 1)
                judge(f"{name}, out of the child to {space.name}", family, mode, ends, (here, there), (dest, PORT), None if words == "none" else place)
    if words == "netfilter":
        PARENT.call(*local[:3], "del", *local[4:])
    for port in ("p1", "p2"):
        shortcut(port, "none")


def main():
    """All sets, for both IP versions."""
    for family in FAMILIES:
        for words in ("none", "device", "route", "netfilter", "socket", "output"):
            try:
                trial(family, sys.argv[1], words)
            except OSError as error:
                report(False, f"{family.name}, shortcut {words}: traffic gets through", error)


if __name__ == "__main__":
    sys.exit(main())
