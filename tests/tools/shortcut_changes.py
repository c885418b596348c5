#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Whatever changes, the very next packet goes by it: routes, rules, links,
addresses, devices that go, come or move, the set of shortcuts itself.

usage: shortcut_changes.py routes|links
"""

import contextlib
import errno
import os
import select
import socket
import sys
import time

from world import FAMILIES, PATIENCE, PORT, Ears, Space, V4, V6, difference, grace_period, places_taken, report, runs, same, seen, shortcut, until, unwatch, watch

PARENT, OUTSIDE, BLUE, RED = (Space(name) for name in ("-", "outside", "blue", "red"))
# How long a route is there that ends: time enough for a first look.
LIFETIME = 10 if os.environ.get("LAB") == "debug" else 6


class Story:
    """Steps, and who gets the packet after each."""

    def __init__(self, family, words, ears):
        self.family, self.words, self.ears = family, words, ears
        self.dest = family.child(1)
        self.sender = OUTSIDE.udp(family, 4242)
        self.who, self.got, self.want = "nobody", [], []

    def owner(self, silent=False):
        """Who gets a packet now."""
        return self.ears.owner(lambda data: self.sender.sendto(data, (self.dest, PORT)), silent)

    def settle(self):
        """What was found out last is remembered, so that the next change has something to make
        untrue: of IPv4 it is at once, of IPv6 when that has settled."""
        if self.family is V4 or self.who == "nobody":
            return
        self.then(self.who)
        grace_period()
        for _ in range(2):
            self.then(self.who)

    def then(self, who, *command, space=PARENT):
        """Does something, and asks who gets the very next packet."""
        if command:
            self.settle()
            space.call(*command)
        got = self.owner(silent=who.startswith("nobody"))
        # An ICMP error of before may be what the socket tells of first.
        if got.startswith("nobody (") and not who.startswith("nobody"):
            got = self.owner()
        self.who = who
        self.got.append(got.split(" (")[0])
        self.want.append(who)

    def end(self, name):
        """One result for all steps since the last."""
        same(self.got, self.want, f"{self.family.name}, shortcut {self.words}: {name}")
        self.got, self.want = [], []


def ip(story, text):
    """A command of ip: DEST stands for the child's address, HOST for that as a prefix."""
    text = text.replace("HOST", story.family.host(story.dest)).replace("DEST", story.dest)
    text = text.replace("OUTSIDE", story.family.host(story.family.outside))
    return story.family.ip(*text.split())


def routes(story):
    """Routes of every kind come and go."""
    story.then("blue")
    story.then("blue")
    story.then("red", *ip(story, "route add HOST dev p2"))
    story.then("red")
    story.then("blue", *ip(story, "route replace HOST dev p1"))
    story.then("red", *ip(story, "route replace HOST dev p2"))
    story.then("blue", *ip(story, "route del HOST"))
    story.end("routes added, replaced, deleted")
    for kind in ("blackhole", "unreachable", "prohibit"):
        story.then("nobody", *ip(story, f"route add {kind} HOST"))
        story.then("blue", *ip(story, f"route del {kind} HOST"))
        story.end(f"a route of kind {kind}")
    story.then("blue", *ip(story, "route add throw HOST table 99"))
    PARENT.call(*ip(story, "route del throw HOST table 99"))
    # A route by another way, to a host on the uplink: the parent's to forward.
    story.then("nobody", *ip(story, "route add HOST dev up0"))
    story.then("blue", *ip(story, "route del HOST"))
    story.end("a route that leads elsewhere")


def until_it_ends(story, begin, wanted, name):
    """Whoever the kernel would ask has each packet, while a route, which `begin` makes, comes to
    its end. `wanted` is who that is by the device that the route leads to, in the order of time."""
    wrong, order = [], []

    def device():
        words = PARENT.call(*ip(story, "route get DEST"), check=False).split()
        return words[words.index("dev") + 1] if "dev" in words else None

    begin()
    end, after, tries = time.monotonic() + LIFETIME + 30, 0, 5
    while time.monotonic() < end and after < 5:
        leads = device()
        if not order and leads == list(wanted)[-1] and (tries := tries - 1):
            # Its end was in a stall.
            begin()
            end = time.monotonic() + LIFETIME + 30
            continue
        got = story.owner(silent=True).split(" (")[0]
        if leads != device():
            continue
        if order[-1:] != [leads]:
            order.append(leads)
        if got != wanted.get(leads):
            wrong.append((leads, got))
        after += leads == list(wanted)[-1]
    same((order, wrong), (list(wanted), []), f"IPv6, shortcut {story.words}: {name}")


