#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""What fail_nth.py lets fail in the module itself: sets of shortcuts, queues, and
pairs that are made with all that there is.

A library. The kernel is to be told that only allocations below the module's own
functions count, so that each error is the module's, and has to say why.
"""

import errno
import socket
import struct
import subprocess

from rtnl import (
    CHANGE,
    CREATE,
    IFLA_IFNAME,
    IFLA_NET_NS_FD,
    IFLA_NUM_RX_QUEUES,
    IFLA_NUM_TX_QUEUES,
    IFLA_PASSTHRU_MODE,
    IFLA_PASSTHRU_SHORTCUTS,
    MODE_L3,
    RTM_NEWLINK,
    SHORTCUTS_ALL,
    ifinfomsg,
    linkinfo,
    peer,
    text,
    u32,
)

IFF_UP = 1
ETHTOOL_GCHANNELS, ETHTOOL_SCHANNELS = 0x3C, 0x3D
PORT_ADDRESS, CHILD_ADDRESS = "10.9.0.1", "10.9.0.2"
PATIENCE = 30  # seconds; a packet that is lost is lost


class Pair:
    """The pair p0 and c0, addressed and up, and what passes it."""

    def __init__(self, faults):
        self.faults = faults
        self.there = self.here = None

    def make(self):
        """The pair, if it is not there."""
        if self.faults.devices():
            return
        self.faults.make()
        self.call(f"addr add {PORT_ADDRESS}/24 dev p0", "link set p0 up")
        with self.faults.away():
            self.call(f"addr add {CHILD_ADDRESS}/24 dev c0", "link set c0 up")
            self.there = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.there.bind((CHILD_ADDRESS, 7))
        self.here = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.here.connect((CHILD_ADDRESS, 7))
        for end in (self.there, self.here):
            end.settimeout(PATIENCE)

    @staticmethod
    def call(*lines):
        """`ip` where this thread is."""
        subprocess.run(("ip", "-batch", "-"), input="\n".join(lines), text=True, check=True)

    def passes(self):
        """A datagram to the child, and one back."""
        try:
            self.here.send(b"ping")
            _, sender = self.there.recvfrom(16)
            self.there.sendto(b"pong", sender)
            return self.here.recv(16) == b"pong" and sender[0] == PORT_ADDRESS
        except OSError:
            return False

    def ask(self, bits, nth):
        """Asks for a set; (errno or None, whether an allocation failed)."""
        body = ifinfomsg() + text(IFLA_IFNAME, "p0") + linkinfo(self.faults.kind, u32(IFLA_PASSTHRU_SHORTCUTS, bits))
        return self.faults.send(RTM_NEWLINK, CHANGE, body, nth)

    def shown(self):
        """The set that the kernel shows."""
        return self.faults.rtnl.settings("p0")[1]


def our_hooks(faults):
    """How many hooks the module has, by `nft list hooks`."""
    listed = ("nft", "list", "hooks")
    outputs = [subprocess.run(listed + more, capture_output=True, text=True, check=False) for more in ((), ("netdev", "device", "uplink"))]
    with faults.away():
        outputs.append(subprocess.run(listed, capture_output=True, text=True, check=False))
    return sum(output.stdout.count("[passthru]") for output in outputs)


def setting(faults, old, new):
    """Another set on a living pair: it has the old or the new one, and works."""
    pair = Pair(faults)

    def one(nth):
        pair.make()
        error, failed = pair.ask(new, nth)
        said, shown, left = faults.said, pair.shown(), faults.left
        made = faults.devices() + [f"set {shown:#x}", said]
        right = shown == (old if error else new) and pair.passes() and error is not None
        right = right and (not error or said == "cannot set the shortcuts")
        if old == 0:
            # Taking hooks away does not fail, whatever else does.
            right = right and (not error or our_hooks(faults) == 0)
            right = right and pair.ask(old, nth)[0] == 0
        else:
            right = right and pair.ask(old, 0)[0] == 0
        faults.left, faults.said = left, said  # of what was asked for first
        return error, failed, right and pair.shown() == old and pair.passes(), made

    return one


def creation(faults):
    """A pair with all shortcuts and a child that is up: all of it or nothing."""
    child = peer(text(IFLA_IFNAME, "c0"), u32(IFLA_NET_NS_FD, faults.namespace), header=ifinfomsg(flags=IFF_UP, change=IFF_UP))
    data = (u32(IFLA_PASSTHRU_MODE, MODE_L3), u32(IFLA_PASSTHRU_SHORTCUTS, SHORTCUTS_ALL), child)
    body = ifinfomsg() + text(IFLA_IFNAME, "p0") + linkinfo(faults.kind, *data)

    def one(nth):
        error, failed = faults.send(RTM_NEWLINK, CREATE, body, nth)
        made = faults.devices()
        if error:
            right = made == [] and our_hooks(faults) == 0 and faults.said != ""
        else:
            right = made == ["p0", "c0"] and faults.rtnl.settings("p0")[1] == SHORTCUTS_ALL
        faults.remove()
        return error, failed, right and faults.devices() == [], made + [faults.said]

    return one


def channels(faults):
    """`ethtool -L`: as many queues as asked for, or as many as before."""

    def counts():
        return struct.unpack("=9I", faults.ethtool(struct.pack("=9I", ETHTOOL_GCHANNELS, *bytes(8))))[5:7]

    def ask(number, nth=0):
        faults.arm(nth)
        try:
            faults.ethtool(struct.pack("=9I", ETHTOOL_SCHANNELS, 0, 0, 0, 0, number, number, 0, 0))
            return 0
        except OSError as error:
            return error.errno

    def one(nth):
        if not faults.devices():
            queues = (u32(IFLA_NUM_TX_QUEUES, 4), u32(IFLA_NUM_RX_QUEUES, 4))
            faults.make(*queues)
            ask(1)
        error = ask(4, nth)
        failed = faults.failed()
        made = faults.devices() + list(counts())
        right = made == ["p0", "c0"] + ([1, 1] if error else [4, 4]) and error in (0, errno.ENOMEM)
        return error, failed, right and ask(1) == 0 and counts() == (1, 1), made

    return one


def operations(faults):
    """All of these by name."""
    return {
        "create-all": creation(faults),
        "shortcuts": setting(faults, 0, SHORTCUTS_ALL),
        "other-shortcuts": setting(faults, 0b00110, 0b11001),
        "channels": channels(faults),
    }


def check_end(faults, name):
    """Hooks are there while they are needed only."""
    if not name.endswith("shortcuts"):
        return
    pair = Pair(faults)
    pair.make()
    for bits in (SHORTCUTS_ALL, 0):
        faults.rtnl.must((pair.ask(bits, 0)[0], "a set without a failure"))
        right = (our_hooks(faults) > 0) == (bits > 0)
        print(f"{'ok' if right else 'not ok'} {name}: hooks with the set {bits:#x}")
    faults.rtnl.must((pair.ask(SHORTCUTS_ALL, 0)[0], "a set without a failure"))
    faults.remove()
    print(f"{'not ok' if our_hooks(faults) else 'ok'} {name}: no hook is left when the pair is gone")
