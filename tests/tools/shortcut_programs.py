#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Programs that judge packets: those that rules give packets to (NFQUEUE), in
parent and child, and those of the sender's cgroup.

usage: shortcut_programs.py CGROUP

What a program has let go on passes the remaining hooks in the program's own
process, where the kernel's usual protection against softirqs is not in force:
lockdep, and TCP under load, tell if somebody relies on it.
"""

import errno
import os
import socket
import struct
import sys

from bpf import EXIT, MOV_IMM, attach, instruction, load
from nfqueue import Queue
from world import FAMILIES, PATIENCE, PORT, SILENCE, Space, connected, difference, exchange, grace_period, ping, report, same, shortcut, statistics, until

PARENT, OUTSIDE, BLUE, RED = (Space(name) for name in ("-", "outside", "blue", "red"))

BPF_PROG_TYPE_CGROUP_SKB, BPF_CGROUP_INET_EGRESS = 8, 1


def queued(family, words, where, hook, local):
    """All traffic to the child goes by a program."""
    name = f"{family.name}, shortcut {words}, a program at {hook} of {where.name}"
    dest = family.child(1)
    if local:
        PARENT.call(*family.ip("route", "add", "local", dest, "dev", "p1"))
    shortcut("p1", words)
    where.nft(f"table inet q {{ chain c {{ type filter hook {hook} priority 0; {family.nft} daddr {dest} queue num 0; }}\n}}\n")
    queue = Queue(where)
    try:
        report(ping(OUTSIDE, family, dest, 3) == 3, f"{name}: ping")
        with BLUE.udp(family, PORT) as there, OUTSIDE.udp(family) as here:
            got = 0
            for number in range(20):
                here.sendto(b"%d" % number, (dest, PORT))
                got += there.recv(100) == b"%d" % number
        same(got, 20, f"{name}: datagrams")
        one, other = connected(OUTSIDE, BLUE, family, dest, 7600)
        with one, other:
            report(exchange(one, other, 5, 400_000), f"{name}: TCP")
    except OSError as error:
        report(False, f"{name}: traffic gets through", error)
    report(queue.seen > 25, f"{name}: the program saw it", f"{queue.seen} packets")
    queue.close()
    where.nft("delete table inet q\n")
    shortcut("p1", "none")
    if local:
        PARENT.call(*family.ip("route", "del", "local", dest, "dev", "p1"))


def queues(family):
    """In the parent and in the child, at each place and each shortcut behind it."""
    for words in ("route", "socket", "route,netfilter,socket"):
        queued(family, words, PARENT, "prerouting", False)
    for words in ("device", "route", "all"):
        for hook in ("prerouting", "input"):
            queued(family, words, BLUE, hook, False)
    for hook in ("prerouting", "input"):
        queued(family, "netfilter", PARENT, hook, True)


def program(verdict):
    """A program of a cgroup that says the same to each packet."""
    return load(BPF_PROG_TYPE_CGROUP_SKB, instruction(MOV_IMM, 0, verdict) + instruction(EXIT), BPF_CGROUP_INET_EGRESS)


def by_device(index):
    """A program that says yes to what leaves by one device."""
    load_index = struct.pack("=BBhi", 0x61, 2 | 1 << 4, 40, 0)  # r2 = *(u32 *)(r1 + offsetof(ifindex))
    unless = struct.pack("=BBhi", 0x55, 2, 2, index)  # if r2 != index: two further on
    code = load_index + unless + instruction(MOV_IMM, 0, 1) + instruction(EXIT) + instruction(MOV_IMM, 0, 0) + instruction(EXIT)
    return load(BPF_PROG_TYPE_CGROUP_SKB, code, BPF_CGROUP_INET_EGRESS)


def sends(family, sender, dest, receiver):
    """Whether a datagram gets there, and what its sender hears."""
    # By the same ports each time: IPv6 makes flow labels of them, and those are of the flow.
    with receiver.udp(family, PORT) as there, sender.udp(family, 4243) as here:
        there.settimeout(SILENCE)
        said = None
        try:
            here.sendto(b"judge me", (dest, PORT))
        except OSError as error:
            said = errno.errorcode[error.errno]
        try:
            there.settimeout(SILENCE if said else PATIENCE)
            return there.recv(100) == b"judge me", said
        except OSError:
            return False, said


def by_shortcut(act):
    """The shortcuts by which blue sends what it does meanwhile."""
    before = statistics(BLUE, "c0")
    act()
    return [key for key in difference(statistics(BLUE, "c0"), before) if key in ("tx_output", "tx_sibling")]


def egress(family, group):
    """What a cgroup's program says of what a child sends to a sibling, out, and to the parent itself."""
    trials = ((RED, family.child(2), "sibling"), (OUTSIDE, family.outside, "uplink"), (PARENT, family.uplink, "parent"))
    for words in ("none", "output", "all"):
        shortcut("p1", words)
        for receiver, dest, whom in trials:
            name = f"{family.name}, shortcut {words}, to the {whom}"
            # Until the way is remembered packets leave at the device, behind all programs.
            short_way = words != "none" and receiver is not PARENT
            for _ in range(3):
                sends(family, BLUE, dest, receiver)
                grace_period()
            if short_way:
                report(until(lambda: by_shortcut(lambda: sends(family, BLUE, dest, receiver))), f"{name}: the way is remembered")
            for verdict, want in ((1, (True, None)), (0, (False, "EPERM")), (1, (True, None))):
                attached = attach(group, program(verdict), BPF_CGROUP_INET_EGRESS)
                said = f"{name}: a program of the cgroup says {'yes' if verdict else 'no'}"
                short = by_shortcut(lambda: same(sends(family, BLUE, dest, receiver), want, said))
                if short_way and verdict:
                    same(len(short), 1, f"{name}: ... by the shortcut")
                attached()
            # It is the sender's own device that it is asked about.
            with BLUE:
                devices = {name: index for index, name in socket.if_nameindex()}
            for device, want in (("c0", (True, None)), ("lo", (False, "EPERM"))):
                attached = attach(group, by_device(devices[device]), BPF_CGROUP_INET_EGRESS)
                same(sends(family, BLUE, dest, receiver), want, f"{name}: a program lets out what leaves by {device}")
                attached()
    shortcut("p1", "none")


def main(group):
    """For each IP version."""
    # Sockets are of the group that their process was in.
    with open(f"{group}/cgroup.procs", "w", encoding="ascii") as file:
        file.write(str(os.getpid()))
    for family in FAMILIES:
        queues(family)
        egress(family, group)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
