#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""What must not get by, whichever shortcuts the port has, and what must not get
lost by them.

usage: shortcut_evasion.py
"""

import contextlib
import os
import select
import socket
import struct
import sys
import time

from world import FAMILIES, PATIENCE, PORT, SILENCE, V6, Ears, Space, checksum, connected, difference, drain, exchange, gather, mac_of, outside_wire, pour, report, same, seen, shortcut, skip, statistics, udp_packet, unwatch, watch

PARENT, OUTSIDE, BLUE, RED = (Space(name) for name in ("-", "outside", "blue", "red"))
# An address of blue's that no device but its loopback has.
ON_LO = "fd00:1::7"
# The debug kernel waits long until it believes that nothing comes.
SETS = ("none", "all") if os.environ.get("LAB") == "debug" else ("none", "route", "route,socket", "output", "all")
FIN, SYN, RST, ACK = 1, 2, 4, 16
SO_TIMESTAMPNS, SO_TIMESTAMPING, SO_MARK = 35, 37, 36
TX_SOFTWARE, RX_SOFTWARE, SOFTWARE, TX_SCHED = 1 << 1, 1 << 3, 1 << 4, 1 << 8
MSG_ERRQUEUE = 0x2000
SO_TXTIME, REPORT_ERRORS = 61, 2
TIMED = 7910


def segment(family, flags, sport, dport):
    """A TCP segment from outside to blue, of no connection."""
    src, dst = family.raw(family.outside), family.raw(family.child(1))
    body = struct.pack("!HHIIBBHHH", sport, dport, 1, 1, 5 << 4, flags, 1000, 0, 0)
    total = checksum(src + dst + struct.pack("!II", len(body), socket.IPPROTO_TCP) + body)
    body = body[:16] + struct.pack("!H", total) + body[18:]
    if family is V6:
        return struct.pack("!IHBB", 6 << 28, len(body), socket.IPPROTO_TCP, 64) + src + dst + body
    head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(body), 1, 0, 64, socket.IPPROTO_TCP, 0) + src + dst
    return head[:10] + struct.pack("!H", checksum(head)) + head[12:] + body


def of_groups(kind):
    """A message of ICMPv6 from outside to blue."""
    src, dst = V6.raw(V6.outside), V6.raw(V6.child(1))
    body = struct.pack("!BBHI", kind, 0, 0, 0) + bytes(16)
    total = checksum(src + dst + struct.pack("!II", len(body), socket.IPPROTO_ICMPV6) + body)
    return struct.pack("!IHBB", 6 << 28, len(body), socket.IPPROTO_ICMPV6, 64) + src + dst + body[:2] + struct.pack("!H", total) + body[4:]


def invalid(family, words, wire):
    """What is of no connection the parent's FORWARD refuses."""
    PARENT.nft("""table inet wall {
        chain f { type filter hook forward priority 0; policy drop; ct state established,related accept; iifname p1 accept; }
        }""")
    watch(BLUE, "tcp dport 7900", ("pre",))
    for flags, name in ((FIN, "FIN"), (SYN | ACK, "SYN and ACK"), (RST, "RST"), (0, "no flag"), (SYN, "SYN")):
        for _ in range(3):
            wire.send(segment(family, flags, 4000 + flags, 7900))
        time.sleep(SILENCE)
        same(seen(BLUE), {}, f"{family.name}, shortcut {words}: {name} without a connection is the parent's to refuse")
    unwatch(BLUE)
    if family is V6:
        # Tracking leaves alone what asks and tells of groups, whoever it is sent to.
        watch(BLUE, "icmpv6 type { 130, 131, 132, 143, 151, 152 }", ("pre",))
        for kind in (130, 131, 132, 143, 151, 152):
            for _ in range(2):
                wire.send(of_groups(kind))
        time.sleep(SILENCE)
        same(seen(BLUE), {}, f"{family.name}, shortcut {words}: what is said of groups, to one, is the parent's to refuse")
        unwatch(BLUE)
    here, there = connected(BLUE, OUTSIDE, family, family.outside, 7901)
    with here, there:
        report(exchange(here, there, 3), f"{family.name}, shortcut {words}: a connection that the child begins")
    PARENT.nft("delete table inet wall")