def ending(story):
    """Routes that end at some time: what is remembered of them ends with them, and not when the
    kernel comes by to remove them."""
    if story.family is V4:
        return

    def one():
        PARENT.call(*ip(story, "route del HOST dev p2"), check=False)
        PARENT.call(*ip(story, f"route add HOST dev p2 expires {LIFETIME}"))

    until_it_ends(story, one, {"p2": "red", "p1": "blue"}, "a route that ends at some time")
    PARENT.call(*ip(story, "route del HOST dev p2"), check=False)
    story.then("blue")

    # The route was there for ever, and was remembered as such, and is given an end.
    def another():
        restore_child()
        PARENT.call("ip", "-6", "route", "replace", "fd00:1::/64", "dev", "p1", "proto", "static", "metric", "256")
        for _ in range(5):
            time.sleep(0.1)
            story.then("blue")
        address = f"{story.family.port(1)}/64"
        PARENT.call("ip", "-6", "addr", "change", address, "dev", "p1", "valid_lft", str(LIFETIME), "preferred_lft", str(LIFETIME))

    until_it_ends(story, another, {"p1": "blue", None: "nobody"}, "a route with the prefix of an address, which gives it an end")
    restore_child()
    story.then("blue")
    story.end("and afterwards")
    revived(story)


def revived(story):
    """A route that has come to its end, and that the kernel has not removed yet, is there again once
    somebody asks for it."""
    PARENT.sysctl(ipv6__route__gc_interval=3600)
    # The kernel's next look at what has ended was set before: this is it.
    PARENT.sysctl(ipv6__route__flush=0)
    PARENT.call(*ip(story, "route add HOST dev p1 metric 200"))
    PARENT.call(*ip(story, "route add HOST dev p2 metric 100 expires 1"))
    until(lambda: "dev p1" in PARENT.call(*ip(story, "route get DEST")))
    for _ in range(6):
        story.then("blue")
        time.sleep(0.1)
    with RED.udp(V6, address=story.dest) as forger:
        got = story.ears.owner(lambda data: forger.sendto(data, (V6.outside, PORT)), silent=True)
        same(got, "nobody", "IPv6: whose route has ended may not send from there")
    # The kernel says that it exists.
    PARENT.call(*ip(story, "route append HOST dev p2 metric 100"), check=False)
    report("dev p2" in PARENT.call(*ip(story, "route get DEST")), "IPv6: a route that had ended is there again")
    story.then("red")
    story.then("red")
    for words in ("dev p1 metric 200", "dev p2 metric 100"):
        PARENT.call(*ip(story, f"route del HOST {words}"))
    PARENT.sysctl(ipv6__route__gc_interval=30)
    story.then("blue")
    story.end("a route that had ended is there again")


def nexthops(story):
    """A route that names an object, and the object becomes another."""
    story.then("blue", *ip(story, "nexthop add id 1 dev p1"))
    story.then("blue", *ip(story, "route add HOST nhid 1"))
    story.then("red", *ip(story, "nexthop replace id 1 dev p2"))
    story.then("blue", *ip(story, "nexthop replace id 1 dev p1"))
    story.then("blue", "ip", "nexthop", "del", "id", "1")
    story.end("a nexthop object replaced and deleted")


def groups(story):
    """A route that names a group of one, and who is in it becomes another."""
    story.then("blue", *ip(story, "nexthop add id 1 dev p1"))
    PARENT.call("ip", "nexthop", "add", "id", "10", "group", "1")
    story.then("blue", *ip(story, "route add HOST nhid 10"))
    story.then("red", *ip(story, "nexthop replace id 1 dev p2"))
    story.then("blue", *ip(story, "nexthop replace id 1 dev p1"))
    PARENT.call("ip", "nexthop", "del", "id", "10")
    story.then("blue", "ip", "nexthop", "del", "id", "1")
    story.end("the only one of a group of nexthops replaced")


