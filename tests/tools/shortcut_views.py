#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Who sees a packet that takes a shortcut: counters in every chain of the
parent and of the child, taps on every device, traffic control on the uplink,
and the port's own statistics.

usage: shortcut_views.py
"""

import os
import re
import socket
import struct
import sys
import time

from shortcut_counts import device
from world import (
    FAMILIES,
    PORT,
    SILENCE,
    Space,
    V4,
    connected,
    difference,
    drain,
    gather,
    ping,
    places_taken,
    report,
    same,
    seen,
    shortcut,
    until,
    unwatch,
    watch,
)

PARENT, OUTSIDE, BLUE = (Space(name) for name in ("-", "outside", "blue"))
COUNT = 20

# What the chains of the parent and of the child count of COUNT packets, by
# the place where they leave: the table of docs/guide.md.
FULL = ({"pre": COUNT, "fwd": COUNT, "post": COUNT}, {"pre": COUNT, "in": COUNT})
VIEWS = {
    "device": ({}, {"pre": COUNT, "in": COUNT}),
    "route": ({"pre": COUNT}, {"pre": COUNT, "in": COUNT}),
    "netfilter": ({"pre": COUNT, "in": COUNT}, {}),
    "socket": ({"pre": COUNT}, {"pre": COUNT, "in": COUNT}),
}


def local_route(family, there):
    """Makes blue's address the parent's own, or the child's again."""
    PARENT.call(*family.ip("route", "add" if there else "del", "local", family.child(1), "dev", "p1"))


class Tap:
    """A packet socket on a device, as tcpdump has one."""

    def __init__(self, space, device, marker):
        self.sock = space.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(3))
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        self.sock.bind((device, 3))
        self.marker = marker

    def count(self, wanted):
        """How many packets with the marker it saw; as many as should be are waited for."""
        got = gather(self.sock, wanted, self.marker) if wanted else drain(self.sock, 0.02)
        self.sock.close()
        return sum(self.marker in data for data in got)


def ingress_packets():
    """What the filter at the uplink's ingress has counted."""
    text = PARENT.call("tc", "-s", "filter", "show", "dev", "up0", "ingress")
    return sum(int(number) for number in re.findall(r"(\d+) pkt", text))


def child_received():
    """Packets that the child device counts as received."""
    with BLUE, open("/proc/thread-self/net/dev", encoding="ascii") as file:
        return next(int(line.split()[2]) for line in file if line.split()[0] == "c0:")


def send_datagrams(here, dest, marker):
    """COUNT datagrams that can be told from all others."""
    for number in range(COUNT):
        here.sendto(marker + struct.pack("!I", number), (dest, PORT))


def udp_views(family, words, place, connect=False):
    """One result for each pair of eyes on COUNT datagrams under a set."""
    name = f"{family.name}, shortcut {words}" + (", connected" if connect else "")
    dest, marker = family.child(1), os.urandom(12)
    watch_match = f"{family.nft} daddr {dest} udp dport {PORT}"
    with BLUE.udp(family, PORT) as there, OUTSIDE.udp(family, 4242) as here:
        if connect:
            there.connect((family.outside, 4242))
        here.sendto(b"warm", (dest, PORT))
        there.recv(100)
        for space in (PARENT, BLUE):
            watch(space, watch_match)
        taps = {dev: Tap(PARENT, dev, marker) for dev in ("up0", "p1")}
        before, rx_before, tc_before = places_taken("p1"), child_received(), ingress_packets()
        send_datagrams(here, dest, marker)
        same(len(gather(there, COUNT, marker)), COUNT, f"{name}: all arrive")
        parent, child = VIEWS.get(place, FULL)
        same(seen(PARENT), parent, f"{name}: what the parent's chains see")
        same(seen(BLUE), child, f"{name}: what the child's chains see")
        taken = {place: COUNT} if place else {}
        same(difference(places_taken("p1"), before), taken, f"{name}: what the port counts")
        # It may have received something else as well, and rarely has.
        extra = child_received() - rx_before - COUNT
        report(0 <= extra <= 5, f"{name}: the child device counts them as received", f"{extra} more than sent")
        same(ingress_packets() - tc_before, COUNT, f"{name}: traffic control on the uplink sees them")
        same(taps["up0"].count(COUNT), COUNT, f"{name}: a tap on the uplink sees them")
        full = 0 if place else COUNT
        same(taps["p1"].count(full), full, f"{name}: a tap on the port sees those of the full path")
        for space in (PARENT, BLUE):
            unwatch(space)
        # Without chains anywhere: there is nothing to run, and nothing else changes.
        send_datagrams(here, dest, marker)
        same(len(gather(there, COUNT, marker)), COUNT, f"{name}: all arrive where nobody looks")
        same(difference(places_taken("p1"), before), {place: 2 * COUNT} if place else {}, f"{name}: by the same way")


