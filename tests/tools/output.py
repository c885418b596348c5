#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""A child's packets under the shortcut `output`, looked at from everywhere.

usage: output.py views|changes
"""

import contextlib
import errno
import json
import os
import select
import socket
import struct
import sys
import threading
import time

from shortcut_programs import Queue
from shortcut_views import Tap
from rtnl import Rtnl
from world import (
    FAMILIES,
    PATIENCE,
    PORT,
    SILENCE,
    V4,
    V6,
    Space,
    checksum,
    connected,
    difference,
    drain,
    exchange,
    forget,
    gather,
    grace_period,
    introduce,
    ping,
    pour,
    receive,
    report,
    same,
    seen,
    shortcut,
    skip,
    statistics,
    until,
    unwatch,
    watch,
)

PARENT, OUTSIDE, BLUE = (Space(name) for name in ("-", "outside", "blue"))
COUNT = 20
# Seconds that TCP's timers take where it is to be seen that none has run out.
TIMER = 5
DONT, DO, PROBE = 0, 2, 3  # IP_PMTUDISC_*


def option(family, v4, v6):
    """(level, option) of an IP version."""
    return (socket.IPPROTO_IP, v4) if family is V4 else (socket.IPPROTO_IPV6, v6)


def ways():
    """The counters of what left the child, and of what fell to the full path."""
    numbers = statistics(PARENT, "p1")
    return {key: value for key, value in numbers.items() if key.startswith(("tx_output", "tx_sibling", "fall_", "tx_drop"))}


def device(space, name):
    """(received packets, bytes, sent packets, bytes) of a device."""
    listed = json.loads(space.call("ip", "-s", "-j", "link", "show", name))[0]["stats64"]
    return [listed[way][what] for way in ("rx", "tx") for what in ("packets", "bytes")]


def pair():
    """What the child says that it sent and what the port says that it received,
    with nothing on its way between the two readings."""
    while True:
        before, got, after = device(BLUE, "c0")[2:], device(PARENT, "p1")[:2], device(BLUE, "c0")[2:]
        if before == after:
            return before, got


def took(before):
    """How many packets left by the shortcut meanwhile."""
    return difference(ways(), before).get("tx_output", 0)


class Rules:
    """Rules of a namespace, for as long as this lasts."""

    def __init__(self, space, text):
        self.space, self.text = space, text

    def __enter__(self):
        self.space.nft(f"table inet extra {{\n{self.text}\n}}\n")

    def __exit__(self, *_):
        self.space.nft("delete table inet extra\n")


def send(here, dest, marker=b"", count=COUNT, size=0):
    """Datagrams that can be told from others."""
    for number in range(count):
        try:
            here.sendto(marker + struct.pack("!I", number) + bytes(size), dest)
        except OSError as error:
            if error.errno not in (errno.ENETUNREACH, errno.EHOSTUNREACH, errno.EACCES, errno.EPERM, errno.EINVAL, errno.ENOBUFS, errno.ECONNREFUSED):
                raise


def reaches(family, wanted=True, source=None, patience=PATIENCE, tos=0):
    """Whether a datagram of the child's gets outside; one that should is waited for."""
    marker = os.urandom(8)
    with OUTSIDE.udp(family, PORT) as sock, BLUE.udp(family, address=source) as here:
        here.setsockopt(*((socket.IPPROTO_IP, socket.IP_TOS) if family is V4 else (socket.IPPROTO_IPV6, socket.IPV6_TCLASS)), tos)
        send(here, (family.outside, PORT), marker, 1)
        got = gather(sock, 1, marker, patience) if wanted else drain(sock, SILENCE)
        return any(data.startswith(marker) for data in got)


def views(family, words):
    """Which chains and taps see datagrams of the child's."""
    taken = words == "output"
    name = f"{family.name}, shortcut {words}"
    match = f"{family.nft} daddr {family.outside} udp dport {PORT}"
    full = {"pre": COUNT, "fwd": COUNT, "post": COUNT}
    want = {"out": COUNT, "post": COUNT} if taken else full
    protocol = "Ip" if family is V4 else "Ip6"
    forwarded = "ForwDatagrams" if family is V4 else "OutForwDatagrams"
    counters = ("OutRequests", forwarded, "OutTransmits")

    def said():
        # Neighbours may talk between two readings.
        while True:
            one, other = ([PARENT.snmp(protocol, counter) for counter in counters] for _ in range(2))
            if one == other:
                return one

    with OUTSIDE.udp(family, PORT) as there, BLUE.udp(family, 4242) as here:
        here.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, 7)
        here.setsockopt(socket.SOL_SOCKET, socket.SO_PRIORITY, 5)
        dest = (family.outside, PORT)
        send(here, dest, count=3)
        gather(there, 3)
        for chains, tapped in ((("out",), False), (("out", "post"), False), (("out",), True)):
            marker = os.urandom(8)
            taps = {dev: Tap(space, dev, marker) for space, dev in ((PARENT, "p1"), (BLUE, "c0"))[: 2 if tapped else 0]}
            if tapped:
                taps["up0"] = Tap(PARENT, "up0", marker)
            watch(PARENT, match)
            watch(BLUE, match, chains)
            rule = f"{match} meta mark 0 meta priority none iifname p1 counter"
            with Rules(PARENT, f"chain c {{ type filter hook postrouting priority 310; {rule}; }}"):
                counts = ways(), pair()
                before = said()
                send(here, dest, marker)
                title = f"{name}: hooks of the child {'+'.join(chains)}{', tapped' if tapped else ''}"
                same(len(gather(there, COUNT)), COUNT, f"{title}: all arrive")
                after = said()
                asked, passed, went = (new - old for new, old in zip(after, before))
                report(went >= COUNT and asked + passed == went, f"{title}: what the parent sends it has made or forwarded", asked, passed, went)
                same(seen(PARENT), want, f"{title}: what the parent's chains see")
                same(seen(BLUE), dict.fromkeys(chains, COUNT), f"{title}: what the child's chains see")
                rules = PARENT.call("nft", "list", "table", "inet", "extra")
            report(f"counter packets {COUNT} " in rules, f"{title}: by the port, without the child's mark and priority", rules)
            same(took(counts[0]), COUNT if taken else 0, f"{title}: what the port counts")
            sent, got = ([new - old for new, old in zip(*ends)] for ends in zip(pair(), counts[1]))
            report(sent == got and 0 <= sent[0] - COUNT <= 10, f"{title}: the child sent what the port received", sent, got)
            numbers = {dev: tap.count(0 if taken and dev == "p1" else COUNT) for dev, tap in taps.items()}
            if tapped:
                same(numbers, {"p1": 0 if taken else COUNT, "c0": COUNT, "up0": COUNT}, f"{title}: what taps see")
            unwatch(PARENT)
            unwatch(BLUE)
    # Rules there stop it, rules elsewhere do not.
    for hook, stops in {"output": taken, "postrouting": True, "forward": not taken, "prerouting": not taken}.items():
        with Rules(PARENT, f"chain c {{ type filter hook {hook} priority 0; {match} drop; }}"):
            same(reaches(family, not stops), not stops, f"{name}: whether {hook} of the parent stops it")
    for hook in ("output", "postrouting"):
        with Rules(BLUE, f"chain c {{ type filter hook {hook} priority 0; {match} drop; }}"):
            same(reaches(family, False), False, f"{name}: {hook} of the child stops it")
    before = ways()
    same(ping(BLUE, family, family.outside, 5), 5, f"{name}: echo requests are answered")
    here, there = connected(BLUE, OUTSIDE, family, family.outside)
    with here, there:
        report(exchange(here, there, 3, 2_000_000), f"{name}: TCP, both ways")
    report((took(before) > 15) == taken, f"{name}: ... by the shortcut or not", ways())


