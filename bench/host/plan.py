# SPDX-License-Identifier: GPL-2.0
"""What is measured: cells of work, grouped into boots.

A boot has a name, cells, and the paths that it is for (None: all). What takes
longest comes first, so that two processors end together.
"""

FIREWALLS = ("conntrack", "nat", "rules20", "rules200")
# Thousands of namespaces take minutes to make: each step for whom it says most.
# A boot for each line, with the host in all of them.
GROWTH = {
    "shortcuts": (5000, ("passthru", "passthru-route", "passthru-socket", "passthru-device",
                         "passthru-output", "passthru-all")),
    # A parent that ever had local routes validates sources more slowly.
    "local": (1000, ("passthru-netfilter",)),
    "peers": (1000, ("veth", "veth-bridge", "netkit", "ipvlan-l2", "ipvlan-l3", "ipvlan-l3s",
                     "macvlan")),
    "redirect": (1000, ("veth-redirect-peer", "netkit-redirect-peer")),
}
STEPS = (1, 10, 100, 1000, 5000)
LIVES = {4: ("host", "passthru", "passthru-route", "passthru-all", "veth", "veth-bridge",
             "veth-redirect-peer", "netkit", "netkit-redirect-peer", "ipvlan-l2", "ipvlan-l3",
             "ipvlan-l3s", "macvlan"),
         6: ("host", "passthru", "passthru-all", "veth", "netkit", "ipvlan-l2", "macvlan")}
# In User Mode Linux a boot takes more than a minute of waiting for grace periods: one for each kind.
NATIVE_LIVES = {4: LIVES[6]}
# Whose figures are measured by a second boot too.
AGAIN = ("host", "passthru-route", "passthru-all", "veth")
# pktgen counts frames without their checksum: 60 is a 64-byte frame.
SMALL, LARGE = 60, 1400
MEGABYTE = 1 << 20
# Sources that fill passthru's tables of flows (32768 entries each): what happens to a flow that comes
# once differs until then. With IPv6 twice as many are sent.
WARM_MISSES = {4: 65536, 6: 20000}


def _boot(name, cells, paths=None):
    return {"name": name, "cells": list(cells), "paths": paths}


def _cell(work, ip, **keys):
    cell = {"work": work, "ip": ip, "connected": False, "size": SMALL, "flows": 1,
            "children": 1, "firewall": "none"}
    return cell | keys


def _receive(ip, count=2000, **keys):
    return _cell("rx-udp", ip, **({"count": count, "warm": 500} | keys))


def _transmit(ip, **keys):
    return _cell("tx-udp", ip, **({"count": 4000, "warm": 500, "connected": True} | keys))


def _load(work, ip, count, warm, size, **keys):
    return _cell(work, ip, count=count, warm=warm, size=size, connected=True, **keys)


def _tcp(ip, firewall="none", scale=1):
    """TCP between the outside and a child."""
    keys = {"firewall": firewall}
    yield _load("tcp-rr", ip, 500 * scale, 100, 1, **keys)
    for direction in ("in", "out"):
        yield _load("tcp-stream", ip, 16 * MEGABYTE * scale, 16 * MEGABYTE, 65536,
                    direction=direction, **keys)
    # The last: it leaves connections that wait for their end.
    yield _load("tcp-crr", ip, 200 * scale, 50, 1, **keys)


def _siblings(ip, firewall="none", scale=1):
    keys = {"firewall": firewall, "children": 2}
    yield _load("sibling-rr", ip, 500 * scale, 100, 1, **keys)
    yield _load("sibling-stream", ip, 16 * MEGABYTE * scale, 16 * MEGABYTE, 65536, **keys)
    # The last, as above.
    yield _load("sibling-crr", ip, 200 * scale, 50, 1, **keys)


def _parent(ip):
    """TCP between a child and the parent itself."""
    return _load("parent-rr", ip, 500, 100, 1)


def _misses(ip, **keys):
    """No cache of sources helps."""
    return _receive(ip, **({"count": 4000, "warm": WARM_MISSES[ip], "sources": "random"} | keys))


