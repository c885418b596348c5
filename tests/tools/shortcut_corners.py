#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""What shortcuts must not decide by themselves: routes that make other packets of
them, what the parent's own rules send to the parent, addresses that are held, and
who is behind a child's bridge.

usage: shortcut_corners.py MODE
"""

import contextlib
import mmap
import os
import random
import socket
import struct
import subprocess
import sys
import time

import bpf
from world import FAMILIES, PATIENCE, PORT, SILENCE, V4, V6, Batch, Space, Wire, checksum, connected, difference, drain, exchange, gather, mac_of, outside_wire, ping, report, same, seen, shortcut, skip, statistics, udp_packet, until, unwatch, watch

PARENT, OUTSIDE, BLUE, RED = (Space(name) for name in ("-", "outside", "blue", "red"))
DEBUG = os.environ.get("LAB") == "debug"
SETS = ("none", "output", "all") if DEBUG else ("none", "device", "route", "output", "all")


def arrives(family, sender, receiver, dest, port=7920, wait=None):
    """Whether a datagram gets there."""
    with sender.udp(family) as here, receiver.udp(family, port) as there:
        there.settimeout(PATIENCE if wait is None else wait)
        here.sendto(b"there", (dest, port))
        try:
            return there.recv(100) == b"there"
        except TimeoutError:
            return False


@contextlib.contextmanager
def held(family):
    """The parent holds blue's address."""
    route = family.ip("route", "add", "local", family.child(1), "dev", "p1")
    PARENT.call(*route)
    yield
    PARENT.call(*family.ip("route", "del", "local", family.child(1), "dev", "p1"))


def wrapped(family, words, mode):
    """A route that wraps packets (`encap`) does so, wherever they come from."""
    route = (*family.ip("route"), "replace", family.host(family.child(1)))
    wrap = ("encap", "seg6", "mode", "encap", "segs", "fd00:9::1", "dev", "p1")
    name = f"{family.name}, shortcut {words}: a route that wraps packets"
    PARENT.call("ip", "sr", "tunsrc", "set", "fd00:1::1")
    PARENT.call(*route, *wrap)
    PARENT.call("ip", "-6", "route", "replace", "fd00:9::1", "dev", "p1")
    if mode == "l2":
        PARENT.call("ip", "neigh", "replace", "fd00:9::1", "lladdr", mac_of(BLUE, "c0"), "dev", "p1")
    watch(BLUE, "ip6 daddr fd00:9::1", ("pre",))
    for sender in (OUTSIDE, RED):
        with sender.udp(family) as sock:
            for _ in range(3):
                sock.sendto(b"to be wrapped", (family.child(1), PORT))
                time.sleep(0.05)
        count = 0

        def enough():
            nonlocal count
            count += seen(BLUE).get("pre", 0)
            return count >= 3

        until(enough)
        same(count, 3, f"{name}, from {sender.name}")
    unwatch(BLUE)
    PARENT.call(*family.ip("route"), "del", family.host(family.child(1)))


def turned_back(family, words):
    """A rule of the parent's for what it sends has it go to the parent itself: it comes in by
    the port, not by lo.
    """
    name = f"{family.name}, shortcut {words}: turned back by the parent's OUTPUT"
    loop = "127.0.0.1" if family is V4 else "::1"
    PARENT.nft(
        f"""table inet back {{
        chain o {{ type nat hook output priority -100;
            udp dport 7921 redirect to :7923; udp dport 7922 dnat {family.nft} to {family.uplink}; }}
        chain i {{ type filter hook input priority 0; iif "lo" udp dport 7923 counter accept; }}
        }}"""
    )
    with PARENT.udp(family, 7923, loop) as inside, BLUE.udp(family) as child:
        for _ in range(3):
            child.sendto(b"to the loopback", (family.outside, 7921))
        same(drain(inside, SILENCE), [], f"{name}, nothing gets to the loopback")
    if words in ("output", "all"):
        watch(PARENT, 'iifname "p1" udp dport 7922', ("in",))
        with PARENT.udp(family, 7922, family.uplink) as inside, BLUE.udp(family) as child:
            child.connect((family.outside, 7922))
            child.send(b"to the parent")
            data, source = inside.recvfrom(100)
            inside.sendto(data + b"!", source)
            answer = child.recv(100)
        same((answer, seen(PARENT)), (b"to the parent!", {"in": 1}), f"{name}, its own address is reached by the port, and answers")
        unwatch(PARENT)
    PARENT.nft("delete table inet back")


def pieces(words):
    """Datagrams in fragments leave from an address that is held like others."""
    with held(V4), BLUE.udp(V4) as child, OUTSIDE.udp(V4, 7924) as there:
        for size in (100, 4000, 9000):
            data = os.urandom(size)
            child.sendto(data, (V4.outside, 7924))
            try:
                got = there.recv(10000)
            except TimeoutError:
                got = b""
            same(got == data, True, f"IPv4, shortcut {words}: {size} bytes from an address that is held")