def icmp_views(family, words, place):
    """As for datagrams, with echo requests."""
    kind = "icmp type echo-request" if family is V4 else "icmpv6 type echo-request"
    for space in (PARENT, BLUE):
        watch(space, f"{family.nft} daddr {family.child(1)} {kind}")
    answered = ping(OUTSIDE, family, family.child(1), COUNT)
    got = (answered, seen(PARENT), seen(BLUE))
    same(got, (COUNT, *VIEWS.get(place, FULL)), f"{family.name}, shortcut {words}: echo requests")
    for space in (PARENT, BLUE):
        unwatch(space)


def tcp_views(family, words, place):
    """A connection that is there already: no segment of it is forwarded, and
    all of them take the one place."""
    dest = family.child(1)
    here, there = connected(OUTSIDE, BLUE, family, dest, PORT)
    with here, there:
        for space in (PARENT, BLUE):
            watch(space, f"{family.nft} daddr {dest} tcp dport {PORT}")
        before = places_taken("p1")
        for _ in range(10):
            here.sendall(b"question")
            there.recv(100)
            there.sendall(b"answer")
            here.recv(100)
        parent, child, taken = seen(PARENT), seen(BLUE), difference(places_taken("p1"), before)
        views = VIEWS.get(place, FULL)
        numbers = [*parent.values(), *child.values(), *taken.values()]
        right = (
            set(parent) == set(views[0])
            and set(child) == set(views[1])
            and set(taken) == ({place} if place else set())
            and min(numbers) >= 10
            # An acknowledgement may come while the counters are read.
            and max(numbers) - min(numbers) <= 2
        )
        report(right, f"{family.name}, shortcut {words}: an established connection", f"parent {parent}", f"child {child}", f"places {taken}")
        for space in (PARENT, BLUE):
            unwatch(space)


def first_views(family, words):
    """The first packet of a connection, which has no socket yet, is by the full path."""
    for space in (PARENT, BLUE):
        watch(space, f"{family.nft} daddr {family.child(1)} tcp dport {PORT} tcp flags & (syn|ack) == syn")
    for sock in connected(OUTSIDE, BLUE, family, family.child(1), PORT):
        sock.close()
    # It may have been sent again.
    got = tuple(set(seen(space)) for space in (PARENT, BLUE))
    same(got, tuple(set(view) for view in FULL), f"{family.name}, shortcut {words}: the first packet of a connection")
    for space in (PARENT, BLUE):
        unwatch(space)


def sent_on(family, words):
    """What the child sends on has been before its FORWARD, which may stop it."""
    name, far = f"{family.name}, shortcut {words}, what the child sends on", "10.77.0.9" if family is V4 else "fd00:77::9"
    match = f"{family.nft} daddr {far} udp dport {PORT}"
    routes = [(PARENT, (far, "via", family.child(1))), (BLUE, (far, "dev", "d0"))]
    if words == "netfilter":
        routes[0] = (PARENT, ("local", far, "dev", "p1"))
    for space, route in routes:
        space.call(*family.ip("route", "add", *route))
    shortcut("p1", words)
    with OUTSIDE.udp(family) as here:

        def sent(wanted):
            before = device(BLUE, "d0", "tx")[0]
            send_datagrams(here, far, b"onward")
            if not wanted:
                time.sleep(SILENCE)
            return until(lambda: device(BLUE, "d0", "tx")[0] - before >= COUNT) if wanted else device(BLUE, "d0", "tx")[0] - before

        report(sent(True), f"{name}: goes on")
        for space in (PARENT, BLUE):
            watch(space, match)
        before = places_taken("p1")
        report(sent(True), f"{name}: goes on where chains look")
        got = seen(PARENT), seen(BLUE), difference(places_taken("p1"), before)
        same(got, (VIEWS[words][0], {"pre": COUNT, "fwd": COUNT, "post": COUNT}, {words: COUNT}), f"{name}: the parent's chains, the child's, the place")
        for space in (PARENT, BLUE):
            unwatch(space)
        BLUE.nft(f"table inet stop {{ chain c {{ type filter hook forward priority 0; {match} drop; }}\n}}\n")
        # A packet of neighbours' may be among them.
        report(sent(False) < COUNT, f"{name}: FORWARD stops it")
        BLUE.nft("delete table inet stop\n")
    shortcut("p1", "none")
    for space, route in routes:
        space.call(*family.ip("route", "del", *route))