def shared(story):
    """A route over two ports: the kernel's choice, by the full path."""
    before = places_taken("p1"), places_taken("p2")
    family = story.family
    ways = [word for number in (1, 2) for word in ("nexthop", "via", family.child(number) + "9", "dev", f"p{number}")]
    PARENT.call(*ip(story, "route add HOST"), *ways)
    owners = {story.owner() for _ in range(4)}
    report(owners <= {"blue", "red"}, f"{story.family.name}, shortcut {story.words}: a multipath route leads to one of its ports", owners)
    taken = difference(places_taken("p1"), before[0]), difference(places_taken("p2"), before[1])
    same(taken, ({}, {}), f"{story.family.name}, shortcut {story.words}: ... by the full path")
    PARENT.call(*ip(story, "route del HOST"))


def rules(story):
    """Rules of the parent's policy routing, by everything they can look at."""
    PARENT.call(*ip(story, "route add HOST dev p2 table 100"))
    story.then("blue")
    for selector in (
        "from OUTSIDE", "to HOST", "iif up0", "tos 0x10", "fwmark 7", "ipproto udp", "sport 4242", f"dport {PORT}",
    ):  # fmt: skip
        if selector.startswith("tos"):
            level = (socket.IPPROTO_IP, socket.IP_TOS) if story.family is V4 else (socket.IPPROTO_IPV6, socket.IPV6_TCLASS)
            story.sender.setsockopt(*level, 0x10)
            story.then("blue")
        story.then("red" if selector != "fwmark 7" else "blue", *ip(story, f"rule add {selector} lookup 100 pref 50"))
        story.then("blue", *ip(story, f"rule del {selector} lookup 100 pref 50"))
        story.end(f"a rule: {selector}")
        if selector.startswith("tos"):
            story.sender.setsockopt(*level, 0)
    story.then("blue", *ip(story, "rule add iif wan0 lookup 100 pref 50"))
    story.then("red", "ip", "link", "set", "up0", "name", "wan0")
    story.then("blue", "ip", "link", "set", "wan0", "name", "up0")
    PARENT.call(*ip(story, "rule del iif wan0 lookup 100 pref 50"))
    story.end("a rule by a name that a device gets, and loses")
    for action in ("blackhole", "prohibit", "unreachable"):
        story.then("nobody", *ip(story, f"rule add to HOST pref 50 {action}"))
        story.then("blue", *ip(story, "rule del to HOST pref 50"))
        story.end(f"a rule: {action}")
    bits = 32 if story.family is V4 else 128
    for who, most in (("red", bits - 1), ("blue", bits)):
        story.then(who, *ip(story, f"rule add from OUTSIDE lookup 100 pref 50 suppress_prefixlength {most}"))
        story.then("blue", *ip(story, "rule del from OUTSIDE lookup 100 pref 50"))
    story.end("a rule that heeds no long prefix")
    PARENT.call(*ip(story, "route flush table 100"))


def tables(story):
    """A route comes into a table that is asked before the one that decided."""
    story.then("blue")
    story.then("-", *ip(story, "route add local DEST dev lo table local"))
    story.then("blue", *ip(story, "route del local DEST dev lo table local"))
    story.end("a route of the local table")
    PARENT.call(*ip(story, "rule add pref 50 lookup 100"))
    story.then("blue")
    story.then("blue")
    story.then("red", *ip(story, "route add HOST dev p2 table 100"))
    story.then("blue", *ip(story, "route del HOST dev p2 table 100"))
    PARENT.call(*ip(story, "rule del pref 50"))
    story.end("a route of a table that a rule asks first")
    # The child's own: so that its addresses are not what is found first.
    BLUE.call(*ip(story, "rule add pref 100 lookup local"))
    BLUE.call(*ip(story, "rule add pref 50 lookup 100"))
    BLUE.call(*ip(story, "rule del pref 0"))
    story.then("blue")
    story.then("blue")
    story.then("nobody", *ip(story, "route add blackhole HOST table 100"), space=BLUE)
    story.then("blue", *ip(story, "route del blackhole HOST table 100"), space=BLUE)
    BLUE.call(*ip(story, "rule add pref 0 lookup local"))
    for pref in ("50", "100"):
        BLUE.call(*ip(story, f"rule del pref {pref}"))
    story.end("a route of a table of the child's that a rule asks first")


