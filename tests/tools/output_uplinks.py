#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""What a child sends by `output` where the parent's way on is not plain: the uplink's neighbour is not
known, or does not answer, or becomes another; it is a gateway; or the way is a tunnel, a VLAN, a bridge, or
has queues.

usage: output_uplinks.py
"""

import contextlib
import errno
import json
import os
import select
import socket
import sys
import tempfile
import time

from output import option, took, ways
from world import (
    FAMILIES,
    PATIENCE,
    PORT,
    SILENCE,
    V4,
    V6,
    Space,
    connected,
    drain,
    exchange,
    gather,
    grace_period,
    introduce,
    report,
    same,
    seen,
    shortcut,
    skip,
    unwatch,
    watch,
)

PARENT, OUTSIDE, BLUE = (Space(name) for name in ("-", "outside", "blue"))
SETS = ("none", "output")


@contextlib.contextmanager
def deaf():
    """Outside neither answers who asks for its link address, nor asks itself, from which it could be learned."""
    rules = "ether type arp drop; icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } drop;"
    chains = "".join(f"chain {hook} {{ type filter hook {hook} device out0 priority 0; {rules} }}\n" for hook in ("ingress", "egress"))
    OUTSIDE.nft(f"table netdev deaf {{\n{chains}}}\n")
    yield
    OUTSIDE.nft("delete table netdev deaf\n")


def resolution(family, questions):
    """How often the parent asks for its neighbour's link address, five times a second."""
    values = {"mcast_solicit": questions, "ucast_solicit": questions, "retrans_time_ms": 200}
    PARENT.sysctl(**{f"ipv{family.version}__neigh__up0__{name}": value for name, value in values.items()})


def forget_neighbour(family):
    """The parent knows nothing of it."""
    PARENT.call(*family.ip("neigh", "del", family.outside, "dev", "up0"), check=False)


def unanswered(family, name):
    """A neighbour that failed, and fails again: the child hears of that."""
    resolution(family, 1)
    PARENT.call(*family.ip("neigh", "replace", family.outside, "dev", "up0", "nud", "failed"))
    before = ways()
    with deaf(), BLUE.udp(family) as sock:
        sock.setsockopt(*option(family, 11, 25), 1)  # IP_RECVERR
        sock.connect((family.outside, PORT))
        sock.send(b"anybody?")
        select.select([sock], [], [], PATIENCE)
        heard = errno.errorcode.get(sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR))
    same(heard, "EHOSTUNREACH", f"{name}: the child hears of a neighbour that does not answer")
    return took(before)


def unresolved(family, name):
    """What is for a neighbour that is not known yet waits for that."""
    resolution(family, 1000)
    wanted = [b"wait %d" % number for number in range(3)]
    before = ways()
    with OUTSIDE.udp(family, PORT) as there, BLUE.udp(family) as here:
        with deaf():
            forget_neighbour(family)
            for data in wanted:
                here.sendto(data, (family.outside, PORT))
            early = drain(there, SILENCE)
        got = gather(there, len(wanted))
    same((early, got), ([], wanted), f"{name}: datagrams wait until the uplink's neighbour is known")
    return took(before)


def neighbours(family):
    """Both, without the shortcut and with it."""
    for words in SETS:
        shortcut("p1", words)
        name = f"{family.name}, shortcut {words}"
        taken = [unanswered(family, name), unresolved(family, name)]
        same(taken, [0, 0] if words == "none" else [1, 3], f"{name}: ... which left by the shortcut or not")
    resolution(family, 3)
    forget_neighbour(family)


def beyond(family, far, name, count=5):
    """Datagrams to an address that is not on the uplink's link, and their answers."""
    with OUTSIDE.udp(family, PORT, far) as there, BLUE.udp(family) as here:
        got = []
        for number in range(count):
            here.sendto(b"%d" % number, (far, PORT))
            data, source = there.recvfrom(100)
            there.sendto(data + b" too", source[:2])
            got.append(here.recv(100))
    same(got, [b"%d too" % number for number in range(count)], f"{name}: datagrams and their answers")


def link_address():
    """Where the uplink's frames go, outside."""
    return json.loads(OUTSIDE.call("ip", "-j", "link", "show", "out0"))[0]["address"]


