#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Packets for the parent's own sockets, beside a port with shortcuts: what is
remembered of their routes saves lookups, and changes nothing else.

usage: shortcut_strangers.py
"""

import os
import sys
import time

from shortcut_validation import SOURCES, Trial, switches
from world import FAMILIES, PORT, V4, V6, Ears, Space, mac_of, report, runs, same, seen, shortcut, skip, statistics, until, unwatch, watch

PARENT, OUTSIDE, BLUE = (Space(name) for name in ("-", "outside", "blue"))
SETS = ("route", "netfilter", "all")
# ... and those by which a child has what is not held for it.
CHILDS = ("device", "route", "route,socket", "all")
TRACE = "/sys/kernel/tracing"
# An address of the parent's besides those that it needs.
OWN = {4: "192.0.2.9", 6: "2001:db8:2::9"}


class Story:
    """Packets from outside for an address, and who gets each."""

    def __init__(self, family, ears, words):
        self.family, self.ears, self.name = family, ears, f"{family.name}, shortcut {words}"
        self.dest = OWN[family.version]
        self.sender = OUTSIDE.udp(family)
        self.got, self.want = [], []
        # Who has the address is not asked: the parent says nothing of one that is on
        # another device, or a child's.
        mac = mac_of(PARENT, "up0")
        OUTSIDE.call("ip", "neigh", "replace", self.dest, "lladdr", mac, "dev", "out0", "nud", "permanent")

    def owner(self, silent=False):
        """Who gets a packet now."""
        got = self.ears.owner(lambda data: self.sender.sendto(data, (self.dest, PORT)), silent)
        return got.split(" (")[0]

    def ip(self, text):
        """A command of ip in the parent: HOST stands for the address."""
        PARENT.call(*self.family.ip(*text.replace("HOST", self.family.host(self.dest)).split()))

    def warm(self):
        """The flow is known: that of IPv6 once its routes have settled."""
        for _ in range(4):
            self.then("-")
            if self.family is not V4:
                time.sleep(0.05)

    def then(self, who, *commands):
        """Does something, and asks who gets the very next packet."""
        for command in commands:
            self.ip(command)
        got = self.owner(silent=who == "nobody")
        # An ICMP error of before may be what the socket tells of first.
        if got == "nobody" != who:
            got = self.owner()
        self.got.append(got)
        self.want.append(who)

    def end(self, name):
        """One result for all steps since the last."""
        same(self.got, self.want, f"{self.name}: {name}")
        self.got, self.want = [], []


def trace(name, value):
    """Sets a switch of the tracer."""
    with open(f"{TRACE}/{name}", "w", encoding="ascii") as file:
        file.write(value)


def lookups(family, send):
    """How often the kernel looks into its tables of routes for packets from outside."""
    event = "events/fib/fib_table_lookup" if family is V4 else "events/fib6/fib6_table_lookup"
    source = f" {family.outside}/"
    trace("trace", "")
    trace(f"{event}/enable", "1")
    send()
    trace(f"{event}/enable", "0")
    with open(f"{TRACE}/trace", encoding="ascii") as file:
        return sum(source in line for line in file)


def lookups_saved(family, ears, owner, address):
    """With a shortcut before routing they are not looked up again, in parent or child."""
    name = f"{family.name}: packets for {'the parent itself' if owner == '-' else owner}"
    if not os.path.exists(f"{TRACE}/events/fib/fib_table_lookup/enable"):
        skip(name, "this kernel does not trace lookups")
        return
    sender, count = OUTSIDE.udp(family), 10
    counts = []

    def send():
        got = {ears.owner(lambda data: sender.sendto(data, (address, PORT))).split(" (")[0] for _ in range(count)}
        if got != {owner}:
            report(False, f"{name} arrive", got)

    def saved():
        counts.append(lookups(family, send))
        return not counts[-1]

    shortcut("p1", "none")
    send()
    full = lookups(family, send)
    report(full >= count, f"{name} are looked up each time", full)
    for words in SETS if owner == "-" else CHILDS:
        shortcut("p1", words)
        send()
        time.sleep(0.2)
        send()
        # What is remembered may not have settled yet, and now and then a question for
        # the parent's link address has a lookup of its own.
        counts.clear()
        report(until(saved), f"{name} are not, shortcut {words}", counts)
    shortcut("p1", "none")
    sender.close()


def many_known():
    """Of many destinations of a child's each is known, wherever in the table its place is: some have
    the first of theirs in common with others."""
    name, prefix, counts = "IPv6: many addresses of a child's", "fd00:1:5::", []
    if not os.path.exists(f"{TRACE}/events/fib6/fib6_table_lookup/enable"):
        skip(name, "this kernel does not trace lookups")
        return
    many = 1000 if os.environ.get("LAB") == "debug" else 2000
    BLUE.call("ip", "-6", "route", "add", "local", f"{prefix}/64", "dev", "lo")
    PARENT.call("ip", "-6", "route", "add", f"{prefix}/64", "dev", "p1")
    shortcut("p1", "route")
    with OUTSIDE.udp(V6) as sender, BLUE.udp(V6, PORT):

        def send():
            for number in range(1, many + 1):
                sender.sendto(b"known", (f"{prefix}{number:x}", PORT))

        def is_known():
            # Once in a while five meet in one place, which has room for four.
            counts.append(lookups(V6, send))
            return counts[-1] <= 12

        report(until(is_known), f"{name} are looked up once", counts)
        before = statistics(PARENT, "p1")["rx_route"]
        send()
        taken = [0]

        def is_taken():
            taken[0] = statistics(PARENT, "p1")["rx_route"] - before
            return taken[0] == many

        report(until(is_taken), f"{name}: each takes the shortcut", taken, many)
    shortcut("p1", "none")
    PARENT.call("ip", "-6", "route", "del", f"{prefix}/64", "dev", "p1")
    BLUE.call("ip", "-6", "route", "del", "local", f"{prefix}/64", "dev", "lo", "table", "local")


def compare(trial):
    """The same sources are let in, whether the flow is known or not."""
    family = trial.family
    settings = ((0, 0, 0), (1, 0, 0), (2, 0, 0), (0, 1, 0), (1, 1, 0)) if family is V4 else ((0, 0, 0),)
    if os.environ.get("LAB") == "debug":
        settings = settings[:2]
    for setting in settings:
        switches(*setting)
        shortcut("p1", "none")
        want = trial.let_in(family.uplink, to="-", wanted=(family.outside,))
        name = f"{family.name}, rp_filter {setting[0]}, accept_local {setting[1]}"
        report(family.outside in want, f"{name}: who is no liar is let in", want)
        for words in SETS:
            shortcut("p1", words)
            for when in ("at first", "once seen", "once known"):
                got = trial.let_in(family.uplink, SOURCES[family.version], to="-", wanted=want)
                same(got, want, f"{name}, shortcut {words}: what the parent itself gets is the same, {when}")
    switches(0, 0, 0)


def switch_midway(trial):
    """A switch is turned while a flow is known."""
    liar, own = V4.child(2), V4.port(2)

    def arrives(source, wanted):
        return trial.let_in(V4.uplink, (source,), to="-", wanted=(source,) if wanted else ()) == [source]

    for words in SETS:
        shortcut("p1", words)
        for device in ("up0", "all"):
            steps = []
            for value in (0, 0, 1, 2 if device == "up0" else 1, 0, 0):
                PARENT.sysctl(**{f"ipv4__conf__{device}__rp_filter": value})
                steps.append(arrives(liar, value != 1))
            same(steps, [True, True, False, device == "up0", True, True], f"shortcut {words}: rp_filter of {device} is turned")
        steps = []
        for value in (0, 1, 1, 0):
            PARENT.sysctl(ipv4__conf__up0__accept_local=value)
            steps.append(arrives(own, value))
        same(steps, [False, True, True, False], f"shortcut {words}: accept_local is turned")


def addresses(story):
    """The address comes, goes, and becomes a child's."""
    story.ip("addr add HOST dev up0")
    story.warm()
    story.then("nobody", "addr del HOST dev up0")
    story.then("-", "addr add HOST dev up0")
    story.end("an address goes and comes back")
    story.warm()
    BLUE.call(*story.family.ip("addr", "add", story.family.host(story.dest), "dev", "c0"))
    story.then("blue", "addr del HOST dev up0", "route add HOST dev p1")
    story.then("blue")
    story.then("-", "addr add HOST dev up0")
    story.then("blue", "addr del HOST dev up0")
    story.end("an address becomes a child's, and the parent's again")
    BLUE.call(*story.family.ip("addr", "del", story.family.host(story.dest), "dev", "c0"))
    story.ip("route del HOST dev p1")