def held(family):
    """An address that is held for a port by a wide route, and now and then the parent's own: whose
    it was must not last."""
    shortcut("p1", "netfilter")
    story = Story(family, "netfilter", Ears((PARENT, BLUE, RED, OUTSIDE), (family,)))
    wide = "10.0.1.2/31" if family is V4 else "fd00:1::2/127"
    PARENT.call(*ip(story, f"route add local {wide} dev p1"))
    for _ in range(2):
        story.then("blue")
        story.then("blue")
        story.then("-", *ip(story, "route add local DEST dev lo"))
        # IPv6 remembers a little later.
        for _ in range(3):
            time.sleep(0.1)
            story.then("-")
        story.then("blue", *ip(story, "route del local DEST dev lo"))
    PARENT.call(*ip(story, f"route del local {wide} dev p1"))
    story.end("an address held by a wide route, with a narrow one and without")
    story.sender.close()
    story.ears.close()
    shortcut("p1", "none")


@contextlib.contextmanager
def held_story(family, words):
    """An address on the parent's own net that both children have, and that the parent may hold for
    either; what nobody holds is the parent's."""
    for port in ("p1", "p2"):
        shortcut(port, words)
    story = Story(family, words, Ears((PARENT, BLUE, RED, OUTSIDE), (family,)))
    story.dest, wide = ("203.0.113.50", "203.0.113.0/24") if family is V4 else ("2001:db8:50::50", "2001:db8:50::/64")
    PARENT.call(*ip(story, f"route add local {wide} dev lo"))
    for space in (BLUE, RED):
        space.call(*ip(story, "addr add HOST dev lo"))
    yield story
    for space in (BLUE, RED):
        space.call(*ip(story, "addr del HOST dev lo"))
    PARENT.call(*ip(story, "route del local HOST"), check=False)
    PARENT.call(*ip(story, f"route del local {wide} dev lo"))
    story.sender.close()
    story.ears.close()
    for port in ("p1", "p2"):
        shortcut(port, "none")


def marks(story):
    """A mark of the parent's prerouting rules decides, for the places behind them."""
    PARENT.call(*ip(story, "route add HOST dev p2 table 100"))
    PARENT.call(*ip(story, "rule add fwmark 7 lookup 100 pref 50"))
    PARENT.nft(f"table inet m {{ chain c {{ type filter hook prerouting priority mangle; udp dport {PORT} meta mark set 7; }}\n}}\n")
    story.then("red")
    story.then("red")
    story.settle()
    PARENT.nft("delete table inet m\n")
    story.then("blue")
    story.settle()
    PARENT.nft(f"table inet m {{ chain c {{ type filter hook prerouting priority mangle; udp dport {PORT} meta mark set 8; }}\n}}\n")
    story.then("blue")
    PARENT.nft("delete table inet m\n")
    PARENT.call(*ip(story, "rule del fwmark 7 lookup 100 pref 50"))
    PARENT.call(*ip(story, "route flush table 100"))
    story.end("a rule that asks for a mark")


def restore_child():
    """What a link that was down has lost."""
    PARENT.call("ip", "link", "set", "p1", "up")
    BLUE.call("ip", "link", "set", "c0", "up")
    for family in FAMILIES:
        length = "24" if family is V4 else "64"
        PARENT.call(*family.ip("addr", "replace", f"{family.port(1)}/{length}", "dev", "p1"))
        BLUE.call(*family.ip("addr", "replace", f"{family.child(1)}/{length}", "dev", "c0"))
        BLUE.call(*family.ip("route", "replace", "default", "via", family.port(1)))
    runs("p1")


def links(story):
    """Either end, or the uplink, goes down and comes up."""
    story.then("blue")
    story.then("nobody", "ip", "link", "set", "p1", "down")
    restore_child()
    story.then("blue")
    story.end("the port down and up")
    story.then("nobody", "ip", "link", "set", "c0", "down", space=BLUE)
    restore_child()
    story.then("blue")
    story.end("the child device down and up")


