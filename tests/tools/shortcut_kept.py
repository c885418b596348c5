#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Packets in the hands of a program (NFQUEUE) while what they were on their way by
ends: the pair, the port's being where it was, the shortcut, the module. They are
let go on afterwards.

usage: shortcut_kept.py MODULE

Where nothing ended they all arrive. Otherwise they arrive where they were sent to,
or nowhere: the kernel drops what waits in a namespace that a hook is taken from,
and what is to go by a device that goes down.
"""

import os
import subprocess
import sys
from typing import NamedTuple

from nfqueue import Queue
from world import FAMILIES, PATIENCE, PORT, SILENCE, V6, Space, drain, gather, report, runs, same, shortcut, statistics, until

PARENT, OUTSIDE, BLUE, RED = (Space(name) for name in ("-", "outside", "blue", "red"))
COUNT = 12


class Place(NamedTuple):
    """Where packets are kept: how they come there, and the counter of that."""

    words: str
    sender: Space
    keeper: Space
    hook: str
    receiver: Space
    counter: str

    def to(self, family):
        """The address they are sent to."""
        return {"outside": family.outside, "blue": family.child(1), "red": family.child(2)}[self.receiver.name]


# The highest priority there is: behind the module's own hook, which is made later.
LAST = 2**31 - 1
PLACES = (
    Place("device", OUTSIDE, BLUE, "prerouting priority 0", BLUE, "p1 rx_device"),
    Place("route", OUTSIDE, BLUE, "input priority 0", BLUE, "p1 rx_route"),
    Place("socket", OUTSIDE, PARENT, "prerouting priority 0", BLUE, "p1 rx_socket"),
    Place("netfilter", OUTSIDE, PARENT, f"input priority {LAST}", BLUE, "p1 rx_netfilter"),
    Place("output", BLUE, PARENT, "output priority 0", OUTSIDE, "p1 tx_output"),
    Place("output", BLUE, PARENT, "postrouting priority 0", OUTSIDE, "p1 tx_output"),
    Place("output", BLUE, BLUE, "output priority 0", OUTSIDE, "p1 tx_output"),
    Place("all", BLUE, RED, "prerouting priority 0", RED, "p1 tx_sibling"),
)


def build(number, space):
    """A pair, as the world has it."""
    PARENT.call("ip", "link", "add", f"p{number}", "type", "passthru", "mode", "l3", "peer", "name", "c0", "netns", space.name)
    for family in FAMILIES:
        bits = 24 if family.version == 4 else 64
        PARENT.call("ip", "addr", "add", f"{family.port(number)}/{bits}", "dev", f"p{number}")
        space.call("ip", "addr", "add", f"{family.child(number)}/{bits}", "dev", "c0")
    PARENT.call("ip", "link", "set", f"p{number}", "up")
    space.call("ip", "link", "set", "c0", "up")
    runs(f"p{number}")
    for family in FAMILIES:
        space.call(*family.ip("route", "add", "default", "via", family.port(number)))
    PARENT.receives(f"p{number}", V6.port(number))
    space.receives("c0", V6.child(number))


def run(*command):
    """A command that is to succeed."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    return done.returncode == 0 or report(False, " ".join(command), done.stderr.strip())


def ends(module):
    """What ends, and how: it is as before afterwards."""

    def port():
        run("ip", "link", "del", "p1")
        yield
        build(1, BLUE)

    def sibling():
        run("ip", "link", "del", "p2")
        yield
        build(2, RED)

    def move():
        run("ip", "link", "set", "p1", "netns", "outside")
        yield
        OUTSIDE.call("ip", "link", "del", "p1")
        build(1, BLUE)

    def switch():
        shortcut("p1", "none")
        yield

    def down():
        run("ip", "link", "set", "p1", "down")
        yield
        run("ip", "link", "set", "p1", "up")
        for family in FAMILIES[1:]:
            PARENT.call("ip", "addr", "replace", f"{family.port(1)}/64", "dev", "p1")

    def unload():
        run("rmmod", "passthru")
        yield
        run("insmod", module)
        build(1, BLUE)
        build(2, RED)

    def nothing():
        yield

    return {
        "nothing": nothing,
        "the port": port,
        "the sibling's port": sibling,
        "the port's being in the parent": move,
        "the shortcut": switch,
        "the port's being up": down,
        "the module": unload,
    }


def trial(place, family, what, end):
    """Packets are kept, something ends, and they are let go on."""
    name = f"{family.name}, shortcut {place.words}, kept by {place.keeper.name} ({place.hook}), end of {what}"
    dest = place.to(family)
    if place.words == "netfilter":
        PARENT.call(*family.ip("route", "add", "local", dest, "dev", "p1"))
    words = {"p1": place.words, "p2": "all" if place.receiver is RED else "none"}
    match = f"{family.nft} daddr {dest} udp dport {PORT}"
    with place.sender.udp(family, 4242) as here, place.receiver.udp(family, PORT) as there:
        place.keeper.nft(f"table inet kept {{ chain c {{ type filter hook {place.hook}; {match} queue num 0; }}\n}}\n")
        queue = Queue(place.keeper)
        for port, shortcuts in words.items():
            shortcut(port, shortcuts)
        device, counter = place.counter.split()
        here.connect((dest, PORT))
        if place.words == "socket":
            there.connect((family.outside, 4242))

        lost = []

        def short():
            before = statistics(PARENT, device).get(counter)
            here.send(b"a try")
            try:
                there.recv(100)
            except TimeoutError:
                lost.append(counter)
            return statistics(PARENT, device).get(counter) != before

        there.settimeout(PATIENCE)
        report(until(short), f"{name}: packets go by the shortcut")
        same(lost, [], f"{name}: until then they arrive")
        drain(there)
        queue.keeps, seen = True, queue.seen
        for number in range(COUNT):
            here.send(b"%d" % number)
        report(until(lambda: queue.seen == seen + COUNT), f"{name}: they are kept", f"{queue.seen - seen} of {COUNT}")
        ending = end()
        next(ending)
        queue.let_go()
        if what == "nothing":
            same(gather(there, COUNT), [b"%d" % number for number in range(COUNT)], f"{name}: all arrive")
        else:
            drain(there, SILENCE / 5)
        next(ending, None)
        queue.close()
    place.keeper.nft("delete table inet kept\n")
    for port in words:
        shortcut(port, "none")
    if place.words == "netfilter":
        PARENT.call(*family.ip("route", "del", "local", dest, "dev", "p1"), check=False)


def main(module):
    """Each place and each end, for each IP version; emulated CPUs have two ends for each place."""
    few = os.environ.get("LAB") != "uml"
    for version, family in enumerate(FAMILIES):
        for number, place in enumerate(PLACES):
            trial(place, family, "nothing", ends(module)["nothing"])
            others = [(what, end) for what, end in ends(module).items() if what != "nothing" and (what != "the sibling's port" or place.receiver is RED)]
            for what, end in others[(number + version) % 3 :: 3] if few else others:
                trial(place, family, what, end)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