def unconfirmed(family, words):
    """That its gateway answers, which a sender may say (MSG_CONFIRM), confirms no neighbour of the parent's."""
    lladdr = json.loads(OUTSIDE.call("ip", "-j", "link", "show", "out0"))[0]["address"]
    PARENT.call(*family.ip("neigh", "replace", family.outside, "dev", "up0", "lladdr", lladdr, "nud", "reachable"))
    time.sleep(2.2)
    with OUTSIDE.udp(family, PORT) as there, BLUE.udp(family) as here:
        for _ in range(COUNT):
            here.sendto(b"it answers", socket.MSG_CONFIRM, (family.outside, PORT))
        came = len(gather(there, COUNT))
    found = PARENT.call("ip", f"-{family.version}", "-s", "-j", "neigh", "show", family.outside, "dev", "up0")
    age = json.loads(found)[0]["confirmed"]
    report(came == COUNT and age >= 2, f"{family.name}, shortcut {words}: a child confirms none of the parent's neighbours", found)


def to_parent(family):
    """INPUT of the parent judges what is for the parent itself."""
    for words in ("output", "all"):
        shortcut("p1", words)
        for dest in (family.port(1), family.uplink):
            got = []
            for rule in ("accept", "drop"):
                rule = f'iifname "p1" {family.nft} daddr {dest} udp dport {PORT} {rule};'
                with Rules(PARENT, f"chain c {{ type filter hook input priority 0; {rule} }}"), PARENT.udp(family, PORT) as there, BLUE.udp(family) as here:
                    marker = os.urandom(8)
                    send(here, (dest, PORT), marker)
                    got.append(len(drain(there, SILENCE) if "drop" in rule else gather(there, COUNT, marker)))
            same(got, [COUNT, 0], f"{family.name}, shortcut {words}: INPUT of the parent accepts, and stops, what is for {dest}")


def devices(family):
    """What is on the child's device and on the uplink acts on the packets."""
    introduce(family)
    acted_upon(family)
    forget(family)


def tapped(family):
    """A tap on the uplink sees all, with nobody else in the way."""
    marker = os.urandom(8)
    with OUTSIDE.udp(family, PORT) as there, BLUE.udp(family) as here:
        tap = Tap(PARENT, "up0", marker)
        send(here, (family.outside, PORT), marker)
        same((len(gather(there, COUNT)), tap.count(COUNT)), (COUNT, COUNT), f"{family.name}: a tap on up0 sees all that gets outside")


def acted_upon(family):
    """Each thing in turn, on the child's device and on the uplink."""
    name = f"{family.name}: the"
    tapped(family)
    match = ("protocol", family.tc, "flower", "ip_proto", "udp", "dst_port", str(PORT), "action", "drop")
    for space, dev in ((BLUE, "c0"), (PARENT, "up0")):
        report(reaches(family), f"{name} way is free")
        space.call("tc", "qdisc", "add", "dev", dev, "clsact")
        space.call("tc", "filter", "add", "dev", dev, "egress", *match)
        same(reaches(family, False), False, f"{name} traffic control at the egress of {dev} drops")
        space.call("tc", "qdisc", "del", "dev", dev, "clsact")
        space.nft(f"table netdev n {{ chain c {{ type filter hook egress device {dev} priority 0; udp dport {PORT} drop; }}\n}}\n")
        same(reaches(family, False), False, f"{name} egress rules of {dev} drop")
        space.nft("delete table netdev n\n")
        space.call("tc", "qdisc", "add", "dev", dev, "root", "pfifo", "limit", "100")
        with OUTSIDE.udp(family, PORT) as there, BLUE.udp(family) as here:
            send(here, (family.outside, PORT))
            arrived = len(gather(there, COUNT))
        stats = space.call("tc", "-s", "qdisc", "show", "dev", dev)
        counted = int(stats.split(" pkt")[0].split()[-1])
        report(arrived == COUNT and counted >= COUNT, f"{name} queue of {dev} is on the way", stats)
        space.call("tc", "qdisc", "del", "dev", dev, "root")
    # A limit of the rate is felt: what a bucket lets through, no more, and TCP goes on.
    for space, dev in ((PARENT, "up0"), (BLUE, "c0")):
        space.call("tc", "qdisc", "add", "dev", dev, "root", "tbf", "rate", "40mbit", "burst", "20kb", "limit", "100kb")
        before = ways()
        here, there = connected(BLUE, OUTSIDE, family, family.outside)
        with here, there:
            began = time.monotonic()
            whole = pour(here, there, os.urandom(4096) * 500)
            rate = 8 * 4096 * 500 / (time.monotonic() - began) / 1e6
        report(whole and rate < 45, f"{name} rate of 40 Mbit/s of {dev} is kept", f"{rate:.0f} Mbit/s")
        report(took(before) > 20, f"{name} packets that wait for {dev} have taken the shortcut", difference(ways(), before))
        space.call("tc", "qdisc", "del", "dev", dev, "root")
    full_queue(family)
    long_queue(family)
    report(reaches(family), f"{name} way is free again")


def by_input(family):
    """The uplink's traffic control knows a child's packets by its port, whatever way they came."""
    match = ("protocol", family.tc, "flower", "indev", "p1", "ip_proto", "udp", "dst_port", str(PORT), "action", "drop")
    for words in ("none", "output"):
        shortcut("p1", words)
        report(reaches(family), f"{family.name}, shortcut {words}: the way is free")
        # With a queue of the child's all of them leave by its device.
        for queue in ("noqueue", "pfifo"):
            BLUE.call("tc", "qdisc", "replace", "dev", "c0", "root", queue)
            PARENT.call("tc", "qdisc", "add", "dev", "up0", "clsact")
            PARENT.call("tc", "filter", "add", "dev", "up0", "egress", *match)
            same(reaches(family, False), False, f"{family.name}, shortcut {words}: traffic control of the uplink asks for the port, beside {queue} of the child's")
            PARENT.call("tc", "qdisc", "del", "dev", "up0", "clsact")
        BLUE.call("tc", "qdisc", "del", "dev", "c0", "root")


def slowed(here, there, size):
    """Sends so much, and more until TCP slows down, as a slow sender may have to. Says
    whether all of it came, and how often TCP had sent something again when it first
    slowed down."""
    end, sent, come, again = time.monotonic() + PATIENCE, 0, 0, None
    for sock in (here, there):
        sock.setblocking(False)

    def more():
        return sent < size or (again is None and time.monotonic() < end)

    while (more() or come < sent) and select.select([there], [here] if more() else [], [], PATIENCE) != ([], [], []):
        if more():
            try:
                sent += here.send(bytes(65536))
            except BlockingIOError:
                pass
        info = here.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 104)
        threshold, retransmitted = struct.unpack_from("=I", info, 76)[0], struct.unpack_from("=I", info, 100)[0]
        if again is None and threshold < 0x7FFFFFFF:
            again = retransmitted
        try:
            come += len(there.recv(65536))
        except BlockingIOError:
            pass
    return come == sent >= size, again


def full_queue(family):
    """A queue that takes no more says so to who sends, and TCP slows down before anything is lost."""
    # Slower than any sender; and none is cut up on its way into the queue, and lost in part, for
    # the burst is longer than any packet. It takes less than the two packets TCP lets wait in
    # queues in any case (TSQ): what is longer it would send by and by, and never be refused.
    PARENT.call("tc", "qdisc", "add", "dev", "up0", "root", "tbf", "rate", "1mbit", "burst", "100kb", "limit", "5kb")
    for space, who in ((PARENT, "of the parent"), (BLUE, "of the child")):
        # Nothing is sent twice to find out whether it was lost.
        space.sysctl(ipv4__tcp_early_retrans=0)
        for _ in range(3):
            here, there = connected(space, OUTSIDE, family, family.outside)
            with here, there:
                # It has no other reason to slow down than what it hears.
                here.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, b"reno")
                got = slowed(here, there, 300_000)
            # In a stall an answer may be late, and TCP takes for lost what is not.
            if got[1] == 0 or not got[0]:
                break
        space.sysctl(ipv4__tcp_early_retrans=3)
        same(got, (True, 0), f"{family.name}: a connection {who} feels a full queue of up0")
    dropped = PARENT.call("tc", "-s", "qdisc", "show", "dev", "up0").split("dropped ")[1].split(",")[0]
    report(int(dropped) > 0, f"{family.name}: ... which did refuse packets", dropped)
    PARENT.call("tc", "qdisc", "del", "dev", "up0", "root")


