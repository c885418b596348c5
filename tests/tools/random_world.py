#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""A parent with two uplinks, two children and a child of one of these, and packets for them.

A library for shortcut_random.py, which makes two worlds that are the same:

    out0 --- up0 [ par ] p1 === c0 blue q1 === c0 grand
    out1 --- up1 [     ] p2 === c0 red

What leaves by an uplink is seen on the wire (nobody lives there), what arrives elsewhere by
sockets. Of what is seen nothing is kept that may differ by the way a packet took.
"""

import array
import errno
import fcntl
import re
import socket
import struct
import subprocess

from world import V4, V6, Batch, Space, checksum, mac_of, until

SPACES = ("par", "blue", "red", "grand")
DEVICES = {"par": ("up0", "up1", "p1", "p2"), "blue": ("c0", "q1"), "red": ("c0",), "grand": ("c0",), "out": ("out0", "out1")}
PORTS = {"p1": "par", "p2": "par", "q1": "blue"}
# UDP: a socket that answers, none, and those that come and go.
OPEN, SHUT, TALK = 7001, 7999, 7002
KNOWN = (OPEN, SHUT, TALK, 4242, 4243)
TOKEN = re.compile(rb"T[0-9a-f]{7}")
LINK_LOCAL = re.compile("^fe80::[0-9a-f:]{9,}(%.*)?$")
ICMP = {V4: 1, V6: 58}
ERRORS = {V4: (3, 12), V6: (1, 2, 4)}
# How many hops there were differs by the way, when the rest of a packet comes is nobody's doing,
# and redirects are for neighbours.
NOT_TOLD = {V4: (5, 11), V6: (3, 137)}


class Pool:
    """Addresses of one IP version."""

    def __init__(self, family):
        self.family = family
        four = family is V4
        self.uplinks = ("192.0.2.1", "198.51.100.1") if four else ("2001:db8:2::1", "2001:db8:3::1")
        self.gateways = ("192.0.2.2", "198.51.100.2") if four else ("2001:db8:2::2", "2001:db8:3::2")
        self.length = 24 if four else 64
        self.ports = ("10.0.1.1", "10.0.2.1") if four else ("fd00:1::1", "fd00:2::1")
        self.children = ("10.0.1.2", "10.0.2.2") if four else ("fd00:1::2", "fd00:2::2")
        self.grand = "10.0.5.2" if four else "fd00:5::2"
        self.others = (
            ("10.0.1.3", "10.9.9.9", "10.9.9.8", "203.0.113.5", "203.0.113.6", "192.0.2.77")
            if four
            else ("fd00:1::3", "fd00:9::9", "fd00:9::8", "2001:db8:9::5", "2001:db8:9::6", "2001:db8:2::77")
        )
        self.odd = (
            ("127.0.0.1", "0.0.0.0", "224.0.0.5", "255.255.255.255", "169.254.1.1", "240.0.0.1", "10.0.1.255", "10.0.1.0", "192.0.2.255")
            if four
            else ("::1", "::", "ff02::1", "ff0e::5", "fe80::77", "fd00:1::", "::ffff:10.0.1.2")
        )
        self.nets = (
            ("10.0.1.0/24", "10.0.2.0/24", "10.0.0.0/16", "10.9.0.0/16", "203.0.113.0/24", "203.0.113.4/30")
            if four
            else ("fd00:1::/64", "fd00:2::/64", "fd00::/16", "fd00:9::/48", "2001:db8:9::/64", "2001:db8:9::4/126")
        )

    def own(self, rng):
        """An address that somebody may have."""
        return rng.choice(self.children * 4 + (self.grand,) * 2 + self.others + self.ports + self.uplinks + self.gateways)

    def any(self, rng):
        """That, or an odd one."""
        return rng.choice(self.odd) if rng.random() < 0.1 else self.own(rng)

    def prefix(self, rng):
        """Where a route leads."""
        hosts = [self.family.host(address) for address in (*self.children, self.grand, *self.others)]
        return rng.choice([*hosts, *self.nets, "default"])

    def of(self, where):
        """The address of who sends."""
        at = {"out0": self.gateways[0], "out1": self.gateways[1], "par": self.uplinks[0]}
        return {"blue": self.children[0], "red": self.children[1], "grand": self.grand, **at}[where]


def ethertype(family):
    """The protocol of a frame."""
    return 0x0800 if family is V4 else 0x86DD


class World:
    """The namespaces, what is in them, and who looks and sends there."""

    def __init__(self, name, pools):
        self.name = name
        self.pools = pools
        self.sockets = {}
        for space in ("out", *SPACES):
            subprocess.run(["ip", "netns", "add", f"{name}-{space}"], check=True)
        self.spaces = {space: Space(f"{name}-{space}") for space in ("out", *SPACES)}
        self.par, self.out = self.spaces["par"], self.spaces["out"]
        self.make_devices()
        self.set_switches()
        self.base()
        self.wires, self.macs = zip(*(self.wire(number) for number in (0, 1)))
        self.senders = {}
        for space in SPACES:
            self.open_senders(space)
            for family in (V4, V6):
                self.toggle_socket(space, family, OPEN)

    def make_devices(self):
        """Uplinks and pairs."""
        for number in (0, 1):
            self.par.call("ip", "link", "add", f"up{number}", "type", "veth", "peer", "name", f"out{number}", "netns", self.out.name)
            # Nobody would answer for the addresses behind it.
            self.par.call("ip", "link", "set", f"up{number}", "arp", "off")
            self.out.sysctl(**{f"ipv6__conf__out{number}__disable_ipv6": 1})
            self.out.call("ip", "link", "set", f"out{number}", "up")
        for port, child in (("p1", "blue"), ("p2", "red"), ("q1", "grand")):
            parent, child = self.spaces[PORTS[port]], self.spaces[child]
            parent.call("ip", "link", "add", port, "type", "passthru", "peer", "name", "c0", "netns", child.name)

    def set_switches(self):
        """All that refuse say so, and blue is a parent, too."""
        for name in SPACES:
            self.spaces[name].call("ip", "link", "set", "lo", "up")
            self.spaces[name].sysctl(
                ipv4__icmp_ratelimit=0,
                ipv4__icmp_msgs_per_sec=1000000,
                ipv4__icmp_msgs_burst=1000000,
                ipv6__icmp__ratelimit=0,
                ipv4__conf__all__send_redirects=0,
                ipv4__conf__default__send_redirects=0,
                ipv6__conf__all__accept_dad=0,
                ipv6__conf__default__accept_dad=0,
            )
        for name in ("par", "blue"):
            self.spaces[name].sysctl(ipv4__conf__all__forwarding=1, ipv6__conf__all__forwarding=1)

    def ip(self, space, *words):
        """A command of ip, which may be refused; what it complained of."""
        options = words[:1] if words[0].startswith("-") else ()
        key = (self.spaces[space].name, options)
        if key not in Batch.running:
            with self.spaces[space]:
                Batch.running[key] = Batch(options)
        if "-6" in options and words[1:3] == ("addr", "replace"):
            words = (*words, "nodad")
        try:
            said = Batch.running[key].run(words[len(options) :])
        except BrokenPipeError:
            said = "ip has died"
        if "ip has died" in said:
            # It leaves at words that make no sense to it, as some do in a random order.
            Batch.running.pop(key).process.wait()
        return said

    def base(self):
        """Addresses and routes as they are at first."""
        for space in SPACES:
            for device in DEVICES[space]:
                self.ip(space, "link", "set", device, "up")
        for pool in self.pools:
            v, host = f"-{pool.family.version}", pool.family.host
            for number in (0, 1):
                self.ip("par", v, "addr", "replace", f"{pool.uplinks[number]}/{pool.length}", "dev", f"up{number}")
                self.ip("par", v, "addr", "replace", host(pool.ports[number]), "dev", f"p{number + 1}")
                self.ip("par", v, "route", "replace", host(pool.children[number]), "dev", f"p{number + 1}")
            self.ip("par", v, "route", "replace", "default", "via", pool.gateways[0], "dev", "up0")
            self.ip("par", v, "route", "replace", host(pool.grand), "dev", "p1")
            self.ip("blue", v, "route", "replace", host(pool.grand), "dev", "q1")
            for child in ("blue", "red", "grand"):
                self.ip(child, v, "addr", "replace", host(pool.of(child)), "dev", "c0")
                self.ip(child, v, "route", "replace", "default", "dev", "c0")
        self.settle()

    def settle(self):
        """Waits until the kernel has done what it leaves to workers when a carrier or an IPv6 address
        comes or goes."""
        self.ask_for_carriers()
        until(lambda: not any(map(self.has_new_address, SPACES)))
        # The routes of addresses that are no longer new are there when whoever made them lets others in.
        self.ask_for_carriers()

    def ask_for_carriers(self):
        """Has a change be known at once."""
        for name, devices in DEVICES.items():
            with self.spaces[name].socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
                for device in devices:
                    data = array.array("B", struct.pack("=II", 0x0A, 0))  # ETHTOOL_GLINK
                    fcntl.ioctl(sock, 0x8946, struct.pack("16sP8x", device.encode(), data.buffer_info()[0]))

    def has_new_address(self, space):
        """Whether a worker has yet to come by for an IPv6 address: it does where a device runs."""
        with self.spaces[space], open("/proc/thread-self/net/if_inet6", encoding="ascii") as file:
            addresses = [line.split() for line in file]
        new = {address[5] for address in addresses if int(address[4], 16) & 0x40}  # IFA_F_TENTATIVE
        with self.spaces[space].socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            return any(self.runs(sock, device) for device in new)

    @staticmethod
    def runs(sock, device):
        """Whether a device is up and has a carrier."""
        request = struct.pack("16sH14x", device.encode(), 0)
        flags = struct.unpack_from("=H", fcntl.ioctl(sock, 0x8913, request), 16)[0]  # SIOCGIFFLAGS
        return flags & 0x41 == 0x41  # IFF_UP, IFF_RUNNING

    def wire(self, number):
        """Who looks and sends behind an uplink, and the uplink's address."""
        with self.out:
            wire = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(3))
            wire.bind((f"out{number}", 3))
        wire.setblocking(False)
        return wire, bytes.fromhex(mac_of(self.par, f"up{number}").replace(":", ""))

    def open_senders(self, space):
        """Sockets that send whole packets, by routing and past it."""
        with self.spaces[space]:
            self.senders[space, "frame"] = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, 0)
            for family in (V4, V6):
                sock = socket.socket(family.af, socket.SOCK_RAW, socket.IPPROTO_RAW)
                if family is V6:
                    sock.setsockopt(socket.IPPROTO_IPV6, 36, 1)  # IPV6_HDRINCL
                self.senders[space, "raw", family] = sock

    def toggle_socket(self, space, family, port, address=None, peer=None, device=None):
        """Opens a UDP socket, or closes it where it is there."""
        key = (space, family, port, address, peer, device)
        if key in self.sockets:
            self.sockets.pop(key).close()
            return
        with self.spaces[space]:
            sock = socket.socket(family.af, socket.SOCK_DGRAM)
            try:
                prepare_socket(sock, family, device)
                sock.bind((address or family.any, port))
                if peer:
                    sock.connect(peer)
            except OSError:
                sock.close()
                return
        self.sockets[key] = sock

    def send(self, probe):
        """Sends a packet; the errno of what is wrong with that."""
        try:
            if probe.how == "wire":
                number = int(probe.where[-1])
                self.wires[number].sendto(probe.packet, (probe.where, ethertype(probe.family), 0, 0, self.macs[number]))
            elif probe.how == "frame":
                self.senders[probe.where, "frame"].sendto(probe.packet, ("c0", ethertype(probe.family)))
            elif probe.how == "raw":
                self.senders[probe.where, "raw", probe.family].sendto(probe.packet, (probe.dest, 0))
            else:
                self.send_by_socket(probe)
        except OSError as error:
            # Whether its sender hears of a drop depends on where that is.
            return 0 if error.errno in (errno.ENOBUFS, errno.EPERM) else error.errno
        return 0

    def send_by_socket(self, probe):
        """By an ordinary socket, which has its source from routing if the packet names none."""
        with self.spaces[probe.where]:
            sock = socket.socket(probe.family.af, socket.SOCK_DGRAM)
        with sock:
            if probe.family is V4:
                sock.setsockopt(socket.IPPROTO_IP, socket.IP_TOS, probe.tos)
            else:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_TCLASS, probe.tos)
            sock.setsockopt(socket.SOL_SOCKET, 36, probe.mark)  # SO_MARK
            sock.bind((probe.source or probe.family.any, probe.sport if probe.source else 30000 + probe.number % 9999))
            sock.sendto(probe.payload, (probe.dest, probe.dport))

    def observe(self):
        """What came where since the last time, in words that are the same in all worlds."""
        return [*self.leaves(), *self.arrives()]

    def leaves(self):
        """What left by the uplinks."""
        for number, wire in enumerate(self.wires):
            while True:
                try:
                    packet, whence = wire.recvfrom(65536)
                except BlockingIOError:
                    break
                what = packet and whence[2] != 4 and describe(packet)  # PACKET_OUTGOING
                if what:
                    yield f"out{number}: {what}"

    def arrives(self):
        """What came to sockets; one of them answers."""
        for (space, _, port, *which), sock in list(self.sockets.items()):
            while True:
                try:
                    data, extra, _, whence = sock.recvmsg(65536, 256)
                except BlockingIOError:
                    break
                except OSError as error:
                    yield f"{space}: socket {port} {which}: error {error.errno}"
                    continue
                if port == OPEN and not data.startswith(b"A") and len(data) < 100:
                    try:
                        sock.sendto(b"A" + data, whence)
                    except OSError:
                        pass
                source, sport = LINK_LOCAL.sub("fe80::x", whence[0]), told_port(whence[1])
                token = data[:9].rstrip(b"\0").decode(errors="replace")
                yield f"{space}: socket {port} {which}: {token}, {len(data)} bytes, from {source} {sport}, {self.ancillary(space, extra)}"

    def ancillary(self, space, extra):
        """Where a datagram came in, and what it was for."""
        said = []
        for level, kind, value in extra:
            if (level, kind) == (socket.IPPROTO_IP, 8):  # IP_PKTINFO
                said.append(self.device_and(space, struct.unpack_from("=i", value)[0], socket.AF_INET, value[8:12]))
            elif (level, kind) == (socket.IPPROTO_IPV6, socket.IPV6_PKTINFO):
                said.append(self.device_and(space, struct.unpack_from("=i", value, 16)[0], socket.AF_INET6, value[:16]))
            else:
                said.append(f"tos {value[0]}")
        return ", ".join(said)

    def device_and(self, space, index, af, address):
        """The name of a device, and an address."""
        with self.spaces[space]:
            try:
                name = socket.if_indextoname(index)
            except OSError:
                name = "?"
        return f"by {name} for {LINK_LOCAL.sub('fe80::x', socket.inet_ntop(af, address))}"

    def end(self):
        """Closes and removes all."""
        for sock in (*self.sockets.values(), *self.wires, *self.senders.values()):
            sock.close()
        Batch.end_all()
        for space in self.spaces.values():
            subprocess.run(["ip", "netns", "del", space.name], check=True)


