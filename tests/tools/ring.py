#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Two namespaces that are children of each other, and an address that each of
them sends to the other: a packet for it must come to an end.

usage: ring.py

`one` has the port qa to the child device ka in `two`, which has the port qb to
the child device kb in `one`. Packets come from `outside` by way of up0 in `one`.
"""

import os
import socket
import sys
import time

import bpf
from world import FAMILIES, PATIENCE, V4, Space, difference, report, same, shortcut, skip, statistics, until

BPF_PROG_TYPE_SCHED_CLS, BPF_TCX_INGRESS = 3, 46
ONE, TWO, OUTSIDE = (Space(name) for name in ("one", "two", "outside"))


def counted():
    """What both pairs count."""
    return {f"{port} {key}": value for space, port in ((ONE, "qa"), (TWO, "qb")) for key, value in statistics(space, port).items()}


def came_to_rest():
    """What both pairs count once that has stopped to change; None if it does not."""
    end, before = time.monotonic() + PATIENCE, counted()
    while time.monotonic() < end:
        time.sleep(0.03)
        after = counted()
        if after == before:
            return after
        before = after
    return None


def nested(counts):
    """How often a shortcut met the limit."""
    return sum(value for key, value in counts.items() if key.endswith("fall_nested"))


def goes_round(family, words, address, where, sender=OUTSIDE, counts_hops=False):
    """Sends packets into the ring, and looks at how they end: by a limit, or where each turn is
    a hop as packets anywhere do.
    """
    sent = 3
    before = came_to_rest()
    with sender.udp(family) as sock:
        sock.setsockopt(*((socket.IPPROTO_IP, socket.IP_TTL) if family is V4 else (socket.IPPROTO_IPV6, socket.IPV6_UNICAST_HOPS)), 32)
        for _ in range(sent):
            sock.sendto(b"round and round", (address, 9))
    # None may have begun to go round yet; each meets the limit.
    until(lambda: before is None or counts_hops or nested(difference(counted(), before)) >= sent)
    after = came_to_rest()
    name = f"{family.name}, shortcut {words}, {where}"
    if not report(after is not None and before is not None, f"{name}: packets that go round come to an end"):
        return
    counts = difference(after, before)
    short = sum(value for key, value in counts.items() if key.split()[1].startswith(("rx_", "tx_output")))
    report(0 < short <= sent * 32 * 6, f"{name}: ... some of them by shortcuts", counts)
    if not counts_hops:
        report(0 < nested(counts) <= sent * 32 * 2, f"{name}: ... which have a limit, and a counter", counts)


def with_programs(family, words, address):
    """A program at a device's ingress (tcx) keeps something of its own where the depth is noted."""
    where = "by the ports, with programs"
    attached = []
    for space, dev in ((ONE, "kb"), (TWO, "ka")):
        with space:
            try:
                program = bpf.load(BPF_PROG_TYPE_SCHED_CLS, bpf.instruction(bpf.MOV_IMM) + bpf.instruction(bpf.EXIT))
                attached.append(bpf.attach_to(socket.if_nametoindex(dev), program, BPF_TCX_INGRESS))
            except OSError as error:
                return skip(f"{family.name}, shortcut {words}, {where}", f"no BPF at an ingress: {error}")
    goes_round(family, words, address, where, counts_hops=True)
    for detach, space in zip(attached, (ONE, TWO)):
        with space:
            detach()
    return None


