#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Sends from addresses that are not the child's, by every means that its root
has, and listens wherever that could arrive.

usage: spoofchk.py l3|l2
"""

import errno
import json
import os
import select
import socket
import struct
import subprocess
import sys
import time

from world import FAMILIES, PATIENCE, SILENCE, V4, V6, Ears, Space, checksum, grace_period, mac_of, ping, report, same, shortcut, skip, statistics, udp_packet

PARENT, OUTSIDE, BLUE, RED = (Space(name) for name in ("-", "outside", "blue", "red"))
TRACING = "/sys/kernel/tracing"


def foreign(family):
    """Addresses that are not blue's: whose they are, and they."""
    return {
        "the port": family.port(1),
        "the parent's uplink": family.uplink,
        "a sibling": family.child(2),
        "the host outside": family.outside,
        "the loopback": "127.0.0.1" if family is V4 else "::1",
        "nobody": "203.0.113.9" if family is V4 else "3fff:113::9",
        "a neighbour": "10.0.9.2" if family is V4 else "fd00:9::2",
    }


def targets(family):
    """Where packets go: out, to the parent itself, to a sibling."""
    return {"outside": family.outside, "-": family.port(1), "red": family.child(2)}


class Means:
    """What the child's root can send whole packets with."""

    def __init__(self, mode):
        self.raw = {V4: BLUE.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)}
        self.raw[V6] = BLUE.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_RAW)
        kind = socket.SOCK_DGRAM if mode == "l3" else socket.SOCK_RAW
        self.packet = BLUE.socket(socket.AF_PACKET, kind, 0)
        self.header = b""
        self.names = ["raw socket", "packet socket"]
        if mode == "l2":
            macs = mac_of(PARENT, "p1") + ":" + mac_of(BLUE, "c0")
            self.header = bytes.fromhex(macs.replace(":", ""))
            self.names += ["a tag without a VLAN", "two tags without a VLAN", "a protocol that lies"]

    def send(self, means, family, packet):
        """Sends one packet."""
        if means == "raw socket":
            dest = packet[16:20] if family is V4 else packet[24:40]
            try:
                self.raw[family].sendto(packet, (socket.inet_ntop(family.af, dest), 0))
            except OSError:
                pass  # the child's own stack refuses it, or hears of the drop
            return
        kind = 0x0800 if family is V4 else 0x86DD
        tags = {"a tag without a VLAN": 1, "two tags without a VLAN": 2}.get(means, 0)
        frame = packet
        if self.header:
            frame = self.header + struct.pack("!HH", 0x8100, 0) * tags + struct.pack("!H", kind) + packet
        told = 0x88B5 if means == "a protocol that lies" else 0x8100 if tags else kind
        try:
            self.packet.sendto(frame, ("c0", told))
        except OSError as error:
            if error.errno != errno.ENOBUFS:  # the drop, told at once
                raise


def spoofed(space=BLUE, device="c0"):
    """What the device says that it has dropped for its source, and at all."""
    with space, open("/proc/thread-self/net/dev", encoding="ascii") as file:
        dropped = next(int(line.split()[12]) for line in file if line.split()[0] == f"{device}:")
    return statistics(space, device)["tx_drop_spoofed"], dropped


def heard(ears, wait):
    """All that arrives in so many seconds, as (where, payload)."""
    got, end = [], time.monotonic() + wait
    while time.monotonic() < end:
        got += ears.hear(0.02)
    return got