def refusal(family, sport, dport):
    """What somebody on the way says of a datagram from blue to outside: that the port is not there."""
    src, dst = family.raw(family.outside), family.raw(family.child(1))
    datagram = struct.pack("!HHHH", sport, dport, 8, 0)
    if family is V6:
        inner = struct.pack("!IHBB", 6 << 28, len(datagram), socket.IPPROTO_UDP, 64) + dst + src + datagram
        body = struct.pack("!BBHI", 1, 4, 0, 0) + inner
        total = checksum(src + dst + struct.pack("!II", len(body), socket.IPPROTO_ICMPV6) + body)
        body = body[:2] + struct.pack("!H", total) + body[4:]
        return struct.pack("!IHBB", 6 << 28, len(body), socket.IPPROTO_ICMPV6, 64) + src + dst + body
    inner = struct.pack("!BBHHHBBH", 0x45, 0, 28, 1, 0, 64, socket.IPPROTO_UDP, 0) + dst + src
    inner = inner[:10] + struct.pack("!H", checksum(inner)) + inner[12:] + datagram
    body = struct.pack("!BBHI", 3, 3, 0, 0) + inner
    body = body[:2] + struct.pack("!H", checksum(body)) + body[4:]
    head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(body), 1, 0, 64, socket.IPPROTO_ICMP, 0) + src + dst
    return head[:10] + struct.pack("!H", checksum(head)) + head[12:] + body


def related(family, words, wire):
    """Errors that are about a connection are no part of it: the parent's FORWARD may refuse them."""
    for allowed, rule in ((False, ""), (True, "ct state related accept;")):
        PARENT.nft(f"""table inet wall {{
            chain f {{ type filter hook forward priority 0; policy drop; ct state established accept; iifname p1 accept; {rule} }}
            }}""")
        with BLUE.udp(family, 7912) as here, OUTSIDE.udp(family, 7913) as there:
            here.connect((family.outside, 7913))
            answers = []
            for _ in range(4):
                here.send(b"ask")
                there.sendto(b"tell", there.recvfrom(100)[1])
                answers.append(here.recv(100))
            wire.send(refusal(family, 7912, 7913))
            here.settimeout(PATIENCE if allowed else SILENCE)
            try:
                here.recv(100)
                heard = "a datagram"
            except ConnectionRefusedError:
                heard = True
            except TimeoutError:
                heard = False
        name = f"{family.name}, shortcut {words}: an error about a connection, where FORWARD {'lets it in' if allowed else 'does not'}"
        same((answers, heard), ([b"tell"] * 4, allowed), name)
        PARENT.nft("delete table inet wall")


def by_port(family, words, ears):
    """A rule of the child's that looks at ports holds for each packet."""
    rule = family.ip("rule")
    BLUE.call(*rule, "add", "pref", "100", "lookup", "local")
    BLUE.call(*rule, "add", "pref", "10", "ipproto", "udp", "dport", "7902", "blackhole")
    BLUE.call(*rule, "del", "pref", "0")
    with OUTSIDE.udp(family) as sender, BLUE.udp(family, 7902) as refused:
        got = []
        for _ in range(8):
            time.sleep(0.02)  # what is found out about IPv6 is remembered a little later
            owner = ears.owner(lambda data: sender.sendto(data, (family.child(1), PORT)))
            sender.sendto(b"to the other port", (family.child(1), 7902))
            got.append(owner)
        time.sleep(SILENCE)
        same((got, drain(refused)), (["blue"] * 8, []), f"{family.name}, shortcut {words}: the child's rule for a port")
    BLUE.call(*rule, "add", "pref", "0", "lookup", "local")
    BLUE.call(*rule, "del", "pref", "10")
    BLUE.call(*rule, "del", "pref", "100")


def stamp_of(sock, kind):
    """When the next packet came, by what the kernel says beside it."""
    _, beside, _, _ = sock.recvmsg(1000, 200)
    for level, what, data in beside:
        if (level, what) == (socket.SOL_SOCKET, kind):
            seconds, nanoseconds = struct.unpack_from("qq", data)
            return seconds + nanoseconds / 1e9
    return 0


def clock_of(sock, kind, send):
    """How far from now the times of packets are. The kernel begins to note them a
    little after it was asked to: until then there are none."""
    end = time.monotonic() + PATIENCE
    send()
    while not stamp_of(sock, kind) and time.monotonic() < end:
        time.sleep(0.02)
        send()
    for _ in range(4):
        send()
        yield abs(stamp_of(sock, kind) - time.time())


