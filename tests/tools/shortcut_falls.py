#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Why a packet takes no shortcut: each reason is made, and is counted for each packet that it concerns;
no other is, and the packet comes by the full path, or is refused by it.

usage: shortcut_falls.py
"""

import contextlib
import os
import socket
import sys

from world import FAMILIES, PATIENCE, PORT, SILENCE, V4, Space, difference, drain, gather, report, same, shortcut, statistics

PARENT, OUTSIDE, BLUE, RED, DEEP = (Space(name) for name in ("-", "outside", "blue", "red", "deep"))
COUNT = 10
LONG = 1400
TRACKING = "chain f { type filter hook forward priority 0; ct state invalid drop; }"


def falls():
    """What the port has counted."""
    numbers = statistics(PARENT, "p1")
    return {key: value for key, value in numbers.items() if key.startswith(("fall_", "rx_device", "rx_route", "rx_socket", "tx_output", "tx_sibling"))}


@contextlib.contextmanager
def rules(text):
    """Rules of the parent's."""
    PARENT.nft(f"table inet falls {{\n{text}\n}}\n")
    yield
    PARENT.nft("delete table inet falls\n")


@contextlib.contextmanager
def done(space, do, undo):
    """A command, and one that takes it back."""
    space.call(*do)
    yield
    space.call(*undo)


def datagrams(sender, receiver, family, dest, count, size=0, first=0, connect=False, option=None, complete=False):
    """Sends datagrams, after some that prepare the way, to a socket that may be connected, and maybe
    gets them even if they are long. Returns how many came, and what was counted."""
    marker = os.urandom(8)
    with receiver.udp(family, PORT) as there, sender.udp(family) as here:
        if option:
            here.setsockopt(*option)
        if connect:
            there.connect((family.port(1) if sender is PARENT else family.outside, here.getsockname()[1]))
        for _ in range(first):
            here.sendto(b"first", (dest, PORT))
            gather(there, 1, b"first")
        before = falls()
        for _ in range(count):
            with contextlib.suppress(OSError):
                here.sendto(marker + bytes(size), (dest, PORT))
        comes = dest != nowhere(family) and (size == 0 or complete)
        came = gather(there, count, marker, PATIENCE) if comes else drain(there, SILENCE)
    return sum(data.startswith(marker) for data in came), difference(falls(), before)


def nowhere(family):
    """An address that the parent refuses to send to."""
    return "203.0.113.66" if family is V4 else "2001:db8:66::1"


def tc(dev, *words):
    """A queueing discipline on a device of the parent's."""
    return done(PARENT, ("tc", "qdisc", "add", "dev", dev, *words), ("tc", "qdisc", "del", "dev", dev, *words[:1]))


@contextlib.contextmanager
def tc_ingress(dev):
    """A filter on what comes in by a device."""
    with tc(dev, "clsact"):
        PARENT.call("tc", "filter", "add", "dev", dev, "ingress", "matchall", "action", "pass")
        yield


def mtu(space, dev):
    """A device that takes less."""
    return done(space, ("ip", "link", "set", dev, "mtu", "1300"), ("ip", "link", "set", dev, "mtu", "1500"))


def inward(family):
    """(reason, what is in the way, shortcuts, how many come, of how many of what size, after how many)"""
    masquerade = "chain p { type nat hook postrouting priority 100; oifname p1 masquerade; }"
    yield "port_tc", tc("p1", "root", "pfifo"), "route", COUNT, COUNT, 0, 3
    yield "too_long", mtu(BLUE, "c0"), "route", 0, 1, LONG, 3
    yield "unconfirmed", rules(TRACKING), "route", 1, 1, 0, 0
    yield "unsettled", rules(masquerade), "route", COUNT, COUNT, 0, 3
    yield "tracked", rules(TRACKING), "device", COUNT, COUNT, 0, 3
    # What is for a connected socket.
    yield "port_tc", tc("p1", "root", "pfifo"), "socket", COUNT, COUNT, 0, 3
    yield "too_long", mtu(BLUE, "c0"), "socket", 0, 1, LONG, 3
    yield "unconfirmed", rules(TRACKING), "socket", 1, 1, 0, 0


def outward(family):
    """... and to whom."""
    blackhole = family.ip("route", "add", "blackhole", nowhere(family)), family.ip("route", "del", nowhere(family))
    outside = OUTSIDE, family.outside
    yield "port_tc", tc_ingress("p1"), *outside, COUNT, COUNT, 0, 3
    yield "too_long", mtu(PARENT, "up0"), *outside, 0, 1, LONG, 3
    yield "parents", contextlib.nullcontext(), PARENT, family.port(1), COUNT, COUNT, 0, 3
    yield "unrouted", done(PARENT, *blackhole), OUTSIDE, nowhere(family), 0, COUNT, 0, 0
    yield "tracked", rules(TRACKING), RED, family.child(2), COUNT, COUNT, 0, 3