def childs_tables(story):
    """The child's own tables decide there."""
    family = story.family
    story.then("blue")
    # The child's rules: its own addresses are found by the first, so that makes room.
    BLUE.call(*ip(story, "rule add pref 100 lookup local"))
    BLUE.call(*ip(story, "rule del pref 0"))
    story.then("blue")
    story.then("nobody", *ip(story, "rule add to HOST pref 50 blackhole"), space=BLUE)
    story.then("blue", *ip(story, "rule del to HOST pref 50 blackhole"), space=BLUE)
    story.end("the child's rules")
    # Those that ask for a name ask for it when the device gets it.
    story.then("blue", *ip(story, "rule add iif eth9 pref 50 blackhole"), space=BLUE)
    for _ in range(3):
        time.sleep(0.1)
        story.then("blue")
    story.then("nobody", "ip", "link", "set", "c0", "name", "eth9", space=BLUE)
    story.then("blue", "ip", "link", "set", "eth9", "name", "c0", space=BLUE)
    story.then("blue")
    story.end("a rule of the child's by a name that its device gets, and loses")
    BLUE.call(*ip(story, "rule del iif eth9 pref 50 blackhole"))
    BLUE.call(*ip(story, "rule add pref 0 lookup local"))
    story.then("blue", *ip(story, "rule del pref 100"), space=BLUE)
    story.end("the child's rules gone")
    length = "24" if family is V4 else "64"
    story.then("nobody", *family.ip("addr", "del", f"{story.dest}/{length}", "dev", "c0"), space=BLUE)
    restore_child()
    story.then("blue")
    story.end("the child's addresses")


def setting(story):
    """The set itself."""
    for words in ("none", "all", "none", story.words):
        story.settle()
        before = sum(places_taken("p1").values())
        shortcut("p1", words)
        story.then("blue")
        taken = sum(places_taken("p1").values()) - before
        same(taken, 0 if words == "none" else 1, f"{story.family.name}, shortcut {story.words}: the packet after `shortcut {words}`")
    story.end("the set changed")


def uplinks(story):
    """An uplink that is made after the shortcuts were."""
    PARENT.call("ip", "link", "add", "up1", "type", "veth", "peer", "name", "out1", "netns", "outside")
    near, far = ("198.51.100.1/24", "198.51.100.2/24") if story.family is V4 else ("2001:db8:3::1/64", "2001:db8:3::2/64")
    for space, device, address in ((PARENT, "up1", near), (OUTSIDE, "out1", far)):
        space.call("ip", "link", "set", device, "up")
        space.call("ip", "addr", "add", address, "dev", device)
    OUTSIDE.call(*ip(story, f"route add HOST via {near.split('/', maxsplit=1)[0]}"))
    PARENT.call(*ip(story, f"route replace OUTSIDE via {far.split('/', maxsplit=1)[0]}"))
    before = places_taken("p1")
    story.then("blue")
    taken = difference(places_taken("p1"), before)
    same(taken, {story.words: 1}, f"{story.family.name}, shortcut {story.words}: a packet by a new uplink takes it")
    story.settle()
    PARENT.call("ip", "link", "del", "up1")
    PARENT.call(*ip(story, "route del OUTSIDE"), check=False)
    story.then("blue")
    story.end("an uplink made and removed")


def pairs(story):
    """The port goes to another namespace, comes back, and ends."""
    middle = Space("middle")
    story.then("blue")
    story.then("nobody", "ip", "link", "set", "p1", "netns", "middle")
    middle.call("ip", "link", "set", "p1", "netns", "1")
    restore_child()
    story.then("blue")
    before = places_taken("p1")
    story.then("blue")
    same(difference(places_taken("p1"), before), {story.words: 1}, f"{story.family.name}, shortcut {story.words}: a port that came back has its shortcuts")
    story.end("the port moved away and back")
    story.settle()
    BLUE.call("ip", "link", "set", "c0", "netns", "middle")
    story.then("nobody")
    middle.call("ip", "link", "set", "c0", "netns", "blue")
    restore_child()
    story.then("blue")
    story.end("the child device moved away and back")
    story.then("nobody", "ip", "link", "del", "p1")
    PARENT.call("ip", "link", "add", "p1", "type", "passthru", "shortcut", story.words, "peer", "name", "c0", "netns", "blue")
    restore_child()
    story.then("blue")
    story.end("the pair ended, and made anew")


def answers(family, words):
    """What a sender hears where a route says no."""
    shortcut("p1", words)
    with OUTSIDE.udp(family) as sock:
        sock.connect((family.child(1), PORT + 1))
        got = {}
        for kind in ("unreachable", "prohibit"):
            PARENT.call(*family.ip("route", "add", kind, family.host(family.child(1))))
            level, option = (socket.IPPROTO_IP, 11) if family is V4 else (socket.IPPROTO_IPV6, 25)
            sock.setsockopt(level, option, 1)  # *_RECVERR
            sock.send(b"x")
            select.select([sock], [], [], PATIENCE)
            got[kind] = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            PARENT.call(*family.ip("route", "del", kind, family.host(family.child(1))))
            try:
                sock.recvmsg(100, 1000, 0x2000)  # MSG_ERRQUEUE
            except OSError:
                pass
    return {kind: errno.errorcode.get(number, "silence") for kind, number in got.items()}