def lies(means, family, words, ears):
    """Each foreign source to each target, by each means; then the truth."""
    for name in means.names:
        before, sent, payloads = spoofed(), 0, {}
        heard(ears, 0)
        for whose, source in foreign(family).items():
            for where, dest in targets(family).items():
                token = os.urandom(8)
                payloads[token] = f"from {whose} to {where}"
                means.send(name, family, udp_packet(family, source, dest, token))
                sent += 1
        true = {os.urandom(8): where for where in targets(family)}
        for token, where in true.items():
            means.send(name, family, udp_packet(family, family.child(1), targets(family)[where], token))
        got, end = [], time.monotonic() + PATIENCE
        while time.monotonic() < end and not {token for _, token in got} >= set(true):
            got += heard(ears, 0.05)
        got += heard(ears, SILENCE)
        after = spoofed()
        title = f"{family.name}, shortcut {words}, {name}"
        arrived = [f"{payloads[token]} at {where}" for where, token in got if token in payloads]
        same(arrived, [], f"{title}: no lie arrives ({sent} of them)")
        same({token: where for where, token in got if token in true}, true, f"{title}: the truth does")
        lost = (after[0] - before[0], after[1] - before[1])
        # The child's own stack may refuse some that a raw socket asks for.
        if name == "raw socket":
            report(lost[0] == lost[1] >= sent - 3 * 3, f"{title}: they are counted", f"{lost} of {sent}")
        else:
            same(lost, (sent, sent), f"{title}: each is counted")


def arrives(means, family, source, ears, how="packet socket", patience=PATIENCE, tos=0, dest=None):
    """Where a packet for the outside, or for `dest`, arrives, by a means."""
    token = os.urandom(8)
    heard(ears, 0)
    before = spoofed()
    means.send(how, family, udp_packet(family, source, dest or family.outside, token, tos=tos))
    end, silent = time.monotonic() + patience, time.monotonic() + SILENCE
    # Of a drop nothing arrives, but what is on its way will some time.
    while time.monotonic() < end and (time.monotonic() < silent or spoofed() == before):
        got = [where for where, data in ears.hear(0.02) if data == token]
        if got:
            return got[0]
    return "nowhere"


def known(means, family, source, ears, how):
    """Whom three packets get to, of which the last are judged by what is remembered of the first."""
    first = arrives(means, family, source, ears, how)
    if family is V6:
        grace_period()
    return [first] + [arrives(means, family, source, ears, how) for _ in range(2)]


def routes(means, family, words, ears):
    """The parent's routes are the authority, and at once."""
    source, prefix = ("10.77.0.1", "10.77.0.0/16") if family is V4 else ("fd00:77::1", "fd00:77::/64")
    via = ("via", family.child(1), "dev", "p1")
    for how in ("packet socket", "raw socket"):
        title = f"{family.name}, shortcut {words}, {how}"
        same(arrives(means, family, source, ears, how), "nowhere", f"{title}: an address that no route knows")
        for _ in range(3):
            PARENT.call(*family.ip("route", "add", prefix, *via))
            before = known(means, family, source, ears, how)
            PARENT.call(*family.ip("route", "del", prefix, *via))
            after = arrives(means, family, source, ears, how)
            if (before, after) != (["outside"] * 3, "nowhere"):
                break
        same((before, after), (["outside"] * 3, "nowhere"), f"{title}: a route to it counts for the very next packet, as long as it is there")
        PARENT.call(*family.ip("route", "add", prefix, *via))
        one = known(means, family, source, ears, how)[-1]
        PARENT.call(*family.ip("route", "add", family.host(source), "dev", "p2"))
        other = arrives(means, family, source, ears, how)
        PARENT.call(*family.ip("route", "del", family.host(source), "dev", "p2"))
        same((one, other), ("outside", "nowhere"), f"{title}: a longer prefix by another port takes it away")
        PARENT.call(*family.ip("route", "del", prefix, *via))
        two = ("nexthop", "via", family.child(2), "dev", "p2", "nexthop", *via)
        PARENT.call(*family.ip("route", "add", prefix, *two))
        same(arrives(means, family, source, ears, how), "outside", f"{title}: a route that the port shares with another")
        PARENT.call(*family.ip("route", "del", prefix))
        PARENT.call(*family.ip("nexthop", "add", "id", "1", "dev", "p1"))
        PARENT.call("ip", "nexthop", "add", "id", "10", "group", "1")
        PARENT.call(*family.ip("route", "add", prefix, "nhid", "10"))
        one = known(means, family, source, ears, how)
        PARENT.call(*family.ip("nexthop", "replace", "id", "1", "dev", "p2"))
        other = arrives(means, family, source, ears, how)
        for number in ("10", "1"):
            PARENT.call("ip", "nexthop", "del", "id", number)
        same((one, other), (["outside"] * 3, "nowhere"), f"{title}: a group of nexthops that becomes another's")
        better = (prefix, "via", family.child(2), "dev", "p2", "metric", "10")
        PARENT.call(*family.ip("route", "add", *better))
        PARENT.call(*family.ip("route", "add", prefix, *via, "metric", "20"))
        one = known(means, family, source, ears, how)[-1]
        PARENT.call(*family.ip("route", "del", *better))
        other = arrives(means, family, source, ears, how)
        PARENT.call(*family.ip("route", "del", prefix, *via, "metric", "20"))
        same((one, other), ("nowhere", "outside"), f"{title}: a better route by another port, and it goes")
    PARENT.call(*family.ip("route", "add", "local", family.host(source), "dev", "p1"))
    before = spoofed()
    got = arrives(means, family, source, ears, patience=SILENCE if words == "none" else PATIENCE)
    same(spoofed(), before, f"{family.name}, shortcut {words}: a local route on the port makes it the child's")
    if words != "none":
        same(got, "outside", f"{family.name}, shortcut {words}: ... and it arrives")
    PARENT.call(*family.ip("route", "del", "local", family.host(source), "dev", "p1"))
    same(arrives(means, family, source, ears), "nowhere", f"{family.name}, shortcut {words}: ... no longer than that is there")