def not_given(family):
    """Without `netfilter` an address that is held is the parent's: the child sends nothing from it."""
    with held(family):
        for words in ("none", "output"):
            shortcut("p1", words)
            there = [arrives(family, BLUE, OUTSIDE, family.outside, wait=PATIENCE if family is V6 else SILENCE) for _ in range(2)]
            # IPv6 does not ask where a packet comes from.
            same(there, [family is V6] * 2, f"{family.name}, shortcut {words}: from an address that is the parent's")
    shortcut("p1", "none")


def talks(here, there):
    """Whether a connection carries anything."""
    try:
        return exchange(here, there, 2)
    except TimeoutError:
        return False


@contextlib.contextmanager
def raw_sockets(spaces, family, protocols):
    """Sockets that see all packets of some protocols."""
    socks = [space.socket(family.af, socket.SOCK_RAW, number) for space in spaces for number in protocols]
    yield
    for sock in socks:
        sock.close()


def own_rules(family, words):
    """The rules of a child that is behind the parent's INPUT: they are asked from the first one on
    where they are asked, and nobody else has a say in whether.
    """
    name = f"{family.name}, shortcut {words}: a held child with rules by state"
    BLUE.nft(
        """table inet own {
        chain i { type filter hook input priority 0; policy drop; ct state established,related accept;
            icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } accept; }
        }"""
    )
    with held(family):
        same(ping(BLUE, family, family.outside, 3), 3, f"{name} hears answers to its pings")
        here, there = connected(BLUE, OUTSIDE, family, family.outside, 7925)
        with here, there:
            same(talks(here, there), True, f"{name} has a connection")
            with raw_sockets([RED, OUTSIDE, PARENT], family, range(1, 255)):
                same(talks(here, there), True, f"{name} has it still, with others' raw sockets")
        with raw_sockets([BLUE], family, [socket.IPPROTO_TCP]):
            here, there = connected(BLUE, OUTSIDE, family, family.outside, 7925)
            with here, there:
                same(talks(here, there), True, f"{name} has one beside a raw socket of its own")
    BLUE.nft("delete table inet own")


def link_rules(family):
    """On a link the child's rules can ask which address of it a packet came from."""
    mac = mac_of(PARENT, "p1")
    for words in ("none", "device", "route", "route,socket", "all"):
        shortcut("p1", words)
        for chains in (("in",), ("pre", "in")):
            with OUTSIDE.udp(family) as here, BLUE.udp(family, 7930) as there:
                there.connect((family.outside, here.getsockname()[1]))
                here.sendto(b"first", (family.child(1), 7930))
                gather(there, 1)
                watch(BLUE, f"ether saddr {mac} udp dport 7930", chains)
                for _ in range(3):
                    here.sendto(b"next", (family.child(1), 7930))
                gather(there, 3)
                same(seen(BLUE), dict.fromkeys(chains, 3), f"{family.name}, shortcut {words}: rules in {' and '.join(chains)} by the address on the link")
                unwatch(BLUE)
    shortcut("p1", "none")


def unwrapped(family):
    """A tunnel in datagrams, into a child that lets in just that."""
    name = f"{family.name}: a tunnel in datagrams"
    kind, encap = (("ipip", "fou"), ("ip6tnl", "fou"))[family is V6]
    number = "4" if family is V4 else "41"
    ends = ((BLUE, family.child(1), family.outside), (OUTSIDE, family.outside, family.child(1)))
    for at, (space, local, remote) in enumerate(ends):
        space.call(*family.ip("fou", "add", "port", "5555", "ipproto", number), check=False)
        mode = ("mode", "ip6ip6") if family is V6 else ()
        words = ("ip", "link", "add", "t1", "type", kind, *mode, "local", local, "remote", remote)
        space.call(*words, "encap", encap, "encap-sport", "5555", "encap-dport", "5555", check=False)
        if "t1" not in space.call("ip", "-br", "link"):
            return skip(name, "this kernel has none")
        space.call("ip", "link", "set", "t1", "up")
        inner = family.host(f"10.78.0.{at + 1}" if family is V4 else f"fd78::{at + 1}")
        space.call(*family.ip("addr", "add", inner, "dev", "t1"))
        other = family.host(f"10.78.0.{2 - at}" if family is V4 else f"fd78::{2 - at}")
        space.call(*family.ip("route", "add", other, "dev", "t1"))
    BLUE.nft(
        """table inet own {
        chain i { type filter hook input priority 0; policy drop; udp dport 5555 accept; iifname "t1" accept;
            icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } accept; }
        }"""
    )
    inner = "10.78.0.1" if family is V4 else "fd78::1"
    for words in ("none", "route", "all"):
        shortcut("p1", words)
        same(arrives(family, OUTSIDE, BLUE, inner), True, f"{name}, shortcut {words}: is unwrapped")
    for words in ("netfilter,output", "all"):
        shortcut("p1", words)
        with held(family):
            same(arrives(family, OUTSIDE, BLUE, inner), True, f"{name}, held, shortcut {words}: is unwrapped")
    BLUE.nft("delete table inet own")
    shortcut("p1", "none")
    for space in (BLUE, OUTSIDE):
        space.call("ip", "link", "del", "t1")
    return None


