# SPDX-License-Identifier: GPL-2.0
"""Sends packets of ever other IPv6 sources, which pktgen cannot.

They are put on the outside's end of a veth uplink. What that costs, Python and
the hop included, is measured by the same packets dropped at the uplink's
ingress, and subtracted.
"""
import os
import socket
import struct
import time
from ipaddress import ip_address

from addresses import OUTSIDE_MAC, PORT, UPLINK_MAC, child_mac
from pktgen import FLOW_PORTS

ETH_IPV6, UDP = 0x86dd, 17
PACKET, QDISC_BYPASS = 263, 20
SOURCE_END = 14 + 8 + 16        # of the source address in a frame
SOURCES = 1 << 16
LEAST = 8 + 16                  # UDP's header and pktgen's, which it never leaves out


def are_for(cell):
    """Whether a cell's packets have to be made here."""
    return cell["ip"] == 6 and cell.get("sources") == "random"


def _mac(text):
    return bytes.fromhex(text.replace(":", ""))


class Frames:
    """Feeds packets to the uplink of a parent that has a namespace outside."""

    def __init__(self, network):
        self.network = network
        self._frame = bytearray()
        self._next = 0
        with network.outside:
            self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
            self._socket.bind(("out0", 0))
        self._socket.setsockopt(PACKET, QDISC_BYPASS, 1)

    def configure(self, cell, target=None):
        """Builds the one frame that is sent again and again."""
        plan = self.network.plan
        own_mac = self.network.path.get("own_mac")
        length = max(cell["size"] - 14 - 40, LEAST)
        self._frame = bytearray(
            _mac(child_mac(0) if own_mac else UPLINK_MAC) + _mac(OUTSIDE_MAC)
            + struct.pack("!HIHBB", ETH_IPV6, 6 << 28, length, UDP, 64)
            + (ip_address(plan.outside) + SOURCES).packed
            + ip_address(target or plan.child(0)).packed
            + struct.pack("!HHHH", FLOW_PORTS, PORT, length, 0) + bytes(length - 8))

    def send(self, count):
        """Sends so many packets; returns nanoseconds per packet."""
        frame, send, pack = self._frame, self._socket.send, struct.pack_into
        first = self._next
        self._next += count
        before = os.sched_getscheduler(0)
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(10))
        try:
            start = time.monotonic_ns()
            for number in range(first, first + count):
                pack("!H", frame, SOURCE_END - 2, number % SOURCES)
                send(frame)
            return (time.monotonic_ns() - start) / count
        finally:
            os.sched_setscheduler(0, before, os.sched_param(0))

    def close(self):
        """Closes the socket."""
        self._socket.close()
