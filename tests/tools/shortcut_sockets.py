#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Sockets of a child that are found otherwise than most, by each set of shortcuts.

usage: shortcut_sockets.py

Wants the world of shortcuts.sh and a third child, `green`, behind the port `p3`,
with a table of its own for TCP; a fourth one, `violet`, behind `p4`, and a namespace `amber`,
both with a table of their own for UDP.
"""

import errno
import json
import socket
import subprocess
import sys
import time

from output import Rules
from world import FAMILIES, PORT, SILENCE, Space, connected, drain, exchange, gather, places_taken, report, same, shortcut, skip

PARENT, OUTSIDE, BLUE, GREEN = (Space(name) for name in ("-", "outside", "blue", "green"))
# What each set says of the place that packets for established sockets come by.
SETS = (("none", None), ("route", "route"), ("route,socket", "socket"), ("device", "device"), ("all", "device"))
# That of a child whose address the parent holds.
HELD = ("netfilter", "netfilter")
TO_DEVICE = socket.SO_BINDTODEVICE
# Seconds within which a child's datagrams are tried for a connected socket once more.
TRIAL = 0.3


class Case:
    """One IP version by one set of shortcuts."""

    def __init__(self, family, words, place):
        self.family, self.place, self.name = family, place, f"{family.name}, {words}"
        for port in ("p1", "p3"):
            shortcut(port, words)

    def went_by(self, port, before):
        """Whether packets of established sockets came by the place that they should."""
        after = places_taken(port)
        return self.place is None or after[self.place] > before[self.place]


def own_table(case):
    """A connection in the child's own table."""
    before = places_taken("p3")
    try:
        here, there = connected(OUTSIDE, GREEN, case.family, case.family.child(3))
    except OSError as error:
        return report(False, f"{case.name}: a connection in a table of the child's own", error)
    with here, there:
        got = (exchange(here, there, 3, 100_000), case.went_by("p3", before))
    return same(got, (True, True), f"{case.name}: a connection in a table of the child's own")


def bound(case):
    """Sockets that are bound to a device have what comes by that device, and no other."""
    family, before = case.family, places_taken("p1")
    with BLUE.listener(family, PORT) as listener, OUTSIDE.socket(family.af, socket.SOCK_STREAM) as here:
        listener.setsockopt(socket.SOL_SOCKET, TO_DEVICE, b"c0")
        here.connect((family.child(1), PORT))
        with listener.accept()[0] as there:
            got = (exchange(here, there, 3, 50_000), case.went_by("p1", before))
    same(got, (True, True), f"{case.name}: TCP of a socket bound to the child's device")
    for device, wanted in ((b"c0", ("bound", True)), (b"lo", ("other", True))):
        before = places_taken("p1")
        with OUTSIDE.udp(family) as here, one_of_many(family) as tied, one_of_many(family) as other:
            tied.connect((family.outside, here.getsockname()[1]))
            tied.setsockopt(socket.SOL_SOCKET, TO_DEVICE, device)
            for number in range(3):
                here.sendto(b"%d" % number, (family.child(1), PORT))
            heard = tied if wanted[0] == "bound" else other
            silent = other if wanted[0] == "bound" else tied
            got = (gather(heard, 3), drain(silent, SILENCE))
        same(got, ([b"0", b"1", b"2"], []), f"{case.name}: datagrams beside a connected socket bound to {device.decode()}")
        if wanted[0] == "bound":
            report(case.went_by("p1", before), f"{case.name}: ... by their place")


