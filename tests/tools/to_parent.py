#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""What a child's sockets send to its parent's: the full path, whatever of it is left out where nobody looks.

usage: to_parent.py l3|l2
"""

import os
import pathlib
import socket
import struct
import subprocess
import sys

from output import Rules
from world import (
    FAMILIES,
    PORT,
    SILENCE,
    V4,
    Space,
    checksum,
    connected,
    drain,
    exchange,
    gather,
    grace_period,
    mac_of,
    ping,
    receive,
    report,
    same,
    seen,
    shortcut,
    skip,
    statistics,
    unwatch,
    watch,
)

PARENT, BLUE = (Space(name) for name in ("-", "blue"))
COUNT = 20
TRACING = pathlib.Path("/sys/kernel/tracing")
EVENT = TRACING / "events/net/net_dev_queue"
# What the stack counts of what it sends; by IPv4 the second has another table.
COUNTED = ("OutRequests", "OutOctets")


class Flow:
    """Datagrams from the child to a socket of the parent's, in order."""

    def __init__(self, family, dest):
        self.dest, self.there = (dest, PORT), PARENT.udp(family, PORT)
        self.here = BLUE.udp(family)
        self.number = 0

    def __enter__(self):
        # Of IPv6 something is remembered after a grace period that begins with the first.
        for _ in range(3):
            self.send(1)
            grace_period()
        return self

    def __exit__(self, *_):
        self.here.close()
        self.there.close()

    def send(self, count=COUNT, silent=False):
        """How many of so many arrive; -1 where one has overtaken another."""
        marker = os.urandom(8)
        for _ in range(count):
            self.number += 1
            try:
                self.here.sendto(marker + struct.pack("!I", self.number), self.dest)
            except OSError:
                pass
        heard = drain(self.there, SILENCE) if silent else gather(self.there, count, marker)
        # Others may have waited for their neighbour until now.
        got = [data for data in heard if data.startswith(marker)]
        return len(got) if got == sorted(got) else -1


class Trace:
    """Counts what the child's device is given by `__dev_queue_xmit()`."""

    def __init__(self):
        if not TRACING.joinpath("events").exists():
            subprocess.run(["mount", "-t", "tracefs", "tracefs", TRACING], capture_output=True, check=False)
        self.exists = EVENT.exists()

    def __enter__(self):
        TRACING.joinpath("trace").write_text("", encoding="ascii")
        EVENT.joinpath("filter").write_text('name == "c0"', encoding="ascii")
        EVENT.joinpath("enable").write_text("1", encoding="ascii")
        return self

    def __exit__(self, *_):
        EVENT.joinpath("enable").write_text("0", encoding="ascii")

    def count(self):
        """How many there were."""
        return TRACING.joinpath("trace").read_text(encoding="ascii").count("net_dev_queue:")


def wire(space, device):
    """A tap on a device, that has whole frames."""
    sock = space.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
    sock.bind((device, 3))
    return sock


def octets(family):
    """Packets that the child's stack says it sent, and their bytes."""
    if family is not V4:
        return tuple(BLUE.snmp("Ip6", name) for name in COUNTED)
    with BLUE, open("/proc/thread-self/net/netstat", encoding="ascii") as file:
        lines = [line.split() for line in file if line.startswith("IpExt:")]
    return BLUE.snmp("Ip", COUNTED[0]), int(dict(zip(*lines))[COUNTED[1]])


def counts(family):
    """The same of stack, devices and port."""
    with BLUE, open("/proc/thread-self/net/dev", encoding="ascii") as file:
        sent = next([int(word) for word in line.split()[9:11]] for line in file if line.split()[0] == "c0:")
    with open("/proc/net/dev", encoding="ascii") as file:
        got = next([int(word) for word in line.split()[1:3]] for line in file if line.split()[0] == "p1:")
    return [*octets(family), *reversed(sent), *reversed(got), statistics(PARENT, "p1")["fall_parents"]]


def counted(family, flow):
    """By how much that grows as datagrams are sent, without what neighbours say meanwhile."""
    for _ in range(10):
        before = counts(family)
        came = flow.send()
        grown = [new - old for new, old in zip(counts(family), before)]
        if came == COUNT and grown[0] == COUNT and grown[2] == COUNT:
            break
    return came, grown


