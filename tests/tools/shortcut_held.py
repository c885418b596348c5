#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Addresses that the parent holds for children by local routes: whose packets
they are, whatever else there is, and what a child may send from them.

usage: shortcut_held.py
"""

import contextlib
import errno
import os
import socket
import sys
import time

from world import FAMILIES, PATIENCE, PORT, SILENCE, V4, V6, Ears, Space, connected, difference, drain, exchange, gather, grace_period, mac_of, outside_wire, places_taken, report, same, seen, shortcut, statistics, udp_packet, until, unwatch, watch

PARENT, OUTSIDE, BLUE, RED = (Space(name) for name in ("-", "outside", "blue", "red"))
SETS = ("netfilter", "netfilter,route", "netfilter,output", "all")
# What the port of another child allows meanwhile.
BESIDE = dict(zip(SETS, ("netfilter,socket", "netfilter", "all", "netfilter,socket")))
FLOWS = 40


def hold(family, number, action="add"):
    """The parent holds a child's address, or no longer."""
    PARENT.call(*family.ip("route", action, "local", family.child(number), "dev", f"p{number}"))


class Sender:
    """Datagrams from outside to one address."""

    def __init__(self, family, dest, ears):
        self.sock, self.dest, self.ears = OUTSIDE.udp(family), dest, ears

    def owner(self, silent=False):
        """Who gets one."""
        return self.ears.owner(lambda data: self.sock.sendto(data, (self.dest, PORT)), silent).split(" (")[0]

    def owners(self, count=4):
        """Who gets some: with nothing known, and with all."""
        got = set()
        for _ in range(count):
            got.add(self.owner())
            time.sleep(0.02)
        return got


def martians():
    """How many packets from impossible sources the kernel has seen."""
    with open("/proc/net/stat/rt_cache", encoding="ascii") as file:
        column = file.readline().split().index("in_martian_src")
        return sum(int(line.split()[column], 16) for line in file)


def from_parent(family, words, ears):
    """What the parent itself sends there is the child's too, and comes from no impossible source."""
    before = martians()
    with PARENT.udp(family, address=family.uplink) as sock:
        got = [ears.owner(lambda data: sock.sendto(data, (family.child(1), PORT))).split(" (")[0] for _ in range(3)]
    same((got, martians() - before), (["blue"] * 3, 0), f"{family.name}, shortcut {words}: what the parent sends to an address that is held")


def beside(family, words, ears):
    """What makes the parent look deeper does not make the address its own."""
    sender = Sender(family, family.child(1), ears)
    name = f"{family.name}, shortcut {words}, an address that is held"
    same(sender.owners(), {"blue"}, f"{name} is the child's")
    elsewhere = ("src", family.child(2), "dst", family.child(2))
    PARENT.call("ip", "xfrm", "policy", "add", *elsewhere, "dir", "in", "action", "block")
    same(sender.owners(), {"blue"}, f"{name}: beside a policy of IPsec for others")
    PARENT.call("ip", "xfrm", "policy", "delete", *elsewhere, "dir", "in")
    own = ("src", family.host(family.outside), "dst", family.host(family.child(1)))
    PARENT.call("ip", "xfrm", "policy", "add", *own, "dir", "in", "action", "block")
    same({sender.owner(silent=True) for _ in range(2)}, {"nobody"}, f"{name}: a policy of IPsec that blocks it")
    PARENT.call("ip", "xfrm", "policy", "delete", *own, "dir", "in")
    same(sender.owners(), {"blue"}, f"{name}: and no longer")
    PARENT.call(*family.ip("rule", "add", "pref", "500", "ipproto", "udp", "dport", str(PORT), "lookup", "main"))
    same(sender.owners(), {"blue"}, f"{name}: under a rule that looks at ports")
    PARENT.call(*family.ip("rule", "del", "pref", "500"))
    PARENT.nft("table inet m { chain i { type filter hook input priority mangle; meta mark set 1; }\n}\n")
    same(sender.owners(), {"blue"}, f"{name}: INPUT marks it")
    PARENT.nft("delete table inet m\n")