def backlog():
    """How many bytes wait in the queue of the uplink."""
    return json.loads(PARENT.call("tc", "-s", "-j", "qdisc", "show", "dev", "up0"))[0]["backlog"]


def waiting(space, family):
    """How much a connection of somebody who has much to send keeps in the queue of the uplink once it has
    sent something: the usual of several looks."""
    here, there = connected(space, OUTSIDE, family, family.outside)
    with here, there:
        # It finds no other bound: nothing is lost, and there is room where it comes from and goes to.
        here.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, b"reno")
        here.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 200_000)
        here.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        here.setblocking(False)
        came, looks = 0, []
        while len(looks) < 7:
            with contextlib.suppress(BlockingIOError):
                here.send(bytes(200_000))
            came += len(there.recv(1 << 17))
            if came >= 80_000 + 5_000 * len(looks):
                looks.append(backlog())
    return sorted(looks)[len(looks) // 2]


def has_room(space, family):
    """Whether a socket with little room for what it sends finds some all the time."""
    with space.udp(family) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)
        sock.setblocking(False)
        return outcome(lambda: [sock.sendto(bytes(1000), (family.outside, PORT)) for _ in range(300)])


def long_queue(family):
    """What waits in a queue of the parent's is its sender's still, whom it keeps from sending more: of
    TCP no more waits there than of the parent's own (TSQ), and a datagram finds no room."""
    waits, rooms = {}, {}
    for space in (PARENT, BLUE):
        before = ways()
        # Two packets may wait in any case: they are short where the rate is low, on a short way as well.
        space.sysctl(ipv4__tcp_tso_rtt_log=0)
        # The lower rate lets a datagram go in the time of many of the slowest sender.
        for what, act, rate in ((waits, waiting, ("2mbit", "burst", "20kb")), (rooms, has_room, ("64kbit", "burst", "2kb"))):
            PARENT.call("tc", "qdisc", "add", "dev", "up0", "root", "tbf", "rate", *rate, "limit", "10mb")
            what[space.name] = act(space, family)
            PARENT.call("tc", "qdisc", "del", "dev", "up0", "root")
        space.sysctl(ipv4__tcp_tso_rtt_log=9)
    # Neither is the same at each look, by a packet or two; who does not wait has all of 80 kB there.
    name = f"{family.name}: of a child's TCP no more waits in a long queue of up0 than of the parent's"
    if os.environ.get("LAB") == "debug":
        skip(name, "this kernel is no faster than the queue")
    else:
        report(0 < waits["blue"] <= 3 * waits["-"], name, waits)
    same(rooms, {"-": "EAGAIN", "blue": "EAGAIN"}, f"{family.name}: what waits there takes up room of the sender's, the parent's and the child's")
    report(took(before) > 20, f"{family.name}: ... which goes by the shortcut", difference(ways(), before))


def everyway():
    """The counters of what left the child or came to it, by whatever shortcut."""
    return {key: value for key, value in statistics(PARENT, "p1").items() if key.startswith(("rx_", "tx_output"))}


def translated(family):
    """A parent that tracks, filters and translates; by `output` alone, by the set for such parents, and by all."""
    for words in ("output", "route,socket,output", "all"):
        shortcut("p1", words)
        translates(family, words)


def translates(family, words):
    """The same by one set."""
    name = f"{family.name}, shortcut {words}"

    def went_short(before, what, least):
        """What left by `output`, and answers by the shortcuts that there are for them."""
        counted = difference(everyway(), before)
        out, back = counted.get("tx_output", 0), sum(number for way, number in counted.items() if way.startswith("rx_"))
        report(out >= least and (back >= least if words != "output" else not back), f"{what}: by the shortcut, there and back", counted)

    literal = "{}" if family is V4 else "[{}]"
    rules = f"""
        chain d {{ type nat hook prerouting priority dstnat;
            {family.nft} daddr {family.uplink} meta l4proto {{ tcp, udp }} th dport 8080 dnat {family.nft} to {literal.format(family.child(1))}:7777; }}
        chain o {{ type nat hook output priority -100;
            {family.nft} daddr {family.uplink} meta l4proto {{ tcp, udp }} th dport 8080 dnat {family.nft} to {literal.format(family.child(1))}:7777; }}
        chain s {{ type nat hook postrouting priority srcnat; oifname up0 masquerade; oifname p1 ct status dnat masquerade; }}
        chain f {{ type filter hook forward priority 0; policy drop; ct state established,related accept; ct status dnat accept; iifname p1 accept; }}
        chain out {{ type filter hook output priority 0; ct state invalid drop; }}
    """
    with Rules(PARENT, rules):
        for kind in ("TCP", "UDP"):
            before = everyway()
            if kind == "TCP":
                here, there = connected(BLUE, OUTSIDE, family, family.outside, 7801)
                with here, there:
                    same((there.getpeername()[0], exchange(here, there, 3, 500_000)), (family.uplink, True), f"{name}: TCP is masqueraded")
            else:
                with OUTSIDE.udp(family, 7801) as there, BLUE.udp(family) as here:
                    here.sendto(b"ask", (family.outside, 7801))
                    peer = there.recvfrom(100)[1]
                    there.sendto(b"tell", peer)
                    same((peer[0], here.recvfrom(100)[0]), (family.uplink, b"tell"), f"{name}: UDP is masqueraded")
            went_short(before, f"{name}: masqueraded {kind}", 8 if kind == "TCP" else 1)
        before = everyway()
        same(ping(BLUE, family, family.outside, 3), 3, f"{name}: masqueraded echo requests")
        went_short(before, f"{name}: masqueraded echo requests", 3)
        for client, who in ((OUTSIDE, "outside"), (BLUE, "the child itself (hairpin)")):
            listener, before = BLUE.listener(family, 7777), everyway()
            with client.socket(family.af, socket.SOCK_STREAM) as here:
                try:
                    here.connect((family.uplink, 8080))
                    there = listener.accept()[0]
                    there.settimeout(PATIENCE)
                    with there:
                        report(exchange(here, there, 3, 300_000), f"{name}: a published port, by {who}")
                except OSError as error:
                    report(False, f"{name}: a published port, by {who}", error)
            listener.close()
            with BLUE.udp(family, 7777) as there, client.udp(family) as here:
                here.sendto(b"ask", (family.uplink, 8080))
                try:
                    there.sendto(b"tell", there.recvfrom(100)[1])
                    got = here.recvfrom(100)
                except OSError as error:
                    got = (error, ("",))
                same((got[0], got[1][0]), (b"tell", family.uplink), f"{name}: published UDP, by {who}")
            # Another source on the way in, and on the way back what is the parent's own address.
            same(difference(everyway(), before), {}, f"{name}: a published port that is translated twice, by {who}: by the full path")
    # A stateful firewall: answers come in, nothing else does.
    rules = """
        chain f { type filter hook forward priority 0; policy drop; ct state established,related accept; iifname p1 ct state new accept; }
    """
    with Rules(PARENT, rules):
        before = everyway()
        here, there = connected(BLUE, OUTSIDE, family, family.outside, 7802)
        with here, there:
            report(exchange(here, there, 3, 500_000), f"{name}: a stateful parent lets answers in")
        went_short(before, f"{name}: ... which are a connection's", 8)
        with OUTSIDE.socket(family.af, socket.SOCK_STREAM) as here, BLUE.listener(family, 7803):
            here.settimeout(5 * SILENCE)
            same(here.connect_ex((family.child(1), 7803)) != 0, True, f"{name}: ... and nothing else")