def stamps(family, words):
    """A packet's time is when it came, as of any other."""
    here, there = connected(OUTSIDE, BLUE, family, family.child(1), 7903)
    with here, there, OUTSIDE.udp(family) as sender, BLUE.udp(family, 7904) as sock:
        there.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        off = list(clock_of(there, SO_TIMESTAMPNS, lambda: here.sendall(b"when?")))
        sock.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPING, RX_SOFTWARE | SOFTWARE)
        off += clock_of(sock, SO_TIMESTAMPING, lambda: sender.sendto(b"when?", (family.child(1), 7904)))
    report(max(off) < PATIENCE, f"{family.name}, shortcut {words}: a packet's time is when it came", f"off by {off} s")


def copies(family, words):
    """Who asks when a packet is sent gets a copy of it: as it leaves the child, not the parent."""
    PARENT.nft(f"table {family.nft} hide {{ chain p {{ type nat hook postrouting priority 100; oifname up0 masquerade; }}\n}}\n")
    parents = {
        "the uplink": bytes.fromhex(mac_of(PARENT, "up0").replace(":", "")),
        "its neighbour": bytes.fromhex(mac_of(OUTSIDE, "out0").replace(":", "")),
        "the parent's address": family.raw(family.uplink),
    }
    got, saw = [], set()
    with OUTSIDE.udp(family, 7908) as there, BLUE.udp(family) as here:
        here.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPING, TX_SCHED | TX_SOFTWARE | SOFTWARE)
        here.connect((family.outside, 7908))
        poll = select.poll()
        poll.register(here, 0)
        for number in range(4):
            here.send(b"what do I look like?")
            there.recv(100)
            while len(got) < 2 * number + 2 and poll.poll(PATIENCE * 1000):
                copy = here.recvmsg(2000, 500, MSG_ERRQUEUE)[0]
                got.append(copy.endswith(b"what do I look like?"))
                saw |= {name for name, secret in parents.items() if secret in copy}
    same((got, saw), ([True] * 8, set()), f"{family.name}, shortcut {words}: copies of what is sent tell nothing of the parent")
    PARENT.nft(f"delete table {family.nft} hide\n")


def other_lengths(words):
    """A raw packet of IPv6 says of its length what its sender likes: it is cut to that, or goes nowhere."""
    every = 0x86DD  # ETH_P_IPV6
    tap = OUTSIDE.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(every))
    tap.bind(("out0", every))
    there = OUTSIDE.udp(V6, 7911)
    raw = BLUE.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_RAW)
    right = udp_packet(V6, V6.child(1), V6.outside, b"as long as it says", 7911)
    for more in (0, 0, 100, -4, 0):
        said = struct.pack("!H", len(right) - 40 + more)
        raw.sendto(right[:4] + said + right[6:], (V6.outside, 0))
    got = len(gather(there, 3))
    time.sleep(SILENCE)
    seen_outside = [data for data in drain(tap) if data[6] == socket.IPPROTO_UDP and data[42:44] == struct.pack("!H", 7911)]
    wrong = {struct.unpack_from("!H", data, 4)[0] + 40 - len(data) for data in seen_outside} - {0}
    same((got, wrong), (3, set()), f"shortcut {words}: none leaves that is not as long as its header says")
    for sock in (tap, there, raw):
        sock.close()


def sent_by_tc(family, words):
    """What tc of the child's has sent the parent's tc looks at all the same."""
    redirect = ("action", "skbedit", "mark", "0", "pipe", "action", "mirred", "egress", "redirect", "dev", "ifb0")
    PARENT.call("tc", "qdisc", "add", "dev", "up0", "clsact")
    match = ("flower", "ip_proto", "udp", "dst_port", "7905")
    PARENT.call("tc", "filter", "add", "dev", "up0", "egress", "protocol", family.tc, *match, "action", "drop")
    BLUE.call("tc", "qdisc", "add", "dev", "c0", "clsact")
    BLUE.call("tc", "filter", "add", "dev", "c0", "egress", "protocol", "all", "handle", "1", "fw", *redirect)
    got, passed = [], []
    with BLUE.udp(family) as sender, OUTSIDE.udp(family, 7905) as refused, OUTSIDE.udp(family, 7906) as wanted:
        for mark in (0, 1):
            sender.setsockopt(socket.SOL_SOCKET, SO_MARK, mark)
            for _ in range(4):
                sender.sendto(b"no", (family.outside, 7905))
            sender.sendto(b"yes", (family.outside, 7906))
            passed.append(wanted.recv(100))
            got += drain(refused, SILENCE)
    same((passed, got), ([b"yes"] * 2, []), f"{family.name}, shortcut {words}: the uplink's tc stops what a child's ifb has sent")
    BLUE.call("tc", "qdisc", "del", "dev", "c0", "clsact")
    PARENT.call("tc", "qdisc", "del", "dev", "up0", "clsact")


