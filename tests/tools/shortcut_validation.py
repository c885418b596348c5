#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Packets whose source lies, and namespaces that claim what is not theirs:
nothing gets in by a shortcut that the full path keeps out.

usage: shortcut_validation.py

What the kernel itself does is asked, not assumed: the same packets go by the
full path (or, for an address of the parent's own, to the parent's own socket)
and by the shortcut, each twice: nothing known of the flow, and all.
"""

import os
import select
import socket
import sys
import time

from rtnl import Rtnl
from world import (
    FAMILIES,
    PATIENCE,
    PORT,
    SILENCE,
    V4,
    Ears,
    Space,
    connected,
    difference,
    drain,
    exchange,
    gather,
    grace_period,
    outside_wire,
    places_taken,
    report,
    same,
    shortcut,
    udp_packet,
    until,
)

PARENT, OUTSIDE, BLUE, RED = (Space(name) for name in ("-", "outside", "blue", "red"))

SOURCES = {
    4: (
        "192.0.2.2", "192.0.2.77",  # who is there
        "127.0.0.1", "0.0.0.0", "0.1.2.3", "224.0.0.5", "240.1.1.1", "255.255.255.255",  # nobody
        "192.0.2.1", "10.0.1.1", "10.0.2.1",  # the parent
        "10.0.1.2", "10.0.2.2", "10.0.1.77",  # the child itself, its sibling, its net
        "192.0.2.255", "10.0.1.255", "192.0.2.0",  # broadcast
        "203.0.113.9",  # no route
    ),
    6: (
        "2001:db8:2::2", "2001:db8:2::77",
        "::1", "::", "ff02::1", "ff0e::5", "::ffff:192.0.2.2", "fe80::1234",
        "2001:db8:2::1", "fd00:1::1", "fd00:2::1",
        "fd00:1::2", "fd00:2::2", "fd00:1::77",
        "2001:db8:2::", "3fff::9",
    ),
}  # fmt: skip


class Trial:
    """Sends packets of many sources at once and says which were let in."""

    def __init__(self, family, ears):
        self.family, self.ears = family, ears
        self.wire = outside_wire(PARENT, OUTSIDE)

    def let_in(self, dest, sources=None, to="blue", wanted=()):
        """The sources whose packets a namespace got; others must get none. Those
        that are wanted are waited for."""
        self.ears.hear(0)
        nonce = os.urandom(6)
        for source in sources or SOURCES[self.family.version]:
            self.wire.send(udp_packet(self.family, source, dest, nonce + source.encode()))
        heard, missing = [], set(wanted)
        began = last = time.monotonic()
        while time.monotonic() < (began + PATIENCE if missing else last + SILENCE):
            got = [(name, data[6:].decode()) for name, data in self.ears.hear(0.02) if data.startswith(nonce)]
            heard += got
            missing -= {source for _, source in got}
            last = time.monotonic() if got else last
        wrong = [entry for entry in heard if entry[0] != to]
        return sorted(source for name, source in heard if name == to) + wrong


def switches(rp_filter, accept_local, child_filter):
    """Sets the switches of the uplink and of the child's device."""
    PARENT.sysctl(ipv4__conf__all__rp_filter=0, ipv4__conf__up0__rp_filter=rp_filter)
    PARENT.sysctl(ipv4__conf__up0__accept_local=accept_local)
    BLUE.sysctl(ipv4__conf__all__rp_filter=0, ipv4__conf__c0__rp_filter=child_filter)


def route(family, local):
    """The kind of the route to blue."""
    PARENT.call(*family.ip("route", "add" if local else "del", "local", family.child(1), "dev", "p1"))


SETTINGS = {
    V4.version: ((0, 0, 0), (1, 0, 0), (2, 0, 0), (0, 1, 0), (1, 1, 0), (0, 0, 1), (0, 0, 2)),
    6: ((0, 0, 0),),
}


