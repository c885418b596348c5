#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Sends broken frames into one end of a pair and looks for their end.

usage: frame_drops.py NS DEV OTHER-NS OTHER-DEV MAC ADDR FRAME...

Good frames go into DEV first: they arrive at the other end, which has 10.0.1.ADDR
and fd00:1::ADDR. Then three of each FRAME (see frame.py) do. Right is that the kernel traces
three drops with a reason and none without one, and that each is counted once:
whatever counter moves on either end or in IP on either side moves by three.
"-" is the namespace of the caller.
"""

import os
import re
import socket
import sys
import time

from frame import Device, broken
from world import PATIENCE

COUNT = 3
TRACE = "/sys/kernel/tracing"
WATCHED = re.compile(r"InHdrErrors|InTruncatedPkts|InAddrErrors|InDiscards|InUnknownProtos|InCsumErrors|Udp6?InErrors")
# What the kernel says by itself in between: reports of its multicast groups.
STRAY = re.compile(r"location=ip6_mc_input|reason: NETFILTER_DROP")
LLC = re.compile(r"location=(llc|snap)_")


class End:
    """One device, and its namespace with what IP counts there."""

    def __init__(self, namespace, device):
        self.device = device
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
        """All that counts a packet that nobody took, and what came in."""
        found = {}
        for line in self.lines("dev"):
            name, _, values = line.partition(":")
            if name.strip() == self.device:
                value = [int(word) for word in values.split()]
                found |= {"received": value[1], "rx_errors": value[2], "rx_dropped": value[3], "tx_errors": value[10], "tx_dropped": value[11]}
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
        """Frames onto the device; returns what the kernel answered."""
        proto, packet = frame
        return {self.device.send(proto, self.device.frame(proto, packet)) for _ in range(COUNT)}

    def send(self, frame):
        """Sends the frames; returns errnos, drops and counters that moved."""
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
            done = min(self.refused(moved).values(), default=0) >= COUNT and (len(drops) >= COUNT or not self.drops.there)
            if done or time.monotonic() > end or self.by_llc(drops):
                break
            time.sleep(0.02)
        if self.drops.there:
            drops = self.drops.seen()
            self.drops.end()
        return errors, drops, moved

    @staticmethod
    def refused(moved):
        """Of the counters that moved, those that count what nobody took."""
        return {key: value for key, value in moved.items() if not key.endswith(".received")}

    @staticmethod
    def by_llc(drops):
        """True when the kernel's LLC took the frames, as it does all of 802.2."""
        return len([line for line in drops if LLC.search(line)]) >= COUNT

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

    def judge(self, name, frame):
        """Prints what became of one kind of frame."""
        errors, drops, moved = self.send(frame)
        refused = self.refused(moved)
        if len(drops) > COUNT or any(value > COUNT for value in refused.values()):
            # Something else fell in between; what is wrong with the device is
            # wrong each time.
            print(f"# {name}: once more, after {moved} {drops}")
            errors, drops, moved = self.send(frame)
            refused = self.refused(moved)
        right = errors <= {0, 105}  # ENOBUFS: the device dropped it at once
        print(f"{'ok' if right else 'not ok'} {name}: it was sent")
        if self.by_llc(drops):
            crossed = moved.get(f"{self.ends[1].device}.received") == COUNT
            print(f"{'ok' if crossed else 'not ok'} {name}: it crosses, and the kernel's LLC takes it")
            return
        reasons = sorted({line.partition("reason: ")[2] for line in drops})
        if self.drops.there:
            good = len(drops) == COUNT and "NOT_SPECIFIED" not in reasons and all(reasons)
            print(f"{'ok' if good else 'not ok'} {name}: each is dropped once, with a reason ({' '.join(reasons)})")
        else:
            good = True
            print(f"ok {name}: dropped with a reason # SKIP no drop tracing")
        counted = bool(refused) and set(refused.values()) == {COUNT}
        print(f"{'ok' if counted else 'not ok'} {name}: each is counted once")
        if not (good and counted):
            print(f"# moved: {moved}\n# drops: {drops}")


def main():
    """Parses the command line."""
    here, there = End(*sys.argv[1:3]), End(*sys.argv[3:5])
    judge = Judge(here, there, bytes.fromhex(sys.argv[5].replace(":", "")))
    to = int(sys.argv[6])
    ends = (3 - to, to)
    packets = broken(
        [socket.inet_aton(f"10.0.1.{end}") for end in ends]
        + [socket.inet_pton(socket.AF_INET6, f"fd00:1::{end}") for end in ends]
    )
    judge.good(packets["ipv4"])
    for name in sys.argv[7:]:
        judge.judge(name, packets[name])
        sys.stdout.flush()


if __name__ == "__main__":
    main()