@contextlib.contextmanager
def dropped_on_p1(means, hook, family):
    """Datagrams to one port are dropped where the parent's port sends or receives."""
    if means == "tc":
        PARENT.call("tc", "qdisc", "add", "dev", "p1", "clsact")
        match = ("protocol", family.tc, "flower", "ip_proto", "udp", "dst_port", "7907", "action", "drop")
        PARENT.call("tc", "filter", "add", "dev", "p1", hook, *match)
        yield
        PARENT.call("tc", "qdisc", "del", "dev", "p1", "clsact")
    else:
        PARENT.nft(f"table netdev n {{ chain c {{ type filter hook {hook} device p1 priority 0; udp dport 7907 drop; }}\n}}\n")
        yield
        PARENT.nft("delete table netdev n\n")


def on_the_port(family, words):
    """What is on the port acts on what goes to the child and comes from it."""
    name = f"{family.name}, shortcut {words}: on the port"
    ways = {
        "egress": [(OUTSIDE, BLUE, family.child(1)), (RED, BLUE, family.child(1))],
        "ingress": [(BLUE, OUTSIDE, family.outside), (BLUE, RED, family.child(2))],
    }
    for hook, pairs in ways.items():
        twice = [pair for pair in pairs for _ in range(2)]
        for means in ("tc", "nft"):
            before = [arrives(family, *pair) for pair in twice]
            with dropped_on_p1(means, hook, family):
                got = [arrives(family, *pair, silent=True) for pair in twice]
            after = [arrives(family, *pair) for pair in twice]
            same((before, got, after), ([True] * 4, [False] * 4, [True] * 4), f"{name} {means} drops at its {hook}")
    limit = ("tbf", "rate", "40mbit", "burst", "20kb", "limit", "100kb")
    PARENT.call("tc", "qdisc", "add", "dev", "p1", "root", *limit)
    is_limited(family, name, "p1")
    PARENT.call("tc", "qdisc", "del", "dev", "p1", "root")
    # Each queue of a device may have its own.
    PARENT.call("tc", "qdisc", "add", "dev", "p1", "root", "handle", "1:", "mq", check=False)
    if " mq " in PARENT.call("tc", "qdisc", "show", "dev", "p1"):
        for queue in sorted(os.listdir("/sys/class/net/p1/queues")):
            if queue.startswith("tx-"):
                PARENT.call("tc", "qdisc", "add", "dev", "p1", "parent", f"1:{int(queue[3:]) + 1:x}", *limit)
        is_limited(family, name, "each queue of p1")
        PARENT.call("tc", "qdisc", "del", "dev", "p1", "root")
    else:
        skip(f"{name} a rate of each queue", "p1 has one queue")


def is_limited(family, name, what):
    """What others send to blue does not come faster than the port is to be."""
    for space in (OUTSIDE, RED):
        here, there = connected(space, BLUE, family, family.child(1), 7908)
        with here, there:
            began = time.monotonic()
            whole = pour(here, there, os.urandom(4096) * 250)
            rate = 8 * 4096 * 250 / (time.monotonic() - began) / 1e6
        report(whole and rate < 48, f"{name} the rate of 40 Mbit/s of {what} is kept, from {space.name}", f"{rate:.0f} Mbit/s")


def has_etf():
    """Has what goes to one port on the uplink wait for the time that its sender chose."""
    PARENT.call("tc", "qdisc", "add", "dev", "up0", "root", "handle", "1:", "prio", "priomap", *"0" * 16)
    PARENT.call("tc", "qdisc", "add", "dev", "up0", "parent", "1:2", "etf", "clockid", "CLOCK_TAI", "delta", "300000", check=False)
    for family in FAMILIES:
        match = ("match", family.nft, "dport", str(TIMED), "0xffff", "flowid", "1:2")
        PARENT.call("tc", "filter", "add", "dev", "up0", "parent", "1:", "protocol", family.tc, "prio", str(family.version), "u32", *match)
    return "etf" in PARENT.call("tc", "qdisc", "show", "dev", "up0")


