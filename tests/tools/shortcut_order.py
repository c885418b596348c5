#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Numbered datagrams, and whether they arrive in their order.

usage: shortcut_order.py FLOWS SECONDS

Bursts of new flows, of which the first packets may have another way to go than the
others; and streams while the set of shortcuts changes all the time.
"""

import itertools
import socket
import sys
import threading
import time

from world import FAMILIES, PATIENCE, PORT, Space, drain, places_taken, report, same, shortcut, statistics

PARENT, OUTSIDE, BLUE, RED = (Space(name) for name in ("-", "outside", "blue", "red"))
FLOWS, SECONDS = int(sys.argv[1]), float(sys.argv[2])
BURST = 40
TRACKING = "table inet t { chain f { type filter hook forward priority 0; ct state new,established,related accept; }\n}\n"


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


def bursts(family, words, how):
    """Flows that begin with many datagrams at once."""
    shortcut("p1", words)
    shortcut("p2", words)
    before = sum(places_taken("p1").values())
    wrong, lost, example = 0, 0, None
    want = [b"%d" % number for number in range(BURST)]
    for _ in range(FLOWS):
        with OUTSIDE.udp(family) as here, BLUE.udp(family, PORT) as there:
            if "socket" in words:
                there.connect((family.outside, here.getsockname()[1]))
            for data in want:
                here.sendto(data, (family.child(1), PORT))
            got = pull(there, BURST)
        lost += BURST - len(got)
        if got != sorted(got, key=int):
            wrong, example = wrong + 1, example or got
    name = f"{family.name}, shortcut {words}, {how}: flows that begin with a burst"
    same((wrong, lost), (0, 0), f"{name} arrive in order")
    if example:
        print(f"# {b' '.join(example).decode()}")
    if words not in ("none", "device") or how == "not tracked":
        taken = sum(places_taken("p1").values()) - before
        report((taken > FLOWS) == (words != "none"), f"{name} take the shortcut", taken)
    for port in ("p1", "p2"):
        shortcut(port, "none")


class Stream(threading.Thread):
    """Sends numbered datagrams until it is told to end."""

    def __init__(self, family, sender, dest, port):
        super().__init__()
        self.sock, self.to = sender.udp(family), (dest, port)
        self.running, self.sent = True, 0

    def run(self):
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
    """Reads them, and counts those that came after a later one."""

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
            if number < self.last:
                self.late.append((number, self.last))
            self.last = max(self.last, number)


def switching(family, how):
    """In, out and across, while sets are switched on and off."""
    ways = {
        "in": (OUTSIDE, BLUE, family.child(1), 7061),
        "out": (BLUE, OUTSIDE, family.outside, 7062),
        "across": (BLUE, RED, family.child(2), 7063),
    }
    ears = {way: Ear(family, there, port) for way, (_, there, _, port) in ways.items()}
    streams = [Stream(family, here, dest, port) for here, _, dest, port in ways.values()]
    before = statistics(PARENT, "p1")
    for thread in (*ears.values(), *streams):
        thread.start()
    end, changes = time.monotonic() + SECONDS, 0
    sets = itertools.cycle(("none", "all", "none", "route,output", "none", "device", "output", "none", "socket,route"))
    while time.monotonic() < end:
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
    for how in ("not tracked", "tracked"):
        if how == "tracked":
            PARENT.nft(TRACKING)
        for family in FAMILIES:
            for words in ("none", "device", "route", "route,socket", "all"):
                bursts(family, words, how)
            switching(family, how)
    PARENT.nft("delete table inet t\n")


if __name__ == "__main__":
    sys.exit(main())