def ring(family):
    """By each way round."""
    address = "10.9.9.9" if family is V4 else "fd09::9"
    host = family.host(address)
    for words in ("route", "device", "all"):
        for space, port in ((ONE, "qa"), (TWO, "qb")):
            shortcut(port, words, space)
            space.call(*family.ip("route", "add", host, "dev", port))
        goes_round(family, words, address, "by the ports")
        with ONE.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(3)) as one:
            with TWO.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(3)) as two:
                one.bind(("kb", 3))
                two.bind(("ka", 3))
                goes_round(family, words, address, "by the ports, with taps")
        if words == "route":
            with_programs(family, words, address)
        for space, port in ((ONE, "qa"), (TWO, "qb")):
            space.call(*family.ip("route", "del", host, "dev", port))
            shortcut(port, "none", space)
    for words in ("output", "all"):
        for space, port, dev in ((ONE, "qa", "kb"), (TWO, "qb", "ka")):
            shortcut(port, words, space)
            space.call(*family.ip("route", "add", host, "dev", dev))
        goes_round(family, words, address, "by the child devices")
        goes_round(family, words, address, "by the child devices, from within", ONE)
        # What a queue sends nobody counts: it may send the same packet from within itself.
        for kind in ("pfifo", "mq"):
            ONE.call("tc", "qdisc", "add", "dev", "kb", "root", kind)
            goes_round(family, words, address, f"by a child device with a queue ({kind})")
            goes_round(family, words, address, f"by a child device with a queue ({kind}), from within", ONE)
            ONE.call("tc", "qdisc", "del", "dev", "kb", "root")
        for space, port, dev in ((ONE, "qa", "kb"), (TWO, "qb", "ka")):
            space.call(*family.ip("route", "del", host, "dev", dev))
            shortcut(port, "none", space)
    # What one holds for the other has no full path to go by.
    for space, port, words, local in ((ONE, "qa", "netfilter", ["local"]), (TWO, "qb", "route", [])):
        shortcut(port, words, space)
        space.call(*family.ip("route", "add", *local, host, "dev", port))
    goes_round(family, "netfilter and route", address, "by an address that is held")
    for space, port, local in ((ONE, "qa", ["local"]), (TWO, "qb", [])):
        space.call(*family.ip("route", "del", *local, host, "dev", port))
        shortcut(port, "none", space)
    same(os.path.exists("/sys/module/passthru"), True, f"{family.name}: and the machine lives")


def received():
    """How many packets both ports have had from their children."""
    total = 0
    for space, port in ((ONE, "qa"), (TWO, "qb")):
        with space, open("/proc/thread-self/net/dev", encoding="ascii") as file:
            total += next(int(line.split()[2]) for line in file if line.split()[0] == f"{port}:")
    return total


def from_held_source(family):
    """Each holds the source for the other, and so sends on what it has from there as its own."""
    source, dest, sent, hops = ("10.9.9.9", "10.8.8.8", 3, 32) if family is V4 else ("fd00:9::9", "fd00:8::8", 3, 32)
    option = (socket.IPPROTO_IP, socket.IP_TTL) if family is V4 else (socket.IPPROTO_IPV6, socket.IPV6_UNICAST_HOPS)
    for space, port, dev in ((ONE, "qa", "kb"), (TWO, "qb", "ka")):
        shortcut(port, "netfilter", space)
        space.call(*family.ip("route", "add", "local", source, "dev", port))
        space.call(*family.ip("route", "add", dest, "dev", dev))
    # By IPv4 who has a route for an address may send from it.
    TWO.sysctl(ipv6__ip_nonlocal_bind=1)
    before = received()
    with TWO.udp(family, address=source) as sock:
        sock.setsockopt(*option, hops)
        for _ in range(sent):
            sock.sendto(b"round and round", (dest, 9))
    gone = until(lambda: received() >= before + sent * (hops - 1))
    time.sleep(0.3)
    # Up to four shortcuts in a row take no hop.
    most, rounds = sent * hops * 5, received() - before
    report(gone and rounds <= most, f"{family.name}: packets from a source that is held in a ring come to an end", rounds)
    for space, port, dev in ((ONE, "qa", "kb"), (TWO, "qb", "ka")):
        space.call(*family.ip("route", "del", "local", source, "dev", port))
        space.call(*family.ip("route", "del", dest, "dev", dev))
        shortcut(port, "none", space)


def main():
    """In both versions of IP."""
    for family in FAMILIES:
        ring(family)
        from_held_source(family)


if __name__ == "__main__":
    sys.exit(main())
