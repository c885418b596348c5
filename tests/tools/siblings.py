#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""What a child sends to another child of its parent, looked at from everywhere.

usage: siblings.py frames|packets|nested

frames and packets want the world of shortcuts.sh with a third child, `green`,
behind the port `p3`; nested wants children of children besides.
"""

import contextlib
import errno
import json
import os
import socket
import struct
import subprocess
import sys
import time

from output import Flow as Flood
from output import Rules, option
from shortcut_stack import our_hooks
from shortcut_views import Tap
from world import (
    FAMILIES,
    PATIENCE,
    PORT,
    SILENCE,
    V4,
    V6,
    Ears,
    Space,
    connected,
    difference,
    drain,
    exchange,
    gather,
    ping,
    report,
    same,
    seen,
    shortcut,
    statistics,
    unwatch,
    watch,
)

PARENT, OUTSIDE, BLUE, RED, GREEN = (Space(name) for name in ("-", "outside", "blue", "red", "green"))
COUNT = 20
# Of the counters, those that say how packets went.
WAYS = ("rx_", "tx_output", "tx_sibling", "tx_drop", "fall_")


def allow(words, ports=("p1", "p2")):
    """Sets the shortcuts of some ports anew, so that hooks are as rules ask for now."""
    for port in ports:
        shortcut(port, "none")
    for port in ports:
        shortcut(port, words)


def ways(*ports, space=PARENT):
    """How packets went, of each port. What a child tells its neighbours when it
    comes up falls to the full path as well, so that is left out."""
    counted = {}
    for port in ports or ("p1", "p2", "p3"):
        for key, value in statistics(space, port).items():
            if key.startswith(WAYS) and key != "fall_unrouted":
                counted[f"{port} {key}"] = value
    return counted


def settled(read):
    """What `read` says once it says the same twice."""
    before, after = read(), read()
    while before != after:
        before, after = after, read()
    return after


def device(space, name, way):
    """Packets and bytes that a device received or sent."""
    with space, open("/proc/thread-self/net/dev", encoding="ascii") as file:
        fields = next(line.split() for line in file if line.split()[0] == f"{name}:")
    size, packets = (1, 2) if way == "rx" else (9, 10)
    return int(fields[packets]), int(fields[size])


def rx_dropped(space):
    """What a child's device had no room for."""
    return json.loads(space.call("ip", "-s", "-j", "link", "show", "c0"))[0]["stats64"]["rx"]["dropped"]


def devices():
    """What blue sent, p1 received, p2 sent and red received."""
    return [device(BLUE, "c0", "tx"), device(PARENT, "p1", "rx"), device(PARENT, "p2", "tx"), device(RED, "c0", "rx")]


class Flow:
    """Datagrams from one child to another, one at a time."""

    def __init__(self, family, port=PORT, here=BLUE, there=RED, dest=None):
        self.dest = (dest or family.child({"blue": 1, "red": 2, "green": 3}[there.name]), port)
        self.family, self.here, self.there = family, here.udp(family), there.udp(family, port)
        self.there.setsockopt(*option(family, 12, 51), 1)  # IP_RECVTTL, IPV6_RECVHOPLIMIT
        self.source, self.hops = None, []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.here.close()
        self.there.close()

    def send(self, count=1, patience=PATIENCE, port=None):
        """Sends some, each after the other has arrived or not; how many did, and
        in `hops` what was left of their time to live."""
        arrived, self.hops = 0, []
        self.there.settimeout(patience)
        for _ in range(count):
            token = os.urandom(8)
            try:
                self.here.sendto(token, (self.dest[0], port or self.dest[1]))
                data, ancillary, _, self.source = self.there.recvmsg(100, 100)
            except OSError:
                continue
            arrived += data == token
            self.hops += [struct.unpack("=i", value[:4])[0] for _, _, value in ancillary]
        return arrived

    def answer(self, count=1):
        """The other end answers whoever it heard last; how many arrive."""
        arrived = 0
        for _ in range(count):
            token = os.urandom(8)
            try:
                self.there.sendto(token, self.source[:2])
                data, source = self.here.recvfrom(100)
                arrived += data == token and source[:2] == self.dest
            except (OSError, TypeError):
                continue
        return arrived


