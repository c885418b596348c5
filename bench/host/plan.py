# SPDX-License-Identifier: GPL-2.0
"""What is measured: cells of work, grouped into boots."""

FIREWALLS = ("conntrack", "nat", "rules20", "rules200")
GROWTH = (1, 10, 100, 1000)
# A thousand namespaces take a minute to make: the larger steps are for some.
LARGEST, AT_LARGEST = 5000, ("host", "passthru", "passthru-all", "ipvlan-l2")
AT_GROWTH = ("host", "passthru-route", "passthru-socket", "passthru-device", "veth", "netkit",
             "veth-redirect-peer", "macvlan")
LIVES = ("host", "passthru", "veth", "netkit", "ipvlan-l2", "macvlan")
# pktgen counts frames without their checksum: 60 is a 64-byte frame.
SMALL, LARGE = 60, 1400


def _cell(work, ip, **keys):
    cell = {"work": work, "ip": ip, "connected": False, "size": SMALL, "flows": 1,
            "children": 1, "firewall": "none"}
    return cell | keys


def _receive(ip, count, **keys):
    return _cell("rx-udp", ip, count=count, warm=500, **keys)


def _transmit(ip, count, **keys):
    return _cell("tx-udp", ip, count=count, warm=200, **keys)


def _load(work, ip, count, warm, size, **keys):
    return _cell(work, ip, count=count, warm=warm, size=size, connected=True, **keys)


def _tcp(ip, scale, firewall="none"):
    """TCP between the outside and a child; `scale` 1 is a full run's length."""
    megabytes = 1 << 20
    keys = {"firewall": firewall}
    yield _load("tcp-rr", ip, int(1000 * scale), 100, 1, **keys)
    yield _load("tcp-crr", ip, int(300 * scale), 50, 1, **keys)
    for direction in ("in", "out"):
        yield _load("tcp-stream", ip, int(64 * scale) * megabytes, 16 * megabytes, 65536,
                    direction=direction, **keys)


def _siblings(ip, scale, firewall="none"):
    megabytes = 1 << 20
    keys = {"firewall": firewall, "children": 2}
    yield _load("sibling-rr", ip, int(1000 * scale), 100, 1, **keys)
    yield _load("sibling-stream", ip, int(64 * scale) * megabytes, 16 * megabytes, 65536, **keys)


def _full_receive(ip, count):
    for connected in (False, True):
        for size in (SMALL, LARGE):
            yield _receive(ip, count, connected=connected, size=size)
    yield _receive(ip, count, flows=1000)
    for firewall in FIREWALLS:
        for connected in (False, True):
            yield _receive(ip, count, connected=connected, firewall=firewall)


def _full_other(ip, scale):
    for firewall in ("none", *FIREWALLS):
        yield _transmit(ip, int(4000 * scale), connected=True, firewall=firewall)
        yield from _tcp(ip, scale, firewall)
        yield from _siblings(ip, scale, firewall)
    yield _transmit(ip, int(4000 * scale))
    yield _transmit(ip, int(4000 * scale), connected=True, size=LARGE)


def quick(ip):
    """A look at the main figures within two minutes."""
    cells = [_receive(ip, 2000), _receive(ip, 2000, connected=True),
             _receive(ip, 2000, firewall="rules20"),
             _transmit(ip, 1000, connected=True),
             *[c for c in _tcp(ip, 0.25) if c["work"] != "tcp-crr"],
             next(_siblings(ip, 0.25))]
    return [cells]


def _growth(ip, count):
    """Cost per packet by the number of children: two boots, the longer first."""
    largest = [*GROWTH, LARGEST]
    yield [_receive(ip, count, children=largest, paths=AT_LARGEST)]
    yield [_receive(ip, count, children=list(GROWTH), paths=AT_GROWTH)]


def full(ip, _is_quick=False):
    """Every cell, a boot for each kind of work."""
    boots = [list(_full_receive(ip, 5000)), list(_full_other(ip, 1))]
    if ip == 4:     # what children cost to make and to have hardly knows of IP
        boots = [*_growth(ip, 20000), [_cell("lifecycle", ip, children=1000, paths=LIVES)], *boots]
    else:
        boots.append([_receive(ip, 20000, children=[1, 1000], paths=AT_LARGEST)])
    return boots


def native(ip, is_quick):
    """For a lab that counts time: fewer cells, more packets, all in one boot."""
    scale = 1 if is_quick else 4
    count = 20000 * scale
    cells = [_receive(ip, count, connected=connected) for connected in (False, True)]
    cells += [_transmit(ip, 4000 * scale, connected=True)]
    if is_quick:
        return [cells + [c for c in _tcp(ip, scale) if c["work"] == "tcp-rr"]]
    cells += [*_tcp(ip, scale), *_siblings(ip, scale), _receive(ip, count, flows=1000),
              _receive(ip, count, firewall="rules20")]
    cells += [_receive(ip, count, cpus=cpus) for cpus in (1, 2)]
    if ip == 4:
        return [cells, [_cell("lifecycle", ip, children=1000, paths=LIVES)]]
    return [cells]
