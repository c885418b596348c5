# SPDX-License-Identifier: GPL-2.0
"""Cells that share a network: it is made once for all of them."""
import time
from contextlib import suppress
from itertools import groupby

import firewall
from netns import CommandFailed, Lost, wait_until_removed
from path import Network
from works import KINDS, MANY, uplink_of


def _needs(path, cell):
    """What the cells of one network have in common."""
    # Which child has which address depends on their number, for some.
    fixed = cell["children"] if path.get("own_mac") else None
    # A ruleset knows one IP version; thousands of children are for both.
    ip = None if cell.get("grows") else cell["ip"]
    return ip, uplink_of(cell), cell["firewall"], fixed, cell.get("sources")


def groups(path, cells):
    """Lists of cells, each for one network, growing with its children."""
    found = {}
    for cell in cells:
        found.setdefault(_needs(path, cell), []).append(cell)
    for (_, uplink, level, *_), members in found.items():
        yield (uplink, level), sorted(members, key=lambda cell: (cell["children"], cell["ip"]))


def _one(network, cell, control):
    """A figure, or why there is none."""
    try:
        return KINDS[cell["work"]](network, cell, control), None
    except (Lost, CommandFailed, OSError) as error:
        return None, str(error)


def _grow(network, step):
    """Gives a network the children of a step; says how long, where that is long."""
    start = time.monotonic()
    network.grow(step[0]["children"])
    for cell in step:
        network.speak(cell["ip"])
    if len(network.children) > MANY:
        print(f"bench: {len(network.children)} children: {time.monotonic() - start:.1f} s",
              flush=True)


def _on_network(network, family, cells, control):
    """All figures on one network, step by step: most children are made last."""
    for _, step in groupby(cells, lambda cell: cell["children"]):
        step = list(step)
        network.become(family[0])
        _grow(network, step)
        for path in family:
            yield from _as_path(network, path, step, control)


def _as_path(network, path, step, control):
    """The figures of one path, on the children that there are."""
    untaken = path.get("untaken", {})
    if not all(untaken.get(cell["ip"]) for cell in step):
        network.become(path)
    for cell in step:
        why = untaken.get(cell["ip"])
        if not why:
            network.speak(cell["ip"])
        yield path, cell, *((None, why) if why else _one(network, cell, control))


def _controls(cells, control):
    """Measures the generator's share before there is a network beside it."""
    for cell in cells:
        if cell["work"] == "rx-udp" and "cpus" not in cell:
            with suppress(Lost):    # measured again beside the network it says why
                control.value(cell)


def measure(family, cells, control):
    """Yields path, cell, figure and why there is none, for all paths of a family.

    A family's paths differ in nothing but the shortcuts of their ports.
    """
    for (uplink, level), members in groups(family[0], cells):
        _controls(members, control)
        first = members[0]
        with Network(family[0], first["ip"], uplink, first["children"]) as network:
            firewall.install(network, level)
            yield from _on_network(network, family, members, control)
        if members[-1]["children"] > MANY:
            wait_until_removed()
