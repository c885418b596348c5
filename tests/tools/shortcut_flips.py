#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Routes that flip between two children while packets come: each packet gets
to the child that had the route, and none to anybody else.

usage: shortcut_flips.py [--flips N] [--packets N] [--storm N] WORDS...

Two ways for each set of shortcuts: strictly, where every packet's owner is
known (a flip waits until what was sent has arrived), and in a storm, where
several processes send while the routes flip, and what arrives has to arrive at
one of the two.
"""

import argparse
import os
import select
import socket
import struct
import sys
import time

from world import FAMILIES, PATIENCE, PORT, SILENCE, Space, drain, places_taken, report, shortcut

PARENT, OUTSIDE, BLUE, RED = (Space(name) for name in ("-", "outside", "blue", "red"))
RTM_NEWROUTE, RTM_DELROUTE, NLMSG_ERROR = 24, 25, 2
REPLACE = 0x1 | 0x4 | 0x400 | 0x100  # request, acknowledge, create, replace
RTA_DST, RTA_OIF = 1, 4


class Routes:
    """The route to one address, changed as fast as the kernel can."""

    def __init__(self, family, dest):
        self.family, self.dest = family, dest
        self.sock = PARENT.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0)
        self.sock.bind((0, 0))
        with PARENT:
            self.index = {port: socket.if_nametoindex(port) for port in ("p1", "p2")}
        self.sequence = 0

    def request(self, kind, flags, port):
        """One request; returns when the kernel has done it."""
        self.sequence += 1
        dest = self.family.raw(self.dest)
        body = struct.pack("=BBBBBBBBI", self.family.af, len(dest) * 8, 0, 0, 254, 4, 0, 1, 0)
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


def receive(sock, count, wait):
    """Reads up to so many datagrams; the numbers in them."""
    got, end = [], time.monotonic() + wait
    while len(got) < count and time.monotonic() < end:
        try:
            got.append(struct.unpack("!I", sock.recv(64)[:4])[0])
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
    routes, sockets = Routes(family, dest), ears(family)
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


def sender(family, dest, count):
    """A process that sends as fast as it can."""
    sock = OUTSIDE.udp(family)
    for number in range(count):
        try:
            sock.sendto(struct.pack("!I", number), (dest, PORT))
        except OSError:
            pass
        if number % 64 == 63:
            time.sleep(0)


def storm(family, words, count):
    """Packets on the way while the route flips: one of the two gets each."""
    dest = family.child(1)
    routes, sockets = Routes(family, dest), ears(family)
    before = sum(places_taken("p1").values()) + sum(places_taken("p2").values())
    pids, sent = [], 0
    got, flips = {name: 0 for name in sockets}, 0
    # Until nothing came for a while after the senders have ended. Where this process
    # was not given the time to flip before that, they begin anew.
    quiet, end = None, time.monotonic() + PATIENCE
    while quiet is None or time.monotonic() < quiet:
        routes.lead(("p1", "p2")[flips & 1])
        flips += 1
        for name, sock in sockets.items():
            got[name] += len(receive(sock, 1 << 20, 0.0005))
        pids = [pid for pid in pids if os.waitpid(pid, os.WNOHANG)[0] == 0]
        if pids or quiet:
            continue
        if sent and (got["blue"] and got["red"] or time.monotonic() > end):
            quiet = time.monotonic() + SILENCE
            continue
        for _ in range(2):
            pid = os.fork()
            if pid == 0:
                sender(family, dest, count // 2)
                os._exit(0)
            pids.append(pid)
            sent += count // 2
    for sock in sockets.values():
        sock.close()
    routes.forget(("p1", "p2")[(flips - 1) & 1])
    taken = sum(places_taken("p1").values()) + sum(places_taken("p2").values()) - before
    total = got["blue"] + got["red"]
    # How many the sockets have room for is a matter of how fast this reads.
    good = got["-"] == 0 and got["blue"] > 0 and got["red"] > 0 and total <= sent
    good = good and (words == "none" or taken > 0)
    report(
        good,
        f"{family.name}, shortcut {words}: {flips} flips under {sent} packets, all to one of the two",
        f"blue {got['blue']}, red {got['red']}, the parent {got['-']}, {taken} by shortcuts",
    )
    print(f"# {family.name}, {words}: {flips} flips, {total} of {sent} arrived, {taken} by shortcuts")


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