def talk(family, name, here=BLUE, there=RED, dest=None, bulk=300_000):
    """TCP between two, with much in each direction."""
    try:
        one, other = connected(here, there, family, dest or family.child({"blue": 1, "red": 2, "green": 3}[there.name]))
    except OSError as error:
        return report(False, name, error)
    with one, other:
        return report(exchange(one, other, 3, bulk), name)


# --- A parent that does not track --------------------------------------------


def straight(family):
    """By `output` nothing of the parent is on the way, without it all is."""
    for words in ("none", "output"):
        taken = words == "output"
        allow(words)
        name = f"{family.name}, shortcut {words}"
        match = f"{family.nft} daddr {family.child(2)} udp dport {PORT}"
        with Flow(family) as flow:
            flow.send(2)
            watch(PARENT, match)
            watch(RED, match)
            before, ends = ways(), settled(devices)
            same(flow.send(COUNT), COUNT, f"{name}: datagrams arrive")
            same(seen(PARENT), {} if taken else {"pre": COUNT, "fwd": COUNT, "post": COUNT}, f"{name}: what the parent's chains see")
            same(seen(RED), {"pre": COUNT, "in": COUNT}, f"{name}: what the other child's chains see")
            same(flow.hops, [64 if taken else 63] * COUNT, f"{name}: what is left of their time to live")
            counted = {"p1 tx_sibling": COUNT, "p2 rx_sibling": COUNT} if taken else {}
            same(difference(ways(), before), counted, f"{name}: what the ports count")
            moved = [[new - old for new, old in zip(*pair)] for pair in zip(settled(devices), ends)]
            good = moved[0] == moved[1] and moved[2] == moved[3] and all(0 <= end[0] - COUNT <= 10 for end in moved)
            report(good, f"{name}: what the four devices count", moved)
            unwatch(PARENT)
            unwatch(RED)
            taps = [Tap(space, dev, flow.family.raw(family.child(2))) for space, dev in ((PARENT, "p1"), (PARENT, "p2"), (RED, "c0"))]
            marker = os.urandom(8)
            for tap in taps:
                tap.marker = marker
            for _ in range(3):
                flow.here.sendto(marker, flow.dest)
            gather(flow.there, 3)
            wanted = [0, 0, 3] if taken else [3, 3, 3]
            same([tap.count(number) for tap, number in zip(taps, wanted)], wanted, f"{name}: what taps on the ports and in the child see")
        talk(family, f"{name}: TCP")
        same(ping(BLUE, family, family.child(2), 3), 3, f"{name}: echo requests are answered")
        with Rules(PARENT, f"chain f {{ type filter hook forward priority 0; {match} drop; }}"), Flow(family) as flow:
            got = flow.send(2, PATIENCE if taken else SILENCE)
            same(got, 2 if taken else 0, f"{name}: whether the parent's FORWARD could stop it")


def unnoted(family):
    """What the sender's socket noted on its packets stays behind, also where they pass the parent's tracking."""
    match = f"{family.nft} daddr {family.child(2)} udp dport {PORT}"
    noted, clear = f"{match} meta mark 7 meta priority 5", f"{match} meta mark 0 meta priority none"
    for tracked in (False, True):
        name = f"{family.name}{', tracked' if tracked else ''}, a sender's mark and priority"
        if tracked:
            firewall(family)
        allow("output")
        with Flow(family) as flow:
            flow.here.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, 7)
            flow.here.setsockopt(socket.SOL_SOCKET, socket.SO_PRIORITY, 5)
            flow.send(2)
            before = ways()
            watch(BLUE, noted, ("out",))
            watch(RED, clear, ("pre", "in"))
            same(flow.send(5), 5, f"{name}: datagrams arrive")
            same((seen(BLUE), seen(RED)), ({"out": 5}, {"pre": 5, "in": 5}), f"{name}: its own rules see them, the receiver's do not")
            same(difference(ways(), before), short(5, **({"p1 fall_tracked": 5} if tracked else {})), f"{name}: ... by the shortcut")
        for space in (BLUE, RED):
            unwatch(space)
    end_firewall()