def moved(family, gateway, far, name):
    """The neighbour's link address becomes another's: the next packet goes there, and comes back with it."""
    neighbour = ("neigh", "replace", gateway, "dev", "up0", "nud", "permanent", "lladdr")
    version = V6 if ":" in gateway else V4
    with OUTSIDE.udp(family, PORT, far) as there, BLUE.udp(family) as here:
        PARENT.call(*version.ip(*neighbour, "02:00:00:00:00:99"))
        here.sendto(b"away", (far, PORT))
        lost = drain(there, SILENCE)
        PARENT.call(*version.ip(*neighbour, link_address()))
        here.sendto(b"back", (far, PORT))
        got = gather(there, 1)
    same((lost, got), ([], [b"back"]), f"{name}: the next packet goes where the neighbour has moved to")
    PARENT.call(*version.ip("neigh", "del", gateway, "dev", "up0"))


def gateways(family):
    """The parent's route leads to a gateway: of its own IP version, or IPv4's to one of IPv6's."""
    far = "198.51.100.7" if family is V4 else "3fff:7::7"
    OUTSIDE.call(*family.ip("addr", "add", family.host(far), "dev", "lo"))
    for gateway in (V4, V6) if family is V4 else (V6,):
        way = ("via", "inet6", gateway.outside) if gateway is not family else ("via", gateway.outside)
        PARENT.call(*family.ip("route", "replace", family.host(far), *way, "dev", "up0"))
        for words in SETS:
            shortcut("p1", words)
            beyond(family, far, f"{family.name}, shortcut {words}, a gateway by {gateway.name}: at first")
            # By IPv6 nothing is remembered before.
            grace_period()
            introduce(gateway)
            name, before = f"{family.name}, shortcut {words}, a gateway by {gateway.name}", ways()
            beyond(family, far, name)
            same(took(before), 0 if words == "none" else 5, f"{name}: ... by the shortcut or not")
            moved(family, gateway.outside, far, name)
    PARENT.call(*family.ip("route", "del", family.host(far)))
    OUTSIDE.call(*family.ip("addr", "del", family.host(far), "dev", "lo"))


def links():
    """Kinds of devices between parent and outside, as (name, command for the parent's end, for outside's); there
    is no other end to make where the first makes both."""
    os.system("modprobe -q -a 8021q bridge 2>/dev/null")
    vlan = ("type", "vlan", "id", "7")
    yield "a VLAN", ("link", "up0", "name", "t0", *vlan), ("link", "out0", "name", "t0", *vlan)
    yield "a bridge", ("t1", "type", "veth", "peer", "name", "t0", "netns", "outside"), None
    queues = ("numtxqueues", "2", "numrxqueues", "2")
    yield "a device with two queues", ("t0", *queues, "type", "veth", "peer", "name", "t0", *queues, "netns", "outside"), None


def join(name, ours, theirs):
    """Makes both ends, of which the parent's may be behind a bridge. Whether there are any."""
    with PARENT:
        if os.system(f"ip link add {' '.join(ours)} 2>/dev/null"):
            return False
    if theirs:
        OUTSIDE.call("ip", "link", "add", *theirs)
    if name == "a bridge":
        with PARENT:
            if os.system("ip link add t0 type bridge forward_delay 0 2>/dev/null && ip link set t1 up master t0"):
                os.system("ip link del t1")
                return False
    for space in (PARENT, OUTSIDE):
        space.call("ip", "link", "set", "t0", "up")
    return True


def part(name):
    """Takes them away."""
    if name == "a bridge":
        PARENT.call("ip", "link", "del", "t1")
    PARENT.call("ip", "link", "del", "t0")
    if name == "a VLAN":
        OUTSIDE.call("ip", "link", "del", "t0")


def by_device(family):
    """The way out is another device than the one that has the wire: its frames have a longer header, or it
    asks where they go, or which queue they take."""
    near, far, bits = ("198.51.100.1", "198.51.100.9", 24) if family is V4 else ("3fff:8::1", "3fff:8::9", 64)
    for kind, ours, theirs in links():
        if not join(kind, ours, theirs):
            skip(f"{family.name}: {kind} on the parent's way out", f"no such thing as {kind}")
            continue
        for space, address in ((PARENT, near), (OUTSIDE, far)):
            space.call(*family.ip("addr", "add", f"{address}/{bits}", "dev", "t0"))
        OUTSIDE.call(*family.ip("route", "add", family.host(family.child(1)), "via", near, "dev", "t0"))
        for words in SETS:
            shortcut("p1", words)
            name = f"{family.name}, shortcut {words}, a parent's way by {kind}"
            beyond(family, far, f"{name}: at first")
            grace_period()
            introduce(family, "t0", far)
            before = ways()
            wrapped(family, name, far)
            same(took(before) > 5, words != "none", f"{name}: ... by the shortcut or not")
            if kind.endswith("queues"):
                lossy_queues(family, far, name)
        part(kind)