def tunnel(family):
    """A program of the sender's cgroup judges a packet once: what its tunnel makes of it is not the sender's."""
    kind = "gre" if family is V4 else "ip6gre"
    ends = ("local", family.child(1), "remote", family.outside)
    BLUE.call("ip", "link", "add", "t0", "type", kind, *ends, check=False)
    OUTSIDE.call("ip", "link", "add", "t0", "type", kind, "local", family.outside, "remote", family.child(1), check=False)
    group = "/sys/fs/cgroup/tunnel"
    if "t0" not in BLUE.call("ip", "-br", "link") or not os.path.exists("/sys/fs/cgroup/cgroup.procs"):
        return skip(f"{family.name}: a program of a cgroup and a tunnel", "this kernel has no GRE, or no cgroups")
    for space, number in ((BLUE, 1), (OUTSIDE, 2)):
        space.call("ip", "address", "add", f"10.77.0.{number}/24", "dev", "t0")
        space.call("ip", "link", "set", "t0", "up")
    os.mkdir(group)
    with open(f"{group}/cgroup.procs", "w", encoding="ascii") as file:
        file.write(str(os.getpid()))
    counter = bpf.Counter()
    code = counter.increment() + bpf.instruction(bpf.MOV_IMM, 0, 1) + bpf.instruction(bpf.EXIT)
    detach = bpf.attach(group, bpf.load(8, code, 1), 1)  # BPF_PROG_TYPE_CGROUP_SKB, BPF_CGROUP_INET_EGRESS
    for words in ("none", "output", "all"):
        shortcut("p1", words)
        arrived = arrives(V4, BLUE, OUTSIDE, "10.77.0.2")
        before = counter.read()
        arrived = arrived and arrives(V4, BLUE, OUTSIDE, "10.77.0.2")
        same((arrived, counter.read() - before), (True, 1), f"{family.name}, shortcut {words}: a program of the cgroup sees a tunnelled packet once")
    detach()
    Batch.end_all()
    with open("/sys/fs/cgroup/cgroup.procs", "w", encoding="ascii") as file:
        file.write(str(os.getpid()))
    os.rmdir(group)
    for space in (BLUE, OUTSIDE):
        space.call("ip", "link", "del", "t0")
    shortcut("p1", "none")
    return None


def while_unresolved(family, delay):
    """What arrives of datagrams that are all sent before the neighbour's address is known."""
    for _ in range(5):
        BLUE.call("ip", "neigh", "flush", "dev", "c0")
        with BLUE.udp(family) as child, OUTSIDE.udp(family, 7926) as there:
            began = time.monotonic()
            for number in range(20):
                child.sendto(b"%02d" % number, (family.outside, 7926))
            lasted = time.monotonic() - began
            got = [int(data) for data in gather(there, 20)]
        if lasted < delay:
            break
    return got


def unresolved(family):
    """Who has to find out the neighbour's address first is not overtaken meanwhile."""
    # The parent's answer takes its time, longer than all is sent: when it is there what waited
    # goes on while others do, with the kernel's own neighbours as well.
    delay = 0.9 if DEBUG else 0.3
    PARENT.call("tc", "qdisc", "add", "dev", "p1", "root", "netem", "delay", f"{delay}s")
    for words in ("none", "output"):
        shortcut("p1", words)
        got = []
        for _ in range(2 if DEBUG else 4):
            got += while_unresolved(family, delay)
        same(got, [*range(20)] * (2 if DEBUG else 4), f"{family.name}, shortcut {words}: datagrams that wait for a neighbour's address arrive in order")
    PARENT.call("tc", "qdisc", "del", "dev", "p1", "root")
    shortcut("p1", "none")


def moved(*table):
    """What red has lost by the move of its device into a VRF, or out of it."""
    for family, length, nodad in ((V4, 24, ()), (V6, 64, ("nodad",))):
        RED.call(*family.ip("addr", "replace", f"{family.child(2)}/{length}", "dev", "c0", *nodad))
        RED.call(*family.ip("route", "replace", *table, "default", "via", family.port(2), "dev", "c0"))