def errors(story):
    """A shortcut leaves it to the full path to say no."""
    family, words = story.family, story.words
    want = answers(family, "none")
    report("silence" not in want.values(), f"{family.name}: the full path refuses in words", want)
    same(answers(family, words), want, f"{family.name}, shortcut {words}: routes that refuse say so")


def offender(sock, family):
    """Which address an error came from that the socket was told of."""
    try:
        control = sock.recvmsg(100, 1000, 0x2000)[1]  # MSG_ERRQUEUE
    except OSError:
        return "nobody"
    # struct sock_extended_err, then the address of who sent the error.
    data = control[0][2][16:]
    start, length = (4, 4) if family is V4 else (8, 16)
    return socket.inet_ntop(socket.AF_INET if family is V4 else socket.AF_INET6, data[start : start + length])


def heard_of_child(family, words, behind):
    """Who says what of packets for a host behind the child that its routes refuse."""
    shortcut("p1", words)
    heard = {}
    level, option = (socket.IPPROTO_IP, 11) if family is V4 else (socket.IPPROTO_IPV6, 25)
    for kind in ("unreachable", "prohibit"):
        BLUE.call(*family.ip("route", "add", kind, family.host(behind)))
        with OUTSIDE.udp(family) as sock:
            sock.setsockopt(level, option, 1)  # *_RECVERR
            sock.connect((behind, PORT))
            sock.send(b"x")
            select.select([sock], [], [], PATIENCE)
            number = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            heard[kind] = (errno.errorcode.get(number, "silence"), offender(sock, family))
        BLUE.call(*family.ip("route", "del", kind, family.host(behind)))
    return heard


def behind_child(story):
    """Routes of the child that refuse, or that are shared, are the child's to go by."""
    family, words = story.family, story.words
    behind = "203.0.113.1" if family is V4 else "2001:db8:99::1"
    PARENT.call(*family.ip("route", "add", family.host(behind), "dev", "p1"))
    forwarding = ("net.ipv4.ip_forward", "net.ipv6.conf.all.forwarding")
    BLUE.call("sysctl", "-qw", *(f"{name}=1" for name in forwarding))
    want = heard_of_child(family, "none", behind)
    report(family.child(1) in {who for _, who in want.values()}, f"{family.name}: the child refuses what it has no way for", want)
    same(heard_of_child(family, words, behind), want, f"{family.name}, shortcut {words}: routes of the child that refuse say so")
    ways = []
    for number in (1, 2):
        BLUE.call("ip", "link", "add", f"far{number}", "type", "dummy")
        BLUE.call("ip", "link", "set", f"far{number}", "up")
        ways += ["nexthop", *([] if family is V4 else ["via", f"fe80::{number}"]), "dev", f"far{number}"]
    BLUE.call(*family.ip("route", "add", family.host(behind)), *ways)
    watch(BLUE, f"udp dport {PORT}")
    for _ in range(3):
        story.sender.sendto(b"x", (behind, PORT))
    until(lambda: seen(BLUE, reset=False).get("post") == 3)
    same(seen(BLUE), {"pre": 3, "fwd": 3, "post": 3}, f"{family.name}, shortcut {words}: a shared route of the child is its own to choose of")
    unwatch(BLUE)
    for number in (1, 2):
        BLUE.call("ip", "link", "del", f"far{number}")
    BLUE.call("sysctl", "-qw", *(f"{name}=0" for name in forwarding))
    PARENT.call(*family.ip("route", "del", family.host(behind)))


def held_moves(family, words):
    """An address that the parent holds for a child: whatever happens to the local route, or to those
    that it leads to. As long as it is there, and the port allows it, the parent's own sockets get none."""
    with held_story(family, words) as story:
        hold = ip(story, "route replace local HOST dev p1")
        name = "an address that is held"
        story.then("-")
        story.then("blue", *hold)
        story.then("red", *ip(story, "route replace local HOST dev p2"))
        story.then("blue", *hold)
        story.then("-", *ip(story, "route del local HOST"))
        story.then("blue", *hold)
        story.end(f"{name}, for one, for another, for nobody")
        story.settle()
        shortcut("p1", "route")
        story.then("-")
        shortcut("p1", words)
        story.then("blue")
        story.end(f"{name}, and the port allows it, or not")
        story.then("nobody", *ip(story, "addr del HOST dev lo"), space=BLUE)
        story.then("blue", *ip(story, "addr add HOST dev lo"), space=BLUE)
        story.end(f"{name}, and the child has it, or not")
        story.then("nobody", "ip", "link", "set", "c0", "down", space=BLUE)
        restore_child()
        story.then("blue")
        story.end(f"{name}, the child device down and up")
        # IPv4 keeps local routes by a device that is down.
        story.then("nobody" if family is V4 else "-", "ip", "link", "set", "p1", "down")
        restore_child()
        story.then("blue", *hold)
        story.end(f"{name}, the port down and up")
        if words == "netfilter":
            held_leaves(story, hold, name)