def one_sided(family):
    """It is the sender's port that decides, each way by itself."""
    name = f"{family.name}, output of one port only"
    allow("none")
    shortcut("p1", "output")
    with Flow(family) as flow:
        flow.send(1)
        before = ways()
        same((flow.send(3), flow.hops, flow.answer(3)), (3, [64] * 3, 3), f"{name}: there and back")
        same(difference(ways(), before), {"p1 tx_sibling": 3, "p2 rx_sibling": 3}, f"{name}: by the shortcut there, the full path back")
    allow("output")


def smaller(family):
    """The other pair takes less than the sender's: what it does take goes the same way as ever."""
    ends = (PARENT, "p2"), (RED, "c0")
    for space, dev in ends:
        space.call("ip", "link", "set", dev, "mtu", "1400")
    allow("output")
    with Flow(family) as flow:
        flow.send(3)
        before = ways()
        same((flow.send(3), flow.hops), (3, [64] * 3), f"{family.name}, to a pair with a smaller MTU: what fits arrives")
        same(difference(ways(), before), {"p1 tx_sibling": 3, "p2 rx_sibling": 3}, f"{family.name}, to a pair with a smaller MTU: ... by the shortcut")
        before = ways()
        flow.here.sendto(bytes(1440), flow.dest)
        same((drain(flow.there, SILENCE), difference(ways(), before)), ([], {"p1 fall_too_long": 1}), f"{family.name}, to a pair with a smaller MTU: what is too long does not, and is told of by the parent")
    for space, dev in ends:
        space.call("ip", "link", "set", dev, "mtu", "1500")
    BLUE.call(*family.ip("route", "flush", "cache"))


def switches(family):
    """The parent's leave to forward is asked for, as by the full path."""
    # IPv6 of the kernel asks the switch of all devices only.
    switch = "ipv4__conf__p1__forwarding" if family is V4 else "ipv6__conf__all__forwarding"
    for tracked in (False, True):
        if tracked:
            firewall(family)
        allow("output")
        name = f"{family.name}{', tracked' if tracked else ''}"
        with Flow(family) as flow:
            same(flow.send(3), 3, f"{name}: the way is free")
            PARENT.sysctl(**{switch: 0})
            same(flow.send(2, SILENCE), 0, f"{name}: the parent does not forward for the sender's port")
            PARENT.sysctl(**{switch: 1})
            if family is V6:
                # Turning it off and on again takes routes away.
                PARENT.call("ip", "-6", "addr", "replace", f"{family.uplink}/64", "dev", "up0")
            same(flow.send(2), 2, f"{name}: ... and does again")
    end_firewall()


def grown(family):
    """What the parent's route to a sibling says of its MTU holds when the sibling's device takes more
    than it did while the way there was found out."""
    allow("output")
    RED.call("ip", "link", "set", "c0", "mtu", "1300")
    PARENT.call(*family.ip("route", "add", family.host(family.child(2)), "dev", "p2", "mtu", "lock", "1300"))
    with Flow(family) as flow:
        flow.here.setsockopt(*option(family, 10, 23), 3)  # *_MTU_DISCOVER, *_PMTUDISC_PROBE
        for _ in range(3):
            time.sleep(0.1)
            same(flow.send(), 1, f"{family.name}: a short datagram to a sibling by a route with a small MTU")
        RED.call("ip", "link", "set", "c0", "mtu", "1500")
        with contextlib.suppress(OSError):
            flow.here.sendto(bytes(1400), flow.dest)
        same([len(data) for data in drain(flow.there, SILENCE)], [], f"{family.name}: ... which a longer one does not pass when the sibling takes more")
    PARENT.call(*family.ip("route", "del", family.host(family.child(2))))
    BLUE.call(*family.ip("route", "flush", "cache"))