def compare_forwarded(trial):
    """For each setting: the full path's answer, then that of each set."""
    family = trial.family
    dest = family.child(1)
    for setting in SETTINGS[family.version]:
        switches(*setting)
        shortcut("p1", "none")
        want = trial.let_in(dest, wanted=(family.outside,))
        name = f"{family.name}, rp_filter {setting[0]}, accept_local {setting[1]}, the child's rp_filter {setting[2]}"
        report(family.outside in want, f"{name}: the full path lets the outside host in", want)
        for words in ("device", "route", "route,socket", "all"):
            shortcut("p1", words)
            cold = trial.let_in(dest, wanted=want)
            before = places_taken("p1")
            warm = trial.let_in(dest, wanted=want)
            taken = difference(places_taken("p1"), before)
            same(cold, want, f"{name}, shortcut {words}: as the full path, at first")
            same(warm, want, f"{name}, shortcut {words}: as the full path, once known")
            same(taken, {"device" if words == "all" else words.split(",")[0]: len(want)}, f"{name}, shortcut {words}: ... by the shortcut")
    switches(0, 0, 0)
    shortcut("p1", "none")


def compare_local(trial):
    """An address of the parent's own: what the parent's own sockets would get.

    Left out are sources for which the answer is another one: the child's own
    address, which the child refuses, so that the packet stays the parent's; and
    those that mean something on their link only, and never leave it."""
    left_out = (trial.family.child(1), "::", "fe80::1234")
    family = trial.family
    route(family, True)
    for setting in ((0, 0, 0), (1, 0, 0), (2, 0, 0), (0, 1, 0))[: 4 if family is V4 else 1]:
        switches(*setting)
        want = [source for source in trial.let_in(family.uplink, to="-", wanted=(family.outside,)) if source not in left_out]
        name = f"{family.name}, local route, rp_filter {setting[0]}, accept_local {setting[1]}"
        report(family.outside in want, f"{name}: who is no liar is let in", want)
        for words in ("netfilter", "device,netfilter", "all"):
            shortcut("p1", words)
            others = [source for source in SOURCES[family.version] if source not in left_out]
            for when in ("at first", "once known"):
                before = places_taken("p1")
                got = trial.let_in(family.child(1), others, wanted=want)
                same(got, want, f"{name}, shortcut {words}: as the parent itself, {when}")
            taken = difference(places_taken("p1"), before)
            same(taken, {"netfilter" if words == "netfilter" else "device": len(want)}, f"{name}, shortcut {words}: ... by the shortcut")
    switches(0, 0, 0)
    shortcut("p1", "none")
    route(family, False)


def switch_midway(trial):
    """A flow that is known and let in; then a switch is turned: the very next
    packet is judged by it."""
    dest, liar = V4.child(1), V4.child(2)

    def arrives(wanted):
        return trial.let_in(dest, (liar,), wanted=(liar,) if wanted else ()) == [liar]

    for words in ("device", "route", "netfilter"):
        held = words == "netfilter"
        if held:
            route(V4, True)
        shortcut("p1", words)
        switches(0, 0, 0)
        name = f"shortcut {words}"
        steps = []
        for value in (0, 1, 2, 0):
            PARENT.sysctl(ipv4__conf__up0__rp_filter=value)
            steps.append(arrives(value != 1))
        same(steps, [True, False, True, True], f"{name}: the uplink's rp_filter off, strict, loose, off")
        steps = []
        for value in (0, 1, 0):
            PARENT.sysctl(ipv4__conf__all__rp_filter=value)
            steps.append(arrives(value != 1))
        same(steps, [True, False, True], f"{name}: everybody's rp_filter off, strict, off")
        if not held:
            childs_filter_midway(liar, arrives, name)
        steps, own = [], V4.port(2)
        for value in (0, 1, 0):
            PARENT.sysctl(ipv4__conf__up0__accept_local=value)
            steps.append(trial.let_in(dest, (own,), wanted=(own,) if value else ()) == [own])
        same(steps, [False, True, False], f"{name}: accept_local off, on, off")
        switches(2, 0, 0)
        PARENT.call("ip", "route", "add", "blackhole", V4.host("203.0.113.9"))
        same(trial.let_in(dest, ("203.0.113.9",)), [], f"{name}: a source behind a blackhole")
        PARENT.call("ip", "route", "del", "blackhole", V4.host("203.0.113.9"))
        if held:
            route(V4, False)
    switches(0, 0, 0)
    shortcut("p1", "none")


