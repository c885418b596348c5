#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Lets each allocation of a request fail in turn, the first, the second, ...

usage: fail_nth.py KIND OPERATION NS SECONDS

/proc/thread-self/fail-nth counts the allocations of this thread, which tells how
many the request makes; the system call that carries it is then repeated with
another of them failing each time. After each round, what exists must be whole.
NS is a named namespace for the children; a device "uplink" must exist. When
SECONDS are over, those that were tried, a few at least, lie evenly among all.
"""

import array
import errno
import fcntl
import os
import socket
import struct
import sys
import time
from contextlib import contextmanager
from math import gcd

import fail_shortcuts
from rtnl import (
    CHANGE,
    CREATE,
    IFLA_IFNAME,
    IFLA_MTU,
    IFLA_NET_NS_FD,
    IFLA_NUM_TX_QUEUES,
    IFLA_PASSTHRU_MODE,
    MODE_L2,
    RTM_DELLINK,
    RTM_NEWLINK,
    Rtnl,
    ifinfomsg,
    linkinfo,
    peer,
    text,
    u32,
)

IFF_UP = 1
SIOCETHTOOL, ETHTOOL_GGRO, ETHTOOL_SGRO = 0x8946, 0x2B, 0x2C
FEWEST = 20  # rounds of each operation, however long they take
NEVER = 100000  # more allocations than any request makes


class Faults:
    """One thread whose allocations can be made to fail."""

    def __init__(self, kind, namespace):
        self.kind = kind
        self.knob = os.open("/proc/thread-self/fail-nth", os.O_RDWR)
        self.namespace = os.open(f"/run/netns/{namespace}", os.O_RDONLY)
        self.home = os.open("/proc/self/ns/net", os.O_RDONLY)
        self.rtnl = Rtnl(timeout=0.5)
        self.left = 0
        self.said = ""

    def arm(self, nth):
        """The nth allocation from now on fails; 0 is none."""
        os.pwrite(self.knob, b"%d" % nth, 0)

    def failed(self):
        """True when the failure came to pass since arm()."""
        self.left = int(os.pread(self.knob, 20, 0).split(b"\0")[0])
        self.arm(0)
        return self.left == 0

    def send(self, kind, flags, body, nth):
        """One request with its nth allocation failing; (errno or None, failed).

        None stands for an answer that did not come, for the failure may have
        hit the message itself or its acknowledgement.
        """
        self.arm(nth)
        try:
            sequence = self.rtnl.send(kind, flags, body)
        except OSError:
            sequence = None
        failed = self.failed()
        error, self.said = None, ""
        if sequence is not None:
            try:
                error, self.said = self.rtnl.answer(sequence)
            except OSError:
                pass
        return error, failed

    def devices(self):
        """The ends that exist, here and in the child's namespace."""
        here = {name for _, name in socket.if_nameindex()} & {"p0", "c0"}
        with self.away():
            there = {name for _, name in socket.if_nameindex()} & {"p0", "c0"}
        return sorted(here) + sorted(there)

    @contextmanager
    def away(self):
        """In the child's namespace."""
        os.setns(self.namespace, os.CLONE_NEWNET)
        try:
            yield
        finally:
            os.setns(self.home, os.CLONE_NEWNET)

    @staticmethod
    def ethtool(request):
        """One request by ioctl about p0; what it holds then."""
        data = array.array("B", request)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
            fcntl.ioctl(control, SIOCETHTOOL, struct.pack("16sP", b"p0", data.buffer_info()[0]) + bytes(16))
        return bytes(data)

    def make(self, *attrs):
        """A pair, for what is tried on one."""
        answer = self.rtnl.newlink(text(IFLA_IFNAME, "p0"), *attrs, linkinfo(self.kind, self.child_info()))
        self.rtnl.must(answer)

    def child_info(self):
        """The child in the other namespace."""
        return peer(text(IFLA_IFNAME, "c0"), u32(IFLA_NET_NS_FD, self.namespace))

    def remove(self):
        """The pair, if there is one, wherever its port is."""
        if not self.devices():
            return
        if self.rtnl.dellink("p0")[0]:
            with self.away():
                there = Rtnl()
            there.must(there.dellink("p0"))


def creation(faults, extra):
    """Creation: all of it or nothing."""
    body = ifinfomsg() + text(IFLA_IFNAME, "p0") + b"".join(extra) + linkinfo(faults.kind, u32(IFLA_PASSTHRU_MODE, MODE_L2), faults.child_info())

    def one(nth):
        error, failed = faults.send(RTM_NEWLINK, CREATE, body, nth)
        made = faults.devices()
        right = made == [] if error else made in ([], ["p0", "c0"]) if error is None else made == ["p0", "c0"]
        faults.remove()
        return error, failed, right, made

    return one