def hops(family, words):
    """The shortcut is no hop, the full path is one."""
    taken = words == "output"
    name = f"{family.name}, shortcut {words}"
    with OUTSIDE.udp(family, PORT) as there, BLUE.udp(family) as here:
        there.setsockopt(*option(family, 12, 51), 1)  # IP_RECVTTL, IPV6_RECVHOPLIMIT
        here.sendto(b"hop", (family.outside, PORT))
        ancillary = there.recvmsg(100, 100)[1]
        got = [struct.unpack("=i", data[:4])[0] for _, _, data in ancillary]
        same(got, [64 if taken else 63], f"{name}: the TTL outside")
        here.setsockopt(*option(family, socket.IP_TTL, socket.IPV6_UNICAST_HOPS), 1)
        here.sendto(b"last", (family.outside, PORT))
        same(gather(there, 1) if taken else drain(there, SILENCE), [b"last"] if taken else [], f"{name}: a packet with TTL 1")
    text = BLUE.call("traceroute", "-n", "-q", "1", "-m", "4", "-w", str(PATIENCE), family.outside)
    way = [line.split()[1] for line in text.splitlines()[1:]]
    same(way, [family.outside] if taken else [family.port(1), family.outside], f"{name}: traceroute")


def uncut():
    """How many packets were too long for the parent's output, which forwarding had let by."""
    with open("/proc/net/snmp6", encoding="ascii") as file:
        numbers = dict(line.split() for line in file)
    return int(numbers["Ip6FragFails"]) - int(numbers["Ip6InTooBigErrors"])


def grown(family):
    """The child's device, which takes no more than the uplink, comes to take more while flows are known:
    what is too long is told of by forwarding, not by the parent's output in the midst of the child's."""
    if family is V4:
        return
    PARENT.call("ip", "link", "set", "p1", "mtu", "9000")
    before = ways()
    for _ in range(20):
        ping(OUTSIDE, family, family.child(1), 2, 100)
    report(took(before) >= 30, f"{family.name}: answers to pings leave early")
    before = uncut()
    BLUE.call("ip", "link", "set", "c0", "mtu", "9000")
    answered = ping(OUTSIDE, family, family.child(1), 5, 3000, SILENCE)
    same((answered > 1, uncut() - before), (True, 0), f"{family.name}: answers to long pings, once the child's MTU is above the uplink's")
    for space, dev in ((PARENT, "p1"), (BLUE, "c0")):
        space.call("ip", "link", "set", dev, "mtu", "1500")
    BLUE.call(*family.ip("route", "flush", "cache"))


def grown_child(route):
    """What is too long for the uplink goes by the full path, also where the child's device took no
    more than that while the way was found out."""
    BLUE.call("ip", "link", "set", "c0", "mtu", "1300")
    PARENT.call(*V6.ip("route", "add", V6.host(V6.outside), *route))
    with BLUE.udp(V6) as here, OUTSIDE.udp(V6, PORT) as there:
        here.setsockopt(*option(V6, 10, 23), PROBE)
        for _ in range(5):
            here.sendto(b"known", (V6.outside, PORT))
            gather(there, 1)
            time.sleep(0.05)
        BLUE.call("ip", "link", "set", "c0", "mtu", "1500")
        before = statistics(PARENT, "p1")
        with contextlib.suppress(OSError):
            here.sendto(bytes(1400), (V6.outside, PORT))
        fell = difference(statistics(PARENT, "p1"), before).get("fall_too_long")
        same(([len(data) for data in drain(there, SILENCE)], fell), ([], 1), "IPv6: what the child's device takes since is too long for the route")
    PARENT.call(*V6.ip("route", "del", V6.host(V6.outside)))
    BLUE.call(*V6.ip("route", "flush", "cache"))


def path_mtu(family):
    """A smaller MTU on the way is told of, or kept by cutting up."""
    name = family.name

    def told(dest, what, mtu):
        with BLUE.udp(family) as sock:
            sock.setsockopt(*option(family, 10, 23), DO)
            sock.connect((dest, PORT))
            sock.send(bytes(1440))
            select.select([sock], [], [], PATIENCE)
            got = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            same((errno.errorcode.get(got), sock.getsockopt(*option(family, 14, 24))), ("EMSGSIZE", mtu), f"{name}: {what} is told of")
        here, there = connected(BLUE, OUTSIDE, family, dest)
        with here, there:
            report(exchange(here, there, 1, 300_000), f"{name}: {what}: TCP goes on")
        BLUE.call(*family.ip("route", "flush", "cache"))

    PARENT.call(*family.ip("route", "add", family.host(family.outside), "dev", "up0", "mtu", "1300"))
    told(family.outside, "a route's MTU", 1300)
    PARENT.call(*family.ip("route", "del", family.host(family.outside)))
    for space, dev in ((PARENT, "up0"), (OUTSIDE, "out0")):
        space.call("ip", "link", "set", dev, "mtu", "1400")
    told(family.outside, "the uplink's MTU", 1400)
    with BLUE.udp(family) as here, OUTSIDE.udp(family, PORT) as there:
        if family is V4:
            here.setsockopt(socket.IPPROTO_IP, 10, DONT)
            here.sendto(b"x" * 1440, (family.outside, PORT))
            same([len(data) for data in gather(there, 1)], [1440], f"{name}: what may be cut up is")
    # What answers it is too long for it, and is made by who cannot hear of that at once.
    report(ping(OUTSIDE, family, family.child(1), 5, 1420) > 1, f"{name}: answers to pings that are too long for the uplink")
    for space, dev in ((PARENT, "up0"), (OUTSIDE, "out0")):
        space.call("ip", "link", "set", dev, "mtu", "1500")
    BLUE.call(*family.ip("route", "flush", "cache"))
    PARENT.call(*family.ip("route", "add", family.host(family.outside), "dev", "up0", "mtu", "1300"))
    with BLUE.udp(family) as here, OUTSIDE.udp(family, PORT) as there:
        here.setsockopt(*option(family, 10, 23), PROBE)
        here.connect((family.outside, PORT))
        for _ in range(3):
            here.send(b"known")
        gather(there, 3)
        # It may hear of that at once.
        with contextlib.suppress(OSError):
            here.send(bytes(1400))
        same(drain(there, SILENCE), [], f"{name}: who asks for no MTU does not pass by the route's")
    PARENT.call(*family.ip("route", "del", family.host(family.outside)))
    BLUE.call(*family.ip("route", "flush", "cache"))
    if family is V6:
        grown_child(("dev", "up0", "mtu", "1300"))
    PARENT.call("ip", "link", "set", "p1", "mtu", "1400")
    with BLUE.udp(family) as here, OUTSIDE.udp(family, PORT) as there:
        for _ in range(3):
            here.sendto(b"known", (family.outside, PORT))
        gather(there, 3)
        before = statistics(BLUE, "c0")["tx_drop_too_long"]
        here.sendto(bytes(1440), (family.outside, PORT))
        got = drain(there, SILENCE), statistics(BLUE, "c0")["tx_drop_too_long"] - before
        same(got, ([], 1), f"{name}: what is too long for the port is dropped and counted")
    PARENT.call("ip", "link", "set", "p1", "mtu", "1500")
    with BLUE.udp(family) as here, OUTSIDE.udp(family, PORT) as there:
        big = os.urandom(40_000)
        here.sendto(big, (family.outside, PORT))
        report(gather(there, 1) == [big], f"{name}: a datagram in fragments")


def outcome(call):
    """What became of a call: None, or the name of its error."""
    try:
        call()
    except OSError as error:
        return errno.errorcode[error.errno]
    return None