def unforwarded(family, words, ears):
    """To receive what is held for a child the parent need not forward, whether that is known yet or
    not; what is routed there it does not forward."""
    sender = Sender(family, family.child(1), ears)
    name = f"{family.name}, shortcut {words}, an address that is held, in a parent that forwards"
    switch = "ipv4__ip_forward" if family is V4 else "ipv6__conf__all__forwarding"
    taken, got, sent = places_taken("p1"), [], 0
    for value in (1, 0, 1):
        PARENT.sysctl(**{switch: value})
        got += [sender.owner(), sender.owner()]
        grace_period()
        got += [sender.owner(), sender.owner()]
        # With nothing known.
        hold(family, 1, "del")
        got.append(sender.owner(silent=not value))
        hold(family, 1)
        got += [sender.owner(), sender.owner()]
        sent += 6
    step = ["blue"] * 7
    same(got, step + ["blue"] * 4 + ["nobody"] + ["blue"] * 2 + step, f"{name}, or not")
    taken = difference(places_taken("p1"), taken)
    report(sum(taken.values()) >= sent, f"{name}, or not: by shortcuts", taken)


def too_long(family, words):
    """What the parent receives for the child may be longer than the child's device can send, in
    one piece and in several: who receives does not refuse what the sender was told it may send.
    """
    name = f"{family.name}, shortcut {words}, an address that is held, longer than the child's MTU"
    BLUE.call("ip", "link", "set", "c0", "mtu", "1280")
    before = statistics(PARENT, "p1")
    with OUTSIDE.udp(family) as here, BLUE.udp(family, 7060) as there:
        for size in (1400, 4000):
            for _ in range(2):
                data = os.urandom(size)
                here.sendto(data, (family.child(1), 7060))
                same(there.recv(5000) == data, True, f"{name}: {size} bytes")
    fell = difference(statistics(PARENT, "p1"), before).get("fall_too_long", 0)
    same(fell, 0, f"{name}: and none fell")
    BLUE.call("ip", "link", "set", "c0", "mtu", "1500")


def not_allowed(family, words, ears):
    """Beside a port that allows it there is one that does not: its address is the parent's."""
    hold(family, 2)
    PARENT.call("ip", "link", "set", "p2", "type", "passthru", "shortcut", words)
    sender = Sender(family, family.child(2), ears)
    name = f"{family.name}, shortcut {words}, a local route without netfilter"
    same(sender.owners(), {"-"}, f"{name}: the packets are the parent's")
    wire = outside_wire(PARENT, OUTSIDE)
    piece = udp_packet(family, family.outside, family.child(2), b"with options", extra=b"\1\1\1\1") if family is V4 else None
    if piece:
        ears.hear(0)
        wire.send(piece)
        end, got = time.monotonic() + PATIENCE, []
        while not got and time.monotonic() < end:
            got = ears.hear(0.02)
        same(got, [("-", b"with options")], f"{name}: those with options too")
    PARENT.nft("table inet m { chain i { type filter hook input priority mangle; meta mark set 1; }\n}\n")
    same(sender.owners(), {"-"}, f"{name}: INPUT marks them")
    PARENT.nft("delete table inet m\n")
    # Nothing that was found out about IPv6 holds right after a change.
    got = set()
    for number in range(10):
        PARENT.call(*family.ip("route", "replace", "blackhole", "203.0.113.7/32" if family is V4 else "3fff:7::/64", "metric", str(number + 1)))
        got.add(sender.owner())
    same(got, {"-"}, f"{name}: while routes change")
    PARENT.call(*family.ip("route", "flush", "type", "blackhole"))
    with BLUE.udp(family) as child:
        got = ears.owner(lambda data: child.sendto(data, (family.child(2), PORT)))
        same(got, "-", f"{name}: what another child sends there too")
    shortcut("p2", "none")
    hold(family, 2, "del")


