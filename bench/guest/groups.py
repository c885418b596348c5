# SPDX-License-Identifier: GPL-2.0
"""Cells that share a network: it is made once for all of them."""
import firewall
from netns import CommandFailed, wait_until_removed
from path import Network
from works import KINDS, Lost

MANY = 50   # children whose removal would be going on while the next are measured


def _needs(path, cell):
    """What the cells of one network have in common."""
    uplink = "veth" if cell["work"].startswith("tcp") else "dummy"
    # Which child has which address depends on their number, for some.
    fixed = cell["children"] if path.get("own_mac") else None
    return cell["ip"], uplink, cell["firewall"], fixed


def groups(path, cells):
    """Lists of cells, each for one network, growing with its children."""
    found = {}
    for cell in cells:
        found.setdefault(_needs(path, cell), []).append(cell)
    for (ip, uplink, level, _), members in found.items():
        yield (ip, uplink, level), sorted(members, key=lambda cell: cell["children"])


def _one(network, cell, control):
    """A figure, or why there is none."""
    try:
        return KINDS[cell["work"]](network, cell, control), None
    except (Lost, CommandFailed, OSError) as error:
        if cell["firewall"] != "none":
            network.rules_counted = firewall.seen(network)
        return None, str(error)


def _on_network(network, family, cells, control):
    for cell in cells:
        network.become(family[0])
        network.grow(cell["children"])
        for path in family:
            network.become(path)
            yield path, cell, *_one(network, cell, control)


def _controls(cells, control):
    """Measures the generator's share before there is a network beside it."""
    for cell in cells:
        if cell["work"] == "rx-udp" and "cpus" not in cell:
            control.value(cell)


def measure(family, cells, control):
    """Yields path, cell, figure and why there is none, for all paths of a family.

    A family's paths differ in nothing but the shortcuts of their ports.
    """
    for (ip, uplink, level), members in groups(family[0], cells):
        _controls(members, control)
        with Network(family[0], ip, uplink, members[0]["children"]) as network:
            firewall.install(network, level)
            yield from _on_network(network, family, members, control)
        if members[-1]["children"] > MANY:
            wait_until_removed()
