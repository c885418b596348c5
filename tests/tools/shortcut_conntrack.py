#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""A parent that tracks connections, filters and translates them: its rules
decide on every connection, whatever shortcut the rest of it takes; and nothing
of what the parent noted on a packet is visible in the child.

usage: shortcut_conntrack.py [above]
"""

import errno
import json
import os
import select
import socket
import struct
import subprocess
import sys
import time
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from world import FAMILIES, PATIENCE, PORT, SILENCE, Space, V4, Wire, begin_second, connected, difference, drain, exchange, gather, mac_of, outside_wire, ping, places_taken, report, same, second, shortcut, skip, statistics, udp_packet, until

PARENT, OUTSIDE, BLUE, RED = (Space(name) for name in ("-", "outside", "blue", "red"))
SO_RCVMARK = 75
# How often a part is done that stalls have spoilt.
TRIES = 5
NETLINK_NETFILTER, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, NETLINK_BROADCAST_ERROR = 12, 270, 1, 4

# FORWARD accepts new connections to two ports, and what belongs to them.
FIREWALL = """
table inet way
delete table inet way
table inet way {{
    counter seen {{}}
    counter known {{}}
    chain f {{
        type filter hook forward priority 0; policy drop;
        {nft} daddr {child} counter name seen
        ct state established,related accept
        iifname p1 ct state new accept
        meta l4proto {{ tcp, udp }} th dport {{ 7001, 7777 }} accept
        {extra}
    }}
    chain i {{
        type filter hook input priority 0;
        {nft} daddr {child} ct state established counter name known
    }}
    {chains}
}}
"""


def firewall(family, extra="", chains=""):
    """Puts the rules in force, all counters at zero."""
    PARENT.nft(FIREWALL.format(nft=family.nft, child=family.child(1), extra=extra, chains=chains))


def counted(name="seen"):
    """What one counter has, which then begins anew."""
    text = PARENT.call("nft", "reset", "counter", "inet", "way", name)
    return int(text.split("packets", 1)[1].split()[0])


def place(words, connection=False, ahead=True):
    """Where packets of a connection that is known leave the parent, which tracks
    it; none where that is by the full path. `ahead`: they can be told before
    tracking sees them."""
    allowed = {"device", "socket", "route"} if words == "all" else set(words.split(","))
    if "device" in allowed and ahead:
        return "device"
    if connection and "socket" in allowed:
        return "socket"
    return "route" if "route" in allowed else None


def by(words, count, connection=False, ahead=True):
    """What so many packets of a known connection change in the port's statistics."""
    short = place(words, connection, ahead)
    return {short: count} if short else {}


def forget():
    """No connection is known any more."""
    PARENT.call("conntrack", "-F")


def forget_now():
    """... nor for the rest of a second in which `device` knew one."""
    forget()
    begin_second()


class Flow:
    """Datagrams from outside to blue, one at a time."""

    def __init__(self, family, port=PORT, dest=None, connect=False):
        self.family, self.port, self.dest = family, port, dest or family.child(1)
        self.here, self.there = OUTSIDE.udp(family), BLUE.udp(family, port)
        if connect:
            self.there.connect((family.outside, self.here.getsockname()[1]))
        self.source, self.size = None, 8

    def send(self, count=1, patience=PATIENCE, port=None):
        """Sends some, each after the other has arrived or not; how many did."""
        arrived = 0
        with suppress(OSError):
            drain(self.there)
        self.there.settimeout(patience)
        for _ in range(count):
            token = os.urandom(self.size)
            try:
                self.here.sendto(token, (self.dest, port or self.port))
                data, self.source = self.there.recvfrom(100)
                arrived += data == token
            except OSError:
                pass
        return arrived

    def answer(self):
        """Sends one back, which arrives."""
        self.there.sendto(b"answer", self.source[:2])
        self.here.settimeout(PATIENCE)
        return self.here.recv(100)

    def close(self):
        """Closes both ends."""
        self.here.close()
        self.there.close()


@contextmanager
def setting(name, value):
    """Of tracking in the parent."""
    path = f"/proc/sys/net/netfilter/nf_conntrack_{name}"
    with PARENT, open(path, encoding="ascii") as file:
        before = file.read()

    def write(text):
        with PARENT, open(path, "w", encoding="ascii") as file:
            file.write(text)

    write(str(value))
    try:
        yield
    finally:
        write(before)


def by_device(family, words, another, seconds):
    """The device place is before all tracking: it takes what tracking knows, but
    for one packet of each connection a second, so that this stays known."""
    name = f"{family.name}, shortcut {words}"
    shortcut("p1", words)
    firewall(family, "meta l4proto { icmp, icmpv6 } accept", "chain p { type filter hook prerouting priority 0; udp dport 7001 ct state new counter name known; }")
    with setting("udp_timeout", 4), setting("udp_timeout_stream", 4):
        for _ in range(TRIES):
            forget()
            for counter in ("seen", "known"):
                counted(counter)
            flow = Flow(family)
            first = flow.send(1)
            flow.answer()
            answered = time.monotonic()
            new = counted("known")
            before, begin, tried, sent, longest = places_taken("p1"), time.monotonic(), 0, 0, 0
            last = begin
            while last < begin + seconds:
                sent += flow.send(1)
                tried += 1
                time.sleep(0.02)
                last, previous = time.monotonic(), last
                longest = max(longest, last - previous)
            lasted = last - begin
            taken, seen = difference(places_taken("p1"), before), counted() - 1
            forgotten = counted("known")
            flow.close()
            # In a stall there is no packet in some second, and the connection may be over.
            stalled = longest > 0.9 or begin - answered > 2 or sent <= 4 * seconds
            if not stalled or (first, sent) != (1, tried):
                break
        same(first, 1, f"{name}: the first datagram of a tracked connection")
        same(new, 1, f"{name}: ... is a new one")
        others = taken.get(another, 0) if another else seen
        # The first after the answer, and one at the beginning of each second.
        right = taken.get("device", 0) + others == sent and lasted - 1 <= others <= lasted + 2
        report(right and sent > 4 * seconds, f"{name}: device takes all but one a second", taken, seen, sent, lasted, longest)
        same(forgotten, 0, f"{name}: tracking does not lose sight of the connection")
    before = places_taken("p1")
    same(ping(OUTSIDE, family, family.child(1), 3), 3, f"{name}: tracked echo requests are answered")
    same(difference(places_taken("p1"), before).get("device"), None, f"{name}: ... none by device")
    PARENT.nft("delete table inet way\n")
    before = places_taken("p1")
    flow = Flow(family)
    same(flow.send(2), 2, f"{name}: datagrams arrive once nothing is tracked")
    same(difference(places_taken("p1"), before), {"device": 2}, f"{name}: ... by device")
    flow.close()