def headers(family):
    """What a header has that no shortcut takes: (what, option of the sender's, bytes, packets of each)"""
    if family is V4:
        yield "options", (socket.IPPROTO_IP, socket.IP_OPTIONS, bytes([1, 1, 1, 0])), 0, 1
    else:
        yield "options", (socket.IPPROTO_IPV6, socket.IPV6_DSTOPTS, bytes([0, 0, 1, 4, 0, 0, 0, 0])), 0, 1
    yield "fragments", None, 2000, 2


def extended(family):
    """Headers are counted of what came from outside where a shortcut is allowed, and of nothing else."""
    for words in ("device", "route", "netfilter", "socket", "output"):
        shortcut("p1", words)
        for what, option, size, each in headers(family):
            for sender in (OUTSIDE, PARENT):
                dest, name = family.child(1), f"{family.name}, {words}: {what} of {'the parent' if sender is PARENT else 'others'}"
                came, counted = datagrams(sender, BLUE, family, dest, COUNT, size, 3, words == "socket", option, True)
                same(came, COUNT, f"{name}: they come")
                counts = sender is OUTSIDE and words != "output"
                same(counted, {"fall_header": COUNT * each} if counts else {}, f"{name}: they are counted")
    shortcut("p1", "all")
    for what, option, size, each in headers(family):
        came, counted = datagrams(OUTSIDE, BLUE, family, family.child(1), COUNT, size, 3, False, option, True)
        same((came, counted), (COUNT, {"fall_header": COUNT * each}), f"{family.name}, all: {what} are counted once")
    with rules(TRACKING):
        came, counted = datagrams(OUTSIDE, BLUE, family, family.child(1), COUNT, 2000, 3, False, None, True)
        same((came, counted.get("fall_header")), (COUNT, None), f"{family.name}, all: what tracking puts together has a plain header")
    shortcut("p1", "none")


def judge(family, reason, way, come, count, result):
    """One result for what came, and one for what was counted."""
    came, counted = result
    name = f"{family.name}, {way}: fall_{reason}"
    same(came, come, f"{name}: what the full path does with it")
    # Those that cross the pair to a sibling are counted as sent to it, too.
    counted.pop("tx_sibling", None)
    same(counted, {f"fall_{reason}": count}, f"{name}: each packet is counted, by that reason alone")


def nested(family):
    """A child forwards what a child of its own sends, by a device that has a queue."""
    host, far = ("10.0.77.1", "10.0.77.2") if family is V4 else ("fd00:77::1", "fd00:77::2")
    prefix = 24 if family is V4 else 64
    nodad = () if family is V4 else ("nodad",)
    BLUE.call(*family.ip("addr", "add", f"{host}/{prefix}", "dev", "g0", *nodad))
    DEEP.call(*family.ip("addr", "add", f"{far}/{prefix}", "dev", "c0", *nodad))
    DEEP.call(*family.ip("route", "add", "default", "via", host))
    PARENT.call(*family.ip("route", "add", far, "via", family.child(1)))
    BLUE.call("tc", "qdisc", "add", "dev", "c0", "root", "pfifo")
    judge(family, "nested", "output", COUNT, COUNT, datagrams(DEEP, OUTSIDE, family, family.outside, COUNT, 0, 3))
    BLUE.call("tc", "qdisc", "del", "dev", "c0", "root")


def main():
    """Each reason, by each version of IP."""
    PARENT.call("ip", "netns", "exec", "blue", "ip", "link", "add", "g0", "type", "passthru", "peer", "name", "c0", "netns", "deep")
    BLUE.call("ip", "link", "set", "g0", "up")
    DEEP.call("ip", "link", "set", "c0", "up")
    for family in FAMILIES:
        for reason, obstacle, words, come, count, size, first in inward(family):
            shortcut("p1", words)
            connect = words == "socket"
            taken = datagrams(OUTSIDE, BLUE, family, family.child(1), COUNT, 0, 3, connect)
            same(taken, (COUNT, {f"rx_{words}": COUNT}), f"{family.name}, {words}: nothing is in the way")
            with obstacle:
                judge(family, reason, words, come, count, datagrams(OUTSIDE, BLUE, family, family.child(1), count, size, first, connect))
            OUTSIDE.call(*family.ip("route", "flush", "cache"))
        shortcut("p1", "output")
        for reason, obstacle, space, dest, come, count, size, first in outward(family):
            taken = datagrams(BLUE, OUTSIDE, family, family.outside, COUNT, 0, 3)
            same(taken, (COUNT, {"tx_output": COUNT}), f"{family.name}, output: nothing is in the way")
            with obstacle:
                judge(family, reason, "output", come, count, datagrams(BLUE, space, family, dest, count, size, first))
            BLUE.call(*family.ip("route", "flush", "cache"))
        nested(family)
        extended(family)
    numbers = statistics(PARENT, "p1")
    reasons = {key for key in numbers if key.startswith("fall_")}
    made = {"port_tc", "too_long", "unconfirmed", "unsettled", "tracked", "parents", "unrouted", "nested", "header"}
    report(reasons == {f"fall_{reason}" for reason in made}, "there is no reason that was not made", reasons)


if __name__ == "__main__":
    sys.exit(main())