def full_backlog(family):
    """What finds no room where the other child receives is dropped there, and nobody says it was received."""
    name = f"{family.name}, a short backlog"
    allow("output")
    # The stack cuts one send up for the device, which then sends all of it before anybody receives.
    BLUE.call("tc", "qdisc", "add", "dev", "c0", "root", "pfifo", "limit", "1000")
    BLUE.call("ethtool", "-K", "c0", "tx-udp-segmentation", "off")
    with open("/proc/sys/net/core/netdev_max_backlog", encoding="ascii") as file:
        room = file.read()
    with Flow(family) as flow:
        flow.send(2)
        before, ends, dropped = ways(), settled(devices), rx_dropped(RED)
        PARENT.sysctl(core__netdev_max_backlog=9)
        flow.here.setsockopt(socket.SOL_UDP, 103, 100)  # UDP_SEGMENT
        flow.here.sendto(bytes(4000), flow.dest)
        arrived = len(gather(flow.there, 10)) + len(drain(flow.there, SILENCE))
        PARENT.sysctl(core__netdev_max_backlog=room)
        counted = (arrived, difference(ways(), before), rx_dropped(RED) - dropped)
        same(counted, (10, {"p1 tx_sibling": 40, "p2 rx_sibling": 10}, 30), f"{name}: what arrives, is counted, is dropped")
        got = settled(devices)[3][0] - ends[3][0]
        report(0 <= got - 10 <= 10, f"{name}: what the receiving device counts", got)
    BLUE.call("ethtool", "-K", "c0", "tx-udp-segmentation", "on")
    BLUE.call("tc", "qdisc", "del", "dev", "c0", "root")


def own_addresses(family):
    """Whose an address is the parent's routes say, and the sender's must be its own."""
    address = family.child(1)
    RED.call(*family.ip("addr", "add", family.host(address), "dev", "c0"))
    for tracked in (False, True):
        name = f"{family.name}{', tracked' if tracked else ''}"
        if tracked:
            firewall(family)
        allow("output", ("p1", "p2", "p3"))
        ears = Ears([BLUE, RED])
        for space in (GREEN, OUTSIDE, PARENT):
            with space.udp(family) as sock:
                who = {ears.owner(lambda token, sock=sock: sock.sendto(token, (address, PORT))) for _ in range(3)}
            same(who, {"blue"}, f"{name}: an address that a sibling takes is still its owner's, for {space.name}")
        ears.close()
        before = statistics(RED, "c0")["tx_drop_spoofed"]
        with RED.udp(family, address=address) as sock, GREEN.udp(family, PORT) as there, OUTSIDE.udp(family, PORT) as far:
            for dest in (family.child(3), family.outside):
                for _ in range(3):
                    try:
                        sock.sendto(b"I am blue", (dest, PORT))
                    except OSError as error:
                        if error.errno != errno.ENOBUFS:
                            raise
            same((drain(there, SILENCE), drain(far, SILENCE)), ([], []), f"{name}: and a sibling cannot send from it")
        same(statistics(RED, "c0")["tx_drop_spoofed"] - before, 6, f"{name}: ... each is counted")
    end_firewall()
    RED.call(*family.ip("addr", "del", family.host(address), "dev", "c0"))


def shared(family):
    """A route that two siblings share takes the full path, and arrives."""
    address = "10.77.0.1" if family is V4 else "fd00:77::1"
    for space in (RED, GREEN):
        space.call(*family.ip("addr", "add", family.host(address), "dev", "lo"))
    hops = (("nexthop", "via", family.child(number), "dev", f"p{number}") for number in (2, 3))
    PARENT.call(*family.ip("route", "add", family.host(address), *(word for hop in hops for word in hop)))
    for tracked in (False, True):
        name = f"{family.name}{', tracked' if tracked else ''}, a route of two siblings"
        if tracked:
            firewall(family)
        allow("output", ("p1", "p2", "p3"))
        ears = Ears([RED, GREEN], (family,))
        before, fell = ways(), statistics(PARENT, "p1")["fall_unrouted"]
        with BLUE.udp(family) as sock:
            who = [ears.owner(lambda token: sock.sendto(token, (address, PORT))) for _ in range(5)]
        report(set(who) <= {"red", "green"}, f"{name}: arrives at one of them", who)
        same(difference(ways(), before), {}, f"{name}: by the full path")
        report(statistics(PARENT, "p1")["fall_unrouted"] - fell >= 5, f"{name}: ... which is counted", fell)
        ears.close()
    end_firewall()
    PARENT.call(*family.ip("route", "del", family.host(address)))
    for space in (RED, GREEN):
        space.call(*family.ip("addr", "del", family.host(address), "dev", "lo"))