def views(family, words, mode, dest):
    """Who sees them, what they look like, what is counted."""
    name = f"{family.name}, shortcut {words}, to {dest}"
    length = (20 if family is V4 else 40) + 8 + 12
    frame = length + (14 if mode == "l2" else 0)
    fell = COUNT if words in ("output", "all") else 0
    with Flow(family, dest) as flow:
        want = [COUNT, COUNT * length, COUNT, COUNT * frame, COUNT, COUNT * frame, fell]
        same(counted(family, flow), (COUNT, want), f"{name}: what the child's stack, both ends and the port count")
        for space, chains in ((PARENT, ("pre", "in", "fwd")), (BLUE, ("out",))):
            watch(space, f"udp dport {PORT}", chains)
        same(flow.send(), COUNT, f"{name}: they arrive, in order")
        same((seen(PARENT), seen(BLUE)), ({"pre": COUNT, "in": COUNT}, {"out": COUNT}), f"{name}: which chains see them")
        for space in (PARENT, BLUE):
            unwatch(space)
        tap = wire(PARENT, "p1")
        same(flow.send(), COUNT, f"{name}: they arrive with a tap on the port")
        frames = [data for data in gather(tap, COUNT, family.raw(dest)) if len(data) == frame]
        tap.close()
        begin = bytes.fromhex((mac_of(PARENT, "p1") + mac_of(BLUE, "c0")).replace(":", "")) if mode == "l2" else b""
        good = [data for data in frames if data.startswith(begin)]
        same((len(frames), len(good)), (COUNT, COUNT), f"{name}: ... which sees them, each with its header")
        tap = wire(BLUE, "c0")
        same(flow.send(), COUNT, f"{name}: they arrive with a tap on the child's device")
        same(len([data for data in gather(tap, COUNT, family.raw(dest)) if len(data) == frame]), COUNT, f"{name}: ... which sees them")
        tap.close()


def forwarding(value=None):
    """Whether the parent forwards, which may be changed."""
    if value is not None:
        PARENT.sysctl(**{f"ipv{version}__conf__all__forwarding": value for version in (4, 6)})
    return pathlib.Path("/proc/sys/net/ipv6/conf/all/forwarding").read_text(encoding="ascii") == "1\n"


def unqueued(family, words, dest):
    """Where nobody looks, they are not given to the device: that is what it is for."""
    forwards = forwarding()
    name = f"{family.name}, shortcut {words}, to {dest}{'' if forwards else ', in a parent that forwards nothing'}"
    name += ": the child's device is not asked"
    trace = Trace()
    if not trace.exists:
        return skip(name, "no tracing")
    with Flow(family, dest) as flow, trace:
        came = flow.send()
        asked = trace.count()
        # TCP's acknowledgements, too, and what it sends while others are on their way.
        one, other = connected(BLUE, PARENT, family, dest, 7400)
        with one, other:
            exchange(one, other, 20)
    report(came == COUNT and asked == 0 and trace.count() <= 5, name, f"{asked} of {came} datagrams, {trace.count()} in all")
    return None


def unsummed(family, words, dest):
    """What the device does not pass on without a sum has one. TCP leaves that to devices."""
    name = f"{family.name}, shortcut {words}, to {dest}"
    raw = family.raw(dest)
    for setting, want in (("off", True), ("on", False)):
        BLUE.call("ethtool", "-K", "c0", "tx", setting)
        one, other = connected(BLUE, PARENT, family, dest, 7400)
        with one, other:
            one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            exchange(one, other)
            grace_period()
            exchange(one, other)
            tap, marker, whole = wire(PARENT, "p1"), os.urandom(8), set()
            for _ in range(COUNT):
                one.sendall(marker)
                came = receive(other, len(marker)) == marker
            for data in gather(tap, COUNT, marker):
                at = data.find(raw)
                if marker not in data or at < 0:
                    continue
                packet, source = data[at + len(raw) :], data[at - len(raw) : at]
                pseudo = source + raw + struct.pack("!IHBB", len(packet), 0, 0, socket.IPPROTO_TCP)
                whole.add(checksum(pseudo + packet) == 0)
            tap.close()
        same((came, whole), (True, {want}), f"{name}: sums by the child's device {setting}: whether they have one")


def stopped(flow, name, what, begin, end):
    """Something stops them at once, and not when it has gone."""
    begin()
    came = flow.send(3, True)
    end()
    same((came, flow.send(3)), (0, 3), f"{name}: {what} stops them, as long as it is there")