def childs_filter_midway(liar, arrives, name):
    """The child has a say in where a packet may come from that is forwarded to it."""
    BLUE.call("ip", "link", "add", "d0", "up", "type", "dummy")
    BLUE.call("ip", "route", "add", liar, "dev", "d0")
    steps = []
    for value in (0, 1, 2, 0):
        BLUE.sysctl(ipv4__conf__c0__rp_filter=value)
        steps.append(arrives(value != 1))
    same(steps, [True, False, True, True], f"{name}: the child's rp_filter off, strict, loose, off")
    BLUE.call("ip", "link", "del", "d0")


def forwarding_midway(family, ears):
    """Without forwarding on the incoming device nothing is routed to a child."""
    sender = OUTSIDE.udp(family)
    dest = family.child(1)

    def owner(silent=False):
        return ears.owner(lambda data: sender.sendto(data, (dest, PORT)), silent)

    def forwarding(value):
        if family is V4:
            PARENT.sysctl(ipv4__conf__up0__forwarding=value)
        else:
            PARENT.sysctl(ipv6__conf__all__forwarding=value)
            # Turning it off takes routes of its own kind away, on it gives back.
            PARENT.call("ip", "-6", "addr", "show", "up0")

    for words in ("device", "route", "all"):
        shortcut("p1", words)
        # What is known of IPv6 is so once it has settled.
        owner()
        grace_period()
        steps = [owner(), owner()]
        forwarding(0)
        steps.append(owner(silent=True))
        forwarding(1)
        steps.append(owner())
        same(steps, ["blue", "blue", "nobody", "blue"], f"{family.name}, shortcut {words}: forwarding on, off, on")
        if family is V4:
            steps = [owner()]
            for value in (0, 1):
                with PARENT:
                    Rtnl().forwarding("up0", value)
                steps.append(owner(silent=not value))
            same(steps, ["blue", "nobody", "blue"], f"{family.name}, shortcut {words}: ... by netlink")
    shortcut("p1", "none")


def stealing(family, ears):
    """A child that has addresses of others gains nothing but for itself."""
    sender = OUTSIDE.udp(family)
    stolen = {family.uplink: "-", family.port(1): "-", family.child(2): "red"}
    for address in stolen:
        BLUE.call("ip", "addr", "add", family.host(address), "dev", "c0")
    for words in ("device", "route", "socket", "netfilter", "all"):
        shortcut("p1", words)
        shortcut("p2", words)
        got = {dest: ears.owner(lambda data, dest=dest: sender.sendto(data, (dest, PORT))) for dest in stolen}
        same(got, stolen, f"{family.name}, shortcut {words}: a child that has others' addresses gets none of their packets")
        here, there = connected(OUTSIDE, PARENT, family, family.uplink, 7100)
        with here, there, BLUE.listener(family, 7100):
            report(exchange(here, there), f"{family.name}, shortcut {words}: nor of their connections")
        here, there = connected(OUTSIDE, RED, family, family.child(2), 7100)
        with here, there, BLUE.listener(family, 7100), PARENT.listener(family, 7100):
            report(exchange(here, there), f"{family.name}, shortcut {words}: nor of a sibling's")
    for address in stolen:
        BLUE.call("ip", "addr", "del", family.host(address), "dev", "c0")
    for port in ("p1", "p2"):
        shortcut(port, "none")


def lookalike(space, family, kind):
    """A socket elsewhere with an address of blue's."""
    sock = space.socket(family.af, kind)
    sock.setsockopt(*((socket.IPPROTO_IP, 19) if family is V4 else (socket.IPPROTO_IPV6, 75)), 1)  # *_TRANSPARENT
    sock.bind((family.child(1), PORT))
    return sock