def from_held(words, ears):
    """What the child sends from its address to the parent, by all that its root has."""
    name = f"shortcut {words}, from an address that is held"
    wire = BLUE.socket(socket.AF_PACKET, socket.SOCK_DGRAM, 0)
    source = V4.child(1)

    def send(dest, data):
        wire.sendto(udp_packet(V4, source, dest, data), ("c0", 0x0800, 0, 0, b""))

    # What is for the loopback, and for no address, comes in by no device.
    with PARENT.udp(V4, 7050, "127.0.0.1") as inside, PARENT.udp(V4, 7051) as anywhere:
        watch(PARENT, 'iifname "lo" udp sport 4242', ("pre", "in"))
        for dest, port in (("127.0.0.1", 7050), ("127.0.0.1", 7051), ("127.7.7.7", 7051), ("0.0.0.0", 7051), ("0.1.2.3", 7051)):
            packet = udp_packet(V4, source, dest, b"to " + dest.encode(), port=port)
            wire.sendto(packet, ("c0", 0x0800, 0, 0, b""))
        got = drain(inside, SILENCE) + drain(anywhere)
        same((got, seen(PARENT)), ([], {}), f"{name}: nothing gets to the parent's loopback")
        unwatch(PARENT)
    # The parent's own addresses are reached by the port, past the rules for that.
    watch(PARENT, f'iifname "p1" udp dport {PORT}', ("in",))
    got = [ears.owner(lambda data, dest=dest: send(dest, data)) for dest in (V4.uplink, V4.port(1), V4.port(2))]
    same((got, seen(PARENT)), (["-"] * 3, {"in": 3}), f"{name}: the parent's addresses, by the port")
    watch(PARENT, 'iifname "lo" udp sport 4242', ("pre", "in"))
    got = [ears.owner(lambda data: send(V4.uplink, data)) for _ in range(3)]
    same((got, seen(PARENT)), (["-"] * 3, {}), f"{name}: ... and not by lo")
    unwatch(PARENT)
    # Nor does it shout where the parent is.
    with OUTSIDE.udp(V4, 7052) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        wire.sendto(udp_packet(V4, source, "192.0.2.255", b"to all", port=7052), ("c0", 0x0800, 0, 0, b""))
        same(drain(listener, SILENCE), [], f"{name}: no broadcast on the uplink's net")
        wire.sendto(udp_packet(V4, source, V4.outside, b"to one", port=7052), ("c0", 0x0800, 0, 0, b""))
        report(listener.recv(100) == b"to one", f"{name}: who is there is reached")
    wire.close()


def ruled(family, words):
    """The parent's rules for what it sends itself, which may ask for ports and class, hold for what its
    child sends from its address."""
    name = f"{family.name}, shortcut {words}, from an address that is held"
    rules = [(("dsfield", "0x10"), 7060, 0x10)]
    if family is V4:
        rules.append((("iif", "lo", "ipproto", "udp", "dport", "7061"), 7061, 0))
    for rule, port, tos in rules:
        with BLUE.udp(family) as here, OUTSIDE.udp(family, port) as there:
            here.setsockopt(*((socket.IPPROTO_IP, socket.IP_TOS) if family is V4 else (socket.IPPROTO_IPV6, socket.IPV6_TCLASS)), tos)

            def arrive(count):
                for _ in range(3):
                    here.sendto(b"ruled", (family.outside, port))
                return len(gather(there, count) if count else drain(there, SILENCE))

            got = [arrive(3)]
            PARENT.call(*family.ip("rule", "add", *rule, "pref", "50", "prohibit"))
            got.append(arrive(0))
            PARENT.call(*family.ip("rule", "del", *rule, "pref", "50", "prohibit"))
            got.append(arrive(3))
        same(got, [3, 0, 3], f"{name}: a rule by {rule[-2]} holds while it is there")


def notes_its_way(words, ears):
    """Input writes into options that record the way, and leaves the sum for who sends the packet on."""
    wire = outside_wire(PARENT, OUTSIDE)
    ears.hear(0)
    record_route = bytes([7, 7, 4, 0, 0, 0, 0, 0])
    wire.send(udp_packet(V4, V4.outside, V4.child(1), b"by whom?", extra=record_route))
    end, got = time.monotonic() + PATIENCE, []
    while not got and time.monotonic() < end:
        got = ears.hear(0.02)
    same(got, [("blue", b"by whom?")], f"shortcut {words}: a packet that notes its way, for an address that is held")


