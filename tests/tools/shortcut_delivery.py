#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Real traffic with every set of shortcuts: ICMP, UDP and TCP in both
directions and between children, with what a parent may have in its way.

usage: shortcut_delivery.py [--quick]

Each result stands for all traffic of one IP version under one set of shortcuts,
one kind of route to the child and one kind of netfilter rules in the parent.
"""

import argparse
import socket
import sys

from world import FAMILIES, PATIENCE, Space, V4, connected, difference, exchange, ping, receive, report, shortcut, statistics

PARENT, OUTSIDE, BLUE, RED = (Space(name) for name in ("-", "outside", "blue", "red"))

# Sets, by the kind of the route to the child: with a local route an address is
# the parent's own where no shortcut takes the packet.
SETS = {
    "unicast": ("none", "device", "route", "netfilter", "socket", "route,socket", "output", "all"),
    "local": ("device,netfilter", "netfilter", "netfilter,output", "all"),
}

RULES = {
    "no rules": "",
    "conntrack": """
        chain f { type filter hook forward priority 0; policy drop; ct state established,related,new accept; }
        chain i { type filter hook input priority 0; policy drop; ct state established,related,new,untracked accept; }
    """,
    "NAT": """
        chain f { type filter hook forward priority 0; policy drop; ct state established,related,new accept; }
        chain d { type nat hook prerouting priority dstnat; policy accept;
            iifname up0 ip daddr 192.0.2.1 meta l4proto { tcp, udp } th dport 8080 dnat ip to 10.0.1.2:7777
            iifname up0 ip6 daddr 2001:db8:2::1 meta l4proto { tcp, udp } th dport 8080 dnat ip6 to [fd00:1::2]:7777
        }
        chain s { type nat hook postrouting priority srcnat; policy accept; oifname up0 masquerade; }
    """,
}


WAYS = ("rx_device", "rx_route", "rx_netfilter", "rx_socket", "tx_output", "tx_sibling")


def ways(family, kind, rules, words):
    """Of the shortcuts, those that some of the traffic must take, and those that it may."""
    allowed = {way for way in WAYS if words == "all" or way.split("_")[1] in words.split(",")}
    allowed -= {"rx_netfilter"} if kind == "unicast" else {"rx_route"}
    most = allowed | ({"tx_sibling"} if "tx_output" in allowed else set())
    # From an address that is held for it a child sends as its parent does.
    if "rx_netfilter" in allowed:
        allowed |= {"tx_output"}
        most |= {"tx_output"}
    # With all of them there is an earlier one for what takes this.
    least = most - ({"rx_route"} if words == "all" else set())
    if kind == "local" and rules != "no rules":
        # Tracking has to see all of it, until a socket is known; and what comes by the port from an
        # address of the parent's own is not routed by IPv4, but sent as the parent's own.
        least -= {"rx_device"} | ({"tx_sibling"} if family is V4 else set())
    return least, most


def set_rules(kind):
    """Replaces the parent's rules."""
    PARENT.nft("table inet way\ndelete table inet way\n" + (f"table inet way {{ {RULES[kind]} }}\n" if RULES[kind] else ""))


def set_route(family, kind):
    """Makes blue's address one that the parent routes, or one of its own."""
    action = "replace" if kind == "local" else "del"
    PARENT.call(*family.ip("route", action, "local", family.child(1), "dev", "p1"), check=kind == "local")


def echo_udp(client, server, family, dest, port=7777):
    """A datagram to a socket that is not connected, and its answer."""
    with server.udp(family, 7777) as there, client.udp(family) as here:
        for size in (1, 100, 1400):
            here.sendto(b"q" * size, (dest, port))
            data, source = there.recvfrom(65536)
            there.sendto(b"a" + data, source)
            answer, seen_as = here.recvfrom(65536)
            if answer != b"a" + data or seen_as[0] != dest:
                return f"answer of {len(answer)} bytes from {seen_as[0]}"
    return ""


def talk_udp(client, server, family, dest):
    """Datagrams between two connected sockets."""
    with server.udp(family, 7778) as there, client.udp(family, 7779) as here:
        here.connect((dest, 7778))
        here.send(b"hello")
        there.connect(there.recvfrom(100)[1][:2])
        for number in range(5):
            here.send(b"%d" % number)
            there.send(b"%d." % number)
            if there.recv(100) != b"%d" % number or here.recv(100) != b"%d." % number:
                return f"lost at {number}"
    return ""


