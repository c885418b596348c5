# SPDX-License-Identifier: GPL-2.0
"""Whether a shortcut is there: not only known, but taken.

A kernel may know a shortcut's name before packets take it. Then the figures of
the full path would stand under the shortcut's name.
"""
import socket
from contextlib import closing

import firewall
from addresses import PORT
from path import Network
from pktgen import Pktgen
from sink import Sinks

PACKETS = 100
_COUNT = """table inet bench {
  chain forward { type filter hook forward priority filter; counter; }
}
"""


def _receive(network):
    """Packets to a child's connected socket, which all shortcuts for receiving fit."""
    cell = {"size": 60, "flows": 1, "children": 1}
    with closing(Sinks(network, True)) as sinks, closing(Pktgen(network)) as generator:
        generator.configure(cell)
        generator.send(PACKETS)
        return sinks.count()


def _transmit(network):
    """Packets from a child to the uplink."""
    family = socket.AF_INET6 if network.plan.ip == 6 else socket.AF_INET
    with network.children[0].namespace:
        sender = socket.socket(family, socket.SOCK_DGRAM)
    with sender:
        for _ in range(PACKETS):
            sender.sendto(b"packet", (network.plan.outside, PORT))
    return PACKETS


def why_untaken(path, ip):
    """None if packets take a path's shortcut, else what they do instead."""
    shortcut = path.get("shortcut") or path.get("beside")
    if not shortcut:
        return None
    probe = {"name": "probe", "kind": "pair", "link": "passthru", "shortcut": shortcut,
             "route": "local" if shortcut == "netfilter" else "unicast"}
    with Network(probe, ip) as network:
        network.parent.run("nft", "-f", "-", text=_COUNT)
        came = _transmit(network) if shortcut == "output" else _receive(network)
        forwarded = firewall.counted(network, ("forward",))
    if came < PACKETS:
        return f"not there yet for IPv{ip}: {came} of {PACKETS} packets arrive"
    if forwarded > PACKETS // 2:
        return f"not there yet for IPv{ip}: packets take the full path"
    return None