def leaves(family, words):
    """What the child sends from its address the parent sends as its own, whether it forwards or not: its
    rules of OUTPUT see it, and none of those for what it forwards. What comes from another address they do."""
    name = f"{family.name}, shortcut {words}, from an address that is held"
    switch = "ipv4__ip_forward" if family is V4 else "ipv6__conf__all__forwarding"
    other = "10.0.1.77" if family is V4 else "fd00:1::77"
    BLUE.call(*family.ip("addr", "add", family.host(other), "dev", "c0", *(("nodad",) if family is V6 else ())))
    PARENT.call(*family.ip("route", "add", other, "dev", "p1"))
    alone = {"out": 4, "post": 4}
    ways = {
        (family.child(1), 1): alone,
        (family.child(1), 0): alone,
        (other, 1): alone if "output" in words or words == "all" else {"pre": 4, "fwd": 4, "post": 4},
        (other, 0): {"pre": 4},
    }
    with OUTSIDE.udp(family, 7070) as there:
        for (address, forwards), want in ways.items():
            PARENT.sysctl(**{switch: forwards})
            grace_period()
            for when in ("at first", "again"):
                watch(PARENT, f"udp dport 7070 {family.nft} saddr {address}")
                with BLUE.udp(family, address=address) as here:
                    for _ in range(4):
                        here.sendto(b"leaves", (family.outside, 7070))
                came = len(gather(there, 4) if "post" in want else drain(there, SILENCE))
                same((came, seen(PARENT)), (4 if "post" in want else 0, want), f"{name} or another ({address}), in a parent that {'forwards' if forwards else 'does not'}, {when}")
                unwatch(PARENT)
                grace_period()
    PARENT.sysctl(**{switch: 1})
    PARENT.call(*family.ip("route", "del", other, "dev", "p1"))
    BLUE.call(*family.ip("addr", "del", family.host(other), "dev", "c0"))


def to_sibling(family, words):
    """What is for another child passes the parent's OUTPUT as well, but where siblings' need not."""
    name = f"{family.name}, shortcut {words}, from an address that is held"
    direct = "output" in words or words == "all"
    with RED.udp(family, 7071) as there, BLUE.udp(family) as here:

        def arrive():
            # Who sends is told of a refusal, as by rules of his own.
            for _ in range(4):
                with contextlib.suppress(PermissionError):
                    here.sendto(b"to a sibling", (family.child(2), 7071))
            return [len(drain(there, SILENCE)), seen(PARENT)]

        # The first one may have to ask whether the parent tracks.
        here.sendto(b"to a sibling", (family.child(2), 7071))
        same(gather(there, 1), [b"to a sibling"], f"{name}: a sibling is reached")
        watch(PARENT, "udp dport 7071", ("pre", "fwd", "out", "post"))
        same(arrive(), [4, {} if direct else {"out": 4, "post": 4}], f"{name}: to a sibling, by the parent's OUTPUT or past all")
        unwatch(PARENT)
        if not direct:
            PARENT.nft("table inet m { chain o { type filter hook output priority 0; udp dport 7071 drop; }\n}\n")
            watch(PARENT, "udp dport 7071", ("post",))
            same(arrive(), [0, {}], f"{name}: to a sibling, which OUTPUT refuses")
            unwatch(PARENT)
            PARENT.nft("delete table inet m\n")
        # What tc on the port keeps from leaving early is no less the parent's own.
        PARENT.call("tc", "qdisc", "add", "dev", "p1", "clsact")
        PARENT.call("tc", "filter", "add", "dev", "p1", "ingress", "prio", "1", "matchall", "action", "ok")
        shortcut("p2", "route")
        watch(PARENT, "udp dport 7071", ("pre", "fwd", "out", "post"))
        want = {"pre": 4} if direct and family is V6 else {"pre": 4, "out": 4, "post": 4}
        for when in ("at first", "again"):
            same(arrive(), [4, want], f"{name}: to a sibling, past tc on the port, {when}")
            grace_period()
        unwatch(PARENT)
        shortcut("p2", "none")
        PARENT.call("tc", "qdisc", "del", "dev", "p1", "clsact")


def tracked_sibling(family, words):
    """Where the parent tracks connections it sees what its child sends to another one, and lets it go on."""
    name = f"{family.name}, shortcut {words}, from an address that is held, to a sibling of a parent that tracks"
    PARENT.nft("table inet m { chain o { type filter hook output priority 0; ct state new,established accept; }\n}\n")
    with RED.udp(family, 7073) as there, BLUE.udp(family, 7073) as here:
        here.settimeout(PATIENCE)
        got = []
        for number in range(6):
            data = b"%d" % number
            here.sendto(data, (family.child(2), 7073))
            echo, sender = there.recvfrom(100)
            there.sendto(echo, sender)
            got.append(here.recv(100) == data)
    same(got, [True] * 6, f"{name}: there and back")
    PARENT.nft("delete table inet m\n")