def to_many(family):
    """What is for many is for the parent's end of the pair, and no sibling's."""
    groups = {"a group": "224.0.1.99", "all": "255.255.255.255", "the net": "10.0.1.255"}
    if family is V6:
        groups = {"a group": "ff05::99", "all nodes of the link": "ff02::1"}
    allow("output", ("p1", "p2", "p3"))
    for what, group in groups.items():
        listeners = [(space, space.udp(family, PORT)) for space in (PARENT, RED, GREEN)]
        if what == "a group":
            for space, sock in listeners:
                with space:
                    number = socket.if_nametoindex("p1" if space is PARENT else "c0")
                raw = family.raw(group)
                if family is V4:
                    sock.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, raw + bytes(4) + struct.pack("=i", number))
                else:
                    sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, raw + struct.pack("=i", number))
        before = ways()
        with BLUE.udp(family) as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"c0")
            for _ in range(3):
                sock.sendto(b"to many", (group, PORT))
        got = {space.name: len(gather(sock, 3) if space is PARENT else drain(sock, SILENCE)) for space, sock in listeners}
        same(got, {"-": 3, "red": 0, "green": 0}, f"{family.name}: a packet to {what} is the parent's, once each")
        same(difference(ways(), before), {}, f"{family.name}: ... by the full path")
        for _, sock in listeners:
            sock.close()


# --- A parent that tracks ----------------------------------------------------

FIREWALL = """
table inet way
delete table inet way
table inet way {{
    counter seen {{}}
    chain f {{
        type filter hook forward priority 0; policy drop;
        {nft} daddr {{ {addresses} }} meta l4proto {{ tcp, udp }} counter name seen
        ct state established,related accept
        meta l4proto {{ icmp, icmpv6 }} accept
        meta l4proto {{ tcp, udp }} th dport {{ 7001, 7777 }} accept
        {extra}
    }}
    {chains}
}}
"""


def firewall(family, extra="", chains=""):
    """The parent tracks, and FORWARD lets new connections to some ports begin."""
    addresses = ", ".join(family.child(number) for number in (1, 2, 3))
    PARENT.nft(FIREWALL.format(nft=family.nft, addresses=addresses, extra=extra, chains=chains))
    forget()


def end_firewall():
    """The parent does not track any more."""
    PARENT.nft("table inet way\ndelete table inet way\n")


def forget():
    """No connection is known any more."""
    PARENT.call("conntrack", "-F")


def forwarded():
    """What FORWARD has seen, which then begins anew."""
    text = PARENT.call("nft", "reset", "counter", "inet", "way", "seen")
    return int(text.split("packets", 1)[1].split()[0])


def short(count, sender="p1", receiver="p2", **more):
    """The counters of packets that crossed the pair and were taken."""
    return {f"{sender} tx_sibling": count, f"{receiver} rx_sibling": count} | more


def bargain(family):
    """The first packet of a connection is FORWARD's, the others are not."""
    name = f"{family.name}, tracked"
    firewall(family)
    allow("output")
    with Flow(family) as flow:
        before = ways()
        same((flow.send(1), flow.hops, forwarded()), (1, [63], 1), f"{name}: the first datagram goes by FORWARD")
        same(difference(ways(), before), {"p1 fall_tracked": 1, "p2 fall_unconfirmed": 1}, f"{name}: ... which the ports count")
        before, ends = ways(), settled(devices)
        watch(PARENT, f"{family.nft} daddr {family.child(2)} udp dport {PORT}")
        same((flow.send(COUNT), flow.hops, forwarded()), (COUNT, [64] * COUNT, 0), f"{name}: the others do not, and are no hop further")
        same(seen(PARENT), {"pre": COUNT}, f"{name}: what the parent's chains see")
        unwatch(PARENT)
        same(difference(ways(), before), short(COUNT, **{"p1 fall_tracked": COUNT}), f"{name}: what the ports count")
        moved = [[new - old for new, old in zip(*pair)] for pair in zip(settled(devices), ends)]
        good = moved[0] == moved[1] and moved[2] == moved[3] and all(0 <= end[0] - COUNT <= 10 for end in moved)
        report(good, f"{name}: what the four devices count", moved)
        before = ways()
        same((flow.answer(COUNT), forwarded()), (COUNT, 0), f"{name}: nor do answers")
        same(difference(ways(), before), short(COUNT, "p2", "p1", **{"p2 fall_tracked": COUNT}), f"{name}: ... which the ports count")
    before = ways()
    talk(family, f"{name}: TCP")
    counted = difference(ways(), before)
    report(forwarded() == 2, f"{name}: FORWARD sees both packets that begin the connection, and no others", counted)
    report(counted.get("p1 tx_sibling", 0) > 10 and counted.get("p2 tx_sibling", 0) > 10, f"{name}: ... and the rest is short", counted)
    same(ping(BLUE, family, family.child(2), 3), 3, f"{name}: echo requests are answered")
    end_firewall()


