#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""A parent that tracks connections, filters and translates them: its rules
decide on every connection, whatever shortcut the rest of it takes; and nothing
of what the parent noted on a packet is visible in the child.

usage: shortcut_conntrack.py
"""

import socket
import struct
import sys

from world import FAMILIES, PATIENCE, PORT, SILENCE, Space, V4, connected, difference, exchange, places_taken, report, same, shortcut, until

PARENT, OUTSIDE, BLUE, RED = (Space(name) for name in ("-", "outside", "blue", "red"))
SO_RCVMARK = 75

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


def place(words, connection=False):
    """Where packets of a connection that is known leave the parent, which tracks
    it; none where that is by the full path."""
    if connection and words in ("socket", "all"):
        return "socket"
    return "route" if words in ("route", "all") else None


def by(words, count, connection=False):
    """What so many packets of a known connection change in the port's statistics."""
    return {place(words, connection): count} if place(words, connection) else {}


def forget():
    """No connection is known any more."""
    PARENT.call("conntrack", "-F")


class Flow:
    """Datagrams from outside to blue, one at a time."""

    def __init__(self, family, port=PORT, dest=None, connect=False):
        self.family, self.port, self.dest = family, port, dest or family.child(1)
        self.here, self.there = OUTSIDE.udp(family), BLUE.udp(family, port)
        if connect:
            self.there.connect((family.outside, self.here.getsockname()[1]))
        self.source = None

    def send(self, count=1, patience=PATIENCE, port=None):
        """Sends some, each after the other has arrived or not; how many did."""
        arrived = 0
        self.there.settimeout(patience)
        for number in range(count):
            try:
                self.here.sendto(b"%d" % number, (self.dest, port or self.port))
                data, self.source = self.there.recvfrom(100)
                arrived += data == b"%d" % number
            except OSError:
                pass
        return arrived

    def close(self):
        """Closes both ends."""
        self.here.close()
        self.there.close()


def device_keeps_out(family):
    """The device place is before all tracking, so where there is any it is not
    taken: the next one is, or the full path."""
    for words, taken, forwarded in (("device", {}, 5), ("device,route", {"route": 4}, 1)):
        shortcut("p1", words)
        firewall(family)
        forget()
        before = places_taken("p1")
        flow = Flow(family)
        name = f"{family.name}, shortcut {words}"
        same(flow.send(5), 5, f"{name}: tracked datagrams arrive")
        same((difference(places_taken("p1"), before), counted()), (taken, forwarded), f"{name}: not by device, and FORWARD sees")
        flow.close()
        here, there = connected(OUTSIDE, BLUE, family, family.child(1), PORT)
        with here, there:
            report(exchange(here, there, 3, 100_000), f"{name}: a tracked TCP connection works")
        PARENT.nft("delete table inet way\n")
        before = places_taken("p1")
        flow = Flow(family)
        same(flow.send(2), 2, f"{name}: datagrams arrive once nothing is tracked")
        same(difference(places_taken("p1"), before), {"device": 2}, f"{name}: ... by device")
        flow.close()


def bargain(family, words):
    """The first packet of a connection is FORWARD's, the others are not."""
    name = f"{family.name}, shortcut {words}"
    firewall(family)
    forget()
    before = places_taken("p1")
    flow = Flow(family, connect=words == "socket")
    same(flow.send(5), 5, f"{name}: tracked datagrams arrive")
    same(counted(), 1, f"{name}: FORWARD sees the first of them")
    same(difference(places_taken("p1"), before), by(words, 4, words == "socket"), f"{name}: the others take the shortcut")
    flow.close()

    before = places_taken("p1")
    here, there = connected(OUTSIDE, BLUE, family, family.child(1), PORT)
    with here, there:
        report(exchange(here, there, 5, 100_000), f"{name}: a tracked TCP connection works")
        seen, taken = counted(), difference(places_taken("p1"), before)
        # The socket of a connection that is not complete yet is not there for certain.
        most = 2 if words == "socket" else 1
        # With both places there is `route` for that.
        elsewhere = {"route"} if words == "all" else set()
        right = set(taken) - elsewhere == {place(words, True) or place(words)} and sum(taken.values()) > 5
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
    same(flow.send(3), 3, f"{name}: an established connection")
    PARENT.nft("table inet cut { chain c { type filter hook prerouting priority 0; udp dport 7001 drop; }\n}\n")
    same(flow.send(2, SILENCE), 0, f"{name}: a new rule before routing cuts it")
    PARENT.nft("delete table inet cut\n")
    same(flow.send(2), 2, f"{name}: no longer than the rule is there")
    PARENT.nft("table inet cut { chain c { type filter hook forward priority -10; udp dport 7001 drop; }\n}\n")
    counted()
    if short:
        same(flow.send(2), 2, f"{name}: a new rule in FORWARD is for new connections")
        forget()
        same(flow.send(2, SILENCE), 0, f"{name}: ... which it is once the old one is forgotten")
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
    same(counted(), 1 if place(words, connect) else 5, f"{name}: FORWARD sees the first of them, or all by the full path")
    same(difference(places_taken("p1"), before), by(words, 4, connect), f"{name}: the others take the shortcut, if one is right")
    flow.close()
    listener = BLUE.listener(family, 7777)
    with OUTSIDE.socket(family.af, socket.SOCK_STREAM) as here:
        here.connect((family.uplink, 8080))
        with listener.accept()[0] as there:
            report(exchange(here, there, 3, 100_000), f"{name}: TCP to a published port")
    with RED.socket(family.af, socket.SOCK_STREAM) as here:
        here.connect((family.uplink, 8080))
        with listener.accept()[0] as there:
            report(exchange(here, there, 3, 100_000), f"{name}: TCP of a sibling to a published port")
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
        same(difference(places_taken("p1"), before), by(words, 5, connect), f"{name}: ... by the shortcut, if one is right")

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
    """What the parent does not track goes by its route from the first packet on."""
    firewall(family, chains="chain r { type filter hook prerouting priority raw; udp dport 7001 notrack; }")
    before = places_taken("p1")
    flow = Flow(family, connect=words == "socket")
    same(flow.send(5), 5, f"{family.name}, shortcut {words}: untracked datagrams arrive")
    same(difference(places_taken("p1"), before), by(words, 5, words == "socket"), f"{family.name}, shortcut {words}: ... all by the shortcut")
    flow.close()


def marks_of(sock, count):
    """The marks of packets as the socket sees them."""
    marks = set()
    for _ in range(count):
        _, ancillary, _, _ = sock.recvmsg(100, socket.CMSG_SPACE(4))
        marks |= {struct.unpack("=I", data)[0] for level, kind, data in ancillary if (level, kind) == (socket.SOL_SOCKET, socket.SO_MARK)}
    return marks


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
    flow = Flow(family, connect=True)
    flow.there.setsockopt(socket.SOL_SOCKET, SO_RCVMARK, 1)
    for number in range(5):
        flow.here.sendto(b"%d" % number, (flow.dest, flow.port))
    try:
        same(marks_of(flow.there, 5), {0}, f"{name}: the child's socket sees no mark")
    except OSError as error:
        report(False, f"{name}: the child's socket sees no mark", error)
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


def main():
    """All of it."""
    for family in FAMILIES:
        chapter(device_keeps_out, family)
        for words in ("route", "socket", "all", "device", "netfilter"):
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
        for words in ("device", "route", "socket", "all"):
            shortcut("p1", words)
            chapter(childs_firewall, family, words)
        shortcut("p1", "none")
    no_entries_left()


if __name__ == "__main__":
    sys.exit(main())