def by_rules(means, family, words, ears):
    """Rules may lead to the child from some sources only: then it is the child's for those."""
    source = "10.77.0.1" if family is V4 else "fd00:77::1"
    title = f"{family.name}, shortcut {words}: an address that rules lead to"
    rule = ("from", family.host(family.outside), "lookup", "177")
    PARENT.call(*family.ip("route", "add", family.host(source), "via", family.child(1), "dev", "p1", "table", "177"))
    got = [arrives(means, family, source, ears)]
    PARENT.call(*family.ip("rule", "add", *rule))
    got += [arrives(means, family, source, ears) for _ in range(3)]
    PARENT.call(*family.ip("rule", "del", *rule))
    PARENT.call(*family.ip("rule", "add", "from", family.host(family.child(2)), "lookup", "177"))
    got.append(arrives(means, family, source, ears))
    PARENT.call(*family.ip("rule", "del", "from", family.host(family.child(2)), "lookup", "177"))
    PARENT.call(*family.ip("route", "del", family.host(source), "dev", "p1", "table", "177"))
    same(got, ["nowhere", *["outside"] * 3, "nowhere"], f"{title} from where it sends to, and only then")


def by_class(means, family, words, ears):
    """Rules may lead to the child by the class of a packet."""
    source = "10.77.0.1" if family is V4 else "fd00:77::1"
    title = f"{family.name}, shortcut {words}: an address that a rule for one class leads to"
    PARENT.call(*family.ip("route", "add", family.host(source), "via", family.child(1), "dev", "p1", "table", "177"))
    PARENT.call(*family.ip("rule", "add", "dscp", "8", "lookup", "177"))
    got = [[arrives(means, family, source, ears, tos=tos) for _ in range(3)] for tos in (0x20, 0)]
    # Whose an address is else may be another's in that class.
    PARENT.call(*family.ip("route", "add", family.host(source), "via", family.child(2), "dev", "p2"))
    PARENT.call(*family.ip("route", "replace", family.host(source), "via", family.child(2), "dev", "p2", "table", "177"))
    PARENT.call(*family.ip("route", "replace", family.host(source), "via", family.child(1), "dev", "p1"))
    got += [[arrives(means, family, source, ears, tos=tos) for _ in range(3)] for tos in (0x20, 0)]
    PARENT.call(*family.ip("rule", "del", "dscp", "8", "lookup", "177"))
    PARENT.call(*family.ip("route", "flush", "table", "177"))
    PARENT.call(*family.ip("route", "del", family.host(source)))
    yes, no = ["outside"] * 3, ["nowhere"] * 3
    same(got[:2], [yes, no], f"{title} in that class, and in no other")
    same(got[2:], [no, yes], f"{title} elsewhere, and back")