def sends_on():
    """The child is a router, by each place."""
    BLUE.call("ip", "link", "add", "d0", "up", "type", "dummy")
    BLUE.sysctl(ipv4__ip_forward=1, ipv6__conf__all__forwarding=1)
    for family in FAMILIES:
        for words in ("device", "route", "netfilter"):
            sent_on(family, words)
    BLUE.sysctl(ipv4__ip_forward=0, ipv6__conf__all__forwarding=0)
    BLUE.call("ip", "link", "del", "d0")


def dropped_in(space, hook, family, wanted):
    """Whether a rule at a hook stops datagrams: true when none arrives, which is
    what is wanted or not."""
    # Filter rules at the usual priority; prerouting's is that of mangle.
    space.nft(
        f"table inet stop {{ chain c {{ type filter hook {hook} priority 0; policy accept;"
        f" {family.nft} daddr {family.child(1)} udp dport {PORT} drop; }}\n}}\n"
    )
    with BLUE.udp(family, PORT) as there, OUTSIDE.udp(family, 4242) as here:
        there.connect((family.outside, 4242))
        marker = os.urandom(12)
        send_datagrams(here, family.child(1), marker)
        arrived = len(drain(there, SILENCE) if wanted else gather(there, COUNT, marker))
    space.nft("delete table inet stop\n")
    return {0: True, COUNT: False}.get(arrived, f"{arrived} arrived")


def rules_in_force(family, words, place):
    """Which rules can still stop a packet."""
    hooks = [(PARENT, hook) for hook in ("prerouting", "input", "forward", "postrouting")]
    hooks += [(BLUE, "prerouting"), (BLUE, "input")]
    short = {"prerouting": "pre", "input": "in", "forward": "fwd", "postrouting": "post"}
    views = VIEWS.get(place, FULL)
    want = [(short[hook] in views[0 if space is PARENT else 1]) for space, hook in hooks]
    got = [dropped_in(space, hook, family, stops) for (space, hook), stops in zip(hooks, want)]
    same(got, want, f"{family.name}, shortcut {words}: whose rules stop it: parent's four, child's two")


def look(family, words, place):
    """All that can be seen under one set."""
    try:
        udp_views(family, words, place, connect=words == "socket")
        tcp_views(family, words, place)
        if words == "socket":
            # It is for packets of sockets that are connected.
            icmp_views(family, words, None)
            first_views(family, words)
        else:
            icmp_views(family, words, place)
        if words in ("none", *VIEWS):
            rules_in_force(family, words, place)
    except OSError as error:
        report(False, f"{family.name}, shortcut {words}: traffic gets through", str(error))
        for space in (PARENT, BLUE):
            unwatch(space)


def main():
    """All places, and what several of them make of a packet."""
    PARENT.call("tc", "qdisc", "add", "dev", "up0", "clsact")
    for number, family in enumerate(FAMILIES, 1):
        match = ("flower", "ip_proto", "udp", "dst_port", str(PORT), "action", "ok")
        PARENT.call("tc", "filter", "add", "dev", "up0", "ingress", "pref", str(number), "protocol", family.tc, *match)
    for family in FAMILIES:
        for words, place, local in (
            ("none", None, False),
            ("device", "device", False),
            ("route", "route", False),
            ("socket", "socket", False),
            ("netfilter", "netfilter", True),
            # The earliest place that fits.
            ("all", "device", False),
            ("all", "device", True),
            ("route,netfilter", "route", False),
            ("route,netfilter", "netfilter", True),
            # A place that does not fit: the full path.
            ("netfilter", None, False),
        ):
            shortcut("p1", words)
            if local:
                local_route(family, True)
            look(family, words, place)
            if local:
                local_route(family, False)
        shortcut("p1", "none")
        for socket_alone in (False, True):
            shortcut("p1", "socket" if socket_alone else "route,socket")
            udp_views(family, "socket" if socket_alone else "route,socket", None if socket_alone else "route")
        shortcut("p1", "none")
    sends_on()


if __name__ == "__main__":
    sys.exit(main())