def prepare_socket(sock, family, device):
    """What a UDP socket is to tell of what it gets."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if family is V6:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVTCLASS, 1)
    else:
        sock.setsockopt(socket.IPPROTO_IP, 8, 1)  # IP_PKTINFO
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_RECVTOS, 1)
        sock.setsockopt(socket.IPPROTO_IP, 15, 1)  # IP_FREEBIND
    if device:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, device.encode())
    sock.setblocking(False)


def told_port(port):
    """A port; one that was chosen by the kernel may be any."""
    return str(port) if port in KNOWN else "any"


class Header:
    """What an IP packet's header says."""

    def __init__(self, packet):
        self.family = V4 if packet[0] >> 4 == 4 else V6
        if self.family is V4:
            size, self.proto, self.tos = (packet[0] & 15) * 4, packet[9], packet[1]
            addresses = packet[12:16], packet[16:20]
            self.good, self.fragment = checksum(packet[:size]) == 0, struct.unpack_from("!H", packet, 6)[0]
            end = struct.unpack_from("!H", packet, 2)[0]
        else:
            size, self.proto, self.tos = 40, packet[6], struct.unpack_from("!H", packet)[0] >> 4 & 255
            addresses = packet[8:24], packet[24:40]
            self.good, self.fragment = True, 0
            end = 40 + struct.unpack_from("!H", packet, 4)[0]
        source, dest = (socket.inet_ntop(self.family.af, address) for address in addresses)
        self.ends = f"{LINK_LOCAL.sub('fe80::x', source)} > {dest}"
        self.rest = packet[size:end]

    def is_first(self):
        """Whether what follows begins with its own header."""
        return not self.fragment & 0x1FFF and len(self.rest) >= 8


