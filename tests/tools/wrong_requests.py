#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Sends wrong requests and checks the errno and text of each refusal, and that
each leaves no device behind.

usage: wrong_requests.py KIND
       wrong_requests.py KIND --parent PID FD

A device "taken" must exist in the namespace. With --parent: what one may not do
to another namespace, that of the process PID and of the open file FD; a child
device "c0" may exist.
"""

import errno
import os
import socket
import struct
import sys

from rtnl import (
    CHANGE,
    CREATE,
    IFLA_ADDRESS,
    IFLA_AF_SPEC,
    IFLA_ALT_IFNAME,
    IFLA_BROADCAST,
    IFLA_CARRIER,
    IFLA_GRO_IPV4_MAX_SIZE,
    IFLA_GRO_MAX_SIZE,
    IFLA_GROUP,
    IFLA_GSO_IPV4_MAX_SIZE,
    IFLA_GSO_MAX_SEGS,
    IFLA_GSO_MAX_SIZE,
    IFLA_IFALIAS,
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
    IFLA_PROP_LIST,
    IFLA_TARGET_NETNSID,
    IFLA_TXQLEN,
    MODE_L2,
    MODE_L3,
    NLA_F_NESTED,
    NLA_F_NET_BYTEORDER,
    NLM_F_REPLACE,
    RTM_NEWLINKPROP,
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

# The kernel's own words.
NONE = ""  # its core refuses this one without any
POLICY = "Attribute failed policy validation"
LENGTH = "invalid attribute length"
NESTED = "NLA_F_NESTED not expected"
TX_QUEUES = "Invalid number of transmit queues"
RX_QUEUES = "Invalid number of receive queues"
SMALL, LARGE = "mtu less than device minimum", "mtu greater than device maximum"
# The module's.
MODE = "unknown mode"
FIXED_MODE = "the mode of a pair cannot be changed after it was made"
ROLE = "role is read-only: the device that is asked for is the port"
FIXED_PEER = "peer info is for making a pair; change the other end itself"
SHORTCUTS = "unknown bit in the set of shortcuts"
SPOOFCHK = "spoofchk is 0 or 1"
CHILD, PORT = "cannot register the child", "cannot register the port"
CHILD_NAME = "the name of the child is no name for a device"
PORT_NAME = "the name of the port is no name for a device"
NOT_SINGLE = "not the address of a single Ethernet device"
NO_ADDRESS = "not an Ethernet address"
L3_ADDRESS = "devices in mode l3 have no MAC address"
L3_BROADCAST = "devices in mode l3 have no broadcast address"
BAD_INFO = "link info is malformed"
BAD_DATA = "link data is malformed"
BAD_PEER = "peer info is malformed"
UNKNOWN = "unknown attribute in link data"
SWAPPED = "link data is in host byte order"
NOT_MADE_WITH = "peer info has an attribute that no device is made with; set it afterwards"


def links():
    """The names of the devices that exist."""
    return sorted(name for _, name in socket.if_nameindex())


class Cases:
    """Runs cases and prints results."""

    def __init__(self, kind):
        self.kind = kind
        self.rtnl = Rtnl()

    def refused(self, name, want, why, *attrs, **options):
        """The request fails with this errno and text, and makes nothing."""
        before = links()
        number, message = self.rtnl.newlink(*attrs, **options)
        got = errno.errorcode.get(number, "success")
        after = links()
        if number == want and message == why and before == after:
            print(f"ok {name}: {got} {message!r}")
            return
        print(f"not ok {name}")
        print(f"# got {got} {message!r}, want {errno.errorcode[want]} {why!r}")
        if before != after:
            print(f"# devices before {before} after {after}")
            for extra in set(after) - set(before):
                self.rtnl.dellink(extra)

    def create(self, name, want, why, *data, port=()):
        """A refused creation of `bad`, with attributes of ours in `data`."""
        self.refused(name, want, why, text(IFLA_IFNAME, "bad"), *port, linkinfo(self.kind, *data))

    def change(self, name, want, why, *data):
        """A refused change of `taken`."""
        self.refused(name, want, why, text(IFLA_IFNAME, "taken"), linkinfo(self.kind, *data), flags=CHANGE)

    def accepted(self, name, *attrs, **options):
        """The request succeeds; what it made is removed."""
        before = links()
        number, message = self.rtnl.newlink(*attrs, **options)
        print(f"{'not ok' if number else 'ok'} {name}: {errno.errorcode.get(number, 'success')} {message!r}")
        for extra in sorted(set(links()) - set(before)):
            self.rtnl.dellink(extra)

    def mode_and_role(self):
        """The attributes that are ours alone."""
        for value in (2, 0xFFFFFFFF):
            self.create(f"mode {value:#x}", errno.EINVAL, MODE, u32(IFLA_PASSTHRU_MODE, value))
        self.create("role in a creation", errno.EINVAL, ROLE, u32(IFLA_PASSTHRU_ROLE, 1))
        self.change("role in a change", errno.EINVAL, ROLE, u32(IFLA_PASSTHRU_ROLE, 0))
        self.change("another mode", errno.EOPNOTSUPP, FIXED_MODE, u32(IFLA_PASSTHRU_MODE, MODE_L2))
        self.change("the same mode", errno.EOPNOTSUPP, FIXED_MODE, u32(IFLA_PASSTHRU_MODE, MODE_L3))
        self.change("a new peer", errno.EOPNOTSUPP, FIXED_PEER, peer(text(IFLA_IFNAME, "other")))

    def numbers(self):
        """Lengths and flags that numbers of ours cannot have."""
        for name, kind in (("mode", IFLA_PASSTHRU_MODE), ("shortcuts", IFLA_PASSTHRU_SHORTCUTS), ("spoofchk", IFLA_PASSTHRU_SPOOFCHK)):
            for size in (0, 1, 3, 5, 8):
                self.create(f"{name} of {size} bytes", errno.EINVAL, LENGTH, attr(kind, bytes(size)))
            self.create(f"{name} as a nest", errno.EINVAL, NESTED, u32(kind | NLA_F_NESTED, 1))
            self.create(f"{name} in network byte order", errno.EINVAL, SWAPPED, u32(kind | NLA_F_NET_BYTEORDER, 1))

    def policy(self):
        """Sets that hold more than there is, a switch that is neither on nor off."""
        for bits in (SHORTCUTS_ALL + 1, 1 << 31, 0xFFFFFFFF):
            wrong = u32(IFLA_PASSTHRU_SHORTCUTS, bits)
            self.create(f"shortcuts {bits:#x}", errno.EINVAL, SHORTCUTS, wrong)
            self.change(f"shortcuts {bits:#x} in a change", errno.EINVAL, SHORTCUTS, wrong)
        for value in (2, 0xFFFFFFFF):
            wrong = u32(IFLA_PASSTHRU_SPOOFCHK, value)
            self.create(f"spoofchk {value:#x}", errno.EINVAL, SPOOFCHK, wrong)
            self.change(f"spoofchk {value:#x} in a change", errno.EINVAL, SPOOFCHK, wrong)

    def peer_header(self):
        """Lengths of the peer's message that cannot be."""
        for size in (0, 1, 15):
            self.create(f"peer of {size} bytes", errno.ERANGE, POLICY, attr(IFLA_PASSTHRU_PEER_INFO, bytes(size)))
        self.create("peer with a negative index", errno.EINVAL, "ifindex can't be negative", peer(header=ifinfomsg(index=-5)))
        self.create("peer with the index of another", errno.EBUSY, "the index of the child is taken", peer(header=ifinfomsg(index=socket.if_nametoindex("taken"))))
        body = linkinfo(self.kind, peer(header=ifinfomsg(index=7777)))
        self.refused("port with the index of its peer", errno.EBUSY, "the index of the port is taken, maybe by the child", text(IFLA_IFNAME, "bad"), body, header=ifinfomsg(index=7777))

    def names(self):
        """Names that a device cannot have."""
        for wrong in ("a/b", ".", "..", "a b", "c:1", "", "x%s", "%d%d"):
            self.create(f"peer named {wrong!r}", errno.EINVAL, CHILD_NAME, peer(text(IFLA_IFNAME, wrong)))
            self.refused(f"port named {wrong!r}", errno.EINVAL, PORT_NAME, text(IFLA_IFNAME, wrong), linkinfo(self.kind))
        self.create("peer with a name of 16 characters", errno.ERANGE, POLICY, peer(text(IFLA_IFNAME, "x" * 16)))
        self.create("peer name without an end", errno.ERANGE, POLICY, peer(attr(IFLA_IFNAME, b"y" * 300)))
        self.create("peer named as the port", errno.EEXIST, "the name of the port is taken, maybe by the child", peer(text(IFLA_IFNAME, "bad")))
        self.create("peer named as another", errno.EEXIST, "the name of the child is taken", peer(text(IFLA_IFNAME, "taken")))

    def peer_attributes(self):
        """Attributes of the peer that are wrong."""
        self.create("peer in the namespace of no process", errno.ESRCH, NONE, peer(u32(IFLA_NET_NS_PID, 0x3FFFFFF)))
        self.create("peer in the namespace of no file", errno.EBADF, NONE, peer(u32(IFLA_NET_NS_FD, 999)))
        self.create("peer in the namespace of a file that is none", errno.EINVAL, NONE, peer(u32(IFLA_NET_NS_FD, 0)))
        self.create("peer with MTU 65536", errno.EINVAL, LARGE, peer(u32(IFLA_MTU, 65536)))
        self.create("peer with MTU 67", errno.EINVAL, SMALL, peer(u32(IFLA_MTU, 67)))
        for count in (0, 4097):
            self.create(f"peer with {count} queues", errno.EINVAL, TX_QUEUES, peer(u32(IFLA_NUM_TX_QUEUES, count)))
            self.create(f"peer with {count} receive queues", errno.EINVAL, RX_QUEUES, peer(u32(IFLA_NUM_RX_QUEUES, count)))
        self.create("peer with an MTU of 2 bytes", errno.ERANGE, POLICY, peer(attr(IFLA_MTU, bytes(2))))

    def sizes(self):
        """Packets that stand for more than the kernel can make, or a device can take."""
        for kind, name in (
            (IFLA_GSO_MAX_SIZE, "gso_max_size"),
            (IFLA_GSO_MAX_SEGS, "gso_max_segs"),
            (IFLA_GRO_MAX_SIZE, "gro_max_size"),
            (IFLA_GSO_IPV4_MAX_SIZE, "gso_ipv4_max_size"),
            (IFLA_GRO_IPV4_MAX_SIZE, "gro_ipv4_max_size"),
        ):
            most = 65535 if kind == IFLA_GSO_MAX_SEGS else 8 * 65535
            self.create(f"peer with {name} {most + 1}", errno.EINVAL, f"too big {name}", peer(u32(kind, most + 1)))
            self.create(f"port with {name} {most + 1}", errno.EINVAL, f"too big {name}", port=[u32(kind, most + 1)])
            self.accepted(f"peer with {name} {most}", text(IFLA_IFNAME, "fine"), linkinfo(self.kind, peer(u32(kind, most))))

    def numbered_names(self):
        """Templates whose numbers are all taken, by other names of other devices."""
        bits, each = 8 * os.sysconf("SC_PAGE_SIZE"), 400
        extras = []
        for first in range(0, bits, each):
            extras.append(f"extra{first}")
            self.rtnl.must(self.rtnl.newlink(text(IFLA_IFNAME, extras[-1]), linkinfo("dummy")))
            names = [text(IFLA_ALT_IFNAME, f"full{number}") for number in range(first, min(first + each, bits))]
            link = ifinfomsg(socket.if_nametoindex(extras[-1]))
            self.rtnl.must(self.rtnl.request(RTM_NEWLINKPROP, CREATE, link + nest(IFLA_PROP_LIST, *names)))
        self.create("peer for whose name there is no number", errno.ENFILE, CHILD, peer(text(IFLA_IFNAME, "full%d")))
        self.refused("port for whose name there is no number", errno.ENFILE, PORT, text(IFLA_IFNAME, "full%d"), linkinfo(self.kind))
        for extra in extras:
            self.rtnl.must(self.rtnl.dellink(extra))

    def peer_leftovers(self):
        """What the kernel would leave alone when it makes a device."""
        taken = socket.if_nametoindex("taken")
        for name, left in (
            ("a master", u32(IFLA_MASTER, taken)),
            ("an alias", text(IFLA_IFALIAS, "eth")),
            ("a link below", u32(IFLA_LINK, taken)),
            ("address generation", nest(IFLA_AF_SPEC, nest(socket.AF_INET6, attr(8, b"\1")))),
            ("a carrier", attr(IFLA_CARRIER, b"\0")),
            ("a namespace by id", u32(IFLA_TARGET_NETNSID, 0)),
            ("a type of its own", linkinfo(self.kind)),
            ("a peer of its own", linkinfo(self.kind, peer(peer()))),
            ("an attribute of an unknown type", u32(4000, 1)),
            ("an attribute of type 0", u32(0, 1)),
        ):
            self.create(f"peer with {name}", errno.EOPNOTSUPP, NOT_MADE_WITH, peer(text(IFLA_IFNAME, "c9"), left))

    def addresses(self):
        """Addresses that the mode has not, of either end."""
        l2, l3 = u32(IFLA_PASSTHRU_MODE, MODE_L2), u32(IFLA_PASSTHRU_MODE, MODE_L3)
        several = attr(IFLA_ADDRESS, b"\1\0\x5e\0\0\1")
        for mode, name, want, why, wrong in (
            (l3, "l3: an address", errno.EOPNOTSUPP, L3_ADDRESS, attr(IFLA_ADDRESS, b"\2\0\0\0\0\1")),
            (l3, "l3: a broadcast address", errno.EOPNOTSUPP, L3_BROADCAST, attr(IFLA_BROADCAST, b"\xff" * 6)),
            (l2, "l2: a multicast address", errno.EADDRNOTAVAIL, NOT_SINGLE, several),
            (l2, "l2: an address of zeros", errno.EADDRNOTAVAIL, NOT_SINGLE, attr(IFLA_ADDRESS, bytes(6))),
            (l2, "l2: no address", errno.EINVAL, NO_ADDRESS, attr(IFLA_ADDRESS)),
            (l2, "l2: a short address", errno.EINVAL, NO_ADDRESS, attr(IFLA_ADDRESS, b"\2\0\0\0")),
            (l2, "l2: a long address", errno.EINVAL, NO_ADDRESS, attr(IFLA_ADDRESS, b"\2" * 7)),
            (l2, "l2: a far too long address", errno.ERANGE, POLICY, attr(IFLA_ADDRESS, b"\2" * 40)),
            (l2, "l2: a short broadcast address", errno.EINVAL, NO_ADDRESS, attr(IFLA_BROADCAST, b"\xff" * 5)),
            (l2, "l2: a long broadcast address", errno.EINVAL, NO_ADDRESS, attr(IFLA_BROADCAST, b"\xff" * 7)),
        ):
            self.create(f"{name}, of the port", want, why, mode, port=[wrong])
            self.create(f"{name}, of the peer", want, why, mode, peer(wrong))

    def port_attributes(self):
        """Attributes of the port that are wrong."""
        self.create("port with MTU 65536", errno.EINVAL, LARGE, port=[u32(IFLA_MTU, 65536)])
        self.create("port with 0 queues", errno.EINVAL, TX_QUEUES, port=[u32(IFLA_NUM_TX_QUEUES, 0)])
        self.create("port with 4097 queues", errno.EINVAL, TX_QUEUES, port=[u32(IFLA_NUM_TX_QUEUES, 4097)])
        two = [u32(IFLA_NET_NS_PID, os.getpid()), u32(IFLA_NET_NS_FD, 0)]
        self.create("port in two namespaces", errno.EINVAL, "multiple netns identifying attributes specified", port=two)
        self.create("port in an unknown namespace id", errno.EINVAL, NONE, port=[u32(IFLA_TARGET_NETNSID, 77777)])
        self.refused("port named as another", errno.EEXIST, NONE, text(IFLA_IFNAME, "taken"), linkinfo(self.kind))
        self.refused("replacing a device", errno.EOPNOTSUPP, NONE, text(IFLA_IFNAME, "taken"), linkinfo(self.kind, peer()), flags=CHANGE | NLM_F_REPLACE)

    def nesting(self):
        """Attributes whose lengths lie: the kernel's own parser lets most of them pass."""
        garbage = attr(IFLA_INFO_DATA, b"\xff" * 32)
        mode = u32(IFLA_PASSTHRU_MODE, MODE_L3)
        kind, data = text(IFLA_INFO_KIND, self.kind), nest(IFLA_INFO_DATA, mode)
        for name, why, info in (
            ("data of garbage", BAD_DATA, nest(IFLA_LINKINFO, kind, garbage)),
            ("data of garbage before other data", BAD_DATA, nest(IFLA_LINKINFO, kind, garbage, data)),
            ("data with two bytes more", BAD_DATA, nest(IFLA_LINKINFO, kind, attr(IFLA_INFO_DATA, mode + bytes(2)))),
            ("data with a header of length 0", BAD_DATA, nest(IFLA_LINKINFO, kind, attr(IFLA_INFO_DATA, mode + bytes(4)))),
            ("mode longer than its nest", BAD_DATA, linkinfo(self.kind, attr(IFLA_PASSTHRU_MODE, bytes(4), length=4000))),
            ("link info that is cut", BAD_INFO, attr(IFLA_LINKINFO, kind + struct.pack("=HH", 200, IFLA_INFO_DATA))),
            ("link info with a byte more", BAD_INFO, attr(IFLA_LINKINFO, kind + data + b"\0")),
            ("peer with a nest of garbage", BAD_PEER, linkinfo(self.kind, peer(b"\x03\x00" + b"\xff" * 30))),
            ("peer with an attribute of length 1", BAD_PEER, linkinfo(self.kind, peer(attr(IFLA_IFNAME, b"c0\0", length=1) * 2))),
            ("peer with an attribute that is cut", BAD_PEER, linkinfo(self.kind, peer(text(IFLA_IFNAME, "c9") + struct.pack("=HH", 8, IFLA_MTU)))),
            ("peer with two bytes more", BAD_PEER, linkinfo(self.kind, peer(text(IFLA_IFNAME, "c9") + bytes(2)))),
            ("attribute of an unknown type", UNKNOWN, linkinfo(self.kind, u32(200, 1))),
            ("attribute of the first type that is free", UNKNOWN, linkinfo(self.kind, u32(IFLA_PASSTHRU_SPOOFCHK + 1, 1))),
            ("attribute of type 0", UNKNOWN, linkinfo(self.kind, u32(0, 1))),
        ):
            self.refused(name, errno.EINVAL, why, text(IFLA_IFNAME, "bad"), info)
            if why != BAD_PEER:
                self.refused(f"{name}, in a change", errno.EINVAL, why, text(IFLA_IFNAME, "taken"), info, flags=CHANGE)

    def accepted_forms(self):
        """Requests that look odd and are right: the refusals above are not blind."""
        name = text(IFLA_IFNAME, "fine")
        self.accepted("no attributes of ours", name, linkinfo(self.kind))
        self.accepted("empty data", name, nest(IFLA_LINKINFO, text(IFLA_INFO_KIND, self.kind), attr(IFLA_INFO_DATA)))
        self.accepted("a peer that is a header only", name, linkinfo(self.kind, peer()))
        self.accepted("all shortcuts by number", name, linkinfo(self.kind, u32(IFLA_PASSTHRU_SHORTCUTS, SHORTCUTS_ALL)))
        for value in (0, 1):
            self.accepted(f"spoofchk {value}", name, linkinfo(self.kind, u32(IFLA_PASSTHRU_SPOOFCHK, value)))
        mode, kind = u32(IFLA_PASSTHRU_MODE, MODE_L2), text(IFLA_INFO_KIND, self.kind)
        self.accepted("mode l2 by number", name, linkinfo(self.kind, mode), flags=CREATE)
        self.accepted("data twice", name, nest(IFLA_LINKINFO, kind, nest(IFLA_INFO_DATA, mode), nest(IFLA_INFO_DATA, mode)))
        self.accepted("a mode twice", name, linkinfo(self.kind, mode, mode))
        self.accepted("nests without their flag", name, attr(IFLA_LINKINFO, kind + attr(IFLA_INFO_DATA, mode + peer())))
        # Libraries differ in whether padding belongs to what holds it.
        child = struct.pack("=HH", 7, IFLA_IFNAME) + b"c9\0"
        self.accepted("a last name without its padding", name, linkinfo(self.kind, mode, peer(child)))
        self.accepted("a last name with its padding", name, linkinfo(self.kind, mode, peer(child + b"\0")))
        self.accepted("peer info as a nest", name, linkinfo(self.kind, attr(IFLA_PASSTHRU_PEER_INFO | NLA_F_NESTED, ifinfomsg() + u32(IFLA_MTU, 1400))))
        every = [u32(IFLA_MTU, 1400), u32(IFLA_TXQLEN, 7), u32(IFLA_GROUP, 3), u32(IFLA_NUM_TX_QUEUES, 2), u32(IFLA_NUM_RX_QUEUES, 2), u32(IFLA_NET_NS_PID, os.getpid())]
        every += [attr(IFLA_ADDRESS, b"\2\0\0\0\0\1"), attr(IFLA_BROADCAST, b"\xff" * 6), text(IFLA_IFNAME, "c9")]
        self.accepted("a peer with all that there is for it", name, linkinfo(self.kind, mode, peer(*every)))


    def parent(self, pid, fd):
        """Nothing is made in, or moved to, a namespace that one is not root of."""
        for way, there in (("process", u32(IFLA_NET_NS_PID, pid)), ("open file", u32(IFLA_NET_NS_FD, fd))):
            self.create(f"no child in the namespace of the {way}", errno.EPERM, NONE, peer(there))
            self.create(f"no port in the namespace of the {way}", errno.EPERM, NONE, port=[there])
            if "c0" in links():
                self.refused(f"no move to the namespace of the {way}", errno.EPERM, NONE, text(IFLA_IFNAME, "c0"), there, flags=CHANGE)


def main():
    """Runs all cases."""
    cases = Cases(sys.argv[1])
    if "--parent" in sys.argv:
        cases.parent(int(sys.argv[3]), int(sys.argv[4]))
        return
    cases.accepted_forms()
    cases.mode_and_role()
    cases.numbers()
    cases.policy()
    cases.peer_header()
    cases.names()
    cases.peer_attributes()
    cases.sizes()
    cases.peer_leftovers()
    cases.addresses()
    cases.port_attributes()
    cases.nesting()
    cases.numbered_names()


if __name__ == "__main__":
    main()