def in_vrf(family, words):
    """A child that puts its device into a VRF is not reached past the parent's FORWARD by that."""
    if "vrf0" not in RED.call("ip", "link", "add", "vrf0", "up", "type", "vrf", "table", "88", check=False) + RED.call("ip", "-br", "link"):
        return skip(f"{family.name}, shortcut {words}: a sibling in a VRF", "this kernel has none")
    PARENT.nft(
        """table inet wall {
        chain f { type filter hook forward priority 0; ct state established accept; iifname "p1" oifname "p2" drop; }
        }"""
    )
    name = f"{family.name}, shortcut {words}: what FORWARD refuses"
    same(arrives(family, BLUE, RED, family.child(2), wait=SILENCE), False, f"{name} does not get to a sibling")
    RED.call("ip", "link", "set", "c0", "master", "vrf0")
    moved("vrf", "vrf0")
    got = []
    with RED.udp(family, 7927) as there, BLUE.udp(family) as child:
        there.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"vrf0")
        for _ in range(3):
            child.sendto(b"past it", (family.child(2), 7927))
            got += drain(there, SILENCE)
        same(got, [], f"{name} does not get to one in a VRF")
        PARENT.nft("delete table inet wall")
        child.sendto(b"not refused", (family.child(2), 7927))
        same(gather(there, 1), [b"not refused"], f"{name} gets there when it does not")
    RED.call("ip", "link", "del", "vrf0")
    moved()
    return None


def ending(words):
    """A route that ends at some time, as those of router advertisements do, is one all the same."""
    far = "2001:db8:9::1"
    OUTSIDE.call("ip", "-6", "addr", "add", f"{far}/128", "dev", "lo", "nodad")
    PARENT.call("ip", "-6", "route", "add", "2001:db8:9::/64", "via", V6.outside, "expires", "3600")
    watch(PARENT, "udp dport 7928", ("fwd", "out"))
    with BLUE.udp(V6) as child, OUTSIDE.udp(V6, 7928) as there:
        for number in range(40):
            if number % 10 == 0:
                for change in ("add", "del"):
                    PARENT.call("ip", "-6", "route", change, "2001:db8:77::/64", "dev", "up0")
            child.sendto(b"%d" % number, (far, 7928))
            time.sleep(0.02)
        got = len(gather(there, 40))
    same((got, seen(PARENT)), (40, {"fwd": 40} if words == "none" else {"out": 40}), f"IPv6, shortcut {words}: by a route that ends at some time all packets go one way")
    unwatch(PARENT)
    PARENT.call("ip", "-6", "route", "del", "2001:db8:9::/64")
    OUTSIDE.call("ip", "-6", "addr", "del", f"{far}/128", "dev", "lo")


def first_of_tcp(family, src, dst, behind_options):
    """A connection's first packet, to port 7929; by IPv6 also with a header of options before it."""
    body = struct.pack("!HHIIBBHHH", 4321, 7929, 1, 0, 5 << 4, 2, 1000, 0, 0)  # SYN
    total = checksum(src + dst + struct.pack("!II", len(body), socket.IPPROTO_TCP) + body)
    body = body[:16] + struct.pack("!H", total) + body[18:]
    if family is V6:
        kind = socket.IPPROTO_TCP
        if behind_options:
            body, kind = struct.pack("!BBBBI", kind, 0, 1, 4, 0) + body, socket.IPPROTO_DSTOPTS
        return struct.pack("!IHBB", 6 << 28, len(body), kind, 64) + src + dst + body
    head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(body), 1, 0, 64, socket.IPPROTO_TCP, 0) + src + dst
    return head[:10] + struct.pack("!H", checksum(head)) + head[12:] + body


def shouted(family, words):
    """What comes in a frame that is for all is answered to as little by who holds the address as by a host:
    no connection begins by it, and nobody is told of a port without a socket."""
    src, dst = family.raw(family.outside), family.raw(family.child(1))
    unreachable = "icmp type destination-unreachable" if family is V4 else "icmpv6 type destination-unreachable"
    kinds = {
        "TCP": ("tcp sport 7929", first_of_tcp(family, src, dst, False)),
        "UDP to no socket": (unreachable, udp_packet(family, family.outside, family.child(1), b"to nobody", 7928)),
    }
    if family is V6:
        kinds["TCP behind options"] = ("tcp sport 7929", first_of_tcp(family, src, dst, True))
    with held(family), BLUE.listener(family, 7929):
        for what, (match, packet) in kinds.items():
            watch(BLUE, match, ("out",))
            answers = []
            for mac in ("ff:ff:ff:ff:ff:ff", mac_of(PARENT, "up0")):
                Wire(OUTSIDE, "out0", mac).send(packet)
                if mac[0] != "f":
                    until(lambda: seen(BLUE, reset=False))
                time.sleep(SILENCE)
                answers.append(bool(seen(BLUE)))
            name = f"{family.name}, shortcut {words}, {what}"
            same(answers, [False, True], f"{name}: a held address answers what is sent to it, and not what is sent to all")
    unwatch(BLUE)