def among_held(family, words, others, ears):
    """From one address that is held to another one is as from outside: past the rules for what comes in,
    to who has the address at this moment."""
    name = f"{family.name}, shortcut {words}, to an address that is held by shortcut {others}"
    hold(family, 2)
    shortcut("p2", others)
    here = BLUE.udp(family)

    def owners(count=4, silent=False):
        """Who gets some: with nothing known, and with all."""
        grace_period()
        got = set()
        for _ in range(count):
            got.add(ears.owner(lambda data: here.sendto(data, (family.child(2), PORT)), silent).split(" (")[0])
            time.sleep(0.02)
        return got

    before = martians()
    same(owners(), {"red"}, f"{name}: it is there")
    watch(PARENT, f"udp dport {PORT}")
    same((owners(), seen(PARENT)), ({"red"}, {"pre": 4, "in": 4}), f"{name}: past the rules for what comes in")
    unwatch(PARENT)
    same(owners(), {"red"}, f"{name}: and past none")
    PARENT.nft(f"table inet m {{ chain i {{ type filter hook input priority 0; iifname p1 udp dport {PORT} drop; }}\n}}\n")
    same(owners(2, silent=True), {"nobody"}, f"{name}: INPUT refuses it")
    PARENT.nft("delete table inet m\n")
    one, other = connected(BLUE, RED, family, family.child(2), 7075)
    report(exchange(one, other), f"{name}: a connection")
    # Something on the port keeps packets from sockets, and not from who they are for.
    PARENT.call("tc", "qdisc", "add", "dev", "p2", "root", "pfifo")
    report(exchange(one, other, bulk=200_000), f"{name}: a connection, with a queue on the port")
    PARENT.call("tc", "qdisc", "del", "dev", "p2", "root")
    report(exchange(one, other), f"{name}: a connection, and none")
    one.close()
    other.close()
    same(martians() - before, 0, f"{name}: none of it comes from where it may not")
    if family is V4:
        # The one who may is the child that it is held for.
        wire = outside_wire(PARENT, OUTSIDE)
        forged = [ears.owner(lambda data: wire.send(udp_packet(V4, V4.child(1), V4.child(2), data)), silent=True) for _ in range(2)]
        same(forged, ["nobody"] * 2, f"{name}: nothing from outside that says it came from there")
    shortcut("p2", "none")
    same(owners(), {"-"}, f"{name}: it is the parent's where the port has no leave")
    shortcut("p2", others)
    same(owners(), {"red"}, f"{name}: and not where it has")
    hold(family, 2, "del")
    same(owners(), {"red"}, f"{name}: not held any more, but routed")
    hold(family, 2)
    same(owners(), {"red"}, f"{name}: held again")
    hold(family, 1, "del")
    same(owners(), {"red"}, f"{name}: from an address that is not")
    hold(family, 1)
    same(owners(), {"red"}, f"{name}: and from one that is")
    here.close()
    shortcut("p2", "none")
    hold(family, 2, "del")


def to_parents(family, words, ears):
    """The parent's own addresses are reached from there by the port, for as long as they are its own."""
    name = f"{family.name}, shortcut {words}, from an address that is held, to one that is the parent's"
    dest = "203.0.113.7" if family is V4 else "2001:db8:7::7"
    with BLUE.udp(family) as here:

        def owners(silent=False):
            grace_period()
            got = set()
            for _ in range(4):
                got.add(ears.owner(lambda data: here.sendto(data, (dest, PORT)), silent).split(" (")[0])
            return got

        for turn in range(2):
            PARENT.call("ip", "addr", "add", family.host(dest), "dev", "lo", *(("nodad",) if family is V6 else ()))
            before = martians()
            owners()
            watch(PARENT, f"iifname p1 udp dport {PORT}", ("pre", "in"))
            got = (owners(), seen(PARENT), martians() - before)
            unwatch(PARENT)
            same(got, ({"-"}, {"pre": 4, "in": 4}, 0), f"{name}, {turn}: it gets there by the port")
            one, other = connected(BLUE, PARENT, family, dest, 7076)
            report(exchange(one, other, bulk=200_000), f"{name}, {turn}: a connection")
            one.close()
            other.close()
            PARENT.call("ip", "addr", "del", family.host(dest), "dev", "lo")
            same(owners(silent=True), {"nobody"}, f"{name}, {turn}: and not when it is no more")


