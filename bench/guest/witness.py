# SPDX-License-Identifier: GPL-2.0
"""What a network's own counters say of the packets that were measured."""
import array
import fcntl
import socket
import struct
from collections import Counter, namedtuple

import firewall

SIOCETHTOOL, GSSET_INFO, GSTRINGS, GSTATS = 0x8946, 0x37, 0x1b, 0x1d
ETH_SS_STATS, NAME = 1, 32
SHORT, DROPPED = ("rx_", "tx_"), "tx_drop_"    # how counters begin

# short    packets that took the shortcut that the path is named after, by any port
# crossed  packets between parent and children, by shortcuts or not
# ruled    packets that the parent's rules have counted
# passed   packets that had to pass the parent
Counts = namedtuple("Counts", "short crossed ruled passed")
ALL, SOME, NONE = "all", "some", "none"
NEARLY = 0.95                   # a connection's first packets may go another way


def _ethtool(handle, name, request):
    """Asks a device; the answer is in the request's place."""
    data = array.array("B", request)
    handle_request = struct.pack("16sP", name.encode(), data.buffer_info()[0])
    fcntl.ioctl(handle, SIOCETHTOOL, handle_request)
    return data.tobytes()


def _names(handle, device):
    """The names of a device's counters."""
    info = _ethtool(handle, device, struct.pack("IIQI", GSSET_INFO, 0, 1 << ETH_SS_STATS, 0))
    count = struct.unpack_from("I", info, 16)[0]
    text = _ethtool(handle, device, struct.pack("III", GSTRINGS, ETH_SS_STATS, count)
                    + bytes(count * NAME))
    return [text[12 + i * NAME:12 + (i + 1) * NAME].rstrip(b"\0").decode() for i in range(count)]


def shortcuts(network):
    """Packets that took each shortcut; the two ends of a pair tell the same."""
    with network.parent:
        handle = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with handle:
        names = _names(handle, "p0")
        totals = Counter()
        for child in network.children:
            answer = _ethtool(handle, f"p{child.number}", struct.pack("II", GSTATS, len(names))
                              + bytes(8 * len(names)))
            values = struct.unpack_from(f"{len(names)}Q", answer, 8)
            totals.update({name: value for name, value in zip(names, values)
                           if name.startswith(SHORT) and not name.startswith(DROPPED)})
    return totals


def packets(namespace, begin):
    """Packets received and sent by a namespace's devices whose name begins so."""
    received = sent = 0
    with namespace, open("/proc/thread-self/net/dev", encoding="ascii") as file:
        for line in file:
            name, _, numbers = line.partition(":")
            if name.strip().startswith(begin) and numbers:
                words = numbers.split()
                received, sent = received + int(words[1]), sent + int(words[9])
    return received, sent


def retransmitted(*namespaces):
    """TCP segments that namespaces have sent again."""
    total = 0
    for namespace in {space for space in namespaces if space}:
        with namespace, open("/proc/thread-self/net/snmp", encoding="ascii") as file:
            head, values = (line.split() for line in file if line.startswith("Tcp:"))
            total += int(values[head.index("RetransSegs")])
    return total


def received(namespace, ip):
    """Packets that a namespace's IP layer was given."""
    with namespace:
        if ip == 6:
            with open("/proc/thread-self/net/snmp6", encoding="ascii") as file:
                return next(int(line.split()[1]) for line in file if line.startswith("Ip6InReceives"))
        with open("/proc/thread-self/net/snmp", encoding="ascii") as file:
            head, values = (line.split() for line in file if line.startswith("Ip:"))
        return int(values[head.index("InReceives")])


def processed():
    """Packets that any device has handed to the stack, whatever became of them."""
    with open("/proc/net/softnet_stat", encoding="ascii") as file:
        return sum(int(line.split()[0], 16) for line in file)


def has_shortcut(path):
    """Whether the packets measured can take one."""
    return bool(path.get("shortcut"))


def _short(network):
    """Packets that took a path's shortcut: any of its set, unless it is named after one."""
    taken, own = shortcuts(network), network.path.get("counter")
    return taken[own] if own else sum(taken.values())


def counts(network, passed=0):
    """The counters now; `passed` is known to who sends."""
    short = crossed = 0
    if has_shortcut(network.path):
        short, crossed = _short(network), sum(packets(network.parent, "p"))
    return Counts(short, crossed, firewall.seen(network), passed)


def share_taken(network, before, after):
    """The share of packets that took the path's shortcut; None for a path that has none."""
    if not has_shortcut(network.path):
        return None
    crossed = after.crossed - before.crossed
    return round((after.short - before.short) / crossed, 3) if crossed else 0


def seen(cell, before, after):
    """Whether the parent's rules saw all of the packets, some or none; None if it has no rules."""
    if cell["firewall"] == "none":
        return None
    share = (after.ruled - before.ruled) / max(1, after.passed - before.passed)
    return ALL if share >= NEARLY else SOME if share > 1 - NEARLY else NONE