def not_by_device(family):
    """What the parent's rules or its tracking may have to see each packet of."""
    shortcut("p1", "device")
    zone = "chain z { type filter hook prerouting priority raw; ct zone set 7; }"
    rewrite = (
        f"chain w {{ type filter hook prerouting priority mangle; udp dport 7009 udp dport set {PORT}; }}\n"
        f"chain v {{ type filter hook prerouting priority raw; iifname p1 udp sport {PORT} udp sport set 7009; }}"
    )
    cases = (
        ("nearly forgotten", {"udp_timeout_stream": 2, "udp_timeout": 2}, "", PORT),
        ("accounted", {"acct": 1}, "", PORT),
        ("in a zone", {}, zone, PORT),
        ("rewritten behind tracking's back", {}, rewrite, 7009),
    )
    for what, settings, chains, port in cases:
        name = f"{family.name}, a connection that is {what}"
        firewall(family, chains=chains)
        forget()
        with ExitStack() as stack:
            for key, value in settings.items():
                stack.enter_context(setting(key, value))
            flow = Flow(family)
            begin_second()
            before = places_taken("p1")
            same(flow.send(1, port=port), 1, f"{name}: a datagram arrives")
            flow.answer()
            same(flow.send(4, port=port), 4, f"{name}: others, after an answer")
            same((difference(places_taken("p1"), before), counted()), ({}, 5), f"{name}: none by device")
            if "acct" in settings:
                entry = PARENT.call("conntrack", "-L", "-f", f"ipv{family.version}", "-p", "udp", "--dport", str(PORT))
                report(" packets=5 " in entry, f"{name}: all are in the account", entry)
            if port != PORT:
                before = places_taken("p1")
                same(flow.send(1), 1, f"{name}: the first of the connection that it looks like arrives")
                same(difference(places_taken("p1"), before), {}, f"{name}: ... not by device")
            flow.close()
    firewall(family)
    forget()
    before = places_taken("p1")
    flow = Flow(family)
    same(flow.send(5), 5, f"{family.name}: datagrams that nobody has answered arrive")
    same((difference(places_taken("p1"), before), counted()), ({}, 5), f"{family.name}: ... none by device")
    # What has another length is marked: within one second there is no time for rules that change.
    PARENT.nft("table netdev m { chain i { type filter hook ingress device up0 priority -300; meta l4proto udp udp length 24 meta mark set 5; }\n}\n")
    flow.answer()
    for _ in range(TRIES):
        now, arrived, places = begin_second(), [], []
        # Answered ones, marked ones, and others.
        for flow.size in (8, 16, 8):
            before = places_taken("p1")
            arrived.append(flow.send(2))
            places.append(difference(places_taken("p1"), before))
        if second() == now or arrived != [2, 2, 2]:
            break
        forget_now()
        flow.send(1)
        flow.answer()
    same(arrived[0], 2, f"{family.name}: answered ones arrive")
    same(arrived[1], 2, f"{family.name}: and so do marked ones of the same connection")
    same(places[1], {}, f"{family.name}: ... none by device")
    same(arrived[2], 2, f"{family.name}: ... and others")
    same(places[2], {"device": 2}, f"{family.name}: ... which are by device")
    PARENT.nft("delete table netdev m\n")
    flow.close()
    PARENT.nft("delete table inet way\n")


def beside(flow, change):
    """Whether it was done within a second of tracking's, how many datagrams arrive before and after a
    change of another child's device, and how they were taken."""
    # The first in a second passes tracking.
    now, arrived, before = begin_second(), flow.send(1), statistics(PARENT, "p1")
    arrived += flow.send(1)
    RED.call("ip", "link", "set", *change.split())
    arrived += flow.send(1)
    taken = difference(statistics(PARENT, "p1"), before)
    taken = {key: taken.get(key, 0) for key in ("rx_device", "fall_tracked")}
    return second() == now, arrived, taken


def beside_restless(family):
    """What another child does to its own device ends nothing that is known of this one."""
    for port in ("p1", "p2"):
        shortcut(port, "device")
    firewall(family)
    flow = Flow(family)
    flow.send(1)
    flow.answer()
    events = {
        "has another MTU": ("c0 mtu 1400", "c0 mtu 1500"),
        "has another name": ("c0 name c9", "c9 name c0"),
        "is down and up": ("c0 down", "c0 up"),
    }
    for what, changes in events.items():
        for _ in range(TRIES):
            went = [beside(flow, change) for change in changes]
            if all(each[0] for each in went):
                break
        want = (3, {"rx_device": 2, "fall_tracked": 0})
        same([each[1:] for each in went], [want] * len(changes), f"{family.name}, another child's device {what}: datagrams go on by device")
    flow.close()
    PARENT.nft("delete table inet way\n")
    for each in FAMILIES:
        RED.call(*each.ip("addr", "replace", f"{each.child(2)}/{24 if each is V4 else 64}", "dev", "c0"))
        RED.call(*each.ip("route", "replace", "default", "via", each.port(2)))
    shortcut("p2", "none")


