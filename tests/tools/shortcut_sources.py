#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Several sources, one destination: what is known of it for one is known for the
others, but what makes one of them unwelcome holds for that one at once.

usage: shortcut_sources.py

The full path is asked which of them is refused, never assumed.
"""

import os
import sys

from shortcut_validation import BLUE, PARENT, RED, SOURCES, Trial, switches
from world import FAMILIES, V4, V6, Ears, difference, places_taken, same, shortcut

# The child has a route to it by another device, and the parent has none.
STRANGER = "203.0.113.9"
# The debug kernel waits long until it believes that nothing comes.
SETS = ("none", "device") if os.environ.get("LAB") == "debug" else ("none", "device", "route")


class Change:
    """Commands of ip in a namespace, and those that undo them."""

    def __init__(self, name, space, do, undo):
        self.name, self.space, self.do, self.undo = name, space, do, undo

    def turn(self, family, commands):
        """Runs commands."""
        for command in commands:
            self.space.call(*family.ip(*command))


class Switch(Change):
    """One of a device, of IPv4, that is on meanwhile."""

    def __init__(self, space, device, switch):
        super().__init__(f"{switch} of {device}", space, ("1",), ("0",))
        self.key = f"ipv4__conf__{device}__{switch}"

    def turn(self, _family, values):
        for value in values:
            self.space.sysctl(**{self.key: value})


class Nexthops(Change):
    """A group of them is of no version of IP."""

    def turn(self, _family, commands):
        for command in commands:
            self.space.call("ip", "nexthop", *command)


def filters():
    """Strict filters where routes to the source lead elsewhere, or nowhere. Turning one on changes
    no generation of routes."""
    return Switch(PARENT, "up0", "rp_filter"), Switch(BLUE, "c0", "rp_filter")


def addresses(liar):
    """The source is an address of one's own."""
    for name, space, device in (("the child", BLUE, "lo"), ("the parent", PARENT, "up0")):
        words = (V4.host(liar), "dev", device)
        yield Change(f"an address of {name}", space, [("addr", "add", *words)], [("addr", "del", *words)])


def among_many(liar):
    """The source is one of more addresses than are gone through."""
    BLUE.call("ip", "link", "add", "many", "up", "type", "dummy")
    for number in range(300):
        BLUE.call("ip", "addr", "add", f"10.77.{number // 250}.{number % 250 + 1}/32", "dev", "many")
    change = next(addresses(liar))
    change.name += " with hundreds of them"
    return change


def local_routes(liar):
    """The source is one's own by a route that somebody set, and addresses are so still: from then on
    routes say which are."""
    for name, space in (("the child", BLUE), ("the parent", PARENT)):
        words = ("local", liar, "dev", "lo")
        yield Change(f"a local route of {name}", space, [("route", "add", *words)], [("route", "del", *words)])
    for change in addresses(liar):
        change.name += ", beside local routes"
        yield change


def by_source(name, space, dest, liar, table, own=False):
    """The destination has a route for the source that leads nowhere. The kernel does not come back
    to routes from anywhere of a destination that has such ones: what is its own needs another."""
    to = V6.host(dest)
    words = [("unreachable", to, "from", V6.host(liar), "metric", "1", "table", table)]
    if own:
        words.append(("local", to, "from", "2000::/3", "dev", "lo", "table", table))
    do, undo = ([("route", verb, *route) for route in words] for verb in ("add", "del"))
    return Change(f"a route by source of {name}", space, do, undo)


def routes(liar):
    """By source: in the table that the destination is found in, or one that is asked before; the first
    of a namespace, and where there are others already, for other destinations."""
    dest = V6.child(1)
    for beside in (False, True):
        for name, space, table, own in (
            ("the child", BLUE, "local", True),
            ("the parent", PARENT, "main", False),
            ("the parent, in another table", PARENT, "local", False),
        ):
            change = by_source(name, space, dest, liar, table, own)
            change.name += ", beside others" if beside else ""
            yield change
        if not beside:
            for space in (PARENT, BLUE):
                for other in ("default", "2001:db8:99::/64"):
                    words = ("unreachable", other, "from", V6.host(liar))
                    space.call(*V6.ip("route", "add", *words))