def refusals(family):
    """What FORWARD refuses stays refused, and rules before routing cut at once."""
    name = f"{family.name}, tracked"
    firewall(family)
    allow("output")
    with Flow(family, 7002) as flow:
        before = ways()
        same((flow.send(5, SILENCE), forwarded()), (0, 5), f"{name}: a refused connection's datagrams are FORWARD's to drop, each")
        same(difference(ways(), before), {"p1 fall_tracked": 5, "p2 fall_unconfirmed": 5}, f"{name}: ... and take no shortcut")
    with BLUE.socket(family.af, socket.SOCK_STREAM) as sock, RED.listener(family, 7002):
        sock.settimeout(5 * SILENCE)
        report(sock.connect_ex((family.child(2), 7002)) != 0, f"{name}: a refused TCP connection is not made")
    with Flow(family) as flow:
        same(flow.send(3), 3, f"{name}: a connection")
        with Rules(PARENT, "chain c { type filter hook prerouting priority 0; udp dport 7001 drop; }"):
            same(flow.send(2, SILENCE), 0, f"{name}: ... that a new rule before routing cuts")
        with Rules(PARENT, "chain c { type filter hook forward priority -10; udp dport 7001 drop; }"):
            same(flow.send(2), 2, f"{name}: ... and a new rule in FORWARD does not")
            forget()
            same(flow.send(2, SILENCE), 0, f"{name}: ... until it is forgotten")
        forget()
        same(flow.send(2), 2, f"{name}: it begins anew without the rule")
    firewall(family, chains="chain r { type filter hook prerouting priority raw; udp dport 7001 notrack; }")
    allow("output")
    with Flow(family) as flow:
        before = ways()
        same((flow.send(5), forwarded()), (5, 0), f"{name}: what a rule says is not to be tracked is short at once")
        same(difference(ways(), before), short(5, **{"p1 fall_tracked": 5}), f"{name}: ... which the ports count")
    end_firewall()


NAT = """
chain d {{ type nat hook prerouting priority dstnat; {nft} daddr {uplink} meta l4proto {{ tcp, udp }} th dport 8080 dnat {nft} to {target}:7777; }}
chain s {{ type nat hook postrouting priority srcnat; {rules} }}
"""


def translated(family):
    """What the parent translates it translates."""
    name = f"{family.name}, translated"
    target = family.child(2) if family is V4 else f"[{family.child(2)}]"
    values = {"nft": family.nft, "uplink": family.uplink, "target": target}
    # The source of one way, so the destination of the other.
    firewall(family, chains=NAT.format(**values, rules="oifname p2 masquerade;"))
    allow("output")
    with Flow(family, 7777) as flow:
        before = ways()
        same(flow.send(5), 5, f"{name}: datagrams that need another source arrive")
        same(flow.source and flow.source[0], family.port(2), f"{name}: ... and have it")
        counted = difference(ways(), before)
        same({key for key in counted if "sibling" in key}, set(), f"{name}: ... by the full path")
        before = ways()
        same(flow.answer(5), 5, f"{name}: their answers arrive")
        same(difference(ways("p1"), before), {"p1 rx_sibling": 5}, f"{name}: ... short, as what they need is done before routing")
    talk(family, f"{name}: TCP from another source")
    # A published port: what is for the parent's address is a sibling's from there on.
    firewall(family, chains=NAT.format(**values, rules="ct status dnat iifname p2 oifname p2 masquerade;"))
    allow("output")
    with Flow(family, 7777, dest=family.uplink) as flow:
        flow.dest = (family.uplink, 8080)
        before = ways()
        same((flow.send(5), forwarded()), (5, 1), f"{name}: datagrams to a sibling's published port arrive, the first by FORWARD")
        counted = difference(ways(), before)
        same(counted, short(4, **{"p1 fall_parents": 5, "p2 fall_unconfirmed": 1}), f"{name}: ... and the others are short")
        same(flow.answer(5), 5, f"{name}: their answers come from the published address")
    for client, who in ((BLUE, "a sibling"), (RED, "the child itself"), (OUTSIDE, "outside")):
        listener = RED.listener(family, 7777)
        with client.socket(family.af, socket.SOCK_STREAM) as here:
            here.settimeout(PATIENCE)
            try:
                here.connect((family.uplink, 8080))
                with listener.accept()[0] as there:
                    there.settimeout(PATIENCE)
                    peer = there.getpeername()[0]
                    report(exchange(here, there, 3, 300_000), f"{name}: TCP to a published port, by {who}")
                    wanted = family.port(2) if client is RED else family.child(1) if client is BLUE else family.outside
                    same(peer, wanted, f"{name}: ... from {who}'s address")
            except OSError as error:
                report(False, f"{name}: TCP to a published port, by {who}", error)
        listener.close()
    with Flow(family, 7777, here=RED, dest=family.uplink) as flow:
        flow.dest = (family.uplink, 8080)
        same((flow.send(3), flow.answer(3)), (3, 3), f"{name}: the child's own published port, there and back")
    end_firewall()


