#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Sends broken frames into one end of a pair and looks for their end.

usage: frame_drops.py MODE NS DEV OTHER-NS OTHER-DEV MAC ADDR

Good frames go into DEV first: they arrive at the other end, which has 10.0.1.ADDR
and fd00:1::ADDR. Then three of each broken one (see frame.py) do. Right is that each
is counted where it ends and nowhere else: that the counters named below move by
three and no others on either end or in IP on either side, and that the kernel
traces three drops for the reason that is named. "-" is the namespace of the caller.
"""

import collections
import os
import re
import socket
import sys
import time

from frame import Device, broken
from world import PATIENCE, Space, statistics

COUNT = 3
TRACE = "/sys/kernel/tracing"
WATCHED = re.compile(r"InHdrErrors|InTruncatedPkts|InAddrErrors|InDiscards|InUnknownProtos|InCsumErrors|Udp6?InErrors")
# What the kernel says by itself in between: reports of its multicast groups.
STRAY = re.compile(r"location=ip6_mc_input|reason: NETFILTER_DROP")

# Whether a frame gets to the other end, what counts its end there or here, and why.
Fate = collections.namedtuple("Fate", "crosses counters reason")


def here(counter, reason):
    """The sending device drops it: src/passthru/drops.rs."""
    return Fate(False, ("tx_dropped", counter), reason)


def there(reason, *counters):
    """It is sent, and the stack behind the other end drops it."""
    return Fate(True, counters, reason)


# The packet socket itself says no.
REFUSED = Fate(False, (), None)
TOO_SHORT = here("tx_drop_too_short", "PKT_TOO_SMALL")
NOT_IP = here("tx_drop_not_ip", "UNHANDLED_PROTO")
BAD_HEADER = here("tx_drop_bad_header", "IP_INHDR")
SPOOFED = here("tx_drop_spoofed", "IP_RPFILTER")
IPV4_HEADER = there("IP_INHDR", "Ip:InHdrErrors")
IPV6_HEADER = there("IP_INHDR", "Ip6InHdrErrors")
UNKNOWN = there("UNHANDLED_PROTO", "rx_dropped")
# Where it has one, the kernel's LLC takes all of 802.2, to drop it without a word.
LLC = there("LLC")

# The device looks at what it must know; the rest is the receiver's business.
EITHER = {
    "runt0": REFUSED,
    "ipv4-short-ihl": IPV4_HEADER,
    "ipv4-long-ihl": IPV4_HEADER,
    "ipv4-total-too-long": there("PKT_TOO_SMALL", "IpExt:InTruncatedPkts"),
    "ipv4-total-too-short": IPV4_HEADER,
    "ipv4-total-zero": IPV4_HEADER,
    "ipv4-wrong-checksum": there("IP_CSUM", "Ip:InHdrErrors", "IpExt:InCsumErrors"),
    "ipv6-length-too-long": there("PKT_TOO_SMALL", "Ip6InTruncatedPkts"),
    "ipv6-from-multicast": IPV6_HEADER,
}
RUNTS = [f"runt{length}" for length in range(1, 14)]
FATES = {
    "l3": EITHER
    | dict.fromkeys(RUNTS, TOO_SHORT)
    | dict.fromkeys(("ipv4-empty", "ipv6-empty"), REFUSED)
    | dict.fromkeys(("ipv4-one-byte", "ipv4-truncated", "ipv6-truncated"), TOO_SHORT)
    | dict.fromkeys(("ipv4-version-5", "ipv4-says-version-6", "ipv6-version-4"), BAD_HEADER)
    | dict.fromkeys(("experiment", "ethertype-zero", "length-field", "arp-truncated", "vlan-truncated", "vlan-unknown"), NOT_IP),
    "l2": EITHER
    | dict.fromkeys(RUNTS, REFUSED)
    | dict.fromkeys(("ipv4-empty", "ipv4-one-byte", "ipv4-truncated", "ipv4-version-5", "ipv4-says-version-6"), IPV4_HEADER)
    | dict.fromkeys(("ipv6-empty", "ipv6-truncated"), IPV6_HEADER)
    | {"ipv6-version-4": there("UNHANDLED_PROTO", "Ip6InHdrErrors")}
    | {"experiment": UNKNOWN, "ethertype-zero": LLC, "length-field": LLC}
    # The kernel counts no broken ARP, and does not say why it can take no tag off.
    | {"arp-truncated": there("PKT_TOO_SMALL"), "vlan-truncated": there("NOT_SPECIFIED"), "vlan-unknown": there("OTHERHOST")},
}
# What comes from the child and says that it is from elsewhere, or may be.
SPOOFED_BY_CHILD = {"l3": ("ipv6-from-multicast",), "l2": ("ipv6-from-multicast", "ipv6-version-4", "vlan-truncated")}


class End:
    """One device, and its namespace with what IP counts there."""

    def __init__(self, namespace, device):
        self.device = device
        self.space = Space(namespace)
        home = os.open("/proc/self/ns/net", os.O_RDONLY)
        if namespace != "-":
            there = os.open(f"/run/netns/{namespace}", os.O_RDONLY)
            os.setns(there, os.CLONE_NEWNET)
            os.close(there)
        # A file of /proc/net stays with the namespace it was opened in.
        self.files = {name: open(f"/proc/net/{name}", encoding="ascii") for name in ("dev", "snmp", "netstat", "snmp6")}
        self.raw = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        os.setns(home, os.CLONE_NEWNET)
        os.close(home)

    def lines(self, name):
        """The lines of a file, read anew."""
        self.files[name].seek(0)
        return self.files[name].read().splitlines()

    def counters(self):
        """All that counts a packet that nobody took, and what came and went."""
        found = {key: value for key, value in statistics(self.space, self.device).items() if "drop" in key}
        for line in self.lines("dev"):
            name, _, values = line.partition(":")
            if name.strip() == self.device:
                value = [int(word) for word in values.split()]
                found |= {"received": value[1], "rx_errors": value[2], "rx_dropped": value[3], "sent": value[9], "tx_errors": value[10], "tx_dropped": value[11]}
        for name in ("snmp", "netstat"):
            rows = self.lines(name)
            for names, values in zip(rows[::2], rows[1::2]):
                prefix, *names = names.split()
                found |= {prefix + key: int(value) for key, value in zip(names, values.split()[1:]) if WATCHED.search(prefix.strip(":") + key)}
        for line in self.lines("snmp6"):
            key, value = line.split()
            if WATCHED.search(key):
                found[key] = int(value)
        return {f"{self.device}.{key}": value for key, value in found.items()}


class Drops:
    """The kernel's trace of dropped packets."""

    def __init__(self):
        self.there = os.path.exists(f"{TRACE}/events/skb/kfree_skb/enable")

    @staticmethod
    def write(name, text):
        """Sets one of the tracer's switches."""
        with open(f"{TRACE}/{name}", "w", encoding="ascii") as file:
            file.write(text)

    def begin(self):
        """From now on."""
        self.write("trace", "")
        self.write("events/skb/kfree_skb/enable", "1")

    def end(self):
        """No more."""
        self.write("events/skb/kfree_skb/enable", "0")

    @staticmethod
    def seen():
        """The drops so far, without strays."""
        with open(f"{TRACE}/trace", encoding="ascii") as file:
            found = [line.partition("kfree_skb: ")[2].strip() for line in file if "kfree_skb: " in line]
        return [line for line in found if not STRAY.search(line)]


