#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Packets for which there is no memory: what becomes of them, and of those that
come later.

usage: shortcut_faults.py
"""

import contextlib
import os
import socket
import sys
import threading
import time
from pathlib import Path

from world import FAMILIES, PORT, V6, Ears, Space, connected, difference, drain, exchange, outside_wire, places_taken, report, same, shortcut, udp_packet

PARENT, OUTSIDE, BLUE, RED = (Space(name) for name in ("-", "outside", "blue", "red"))
KNOBS = Path("/sys/kernel/debug")
SETS = ("none", "device", "route", "netfilter", "socket", "output", "all")
KINDS = ("failslab", "fail_page_alloc")


def knob(kind, **values):
    """Sets how a kind of faults comes about."""
    for name, value in values.items():
        (KNOBS / kind / name.replace("_", "-")).write_text(str(value), encoding="ascii")


@contextlib.contextmanager
def faults(percent, cache=None):
    """So many of the allocations fail that cannot wait, of one cache or of all."""
    for kind in KINDS:
        knob(kind, task_filter="N", ignore_gfp_wait="Y", verbose=0, interval=1, times=-1)
    knob("fail_page_alloc", min_order=0)
    flag = Path(f"/sys/kernel/slab/{cache}/failslab") if cache else None
    if flag:
        flag.write_text("1", encoding="ascii")
    knob("failslab", cache_filter="Y" if cache else "N", probability=percent)
    knob("fail_page_alloc", probability=0 if cache else percent)
    try:
        yield
    finally:
        for kind in KINDS:
            knob(kind, probability=0)
        knob("failslab", cache_filter="N")
        if flag:
            flag.write_text("0", encoding="ascii")


def hold(family, action):
    """The parent holds blue's address, or no longer."""
    PARENT.call(*family.ip("route", action, "local", family.child(1), "dev", "p1"))


def no_route(words, ears):
    """What IPv6 answers when it has no memory for a route is what it answers when there is none. An
    address that is held for a child is not the parent's for it, nor has the child to wait.
    """
    shortcut("p1", words)
    name = f"IPv6, shortcut {words}, no memory for a route"
    with OUTSIDE.udp(V6) as sock:

        def owner():
            return ears.owner(lambda data: sock.sendto(data, (V6.child(1), PORT)), silent=True).split(" (")[0]

        # Each CPU makes routes of its own: the sender's are there, those of a new one are not.
        sock.sendto(b"", (V6.child(2), PORT))
        before = PARENT.snmp("Ip6", "InNoRoutes")
        with faults(100, "ip6_dst_cache"):
            hold(V6, "add")
            # What was found out is not believed before a grace period has passed.
            got = set()
            for _ in range(3):
                got.add(owner())
                time.sleep(0.3)
        same((got, PARENT.snmp("Ip6", "InNoRoutes") - before), ({"nobody"}, 3), f"{name}: the packets are lost")
        same({owner() for _ in range(4)}, {"blue"}, f"{name}: the next are the child's")
        hold(V6, "del")
    shortcut("p1", "none")


class Flood:
    """Datagrams from outside and from a sibling to both children, while it is open."""

    def __init__(self, family):
        self.family, self.sent, self.end = family, 0, False
        self.socks = [space.udp(family) for space in (OUTSIDE, RED)]
        self.wire = outside_wire(PARENT, OUTSIDE)
        self.thread = threading.Thread(target=self.run)

    def run(self):
        """Each with its address, so that it tells whose it is; some from ever other sources."""
        number = 0
        while not self.end:
            number += 1
            for child in (1, 2):
                payload = self.family.child(child).encode() + b" " + os.urandom(700)
                with contextlib.suppress(OSError):
                    for sock in self.socks:
                        sock.sendto(payload, (self.family.child(child), PORT))
                    sport = 1024 + number % 40000
                    self.wire.send(udp_packet(self.family, self.family.outside, self.family.child(child), payload, sport=sport))
                    self.sent += 3

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.end = True
        self.thread.join()
        for sock in self.socks:
            sock.close()


def strays(space, sock, address):
    """How many datagrams a socket had, and those that are not its own or not whole."""
    had = drain(sock)
    wrong = [data[:40] for data in had if not data.startswith(address.encode() + b" ") or len(data) != len(address) + 701]
    return len(had), [(space.name, data) for data in wrong]


def traffic(family, words, seconds=2):
    """Many kinds of packets, while one allocation of ten fails."""
    for port in ("p1", "p2"):
        shortcut(port, words)
    name = f"{family.name}, shortcut {words}, no memory now and then"
    ears = {space: space.udp(family, PORT) for space in (PARENT, BLUE, RED)}
    own = {PARENT: "nobody's", BLUE: family.child(1), RED: family.child(2)}
    # Somebody listens on all devices, so that packets are shared.
    taps = [space.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3)) for space in (PARENT, BLUE)]
    near, far = connected(OUTSIDE, BLUE, family, family.child(1), port=7950)
    got, wrong = 0, []
    with Flood(family) as flood:
        with faults(10):
            end = time.monotonic() + seconds
            whole = True
            # Few come while the machine stands still.
            while time.monotonic() < end or got <= 100 and time.monotonic() < end + 60:
                whole = whole and exchange(near, far, rounds=1, bulk=100000)
                for space, sock in ears.items():
                    count, stray = strays(space, sock, own[space])
                    got += count
                    wrong += stray
    for space, sock in ears.items():
        wrong += strays(space, sock, own[space])[1]
    report(got > 100, f"{name}: some arrive", f"{got} of {flood.sent}")
    same(wrong, [], f"{name}: at none but whose they are")
    report(whole, f"{name}: a connection has all of its bytes")
    for sock in (*ears.values(), *taps, near, far):
        sock.close()


def afterwards(family, words):
    """Nothing is missing when there is memory again."""
    name = f"{family.name}, shortcut {words}, when there is memory again"
    ears = Ears((PARENT, BLUE, RED), (family,))
    with OUTSIDE.udp(family) as sock:
        got = set()
        for _ in range(6):
            got.add(ears.owner(lambda data: sock.sendto(data, (family.child(1), PORT))))
            time.sleep(0.1)
        same(got, {"blue"}, f"{name}: the child has its packets")
        before = places_taken("p1")
        for _ in range(4):
            ears.owner(lambda data: sock.sendto(data, (family.child(1), PORT)))
        places = difference(places_taken("p1"), before)
    want = {"all": {"device": 4}, "device": {"device": 4}, "route": {"route": 4}}.get(words)
    if want:
        same(places, want, f"{name}: by the shortcut")
    ears.close()


def main():
    """All of it."""
    ears = Ears((PARENT, BLUE, RED), (V6,))
    for words in ("netfilter", "netfilter,route", "all"):
        no_route(words, ears)
    ears.close()
    for tracks in (False, True):
        if tracks:
            PARENT.nft("table inet nat { chain p { type nat hook postrouting priority srcnat; oifname up0 masquerade; }\n}\n")
        for family in FAMILIES:
            for words in SETS:
                traffic(family, words)
                if not tracks:
                    afterwards(family, words)
    for port in ("p1", "p2"):
        shortcut(port, "none")


if __name__ == "__main__":
    sys.exit(main())