def lossy_queues(family, far, name, flows=20):
    """One of the device's two queues loses all that it is given: what is for that, by its flow."""
    commands = ("root handle 1: mq", "parent 1:2 netem loss 100%")
    with PARENT:
        if any(os.system(f"tc qdisc add dev t0 {command} 2>/dev/null") for command in commands):
            skip(f"{name}: what one of its queues loses", "no mq or netem")
        else:
            with OUTSIDE.udp(family, PORT, far) as there, contextlib.ExitStack() as stack:
                for number in range(flows):
                    here = stack.enter_context(BLUE.udp(family))
                    here.sendto(b"%d" % number, (far, PORT))
                got = len(drain(there, SILENCE))
                report(0 < got < flows, f"{name}: what one of its queues loses is lost", f"{got} of {flows} came")
        os.system("tc qdisc del dev t0 root 2>/dev/null")


def tunnels(family):
    """Kinds of tunnels between parent and outside, as (name, command for the parent's end, for outside's)."""
    ends = ("local", family.uplink, "remote", family.outside), ("local", family.outside, "remote", family.uplink)
    for kind, more in {V4: (("gre", ()), ("ipip", ())), V6: (("ip6tnl", ("mode", "any")),)}[family]:
        yield kind, *[("type", kind, *end, *more) for end in ends]
    if family is V6:
        # In IPv4, which is the other way of wrapping.
        yield "wireguard", ("type", "wireguard"), ("type", "wireguard")


def secure(inner):
    """WireGuard's keys and peers of both ends."""
    spaces = PARENT, OUTSIDE
    keys = [PARENT.call("wg", "genkey") for _ in spaces]
    public = [PARENT.call("wg", "pubkey", feed=key).strip() for key in keys]
    for space, key, other, address in zip(spaces, keys, public[::-1], (V4.outside, V4.uplink)):
        with tempfile.NamedTemporaryFile("w", encoding="ascii") as file:
            file.write(key)
            file.flush()
            peer = ("peer", other, "endpoint", f"{address}:5555", "allowed-ips", inner)
            space.call("wg", "set", "t0", "listen-port", "5555", "private-key", file.name, *peer)


def by_tunnel(family):
    """A parent's route leads into a tunnel: what the child sends is at its other end, wrapped."""
    far, every = ("198.51.100.9", "0.0.0.0/0") if family is V4 else ("3fff:9::9", "::/0")
    os.system("modprobe -q -a ip_gre ipip ip6_tunnel wireguard 2>/dev/null")
    for kind, *ends in tunnels(family):
        for space, end in zip((PARENT, OUTSIDE), ends):
            with space:
                made = os.system(f"ip link add t0 {' '.join(end)} 2>/dev/null") == 0
        if not made:
            PARENT.call("ip", "link", "del", "t0", check=False)
            skip(f"{family.name}: {kind} on the parent's way out", f"no {kind}")
            continue
        if kind == "wireguard":
            secure(every)
        for space in (PARENT, OUTSIDE):
            space.call("ip", "link", "set", "t0", "up")
        PARENT.call(*family.ip("route", "add", far, "dev", "t0"))
        OUTSIDE.call(*family.ip("addr", "add", family.host(far), "dev", "t0"))
        OUTSIDE.call(*family.ip("route", "add", family.host(family.child(1)), "dev", "t0"))
        for words in SETS:
            shortcut("p1", words)
            wrapped(family, f"{family.name}, shortcut {words}, a parent's way by {kind}", far)
        for space in (PARENT, OUTSIDE):
            space.call("ip", "link", "del", "t0")


def wrapped(family, name, far):
    """Datagrams and a connection through a tunnel, and nothing beside it."""
    watch(OUTSIDE, f'iifname != "t0" {family.nft} daddr {far}', ("pre",))
    beyond(family, far, name)
    here, there = connected(BLUE, OUTSIDE, family, far, 7300)
    with here, there:
        report(exchange(here, there, 3, 200_000), f"{name}: a connection, and much by it")
    same(seen(OUTSIDE), {}, f"{name}: nothing goes beside the tunnel")
    unwatch(OUTSIDE)


def main():
    """All, for both IP versions."""
    for family in FAMILIES:
        for act in (neighbours, gateways, by_device, by_tunnel):
            began = time.monotonic()
            try:
                act(family)
            except OSError as error:
                report(False, f"{family.name}: {act.__name__}: traffic gets through", error)
            print(f"# {act.__name__}: {time.monotonic() - began:.1f} s")
    shortcut("p1", "none")


if __name__ == "__main__":
    sys.exit(main())