def by_source_routes(means, words, ears):
    """IPv6 has routes for packets from some sources: then it is the child's for those."""
    source, prefix = "fd00:77::1", "fd00:77::1/128"
    mine, theirs = (("via", V6.child(n), "dev", f"p{n}") for n in (1, 2))
    other = V6.host(V6.child(2))
    for dest, where in ((V6.outside, "outside"), (V6.uplink, "-")):
        title = f"IPv6, shortcut {words}: an address with a route for some sources"
        title += " and the parent's own" * (where == "-")
        asks, got = V6.host(dest), []
        for sources in (asks, other):
            PARENT.call("ip", "-6", "route", "add", prefix, "from", sources, *mine)
            got.append([arrives(means, V6, source, ears, dest=dest) for _ in range(3)])
            PARENT.call("ip", "-6", "route", "del", prefix, "from", sources, *mine)
        got.append([arrives(means, V6, source, ears, dest=dest)])
        same(got, [[where] * 3, ["nowhere"] * 3, ["nowhere"]], f"{title} is the child's towards those, while there is that route")
        PARENT.call("ip", "-6", "route", "add", prefix, *mine)
        got = [arrives(means, V6, source, ears, dest=dest)]
        PARENT.call("ip", "-6", "route", "add", prefix, "from", asks, *theirs)
        got.append(arrives(means, V6, source, ears, dest=dest))
        PARENT.call("ip", "-6", "route", "del", prefix, "from", asks, *theirs)
        got.append(arrives(means, V6, source, ears, dest=dest))
        PARENT.call("ip", "-6", "route", "del", prefix, *mine)
        same(got, [where, "nowhere", where], f"{title} to another is that one's towards those")


def lets_go(means, words, ears):
    """What is remembered of an address keeps no device that has a part in the route to it."""
    PARENT.call("ip", "link", "add", "d0", "up", "type", "dummy")
    ways = (word for dev in ("p1", "d0") for word in ("nexthop", "via", "fe80::9", "dev", dev))
    PARENT.call("ip", "-6", "route", "add", "fd00:77::/64", *ways)
    for _ in range(3):
        for number in range(1, 9):
            for how in means.names[:2]:
                arrives(means, V6, f"fd00:77::{number}", ears, how)
        time.sleep(0.1)  # in which what was found out may be remembered
    with PARENT:
        going = subprocess.Popen(["ip", "link", "del", "d0"])
    try:
        # Far from when the kernel complains.
        gone = going.wait(30) == 0
    except subprocess.TimeoutExpired:
        gone = False
    report(gone, f"shortcut {words}: a device that shares a route with the port goes at once")
    PARENT.call("ip", "-6", "route", "flush", "fd00:77::/64")


def switch(means, family, words, ears):
    """Off and on again, at once; and not for the child's root."""
    source = foreign(family)["nobody"]
    got = []
    for value in ("off", "on", "off", "on"):
        PARENT.call("ip", "link", "set", "p1", "type", "passthru", "spoofchk", value)
        got.append([arrives(means, family, source, ears, how) for how in means.names])
    every = len(means.names)
    same(got, [["outside"] * every, ["nowhere"] * every] * 2, f"{family.name}, shortcut {words}: spoofchk off, on, off, on")
    with BLUE:
        tried = subprocess.run(["ip", "link", "set", "c0", "type", "passthru", "spoofchk", "off"], capture_output=True, check=False)
    got = arrives(means, family, source, ears)
    same((tried.returncode != 0, got), (True, "nowhere"), f"{family.name}, shortcut {words}: the child's root cannot turn it off")


def tap_sees(device, act, wanted, patience=PATIENCE):
    """Whether a tap on a device of the parent sees what is wanted."""
    with PARENT.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(3)) as tap:
        tap.bind((device, 3))
        act()
        end = time.monotonic() + patience
        while select.select([tap], [], [], max(0, end - time.monotonic()))[0]:
            if wanted(tap.recv(65536)):
                return True
    return False