def reads_along():
    """Who reads a connection along (a helper of tracking) does so where its packets are let in."""
    rules = """table ip h {
        ct helper reads { type "ftp" protocol tcp; }
        chain p { type filter hook prerouting priority 0; tcp dport 21 ct helper set "reads"; }
        chain i { type filter hook input priority 0; ct state invalid drop; }
    }"""
    with PARENT:
        done = subprocess.run(["nft", "-f", "-"], input=rules, text=True, capture_output=True, check=False)
    if done.returncode:
        skip("a helper of tracking", "no nf_conntrack_ftp")
        return
    # After the rules: then the shortcut's hook stands before the end of tracking.
    # What one connection has said to expect tracking drops from another, while that is known: two minutes.
    for words, low in (("netfilter", 1), ("all", 2)):
        shortcut("p1", words)
        with held(V4):
            here, there = connected(OUTSIDE, BLUE, V4, V4.child(1), 21)
            with here, there:
                # It believes that a line begins where it has seen another one end.
                for line in (b"USER nobody\r\n", b"PORT 192,0,2,2,31,%d\r\n" % low):
                    here.sendall(line)
                    same(there.recv(100), line, f"shortcut {words}: a command to a held address")
                expected = until(lambda: f"dport={31 * 256 + low}" in PARENT.call("conntrack", "-L", "expect"))
                report(expected, f"shortcut {words}: ... a helper of tracking has read")
        shortcut("p1", "none")
    PARENT.nft("delete table ip h\n")


def mirrored():
    """What tc has copied to the child's device leaves without changing what it is a copy of."""
    for words in (("link", "add", "x0", "type", "veth", "peer", "name", "x1"), ("link", "set", "x0", "up"), ("link", "set", "x1", "up")):
        BLUE.call("ip", *words)
    BLUE.call("tc", "qdisc", "add", "dev", "x1", "clsact")
    BLUE.call("tc", "filter", "add", "dev", "x1", "ingress", "protocol", "ip", "matchall", "action", "mirred", "egress", "mirror", "dev", "c0")
    shortcut("p1", "output")
    header = bytes.fromhex("02000000aa0102000000aa02") + b"\x08\x00"
    with (
        BLUE.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3)) as tap,
        BLUE.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as wire,
        OUTSIDE.udp(V4, PORT) as there,
    ):
        tap.bind(("x1", 3))
        for _ in range(3):
            wire.sendto(header + udp_packet(V4, V4.child(1), V4.outside, b"copied"), ("x0", 0))
        same(len(gather(there, 3)), 3, "what tc copies to the child's device leaves")
        frames = [frame for frame in drain(tap, SILENCE) if frame.endswith(b"copied")]
        same([frame[:14] for frame in frames], [header] * 3, "... and the frames it was copied of are as they were")
    shortcut("p1", "none")
    BLUE.call("ip", "link", "del", "x0")


def received():
    """How many packets blue's device has received."""
    with BLUE, open("/proc/thread-self/net/dev", encoding="ascii") as file:
        return next(int(line.split()[2]) for line in file if line.split()[0] == "c0:")


def sent_back(family):
    """A child's tc sends each packet back where it came from, and the parent to the child again."""
    address, hops = ("10.0.1.7", 20) if family is V4 else ("fd00:1::7", 20)
    BLUE.call(*family.ip("addr", "add", family.host(address), "dev", "c0"), *(() if family is V4 else ("nodad",)))
    BLUE.call("tc", "qdisc", "add", "dev", "c0", "clsact")
    match = ("protocol", family.tc, "flower", "dst_ip", address)
    BLUE.call("tc", "filter", "add", "dev", "c0", "ingress", *match, "action", "mirred", "egress", "redirect", "dev", "c0")
    with BLUE.socket(socket.AF_PACKET, socket.SOCK_DGRAM, 0) as wire:
        for words in ("none", "device", "route", "all"):
            shortcut("p1", words)
            before = received()
            packet = udp_packet(family, family.child(1), address, b"round", ttl=hops)
            wire.sendto(packet, ("c0", 0x0800 if family is V4 else 0x86DD))
            until(lambda: received() - before >= hops - 1)
            time.sleep(SILENCE)
            got = received() - before
            # And what the parent and neighbours have to say of it.
            report(hops - 1 <= got <= 3 * hops, f"{family.name}, shortcut {words}: what a child's tc sends back goes round by hops", got)
    shortcut("p1", "none")
    BLUE.call("tc", "qdisc", "del", "dev", "c0", "clsact")
    BLUE.call(*family.ip("addr", "del", family.host(address), "dev", "c0"))


def frames_stay():
    """Who looks at a frame of the child's sees it as it was, whatever is sent on of it."""
    want = bytes.fromhex((mac_of(PARENT, "p1") + mac_of(BLUE, "c0")).replace(":", ""))
    shortcut("p1", "netfilter")
    # What has to see them there keeps them from leaving early.
    PARENT.call("tc", "qdisc", "add", "dev", "p1", "clsact")
    with held(V4), PARENT.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3)) as tap, BLUE.udp(V4) as child, OUTSIDE.udp(V4, 7930) as there:
        tap.bind(("p1", 3))
        for _ in range(5):
            child.sendto(b"look", (V4.outside, 7930))
        same(len(gather(there, 5)), 5, "l2: datagrams from an address that is held")
        frames = [frame for frame in drain(tap, SILENCE) if frame.endswith(b"look")]
        same([frame[:12] for frame in frames], [want] * 5, "l2: ... and a tap on the port sees their frames as they were")
    PARENT.call("tc", "qdisc", "del", "dev", "p1", "clsact")
    shortcut("p1", "none")


