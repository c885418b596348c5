#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Puts frames on a device by AF_PACKET, good ones and broken ones.

usage: frame.py send DEV [--count N] [--mark N] [--may-drop] [--bypass] [--to MAC] [--source ADDR] [--dest ADDR] NAME...
       frame.py fuzz DEV --seed N --count N

send prints one result for each NAME: right is that the kernel takes the frame.
fuzz sends random frames, some behind a random virtio_net_hdr, and is right as
long as it gets to its end.
"""

import argparse
import errno
import fcntl
import random
import socket
import struct
import sys

ETH_P_IP, ETH_P_IPV6, ETH_P_ARP, ETH_P_8021Q = 0x0800, 0x86DD, 0x0806, 0x8100
ETH_P_EXPERIMENT = 0x88B5
ARPHRD_ETHER = 1
SIOCGIFHWADDR = 0x8927
SOL_PACKET, PACKET_VNET_HDR, PACKET_QDISC_BYPASS, SO_MARK = 263, 15, 20, 36


def checksum(data):
    """The Internet checksum."""
    if len(data) % 2:
        data += b"\0"
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def ipv4(source, dest, payload=b"x" * 32, version=4, ihl=5, total=None, proto=17, wrong_sum=False):
    """An IPv4 packet to the UDP port 9; what is not given is right."""
    udp = struct.pack("!HHHH", 1024, 9, 8 + len(payload), 0) + payload
    total = 20 + len(udp) if total is None else total
    header = struct.pack("!BBHHHBBH4s4s", version << 4 | ihl, 0, total, 1, 0, 64, proto, 0, source, dest)
    value = checksum(header) ^ (0x5555 if wrong_sum else 0)
    return header[:10] + struct.pack("!H", value) + header[12:] + udp


def ipv6(source, dest, payload=b"x" * 32, version=6, length=None, following=17):
    """An IPv6 packet to the UDP port 9; its UDP checksum is 0, so it is dropped there."""
    udp = struct.pack("!HHHH", 1024, 9, 8 + len(payload), 0) + payload
    length = len(udp) if length is None else length
    return struct.pack("!IHBB16s16s", version << 28, length, following, 64, source, dest) + udp


def broken(addresses):
    """Named (protocol, packet) pairs behind the link header."""
    s4, d4, s6, d6 = addresses
    good4, good6 = ipv4(s4, d4), ipv6(s6, d6)
    return {
        "ipv4": (ETH_P_IP, good4),
        "ipv4-empty": (ETH_P_IP, b""),
        "ipv4-one-byte": (ETH_P_IP, good4[:1]),
        "ipv4-truncated": (ETH_P_IP, good4[:19]),
        "ipv4-version-5": (ETH_P_IP, ipv4(s4, d4, version=5)),
        "ipv4-says-version-6": (ETH_P_IP, good6),
        "ipv4-short-ihl": (ETH_P_IP, ipv4(s4, d4, ihl=4)),
        "ipv4-long-ihl": (ETH_P_IP, ipv4(s4, d4, ihl=15, payload=b"")),
        "ipv4-total-too-long": (ETH_P_IP, ipv4(s4, d4, total=1400)),
        "ipv4-total-too-short": (ETH_P_IP, ipv4(s4, d4, total=10)),
        "ipv4-total-zero": (ETH_P_IP, ipv4(s4, d4, total=0)),
        "ipv4-wrong-checksum": (ETH_P_IP, ipv4(s4, d4, wrong_sum=True)),
        "ipv6-empty": (ETH_P_IPV6, b""),
        "ipv6-truncated": (ETH_P_IPV6, good6[:39]),
        "ipv6-version-4": (ETH_P_IPV6, good4 + bytes(20)),
        "ipv6-length-too-long": (ETH_P_IPV6, ipv6(s6, d6, length=1400)),
        "ipv6-from-multicast": (ETH_P_IPV6, ipv6(b"\xff\x02" + bytes(13) + b"\x01", d6)),
        "experiment": (ETH_P_EXPERIMENT, b"nobody listens to this"),
        "ethertype-zero": (0, bytes(60)),
        "length-field": (46, b"\xaa\xaa\x03" + bytes(43)),
        "arp-truncated": (ETH_P_ARP, struct.pack("!HHBBH", 1, ETH_P_IP, 6, 4, 1)),
        "vlan-truncated": (ETH_P_8021Q, b"\0"),
        "vlan-unknown": (ETH_P_8021Q, struct.pack("!HH", 99, ETH_P_IP) + good4),
    }


class Device:
    """A raw socket on one device."""

    def __init__(self, name, dest_mac, sock=None):
        self.name = name
        self.sock = sock or socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        self.sock.bind((name, 0))
        request = struct.pack("16sH14x", name.encode(), 0)
        answer = fcntl.ioctl(self.sock, SIOCGIFHWADDR, request)
        self.ethernet = struct.unpack_from("H", answer, 16)[0] == ARPHRD_ETHER
        self.header = dest_mac + answer[18:24]

    def frame(self, proto, packet):
        """Puts the link header in front, where the link has one."""
        return self.header + struct.pack("!H", proto) + packet if self.ethernet else packet

    def send(self, proto, data):
        """Sends bytes as they are; returns the errno, 0 for none."""
        try:
            self.sock.sendto(data, (self.name, proto))
        except OSError as error:
            return error.errno
        return 0


def send_named(device, name, packets, count, may_drop):
    """Sends one kind of frame and prints the result."""
    proto, packet = packets[name]
    data = device.frame(proto, packet)
    errors = {device.send(proto, data) for _ in range(count)}
    # ENOBUFS is how the kernel says that the device dropped a frame.
    right = errors <= ({0, errno.ENOBUFS} if may_drop else {0})
    words = ", ".join("sent" if e == 0 else errno.errorcode[e] for e in sorted(errors))
    print(f"{'ok' if right else 'not ok'} {name}: {words}")


def fuzz(device, seed, count, packets):
    """Sends random frames; each third behind a random offload header."""
    rng = random.Random(seed)
    kinds = list(packets.values())
    taken = 0
    for number in range(count):
        proto, packet = rng.choice(kinds)
        data = bytearray(device.frame(proto, packet) + rng.randbytes(rng.choice((0, 0, 9, 1400))))
        for _ in range(rng.choice((0, 1, 3, 20))):
            if data:
                data[rng.randrange(len(data))] = rng.randrange(256)
        data = bytes(data[: rng.choice((len(data), rng.randrange(len(data) + 1)))])
        offload = number % 3 == 0
        device.sock.setsockopt(SOL_PACKET, PACKET_VNET_HDR, int(offload))
        if offload:
            gso = rng.choice((0, 1, 3, 4, 5, 0x80 | 1, rng.randrange(256)))
            values = [rng.choice((0, 14, 20, 34, 40, rng.randrange(1, 1500), rng.randrange(65536))) for _ in range(4)]
            data = struct.pack("<BBHHHH", rng.choice((0, 1, 2, 5)), gso, *values) + data
        taken += device.send(proto, data) == 0
    device.sock.setsockopt(SOL_PACKET, PACKET_VNET_HDR, 0)
    print(f"# seed {seed}: {count} frames, {taken} taken")
    print(f"{'ok' if taken else 'not ok'} {count} random frames into {device.name}")


def main():
    """Parses the command line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("action", choices=("send", "fuzz"))
    parser.add_argument("device")
    parser.add_argument("--count", type=int, default=1)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--to", default="ff:ff:ff:ff:ff:ff")
    parser.add_argument("--mark", type=int, default=0)
    parser.add_argument("--may-drop", action="store_true", help="good frames may be dropped at once too")
    parser.add_argument("--bypass", action="store_true", help="past the queue, straight to the driver")
    parser.add_argument("--source", default="10.0.1.1")
    parser.add_argument("--dest", default="10.0.1.2")
    parser.add_argument("names", nargs="*")
    args = parser.parse_intermixed_args()
    addresses = (
        socket.inet_aton(args.source),
        socket.inet_aton(args.dest),
        socket.inet_pton(socket.AF_INET6, "fd00:1::1"),
        socket.inet_pton(socket.AF_INET6, "fd00:1::2"),
    )
    packets = broken(addresses)
    device = Device(args.device, bytes.fromhex(args.to.replace(":", "")))
    device.sock.setsockopt(socket.SOL_SOCKET, SO_MARK, args.mark)
    device.sock.setsockopt(SOL_PACKET, PACKET_QDISC_BYPASS, int(args.bypass))
    if args.action == "fuzz":
        fuzz(device, args.seed, args.count, packets)
        return
    for name in args.names:
        send_named(device, name, packets, args.count, args.may_drop)


if __name__ == "__main__":
    sys.exit(main())