def rule(family, liar, name, space):
    """A rule for the source, before that for local routes."""
    later = [("rule", "add", "pref", "100", "lookup", "local"), ("rule", "del", "pref", "0")]
    refuse = ("rule", "add", "from", family.host(liar), "pref", "50", "prohibit")
    undo = [("rule", "del", "pref", "50"), ("rule", "add", "pref", "0", "lookup", "local"), ("rule", "del", "pref", "100")]
    return Change(f"a rule of {name}", space, [*later, refuse], undo)


def ruled():
    """A strict filter where a rule for what goes to the child leads to the source elsewhere: what comes
    in by another device than rules ask for would be as welcome as before."""
    PARENT.call("ip", "link", "add", "elsewhere", "up", "type", "dummy")
    PARENT.call("ip", "route", "add", STRANGER, "via", V4.outside)
    PARENT.call("ip", "route", "add", STRANGER, "dev", "elsewhere", "table", "200")
    PARENT.call("ip", "rule", "add", "pref", "200", "iif", "p2", "lookup", "200")
    change = Switch(PARENT, "up0", "rp_filter")
    change.name += ", behind a rule for a device"
    return change


def grouped():
    """Of the nexthops by which the parent would answer, the one goes that leads back."""
    PARENT.call("ip", "link", "add", "beside", "up", "type", "dummy")
    PARENT.sysctl(ipv4__conf__up0__rp_filter=1)
    both = [("add", "id", "1", "dev", "up0"), ("replace", "id", "10", "group", "1/2")]
    PARENT.call("ip", "-4", "nexthop", "add", "id", "2", "dev", "beside")
    PARENT.call("ip", "-4", "nexthop", *both[0])
    PARENT.call("ip", "nexthop", *both[1])
    PARENT.call("ip", "route", "add", STRANGER, "nhid", "10")
    return Nexthops("a nexthop of a group", PARENT, [("del", "id", "1")], both)


def try_change(trial, change, number, child, liar):
    """Does and undoes a change while packets of two sources go to a child, or to the parent by the same
    uplink."""
    family, (port, to) = trial.family, (f"p{number}", child)
    dest = family.uplink if child == "-" else family.child(number)
    sources = sorted((family.outside, liar))

    def passes(wanted, words):
        # Known of the destination; seen once; known of the flow, which the shortcut takes then.
        got = [trial.let_in(dest, sources, to, wanted) for _ in range(2)]
        before = places_taken(port)
        got.append(trial.let_in(dest, sources, to, wanted))
        taken.append(difference(places_taken(port), before) == ({words: len(wanted)} if child != "-" else {}))
        return got

    shortcut(port, "none")
    change.turn(family, change.do)
    want = trial.let_in(dest, sources, to, (family.outside,))
    change.turn(family, change.undo)
    same(want, [family.outside], f"{family.name}, {change.name}: the full path refuses a source")
    for words in ("device", "route"):
        shortcut(port, words)
        taken = []
        steps = passes(sources, words)
        for commands, wanted in ((change.do, want), (change.undo, sources)):
            change.turn(family, commands)
            steps += passes(wanted, words)
        want_steps = [sources] * 3 + [want] * 3 + [sources] * 3
        same(steps, want_steps, f"{family.name}, {change.name}: by shortcut {words} too, at once")
        same(taken, [True] * 3, f"{family.name}, {change.name}: ... and others go by it")
    shortcut(port, "none")


def any_of_child():
    """All of the child's network is the child itself."""
    BLUE.call(*V6.ip("route", "add", "local", "fd00:1::/64", "dev", "lo", "table", "local"))