def acted_upon(family, words, dest, held):
    """What is on the way acts on them, from the next one on."""
    name = f"{family.name}, shortcut {words}, to {dest}"
    match = ("protocol", family.tc, "flower", "ip_proto", "udp", "dst_port", str(PORT), "action", "drop")

    def control(space, device, way):
        space.call("tc", "qdisc", "add", "dev", device, "clsact")
        space.call("tc", "filter", "add", "dev", device, way, *match)

    with Flow(family, dest) as flow:
        for space, device, way in ((BLUE, "c0", "egress"), (PARENT, "p1", "ingress")):
            stopped(flow, name, f"traffic control at the {way} of {device}",
                    lambda: control(space, device, way), lambda: space.call("tc", "qdisc", "del", "dev", device, "clsact"))
            rules = f"table netdev n {{ chain c {{ type filter hook {way} device {device} priority 0; udp dport {PORT} drop; }}\n}}\n"
            stopped(flow, name, f"a rule at the {way} of {device}", lambda: space.nft(rules), lambda: space.nft("delete table netdev n\n"))
        for space, hook in ((BLUE, "output"), (BLUE, "postrouting"), (PARENT, "prerouting"), (PARENT, "input")):
            rules = Rules(space, f"chain c {{ type filter hook {hook} priority 0; udp dport {PORT} drop; }}")
            stopped(flow, name, f"a rule of {hook} of {space.name}", rules.__enter__, rules.__exit__)
        stopped(flow, name, "a port that is down", lambda: PARENT.call("ip", "link", "set", "p1", "down"), lambda: up(family, held))
        BLUE.call("tc", "qdisc", "add", "dev", "c0", "root", "pfifo", "limit", "100")
        came = flow.send()
        stats = BLUE.call("tc", "-s", "qdisc", "show", "dev", "c0")
        report(came == COUNT and int(stats.split(" pkt")[0].split()[-1]) >= COUNT, f"{name}: a queue of c0 is on the way", stats)
        BLUE.call("tc", "qdisc", "del", "dev", "c0", "root")


def hold(family, held, how="replace"):
    """Whether the parent holds the child's address for it."""
    if held:
        PARENT.call(*family.ip("route", how, "local", family.child(1), "dev", "p1"))


def know(family, how="replace"):
    """The child knows its gateway's link address for good: from an address that the parent holds ARP is not
    answered."""
    known = ("lladdr", mac_of(PARENT, "p1"), "nud", "permanent") if how == "replace" else ()
    BLUE.call(*family.ip("neigh", how, family.port(1), "dev", "c0", *known))


def up(family, held):
    """The port can receive again, and has what it loses when it goes down."""
    PARENT.call("ip", "link", "set", "p1", "up")
    PARENT.call("ip", "-6", "addr", "replace", "fd00:1::1/64", "dev", "p1", "nodad")
    hold(family, held)
    ping(BLUE, family, family.port(1))


def talks(family, words, dest, held):
    """Connections, from either side; the parent's own to an address that it holds stay with it."""
    name = f"{family.name}, shortcut {words}"
    for one, other, to in ((BLUE, PARENT, dest), (PARENT, BLUE, family.child(1)))[: 1 if held else 2]:
        left, right = connected(one, other, family, to, 7400)
        with left, right:
            report(exchange(left, right, 5, 2_000_000), f"{name}: a connection to {to}")
    same(ping(BLUE, family, dest, 3), 3, f"{name}: the parent answers at {dest}")
    same(ping(BLUE, family, dest, 3, 1400), 3, f"{name}: ... as long packets as the pair takes")


def not_its_own(family, words, dest):
    """A packet from an address that is not the child's, of a flow like one that is known, stays behind."""
    name = f"{family.name}, shortcut {words}, to {dest}"
    source = "10.9.9.9" if family is V4 else "fd00:77::7"
    BLUE.call("ip", "addr", "add", family.host(source), "dev", "lo")
    with Flow(family, dest) as flow, BLUE.udp(family, address=source) as liar:
        before = statistics(BLUE, "c0")["tx_drop_spoofed"]
        for _ in range(3):
            liar.sendto(b"not mine", flow.dest)
        heard = drain(flow.there, SILENCE)
        refused = statistics(BLUE, "c0")["tx_drop_spoofed"] - before
    same((heard, refused), ([], 3), f"{name}: nothing arrives from {source}")
    BLUE.call("ip", "addr", "del", family.host(source), "dev", "lo")


def main(mode):
    """Each version, from addresses that are the child's and from one that the parent holds for it."""
    for family in FAMILIES:
        for words in ("none", "output", "netfilter", "all"):
            held = words in ("netfilter", "all")
            hold(family, held)
            if held and mode == "l2":
                know(family)
            shortcut("p1", words)
            for dest in (family.port(1), family.uplink):
                views(family, words, mode, dest)
                if words != "none":
                    unqueued(family, words, dest)
            acted_upon(family, words, family.uplink, held)
            if words != "all":
                unsummed(family, words, family.uplink)
            not_its_own(family, words, family.uplink)
            talks(family, words, family.uplink, held)
            hold(family, held, "del")
            if held and mode == "l2":
                know(family, "del")
    forwarding(0)
    shortcut("p1", "output")
    for family in FAMILIES:
        unqueued(family, "output", family.uplink)
    forwarding(1)
    shortcut("p1", "none")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