def told_of_neighbours():
    """Behind extension headers may be what neighbours believe if it comes from their link: it is told by
    the hops that it was not."""
    wire = BLUE.socket(socket.AF_PACKET, socket.SOCK_DGRAM, 0)
    padded = bytes([socket.IPPROTO_UDP, 0, 1, 4, 0, 0, 0, 0])
    with OUTSIDE.udp(V6, 7074) as there:
        watch(OUTSIDE, "udp dport 7074 ip6 hoplimit 254", ("pre",))
        for next_header, kind in ((60, "destination options"), (0, "hop-by-hop options")):
            packet = udp_packet(V6, V6.child(1), V6.outside, b"how far", port=7074, ttl=255, extra=padded, next_header=next_header)
            wire.sendto(packet, ("c0", 0x86DD, 0, 0, b""))
            got = (gather(there, 1), seen(OUTSIDE))
            same(got, ([b"how far"], {"pre": 1}), f"IPv6, from an address that is held: {kind}, sent on by a hop")
        unwatch(OUTSIDE)
    wire.close()


def odd(family, words):
    """What takes no shortcut from there the parent sends as well: fragments, and what is too long for the way
    out, of which the child hears. Even where others have sent there before, of which it remembers that it
    is no child's."""
    name = f"{family.name}, shortcut {words}, from an address that is held"
    switch = "ipv4__ip_forward" if family is V4 else "ipv6__conf__all__forwarding"
    discover = (socket.IPPROTO_IP, 10) if family is V4 else (socket.IPPROTO_IPV6, 23)
    # Else what the parent says itself would come from the child's own address.
    if family is V4:
        PARENT.call("ip", "route", "replace", "local", V4.child(1), "dev", "p1", "src", V4.uplink)
    for forwards in (1, 0):
        where = f"in a parent that {'forwards' if forwards else 'does not'}"
        with OUTSIDE.udp(family, 7072) as there, BLUE.udp(family) as here, RED.udp(family) as other:
            PARENT.sysctl(**{switch: forwards})
            # Of IPv6 nothing is remembered of the first ones.
            for _ in range(3):
                other.sendto(b"no child's", (family.outside, 7072))
                grace_period()
            if forwards:
                gather(there, 3)
            data = os.urandom(4000)
            here.sendto(data, (family.outside, 7072))
            same(gather(there, 1) == [data], True, f"{name}: fragments, {where}")
            PARENT.call("ip", "link", "set", "up0", "mtu", "1400")
            grace_period()
            here.setsockopt(*discover, 2)
            here.connect((family.outside, 7072))
            heard = until(lambda: outcome(lambda: here.send(bytes(1440))) == errno.EMSGSIZE)
            same((heard, drain(there)), (True, []), f"{name}: too long for the way out, {where}: is heard of")
            PARENT.call("ip", "link", "set", "up0", "mtu", "1500")
            BLUE.call(*family.ip("route", "flush", "cache"))
            PARENT.sysctl(**{switch: 1})
    if family is V4:
        PARENT.call("ip", "route", "replace", "local", V4.child(1), "dev", "p1")


def outcome(call):
    """The error that a call fails with, if it does."""
    try:
        call()
    except OSError as error:
        return error.errno
    return None


