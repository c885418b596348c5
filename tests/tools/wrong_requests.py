#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Sends wrong requests and checks the errno and text of each refusal, and that
each leaves no device behind.

usage: wrong_requests.py KIND

A device "taken" must exist in the namespace.
"""

import errno
import os
import re
import socket
import struct
import sys

from rtnl import (
    CHANGE,
    CREATE,
    IFLA_ADDRESS,
    IFLA_IFNAME,
    IFLA_INFO_DATA,
    IFLA_INFO_KIND,
    IFLA_LINKINFO,
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
    MODE_L2,
    MODE_L3,
    NLM_F_REPLACE,
    SHORTCUTS_ALL,
    Rtnl,
    attr,
    ifinfomsg,
    linkinfo,
    nest,
    peer,
    text,
    u32,
)

ANY = r"."  # an explanation there must be; its words are the kernel's own
NONE = r""  # the kernel's core refuses this one without a word


def links():
    """The names of the devices that exist."""
    return sorted(name for _, name in socket.if_nameindex())


class Cases:
    """Runs cases and prints results."""

    def __init__(self, kind):
        self.kind = kind
        self.rtnl = Rtnl()

    def refused(self, name, want, pattern, *attrs, **options):
        """The request fails with this errno and text, and changes nothing."""
        before = links()
        number, message = self.rtnl.newlink(*attrs, **options)
        got = errno.errorcode.get(number, "success")
        after = links()
        wanted = want if isinstance(want, tuple) else (want,)
        if number in wanted and re.search(pattern, message, re.I) and before == after:
            print(f"ok {name}: {got} {message!r}")
            return
        print(f"not ok {name}")
        print(f"# got {got} {message!r}, want {[errno.errorcode[n] for n in wanted]} /{pattern}/")
        if before != after:
            print(f"# devices before {before} after {after}")
            for extra in set(after) - set(before):
                self.rtnl.dellink(extra)

    def create(self, name, want, pattern, *data, port=()):
        """A refused creation of `bad`, with attributes of ours in `data`."""
        self.refused(name, want, pattern, text(IFLA_IFNAME, "bad"), *port, linkinfo(self.kind, *data))

    def change(self, name, want, pattern, *data):
        """A refused change of `taken`."""
        self.refused(name, want, pattern, text(IFLA_IFNAME, "taken"), linkinfo(self.kind, *data), flags=CHANGE)

    def accepted(self, name, *attrs, **options):
        """The request succeeds; what it made is removed."""
        before = links()
        number, message = self.rtnl.newlink(*attrs, **options)
        print(f"{'not ok' if number else 'ok'} {name}: {errno.errorcode.get(number, 'success')} {message!r}")
        for extra in sorted(set(links()) - set(before)):
            self.rtnl.dellink(extra)

    def mode_and_role(self):
        """The attributes that are ours alone."""
        bad_value = (errno.EINVAL, errno.ERANGE)
        self.create("mode 2", bad_value, ANY, u32(IFLA_PASSTHRU_MODE, 2))
        self.create("mode 0xffffffff", bad_value, ANY, u32(IFLA_PASSTHRU_MODE, 0xFFFFFFFF))
        for size in (0, 1, 3):
            self.create(f"mode of {size} bytes", bad_value, ANY, attr(IFLA_PASSTHRU_MODE, bytes(size)))
        self.create("role in a creation", errno.EINVAL, "role", u32(IFLA_PASSTHRU_ROLE, 1))
        self.change("role in a change", errno.EINVAL, "role", u32(IFLA_PASSTHRU_ROLE, 0))
        self.change("another mode", (errno.EOPNOTSUPP, errno.EINVAL), "mode", u32(IFLA_PASSTHRU_MODE, MODE_L2))
        self.change("a new peer", (errno.EOPNOTSUPP, errno.EINVAL), "peer", peer(text(IFLA_IFNAME, "other")))

    def shortcuts(self):
        """Sets that hold more than there is."""
        for bits in (SHORTCUTS_ALL + 1, 1 << 31, 0xFFFFFFFF):
            wrong = u32(IFLA_PASSTHRU_SHORTCUTS, bits)
            self.create(f"shortcuts {bits:#x}", errno.EINVAL, "shortcut", wrong)
            self.change(f"shortcuts {bits:#x} in a change", errno.EINVAL, "shortcut", wrong)
        for size in (0, 3, 5, 8):
            self.create(f"shortcuts of {size} bytes", (errno.EINVAL, errno.ERANGE), ANY, attr(IFLA_PASSTHRU_SHORTCUTS, bytes(size)))

    def spoofchk(self):
        """A switch that is neither on nor off."""
        bad_value = (errno.EINVAL, errno.ERANGE)
        for value in (2, 0xFFFFFFFF):
            wrong = u32(IFLA_PASSTHRU_SPOOFCHK, value)
            self.create(f"spoofchk {value:#x}", bad_value, ANY, wrong)
            self.change(f"spoofchk {value:#x} in a change", bad_value, ANY, wrong)
        for size in (0, 1, 3, 5):
            self.create(f"spoofchk of {size} bytes", bad_value, ANY, attr(IFLA_PASSTHRU_SPOOFCHK, bytes(size)))

    def peer_header(self):
        """Lengths of the peer's message that cannot be."""
        for size in (0, 1, 15):
            self.create(f"peer of {size} bytes", (errno.EINVAL, errno.ERANGE), ANY, attr(IFLA_PASSTHRU_PEER_INFO, bytes(size)))
        self.create("peer with a negative index", errno.EINVAL, ANY, peer(header=ifinfomsg(index=-5)))
        self.create("peer with the index of another", errno.EBUSY, "index of the child is taken", peer(header=ifinfomsg(index=socket.if_nametoindex("taken"))))
        body = linkinfo(self.kind, peer(header=ifinfomsg(index=7777)))
        self.refused("port with the index of its peer", errno.EBUSY, "index of the port is taken", text(IFLA_IFNAME, "bad"), body, header=ifinfomsg(index=7777))

    def peer_names(self):
        """Names that a device cannot have."""
        for wrong in ("a/b", ".", "..", "a b", "x" * 16, "c:1"):
            self.create(f"peer named {wrong!r}", (errno.EINVAL, errno.ERANGE), NONE, peer(text(IFLA_IFNAME, wrong)))
        self.create("peer named as the port", errno.EEXIST, "name of the port is taken", peer(text(IFLA_IFNAME, "bad")))
        self.create("peer named as another", errno.EEXIST, "name of the child is taken", peer(text(IFLA_IFNAME, "taken")))
        self.create("peer name without an end", (errno.EINVAL, errno.ERANGE), NONE, peer(attr(IFLA_IFNAME, b"y" * 300)))

    def peer_attributes(self):
        """Attributes of the peer that are wrong."""
        namespace = (errno.EINVAL, errno.EBADF, errno.ESRCH)
        self.create("peer in the namespace of no process", errno.ESRCH, NONE, peer(u32(IFLA_NET_NS_PID, 0x3FFFFFF)))
        self.create("peer in the namespace of no file", namespace, NONE, peer(u32(IFLA_NET_NS_FD, 999)))
        self.create("peer in the namespace of a file that is none", namespace, NONE, peer(u32(IFLA_NET_NS_FD, 0)))
        self.create("peer with MTU 65536", errno.EINVAL, ANY, peer(u32(IFLA_MTU, 65536)))
        self.create("peer with MTU 67", errno.EINVAL, ANY, peer(u32(IFLA_MTU, 67)))
        self.create("peer with 0 queues", errno.EINVAL, ANY, peer(u32(IFLA_NUM_TX_QUEUES, 0)))
        self.create("peer with 4097 queues", errno.EINVAL, ANY, peer(u32(IFLA_NUM_TX_QUEUES, 4097)))
        self.create("peer with 4097 receive queues", errno.EINVAL, ANY, peer(u32(IFLA_NUM_RX_QUEUES, 4097)))
        self.create("peer with an MTU of 2 bytes", (errno.EINVAL, errno.ERANGE), ANY, peer(attr(IFLA_MTU, bytes(2))))
        l2 = u32(IFLA_PASSTHRU_MODE, MODE_L2)
        self.create("l2: peer with a multicast address", errno.EADDRNOTAVAIL, NONE, l2, peer(attr(IFLA_ADDRESS, b"\1\0\x5e\0\0\1")))
        self.create("l2: peer with a short address", errno.EINVAL, NONE, l2, peer(attr(IFLA_ADDRESS, b"\2\0\0\0")))

    def port_attributes(self):
        """Attributes of the port that are wrong."""
        l2, l3 = u32(IFLA_PASSTHRU_MODE, MODE_L2), u32(IFLA_PASSTHRU_MODE, MODE_L3)
        mac = attr(IFLA_ADDRESS, b"\2\0\0\0\0\1")
        self.create("l3: port with an address", errno.EOPNOTSUPP, "mode l3 have no MAC address", l3, port=[mac])
        self.create("l3: peer with an address", errno.EOPNOTSUPP, "mode l3 have no MAC address", l3, peer(mac))
        self.create("port with MTU 65536", errno.EINVAL, ANY, port=[u32(IFLA_MTU, 65536)])
        self.create("port with 0 queues", errno.EINVAL, ANY, port=[u32(IFLA_NUM_TX_QUEUES, 0)])
        self.create("port with 4097 queues", errno.EINVAL, ANY, port=[u32(IFLA_NUM_TX_QUEUES, 4097)])
        two = [u32(IFLA_NET_NS_PID, os.getpid()), u32(IFLA_NET_NS_FD, 0)]
        self.create("port in two namespaces", errno.EINVAL, "netns", port=two)
        self.create("port in an unknown namespace id", errno.EINVAL, NONE, port=[u32(IFLA_TARGET_NETNSID, 77777)])
        self.create("l2: port with a multicast address", errno.EADDRNOTAVAIL, NONE, l2, port=[attr(IFLA_ADDRESS, b"\1\0\x5e\0\0\1")])
        self.create("l2: port with a long address", errno.ERANGE, NONE, l2, port=[attr(IFLA_ADDRESS, bytes([2]) * 40)])
        self.refused("port named as another", errno.EEXIST, NONE, text(IFLA_IFNAME, "taken"), linkinfo(self.kind))
        self.refused("replacing a device", errno.EOPNOTSUPP, NONE, text(IFLA_IFNAME, "taken"), linkinfo(self.kind, peer()), flags=CHANGE | NLM_F_REPLACE)
        self.refused("port with a wrong name", (errno.EINVAL, errno.ERANGE), NONE, text(IFLA_IFNAME, "a/b"), linkinfo(self.kind))

    def nesting(self):
        """Attributes whose lengths lie."""
        long_one = attr(IFLA_PASSTHRU_MODE, bytes(4), length=4000)
        data = attr(IFLA_INFO_DATA, b"\xff" * 32)
        kind = text(IFLA_INFO_KIND, self.kind)
        name = text(IFLA_IFNAME, "bad")
        # Bytes that are no attribute, where one may end, are left alone by the
        # kernel's parser; whatever it makes of them must be whole.
        for title, info in (
            ("data of garbage", nest(IFLA_LINKINFO, kind, data)),
            ("mode longer than its nest", linkinfo(self.kind, long_one)),
            ("link info that is cut", attr(IFLA_LINKINFO, kind + struct.pack("=HH", 200, IFLA_INFO_DATA))),
            ("peer with a nest of garbage", linkinfo(self.kind, peer(b"\x03\x00" + b"\xff" * 30))),
            ("peer with an attribute of length 1", linkinfo(self.kind, peer(attr(IFLA_IFNAME, b"c0\0", length=1) * 2))),
            ("data twice", nest(IFLA_LINKINFO, kind, data, nest(IFLA_INFO_DATA, u32(IFLA_PASSTHRU_MODE, MODE_L3)))),
            ("attribute of an unknown type", linkinfo(self.kind, u32(200, 1))),
            ("peer with an attribute of an unknown type", linkinfo(self.kind, peer(u32(4000, 1)))),
            ("peer within a peer", linkinfo(self.kind, peer(linkinfo(self.kind, peer(peer()))))),
            ("peer with a link of its own", linkinfo(self.kind, peer(u32(5, 1)))),
        ):
            self.whole(title, name, info)

    def whole(self, title, *attrs):
        """All or nothing: a pair was made, or an error came and no device."""
        before = links()
        number, message = self.rtnl.newlink(*attrs)
        made = set(links()) - set(before)
        right = len(made) == (0 if number else 2)
        print(f"{'ok' if right else 'not ok'} {title}: {errno.errorcode.get(number, 'success')} {message!r}, {len(made)} devices")
        if made:
            self.rtnl.dellink("bad")
        if links() != before:
            print(f"not ok {title}: all of it goes\n# before {before} after {links()}")

    def accepted_forms(self):
        """Requests that look odd and are right: the refusals above are not blind."""
        name = text(IFLA_IFNAME, "fine")
        self.accepted("no attributes of ours", name, linkinfo(self.kind))
        self.accepted("empty data", name, nest(IFLA_LINKINFO, text(IFLA_INFO_KIND, self.kind), attr(IFLA_INFO_DATA)))
        self.accepted("a peer that is a header only", name, linkinfo(self.kind, peer()))
        self.accepted("all shortcuts by number", name, linkinfo(self.kind, u32(IFLA_PASSTHRU_SHORTCUTS, SHORTCUTS_ALL)))
        for value in (0, 1):
            self.accepted(f"spoofchk {value}", name, linkinfo(self.kind, u32(IFLA_PASSTHRU_SPOOFCHK, value)))
        self.accepted("both modes by number", name, linkinfo(self.kind, u32(IFLA_PASSTHRU_MODE, MODE_L2)), flags=CREATE)


def main():
    """Runs all cases."""
    cases = Cases(sys.argv[1])
    cases.accepted_forms()
    cases.mode_and_role()
    cases.shortcuts()
    cases.spoofchk()
    cases.peer_header()
    cases.peer_names()
    cases.peer_attributes()
    cases.port_attributes()
    cases.nesting()


if __name__ == "__main__":
    main()