def deletion(faults):
    """Deletion: the pair is there, or it is not."""
    body = ifinfomsg() + text(IFLA_IFNAME, "p0")

    def one(nth):
        if not faults.devices():
            faults.make()
        error, failed = faults.send(RTM_DELLINK, CHANGE, body, nth)
        made = faults.devices()
        return error, failed, made in ([], ["p0", "c0"]), made

    return one


def change(faults, header, *attrs):
    """A change: whether or not it is made, the pair stays whole."""

    def one(nth):
        if not faults.devices():
            faults.make()
        error, failed = faults.send(RTM_NEWLINK, CHANGE, header + text(IFLA_IFNAME, "p0") + b"".join(attrs), nth)
        made = faults.devices()
        right = sorted(made) == ["c0", "p0"]
        faults.remove()
        return error, failed, right, made

    return one


def receive_offload(faults):
    """GRO turned on: it is on or off, and the pair whole. The ioctl answers nothing
    of whether the driver could do it, so the state stands for the answer."""

    def ethtool(command, value=0):
        return struct.unpack("=II", faults.ethtool(struct.pack("=II", command, value)))[1]

    def one(nth):
        if not faults.devices():
            faults.make()
        faults.arm(nth)
        try:
            ethtool(ETHTOOL_SGRO, 1)
        except OSError:
            pass
        failed = faults.failed()
        on = ethtool(ETHTOOL_GGRO)
        made = faults.devices()
        right = sorted(made) == ["c0", "p0"] and (on or failed)
        faults.remove()
        return 0 if on else errno.ENOMEM, failed, right, made

    return one


def operations(faults):
    """All operations by name."""
    up = ifinfomsg(flags=IFF_UP, change=IFF_UP)
    return {
        "create": creation(faults, [u32(IFLA_NUM_TX_QUEUES, 2), u32(IFLA_MTU, 9000)]),
        "delete": deletion(faults),
        "up": change(faults, up),
        "gro": receive_offload(faults),
        "mtu": change(faults, ifinfomsg(), u32(IFLA_MTU, 4000)),
        "move": change(faults, ifinfomsg(), u32(IFLA_NET_NS_FD, faults.namespace)),
    } | fail_shortcuts.operations(faults)


def spread(total):
    """1 to total in an order that is spread evenly wherever it is cut short."""
    step = next(n for n in range(int(total * 0.618) or 1, total + 2) if gcd(n, total) == 1)
    return [number * step % total + 1 for number in range(total)]


def run(faults, name, one, seconds):
    """A round for each allocation that the operation makes, while there is time."""
    # Once before it is counted: what is made for the first time may stay, and is not made again.
    one(NEVER)
    _, failed, right, made = one(NEVER)
    total = NEVER - faults.left
    print(f"{'ok' if right and not failed and total > 3 else 'not ok'} {name}: {total} allocations without a failure, left {made}")
    end = time.monotonic() + seconds
    errors, texts, failures, tried = {}, {}, 0, 0
    for nth in spread(total):
        if time.monotonic() > end and tried >= FEWEST:
            break
        tried += 1
        error, failed, right, made = one(nth)
        key = "no answer" if error is None else errno.errorcode.get(error, "success")
        errors[key] = errors.get(key, 0) + 1
        if error and faults.said:
            texts[faults.said] = texts.get(faults.said, 0) + 1
        failures += failed
        if not right:
            print(f"not ok {name}: allocation {nth} fails: {key}, left {made}")
    # An allocation more or less is a cache that was full or empty.
    print(f"# {name}: {tried} of about {total} tried, {failures} failed, each alone: {errors} {texts}")
    print(f"{'ok' if failures > tried * 0.8 else 'not ok'} {name}: its allocations fail")
    error, failed, right, made = one(NEVER)
    print(f"{'ok' if right and not failed and not error else 'not ok'} {name}: it succeeds afterwards")


def main():
    """Runs one operation."""
    faults = Faults(sys.argv[1], sys.argv[3])
    run(faults, sys.argv[2], operations(faults)[sys.argv[2]], float(sys.argv[4]))
    fail_shortcuts.check_end(faults, sys.argv[2])
    faults.remove()
    print(f"{'not ok' if faults.devices() else 'ok'} {sys.argv[2]}: nothing is left")


if __name__ == "__main__":
    main()