class Forged:
    """Datagrams as outside sends them from one port, put on a wire, to a socket of blue's."""

    SPORT = 5000

    def __init__(self, family):
        self.family = family
        self.here, self.there = OUTSIDE.udp(family, self.SPORT), BLUE.udp(family, PORT)

    def by(self, wire):
        """Sends one there; whether it arrives, and by which places."""
        before = places_taken("p1")
        wire.send(udp_packet(self.family, self.family.outside, self.family.child(1), b"forged", sport=self.SPORT))
        return gather(self.there, 1, b"forged") == [b"forged"], difference(places_taken("p1"), before)

    def answer(self):
        """The child answers."""
        self.there.sendto(b"answer", (self.family.outside, self.SPORT))
        self.here.recv(100)

    def close(self):
        """Closes both ends."""
        self.here.close()
        self.there.close()


def renumbered(family):
    """The number of a device that is gone is another one's at once, whose packets are not
    those of the connections that came by the first."""
    name = f"{family.name}, another device of the same number"

    def made(device, tag):
        PARENT.call("ip", "link", "add", "link", "up0", "name", device, "index", "777", "type", "vlan", "id", tag)
        PARENT.call("ip", "link", "set", device, "up")

    for tag in ("5", "6"):
        OUTSIDE.call("ip", "link", "add", "link", "out0", "name", f"out{tag}", "type", "vlan", "id", tag)
        OUTSIDE.call("ip", "link", "set", f"out{tag}", "up")
    made("lan", "5")
    shortcut("p1", "device")
    firewall(family)
    lan, guest = (Wire(OUTSIDE, device, mac_of(PARENT, "up0")) for device in ("out5", "out6"))
    forged = Forged(family)
    for _ in range(TRIES):
        forget_now()
        first = forged.by(lan)
        forged.answer()
        now = begin_second()
        others = [forged.by(lan) for _ in range(2)]
        if second() == now or not all(arrived for arrived, _ in (first, *others)):
            break
    same(first, (True, {}), f"{name}: a first datagram by the one")
    same(others[0], (True, {}), f"{name}: another one after an answer")
    same(others[1], (True, {"device": 1}), f"{name}: ... and the next, by device")
    PARENT.call("ip", "link", "del", "lan")
    made("guest", "6")
    same(forged.by(guest), (True, {}), f"{name}: the first by the other, by the rules")
    forged.close()
    PARENT.call("ip", "link", "del", "guest")
    for tag in ("5", "6"):
        OUTSIDE.call("ip", "link", "del", f"out{tag}")
    PARENT.nft("delete table inet way\n")


def of_another_namespace(family):
    """Who sends by a device above the port brings the connections that his own namespace tracks,
    and the numbers of its devices: neither says anything of what the parent tracks."""
    name = f"{family.name}, a connection of another namespace"
    net = "ip" if family is V4 else "ip6"
    for space in ("strange", "source"):
        PARENT.call("ip", "netns", "add", space)
    strange, source = Space("strange"), Space("source")
    with PARENT:
        number = socket.if_nametoindex("up0")
    strange.call("ip", "link", "add", "v0", "index", str(number), "type", "veth", "peer", "name", "v1", "netns", "source")
    PARENT.call("ip", "link", "add", "link", "p1", "name", "mv0", "netns", "strange", "type", "macvlan", "mode", "bridge")
    for space, device in ((strange, "v0"), (strange, "mv0"), (source, "v1")):
        space.call("ip", "link", "set", device, "up")
    strange.sysctl(ipv4__ip_forward=1, ipv6__conf__all__forwarding=1)
    strange.call("ip", "addr", "add", *(("10.0.1.77/24",) if family is V4 else ("fd00:1::77/64",)), "dev", "mv0")
    strange.nft(f"table {net} t {{ chain c {{ type filter hook forward priority 0; ct state invalid drop; }}\n}}\n")
    entry = ("-s", family.outside, "-d", family.child(1), "-p", "udp", "--sport", str(Forged.SPORT), "--dport", str(PORT))
    strange.call("conntrack", "-I", *entry, "-t", "600", "-u", "SEEN_REPLY,ASSURED")
    shortcut("p1", "device")
    firewall(family)
    forget()
    forged = Forged(family)
    above, outside = Wire(source, "v1", mac_of(strange, "v0")), outside_wire(PARENT, OUTSIDE)
    same(forged.by(above), (True, {}), f"{name}: its datagram arrives by a macvlan above the port")
    begin_second()
    same(forged.by(above), (True, {}), f"{name}: and another one")
    same(forged.by(outside), (True, {}), f"{name}: a first one from outside, by the rules")
    same(counted(), 1, f"{name}: which see it")
    forged.close()
    for space in ("strange", "source"):
        PARENT.call("ip", "netns", "del", space)
    PARENT.nft("delete table inet way\n")


def beside_others(family):
    """Where FORWARD lets nothing in, what a child has begun changes nothing of
    that, whatever hooks other ports or other words have brought."""
    for words, beside in (("device", "route"), ("device,output", "none"), ("device,socket", "none")):
        name = f"{family.name}, shortcut {words} beside {beside}"
        shortcut("p1", words)
        shortcut("p2", beside)
        PARENT.nft("table inet way { chain f { type filter hook forward priority 0; policy drop; ct state invalid drop; iifname p1 accept; }\n}\n")
        forget()
        before = places_taken("p1")
        with OUTSIDE.udp(family, 7900) as far, BLUE.udp(family) as near:
            near.sendto(b"hello", (family.outside, 7900))
            source = far.recvfrom(100)[1]
            near.settimeout(SILENCE)
            got = 0
            for _ in range(5):
                far.sendto(b"answer", source[:2])
                try:
                    got += len(near.recv(100))
                except OSError:
                    pass
        same(got, 0, f"{name}: FORWARD refuses each answer")
        same(difference(places_taken("p1"), before).get("device"), None, f"{name}: none comes by device")
        PARENT.nft("delete table inet way\n")
        shortcut("p2", "none")