def _full_receive(ip):
    for connected in (False, True):
        for size in (SMALL, LARGE):
            yield _receive(ip, connected=connected, size=size)
    yield _receive(ip, flows=1000, warm=2000)
    yield _misses(ip)
    for firewall in ("filter20", *FIREWALLS):
        for connected in (False, True):
            yield _receive(ip, connected=connected, firewall=firewall)


def _full_other(ip):
    for firewall in ("none", *FIREWALLS):
        yield _transmit(ip, firewall=firewall)
        yield from _tcp(ip, firewall)
        yield from _siblings(ip, firewall)
    yield _parent(ip)
    yield _transmit(ip, firewall="filter20")
    yield _transmit(ip, connected=False)
    yield _transmit(ip, size=LARGE)


def _again(ip):
    """What other boots measure too, so that it shows how far two boots are apart."""
    yield from (_receive(ip, connected=True), _transmit(ip), *_tcp(ip), *_siblings(ip))


def _growth(most):
    """Cost per packet by the number of children, each spoken to several times."""
    return [_receive(ip, max(2000, 4 * n), children=n, grows=True)
            for n in STEPS if n <= most for ip in (4, 6)]


def _lives(lives):
    return [_boot(f"life-{path}-ip{ip}", [_cell("lifecycle", ip, children=1000)], [path])
            for ip, paths in lives.items() for path in paths]


def quick():
    """A look at the main figures within two minutes."""
    def cells(ip):
        yield from (_receive(ip), _receive(ip, connected=True), _receive(ip, firewall="filter20"),
                    _transmit(ip))
        yield from (c for c in _tcp(ip) if c["work"] != "tcp-crr")
        yield next(_siblings(ip))
    return [_boot(f"ip{ip}", cells(ip)) for ip in (4, 6)]


def glance():
    """One figure for each path, by the direction that it is for."""
    peers = ["host", "passthru", "veth", "netkit", "ipvlan-l2", "macvlan"]
    inward = [f"passthru-{name}" for name in ("device", "route", "netfilter", "socket", "all")]
    outward = ["passthru-output", "passthru-all"]
    return [_boot("glance", [_receive(4, paths=peers + inward), _transmit(4, paths=peers + outward)],
                  peers + inward + outward)]


def full():
    """Every cell."""
    grown = [_boot(f"growth-{name}", _growth(most), ["host", *paths])
             for name, (most, paths) in GROWTH.items()]
    rest = [_boot(f"{name}-ip{ip}", cells(ip)) for ip in (4, 6)
            for name, cells in (("other", _full_other), ("receive", _full_receive))]
    again = [_boot(f"again-ip{ip}", _again(ip), AGAIN) for ip in (4, 6)]
    return [grown[0], *rest, *grown[1:], *again, *_lives(LIVES)]


def native(is_quick=False):
    """For a lab that counts time: many packets, and each figure several times in a round.

    A system call costs more there than a whole path does: what is measured from
    user space is streams alone, which move much by each call.
    """
    # pktgen's start and end take a quarter of a second, so a quick run has one window a round.
    keys = {"count": 300000, "repeat": 1} if is_quick else {"count": 100000, "repeat": 3}

    def cells(ip):
        yield from (_receive(ip, connected=connected, **keys) for connected in (False, True))
        if is_quick:
            return
        yield _receive(ip, firewall="rules20", **keys)
        # A child for each CPU: a socket of two would be what is measured. What counts is the time
        # (in seconds) that all run side by side, not a number of packets each.
        yield from (_receive(ip, cpus=cpus, children=2, span=0.5, **(keys | {"repeat": 1}))
                    for cpus in (1, 2))
        yield _receive(ip, flows=1000, **(keys | {"warm": 2000}))
        if ip == 4:
            yield _misses(ip, **keys)
        yield from (c | {"repeat": 3} for c in (*_tcp(ip, scale=4), *_siblings(ip, scale=4))
                    if c["work"].endswith("stream"))

    boots = [_boot(f"ip{ip}", cells(ip)) for ip in ((4,) if is_quick else (4, 6))]
    return boots if is_quick else [*boots, *_lives(NATIVE_LIVES)]