class Judge:
    """Sends and judges."""

    def __init__(self, here, there, mac):
        self.ends = [here, there]
        self.device = Device(here.device, mac, here.raw)
        self.drops = Drops()

    def counters(self):
        """Those of both ends."""
        return self.ends[0].counters() | self.ends[1].counters()

    def put(self, frame):
        """Frames onto the device; returns what the kernel answered. A number is a
        runt of that length."""
        proto, packet = frame
        data = self.device.frame(proto, bytes(14))[:packet] if isinstance(packet, int) else self.device.frame(proto, packet)
        return {self.device.send(proto, data) for _ in range(COUNT)}

    def moves(self, fate):
        """The counters that must move by the number of frames."""
        sender, receiver = (end.device for end in self.ends)
        if fate.crosses:
            return {f"{sender}.sent", f"{receiver}.received", *(f"{receiver}.{key}" for key in fate.counters)}
        # Other kinds of link do not tell why.
        known = self.ends[0].counters()
        return {key for key in (f"{sender}.{key}" for key in fate.counters) if key in known}

    def send(self, frame, fate):
        """Sends the frames; returns errnos, drops and counters that moved."""
        wanted = [dict.fromkeys(self.moves(each), COUNT) for each in ((LLC, UNKNOWN) if fate is LLC else (fate,))]
        before = self.counters()
        if self.drops.there:
            self.drops.begin()
        errors = self.put(frame)
        end = time.monotonic() + PATIENCE
        while True:
            drops = self.drops.seen() if self.drops.there else []
            after = self.counters()
            moved = {key: after[key] - before[key] for key in after if after[key] != before[key]}
            # Soft interrupts may be late on a busy machine.
            if moved in wanted and (len(drops) >= COUNT or not self.drops.there):
                break
            if time.monotonic() > end:
                break
            time.sleep(0.02)
        if self.drops.there:
            drops = self.drops.seen()
            self.drops.end()
        return errors, drops, moved

    @staticmethod
    def refused(moved):
        """Of the counters that moved, those that count what nobody took."""
        return {key: value for key, value in moved.items() if not key.endswith((".received", ".sent"))}

    @staticmethod
    def by_llc(drops):
        """True when the kernel's LLC took the frames."""
        return len([line for line in drops if re.search("location=(llc|snap)_", line)]) >= COUNT

    def good(self, frame):
        """A good frame of the same make arrives: the others are dropped for what
        is wrong with them."""
        for attempt in range(3):
            before = self.counters()
            self.put(frame)
            key = f"{self.ends[1].device}.received"
            end = time.monotonic() + PATIENCE
            while (after := self.counters())[key] - before[key] < COUNT and time.monotonic() < end:
                time.sleep(0.02)
            refused = self.refused({key: after[key] - before[key] for key in after if after[key] != before[key]})
            if not refused:
                break
            print(f"# good frames, attempt {attempt}: {refused}")
        print(f"{'ok' if after[key] - before[key] >= COUNT else 'not ok'} good frames arrive")
        print(f"{'not ok' if refused else 'ok'} good frames are not dropped")

    def ended(self, fate, found):
        """Whether that is how frames came to their end: as they were counted, and as
        the kernel traced them."""
        errors, drops, moved = found
        if fate is LLC and not self.by_llc(drops):
            fate = UNKNOWN
        wanted = dict.fromkeys(self.moves(fate), COUNT)
        # EINVAL; ENOBUFS is how the kernel says that the device dropped a frame.
        answer = 22 if fate is REFUSED else 0 if fate.crosses else 105
        counted = errors == {answer} and moved == wanted
        reasons = [line.partition("reason: ")[2] for line in drops]
        traced = fate in (REFUSED, LLC) or not self.drops.there or reasons == [fate.reason] * COUNT
        return counted, traced

    def judge(self, name, frame, fate):
        """Prints what became of one kind of frame."""
        found = self.send(frame, fate)
        if self.ended(fate, found) != (True, True):
            # Something else may have fallen in between; what is wrong with the device
            # is wrong each time.
            print(f"# {name}: once more, after {found}")
            found = self.send(frame, fate)
        counted, traced = self.ended(fate, found)
        where = "refused by the socket" if fate is REFUSED else f"counted by {' '.join(fate.counters) or 'nobody'}"
        if fate.crosses:
            where = f"sent, then {where}"
        print(f"{'ok' if counted else 'not ok'} {name}: each is {where}")
        if not self.drops.there:
            print(f"ok {name}: the kernel says why # SKIP no drop tracing")
        elif fate not in (REFUSED, LLC):
            print(f"{'ok' if traced else 'not ok'} {name}: each is dropped once, for {fate.reason}")
        if not (counted and traced):
            print("# errnos {}, drops {}, moved {}".format(*found))


def main():
    """Parses the command line."""
    mode, (sender, receiver) = sys.argv[1], (End(*sys.argv[2:4]), End(*sys.argv[4:6]))
    judge = Judge(sender, receiver, bytes.fromhex(sys.argv[6].replace(":", "")))
    to = int(sys.argv[7])
    ends = (3 - to, to)
    packets = broken(
        [socket.inet_aton(f"10.0.1.{end}") for end in ends]
        + [socket.inet_pton(socket.AF_INET6, f"fd00:1::{end}") for end in ends]
    )
    judge.good(packets["ipv4"])
    # The child has the higher address.
    fates = FATES[mode] | dict.fromkeys(SPOOFED_BY_CHILD[mode] if to == 1 else (), SPOOFED)
    for name, fate in fates.items():
        frame = (0x0800, int(name[4:])) if name.startswith("runt") else packets[name]
        judge.judge(name, frame, fate)
        sys.stdout.flush()


if __name__ == "__main__":
    main()
