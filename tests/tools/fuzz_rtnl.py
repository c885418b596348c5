#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Sends random requests about a link type and watches that pairs stay whole.

usage: fuzz_rtnl.py KIND SEED COUNT

Each request is put together from attributes that are likely to go somewhere,
then bent: bytes changed, lengths changed, parts dropped, doubled or cut. The
kernel must answer each one, and whatever exists then must exist in pairs.
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
    IFLA_TARGET_NETNSID,
    NLM_F_REPLACE,
    RTM_DELLINK,
    RTM_NEWLINK,
    Rtnl,
    attr,
    ifinfomsg,
    text,
    u32,
)

NAMES = ("f0", "f1", "f2", "f3", "f%d", "a/b", "", "lo")


class Fuzz:
    """A stream of random requests; the same for the same seed."""

    def __init__(self, kind, seed):
        self.kind = kind
        self.rng = random.Random(seed)
        self.rtnl = Rtnl()
        self.own = set(self.links())

    @staticmethod
    def links():
        """Names of all devices here."""
        return [name for _, name in socket.if_nameindex()]

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

    def linkinfo(self, depth=2):
        """IFLA_LINKINFO with data of ours."""
        rng = self.rng
        data = []
        for _ in range(rng.choice((0, 1, 2, 2, 3, 6))):
            kind = rng.choice((IFLA_PASSTHRU_PEER_INFO, IFLA_PASSTHRU_PEER_INFO, IFLA_PASSTHRU_MODE, IFLA_PASSTHRU_MODE, IFLA_PASSTHRU_ROLE, rng.randrange(0x4000)))
            kind |= rng.choice((0, 0, 0x8000, 0x4000))
            if kind & 0x3FFF == IFLA_PASSTHRU_PEER_INFO:
                payload = self.peer(depth)
            elif rng.random() < 0.7:
                payload = self.rng.choice((0, 0, 1, 1, 2)).to_bytes(4, "little")
            else:
                payload = rng.randbytes(rng.choice((0, 1, 3, 4, 8, 100)))
            data.append(attr(kind, payload, rng.choice((None,) * 9 + (rng.randrange(300),))))
        body = self.bend(b"".join(data), 0.3)
        return attr(IFLA_LINKINFO | 0x8000, text(IFLA_INFO_KIND, self.kind) + attr(IFLA_INFO_DATA | 0x8000, body))

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
        """One request: (type, flags, body)."""
        rng = self.rng
        existing = [n for n in self.links() if n not in self.own]
        if existing and rng.random() < 0.15:
            return RTM_DELLINK, CHANGE, ifinfomsg() + text(IFLA_IFNAME, rng.choice(existing))
        attrs = [self.linkinfo()] + [self.link_attr() for _ in range(rng.choice((0, 0, 1, 1, 2)))]
        if rng.random() < 0.8:
            attrs.append(text(IFLA_IFNAME, rng.choice(NAMES[:5])))
        rng.shuffle(attrs)
        flags = rng.choice((CREATE, CREATE, CREATE, CHANGE, CHANGE | NLM_F_REPLACE, CREATE & ~0x200))
        return RTM_NEWLINK, flags, ifinfomsg(self.index(), self.number() & 1, 1) + b"".join(attrs)

    def index(self):
        """An index for the message: mostly none, never that of somebody else."""
        made = [index for index, name in socket.if_nameindex() if name not in self.own]
        return self.rng.choice([0] * 8 + made[:2] + [-1, 2**31 - 1])

    def clear(self):
        """Deletes whatever was made."""
        for name in self.links():
            if name not in self.own and name in self.links():
                self.rtnl.dellink(name)

    def run(self, count):
        """Sends the requests; returns (accepted, refused, odd ones)."""
        accepted = refused = odd = 0
        for index in range(count):
            kind, flags, body = self.request()
            error, _ = self.rtnl.request(kind, flags, body)
            accepted += error == 0
            refused += error != 0
            made = [name for name in self.links() if name not in self.own]
            if len(made) % 2:
                odd += 1
                print(f"# request {index}: half a pair among {made}: type {kind} flags {flags:#x} {body.hex()}")
                self.clear()
            elif len(made) > 40:
                self.clear()
        self.clear()
        return accepted, refused, odd


def main():
    """Runs one seed."""
    fuzz = Fuzz(sys.argv[1], int(sys.argv[2]))
    accepted, refused, odd = fuzz.run(int(sys.argv[3]))
    print(f"{'ok' if not odd else 'not ok'} pairs stay whole")
    print(f"{'ok' if accepted and refused else 'not ok'} some are accepted and some refused")
    print(f"# {accepted} accepted, {refused} refused")
    left = set(fuzz.links()) ^ fuzz.own
    print(f"{'not ok' if left else 'ok'} all of it can be deleted" + (f": {sorted(left)}" if left else ""))


if __name__ == "__main__":
    main()
