# SPDX-License-Identifier: GPL-2.0
"""What is measured: cells of work, grouped into boots."""

FIREWALLS = ("conntrack", "nat", "rules20", "rules200")
GROWTH = (1, 10, 100, 1000, 5000)
# Thousands of namespaces take minutes to make: growth is for some.
OURS = ("passthru", "passthru-route", "passthru-netfilter", "passthru-socket", "passthru-device",
        "passthru-all")
AT_GROWTH = {100: (*OURS, "host", "veth", "netkit", "ipvlan-l2", "veth-redirect-peer", "macvlan"),
             1000: (*OURS, "host", "veth", "netkit", "ipvlan-l2"),
             5000: (*OURS, "host", "veth")}
LIVES = ("host", "passthru", "veth", "netkit", "ipvlan-l2", "macvlan")
# pktgen counts frames without their checksum: 60 is a 64-byte frame.
SMALL, LARGE = 60, 1400
MEGABYTE = 1 << 20


def _cell(work, ip, **keys):
    cell = {"work": work, "ip": ip, "connected": False, "size": SMALL, "flows": 1,
            "children": 1, "firewall": "none"}
    return cell | keys


def _receive(ip, count=2000, **keys):
    return _cell("rx-udp", ip, **({"count": count, "warm": 500} | keys))


def _transmit(ip, scale=1, **keys):
    return _cell("tx-udp", ip, count=4000 * scale, warm=500, **keys)


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


def _full_receive(ip):
    for connected in (False, True):
        for size in (SMALL, LARGE):
            yield _receive(ip, connected=connected, size=size)
    yield _receive(ip, flows=1000)
    if ip == 4:     # pktgen draws no IPv6 sources
        yield _receive(ip, 4000, warm=20000, sources="random")
    for firewall in ("filter20", *FIREWALLS):
        for connected in (False, True):
            yield _receive(ip, connected=connected, firewall=firewall)


def _full_other(ip):
    for firewall in ("none", *FIREWALLS):
        yield _transmit(ip, connected=True, firewall=firewall)
        yield from _tcp(ip, firewall)
        yield from _siblings(ip, firewall)
    yield _transmit(ip)
    yield _transmit(ip, connected=True, size=LARGE)


def _growth(ip, most):
    """Cost per packet by the number of children, each spoken to several times."""
    return [_receive(ip, max(2000, 4 * n), children=n, paths=AT_GROWTH[max(n, 100)])
            for n in GROWTH if n <= most]


def quick(ip):
    """A look at the main figures within two minutes."""
    tcp = [c for c in _tcp(ip) if c["work"] != "tcp-crr"]
    return [{"cells": [_receive(ip), _receive(ip, connected=True),
                       _receive(ip, firewall="filter20"), _transmit(ip, connected=True),
                       *tcp, next(_siblings(ip))]}]


def glance(ip):
    """One figure for each path."""
    return [{"cells": [_receive(ip)]}] if ip == 4 else []


def full(ip):
    """Every cell, a boot for each kind of work; the longest first."""
    boots = [{"cells": list(_full_other(ip))}, {"cells": list(_full_receive(ip))}]
    if ip == 6:
        return [*boots, {"cells": _growth(ip, 1000), "share_children": True}]
    # What children cost to make and to have hardly knows of IP.
    grown = {"cells": _growth(ip, 5000), "share_children": True}
    lives = [{"cells": [_cell("lifecycle", ip, children=1000, paths=[path])]} for path in LIVES]
    return [grown, *boots, *lives]


def native(ip, is_quick=False):
    """For a lab that counts time: many packets, each figure several times in a round.

    A system call costs more there than a whole path does: what is measured from
    user space is streams alone, which move much by each call.
    """
    keys = {"count": 30000, "repeat": 3}
    cells = [_receive(ip, connected=connected, **keys) for connected in (False, True)]
    if is_quick:
        return [{"cells": cells}] if ip == 4 else []
    cells.append(_receive(ip, firewall="rules20", **keys))
    cells += [_receive(ip, cpus=cpus, **keys) for cpus in (1, 2)]
    cells.append(_receive(ip, flows=1000, **keys))
    if ip == 4:
        cells.append(_receive(ip, sources="random", **(keys | {"warm": 20000})))
    cells += [c for c in (*_tcp(ip, scale=4), *_siblings(ip, scale=4))
              if c["work"].endswith("stream")]
    if ip == 6:
        return [{"cells": cells}]
    lives = [{"cells": [_cell("lifecycle", ip, children=1000, paths=[path])]} for path in LIVES]
    return [{"cells": cells}, *lives]