def told_once(family):
    """What is too long for the parent's way out is no failure of the child's to send, by the shortcut as
    without it: it is told of that afterwards, once for each packet that it hands over."""
    counters = (("Ip", "FragFails"), ("Icmp", "OutDestUnreachs")) if family is V4 else (("Icmp6", "OutPktTooBigs"),)
    dest = (family.outside, PORT)
    host = family.host(family.outside)
    changes = {
        "uplink": (("ip", "link", "set", "up0", "mtu", "1400"), ("ip", "link", "set", "up0", "mtu", "1500")),
        "route": (family.ip("route", "add", host, "dev", "up0", "mtu", "1400"), family.ip("route", "del", host)),
    }

    def counted(before=(0,) * len(counters)):
        return [PARENT.snmp(*counter) - old for counter, old in zip(counters, before)]

    def known():
        """Sends what is remembered then; how many of it left by the shortcut."""
        before = ways()
        with BLUE.udp(family) as here, OUTSIDE.udp(family, PORT) as there:
            send(here, dest, count=3)
            gather(there, 3)
        return took(before)

    def datagram(what, words):
        """One datagram that is too long."""
        with BLUE.udp(family) as here, OUTSIDE.udp(family, PORT) as there:
            before, fallen = counted(), ways()["fall_too_long"]
            error = outcome(lambda: here.sendto(bytes(1440), dest))
            until(lambda: counted(before)[-1])
            got = drain(there, SILENCE), counted(before), ways()["fall_too_long"] - fallen
            same((error, *got), (None, [], [1] * len(counters), int(words == "output")), f"{what}: a datagram is sent, and told of once")
            if family is V4:
                here.setsockopt(socket.IPPROTO_IP, 10, DONT)
                here.sendto(b"x" * 1440, dest)
                same([len(data) for data in gather(there, 1)], [1440], f"{what}: ... and cut up where it may be")
        BLUE.call(*family.ip("route", "flush", "cache"))

    def stream(what):
        """One long write by TCP; what was counted."""
        for _ in range(3):
            here, there = connected(BLUE, OUTSIDE, family, family.outside)
            with here, there:
                whole, data, before = exchange(here, there), os.urandom(20_000), counted()
                began = time.monotonic()
                here.sendall(data)
                whole = receive(there, len(data)) == data and whole
                lasted = time.monotonic() - began
            said = counted(before)
            BLUE.call(*family.ip("route", "flush", "cache"))
            if not whole or lasted < TIMER / 2:
                break
        report(whole and lasted < TIMER / 2, f"{what}: TCP goes on at once", whole, lasted)
        return said

    def told(means, words):
        """Before and after the change, by one shortcut or none; what was counted of the stream."""
        change, back = changes[means]
        what = f"{family.name}, shortcut {words}, too long for the {means}"
        shortcut("p1", words)
        before = known()
        PARENT.call(*change)
        datagram(f"{what} since now", words)
        left = before, known()
        same([count > 0 for count in left], [words == "output"] * 2, f"{what}: shorter ones leave by the shortcut, or do not")
        datagram(what, words)
        said = stream(what)
        PARENT.call(*back)
        return said

    # TCP makes smaller packets where it takes longer: not as small as it likes, and not each time alike.
    BLUE.sysctl(ipv4__tcp_min_tso_segs=64, ipv4__tcp_rto_min_us=TIMER * 10**6)
    for means in changes:
        for _ in range(3):
            said = {words: told(means, words) for words in ("none", "output")}
            if said["none"] == said["output"]:
                break
        report(said["none"][-1] and said["output"] == said["none"], f"{family.name}, too long for the {means}: TCP is told as often by the shortcut as without it", said)
    BLUE.sysctl(ipv4__tcp_min_tso_segs=2, ipv4__tcp_rto_min_us=200_000)


def learned(family):
    """What the parent has learned of a path holds for what it makes itself, and for its children's only where
    it forwards by that: a child's packets that are too long for it do not fail."""
    if family is V6:
        return  # forgotten() is about that.
    far, net = "198.51.100.9", "198.51.100.0/24"
    OUTSIDE.call("ip", "link", "add", "narrow", "mtu", "1300", "type", "dummy")
    OUTSIDE.call("ip", "link", "set", "narrow", "up")
    OUTSIDE.call("ip", "route", "add", net, "dev", "narrow")
    OUTSIDE.sysctl(ipv4__conf__all__forwarding=1)
    address = json.loads(OUTSIDE.call("ip", "-j", "link", "show", "out0"))[0]["address"]
    PARENT.call("ip", "route", "add", net, "dev", "up0")
    PARENT.call("ip", "neigh", "add", far, "lladdr", address, "dev", "up0")

    def sends(space, length):
        with space.udp(V4) as sock:
            return outcome(lambda: sock.sendto(bytes(length), (far, PORT)))

    def refused():
        """How many the parent and the router behind it found too long."""
        return [space.snmp("Ip", "FragFails") for space in (PARENT, OUTSIDE)]

    # The second time it is learned of a route that is in use.
    for when in ("at first", "again"):
        for words in ("none", "output"):
            shortcut("p1", words)
            PARENT.call("ip", "route", "flush", "cache")
            for _ in range(3):
                sends(BLUE, 10)
            sends(PARENT, 1400)
            knows = until(lambda: "mtu 1300" in PARENT.call("ip", "route", "get", far))
            for use in (0, 1):
                PARENT.sysctl(ipv4__ip_forward_use_pmtu=use)
                BLUE.call("ip", "route", "flush", "cache")
                for _ in range(3):
                    sends(BLUE, 10)
                before = refused()
                error = sends(BLUE, 1400)
                until(lambda: refused() != before)
                got = [new - old for new, old in zip(refused(), before)]
                same((bool(knows), error, got), (True, None, [use, 1 - use]), f"IPv4, shortcut {words}, the MTU of a path, learned {when}, ip_forward_use_pmtu {use}: told of by who finds it too long")
            PARENT.sysctl(ipv4__ip_forward_use_pmtu=0)
    BLUE.call("ip", "route", "flush", "cache")
    PARENT.call("ip", "neigh", "del", far, "dev", "up0")
    PARENT.call("ip", "route", "del", net)
    OUTSIDE.sysctl(ipv4__conf__all__forwarding=0)
    OUTSIDE.call("ip", "link", "del", "narrow")


def held_too_long(family):
    """The same from an address that the parent holds for the child, and sends from itself."""
    address = "203.0.113.9" if family is V4 else "2001:db8:9::9"
    PARENT.call(*family.ip("route", "add", "local", address, "dev", "p1"))
    BLUE.call(*family.ip("addr", "add", family.host(address), "dev", "lo"))
    PARENT.call("ip", "link", "set", "up0", "mtu", "1400")
    for words in ("netfilter", "netfilter,output"):
        shortcut("p1", words)
        BLUE.call(*family.ip("route", "flush", "cache"))
        with BLUE.udp(family, address=address) as here, OUTSIDE.udp(family, PORT) as there:
            before = ways()
            send(here, (family.outside, PORT), count=3)
            gather(there, 3)
            left = took(before) > 0
            errors = [outcome(lambda size=size: here.sendto(bytes(size), (family.outside, PORT))) for size in (1440, 10)]
            got = [len(data) for data in gather(there, 1)]
        same((left, errors, got), (True, [None, None], [10]), f"{family.name}, shortcut {words}: too long, from an address that is held: no failure to send")
    PARENT.call("ip", "link", "set", "up0", "mtu", "1500")
    BLUE.call(*family.ip("addr", "del", family.host(address), "dev", "lo"))
    PARENT.call(*family.ip("route", "del", "local", address, "dev", "p1"))


