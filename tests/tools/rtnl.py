#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""rtnetlink on a plain socket, for requests that `ip` would never send.

A library for the other tools. It builds RTM_NEWLINK and RTM_DELLINK messages
from bytes, right or wrong, and reads the kernel's answer with its extended
acknowledgement.
"""

import errno
import socket
import struct

RTM_NEWLINK, RTM_DELLINK, RTM_GETLINK, RTM_SETLINK = 16, 17, 18, 19
RTM_NEWLINKPROP = 108
NLM_F_REQUEST, NLM_F_ACK = 0x1, 0x4
NLM_F_REPLACE, NLM_F_EXCL, NLM_F_CREATE = 0x100, 0x200, 0x400
NLM_F_DUMP = 0x300
NLM_F_CAPPED, NLM_F_ACK_TLVS = 0x100, 0x200
NLMSG_ERROR, NLMSG_DONE = 2, 3
NLMSGERR_ATTR_MSG, NLMSGERR_ATTR_OFFS = 1, 2
NLA_F_NESTED, NLA_F_NET_BYTEORDER = 0x8000, 0x4000

IFLA_ADDRESS, IFLA_BROADCAST, IFLA_IFNAME, IFLA_MTU, IFLA_LINK, IFLA_MASTER = 1, 2, 3, 4, 5, 10
IFLA_TXQLEN, IFLA_IFALIAS, IFLA_GROUP, IFLA_CARRIER = 13, 20, 27, 33
IFLA_LINKINFO, IFLA_NET_NS_PID, IFLA_AF_SPEC, IFLA_NET_NS_FD = 18, 19, 26, 28
IFLA_INET_CONF, IPV4_DEVCONF_FORWARDING = 1, 1
IFLA_NUM_TX_QUEUES, IFLA_NUM_RX_QUEUES, IFLA_TARGET_NETNSID = 31, 32, 46
IFLA_GSO_MAX_SEGS, IFLA_GSO_MAX_SIZE, IFLA_GRO_MAX_SIZE = 40, 41, 58
IFLA_GSO_IPV4_MAX_SIZE, IFLA_GRO_IPV4_MAX_SIZE = 63, 64
IFLA_PROP_LIST, IFLA_ALT_IFNAME = 52, 53
IFLA_INFO_KIND, IFLA_INFO_DATA = 1, 2
# include/uapi/linux/if_passthru.h
IFLA_PASSTHRU_PEER_INFO, IFLA_PASSTHRU_MODE, IFLA_PASSTHRU_ROLE = 1, 2, 3
IFLA_PASSTHRU_SHORTCUTS, IFLA_PASSTHRU_SPOOFCHK = 4, 5
SHORTCUTS_ALL = 0x1F
MODE_L3, MODE_L2 = 0, 1

CREATE = NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL
CHANGE = NLM_F_REQUEST | NLM_F_ACK


def attr(kind, data=b"", length=None):
    """One attribute, padded; `length` overrides the length that it claims."""
    claimed = 4 + len(data) if length is None else length
    return struct.pack("=HH", claimed, kind) + data + bytes(-len(data) % 4)


def u32(kind, value):
    """An attribute of 32 bits."""
    return attr(kind, struct.pack("=I", value))


def text(kind, value):
    """A zero-terminated string."""
    return attr(kind, value.encode() + b"\0")


def nest(kind, *attrs):
    """Attributes within an attribute."""
    return attr(kind | NLA_F_NESTED, b"".join(attrs))


def ifinfomsg(index=0, flags=0, change=0, family=0):
    """The header of a link message."""
    return struct.pack("=BxHiII", family, 0, index, flags, change)


def linkinfo(kind, *data):
    """IFLA_LINKINFO with its kind and, if there are any, its own attributes."""
    info = [text(IFLA_INFO_KIND, kind)]
    if data:
        info.append(nest(IFLA_INFO_DATA, *data))
    return nest(IFLA_LINKINFO, *info)


def peer(*attrs, header=None):
    """IFLA_PASSTHRU_PEER_INFO: a link message of its own."""
    return attr(IFLA_PASSTHRU_PEER_INFO, (ifinfomsg() if header is None else header) + b"".join(attrs))


def parse(data):
    """What attributes hold, by their types without flags; the last of each."""
    found, offset = {}, 0
    while offset + 4 <= len(data):
        length, kind = struct.unpack_from("=HH", data, offset)
        found[kind & 0x3FFF] = data[offset + 4 : offset + length]
        offset += max((length + 3) & ~3, 4)
    return found


class Refused(Exception):
    """An error that the kernel answered with."""

    def __init__(self, number, message):
        super().__init__(f"{errno.errorcode.get(number, number)}: {message!r}")
        self.number = number
        self.message = message


class Rtnl:
    """A netlink route socket in the namespace of the process."""

    def __init__(self, timeout=20):
        self.sock = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0)
        self.sock.setsockopt(270, 11, 1)  # SOL_NETLINK, NETLINK_EXT_ACK
        self.sock.setsockopt(270, 10, 1)  # NETLINK_CAP_ACK: no copy of the request
        self.sock.settimeout(timeout)
        self.sock.bind((0, 0))
        self.sequence = 0

    def send(self, kind, flags, body):
        """Sends one message; returns its sequence number."""
        self.sequence += 1
        self.sock.send(struct.pack("=IHHII", 16 + len(body), kind, flags, self.sequence, 0) + body)
        return self.sequence

    def answer(self, sequence):
        """Waits for the acknowledgement; returns (errno, message)."""
        while True:
            data = self.sock.recv(65536)
            _, kind, flags, got, _ = struct.unpack_from("=IHHII", data)
            if got != sequence:
                continue
            if kind != NLMSG_ERROR:
                raise ValueError(f"answer of type {kind}")
            return -struct.unpack_from("=i", data, 16)[0], self.message(data, flags)

    @staticmethod
    def message(data, flags):
        """The extended acknowledgement's text, "" when there is none."""
        if not flags & NLM_F_ACK_TLVS:
            return ""
        offset = 16 + 4 + 16  # header, error, header of the request
        while offset + 4 <= len(data):
            length, kind = struct.unpack_from("=HH", data, offset)
            if length < 4:
                break
            if kind == NLMSGERR_ATTR_MSG:
                return data[offset + 4 : offset + length].rstrip(b"\0").decode()
            offset += (length + 3) & ~3
        return ""

    def request(self, kind, flags, body):
        """Sends and waits; returns (errno, message), errno 0 for success."""
        return self.answer(self.send(kind, flags, body))

    def settings(self, name):
        """What `ip -d link show` has of a device: role, shortcuts, check of sources; None for each
        that is not shown."""
        sequence = self.send(RTM_GETLINK, NLM_F_REQUEST, ifinfomsg() + text(IFLA_IFNAME, name))
        while True:
            data = self.sock.recv(65536)
            _, kind, _, got, _ = struct.unpack_from("=IHHII", data)
            if got == sequence:
                break
        if kind != RTM_NEWLINK:
            raise Refused(-struct.unpack_from("=i", data, 16)[0], name)
        info = parse(parse(data[32:]).get(IFLA_LINKINFO, b""))
        shown = parse(info.get(IFLA_INFO_DATA, b""))
        kinds = (IFLA_PASSTHRU_ROLE, IFLA_PASSTHRU_SHORTCUTS, IFLA_PASSTHRU_SPOOFCHK)
        return tuple(struct.unpack("=I", shown[kind])[0] if kind in shown else None for kind in kinds)

    def newlink(self, *attrs, flags=CREATE, header=None):
        """RTM_NEWLINK."""
        return self.request(RTM_NEWLINK, flags, (ifinfomsg() if header is None else header) + b"".join(attrs))

    def dellink(self, name):
        """RTM_DELLINK by name."""
        return self.request(RTM_DELLINK, CHANGE, ifinfomsg() + text(IFLA_IFNAME, name))

    def forwarding(self, name, value):
        """IPv4's switch of a device. Before Linux 7.3 this flushes no route, as sysctl does."""
        conf = nest(IFLA_AF_SPEC, nest(socket.AF_INET, nest(IFLA_INET_CONF, u32(IPV4_DEVCONF_FORWARDING, value))))
        self.must(self.request(RTM_SETLINK, CHANGE, ifinfomsg(socket.if_nametoindex(name)) + conf))

    def must(self, answer):
        """For requests that have to succeed."""
        if answer[0]:
            raise Refused(*answer)