def several_ways(family, words):
    """A route by two gateways: connections from an address that is held go by either, as the parent's
    own do."""
    far, net, bits = ("198.51.100.9", "192.0.3.", 24) if family is V4 else ("2001:db8:9::9", "2001:db8:3::", 64)
    PARENT.call("ip", "link", "add", "up9", "type", "veth", "peer", "name", "out9", "netns", "outside")
    for space, dev, number in ((PARENT, "up9", 1), (OUTSIDE, "out9", 2)):
        space.call("ip", "addr", "add", f"{net}{number}/{bits}", "dev", dev, *(("nodad",) if family is V6 else ()))
        space.call("ip", "link", "set", dev, "up")
    OUTSIDE.call("ip", "addr", "add", family.host(far), "dev", "lo")
    OUTSIDE.sysctl(ipv4__conf__all__rp_filter=0, ipv4__conf__out9__rp_filter=0)
    PARENT.sysctl(ipv4__fib_multipath_hash_policy=1, ipv6__fib_multipath_hash_policy=1)
    PARENT.call(*family.ip("route", "add", far, "nexthop", "via", family.outside, "dev", "up0", "nexthop", "via", f"{net}2", "dev", "up9"))
    with OUTSIDE.udp(family, 7062, far) as there:
        for _ in range(FLOWS):
            with BLUE.udp(family) as here:
                here.sendto(b"by one of two", (far, 7062))
        watched = len(gather(there, FLOWS))
        watch(OUTSIDE, 'iifname "out9" udp dport 7062', ("pre",))
        for _ in range(FLOWS):
            with BLUE.udp(family) as here:
                here.sendto(b"by one of two", (far, 7062))
        gather(there, FLOWS)
        second = seen(OUTSIDE).get("pre", 0)
        unwatch(OUTSIDE)
    name = f"{family.name}, shortcut {words}, from an address that is held"
    report(watched == FLOWS and FLOWS // 10 <= second <= FLOWS * 9 // 10, f"{name}: a route by two gateways shares", f"{watched} arrive, {second} by the second")
    PARENT.call(*family.ip("route", "del", far))
    PARENT.call("ip", "link", "del", "up9")
    OUTSIDE.call("ip", "addr", "del", family.host(far), "dev", "lo")


def router_dies(words):
    """A router that does not answer is passed by in a namespace that does not forward, and is not once it
    does: with nothing that changes in the routes."""
    far, mac = "2001:db8:9::9", mac_of(OUTSIDE, "out0")
    PARENT.call("ip", "link", "add", "up9", "type", "veth", "peer", "name", "out9", "netns", "outside")
    for space, dev, address in ((PARENT, "up9", "2001:db8:3::1/64"), (OUTSIDE, "out9", "2001:db8:3::2/64")):
        space.call("ip", "addr", "add", address, "dev", dev, "nodad")
        space.call("ip", "link", "set", dev, "up")
    OUTSIDE.call("ip", "addr", "add", f"{far}/128", "dev", "lo")
    OUTSIDE.nft("table ip6 deaf { chain p { type filter hook prerouting priority 0; iifname out0 icmpv6 type nd-neighbor-solicit drop; }\n}\n")
    PARENT.sysctl(ipv6__conf__all__forwarding=0)
    PARENT.call("ip", "-6", "route", "add", far, "via", V6.outside, "dev", "up0", "metric", "100")
    PARENT.call("ip", "-6", "route", "add", far, "via", "2001:db8:3::2", "dev", "up9", "metric", "200")
    ways = []
    with OUTSIDE.udp(V6, 7063, far) as there:
        for state in ("reachable", "failed", "reachable"):
            PARENT.call("ip", "neigh", "replace", V6.outside, "dev", "up0", *(("lladdr", mac) if state == "reachable" else ()), "nud", state)
            watch(OUTSIDE, 'iifname "out9" udp dport 7063', ("pre",))
            for number in range(4):
                with BLUE.udp(V6) as here:
                    here.sendto(b"by who answers", (far, 7063))
                    ways.append(len(gather(there, 1)))
                # What is known of routes is remembered when that has settled.
                if number == 1:
                    time.sleep(SILENCE)
            ways.append(seen(OUTSIDE).get("pre", 0))
            unwatch(OUTSIDE)
    same(ways, [1, 1, 1, 1, 0, 1, 1, 1, 1, 4, 1, 1, 1, 1, 0], f"shortcut {words}, IPv6, from an address that is held: by the router that answers")
    PARENT.sysctl(ipv6__conf__all__forwarding=1)
    OUTSIDE.nft("delete table ip6 deaf")
    PARENT.call("ip", "link", "del", "up9")
    PARENT.call("ip", "-6", "route", "del", far)
    PARENT.call("ip", "neigh", "del", V6.outside, "dev", "up0")
    OUTSIDE.call("ip", "addr", "del", f"{far}/128", "dev", "lo")


def main():
    """All of it."""
    for family in FAMILIES:
        ears = Ears((PARENT, BLUE, RED), (family,))
        hold(family, 1)
        # Before there are rules: of those that there once were the kernel forgets nothing.
        for words in SETS:
            shortcut("p1", words)
            leaves(family, words)
            to_sibling(family, words)
            tracked_sibling(family, words)
            among_held(family, words, BESIDE[words], ears)
            to_parents(family, words, ears)
            odd(family, words)
            several_ways(family, words)
            if family is V6:
                router_dies(words)
                told_of_neighbours()
        for words in SETS:
            shortcut("p1", words)
            beside(family, words, ears)
            from_parent(family, words, ears)
            unforwarded(family, words, ears)
            too_long(family, words)
            if family is V4:
                from_held(words, ears)
                notes_its_way(words, ears)
            ruled(family, words)
            for others in ("none", "device", "socket", "route"):
                not_allowed(family, others, ears)
        shortcut("p1", "none")
        hold(family, 1, "del")
        ears.close()


if __name__ == "__main__":
    sys.exit(main())