def no_address_yet(means, mode):
    """Who has no address yet may ask for one, and neighbours may talk."""
    before = spoofed()
    broadcast = udp_packet(V4, "0.0.0.0", "255.255.255.255", b"may I have an address", port=67, sport=68)
    saw = tap_sees("p1", lambda: means.send("packet socket", V4, broadcast), lambda data: data.endswith(b"may I have an address"))
    same((saw, spoofed()), (True, before), "a request to a DHCP server passes")
    with PARENT, open("/proc/thread-self/net/if_inet6", encoding="ascii") as file:
        link_local = [line.split()[0] for line in file if line.startswith("fe80") and line.split()[-1] == "p1"]
    if link_local:
        address = socket.inet_ntop(socket.AF_INET6, bytes.fromhex(link_local[0]))
        with BLUE:
            done = subprocess.run(["ping", "-6", "-n", "-q", "-c", "2", "-i", "0.2", "-W", "5", f"{address}%c0"], capture_output=True, check=False)
        same((done.returncode, spoofed()), (0, before), "addresses of the link work")
    if mode == "l2":
        BLUE.sysctl(**{"ipv6__conf__c0__accept_dad": 1})

        def is_dad(data):
            return len(data) >= 64 and data[6] == 58 and data[8:24] == bytes(16) and data[40] == 135

        saw = tap_sees("p1", lambda: BLUE.call("sh", "-c", "ip -6 addr add fd00:1::99/64 dev c0"), is_dad)
        same((saw, spoofed()), (True, before), "who looks for a duplicate of its address is heard")
        end = time.monotonic() + 2 * PATIENCE
        flags = {"tentative": True}
        while flags.get("tentative") and time.monotonic() < end:
            time.sleep(0.1)
            listed = json.loads(BLUE.call("ip", "-j", "-6", "addr", "show", "dev", "c0"))
            flags = next(entry for entry in listed[0]["addr_info"] if entry["local"] == "fd00:1::99")
        same((flags.get("tentative"), flags.get("dadfailed")), (None, None), "... and has it then")
        BLUE.call("ip", "-6", "addr", "del", "fd00:1::99/64", "dev", "c0")


def bridged(means):
    """What a bridge takes the parent's stack never sees: it is not judged."""
    PARENT.call("ip", "link", "add", "br0", "up", "type", "bridge")
    PARENT.call("ip", "link", "set", "p1", "master", "br0")
    before = spoofed()
    packet = udp_packet(V4, "203.0.113.9", V4.outside, b"bridged packet")
    saw = tap_sees("p1", lambda: means.send("packet socket", V4, packet), lambda data: data.endswith(b"bridged packet"))
    same((saw, spoofed()), (True, before), "a bridge's port lets any source pass")
    PARENT.call("ip", "link", "set", "p1", "nomaster")
    PARENT.call("ip", "link", "del", "br0")
    saw = tap_sees("p1", lambda: means.send("packet socket", V4, packet), lambda data: data.endswith(b"bridged packet"), SILENCE)
    same(saw, False, "... until it leaves the bridge")


def shared(means):
    """What shares the port with the parent's stack does not make that believe a lie."""
    lie = udp_packet(V4, "203.0.113.9", V4.outside, b"beside others")

    def is_lie(data):
        return data.endswith(b"beside others")

    for name, words in (("macvlan", ("mode", "bridge")), ("ipvlan", ("mode", "l3s"))):
        PARENT.call("modprobe", "-q", name, check=False)
        PARENT.call("ip", "link", "add", "link", "p1", "name", "u0", "up", "type", name, *words, check=False)
        if not os.path.exists("/sys/class/net/u0"):
            skip(f"a lie beside {name}", "this kernel has none")
            continue
        before = spoofed()[0]
        saw = tap_sees("p1", lambda: means.send("packet socket", V4, lie), is_lie, SILENCE)
        same((saw, spoofed()[0]), (False, before + 1), f"beside {name} a lie is not believed")
        if name == "macvlan":
            mac = bytes.fromhex(mac_of(PARENT, "u0").replace(":", ""))
            with BLUE, socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, 0) as sock:
                saw = tap_sees("u0", lambda: sock.sendto(lie, ("c0", 0x0800, 0, 0, mac)), is_lie)
            same((saw, spoofed()[0]), (True, before + 1), "what macvlan has is not the parent's to judge")
            beside_routers()
        PARENT.call("ip", "link", "del", "u0")


