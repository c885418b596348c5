#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""IPsec between the outside and a child, and between the outside and the parent
for a child's packets, by every set of shortcuts.

usage: shortcut_ipsec.py
"""

import os
import socket
import sys

from world import (
    FAMILIES,
    PORT,
    SILENCE,
    V4,
    Space,
    connected,
    difference,
    drain,
    exchange,
    gather,
    places_taken,
    report,
    same,
    seen,
    shortcut,
    skip,
    unwatch,
    watch,
)

PARENT, OUTSIDE, BLUE = (Space(name) for name in ("-", "outside", "blue"))
SETS = ("none", "device", "route", "socket", "netfilter", "output", "all")
KEY = "0x" + "42" * 20
ESP = 50


def associate(space, source, dest, spi, mode):
    """Makes a security association; tells whether this kernel can do that."""
    space.call(
        *("ip", "xfrm", "state", "add", "src", source, "dst", dest, "proto", "esp", "spi", str(spi), "mode", mode),
        *("aead", "rfc4106(gcm(aes))", KEY, "128"),
        check=False,
    )
    return f"spi {spi:#010x}" in space.call("ip", "xfrm", "state")


def policy(space, direction, selector, ends, mode):
    """What a namespace sends, takes or lets through between two addresses is ESP."""
    space.call(
        *("ip", "xfrm", "policy", "add", "src", selector[0], "dst", selector[1], "dir", direction),
        *("tmpl", "src", ends[0], "dst", ends[1], "proto", "esp", "mode", mode),
    )


def forget():
    """No association and no policy is left."""
    for space in (PARENT, OUTSIDE, BLUE):
        for what in ("state", "policy"):
            space.call("ip", "xfrm", what, "flush")


class Tap:
    """What there is of UDP, TCP and ESP outside, or at the parent's uplink, which does not see what was
    opened outside."""

    def __init__(self, family, space=OUTSIDE, device="out0"):
        every = 3  # ETH_P_ALL
        self.version, self.at = family.version, 9 if family is V4 else 6
        self.sock = space.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(every))
        self.sock.bind((device, every))

    def protocols(self):
        """Those seen so far."""
        found = {data[self.at] for data in drain(self.sock) if data[0] >> 4 == self.version}
        return found & {ESP, socket.IPPROTO_UDP, socket.IPPROTO_TCP}


def talk(family, name):
    """Datagrams and a connection, both ways."""
    dest = family.child(1)
    here, there = OUTSIDE.udp(family), BLUE.udp(family, PORT)
    got = []
    for number in range(5):
        here.sendto(b"%d" % number, (dest, PORT))
        try:
            data, source = there.recvfrom(100)
            there.sendto(data + b" too", source[:2])
            got.append(here.recv(100))
        except OSError as error:
            got.append(error)
    same(got, [b"%d too" % number for number in range(5)], f"{name}: datagrams and their answers")
    here.close()
    there.close()
    for client, server, address in ((OUTSIDE, BLUE, dest), (BLUE, OUTSIDE, family.outside)):
        one, other = connected(client, server, family, address, 7300)
        with one, other:
            report(exchange(one, other, 3, 200_000), f"{name}: a connection from {client.name}, and much by it")


def childs_own(family, sets=SETS, more=""):
    """The child is the end: the parent carries what it cannot read. `more` is said of each."""
    ends = family.outside, family.child(1)
    for space in (OUTSIDE, BLUE):
        for spi, (source, dest) in ((0x101, ends), (0x102, ends[::-1])):
            if not associate(space, source, dest, spi, "transport"):
                skip(f"{family.name}: ESP", "no ESP")
                forget()
                return
            outward = (space is OUTSIDE) == (source == ends[0])
            policy(space, "out" if outward else "in", (source, dest), (source, dest), "transport")
    for words in sets:
        name = f"{family.name}, shortcut {words}, ESP of the child's{more}"
        shortcut("p1", words)
        if words == "netfilter":
            PARENT.call(*family.ip("route", "add", "local", family.child(1), "dev", "p1"))
        tap, before = Tap(family), places_taken("p1")
        talk(family, name)
        same(tap.protocols(), {ESP}, f"{name}: nothing else is outside")
        tap.sock.close()
        taken = difference(places_taken("p1"), before)
        # To no socket of a connection, as far as can be told.
        want = {"device": {"device"}, "route": {"route"}, "netfilter": {"netfilter"}, "all": {"device"}}.get(words, set())
        same(set(taken), want, f"{name}: the shortcut that it takes")
        if words == "netfilter":
            PARENT.call(*family.ip("route", "del", "local", family.child(1), "dev", "p1"))
    shortcut("p1", "none")
    forget()


def by_devices(family):
    """As above, where the kernel leaves it to the device that sends a packet to encrypt it, as it does of
    all associations that are made once it can."""
    if os.system(f"modprobe -q esp{family.version}_offload"):
        skip(f"{family.name}: ESP by devices", "this kernel has no offload of ESP")
        return
    childs_own(family, ("none", "output", "all"), " by its device")


def parents(family):
    """The parent is the end, and sends on what was in it."""
    inner, outer = (family.outside, family.child(1)), (family.outside, family.uplink)
    for space, directions in ((OUTSIDE, ("out",)), (PARENT, ("in", "fwd"))):
        associate(space, *outer, 0x201, "tunnel")
        for direction in directions:
            policy(space, direction, inner, outer, "tunnel")
    for words in SETS:
        name = f"{family.name}, shortcut {words}, ESP of the parent's"
        shortcut("p1", words)
        watch(BLUE, f"udp dport {PORT} meta ipsec exists", ("pre", "in"))
        here, there = OUTSIDE.udp(family), BLUE.udp(family, PORT)
        tap = Tap(family)
        for number in range(5):
            here.sendto(b"%d" % number, (family.child(1), PORT))
        same(gather(there, 5), [b"%d" % number for number in range(5)], f"{name}: what was in it arrives")
        same(tap.protocols(), {ESP}, f"{name}: ... and came in it")
        same(seen(BLUE), {}, f"{name}: the child's rules do not see that")
        unwatch(BLUE)
        # What the child wants encrypted was encrypted for somebody else.
        policy(BLUE, "in", inner, inner, "transport")
        here.sendto(b"in clear", (family.child(1), PORT))
        same(drain(there, SILENCE), [], f"{name}: to the child's own policies it is in clear")
        BLUE.call("ip", "xfrm", "policy", "flush")
        here.sendto(b"again", (family.child(1), PORT))
        same(gather(there, 1), [b"again"], f"{name}: ... and is let in without them")
        for sock in (here, there, tap.sock):
            sock.close()
    shortcut("p1", "none")
    forget()


def parents_out(family):
    """What the child sends to somebody is the parent's to encrypt, from the very next packet on, also by
    a way that was known before: it never leaves in clear."""
    inner, outer = (family.child(1), family.outside), (family.uplink, family.outside)
    for words in SETS:
        name = f"{family.name}, shortcut {words}, ESP of the parent's for what the child sends"
        shortcut("p1", words)
        with BLUE.udp(family, PORT) as here, OUTSIDE.udp(family, PORT) as there:
            for _ in range(3):
                here.sendto(b"in clear", (family.outside, PORT))
                gather(there, 1)
            for space in (PARENT, OUTSIDE):
                associate(space, *outer, 0x401, "tunnel")
            policy(OUTSIDE, "in", inner, outer, "tunnel")
            tap = Tap(family, PARENT, "up0")
            policy(PARENT, "out", inner, outer, "tunnel")
            for number in range(5):
                here.sendto(b"%d" % number, (family.outside, PORT))
            same(gather(there, 5), [b"%d" % number for number in range(5)], f"{name}: it arrives")
            # There is no key any more: then it does not leave.
            PARENT.call("ip", "xfrm", "state", "flush")
            here.sendto(b"without a key", (family.outside, PORT))
            same(drain(there, SILENCE), [], f"{name}: ... and does not without a key")
            same(tap.protocols(), {ESP}, f"{name}: nothing is in clear")
            tap.sock.close()
        forget()
    shortcut("p1", "none")


def unasked(family):
    """The parent opens it for an address that it holds, and has no policy for what was in it."""
    inner, outer = (family.outside, family.child(1)), (family.outside, family.uplink)
    for space in (OUTSIDE, PARENT):
        associate(space, *outer, 0x301, "tunnel")
    policy(OUTSIDE, "out", inner, outer, "tunnel")
    PARENT.call(*family.ip("route", "add", "local", family.child(1), "dev", "p1"))
    for words in ("netfilter", "all"):
        shortcut("p1", words)
        with OUTSIDE.udp(family) as here, BLUE.udp(family, PORT) as there:
            got = []
            for _ in range(2):
                for _ in range(3):
                    here.sendto(b"opened", (family.child(1), PORT))
                got.append(len(gather(there, 3) if got else drain(there, SILENCE)))
                if len(got) == 1:
                    policy(PARENT, "in", inner, outer, "tunnel")
            same(got, [0, 3], f"{family.name}, shortcut {words}, ESP of the parent's for a held address: as its policies say, or not at all")
            before = places_taken("p1")
            watch(PARENT, f"udp dport {PORT} meta ipsec exists", ("in",))
            watch(BLUE, f"udp dport {PORT} meta ipsec missing", ("pre", "in"))
            for _ in range(3):
                here.sendto(b"opened", (family.child(1), PORT))
            gather(there, 3)
            saw, taken = (seen(PARENT), seen(BLUE)), difference(places_taken("p1"), before)
            same((saw, taken), (({"in": 3}, {"pre": 3, "in": 3}), {"netfilter": 3}), f"{family.name}, shortcut {words}: ... which the parent's rules see, and the child's, whom netfilter brings it, do not")
            for space in (PARENT, BLUE):
                unwatch(space)
        PARENT.call("ip", "xfrm", "policy", "flush")
    PARENT.call(*family.ip("route", "del", "local", family.child(1), "dev", "p1"))
    shortcut("p1", "none")
    forget()


def main():
    """All, for both IP versions."""
    for family in FAMILIES:
        childs_own(family)
        parents(family)
        parents_out(family)
        unasked(family)
    # The last: this stays.
    for family in FAMILIES:
        by_devices(family)


if __name__ == "__main__":
    sys.exit(main())