def tcp_by_device(family, words):
    """Tracking sees where a connection ends, and takes what it has not seen of it."""
    name = f"{family.name}, shortcut {words}"

    def open_connections():
        return PARENT.call("conntrack", "-L", "-f", f"ipv{family.version}", "-p", "tcp", "--state", "ESTABLISHED")

    shortcut("p1", words)
    firewall(family)
    forget()
    before = places_taken("p1")
    here, there = connected(OUTSIDE, BLUE, family, family.child(1), PORT)
    with here, there:
        # Where tracking misses what acknowledges an answer it forgets an idle connection in minutes.
        begin_second()
        report(exchange(here, there, 1), f"{name}: one request of a tracked TCP connection")
        report(int(open_connections().split()[2]) > 400_000, f"{name}: it may be idle for days", open_connections())
        begin, right = time.monotonic(), True

        # On a busy machine few large packets are many bytes: there have to be enough to judge by.
        def few():
            return sum(difference(places_taken("p1"), before).values()) // 2 <= 20

        while right and (time.monotonic() < begin + 1.2 or few() and time.monotonic() < begin + PATIENCE):
            right = exchange(here, there, 8, 300_000)
        report(right, f"{name}: many windows")
        taken = difference(places_taken("p1"), before)
        report(taken.get("device", 0) > sum(taken.values()) // 2 > 20, f"{name}: ... by device", taken)
        report(int(open_connections().split()[2]) > 400_000, f"{name}: then, too, it may be idle for days", open_connections())

    until(lambda: not open_connections())
    same(open_connections(), "", f"{name}: tracking has seen its end")
    here, there = connected(OUTSIDE, BLUE, family, family.child(1), PORT)
    with there:
        report(exchange(here, there, 3, 1000), f"{name}: another connection")
        here.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        here.close()
        there.settimeout(PATIENCE)
        try:
            got = there.recv(1)
            report(False, f"{name}: its reset arrives", got)
        except ConnectionResetError:
            report(True, f"{name}: its reset arrives")
    until(lambda: not open_connections())
    same(open_connections(), "", f"{name}: ... and tracking has seen it")
    PARENT.nft("delete table inet way\n")


def cut_off(flow, words):
    """How many datagrams arrive when the connection has been cut; one that is
    known ahead of tracking is so for the rest of the second."""
    if place(words) == "device":
        begin = time.monotonic()
        while time.monotonic() < begin + 1:
            flow.send(1, SILENCE)
            time.sleep(0.02)
    return flow.send(2, SILENCE)


def bargain(family, words):
    """The first packet of a connection is FORWARD's, the others are not."""
    name = f"{family.name}, shortcut {words}"
    for _ in range(TRIES):
        firewall(family)
        forget()
        now, before = begin_second(), places_taken("p1")
        flow = Flow(family, connect=words == "socket")
        first = flow.send(1)
        flow.answer()
        others, places = flow.send(4), difference(places_taken("p1"), before)
        same_second = second() == now
        flow.close()
        if same_second or (first, others) != (1, 4):
            break
    same(first, 1, f"{name}: a tracked datagram arrives")
    same(others, 4, f"{name}: and others, after an answer")
    # By device what comes after one that tracking has seen answered.
    taken = by(words, 4, words == "socket")
    if place(words) == "device":
        taken = {"device": 3} | by(words, 1, ahead=False)
    same(counted(), 2 if words == "device" else 1, f"{name}: FORWARD sees the first, and no more than it must")
    same(places, taken, f"{name}: the others take the shortcut")

    before = places_taken("p1")
    here, there = connected(OUTSIDE, BLUE, family, family.child(1), PORT)
    with here, there:
        begin = time.monotonic()
        report(exchange(here, there, 5, 100_000), f"{name}: a tracked TCP connection works")
        lasted = time.monotonic() - begin
        seen, taken = counted(), difference(places_taken("p1"), before)
        # The socket of a connection that is not complete yet is not there for certain.
        most = {"socket": 2, "device": 3 + lasted}.get(words, 1)
        # With all places there are others for what is not known yet, or not any more.
        elsewhere = {"route", "socket"} if words == "all" else set()
        right = set(taken) - elsewhere == {place(words, True)} and sum(taken.values()) > 5
        report(1 <= seen <= most and right, f"{name}: FORWARD sees its beginning only", seen, taken)


def input_sees_all(family):
    """The netfilter place is behind INPUT: all of it is the parent's to judge."""
    PARENT.call(*family.ip("route", "add", "local", family.child(1), "dev", "p1"))
    shortcut("p1", "netfilter")
    firewall(family)
    forget()
    name = f"{family.name}, shortcut netfilter"
    flow = Flow(family)
    same(flow.send(1), 1, f"{name}: a tracked datagram arrives")
    try:
        flow.there.sendto(b"answer", (flow.source or ("", 0))[:2])
        report(flow.here.recv(100) == b"answer", f"{name}: its answer too")
    except OSError as error:
        report(False, f"{name}: its answer too", error)
    same(flow.send(5), 5, f"{name}: more of them")
    same(counted("known"), 5, f"{name}: INPUT knows their connection")
    flow.close()
    stop = "chain s { type filter hook input priority 10; udp dport 7001 drop; }"
    firewall(family, chains=stop)
    flow = Flow(family)
    same(flow.send(2, SILENCE), 0, f"{name}: what INPUT drops the child does not get")
    flow.close()
    shortcut("p1", "none")
    PARENT.call(*family.ip("route", "del", "local", family.child(1), "dev", "p1"))


def refusals(family, words):
    """A connection that FORWARD refuses stays refused, until it does not."""
    name = f"{family.name}, shortcut {words}"
    firewall(family)
    forget()
    flow = Flow(family, 7002)
    same(flow.send(5, SILENCE), 0, f"{name}: a refused connection's datagrams do not arrive")
    same(counted(), 5, f"{name}: FORWARD refuses each")
    with OUTSIDE.socket(family.af, socket.SOCK_STREAM) as sock, BLUE.listener(family, 7002):
        sock.settimeout(SILENCE)
        try:
            sock.connect((family.child(1), 7002))
            report(False, f"{name}: a refused TCP connection is not made")
        except OSError:
            report(True, f"{name}: a refused TCP connection is not made")
    firewall(family, extra="udp dport 7002 accept")
    same(flow.send(3), 3, f"{name}: from when FORWARD accepts it, it arrives")
    flow.close()


def cutting(family, words):
    """What cuts a connection that is established: rules before routing at once,
    FORWARD's once the connection is forgotten."""
    name = f"{family.name}, shortcut {words}"
    firewall(family)
    forget()
    flow = Flow(family, connect=words == "socket")
    short = place(words, words == "socket")
    same(flow.send(1), 1, f"{name}: a new connection")
    flow.answer()
    same(flow.send(3), 3, f"{name}: ... that is established")
    PARENT.nft("table inet cut { chain c { type filter hook prerouting priority 0; udp dport 7001 drop; }\n}\n")
    same(cut_off(flow, words), 0, f"{name}: a new rule before routing cuts it")
    PARENT.nft("delete table inet cut\n")
    same(flow.send(2), 2, f"{name}: no longer than the rule is there")
    PARENT.nft("table inet cut { chain c { type filter hook forward priority -10; udp dport 7001 drop; }\n}\n")
    counted()
    if words == "device":
        same(cut_off(flow, words), 0, f"{name}: a new rule in FORWARD cuts it, which sees a packet a second")
    elif short:
        same(flow.send(2), 2, f"{name}: a new rule in FORWARD is for new connections")
        forget()
        same(cut_off(flow, words), 0, f"{name}: ... which it is once the old one is forgotten")
    else:
        same(flow.send(2, SILENCE), 0, f"{name}: by the full path a new rule in FORWARD cuts it")
    PARENT.nft("delete table inet cut\n")
    same(flow.send(2), 2, f"{name}: ... and is again without the rule")
    flow.close()


NAT = """
chain d {{ type nat hook prerouting priority dstnat; {nft} daddr {uplink} meta l4proto {{ tcp, udp }} th dport 8080 dnat {nft} to {target}:7777; }}
chain s {{ type nat hook postrouting priority srcnat; {rules} }}
"""


def published(family, words):
    """DNAT from the parent's address; the rest of the connection is shortcut."""
    name = f"{family.name}, shortcut {words}"
    target = family.child(1) if family is V4 else f"[{family.child(1)}]"
    values = {"nft": family.nft, "uplink": family.uplink, "target": target}
    firewall(family, chains=NAT.format(**values, rules="oifname up0 masquerade;"))
    forget()
    before = places_taken("p1")
    connect = words == "socket"
    flow = Flow(family, 7777, family.uplink, connect)
    same(flow.send(5, port=8080), 5, f"{name}: datagrams to a published port arrive")
    same(counted(), 1 if place(words, connect, ahead=False) else 5, f"{name}: FORWARD sees the first of them, or all by the full path")
    same(difference(places_taken("p1"), before), by(words, 4, connect, ahead=False), f"{name}: the others take the shortcut, if one is right")
    flow.close()
    listener = BLUE.listener(family, 7777)
    for space, whose in ((OUTSIDE, ""), (RED, " of a sibling")):
        counted()
        before = places_taken("p1")
        with space.socket(family.af, socket.SOCK_STREAM) as here:
            here.connect((family.uplink, 8080))
            with listener.accept()[0] as there:
                report(exchange(here, there, 3, 100_000), f"{name}: TCP{whose} to a published port")
                seen, taken = counted(), difference(places_taken("p1"), before)
        # The socket of a connection that is not complete yet is not there for certain.
        short, rest = place(words, True, ahead=False), {"route"} if words in ("all", "route,socket,output") else set()
        right = short in taken and not set(taken) - {short} - rest and seen <= 2 if short else not taken and seen > 5
        report(right, f"{name}: ... FORWARD sees its beginning only, if there is a shortcut for the rest", seen, taken)
    listener.close()

    # The child's own connections, seen as the parent's: the answers come to its
    # address, are translated before routing, and need nothing after it.
    with OUTSIDE.udp(family, 7900) as far, BLUE.udp(family) as near:
        near.sendto(b"hello", (family.outside, 7900))
        source = far.recvfrom(100)[1]
        if connect:
            near.connect((family.outside, 7900))
        same(source[0], family.uplink, f"{name}: the child is seen as the parent")
        before = places_taken("p1")
        got = 0
        for number in range(5):
            far.sendto(b"%d" % number, source)
            got += near.recv(100) == b"%d" % number
        same(got, 5, f"{name}: answers to a masqueraded connection arrive")
        same(difference(places_taken("p1"), before), by(words, 5, connect, ahead=False), f"{name}: ... by the shortcut, if one is right")

    # Source translation towards the child: every packet needs what is done last.
    firewall(family, chains=NAT.format(**values, rules="oifname p1 masquerade;"))
    forget()
    before = places_taken("p1")
    flow = Flow(family, 7777, family.uplink)
    same(flow.send(5, port=8080), 5, f"{name}: datagrams that need source translation arrive")
    same(flow.source and flow.source[0], family.port(1), f"{name}: ... translated to the last")
    same(difference(places_taken("p1"), before), {}, f"{name}: ... by the full path")
    flow.close()
    listener = BLUE.listener(family, 7777)
    with OUTSIDE.socket(family.af, socket.SOCK_STREAM) as here:
        here.connect((family.uplink, 8080))
        with listener.accept()[0] as there:
            same(there.getpeername()[0], family.port(1), f"{name}: TCP with both translations: the source")
            report(exchange(here, there, 3, 100_000), f"{name}: TCP with both translations")
    listener.close()


def untracked(family, words):
    """What the parent does not track goes by its route from the first packet on, and not by device."""
    firewall(family, chains="chain r { type filter hook prerouting priority raw; udp dport 7001 notrack; }")
    before = places_taken("p1")
    flow = Flow(family, connect=words == "socket")
    same(flow.send(5), 5, f"{family.name}, shortcut {words}: untracked datagrams arrive")
    same(difference(places_taken("p1"), before), by(words, 5, words == "socket", ahead=False), f"{family.name}, shortcut {words}: ... all by a shortcut that is behind the rule")
    flow.close()


def marks_of(sock, count):
    """The marks of packets as the socket sees them."""
    marks = set()
    for _ in range(count):
        _, ancillary, _, _ = sock.recvmsg(100, socket.CMSG_SPACE(4))
        marks |= {struct.unpack("=I", data)[0] for level, kind, data in ancillary if (level, kind) == (socket.SOL_SOCKET, socket.SO_MARK)}
    return marks


def unmarked(flow, name):
    """Five datagrams come without a mark to a socket that is told of marks."""
    flow.there.setsockopt(socket.SOL_SOCKET, SO_RCVMARK, 1)
    for number in range(5):
        flow.here.sendto(b"%d" % number, (flow.dest, flow.port))
    try:
        same(marks_of(flow.there, 5), {0}, f"{name}: the child's socket sees no mark")
    except OSError as error:
        report(False, f"{name}: the child's socket sees no mark", error)


def scrubbed_untracked(family):
    """Of what a rule of the uplink has noted on a packet nothing is the child's to see, where nobody
    tracks, and it goes by device as well."""
    note = f"{family.nft} daddr {family.child(1)} udp dport {PORT}"
    PARENT.nft(
        f"table netdev m {{ chain i {{ type filter hook ingress device up0 priority -300; {note} meta mark set 0x55 meta priority set 66; }}\n}}\n"
        f"table inet m {{ counter noted {{}}\n"
        f"chain p {{ type filter hook prerouting priority 0; {note} meta mark 0x55 meta priority 66 counter name noted; }}\n}}\n"
    )
    BLUE.nft(
        "table inet look {\ncounter came {}\ncounter marked {}\ncounter ranked {}\n"
        f"chain c {{ type filter hook prerouting priority raw; {note} jump d; }}\n"
        "chain d { counter name came\nmeta mark != 0 counter name marked\nmeta priority != none counter name ranked; }\n}\n"
    )

    def count(space, table):
        """What the counters have, which then begin anew."""
        entries = json.loads(space.call("nft", "-j", "reset", "counters", "table", "inet", table))["nftables"]
        return {entry["counter"]["name"]: entry["counter"]["packets"] for entry in entries if "counter" in entry}

    for words in ("none", "device", "route", "socket", "all"):
        name = f"{family.name}, shortcut {words}, untracked"
        shortcut("p1", words)
        flow, before = Flow(family, connect=words == "socket"), places_taken("p1")
        unmarked(flow, name)
        flow.close()
        same(difference(places_taken("p1"), before), by(words, 5, words == "socket"), f"{name}: ... which all take")
        same(count(BLUE, "look"), {"came": 5, "marked": 0, "ranked": 0}, f"{name}: the child's rules see neither mark nor priority")
        same(count(PARENT, "m"), {"noted": 0 if "device" in by(words, 5) else 5}, f"{name}: what the parent's rules see, who gave it both")
    for space, table in ((PARENT, "netdev m"), (PARENT, "inet m"), (BLUE, "inet look")):
        space.nft(f"delete table {table}\n")
    shortcut("p1", "none")


def scrubbing(family, words, local):
    """Mark, priority and connection of the parent's are not the child's to see."""
    name = f"{family.name}, shortcut {words}"
    if local:
        PARENT.call(*family.ip("route", "add", "local", family.child(1), "dev", "p1"))
    shortcut("p1", words)
    firewall(
        family,
        chains="chain m { type filter hook prerouting priority mangle;"
        " udp dport 7001 meta mark set 0x55 ct mark set 0x66 meta priority set 66; }",
    )
    forget()
    BLUE.nft(
        "table inet look\ndelete table inet look\ntable inet look {\n"
        + "".join(f"counter {key} {{}}\n" for key in ("marked", "ranked", "ctmarked", "fresh", "old", "bad"))
        + "chain c { type filter hook prerouting priority mangle;\n"
        "meta mark != 0 counter name marked\nmeta priority != 0 counter name ranked\nct mark != 0 counter name ctmarked\n"
        "udp dport 7001 ct state new counter name fresh\nudp dport 7001 ct state established counter name old\n"
        "ct state invalid counter name bad\n}\n}\n"
    )
    flow, before = Flow(family, connect=True), places_taken("p1")
    unmarked(flow, name)
    # The first is by the full path, unless it is INPUT that judges it; none by device that nobody answers.
    want = {"netfilter": 5} if local else by(words, 4, True, ahead=False)
    same(difference(places_taken("p1"), before), want, f"{name}: ... which these take")
    text = BLUE.call("nft", "list", "counters", "table", "inet", "look")
    got = {part.split()[0]: int(part.split("packets", 1)[1].split()[0]) for part in text.split("counter ")[1:]}
    want = {"marked": 0, "ranked": 0, "ctmarked": 0, "old": 0, "bad": 0}
    same({key: got[key] for key in want}, want, f"{name}: the child's rules see nothing of the parent's")
    if not local:
        same(got["fresh"], 5, f"{name}: to the child's own tracking it is one connection that nobody answered")
    flow.close()
    BLUE.nft("delete table inet look\n")
    shortcut("p1", "none")
    if local:
        PARENT.call(*family.ip("route", "del", "local", family.child(1), "dev", "p1"))


def childs_firewall(family, words):
    """A child that tracks and filters for itself is no worse off."""
    BLUE.nft(
        "table inet own { chain i { type filter hook input priority 0; policy drop;\n"
        "ct state invalid counter drop\nct state established,related accept\n"
        "meta l4proto { icmpv6, icmp } accept\ntcp dport 7001 accept\n}\n}\n"
    )
    name = f"{family.name}, shortcut {words}, the child has a firewall"
    here, there = connected(OUTSIDE, BLUE, family, family.child(1), PORT)
    with here, there:
        report(exchange(here, there, 3, 100_000), f"{name}: a connection that it allows")
    here, there = connected(BLUE, OUTSIDE, family, family.outside, 7800)
    with here, there:
        report(exchange(here, there, 3, 100_000), f"{name}: a connection of its own")
    flow = Flow(family, 7002)
    same(flow.send(2, SILENCE), 0, f"{name}: what it does not allow")
    flow.close()
    BLUE.nft("delete table inet own\n")


def agreed_on(family, words):
    """Rules of FORWARD see both packets by which a connection of TCP begins: in each direction they
    may say how large segments are. Unless the child's packets go by `output`, past FORWARD."""
    name = f"{family.name}, shortcut {words}: FORWARD says how large segments are"
    PARENT.nft(
        """table inet clamp {
        chain f { type filter hook forward priority 0; ct state established accept; }
        chain s { type filter hook forward priority mangle; tcp flags syn tcp option maxseg size set 900; }
        }
        """
    )
    for ends in ((BLUE, OUTSIDE, family.outside), (OUTSIDE, BLUE, family.child(1))):
        here, there = connected(*ends[:2], family, ends[2], port=7961)
        with here, there:
            report(exchange(here, there, 2, 100_000), f"{name}: all arrives")
            sizes = [sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG) <= 900 for sock in (here, there)]
            # Each is told by the other end's packet.
            want = [end is BLUE or words != "all" for end in ends[:2]]
            same(sizes, want, f"{name}, from {ends[0].name}")
    PARENT.nft("delete table inet clamp\n")