def forgotten():
    """What the parent has learned of a path is forgotten after a while: then its children send as
    long packets again."""
    far, size = "2001:db8:9::9", 1400
    # Time enough for a first look, with half a dozen processes.
    expires = 10
    OUTSIDE.call("ip", "link", "add", "narrow", "mtu", "1300", "type", "dummy")
    OUTSIDE.call("ip", "link", "set", "narrow", "up")
    OUTSIDE.call("ip", "-6", "route", "add", "2001:db8:9::/64", "dev", "narrow")
    OUTSIDE.sysctl(ipv6__conf__all__forwarding=1)
    OUTSIDE.call("ip", "-6", "neigh", "add", far, "lladdr", "02:00:00:00:00:01", "dev", "narrow")
    PARENT.call("ip", "-6", "route", "add", "2001:db8:9::/64", "via", V6.outside)
    PARENT.sysctl(ipv6__route__mtu_expires=expires)
    watch(OUTSIDE, "udp dport 7930 meta length > 1300", ("pre",))

    def sends(space, length=size):
        with space.udp(V6) as sock, contextlib.suppress(OSError):
            sock.setsockopt(*option(V6, 10, 23), DO)
            sock.connect((far, 7930))
            sock.send(bytes(length))
            sock.send(bytes(length))
        BLUE.call("ip", "-6", "route", "flush", "cache")

    def knows():
        return "mtu 1300" in PARENT.call("ip", "-6", "route", "get", far)

    # A route is remembered from the second packet after a change on.
    for _ in range(4):
        sends(BLUE, 10)
        time.sleep(0.1)
    for _ in range(5):
        sends(PARENT)
        learned = until(knows)
        seen(OUTSIDE)
        wrong, known, after = [], 0, 0
        end = time.monotonic() + expires + 30
        while time.monotonic() < end and after < 3:
            still = knows()
            sends(BLUE)
            time.sleep(0.05)
            came = seen(OUTSIDE).get("pre", 0)
            if still != knows():
                continue
            known, after = known + still, after + (not still)
            if (came == 0) != still:
                wrong.append((still, came))
        # In a stall it may be forgotten before anybody has looked.
        if known or wrong:
            break
    report(learned, "IPv6, the MTU of a path: the parent learns it")
    report(known and after and not wrong, "IPv6, the MTU of a path: forgotten in the end, by what is remembered as well", known, after, wrong)
    unwatch(OUTSIDE)
    PARENT.sysctl(ipv6__route__mtu_expires=600)
    PARENT.call("ip", "-6", "route", "del", "2001:db8:9::/64")
    OUTSIDE.sysctl(ipv6__conf__all__forwarding=0)
    OUTSIDE.call("ip", "link", "del", "narrow")
    OUTSIDE.call("ip", "-6", "route", "replace", "default", "via", V6.uplink)


def black_hole(family):
    """Somebody on the way swallows what is too long and says nothing: a child's TCP finds out
    by itself, as the host's would, for what is lost and what comes back is the child's to see."""
    name = f"{family.name}, a black hole"
    offloads = ("ethtool", "-K", "c0", "tso", "off", "gso", "off")
    BLUE.call(*offloads)
    # The second time that something is lost says it.
    BLUE.sysctl(ipv4__tcp_mtu_probing=1, ipv4__tcp_retries1=1)
    OUTSIDE.nft("table netdev hole { chain c { type filter hook ingress device out0 priority 0; meta length > 1200 counter drop; }\n}\n")
    before = ways()
    here, there = connected(BLUE, OUTSIDE, family, family.outside)
    with here, there:
        for sock in (here, there):
            sock.settimeout(PATIENCE)
        maximum = socket.IPPROTO_TCP, socket.TCP_MAXSEG
        largest = here.getsockopt(*maximum)
        report(pour(here, there, os.urandom(100_000)), f"{name}: all arrives in the end")
        smaller = here.getsockopt(*maximum)
        report(smaller < 1200 <= largest, f"{name}: in smaller segments", largest, smaller)
    got = difference(ways(), before)
    report(got.get("tx_output", 0) > 100 and not any(key.startswith("tx_drop") for key in got), f"{name}: by output", got)
    hole = OUTSIDE.call("nft", "list", "table", "netdev", "hole")
    report("packets 0 " not in hole, f"{name}: long ones were swallowed", hole)
    OUTSIDE.nft("delete table netdev hole\n")
    BLUE.sysctl(ipv4__tcp_mtu_probing=0, ipv4__tcp_retries1=3)
    BLUE.call(*(word.replace("off", "on") for word in offloads))


def l4_sum(family, packet):
    """Whether a whole packet's transport checksum is right."""
    if family is V4:
        at, proto = (packet[0] & 15) * 4, packet[9]
        packet = packet[: struct.unpack("!H", packet[2:4])[0]]
        pseudo = packet[12:20]
        if checksum(packet[:at]):
            return False
    else:
        at, proto = 40, packet[6]
        packet = packet[: 40 + struct.unpack("!H", packet[4:6])[0]]
        pseudo = packet[8:40]
    body = packet[at:]
    return not checksum(pseudo + struct.pack("!II", len(body), proto) + body)


def segments(family):
    """Large sends become packets with right checksums on a wire without offloads."""
    name = family.name
    introduce(family)
    with PARENT:
        os.system("ethtool -K up0 tx off sg off tso off gso off >/dev/null 2>&1")
    with OUTSIDE.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(0x0800 if family is V4 else 0x86DD)) as tap:
        tap.setsockopt(socket.SOL_SOCKET, 33, 16 << 20)  # SO_RCVBUFFORCE
        tap.bind(("out0", 0x0800 if family is V4 else 0x86DD))
        here, there = connected(BLUE, OUTSIDE, family, family.outside)
        with here, there:
            report(pour(here, there, os.urandom(4096) * 200), f"{name}: large TCP sends")
        with BLUE.udp(family) as sock, OUTSIDE.udp(family, PORT) as server:
            server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
            sock.setsockopt(socket.IPPROTO_UDP, 103, 1000)  # UDP_SEGMENT
            sock.sendto(bytes(20_000), (family.outside, PORT))
            same([len(data) for data in gather(server, 20)], [1000] * 20, f"{name}: a large UDP send")
        packets = []
        while select.select([tap], [], [], 0.05)[0]:
            data, where = tap.recvfrom(1 << 17)
            source = data[12:16] if family is V4 else data[8:24]
            if where[2] != 4 and source == family.raw(family.child(1)):  # not outgoing
                packets.append(data)
    wrong = [len(data) for data in packets if not l4_sum(family, data)]
    longest = max(map(len, packets), default=0)
    report(not wrong and len(packets) > 200 and longest <= 1500, f"{name}: ... with right checksums on the wire", f"{len(packets)} packets, longest {longest}, wrong {wrong[:5]}")
    with PARENT:
        os.system("ethtool -K up0 tx on sg on tso on gso on >/dev/null 2>&1")
    forget(family)


def moved_address(family):
    """An address is the parent's and somebody else's by turns: what was found out of it to be its way holds
    no longer than it is."""
    name = f"{family.name}, an address that moves"
    address = family.host("203.0.113.7" if family is V4 else "2001:db8:7::7")
    dest = address.split("/", maxsplit=1)[0]
    extra = () if family is V4 else ("nodad",)
    OUTSIDE.call("ip", "addr", "add", address, "dev", "lo", *extra)
    PARENT.call(*family.ip("route", "add", address, "via", family.outside))
    outward, inward = {"out": 4, "post": 4}, {"pre": 4, "in": 4}
    with OUTSIDE.udp(family, PORT) as there, PARENT.udp(family, PORT) as near, BLUE.udp(family) as here:
        for turn in range(2):
            for sock, want in ((there, outward), (near, inward)):
                if sock is near:
                    PARENT.call("ip", "addr", "add", address, "dev", "lo", *extra)
                for when in ("at first", "then", "later"):
                    watch(PARENT, f"udp dport {PORT} {family.nft} daddr {dest}")
                    marker = os.urandom(8)
                    send(here, (dest, PORT), marker, 4)
                    got = (len(gather(sock, 4, marker)), seen(PARENT))
                    unwatch(PARENT)
                    grace_period()
                    # By IPv6 nothing is known for sure right after a change.
                    if when != "at first":
                        same(got, (4, want), f"{name}, {turn + 1}, {when}: to {'the parent' if sock is near else 'outside'}")
            PARENT.call("ip", "addr", "del", address, "dev", "lo")
            # IPv6 takes the other route away too, if that is to the same address.
            PARENT.call(*family.ip("route", "replace", address, "via", family.outside))
    PARENT.call(*family.ip("route", "del", address))
    OUTSIDE.call("ip", "addr", "del", address, "dev", "lo")


