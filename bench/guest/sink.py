# SPDX-License-Identifier: GPL-2.0
"""UDP sockets that count packets and keep none.

A classic BPF filter that returns 0 drops each packet when the socket has been
found; the kernel counts it as the socket's drop. That is the whole way of a
packet without a reader to schedule.
"""
import ctypes
import socket
import struct

from addresses import PORT
from pktgen import FLOW_PORTS

SO_ATTACH_FILTER, SO_MEMINFO, MEMINFO_DROPS = 26, 55, 8
UDP_NO_CHECK6_RX = 102  # pktgen leaves the checksum out; IPv6 must be told
_RETURN_0 = ctypes.create_string_buffer(struct.pack("HBBI", 0x06, 0, 0, 0))
_FILTER = struct.pack("HxxxxxxQ", 1, ctypes.addressof(_RETURN_0))


def _family(ip):
    return socket.AF_INET6 if ip == 6 else socket.AF_INET


class Sink:
    """One socket at one address of a child."""

    def __init__(self, network, child, address, connected=False):
        self._peer = (network.plan.outside, FLOW_PORTS)
        with child.namespace:
            self._socket = socket.socket(_family(network.plan.ip), socket.SOCK_DGRAM)
        self._socket.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, _FILTER)
        if network.plan.ip == 6:
            self._socket.setsockopt(socket.IPPROTO_UDP, UDP_NO_CHECK6_RX, 1)
        self._socket.bind((address, PORT))
        if connected:
            self._socket.connect(self._peer)
        self._connected = connected

    def reply(self):
        """Sends one packet back, as a server does."""
        if self._connected:
            self._socket.send(b"reply")
        else:
            self._socket.sendto(b"reply", self._peer)

    def count(self):
        """How many packets have come."""
        info = self._socket.getsockopt(socket.SOL_SOCKET, SO_MEMINFO, 64)
        return struct.unpack_from("I", info, 4 * MEMINFO_DROPS)[0]

    def close(self):
        """Closes the socket."""
        self._socket.close()


class Sinks:
    """A socket at every address of a network's children."""

    def __init__(self, network, connected=False):
        self.network = network
        self.connected = connected
        self.sockets = []
        self.grow()

    def grow(self):
        """Opens sockets at addresses that have none yet."""
        addresses = self.network.addresses
        for i in range(len(self.sockets), len(addresses)):
            self.sockets.append(Sink(self.network, addresses[i], self.network.plan.child(i),
                                     self.connected))

    def count(self):
        """How many packets have come to all of them."""
        return sum(sink.count() for sink in self.sockets)

    def close(self):
        """Closes all sockets."""
        for sink in self.sockets:
            sink.close()