# Requests of `ipvsadm`. C: `linux/ip_vs.h`.
IPVS_ADD, IPVS_FLUSH, IPVS_ADD_SERVER = (1152 + number for number in (2, 5, 7))


def balanced(words):
    """IPVS translates what a server answers by a hook of its own at FORWARD, and no mark of NAT on the
    connection tells of that."""
    name = f"IPv4, shortcut {words}: a service of IPVS"
    virtual, port = "10.96.0.1", 7962
    PARENT.call("modprobe", "-q", "ip_vs", check=False)
    if not Path("/proc/net/ip_vs").exists():
        return skip(name, "this kernel has none")
    PARENT.call("ip", "addr", "replace", f"{virtual}/32", "dev", "lo")
    PARENT.nft("table inet t { chain f { type filter hook forward priority 0; ct state established accept; }\n}\n")
    PARENT.sysctl(ipv4__vs__conntrack=1)
    service = struct.pack("=H2x4sHxxI16sII4s", socket.IPPROTO_TCP, V4.raw(virtual), socket.htons(port), 0, b"rr", 0, 0, b"\xff" * 4)
    server = struct.pack("=4sHxxIiII", V4.raw(V4.outside), socket.htons(7963), 0, 1, 0, 0)
    with PARENT.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW) as control:
        control.setsockopt(socket.IPPROTO_IP, IPVS_ADD, service)
        control.setsockopt(socket.IPPROTO_IP, IPVS_ADD_SERVER, service + server)
        with OUTSIDE.listener(V4, 7963) as listener, BLUE.socket(socket.AF_INET, socket.SOCK_STREAM) as child:
            try:
                child.connect((virtual, port))
                with listener.accept()[0] as there:
                    report(exchange(child, there, 3, 100_000), name)
            except OSError as error:
                report(False, name, error)
        control.setsockopt(socket.IPPROTO_IP, IPVS_FLUSH, b"")
    PARENT.nft("delete table inet t\n")
    PARENT.call("ip", "addr", "del", f"{virtual}/32", "dev", "lo")
    return None