def refusals(space, family):
    """What a sender that chose no time hears of its packet: the queue refuses it."""
    with space.udp(family) as sock:
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, SO_TXTIME, struct.pack("=II", time.CLOCK_MONOTONIC, REPORT_ERRORS))
        poll = select.poll()
        poll.register(sock, 0)
        for _ in range(3):
            # The kernel may have told of it by then.
            with contextlib.suppress(OSError):
                sock.sendto(b"whenever", (family.outside, TIMED))
        poll.poll(SILENCE * 1000)
        heard = 0
        with contextlib.suppress(BlockingIOError):
            while sock.recvmsg(2000, 500, MSG_ERRQUEUE):
                heard += 1
        return heard


def chosen_times(family):
    """Who chooses when a packet is sent (SO_TXTIME) hears of it from a queue, with the packet as it is
    there: not from the parent's."""
    report(refusals(PARENT, family) > 0, f"{family.name}: the uplink's queue tells the parent's own of what it refuses")
    for words in ("none", "output", "all"):
        shortcut("p1", words)
        before = statistics(PARENT, "p1")
        same(refusals(BLUE, family), 0, f"{family.name}, shortcut {words}: the uplink's queue tells a child nothing")
        if words != "none":
            same(difference(statistics(PARENT, "p1"), before).get("tx_output"), 3, f"{family.name}, shortcut {words}: ... of what went by the shortcut")


def arrives(family, sender, receiver, dest, silent=False):
    """Whether a datagram gets there."""
    with sender.udp(family) as here, receiver.udp(family, 7907) as there:
        there.settimeout(SILENCE if silent else PATIENCE)
        here.sendto(b"by the port", (dest, 7907))
        try:
            return there.recv(100) == b"by the port"
        except TimeoutError:
            return False


def has_ifb():
    """Whether the kernel has that kind of device; blue has one then."""
    os.system("modprobe -q ifb numifbs=0")
    BLUE.call("ip", "link", "add", "ifb0", "type", "ifb", check=False)
    BLUE.call("ip", "link", "set", "ifb0", "up", check=False)
    return "ifb0" in BLUE.call("ip", "-br", "link")


def switched_off(ears):
    """A device without IPv6 receives none."""
    BLUE.call("ip", "-6", "addr", "add", f"{ON_LO}/128", "dev", "lo")
    for words in SETS:
        shortcut("p1", words)
        with OUTSIDE.udp(V6) as sender:
            owners = []
            for off in (0, 1, 0):
                BLUE.sysctl(**{"ipv6__conf__c0__disable_ipv6": off})
                time.sleep(SILENCE)
                owners += [ears.owner(lambda data: sender.sendto(data, (ON_LO, PORT)), silent=bool(off)).split(" ")[0] for _ in range(2)]
        same(owners, ["blue"] * 2 + ["nobody"] * 2 + ["blue"] * 2, f"shortcut {words}: IPv6 switched off on the child's device, and on")


def switched_off_here(ears):
    """Nor does the parent's, and then there is nothing for a child in what comes by it. The last: with
    the addresses go routes that do not come back."""
    shortcut("p1", "device")
    with OUTSIDE.udp(V6) as sender:
        owners = []
        for off in (0, 1):
            PARENT.sysctl(**{"ipv6__conf__up0__disable_ipv6": off})
            time.sleep(SILENCE)
            owners += [ears.owner(lambda data: sender.sendto(data, (ON_LO, PORT)), silent=bool(off)).split(" ")[0] for _ in range(2)]
    same(owners, ["blue"] * 2 + ["nobody"] * 2, "shortcut device: IPv6 switched off on the uplink")


def main():
    """Everything by each set."""
    wire = outside_wire(PARENT, OUTSIDE)
    ears = Ears([BLUE, PARENT, RED])
    ifb = has_ifb()
    for family in FAMILIES:
        for words in SETS:
            for port in ("p1", "p2"):
                shortcut(port, words)
            invalid(family, words, wire)
            related(family, words, wire)
            by_port(family, words, ears)
            stamps(family, words)
            copies(family, words)
            if family is V6:
                other_lengths(words)
            on_the_port(family, words)
            if ifb:
                sent_by_tc(family, words)
            else:
                skip(f"{family.name}, shortcut {words}: what a child's ifb has sent", "this kernel has no ifb")
    if has_etf():
        for family in FAMILIES:
            chosen_times(family)
    else:
        skip("a socket that chooses its times", "this kernel has no queue for those")
    PARENT.call("tc", "qdisc", "del", "dev", "up0", "root")
    switched_off(ears)
    switched_off_here(ears)
    ears.close()


if __name__ == "__main__":
    sys.exit(main())
