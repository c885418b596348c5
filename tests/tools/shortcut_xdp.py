#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Generic XDP on the parent's uplink and on a child's device: it sees and drops the
packets that would take a shortcut behind it.

usage: shortcut_xdp.py [NAME]

NAME is put before those of the results.
"""

import os
import socket
import struct
import sys

from bpf import EXIT, MOV_IMM, Counter, instruction, load
from rtnl import CHANGE, RTM_SETLINK, Rtnl, ifinfomsg, nest, u32
from world import FAMILIES, PORT, SILENCE, Space, difference, drain, gather, report, same, shortcut, skip, statistics

BPF_PROG_TYPE_XDP, XDP_DROP, XDP_PASS = 6, 1, 2
IFLA_XDP, IFLA_XDP_FD, IFLA_XDP_FLAGS, XDP_FLAGS_SKB_MODE = 43, 1, 3, 1 << 1
PARENT, OUTSIDE, BLUE, RED = (Space(name) for name in ("-", "outside", "blue", "red"))
COUNT = 5
PREFIX = "".join(f"{word}: " for word in sys.argv[1:])
# What says it, who sends, and what of the port's counters tells of it.
WAYS = (("device", OUTSIDE, "rx_device"), ("route", OUTSIDE, "rx_route"), ("socket", OUTSIDE, "rx_socket"), ("all", OUTSIDE, "rx_device"), ("output", RED, "rx_sibling"))


class Program:
    """A program on a device that counts what it sees, and passes it on or drops it."""

    def __init__(self, space, device, verdict):
        self.seen = Counter()
        code = self.seen.increment() + instruction(MOV_IMM, 0, verdict) + instruction(EXIT)
        self.program = load(BPF_PROG_TYPE_XDP, code)
        self.space, self.device = space, device

    def set(self, program):
        """What runs on the device; -1 for nothing."""
        with self.space:
            attributes = nest(IFLA_XDP, struct.pack("=HHi", 8, IFLA_XDP_FD, program), u32(IFLA_XDP_FLAGS, XDP_FLAGS_SKB_MODE))
            rtnl = Rtnl()
            rtnl.must(rtnl.request(RTM_SETLINK, CHANGE, ifinfomsg(socket.if_nametoindex(self.device)) + attributes))

    def __enter__(self):
        self.set(self.program)
        return self.seen

    def __exit__(self, *_):
        self.set(-1)
        os.close(self.program)


class Way:
    """Datagrams from somebody to a connected socket of blue's."""

    def __init__(self, family, words, sender, counter):
        self.family, self.words, self.counter = family, words, counter
        source = family.outside if sender is OUTSIDE else family.child(2)
        self.receiver, self.sender = BLUE.udp(family, PORT), sender.udp(family, PORT)
        self.receiver.connect((source, PORT))
        self.sender.connect((family.child(1), PORT))

    def send(self, arrive=True):
        """Sends; returns how many arrived, and how many by the shortcut."""
        before = statistics(PARENT, "p1")
        for _ in range(COUNT):
            self.sender.send(b"xdp")
        got = gather(self.receiver, COUNT, b"xdp") if arrive else drain(self.receiver, SILENCE)
        return len(got), difference(statistics(PARENT, "p1"), before).get(self.counter, 0)

    def meets(self, space, device, dropped):
        """A program on a device sees what is sent, which then arrives by the shortcut, or
        is dropped after so many (`dropped`) have taken that."""
        name = f"{PREFIX}{self.family.name}, shortcut {self.words}, XDP on {device}"
        with Program(space, device, XDP_PASS) as seen:
            same(self.send(), (COUNT, COUNT), f"{name}: it passes packets on")
            report(seen.read() >= COUNT, f"{name}: it sees each", seen.read())
        with Program(space, device, XDP_DROP) as seen:
            same(self.send(arrive=False), (0, dropped), f"{name}: it drops packets")
            report(seen.read() >= COUNT, f"{name}: it sees each that it drops", seen.read())
        same(self.send(), (COUNT, COUNT), f"{name}: without it they take the shortcut again")

    def close(self):
        """No more sockets."""
        self.receiver.close()
        self.sender.close()


def redirected(family):
    """What tc has sent on to the child's device, or to the port, is not hidden from the other end's program."""
    for space, device, other, dest in ((BLUE, "c0", (PARENT, "p1"), family.port(1)), (PARENT, "p1", (BLUE, "c0"), family.child(1))):
        name = f"{PREFIX}{family.name}: XDP on {other[1]}, of what tc redirects to {device}"
        space.call("ip", "link", "add", "d0", "type", "dummy", check=False)
        space.call("ip", "link", "set", "d0", "up", check=False)
        space.call("tc", "qdisc", "add", "dev", "d0", "clsact", check=False)
        act = ("matchall", "action", "mirred", "egress", "redirect", "dev", device)
        space.call("tc", "filter", "add", "dev", "d0", "egress", *act, check=False)
        if "mirred" not in space.call("tc", "filter", "show", "dev", "d0", "egress", check=False):
            space.call("ip", "link", "del", "d0", check=False)
            skip(name, "no mirred")
            continue
        source = family.child(1) if space is BLUE else family.port(1)
        table = ("table", "177")
        space.call(*family.ip("route", "add", family.host(dest), "dev", "d0", *table))
        space.call(*family.ip("rule", "add", "to", family.host(dest), "lookup", "177", "pref", "5"))
        with other[0].udp(family, 7954) as there, space.udp(family, address=source) as here:
            counts = []
            for verdict in (XDP_PASS, XDP_DROP):
                with Program(*other, verdict) as seen:
                    for _ in range(COUNT):
                        here.sendto(b"xdp", (dest, 7954))
                    got = gather(there, COUNT, b"xdp") if verdict == XDP_PASS else drain(there, SILENCE)
                    counts.append((len(got), seen.read() >= COUNT))
        same(counts, [(COUNT, True), (0, True)], f"{name}: it sees each, and drops them if it likes")
        space.call(*family.ip("rule", "del", "to", family.host(dest), "lookup", "177", "pref", "5"))
        space.call("ip", "link", "del", "d0")


def main():
    """By each shortcut that comes behind the programs."""
    for family in FAMILIES:
        for words, sender, counter in WAYS:
            shortcut("p1", words)
            shortcut("p2", words)
            way = Way(family, words, sender, counter)
            way.send()
            same(way.send(), (COUNT, COUNT), f"{PREFIX}{family.name}, shortcut {words}: packets take it")
            if sender is OUTSIDE:
                way.meets(PARENT, "up0", 0)
            # At the end of the shortcut the device receives packets as from the full path.
            way.meets(BLUE, "c0", COUNT)
            way.close()
    shortcut("p1", "none")
    shortcut("p2", "none")
    # In l2 the frame would have to be for the other end's address.
    if sys.argv[1:] == ["l3"]:
        for family in FAMILIES:
            redirected(family)


if __name__ == "__main__":
    main()