def describe(packet):
    """A packet of the test's in words; none for any other."""
    header = Header(packet)
    rest, is_icmp = header.rest, header.proto == ICMP[header.family]
    if is_icmp and rest[:1] and rest[0] in NOT_TOLD[header.family]:
        return None
    token = token_of(packet, header)
    if not token:
        return None
    said = [token, header.ends, f"protocol {header.proto}", f"tos {header.tos}", "" if header.good else "wrong sum"]
    if is_icmp and header.is_first():
        said.append(f"type {rest[0]} code {rest[1]}")
        if rest[0] in ERRORS[header.family]:
            return ", ".join([*said, rest[4:8].hex(), "about", Header(rest[8:]).ends])
    elif header.proto in (6, 17) and header.is_first():
        said.append(" > ".join(map(told_port, struct.unpack_from("!HH", rest))))
        if header.proto == 6:
            return ", ".join([*said, f"flags {rest[13]:x}"])
    return ", ".join([*said, f"fragment {header.fragment:x}", f"{len(packet)} bytes"])


def token_of(packet, header):
    """What tells a packet from all others: in TCP the client's port."""
    found = TOKEN.search(packet)
    if found:
        return found[0].decode()
    shut, rest = struct.pack("!H", SHUT), header.rest
    if header.proto != 6:
        rest = rest[8:] and Header(rest[8:]).rest if header.proto == ICMP[header.family] and len(rest) > 28 else b""
    if rest[2:4] == shut:
        return f"TCP {struct.unpack_from('!H', rest)[0]}"
    if rest[:2] == shut:
        return f"TCP {struct.unpack_from('!H', rest, 2)[0]}"
    return None