def hooks(family):
    """The hook before routing is there while the parent tracks, if anybody asks."""
    end_firewall()
    allow("output")
    before = our_hooks(PARENT)
    with Flow(family) as flow:
        flow.send(2)
        same(our_hooks(PARENT), before, f"{family.name}: a parent that does not track has no hook more")
        firewall(family)

        def until(wanted):
            end = time.monotonic() + PATIENCE
            while not wanted() and time.monotonic() < end:
                flow.send(1)
            return wanted()

        def taken():
            count = ways()["p2 rx_sibling"]
            return flow.send(1) == 1 and ways()["p2 rx_sibling"] == count + 1 and flow.hops == [64] and forwarded() == 0

        report(until(taken), f"{family.name}: one that begins to track has its children's connections short soon")
        listed = "hook" in PARENT.call("nft", "list", "hooks", check=False)
        if listed:
            report(our_hooks(PARENT) > before, f"{family.name}: ... by a hook")
        end_firewall()
        report(until(lambda: our_hooks(PARENT) == before), f"{family.name}: ... which is gone soon after it ends that")
        count = ways()
        same((flow.send(3), difference(ways(), count)), (3, short(3)), f"{family.name}: ... and all goes as before")


def all_together(family):
    """With all other shortcuts of both ports as well."""
    name = f"{family.name}, all shortcuts"
    firewall(family)
    allow("all")
    with Flow(family) as flow:
        before = ways()
        same((flow.send(5), forwarded()), (5, 1), f"{name}, tracked: the first datagram goes by FORWARD")
        counted = difference(ways(), before)
        same((counted.get("p1 tx_sibling"), counted.get("p2 rx_sibling")), (4, 4), f"{name}, tracked: the others are a sibling's")
    talk(family, f"{name}, tracked: TCP")
    end_firewall()
    allow("all")
    with Flow(family) as flow:
        before = ways()
        same((flow.send(5), difference(ways(), before)), (5, short(5)), f"{name}: datagrams arrive")
    talk(family, f"{name}: TCP")
    allow("output")


# --- Changes under load ------------------------------------------------------