def rules(story):
    """Somebody asks other tables first."""
    story.ip("addr add HOST dev up0")
    story.warm()
    # The table of one's own addresses is asked before everything else.
    story.ip("rule add pref 100 lookup local")
    story.ip("rule del pref 0")
    for selector in ("to HOST", f"dport {PORT}", "iif up0"):
        story.warm()
        story.then("nobody", f"rule add {selector} pref 50 blackhole")
        story.then("nobody")
        story.then("-", f"rule del {selector} pref 50")
        story.end(f"a rule: {selector}")
    story.ip("rule add pref 0 lookup local")
    story.ip("rule del pref 100")
    story.warm()
    story.then("nobody", "route add blackhole HOST table local metric 1", "addr del HOST dev up0")
    story.then("nobody")
    story.ip("route del blackhole HOST table local")
    story.end("a blackhole in place of an address")


def links(story):
    """The device that packets come in by changes."""
    story.ip("addr add HOST dev lo")
    story.warm()
    PARENT.call("ip", "link", "add", "vrf9", "up", "type", "vrf", "table", "9")
    PARENT.call("ip", "link", "set", "up0", "master", "vrf9")
    story.then("nobody")
    PARENT.call("ip", "link", "set", "up0", "nomaster")
    if story.family is not V4:
        PARENT.receives("up0", story.family.uplink)
    story.then("-")
    PARENT.call("ip", "link", "del", "vrf9")
    story.then("-")
    story.end("the device joins a VRF and leaves it")
    story.warm()
    PARENT.call("ip", "link", "set", "lo", "down")
    PARENT.call("ip", "link", "set", "lo", "up")
    runs("up0")
    story.then("-", "addr replace HOST dev lo")
    story.then("nobody", "addr del HOST dev lo")
    story.end("the device of the address goes down and up")