def rerouted(family):
    """Rules send what comes by the port another way, also what OUTPUT makes something else of."""
    name = f"{family.name}, rules for the port"
    elsewhere = "203.0.113.9" if family is V4 else "2001:db8:9::9"
    PARENT.call("ip", "link", "add", "vpn0", "type", "dummy")
    PARENT.call("ip", "link", "set", "vpn0", "up")
    PARENT.call(*family.ip("route", "add", "default", "dev", "vpn0", "table", "100"))
    # By IPv6 what the parent itself sends, and what it sends on, may have one route: here until the mark.
    of_all, of_marked = ("iif", "p1", "lookup", "100"), ("iif", "p1", "fwmark", "1", "lookup", "100")
    set_dscp = f"{family.nft} daddr {family.outside} {family.nft} dscp set af11"
    dnat = f"{family.nft} daddr {elsewhere} dnat {family.nft} to {family.outside}"
    # The kind of chain and hooks of the full path and of output; what it does; and to whom packets go.
    changes = {
        "left as they are": (of_all, "filter", ("prerouting", "output"), "accept", family.outside),
        "another DSCP": (of_all, "route", ("", "output"), set_dscp, family.outside),
        "another destination": (of_all, "nat", ("prerouting", "output"), dnat, elsewhere),
        "a mark": (of_marked, "filter", ("prerouting", ""), "meta mark set 1", family.outside),
        "a mark after output": (of_marked, "route", ("", "output"), "meta mark set 1", family.outside),
        "another DSCP, and a program": (of_all, "route", ("", "output"), f"{set_dscp}; }}\n chain q {{ type filter hook output priority 0; {family.nft} daddr {family.outside} queue num 0", family.outside),
    }
    for what, (of, kind, hooks, rule, dest) in changes.items():
        PARENT.call(*family.ip("rule", "add", *of))
        for words, hook in zip(("none", "output"), hooks):
            if of is of_marked and not hook:
                continue
            shortcut("p1", words)
            chain = f"chain c {{ type {kind} hook {hook} priority -100; {rule}; }}" if hook else ""
            queue = Queue(PARENT) if "queue" in rule else None
            with Rules(PARENT, chain), OUTSIDE.udp(family, PORT) as there, BLUE.udp(family) as here:
                # What is remembered at first, too.
                send(here, (dest, PORT), b"first", 3)
                gone, left = device(PARENT, "vpn0")[2], ways()
                send(here, (dest, PORT), b"then")
                came = until(lambda: device(PARENT, "vpn0")[2] - gone >= COUNT)
                stray = drain(there, SILENCE / 4)
                by = "by output" if words == "output" else "by the full path"
                report(came and not stray, f"{name}, {by}, {what}: all go that way", device(PARENT, "vpn0")[2] - gone, len(stray))
                if words == "output":
                    same(took(left), COUNT, f"{name}, {by}, {what}: by the shortcut")
            if queue:
                queue.close()
        PARENT.call(*family.ip("rule", "del", *of))
    PARENT.call("ip", "link", "del", "vpn0")


def settled(family):
    """As reaches(), of the last of three, which goes by what is remembered of the first."""
    got = [reaches(family)]
    if family is V6:
        grace_period()
    return (got + [reaches(family) for _ in range(2)])[-1]


def refused(family):
    """What the parent's routes refuse, and what they look deeper for."""
    name = family.name
    errors = {"blackhole": (None, "EINVAL"), "prohibit": ("EACCES", "EHOSTUNREACH"), "unreachable": ("EHOSTUNREACH", "ENETUNREACH")}
    settled(family)
    for kind, wanted in errors.items():
        PARENT.call(*family.ip("route", "add", kind, family.host(family.outside)))
        with BLUE.udp(family) as sock:
            sock.setsockopt(*option(family, 11, 25), 1)  # IP_RECVERR
            sock.connect((family.outside, PORT))
            sock.send(b"?")
            select.select([sock], [], [], SILENCE if kind == "blackhole" else PATIENCE)
            got = errno.errorcode.get(sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR))
        same((got in wanted, reaches(family, False)), (True, False), f"{name}: a route says {kind}, the child hears {got}")
        PARENT.call(*family.ip("route", "del", kind, family.host(family.outside)))
        same(settled(family), True, f"{name}: ... no longer than it is there")
    # The incoming device does not forward: as on the full path.
    switch = "ipv4__conf__{}__forwarding" if family is V4 else "ipv6__conf__{}__forwarding"
    for dev in ("p1", "all"):
        PARENT.sysctl(**{switch.format(dev): 0})
        # IPv6 of the kernel asks the switch of all devices only.
        free = family is V6 and dev == "p1"
        for words in ("none", "output"):
            shortcut("p1", words)
            same(reaches(family, free), free, f"{name}: forwarding of {dev} off, shortcut {words}")
        PARENT.sysctl(**{switch.format(dev): 1})
    if family is V4:
        switches_turned()
    else:
        # Turning it off and on again takes routes away.
        PARENT.call("ip", "-6", "addr", "replace", "2001:db8:2::1/64", "dev", "up0")
    same(settled(family), True, f"{name}: forwarding is on again")
    selector = ("src", family.host(family.child(1)), "dst", family.host(family.outside))
    for direction in ("fwd", "out"):
        PARENT.call("ip", "xfrm", "policy", "add", *selector, "dir", direction, "action", "block")
        same(reaches(family, False), False, f"{name}: a policy of IPsec blocks ({direction})")
        PARENT.call("ip", "xfrm", "policy", "delete", *selector, "dir", direction)
        same(settled(family), True, f"{name}: ... no longer than it is there")
    for rule in (("iif", "p1"), ("from", family.host(family.child(1)))):
        PARENT.call(*family.ip("rule", "add", *rule, "pref", "100", "prohibit"))
        same(reaches(family, False), False, f"{name}: a rule {rule[0]} refuses")
        PARENT.call(*family.ip("rule", "del", *rule, "pref", "100"))
        same(settled(family), True, f"{name}: ... no longer than it is there")
    classes(family)
    for space, dev in ((PARENT, "up0"), (PARENT, "p1"), (BLUE, "c0")):
        space.call("ip", "link", "set", dev, "down")
        same(reaches(family, False), False, f"{name}: {dev} is down")
        space.call("ip", "link", "set", dev, "up")
        restore()
        # Each is waited for shortly, so that until() asks again: the first may be lost
        # where a worker of the kernel's has not yet seen a carrier.
        report(until(lambda: reaches(family, patience=PATIENCE / 10)), f"{name}: {dev} is up again")


def classes(family):
    """A rule by the class of packets is for those of the class, though another one was before."""
    rule = ("tos", "0x10", "pref", "100", "prohibit")
    for known in (0, 0x10):
        same(reaches(family, tos=known), True, f"{family.name}: class {known} gets out, as all do")
        PARENT.call(*family.ip("rule", "add", *rule))
        got = [reaches(family, tos != 0x10, tos=tos) for tos in (0x10, 0, 0x10, 0)]
        same(got, [False, True, False, True], f"{family.name}: ... until a rule refuses class 0x10, which it does to no other")
        PARENT.call(*family.ip("rule", "del", *rule))
    same(reaches(family, tos=0x10), True, f"{family.name}: ... no longer than it is there")