def hidden(trial, name, space, table):
    """A route that the kernel passes over, for one by source beside it, until that one goes."""
    to = "fd00:1::99/128"
    by_others = V6.ip("route", "add", "unreachable", to, "from", "2001:db8:77::/64", "table", table)
    space.call(*V6.ip("route", "add", "unreachable", to, "table", table))
    for words in SETS:
        shortcut("p1", words)
        steps = []
        for commands, passes in ((by_others, True), ([*by_others[:3], "del", *by_others[4:]], False), (by_others, True)):
            space.call(*commands)
            wanted = [V6.outside] if passes else []
            steps += [bool(trial.let_in("fd00:1::99", [V6.outside], "blue", wanted)) for _ in range(3)]
        space.call(*by_others[:3], "del", *by_others[4:])
        same(steps, [True] * 3 + [False] * 3 + [True] * 3, f"IPv6, shortcut {words}: a route of {name} that one by source hid")
    space.call(*V6.ip("route", "del", "unreachable", to, "table", table))
    shortcut("p1", "none")


def backtracked(trial, liar):
    """A route by source is asked when a narrower one leads to where no carrier is, and what the kernel
    has noted at its place is a narrower one as well."""
    PARENT.call("ip", "link", "add", "e1", "up", "type", "dummy")
    PARENT.sysctl(ipv6__conf__e1__ignore_routes_with_linkdown=1)
    by_source = V6.ip("route", "add", "unreachable", "fd00:1::/96", "from", V6.host(liar))
    PARENT.call(*by_source)
    PARENT.call(*V6.ip("route", "add", "fd00:1::1:0/112", "dev", "up0"))
    PARENT.call(*by_source, check=False)
    PARENT.call(*V6.ip("route", "add", "fd00:1::8000:0/112", "dev", "e1"))
    PARENT.call("ip", "link", "set", "e1", "carrier", "off")
    for words in SETS:
        shortcut("p1", words)
        got = [trial.let_in("fd00:1::8000:99", [V6.outside, liar], "blue", [V6.outside]) for _ in range(4)]
        same(got, [[V6.outside]] * 4, f"IPv6, shortcut {words}: a route by source on the way back from one without carrier")
    PARENT.call("ip", "link", "del", "e1")
    PARENT.call(*V6.ip("route", "del", "fd00:1::1:0/112", "dev", "up0"))
    PARENT.call(*by_source[:3], "del", *by_source[4:])
    shortcut("p1", "none")


def main():
    """The child's rules after all else of it, the parent's last: what has had rules keeps flows
    of its own."""
    switches(0, 0, 0)
    BLUE.call("ip", "link", "add", "elsewhere", "up", "type", "dummy")
    BLUE.call("ip", "route", "add", STRANGER, "dev", "elsewhere")
    for family in FAMILIES:
        ears = Ears((PARENT, BLUE, RED), (family,))
        trial, liar = Trial(family, ears), SOURCES[family.version][1]
        for change in filters() if family is V4 else ():
            try_change(trial, change, 1, "blue", STRANGER)
        if family is V6:
            for change in routes(liar):
                try_change(trial, change, 1, "blue", liar)
            mine = by_source("the parent, to itself", PARENT, V6.uplink, liar, "local", True)
            try_change(trial, mine, 1, "-", liar)
            any_of_child()
            hidden(trial, "the child", BLUE, "local")
            hidden(trial, "the parent", PARENT, "main")
            backtracked(trial, liar)
        if family is V4:
            for change in addresses(liar):
                try_change(trial, change, 1, "blue", liar)
            try_change(trial, among_many(liar), 1, "blue", liar)
            BLUE.call("ip", "link", "del", "many")
            for change in local_routes(liar):
                try_change(trial, change, 1, "blue", liar)
            try_change(trial, grouped(), 1, "-", STRANGER)
            PARENT.call("ip", "route", "del", STRANGER)
            switches(0, 0, 0)
            try_change(trial, ruled(), 2, "red", STRANGER)
        try_change(trial, rule(family, liar, "the child", BLUE), 1, "blue", liar)
        try_change(trial, rule(family, liar, "the parent", PARENT), 2, "red", liar)
        ears.close()


if __name__ == "__main__":
    sys.exit(main())
