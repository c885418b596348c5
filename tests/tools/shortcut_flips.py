#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Routes that flip between two children while packets come: each packet gets
to the child that had the route, and none to anybody else.

usage: shortcut_flips.py [--flips N] [--packets N] [--storm N] WORDS...

Two ways for each set of shortcuts: strictly, where every packet's owner is
known (a flip waits until what was sent has arrived), and in a storm, where
several processes send while the routes flip. There each packet carries the number
of the flip that was done when it was sent: if it is received before the next one
begins it is that one's owner's. Any other has to arrive at one of the two.
"""

import argparse
import mmap
import os
import select
import socket
import struct
import sys
import time

from world import FAMILIES, PATIENCE, PORT, SILENCE, Space, V6, drain, grace_period, places_taken, report, shortcut

PARENT, OUTSIDE, BLUE, RED = (Space(name) for name in ("-", "outside", "blue", "red"))
RTM_NEWROUTE, RTM_DELROUTE, NLMSG_ERROR = 24, 25, 2
# The ports of those who send in a storm.
SENDERS = (4301, 4302)
REPLACE = 0x1 | 0x4 | 0x400 | 0x100  # request, acknowledge, create, replace
RTA_DST, RTA_OIF = 1, 4


class Routes:
    """The route to one address, changed as fast as the kernel can."""

    def __init__(self, family, dest, local=False):
        self.family, self.dest = family, dest
        # Table, protocol, scope, type: a local route, or one by which packets are forwarded.
        self.kind = (255, 4, 254, 2) if local else (254, 4, 0, 1)
        self.sock = PARENT.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0)
        self.sock.bind((0, 0))
        with PARENT:
            self.index = {port: socket.if_nametoindex(port) for port in ("p1", "p2")}
        self.sequence = 0

    def request(self, kind, flags, port):
        """One request; returns when the kernel has done it."""
        self.sequence += 1
        dest = self.family.raw(self.dest)
        body = struct.pack("=BBBBBBBBI", self.family.af, len(dest) * 8, 0, 0, *self.kind, 0)
        body += struct.pack("=HH", 4 + len(dest), RTA_DST) + dest + struct.pack("=HHI", 8, RTA_OIF, self.index[port])
        self.sock.send(struct.pack("=IHHII", 16 + len(body), kind, flags, self.sequence, 0) + body)
        answer = self.sock.recv(8192)
        error = struct.unpack_from("=i", answer, 16)[0]
        if error:
            raise OSError(-error, f"route by {port}: {os.strerror(-error)}")

    def lead(self, port):
        """From here on the address is that port's."""
        self.request(RTM_NEWROUTE, REPLACE, port)

    def forget(self, port):
        """The address has no route of its own any more."""
        self.request(RTM_DELROUTE, 0x5, port)


def receive(sock, count, wait, read=lambda data: struct.unpack_from("!I", data)[0]):
    """Reads up to so many datagrams; the numbers in them, or what else `read` makes of them."""
    got, end = [], time.monotonic() + wait
    while len(got) < count and time.monotonic() < end:
        try:
            got.append(read(sock.recv(64)))
        except BlockingIOError:
            select.select([sock], [], [], 0.01)
    return got


def ears(family):
    """Sockets in both children and in the parent, for the same port."""
    sockets = {space.name: space.udp(family, PORT) for space in (BLUE, RED, PARENT)}
    for sock in sockets.values():
        sock.setsockopt(socket.SOL_SOCKET, 33, 8 << 20)  # SO_RCVBUFFORCE
        sock.setblocking(False)
    return sockets