def no_entries_left():
    """Every connection that was tracked can be forgotten."""
    forget()

    def count():
        with PARENT, open("/proc/sys/net/netfilter/nf_conntrack_count", encoding="ascii") as file:
            return int(file.read())

    until(lambda: not count())
    same(count(), 0, "no connection is left once all are forgotten")


def chapter(act, *args):
    """Runs a part; traffic that is lost is a result too."""
    try:
        act(*args)
    except OSError as error:
        report(False, f"{act.__name__}: traffic gets through", f"{[str(getattr(arg, 'name', arg)) for arg in args]}: {error}")


def somebody_listens():
    """Whether anybody here has joined groups of netfilter's messages."""
    netfilter = "12"
    with open("/proc/net/netlink", encoding="ascii") as file:
        rows = [line.split() for line in file]
    return any(row[1] == netfilter and row[3] != "00000000" for row in rows)


def told(family):
    """What becomes of a connection is told to who listens, by shortcuts as without them."""
    states = {}
    PARENT.nft("table inet way { chain f { type filter hook forward priority 0; ct state invalid drop; }\n}\n")
    for words in ("none", "route", "output", "all"):
        for port in ("p1", "p2"):
            shortcut(port, words)
        listener = subprocess.Popen(["conntrack", "-E", "-f", f"ipv{family.version}", "-p", "tcp", "--dport", "7934"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        report(until(somebody_listens), f"{family.name}, shortcut {words}: somebody listens")
        here, there = connected(BLUE, RED, family, family.child(2), 7934)
        report(exchange(here, there, 3), f"{family.name}, shortcut {words}: a connection between children")
        here.close()
        there.close()
        entry = ("conntrack", "-L", "-f", f"ipv{family.version}", "-p", "tcp", "--dport", "7934")
        until(lambda: "TIME_WAIT" in PARENT.call(*entry))
        # What is known of it is told of a little later.
        text, end = b"", time.monotonic() + PATIENCE
        while b"TIME_WAIT" not in text and select.select([listener.stdout], [], [], max(0, end - time.monotonic()))[0]:
            text += (piece := os.read(listener.stdout.fileno(), 1 << 16))
            if not piece:
                break
        listener.terminate()
        lines = (text + listener.communicate()[0]).decode().splitlines()
        states[words] = [next((word for word in line.split() if word.isupper() and "_" in word or word in ("ESTABLISHED", "[ASSURED]")), "") for line in lines]
    # Whether an acknowledgement goes alone, so that there is one more, is a matter of time.
    for words, heard in states.items():
        missing = {"SYN_RECV", "ESTABLISHED", "FIN_WAIT", "TIME_WAIT"} - set(heard)
        same(missing, set(), f"{family.name}, shortcut {words}: who listens hears of a connection")
    for port in ("p1", "p2"):
        shortcut(port, "none")
    PARENT.nft("delete table inet way\n")
    PARENT.call("conntrack", "-F")


def told_late(family):
    """What a listener had no room for tracking tells it with the connection's next packet."""
    conntrack_new, conntrack_update, port = 1, 2, 7935
    mark = struct.pack("=HH", 6, 3) + struct.pack("!H", port)  # CTA_PROTO_DST_PORT
    PARENT.nft("table inet way { chain f { type filter hook forward priority 0; ct state invalid drop; }\n}\n")
    for words in ("none", "route", "all"):
        shortcut("p1", words)
        listener = PARENT.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_NETFILTER)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
        listener.setsockopt(SOL_NETLINK, NETLINK_BROADCAST_ERROR, 1)
        listener.bind((0, 0))
        here, there = OUTSIDE.udp(family), BLUE.udp(family, port)
        here.connect((family.child(1), port))
        with listener, here, there:
            there.settimeout(PATIENCE)
            for group in (conntrack_new, conntrack_update):
                listener.setsockopt(SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, group)
            here.send(b"question")
            _, back = there.recvfrom(100)
            heard(listener)
            # Others' news, until there is no room.
            for other in range(20):
                with OUTSIDE.udp(family) as sock:
                    sock.sendto(b"news", (family.child(1), 7936 + other))
            time.sleep(SILENCE)
            there.sendto(b"answer", back)
            gather(here, 1)
            early = heard(listener)
            here.send(b"and more")
            gather(there, 1)
            late = b"".join(gather(listener, 1, mark))
            same((mark in early, mark in late), (False, True), f"{family.name}, shortcut {words}: what a listener had no room for it hears later")
    shortcut("p1", "none")
    PARENT.nft("delete table inet way\n")
    PARENT.call("conntrack", "-F")


def heard(listener):
    """What a listener has, who may have missed something."""
    got = b""
    while select.select([listener], [], [], SILENCE)[0]:
        try:
            got += listener.recv(1 << 16)
        except OSError as error:
            if error.errno != errno.ENOBUFS:
                raise
    return got


def main():
    """All of it; or what is of devices above an Ethernet port."""
    if sys.argv[1:] == ["above"]:
        for family in FAMILIES:
            chapter(of_another_namespace, family)
        return
    for family in FAMILIES:
        for words, another, seconds in (("device", None, 5), ("device,route", "route", 2), ("all", "route", 2)):
            chapter(by_device, family, words, another, seconds)
        for words in ("device", "all"):
            chapter(tcp_by_device, family, words)
        chapter(not_by_device, family)
        chapter(beside_others, family)
        chapter(beside_restless, family)
        chapter(renumbered, family)
        for words in ("route", "socket", "all", "device", "netfilter", "route,socket,output"):
            shortcut("p1", words)
            if place(words, True):
                chapter(bargain, family, words)
                chapter(untracked, family, words)
            chapter(refusals, family, words)
            chapter(cutting, family, words)
            chapter(published, family, words)
            PARENT.nft("delete table inet way\n")
        chapter(input_sees_all, family)
        for words, local in (("none", False), ("device", False), ("route", False), ("socket", False), ("netfilter", True)):
            chapter(scrubbing, family, words, local)
        PARENT.nft("delete table inet way\n")
        chapter(scrubbed_untracked, family)
        for words in ("device", "route", "socket", "all"):
            shortcut("p1", words)
            chapter(childs_firewall, family, words)
        for words in ("none", "route", "socket", "all"):
            shortcut("p1", words)
            chapter(agreed_on, family, words)
            if family is V4:
                chapter(balanced, words)
        shortcut("p1", "none")
        told(family)
        told_late(family)
    no_entries_left()


if __name__ == "__main__":
    sys.exit(main())