def cut_again():
    """What tracking has put together of fragments that nobody may cut leaves in such again."""
    PARENT.nft("table ip t { chain c { type filter hook forward priority 0; ct state invalid drop; }\n}\n")
    shortcut("p1", "netfilter")
    data = os.urandom(2000)
    src, dst = V4.raw(V4.child(1)), V4.raw(V4.outside)
    datagram = struct.pack("!HHHH", 4242, 7931, 8 + len(data), 0) + data
    with held(V4), BLUE.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW) as raw, OUTSIDE.udp(V4, 7931) as there:
        for begin, end in ((0, 1400), (1400, len(datagram))):
            fragment = 1 << 14 | (1 << 13 if end < len(datagram) else 0) | begin // 8
            head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + end - begin, 77, fragment, 64, socket.IPPROTO_UDP, 0) + src + dst
            raw.sendto(head + datagram[begin:end], (V4.outside, 0))
        same(gather(there, 1) == [data], True, "fragments that nobody may cut, from an address that is held")
    shortcut("p1", "none")
    PARENT.nft("delete table ip t\n")


def cut_again_behind():
    """What came in fragments, and was put together to be tracked, comes in such again behind a child whose
    way on is narrower than the pair: nobody tells its sender any more what that has heard already."""
    far = "fd00:1:9::9"
    BLUE.call("ip", "link", "add", "narrow", "mtu", "1280", "type", "dummy")
    BLUE.call("ip", "link", "set", "narrow", "up")
    BLUE.sysctl(ipv6__conf__all__forwarding=1)
    BLUE.call("ip", "-6", "route", "add", "fd00:1:9::/64", "dev", "narrow")
    BLUE.call("ip", "-6", "neigh", "add", far, "lladdr", "02:00:00:00:00:01", "dev", "narrow", check=False)
    PARENT.call("ip", "-6", "route", "add", "fd00:1:9::/64", "via", V6.child(1), "dev", "p1")
    PARENT.nft("table ip6 t { chain c { type filter hook forward priority 0; ct state invalid drop; }\n}\n")
    every = 3  # ETH_P_ALL: others see nothing that is sent
    tap = BLUE.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(every))
    tap.bind(("narrow", every))
    wire = outside_wire(PARENT, OUTSIDE)
    src = V6.raw(V6.outside)
    turn = f"table ip6 turn {{ chain p {{ type nat hook prerouting priority dstnat; udp dport 7933 dnat to {far}; }}\n}}\n"
    # Each by itself: a child with rules has nothing like that by a shortcut, wherever its routes lead.
    ways = {"a child with a narrower way on": (far, ""), "a child that sends them on by a rule": (V6.child(1), turn)}
    for what, (address, rules) in ways.items():
        BLUE.nft(rules)
        for words in ("none", "route", "route,socket,output", "all"):
            shortcut("p1", words)
            drain(tap)
            whole = udp_packet(V6, V6.outside, address, bytes(1352), 7933)[40:]
            for number in range(5):
                ident = random.getrandbits(32)
                for begin, end in ((0, 1200), (1200, len(whole))):
                    more = 1 if end < len(whole) else 0
                    piece = struct.pack("!BBHI", socket.IPPROTO_UDP, 0, begin | more, ident) + whole[begin:end]
                    wire.send(struct.pack("!IHBB", 6 << 28, len(piece), 44, 64) + src + V6.raw(address) + piece)
                time.sleep(SILENCE)
            got = [data for data in drain(tap, SILENCE) if len(data) > 48 and data[24:40] == V6.raw(far) and data[6] == 44]
            first = sum(struct.unpack_from("!H", data, 42)[0] & 0xFFF8 == 0 for data in got)
            same((len(got), first), (10, 5), f"IPv6, shortcut {words}: fragments, behind {what}")
    BLUE.nft("delete table ip6 turn\n")
    shortcut("p1", "none")
    tap.close()
    PARENT.nft("delete table ip6 t\n")
    PARENT.call("ip", "-6", "route", "del", "fd00:1:9::/64")
    BLUE.call("ip", "link", "del", "narrow")
    BLUE.sysctl(ipv6__conf__all__forwarding=0)


