# SPDX-License-Identifier: GPL-2.0
"""Whether a shortcut is there: not only known, but taken.

A kernel may know a shortcut's name before packets take it. Then the figures of
the full path would stand under the shortcut's name.
"""
import socket
import time
from contextlib import closing

import witness
from addresses import PORT
from path import Network
from pktgen import FLOW_PORTS
from sink import Sinks

PACKETS = 100
# The counter of the place that a set's packets are to be taken at; where it is not the only place,
# as with "all", the first one.
COUNTERS = {"device": "rx_device", "route": "rx_route", "netfilter": "rx_netfilter",
            "route,socket": "rx_socket", "output": "tx_output", "all": "rx_device"}
# With `output` as well it is the same.
COUNTERS |= {f"{name},output": COUNTERS[name] for name in ("device", "route", "netfilter", "route,socket")}


def _send(network, namespace, source, target):
    family = socket.AF_INET6 if network.plan.ip == 6 else socket.AF_INET
    with namespace:
        sender = socket.socket(family, socket.SOCK_DGRAM)
    with sender:
        sender.bind((source, FLOW_PORTS))
        for _ in range(PACKETS):
            sender.sendto(b"packet", (target, PORT))


def _receive(network):
    """Packets to a child's connected socket, which all shortcuts for receiving fit."""
    with closing(Sinks(network, True)) as sinks:
        _send(network, network.outside, network.plan.outside, network.plan.child(0))
        time.sleep(0.1)     # where softirqs run elsewhere
        return sinks.count()


def _transmit(network):
    """Packets from a child to the outside."""
    _send(network, network.children[0].namespace, network.plan.child(0), network.plan.outside)
    return PACKETS


def why_untaken(path, ip):
    """None if packets take a path's shortcut, else what they do instead."""
    shortcut = path.get("shortcut") or path.get("beside")
    if not shortcut:
        return None
    if shortcut not in COUNTERS:
        return f"not there yet: no counter is known to tell that packets take {shortcut} (COUNTERS in shortcuts.py)"
    probe = {"name": "probe", "kind": "pair", "link": "passthru", "shortcut": shortcut,
             "route": "local" if shortcut.startswith("netfilter") else "unicast"}
    with Network(probe, ip, uplink="veth") as network:
        came = _transmit(network) if shortcut == "output" else _receive(network)
        taken = witness.shortcuts(network).get(COUNTERS[shortcut], 0)
    if came < PACKETS:
        return f"not there yet for IPv{ip}: {came} of {PACKETS} packets arrive"
    if taken < PACKETS // 2:
        return f"not there yet for IPv{ip}: {COUNTERS[shortcut]} is {taken} after {PACKETS} packets"
    return None