def strict(family, words, flips, packets):
    """Each packet's owner is known when it is sent."""
    dest = family.child(1)
    routes, sockets = Routes(family, dest, words == "netfilter"), ears(family)
    senders = [OUTSIDE.udp(family) for _ in range(4)]
    owners = {"p1": "blue", "p2": "red"}
    right = wrong = lost = number = 0
    for flip in range(flips):
        port = ("p1", "p2")[flip & 1]
        routes.lead(port)
        first = number
        for _ in range(max(1, packets // flips)):
            senders[number % 4].sendto(struct.pack("!I", number), (dest, PORT))
            number += 1
        got = receive(sockets[owners[port]], number - first, PATIENCE)
        right += len([value for value in got if first <= value < number])
        lost += number - first - len(got)
    for name, sock in sockets.items():
        wrong += len(drain(sock))
        sock.close()
    routes.forget(port)
    report(
        right == number and wrong == lost == 0,
        f"{family.name}, shortcut {words}: {flips} flips, {number} packets, each to its owner",
        f"{right} right, {wrong} elsewhere, {lost} lost",
    )


class Flips:
    """How many flips have begun and ended, for all processes to see: an odd number while there is one."""

    def __init__(self):
        self.steps = memoryview(mmap.mmap(-1, mmap.PAGESIZE)).cast("Q")

    def now(self):
        """The number of the flip that is done, or that of one that is not."""
        return self.steps[0]

    def flip(self, routes):
        """The route leads to the other port; returns whose the address is."""
        self.steps[0] += 1
        to = self.steps[0] >> 1 & 1
        routes.lead(("p1", "p2")[to])
        self.steps[0] += 1
        return ("blue", "red")[to]


def sender(family, dest, count, flips=None, port=0):
    """A process that sends as fast as it can."""
    sock = OUTSIDE.udp(family, port)
    for number in range(count):
        try:
            sock.sendto(struct.pack("!IQ", number, flips.now() if flips else 0), (dest, PORT))
        except OSError:
            pass
        if number % 64 == 63:
            time.sleep(0)


def storm_ears(family, words):
    """As ears(), and where connected sockets are what is looked for both children have such for one
    of the senders. As (namespace, socket)."""
    sockets = list(ears(family).items())
    for _, sock in sockets:
        # Little, so that what is read is what came just now.
        sock.setsockopt(socket.SOL_SOCKET, 33, 16384)  # SO_RCVBUFFORCE
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if words != "socket":
        return sockets
    for space in (BLUE, RED):
        sock = space.socket(family.af, socket.SOCK_DGRAM)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.setsockopt(socket.SOL_SOCKET, 33, 16384)
        sock.bind((family.child(1), PORT))
        sock.connect((family.outside, SENDERS[0]))
        sock.setblocking(False)
        sockets.append((space.name, sock))
    return sockets


def storm(family, words, count):
    """Packets on the way while the route flips: its owner gets each."""
    dest = family.child(1)
    routes, sockets, flips = Routes(family, dest, words == "netfilter"), storm_ears(family, words), Flips()
    before = sum(places_taken("p1").values()) + sum(places_taken("p2").values())
    pids, sent, turns = [], 0, 0
    got, judged, wrong = {"blue": 0, "red": 0, "-": 0}, 0, 0
    # Until nothing came for a while after the senders have ended. Where this process
    # was not given the time to flip before that, they begin anew.
    quiet, end = None, time.monotonic() + PATIENCE
    while quiet is None or time.monotonic() < quiet:
        owner = flips.flip(routes)
        turns += 1
        # What is known of IPv6 is in use once it has settled.
        if family is V6 and turns % 8 == 0:
            grace_period()
        for name, sock in sockets:
            stamps = receive(sock, 1 << 20, 0.002, lambda data: struct.unpack_from("!Q", data, 4)[0])
            got[name] += len(stamps)
            sure = stamps.count(flips.now())
            judged += sure
            wrong += sure if name != owner else 0
        pids = [pid for pid in pids if os.waitpid(pid, os.WNOHANG)[0] == 0]
        if pids or quiet:
            continue
        if sent and (got["blue"] and got["red"] and judged or time.monotonic() > end):
            quiet = time.monotonic() + SILENCE
            continue
        for port in SENDERS:
            pid = os.fork()
            if pid == 0:
                sender(family, dest, count // 2, flips, port)
                os._exit(0)
            pids.append(pid)
            sent += count // 2
    for _, sock in sockets:
        sock.close()
    routes.forget("p1" if owner == "blue" else "p2")
    taken = sum(places_taken("p1").values()) + sum(places_taken("p2").values()) - before
    total = got["blue"] + got["red"]
    # How many the sockets have room for is a matter of how fast this reads.
    good = got["-"] == 0 and got["blue"] > 0 and got["red"] > 0 and total <= sent
    good = good and (words == "none" or taken > 0)
    report(
        good,
        f"{family.name}, shortcut {words}: {turns} flips under {sent} packets, all to one of the two",
        f"blue {got['blue']}, red {got['red']}, the parent {got['-']}, {taken} by shortcuts",
    )
    report(
        judged > 0 and wrong == 0,
        f"{family.name}, shortcut {words}: ... and what came between two flips to whom the first gave it",
        f"{wrong} of {judged} to the other",
    )
    print(f"# {family.name}, {words}: {turns} flips, {total} of {sent} arrived, {judged} between two flips, {taken} by shortcuts")


def settings(family, count):
    """The set itself flips while packets come: none comes twice, or by another child."""
    dest = family.child(1)
    sockets = ears(family)
    pid = os.fork()
    if pid == 0:
        sender(family, dest, count)
        os._exit(0)
    got, flips, quiet = [], 0, None
    words = ("none", "all", "route", "device", "socket,route")
    while quiet is None or time.monotonic() < quiet:
        shortcut("p1", words[flips % len(words)])
        flips += 1
        got += receive(sockets["blue"], 1 << 20, 0.001)
        if quiet is None and os.waitpid(pid, os.WNOHANG)[0] == pid:
            quiet = time.monotonic() + SILENCE
    others = {name: len(receive(sock, 1 << 20, 0.001)) for name, sock in sockets.items() if name != "blue"}
    for sock in sockets.values():
        sock.close()
    shortcut("p1", "none")
    same_once = len(got) == len(set(got))
    report(
        same_once and len(got) > 0 and not any(others.values()),
        f"{family.name}: {flips} changes of the set under {count} packets, none arrives twice, or elsewhere",
        f"{len(got)} arrived, {len(got) - len(set(got))} of them twice; elsewhere: {others}",
    )


def main():
    """All sets, both IP versions."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--flips", type=int, default=500)
    parser.add_argument("--packets", type=int, default=5000)
    parser.add_argument("--storm", type=int, default=10000)
    parser.add_argument("words", nargs="+")
    args = parser.parse_args()
    for family in FAMILIES:
        RED.call("ip", "addr", "add", family.host(family.child(1)), "dev", "lo")
        for words in args.words:
            for port in ("p1", "p2"):
                shortcut(port, words)
            strict(family, words, args.flips, args.packets)
            storm(family, words, args.storm)
        shortcut("p2", "none")
        RED.call("ip", "addr", "del", family.host(family.child(1)), "dev", "lo")
        settings(family, args.storm)


if __name__ == "__main__":
    sys.exit(main())