def beside_routers():
    """What is for all others beside macvlan is for the parent as well: routes are not made of it."""
    group = bytes.fromhex("333300000001")
    with BLUE, socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, 0) as sock:

        def send(packet):
            try:
                sock.sendto(packet, ("c0", 0x86DD, 0, 0, group))
            except OSError as error:
                if error.errno != errno.ENOBUFS:  # the drop
                    raise

        hears_no_router("beside macvlan", send)
        lie = udp_packet(V6, "2001:db8:77::9", "ff02::1", b"for the group")
        before = spoofed()[0]
        saw = tap_sees("u0", lambda: send(lie), lambda data: data.endswith(b"for the group"))
        same((saw, spoofed()[0]), (True, before), "beside macvlan a group hears whatever source")


def vlans():
    """A frame of a VLAN is another device's in the parent, and not judged; one with a tag of
    priority alone is the port's."""
    for space, device, number in ((PARENT, "p1", 1), (BLUE, "c0", 2)):
        space.call("ip", "link", "add", "link", device, "name", "v7", "type", "vlan", "id", "7")
        space.call("ip", "link", "set", "v7", "up")
        for family, address in ((V4, f"10.7.0.{number}/24"), (V6, f"fd07::{number}/64")):
            space.call(*family.ip("addr", "add", address, "dev", "v7"))
    for family, near, far in ((V4, "10.7.0.1", "10.7.0.2"), (V6, "fd07::1", "fd07::2")):
        before = spoofed()
        answered = ping(BLUE, family, near, 2), ping(PARENT, family, far, 2)
        same((answered, spoofed()), ((2, 2), before), f"{family.name}: a VLAN of the child's device and the port's carries what it has")
    for space in (PARENT, BLUE):
        space.call("ip", "link", "del", "v7")
    # The kernel keeps the tag of such a device beside the packet.
    BLUE.call("ip", "link", "add", "link", "c0", "name", "v0", "type", "vlan", "id", "0")
    BLUE.call("ip", "link", "set", "v0", "up")
    for family, lie in ((V4, "203.0.113.9"), (V6, "3fff:9::9")):
        before = spoofed()[0]
        with BLUE, socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, 0) as sock:
            kind = 0x0800 if family is V4 else 0x86DD
            mac = bytes.fromhex(mac_of(PARENT, "p1").replace(":", ""))
            try:
                sock.sendto(udp_packet(family, lie, family.outside, b"with a priority"), ("v0", kind, 0, 0, mac))
            except OSError as error:
                if error.errno != errno.ENOBUFS:  # it was dropped
                    raise
        same(spoofed()[0] - before, 1, f"{family.name}: a tag of priority alone hides no lie")
    BLUE.call("ip", "link", "del", "v0")


def unfinished(means, words, ears):
    """A checksum that is yet to be written, in the middle of the source: after that was judged."""
    with BLUE.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as sock:
        sock.setsockopt(263, 15, 1)  # SOL_PACKET, PACKET_VNET_HDR
        before, token = spoofed()[0], os.urandom(8)
        frame = udp_packet(V6, V6.child(1), V6.outside, token)
        if means.header:
            frame = means.header + struct.pack("!H", 0x86DD) + frame
        start = 20 + (14 if means.header else 0)
        heard(ears, 0)
        try:
            sock.sendto(struct.pack("=BBHHHH", 1, 0, 0, 0, start, 2) + frame, ("c0", 0x86DD))
        except OSError as error:
            if error.errno != errno.ENOBUFS:  # the drop
                raise
        got = [where for where, data in heard(ears, SILENCE) if data == token]
        same((got, spoofed()[0] - before), ([], 1), f"shortcut {words}: a checksum that would be written into the source")