def one_of_many(family):
    """A socket of blue whose port others may have, too."""
    sock = BLUE.socket(family.af, socket.SOCK_DGRAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind((family.any, PORT))
    return sock


def beside(case):
    """A connected socket has what comes from where it is connected to, and another one the rest, from
    the moment on that there is one, and until there is none; and raw sockets have all that is theirs.
    """
    family, tied = case.family, None
    with OUTSIDE.udp(family) as here, OUTSIDE.udp(family) as other, one_of_many(family) as free:

        def send():
            for number in range(3):
                here.sendto(b"h%d" % number, (family.child(1), PORT))
                other.sendto(b"o%d" % number, (family.child(1), PORT))

        for step in ("before there is a connected socket", "beside one", "when it is gone", "beside another one"):
            if step.startswith("beside"):
                tied = one_of_many(family)
                tied.connect((family.outside, here.getsockname()[1]))
            before = places_taken("p1")
            for times in range(3):
                if tied and times == 1:
                    time.sleep(TRIAL)
                send()
                got = [sorted(gather(free, 3 if tied else 6)), gather(tied, 3) if tied else []]
                hers, others = [b"h0", b"h1", b"h2"], [b"o0", b"o1", b"o2"]
                want = [others, hers] if tied else [hers + others, []]
                same(got, want, f"{case.name}: datagrams {step} ({times + 1})")
            if tied:
                report(case.went_by("p1", before), f"{case.name}: ... by their place")
                with raw(BLUE, family) as mine, raw(GREEN, family) as others:
                    send()
                    got = [len(gather(sock, count)) for sock, count in ((free, 3), (tied, 3), (mine, 6))]
                    same((got, len(drain(others, SILENCE))), ([3, 3, 6], 0), f"{case.name}: datagrams {step} with raw sockets")
                tied.close()
                tied = None


def raw(space, family):
    """A socket that sees all datagrams of a namespace."""
    return space.socket(family.af, socket.SOCK_RAW, socket.IPPROTO_UDP)


# What else the child's rules do to a packet before they ask whose it is.
BEFORE = {"at once": "", "after others": "counter", "of packets that they marked": "meta mark set 1"}


def owned(case):
    """The child's rules before its sockets can ask whose a packet is."""
    family = case.family
    for when, first in BEFORE.items():
        chain = f"chain p {{ type filter hook prerouting priority 0; {first}; }}" if first else ""
        counters = "".join(
            f"{protocol} dport {PORT} counter name all_{protocol}; meta skuid 0 {protocol} dport {PORT} counter name own_{protocol};\n"
            for protocol in ("tcp", "udp")
        )
        named = "".join(f"counter {name} {{}}\n" for name in ("all_tcp", "own_tcp", "all_udp", "own_udp"))
        with OUTSIDE.udp(family) as here, BLUE.udp(family, PORT) as there:
            there.connect((family.outside, here.getsockname()[1]))
            # What is told of a connection's first packets is the same with rules as without.
            stream, end = connected(OUTSIDE, BLUE, family, family.child(1))
            with stream, end:
                for _ in range(3):
                    here.sendto(b"k", (family.child(1), PORT))
                gather(there, 3)
                with Rules(BLUE, f"{named}{chain}\nchain i {{ type filter hook input priority 0; {counters} }}"):
                    for number in range(3):
                        here.sendto(b"%d" % number, (family.child(1), PORT))
                        stream.send(b"x")
                    gather(there, 3)
                    time.sleep(0.05)
                    counted = packets_counted(BLUE)
        of_udp = (counted["all_udp"], counted["own_udp"])
        same(of_udp, (3, 3), f"{case.name}: rules can ask {when} whose a datagram is")
        of_tcp = (counted["all_tcp"] > 0, counted["all_tcp"] - counted["own_tcp"])
        same(of_tcp, (True, 0), f"{case.name}: rules can ask {when} whose a connection is")


def packets_counted(space):
    """The counters of its rules."""
    listing = json.loads(space.call("nft", "-j", "list", "counters", "table", "inet", "extra"))
    return {entry["counter"]["name"]: entry["counter"]["packets"] for entry in listing["nftables"] if "counter" in entry}


def redirected(case):
    """What the child's rules send to another port is not for the connection that it came for."""
    family, name = case.family, f"{case.name}: a datagram that the child redirects"
    rules = f"table {family.nft} r {{ chain p {{ type nat hook prerouting priority -100; udp dport 7941 redirect to :7942; }}\n}}\n"
    with BLUE:
        done = subprocess.run(["nft", "-f", "-"], input=rules, text=True, capture_output=True, check=False)
    if done.returncode:
        skip(name, "no NAT in nft")
        return
    with OUTSIDE.udp(family) as here, BLUE.udp(family, 7941) as connection, BLUE.udp(family, 7942) as other:
        connection.connect((family.outside, here.getsockname()[1]))
        for number in range(3):
            here.sendto(b"%d" % number, (family.child(1), 7941))
        same((gather(other, 3), drain(connection, SILENCE)), ([b"0", b"1", b"2"], []), f"{name} is not for the connection of before")
    BLUE.nft(f"delete table {family.nft} r\n")


def cookies(case):
    """A connection that the child makes of a SYN cookie."""
    BLUE.sysctl(ipv4__tcp_syncookies=2)
    before, places = cookies_taken(), places_taken("p1")
    try:
        here, there = connected(OUTSIDE, BLUE, case.family, case.family.child(1))
        with here, there:
            got = (exchange(here, there, 3, 50_000), cookies_taken() - before, case.went_by("p1", places))
    except OSError as error:
        got = error
    BLUE.sysctl(ipv4__tcp_syncookies=1)
    return same(got, (True, 1, True), f"{case.name}: a connection made of a SYN cookie")


def cookies_taken():
    """How many connections the child made of cookies."""
    with BLUE, open("/proc/thread-self/net/netstat", encoding="ascii") as file:
        lines = [line.split() for line in file if line.startswith("TcpExt:")]
    return int(dict(zip(*lines))["SyncookiesRecv"])


def errors(case):
    """What is not answered is told of, both ways, though the parent translates."""
    family = case.family
    literal = family.child(1) if family.version == 4 else f"[{family.child(1)}]"
    rules = f"""
        chain d {{ type nat hook prerouting priority dstnat; {family.nft} daddr {family.uplink} udp dport 8080 dnat {family.nft} to {literal}:7900; }}
        chain s {{ type nat hook postrouting priority srcnat; oifname up0 masquerade; }}
        chain f {{ type filter hook forward priority 0; policy drop; ct state established,related accept; ct status dnat accept; iifname p1 accept; }}
    """
    with Rules(PARENT, rules):
        for sender, dest, name in (
            (BLUE, (family.outside, 7901), "the child hears that nobody is there outside"),
            (OUTSIDE, (family.uplink, 8080), "the outside hears that nobody is at a published port"),
        ):
            with sender.udp(family) as sock:
                sock.connect(dest)
                got = []
                for _ in range(2):
                    sock.send(b"?")
                    try:
                        got.append(sock.recv(100))
                    except OSError as error:
                        got.append(error.errno)
            same(got, [errno.ECONNREFUSED] * 2, f"{case.name}: {name}")


def lodge(space):
    """Gives the fourth child its addresses, more than are remembered; returns them by version."""
    lodged = {}
    for family in FAMILIES:
        lodged[family] = [family.child(4)[:-1] + str(last) for last in range(10, 34)]
        for address in lodged[family]:
            space.call(*family.ip("addr", "add", family.host(address), "dev", "c0"))
        space.call(*family.ip("route", "replace", "default", "dev", "c0"))
    return lodged


def of_each_address(space, lodged, name):
    """A connected socket of each address is found, the first time and later, and then those of one of
    them. One at a time: only what is first in a chain is looked at."""
    for family, addresses in lodged.items():
        with OUTSIDE.udp(family) as here:
            before, missing = places_taken("p4")["socket"], []
            for number, chosen in enumerate([addresses] * 6 + [addresses[2:3]] * 3):
                for address in chosen:
                    with space.udp(family, PORT, address) as sock:
                        sock.connect((family.outside, here.getsockname()[1]))
                        here.sendto(b"n", (address, PORT))
                        came = len(gather(sock, 1))
                    after = places_taken("p4")["socket"]
                    # The first one of all may have come by the full path.
                    if (came, after - before) != (1, 1) and (number, address) != (0, addresses[0]):
                        missing.append((number, address))
                    before = after
                time.sleep(TRIAL)
        same(missing, [], f"{family.name}, {name}: connected sockets of many addresses are found")


def moves():
    """Another namespace finds sockets otherwise."""
    violet, amber = Space("violet"), Space("amber")
    shortcut("p4", "route,socket")
    of_each_address(violet, lodge(violet), "in one namespace")
    violet.call("ip", "link", "set", "c0", "netns", "amber")
    amber.call("ip", "link", "set", "c0", "up")
    of_each_address(amber, lodge(amber), "in the next namespace")


def main():
    """Each by each version and set."""
    for family in FAMILIES:
        for words, place in SETS:
            case = Case(family, words, place)
            run(case, (own_table, bound, beside, owned, redirected, cookies, errors))
        route = family.ip("route"), ("local", family.child(1), "dev", "p1")
        PARENT.call(*route[0], "add", *route[1])
        run(Case(family, *HELD), (bound, beside))
        PARENT.call(*route[0], "del", *route[1])
    moves()


def run(case, acts):
    """One after the other."""
    for act in acts:
        try:
            act(case)
        except OSError as error:
            report(False, f"{case.name}: {act.__name__}: traffic gets through", error)


if __name__ == "__main__":
    sys.exit(main())