def talk_tcp(client, server, family, dest, bulk=300_000, port=7777, published=None):
    """A connection with requests, answers and much data, closed by both."""
    listener = server.listener(family, 7777 if published else port)
    with client.socket(family.af, socket.SOCK_STREAM) as here:
        here.connect((dest, published or port))
        there = listener.accept()[0]
        listener.close()
        with there:
            there.settimeout(PATIENCE)
            if not exchange(here, there, 3, bulk):
                return "bytes were lost"
            here.shutdown(socket.SHUT_WR)
            if receive(there, 1):
                return "no end of the stream"
    return ""


def refused_tcp(client, family, dest):
    """Nobody listens: the child says so at once."""
    with client.socket(family.af, socket.SOCK_STREAM) as here:
        try:
            here.connect((dest, 7999))
        except ConnectionRefusedError:
            return ""
    return "connected"


def echo_icmp(family, dest, count=3):
    """Echo requests from outside, answered by the child itself."""
    counter = ("Icmp", "InEchos") if family is V4 else ("Icmp6", "InEchos")
    before = BLUE.snmp(*counter)
    answered = ping(OUTSIDE, family, dest, count)
    by_child = BLUE.snmp(*counter) - before
    return "" if answered == by_child == count else f"{answered} of {count} answered, {by_child} by the child"


def masqueraded(family):
    """A connection of the child's to the outside, which sees the parent's address."""
    here, there = connected(BLUE, OUTSIDE, family, family.outside, 7801)
    with here, there:
        if there.getpeername()[0] != family.uplink:
            return f"seen as {there.getpeername()[0]}"
        return "" if exchange(here, there, 2, 100_000) else "bytes were lost"


def traffic(family, rules, quick):
    """Yields (what, problem) for all traffic; no problem is an empty text."""
    blue = family.child(1)
    bulk = 0 if quick else 300_000
    yield "ICMP", lambda: echo_icmp(family, blue)
    yield "UDP", lambda: echo_udp(OUTSIDE, BLUE, family, blue)
    yield "connected UDP", lambda: talk_udp(OUTSIDE, BLUE, family, blue)
    yield "TCP", lambda: talk_tcp(OUTSIDE, BLUE, family, blue, bulk)
    yield "refused TCP", lambda: refused_tcp(OUTSIDE, family, blue)
    yield "TCP by the child", lambda: talk_tcp(BLUE, OUTSIDE, family, family.outside, bulk, 7800)
    yield "UDP by the child", lambda: echo_udp(BLUE, OUTSIDE, family, family.outside)
    yield "TCP of a sibling", lambda: talk_tcp(RED, BLUE, family, blue, bulk)
    yield "UDP of a sibling", lambda: echo_udp(RED, BLUE, family, blue)
    if rules == "NAT":
        yield "published TCP", lambda: talk_tcp(OUTSIDE, BLUE, family, family.uplink, bulk, published=8080)
        yield "published UDP", lambda: echo_udp(OUTSIDE, BLUE, family, family.uplink, 8080)
        yield "masqueraded TCP", lambda: masqueraded(family)


def run(family, kind, rules, words, quick):
    """One result for all traffic."""
    problems = []
    before = statistics(PARENT, "p1")
    for what, act in traffic(family, rules, quick):
        try:
            problem = act()
        except OSError as error:
            problem = str(error)
        if problem:
            problems.append(f"{what}: {problem}")
        if len(problems) == 3:
            problems.append("and so on")
            break
    report(not problems, f"{family.name}, {kind} route, {rules}: shortcut {words}", *problems)
    taken = {key for key in difference(statistics(PARENT, "p1"), before) if key.startswith(WAYS)}
    least, most = ways(family, kind, rules, words)
    report(least <= taken <= most, f"{family.name}, {kind} route, {rules}: shortcut {words}: by what there is", sorted(taken), sorted(least), sorted(most))


def main():
    """Goes through all combinations."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true")
    args = parser.parse_args()
    for rules in RULES:
        set_rules(rules)
        for family in FAMILIES:
            for kind, sets in SETS.items():
                set_route(family, kind)
                for words in sets:
                    shortcut("p1", words)
                    run(family, kind, rules, words, args.quick)
                shortcut("p1", "none")
            set_route(family, "unicast")


if __name__ == "__main__":
    sys.exit(main())