def moved(family):
    """A port that goes to another namespace and comes back, while its child is
    sent to: nobody else gets what is for it, and afterwards it does."""
    subprocess.run(["ip", "netns", "add", "away"], check=True)
    away = Space("away")
    length = 24 if family is V4 else 64
    for tracked in (False, True):
        name = f"{family.name}{', tracked' if tracked else ''}"
        if tracked:
            firewall(family)
        allow("output", ("p1", "p2", "p3"))
        others = Ears([GREEN, OUTSIDE, PARENT, BLUE, away], (family,))
        with RED.udp(family, PORT) as there, BLUE.udp(family) as here:
            there.setsockopt(socket.SOL_SOCKET, 33, 32 << 20)  # SO_RCVBUFFORCE
            flood = Flood(here, (family.child(2), PORT))
            flood.start()
            gone = 0
            for _ in range(5):
                PARENT.call("ip", "link", "set", "p2", "netns", "away")
                away.call("ip", "link", "set", "p2", "up")
                drain(there, 0.02)
                gone += len(drain(there, 0.05))
                away.call("ip", "link", "set", "p2", "netns", str(os.getppid()))
                PARENT.call("ip", "addr", "replace", f"{family.port(2)}/{length}", "dev", "p2")
                PARENT.call("ip", "link", "set", "p2", "up")
                time.sleep(0.02)
            flood.ended = True
            flood.join()
            drain(there, SILENCE)
        report(flood.number > 100, f"{name}: a port moves five times while its child is sent to", flood.number, flood.refused)
        same(gone, 0, f"{name}: ... which gets nothing while it is away")
        same(others.hear(SILENCE), [], f"{name}: ... and nobody else does")
        others.close()
        with Flow(family) as flow:
            flow.send(1)
            before = ways()
            same((flow.send(3), flow.hops), (3, [64] * 3), f"{name}: afterwards it does")
            same(difference(ways(), before), short(3, **({"p1 fall_tracked": 3} if tracked else {})), f"{name}: ... by the shortcut")
    end_firewall()
    for other in FAMILIES:
        PARENT.call("ip", "addr", "replace", f"{other.port(2)}/{24 if other is V4 else 64}", "dev", "p2")
    del away
    subprocess.run(["ip", "netns", "del", "away"], check=True)


# --- Children of children ----------------------------------------------------


def nested(family):
    """Children three deep send to each other, and to those of the first level."""
    spaces = {name: Space(name) for name in ("middle", "aside", "low")}
    address = {
        "blue": family.child(1),
        "red": family.child(2),
        "middle": "10.1.1.2" if family is V4 else "fd01:1::2",
        "aside": "10.1.2.2" if family is V4 else "fd01:2::2",
        "low": "10.1.3.2" if family is V4 else "fd01:3::2",
    }
    spaces |= {"blue": BLUE, "red": RED}
    pairs = (("low", "red"), ("red", "low"), ("low", "aside"), ("aside", "low"), ("middle", "aside"), ("aside", "red"))
    ports = ((PARENT, "p1"), (PARENT, "p2"), (BLUE, "p1"), (BLUE, "p2"), (spaces["middle"], "p1"))
    track = "table inet track\ndelete table inet track\ntable inet track { chain f { type filter hook forward priority 0; ct state invalid drop; }\n}\n"
    for words in ("none", "output", "all"):
        for tracked in (False, True) if words != "none" else (False,):
            if tracked:
                for space in (PARENT, BLUE, spaces["middle"]):
                    space.nft(track)
            for space, port in ports:
                shortcut(port, "none", space)
                shortcut(port, words, space)
            for one, other in pairs:
                name = f"{family.name}, shortcut {words}{', tracked' if tracked else ''}, {one} to {other}"
                with Flow(family, here=spaces[one], there=spaces[other], dest=address[other]) as flow:
                    sent, hops, answered = flow.send(4), flow.hops[1:], flow.answer(4)
                same((sent, answered), (4, 4), f"{name}: there and back")
                if words != "none" and not tracked:
                    # Down into a child's child it takes more than what the sender's port allows.
                    down = {"low": 2 if one == "red" else 1} if words == "output" else {}
                    same(hops, [64 - down.get(other, 0)] * 3, f"{name}: the hops that are counted")
                talk(family, f"{name}: TCP", spaces[one], spaces[other], address[other], 40_000)
            for space in (PARENT, BLUE, spaces["middle"]):
                space.nft("table inet track\ndelete table inet track\n")


def basics(family):
    """What is the same with frames between the two ends, and not the same code."""
    straight(family)
    unnoted(family)
    bargain(family)


PARTS = {
    "frames": (basics,),
    "packets": (
        straight,
        unnoted,
        one_sided,
        smaller,
        switches,
        grown,
        full_backlog,
        own_addresses,
        shared,
        to_many,
        bargain,
        refusals,
        translated,
        hooks,
        all_together,
        moved,
    ),
    "nested": (nested,),
}


def main():
    """One part for each IP version."""
    for family in FAMILIES:
        for act in PARTS[sys.argv[1]]:
            began = time.monotonic()
            try:
                act(family)
            except OSError as error:
                report(False, f"{family.name}: {act.__name__}: traffic gets through", error)
            print(f"# {act.__name__}: {time.monotonic() - began:.1f} s")


if __name__ == "__main__":
    sys.exit(main())
