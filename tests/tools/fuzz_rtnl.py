#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Sends random requests about a link type and watches that pairs stay whole.

usage: fuzz_rtnl.py KIND SEED COUNT [CHILD]

Each request is put together from attributes that are likely to go somewhere,
then bent: bytes changed, lengths changed, parts dropped, doubled or cut. The
kernel must answer each one, whatever exists then must exist in pairs, and what
it shows must be a set of shortcuts that there is.

With CHILD, a device that exists, all requests are changes of that one, as whoever
has it may try: its port is somewhere else.
"""

import os
import random
import socket
import sys

from rtnl import (
    CHANGE,
    CREATE,
    IFLA_ADDRESS,
    IFLA_IFNAME,
    IFLA_INFO_DATA,
    IFLA_INFO_KIND,
    IFLA_LINK,
    IFLA_LINKINFO,
    IFLA_MASTER,
    IFLA_MTU,
    IFLA_NET_NS_FD,
    IFLA_NET_NS_PID,
    IFLA_NUM_RX_QUEUES,
    IFLA_NUM_TX_QUEUES,
    IFLA_PASSTHRU_MODE,
    IFLA_PASSTHRU_PEER_INFO,
    IFLA_PASSTHRU_ROLE,
    IFLA_PASSTHRU_SHORTCUTS,
    IFLA_PASSTHRU_SPOOFCHK,
    IFLA_TARGET_NETNSID,
    NLA_F_NESTED,
    NLA_F_NET_BYTEORDER,
    NLM_F_REPLACE,
    RTM_DELLINK,
    RTM_NEWLINK,
    RTM_SETLINK,
    SHORTCUTS_ALL,
    Refused,
    Rtnl,
    attr,
    ifinfomsg,
    text,
    u32,
)

# Those that are chosen more often are there more than once.
DATA = (IFLA_PASSTHRU_PEER_INFO, IFLA_PASSTHRU_MODE, IFLA_PASSTHRU_SHORTCUTS) * 3
DATA += (IFLA_PASSTHRU_SPOOFCHK, IFLA_PASSTHRU_SPOOFCHK, IFLA_PASSTHRU_ROLE)
POLICY = (IFLA_PASSTHRU_SHORTCUTS, IFLA_PASSTHRU_SHORTCUTS, IFLA_PASSTHRU_SPOOFCHK)
PORT, CHILD = (0, 1)  # enum passthru_role
NAMES = ("f0", "f1", "f2", "f3", "f%d", "a/b", "", "lo")


class Fuzz:
    """A stream of random requests; the same for the same seed."""

    def __init__(self, kind, seed, child=None):
        self.kind = kind
        self.rng = random.Random(seed)
        self.rtnl = Rtnl()
        self.own = {index for index, _ in socket.if_nameindex()}
        self.child = child and socket.if_nametoindex(child)
        self.accepted = {}

    def made(self):
        """Names of the devices that were not here before."""
        return [name for index, name in socket.if_nameindex() if index not in self.own]

    def number(self):
        """A number that is likely to be somebody's limit."""
        return self.rng.choice((0, 1, 2, 3, 67, 68, 1500, 4096, 4097, 65535, 65536, 2**31 - 1, 2**31, 2**32 - 1, self.rng.getrandbits(32)))

    def link_attr(self):
        """An attribute that any link message may have."""
        rng = self.rng
        kind = rng.choice((IFLA_IFNAME, IFLA_IFNAME, IFLA_MTU, IFLA_ADDRESS, IFLA_NUM_TX_QUEUES, IFLA_NUM_RX_QUEUES, IFLA_NET_NS_PID, IFLA_NET_NS_FD, IFLA_TARGET_NETNSID, IFLA_LINK, IFLA_MASTER, rng.randrange(80)))
        if kind == IFLA_IFNAME:
            return text(kind, rng.choice(NAMES))
        if kind == IFLA_ADDRESS:
            return attr(kind, rng.randbytes(rng.choice((0, 5, 6, 6, 6, 7, 32, 40))))
        if kind == IFLA_NET_NS_PID:
            # Ours or nobody's: a peer elsewhere could not be told from half a pair.
            return u32(kind, rng.choice((os.getpid(), os.getpid(), 0, 2**22 + 1, 2**31, 2**32 - 1)))
        if kind in (IFLA_NUM_TX_QUEUES, IFLA_NUM_RX_QUEUES):
            # Thousands of queues are legal and only slow.
            return u32(kind, rng.choice((0, 1, 2, 8, 4097, 2**32 - 1)))
        if rng.random() < 0.5:
            return u32(kind, self.number())
        return attr(kind, rng.randbytes(rng.choice((0, 1, 2, 4, 8, 16, 60))))

    def peer(self, depth):
        """Peer info, at times with a peer of its own inside."""
        header = ifinfomsg(self.rng.choice((0, 0, 0, 0, 1, -1, self.number() & 0x7FFFFFFF)), self.number(), self.number())
        attrs = [self.link_attr() for _ in range(self.rng.choice((0, 1, 1, 2, 4)))]
        if depth and self.rng.random() < 0.2:
            attrs.append(self.linkinfo(depth - 1))
        return self.bend(header + b"".join(attrs), 0.3)

    def bits(self, kind):
        """What a number of ours holds: mostly something that it may mean."""
        rng = self.rng
        if rng.random() < 0.2:
            return rng.randbytes(rng.choice((0, 1, 3, 4, 4, 5, 8, 100)))
        if kind == IFLA_PASSTHRU_SHORTCUTS:
            value = rng.choice((0, rng.getrandbits(5), rng.getrandbits(5), SHORTCUTS_ALL, rng.getrandbits(6), 1 << rng.randrange(32), rng.getrandbits(32)))
        else:
            value = rng.choice((0, 0, 1, 1, 2))
        return value.to_bytes(4, sys.byteorder)

    def linkinfo(self, depth=2, choice=DATA):
        """IFLA_LINKINFO with data of ours."""
        rng = self.rng
        data = []
        for _ in range(rng.choice((0, 1, 2, 2, 3, 6))):
            kind = rng.choice(choice + (rng.randrange(0x4000),))
            payload = self.peer(depth) if kind == IFLA_PASSTHRU_PEER_INFO else self.bits(kind)
            kind |= rng.choice((0,) * 10 + (NLA_F_NESTED, NLA_F_NET_BYTEORDER))
            data.append(attr(kind, payload, rng.choice((None,) * 19 + (rng.randrange(300),))))
        body = self.bend(b"".join(data), 0.2)
        return attr(IFLA_LINKINFO | NLA_F_NESTED, text(IFLA_INFO_KIND, self.kind) + attr(IFLA_INFO_DATA | NLA_F_NESTED, body))

    def bend(self, data, chance):
        """Changes, cuts or doubles a piece of the bytes, at times."""
        rng = self.rng
        if not data or rng.random() > chance:
            return data
        data = bytearray(data)
        way = rng.randrange(4)
        start = rng.randrange(len(data))
        if way == 0:
            for _ in range(rng.choice((1, 2, 8))):
                data[rng.randrange(len(data))] = rng.randrange(256)
        elif way == 1:
            del data[start:]
        elif way == 2:
            data += data[start:]
        else:
            del data[start : start + rng.choice((1, 4, 16))]
        return bytes(data)

    def request(self):
        """One request: (what it is, type, flags, body)."""
        rng = self.rng
        if self.child:
            return self.change(self.child)
        existing = self.made()
        if existing and rng.random() < 0.15:
            return "deletions", RTM_DELLINK, CHANGE, ifinfomsg() + text(IFLA_IFNAME, rng.choice(existing))
        if existing and rng.random() < 0.4:
            return self.change(socket.if_nametoindex(rng.choice(existing)))
        attrs = [self.linkinfo()] + [self.link_attr() for _ in range(rng.choice((0, 0, 1, 1, 2)))]
        if rng.random() < 0.8:
            attrs.append(text(IFLA_IFNAME, rng.choice(NAMES[:5])))
        rng.shuffle(attrs)
        flags = rng.choice((CREATE, CREATE, CREATE, CHANGE, CHANGE | NLM_F_REPLACE, CREATE & ~0x200))
        return "creations", RTM_NEWLINK, flags, ifinfomsg(self.index(), self.number() & 1, 1) + b"".join(attrs)

    def change(self, index):
        """A change of what exists, be it a port or a child."""
        rng = self.rng
        kind, name = rng.choice(((RTM_NEWLINK, "changes"), (RTM_NEWLINK, "changes"), (RTM_SETLINK, "RTM_SETLINK")))
        attrs = [self.linkinfo(1, rng.choice((DATA, POLICY, POLICY)))] if rng.random() < 0.8 else []
        attrs += [self.link_attr() for _ in range(rng.choice((0, 0, 0, 1, 2)))]
        rng.shuffle(attrs)
        return name, kind, CHANGE, ifinfomsg(index, self.number() & 1, rng.choice((0, 1))) + b"".join(attrs)

    def index(self):
        """An index for the message: mostly none, never that of somebody else."""
        made = [index for index, _ in socket.if_nameindex() if index not in self.own]
        return self.rng.choice([0] * 8 + made[:2] + [-1, 2**31 - 1])

    def clear(self):
        """Deletes whatever was made."""
        while made := self.made():
            number, message = self.rtnl.dellink(made[0])
            if number:
                raise Refused(number, message)

    def is_odd(self, name):
        """A device that shows what there is not, if it is there at all."""
        try:
            role, shortcuts, check = self.rtnl.settings(name)
        except Refused:
            return False
        if role == PORT:
            return shortcuts not in range(SHORTCUTS_ALL + 1) or check not in (0, 1)
        return (role, shortcuts, check) != (CHILD, None, None)

    def run(self, count):
        """Sends the requests; returns (refused, odd ones)."""
        refused = odd = 0
        for index in range(count):
            what, kind, flags, body = self.request()
            error, _ = self.rtnl.request(kind, flags, body)
            refused += error != 0
            if not error:
                self.accepted[what] = self.accepted.get(what, 0) + 1
            made = self.made()
            seen = [socket.if_indextoname(self.child)] if self.child else made
            if len(made) % 2 or seen and self.is_odd(self.rng.choice(seen)):
                odd += 1
                print(f"# request {index}: not whole: {made}: type {kind} flags {flags:#x} {body.hex()}")
                self.clear()
            elif len(made) > 40:
                self.clear()
        self.clear()
        return refused, odd


def main():
    """Runs one seed."""
    fuzz = Fuzz(sys.argv[1], int(sys.argv[2]), *sys.argv[4:])
    refused, odd = fuzz.run(int(sys.argv[3]))
    kinds = {"changes", "RTM_SETLINK"} if fuzz.child else {"creations", "deletions", "changes", "RTM_SETLINK"}
    print(f"{'ok' if not odd else 'not ok'} pairs stay whole")
    print(f"{'ok' if refused and set(fuzz.accepted) == kinds else 'not ok'} some of each kind are accepted and some refused")
    print(f"# accepted: {fuzz.accepted}, {refused} refused")
    left = {index for index, _ in socket.if_nameindex()} ^ fuzz.own
    print(f"{'not ok' if left else 'ok'} all of it can be deleted, and nothing else is" + (f": {sorted(left)}" if left else ""))


if __name__ == "__main__":
    main()