def switches_turned():
    """Switches of the port that have a say take effect at once."""
    shortcut("p1", "output")
    steps = [reaches(V4)]
    for value in (0, 1):
        with PARENT:
            Rtnl().forwarding("p1", value)
        steps.append(reaches(V4, value))
    same(steps, [True, False, True], "IPv4: forwarding of p1 on, off, on by netlink")
    # A child that may use any source, and does; the parent's own check still has a say.
    foreign = "203.0.113.7"
    BLUE.call("ip", "addr", "add", f"{foreign}/32", "dev", "lo")
    PARENT.call("ip", "link", "set", "p1", "type", "passthru", "spoofchk", "off")
    here, not_there = (True, True, 2), (False, False, 0)
    got = filtered(foreign, (0, 1, 2, 0))
    same(got, [here, not_there, not_there, here], "IPv4: a foreign source, rp_filter of p1 off, strict, loose, off")
    PARENT.call("ip", "link", "set", "p1", "type", "passthru", "spoofchk", "on")
    BLUE.call("ip", "addr", "del", f"{foreign}/32", "dev", "lo")
    # One of the child's own, to which a rule for what comes in where it goes out leads by another
    # device; other rules lead back to the port.
    elsewhere = ("dev", "elsewhere", "table", "200")
    PARENT.call("ip", "link", "add", "elsewhere", "up", "type", "dummy")
    PARENT.call("ip", "route", "add", V4.host(V4.child(1)), *elsewhere)
    PARENT.call("ip", "rule", "add", "pref", "200", "iif", "up0", "lookup", "200")
    got = filtered(V4.child(1), (0, 1, 0))
    same(got, [here, not_there, here], "IPv4: a source that a rule leads elsewhere to, rp_filter of p1 off, strict, off")
    PARENT.call("ip", "rule", "del", "pref", "200")
    PARENT.call("ip", "link", "del", "elsewhere")


def filtered(source, values):
    """Whether blue's packets get out while rp_filter of its port is turned, and by the shortcut."""
    steps = []
    for value in values:
        PARENT.sysctl(ipv4__conf__p1__rp_filter=value)
        before = ways()
        steps.append((*(reaches(V4, not value, source) for _ in range(2)), took(before)))
    return steps


def restore():
    """Addresses and routes that a device lost when it went down."""
    for family in FAMILIES:
        length = 24 if family is V4 else 64
        PARENT.call(*family.ip("addr", "replace", f"{family.uplink}/{length}", "dev", "up0"))
        PARENT.call(*family.ip("addr", "replace", f"{family.port(1)}/{length}", "dev", "p1"))
        BLUE.call(*family.ip("addr", "replace", f"{family.child(1)}/{length}", "dev", "c0"))
        BLUE.call(*family.ip("route", "replace", "default", "via", family.port(1), "dev", "c0"), check=False)
        OUTSIDE.call(*family.ip("route", "replace", "default", "via", family.uplink), check=False)


class Flow(threading.Thread):
    """Datagrams with numbers, as fast as they go, until told to end."""

    def __init__(self, sock, dest):
        super().__init__()
        self.sock, self.dest, self.number, self.ended, self.refused = sock, dest, 0, False, 0

    def run(self):
        while not self.ended:
            try:
                self.sock.sendto(struct.pack("!I", self.number), self.dest)
                self.number += 1
            except OSError:
                self.refused += 1
            if self.number % 16 == 0:
                time.sleep(0.001)


def under_load(family, change, rounds):
    """Numbers that arrive while something is changed over and over: (sent,
    arrived, overtaken)."""
    with OUTSIDE.udp(family, PORT) as there, BLUE.udp(family) as here:
        there.setsockopt(socket.SOL_SOCKET, 33, 32 << 20)  # SO_RCVBUFFORCE
        flow = Flow(here, (family.outside, PORT))
        flow.start()
        for number in range(rounds):
            change(number)
        flow.ended = True
        flow.join()
        numbers = [struct.unpack("!I", data)[0] for data in gather(there, flow.number)]
    overtaken = sum(new <= old for old, new in zip(numbers, numbers[1:]))
    return flow.number, len(numbers), overtaken


def load(family):
    """Shortcut and routes change under load: nothing is lost or overtaken."""
    name = family.name
    sent, arrived, overtaken = under_load(family, lambda number: shortcut("p1", "output" if number % 2 else "none"), 200)
    report(sent == arrived > 0 and not overtaken, f"{name}: the shortcut on and off under load", f"{sent} sent, {arrived} arrived, {overtaken} overtaken")
    shortcut("p1", "output")
    host = family.host(family.outside)

    def route(number):
        PARENT.call(*family.ip("route", "del" if number % 2 else "add", host, "dev", "up0"))

    before = ways()
    sent, arrived, overtaken = under_load(family, route, 200)
    report(sent == arrived > 0 and not overtaken and took(before), f"{name}: routes that change under load", f"{sent} sent, {arrived} arrived, {overtaken} overtaken")


def deleted():
    """Ports that go, and children that move, while they send."""
    for act in ("delete the child", "delete the port", "move the child", "end the namespace", "remove the uplink"):
        PARENT.call("ip", "netns", "add", "brief")
        brief = Space("brief")
        PARENT.call("ip", "link", "add", "p9", "type", "passthru", "shortcut", "all", "peer", "name", "c0", "netns", "brief")
        PARENT.call("ip", "link", "add", "up9", "type", "dummy")
        PARENT.call("ip", "link", "set", "up9", "up")
        PARENT.call("ip", "route", "add", "198.18.0.0/15", "dev", "up9")
        PARENT.call("ip", "addr", "add", "10.0.9.1/24", "dev", "p9")
        PARENT.call("ip", "link", "set", "p9", "up")
        brief.call("ip", "addr", "add", "10.0.9.2/24", "dev", "c0")
        brief.call("ip", "link", "set", "c0", "up")
        brief.call("ip", "route", "add", "default", "via", "10.0.9.1")
        sock = brief.udp(V4)
        flow = Flow(sock, ("198.18.0.1", 9))
        flow.start()
        left = until(lambda: statistics(PARENT, "p9")["tx_output"])
        if act == "delete the child":
            brief.call("ip", "link", "del", "c0")
        elif act == "delete the port":
            PARENT.call("ip", "link", "del", "p9")
        elif act == "move the child":
            brief.call("ip", "link", "set", "c0", "netns", "outside", "name", "c9")
        elif act == "remove the uplink":
            PARENT.call("ip", "link", "del", "up9")
        else:
            PARENT.call("ip", "netns", "del", "brief")
        time.sleep(0.1)
        flow.ended = True
        flow.join()
        sock.close()
        del brief
        for command in (("link", "del", "p9"), ("link", "del", "up9"), ("netns", "del", "brief")):
            PARENT.call("ip", *command, check=False)
        report(left > 0, f"{act} under load", f"{left} left by the shortcut")


def views_of_all(family):
    """Who sees the packets, with the shortcut and without."""
    for words in ("none", "output"):
        shortcut("p1", words)
        views(family, words)
        hops(family, words)
        unconfirmed(family, words)


PARTS = {
    "views": (grown, views_of_all, to_parent, segments, path_mtu, told_once, held_too_long, learned, black_hole),
    "changes": (devices, moved_address, by_input, translated, rerouted, refused, load),
}


def main():
    """One part for each IP version."""
    if sys.argv[1] == "changes":
        # The first: what rules and policies leave behind keeps routes from being remembered.
        shortcut("p1", "output")
        forgotten()
    for family in FAMILIES:
        for act in PARTS[sys.argv[1]]:
            began = time.monotonic()
            shortcut("p1", "output")
            try:
                act(family)
            except OSError as error:
                report(False, f"{family.name}: {act.__name__}: traffic gets through", error)
            print(f"# {act.__name__}: {time.monotonic() - began:.1f} s")
    if sys.argv[1] == "changes":
        deleted()


if __name__ == "__main__":
    sys.exit(main())