def held_leaves(story, hold, name):
    """The pair that an address is held for goes, in parts and as a whole."""
    middle = Space("middle")
    story.then("nobody", "ip", "link", "set", "c0", "netns", "middle", space=BLUE)
    middle.call("ip", "link", "set", "c0", "netns", "blue")
    restore_child()
    story.then("blue")
    story.end(f"{name}, the child device moved away and back")
    story.then("-", "ip", "link", "set", "p1", "netns", "middle")
    middle.call("ip", "link", "set", "p1", "netns", "1")
    restore_child()
    story.then("blue", *hold)
    story.end(f"{name}, the port moved away and back")
    before, place = places_taken("p1"), story.words.split(",", maxsplit=1)[0]
    story.then("blue")
    same(difference(places_taken("p1"), before), {place: 1}, f"{story.family.name}, shortcut {story.words}: {name}: it still goes by {place}")
    story.then("-", "ip", "link", "del", "p1")
    PARENT.call("ip", "link", "add", "p1", "type", "passthru", "shortcut", story.words, "peer", "name", "c0", "netns", "blue")
    restore_child()
    story.then("blue", *hold)
    story.end(f"{name}, the pair ended, and made anew")


def held_by_rules(family, words):
    """Rules decide for whom the parent holds an address."""
    with held_story(family, words) as story:
        PARENT.call(*ip(story, "rule add pref 100 lookup local"))
        PARENT.call(*ip(story, "rule del pref 0"))
        PARENT.call(*ip(story, "route add local HOST dev p2 table 77"))
        story.then("-")
        story.then("blue", *ip(story, "route add local HOST dev p1"))
        story.then("red", *ip(story, "rule add to HOST lookup 77 pref 50"))
        story.then("blue", *ip(story, "rule del pref 50"))
        story.then("nobody", *ip(story, "rule add to HOST pref 50 prohibit"))
        story.then("blue", *ip(story, "rule del pref 50"))
        story.then("-", *ip(story, "route del local HOST dev p1"))
        story.end("an address that is held, for whom rules say")
        PARENT.call(*ip(story, "route flush table 77"))
        PARENT.call(*ip(story, "rule add pref 0 lookup local"))
        PARENT.call(*ip(story, "rule del pref 100"))


HELD = ("netfilter", "device,netfilter")
CHAPTERS = {
    "routes": (routes, ending, errors, behind_child, nexthops, groups, shared, rules, tables, marks),
    "links": (links, childs_tables, setting, uplinks, pairs),
}


def timed(chapter, *args):
    """A chapter, and how long it took."""
    began = time.monotonic()
    chapter(*args)
    print(f"# {chapter.__name__}: {time.monotonic() - began:.1f} s")


def main(which):
    """All of it for each place."""
    for family in FAMILIES:
        if which == "routes":
            held(family)  # before there are rules: who ever had some remembers no strangers
        else:
            for words in HELD:
                timed(held_moves, family, words)
        for words in ("device", "route"):
            ears = Ears((PARENT, BLUE, RED, OUTSIDE), (family,))
            RED.call("ip", "addr", "add", family.host(family.child(1)), "dev", "lo")
            shortcut("p1", words)
            shortcut("p2", words)
            story = Story(family, words, ears)
            for chapter in CHAPTERS[which]:
                if chapter is marks and words != "route":
                    continue  # which is before the rules that set marks
                timed(chapter, story)
            story.sender.close()
            ears.close()
            RED.call("ip", "addr", "del", family.host(family.child(1)), "dev", "lo")
            shortcut("p2", "none")
        shortcut("p1", "none")
        if which == "routes":
            for words in HELD:
                timed(held_by_rules, family, words)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
