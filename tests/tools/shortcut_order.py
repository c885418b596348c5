#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Numbered datagrams, and whether they arrive in their order.

usage: shortcut_order.py FLOWS SECONDS

Bursts of new flows, of which the first packets may have another way to go than the
others; of packets of which every other one cannot take a shortcut; and streams while
the set of shortcuts changes all the time.
"""

import contextlib
import itertools
import os
import socket
import sys
import threading
import time

from world import FAMILIES, PATIENCE, PORT, Space, drain, places_taken, report, same, shortcut, statistics

PARENT, OUTSIDE, BLUE, RED = (Space(name) for name in ("-", "outside", "blue", "red"))
FLOWS, SECONDS = int(sys.argv[1]), float(sys.argv[2])
BURST = 40
TRACKING = "table inet t { chain f { type filter hook forward priority 0; ct state new,established,related accept; }\n}\n"


@contextlib.contextmanager
def on_one_cpu():
    """What is sent on two is in no order."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})
    yield
    os.sched_setaffinity(0, before)


def pull(sock, count):
    """So many datagrams, or what there is of them."""
    got, end = [], time.monotonic() + PATIENCE
    sock.settimeout(PATIENCE)
    while len(got) < count and time.monotonic() < end:
        try:
            got.append(sock.recv(100))
        except OSError:
            break
    return got + drain(sock)


class Bursts:
    """Numbered datagrams, all sent before one is read: what became of their order."""

    DATA = [b"%d" % number for number in range(BURST)]

    def __init__(self):
        self.wrong, self.lost, self.example = 0, 0, None

    def judge(self, got):
        """Of one burst."""
        self.lost += BURST - len(got)
        if got != sorted(got, key=int):
            self.wrong, self.example = self.wrong + 1, self.example or got

    def report(self, name):
        """All of them came, as they were sent."""
        same((self.wrong, self.lost), (0, 0), f"{name} arrive in order")
        if self.example:
            print(f"# {b' '.join(self.example).decode()}")


def bursts(family, words, how):
    """Flows that begin with many datagrams at once."""
    shortcut("p1", words)
    shortcut("p2", words)
    before, seen = sum(places_taken("p1").values()), Bursts()
    for _ in range(FLOWS):
        with OUTSIDE.udp(family) as here, BLUE.udp(family, PORT) as there:
            if "socket" in words:
                there.connect((family.outside, here.getsockname()[1]))
            for data in seen.DATA:
                here.sendto(data, (family.child(1), PORT))
            seen.judge(pull(there, BURST))
    name = f"{family.name}, shortcut {words}, {how}: flows that begin with a burst"
    seen.report(name)
    if words not in ("none", "device") or how == "not tracked":
        taken = sum(places_taken("p1").values()) - before
        report((taken > FLOWS // 4) == (words != "none"), f"{name} take the shortcut", taken)
    for port in ("p1", "p2"):
        shortcut(port, "none")


def beyond(family):
    """An address of red that what comes from outside gets to through blue."""
    return "198.51.100.9" if family.version == 4 else "2001:db8:51::9"


def through_blue(family, command):
    """Makes it so, or ends it."""
    far = family.host(beyond(family))
    at_once = ("nodad",) if family.version == 6 and command == "add" else ()
    RED.call("ip", "address", command, far, "dev", "c0", *at_once)
    PARENT.call(*family.ip("route", command, far, "dev", "p2"))
    PARENT.call(*family.ip("route", command, far, "dev", "p1", "table", "77"))
    PARENT.call(*family.ip("rule", command, "iif", "up0", "to", far, "lookup", "77", "priority", "77"))


def options(family, sock, there):
    """What a socket sends has a header that no shortcut is for, or not."""
    if family.version == 4:
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_OPTIONS, b"\1\1\1\0" if there else b"")
    else:
        # Nothing but padding.
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_DSTOPTS, bytes((0, 0, 1, 4, 0, 0, 0, 0)) if there else b"")