def routers(means, words):
    """A child is no router of the parent's, whatever it says."""
    hears_no_router(f"shortcut {words}", lambda packet: means.send("packet socket", V6, packet))


def hears_no_router(when, send):
    """Has a router's advertisement sent, of which the parent makes nothing."""
    PARENT.sysctl(**{"ipv6__conf__p1__accept_ra": 2})
    prefix = struct.pack("!BBBBIII", 3, 4, 128, 0x80, 1800, 1800, 0) + V6.raw(V6.child(2))
    for name, extra in (("", b""), (" behind an extension header", struct.pack("!BB6x", 58, 0))):
        body = struct.pack("!BBHBBHII", 134, 0, 0, 64, 0, 1800, 0, 0) + prefix
        pseudo = V6.raw("fe80::77") + V6.raw("ff02::1") + struct.pack("!II", len(body), 58)
        body = body[:2] + struct.pack("!H", checksum(pseudo + body)) + body[4:]
        first = 60 if extra else 58
        packet = struct.pack("!IHBB", 6 << 28, len(extra + body), first, 255) + V6.raw("fe80::77") + V6.raw("ff02::1") + extra + body
        before = spoofed()[0]
        send(packet)
        time.sleep(SILENCE)
        made = [line for line in PARENT.call("ip", "-6", "route", "show", "proto", "ra").splitlines() if line]
        kernel = PARENT.call("ip", "-6", "route", "show", "dev", "p1")
        same((spoofed()[0] - before, made, V6.child(2) in kernel), (1, [], False), f"{when}: what a router would say{name}")
    PARENT.sysctl(**{"ipv6__conf__p1__accept_ra": 0})


def reason(means):
    """The kernel's own word for such a drop."""
    if not os.path.isdir(f"{TRACING}/events/skb/kfree_skb"):
        subprocess.run(["mount", "-t", "tracefs", "tracefs", TRACING], capture_output=True, check=False)
    enable = f"{TRACING}/events/skb/kfree_skb/enable"
    if not os.path.exists(enable):
        print("ok the drop has a reason # SKIP this kernel does not trace drops")
        return
    with open(f"{TRACING}/trace", "w", encoding="ascii"):
        pass
    for value in "10":
        with open(enable, "w", encoding="ascii") as file:
            file.write(value)
        if value == "1":
            means.send("packet socket", V4, udp_packet(V4, "203.0.113.9", V4.outside, b"why?"))
    with open(f"{TRACING}/trace", encoding="ascii") as file:
        said = [line.strip() for line in file if "kfree_skb:" in line]
    report(any("passthru" in line and "IP_RPFILTER" in line for line in said), "the drop has a reason", *said[-3:])


def main():
    """Everything in one mode."""
    mode = sys.argv[1]
    # No other guard than the one under test.
    for name in ("all", "default", "p1", "up0"):
        PARENT.sysctl(**{f"ipv4__conf__{name}__rp_filter": 0, f"ipv4__conf__{name}__accept_local": 1})
    for space in (OUTSIDE, RED):
        space.sysctl(**{"ipv4__conf__all__rp_filter": 0, "ipv4__conf__default__rp_filter": 0})
    OUTSIDE.sysctl(**{"ipv4__conf__out0__rp_filter": 0, "ipv4__conf__out0__accept_local": 1})
    RED.sysctl(**{"ipv4__conf__c0__rp_filter": 0, "ipv4__conf__c0__accept_local": 1})
    means = Means(mode)
    ears = Ears([OUTSIDE, PARENT, RED])
    for family in FAMILIES:
        for words in ("none", "output", "all"):
            shortcut("p1", words)
            for act in (lies, routes, by_rules, by_class, switch):
                act(means, family, words, ears)
    for words in ("none", "output"):
        shortcut("p1", words)
        no_address_yet(means, mode)
        unfinished(means, words, ears)
        routers(means, words)
        by_source_routes(means, words, ears)
        lets_go(means, words, ears)
    if mode == "l2":
        bridged(means)
        shared(means)
        vlans()
    reason(means)
    ears.close()


if __name__ == "__main__":
    sys.exit(main())