def advertisement():
    """What a router says to all, and where in it the type is."""
    src, dst = V6.raw("fe80::77"), V6.raw("ff02::1")
    prefix = struct.pack("!BBBBIII", 3, 4, 64, 0xC0, 1800, 1800, 0) + V6.raw("3fff:66::")
    body = struct.pack("!BBHBBHII", 134, 0, 0, 64, 0, 1800, 0, 0) + prefix
    total = checksum(src + dst + struct.pack("!II", len(body), socket.IPPROTO_ICMPV6) + body)
    body = body[:2] + struct.pack("!H", total) + body[4:]
    return struct.pack("!IHBB", 6 << 28, len(body), socket.IPPROTO_ICMPV6, 255) + src + dst + body


def routers(mode):
    """A child's root changes a packet while it is looked at, in the ring of a packet socket: it
    does not become what routers say.
    """
    PARENT.sysctl(**{f"ipv6__conf__{name}__{key}": value for name in ("all", "p1") for key, value in (("forwarding", 0), ("accept_ra", 2))})
    frame, offset = 2048, 32
    packet = advertisement()
    head = bytes.fromhex("333300000001") + bytes.fromhex(mac_of(BLUE, "c0").replace(":", "")) + b"\x86\xdd" if mode == "l2" else b""
    sock = BLUE.socket(socket.AF_PACKET, socket.SOCK_RAW if head else socket.SOCK_DGRAM, 0)
    sock.setsockopt(263, 10, 1)  # SOL_PACKET, PACKET_VERSION: TPACKET_V2
    sock.setsockopt(263, 13, struct.pack("IIII", 4096, 1, frame, 2))  # PACKET_TX_RING
    ring = mmap.mmap(sock.fileno(), 4096)
    for slot in (0, frame):
        ring[slot + offset : slot + offset + len(head) + len(packet)] = head + packet
    where = offset + len(head) + 40
    # In l2 the address is within the header, which is copied at once.
    to = ("c0", 0x86DD, 0, 0, bytes.fromhex("333300000001"))

    def send():
        for slot in (0, frame):
            ring[slot : slot + 12] = struct.pack("III", 1, len(head) + len(packet), 0)  # TP_STATUS_SEND_REQUEST
        with contextlib.suppress(OSError):
            sock.sendto(b"", to)

    def routes():
        return PARENT.call("ip", "-6", "route", "show", "3fff:66::/64") + PARENT.call("ip", "-6", "route", "show", "default", "dev", "p1")

    def made():
        send()
        return routes()

    PARENT.call("ip", "link", "set", "p1", "type", "passthru", "spoofchk", "off")
    report(until(made), f"{mode}: what routers say makes routes where nobody checks")
    PARENT.call("ip", "link", "set", "p1", "type", "passthru", "spoofchk", "on")
    PARENT.call("ip", "link", "set", "p1", "down")
    PARENT.call("ip", "link", "set", "p1", "up")
    until(lambda: not routes())
    child = os.fork()
    if child == 0:
        with contextlib.suppress(BaseException):
            while True:
                ring[where] = ring[where + frame] = 133
                ring[where] = ring[where + frame] = 134
        os._exit(0)
    end, sent = time.monotonic() + (20 if DEBUG else 6), 0
    while time.monotonic() < end:
        send()
        sent += 1
    os.kill(child, 9)
    os.waitpid(child, 0)
    same((sent > 100, routes()), (True, ""), f"{mode}: what changes while it is looked at makes none")
    sock.close()


def judged_once():
    """What a child's root changes in the ring of a packet socket after the parent's rules have seen it is
    not what is sent."""
    PARENT.call("tc", "qdisc", "add", "dev", "up0", "root", "netem", "delay", "200ms", check=False)
    if "netem" not in PARENT.call("tc", "qdisc", "show", "dev", "up0"):
        return skip("a packet that changes while it waits", "this kernel has no netem")
    PARENT.nft("table inet judge { chain o { type filter hook output priority 0; udp dport 7953 drop; }\nchain f { type filter hook forward priority 0; udp dport 7953 drop; }\n}\n")
    offset = 32
    packet = bytearray(udp_packet(V4, V4.child(1), V4.outside, b"judged", port=7952))
    packet[26:28] = bytes(2)  # no checksum
    sock = BLUE.socket(socket.AF_PACKET, socket.SOCK_DGRAM, 0)
    sock.setsockopt(263, 10, 1)  # SOL_PACKET, PACKET_VERSION: TPACKET_V2
    sock.setsockopt(263, 13, struct.pack("IIII", 4096, 1, 2048, 2))  # PACKET_TX_RING
    ring = mmap.mmap(sock.fileno(), 4096)
    for words in ("none", "output", "all"):
        shortcut("p1", words)
        with OUTSIDE.udp(V4, 7952) as allowed, OUTSIDE.udp(V4, 7953) as forbidden:
            for slot in (0, 2048):
                ring[slot + offset : slot + offset + len(packet)] = bytes(packet)
                ring[slot : slot + 12] = struct.pack("III", 1, len(packet), 0)  # TP_STATUS_SEND_REQUEST
            sock.sendto(b"", socket.MSG_DONTWAIT, ("c0", 0x0800))
            for slot in (0, 2048):
                where = slot + offset + 22
                ring[where : where + 2] = struct.pack("!H", 7953)
            got = len(gather(allowed, 2)), drain(forbidden, SILENCE)
            same(got, (2, []), f"shortcut {words}: a packet that changes while it waits is sent as rules saw it")
    shortcut("p1", "none")
    sock.close()
    PARENT.nft("delete table inet judge\n")
    PARENT.call("tc", "qdisc", "del", "dev", "up0", "root")
    return None