def listening(family):
    """Sockets elsewhere that listen for what the child's listens for; the parent's for all addresses of its
    own, of which that is one by a local route."""
    dest = family.child(1)
    for words, local in (("none", True), ("netfilter", True), ("all", True), ("route", False), ("socket", False), ("all", False)):
        name = f"{family.name}, shortcut {words}{', local route' * local}, sockets elsewhere that listen"
        if local:
            route(family, True)
        shortcut("p1", words)
        before = places_taken("p1")
        ours, parents = BLUE.listener(family, PORT), PARENT.listener(family, PORT)
        reds = lookalike(RED, family, socket.SOCK_STREAM)
        reds.listen()
        with ours, parents, reds, OUTSIDE.socket(family.af, socket.SOCK_STREAM) as here:
            here.connect((dest, PORT))
            got = select.select([ours, parents, reds], [], [], PATIENCE)[0]
            same(got, [parents if words == "none" else ours], f"{name}: who gets a connection")
            for sock in got:
                with sock.accept()[0] as there:
                    report(exchange(here, there, 3), f"{name}: ... and all of it")
        want = {"none": set(), "all": {"device"}}.get(words, {words})
        same(set(difference(places_taken("p1"), before)), want, f"{name}: ... by the shortcut")
        if local:
            route(family, False)
    shortcut("p1", "none")


def lied_to():
    """A connected socket of the child's takes nothing from outside that has its peer's addresses, where the
    parent's filter refuses these."""
    peer = (V4.child(2), 4242)
    wire = outside_wire(PARENT, OUTSIDE)
    for words in ("none", "socket", "route,socket", "all"):
        name = f"IPv4, shortcut {words}, from outside with the addresses of a connected sibling"
        way = {"none": None, "all": "device"}.get(words, "socket")
        shortcut("p1", words)
        with BLUE.udp(V4, PORT) as there, RED.udp(V4, peer[1]) as here:
            there.connect(peer)

            def comes(value):
                """Whether one that is sent under a setting of the filter does, and which way."""
                switches(value, 0, 0)
                before = places_taken("p1")
                wire.send(udp_packet(V4, peer[0], V4.child(1), b"lie", sport=peer[1]))
                got = drain(there, SILENCE) if value else gather(there, 1)
                return len(got), difference(places_taken("p1"), before)

            # A connected socket is found now and then where none has been.
            taken = (1, {way: 1} if way else {})
            same(until(lambda: (got := comes(0)) == taken and got), taken, f"{name}: in where nobody filters")
            same([comes(value) for value in (1, 1, 0)], [(0, {}), (0, {}), taken], f"{name}: not where the uplink does")
            switches(1, 0, 0)
            here.sendto(b"true", (V4.child(1), PORT))
            same(gather(there, 1), [b"true"], f"{name}: ... but what the sibling sends")
    switches(0, 0, 0)
    shortcut("p1", "none")


def decoys(family):
    """Sockets elsewhere that look exactly like the child's."""
    dest = family.child(1)
    for words, local in (("device", False), ("route", False), ("socket", False), ("all", False), ("netfilter", True), ("all", True)):
        if local:
            route(family, True)
        shortcut("p1", words)
        sender = OUTSIDE.udp(family)
        mine = sender.getsockname()[1]
        sockets = []
        for space in (PARENT, RED):
            decoy = lookalike(space, family, socket.SOCK_DGRAM)
            decoy.connect((family.outside, mine))
            decoy.setblocking(False)
            sockets.append(decoy)
        there = BLUE.udp(family, PORT)
        there.connect((family.outside, mine))
        got = 0
        for number in range(5):
            sender.sendto(b"%d" % number, (dest, PORT))
            try:
                got += there.recv(100) == b"%d" % number
            except OSError:
                break
        leaked = []
        for decoy in sockets:
            try:
                leaked.append(decoy.recv(100))
            except OSError:
                pass
        same((got, leaked), (5, []), f"{family.name}, shortcut {words}{', local route' * local}: sockets elsewhere that look the same get nothing")
        for sock in (*sockets, there, sender):
            sock.close()
        if local:
            route(family, False)
    shortcut("p1", "none")


def main():
    """All of it, for both IP versions."""
    for family in FAMILIES:
        ears = Ears((PARENT, BLUE, RED), (family,))
        trial = Trial(family, ears)
        compare_forwarded(trial)
        compare_local(trial)
        if family is V4:
            switch_midway(trial)
        forwarding_midway(family, ears)
        stealing(family, ears)
        ears.close()
        decoys(family)
        listening(family)
        if family is V4:
            lied_to()


if __name__ == "__main__":
    sys.exit(main())