def policies(story):
    """IPsec has a say, and then it has none."""
    story.ip("addr add HOST dev up0")
    story.warm()
    PARENT.call("ip", "xfrm", "policy", "add", "dst", story.family.host(story.dest), "dir", "in", "action", "block")
    story.then("nobody")
    PARENT.call("ip", "xfrm", "policy", "delete", "dst", story.family.host(story.dest), "dir", "in")
    story.then("-")
    story.then("nobody", "addr del HOST dev up0")
    story.end("a policy that blocks")


def sockets(family, ears, when):
    """A connected socket beside one that is not, and rules that ask whose it is."""
    sender = OUTSIDE.udp(family)
    friend = PARENT.udp(family, PORT + 1)
    friend.connect((family.outside, sender.getsockname()[1]))
    name = f"{family.name}, {when}: packets of a connected socket"
    for words in ("none", *SETS):
        shortcut("p1", words)
        got = []
        for number in range(4):
            token = b"%d" % number
            ears.owner(lambda data: sender.sendto(data, (family.uplink, PORT)))
            sender.sendto(token, (family.uplink, PORT + 1))
            got.append(friend.recv(100) == token)
        same(got, [True] * 4, f"{name} and of others on the same flow arrive, shortcut {words}")
        watch(PARENT, f"udp dport {PORT + 1} meta skuid 0", ("in",))
        for _ in range(4):
            sender.sendto(b"", (family.uplink, PORT + 1))
            friend.recv(100)
        counted = seen(PARENT)
        unwatch(PARENT)
        same(counted, {"in": 4}, f"{name} are found by a rule for their owner, shortcut {words}")
    friend.close()
    sender.close()


def held_by_source(ears):
    """An address out of the parent's own is held for the child where one source sends to it."""
    friend, dest, whole = "2001:db8:2::77", "2001:db8:9::1", "2001:db8:9::/64"
    held = ("local", f"{dest}/128", "from", f"{friend}/128", "dev", "p1", "table", "local")
    OUTSIDE.call("ip", "-6", "addr", "add", f"{friend}/128", "dev", "out0", "nodad")
    BLUE.call("ip", "-6", "addr", "add", f"{dest}/128", "dev", "c0", "nodad")
    PARENT.call("ip", "-6", "route", "add", "local", whole, "dev", "lo", "table", "local")
    PARENT.call("ip", "-6", "route", "add", *held)
    for words in ("netfilter", "all"):
        shortcut("p1", words)
        got = []
        with OUTSIDE.udp(V6, address=V6.outside) as other, OUTSIDE.udp(V6, address=friend) as one:
            for sender in (other, other, other, one, other, one):
                got.append(ears.owner(lambda data: sender.sendto(data, (dest, PORT))).split(" (")[0])
                time.sleep(0.05)
        want = ["-"] * 3 + ["blue", "-", "blue"]
        same(got, want, f"IPv6, shortcut {words}: an address that is the child's for one source, and the parent's own for others")
    PARENT.call("ip", "-6", "route", "del", *held)
    PARENT.call("ip", "-6", "route", "del", "local", whole, "dev", "lo", "table", "local")
    BLUE.call("ip", "-6", "addr", "del", f"{dest}/128", "dev", "c0")
    OUTSIDE.call("ip", "-6", "addr", "del", f"{friend}/128", "dev", "out0")
    shortcut("p1", "none")


def main():
    """All of it, for both IP versions."""
    # A device that joins a VRF and leaves it goes down on the way.
    PARENT.sysctl(ipv6__conf__up0__keep_addr_on_down=1)
    for family in FAMILIES:
        ears = Ears((PARENT, BLUE), (family,))
        # Once a namespace had rules it depends on them for good.
        lookups_saved(family, ears, "-", family.uplink)
        lookups_saved(family, ears, "blue", family.child(1))
        sockets(family, ears, "without rules")
        if family is V6:
            held_by_source(ears)
        ears.close()
    many_known()
    for family in FAMILIES:
        ears = Ears((PARENT, BLUE), (family,))
        trial = Trial(family, ears)
        compare(trial)
        if family is V4:
            switch_midway(trial)
        PARENT.call(*family.ip("rule", "add", "pref", "300", "lookup", "99"))
        sockets(family, ears, "with rules")
        PARENT.call(*family.ip("rule", "del", "pref", "300"))
        for words in SETS:
            shortcut("p1", words)
            story = Story(family, ears, words)
            for part in (addresses, rules, links, policies):
                part(story)
            story.sender.close()
        shortcut("p1", "none")
        ears.close()


if __name__ == "__main__":
    sys.exit(main())