def has_seg6():
    """Whether routes can wrap packets so."""
    route = ("3fff:9::/64", "encap", "seg6", "mode", "encap", "segs", "fd00:9::1", "dev", "p1")
    PARENT.call("ip", "-6", "route", "add", *route, check=False)
    return "seg6" in PARENT.call("ip", "-6", "route", "show", "3fff:9::/64")


def keep_neighbour(family, mode, state):
    """How blue knows the parent, where it has to."""
    if mode == "l2":
        known = ("lladdr", mac_of(PARENT, "p1"), "nud", state)
        BLUE.call("ip", "neigh", "replace", family.port(1), "dev", "c0", *known)


def from_vrf(family, words):
    """What a child sends from a VRF of its own passes all rules of its OUTPUT, those for the device of
    the pair too, and whoever listens on the VRF."""
    name = f"{family.name}, shortcut {words}, from a VRF"
    if "vrf0" not in RED.call("ip", "link", "add", "vrf0", "up", "type", "vrf", "table", "88", check=False) + RED.call("ip", "-br", "link"):
        return skip(name, "this kernel has none")
    RED.call("ip", "link", "set", "c0", "master", "vrf0")
    moved("vrf", "vrf0")
    listener = RED.socket(socket.AF_PACKET, socket.SOCK_DGRAM, 0)
    with RED.udp(family) as child, OUTSIDE.udp(family, 7934) as there, listener:
        child.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"vrf0")

        def send(text, count=8):
            for number in range(count):
                with contextlib.suppress(PermissionError):
                    child.sendto(b"%s %d" % (text, number), (family.outside, 7934))
                time.sleep(0.05)

        send(b"first")
        gather(there, 8)
        # It is known by now where they go.
        listener.bind(("vrf0", 3))
        before = statistics(PARENT, "p2")
        send(b"heard")
        came = len(gather(there, 8))
        heard = sum(b"heard" in packet for packet in gather(listener, 8, b"heard", SILENCE))
        same((came, heard), (8, 8), f"{name}: is heard on the VRF's device")
        left = difference(statistics(PARENT, "p2"), before).get("tx_output", 0)
        same(left, 0 if words == "none" else 8, f"{name}: and leaves by the shortcut")
        RED.nft('table inet o { chain o { type filter hook output priority 0; oifname "c0" udp dport 7934 drop; }\n}\n')
        send(b"refused")
        same(drain(there, SILENCE), [], f"{name}: is refused by a rule for the device below")
        RED.nft("delete table inet o\n")
    RED.call("ip", "link", "del", "vrf0")
    moved()
    return None


def both_modes(family, mode, wraps):
    """What is the same with a link layer and without."""
    for words in SETS:
        for port in ("p1", "p2"):
            shortcut(port, words)
        if wraps:
            wrapped(family, words, mode)
        else:
            skip(f"{family.name}, shortcut {words}: a route that wraps packets", "this kernel has none")
        turned_back(family, words)
    # While the parent holds blue's address it does not answer blue's ARP.
    keep_neighbour(family, mode, "permanent")
    for words in ("netfilter", "netfilter,output", "all"):
        shortcut("p1", words)
        if family is V4:
            pieces(words)
        own_rules(family, words)
        shouted(family, words)
    keep_neighbour(family, mode, "reachable")
    for words in ("none", "output", "all"):
        for port in ("p1", "p2"):
            shortcut(port, words)
        in_vrf(family, words)
        from_vrf(family, words)
        if family is V6:
            ending(words)
    for port in ("p1", "p2"):
        shortcut(port, "none")
    not_given(family)
    tunnel(family)


def main():
    """All of it."""
    mode = sys.argv[1]
    wraps = has_seg6()
    for family in FAMILIES:
        # The debug kernel takes minutes for it once.
        if mode == "l3" or not DEBUG:
            both_modes(family, mode, wraps)
        if mode == "l2":
            unresolved(family)
    # In l2 who has a held address is not answered when it asks for its neighbour.
    ping(BLUE, V4, V4.port(1))
    cut_again()
    cut_again_behind()
    if mode == "l2":
        frames_stay()
        for family in FAMILIES:
            link_rules(family)
    else:
        # The link layer has no part in it, and it takes minutes on the stock kernel.
        reads_along()
        judged_once()
        mirrored()
        for family in FAMILIES:
            sent_back(family)
            unwrapped(family)
    routers(mode)


if __name__ == "__main__":
    sys.exit(main())