def mixed(family, how):
    """From one child into the other goes each packet as it can. Into the first goes none
    by a shortcut: of what a card hands over at once the parent's stack makes lists, and
    those of a list that cannot take a shortcut wait for its end.
    """
    for words, to in (("none", "none"), ("output", "output"), ("output", "all"), ("none", "all")):
        shortcut("p1", words)
        shortcut("p2", to)
        before, seen = sum(places_taken("p2").values()), Bursts()
        end = time.monotonic() + PATIENCE
        for turn in itertools.count():
            # How many of a burst others wait behind is a matter of when the CPU gets to them.
            taken = sum(places_taken("p2").values()) - before
            if turn >= max(2, FLOWS // 10) and (taken or to == "none" or time.monotonic() > end):
                break
            with OUTSIDE.udp(family) as here, RED.udp(family, PORT) as there:
                for number, data in enumerate(seen.DATA):
                    options(family, here, number % 2)
                    here.sendto(data, (beyond(family), PORT))
                seen.judge(pull(there, BURST))
        name = f"{family.name}, {how}, shortcut {words} and {to}, across: every other packet has an option"
        seen.report(f"{name}, and they")
        report((taken > 0) == (to != "none"), f"{name}, and some others go short", taken)
    for port in ("p1", "p2"):
        shortcut(port, "none")


class Stream(threading.Thread):
    """Sends numbered datagrams until it is told to end, on a CPU: what is sent on two
    is in no order.
    """

    def __init__(self, family, cpu, sender, dest, port):
        super().__init__()
        self.sock, self.to = sender.udp(family), (dest, port)
        self.cpu = sorted(os.sched_getaffinity(0))[cpu % len(os.sched_getaffinity(0))]
        self.running, self.sent = True, 0

    def run(self):
        os.sched_setaffinity(0, {self.cpu})
        while self.running:
            # As many at once as make a queue, and then a while for others.
            for _ in range(BURST):
                try:
                    self.sock.sendto(b"%d" % self.sent, self.to)
                except OSError:
                    pass
                self.sent += 1
            time.sleep(0.002)


class Ear(threading.Thread):
    """Reads them, and counts those that came after a later one, or twice."""

    def __init__(self, family, space, port):
        super().__init__()
        self.sock = space.udp(family, port)
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
        self.sock.settimeout(0.2)
        self.running, self.got, self.late, self.last = True, 0, [], -1

    def run(self):
        while self.running:
            try:
                number = int(self.sock.recv(100))
            except OSError:
                continue
            self.got += 1
            if number <= self.last:
                self.late.append((number, self.last))
            self.last = max(self.last, number)


def switching(family, how):
    """In, out and across, while sets are switched on and off."""
    ways = {
        "in": (OUTSIDE, BLUE, family.child(1), 7061),
        "out": (BLUE, OUTSIDE, family.outside, 7062),
        "across": (BLUE, RED, family.child(2), 7063),
        # From another CPU.
        "across beside it": (BLUE, RED, family.child(2), 7064),
    }
    ears = {way: Ear(family, there, port) for way, (_, there, _, port) in ways.items()}
    streams = [Stream(family, cpu, here, dest, port) for cpu, (here, _, dest, port) in enumerate(ways.values())]
    before = statistics(PARENT, "p1")
    for thread in (*ears.values(), *streams):
        thread.start()
    end, changes = time.monotonic() + SECONDS, 0
    sets = itertools.cycle(("none", "all", "none", "route,output", "none", "device", "output", "none", "socket,route"))
    # On a slow machine until there was something to overtake.
    while time.monotonic() < end or time.monotonic() < end + PATIENCE and any(ear.got <= 200 for ear in ears.values()):
        words = next(sets)
        for port in ("p1", "p2"):
            shortcut(port, words)
        changes += 1
        time.sleep(0.01)
    for stream in streams:
        stream.running = False
        stream.join()
    time.sleep(0.5)
    for way, ear in ears.items():
        ear.running = False
        ear.join()
        report(not ear.late, f"{family.name}, {how}, {way}: sets are switched, and nothing overtakes", ear.late[:5], f"{len(ear.late)} of {ear.got}")
    after = statistics(PARENT, "p1")
    print(f"# {changes} changes; sent {[stream.sent for stream in streams]}, arrived {[ear.got for ear in ears.values()]}")
    short = {key: after[key] - before[key] for key in after if key.startswith(("rx_", "tx_output", "tx_sibling")) and after[key] > before[key]}
    report(all(ear.got > 200 for ear in ears.values()) and len(short) > 1, f"{family.name}, {how}: ... and some go short", short)
    for thread in (*ears.values(), *streams):
        thread.sock.close()
    for port in ("p1", "p2"):
        shortcut(port, "none")


def main():
    """All of it, without tracking and with."""
    for family in FAMILIES:
        through_blue(family, "add")
    for how in ("not tracked", "tracked"):
        if how == "tracked":
            PARENT.nft(TRACKING)
        for family in FAMILIES:
            for words in ("none", "device", "route", "route,socket", "all"):
                with on_one_cpu():
                    bursts(family, words, how)
            with on_one_cpu():
                mixed(family, how)
            switching(family, how)
    for family in FAMILIES:
        through_blue(family, "del")
    PARENT.nft("delete table inet t\n")


if __name__ == "__main__":
    sys.exit(main())
